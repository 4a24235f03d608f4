//! The `subscriptions` file, or `.subscriptions` where mailboxes are files beside it.

use super::dotted::{mailbox_name, storage_name};
use super::lock::{DotLock, replace};
use crate::codec::mutf7;
use crate::mail::MailboxName;
use crate::store::Error;
use crate::sys::regular;
use std::io;
use std::path::Path;

const HEADER: &str = "V\t2\n\n";

/// How the file is called, and how lines of its version 1 name mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With dots between parts.
    Dotted,
    /// With slashes.
    Slashed,
    /// With slashes, and hidden among mailboxes that are files.
    Hidden,
}

impl Kind {
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Kind::Dotted | Kind::Slashed => "subscriptions",
            Kind::Hidden => ".subscriptions",
        }
    }

    fn plain(self, line: &[u8]) -> Option<MailboxName> {
        match self {
            Kind::Dotted => mailbox_name(line),
            Kind::Slashed | Kind::Hidden => slashed(line),
        }
    }
}

/// True if there is a file of subscriptions.
pub(crate) fn is_there(root: &Path, kind: Kind) -> bool {
    root.join(kind.file()).exists()
}

/// Names that the user of an account subscribed to.
pub(crate) fn read(root: &Path, kind: Kind) -> Result<Vec<MailboxName>, Error> {
    load(root, kind).map(|(names, _)| names)
}

/// A name of version 1 with `/` between its parts.
fn slashed(line: &[u8]) -> Option<MailboxName> {
    let part = |part: &[u8]| mutf7::decode(part).or_else(|| String::from_utf8(part.to_vec()).ok());
    let parts: Option<Vec<String>> = line.split(|b| *b == b'/').map(part).collect();
    MailboxName::new(&parts?.join("/")).ok()
}

/// Durable.
pub(crate) fn subscribe(
    root: &Path,
    kind: Kind,
    name: &MailboxName,
    subscribed: bool,
) -> Result<(), Error> {
    change(root, kind, &mut |names| {
        if names.contains(name) == subscribed {
            return false;
        }
        names.retain(|n| n != name);
        if subscribed {
            names.push(name.clone());
        }
        true
    })
}

/// Subscribes to all of these; the file is written once. Durable.
pub(crate) fn subscribe_to(root: &Path, kind: Kind, all: &[MailboxName]) -> Result<(), Error> {
    change(root, kind, &mut |names| {
        let before = names.len();
        for name in all {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names.len() > before
    })
}

/// `edit` says whether it changed anything.
fn change(
    root: &Path,
    kind: Kind,
    edit: &mut dyn FnMut(&mut Vec<MailboxName>) -> bool,
) -> Result<(), Error> {
    let path = root.join(kind.file());
    let _lock = DotLock::take(&path)?;
    let (mut names, mut version) = load(root, kind)?;
    // Names with slashes between their parts are written as version 2 has them.
    if kind != Kind::Dotted {
        version = 2;
    }
    if !edit(&mut names) {
        return Ok(());
    }
    replace(&path, encode(&names, version).as_bytes())
}

fn load(root: &Path, kind: Kind) -> Result<(Vec<MailboxName>, u8), Error> {
    match regular::read(&root.join(kind.file())) {
        Ok(text) => Ok(parse(&text, kind)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Vec::new(), 2)),
        Err(error) => Err(error.into()),
    }
}

/// Subscribed names and the version of the file (1 or 2).
fn parse(text: &[u8], kind: Kind) -> (Vec<MailboxName>, u8) {
    match text.strip_prefix(HEADER.as_bytes()) {
        Some(lines) => (lines.split(|&b| b == b'\n').filter_map(tabbed).collect(), 2),
        None => {
            let lines = text.split(|&b| b == b'\n');
            (lines.filter_map(|line| first(line, kind)).collect(), 1)
        }
    }
}

/// Version 1: the storage name.
fn first(line: &[u8], kind: Kind) -> Option<MailboxName> {
    if line == b"INBOX" {
        Some(MailboxName::inbox())
    } else {
        kind.plain(line)
    }
}

/// Version 2: parts with tabs between them, tab-escaped.
fn tabbed(line: &[u8]) -> Option<MailboxName> {
    let mut parts = Vec::new();
    for part in line.split(|&b| b == b'\t') {
        let mut bytes = Vec::with_capacity(part.len());
        let mut rest = part.iter();
        while let Some(&byte) = rest.next() {
            bytes.push(match byte {
                1 => match rest.next()? {
                    b'0' => 0,
                    b'1' => 1,
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'n' => b'\n',
                    _ => return None,
                },
                _ => byte,
            });
        }
        parts.push(mutf7::decode(&bytes).or_else(|| String::from_utf8(bytes).ok())?);
    }
    MailboxName::new(&parts.join("/")).ok()
}

/// The file of that version.
fn encode(names: &[MailboxName], version: u8) -> String {
    let mut out = if version == 1 {
        String::new()
    } else {
        HEADER.to_owned()
    };
    for name in names {
        if version == 1 {
            // A name too long for a directory was never stored either.
            out.push_str(&storage_name(name).unwrap_or_default());
        } else {
            let parts: Vec<String> = name.parts().map(mutf7::encode).collect();
            out.push_str(&parts.join("\t"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn both_versions_are_kept() {
        let names: Vec<MailboxName> = ["INBOX", "a/b", "\u{fc}"]
            .iter()
            .map(|n| MailboxName::new(n).unwrap())
            .collect();
        for (version, text) in [
            (1, "INBOX\na.b\n&APw-\n"),
            (2, "V\t2\n\nINBOX\na\tb\n&APw-\n"),
        ] {
            let parsed = parse(text.as_bytes(), Kind::Dotted);
            assert_eq!(parsed, (names.clone(), version));
            assert_eq!(encode(&names, version), text);
        }
    }

    #[test]
    fn many_are_added_at_once_behind_those_that_are_there() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let names = ["b", "a", "c"].map(|n| MailboxName::new(n).unwrap());
        subscribe(root, Kind::Dotted, &names[1], true).unwrap();
        subscribe_to(root, Kind::Dotted, &names).unwrap();
        let text = fs::read_to_string(root.join("subscriptions")).unwrap();
        assert_eq!(text, "V\t2\n\na\nb\nc\n");
        // With nothing to add it is not written.
        let file = root.join("subscriptions");
        let inode = |file: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap());
        let before = inode(&file);
        subscribe_to(root, Kind::Dotted, &names[..2]).unwrap();
        assert_eq!(inode(&file), before);
    }

    #[test]
    fn those_beside_files_have_slashes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let file = root.join(".subscriptions");
        fs::write(&file, "INBOX\na/b.c\n&APw-/x\n").unwrap();
        let names = ["INBOX", "a/b.c", "\u{fc}/x"].map(|n| MailboxName::new(n).unwrap());
        assert_eq!(read(root, Kind::Hidden).unwrap(), names);
        subscribe(root, Kind::Hidden, &names[1], false).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, "V\t2\n\nINBOX\n&APw-\tx\n");
        assert_eq!(read(root, Kind::Hidden).unwrap().len(), 2);
        assert!(!root.join("subscriptions").exists());
        // Of a dbox, whose mailboxes lie below each other, names were not understood.
        fs::rename(&file, root.join("subscriptions")).unwrap();
        fs::write(root.join("subscriptions"), "a/b.c\n").unwrap();
        assert_eq!(read(root, Kind::Slashed).unwrap(), names[1..2]);
    }
}
