//! Why a server cannot start or go on.

use std::io;
use std::path::{Path, PathBuf};

/// Each says what to do about it, or on which file it was.
#[derive(Debug)]
pub(crate) enum Error {
    /// A file or directory.
    File {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// An address that cannot be listened on.
    Listen {
        address: String,
        error: io::Error,
    },
    Tls(String),
    /// Several at once, a line each.
    All(Vec<Error>),
    /// A call to the kernel.
    System {
        doing: &'static str,
        error: io::Error,
    },
    /// An account of `[process]` is root's.
    Root(String),
    /// Another server runs over this data directory.
    Running(String),
}

impl Error {
    pub(super) fn file(doing: &'static str, path: &Path, error: io::Error) -> Error {
        Error::File {
            doing,
            path: path.to_owned(),
            error,
        }
    }

    pub(super) fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::System { doing, error }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::File { doing, path, error } => write!(f, "{doing} {}: {error}", path.display()),
            Error::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str("; is another server running there?"),
                    io::ErrorKind::PermissionDenied => f.write_str("; ports below 1024 need root"),
                    _ => Ok(()),
                }
            }
            Error::Tls(why) => f.write_str(why),
            Error::All(faults) => {
                let lines: Vec<String> = faults.iter().map(Error::to_string).collect();
                f.write_str(&lines.join("\ndovelet: "))
            }
            Error::System { doing, error } => write!(f, "{doing}: {error}"),
            Error::Root(name) => write!(
                f,
                "[process] names the account {name}, which is root's (uid 0): what talks to \
                 clients or reads their mail never runs as root; name another account"
            ),
            Error::Running(holder) => {
                write!(f, "{holder} works there; stop it, or choose another --data")
            }
        }
    }
}
