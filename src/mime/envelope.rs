//! ENVELOPE (RFC 3501 section 7.4.2).

use super::address::{Address, addresses};
use super::header::{Field, fields, unfold};
use super::imap_text::nstring;
use super::parse::Limits;

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
const SUBJECT: usize = 1;
const FROM: usize = 2;
const REPLY_TO: usize = 4;
const BCC: usize = 7;

/// ENVELOPE of a raw header block as IMAP text with its parentheses. Of a field that stands there
/// twice the last counts for text, all for address lists (RFC 5322 section 4.5.3).
pub(crate) fn envelope(header: &[u8], limits: &Limits) -> Vec<u8> {
    let mut texts: [Option<Field<'_>>; 10] = [None; 10];
    let mut lists: [Vec<Address>; 10] = Default::default();
    for field in fields(header).map(|field| field.cut(limits.line_octets)) {
        let Some(at) = NAMES.iter().position(|n| field.is(n)) else {
            continue;
        };
        if (FROM..=BCC).contains(&at)
            && let Some(list) = lists.get_mut(at)
        {
            list.extend(addresses(field.value, limits.addresses));
        } else if let Some(text) = texts.get_mut(at) {
            *text = Some(field);
        }
    }
    let mut out = Vec::with_capacity(512);
    out.push(b'(');
    for (at, (text, list)) in texts.iter().zip(&lists).enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        match at {
            SUBJECT => nstring(text.map(|f| one_line(f.value)).as_deref(), &mut out),
            // RFC 3501 section 7.4.2: empty Sender and Reply-To are told as From.
            FROM..=REPLY_TO if list.is_empty() => {
                address_list(lists.get(FROM).unwrap_or(list), &mut out);
            }
            FROM..=BCC => address_list(list, &mut out),
            _ => nstring(text.map(|f| unfold(f.value)).as_deref(), &mut out),
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
        nstring(address.name.as_deref().map(one_line).as_deref(), out);
        for part in [&address.route, &address.mailbox, &address.domain] {
            out.push(b' ');
            nstring(part.as_deref(), out);
        }
        out.push(b')');
    }
    out.push(b')');
}

/// Text that people read: runs of blanks and line ends, which folding leaves behind, as one blank.
pub(super) fn one_line(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for word in text
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty())
    {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
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
        assert_eq!(
            String::from_utf8(envelope(header, &Limits::default())).unwrap(),
            expected
        );
        assert_eq!(
            envelope(b"", &Limits::default()),
            b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let limits = Limits {
            line_octets: 30,
            addresses: 2,
            ..Limits::default()
        };
        let header = b"To: a@x, b@x, c@x\r\nSubject: 123456789012345678901234567890123\r\n";
        let text = String::from_utf8(envelope(header, &limits)).unwrap();
        assert!(text.contains("\"b\"") && !text.contains("\"c\""), "{text}");
        assert!(text.contains("\"12345678901234567890123456789\""), "{text}");
    }
}
