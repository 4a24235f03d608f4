//! Bringing the index in line with the store: the only bridge between the two.

use super::arrive::LETTERS;
use super::shared::{Change, Shared, State, array, side_state};
use super::touched::Touched;
use super::{Error, fault, store_fault};
use crate::index::{Bits, FlagChunk, Name, NameChunk, Summary};
use crate::mail::{ModSeq, SystemFlags, Uid, UidSet};
use crate::store::{Filing, Found, Place, Scanned, Store};
use std::collections::HashMap;
use std::sync::Arc;

/// After an unclean end some mod-sequences may have been told that the index forgot; a mailbox makes
/// fewer than this many changes between two flushes.
const MOD_SEQ_LEAP: u64 = 1 << 20;

/// Scans the mailbox and takes into the index what is different: new messages get their UIDs,
/// missing ones are expunged, flags are as the names have them.
pub(super) fn resync(
    shared: &Arc<Shared>,
    state: &mut State,
    store: &mut dyn Store,
) -> Result<(), Error> {
    let done = compare(shared, state, store);
    if store.settles() {
        shared.host.settle_later(shared);
    }
    if done.is_err() {
        // What events told is forgotten already; it is still to be found.
        shared.doubt();
    }
    done
}

fn compare(shared: &Arc<Shared>, state: &mut State, store: &mut dyn Store) -> Result<(), Error> {
    #[cfg(test)]
    shared
        .host
        .scans
        .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    shared.forget_events();
    let time = crate::sys::clock::file_time();
    let mut scanned = store
        .scan(&state.name)
        .map_err(store_fault("scanning a mailbox"))?;
    if !state.caught_up || !state.flights.is_empty() {
        // Some of it may be in memory only, and nobody must be told of what a power cut can take.
        store
            .sync_mailbox(&state.name)
            .map_err(store_fault("syncing a mailbox"))?;
    }
    keep_promises(shared, state, store, &mut scanned.found)?;
    let mut start_anew = false;
    let forget = state.forget;
    let mut summary = match state.summary.clone() {
        Some(summary)
            if !forget
                && (!scanned.header_known
                    || summary.uid_validity == scanned.state.uid_validity) =>
        {
            summary
        }
        other => {
            start_anew = other.is_some();
            anew(&scanned, other.map(|summary| summary.highest_mod_seq))
        }
    };
    if !state.caught_up {
        let leapt = summary
            .highest_mod_seq
            .number()
            .saturating_add(MOD_SEQ_LEAP);
        summary.highest_mod_seq = ModSeq::new(leapt).unwrap_or(summary.highest_mod_seq);
        // Messages may have come, been told and gone that the index forgot, too.
        summary.horizon = summary.highest_mod_seq.number();
    }
    summary.uid_next = summary.uid_next.max(scanned.state.uid_next);
    summary.uid_next = summary.uid_next.max(state.given.unwrap_or(Uid::MIN));
    if take_keywords(&mut summary, &scanned) {
        name_letters(state, store, &summary);
    }
    if start_anew {
        state.gone = UidSet::new();
    } else {
        known_names(shared, &mut scanned.found)?;
        name_anew(state, store, &mut summary, &mut scanned.found)?;
    }
    let given = give_uids(&mut summary, &mut scanned.found)?;
    let new_validity = state.summary.is_none() && !scanned.header_known;
    list(state, store, &summary, &scanned, given || new_validity)?;
    let mut merge = Merge {
        summary,
        uids: UidSet::new(),
        changed: UidSet::new(),
        mod_seq: ModSeq::MIN,
        dirty: start_anew,
    };
    merge.mod_seq = merge.summary.highest_mod_seq.next();
    let before = state.uids.take();
    merge.write(shared, &scanned.found, start_anew)?;
    take_aliases(shared, &merge.uids, scanned.aliases)?;
    shared.host.note_bulk(scanned.found.len());
    let Merge {
        mut summary,
        uids,
        changed,
        mod_seq,
        dirty,
    } = merge;
    if start_anew || state.summary.is_none() {
        shared.recall_beyond(state, store, &mut summary)?;
    }
    let stamp = store
        .stamp(&state.name)
        .map_err(store_fault("looking at a mailbox"))?;
    summary.stamp = array(scanned.stamp);
    if let Some(list) = summary.stamp.get_mut(2) {
        *list = stamp.list;
    }
    // What changes after this moment changes the stamp too, once the clock has moved on.
    summary.stamp_time = time;
    shared.host.write(|w| w.set_summary(shared.id, &summary))?;
    if let Some(before) = before.filter(|_| !start_anew) {
        shared.note_gone(state, &before.difference(&uids));
    }
    state.summary = Some(summary);
    state.uids = Some(uids);
    state.caught_up = true;
    shared.host.set_in_line(shared.id, true);
    shared.verify();
    state.forget = false;
    if start_anew {
        // Who knew the mailbox before is told all flags.
        state.changes.clear();
        state.changes_after = mod_seq.number();
    } else if !changed.is_empty() {
        let change = Change {
            mod_seq,
            by: 0,
            uids: changed,
            before: mod_seq,
            touched: Touched::any(),
        };
        shared.note_change(state, change);
    }
    if dirty {
        shared.raise();
    }
    Ok(())
}

