//! Octets on their way to a file of messages: in memory or, if they are many, in a file without a name.

use super::allowance::{Allowance, DRAFTS, Pool};
use super::files;
use super::root::Root;
use crate::store::Error;
use crate::store::side::disk;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Up to so many stay in memory; more as far as there is an allowance for them.
pub(super) const BUFFER_OCTETS: usize = 64 * 1024;

pub(super) struct Octets {
    root: Arc<Root>,
    /// Those that are not in the file. Whoever puts some there puts at most `BUFFER_OCTETS` at a time.
    pub(super) buffer: Vec<u8>,
    /// For those in the buffer beyond `BUFFER_OCTETS`.
    allowance: Allowance,
    /// Where the octets are once they are more than the buffer takes; those in the buffer follow.
    spool: Option<File>,
    spooled: u64,
}

impl Octets {
    pub(super) fn new(root: &Arc<Root>) -> Octets {
        Octets::within(root, &DRAFTS)
    }

    /// As `new`, with memory from that pool.
    fn within(root: &Arc<Root>, pool: &'static Pool) -> Octets {
        Octets {
            root: root.clone(),
            buffer: Vec::new(),
            allowance: Allowance::of(pool),
            spool: None,
            spooled: 0,
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.spooled + self.buffer.len() as u64
    }

    /// All of it, if it is in memory.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        self.spool.is_none().then_some(self.buffer.as_slice())
    }

    /// To be called when the buffer got more, so that it stays as small as it is to be.
    pub(super) fn grown(&mut self) -> Result<(), Error> {
        let room = BUFFER_OCTETS + self.allowance.octets();
        if self.buffer.len() <= room {
            return Ok(());
        }
        // Twice as much each time, so that few octets are moved.
        if self.spool.is_some() || !self.allowance.grow(room) {
            return self.spill();
        }
        let next = 2 * room + BUFFER_OCTETS;
        self.buffer
            .reserve_exact(next.saturating_sub(self.buffer.len()));
        Ok(())
    }

    /// Nothing comes any more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self.spool {
            Some(_) => self.spill(),
            None => Ok(()),
        }
    }

    fn spill(&mut self) -> Result<(), Error> {
        let spool = match &self.spool {
            Some(spool) => spool,
            None => self.spool.insert(self.root.nameless()?),
        };
        disk::write_at(spool, &self.buffer, self.spooled)?;
        self.spooled += self.buffer.len() as u64;
        self.buffer.clear();
        if self.allowance.octets() > 0 {
            self.buffer.shrink_to(BUFFER_OCTETS);
            self.allowance.release();
        }
        Ok(())
    }

    /// A file with all of it, once it is finished.
    pub(super) fn file(&self) -> Result<File, Error> {
        match &self.spool {
            Some(spool) => Ok(spool.try_clone()?),
            None => {
                let copy = self.root.nameless()?;
                disk::write_at(&copy, &self.buffer, 0)?;
                Ok(copy)
            }
        }
    }

    /// Writes it, once it is finished, between two texts, to an offset of a file.
    pub(super) fn write_between(
        &self,
        mut before: Vec<u8>,
        behind: &[u8],
        file: &File,
        at: u64,
    ) -> io::Result<()> {
        if self.spool.is_none() && self.buffer.len() <= BUFFER_OCTETS {
            before.reserve(self.buffer.len() + behind.len());
            before.extend_from_slice(&self.buffer);
            before.extend_from_slice(behind);
            return disk::write_at(file, &before, at);
        }
        disk::write_at(file, &before, at)?;
        let start = at + before.len() as u64;
        let end = match &self.spool {
            Some(spool) => files::copy(spool, 0, self.spooled, file, start)?,
            None => {
                disk::write_at(file, &self.buffer, start)?;
                start + self.buffer.len() as u64
            }
        };
        disk::write_at(file, behind, end)
    }

    /// Reads it from its beginning on, once it is finished.
    pub(super) fn reader(&self) -> impl Read {
        Reader { of: self, at: 0 }
    }
}

impl Write for Octets {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        self.grown().map_err(|error| match error {
            Error::Io(error) => error,
            Error::Full => io::ErrorKind::StorageFull.into(),
            other => io::Error::other(other.to_string()),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Reader<'a> {
    of: &'a Octets,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = match &self.of.spool {
            Some(spool) => spool.read_at(out, self.at)?,
            None => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                let mut rest = self.of.buffer.get(at..).unwrap_or_default();
                rest.read(out)?
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::dbox::sdbox;

    /// What is written from octets that came in pieces of that size, and whether they were in memory.
    fn written(count: usize, piece: usize, pool: &'static Pool) -> (bool, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path(), None, sdbox::recover, None).unwrap();
        let all: Vec<u8> = (0..count).map(|n| (n / 7 % 251) as u8).collect();
        let mut octets = Octets::within(&root, pool);
        for piece in all.chunks(piece) {
            octets.write_all(piece).unwrap();
            let most = 2 * BUFFER_OCTETS + octets.allowance.octets();
            assert!(octets.buffer.capacity() <= most, "{count}");
        }
        octets.finish().unwrap();
        assert_eq!(octets.length(), count as u64);
        let mut read = Vec::new();
        octets.reader().read_to_end(&mut read).unwrap();
        assert_eq!(read, all);
        let file = root.nameless().unwrap();
        octets
            .write_between(b"before".to_vec(), b"behind", &file, 3)
            .unwrap();
        let mut text = vec![0; count + 12];
        file.read_exact_at(&mut text, 3).unwrap();
        assert_eq!(text, [b"before", &all[..], b"behind"].concat());
        (octets.memory().is_some(), text)
    }

    #[test]
    fn large_ones_stay_in_memory_as_far_as_there_is_some() {
        static POOL: Pool = Pool::new(8 * BUFFER_OCTETS as u32);
        static NONE: Pool = Pool::new(0);
        for (count, pool, in_memory) in [
            (0, &NONE, true),
            (BUFFER_OCTETS, &NONE, true),
            (BUFFER_OCTETS + 1, &NONE, false),
            (BUFFER_OCTETS + 1, &POOL, true),
            (2 * BUFFER_OCTETS, &POOL, true),
            // Twice as much again would be more than its part.
            (2 * BUFFER_OCTETS + 1, &POOL, false),
            (9 * BUFFER_OCTETS, &POOL, false),
        ] {
            for piece in [1000, BUFFER_OCTETS] {
                assert_eq!(written(count, piece, pool).0, in_memory, "{count} {piece}");
            }
        }
        // What went on in a file needs no memory any more.
        assert!(written(2 * BUFFER_OCTETS, BUFFER_OCTETS, &POOL).0);
    }
}
