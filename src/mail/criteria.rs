//! What a SEARCH asks for (RFC 3501 section 6.4.4), as a value.

use super::date::Date;
use super::flag::{Keyword, SystemFlags};
use super::number::Since;
use super::object_id::ObjectId;
use super::order::Threading;
use super::set::SequenceSet;

/// A tree of search keys. Strings are UTF-8; the charset of the command is already undone.
/// Its depth and number of keys are bounded by whoever builds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Criteria {
    All,
    And(Vec<Criteria>),
    Or(Box<Criteria>, Box<Criteria>),
    Not(Box<Criteria>),
    /// A set of message sequence numbers, resolved against the view.
    Seq(SequenceSet),
    Uid(SequenceSet),
    /// Has this system flag.
    Flag(SystemFlags),
    Keyword(Keyword),
    Recent,
    Before(DateField, Date),
    On(DateField, Date),
    Since(DateField, Date),
    /// Changed at this mod-sequence or later (RFC 7162 section 3.1.5).
    ModSeq(Since),
    /// Arrived that many seconds ago or earlier (RFC 5032 section 2).
    Older(u32),
    /// Arrived within the last so many seconds.
    Younger(u32),
    /// RFC 8474 section 6; `None`: what no message is called.
    EmailId(Option<ObjectId>),
    ThreadId(Option<ObjectId>),
    /// Octets, as RFC822.SIZE.
    Larger(u64),
    Smaller(u64),
    Header(HeaderField, String),
    /// Addresses of a header field as ENVELOPE has them.
    Address(HeaderField, String),
    /// Any part of the body, decoded.
    Body(String),
    /// Any header, those of parts and of messages inside included, or the body.
    Text(String),
    /// In a thread with a message that meets these (draft-ietf-morg-inthread).
    InThread(Threading, Box<Criteria>),
}

impl Criteria {
    /// True if a key anywhere in it is about mod-sequences; the answer then tells the highest one.
    pub(crate) fn asks_mod_seq(&self) -> bool {
        match self {
            Criteria::And(all) => all.iter().any(Criteria::asks_mod_seq),
            Criteria::Or(a, b) => a.asks_mod_seq() || b.asks_mod_seq(),
            Criteria::Not(inner) | Criteria::InThread(_, inner) => inner.asks_mod_seq(),
            key => matches!(key, Criteria::ModSeq(_)),
        }
    }

    /// True if whether a message meets them depends on it alone, not on other messages or the time.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Criteria::And(all) => all.iter().all(Criteria::is_lasting),
            Criteria::Or(a, b) => a.is_lasting() && b.is_lasting(),
            Criteria::Not(inner) => inner.is_lasting(),
            key => !matches!(
                key,
                Criteria::InThread(..) | Criteria::Older(_) | Criteria::Younger(_)
            ),
        }
    }

    /// True if a key anywhere in it names messages by number.
    pub(crate) fn numbers_messages(&self) -> bool {
        match self {
            Criteria::And(all) => all.iter().any(Criteria::numbers_messages),
            Criteria::Or(a, b) => a.numbers_messages() || b.numbers_messages(),
            Criteria::Not(inner) | Criteria::InThread(_, inner) => inner.numbers_messages(),
            key => matches!(key, Criteria::Seq(set) if !set.is_saved()),
        }
    }
}

/// Which date of a message a date key looks at; time and zone are disregarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateField {
    Internal,
    /// When it came into the mailbox (RFC 8514 section 3).
    Saved,
    /// The Date: header field.
    Sent,
}

/// A header field name, matched without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderField(pub(crate) String);
