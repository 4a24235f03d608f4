//! Mailboxes of the layout in which those below a mailbox lie in its directory.
//!
//! A directory is a mailbox if it has a `cur`. Where others lie below it, what is its own is moved piece by
//! piece; a file says from where to where until all of it is there, and whoever finds it goes on.

use super::directory::make_durable_directory;
use super::layout::{self, is_internal};
use super::store::Maildir;
use crate::config::Layout;
use crate::mail::MailboxName;
use crate::store::Error;
use crate::store::side::disk;
use crate::store::side::lock::{DotLock, replace};
use crate::sys::regular;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Says from where to where a mailbox moves, as two lines, below the root.
const MOVING: &str = "dovelet-moving";
/// What every mailbox has.
pub(super) const PARTS: [&str; 3] = ["tmp", "new", "cur"];

impl Maildir {
    /// Every directory that is a mailbox, by its name, once for each spelling.
    pub(super) fn nested_mailboxes(&self) -> Result<Vec<MailboxName>, Error> {
        let mut names = vec![MailboxName::inbox()];
        self.collect_nested((&self.root, false), &mut String::new(), &mut names)?;
        Ok(names)
    }

    /// `linked`: the directory was reached by a link.
    fn collect_nested(
        &self,
        (directory, linked): (&Path, bool),
        above: &mut String,
        names: &mut Vec<MailboxName>,
    ) -> Result<(), Error> {
        let entries = match fs::read_dir(directory) {
            // It went meanwhile, or has nothing for us.
            Err(error) if passed_over(&error) && directory != self.root => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = entry.path();
            // A link to a directory counts as one, as it does for Dovecot, if it cannot lead back here: where links
            // make a circle there would be no end of names.
            let link = kind.is_symlink();
            if !kind.is_dir() && (!link || linked || !leads_elsewhere(directory, &path)) {
                continue;
            }
            let file = entry.file_name();
            if file == "cur" && !above.is_empty() {
                let name = MailboxName::new(above).ok().filter(|name| !name.is_inbox());
                names.extend(name.filter(|name| self.is_at(name, directory)));
            }
            let Some(part) = part_name(&file).filter(|part| !is_internal(part)) else {
                continue;
            };
            let length = above.len();
            if length > 0 {
                above.push('/');
            }
            above.push_str(&part);
            // What has too many parts to be a name has none below it that is one.
            if MailboxName::new(above).is_ok() {
                self.collect_nested((&path, linked || link), above, names)?;
            }
            above.truncate(length);
        }
        Ok(())
    }

    /// True if that is one of the directories in which the mailbox is looked for.
    fn is_at(&self, name: &MailboxName, directory: &Path) -> bool {
        let own = layout::directory(&self.root, Layout::Nested, name);
        let plain = || layout::plain_directory(&self.root, Layout::Nested, name);
        own.as_deref() == Some(directory) || plain().as_deref() == Some(directory)
    }

    /// Makes a directory that is there a mailbox. `furnish` puts side files there.
    pub(super) fn make_in_place(
        &self,
        path: &Path,
        furnish: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        disk::make_directory(&path.join("tmp"))?;
        disk::make_directory(&path.join("new"))?;
        furnish(path)?;
        // It is there from now on.
        Ok(make_durable_directory(&path.join("cur"))?)
    }

