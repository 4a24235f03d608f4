//! What is known of mailboxes elsewhere than in their store, which asks where it lost what it knew itself.

use super::{BlobId, Error, MailboxState};
use crate::mail::{MailboxName, Uid};

/// What is told of a message: its UID, what the store called it, and what POP3 calls it if that was said.
pub(crate) type Remember<'a> = dyn FnMut(Uid, BlobId, Option<&str>) -> Result<(), Error> + 'a;

/// Whoever remembers what a store said.
pub(crate) trait Memory: Send + Sync {
    /// Tells `each` of every message of a mailbox, ascending, and returns what is known of the mailbox itself.
    /// `None`: nothing is. What is told may be of another time, or of other mail: the store compares it.
    fn recall(
        &self,
        name: &MailboxName,
        each: &mut Remember<'_>,
    ) -> Result<Option<Recalled>, Error>;
}

/// What is known of a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Recalled {
    pub(crate) state: MailboxState,
    /// Whatever the store said last is known. Else what came at last may be missing, and what went may be told.
    pub(crate) complete: bool,
}
