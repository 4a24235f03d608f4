//! The maildrop of a session: its numbering, and what QUIT is to do with it.

use super::ahead::Ahead;
use super::refusal::{DELETED, NO_SUCH_MESSAGE};
use crate::config::{Delete, Pop3};
use crate::mail::{Flags, SeqNum, SystemFlags, Uid, UidSet};
use crate::mailbox::{Access, Account, Content, Error, FlagChange, MaildropLock, View};
use crate::wire::pop3::Message;

/// INBOX as it was when the session began.
pub(super) struct Maildrop {
    pub(super) view: View,
    _lock: Option<MaildropLock>,
    /// Of all messages.
    octets: u64,
    pub(super) deleted: UidSet,
    /// Octets of those deleted messages that are not in `unsummed`.
    deleted_octets: u64,
    unsummed: UidSet,
    /// Messages that were read.
    seen: UidSet,
    /// The highest number that was read; 0: none.
    pub(super) last: u32,
    /// The number of the message that was sent last; 0: none.
    sent: u32,
    pub(super) ahead: Ahead,
}

impl Maildrop {
    /// Opens INBOX.
    pub(super) fn open(
        account: &Account,
        lock: Option<MaildropLock>,
        pop3: &Pop3,
    ) -> Result<Maildrop, Error> {
        let access = match pop3.no_flag_updates {
            true => Access::Unnoticed,
            false => Access::ReadWrite,
        };
        let mut view = account.select(&crate::mail::MailboxName::inbox(), access)?;
        if let Some(flag) = &pop3.deleted_flag {
            let hidden = view.with_keyword(flag)?;
            view.hide(&hidden);
        }
        let last = match pop3.enable_last {
            true => view.last_seen()?.map_or(0, SeqNum::number),
            false => 0,
        };
        Ok(Maildrop {
            octets: view.octets()?,
            view,
            _lock: lock,
            deleted: UidSet::new(),
            deleted_octets: 0,
            unsummed: UidSet::new(),
            seen: UidSet::new(),
            last,
            sent: 0,
            ahead: Ahead::default(),
        })
    }

    /// False for who may only read.
    pub(super) fn may_change(&self) -> bool {
        self.view.access() != Access::ReadOnly
    }

    /// The message of that number, unless it is not there or marked as deleted.
    pub(super) fn find(&self, message: Message) -> Result<(SeqNum, Uid), &'static str> {
        let found = message.and_then(|seq| Some((seq, self.view.uid(seq)?)));
        let (seq, uid) = found.ok_or(NO_SUCH_MESSAGE)?;
        match self.deleted.contains(uid) {
            true => Err(DELETED),
            false => Ok((seq, uid)),
        }
    }

    /// Messages that are not marked as deleted.
    pub(super) fn uids(&self) -> UidSet {
        match self.deleted.is_empty() {
            true => self.view.uids().clone(),
            false => self.view.uids().difference(&self.deleted),
        }
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.view.exists()).saturating_sub(self.deleted.count())
    }

    /// Octets of the messages that are not marked as deleted; `None` where files have to be looked at.
    pub(super) fn known_octets(&self) -> Option<u64> {
        let octets = self.octets.saturating_sub(self.deleted_octets);
        self.unsummed.is_empty().then_some(octets)
    }

    /// As `known_octets`, whatever it takes.
    pub(super) fn octets(&mut self) -> Result<u64, Error> {
        let more = self.view.octets_of(std::mem::take(&mut self.unsummed))?;
        self.deleted_octets = self.deleted_octets.saturating_add(more);
        Ok(self.octets.saturating_sub(self.deleted_octets))
    }

    pub(super) fn delete(&mut self, (seq, uid): (SeqNum, Uid)) {
        self.deleted.insert(uid);
        self.unsummed.insert(uid);
        self.last = self.last.max(seq.number());
    }

    /// Nothing is marked as deleted any more.
    pub(super) fn reset(&mut self) {
        (self.deleted, self.unsummed) = (UidSet::new(), UidSet::new());
        (self.deleted_octets, self.last) = (0, 0);
    }

    /// The message, if it was read ahead.
    pub(super) fn ready(&mut self, message: Message) -> Option<((SeqNum, Uid), Content)> {
        let found = self.find(message).ok()?;
        let content = self.ahead.take(found.1, &self.view)?;
        Some((found, content))
    }

    /// Reads ahead for a client that takes one message after the other, of which this one is sent now.
    pub(super) fn read_ahead(&mut self, seq: SeqNum) {
        if self.sent == 0 || seq.number() != self.sent + 1 {
            return;
        }
        let (view, deleted) = (&self.view, &self.deleted);
        let seqs = (seq.number() + 1..=view.exists()).filter_map(SeqNum::new);
        let uids = seqs.filter_map(|seq| view.uid(seq));
        let uids = uids.filter(|uid| !deleted.contains(*uid));
        self.ahead.read(uids, view);
    }

    /// Notes that the message is sent now.
    pub(super) fn read(&mut self, (seq, uid): (SeqNum, Uid)) {
        self.sent = seq.number();
        self.seen.insert(uid);
        self.last = self.last.max(seq.number());
    }

    /// True if something is to be written when the session ends without QUIT.
    pub(super) fn was_read(&self, pop3: &Pop3) -> bool {
        !pop3.no_flag_updates && self.may_change() && !self.seen.is_empty()
    }

    /// Gives `\Seen` to what was read. Durable.
    pub(super) fn keep_seen(&mut self, pop3: &Pop3) -> Result<(), Error> {
        if !self.was_read(pop3) {
            return Ok(());
        }
        let seen = std::mem::take(&mut self.seen);
        let flags = Flags {
            system: SystemFlags::SEEN,
            keywords: Vec::new(),
        };
        self.view.mark(&seen, FlagChange::Add, &flags, None)?;
        Ok(())
    }

    /// The UPDATE state (RFC 1939 section 6). Durable.
    pub(super) fn update(&mut self, pop3: &Pop3) -> Result<(), Error> {
        let deleted = std::mem::take(&mut self.deleted);
        let flagged = pop3.deleted_flag.as_ref();
        let flagged = flagged.filter(|_| pop3.delete == Delete::Flag);
        if flagged.is_none() {
            // What goes needs no flags.
            self.seen = self.seen.difference(&deleted);
        }
        self.keep_seen(pop3)?;
        match flagged {
            _ if deleted.is_empty() => Ok(()),
            None => self.view.discard(&deleted),
            Some(keyword) => {
                let flags = Flags {
                    system: SystemFlags::NONE,
                    keywords: vec![keyword.clone()],
                };
                let marked = self.view.mark(&deleted, FlagChange::Add, &flags, None);
                marked.map(|_| ())
            }
        }
    }
}
