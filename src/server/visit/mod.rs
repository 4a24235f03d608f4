//! A visit: what a command of the administrator's reads and writes in the mail of one user, in the process that
//! has the index open. That is the user's engine, which gets the stream by way of the parent, or, where no
//! server runs, a thread of the command's own process ([`attend`]). Either way it is one dialogue, so a command
//! does the same online and alone.
//!
//! The guest asks ([`Ask`]), one thing after the other; the host tells ([`Tell`]). Both are frames, a length and
//! so many octets. Messages go over in pieces. Nothing is kept for a guest that leaves: whatever was told to be
//! filed is durable, the rest is not there.
//!
//! * To read: `Account` lists the mailboxes; `Look` lists a mailbox as of one moment; `Read` reads a message of it.
//!   `Forget` has the index forget what was computed from messages of it.
//! * To write: `Into` or `Found` chooses the mailbox; `File` and its octets hand messages over, `Commit`
//!   files what waits. `Into` compares GUIDs, if asked to, with those of messages that are there already, so
//!   that whoever begins anew adds nothing twice. `Found` gives a mailbox without messages the UIDVALIDITY and
//!   GUID of another one; only such a mailbox takes messages under given UIDs, and nothing else meanwhile.

mod ask;
mod guest;
mod host;
mod known;
mod tell;

pub(crate) use ask::Filed;
pub(crate) use guest::{Refused, Visit};
pub(crate) use host::{attend, refuse};
pub(crate) use tell::{Outcome, Reason, Roster};
