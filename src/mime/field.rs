//! The Content- fields of a part (RFC 2045, 2183, 3066, 2557).

use super::header::{Field, fields, unfold};
use super::part::Content;
use super::token::Cursor;

/// Most parameters taken from one field; the rest is left out.
pub(crate) const MAX_PARAMETERS: usize = 1000;

type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads the Content- fields of a header block; the last of several counts for none, the first does.
pub(crate) fn content(header: &[u8]) -> Content {
    let mut content = Content::default();
    for field in fields(header) {
        if field.name.len() > 8
            && field
                .name
                .get(..8)
                .is_some_and(|n| n.eq_ignore_ascii_case(b"content-"))
        {
            add(&mut content, &field);
        }
    }
    content
}

fn add(content: &mut Content, field: &Field<'_>) {
    let text = || Some(unfold(field.value));
    match field.name.to_ascii_lowercase().as_slice() {
        b"content-type" if content.media.is_none() => {
            if let Some((media, parameters)) = media(field.value) {
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
                content.disposition = Some((kind, parameters(&mut cursor)));
            }
        }
        b"content-language" if content.language.is_empty() => {
            content.language = languages(field.value)
        }
        _ => {}
    }
}

fn word(value: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    cursor.skip();
    let word = cursor.token().to_vec();
    (!word.is_empty()).then_some(word)
}

/// `type/subtype` and parameters; `None` if there is no type.
fn media(value: &[u8]) -> Option<((Vec<u8>, Vec<u8>), Parameters)> {
    let mut cursor = Cursor::new(value);
    cursor.skip();
    let kind = cursor.token().to_vec();
    cursor.skip();
    if kind.is_empty() || !cursor.eat(b'/') {
        return None;
    }
    cursor.skip();
    let subtype = cursor.token().to_vec();
    (!subtype.is_empty()).then(|| ((kind, subtype), parameters(&mut cursor)))
}

/// `*(";" name "=" value)`, skipping what is broken. RFC 2231 forms stay as they stand.
fn parameters(cursor: &mut Cursor<'_>) -> Parameters {
    let mut list = Parameters::new();
    loop {
        cursor.skip();
        match cursor.peek() {
            None => return list,
            Some(b';') => {
                cursor.bump();
            }
            Some(_) => {
                cursor.until(b";");
                continue;
            }
        }
        cursor.skip();
        let name = cursor.token().to_vec();
        cursor.skip();
        if name.is_empty() || !cursor.eat(b'=') {
            continue;
        }
        cursor.skip();
        let value = match cursor.quoted() {
            Some(value) => value,
            None => unquoted(cursor),
        };
        if list.len() < MAX_PARAMETERS {
            list.push((name, value));
        }
    }
}

/// A value without quotes: everything up to a blank or `;`, as many programs write it.
fn unquoted(cursor: &mut Cursor<'_>) -> Vec<u8> {
    cursor.until(b"; \t\r\n(").to_vec()
}

fn languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    let mut list = Vec::new();
    while list.len() < MAX_PARAMETERS {
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
        let content = content(header);
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
}
