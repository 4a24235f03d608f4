//! What a message is called for ever (RFC 8474 section 5) and since when it is where it is (RFC 8514
//! section 3): the store keeps both in its name, so that they outlive the index.

use super::{Error, Rows};
use crate::mail::{DateTime, ObjectId};
use crate::mime;
use crate::store::{origin, saved};

/// Fields by which messages belong to a thread.
const FIELDS: [&str; 3] = ["References", "In-Reply-To", "Message-ID"];

/// The message that a message with this header goes back to: the first that it refers to, else itself.
/// `None` if it has no message IDs.
pub(super) fn first_message(header: &[u8]) -> Option<Vec<u8>> {
    FIELDS.iter().find_map(|name| {
        let value = mime::values(header, name).next()?;
        let mut first = None;
        mime::message_ids(value, &mut |id| {
            first = Some(id.to_vec());
            false
        });
        first
    })
}

impl Rows {
    /// EMAILID: the same for all copies of a message.
    pub(crate) fn email_id(&mut self) -> Result<ObjectId, Error> {
        Ok(ObjectId::email(&origin(&self.name()?.base)))
    }

    /// THREADID: made of what does not change, so that it is the same wherever the message is.
    pub(crate) fn thread_id(&mut self) -> Result<ObjectId, Error> {
        let first = first_message(self.header_fields(&FIELDS.map(str::to_owned))?);
        Ok(match first {
            Some(id) => ObjectId::thread(&id),
            None => ObjectId::thread(origin(&self.name()?.base).as_bytes()),
        })
    }

    /// SAVEDATE; INTERNALDATE where the name, which another program gave, does not tell.
    pub(crate) fn save_date(&mut self) -> Result<DateTime, Error> {
        match saved(&self.name()?.base) {
            Some(seconds) => Ok(DateTime::utc(seconds)),
            None => self.internal_date(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, name};
    use super::super::{Access, Account, Want};
    use super::*;
    use crate::mail::Flags;
    use std::path::Path;

    #[test]
    fn the_message_that_a_thread_begins_with() {
        for (header, first) in [
            ("Message-ID: <a@x>\n\n", Some("a@x")),
            (
                "Message-ID: <b@x>\nReferences: <a@x> <c@x>\n\n",
                Some("a@x"),
            ),
            ("In-Reply-To: <c@x>\nMessage-ID: <b@x>\n\n", Some("c@x")),
            ("In-Reply-To: yours\nMessage-ID: <b@x>\n\n", Some("b@x")),
            ("References:\n\n", None),
            ("", None),
        ] {
            let found = first_message(header.as_bytes());
            assert_eq!(found.as_deref(), first.map(str::as_bytes), "{header:?}");
        }
    }

    /// Identifiers and save dates of all messages of a mailbox.
    fn known(account: &Account, mailbox: &str) -> Vec<(String, String, i64)> {
        let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
        let mut rows = view.fetch(view.uids().clone(), Want::default());
        let mut all = Vec::new();
        while rows.advance().unwrap() {
            let (email, thread) = (rows.email_id().unwrap(), rows.thread_id().unwrap());
            let saved = rows.save_date().unwrap().seconds;
            all.push((email.to_string(), thread.to_string(), saved));
        }
        all
    }

    fn forget_index(root: &Path) -> Account {
        let index = crate::index::Index::memory().unwrap();
        let host = super::super::Host::with(index, super::super::Limits::default());
        host.account("again", root).unwrap()
    }

    #[test]
    fn copies_and_the_loss_of_the_index_change_nothing() {
        let (account, directory) = Account::temporary();
        account.create(&name("a")).unwrap();
        account.create(&name("b")).unwrap();
        append(&account, "INBOX", "one", &Flags::default());
        append(&account, "INBOX", "two", &Flags::default());
        let long = format!("new/{},x=y", "z".repeat(230));
        let foreign = "Date: Mon, 7 Feb 1994 21:52:25 -0800\n\nx\n";
        std::fs::write(directory.path().join(long), foreign).unwrap();
        let before = known(&account, "INBOX");
        assert_eq!(before.len(), 3);
        let ids = |known: &[(String, String, i64)]| -> Vec<(String, String)> {
            known.iter().map(|k| (k.0.clone(), k.1.clone())).collect()
        };
        let select = |mailbox| account.select(&name(mailbox), Access::ReadWrite).unwrap();
        let mut inbox = select("INBOX");
        let all = inbox.uids().clone();
        inbox.copy(&all, &name("a")).unwrap();
        inbox.copy(&all, &name("INBOX")).unwrap();
        let mut a = select("a");
        let moved = a.uids().clone();
        a.transfer(&moved, &name("b")).unwrap();
        assert_eq!(ids(&known(&account, "b")), ids(&before));
        account.rename(&name("b"), &name("c/d")).unwrap();
        let status = |account: &Account, mailbox: &str| {
            let status = account.status(&name(mailbox), super::super::Asked::default());
            status.unwrap().mailbox_id.to_string()
        };
        let (twice, moved) = (known(&account, "INBOX"), known(&account, "c/d"));
        assert_eq!(ids(&twice), [ids(&before), ids(&before)].concat());
        assert_eq!(twice[..3], before);
        assert!(before[0].0 != before[1].0 && before[0].1 != before[1].1);
        let mailboxes = ["INBOX", "c/d"].map(|mailbox| status(&account, mailbox));
        let again = forget_index(directory.path());
        assert_eq!(known(&again, "INBOX"), twice);
        assert_eq!(known(&again, "c/d"), moved);
        assert_eq!(
            ["INBOX", "c/d"].map(|mailbox| status(&again, mailbox)),
            mailboxes
        );
    }
}
