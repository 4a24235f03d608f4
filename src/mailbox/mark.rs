//! Changing flags and removing messages.

use super::append::{blob, letters, name};
use super::host::lock;
use super::resync::set_named;
use super::shared::{Shared, State};
use super::{Access, Error, View, store_fault};
use crate::index::{Bits, FlagChunk, Name, NameChunk};
use crate::mail::{Flags, Keyword, Since, SystemFlags, Uid, UidSet};
use crate::store::Store;
use std::sync::Arc;

/// What STORE does with flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagChange {
    Set,
    Add,
    Remove,
}

/// Which messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doomed {
    All,
    /// Those that have `\Deleted` at that moment.
    Deleted,
}

/// How STORE went.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// Messages that exist still and were not refused: all of them are told with their flags unless
    /// the client wants silence.
    pub(crate) told: UidSet,
    /// Messages that changed after the mod-sequence which the client knew; not touched.
    pub(crate) modified: UidSet,
}

/// Flags by number, to be changed.
struct Edit {
    change: FlagChange,
    /// Messages that changed later are not touched.
    unchanged: Option<Since>,
    system: SystemFlags,
    keywords: Vec<u16>,
}

/// The UIDs of a set, chunk by chunk.
pub(super) fn chunks(uids: &UidSet) -> Vec<(u32, Bits)> {
    let mut out: Vec<(u32, Bits)> = Vec::new();
    for &(first, last) in uids.runs() {
        for number in first >> 8..=last >> 8 {
            let low = if number == first >> 8 {
                (first & 255) as u8
            } else {
                0
            };
            let high = if number == last >> 8 {
                (last & 255) as u8
            } else {
                255
            };
            let bits = Bits::range(low, high);
            match out.last_mut() {
                Some((own, all)) if *own == number => *all = all.or(&bits),
                _ => out.push((number, bits)),
            }
        }
    }
    out
}

/// The UIDs of a chunk's slots.
pub(super) fn uids_of(number: u32, slots: &Bits) -> UidSet {
    let mut uids = UidSet::new();
    for (first, last) in slots.runs() {
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        if let (Some(first), Some(last)) = (uid(first), uid(last)) {
            uids.insert_range(first, last);
        }
    }
    uids
}

impl View {
    /// Changes flags, of messages unchanged since only if given (RFC 7162 section 3.1.3). This view's
    /// `sync` does not report the change. Durable when it returns.
    pub(crate) fn mark(
        &mut self,
        uids: &UidSet,
        change: FlagChange,
        flags: &Flags,
        unchanged: Option<Since>,
    ) -> Result<Marked, Error> {
        if self.access() == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        let shared = self.shared.clone();
        let mut store = self.account.0.store()?;
        self.refresh(&mut *store)?;
        let mut marked = Marked::default();
        for (number, slots) in chunks(&self.uids().intersection(uids)) {
            let mut state = lock(&shared.state);
            self.catch_up(&mut state, &mut *store)?;
            let edit = Edit {
                change,
                unchanged,
                system: flags.system,
                keywords: shared.numbers_of(&mut state, &mut *store, change, &flags.keywords)?,
            };
            let state = &mut *state;
            let chunk = shared.mark_chunk(state, &mut *store, number, slots, &edit, self.id)?;
            marked.told = marked.told.union(&chunk.told);
            marked.modified = marked.modified.union(&chunk.modified);
        }
        store.sync().map_err(store_fault("syncing a mailbox"))?;
        shared.keep_flags()?;
        Ok(marked)
    }

    /// Removes messages with `\Deleted`, of these UIDs only if given. They are told by the next
    /// `sync`. Durable when it returns.
    pub(crate) fn expunge(&mut self, only: Option<&UidSet>) -> Result<(), Error> {
        self.remove(only, Doomed::Deleted)
    }

    /// Removes these messages whatever their flags (RFC 8508 section 3.4). They are told by the next
    /// `sync`. Durable when it returns.
    pub(crate) fn discard(&mut self, uids: &UidSet) -> Result<(), Error> {
        self.remove(Some(uids), Doomed::All)
    }

