//! STATUS (RFC 3501 section 6.3.10): from the summary, and from rows only for what it does not say.

use super::host::lock;
use super::refresh::is_current;
use super::shared::Shared;
use super::{Account, Error, fault, mailbox_fault};
use crate::index::{Bits, SizeOf, Summary};
use crate::mail::{MailboxName, ModSeq, ObjectId, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::Store;
use std::sync::Arc;

/// What STATUS can say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) messages: u32,
    /// 0 unless asked for, as the next two.
    pub(crate) recent: u32,
    /// Messages with `\Deleted` (RFC 9051 section 6.3.11).
    pub(crate) deleted: u32,
    /// Octets of all messages as RFC822.SIZE counts them (RFC 8438 section 2).
    pub(crate) size: u64,
    pub(crate) unseen: u32,
    pub(crate) uid_next: Uid,
    pub(crate) uid_validity: UidValidity,
    /// RFC 7162 section 3.1.7.
    pub(crate) highest_mod_seq: ModSeq,
    /// RFC 8474 section 4.3.
    pub(crate) mailbox_id: ObjectId,
}

/// What costs more than reading the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) recent: bool,
    pub(crate) deleted: bool,
    pub(crate) size: bool,
}

impl Status {
    fn new(summary: &Summary) -> Status {
        Status {
            messages: summary.messages,
            recent: 0,
            deleted: 0,
            size: 0,
            unseen: summary.messages.saturating_sub(summary.seen),
            uid_next: summary.uid_next,
            uid_validity: summary.uid_validity,
            highest_mod_seq: summary.highest_mod_seq,
            mailbox_id: ObjectId::mailbox(summary.guid),
        }
    }

    fn set_recent(&mut self, summary: &Summary, uids: &UidSet) {
        let recent = UidSet::range(summary.first_recent, Uid::MAX);
        let count = uids.intersection(&recent).count();
        self.recent = u32::try_from(count).unwrap_or(u32::MAX);
    }
}

impl Account {
    /// Of a mailbox that nobody has open, from its row in the index if its directory did not change.
    pub(crate) fn status(&self, name: &MailboxName, asked: Asked) -> Result<Status, Error> {
        let kept = lock(&self.0.boxes).get(name);
        if kept.is_none()
            && let Some(status) = self.of_row(name, asked)?
        {
            return Ok(status);
        }
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        if kept.is_some() {
            let mut state = lock(&shared.state);
            if state.views == 0 {
                shared.revisit(&mut state, &mut *store);
            }
        }
        let mut status = self.summarised(&shared, &mut *store, asked)?;
        drop(store);
        if asked.deleted {
            status.deleted = shared.deleted()?;
        }
        if asked.size {
            status.size = self.size(&shared)?;
        }
        Ok(status)
    }

    /// `None` if the row does not tell all that was asked.
    fn of_row(&self, name: &MailboxName, asked: Asked) -> Result<Option<Status>, Error> {
        let reading = || fault("reading the index");
        let host = &self.0.host;
        let reader = host.index.read().map_err(reading())?;
        let known = reader.mailbox(self.0.id, name).map_err(reading())?;
        let Some(id) = known.filter(|id| host.is_in_line(*id) && !asked.deleted) else {
            return Ok(None);
        };
        // A damaged row is mended where the mailbox is opened.
        let Ok(Some(summary)) = reader.summary(id) else {
            return Ok(None);
        };
        let mut store = self.0.store()?;
        let stamp = store.stamp(name);
        let stamp = stamp.map_err(mailbox_fault("looking at", &*store, name))?;
        drop(store);
        let octets = summary.current_size();
        if !is_current(&summary, stamp) || asked.size && octets.is_none() {
            return Ok(None);
        }
        let mut status = Status::new(&summary);
        status.size = octets.unwrap_or(0);
        if asked.recent && summary.first_recent < summary.uid_next {
            status.set_recent(&summary, &reader.uids(id).map_err(reading())?);
        }
        Ok(Some(status))
    }

