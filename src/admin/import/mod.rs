//! `dovelet import`: messages of files, of Maildirs and of other programs' directories are added to the mail of
//! a user, while the server runs or without it.
//!
//! What is to be imported is found out first (`plan`): each file of mbox and each directory with messages
//! becomes a mailbox below `-m`. Files are read by this process, as whoever runs it, and their messages handed
//! over to the engine of the user, some at a time, which files them as it does those of APPEND: they are durable
//! when it answers, and sessions see them at once.
//!
//! No journal is kept. A message gets a GUID that is made of its octets, and one whose GUID a message
//! of the mailbox has already is left out; of equal ones as many come as there are more of them. So an import that
//! was broken off, at whatever point, is begun again and adds the rest; and one of a file that grew adds what is
//! new. (An mbox makes GUIDs of the octets in any case.) Messages that were moved elsewhere or expunged
//! after they were imported come again, which is what whoever imports again asks for.
//!
//! INTERNALDATE is what the line `From ` of an mbox or the time of a Maildir's file says; a file with one message
//! has it from the last field Received, else from Date, else from the time of the file. Flags are those
//! of Status, X-Status and X-Keywords, or of the name of the file with `dovecot-keywords`.

mod command;
mod dates;
mod plan;

pub(crate) use command::{Import, run};
