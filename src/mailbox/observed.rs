//! Mailboxes that a session has not selected and wants to hear of (RFC 5465 section 3.1).

use super::shared::Shared;
use super::status::{Asked, Status};
use super::{Account, Error};
use crate::mail::{MailboxName, Uid, UidSet};
use std::sync::Arc;

/// One such mailbox, in memory and watched as long as this lives.
pub(crate) struct Observed {
    account: Account,
    shared: Arc<Shared>,
    /// What was seen last.
    generation: u32,
    status: Status,
}

impl Account {
    pub(crate) fn observe(&self, name: &MailboxName) -> Result<Observed, Error> {
        let shared = self.shared(name)?;
        let generation = shared.generation();
        Ok(Observed {
            account: self.clone(),
            status: self.status(name, Asked::default())?,
            shared,
            generation,
        })
    }
}

impl Observed {
    /// Of a mailbox that was made a moment ago: what it holds already is new, so `look` finds it.
    pub(crate) fn since_made(self) -> Observed {
        if (self.status.messages, self.status.uid_next) == (0, Uid::MIN) {
            return self;
        }
        let status = Status {
            messages: 0,
            unseen: 0,
            uid_next: Uid::MIN,
            ..self.status
        };
        Observed {
            status,
            generation: self.generation.wrapping_sub(1),
            ..self
        }
    }

    /// True once it was deleted; another mailbox may have its name by now.
    pub(crate) fn is_deleted(&self) -> bool {
        super::host::lock(&self.shared.state).deleted
    }

    /// The mailbox's name now.
    pub(crate) fn name(&self) -> MailboxName {
        super::host::lock(&self.shared.state).name.clone()
    }

    /// As it was seen last.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// True if `look` can find something else.
    pub(crate) fn is_stale(&self) -> bool {
        self.generation != self.shared.generation()
    }

    /// False where changes by other programs are found only by looking.
    pub(crate) fn is_watched(&self) -> bool {
        self.shared.is_watched()
    }

    /// Takes in what the session itself brought there, so that it is no news, if nobody else did anything
    /// since it was seen last.
    pub(crate) fn absorb(&mut self, own: &UidSet) -> Result<(), Error> {
        let generation = self.shared.generation();
        let now = self.account.status(&self.name(), Asked::default())?;
        let steps = now
            .highest_mod_seq
            .number()
            .checked_sub(self.status.highest_mod_seq.number());
        let own_steps = self.shared.mod_seqs_of(own)?;
        let came = u32::try_from(own.count()).unwrap_or(u32::MAX);
        let alone = steps == Some(own_steps)
            && now.uid_validity == self.status.uid_validity
            && Some(now.messages) == self.status.messages.checked_add(came);
        if alone {
            (self.generation, self.status) = (generation, now);
        }
        Ok(())
    }

    /// Looks at it again. Errors: `NoSuchMailbox` once it is gone.
    pub(crate) fn look(&mut self) -> Result<(), Error> {
        self.generation = self.shared.generation();
        self.status = self.account.status(&self.name(), Asked::default())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, flags, name};
    use super::super::{Access, FlagChange};
    use super::*;
    use crate::mail::{Flags, SystemFlags};

    #[test]
    fn changes_are_seen_from_outside() {
        let (account, directory) = Account::temporary();
        account.create(&name("a")).unwrap();
        let mut seen = account.observe(&name("a")).unwrap();
        assert!(!seen.is_stale());
        append(&account, "INBOX", "elsewhere", &Flags::default());
        assert!(!seen.is_stale());
        append(&account, "a", "one", &Flags::default());
        assert!(seen.is_stale());
        assert_eq!(seen.status().messages, 0);
        seen.look().unwrap();
        assert_eq!((seen.status().messages, seen.status().unseen), (1, 1));
        let before = seen.status().highest_mod_seq;
        let mut view = account.select(&name("a"), Access::ReadWrite).unwrap();
        let all = view.uids().clone();
        let flagged = flags(SystemFlags::SEEN, &[]);
        view.mark(&all, FlagChange::Add, &flagged, None).unwrap();
        drop(view);
        assert!(seen.is_stale());
        seen.look().unwrap();
        assert!(seen.status().unseen == 0 && seen.status().highest_mod_seq > before);
        // Another program puts a message there.
        std::fs::write(directory.path().join(".a/new/1.foreign"), "A: b\n\nx\n").unwrap();
        seen.shared.drain();
        assert!(seen.is_stale());
        seen.look().unwrap();
        assert_eq!(seen.status().messages, 2);
        account.rename(&name("a"), &name("b")).unwrap();
        assert_eq!(seen.name(), name("b"));
        account.delete(&name("b")).unwrap();
        assert!(seen.is_stale());
        assert_eq!(seen.look(), Err(Error::NoSuchMailbox));
    }
}
