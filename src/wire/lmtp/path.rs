//! Addresses between angle brackets.

use crate::wire::reader::Reader;

/// Longest path between angle brackets (RFC 5321 section 4.5.3.1.3).
const MAX_PATH: usize = 256;

/// What is between the angle brackets, without a source route (RFC 5321 section 4.1.2 and appendix C); UTF-8
/// (RFC 6531 section 3.3). `None` for what is no path.
pub(super) fn path(r: &mut Reader<'_>) -> Option<Vec<u8>> {
    if !r.eat(b'<') {
        return None;
    }
    if r.peek() == Some(b'@') {
        r.take_while(|b| b != b':' && b != b'>');
        if !r.eat(b':') {
            return None;
        }
    }
    let path = between(r)?;
    // A domain has a name.
    if path.last() == Some(&b'@') {
        return None;
    }
    std::str::from_utf8(&path).is_ok().then_some(path)
}

fn between(r: &mut Reader<'_>) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut quoted = false;
    loop {
        let byte = r.peek()?;
        if byte < b' ' || byte == 127 || path.len() >= MAX_PATH {
            return None;
        }
        r.take(1);
        match byte {
            b'>' if !quoted => return Some(path),
            b'<' | b' ' if !quoted => return None,
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                path.push(byte);
                path.push(r.peek().filter(|b| *b >= b' ')?);
                r.take(1);
                continue;
            }
            _ => {}
        }
        path.push(byte);
    }
}

/// A local part without its quotes (RFC 5321 section 4.1.2): the address as user names are written.
pub(crate) fn unquoted(address: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(address.len());
    let mut escaped = false;
    for &byte in address {
        if escaped || (byte != b'"' && byte != b'\\') {
            out.push(byte);
            escaped = false;
        } else {
            escaped = byte == b'\\';
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_go() {
        assert_eq!(unquoted(b"\"a b\\\"c\"@d"), b"a b\"c@d");
        assert_eq!(unquoted(b"ann+x@y"), b"ann+x@y");
    }

    #[test]
    fn paths_are_bounded_and_utf8() {
        let read = |text: &[u8]| path(&mut Reader::new(text));
        assert_eq!(read("<zoë@x>".as_bytes()), Some("zoë@x".into()));
        assert_eq!(read(b"<zo\xeb@x>"), None);
        assert_eq!(read(b"<ann@>"), None);
        assert_eq!(read(b"<\"ann@\">"), Some(b"\"ann@\"".to_vec()));
        let long = |count| read(format!("<{}>", "a".repeat(count)).as_bytes());
        assert!(long(MAX_PATH - 1).is_some() && long(MAX_PATH).is_none());
    }
}
