//! Making directories where others may have written: root follows no link of theirs and changes
//! nothing that it has not made. What is made here is durable: mail that is acknowledged lies below it.

use super::accounts::Identity;
use rustix::fs::{
    CWD, FileType, Mode, OFlags, Stat, fchmod, fchown, fstat, fsync, mkdirat, openat, readlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path};

/// Links, and directories that others made meanwhile, on one way.
const MAX_DETOURS: u32 = 40;
/// Directories that are only on the way, made where root's are; below what is trusted nobody learns
/// there who else has mail.
const ON_THE_WAY: u32 = 0o755;
const ON_THE_TRUSTED_WAY: u32 = 0o711;

/// As root: makes `path` with `mode` for `owner`, and what is missing above it. Below a directory of
/// `owner` all is made by `owner`, with no more rights than that; below one of root, by root. What
/// is below `trusted`, which exists, may belong to whoever `trusted` belongs to. What exists stays as it
/// is; what was made is durable. Errors: `PermissionDenied` where a directory belongs to anybody else or a link is not root's.
pub(crate) fn make(trusted: &Path, path: &Path, mode: u32, owner: Identity) -> io::Result<()> {
    let (start, rest, on_the_way) = match path.strip_prefix(trusted) {
        Ok(rest) => (trusted, rest, ON_THE_TRUSTED_WAY),
        Err(_) => (Path::new("/"), path, ON_THE_WAY),
    };
    // Whoever chose the beginning may have made it a link.
    let mut here = openat(CWD, start, OFlags::PATH | DIRECTORY, Mode::empty())?;
    let start = fstat(&here)?;
    let mut left: Vec<OsString> = Vec::new();
    push(&mut left, rest);
    let mut detours = 0;
    while let Some(name) = left.pop() {
        let of = fstat(&here)?;
        let roots = of.st_uid == 0 || (of.st_dev, of.st_ino) == (start.st_dev, start.st_ino);
        let modes = (mode, (!left.is_empty()).then_some(on_the_way));
        let found = match openat(&here, &name, OFlags::PATH | NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => match make_one(&here, &of, roots, &name, modes, owner) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    left.push(name);
                    detours += 1;
                    None
                }
                made => {
                    let made = made?;
                    // Whose it is and who may enter, and that it is there.
                    sync(&made)?;
                    sync_path(&here)?;
                    Some(made)
                }
            },
            found => Some(found?),
        };
        if let Some(found) = found {
            let of = fstat(&found)?;
            match FileType::from_raw_mode(of.st_mode) {
                FileType::Directory => here = found,
                FileType::Symlink if roots && of.st_uid == 0 => {
                    detours += 1;
                    let target = readlinkat(&found, "", Vec::new())?;
                    let target = OsString::from_vec(target.into_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        here = openat(CWD, "/", OFlags::PATH | DIRECTORY, Mode::empty())?;
                    }
                    push(&mut left, Path::new(&target));
                }
                FileType::Symlink => return Err(denied("a link that is not root's is in the way")),
                _ => return Err(io::ErrorKind::NotADirectory.into()),
            }
        }
        if detours > MAX_DETOURS {
            return Err(Errno::LOOP.into());
        }
    }
    Ok(())
}

