//! Sorting more messages than fit in memory: what exceeds a bound is sorted and put into a file
//! without a name; at the end the sorted runs are merged.

use super::{Error, store_fault};
use crate::mail::Uid;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets of one message's keys at most; what is equal so far keeps the order of the mailbox.
pub(super) const MAX_KEY: usize = 4096;
/// Octets of a run read at a time.
const PIECE: usize = 8 * 1024;

/// Collects messages with their keys.
pub(super) struct Sorter {
    keys: Vec<u8>,
    entries: Vec<Entry>,
    /// Octets of keys and entries after which they go to the file.
    at_most: usize,
    file: Option<Arc<File>>,
    /// Where runs begin and end in the file.
    runs: Vec<(u64, u64)>,
    count: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The first octets of the key, which decide most comparisons.
    head: u64,
    start: u32,
    length: u32,
    uid: u32,
}

/// Messages in their order.
pub(crate) struct Sorted {
    count: u32,
    source: Source,
}

enum Source {
    Memory(std::vec::IntoIter<u32>),
    Merge {
        runs: Vec<Run>,
        next: BinaryHeap<Reverse<(Vec<u8>, u32, usize)>>,
    },
}

/// A sorted run in the file.
struct Run {
    file: Arc<File>,
    at: u64,
    end: u64,
    piece: Vec<u8>,
    taken: usize,
}

impl Sorter {
    pub(super) fn new(at_most: usize) -> Sorter {
        Sorter {
            keys: Vec::new(),
            entries: Vec::new(),
            // Places in `keys` are 32 bits wide.
            at_most: at_most.min(1 << 30),
            file: None,
            runs: Vec::new(),
            count: 0,
        }
    }

    /// Adds a message. `scratch` makes the file, if it comes to that.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        uid: Uid,
        scratch: &mut dyn FnMut() -> Result<File, Error>,
    ) -> Result<(), Error> {
        let key = key.get(..MAX_KEY).unwrap_or(key);
        let used = self.keys.len() + self.entries.len() * size_of::<Entry>();
        if used + key.len() > self.at_most && !self.entries.is_empty() {
            self.spill(scratch)?;
        }
        let mut head = [0; 8];
        head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        self.entries.push(Entry {
            head: u64::from_be_bytes(head),
            start: u32::try_from(self.keys.len()).map_err(|_| Error::Fault)?,
            length: u32::try_from(key.len()).map_err(|_| Error::Fault)?,
            uid: uid.number(),
        });
        self.keys.extend_from_slice(key);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn sort(&mut self) {
        let keys = &self.keys;
        self.entries.sort_unstable_by(|a, b| a.compare(b, keys));
    }

    /// Sorts what is there and writes it to the file.
    fn spill(&mut self, scratch: &mut dyn FnMut() -> Result<File, Error>) -> Result<(), Error> {
        let writing = |error: std::io::Error| store_fault("writing what is sorted")(error.into());
        self.sort();
        let file = match &self.file {
            Some(file) => file.clone(),
            None => Arc::new(scratch()?),
        };
        let start = self.runs.last().map_or(0, |run| run.1);
        let mut end = start;
        let mut piece = Vec::with_capacity(PIECE);
        for entry in &self.entries {
            let key = entry.key(&self.keys);
            piece.extend_from_slice(&(key.len() as u16).to_le_bytes());
            piece.extend_from_slice(key);
            piece.extend_from_slice(&entry.uid.to_le_bytes());
            if piece.len() >= PIECE {
                (&*file).write_all(&piece).map_err(writing)?;
                end += piece.len() as u64;
                piece.clear();
            }
        }
        (&*file).write_all(&piece).map_err(writing)?;
        self.runs.push((start, end + piece.len() as u64));
        self.file = Some(file);
        self.keys.clear();
        self.entries.clear();
        Ok(())
    }

    /// The messages in the order of their keys, equal ones in the order of their UIDs.
    pub(super) fn finish(
        mut self,
        scratch: &mut dyn FnMut() -> Result<File, Error>,
    ) -> Result<Sorted, Error> {
        if self.runs.is_empty() {
            self.sort();
            let uids: Vec<u32> = self.entries.iter().map(|entry| entry.uid).collect();
            return Ok(Sorted {
                count: self.count,
                source: Source::Memory(uids.into_iter()),
            });
        }
        self.spill(scratch)?;
        let file = self.file.ok_or(Error::Fault)?;
        let mut runs: Vec<Run> = self
            .runs
            .iter()
            .map(|&(at, end)| Run {
                file: file.clone(),
                at,
                end,
                piece: Vec::new(),
                taken: 0,
            })
            .collect();
        let mut next = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            if let Some((key, uid)) = run.next()? {
                next.push(Reverse((key, uid, at)));
            }
        }
        Ok(Sorted {
            count: self.count,
            source: Source::Merge { runs, next },
        })
    }
}

