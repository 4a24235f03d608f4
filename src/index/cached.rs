//! What is remembered of one message so that its file need not be opened.
//!
//! The texts of a row say much of the same: the envelope what the header fields say, a bodystructure what
//! most bodystructures do. On the disk they are packed beside these, in memory they are as clients get them.

use super::Fields;
use super::bits::{put_varint, take, take_varint};
use crate::codec::block;
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
    /// Those that are not kept because nobody asked for them.
    pub(crate) left_out: Fields,
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

/// Cached fields of one message, in one buffer: as stored, or with plain texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    /// A row of facts; it begins with that of keys, but for the checksum.
    bytes: Vec<u8>,
    checksum: Option<u32>,
}

/// 1: without date and subject to sort by; 3: as 2, with packed texts.
const VERSION: u8 = 2;
const PACKED: u8 = 3;
/// Texts up to this size are unpacked.
const MAX_TEXT: usize = 1 << 20;
/// What most bodystructures have some of; what stands near the end is found by the shortest way. What rows
/// were packed beside must stay as it is.
const STRUCTURES: &[u8] = b"(\"application\" \"octet-stream\" (\"name\" \"image/pngjpeggif.pdf.docx.zip\") NIL NIL \
    \"base64\" 1024 NIL (\"attachment\" (\"filename\" \"(\"message\" \"rfc822\" NIL NIL NIL \"8bit\" \
    \"signed\" (\"protocol\" \"application/pgp-signature\" \"micalg\" \"pgp-sha256\" \"report-type\" \"delivery-status\" \
    \"inline\" NIL) NIL NIL)\"related\" (\"type\" \"multipart/alternative\" \"mixed\" (\"boundary\" \"----=_Part_\
    (((\"text\" \"plain\" (\"charset\" \"iso-8859-1\" \"us-ascii\" \"UTF-8\" \"format\" \"flowed\") NIL NIL \"7bit\" 1 NIL \
    NIL NIL NIL)((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"quoted-printable\" 1 1 NIL NIL NIL NIL)\
    (\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"quoted-printable\" 1 1 NIL NIL NIL NIL) \"alternative\" \
    (\"boundary\" \"\") NIL NIL NIL)";
/// There is a date to sort by, a subject to sort by, and that is one of a reply.
const SENT: u8 = 1;
const SUBJECT: u8 = 2;
const REPLY: u8 = 4;
/// From this bit on: what was left out.
const LEFT_OUT: u32 = 3;

impl Cached {
    pub(crate) fn new(facts: &Facts<'_>) -> Cached {
        let texts = [facts.header, facts.envelope, facts.bodystructure];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut bytes = Vec::with_capacity(100 + length);
        facts.keys.encode_as(VERSION, facts.left_out, &mut bytes);
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

    /// It has this checksum.
    pub(super) fn check(&mut self, checksum: Option<u32>) {
        self.checksum = checksum;
    }

    /// Of a message of which no fields are kept but those.
    pub(crate) fn of_keys(keys: &Keys<'_>) -> Cached {
        Cached::new(&Facts {
            keys: *keys,
            left_out: Fields::FACTS,
            ..Facts::default()
        })
    }

    /// True if it has nothing but keys, and more may be asked for.
    pub(crate) fn is_of_keys(&self) -> bool {
        Row::decode(&self.bytes).is_none_or(|row| row.is_of_keys())
    }

    /// With these fields alone; `None` if none of them is there.
    pub(super) fn only(&self, fields: Fields) -> Option<Cow<'_, Cached>> {
        let row = Row::decode(&self.bytes).filter(|row| !row.is_of_keys())?;
        let kept = row.kept();
        if kept.without(fields).is_empty() {
            return Some(Cow::Borrowed(self));
        }
        if kept.and(fields).is_empty() {
            return None;
        }
        let plain = Cached::decode(&self.bytes)?.checked(self.checksum);
        Some(Cow::Owned(Cached::new(&plain.facts().only(fields))))
    }

