//! Mailboxes made, renamed and removed, and what was left behind.

use super::promise;
use super::store::Maildir;
use super::uidlist::{self, Header};
use crate::mail::{MailboxName, Uid};
use crate::store::Error;
use crate::store::side::disk;
use crate::store::side::dotted::mailbox_name;
use crate::store::side::lock::replace;
use crate::store::side::uid_validity::random_guid;
use crate::store::side::unique::unique;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Drafts that nobody finished for this long are removed.
const STALE_DRAFT: Duration = Duration::from_secs(36 * 3600);
/// A mailbox being removed.
const DELETED: &str = "..dovelet-deleted-";
const CREATING: &str = "..dovelet-new-";

impl Maildir {
    pub(super) fn all_mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        let mut names = vec![MailboxName::inbox()];
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let file = entry.file_name();
            let bytes = file.as_encoded_bytes();
            let Some(storage) = bytes.strip_prefix(b".") else {
                continue;
            };
            let Some(name) = mailbox_name(storage) else {
                continue;
            };
            let kind = entry.file_type()?;
            // A link to a directory counts as one, as it does for Dovecot.
            if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                names.push(name);
            }
        }
        // One mailbox can have two directories, spelled differently.
        crate::mail::sort(&mut names);
        names.dedup();
        Ok(names)
    }

    pub(super) fn make_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let path = self.path(name)?;
        if path.exists() {
            return Err(Error::MailboxExists);
        }
        let uid_validity = self.validities.next(&self.root)?;
        let staged = self.root.join(format!("{CREATING}{}", unique(&self.host)));
        disk::make_directory(&staged)?;
        for part in ["tmp", "new", "cur"] {
            disk::make_directory(&staged.join(part))?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        disk::create(&staged.join("maildirfolder"), &options)?;
        let header = Header::encode(uid_validity, Uid::MIN, random_guid()?, &[]);
        replace(&staged.join(uidlist::FILE), header.as_bytes())?;
        if let Err(error) = disk::rename_over(&staged, &path) {
            let _ = disk::remove_tree(&staged);
            return Err(taken(error));
        }
        Ok(disk::sync_directory_at(&self.root)?)
    }

    pub(super) fn rename_mailbox(
        &mut self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), Error> {
        let (old, new) = (self.path(from)?, self.path(to)?);
        if new.exists() {
            return Err(Error::MailboxExists);
        }
        self.open.retain(|d| d.name != *from && d.name != *to);
        match disk::rename_over(&old, &new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchMailbox),
            Err(error) => Err(taken(error)),
            Ok(()) => Ok(disk::sync_directory_at(&self.root)?),
        }
    }

    pub(super) fn remove_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let path = self.path(name)?;
        self.open.retain(|d| d.name != *name);
        let hidden = self.root.join(format!("{DELETED}{}", unique(&self.host)));
        match disk::rename_over(&path, &hidden) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSuchMailbox);
            }
            other => other?,
        }
        disk::sync_directory_at(&self.root)?;
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
        for entry in fs::read_dir(&self.root)?.flatten() {
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
