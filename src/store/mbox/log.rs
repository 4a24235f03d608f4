//! The log of one mailbox. Whoever has it has the lock of the mailbox.

use super::folded::Folded;
use super::line::{Head, Line};
use super::scratchpad::Scratchpad;
use crate::mail::{Guid, SystemFlags, Uid, UidValidity};
use crate::store::Error;
use crate::store::side::checked::{self, End, end_of};
use crate::store::side::gathering::Gathering;
use crate::store::side::{disk, lock, room};
use crate::sys::regular;
use std::fs::File;
use std::io;
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

/// What is in it about the mailbox itself.
pub(super) type Identity = (UidValidity, Guid);

pub(super) struct Log {
    path: PathBuf,
    pad: Scratchpad,
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
    pub(super) fn open(path: &Path, pad: &Scratchpad) -> Result<Option<(Log, Head)>, Error> {
        let Some((log, gap)) = Log::open_file(path, pad)? else {
            return Ok(None);
        };
        let mut head = log.head()?;
        // A power cut may leave lines behind a gap, which must not come back once that is filled.
        head.damaged += usize::from(gap);
        Ok(Some((log, head)))
    }

    /// Opens it without reading what it says. The second value: something stands behind a gap.
    fn open_file(path: &Path, pad: &Scratchpad) -> Result<Option<(Log, bool)>, Error> {
        let file = match regular::open_both(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        let End { at: end, torn, gap } = end_of(&file, length)?;
        let log = Log {
            path: path.to_owned(),
            pad: pad.clone(),
            file,
            end,
            length,
            waiting: if torn { vec![b'\n'] } else { Vec::new() },
            // Who wrote before was perhaps killed before it was synced.
            unsynced: true,
            failed: false,
            looked: end,
        };
        Ok(Some((log, gap)))
    }

    /// Writes a log that says nothing but which mailbox that is, if that is known, in place of what is there. Durable.
    pub(super) fn write(path: &Path, known: Option<Identity>) -> Result<(), Error> {
        let head = Head {
            known,
            ..Head::default()
        };
        write_all(path, &head, None)
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

    /// What it says of the mailbox, and of which messages it tells.
    pub(super) fn head(&self) -> Result<Head, Error> {
        let mut head = Head::default();
        checked::each_line_and(&self.file, self.end, &self.waiting, &mut |line| {
            head.note(line.as_ref());
            Ok(())
        })?;
        Ok(head)
    }

    /// All that it says, of messages apart. `octets`: what may be in memory of those.
    pub(super) fn folded(&self, octets: usize) -> Result<(Head, Folded), Error> {
        self.folded_of(octets, &|_| true)
    }

    /// As `folded`, of these messages.
    pub(super) fn folded_of(
        &self,
        octets: usize,
        are: &dyn Fn(Uid) -> bool,
    ) -> Result<(Head, Folded), Error> {
        let (mut head, mut all) = (Head::default(), Gathering::new(octets));
        let mut scratch = || self.pad.file();
        checked::each_line_and(&self.file, self.end, &self.waiting, &mut |line| {
            let about = head.note(line.as_ref());
            match about.filter(|uid| are(*uid)).zip(line) {
                Some((uid, line)) => all.add(uid, &line, &mut scratch),
                None => Ok(()),
            }
        })?;
        let folded = Folded::new(all.finish(&mut scratch)?, &head);
        Ok((head, folded))
    }

    /// Writes it anew. `known`: which mailbox it is then, if not the one that it says. Durable.
    pub(super) fn renew(&mut self, known: Option<Identity>) -> Result<(), Error> {
        let (mut head, all) = self.folded(room::to_sort())?;
        head.known = known.or(head.known);
        write_all(&self.path, &head, Some(&all))?;
        self.written()
    }

    /// Writes it anew, as one that says nothing but which mailbox that is. Durable.
    pub(super) fn start(&mut self, known: Identity) -> Result<(), Error> {
        Log::write(&self.path, Some(known))?;
        self.written()
    }

    /// There is a new file.
    fn written(&mut self) -> Result<(), Error> {
        // What is dropped below has nothing more to say.
        self.waiting.clear();
        self.failed = false;
        if let Some((mut log, _)) = Log::open_file(&self.path, &self.pad)? {
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
        match self.head()?.is_worn() {
            true => self.renew(None),
            false => Ok(()),
        }
    }

    /// Writes lines that wait.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.failed {
            return self.renew(None);
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

/// Writes a log in place of what is there: `head`, and what is told of messages, if there are some. Durable.
fn write_all(path: &Path, head: &Head, all: Option<&Folded>) -> Result<(), Error> {
    lock::replace_with(path, &mut |out| {
        let mut octets = 0;
        let mut put = |lines: &mut Vec<u8>| {
            octets += lines.len() as u64;
            out.write_all(lines)?;
            lines.clear();
            Ok::<u64, Error>(octets)
        };
        let mut lines = head.encode();
        let mut messages = all.map(Folded::messages).transpose()?;
        while let Some(messages) = &mut messages
            && let Some((uid, told)) = messages.next()?
        {
            told.encode(uid, &mut lines);
            put(&mut lines)?;
        }
        head.encode_end(&mut lines);
        let octets = put(&mut lines)?;
        let filling = usize::try_from(octets.next_multiple_of(BLOCK) - octets);
        Ok(out.write_all(&vec![0; filling.unwrap_or(0)])?)
    })
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            log::error!("{} could not be written: {error}", self.path.display());
        }
    }
}
