//! Mailboxes that come back as they were elsewhere: UIDVALIDITY, GUIDs and UIDs.

use super::host::lock;
use super::shared::{Shared, State, side_state};
use super::{Account, Error, mailbox_fault, store_fault};
use crate::mail::{Guid, MailboxName, Uid, UidValidity};
use crate::store::Store;
use std::sync::Arc;

/// A mailbox that messages come back into under the UIDs that they had. Until it is dropped nothing else may
/// come: others are told `Busy`.
pub(crate) struct Refill {
    shared: Arc<Shared>,
    /// Messages with lower UIDs were there, or are there.
    pub(crate) first: Uid,
    /// Lower UIDs were given when it began, whatever messages had them: no other gets them.
    given: Uid,
}

impl Account {
    /// Makes the mailbox, or one without messages, that of this UIDVALIDITY and GUID, durably; one that has
    /// both goes on where it ended. Errors: `MailboxExists` if it is another.
    pub(crate) fn refill(
        &self,
        name: &MailboxName,
        uid_validity: UidValidity,
        guid: Guid,
    ) -> Result<Refill, Error> {
        match self.create(name) {
            Ok(_) | Err(Error::MailboxExists) => {}
            Err(error) => return Err(error),
        }
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        let mut state = lock(&shared.state);
        state.admit()?;
        shared.refresh(&mut state, &mut *store)?;
        let summary = state.summary.as_ref().ok_or(Error::Fault)?;
        if (summary.uid_validity, summary.guid) != (uid_validity, guid) {
            if summary.messages > 0 || !state.flights.is_empty() {
                return Err(Error::MailboxExists);
            }
            let mut founded = side_state(summary);
            (founded.uid_validity, founded.guid) = (uid_validity, guid);
            founded.uid_next = Uid::MIN;
            let written = store.record_all(name, &founded, &mut [].iter());
            written.map_err(store_fault("making a mailbox what it was"))?;
            (state.forget, state.given, state.listed) = (true, None, Uid::MIN);
            state.unlisted.clear();
            super::resync::resync(&shared, &mut state, &mut *store)?;
            let now = state.summary.as_ref().ok_or(Error::Fault)?;
            if (now.uid_validity, now.guid) != (uid_validity, guid) {
                // Another program was first.
                return Err(Error::MailboxExists);
            }
        }
        let given = state.next_uid()?;
        take_back(&mut state, &mut *store)?;
        let first = state.next_uid()?;
        state.refilling = true;
        drop(state);
        Ok(Refill {
            shared,
            first,
            given,
        })
    }
}

/// UIDs that messages were to have which were under way when a process was killed are free again for those messages.
fn take_back(state: &mut State, store: &mut dyn Store) -> Result<(), Error> {
    if !state.flights.is_empty() {
        return Ok(());
    }
    let untold = store.untold(&state.name);
    let untold = untold.map_err(mailbox_fault("looking at", &*store, &state.name))?;
    if let (Some(untold), Some(summary)) = (untold, state.summary.as_mut())
        && untold < summary.uid_next
    {
        // Their lines are written again; until then the next process finds the same.
        summary.uid_next = untold;
        summary.first_recent = summary.first_recent.min(untold);
        (state.given, state.listed) = (None, state.listed.min(untold));
    }
    Ok(())
}

impl Refill {
    /// All are there that come: UIDs below `uid_next` were given. Durable.
    pub(crate) fn finish(self, uid_next: Uid) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        let uid_next = uid_next.max(self.given);
        let summary = state.summary.as_mut().ok_or(Error::Fault)?;
        summary.uid_next = summary.uid_next.max(uid_next);
        state.given = state.given.max(Some(uid_next));
        drop(state);
        self.shared.settle()?;
        self.shared.raise();
        Ok(())
    }
}

