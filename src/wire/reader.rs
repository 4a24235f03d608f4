//! One cursor for all grammars.

/// What one command may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Ranges of a set.
    pub(crate) set_ranges: usize,
    pub(crate) search_keys: usize,
    /// Nesting of search keys; each level takes stack.
    pub(crate) search_depth: usize,
    /// Strings are UTF-8 and mailbox names are no modified UTF-7 (RFC 6855 section 3, RFC 9051 appendix A).
    pub(crate) utf8: bool,
    /// SEARCH may name a charset (RFC 6855 section 3: not any more).
    pub(crate) charset: bool,
}

impl Bounds {
    /// For who has no settings.
    pub(crate) const USUAL: Bounds = Bounds {
        set_ranges: 10_000,
        search_keys: 2000,
        search_depth: 50,
        utf8: false,
        charset: true,
    };
}

/// A cursor over the bytes of one command.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    bounds: Bounds,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader::within(bytes, Bounds::USUAL)
    }

    pub(crate) fn within(bytes: &'a [u8], bounds: Bounds) -> Reader<'a> {
        Reader {
            rest: bytes,
            bounds,
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `word` if it is next, in any case.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let head = self.rest.get(..word.len());
        let next = head.is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
        if next {
            self.take(word.len());
        }
        next
    }

    /// Takes up to `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Takes bytes as long as they are accepted.
    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|&b| !accept(b))
            .unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Takes a decimal number of at most `max`.
    pub(crate) fn number(&mut self, max: u64) -> Option<u64> {
        let mut ahead = self.clone();
        let digits = ahead.take_while(|b| b.is_ascii_digit());
        let number = std::str::from_utf8(digits)
            .ok()?
            .parse()
            .ok()
            .filter(|n| *n <= max)?;
        *self = ahead;
        Some(number)
    }
}
