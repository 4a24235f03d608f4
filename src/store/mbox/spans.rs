//! Where messages are in their file, by UIDs: however many there are, few of them in memory.

use super::rows::{Rows, part, row};
use super::scratchpad::Scratchpad;
use super::walk::Span;
use crate::mail::{Uid, UidSet};
use crate::store::side::room;
use crate::store::sorter::{Merge, Sorted};
use crate::store::{Error, Sorter};

/// A UID and four places.
const ROW: usize = 4 + SPAN;
pub(super) const SPAN: usize = 4 * 8;

impl Span {
    pub(super) fn encode(&self) -> [u8; SPAN] {
        let places = [self.start, self.body, self.end, self.next].map(u64::to_le_bytes);
        row(&places.each_ref().map(|place| place.as_slice()))
    }

    /// Takes one out of a row.
    pub(super) fn decode(rest: &mut &[u8]) -> Span {
        let mut place = || u64::from_le_bytes(part(rest));
        Span {
            start: place(),
            body: place(),
            end: place(),
            next: place(),
        }
    }
}

pub(super) struct Spans {
    /// With those of messages that are to go.
    rows: Rows<ROW>,
    uids: UidSet,
    /// Messages are in the file in the order of their UIDs.
    ascends: bool,
    /// Of the last row.
    last: Option<(Uid, u64)>,
}

impl Default for Spans {
    fn default() -> Spans {
        Spans {
            rows: Rows::new(room::to_sort()),
            uids: UidSet::new(),
            ascends: true,
            last: None,
        }
    }
}

fn decode(row: [u8; ROW]) -> (Uid, Span) {
    let mut rest = &row[..];
    let uid = Uid::new(u32::from_be_bytes(part(&mut rest)));
    (uid.unwrap_or(Uid::MIN), Span::decode(&mut rest))
}

impl Spans {
    /// The messages there are.
    pub(super) fn uids(&self) -> &UidSet {
        &self.uids
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    pub(super) fn contains(&self, uid: Uid) -> bool {
        self.uids.contains(uid)
    }

    /// Adds a message, whose UID is above those of all others, also of those that were removed. Errors: `Corrupt`
    /// if it is not; those of a file for what does not fit in memory.
    pub(super) fn push(&mut self, uid: Uid, span: Span, pad: &Scratchpad) -> Result<(), Error> {
        if self.last.is_some_and(|(last, _)| uid <= last) {
            return Err(Error::Corrupt {
                what: "the order of messages",
            });
        }
        let row = row(&[&uid.number().to_be_bytes(), &span.encode()]);
        self.rows.push(row, pad)?;
        self.ascends &= self.last.is_none_or(|(_, start)| start < span.start);
        self.last = Some((uid, span.start));
        self.uids.insert(uid);
        Ok(())
    }

    /// `None` if there is no such message.
    pub(super) fn get(&self, uid: Uid) -> Result<Option<Span>, Error> {
        if !self.uids.contains(uid) {
            return Ok(None);
        }
        let row = self.rows.find(&uid.number().to_be_bytes())?;
        Ok(row.map(|row| decode(row).1))
    }

    /// Takes a message out; `None` if it is not there.
    pub(super) fn remove(&mut self, uid: Uid) -> Result<Option<Span>, Error> {
        let span = self.get(uid)?;
        self.uids.remove(uid);
        Ok(span)
    }

    /// All messages in the order of the file.
    pub(super) fn in_file(&self, pad: &Scratchpad) -> Result<InFile<'_>, Error> {
        let mut order = Order::Same(0);
        if !self.ascends {
            let mut sorter = Sorter::new(room::to_sort());
            let mut scratch = || pad.file();
            for number in 0..self.rows.len() {
                let (_, span) = decode(self.rows.at(number)?);
                sorter.add(&span.start.to_be_bytes(), number, &mut scratch)?;
            }
            order = Order::of(sorter.finish(&mut scratch)?)?;
        }
        Ok(InFile { spans: self, order })
    }
}

/// The numbers of rows in the order of the file.
enum Order {
    Same(u32),
    Memory(std::vec::IntoIter<u32>),
    File(Merge),
}

impl Order {
    fn of(sorted: Sorted) -> Result<Order, Error> {
        Ok(match sorted.merge()? {
            Some(merge) => Order::File(merge),
            None => Order::Memory(sorted.numbers().collect::<Vec<u32>>().into_iter()),
        })
    }

