//! The text of a part, for searching: transfer encoding and charset undone, in constant memory.

use super::part::Content;
use super::transfer::Transfer;
use encoding_rs::{Decoder, Encoding, UTF_8, WINDOWS_1252};

/// Turns raw bytes of a part, piece by piece, into UTF-8.
pub(crate) struct Text {
    transfer: Transfer,
    charset: Decoder,
    decoded: Vec<u8>,
}

impl Text {
    /// `None` for parts that hold no text, as what is encoded in an unknown way (RFC 3501 section 6.4.4 leaves the choice of parts to the server).
    pub(crate) fn new(content: &Content) -> Option<Text> {
        if !content.is("text", None) && !content.is("message", None) {
            return None;
        }
        let named = content.parameter("charset").and_then(Encoding::for_label);
        // Undeclared 8-bit text is UTF-8 more often than anything else.
        let encoding = named.unwrap_or(UTF_8);
        Some(Text {
            transfer: Transfer::new(content.encoding.as_deref().unwrap_or(b"7bit"))?,
            charset: encoding.new_decoder_without_bom_handling(),
            decoded: Vec::new(),
        })
    }

    /// Appends the text of this piece to `out`; `last` ends it.
    pub(crate) fn decode(&mut self, piece: &[u8], last: bool, out: &mut String) {
        self.decoded.clear();
        let bytes = if self.transfer.is_identity() {
            piece
        } else {
            self.transfer.decode(piece, last, &mut self.decoded);
            &self.decoded
        };
        out.reserve(
            self.charset
                .max_utf8_buffer_length(bytes.len())
                .unwrap_or(bytes.len() * 3),
        );
        // The reserved room is the most it can need, so one call takes all.
        let _ = self.charset.decode_to_string(bytes, out, last);
    }
}

/// UTF-8 of a search string in that charset; `None` for a charset nobody knows.
pub(crate) fn from_charset(charset: &str, text: &[u8]) -> Option<String> {
    let encoding = Encoding::for_label(charset.as_bytes())?;
    // The label us-ascii means windows-1252 on the web; here 8-bit text under it is an error.
    if encoding == WINDOWS_1252 && charset.eq_ignore_ascii_case("us-ascii") && !text.is_ascii() {
        return None;
    }
    encoding
        .decode_without_bom_handling_and_without_replacement(text)
        .map(|t| t.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::{Limits, parse_bytes};

    #[test]
    fn text_is_decoded_across_splits() {
        for (message, expected) in [
            (
                "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=FCber=\n",
                "\u{fc}ber",
            ),
            (
                "Content-Transfer-Encoding: base64\nContent-Type: text/html; charset=utf-8\n\nw7w=\n",
                "\u{fc}",
            ),
            ("\nplain", "plain"),
        ] {
            let structure = parse_bytes(message.as_bytes(), &Limits::default());
            let part = structure.root().unwrap();
            let body = &message.as_bytes()[part.body.start as usize..part.body.end as usize];
            for split in 0..=body.len() {
                let mut text = Text::new(&part.content).unwrap();
                let mut out = String::new();
                text.decode(&body[..split], false, &mut out);
                text.decode(&body[split..], true, &mut out);
                assert_eq!(out.trim_end(), expected);
            }
        }
        for other in [
            "Content-Type: image/png",
            "Content-Transfer-Encoding: 8bits",
        ] {
            let structure = parse_bytes(format!("{other}\n\nx").as_bytes(), &Limits::default());
            assert!(Text::new(&structure.root().unwrap().content).is_none());
        }
    }

    #[test]
    fn charsets_of_search_strings() {
        assert_eq!(
            from_charset("utf-8", "\u{fc}".as_bytes()).as_deref(),
            Some("\u{fc}")
        );
        assert_eq!(
            from_charset("ISO-8859-1", b"\xfc").as_deref(),
            Some("\u{fc}")
        );
        assert_eq!(from_charset("us-ascii", b"\xfc"), None);
        assert_eq!(from_charset("utf-8", b"\xfc"), None);
        assert_eq!(from_charset("klingon", b"a"), None);
    }
}
