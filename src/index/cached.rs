//! What is remembered of one message so that its file need not be opened.

use super::bits::{put_varint, take, take_varint};
use crate::mail::DateTime;
use std::borrow::Cow;

/// What messages are looked for and sorted by: a few octets of each, in rows of their own, so that who
/// looks at all of them reads little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys<'a> {
    /// RFC822.SIZE.
    pub(crate) octets: u64,
    /// Seconds since 1970.
    pub(crate) internal_date: i64,
    /// Of the Date field, if that names a day.
    pub(crate) sent: Option<DateTime>,
    /// `None`: to be computed from the header.
    pub(crate) subject: Option<SubjectKey<'a>>,
    /// CRC-32 of the message as stored, which only a row of keys has; `None`: nobody read it since it came.
    pub(crate) checksum: Option<u32>,
}

/// What is worth remembering of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) keys: Keys<'a>,
    /// As IMAP writes it; empty: not kept.
    pub(crate) envelope: &'a [u8],
    /// As IMAP writes it; empty: not kept.
    pub(crate) bodystructure: &'a [u8],
    /// The common fields as they stand, CRLF line ends; empty: not kept.
    pub(crate) header: &'a [u8],
}

/// What SORT and THREAD ask of the Subject field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubjectKey<'a> {
    /// The base subject in the form in which texts are compared (RFC 5256 section 2.1).
    pub(crate) base: &'a [u8],
    /// It is that of a reply or a forward.
    pub(crate) is_reply: bool,
}

/// Which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those that [`Keys::decode`] reads.
    Keys,
    /// Those that [`Facts::decode`] reads.
    Facts,
}

/// Cached fields of one message, in one buffer as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    /// The row of facts; it begins with that of keys, but for the checksum.
    bytes: Vec<u8>,
    checksum: Option<u32>,
}

/// 1: without date and subject to sort by.
const VERSION: u8 = 2;
/// There is a date to sort by, a subject to sort by, and that is one of a reply.
const SENT: u8 = 1;
const SUBJECT: u8 = 2;
const REPLY: u8 = 4;

impl Cached {
    pub(crate) fn new(facts: &Facts<'_>) -> Cached {
        let texts = [facts.header, facts.envelope, facts.bodystructure];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut bytes = Vec::with_capacity(100 + length);
        facts.keys.encode(&mut bytes);
        texts
            .iter()
            .for_each(|text| put_varint(text.len() as u64, &mut bytes));
        texts.iter().for_each(|text| bytes.extend_from_slice(text));
        Cached {
            bytes,
            checksum: facts.keys.checksum,
        }
    }

    /// As it is, but with this checksum.
    pub(crate) fn checked(self, checksum: Option<u32>) -> Cached {
        Cached { checksum, ..self }
    }

    /// The row of this kind.
    pub(crate) fn encode(&self, kept: Kept) -> Cow<'_, [u8]> {
        match kept {
            Kept::Keys => {
                let mut rest = self.bytes.as_slice();
                let keys = Keys::take(&mut rest).unwrap_or_default();
                let checksum = self.checksum;
                Cow::Owned(Keys { checksum, ..keys }.row())
            }
            Kept::Facts => Cow::Borrowed(&self.bytes),
        }
    }

    /// From a row of facts. `None` for what this version did not write: computed anew then.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Cached> {
        Facts::decode(bytes)?;
        Some(Cached {
            bytes: bytes.to_vec(),
            checksum: None,
        })
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        let mut facts = Facts::decode(&self.bytes).unwrap_or_default();
        facts.keys.checksum = self.checksum;
        facts
    }
}

