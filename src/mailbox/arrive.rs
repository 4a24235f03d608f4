//! New messages between their first name and the moment when everybody may know them.
//!
//! A message gets its UID and its name in one step under the mailbox's lock; then directories are
//! synced without it, side by side; then messages are published in the order of their UIDs. So
//! nobody is told of a message that a power cut could take, and none appears below one that
//! somebody was told of (RFC 3501 section 2.3.1.1).

use super::append::name;
use super::host::lock;
use super::shared::{Shared, State};
use super::{Error, fault, store_fault};
use crate::index::{Bits, Cached, Durable, Keeping, Writer};
use crate::mail::{SystemFlags, Uid};
use crate::store::{BlobId, Filing, Store};
use std::sync::{Arc, PoisonError};

/// Keywords below this number have a letter in the file name; others only the index knows.
pub(super) const LETTERS: u16 = 26;

/// A message that has its name.
pub(super) struct Arrived {
    pub(super) filing: Filing,
    pub(super) keywords: Vec<u16>,
    pub(super) blob: BlobId,
    pub(super) cached: Option<Cached>,
}

/// Messages under way, and the numbers of their keywords without a letter.
pub(super) type Coming = Vec<(Uid, Vec<u16>)>;

/// Messages with names that nobody is told of yet. Whoever has one may not have the mailbox's lock
/// when it is dropped.
pub(super) struct Flight {
    shared: Arc<Shared>,
    /// The lowest of its UIDs.
    first: Uid,
    /// They come together or not at all.
    pub(super) promise: Option<(Uid, Uid)>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        lock(&self.shared.state).flights.remove(&self.first);
        self.shared.landed.notify_all();
    }
}

impl State {
    /// The UID that the next message gets.
    pub(super) fn next_uid(&self) -> Result<Uid, Error> {
        let summary = self.summary.as_ref().ok_or(Error::Fault)?;
        Ok(self
            .given
            .map_or(summary.uid_next, |given| given.max(summary.uid_next)))
    }
}

impl Shared {
    /// Notes that UIDs from `first` to below `next` have names now. `coming`: keywords beyond z of those that nothing
    /// else says any more.
    pub(super) fn take_off(
        self: &Arc<Self>,
        state: &mut State,
        (first, next): (Uid, Uid),
        coming: Coming,
    ) -> Flight {
        state.given = Some(next);
        state.flights.insert(first, coming);
        Flight {
            shared: self.clone(),
            first,
            promise: None,
        }
    }

