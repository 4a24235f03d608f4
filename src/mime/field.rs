//! The Content- fields of a part (RFC 2045, 2183, 3066, 2557).

use super::header::{Field, fields, unfold};
use super::parse::Limits;
use super::part::{Content, MediaType, Parameters};
use super::token::Cursor;

/// Reads the Content- fields of a header block; the last of several counts for none, the first does.
pub(crate) fn content(header: &[u8], limits: &Limits) -> Content {
    let mut content = Content::default();
    for field in fields(header).map(|field| field.cut(limits.line_octets)) {
        if field.name.len() > 8
            && field
                .name
                .get(..8)
                .is_some_and(|n| n.eq_ignore_ascii_case(b"content-"))
        {
            add(&mut content, &field, limits.parameters);
        }
    }
    content
}

/// Of more than `most` parameters (or languages) the rest is left out.
fn add(content: &mut Content, field: &Field<'_>, most: usize) {
    let text = || Some(unfold(field.value));
    match field.name.to_ascii_lowercase().as_slice() {
        b"content-type" if content.media.is_none() => {
            if let Some((media, parameters)) = media(field.value, most) {
                content.media = Some(media);
                content.parameters = parameters;
            }
        }
        b"content-transfer-encoding" if content.encoding.is_none() => {
            content.encoding = word(field.value);
        }
        b"content-id" if content.id.is_none() => content.id = text(),
        b"content-description" if content.description.is_none() => content.description = text(),
        b"content-md5" if content.md5.is_none() => content.md5 = text(),
        b"content-location" if content.location.is_none() => content.location = text(),
        b"content-disposition" if content.disposition.is_none() => {
            let mut cursor = Cursor::new(field.value);
            cursor.skip();
            let kind = cursor.token().to_vec();
            if !kind.is_empty() {
                content.disposition = Some((kind, parameters(&mut cursor, most)));
            }
        }
        b"content-language" if content.language.is_empty() => {
            content.language = languages(field.value, most)
        }
        _ => {}
    }
}

/// The one token of a field; `None` if something else stands there, except after a `;`.
fn word(value: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    cursor.skip();
    let word = cursor.token().to_vec();
    cursor.skip();
    (!word.is_empty() && matches!(cursor.peek(), None | Some(b';'))).then_some(word)
}

/// `type/subtype` and parameters; `None` if there is no type.
fn media(value: &[u8], most: usize) -> Option<(MediaType, Parameters)> {
    let mut cursor = Cursor::new(value);
    cursor.skip();
    let kind = cursor.token().to_vec();
    cursor.skip();
    if kind.is_empty() || !cursor.eat(b'/') {
        return None;
    }
    cursor.skip();
    let subtype = cursor.token().to_vec();
    (!subtype.is_empty()).then(|| ((kind, subtype), parameters(&mut cursor, most)))
}

/// `*(";" name "=" value)`, skipping what is broken; the first `;` may be missing.
fn parameters(cursor: &mut Cursor<'_>, most: usize) -> Parameters {
    let mut list = Parameters::new();
    let mut first = true;
    loop {
        cursor.skip();
        if cursor.at_end() {
            return joined(list);
        }
        if !std::mem::take(&mut first) && !cursor.eat(b';') {
            cursor.until(b";");
            continue;
        }
        cursor.skip();
        while cursor.eat(b';') {
            cursor.skip();
        }
        let name = cursor.token().to_vec();
        cursor.skip();
        if name.is_empty() || !cursor.eat(b'=') {
            continue;
        }
        cursor.skip();
        let value = match cursor.quoted_to_end() {
            Some(value) => value,
            None => unquoted(cursor),
        };
        if list.len() < most {
            list.push((name, without_nul(value)));
        }
    }
}

/// NUL as U+FFFD: IMAP has no way to tell it.
fn without_nul(value: Vec<u8>) -> Vec<u8> {
    if !value.contains(&0) {
        return value;
    }
    let pieces: Vec<&[u8]> = value.split(|&b| b == 0).collect();
    pieces.join("\u{fffd}".as_bytes())
}

/// RFC 2231 section 6: continuations `name*0`, `name*1` are told as one `name`, or as `name*` if
/// a piece is encoded. They stay encoded.
fn joined(list: Parameters) -> Parameters {
    let mut out = Parameters::new();
    // Name and piece that would continue the last parameter of `out`.
    let mut expected: Option<(Vec<u8>, u32)> = None;
    for (name, value) in list {
        let Some((base, number, encoded)) = continuation(&name) else {
            expected = None;
            out.push((name, value));
            continue;
        };
        let continues = expected
            .as_ref()
            .is_some_and(|(b, n)| b.eq_ignore_ascii_case(base) && *n == number);
        match out.last_mut().filter(|_| continues) {
            Some(last) => {
                if encoded && last.0.last() != Some(&b'*') {
                    last.0.push(b'*');
                }
                last.1.extend_from_slice(&value);
                expected = Some((base.to_vec(), number + 1));
            }
            None if number == 0 => {
                expected = Some((base.to_vec(), 1));
                let mark: &[u8] = if encoded { b"*" } else { b"" };
                out.push(([base, mark].concat(), value));
            }
            None => {
                expected = None;
                out.push((name, value));
            }
        }
    }
    out
}

