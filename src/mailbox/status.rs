//! STATUS (RFC 3501 section 6.3.10): from the summary, and from rows only for what it does not say.

use super::host::lock;
use super::numbering::Numbering;
use super::rows::{Rows, Want};
use super::shared::Shared;
use super::{Account, Error, fault};
use crate::index::SizeOf;
use crate::mail::{MailboxName, ModSeq, SystemFlags, Uid, UidSet, UidValidity};
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
}

/// What costs more than reading the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) recent: bool,
    pub(crate) deleted: bool,
    pub(crate) size: bool,
}

impl Account {
    pub(crate) fn status(&self, name: &MailboxName, asked: Asked) -> Result<Status, Error> {
        let shared = self.shared(name)?;
        let mut status = self.summarised(&shared, asked)?;
        if asked.deleted {
            status.deleted = shared.deleted()?;
        }
        if asked.size {
            status.size = self.size(&shared)?;
        }
        Ok(status)
    }

    fn summarised(&self, shared: &Arc<Shared>, asked: Asked) -> Result<Status, Error> {
        let mut store = self.0.store()?;
        let mut state = lock(&shared.state);
        let watched = state.views > 0;
        shared.refresh_summary(&mut state, &mut *store)?;
        let summary = state.summary.as_ref().ok_or(Error::Fault)?;
        let mut status = Status {
            messages: summary.messages,
            recent: 0,
            deleted: 0,
            size: 0,
            unseen: summary.messages.saturating_sub(summary.seen),
            uid_next: summary.uid_next,
            uid_validity: summary.uid_validity,
            highest_mod_seq: summary.highest_mod_seq,
        };
        let first = summary.first_recent;
        if asked.recent && first < status.uid_next {
            shared.load_uids(&mut state)?;
            let recent = UidSet::range(first, Uid::MAX);
            let count = state.uids.as_ref().map(|u| u.intersection(&recent).count());
            status.recent = u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX);
        }
        if !watched {
            state.uids = None;
        }
        Ok(status)
    }

    /// Adds up sizes; only after messages came or went since it was last asked.
    fn size(&self, shared: &Arc<Shared>) -> Result<u64, Error> {
        let (known, now) = {
            let state = lock(&shared.state);
            let summary = state.summary.as_ref().ok_or(Error::Fault)?;
            (summary.size, (summary.uid_next, summary.messages))
        };
        if let Some(known) = known.filter(|known| (known.uid_next, known.messages) == now) {
            return Ok(known.octets);
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

    /// From names where they say it, else from cached rows, else from the messages.
    fn sum_of_sizes(&self, shared: &Arc<Shared>) -> Result<u64, Error> {
        let reading = fault("reading the index");
        let index = || shared.host.index.read().map_err(fault("reading the index"));
        let uids = index()?.uids(shared.id).map_err(&reading)?;
        let mut octets = 0u64;
        for (number, _) in super::mark::chunks(&uids) {
            let names = index()?.names(shared.id, number).map_err(&reading)?;
            let mut unnamed = UidSet::new();
            {
                let store = self.0.store()?;
                for name in &names.names {
                    match store.wire_octets(&super::append::blob(name)) {
                        Some(size) => octets = octets.saturating_add(size),
                        None => Uid::new(number << 8 | u32::from(name.slot))
                            .into_iter()
                            .for_each(|uid| unnamed.insert(uid)),
                    }
                }
            }
            octets = octets.saturating_add(self.sum_of_rows(shared, unnamed)?);
        }
        Ok(octets)
    }

    fn sum_of_rows(&self, shared: &Arc<Shared>, uids: UidSet) -> Result<u64, Error> {
        let numbers = Arc::new(Numbering::new(uids.clone()));
        let want = Want {
            octets: true,
            ..Want::default()
        };
        let (account, shared) = (self.clone(), shared.clone());
        let mut rows = Rows::new(account, shared, numbers, Arc::default(), uids, want);
        let mut octets = 0u64;
        while rows.advance()? {
            match rows.octets() {
                Ok(size) => octets = octets.saturating_add(size),
                // Expunged meanwhile.
                Err(Error::Expunged) => {}
                Err(error) => return Err(error),
            }
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
