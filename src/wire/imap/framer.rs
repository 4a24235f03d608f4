//! Where a command ends: lines and literals, without understanding them.

use super::append::{Ends, append_start};
use super::token::Syntax;
use crate::wire::reader::Bounds;

/// Finds commands in what a client sends. Holds no memory while nothing waits.
#[derive(Debug)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Bytes of the buffer looked at for line ends.
    scanned: usize,
    /// Octets of a literal that must be in the buffer before scanning goes on.
    literal_end: usize,
    skip: Skip,
    line_limit: usize,
    literal_limit: usize,
    /// Of a literal that is not announced first.
    nonsync_limit: u64,
    /// The continuation for the literal was asked for.
    continued: bool,
    /// Between the literals of an APPEND.
    appending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    None,
    /// To the end of this line.
    Line,
    /// So many octets, then the rest of the line.
    Octets(u64),
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    NeedInput,
    /// A synchronising literal was announced: say `+`.
    Continue,
    /// A whole command with its literals, without the last line end.
    Command(Vec<u8>),
    /// The head of an APPEND whose message comes next (see [`Framer::take`]).
    Append {
        head: Vec<u8>,
        octets: u64,
        synchronising: bool,
    },
    /// A command that is too large, or an APPEND that is none. What is left of it is skipped.
    Refused {
        tag: Vec<u8>,
        why: Refusal,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    LineTooLong,
    LiteralTooLarge,
    /// A non-synchronizing literal that is too long for one (RFC 7888 section 5).
    NotSynchronising,
    /// It cannot be understood, so that its literal is not asked for.
    Malformed(Syntax),
}

/// The tag of a command, as far as there is one.
pub(crate) fn tag_of(command: &[u8]) -> Vec<u8> {
    let atom = |b: &u8| b.is_ascii_graphic() && !b"(){%*\"\\+".contains(b);
    command
        .iter()
        .take_while(|b| atom(b))
        .take(64)
        .copied()
        .collect()
}

/// A literal announced at the end of a line: octets, synchronising, and where it begins in the line.
fn literal(line: &[u8]) -> Option<(u64, bool, usize)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, synchronising) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let brace = inner.iter().rposition(|b| *b == b'{')?;
    let digits = inner.get(brace + 1..)?;
    let number = std::str::from_utf8(digits)
        .ok()
        .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    Some((number.parse().ok()?, synchronising, brace))
}

impl Framer {
    /// A line of a command has at most `line_limit` octets, a literal in it `literal_limit`; any that
    /// does not wait for a continuation `nonsync_limit`, the message of an APPEND too.
    pub(crate) fn new(line_limit: usize, literal_limit: usize, nonsync_limit: u64) -> Framer {
        Framer {
            buffer: Vec::new(),
            scanned: 0,
            literal_end: 0,
            skip: Skip::None,
            line_limit,
            literal_limit,
            nonsync_limit,
            continued: false,
            appending: false,
        }
    }

    /// Takes bytes; returns how many, fewer than all only when the buffer is full.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> usize {
        let room = self.capacity().saturating_sub(self.waiting());
        let taken = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.buffer
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// Takes up to `count` bytes that wait, for the message of an APPEND.
    pub(crate) fn take(&mut self, count: u64) -> Vec<u8> {
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        let taken = if count == self.buffer.len() {
            std::mem::take(&mut self.buffer)
        } else {
            self.buffer.drain(..count).collect()
        };
        self.restart();
        taken
    }

    /// Octets that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Octets that can wait at most.
    pub(crate) fn capacity(&self) -> u64 {
        (self.line_limit + self.literal_limit + 4096) as u64
    }

