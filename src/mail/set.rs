//! Sets of message numbers as sorted runs, and the sets a client writes.

use super::number::{SeqNum, Uid};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// A number that sets are made of.
pub(crate) trait Number: Copy + Ord {
    fn from_number(number: u32) -> Option<Self>;
    fn to_number(self) -> u32;
}

impl Number for Uid {
    fn from_number(number: u32) -> Option<Uid> {
        Uid::new(number)
    }
    fn to_number(self) -> u32 {
        self.number()
    }
}

impl Number for SeqNum {
    fn from_number(number: u32) -> Option<SeqNum> {
        SeqNum::new(number)
    }
    fn to_number(self) -> u32 {
        self.number()
    }
}

/// A set of numbers, kept as runs.
///
/// Invariant: runs are `(first, last)` with `1 <= first <= last`, ascending, and a gap of at
/// least one number between neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set<N> {
    runs: Vec<(u32, u32)>,
    kind: PhantomData<N>,
}

pub(crate) type UidSet = Set<Uid>;
pub(crate) type SeqSet = Set<SeqNum>;

impl<N> Default for Set<N> {
    fn default() -> Self {
        Set {
            runs: Vec::new(),
            kind: PhantomData,
        }
    }
}

impl<N: Number> Set<N> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Every number from `first` to `last`, in either order.
    pub(crate) fn range(first: N, last: N) -> Self {
        let (a, b) = (first.to_number(), last.to_number());
        Set {
            runs: vec![(a.min(b), a.max(b))],
            kind: PhantomData,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many numbers are in it.
    pub(crate) fn count(&self) -> u64 {
        self.runs.iter().map(|&(a, b)| u64::from(b - a) + 1).sum()
    }

    pub(crate) fn first(&self) -> Option<N> {
        self.runs.first().and_then(|&(a, _)| N::from_number(a))
    }

    pub(crate) fn last(&self) -> Option<N> {
        self.runs.last().and_then(|&(_, b)| N::from_number(b))
    }

    /// The runs, ascending, both ends included.
    pub(crate) fn runs(&self) -> &[(u32, u32)] {
        &self.runs
    }

    pub(crate) fn contains(&self, number: N) -> bool {
        let n = number.to_number();
        let at = self.runs.partition_point(|&(_, b)| b < n);
        self.runs.get(at).is_some_and(|&(a, _)| a <= n)
    }

    /// Adds one number; cheapest when numbers come in ascending order.
    pub(crate) fn insert(&mut self, number: N) {
        self.insert_range(number, number);
    }

    /// Adds every number from `first` to `last`.
    pub(crate) fn insert_range(&mut self, first: N, last: N) {
        let (mut a, mut b) = (first.to_number(), last.to_number());
        if a > b {
            return;
        }
        match self.runs.last_mut() {
            None => return self.runs.push((a, b)),
            Some(end) if a > end.1 => {
                if a - end.1 == 1 {
                    end.1 = b;
                } else {
                    self.runs.push((a, b));
                }
                return;
            }
            Some(_) => {}
        }
        // Everything that touches [a, b] becomes one run.
        let from = self
            .runs
            .partition_point(|&(_, end)| end.saturating_add(1) < a);
        let to = self
            .runs
            .partition_point(|&(start, _)| start <= b.saturating_add(1));
        if let (Some(low), Some(high)) = (self.runs.get(from), self.runs.get(to.wrapping_sub(1)))
            && from < to
        {
            a = a.min(low.0);
            b = b.max(high.1);
        }
        self.runs.splice(from..to, [(a, b)]);
    }

    /// Takes one number out; cheapest near the end.
    pub(crate) fn remove(&mut self, number: N) {
        let n = number.to_number();
        let at = self.runs.partition_point(|&(_, b)| b < n);
        let Some(run) = self.runs.get_mut(at).filter(|run| run.0 <= n) else {
            return;
        };
        match *run {
            (a, b) if a == b => drop(self.runs.remove(at)),
            (a, _) if a == n => run.0 = n + 1,
            (_, b) if b == n => run.1 = n - 1,
            (a, b) => {
                *run = (n + 1, b);
                self.runs.insert(at, (a, n - 1));
            }
        }
    }

    /// The numbers of both sets.
    pub(crate) fn union(&self, other: &Set<N>) -> Set<N> {
        let mut all: Vec<(u32, u32)> = self.runs.iter().chain(&other.runs).copied().collect();
        all.sort_unstable();
        let mut out = Set::new();
        for (a, b) in all {
            out.push(a, b);
        }
        out
    }

    /// The numbers that are in both sets.
    pub(crate) fn intersection(&self, other: &Set<N>) -> Set<N> {
        let (mut i, mut j) = (0, 0);
        let mut out = Set::new();
        while let (Some(&(a, b)), Some(&(c, d))) = (self.runs.get(i), other.runs.get(j)) {
            let (low, high) = (a.max(c), b.min(d));
            if low <= high {
                out.push(low, high);
            }
            if b < d {
                i += 1;
            } else {
                j += 1;
            }
        }
        out
    }

    /// The numbers of this set that are not in the other.
    pub(crate) fn difference(&self, other: &Set<N>) -> Set<N> {
        let mut out = Set::new();
        let mut j = 0;
        for &(mut a, b) in &self.runs {
            while other.runs.get(j).is_some_and(|&(_, d)| d < a) {
                j += 1;
            }
            let mut k = j;
            let mut rest = true;
            while let Some(&(c, d)) = other.runs.get(k).filter(|&&(c, _)| c <= b) {
                if a < c {
                    out.push(a, c - 1);
                }
                if d >= b {
                    rest = false;
                    break;
                }
                a = a.max(d + 1);
                k += 1;
            }
            if rest && a <= b {
                out.push(a, b);
            }
        }
        out
    }

    /// The numbers at these places; the lowest number is at place 0. Costs by the runs.
    pub(crate) fn window(&self, places: Range<u32>) -> Set<N> {
        let mut window = Set::new();
        let mut before = 0u64;
        for &(first, last) in &self.runs {
            let next = before + u64::from(last - first) + 1;
            let start = u64::from(places.start).max(before);
            let end = u64::from(places.end).min(next);
            if start < end {
                let number = |place: u64| first + u32::try_from(place - before).unwrap_or(0);
                window.runs.push((number(start), number(end - 1)));
            }
            before = next;
        }
        window
    }

    /// All numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = N> + '_ {
        self.runs
            .iter()
            .flat_map(|&(a, b)| (a..=b).filter_map(N::from_number))
    }

    /// Appends a run that starts at or after the last one's start.
    fn push(&mut self, a: u32, b: u32) {
        match self.runs.last_mut() {
            Some(end) if a <= end.1.saturating_add(1) => end.1 = end.1.max(b),
            _ => self.runs.push((a, b)),
        }
    }
}

