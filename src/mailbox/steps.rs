//! What changes many messages goes in steps, between which others have their turns and its session
//! learns that the client has left: STORE ([`Mark`]), EXPUNGE ([`Expunge`]), COPY and MOVE ([`Carry`]).
//!
//! Each owns what it works on: the messages of the view when it began, a store handle with all that is
//! not synced yet, the mailbox. A step takes as many messages as `step_messages` allows, under the
//! mailbox's lock chunk by chunk (COPY and MOVE: all of them under the locks of both mailboxes, synced
//! before anybody is told of copies). The last step syncs; only then the command is answered. Whoever
//! gives up in between calls `stop`: STORE, MOVE and EXPUNGE then end with what is done, durably; of a
//! COPY the further steps take back what came, which to others is an expunge (RFC 3501 section 6.4.7).
//!
//! [`Mark`]: super::Mark
//! [`Expunge`]: super::Expunge
//! [`Carry`]: super::Carry

use super::account::Inner;
use super::handle::Handle;
use super::shared::{Shared, State};
use super::{Error, View, store_fault};
use crate::index::Bits;
use crate::mail::{Uid, UidSet, UidValidity};
use std::sync::Arc;

/// What a chunk costs beside its messages, counted in messages.
const CHUNK_COSTS: usize = 32;

/// UIDs that are still to be worked on.
pub(super) struct Left {
    uids: UidSet,
    place: Place,
}

/// A place in runs of UIDs: the run, and the first UID of it that is left.
#[derive(Clone, Copy, Default)]
struct Place {
    run: usize,
    next: u32,
}

impl Place {
    /// The UIDs of one chunk that come next, `at_most` so many.
    fn chunk(&mut self, runs: &[(u32, u32)], at_most: u32) -> Option<(u32, Bits)> {
        let mut chunk: Option<(u32, Bits)> = None;
        let mut room = at_most.max(1);
        while let Some(&(first, last)) = runs.get(self.run).filter(|_| room > 0) {
            let from = first.max(self.next);
            let number = chunk.as_ref().map_or(from >> 8, |(number, _)| *number);
            if from >> 8 != number {
                break;
            }
            let to = last
                .min(number << 8 | 255)
                .min(from.saturating_add(room - 1));
            let (low, high) = ((from & 255) as u8, (to & 255) as u8);
            let (_, bits) = chunk.get_or_insert((number, Bits::default()));
            *bits = bits.or(&Bits::range(low, high));
            room -= to - from + 1;
            self.next = to.saturating_add(1);
            if to == last {
                self.run += 1;
            }
        }
        chunk
    }
}

impl Left {
    pub(super) fn new(uids: UidSet) -> Left {
        Left {
            uids,
            place: Place::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.place.run >= self.uids.runs().len()
    }

    /// Those of the next chunk, `at_most` so many.
    pub(super) fn chunk(&mut self, at_most: usize) -> Option<(u32, Bits)> {
        let at_most = u32::try_from(at_most).unwrap_or(u32::MAX);
        self.place.chunk(self.uids.runs(), at_most)
    }

    /// Chunks with `at_most` so many messages; fewer if they are strewn.
    pub(super) fn chunks(&mut self, at_most: usize) -> Vec<(u32, Bits)> {
        let (mut chunks, mut room) = (Vec::new(), at_most);
        while room > 0
            && let Some((number, slots)) = self.chunk(room)
        {
            room = room.saturating_sub((slots.count() as usize).max(CHUNK_COSTS));
            chunks.push((number, slots));
        }
        chunks
    }

    /// Nothing is left.
    pub(super) fn clear(&mut self) {
        *self = Left::new(UidSet::new());
    }
}

/// The UIDs of a set, chunk by chunk.
pub(super) fn chunks(uids: &UidSet) -> Vec<(u32, Bits)> {
    let mut place = Place::default();
    std::iter::from_fn(|| place.chunk(uids.runs(), u32::MAX)).collect()
}

/// The UIDs of a chunk's slots.
pub(super) fn uids_of(number: u32, slots: &Bits) -> UidSet {
    let mut uids = UidSet::new();
    for (first, last) in slots.runs() {
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        if let (Some(first), Some(last)) = (uid(first), uid(last)) {
            uids.insert_range(first, last);
        }
    }
    uids
}

/// What a command in steps works on.
pub(super) struct Steps {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Handle<Arc<Inner>>,
    uid_validity: UidValidity,
    pub(super) left: Left,
    done: u64,
    goal: u64,
}

impl Steps {
    /// Over these messages of the view, which is in line with its directory already.
    pub(super) fn new(view: &View, store: Handle<Arc<Inner>>, uids: UidSet) -> Steps {
        Steps {
            shared: view.shared.clone(),
            store,
            uid_validity: view.uid_validity(),
            goal: uids.count(),
            left: Left::new(uids),
            done: 0,
        }
    }

