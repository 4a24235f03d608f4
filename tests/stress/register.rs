//! What one flag of one message can be, when those who change it overlap in time.

use crate::truth::Tick;

/// Writes that are kept; more are forgotten, and what they left may be anything.
const MAX_WRITES: usize = 200;

#[derive(Debug)]
struct Write {
    begin: Tick,
    /// `Tick::MAX` while it runs.
    end: Tick,
    value: bool,
    /// It was done; otherwise it may have been.
    certain: bool,
}

/// The history of a flag.
#[derive(Debug)]
pub(crate) struct Register {
    /// Whether it may have begun as false, as true.
    birth: [bool; 2],
    /// It began before that.
    born: Tick,
    writes: Vec<Write>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    NotDone,
    Unknown,
}

impl Register {
    /// Began before `born` as anything.
    pub(crate) fn new(born: Tick) -> Register {
        Register {
            birth: [true, true],
            born,
            writes: Vec::new(),
        }
    }

    /// It did not begin as what is false in `birth`.
    pub(crate) fn narrow(&mut self, birth: [bool; 2]) {
        for (own, other) in self.birth.iter_mut().zip(birth) {
            *own &= other;
        }
    }

    pub(crate) fn begin(&mut self, begin: Tick, value: bool) {
        if self.writes.len() >= MAX_WRITES {
            let old: Vec<Write> = self.writes.drain(..MAX_WRITES / 2).collect();
            let (old, running): (Vec<_>, Vec<_>) = old.into_iter().partition(|w| w.end < begin);
            self.writes.splice(0..0, running);
            self.birth = [true, true];
            self.born = old.iter().map(|w| w.end).fold(self.born, Tick::max);
        }
        self.writes.push(Write {
            begin,
            end: Tick::MAX,
            value,
            certain: false,
        });
    }

    /// The write that began then has ended.
    pub(crate) fn end(&mut self, begin: Tick, end: Tick, outcome: Outcome) {
        if outcome == Outcome::NotDone {
            self.writes.retain(|write| write.begin != begin);
        }
        for write in self.writes.iter_mut().filter(|w| w.begin == begin) {
            (write.end, write.certain) = (end, outcome == Outcome::Done);
        }
    }

    /// Whether somebody who looked between the two times can have seen `value`.
    pub(crate) fn may_be(&self, value: bool, since: Tick, until: Tick) -> bool {
        let overwritten = |end: Tick| {
            let others = self.writes.iter().filter(|w| w.certain && w.value != value);
            others.into_iter().any(|w| w.begin > end && w.end < since)
        };
        let mut writes = self.writes.iter().filter(|w| w.value == value);
        let born = self.birth[usize::from(value)] && !overwritten(self.born);
        born || writes.any(|w| w.begin <= until && !overwritten(w.end))
    }

    /// Whether another write can have come after the one that began then.
    pub(crate) fn may_follow(&self, begin: Tick, value: bool) -> bool {
        let mut others = self.writes.iter().filter(|write| write.begin != begin);
        others.any(|write| write.value == value && write.end > begin)
    }

    /// What it can have been: false, true.
    pub(crate) fn values(&self, since: Tick) -> [bool; 2] {
        [false, true].map(|value| self.may_be(value, since, Tick::MAX))
    }
}
