//! Messages that a mailbox has already.

use crate::mail::Guid;

/// What they are known by. Each counts once: where there are two, two more that are equal are known.
pub(super) struct Known {
    guids: Vec<Guid>,
    taken: Vec<bool>,
}

impl Known {
    /// `guids`: in ascending order.
    pub(super) fn new(guids: Vec<Guid>) -> Known {
        let taken = vec![false; guids.len()];
        Known { guids, taken }
    }

    /// True if there is one of them that was not taken yet.
    pub(super) fn take(&mut self, guid: Guid) -> bool {
        let first = self.guids.partition_point(|own| own.0 < guid.0);
        let equal = self.guids.iter().zip(&mut self.taken).skip(first);
        for (own, taken) in equal.take_while(|(own, _)| **own == guid) {
            debug_assert_eq!(*own, guid);
            if !std::mem::replace(taken, true) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once() {
        let guid = |n| Guid([n; 16]);
        let mut known = Known::new(vec![guid(1), guid(3), guid(3), guid(9)]);
        let asked = [3, 0, 3, 3, 1, 1, 9, 10].map(|n| known.take(guid(n)));
        assert_eq!(asked, [true, false, true, false, true, false, true, false]);
        assert!(!Known::new(Vec::new()).take(guid(1)));
    }
}