impl<'a> Keys<'a> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let mut marks = if self.sent.is_some() { SENT } else { 0 };
        if let Some(subject) = self.subject {
            marks |= SUBJECT | if subject.is_reply { REPLY } else { 0 };
        }
        bytes.extend_from_slice(&[VERSION, marks]);
        put_varint(self.octets, bytes);
        put_varint(self.internal_date.cast_unsigned(), bytes);
        if let Some(sent) = self.sent {
            put_varint(sent.seconds.cast_unsigned(), bytes);
            bytes.extend_from_slice(&sent.offset_minutes.to_le_bytes());
        }
        if let Some(subject) = self.subject {
            put_varint(subject.base.len() as u64, bytes);
            bytes.extend_from_slice(subject.base);
        }
    }

    /// Takes them off the front.
    fn take(rest: &mut &'a [u8]) -> Option<Keys<'a>> {
        let &[version, marks] = take(rest, 2)? else {
            return None;
        };
        if version != VERSION {
            return None;
        }
        let octets = take_varint(rest)?;
        let internal_date = take_varint(rest)?.cast_signed();
        let sent = match marks & SENT {
            0 => None,
            _ => Some(DateTime {
                seconds: take_varint(rest)?.cast_signed(),
                offset_minutes: i16::from_le_bytes(take(rest, 2)?.try_into().ok()?),
            }),
        };
        let subject = match marks & SUBJECT {
            0 => None,
            _ => {
                let length = usize::try_from(take_varint(rest)?).ok()?;
                Some(SubjectKey {
                    base: take(rest, length)?,
                    is_reply: marks & REPLY != 0,
                })
            }
        };
        Some(Keys {
            octets,
            internal_date,
            sent,
            subject,
            checksum: None,
        })
    }

    /// The row; the checksum, if there is one, stands at its end, where programs that do not know of it do not
    /// look.
    pub(crate) fn row(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(48 + self.subject.map_or(0, |subject| subject.base.len()));
        self.encode(&mut bytes);
        if let Some(checksum) = self.checksum {
            bytes.extend_from_slice(&checksum.to_le_bytes());
        }
        bytes
    }

    /// Reads a row of keys. `None` for what this version did not write.
    pub(crate) fn decode(mut bytes: &'a [u8]) -> Option<Keys<'a>> {
        let keys = Keys::take(&mut bytes)?;
        let checksum = match bytes {
            [] => None,
            rest => Some(u32::from_le_bytes(rest.try_into().ok()?)),
        };
        Some(Keys { checksum, ..keys })
    }
}

impl<'a> Facts<'a> {
    /// Reads a row of facts. `None` for what this version did not write.
    pub(crate) fn decode(mut bytes: &'a [u8]) -> Option<Facts<'a>> {
        let rest = &mut bytes;
        let keys = Keys::take(rest)?;
        let mut lengths = [0; 3];
        for length in &mut lengths {
            *length = usize::try_from(take_varint(rest)?).ok()?;
        }
        let mut texts = [&[][..]; 3];
        for (text, length) in texts.iter_mut().zip(lengths) {
            *text = take(rest, length)?;
        }
        let [header, envelope, bodystructure] = texts;
        rest.is_empty().then_some(Facts {
            keys,
            envelope,
            bodystructure,
            header,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_fields_survive() {
        let sent = DateTime {
            seconds: -700,
            offset_minutes: -90,
        };
        let subject = SubjectKey {
            base: b"X",
            is_reply: true,
        };
        for (sent, subject, checksum) in [
            (None, None, None),
            (Some(sent), None, Some(7)),
            (Some(sent), Some(subject), Some(u32::MAX)),
        ] {
            let keys = Keys {
                octets: 300,
                internal_date: -5,
                sent,
                subject,
                checksum,
            };
            let cached = Cached::new(&Facts {
                keys,
                envelope: b"(NIL)",
                bodystructure: b"",
                header: b"A: b\r\n",
            });
            let (row, short) = (cached.encode(Kept::Facts), cached.encode(Kept::Keys));
            let decoded = Cached::decode(&row).map(|decoded| decoded.checked(checksum));
            assert_eq!(decoded.as_ref(), Some(&cached));
            let facts = cached.facts();
            assert_eq!((facts.keys, facts.envelope), (keys, &b"(NIL)"[..]));
            assert!(facts.bodystructure.is_empty());
            assert_eq!(facts.header, b"A: b\r\n");
            assert_eq!(Keys::decode(&short), Some(keys));
            assert!(short.len() < 30 + 4);
            for cut in 0..row.len() {
                assert_eq!(Cached::decode(&row[..cut]), None);
            }
            let without = short.len() - checksum.map_or(0, |_| 4);
            for cut in (0..short.len()).filter(|cut| *cut != without) {
                assert_eq!(Keys::decode(&short[..cut]), None);
            }
            let more = [&*row, b"x"].concat();
            assert_eq!(Cached::decode(&more), None);
        }
        assert_eq!(Cached::decode(b"\x01\x05\x05\0\0\0"), None);
    }
}
