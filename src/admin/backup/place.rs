//! The directory of a backup.

use crate::admin::console::Exit;
use crate::admin::replica::fault;
use crate::admin::visit::End;
use crate::mail::MailboxName;
use crate::store::{self, MAILDIR_PARTS, Store};
use crate::sys::regular;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

/// In its root: says that it is one, and whose.
const FILE: &str = "dovelet-backup";
const HEAD: &str = "dovelet backup 1 of ";

/// Since when a backup is there, and its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Before,
    Now,
    WithDirectory,
}

/// A backup that nobody else is at.
pub(super) struct Place {
    pub(super) store: Box<dyn Store>,
    /// Whose it is.
    pub(super) user: String,
    begun: Begun,
    _lock: File,
}

impl Place {
    /// Opens the backup of a user, or begins one where nothing is.
    pub(super) fn of(path: &Path, user: &str) -> Result<Place, End> {
        let file = path.join(FILE);
        let failed =
            |error: io::Error| End::new(Exit::Failure, format!("{}: {error}", path.display()));
        let begun = match (file.exists(), path.exists()) {
            (true, _) => Begun::Before,
            (false, true) => Begun::Now,
            (false, false) => Begun::WithDirectory,
        };
        if begun != Begun::Before {
            fs::create_dir_all(path).map_err(failed)?;
            if fs::read_dir(path).map_err(failed)?.next().is_some() {
                let what = format!(
                    "{} is not empty and no backup of dovelet's: name another directory",
                    path.display()
                );
                return Err(End::new(Exit::Failure, what));
            }
            store::replace(&file, format!("{HEAD}{user}\n").as_bytes()).map_err(fault)?;
        }
        let place = Place {
            begun,
            ..Place::open(path)?
        };
        if place.user != user {
            let what = format!("{} is a backup of {:?}", path.display(), place.user);
            return Err(End::new(Exit::Failure, what));
        }
        Ok(place)
    }

    /// Puts aside what is no file and has the name of a side file of a mailbox: nothing but the copy is lost, which is
    /// made anew. Returns lines that tell it.
    pub(super) fn put_strange_aside(&self, mailbox: &MailboxName) -> Result<Vec<String>, End> {
        let directory = self.store.directory(mailbox).map_err(fault)?;
        store::put_strange_aside(&directory).map_err(fault)
    }

    /// Takes away what was begun just now, if nothing came of it: it would count as a backup.
    pub(super) fn give_up(self) {
        let root = self.store.root();
        let names = fs::read_dir(root).and_then(|entries| {
            let names = entries.map(|entry| Ok(entry?.file_name()));
            names.collect::<io::Result<Vec<OsString>>>()
        });
        // What a store has there though it has nothing.
        let is_bare =
            |name: &OsString| name == FILE || MAILDIR_PARTS.iter().any(|part| name == part);
        if self.begun == Begun::Before || !names.is_ok_and(|names| names.iter().all(is_bare)) {
            return;
        }
        // None goes in which something is.
        let goes = |name: &&str| match fs::remove_dir(root.join(name)) {
            Err(error) => error.kind() == ErrorKind::NotFound,
            Ok(()) => true,
        };
        if MAILDIR_PARTS.iter().all(goes) && fs::remove_file(root.join(FILE)).is_ok() {
            // One that somebody made for it stays.
            let made = Some(root).filter(|_| self.begun == Begun::WithDirectory);
            let _ = made.map(fs::remove_dir);
        }
    }

    /// Opens a backup, whosever it is.
    pub(super) fn open(path: &Path) -> Result<Place, End> {
        let shown = path.display();
        let absent = |error| End::new(Exit::NoInput, format!("{shown}: no backup: {error}"));
        let file = path.join(FILE);
        let text = regular::read_text(&file).map_err(absent)?;
        let user = text
            .strip_prefix(HEAD)
            .map(|user| user.trim_end().to_owned());
        let other = || {
            End::new(
                Exit::NoInput,
                format!("{shown}: no backup that is known here"),
            )
        };
        let user = user.ok_or_else(other)?;
        let lock = regular::open(&file).map_err(absent)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("{shown}: somebody is at this backup already");
                return Err(End::new(Exit::TryAgain, what));
            }
            Err(TryLockError::Error(error)) => return Err(absent(error)),
        }
        Ok(Place {
            store: store::open_backup(path).map_err(fault)?,
            user,
            begun: Begun::Before,
            _lock: lock,
        })
    }
}
