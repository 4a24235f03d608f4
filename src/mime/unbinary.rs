//! Messages with binary parts as other messages (RFC 3516 section 4.4): line ends of a mailbox are no
//! place for octets that are no lines, so such parts are given base64 on their way.

use super::field::content;
use super::{Limits, fields, header_lines};
use data_encoding::BASE64;

/// Something that is binary and does not say so, which cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownEncoding;

/// Gives base64 to every part whose encoding is `binary`, in one pass and bounded memory; all else is
/// passed on as it is.
pub(crate) struct Unbinary {
    limits: Limits,
    /// Of the multiparts that are open, from the outside in.
    boundaries: Vec<Boundary>,
    state: State,
    /// A line, as far as it came.
    line: Vec<u8>,
    /// It is the rest of a longer one.
    continued: bool,
}

struct Boundary {
    text: Vec<u8>,
    /// Its parts are messages if they do not say otherwise (RFC 2046 section 5.1.5).
    digest: bool,
}

enum State {
    Header(Vec<u8>),
    Body,
    /// The body of a binary part, and its last line end, which may belong to a boundary.
    Binary(Encoder, Vec<u8>),
}

/// Longer lines are taken in pieces; no boundary is that long.
const MAX_LINE: usize = 4096;

impl Unbinary {
    pub(crate) fn new(limits: Limits) -> Unbinary {
        Unbinary {
            limits,
            boundaries: Vec::new(),
            state: State::Header(Vec::new()),
            line: Vec::new(),
            continued: false,
        }
    }

    /// Takes a piece of the message, split anywhere, and appends to `out` what it becomes.
    pub(crate) fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), UnknownEncoding> {
        let mut rest = piece;
        while !rest.is_empty() {
            let room = MAX_LINE.saturating_sub(self.line.len());
            let window = rest.get(..room).unwrap_or(rest);
            let end = memchr::memchr(b'\n', window).map(|at| at + 1);
            let (taken, after) = rest.split_at(end.unwrap_or(window.len()));
            self.line.extend_from_slice(taken);
            rest = after;
            if end.is_some() || self.line.len() >= MAX_LINE {
                self.take_line(out)?;
                self.continued = end.is_none();
            }
        }
        Ok(())
    }

    /// Ends the message.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), UnknownEncoding> {
        if !self.line.is_empty() {
            self.take_line(out)?;
        }
        match std::mem::replace(&mut self.state, State::Body) {
            State::Header(header) => pass(&header, out),
            State::Body => Ok(()),
            State::Binary(mut encoder, line_end) => {
                encoder.write(&line_end, out);
                encoder.finish(out);
                Ok(())
            }
        }
    }

    fn take_line(&mut self, out: &mut Vec<u8>) -> Result<(), UnknownEncoding> {
        let line = std::mem::take(&mut self.line);
        let whole = !self.continued;
        if whole && line.starts_with(b"--") && self.boundary(&line, out)? {
            return Ok(());
        }
        match &mut self.state {
            State::Header(header) => {
                header.extend_from_slice(&line);
                if whole && matches!(line.as_slice(), b"\n" | b"\r\n") {
                    return self.end_header(out);
                }
                if header.len() > self.limits.header_octets {
                    pass(&std::mem::take(header), out)?;
                    self.state = State::Body;
                }
                Ok(())
            }
            State::Body => pass(&line, out),
            State::Binary(encoder, line_end) => {
                encoder.write(line_end, out);
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                encoder.write(text, out);
                *line_end = line.get(text.len()..).unwrap_or_default().to_vec();
                Ok(())
            }
        }
    }

    /// True if the line is a boundary of an open multipart, which ends what is inside.
    fn boundary(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<bool, UnknownEncoding> {
        let text = line.get(2..).unwrap_or_default().trim_ascii_end();
        let matching = |b: &Boundary| {
            let rest = text.strip_prefix(b.text.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest == b"--")
        };
        let Some(at) = self.boundaries.iter().rposition(matching) else {
            return Ok(false);
        };
        let last = self
            .boundaries
            .get(at)
            .is_some_and(|b| b.text.len() < text.len());
        match std::mem::replace(&mut self.state, State::Body) {
            State::Header(header) => pass(&header, out)?,
            State::Body => {}
            // The line end before a boundary is part of it; the encoder has written one.
            State::Binary(mut encoder, _) => encoder.finish(out),
        }
        self.boundaries.truncate(if last { at } else { at + 1 });
        if !last {
            self.state = State::Header(Vec::new());
        }
        pass(line, out)?;
        Ok(true)
    }

    fn end_header(&mut self, out: &mut Vec<u8>) -> Result<(), UnknownEncoding> {
        let State::Header(header) = std::mem::replace(&mut self.state, State::Body) else {
            return Ok(());
        };
        let mut content = content(&header, &self.limits);
        if content.media.is_none() && self.boundaries.last().is_some_and(|b| b.digest) {
            content.media = Some((b"message".to_vec(), b"rfc822".to_vec()));
        }
        let deep = self.boundaries.len() >= self.limits.depth;
        let multipart = content.is("multipart", None);
        let message = content.is_message();
        let encoding = content.encoding.as_deref().unwrap_or_default();
        let binary = encoding.eq_ignore_ascii_case(b"binary");
        let new = match binary {
            false => None,
            // Neither may have another encoding; what is inside has its own.
            true if multipart || message => Some("8bit"),
            true => Some("base64"),
        };
        match new {
            None => pass(&header, out)?,
            Some(new) => pass(&with_encoding(&header, new), out)?,
        }
        if multipart && let Some(text) = content.parameter("boundary").filter(|_| !deep) {
            self.boundaries.push(Boundary {
                text: text.trim_ascii_end().to_vec(),
                digest: content.is("multipart", Some("digest")),
            });
        } else if message {
            self.state = State::Header(Vec::new());
        } else if binary && !multipart {
            self.state = State::Binary(Encoder::default(), Vec::new());
        }
        Ok(())
    }
}

