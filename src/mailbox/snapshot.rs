//! All that is known of a mailbox at one moment, for whoever copies it elsewhere.

use super::append::blob;
use super::content::Content;
use super::host::lock;
use super::shared::Shared;
use super::steps::chunks;
use super::{Account, Error, fault, opening_fault};
use crate::index::{Bits, Reader};
use crate::mail::{Guid, Keyword, MailboxName, SystemFlags, Uid, UidValidity};
use std::sync::Arc;

/// A mailbox without its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Portrait {
    pub(crate) name: MailboxName,
    pub(crate) uid_validity: UidValidity,
    /// No UID from here on was given.
    pub(crate) uid_next: Uid,
    /// MAILBOXID.
    pub(crate) guid: Guid,
    /// By number; some numbers are unused.
    pub(crate) keywords: Vec<Option<Keyword>>,
    pub(crate) messages: u32,
}

/// A message without its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) uid: Uid,
    pub(crate) flags: SystemFlags,
    /// Numbers of [`Portrait::keywords`].
    pub(crate) keywords: Vec<u16>,
    /// What the store calls it, which tells GUID, save date and sizes.
    pub(crate) base: Box<str>,
    /// What it is called elsewhere: words of which `P` begins the unique-id in POP3 and `G` the GUID there.
    pub(crate) aliases: Box<str>,
}

/// A mailbox as it was. Its messages are listed as of that moment; what is expunged since cannot be read.
pub(crate) struct Snapshot {
    pub(crate) portrait: Portrait,
    account: Account,
    shared: Arc<Shared>,
    /// Until all is listed.
    reader: Option<Reader>,
    /// Chunks still to be listed, the first at the end.
    left: Vec<(u32, Bits)>,
}

impl Account {
    /// Of a mailbox as it is now.
    pub(crate) fn snapshot(&self, name: &MailboxName) -> Result<Snapshot, Error> {
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        let mut state = lock(&shared.state);
        shared.refresh(&mut state, &mut *store)?;
        let reader = self.0.host.index.read();
        let reader = reader.map_err(fault("reading the index"))?;
        let summary = state.summary.as_ref().ok_or(Error::Fault)?;
        let portrait = Portrait {
            name: name.clone(),
            uid_validity: summary.uid_validity,
            uid_next: state.next_uid()?,
            guid: summary.guid,
            keywords: summary.keywords.clone(),
            messages: summary.messages,
        };
        let mut left = chunks(state.uids.as_ref().ok_or(Error::Fault)?);
        left.reverse();
        drop(state);
        Ok(Snapshot {
            portrait,
            account: self.clone(),
            shared,
            reader: Some(reader),
            left,
        })
    }
}

impl Snapshot {
    /// The next messages, ascending, at most 256; `None` at the end.
    pub(crate) fn list(&mut self) -> Result<Option<Vec<Listing>>, Error> {
        let (Some((number, slots)), Some(reader)) = (self.left.pop(), &self.reader) else {
            self.reader = None;
            return Ok(None);
        };
        let reading = fault("reading the index");
        let flags = reader.flags(self.shared.id, number).map_err(&reading)?;
        let names = reader.names(self.shared.id, number).map_err(&reading)?;
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        let mut all = Vec::new();
        for slot in flags.present.and(&slots).slots() {
            let (Some(uid), Some(name)) = (uid(slot), names.find(slot)) else {
                continue;
            };
            let mut keywords = Vec::new();
            flags.keywords(slot, &mut keywords);
            all.push(Listing {
                uid,
                flags: flags.system(slot),
                keywords,
                base: name.base.clone(),
                aliases: Box::default(),
            });
        }
        if let (Some(first), Some(last)) = (all.first(), all.last()) {
            let (first, last) = (first.uid, last.uid);
            let each = &mut |uid: Uid, words: &str| {
                let at = all.binary_search_by_key(&uid, |listing| listing.uid).ok();
                if let Some(listing) = at.and_then(|at| all.get_mut(at)) {
                    listing.aliases = words.into();
                }
            };
            let read = reader.each_alias(self.shared.id, first, last, each);
            read.map_err(&reading)?;
        }
        Ok(Some(all))
    }

    /// A message with CRLF line ends, and INTERNALDATE, in seconds since 1970. Errors: `Expunged` if it was
    /// removed meanwhile.
    pub(crate) fn read(&self, uid: Uid) -> Result<(Content, i64), Error> {
        let reading = fault("reading the index");
        let reader = self.account.0.host.index.read().map_err(&reading)?;
        let name = reader.name(self.shared.id, uid).map_err(&reading)?;
        drop(reader);
        let name = name.ok_or(Error::Expunged)?;
        let mailbox = lock(&self.shared.state).name.clone();
        let opened = self.account.0.store()?.open(&mailbox, &blob(&name));
        let root = &self.account.0.location.root;
        let opened = opened.map_err(opening_fault(root, &mailbox, uid))?;
        Ok((Content::whole(opened.body)?, opened.internal_date))
    }

    /// Has the index forget what was computed from these messages, and the sum of all sizes: their octets will be
    /// others. It is computed anew when it is asked for.
    pub(crate) fn forget(&self, uids: &[Uid]) -> Result<(), Error> {
        let id = self.shared.id;
        let mut state = lock(&self.shared.state);
        let summary = state.summary.as_mut().ok_or(Error::Fault)?;
        summary.size = None;
        self.shared.host.write(|w| {
            uids.iter().try_for_each(|uid| w.unlearn(id, *uid))?;
            w.set_summary(id, summary)
        })
    }
}

impl Listing {
    /// EMAILID.
    pub(crate) fn guid(&self) -> Guid {
        Guid::of(crate::store::origin(&self.base).as_bytes())
    }

    /// What POP3 calls it for ever, if that is not made of other things.
    pub(crate) fn uidl(&self) -> Option<&str> {
        let mut words = self.aliases.split(' ');
        let uidl = words.find_map(|word| word.strip_prefix('P'))?;
        Some(if uidl.is_empty() { &self.base } else { uidl })
    }
}
