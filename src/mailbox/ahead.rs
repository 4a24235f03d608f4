//! Cached rows of the messages that are asked for next, read a batch at a time into one buffer.

use super::shared::Shared;
use super::{Error, fault};
use crate::index::{Checked, Facts, Kept};
use crate::mail::Uid;
use std::collections::VecDeque;
use std::ops::Range;

/// Rows read at a time.
const BATCH: usize = 32;

/// The row of one message and those behind it.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    /// Where rows stand in `bytes`, ascending; the first may be that of the message gone to.
    rows: VecDeque<(Uid, Range<usize>)>,
    /// Up to here `rows` has all there is.
    looked_to: u32,
}

impl Ahead {
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
        let read = reader.each_cached(
            shared.id,
            (Kept::Facts, Checked::Yes),
            uid,
            last,
            &mut |uid, row| {
                // What cannot be read is as good as not there: it is computed anew.
                if Facts::decode(row).is_some() {
                    let start = bytes.len();
                    bytes.extend_from_slice(row);
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

    /// True if something is remembered of the message that was gone to.
    pub(super) fn knows(&self, uid: Uid) -> bool {
        self.rows.front().is_some_and(|(own, _)| *own == uid)
    }

    /// What is remembered of the message that was gone to; `None` if nothing is.
    pub(super) fn facts(&self, uid: Uid) -> Option<Facts<'_>> {
        let (_, range) = self.rows.front().filter(|(own, _)| *own == uid)?;
        Facts::decode(self.bytes.get(range.clone())?)
    }
}
