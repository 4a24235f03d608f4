//! Room that is kept for a full disk: a file beside the index, which goes when there is no other room left. Then
//! no new mail is taken until there is room again, but what users read, mark and delete can be noted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Octets of the file: some dozen commits of the index.
const OCTETS: u64 = 512 << 10;
const PIECE: usize = 64 << 10;

#[derive(Debug, Default)]
pub(crate) struct Reserve {
    /// `None`: the index is in memory.
    path: Option<PathBuf>,
    /// The file is not there, for the disk is full.
    used: AtomicBool,
}

impl Reserve {
    /// That of an index: made if it was not there, used if there is no other room.
    pub(crate) fn beside(index: &Path) -> Reserve {
        let reserve = Reserve {
            path: Some(index.with_extension("reserve")),
            used: AtomicBool::new(false),
        };
        reserve.look();
        reserve
    }

    /// True if there is room for more than the file, or nobody can tell.
    pub(crate) fn has_room(&self) -> bool {
        let free = self.path.as_deref().and_then(free_octets);
        free.is_none_or(|free| free >= 2 * OCTETS)
    }

    /// True while no new mail may be taken.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Gives the room up; false if there is none.
    pub(crate) fn use_up(&self) -> bool {
        let Some(path) = self.path.as_ref().filter(|_| !self.is_used()) else {
            return false;
        };
        self.used.store(true, Ordering::Release);
        log::warn!(
            "the disk is full: {} is given up, and no new mail is taken",
            path.display()
        );
        fs::remove_file(path).is_ok()
    }

    /// Gives the room up if there is hardly any other: for what comes next, and frees more.
    pub(crate) fn give_way(&self) {
        let free = self.path.as_deref().and_then(free_octets);
        if free.is_some_and(|free| free < OCTETS / 2) {
            self.use_up();
        }
    }

    /// Has the file there if there is room, and not if there is none.
    pub(crate) fn look(&self) {
        let Some(path) = &self.path else {
            return;
        };
        let is_there = fs::metadata(path).is_ok_and(|file| file.len() >= OCTETS);
        let free = free_octets(path);
        match is_there {
            true => self.give_way(),
            // What was made by half helps nobody.
            false if free.is_none_or(|free| free >= 2 * OCTETS) => self.make(path),
            false => self.note_full(path),
        }
    }

    fn make(&self, path: &Path) {
        match fill(path) {
            Ok(()) => {
                if self.used.swap(false, Ordering::AcqRel) {
                    log::info!("the disk has room again: new mail is taken");
                }
            }
            Err(error) if is_full(&error) => {
                let _ = fs::remove_file(path);
                self.note_full(path);
            }
            // Without it there is less room to delete in, some day.
            Err(error) => log::warn!("{}: {error}", path.display()),
        }
    }

    fn note_full(&self, path: &Path) {
        if !self.used.swap(true, Ordering::AcqRel) {
            log::warn!("{}: the disk is full: no new mail is taken", path.display());
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    kinds.contains(&error.kind())
}

/// Not a hole: each octet is written.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let piece = vec![0; PIECE];
    for _ in 0..OCTETS / PIECE as u64 {
        file.write_all(&piece)?;
    }
    file.sync_all()
}

/// What is free for this process on the file system of a file.
fn free_octets(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path.parent()?).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_used_and_kept_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&directory.path().join("index.redb"));
        let file = directory.path().join("index.reserve");
        assert_eq!(fs::metadata(&file).unwrap().len(), OCTETS);
        assert!(!reserve.is_used());
        assert!(reserve.use_up() && reserve.is_used() && !file.exists());
        assert!(!reserve.use_up());
        reserve.look();
        assert!(!reserve.is_used() && file.exists());
        let none = Reserve::default();
        none.look();
        assert!(!none.is_used() && !none.use_up());
    }
}