/// Of messages that were to come together, what came of them goes, unless all are there: then somebody
/// brings them to their end just now.
fn keep_promises(
    shared: &Shared,
    state: &State,
    store: &mut dyn Store,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    let reading = store.promised(&state.name);
    for (first, last) in reading.map_err(store_fault("reading what was promised"))? {
        if state.flights.is_empty() {
            let broken = |f: &Found| f.uid.is_some_and(|uid| first <= uid && uid <= last);
            let (gone, rest) = std::mem::take(found).into_iter().partition(broken);
            *found = rest;
            remove(shared, state, store, gone)?;
        }
        let ended = store.fulfil(&state.name, (first, last));
        ended.map_err(store_fault("ending what was promised"))?;
    }
    Ok(())
}

fn remove(
    shared: &Shared,
    state: &State,
    store: &mut dyn Store,
    gone: Vec<Found>,
) -> Result<(), Error> {
    shared.begin();
    let mut count = 0;
    let mut removed = Ok(());
    for message in gone {
        log::info!("{}: {} did not come whole", state.name, message.blob.name);
        let went = removed.and_then(|()| store.remove(&state.name, &message.blob));
        count += i64::from(matches!(went, Ok(true)));
        removed = went.map(|_| ());
    }
    shared.end(count);
    let synced = removed.and_then(|()| store.sync());
    synced.map_err(store_fault("removing what did not come whole"))
}

/// What is known of a mailbox that the index does not know, or no longer. Mod-sequences begin above
/// all that an index which is gone can have given: with the microseconds of the clock, which no
/// mailbox changes faster than, and above those that are known (RFC 7162 section 3.1.2.1: a client compares them as long as
/// UIDVALIDITY stays).
fn anew(scanned: &Scanned, known: Option<ModSeq>) -> Summary {
    let state = &scanned.state;
    let mut summary = Summary::new(state.uid_validity, state.uid_next, state.guid);
    let now = u64::try_from(crate::sys::clock::now().as_micros()).unwrap_or(0);
    let by_clock = ModSeq::new(now);
    summary.highest_mod_seq = by_clock.max(known).unwrap_or(ModSeq::MIN);
    summary.horizon = summary.highest_mod_seq.number();
    summary
}

