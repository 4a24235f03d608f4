//! Modified UTF-7, as mailbox names travel and are stored (RFC 3501 section 5.1.3).

use data_encoding::{BASE64_NOPAD, Encoding};

/// UTF-16 of anything outside printable US-ASCII goes into `&...-`, with `,` for `/`.
pub(crate) fn encode(text: &str) -> String {
    encode_also(text, '\0')
}

/// As [`encode`], but `also` is encoded too though it is printable. Not canonical; decoders take it.
pub(crate) fn encode_also(text: &str, also: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pending: Vec<u8> = Vec::new();
    for c in text.chars() {
        if (' '..='~').contains(&c) && c != also {
            flush(&mut pending, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            pending.extend(
                c.encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    flush(&mut pending, &mut out);
    out
}

fn flush(pending: &mut Vec<u8>, out: &mut String) {
    if !pending.is_empty() {
        out.push('&');
        out.push_str(&encoding().encode(pending).replace('/', ","));
        out.push('-');
        pending.clear();
    }
}

fn encoding() -> Encoding {
    BASE64_NOPAD
}

/// `None` for what is not modified UTF-7. Encoded printable characters are accepted: some
/// programs write them, and so does [`encode_also`].
pub(crate) fn decode(text: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'&' => {
                let end = memchr::memchr(b'-', rest)?;
                let (coded, after) = rest.split_at(end);
                rest = after.get(1..)?;
                if coded.is_empty() {
                    out.push('&');
                } else {
                    decode_run(coded, &mut out)?;
                }
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => return None,
        }
    }
    Some(out)
}

fn decode_run(coded: &[u8], out: &mut String) -> Option<()> {
    if coded.contains(&b'/') {
        return None;
    }
    let plain: Vec<u8> = coded
        .iter()
        .map(|&b| if b == b',' { b'/' } else { b })
        .collect();
    let bytes = encoding().decode(&plain).ok()?;
    if bytes.len() % 2 != 0 {
        return None;
    }
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    for c in char::decode_utf16(units) {
        out.push(c.ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names() {
        for (utf8, coded) in [
            ("INBOX", "INBOX"),
            ("Entw\u{fc}rfe", "Entw&APw-rfe"),
            (
                "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}",
                "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
            ),
            ("a&b", "a&-b"),
            ("\u{1f600}", "&2D3eAA-"),
            ("", ""),
        ] {
            assert_eq!(encode(utf8), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(utf8));
        }
        assert_eq!(encode_also("v1.0", '.'), "v1&AC4-0");
        assert_eq!(decode(b"v1&AC4-0").as_deref(), Some("v1.0"));
        for bad in ["&", "&AP", "&A-", "&2D0-", "\u{fc}", "a\n", "&U/BT-"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
