//! What a file of messages is, so that a change by somebody else shows.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A change makes it another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) inode: u64,
    pub(super) octets: u64,
    /// Of the last change, in nanoseconds since 1970.
    pub(super) time: i64,
}

impl Stat {
    fn of(metadata: &Metadata) -> Stat {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Stat {
            inode: metadata.ino(),
            octets: metadata.len(),
            time: seconds.saturating_add(metadata.mtime_nsec()),
        }
    }

    pub(super) fn open(file: &File) -> io::Result<Stat> {
        Ok(Stat::of(&file.metadata()?))
    }

    /// `None` if it is not there.
    pub(super) fn at(path: &Path) -> io::Result<Option<Stat>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Stat::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Gives a file that this process changed a time that no other change has: clocks of file systems go
/// in steps, in one of which somebody else may change it too.
pub(super) fn stamp(file: &File) -> io::Result<Stat> {
    let now = crate::sys::clock::now();
    let mut bytes = [0; 4];
    // Without chance, time alone has to do.
    let _ = getrandom::fill(&mut bytes);
    let odd = u64::from(u32::from_le_bytes(bytes) % 1_000_000);
    let time = UNIX_EPOCH + now - Duration::from_nanos(odd);
    file.set_modified(time)?;
    Stat::open(file)
}
