//! Rows of one length in the order in which they came: in memory or, once they are more than a few, in a file without
//! a name, of which one block at a time is in memory.

use super::scratchpad::Scratchpad;
use crate::store::Error;
use crate::store::side::room;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Rows of a block.
const BLOCK: u32 = if cfg!(test) { 4 } else { 256 };

pub(super) struct Rows<const N: usize> {
    /// The last ones, which are in no file; before there is one, all, up to so many.
    tail: Vec<[u8; N]>,
    at_most: usize,
    file: Option<File>,
    /// Rows in the file: whole blocks.
    filed: u32,
    /// The first row of each block.
    firsts: Vec<[u8; N]>,
    last_read: RefCell<Block<N>>,
}

/// A block of the file.
#[derive(Default)]
struct Block<const N: usize> {
    number: Option<u32>,
    rows: Vec<[u8; N]>,
}

impl<const N: usize> Rows<N> {
    /// `octets`: what may be in memory before there is a file.
    pub(super) fn new(octets: usize) -> Rows<N> {
        let block = BLOCK as usize;
        Rows {
            tail: Vec::new(),
            at_most: (octets / N / block).max(1) * block,
            file: None,
            filed: 0,
            firsts: Vec::new(),
            last_read: RefCell::default(),
        }
    }

    pub(super) fn len(&self) -> u32 {
        let tail = u32::try_from(self.tail.len()).unwrap_or(u32::MAX);
        self.filed.saturating_add(tail)
    }

    /// Errors: those of making a file and writing it; `TooMany`.
    pub(super) fn push(&mut self, row: [u8; N], pad: &Scratchpad) -> Result<(), Error> {
        if self.tail.len() >= self.at_most {
            let octets = self.tail.len() * N;
            if room::or_in_memory(self.spill(pad), octets)?.is_some() {
                self.at_most *= 2;
            }
        }
        if self.len() == u32::MAX {
            return Err(Error::TooMany);
        }
        self.tail.push(row);
        Ok(())
    }

    /// Puts what is in memory into the file.
    fn spill(&mut self, pad: &Scratchpad) -> Result<(), Error> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(pad.file()?),
        };
        file.write_all_at(self.tail.as_flattened(), place::<N>(self.filed))?;
        self.firsts.extend(self.tail.iter().step_by(BLOCK as usize));
        self.filed = self.len();
        self.at_most = BLOCK as usize;
        self.tail = Vec::new();
        Ok(())
    }

    /// The row of that number, from 0. Errors: `Corrupt` if there is none; those of reading the file.
    pub(super) fn at(&self, number: u32) -> Result<[u8; N], Error> {
        let row = match number.checked_sub(self.filed) {
            Some(place) => self.tail.get(place as usize).copied(),
            None => {
                let place = (number % BLOCK) as usize;
                self.with_block(number / BLOCK, |rows| rows.get(place).copied())?
            }
        };
        row.ok_or(Error::Corrupt { what: "a row" })
    }

    fn with_block<T>(&self, number: u32, see: impl Fn(&[[u8; N]]) -> T) -> Result<T, Error> {
        let mut block = self.last_read.borrow_mut();
        if let Some(file) = self.file.as_ref().filter(|_| block.number != Some(number)) {
            block.number = None;
            block.rows.resize(BLOCK as usize, [0; N]);
            let start = place::<N>(number * BLOCK);
            file.read_exact_at(block.rows.as_flattened_mut(), start)?;
            block.number = Some(number);
        }
        Ok(see(&block.rows))
    }

    /// Of rows that ascend, the number of the first that does not begin with less; how many there are, if all do.
    pub(super) fn first_from(&self, key: &[u8]) -> Result<u32, Error> {
        let less = |row: &[u8; N]| row.as_slice() < key;
        let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        let blocks = count(self.firsts.partition_point(less));
        if let Some(block) = blocks.checked_sub(1) {
            let within = self.with_block(block, |rows| rows.partition_point(less))?;
            let number = block * BLOCK + count(within);
            if number < self.filed {
                return Ok(number);
            }
        } else if self.filed > 0 {
            return Ok(0);
        }
        Ok(self.filed + count(self.tail.partition_point(less)))
    }

    /// Of rows that ascend, the first that begins like that.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<[u8; N]>, Error> {
        let number = self.first_from(key)?;
        if number == self.len() {
            return Ok(None);
        }
        Ok(Some(self.at(number)?).filter(|row| row.starts_with(key)))
    }
}

/// Where a row is in the file.
fn place<const N: usize>(number: u32) -> u64 {
    u64::from(number) * N as u64
}

/// A row of these parts; what is missing is 0.
pub(super) fn row<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut row = [0; N];
    let octets = parts.iter().copied().flatten();
    row.iter_mut()
        .zip(octets)
        .for_each(|(to, from)| *to = *from);
    row
}

/// The next part of a row.
pub(super) fn part<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((part, behind)) => {
            *rest = behind;
            *part
        }
        None => [0; N],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_wherever_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let pad = Scratchpad::new(directory.path());
        for count in [0, 1, 3, 4, 5, 8, 9, 40, 41] {
            for octets in [0, 64, 1 << 20] {
                let mut rows: Rows<6> = Rows::new(octets);
                for number in 0..count {
                    let row = row(&[&u32::to_be_bytes(number * 3), b"xy"]);
                    rows.push(row, &pad).unwrap();
                }
                assert_eq!(rows.len(), count);
                let at_most = (octets / 6 / 4).max(1) * 4;
                assert_eq!(rows.file.is_some(), count as usize > at_most);
                for number in (0..count).chain((0..count).rev()) {
                    let mut row = &rows.at(number).unwrap()[..];
                    assert_eq!(part(&mut row), u32::to_be_bytes(number * 3));
                    assert_eq!(&part::<3>(&mut row), &[0; 3], "there are two octets more");
                    let key = |add| u32::to_be_bytes(number * 3 + add);
                    assert_eq!(rows.first_from(&key(0)).unwrap(), number);
                    assert_eq!(rows.first_from(&key(1)).unwrap(), number + 1);
                    assert!(rows.find(&key(0)).unwrap().is_some());
                    assert!(rows.find(&key(1)).unwrap().is_none());
                }
                assert!(rows.at(count).is_err());
            }
        }
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 0);
    }
}
