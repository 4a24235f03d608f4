//! Messages that go with the next sync, because they were brought to another store.
//!
//! A rename within a Maildir takes a message from where it is, so that only one of two sessions that move it at
//! once has it. What goes to another store stays until it is durable there: until then it is noted here, for all
//! handles of this process.

use super::directory::Unsynced;
use super::store::Maildir;
use crate::mail::{MailboxName, SystemFlags};
use crate::store::{BlobId, Error, Store};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Key = (PathBuf, MailboxName, Box<str>);

static GOING: Mutex<BTreeSet<Key>> = Mutex::new(BTreeSet::new());

fn all() -> MutexGuard<'static, BTreeSet<Key>> {
    GOING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(root: &Path, name: &MailboxName, blob: &BlobId) -> Key {
    (root.to_owned(), name.clone(), blob.name.clone())
}

/// A message that goes; it stays if this is dropped.
pub(super) struct Going {
    key: Key,
    blob: BlobId,
}

impl Drop for Going {
    fn drop(&mut self) {
        all().remove(&self.key);
    }
}

impl Maildir {
    /// Notes that a message goes. Errors: `NoSuchMessage` if it is going already.
    pub(super) fn note_going(&mut self, from: &MailboxName, blob: &BlobId) -> Result<(), Error> {
        let key = key(&self.root, from, blob);
        if !all().insert(key.clone()) {
            return Err(Error::NoSuchMessage);
        }
        let blob = blob.clone();
        self.going.push(Going { key, blob });
        Ok(())
    }

    /// True if the message is on its way to another store.
    pub(super) fn is_going(&self, from: &MailboxName, blob: &BlobId) -> bool {
        let all = all();
        !all.is_empty() && all.contains(&key(&self.root, from, blob))
    }

    /// Makes changes of names durable.
    pub(super) fn sync_names(&mut self) -> Result<(), Error> {
        for what in [Unsynced::Came, Unsynced::Went] {
            self.open.iter_mut().try_for_each(|d| d.sync(what))?;
        }
        Ok(())
    }

    /// Removes what was to go, whatever other programs did to its flags.
    pub(super) fn let_go(&mut self) -> Result<(), Error> {
        for going in std::mem::take(&mut self.going) {
            let (_, name, _) = &going.key;
            if self.remove(name, &going.blob)? {
                continue;
            }
            let blob = BlobId {
                flags: SystemFlags::NONE,
                ..going.blob.clone()
            };
            self.remove(name, &blob)?;
        }
        Ok(())
    }
}
