//! Which mailboxes there are, and what was left behind.

use super::layout::{self, MAILBOXES, MAILS};
use super::root::{CREATING, DELETED, Root};
use crate::mail::MailboxName;
use crate::store::Error;
use crate::store::side::disk;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What nobody finished for this long is removed.
const STALE: Duration = Duration::from_secs(36 * 3600);

impl Root {
    /// Every mailbox, sorted. Errors: nothing is there any more, as where the disk is not.
    pub(super) fn mailboxes(&self) -> Result<Vec<MailboxName>, Error> {
        if disk::is_empty(&self.path)? {
            return Err(Error::Io(io::ErrorKind::NotFound.into()));
        }
        let storage = storage_names(&self.path)?;
        // By another spelling nothing would be found.
        let names = storage.iter().filter_map(|storage| {
            let name = layout::mailbox_name(storage)?;
            let own = layout::storage_name(&name)?;
            (own.as_bytes() == storage.as_slice()).then_some(name)
        });
        let mut names: Vec<MailboxName> = names.collect();
        crate::mail::sort(&mut names);
        names.dedup();
        Ok(names)
    }

    /// As `mailboxes`, all that there may be messages in. Errors: `Corrupt` where a directory has the
    /// messages of a mailbox and no name that one can have here.
    pub(super) fn all_mailboxes(&self) -> Result<Vec<MailboxName>, Error> {
        for storage in storage_names(&self.path)? {
            let name = layout::mailbox_name(&storage);
            let spelt = name.as_ref().and_then(layout::storage_name);
            if spelt.is_none_or(|own| *own.as_bytes() != *storage) {
                log::error!(
                    "{}: {:?} is no name of a mailbox in modified UTF-7: rename the directory",
                    self.path.display(),
                    String::from_utf8_lossy(&storage)
                );
                return Err(Error::Corrupt {
                    what: "the name of a mailbox",
                });
            }
        }
        self.mailboxes()
    }

    /// Removes what nobody finished.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.path)?.flatten() {
            let (file, path) = (entry.file_name(), entry.path());
            let left = |mark: &str| file.as_encoded_bytes().starts_with(mark.as_bytes());
            if left(DELETED) || (left(CREATING) && is_stale(&path)) {
                let _ = disk::remove_tree(&path);
            }
            let lock = file.to_str().is_some_and(|name| name.contains(".lock."));
            if (lock || left(".temp.")) && is_stale(&path) {
                let _ = disk::remove(&path);
            }
        }
        Ok(())
    }

    /// As `sweep`, files in the directory of a mailbox whose names begin with that.
    pub(super) fn sweep_staged(&self, name: &MailboxName, prefix: &str) -> Result<(), Error> {
        for entry in fs::read_dir(self.directory(name)?)?.flatten() {
            let staged = entry.file_name();
            let staged = staged.as_encoded_bytes().starts_with(prefix.as_bytes());
            if staged && is_stale(&entry.path()) {
                let _ = disk::remove(&entry.path());
            }
        }
        Ok(())
    }
}

fn is_stale(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|m| m.modified());
    let age = modified.ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > STALE)
}

/// Where the mailboxes of an account lie below the directory of all, in no order.
pub(super) fn storage_names(root: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let mut names = Vec::new();
    // A name has few parts, so that a link to a directory above does not lead far.
    collect(&root.join(MAILBOXES), &mut Vec::new(), &mut names)?;
    Ok(names)
}

/// Adds the mailboxes below a directory, whose own name has these parts.
fn collect(
    directory: &Path,
    parts: &mut Vec<Vec<u8>>,
    names: &mut Vec<Vec<u8>>,
) -> Result<(), Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if !(kind.is_dir() || kind.is_symlink() && entry.path().is_dir()) {
            continue;
        }
        let file = entry.file_name();
        if file == MAILS {
            names.push(parts.join(&b'/'));
        // One level more than a name has, which is seen to be none then.
        } else if parts.len() <= MailboxName::MAX_DEPTH {
            parts.push(file.into_encoded_bytes());
            collect(&entry.path(), parts, names)?;
            parts.pop();
        }
    }
    Ok(())
}
