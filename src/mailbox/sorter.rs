//! Messages in the order of keys, more than fit in memory.

use super::{Error, store_fault};
use crate::mail::Uid;
use crate::store::{Merge, Scratch, Sorter as Records};
use std::fs::File;

/// Octets of one message's keys at most; what is equal so far keeps the order of the mailbox.
pub(super) const MAX_KEY: usize = 4096;

/// Collects messages with their keys.
pub(super) struct Sorter(Records);

/// Messages in their order.
pub(crate) struct Sorted {
    count: u32,
    source: Source,
}

enum Source {
    Memory(std::vec::IntoIter<u32>),
    Merge(Merge),
}

impl Sorter {
    /// `at_most`: octets in memory.
    pub(super) fn new(at_most: usize) -> Sorter {
        Sorter(Records::new(at_most))
    }

    /// Adds a message. `scratch` makes the file, if it comes to that.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        uid: Uid,
        scratch: &mut dyn FnMut() -> Result<File, Error>,
    ) -> Result<(), Error> {
        let key = key.get(..MAX_KEY).unwrap_or(key);
        spilling(scratch, |scratch| self.0.add(key, uid.number(), scratch))
    }

    /// The messages in the order of their keys, equal ones in the order of their UIDs.
    pub(super) fn finish(
        self,
        scratch: &mut dyn FnMut() -> Result<File, Error>,
    ) -> Result<Sorted, Error> {
        let sorted = spilling(scratch, |scratch| self.0.finish(scratch))?;
        let merge = sorted
            .merge()
            .map_err(store_fault("reading what is sorted"))?;
        Ok(Sorted {
            count: sorted.count(),
            source: match merge {
                Some(merge) => Source::Merge(merge),
                None => Source::Memory(sorted.numbers().collect::<Vec<u32>>().into_iter()),
            },
        })
    }
}

/// Does what may need a file; why there is none is said as it was.
fn spilling<T>(
    scratch: &mut dyn FnMut() -> Result<File, Error>,
    work: impl FnOnce(&mut Scratch<'_>) -> Result<T, crate::store::Error>,
) -> Result<T, Error> {
    let mut refused = None;
    let done = work(&mut || {
        scratch().map_err(|error| {
            refused = Some(error);
            crate::store::Error::Locked
        })
    });
    match refused {
        Some(error) => Err(error),
        None => done.map_err(store_fault("writing what is sorted")),
    }
}

impl Sorted {
    /// How many there were at first.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The next message; reads the file where one was needed.
    pub(crate) fn next(&mut self) -> Result<Option<Uid>, Error> {
        match &mut self.source {
            Source::Memory(uids) => Ok(uids.next().and_then(Uid::new)),
            Source::Merge(merge) => {
                let next = merge
                    .next()
                    .map_err(store_fault("reading what is sorted"))?;
                Ok(next.and_then(|(_, uid)| Uid::new(uid)))
            }
        }
    }
}
