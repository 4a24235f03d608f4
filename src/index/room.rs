//! How much room a mailbox takes.

use super::schema::{Kind, key};
use super::{Checked, Error, Index, usage};
use crate::mail::MailboxId;

/// Rows of one transaction: while it lives, no page is used again.
const ROWS: usize = if cfg!(test) { 3 } else { 4096 };

/// Octets of the rows of a mailbox. What the database itself needs comes on top: about a third.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Messages of which fields are cached.
    pub(crate) cached: u32,
    /// What is cached of them.
    pub(crate) cached_octets: u64,
    /// All rows but those of expunges.
    pub(crate) octets: u64,
}

impl Index {
    /// Goes through all rows of the mailbox, some at a time.
    pub(crate) fn room(&self, mailbox: MailboxId) -> Result<Room, Error> {
        let mut room = Room::default();
        for kind in Kind::ALL {
            let is_cached = usage::is_counted(kind);
            let in_chunks = [
                Kind::Flags,
                Kind::Names,
                Kind::Overviews,
                Kind::Keys,
                Kind::Sizes,
                Kind::Aliases,
            ];
            if !is_cached && !in_chunks.contains(&kind) {
                continue;
            }
            let (rows, octets) = self.all_rows(kind, mailbox)?;
            room.octets = room.octets.saturating_add(octets);
            if is_cached {
                room.cached_octets = room.cached_octets.saturating_add(octets);
                room.cached = room.cached.max(rows);
            }
        }
        Ok(room)
    }

    /// How many rows there are, and octets of their keys and values.
    fn all_rows(&self, kind: Kind, mailbox: MailboxId) -> Result<(u32, u64), Error> {
        let (mut rows, mut octets) = (0u32, 0u64);
        let mut next = Some(0);
        while let Some(first) = next.take() {
            let range = key(mailbox, first)..=key(mailbox, u32::MAX);
            let mut left = ROWS;
            self.read()?
                .rows(kind, range, Checked::No, &mut |at, value| {
                    let length = value.len().saturating_add(size_of::<u64>());
                    rows = rows.saturating_add(1);
                    octets = octets.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                    left -= 1;
                    if left == 0 {
                        next = at.checked_add(1);
                    }
                    Ok(left > 0)
                })?;
        }
        Ok((rows, octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Cached, Durable, Facts, FlagChunk};
    use crate::mail::Uid;

    #[test]
    fn rows_are_counted_in_several_transactions() {
        let index = Index::memory().unwrap();
        let (own, other) = (MailboxId(1), MailboxId(2));
        assert_eq!(index.room(own).unwrap(), Room::default());
        let cached = Cached::new(&Facts::default());
        let mut flags = FlagChunk::default();
        flags.present.set(1, true);
        let written = index.write(Durable::Later, |w| {
            w.set_flags(own, 0, &flags)?;
            for number in 1..=10 {
                let uid = Uid::new(number).unwrap();
                w.set_cached(own, uid, &cached)?;
                w.set_cached(other, uid, &cached)?;
            }
            w.set_cached(own, Uid::MAX, &cached)?;
            w.set_preview(own, Uid::MIN, "text")
        });
        written.unwrap();
        let room = index.room(own).unwrap();
        assert_eq!(room.cached, 11);
        let rows = 11 * (cached.encode(crate::index::Kept::Facts).len() as u64 + 8);
        assert_eq!(room.cached_octets, rows + 4 + 8);
        assert!(room.octets > room.cached_octets);
    }
}
