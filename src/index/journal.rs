//! What changed in the rows since redb last made its file durable, noted in a file beside that.
//!
//! A durable commit of redb writes every page that changed, those above it and what says which pages are
//! free: some 50 KB for one flag. A note says what changed of each row, in a few dozen octets. So redb's
//! commits stay in memory while the notes have room; then one durable commit has all of them. That gives
//! the notes which follow a new number: those with another one are left over, and say nothing.
//!
//! Where changes come too fast to be noted, that commit waits until they come no more, or some seconds: it writes pages
//! that are filled by half and what says which are free, and the next one would write those again.

use super::bits::{put_varint, take, take_varint};
use super::checksum;
use crate::sys::regular;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Octets of the file. More changes than fit in are redb's to make durable.
const OCTETS: u64 = 64 << 10;
/// It is filled in pieces of this: where the kernel has read or written more at once, it takes that as one page,
/// all of which counts as changed by a note.
const PIECE: usize = 4096;
/// Of a note before its changes: their number, how many octets they have, a checksum.
const HEAD: usize = 16;
/// So often in a row a commit of redb's may wait for more changes.
pub(super) const MAX_WAITS: u32 = 8;

const PUT: u8 = 0;
const REMOVE: u8 = 0x40;
const REMOVE_RANGE: u8 = 0x80;
const KIND: u8 = 0x3f;

/// What transactions changed, in their order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    /// More than are noted, or something that must not be.
    too_many: bool,
    /// Transactions, round and round.
    count: u32,
}

/// One of them: the row of that key gets another value, or it goes, or all rows from that key to `last` go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) table: u8,
    pub(super) key: &'a [u8],
    pub(super) what: What<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// `patches` and `end` make the value of the one that it has ([`patched`]).
    Put {
        patches: &'a [u8],
        end: usize,
        checksum: [u8; checksum::OCTETS],
    },
    Remove,
    RemoveRange {
        last: &'a [u8],
    },
}

impl Changes {
    /// Takes none.
    pub(super) fn off() -> Changes {
        Changes {
            bytes: Vec::new(),
            too_many: true,
            count: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.too_many
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.too_many
    }

    /// A row with its checksum was stored instead of that one.
    pub(super) fn put(&mut self, table: u8, key: &[u8], old: Option<&[u8]>, row: &[u8]) {
        let old = old.map_or(&[][..], checksum::unsealed);
        let Some((new, sum)) = row.split_last_chunk::<{ checksum::OCTETS }>() else {
            return;
        };
        if self.too_many {
            return;
        }
        let (patches, end) = patches(old, new);
        self.begin(PUT | table, key);
        put_text(&patches, &mut self.bytes);
        put_varint(end as u64, &mut self.bytes);
        self.bytes.extend_from_slice(sum);
        self.bound();
    }

    pub(super) fn remove(&mut self, table: u8, key: &[u8]) {
        self.begin(REMOVE | table, key);
        self.bound();
    }

    pub(super) fn remove_range(&mut self, table: u8, first: &[u8], last: &[u8]) {
        self.begin(REMOVE_RANGE | table, first);
        put_text(last, &mut self.bytes);
        self.bound();
    }

    /// Those of the next transaction, which was committed.
    pub(super) fn add(&mut self, next: &Changes) {
        self.too_many |= next.too_many;
        self.bytes.extend_from_slice(&next.bytes);
        self.bound();
        self.count = self.count.wrapping_add(1);
    }

    fn begin(&mut self, what: u8, key: &[u8]) {
        self.bytes.push(what);
        put_text(key, &mut self.bytes);
    }

    fn bound(&mut self) {
        if self.too_many || self.bytes.len() as u64 > OCTETS {
            *self = Changes {
                count: self.count,
                ..Changes::off()
            };
        }
    }
}

impl<'a> Change<'a> {
    /// Takes one off the front.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Option<Change<'a>> {
        let what = *take(bytes, 1)?.first()?;
        let key = take_text(bytes)?;
        Some(Change {
            table: what & KIND,
            key,
            what: match what & !KIND {
                PUT => What::Put {
                    patches: take_text(bytes)?,
                    end: take_length(bytes)?,
                    checksum: take(bytes, checksum::OCTETS)?.try_into().ok()?,
                },
                REMOVE => What::Remove,
                REMOVE_RANGE => What::RemoveRange {
                    last: take_text(bytes)?,
                },
                _ => return None,
            },
        })
    }
}

