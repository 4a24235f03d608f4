//! The side files `dovelet-metadata`, one in the directory of each mailbox that has annotations, and
//! `dovelet-metadata-server` in the root. So the annotations go where their directory goes. Lines of
//! an entry's name, a tab, and its value, tab-escaped as Dovecot does it in its own files.

use super::lock::replace;
use crate::mail::EntryName;
use crate::store::Error;
use crate::sys::regular;
use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "dovelet-metadata";
pub(crate) const SERVER: &str = "dovelet-metadata-server";

/// Entries with their values.
pub(crate) type Annotations = Vec<(EntryName, Vec<u8>)>;

/// What the file says; nothing if it is not there.
pub(crate) fn read(path: &Path) -> Result<Annotations, Error> {
    match regular::read(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the file anew. Durable.
pub(crate) fn write(path: &Path, annotations: &Annotations) -> Result<(), Error> {
    replace(path, &encode(annotations))
}

/// Lines that cannot be read are left out.
fn parse(text: &[u8]) -> Annotations {
    let lines = text.split(|&b| b == b'\n');
    lines
        .filter_map(|line| {
            let at = line.iter().position(|b| *b == b'\t')?;
            let name = EntryName::new(line.get(..at)?)?;
            Some((name, unescape(line.get(at + 1..)?)?))
        })
        .collect()
}

fn encode(annotations: &Annotations) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in annotations {
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b'\t');
        escape(value, &mut out);
        out.push(b'\n');
    }
    out
}

const ESCAPES: [(u8, u8); 5] = [
    (0, b'0'),
    (1, b'1'),
    (b'\t', b't'),
    (b'\r', b'r'),
    (b'\n', b'n'),
];

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match ESCAPES.iter().find(|(plain, _)| plain == byte) {
            Some((_, letter)) => out.extend_from_slice(&[1, *letter]),
            None => out.push(*byte),
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        value.push(match byte {
            1 => {
                let letter = rest.next()?;
                ESCAPES.iter().find(|(_, own)| own == letter)?.0
            }
            byte => *byte,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_comes_back() {
        let name = |text: &str| EntryName::new(text.as_bytes()).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        let annotations = vec![
            (name("/private/comment"), b"My own\r\ncomment".to_vec()),
            (name("/shared/x"), all),
            (name("/shared/y"), Vec::new()),
        ];
        let text = encode(&annotations);
        assert!(text.starts_with(b"/private/comment\tMy own\x01r\x01ncomment\n"));
        assert_eq!(parse(&text), annotations);
        assert_eq!(
            parse(b"nonsense\n/shared/a\tx\n/shared/b\t\x01\n/other/c\tx\n/shared/d\ty"),
            [
                (name("/shared/a"), b"x".to_vec()),
                (name("/shared/d"), b"y".to_vec())
            ]
        );
    }
}
