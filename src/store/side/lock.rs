//! Dot locks, as every program that writes Dovecot's side files takes them.
//!
//! The lock of a file is `<file>.lock`; it holds `pid:host` of its holder. A program that was killed
//! leaves it behind, so a lock can be found to be abandoned: its process is gone from this host, or
//! nobody touched it and its file for two minutes. This server writes the pid with ten digits and
//! keeps its lock file locked (flock(2)) as well: the kernel forgets that with the process, and at
//! a power cut, even where another process has the number now. A power cut may take what was in a
//! lock: one that says nothing and is from before the host was started is abandoned too.

use super::disk;
use crate::store::Error;
use crate::sys::regular;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A lock this old was left behind by a program that died.
const STALE: Duration = Duration::from_secs(120);
/// How long to wait for a program that holds it.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Digits of the pid in this server's own locks.
const OWN_DIGITS: usize = 10;
/// Longest content that is looked at.
const MAX_OCTETS: u64 = 512;

/// Holds `<file>.lock` until dropped.
pub(crate) struct DotLock {
    path: PathBuf,
    file: File,
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

impl DotLock {
    /// Waits up to ten seconds; `Error::Locked` after that.
    pub(crate) fn take(file: &Path) -> Result<DotLock, Error> {
        let path = beside(file, ".lock");
        let mut waited = Duration::ZERO;
        loop {
            // A look first: while somebody holds it, none is made to be thrown away.
            if fs::symlink_metadata(&path).is_err() {
                match create(file, &path) {
                    Ok(lock) => return Ok(DotLock { path, file: lock }),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if remove_abandoned(file, &path)? {
                continue;
            }
            if waited >= PATIENCE {
                return Err(Error::Locked);
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            let _ = disk::remove(&self.path);
        }
    }
}

/// Makes the lock with its content in one step, so that nobody sees it without.
fn create(file: &Path, path: &Path) -> std::io::Result<File> {
    let staged = beside(file, &format!(".lock.{}", super::unique::unique("new")));
    let lock = disk::create(&staged, OpenOptions::new().write(true).create_new(true))?;
    let content = format!("{:0OWN_DIGITS$}:{}", std::process::id(), host());
    // Where the file system has no such locks, the pid has to do.
    let _ = try_lock(&lock);
    let placed = disk::write(&lock, content.as_bytes()).and_then(|()| disk::place(&staged, path));
    if placed.is_err() {
        let _ = disk::remove(&staged);
    }
    placed.map(|()| lock)
}

/// Removes the lock if its holder is gone. True if it is worth trying to take it at once. Errors: it cannot be
/// removed, however long one waits.
fn remove_abandoned(file: &Path, path: &Path) -> io::Result<bool> {
    let lock = match regular::open(path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        // Somebody else's, which tells nothing but its age.
        Err(_) => return Ok(is_old(path) && is_old(file) && disk::remove(path).is_ok()),
    };
    if !is_abandoned(&lock, file, path) {
        return Ok(false);
    }
    // Of all who find it abandoned one removes it, and not the lock that another took since.
    let busy = try_lock(&lock) == Err(Errno::WOULDBLOCK);
    if busy || !is_at(&lock, path) {
        return Ok(false);
    }
    log::warn!("removing the lock {}: its holder is gone", path.display());
    match disk::remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

fn try_lock(lock: &File) -> rustix::io::Result<()> {
    rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive)
}

fn is_abandoned(lock: &File, file: &Path, path: &Path) -> bool {
    match holder(lock) {
        Some(Holder::Own(pid)) => match try_lock(lock) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(_) => is_gone(pid),
        },
        Some(Holder::Local(pid)) => is_gone(pid),
        Some(Holder::Remote) => is_old(path) && is_old(file),
        None => is_from_before(lock) || (is_old(path) && is_old(file)),
    }
}

/// True of a file that nobody can have made since the host was started.
fn is_from_before(lock: &File) -> bool {
    let Ok(metadata) = lock.metadata() else {
        return false;
    };
    // Without a clock of its own a host may begin in its past.
    let before = |made: SystemTime| made < crate::sys::clock::boot() || made.elapsed().is_err();
    metadata.modified().is_ok_and(before)
}

/// True of what nobody changed for two minutes, and of what is not there.
fn is_old(path: &Path) -> bool {
    match fs::symlink_metadata(path).and_then(|m| m.modified()) {
        Ok(modified) => modified.elapsed().is_ok_and(|age| age > STALE),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Who holds a lock.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// A process of this server.
    Own(Pid),
    /// Another program on this host.
    Local(Pid),
    /// A program on another host.
    Remote,
}

/// `None`: the lock does not say.
fn holder(lock: &File) -> Option<Holder> {
    let mut text = String::new();
    lock.take(MAX_OCTETS).read_to_string(&mut text).ok()?;
    named(&text, &host())
}

fn named(text: &str, own_host: &str) -> Option<Holder> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let (digits, host) = text.split_once(':')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let pid = Pid::from_raw(digits.parse().ok().filter(|_| plain)?)?;
    Some(match host == own_host {
        true if digits.len() == OWN_DIGITS => Holder::Own(pid),
        true => Holder::Local(pid),
        false => Holder::Remote,
    })
}

fn is_gone(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid) == Err(Errno::SRCH)
}

/// True if that open file is the one under this name.
fn is_at(file: &File, path: &Path) -> bool {
    let both = file.metadata().ok().zip(fs::symlink_metadata(path).ok());
    both.is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Replaces `path` by `bytes`, durably: a temporary file, synced, renamed, its directory synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_with(path, &mut |out| Ok(out.write_all(bytes)?))
}

/// What is written piece by piece.
type Writing<'w> = dyn FnMut(&mut dyn Write) -> Result<(), Error> + 'w;

/// As `replace`, by what is written piece by piece.
pub(crate) fn replace_with(path: &Path, write: &mut Writing<'_>) -> Result<(), Error> {
    beside_first(path, write, |file, temporary| {
        disk::sync_data(file)?;
        Ok(disk::rename_over(temporary, path)?)
    })
}

/// As `replace_with`, where there is no such file yet: it has its name before it is synced, so that a journal
/// is written once for both. If the power is cut before that, the file may be cut too.
pub(crate) fn create_with(path: &Path, write: &mut Writing<'_>) -> Result<(), Error> {
    beside_first(path, write, |file, temporary| {
        disk::rename_over(temporary, path)?;
        Ok(disk::sync_data(file)?)
    })
}

fn beside_first(
    path: &Path,
    write: &mut Writing<'_>,
    finish: impl Fn(&File, &Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let temporary = beside(path, ".tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let written = disk::create(&temporary, &options).map_err(Error::from);
    let written = written.and_then(|file| {
        let mut out = io::BufWriter::new(disk::Writer(&file));
        write(&mut out)?;
        out.flush()?;
        finish(&file, &temporary)
    });
    if let Err(error) = written {
        let _ = disk::remove(&temporary);
        return Err(error);
    }
    if let Some(parent) = path.parent() {
        disk::sync_directory_at(parent)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock_with(content: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dovecot-uidlist");
        let lock = beside(&file, ".lock");
        fs::write(&lock, content).unwrap();
        (directory, file, lock)
    }

    fn dead_pid() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn holders_are_told_apart() {
        let pid = |n| Pid::from_raw(n).unwrap();
        for (text, holder) in [
            ("0000000812:here", Some(Holder::Own(pid(812)))),
            ("812:here", Some(Holder::Local(pid(812)))),
            ("812:here\n", Some(Holder::Local(pid(812)))),
            ("812:there", Some(Holder::Remote)),
            ("0000000812:there", Some(Holder::Remote)),
            ("812", None),
            ("0:here", None),
            ("-1:here", None),
            ("+812:here", None),
            ("\0\0\0\0\0", None),
            ("", None),
        ] {
            assert_eq!(named(text, "here"), holder, "{text:?}");
        }
    }

    #[test]
    fn a_lock_of_a_dead_process_is_taken_over_at_once() {
        let host = host();
        let own = std::process::id();
        for content in [
            // Dovecot's.
            format!("{}:{host}", dead_pid()),
            // This server's; somebody else, or this very process, has the pid now.
            format!("{:010}:{host}", dead_pid()),
            format!("{:010}:{host}", 1),
            format!("{own:010}:{host}"),
        ] {
            let (_directory, file, path) = lock_with(&content);
            let lock = DotLock::take(&file).unwrap();
            assert!(is_at(&lock.file, &path), "{content}");
            drop(lock);
            assert!(!path.exists(), "{content}");
        }
    }

    #[test]
    fn a_lock_of_a_living_process_is_respected() {
        let host = host();
        for content in [
            format!("{}:{host}", std::process::id()),
            format!("{}:elsewhere", dead_pid()),
            String::new(),
        ] {
            let (_directory, file, path) = lock_with(&content);
            assert!(!remove_abandoned(&file, &path).unwrap(), "{content}");
            let old = SystemTime::now() - 2 * STALE;
            let times = fs::FileTimes::new().set_modified(old);
            let touch = |path: &Path| File::options().append(true).open(path)?.set_times(times);
            touch(&path).unwrap();
            // The file it guards is still written.
            fs::write(&file, "x").unwrap();
            assert!(!remove_abandoned(&file, &path).unwrap(), "{content}");
            touch(&file).unwrap();
            let local = content.ends_with(&host) && !host.is_empty();
            assert_eq!(remove_abandoned(&file, &path).unwrap(), !local, "{content}");
        }
        let (_directory, file, path) = lock_with("");
        let touch = |time: SystemTime| {
            let times = fs::FileTimes::new().set_modified(time);
            File::options().append(true).open(&path)?.set_times(times)
        };
        // What a power cut left.
        touch(crate::sys::clock::boot() - Duration::from_secs(1)).unwrap();
        fs::write(&file, "x").unwrap();
        assert!(remove_abandoned(&file, &path).unwrap());
        let lock = DotLock::take(&file).unwrap();
        assert!(!remove_abandoned(&file, &path).unwrap());
        drop(lock);
        let names = fs::read_dir(_directory.path()).unwrap().flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["dovecot-uidlist"]);
    }

    #[test]
    fn one_holds_it_at_a_time() {
        let (_directory, file, path) = lock_with(&format!("{}:{}", dead_pid(), host()));
        let count = std::sync::Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let lock = DotLock::take(&file).unwrap();
                        assert!(count.try_lock().is_ok(), "two hold it");
                        let mut count = count.try_lock().unwrap();
                        *count += 1;
                        drop(count);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!((*count.lock().unwrap(), path.exists()), (80, false));
    }
}
