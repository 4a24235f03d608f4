//! The log of one mailbox, as all handles of this process share it.

mod anew;
mod told;

use self::told::{Known, MAX_OCTETS, TOO_LONG, whole};
use super::arrival::{BLOCK, Identity};
use super::fresh::{Fresh, Unsure};
use super::group::Group;
use super::line::{Line, MAX_LETTERS, Together};
use super::staged::Staged;
use crate::mail::{Keyword, Uid, UidSet};
use crate::store::side::checked::{self, End, end_of};
use crate::store::side::{disk, lock, unique};
use crate::store::{Error, side, unless_full};
use crate::sys::regular;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets that are free behind the lines before one is taken that says that a message comes: where the disk
/// is full, there is room for those that say that some go.
const SPARE: u64 = BLOCK;
/// As much, before one is taken that gives messages flags but \Deleted.
const SPARE_OF_MARKS: u64 = SPARE / 2;
/// Octets of lines that are not durable while messages of theirs are acknowledged.
const MAX_LOOSE: u64 = 16 * 1024;
/// Lines that wait to be written, in octets; then they are.
const BUFFER: usize = 64 * 1024;
/// And beyond this, because they cannot be written, no more are taken.
const MAX_WAITING: usize = 4 * BUFFER;

/// Runs of UIDs remembered of those that went; whoever still knows one of the others was told by now.
const MAX_LEFT: usize = 4096;

/// Octets of messages in memory while a log is written anew.
pub(super) const SORT_OCTETS: usize = if cfg!(test) { 4096 } else { 1 << 20 };

/// Takes a line that tells something of a message.
type Each<'e> = dyn FnMut(Uid, &str) -> Result<(), Error> + 'e;

pub(super) struct Log {
    state: Mutex<State>,
    group: Group,
}

struct State {
    path: PathBuf,
    file: Arc<File>,
    /// The directory it is in, once somebody asked.
    directory: Option<Arc<OwnedFd>>,
    /// Where the next line begins.
    end: u64,
    /// Octets of the file.
    length: u64,
    /// Lines that are not written.
    waiting: Vec<u8>,
    /// Those among them whose frames may not be durable.
    unsure: Unsure,
    /// Lines that end there, or before, are durable.
    durable: u64,
    /// Lines are not durable, and messages that were acknowledged are found without them.
    loose: bool,
    /// What it had octets when somebody last looked whether it should be written anew.
    looked: u64,
    /// What was last found in it, with what was added since; `None`: nobody looked.
    known: Option<Known>,
    /// UIDs of messages that are on their way to another mailbox, or gone.
    left: UidSet,
    /// Files that get their names once the lines of their messages are durable, in the order of their UIDs.
    unnamed: VecDeque<(Uid, Staged)>,
}

impl State {
    /// Has the file so long, with nothing in it behind its lines. Where the disk is full, it has no half of a line then.
    fn extend(&mut self, to: u64) -> Result<(), Error> {
        if to > self.length {
            let length = to.next_multiple_of(BLOCK);
            let more = usize::try_from(length - self.length).unwrap_or(0);
            disk::write_at(&self.file, &vec![0; more], self.length)?;
            self.length = length;
        }
        Ok(())
    }

    /// Calls `each` with all lines, also those that wait; `None` as [`checked::lines`] has it.
    fn each_line(&self, each: &mut checked::Each<'_>) -> Result<(), Error> {
        checked::each_line(&self.file, self.end, each)?;
        checked::lines(&self.waiting).try_for_each(each)
    }

    /// No line that waits is without its frame then.
    fn settle(&mut self) {
        self.unsure.settle(&mut self.waiting);
    }
}

