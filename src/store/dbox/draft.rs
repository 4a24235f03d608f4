//! A message while it is written: in memory, or if it is large in a file without a name.

use super::files::{self, Files, Hold};
use super::framing::{GUID, MAILBOX, Metadata, RECEIVED, WIRE_OCTETS, message_header};
use super::layout::storage_name;
use super::record::Place;
use super::root::Root;
use super::staged::Staged;
use crate::codec::crlf::ToLf;
use crate::mail::{Guid, MailboxName};
use crate::store::side::disk;
use crate::store::side::uid_validity::random_guid;
use crate::store::{Body, Draft, Error};
use std::any::Any;
use std::fs::File;
use std::io;
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
    /// When it was saved, if that was before.
    pub(super) since: Option<i64>,
    pub(super) saved: Option<Saved>,
}

/// The account that a draft was saved to, and where.
pub(super) enum Saved {
    Mdbox {
        files: Weak<Files>,
        place: Place,
        _hold: Hold,
    },
    Sdbox {
        root: Weak<Root>,
        staged: Staged,
        file: File,
    },
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
            since: None,
            saved: None,
        })
    }

    /// Octets as stored.
    pub(super) fn stored_octets(&self) -> u64 {
        self.encoder.octets()
    }

    /// All of it, if it is in memory.
    fn body(&self) -> Option<&[u8]> {
        self.spool.is_none().then_some(self.buffer.as_slice())
    }

    /// Writes what is finished, with its header and these metadata, to an offset of a file. `before`:
    /// what stands in front of it.
    pub(super) fn write_frame(
        &self,
        before: Vec<u8>,
        metadata: &[u8],
        file: &File,
        at: u64,
    ) -> io::Result<()> {
        let mut head = before;
        let header = message_header(self.stored_octets());
        head.reserve(header.len() + self.buffer.len() + metadata.len());
        head.extend_from_slice(header.as_bytes());
        let Some(spool) = &self.spool else {
            head.extend_from_slice(&self.buffer);
            head.extend_from_slice(metadata);
            return disk::write_at(file, &head, at);
        };
        disk::write_at(file, &head, at)?;
        let end = files::copy(spool, 0, self.spooled, file, at + head.len() as u64)?;
        disk::write_at(file, metadata, end)
    }

    /// What stands behind it. `to`: the mailbox that it comes to first. Errors: `NoSuchMailbox` if that
    /// cannot be.
    pub(super) fn metadata(&self, to: &MailboxName) -> Result<Metadata, Error> {
        let mut metadata = Metadata::default();
        metadata.put(RECEIVED, format!("{:x}", self.received));
        metadata.put(WIRE_OCTETS, format!("{:x}", self.octets()));
        metadata.put(GUID, self.guid.to_string());
        metadata.put(MAILBOX, storage_name(to).ok_or(Error::NoSuchMailbox)?);
        Ok(metadata)
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
        disk::write_at(spool, &self.buffer, self.spooled)?;
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
                disk::write_at(&copy, &self.buffer, 0)?;
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

    fn identify(&mut self, guid: Guid, saved: Option<i64>) -> Result<Guid, Error> {
        self.saved = None;
        (self.guid, self.since) = (guid, saved);
        Ok(guid)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
