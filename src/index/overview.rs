//! Which UIDs there are and how many are unseen, 16 chunks in a row: what numbering a mailbox needs.

use super::FlagChunk;
use super::bits::{Bits, put_varint, take, take_varint};
use crate::mail::SystemFlags;

/// What the row says of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) present: Bits,
    /// Messages without `\Seen`.
    pub(crate) unseen: u32,
}

impl From<&FlagChunk> for Glance {
    fn from(chunk: &FlagChunk) -> Glance {
        let unseen = chunk.present.without(&chunk.with_flag(SystemFlags::SEEN));
        Glance {
            present: chunk.present,
            unseen: unseen.count(),
        }
    }
}

/// Glances of the chunks `n * 16` to `n * 16 + 15`, so that reading a mailbox's numbering costs a
/// small row for each 4,096 UIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overview {
    pub(crate) chunks: [Glance; Overview::CHUNKS],
}

const VERSION: u8 = 1;
// How the UIDs of a chunk are written.
const NONE: u8 = 0;
const ALL: u8 = 1;
const RUN: u8 = 2;
const BITMAP: u8 = 3;

impl Overview {
    pub(crate) const CHUNKS: usize = 16;

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.iter().all(|glance| glance.present.is_empty())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        for glance in &self.chunks {
            match *glance.present.runs() {
                [] => {
                    out.push(NONE);
                    continue;
                }
                [(0, 255)] => out.push(ALL),
                [(first, last)] => out.extend_from_slice(&[RUN, first, last]),
                _ => {
                    out.push(BITMAP);
                    glance.present.encode(&mut out);
                }
            }
            put_varint(u64::from(glance.unseen), &mut out);
        }
        out
    }

    /// `None` for what no version of this encoding wrote.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Overview> {
        let bytes = &mut bytes;
        if take(bytes, 1)? != [VERSION] {
            return None;
        }
        let mut overview = Overview::default();
        for glance in &mut overview.chunks {
            glance.present = match *take(bytes, 1)?.first()? {
                NONE => continue,
                ALL => Bits::range(0, 255),
                RUN => match *take(bytes, 2)? {
                    [first, last] => Bits::range(first, last),
                    _ => return None,
                },
                BITMAP => Bits::decode(bytes)?,
                _ => return None,
            };
            glance.unseen = u32::try_from(take_varint(bytes)?).ok()?;
        }
        bytes.is_empty().then_some(overview)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overviews_survive_encoding() {
        let mut overview = Overview::default();
        assert!(overview.is_empty());
        let kinds = [Bits::range(0, 255), Bits::range(7, 7), Bits::range(1, 254)];
        for (glance, present) in overview.chunks.iter_mut().skip(3).zip(kinds) {
            *glance = Glance { present, unseen: 1 };
        }
        let scattered: Bits = Bits::range(0, 3).or(&Bits::range(9, 200));
        overview.chunks[15] = Glance {
            present: scattered,
            unseen: 196,
        };
        let bytes = overview.encode();
        assert_eq!(Overview::decode(&bytes), Some(overview));
        for cut in 0..bytes.len() {
            assert_eq!(Overview::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Overview::decode(&[&bytes[..], b"\0"].concat()), None);
    }

    #[test]
    fn a_full_mailbox_takes_little() {
        let full = Glance {
            present: Bits::range(0, 255),
            unseen: 256,
        };
        let overview = Overview {
            chunks: [full; Overview::CHUNKS],
        };
        // A million messages: 245 rows.
        assert!(overview.encode().len() * 245 < 16 * 1024);
    }
}
