//! Flags of many messages of a chunk at once, bitmap by bitmap.

use super::bits::Bits;
use super::flags::FlagChunk;
use crate::mail::{ModSeq, SystemFlags};

/// Messages whose flags are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alike {
    pub(crate) slots: Bits,
    pub(crate) system: SystemFlags,
    /// Their numbers, ascending.
    pub(crate) keywords: Vec<u16>,
}

/// In which flags messages differ from what they were, each with those that do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    pub(crate) system: Vec<(SystemFlags, Bits)>,
    /// By their numbers.
    pub(crate) keywords: Vec<(u16, Bits)>,
}

impl Differences {
    /// Who differs in any flag.
    pub(crate) fn slots(&self) -> Bits {
        let system = self.system.iter().map(|(_, bits)| bits);
        let all = system.chain(self.keywords.iter().map(|(_, bits)| bits));
        all.fold(Bits::default(), |all, bits| all.or(bits))
    }
}

impl FlagChunk {
    /// Sets (or takes away) system flags of these messages.
    pub(crate) fn set_system_of(&mut self, slots: &Bits, flags: SystemFlags, on: bool) {
        for (bits, (flag, _)) in self.system.iter_mut().zip(SystemFlags::ALL) {
            if flags.contains(flag) {
                *bits = if on {
                    bits.or(slots)
                } else {
                    bits.without(slots)
                };
            }
        }
    }

    /// Sets (or takes away) a keyword of these messages.
    pub(crate) fn set_keyword_of(&mut self, slots: &Bits, keyword: u16, on: bool) {
        match self.keywords.binary_search_by_key(&keyword, |(k, _)| *k) {
            Ok(at) => {
                if let Some((_, bits)) = self.keywords.get_mut(at) {
                    *bits = if on {
                        bits.or(slots)
                    } else {
                        bits.without(slots)
                    };
                    if bits.is_empty() {
                        self.keywords.remove(at);
                    }
                }
            }
            Err(at) if on && !slots.is_empty() => self.keywords.insert(at, (keyword, *slots)),
            Err(_) => {}
        }
    }

    /// Takes every keyword away from these messages.
    pub(crate) fn clear_keywords_of(&mut self, slots: &Bits) {
        for (_, bits) in &mut self.keywords {
            *bits = bits.without(slots);
        }
        self.keywords.retain(|(_, bits)| !bits.is_empty());
    }

    /// How messages differ from what they were.
    pub(crate) fn differences(&self, before: &FlagChunk) -> Differences {
        let both = self.system.iter().zip(&before.system);
        let system = both
            .zip(SystemFlags::ALL)
            .map(|((now, before), (flag, _))| (flag, now.without(before).or(&before.without(now))));
        let mut keywords = Vec::new();
        for (keyword, now) in &self.keywords {
            let before = before.with_keyword(*keyword);
            keywords.push((*keyword, now.without(&before).or(&before.without(now))));
        }
        let went = before.keywords.iter();
        let went = went.filter(|(keyword, _)| self.with_keyword(*keyword).is_empty());
        keywords.extend(went.copied());
        keywords.retain(|(_, bits)| !bits.is_empty());
        let system = system.filter(|(_, bits)| !bits.is_empty()).collect();
        Differences { system, keywords }
    }

    /// Who has this keyword.
    fn with_keyword(&self, keyword: u16) -> Bits {
        let at = self.keywords.binary_search_by_key(&keyword, |(k, _)| *k);
        let found = at.ok().and_then(|at| self.keywords.get(at));
        found.map_or_else(Bits::default, |(_, bits)| *bits)
    }

    /// These messages, those with the same flags together.
    pub(crate) fn alike(&self, slots: &Bits) -> Vec<Alike> {
        let none = Alike {
            slots: *slots,
            system: SystemFlags::NONE,
            keywords: Vec::new(),
        };
        let mut all = vec![none];
        for (bits, (flag, _)) in self.system.iter().zip(SystemFlags::ALL) {
            split(&mut all, bits, &|own| own.system = own.system.with(flag));
        }
        for (keyword, bits) in &self.keywords {
            split(&mut all, bits, &|own| own.keywords.push(*keyword));
        }
        all.retain(|own| !own.slots.is_empty());
        all
    }

    /// The highest mod-sequence that one of these messages has; 1 if there are none.
    pub(crate) fn highest_mod_seq_of(&self, slots: &Bits) -> ModSeq {
        let ends = self.mod_seqs.iter().skip(1).map(|run| run.0 - 1);
        let runs = self.mod_seqs.iter().zip(ends.chain([u8::MAX]));
        let own =
            runs.filter(|((first, _), last)| !Bits::range(*first, *last).and(slots).is_empty());
        let highest = own.map(|((_, number), _)| *number).max();
        highest.and_then(ModSeq::new).unwrap_or(ModSeq::MIN)
    }
}

