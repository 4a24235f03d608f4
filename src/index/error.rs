//! What can go wrong with the index.

use std::io::ErrorKind;

/// Why the index could not be used. Whatever it is, the store is still whole.
#[derive(Debug)]
pub(crate) enum Error {
    /// The file or a row in it is not what it should be.
    Corrupt {
        what: &'static str,
    },
    /// Written by a newer version.
    Newer,
    /// Written by an older version: to be made again.
    Older,
    /// Another process has it open.
    InUse,
    /// No room to write.
    Full,
    /// The file could not be written or read before; it has to be opened again.
    Lost,
    Database(Box<redb::Error>),
}

impl Error {
    /// True for damage that a rebuild from the store mends.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Error::Corrupt { .. } => true,
            Error::Database(error) => match &**error {
                redb::Error::Corrupted(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::TableTypeMismatch { .. }
                | redb::Error::TypeDefinitionChanged { .. }
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TableIsNotMultimap(_) => true,
                // Not a file of redb's, or cut off.
                redb::Error::Io(io) => {
                    matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// True if the account of this process may not use the file.
    pub(crate) fn is_denied(&self) -> bool {
        let Error::Database(error) = self else {
            return false;
        };
        matches!(&**error, redb::Error::Io(io) if io.kind() == ErrorKind::PermissionDenied)
    }

    /// True for what leaves the file unusable until it is opened again: redb refuses everything after
    /// the first failure of the disk.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Error::Full | Error::Lost => true,
            Error::Database(error) => matches!(**error, redb::Error::Io(_)),
            _ => false,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Corrupt { what } => write!(f, "{what} is damaged"),
            Error::Newer => f.write_str("written by a newer version"),
            Error::Older => f.write_str("written by an older version"),
            Error::InUse => f.write_str("in use by another process"),
            Error::Full => f.write_str("the disk is full"),
            Error::Lost => f.write_str("the disk failed before"),
            Error::Database(error) => error.fmt(f),
        }
    }
}

impl From<redb::Error> for Error {
    fn from(error: redb::Error) -> Error {
        match &error {
            redb::Error::DatabaseAlreadyOpen => Error::InUse,
            redb::Error::PreviousIo => Error::Lost,
            redb::Error::Io(io)
                if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Error::Full
            }
            _ => Error::Database(Box::new(error)),
        }
    }
}

macro_rules! from_redb {
    ($($kind:ident),*) => {
        $(impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Error {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(
    DatabaseError,
    StorageError,
    TableError,
    TransactionError,
    CommitError,
    SetDurabilityError
);
