//! Quoted-printable (RFC 2045 section 6.7), tolerant and streaming.

/// Decodes a body piece by piece. Broken escapes are kept as they stand.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    /// White space that counts only if something follows on the line.
    /// At most [`MAX_BLANKS`]; more is kept as text.
    blanks: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Text,
    Equals,
    /// `=` and blanks up to the line end, still a soft line break.
    Soft,
    /// `=` CR.
    SoftCr,
    Digit(u8),
}

/// A line has 76 characters at most by RFC 2045 section 6.7; longer runs of blanks are text.
const MAX_BLANKS: usize = 1000;

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

impl Decoder {
    /// Appends what the piece decodes to. Line ends stay as they are.
    pub(crate) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(&byte) = rest.first() {
            if let State::Text = self.state {
                let plain = rest
                    .iter()
                    .position(|b| matches!(b, b'=' | b' ' | b'\t' | b'\r' | b'\n'));
                let (text, after) = rest.split_at(plain.unwrap_or(rest.len()));
                if !text.is_empty() {
                    out.append(&mut self.blanks);
                    out.extend_from_slice(text);
                    rest = after;
                    continue;
                }
            }
            rest = &rest[1..];
            self.step(byte, out);
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.state, byte) {
            (State::Text, b'=') => {
                out.append(&mut self.blanks);
                self.state = State::Equals;
            }
            (State::Text, b' ' | b'\t') => {
                if self.blanks.len() >= MAX_BLANKS {
                    out.append(&mut self.blanks);
                }
                self.blanks.push(byte);
            }
            (State::Text, b'\r' | b'\n') => {
                self.blanks.clear();
                out.push(byte);
            }
            (State::Text, _) => {
                out.append(&mut self.blanks);
                out.push(byte);
            }
            (State::Equals | State::Soft | State::SoftCr, b'\n') => self.state = State::Text,
            (State::Equals | State::Soft, b'\r') => self.state = State::SoftCr,
            (State::Equals | State::Soft, b' ' | b'\t') => self.state = State::Soft,
            (State::Equals, _) if digit(byte).is_some() => self.state = State::Digit(byte),
            (State::Digit(first), _) => self.escape(first, byte, out),
            (State::SoftCr, _) => {
                self.state = State::Text;
                self.step(byte, out);
            }
            (State::Equals | State::Soft, _) => {
                out.push(b'=');
                self.state = State::Text;
                self.step(byte, out);
            }
        }
    }

    fn escape(&mut self, first: u8, second: u8, out: &mut Vec<u8>) {
        self.state = State::Text;
        match (digit(first), digit(second)) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => {
                out.extend_from_slice(&[b'=', first]);
                self.step(second, out);
            }
        }
    }

    /// Appends what an unfinished escape at the end stands for.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Equals => out.push(b'='),
            State::Digit(first) => out.extend_from_slice(&[b'=', first]),
            _ => {}
        }
        *self = Decoder::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_at_every_split() {
        for (text, expected) in [
            ("a=3Db", "a=b"),
            ("a=3db", "a=b"),
            ("soft=\r\nbreak=\nhere", "softbreakhere"),
            ("soft=  \r\nbreak", "softbreak"),
            ("trail  \r\nend\t", "trail\r\nend"),
            ("in  the middle", "in  the middle"),
            ("bad=XYescape=4", "bad=XYescape=4"),
            ("=4=41", "=4A"),
            ("end=", "end="),
            ("=E4=FC", "\u{e4}\u{fc}"),
        ] {
            let expected: Vec<u8> = expected
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap())
                .collect();
            for split in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(split);
                let (mut decoder, mut out) = (Decoder::default(), Vec::new());
                decoder.decode(a, &mut out);
                decoder.decode(b, &mut out);
                decoder.finish(&mut out);
                assert_eq!(out, expected, "{text:?} at {split}");
            }
        }
    }
}
