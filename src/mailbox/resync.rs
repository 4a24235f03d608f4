//! Bringing the index in line with the store: the only bridge between the two.

use super::arrive::LETTERS;
use super::merge::Merge;
use super::roster::Roster;
use super::shared::{Change, Shared, State, array, side_state};
use super::sift::{keep_promises, known_names, name_anew};
use super::touched::Touched;
use super::{Error, fault, mailbox_fault, rest, store_fault};
use crate::index::{Durable, FlagChunk, Summary, Writer};
use crate::mail::{Keyword, ModSeq, SystemFlags, Uid, UidSet};
use crate::store::{Census, Lines, Store, UNKNOWN};
use std::sync::Arc;

/// Lines for the side file that are kept in memory while it cannot be written.
const MAX_UNLISTED: u64 = 4096;

/// After an unclean end some mod-sequences may have been told that the index forgot; a mailbox makes
/// fewer than this many changes between two flushes. For each such end since the mailbox was last compared with its
/// store it leaps once: the file may have forgotten the leaps before, and the changes after them.
const MOD_SEQ_LEAP: u64 = 1 << 20;

/// Scans the mailbox and takes into the index what is different: new messages get their UIDs,
/// missing ones are expunged, flags are as the names have them.
pub(super) fn resync(
    shared: &Arc<Shared>,
    state: &mut State,
    store: &mut dyn Store,
) -> Result<(), Error> {
    let mut done = compare(shared, state, store, Names::Ours);
    if let Ok(Compared::Renamed) = done {
        done = compare(shared, state, store, Names::Theirs);
    }
    if store.settles() || rest::pays(state) {
        shared.host.settle_later(shared);
    }
    if done.is_err() {
        // What events told is forgotten already; it is still to be found.
        shared.doubt();
    }
    done.map(|_| ())
}

/// Whether letters get names here that nothing tells, or another program may be about to name them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Ours,
    Theirs,
}

enum Compared {
    Done,
    /// Nothing was done: another program named letters meanwhile.
    Renamed,
}

fn compare(
    shared: &Arc<Shared>,
    state: &mut State,
    store: &mut dyn Store,
    names: Names,
) -> Result<Compared, Error> {
    #[cfg(test)]
    shared
        .host
        .scans
        .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    shared.forget_events();
    let time = crate::sys::clock::file_time();
    let mut census = store
        .census(&state.name, shared.sort_octets())
        .map_err(mailbox_fault("scanning", &*store, &state.name))?;
    if !state.caught_up || !state.flights.is_empty() {
        // Some of it may be in memory only, and nobody must be told of what a power cut can take.
        store
            .sync_mailbox(&state.name)
            .map_err(mailbox_fault("syncing", &*store, &state.name))?;
    }
    keep_promises(shared, state, store, &mut census)?;
    let first = !shared.host.was_looked_at(shared.id);
    let ends = shared.host.index.ends_since(shared.id);
    let ends = ends.map_err(fault("reading the index"))?;
    let leaps = ends.max(1);
    let (mut summary, start_anew) = begin(state, &census, leaps);
    let unnamed = take_keywords(&mut summary, &census);
    if unnamed && !name_letters(state, store, &summary) && names == Names::Ours {
        return Ok(Compared::Renamed);
    }
    if start_anew {
        state.gone = UidSet::new();
    } else {
        known_names(shared, store, &mut census)?;
        name_anew(shared, state, store, &mut summary, &mut census)?;
    }
    let new_validity = state.summary.is_none() && !census.header_known;
    let roster = Roster::new(&census, &mut summary)?;
    list(state, store, &summary, &census, &roster, new_validity)?;
    let before = state.uids.take();
    let mut merge = Merge::new(summary, start_anew, state.floor);
    merge.write(shared, state, &roster)?;
    let uids = roster.uids();
    shared
        .host
        .note_bulk(usize::try_from(uids.count()).unwrap_or(usize::MAX));
    let Merge {
        mut summary,
        mut changed,
        mod_seq,
        mut dirty,
        gone,
        first_gone,
        ..
    } = merge;
    // Stores that nobody else writes tell it themselves; after a hard stop an index may lack expunges of our own.
    if let Some(first) = first_gone.filter(|_| state.caught_up && !store.is_exclusive(&state.name))
    {
        let name = state.name.of(store.root());
        log::info!("{name}: the files of {gone} messages are gone, the first UID {first}");
    }
    if start_anew || state.summary.is_none() {
        shared.recall_beyond(state, store, &mut summary, None)?;
    } else if !state.caught_up && ends > 0 || store.notes_beyond(&state.name) {
        // What was acknowledged at last the index may have forgotten; another program may have written others.
        let recalled = shared.recall_beyond(state, store, &mut summary, Some(mod_seq))?;
        if !recalled.is_empty() {
            (summary.highest_mod_seq, dirty) = (mod_seq, true);
            changed = changed.union(&recalled);
        }
    }
    let stamp =
        store
            .stamp(&state.name)
            .map_err(mailbox_fault("looking at", &*store, &state.name))?;
    summary.stamp = array(census.stamp);
    if let Some(list) = summary.stamp.get_mut(2) {
        *list = stamp.list;
    }
    // What changes after this moment changes the stamp too, once the clock has moved on.
    summary.stamp_time = time;
    // The next process counts the ends of processes; a second leap of this one must not be forgotten.
    let durable = match state.caught_up || first {
        true => Durable::Later,
        false => Durable::Yes,
    };
    let ends = shared.host.index.unclean_ends();
    let written = |w: &mut Writer<'_>| {
        if !state.caught_up && ends > 0 {
            w.set_ends_before(shared.id, ends)?;
        }
        w.set_summary(shared.id, &summary)
    };
    shared.host.write_with(durable, written)?;
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
    Ok(Compared::Done)
}

