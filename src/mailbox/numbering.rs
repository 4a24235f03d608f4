//! A session's numbering: which sequence number has which UID, by runs.

use crate::mail::{SeqNum, SeqSet, Uid, UidSet};

/// The UIDs of a view in order. Memory is by runs, look-ups are binary searches.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    uids: UidSet,
    /// Messages before each run.
    before: Vec<u32>,
    count: u32,
}

impl Numbering {
    pub(super) fn new(uids: UidSet) -> Numbering {
        let mut count = 0u32;
        let before = uids
            .runs()
            .iter()
            .map(|&(first, last)| {
                let own = count;
                count = count.saturating_add(last - first).saturating_add(1);
                own
            })
            .collect();
        Numbering {
            uids,
            before,
            count,
        }
    }

    pub(super) fn uids(&self) -> &UidSet {
        &self.uids
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn seq(&self, uid: Uid) -> Option<SeqNum> {
        let at = self
            .uids
            .runs()
            .partition_point(|&(_, last)| last < uid.number());
        let (first, _) = self
            .uids
            .runs()
            .get(at)
            .filter(|&&(first, _)| first <= uid.number())?;
        SeqNum::new(self.before.get(at)? + (uid.number() - first) + 1)
    }

    /// UIDs of these sequence numbers; numbers beyond the last one are left out.
    pub(super) fn uids_of(&self, seqs: &SeqSet) -> UidSet {
        let mut out = UidSet::new();
        let mut at = 0;
        for &(first, last) in seqs.runs() {
            let mut seq = first;
            while seq <= last.min(self.count) {
                while self.before.get(at + 1).is_some_and(|&before| before < seq) {
                    at += 1;
                }
                let Some((&(low, high), &before)) =
                    self.uids.runs().get(at).zip(self.before.get(at))
                else {
                    return out;
                };
                let from = low + (seq - before - 1);
                let to = high.min(from + (last - seq));
                if let (Some(a), Some(b)) = (Uid::new(from), Uid::new(to)) {
                    out.insert_range(a, b);
                }
                seq += to - from + 1;
            }
        }
        out
    }

    /// Sequence numbers of these UIDs, which must all be in the view.
    pub(super) fn seqs_of(&self, uids: &UidSet) -> SeqSet {
        let mut out = SeqSet::new();
        for &(first, last) in self.uids.intersection(uids).runs() {
            let ends = (
                Uid::new(first).and_then(|u| self.seq(u)),
                Uid::new(last).and_then(|u| self.seq(u)),
            );
            if let (Some(a), Some(b)) = ends {
                out.insert_range(a, b);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_uids_match() {
        let mut state = 11u64;
        for _ in 0..300 {
            let mut plain = Vec::new();
            let mut uid = 0;
            for _ in 0..40 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                uid += 1 + if state >> 62 == 0 {
                    (state >> 33) as u32 % 5
                } else {
                    0
                };
                plain.push(uid);
            }
            let numbering = Numbering::new(plain.iter().filter_map(|&u| Uid::new(u)).collect());
            for (at, &uid) in plain.iter().enumerate() {
                let (seq, uid) = (SeqNum::new(at as u32 + 1).unwrap(), Uid::new(uid).unwrap());
                assert_eq!(numbering.seq(uid), Some(seq));
                let one = numbering.uids_of(&SeqSet::from_iter([seq]));
                assert_eq!(one.iter().collect::<Vec<_>>(), [uid]);
            }
            let seqs =
                SeqSet::from_iter([3, 4, 5, 20, 39, 40, 41].map(|n| SeqNum::new(n).unwrap()));
            let uids = numbering.uids_of(&seqs);
            let expected: Vec<u32> = [2, 3, 4, 19, 38, 39].map(|i: usize| plain[i]).to_vec();
            assert_eq!(uids.iter().map(Uid::number).collect::<Vec<_>>(), expected);
            assert_eq!(numbering.seqs_of(&uids).to_string(), "3:5,20,39:40");
        }
    }
}
