//! Messages of a file that others wrote, read once and left as they are.

use super::walk::{self, Walked};
use crate::mail::{Keyword, SystemFlags};
use crate::store::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Octets of a line that are looked at at once.
const PIECE: u64 = 64 * 1024;

/// A message as another program left it.
pub(crate) struct Letter<'a> {
    pub(crate) flags: SystemFlags,
    pub(crate) keywords: Vec<Keyword>,
    /// When it was received, in seconds since 1970.
    pub(crate) received: i64,
    /// Octets of the file up to its end.
    pub(crate) until: u64,
    /// Its octets, without the fields in which such files keep flags and UIDs. Lines of a body before which
    /// another program put `>`, because they begin with `From `, are as they were, unless the body has
    /// Content-Length, with which that is not done.
    pub(crate) body: &'a mut dyn Read,
}

/// Calls `each` with the messages in their order. Errors: `Corrupt` if it is no such file; those of `each`.
pub(crate) fn letters<E: From<Error>>(
    file: &File,
    each: &mut dyn FnMut(Letter<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut first, mut failed) = (true, None);
    walk::walk(file, 0, &mut |walked| {
        let is_none = walked.torn || first && walked.kept.pseudo;
        first = false;
        if is_none {
            return Ok(true);
        }
        failed = letter(file, &walked)
            .map_err(E::from)
            .and_then(|mut body| {
                each(Letter {
                    flags: walked.kept.flags,
                    keywords: keywords(&walked),
                    received: walked.received,
                    until: walked.span.next,
                    body: &mut body,
                })
            })
            .err();
        Ok(failed.is_none())
    })?;
    failed.map_or(Ok(()), Err)
}

fn keywords(walked: &Walked) -> Vec<Keyword> {
    let named = walked.kept.keywords.iter();
    named.filter_map(|name| Keyword::new(name)).collect()
}

fn letter<'a>(file: &'a File, walked: &Walked) -> Result<Unquoted<Parts<'a>>, Error> {
    let span = &walked.span;
    let exact = walked.kept.body_octets == Some(span.end - span.body);
    Ok(Unquoted::new(
        Parts {
            file,
            parts: walk::shown(file, span)?,
            part: 0,
            at: 0,
        },
        exact,
    ))
}

/// Some parts of a file, one behind the other.
struct Parts<'a> {
    file: &'a File,
    parts: Vec<(u64, u64)>,
    part: usize,
    at: u64,
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some((start, length)) = self.parts.get(self.part) {
            let left = usize::try_from(length - self.at).unwrap_or(usize::MAX);
            if left == 0 {
                (self.part, self.at) = (self.part + 1, 0);
                continue;
            }
            let count = out.len().min(left);
            let out = out.get_mut(..count).unwrap_or_default();
            let count = self.file.read_at(out, start + self.at)?;
            if count == 0 && !out.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.at += count as u64;
            return Ok(count);
        }
        Ok(0)
    }
}

/// A message without `>` where that was put before `From `.
struct Unquoted<R: Read> {
    from: BufReader<R>,
    /// All comes as it is.
    exact: bool,
    in_body: bool,
    /// What comes begins a line.
    begins: bool,
    piece: Vec<u8>,
    at: usize,
}

impl<R: Read> Unquoted<R> {
    fn new(from: R, exact: bool) -> Unquoted<R> {
        Unquoted {
            from: BufReader::new(from),
            exact,
            in_body: false,
            begins: true,
            piece: Vec::new(),
            at: 0,
        }
    }

    fn next(&mut self) -> io::Result<()> {
        self.piece.clear();
        self.at = 0;
        let mut line = (&mut self.from).take(PIECE);
        line.read_until(b'\n', &mut self.piece)?;
        let begins = std::mem::replace(&mut self.begins, self.piece.ends_with(b"\n"));
        if !begins || self.exact {
            return Ok(());
        }
        if self.in_body && is_quoted(&self.piece) {
            self.at = 1;
        }
        self.in_body |= matches!(self.piece.as_slice(), b"\n" | b"\r\n");
        Ok(())
    }
}

fn is_quoted(line: &[u8]) -> bool {
    let marks = line.iter().take_while(|octet| **octet == b'>').count();
    let rest = line.get(marks..).unwrap_or_default();
    marks > 0 && rest.starts_with(super::from::PREFIX)
}

impl<R: Read> Read for Unquoted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            self.next()?;
        }
        let left = self.piece.get(self.at..).unwrap_or_default();
        let count = left.len().min(out.len());
        if let (Some(out), Some(left)) = (out.get_mut(..count), left.get(..count)) {
            out.copy_from_slice(left);
        }
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(text: &str) -> Result<Vec<(u8, String, i64, String)>, Error> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut found = Vec::new();
        letters(&file, &mut |letter: Letter<'_>| {
            let mut body = String::new();
            letter.body.read_to_string(&mut body)?;
            let keywords: Vec<&str> = letter.keywords.iter().map(Keyword::as_str).collect();
            found.push((
                letter.flags.bits(),
                keywords.join(" "),
                letter.received,
                body,
            ));
            Ok::<(), Error>(())
        })?;
        Ok(found)
    }

    #[test]
    fn what_other_programs_wrote_is_read() {
        let text = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n\
            Subject: DON'T DELETE\nX-IMAP: 7 2 $x\n\nnothing\n\n\
            From a@b Thu Jan  1 00:00:10 1970\nSubject: one\nStatus: RO\nX-Status: F\nX-UID: 9\n\
            X-Keywords: $x y\n\n>From here\n>>From there\n>not\n\n\
            From a@b Thu Jan  1 00:00:20 1970\nContent-Length: 11\nSubject: two\n\n>From here\n\n\
            From a@b Thu Jan  1 00:00:30 1970\r\nSubject: three\r\n\r\n>From here\r\n";
        let found = read(text).unwrap();
        let row = |flags, keywords: &str, at, body: &str| {
            (flags, keywords.to_owned(), at, body.to_owned())
        };
        let expected = [
            row(
                SystemFlags::SEEN.with(SystemFlags::FLAGGED).bits(),
                "$x y",
                10,
                "Subject: one\n\nFrom here\n>From there\n>not\n",
            ),
            row(0, "", 20, "Subject: two\n\n>From here\n"),
            row(0, "", 30, "Subject: three\r\n\r\nFrom here\r\n"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn other_files_are_none() {
        assert!(matches!(
            read("Subject: x\n\ny\n"),
            Err(Error::Corrupt { .. })
        ));
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn lines_longer_than_a_piece_are_no_beginnings() {
        let long = "x".repeat(PIECE as usize);
        let body = format!("{long}>From x\n>From y\n");
        let text = format!("From a Thu Jan  1 00:00:00 1970\na: b\n\n{body}");
        let found = read(&text).unwrap();
        assert_eq!(found[0].3, format!("a: b\n\n{long}>From x\nFrom y\n"));
    }
}
