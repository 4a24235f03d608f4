//! Mailboxes whose directories Dovecot named by their GUIDs (LAYOUT=index): `mailboxes/<GUID>` has what
//! `mailboxes/<name>/dbox-Mails` has elsewhere, and `dovecot.list.index` says what they are called.

use super::layout::{MAILBOXES, MAILS};
use super::mailboxes::storage_names;
use crate::mail::Guid;
use crate::store::side::disk;
use crate::store::{Error, dovecot};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory with the messages of a mailbox.
pub(super) struct Found {
    /// Where it lies, or is to lie, below the directory of all.
    pub(super) storage: Vec<u8>,
    pub(super) directory: PathBuf,
}

/// All mailboxes that are there, by both layouts, sorted. What is in the way is told.
pub(super) fn found(root: &Path, obstacles: &mut Vec<String>) -> Result<Vec<Found>, Error> {
    let names = storage_names(root)?.into_iter();
    let names = names.filter(|storage| Guid::parse(storage).is_none());
    let named = names.map(|storage| Found {
        directory: place(root, &storage),
        storage,
    });
    let mut all: Vec<Found> = named.collect();
    let unnamed = unnamed(root)?;
    if !unnamed.is_empty() {
        let names: HashMap<Guid, Vec<u8>> = dovecot::listed(root)?.into_iter().collect();
        for (guid, directory) in unnamed {
            let Some(storage) = names.get(&guid).cloned() else {
                obstacles.push(format!(
                    "{guid} is the GUID of a mailbox (LAYOUT=index) whose name dovecot.list.index does not tell: \
                     have Dovecot mend that first (doveadm force-resync -u USER '*')"
                ));
                continue;
            };
            all.push(Found { storage, directory });
        }
    }
    crate::mail::sort_by(&mut all, |a, b| a.storage.cmp(&b.storage));
    for (a, b) in all.iter().zip(all.iter().skip(1)) {
        if a.storage == b.storage {
            let name = String::from_utf8_lossy(&a.storage);
            let (one, other) = (a.directory.display(), b.directory.display());
            obstacles.push(format!("{name} is there twice, in {one} and {other}"));
        }
    }
    Ok(all)
}

/// Directories that are named by GUIDs.
fn unnamed(root: &Path) -> Result<Vec<(Guid, PathBuf)>, Error> {
    let entries = match fs::read_dir(root.join(MAILBOXES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let guid = Guid::parse(entry.file_name().as_bytes());
        if let Some(guid) = guid.filter(|_| entry.path().is_dir()) {
            let below = Some(entry.path().join(MAILS)).filter(|path| path.is_dir());
            found.push((guid, below.unwrap_or_else(|| entry.path())));
        }
    }
    Ok(found)
}

fn place(root: &Path, storage: &[u8]) -> PathBuf {
    let below = root.join(MAILBOXES).join(OsStr::from_bytes(storage));
    below.join(MAILS)
}

/// Gives all of them the directories of their names. Durable; one that was broken off is gone on with.
pub(super) fn name(root: &Path, all: &[Found]) -> Result<(), Error> {
    let mut renamed = false;
    for found in all {
        let place = place(root, &found.storage);
        if place == found.directory {
            continue;
        }
        let above = place.parent().unwrap_or(root);
        disk::make_tree(above)?;
        disk::rename_over(&found.directory, &place)?;
        disk::sync_directory_at(above)?;
        // That which was above it, if it is empty.
        let _ = found.directory.parent().map(disk::remove_directory);
        renamed = true;
    }
    if renamed {
        disk::sync_directory_at(&root.join(MAILBOXES))?;
    }
    Ok(())
}
