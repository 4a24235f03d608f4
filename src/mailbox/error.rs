//! What can go wrong with an account, as far as a client may know it.

use crate::mail::InvalidName;

/// Why an account could not do what was asked. Faults were logged with their detail where they
/// happened; this says only what to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    NoSuchMailbox,
    MailboxExists,
    InvalidName(InvalidName),
    /// The mailbox cannot be deleted, renamed or made (INBOX, a name with children, ...).
    Cannot(&'static str),
    /// A named limit is reached.
    Limit(&'static str),
    /// The disk is full; nothing was kept.
    Full,
    /// The message is larger than allowed.
    TooLarge,
    ReadOnly,
    /// The message was expunged meanwhile.
    Expunged,
    /// Something is held by another program for too long; try again.
    Busy,
    /// Damage or an I/O error; logged.
    Fault,
}
