//! Octets on their way to a file of messages: in memory or, if they are many, in a file without a name.

use super::files;
use super::root::Root;
use crate::store::Error;
use crate::store::side::disk;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Up to so many stay in memory.
pub(super) const BUFFER_OCTETS: usize = 64 * 1024;

pub(super) struct Octets {
    root: Arc<Root>,
    pub(super) buffer: Vec<u8>,
    /// Where the octets are once they are more than the buffer takes; those in the buffer follow.
    spool: Option<File>,
    spooled: u64,
}

impl Octets {
    pub(super) fn new(root: &Arc<Root>) -> Octets {
        Octets {
            root: root.clone(),
            buffer: Vec::new(),
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

    /// To be called when the buffer got more, so that it stays small.
    pub(super) fn grown(&mut self) -> Result<(), Error> {
        match self.buffer.len() > BUFFER_OCTETS {
            true => self.spill(),
            false => Ok(()),
        }
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
        let Some(spool) = &self.spool else {
            before.reserve(self.buffer.len() + behind.len());
            before.extend_from_slice(&self.buffer);
            before.extend_from_slice(behind);
            return disk::write_at(file, &before, at);
        };
        disk::write_at(file, &before, at)?;
        let end = files::copy(spool, 0, self.spooled, file, at + before.len() as u64)?;
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