    fn summarised(
        &self,
        shared: &Arc<Shared>,
        store: &mut dyn Store,
        asked: Asked,
    ) -> Result<Status, Error> {
        let mut state = lock(&shared.state);
        shared.refresh_summary(&mut state, store)?;
        let summary = state.summary.as_ref().ok_or(Error::Fault)?;
        let mut status = Status::new(summary);
        if asked.recent && summary.first_recent < summary.uid_next {
            shared.load_uids(&mut state)?;
            let both = state.summary.as_ref().zip(state.uids.as_ref());
            both.into_iter()
                .for_each(|(summary, uids)| status.set_recent(summary, uids));
        }
        Ok(status)
    }

    /// Adds up sizes; only after messages came or went since it was last asked.
    pub(super) fn size(&self, shared: &Arc<Shared>) -> Result<u64, Error> {
        let (known, now) = {
            let state = lock(&shared.state);
            let summary = state.summary.as_ref().ok_or(Error::Fault)?;
            let now = (summary.uid_next, summary.messages);
            (summary.current_size(), now)
        };
        if let Some(octets) = known {
            return Ok(octets);
        }
        let octets = self.sum_of_sizes(shared)?;
        let mut state = lock(&shared.state);
        if let Some(summary) = state.summary.as_mut()
            && (summary.uid_next, summary.messages) == now
        {
            let (uid_next, messages) = now;
            summary.size = Some(SizeOf {
                uid_next,
                messages,
                octets,
            });
            shared.host.settle_later(shared);
        }
        Ok(octets)
    }

    /// From names where they say it, else as they were counted or are cached, else from the messages.
    fn sum_of_sizes(&self, shared: &Arc<Shared>) -> Result<u64, Error> {
        let reading = fault("reading the index");
        let index = || shared.host.index.read().map_err(fault("reading the index"));
        let uids = index()?.uids(shared.id).map_err(&reading)?;
        let mut octets = 0u64;
        for (number, _) in super::steps::chunks(&uids) {
            let names = index()?.names(shared.id, number).map_err(&reading)?;
            let mut unnamed = Bits::default();
            {
                let store = self.0.store()?;
                for name in &names.names {
                    match store.wire_octets(&super::append::blob(name)) {
                        Some(size) => octets = octets.saturating_add(size),
                        None => unnamed.set(name.slot, true),
                    }
                }
            }
            let mut counted = Vec::new();
            shared.count(number, &unnamed, &mut counted)?;
            let more = counted
                .iter()
                .fold(0u64, |sum, one| sum.saturating_add(one.1));
            octets = octets.saturating_add(more);
        }
        Ok(octets)
    }
}

impl Shared {
    fn deleted(&self) -> Result<u32, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        let mut deleted = 0u32;
        reader
            .each_flags(self.id, &mut |_, chunk| {
                let marked = chunk.with_flag(SystemFlags::DELETED).and(&chunk.present);
                deleted = deleted.saturating_add(marked.count());
            })
            .map_err(fault("reading the index"))?;
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, flags, name, uids};
    use super::super::{Access, Expunges};
    use super::*;
    use crate::mail::Flags;

    const ALL: Asked = Asked {
        recent: true,
        deleted: true,
        size: true,
    };

    #[test]
    fn size_follows_what_comes_and_goes() {
        let (account, directory) = Account::temporary();
        let size = || account.status(&name("INBOX"), ALL).unwrap().size;
        assert_eq!(size(), 0);
        // 25 octets before the subject, 2 after it, and the body's line.
        append(&account, "INBOX", "one", &Flags::default());
        let one = size();
        append(
            &account,
            "INBOX",
            "three",
            &flags(SystemFlags::DELETED, &[]),
        );
        let both = size();
        assert_eq!(both, one * 2 + 4, "the subject stands there twice");
        assert_eq!(size(), both);
        // A foreign message, with line ends that count twice.
        std::fs::write(directory.path().join("new/1.foreign"), "A: b\n\nx\n").unwrap();
        assert_eq!(size(), both + 11);
        let status = account.status(&name("INBOX"), ALL).unwrap();
        assert_eq!((status.messages, status.deleted, status.recent), (3, 1, 3));
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        view.expunge(Some(&uids(&[2]))).unwrap();
        view.sync(Expunges::Tell).unwrap();
        assert_eq!(size(), one + 11);
        let status = account.status(&name("INBOX"), ALL).unwrap();
        assert_eq!((status.messages, status.deleted, status.recent), (2, 0, 0));
    }
}