    /// The row of this kind.
    pub(crate) fn encode(&self, kept: Kept) -> Cow<'_, [u8]> {
        match kept {
            Kept::Keys => {
                let keys = Keys::take_any(&mut self.bytes.as_slice());
                let keys = keys.map(|(_, _, keys)| keys).unwrap_or_default();
                let checksum = self.checksum;
                Cow::Owned(Keys { checksum, ..keys }.row())
            }
            Kept::Facts if self.is_packed() => Cow::Borrowed(&self.bytes),
            Kept::Facts => match self.facts().pack() {
                Some(packed) => Cow::Owned(packed),
                None => Cow::Borrowed(&self.bytes),
            },
        }
    }

    /// From a row of facts, with plain texts. `None` for what this version did not write: computed anew then.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Cached> {
        let mut plain = Vec::new();
        Facts::unpack(bytes, [true; 2], &mut plain).then_some(Cached {
            bytes: plain,
            checksum: None,
        })
    }

    /// As `decode`, with texts as they are: who copies a row need not unpack it.
    pub(crate) fn stored(row: &[u8]) -> Option<Cached> {
        Row::decode(row).map(|_| Cached {
            bytes: row.to_vec(),
            checksum: None,
        })
    }

    fn is_packed(&self) -> bool {
        self.bytes.first() == Some(&PACKED)
    }

    /// Of one as stored, without the texts that are packed.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let facts = match self.is_packed() {
            true => Facts::front(&self.bytes),
            false => Facts::decode(&self.bytes),
        };
        let mut facts = facts.unwrap_or_default();
        facts.keys.checksum = self.checksum;
        facts
    }
}