/// Letters mean what the side file says; other keywords stay. True if some of them have letters which the
/// file does not name.
fn take_keywords(summary: &mut Summary, scanned: &Scanned) -> bool {
    let named = &scanned.state.keywords;
    summary
        .keywords
        .resize(summary.keywords.len().max(named.len()), None);
    for (own, named) in summary.keywords.iter_mut().zip(named) {
        if named.is_some() {
            *own = named.clone();
        }
    }
    let is_named = |at: usize| named.get(at).is_some_and(Option::is_some);
    let mut unnamed = false;
    for (at, own) in (0..usize::from(LETTERS)).zip(&mut summary.keywords) {
        // One that got another letter there does not keep its own.
        if !is_named(at) && named.contains(own) {
            *own = None;
        }
        unnamed |= own.is_some() && !is_named(at);
    }
    unnamed
}

/// Has the side file name the letters that only the index knows, before messages get them: another
/// program wrote it anew without keywords that no message had.
fn name_letters(state: &State, store: &mut dyn Store, summary: &Summary) {
    let named = store.record_keywords(&state.name, &summary.keywords);
    if let Err(error) = named.and_then(|()| store.sync()) {
        log::warn!("{}: keywords could not be written: {error}", state.name);
    }
}

/// Messages that the store cannot name but the index can (a lost side file) keep their UIDs.
fn known_names(shared: &Shared, found: &mut [Found]) -> Result<(), Error> {
    if found.iter().all(|f| f.uid.is_some()) {
        return Ok(());
    }
    let mut known: HashMap<Box<str>, Uid> = HashMap::new();
    let reader = shared
        .host
        .index
        .read()
        .map_err(fault("reading the index"))?;
    reader
        .each_names(shared.id, &mut |number, chunk| {
            for name in chunk.names {
                if let Some(uid) = Uid::new(number << 8 | u32::from(name.slot)) {
                    known.insert(name.base, uid);
                }
            }
        })
        .map_err(fault("reading the index"))?;
    let taken: UidSet = found.iter().filter_map(|f| f.uid).collect();
    for message in found.iter_mut().filter(|f| f.uid.is_none()) {
        message.uid = known
            .get(&message.blob.name)
            .copied()
            .filter(|uid| !taken.contains(*uid));
    }
    Ok(())
}

/// A message that was expunged stays so: a file that comes back under a UID that sessions were told
/// is gone gets a new one. (What only the index says counts for nothing: it may be damaged.)
fn name_anew(
    state: &State,
    store: &mut dyn Store,
    summary: &mut Summary,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    let is_back = |f: &&mut Found| f.uid.is_some_and(|uid| state.gone.contains(uid));
    let (mut any, mut gone) = (false, Vec::new());
    for message in found.iter_mut().filter(is_back) {
        let filing = Filing {
            uid: summary.uid_next,
            flags: message.blob.flags,
            letters: message.blob.letters,
        };
        log::warn!(
            "{}: {} is back, under a new UID",
            state.name,
            message.blob.name
        );
        match store.transfer(&state.name, &message.blob, &state.name, &filing) {
            Ok(blob) => message.blob = blob,
            // It went again since the directory was read.
            Err(crate::store::Error::NoSuchMessage) => {
                gone.extend(message.uid);
                continue;
            }
            Err(error) => return Err(store_fault("naming a message")(error)),
        }
        message.uid = Some(filing.uid);
        message.listed = false;
        summary.uid_next = filing
            .uid
            .next()
            .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        any = true;
    }
    if any {
        store.sync().map_err(store_fault("syncing a mailbox"))?;
    }
    found.retain(|f| f.uid.is_none_or(|uid| !gone.contains(&uid)));
    Ok(())
}

/// New messages get UIDs in the order in which they were found. Returns whether there were any.
fn give_uids(summary: &mut Summary, found: &mut [Found]) -> Result<bool, Error> {
    let mut given = false;
    for message in found.iter_mut().filter(|f| f.uid.is_none()) {
        message.uid = Some(summary.uid_next);
        summary.uid_next = summary
            .uid_next
            .next()
            .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        given = true;
    }
    crate::mail::sort_by(found, |a, b| a.uid.cmp(&b.uid));
    Ok(given)
}

