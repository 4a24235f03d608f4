//! Which mailboxes there are, and how they come, go and get other names.

use super::file::MboxFile;
use super::layout::{self, MESSAGES};
use super::root::{self, Root, sync_above};
use crate::mail::MailboxName;
use crate::store::Error;
use crate::store::side::{disk, lock};
use crate::sys::regular;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The directory that a file is to become begins with this, beside it.
const GROWING: &str = ".dovelet-grow-";
/// What the names of all files of an index of Dovecot's begin with.
const INDEX: &str = "dovecot.index";
/// The side file that says which mailbox gets which name just now.
const RENAMING: &str = "dovelet-renaming";

impl Root {
    /// Every mailbox, sorted.
    pub(super) fn mailboxes(&self) -> Result<Vec<MailboxName>, Error> {
        names(&self.path)
    }

    /// Makes a mailbox. Durable.
    pub(super) fn make(&self, name: &MailboxName) -> Result<(), Error> {
        let mut boxes = self.boxes();
        if self.file(name)?.exists() {
            return Err(Error::MailboxExists);
        }
        boxes.retain(|(own, _)| own != name);
        self.make_room(name, &mut boxes)?;
        self.forget_index(name);
        let side = self.directory(name)?;
        // What a mailbox of that name left.
        if side.exists() {
            disk::remove_tree(&side)?;
        }
        MboxFile::write_log(&side, &self.side, None)?;
        let path = self.file(name)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match disk::create(&path, &options) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::MailboxExists),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(sync_above(&path)?),
        }
    }

    /// Has directories for all above a mailbox; files of that name become one.
    fn make_room(&self, name: &MailboxName, boxes: &mut super::root::Boxes) -> Result<(), Error> {
        let mut above: Vec<MailboxName> =
            std::iter::successors(name.parent(), MailboxName::parent).collect();
        above.reverse();
        // `inbox` is a file, and what is below INBOX is in `INBOX`.
        for one in above.iter().filter(|one| !one.is_inbox()) {
            let place = self.place(one)?;
            if place.is_file() {
                grow(&place)?;
                let moved = layout::within(&place);
                let own = boxes.iter().filter(|(own, _)| own == one);
                own.for_each(|(_, file)| file.moved(&moved, None));
            }
        }
        let place = self.place(name)?;
        if let Some(above) = place.parent().filter(|above| !above.is_dir()) {
            disk::make_tree(above)?;
        }
        Ok(())
    }

    /// Renames one mailbox. Durable.
    pub(super) fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let mut boxes = self.boxes();
        if !self.file(from)?.exists() {
            return Err(Error::NoSuchMailbox);
        }
        if self.file(to)?.exists() {
            return Err(Error::MailboxExists);
        }
        self.make_room(to, &mut boxes)?;
        let said = format!("{from}\n{to}\n");
        lock::replace(&self.side.join(RENAMING), said.as_bytes())?;
        boxes.retain(|(own, _)| own != to);
        self.forget_index(from);
        self.forget_index(to);
        let moved = self.carry(from, to)?;
        for (name, file) in boxes.iter_mut().filter(|(own, _)| own == from) {
            file.moved(&moved, Some(&self.directory(to)?));
            *name = to.clone();
        }
        Ok(())
    }

    /// Removes what Dovecot knows of a mailbox of that name: it would take it for knowledge of the next one.
    fn forget_index(&self, name: &MailboxName) {
        let directory = match self.file(name) {
            Ok(_) if name.is_inbox() => self.inbox_index(),
            Ok(file) => root::index_of(&file),
            Err(_) => return,
        };
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let file = entry.file_name();
            if file.as_encoded_bytes().starts_with(INDEX.as_bytes()) {
                let _ = disk::remove(&entry.path());
            }
        }
        if disk::remove_directory(&directory).is_ok() {
            prune(&directory, &self.path);
        }
    }

    /// Does what of a renaming is not done yet; returns where the file is then. Durable.
    fn carry(&self, from: &MailboxName, to: &MailboxName) -> Result<PathBuf, Error> {
        let (old, new) = (self.directory(from)?, self.directory(to)?);
        let (file, target) = (self.file(from)?, self.file(to)?);
        if old.exists() && file.exists() {
            if new.exists() {
                disk::remove_tree(&new)?;
            }
            if let Some(above) = new.parent() {
                disk::make_tree(above)?;
            }
            disk::rename_over(&old, &new)?;
            sync_above(&new)?;
            sync_above(&old)?;
        }
        if file.exists() && !target.exists() {
            disk::rename_over(&file, &target)?;
            sync_above(&target)?;
            sync_above(&file)?;
        }
        disk::remove(&self.side.join(RENAMING))?;
        disk::sync_directory_at(&self.side)?;
        prune(&file, &self.path);
        prune(&old, &self.side);
        Ok(target)
    }

    /// Ends a renaming that was begun.
    pub(super) fn finish_renaming(&self) -> Result<(), Error> {
        let said = match regular::read_text(&self.side.join(RENAMING)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            said => said?,
        };
        let mut names = said.lines().filter_map(|line| MailboxName::new(line).ok());
        if let (Some(from), Some(to)) = (names.next(), names.next()) {
            self.carry(&from, &to)?;
        }
        Ok(())
    }

    /// Removes one mailbox. Durable.
    pub(super) fn remove(&self, name: &MailboxName) -> Result<(), Error> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let mut boxes = self.boxes();
        let (path, side) = (self.file(name)?, self.directory(name)?);
        match disk::remove(&path) {
            // What would be above it may be a file.
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
                return Err(Error::NoSuchMailbox);
            }
            removed => removed?,
        }
        boxes.retain(|(own, _)| own != name);
        sync_above(&path)?;
        self.forget_index(name);
        // Whoever makes one of that name begins anew anyway.
        let _ = disk::remove_tree(&side);
        prune(&path, &self.path);
        prune(&side, &self.side);
        Ok(())
    }

    /// Ends what made directories of files.
    pub(super) fn finish_growth(&self) -> Result<(), Error> {
        finish_growth(&self.path, MailboxName::MAX_DEPTH)
    }
}

