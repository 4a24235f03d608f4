//! What a test hears of every change that the stores of its thread make to the disk.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An inode number. It may be used again when the file is gone.
pub(crate) type Inode = u64;

#[derive(Debug)]
pub(crate) enum Event {
    /// A new file or directory has this name.
    Created {
        directory: Inode,
        name: String,
        inode: Inode,
        is_directory: bool,
    },
    /// A known file has one more name.
    Linked {
        directory: Inode,
        name: String,
        inode: Inode,
    },
    Removed {
        directory: Inode,
        name: String,
    },
    Moved {
        from: (Inode, String),
        to: (Inode, String),
    },
    /// These bytes and this time (seconds since 1970) of a file are durable.
    Synced {
        inode: Inode,
        bytes: Vec<u8>,
        modified: i64,
    },
    DirectorySynced {
        directory: Inode,
    },
}

type Listener = Box<dyn FnMut(Event)>;

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// From now on `listener` hears of every change; `None`: nobody does.
pub(crate) fn listen(listener: Option<Listener>) {
    LISTENER.with(|own| *own.borrow_mut() = listener);
}

fn is_heard() -> bool {
    LISTENER.with(|listener| listener.borrow().is_some())
}

fn tell(event: impl FnOnce() -> Event) {
    LISTENER.with(|listener| {
        if let Some(listener) = listener.borrow_mut().as_mut() {
            listener(event());
        }
    });
}

fn inode(file: impl AsFd) -> Inode {
    rustix::fs::fstat(file).unwrap().st_ino
}

fn inode_of(directory: &OwnedFd, name: &str) -> Inode {
    stat_of(directory, name).st_ino
}

fn stat_of(directory: &OwnedFd, name: &str) -> rustix::fs::Stat {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).unwrap()
}

fn split(path: &Path) -> (OwnedFd, String) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path.parent().unwrap(), flags, Mode::empty()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    (directory, name.to_owned())
}

pub(super) fn created(directory: &OwnedFd, name: &str) {
    tell(|| {
        let stat = stat_of(directory, name);
        Event::Created {
            directory: inode(directory),
            name: name.to_owned(),
            inode: stat.st_ino,
            is_directory: rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir(),
        }
    });
}

/// A new directory, or a file that may also have been there and was opened to be written anew.
pub(super) fn created_at(path: &Path) {
    if is_heard() {
        let (directory, name) = split(path);
        created(&directory, &name);
    }
}

pub(super) fn linked(directory: &OwnedFd, name: &str) {
    tell(|| Event::Linked {
        directory: inode(directory),
        name: name.to_owned(),
        inode: inode_of(directory, name),
    });
}

pub(super) fn removed(directory: &OwnedFd, name: &str) {
    tell(|| Event::Removed {
        directory: inode(directory),
        name: name.to_owned(),
    });
}

pub(super) fn removed_at(path: &Path) {
    tell(|| {
        let (directory, name) = split(path);
        Event::Removed {
            directory: inode(&directory),
            name,
        }
    });
}

pub(super) fn moved(from: &OwnedFd, old: &str, to: &OwnedFd, new: &str) {
    tell(|| Event::Moved {
        from: (inode(from), old.to_owned()),
        to: (inode(to), new.to_owned()),
    });
}

pub(super) fn moved_at(old: &Path, new: &Path) {
    tell(|| {
        let ((from, old), (to, new)) = (split(old), split(new));
        Event::Moved {
            from: (inode(&from), old),
            to: (inode(&to), new),
        }
    });
}

pub(super) fn synced(file: &File) {
    tell(|| {
        let stat = rustix::fs::fstat(file).unwrap();
        let length = usize::try_from(stat.st_size).unwrap();
        let mut bytes = vec![0; length];
        // Some are open for writing only.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        File::open(path)
            .unwrap()
            .read_exact_at(&mut bytes, 0)
            .unwrap();
        Event::Synced {
            inode: stat.st_ino,
            bytes,
            modified: stat.st_mtime,
        }
    });
}

pub(super) fn directory_synced(directory: &OwnedFd) {
    tell(|| Event::DirectorySynced {
        directory: inode(directory),
    });
}
