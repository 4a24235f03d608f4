//! Message bytes on disk behind one trait. The store is the truth; the index can be rebuilt from it.

mod error;
mod face;
mod maildir;

pub(crate) use error::Error;
pub(crate) use face::{
    Blob, BlobId, Draft, Filing, Found, MailboxState, Place, Scanned, Stamp, Store,
};
#[cfg(test)]
pub(crate) use maildir::journal;
pub(crate) use maildir::{Annotations, Maildir, origin, saved};