    fn remove(&mut self, only: Option<&UidSet>, which: Doomed) -> Result<(), Error> {
        if self.access() == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        let uids = only.map_or_else(
            || self.uids().clone(),
            |only| self.uids().intersection(only),
        );
        let shared = self.shared.clone();
        let mut store = self.account.0.store()?;
        self.refresh(&mut *store)?;
        let reader = shared
            .host
            .index
            .read()
            .map_err(super::fault("reading the index"))?;
        let mut doomed = Vec::new();
        for (number, slots) in chunks(&uids) {
            let flags = reader
                .flags(shared.id, number)
                .map_err(super::fault("reading the index"))?;
            let mut deleted = flags.present.and(&slots);
            if which == Doomed::Deleted {
                deleted = deleted.and(&flags.with_flag(SystemFlags::DELETED));
            }
            if !deleted.is_empty() {
                doomed.push((number, deleted));
            }
        }
        drop(reader);
        let Some((number, slots)) = doomed.last_mut() else {
            return Ok(());
        };
        let highest = uids_of(*number, slots).last();
        let secured = shared.secure_uids(&mut *store, highest);
        match (secured, highest) {
            // Room is made by expunging: the last name stays as the trace of all UIDs.
            (Err(Error::Full), Some(highest)) => slots.set((highest.number() & 255) as u8, false),
            (secured, _) => secured?,
        }
        for (number, slots) in doomed {
            let mut state = lock(&shared.state);
            self.catch_up(&mut state, &mut *store)?;
            shared.expunge_chunk(&mut state, &mut *store, number, &slots, which)?;
        }
        store.sync().map_err(store_fault("syncing a mailbox"))?;
        secured
    }
}

impl Shared {
    /// Numbers of these keywords; those that are not there are made, unless they are to be removed.
    pub(super) fn numbers_of(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        change: FlagChange,
        named: &[Keyword],
    ) -> Result<Vec<u16>, Error> {
        let mut numbers = Vec::new();
        for keyword in named {
            let known = state.summary.as_ref().map(|s| s.keywords.iter().flatten());
            let exists = known.is_some_and(|mut known| known.any(|k| k == keyword));
            if exists || change != FlagChange::Remove {
                numbers.push(self.keyword(state, store, keyword)?);
            }
        }
        Ok(numbers)
    }

    fn mark_chunk(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        number: u32,
        slots: Bits,
        edit: &Edit,
        by: u32,
    ) -> Result<Marked, Error> {
        let read = |what| super::fault(what);
        let reader = self.host.index.read().map_err(read("reading the index"))?;
        let mut flags = reader
            .flags(self.id, number)
            .map_err(read("reading the index"))?;
        let mut names = reader
            .names(self.id, number)
            .map_err(read("reading the index"))?;
        drop(reader);
        let asked = flags.present.and(&slots);
        let modified = edit.modified(&flags, &asked);
        let told = asked.without(&modified);
        let (mut changed, mut events) = (Bits::default(), 0);
        let seen = flags
            .with_flag(SystemFlags::SEEN)
            .and(&flags.present)
            .count();
        self.begin();
        let mut result = Ok(());
        for slot in told.slots() {
            let before = flags.clone_slot(slot);
            edit.apply(&mut flags, slot);
            if flags.clone_slot(slot) == before {
                continue;
            }
            match rename(store, state, &mut names, &mut flags, slot) {
                Ok(count) => {
                    events += count;
                    changed.set(slot, true);
                }
                Err(crate::store::Error::NoSuchMessage) => flags.restore_slot(slot, &before),
                Err(error) => {
                    flags.restore_slot(slot, &before);
                    result = Err(store_fault("changing flags")(error));
                    break;
                }
            }
        }
        self.end(events);
        self.drain();
        if !changed.is_empty() {
            let mut summary = state.summary.clone().ok_or(Error::Fault)?;
            summary.highest_mod_seq = summary.highest_mod_seq.next();
            let now = flags
                .with_flag(SystemFlags::SEEN)
                .and(&flags.present)
                .count();
            summary.seen = (summary.seen + now).saturating_sub(seen);
            flags.set_mod_seq(&changed, summary.highest_mod_seq);
            self.host.write(|w| {
                w.set_flags(self.id, number, &flags)?;
                w.set_names(self.id, number, &names)?;
                w.set_summary(self.id, &summary)
            })?;
            let mod_seq = summary.highest_mod_seq;
            state.summary = Some(summary);
            self.note_change(state, mod_seq, by, uids_of(number, &changed));
            self.raise();
        }
        result.map(|()| Marked {
            told: uids_of(number, &told),
            modified: uids_of(number, &modified),
        })
    }

