//! Every change of names and bytes on the disk and every sync that a store makes, in one place: what is to
//! survive a power cut or a disk that fails is seen here, by readers and by the tests that do both.

#[cfg(test)]
use super::faults::{self, Room};
#[cfg(test)]
use super::journal;
use crate::sys::regular;
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::time::SystemTime;

/// Renames without replacing anything; where the kernel or file system cannot, the names are
/// unique anyway.
pub(crate) fn rename(from: &OwnedFd, old: &str, to: &OwnedFd, new: &str) -> rustix::io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    #[cfg(test)]
    faults::strike_name(new)?;
    match rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::NOSYS | Errno::INVAL) => rustix::fs::renameat(from, old, to, new)?,
        other => other?,
    }
    #[cfg(test)]
    journal::moved(from, old, to, new);
    Ok(())
}

/// As [`rename`] within a directory, of a name that need not be text.
pub(crate) fn rename_odd(directory: &OwnedFd, old: &[u8], new: &str) -> rustix::io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    match rustix::fs::renameat_with(directory, old, directory, new, RenameFlags::NOREPLACE) {
        Err(Errno::NOSYS | Errno::INVAL) => rustix::fs::renameat(directory, old, directory, new)?,
        other => other?,
    }
    #[cfg(test)]
    journal::moved(directory, &String::from_utf8_lossy(old), directory, new);
    Ok(())
}

/// A second name of a file.
pub(crate) fn link(from: &OwnedFd, old: &str, to: &OwnedFd, new: &str) -> rustix::io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Needed)?;
    #[cfg(test)]
    faults::strike_link()?;
    rustix::fs::linkat(from, old, to, new, AtFlags::empty())?;
    #[cfg(test)]
    journal::linked(to, new);
    Ok(())
}

pub(crate) fn unlink(directory: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
    #[cfg(test)]
    journal::removed(directory, name);
    Ok(())
}

/// Makes a file of a name that is not taken, for reading and writing.
pub(crate) fn create_in(directory: &OwnedFd, name: &str) -> rustix::io::Result<File> {
    #[cfg(test)]
    faults::strike(Room::Needed)?;
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
    #[cfg(test)]
    journal::created(directory, name);
    Ok(File::from(file))
}

/// Opens a file that these options may make. Errors: as of [`regular::open_with`].
pub(crate) fn create(path: &Path, options: &OpenOptions) -> io::Result<File> {
    #[cfg(test)]
    faults::strike(Room::Needed)?;
    let file = regular::create(path, options)?;
    #[cfg(test)]
    journal::created_at(path);
    Ok(file)
}

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    fs::remove_file(path)?;
    #[cfg(test)]
    journal::removed_at(path);
    Ok(())
}

/// Gives a file or directory another name, which replaces what has it.
pub(crate) fn rename_over(old: &Path, new: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    fs::rename(old, new)?;
    #[cfg(test)]
    journal::moved_at(old, new);
    Ok(())
}

/// Gives a file another name; `AlreadyExists` if that is taken.
pub(crate) fn place(old: &Path, new: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    use rustix::fs::CWD;
    match rustix::fs::renameat_with(CWD, old, CWD, new, RenameFlags::NOREPLACE) {
        Err(Errno::NOSYS | Errno::INVAL) => {
            fs::hard_link(old, new)?;
            fs::remove_file(old)?;
        }
        other => other?,
    }
    #[cfg(test)]
    journal::moved_at(old, new);
    Ok(())
}

/// What a new file system has by itself.
const OF_FILE_SYSTEMS: &str = "lost+found";

/// True if a directory is not there, or has nothing in it. Errors: those of opendir(3).
pub(crate) fn is_empty(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    for entry in entries {
        if entry?.file_name() != OF_FILE_SYSTEMS {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a directory that only its owner may enter; one that is there is as good.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Needed)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    #[cfg(test)]
    journal::created_at(path);
    Ok(())
}

/// Makes a directory and what is missing above it.
pub(crate) fn make_tree(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|path| !path.exists());
    for path in missing.collect::<Vec<_>>().into_iter().rev() {
        make_directory(path)?;
        // A confined process may not open what is above its own mail; who made that syncs it.
        let _ = path.parent().map(sync_directory_at);
    }
    Ok(())
}

/// Removes a directory with nothing in it.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    fs::remove_dir(path)?;
    #[cfg(test)]
    journal::removed_at(path);
    Ok(())
}

/// Removes a directory with all that is in it.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    fs::remove_dir_all(path)?;
    #[cfg(test)]
    journal::removed_at(path);
    Ok(())
}

/// Writes all these bytes at that offset.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(faults::room_for(file, at + bytes.len() as u64))?;
    file.write_all_at(bytes, at)
}

/// Writes all these bytes where the file is.
pub(crate) fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Needed)?;
    file.write_all(bytes)
}

/// Writes as `write` does, one piece after the other.
pub(crate) struct Writer<'a>(pub(crate) &'a File);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(self.0, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts a file off.
pub(crate) fn set_length(file: &File, octets: u64) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    file.set_len(octets)
}

/// Gives a file the time of its last change.
pub(crate) fn set_time(file: &File, time: SystemTime) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    file.set_modified(time)
}

/// Makes bytes and times of a file durable.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    file.sync_all()?;
    #[cfg(test)]
    journal::synced(file);
    Ok(())
}

/// Makes bytes of a file durable.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    file.sync_data()?;
    #[cfg(test)]
    journal::synced(file);
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &OwnedFd) -> rustix::io::Result<()> {
    #[cfg(test)]
    faults::strike(Room::Unneeded)?;
    rustix::fs::fsync(directory)?;
    #[cfg(test)]
    journal::directory_synced(directory);
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory_at(path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(sync_directory(&rustix::fs::open(
        path,
        flags,
        Mode::empty(),
    )?)?)
}
