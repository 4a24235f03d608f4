//! Lines that tell whether they are whole: a CRC-32 in eight hexadecimal digits, a blank, the text, LF. Of those that
//! are not, and are as short as most are, one in which a single bit is another is mended: the sum tells which bit that
//! is, and no two of them look like one.

use crate::store::Error;
use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

/// Appends a line.
pub(crate) fn put(text: impl Display, out: &mut Vec<u8>) {
    const SUM: &[u8] = b"00000000 ";
    let start = out.len();
    out.extend_from_slice(SUM);
    // Memory takes whatever is written into it, and the sum has as many digits as there is room for.
    let _ = write!(out, "{text}");
    let (sum, text) = out.split_at_mut(start + SUM.len());
    let mut digits = sum.get_mut(start..).unwrap_or_default();
    let _ = write!(digits, "{:08x}", crc32fast::hash(text));
    out.push(b'\n');
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

/// Where the lines of a file end.
pub(crate) struct End {
    pub(crate) at: u64,
    /// The last line is not whole.
    pub(crate) torn: bool,
    /// Something stands behind a gap: a power cut left a later part of what was written and lost an
    /// earlier one.
    pub(crate) gap: bool,
}

/// Finds it out of the first so many octets, which are all that it has.
pub(crate) fn end_of(file: &File, length: u64) -> io::Result<End> {
    let mut piece = vec![0; PIECE];
    let mut read = |at: u64| {
        let count = usize::try_from(length - at).map_or(PIECE, |left| left.min(PIECE));
        let piece = piece.get_mut(..count).unwrap_or_default();
        file.read_exact_at(piece, at)
            .map(|()| (piece.to_vec(), at + count as u64))
    };
    let (mut at, mut end, mut ending) = (0, None, Ending::default());
    while at < length && end.is_none() {
        let (piece, next) = read(at)?;
        (end, at) = (ending.take(&piece), next);
    }
    let end = end.unwrap_or_else(|| ending.finish());
    let (mut at, mut gap) = (end, false);
    while at < length && !gap {
        let (piece, next) = read(at)?;
        gap = piece.iter().any(|octet| *octet != 0);
        at = next;
    }
    let mut last = *b"\n";
    if end > 0 {
        file.read_exact_at(&mut last, end - 1)?;
    }
    Ok(End {
        at: end,
        torn: last != *b"\n",
        gap,
    })
}

/// The texts of all lines, `Owned` of those that were mended; `None` for one that is cut or damaged.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<Cow<'_, str>>> {
    let text = bytes.get(..end(bytes)).unwrap_or_default();
    let mut mender = Mender::default();
    let lines = text.split_inclusive(|b| *b == b'\n');
    lines.flat_map(move |line| {
        let read = line.strip_suffix(b"\n").map(|line| mender.read(line));
        read.unwrap_or([Some(None), None]).into_iter().flatten()
    })
}

/// No line has more octets.
const MAX_LINE: u64 = 64 * 1024;

/// Takes a line.
pub(crate) type Each<'e> = dyn FnMut(Option<Cow<'_, str>>) -> Result<(), Error> + 'e;

/// Calls `each` with the texts of all lines of a file up to an offset, which is where the lines end, or less; `None`
/// as [`lines`] has it, and for a line that is too long.
pub(crate) fn each_line(file: &File, end: u64, each: &mut Each<'_>) -> Result<(), Error> {
    each_line_and(file, end, &[], each)
}

/// As `each_line`, also with those of `more`, which is to stand behind that offset.
pub(crate) fn each_line_and(
    file: &File,
    end: u64,
    more: &[u8],
    each: &mut Each<'_>,
) -> Result<(), Error> {
    let mut mender = Mender::default();
    let part = Part { file, at: 0, end };
    let mut reader = BufReader::with_capacity(PIECE, part.chain(more));
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
            Some(line) => {
                let read = mender.read(line).into_iter().flatten();
                read.into_iter().try_for_each(&mut *each)?;
            }
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
    let (sum, text) = line.split_at_checked(HEAD)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if crc32fast::hash(text) != sum {
        return None;
    }
    std::str::from_utf8(text).ok()
}

/// Octets in front of a text.
const HEAD: usize = 9;
/// Lines of one file that are tried to be mended: more are no matter of single bits.
const MAX_MENDED: u32 = 64;
/// Octets of a text that is: far fewer than those of which CRC-32 tells two such bits from one.
const MAX_MENDED_TEXT: usize = 1024;
/// The polynomial of CRC-32, its lowest power first.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Reads lines of one file.
#[derive(Default)]
struct Mender {
    tried: u32,
}

impl Mender {
    /// The text of a line, or those of two, if the end of one is not as it was.
    fn read<'l>(&mut self, line: &'l [u8]) -> [Option<Option<Cow<'l, str>>>; 2] {
        if let Some(text) = checked(line) {
            return [Some(Some(Cow::Borrowed(text))), None];
        }
        if self.tried >= MAX_MENDED || line.len() > HEAD + MAX_MENDED_TEXT {
            return [Some(None), None];
        }
        self.tried += 1;
        if let Some((one, other)) = parted(line) {
            let owned = |text: &str| Some(Cow::Owned(text.to_owned()));
            return [Some(owned(one)), other.map(owned)];
        }
        [Some(mended(line).map(Cow::Owned)), None]
    }
}

