//! Writing a part of a file anew, from an offset to its end, in its place: programs that have the file open
//! and wait for its lock find it where it was, and nobody needs a right on its directory. What is to
//! be there stands in a side file first, durably. Whenever this ends, whoever opens the mailbox next
//! writes it again, and behind it what others appended meanwhile.

use super::from;
use crate::store::Error;
use crate::store::side::disk;
use crate::sys::regular;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The side file, and what it is called until it is whole.
const FILE: &str = "dovelet.rewrite";
const STAGED: &str = "dovelet.rewrite.tmp";
const MAGIC: &[u8; 8] = b"dovelet1";
/// Magic, five numbers and their checksum.
const HEADER: usize = 8 + 5 * 8 + 4;
const BUFFER: usize = 64 * 1024;
/// Octets before the offset that have to be as they were.
const BEFORE: u64 = 4096;
/// File systems have blocks of at most so many octets. Where a file is cut, the rest of its block becomes NULs,
/// which may be on the disk before the file is shorter.
const BLOCK: u64 = 64 * 1024;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    from: u64,
    old_size: u64,
    new_size: u64,
    /// Of the octets before `from`, and of those to be cut off, but for the first, which the side file has.
    before_sum: u64,
    cut_sum: u64,
}

impl Plan {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let numbers = [
            self.from,
            self.old_size,
            self.new_size,
            self.before_sum,
            self.cut_sum,
        ];
        numbers
            .iter()
            .for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn parse(header: &[u8]) -> Option<Plan> {
        let (text, sum) = header.split_at_checked(HEADER - 4)?;
        let whole = sum == crc32fast::hash(text).to_le_bytes();
        let numbers = text.strip_prefix(MAGIC).filter(|_| whole)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .filter_map(|n| Some(u64::from_le_bytes(n.try_into().ok()?)));
        Some(Plan {
            from: numbers.next()?,
            old_size: numbers.next()?,
            new_size: numbers.next()?,
            before_sum: numbers.next()?,
            cut_sum: numbers.next()?,
        })
    }

    /// Octets that are to be cut off and stand behind the new ones in the side file.
    fn kept(&self) -> u64 {
        let block_end = self.new_size.checked_next_multiple_of(BLOCK);
        let end = self.old_size.min(block_end.unwrap_or(u64::MAX));
        end.saturating_sub(self.new_size)
    }
}

/// True if a rewriting was begun.
pub(super) fn is_begun(side: &Path) -> bool {
    side.join(FILE).exists()
}

/// What is to stand from an offset of a file to its end, while it is written.
pub(super) struct Rewrite<'a> {
    file: &'a File,
    side: PathBuf,
    staged: File,
    plan: Plan,
    buffer: Vec<u8>,
    written: u64,
}

impl<'a> Rewrite<'a> {
    pub(super) fn begin(file: &'a File, side: &Path, from: u64) -> Result<Rewrite<'a>, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let staged = disk::create(&side.join(STAGED), options.mode(0o600))?;
        let old_size = file.metadata()?.len();
        Ok(Rewrite {
            file,
            side: side.to_owned(),
            staged,
            plan: Plan {
                from,
                old_size,
                new_size: from,
                before_sum: sum(file, from.saturating_sub(BEFORE), from)?,
                cut_sum: 0,
            },
            buffer: vec![0; HEADER],
            written: 0,
        })
    }

