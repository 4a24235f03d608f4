//! Locks on whole files (fcntl(2)), which belong to the open file and not to the process: closing
//! another descriptor of the same file does not give them up, and threads keep each other out.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// How much a lock keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordLock {
    /// Others may read.
    Shared,
    Exclusive,
    /// None any more.
    Open,
}

/// Takes, changes or gives up the lock of an open file, without waiting. False if somebody else's lock
/// is in the way; what was held before is still held then. On kernels before 3.15 the lock is one of the
/// process.
pub(crate) fn try_record_lock(file: &File, lock: RecordLock) -> io::Result<bool> {
    match set(file, lock, libc::F_OFD_SETLK) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => set(file, lock, libc::F_SETLK),
        other => other,
    }
}

fn set(file: &File, lock: RecordLock, command: libc::c_int) -> io::Result<bool> {
    let kind = match lock {
        RecordLock::Shared => libc::F_RDLCK,
        RecordLock::Exclusive => libc::F_WRLCK,
        RecordLock::Open => libc::F_UNLCK,
    };
    // SAFETY: a structure of numbers, for which zeros are a value: the whole file.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = libc::c_short::try_from(kind).unwrap_or(0);
    // SAFETY: the descriptor is open and the structure lives through the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut wanted) };
    if done == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_keep_each_other_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let (one, two) = (open(), open());
        let lock = |file: &File, lock| try_record_lock(file, lock).unwrap();
        assert!(lock(&one, RecordLock::Shared) && lock(&two, RecordLock::Shared));
        assert!(!lock(&one, RecordLock::Exclusive), "two reads");
        assert!(lock(&two, RecordLock::Open) && lock(&one, RecordLock::Exclusive));
        assert!(!lock(&two, RecordLock::Shared));
        drop(open());
        assert!(
            !lock(&two, RecordLock::Shared),
            "another descriptor was closed"
        );
        drop(one);
        assert!(lock(&two, RecordLock::Exclusive));
    }
}
