//! What is to be imported into which mailbox.

use super::dates;
use crate::mail::MailboxName;
use crate::store::{MAILDIR_PARTS, folders, maildir_subscriptions};
use crate::sys::regular;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Directories below the one that is named.
const MAX_DEPTH: usize = MailboxName::MAX_DEPTH;
/// File systems of what the kernel makes while somebody looks (statfs(2)): proc, sysfs, debugfs, tracefs, securityfs,
/// and both of cgroup. Links there lead anywhere.
const MADE: [u32; 7] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
];
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
    /// How many of those could not be read.
    pub(super) unread: u64,
    /// The directories that are being looked at, each in the one before it: device and inode.
    within: Vec<(u64, u64)>,
    /// All that were entered below the path that is being looked at.
    entered: BTreeSet<(u64, u64)>,
    /// All directories that were entered, by their real paths: what is to be imported lies in these.
    trees: Vec<PathBuf>,
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
        // Nor does a link below it lead to what it lies in itself.
        let real = path.canonicalize()?;
        let above = real
            .ancestors()
            .skip(1)
            .filter_map(|above| fs::metadata(above).ok());
        self.within = above.map(|above| (above.dev(), above.ino())).collect();
        self.entered.clear();
        self.enter(path, |plan| {
            if is_maildir(path) {
                return plan.maildir(path, top);
            }
            let mut messages = Vec::new();
            plan.directory(path, top, &mut messages, 0)?;
            if let Some(mailbox) = plan
                .below(top, &shown(path))
                .filter(|_| !messages.is_empty())
            {
                plan.add(mailbox, Source::Files(messages), true);
            }
            Ok(())
        })
    }

    /// Looks at a directory, unless it is one of those that it lies in, or was looked at: a link leads back there; nor
    /// at those which the kernel makes.
    fn enter(
        &mut self,
        path: &Path,
        look: impl FnOnce(&mut Plan) -> io::Result<()>,
    ) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        let own = (metadata.dev(), metadata.ino());
        if self.within.contains(&own) {
            let path = path.display();
            self.left
                .push(format!("{path} is a directory that it lies in"));
            return Ok(());
        }
        let kind = rustix::fs::statfs(path).map(|found| found.f_type as u32);
        if kind.is_ok_and(|kind| MADE.contains(&kind)) {
            let path = path.display();
            self.left.push(format!("{path} is on no disk"));
            return Ok(());
        }
        if !self.entered.insert(own) {
            let path = path.display();
            self.left
                .push(format!("{path} is a directory that was looked at already"));
            return Ok(());
        }
        self.within.push(own);
        self.trees.push(path.canonicalize()?);
        let looked = look(self);
        self.within.pop();
        looked
    }

    /// Where a link leads, if that is to a file that lies in none of the directories which are imported.
    pub(super) fn leads_out(&self, path: &Path) -> Option<PathBuf> {
        let metadata = path.symlink_metadata().ok()?;
        if !metadata.is_symlink() {
            return None;
        }
        let to = path.canonicalize().ok()?;
        let is_within = self.trees.iter().any(|tree| to.starts_with(tree));
        (!is_within && !to.is_dir()).then_some(to)
    }

    /// True, with a note, of what nobody can tell the end of.
    fn pass_over(&mut self, path: &Path, kind: fs::FileType) -> bool {
        let is_other = kind.is_fifo() || kind.is_socket();
        if is_other {
            let path = path.display();
            self.left.push(format!("{path} is no file"));
        }
        is_other
    }

    /// What lies below a path that was named, and cannot be read, is left out.
    fn leave<T>(&mut self, path: &Path, looked: io::Result<T>) -> Option<T> {
        if let Err(error) = &looked {
            self.left.push(format!("{}: {error}", path.display()));
            self.unread += 1;
        }
        looked.ok()
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
        let file = regular::open(path)?;
        // What the kernel makes while it is read has no length, and need not have an end.
        let octets = file.metadata()?.len();
        let head = dates::head(&mut file.take(octets))?;
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
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            // Thunderbird's indexes of the files beside them.
            let index = path.extension() == Some(OsStr::new("msf"));
            if hidden || index {
                continue;
            }
            let Some(metadata) = self.leave(&path, fs::metadata(&path)) else {
                continue;
            };
            if let Some(to) = self.leads_out(&path) {
                self.left.push(led_out(&path, &to));
                continue;
            }
            let kind = metadata.file_type();
            if self.pass_over(&path, kind) {
                continue;
            }
            if !kind.is_dir() {
                let looked = self.file(&path, top, messages, false);
                self.leave(&path, looked);
                continue;
            }
            let Some(name) = self.below(top, &shown(&path)) else {
                continue;
            };
            if depth >= MAX_DEPTH {
                self.left.push(format!("{} lies too deep", path.display()));
                continue;
            }
            let looked = self.enter(&path, |plan| {
                if is_maildir(&path) {
                    return plan.maildir(&path, Some(&name));
                }
                let mut messages = Vec::new();
                plan.directory(&path, Some(&name), &mut messages, depth + 1)?;
                if !messages.is_empty() {
                    plan.add(name, Source::Files(messages), true);
                }
                Ok(())
            });
            self.leave(&path, looked);
        }
        Ok(())
    }

    /// A Maildir with all that is below it.
    fn maildir(&mut self, path: &Path, top: Option<&MailboxName>) -> io::Result<()> {
        let known = maildir_subscriptions(path).map_err(unreadable);
        let known = self.leave(&path.join("subscriptions"), known).flatten();
        let own = top.cloned().unwrap_or_else(MailboxName::inbox);
        let is_known = |name: &MailboxName| known.as_ref().is_none_or(|all| all.contains(name));
        let subscribed = is_known(&MailboxName::inbox());
        self.add(own, Source::Maildir(path.to_owned()), subscribed);
        let mut known_names = Vec::new();
        for (name, path) in folders(path).map_err(unreadable)? {
            let subscribed = is_known(&name);
            if let Some(mailbox) = self.below(top, name.as_str()) {
                let looked = self.enter(&path, |plan| {
                    plan.add(mailbox, Source::Maildir(path.clone()), subscribed);
                    Ok(())
                });
                self.leave(&path, looked);
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
            let part = MAILDIR_PARTS.iter().any(|part| name == *part);
            if hidden && depth == 0 {
                // As a mailbox it would have been found, could it be read.
                self.leave(&below, is_readable(&below));
            }
            if hidden || part || depth >= MAX_DEPTH {
                continue;
            }
            match self.leave(&below, fs::metadata(&below)) {
                Some(metadata) if metadata.is_dir() => {}
                Some(metadata) => {
                    self.pass_over(&below, metadata.file_type());
                    continue;
                }
                None => continue,
            }
            let Some(name) = self.below(top, &shown(&below)) else {
                continue;
            };
            let looked = self.enter(&below, |plan| match is_maildir(&below) {
                true => plan.maildir(&below, Some(&name)),
                false => plan.nested(&below, Some(&name), depth + 1),
            });
            self.leave(&below, looked);
        }
        Ok(())
    }
}

