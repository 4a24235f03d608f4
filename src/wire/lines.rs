//! Lines of the protocols that consist of nothing else.

/// Lines as they come from a client, in a buffer that is as long as one line and one read at most.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    octets: usize,
    /// A line is too long: forget until its end.
    skipping: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    NeedInput,
    /// Without its line end, which may be a bare LF.
    Whole(Vec<u8>),
    TooLong,
}

impl Lines {
    /// Octets that are taken besides those of a line.
    pub(crate) const READ: usize = 16 * 1024;

    /// `octets`: of a line.
    pub(crate) fn new(octets: usize) -> Lines {
        Lines {
            buffer: Vec::new(),
            octets,
            skipping: false,
        }
    }

    /// Takes what there is room for; how much.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> usize {
        let room = (self.octets + Self::READ).saturating_sub(self.buffer.len());
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        taken.len()
    }

    pub(crate) fn next(&mut self) -> Line {
        let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
            // The last octet could be the first half of a line end.
            if self.skipping || self.buffer.len() > self.octets + 1 {
                self.skipping = true;
                self.buffer = Vec::new();
            }
            return Line::NeedInput;
        };
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        if self.buffer.is_empty() {
            // Who waits for its client owns no buffer.
            self.buffer = Vec::new();
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match std::mem::take(&mut self.skipping) || line.len() > self.octets {
            true => Line::TooLong,
            false => Line::Whole(line),
        }
    }

    /// Forgets what came.
    pub(crate) fn clear(&mut self) {
        (self.buffer, self.skipping) = (Vec::new(), false);
    }

    /// What came and was not looked at.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_limit_and_are_found_at_every_split() {
        let text = b"one\r\ntwo\n0123456789\r\n01234567890\r\n\r\nlast";
        for split in 0..text.len() {
            let mut lines = Lines::new(10);
            let mut found = Vec::new();
            let (a, b) = text.split_at(split);
            for piece in [a, b] {
                assert_eq!(lines.input(piece), piece.len());
                loop {
                    match lines.next() {
                        Line::NeedInput => break,
                        Line::Whole(line) => found.push(String::from_utf8(line).unwrap()),
                        Line::TooLong => found.push("!".to_owned()),
                    }
                }
            }
            assert_eq!(found, ["one", "two", "0123456789", "!", ""], "{split}");
            assert_eq!(lines.into_rest(), b"last");
        }
        let mut lines = Lines::new(10);
        assert_eq!(lines.input(&[b'x'; 20_000]), 10 + Lines::READ);
        assert_eq!(lines.next(), Line::NeedInput);
        assert!(lines.buffer.is_empty(), "a long line takes no memory");
    }
}
