//! The `subscriptions` file.

use super::dotted::{mailbox_name, storage_name};
use super::lock::{DotLock, replace};
use crate::codec::mutf7;
use crate::mail::MailboxName;
use crate::store::Error;
use std::fs;
use std::io;
use std::path::Path;

const FILE: &str = "subscriptions";
const HEADER: &str = "V\t2\n\n";

/// Names that the user of an account subscribed to.
pub(crate) fn read(root: &Path) -> Result<Vec<MailboxName>, Error> {
    load(&root.join(FILE)).map(|(names, _)| names)
}

/// Durable.
pub(crate) fn subscribe(root: &Path, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
    let path = root.join(FILE);
    let _lock = DotLock::take(&path)?;
    let (mut names, version) = load(&path)?;
    if names.contains(name) == subscribed {
        return Ok(());
    }
    names.retain(|n| n != name);
    if subscribed {
        names.push(name.clone());
    }
    replace(&path, encode(&names, version).as_bytes())
}

fn load(path: &Path) -> Result<(Vec<MailboxName>, u8), Error> {
    match fs::read(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Vec::new(), 2)),
        Err(error) => Err(error.into()),
    }
}

/// Subscribed names and the version of the file (1 or 2).
fn parse(text: &[u8]) -> (Vec<MailboxName>, u8) {
    match text.strip_prefix(HEADER.as_bytes()) {
        Some(lines) => (lines.split(|&b| b == b'\n').filter_map(tabbed).collect(), 2),
        None => (text.split(|&b| b == b'\n').filter_map(dotted).collect(), 1),
    }
}

/// Version 1: the storage name.
fn dotted(line: &[u8]) -> Option<MailboxName> {
    if line == b"INBOX" {
        Some(MailboxName::inbox())
    } else {
        mailbox_name(line)
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
            assert_eq!(parse(text.as_bytes()), (names.clone(), version));
            assert_eq!(encode(&names, version), text);
        }
    }
}
