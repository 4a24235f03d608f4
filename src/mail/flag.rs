//! System flags and keywords.

use std::cmp::Ordering;
use std::fmt;

/// The system flags of RFC 3501 section 2.3.2 but `\Recent`, which belongs to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SystemFlags(u8);

impl SystemFlags {
    pub(crate) const NONE: SystemFlags = SystemFlags(0);
    pub(crate) const ANSWERED: SystemFlags = SystemFlags(1);
    pub(crate) const FLAGGED: SystemFlags = SystemFlags(2);
    pub(crate) const DELETED: SystemFlags = SystemFlags(4);
    pub(crate) const SEEN: SystemFlags = SystemFlags(8);
    pub(crate) const DRAFT: SystemFlags = SystemFlags(16);
    /// Every system flag with its IMAP name, in the order they are listed to clients.
    pub(crate) const ALL: [(SystemFlags, &'static str); 5] = [
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::SEEN, "\\Seen"),
        (SystemFlags::DRAFT, "\\Draft"),
    ];

    /// Bits above the five flags are dropped.
    pub(crate) fn from_bits(bits: u8) -> SystemFlags {
        SystemFlags(bits & 31)
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// True if every flag of `other` is in this set.
    pub(crate) fn contains(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn with(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 | other.0)
    }

    pub(crate) fn without(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flag of that name, in any case, with the backslash.
    pub(crate) fn named(name: &str) -> Option<SystemFlags> {
        Self::ALL
            .iter()
            .find(|(_, n)| n.eq_ignore_ascii_case(name))
            .map(|&(flag, _)| flag)
    }
}

/// A keyword: a flag that users and clients name (RFC 3501 section 2.3.2). Compared without
/// regard to ASCII case, kept as first written.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Keyword(Box<str>);

impl Keyword {
    /// Longest keyword in octets.
    pub(crate) const MAX_OCTETS: usize = 255;

    /// `None` unless `name` is an atom of 1 to 255 octets (RFC 3501 section 9, flag-keyword).
    pub(crate) fn new(name: &str) -> Option<Keyword> {
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        let valid = !name.is_empty() && name.len() <= Self::MAX_OCTETS && name.bytes().all(atom);
        valid.then(|| Keyword(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Keyword) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Keyword) -> Ordering {
        let lower = |keyword: &Keyword| keyword.0.to_ascii_lowercase();
        lower(self).cmp(&lower(other))
    }
}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Keyword) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Flags of one message by name, as a client writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) system: SystemFlags,
    pub(crate) keywords: Vec<Keyword>,
}
