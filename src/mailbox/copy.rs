//! COPY and MOVE.

use super::account::Copied;
use super::append::{blob, letters};
use super::arrive::{Arrived, Coming, Flight, LETTERS};
use super::expunge::Doomed;
use super::host::lock;
use super::shared::{Shared, State};
use super::steps::{Left, Steps, chunks};
use super::{Access, Error, View, fault, store_fault};
use crate::index::{Bits, Cached, Name};
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::{Filing, Store};
use std::sync::{Arc, MutexGuard};

/// A message on its way.
struct Item {
    uid: Uid,
    name: Name,
    flags: SystemFlags,
    keywords: Vec<u16>,
    cached: Option<Cached>,
}

/// How far a batch came.
#[derive(Default)]
struct Carried {
    flight: Option<Flight>,
    /// UIDs in the source, in the order of `arrived`.
    from: Vec<Uid>,
    arrived: Vec<Arrived>,
    failure: Option<Error>,
    departed: Option<Departed>,
}

/// Messages that a mailbox has no more, while its rows have them: until those are gone, too, it is not at rest.
struct Departed {
    from: Arc<Shared>,
    count: i64,
}

impl Drop for Departed {
    fn drop(&mut self) {
        self.from.end(self.count);
    }
}

/// Where messages come from.
struct Source<'a> {
    shared: &'a Arc<Shared>,
    name: MailboxName,
    keywords: Vec<Option<Keyword>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Copy,
    Move,
}

/// A running COPY or MOVE.
pub(crate) struct Carry {
    steps: Steps,
    target: Arc<Shared>,
    way: Way,
    copied: Copied,
    /// What came is taken back.
    back: Option<Back>,
    /// Keeps the mailbox open if no session does.
    _view: Option<View>,
}

/// Copies that are to go again.
struct Back {
    left: Left,
    /// The highest goes last: until the side file knows of it, its name tells that the UIDs were given.
    highest: Option<Uid>,
    secured: bool,
    /// The failure that is the reason, if one is.
    why: Result<(), Error>,
}

impl View {
    /// Begins to copy: all or nothing (RFC 3501 section 6.4.7).
    pub(crate) fn copying(&mut self, uids: &UidSet, to: &MailboxName) -> Result<Carry, Error> {
        self.carrying(uids, to, Way::Copy)
    }

    /// Begins to move (RFC 6851). The expunges are told by the next `sync`.
    pub(crate) fn moving(&mut self, uids: &UidSet, to: &MailboxName) -> Result<Carry, Error> {
        if self.access() == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        self.shared.host.reserve.give_way();
        self.carrying(uids, to, Way::Move)
    }

    /// As `moving`, all messages, to the end without a session.
    pub(super) fn emptying(mut self, to: &MailboxName) -> Result<Carry, Error> {
        let all = self.uids().clone();
        let carry = self.moving(&all, to)?;
        Ok(Carry {
            _view: Some(self),
            ..carry
        })
    }

    fn carrying(&self, uids: &UidSet, to: &MailboxName, way: Way) -> Result<Carry, Error> {
        self.account.may_change()?;
        let target = self.account.shared(to)?;
        let mut store = self.account.0.own_store()?;
        self.refresh(&mut *store)?;
        let uids = self.uids().intersection(uids);
        let uid_validity = {
            let mut state = lock(&target.state);
            state.admit()?;
            target.prepare_to_add(&mut state, &mut *store)?;
            state
                .summary
                .as_ref()
                .map(|s| s.uid_validity)
                .ok_or(Error::Fault)?
        };
        if way == Way::Move {
            self.shared.secure_uids(&mut *store, uids.last())?;
        }
        Ok(Carry {
            steps: Steps::new(self, store, uids),
            target,
            way,
            copied: Copied {
                uid_validity,
                from: UidSet::new(),
                to: UidSet::new(),
            },
            back: None,
            _view: None,
        })
    }
}