/// Those of each group that are among these become a group of their own, changed like that.
fn split(all: &mut Vec<Alike>, bits: &Bits, change: &dyn Fn(&mut Alike)) {
    for at in 0..all.len() {
        let Some(own) = all.get_mut(at) else {
            return;
        };
        let (with, without) = (own.slots.and(bits), own.slots.without(bits));
        if with.is_empty() {
            continue;
        }
        let mut new = Alike {
            slots: with,
            ..own.clone()
        };
        change(&mut new);
        match without.is_empty() {
            true => *own = new,
            false => {
                own.slots = without;
                all.push(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(slots: &[u8]) -> Bits {
        let mut bits = Bits::default();
        slots.iter().for_each(|slot| bits.set(*slot, true));
        bits
    }

    /// Every message by itself, as the functions for one message tell.
    fn shown(chunk: &FlagChunk) -> Vec<(SystemFlags, Vec<u16>)> {
        (0..=255).map(|slot| chunk.clone_slot(slot)).collect()
    }

    #[test]
    fn many_at_once_are_as_one_by_one() {
        let (seen, draft) = (SystemFlags::SEEN, SystemFlags::DRAFT);
        let both = seen.with(draft);
        let mut chunk = FlagChunk::default();
        let sets = [
            bits(&[0, 1, 255]),
            Bits::range(1, 200),
            bits(&[]),
            bits(&[7, 255]),
        ];
        for (round, slots) in sets.iter().cycle().take(16).enumerate() {
            let (on, keyword) = (round % 5 < 3, (round % 3) as u16);
            let mut single = chunk.clone();
            let before = chunk.clone();
            chunk.set_system_of(slots, [seen, both, draft][round % 3], on);
            chunk.set_keyword_of(slots, keyword, on);
            for slot in slots.slots() {
                let flags = [seen, both, draft][round % 3];
                let now = single.system(slot);
                single.set_system(
                    slot,
                    if on {
                        now.with(flags)
                    } else {
                        now.without(flags)
                    },
                );
                single.set_keyword(slot, keyword, on);
            }
            assert_eq!(chunk, single, "{round}");
            let differences = chunk.differences(&before);
            let Differences { system, keywords } = &differences;
            let (now, then) = (shown(&chunk), shown(&before));
            for slot in 0..=255u8 {
                let (now, then) = (&now[usize::from(slot)], &then[usize::from(slot)]);
                let own = system.iter().filter(|(_, bits)| bits.has(slot));
                let own = own.fold(SystemFlags::NONE, |all, (flag, _)| all.with(*flag));
                assert_eq!(own, now.0.without(then.0).with(then.0.without(now.0)));
                for number in 0..3 {
                    let differs = keywords
                        .iter()
                        .any(|(k, bits)| *k == number && bits.has(slot));
                    assert_eq!(differs, now.1.contains(&number) != then.1.contains(&number));
                }
                assert_eq!(differences.slots().has(slot), now != then);
            }
        }
        let all = Bits::range(0, 255);
        let alike = chunk.alike(&all);
        let mut seen = Bits::default();
        for group in &alike {
            assert!(group.slots.and(&seen).is_empty() && !group.slots.is_empty());
            seen = seen.or(&group.slots);
            for slot in group.slots.slots() {
                assert_eq!(
                    chunk.clone_slot(slot),
                    (group.system, group.keywords.clone())
                );
            }
        }
        assert_eq!(seen, all);
        let flags = alike.iter().map(|group| (group.system, &group.keywords));
        for (at, own) in flags.clone().enumerate() {
            assert_eq!(
                flags.clone().position(|other| other == own),
                Some(at),
                "twice"
            );
        }
        assert!(alike.len() > 2 && chunk.alike(&bits(&[])).is_empty());
        chunk.clear_keywords_of(&Bits::range(0, 254));
        assert_eq!(chunk.clone_slot(7).1, Vec::<u16>::new());
        assert_eq!(chunk.clone_slot(255).1, shown(&chunk)[255].1);
    }

    #[test]
    fn the_highest_mod_sequence_of_some_is_found() {
        let mut chunk = FlagChunk::default();
        assert_eq!(chunk.highest_mod_seq_of(&Bits::range(0, 255)), ModSeq::MIN);
        for (number, (first, last)) in (2..).zip([(7, 7), (0, 3), (250, 255), (5, 200)]) {
            let mod_seq = ModSeq::new(number).unwrap();
            chunk.set_mod_seq(&Bits::range(first, last), mod_seq);
        }
        for slots in [
            bits(&[1]),
            bits(&[4]),
            bits(&[1, 250]),
            bits(&[5, 255]),
            bits(&[]),
        ] {
            let each = slots.slots().map(|slot| chunk.mod_seq(slot)).max();
            let highest = chunk.highest_mod_seq_of(&slots);
            assert_eq!(highest, each.unwrap_or(ModSeq::MIN), "{slots:?}");
        }
    }
}
