//! Messages of which parts are in files of their own, some of them decoded from base64.

use super::Body;
use crate::codec::base64;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets that a block of base64 stands for, and its characters.
const OCTETS: u64 = 3;
const CHARACTERS: u64 = 4;
/// Blocks encoded at a time.
const BLOCKS: u64 = 1024;

/// How a part was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// Characters of a line, whole blocks.
    pub(super) length: u64,
    pub(super) crlf: bool,
}

impl Lines {
    fn end(self) -> &'static [u8] {
        if self.crlf { b"\r\n" } else { b"\n" }
    }

    /// Characters that so many octets become, without a line end behind the last one.
    fn encoded(self, octets: u64) -> u64 {
        let characters = octets.div_ceil(OCTETS) * CHARACTERS;
        let ends = characters.div_ceil(self.length).saturating_sub(1);
        characters + ends * self.end().len() as u64
    }
}

/// A part that is in a file of its own.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it begins in the message.
    pub(super) start: u64,
    /// Octets that it has there.
    octets: u64,
    file: File,
    /// How it was encoded, and characters of that without a line end behind the last line; `None`: the file
    /// has it as it is.
    lines: Option<(Lines, u64)>,
}

impl Part {
    /// `None` if the file has not what belongs there, by its length.
    pub(super) fn new(
        start: u64,
        octets: u64,
        file: File,
        lines: Option<Lines>,
    ) -> io::Result<Option<Part>> {
        let length = file.metadata()?.len();
        let lines = lines.map(|lines| (lines, lines.encoded(length)));
        let whole = match lines {
            None => length == octets,
            Some((lines, encoded)) => {
                let end = lines.end().len() as u64;
                [encoded, encoded + end].contains(&octets)
            }
        };
        let part = Part {
            start,
            octets,
            file,
            lines,
        };
        Ok(whole.then_some(part))
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let Some((lines, encoded)) = self.lines else {
            return self.file.read_at(out, at);
        };
        let end = lines.end();
        if let Some(behind) = at.checked_sub(encoded) {
            let behind = usize::try_from(behind).unwrap_or(usize::MAX);
            return end.get(behind..).unwrap_or_default().read(out);
        }
        let whole = lines.length + end.len() as u64;
        // Whole lines, as far as one block of octets reaches.
        let (row, column) = (at / whole, at % whole);
        if let Some(rest) = column.checked_sub(lines.length) {
            let rest = usize::try_from(rest).unwrap_or(0);
            return end.get(rest..).unwrap_or_default().read(out);
        }
        let first = row * (lines.length / CHARACTERS) + column / CHARACTERS;
        let mut octets = vec![0; usize::try_from(BLOCKS * OCTETS).unwrap_or(0)];
        let count = fill(&self.file, &mut octets, first * OCTETS)?;
        let text = base64::encode(octets.get(..count).unwrap_or_default());
        let skip = usize::try_from(column % CHARACTERS).unwrap_or(0);
        let mut text = text.as_bytes().get(skip..).unwrap_or_default();
        let (mut column, mut done) = (column, 0);
        while !text.is_empty() {
            let left = usize::try_from(lines.length - column).unwrap_or(usize::MAX);
            let (line, rest) = text.split_at(left.min(text.len()));
            let taken = put(line, out, &mut done);
            if taken < line.len() || line.len() < left {
                break;
            }
            // Behind the last line there may be none.
            if rest.is_empty() || put(end, out, &mut done) < end.len() {
                break;
            }
            (text, column) = (rest, 0);
        }
        Ok(done)
    }
}

/// Puts as much as there is room for; returns how much that is.
fn put(text: &[u8], out: &mut [u8], done: &mut usize) -> usize {
    let room = out.get_mut(*done..).unwrap_or_default();
    let count = text.len().min(room.len());
    for (to, from) in room.iter_mut().zip(text) {
        *to = *from;
    }
    *done += count;
    count
}

