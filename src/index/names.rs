//! Names on disk of a chunk of messages.

use super::bits::{put_varint, take, take_varint};
use crate::mail::SystemFlags;

/// What it takes to open a message without a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Low octet of the UID.
    pub(crate) slot: u8,
    /// File name without flags.
    pub(crate) base: Box<str>,
    /// In `new/`.
    pub(crate) is_new: bool,
    /// Flags as the name has them.
    pub(crate) flags: SystemFlags,
    pub(crate) letters: u32,
}

/// Names of up to 256 messages, ascending by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameChunk {
    pub(crate) names: Vec<Name>,
}

const VERSION: u8 = 1;
const NEW: u8 = 0x80;
const LETTERS: u8 = 0x40;

impl NameChunk {
    pub(crate) fn find(&self, slot: u8) -> Option<&Name> {
        self.names
            .binary_search_by_key(&slot, |n| n.slot)
            .ok()
            .and_then(|at| self.names.get(at))
    }

    /// Puts a name in, instead of the one the slot has.
    pub(crate) fn put(&mut self, name: Name) {
        match self.names.binary_search_by_key(&name.slot, |n| n.slot) {
            Ok(at) => {
                if let Some(old) = self.names.get_mut(at) {
                    *old = name;
                }
            }
            Err(at) => self.names.insert(at, name),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 * self.names.len() + 1);
        out.push(VERSION);
        for name in &self.names {
            out.push(name.slot);
            let place = if name.is_new { NEW } else { 0 };
            let letters = if name.letters == 0 { 0 } else { LETTERS };
            out.push(name.flags.bits() | place | letters);
            if name.letters != 0 {
                put_varint(u64::from(name.letters), &mut out);
            }
            put_varint(name.base.len() as u64, &mut out);
            out.extend_from_slice(name.base.as_bytes());
        }
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<NameChunk> {
        let bytes = &mut bytes;
        if take(bytes, 1)? != [VERSION] {
            return None;
        }
        let mut names = Vec::with_capacity(bytes.len() / 40);
        while !bytes.is_empty() {
            let head = take(bytes, 2)?;
            let (slot, marks) = (*head.first()?, *head.get(1)?);
            let letters = if marks & LETTERS != 0 {
                u32::try_from(take_varint(bytes)?).ok()?
            } else {
                0
            };
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            let base = std::str::from_utf8(take(bytes, length)?).ok()?.into();
            names.push(Name {
                slot,
                base,
                is_new: marks & NEW != 0,
                flags: SystemFlags::from_bits(marks),
                letters,
            });
        }
        Some(NameChunk { names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_encoding() {
        let name = |slot, base: &str, letters| Name {
            slot,
            base: base.into(),
            is_new: slot == 3,
            flags: SystemFlags::SEEN,
            letters,
        };
        let mut chunk = NameChunk::default();
        chunk.put(name(9, "b,S=3", 0));
        chunk.put(name(3, "a", 1 << 25));
        chunk.put(name(9, "c", 0));
        assert_eq!(NameChunk::decode(&chunk.encode()), Some(chunk.clone()));
        assert_eq!(chunk.find(9).map(|n| &*n.base), Some("c"));
        assert_eq!(chunk.find(4), None);
        assert_eq!(NameChunk::decode(b"\x02"), None);
        assert_eq!(NameChunk::decode(b"\x01\x05\x00\x09ab"), None);
    }
}
