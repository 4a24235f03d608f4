//! RETR and TOP (RFC 1939 sections 5 and 7): a message, piece by piece.

use crate::codec::dot;
use crate::config::Pop3;
use crate::mailbox::{Content, Error, put_literal};
use crate::protocol::Output;

/// Octets of a message read at a time.
const PIECE: usize = 32 * 1024;

/// A message that goes out.
pub(super) struct Sending {
    content: Content,
    encoder: dot::Encoder,
    part: Part,
    /// A header without a body gets its empty line.
    end_of_header: bool,
    no_nuls: bool,
}

/// How far a message goes out: its header, the empty line and some lines behind it.
struct Part {
    in_body: bool,
    /// Lines of the body.
    left: u64,
    /// What the line so far has: nothing, a CR alone, or more.
    line: Begun,
    whole: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    Cr,
    Text,
}

impl Part {
    /// How much of this piece goes out; true if nothing goes out behind that.
    fn take(&mut self, piece: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.line = match (self.line, rest) {
                    (Begun::Nothing, [b'\r']) => Begun::Cr,
                    _ => Begun::Text,
                };
                break;
            };
            let before = rest.get(..end).unwrap_or_default();
            let empty = match self.line {
                Begun::Nothing => before.is_empty() || before == b"\r",
                Begun::Cr => before.is_empty(),
                Begun::Text => false,
            };
            at += end + 1;
            self.line = Begun::Nothing;
            if self.in_body {
                self.left = self.left.saturating_sub(1);
            }
            self.in_body |= empty;
            if self.in_body && self.left == 0 {
                return (at, true);
            }
        }
        (piece.len(), false)
    }
}

impl Sending {
    /// `lines`: of the body; `None`: the whole message. Says how many octets it has.
    pub(super) fn begin(
        content: Content,
        lines: Option<u64>,
        pop3: &Pop3,
        out: &mut Output,
    ) -> Sending {
        match lines {
            None => out.put(format!("+OK {} octets\r\n", content.remaining()).as_bytes()),
            Some(_) => out.put(b"+OK\r\n"),
        }
        Sending {
            content,
            encoder: dot::Encoder::default(),
            part: Part {
                in_body: false,
                left: lines.unwrap_or(u64::MAX),
                line: Begun::Nothing,
                whole: lines.is_none(),
            },
            end_of_header: pop3.end_of_header,
            no_nuls: pop3.no_nuls,
        }
    }

    /// True if no step touches a file.
    pub(super) fn is_in_memory(&self) -> bool {
        self.content.is_in_memory()
    }

    /// Gives some; `false` after the end. Errors: nothing right can be said any more.
    pub(super) fn step(&mut self, out: &mut Output) -> Result<bool, Error> {
        let looks = !self.part.whole || self.end_of_header;
        let mut piece = Vec::new();
        while !out.full() {
            piece.clear();
            let (mut taken, mut over) = (self.content.read(&mut piece, PIECE)?, false);
            if taken == 0 {
                over = true;
            } else if looks {
                (taken, over) = self.part.take(&piece);
            }
            piece.truncate(taken);
            if self.no_nuls && memchr::memchr(0, &piece).is_some() {
                let mut without = Vec::with_capacity(piece.len());
                put_literal(&piece, &mut without);
                piece = without;
            }
            self.encoder.encode(&piece, out.buffer());
            if over {
                let encoder = std::mem::take(&mut self.encoder);
                if self.end_of_header && !self.part.in_body {
                    encoder.finish_with_line(out.buffer());
                } else {
                    encoder.finish(out.buffer());
                }
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(text: &str, lines: u64, split: usize) -> (String, bool) {
        let mut part = Part {
            in_body: false,
            left: lines,
            line: Begun::Nothing,
            whole: false,
        };
        let (mut out, mut over) = (Vec::new(), false);
        let (a, b) = text.as_bytes().split_at(split);
        for piece in [a, b] {
            if !over {
                let (taken, end) = part.take(piece);
                out.extend_from_slice(&piece[..taken]);
                over = end;
            }
        }
        (String::from_utf8(out).unwrap(), over)
    }

    #[test]
    fn top_is_the_header_and_some_lines() {
        for (text, lines, expected) in [
            ("A: b\r\n\r\n1\r\n2\r\n", 0, "A: b\r\n\r\n"),
            ("A: b\r\n\r\n1\r\n2\r\n", 1, "A: b\r\n\r\n1\r\n"),
            ("A: b\r\n\r\n1\r\n2\r\n", 2, "A: b\r\n\r\n1\r\n2\r\n"),
            ("A: b\r\n\r\n1\r\n2", 9, "A: b\r\n\r\n1\r\n2"),
            ("\r\n\r\n1\r\n", 1, "\r\n\r\n"),
            ("A: b\r\n \r\n\r\nx\r\n", 0, "A: b\r\n \r\n\r\n"),
            ("A: b\r\n\r\r\n\r\nx\r\n", 0, "A: b\r\n\r\r\n\r\n"),
            ("A: b\r\n", 5, "A: b\r\n"),
            ("", 5, ""),
        ] {
            for split in 0..=text.len() {
                let (out, _) = top(text, lines, split);
                assert_eq!(out, expected, "{text:?} {lines} at {split}");
            }
        }
    }
}