/// Puts UIDs into the side file before anybody is told of them.
fn list(
    state: &mut State,
    store: &mut dyn Store,
    summary: &Summary,
    scanned: &Scanned,
    must: bool,
) -> Result<(), Error> {
    let all = || {
        scanned
            .found
            .iter()
            .filter_map(|f| f.uid.map(|uid| (uid, f)))
    };
    fn named((uid, found): (Uid, &Found)) -> (Uid, &str) {
        (uid, &found.blob.name)
    }
    let new: Vec<(Uid, &str)> = all().filter(|(_, f)| !f.listed).map(named).collect();
    // The file has to say so too of UIDs whose messages are gone, and durably, which nobody knows
    // of what a process wrote that was killed.
    let complete = scanned.state.uid_next >= summary.uid_next && state.caught_up;
    if new.is_empty() && !scanned.rewrite && complete {
        state.unlisted.clear();
        return Ok(());
    }
    // Lines must ascend; where a new UID is not above all listed ones, the file is written anew.
    let last_listed = all()
        .filter(|(_, f)| f.listed)
        .map(|(uid, _)| uid)
        .next_back();
    let lowest = new.first().map(|(uid, _)| *uid);
    let ascends = lowest.is_none_or(|lowest| last_listed.is_none_or(|last| lowest > last));
    let side_state = side_state(summary);
    let appended = if scanned.rewrite || !ascends {
        Err(crate::store::Error::Corrupt { what: "a uidlist" })
    } else {
        store.record(&state.name, &side_state, &new)
    };
    let recorded = appended.or_else(|error| match error {
        crate::store::Error::Corrupt { .. } => {
            let all: Vec<(Uid, &str)> = all().map(named).collect();
            store.record_all(&state.name, &side_state, &all)
        }
        error => Err(error),
    });
    match recorded {
        Ok(()) => {
            state.unlisted.clear();
            state.listed = summary.uid_next;
            Ok(())
        }
        Err(error) if must => Err(store_fault("writing a uidlist")(error)),
        // The names hold the UIDs: a full disk must not keep anybody from reading.
        Err(error) => {
            log::warn!("{}: the uidlist could not be written: {error}", state.name);
            state.unlisted = new
                .iter()
                .map(|(uid, base)| (*uid, (*base).into()))
                .collect();
            Ok(())
        }
    }
}

/// What messages are called elsewhere, as far as it is not known already.
fn take_aliases(
    shared: &Shared,
    uids: &UidSet,
    mut aliases: Vec<(Uid, Box<str>)>,
) -> Result<(), Error> {
    aliases.retain(|(uid, _)| uids.contains(*uid));
    let mut same = 0;
    let mut known = 0;
    let reading = fault("reading the index");
    let reader = shared.host.index.read().map_err(&reading)?;
    let mut each = |uid: Uid, text: &str| {
        let own = aliases.get(known);
        same += usize::from(own.is_some_and(|(own, alias)| *own == uid && **alias == *text));
        known += 1;
    };
    let read = reader.each_alias(shared.id, Uid::MIN, Uid::MAX, &mut each);
    read.map_err(&reading)?;
    drop(reader);
    if same == known && known == aliases.len() {
        return Ok(());
    }
    shared.host.write(|w| w.set_aliases(shared.id, &aliases))
}

struct Merge {
    summary: Summary,
    uids: UidSet,
    /// Messages that were there and have other flags now.
    changed: UidSet,
    mod_seq: ModSeq,
    dirty: bool,
}

