//! Content-Transfer-Encoding undone, in constant memory (RFC 2045 section 6).

use super::part::{Kind, Part};
use crate::codec::{base64, quoted};

/// Turns raw bytes of a part, piece by piece, into what they stand for.
pub(crate) enum Transfer {
    Identity,
    Base64(base64::Decoder),
    Quoted(quoted::Decoder),
}

impl Transfer {
    /// `None` for an encoding nobody knows.
    pub(crate) fn new(name: &[u8]) -> Option<Transfer> {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        if is("base64") {
            Some(Transfer::Base64(base64::Decoder::default()))
        } else if is("quoted-printable") {
            Some(Transfer::Quoted(quoted::Decoder::default()))
        } else {
            let identity = is("7bit") || is("8bit") || is("binary");
            identity.then_some(Transfer::Identity)
        }
    }

    /// That of a part's body. A multipart is never encoded (RFC 2045 section 6.4).
    pub(crate) fn of(part: &Part) -> Option<Transfer> {
        match part.kind {
            Kind::Multipart => Some(Transfer::Identity),
            _ => Transfer::new(part.content.encoding.as_deref().unwrap_or(b"7bit")),
        }
    }

    pub(crate) fn is_identity(&self) -> bool {
        matches!(self, Transfer::Identity)
    }

    /// Appends what the piece decodes to; `last` ends it.
    pub(crate) fn decode(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) {
        match self {
            Transfer::Identity => out.extend_from_slice(piece),
            Transfer::Base64(decoder) => {
                decoder.decode(piece, out);
                if last {
                    decoder.finish(out);
                }
            }
            Transfer::Quoted(decoder) => {
                decoder.decode(piece, out);
                if last {
                    decoder.finish(out);
                }
            }
        }
    }
}
