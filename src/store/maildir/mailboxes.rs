//! Mailboxes made, renamed and removed, and what was left behind.

use super::nested::PARTS;
use super::promise;
use super::store::Maildir;
use super::uidlist::{self, Header};
use crate::config::Layout;
use crate::mail::{MailboxName, Uid};
use crate::store::Error;
use crate::store::side::disk;
use crate::store::side::dotted::mailbox_name;
use crate::store::side::lock::replace;
use crate::store::side::uid_validity::random_guid;
use crate::store::side::unique::unique;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Drafts that nobody finished for this long are removed.
const STALE_DRAFT: Duration = Duration::from_secs(36 * 3600);
/// A mailbox being removed.
const DELETED: &str = "..dovelet-deleted-";
const CREATING: &str = "..dovelet-new-";

/// True of what is a mailbox no more, or not yet.
fn is_staged(file: &OsStr) -> bool {
    let marks = [DELETED, CREATING];
    let begins = |mark: &str| file.as_encoded_bytes().starts_with(mark.as_bytes());
    marks.into_iter().any(begins)
}

/// True of the directory of a mailbox of Maildir++ that no mailbox here can be called like.
pub(super) fn is_nameless(root: &Path, file: &OsStr) -> bool {
    let storage = file.as_encoded_bytes().strip_prefix(b".");
    let nameless = storage.is_some_and(|storage| mailbox_name(storage).is_none());
    nameless && !is_staged(file) && root.join(file).join("cur").is_dir()
}

impl Maildir {
    pub(super) fn all_mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        let mut names = match self.layout {
            Layout::Dotted => self.dotted_mailboxes()?,
            Layout::Nested => self.nested_mailboxes()?,
        };
        // One mailbox can have two directories, spelled differently.
        crate::mail::sort(&mut names);
        names.dedup();
        Ok(names)
    }

    fn dotted_mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        let mut names = vec![MailboxName::inbox()];
        let mut nameless = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let file = entry.file_name();
            let bytes = file.as_encoded_bytes();
            let Some(storage) = bytes.strip_prefix(b".") else {
                continue;
            };
            let Some(name) = mailbox_name(storage) else {
                if is_nameless(&self.root, &file) {
                    nameless.push(file);
                }
                continue;
            };
            let kind = entry.file_type()?;
            // A link to a directory counts as one, as it does for Dovecot.
            if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                names.push(name);
            }
        }
        // Once, as long as they are the same.
        if let (Some(first), true) = (nameless.first(), nameless.len() != self.hidden) {
            log::warn!(
                "{}: {} of the directories there, as {}, are called like no mailbox: rename them to have their mail",
                self.root.display(),
                nameless.len(),
                first.display()
            );
        }
        self.hidden = nameless.len();
        Ok(names)
    }

    /// True if a directory is that of a mailbox.
    pub(super) fn is_mailbox(&self, path: &Path) -> bool {
        match self.layout {
            Layout::Dotted => path.is_dir(),
            Layout::Nested => path.join("cur").is_dir(),
        }
    }

    /// Where mailboxes are while they are made or removed.
    fn staging(&self) -> PathBuf {
        match self.layout {
            Layout::Dotted => self.root.clone(),
            // Elsewhere they would be mailboxes.
            Layout::Nested => self.root.join("tmp"),
        }
    }

    /// The directory of a mailbox that is to be there.
    fn new_path(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        self.path(name).map_err(|error| match error {
            Error::NoSuchMailbox => Error::Unnamable,
            other => other,
        })
    }

    pub(super) fn make_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let path = self.new_path(name)?;
        if self.is_mailbox(&path) {
            return Err(Error::MailboxExists);
        }
        let header = Header::encode(
            self.validities.next(&self.root)?,
            Uid::MIN,
            random_guid()?,
            &[],
        );
        let furnish = |path: &Path| {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true);
            disk::create(&path.join("maildirfolder"), &options)?;
            replace(&path.join(uidlist::FILE), header.as_bytes())
        };
        if self.layout == Layout::Nested {
            if path.is_dir() {
                return self.make_in_place(&path, furnish);
            }
            disk::make_tree(path.parent().unwrap_or(&self.root))?;
        }
        let staged = self
            .staging()
            .join(format!("{CREATING}{}", unique(&self.host)));
        disk::make_directory(&staged)?;
        for part in PARTS {
            disk::make_directory(&staged.join(part))?;
        }
        furnish(&staged)?;
        if let Err(error) = disk::rename_over(&staged, &path) {
            let _ = disk::remove_tree(&staged);
            return Err(taken(error));
        }
        Ok(disk::sync_directory_at(
            path.parent().unwrap_or(&self.root),
        )?)
    }

    pub(super) fn rename_mailbox(
        &mut self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), Error> {
        let (old, new) = (self.path(from)?, self.new_path(to)?);
        if self.is_mailbox(&new) {
            return Err(Error::MailboxExists);
        }
        self.open.retain(|d| d.name != *from && d.name != *to);
        if self.layout == Layout::Nested {
            return self.move_nested(&old, &new);
        }
        match disk::rename_over(&old, &new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchMailbox),
            Err(error) => Err(taken(error)),
            Ok(()) => Ok(disk::sync_directory_at(&self.root)?),
        }
    }

    pub(super) fn remove_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let path = self.path(name)?;
        self.open.retain(|d| d.name != *name);
        let hidden = self
            .staging()
            .join(format!("{DELETED}{}", unique(&self.host)));
        match self.layout {
            Layout::Nested => self.move_nested(&path, &hidden)?,
            Layout::Dotted => {
                match disk::rename_over(&path, &hidden) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Err(Error::NoSuchMailbox);
                    }
                    other => other?,
                }
                disk::sync_directory_at(&self.root)?;
            }
        }
        // What cannot be removed now is swept later.
        let _ = disk::remove_tree(&hidden);
        Ok(())
    }

    pub(super) fn sweep_away(&mut self, name: &MailboxName) -> Result<(), Error> {
        let old = |path: &Path| {
            let age = fs::symlink_metadata(path)
                .and_then(|m| m.modified())
                .ok()
                .and_then(|m| m.elapsed().ok());
            age.is_some_and(|age| age > STALE_DRAFT)
        };
        let tmp = self.path(name)?.join("tmp");
        for entry in fs::read_dir(&tmp).into_iter().flatten().flatten() {
            let promise = promise::is_one(entry.file_name().as_encoded_bytes());
            if !promise && old(&entry.path()) {
                let _ = disk::remove(&entry.path());
            }
        }
        let staging = Some(self.staging()).filter(|path| *path != self.root);
        let staging = staging.and_then(|path| fs::read_dir(path).ok());
        let entries = fs::read_dir(&self.root)?.chain(staging.into_iter().flatten());
        for entry in entries.flatten() {
            let file = entry.file_name();
            let left = |mark: &str| file.as_encoded_bytes().starts_with(mark.as_bytes());
            if left(DELETED) || (left(CREATING) && old(&entry.path())) {
                let _ = disk::remove_tree(&entry.path());
            }
            let lock = file.to_str().is_some_and(|name| name.contains(".lock."));
            if lock && old(&entry.path()) {
                let _ = disk::remove(&entry.path());
            }
        }
        Ok(())
    }
}

/// Of a directory that somebody else made meanwhile.
fn taken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Error::MailboxExists,
        _ => error.into(),
    }
}