/// Every mailbox below `root`, and INBOX, sorted.
pub(super) fn names(root: &Path) -> Result<Vec<MailboxName>, Error> {
    let mut names = vec![MailboxName::inbox()];
    collect(root, &mut Vec::new(), &mut names)?;
    crate::mail::sort(&mut names);
    names.dedup();
    Ok(names)
}

/// Removes directories above a place, as long as nothing is in them.
fn prune(place: &Path, top: &Path) {
    let above = place.ancestors().skip(1);
    for empty in above.take_while(|path| *path != top && path.starts_with(top)) {
        if disk::remove_directory(empty).is_err() {
            return;
        }
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn beside(place: &Path) -> Option<(PathBuf, String)> {
    let name = place.file_name()?.to_str()?;
    Some((
        place.with_file_name(format!("{GROWING}{name}")),
        name.to_owned(),
    ))
}

/// Makes a directory of a file, which has the file in it. Whenever this ends, the file has a name.
fn grow(place: &Path) -> Result<(), Error> {
    let (staged, name) = beside(place).ok_or(Error::NoSuchMailbox)?;
    disk::make_directory(&staged)?;
    let above = place.parent().ok_or(Error::NoSuchMailbox)?;
    let (from, to) = (open_directory(above)?, open_directory(&staged)?);
    disk::link(&from, &name, &to, MESSAGES).map_err(io::Error::from)?;
    disk::sync_directory(&to).map_err(io::Error::from)?;
    disk::sync_directory(&from).map_err(io::Error::from)?;
    disk::remove(place)?;
    disk::sync_directory(&from).map_err(io::Error::from)?;
    disk::rename_over(&staged, place)?;
    Ok(disk::sync_directory_at(above)?)
}

fn finish_growth(directory: &Path, depth: usize) -> Result<(), Error> {
    for entry in fs::read_dir(directory)?.flatten() {
        let (path, file) = (entry.path(), entry.file_name());
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let name = file.to_str().and_then(|file| file.strip_prefix(GROWING));
        let Some(name) = name else {
            if depth > 0 && layout::part(file.as_encoded_bytes()).is_some() {
                finish_growth(&path, depth - 1)?;
            }
            continue;
        };
        let place = path.with_file_name(name);
        if place.exists() {
            // It was only begun.
            disk::remove_tree(&path)?;
        } else {
            disk::rename_over(&path, &place)?;
        }
        disk::sync_directory_at(directory)?;
    }
    Ok(())
}

/// Adds the mailboxes below a directory, whose own name has these parts.
fn collect(
    directory: &Path,
    parts: &mut Vec<String>,
    names: &mut Vec<MailboxName>,
) -> Result<(), Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let Some(part) = layout::part(entry.file_name().as_encoded_bytes()) else {
            continue;
        };
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            match fs::metadata(entry.path()) {
                Ok(metadata) => kind = metadata.file_type(),
                Err(_) => continue,
            }
        }
        parts.push(part);
        let own = (kind.is_file() && !layout::is_inbox(parts))
            || kind.is_dir() && layout::within(&entry.path()).is_file();
        if own {
            names.extend(layout::mailbox_name(parts));
        }
        // A name has few parts, so that a link to a directory above does not lead far.
        if kind.is_dir() && parts.len() < MailboxName::MAX_DEPTH {
            collect(&entry.path(), parts, names)?;
        }
        parts.pop();
    }
    Ok(())
}
