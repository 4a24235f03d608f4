//! The bytes of a stored message.

use super::joined::Joined;
use super::mbox::Lease;
use super::packed::Unpacked;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The bytes of a message as stored, which are a file, a part of one, or some parts of one. Reading and
/// seeking keep to them; a clone has a position of its own.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    source: Source,
    length: u64,
    at: u64,
}

#[derive(Clone, Debug)]
enum Source {
    /// From an offset on.
    Part(Arc<File>, u64),
    Memory(Arc<Vec<u8>>),
    /// In order, where they begin and their lengths; nobody changes the file as long as the lease is there.
    Parts(Arc<(Lease, Vec<(u64, u64)>)>),
    /// What is compressed.
    Unpacked(Unpacked),
    /// What is in several files.
    Joined(Joined),
}

impl Source {
    /// Reads some octets of that place, at most to the end of a part.
    fn read_at(&mut self, out: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Source::Part(file, start) => file.read_at(out, *start + at),
            Source::Unpacked(unpacked) => unpacked.read_at(out, at),
            Source::Joined(joined) => joined.read_at(out, at),
            Source::Memory(bytes) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let mut rest = bytes.get(at..).unwrap_or_default();
                rest.read(out)
            }
            Source::Parts(parts) => {
                let mut before = 0;
                for (start, length) in &parts.1 {
                    if at < before + length {
                        let left = usize::try_from(before + length - at).unwrap_or(usize::MAX);
                        let count = out.len().min(left);
                        let out = out.get_mut(..count).unwrap_or_default();
                        return parts.0.file().read_at(out, start + at - before);
                    }
                    before += length;
                }
                Ok(0)
            }
        }
    }
}

impl Body {
    /// All of a file, from its beginning on.
    pub(crate) fn whole(file: File) -> io::Result<Body> {
        let length = file.metadata()?.len();
        Ok(Body::part(Arc::new(file), 0, length))
    }

    pub(crate) fn part(file: Arc<File>, start: u64, length: u64) -> Body {
        Body::of(Source::Part(file, start), length)
    }

    pub(crate) fn memory(bytes: Vec<u8>) -> Body {
        let length = bytes.len() as u64;
        Body::of(Source::Memory(bytes.into()), length)
    }

    /// These parts of a file, where they begin and their lengths.
    pub(crate) fn parts(lease: Lease, parts: Vec<(u64, u64)>) -> Body {
        let length = parts.iter().map(|(_, length)| length).sum();
        Body::of(Source::Parts(Arc::new((lease, parts))), length)
    }

    /// What is compressed, and has so many octets.
    pub(super) fn unpacked(unpacked: Unpacked, octets: u64) -> Body {
        Body::of(Source::Unpacked(unpacked), octets)
    }

    /// What is in several files, and has so many octets.
    pub(super) fn joined(joined: Joined, octets: u64) -> Body {
        Body::of(Source::Joined(joined), octets)
    }

    fn of(source: Source, length: u64) -> Body {
        Body {
            source,
            length,
            at: 0,
        }
    }

    /// All of it, if it is in memory.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Octets as stored, or, of what is compressed, before that.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let count = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let out = out.get_mut(..count).unwrap_or_default();
        if out.is_empty() {
            return Ok(0);
        }
        let read = self.source.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Body {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.length, by),
        };
        let at = from.checked_add_signed(by);
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_part_ends_where_it_ends() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut body = Body::part(Arc::new(file), 3, 4);
        let mut text = String::new();
        body.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), body.length()), ("3456", 4));
        let mut clone = body.clone();
        for (to, rest) in [
            (SeekFrom::Start(1), "456"),
            (SeekFrom::End(-1), "6"),
            (SeekFrom::Current(-2), "56"),
            (SeekFrom::Start(9), ""),
        ] {
            clone.seek(to).unwrap();
            let mut text = String::new();
            clone.read_to_string(&mut text).unwrap();
            assert_eq!(text, rest, "{to:?}");
            if rest == "6" {
                assert_eq!(body.read(&mut [0]).unwrap(), 0);
            }
        }
        assert!(clone.seek(SeekFrom::Current(-100)).is_err());
    }
}
