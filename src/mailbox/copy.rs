//! COPY and MOVE.

use super::account::Copied;
use super::append::{blob, letters};
use super::arrive::{Arrived, Flight};
use super::host::lock;
use super::mark::{Doomed, chunks};
use super::shared::{Shared, State};
use super::{Access, Error, View, fault, store_fault};
use crate::index::{Bits, Cached, Name};
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::{Filing, Store};
use std::sync::{Arc, MutexGuard};

/// Messages taken at a time, so that memory is bounded.
const BATCH: usize = 1024;

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
}

/// Where messages come from.
struct Source<'a> {
    shared: &'a Shared,
    name: MailboxName,
    keywords: Vec<Option<Keyword>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Copy,
    Move,
}

impl View {
    /// All or nothing (RFC 3501 section 6.4.7). Durable when it returns.
    pub(crate) fn copy(&mut self, uids: &UidSet, to: &MailboxName) -> Result<Copied, Error> {
        self.carry(uids, to, Way::Copy)
    }

    /// RFC 6851. The expunges are told by the next `sync`. Durable when it returns.
    pub(crate) fn transfer(&mut self, uids: &UidSet, to: &MailboxName) -> Result<Copied, Error> {
        if self.access() == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        self.carry(uids, to, Way::Move)
    }

    fn carry(&self, uids: &UidSet, to: &MailboxName, way: Way) -> Result<Copied, Error> {
        let target = self.account.shared(to)?;
        let mut store = self.account.0.store()?;
        self.refresh(&mut *store)?;
        let uids = self.uids().intersection(uids);
        let uid_validity = {
            let mut state = lock(&target.state);
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
        let mut copied = Copied {
            uid_validity,
            from: UidSet::new(),
            to: UidSet::new(),
        };
        let mut batch: Vec<(u32, Bits)> = Vec::new();
        let mut result = Ok(());
        for (number, slots) in chunks(&uids) {
            batch.push((number, slots));
            if batch.len() * 256 >= BATCH {
                result = self.carry_batch(
                    &mut *store,
                    &target,
                    std::mem::take(&mut batch),
                    way,
                    &mut copied,
                );
                if result.is_err() {
                    break;
                }
            }
        }
        if result.is_ok() && !batch.is_empty() {
            result = self.carry_batch(&mut *store, &target, batch, way, &mut copied);
        }
        if let Err(error) = result {
            if way == Way::Copy {
                target.take_back(&mut *store, &copied.to)?;
            }
            return Err(error);
        }
        Ok(copied)
    }

    fn carry_batch(
        &self,
        store: &mut dyn Store,
        target: &Arc<Shared>,
        batch: Vec<(u32, Bits)>,
        way: Way,
        copied: &mut Copied,
    ) -> Result<(), Error> {
        let mut carried = self.name_batch(store, target, &batch, way)?;
        let synced = store.sync().map_err(store_fault("syncing a mailbox"));
        let mut result = carried.failure.map_or(synced, Err);
        if let Some(flight) = &carried.flight
            && (result.is_ok() || way == Way::Move)
        {
            result = target.publish(flight, &carried.arrived).and(result);
        }
        if result.is_err() && way == Way::Copy {
            target.abandon(None, store, &carried.arrived);
            return result;
        }
        carried.flight = None;
        let gone: UidSet = carried.from.iter().copied().collect();
        copied.from = copied.from.union(&gone);
        let arrived = carried.arrived.iter();
        copied.to = copied.to.union(&arrived.map(|a| a.filing.uid).collect());
        if way == Way::Move {
            for (number, slots) in chunks(&gone) {
                let mut state = lock(&self.shared.state);
                let all = Doomed::All;
                self.shared.forget_chunk(&mut state, number, &slots, all)?;
            }
            self.shared.raise();
        }
        result
    }

    /// Gives messages names in the target, with the flags they have at that moment: both mailboxes
    /// are locked.
    fn name_batch(
        &self,
        store: &mut dyn Store,
        target: &Arc<Shared>,
        batch: &[(u32, Bits)],
        way: Way,
    ) -> Result<Carried, Error> {
        let mut states = lock_both(target, &self.shared);
        let state = states.1.as_mut().unwrap_or(&mut states.0);
        self.catch_up(state, store)?;
        let keywords = state.summary.as_ref().map(|s| s.keywords.clone());
        let source = Source {
            shared: &self.shared,
            name: state.name.clone(),
            keywords: keywords.unwrap_or_default(),
        };
        let items = self.shared.items(batch)?;
        self.shared.host.note_bulk(items.len());
        let carried = target.name_all(&mut states.0, store, &source, items, way);
        drop(states);
        self.shared.drain();
        carried
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
            let mut cached = reader
                .cached(self.id, first, last, 256)
                .map_err(fault("reading the index"))?
                .into_iter()
                .peekable();
            for name in names.names.into_iter().filter(|n| wanted.has(n.slot)) {
                let Some(uid) = uid(name.slot) else { continue };
                while cached.next_if(|(other, _)| *other < uid).is_some() {}
                let cached = cached
                    .next_if(|(other, _)| *other == uid)
                    .map(|(_, cached)| cached);
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
        if state.deleted {
            return Err(Error::NoSuchMailbox);
        }
        let numbers = self.numbers(state, store, &source.keywords, &items);
        let first = state.next_uid()?;
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        if first.number().checked_add(count).is_none() {
            return Err(Error::Limit("no UIDs left in this mailbox"));
        }
        let mut carried = Carried::default();
        let mut next = first;
        self.begin();
        source.shared.begin();
        for item in items {
            let from = item.uid;
            match carry_one(store, source, item, &numbers, way, (&state.name, next)) {
                Ok(arrived) => {
                    next = next.next().unwrap_or(Uid::MAX);
                    carried.from.push(from);
                    carried.arrived.push(arrived);
                }
                // Expunged by another program meanwhile.
                Err(crate::store::Error::NoSuchMessage) if way == Way::Move => {}
                Err(error) => {
                    carried.failure = Some(store_fault("copying a message")(error));
                    break;
                }
            }
        }
        let count = i64::try_from(carried.arrived.len()).unwrap_or(0);
        self.end(count);
        source.shared.end(if way == Way::Move { count } else { 0 });
        if count > 0 {
            carried.flight = Some(self.take_off(state, first, next));
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
    ) -> Vec<Option<u16>> {
        let mut numbers = vec![None; named.len()];
        for (at, number) in numbers.iter_mut().enumerate() {
            let used = items
                .iter()
                .any(|item| item.keywords.iter().any(|k| usize::from(*k) == at));
            if let Some(keyword) = named.get(at).and_then(Option::as_ref).filter(|_| used) {
                // A keyword too many is left out rather than the message.
                *number = self.keyword(state, store, keyword).ok();
            }
        }
        numbers
    }

    /// Expunges copies that were made before one failed.
    fn take_back(self: &Arc<Self>, store: &mut dyn Store, uids: &UidSet) -> Result<(), Error> {
        self.secure_uids(store, uids.last())?;
        for (number, slots) in chunks(uids) {
            let mut state = lock(&self.state);
            self.expunge_chunk(&mut state, store, number, &slots, Doomed::All)?;
        }
        store.sync().map_err(store_fault("syncing a mailbox"))
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
    let blob = match way {
        Way::Copy => store.copy(&source.name, &from, to, &filing),
        Way::Move => store.transfer(&source.name, &from, to, &filing),
    }?;
    let flags = blob.flags;
    Ok(Arrived {
        filing: Filing { flags, ..filing },
        keywords,
        blob,
        cached: item.cached,
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
