//! Pieces of responses (RFC 3501 section 7).

use crate::codec::mutf7;
use crate::mail::{DateTime, Keyword, SystemFlags};

/// Appends a decimal number.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    crate::mime::number(number, out);
}

/// Appends a quoted string, or a literal where a quoted string cannot hold the text.
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    crate::mime::string(text, out);
}

/// Appends a literal8 (RFC 3516 section 4.2), which can hold any octet.
pub(crate) fn binary(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("~{{{}}}\r\n", octets.len()).as_bytes());
    out.extend_from_slice(octets);
}

/// Appends a mailbox name in modified UTF-7, as an atom where it is one.
pub(crate) fn mailbox(name: &str, out: &mut Vec<u8>) {
    mailbox_text(&mutf7::encode(name), out);
}

fn mailbox_text(coded: &str, out: &mut Vec<u8>) {
    let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    if !coded.is_empty() && coded.bytes().all(atom) && !coded.eq_ignore_ascii_case("NIL") {
        out.extend_from_slice(coded.as_bytes());
    } else {
        string(coded.as_bytes(), out);
    }
}

/// Appends a mailbox name in UTF-8, for a client that agreed to it (RFC 6855 section 3); as an atom where it
/// is one.
pub(crate) fn mailbox_utf8(name: &str, out: &mut Vec<u8>) {
    if name.is_ascii() {
        return mailbox_text(name, out);
    }
    quoted(name, out);
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Appends what names of mailboxes begin with (RFC 2342), which is never an atom. `utf8`: the client
/// agreed to that.
pub(crate) fn prefix(text: &str, utf8: bool, out: &mut Vec<u8>) {
    match utf8 {
        true => quoted(text, out),
        false => quoted(&mutf7::encode(text), out),
    }
}

/// Appends `(\Seen $Junk)`; `numbers` are positions in `keywords`.
pub(crate) fn flag_list(
    system: SystemFlags,
    recent: bool,
    numbers: &[u16],
    keywords: &[Option<Keyword>],
    out: &mut Vec<u8>,
) {
    out.push(b'(');
    let start = out.len();
    let mut put = |name: &str| {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    };
    for (flag, name) in SystemFlags::ALL {
        if system.contains(flag) {
            put(name);
        }
    }
    for number in numbers {
        if let Some(Some(keyword)) = keywords.get(usize::from(*number)) {
            put(keyword.as_str());
        }
    }
    if recent {
        put("\\Recent");
    }
    out.push(b')');
}

/// Appends `"17-Jul-1996 02:44:25 -0700"`.
pub(crate) fn date_time(moment: DateTime, out: &mut Vec<u8>) {
    let (date, hour, minute, second) = moment.fields();
    let offset = moment.offset_minutes.unsigned_abs();
    let sign = if moment.offset_minutes < 0 { '-' } else { '+' };
    let text = format!(
        "\"{:2}-{}-{:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}\"",
        date.day,
        date.month_name(),
        date.year,
        offset / 60,
        offset % 60
    );
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let text = |f: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            f(&mut out);
            String::from_utf8(out).unwrap()
        };
        let moment = DateTime {
            seconds: 837_596_665,
            offset_minutes: -420,
        };
        assert_eq!(
            text(&|out| date_time(moment, out)),
            "\"17-Jul-1996 02:44:25 -0700\""
        );
        assert_eq!(text(&|out| mailbox("a b/\u{fc}", out)), "\"a b/&APw-\"");
        let utf8 = |name: &str| text(&|out| mailbox_utf8(name, out));
        assert_eq!(utf8("a b/\u{fc}"), "\"a b/\u{fc}\"");
        assert_eq!(utf8("\\\"\u{fc}"), "\"\\\\\\\"\u{fc}\"");
        assert_eq!((utf8("a&b"), utf8("a b")), ("a&b".into(), "\"a b\"".into()));
        let keywords = [Keyword::new("$x"), None];
        let flags = SystemFlags::SEEN.with(SystemFlags::DRAFT);
        assert_eq!(
            text(&|out| flag_list(flags, true, &[0, 1, 7], &keywords, out)),
            "(\\Seen \\Draft $x \\Recent)"
        );
        assert_eq!(
            text(&|out| flag_list(SystemFlags::NONE, false, &[], &keywords, out)),
            "()"
        );
    }
}
