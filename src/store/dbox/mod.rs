//! sdbox and mdbox, whose message files Dovecot reads.
//!
//! A message stands in a file with a frame around it (`framing`): in mdbox many in each `storage/m.N`,
//! one behind the other, which is never written again; in sdbox each in `mailboxes/NAME/dbox-Mails/u.UID`.
//! What is different in the two is behind one trait (`messages`). Which messages a mailbox has, under which UIDs and
//! with which flags, says its own log, `mailboxes/NAME/dbox-Mails/dovelet.log` (`log`): lines that are
//! only added, each with a checksum; what the end of the file lacks was not acknowledged. So what the
//! index knows can be rebuilt here as it can for Maildir, flags included, and a copy is a line. The other way round,
//! the index is asked where a log is gone, or lines of it cannot be read (`recall`): the messages that are still in
//! their files have their UIDs, flags and keywords from there. Where neither knows, UIDs are new in mdbox.
//!
//! ```text
//! what                          mdbox                                         sdbox
//! bytes, INTERNALDATE, GUID     m.N (R, G); the log has the last two and      u.UID; the log, too
//!                               the sizes, too
//! UID, mailbox                  the log; B in m.N has the mailbox it came     the name u.UID
//!                               to first, U the UID, until the log has it
//! flags, keywords a to z,       the log                                       the log; else none, and
//! save date                                                                   the time of the file
//! UIDVALIDITY, GUID, keywords   the log's first line, and its lines K         so, too
//! of a mailbox
//! what UIDs were given          every line F and X there ever was; N after    these, and every name
//!                               the log was written anew
//! references                    lines F of all logs that name the place       links
//! ```
//!
//! States of a message in mdbox (frame: its bytes in m.N; line: F in the log, not followed by X):
//!
//! ```text
//! B1 -frame -line   nothing; or an end of m.N that was written by half: nobody writes behind it
//! B2 +frame -line   saved, not named: nobody was told; or expunged: `purge` takes it
//! B3 +frame ~line   the line is not durable yet: after a power cut it is B2 or B4; of a message that came alone,
//!                   whose frame says under which UID, it is B4, and LMTP and APPEND are answered now
//! B4 +frame +line   there; only now they are answered where the frame does not say that
//! ```
//!
//! So a delivery syncs the file of messages alone (see `arrival` and `missing`). Its line waits in memory for the next
//! sync of the log, which a flush brings if nothing else does, a second later. What keywords need, several messages
//! of one APPEND, and messages too large for memory have their lines synced.
//!
//! Flags alone may lag: a line M is in the file before anybody is told, and durable with the next sync of the log, which
//! a flush brings if nothing else does.
//!
//! The frame is durable before the line is in the file, all lines that tell of one file of messages before the next file
//! begins, the line in the target of a MOVE before that of the source says X, and lines are durable in the order in
//! which they stand, so that no line names what is not there.
//!
//! Some files of an mdbox lie in a second directory (`[storage] alternate`), with numbers of the same row, so that
//! a line finds its message wherever the file is. They come and go as in a purge: copied, named by lines,
//! and only then removed. `storage/dovelet-alternate` says that there is such a directory: where it cannot be seen,
//! no number is given, no message is taken for gone, and no lost log is made anew of what is left. `storage/dovelet-number` has the last number that was
//! given, durable before there is a file with it: no number is given again, whatever becomes of the file.
//!
//! And in sdbox (line: F in the log; gone: X; bare: it has no flags, and is no copy):
//!
//! ```text
//! S1 .temp file          nothing; swept after 36 hours
//! S2 u.UID -line         a bare message is there; only now LMTP and APPEND are answered
//! S3 .temp file +line    another is on its way: nobody was told
//! S4 u.UID +line         there; only now APPEND and COPY are answered
//! S5 u.UID +gone         expunged, only now EXPUNGE is answered; the file goes, at the next scan if not now
//! S6 -file +line         expunged, though nobody was told; of those at the end of the log a restore that was broken off
//!                        goes on with the first
//! ```
//!
//! A file that is expunged is gone durably before the log is written anew without its line X.

mod allowance;
mod arrival;
mod attachments;
mod draft;
mod files;
mod folded;
mod framing;
mod fresh;
mod group;
mod handback;
mod indexed;
mod layout;
mod line;
mod log;
mod mailboxes;
mod mdbox;
mod messages;
mod missing;
#[cfg(test)]
mod missing_tests;
mod octets;
mod purge;
mod recall;
mod record;
mod recover;
mod root;
mod sdbox;
mod source;
mod staged;
mod store;
mod takeover;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use allowance::set_draft_octets;
pub(crate) use handback::hand_back;
pub(crate) use store::Dbox;
pub(crate) use takeover::{adopt, format_of, has_files, has_mailboxes};
