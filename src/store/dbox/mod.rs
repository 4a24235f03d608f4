//! sdbox and mdbox, whose message files Dovecot reads.
//!
//! A message stands in a file with a frame around it (`framing`): in mdbox many in each `storage/m.N`,
//! one behind the other, which is never written again. Which messages a mailbox has, under which UIDs and
//! with which flags, says its own log, `mailboxes/NAME/dbox-Mails/dovelet.log` (`log`): lines that are
//! only added, each with a checksum; what the end of the file lacks was not acknowledged. So what the
//! index knows can be rebuilt here as it can for Maildir, flags included, and a copy is a line.
//!
//! ```text
//! what                          mdbox
//! bytes, INTERNALDATE, GUID     m.N (R, G); the log has the last two and the sizes, too
//! UID, mailbox, flags,          the log of the mailbox; B in m.N has the mailbox it came to first
//! keywords a to z, save date
//! UIDVALIDITY, GUID, keywords   the log's first line, and its lines K
//! of a mailbox
//! what UIDs were given          every line F there ever was; N after the log was written anew
//! references                    lines F of all logs that name the place in m.N
//! ```
//!
//! States of a message (frame: its bytes in m.N; line: F in the log, not followed by X):
//!
//! ```text
//! B1 -frame -line   nothing; or an end of m.N that was written by half: nobody writes behind it
//! B2 +frame -line   saved, not named: nobody was told; or expunged: `purge` takes it
//! B3 +frame ~line   the line is not durable yet: after a power cut it is B2 or B4
//! B4 +frame +line   there; only now LMTP and APPEND are answered
//! ```
//!
//! The frame is durable before the line is written, the line in the target of a MOVE before that of
//! the source says X, and lines are durable in the order in which they stand, so that no line names what is not there.

mod draft;
mod files;
mod framing;
mod group;
mod layout;
mod line;
mod log;
mod mailboxes;
mod mdbox;
mod purge;
mod record;
mod recover;
mod root;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use mdbox::Mdbox;
