//! Filing new messages.

use super::arrive::{Arrived, Flight};
use super::host::lock;
use super::shared::Shared;
use super::{Account, Error, learn, store_fault};
use crate::index::Name;
use crate::mail::{DateTime, Flags, MailboxName, Uid, UidValidity};
use crate::store::{self, BlobId, Filing, Place};
use std::sync::Arc;

/// A message while it is written; forgotten when dropped. Bounded by the account's size limit.
pub(crate) struct Draft {
    draft: Box<dyn store::Draft>,
    limit: u64,
}

impl Draft {
    /// Fields that this server puts in front, which do not count as the sender's octets.
    pub(crate) fn trace(&mut self, fields: &[u8]) -> Result<(), Error> {
        self.limit = self.limit.saturating_add(fields.len() as u64);
        self.write(fields)
    }

    /// Adds bytes as they come from the wire, split anywhere. Blocks on the disk.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.draft
            .write(bytes)
            .map_err(store_fault("writing a message"))?;
        if self.draft.octets() > self.limit {
            Err(Error::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// What APPENDUID tells (RFC 4315 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid: Uid,
}

impl Account {
    /// A place to write a new message.
    pub(crate) fn draft(&self) -> Result<Draft, Error> {
        let draft = self
            .0
            .store()?
            .stage()
            .map_err(store_fault("staging a message"))?;
        Ok(Draft {
            draft,
            limit: self.0.host.limits.message_octets,
        })
    }

    /// Files the draft; durable when it returns. `date` is INTERNALDATE, now if `None`. A draft can be
    /// appended to several mailboxes, of several accounts, one after the other.
    pub(crate) fn append(
        &self,
        name: &MailboxName,
        draft: &mut Draft,
        flags: &Flags,
        date: Option<DateTime>,
    ) -> Result<Appended, Error> {
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        if let Some(date) = date {
            let dated = draft.draft.date(date.seconds);
            dated.map_err(store_fault("filing a message"))?;
        }
        // The slow part, outside the mailbox's lock: deliveries sync side by side.
        let synced = draft.draft.sync();
        synced.map_err(store_fault("filing a message"))?;
        let date = date.map_or_else(crate::sys::clock::now_seconds, |d| d.seconds);
        let cached = learn::from_draft(&mut *draft.draft, date, &self.0.host.limits.mime);
        let (flight, uid_validity, mut arrived) = shared.file(&mut *store, draft, flags)?;
        arrived.cached = cached;
        let arrived = [arrived];
        if let Err(error) = store.sync() {
            shared.abandon(&mut *store, &arrived);
            return Err(store_fault("filing a message")(error));
        }
        if let Err(error) = shared.publish(&flight, &arrived) {
            shared.abandon(&mut *store, &arrived);
            return Err(error);
        }
        let [Arrived { filing, .. }] = arrived;
        Ok(Appended {
            uid_validity,
            uid: filing.uid,
        })
    }
}

impl Shared {
    /// Gives the message the next UID and a name.
    fn file(
        self: &Arc<Self>,
        store: &mut dyn store::Store,
        draft: &mut Draft,
        flags: &Flags,
    ) -> Result<(Flight, UidValidity, Arrived), Error> {
        let mut state = lock(&self.state);
        self.prepare_to_add(&mut state, store)?;
        let mut keywords = Vec::new();
        for keyword in &flags.keywords {
            keywords.push(self.keyword(&mut state, store, keyword)?);
        }
        keywords.sort_unstable();
        keywords.dedup();
        let uid = state.next_uid()?;
        let next = uid
            .next()
            .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        let validity = state.summary.as_ref().map(|s| s.uid_validity);
        let filing = Filing {
            uid,
            flags: flags.system,
            letters: letters(&keywords),
        };
        self.begin();
        let committed = store.commit(&mut *draft.draft, &state.name, &filing);
        self.end(i64::from(committed.is_ok()));
        let blob = committed.map_err(store_fault("filing a message"))?;
        let flight = self.take_off(&mut state, uid, next);
        let arrived = Arrived {
            filing,
            keywords,
            blob,
            cached: None,
        };
        Ok((flight, validity.ok_or(Error::Fault)?, arrived))
    }
}

/// The index's form of a name.
pub(super) fn name(slot: u8, blob: &BlobId) -> Name {
    Name {
        slot,
        base: blob.name.clone(),
        is_new: blob.place == Place::New,
        flags: blob.flags,
        letters: blob.letters,
    }
}

/// The store's form of a name.
pub(super) fn blob(name: &Name) -> BlobId {
    let place = if name.is_new { Place::New } else { Place::Cur };
    BlobId {
        name: name.base.clone(),
        place,
        flags: name.flags,
        letters: name.letters,
    }
}

/// Letters of keywords, as far as they have some.
pub(super) fn letters(keywords: &[u16]) -> u32 {
    keywords
        .iter()
        .filter(|k| **k < 26)
        .fold(0, |all, k| all | 1 << k)
}
