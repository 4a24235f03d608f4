//! From bytes to structure, in one pass and bounded memory.

use super::envelope::envelope;
use super::field::content;
use super::part::{Kind, Message, Part, Span};
use memchr::memchr;
use std::io::{self, Read};

/// What a message may make the parser remember. Beyond a limit the rest counts as body or is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Octets of one header block that are looked at.
    pub(crate) header_octets: usize,
    /// Octets of one field, folded lines and all.
    pub(crate) line_octets: usize,
    /// Of one field.
    pub(crate) addresses: usize,
    /// Of one field.
    pub(crate) parameters: usize,
    pub(crate) parts: usize,
    /// Nesting of multiparts and messages.
    pub(crate) depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_octets: 10 << 20,
            line_octets: 1 << 20,
            addresses: 10_000,
            parameters: 128,
            parts: 10_000,
            depth: 100,
        }
    }
}

/// Octets read at a time; a longer line is taken in pieces.
const BUFFER_OCTETS: usize = 64 * 1024;

/// The structure of what `reader` gives.
pub(crate) fn parse(reader: &mut dyn Read, limits: &Limits) -> io::Result<Message> {
    Ok(read(reader, limits, &|_| false)?.finish())
}

/// Where the message's own header lies, its empty line included; reads little more than that.
pub(crate) fn header(reader: &mut dyn Read, limits: &Limits) -> io::Result<Span> {
    Ok(read(reader, limits, &Parser::has_own_header)?.own_header())
}

/// As `header`, of a message in memory.
pub(crate) fn header_bytes(message: &[u8], limits: &Limits) -> Span {
    let mut parser = Parser::new(limits);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        parser.line(line);
        if parser.has_own_header() {
            break;
        }
    }
    parser.own_header()
}

/// Reads until the parser knows enough, or to the end.
fn read(
    reader: &mut dyn Read,
    limits: &Limits,
    enough: &dyn Fn(&Parser) -> bool,
) -> io::Result<Parser> {
    let mut parser = Parser::new(limits);
    let mut buffer = vec![0; BUFFER_OCTETS];
    let mut filled = 0;
    loop {
        let space = buffer.get_mut(filled..).unwrap_or_default();
        let count = reader.read(space)?;
        filled += count;
        let text = buffer.get(..filled).unwrap_or_default();
        let whole = count == 0 || filled == buffer.len();
        let taken = parser.lines(text, whole);
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        if count == 0 || enough(&parser) {
            return Ok(parser);
        }
    }
}

/// The structure of a message in memory.
pub(crate) fn parse_bytes(message: &[u8], limits: &Limits) -> Message {
    let mut parser = Parser::new(limits);
    parser.lines(message, true);
    parser.finish()
}

/// A position in the message.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    raw: u64,
    /// Bare LFs before it.
    bare: u64,
    lines: u64,
}

impl Mark {
    fn span_to(self, end: Mark) -> Span {
        // A boundary right after the header leaves an empty body, not a negative one.
        let end = if end.raw < self.raw { self } else { end };
        Span {
            start: self.raw,
            end: end.raw,
            octets: end.raw - self.raw + end.bare - self.bare,
            lines: end.lines - self.lines,
        }
    }
}

struct Parser {
    limits: Limits,
    message: Message,
    /// Parts that are not ended, from the outside in.
    open: Vec<Open>,
    /// Where the next byte lies.
    here: Mark,
    /// Before the line end of the last line.
    line_end: Mark,
    /// The next byte starts a line.
    line_start: bool,
    /// The byte before was a CR.
    after_cr: bool,
    /// Header of the innermost part while it is read.
    header: Option<Vec<u8>>,
}

struct Open {
    part: u32,
    start: Mark,
    body: Mark,
    /// Of a multipart.
    boundary: Option<Vec<u8>>,
    /// The closing boundary was seen, what follows is epilogue.
    closed: bool,
}

impl Parser {
    fn new(limits: &Limits) -> Parser {
        let mut parser = Parser {
            limits: *limits,
            message: Message::default(),
            open: Vec::new(),
            here: Mark::default(),
            line_end: Mark::default(),
            line_start: true,
            after_cr: false,
            header: None,
        };
        parser.begin(None);
        parser
    }