impl Carry {
    /// Carries some messages; `false` once all are, durably. After a failure a COPY is taken back first,
    /// in further steps.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        if self.back.is_some() {
            return self.step_back();
        }
        let batch = self.steps.left.chunks(self.steps.room());
        let count = batch.iter().map(|(_, slots)| slots.count()).sum();
        match self.batch(&batch) {
            Ok(()) => {
                self.steps.note(count);
                Ok(!self.steps.left.is_empty())
            }
            Err(error) if self.way == Way::Copy => {
                self.turn_back(Err(error));
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// What is moved stays so, and the next step is the last; what is copied is taken back by the next
    /// steps.
    pub(crate) fn stop(&mut self) {
        self.steps.left.clear();
        if self.way == Way::Copy && self.back.is_none() {
            self.turn_back(Ok(()));
        }
    }

    /// How many messages are carried, of how many.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.steps.progress()
    }

    /// Where it goes.
    pub(crate) fn target(&self) -> MailboxName {
        lock(&self.target.state).name.clone()
    }

    /// What was carried: of a MOVE also if it failed.
    pub(crate) fn copied(&self) -> &Copied {
        &self.copied
    }

    fn batch(&mut self, batch: &[(u32, Bits)]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut carried = self.name_batch(batch)?;
        let synced = self.steps.sync();
        let mut result = carried.failure.map_or(synced, Err);
        let (target, way) = (&self.target, self.way);
        if let Some(flight) = &carried.flight
            && (result.is_ok() || way == Way::Move)
        {
            let store = &mut *self.steps.store;
            let published = target.publish(flight, &carried.arrived, store);
            result = published.and(result);
        }
        if result.is_err() && way == Way::Copy {
            target.abandon(None, &mut *self.steps.store, &carried.arrived);
            return result;
        }
        carried.flight = None;
        let gone: UidSet = carried.from.iter().copied().collect();
        let copied = &mut self.copied;
        copied.from = copied.from.union(&gone);
        let arrived = carried.arrived.iter();
        copied.to = copied.to.union(&arrived.map(|a| a.filing.uid).collect());
        if way == Way::Move {
            let source = &self.steps.shared;
            for (number, slots) in chunks(&gone) {
                let mut state = lock(&source.state);
                let forgotten = source.forget_chunk(&mut state, number, &slots, Doomed::All);
                // The rows say that they are there, still.
                forgotten.inspect_err(|_| source.doubt())?;
            }
            drop(carried.departed.take());
            source.raise();
            if result.is_err() {
                // Nobody knows which of the two has them.
                source.mistrust();
                self.target.mistrust();
            }
        }
        result
    }

    /// Gives messages names in the target, with the flags they have at that moment: both mailboxes
    /// are locked.
    fn name_batch(&mut self, batch: &[(u32, Bits)]) -> Result<Carried, Error> {
        let (shared, target) = (self.steps.shared.clone(), &self.target);
        let mut states = lock_both(target, &shared);
        let state = states.1.as_mut().unwrap_or(&mut states.0);
        self.steps.catch_up(state)?;
        let keywords = state.summary.as_ref().map(|s| s.keywords.clone());
        let source = Source {
            shared: &shared,
            name: state.name.clone(),
            keywords: keywords.unwrap_or_default(),
        };
        let store = &mut *self.steps.store;
        states.0.admit()?;
        target.prepare_to_add(&mut states.0, store)?;
        if !states.0.is_of(self.copied.uid_validity) {
            return Err(Error::NoSuchMailbox);
        }
        let items = shared.items(batch)?;
        shared.host.note_bulk(items.len());
        let carried = target.name_all(&mut states.0, store, &source, items, self.way);
        drop(states);
        shared.drain();
        carried
    }

    /// Names all that it carries, and nothing more; what it returns says that it is under way.
    #[cfg(test)]
    pub(super) fn name_batch_for_tests(&mut self) -> impl Sized + use<> {
        let batch = self.steps.left.chunks(usize::MAX);
        self.name_batch(&batch).unwrap()
    }

    fn turn_back(&mut self, why: Result<(), Error>) {
        let mut to = std::mem::take(&mut self.copied.to);
        self.copied.from = UidSet::new();
        let highest = to.last();
        if let Some(highest) = highest {
            to = to.difference(&UidSet::range(highest, highest));
        }
        self.back = Some(Back {
            left: Left::new(to),
            highest,
            secured: false,
            why,
        });
    }

    /// Expunges some of the copies.
    fn step_back(&mut self) -> Result<bool, Error> {
        let room = self.steps.room();
        let (target, store) = (&self.target, &mut self.steps.store);
        let Some(back) = self.back.as_mut() else {
            return Ok(false);
        };
        // Where UIDs mean other messages by now there are no copies any more.
        if back.highest.is_none() || !target.has(self.copied.uid_validity) {
            return back.why.map(|()| false);
        }
        if !back.secured {
            back.secured = match target.secure_uids(&mut **store, back.highest) {
                // Expunging makes room.
                Err(Error::Full) if !back.left.is_empty() => false,
                secured => secured.map(|()| true)?,
            };
        }
        let mut doomed = back.left.chunks(room);
        if doomed.is_empty() {
            doomed = chunks(&back.highest.take().into_iter().collect());
        }
        for (number, slots) in doomed {
            let mut state = lock(&target.state);
            store.renew()?;
            target.expunge_chunk(&mut state, &mut **store, number, &slots, Doomed::All)?;
        }
        if back.highest.is_some() {
            return Ok(true);
        }
        let why = back.why;
        self.steps.sync()?;
        why.map(|()| false)
    }
}