impl Log {
    /// Opens the log; `None` if it is not there.
    pub(super) fn open(path: &Path) -> Result<Option<Log>, Error> {
        let file = match regular::open_both(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = file.metadata()?.len();
        if length > MAX_OCTETS {
            log::error!("{}: {length} octets are no log", path.display());
            return Err(TOO_LONG);
        }
        let End { at: end, torn, gap } = end_of(&file, length)?;
        if gap {
            // What stands behind it was acknowledged to nobody, and must not come back when new lines
            // fill the gap.
            let mut text = whole(&file, end)?;
            log::warn!("{}: lines behind a gap are dropped", path.display());
            // With those that are damaged: whoever reads them finds out what they said.
            text.resize(usize::try_from(end.next_multiple_of(BLOCK)).unwrap_or(0), 0);
            lock::replace(path, &text)?;
            return Log::open(path);
        }
        let group = Group::default();
        // Who wrote before was perhaps killed before it was synced.
        group.wrote();
        Ok(Some(Log {
            state: Mutex::new(State {
                path: path.to_owned(),
                file: Arc::new(file),
                directory: None,
                end,
                length,
                waiting: if torn { vec![b'\n'] } else { Vec::new() },
                unsure: Unsure::default(),
                durable: end,
                loose: false,
                looked: end,
                known: None,
                left: UidSet::new(),
                unnamed: VecDeque::new(),
            }),
            group,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, durable after [`Log::sync`]. Errors: `Full` if too much could not be written.
    pub(super) fn put(&self, line: Line<'_>) -> Result<(), Error> {
        let mut state = self.state();
        self.make_room(&mut state)?;
        line.put(&mut state.waiting);
        if let Some(known) = &mut state.known {
            known.note(line);
        }
        Ok(())
    }

    /// As `put`, of the line of a message that came now. `fresh`: its frame, if that may not be durable yet; the line is
    /// not in the file before. `loose`: the frame tells all that the line does, which is durable some time after
    /// the message was acknowledged.
    pub(super) fn put_filed(
        &self,
        (uid, line): (Uid, Line<'_>),
        fresh: Option<&Fresh>,
        loose: bool,
    ) -> Result<(), Error> {
        let mut state = self.state();
        self.make_room(&mut state)?;
        let start = state.waiting.len();
        line.put(&mut state.waiting);
        let end = state.waiting.len();
        if let Some(fresh) = fresh {
            state.unsure.add(start..end, uid, fresh);
        }
        state.loose |= loose;
        if let Some(known) = &mut state.known {
            known.note(line);
        }
        Ok(())
    }

    fn make_room(&self, state: &mut State) -> Result<(), Error> {
        if state.waiting.len() > BUFFER {
            let flushed = self.flush(state);
            if state.waiting.len() > MAX_WAITING {
                flushed?;
            }
        }
        Ok(())
    }

    /// Makes lines durable before there are so many that the end of the file does not tell whether it has all.
    pub(super) fn bound(&self) -> Result<(), Error> {
        let state = self.state();
        let end = state.end + state.waiting.len() as u64;
        let many = state.loose && end.saturating_sub(state.durable) > MAX_LOOSE;
        drop(state);
        if many { self.sync() } else { Ok(()) }
    }

    /// Lines were put by a process that did not make them durable, perhaps.
    pub(super) fn loosen(&self) {
        self.state().loose = true;
    }

    /// What its mailbox is; `None` if that is not said.
    pub(super) fn mailbox(&self) -> Result<Option<Identity>, Error> {
        let mut state = self.state();
        self.know(&mut state)?;
        Ok(state.known.as_ref().and_then(|known| known.mailbox))
    }

    /// True if that message comes together with others, or not at all.
    pub(super) fn is_promised(&self, uid: Uid) -> bool {
        let state = self.state();
        let known = state.known.as_ref();
        known.is_some_and(|known| {
            let mut together = known.together.iter();
            together.any(|t| t.first <= uid && uid <= t.last)
        })
    }

    /// Has room for lines that say what goes, behind one that says what comes.
    pub(super) fn reserve(&self) -> Result<(), Error> {
        let mut state = self.state();
        let end = state.end + state.waiting.len() as u64;
        state.extend(end + SPARE)
    }

    /// As `reserve`, behind one that gives messages other flags. `deletes`: those that are about to go, too.
    pub(super) fn reserve_for_marks(&self, deletes: bool) -> Result<(), Error> {
        let mut state = self.state();
        let end = state.end + state.waiting.len() as u64;
        match deletes {
            true => Ok(()),
            false => state.extend(end + SPARE_OF_MARKS),
        }
    }

    /// Has all lines in the file: they outlive this process, and are durable with the next [`Log::sync`].
    pub(super) fn write_out(&self) -> Result<(), Error> {
        self.flush(&mut self.state())
    }

    /// As whoever needs it no more: all lines are in the file, and durable where messages were acknowledged.
    pub(super) fn close(&self) -> Result<(), Error> {
        let mut state = self.state();
        if !state.loose {
            return self.flush(&mut state);
        }
        drop(state);
        self.sync()
    }

    /// True if the file has lines that are not durable.
    pub(super) fn lags(&self) -> bool {
        self.group.lags()
    }

    /// Makes all lines durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let mut state = self.state();
        self.flush(&mut state)?;
        self.look(&mut state)?;
        let (end, written) = (state.end, state.file.clone());
        drop(state);
        // The file as it is when the sync begins: one that was replaced before does not have what others
        // wrote since, for whom this sync may be, too.
        self.group.sync(&|| {
            let file = self.state().file.clone();
            disk::sync_data(&file)
        })?;
        let mut state = self.state();
        if Arc::ptr_eq(&state.file, &written) {
            state.durable = state.durable.max(end);
            state.loose &= state.end > end || !state.waiting.is_empty();
        }
        Ok(())
    }

    /// Notes that a message is to go; false if it is on its way already.
    pub(super) fn leave(&self, uid: Uid) -> bool {
        let mut state = self.state();
        let stays = !state.left.contains(uid);
        if state.left.runs().len() >= MAX_LEFT {
            state.left = UidSet::new();
        }
        state.left.insert(uid);
        stays
    }

    /// It does not go.
    pub(super) fn stay(&self, uid: Uid) {
        let mut one = UidSet::new();
        one.insert(uid);
        let mut state = self.state();
        state.left = state.left.difference(&one);
    }

    /// Notes durably that UIDs below `next` were given, if it does not say so already.
    pub(super) fn give(&self, next: Uid) -> Result<(), Error> {
        let mut state = self.state();
        self.know(&mut state)?;
        let given = state.known.as_ref().and_then(|known| known.uid_next);
        drop(state);
        if given < Some(next) {
            self.put(Line::Next(next))?;
        }
        self.sync()
    }

    /// Says what letters mean, before they are used.
    pub(super) fn name(&self, keywords: &[Option<Keyword>]) -> Result<(), Error> {
        let mut state = self.state();
        self.know(&mut state)?;
        let known = state.known.as_ref().map(|known| known.keywords.clone());
        drop(state);
        let known = known.unwrap_or_default();
        for (at, keyword) in keywords.iter().enumerate().take(MAX_LETTERS) {
            match keyword {
                Some(keyword) if known.get(at) != Some(&Some(keyword.clone())) => {
                    self.put(Line::Named(at, keyword))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes, before the first of them, that messages come together or not at all.
    pub(super) fn together(&self, together: Together) -> Result<(), Error> {
        let mut state = self.state();
        self.know(&mut state)?;
        drop(state);
        let (first, last) = together.ends();
        self.put(match together.missing {
            Some(_) => Line::Together(first, last),
            None => Line::Open(first, last),
        })
    }

    /// Notes durably that of messages which were to come together nothing is missing any more; they all
    /// came, or those which did are removed.
    pub(super) fn end(&self, first: Uid, last: Uid) -> Result<(), Error> {
        let state = self.state();
        let open = state.known.as_ref().is_none_or(|known| {
            let mut together = known.together.iter();
            together.any(|t| t.ends() == (first, last))
        });
        drop(state);
        if !open {
            return Ok(());
        }
        self.put(Line::Ended(first, last))?;
        self.sync()
    }

    /// The directory it is in, whatever that is called by now.
    pub(super) fn directory(&self) -> Result<Arc<OwnedFd>, Error> {
        let mut state = self.state();
        if let Some(directory) = &state.directory {
            return Ok(directory.clone());
        }
        let above = state.path.parent().ok_or(Error::NoSuchMailbox)?;
        let directory = match File::open(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSuchMailbox);
            }
            opened => Arc::new(OwnedFd::from(opened?)),
        };
        Ok(state.directory.insert(directory).clone())
    }

    /// Has a file that gets its name by `name_files`.
    pub(super) fn name_later(&self, uid: Uid, staged: Staged) {
        self.state().unnamed.push_back((uid, staged));
    }

    /// The messages of files that have no names yet.
    pub(super) fn unnamed(&self) -> UidSet {
        let state = self.state();
        state.unnamed.iter().map(|(uid, _)| *uid).collect()
    }

    /// Forgets a file without a name; false if that has none.
    pub(super) fn forget_unnamed(&self, uid: Uid) -> bool {
        let mut state = self.state();
        let before = state.unnamed.len();
        state.unnamed.retain(|(own, _)| *own != uid);
        state.unnamed.len() < before
    }

    /// Gives all files the names that they were to get, after a sync of the log.
    pub(super) fn name_files(&self, name: fn(Uid) -> String) -> Result<(), Error> {
        let directory = self.directory()?;
        let mut state = self.state();
        // Whoever looks finds a file here or in the directory. The lowest UID first: where a process is killed in between
        // those that are left are the last ones (`untold`).
        while let Some((uid, staged)) = state.unnamed.front_mut() {
            staged.name(&directory, &name(*uid))?;
            state.unnamed.pop_front();
        }
        Ok(())
    }

    /// It is at another place now.
    pub(super) fn moved(&self, path: &Path) {
        self.state().path = path.to_owned();
    }

    /// As `flush`, for who only reads: what the disk has no room for waits on, and is read from there.
    fn flush_if_room(&self, state: &mut State) -> Result<(), Error> {
        unless_full(self.flush(state))
    }

    /// Writes lines that wait. After a sync that failed the file is written anew, because nobody knows
    /// what the disk has of it.
    fn flush(&self, state: &mut State) -> Result<(), Error> {
        if self.group.has_failed() {
            return self.renew_with(state, &|_| (), None);
        }
        if state.waiting.is_empty() {
            return Ok(());
        }
        state.settle();
        let end = state.end + state.waiting.len() as u64;
        state.extend(end)?;
        disk::write_at(&state.file, &state.waiting, state.end)?;
        state.waiting.clear();
        state.end = end;
        self.group.wrote();
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::error!("the log of a mailbox could not be written: {error}");
        }
    }
}

/// A file without a name where a log is.
fn scratch(log: &Path) -> Result<File, Error> {
    let directory = log.parent().ok_or(Error::NoSuchMailbox)?;
    side::scratch::file_in(directory, &unique::host())
}
