//! Which directories an engine may touch, as they were when it began: Landlock allows it those and no others that
//! have their names later, as when a disk is mounted over one, or comes back.

use crate::sys::landlock;
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use std::path::{Path, PathBuf};

/// Has a mount that no other ever is called, since Linux 6.8 (statx(2)): before that numbers are used again.
const UNIQUE_MOUNT: u32 = 0x4000;

/// A directory, whatever it is called: its device, its inode, and the mount that it was found in, 0 where the kernel
/// does not tell.
type Identity = (u32, u32, u64, u64);

/// Directories by their names.
#[derive(Default)]
pub(super) struct Standing(Vec<(PathBuf, Option<Identity>)>);

impl Standing {
    /// As they are now.
    pub(super) fn of(paths: Vec<PathBuf>) -> Standing {
        let known = paths.into_iter().map(|path| {
            let identity = identity(&path);
            (path, identity)
        });
        Standing(known.collect())
    }

    /// Those that are there.
    pub(super) fn there(&self) -> Vec<PathBuf> {
        let there = self.0.iter().filter(|(_, known)| known.is_some());
        there.map(|(path, _)| path.clone()).collect()
    }

    /// One where another directory is now, which an engine that began then may not touch. `None` on kernels without
    /// Landlock, too.
    pub(super) fn displaced(&self) -> Option<&Path> {
        let is_displaced = |path: &Path, known: &Option<Identity>| {
            let now = identity(path);
            now.is_some() && now != *known
        };
        let mut all = self.0.iter();
        let (path, _) = all.find(|(path, known)| is_displaced(path, known))?;
        (landlock::version() > 0).then_some(path)
    }
}

/// `None`: there is no directory, or nobody may look.
fn identity(path: &Path) -> Option<Identity> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
    let wanted = wanted | StatxFlags::from_bits_retain(UNIQUE_MOUNT);
    match statx(CWD, path, AtFlags::empty(), wanted) {
        Ok(told) => {
            let is_directory = FileType::from_raw_mode(told.stx_mode.into()).is_dir();
            let device = (told.stx_dev_major, told.stx_dev_minor);
            is_directory.then_some((device.0, device.1, told.stx_ino, told.stx_mnt_id))
        }
        // Kernels before 4.11, which know nothing of it, have no Landlock either: all that counts there is that it is there.
        Err(_) => path.is_dir().then_some((0, 0, 0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn another_directory_of_the_same_name_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
        fs::create_dir(&a).unwrap();
        let standing = Standing::of(vec![a.clone(), b.clone()]);
        assert_eq!(standing.there(), std::slice::from_ref(&a));
        fs::write(a.join("x"), "x").unwrap();
        assert_eq!(standing.displaced(), None);
        let told = |path: &Path| (landlock::version() > 0).then(|| path.to_owned());
        // One that was not there.
        fs::create_dir(&b).unwrap();
        assert_eq!(standing.displaced().map(Path::to_owned), told(&b));
        fs::remove_dir(&b).unwrap();
        fs::write(&b, "no directory").unwrap();
        assert_eq!(standing.displaced(), None);
        // Another one; nothing in its place is not worth a new beginning.
        fs::rename(&a, directory.path().join("away")).unwrap();
        assert_eq!(standing.displaced(), None);
        fs::create_dir(&a).unwrap();
        assert_eq!(standing.displaced().map(Path::to_owned), told(&a));
    }
}