/// What the index is to say of the mailbox as a whole, and whether all that it says is forgotten.
fn begin(state: &State, census: &Census, leaps: u64) -> (Summary, bool) {
    let (mut start_anew, mut goes_on) = (false, true);
    let forget = state.forget;
    let mut summary = match state.summary.clone() {
        Some(summary)
            if !forget
                && (!census.header_known || summary.uid_validity == census.state.uid_validity) =>
        {
            summary
        }
        other => {
            (start_anew, goes_on) = (other.is_some(), false);
            anew(census, other.map(|summary| summary.highest_mod_seq))
        }
    };
    if !state.caught_up {
        let known = summary.highest_mod_seq;
        let leapt = known
            .number()
            .saturating_add(MOD_SEQ_LEAP.saturating_mul(leaps));
        let leapt = ModSeq::new(leapt).unwrap_or(known);
        // Where there was no room for this index another one told them, by the clock.
        summary.highest_mod_seq = leapt.max(by_clock().unwrap_or(ModSeq::MIN));
        if goes_on {
            // Of flags that were told in between neither index nor store may know. Where the index begins anew, all
            // flags are told anew.
            let first = Some(summary.doubtful.0).filter(|first| *first > 0);
            let first = first.unwrap_or(known.number());
            summary.doubtful = (first, summary.highest_mod_seq.number());
        }
        // Messages may have come, been told and gone that the index forgot, too.
        summary.horizon = summary.highest_mod_seq.number();
    }
    summary.rest = None;
    summary.uid_next = summary.uid_next.max(census.state.uid_next);
    summary.uid_next = summary.uid_next.max(state.given.unwrap_or(Uid::MIN));
    (summary, start_anew)
}

/// What is known of a mailbox that the index does not know, or no longer. Mod-sequences begin above
/// all that an index which is gone can have given: with the microseconds of the clock, which no
/// mailbox changes faster than, and above those that are known (RFC 7162 section 3.1.2.1: a client compares them as long as
/// UIDVALIDITY stays).
fn anew(census: &Census, known: Option<ModSeq>) -> Summary {
    let state = &census.state;
    let mut summary = Summary::new(state.uid_validity, state.uid_next, state.guid);
    summary.highest_mod_seq = by_clock().max(known).unwrap_or(ModSeq::MIN);
    summary.horizon = summary.highest_mod_seq.number();
    summary
}

/// The least mod-sequence of what changes in this process: above those that another gave, which began with the clock and
/// a leap.
pub(super) fn floor() -> ModSeq {
    let now = by_clock().map_or(0, ModSeq::number);
    ModSeq::new(now.saturating_add(MOD_SEQ_LEAP)).unwrap_or(ModSeq::MIN)
}

/// The microseconds of the clock.
fn by_clock() -> Option<ModSeq> {
    let now = u64::try_from(crate::sys::clock::now().as_micros());
    ModSeq::new(now.unwrap_or(0))
}