impl Shared {
    /// True if UIDs mean the same messages still.
    fn has(&self, uid_validity: UidValidity) -> bool {
        let state = lock(&self.state);
        !state.deleted && state.is_of(uid_validity)
    }
}

impl State {
    fn is_of(&self, uid_validity: UidValidity) -> bool {
        self.summary.as_ref().map(|s| s.uid_validity) == Some(uid_validity)
    }
}

impl Shared {
    /// What there is to carry.
    fn items(&self, batch: &[(u32, Bits)]) -> Result<Vec<Item>, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        let mut items = Vec::new();
        for (number, slots) in batch {
            let flags = reader
                .flags(self.id, *number)
                .map_err(fault("reading the index"))?;
            let names = reader
                .names(self.id, *number)
                .map_err(fault("reading the index"))?;
            let wanted = flags.present.and(slots);
            let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
            let ends = wanted
                .runs()
                .first()
                .zip(wanted.runs().last())
                .map(|(a, b)| (uid(a.0), uid(b.1)));
            let Some((Some(first), Some(last))) = ends else {
                continue;
            };
            // A copy of one of which no fields are kept is known by its keys, too.
            let cached = reader.stored(self.id, first, last);
            let cached = cached.map_err(fault("reading the index"))?;
            let mut cached = cached.into_iter().peekable();
            for name in names.names.into_iter().filter(|n| wanted.has(n.slot)) {
                let Some(uid) = uid(name.slot) else { continue };
                while cached.next_if(|(other, _)| *other < uid).is_some() {}
                let cached = cached.next_if(|(other, _)| *other == uid);
                let cached = cached.map(|(_, cached)| cached);
                let mut keywords = Vec::new();
                flags.keywords(name.slot, &mut keywords);
                items.push(Item {
                    uid,
                    flags: flags.system(name.slot),
                    keywords,
                    cached,
                    name,
                });
            }
        }
        Ok(items)
    }

    /// Gives messages names here, with UIDs in a row.
    fn name_all(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        source: &Source<'_>,
        items: Vec<Item>,
        way: Way,
    ) -> Result<Carried, Error> {
        state.refuse_deleted()?;
        let numbers = self.numbers(state, store, &source.keywords, &items)?;
        let first = state.next_uid()?;
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        if first.number().checked_add(count).is_none() {
            return Err(Error::Limit("no UIDs left in this mailbox"));
        }
        let mut coming = match way {
            Way::Move => coming(&items, &numbers, first),
            Way::Copy => Coming::new(),
        };
        if !coming.is_empty() {
            self.keep_beyond_with(state, store, &coming)?;
        }
        let mut carried = Carried::default();
        let mut next = first;
        self.begin();
        source.shared.begin();
        let mut departed = Departed {
            from: source.shared.clone(),
            count: 0,
        };
        for item in items {
            let from = item.uid;
            match carry_one(store, source, item, &numbers, way, (&state.name, next)) {
                Ok(arrived) => {
                    next = next.next().unwrap_or(Uid::MAX);
                    carried.from.push(from);
                    carried.arrived.push(arrived);
                }
                // Expunged by another program meanwhile. The others have the UIDs that were meant for them.
                Err(crate::store::Error::NoSuchMessage) if way == Way::Move => {
                    next = next.next().unwrap_or(Uid::MAX);
                }
                Err(error) => {
                    carried.failure = Some(store_fault("copying a message")(error));
                    break;
                }
            }
        }
        if carried.failure.is_some() && !coming.is_empty() {
            // UIDs that are not taken are another message's some day. A failure is logged.
            coming.retain(|(uid, _)| *uid < next);
            let _ = self.keep_beyond_with(state, store, &coming);
        }
        let count = i64::try_from(carried.arrived.len()).unwrap_or(0);
        self.end(count);
        if way == Way::Move {
            departed.count = count;
            carried.departed = Some(departed);
        }
        if count > 0 {
            carried.flight = Some(self.take_off(state, (first, next), coming));
        }
        Ok(carried)
    }

    /// The numbers that the source's keywords have here.
    fn numbers(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        named: &[Option<Keyword>],
        items: &[Item],
    ) -> Result<Vec<Option<u16>>, Error> {
        let mut numbers = vec![None; named.len()];
        for (at, number) in numbers.iter_mut().enumerate() {
            let used = items
                .iter()
                .any(|item| item.keywords.iter().any(|k| usize::from(*k) == at));
            if let Some(keyword) = named.get(at).and_then(Option::as_ref).filter(|_| used) {
                *number = match self.keyword(state, store, keyword) {
                    // A keyword too many is left out rather than the message.
                    Err(Error::Limit(_)) => None,
                    made => Some(made?),
                };
            }
        }
        Ok(numbers)
    }
}