impl Drop for Refill {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.refilling = false;
        state.given = state.given.max(Some(self.given));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, name};
    use super::super::{Access, Asked, Host, Identity, Limits, NewMessage};
    use super::*;
    use crate::config::Format;
    use crate::mail::{Flags, UidSet};

    const FORMATS: [Format; 4] = [Format::Maildir, Format::Mbox, Format::Sdbox, Format::Mdbox];

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    /// Files messages under these UIDs.
    fn put(account: &Account, mailbox: &str, uids: &[u32]) -> Result<(), Error> {
        let mut drafts = Vec::new();
        for number in uids {
            let mut draft = account.draft();
            draft.write(format!("Subject: {number}\r\n\r\nx\r\n").as_bytes())?;
            draft.identify(Identity {
                uid: Some(uid(*number)),
                guid: Guid([*number as u8; 16]),
                saved: Some(1_000_000_000 + i64::from(*number)),
            })?;
            drafts.push(draft);
        }
        let flags = Flags::default();
        let mut messages: Vec<NewMessage<'_>> = drafts
            .iter_mut()
            .map(|draft| NewMessage {
                draft,
                flags: &flags,
                date: None,
            })
            .collect();
        account.append_each(&name(mailbox), &mut messages).map(drop)
    }

    fn known(account: &Account, mailbox: &str) -> (String, Vec<(u32, i64, String)>) {
        let status = account.status(&name(mailbox), Asked::default()).unwrap();
        let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
        let mut rows = view.fetch(view.uids().clone(), super::super::Want::default());
        let mut all = Vec::new();
        while rows.advance().unwrap() {
            let saved = rows.save_date().unwrap().seconds;
            let email = rows.email_id().unwrap().to_string();
            all.push((rows.uid().number(), saved, email));
        }
        let numbers = format!(
            "{} {} {}",
            view.uid_validity(),
            view.uid_next(),
            status.mailbox_id
        );
        (numbers, all)
    }

    #[test]
    fn a_mailbox_is_what_it_was_elsewhere_in_every_format() {
        for format in FORMATS {
            let (account, directory) = Account::temporary_of(format);
            let validity = UidValidity::new(77).unwrap();
            account.create(&name("old")).unwrap();
            // A mailbox whose messages are gone may become another.
            append(&account, "old", "gone", &Flags::default());
            let mut view = account.select(&name("old"), Access::ReadWrite).unwrap();
            let all = view.uids().clone();
            view.transfer(&all, &name("INBOX")).unwrap();
            drop(view);
            let refill = account
                .refill(&name("old"), validity, Guid([9; 16]))
                .unwrap();
            assert_eq!(refill.first, Uid::MIN, "{format:?}");
            put(&account, "old", &[3, 4, 9]).unwrap();
            // Nothing else comes, under no UID that was given.
            let second = account.refill(&name("old"), validity, Guid([9; 16]));
            assert!(matches!(second, Err(Error::Busy)), "{format:?}");
            let mut draft = account.draft();
            draft.write(b"a: b\r\n\r\n").unwrap();
            let other = account.append(&name("old"), &mut draft, &Flags::default(), None);
            assert_eq!(other.unwrap_err(), Error::Busy, "{format:?}");
            let mut inbox = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            let uids = inbox.uids().clone();
            let copied = inbox.copying(&uids, &name("old"));
            assert!(matches!(copied, Err(Error::Busy)), "{format:?}");
            assert!(matches!(put(&account, "old", &[4]), Err(Error::Cannot(_))));
            // Broken off, and begun again.
            drop(refill);
            let refill = account
                .refill(&name("old"), validity, Guid([9; 16]))
                .unwrap();
            assert_eq!(refill.first, uid(10));
            put(&account, "old", &[12]).unwrap();
            refill.finish(uid(20)).unwrap();
            let before = known(&account, "old");
            assert!(before.0.starts_with("77 20 "), "{format:?} {before:?}");
            let uids: Vec<u32> = before.1.iter().map(|row| row.0).collect();
            assert_eq!(uids, [3, 4, 9, 12], "{format:?}");
            for (number, saved, email) in &before.1 {
                assert_eq!(*saved, 1_000_000_000 + i64::from(*number), "{format:?}");
                let guid = Guid([*number as u8; 16]).to_string();
                // An mbox makes them of the octets.
                let own = crate::mail::ObjectId::email(&guid).to_string();
                assert_eq!(*email == own, format != Format::Mbox, "{format:?}");
            }
            let guids = account.guids(&name("old")).unwrap();
            assert_eq!(guids.len(), 4);
            assert!(guids.is_sorted_by_key(|guid| guid.0));
            let other = account.refill(&name("old"), validity, Guid([8; 16]));
            assert!(matches!(other, Err(Error::MailboxExists)), "{format:?}");
            assert_eq!(append(&account, "old", "next", &Flags::default()), 20);
            // The files alone say all of it.
            drop(account);
            let index = crate::index::Index::memory().unwrap();
            let host = super::super::Host::over(index, format, super::super::Limits::default());
            let again = host.account("test", directory.path()).unwrap();
            let (numbers, rows) = known(&again, "old");
            assert_eq!(
                numbers,
                before.0.replacen("77 20", "77 21", 1),
                "{format:?}"
            );
            assert_eq!(rows[..4], before.1, "{format:?}");
        }
    }

    /// The log of an sdbox has lines of messages whose files have no names yet when a process is killed: a restore that
    /// went on left those out, as if they had been expunged.
    #[test]
    fn messages_that_were_under_way_come_when_a_restore_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (root, index) = (
            directory.path().join("mail"),
            directory.path().join("index"),
        );
        std::fs::create_dir(&root).unwrap();
        let open = || {
            let host = Host::open_in(&index, Format::Sdbox, Limits::default()).unwrap();
            let account = host.account("u", &root).unwrap();
            (host, account)
        };
        let file = |number: u32| root.join(format!("mailboxes/old/dbox-Mails/u.{number}"));
        let (validity, guid) = (UidValidity::new(77).unwrap(), Guid([9; 16]));
        let first = |account: &Account| account.refill(&name("old"), validity, guid).unwrap();
        let (host, account) = open();
        let refill = first(&account);
        put(&account, "old", &[3, 4]).unwrap();
        put(&account, "old", &[6, 9]).unwrap();
        drop(refill);
        drop((host, account));
        for number in [6, 9] {
            std::fs::remove_file(file(number)).unwrap();
        }
        let (host, account) = open();
        // Somebody looks before it goes on.
        assert_eq!(known(&account, "old").0.split(' ').nth(1), Some("10"));
        let refill = first(&account);
        assert_eq!(refill.first, uid(6));
        put(&account, "old", &[6]).unwrap();
        drop(refill);
        drop((host, account));
        let (host, account) = open();
        let refill = first(&account);
        assert_eq!(refill.first, uid(9));
        put(&account, "old", &[9]).unwrap();
        refill.finish(uid(20)).unwrap();
        let there = known(&account, "old").1;
        let uids: Vec<u32> = there.iter().map(|row| row.0).collect();
        assert_eq!(uids, [3, 4, 6, 9]);
        // What was expunged, or is gone otherwise when all came, stays so.
        let mut view = account.select(&name("old"), Access::ReadWrite).unwrap();
        let doomed: UidSet = std::iter::once(uid(9)).collect();
        view.transfer(&doomed, &name("INBOX")).unwrap();
        drop((view, account));
        host.close().unwrap();
        drop(host);
        std::fs::remove_file(file(6)).unwrap();
        let (host, account) = open();
        assert_eq!(first(&account).first, uid(20));
        // Who takes away a file that clients have seen leaves its UID to no other message.
        put(&account, "old", &[20]).unwrap();
        let next = || {
            known(&account, "old")
                .0
                .split(' ')
                .nth(1)
                .map(str::to_owned)
        };
        assert_eq!(next().as_deref(), Some("21"));
        drop((account, host));
        std::fs::remove_file(file(20)).unwrap();
        let (_host, account) = open();
        let refill = first(&account);
        assert_eq!(refill.first, uid(20));
        refill.finish(uid(10)).unwrap();
        append(&account, "old", "another", &Flags::default());
        let uids = known(&account, "old").1;
        assert_eq!(uids.last().map(|row| row.0), Some(21));
    }

    /// The log of an mbox says that a UID is given before its file has the message.
    #[test]
    fn what_an_mbox_does_not_have_yet_comes_when_a_restore_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (root, index) = (
            directory.path().join("mail"),
            directory.path().join("index"),
        );
        std::fs::create_dir(&root).unwrap();
        let open = || {
            let host = Host::open_in(&index, Format::Mbox, Limits::default()).unwrap();
            let account = host.account("u", &root).unwrap();
            (host, account)
        };
        let (validity, guid) = (UidValidity::new(77).unwrap(), Guid([9; 16]));
        let first = |account: &Account| account.refill(&name("old"), validity, guid).unwrap();
        let uids = |account: &Account| -> Vec<u32> {
            let (_, rows) = known(account, "old");
            rows.iter().map(|row| row.0).collect()
        };
        let (host, account) = open();
        let refill = first(&account);
        put(&account, "old", &[3, 4]).unwrap();
        let octets = std::fs::metadata(root.join("old")).unwrap().len();
        put(&account, "old", &[9]).unwrap();
        drop(refill);
        drop((host, account));
        // As a process leaves it that is killed between the two.
        let file = std::fs::File::options().write(true).open(root.join("old"));
        file.unwrap().set_len(octets).unwrap();
        let log = root.join(".imap/.dovelet/mailboxes/old/mBoX-MeSsAgEs/dovelet.log");
        let text = std::fs::read_to_string(&log).unwrap();
        let end = text.find(",U=9\n").unwrap() + 5;
        assert!(text[..end].lines().last().unwrap().contains(" A "));
        std::fs::write(&log, &text[..end]).unwrap();
        // Somebody looks before it goes on.
        let (host, account) = open();
        assert_eq!(uids(&account), [3, 4]);
        assert_eq!(known(&account, "old").0.split(' ').nth(1), Some("10"));
        drop((host, account));
        let (host, account) = open();
        let refill = first(&account);
        assert_eq!(refill.first, uid(9));
        put(&account, "old", &[9]).unwrap();
        drop((refill, account));
        host.close().unwrap();
        drop(host);
        let (host, account) = open();
        assert_eq!(uids(&account), [3, 4, 9]);
        let refill = first(&account);
        assert_eq!(refill.first, uid(10));
        drop((refill, host, account));
        // What is gone otherwise once it came stays so.
        let file = std::fs::File::options().write(true).open(root.join("old"));
        file.unwrap().set_len(octets).unwrap();
        let (_host, account) = open();
        assert_eq!(uids(&account), [3, 4]);
        assert_eq!(first(&account).first, uid(10));
    }
}
