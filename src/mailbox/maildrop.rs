//! A mailbox as POP3 sees it: sizes and names of many messages, from the index as far as it knows them.

use super::append::blob;
use super::content::{Content, octets};
use super::host::lock;
use super::numbering::Numbering;
use super::shared::Shared;
use super::walk::Walk;
use super::{Account, Error, View, fault, opening_fault, store_fault};
use crate::index::Bits;
use crate::mail::{Keyword, SeqNum, SystemFlags, Uid, UidSet};
use crate::store::lasting;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Messages looked at in one step.
const STEP: usize = 256;
/// Octets of a message read at a time to count them.
const PIECE: usize = 16 * 1024;

/// What is asked of each message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) octets: bool,
    /// The name of its file.
    pub(crate) name: bool,
    /// What it is called elsewhere.
    pub(crate) aliases: bool,
}

/// One message. What was not asked for is empty.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: SeqNum,
    pub(crate) uid: Uid,
    /// RFC822.SIZE.
    pub(crate) octets: u64,
    /// The name of its file without flags; its GUID where it has no file of its own for ever.
    pub(crate) name: Box<str>,
    /// The unique-id in POP3 that it has for ever, wherever it came from.
    pub(crate) uidl: Option<Box<str>>,
    /// Its GUID, if that is not the name of its file.
    pub(crate) guid: Option<Box<str>>,
}

/// A cursor over messages of a view. Holds no transaction between two steps; what was expunged meanwhile is
/// left out.
pub(crate) struct Entries {
    account: Account,
    walk: Walk,
    wanted: Wanted,
    over: bool,
}

impl Entries {
    /// The next messages, ascending, some or none; `None` at the end. Opens only messages whose size nothing
    /// tells, at most 256.
    pub(crate) fn step(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        if self.over {
            return Ok(None);
        }
        let mut entries = Vec::with_capacity(STEP);
        let (mut sizeless, mut failed) = (UidSet::new(), Ok::<(), Error>(()));
        let (store, wanted) = (self.account.0.store()?, self.wanted);
        let more = self.walk.step(STEP, &mut |known| {
            let mut entry = |seq| {
                let mut entry = Entry::new(seq, known.uid);
                if wanted.octets || wanted.name {
                    let name = known.name()?.map(blob);
                    let octets = name.as_ref().and_then(|name| store.wire_octets(name));
                    entry.octets = octets.unwrap_or(0);
                    if octets.is_none() {
                        sizeless.insert(known.uid);
                    }
                    let base = name.map(|blob| blob.name).unwrap_or_default();
                    entry.name = lasting(&base).map_or(base, Into::into);
                }
                entries.push(entry);
                Ok(())
            };
            if let (Some(seq), Ok(())) = (known.seq(), &failed) {
                failed = entry(seq);
            }
        })?;
        failed?;
        drop(store);
        self.over = !more;
        if wanted.octets && !sizeless.is_empty() {
            self.count(&sizeless, &mut entries)?;
        }
        if wanted.aliases {
            self.alias(&mut entries)?;
        }
        Ok(Some(entries))
    }

    /// Sizes that no name tells: those that were counted before, those of cached rows, and the rest is
    /// counted now and remembered.
    fn count(&self, uids: &UidSet, entries: &mut Vec<Entry>) -> Result<(), Error> {
        let mut found: Vec<(Uid, u64)> = Vec::new();
        for (number, slots) in super::steps::chunks(uids) {
            self.walk.shared().count(number, &slots, &mut found)?;
        }
        for (uid, octets) in &found {
            let at = entries.binary_search_by_key(uid, |entry| entry.uid).ok();
            if let Some(entry) = at.and_then(|at| entries.get_mut(at)) {
                entry.octets = *octets;
            }
        }
        let is_found = |uid: Uid| found.binary_search_by_key(&uid, |(own, _)| *own).is_ok();
        entries.retain(|e| !uids.contains(e.uid) || is_found(e.uid));
        Ok(())
    }