    /// Gives what is a mailbox's own another place, in which no mailbox is. Durable.
    pub(super) fn move_nested(&self, old: &Path, new: &Path) -> Result<(), Error> {
        if new.join("cur").exists() {
            return Err(Error::MailboxExists);
        }
        if !old.join("cur").is_dir() {
            return Err(Error::NoSuchMailbox);
        }
        if !new.exists() && !has_others(old)? {
            let above = new.parent().unwrap_or(&self.root);
            disk::make_tree(above)?;
            disk::rename_over(old, new)?;
            disk::sync_directory_at(above)?;
        } else {
            // Only what has nothing in it makes way.
            for part in PARTS {
                match disk::remove_directory(&new.join(part)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) => return Err(Error::MailboxExists),
                    Ok(()) => {}
                }
            }
            let moving = self.root.join(MOVING);
            let _lock = DotLock::take(&moving)?;
            let below = |path: &Path| path.strip_prefix(&self.root).map(Path::to_owned);
            let (Ok(from), Ok(to)) = (below(old), below(new)) else {
                return Err(Error::NoSuchMailbox);
            };
            let lines = [from.as_os_str().as_bytes(), to.as_os_str().as_bytes()].join(&b'\n');
            replace(&moving, &lines)?;
            self.move_on(&moving, old, new)?;
        }
        if let Some(above) = old.parent() {
            disk::sync_directory_at(above)?;
        }
        self.prune(old);
        Ok(())
    }

    /// Ends what a process before this one began to move.
    pub(super) fn end_moving(&self) -> Result<(), Error> {
        let moving = self.root.join(MOVING);
        if !moving.exists() {
            return Ok(());
        }
        let _lock = DotLock::take(&moving)?;
        let text = match regular::read(&moving) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        let below = |line: &[u8]| -> Option<PathBuf> {
            let path = Path::new(OsStr::from_bytes(line));
            let normal = |part| matches!(part, std::path::Component::Normal(_));
            let safe = !line.is_empty() && path.components().all(normal);
            safe.then(|| self.root.join(path))
        };
        let mut lines = text.split(|byte| *byte == b'\n').map(below);
        let (Some(Some(old)), Some(Some(new))) = (lines.next(), lines.next()) else {
            return Err(Error::Corrupt { what: MOVING });
        };
        log::info!("{} is moved to {}", old.display(), new.display());
        self.move_on(&moving, &old, &new)?;
        self.prune(&old);
        Ok(())
    }

    /// Moves all pieces that are still in the old place. Durable.
    fn move_on(&self, moving: &Path, old: &Path, new: &Path) -> Result<(), Error> {
        disk::make_tree(new)?;
        let entries = match fs::read_dir(old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry?;
            let file = entry.file_name();
            if entry.file_type()?.is_dir() && !PARTS.iter().any(|part| file == *part) {
                continue;
            }
            match disk::rename_over(&entry.path(), &new.join(&file)) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    merge(&entry.path(), &new.join(&file))?;
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        disk::sync_directory_at(new)?;
        if old.is_dir() {
            disk::sync_directory_at(old)?;
        }
        disk::remove(moving)?;
        Ok(disk::sync_directory_at(&self.root)?)
    }

    /// Removes directories from here up, as long as nothing is in them.
    fn prune(&self, directory: &Path) {
        let up = directory.ancestors();
        for empty in up.take_while(|path| *path != self.root && path.starts_with(&self.root)) {
            let gone = match disk::remove_directory(empty) {
                Err(error) => error.kind() == io::ErrorKind::NotFound,
                Ok(()) => true,
            };
            if !gone {
                return;
            }
        }
    }
}

/// Moves all that is in one directory to another that has something already: another program was at it, or a
/// file system had one half of the move.
fn merge(old: &Path, new: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(old)? {
        let entry = entry?;
        disk::rename_over(&entry.path(), &new.join(entry.file_name()))?;
        // Two names of one file stay as they are.
        match disk::remove(&entry.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    disk::sync_directory_at(new)?;
    Ok(disk::remove_directory(old)?)
}

/// The part of a name that a directory stands for.
fn part_name(file: &OsStr) -> Option<String> {
    let text = crate::codec::mutf7::decode(file.as_bytes());
    let text = text.or_else(|| file.to_str().map(str::to_owned))?;
    (!text.contains('/') && !text.is_empty()).then_some(text)
}

/// True if a link in this directory is to another one, and not to one above.
fn leads_elsewhere(directory: &Path, link: &Path) -> bool {
    match (directory.canonicalize(), link.canonicalize()) {
        (Ok(own), Ok(other)) => other.is_dir() && !own.starts_with(other),
        _ => false,
    }
}

fn passed_over(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// True if there are directories in it that are no parts of the mailbox.
fn has_others(directory: &Path) -> Result<bool, Error> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let file = entry.file_name();
        if entry.path().is_dir() && !PARTS.iter().any(|part| file == *part) {
            return Ok(true);
        }
    }
    Ok(false)
}
