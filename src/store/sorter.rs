//! Sorting more than fits in memory: what exceeds a bound is sorted and put into a file without a name;
//! at the end the sorted runs are merged.

use super::Error;
use super::side::room;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets of all runs read at a time are as many as are sorted in memory, and of one of them at most and at
/// least so many.
const PIECE: usize = 8 * 1024;
const MIN_PIECE: usize = 512;

/// Makes a file, if it comes to that.
pub(crate) type Scratch<'a> = dyn FnMut() -> Result<File, Error> + 'a;

/// Collects records: a key, which is compared first, octet by octet, and a number behind it.
pub(crate) struct Sorter {
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
    length: u16,
    number: u32,
}

/// Records in their order, which can be gone through again and again.
pub(crate) struct Sorted {
    keys: Vec<u8>,
    entries: Vec<Entry>,
    file: Option<Arc<File>>,
    runs: Vec<(u64, u64)>,
    piece: usize,
    count: u32,
}

/// Goes through the runs of a file.
pub(crate) struct Merge {
    runs: Vec<Run>,
    next: BinaryHeap<Head>,
    /// The record that was handed out.
    key: Vec<u8>,
}

/// Goes through all records.
pub(crate) struct Records<'s>(Source<'s>);

enum Source<'s> {
    Memory(&'s [u8], std::slice::Iter<'s, Entry>),
    File(Merge),
}

/// A sorted run in the file.
struct Run {
    file: Arc<File>,
    at: u64,
    end: u64,
    at_a_time: usize,
    piece: Vec<u8>,
    taken: usize,
}

/// The record of a run that comes next.
struct Head {
    key: Vec<u8>,
    number: u32,
    run: usize,
}

impl Sorter {
    /// `at_most`: octets in memory, beside one record.
    pub(crate) fn new(at_most: usize) -> Sorter {
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

    /// Octets in memory now.
    pub(crate) fn octets(&self) -> usize {
        self.keys.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Adds a record, whose key has less than 64 KiB. Errors: those of `scratch` and of writing its file.
    pub(crate) fn add(
        &mut self,
        key: &[u8],
        number: u32,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        let long = Error::Corrupt { what: "a sort key" };
        let length = u16::try_from(key.len()).map_err(|_| long)?;
        if self.octets() + key.len() > self.at_most && !self.entries.is_empty() {
            let octets = self.octets();
            let stays = room::or_in_memory(self.spill(scratch), octets)?;
            self.at_most = stays.unwrap_or(self.at_most);
        }
        let mut head = [0; 8];
        head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        self.entries.push(Entry {
            head: u64::from_be_bytes(head),
            start: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            length,
            number,
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
    fn spill(&mut self, scratch: &mut Scratch<'_>) -> Result<(), Error> {
        self.sort();
        let file = match &self.file {
            Some(file) => file.clone(),
            None => Arc::new(scratch()?),
        };
        let start = self.runs.last().map_or(0, |run| run.1);
        let mut end = start;
        let mut piece = Vec::with_capacity(PIECE);
        for entry in &self.entries {
            piece.extend_from_slice(&entry.length.to_le_bytes());
            piece.extend_from_slice(entry.key(&self.keys));
            piece.extend_from_slice(&entry.number.to_le_bytes());
            if piece.len() >= PIECE {
                // What a full disk left of a run before is written over.
                file.write_all_at(&piece, end)?;
                end += piece.len() as u64;
                piece.clear();
            }
        }
        file.write_all_at(&piece, end)?;
        self.runs.push((start, end + piece.len() as u64));
        self.file = Some(file);
        self.keys.clear();
        self.entries.clear();
        Ok(())
    }

    /// The records in their order. Errors: as of `add`.
    pub(crate) fn finish(mut self, scratch: &mut Scratch<'_>) -> Result<Sorted, Error> {
        if self.runs.is_empty() {
            self.sort();
        } else {
            self.spill(scratch)?;
            (self.keys, self.entries) = Default::default();
        }
        let piece = self.at_most / self.runs.len().max(1);
        Ok(Sorted {
            keys: self.keys,
            entries: self.entries,
            file: self.file,
            runs: self.runs,
            piece: piece.clamp(MIN_PIECE, PIECE),
            count: self.count,
        })
    }
}

impl Entry {
    fn key<'k>(&self, keys: &'k [u8]) -> &'k [u8] {
        let start = self.start as usize;
        keys.get(start..start + usize::from(self.length))
            .unwrap_or_default()
    }

    fn compare(&self, other: &Entry, keys: &[u8]) -> Ordering {
        self.head
            .cmp(&other.head)
            .then_with(|| self.key(keys).cmp(other.key(keys)))
            .then(self.number.cmp(&other.number))
    }
}

impl Sorted {
    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Goes through them from the first one on. Errors: those of reading the file.
    pub(crate) fn records(&self) -> Result<Records<'_>, Error> {
        Ok(match self.merge()? {
            Some(merge) => Records(Source::File(merge)),
            None => Records(Source::Memory(&self.keys, self.entries.iter())),
        })
    }

    /// Goes through them if they are in a file; `None` if they are in memory.
    pub(crate) fn merge(&self) -> Result<Option<Merge>, Error> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let run = |&(at, end): &(u64, u64)| Run {
            file: file.clone(),
            at,
            end,
            at_a_time: self.piece,
            piece: Vec::new(),
            taken: 0,
        };
        let mut runs: Vec<Run> = self.runs.iter().map(run).collect();
        let mut next = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            let mut key = Vec::new();
            if let Some(number) = run.next(&mut key)? {
                next.push(Head {
                    key,
                    number,
                    run: at,
                });
            }
        }
        let key = Vec::new();
        Ok(Some(Merge { runs, next, key }))
    }

