//! What is to be imported into which mailbox.

use super::dates;
use crate::mail::MailboxName;
use crate::store::{folders, maildir_subscriptions};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Directories below the one that is named.
const MAX_DEPTH: usize = MailboxName::MAX_DEPTH;
/// Parts of a Maildir.
const PARTS: [&str; 3] = ["cur", "new", "tmp"];
/// Endings of names of files that say what they are.
const ENDINGS: [&str; 3] = [".mbox", ".mbx", ".sbd"];

/// Where messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Mbox(PathBuf),
    /// A directory with `cur`.
    Maildir(PathBuf),
    /// Each is a message.
    Files(Vec<PathBuf>),
}

/// Messages for one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) mailbox: MailboxName,
    pub(super) source: Source,
    /// Whether the user is to be subscribed to it.
    pub(super) subscribed: bool,
}

/// All of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Names of no mailboxes, subscribed to at another server.
    pub(super) subscriptions: Vec<MailboxName>,
    /// What was found and left out, a clause each.
    pub(super) left: Vec<String>,
}

/// What lies at these paths, for mailboxes below `top`, or at the top of all. Errors: with the path, what
/// is named cannot be read.
pub(super) fn plan(
    paths: &[PathBuf],
    top: Option<&MailboxName>,
) -> Result<Plan, (PathBuf, io::Error)> {
    let mut plan = Plan::default();
    for path in paths {
        let looked = plan.look(path, top);
        looked.map_err(|error| (path.clone(), error))?;
    }
    Ok(plan)
}

impl Plan {
    fn look(&mut self, path: &Path, top: Option<&MailboxName>) -> io::Result<()> {
        if !fs::metadata(path)?.is_dir() {
            return self.file(path, top, &mut Vec::new(), true);
        }
        if is_maildir(path) {
            return self.maildir(path, top);
        }
        let mut messages = Vec::new();
        self.directory(path, top, &mut messages, 0)?;
        if let Some(mailbox) = self
            .below(top, &shown(path))
            .filter(|_| !messages.is_empty())
        {
            self.add(mailbox, Source::Files(messages), true);
        }
        Ok(())
    }

    fn add(&mut self, mailbox: MailboxName, source: Source, subscribed: bool) {
        self.steps.push(Step {
            mailbox,
            source,
            subscribed,
        });
    }

    /// A name below another; `None`, with a note, if it cannot be one.
    fn below(&mut self, top: Option<&MailboxName>, name: &str) -> Option<MailboxName> {
        let below = top.map_or(name.to_owned(), |top| format!("{top}/{name}"));
        let below = MailboxName::new(&below);
        if below.is_err() {
            self.left.push(format!("{name:?} is no name of a mailbox"));
        }
        below.ok()
    }

    /// A file is an mbox, or one of several `messages`. `named`: on the command line.
    fn file(
        &mut self,
        path: &Path,
        top: Option<&MailboxName>,
        messages: &mut Vec<PathBuf>,
        named: bool,
    ) -> io::Result<()> {
        let head = dates::head(&mut File::open(path)?)?;
        if head.starts_with(b"From ") {
            if let Some(mailbox) = self.below(top, &shown(path)) {
                self.add(mailbox, Source::Mbox(path.to_owned()), true);
            }
        } else if !dates::is_message(&head) {
            if !head.is_empty() {
                self.left.push(format!("{} is no mail", path.display()));
            }
        } else if named {
            let mailbox = top.cloned().unwrap_or_else(MailboxName::inbox);
            self.message(mailbox, path);
        } else {
            messages.push(path.to_owned());
        }
        Ok(())
    }

    /// A file with one message that was named itself joins those before it.
    fn message(&mut self, mailbox: MailboxName, path: &Path) {
        match self.steps.last_mut() {
            Some(Step {
                mailbox: own,
                source: Source::Files(files),
                ..
            }) if *own == mailbox => files.push(path.to_owned()),
            _ => self.add(mailbox, Source::Files(vec![path.to_owned()]), false),
        }
    }

    /// What is in a directory; messages that have files of their own are the mailbox of the directory itself.
    fn directory(
        &mut self,
        path: &Path,
        top: Option<&MailboxName>,
        messages: &mut Vec<PathBuf>,
        depth: usize,
    ) -> io::Result<()> {
        let mut entries: Vec<fs::DirEntry> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
        crate::mail::sort_by(&mut entries, |a, b| a.file_name().cmp(&b.file_name()));
        for entry in entries {
            let path = entry.path();
            let kind = fs::metadata(&path)?.file_type();
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            // Thunderbird's indexes of the files beside them.
            let index = path.extension() == Some(OsStr::new("msf"));
            if hidden || index || kind.is_fifo() || kind.is_socket() {
                continue;
            }
            if !kind.is_dir() {
                self.file(&path, top, messages, false)?;
                continue;
            }
            let Some(name) = self.below(top, &shown(&path)) else {
                continue;
            };
            if depth >= MAX_DEPTH {
                self.left.push(format!("{} lies too deep", path.display()));
            } else if is_maildir(&path) {
                self.maildir(&path, Some(&name))?;
            } else {
                let mut messages = Vec::new();
                self.directory(&path, Some(&name), &mut messages, depth + 1)?;
                if !messages.is_empty() {
                    self.add(name, Source::Files(messages), true);
                }
            }
        }
        Ok(())
    }