/// `name*1` or `name*1*` as name, number and whether it is encoded.
fn continuation(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let (text, encoded) = match name.strip_suffix(b"*") {
        Some(text) => (text, true),
        None => (name, false),
    };
    let star = text.iter().rposition(|&b| b == b'*')?;
    let digits = text.get(star + 1..).filter(|d| d.len() <= 3)?;
    // RFC 2231 section 3: no leading zeroes, no signs.
    let plain = digits == b"0" || matches!(digits.first(), Some(b'1'..=b'9'));
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    plain.then_some((text.get(..star)?, number, encoded))
}

/// A value without quotes: everything up to a blank or `;`, as many programs write it.
fn unquoted(cursor: &mut Cursor<'_>) -> Vec<u8> {
    cursor.until(b"; \t\r\n(").to_vec()
}

fn languages(value: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    let mut list = Vec::new();
    while list.len() < most {
        cursor.skip();
        let tag = cursor.token().to_vec();
        if !tag.is_empty() {
            list.push(tag);
        } else if cursor.bump().is_none() {
            break;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_fields() {
        let header = b"Content-Type: text/plain; charset=\"us-ascii\"; (note) format=flowed;;bad; x=a/b\r\n\
            Content-Disposition: attachment;\r\n\tfilename*0=\"a b\"; size=3\r\nContent-Language: de, en-US\r\n\
            Content-Transfer-Encoding:  Quoted-Printable (x)\r\nContent-ID: <1@x>\r\n\r\n";
        let content = content(header, &Limits::default());
        let text = |t: &str| t.as_bytes().to_vec();
        assert_eq!(content.media, Some((text("text"), text("plain"))));
        let expected = [("charset", "us-ascii"), ("format", "flowed"), ("x", "a/b")];
        assert_eq!(
            content.parameters,
            expected.map(|(n, v)| (text(n), text(v)))
        );
        let (kind, parameters) = content.disposition.unwrap();
        assert_eq!((kind, parameters.len()), (text("attachment"), 2));
        assert_eq!(content.language, [text("de"), text("en-US")]);
        assert_eq!(content.encoding, Some(text("Quoted-Printable")));
        assert_eq!(content.id, Some(text("<1@x>")));
    }

    #[test]
    fn continuations_are_joined() {
        for (value, expected) in [
            ("a*0=b; a*1=c; d=e", "a=bc d=e"),
            ("a*0*=b''c; A*1=d; a*2*=%20", "a*=b''cd%20"),
            ("a*0=b; a*1*=%20", "a*=b%20"),
            ("a*1=b; a*0=c", "a*1=b a=c"),
            ("a*0=b; a*2=c; c*=d", "a=b a*2=c c*=d"),
            ("a*0=b; x=y; a*1=c", "a=b x=y a*1=c"),
            ("a*0=b; a*01=c", "a=b a*01=c"),
            ("a*x=b; *0=c; a*99999999999=d", "a*x=b =c a*99999999999=d"),
            ("a=\"b\0c\"", "a=b\u{fffd}c"),
            ("a=\"b; c", "a=b; c"),
            (";; a=b c=d;;e=f;=g;(x) h=i", "a=b e=f h=i"),
        ] {
            let found = parameters(&mut Cursor::new(value.as_bytes()), 1000);
            let shown = |(n, v): &(Vec<u8>, Vec<u8>)| {
                format!(
                    "{}={}",
                    String::from_utf8_lossy(n),
                    String::from_utf8_lossy(v)
                )
            };
            let found: Vec<String> = found.iter().map(shown).collect();
            assert_eq!(found.join(" "), expected, "{value}");
        }
    }

    #[test]
    fn an_encoding_is_one_token() {
        for (value, expected) in [
            ("base64 (x)", Some("base64")),
            ("quoted-printable;", Some("quoted-printable")),
            ("8 bit", None),
            ("", None),
        ] {
            assert_eq!(
                word(value.as_bytes()),
                expected.map(|e| e.as_bytes().to_vec())
            );
        }
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let limits = Limits {
            line_octets: 60,
            parameters: 2,
            ..Limits::default()
        };
        let header = b"Content-Type: text/plain; a=1; b=2; c=3\r\n\
            Content-Language: de, en, fr\r\n\
            Content-Description: 1234567890123456789012345678901234567890123456789012345678901\r\n";
        let found = content(header, &limits);
        assert_eq!(found.parameters.len(), 2);
        assert_eq!(found.language.len(), 2);
        assert_eq!(found.description.map(|text| text.len()), Some(59));
        assert_eq!(content(header, &Limits::default()).parameters.len(), 3);
    }
}
