//! The first mailboxes of an account.

use super::disk;
use crate::mail::MailboxName;
use crate::store::{Error, Store};
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// There while the first mailboxes are made.
const UNFINISHED: &str = "dovelet-unfinished";

/// See [`Store::furnish`].
pub(crate) fn furnish(
    store: &mut dyn Store,
    root: &Path,
    names: &[MailboxName],
) -> Result<(), Error> {
    let unfinished = root.join(UNFINISHED);
    if !unfinished.exists() {
        if store.mailboxes()?.len() > 1 {
            return Ok(());
        }
        // It is empty, so that two who make it at once do not disturb each other.
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        disk::create(&unfinished, &options)?;
        disk::sync_directory_at(root)?;
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
    match disk::remove(&unfinished) {
        // Another process was at it too.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(disk::sync_directory_at(root)?)
}
