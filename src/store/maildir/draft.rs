//! A message while it is written: a file below `tmp/`.

use crate::codec::crlf::ToLf;
use crate::codec::packed::{MAGIC_OCTETS, Method};
use crate::mail::Guid;
use crate::store::side::base::checksum_field;
use crate::store::side::disk;
use crate::store::side::unique::unique;
use crate::store::{Body, Draft, Error};
use rustix::fs::{Timespec, Timestamps};
use std::any::Any;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
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
    /// How it is to be compressed.
    method: Option<Method>,
    /// As it came, once `file` is compressed.
    plain: Option<File>,
    finished: bool,
    /// Where its name is now.
    pub(super) home: Home,
    pub(super) unique: String,
    /// What it is known by that was elsewhere before, and since when it is where it is.
    pub(super) identity: Option<(Guid, Option<i64>)>,
    /// Of the octets so far, as stored; `None`: nobody wants to know.
    sum: Option<crc32fast::Hasher>,
}

/// Where the staged file can be linked from.
pub(super) enum Home {
    /// `tmp/` and the name there.
    Staged(Arc<OwnedFd>, String),
    /// The directory and name of the first commit.
    Committed(Arc<OwnedFd>, String),
}

impl MaildirDraft {
    pub(super) fn create(
        tmp: &Arc<OwnedFd>,
        host: &str,
        method: Option<Method>,
    ) -> Result<MaildirDraft, Error> {
        let unique = unique(host);
        let file = disk::create_in(tmp, &unique).map_err(std::io::Error::from)?;
        Ok(MaildirDraft {
            file,
            encoder: ToLf::default(),
            buffer: Vec::new(),
            written: 0,
            large: false,
            synced: false,
            method,
            plain: None,
            finished: false,
            home: Home::Staged(tmp.clone(), unique.clone()),
            unique,
            identity: None,
            sum: None,
        })
    }

    /// Its name is to have a checksum.
    pub(super) fn summing(mut self) -> MaildirDraft {
        self.sum = Some(crc32fast::Hasher::new());
        self
    }

    /// The field of the name with the checksum; empty if nobody wanted one.
    pub(super) fn sum_field(&self) -> String {
        let sum = self.sum.clone().map(crc32fast::Hasher::finalize);
        sum.map_or(String::new(), checksum_field)
    }

    /// Takes what is behind there in the buffer into the checksum.
    fn sum_from(&mut self, from: usize) {
        if let Some(sum) = &mut self.sum {
            sum.update(self.buffer.get(from..).unwrap_or_default());
        }
    }

    /// The file alone; its name goes with the draft.
    pub(super) fn nameless(self) -> Result<File, Error> {
        Ok(self.file.try_clone()?)
    }

    /// Writes what is collected.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if !self.finished {
            self.finished = true;
            let from = self.buffer.len();
            self.encoder.finish(&mut self.buffer);
            self.sum_from(from);
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
            self.pack()?;
            disk::sync(&self.file)?;
            self.synced = true;
        }
        Ok(())
    }

    /// The octets that tell how a file is compressed.
    fn head(&self) -> Result<Vec<u8>, Error> {
        if !self.large {
            return Ok(self.buffer.iter().copied().take(MAGIC_OCTETS).collect());
        }
        let mut head = vec![0; MAGIC_OCTETS];
        let count = self.file.read_at(&mut head, 0)?;
        head.truncate(count);
        Ok(head)
    }

    /// Has a compressed file in place of the one that was written, unless that would be no smaller. What looks as if
    /// it were compressed is always.
    fn pack(&mut self) -> Result<(), Error> {
        let Home::Staged(tmp, name) = &self.home else {
            return Ok(());
        };
        let guarding = Method::guarding(&self.head()?);
        let method = self.method.or(guarding);
        let Some(method) = method.filter(|_| self.plain.is_none()) else {
            return Ok(());
        };
        let staged = format!("{name}{PACKED}");
        let file = disk::create_in(tmp, &staged).map_err(std::io::Error::from)?;
        let packed = self.pack_into(method, &file);
        match packed {
            Ok(octets) if octets < self.stored_octets() || guarding.is_some() => {}
            other => {
                disk::unlink(tmp, &staged).map_err(std::io::Error::from)?;
                // It stays as it is.
                self.method = None;
                return other.map(drop);
            }
        }
        self.plain = Some(std::mem::replace(&mut self.file, file));
        let (tmp, name) = (tmp.clone(), name.clone());
        self.home = Home::Staged(tmp.clone(), staged);
        Ok(disk::unlink(&tmp, &name).map_err(std::io::Error::from)?)
    }

    /// Writes it compressed, of the same date; returns how many octets that are.
    fn pack_into(&self, method: Method, file: &File) -> Result<u64, Error> {
        let mut out = Packing { file, octets: 0 };
        match self.large {
            false => method.compress(&mut self.buffer.as_slice(), &mut out)?,
            true => method.compress(&mut Body::whole(self.file.try_clone()?)?, &mut out)?,
        }
        set_date(file, self.file.metadata()?.mtime())?;
        Ok(out.octets)
    }

    /// Octets as stored, before they are compressed.
    pub(super) fn stored_octets(&self) -> u64 {
        self.encoder.octets()
    }
}

/// What the name of a file ends with that is compressed and has no other name yet.
const PACKED: &str = ".packed";

/// A file that is written, and what it has by now.
struct Packing<'a> {
    file: &'a File,
    octets: u64,
}

impl Write for Packing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        disk::write(self.file, bytes)?;
        self.octets += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
        if self.plain.is_some() {
            return Err(Error::Corrupt { what: "a draft" });
        }
        for piece in bytes.chunks(BUFFER_OCTETS) {
            let from = self.buffer.len();
            self.encoder.encode(piece, &mut self.buffer);
            self.sum_from(from);
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
        let file = self.plain.as_ref().unwrap_or(&self.file);
        Ok(Body::whole(file.try_clone()?)?)
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
