//! A message while it is written: a file below `tmp/`.

use crate::codec::crlf::ToLf;
use crate::mail::Guid;
use crate::store::side::disk;
use crate::store::side::unique::unique;
use crate::store::{Body, Draft, Error};
use rustix::fs::{Timespec, Timestamps};
use std::any::Any;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Bytes are collected up to this many before they are written.
const BUFFER_OCTETS: usize = 64 * 1024;

/// A staged message.
pub(crate) struct MaildirDraft {
    pub(super) file: File,
    encoder: ToLf,
    /// What is collected; of a small message all of it.
    buffer: Vec<u8>,
    /// Octets of the buffer that are written.
    written: usize,
    /// The buffer has been emptied: the message is larger than it.
    large: bool,
    synced: bool,
    finished: bool,
    /// Where its name is now.
    pub(super) home: Home,
    pub(super) unique: String,
    /// What it is known by that was elsewhere before, and since when it is where it is.
    pub(super) identity: Option<(Guid, Option<i64>)>,
}

/// Where the staged file can be linked from.
pub(super) enum Home {
    /// `tmp/` and the name there.
    Staged(Arc<OwnedFd>, String),
    /// The directory and name of the first commit.
    Committed(Arc<OwnedFd>, String),
}

impl MaildirDraft {
    pub(super) fn create(tmp: &Arc<OwnedFd>, host: &str) -> Result<MaildirDraft, Error> {
        let unique = unique(host);
        let file = disk::create_in(tmp, &unique).map_err(std::io::Error::from)?;
        Ok(MaildirDraft {
            file,
            encoder: ToLf::default(),
            buffer: Vec::new(),
            written: 0,
            large: false,
            synced: false,
            finished: false,
            home: Home::Staged(tmp.clone(), unique.clone()),
            unique,
            identity: None,
        })
    }

    /// The file alone; its name goes with the draft.
    pub(super) fn nameless(self) -> Result<File, Error> {
        Ok(self.file.try_clone()?)
    }

    /// Writes what is collected.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if !self.finished {
            self.finished = true;
            self.encoder.finish(&mut self.buffer);
        }
        self.write_buffer()?;
        if self.large {
            self.buffer = Vec::new();
            self.written = 0;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        let rest = self.buffer.get(self.written..).unwrap_or_default();
        disk::write(&self.file, rest)?;
        self.written = self.buffer.len();
        Ok(())
    }

    /// Makes the bytes and the date durable; cheap the second time.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        if !self.synced {
            disk::sync(&self.file)?;
            self.synced = true;
        }
        Ok(())
    }

    /// Octets as stored.
    pub(super) fn stored_octets(&self) -> u64 {
        self.encoder.octets()
    }
}

/// Sets INTERNALDATE; durable with the next sync of the file.
pub(super) fn set_date(file: impl AsFd, seconds: i64) -> Result<(), Error> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::futimens(file, &times).map_err(std::io::Error::from)?)
}

impl Draft for MaildirDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for piece in bytes.chunks(BUFFER_OCTETS) {
            self.encoder.encode(piece, &mut self.buffer);
            if self.buffer.len() >= BUFFER_OCTETS {
                self.write_buffer()?;
                self.buffer.clear();
                self.written = 0;
                self.large = true;
            }
        }
        self.synced = false;
        Ok(())
    }

    fn octets(&self) -> u64 {
        self.encoder.virtual_octets()
    }

    fn whole(&mut self) -> Result<Option<&[u8]>, Error> {
        self.flush()?;
        Ok((!self.large).then_some(self.buffer.as_slice()))
    }

    fn reader(&mut self) -> Result<Body, Error> {
        self.flush()?;
        Ok(Body::whole(self.file.try_clone()?)?)
    }

    fn date(&mut self, seconds: i64) -> Result<(), Error> {
        self.flush()?;
        self.synced = false;
        set_date(&self.file, seconds)
    }

    fn identify(&mut self, guid: Guid, saved: Option<i64>) -> Result<Guid, Error> {
        self.identity = Some((guid, saved));
        Ok(guid)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for MaildirDraft {
    fn drop(&mut self) {
        if let Home::Staged(tmp, name) = &self.home {
            let _ = disk::unlink(tmp, name);
        }
    }
}
