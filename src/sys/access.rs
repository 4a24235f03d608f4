//! Why this process cannot use a file or directory.

use super::accounts::Identity;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Entries of a directory that are looked at.
const MAX_ENTRIES: usize = 1000;

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) path: PathBuf,
    pub(crate) uid: u32,
    pub(crate) mode: u32,
}

/// What keeps whoever this thread acts as from using `path`, a file or directory, as its own: a
/// directory above it, itself, or something directly in it. `None` where the modes of files and
/// directories do not say.
pub(crate) fn obstacle(path: &Path) -> Option<Obstacle> {
    const PASS: u32 = 1;
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    let mut above = above.into_iter().rev();
    if let Some(found) = above.find_map(|path| lacks(path, |_| PASS)) {
        return Some(found);
    }
    lacks(path, wanted).or_else(|| {
        let entries = fs::read_dir(path).ok()?.take(MAX_ENTRIES).flatten();
        let mut paths = entries.map(|entry| entry.path());
        paths.find_map(|path| lacks(&path, wanted))
    })
}

/// The rights, as three bits, to use what is one's own.
fn wanted(found: &Metadata) -> u32 {
    const READ_AND_WRITE: u32 = 6;
    const ALL: u32 = 7;
    if found.is_dir() { ALL } else { READ_AND_WRITE }
}

fn lacks(path: &Path, wanted: impl Fn(&Metadata) -> u32) -> Option<Obstacle> {
    let found = fs::metadata(path).ok()?;
    let (own, wanted) = (Identity::own(), wanted(&found));
    let (uid, mode) = (found.uid(), found.mode() & 0o7777);
    let had = if uid == own.uid {
        mode >> 6
    } else if found.gid() == own.gid {
        mode >> 3
    } else {
        mode
    };
    (!own.is_root() && had & wanted != wanted).then(|| Obstacle {
        path: path.to_owned(),
        uid,
        mode,
    })
}

/// What a person has to know who finds that `path` cannot be used; empty where nothing is known.
pub(crate) fn explanation(path: &Path) -> String {
    let Some(Obstacle { path, uid, mode }) = obstacle(path) else {
        return String::new();
    };
    let (path, own) = (path.display(), Identity::own().uid);
    let who =
        format!("{path} is of uid {uid}, mode {mode:04o}, and this process runs as uid {own}");
    let give = format!("give it away with chown -R {own}");
    match uid {
        0 => format!("{who}: {give}"),
        uid if uid == own => format!("{who}: change its mode"),
        uid => format!(
            "{who}: let engines run as uid {uid}, whose account `user` in [process] can name (or, of \
             this user alone, the uid field of the users file, with isolation = \"user\"), or {give}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn what_is_in_the_way_is_found() {
        if !Identity::own().is_root() {
            eprintln!("skipped: only root can become others");
            return;
        }
        let all = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(all.path(), 0o755);
        let mail = all.path().join("mail");
        fs::create_dir_all(mail.join("cur")).unwrap();
        let own = |path: &Path, uid| chown(path, Some(uid), Some(uid)).unwrap();
        own(&mail, 61_200);
        own(&mail.join("cur"), 61_200);
        // As root there is none.
        assert_eq!(obstacle(&mail), None);
        assert_eq!(explanation(&mail), "");
        let seen = || {
            std::thread::scope(|scope| {
                let worker = scope.spawn(|| {
                    let uid = rustix::process::Uid::from_raw(61_200);
                    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
                    (obstacle(&mail), explanation(&mail))
                });
                worker.join().unwrap()
            })
        };
        assert_eq!(seen(), (None, String::new()));
        let found = |path: &Path, uid, mode| Obstacle {
            path: path.to_owned(),
            uid,
            mode,
        };
        own(&mail.join("cur"), 61_300);
        let (obstacle, told) = seen();
        assert_eq!(obstacle, Some(found(&mail.join("cur"), 61_300, 0o755)));
        assert!(
            told.contains("run as uid 61300, whose account `user`"),
            "{told}"
        );
        assert!(told.ends_with("chown -R 61200"), "{told}");
        own(&mail, 0);
        mode(&mail, 0o700);
        let (obstacle, told) = seen();
        assert_eq!(obstacle, Some(found(&mail, 0, 0o700)));
        assert!(!told.contains("[process]"), "{told}");
        mode(all.path(), 0o700);
        assert_eq!(seen().0, Some(found(all.path(), 0, 0o700)));
    }
}
