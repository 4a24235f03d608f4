//! Content-Transfer-Encoding undone, in constant memory (RFC 2045 section 6).

use super::part::{Content, Kind, Part};
use crate::codec::crlf::ToCrlf;
use crate::codec::{base64, quoted};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

/// Turns raw bytes of a part, piece by piece, into what they stand for.
pub(crate) enum Transfer {
    Identity,
    Base64(base64::Decoder),
    Quoted(quoted::Decoder),
    /// Text, in which lines end in CRLF.
    Lines(Box<(Transfer, ToCrlf)>),
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

    /// That of a part's body, for clients: lines of decoded text end in CRLF whatever they ended in
    /// (RFC 3516 section 4.2, RFC 9051 section 7.5.2). A multipart is never encoded (RFC 2045 section 6.4).
    pub(crate) fn of(part: &Part) -> Option<Transfer> {
        if part.kind == Kind::Multipart {
            return Some(Transfer::Identity);
        }
        let transfer = Transfer::new(part.content.encoding.as_deref().unwrap_or(b"7bit"))?;
        match transfer {
            Transfer::Base64(_) | Transfer::Quoted(_) if has_lines(&part.content) => {
                let lines = Box::new((transfer, ToCrlf::default()));
                Some(Transfer::Lines(lines))
            }
            transfer => Some(transfer),
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
            Transfer::Lines(lines) => {
                let (transfer, lines) = &mut **lines;
                let mut decoded = Vec::with_capacity(piece.len());
                transfer.decode(piece, last, &mut decoded);
                lines.decode(&decoded, out);
            }
        }
    }
}

/// True for text whose octets LF end lines, as they do in all charsets but those of 16 bits.
fn has_lines(content: &Content) -> bool {
    let charset = content.parameter("charset").and_then(Encoding::for_label);
    content.is("text", None) && charset != Some(UTF_16LE) && charset != Some(UTF_16BE)
}
