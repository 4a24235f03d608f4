//! What all handles of this process on one account share.

use super::file::MboxFile;
use super::layout::{self, MESSAGES};
use super::scratchpad::Scratchpad;
use crate::mail::MailboxName;
use crate::store::side::disk;
use crate::store::{Error, Memory};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

/// Files kept open though nobody uses them.
const MAX_IDLE: usize = 2;
/// Where Dovecot has its indexes, below the root; it takes that for no mailbox.
pub(super) const INDEXES: &str = ".imap";
/// Where side files are, in there.
pub(super) const SIDE: &str = ".dovelet";
/// Where those of mailboxes are, below that.
const MAILBOXES: &str = "mailboxes";

/// The directory of an account, and its INBOX if that is not below it.
type Place = (PathBuf, Option<PathBuf>);

static ROOTS: Mutex<Vec<(Place, Weak<Root>)>> = Mutex::new(Vec::new());
/// One of them is closed, with all its files.
static CLOSED: Condvar = Condvar::new();

pub(super) struct Root {
    pub(super) path: PathBuf,
    /// Where INBOX is, if not below the root.
    inbox: Option<PathBuf>,
    pub(super) side: PathBuf,
    boxes: Mutex<Boxes>,
    pad: Scratchpad,
    /// Whoever knows what logs said that are lost.
    memory: Mutex<Option<Arc<dyn Memory>>>,
    /// The directories are there, and what was begun is ended.
    prepared: Mutex<bool>,
}

/// Open files; used last: at the end.
pub(super) type Boxes = Vec<(MailboxName, Arc<MboxFile>)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Root {
    /// The account whose mail lies below `path`; its directories are made if they are not there.
    /// `memory` is asked where a log is lost.
    pub(super) fn open(
        path: &Path,
        inbox: Option<&Path>,
        memory: Option<Arc<dyn Memory>>,
    ) -> Result<Arc<Root>, Error> {
        let mut roots = lock(&ROOTS);
        let place: Place = (path.to_owned(), inbox.map(Path::to_owned));
        while let Some((_, known)) = roots.iter().find(|(own, _)| *own == place) {
            if let Some(root) = known.upgrade() {
                drop(roots);
                root.ask(memory);
                root.prepare()?;
                return Ok(root);
            }
            // Its logs are being written to their ends.
            roots = CLOSED.wait(roots).unwrap_or_else(PoisonError::into_inner);
        }
        let root = Arc::new(Root {
            path: path.to_owned(),
            inbox: inbox.map(Path::to_owned),
            pad: Scratchpad::new(&side(path)),
            side: side(path),
            boxes: Mutex::default(),
            memory: Mutex::new(memory),
            prepared: Mutex::default(),
        });
        roots.push((place, Arc::downgrade(&root)));
        drop(roots);
        root.prepare()?;
        Ok(root)
    }

    fn ask(&self, memory: Option<Arc<dyn Memory>>) {
        if memory.is_some() {
            *lock(&self.memory) = memory;
        }
    }

    pub(super) fn memory(&self) -> Option<Arc<dyn Memory>> {
        lock(&self.memory).clone()
    }

    fn prepare(&self) -> Result<(), Error> {
        let mut prepared = lock(&self.prepared);
        if *prepared {
            return Ok(());
        }
        disk::make_tree(&self.side)?;
        self.finish_renaming()?;
        self.finish_growth()?;
        let inbox = MailboxName::inbox();
        if !self.file(&inbox)?.exists() {
            match self.make(&inbox) {
                Ok(()) | Err(Error::MailboxExists) => {}
                Err(error) => return Err(error),
            }
        }
        *prepared = true;
        Ok(())
    }

    pub(super) fn boxes(&self) -> MutexGuard<'_, Boxes> {
        lock(&self.boxes)
    }

    /// The file with the messages of a mailbox, which need not be there.
    pub(super) fn file(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        Ok(file_at(self.place(name)?))
    }

    /// That file, or the directory of others below the mailbox.
    pub(super) fn place(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        if let Some(inbox) = self.inbox.as_ref().filter(|_| name.is_inbox()) {
            return Ok(inbox.clone());
        }
        let relative = layout::relative(name).ok_or(Error::NoSuchMailbox)?;
        Ok(self.path.join(relative))
    }

    /// The directory of the side files of a mailbox, which need not be there.
    pub(super) fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        directory(&self.path, name)
    }

    /// Where Dovecot has its index of INBOX, wherever that is.
    pub(super) fn inbox_index(&self) -> PathBuf {
        inbox_index(&self.path)
    }

    /// Where files without names are made.
    pub(super) fn scratchpad(&self) -> &Scratchpad {
        &self.pad
    }

    /// A mailbox, opened if it was not. Errors: `NoSuchMailbox`.
    pub(super) fn get(&self, name: &MailboxName) -> Result<Arc<MboxFile>, Error> {
        let mut boxes = self.boxes();
        if let Some(at) = boxes.iter().position(|(own, _)| own == name) {
            let found = boxes.remove(at);
            let file = found.1.clone();
            boxes.push(found);
            return Ok(file);
        }
        let path = self.file(name)?;
        if !path.exists() {
            return Err(Error::NoSuchMailbox);
        }
        let file = MboxFile::open(self, name, &path)?;
        let file = Arc::new(file);
        boxes.push((name.clone(), file.clone()));
        let idle = |(_, file): &(MailboxName, Arc<MboxFile>)| Arc::strong_count(file) == 1;
        while boxes.iter().filter(|open| idle(open)).count() > MAX_IDLE {
            let oldest = boxes.iter().position(idle);
            drop(oldest.map(|at| boxes.remove(at)));
        }
        Ok(file)
    }

    /// Removes what nobody finished for long.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        for entry in std::fs::read_dir(&self.side)?.flatten() {
            let (file, path) = (entry.file_name(), entry.path());
            let left = file.to_str();
            let left = left.is_some_and(|n| n.starts_with(".temp.") || n.contains(".lock."));
            if left && is_old(&path) {
                let _ = disk::remove(&path);
            }
        }
        Ok(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.boxes().clear();
        let own: *const Root = self;
        lock(&ROOTS).retain(|(_, root)| root.as_ptr() != own);
        CLOSED.notify_all();
    }
}

