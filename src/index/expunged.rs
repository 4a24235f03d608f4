//! Which UIDs were expunged when: what QRESYNC asks (RFC 7162 section 5.3).

use super::bits::Bits;
use super::schema::Kind;
use super::{Error, Reader, Summary, Writer};
use crate::mail::{MailboxId, ModSeq, Since};
use std::ops::RangeInclusive;

/// More runs than this are written as a bitmap.
const MAX_RUNS: usize = 15;

fn encode(slots: &Bits) -> Vec<u8> {
    let runs = slots.runs();
    let mut out = Vec::with_capacity(Bits::OCTETS);
    if runs.len() > MAX_RUNS {
        slots.encode(&mut out);
    } else {
        runs.iter().for_each(|run| out.extend([run.0, run.1]));
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<Bits> {
    if bytes.len() == Bits::OCTETS {
        return Bits::decode(&mut bytes);
    }
    let mut slots = Bits::default();
    for run in bytes.chunks(2) {
        let (first, last) = (*run.first()?, *run.get(1)?);
        slots = slots.or(&Bits::range(first, last));
    }
    Some(slots)
}

fn key(mailbox: MailboxId, mod_seq: u64, number: u32) -> [u8; 16] {
    let high = u128::from(mailbox.0) << 96 | u128::from(mod_seq) << 32;
    (high | u128::from(number)).to_be_bytes()
}

/// The mod-sequence in a key.
fn mod_seq(key: &[u8]) -> u64 {
    let octets = key.get(4..12).and_then(|octets| octets.try_into().ok());
    octets.map_or(0, u64::from_be_bytes)
}

/// All keys of a mailbox from that mod-sequence on.
pub(super) fn from(mailbox: MailboxId, mod_seq: u64) -> RangeInclusive<[u8; 16]> {
    key(mailbox, mod_seq, 0)..=key(mailbox, u64::MAX, u32::MAX)
}

impl Writer<'_> {
    /// Remembers that these messages of a chunk were expunged with that mod-sequence. Beyond `limit`
    /// rows a mailbox the oldest are forgotten, and `summary.horizon` says up to where.
    pub(crate) fn note_expunged(
        &mut self,
        mailbox: MailboxId,
        summary: &mut Summary,
        mod_seq: ModSeq,
        number: u32,
        slots: &Bits,
        limit: u32,
    ) -> Result<(), Error> {
        if slots.is_empty() {
            return Ok(());
        }
        let at = key(mailbox, mod_seq.number(), number);
        let row = self.get(Kind::Expunged, &at)?;
        if row.is_none() {
            summary.expunges = summary.expunges.saturating_add(1);
        }
        let known = row.and_then(|row| decode(row.value())).unwrap_or_default();
        self.put(Kind::Expunged, &at, &encode(&known.or(slots)))?;
        while summary.expunges > limit {
            let Some(oldest) = self.first(Kind::Expunged, from(mailbox, 0))? else {
                break;
            };
            self.remove(Kind::Expunged, &oldest)?;
            summary.expunges -= 1;
            summary.horizon = summary.horizon.max(self::mod_seq(&oldest));
        }
        Ok(())
    }
}

impl Reader {
    /// Calls `each` with chunks and their messages that were expunged after `since`, in that order. What
    /// lies up to the summary's horizon is not complete.
    pub(crate) fn each_expunged(
        &self,
        mailbox: MailboxId,
        since: Since,
        each: &mut dyn FnMut(u32, Bits),
    ) -> Result<(), Error> {
        let range = from(mailbox, since.number().saturating_add(1));
        self.each(Kind::Expunged, range, &mut |number, value| {
            let slots = decode(value).ok_or(Error::Corrupt {
                what: "a row of expunges",
            })?;
            each(number, slots);
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Durable, Index};
    use crate::mail::{Guid, Uid, UidValidity};

    #[test]
    fn rows_survive_encoding() {
        for step in [1, 2, 9, 17, 255] {
            let mut slots = Bits::default();
            (0..=255)
                .step_by(step)
                .for_each(|slot| slots.set(slot, true));
            assert_eq!(decode(&encode(&slots)), Some(slots), "{step}");
            assert!(encode(&slots).len() <= Bits::OCTETS);
        }
        assert_eq!(decode(b"\x01\x02\x03"), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let index = Index::memory().unwrap();
        let mod_seq = |n| ModSeq::new(n).unwrap();
        let uid_validity = UidValidity::new(1).unwrap();
        let mut summary = Summary::new(uid_validity, Uid::MIN, Guid([0; 16]));
        let (own, other) = (MailboxId(7), MailboxId(8));
        index
            .write(Durable::Later, |w| {
                let mut foreign = summary.clone();
                w.note_expunged(other, &mut foreign, mod_seq(1), 0, &Bits::range(1, 1), 9)?;
                for n in 2..=9 {
                    let slots = Bits::range(n as u8, n as u8);
                    w.note_expunged(own, &mut summary, mod_seq(n), 3, &slots, 4)?;
                }
                w.note_expunged(own, &mut summary, mod_seq(9), 3, &Bits::range(1, 1), 4)
            })
            .unwrap();
        assert_eq!((summary.expunges, summary.horizon), (4, 5));
        let since = |n: u64| {
            let mut found = Vec::new();
            let reader = index.read().unwrap();
            let since = Since::new(n).unwrap();
            reader
                .each_expunged(own, since, &mut |number, slots| {
                    found.push((number, slots.runs()));
                })
                .unwrap();
            found
        };
        assert_eq!(since(8), [(3, vec![(1, 1), (9, 9)])]);
        assert_eq!(since(0).len(), 4);
        assert_eq!(since(9), []);
        index.write(Durable::Later, |w| w.clear(own)).unwrap();
        assert_eq!(since(0), []);
    }
}