fn fill(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = out.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + count as u64)? {
            0 => break,
            read => count += read,
        }
    }
    Ok(count)
}

/// A message and its parts, which are in order and do not overlap.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    base: Box<Body>,
    parts: Arc<[Part]>,
}

impl Joined {
    /// The message, of which `base` has what is in none of the parts.
    pub(super) fn body(base: Body, parts: Vec<Part>) -> Body {
        let octets = parts.iter().map(|part| part.octets).sum::<u64>() + base.length();
        let joined = Joined {
            base: Box::new(base),
            parts: parts.into(),
        };
        Body::joined(joined, octets)
    }

    pub(super) fn read_at(&mut self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let mut before = 0;
        let mut limit = u64::MAX;
        for part in self.parts.iter() {
            if at < part.start {
                limit = part.start - at;
                break;
            }
            let within = at - part.start;
            if let Some(left) = part.octets.checked_sub(within).filter(|left| *left > 0) {
                let count = part.read_at(limited(out, left), within)?;
                return match count {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    count => Ok(count),
                };
            }
            before += part.octets;
        }
        self.base.seek(SeekFrom::Start(at - before))?;
        self.base.read(limited(out, limit))
    }
}

fn limited(out: &mut [u8], limit: u64) -> &mut [u8] {
    let count = usize::try_from(limit).map_or(out.len(), |limit| limit.min(out.len()));
    out.get_mut(..count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(octets: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        file
    }

    /// By the way of a library and by lines.
    fn encoded(octets: &[u8], lines: Lines) -> Vec<u8> {
        let text = data_encoding::BASE64.encode(octets);
        let rows: Vec<&[u8]> = text.as_bytes().chunks(lines.length as usize).collect();
        rows.join(lines.end())
    }

    #[test]
    fn parts_are_where_they_were() {
        let octets: Vec<u8> = (0..20_000u32).map(|n| (n * 7 % 251) as u8).collect();
        for (length, crlf) in [(76, false), (4, true), (72, true), (100_000, false)] {
            let lines = Lines { length, crlf };
            for size in [0, 1, 2, 3, 54, 57, 58, 3071, 3072, 3073, 20_000] {
                let own = encoded(&octets[..size], lines);
                for ended in [false, true] {
                    let mut own = own.clone();
                    if ended {
                        own.extend_from_slice(lines.end());
                    }
                    let length = own.len() as u64;
                    let file_of_it = file(&octets[..size]);
                    let part = Part::new(6, length, file_of_it, Some(lines));
                    let plain = Part::new(6 + length + 3, 4, file(b"raw."), None);
                    let parts = [part, plain].map(|part| part.unwrap().unwrap());
                    let whole = [b"before", &own[..], b"mid", b"raw.", b"end"].concat();
                    let base = Body::memory(b"beforemidend".to_vec());
                    let mut body = Joined::body(base, parts.into());
                    assert_eq!(body.length(), whole.len() as u64);
                    let mut all = Vec::new();
                    body.read_to_end(&mut all).unwrap();
                    assert!(all == whole, "{length} {size} {ended}");
                    let mut clone = body.clone();
                    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
                        clone.seek(SeekFrom::Start(at as u64)).unwrap();
                        let mut piece = vec![0; 100.min(whole.len() - at)];
                        clone.read_exact(&mut piece).unwrap();
                        assert_eq!(piece, whole[at..at + piece.len()], "{length} {size} {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_whole_is_told() {
        let lines = Some(Lines {
            length: 4,
            crlf: false,
        });
        for (octets, lines, whole) in [
            (5, None, true),
            (6, None, false),
            (9, lines, true),
            (10, lines, true),
            (8, lines, false),
            (11, lines, false),
        ] {
            let part = Part::new(0, octets, file(b"12345"), lines).unwrap();
            assert_eq!(part.is_some(), whole, "{octets}");
        }
    }
}
