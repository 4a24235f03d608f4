//! Files are opened here where others may write. Whoever does may put a FIFO or a device where a file is expected, and
//! in an engine of all users one that waits for its other end would stop everybody.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// On a file it changes nothing; what else may be there is opened without waiting.
pub(crate) const NO_WAIT: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// Opens a file. Errors: `InvalidData` if it is something else, and those of open(2).
pub(crate) fn open_with(path: &Path, options: &OpenOptions) -> io::Result<File> {
    open_as(path, options, NO_WAIT)
}

/// As [`open_with`], where these options may make the file; a link is not followed.
pub(crate) fn create(path: &Path, options: &OpenOptions) -> io::Result<File> {
    open_as(path, options, NO_WAIT | OFlags::NOFOLLOW)
}

fn open_as(path: &Path, options: &OpenOptions, flags: OFlags) -> io::Result<File> {
    let flags = flags.bits().cast_signed();
    checked(options.clone().custom_flags(flags).open(path)?)
}

/// Opens a file for reading. Errors: as of [`open_with`].
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// Opens a file for reading and writing. Errors: as of [`open_with`].
pub(crate) fn open_both(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(true))
}

/// Opens a file of this directory for reading; a link is not followed. Errors: as of [`open_with`].
pub(crate) fn open_in(directory: &OwnedFd, name: &str) -> io::Result<File> {
    use rustix::fs::{Mode, openat};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | NO_WAIT;
    checked(File::from(openat(directory, name, flags, Mode::empty())?))
}

/// All octets of a file. Errors: as of [`open_with`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read`], of a text. Errors: `InvalidData` also for what is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Lets the owner of a file read and write it. Errors: `InvalidData` if it is something else, and those of
/// chmod(2).
pub(crate) fn make_readable(path: &Path) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut permissions = metadata.permissions();
    permissions.set_mode(permissions.mode() | 0o600);
    std::fs::set_permissions(path, permissions)
}

fn checked(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let why = "it is a directory, a FIFO or a device where a file should be";
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let [fifo, file, link] = ["fifo", "file", "link"].map(|n| directory.path().join(n));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut writing = OpenOptions::new();
        writing.write(true).create(true).truncate(true);
        for path in [&fifo, directory.path(), Path::new("/dev/zero")] {
            let errors = [
                open(path).unwrap_err(),
                read(path).unwrap_err(),
                read_text(path).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{path:?}");
            }
            assert!(open_both(path).is_err() && create(path, &writing).is_err());
        }
        assert_eq!(read_text(&link).unwrap(), "text");
        assert!(create(&link, &writing).is_err());
        let directory = OwnedFd::from(File::open(directory.path()).unwrap());
        assert!(open_in(&directory, "fifo").is_err() && open_in(&directory, "link").is_err());
        assert!(open_in(&directory, "file").is_ok());
    }
}
