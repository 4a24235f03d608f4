//! Looking for a string in texts of messages, compared by i;unicode-casemap (RFC 5255 section 4.3).

use super::rows::Raw;
use super::{Error, Rows};
use crate::mime;
use memchr::{memchr, memmem};

/// Text of a part is compared in pieces of this size.
const PIECE: u64 = 32 * 1024;

/// What is looked for, prepared.
pub(super) struct Needle(memmem::Finder<'static>);

/// Whether headers inside the body count (RFC 9051 section 6.4.4: for TEXT, not for BODY).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Headers {
    Too,
    No,
}

impl Needle {
    pub(super) fn new(text: &str) -> Needle {
        let mut prepared = Vec::new();
        mime::casemap(text, &mut prepared);
        Needle(memmem::Finder::new(&prepared).into_owned())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.needle().is_empty()
    }

    /// True if it can stand where names are quoted only.
    pub(super) fn has_quotes(&self) -> bool {
        self.0.needle().contains(&b'"')
    }

    /// True if the text has it; `room` is overwritten.
    pub(super) fn is_in(&self, text: &str, room: &mut Vec<u8>) -> bool {
        room.clear();
        mime::casemap(text, room);
        self.0.find(room).is_some()
    }

    /// As `is_in` for the raw value of a header field, or a whole line of a header.
    pub(super) fn is_in_field(&self, value: &[u8], room: &mut Vec<u8>) -> bool {
        let value = value.trim_ascii();
        match std::str::from_utf8(value) {
            // Nothing to be unfolded or decoded: the usual case.
            Ok(text) if memchr(b'\n', value).is_none() && memmem::find(value, b"=?").is_none() => {
                self.is_in(text, room)
            }
            _ => self.is_in(&mime::decode_header(value), room),
        }
    }

    /// Lines that are no field are text, too.
    fn is_in_header(&self, header: &[u8], room: &mut Vec<u8>) -> bool {
        mime::header_lines(header).any(|line| self.is_in_field(line, room))
    }

    /// Looks through the message's own header.
    pub(super) fn is_in_own_header(
        &self,
        row: &mut Rows,
        room: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let (structure, raw) = row.raw()?;
        let Some(own) = structure.root().map(|root| root.header) else {
            return Ok(false);
        };
        let header = raw.read(own.start, own.end)?;
        Ok(self.is_in_header(header, room))
    }

    /// Looks through every text part, decoded, in constant memory.
    pub(super) fn is_in_body(
        &self,
        row: &mut Rows,
        headers: Headers,
        room: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let (structure, raw) = row.raw()?;
        for (at, part) in structure.parts.iter().enumerate() {
            if at > 0 && headers == Headers::Too {
                let header = raw.read(part.header.start, part.header.end)?;
                if self.is_in_header(header, room) {
                    return Ok(true);
                }
            }
            if part.kind == mime::Kind::Leaf && self.is_in_part(part, raw, room)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_in_part(
        &self,
        part: &mime::Part,
        raw: &mut Raw,
        room: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let Some(mut decoder) = mime::Text::new(&part.content) else {
            return Ok(false);
        };
        let mut at = part.body.start;
        let mut decoded = String::new();
        room.clear();
        loop {
            let to = part.body.end.min(at + PIECE);
            let piece = raw.read(at, to)?;
            at = to;
            let last = at >= part.body.end || piece.is_empty();
            decoded.clear();
            decoder.decode(piece, last, &mut decoded);
            mime::casemap(&decoded, room);
            if self.0.find(room).is_some() {
                return Ok(true);
            }
            if last {
                return Ok(false);
            }
            // The end of a piece can be the start of a match.
            let kept = self.0.needle().len().saturating_sub(1);
            room.drain(..room.len().saturating_sub(kept));
        }
    }
}
