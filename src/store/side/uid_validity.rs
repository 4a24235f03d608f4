//! UIDVALIDITY, and what mailboxes are called for ever.

use super::lock::{DotLock, replace};
use super::{disk, regular};
use crate::mail::{Guid, UidValidity};
use crate::store::Error;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A UIDVALIDITY higher than any given below this root. `dovecot-uidvalidity` holds the last
/// one, and an empty file with it in its name.
pub(crate) fn next(root: &Path) -> Result<UidValidity, Error> {
    let path = root.join("dovecot-uidvalidity");
    let _lock = DotLock::take(&path)?;
    let last = regular::read_text(&path)
        .ok()
        .and_then(|t| u32::from_str_radix(t.trim(), 16).ok())
        .unwrap_or(0);
    let now = u32::try_from(crate::sys::clock::now_seconds()).unwrap_or(0);
    let next = last.saturating_add(1).max(now);
    let marker = |value: u32| root.join(format!("dovecot-uidvalidity.{value:08x}"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    disk::create(&marker(next), &options)?;
    replace(&path, format!("{next:08x}").as_bytes())?;
    let _ = disk::remove(&marker(last));
    UidValidity::new(next).ok_or(Error::Corrupt {
        what: "dovecot-uidvalidity",
    })
}

pub(crate) fn random_guid() -> Result<Guid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Corrupt {
        what: "the random number source",
    })?;
    Ok(Guid(bytes))
}
