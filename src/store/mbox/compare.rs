//! Which messages of a file are which of its log. Of each that was found a row is kept, of each of the log another: both
//! in files where they are many.

use super::folded::Folded;
use super::line::{Head, MAX_LETTERS};
use super::rows::{Rows, part, row};
use super::scratchpad::Scratchpad;
use super::spans::SPAN;
use super::state::{Layout, State};
use super::walk::{Span, Walked};
use crate::mail::{Guid, Keyword, SystemFlags, Uid, UidSet};
use crate::store::side::{base::origin, room};
use crate::store::sorter::Sorted;
use crate::store::{Error, Sorter};
use std::ops::ControlFlow;

const GUID: usize = 16;
/// A UID, and what the message of the log is known by.
const LOGGED: usize = 4 + GUID;
/// See [`Found::encode`].
const FOUND: usize = SPAN + GUID + 3 * 8 + 3 * 4 + 1 + 2;

/// A message of the file, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) span: Span,
    pub(super) guid: Guid,
    /// Octets as stored, and with every line end as CRLF.
    pub(super) sizes: (u64, u64),
    /// INTERNALDATE.
    pub(super) received: i64,
    /// The UID that it has, as far as its field tells.
    pub(super) uid: Option<Uid>,
    /// What its field says.
    pub(super) noted: Option<u32>,
    pub(super) flags: SystemFlags,
    pub(super) letters: u32,
    traits: u16,
}

/// The log did not have it, and its field said the UID.
pub(super) const TOLD: u16 = 1;
/// Its keywords are not in an order in which Dovecot reads them.
pub(super) const EARLY: u16 = 2;
/// It may have more keywords than were read.
pub(super) const CUT: u16 = 4;
/// It has keywords that have no letter.
pub(super) const BEYOND: u16 = 8;
/// It is what is left of one that was written by half.
const TORN: u16 = 16;
/// If nobody knows it, it is.
const DOUBTED: u16 = 32;

impl Found {
    pub(super) fn has(&self, one: u16) -> bool {
        self.traits & one != 0
    }

    fn encode(&self) -> [u8; FOUND] {
        let number = |uid: Option<u32>| uid.unwrap_or(0).to_le_bytes();
        row(&[
            &self.span.encode(),
            &self.guid.0,
            &self.sizes.0.to_le_bytes(),
            &self.sizes.1.to_le_bytes(),
            &self.received.to_le_bytes(),
            &number(self.uid.map(Uid::number)),
            &number(self.noted),
            &self.letters.to_le_bytes(),
            &[self.flags.bits()],
            &self.traits.to_le_bytes(),
        ])
    }

    fn decode(row: [u8; FOUND]) -> Found {
        let rest = &mut &row[..];
        let number = |rest: &mut &[u8]| u32::from_le_bytes(part(rest));
        Found {
            span: Span::decode(rest),
            guid: Guid(part(rest)),
            sizes: (
                u64::from_le_bytes(part(rest)),
                u64::from_le_bytes(part(rest)),
            ),
            received: i64::from_le_bytes(part(rest)),
            uid: Uid::new(number(rest)),
            noted: Some(number(rest)).filter(|noted| *noted != 0),
            letters: number(rest),
            flags: SystemFlags::from_bits(u8::from_le_bytes(part(rest))),
            traits: u16::from_le_bytes(part(rest)),
        }
    }
}

/// A comparison that goes on.
pub(super) struct Comparison {
    pub(super) head: Head,
    pub(super) all: Folded,
    /// Messages of the log, ascending.
    logged: Rows<LOGGED>,
    /// Messages of the file in its order.
    found: Rows<FOUND>,
    /// UIDs that they have.
    taken: UidSet,
    /// The highest of them.
    before: Option<Uid>,
    /// UIDs from here on the log does not know.
    logged_next: Uid,
    /// The last UID that was given.
    last: u32,
    /// Some have none.
    unmatched: bool,
    pad: Scratchpad,
}

