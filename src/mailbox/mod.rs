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
//! The order of an append: draft saved; under the mailbox's lock a UID and a name that holds it;
//! directory synced; then, in the order of UIDs, index and wake. Index commits are not durable by
//! themselves: names and the uidlist rebuild what a power cut takes. (Keywords beyond z, which no
//! name can hold, are committed durably, and then kept in a side file.)
//!
//! A UID that somebody was told of is never given again: a name or the uidlist holds it durably
//! before it is told, and before the last such name goes (EXPUNGE, MOVE, RENAME of INBOX) the
//! uidlist says durably that it was given; while it cannot be written, the name stays. Of what
//! another program removes, the uidlist knows as soon as it lags behind no more, a second after the
//! message came. Files that come back after a session was told that they are gone get new UIDs.
//!
//! Flags are durable before STORE is answered, but where many changes share a sync (mdbox, sdbox): there
//! they outlive the process by then, and are durable with the next change that has to be, or the next
//! flush, before the index has them. What a power cut took of them nobody knows any more, so whoever
//! knows a mod-sequence of that time is told all flags (`Summary::doubtful`).
//!
//! All of that holds for every store: what a name is for Maildir is a line in a log for mdbox, or what is written
//! around the message there, or a line and the name of a file for sdbox (`store::dbox`
//! has its states). A purge, which has messages elsewhere, changes what the index has for names while
//! the mailboxes are locked.

mod absent;
mod account;
mod ahead;
mod append;
mod arrive;
mod beyond;
mod binary;
#[cfg(test)]
mod bounded_tests;
mod care;
mod changes;
mod comparing;
mod content;
mod copy;
mod criteria;
mod damage;
#[cfg(test)]
mod dbox_tests;
mod error;
mod events;
mod expunge;
mod filed;
mod forest;
mod gone;
mod handle;
mod host;
mod inthread;
mod keep;
mod kept;
mod keywords;
mod known;
mod learn;
mod maildrop;
mod mark;
#[cfg(test)]
mod meddling_tests;
mod memory;
mod merge;
mod metadata;
mod names;
mod needle;
mod news;
#[cfg(test)]
mod noticing_tests;
mod numbering;
mod objects;
mod observed;
mod preview;
mod purge;
mod reached;
mod refill;
mod refresh;
mod report;
mod rest;
mod resync;
mod roster;
mod rows;
mod scrub;
mod search;
mod settle;
mod shared;
mod sift;
mod snapshot;
mod sort;
mod sorter;
mod special;
mod status;
mod steps;
mod survey;
#[cfg(test)]
mod tests;
mod thread;
mod threading;
mod touched;
#[cfg(test)]
mod trouble_tests;
mod view;
mod walk;
mod watch;

pub(crate) use account::{Account, Copied, Listed};
pub(crate) use append::{Appended, Draft, Identity, NewMessage};
pub(crate) use care::Care;
pub(crate) use comparing::Comparing;
pub(crate) use content::{Content, Partial, put_literal};
pub(crate) use copy::Carry;
pub(crate) use error::Error;
use error::{fault, io_fault, mailbox_fault, opening_fault, store_fault};
pub(crate) use expunge::Expunge;
pub(crate) use filed::Filed;
pub(crate) use host::{Host, Limits};
pub(crate) use known::Prepare;
pub(crate) use maildrop::{Entries, Entry, MaildropLock, Wanted};
pub(crate) use mark::{FlagChange, Mark, Marked};
pub(crate) use metadata::ADMIN;
pub(crate) use names::Listening;
pub(crate) use news::{Heard, Latest, News};
pub(crate) use observed::Observed;
pub(crate) use refill::Refill;
pub(crate) use report::{Report, TAKEN};
pub(crate) use rows::{Rows, Want};
pub(crate) use search::Search;
pub(crate) use snapshot::{Listing, Portrait, Snapshot};
pub(crate) use sort::Sort;
pub(crate) use sorter::Sorted;
pub(crate) use status::{Asked, Status};
pub(crate) use thread::Thread;
pub(crate) use threading::Threads;
pub(crate) use view::{Access, By, Changes, Expunges, View};
