//! The account: what one user's mailboxes are, composed of store and index.
//!
//! States of a message on disk (draft: the file below `tmp/`; blob: the file under its own name;
//! row: what the index has):
//!
//! ```text
//! D1 -draft -blob -row   nothing
//! D2 +draft -blob -row   staging; swept after 36 hours
//! D3 ?draft +blob -row   durable, not yet known; a scan makes it D4
//! D4 -draft +blob +row   delivered; only now LMTP and APPEND are answered
//! D5 -draft +blob -row   expunged from the index, file to be removed; a scan makes it D4 again
//! D6 -draft -blob -row   expunged; only now EXPUNGE is answered
//! ```
//!
//! The order of an append: a UID; draft synced, renamed to a name that holds the UID, directory
//! synced; index; wake. Index commits are not durable by themselves: names and the uidlist rebuild
//! what a power cut takes. Before the last name that holds a UID goes, the uidlist says durably that
//! the UID was given, so none is given twice.

mod account;
mod append;
mod content;
mod copy;
mod error;
mod host;
mod learn;
mod mark;
mod numbering;
mod resync;
mod rows;
mod search;
mod shared;
#[cfg(test)]
mod tests;
mod view;
mod watch;

pub(crate) use account::{Account, Copied, Listed};
pub(crate) use append::Draft;
pub(crate) use content::Content;
pub(crate) use error::Error;
use error::{fault, store_fault};
pub(crate) use host::{Host, Limits};
pub(crate) use mark::FlagChange;
pub(crate) use rows::{Rows, Want};
pub(crate) use search::Search;
pub(crate) use view::{Access, By, Changes, Expunges, View};