/// So many octets that are the same do not end a patch: noting where another begins takes as many.
const GAP: usize = 3;
/// Octets that are compared at a time.
const PART: usize = 64;

/// What makes a value of an old one: patches, each so many octets of the old one, then others in place of as
/// many of its own; and how many octets of its end follow the last.
pub(super) fn patches(old: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
    let room = old.len().min(new.len());
    let both = old.iter().rev().zip(new.iter().rev());
    let same = both.take_while(|(old, new)| old == new).count();
    let aligned = alike(old, new);
    let end = same.min(room - aligned);
    let stop = new.len() - end;
    let differs = |at: usize| at >= old.len() - end || old.get(at) != new.get(at);
    let (mut out, mut done, mut at) = (Vec::new(), 0, aligned);
    while at < stop {
        let mut last = at;
        let mut next = at + 1;
        while next < stop && next - last <= GAP {
            if differs(next) {
                last = next;
            }
            next += 1;
        }
        put_varint((at - done) as u64, &mut out);
        put_text(new.get(at..=last).unwrap_or_default(), &mut out);
        done = last + 1;
        at = (done..stop).find(|at| differs(*at)).unwrap_or(stop);
    }
    if done < stop {
        put_varint((stop - done) as u64, &mut out);
        put_text(&[], &mut out);
    }
    (out, end)
}

/// How many octets two texts begin with that are the same; of long ones many at a time.
fn alike(old: &[u8], new: &[u8]) -> usize {
    let both = old.chunks_exact(PART).zip(new.chunks_exact(PART));
    let parts = PART * both.take_while(|(old, new)| old == new).count();
    let (old, new) = (
        old.get(parts..).unwrap_or_default(),
        new.get(parts..).unwrap_or_default(),
    );
    let both = old.iter().zip(new);
    parts + both.take_while(|(old, new)| old == new).count()
}

/// The value that patches make; `None` if they are not of that one.
pub(super) fn patched(old: &[u8], mut patches: &[u8], end: usize) -> Option<Vec<u8>> {
    let mut new = Vec::with_capacity(old.len() + patches.len());
    while !patches.is_empty() {
        let kept = take_length(&mut patches)?;
        let at = new.len();
        new.extend_from_slice(old.get(at..at.checked_add(kept)?)?);
        new.extend_from_slice(take_text(&mut patches)?);
    }
    new.extend_from_slice(old.get(old.len().checked_sub(end)?..)?);
    Some(new)
}

fn put_text(text: &[u8], out: &mut Vec<u8>) {
    put_varint(text.len() as u64, out);
    out.extend_from_slice(text);
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_varint(bytes)?).ok()
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    take(bytes, length)
}

/// The file, and what is to be noted in it next.
pub(super) struct Journal {
    notes: Mutex<Notes>,
    /// Of transactions that are committed and not noted.
    changes: Mutex<Changes>,
}

/// The file.
pub(super) struct Notes {
    path: PathBuf,
    file: Option<File>,
    pub(super) number: u64,
    /// Where the next one begins.
    end: u64,
    /// How often a commit of redb's waited since the last, and how many changes there were when it did so last.
    waits: u32,
    waited_at: u32,
    /// It could not be written: redb has to do it alone.
    is_given_up: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// That of an index whose next notes have that number.
    pub(super) fn new(path: PathBuf, number: u64) -> Journal {
        let notes = Notes {
            path,
            file: None,
            number,
            end: 0,
            waits: 0,
            waited_at: 0,
            is_given_up: false,
        };
        Journal {
            notes: Mutex::new(notes),
            changes: Mutex::default(),
        }
    }

