//! Attachments that Dovecot keeps in files of their own (its setting mail_attachment_dir). They are read, not
//! written, and stay when the message goes.

use super::framing::{ATTACHMENTS, Metadata};
use crate::mail::{Guid, Uid};
use crate::store::joined::{Joined, Lines, Part};
use crate::store::{Body, Error};
use crate::sys::regular;
use std::io;
use std::path::{Component, Path};

/// Attachments of a message, at most.
const MAX_PARTS: usize = 1000;
const DAMAGED: Error = Error::Corrupt { what: "a message" };

/// A part of a message that is elsewhere.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    start: u64,
    octets: u64,
    lines: Option<Lines>,
    path: &'a str,
}

/// What the names of the files of an sdbox message end with, which is called that in a mailbox.
pub(super) fn suffix(mailbox: Guid, uid: Uid) -> String {
    format!("-{mailbox}-{uid}")
}

/// The whole message of which `base` is in a file of messages. `suffix`: see there. Errors: `Corrupt` if an
/// attachment is not there, or another.
pub(super) fn join(
    base: Body,
    metadata: &Metadata,
    directory: &Path,
    suffix: &str,
) -> Result<Body, Error> {
    let Some(value) = metadata.get(ATTACHMENTS) else {
        return Ok(base);
    };
    let references = std::str::from_utf8(value).ok().and_then(parse);
    let mut parts = Vec::new();
    for reference in references.ok_or(DAMAGED)? {
        let path = directory.join(format!("{}{suffix}", reference.path));
        let file = match regular::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                log::error!("{}: the attachment of a message is gone", path.display());
                return Err(DAMAGED);
            }
            opened => opened?,
        };
        let part = Part::new(reference.start, reference.octets, file, reference.lines)?;
        parts.push(part.ok_or_else(|| {
            log::error!("{}: the attachment is not as it was", path.display());
            DAMAGED
        })?);
    }
    Ok(Joined::body(base, parts))
}

/// `None` if that is not what Dovecot writes.
fn parse(value: &str) -> Option<Vec<Reference<'_>>> {
    let words: Vec<&str> = value.split(' ').collect();
    let (rows, []) = words.as_chunks::<4>() else {
        return None;
    };
    let mut references = Vec::new();
    let mut end = 0;
    for [start, octets, how, path] in rows.iter().take(MAX_PARTS + 1) {
        let reference = Reference {
            start: start.parse().ok().filter(|start| *start >= end)?,
            octets: octets.parse().ok()?,
            lines: lines(how)?,
            path: is_below(path).then_some(*path)?,
        };
        end = reference.start.checked_add(reference.octets)?;
        references.push(reference);
    }
    (references.len() <= MAX_PARTS).then_some(references)
}

/// How it was encoded: `-`, not at all; `B` and the characters of a line, after `C` if that ends with CRLF.
fn lines(how: &str) -> Option<Option<Lines>> {
    if how == "-" {
        return Some(None);
    }
    let crlf = how.strip_prefix('C');
    let length = crlf.unwrap_or(how).strip_prefix('B')?;
    let length: u64 = length.parse().ok()?;
    (length > 0 && length.is_multiple_of(4)).then_some(Some(Lines {
        length,
        crlf: crlf.is_some(),
    }))
}

/// True if it leads nowhere else.
fn is_below(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        let value = "5 100 B76 ab/cd/abcd-1 105 7 - x/y 200 9 CB4 z";
        let references = parse(value).unwrap();
        let lines = |length, crlf| Some(Lines { length, crlf });
        let known = [
            (5, 100, lines(76, false), "ab/cd/abcd-1"),
            (105, 7, None, "x/y"),
            (200, 9, lines(4, true), "z"),
        ];
        let known = known.map(|(start, octets, lines, path)| Reference {
            start,
            octets,
            lines,
            path,
        });
        assert_eq!(references, known);
        for bad in [
            "",
            "5 100 B76",
            "5 100 B76 a 6 1 - b",
            "5 100 B75 a",
            "5 100 B0 a",
            "5 100 C a",
            "5 100 X a",
            "5 100 - ../a",
            "5 100 - /a",
            "5 100 - a/../../b",
            "x 100 - a",
            "5 18446744073709551615 - a",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let many = vec!["1 0 - a"; MAX_PARTS + 1].join(" ");
        assert_eq!(parse(&many), None);
    }
}
