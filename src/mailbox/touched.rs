//! Which flags the last changes touched: a conditional STORE fails for those that it is about, and not
//! for others (RFC 7162 section 3.1.12), as far as that is remembered.

use super::shared::{Change, State};
use crate::index::Differences;
use crate::mail::{ModSeq, Since, SystemFlags, Uid};

/// Flags that a change touched on any of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    system: SystemFlags,
    /// By their numbers.
    keywords: Vec<u16>,
    /// Nobody knows which.
    any: bool,
}

impl Touched {
    /// What another program changed.
    pub(super) fn any() -> Touched {
        Touched {
            any: true,
            ..Touched::default()
        }
    }

    pub(super) fn of(system: SystemFlags, keywords: &[u16]) -> Touched {
        Touched {
            system,
            keywords: keywords.to_vec(),
            any: false,
        }
    }

    /// A message had the one, and now has the other.
    pub(super) fn note(&mut self, before: &(SystemFlags, Vec<u16>), now: &(SystemFlags, Vec<u16>)) {
        let (came, went) = (now.0.without(before.0), before.0.without(now.0));
        self.system = self.system.with(came).with(went);
        let came = now.1.iter().filter(|k| !before.1.contains(k));
        let went = before.1.iter().filter(|k| !now.1.contains(k));
        for keyword in came.chain(went) {
            if !self.keywords.contains(keyword) {
                self.keywords.push(*keyword);
            }
        }
    }

    /// Those in which messages differ.
    pub(super) fn differing(differences: &Differences) -> Touched {
        let system = differences.system.iter().map(|(flag, _)| *flag);
        let keywords = differences.keywords.iter().map(|(keyword, _)| *keyword);
        Touched {
            system: system.fold(SystemFlags::NONE, SystemFlags::with),
            keywords: keywords.collect(),
            any: false,
        }
    }

    pub(super) fn add(&mut self, other: &Touched) {
        self.any |= other.any;
        self.system = self.system.with(other.system);
        let new = other.keywords.iter().filter(|k| !self.keywords.contains(k));
        let new: Vec<u16> = new.copied().collect();
        self.keywords.extend(new);
    }

    fn overlaps(&self, other: &Touched) -> bool {
        let system = self.system.without(other.system) != self.system;
        self.any || system || self.keywords.iter().any(|k| other.keywords.contains(k))
    }
}

impl State {
    /// True if it is known that none of these flags of the message, which has that mod-sequence now,
    /// changed since.
    pub(super) fn left_alone(&self, uid: Uid, now: ModSeq, since: Since, flags: &Touched) -> bool {
        let of = |change: &&Change| change.mod_seq.number() > since.number();
        let mut own = self
            .changes
            .iter()
            .filter(of)
            .filter(|change| change.uids.contains(uid))
            .peekable();
        // What was before is older than what the client knew, and nothing is missing in between.
        let known = self.changes_after <= since.number()
            && own
                .peek()
                .is_some_and(|first| !since.is_before(first.before));
        let mut last = None;
        let untouched = own.all(|change| {
            last = Some(change.mod_seq);
            !change.touched.overlaps(flags)
        });
        known && untouched && last == Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_differ_are_noted() {
        let (seen, draft) = (SystemFlags::SEEN, SystemFlags::DRAFT);
        let mut touched = Touched::default();
        touched.note(&(seen, vec![1, 2]), &(draft.with(seen), vec![2, 3]));
        assert_eq!(touched, Touched::of(draft, &[3, 1]));
        assert!(!touched.overlaps(&Touched::of(seen, &[2])));
        assert!(touched.overlaps(&Touched::of(draft.with(seen), &[])));
        assert!(touched.overlaps(&Touched::of(seen, &[2, 1])));
        touched.add(&Touched::of(seen, &[3, 7]));
        assert_eq!(touched, Touched::of(seen.with(draft), &[3, 1, 7]));
        assert!(Touched::any().overlaps(&Touched::default()));
    }
}
