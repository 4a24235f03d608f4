//! Changes to the text of a passwd-file. Comments, order and all other lines stay as they are.

use std::fmt;

use super::passwd_line::{mark as mark_of, name_of};
use super::password::{Password, Unusable};
use super::user::{NameFault, check_name};

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EditFault {
    Name(NameFault),
    Exists,
    Unknown,
    /// The stored password could not be verified, or not be read back from a line.
    Password(Unusable),
}

impl fmt::Display for EditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditFault::Name(fault) => fault.fmt(f),
            EditFault::Exists => f.write_str("the user exists already"),
            EditFault::Unknown => f.write_str("no such user"),
            EditFault::Password(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for EditFault {}

/// The text with a line for a new user at its end; the name is stored in lower case.
pub(crate) fn add(text: &[u8], name: &str, hash: &str) -> Result<Vec<u8>, EditFault> {
    let name = name.to_ascii_lowercase();
    check_name(&name).map_err(EditFault::Name)?;
    check_hash(hash)?;
    if lines(text).any(|line| is_of(line, &name)) {
        return Err(EditFault::Exists);
    }
    let mut changed = text.to_vec();
    if !matches!(text.last(), None | Some(b'\n')) {
        changed.push(b'\n');
    }
    changed.extend_from_slice(format!("{name}:{hash}::::::\n").as_bytes());
    Ok(changed)
}

/// The text with another password for the user; its other fields stay.
pub(crate) fn change(text: &[u8], name: &str, hash: &str) -> Result<Vec<u8>, EditFault> {
    let name = name.to_ascii_lowercase();
    check_hash(hash)?;
    let mut changed = Vec::with_capacity(text.len() + hash.len());
    let mut found = false;
    for line in lines(text) {
        // Of several lines for a user the first counts.
        if found || !is_of(line, &name) {
            changed.extend_from_slice(line);
        } else {
            found = true;
            changed.extend(with_hash(line, hash));
        }
    }
    if found {
        Ok(changed)
    } else {
        Err(EditFault::Unknown)
    }
}

/// As [`change`], if what is stored for the password is still what `mark` is of. `None` if it is not, or the user is
/// not there.
pub(crate) fn renew(text: &[u8], name: &str, mark: u64, hash: &str) -> Option<Vec<u8>> {
    let lower = name.to_ascii_lowercase();
    // Of several lines for a user the first counts.
    let line = lines(text).find(|line| is_of(line, &lower))?;
    let stored = line.trim_ascii_end().split(|b| *b == b':').nth(1)?;
    (mark_of(stored) == mark).then(|| change(text, name, hash).ok())?
}

/// The text without any line of the user, lest a second one come to count.
pub(crate) fn remove(text: &[u8], name: &str) -> Result<Vec<u8>, EditFault> {
    let name = name.to_ascii_lowercase();
    let kept: Vec<u8> = lines(text)
        .filter(|line| !is_of(line, &name))
        .flatten()
        .copied()
        .collect();
    if kept.len() == text.len() {
        return Err(EditFault::Unknown);
    }
    Ok(kept)
}

/// Lines with their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&b| b == b'\n')
}

fn is_of(line: &[u8], name: &str) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    name_of(line).as_deref() == Some(name)
}

fn with_hash(line: &[u8], hash: &str) -> Vec<u8> {
    let text = line.trim_ascii_end();
    let end = line.get(text.len()..).unwrap_or_default();
    let mut fields = text.splitn(3, |&b| b == b':');
    let name = fields.next().unwrap_or_default();
    let rest = fields.nth(1);
    let mut changed = [name, b":", hash.as_bytes()].concat();
    if let Some(rest) = rest {
        changed.push(b':');
        changed.extend_from_slice(rest);
    }
    changed.extend_from_slice(end);
    changed
}