impl Comparison {
    /// Of what the log says now.
    pub(super) fn new(state: &State) -> Result<Comparison, Error> {
        let (head, all) = state.log.folded(room::to_sort())?;
        let mut logged = Rows::new(room::to_sort());
        let mut messages = all.messages()?;
        while let Some((uid, told)) = messages.next()? {
            // Others are known by nothing that a message can have.
            if let Some(guid) = told.name().and_then(guid_of) {
                logged.push(row(&[&uid.number().to_be_bytes(), &guid.0]), &state.pad)?;
            }
        }
        drop(messages);
        // A log of which some lines are lost does not say of a UID that it never had it.
        let logged_next = match state.doubted {
            false => head.uid_next.unwrap_or(Uid::MIN),
            true => Uid::MIN,
        };
        Ok(Comparison {
            head,
            all,
            logged,
            found: Rows::new(room::to_sort()),
            taken: UidSet::new(),
            before: None,
            logged_next,
            last: state.uid_next.number() - 1,
            unmatched: false,
            pad: state.pad.clone(),
        })
    }

    /// True if the log has that message under this UID, or is to have it.
    fn is_known(&self, state: &State, uid: Uid, guid: Guid) -> Result<bool, Error> {
        if let Some((name, ..)) = state.unlogged.get(&uid) {
            return Ok(guid_of(name) == Some(guid));
        }
        let row = self.logged.find(&uid.number().to_be_bytes())?;
        Ok(row.is_some_and(|row| row.ends_with(&guid.0)))
    }

    /// Takes the next message of the file.
    pub(super) fn see(&mut self, state: &mut State, walked: Walked) -> Result<(), Error> {
        let (kept, guid) = (&walked.kept, walked.known.guid);
        let noted = kept.uid.filter(|_| !walked.torn);
        let uid = noted.and_then(|noted| Uid::new(noted.number));
        let uid = uid.filter(|uid| !self.taken.contains(*uid));
        let is_known = match uid {
            Some(uid) => self.is_known(state, uid, guid)?,
            None => false,
        };
        // A number that the log does not know and did not give.
        let is_told = uid.is_some_and(|uid| {
            let own = noted.is_some_and(|noted| noted.own);
            let credible = own || uid.number() <= self.last;
            uid >= self.logged_next && Some(uid) > self.before && credible && uid < Uid::MAX
        });
        let uid = uid.filter(|_| is_known || is_told);
        self.before = self.before.max(uid);
        if let Some(uid) = uid {
            self.taken.insert(uid);
        }
        self.unmatched |= uid.is_none() && !walked.torn;
        // What shows whose it is comes first, and nothing is a message without a line.
        let own = kept.uid.is_some_and(|noted| noted.own) || walked.known.stored == 0;
        let letters = state.letters(&kept.keywords)?;
        let set = |is: bool, one: u16| if is { one } else { 0 };
        let traits = set(is_told && !is_known, TOLD)
            | set(kept.early, EARLY)
            | set(kept.cut, CUT)
            | set(state.has_beyond(&kept.keywords), BEYOND)
            | set(walked.torn, TORN)
            | set(walked.doubtful && own, DOUBTED);
        let found = Found {
            span: walked.span,
            guid,
            sizes: (walked.known.stored, walked.known.wire),
            received: walked.received,
            uid,
            noted: kept.uid.map(|noted| noted.number),
            flags: kept.flags,
            letters,
            traits,
        };
        self.found.push(found.encode(), &self.pad)
    }

    pub(super) fn found(&self, number: u32) -> Result<Found, Error> {
        Ok(Found::decode(self.found.at(number)?))
    }

    /// Messages of the log without one in the file, by what they are known by and their UIDs.
    fn free(&self) -> Result<Rows<LOGGED>, Error> {
        let octets = room::to_sort();
        let mut sorter = Sorter::new(octets);
        let mut scratch = || self.pad.file();
        for number in 0..self.logged.len() {
            let row = self.logged.at(number)?;
            let (uid, guid) = row.split_at(4);
            let number = u32::from_be_bytes(part(&mut &*uid));
            if Uid::new(number).is_some_and(|uid| !self.taken.contains(uid)) {
                sorter.add(&[guid, uid].concat(), 0, &mut scratch)?;
            }
        }
        let sorted = sorter.finish(&mut scratch)?;
        let (mut free, mut records) = (Rows::new(octets), sorted.records()?);
        while let Some((key, _)) = records.next()? {
            free.push(row(&[key]), &self.pad)?;
        }
        Ok(free)
    }

