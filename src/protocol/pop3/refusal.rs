//! How faults are told to a client (RFC 2449 section 8, RFC 3206 section 4): the one place where errors
//! become text.

use crate::mailbox::Error;

/// The user has too many connections.
pub(crate) const BUSY: &str = "-ERR [SYS/TEMP] Too many connections of this user.\r\n";
pub(crate) const NO_MEMORY: &str = "-ERR [SYS/TEMP] Too little memory for another session.\r\n";
pub(crate) const UNAVAILABLE: &str = "-ERR [SYS/TEMP] The maildrop cannot be opened now.\r\n";

pub(super) const LOCKED: &str =
    "-ERR [IN-USE] Another POP3 session has the maildrop; try again later.\r\n";
pub(super) const NO_SUCH_MESSAGE: &str = "-ERR There is no such message.\r\n";
pub(super) const DELETED: &str = "-ERR The message is marked as deleted.\r\n";
pub(super) const NOT_PERMITTED: &str = "-ERR You may read here, and change nothing.\r\n";
pub(super) const TOO_LONG: &str = "-ERR The line is too long.\r\n";
pub(super) const UNKNOWN: &str = "-ERR Unknown command.\r\n";
pub(super) const ARGUMENTS: &str = "-ERR The arguments are wrong.\r\n";

/// The answer to a command that failed.
pub(super) fn refusal(error: Error) -> &'static str {
    match error {
        Error::Expunged => "-ERR The message was removed meanwhile.\r\n",
        Error::ReadOnly | Error::NotPermitted => NOT_PERMITTED,
        Error::Busy => "-ERR [IN-USE] Another program has the maildrop; try again later.\r\n",
        Error::Full => "-ERR [SYS/TEMP] The disk is full.\r\n",
        Error::Corrupt => "-ERR [SYS/PERM] Something is damaged; the server's log says what.\r\n",
        Error::NoSuchMailbox => "-ERR [SYS/TEMP] The maildrop was replaced; log in again.\r\n",
        _ => {
            "-ERR [SYS/TEMP] Something is wrong with the maildrop; the server's log says what.\r\n"
        }
    }
}