/// The file of messages where a mailbox is.
fn file_at(place: PathBuf) -> PathBuf {
    match place.is_dir() {
        true => layout::within(&place),
        false => place,
    }
}

/// The file of a mailbox below `root`, which need not be there.
pub(super) fn place(root: &Path, name: &MailboxName) -> Result<PathBuf, Error> {
    let relative = layout::relative(name).ok_or(Error::NoSuchMailbox)?;
    Ok(file_at(root.join(relative)))
}

/// Where Dovecot has its index of INBOX.
pub(super) fn inbox_index(root: &Path) -> PathBuf {
    root.join(INDEXES).join("INBOX")
}

/// Where Dovecot has its index of any other file of messages.
pub(super) fn index_of(file: &Path) -> PathBuf {
    let beside = file.with_file_name(INDEXES);
    file.file_name()
        .map_or(beside.clone(), |name| beside.join(name))
}

fn side(root: &Path) -> PathBuf {
    root.join(INDEXES).join(SIDE)
}

/// The directory of the side files of a mailbox below `root`, which need not be there.
pub(super) fn directory(root: &Path, name: &MailboxName) -> Result<PathBuf, Error> {
    let relative = layout::relative(name).ok_or(Error::NoSuchMailbox)?;
    let all = side(root).join(MAILBOXES);
    Ok(all.join(relative).join(MESSAGES))
}

/// True of what nobody changed for 36 hours.
fn is_old(path: &Path) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|m| m.modified());
    let age = modified.ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 36 * 3600)
}

/// Makes the names in the directory of a file durable.
pub(super) fn sync_above(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), disk::sync_directory_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn files_are_opened_again_once_they_are_closed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // Its last handle went, and it is not closed yet.
        lock(&ROOTS).push(((path.to_owned(), None), Weak::new()));
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| Root::open(path, None, None).map(drop));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!opening.is_finished());
            lock(&ROOTS).retain(|((own, _), _)| own != path);
            CLOSED.notify_all();
            opening.join().unwrap().unwrap();
        });
        assert!(lock(&ROOTS).iter().all(|((own, _), _)| own != path));
    }
}
