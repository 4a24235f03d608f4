//! What is known about messages, in redb; can be rebuilt from the store.
//!
//! One file holds one or many accounts. Tables are keyed by [`crate::mail::MailboxId`], which is
//! never used again; flags and names lie in chunks of 256 UIDs, so that counting, numbering and
//! changing ranges cost by the chunk.

mod bits;
mod cached;
mod checksum;
mod database;
mod error;
mod expunged;
mod flags;
mod journal;
#[cfg(test)]
mod journal_tests;
mod names;
mod overview;
mod reader;
mod reserve;
mod room;
mod schema;
mod sizes;
mod summary;
mod together;
mod trim;
mod usage;
mod writer;

pub(crate) use bits::Bits;
pub(crate) use cached::{Cached, Facts, Kept, Keys, SubjectKey, Texts};
pub(crate) use database::{Durable, Index, is_unfinished, remove, set_aside, when_redb_panics};
pub(crate) use error::Error;
pub(crate) use flags::FlagChunk;
pub(crate) use names::{Name, NameChunk};
pub(crate) use overview::{Glance, Overview};
pub(crate) use reader::{Checked, Reader};
pub(crate) use reserve::Reserve;
pub(crate) use schema::AccountId;
pub(crate) use sizes::SizeChunk;
pub(crate) use summary::{Rest, SizeOf, Summary};
pub(crate) use together::Differences;
pub(crate) use usage::{Bounds, Fields, Keeping, Usage};
pub(crate) use writer::Writer;
