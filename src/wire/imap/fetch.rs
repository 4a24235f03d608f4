//! FETCH items (RFC 3501 section 6.4.5).

use super::token::{Parsed, Syntax, astring};
use crate::mime::{Section, SectionText};
use crate::wire::reader::Reader;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchItem {
    Uid,
    Flags,
    InternalDate,
    Octets,
    Envelope,
    Body,
    BodyStructure,
    /// RFC 7162 section 3.1.4.2.
    ModSeq,
    /// RFC 8474 section 5.3.
    EmailId,
    ThreadId,
    /// RFC 8514 section 4.2.
    SaveDate,
    Preview(PreviewItem),
    Section(SectionItem),
    /// `BINARY[...]<...>`: the part decoded (RFC 3516 section 4.2).
    Binary(SectionItem),
    /// `BINARY.SIZE[...]`.
    BinarySize(SectionItem),
}

/// `PREVIEW` (RFC 8970 section 3.1) and what Dovecot had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PreviewItem {
    pub(crate) lazy: bool,
    pub(crate) form: PreviewForm,
}

/// How the first words of a message are asked for and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PreviewForm {
    /// `PREVIEW "text"`.
    Plain,
    /// `PREVIEW (FUZZY "text")`, if the client named that way to make them.
    Fuzzy,
    /// `SNIPPET (FUZZY "text")`.
    Snippet,
}

/// `BODY[...]<...>` and the RFC822 items that mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionItem {
    /// How the answer names it, partial origin aside: `BODY[1.MIME]`, `RFC822.HEADER`.
    pub(crate) label: String,
    pub(crate) section: Section,
    /// The first octet and how many (RFC 9051 section 9: 63 bits).
    pub(crate) partial: Option<(u64, u64)>,
    /// Sets \Seen.
    pub(crate) seen: bool,
}

/// Items of one FETCH.
const MAX_ITEMS: usize = 100;
const MAX_PART_NUMBERS: usize = 100;
/// The highest `number64` (RFC 9051 section 9).
pub(super) const MAX_NUMBER64: u64 = i64::MAX.unsigned_abs();
const MAX_FIELDS: usize = 200;

/// A macro, an item or a list of items.
pub(crate) fn fetch_items(r: &mut Reader<'_>) -> Parsed<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Octets};
    for (name, items) in [
        ("ALL", vec![Flags, InternalDate, Octets, Envelope]),
        ("FAST", vec![Flags, InternalDate, Octets]),
        ("FULL", vec![Flags, InternalDate, Octets, Envelope, Body]),
    ] {
        let mut ahead = r.clone();
        if ahead.eat_word(name) && matches!(ahead.peek(), None | Some(b' ')) {
            *r = ahead;
            return Ok(items);
        }
    }
    if !r.eat(b'(') {
        return Ok(vec![item(r)?]);
    }
    let mut items = Vec::new();
    loop {
        if items.len() >= MAX_ITEMS {
            return Err(Syntax("too many items"));
        }
        let item = item(r)?;
        if !items.contains(&item) {
            items.push(item);
        }
        if r.eat(b')') {
            return Ok(items);
        }
        super::token::space(r)?;
    }
}

fn item(r: &mut Reader<'_>) -> Parsed<FetchItem> {
    let name = r
        .take_while(|b| b.is_ascii_alphanumeric() || b == b'.')
        .to_ascii_uppercase();
    let whole = |label: &str, text, seen| {
        FetchItem::Section(SectionItem {
            label: label.to_owned(),
            section: Section {
                part: Vec::new(),
                text,
            },
            partial: None,
            seen,
        })
    };
    Ok(match name.as_slice() {
        b"UID" => FetchItem::Uid,
        b"FLAGS" => FetchItem::Flags,
        b"INTERNALDATE" => FetchItem::InternalDate,
        b"RFC822.SIZE" => FetchItem::Octets,
        b"ENVELOPE" => FetchItem::Envelope,
        b"BODYSTRUCTURE" => FetchItem::BodyStructure,
        b"MODSEQ" => FetchItem::ModSeq,
        b"EMAILID" => FetchItem::EmailId,
        b"THREADID" => FetchItem::ThreadId,
        b"SAVEDATE" => FetchItem::SaveDate,
        b"PREVIEW" => preview(r, PreviewForm::Plain),
        b"SNIPPET" => preview(r, PreviewForm::Snippet),
        b"RFC822" => whole("RFC822", SectionText::All, true),
        b"RFC822.HEADER" => whole("RFC822.HEADER", SectionText::Header, false),
        b"RFC822.TEXT" => whole("RFC822.TEXT", SectionText::Text, true),
        b"BINARY" => FetchItem::Binary(binary(r, "BINARY", true)?),
        b"BINARY.PEEK" => FetchItem::Binary(binary(r, "BINARY", false)?),
        b"BINARY.SIZE" => {
            let item = binary(r, "BINARY.SIZE", false)?;
            if item.partial.is_some() {
                return Err(Syntax("a size has no partial"));
            }
            FetchItem::BinarySize(item)
        }
        b"BODY" if r.peek() != Some(b'[') => FetchItem::Body,
        b"BODY" => FetchItem::Section(body(r, true)?),
        b"BODY.PEEK" => FetchItem::Section(body(r, false)?),
        _ => return Err(Syntax("no such FETCH item")),
    })
}

