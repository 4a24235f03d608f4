//! A type for every number, so that a uid cannot be passed for a sequence number.

use std::num::{NonZeroU32, NonZeroU64};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(NonZeroU32);

        impl $name {
            /// `None` for 0, which no such number is.
            pub(crate) fn new(number: u32) -> Option<$name> {
                NonZeroU32::new(number).map($name)
            }

            pub(crate) fn number(self) -> u32 {
                self.0.get()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Unique identifier of a message in its mailbox (RFC 3501 section 2.3.1.1).
    Uid
);
impl Uid {
    pub(crate) const MIN: Uid = Uid(NonZeroU32::MIN);
    pub(crate) const MAX: Uid = Uid(NonZeroU32::MAX);

    /// The next higher one; `None` past 2^32-1.
    pub(crate) fn next(self) -> Option<Uid> {
        self.0.checked_add(1).map(Uid)
    }
}

number!(
    /// Message sequence number: the position in one session's view (RFC 3501 section 2.3.1.2).
    SeqNum
);
impl SeqNum {
    pub(crate) const MIN: SeqNum = SeqNum(NonZeroU32::MIN);
}

number!(
    /// Unique identifier validity value of a mailbox (RFC 3501 section 2.3.1.1).
    UidValidity
);

/// Mod-sequence of a change in a mailbox, 1 to 2^63-1 (RFC 7162 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModSeq(NonZeroU64);

impl ModSeq {
    pub(crate) const MIN: ModSeq = ModSeq(NonZeroU64::MIN);
    /// The highest that a client has to understand (RFC 7162 section 7).
    pub(crate) const MAX_NUMBER: u64 = (1 << 63) - 1;

    /// `None` for 0 and above 2^63-1.
    pub(crate) fn new(number: u64) -> Option<ModSeq> {
        NonZeroU64::new(number)
            .filter(|n| n.get() <= Self::MAX_NUMBER)
            .map(ModSeq)
    }

    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }

    /// The next higher one; stays at 2^63-1.
    pub(crate) fn next(self) -> ModSeq {
        ModSeq::new(self.number() + 1).unwrap_or(self)
    }
}

/// A mod-sequence that a client knows; 0 comes before all (`mod-sequence-valzer`, RFC 7162 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Since(u64);

impl Since {
    /// Everything came after it.
    pub(crate) const START: Since = Since(0);

    /// `None` above 2^63-1.
    pub(crate) fn new(number: u64) -> Option<Since> {
        (number <= ModSeq::MAX_NUMBER).then_some(Since(number))
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// True if what has this mod-sequence changed later.
    pub(crate) fn is_before(self, mod_seq: ModSeq) -> bool {
        self.0 < mod_seq.number()
    }
}

impl From<ModSeq> for Since {
    fn from(mod_seq: ModSeq) -> Since {
        Since(mod_seq.number())
    }
}

/// Names a mailbox inside one index file; never shown to a client, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MailboxId(pub(crate) u32);