/// The states of both, the second if it is another. Locked in the order of their numbers, so that
/// two who carry to and fro do not wait for each other.
fn lock_both<'a>(a: &'a Arc<Shared>, b: &'a Arc<Shared>) -> (Locked<'a>, Option<Locked<'a>>) {
    if Arc::ptr_eq(a, b) {
        (lock(&a.state), None)
    } else if (a.id.0, Arc::as_ptr(a)) < (b.id.0, Arc::as_ptr(b)) {
        let first = lock(&a.state);
        (first, Some(lock(&b.state)))
    } else {
        let first = lock(&b.state);
        (lock(&a.state), Some(first))
    }
}

/// The UIDs that messages will have which have keywords without a letter, and those keywords.
fn coming(items: &[Item], numbers: &[Option<u16>], first: Uid) -> Coming {
    let number = |keyword: &u16| numbers.get(usize::from(*keyword)).copied().flatten();
    let beyond = |item: &Item| -> Vec<u16> {
        let own = item.keywords.iter().filter_map(number);
        own.filter(|number| *number >= LETTERS).collect()
    };
    let uids = (first.number()..).map_while(Uid::new);
    let coming = uids.zip(items).map(|(uid, item)| (uid, beyond(item)));
    coming
        .filter(|(_, keywords)| !keywords.is_empty())
        .collect()
}

type Locked<'a> = MutexGuard<'a, State>;

fn carry_one(
    store: &mut dyn Store,
    source: &Source<'_>,
    item: Item,
    numbers: &[Option<u16>],
    way: Way,
    (to, uid): (&MailboxName, Uid),
) -> Result<Arrived, crate::store::Error> {
    let number = |keyword: &u16| numbers.get(usize::from(*keyword)).copied().flatten();
    let keywords: Vec<u16> = item.keywords.iter().filter_map(number).collect();
    let filing = Filing {
        uid,
        flags: item.flags,
        letters: letters(&keywords),
    };
    let from = blob(&item.name);
    let cached = item.cached;
    let cached = cached.filter(|_| store.keeps_octets(&source.name, to));
    let blob = match way {
        Way::Copy => store.copy(&source.name, &from, to, &filing),
        Way::Move => store.transfer(&source.name, &from, to, &filing),
    }?;
    let flags = blob.flags;
    Ok(Arrived {
        filing: Filing { flags, ..filing },
        keywords,
        blob,
        cached,
    })
}

/// Names for what COPYUID tells when nothing was copied.
impl Copied {
    /// True if no message was there to copy.
    pub(crate) fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    /// The UIDVALIDITY of the target.
    pub(crate) fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }
}
