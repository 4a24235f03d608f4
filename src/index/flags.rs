//! Flags and mod-sequences of a chunk of UIDs.

use super::bits::{Bits, put_varint, take_varint};
use crate::mail::{ModSeq, SystemFlags};

/// Flags of up to 256 messages as bitmaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlagChunk {
    pub(crate) present: Bits,
    /// In the order of [`SystemFlags::ALL`].
    pub(super) system: [Bits; 5],
    /// Keyword number and who has it; ascending, none empty.
    pub(super) keywords: Vec<(u16, Bits)>,
    /// Runs: from this slot on, this mod-sequence. Ascending; empty: all 1.
    pub(super) mod_seqs: Vec<(u8, u64)>,
}

const VERSION: u8 = 1;

impl FlagChunk {
    pub(crate) fn system(&self, slot: u8) -> SystemFlags {
        let mut flags = SystemFlags::NONE;
        for (bits, (flag, _)) in self.system.iter().zip(SystemFlags::ALL) {
            if bits.has(slot) {
                flags = flags.with(flag);
            }
        }
        flags
    }

    /// Who has this flag.
    pub(crate) fn with_flag(&self, flag: SystemFlags) -> Bits {
        let at = SystemFlags::ALL.iter().position(|&(f, _)| f == flag);
        at.and_then(|at| self.system.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// Numbers of the keywords of that message, ascending, appended to `out`.
    pub(crate) fn keywords(&self, slot: u8, out: &mut Vec<u16>) {
        out.extend(
            self.keywords
                .iter()
                .filter(|(_, bits)| bits.has(slot))
                .map(|(k, _)| *k),
        );
    }

    /// True if that message has that keyword.
    pub(crate) fn has_keyword(&self, slot: u8, keyword: u16) -> bool {
        let at = self.keywords.binary_search_by_key(&keyword, |(k, _)| *k);
        at.ok()
            .and_then(|at| self.keywords.get(at))
            .is_some_and(|(_, bits)| bits.has(slot))
    }

    pub(crate) fn set_system(&mut self, slot: u8, flags: SystemFlags) {
        for (bits, (flag, _)) in self.system.iter_mut().zip(SystemFlags::ALL) {
            bits.set(slot, flags.contains(flag));
        }
    }

    pub(crate) fn set_keyword(&mut self, slot: u8, keyword: u16, on: bool) {
        match self.keywords.binary_search_by_key(&keyword, |(k, _)| *k) {
            Ok(at) => {
                if let Some((_, bits)) = self.keywords.get_mut(at) {
                    bits.set(slot, on);
                    if bits.is_empty() {
                        self.keywords.remove(at);
                    }
                }
            }
            Err(at) if on => {
                let mut bits = Bits::default();
                bits.set(slot, true);
                self.keywords.insert(at, (keyword, bits));
            }
            Err(_) => {}
        }
    }

    /// System flags and keywords of one message, to compare or put back.
    pub(crate) fn clone_slot(&self, slot: u8) -> (SystemFlags, Vec<u16>) {
        let mut keywords = Vec::new();
        self.keywords(slot, &mut keywords);
        (self.system(slot), keywords)
    }

    /// Puts back what `clone_slot` gave.
    pub(crate) fn restore_slot(&mut self, slot: u8, before: &(SystemFlags, Vec<u16>)) {
        let (_, now) = self.clone_slot(slot);
        now.iter()
            .for_each(|keyword| self.set_keyword(slot, *keyword, false));
        before
            .1
            .iter()
            .for_each(|keyword| self.set_keyword(slot, *keyword, true));
        self.set_system(slot, before.0);
    }

    /// Takes the message out of every bitmap.
    pub(crate) fn remove(&mut self, slot: u8) {
        self.present.set(slot, false);
        self.set_system(slot, SystemFlags::NONE);
        self.keywords
            .iter_mut()
            .for_each(|(_, bits)| bits.set(slot, false));
        self.keywords.retain(|(_, bits)| !bits.is_empty());
    }

    pub(crate) fn mod_seq(&self, slot: u8) -> ModSeq {
        let at = self.mod_seqs.partition_point(|(first, _)| *first <= slot);
        let number = at
            .checked_sub(1)
            .and_then(|at| self.mod_seqs.get(at))
            .map_or(1, |run| run.1);
        ModSeq::new(number).unwrap_or(ModSeq::MIN)
    }

    /// The highest mod-sequence of the chunk.
    pub(crate) fn highest_mod_seq(&self) -> u64 {
        self.mod_seqs.iter().map(|run| run.1).max().unwrap_or(1)
    }

    pub(crate) fn set_mod_seq(&mut self, slots: &Bits, mod_seq: ModSeq) {
        let mut all = [1; 256];
        let ends = self.mod_seqs.iter().skip(1).map(|run| usize::from(run.0));
        for (run, end) in self.mod_seqs.iter().zip(ends.chain([all.len()])) {
            if let Some(slots) = all.get_mut(usize::from(run.0)..end) {
                slots.fill(run.1);
            }
        }
        for slot in slots.slots() {
            if let Some(number) = all.get_mut(usize::from(slot)) {
                *number = mod_seq.number();
            }
        }
        self.mod_seqs.clear();
        let mut before = 1;
        for (slot, number) in (0..=255).zip(all) {
            if number != before {
                self.mod_seqs.push((slot, number));
                before = number;
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(100);
        out.push(VERSION);
        self.present.encode(&mut out);
        let used = self
            .system
            .iter()
            .enumerate()
            .filter(|(_, b)| !b.is_empty());
        out.push(used.clone().fold(0, |mask, (at, _)| mask | 1 << at));
        used.for_each(|(_, bits)| bits.encode(&mut out));
        put_varint(self.keywords.len() as u64, &mut out);
        for (keyword, bits) in &self.keywords {
            put_varint(u64::from(*keyword), &mut out);
            bits.encode(&mut out);
        }
        put_varint(self.mod_seqs.len() as u64, &mut out);
        for (slot, number) in &self.mod_seqs {
            out.push(*slot);
            put_varint(*number, &mut out);
        }
        out
    }

    /// `None` for what no version of this encoding wrote.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<FlagChunk> {
        let bytes = &mut bytes;
        let mut chunk = FlagChunk::default();
        let one = |bytes: &mut &[u8]| super::bits::take(bytes, 1).and_then(|b| b.first().copied());
        if one(bytes)? != VERSION {
            return None;
        }
        chunk.present = Bits::decode(bytes)?;
        let mask = one(bytes)?;
        for (at, bits) in chunk.system.iter_mut().enumerate() {
            if mask >> at & 1 == 1 {
                *bits = Bits::decode(bytes)?;
            }
        }
        for _ in 0..take_varint(bytes)? {
            let keyword = u16::try_from(take_varint(bytes)?).ok()?;
            chunk.keywords.push((keyword, Bits::decode(bytes)?));
        }
        for _ in 0..take_varint(bytes)? {
            chunk.mod_seqs.push((one(bytes)?, take_varint(bytes)?));
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_survives_encoding() {
        let mut chunk = FlagChunk::default();
        for slot in [0, 5, 255] {
            chunk.present.set(slot, true);
        }
        chunk.set_system(5, SystemFlags::SEEN.with(SystemFlags::DRAFT));
        chunk.set_keyword(5, 3, true);
        chunk.set_keyword(255, 300, true);
        chunk.set_mod_seq(&Bits::range(5, 9), ModSeq::new(1 << 40).unwrap());
        let bytes = chunk.encode();
        assert_eq!(FlagChunk::decode(&bytes), Some(chunk.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(FlagChunk::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(chunk.mod_seq(9).number(), 1 << 40);
        assert_eq!(chunk.mod_seq(10).number(), 1);
        assert_eq!(chunk.system(5), SystemFlags::SEEN.with(SystemFlags::DRAFT));
        chunk.remove(5);
        let mut keywords = Vec::new();
        chunk.keywords(5, &mut keywords);
        assert!(keywords.is_empty() && chunk.system(5).is_empty() && !chunk.present.has(5));
    }

    #[test]
    fn mod_sequences_of_others_stay() {
        let mut chunk = FlagChunk::default();
        let mut all = [1; 256];
        let ranges = [
            (7, 7),
            (0, 3),
            (250, 255),
            (3, 8),
            (5, 251),
            (0, 255),
            (9, 9),
        ];
        for (number, (first, last)) in (2..).zip(ranges) {
            chunk.set_mod_seq(&Bits::range(first, last), ModSeq::new(number).unwrap());
            all[usize::from(first)..=usize::from(last)].fill(number);
            let told: Vec<u64> = (0..=255).map(|slot| chunk.mod_seq(slot).number()).collect();
            assert_eq!(told, all);
        }
    }
}
