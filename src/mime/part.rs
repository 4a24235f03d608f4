//! A message's parts as a flat list, so that nothing about them recurses.

use super::{Section, SectionText};

/// The structure of a message: offsets and sizes, no content.
///
/// Invariant: `parts[0]` is the message itself; a part's children follow it, in order.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) parts: Vec<Part>,
}

/// A place in the raw file with its size on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Raw offset of the first octet.
    pub(crate) start: u64,
    /// Raw offset behind the last one.
    pub(crate) end: u64,
    /// Octets if every bare LF counts as CRLF.
    pub(crate) octets: u64,
    /// Line ends in it.
    pub(crate) lines: u64,
}

impl Span {
    /// This span and the one right behind it.
    fn with(self, next: Span) -> Span {
        Span {
            start: self.start,
            end: next.end.max(self.end),
            octets: self.octets + next.octets,
            lines: self.lines + next.lines,
        }
    }
}

/// What a part contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Leaf,
    Multipart,
    /// message/rfc822 or message/global: its one child is the message inside.
    Message,
}

/// One part (RFC 2045 section 2.5), or the message itself, or a message inside a part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) parent: Option<u32>,
    pub(crate) children: Vec<u32>,
    pub(crate) kind: Kind,
    /// Header with its empty line.
    pub(crate) header: Span,
    pub(crate) body: Span,
    /// The Content- fields.
    pub(crate) content: Content,
    /// ENVELOPE as IMAP text; only of the message inside another.
    pub(crate) envelope: Vec<u8>,
}

/// A type and its subtype.
pub(crate) type MediaType = (Vec<u8>, Vec<u8>);
/// Attributes and values, in their order.
pub(crate) type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// What the Content- fields of a part say. Names and types as they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// Type and subtype; `None`: no usable Content-Type.
    pub(crate) media: Option<MediaType>,
    pub(crate) parameters: Parameters,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) encoding: Option<Vec<u8>>,
    pub(crate) md5: Option<Vec<u8>>,
    pub(crate) disposition: Option<(Vec<u8>, Parameters)>,
    pub(crate) language: Vec<Vec<u8>>,
    pub(crate) location: Option<Vec<u8>>,
}

impl Content {
    /// True for that type, in any case; without a Content-Type a part is text/plain (RFC 2045 section 5.2).
    pub(crate) fn is(&self, kind: &str, subtype: Option<&str>) -> bool {
        let same = |a: &[u8], b: &str| a.eq_ignore_ascii_case(b.as_bytes());
        match &self.media {
            Some((k, s)) => same(k, kind) && subtype.is_none_or(|b| same(s, b)),
            None => kind == "text" && subtype.is_none_or(|b| b == "plain"),
        }
    }

    /// A message in a message, whose parts have numbers too (RFC 9051 section 6.4.5). A message/global
    /// may be encoded (RFC 6532 section 3.7); then nobody can look into it in its place.
    pub(crate) fn is_message(&self) -> bool {
        let identity = |encoding: &Vec<u8>| {
            ["7bit", "8bit", "binary"]
                .iter()
                .any(|name| encoding.eq_ignore_ascii_case(name.as_bytes()))
        };
        let plain = || self.encoding.as_ref().is_none_or(identity);
        self.is("message", Some("rfc822")) || self.is("message", Some("global")) && plain()
    }

    /// The value of that parameter of Content-Type.
    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        let named = |p: &&(Vec<u8>, Vec<u8>)| p.0.eq_ignore_ascii_case(name.as_bytes());
        self.parameters.iter().rfind(named).map(|p| p.1.as_slice())
    }
}

impl Message {
    pub(crate) fn root(&self) -> Option<&Part> {
        self.parts.first()
    }

    pub(crate) fn part(&self, at: u32) -> Option<&Part> {
        self.parts.get(at as usize)
    }

    /// RFC822.SIZE: octets of the whole message with CRLF line ends.
    pub(crate) fn octets(&self) -> u64 {
        self.root()
            .map_or(0, |root| root.header.octets + root.body.octets)
    }

    /// Where a section lies (RFC 3501 section 6.4.5); `None` if there is no such part. For header
    /// fields the span of the whole header.
    pub(crate) fn find(&self, section: &Section) -> Option<Span> {
        let root = self.root()?;
        if section.part.is_empty() {
            return match section.text {
                SectionText::All => Some(root.header.with(root.body)),
                SectionText::Text => Some(root.body),
                SectionText::Mime => None,
                _ => Some(root.header),
            };
        }
        let part = self.descend(&section.part)?;
        // HEADER and TEXT are those of the message inside another.
        let inside = || {
            part.children
                .first()
                .filter(|_| part.kind == Kind::Message)
                .and_then(|&at| self.part(at))
        };
        match section.text {
            SectionText::All => Some(part.body),
            SectionText::Mime => Some(part.header),
            SectionText::Text => inside().map(|m| m.body),
            _ => inside().map(|m| m.header),
        }
    }

    /// The part with these numbers, from the outside in.
    pub(crate) fn descend(&self, numbers: &[u32]) -> Option<&Part> {
        let mut part = self.root()?;
        for (depth, &number) in numbers.iter().enumerate() {
            let mut holder = part;
            if depth > 0 && holder.kind == Kind::Message {
                holder = self.part(*holder.children.first()?)?;
            }
            part = match holder.kind {
                Kind::Multipart => {
                    self.part(*holder.children.get((number as usize).checked_sub(1)?)?)?
                }
                // Part 1 of a message that is no multipart is its body.
                _ if number == 1 && (depth == 0 || holder.parent != part.parent) => holder,
                _ => return None,
            };
        }
        Some(part)
    }
}