impl Merge {
    /// Writes every chunk that is different.
    fn write(&mut self, shared: &Shared, found: &[Found], start_anew: bool) -> Result<(), Error> {
        let mut old = Vec::new();
        if !start_anew {
            let reader = shared
                .host
                .index
                .read()
                .map_err(fault("reading the index"))?;
            reader
                .each_flags(shared.id, &mut |number, _| old.push(number))
                .map_err(fault("reading the index"))?;
        }
        self.summary.messages = 0;
        self.summary.seen = 0;
        shared.host.write(|w| {
            if start_anew {
                w.clear(shared.id)?;
            }
            let mut old = old.into_iter().peekable();
            for messages in found.chunk_by(|a, b| number(a) == number(b)) {
                let number = messages.first().map_or(0, number);
                while let Some(gone) = old.next_if(|n| *n < number) {
                    self.chunk(w, shared, gone, &[])?;
                }
                old.next_if_eq(&number);
                self.chunk(w, shared, number, messages)?;
            }
            for gone in old {
                self.chunk(w, shared, gone, &[])?;
            }
            if self.dirty {
                self.summary.highest_mod_seq = self.mod_seq;
            }
            Ok(())
        })
    }

    fn chunk(
        &mut self,
        w: &mut crate::index::Writer<'_>,
        shared: &Shared,
        number: u32,
        messages: &[Found],
    ) -> Result<(), crate::index::Error> {
        let (old_flags, old_names) = (w.flags(shared.id, number)?, w.names(shared.id, number)?);
        let (mut flags, mut names) = (FlagChunk::default(), NameChunk::default());
        flags.clone_from(&old_flags);
        let mut present = Bits::default();
        let mut changed = Bits::default();
        for message in messages {
            let Some(uid) = message.uid else { continue };
            let slot = (uid.number() & 255) as u8;
            present.set(slot, true);
            self.uids.insert(uid);
            names.names.push(name(slot, message));
            if flags.system(slot) != message.blob.flags
                || letters(&flags, slot) != message.blob.letters
            {
                set_named(&mut flags, slot, message.blob.flags, message.blob.letters);
                changed.set(slot, true);
            }
        }
        let gone = old_flags.present.without(&present);
        let (id, limit) = (shared.id, shared.host.limits.expunges);
        w.note_expunged(id, &mut self.summary, self.mod_seq, number, &gone, limit)?;
        gone.slots().for_each(|slot| flags.remove(slot));
        flags.present = present;
        let new = present.without(&old_flags.present);
        flags.set_mod_seq(&changed.or(&new), self.mod_seq);
        self.summary.messages += present.count();
        self.summary.seen += flags.with_flag(SystemFlags::SEEN).and(&present).count();
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        self.changed = self
            .changed
            .union(&changed.without(&new).slots().filter_map(uid).collect());
        if flags != old_flags || !gone.is_empty() {
            self.dirty = true;
            w.set_flags(shared.id, number, &flags)?;
        }
        if names != old_names {
            w.set_names(shared.id, number, &names)?;
        }
        for (first, last) in gone.runs() {
            if let (Some(first), Some(last)) = (uid(first), uid(last)) {
                w.uncache(shared.id, first, last)?;
            }
        }
        Ok(())
    }
}

fn number(found: &Found) -> u32 {
    found.uid.map_or(0, |uid| uid.number() >> 8)
}

fn name(slot: u8, message: &Found) -> Name {
    let blob = &message.blob;
    Name {
        slot,
        base: blob.name.clone(),
        is_new: blob.place == Place::New,
        flags: blob.flags,
        letters: blob.letters,
    }
}

/// Keyword letters that the index has for a message.
pub(super) fn letters(flags: &FlagChunk, slot: u8) -> u32 {
    let mut keywords = Vec::new();
    flags.keywords(slot, &mut keywords);
    keywords
        .iter()
        .filter(|k| **k < LETTERS)
        .fold(0, |all, k| all | 1 << k)
}

/// Sets system flags and the keywords that have letters.
pub(super) fn set_named(flags: &mut FlagChunk, slot: u8, system: SystemFlags, letters: u32) {
    flags.set_system(slot, system);
    for keyword in 0..LETTERS {
        flags.set_keyword(slot, keyword, letters >> keyword & 1 == 1);
    }
}