/// As root: makes an empty file for `owner` that nobody else may read, where all directories on the way are root's and
/// none is a link, as in `/var/mail`; elsewhere `owner` can make it. What exists stays as it is; what was made is
/// durable.
pub(crate) fn make_file(path: &Path, owner: Identity) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut here = openat(CWD, "/", OFlags::PATH | DIRECTORY, Mode::empty())?;
    let mut left = Vec::new();
    push(&mut left, above);
    while let Some(name) = left.pop() {
        let flags = OFlags::PATH | DIRECTORY | NOFOLLOW;
        here = match openat(&here, &name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            found => found?,
        };
        if fstat(&here)?.st_uid != 0 {
            return Ok(());
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | NOFOLLOW;
    let file = match openat(&here, name, flags, Mode::empty()) {
        Err(Errno::EXIST) => return Ok(()),
        made => made?,
    };
    fchown(
        &file,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )?;
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    fsync(&file)?;
    sync_path(&here)
}

/// As whoever runs this, where only the configuration leads: makes `path` with `mode`, whatever the umask
/// is, and what is missing above it with `on_the_way`. What was made is durable; what exists stays as it is.
pub(crate) fn make_own(path: &Path, mode: u32, on_the_way: u32) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.is_dir());
    let missing: Vec<&Path> = missing.filter(|above| *above != Path::new("")).collect();
    for (left, one) in missing.iter().enumerate().rev() {
        let mode = if left == 0 { mode } else { on_the_way };
        match DirBuilder::new().mode(mode).create(one) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && one.is_dir() => {}
            made => made?,
        }
        if left == 0 {
            fs::set_permissions(one, Permissions::from_mode(mode))?;
        }
        let above = one.parent().filter(|above| *above != Path::new(""));
        let flags = OFlags::PATH | DIRECTORY;
        sync_path(openat(
            CWD,
            above.unwrap_or(Path::new(".")),
            flags,
            Mode::empty(),
        )?)?;
    }
    Ok(())
}

/// Makes the names in a directory durable of which there is only a path. A server of files that keeps
/// root from reading it does that by itself.
fn sync_path(directory: impl AsFd) -> io::Result<()> {
    match openat(directory, ".", OFlags::RDONLY | DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => Ok(()),
        opened => sync(&opened?),
    }
}

