//! Comparing what comes with what a mailbox has already, so that no message comes twice.

use super::host::lock;
use super::shared::Shared;
use super::{Account, Error, fault};
use crate::mail::{Guid, MailboxName};
use crate::store::origin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// For so long one waits for another who compares: whose client is gone files what came before.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });

/// While it is there nobody else compares anything with the mailbox.
pub(crate) struct Comparing(Arc<Shared>);

impl Drop for Comparing {
    fn drop(&mut self) {
        lock(&self.0.state).comparing = false;
        self.0.compared.notify_one();
    }
}

impl Account {
    /// Waits until nobody else compares with the mailbox. Errors: `Busy` if that takes too long.
    pub(crate) fn compare(&self, name: &MailboxName) -> Result<Comparing, Error> {
        let shared = self.shared(name)?;
        let state = lock(&shared.state);
        let waited = shared
            .compared
            .wait_timeout_while(state, PATIENCE, |state| state.comparing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.comparing, true) {
            return Err(Error::Busy);
        }
        drop(state);
        Ok(Comparing(shared))
    }

    /// What the messages of a mailbox are known by, in ascending order, equal ones too. Errors: `Limit` if
    /// there are more than `sort_octets` holds.
    pub(crate) fn guids(&self, name: &MailboxName) -> Result<Vec<Guid>, Error> {
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        let mut state = lock(&shared.state);
        shared.refresh_summary(&mut state, &mut *store)?;
        let count = state.summary.as_ref().map_or(0, |s| s.messages);
        drop(state);
        drop(store);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count.saturating_mul(size_of::<Guid>()) > self.0.host.limits.sort_octets {
            return Err(Error::Limit("the mailbox has too many messages to compare"));
        }
        let mut guids = Vec::with_capacity(count);
        let reading = fault("reading the index");
        let reader = self.0.host.index.read().map_err(&reading)?;
        let read = reader.each_names(shared.id, &mut |_, chunk| {
            let names = chunk.names.iter();
            guids.extend(names.map(|name| Guid::of(origin(&name.base).as_bytes())));
        });
        read.map_err(&reading)?;
        crate::mail::sort_by(&mut guids, |a: &Guid, b| a.0.cmp(&b.0));
        Ok(guids)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::name;
    use super::*;

    #[test]
    fn one_compares_at_a_time() {
        let (account, _directory) = Account::temporary_of(crate::config::Format::Maildir);
        let inbox = name("INBOX");
        let first = account.compare(&inbox).unwrap();
        assert!(matches!(account.compare(&inbox), Err(Error::Busy)));
        account.create(&name("other")).unwrap();
        drop(account.compare(&name("other")).unwrap());
        let waiter = std::thread::spawn({
            let (account, inbox) = (account.clone(), inbox.clone());
            move || account.compare(&inbox).map(drop)
        });
        drop(first);
        assert_eq!(waiter.join().unwrap(), Ok(()));
        drop(account.compare(&inbox).unwrap());
    }
}