    /// Before the last trace of these UIDs goes: notes durably that they were given.
    pub(super) fn secure_uids(
        self: &Arc<Self>,
        store: &mut dyn Store,
        highest: Option<Uid>,
    ) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let secure = |state: &State| highest.is_none_or(|highest| highest < state.listed);
        if secure(&state) {
            return Ok(());
        }
        self.list(&mut state, store)?;
        if secure(&state) {
            Ok(())
        } else {
            Err(Error::Busy)
        }
    }

    /// Takes messages out of the index, then out of the store.
    pub(super) fn expunge_chunk(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        number: u32,
        slots: &Bits,
        doomed: Doomed,
    ) -> Result<(), Error> {
        let names = self.forget_chunk(state, number, slots, doomed)?;
        self.begin();
        let mut result = Ok(());
        let mut events = 0;
        for gone in &names {
            match store.remove(&state.name, &blob(gone)) {
                Ok(removed) => events += i64::from(removed),
                // The message comes back with the next scan.
                Err(error) => result = Err(store_fault("removing a message")(error)),
            }
        }
        self.end(events);
        self.drain();
        self.raise();
        result
    }

    /// Takes messages out of the index; returns the names they had.
    pub(super) fn forget_chunk(
        self: &Arc<Self>,
        state: &mut State,
        number: u32,
        slots: &Bits,
        doomed: Doomed,
    ) -> Result<Vec<Name>, Error> {
        let mut summary = state.summary.clone().ok_or(Error::Fault)?;
        let limit = self.host.limits.expunges;
        let (slots, gone) = self.host.write(|w| {
            let mut flags = w.flags(self.id, number)?;
            let mut slots = flags.present.and(slots);
            if doomed == Doomed::Deleted {
                slots = slots.and(&flags.with_flag(SystemFlags::DELETED));
            }
            if slots.is_empty() {
                return Ok((slots, Vec::new()));
            }
            let mut names = w.names(self.id, number)?;
            summary.highest_mod_seq = summary.highest_mod_seq.next();
            let mod_seq = summary.highest_mod_seq;
            let seen = flags.with_flag(SystemFlags::SEEN).and(&slots).count();
            summary.messages = summary.messages.saturating_sub(slots.count());
            summary.seen = summary.seen.saturating_sub(seen);
            slots.slots().for_each(|slot| flags.remove(slot));
            let gone = names.names.extract_if(.., |n| slots.has(n.slot)).collect();
            w.set_flags(self.id, number, &flags)?;
            w.set_names(self.id, number, &names)?;
            for (first, last) in slots.runs() {
                let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
                if let (Some(first), Some(last)) = (uid(first), uid(last)) {
                    w.uncache(self.id, first, last)?;
                }
            }
            w.note_expunged(self.id, &mut summary, mod_seq, number, &slots, limit)?;
            w.set_summary(self.id, &summary)?;
            Ok((slots, gone))
        })?;
        state.summary = Some(summary);
        if let Some(uids) = state.uids.as_mut() {
            *uids = uids.difference(&uids_of(number, &slots));
        }
        self.note_gone(state, &uids_of(number, &slots));
        Ok(gone)
    }
}

impl Edit {
    /// Which of these messages changed after the mod-sequence that the client knew.
    fn modified(&self, flags: &FlagChunk, asked: &Bits) -> Bits {
        let mut modified = Bits::default();
        if let Some(unchanged) = self.unchanged {
            for slot in asked.slots() {
                modified.set(slot, unchanged.is_before(flags.mod_seq(slot)));
            }
        }
        modified
    }

    fn apply(&self, flags: &mut FlagChunk, slot: u8) {
        let now = flags.system(slot);
        let system = match self.change {
            FlagChange::Set => self.system,
            FlagChange::Add => now.with(self.system),
            FlagChange::Remove => now.without(self.system),
        };
        flags.set_system(slot, system);
        if self.change == FlagChange::Set {
            let mut all = Vec::new();
            flags.keywords(slot, &mut all);
            all.iter()
                .for_each(|keyword| flags.set_keyword(slot, *keyword, false));
        }
        let on = self.change != FlagChange::Remove;
        self.keywords
            .iter()
            .for_each(|keyword| flags.set_keyword(slot, *keyword, on));
    }
}

/// Puts the flags of a message into its name; returns how many events that causes.
fn rename(
    store: &mut dyn Store,
    state: &State,
    names: &mut NameChunk,
    flags: &mut FlagChunk,
    slot: u8,
) -> Result<i64, crate::store::Error> {
    let Some(old) = names.find(slot).map(blob) else {
        return Err(crate::store::Error::NoSuchMessage);
    };
    let mut keywords = Vec::new();
    flags.keywords(slot, &mut keywords);
    let (system, named) = (flags.system(slot), letters(&keywords));
    let (new, renamed) = store.mark(&state.name, &old, system, named)?;
    // It may have flags by now that another program gave it.
    if (new.flags, new.letters) != (system, named) {
        set_named(flags, slot, new.flags, new.letters);
    }
    names.put(name(slot, &new));
    // A rename is one event where the name goes and one where it comes.
    Ok(if renamed { 2 } else { 0 })
}
