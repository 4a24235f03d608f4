//! What lies below the data directory, and who owns it.

use super::error::Error;
use crate::config::{Address, Config, Isolation, Listener};
use crate::sys::accounts::{Identity, group, named};
use crate::sys::directory::{make, make_file, make_own};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Whom the roles become. `None`: nobody else, as the parent is not root.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identities {
    pub(super) front: Option<Identity>,
    pub(super) auth: Option<Identity>,
    pub(super) engine: Option<Identity>,
}

/// Numbers for accounts that this machine does not have: far from those that systems give out.
pub(super) const RESERVED: [u32; 3] = [61_143, 61_144, 61_145];

impl Identities {
    /// Looks the configured accounts up; only root can become others. Errors: one of them is root's.
    pub(super) fn find(config: &Config) -> Result<Identities, Error> {
        if !Identity::own().is_root() {
            return Ok(Identities::default());
        }
        let process = &config.process;
        Ok(Identities {
            engine: Some(account(&process.user, RESERVED[0])?),
            front: Some(account(&process.network_user, RESERVED[1])?),
            auth: Some(account(&process.auth_user, RESERVED[2])?),
        })
    }
}

/// The account of that name, or the numbers that stand for it.
fn account(name: &str, reserved: u32) -> Result<Identity, Error> {
    match named(name) {
        Some(found) if found.is_root() => Err(Error::Root(name.to_owned())),
        Some(found) => Ok(found),
        None => {
            log::info!("this machine has no account {name}: uid and gid {reserved} stand for it");
            Ok(Identity {
                uid: reserved,
                gid: reserved,
            })
        }
    }
}

/// Opens a file that a person names to be read, without waiting for anybody. Errors: also
/// `InvalidInput` for what is no regular file, such as a pipe that nobody writes to.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        let kind = std::io::ErrorKind::InvalidInput;
        return Err(std::io::Error::new(kind, "this is no regular file"));
    }
    Ok(file)
}

/// Makes a directory and what is missing above it, durably; a new one gets the mode, and the owner if one is
/// named. What users have written on the way decides nothing: see [`crate::sys::directory`].
pub(super) fn directory(
    config: &Config,
    path: &Path,
    mode: u32,
    owner: Option<Identity>,
) -> Result<(), Error> {
    // Below the data directory an engine may have left a link of its own, which `make` refuses.
    let ours = owner.is_some() && path.starts_with(&config.data_dir);
    let there = match ours {
        true => fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()),
        false => path.is_dir(),
    };
    if there {
        return Ok(());
    }
    let made = match owner {
        Some(owner) => make(&config.data_dir, path, mode, owner),
        // Nobody else learns what is in those above it.
        None if path.starts_with(&config.data_dir) => make_own(path, mode, 0o711),
        None => make_own(path, mode, 0o755),
    };
    made.map_err(|error| Error::file("making", path, error))
}

/// Makes an empty file of a user's where only root may; whoever it is for can make it elsewhere.
pub(super) fn file(path: &Path, owner: Option<Identity>) -> Result<(), Error> {
    let made = owner.map_or(Ok(()), |owner| make_file(path, owner));
    made.map_err(|error| Error::file("making", path, error))
}

/// Makes what every server needs below its data directory.
pub(super) fn prepare(config: &Config, identities: &Identities) -> Result<(), Error> {
    let data = &config.data_dir;
    directory(config, data, 0o755, None)?;
    directory(config, &data.join("tls"), 0o700, None)?;
    directory(config, &data.join("run"), 0o755, None)?;
    directory(config, &data.join("run/empty"), 0o555, None)?;
    let shared = config.isolation == Isolation::Shared;
    let owner = identities.engine.filter(|_| shared);
    let mode = if shared { 0o700 } else { 0o711 };
    directory(config, &data.join("index"), mode, owner)?;
    if config.storage.path.is_none() {
        directory(config, &data.join("mail"), mode, owner)?;
    }
    Ok(())
}

/// Writes a file that only its owner may read. Durable.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        path.parent()
            .map_or(Ok(()), |above| File::open(above)?.sync_all())
    })();
    written.map_err(|error| Error::file("writing", path, error))
}

/// Octets of what salts are made from.
pub(super) const SEED: usize = 32;

