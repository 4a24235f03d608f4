//! The end of a message in LMTP and POP3: lines that begin with a dot (RFC 5321 section 4.5.2, RFC 1939
//! section 3).

/// Takes the transparency dots out of a message and finds its end. Only CRLF.CRLF ends it:
/// a bare LF or CR is never part of a line end, so nothing can be smuggled behind it.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// After CRLF or at the start.
    LineStart,
    Text,
    /// After CR (written already).
    Cr,
    /// After a dot at the start of a line (not written).
    Dot,
    /// After a dot at the start of a line and CR (neither written).
    DotCr,
    Ended,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            state: State::LineStart,
        }
    }
}

impl Decoder {
    /// Appends message bytes to `out` until the piece or the message ends; returns how many bytes
    /// of the piece it took. The CRLF before the final dot belongs to the message.
    pub(crate) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        while let Some(rest) = piece
            .get(taken..)
            .filter(|r| !r.is_empty() && self.state != State::Ended)
        {
            if self.state == State::Text {
                let end = memchr::memchr(b'\r', rest).map_or(rest.len(), |at| at + 1);
                let text = rest.get(..end).unwrap_or_default();
                out.extend_from_slice(text);
                taken += end;
                if text.last() == Some(&b'\r') {
                    self.state = State::Cr;
                }
            } else if let Some(&byte) = rest.first() {
                taken += 1;
                self.step(byte, out);
            }
        }
        taken
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match (self.state, byte) {
            (State::LineStart, b'.') => return self.state = State::Dot,
            (State::Dot, b'\r') => return self.state = State::DotCr,
            (State::DotCr, b'\n') => return self.state = State::Ended,
            (State::DotCr, _) => {
                // The dot was transparency, the CR text.
                out.push(b'\r');
                self.state = State::Cr;
                return self.step(byte, out);
            }
            (State::Cr, b'\n') => State::LineStart,
            (_, b'\r') => State::Cr,
            _ => State::Text,
        };
        out.push(byte);
    }

    /// True once the final dot was seen.
    pub(crate) fn ended(&self) -> bool {
        self.state == State::Ended
    }
}

/// Puts transparency dots into a text with CRLF line ends, and the end behind it.
#[derive(Debug)]
pub(crate) struct Encoder {
    at_line_start: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder {
            at_line_start: true,
        }
    }
}

impl Encoder {
    /// Appends the piece to `out`.
    pub(crate) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 64);
        let mut from = 0;
        for at in memchr::memchr_iter(b'.', piece) {
            let begins = match at.checked_sub(1) {
                None => self.at_line_start,
                Some(before) => piece.get(before) == Some(&b'\n'),
            };
            if begins {
                out.extend_from_slice(piece.get(from..at).unwrap_or_default());
                out.push(b'.');
                from = at;
            }
        }
        out.extend_from_slice(piece.get(from..).unwrap_or_default());
        if let Some(last) = piece.last() {
            self.at_line_start = *last == b'\n';
        }
    }

    /// Appends what ends the text; a last line without its end gets one.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        if !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    /// As `finish`, with an empty line in front of the end.
    pub(crate) fn finish_with_line(mut self, out: &mut Vec<u8>) {
        if !self.at_line_start {
            self.encode(b"\r\n", out);
        }
        self.encode(b"\r\n", out);
        self.finish(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back_at_every_split() {
        for (text, wire) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".\r\n..\r\n", "..\r\n...\r\n.\r\n"),
            ("a.b\r\n.c.\r\n\r\n", "a.b\r\n..c.\r\n\r\n.\r\n"),
        ] {
            for split in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(split);
                let (mut encoder, mut out) = (Encoder::default(), Vec::new());
                encoder.encode(a, &mut out);
                encoder.encode(b, &mut out);
                encoder.finish(&mut out);
                assert_eq!(String::from_utf8_lossy(&out), wire, "{text:?} at {split}");
                let (mut decoder, mut back) = (Decoder::default(), Vec::new());
                assert_eq!(decoder.decode(&out, &mut back), out.len());
                assert!(decoder.ended() && back.starts_with(text.as_bytes()));
            }
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends() {
        for (wire, message, rest) in [
            ("a\r\n.\r\nQUIT", "a\r\n", Some("QUIT")),
            (".\r\nx", "", Some("x")),
            ("..\r\n.\r\n", ".\r\n", Some("")),
            ("a\r\n.b\r\n.\r\n", "a\r\nb\r\n", Some("")),
            ("a\n.\nMAIL\r\n.\r\n", "a\n.\nMAIL\r\n", Some("")),
            ("a\n.\r\nMAIL\r\n.\r\n", "a\n.\r\nMAIL\r\n", Some("")),
            ("a\r\n.\nMAIL\r\n.\r\n", "a\r\n\nMAIL\r\n", Some("")),
            ("a\r.\r\nMAIL\r\n.\r\n", "a\r.\r\nMAIL\r\n", Some("")),
            ("a\r\n.\rMAIL\r\n.\r\n", "a\r\n\rMAIL\r\n", Some("")),
            ("a\r\r\n.\r\n", "a\r\r\n", Some("")),
            ("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", Some("")),
            ("no end\r\n.", "no end\r\n", None),
        ] {
            for split in 0..=wire.len() {
                let (a, b) = wire.as_bytes().split_at(split);
                let (mut decoder, mut out) = (Decoder::default(), Vec::new());
                let mut taken = decoder.decode(a, &mut out);
                if taken == a.len() {
                    taken += decoder.decode(b, &mut out);
                }
                assert_eq!(
                    String::from_utf8_lossy(&out),
                    message,
                    "{wire:?} at {split}"
                );
                assert_eq!(decoder.ended(), rest.is_some(), "{wire:?} at {split}");
                if let Some(rest) = rest {
                    assert_eq!(&wire[taken..], rest, "{wire:?} at {split}");
                }
            }
        }
    }
}