    fn next(&mut self, count: u32) -> Result<Option<u32>, Error> {
        match self {
            Order::Same(next) => {
                *next += 1;
                Ok(Some(*next - 1).filter(|number| *number < count))
            }
            Order::Memory(numbers) => Ok(numbers.next()),
            Order::File(merge) => Ok(merge.next()?.map(|(_, number)| number)),
        }
    }
}

/// A place among messages.
pub(super) struct InFile<'s> {
    spans: &'s Spans,
    order: Order,
}

impl InFile<'_> {
    /// The next one; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(Uid, Span)>, Error> {
        while let Some(number) = self.order.next(self.spans.rows.len())? {
            let (uid, span) = decode(self.spans.rows.at(number)?);
            if self.spans.uids.contains(uid) {
                return Ok(Some((uid, span)));
            }
        }
        Ok(None)
    }
}

/// Messages that come in the order of a file.
pub(super) struct Arranging {
    spans: Spans,
    /// By UIDs, if they do not ascend.
    sorter: Option<Sorter>,
}

impl Arranging {
    /// Of a file in whose order they are as in that of `like`.
    pub(super) fn like(like: &Spans) -> Arranging {
        Arranging {
            spans: Spans::default(),
            sorter: (!like.ascends).then(|| Sorter::new(room::to_sort())),
        }
    }

    /// Errors: as of [`Spans::push`].
    pub(super) fn push(&mut self, uid: Uid, span: Span, pad: &Scratchpad) -> Result<(), Error> {
        let Some(sorter) = &mut self.sorter else {
            return self.spans.push(uid, span, pad);
        };
        let row: [u8; ROW] = row(&[&uid.number().to_be_bytes(), &span.encode()]);
        sorter.add(&row, 0, &mut || pad.file())
    }

    pub(super) fn finish(self, pad: &Scratchpad) -> Result<Spans, Error> {
        let mut spans = self.spans;
        if let Some(sorter) = self.sorter {
            let sorted = sorter.finish(&mut || pad.file())?;
            let mut records = sorted.records()?;
            while let Some((key, _)) = records.next()? {
                let (uid, span) = decode(row(&[key]));
                spans.push(uid, span, pad)?;
            }
        }
        Ok(spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(place: u32) -> Span {
        let start = u64::from(place) * 10;
        Span {
            start,
            body: start + 3,
            end: start + 8,
            next: start + 10,
        }
    }

    fn all(spans: &Spans, pad: &Scratchpad) -> Vec<(u32, Span)> {
        let mut order = spans.in_file(pad).unwrap();
        let mut all = Vec::new();
        while let Some((uid, span)) = order.next().unwrap() {
            all.push((uid.number(), span));
        }
        all
    }

    #[test]
    fn messages_are_found_by_uid_and_told_in_the_order_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let pad = Scratchpad::new(directory.path());
        for count in [1, 5, 300] {
            // The place in the file of each UID.
            for turned in [false, true] {
                let place = |uid: u32| if turned { count + 1 - uid } else { uid };
                let mut spans = Spans::default();
                for number in 1..=count {
                    let uid = Uid::new(number).unwrap();
                    spans.push(uid, span(place(number)), &pad).unwrap();
                    assert!(spans.push(uid, span(1000), &pad).is_err());
                }
                let second = Uid::new(2).unwrap();
                let gone = spans.remove(second).unwrap();
                assert_eq!(gone, Some(span(place(2))).filter(|_| count > 1));
                assert!(spans.remove(second).unwrap().is_none());
                let mut expected: Vec<(u32, Span)> = (1..=count)
                    .filter(|uid| *uid != 2)
                    .map(|uid| (uid, span(place(uid))))
                    .collect();
                expected.sort_by_key(|(_, span)| span.start);
                assert_eq!(all(&spans, &pad), expected);
                let mut again = Arranging::like(&spans);
                for (uid, span) in &expected {
                    again.push(Uid::new(*uid).unwrap(), *span, &pad).unwrap();
                }
                let again = again.finish(&pad).unwrap();
                assert_eq!(all(&again, &pad), expected);
                let ends = [again.uids().clone(), UidSet::range(second, second)];
                assert_eq!(ends[0].union(&ends[1]).count(), u64::from(count.max(2)));
                let last = Uid::new(count).unwrap();
                assert_eq!(again.get(last).unwrap(), Some(span(place(count))));
            }
        }
    }
}