/// Why a link is left out.
pub(super) fn led_out(path: &Path, to: &Path) -> String {
    let (path, to) = (path.display(), to.display());
    format!("{path} is a link to {to}, which is not in what is imported")
}

fn unreadable(error: crate::store::Error) -> io::Error {
    io::Error::other(error.to_string())
}

/// Errors: this may be a Maildir, and cannot be looked into.
fn is_readable(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::metadata(path.join("cur")) {
        Err(error) if !matches!(error.kind(), NotADirectory | NotFound) => Err(error),
        _ => Ok(()),
    }
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
    fn links_that_lead_back_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        make(
            &root,
            &[
                ("Mail/sub/deep/1.eml", "a: b\n\n"),
                ("m/cur/1", ""),
                ("m/Lists/cur/1", ""),
                ("other/box", MBOX),
            ],
        );
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
        for (to, at) in [
            ("..", "Mail/sub/loop"),
            (".", "Mail/sub/deep/self"),
            ("../..", "Mail/sub/deep/m"),
            (".", "m/.loop"),
            ("..", "m/Lists/again"),
            ("../..", "Mail/above"),
            // It leads elsewhere.
            ("../other", "Mail/linked"),
        ] {
            link(to, at);
        }
        let paths = ["Mail", "m"].map(|path| root.join(path));
        let found = plan(&paths, None).unwrap();
        let expected = [
            "other/box: mbox Mail/linked/box",
            "sub/deep: files Mail/sub/deep/1.eml",
            "INBOX: maildir m",
            "Lists: maildir m/Lists",
        ];
        assert_eq!(steps(&found, &root), expected);
        let left = ["above", "sub/deep/m", "sub/deep/self", "sub/loop"];
        let left = left.map(|path| format!("Mail/{path}")).into_iter();
        let left = left.chain(["m/.loop", "m/Lists/again"].map(str::to_owned));
        let told =
            |path: String| format!("{}/{path} is a directory that it lies in", root.display());
        assert_eq!(found.left, left.map(told).collect::<Vec<String>>());
        assert_eq!(found.unread, 0);
    }

    /// Whoever opened it waited for ever.
    #[test]
    fn pipes_are_left_out() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        make(&root, &[("Mail/1.eml", "a: b\n\n")]);
        for pipe in ["Mail/pipe", "pipe"] {
            mknodat(CWD, root.join(pipe), FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        let found = plan(&[root.join("Mail")], None).unwrap();
        assert_eq!(steps(&found, &root), ["Mail: files Mail/1.eml"]);
        assert_eq!(
            found.left,
            [format!("{} is no file", root.join("Mail/pipe").display())]
        );
        assert!(plan(&[root.join("pipe")], None).is_err());
    }

    /// Of those there was no end: links of the kernel's lead to all directories that a process has open, and each of
    /// directories with links to all others was looked at by every way.
    #[test]
    fn nothing_is_looked_at_twice_or_that_the_kernel_makes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        for name in names {
            make(&root, &[(&format!("Mail/{name}/1.eml"), "a: b\n\n")]);
            for other in names.iter().filter(|other| **other != name) {
                link(&format!("../{other}"), &format!("Mail/{name}/to-{other}"));
            }
        }
        link("/proc/self", "Mail/kernel");
        make(&root, &[("m/cur/1", "")]);
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, root.join("m/pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let found = plan(&[root.join("Mail"), root.join("m")], None).unwrap();
        assert_eq!(found.steps.len(), names.len() + 1, "{:?}", found.steps);
        for told in [
            "Mail/kernel is on no disk",
            "m/pipe is no file",
            "Mail/a/to-b/to-a is a directory that it lies in",
            "Mail/b is a directory that was looked at already",
        ] {
            let told = format!("{}/{told}", root.display());
            assert!(found.left.contains(&told), "{told} {:?}", found.left);
        }
        // One by one it has messages in files that have no length.
        for path in ["/proc/self", "/proc/self/status"] {
            let found = plan(&[path.into()], None).unwrap();
            assert_eq!(found.steps, [], "{path}");
        }
    }

    /// Whoever imports may read what the owner of the mail may not.
    #[test]
    fn links_to_files_elsewhere_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let files = [
            ("Mail/1.eml", "a: b\n\n"),
            ("Mail/sub/2.eml", "a: b\n\n"),
            ("secret", "a: secret\n\n"),
        ];
        make(&root, &files);
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
        link("../secret", "Mail/out.eml");
        link("sub/2.eml", "Mail/within.eml");
        link("secret", "named.eml");
        let found = plan(&[root.join("Mail"), root.join("named.eml")], None).unwrap();
        let expected = [
            "sub: files Mail/sub/2.eml",
            "Mail: files Mail/1.eml Mail/within.eml",
            "INBOX: files named.eml -",
        ];
        assert_eq!(steps(&found, &root), expected);
        let (out, secret) = (root.join("Mail/out.eml"), root.join("secret"));
        assert_eq!(found.left, [led_out(&out, &secret)]);
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_the_rest_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        make(
            &root,
            &[
                ("Mail/1.eml", "a: b\n\n"),
                ("Mail/box", MBOX),
                ("m/cur/1", ""),
                ("m/subscriptions/x", ""),
                ("m/Lists/cur/1", ""),
            ],
        );
        // Links that lead to themselves cannot be followed, whoever tries.
        for at in ["Mail/a", "Mail/z", "m/.Sent", "m/Old"] {
            std::os::unix::fs::symlink(root.join(at), root.join(at)).unwrap();
        }
        let paths = ["Mail", "m"].map(|path| root.join(path));
        let found = plan(&paths, None).unwrap();
        let expected = [
            "box: mbox Mail/box",
            "Mail: files Mail/1.eml",
            "INBOX: maildir m",
            "Lists: maildir m/Lists",
        ];
        assert_eq!(steps(&found, &root), expected);
        let left = ["Mail/a", "Mail/z", "m/subscriptions", "m/.Sent", "m/Old"];
        assert_eq!((found.left.len(), found.unread), (5, 5), "{found:?}");
        for (told, path) in found.left.iter().zip(left) {
            let path = format!("{}/{path}: ", root.display());
            assert!(told.starts_with(&path), "{told}");
        }
        let (path, _) = plan(&[root.join("Mail/a")], None).unwrap_err();
        assert_eq!(path, root.join("Mail/a"));
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
