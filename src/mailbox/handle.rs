//! Store handles of an account.

use super::account::Inner;
use super::host::lock;
use super::memory::Memory;
use super::{Error, store_fault};
use crate::store::{self, Store};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Store handles kept for the next operation.
const MAX_KEPT: usize = 1;

/// Store handles that nobody uses.
#[derive(Default)]
pub(super) struct Handles {
    kept: Vec<Box<dyn Store>>,
    /// Changes when a name stands for another mailbox: older handles may still have that open.
    names: u32,
}

/// A store handle, given back when dropped. With an `Arc` it can be kept between the steps of a
/// command, with all that is still to be synced.
pub(super) struct Handle<A: Deref<Target = Inner>> {
    inner: A,
    store: Option<Box<dyn Store>>,
    names: u32,
}

impl<A: Deref<Target = Inner>> Handle<A> {
    fn take(inner: A) -> Result<Handle<A>, Error> {
        let (kept, names) = {
            let mut handles = lock(&inner.handles);
            (handles.kept.pop(), handles.names)
        };
        let store = match kept {
            Some(store) => store,
            None => inner.open()?,
        };
        Ok(Handle {
            inner,
            store: Some(store),
            names,
        })
    }

    /// Looks at names anew if one stands for another mailbox by now; true if it did, with another store, and what
    /// there was to settle is to be settled by others. Whoever has the locks of the
    /// mailboxes that it uses can rely on their names until it gives those up.
    pub(super) fn renew(&mut self) -> Result<bool, Error> {
        let names = lock(&self.inner.handles).names;
        if names != self.names {
            self.sync().map_err(store_fault("syncing a mailbox"))?;
            self.store = Some(self.inner.open()?);
            self.names = names;
            return Ok(true);
        }
        Ok(false)
    }
}

impl<A: Deref<Target = Inner>> Deref for Handle<A> {
    type Target = dyn Store;
    fn deref(&self) -> &(dyn Store + 'static) {
        match &self.store {
            Some(store) => &**store,
            None => unreachable!("a handle holds its store until it is dropped"),
        }
    }
}

impl<A: Deref<Target = Inner>> DerefMut for Handle<A> {
    fn deref_mut(&mut self) -> &mut (dyn Store + 'static) {
        match &mut self.store {
            Some(store) => &mut **store,
            None => unreachable!("a handle holds its store until it is dropped"),
        }
    }
}

impl<A: Deref<Target = Inner>> Drop for Handle<A> {
    fn drop(&mut self) {
        let mut handles = lock(&self.inner.handles);
        if handles.kept.len() < MAX_KEPT && handles.names == self.names {
            handles.kept.extend(self.store.take());
        }
    }
}

impl Inner {
    pub(super) fn store(&self) -> Result<Handle<&Inner>, Error> {
        Handle::take(self)
    }

    /// As `store`, to be kept.
    pub(super) fn own_store(self: &Arc<Self>) -> Result<Handle<Arc<Inner>>, Error> {
        Handle::take(self.clone())
    }

    fn open(&self) -> Result<Box<dyn Store>, Error> {
        self.refuse_gone()?;
        let (at, limits) = (&self.location, &self.host.limits);
        let memory = Memory::of(&self.host, self.id);
        let (form, octets) = (at.form.clone(), limits.mdbox_rotate_octets);
        let opened = store::open_with(&at.root, form, octets, Some(memory));
        opened.map_err(store_fault("opening the mail"))
    }

    /// A name was given to another mailbox, or is free.
    pub(super) fn rename_handles(&self) {
        let mut handles = lock(&self.handles);
        handles.kept.clear();
        handles.names = handles.names.wrapping_add(1);
    }
}