    /// What waits, for whoever goes on with the connection.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.buffer
    }

    /// Forgets what waits: nothing sent before TLS may count after it.
    pub(crate) fn clear(&mut self) {
        self.buffer = Vec::new();
        self.restart();
    }

    /// Skips the octets of a literal that is not wanted and the rest of its line.
    pub(crate) fn skip_literal(&mut self, octets: u64) {
        self.skip = Skip::Octets(octets);
        self.restart();
    }

    fn restart(&mut self) {
        self.scanned = 0;
        self.literal_end = 0;
        self.continued = false;
    }

    /// What follows a literal of an APPEND: text up to the next one, or the end of the command.
    pub(crate) fn next_of_append(&mut self) -> Frame {
        self.appending = true;
        let frame = self.next();
        self.appending = false;
        frame
    }

    /// The next thing in the buffer.
    pub(crate) fn next(&mut self) -> Frame {
        if !self.skipped() {
            return Frame::NeedInput;
        }
        loop {
            if self.buffer.len() < self.literal_end {
                if std::mem::take(&mut self.continued) {
                    return Frame::Continue;
                }
                return Frame::NeedInput;
            }
            self.continued = false;
            self.scanned = self.scanned.max(self.literal_end);
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest).map(|at| self.scanned + at) else {
                if self.buffer.len() - self.literal_end > self.line_limit {
                    return self.refuse(Refusal::LineTooLong, Skip::Line);
                }
                self.scanned = self.buffer.len();
                return Frame::NeedInput;
            };
            let line = self.buffer.get(self.literal_end..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > self.line_limit {
                let tag = tag_of(&self.buffer);
                let skip = match literal(line) {
                    Some((octets, false, _)) => Skip::Octets(octets),
                    _ => Skip::None,
                };
                self.buffer.drain(..=end);
                self.restart();
                self.skip = skip;
                return Frame::Refused {
                    tag,
                    why: Refusal::LineTooLong,
                };
            }
            match literal(line) {
                None => return self.command(end),
                Some((octets, synchronising, brace)) => {
                    let head_end = self.literal_end + brace;
                    if let Some(frame) = self.announced(octets, synchronising, head_end, end) {
                        return frame;
                    }
                }
            }
        }
    }

    /// Cuts a whole command off the buffer.
    fn command(&mut self, end: usize) -> Frame {
        let mut command: Vec<u8> = self.buffer.drain(..=end).collect();
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        self.restart();
        command.pop();
        if command.last() == Some(&b'\r') {
            command.pop();
        }
        Frame::Command(command)
    }

    /// A literal follows the line that ends at `end`.
    fn announced(
        &mut self,
        octets: u64,
        synchronising: bool,
        head_end: usize,
        end: usize,
    ) -> Option<Frame> {
        if !synchronising && octets > self.nonsync_limit {
            let tag = tag_of(&self.buffer);
            self.buffer.drain(..=end);
            self.skip_literal(octets);
            return Some(Frame::Refused {
                tag,
                why: Refusal::NotSynchronising,
            });
        }
        let head = self.buffer.get(..head_end).unwrap_or_default();
        let start = match self.appending {
            true => None,
            false => append_start(head, Ends::Literal, Bounds::USUAL),
        };
        if self.appending || matches!(start, Some(Ok(_))) {
            let head = head.to_vec();
            self.buffer.drain(..=end);
            self.restart();
            return Some(Frame::Append {
                head,
                octets,
                synchronising,
            });
        }
        let total = octets.saturating_add(self.literal_end as u64);
        let too_large = total > self.literal_limit as u64;
        let why = match start {
            Some(Err(syntax)) => Some(Refusal::Malformed(syntax)),
            _ => too_large.then_some(Refusal::LiteralTooLarge),
        };
        if let Some(why) = why {
            // A client that waits for `+` sends nothing more of this command.
            let skip = match synchronising {
                true => Skip::None,
                false => Skip::Octets(octets),
            };
            let tag = tag_of(&self.buffer);
            self.buffer.drain(..=end);
            self.restart();
            self.skip = skip;
            return Some(Frame::Refused { tag, why });
        }
        self.literal_end = end + 1 + usize::try_from(octets).unwrap_or(usize::MAX);
        self.scanned = end + 1;
        self.continued = synchronising;
        (synchronising && octets == 0).then_some(Frame::Continue)
    }

    fn refuse(&mut self, why: Refusal, skip: Skip) -> Frame {
        let tag = tag_of(&self.buffer);
        self.buffer = Vec::new();
        self.restart();
        self.skip = skip;
        Frame::Refused { tag, why }
    }

    /// Drops what is to be skipped; false if more of it is to come.
    fn skipped(&mut self) -> bool {
        loop {
            match self.skip {
                Skip::None => return true,
                Skip::Octets(octets) => {
                    let count = usize::try_from(octets)
                        .unwrap_or(usize::MAX)
                        .min(self.buffer.len());
                    self.buffer.drain(..count);
                    let left = octets - count as u64;
                    self.skip = if left == 0 {
                        Skip::Line
                    } else {
                        Skip::Octets(left)
                    };
                    if left > 0 {
                        return false;
                    }
                }
                Skip::Line => {
                    let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                        // Kept: the last bytes could announce a literal.
                        let keep = self.buffer.len().saturating_sub(32);
                        self.buffer.drain(..keep);
                        return false;
                    };
                    let line: Vec<u8> = self.buffer.drain(..=end).collect();
                    let line = line.strip_suffix(b"\n").unwrap_or(&line);
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    self.skip = match literal(line) {
                        Some((octets, false, _)) => Skip::Octets(octets),
                        _ => Skip::None,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(text: &str, split: usize) -> Vec<Frame> {
        let mut framer = Framer::new(60, 30, u64::MAX);
        let mut out = Vec::new();
        let (a, b) = text.as_bytes().split_at(split.min(text.len()));
        for mut piece in [a, b] {
            while !piece.is_empty() {
                let taken = framer.input(piece);
                piece = &piece[taken..];
                loop {
                    match framer.next() {
                        Frame::NeedInput => break,
                        frame => out.push(frame),
                    }
                }
            }
        }
        out
    }

    #[test]
    fn commands_at_every_split() {
        let command = |t: &str| Frame::Command(t.as_bytes().to_vec());
        let refused = |t: &str, why| Frame::Refused {
            tag: t.as_bytes().to_vec(),
            why,
        };
        let long = format!("a2 NOOP {}", "x".repeat(100));
        let cases: Vec<(String, Vec<Frame>)> = vec![
            (
                "a1 NOOP\r\na2 NOOP\n".into(),
                vec![command("a1 NOOP"), command("a2 NOOP")],
            ),
            (
                "a1 LOGIN {1+}\r\nu {2+}\r\n\r\n\r\n".into(),
                vec![command("a1 LOGIN {1+}\r\nu {2+}\r\n\r\n")],
            ),
            (
                format!("{long}\r\na3 NOOP\r\n"),
                vec![refused("a2", Refusal::LineTooLong), command("a3 NOOP")],
            ),
            (
                format!("{long} {{3+}}\r\na4 xx\r\na5 NOOP\r\n"),
                vec![refused("a2", Refusal::LineTooLong), command("a5 NOOP")],
            ),
            (
                format!("b X {{40+}}\r\n{} y\r\na3 NOOP\r\n", "z".repeat(40)),
                vec![refused("b", Refusal::LiteralTooLarge), command("a3 NOOP")],
            ),
            (
                "b X {40}\r\na3 NOOP\r\n".into(),
                vec![refused("b", Refusal::LiteralTooLarge), command("a3 NOOP")],
            ),
        ];
        for (text, expected) in cases {
            for split in 0..=text.len() {
                if text.contains("{3+}") && split > 0 && split < text.len() {
                    // Where a line is known to be too long depends on the split only inside it.
                    continue;
                }
                assert_eq!(frames(&text, split), expected, "{text:?} at {split}");
            }
        }
    }

    #[test]
    fn literals_are_asked_for_once() {
        let mut framer = Framer::new(100, 100, u64::MAX);
        framer.input(b"a LOGIN {3}\r\n");
        assert_eq!(framer.next(), Frame::Continue);
        assert_eq!(framer.next(), Frame::NeedInput);
        framer.input(b"foo {3}\r\n");
        assert_eq!(framer.next(), Frame::Continue);
        framer.input(b"bar\r\n");
        assert_eq!(
            framer.next(),
            Frame::Command(b"a LOGIN {3}\r\nfoo {3}\r\nbar".to_vec())
        );
        assert_eq!(framer.waiting(), 0);
    }

    #[test]
    fn long_literals_have_to_be_asked_for() {
        let refused = |tag: &[u8]| Frame::Refused {
            tag: tag.to_vec(),
            why: Refusal::NotSynchronising,
        };
        let mut framer = Framer::new(100, 100, 10);
        framer.input(b"a APPEND INBOX {11+}\r\n0123456789a (\\Seen) {2+}\r\nxx\r\nb NOOP\r\n");
        assert_eq!(framer.next(), refused(b"a"));
        assert_eq!(framer.next(), Frame::Command(b"b NOOP".to_vec()));
        framer.input(b"c LOGIN {11+}\r\n0123456789a {1}\r\nd LOGIN {11}\r\n");
        assert_eq!(framer.next(), refused(b"c"));
        assert_eq!(framer.next(), Frame::Continue);
        framer.input(b"0123456789a x\r\ne APPEND x {10+}\r\n0123456789 {12+}\r\n");
        assert!(matches!(framer.next(), Frame::Command(text) if text.starts_with(b"d LOGIN {11}")));
        assert!(matches!(framer.next(), Frame::Append { octets: 10, .. }));
        framer.take(10);
        assert!(matches!(
            framer.next_of_append(),
            Frame::Refused {
                why: Refusal::NotSynchronising,
                ..
            }
        ));
        framer.input(b"0123456789ab\r\nf NOOP\r\n");
        assert_eq!(framer.next(), Frame::Command(b"f NOOP".to_vec()));
    }

    #[test]
    fn append_is_announced() {
        let mut framer = Framer::new(100, 10, u64::MAX);
        framer.input(b"a APPEND INBOX (\\Seen) {1000+}\r\nSubject");
        let head = b"a APPEND INBOX (\\Seen) ".to_vec();
        assert_eq!(
            framer.next(),
            Frame::Append {
                head,
                octets: 1000,
                synchronising: false
            }
        );
        assert_eq!(framer.take(1000), b"Subject");
        framer.input(b" (\\Seen) {3}\r\nabc\r\nb NOOP\r\n");
        assert_eq!(
            framer.next_of_append(),
            Frame::Append {
                head: b" (\\Seen) ".to_vec(),
                octets: 3,
                synchronising: true
            }
        );
        assert_eq!(framer.take(3), b"abc");
        assert_eq!(framer.next_of_append(), Frame::Command(Vec::new()));
        assert_eq!(framer.next(), Frame::Command(b"b NOOP".to_vec()));
    }
}
