//! A Maildir that others wrote, read once and left as it is.

use super::takeover::{listed, subscribed_by_courier};
use super::uidlist::UidList;
use super::{keywords, name};
use crate::mail::{Keyword, MailboxName, SystemFlags};
use crate::store::Error;
use crate::store::side::{dotted, subscriptions};
use crate::sys::regular;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a letter means to programs that have no keywords.
const PASSED: char = 'P';

/// A message of a Maildir.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MaildirFile {
    pub(crate) path: PathBuf,
    pub(crate) flags: SystemFlags,
    pub(crate) keywords: Vec<Keyword>,
}

/// The mailboxes below a Maildir as Maildir++ has them, sorted, and where they are.
pub(crate) fn folders(root: &Path) -> Result<Vec<(MailboxName, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let dotted = name.as_encoded_bytes().strip_prefix(b".");
        let name = dotted.and_then(dotted::mailbox_name);
        if let Some(name) = name.filter(|_| path.join("cur").is_dir()) {
            found.push((name, path));
        }
    }
    crate::mail::sort_by(&mut found, |(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// The messages in one directory of a Maildir: those that have UIDs in their order, then the others by their names,
/// which begin with the time when they came.
pub(crate) fn maildir_files(folder: &Path) -> Result<Vec<MaildirFile>, Error> {
    let (text, _) = listed(folder)?;
    let list = UidList::parse(&text);
    let uids: HashMap<&str, u32> = list
        .entries
        .iter()
        .map(|entry| (entry.base, entry.uid.number()))
        .collect();
    let names = keywords::parse(&regular::read(&folder.join(keywords::FILE)).unwrap_or_default());
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        let entries = match fs::read_dir(folder.join(part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || entry.file_type()?.is_dir() {
                continue;
            }
            let (base, flags, letters) = name::split(&name);
            let uid = uids.get(base).copied().unwrap_or(u32::MAX);
            let file = MaildirFile {
                path: entry.path(),
                flags,
                keywords: meant(&name, letters, &names),
            };
            found.push((uid, base.to_owned(), file));
        }
    }
    crate::mail::sort_by(&mut found, |(a, one, _), (b, other, _)| {
        (a, one).cmp(&(b, other))
    });
    Ok(found.into_iter().map(|(.., file)| file).collect())
}

fn meant(name: &str, letters: u32, names: &[Option<Keyword>]) -> Vec<Keyword> {
    let lettered = names.iter().enumerate();
    let lettered = lettered.filter(|(at, _)| *at < 26 && letters >> at & 1 == 1);
    let mut keywords: Vec<Keyword> = lettered.filter_map(|(_, name)| name.clone()).collect();
    let info = name
        .get(name::base_octets(name.as_bytes())..)
        .unwrap_or_default();
    if let Some(forwarded) = Keyword::new("$Forwarded")
        && info.contains(PASSED)
        && !keywords.contains(&forwarded)
    {
        keywords.push(forwarded);
    }
    keywords
}

/// Names that the user of a Maildir subscribed to, there or at Courier's; `None` if nothing says so.
pub(crate) fn maildir_subscriptions(root: &Path) -> Result<Option<Vec<MailboxName>>, Error> {
    let mut names = subscriptions::read(root, subscriptions::Kind::Dotted)?;
    for name in subscribed_by_courier(root)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok((!names.is_empty()).then_some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_messages_and_what_is_known_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for path in ["cur", "new", ".b.&AOQ-/cur", ".a/cur", ".x", "y/cur"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for file in [
            "cur/3.z:2,FPSb",
            "cur/1.a,S=3:2,a",
            "new/2.b",
            "new/.hidden",
            "cur/9.c:2,",
        ] {
            fs::write(root.join(file), "x").unwrap();
        }
        fs::write(root.join("dovecot-keywords"), "0 one\n1 two\n").unwrap();
        fs::write(root.join("dovecot-uidlist"), "3 V1 N9\n4 :9.c\n5 :3.z\n").unwrap();
        fs::write(root.join("courierimapsubscribed"), "INBOX.a\n").unwrap();
        let names: Vec<String> = folders(root)
            .unwrap()
            .iter()
            .map(|(n, _)| n.to_string())
            .collect();
        assert_eq!(names, ["a", "b/\u{e4}"]);
        let shown: Vec<String> = maildir_files(root)
            .unwrap()
            .iter()
            .map(|file| {
                let keywords: Vec<&str> = file.keywords.iter().map(Keyword::as_str).collect();
                let name = file.path.file_name().unwrap().to_string_lossy();
                format!("{name} {} {}", file.flags.bits(), keywords.join(","))
            })
            .collect();
        let both = SystemFlags::FLAGGED.with(SystemFlags::SEEN).bits();
        let expected = [
            "9.c:2, 0 ".to_owned(),
            format!("3.z:2,FPSb {both} two,$Forwarded"),
            "1.a,S=3:2,a 0 one".to_owned(),
            "2.b 0 ".to_owned(),
        ];
        assert_eq!(shown, expected);
        let subscribed = maildir_subscriptions(root).unwrap().unwrap();
        assert_eq!(subscribed, [MailboxName::new("a").unwrap()]);
        assert_eq!(maildir_subscriptions(&root.join(".a")).unwrap(), None);
        assert_eq!(maildir_files(&root.join(".x")).unwrap(), []);
    }
}