    /// Calls `each` with every message in the order of the file, by its number. Those without a UID that are as one
    /// which the log has have its UID then, in the order of UIDs.
    fn each_matched(
        &self,
        each: &mut dyn FnMut(u32, Found) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let free = match self.unmatched {
            true => self.free()?,
            false => Rows::new(0),
        };
        let mut before = None;
        // The next message that has a UID, and that.
        let (mut ahead, mut bound) = (0, None);
        for number in 0..self.found.len() {
            let mut found = self.found(number)?;
            if found.uid.is_none() && !found.has(TORN) && free.len() > 0 {
                if ahead <= number {
                    (ahead, bound) = self.next_with_uid(number + 1)?;
                }
                found.uid = first_of(&free, found.guid, before)?;
                found.uid = found
                    .uid
                    .filter(|uid| bound.is_none_or(|bound| *uid < bound));
            }
            before = before.max(found.uid);
            each(number, found)?;
        }
        Ok(())
    }

    /// The number and UID of the first from that number on that has one.
    fn next_with_uid(&self, from: u32) -> Result<(u32, Option<Uid>), Error> {
        for number in from..self.found.len() {
            let uid = self.found(number)?.uid;
            if uid.is_some() {
                return Ok((number, uid));
            }
        }
        Ok((u32::MAX, None))
    }

    /// Gives each message of the file its UID; who is none goes. Returns their numbers in the order of their UIDs, and
    /// whether the log lacks some.
    pub(super) fn place(
        &self,
        state: &mut State,
        layout: &mut Layout,
    ) -> Result<(Sorted, bool), Error> {
        let mut by_uid = Sorter::new(room::to_sort());
        let mut lacks = false;
        let mut scratch = || self.pad.file();
        self.each_matched(&mut |number, found| {
            if let ControlFlow::Break(()) = state.sort_out(&found, layout) {
                return Ok(());
            }
            let uid = match found.uid {
                Some(uid) => {
                    state.uid_next = state.uid_next.max(uid.next().unwrap_or(Uid::MAX));
                    uid
                }
                None => {
                    let uid = state.uid_next;
                    // The last UID there is stays free.
                    state.uid_next = uid.next().ok_or(Error::Full)?;
                    uid
                }
            };
            lacks |= !self.head.present.contains(uid);
            by_uid.add(&uid.number().to_be_bytes(), number, &mut scratch)
        })?;
        Ok((by_uid.finish(&mut scratch)?, lacks))
    }
}

/// The first of those that are known by this, above that UID.
fn first_of(free: &Rows<LOGGED>, guid: Guid, before: Option<Uid>) -> Result<Option<Uid>, Error> {
    let from = before.map_or(1, |before| before.number().saturating_add(1));
    let key: [u8; LOGGED] = row(&[&guid.0, &from.to_be_bytes()]);
    let number = free.first_from(&key)?;
    if number == free.len() {
        return Ok(None);
    }
    let own = free.at(number)?;
    let uid = own.strip_prefix(&guid.0).map(|mut rest| part(&mut rest));
    Ok(uid.map(u32::from_be_bytes).and_then(Uid::new))
}

fn guid_of(name: &str) -> Option<Guid> {
    Guid::parse(origin(name).as_bytes())
}

impl State {
    /// True if one of these keywords has no letter.
    fn has_beyond(&self, words: &[Box<str>]) -> bool {
        let mut keywords = words.iter().filter_map(|word| Keyword::new(word));
        keywords.any(|keyword| {
            let mut lettered = self.keywords.iter().take(MAX_LETTERS);
            !lettered.any(|own| own.as_ref() == Some(&keyword))
        })
    }

    /// Breaks if that is no message, or none any more.
    fn sort_out(&self, found: &Found, layout: &mut Layout) -> ControlFlow<()> {
        // Nobody was told of what the log does not have.
        let half = found.has(DOUBTED) && (found.has(TOLD) || found.uid.is_none());
        if found.has(TORN) || half {
            log::warn!("{}: a message was written by half", self.path.display());
            layout.has_junk = true;
            layout.goes(found.span.start);
            return ControlFlow::Break(());
        }
        if let Some(uid) = found.uid.filter(|uid| self.doomed.contains(*uid)) {
            layout.doomed.insert(uid);
            layout.goes(found.span.start);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
