//! How faults are told to a client (RFC 5530 section 3): the one place where errors become text.

use crate::mailbox::Error;
use crate::protocol::Output;
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
        Error::NotPermitted => ("NOPERM", "You may read here, and change nothing."),
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
        Error::Corrupt => (
            "CORRUPTION",
            "Something is damaged; the server's log says what.",
        ),
        Error::Unavailable | Error::Gone => (
            "UNAVAILABLE",
            "The disk cannot be used at the moment; the server's log says why.",
        ),
        Error::Fault => (
            "SERVERBUG",
            "The server has a defect; its log may say more.",
        ),
    };
    format!("NO [{code}] {text}")
}

/// Tells that some messages could not be read and were left out, if so (RFC 3501 section 7.1.2).
pub(super) fn warn(unread: Option<Error>, out: &mut Output) {
    let text: &[u8] = match unread {
        None => return,
        Some(Error::Corrupt) => {
            b"* NO [CORRUPTION] Some messages are damaged and left out; the server's log says which.\r\n"
        }
        Some(_) => {
            b"* NO [UNAVAILABLE] Some messages cannot be read now and are left out; the server's log says why.\r\n"
        }
    };
    out.put(text);
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
