//! What Dovecot 2.3 and 2.4 wrote beside messages, read for take-over: `dovecot.index`, which says what the messages of a mailbox are at some moment, its log of transactions, which goes on
//! from there (`dovecot.index.log`, and `.log.2` before it), and of `dovecot.index.cache` the save dates.
//! `dovecot.map.index` and `dovecot.list.index` have the same form. For the way back a log is written that tells all by itself.
//!
//! All of it may be damaged: every offset is checked, lengths have limits, and a log is read as far as it
//! makes sense, as Dovecot does.

mod cache;
mod change;
mod extension;
mod fields;
#[cfg(test)]
mod fuzz_tests;
mod index;
mod listed;
mod load;
mod octets;
mod written;

pub(super) use cache::Cache;
pub(super) use index::{BACKEND, Index, flags};
pub(super) use listed::listed;
pub(super) use load::load;
pub(super) use written::{STAGED, Written, place_log, put_log};
