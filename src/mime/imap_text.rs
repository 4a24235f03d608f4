//! Strings as IMAP writes them inside ENVELOPE and BODYSTRUCTURE (RFC 3501 section 4.3).

/// Appends a quoted string, or a literal where a quoted string cannot hold the text.
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    let plain = |b: &u8| (0x20..0x7f).contains(b) || *b == b'\t';
    if text.iter().all(plain) && text.len() <= MAX_QUOTED {
        out.push(b'"');
        for &byte in text {
            if byte == b'"' || byte == b'\\' {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
        return;
    }
    // A literal must not hold NUL (RFC 3501 section 9, CHAR8); 0x80 stands in, as Dovecot does.
    out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
    out.extend(text.iter().map(|&b| if b == 0 { 0x80 } else { b }));
}

/// Longer text goes into a literal: some clients bound the length of a line.
const MAX_QUOTED: usize = 4096;

/// Appends a string or NIL.
pub(crate) fn nstring(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => string(text, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends a decimal number.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers() {
        for (text, expected) in [
            (b"" as &[u8], b"\"\"" as &[u8]),
            (b"a\"b\\", b"\"a\\\"b\\\\\""),
            (b"\xe4", b"{1}\r\n\xe4"),
            (b"a\r\nb", b"{4}\r\na\r\nb"),
            (b"a\0", b"{2}\r\na\x80"),
        ] {
            let mut out = Vec::new();
            string(text, &mut out);
            assert_eq!(out, expected);
        }
        for n in [0, 7, 10, 4294967296, u64::MAX] {
            let mut out = Vec::new();
            number(n, &mut out);
            assert_eq!(out, n.to_string().as_bytes());
        }
    }
}
