//! A message while it is written.

use super::files::{Files, Hold};
use super::framing::{
    GUID, MAILBOX, Metadata, PLAIN_OCTETS, RECEIVED, WIRE_OCTETS, message_header,
};
use super::fresh::Fresh;
use super::layout::storage_name;
use super::octets::{BUFFER_OCTETS, Octets};
use super::record::Place;
use super::root::Root;
use super::staged::Staged;
use crate::codec::crlf::ToLf;
use crate::codec::packed::{MAGIC_OCTETS, Method};
use crate::mail::{Guid, MailboxName};
use crate::store::side::uid_validity::random_guid;
use crate::store::{Body, Draft, Error};
use std::any::Any;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Weak};

pub(super) struct DboxDraft {
    root: Arc<Root>,
    encoder: ToLf,
    octets: Octets,
    finished: bool,
    /// How it is to be compressed.
    method: Option<Method>,
    /// All of it compressed, once that was tried and made it smaller.
    packed: Option<Octets>,
    tried: bool,
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
        fresh: Fresh,
        _hold: Hold,
    },
    Sdbox {
        root: Weak<Root>,
        staged: Staged,
        file: File,
    },
}

impl DboxDraft {
    pub(super) fn new(root: &Arc<Root>, method: Option<Method>) -> Result<DboxDraft, Error> {
        Ok(DboxDraft {
            root: root.clone(),
            encoder: ToLf::default(),
            octets: Octets::new(root),
            finished: false,
            method,
            packed: None,
            tried: false,
            received: crate::sys::clock::now_seconds(),
            guid: random_guid()?,
            since: None,
            saved: None,
        })
    }

    /// Octets as stored, before they are compressed.
    pub(super) fn stored_octets(&self) -> u64 {
        self.encoder.octets()
    }

    /// Octets of what is compressed, if it is.
    pub(super) fn packed_octets(&self) -> Option<u64> {
        self.packed.as_ref().map(Octets::length)
    }

    /// The octets in the file, if they are in memory.
    fn framed(&self) -> Option<&[u8]> {
        self.packed.as_ref().unwrap_or(&self.octets).memory()
    }

    /// True if it is written in little time.
    pub(super) fn is_small(&self) -> bool {
        self.framed().is_some()
    }

    /// A CRC-32 of the frame up to the end of these metadata, without the line that ends them; `None` of one that is
    /// not small, or of which the frame does not tell that it is compressed.
    pub(super) fn sum(&self, metadata: &Metadata) -> Option<u32> {
        if self.packed_octets() == Some(self.stored_octets()) {
            return None;
        }
        let mut sum = crc32fast::Hasher::new();
        sum.update(message_header(self.framed_octets()).as_bytes());
        sum.update(self.framed()?);
        sum.update(metadata.encode().split_last()?.1);
        Some(sum.finalize())
    }

    /// Octets in the file.
    pub(super) fn framed_octets(&self) -> u64 {
        self.packed_octets().unwrap_or(self.stored_octets())
    }

    /// Writes what is finished, with its header and these metadata, to an offset of a file. `before`:
    /// what stands in front of it.
    pub(super) fn write_frame(
        &self,
        mut before: Vec<u8>,
        metadata: &[u8],
        file: &File,
        at: u64,
    ) -> io::Result<()> {
        before.extend_from_slice(message_header(self.framed_octets()).as_bytes());
        let octets = self.packed.as_ref().unwrap_or(&self.octets);
        octets.write_between(before, metadata, file, at)
    }

    /// What stands behind it. `to`: the mailbox that it comes to first. Errors: `NoSuchMailbox` if that
    /// cannot be.
    pub(super) fn metadata(&self, to: &MailboxName) -> Result<Metadata, Error> {
        let mut metadata = Metadata::default();
        metadata.put(RECEIVED, format!("{:x}", self.received));
        metadata.put(WIRE_OCTETS, format!("{:x}", self.octets()));
        if self.packed.is_some() {
            metadata.put(PLAIN_OCTETS, format!("{:x}", self.stored_octets()));
        }
        metadata.put(GUID, self.guid.to_string());
        metadata.put(MAILBOX, storage_name(to).ok_or(Error::NoSuchMailbox)?);
        Ok(metadata)
    }

    /// Nothing comes any more.
    fn close(&mut self) -> Result<(), Error> {
        if !self.finished {
            self.finished = true;
            self.encoder.finish(&mut self.octets.buffer);
        }
        self.octets.finish()
    }

    /// As it is to be saved.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.close()?;
        self.pack()
    }

    /// Compresses it, unless that would make it no smaller. What looks as if it were compressed is always.
    fn pack(&mut self) -> Result<(), Error> {
        let mut head = Vec::with_capacity(MAGIC_OCTETS);
        let mut start = self.octets.reader().take(MAGIC_OCTETS as u64);
        start.read_to_end(&mut head)?;
        drop(start);
        let guarding = Method::guarding(&head);
        let method = self.method.or(guarding);
        let Some(method) = method.filter(|_| !self.tried) else {
            return Ok(());
        };
        let mut packed = Octets::new(&self.root);
        method.compress(&mut self.octets.reader(), &mut packed)?;
        packed.finish()?;
        let smaller = |packed: &Octets| packed.length() < self.octets.length();
        self.packed = Some(packed).filter(|packed| guarding.is_some() || smaller(packed));
        self.tried = true;
        Ok(())
    }
}

impl Draft for DboxDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.saved = None;
        (self.packed, self.tried) = (None, false);
        for piece in bytes.chunks(BUFFER_OCTETS) {
            self.encoder.encode(piece, &mut self.octets.buffer);
            self.octets.grown()?;
        }
        Ok(())
    }

    fn octets(&self) -> u64 {
        self.encoder.virtual_octets()
    }

    fn whole(&mut self) -> Result<Option<&[u8]>, Error> {
        self.close()?;
        Ok(self.octets.memory())
    }

    fn reader(&mut self) -> Result<Body, Error> {
        self.close()?;
        Ok(Body::whole(self.octets.file()?)?)
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
