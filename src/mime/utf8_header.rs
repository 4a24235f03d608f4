//! Whether a header that comes in pieces is text in UTF-8 (RFC 6532 section 3.1).

/// The header of one message, as far as it came.
pub(crate) struct Utf8Header {
    /// The header is over; what follows is the body's.
    ended: bool,
    /// Nothing but CR came in this line.
    blank: bool,
    /// The beginning of a character that is not whole yet, at most three octets.
    begun: Vec<u8>,
}

impl Utf8Header {
    pub(crate) fn new() -> Utf8Header {
        Utf8Header {
            ended: false,
            blank: true,
            begun: Vec::new(),
        }
    }

    /// Takes a piece of the message, split anywhere; `false` if it is `said` to be UTF-8, belongs to the
    /// header and is not.
    pub(crate) fn takes(&mut self, piece: &[u8], said: bool) -> bool {
        let own = self.of_header(piece);
        if own.is_empty() || !said {
            return true;
        }
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(own);
        match std::str::from_utf8(&text) {
            Ok(_) => true,
            Err(fault) if fault.error_len().is_none() => {
                self.begun = text.split_off(fault.valid_up_to());
                true
            }
            Err(_) => false,
        }
    }

    /// False if it ends in the middle of a character.
    pub(crate) fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }

    /// What of the piece is the header's.
    fn of_header<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.ended {
            return &[];
        }
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'\n' if self.blank => {
                    self.ended = true;
                    return piece.get(..at).unwrap_or_default();
                }
                b'\n' => self.blank = true,
                b'\r' => {}
                _ => self.blank = false,
            }
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(message: &[u8], piece: usize, said: bool) -> bool {
        let mut header = Utf8Header::new();
        let mut pieces = message.chunks(piece);
        pieces.all(|piece| header.takes(piece, said)) && header.is_whole()
    }

    #[test]
    fn only_the_header_counts() {
        let good: [&[u8]; 6] = [
            b"",
            b"Subject: x",
            "Subject: \u{fc}\u{20ac}\u{1f600}\r\n\r\n".as_bytes(),
            "A: \u{fc}\n\nbody \u{fc}".as_bytes(),
            b"A: b\r\n\r\n\xff",
            b"\n\xff",
        ];
        let bad: [&[u8]; 5] = [
            b"A: \xff\r\n\r\n",
            b"A: b\r\n\xfc: x\r\n\r\nbody",
            b"A: \xed\xa0\x80\n\n",
            b"A: \xe2\x82\r\n\r\n",
            b"A: \xe2\x82",
        ];
        for piece in [1, 2, 3, 1000] {
            for message in good {
                assert!(taken(message, piece, true), "{}", message.escape_ascii());
            }
            for message in bad {
                assert!(!taken(message, piece, true), "{}", message.escape_ascii());
                assert!(taken(message, piece, false));
            }
        }
        // Only what is said to be UTF-8.
        let mut header = Utf8Header::new();
        assert!(header.takes(b"A: \xff\n", false) && header.takes("B: \u{fc}\n".as_bytes(), true));
        assert!(!header.takes(b"C: \xff\n", true));
    }
}