/// The texts of two lines, the first of which has an end in which one bit is another; of one, if nothing is behind it.
fn parted(line: &[u8]) -> Option<(&str, Option<&str>)> {
    let mut ends = (0..line.len()).rev();
    ends.find_map(|at| {
        let (one, rest) = line.split_at_checked(at)?;
        let (end, other) = rest.split_first()?;
        if (end ^ b'\n').count_ones() != 1 {
            return None;
        }
        let other = match other {
            [] => None,
            other => Some(checked(other)?),
        };
        Some((checked(one)?, other))
    })
}

/// The text of a line in which one bit is another.
fn mended(line: &[u8]) -> Option<String> {
    let (head, text) = line.split_at_checked(HEAD)?;
    let own = crc32fast::hash(text);
    let expected = format!("{own:08x} ");
    let differ = head.iter().zip(expected.as_bytes());
    let bits: u32 = differ.map(|(a, b)| (a ^ b).count_ones()).sum();
    let text = match bits {
        1 => text.to_vec(),
        _ => {
            let sum = std::str::from_utf8(head).ok()?.strip_suffix(' ')?;
            let sum = u32::from_str_radix(sum, 16).ok()?;
            let (at, bit) = flipped(text.len(), own ^ sum)?;
            let mut text = text.to_vec();
            *text.get_mut(at)? ^= bit;
            text
        }
    };
    String::from_utf8(text).ok()
}

/// The octet, and the bit of it, that makes this difference between the sums of two texts.
fn flipped(octets: usize, difference: u32) -> Option<(usize, u8)> {
    let shifted = |sum: u32| match sum & 1 {
        1 => (sum >> 1) ^ POLYNOMIAL,
        _ => sum >> 1,
    };
    // What the highest bit of the last octet makes; each before it makes that shifted once more.
    let mut sum = (0..8).fold(0x80, |sum, _| shifted(sum));
    for at in (0..octets).rev() {
        for bit in (0..8).rev() {
            if sum == difference {
                return Some((at, 1 << bit));
            }
            sum = shifted(sum);
        }
    }
    None
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
            lines(bytes).map(|line| line.map(Cow::into_owned)).collect()
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
            damaged[at + 1] ^= 1;
            let first = all(&damaged).remove(0);
            assert_eq!(first, None, "{at}");
        }
    }

    #[test]
    fn a_single_bit_is_mended() {
        let text = "F :2,S 6ac1ä,m=1:16,S=106,U=1 ".repeat(4);
        let mut bytes = Vec::new();
        put("before", &mut bytes);
        let start = bytes.len();
        put(&text, &mut bytes);
        let last = bytes.len() - 1;
        let mut mended = 0;
        for at in start..last {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                if bad[at] == b'\n' {
                    // Of one that makes two nothing is known.
                    continue;
                }
                let told: Vec<_> = lines(&bad).collect();
                assert_eq!(told.len(), 2);
                let own = told[1].clone().unwrap_or_default();
                assert_eq!(own, text, "{at} {bit}");
                // A digit of the sum that is a capital letter is as good.
                mended += usize::from(matches!(told[1], Some(Cow::Owned(_))));
                let other = start + (at * 7 + 11) % (last - start);
                if other != at {
                    bad[other] ^= 1 << ((bit + 3) % 8);
                    if memchr::memchr_iter(b'\n', &bad).count() == 2 {
                        let last = lines(&bad).last().unwrap();
                        assert!(last.is_none_or(|own| own == *text), "{at} {bit}");
                    }
                }
            }
        }
        assert!(mended > 8 * text.len());
    }

    #[test]
    fn the_end_of_a_line_is_mended_too() {
        let mut bytes = Vec::new();
        put("one J*", &mut bytes);
        let end = bytes.len() - 1;
        put("two", &mut bytes);
        let last = bytes.len() - 1;
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[end] ^= 1 << bit;
            let told: Vec<_> = lines(&bad).flatten().collect();
            assert_eq!(told, ["one J*", "two"], "{bit}");
            assert!(told.iter().all(|line| matches!(line, Cow::Owned(_))));
            // As whoever adds a line to one without an end gives it one first.
            let mut bad = bytes.clone();
            bad[last] ^= 1 << bit;
            bad.push(b'\n');
            let told: Vec<_> = lines(&bad).collect();
            assert_eq!(told.len(), 2);
            assert_eq!(told[1].as_deref(), Some("two"), "{bit}");
        }
    }

    #[test]
    fn few_lines_of_a_file_are_tried_and_none_that_is_long() {
        let damaged = |text: &str| {
            let mut line = Vec::new();
            put(text, &mut line);
            line[HEAD] ^= 1;
            line
        };
        let whole = |bytes: &[u8]| lines(bytes).flatten().count();
        assert_eq!(whole(&damaged(&"x".repeat(MAX_MENDED_TEXT))), 1);
        assert_eq!(whole(&damaged(&"x".repeat(MAX_MENDED_TEXT + 1))), 0);
        let many = damaged("text").repeat(MAX_MENDED as usize + 9);
        assert_eq!(whole(&many), MAX_MENDED as usize);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, &many).unwrap();
        let (mut told, file) = (0, File::open(&path).unwrap());
        each_line(&file, many.len() as u64, &mut |line| {
            told += usize::from(line.is_some());
            Ok(())
        })
        .unwrap();
        assert_eq!(told, MAX_MENDED as usize);
    }
}
