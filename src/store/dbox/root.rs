//! What all handles of this process on one account share.

use super::layout::{self, MAILBOXES, MAILS};
use super::line::{self, Contents};
use super::log::Log;
use super::missing::Arrivals;
use crate::mail::{MailboxName, Uid};
use crate::store::side::uid_validity::{self, random_guid};
use crate::store::side::{disk, scratch, strange, unique};
use crate::store::{Error, Memory};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Logs kept open though nobody uses them.
const MAX_IDLE: usize = 2;
/// What the name of a mailbox that is being made begins with, and of one that is being removed.
pub(super) const CREATING: &str = ".dovelet-new-";
pub(super) const DELETED: &str = ".dovelet-deleted-";

static ROOTS: Shared<Root> = Shared(Mutex::new(Vec::new()));

/// What all handles on one directory share, as long as there is one.
pub(super) struct Shared<T>(pub(super) Mutex<Vec<(PathBuf, Weak<T>)>>);

impl<T> Shared<T> {
    /// That of this directory; made if nobody has it.
    pub(super) fn of(&self, path: &Path, make: impl FnOnce() -> T) -> Arc<T> {
        let mut all = lock(&self.0);
        let mut known = all.iter().filter(|(own, _)| own == path);
        if let Some(one) = known.find_map(|(_, one)| one.upgrade()) {
            return one;
        }
        let one = Arc::new(make());
        all.retain(|(_, one)| one.strong_count() > 0);
        all.push((path.to_owned(), Arc::downgrade(&one)));
        one
    }
}

pub(super) struct Root {
    pub(super) path: PathBuf,
    /// Where messages of an mdbox are that were put aside.
    pub(super) alternate: Option<PathBuf>,
    /// What the log of a mailbox says that has none.
    recover: Recover,
    /// Who is asked what a log said that is gone.
    memory: Mutex<Option<Arc<dyn Memory>>>,
    logs: Mutex<Logs>,
    /// What the last file of messages tells of mailboxes whose logs were not compared with it; `None`: nobody looked.
    pub(super) arrivals: Mutex<Option<Arrivals>>,
    pub(super) host: String,
    /// The directories are there.
    prepared: Mutex<bool>,
    /// A log that was lost is made.
    mending: Mutex<()>,
    /// Of which mailboxes it was said that files of messages are gone: how many, and the first.
    gone: Mutex<BTreeMap<MailboxName, (usize, Uid)>>,
}

/// Errors: where the mailbox is another program's.
pub(super) type Recover = fn(&Root, &MailboxName) -> Result<Contents, Error>;