/// What salts are made from that nobody has stored; made once, so that they are always the same.
pub(super) fn seed(config: &Config) -> Result<[u8; SEED], Error> {
    let path = config.data_dir.join("tls/salt");
    let mut seed = [0; SEED];
    match File::open(&path).and_then(|mut file| file.read_exact(&mut seed)) {
        Ok(()) => Ok(seed),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            getrandom::fill(&mut seed).map_err(|error| {
                Error::file("making", &path, std::io::Error::other(error.to_string()))
            })?;
            write_secret(&path, &seed)?;
            Ok(seed)
        }
        Err(error) => Err(Error::file("reading", &path, error)),
    }
}

/// Binds an address. A unix socket that nobody serves any more is replaced.
pub(super) fn listen(listener: &Listener) -> Result<OwnedFd, Error> {
    match &listener.address {
        // Connections have the options of their listener.
        Address::Tcp(address) => TcpListener::bind(address)
            .map(OwnedFd::from)
            .inspect(|listener| {
                rustix::net::sockopt::set_tcp_nodelay(listener, true).ok();
                rustix::net::sockopt::set_socket_keepalive(listener, true).ok();
            })
            .map_err(|error| Error::Listen {
                address: address.to_string(),
                error,
            }),
        Address::Unix(path) => match &listener.group {
            None => unix(path, listener.mode),
            Some(name) => grouped(path, listener.mode, name),
        },
        Address::Activated(name) => Err(super::listeners::missing(name)),
    }
}

/// True for a socket that nobody listens on: no other file is ever taken away.
fn is_left_behind(path: &Path) -> bool {
    let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(refused)
}

/// A unix socket with this mode.
pub(super) fn unix(path: &Path, mode: u32) -> Result<OwnedFd, Error> {
    let bound = (|| {
        if is_left_behind(path) {
            fs::remove_file(path)?;
        } else if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(std::io::Error::other("what is there is no socket"));
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(OwnedFd::from(listener))
    })();
    bound.map_err(|error| Error::Listen {
        address: format!("unix:{}", path.display()),
        error,
    })
}

/// A unix socket of that group: closed to all until it is the group's.
fn grouped(path: &Path, mode: u32, name: &str) -> Result<OwnedFd, Error> {
    let fault = |error| Error::Listen {
        address: format!("unix:{}", path.display()),
        error,
    };
    let missing = || {
        let what = format!("this machine has no group {name}");
        fault(std::io::Error::new(std::io::ErrorKind::NotFound, what))
    };
    let gid = group(name).ok_or_else(missing)?;
    let socket = unix(path, 0o600)?;
    std::os::unix::fs::lchown(path, None, Some(gid))
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(fault)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_runs_as_root() {
        // It was said to be missing, and other numbers stood for it.
        assert!(matches!(account("root", 1), Err(Error::Root(name)) if name == "root"));
        let reserved = account("no such account", 61_000).unwrap();
        assert_eq!((reserved.uid, reserved.gid), (61_000, 61_000));
    }

    #[test]
    fn salts_stay_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::with_defaults(directory.path().to_owned(), "h".to_owned());
        fs::create_dir(directory.path().join("tls")).unwrap();
        let first = seed(&config).unwrap();
        assert_eq!(seed(&config).unwrap(), first);
        let path = directory.path().join("tls/salt");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // Cut short by a full disk.
        fs::write(&path, "x").unwrap();
        let second = seed(&config).unwrap();
        assert_ne!(second, first);
        assert_eq!(seed(&config).unwrap(), second);
    }

    #[test]
    fn a_pipe_is_no_file_to_be_read() {
        // The server waited for somebody to write to it, and did nothing else.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        for path in [&path, directory.path()] {
            let error = open(path).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
        let file = directory.path().join("file");
        fs::write(&file, "text").unwrap();
        open(&file).unwrap();
    }

    #[test]
    fn only_a_socket_that_nobody_serves_is_replaced() {
        // A file that was named as the address by mistake was deleted.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "text").unwrap();
        let refused = unix(&file, 0o600).unwrap_err().to_string();
        assert!(refused.ends_with("what is there is no socket"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), b"text");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(unix(&link, 0o600).is_err());
        assert!(link.is_symlink());
        let path = directory.path().join("socket");
        let served = unix(&path, 0o600).unwrap();
        assert!(unix(&path, 0o600).is_err());
        drop(served);
        unix(&path, 0o600).unwrap();
    }
}
