//! Giving directories to another owner: root gives away what the server itself has made, follows no
//! link, and changes nothing that belonged to anybody but whom it takes it from.

use super::accounts::Identity;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chownat, fchmod, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

/// Directories in one another. A name has at most 32 levels (`mail::MailboxName`), formats add some.
const MAX_DEPTH: usize = 64;
/// Files and directories of one tree: some seconds, in which whoever calls does nothing else.
const MAX_ENTRIES: u64 = 1_000_000;

/// Whose a directory is to be.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    /// Who made what is below it: an existing directory.
    pub(crate) trusted: &'a Path,
    pub(crate) owner: Identity,
    pub(crate) mode: u32,
    /// Whether all that is in it goes along.
    pub(crate) whole: bool,
    /// Whose the directories between become that were one of `former`, and their mode.
    pub(crate) way: (Identity, u32),
    /// Who may have had it from the server before: from nobody else is anything taken.
    pub(crate) former: &'a dyn Fn(u32) -> bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing: it is as it should be, is not there, or is not the server's to give.
    Kept,
    Given {
        from: u32,
        /// Files and directories that went along.
        entries: u64,
        /// What else is in it: of others, or no file and no directory.
        left: u64,
    },
}

/// As root: gives the directory `path` to its owner, if one of `former` has it and it lies below
/// `trusted` in directories of root's and theirs, with no link on the way. The tree is walked from
/// below, itself last: what was broken off is gone on with the next time. Errors: also `QuotaExceeded`
/// for a tree that is larger or deeper than any mail.
pub(crate) fn settle(path: &Path, rule: &Rule<'_>) -> io::Result<Settled> {
    let Some((way, directory)) = reach(path, rule.trusted)? else {
        return Ok(Settled::Kept);
    };
    let of = fstat(&directory)?;
    let from = of.st_uid;
    let taken = |of: &Stat| of.st_uid != rule.owner.uid && (rule.former)(of.st_uid);
    let usual = |of: &Stat| of.st_uid == 0 || of.st_uid == rule.owner.uid || taken(of);
    let between: Vec<Stat> = way.iter().map(fstat).collect::<Result<_, _>>()?;
    if !taken(&of) || !between.iter().all(usual) {
        return Ok(Settled::Kept);
    }
    for (directory, of) in way.iter().zip(&between) {
        if of.st_uid != 0 && of.st_uid != rule.way.0.uid && (rule.former)(of.st_uid) {
            give(directory, rule.way.0)?;
            change_mode(directory, rule.way.1)?;
        }
    }
    let mut walk = Walk {
        top: of,
        to: rule.owner,
        seen: 0,
        given: 0,
        left: 0,
    };
    let open = from == 0 && of.st_mode & 0o022 != 0;
    if rule.whole && !open {
        walk.tree(&directory, 0)?;
    }
    change_mode(&directory, rule.mode)?;
    give(&directory, rule.owner)?;
    Ok(Settled::Given {
        from,
        entries: walk.given,
        left: walk.left,
    })
}

const PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// The directories between `trusted` and `path`, and that of `path`. `None` if it is not below, is not
/// there, or a link or file is on the way.
fn reach(path: &Path, trusted: &Path) -> io::Result<Option<(Vec<OwnedFd>, OwnedFd)>> {
    let Ok(rest) = path.strip_prefix(trusted) else {
        return Ok(None);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = match openat(CWD, trusted, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        here => here?,
    };
    let mut way = Vec::new();
    let mut below = false;
    for component in rest.components() {
        let Component::Normal(name) = component else {
            return Ok(None);
        };
        let next = match openat(&here, name, PATH, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            next => next?,
        };
        if kind(&fstat(&next)?) != FileType::Directory {
            return Ok(None);
        }
        let above = std::mem::replace(&mut here, next);
        if below {
            way.push(above);
        }
        below = true;
    }
    Ok(below.then_some((way, here)))
}

fn kind(of: &Stat) -> FileType {
    FileType::from_raw_mode(of.st_mode)
}

/// What this descriptor stands for, whatever its names lead to by now. The kernel takes set-uid and
/// set-gid from a file with it (chown(2)).
fn give(what: &OwnedFd, to: Identity) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(to.uid), Gid::from_raw(to.gid));
    Ok(chownat(
        what,
        "",
        Some(uid),
        Some(gid),
        AtFlags::EMPTY_PATH,
    )?)
}

fn change_mode(directory: &OwnedFd, mode: u32) -> io::Result<()> {
    let open = openat(directory, ".", READ, Mode::empty())?;
    Ok(fchmod(&open, Mode::from_raw_mode(mode))?)
}

/// A tree on its way from one owner to another.
struct Walk {
    top: Stat,
    to: Identity,
    seen: u64,
    given: u64,
    left: u64,
}

impl Walk {
    fn tree(&mut self, directory: &OwnedFd, depth: usize) -> io::Result<()> {
        let entries = Dir::new(openat(directory, ".", READ, Mode::empty())?)?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.seen += 1;
            if self.seen > MAX_ENTRIES || depth > MAX_DEPTH {
                let why = "it holds more files, or directories in one another, than a user's mail does; \
                           see to it, and give it away with chown -R";
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
            }
            // Opened without being read or followed, so it is the same that is looked at and given.
            let found = match openat(directory, name, PATH, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            self.one(&found, depth)?;
        }
        Ok(())
    }

