//! COPY and MOVE.

use super::account::Copied;
use super::append::{blob, letters, name};
use super::host::lock;
use super::mark::{chunks, uids_of};
use super::shared::Shared;
use super::{Access, Error, View, fault, store_fault};
use crate::index::{Bits, Cached, Name};
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::{BlobId, Filing, Store};
use std::sync::Arc;

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

/// A message that arrived.
struct Arrived {
    filing: Filing,
    keywords: Vec<u16>,
    blob: BlobId,
    cached: Option<Cached>,
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
        let (source_name, named) = {
            let state = lock(&self.shared.state);
            (
                state.name.clone(),
                state
                    .summary
                    .as_ref()
                    .map(|s| s.keywords.clone())
                    .unwrap_or_default(),
            )
        };
        let items = self.shared.items(&batch)?;
        let (first, numbers) = target.reserve(store, items.len(), &named, &items)?;
        let target_name = lock(&target.state).name.clone();
        let mut arrived: Vec<Arrived> = Vec::with_capacity(items.len());
        let mut gone = UidSet::new();
        let (mut next, mut failure) = (first, None);
        self.shared.begin();
        target.begin();
        for item in items {
            let keywords: Vec<u16> = item
                .keywords
                .iter()
                .filter_map(|k| numbers.get(usize::from(*k)).copied().flatten())
                .collect();
            let filing = Filing {
                uid: next,
                flags: item.flags,
                letters: letters(&keywords),
                internal_date: None,
            };
            let carried = match way {
                Way::Copy => store.copy(&source_name, &blob(&item.name), &target_name, &filing),
                Way::Move => store.transfer(&source_name, &blob(&item.name), &target_name, &filing),
            };
            match carried {
                Ok(blob) => {
                    copied.from.insert(item.uid);
                    copied.to.insert(next);
                    gone.insert(item.uid);
                    arrived.push(Arrived {
                        filing,
                        keywords,
                        blob,
                        cached: item.cached,
                    });
                    next = next
                        .next()
                        .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
                }
                // Expunged by another program meanwhile.
                Err(crate::store::Error::NoSuchMessage) if way == Way::Move => {}
                Err(error) => {
                    failure = Some(store_fault("copying a message")(error));
                    break;
                }
            }
        }
        let synced = store
            .sync(&target_name)
            .and_then(|()| store.sync(&source_name))
            .map_err(store_fault("syncing a mailbox"));
        let count = i64::try_from(arrived.len()).unwrap_or(0);
        target.end(count);
        self.shared.end(if way == Way::Move { count } else { 0 });
        target.drain();
        target.take_in_all(&arrived)?;
        if way == Way::Move {
            for (number, slots) in chunks(&gone) {
                let mut state = lock(&self.shared.state);
                self.shared.forget_chunk(&mut state, number, &slots)?;
            }
            self.shared.raise();
        }
        failure.map_or(synced, Err)
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

    /// Gives `count` UIDs in a row, and the numbers that the source's keywords have here.
    fn reserve(
        self: &Arc<Self>,
        store: &mut dyn Store,
        count: usize,
        named: &[Option<Keyword>],
        items: &[Item],
    ) -> Result<(Uid, Vec<Option<u16>>), Error> {
        let mut state = lock(&self.state);
        let mut numbers = vec![None; named.len()];
        for (at, number) in numbers.iter_mut().enumerate() {
            let used = items
                .iter()
                .any(|item| item.keywords.iter().any(|k| usize::from(*k) == at));
            if let Some(keyword) = named.get(at).and_then(Option::as_ref).filter(|_| used) {
                // A keyword too many is left out rather than the message.
                *number = self.keyword(&mut state, store, keyword).ok();
            }
        }
        let summary = state.summary.as_mut().ok_or(Error::Fault)?;
        let first = summary.uid_next;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        summary.uid_next = first
            .number()
            .checked_add(count)
            .and_then(Uid::new)
            .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        Ok((first, numbers))
    }

    /// Puts messages that arrived into the index, chunk by chunk.
    fn take_in_all(self: &Arc<Self>, arrived: &[Arrived]) -> Result<(), Error> {
        let number = |a: &Arrived| a.filing.uid.number() >> 8;
        let mut state = lock(&self.state);
        let mut summary = state.summary.clone().ok_or(Error::Fault)?;
        summary.highest_mod_seq = summary.highest_mod_seq.next();
        self.host.write(|w| {
            for chunk in arrived.chunk_by(|a, b| number(a) == number(b)) {
                let Some(number) = chunk.first().map(number) else {
                    continue;
                };
                let (mut flags, mut names) = (w.flags(self.id, number)?, w.names(self.id, number)?);
                let mut new = Bits::default();
                for message in chunk {
                    let slot = (message.filing.uid.number() & 255) as u8;
                    if !flags.present.has(slot) {
                        summary.messages += 1;
                        summary.seen += u32::from(message.filing.flags.contains(SystemFlags::SEEN));
                    }
                    new.set(slot, true);
                    flags.present.set(slot, true);
                    flags.set_system(slot, message.filing.flags);
                    message
                        .keywords
                        .iter()
                        .for_each(|keyword| flags.set_keyword(slot, *keyword, true));
                    names.put(name(slot, &message.blob));
                    if let Some(cached) = &message.cached {
                        w.set_cached(self.id, message.filing.uid, cached)?;
                    }
                }
                flags.set_mod_seq(&new, summary.highest_mod_seq);
                w.set_flags(self.id, number, &flags)?;
                w.set_names(self.id, number, &names)?;
            }
            w.set_summary(self.id, &summary)
        })?;
        state.summary = Some(summary);
        for message in arrived {
            if let Some(uids) = state.uids.as_mut() {
                uids.insert(message.filing.uid);
            }
            state
                .unlisted
                .push((message.filing.uid, message.blob.name.clone()));
        }
        drop(state);
        self.host.settle_later(self);
        self.raise();
        Ok(())
    }

    /// Removes copies that were made before one failed.
    fn take_back(self: &Arc<Self>, store: &mut dyn Store, uids: &UidSet) -> Result<(), Error> {
        let name = lock(&self.state).name.clone();
        for (number, slots) in chunks(uids) {
            let mut state = lock(&self.state);
            let names = self.forget_chunk(&mut state, number, &slots)?;
            self.begin();
            let gone: Vec<&Name> = names.names.iter().filter(|n| slots.has(n.slot)).collect();
            let removed = gone
                .iter()
                .filter(|n| store.remove(&name, &blob(n)).is_ok())
                .count();
            state
                .unlisted
                .retain(|(uid, _)| !uids_of(number, &slots).contains(*uid));
            self.end(i64::try_from(removed).unwrap_or(0));
        }
        self.raise();
        store.sync(&name).map_err(store_fault("syncing a mailbox"))
    }
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
