//! Whether a file system can be trusted with mail.

use std::io;
use std::path::{Path, PathBuf};

/// What a file system is called, and why mail must not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) name: &'static str,
    pub(super) unfit: Option<&'static str>,
}

/// `f_type` of statfs(2). What is not listed is unknown, and the probes decide.
const KNOWN: [(u32, &str, Option<&str>); 20] = [
    (0x794c_7630, "overlay", Some(LAYER)),
    (0x0102_1994, "tmpfs", Some(MEMORY)),
    (0x8584_58f6, "ramfs", Some(MEMORY)),
    (0x0000_72b6, "jffs2", Some(FLASH)),
    (0x2405_1905, "ubifs", Some(FLASH)),
    (0x7371_7368, "squashfs", Some(READ_ONLY)),
    (0xe0f5_e1e2, "erofs", Some(READ_ONLY)),
    (0x28cd_3d45, "cramfs", Some(READ_ONLY)),
    (0x0000_9660, "iso9660", Some(READ_ONLY)),
    (0x0000_4d44, "vfat", Some(NAMES)),
    (0x2011_bab0, "exfat", Some(NAMES)),
    (0x0000_ef53, "ext2/ext3/ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683e, "btrfs", None),
    (0x2fc1_2fc1, "zfs", None),
    (0xf2f5_2010, "f2fs", None),
    (0xca45_1a4e, "bcachefs", None),
    (0x7366_746e, "ntfs3", None),
    (0x0000_6969, "nfs", None),
    (0x6573_5546, "fuse", None),
];
const LAYER: &str = "what is written there lies in a layer over a read-only system: \
                     in a router's flash memory, or gone with the container";
const MEMORY: &str = "it is memory: all mail would be gone at the next start";
const FLASH: &str = "it is the flash memory of a router, which is small and wears out";
const READ_ONLY: &str = "it can only be read";
const NAMES: &str = "it knows neither the names of Maildir files nor owners";

impl FileSystem {
    /// That of an existing file or directory.
    pub(super) fn of(path: &Path) -> io::Result<FileSystem> {
        // A number of 32 bits, in a type that differs from machine to machine.
        Ok(FileSystem::named(rustix::fs::statfs(path)?.f_type as u32))
    }

    fn named(magic: u32) -> FileSystem {
        let known = KNOWN.iter().find(|(number, ..)| *number == magic);
        let (name, unfit) = known.map_or(("unknown", None), |(_, name, unfit)| (*name, *unfit));
        FileSystem { name, unfit }
    }
}

/// `path`, or the nearest directory above it that exists.
pub(super) fn existing(path: &Path) -> PathBuf {
    let mut above = path.ancestors();
    let found = above.find(|path| path.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// Why mail must not be at `path`, which need not exist yet; `None` if nothing speaks against it, or nobody knows.
pub(super) fn unfit(path: &Path) -> Option<String> {
    let kind = FileSystem::of(&existing(path)).ok()?;
    let why = kind.unfit?;
    Some(format!("{} is on {}: {why}", path.display(), kind.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        for (magic, name, fit) in [
            (0xef53, "ext2/ext3/ext4", true),
            (0x794c_7630, "overlay", false),
            (0x72b6, "jffs2", false),
            (0x2405_1905, "ubifs", false),
            (0x0102_1994, "tmpfs", false),
            (0x7371_7368, "squashfs", false),
            (0x1234_5678, "unknown", true),
        ] {
            let found = FileSystem::named(magic);
            assert_eq!((found.name, found.unfit.is_none()), (name, fit));
        }
    }

    #[test]
    fn what_does_not_exist_is_where_it_would_be() {
        assert_eq!(existing(Path::new("/dev/shm/a/b")), Path::new("/dev/shm"));
        assert!(unfit(Path::new("/dev/shm/a/b")).is_some_and(|why| why.contains("tmpfs")));
        assert_eq!(existing(Path::new("relative")), Path::new("/"));
    }
}
