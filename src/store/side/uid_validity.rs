//! UIDVALIDITY, and what mailboxes are called for ever.

use super::disk;
use super::lock::{DotLock, replace};
use crate::mail::{Guid, UidValidity};
use crate::store::Error;
use crate::sys::regular;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// As many are reserved at a time at most.
const MAX_RESERVED: u32 = 64;

/// A UIDVALIDITY higher than any given below this root. `dovecot-uidvalidity` holds the last
/// one, and an empty file with it in its name.
pub(crate) fn next(root: &Path) -> Result<UidValidity, Error> {
    Reserved::default().next(root)
}

/// Values that the file says are given. Who needs several reserves more at a time: each writing of the file
/// is synced.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    /// The next one, and the last of those that were reserved together.
    next: u32,
    last: u32,
    count: u32,
}

impl Reserved {
    /// As [`next`].
    pub(crate) fn next(&mut self, root: &Path) -> Result<UidValidity, Error> {
        let path = root.join("dovecot-uidvalidity");
        let _lock = DotLock::take(&path)?;
        let last = regular::read_text(&path).ok();
        let last = last.and_then(|text| u32::from_str_radix(text.trim(), 16).ok());
        let last = last.unwrap_or(0);
        // Once others gave one, what is left here is not above all that were given.
        if self.next == 0 || self.next > self.last || last != self.last {
            self.reserve(root, &path, last)?;
        }
        let next = self.next;
        self.next = next.saturating_add(1);
        UidValidity::new(next).ok_or(Error::Corrupt {
            what: "dovecot-uidvalidity",
        })
    }

    fn reserve(&mut self, root: &Path, path: &Path, last: u32) -> Result<(), Error> {
        let now = u32::try_from(crate::sys::clock::now_seconds()).unwrap_or(0);
        let first = last.saturating_add(1).max(now);
        let count = self.count.saturating_mul(2).clamp(1, MAX_RESERVED);
        let new = first.saturating_add(count - 1);
        let marker = |value: u32| root.join(format!("dovecot-uidvalidity.{value:08x}"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        disk::create(&marker(new), &options)?;
        replace(path, format!("{new:08x}").as_bytes())?;
        let _ = disk::remove(&marker(last));
        *self = Reserved {
            next: first,
            last: new,
            count,
        };
        Ok(())
    }
}

pub(crate) fn random_guid() -> Result<Guid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Corrupt {
        what: "the random number source",
    })?;
    Ok(Guid(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_reserved_ascend_whoever_asks() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (mut one, mut other) = (Reserved::default(), Reserved::default());
        let mut last = 0;
        let mut times = 0;
        for round in 0..400 {
            let before = fs::metadata(root.join("dovecot-uidvalidity")).ok();
            let given = match round {
                200 => next(root),
                250..300 if round % 3 == 0 => other.next(root),
                _ => one.next(root),
            };
            let given = given.unwrap().number();
            assert!(given > last, "{round}");
            last = given;
            let after = fs::metadata(root.join("dovecot-uidvalidity")).ok();
            let inode = |file: Option<fs::Metadata>| {
                use std::os::unix::fs::MetadataExt;
                file.map(|file| file.ino())
            };
            times += u32::from(round < 200 && inode(before) != inode(after));
        }
        assert!((5..12).contains(&times), "{times} times for 200");
        let markers = fs::read_dir(root).unwrap().count();
        assert_eq!(markers, 2);
    }
}