    fn one(&mut self, found: &OwnedFd, depth: usize) -> io::Result<()> {
        let of = fstat(found)?;
        let known = matches!(kind(&of), FileType::Directory | FileType::RegularFile);
        if known && of.st_uid == self.to.uid {
            return Ok(());
        }
        // A file may have a second name here that its owner did not give it, and one of root's in a
        // directory that others may write to.
        let open = self.top.st_uid == 0 && of.st_mode & 0o022 != 0;
        if !known || open || (of.st_uid, of.st_dev) != (self.top.st_uid, self.top.st_dev) {
            self.left += 1;
            return Ok(());
        }
        if kind(&of) == FileType::Directory {
            self.tree(found, depth + 1)?;
        }
        give(found, self.to)?;
        self.given += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::PathBuf;

    const OLD: Identity = Identity {
        uid: 61_200,
        gid: 61_201,
    };
    const NEW: Identity = Identity {
        uid: 61_300,
        gid: 61_301,
    };
    const ROOT: Identity = Identity { uid: 0, gid: 0 };

    /// A data directory with `mail/ann/cur/one`, the last three of them `OLD`'s. `None` if this is not root.
    fn data() -> Option<(tempfile::TempDir, PathBuf)> {
        if !Identity::own().is_root() {
            eprintln!("skipped: only root can give directories away");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let mail = data.path().join("mail/ann");
        fs::create_dir_all(mail.join("cur")).unwrap();
        fs::write(mail.join("cur/one"), "x").unwrap();
        for path in ["", "cur", "cur/one"] {
            chown(mail.join(path), Some(OLD.uid), Some(OLD.gid)).unwrap();
        }
        Some((data, mail))
    }

    fn to_new(data: &Path, path: &Path) -> io::Result<Settled> {
        settle(
            path,
            &Rule {
                trusted: data,
                owner: NEW,
                mode: 0o700,
                whole: true,
                way: (ROOT, 0o711),
                former: &|uid| uid == OLD.uid,
            },
        )
    }

    fn of(path: &Path) -> (u32, u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    #[test]
    fn a_tree_goes_to_its_new_owner() {
        let Some((data, mail)) = data() else { return };
        chown(data.path().join("mail"), Some(OLD.uid), Some(OLD.gid)).unwrap();
        fs::set_permissions(mail.join("cur/one"), fs::Permissions::from_mode(0o4755)).unwrap();
        let given = Settled::Given {
            from: OLD.uid,
            entries: 2,
            left: 0,
        };
        assert_eq!(to_new(data.path(), &mail).unwrap(), given);
        assert_eq!(of(&data.path().join("mail")), (0, 0, 0o711));
        assert_eq!(of(&mail), (NEW.uid, NEW.gid, 0o700));
        assert_eq!(of(&mail.join("cur")).0, NEW.uid);
        assert_eq!(of(&mail.join("cur/one")), (NEW.uid, NEW.gid, 0o755));
        assert_eq!(to_new(data.path(), &mail).unwrap(), Settled::Kept);
    }

    #[test]
    fn what_its_owner_planted_gives_nothing_of_others() {
        let Some((data, mail)) = data() else { return };
        let secret = data.path().join("secret");
        fs::write(&secret, "x").unwrap();
        let closed = data.path().join("closed");
        fs::create_dir(&closed).unwrap();
        symlink(&secret, mail.join("cur/link")).unwrap();
        symlink(&closed, mail.join("new")).unwrap();
        // Where the kernel lets anybody make a second name of a file.
        fs::hard_link(&secret, mail.join("cur/hard")).unwrap();
        for link in ["cur/link", "new"] {
            std::os::unix::fs::lchown(mail.join(link), Some(OLD.uid), Some(OLD.gid)).unwrap();
        }
        let pipe = mail.join("cur/pipe");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::RUSR).unwrap();
        let before = [&secret, &closed].map(|path| of(path));
        let given = Settled::Given {
            from: OLD.uid,
            entries: 2,
            left: 4,
        };
        assert_eq!(to_new(data.path(), &mail).unwrap(), given);
        assert_eq!([&secret, &closed].map(|path| of(path)), before);
        assert_eq!(of(&mail.join("cur/link")).0, OLD.uid);
    }

    #[test]
    fn what_is_not_the_servers_stays() {
        let Some((data, mail)) = data() else { return };
        let kept = |path: &Path| assert_eq!(to_new(data.path(), path).unwrap(), Settled::Kept);
        // Of somebody else, in a directory of somebody else, elsewhere, or by way of a link.
        chown(&mail, Some(61_400), None).unwrap();
        kept(&mail);
        chown(&mail, Some(OLD.uid), None).unwrap();
        chown(data.path().join("mail"), Some(61_400), None).unwrap();
        kept(&mail);
        chown(data.path().join("mail"), Some(0), None).unwrap();
        symlink("mail", data.path().join("link")).unwrap();
        kept(&data.path().join("link/ann"));
        symlink("ann", data.path().join("mail/bob")).unwrap();
        kept(&data.path().join("mail/bob"));
        kept(&data.path().join("mail/eve"));
        kept(&data.path().join("mail/ann/cur/one"));
        kept(&data.path().join("mail/../mail/ann"));
        kept(data.path());
        kept(Path::new("/"));
        assert_eq!(of(&mail).0, OLD.uid);
        assert_eq!(of(&mail.join("cur")).0, OLD.uid);
    }

    #[test]
    fn a_tree_without_end_is_refused() {
        let Some((data, mail)) = data() else { return };
        let mut deep = mail.clone();
        for _ in 0..MAX_DEPTH + 2 {
            deep.push("d");
            fs::create_dir(&deep).unwrap();
            chown(&deep, Some(OLD.uid), None).unwrap();
        }
        let error = to_new(data.path(), &mail).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(of(&mail).0, OLD.uid);
    }
}
