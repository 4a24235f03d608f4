//! The file of users on disk: read whole, written whole, one change at a time.

use crate::auth::MAX_USERS_OCTETS;
use crate::sys::exclusive::{lock, replace};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::console::Failure;

/// What is in the file; nothing if it does not exist.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    match File::open(path).and_then(|file| content(&file)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(Failure::because(path.display())),
    }
}

/// Replaces the file by what `change` makes of it, durably; whoever reads it meanwhile sees the
/// old text or the new one. The file and the directories above it are made if they do not exist.
/// Owner and group stay, and for others than these it is closed. Errors leave it as it was.
pub(crate) fn edit(
    path: &Path,
    change: impl FnOnce(&[u8]) -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    let because = |error| Failure::because(path.display())(error);
    make_directory(path.parent()).map_err(because)?;
    // A link stays one: what it leads to is replaced.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (file, made) = lock(&real).map_err(because)?;
    let changed = content(&file)
        .map_err(because)
        .and_then(|text| change(&text));
    match changed {
        Ok(text) => replace(&real, &file, &text).map_err(because),
        Err(failure) => {
            if made {
                let _ = fs::remove_file(&real);
            }
            Err(failure)
        }
    }
}

/// Others may pass through, as they must where roles of the server have accounts of their own;
/// what lies inside is closed by itself.
fn make_directory(path: Option<&Path>) -> io::Result<()> {
    let Some(path) = path.filter(|path| !path.exists()) else {
        return Ok(());
    };
    crate::sys::directory::make_own(path, 0o755, 0o755)
}

fn content(file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_USERS_OCTETS + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|octets| octets > MAX_USERS_OCTETS) {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            "larger than 16 MiB: the server would not take it",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/users");
        assert_eq!(read(&path), Ok(Vec::new()));
        edit(&path, |text| Ok([text, b"ann\n"].concat())).unwrap();
        edit(&path, |text| Ok([text, b"bob\n"].concat())).unwrap();
        assert_eq!(read(&path).unwrap(), b"ann\nbob\n");
        assert_eq!(mode(&path), 0o600);
        let beside = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1);
    }

    #[test]
    fn a_link_to_nothing_is_a_failure() {
        // The lock was tried for again and again without end.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::os::unix::fs::symlink("nothing", &path).unwrap();
        assert!(edit(&path, |text| Ok(text.to_vec())).is_err());
        assert!(path.is_symlink());
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let refuse = |_: &[u8]| Err(Failure("no".to_owned()));
        assert_eq!(edit(&path, refuse), Err(Failure("no".to_owned())));
        assert!(!path.exists());
        fs::write(&path, b"ann\n").unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        assert!(edit(&path, refuse).is_err());
        assert_eq!(read(&path).unwrap(), b"ann\n");
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    }

    #[test]
    fn rights_are_kept_for_the_group_and_taken_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        for (before, after) in [
            (0o600, 0o600),
            (0o640, 0o640),
            (0o664, 0o640),
            (0o666, 0o640),
            (0o604, 0o600),
        ] {
            fs::write(&path, b"ann\n").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            edit(&path, |text| Ok(text.to_vec())).unwrap();
            assert_eq!(mode(&path), after, "{before:o}");
        }
    }

    #[test]
    fn the_owner_is_kept() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, b"").unwrap();
        std::os::unix::fs::chown(&path, Some(4711), Some(4712)).unwrap();
        edit(&path, |_| Ok(b"ann\n".to_vec())).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.uid(), after.gid()), (4711, 4712));
    }

    #[test]
    fn a_link_stays_and_a_leftover_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, b"ann\n").unwrap();
        fs::write(directory.path().join("real.new"), b"half").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        edit(&link, |_| Ok(b"bob\n".to_vec())).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"bob\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(!directory.path().join("real.new").exists());
    }

    #[test]
    fn changes_at_the_same_time_all_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..5 {
                        let line = format!("u{worker}-{n}\n");
                        edit(path, |text| Ok([text, line.as_bytes()].concat())).unwrap();
                    }
                });
            }
        });
        let text = String::from_utf8(read(&path).unwrap()).unwrap();
        let mut names: Vec<&str> = text.lines().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 40, "{text}");
    }
}
