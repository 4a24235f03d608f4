//! The open directories of mailboxes, and what has to be synced in them.

use super::layout;
use super::store::Maildir;
use crate::config::Layout;
use crate::mail::MailboxName;
use crate::store::side::disk;
use crate::store::side::dotted::mailbox_name;
use crate::store::{Error, Place};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directories kept open by one handle.
const MAX_OPEN: usize = 2;

/// The open directories of one mailbox.
pub(super) struct Directory {
    pub(super) name: MailboxName,
    pub(super) new: Arc<OwnedFd>,
    pub(super) cur: Arc<OwnedFd>,
    /// Of `new` and `cur`.
    pub(super) unsynced: [Unsynced; 2],
}

/// What happened in a directory since its last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unsynced {
    Nothing,
    /// Names went.
    Went,
    /// Names came.
    Came,
}

impl Directory {
    pub(super) fn of(&self, place: Place) -> &Arc<OwnedFd> {
        match place {
            Place::New => &self.new,
            Place::Cur => &self.cur,
        }
    }

    pub(super) fn change(&mut self, place: Place, what: Unsynced) {
        let [new, cur] = &mut self.unsynced;
        let unsynced = match place {
            Place::New => new,
            Place::Cur => cur,
        };
        *unsynced = what.max(*unsynced);
    }

    /// Syncs what is in this state.
    pub(super) fn sync(&mut self, what: Unsynced) -> Result<(), Error> {
        for (fd, unsynced) in [&self.new, &self.cur].into_iter().zip(&mut self.unsynced) {
            if *unsynced == what {
                disk::sync_directory(fd).map_err(io::Error::from)?;
                *unsynced = Unsynced::Nothing;
            }
        }
        Ok(())
    }
}

pub(super) fn open_directory(path: &Path) -> io::Result<Arc<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Arc::new(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Makes a directory whose name is durable when it returns.
pub(super) fn make_durable_directory(path: &Path) -> io::Result<()> {
    disk::make_directory(path)?;
    path.parent().map_or(Ok(()), disk::sync_directory_at)
}

impl Maildir {
    /// The directory of staged messages, made if it is not there.
    pub(super) fn tmp(&mut self) -> Result<Arc<OwnedFd>, Error> {
        if let Some(tmp) = &self.tmp {
            return Ok(tmp.clone());
        }
        let path = self.root.join("tmp");
        let tmp = open_directory(&path)
            .or_else(|_| make_durable_directory(&path).and_then(|()| open_directory(&path)))?;
        Ok(self.tmp.insert(tmp).clone())
    }

    /// The directory of a mailbox; if there is none, that which it would have.
    pub(super) fn path(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        let path = layout::directory(&self.root, self.layout, name).ok_or(Error::NoSuchMailbox)?;
        if layout::has_one_spelling(self.layout, name) || path.exists() {
            return Ok(path);
        }
        // Other programs may have written the name in plain UTF-8, or otherwise.
        let is_named = |entry: &fs::DirEntry| {
            let file = entry.file_name();
            let storage = file.as_encoded_bytes().strip_prefix(b".");
            storage.and_then(mailbox_name).as_ref() == Some(name) && entry.path().is_dir()
        };
        if let Some(plain) = layout::plain_directory(&self.root, self.layout, name)
            && plain.is_dir()
        {
            return Ok(plain);
        }
        if self.layout == Layout::Nested {
            return Ok(path);
        }
        let mut entries = fs::read_dir(&self.root)?.flatten();
        Ok(entries.find(is_named).map_or(path, |entry| entry.path()))
    }

    /// The open directories of a mailbox; subdirectories that are missing are made.
    pub(super) fn directory(&mut self, name: &MailboxName) -> Result<&mut Directory, Error> {
        if let Some(at) = self.open.iter().position(|d| d.name == *name) {
            let last = self.open.len() - 1;
            self.open.swap(at, last);
        } else {
            let path = self.path(name)?;
            if !self.is_mailbox(&path) {
                return Err(Error::NoSuchMailbox);
            }
            let part = |part: &str| {
                let path = path.join(part);
                open_directory(&path)
                    .or_else(|_| make_durable_directory(&path).and_then(|()| open_directory(&path)))
            };
            let directory = Directory {
                name: name.clone(),
                new: part("new")?,
                cur: part("cur")?,
                unsynced: [Unsynced::Nothing; 2],
            };
            // The mailbox used longest ago is closed, but what it has to sync is synced first.
            if self.open.len() >= MAX_OPEN {
                self.sync_names()?;
                self.open.remove(0);
            }
            self.open.push(directory);
        }
        self.open.last_mut().ok_or(Error::NoSuchMailbox)
    }

    /// Closes the directories of a mailbox.
    pub(super) fn close(&mut self, name: &MailboxName) -> Result<(), Error> {
        if self.open.iter().any(|d| d.name == *name) {
            self.sync_names()?;
            self.open.retain(|d| d.name != *name);
        }
        Ok(())
    }
}
