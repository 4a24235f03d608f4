//! What is remembered of one message so that its file need not be opened.

use super::bits::{put_varint, take, take_varint};

/// Cached fields of one message, in one buffer as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    bytes: Vec<u8>,
    octets: u64,
    internal_date: i64,
    /// Ends of envelope, bodystructure and header fields in `bytes`.
    starts: [usize; 3],
    ends: [usize; 3],
}

const VERSION: u8 = 1;

impl Cached {
    /// `octets`: RFC822.SIZE; `internal_date`: seconds since 1970; texts as IMAP writes them;
    /// `header`: the common fields as they stand, CRLF line ends, without the empty line.
    pub(crate) fn new(
        octets: u64,
        internal_date: i64,
        envelope: &[u8],
        bodystructure: &[u8],
        header: &[u8],
    ) -> Cached {
        let mut bytes =
            Vec::with_capacity(32 + envelope.len() + bodystructure.len() + header.len());
        bytes.push(VERSION);
        put_varint(octets, &mut bytes);
        put_varint(internal_date.cast_unsigned(), &mut bytes);
        let texts = [envelope, bodystructure, header];
        texts
            .iter()
            .for_each(|text| put_varint(text.len() as u64, &mut bytes));
        let (mut starts, mut ends) = ([0; 3], [0; 3]);
        for ((text, start), end) in texts.iter().zip(&mut starts).zip(&mut ends) {
            *start = bytes.len();
            bytes.extend_from_slice(text);
            *end = bytes.len();
        }
        Cached {
            bytes,
            octets,
            internal_date,
            starts,
            ends,
        }
    }

    pub(crate) fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// `None` for what this version did not write: computed anew then.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Cached> {
        let row = CachedRow::decode(bytes)?;
        Some(Cached {
            bytes: bytes.to_vec(),
            octets: row.octets,
            internal_date: row.internal_date,
            starts: row.starts,
            ends: row.ends,
        })
    }

    /// The same without the buffer.
    pub(crate) fn row(&self) -> CachedRow<'_> {
        CachedRow {
            bytes: &self.bytes,
            octets: self.octets,
            internal_date: self.internal_date,
            starts: self.starts,
            ends: self.ends,
        }
    }

    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    pub(crate) fn internal_date(&self) -> i64 {
        self.internal_date
    }

    pub(crate) fn envelope(&self) -> &[u8] {
        self.row().text(0)
    }

    pub(crate) fn bodystructure(&self) -> &[u8] {
        self.row().text(1)
    }

    /// The common header fields that the message has, with CRLF line ends.
    pub(crate) fn header(&self) -> &[u8] {
        self.row().text(2)
    }
}

/// As [`Cached`], borrowed from where it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedRow<'a> {
    bytes: &'a [u8],
    octets: u64,
    internal_date: i64,
    starts: [usize; 3],
    ends: [usize; 3],
}

impl<'a> CachedRow<'a> {
    /// As [`Cached::decode`].
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<CachedRow<'a>> {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [VERSION] {
            return None;
        }
        let octets = take_varint(&mut rest)?;
        let internal_date = take_varint(&mut rest)?.cast_signed();
        let (mut starts, mut ends) = ([0; 3], [0; 3]);
        for end in &mut ends {
            *end = usize::try_from(take_varint(&mut rest)?).ok()?;
        }
        let mut at = bytes.len() - rest.len();
        for (start, end) in starts.iter_mut().zip(&mut ends) {
            *start = at;
            at = at.checked_add(*end)?;
            *end = at;
        }
        (at == bytes.len()).then_some(CachedRow {
            bytes,
            octets,
            internal_date,
            starts,
            ends,
        })
    }

    fn text(&self, at: usize) -> &'a [u8] {
        let range = self.starts.get(at).zip(self.ends.get(at));
        range
            .and_then(|(&start, &end)| self.bytes.get(start..end))
            .unwrap_or_default()
    }

    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    pub(crate) fn internal_date(&self) -> i64 {
        self.internal_date
    }

    /// As [`Cached::header`].
    pub(crate) fn header(&self) -> &'a [u8] {
        self.text(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_fields_survive() {
        let cached = Cached::new(300, -5, b"(NIL)", b"", b"A: b\r\n");
        let decoded = Cached::decode(cached.encode()).unwrap();
        assert_eq!(decoded, cached);
        assert_eq!((decoded.octets(), decoded.internal_date()), (300, -5));
        assert_eq!(
            (decoded.envelope(), decoded.bodystructure()),
            (b"(NIL)" as &[u8], b"" as &[u8])
        );
        assert_eq!(decoded.header(), b"A: b\r\n");
        for cut in 0..cached.encode().len() {
            assert_eq!(Cached::decode(&cached.encode()[..cut]), None);
        }
    }
}