impl<N: Number> FromIterator<N> for Set<N> {
    fn from_iter<I: IntoIterator<Item = N>>(numbers: I) -> Self {
        let mut set = Set::new();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

/// As IMAP writes a set: `1:3,7` (RFC 3501 section 9, sequence-set without `*`).
impl<N> fmt::Display for Set<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &(a, b)) in self.runs.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if a == b {
                write!(f, "{comma}{a}")?;
            } else {
                write!(f, "{comma}{a}:{b}")?;
            }
        }
        Ok(())
    }
}

/// One end of a range that a client wrote: a number or `*`, the largest in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Number(u32),
    Star,
    /// `$`, alone in its set: what the last SEARCH saved (RFC 5182 section 2.1).
    Saved,
}

/// What a client wrote: `1,3:*` (RFC 3501 section 9, sequence-set). Means nothing until it is
/// resolved against a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SequenceSet(pub(crate) Vec<(Bound, Bound)>);

impl SequenceSet {
    /// The set `$`.
    pub(crate) fn saved() -> SequenceSet {
        SequenceSet(vec![(Bound::Saved, Bound::Saved)])
    }

    /// The set of exactly these.
    pub(crate) fn of<N: Number>(set: &Set<N>) -> SequenceSet {
        let bounds = |&(first, last): &(u32, u32)| (Bound::Number(first), Bound::Number(last));
        SequenceSet(set.runs().iter().map(bounds).collect())
    }

