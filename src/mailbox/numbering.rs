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

    pub(super) fn uid(&self, seq: SeqNum) -> Option<Uid> {
        let at = self.before.partition_point(|&before| before < seq.number());
        let at = at.checked_sub(1).filter(|_| seq.number() <= self.count)?;
        let (&(first, _), &before) = self.uids.runs().get(at).zip(self.before.get(at))?;
        Uid::new(first + (seq.number() - before - 1))
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

    /// The last pair of the n-th of `seqs` and the n-th of `uids` that are one message here. Costs by
    /// the runs, whatever numbers a client names.
    pub(super) fn last_match(&self, seqs: &SeqSet, uids: &UidSet) -> Option<Uid> {
        let (mut seq_runs, mut uid_runs) = (seqs.runs().iter(), uids.runs().iter());
        let (mut seqs, mut uids) = (*seq_runs.next()?, *uid_runs.next()?);
        let mut best = None;
        loop {
            let length = (seqs.1 - seqs.0).min(uids.1 - uids.0);
            best = self.match_within(seqs.0, uids.0, length).or(best);
            let next = |run: &mut (u32, u32), runs: &mut std::slice::Iter<'_, (u32, u32)>| {
                match run.0.checked_add(length + 1).filter(|n| *n <= run.1) {
                    Some(first) => run.0 = first,
                    None => *run = *runs.next()?,
                }
                Some(())
            };
            let more = next(&mut seqs, &mut seq_runs).and(next(&mut uids, &mut uid_runs));
            if more.is_none() {
                return best;
            }
        }
    }

    /// The last message from `uid` to `uid + length` that has the number which counts up from `seq`.
    fn match_within(&self, seq: u32, uid: u32, length: u32) -> Option<Uid> {
        let end = uid + length;
        let from = self.uids.runs().partition_point(|&(_, last)| last < uid);
        let runs = self.uids.runs().iter().zip(&self.before).skip(from);
        let mut best = None;
        for (&(first, last), &before) in runs.take_while(|((first, _), _)| *first <= end) {
            let at = first.max(uid);
            if before + (at - first) + 1 == seq.saturating_add(at - uid) {
                best = Uid::new(last.min(end));
            }
        }
        best
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
                assert_eq!(numbering.uid(seq), Some(uid));
                let one = numbering.uids_of(&SeqSet::from_iter([seq]));
                assert_eq!(one.iter().collect::<Vec<_>>(), [uid]);
            }
            assert_eq!(numbering.uid(SeqNum::new(41).unwrap()), None);
            let seqs =
                SeqSet::from_iter([3, 4, 5, 20, 39, 40, 41].map(|n| SeqNum::new(n).unwrap()));
            let uids = numbering.uids_of(&seqs);
            let expected: Vec<u32> = [2, 3, 4, 19, 38, 39].map(|i: usize| plain[i]).to_vec();
            assert_eq!(uids.iter().map(Uid::number).collect::<Vec<_>>(), expected);
            assert_eq!(numbering.seqs_of(&uids).to_string(), "3:5,20,39:40");
            // What a client knew before some messages went: pairs of which a few still hold.
            let mut pairs = Vec::new();
            for at in 0..60u32 {
                if state >> at & 1 == 1 {
                    let uid = plain.get(at as usize).copied().unwrap_or(900 + at);
                    pairs.push((at + 1 + (at / 20) % 2, uid));
                }
            }
            let holds = |&&(seq, uid): &&(u32, u32)| plain.get(seq as usize - 1) == Some(&uid);
            let seqs = pairs.iter().filter_map(|p| SeqNum::new(p.0)).collect();
            let uids = pairs.iter().filter_map(|p| Uid::new(p.1)).collect();
            let expected = pairs.iter().rfind(holds).and_then(|p| Uid::new(p.1));
            assert_eq!(numbering.last_match(&seqs, &uids), expected);
        }
    }
}
