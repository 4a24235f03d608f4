//! One mailbox as all handles of this process share it.

use super::draft::MboxDraft;
use super::field::Base;
use super::lease::{Lease, Opened};
use super::line::{Dirty, Head, Line, uid_of};
use super::log::{FILE as LOG, Identity, Log};
use super::root::{self, Root};
use super::scratchpad::Scratchpad;
use super::state::{State, blob, disk_octets, name};
use super::syncs::{Syncs, Written};
use super::walk;
use super::{empty, rewrite};
use crate::mail::{MailboxName, Uid, UidSet};
use crate::store::side::beyond::Beyond;
use crate::store::side::{disk, strange, uid_validity};
use crate::store::{Blob, BlobId, Body, Error, Filing, unless_full};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages of at most so many octets are in memory while they are read; a larger one keeps others
/// from changing the file as long.
const SMALL: u64 = 128 * 1024;
/// Runs of UIDs remembered of those that went; whoever still knows one of the others was told by now.
const MAX_LEFT: usize = 4096;

pub(super) struct MboxFile {
    state: Mutex<State>,
    syncs: Syncs,
}

impl MboxFile {
    /// Opens the mailbox of a file. Its side files are made if they are not there.
    pub(super) fn open(root: &Root, name: &MailboxName, path: &Path) -> Result<MboxFile, Error> {
        let side = root.directory(name)?;
        let (side, top) = (&*side, &*root.side);
        let inbox_index = name.is_inbox().then(|| root.inbox_index());
        let first_base = || match first_base(path)? {
            None if disk_octets(path)? == 0 => {
                let beside = || root::index_of(path);
                let theirs = inbox_index.clone().unwrap_or_else(beside);
                Ok(empty::said_there(&theirs))
            }
            base => Ok::<_, Error>(base),
        };
        // Where all is gone somebody removed what servers know of the file, and perhaps changed that.
        let newer = !side.is_dir();
        let pad = root.scratchpad();
        let (mut log, mut head) = log_in(side, pad)?;
        // One without a line is what is left of a beginning, or was just made.
        let is_new = head.lines == 0;
        tell_damage(&head, path);
        let mut doubted = head.damaged > 0;
        if doubted || head.known.is_none() {
            let base = first_base()?;
            let recalled = root.recall(name, &mut log, &head, base.as_ref(), newer)?;
            let identity = match recalled.or(head.known) {
                Some(identity) => identity,
                None => known(base.as_ref(), top)?,
            };
            if is_new || recalled.is_some() {
                unless_full(log.renew(Some(identity)))?;
            }
            if recalled.is_some() {
                head = log.head()?;
                doubted = true;
            }
            head.known = Some(identity);
        }
        let (uid_validity, guid) = head.known.ok_or(Error::NoSuchMailbox)?;
        let mut state = State {
            path: path.to_owned(),
            side: side.to_owned(),
            log,
            pad: pad.clone(),
            opened: None,
            uid_validity,
            guid,
            uid_next: Uid::MIN,
            keywords: Vec::new(),
            beyond: Beyond::new(),
            beyond_news: false,
            dirty: Dirty::default(),
            doomed: UidSet::new(),
            together: Vec::new(),
            unlogged: BTreeMap::new(),
            unlisted: UidSet::new(),
            seen: None,
            token: 0,
            noted: None,
            layout: None,
            broken: rewrite::is_begun(side),
            // Who had it open before did not settle it, perhaps.
            appended: true,
            left: UidSet::new(),
            inbox_index,
            handed: false,
            doubted,
        };
        if head.is_worn() && !state.doubted {
            unless_full(state.log.renew(None))?;
        }
        state.take(head);
        state.read_beyond();
        if is_new || state.doubted {
            // Before the log says anything else: UIDs that it does not have are those of the file.
            drop(state.current()?);
        }
        if state.doubted {
            let identity = (state.uid_validity, state.guid);
            unless_full(state.log.renew(Some(identity)))?;
            state.doubted = false;
        }
        Ok(MboxFile {
            state: Mutex::new(state),
            syncs: Syncs::default(),
        })
    }

