//! PREVIEW (RFC 8970): made when somebody asks and remembered then. Not made at delivery: most messages
//! are never asked for one, and every delivery would pay.

use super::{Error, Rows};
use crate::mime;

/// Octets of a part that are looked at, as stored; the heads of some HTML are long.
const MAX_OCTETS: u64 = 128 * 1024;
const PIECE: u64 = 4 * 1024;

impl Rows {
    /// The first words of the message, empty if it has no text; `None` if they were not made before
    /// and `lazy` says that they need not be (RFC 8970 section 4.1).
    pub(crate) fn preview(&mut self, lazy: bool) -> Result<Option<String>, Error> {
        if let Some(known) = self.known_preview()? {
            return Ok(Some(known));
        }
        if lazy {
            return Ok(None);
        }
        let text = self.make_preview()?;
        self.keep_preview(&text);
        Ok(Some(text))
    }

    fn make_preview(&mut self) -> Result<String, Error> {
        let (structure, raw) = self.raw()?;
        let Some(part) = structure.preview_part() else {
            return Ok(String::new());
        };
        let Some(mut decoder) = mime::Text::new(&part.content) else {
            return Ok(String::new());
        };
        let mut preview = mime::Preview::new(part);
        let mut at = part.body.start;
        let end = part.body.end.min(at.saturating_add(MAX_OCTETS));
        let mut text = String::new();
        loop {
            let to = end.min(at + PIECE);
            let piece = raw.read(at, to)?;
            at = to;
            let last = at >= end || piece.is_empty();
            text.clear();
            decoder.decode(piece, last, &mut text);
            if preview.add(&text) || last {
                return Ok(preview.finish());
            }
        }
    }
}
