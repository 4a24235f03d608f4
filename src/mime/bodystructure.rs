//! BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2).

use super::imap_text::{nstring, number, string};
use super::part::{Kind, Message, Part};

/// BODYSTRUCTURE of a message as IMAP text with its parentheses.
pub(crate) fn bodystructure(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    // (part, is it time for what follows its children)
    let mut work = vec![(0, false)];
    while let Some((at, children_told)) = work.pop() {
        let Some(part) = message.part(at) else {
            continue;
        };
        if children_told {
            tail(message, part, &mut out);
            continue;
        }
        let inside = inner(message, part);
        match inside.kind {
            Kind::Multipart => {
                out.push(b'(');
                work.push((at, true));
                if inside.children.is_empty() {
                    out.extend_from_slice(EMPTY_PART);
                }
                work.extend(inside.children.iter().rev().map(|&child| (child, false)));
            }
            Kind::Message => {
                out.push(b'(');
                basic(part, &mut out);
                work.push((at, true));
                if let Some(&child) = part.children.first() {
                    out.push(b' ');
                    let envelope = message.part(child).map_or(&[] as &[u8], |m| &m.envelope);
                    out.extend_from_slice(envelope);
                    out.push(b' ');
                    work.push((child, false));
                }
            }
            Kind::Leaf => {
                out.push(b'(');
                basic(part, &mut out);
                if part.content.is("text", None) {
                    out.push(b' ');
                    number(part.body.lines, &mut out);
                }
                extension(part, &mut out);
                out.push(b')');
            }
        }
    }
    out
}

/// What stands for a multipart without parts, which IMAP's grammar does not have.
const EMPTY_PART: &[u8] =
    b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)";

fn inner<'a>(_message: &'a Message, part: &'a Part) -> &'a Part {
    part
}

/// What follows the children of a multipart or message.
fn tail(_message: &Message, part: &Part, out: &mut Vec<u8>) {
    if part.kind == Kind::Message {
        out.push(b' ');
        number(part.body.lines, out);
        extension(part, out);
    } else {
        out.push(b' ');
        string(part.content.media.as_ref().map_or(b"mixed", |m| &m.1), out);
        out.push(b' ');
        parameters(&part.content.parameters, out);
        out.push(b' ');
        disposition_language_location(part, out);
    }
    out.push(b')');
}

/// Type, subtype, parameters, id, description, encoding, octets.
fn basic(part: &Part, out: &mut Vec<u8>) {
    let content = &part.content;
    match &content.media {
        Some((kind, subtype)) => {
            string(kind, out);
            out.push(b' ');
            string(subtype, out);
            out.push(b' ');
            let no_charset = content.is("text", None) && content.parameter("charset").is_none();
            if no_charset {
                // RFC 2046 section 4.1.2: the default is told, so that clients need not know it.
                let mut all = content.parameters.clone();
                all.push((b"charset".to_vec(), b"us-ascii".to_vec()));
                parameters(&all, out);
            } else {
                parameters(&content.parameters, out);
            }
        }
        None => out.extend_from_slice(b"\"text\" \"plain\" (\"charset\" \"us-ascii\")"),
    }
    out.push(b' ');
    nstring(content.id.as_deref(), out);
    out.push(b' ');
    nstring(content.description.as_deref(), out);
    out.push(b' ');
    string(content.encoding.as_deref().unwrap_or(b"7bit"), out);
    out.push(b' ');
    number(part.body.octets, out);
}

/// MD5 and the rest of the extension data of a part that is no multipart.
fn extension(part: &Part, out: &mut Vec<u8>) {
    out.push(b' ');
    nstring(part.content.md5.as_deref(), out);
    out.push(b' ');
    disposition_language_location(part, out);
}

fn disposition_language_location(part: &Part, out: &mut Vec<u8>) {
    match &part.content.disposition {
        None => out.extend_from_slice(b"NIL"),
        Some((kind, list)) => {
            out.push(b'(');
            string(kind, out);
            out.push(b' ');
            parameters(list, out);
            out.push(b')');
        }
    }
    out.push(b' ');
    match part.content.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        list => {
            for (i, tag) in list.iter().enumerate() {
                out.push(if i == 0 { b'(' } else { b' ' });
                string(tag, out);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(part.content.location.as_deref(), out);
}

fn parameters(list: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<u8>) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (i, (name, value)) in list.iter().enumerate() {
        out.push(if i == 0 { b'(' } else { b' ' });
        string(name, out);
        out.push(b' ');
        string(value, out);
    }
    out.push(b')');
}

/// BODY from BODYSTRUCTURE: the same text without the extension data.
pub(crate) fn body(bodystructure: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bodystructure.len());
    let mut reader = Items {
        rest: bodystructure,
    };
    // Items still allowed in each open list; `None`: all of them.
    let mut open: Vec<List> = Vec::new();
    while let Some(item) = reader.next() {
        let kept = open.last_mut().is_none_or(|list| list.keep(&item));
        match item {
            Item::Open if kept => {
                space(&open, &mut out);
                out.push(b'(');
                let kind = List::begin(open.last(), reader.rest);
                if let Some(list) = open.last_mut() {
                    list.told += 1;
                }
                open.push(kind);
            }
            Item::Open => reader.skip_list(),
            Item::Close => {
                open.pop();
                out.push(b')');
            }
            Item::Atom(text) if kept => {
                space(&open, &mut out);
                out.extend_from_slice(text);
                if let Some(list) = open.last_mut() {
                    list.told += 1;
                }
            }
            Item::Atom(_) => {}
        }
    }
    out
}