    /// The file as it is.
    pub(super) fn file(&self) -> &'a File {
        self.file
    }

    /// Where the next octets will be.
    pub(super) fn position(&self) -> u64 {
        self.plan.new_size
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.plan.new_size += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        disk::write_at(&self.staged, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Adds octets of the file as it is.
    pub(super) fn copy(&mut self, start: u64, end: u64) -> Result<(), Error> {
        self.copy_from(self.file, start, end)
    }

    fn copy_from(&mut self, from: &File, start: u64, end: u64) -> Result<(), Error> {
        let mut at = start;
        while at < end {
            let have = self.buffer.len();
            let room = BUFFER.saturating_sub(have).max(1);
            let count = usize::try_from(end - at).unwrap_or(room).min(room);
            self.buffer.resize(have + count, 0);
            let piece = self.buffer.get_mut(have..).unwrap_or_default();
            from.read_exact_at(piece, at)?;
            self.plan.new_size += count as u64;
            at += count as u64;
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Has the side file say all that is to be done. Durable.
    fn commit(&mut self) -> Result<Plan, Error> {
        let mut plan = self.plan;
        let (start, kept) = (plan.new_size, plan.new_size + plan.kept());
        self.copy(start, kept)?;
        self.flush()?;
        plan.cut_sum = sum(self.file, kept, plan.old_size)?;
        disk::write_at(&self.staged, &plan.encode(), 0)?;
        disk::sync_data(&self.staged)?;
        // Of what was written to the file before, all is as it was summed up, or it would seem to be another.
        disk::sync_data(self.file)?;
        disk::rename_over(&self.side.join(STAGED), &self.side.join(FILE))?;
        disk::sync_directory_at(&self.side)?;
        Ok(plan)
    }

    /// Does it. Durable. After an error the file is to be recovered.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let plan = self.commit()?;
        apply(self.file, &self.staged, &plan)?;
        end(&self.side)
    }

    /// Gives it up before it began.
    pub(super) fn forget(self) {
        let _ = disk::remove(&self.side.join(STAGED));
    }
}

/// A checksum of octets of a file; of those that there are.
fn sum(file: &File, start: u64, end: u64) -> io::Result<u64> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; BUFFER];
    let mut at = start;
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let read = file.read_at(piece.get_mut(..count).unwrap_or_default(), at)?;
        if read == 0 {
            break;
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(u64::from(hasher.finalize()))
}

fn apply(file: &File, staged: &File, plan: &Plan) -> Result<(), Error> {
    let mut piece = vec![0; BUFFER];
    let mut at = plan.from;
    while at < plan.new_size {
        let count = usize::try_from(plan.new_size - at)
            .unwrap_or(BUFFER)
            .min(BUFFER);
        let piece = piece.get_mut(..count).unwrap_or_default();
        staged.read_exact_at(piece, HEADER as u64 + at - plan.from)?;
        disk::write_at(file, piece, at)?;
        at += count as u64;
    }
    disk::sync_data(file)?;
    if plan.new_size < plan.old_size {
        disk::set_length(file, plan.new_size)?;
        disk::sync_data(file)?;
    }
    Ok(())
}

/// The side file goes before anything else is done with the file.
fn end(side: &Path) -> Result<(), Error> {
    disk::remove(&side.join(FILE))?;
    Ok(disk::sync_directory_at(side)?)
}

/// Ends a rewriting that was begun, whose lock the caller has. Durable.
pub(super) fn recover(file: &File, side: &Path) -> Result<(), Error> {
    let path = side.join(FILE);
    let staged = match regular::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut header = [0; HEADER];
    let read = staged.read_exact_at(&mut header, 0);
    let plan = read.ok().and_then(|()| Plan::parse(&header));
    let octets = staged.metadata()?.len();
    let Some((plan, kept)) = plan.and_then(|plan| Some((plan, kept(&plan, octets)?))) else {
        log::error!("{} is damaged and is left out", path.display());
        return end(side);
    };
    let size = file.metadata()?.len();
    let before = sum(file, plan.from.saturating_sub(BEFORE), plan.from)?;
    if size < plan.from || before != plan.before_sum {
        log::warn!("{}: somebody wrote the file anew", path.display());
        return end(side);
    }
    let tail = tail(file, &staged, &plan, size, kept)?;
    if tail == size {
        let plan = Plan {
            old_size: size.max(plan.old_size),
            ..plan
        };
        apply(file, &staged, &plan)?;
        return end(side);
    }
    log::info!("{}: others appended to the file meanwhile", path.display());
    let mut rewrite = Rewrite::begin(file, side, plan.from)?;
    let start = HEADER as u64;
    rewrite.copy_from(&staged, start, start + plan.new_size - plan.from)?;
    rewrite.copy(tail, size)?;
    rewrite.finish()
}

/// Octets of the file that a side file of so many octets has behind the new ones, none if an earlier version
/// left it; `None`: it is not whole.
fn kept(plan: &Plan, octets: u64) -> Option<u64> {
    let new = plan.new_size.checked_sub(plan.from)?;
    let kept = octets.checked_sub(HEADER as u64)?.checked_sub(new)?;
    [0, plan.kept()].contains(&kept).then_some(kept)
}

/// Where in the file begins what others appended since. `kept`: octets of it in the side file.
fn tail(file: &File, staged: &File, plan: &Plan, size: u64, kept: u64) -> io::Result<u64> {
    if plan.new_size <= plan.old_size {
        // Cut already, or not yet.
        return Ok(
            match size >= plan.old_size && is_there(file, staged, plan, kept)? {
                true => plan.old_size,
                false => plan.new_size.min(size),
            },
        );
    }
    // What it grew by may be there in part.
    let mut at = plan.old_size;
    let end = plan.new_size.min(size);
    let (mut own, mut there) = (vec![0; BUFFER], vec![0; BUFFER]);
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let own = own.get_mut(..count).unwrap_or_default();
        let there = there.get_mut(..count).unwrap_or_default();
        staged.read_exact_at(own, HEADER as u64 + at - plan.from)?;
        file.read_exact_at(there, at)?;
        let differs = |(own, there): (&u8, &u8)| own != there && *there != 0;
        if let Some(place) = own.iter().zip(there.iter()).position(differs) {
            return begin_of_message(file, plan.old_size, at + place as u64);
        }
        at += count as u64;
    }
    Ok(end.max(size.min(plan.old_size)))
}

