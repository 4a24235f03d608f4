//! UIDBATCHES (RFC 10022): UIDs between which lie equally many messages.

use super::session::{Ran, Session};
use super::tag::Tag;
use crate::mail::UidSet;
use crate::protocol::Output;
use crate::wire::imap::number;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// Messages of a batch at least, which is the most that RFC 10022 lets a server ask for.
const MIN_MESSAGES: u32 = 500;
/// Messages in all that are told of at most: RFC 10022 asks for 100,000. So an answer has no more than 2000
/// ranges, 44 KB, on any board.
const MAX_MESSAGES: u64 = 1_000_000;

/// Tells batches of so many `messages`, of which the first has the highest UIDs.
pub(super) fn uid_batches(
    session: &Session,
    tag: &Tag,
    messages: u32,
    only: Option<(NonZeroU32, NonZeroU32)>,
    out: &mut Output,
) -> Ran {
    let Some(selected) = &session.selected else {
        return Ran::ok("BAD Select a mailbox first.");
    };
    let (first, last) = only.map_or((1, u32::MAX), |(a, b)| (a.get(), b.get()));
    if first > last {
        return Ran::ok("BAD [CLIENTBUG] The first batch comes before the last.");
    }
    if messages < MIN_MESSAGES {
        return Ran::ok("NO [TOOFEW] A batch has 500 messages at least.");
    }
    let Some(batches) = batches(selected.view.uids(), messages, first..=last) else {
        return Ran::ok("NO [TOOMANY] Ask for batches of 1000000 messages at most.");
    };
    out.put(b"* UIDBATCHES (TAG \"");
    out.put(tag);
    out.put(b"\")");
    for (at, (high, low)) in batches.into_iter().enumerate() {
        out.put(if at == 0 { b" " } else { b"," });
        number(u64::from(high), out.buffer());
        out.put(b":");
        number(u64::from(low), out.buffer());
    }
    out.put(b"\r\n");
    Ran::ok("OK Uidbatches completed.")
}

/// The highest and the lowest UID of these batches, of which the one with the highest UIDs is number 1; the
/// last one there is ends with UID 1. `None`: they have too many messages.
fn batches(uids: &UidSet, messages: u32, wanted: RangeInclusive<u32>) -> Option<Vec<(u32, u32)>> {
    let (count, each) = (uids.count(), u64::from(messages));
    // Messages above the first batch, and above what is behind the last.
    let above = (u64::from(*wanted.start()) - 1).saturating_mul(each);
    let end = u64::from(*wanted.end()).saturating_mul(each).min(count);
    if end.saturating_sub(above) > MAX_MESSAGES {
        return None;
    }
    let (mut batches, mut high, mut done) = (Vec::new(), None, 0u64);
    for &(first, last) in uids.runs().iter().rev() {
        // From the top, the messages of the run are those from `done` on.
        let behind = done + u64::from(last - first) + 1;
        let uid = |place: u64| last - u32::try_from(place - done).unwrap_or(0);
        let mut place = above.max(done);
        while place < end.min(behind) {
            high.get_or_insert(uid(place));
            let lowest = (place / each * each + each).min(end) - 1;
            if lowest >= behind {
                break;
            }
            let low = if lowest + 1 == count { 1 } else { uid(lowest) };
            batches.extend(high.take().map(|high| (high, low)));
            place = lowest + 1;
        }
        done = behind;
    }
    Some(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Uid;

    fn set(runs: &[(u32, u32)]) -> UidSet {
        let uid = |number| Uid::new(number).unwrap();
        let mut set = UidSet::new();
        for (first, last) in runs {
            set.insert_range(uid(*first), uid(*last));
        }
        set
    }

    #[test]
    fn batches_are_those_that_counting_gives() {
        let mut random = crate::fuzz::Random::new(5);
        for _ in 0..500 {
            let (mut runs, mut next) = (Vec::new(), 1);
            for _ in 0..random.below(8) {
                let first = next + random.below(5) as u32;
                next = first + 1 + random.below(9) as u32;
                runs.push((first, next - 1));
            }
            let uids = set(&runs);
            let size = 1 + random.below(12) as u32;
            let mut down: Vec<u32> = uids.iter().map(Uid::number).collect();
            down.reverse();
            let mut all: Vec<(u32, u32)> = down
                .chunks(size as usize)
                .map(|batch| (batch[0], batch[batch.len() - 1]))
                .collect();
            if let Some(last) = all.last_mut() {
                last.1 = 1;
            }
            assert_eq!(batches(&uids, size, 1..=u32::MAX).as_ref(), Some(&all));
            let (from, to) = (1 + random.below(6) as u32, 1 + random.below(6) as u32);
            let some = all.iter().skip(from as usize - 1);
            let some: Vec<_> = some
                .take((to + 1).saturating_sub(from) as usize)
                .copied()
                .collect();
            if from <= to {
                assert_eq!(
                    batches(&uids, size, from..=to),
                    Some(some),
                    "{runs:?} {size}"
                );
            }
        }
    }

    #[test]
    fn an_answer_has_a_limit() {
        let uids = set(&[(1, 3_000_000)]);
        assert_eq!(batches(&uids, 500, 1..=u32::MAX), None);
        assert_eq!(batches(&uids, 500, 1..=2001), None);
        assert_eq!(batches(&uids, u32::MAX, 1..=u32::MAX), None);
        let most = batches(&uids, 500, 4001..=u32::MAX).unwrap();
        assert_eq!(
            (most.len(), most[0], most[1999]),
            (2000, (1_000_000, 999_501), (500, 1))
        );
        assert_eq!(batches(&uids, 500, u32::MAX..=u32::MAX), Some(vec![]));
    }
}
