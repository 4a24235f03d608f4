//! Bitmaps of the 256 UIDs of a chunk.

/// One bit for each UID of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits([u32; 8]);

impl Bits {
    pub(crate) const OCTETS: usize = 32;

    pub(crate) fn has(&self, slot: u8) -> bool {
        self.0
            .get(usize::from(slot >> 5))
            .is_some_and(|word| word >> (slot & 31) & 1 == 1)
    }

    pub(crate) fn set(&mut self, slot: u8, on: bool) {
        if let Some(word) = self.0.get_mut(usize::from(slot >> 5)) {
            let bit = 1 << (slot & 31);
            *word = if on { *word | bit } else { *word & !bit };
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; 8]
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(crate) fn and(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= b);
        self
    }

    pub(crate) fn or(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
        self
    }

    /// The bits that `other` does not have.
    pub(crate) fn without(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= !b);
        self
    }

    /// Slots whose bit is set, ascending.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().zip(0u8..).flat_map(|(&word, at)| {
            let next = |rest: &u32| Some(rest & rest.wrapping_sub(1)).filter(|&rest| rest != 0);
            let words = std::iter::successors(Some(word).filter(|&word| word != 0), next);
            words.map(move |rest| at << 5 | rest.trailing_zeros() as u8)
        })
    }

    /// Runs of set bits as (first, last), ascending.
    pub(crate) fn runs(&self) -> Vec<(u8, u8)> {
        if self.0 == [u32::MAX; 8] {
            return vec![(0, 255)];
        }
        let mut runs: Vec<(u8, u8)> = Vec::new();
        for slot in self.slots() {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == slot => run.1 = slot,
                _ => runs.push((slot, slot)),
            }
        }
        runs
    }

    /// Every slot from `first` to `last`.
    pub(crate) fn range(first: u8, last: u8) -> Bits {
        let mut bits = Bits::default();
        for (word, base) in bits.0.iter_mut().zip((0u32..).step_by(32)) {
            let (low, high) = (u32::from(first).max(base), u32::from(last).min(base + 31));
            if low <= high {
                *word = u32::MAX >> (31 - (high - low)) << (low - base);
            }
        }
        bits
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.0
            .iter()
            .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// Takes 32 octets off the front; `None` if there are fewer.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Bits> {
        let (own, rest) = bytes.split_at_checked(Bits::OCTETS)?;
        *bytes = rest;
        let mut bits = Bits::default();
        for (word, octets) in bits.0.iter_mut().zip(own.chunks_exact(4)) {
            *word = u32::from_le_bytes(octets.try_into().ok()?);
        }
        Some(bits)
    }
}

/// Appends a number in as few octets as it needs, seven bits each, low ones first.
pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes such a number off the front.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Most are small.
    match bytes.split_first()? {
        (&octet, rest) if octet & 0x80 == 0 => {
            *bytes = rest;
            Some(u64::from(octet))
        }
        _ => take_long_varint(bytes),
    }
}

fn take_long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&octet, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes `count` octets off the front.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (own, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_numbers_survive() {
        let mut bits = Bits::default();
        [0u8, 1, 2, 31, 32, 200, 255]
            .iter()
            .for_each(|&slot| bits.set(slot, true));
        assert_eq!(bits.runs(), [(0, 2), (31, 32), (200, 200), (255, 255)]);
        assert_eq!(bits.count(), 7);
        let mut out = Vec::new();
        bits.encode(&mut out);
        assert_eq!(Bits::decode(&mut out.as_slice()), Some(bits));
        assert_eq!(Bits::decode(&mut &out[..31]), None);
        for n in [0, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(n, &mut out);
            assert_eq!(take_varint(&mut out.as_slice()), Some(n));
            assert_eq!(take_varint(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(Bits::range(0, 255).runs(), [(0, 255)]);
        for (first, last) in [(0, 0), (31, 32), (32, 63), (5, 5), (255, 255), (1, 254)] {
            let range = Bits::range(first, last);
            assert_eq!(range.runs(), [(first, last)]);
            let slots: Vec<u8> = (first..=last).collect();
            assert_eq!(range.slots().collect::<Vec<_>>(), slots);
        }
        assert!(Bits::range(9, 8).is_empty());
    }
}