    /// The numbers of records that are in memory, in the order of these.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.number)
    }
}

impl Run {
    /// The next octets of the run; reads on where they are not there yet.
    fn take(&mut self, count: usize) -> Result<&[u8], Error> {
        if self.piece.len() - self.taken < count {
            self.piece.drain(..self.taken);
            self.taken = 0;
            let had = self.piece.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let more = left.min(self.at_a_time.max(count));
            self.piece.reserve_exact(more);
            self.piece.resize(had + more, 0);
            let room = self.piece.get_mut(had..).unwrap_or_default();
            self.file.read_exact_at(room, self.at)?;
            self.at += room.len() as u64;
        }
        let start = self.taken;
        self.taken += count;
        let taken = self.piece.get(start..start + count);
        taken.ok_or(Error::Corrupt {
            what: "a sorted run",
        })
    }

    /// Puts the next key there and returns its number; `None` at the end.
    fn next(&mut self, key: &mut Vec<u8>) -> Result<Option<u32>, Error> {
        key.clear();
        if self.at == self.end && self.taken == self.piece.len() {
            return Ok(None);
        }
        let corrupt = |_| Error::Corrupt {
            what: "a sorted run",
        };
        let length = <[u8; 2]>::try_from(self.take(2)?).map_err(corrupt)?;
        key.extend_from_slice(self.take(usize::from(u16::from_le_bytes(length)))?);
        let number = <[u8; 4]>::try_from(self.take(4)?).map_err(corrupt)?;
        Ok(Some(u32::from_le_bytes(number)))
    }
}

impl Merge {
    /// The next record; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<(&[u8], u32)>, Error> {
        let Some(mut head) = self.next.peek_mut() else {
            return Ok(None);
        };
        let (number, at) = (head.number, head.run);
        std::mem::swap(&mut self.key, &mut head.key);
        let run = self.runs.get_mut(at);
        let run = run.ok_or(Error::Corrupt {
            what: "a sorted run",
        })?;
        match run.next(&mut head.key)? {
            Some(next) => head.number = next,
            None => drop(PeekMut::pop(head)),
        }
        Ok(Some((&self.key, number)))
    }
}

impl Records<'_> {
    /// As [`Merge::next`].
    pub(crate) fn next(&mut self) -> Result<Option<(&[u8], u32)>, Error> {
        match &mut self.0 {
            Source::Memory(keys, entries) => {
                let entry = entries.next();
                Ok(entry.map(|entry| (entry.key(keys), entry.number)))
            }
            Source::File(merge) => merge.next(),
        }
    }
}

impl Ord for Head {
    /// The highest is that which comes first.
    fn cmp(&self, other: &Head) -> Ordering {
        let own = (&self.key, self.number, self.run);
        (&other.key, other.number, other.run).cmp(&own)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_records_are_sorted_in_little_memory() {
        let mut state = 5u64;
        let keys: Vec<(Vec<u8>, u32)> = (1..20_000u32)
            .map(|number| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let length = (state >> 60) as usize;
                let octets = state.to_be_bytes().repeat(2);
                (octets[..length].to_vec(), number)
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
            for (key, number) in &keys {
                sorter.add(key, *number, &mut scratch).unwrap();
                assert!(sorter.octets() <= at_most.saturating_add(64));
            }
            let sorted = sorter.finish(&mut scratch).unwrap();
            assert_eq!(sorted.count() as usize, keys.len());
            for _ in 0..2 {
                let mut records = sorted.records().unwrap();
                let mut found = Vec::new();
                while let Some((key, number)) = records.next().unwrap() {
                    found.push((key.to_vec(), number));
                }
                assert!(found == expected, "{at_most}");
            }
            assert_eq!(files, i32::from(at_most != usize::MAX));
        }
    }
}