fn sync(directory: &OwnedFd) -> io::Result<()> {
    fsync(directory)?;
    #[cfg(test)]
    tests::note(directory);
    Ok(())
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
const NOFOLLOW: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// The components of `path` on top of the stack, the first one uppermost.
fn push(left: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let names: Vec<OsString> = names.collect();
    left.extend(names.into_iter().rev());
}

fn denied(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// Makes one directory in `here`, which is root's (`roots`) or the owner's; `on_the_way`: the mode of one
/// that only leads there, if it is root's.
fn make_one(
    here: &OwnedFd,
    of: &Stat,
    roots: bool,
    name: &OsStr,
    (mode, on_the_way): (u32, Option<u32>),
    owner: Identity,
) -> io::Result<OwnedFd> {
    if of.st_uid == owner.uid {
        let _acting = Acting::begin(owner)?;
        return made(here, name, mode, owner.uid);
    }
    let mode_of_parent = Mode::from_raw_mode(of.st_mode);
    if !roots {
        return Err(denied("it is in a directory of another user"));
    }
    // Whoever can take away what root makes could put something else there.
    if mode_of_parent.contains(Mode::WOTH) && !mode_of_parent.contains(Mode::SVTX) {
        return Err(denied("it is in a directory that everybody may write"));
    }
    let own = rustix::process::geteuid().as_raw();
    if let Some(mode) = on_the_way {
        return made(here, name, mode, own);
    }
    let directory = made(here, name, mode, own)?;
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    fchown(&directory, Some(uid), Some(gid))?;
    Ok(directory)
}

/// The directory that was made, with the mode whatever the umask is.
fn made(here: impl AsFd, name: &OsStr, mode: u32, uid: u32) -> io::Result<OwnedFd> {
    mkdirat(&here, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | NOFOLLOW;
    let directory = openat(&here, name, flags, Mode::empty())?;
    if fstat(&directory)?.st_uid != uid {
        return Err(denied("another one took its place"));
    }
    fchmod(&directory, Mode::from_raw_mode(mode))?;
    Ok(directory)
}

/// While it lives, this thread has no more rights to files than this user (credentials(7)).
struct Acting {
    own: Identity,
}

impl Acting {
    fn begin(identity: Identity) -> io::Result<Acting> {
        let acting = Acting {
            own: Identity::own(),
        };
        // The group first: it takes rights that go with the user.
        match become_for_files(identity.gid, identity.uid, true) {
            true => Ok(acting),
            false => Err(denied("the rights of its owner cannot be taken")),
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        become_for_files(self.own.gid, self.own.uid, false);
    }
}

/// True if both took effect.
fn become_for_files(gid: u32, uid: u32, group_first: bool) -> bool {
    // SAFETY: system calls with numbers that change the rights of this thread alone.
    unsafe {
        if group_first {
            libc::setfsgid(gid);
        }
        libc::setfsuid(uid);
        if !group_first {
            libc::setfsgid(gid);
        }
        // Both return what was before; a number that cannot be changes nothing.
        let (now_uid, now_gid) = (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX));
        u32::try_from(now_uid) == Ok(uid) && u32::try_from(now_gid) == Ok(gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    thread_local! {
        /// Inodes of directories that were synced.
        static SYNCED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(directory: &OwnedFd) {
        let inode = fstat(directory).unwrap().st_ino;
        SYNCED.with_borrow_mut(|synced| synced.push(inode));
    }

    /// Asserts that this directory and those above it up to `top` are durable in it, and forgets.
    fn durable_below(path: &Path, top: &Path) {
        let synced = SYNCED.take();
        let above = path.ancestors().skip(1);
        for directory in above.take_while(|above| above.starts_with(top)) {
            let inode = fs::metadata(directory).unwrap().ino();
            assert!(synced.contains(&inode), "{directory:?} was not synced");
        }
    }

    #[test]
    fn what_it_makes_for_itself_is_durable() {
        let all = tempfile::tempdir().unwrap();
        let path = all.path().join("data/mail/ann");
        make_own(&path, 0o700, 0o711).unwrap();
        assert_eq!(of(&path).2, 0o700);
        durable_below(&path, all.path());
        make_own(&path, 0o755, 0o711).unwrap();
        assert_eq!(of(&path).2, 0o700);
        fs::write(all.path().join("file"), "").unwrap();
        assert!(make_own(&all.path().join("file"), 0o700, 0o711).is_err());
        assert!(make_own(&all.path().join("file/x"), 0o700, 0o711).is_err());
    }

    const ANN: Identity = Identity {
        uid: 61_200,
        gid: 61_201,
    };

    /// A directory of root's with a home of `ANN`; `None` if this is not root.
    fn home() -> Option<(tempfile::TempDir, std::path::PathBuf)> {
        if !Identity::own().is_root() {
            eprintln!("skipped: only root can give directories away");
            return None;
        }
        let all = tempfile::tempdir().unwrap();
        fs::set_permissions(all.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = all.path().join("ann");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(ANN.uid), Some(ANN.gid)).unwrap();
        Some((all, home))
    }

    fn of(path: &Path) -> (u32, u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    #[test]
    fn a_link_of_the_user_leads_nowhere() {
        // Root gave the target of a link in a user's home to that user.
        let Some((all, home)) = home() else { return };
        let secret = all.path().join("secret");
        fs::write(&secret, "x").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let closed = all.path().join("closed");
        fs::create_dir(&closed).unwrap();
        symlink(&secret, home.join("file")).unwrap();
        symlink(&closed, home.join("directory")).unwrap();
        symlink(all.path().join("new"), home.join("dangling")).unwrap();
        let before = (of(&secret), of(&closed));
        for way in ["file", "directory/Maildir", "dangling", "dangling/Maildir"] {
            let path = home.join(way);
            let error = make(Path::new("/data"), &path, 0o700, ANN).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{way}");
        }
        assert_eq!((of(&secret), of(&closed)), before);
        assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
        assert!(!all.path().join("new").exists());
        assert_eq!(fs::read_dir(all.path()).unwrap().count(), 3);
    }

    #[test]
    fn below_a_home_its_user_makes_all() {
        let Some((all, home)) = home() else { return };
        let path = home.join("mail/Maildir");
        make(Path::new("/data"), &path, 0o700, ANN).unwrap();
        assert_eq!(of(&path), (ANN.uid, ANN.gid, 0o700));
        assert_eq!(of(path.parent().unwrap()), (ANN.uid, ANN.gid, 0o700));
        // A power cut took the Maildir of a new user with a message that was acknowledged.
        durable_below(&path, &home);
        // Rights came back.
        fs::write(home.join("mail/of-root"), "").unwrap();
        assert_eq!(of(&home.join("mail/of-root")).0, 0);
        // What exists stays as it is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        make(Path::new("/data"), &path, 0o700, ANN).unwrap();
        assert_eq!(of(&path).2, 0o755);
        // A directory that the user may not write: root does not help.
        fs::set_permissions(&home, fs::Permissions::from_mode(0o555)).unwrap();
        assert!(make(Path::new("/data"), &home.join("x"), 0o700, ANN).is_err());
        // Nor in a directory of somebody else.
        let other = all.path().join("bob");
        fs::create_dir(&other).unwrap();
        chown(&other, Some(61_300), Some(61_300)).unwrap();
        assert!(make(Path::new("/data"), &other.join("x"), 0o700, ANN).is_err());
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    }

    #[test]
    fn files_are_made_for_users_where_they_could_not() {
        let Some((all, home)) = home() else { return };
        let bob = Identity {
            uid: 61_300,
            gid: 61_300,
        };
        let spool = all.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let path = spool.join("ann");
        make_file(&path, ANN).unwrap();
        assert_eq!(of(&path), (ANN.uid, ANN.gid, 0o600));
        fs::write(&path, "x").unwrap();
        make_file(&path, bob).unwrap();
        assert_eq!(
            (of(&path).0, fs::read(&path).unwrap()),
            (ANN.uid, b"x".to_vec())
        );
        // Nobody gets a file by a link that is there, or by one on the way; and homes are their owners'.
        symlink("/etc/dovelet-test", spool.join("bob")).unwrap();
        make_file(&spool.join("bob"), bob).unwrap();
        symlink("spool", all.path().join("link")).unwrap();
        make_file(&all.path().join("link/cat"), bob).unwrap();
        make_file(&home.join("dog"), bob).unwrap();
        make_file(&all.path().join("none/dog"), bob).unwrap();
        assert!(!Path::new("/etc/dovelet-test").exists());
        assert!(!spool.join("cat").exists() && !home.join("dog").exists());
    }

    #[test]
    fn below_what_is_roots_or_trusted_root_makes_it() {
        let Some((all, _)) = home() else { return };
        symlink("real", all.path().join("link")).unwrap();
        fs::create_dir(all.path().join("real")).unwrap();
        let path = all.path().join("link/a/ann");
        make(Path::new("/data"), &path, 0o700, ANN).unwrap();
        let real = all.path().join("real/a");
        assert_eq!(of(&real), (0, 0, 0o755));
        assert_eq!(of(&real.join("ann")), (ANN.uid, ANN.gid, 0o700));
        durable_below(&real.join("ann"), &all.path().join("real"));
        // The data directory may be of whoever made it.
        let data = all.path().join("data");
        fs::create_dir(&data).unwrap();
        chown(&data, Some(61_300), Some(61_300)).unwrap();
        make(&data, &data.join("index/ann"), 0o700, ANN).unwrap();
        assert_eq!(of(&data.join("index/ann")), (ANN.uid, ANN.gid, 0o700));
        // Anybody could read there who has mail.
        assert_eq!(of(&data.join("index")), (0, 0, 0o711));
        // Links in a circle, and a directory that everybody may write.
        symlink("round", all.path().join("round")).unwrap();
        assert!(make(Path::new("/data"), &all.path().join("round/x"), 0o700, ANN).is_err());
        let open = all.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(make(Path::new("/data"), &open.join("x"), 0o700, ANN).is_err());
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        make(Path::new("/data"), &open.join("x"), 0o700, ANN).unwrap();
    }
}