    /// True for `$`, which means messages that only the view knows.
    pub(crate) fn is_saved(&self) -> bool {
        self.0 == [(Bound::Saved, Bound::Saved)]
    }

    /// The numbers meant when `largest` is the largest one in use; `None` stands for an empty
    /// mailbox, where `*` means nothing; `$` means nothing either. Numbers above `largest` stay in
    /// the set.
    pub(crate) fn resolve<N: Number>(&self, largest: Option<N>) -> Set<N> {
        let star = largest.map_or(0, N::to_number);
        let number = |bound: Bound| match bound {
            Bound::Number(n) => n,
            Bound::Star => star,
            Bound::Saved => 0,
        };
        let mut runs: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|&(a, b)| (number(a), number(b)))
            .collect();
        for run in &mut runs {
            *run = (run.0.min(run.1).max(1), run.0.max(run.1));
        }
        runs.retain(|&(a, b)| a <= b);
        runs.sort_unstable();
        let mut set = Set::new();
        for (a, b) in runs {
            set.push(a, b);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn random(state: &mut u64) -> u32 {
        *state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (*state >> 33) as u32
    }

    #[test]
    fn set_operations_match_a_plain_set() {
        let mut state = 7;
        for _ in 0..2000 {
            let mut sets = [
                (UidSet::new(), BTreeSet::new()),
                (UidSet::new(), BTreeSet::new()),
            ];
            for (set, plain) in &mut sets {
                for _ in 0..random(&mut state) % 12 {
                    let a = random(&mut state) % 30 + 1;
                    let b = a + random(&mut state) % 5;
                    set.insert_range(Uid::new(a).unwrap(), Uid::new(b).unwrap());
                    plain.extend(a..=b);
                }
            }
            let [(x, px), (y, py)] = sets;
            let numbers = |s: &UidSet| s.iter().map(Uid::number).collect::<Vec<_>>();
            assert_eq!(numbers(&x), px.iter().copied().collect::<Vec<_>>());
            assert_eq!(
                numbers(&x.union(&y)),
                px.union(&py).copied().collect::<Vec<_>>()
            );
            assert_eq!(
                numbers(&x.intersection(&y)),
                px.intersection(&py).copied().collect::<Vec<_>>()
            );
            assert_eq!(
                numbers(&x.difference(&y)),
                px.difference(&py).copied().collect::<Vec<_>>()
            );
            let (mut z, mut pz) = (x.clone(), px.clone());
            for _ in 0..random(&mut state) % 9 {
                let gone = random(&mut state) % 36 + 1;
                z.remove(Uid::new(gone).unwrap());
                pz.remove(&gone);
                assert_eq!(numbers(&z), pz.iter().copied().collect::<Vec<_>>());
            }
            for pair in x.union(&y).runs().windows(2) {
                assert!(pair[0].1 + 1 < pair[1].0, "{pair:?}");
            }
        }
    }

    #[test]
    fn windows_cut_runs() {
        let set: UidSet = [2, 3, 4, 7, 9, 10]
            .into_iter()
            .filter_map(Uid::new)
            .collect();
        for (places, shown) in [
            (0..6, "2:4,7,9:10"),
            (1..4, "3:4,7"),
            (3..4, "7"),
            (4..99, "9:10"),
            (6..9, ""),
            (2..2, ""),
        ] {
            assert_eq!(set.window(places.clone()).to_string(), shown, "{places:?}");
        }
        let all = UidSet::range(Uid::MIN, Uid::MAX);
        let last = u32::MAX - 2..u32::MAX;
        assert_eq!(all.window(last).to_string(), "4294967294:4294967295");
    }

    #[test]
    fn star_is_the_largest_number() {
        let set = SequenceSet(vec![
            (Bound::Number(7), Bound::Star),
            (Bound::Number(1), Bound::Number(2)),
        ]);
        assert_eq!(set.resolve(SeqNum::new(5)).to_string(), "1:2,5:7");
        assert_eq!(
            SequenceSet(vec![(Bound::Star, Bound::Star)])
                .resolve::<Uid>(None)
                .to_string(),
            ""
        );
        assert!(SequenceSet::saved().resolve(Uid::new(5)).is_empty());
    }
}