impl Entry {
    fn key<'k>(&self, keys: &'k [u8]) -> &'k [u8] {
        let start = self.start as usize;
        keys.get(start..start + self.length as usize)
            .unwrap_or_default()
    }

    fn compare(&self, other: &Entry, keys: &[u8]) -> Ordering {
        self.head
            .cmp(&other.head)
            .then_with(|| self.key(keys).cmp(other.key(keys)))
            .then(self.uid.cmp(&other.uid))
    }
}

impl Run {
    /// The next octets of the run; reads on where they are not there yet.
    fn take(&mut self, count: usize) -> Result<&[u8], Error> {
        let reading = |error: std::io::Error| store_fault("reading what is sorted")(error.into());
        if self.piece.len() - self.taken < count {
            self.piece.drain(..self.taken);
            self.taken = 0;
            let had = self.piece.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            self.piece.resize(had + left.min(PIECE.max(count)), 0);
            let room = self.piece.get_mut(had..).unwrap_or_default();
            self.file.read_exact_at(room, self.at).map_err(reading)?;
            self.at += room.len() as u64;
        }
        let start = self.taken;
        self.taken += count;
        self.piece.get(start..start + count).ok_or(Error::Fault)
    }

    fn next(&mut self) -> Result<Option<(Vec<u8>, u32)>, Error> {
        if self.at == self.end && self.taken == self.piece.len() {
            return Ok(None);
        }
        let length = <[u8; 2]>::try_from(self.take(2)?).map_err(|_| Error::Fault)?;
        let key = self.take(usize::from(u16::from_le_bytes(length)))?.to_vec();
        let uid = <[u8; 4]>::try_from(self.take(4)?).map_err(|_| Error::Fault)?;
        Ok(Some((key, u32::from_le_bytes(uid))))
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
            Source::Merge { runs, next } => {
                let Some(Reverse((_, uid, at))) = next.pop() else {
                    return Ok(None);
                };
                let run = runs.get_mut(at).ok_or(Error::Fault)?;
                if let Some((key, uid)) = run.next()? {
                    next.push(Reverse((key, uid, at)));
                }
                Ok(Uid::new(uid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_messages_are_sorted_in_little_memory() {
        let mut state = 5u64;
        let keys: Vec<(Vec<u8>, u32)> = (1..20_000u32)
            .map(|uid| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let length = (state >> 60) as usize;
                let octets = state.to_be_bytes().repeat(2);
                (octets[..length].to_vec(), uid)
            })
            .collect();
        let mut expected = keys.clone();
        expected.sort();
        for at_most in [10_000, 100_000, usize::MAX] {
            let mut files = 0;
            let mut scratch = || {
                files += 1;
                Ok(tempfile::tempfile().unwrap())
            };
            let mut sorter = Sorter::new(at_most);
            for (key, uid) in &keys {
                sorter
                    .add(key, Uid::new(*uid).unwrap(), &mut scratch)
                    .unwrap();
                let used = sorter.keys.len() + sorter.entries.len() * size_of::<Entry>();
                assert!(used <= at_most.saturating_add(64));
            }
            let mut sorted = sorter.finish(&mut scratch).unwrap();
            assert_eq!(sorted.count() as usize, keys.len());
            let mut found = Vec::new();
            while let Some(uid) = sorted.next().unwrap() {
                found.push(uid.number());
            }
            assert!(found.iter().eq(expected.iter().map(|(_, uid)| uid)));
            assert_eq!(files, i32::from(at_most != usize::MAX));
        }
    }
}
