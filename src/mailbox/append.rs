//! Filing new messages.

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

/// Flags of a message to be filed, as the mailbox counts them.
struct Numbered {
    filing: Filing,
    keywords: Vec<u16>,
    uid_validity: UidValidity,
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
        let numbered = shared.number(&mut *store, flags, date)?;
        // The slow part, outside the mailbox's lock: deliveries sync side by side.
        shared.begin();
        let committed = (|| {
            draft.draft.sync()?;
            let blob = store.commit(&mut *draft.draft, name, &numbered.filing)?;
            store.sync(name)?;
            Ok(blob)
        })();
        shared.end(i64::from(committed.is_ok()));
        let blob = committed.map_err(store_fault("filing a message"))?;
        let cached = draft.draft.reader().ok().and_then(|mut file| {
            let date = date.map_or_else(crate::sys::clock::now_seconds, |d| d.seconds);
            learn::from_file(&mut file, date, &self.0.host.limits.mime)
        });
        shared.take_in(&numbered, &blob, cached.as_ref())?;
        Ok(Appended {
            uid_validity: numbered.uid_validity,
            uid: numbered.filing.uid,
        })
    }
}

impl Shared {
    /// Gives the next UID and turns flag names into numbers.
    fn number(
        self: &Arc<Self>,
        store: &mut dyn store::Store,
        flags: &Flags,
        date: Option<DateTime>,
    ) -> Result<Numbered, Error> {
        let mut state = lock(&self.state);
        self.prepare_to_add(&mut state, store)?;
        let mut keywords = Vec::new();
        for keyword in &flags.keywords {
            keywords.push(self.keyword(&mut state, store, keyword)?);
        }
        keywords.sort_unstable();
        keywords.dedup();
        let summary = state.summary.as_mut().ok_or(Error::Fault)?;
        let uid = summary.uid_next;
        summary.uid_next = uid
            .next()
            .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        let filing = Filing {
            uid,
            flags: flags.system,
            letters: letters(&keywords),
            internal_date: date.map(|d| d.seconds),
        };
        Ok(Numbered {
            filing,
            keywords,
            uid_validity: summary.uid_validity,
        })
    }

    /// Puts a message that is filed into the index and tells everybody.
    fn take_in(
        self: &Arc<Self>,
        new: &Numbered,
        blob: &BlobId,
        cached: Option<&crate::index::Cached>,
    ) -> Result<(), Error> {
        let uid = new.filing.uid;
        let (number, slot) = (uid.number() >> 8, (uid.number() & 255) as u8);
        let mut state = lock(&self.state);
        let mut summary = state.summary.clone().ok_or(Error::Fault)?;
        summary.highest_mod_seq = summary.highest_mod_seq.next();
        self.host.write(|w| {
            let mut flags = w.flags(self.id, number)?;
            let mut names = w.names(self.id, number)?;
            if !flags.present.has(slot) {
                summary.messages += 1;
                summary.seen +=
                    u32::from(new.filing.flags.contains(crate::mail::SystemFlags::SEEN));
            }
            flags.present.set(slot, true);
            flags.set_system(slot, new.filing.flags);
            new.keywords
                .iter()
                .for_each(|keyword| flags.set_keyword(slot, *keyword, true));
            flags.set_mod_seq(
                &crate::index::Bits::range(slot, slot),
                summary.highest_mod_seq,
            );
            names.put(name(slot, blob));
            w.set_flags(self.id, number, &flags)?;
            w.set_names(self.id, number, &names)?;
            if let Some(cached) = cached {
                w.set_cached(self.id, uid, cached)?;
            }
            w.set_summary(self.id, &summary)
        })?;
        state.summary = Some(summary);
        if let Some(uids) = state.uids.as_mut() {
            uids.insert(uid);
        }
        state.unlisted.push((uid, blob.name.clone()));
        drop(state);
        self.host.settle_later(self);
        self.raise();
        Ok(())
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
