//! Annotations of mailboxes and of the account as a whole (RFC 5464). They lie in side files of the
//! store: the index may go.

use super::host::lock;
use super::news::News;
use super::{Account, Error, store_fault};
use crate::mail::{EntryName, MailboxName};
use crate::store::Annotations;

/// `/shared/admin` of the server is not the clients' (RFC 5464 section 3.2.1.1).
pub(crate) const ADMIN: &str = "/shared/admin";

impl Account {
    /// The annotations of a mailbox, or (`None`) of the server, by name.
    pub(crate) fn annotations(&self, of: Option<&MailboxName>) -> Result<Annotations, Error> {
        let mut store = self.0.store()?;
        let annotations = store.annotations(of);
        annotations.map_err(store_fault("reading annotations"))
    }

    /// Sets values, or takes them away (`None`): all of them or none. `by` names who does it among those
    /// that [`Account::listen`]. Durable when it returns. Errors: `TooManyEntries`, `EntryTooLong`.
    pub(crate) fn annotate(
        &self,
        of: Option<&MailboxName>,
        changes: Vec<(EntryName, Option<Vec<u8>>)>,
        by: u32,
    ) -> Result<(), Error> {
        self.may_change()?;
        let limits = &self.0.host.limits;
        let longest = changes.iter().filter_map(|(_, value)| value.as_ref());
        if longest.map(Vec::len).max() > Some(limits.metadata_octets) {
            return Err(Error::EntryTooLong(limits.metadata_octets));
        }
        let own = |(name, _): &(EntryName, _)| of.is_none() && name.as_str() == ADMIN;
        if changes.iter().any(own) {
            return Err(Error::Cannot("the server itself sets this entry"));
        }
        // What is read is not changed by another session before it is written.
        let _annotating = lock(&self.0.annotating);
        let mut store = self.0.store()?;
        let known = store.annotations(of);
        let mut all = known.map_err(store_fault("reading annotations"))?;
        let before = all.len();
        let names: Vec<EntryName> = changes.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in changes {
            all.retain(|(own, _)| *own != name);
            all.extend(value.map(|value| (name, value)));
        }
        if all.len() > limits.metadata_entries && all.len() > before {
            return Err(Error::TooManyEntries);
        }
        all.sort();
        let written = store.annotate(of, &all);
        written.map_err(store_fault("writing annotations"))?;
        drop(store);
        self.publish(News::Annotated(of.cloned(), names), by);
        Ok(())
    }

    /// RENAME of INBOX: its annotations stay, and are those of the new mailbox too (RFC 5464 section
    /// 4.1).
    pub(super) fn copy_annotations(
        &self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), Error> {
        let _annotating = lock(&self.0.annotating);
        let mut store = self.0.store()?;
        let all = store.annotations(Some(from));
        let all = all.map_err(store_fault("reading annotations"))?;
        if all.is_empty() {
            return Ok(());
        }
        let written = store.annotate(Some(to), &all);
        written.map_err(store_fault("writing annotations"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{name, rename_inbox};
    use super::super::{Host, Limits};
    use super::*;

    fn entry(text: &str) -> EntryName {
        EntryName::new(text.as_bytes()).unwrap()
    }

    fn set(
        account: &Account,
        of: Option<&str>,
        texts: &[(&str, Option<&str>)],
    ) -> Result<(), Error> {
        let value = |text: &Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let changes = texts.iter().map(|(name, text)| (entry(name), value(text)));
        account.annotate(of.map(name).as_ref(), changes.collect(), 0)
    }

    fn all(account: &Account, of: Option<&str>) -> String {
        let all = account.annotations(of.map(name).as_ref()).unwrap();
        let one = |(name, value): &(EntryName, Vec<u8>)| {
            format!("{name}={}", String::from_utf8_lossy(value))
        };
        all.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn annotations_go_with_their_mailbox() {
        let (account, directory) = Account::temporary();
        account.create(&name("a/b")).unwrap();
        set(&account, None, &[("/private/vendor/v/x", Some("server"))]).unwrap();
        set(&account, Some("INBOX"), &[("/shared/comment", Some("in"))]).unwrap();
        let both = [
            ("/shared/comment", Some("1")),
            ("/private/Comment", Some("")),
        ];
        set(&account, Some("a/b"), &both).unwrap();
        set(&account, Some("a"), &[("/shared/comment", Some("above"))]).unwrap();
        account.rename(&name("a"), &name("c")).unwrap();
        assert_eq!(all(&account, Some("c")), "/shared/comment=above");
        let told = "/private/comment= /shared/comment=1";
        assert_eq!(all(&account, Some("c/b")), told);
        // Another engine, with another index.
        let other = Host::with(crate::index::Index::memory().unwrap(), Limits::default());
        let other = other.account("u", directory.path()).unwrap();
        assert_eq!(all(&other, Some("c/b")), told);
        assert_eq!(all(&other, None), "/private/vendor/v/x=server");
        rename_inbox(&account, "old");
        assert_eq!(all(&account, Some("old")), "/shared/comment=in");
        assert_eq!(all(&account, Some("INBOX")), "/shared/comment=in");
        account.delete(&name("c/b")).unwrap();
        let gone = account.annotations(Some(&name("c/b")));
        assert_eq!(gone, Err(Error::NoSuchMailbox));
        account.create(&name("c/b")).unwrap();
        assert_eq!(all(&account, Some("c/b")), "");
        let refused = set(&account, Some("none"), &[("/shared/x", Some("x"))]);
        assert_eq!(refused, Err(Error::NoSuchMailbox));
    }

    #[test]
    fn limits_leave_all_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits {
            metadata_entries: 2,
            metadata_octets: 3,
            ..Limits::default()
        };
        let host = Host::with(crate::index::Index::memory().unwrap(), limits);
        let account = host.account("u", directory.path()).unwrap();
        set(&account, None, &[("/shared/a", Some("abc"))]).unwrap();
        let long = [("/shared/a", None), ("/shared/b", Some("abcd"))];
        assert_eq!(set(&account, None, &long), Err(Error::EntryTooLong(3)));
        let many = [("/shared/b", Some("")), ("/shared/c", Some(""))];
        assert_eq!(set(&account, None, &many), Err(Error::TooManyEntries));
        let own = set(&account, None, &[("/shared/admin", Some("me"))]);
        assert!(matches!(own, Err(Error::Cannot(_))));
        assert_eq!(all(&account, None), "/shared/a=abc");
        // The last value of an entry counts; what goes makes room.
        let swap = [
            ("/shared/a", None),
            ("/shared/b", Some("1")),
            ("/shared/b", Some("2")),
        ];
        set(&account, None, &swap).unwrap();
        assert_eq!(all(&account, None), "/shared/b=2");
        set(&account, Some("INBOX"), &[("/shared/admin", Some("me"))]).unwrap();
    }
}
