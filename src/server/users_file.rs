//! The file of users as the parent changes it: for a moment, and never while others do.

use crate::auth::MAX_USERS_OCTETS;
use crate::sys::exclusive::{lock_now, replace};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Replaces the file by what `change` makes of it, durably. False, and nothing is changed, if it makes nothing of it.
/// Errors: also `WouldBlock` while others change the file, and `FileTooLarge`.
pub(super) fn edit_now(
    path: &Path,
    change: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> io::Result<bool> {
    // A link stays one: what it leads to is replaced.
    let real = fs::canonicalize(path)?;
    let file = lock_now(&real)?;
    let mut text = Vec::new();
    let read = (&file).take(MAX_USERS_OCTETS + 1).read_to_end(&mut text)?;
    if u64::try_from(read).is_ok_and(|octets| octets > MAX_USERS_OCTETS) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    match change(&text) {
        Some(text) => replace(&real, &file, &text).map(|()| true),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_and_nothing_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let missing = edit_now(&path, |_| Some(Vec::new())).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::write(&path, "ann\n").unwrap();
        assert!(!edit_now(&path, |_| None).unwrap());
        assert!(edit_now(&path, |text| Some([text, b"bob\n"].concat())).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"ann\nbob\n");
        let _held = lock_now(&path).unwrap();
        let busy = edit_now(&path, |_| Some(Vec::new())).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::WouldBlock);
    }
}