fn pass(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), UnknownEncoding> {
    if memchr::memchr(0, bytes).is_some() {
        return Err(UnknownEncoding);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

const FIELD: &str = "Content-Transfer-Encoding";

/// The header with that field changed.
fn with_encoding(header: &[u8], new: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len());
    for line in header_lines(header) {
        if fields(line).any(|field| field.is(FIELD)) {
            out.extend_from_slice(format!("{FIELD}: {new}\r\n").as_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    out
}

/// Base64 in lines of 76 characters.
#[derive(Default)]
struct Encoder {
    /// Fewer octets than a line takes.
    waiting: Vec<u8>,
}

impl Encoder {
    const LINE: usize = 57;

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.waiting.extend_from_slice(bytes);
        let whole = self.waiting.len() / Self::LINE * Self::LINE;
        self.put(whole, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.put(self.waiting.len(), out);
    }

    fn put(&mut self, count: usize, out: &mut Vec<u8>) {
        let octets: Vec<u8> = self.waiting.drain(..count).collect();
        for line in octets.chunks(Self::LINE) {
            out.extend_from_slice(BASE64.encode(line).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::{Transfer, parse_bytes};

    fn converted(message: &[u8], piece: usize) -> Result<Vec<u8>, UnknownEncoding> {
        let (mut unbinary, mut out) = (Unbinary::new(Limits::default()), Vec::new());
        for piece in message.chunks(piece) {
            unbinary.write(piece, &mut out)?;
        }
        unbinary.finish(&mut out)?;
        Ok(out)
    }

    fn body(message: &[u8], part: &[u32]) -> Vec<u8> {
        let structure = parse_bytes(message, &Limits::default());
        let part = structure.descend(part).unwrap();
        let raw = &message[part.body.start as usize..part.body.end as usize];
        let mut out = Vec::new();
        let encoding = part.content.encoding.as_deref().unwrap_or(b"7bit");
        let mut transfer = Transfer::new(encoding).unwrap();
        transfer.decode(raw, true, &mut out);
        out
    }

    #[test]
    fn binary_parts_become_base64() {
        let octets: Vec<u8> = (0..=255).chain([b'\r', b'\n', b'\n', 0, b'\r']).collect();
        let long = octets.repeat(60);
        let head = b"Subject: x\r\nContent-Transfer-Encoding:\r\n binary\r\nX: y\r\n\r\n";
        for piece in [1, 2, 57, 4096, 100_000] {
            let single = converted(&[head.as_slice(), &long].concat(), piece).unwrap();
            assert_eq!(body(&single, &[1]), long, "{piece}");
            let text = String::from_utf8(single).unwrap();
            assert!(text.starts_with(
                "Subject: x\r\nContent-Transfer-Encoding: base64\r\nX: y\r\n\r\nAAEC"
            ));
            assert!(text.lines().all(|line| line.len() <= 76));
        }
    }

    #[test]
    fn parts_inside_have_their_own_encoding() {
        let outer: &[u8] = b"Content-Type: multipart/mixed; boundary=\"b b\"\r\nContent-Transfer-Encoding: binary\r\n\r\npreamble\r\n--b b\r\nContent-Transfer-Encoding: BINARY\r\n\r\n\0--b\r\n--b bx\r\n\r\n--b b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nContent-Transfer-Encoding: binary\r\n\r\n\x01\n\r\n--b b\r\n\r\ntext\r\n--b b--\r\nepilogue\r\n";
        for piece in [1, 3, 1000] {
            let new = converted(outer, piece).unwrap();
            assert_eq!(body(&new, &[1]), b"\0--b\r\n--b bx\r\n");
            assert_eq!(body(&new, &[2, 1]), b"\x01\n");
            assert_eq!(body(&new, &[3]), b"text");
            let text = String::from_utf8(new).unwrap();
            assert_eq!(text.matches("Encoding: 8bit\r\n").count(), 2);
            assert_eq!(text.matches("Encoding: base64\r\n").count(), 2);
            assert!(text.ends_with("text\r\n--b b--\r\nepilogue\r\n"));
        }
    }

    #[test]
    fn other_messages_stay_as_they_are() {
        for message in [
            "",
            "Subject: x",
            "Subject: x\r\n\r\n\u{fc}\n--a\r\n",
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--a--",
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a\r\nA: b\r\n--a--\r\n",
        ] {
            for piece in [1, 5, 1000] {
                let new = converted(message.as_bytes(), piece);
                assert_eq!(new.as_deref(), Ok(message.as_bytes()));
            }
        }
        assert_eq!(converted(b"\r\n\0", 9), Err(UnknownEncoding));
        assert_eq!(converted(b"A: \0\r\n\r\n", 9), Err(UnknownEncoding));
    }

    #[test]
    fn pieces_make_no_difference() {
        let words: [&[u8]; 16] = [
            b"\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b"--a",
            b"--a--",
            b"--ab",
            b"Content-Type: multipart/mixed; boundary=a\r\n",
            b"Content-Type: multipart/digest; boundary=ab\n",
            b"Content-Type: message/rfc822\r\n",
            b"Content-Transfer-Encoding: binary\r\n",
            b"Content-Transfer-Encoding:\r\n\tbinary\r\n",
            b"x",
            b"\xff\x01",
            b" ",
            b"\0",
        ];
        let mut state = 11u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut kept = 0;
        for _ in 0..3000 {
            let count = random(24);
            let message: Vec<u8> = (0..count)
                .flat_map(|_| words[random(16)].to_vec())
                .collect();
            let whole = converted(&message, usize::MAX);
            for piece in [1, 2 + random(9)] {
                assert_eq!(converted(&message, piece), whole, "{message:?}");
            }
            // What is kept has no NUL, and nothing in it is binary any more.
            if let Ok(text) = whole {
                kept += 1;
                assert!(!text.contains(&0), "{message:?}");
                assert_eq!(converted(&text, 7), Ok(text), "{message:?}");
            }
        }
        assert!(kept > 1000, "{kept}");
    }
}
