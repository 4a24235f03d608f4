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

impl Name {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.slot);
        let place = if self.is_new { NEW } else { 0 };
        let letters = if self.letters == 0 { 0 } else { LETTERS };
        out.push(self.flags.bits() | place | letters);
        if self.letters != 0 {
            put_varint(u64::from(self.letters), out);
        }
        put_varint(self.base.len() as u64, out);
        out.extend_from_slice(self.base.as_bytes());
    }

    /// Takes one off: slot, marks, letters, base.
    fn head<'a>(bytes: &mut &'a [u8]) -> Option<(u8, u8, u32, &'a [u8])> {
        let head = take(bytes, 2)?;
        let (slot, marks) = (*head.first()?, *head.get(1)?);
        let letters = if marks & LETTERS != 0 {
            u32::try_from(take_varint(bytes)?).ok()?
        } else {
            0
        };
        let length = usize::try_from(take_varint(bytes)?).ok()?;
        Some((slot, marks, letters, take(bytes, length)?))
    }

    fn of((slot, marks, letters, base): (u8, u8, u32, &[u8])) -> Option<Name> {
        Some(Name {
            slot,
            base: std::str::from_utf8(base).ok()?.into(),
            is_new: marks & NEW != 0,
            flags: SystemFlags::from_bits(marks),
            letters,
        })
    }
}

impl NameChunk {
    pub(crate) fn find(&self, slot: u8) -> Option<&Name> {
        self.names
            .binary_search_by_key(&slot, |n| n.slot)
            .ok()
            .and_then(|at| self.names.get(at))
    }

    /// As `find` in an encoded chunk. `None` for what no version of this encoding wrote.
    pub(crate) fn find_in(mut bytes: &[u8], slot: u8) -> Option<Option<Name>> {
        let bytes = &mut bytes;
        if take(bytes, 1)? != [VERSION] {
            return None;
        }
        while !bytes.is_empty() {
            let head = Name::head(bytes)?;
            if head.0 == slot {
                return Name::of(head).map(Some);
            }
        }
        Some(None)
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
        self.names.iter().for_each(|name| name.encode(&mut out));
        out
    }

    /// Puts names behind those of an encoded chunk (nothing: an empty one) without taking it apart.
    /// `None` if they do not come behind the others; then nothing is known of the result.
    pub(crate) fn extend(bytes: &mut Vec<u8>, names: &[Name]) -> Option<()> {
        if bytes.is_empty() {
            bytes.push(VERSION);
        }
        let mut last = None;
        let rest = &mut bytes.as_slice();
        if take(rest, 1)? != [VERSION] {
            return None;
        }
        while !rest.is_empty() {
            let (slot, ..) = Name::head(rest)?;
            last = Some(slot);
        }
        for name in names {
            if last.is_some_and(|last| last >= name.slot) {
                return None;
            }
            last = Some(name.slot);
            name.encode(bytes);
        }
        Some(())
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<NameChunk> {
        let bytes = &mut bytes;
        if take(bytes, 1)? != [VERSION] {
            return None;
        }
        let mut names = Vec::with_capacity(bytes.len() / 40);
        while !bytes.is_empty() {
            names.push(Name::of(Name::head(bytes)?)?);
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
        for slot in [3, 4, 9] {
            let found = NameChunk::find_in(&chunk.encode(), slot);
            assert_eq!(found, Some(chunk.find(slot).cloned()));
        }
        assert_eq!(NameChunk::find_in(b"\x02", 1), None);
        let mut bytes = Vec::new();
        NameChunk::extend(&mut bytes, &[name(3, "a", 1 << 25)]).unwrap();
        NameChunk::extend(&mut bytes, &[name(9, "c", 0)]).unwrap();
        assert_eq!(bytes, chunk.encode());
        assert_eq!(
            NameChunk::extend(&mut bytes.clone(), &[name(9, "d", 0)]),
            None
        );
        let two = [name(11, "d", 0), name(10, "e", 0)];
        assert_eq!(NameChunk::extend(&mut bytes.clone(), &two), None);
        assert_eq!(NameChunk::extend(&mut b"\x02".to_vec(), &[]), None);
        bytes.pop();
        assert_eq!(NameChunk::extend(&mut bytes, &[]), None);
        assert_eq!(NameChunk::decode(b"\x02"), None);
        assert_eq!(NameChunk::decode(b"\x01\x05\x00\x09ab"), None);
    }
}
