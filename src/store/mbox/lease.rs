//! A file of messages that is open, and the locks on it that keep other programs away. Before it is
//! changed, `FILE.lock` is taken, then a lock of fcntl(2), then one of flock(2): the order of Dovecot with
//! `mbox_write_locks = dotlock fcntl flock`. Who reads has a shared lock of fcntl(2) alone.

use super::stat::Stat;
use crate::store::Error;
use crate::store::side::lock::DotLock;
use crate::sys::record_lock::{RecordLock, try_record_lock};
use crate::sys::regular;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait for a program that holds a lock of the file.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// How long to wait with the first of the locks for the second, and then without.
const MOMENT: Duration = Duration::from_millis(100);
const YIELD: Duration = Duration::from_millis(70);

/// An open file, as all handles of this process have it.
pub(super) struct Opened {
    pub(super) file: File,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Messages that are read from it.
    readers: usize,
    writing: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

/// Keeps the file from being written anew, by this process and by others.
#[derive(Debug)]
pub(crate) struct Lease {
    opened: Arc<Opened>,
}

impl Lease {
    pub(crate) fn file(&self) -> &File {
        &self.opened.file
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.opened.held();
        held.readers = held.readers.saturating_sub(1);
        if held.readers == 0 && !held.writing {
            let _ = try_record_lock(&self.opened.file, RecordLock::Open);
        }
    }
}

/// The right to change the file, given up when dropped.
pub(super) struct Writing {
    opened: Arc<Opened>,
    _dot: Option<DotLock>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut held = self.opened.held();
        held.writing = false;
        let back = match held.readers {
            0 => RecordLock::Open,
            _ => RecordLock::Shared,
        };
        let _ = rustix::fs::flock(&self.opened.file, FlockOperation::Unlock);
        let _ = try_record_lock(&self.opened.file, back);
    }
}

impl Opened {
    /// Errors: `NoSuchMailbox` if it is not there.
    pub(super) fn open(path: &Path) -> Result<Arc<Opened>, Error> {
        let opened = regular::open_both(path);
        let file = match opened {
            // A mailbox that may only be read.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => regular::open(path),
            other => other,
        };
        match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchMailbox),
            file => Ok(Arc::new(Opened {
                file: file?,
                held: Mutex::default(),
            })),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if messages are read from it just now.
    pub(super) fn is_read(&self) -> bool {
        self.held().readers > 0
    }

    /// Keeps others from changing it.
    pub(super) fn read(self: &Arc<Self>) -> Result<Lease, Error> {
        let mut held = self.held();
        if held.readers == 0 && !held.writing {
            wait(PATIENCE, || try_record_lock(&self.file, RecordLock::Shared))?;
        }
        held.readers += 1;
        Ok(Lease {
            opened: self.clone(),
        })
    }

    /// Keeps others from reading and changing it. The caller sees to it that this process does so once at
    /// a time. Errors: `Locked` if somebody else holds a lock for ten seconds.
    pub(super) fn write(self: &Arc<Self>, path: &Path) -> Result<Writing, Error> {
        let mut waited = Duration::ZERO;
        let writing = loop {
            if let Some(writing) = self.try_write(path)? {
                break writing;
            }
            if waited >= PATIENCE {
                return Err(Error::Locked);
            }
            // Who reads may wait for the first of the locks with the second in its hands.
            std::thread::sleep(YIELD);
            waited += MOMENT + YIELD;
        };
        wait(PATIENCE, || {
            let locked = rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive);
            match locked {
                Err(Errno::WOULDBLOCK) => Ok(false),
                // What a network makes of it is a lock of fcntl(2) again.
                _ => Ok(true),
            }
        })?;
        Ok(writing)
    }

    /// Takes the first two locks; `None` if somebody has the second one for longer than a moment.
    fn try_write(self: &Arc<Self>, path: &Path) -> Result<Option<Writing>, Error> {
        let dot = match DotLock::take(path) {
            Ok(dot) => Some(dot),
            // Where nobody but root may make files, as in /var/mail, the other locks have to do.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => return Err(error),
        };
        let mut held = self.held();
        match wait(MOMENT, || {
            try_record_lock(&self.file, RecordLock::Exclusive)
        }) {
            Err(Error::Locked) => return Ok(None),
            other => other?,
        }
        held.writing = true;
        Ok(Some(Writing {
            opened: self.clone(),
            _dot: dot,
        }))
    }

    /// True if that is still the file of this name.
    pub(super) fn is_at(&self, path: &Path) -> Result<bool, Error> {
        let own = Stat::open(&self.file)?;
        Ok(Stat::at(path)?.is_some_and(|there| there.inode == own.inode))
    }
}

fn wait(at_most: Duration, mut take: impl FnMut() -> io::Result<bool>) -> Result<(), Error> {
    let mut waited = Duration::ZERO;
    while !take()? {
        if waited >= at_most {
            return Err(Error::Locked);
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_keeps_others_out_but_not_own_readers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inbox");
        std::fs::write(&path, "").unwrap();
        let other = Opened::open(&path).unwrap();
        let free = |lock| try_record_lock(&other.file, lock).unwrap();
        let opened = Opened::open(&path).unwrap();
        let lease = opened.read().unwrap();
        assert!(!free(RecordLock::Exclusive));
        let writing = opened.write(&path).unwrap();
        assert!(!free(RecordLock::Shared) && directory.path().join("inbox.lock").exists());
        let second = opened.read().unwrap();
        drop(lease);
        drop(writing);
        assert!(!directory.path().join("inbox.lock").exists());
        assert!(opened.is_read() && !free(RecordLock::Exclusive) && free(RecordLock::Shared));
        drop(second);
        assert!(free(RecordLock::Exclusive));
    }
}
