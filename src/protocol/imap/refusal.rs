//! How faults are told to a client (RFC 5530 section 3): the one place where errors become text.

use crate::mailbox::Error;
use crate::wire::imap::{Refusal, Syntax};
use std::borrow::Cow;

/// The response code and text of a NO.
pub(super) fn refusal(error: Error) -> String {
    let (code, text) = match error {
        Error::NoSuchMailbox => ("NONEXISTENT", "There is no such mailbox."),
        Error::MailboxExists => ("ALREADYEXISTS", "The mailbox exists already."),
        Error::InvalidName(why) => return format!("NO [CANNOT] Not possible: {why}."),
        Error::Cannot(why) => return format!("NO [CANNOT] Not possible: {why}."),
        Error::Limit(why) => return format!("NO [LIMIT] Not possible: {why}."),
        Error::Full => ("OVERQUOTA", "The disk is full; nothing was stored."),
        Error::TooLarge => ("TOOBIG", "The message is larger than this server accepts."),
        Error::TooManyEntries => ("METADATA TOOMANY", "Too many entries have values."),
        Error::EntryTooLong(octets) => {
            return format!("NO [METADATA MAXSIZE {octets}] A value is too long.");
        }
        Error::ReadOnly => ("NOPERM", "The mailbox is opened read-only."),
        Error::UnknownEncoding => (
            "UNKNOWN-CTE",
            "The encoding is not known, or binary octets do not say that they are.",
        ),
        Error::Expunged => ("EXPUNGEISSUED", "Some messages were expunged meanwhile."),
        Error::Busy => (
            "INUSE",
            "The mailbox is in use by another program; try again.",
        ),
        Error::Denied => (
            "UNAVAILABLE",
            "The mailbox cannot be used now; the server's log says why.",
        ),
        Error::Fault => (
            "SERVERBUG",
            "Something is wrong with the mailbox; the server's log says what.",
        ),
    };
    format!("NO [{code}] {text}")
}

/// The tagged response to a command that is not read to its end.
pub(super) fn refused(why: Refusal) -> Cow<'static, str> {
    let text = match why {
        Refusal::LineTooLong => "BAD [LIMIT] The line is too long.",
        Refusal::LiteralTooLarge => "BAD [LIMIT] The literal is too large.",
        // RFC 7888 section 5.
        Refusal::NotSynchronising => {
            "BAD [TOOBIG] A literal this long has to wait for a continuation."
        }
        Refusal::Malformed(syntax) => return syntax_error(syntax),
    };
    text.into()
}

/// The tagged response to a command that cannot be understood.
pub(super) fn syntax_error(syntax: Syntax) -> Cow<'static, str> {
    format!("BAD {}.", syntax.0).into()
}

/// As [`refusal`], for commands whose target the client could create (RFC 3501 section 7.1).
pub(super) fn refusal_of_target(error: Error) -> String {
    match error {
        Error::NoSuchMailbox => "NO [TRYCREATE] There is no such mailbox.".to_owned(),
        other => refusal(other),
    }
}