/// `"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]` (RFC 8970 section 6). Another list is that of
/// the modifiers of FETCH. As in Dovecot one that is lazy makes the item lazy.
fn preview(r: &mut Reader<'_>, form: PreviewForm) -> FetchItem {
    let none = PreviewItem { lazy: false, form };
    let mut item = none;
    let mut ahead = r.clone();
    let mut before: &str = " (";
    while ahead.eat_word(before) {
        let words = ["LAZY=FUZZY", "LAZY", "FUZZY"];
        let Some(word) = words.iter().find(|word| ahead.eat_word(word)) else {
            return FetchItem::Preview(none);
        };
        item.lazy |= word.starts_with("LAZY");
        if word.ends_with("FUZZY") && form == PreviewForm::Plain {
            item.form = PreviewForm::Fuzzy;
        }
        if ahead.eat(b')') {
            *r = ahead;
            return FetchItem::Preview(item);
        }
        before = " ";
    }
    FetchItem::Preview(none)
}

/// `section-binary [partial]`, where `section-binary = "[" [section-part] "]"` (RFC 3516 section 7).
fn binary(r: &mut Reader<'_>, word: &str, seen: bool) -> Parsed<SectionItem> {
    let mut item = body(r, seen)?;
    if item.section.text != SectionText::All {
        return Err(Syntax("only whole parts are binary"));
    }
    item.label = item.label.replacen("BODY", word, 1);
    Ok(item)
}

/// `section ["<" number "." nz-number ">"]`.
fn body(r: &mut Reader<'_>, seen: bool) -> Parsed<SectionItem> {
    if !r.eat(b'[') {
        return Err(Syntax("a section is missing"));
    }
    let section = section(r)?;
    if !r.eat(b']') {
        return Err(Syntax("a section does not end"));
    }
    let partial = if r.eat(b'<') {
        let number =
            |r: &mut Reader<'_>| r.number(MAX_NUMBER64).ok_or(Syntax("a partial is broken"));
        let start = number(r)?;
        if !r.eat(b'.') {
            return Err(Syntax("a partial is broken"));
        }
        let count = number(r)?;
        if count == 0 || !r.eat(b'>') {
            return Err(Syntax("a partial is broken"));
        }
        Some((start, count))
    } else {
        None
    };
    Ok(SectionItem {
        label: label(&section),
        section,
        partial,
        seen,
    })
}

pub(super) fn section(r: &mut Reader<'_>) -> Parsed<Section> {
    let mut part = Vec::new();
    while r.peek().is_some_and(|b| b.is_ascii_digit()) {
        let number = r
            .number(u64::from(u32::MAX))
            .filter(|n| *n > 0)
            .ok_or(Syntax("a part number is broken"))?;
        if part.len() >= MAX_PART_NUMBERS {
            return Err(Syntax("too many part numbers"));
        }
        part.push(u32::try_from(number).unwrap_or(u32::MAX));
        if !r.eat(b'.') {
            return Ok(Section {
                part,
                text: SectionText::All,
            });
        }
        if r.peek() == Some(b']') {
            return Err(Syntax("a section is broken"));
        }
    }
    let text = if r.eat_word("HEADER.FIELDS.NOT") {
        SectionText::HeaderFieldsNot(header_list(r)?)
    } else if r.eat_word("HEADER.FIELDS") {
        SectionText::HeaderFields(header_list(r)?)
    } else if r.eat_word("HEADER") {
        SectionText::Header
    } else if r.eat_word("TEXT") {
        SectionText::Text
    } else if !part.is_empty() && r.eat_word("MIME") {
        SectionText::Mime
    } else if part.is_empty() {
        SectionText::All
    } else {
        return Err(Syntax("no such section"));
    };
    Ok(Section { part, text })
}

fn header_list(r: &mut Reader<'_>) -> Parsed<Vec<String>> {
    if !r.eat(b' ') || !r.eat(b'(') {
        return Err(Syntax("a list of header fields is missing"));
    }
    let mut names = Vec::new();
    loop {
        let name = astring(r)?;
        let name =
            String::from_utf8(name).map_err(|_| Syntax("a header field name is not valid"))?;
        if name.bytes().any(|b| b < b' ' || b == b':') || names.len() >= MAX_FIELDS {
            return Err(Syntax("a header field name is not valid"));
        }
        names.push(name);
        if r.eat(b')') {
            return Ok(names);
        }
        super::token::space(r)?;
    }
}

