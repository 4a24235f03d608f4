//! What the index can tell a store that lost what it knew.

use super::fault;
use super::host::HostInner;
use crate::index::{AccountId, Reader, Summary};
use crate::mail::{MailboxId, MailboxName, Uid};
use crate::store::{BlobId, Recalled, Remember};
use std::io;
use std::sync::{Arc, Weak};

/// The index of one account, as long as somebody has it open.
pub(super) struct Memory {
    host: Weak<HostInner>,
    account: AccountId,
}

impl Memory {
    pub(super) fn of(host: &Arc<HostInner>, account: AccountId) -> Arc<Memory> {
        let host = Arc::downgrade(host);
        Arc::new(Memory { host, account })
    }

    /// What is known of a mailbox as a whole.
    fn find(
        &self,
        host: &HostInner,
        name: &MailboxName,
    ) -> Result<Option<(Reader, MailboxId, Summary)>, crate::index::Error> {
        let reader = host.index.read()?;
        let Some(id) = reader.mailbox(self.account, name)? else {
            return Ok(None);
        };
        let summary = reader.summary(id)?;
        Ok(summary.map(|summary| (reader, id, summary)))
    }
}

impl crate::store::Memory for Memory {
    fn recall(
        &self,
        name: &MailboxName,
        each: &mut Remember<'_>,
    ) -> Result<Option<Recalled>, crate::store::Error> {
        let Some(host) = self.host.upgrade() else {
            return Ok(None);
        };
        // What is damaged tells nothing; the next process makes the index anew of what the store has then.
        let damaged = fault("asking the index what a mailbox had");
        let told = |error: crate::index::Error| {
            let is_damage = error.is_damage();
            damaged(error);
            match is_damage {
                true => Ok(()),
                false => Err(crate::store::Error::Io(io::ErrorKind::Other.into())),
            }
        };
        let (reader, id, summary) = match self.find(&host, name) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return told(error).map(|()| None),
        };
        let mut complete = host.index.ends_since(id).is_ok_and(|ends| ends == 0);
        let uids = match reader.uids(id) {
            Ok(uids) => uids,
            Err(error) => return told(error).map(|()| None),
        };
        for (number, _) in super::steps::chunks(&uids) {
            match chunk(&reader, id, number) {
                Ok(messages) => {
                    for (uid, blob, uidl) in messages {
                        each(uid, blob, uidl.as_deref())?;
                    }
                }
                Err(error) => {
                    told(error)?;
                    complete = false;
                }
            }
        }
        let state = super::shared::side_state(&summary);
        Ok(Some(Recalled { state, complete }))
    }
}

/// Messages of a chunk, with what POP3 calls them.
type Messages = Vec<(Uid, BlobId, Option<String>)>;

fn chunk(reader: &Reader, id: MailboxId, number: u32) -> Result<Messages, crate::index::Error> {
    let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
    let mut messages = Messages::new();
    let (flags, mut keywords) = (reader.flags(id, number)?, Vec::new());
    for name in reader.names(id, number)?.names {
        keywords.clear();
        flags.keywords(name.slot, &mut keywords);
        // What names say of flags may be what was so when the messages came.
        let blob = BlobId {
            flags: flags.system(name.slot),
            letters: super::append::letters(&keywords),
            ..super::append::blob(&name)
        };
        messages.extend(uid(name.slot).map(|uid| (uid, blob, None)));
    }
    let (first, last) = (uid(0).unwrap_or(Uid::MIN), uid(255).unwrap_or(Uid::MAX));
    reader.each_alias(id, first, last, &mut |uid, alias| {
        let own = messages.binary_search_by_key(&uid, |(own, ..)| *own);
        let words = alias.split(' ').filter_map(|word| word.strip_prefix('P'));
        if let Some((_, _, uidl)) = own.ok().and_then(|at| messages.get_mut(at)) {
            *uidl = words.map(str::to_owned).next();
        }
    })?;
    Ok(messages)
}
