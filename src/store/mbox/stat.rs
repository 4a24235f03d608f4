//! What a file of messages is, so that a change by somebody else shows.

use crate::store::side::disk;
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
/// in steps, in one of which somebody else may change it too. Dovecot and mutt compare octets and whole seconds: within
/// a second the file only grows. What was `before` is what anybody may have seen of it last.
pub(super) fn stamp(file: &File, before: Option<Stat>) -> io::Result<Stat> {
    let now = crate::sys::clock::now();
    let mut bytes = [0; 4];
    // Without chance, time alone has to do.
    let _ = getrandom::fill(&mut bytes);
    let odd = u64::from(u32::from_le_bytes(bytes) % 1_000_000);
    let mut time = now.saturating_sub(Duration::from_nanos(odd));
    let octets = file.metadata()?.len();
    if let Some(before) = before {
        let last = u64::try_from(before.time / 1_000_000_000).unwrap_or(0);
        let first = last.saturating_add(u64::from(octets <= before.octets));
        let first = Duration::new(first, time.subsec_nanos());
        // A clock that was wrong once is not followed.
        if time < first && first - time < MOST_AHEAD {
            time = first;
        }
    }
    disk::set_time(file, UNIX_EPOCH + time)?;
    Stat::open(file)
}

/// How far the time of a file may be from that of the clock.
const MOST_AHEAD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_a_second_the_file_only_grows() {
        let file = tempfile::tempfile().unwrap();
        let mut seen = Vec::new();
        let mut last = None;
        // Back to a length that it had, too.
        for octets in [0, 0, 5, 5, 9, 5, 9, 2, 0, 9] {
            file.set_len(octets).unwrap();
            let stat = stamp(&file, last).unwrap();
            let told = (stat.octets, stat.time / 1_000_000_000);
            assert!(!seen.contains(&told), "{told:?} again: {seen:?}");
            seen.push(told);
            last = Some(stat);
        }
        let last = last.unwrap();
        let wrong = Stat {
            time: last.time + 3_600_000_000_000,
            ..last
        };
        let right = stamp(&file, Some(wrong)).unwrap();
        assert!(right.time / 1_000_000_000 <= last.time / 1_000_000_000);
    }
}
