//! A file that one at a time changes, and that is whole at any time.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file, locked until it is dropped, and whether it is new. Waits for others who change it.
pub(crate) fn lock(path: &Path) -> io::Result<(File, bool)> {
    loop {
        let existing = OpenOptions::new().read(true).write(true).open(path);
        let (file, made) = match existing {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(0o600);
                match options.open(path) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
                            let why = "a link to a file that does not exist";
                            return Err(io::Error::new(ErrorKind::NotFound, why));
                        }
                        // Someone else was quicker.
                        continue;
                    }
                    other => (other?, true),
                }
            }
            other => (other?, false),
        };
        flock(&file, FlockOperation::LockExclusive)?;
        if is_at(&file, path)? {
            return Ok((file, made));
        }
    }
}

/// As [`lock`], for a file that is there. Errors: also `WouldBlock`, while others change it.
pub(crate) fn lock_now(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    match is_at(&file, path)? {
        true => Ok(file),
        false => Err(ErrorKind::WouldBlock.into()),
    }
}

/// Whoever had the lock may have put another file in this one's place.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (held, named) = (file.metadata()?, fs::metadata(path));
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())))
}

/// Puts another text in the place of a file that is locked, durably; whoever reads it meanwhile has the old text or
/// the new one. Owner and group stay, and for others than these it is closed.
pub(crate) fn replace(path: &Path, old: &File, text: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // Left behind by someone who died; the lock says that nobody works on it.
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let written = write(&temporary, old, text).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn write(path: &Path, old: &File, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let (before, now) = (old.metadata()?, file.metadata()?);
    if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
        std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    // A group that may read it (Dovecot's, say) was given that on purpose.
    file.set_permissions(Permissions::from_mode(0o600 | (before.mode() & 0o040)))?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_wait_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(lock_now(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!path.exists());
        let (held, made) = lock(&path).unwrap();
        assert!(made);
        assert_eq!(lock_now(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        replace(&path, &held, b"text").unwrap();
        drop(held);
        let held = lock_now(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
        replace(&path, &held, b"more").unwrap();
        // What is locked is no longer what is there.
        assert!(!is_at(&held, &path).unwrap());
    }
}
