//! What is worth remembering of a message.

use crate::index::{Cached, Facts, Fields, Keys, SubjectKey};
use crate::mime;
use crate::store::{Body, Draft};
use std::io::{self, Read, Seek};

/// Header fields that clients ask for when they list messages; kept as they stand.
const COMMON: [&str; 20] = [
    "From",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Date",
    "Message-ID",
    "References",
    "In-Reply-To",
    "Reply-To",
    "Sender",
    "List-Id",
    "List-Post",
    "Content-Type",
    "X-Priority",
    "Importance",
    "Priority",
    "X-Mailer",
    "User-Agent",
    "Newsgroups",
];

/// Common header text kept of one message at most; with more none is kept.
const MAX_HEADER: usize = 4 * 1024;
/// Base subjects beyond this are computed each time.
const MAX_SUBJECT: usize = 1024;
/// Envelopes and bodystructures beyond this are computed each time.
const MAX_TEXT: usize = 16 * 1024;
/// Messages up to this size are read at once.
const SMALL: u64 = 64 * 1024;

/// True if every one of these fields is among those kept.
pub(super) fn knows<N: AsRef<str>>(names: &[N]) -> bool {
    names.iter().all(|name| {
        COMMON
            .iter()
            .any(|common| common.eq_ignore_ascii_case(name.as_ref()))
    })
}

/// How much is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What messages are found and sorted by.
    Keys,
    All,
}

/// Computes what is to be remembered of a message that was just written. `None` if it cannot be read.
pub(super) fn from_draft(
    draft: &mut dyn Draft,
    internal_date: i64,
    limits: &mime::Limits,
    depth: Depth,
) -> Option<Cached> {
    if let Some(bytes) = draft.whole().ok()? {
        return Some(from_bytes_to(bytes, internal_date, limits, depth));
    }
    from_body(&mut draft.reader().ok()?, internal_date, limits).ok()
}

/// What is read through it is added up.
pub(super) struct Summed<'a> {
    body: &'a mut Body,
    sum: crc32fast::Hasher,
}

impl Summed<'_> {
    /// Of a message from where it is on.
    pub(super) fn new(body: &mut Body) -> Summed<'_> {
        Summed {
            body,
            sum: crc32fast::Hasher::new(),
        }
    }

    /// Reads what is left; the checksum of all that was read.
    pub(super) fn rest(mut self) -> io::Result<u32> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.sum.finalize())
    }
}

impl Read for Summed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(out)?;
        self.sum.update(out.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Reads a message from its start and computes what is to be remembered.
pub(super) fn from_body(
    body: &mut Body,
    internal_date: i64,
    limits: &mime::Limits,
) -> io::Result<Cached> {
    let length = body.length();
    if length <= SMALL {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        body.read_to_end(&mut bytes)?;
        return Ok(from_bytes(&bytes, internal_date, limits));
    }
    let mut summed = Summed::new(body);
    let message = mime::parse(&mut summed, limits)?;
    let checksum = summed.rest()?;
    let header_end = message.root().map_or(0, |root| root.header.end);
    let header_end = usize::try_from(header_end).unwrap_or(usize::MAX);
    let mut header = vec![0; header_end.min(limits.header_octets)];
    body.rewind()?;
    body.read_exact(&mut header)?;
    let checksum = Some(checksum);
    Ok(remember(
        &message,
        &header,
        (internal_date, checksum),
        limits,
        Depth::All,
    ))
}

/// As `from_body` for a message in memory.
pub(super) fn from_bytes(bytes: &[u8], internal_date: i64, limits: &mime::Limits) -> Cached {
    from_bytes_to(bytes, internal_date, limits, Depth::All)
}

fn from_bytes_to(bytes: &[u8], internal_date: i64, limits: &mime::Limits, depth: Depth) -> Cached {
    let message = mime::parse_bytes(bytes, limits);
    let end = message
        .root()
        .and_then(|root| usize::try_from(root.header.end).ok())
        .unwrap_or(0);
    remember(
        &message,
        bytes.get(..end).unwrap_or_default(),
        (internal_date, Some(crc32fast::hash(bytes))),
        limits,
        depth,
    )
}

fn remember(
    message: &mime::Message,
    header: &[u8],
    (internal_date, checksum): (i64, Option<u32>),
    limits: &mime::Limits,
    depth: Depth,
) -> Cached {
    let short = |text: Vec<u8>| {
        if text.len() <= MAX_TEXT {
            text
        } else {
            Vec::new()
        }
    };
    let mut fields = Vec::with_capacity(1024);
    mime::header_fields(header, &COMMON, false, &mut fields);
    let sent = mime::values(&fields, "Date").next();
    let sent = sent.and_then(mime::sent_date);
    let mut base = Vec::new();
    let mut subjects = mime::values(&fields, "Subject");
    let is_reply = subjects.next().is_some_and(|s| base_subject(s, &mut base));
    let (base, is_reply) = (base.as_slice(), is_reply);
    let keys = Keys {
        octets: message.octets(),
        internal_date,
        sent,
        subject: (base.len() <= MAX_SUBJECT).then_some(SubjectKey { base, is_reply }),
        checksum,
    };
    if depth == Depth::Keys {
        return Cached::of_keys(&keys);
    }
    let envelope = short(mime::envelope(header, limits));
    let structure = short(mime::bodystructure(message));
    Cached::new(&Facts {
        keys,
        envelope: &envelope,
        bodystructure: &structure,
        header: if fields.len() <= MAX_HEADER {
            &fields
        } else {
            &[]
        },
        left_out: Fields::NONE,
    })
}

/// Appends the base subject of a raw value in the form in which texts are compared; whether it is that
/// of a reply or a forward (RFC 5256 section 2.1).
pub(super) fn base_subject(value: &[u8], out: &mut Vec<u8>) -> bool {
    let subject = mime::base_subject(value);
    mime::casemap(&subject.text, out);
    subject.is_reply
}