fn space(open: &[List], out: &mut Vec<u8>) {
    // Bodies of a multipart and addresses follow each other without a space; one before the subtype.
    if let Some(list) = open.last()
        && list.told > 0
        && list.shape != Shape::Addresses
        && (list.shape != Shape::Multipart || list.subtype)
    {
        out.push(b' ');
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    /// Any list inside a body: parameters, an envelope.
    Plain,
    /// A list of addresses in an envelope.
    Addresses,
    Multipart,
    /// A body of a single part: so many items are no extension data.
    Single(usize),
}

struct List {
    shape: Shape,
    told: usize,
    /// In a multipart: the subtype was told, extension data follows.
    subtype: bool,
    done: bool,
}

impl List {
    /// What the list is that begins with `text`, inside `parent`.
    fn begin(parent: Option<&List>, text: &[u8]) -> List {
        let is_body = match parent {
            None => true,
            Some(list) => match list.shape {
                Shape::Multipart => !list.subtype,
                // The body of a message is its ninth item: type, subtype, parameters, id,
                // description, encoding, octets, envelope, body, lines.
                Shape::Single(10) => list.told == 8,
                _ => false,
            },
        };
        let shape = match (is_body, text.first() == Some(&b'(')) {
            (false, false) => Shape::Plain,
            (false, true) => Shape::Addresses,
            (true, true) => Shape::Multipart,
            (true, false) => Shape::Single(single_items(text)),
        };
        List {
            shape,
            told: 0,
            subtype: false,
            done: false,
        }
    }

    fn keep(&mut self, item: &Item<'_>) -> bool {
        match (self.shape, item) {
            (_, Item::Close) | (Shape::Plain | Shape::Addresses, _) => true,
            (Shape::Multipart, Item::Atom(_)) if !self.done => {
                self.subtype = true;
                self.done = true;
                true
            }
            (Shape::Multipart, _) => !self.done,
            (Shape::Single(count), _) => self.told < count,
        }
    }
}

/// How many items of a single part are no extension data: 7, 8 for text, 10 for a message.
fn single_items(text: &[u8]) -> usize {
    let mut reader = Items { rest: text };
    let mut next = || match reader.next() {
        Some(Item::Atom(text)) => text.to_ascii_lowercase(),
        _ => Vec::new(),
    };
    let (kind, subtype) = (next(), next());
    if kind == b"\"text\"" {
        8
    } else if kind == b"\"message\""
        && [&b"\"rfc822\""[..], b"\"global\""].contains(&subtype.as_slice())
        && has_envelope(text)
    {
        10
    } else {
        7
    }
}

/// A message that could not be looked into has no envelope: its eighth item is no list or NIL.
fn has_envelope(text: &[u8]) -> bool {
    let mut reader = Items { rest: text };
    let mut told = 0;
    while let Some(item) = reader.next() {
        match item {
            Item::Open if told == 7 => return true,
            Item::Open => reader.skip_list(),
            Item::Close => return false,
            Item::Atom(_) => {}
        }
        told += 1;
    }
    false
}

enum Item<'a> {
    Open,
    Close,
    /// A string with its quotes, a literal with its length, a number or NIL.
    Atom(&'a [u8]),
}

/// The items of IMAP text that we wrote ourselves.
struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn skip_list(&mut self) {
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some(Item::Open) => depth += 1,
                Some(Item::Close) => depth -= 1,
                Some(Item::Atom(_)) => {}
                None => return,
            }
        }
    }

    fn next(&mut self) -> Option<Item<'a>> {
        while self.rest.first() == Some(&b' ') {
            self.take(1);
        }
        let item = match self.rest.first()? {
            b'(' => {
                self.take(1);
                Item::Open
            }
            b')' => {
                self.take(1);
                Item::Close
            }
            b'"' => {
                let mut at = 1;
                while let Some(&byte) = self.rest.get(at).filter(|&&b| b != b'"') {
                    at += if byte == b'\\' { 2 } else { 1 };
                }
                Item::Atom(self.take(at + 1))
            }
            b'{' => {
                let end = memchr::memchr(b'}', self.rest)?;
                let digits = std::str::from_utf8(self.rest.get(1..end)?).ok()?;
                let length: usize = digits.parse().ok()?;
                Item::Atom(self.take(end + 3 + length))
            }
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|b| b" ()".contains(b))
                    .unwrap_or(self.rest.len());
                Item::Atom(self.take(end))
            }
        };
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::{Limits, parse_bytes};

    #[test]
    fn body_has_no_space_between_addresses() {
        // RFC 3501 section 9: env-to = "(" 1*address ")" / nil.
        let text = b"Content-Type: message/rfc822\n\nTo: a@b, c@d\nSubject: s\n\nx\n";
        let structure = bodystructure(&parse_bytes(text, &Limits::default()));
        let body = String::from_utf8(body(&structure)).unwrap();
        let to = "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))";
        assert!(
            body.contains(&format!("\"s\" NIL NIL NIL {to} NIL")),
            "{body}"
        );
    }

    #[test]
    fn a_global_message_is_a_message() {
        // RFC 9051 section 9: media-message = ... "MESSAGE" SP ("RFC822" / "GLOBAL").
        let of = |subtype: &str| {
            let text = format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/{subtype}\n\n\
                 To: ä@b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n--b--\n"
            );
            let message = parse_bytes(text.as_bytes(), &Limits::default());
            let structure = bodystructure(&message);
            let bodies = [body(&structure), structure];
            let section = message.descend(&[1, 1]).unwrap().body;
            (bodies.map(|b| String::from_utf8(b).unwrap()), section)
        };
        let ([body, structure], section) = of("rfc822");
        assert!(
            structure.contains("((\"message\" \"rfc822\" "),
            "{structure}"
        );
        let other = |text: String| text.replace("rfc822", "global");
        assert_eq!(of("global"), ([other(body), other(structure)], section));
    }
}
