//! The accounts of a process: those that somebody uses, and what is remembered of others for a while,
//! so that who logs in again needs no disk.

use super::account::Inner;
use crate::config::Location;
use crate::index::AccountId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// Accounts that are remembered though nobody uses them.
const MAX_REMEMBERED: usize = 500;
/// Seconds after which the mailboxes that every account has are looked for again.
const PREPARED_FOR: i64 = 600;

/// When the mailboxes that every account has were last looked for, and for whom; locked while somebody does that: two
/// at once would make the same.
pub(super) type Prepared = Arc<Mutex<Option<(i64, Prepare)>>>;

/// What an account is made ready for; the later one is ready for the former, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Prepare {
    /// A message for INBOX.
    Inbox,
    /// Whoever looks which mailboxes there are.
    All,
}

impl Prepare {
    /// For a message to that mailbox, or to INBOX.
    pub(crate) fn of_delivery(mailbox: Option<&str>) -> Prepare {
        match mailbox {
            Some(_) => Prepare::All,
            None => Prepare::Inbox,
        }
    }
}

/// True if that need not be done now.
pub(super) fn is_recent(prepared: Option<(i64, Prepare)>, wanted: Prepare) -> bool {
    let now = crate::sys::clock::now_seconds();
    prepared.is_some_and(|(at, for_whom)| {
        for_whom >= wanted && (at..at.saturating_add(PREPARED_FOR)).contains(&now)
    })
}

/// What is known of an account.
pub(super) struct Seen {
    pub(super) id: AccountId,
    pub(super) location: Arc<Location>,
    pub(super) prepared: Prepared,
    inner: Weak<Inner>,
}

/// By the names of their users.
#[derive(Default)]
pub(super) struct Known(HashMap<String, Seen>);

impl Known {
    /// The account, if somebody uses it.
    pub(super) fn used(&self, name: &str) -> Option<Arc<Inner>> {
        self.0.get(name).and_then(|seen| seen.inner.upgrade())
    }

    /// What is known of an account whose mail lies there.
    pub(super) fn seen(&self, name: &str, location: &Location) -> Option<&Seen> {
        self.0.get(name).filter(|seen| *seen.location == *location)
    }

    pub(super) fn put(&mut self, name: &str, inner: &Arc<Inner>) {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, seen| seen.inner.strong_count() > 0);
        }
        let seen = Seen {
            id: inner.id,
            location: inner.location.clone(),
            prepared: inner.prepared.clone(),
            inner: Arc::downgrade(inner),
        };
        self.0.insert(name.to_owned(), seen);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Location;
    use crate::mailbox::host::Host;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn who_was_here_a_moment_ago_needs_no_disk() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("mail");
        let location = |root: &Path| Location {
            root: root.to_owned(),
            ..Location::default()
        };
        let here = location(&root);
        let index = crate::index::Index::memory().unwrap();
        let host = Host::with(index, crate::mailbox::Limits::default());
        let account = host.account("u", &root).unwrap();
        assert!(host.known_account("u", &here).is_none(), "not prepared");
        account.prepare().unwrap();
        let id = account.0.id;
        let again = host.known_account("u", &here).unwrap();
        assert!(Arc::ptr_eq(&account.0, &again.0));
        drop((account, again));
        (0..20).for_each(|n| drop(host.account(&n.to_string(), &root).unwrap()));
        std::fs::remove_dir_all(&root).unwrap();
        let again = host.known_account("u", &here).unwrap();
        assert_eq!(again.0.id, id);
        again.prepare().unwrap();
        assert!(!root.exists(), "it was looked for a moment ago");
        assert!(
            host.known_account("u", &location(directory.path()))
                .is_none()
        );
        *again.0.prepared.lock().unwrap() = Some((0, crate::mailbox::Prepare::All));
        assert!(host.known_account("u", &here).is_none(), "long ago");
        again.prepare().unwrap();
        assert!(root.join("cur").is_dir());
    }
}
