//! Lines that tell whether they are whole: a CRC-32 in eight hexadecimal digits, a blank, the text, LF.

use crate::store::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Appends a line.
pub(crate) fn put(text: &str, out: &mut Vec<u8>) {
    let sum = crc32fast::hash(text.as_bytes());
    out.extend_from_slice(format!("{sum:08x} {text}\n").as_bytes());
}

/// So many NULs in a row are a gap, which power cuts leave in whole sectors; fewer are damage of a line.
pub(crate) const GAP: u64 = 32;

/// Finds out where lines end: at the first gap, or where nothing but NULs follows, with which a file is filled
/// up. Takes the text in pieces.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Octets that were taken.
    taken: u64,
    /// Where the last NULs begin, and how many they are.
    run: (u64, u64),
}

impl Ending {
    /// The next piece. Returns where the lines end, if they do.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Option<u64> {
        for at in memchr::memchr_iter(0, piece) {
            let at = self.taken + at as u64;
            let (start, count) = self.run;
            self.run = match start + count == at && count > 0 {
                true => (start, count + 1),
                false => (at, 1),
            };
            if self.run.1 == GAP {
                return Some(self.run.0);
            }
        }
        self.taken += piece.len() as u64;
        None
    }

    /// Where they end if there was no gap.
    pub(crate) fn finish(self) -> u64 {
        let (start, count) = self.run;
        match count > 0 && start + count == self.taken {
            true => start,
            false => self.taken,
        }
    }
}

/// Where the lines of a text end.
pub(crate) fn end(bytes: &[u8]) -> usize {
    let mut ending = Ending::default();
    let end = ending.take(bytes).unwrap_or_else(|| ending.finish());
    usize::try_from(end).unwrap_or(bytes.len())
}

/// The texts of all lines; `None` for one that is cut or damaged.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<&str>> {
    let text = bytes.get(..end(bytes)).unwrap_or_default();
    let lines = text.split_inclusive(|b| *b == b'\n');
    lines.map(|line| line.strip_suffix(b"\n").and_then(checked))
}

/// No line has more octets.
const MAX_LINE: u64 = 64 * 1024;

/// Calls `each` with the texts of all lines of a file up to an offset, which is where the lines end, or less; `None`
/// as [`lines`] has it, and for a line that is too long.
pub(crate) fn each_line(
    file: &File,
    end: u64,
    each: &mut dyn FnMut(Option<&str>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = BufReader::with_capacity(PIECE, Part { file, at: 0, end });
    let mut line = Vec::new();
    loop {
        line.clear();
        reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\n") {
            None if line.is_empty() => return Ok(()),
            None => {
                each(None)?;
                reader.skip_until(b'\n')?;
            }
            Some(line) => each(checked(line))?,
        }
    }
}

/// Octets of a file that are read at a time.
const PIECE: usize = 64 * 1024;

struct Part<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let count = left.min(out.len());
        let count = self
            .file
            .read_at(out.get_mut(..count).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn checked(line: &[u8]) -> Option<&str> {
    let (sum, text) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if crc32fast::hash(text) != sum {
        return None;
    }
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_none() {
        let mut bytes = Vec::new();
        put("one", &mut bytes);
        put("zwei ä", &mut bytes);
        let all = |bytes: &[u8]| -> Vec<Option<String>> {
            lines(bytes).map(|line| line.map(str::to_owned)).collect()
        };
        let whole = [Some("one".to_owned()), Some("zwei ä".to_owned())];
        assert_eq!(all(&bytes), whole);
        let gap = vec![0; GAP as usize];
        assert_eq!(all(&[&bytes[..], &gap, b"x\n"].concat()), whole);
        assert_eq!(all(&[&bytes[..], b"\0\0"].concat()), whole);
        let damaged = [&bytes[..], b"\0\0x\n", &bytes].concat();
        assert_eq!(all(&damaged).len(), 5, "a line lost is no gap");
        let (one, other) = gap.split_at(9);
        let mut ending = Ending::default();
        assert_eq!(ending.take(&[&bytes[..], one].concat()), None);
        assert_eq!(ending.take(other), Some(bytes.len() as u64));
        assert_eq!(all(&bytes[..bytes.len() - 1]), [whole[0].clone(), None]);
        for at in 0..12 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(all(&damaged), [None, whole[1].clone()], "{at}");
        }
    }
}
