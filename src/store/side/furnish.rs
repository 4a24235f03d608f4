//! The first mailboxes of an account.

use super::disk;
use crate::mail::MailboxName;
use crate::store::{Error, Store};
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// There from when it is known that the first mailboxes are to be made until they are.
const UNFINISHED: &str = "dovelet-unfinished";

/// See [`Store::furnish`].
pub(crate) fn furnish(
    store: &mut dyn Store,
    root: &Path,
    names: &[MailboxName],
) -> Result<bool, Error> {
    if !begin(store, root)? {
        return Ok(false);
    }
    let mut there = Vec::with_capacity(names.len());
    let made = names.iter().try_for_each(|name| match store.create(name) {
        Err(error) if !matches!(error, Error::MailboxExists) => Err(error),
        _ => {
            there.push(name.clone());
            Ok(())
        }
    });
    store.subscribe_to(&there)?;
    made?;
    match disk::remove(&root.join(UNFINISHED)) {
        // Another process was at it too.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    disk::sync_directory_at(root)?;
    Ok(true)
}

/// Notes durably that the first mailboxes are to be made, if there is none but INBOX. False if they were made before.
pub(crate) fn begin(store: &mut dyn Store, root: &Path) -> Result<bool, Error> {
    let unfinished = root.join(UNFINISHED);
    if unfinished.exists() {
        return Ok(true);
    }
    if store.mailboxes()?.len() > 1 {
        return Ok(false);
    }
    // It is empty, so that two who make it at once do not disturb each other.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    disk::create(&unfinished, &options)?;
    disk::sync_directory_at(root)?;
    Ok(true)
}
