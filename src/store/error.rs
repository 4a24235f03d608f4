//! What can go wrong with stored messages.

use std::io;

/// Why a store could not do what was asked.
#[derive(Debug)]
pub(crate) enum Error {
    /// The file of this message is gone: moved or removed by another program, rescan.
    NoSuchMessage,
    NoSuchMailbox,
    MailboxExists,
    /// The file system is full or a quota of it is reached; nothing was kept.
    Full,
    /// A side file cannot be read as what it should be.
    Corrupt {
        what: &'static str,
    },
    /// Somebody else holds the lock of a side file for too long.
    Locked,
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
            _ => Error::Io(error),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::NoSuchMessage => f.write_str("the message file is gone"),
            Error::NoSuchMailbox => f.write_str("no such mailbox"),
            Error::MailboxExists => f.write_str("the mailbox exists"),
            Error::Full => f.write_str("the disk is full"),
            Error::Corrupt { what } => write!(f, "{what} is damaged"),
            Error::Locked => f.write_str("a lock is held by another program"),
            Error::Io(error) => error.fmt(f),
        }
    }
}
