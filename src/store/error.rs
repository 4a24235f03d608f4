//! What can go wrong with stored messages.

use rustix::io::Errno;
use std::io;

/// Why a store could not do what was asked.
#[derive(Debug)]
pub(crate) enum Error {
    /// The file of this message is gone: moved or removed by another program, rescan.
    NoSuchMessage,
    NoSuchMailbox,
    MailboxExists,
    /// No mailbox can have this name here.
    Unnamable,
    /// The file system is full or a quota of it is reached; nothing was kept.
    Full,
    /// A side file cannot be read as what it should be.
    Corrupt {
        what: &'static str,
    },
    /// Another program gave UIDs since the mailbox was looked at; nothing was done.
    Outrun,
    /// Somebody else holds the lock of a side file for too long.
    Locked,
    /// There are more messages than this process has memory to look at.
    TooMany,
    Io(io::Error),
}

impl Error {
    /// True if what is stored is damaged, as far as one can tell: files cannot be read, or hold
    /// something else than they should.
    pub(crate) fn is_damage(&self) -> bool {
        let Error::Io(error) = self else {
            return matches!(self, Error::Corrupt { .. });
        };
        // What file systems say where the medium or a checksum failed.
        let failed = [Errno::IO, Errno::BADMSG, Errno::UCLEAN].map(Errno::raw_os_error);
        let other = matches!(
            error.kind(),
            io::ErrorKind::IsADirectory | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        );
        other
            || error
                .raw_os_error()
                .is_some_and(|own| failed.contains(&own))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
            io::ErrorKind::OutOfMemory => Error::TooMany,
            _ => Error::Io(error),
        }
    }
}

/// What came of writing what a look can do without: a full disk has no room for it, and keeps nobody from reading.
pub(crate) fn unless_full<T: Default>(written: Result<T, Error>) -> Result<T, Error> {
    match written {
        Err(Error::Full) => Ok(T::default()),
        written => written,
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::NoSuchMessage => f.write_str("the message file is gone"),
            Error::NoSuchMailbox => f.write_str("no such mailbox"),
            Error::Unnamable => f.write_str("no mailbox can have this name here"),
            Error::MailboxExists => f.write_str("the mailbox exists"),
            Error::Full => f.write_str("the disk is full"),
            Error::Corrupt { what } => write!(f, "{what} is damaged"),
            Error::Outrun => f.write_str("another program was at the mailbox first"),
            Error::Locked => f.write_str("a lock is held by another program"),
            Error::TooMany => f.write_str("there are too many messages for its memory"),
            Error::Io(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_trouble() {
        let io = |errno: Errno| Error::from(io::Error::from(errno));
        for errno in [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::ISDIR] {
            assert!(io(errno).is_damage(), "{errno}");
        }
        for errno in [
            Errno::ACCESS,
            Errno::MFILE,
            Errno::NOSPC,
            Errno::ROFS,
            Errno::STALE,
        ] {
            assert!(!io(errno).is_damage(), "{errno}");
        }
        assert!(Error::Corrupt { what: "a message" }.is_damage());
        assert!(!Error::Locked.is_damage() && !Error::NoSuchMessage.is_damage());
    }
}
