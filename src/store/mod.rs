//! Message bytes on disk behind one trait. The store is the truth; the index can be rebuilt from it.

mod body;
mod error;
mod face;
mod maildir;
mod side;

pub(crate) use body::Body;
pub(crate) use error::Error;
pub(crate) use face::{
    Blob, BlobId, Draft, Filing, Found, MailboxState, Place, Scanned, Stamp, Store,
};
pub(crate) use maildir::Maildir;
pub(crate) use side::base::{origin, saved};
#[cfg(test)]
pub(crate) use side::journal;
pub(crate) use side::metadata::Annotations;
