//! Message IDs of Message-ID, References and In-Reply-To (RFC 5322 section 3.6.4).

use super::token::Cursor;

/// Longer ones are none; bounds what is looked at again after a broken one.
const MAX_OCTETS: usize = 1000;

/// Calls `each` with every valid message ID of a raw field value, without `<>` and without quoting
/// (RFC 5256 section 3), until it returns `false`.
pub(crate) fn message_ids(value: &[u8], each: &mut dyn FnMut(&[u8]) -> bool) {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'<', rest) {
        let text = rest.get(at + 1..).unwrap_or_default();
        let window = text.get(..text.len().min(MAX_OCTETS)).unwrap_or_default();
        match message_id(window) {
            Some((id, length)) => {
                if !each(&id) {
                    return;
                }
                rest = text.get(length..).unwrap_or_default();
            }
            None => rest = text,
        }
    }
}

/// `msg-id = "<" id-left "@" id-right ">"` behind its `<`: the ID and how long it is with the `>`.
fn message_id(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut cursor = Cursor::new(text);
    let mut id = Vec::new();
    dotted(&mut cursor, &mut id);
    if id.is_empty() || !cursor.eat(b'@') {
        return None;
    }
    id.push(b'@');
    let left = id.len();
    cursor.skip();
    match cursor.domain_literal() {
        Some(literal) => id.extend_from_slice(&literal),
        None => dotted(&mut cursor, &mut id),
    }
    cursor.skip();
    if id.len() == left || !cursor.eat(b'>') {
        return None;
    }
    Some((id, text.len() - cursor.rest().len()))
}

/// Words with dots between them.
fn dotted(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
    loop {
        cursor.skip();
        if cursor.eat(b'.') {
            out.push(b'.');
            continue;
        }
        match cursor.quoted() {
            Some(quoted) => out.extend_from_slice(&quoted),
            None => match cursor.atom() {
                [] => return,
                atom => out.extend_from_slice(atom),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_fields() {
        for (value, expected) in [
            ("<a@b>", &["a@b"] as &[&str]),
            ("<\"01K\"@x> <01K@x>", &["01K@x", "01K@x"]),
            ("x <a@b>\r\n\t<c.d@[1.2]> (y) <e@f", &["a@b", "c.d@[1.2]"]),
            ("<<a@b>", &["a@b"]),
            ("<a b@c> <@d> <e@>", &["ab@c"]),
            ("\"n\" <x> at", &[]),
        ] {
            let mut found = Vec::new();
            message_ids(value.as_bytes(), &mut |id| {
                found.push(String::from_utf8_lossy(id).into_owned());
                true
            });
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn broken_ids_take_linear_time() {
        for unit in ["<", "<\"", "<a@(", "<a."] {
            message_ids(unit.repeat(100_000).as_bytes(), &mut |_| true);
        }
    }
}
