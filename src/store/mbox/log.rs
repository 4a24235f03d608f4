//! The log of one mailbox. Whoever has it has the lock of the mailbox.

use super::line::{Contents, Line};
use crate::mail::SystemFlags;
use crate::store::Error;
use crate::store::side::{checked, disk, lock, room};
use crate::sys::regular;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What it is called in the directory of its mailbox.
pub(super) const FILE: &str = "dovelet.log";
/// The file is filled up to a multiple of this: a line that fits in changes its bytes alone, and a
/// sync writes nothing else.
const BLOCK: u64 = 4096;
/// Octets that are free behind the lines before one is taken that says that a message comes: where the disk
/// is full, there is room for those that say that some go.
const SPARE: u64 = BLOCK;
/// As much, before one is taken that gives messages flags but \Deleted.
const SPARE_OF_MARKS: u64 = SPARE / 2;
/// Octets of lines that cannot be written, beyond which no more are taken.
const MAX_WAITING: usize = 256 * 1024;
/// It is looked at again, whether it should be written anew, when it grew to so many times what it was.
const GROWTH: u64 = 4;
const MIN_GROWTH: u64 = 256 * 1024;

pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Where the next line begins.
    end: u64,
    /// Octets of the file.
    length: u64,
    /// Lines that are not written.
    waiting: Vec<u8>,
    /// Lines are written and not durable.
    unsynced: bool,
    /// A sync failed: nobody knows what the disk has.
    failed: bool,
    looked: u64,
}

impl Log {
    /// Opens the log; `None` if it is not there.
    pub(super) fn open(path: &Path) -> Result<Option<(Log, Contents)>, Error> {
        let file = match regular::open_both(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        room::for_log(length)?;
        let mut text = vec![0; usize::try_from(length).map_err(|_| Error::Full)?];
        file.read_exact_at(&mut text, 0)?;
        let end = checked::end(&text);
        let mut contents = Contents::parse(&text);
        // A power cut may leave lines behind a gap, which must not come back once that is filled.
        let behind = text.get(end..).unwrap_or_default();
        contents.damaged += usize::from(behind.iter().any(|b| *b != 0));
        text.truncate(end);
        let torn = text.last().is_some_and(|last| *last != b'\n');
        let log = Log {
            path: path.to_owned(),
            file,
            end: end as u64,
            length,
            waiting: if torn { vec![b'\n'] } else { Vec::new() },
            // Who wrote before was perhaps killed before it was synced.
            unsynced: true,
            failed: false,
            looked: end as u64,
        };
        Ok(Some((log, contents)))
    }

    /// Writes a log that says this, in place of what is there. Durable.
    pub(super) fn write(path: &Path, contents: &Contents) -> Result<(), Error> {
        let mut bytes = contents.encode();
        let filled = (bytes.len() as u64).next_multiple_of(BLOCK);
        bytes.resize(usize::try_from(filled).unwrap_or(bytes.len()), 0);
        lock::replace(path, &bytes)
    }

    /// Adds a line, durable after [`Log::sync`]. Errors: `Full` if too much could not be written.
    pub(super) fn put(&mut self, line: Line<'_>) -> Result<(), Error> {
        if self.waiting.len() > MAX_WAITING {
            self.flush()?;
        }
        let end = self.end + self.waiting.len() as u64;
        match line {
            Line::Given(..) => self.extend(end + SPARE)?,
            Line::Marked(_, flags, _) if !flags.contains(SystemFlags::DELETED) => {
                self.extend(end + SPARE_OF_MARKS)?;
            }
            _ => {}
        }
        line.put(&mut self.waiting);
        Ok(())
    }

    /// Has the file so long, with nothing in it behind its lines. Where the disk is full, it has no half of a line then.
    fn extend(&mut self, to: u64) -> io::Result<()> {
        if to > self.length {
            let length = to.next_multiple_of(BLOCK);
            let more = usize::try_from(length - self.length).unwrap_or(0);
            disk::write_at(&self.file, &vec![0; more], self.length)?;
            self.length = length;
        }
        Ok(())
    }

    /// Makes all lines durable.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.look()?;
        if self.unsynced {
            let synced = disk::sync_data(&self.file);
            self.failed = synced.is_err();
            self.unsynced = self.failed;
            synced?;
        }
        Ok(())
    }

    /// What it says.
    pub(super) fn contents(&mut self) -> Result<Contents, Error> {
        let length = usize::try_from(self.end).map_err(|_| Error::Full)?;
        room::for_log(self.end)?;
        let mut text = vec![0; length];
        self.file.read_exact_at(&mut text, 0)?;
        text.extend_from_slice(&self.waiting);
        Ok(Contents::parse(&text))
    }

    /// Writes it anew. Durable.
    pub(super) fn renew(&mut self, contents: &Contents) -> Result<(), Error> {
        Log::write(&self.path, contents)?;
        // What is dropped below has nothing more to say.
        self.waiting.clear();
        self.failed = false;
        if let Some((mut log, _)) = Log::open(&self.path)? {
            log.unsynced = false;
            *self = log;
        }
        Ok(())
    }

    /// It is at another place now.
    pub(super) fn moved(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
    }

    /// Writes it anew if it grew and has become worn.
    fn look(&mut self) -> Result<(), Error> {
        if self.end < self.looked.saturating_mul(GROWTH).max(MIN_GROWTH) {
            return Ok(());
        }
        self.looked = self.end;
        let contents = self.contents()?;
        match contents.is_worn() {
            true => self.renew(&contents),
            false => Ok(()),
        }
    }

    /// Writes lines that wait.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.failed {
            let contents = self.contents()?;
            return self.renew(&contents);
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let end = self.end + self.waiting.len() as u64;
        self.extend(end)?;
        disk::write_at(&self.file, &self.waiting, self.end)?;
        self.unsynced = true;
        self.waiting.clear();
        self.end = end;
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            log::error!("{} could not be written: {error}", self.path.display());
        }
    }
}