    /// How many messages one step takes.
    pub(super) fn room(&self) -> usize {
        self.shared.host.limits.step_messages
    }

    /// So many messages are done.
    pub(super) fn note(&mut self, done: u32) {
        self.done += u64::from(done);
    }

    /// How many messages are done, of how many.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.done.min(self.goal), self.goal)
    }

    /// Has the mailbox in line with what happened since the last step. Fails if UIDs mean other messages
    /// by now.
    pub(super) fn catch_up(&mut self, state: &mut State) -> Result<(), Error> {
        if self.store.renew()? {
            self.shared.host.sync_later(&self.shared);
        }
        self.shared.catch_up(state, &mut *self.store)?;
        let uid_validity = state.summary.as_ref().map(|s| s.uid_validity);
        match uid_validity == Some(self.uid_validity) {
            true => Ok(()),
            false => Err(Error::NoSuchMailbox),
        }
    }

    /// What was done is durable then; flags of some stores with the next flush, a moment later.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.store
            .sync()
            .map_err(store_fault("syncing a mailbox"))?;
        if self.store.settles() {
            self.shared.host.settle_later(&self.shared);
        } else if self.store.lags() {
            self.shared.host.sync_later(&self.shared);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::uids;
    use super::*;

    fn taken(numbers: &[u32], at_most: usize) -> Vec<Vec<String>> {
        let mut left = Left::new(uids(numbers));
        let mut steps = Vec::new();
        while !left.is_empty() {
            let step = left.chunks(at_most);
            let text = |(number, slots): &(u32, Bits)| uids_of(*number, slots).to_string();
            steps.push(step.iter().map(text).collect());
        }
        assert!(left.chunks(at_most).is_empty());
        steps
    }

    #[test]
    fn steps_take_every_message_once() {
        assert_eq!(taken(&[], 5), Vec::<Vec<String>>::new());
        assert_eq!(taken(&[1, 2, 3, 9], 3), [["1:3"], ["9"]]);
        assert_eq!(
            taken(&[1, 2, 9, 255, 256, 257], 100),
            [["1:2,9,255", "256:257"]]
        );
        assert_eq!(
            taken(&[255, 256, u32::MAX], 1),
            [["255"], ["256"], ["4294967295"]]
        );
        let strewn = [1, 1000, 2000, 3000, 4000];
        assert_eq!(taken(&strewn, 2 * CHUNK_COSTS).len(), 3);
        let all: Vec<u32> = (1..=1000).chain(2000..2100).collect();
        for at_most in [1, 7, 256, 300, 5000] {
            let sets = taken(&all, at_most).concat().join(",");
            let count = |runs: &str| -> u32 {
                let ends = runs
                    .split(',')
                    .map(|run| run.split_once(':').unwrap_or((run, run)));
                let ends =
                    ends.map(|(a, b)| (a.parse::<u32>().unwrap(), b.parse::<u32>().unwrap()));
                ends.map(|(first, last)| last - first + 1).sum()
            };
            assert_eq!(count(&sets), 1100, "{at_most}");
        }
        assert_eq!(chunks(&uids(&all)).len(), 6);
    }
}
