//! EXPUNGE: removing messages.

use super::append::blob;
use super::host::lock;
use super::shared::{Shared, State};
use super::steps::{Steps, chunks, uids_of};
use super::{Access, Error, View, fault, store_fault};
use crate::index::{Bits, FlagChunk, Name};
use crate::mail::{SystemFlags, Uid, UidSet};
use crate::store::Store;
use std::sync::Arc;

/// Chunks looked at in one step in which nothing is to be removed.
const CHUNKS_A_STEP: usize = 1024;

/// Which messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doomed {
    All,
    /// Those that have `\Deleted` at that moment.
    Deleted,
}

/// A running EXPUNGE.
pub(crate) struct Expunge {
    steps: Steps,
    which: Doomed,
    /// Whether the last of the names may go too.
    secured: Result<(), Error>,
}

impl View {
    /// Begins to remove messages with `\Deleted`, of these UIDs only if given. They are told by the next
    /// `sync`.
    pub(crate) fn expunging(&mut self, only: Option<&UidSet>) -> Result<Expunge, Error> {
        self.removing(only, Doomed::Deleted)
    }

    /// Removes these messages whatever their flags (RFC 8508 section 3.4). They are told by the next
    /// `sync`. Durable when it returns.
    pub(crate) fn discard(&mut self, uids: &UidSet) -> Result<(), Error> {
        let mut expunge = self.removing(Some(uids), Doomed::All)?;
        while expunge.step()? {}
        Ok(())
    }

    /// True if one of these messages is still there, whether the view knows that it is not or does not.
    pub(crate) fn has_any(&self, uids: &UidSet) -> Result<bool, Error> {
        let left = self.shared.last_doomed(uids, Doomed::All)?;
        Ok(left.is_some())
    }

    fn removing(&mut self, only: Option<&UidSet>, which: Doomed) -> Result<Expunge, Error> {
        if self.access() == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        self.shared.host.reserve.give_way();
        let mut store = self.account.0.own_store()?;
        self.refresh(&mut *store)?;
        let uids = only.map_or_else(
            || self.uids().clone(),
            |only| self.uids().intersection(only),
        );
        let Some(highest) = self.shared.last_doomed(&uids, which)? else {
            return Ok(Expunge {
                steps: Steps::new(self, store, UidSet::new()),
                which,
                secured: Ok(()),
            });
        };
        // What gets the flag later may have a UID that is not noted.
        let mut uids = uids.intersection(&UidSet::range(Uid::MIN, highest));
        let secured = self.shared.secure_uids(&mut *store, Some(highest));
        match secured {
            // Room is made by expunging: the last name stays as the trace of all UIDs.
            Err(Error::Full) => uids = uids.difference(&UidSet::range(highest, highest)),
            secured => secured?,
        }
        Ok(Expunge {
            steps: Steps::new(self, store, uids),
            which,
            secured,
        })
    }
}

impl Expunge {
    /// Removes some messages; `false` once all are removed, durably.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        for (number, slots) in self.doomed()? {
            let shared = self.steps.shared.clone();
            let mut state = lock(&shared.state);
            self.steps.catch_up(&mut state)?;
            let store = &mut *self.steps.store;
            shared.expunge_chunk(&mut state, store, number, &slots, self.which)?;
        }
        if !self.steps.left.is_empty() {
            return Ok(true);
        }
        self.steps.sync()?;
        self.secured.map(|()| false)
    }

    /// What is not removed stays; the next step is the last.
    pub(crate) fn stop(&mut self) {
        self.steps.left.clear();
    }

    /// How many messages are looked at, of how many.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.steps.progress()
    }

    /// What one step removes.
    fn doomed(&mut self) -> Result<Vec<(u32, Bits)>, Error> {
        let shared = self.steps.shared.clone();
        let reader = shared
            .host
            .index
            .read()
            .map_err(fault("reading the index"))?;
        let (mut doomed, mut room) = (Vec::new(), self.steps.room());
        for _ in 0..CHUNKS_A_STEP {
            if room == 0 {
                break;
            }
            let Some((number, slots)) = self.steps.left.chunk(room) else {
                break;
            };
            self.steps.note(slots.count());
            let flags = reader
                .flags(shared.id, number)
                .map_err(fault("reading the index"))?;
            let slots = self.which.of(&flags).and(&slots);
            if !slots.is_empty() {
                room = room.saturating_sub(slots.count() as usize);
                doomed.push((number, slots));
            }
        }
        Ok(doomed)
    }
}

impl Doomed {
    /// The slots of a chunk that go.
    fn of(self, flags: &FlagChunk) -> Bits {
        match self {
            Doomed::All => flags.present,
            Doomed::Deleted => flags.present.and(&flags.with_flag(SystemFlags::DELETED)),
        }
    }
}

impl Shared {
    /// The highest of these UIDs that goes.
    fn last_doomed(&self, uids: &UidSet, which: Doomed) -> Result<Option<Uid>, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        for (number, slots) in chunks(uids).into_iter().rev() {
            let flags = reader
                .flags(self.id, number)
                .map_err(fault("reading the index"))?;
            let doomed = which.of(&flags).and(&slots);
            if let last @ Some(_) = uids_of(number, &doomed).last() {
                return Ok(last);
            }
        }
        Ok(None)
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
                Err(error) => {
                    result = Err(store_fault("removing a message")(error));
                    self.doubt();
                }
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
        self.outdate();
        let (slots, gone) = self.host.write(|w| {
            let mut flags = w.flags(self.id, number)?;
            let slots = doomed.of(&flags).and(slots);
            if slots.is_empty() {
                return Ok((slots, Vec::new()));
            }
            let mut names = w.names(self.id, number)?;
            summary.highest_mod_seq = summary.highest_mod_seq.next().max(state.floor);
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

#[cfg(test)]
mod tests {
    use super::super::Account;
    use super::super::tests::{append, name};
    use super::*;
    use crate::mail::Flags;

    #[test]
    fn a_view_is_not_current_once_the_index_lacks_a_message() {
        // EXPUNGE found nothing more to do while another one removed the same files, and told nothing.
        let (account, _directory) = Account::temporary();
        let deleted = Flags {
            system: SystemFlags::DELETED,
            keywords: Vec::new(),
        };
        append(&account, "INBOX", "x", &deleted);
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        view.sync(crate::mailbox::Expunges::Tell).unwrap();
        assert!(view.is_current());
        let shared = view.shared.clone();
        let mut state = lock(&shared.state);
        let all = Bits::range(0, 255);
        let gone = shared.forget_chunk(&mut state, 0, &all, Doomed::Deleted);
        assert_eq!(gone.unwrap().len(), 1);
        assert!(!view.is_current());
    }
}