    /// True once the header of the message itself has ended.
    fn has_own_header(&self) -> bool {
        self.message.root().is_some_and(|root| root.header.end > 0)
    }

    fn own_header(self) -> Span {
        let message = match self.has_own_header() {
            true => self.message,
            // It has no end but that of the message.
            false => self.finish(),
        };
        message.root().map_or(Span::default(), |root| root.header)
    }

    /// Takes complete lines (and, if `whole`, the rest) of `text`; returns how many octets.
    fn lines(&mut self, text: &[u8], whole: bool) -> usize {
        let mut taken = 0;
        while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
            let line = match memchr(b'\n', rest) {
                Some(at) => rest.get(..=at).unwrap_or(rest),
                None if whole => rest,
                None => break,
            };
            taken += line.len();
            self.line(line);
        }
        taken
    }

    /// A line, or a piece of one that is too long for the buffer.
    fn line(&mut self, line: &[u8]) {
        let first = self.line_start;
        if first && line.starts_with(b"--") && !self.full() && self.boundary(line) {
            self.pass(line);
            self.after_boundary();
            return;
        }
        let start = self.here;
        self.pass(line);
        if self.header.is_some() {
            self.header_line(line, first, start);
        }
    }

    /// Counts a line.
    fn pass(&mut self, line: &[u8]) {
        let ended = line.last() == Some(&b'\n');
        let before = match line.len().checked_sub(2) {
            Some(at) => line.get(at) == Some(&b'\r'),
            None => self.after_cr,
        };
        let crlf = ended && before;
        let end_octets = u64::from(ended) + u64::from(crlf && line.len() > 1);
        self.line_end = self.here;
        self.line_end.raw += line.len() as u64 - end_octets;
        self.here.raw += line.len() as u64;
        self.here.bare += u64::from(ended && !crlf);
        self.here.lines += u64::from(ended);
        self.line_start = ended;
        self.after_cr = line.last() == Some(&b'\r');
    }

    fn header_line(&mut self, line: &[u8], first: bool, start: Mark) {
        let empty = first && matches!(line, b"\n" | b"\r\n");
        let Some(header) = self.header.as_mut() else {
            return;
        };
        if empty {
            return self.end_header();
        }
        if header.len() + line.len() > self.limits.header_octets {
            // The rest counts as body.
            let Some(header) = self.header.take() else {
                return;
            };
            return self.begin_body(&header, start);
        }
        header.extend_from_slice(line);
    }

    fn end_header(&mut self) {
        if let Some(header) = self.header.take() {
            self.begin_body(&header, self.here);
        }
    }

    fn begin(&mut self, parent: Option<u32>) {
        let at = u32::try_from(self.message.parts.len()).unwrap_or(u32::MAX);
        self.message.parts.push(Part {
            parent,
            ..Part::default()
        });
        if let Some(parent) = parent.and_then(|p| self.message.parts.get_mut(p as usize)) {
            parent.children.push(at);
        }
        self.open.push(Open {
            part: at,
            start: self.here,
            body: self.here,
            boundary: None,
            closed: false,
        });
        self.header = Some(Vec::new());
    }

    /// The header of the innermost part ended at `end`.
    fn begin_body(&mut self, header: &[u8], end: Mark) {
        let deep = self.open.len() >= self.limits.depth || self.full();
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.body = end;
        let Some(part) = self.message.parts.get_mut(open.part as usize) else {
            return;
        };
        part.header = open.start.span_to(end);
        part.content = content(header, &self.limits);
        let (at, parent) = (open.part, part.parent);
        let inherited = parent.is_some_and(|p| is_digest(&self.message, p));
        let Some(part) = self.message.parts.get_mut(at as usize) else {
            return;
        };
        if inherited && part.content.media.is_none() {
            // RFC 2046 section 5.1.5.
            part.content.media = Some((b"message".to_vec(), b"rfc822".to_vec()));
        }
        if deep {
            if part.content.is("multipart", None) || part.content.is_message() {
                part.content = too_deep(std::mem::take(&mut part.content));
            }
        } else if part.content.is("multipart", None) {
            // RFC 2046 section 5.1.1: blanks at the end of a boundary were added on the way.
            let boundary = part.content.parameter("boundary");
            open.boundary = boundary.map(|b| b.trim_ascii_end().to_vec());
            part.kind = Kind::Multipart;
        } else if part.content.is_message() {
            // Even if it is encoded, which RFC 2046 section 5.2.1 forbids: then it has no fields,
            // but BODYSTRUCTURE has no other way to tell a message/rfc822.
            part.kind = Kind::Message;
        }
        let inside_message = parent
            .and_then(|p| self.message.part(p))
            .is_some_and(|p| p.kind == Kind::Message);
        if inside_message && let Some(part) = self.message.parts.get_mut(at as usize) {
            part.envelope = envelope(header, &self.limits);
        }
        if self
            .message
            .part(at)
            .is_some_and(|p| p.kind == Kind::Message)
        {
            self.here_begins(at, end);
        }
    }

    /// The message inside part `at` begins at `start`.
    fn here_begins(&mut self, at: u32, start: Mark) {
        self.begin(Some(at));
        if let Some(open) = self.open.last_mut() {
            open.start = start;
            open.body = start;
        }
    }

    /// True if the line is a boundary of an open multipart; ends what it ends.
    fn boundary(&mut self, line: &[u8]) -> bool {
        let text = line.get(2..).unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let mut best: Option<(usize, usize)> = None;
        for (at, open) in self.open.iter().enumerate().rev() {
            if !open.closed
                && let Some(boundary) = open.boundary.as_ref().filter(|b| text.starts_with(b))
                && best.is_none_or(|(_, length)| boundary.len() > length)
            {
                best = Some((at, boundary.len()));
                if boundary.len() == text.len() {
                    break;
                }
            }
        }
        let Some((at, length)) = best else {
            return false;
        };
        let final_one = text
            .get(length..)
            .is_some_and(|rest| rest.starts_with(b"--"));
        self.close_down_to(at);
        if let Some(open) = self.open.last_mut() {
            open.closed = final_one;
        }
        true
    }

    /// Ends the parts inside the `at`-th open one, before the line end that belongs to the boundary.
    fn close_down_to(&mut self, at: usize) {
        while self.open.len() > at + 1 {
            let here = self.line_end;
            self.close(here);
        }
    }

    /// The last part that may be takes in all that follows.
    fn full(&self) -> bool {
        self.message.parts.len() >= self.limits.parts
    }

    fn after_boundary(&mut self) {
        if let Some(open) = self.open.last()
            && !open.closed
        {
            let parent = open.part;
            self.begin(Some(parent));
        } else {
            self.header = None;
        }
    }

    /// Ends the innermost part at `end`.
    fn close(&mut self, end: Mark) {
        if let Some(header) = self.header.take() {
            // No empty line: all of it is header.
            let depth = self.open.len();
            self.begin_body(&header, end);
            while self.open.len() > depth {
                // A message inside that has nothing in it, no field either.
                if let Some(header) = self.header.take() {
                    self.begin_body(&header, end);
                }
                self.pop(end);
            }
        }
        self.pop(end);
    }

    fn pop(&mut self, end: Mark) {
        if let Some(open) = self.open.pop()
            && let Some(part) = self.message.parts.get_mut(open.part as usize)
        {
            part.body = open.body.span_to(end);
        }
    }

    fn finish(mut self) -> Message {
        while !self.open.is_empty() {
            let end = self.here;
            self.close(end);
        }
        self.message
    }
}

fn is_digest(message: &Message, part: u32) -> bool {
    message
        .part(part)
        .is_some_and(|p| p.content.is("multipart", Some("digest")))
}

/// What stands beyond the depth limit is told as opaque bytes.
fn too_deep(content: super::part::Content) -> super::part::Content {
    super::part::Content {
        media: Some((b"application".to_vec(), b"octet-stream".to_vec())),
        ..content
    }
}
