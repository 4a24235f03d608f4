//! Names below places that cannot be used now, as a namespace whose disk is not mounted: a client that is not told of
//! them any more throws away what it has of them, and downloads it again later.

use super::{Account, Error, fault, store_fault};
use crate::mail::MailboxName;
use crate::store::Store;

impl Account {
    /// Every mailbox; of a place that cannot be used now those that the index knows.
    pub(super) fn names(&self, store: &mut dyn Store) -> Result<Vec<MailboxName>, Error> {
        let mut absent = Vec::new();
        let names = store.mailboxes_there(&mut absent);
        let names = names.map_err(store_fault("listing mailboxes"))?;
        self.with_known(names, &absent)
    }

    /// Every name that is subscribed to; of a place that cannot be used now, whose subscriptions nobody can tell,
    /// all that the index knows.
    pub(super) fn subscribed(&self, store: &mut dyn Store) -> Result<Vec<MailboxName>, Error> {
        let mut absent = Vec::new();
        let names = store.subscriptions_there(&mut absent);
        let names = names.map_err(store_fault("reading subscriptions"))?;
        self.with_known(names, &absent)
    }

    fn with_known(
        &self,
        mut names: Vec<MailboxName>,
        absent: &[MailboxName],
    ) -> Result<Vec<MailboxName>, Error> {
        if absent.is_empty() {
            return Ok(names);
        }
        let reading = fault("reading the index");
        let reader = self.0.host.index.read().map_err(&reading)?;
        for prefix in absent {
            let known = reader.mailboxes_below(self.0.id, prefix);
            names.extend(known.map_err(&reading)?);
        }
        Ok(names)
    }
}