    /// Writes the log of a mailbox that has none. Durable.
    pub(super) fn write_log(side: &Path, top: &Path, base: Option<&Base>) -> Result<(), Error> {
        disk::make_tree(side)?;
        Log::write(&side.join(LOG), Some(known(base, top)?))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is at another place now.
    pub(super) fn moved(&self, path: &Path, side: Option<&Path>) {
        let mut state = self.state();
        path.clone_into(&mut state.path);
        if let Some(side) = side {
            side.clone_into(&mut state.side);
            // No other becomes INBOX.
            state.inbox_index = None;
            state.log.moved(&side.join(LOG));
        }
    }

    /// Appends a message; durable after [`MboxFile::sync`].
    pub(super) fn append(
        &self,
        draft: &mut MboxDraft,
        new: &Filing,
        saved: i64,
    ) -> Result<(BlobId, Written), Error> {
        let known = draft.finish()?;
        let mut state = self.state();
        let (opened, _writing) = state.write()?;
        // UIDs ascend in the file: what others appended comes before.
        if new.uid < state.uid_next {
            return Err(Error::Outrun);
        }
        state.give(new.uid);
        let sizes = (known.stored, known.wire);
        let name = name(
            &known.guid.to_string(),
            sizes,
            draft.received,
            saved,
            new.uid,
        );
        // Before any line that says of a later UID that it was given.
        let (flags, letters) = (new.flags, new.letters);
        state.log.put(Line::Given(&name, flags, letters))?;
        if draft.since.is_some() {
            // Nothing else says that date, should this process be killed once the file has the message.
            state.log.flush()?;
        }
        let span = state.append(&opened.file, draft, new)?;
        let filed = (name.clone(), flags, letters);
        state.unlogged.insert(new.uid, filed);
        let state = &mut *state;
        if let Some(layout) = &mut state.layout
            && let Err(error) = layout.spans.push(new.uid, span, &state.pad)
        {
            // Whoever asks where messages are looks again.
            log::warn!("{}: {error}", state.path.display());
            state.layout = None;
        }
        let written = self.syncs.wrote();
        Ok((blob(name, new.flags, new.letters), written))
    }

    /// See [`crate::store::Store::untold`]: those UIDs are free from now on.
    pub(super) fn untold(&self) -> Result<Option<Uid>, Error> {
        let mut state = self.state();
        drop(state.current()?);
        let head = state.log.head()?;
        let layout = state.layout.as_ref();
        let last = layout.and_then(|layout| layout.spans.uids().last());
        let base = layout.and_then(|layout| layout.base.as_ref());
        let last = last.map(Uid::number).max(base.map(|base| base.last_uid));
        let untold = head.untold().filter(|_| head.damaged == 0);
        let untold = untold.filter(|uid| Some(uid.number()) > last);
        if let Some(first) = untold {
            state.uid_next = first;
            state.unlogged.split_off(&first);
        }
        Ok(untold)
    }

    /// Has the log say durably when those were saved that were elsewhere before; the file does not tell it.
    pub(super) fn sync_dates(&self) -> Result<(), Error> {
        self.state().log.sync()
    }

    /// Makes durable what was appended up to there.
    pub(super) fn sync(&self, written: Written) -> Result<(), Error> {
        let opened = self.state().opened()?;
        self.syncs.sync(written, &|| disk::sync_data(&opened.file))
    }

    /// Makes all that was appended durable.
    pub(super) fn sync_all(&self) -> Result<(), Error> {
        self.sync(self.syncs.wrote())
    }

    /// Messages whose bytes are durable are in the log from now on.
    pub(super) fn log(&self, uids: &[Uid]) -> Result<(), Error> {
        let mut state = self.state();
        uids.iter().try_for_each(|uid| state.log_one(*uid))
    }

    /// Opens a message for reading.
    pub(super) fn read(&self, blob: &BlobId) -> Result<Blob, Error> {
        let uid = uid_of(&blob.name).ok_or(Error::NoSuchMessage)?;
        let mut state = self.state();
        let lease = state.current()?;
        let layout = state.layout.as_ref().ok_or(Error::NoSuchMessage)?;
        let span = layout.spans.get(uid)?.ok_or(Error::NoSuchMessage)?;
        let parts = walk::shown(lease.file(), &span)?;
        let received = crate::store::side::base::field(&blob.name, "R");
        Ok(Blob {
            body: body(lease, parts)?,
            internal_date: received.and_then(|r| r.parse().ok()).unwrap_or(0),
        })
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
}

impl Drop for MboxFile {
    /// Whoever opens it next knows by its log that nobody else changed the file meanwhile.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = state.note_seen() {
            log::error!(
                "{}: its log could not be written: {error}",
                state.path.display()
            );
        }
    }
}

/// The bytes of a message, in memory if it is small.
fn body(lease: Lease, parts: Vec<(u64, u64)>) -> Result<Body, Error> {
    let octets: u64 = parts.iter().map(|(_, length)| length).sum();
    if octets > SMALL {
        return Ok(Body::parts(lease, parts));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(octets).unwrap_or(0));
    for (start, length) in parts {
        let before = bytes.len();
        bytes.resize(before + usize::try_from(length).unwrap_or(0), 0);
        let part = bytes.get_mut(before..).unwrap_or_default();
        lease.file().read_exact_at(part, start)?;
    }
    Ok(Body::memory(bytes))
}

/// The log of a mailbox, made if it is not there.
fn log_in(side: &Path, pad: &Scratchpad) -> Result<(Log, Head), Error> {
    let file = side.join(LOG);
    strange::put_aside(&file)?;
    if let Some(opened) = Log::open(&file, pad)? {
        return Ok(opened);
    }
    disk::make_tree(side)?;
    Log::write(&file, None)?;
    Log::open(&file, pad)?.ok_or(Error::NoSuchMailbox)
}

/// Tells what of a log could not be read as it was written.
fn tell_damage(head: &Head, path: &Path) {
    let (damaged, mended, path) = (head.damaged, head.mended, path.display());
    if damaged > 0 {
        log::error!("{path}: {damaged} lines of its log cannot be read and are left out");
    }
    if mended > 0 {
        log::warn!(
            "{path}: {mended} lines of its log had a bit that was another: the disk or the memory fails"
        );
    }
}

/// UIDVALIDITY and GUID of a mailbox that nothing was known of.
fn known(base: Option<&Base>, top: &Path) -> Result<Identity, Error> {
    let validity = match base {
        Some(base) => base.uid_validity,
        None => uid_validity::next(top)?,
    };
    Ok((validity, uid_validity::random_guid()?))
}

/// What the first message of a file says of all.
fn first_base(path: &Path) -> Result<Option<Base>, Error> {
    let opened = Opened::open(path)?;
    let lease = opened.read()?;
    let mut base = None;
    walk::walk(lease.file(), 0, &mut |walked| {
        base = walked.kept.base;
        Ok(false)
    })?;
    Ok(base)
}
