//! One mailbox as all handles of this process share it.

use super::draft::MboxDraft;
use super::field::{Base, Block};
use super::from;
use super::lease::{Lease, Opened, Writing};
use super::line::{Dirty, Given, Head, Line, MAX_LETTERS, uid_of};
use super::log::{FILE as LOG, Identity, Log};
use super::root::{self, Root};
use super::scratchpad::Scratchpad;
use super::spans::Spans;
use super::stat::{self, Stat};
use super::syncs::{Syncs, Written};
use super::walk::{self, Span};
use super::{empty, rewrite};
use crate::mail::{Guid, Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::side::beyond::Beyond;
use crate::store::side::{disk, strange, uid_validity};
use crate::store::{Blob, BlobId, Body, Error, Filing, Place, unless_full};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Messages of at most so many octets are in memory while they are read; a larger one keeps others
/// from changing the file as long.
const SMALL: u64 = 128 * 1024;
/// Runs of UIDs remembered of those that went; whoever still knows one of the others was told by now.
const MAX_LEFT: usize = 4096;

pub(super) struct MboxFile {
    state: Mutex<State>,
    syncs: Syncs,
}

/// What is known of the file; what its log says besides is read where it is needed.
pub(super) struct State {
    pub(super) path: PathBuf,
    /// Where its side files are.
    pub(super) side: PathBuf,
    pub(super) log: Log,
    pub(super) pad: Scratchpad,
    pub(super) opened: Option<Arc<Opened>>,
    pub(super) uid_validity: UidValidity,
    pub(super) guid: Guid,
    pub(super) uid_next: Uid,
    pub(super) keywords: Vec<Option<Keyword>>,
    /// Those that have no letter, and the messages that have them.
    pub(super) beyond: Beyond,
    /// The file had others of them than were known.
    pub(super) beyond_news: bool,
    /// Messages whose flags the file does not have yet.
    pub(super) dirty: Dirty,
    /// Expunged messages that the file still has.
    pub(super) doomed: UidSet,
    pub(super) together: Vec<(Uid, Uid)>,
    /// Messages that are in the file and may not be durable: the log does not have them.
    pub(super) unlogged: BTreeMap<Uid, Given>,
    /// Messages whose lines in the log may not be durable.
    pub(super) unlisted: UidSet,
    /// The file as it was when all of this was so, and what that is called.
    pub(super) seen: Option<Stat>,
    pub(super) token: i64,
    /// What the log says of both.
    pub(super) noted: Option<(i64, Stat)>,
    pub(super) layout: Option<Layout>,
    /// A rewriting was begun.
    pub(super) broken: bool,
    /// Messages came that the first one may not know of.
    pub(super) appended: bool,
    /// UIDs of messages that are on their way to another mailbox, or gone.
    left: UidSet,
    /// Where Dovecot has its index of INBOX, if it is that; of others it lies beside the file.
    pub(super) inbox_index: Option<PathBuf>,
    /// Dovecot is to have the mailbox.
    pub(super) handed: bool,
    /// Lines of the log were lost, and nobody looked yet what the file says of their messages.
    pub(super) doubted: bool,
}

/// What was found in the file.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) spans: Spans,
    /// Expunged messages.
    pub(super) doomed: UidSet,
    /// Something was written by half.
    pub(super) has_junk: bool,
    /// Where the first of both begins.
    pub(super) gone: Option<u64>,
    /// Messages whose fields do not have their UIDs, or are not in an order in which Dovecot reads them.
    pub(super) bare: UidSet,
    /// The first message, if it is none.
    pub(super) pseudo: Option<Span>,
    pub(super) base: Option<Base>,
}

impl Layout {
    /// What begins there is to go.
    pub(super) fn goes(&mut self, start: u64) {
        let first = self.gone.map_or(start, |first| first.min(start));
        self.gone = Some(first);
    }
}

/// What all copies of a message have in the index in place of a name.
pub(super) fn name(guid: &str, sizes: (u64, u64), received: i64, saved: i64, uid: Uid) -> Box<str> {
    let (stored, wire) = sizes;
    format!("{guid},S={stored},W={wire},R={received},D={saved},U={uid}").into()
}

