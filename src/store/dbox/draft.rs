//! A message while it is written: in memory, or if it is large in a file without a name.

use super::files::{self, Hold};
use super::record::Place;
use super::root::Root;
use crate::codec::crlf::ToLf;
use crate::mail::Guid;
use crate::store::side::uid_validity::random_guid;
use crate::store::{Body, Draft, Error};
use std::any::Any;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

/// Messages up to this many octets stay in memory until they are saved.
const BUFFER_OCTETS: usize = 64 * 1024;

pub(super) struct DboxDraft {
    root: Arc<Root>,
    encoder: ToLf,
    buffer: Vec<u8>,
    /// Where the octets are once they are more than the buffer takes; those in the buffer follow.
    spool: Option<File>,
    spooled: u64,
    finished: bool,
    pub(super) received: i64,
    pub(super) guid: Guid,
    /// The account it was saved to, and where.
    pub(super) saved: Option<(Weak<Root>, Place, Hold)>,
}

impl DboxDraft {
    pub(super) fn new(root: &Arc<Root>) -> Result<DboxDraft, Error> {
        Ok(DboxDraft {
            root: root.clone(),
            encoder: ToLf::default(),
            buffer: Vec::new(),
            spool: None,
            spooled: 0,
            finished: false,
            received: crate::sys::clock::now_seconds(),
            guid: random_guid()?,
            saved: None,
        })
    }

    /// Octets as stored.
    pub(super) fn stored_octets(&self) -> u64 {
        self.encoder.octets()
    }

    /// All of it, if it is in memory.
    pub(super) fn body(&self) -> Option<&[u8]> {
        self.spool.is_none().then_some(self.buffer.as_slice())
    }

    /// Copies what is not in memory to an offset of a file; returns where it ends there.
    pub(super) fn copy_to(&self, file: &File, at: u64) -> io::Result<u64> {
        match &self.spool {
            Some(spool) => files::copy(spool, 0, self.spooled, file, at),
            None => Ok(at),
        }
    }

    /// Nothing comes any more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if !self.finished {
            self.finished = true;
            self.encoder.finish(&mut self.buffer);
        }
        if self.spool.is_some() {
            self.spool_buffer()?;
        }
        Ok(())
    }

    fn spool_buffer(&mut self) -> Result<(), Error> {
        let spool = match &self.spool {
            Some(spool) => spool,
            None => self.spool.insert(self.root.nameless()?),
        };
        spool.write_all_at(&self.buffer, self.spooled)?;
        self.spooled += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Draft for DboxDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.saved = None;
        for piece in bytes.chunks(BUFFER_OCTETS) {
            self.encoder.encode(piece, &mut self.buffer);
            if self.buffer.len() > BUFFER_OCTETS {
                self.spool_buffer()?;
            }
        }
        Ok(())
    }

    fn octets(&self) -> u64 {
        self.encoder.virtual_octets()
    }

    fn whole(&mut self) -> Result<Option<&[u8]>, Error> {
        self.finish()?;
        Ok(self.body())
    }

    fn reader(&mut self) -> Result<Body, Error> {
        self.finish()?;
        let file = match &self.spool {
            Some(spool) => spool.try_clone()?,
            None => {
                let copy = self.root.nameless()?;
                copy.write_all_at(&self.buffer, 0)?;
                copy
            }
        };
        Ok(Body::whole(file)?)
    }

    fn date(&mut self, seconds: i64) -> Result<(), Error> {
        self.saved = None;
        self.received = seconds;
        Ok(())
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
