//! The bytes of a stored message.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The bytes of a message as stored, which are a file or a part of one. Reading and seeking keep to
/// them; a clone has a position of its own.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    file: Arc<File>,
    /// Where they begin in the file.
    start: u64,
    length: u64,
    at: u64,
}

impl Body {
    /// All of a file, from its beginning on.
    pub(crate) fn whole(file: File) -> io::Result<Body> {
        let length = file.metadata()?.len();
        Ok(Body::part(Arc::new(file), 0, length))
    }

    pub(crate) fn part(file: Arc<File>, start: u64, length: u64) -> Body {
        Body {
            file,
            start,
            length,
            at: 0,
        }
    }

    /// Octets as stored.
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
        let read = self.file.read_at(out, self.start + self.at)?;
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