/// True if what is to be cut off is there, or NULs in place of the octets that the side file has.
fn is_there(file: &File, staged: &File, plan: &Plan, kept: u64) -> io::Result<bool> {
    let octets = usize::try_from(kept).unwrap_or(0);
    let (mut own, mut there) = (vec![0; octets], vec![0; octets]);
    staged.read_exact_at(&mut own, HEADER as u64 + plan.new_size - plan.from)?;
    file.read_exact_at(&mut there, plan.new_size)?;
    let same = |(own, there): (&u8, &u8)| own == there || *there == 0;
    let first = own.iter().zip(&there).all(same);
    Ok(first && sum(file, plan.new_size + kept, plan.old_size)? == plan.cut_sum)
}

/// The last place up to there where a message begins; else that place.
fn begin_of_message(file: &File, lowest: u64, place: u64) -> io::Result<u64> {
    let start = lowest.max(place.saturating_sub(from::MAX_LINE as u64));
    let mut bytes = vec![0; 2 * from::MAX_LINE];
    let read = file.read_at(&mut bytes, start)?;
    bytes.truncate(read);
    let until = usize::try_from(place - start).unwrap_or(0);
    let begins = |at: &usize| {
        let line = bytes.get(*at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
        let first =
            *at == 0 || bytes.get(*at - 1) == Some(&b'\n') || bytes.get(*at - 1) == Some(&0);
        first && from::parse(line.get(..end).unwrap_or_default()).is_some()
    };
    let found = (0..=until.min(read)).rev().find(begins);
    Ok(found.map_or(place, |at| start + at as u64))
}

/// Bytes that take the place of as many others at once: fields of a header, whose lines stay.
pub(super) fn patch(file: &File, patches: &[(u64, Vec<u8>)]) -> io::Result<()> {
    patches
        .iter()
        .try_for_each(|(at, bytes)| disk::write_at(file, bytes, *at))
}

/// Makes the side file that a process leaves which is killed in between.
#[cfg(test)]
pub(super) fn leave_begun(rewrite: Rewrite<'_>, applied: u64) {
    let mut rewrite = rewrite;
    let plan = rewrite.commit().unwrap();
    let part = Plan {
        new_size: plan.new_size.min(plan.from.saturating_add(applied)),
        old_size: 0,
        ..plan
    };
    apply(rewrite.file, &rewrite.staged, &part).unwrap();
    if applied == u64::MAX {
        rewrite.file.set_len(plan.new_size).unwrap();
    }
}

#[cfg(test)]
mod tests;
