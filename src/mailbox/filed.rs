//! Messages that have names in a mailbox and are not durable yet.

use super::account::Inner;
use super::append::Appended;
use super::arrive::{Arrived, Flight};
use super::handle::Handle;
use super::shared::Shared;
use super::{Error, store_fault};
use crate::mail::UidValidity;
use std::sync::Arc;

/// Messages that nobody is told of yet. Who files in several mailboxes before the first is finished lets the
/// file system make all durable at once; they are finished in the order in which they were filed, or who waits
/// for each other waits for ever. Those of one that is dropped are found by the next scan.
pub(crate) struct Filed {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Handle<Arc<Inner>>,
    pub(super) flight: Flight,
    pub(super) uid_validity: UidValidity,
    pub(super) arrived: Vec<Arrived>,
}

impl Filed {
    /// Makes them durable, then everybody may know them. If it fails none is there.
    pub(crate) fn finish(mut self) -> Result<Appended, Error> {
        let finished = self.settle();
        if finished.is_err() {
            let (promise, store) = (self.flight.promise, &mut *self.store);
            self.shared.abandon(promise, store, &self.arrived);
        }
        finished.map(|()| Appended {
            uid_validity: self.uid_validity,
            uids: self.arrived.iter().map(|a| a.filing.uid).collect(),
        })
    }

    fn settle(&mut self) -> Result<(), Error> {
        let store = &mut *self.store;
        let synced = store.sync();
        let synced = synced.and_then(|()| self.shared.fulfil(&self.flight, store));
        synced.map_err(store_fault("filing a message"))?;
        self.shared.publish(&self.flight, &self.arrived, store)
    }
}
