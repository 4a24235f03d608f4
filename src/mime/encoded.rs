//! Encoded words (RFC 2047).

use super::header::unfold;
use crate::codec::{base64, quoted};
use encoding_rs::Encoding;

/// A header value as UTF-8: unfolded, encoded words decoded, unknown charsets as Latin letters
/// they cannot be told from. Linear in the length of the value.
pub(crate) fn decode_header(value: &[u8]) -> String {
    let text = unfold(value);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_slice();
    let mut after_word = false;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (plain, word) = rest.split_at(at);
        match encoded_word(word) {
            Some((decoded, length)) => {
                // Blanks between two encoded words are not told (RFC 2047 section 6.2).
                if !(after_word && plain.iter().all(u8::is_ascii_whitespace)) {
                    raw(plain, &mut out);
                }
                out.push_str(&decoded);
                rest = word.get(length..).unwrap_or_default();
                after_word = true;
            }
            None => {
                raw(plain, &mut out);
                out.push_str("=?");
                rest = word.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    raw(rest, &mut out);
    out
}

/// Longest encoded word looked at; RFC 2047 section 2 allows 75, some programs write more.
const MAX_WORD: usize = 4096;

/// `=?charset?encoding?text?=` at the start of `text`: what it means and its length.
fn encoded_word(text: &[u8]) -> Option<(String, usize)> {
    let window = text.get(..text.len().min(MAX_WORD))?;
    let mut parts = window.get(2..)?.splitn(3, |&b| b == b'?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = memchr::memmem::find(rest, b"?=")?;
    let coded = rest.get(..end)?;
    if charset.is_empty() || charset.iter().chain(coded).any(|&b| b == b'\n') {
        return None;
    }
    let bytes = match encoding {
        b"b" | b"B" => {
            let (mut decoder, mut out) = (base64::Decoder::default(), Vec::new());
            decoder.decode(coded, &mut out);
            decoder.finish(&mut out);
            out
        }
        b"q" | b"Q" => q_text(coded),
        _ => return None,
    };
    // RFC 2231 section 5: a language may follow the charset.
    let charset = charset.split(|&b| b == b'*').next().unwrap_or(charset);
    let length = 2 + charset_length(window) + 1 + encoding.len() + 1 + end + 2;
    Some((to_utf8(charset, &bytes), length))
}

fn charset_length(window: &[u8]) -> usize {
    window
        .get(2..)
        .and_then(|w| w.iter().position(|&b| b == b'?'))
        .unwrap_or(0)
}

/// The Q encoding: quoted-printable with `_` for a blank (RFC 2047 section 4.2).
fn q_text(coded: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = coded
        .iter()
        .map(|&b| if b == b'_' { b' ' } else { b })
        .collect();
    let (mut decoder, mut out) = (quoted::Decoder::default(), Vec::new());
    decoder.decode(&spaced, &mut out);
    // Blanks at the end of a word count, unlike those of a line.
    decoder.decode(b"=\n", &mut out);
    decoder.finish(&mut out);
    out
}

/// Text without a charset: UTF-8 if it is, else Latin-1.
fn raw(text: &[u8], out: &mut String) {
    match std::str::from_utf8(text) {
        Ok(text) => out.push_str(text),
        Err(_) => out.extend(text.iter().map(|&b| char::from(b))),
    }
}

/// `bytes` of that charset as UTF-8; what cannot be decoded becomes U+FFFD.
pub(crate) fn to_utf8(charset: &[u8], bytes: &[u8]) -> String {
    match Encoding::for_label(charset) {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        None => {
            let mut out = String::new();
            raw(bytes, &mut out);
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_rfc_2047() {
        for (value, expected) in [
            ("plain", "plain"),
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?utf-8?q?a_?=", "a "),
            ("=?utf-8?B?w7w=?= x", "\u{fc} x"),
            ("=?ISO-8859-1*de?Q?=FC?=", "\u{fc}"),
            ("=?US-ASCII?Q?Keith?= <k@x>", "Keith <k@x>"),
            ("=?broken", "=?broken"),
            ("=?x?Z?y?= z", "=?x?Z?y?= z"),
            (
                "=?koi8-r?B?8NLJ18XU?=",
                "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}",
            ),
        ] {
            assert_eq!(decode_header(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(decode_header(b"\xfc"), "\u{fc}");
        let hostile = "=?a?Q?".repeat(50_000);
        assert!(decode_header(hostile.as_bytes()).len() <= hostile.len());
    }
}