/// Open logs; used last: at the end.
type Logs = Vec<(MailboxName, Arc<Log>)>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Root {
    /// The account whose mail lies below `path`; its directories are made if they are not there.
    pub(super) fn open(
        path: &Path,
        alternate: Option<&Path>,
        recover: Recover,
        memory: Option<Arc<dyn Memory>>,
    ) -> Result<Arc<Root>, Error> {
        let root = ROOTS.of(path, || Root {
            path: path.to_owned(),
            alternate: alternate.map(Path::to_owned),
            recover,
            memory: Mutex::default(),
            logs: Mutex::default(),
            arrivals: Mutex::default(),
            host: unique::host(),
            prepared: Mutex::default(),
            mending: Mutex::default(),
            gone: Mutex::default(),
        });
        if memory.is_some() {
            *lock(&root.memory) = memory;
        }
        root.prepare()?;
        Ok(root)
    }

    /// Notes how many messages of a mailbox have no files, and the first of them; true if that was not so before.
    pub(super) fn note_gone(&self, name: &MailboxName, found: Option<(usize, Uid)>) -> bool {
        let mut gone = lock(&self.gone);
        let before = match found {
            Some(found) => gone.insert(name.clone(), found),
            None => gone.remove(name),
        };
        before != found
    }

    pub(super) fn memory(&self) -> Option<Arc<dyn Memory>> {
        lock(&self.memory).clone()
    }

    fn prepare(&self) -> Result<(), Error> {
        let mut prepared = lock(&self.prepared);
        if *prepared {
            return Ok(());
        }
        disk::make_tree(&self.path)?;
        let inbox = MailboxName::inbox();
        if !self.directory(&inbox)?.is_dir() {
            // Where there are messages already, its log was lost.
            let contents = (self.recover)(self, &inbox)?;
            match self.make_with(&inbox, &contents) {
                Ok(()) | Err(Error::MailboxExists) => {}
                Err(error) => return Err(error),
            }
        }
        *prepared = true;
        Ok(())
    }

    /// The directory with the log of a mailbox, which need not be there.
    pub(super) fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        let above = layout::directory(&self.path, name).ok_or(Error::NoSuchMailbox)?;
        Ok(above.join(MAILS))
    }

    /// A file without a name.
    pub(super) fn nameless(&self) -> Result<File, Error> {
        scratch::file_in(&self.path, &self.host)
    }

    /// The log of a mailbox, made if it is not there. Errors: `NoSuchMailbox`.
    pub(super) fn log(&self, name: &MailboxName) -> Result<Arc<Log>, Error> {
        let mut logs = lock(&self.logs);
        if let Some(at) = logs.iter().position(|(own, _)| own == name) {
            let found = logs.remove(at);
            let log = found.1.clone();
            logs.push(found);
            return Ok(log);
        }
        let directory = self.directory(name)?;
        let path = directory.join(line::FILE);
        strange::put_aside(&path)?;
        let Some(log) = Log::open(&path)? else {
            drop(logs);
            return self.mend(name, &directory);
        };
        let log = Arc::new(log);
        self.compare(name, &log)?;
        logs.push((name.clone(), log.clone()));
        let idle = |(_, log): &(MailboxName, Arc<Log>)| Arc::strong_count(log) == 1;
        while logs.iter().filter(|open| idle(open)).count() > MAX_IDLE {
            let ends = |own: &(MailboxName, Arc<Log>)| idle(own) && own.1.close().is_ok();
            let Some(oldest) = logs.iter().position(ends) else {
                break;
            };
            logs.remove(oldest);
        }
        Ok(log)
    }

    /// Makes durable what the logs say that are open.
    pub(super) fn sync_logs(&self) -> Result<(), Error> {
        let logs: Vec<Arc<Log>> = lock(&self.logs).iter().map(|own| own.1.clone()).collect();
        logs.iter().try_for_each(|log| log.sync())
    }

    /// Makes a log where it is gone.
    fn mend(&self, name: &MailboxName, directory: &Path) -> Result<Arc<Log>, Error> {
        let one = lock(&self.mending);
        if !directory.is_dir() {
            return Err(Error::NoSuchMailbox);
        }
        let path = directory.join(line::FILE);
        if !path.exists() {
            log::error!("{name}: {} is gone", path.display());
            Log::write(&path, &(self.recover)(self, name)?)?;
        }
        drop(one);
        self.log(name)
    }

    /// What a mailbox that is new says.
    pub(super) fn empty(&self) -> Result<Contents, Error> {
        Ok(Contents {
            known: Some((uid_validity::next(&self.path)?, random_guid()?)),
            ..Contents::default()
        })
    }

    /// Makes a mailbox. Durable.
    pub(super) fn make(&self, name: &MailboxName) -> Result<(), Error> {
        if self.directory(name)?.exists() {
            return Err(Error::MailboxExists);
        }
        self.make_with(name, &self.empty()?)
    }

    fn make_with(&self, name: &MailboxName, contents: &Contents) -> Result<(), Error> {
        let directory = self.directory(name)?;
        let staged = format!("{CREATING}{}", unique::unique(&self.host));
        let staged = self.path.join(staged);
        disk::make_directory(&staged)?;
        let made = Log::write(&staged.join(line::FILE), contents)
            .and_then(|()| self.put(&staged, &directory));
        if made.is_err() {
            let _ = disk::remove_tree(&staged);
        }
        made
    }

    /// Gives a directory this place, below directories which are made if they are not there. Durable.
    fn put(&self, staged: &Path, directory: &Path) -> Result<(), Error> {
        let above = directory.parent().unwrap_or(&self.path);
        loop {
            disk::make_tree(above)?;
            match disk::rename_over(staged, directory) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    return Err(Error::MailboxExists);
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                // What was above it went with the last mailbox there.
                Err(_) if staged.exists() => {}
                Err(_) => return Err(Error::NoSuchMailbox),
            }
        }
        disk::sync_directory_at(above)?;
        if let Some(left) = staged.parent() {
            disk::sync_directory_at(left)?;
        }
        Ok(())
    }

    /// Renames one mailbox. Durable.
    pub(super) fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let (old, new) = (self.directory(from)?, self.directory(to)?);
        if new.exists() {
            return Err(Error::MailboxExists);
        }
        let mut logs = lock(&self.logs);
        self.put(&old, &new)?;
        for (name, log) in logs.iter_mut().filter(|(name, _)| name == from) {
            log.moved(&new.join(line::FILE));
            *name = to.clone();
        }
        drop(logs);
        self.prune(&old);
        Ok(())
    }

    /// Removes one mailbox. Durable.
    pub(super) fn remove(&self, name: &MailboxName) -> Result<(), Error> {
        let directory = self.directory(name)?;
        let hidden = format!("{DELETED}{}", unique::unique(&self.host));
        let hidden = self.path.join(hidden);
        let mut logs = lock(&self.logs);
        match disk::rename_over(&directory, &hidden) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSuchMailbox);
            }
            other => other?,
        }
        logs.iter()
            .filter(|(own, _)| own == name)
            .for_each(|(_, log)| log.moved(&hidden.join(line::FILE)));
        logs.retain(|(own, _)| own != name);
        drop(logs);
        if let Some(above) = directory.parent() {
            disk::sync_directory_at(above)?;
        }
        disk::sync_directory_at(&self.path)?;
        // What cannot be removed now is swept later.
        let _ = disk::remove_tree(&hidden);
        self.prune(&directory);
        Ok(())
    }

    /// Removes directories above a mailbox that is gone, as long as nothing is in them.
    fn prune(&self, directory: &Path) {
        let top = self.path.join(MAILBOXES);
        let above = directory.ancestors().skip(1);
        for empty in above.take_while(|path| *path != top && path.starts_with(&top)) {
            if disk::remove_directory(empty).is_err() {
                return;
            }
        }
    }
}