    /// A Maildir with all that is below it.
    fn maildir(&mut self, path: &Path, top: Option<&MailboxName>) -> io::Result<()> {
        let known = maildir_subscriptions(path).map_err(unreadable)?;
        let own = top.cloned().unwrap_or_else(MailboxName::inbox);
        let is_known = |name: &MailboxName| known.as_ref().is_none_or(|all| all.contains(name));
        let subscribed = is_known(&MailboxName::inbox());
        self.add(own, Source::Maildir(path.to_owned()), subscribed);
        let mut known_names = Vec::new();
        for (name, path) in folders(path).map_err(unreadable)? {
            let subscribed = is_known(&name);
            if let Some(mailbox) = self.below(top, name.as_str()) {
                self.add(mailbox, Source::Maildir(path), subscribed);
            }
            known_names.push(name);
        }
        for name in known.unwrap_or_default() {
            if !name.is_inbox() && !known_names.contains(&name) {
                let name = self.below(top, name.as_str());
                self.subscriptions.extend(name);
            }
        }
        self.nested(path, top, 0)
    }

    /// Maildirs in a directory of one, as Dovecot's `LAYOUT=fs` has them; those in between need not be any.
    fn nested(&mut self, path: &Path, top: Option<&MailboxName>, depth: usize) -> io::Result<()> {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        crate::mail::sort(&mut entries);
        for below in entries {
            let name = below.file_name().unwrap_or_default();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            let part = PARTS.iter().any(|part| name == *part);
            if hidden || part || depth >= MAX_DEPTH || !below.is_dir() {
                continue;
            }
            let Some(name) = self.below(top, &shown(&below)) else {
                continue;
            };
            match is_maildir(&below) {
                true => self.maildir(&below, Some(&name))?,
                false => self.nested(&below, Some(&name), depth + 1)?,
            }
        }
        Ok(())
    }
}

fn unreadable(error: crate::store::Error) -> io::Error {
    io::Error::other(error.to_string())
}

fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir()
}

/// What a file or directory is called, without what its name says of its kind.
fn shown(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let mut ends = ENDINGS.iter();
    let bare = ends.find_map(|end| name.strip_suffix(end));
    match bare.filter(|bare| !bare.is_empty()) {
        Some(bare) => bare.to_owned(),
        None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn steps(plan: &Plan, root: &Path) -> Vec<String> {
        let relative = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
        let one = |step: &Step| {
            let source = match &step.source {
                Source::Mbox(path) => format!("mbox {}", relative(path)),
                Source::Maildir(path) => format!("maildir {}", relative(path)),
                Source::Files(files) => {
                    let files: Vec<String> = files.iter().map(|f| relative(f)).collect();
                    format!("files {}", files.join(" "))
                }
            };
            let subscribed = if step.subscribed { "" } else { " -" };
            format!("{}: {source}{subscribed}", step.mailbox)
        };
        plan.steps.iter().map(one).collect()
    }

    const MBOX: &str = "From a Thu Jan  1 00:00:00 1970\na: b\n\n";

    #[test]
    fn files_and_directories_become_mailboxes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        make(
            &root,
            &[
                ("old.mbox", MBOX),
                ("1.eml", "a: b\n\n"),
                ("2.eml", "a: b\n\n"),
                ("Mail/Inbox", MBOX),
                ("Mail/Inbox.msf", "// index"),
                ("Mail/Inbox.sbd/Work", MBOX),
                ("Mail/empty", ""),
                ("Mail/picture", "\u{7f}PNG"),
                ("Mail/.hidden", MBOX),
                ("letters/a.eml", "a: b\n\n"),
                ("letters/b.eml", "a: b\n\n"),
                ("letters/2019/c.eml", "a: b\n\n"),
            ],
        );
        let paths: Vec<PathBuf> = ["old.mbox", "1.eml", "2.eml", "Mail", "letters"]
            .iter()
            .map(|p| root.join(p))
            .collect();
        let top = MailboxName::new("Old").unwrap();
        let found = plan(&paths, Some(&top)).unwrap();
        let expected = [
            "Old/old: mbox old.mbox",
            "Old: files 1.eml 2.eml -",
            "Old/Inbox: mbox Mail/Inbox",
            "Old/Inbox/Work: mbox Mail/Inbox.sbd/Work",
            "Old/2019: files letters/2019/c.eml",
            "Old/letters: files letters/a.eml letters/b.eml",
        ];
        assert_eq!(steps(&found, &root), expected);
        assert!(
            found.left[0].ends_with("Mail/picture is no mail"),
            "{found:?}"
        );
        assert_eq!(found.left.len(), 1);
        let found = plan(&paths[1..2], None).unwrap();
        assert_eq!(steps(&found, &root), ["INBOX: files 1.eml -"]);
        let gone = plan(&[root.join("gone")], None).unwrap_err();
        assert_eq!(gone.1.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_maildir_brings_its_mailboxes_and_subscriptions() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        make(
            &root,
            &[
                ("m/cur/1", ""),
                ("m/.Sent/cur/1", ""),
                ("m/.a.b/cur/1", ""),
                ("m/.none/x", ""),
                ("m/Lists/cur/1", ""),
                ("m/Lists/new/1", ""),
                ("m/Work/2019/May/cur/1", ""),
                ("m/Work/notes", "x"),
                ("m/subscriptions", "V\t2\n\nINBOX\na\tb\ngone\n"),
            ],
        );
        let found = plan(&[root.join("m")], None).unwrap();
        let expected = [
            "INBOX: maildir m",
            "Sent: maildir m/.Sent -",
            "a/b: maildir m/.a.b",
            "Lists: maildir m/Lists",
            "Work/2019/May: maildir m/Work/2019/May",
        ];
        assert_eq!(steps(&found, &root), expected);
        assert_eq!(found.subscriptions, [MailboxName::new("gone").unwrap()]);
    }
}
