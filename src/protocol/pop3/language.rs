//! Which language texts for people are in (RFC 6856 section 3): English, for whoever asks.

/// Appends the answer to LANG. `range`: a basic language range (RFC 4647), or `*` for what the server
/// prefers.
pub(super) fn language(range: Option<&[u8]>, out: &mut Vec<u8>) {
    let text: &[u8] = match range {
        None => b"+OK Languages follow\r\nen English\r\n.\r\n",
        Some(range) if range == b"*" || range.eq_ignore_ascii_case(b"en") => {
            b"+OK en Texts are in English.\r\n"
        }
        Some(_) => b"-ERR There are no texts in this language.\r\n",
    };
    out.extend_from_slice(text);
}