/// A hash must verify, and must not end its field or line.
fn check_hash(hash: &str) -> Result<(), EditFault> {
    Password::parse(hash).map_err(EditFault::Password)?;
    if hash.chars().any(|c| c == ':' || c.is_control()) {
        return Err(EditFault::Password(Unusable::Malformed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Result<Vec<u8>, EditFault>) -> Result<String, EditFault> {
        result.map(|t| String::from_utf8(t).unwrap())
    }

    #[test]
    fn adding() {
        for (before, name, hash, expected) in [
            ("", "Ann", "{PLAIN}x", Ok("ann:{PLAIN}x::::::\n")),
            ("# c", "ann", "{PLAIN}x", Ok("# c\nann:{PLAIN}x::::::\n")),
            (
                "#ann:\n",
                "ann",
                "{PLAIN}x",
                Ok("#ann:\nann:{PLAIN}x::::::\n"),
            ),
            (
                "bob:!\n",
                "ann",
                "{PLAIN}x",
                Ok("bob:!\nann:{PLAIN}x::::::\n"),
            ),
            ("ANN:!\n", "ann", "{PLAIN}x", Err(EditFault::Exists)),
            ("ann", "Ann", "{PLAIN}x", Err(EditFault::Exists)),
            (
                "",
                "a:b",
                "{PLAIN}x",
                Err(EditFault::Name(NameFault::Character(':'))),
            ),
            ("", "", "{PLAIN}x", Err(EditFault::Name(NameFault::Empty))),
            (
                "",
                "ann",
                "{PLAIN}x:y",
                Err(EditFault::Password(Unusable::Malformed)),
            ),
            (
                "",
                "ann",
                "{PLAIN}x\ny:",
                Err(EditFault::Password(Unusable::Malformed)),
            ),
            (
                "",
                "ann",
                "tiger",
                Err(EditFault::Password(Unusable::Scheme)),
            ),
            ("", "ann", "!", Err(EditFault::Password(Unusable::Locked))),
        ] {
            let result = text(add(before.as_bytes(), name, hash));
            assert_eq!(
                result.as_deref(),
                expected.as_ref().copied(),
                "{before:?} {name}"
            );
        }
    }

    #[test]
    fn changing() {
        for (before, expected) in [
            ("ann:!\n", Ok("ann:{PLAIN}y\n")),
            (
                "Ann:a:1:2:g:/h:/s:e=1:2\n",
                Ok("Ann:{PLAIN}y:1:2:g:/h:/s:e=1:2\n"),
            ),
            ("# ann:!\nann", Ok("# ann:!\nann:{PLAIN}y")),
            ("ann:a:\r\nbob:b\r\n", Ok("ann:{PLAIN}y:\r\nbob:b\r\n")),
            ("ann:a\nann:b\n", Ok("ann:{PLAIN}y\nann:b\n")),
            ("anna:a\n", Err(EditFault::Unknown)),
            ("", Err(EditFault::Unknown)),
        ] {
            let result = text(change(before.as_bytes(), "ANN", "{PLAIN}y"));
            assert_eq!(result.as_deref(), expected.as_ref().copied(), "{before:?}");
        }
        let broken = change(b"ann:!", "ann", "{PLAIN}y\nroot:{PLAIN}x");
        assert_eq!(broken, Err(EditFault::Password(Unusable::Malformed)));
    }

    #[test]
    fn renewing() {
        let before = b"bob:{PLAIN}x:\nAnn:{PLAIN}x:1:2:g:/h\r\nann:{PLAIN}z\n";
        let renewed = renew(before, "ann", mark_of(b"{PLAIN}x"), "{PLAIN}y").unwrap();
        let expected = "bob:{PLAIN}x:\nAnn:{PLAIN}y:1:2:g:/h\r\nann:{PLAIN}z\n";
        assert_eq!(String::from_utf8(renewed).unwrap(), expected);
        // Changed meanwhile; gone; and not what can be stored.
        assert_eq!(renew(before, "ann", mark_of(b"{PLAIN}z"), "{PLAIN}y"), None);
        assert_eq!(renew(before, "eve", mark_of(b"{PLAIN}x"), "{PLAIN}y"), None);
        assert_eq!(
            renew(before, "ann", mark_of(b"{PLAIN}x"), "{PLAIN}y\nroot:"),
            None
        );
    }

    #[test]
    fn removing() {
        for (before, expected) in [
            ("ann:!\nbob:!", Ok("bob:!")),
            (
                "# ann:\n\nbob:!\nANN:x\n# end\nann:y\n",
                Ok("# ann:\n\nbob:!\n# end\n"),
            ),
            ("bob:!\n", Err(EditFault::Unknown)),
        ] {
            let result = text(remove(before.as_bytes(), "Ann"));
            assert_eq!(result.as_deref(), expected.as_ref().copied(), "{before:?}");
        }
        assert_eq!(remove(b"#x\n", "#x"), Err(EditFault::Unknown));
    }

    #[test]
    fn other_octets_stay() {
        let before = b"old:x:1:1:J\xfcrg::\nann:!\n";
        let after = remove(before, "ann").unwrap();
        assert_eq!(after, b"old:x:1:1:J\xfcrg::\n");
    }
}