    /// Puts messages whose names are durable into the index and tells everybody, as soon as all with
    /// lower UIDs are told or failed. If it fails, they are found by the next scan, unless they are
    /// abandoned before the flight ends.
    pub(super) fn publish(
        self: &Arc<Self>,
        flight: &Flight,
        arrived: &[Arrived],
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        let mut state = lock(&self.state);
        while state
            .flights
            .keys()
            .next()
            .is_some_and(|f| *f < flight.first)
        {
            let waited = self.landed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = self.take_in(&mut state, arrived);
        let beyond = |a: &Arrived| a.keywords.iter().any(|k| *k >= LETTERS);
        if arrived.iter().any(beyond) {
            taken = taken.and_then(|()| self.keep_beyond(&state, store));
        }
        if taken.is_err() {
            state.caught_up = false;
            self.host.set_in_line(self.id, false);
        }
        taken?;
        drop(state);
        self.host.settle_later(self);
        self.raise();
        Ok(())
    }

    /// Several messages come together: until they are durable, a scan after a power cut removes what
    /// came of them (RFC 3502 section 6.3.11).
    pub(super) fn promise(
        &self,
        state: &State,
        store: &mut dyn Store,
        first: Uid,
        count: usize,
    ) -> Result<Option<(Uid, Uid)>, Error> {
        let more = u32::try_from(count)
            .ok()
            .and_then(|count| count.checked_sub(1));
        let Some(more) = more.filter(|more| *more > 0) else {
            return Ok(None);
        };
        let last = first.number().checked_add(more).and_then(Uid::new);
        let last = last.ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        let promised = store.promise(&state.name, (first, last));
        promised.map_err(store_fault("filing messages"))?;
        Ok(Some((first, last)))
    }

    /// The names of the messages are durable.
    pub(super) fn fulfil(
        &self,
        flight: &Flight,
        store: &mut dyn Store,
    ) -> Result<(), crate::store::Error> {
        match flight.promise {
            None => Ok(()),
            Some(uids) => store.fulfil(&lock(&self.state).name, uids),
        }
    }

    /// Removes messages that nobody was told of.
    pub(super) fn abandon(
        &self,
        promise: Option<(Uid, Uid)>,
        store: &mut dyn Store,
        arrived: &[Arrived],
    ) {
        let state = lock(&self.state);
        self.begin();
        let (mut gone, mut all) = (0, true);
        for message in arrived {
            match store.remove(&state.name, &message.blob) {
                Ok(removed) => gone += i64::from(removed),
                // The next scan finds it.
                Err(error) => {
                    all = false;
                    log::error!("{}: {error}", state.name.of(store.root()));
                }
            }
        }
        self.end(gone);
        let mut ended = store.sync();
        if let Some(uids) = promise.filter(|_| all) {
            ended = ended.and_then(|()| store.fulfil(&state.name, uids));
        }
        if let Err(error) = ended {
            log::error!("{}: {error}", state.name.of(store.root()));
        }
    }

    fn take_in(&self, state: &mut State, arrived: &[Arrived]) -> Result<(), Error> {
        let number = |a: &Arrived| a.filing.uid.number() >> 8;
        let mut summary = state.summary.clone().ok_or(Error::Fault)?;
        summary.highest_mod_seq = summary.highest_mod_seq.next().max(state.floor);
        // A scan may have been first; sessions may have changed or expunged what it found.
        let told = summary.uid_next;
        let last = arrived.last().and_then(|a| a.filing.uid.next());
        summary.uid_next = last.ok_or(Error::Fault)?.max(told);
        let beyond = |a: &Arrived| a.keywords.iter().any(|k| *k >= LETTERS);
        let durable = match arrived.iter().any(beyond) {
            true => Durable::Yes,
            false => Durable::Later,
        };
        let bounds = self.host.limits.bounds();
        let has_facts = |a: &Arrived| a.cached.as_ref().is_some_and(|c| !c.is_of_keys());
        let has_facts = arrived.iter().any(has_facts);
        let keeping = self.host.write_with(durable, |w| {
            let mut keeping = match has_facts {
                true => Some(w.keeping(self.owner, self.id, &bounds)?),
                false => None,
            };
            for chunk in arrived.chunk_by(|a, b| number(a) == number(b)) {
                let number = chunk.first().map_or(0, number);
                self.take_in_chunk(w, (number, chunk, told), &mut summary, &mut keeping)?;
            }
            w.set_summary(self.id, &summary)?;
            Ok(keeping)
        })?;
        keeping
            .iter()
            .for_each(|keeping| self.note_keeping(keeping));
        state.summary = Some(summary);
        for message in arrived.iter().filter(|a| a.filing.uid >= told) {
            if let Some(uids) = state.uids.as_mut() {
                uids.insert(message.filing.uid);
            }
            let line = (message.filing.uid, message.blob.name.clone());
            state.unlisted.push(line);
        }
        Ok(())
    }

    fn take_in_chunk(
        &self,
        w: &mut Writer<'_>,
        (number, arrived, told): (u32, &[Arrived], Uid),
        summary: &mut crate::index::Summary,
        keeping: &mut Option<Keeping>,
    ) -> Result<(), crate::index::Error> {
        let mut flags = w.flags(self.id, number)?;
        let mut names = Vec::new();
        let mut new = Bits::default();
        for message in arrived {
            let uid = message.filing.uid;
            let (slot, is_new) = ((uid.number() & 255) as u8, uid >= told);
            if !is_new && !flags.present.has(slot) {
                continue;
            }
            new.set(slot, true);
            let unnamed = |keyword: &&u16| is_new || **keyword >= LETTERS;
            let keywords = message.keywords.iter().filter(unnamed);
            keywords.for_each(|keyword| flags.set_keyword(slot, *keyword, true));
            match (&message.cached, keeping.as_mut()) {
                (Some(cached), Some(keeping)) => w.keep_cached(self.id, uid, cached, keeping)?,
                (Some(cached), None) => w.set_keys_of(self.id, uid, cached)?,
                (None, _) => {}
            }
            if is_new {
                summary.messages += 1;
                summary.seen += u32::from(message.filing.flags.contains(SystemFlags::SEEN));
                flags.present.set(slot, true);
                flags.set_system(slot, message.filing.flags);
                names.push(name(slot, &message.blob));
            }
        }
        flags.set_mod_seq(&new, summary.highest_mod_seq);
        w.set_flags(self.id, number, &flags)?;
        if names.is_empty() {
            return Ok(());
        }
        w.add_names(self.id, number, names)
    }

    /// Makes flags durable that no file name can hold, if this mailbox has such.
    pub(super) fn keep_flags(&self) -> Result<(), Error> {
        let state = lock(&self.state);
        let keywords = state.summary.as_ref().map_or(0, |s| s.keywords.len());
        drop(state);
        if keywords > usize::from(LETTERS) {
            let flushed = self.host.index.flush();
            flushed.map_err(fault("flushing the index"))?;
        }
        Ok(())
    }
}