/// A message as the index knows it.
pub(super) fn blob(name: Box<str>, flags: SystemFlags, letters: u32) -> BlobId {
    BlobId {
        name,
        place: Place::Cur,
        flags,
        letters,
    }
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
        let file = side.join(LOG);
        // Where all is gone somebody removed what servers know of the file, and perhaps changed that.
        let newer = !side.is_dir();
        let pad = root.scratchpad();
        strange::put_aside(&file)?;
        let mut opened = Log::open(&file, pad)?;
        // One without a line is what is left of a beginning.
        let is_new = opened.as_ref().is_none_or(|(_, head)| head.lines == 0);
        if opened.is_none() {
            disk::make_tree(side)?;
            Log::write(&file, None)?;
            opened = Log::open(&file, pad)?;
        }
        let (mut log, mut head) = opened.ok_or(Error::NoSuchMailbox)?;
        if head.damaged > 0 {
            let (damaged, path) = (head.damaged, path.display());
            log::error!("{path}: {damaged} lines of its log cannot be read and are left out");
        }
        if head.mended > 0 {
            let (mended, path) = (head.mended, path.display());
            log::warn!(
                "{path}: {mended} lines of its log had a bit that was another: the disk or the memory fails"
            );
        }
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

/// Octets of a file, none if it is not there.
fn disk_octets(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata?.len()),
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

impl State {
    /// Takes out what is not a message, so that nothing is left of what the mailbox was. False if it has messages.
    fn empty(&mut self) -> Result<bool, Error> {
        if disk_octets(&self.path)? == 0 {
            return Ok(true);
        }
        self.settle()?;
        let (opened, _writing) = self.write()?;
        if self.layout.is_none() {
            self.reconcile(&opened.file)?;
        }
        let is_empty = self.layout.as_ref().is_some_and(|l| l.spans.is_empty());
        if is_empty {
            opened.file.set_len(0)?;
            disk::sync_data(&opened.file)?;
            (self.layout, self.seen) = (None, None);
        }
        Ok(is_empty)
    }

    /// Has a mailbox without messages be that one. Durable.
    pub(super) fn found(&mut self, uid_validity: UidValidity, guid: Guid) -> Result<(), Error> {
        let is_known = (self.uid_validity, self.guid) == (uid_validity, guid);
        if is_known || !self.empty()? {
            return Ok(());
        }
        (self.uid_next, self.left) = (Uid::MIN, UidSet::new());
        self.begin_anew((uid_validity, guid))
    }

    /// Forgets all messages: it is that mailbox from now on.
    pub(super) fn begin_anew(&mut self, identity: Identity) -> Result<(), Error> {
        self.log.start(identity)?;
        self.take(Head {
            known: Some(identity),
            ..Head::default()
        });
        Ok(())
    }

    /// Takes what a log says.
    fn take(&mut self, head: Head) {
        if let Some((uid_validity, guid)) = head.known {
            (self.uid_validity, self.guid) = (uid_validity, guid);
        }
        let next = head.uid_next.unwrap_or(Uid::MIN);
        self.uid_next = self.uid_next.max(next);
        self.keywords = head.keywords;
        self.dirty = head.dirty;
        self.doomed = head.doomed;
        self.unlogged = head.given;
        self.together = head.together;
        if let Some((token, seen)) = head.seen {
            (self.token, self.seen) = (token, Some(seen));
            self.noted = head.seen;
        }
    }

    /// That UID is given.
    fn give(&mut self, uid: Uid) {
        self.uid_next = self.uid_next.max(uid.next().unwrap_or(Uid::MAX));
    }

    pub(super) fn opened(&mut self) -> Result<Arc<Opened>, Error> {
        if let Some(opened) = &self.opened
            && opened.is_at(&self.path)?
        {
            return Ok(opened.clone());
        }
        self.layout = None;
        let opened = Opened::open(&self.path)?;
        Ok(self.opened.insert(opened).clone())
    }

    /// Has the layout of the file as it is, which nobody else changes as long as the value lives.
    pub(super) fn current(&mut self) -> Result<Lease, Error> {
        if self.broken {
            drop(self.write()?);
        }
        let lease = self.opened()?.read()?;
        if self.layout.is_none() || Some(Stat::open(lease.file())?) != self.seen {
            self.reconcile(lease.file())?;
        }
        if self.layout.as_ref().is_some_and(|l| l.has_junk) {
            drop(lease);
            drop(self.write()?);
            return self.opened()?.read();
        }
        Ok(lease)
    }

    /// The right to change the file, as it is known then.
    pub(super) fn write(&mut self) -> Result<(Arc<Opened>, Writing), Error> {
        let mut opened = self.opened()?;
        let mut writing = opened.write(&self.path)?;
        // Somebody may have put another in its place before the lock was there.
        while !opened.is_at(&self.path)? {
            drop(writing);
            opened = self.opened()?;
            writing = opened.write(&self.path)?;
        }
        if self.broken {
            rewrite::recover(&opened.file, &self.side)?;
            self.broken = false;
            self.layout = None;
            self.seen = None;
        }
        if Some(Stat::open(&opened.file)?) != self.seen {
            self.reconcile(&opened.file)?;
        }
        if self.layout.as_ref().is_some_and(|l| l.has_junk) {
            // Nothing may come behind what was written by half.
            match opened.is_read() {
                true => return Err(Error::Locked),
                false => self.write_back(&opened)?,
            }
        }
        Ok((opened, writing))
    }

    /// This process changed the file.
    pub(super) fn note_own(&mut self, file: &File) -> Result<(), Error> {
        self.seen = Some(stat::stamp(file, self.seen)?);
        Ok(())
    }

    fn append(&mut self, file: &File, draft: &mut MboxDraft, new: &Filing) -> Result<Span, Error> {
        let size = file.metadata()?.len();
        let crlf = is_crlf(file)?;
        let wanted = self.wanted_base();
        let base = (size == 0).then_some(&wanted);
        let mut keywords = self.named(new.letters);
        // What comes by a MOVE is known before it is here.
        keywords.extend(self.named_beyond(new.uid));
        let octets = draft.body_octets(crlf)?;
        let fields = Block {
            base,
            uid: new.uid.number(),
            flags: new.flags,
            old: false,
            keywords: &keywords,
            body_octets: octets,
        };
        let mut lines = from::line(draft.sender.as_deref(), draft.received);
        lines.push_str(&fields.encode());
        let before = missing_line_ends(file, size, crlf)?;
        let start = size + before.len() as u64;
        let line_end = if crlf { "\r\n" } else { "\n" };
        let written = disk::write_at(file, before.as_bytes(), size)
            .and_then(|()| draft.copy_to(file, start, &lines, crlf))
            .and_then(|end| disk::write_at(file, line_end.as_bytes(), end).map(|()| end));
        let end = match written {
            Ok(end) => end,
            Err(error) => {
                // What stays is found to be no message.
                let _ = disk::set_length(file, size);
                self.note_own(file)?;
                return Err(error.into());
            }
        };
        if size == 0
            && let Some(layout) = &mut self.layout
        {
            layout.base = Some(wanted);
        }
        self.note_own(file)?;
        self.appended = true;
        Ok(Span {
            start,
            body: end - octets.unwrap_or(0),
            end,
            next: end + line_end.len() as u64,
        })
    }

    /// What the first message is to say of all.
    pub(super) fn wanted_base(&self) -> Base {
        let keywords = self.keywords.iter().flatten();
        let keywords = keywords.map(Keyword::as_str).chain(self.all_beyond());
        Base {
            uid_validity: self.uid_validity,
            last_uid: self.uid_next.number() - 1,
            keywords: keywords.map(Into::into).collect(),
        }
    }

    /// What letters are called.
    pub(super) fn named(&self, letters: u32) -> Vec<&str> {
        let all = self.keywords.iter().enumerate().take(MAX_LETTERS);
        let set = all.filter(|(at, _)| letters >> at & 1 == 1);
        set.filter_map(|(_, keyword)| Some(keyword.as_ref()?.as_str()))
            .collect()
    }

    /// The letters of keywords; those that have none get one while there are some.
    pub(super) fn letters(&mut self, named: &[Box<str>]) -> Result<u32, Error> {
        let mut letters = 0;
        for name in named {
            let Some(keyword) = Keyword::new(name) else {
                continue;
            };
            let own = self.keywords.iter();
            let known = own.clone().position(|k| k.as_ref() == Some(&keyword));
            let free = || own.clone().position(Option::is_none);
            let at = known.or_else(free).unwrap_or(self.keywords.len());
            if at >= MAX_LETTERS {
                continue;
            }
            if known.is_none() {
                self.log.put(Line::Named(at, &keyword))?;
                self.keywords.resize(self.keywords.len().max(at + 1), None);
                if let Some(place) = self.keywords.get_mut(at) {
                    *place = Some(keyword);
                }
            }
            letters |= 1 << at;
        }
        Ok(letters)
    }

    /// Says what letters mean, before they are used.
    pub(super) fn name_letters(&mut self, keywords: &[Option<Keyword>]) -> Result<(), Error> {
        for (at, keyword) in keywords.iter().enumerate().take(MAX_LETTERS) {
            let named = self.keywords.get(at).and_then(Option::as_ref);
            match keyword {
                Some(keyword) if named.is_some_and(|named| named != keyword) => {
                    return Err(Error::Corrupt { what: "keywords" });
                }
                Some(keyword) if named.is_none() => {
                    self.log.put(Line::Named(at, keyword))?;
                    self.keywords.resize(self.keywords.len().max(at + 1), None);
                    if let Some(place) = self.keywords.get_mut(at) {
                        *place = Some(keyword.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A message is durable and gets its line.
    pub(super) fn log_one(&mut self, uid: Uid) -> Result<(), Error> {
        match self.unlogged.remove(&uid) {
            Some((name, flags, letters)) => self.log.put(Line::Filed(&name, flags, letters)),
            None => Ok(()),
        }
    }

    pub(super) fn mark(&mut self, uid: Uid, flags: SystemFlags, letters: u32) -> Result<(), Error> {
        self.log.put(Line::Marked(uid, flags, letters))?;
        self.dirty.insert(uid, flags, letters);
        Ok(())
    }

    pub(super) fn doom(&mut self, uid: Uid, name: &str) -> Result<(), Error> {
        self.log.put(Line::Doomed(name))?;
        self.unlogged.remove(&uid);
        self.unlisted.remove(uid);
        self.dirty.remove(uid);
        self.doomed.insert(uid);
        if let Some(layout) = &mut self.layout
            && let Some(span) = layout.spans.remove(uid)?
        {
            layout.bare.remove(uid);
            layout.doomed.insert(uid);
            layout.goes(span.start);
        }
        Ok(())
    }

    /// What the file is called, so that a change by somebody else gives another. Errors: `NoSuchMailbox`.
    pub(super) fn stamp(&self) -> Result<i64, Error> {
        let now = Stat::at(&self.path)?.ok_or(Error::NoSuchMailbox)?;
        Ok(match self.seen {
            Some(seen) if seen == now && !self.broken => self.token,
            _ if now.time == self.token => now.time - 1,
            _ => now.time,
        })
    }
}

/// Whether lines of a file end with CRLF.
fn is_crlf(file: &File) -> io::Result<bool> {
    let mut line = [0; from::MAX_LINE];
    let count = file.read_at(&mut line, 0)?;
    let line = line.get(..count).unwrap_or_default();
    let end = memchr::memchr(b'\n', line);
    Ok(end.is_some_and(|end| line.get(..end).is_some_and(|line| line.ends_with(b"\r"))))
}

/// Line ends that are to come before a message.
fn missing_line_ends(file: &File, size: u64, crlf: bool) -> io::Result<&'static str> {
    let mut tail = [b'\n'; 4];
    let count = usize::try_from(size.min(4)).unwrap_or(4);
    let read = tail.get_mut(4 - count..).unwrap_or_default();
    file.read_exact_at(read, size - size.min(4))?;
    let ends = match tail {
        _ if size == 0 => 2,
        [.., b'\n', b'\n'] | [_, b'\n', b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    Ok(match (ends, crlf) {
        (2, _) => "",
        (1, false) => "\n",
        (1, true) => "\r\n",
        (_, false) => "\n\n",
        (_, true) => "\r\n\r\n",
    })
}
