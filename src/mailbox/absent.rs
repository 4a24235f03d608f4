//! Names below places that cannot be used now, as a namespace whose disk is not mounted: a client that is not told of
//! them any more throws away what it has of them, and downloads it again later.

use super::report::Report;
use super::{Account, Error, fault, store_fault};
use crate::mail::{DELIMITER, MailboxName};
use crate::store::Store;

impl Account {
    /// Every mailbox; of a place that cannot be used now those that the index knows.
    pub(super) fn names(&self, store: &mut dyn Store) -> Result<Vec<MailboxName>, Error> {
        let mut absent = Vec::new();
        let names = store.mailboxes_there(&mut absent);
        let names = names.map_err(store_fault("listing mailboxes"))?;
        self.with_known(names, &absent)
    }

    /// The mailboxes, sorted, of all places that can be used now; what names below the others begin with is added to
    /// `absent`.
    pub(crate) fn names_there(
        &self,
        absent: &mut Vec<MailboxName>,
    ) -> Result<Vec<MailboxName>, Error> {
        let names = self.0.store()?.mailboxes_there(absent);
        let mut names = names.map_err(store_fault("listing mailboxes"))?;
        crate::mail::sort(&mut names);
        Ok(names)
    }

    /// As `names_there`, for who tells of what is there.
    pub(super) fn names_or_tell(
        &self,
        report: &mut dyn FnMut(Report),
    ) -> Result<Vec<MailboxName>, Error> {
        let mut absent = Vec::new();
        let names = self.names_there(&mut absent)?;
        for prefix in absent {
            let prefix = format!("{prefix}{DELIMITER}");
            report(Report::Absent { prefix });
        }
        Ok(names)
    }

    /// The names that are subscribed to, as `names_there`.
    pub(crate) fn subscriptions_there(&self) -> Result<Vec<MailboxName>, Error> {
        let names = self.0.store()?.subscriptions_there(&mut Vec::new());
        let mut names = names.map_err(store_fault("reading subscriptions"))?;
        crate::mail::sort(&mut names);
        Ok(names)
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
