//! Cached rows of the messages that are asked for next, read a batch at a time into one buffer.

use super::shared::Shared;
use super::{Error, fault};
use crate::index::{Checked, Facts, Fields, Kept, Keys, Texts};
use crate::mail::Uid;
use std::collections::VecDeque;
use std::ops::Range;

/// Rows read at a time.
const BATCH: usize = 32;

/// The row of one message and those behind it.
pub(super) struct Ahead {
    kept: Kept,
    texts: Texts,
    asked: Fields,
    bytes: Vec<u8>,
    /// Where rows stand in `bytes`, ascending; the first may be that of the message gone to.
    rows: VecDeque<(Uid, Range<usize>)>,
    /// Up to here `rows` has all there is.
    looked_to: u32,
}

impl Ahead {
    /// `asked`: what will be asked of rows of facts; a row without it is as good as not there.
    pub(super) fn of(kept: Kept, asked: Fields) -> Ahead {
        let wants = |field: Fields| !asked.and(field).is_empty();
        Ahead {
            kept,
            texts: [wants(Fields::ENVELOPE), wants(Fields::BODYSTRUCTURE)],
            asked,
            bytes: Vec::new(),
            rows: VecDeque::new(),
            looked_to: 0,
        }
    }

    /// Goes to a message, which is above that before; rows up to `last` may be read with its own.
    pub(super) fn go_to(&mut self, uid: Uid, last: Uid, shared: &Shared) -> Result<(), Error> {
        while self.rows.front().is_some_and(|(other, _)| *other < uid) {
            self.rows.pop_front();
        }
        if !self.rows.is_empty() || uid.number() <= self.looked_to {
            return Ok(());
        }
        let last = last.max(uid);
        let reading = fault("reading the index");
        let reader = shared.host.index.read().map_err(&reading)?;
        self.bytes.clear();
        let (bytes, rows) = (&mut self.bytes, &mut self.rows);
        let (kept, texts, asked) = (self.kept, self.texts, self.asked);
        let read = reader.each_cached(
            shared.id,
            (kept, Checked::Yes),
            uid,
            last,
            &mut |uid, row| {
                // What cannot be read is as good as not there: it is computed anew.
                let start = bytes.len();
                let is_known = match kept {
                    Kept::Facts => {
                        let lacks = !Facts::left_out(row).and(asked).is_empty();
                        !lacks && Facts::unpack(row, texts, bytes)
                    }
                    Kept::Keys => {
                        bytes.extend_from_slice(row);
                        Keys::decode(row).is_some()
                    }
                };
                if is_known {
                    rows.push_back((uid, start..bytes.len()));
                }
                rows.len() < BATCH
            },
        );
        read.map_err(&reading)?;
        let full = self.rows.back().filter(|_| self.rows.len() >= BATCH);
        self.looked_to = full.map_or(last, |(uid, _)| *uid).number();
        Ok(())
    }

    /// True if [`Ahead::facts`] are known of the message that was gone to.
    pub(super) fn has_facts(&self, uid: Uid) -> bool {
        self.kept == Kept::Facts && self.row(uid).is_some()
    }

    /// What is remembered of the message that was gone to; `None` if nothing is, or rows of facts are not
    /// read.
    pub(super) fn facts(&self, uid: Uid) -> Option<Facts<'_>> {
        match self.kept {
            Kept::Facts => Facts::decode(self.row(uid)?),
            Kept::Keys => None,
        }
    }

    /// RFC822.SIZE of the message that was gone to, if that is remembered.
    pub(super) fn octets(&self, uid: Uid) -> Option<u64> {
        let row = self.row(uid)?;
        match self.kept {
            Kept::Facts => Facts::decode(row).map(|facts| facts.keys.octets),
            Kept::Keys => Keys::decode(row).map(|keys| keys.octets),
        }
    }

    /// What the message that was gone to is known by, if rows of keys are read.
    pub(super) fn keys(&self, uid: Uid) -> Option<Keys<'_>> {
        match self.kept {
            Kept::Keys => Keys::decode(self.row(uid)?),
            Kept::Facts => None,
        }
    }

    /// Forgets the row of a message.
    pub(super) fn forget(&mut self, uid: Uid) {
        self.rows.retain(|(own, _)| *own != uid);
    }

    fn row(&self, uid: Uid) -> Option<&[u8]> {
        let (_, range) = self.rows.front().filter(|(own, _)| *own == uid)?;
        self.bytes.get(range.clone())
    }
}