    fn alias(&self, entries: &mut [Entry]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let shared = self.walk.shared();
        let reading = fault("reading the index");
        let reader = shared.host.index.read().map_err(&reading)?;
        let (first, last) = (first.uid, last.uid);
        let mut nameless = Vec::new();
        let each = &mut |uid: Uid, words: &str| {
            let at = entries.binary_search_by_key(&uid, |entry| entry.uid).ok();
            if let Some(entry) = at.and_then(|at| entries.get_mut(at)) {
                entry.set_aliases(words);
                if entry.uidl.as_ref().is_some_and(|uidl| uidl.is_empty()) {
                    nameless.push(uid);
                }
            }
        };
        let read = reader.each_alias(shared.id, first, last, each);
        read.map_err(&reading)?;
        for uid in nameless {
            let names = reader.names(shared.id, uid.number() >> 8);
            let names = names.map_err(&reading)?;
            let name = names.find((uid.number() & 255) as u8);
            let at = entries.binary_search_by_key(&uid, |entry| entry.uid).ok();
            if let Some(entry) = at.and_then(|at| entries.get_mut(at)) {
                entry.uidl = name.map(|name| name.base.clone());
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Appends the sizes of messages of a chunk, ascending, without those that were expunged: as they were
    /// counted before or are cached; the rest is counted now, and remembered. Those that cannot be read
    /// have none.
    pub(super) fn count(
        &self,
        number: u32,
        slots: &Bits,
        found: &mut Vec<(Uid, u64)>,
    ) -> Result<(), Error> {
        let reading = fault("reading the index");
        let reader = self.host.index.read().map_err(&reading)?;
        let mut sizes = reader.sizes(self.id, number).map_err(&reading)?;
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        let (mut missing, from) = (Vec::new(), found.len());
        for slot in slots.slots() {
            let Some(uid) = uid(slot) else {
                continue;
            };
            let known = match sizes.find(slot) {
                None => reader.cached_octets(self.id, uid).map_err(&reading)?,
                known => known,
            };
            match known {
                Some(octets) => found.push((uid, octets)),
                None => missing.push((slot, uid)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let names = reader.names(self.id, number).map_err(&reading)?;
        drop(reader);
        let mailbox = lock(&self.state).name.clone();
        let account = self.account.upgrade().ok_or(Error::Fault)?;
        let mut store = account.store()?;
        let mut buffer = vec![0; PIECE];
        for (slot, uid) in missing {
            let Some(name) = names.find(slot) else {
                continue;
            };
            let opened = store.open(&mailbox, &blob(name));
            let opened = opened.map_err(opening_fault(&account.location.root, &mailbox, uid));
            match opened.and_then(|blob| octets(blob.body, &mut buffer)) {
                Ok(octets) => {
                    sizes.put(slot, octets);
                    found.push((uid, octets));
                }
                Err(Error::Expunged) => {}
                // The others have theirs.
                Err(error) if error.is_of_one() => found.push((uid, 0)),
                Err(error) => return Err(error),
            }
        }
        if let Some(own) = found.get_mut(from..) {
            own.sort_unstable();
        }
        // It is counted anew if it cannot be written.
        let _ = self.host.write(|w| w.set_sizes(self.id, number, &sizes));
        Ok(())
    }
}

impl Entry {
    fn new(seq: SeqNum, uid: Uid) -> Entry {
        Entry {
            seq,
            uid,
            octets: 0,
            name: Box::default(),
            uidl: None,
            guid: None,
        }
    }

    fn set_aliases(&mut self, words: &str) {
        for word in words.split(' ') {
            if let Some(uidl) = word.strip_prefix('P') {
                self.uidl = Some(uidl.into());
            } else if let Some(guid) = word.strip_prefix('G').filter(|guid| !guid.is_empty()) {
                self.guid = Some(guid.into());
            }
        }
    }
}

impl View {
    /// What is known of these messages of the view.
    pub(crate) fn entries(&self, uids: UidSet, wanted: Wanted) -> Entries {
        Entries {
            account: self.account.clone(),
            walk: Walk::new(self, uids, None),
            wanted,
            over: false,
        }
    }

    /// A message of the view as it goes to a client, NULs too; `None` if it is stored in more than `at_most`
    /// octets. Errors: `Expunged` if it was removed meanwhile.
    pub(crate) fn message(&self, uid: Uid, at_most: u64) -> Result<Option<Content>, Error> {
        let reading = fault("reading the index");
        let reader = self.shared.host.index.read().map_err(&reading)?;
        let name = reader.name(self.shared.id, uid).map_err(&reading)?;
        drop(reader);
        let name = name.ok_or(Error::Expunged)?;
        let mailbox = lock(&self.shared.state).name.clone();
        let mut store = self.account.0.store()?;
        let opened = store.open(&mailbox, &blob(&name));
        let knows_all = store.knows_all_files(&mailbox);
        drop(store);
        self.shared.note_missed(&opened, knows_all);
        let root = &self.account.0.location.root;
        let opened = opened.map_err(opening_fault(root, &mailbox, uid))?;
        if opened.body.length() > at_most {
            return Ok(None);
        }
        Content::whole(opened.body).map(|content| Some(content.with_nul()))
    }

    /// Changes whenever something in the mailbox does, as far as this process noticed.
    pub(crate) fn generation(&self) -> u32 {
        self.shared.generation()
    }

    /// Octets of all messages of the view, as RFC822.SIZE counts them: from the summary if nothing came or
    /// went since they were last added up.
    pub(crate) fn octets(&self) -> Result<u64, Error> {
        let now = (self.uid_next(), self.exists());
        let same = || {
            let state = lock(&self.shared.state);
            let summary = state.summary.as_ref();
            summary.is_some_and(|s| (s.uid_next, s.messages) == now)
        };
        if same() {
            let octets = self.account.size(&self.shared)?;
            if same() {
                return Ok(octets);
            }
        }
        self.octets_of(self.uids().clone())
    }

    /// Octets of these messages, without those that were expunged meanwhile.
    pub(crate) fn octets_of(&self, uids: UidSet) -> Result<u64, Error> {
        let wanted = Wanted {
            octets: true,
            ..Wanted::default()
        };
        let (mut entries, mut octets) = (self.entries(uids, wanted), 0u64);
        while let Some(some) = entries.step()? {
            let sum = some
                .iter()
                .fold(0u64, |sum, e| sum.saturating_add(e.octets));
            octets = octets.saturating_add(sum);
        }
        Ok(octets)
    }

    /// Messages of the view that have this keyword.
    pub(crate) fn with_keyword(&self, keyword: &Keyword) -> Result<UidSet, Error> {
        let known = self
            .keywords()
            .iter()
            .position(|k| k.as_ref() == Some(keyword));
        let mut found = UidSet::new();
        let Some(number) = known.and_then(|at| u16::try_from(at).ok()) else {
            return Ok(found);
        };
        let reading = fault("reading the index");
        let reader = self.shared.host.index.read().map_err(&reading)?;
        let mut each = |chunk: u32, flags: crate::index::FlagChunk| {
            let slots = flags.present.slots();
            let having = slots.filter(|slot| flags.has_keyword(*slot, number));
            let uid = |slot: u8| Uid::new(chunk << 8 | u32::from(slot));
            having.filter_map(uid).for_each(|uid| found.insert(uid));
        };
        let read = reader.each_flags(self.shared.id, &mut each);
        read.map_err(&reading)?;
        Ok(found.intersection(self.uids()))
    }

    /// The last message of the view with `\Seen`.
    pub(crate) fn last_seen(&self) -> Result<Option<SeqNum>, Error> {
        let reading = fault("reading the index");
        let reader = self.shared.host.index.read().map_err(&reading)?;
        let mut last = None;
        let mut each = |chunk: u32, flags: crate::index::FlagChunk| {
            let seen = flags.with_flag(SystemFlags::SEEN).and(&flags.present);
            let uid = |slot: u8| Uid::new(chunk << 8 | u32::from(slot));
            let seqs = seen.slots().filter_map(uid).filter_map(|uid| self.seq(uid));
            last = seqs.last().or(last);
        };
        let read = reader.each_flags(self.shared.id, &mut each);
        read.map_err(&reading)?;
        Ok(last)
    }

    /// These messages have these unique-ids for ever. Durable; where one may only read nothing is kept.
    pub(crate) fn keep_uidls(&self, uidls: &[(Uid, Box<str>)]) -> Result<(), Error> {
        if self.account.may_change().is_err() {
            return Ok(());
        }
        let mut store = self.account.0.store()?;
        let mut state = lock(&self.shared.state);
        self.catch_up(&mut state, &mut *store)?;
        // Every message has its line before words are put into it.
        self.shared.list(&mut state, &mut *store)?;
        let lines: Vec<(Uid, &str)> = uidls.iter().map(|(uid, text)| (*uid, &**text)).collect();
        let kept = store.record_uidls(&state.name, &lines);
        kept.map_err(store_fault("writing a uidlist"))?;
        self.shared.host.write(|w| {
            let mut present = crate::index::FlagChunk::default();
            let mut number = None;
            for (uid, text) in uidls {
                let chunk = uid.number() >> 8;
                if number != Some(chunk) {
                    present = w.flags(self.shared.id, chunk)?;
                    number = Some(chunk);
                }
                if present.present.has((uid.number() & 255) as u8) {
                    w.add_uidl(self.shared.id, *uid, text)?;
                }
            }
            Ok(())
        })
    }

    /// As if these messages were not there: they have no numbers from now on, the others do.
    pub(crate) fn hide(&mut self, uids: &UidSet) {
        if !uids.is_empty() {
            self.numbers = Arc::new(Numbering::new(self.uids().difference(uids)));
        }
    }
}

/// Keeps the maildrop from other POP3 sessions (RFC 1939 section 3) until it is dropped. IMAP and
/// deliveries do not mind.
pub(crate) struct MaildropLock(Account);

impl Drop for MaildropLock {
    fn drop(&mut self) {
        self.0.0.maildrop_locked.store(false, Ordering::Release);
    }
}

impl Account {
    /// `None` if another POP3 session has it.
    pub(crate) fn lock_maildrop(&self) -> Option<MaildropLock> {
        let locked = self.0.maildrop_locked.swap(true, Ordering::AcqRel);
        (!locked).then(|| MaildropLock(self.clone()))
    }
}
