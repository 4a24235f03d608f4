//! The lexical tokens of structured fields (RFC 5322 section 3.2), one cursor for all of them.

/// A cursor over a structured field value. Never fails: what is broken is taken as text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// atext of RFC 5322 section 3.2.3, and every octet above 127.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte) || byte >= 0x80
}

/// Token characters of RFC 2045 section 5.1, and every octet above 127.
fn is_token(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: text }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// What is not taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes one byte.
    pub(crate) fn bump(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// Takes `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.bump();
        }
        next
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|&b| !accept(b))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes blanks and comments; the text of the last comment goes to `comment` if there is one.
    pub(crate) fn skip_cfws(&mut self, comment: &mut Option<Vec<u8>>) {
        loop {
            self.take_while(is_blank);
            if self.peek() != Some(b'(') {
                return;
            }
            *comment = Some(self.comment());
        }
    }

    /// As `skip_cfws` where comments mean nothing.
    pub(crate) fn skip(&mut self) {
        self.skip_cfws(&mut None);
    }

    /// Takes a comment, nested ones included; returns its text.
    fn comment(&mut self) -> Vec<u8> {
        self.bump();
        let mut depth = 1;
        let mut text = Vec::new();
        while let Some(byte) = self.bump() {
            match byte {
                b'\\' => {
                    text.extend(self.bump());
                    continue;
                }
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\r' | b'\n' => continue,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            text.push(byte);
        }
        text.trim_ascii().to_vec()
    }

    /// Takes a quoted string if one is next; returns its text without the quoting. One without an
    /// end takes all the rest and gives nothing.
    pub(crate) fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.quoted_into(&mut text).then_some(text)
    }

    /// As `quoted`, but the end of the text ends a quoted string too.
    pub(crate) fn quoted_to_end(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let next = self.peek() == Some(b'"');
        self.quoted_into(&mut text);
        next.then_some(text)
    }

    /// False if there is no quoted string that ends.
    fn quoted_into(&mut self, text: &mut Vec<u8>) -> bool {
        if !self.eat(b'"') {
            return false;
        }
        while let Some(byte) = self.bump() {
            match byte {
                b'"' => return true,
                b'\\' => text.extend(self.bump()),
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
        }
        false
    }

    /// Takes an atom; empty if none is next.
    pub(crate) fn atom(&mut self) -> &'a [u8] {
        self.take_while(is_atext)
    }

    /// Takes a word of a display name, with everything that can be nothing else; empty if none is next.
    pub(crate) fn word(&mut self) -> &'a [u8] {
        self.take_while(|b| !is_blank(b) && !b"()<>@,;:\"".contains(&b))
    }

    /// Takes a MIME token; empty if none is next.
    pub(crate) fn token(&mut self) -> &'a [u8] {
        self.take_while(is_token)
    }

    /// Takes a domain literal `[...]` with its brackets.
    pub(crate) fn domain_literal(&mut self) -> Option<Vec<u8>> {
        if self.peek() != Some(b'[') {
            return None;
        }
        let mut text = Vec::new();
        while let Some(byte) = self.bump() {
            match byte {
                b'\\' => text.extend(self.bump()),
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
            if byte == b']' {
                break;
            }
        }
        Some(text)
    }

    /// Takes everything up to (not including) one of `stops`, for recovery.
    pub(crate) fn until(&mut self, stops: &[u8]) -> &'a [u8] {
        self.take_while(|b| !stops.contains(&b))
    }
}