    /// Whoever has them makes something durable. To be locked before the changes.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    /// Whoever has them commits; in the order of commits they are noted.
    pub(super) fn changes(&self) -> MutexGuard<'_, Changes> {
        lock(&self.changes)
    }

    /// All changes that are not noted.
    pub(super) fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes())
    }
}

impl Notes {
    /// Notes changes durably; false if that cannot be done: redb has to make them durable then.
    pub(super) fn note(&mut self, changes: &Changes) -> bool {
        if !self.have_room(changes) {
            return false;
        }
        let Some(note) = note(self.number, &changes.bytes) else {
            return false;
        };
        match self.write(&note) {
            Ok(()) => {
                self.end += note.len() as u64;
                true
            }
            Err(error) => {
                log::warn!(
                    "{}: {error}; the index is written instead",
                    self.path.display()
                );
                self.give_up();
                false
            }
        }
    }

    /// True if a commit of redb's that has these changes should wait for those that come: some came since it was last
    /// asked, and it was not too often.
    pub(super) fn waits(&mut self, changes: &Changes) -> bool {
        let before = (self.waits > 0).then_some(self.waited_at);
        self.waited_at = changes.count;
        self.waits = self.waits.saturating_add(1);
        self.waits <= MAX_WAITS && before != Some(changes.count)
    }

    /// True if changes can be noted, as far as that can be said beforehand.
    pub(super) fn have_room(&self, changes: &Changes) -> bool {
        let octets = (HEAD + changes.bytes.len()) as u64;
        !changes.too_many && !self.is_given_up && self.end + octets <= OCTETS
    }

    /// redb's file has all that was noted; what comes gets another number.
    pub(super) fn begin(&mut self, number: u64) {
        (self.number, self.end) = (number, 0);
        self.waits = 0;
    }

    /// Nothing is noted in it any more.
    fn give_up(&mut self) {
        self.is_given_up = true;
        self.file = None;
    }

    /// Takes the file away: what it says does not fit redb's file any more.
    pub(super) fn remove(&mut self) {
        self.give_up();
        let _ = std::fs::remove_file(&self.path);
    }

    fn write(&mut self, note: &[u8]) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path)?),
        };
        file.write_all_at(note, self.end)?;
        file.sync_data()
    }
}

/// The file with all its octets on the disk, so that a note changes no more than its own.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = regular::open_with(path, options)?;
    if file.metadata()?.len() < OCTETS {
        let mut pieces = (0..OCTETS).step_by(PIECE);
        let filled = pieces.try_for_each(|at| file.write_all_at(&[0; PIECE], at));
        if let Err(error) = filled.and_then(|()| file.sync_all()) {
            // What is made by half takes room from others.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(file)
}

/// Changes as they are written.
pub(super) fn note(number: u64, changes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(changes.len()).ok()?;
    let mut note = Vec::with_capacity(HEAD + changes.len());
    note.extend_from_slice(&number.to_le_bytes());
    note.extend_from_slice(&length.to_le_bytes());
    note.extend_from_slice(&sum(number, changes));
    note.extend_from_slice(changes);
    Some(note)
}

fn sum(number: u64, changes: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&(changes.len() as u64).to_le_bytes());
    hasher.update(changes);
    hasher.finalize().to_le_bytes()
}

/// What the file beside an index has; nothing if there is none, or none that can be read.
pub(super) fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = regular::open(path).and_then(|file| {
        // Page by page: see `PIECE`.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
        file.take(OCTETS).read_to_end(&mut bytes)
    });
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!("{}: {error}", path.display());
            Vec::new()
        }
        _ => bytes,
    }
}

/// Takes the changes of a note with that number off the front; `None` if none, or no whole one, is there.
pub(super) fn take_note<'a>(bytes: &mut &'a [u8], number: u64) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let own = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
    let length = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
    let checksum = take(&mut rest, 4)?;
    let changes = take(&mut rest, usize::try_from(length).ok()?)?;
    let is_whole = own == number && sum(number, changes) == checksum;
    is_whole.then(|| {
        *bytes = rest;
        changes
    })
}