impl<'a> Keys<'a> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.encode_as(VERSION, Fields::NONE, bytes);
    }

    fn encode_as(&self, version: u8, left_out: Fields, bytes: &mut Vec<u8>) {
        let mut marks = left_out.and(Fields::FACTS).bits() << LEFT_OUT;
        marks |= if self.sent.is_some() { SENT } else { 0 };
        if let Some(subject) = self.subject {
            marks |= SUBJECT | if subject.is_reply { REPLY } else { 0 };
        }
        bytes.extend_from_slice(&[version, marks]);
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
        let (version, _, keys) = Keys::take_any(rest)?;
        (version == VERSION).then_some(keys)
    }

    /// As `take`, with the version and what is left out of a row of facts.
    fn take_any(rest: &mut &'a [u8]) -> Option<(u8, Fields, Keys<'a>)> {
        let &[version, marks] = take(rest, 2)? else {
            return None;
        };
        if ![VERSION, PACKED].contains(&version) {
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
        let keys = Keys {
            octets,
            internal_date,
            sent,
            subject,
            checksum: None,
        };
        Some((version, left_out(marks), keys))
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

fn left_out(marks: u8) -> Fields {
    Fields::of_bits(marks >> LEFT_OUT).and(Fields::FACTS)
}

/// Whether the envelope is wanted, and whether the bodystructure is.
pub(crate) type Texts = [bool; 2];

/// A row of facts whose texts may be packed.
struct Row<'a> {
    keys: Keys<'a>,
    left_out: Fields,
    header: &'a [u8],
    /// What is there of envelope and bodystructure, and how many octets they have.
    texts: [(&'a [u8], usize); 2],
}

impl<'a> Row<'a> {
    fn decode(mut bytes: &'a [u8]) -> Option<Row<'a>> {
        let rest = &mut bytes;
        let (version, left_out, keys) = Keys::take_any(rest)?;
        let mut number = || usize::try_from(take_varint(rest)?).ok();
        let header = number()?;
        let plain = [number()?, number()?];
        let stored = match version {
            PACKED => [number()?, number()?],
            _ => plain,
        };
        let header = take(rest, header)?;
        let texts = [
            (take(rest, stored[0])?, plain[0]),
            (take(rest, stored[1])?, plain[1]),
        ];
        let whole = rest.is_empty() && plain.iter().all(|octets| *octets <= MAX_TEXT);
        whole.then_some(Row {
            keys,
            left_out,
            header,
            texts,
        })
    }

    /// Which texts it has.
    fn kept(&self) -> Fields {
        let [(_, envelope), (_, bodystructure)] = self.texts;
        let all = [
            (Fields::HEADER, self.header.len()),
            (Fields::ENVELOPE, envelope),
            (Fields::BODYSTRUCTURE, bodystructure),
        ];
        let kept = all.iter().filter(|(_, octets)| *octets > 0);
        kept.fold(Fields::NONE, |kept, (field, _)| kept.or(*field))
    }

    /// True if nothing is kept of the message, and somebody may ask for it again.
    fn is_of_keys(&self) -> bool {
        !self.left_out.is_empty() && self.kept().is_empty()
    }

    /// What a text is packed beside.
    fn beside(header: &[u8]) -> [&[u8]; 2] {
        [header, STRUCTURES]
    }

    /// Appends what [`Facts::decode`] reads.
    fn unpack(mut self, texts: Texts, out: &mut Vec<u8>) -> bool {
        for ((text, octets), wanted) in self.texts.iter_mut().zip(texts) {
            if !wanted {
                (*text, *octets) = (&[], 0);
            }
        }
        self.keys.encode_as(VERSION, self.left_out, out);
        let [(_, envelope), (_, bodystructure)] = self.texts;
        for octets in [self.header.len(), envelope, bodystructure] {
            put_varint(octets as u64, out);
        }
        out.extend_from_slice(self.header);
        let texts = self.texts.iter().zip(Row::beside(self.header));
        texts.into_iter().all(|((text, octets), beside)| {
            if text.len() == *octets {
                out.extend_from_slice(text);
                return true;
            }
            block::unpack(text, beside, *octets, out)
        })
    }
}

impl<'a> Facts<'a> {
    /// With these fields alone.
    fn only(mut self, fields: Fields) -> Facts<'a> {
        let texts = [
            (Fields::HEADER, &mut self.header),
            (Fields::ENVELOPE, &mut self.envelope),
            (Fields::BODYSTRUCTURE, &mut self.bodystructure),
        ];
        for (field, text) in texts {
            if field.and(fields).is_empty() && !text.is_empty() {
                *text = &[];
                self.left_out = self.left_out.or(field);
            }
        }
        self
    }

    /// What is left out of a row as it is stored because nobody asked for it.
    pub(crate) fn left_out(row: &[u8]) -> Fields {
        row.get(1).map_or(Fields::NONE, |marks| left_out(*marks))
    }

    /// The row with packed texts; `None` if that is no shorter.
    fn pack(&self) -> Option<Vec<u8>> {
        let plain = [self.envelope, self.bodystructure];
        let (mut packed, mut stored) = (Vec::new(), [0; 2]);
        for ((text, beside), stored) in plain.iter().zip(Row::beside(self.header)).zip(&mut stored)
        {
            let start = packed.len();
            *stored = block::pack(text, beside, &mut packed);
            if *stored >= text.len() {
                packed.truncate(start);
                packed.extend_from_slice(text);
                *stored = text.len();
            }
        }
        let saved = plain.iter().map(|text| text.len()).sum::<usize>() - packed.len();
        if saved < 2 * size_of::<u32>() {
            return None;
        }
        let mut row = Vec::with_capacity(100 + self.header.len() + packed.len());
        self.keys.encode_as(PACKED, self.left_out, &mut row);
        let lengths = [self.header, self.envelope, self.bodystructure];
        let lengths = lengths.iter().map(|text| text.len()).chain(stored);
        lengths.for_each(|octets| put_varint(octets as u64, &mut row));
        row.extend_from_slice(self.header);
        row.extend_from_slice(&packed);
        Some(row)
    }

    /// Appends what `decode` reads of a row as it is stored; packed `texts` that are not wanted are left out, as if
    /// they were not kept. `false`, and nothing is appended, for what no
    /// version known here wrote.
    pub(crate) fn unpack(row: &[u8], texts: Texts, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        // Most are packed; those that are not are as they are to be.
        if row.first() == Some(&VERSION) {
            let known = Facts::decode(row).is_some();
            out.extend_from_slice(if known { row } else { &[] });
            return known;
        }
        let unpacked = Row::decode(row).is_some_and(|row| row.unpack(texts, out));
        if !unpacked {
            out.truncate(start);
        }
        unpacked
    }

    /// Keys and header fields of a row as it is stored; envelope and bodystructure are left out.
    pub(crate) fn front(row: &'a [u8]) -> Option<Facts<'a>> {
        let row = Row::decode(row)?;
        Some(Facts {
            keys: row.keys,
            header: row.header,
            left_out: row.left_out,
            ..Facts::default()
        })
    }

    /// Reads what `unpack` made. `None` for what it did not.
    pub(crate) fn decode(mut bytes: &'a [u8]) -> Option<Facts<'a>> {
        let rest = &mut bytes;
        let (version, left_out, keys) = Keys::take_any(rest)?;
        let mut lengths = [0; 3];
        for length in &mut lengths {
            *length = usize::try_from(take_varint(rest)?).ok()?;
        }
        let mut texts = [&[][..]; 3];
        for (text, length) in texts.iter_mut().zip(lengths) {
            *text = take(rest, length)?;
        }
        let [header, envelope, bodystructure] = texts;
        let known = version == VERSION && rest.is_empty();
        known.then_some(Facts {
            keys,
            envelope,
            bodystructure,
            header,
            left_out,
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
                left_out: Fields::NONE,
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
                assert!(Facts::front(&row[..cut]).is_none());
            }
            let front = Facts::front(&row).unwrap();
            assert_eq!((front.keys.octets, front.header), (300, facts.header));
            let without = short.len() - checksum.map_or(0, |_| 4);
            for cut in (0..short.len()).filter(|cut| *cut != without) {
                assert_eq!(Keys::decode(&short[..cut]), None);
            }
            let more = [&*row, b"x"].concat();
            assert_eq!(Cached::decode(&more), None);
        }
        assert_eq!(Cached::decode(b"\x01\x05\x05\0\0\0"), None);
    }

    /// What is kept of a usual message.
    const HEADER: &[u8] = b"Date: Mon, 3 Nov 2025 09:59:01 +0000\r\nFrom: Somebody Example <somebody@example.org>\r\n\
        To: Ann Other <ann@example.net>, a list <list@lists.example.org>\r\nSubject: Re: what is said\r\n\
        Message-ID: <7f3a@mail.example.org>\r\nContent-Type: multipart/alternative; boundary=\"b1\"\r\n";
    const ENVELOPE: &[u8] = b"(\"Mon, 3 Nov 2025 09:59:01 +0000\" \"Re: what is said\" ((\"Somebody Example\" NIL \
        \"somebody\" \"example.org\")) ((\"Somebody Example\" NIL \"somebody\" \"example.org\")) ((\"Somebody Example\" NIL \
        \"somebody\" \"example.org\")) ((\"Ann Other\" NIL \"ann\" \"example.net\")(\"a list\" NIL \"list\" \
        \"lists.example.org\")) NIL NIL NIL \"<7f3a@mail.example.org>\")";
    const BODYSTRUCTURE: &[u8] = b"((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 7 1 NIL NIL NIL NIL)\
        (\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 14 1 NIL NIL NIL NIL) \"alternative\" (\"boundary\" \
        \"b1\") NIL NIL NIL)";

    #[test]
    fn texts_are_packed_on_the_disk() {
        let cached = Cached::new(&Facts {
            left_out: Fields::NONE,
            keys: Keys::default(),
            envelope: ENVELOPE,
            bodystructure: BODYSTRUCTURE,
            header: HEADER,
        });
        let row = cached.encode(Kept::Facts);
        let plain = ENVELOPE.len() + BODYSTRUCTURE.len();
        assert!(
            row.len() < HEADER.len() + plain / 2,
            "{} of {plain}",
            row.len()
        );
        assert_eq!(Cached::decode(&row).as_ref(), Some(&cached));
        // As the version before wrote it.
        assert_eq!(Cached::decode(&cached.bytes), Some(cached.clone()));
        let front = Facts::front(&row).unwrap();
        assert!(front.header == HEADER && front.envelope.is_empty());
        // What is as stored is stored as it is, and some of it is taken out all the same.
        let stored = Cached::stored(&row).unwrap();
        assert!(
            !stored.is_of_keys() && stored.only(Fields::FACTS).unwrap().encode(Kept::Facts) == row
        );
        assert_eq!(stored.encode(Kept::Keys), cached.encode(Kept::Keys));
        assert_eq!(stored.facts().header, HEADER);
        for field in [Fields::HEADER, Fields::ENVELOPE, Fields::BODYSTRUCTURE] {
            assert_eq!(stored.only(field), cached.only(field));
        }
        assert_eq!(stored.only(Fields::NONE), None);
        // One text alone; the other is as if it was not kept.
        for (texts, envelope, bodystructure) in [
            ([true, false], ENVELOPE, &b""[..]),
            ([false, true], b"", BODYSTRUCTURE),
        ] {
            let mut plain = b"before".to_vec();
            assert!(Facts::unpack(&row, texts, &mut plain));
            let read = Facts::decode(&plain[6..]).unwrap();
            assert_eq!(
                (read.header, read.envelope, read.bodystructure),
                (HEADER, envelope, bodystructure)
            );
        }
        for cut in 0..row.len() {
            assert_eq!(Cached::decode(&row[..cut]), None);
        }
        let mut wrong = row.to_vec();
        for at in 0..wrong.len() {
            for bit in 0..8 {
                wrong[at] ^= 1 << bit;
                if let Some(read) = Cached::decode(&wrong) {
                    assert!(read.facts().envelope.len() <= MAX_TEXT);
                }
                wrong[at] ^= 1 << bit;
            }
        }
    }
}
