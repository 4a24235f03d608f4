//! mbox: all messages of a mailbox in one file, which other programs read, append to and write anew.
//!
//! What a message is stands in the file, in the fields of `field`: UID, flags, keywords; and in the first
//! message UIDVALIDITY, the last UID and all keywords. What changes is first a line in the log of the
//! mailbox (`line`), below `.imap/.dovelet/mailboxes`, and comes into the file later, in one go with all that
//! changed meanwhile (`settle`): a flag costs a line, and an expunge does not write the file anew
//! while somebody waits. The index knows nothing that file and log do not tell; where a log is gone or cut, it is
//! asked (`recall`). A file without messages says nothing, so that Dovecot would give UIDs again: one that Dovecot
//! knows has a first message that is none (`empty`).
//!
//! There may be more messages than memory. What is known of each is in rows (`rows`, `spans`, `compare`) and in sorted
//! lines (`folded`), both of which go on in files without names; in memory are sets of UIDs, as runs.
//!
//! ```text
//! what                          file                         log
//! bytes, INTERNALDATE           the message, its first line
//! GUID (EMAILID)                made of the bytes            F
//! UID                           X-UID                        F
//! flags, keywords a to z        Status, X-Status, X-Keywords M, until the file has them
//! other keywords                X-Keywords                   M, until it has those of the side file (`beyond`)
//! that it is expunged           it is not there              D, until the file has it not
//! save date, unique-id in POP3                               F, U
//! UIDVALIDITY, last UID,        X-IMAPbase of the first      V, N, K
//! keywords of the mailbox       message
//! ```
//!
//! States of a message (file: its bytes; sync: the file was synced since; line: F in the log):
//!
//! ```text
//! X1 -file                nothing
//! X2 +file -sync -line    nobody was told (the log has an A). After a power cut it is X3, or it is not whole: then it has
//!                         NULs or is shorter than it says, and is taken out when the file is next read
//! X3 +file +sync -line    there; only now LMTP and APPEND are answered
//! X4 +file +sync +line    the log says so
//! X5 +file +sync +D       expunged, durably; only now EXPUNGE is answered. `settle` takes it out
//! ```
//!
//! Of a message that was saved elsewhere before the line A is in the log's file before the message is in its own, and
//! durable before that: nothing else tells the save date.
//!
//! A delivery is an append and one sync. Headers whose fields have room change in their places: should a
//! power cut tear them, the log still says what they are to be. Everything else is written anew from the first
//! place that changes to the end of the file, and stands durably in a side file before (`rewrite`). The
//! file itself is never replaced by another: a program that has it open and waits for its lock would
//! write into one that nobody sees any more; and where INBOX is in /var/mail, nobody but root may
//! make files there.
//!
//! Not everything comes back as it was appended: the fields named above are left out, as are lines of a
//! header that look like the beginning of a message, and the last line of a header that is all of a message
//! gets an end. All else does, octet for octet, for Content-Length says where a message ends.

mod adopt;
mod append;
mod beyond;
mod compare;
mod digest;
mod draft;
mod empty;
mod field;
mod file;
mod folded;
mod from;
mod keywords;
mod layout;
mod lease;
mod letters;
mod line;
mod log;
mod mailboxes;
mod recall;
mod reconcile;
mod rewrite;
mod root;
mod rows;
mod scratchpad;
mod settle;
mod spans;
mod stat;
mod state;
mod store;
mod syncs;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use adopt::{adopt, hand_back, is_known, is_there};
pub(crate) use lease::Lease;
pub(crate) use letters::letters;
pub(crate) use store::Mbox;
