//! The side files of a Maildir that nobody else writes, such as a backup, and what else may have their names.

use super::{keywords, uidlist};
use crate::store::Error;
use crate::store::side::subscriptions::Kind;
use crate::store::side::{beyond, metadata, special_use, strange};
use std::path::Path;

const ALL: [&str; 7] = [
    uidlist::FILE,
    keywords::FILE,
    beyond::FILE,
    metadata::FILE,
    // In the root, which is INBOX, too.
    metadata::SERVER,
    special_use::FILE,
    Kind::Slashed.file(),
];

/// Gives another name to whatever is no file and has the name of one of these in the directory of a mailbox. Returns
/// lines that tell it. Durable.
pub(crate) fn put_strange_aside(directory: &Path) -> Result<Vec<String>, Error> {
    let all = ALL.iter().map(|name| directory.join(name));
    let moved = all.filter_map(|path| strange::move_aside(&path).transpose());
    Ok(moved.collect::<std::io::Result<_>>()?)
}
