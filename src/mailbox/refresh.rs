//! Whether a mailbox is as its directories or its file are, and what to do where that is not known.

use super::host::lock;
use super::shared::{Shared, State, array};
use super::{Error, fault, mailbox_fault};
use crate::index::Summary;
use crate::store::{Stamp, Store};
use std::sync::Arc;

impl Shared {
    /// Has the directories watched that the mailbox has now. They stay watched until it is forgotten.
    pub(super) fn attend(self: &Arc<Self>, state: &State, store: &dyn Store) {
        let Some(watch) = &self.host.watch else {
            return;
        };
        let numbers = match store.watched_file(&state.name) {
            Some(file) => watch.add_file(self, &file),
            None => watch.add(self, &store.watched(&state.name)),
        };
        let numbers = numbers.unwrap_or_default();
        let mut old = lock(&self.events).attend(numbers.clone(), !store.is_remote(&state.name));
        old.retain(|number| !numbers.contains(number));
        watch.remove(&old, Arc::as_ptr(self));
    }

    /// Nobody has it open: its directories are watched from now on, if they were not or are others
    /// now; a side file that somebody else wrote, which no watch sees, is reason to look at all.
    pub(super) fn revisit(self: &Arc<Self>, state: &mut State, store: &mut dyn Store) {
        self.attend(state, store);
        let list = store.listed_at(&state.name).unwrap_or(0);
        if listed_at(state) != Some(list) {
            lock(&self.events).doubt();
        }
        state.revisited = crate::sys::clock::now();
    }

    /// True if the index is known to be in line with the directories without a look at them.
    pub(super) fn is_undisturbed(&self, state: &State) -> bool {
        self.drain();
        let known = !state.deleted && state.caught_up && state.summary.is_some();
        known && lock(&self.events).undisturbed() == Some(true)
    }

    /// Compares the mailbox with its directories if anybody else may have changed them; knows its
    /// UIDs then.
    pub(super) fn refresh(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        self.refresh_summary(state, store)?;
        self.load_uids(state)
    }

    /// As `refresh`, for whom the summary is enough.
    pub(super) fn refresh_summary(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        state.refuse_deleted()?;
        self.drain();
        if state.summary.is_some() && state.caught_up {
            let undisturbed = lock(&self.events).undisturbed();
            if undisturbed == Some(true) {
                return Ok(());
            }
            if undisturbed.is_none() {
                self.begin_look(state, store);
                let stamp = store.stamp(&state.name).map_err(mailbox_fault(
                    "looking at",
                    &*store,
                    &state.name,
                ))?;
                if state.summary.as_ref().is_some_and(|s| is_current(s, stamp)) {
                    self.verify();
                    return Ok(());
                }
            }
        }
        super::resync::resync(self, state, store)
    }

    /// The mailbox is about to be looked at, where its watch does not see all: what it tells from now on is news. It
    /// may have lost what it watched, or another file has that name by now.
    fn begin_look(self: &Arc<Self>, state: &State, store: &dyn Store) {
        let hinted = {
            let mut events = lock(&self.events);
            let hinted = !events.sees_all() && events.is_dirty();
            if hinted {
                events.restart();
            }
            hinted
        };
        if hinted {
            self.attend(state, store);
        }
    }

    /// As `refresh`, in the middle of an operation that began with it: what events tell is looked at,
    /// and nothing else.
    pub(super) fn catch_up(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        state.refuse_deleted()?;
        self.drain();
        if lock(&self.events).undisturbed() == Some(false) {
            super::resync::resync(self, state, store)?;
        }
        self.load_uids(state)
    }

    /// Reads the UIDs from the index.
    pub(super) fn load_uids(&self, state: &mut State) -> Result<(), Error> {
        if state.uids.is_none() {
            let reader = self.host.index.read().map_err(fault("reading the index"))?;
            let uids = reader.uids(self.id).map_err(fault("reading the index"))?;
            state.uids = Some(uids);
        }
        Ok(())
    }

    /// Makes sure that a new UID can be given: nobody else gave one since we last looked.
    pub(super) fn prepare_to_add(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        state.refuse_deleted()?;
        let Some(summary) = state.summary.as_ref().filter(|_| state.caught_up) else {
            return super::resync::resync(self, state, store);
        };
        if self.looks_clean() {
            return Ok(());
        }
        let list = store.listed_at(&state.name).map_err(mailbox_fault(
            "looking at",
            &*store,
            &state.name,
        ))?;
        if list == summary.stamp.get(2).copied().unwrap_or(0) {
            Ok(())
        } else {
            super::resync::resync(self, state, store)
        }
    }
}

/// True if nothing can have changed since the summary's stamp was taken.
pub(super) fn is_current(summary: &Summary, stamp: Stamp) -> bool {
    summary.stamp == array(stamp) && stamp.is_settled(summary.stamp_time)
}

/// When the side file was last written as we know it.
pub(super) fn listed_at(state: &State) -> Option<i64> {
    state.summary.as_ref().and_then(|s| s.stamp.get(2).copied())
}
