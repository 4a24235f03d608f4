//! ENVELOPE (RFC 3501 section 7.4.2).

use super::address::{Address, addresses};
use super::header::{Field, fields, unfold};
use super::imap_text::{nstring, string};

/// The fields that ENVELOPE tells, in its order.
const NAMES: [&str; 10] = [
    "Date",
    "Subject",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "In-Reply-To",
    "Message-ID",
];
const FROM: usize = 2;
const BCC: usize = 7;

/// ENVELOPE of a raw header block as IMAP text with its parentheses. Of a field that stands
/// there twice the first counts for text, all for address lists.
pub(crate) fn envelope(header: &[u8]) -> Vec<u8> {
    let mut first: [Option<Field<'_>>; 10] = [None; 10];
    let mut lists: [Vec<Address>; 10] = Default::default();
    for field in fields(header) {
        let Some(at) = NAMES.iter().position(|n| field.is(n)) else {
            continue;
        };
        if (FROM..=BCC).contains(&at) {
            if let Some(list) = lists.get_mut(at) {
                list.extend(addresses(field.value));
            }
        } else if let Some(slot) = first.get_mut(at).filter(|slot| slot.is_none()) {
            *slot = Some(field);
        }
    }
    let mut out = Vec::with_capacity(512);
    out.push(b'(');
    for at in 0..NAMES.len() {
        if at > 0 {
            out.push(b' ');
        }
        match lists.get(at) {
            // RFC 3501 section 7.4.2: empty Sender and Reply-To are told as From.
            Some(list) if (FROM..=BCC).contains(&at) => {
                let list = if list.is_empty() && at <= FROM + 2 {
                    lists.get(FROM).unwrap_or(list)
                } else {
                    list
                };
                address_list(list, &mut out);
            }
            _ => {
                let value = first
                    .get(at)
                    .and_then(|f| f.as_ref())
                    .map(|f| unfold(f.value));
                nstring(value.as_deref(), &mut out);
            }
        }
    }
    out.push(b')');
    out
}

fn address_list(list: &[Address], out: &mut Vec<u8>) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        let parts = [
            &address.name,
            &address.route,
            &address.mailbox,
            &address.domain,
        ];
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            match part {
                Some(text) => string(text, out),
                None => out.extend_from_slice(b"NIL"),
            }
        }
        out.push(b')');
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_of_a_message() {
        let header = b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nFrom: Fred Foobar <foobar@Blurdybloop.example>\r\n\
            Subject: afternoon\r\n meeting\r\nTo: mooch@owatagu.example\r\nMessage-Id: <B27@x>\r\n\r\n";
        let from = "((\"Fred Foobar\" NIL \"foobar\" \"Blurdybloop.example\"))";
        let expected = format!(
            "(\"Mon, 7 Feb 1994 21:52:25 -0800\" \"afternoon meeting\" {from} {from} {from} \
             ((NIL NIL \"mooch\" \"owatagu.example\")) NIL NIL NIL \"<B27@x>\")"
        );
        assert_eq!(String::from_utf8(envelope(header)).unwrap(), expected);
        assert_eq!(envelope(b""), b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    }
}
