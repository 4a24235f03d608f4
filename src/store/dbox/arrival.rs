//! What the frame of a message in mdbox says of its arrival, in the last line of its metadata: `U<uid> <UIDVALIDITY>
//! <GUID of the mailbox> <save date> <flags> <sum>`. So a message that came alone is found without its line in the
//! log of the mailbox, which then need not be durable before it is acknowledged. The sum is a CRC-32 of all of the
//! frame before that line: of a frame that nobody waited for, a power cut may leave any part.
//!
//! Blanks may follow the sum: each such frame is synced by itself, and one that begins shortly before a block of the
//! disk ends has that block written once more, for a few octets. So the frame before it takes these.

use super::framing::{ARRIVAL, Metadata};
use super::walk::Framed;
use crate::mail::{Guid, SystemFlags, Uid, UidValidity};
use crate::store::maildir::name;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What a mailbox is called as long as its UIDs are what they are.
pub(super) type Identity = (UidValidity, Guid);

/// Octets of a frame that are read at a time.
const PIECE: usize = 64 * 1024;
/// Octets that a disk is given at least, wherever in a file. A log is filled up to a multiple of it: a line that fits
/// in changes its bytes alone, and a sync writes nothing else.
pub(super) const BLOCK: u64 = 4096;
/// Blanks behind the sum, at most: half of that in every twelfth frame or so.
pub(super) const MAX_BLANKS: u64 = 320;

/// Under what a message came to a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) uid: Uid,
    pub(super) mailbox: Identity,
    /// Seconds since 1970.
    pub(super) saved: i64,
    pub(super) flags: SystemFlags,
}

impl Arrival {
    /// Adds the line to metadata, as their last. `sum`: of the frame without it.
    pub(super) fn put(&self, sum: u32, metadata: &mut Metadata) {
        let (validity, guid) = self.mailbox;
        let (uid, saved) = (self.uid, self.saved);
        let flags = name::with_flags("", self.flags, 0);
        let text = format!("{uid} {validity} {guid} {saved} {flags} {sum:08x}");
        metadata.put(ARRIVAL, text);
    }

    /// What metadata say, and the sum; `None` if they say nothing.
    pub(super) fn of(metadata: &Metadata) -> Option<(Arrival, u32)> {
        let text = std::str::from_utf8(metadata.get(ARRIVAL)?).ok()?;
        let mut words = text.split(' ');
        let mut next = || words.next();
        let uid = Uid::new(next()?.parse().ok()?)?;
        let validity = UidValidity::new(next()?.parse().ok()?)?;
        let guid = Guid::parse(next()?.as_bytes())?;
        let saved = next()?.parse().ok()?;
        let (_, flags, _) = name::split(next()?);
        let sum = u32::from_str_radix(next()?, 16).ok()?;
        let mailbox = (validity, guid);
        Some((
            Arrival {
                uid,
                mailbox,
                saved,
                flags,
            },
            sum,
        ))
    }
}

/// Adds blanks to encoded metadata of a frame which ends there without them, so that it ends with a block: only if few
/// are needed. Metadata without an arrival stay as they are.
pub(super) fn fill(encoded: &mut Vec<u8>, metadata: &Metadata, end: u64) {
    let missing = end.next_multiple_of(BLOCK) - end;
    let line_end = encoded.len().checked_sub(2);
    if let Some(at) = line_end.filter(|_| missing <= MAX_BLANKS && metadata.ends_with(ARRIVAL)) {
        encoded.splice(at..at, (0..missing).map(|_| b' '));
    }
}

/// True if a frame is as it was written, by the sum that its last line has.
pub(super) fn is_whole(file: &File, framed: &Framed, sum: u32) -> io::Result<bool> {
    // The letter, the end of that line and the empty one behind it.
    let line = framed.metadata.get(ARRIVAL).map_or(0, <[u8]>::len) as u64 + 3;
    let end = framed.end.saturating_sub(line);
    let (mut at, mut own) = (framed.start, crc32fast::Hasher::new());
    let mut buffer = vec![0; PIECE];
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let piece = buffer.get_mut(..left).unwrap_or_default();
        file.read_exact_at(piece, at)?;
        own.update(piece);
        at += left as u64;
    }
    Ok(own.finalize() == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_written_and_read() {
        let arrival = Arrival {
            uid: Uid::MAX,
            mailbox: (UidValidity::new(9).unwrap(), Guid([7; 16])),
            saved: -1,
            flags: SystemFlags::SEEN.with(SystemFlags::DRAFT),
        };
        let mut metadata = Metadata::default();
        arrival.put(0xab, &mut metadata);
        assert_eq!(Arrival::of(&metadata), Some((arrival, 0xab)));
        for bad in [
            "",
            "1",
            "0 9 07070707070707070707070707070707 1 :2, 000000ab",
            "1 0 07070707070707070707070707070707 1 :2, 000000ab",
            "1 9 07 1 :2, 000000ab",
            "1 9 07070707070707070707070707070707 x :2, 000000ab",
            "1 9 07070707070707070707070707070707 1 :2,",
            "1 9 07070707070707070707070707070707 1 :2, g",
        ] {
            let mut metadata = Metadata::default();
            metadata.put(ARRIVAL, bad);
            assert_eq!(Arrival::of(&metadata), None, "{bad}");
        }
        assert_eq!(Arrival::of(&Metadata::default()), None);
    }

    #[test]
    fn frames_that_end_shortly_before_a_block_does_are_filled() {
        let arrival = Arrival {
            uid: Uid::MIN,
            mailbox: (UidValidity::new(9).unwrap(), Guid([7; 16])),
            saved: 1,
            flags: SystemFlags::NONE,
        };
        let mut metadata = Metadata::default();
        arrival.put(0xab, &mut metadata);
        let plain = metadata.encode();
        for (missing, blanks) in [
            (0, 0),
            (1, 1),
            (MAX_BLANKS, MAX_BLANKS),
            (MAX_BLANKS + 1, 0),
            (BLOCK - 1, 0),
        ] {
            let mut filled = plain.clone();
            fill(&mut filled, &metadata, 3 * BLOCK - missing);
            assert_eq!((filled.len() - plain.len()) as u64, blanks, "{missing}");
            let (read, octets) = Metadata::parse(&filled).unwrap();
            assert_eq!(octets, filled.len());
            assert_eq!(Arrival::of(&read), Some((arrival, 0xab)), "{missing}");
        }
        let mut without = Metadata::default();
        without.put(b'R', "1");
        let mut encoded = without.encode();
        fill(&mut encoded, &without, BLOCK - 1);
        assert_eq!(encoded, without.encode());
    }
}