/// The section as the answer writes it.
fn label(section: &Section) -> String {
    let mut out = String::from("BODY[");
    for (at, number) in section.part.iter().enumerate() {
        out.push_str(&if at == 0 {
            number.to_string()
        } else {
            format!(".{number}")
        });
    }
    let dot = if section.part.is_empty() { "" } else { "." };
    let (word, names) = match &section.text {
        SectionText::All => ("", None),
        SectionText::Header => ("HEADER", None),
        SectionText::Text => ("TEXT", None),
        SectionText::Mime => ("MIME", None),
        SectionText::HeaderFields(names) => ("HEADER.FIELDS", Some(names)),
        SectionText::HeaderFieldsNot(names) => ("HEADER.FIELDS.NOT", Some(names)),
    };
    if !word.is_empty() {
        out.push_str(dot);
        out.push_str(word);
    }
    if let Some(names) = names {
        let listed: Vec<String> = names.iter().map(|name| field_name(name)).collect();
        out.push_str(&format!(" ({})", listed.join(" ")));
    }
    out.push(']');
    out
}

fn field_name(name: &str) -> String {
    let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    if !name.is_empty() && name.bytes().all(atom) {
        return name.to_owned();
    }
    let mut out = Vec::new();
    crate::wire::imap::string(name.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_their_labels() {
        for (text, labels) in [
            ("BODY[]", "BODY[]"),
            ("body.peek[1.2.mime]", "BODY[1.2.MIME]"),
            (
                "BODY[header.fields (to \"f o\")]<0.10>",
                "BODY[HEADER.FIELDS (to \"f o\")]",
            ),
            (
                "BODY[2.HEADER.FIELDS.NOT (X)]",
                "BODY[2.HEADER.FIELDS.NOT (X)]",
            ),
            ("RFC822.HEADER", "RFC822.HEADER"),
        ] {
            match fetch_items(&mut Reader::new(text.as_bytes())).as_deref() {
                Ok([FetchItem::Section(item)]) => assert_eq!(item.label, labels),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(
            fetch_items(&mut Reader::new(b"(UID FLAGS UID)"))
                .unwrap()
                .len(),
            2
        );
        let mut r = Reader::new(b"(BINARY.PEEK[1.2]<0.9> BINARY[] BINARY.SIZE[3])");
        match fetch_items(&mut r).as_deref() {
            Ok(
                [
                    FetchItem::Binary(a),
                    FetchItem::Binary(b),
                    FetchItem::BinarySize(c),
                ],
            ) => {
                assert_eq!(
                    (a.label.as_str(), a.partial, a.seen),
                    ("BINARY[1.2]", Some((0, 9)), false)
                );
                assert_eq!((b.label.as_str(), b.seen), ("BINARY[]", true));
                assert_eq!((c.label.as_str(), c.seen), ("BINARY.SIZE[3]", false));
            }
            other => panic!("{other:?}"),
        }
        let shown = |text: &str| format!("{:?}", fetch_items(&mut Reader::new(text.as_bytes())));
        assert_eq!(
            shown("PREVIEW"),
            "Ok([Preview(PreviewItem { lazy: false, form: Plain })])"
        );
        assert_eq!(
            shown("preview (lazy lazy)"),
            "Ok([Preview(PreviewItem { lazy: true, form: Plain })])"
        );
        assert_eq!(
            shown("SNIPPET (FUZZY)"),
            "Ok([Preview(PreviewItem { lazy: false, form: Snippet })])"
        );
        assert_eq!(
            shown("(SNIPPET (LAZY=FUZZY FUZZY) UID)"),
            "Ok([Preview(PreviewItem { lazy: true, form: Snippet }), Uid])"
        );
        assert_eq!(
            shown("(PREVIEW (lazy fuzzy) PREVIEW (FUZZY))"),
            "Ok([Preview(PreviewItem { lazy: true, form: Fuzzy }), \
             Preview(PreviewItem { lazy: false, form: Fuzzy })])"
        );
        // The list that follows is none of its own.
        let mut r = Reader::new(b"PREVIEW (CHANGEDSINCE 1)");
        assert!(fetch_items(&mut r).is_ok() && r.rest() == b" (CHANGEDSINCE 1)");
        for bad in [
            "(PREVIEW (FOO))",
            "(PREVIEW (LAZY=FOO))",
            "(PREVIEW (LAZYFUZZY))",
            "(PREVIEW ())",
            "(PREVIEW (LAZY)",
            "",
            "(",
            "()",
            "BODY[",
            "BODY[0]",
            "BODY[1.]",
            "BODY[MIME]",
            "BINARY",
            "BINARY[1.MIME]",
            "BINARY[TEXT]",
            "BINARY.SIZE[1]<0.1>",
            "BINARY.SIZE",
            "BINARY.PEEK[1]<0.0>",
            "BODY[]<1>",
            "BODY[]<1.0>",
            "BODY[]<0.9223372036854775808>",
            "BODY[HEADER.FIELDS ()]",
            "FOO",
        ] {
            let mut r = Reader::new(bad.as_bytes());
            assert!(fetch_items(&mut r).is_err(), "{bad}");
        }
    }
}