/// Letters mean what the side file says; other keywords stay, and those that messages have and nothing names get
/// names, so that no new keyword gets them. True if some have letters which the file does not name.
fn take_keywords(summary: &mut Summary, census: &Census) -> bool {
    let (named, used) = (&census.state.keywords, census.totals.letters);
    let lettered = usize::try_from(u32::BITS - used.leading_zeros()).unwrap_or(0);
    let count = summary.keywords.len().max(named.len()).max(lettered);
    summary.keywords.resize(count, None);
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
    unnamed | name_unknown(&mut summary.keywords, used)
}

/// Gives those of the letters that have no name such as Dovecot gives them, too. True if there were some.
fn name_unknown(keywords: &mut [Option<Keyword>], letters: u32) -> bool {
    let (mut number, mut found) = (0u32, false);
    for at in 0..keywords.len().min(usize::from(LETTERS)) {
        if letters >> at & 1 == 0 || keywords.get(at).is_some_and(Option::is_some) {
            continue;
        }
        let name = loop {
            let name = Keyword::new(&format!("{UNKNOWN}{number}"));
            number += 1;
            if !keywords.contains(&name) || name.is_none() {
                break name;
            }
        };
        if let Some(slot) = keywords.get_mut(at) {
            *slot = name;
        }
        found = true;
    }
    found
}

/// Has the side file name the letters that only the index knows, before messages get them: another
/// program wrote it anew without keywords that no message had, or did not tell what it calls some. False if another
/// program named letters meanwhile.
fn name_letters(state: &State, store: &mut dyn Store, summary: &Summary) -> bool {
    let named = store.record_keywords(&state.name, &summary.keywords);
    match named.and_then(|()| store.sync()) {
        Ok(()) => true,
        Err(crate::store::Error::Corrupt { .. }) => false,
        Err(error) => {
            let name = state.name.of(store.root());
            log::warn!("{name}: keywords could not be written: {error}");
            true
        }
    }
}

/// Puts UIDs into the side file before anybody is told of them.
fn list(
    state: &mut State,
    store: &mut dyn Store,
    summary: &Summary,
    census: &Census,
    roster: &Roster<'_>,
    new_validity: bool,
) -> Result<(), Error> {
    // The file has to say so too of UIDs whose messages are gone, and durably, which nobody knows
    // of what a process wrote that was killed.
    let complete = census.state.uid_next >= summary.uid_next && state.caught_up;
    let lowest = roster.first_unlisted();
    if lowest.is_none() && !census.rewrite && complete {
        state.forget_unlisted();
        return Ok(());
    }
    // Lines must ascend; where a new UID is not above all listed ones, the file is written anew.
    let last_listed = census.totals.last_listed;
    let ascends = lowest.is_none_or(|lowest| last_listed.is_none_or(|last| lowest > last));
    let side_state = side_state(summary);
    let put = |store: &mut dyn Store, anew: bool| {
        let mut cursor = roster.cursor()?;
        match anew {
            true => store.record_all(&state.name, &side_state, &mut cursor),
            false => store.record(&state.name, &side_state, &mut cursor.unlisted()),
        }
    };
    let recorded = match put(store, census.rewrite || !ascends) {
        Err(crate::store::Error::Corrupt { .. }) if !census.rewrite && ascends => put(store, true),
        recorded => recorded,
    };
    match recorded {
        Ok(()) => {
            state.forget_unlisted();
            state.listed = summary.uid_next;
            Ok(())
        }
        Err(error) if census.totals.unnamed > 0 || new_validity => {
            Err(store_fault("writing a uidlist")(error))
        }
        // The names hold the UIDs: a full disk must not keep anybody from reading.
        Err(error) => {
            let name = state.name.of(store.root());
            log::warn!("{name}: the uidlist could not be written: {error}");
            state.list_lags = roster.count_unlisted() > MAX_UNLISTED;
            let mut unlisted = Vec::new();
            let mut cursor = roster.cursor().map_err(store_fault("scanning a mailbox"))?;
            let mut lines = cursor.unlisted();
            while !state.list_lags
                && let Some((uid, base)) =
                    lines.line().map_err(store_fault("scanning a mailbox"))?
            {
                unlisted.push((uid, base.into()));
            }
            state.unlisted = unlisted;
            Ok(())
        }
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
