//! Octets of the messages of a chunk, as somebody counted them where neither names nor cached fields tell.

use super::bits::{put_varint, take, take_varint};

/// RFC822.SIZE of up to 256 messages, ascending by slot; those of expunged ones may still be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SizeChunk {
    sizes: Vec<(u8, u64)>,
}

const VERSION: u8 = 1;

impl SizeChunk {
    pub(crate) fn find(&self, slot: u8) -> Option<u64> {
        let at = self.sizes.binary_search_by_key(&slot, |(own, _)| *own);
        at.ok()
            .and_then(|at| self.sizes.get(at))
            .map(|(_, size)| *size)
    }

    pub(crate) fn put(&mut self, slot: u8, octets: u64) {
        match self.sizes.binary_search_by_key(&slot, |(own, _)| *own) {
            Ok(at) => {
                if let Some(size) = self.sizes.get_mut(at) {
                    size.1 = octets;
                }
            }
            Err(at) => self.sizes.insert(at, (slot, octets)),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.sizes.len() * 4 + 1);
        out.push(VERSION);
        for (slot, octets) in &self.sizes {
            out.push(*slot);
            put_varint(*octets, &mut out);
        }
        out
    }

    /// `None` for what no version of this encoding wrote.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<SizeChunk> {
        let bytes = &mut bytes;
        if take(bytes, 1)? != [VERSION] {
            return None;
        }
        let mut sizes = Vec::with_capacity(bytes.len() / 3);
        while !bytes.is_empty() {
            let slot = *take(bytes, 1)?.first()?;
            sizes.push((slot, take_varint(bytes)?));
        }
        Some(SizeChunk { sizes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_survive_encoding() {
        let mut chunk = SizeChunk::default();
        for (slot, octets) in [(7, 3000), (0, 0), (255, 1 << 40), (7, 3001)] {
            chunk.put(slot, octets);
        }
        assert_eq!((chunk.find(7), chunk.find(8)), (Some(3001), None));
        let bytes = chunk.encode();
        assert_eq!(SizeChunk::decode(&bytes), Some(chunk));
        assert_eq!(SizeChunk::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(SizeChunk::decode(b"\x02"), None);
        assert_eq!(SizeChunk::decode(b""), None);
    }
}
