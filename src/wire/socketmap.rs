//! Postfix's socketmap protocol (`socketmap_table(5)`, as Sendmail has it): requests and replies as netstrings.

/// Octets of a request.
pub(crate) const MAX_REQUEST: usize = 4096;

/// What is at the beginning of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Netstring<'a> {
    Incomplete,
    /// The text, and octets it took with all around it.
    Whole(&'a [u8], usize),
    Malformed,
}

/// `LENGTH ":" text ","`.
pub(crate) fn netstring(bytes: &[u8]) -> Netstring<'_> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    // No request has more digits.
    if digits > 4 || (digits == 0 && !bytes.is_empty()) {
        return Netstring::Malformed;
    }
    match bytes.get(digits) {
        None => return Netstring::Incomplete,
        Some(b':') => {}
        Some(_) => return Netstring::Malformed,
    }
    let length = bytes.get(..digits).unwrap_or_default();
    let length = length
        .iter()
        .fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
    if length > MAX_REQUEST {
        return Netstring::Malformed;
    }
    let end = digits + 1 + length;
    match (bytes.get(digits + 1..end), bytes.get(end)) {
        (Some(text), Some(b',')) => Netstring::Whole(text, end + 1),
        (Some(_), Some(_)) => Netstring::Malformed,
        _ => Netstring::Incomplete,
    }
}

/// Appends a netstring.
pub(crate) fn reply(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:{text},", text.len()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netstrings() {
        for (bytes, expected) in [
            (&b""[..], Netstring::Incomplete),
            (b"5", Netstring::Incomplete),
            (b"5:abc", Netstring::Incomplete),
            (b"5:abcde", Netstring::Incomplete),
            (b"5:abcde,x", Netstring::Whole(b"abcde", 8)),
            (b"0:,", Netstring::Whole(b"", 3)),
            (b"5:abcdef", Netstring::Malformed),
            (b"x", Netstring::Malformed),
            (b":", Netstring::Malformed),
            (b"-1:", Netstring::Malformed),
            (b"12345", Netstring::Malformed),
            (b"4097:", Netstring::Malformed),
            (b"4096:", Netstring::Incomplete),
        ] {
            assert_eq!(
                netstring(bytes),
                expected,
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
        let mut out = Vec::new();
        reply("OK x", &mut out);
        assert_eq!(netstring(&out), Netstring::Whole(b"OK x", out.len()));
    }
}
