//! One session's view of one mailbox: its numbering and what it was told.

use super::{Copied, Error, Rows, Search, Want};
use crate::mail::{
    Criteria, Flags, Keyword, MailboxName, ModSeq, SeqNum, SeqSet, SequenceSet, Uid, UidSet,
    UidValidity,
};
use event_listener::EventListener;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    /// EXAMINE: nothing changes, `\Recent` is left for others.
    ReadOnly,
}

/// What a number in a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Seq,
    Uid,
}

/// What STORE does with flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagChange {
    Set,
    Add,
    Remove,
}

/// Whether a session may be told of expunged messages now (RFC 3501 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expunges {
    Tell,
    Hold,
}

/// What happened since the session was last told, to be told in this order: expunged (in
/// descending order, as the numbers are those before), keywords, exists and recent, flags.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Numbers as they were before this change. The view has its new numbering already.
    pub(crate) expunged: SeqSet,
    /// The new number of messages if it changed otherwise than by `expunged`.
    pub(crate) exists: Option<u32>,
    pub(crate) recent: Option<u32>,
    /// Messages of the view whose flags changed, this session's own silent changes left out.
    pub(crate) flags: UidSet,
    /// There are new keywords: FLAGS and PERMANENTFLAGS are to be told again.
    pub(crate) keywords: bool,
}

/// One session's mailbox. Memory is by runs of UIDs, not by messages.
pub(crate) struct View {}

impl View {
    pub(crate) fn name(&self) -> &MailboxName {
        todo!()
    }
    pub(crate) fn access(&self) -> Access {
        todo!()
    }
    /// Messages in this view's numbering.
    pub(crate) fn exists(&self) -> u32 {
        todo!()
    }
    pub(crate) fn recent(&self) -> u32 {
        todo!()
    }
    /// As SELECT tells it; from the index without touching messages.
    pub(crate) fn first_unseen(&self) -> Result<Option<SeqNum>, Error> {
        todo!()
    }
    pub(crate) fn uid_next(&self) -> Uid {
        todo!()
    }
    pub(crate) fn uid_validity(&self) -> UidValidity {
        todo!()
    }
    pub(crate) fn highest_mod_seq(&self) -> ModSeq {
        todo!()
    }
    /// The keywords this session was told of, in the order of [`Rows::keywords`]'s numbers.
    pub(crate) fn keywords(&self) -> &[Keyword] {
        todo!()
    }
    /// False when no further keyword can be made (PERMANENTFLAGS without `\*`).
    pub(crate) fn more_keywords(&self) -> bool {
        todo!()
    }
    pub(crate) fn uid(&self, _seq: SeqNum) -> Option<Uid> {
        todo!()
    }
    pub(crate) fn seq(&self, _uid: Uid) -> Option<SeqNum> {
        todo!()
    }
    /// The UIDs of this view that the client means. By sequence number: `None` if a number is
    /// beyond the last message (the client's fault: BAD); by UID unknown ones are left out.
    pub(crate) fn resolve(&self, _set: &SequenceSet, _by: By) -> Option<UidSet> {
        todo!()
    }

    /// Streams what FETCH asked of these messages. Sets no flag.
    pub(crate) fn fetch(&self, _uids: UidSet, _want: Want) -> Rows {
        todo!()
    }
    /// Looks for messages of this view.
    pub(crate) fn search(&self, _criteria: Criteria) -> Search {
        todo!()
    }
    /// Changes flags; returns the UIDs that exist still (all of them are told with their flags unless
    /// silent). `silent`: `sync` will not report this session's own change.
    pub(crate) fn mark(
        &mut self,
        _uids: &UidSet,
        _change: FlagChange,
        _flags: &Flags,
        _silent: bool,
    ) -> Result<UidSet, Error> {
        todo!()
    }
    /// Removes messages with `\Deleted`, of these UIDs only if given. They are told by the next `sync`.
    pub(crate) fn expunge(&mut self, _only: Option<&UidSet>) -> Result<(), Error> {
        todo!()
    }
    /// All or nothing (RFC 3501 section 6.4.7).
    pub(crate) fn copy(&mut self, _uids: &UidSet, _to: &MailboxName) -> Result<Copied, Error> {
        todo!()
    }
    /// RFC 6851. The expunges are told by the next `sync`.
    pub(crate) fn transfer(&mut self, _uids: &UidSet, _to: &MailboxName) -> Result<Copied, Error> {
        todo!()
    }
    /// Brings the view up to date with the mailbox (and the mailbox with its directory).
    pub(crate) fn sync(&mut self, _expunges: Expunges) -> Result<Changes, Error> {
        todo!()
    }
    /// True if `sync` would find nothing; touches no file. For NOOP on the quick turn.
    pub(crate) fn is_current(&self) -> bool {
        todo!()
    }
    /// Wakes when the mailbox changes, also by foreign programs. Make it, then check
    /// `is_current`, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        todo!()
    }
}
