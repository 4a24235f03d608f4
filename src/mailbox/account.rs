//! One user's mailboxes.

use super::{Access, Error, View};
use crate::mail::{DateTime, Flags, MailboxName, ModSeq, SpecialUse, Uid, UidSet, UidValidity};

/// One user's mail. Cheap to clone; all sessions and deliveries of a user share one.
#[derive(Clone)]
pub(crate) struct Account {}

/// What LIST can say of a name.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: MailboxName,
    /// False for a name that only has mailboxes below it.
    pub(crate) selectable: bool,
    pub(crate) children: bool,
    pub(crate) subscribed: bool,
    pub(crate) special_use: Option<SpecialUse>,
}

/// What STATUS can say (RFC 3501 section 6.3.10).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) messages: u32,
    pub(crate) recent: u32,
    pub(crate) unseen: u32,
    pub(crate) uid_next: Uid,
    pub(crate) uid_validity: UidValidity,
    pub(crate) highest_mod_seq: ModSeq,
}

/// A message while it is written; forgotten when dropped. Bounded by the account's size limit.
pub(crate) struct Draft {}

impl Draft {
    /// Adds bytes as they come from the wire, split anywhere. Blocks on the disk.
    pub(crate) fn write(&mut self, _bytes: &[u8]) -> Result<(), Error> {
        todo!()
    }
}

/// What APPENDUID tells (RFC 4315 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid: Uid,
}

/// What COPYUID tells (RFC 4315 section 3): the n-th UID of `from` became the n-th of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) uid_validity: UidValidity,
    pub(crate) from: UidSet,
    pub(crate) to: UidSet,
}

impl Account {
    /// An account without files, for tests: same code over a store and an index in memory.
    pub(crate) fn memory() -> Account {
        todo!()
    }

    /// Makes INBOX and the special-use mailboxes where the account has none yet. Call at login.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        todo!()
    }

    /// Every mailbox and every name above one, sorted.
    pub(crate) fn list(&self) -> Result<Vec<Listed>, Error> {
        todo!()
    }

    /// Every subscribed name, sorted, whether it exists or not.
    pub(crate) fn subscriptions(&self) -> Result<Vec<MailboxName>, Error> {
        todo!()
    }

    pub(crate) fn subscribe(&self, _name: &MailboxName, _subscribed: bool) -> Result<(), Error> {
        todo!()
    }

    /// Makes a mailbox and what is missing above it (RFC 3501 section 6.3.3).
    pub(crate) fn create(&self, _name: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// RFC 3501 section 6.3.4. A mailbox with others below it loses its messages and stays as a name.
    pub(crate) fn delete(&self, _name: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// With all below it; INBOX: its messages move to a new mailbox (RFC 3501 section 6.3.5).
    pub(crate) fn rename(&self, _from: &MailboxName, _to: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    pub(crate) fn status(&self, _name: &MailboxName) -> Result<Status, Error> {
        todo!()
    }

    /// Opens a mailbox for a session (SELECT, EXAMINE).
    pub(crate) fn select(&self, _name: &MailboxName, _access: Access) -> Result<View, Error> {
        todo!()
    }

    /// True if messages can be appended to it: for APPEND before its literal, for subaddresses.
    pub(crate) fn exists(&self, _name: &MailboxName) -> Result<bool, Error> {
        todo!()
    }

    /// A place to write a new message.
    pub(crate) fn draft(&self) -> Result<Draft, Error> {
        todo!()
    }

    /// Files the draft; durable when it returns. `date` is INTERNALDATE, now if `None`. A draft can be
    /// appended to several mailboxes, of several accounts, one after the other.
    pub(crate) fn append(
        &self,
        _name: &MailboxName,
        _draft: &mut Draft,
        _flags: &Flags,
        _date: Option<DateTime>,
    ) -> Result<Appended, Error> {
        todo!()
    }
}
