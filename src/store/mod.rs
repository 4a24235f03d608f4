//! Message bytes on disk behind one trait. The store is the truth; the index can be rebuilt from it.

mod adopt;
mod body;
mod census;
mod dbox;
mod dovecot;
mod error;
mod face;
mod joined;
mod maildir;
mod marks;
mod mbox;
mod memory;
mod open;
mod packed;
mod side;
mod sorter;
mod spread;

pub(crate) use adopt::{
    Adopted, Found as Adoption, adopt, format_of, hand_back, has_single_files, unused,
};
pub(crate) use body::Body;
pub(crate) use census::{Census, Cursor, Roll, Sighting, Sightings, Totals};
pub(crate) use dbox::set_draft_octets;
pub(crate) use error::{Error, unless_full};
pub(crate) use face::{
    Away, Blob, BlobId, Compacted, Compaction, Draft, Filing, Found, Lines, MailboxState, Place,
    Replaced, Scanned, Selection, Stamp, Store, WatchedNames,
};
pub(crate) use maildir::{
    MAILDIR_PARTS, UNKNOWN, folders, maildir_files, maildir_subscriptions, put_strange_aside,
};
pub(crate) use mbox::letters;
pub(crate) use memory::{Memory, Recalled, Remember};
pub(crate) use open::{open, open_backup, open_with};
pub(crate) use packed::unpacked_file;
pub(crate) use side::base::{checksum, lasting, origin, saved, stored_octets};
pub(crate) use side::beyond;
pub(crate) use side::disk::is_empty;
pub(crate) use side::lock::replace;
pub(crate) use side::metadata::Annotations;
#[cfg(test)]
pub(crate) use side::{disk, faults, journal};
pub(crate) use sorter::{Merge, Scratch, Sorter};
pub(crate) use spread::real_path;
