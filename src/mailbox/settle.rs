//! What waits to be written of a mailbox, and when nobody has it open any more.

use super::host::lock;
use super::refresh::listed_at;
use super::shared::{Shared, State, array, side_state};
use super::{Error, mailbox_fault};
use crate::mail::Uid;
use crate::store::Store;
use std::sync::Arc;

/// Runs of UIDs that are kept in memory though nobody has the mailbox open.
const MAX_IDLE_RUNS: usize = 1024;

impl Shared {
    /// One view less. What its watch knows is noted for a time without one.
    pub(super) fn leave(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.views = state.views.saturating_sub(1);
        if state.views > 0 {
            return;
        }
        let runs = state.uids.as_ref().map_or(0, |uids| uids.runs().len());
        if runs > MAX_IDLE_RUNS {
            state.uids = None;
        }
        let account = self.account.upgrade();
        if let Some(mut store) = account.as_ref().and_then(|account| account.store().ok()) {
            self.note_stamp(&mut state, &mut *store);
        }
        drop(state);
        if self.needs_trim() {
            self.host.trim_later(self);
        }
    }

    /// Takes the stamp of directories that the watch tells to be as the index has them.
    fn note_stamp(self: &Arc<Self>, state: &mut State, store: &mut dyn Store) {
        let time = crate::sys::clock::file_time();
        let Ok(stamp) = store.stamp(&state.name) else {
            return;
        };
        // A foreign change before now shows in the events, one after `time` in the next stamp.
        self.drain();
        let at_rest = lock(&self.events).at_rest() && state.flights.is_empty();
        let at_rest = at_rest && listed_at(state) == Some(stamp.list);
        let Some(summary) = state.summary.as_mut().filter(|_| at_rest) else {
            return;
        };
        let same = summary.stamp == array(stamp);
        if !same || !stamp.is_settled(summary.stamp_time) && stamp.is_settled(time) {
            summary.stamp = array(stamp);
            summary.stamp_time = time;
            self.host.settle_later(self);
        }
    }

    /// Writes what waits: lines for the side file, flags, the summary. What fails is logged.
    pub(super) fn settle(self: &Arc<Self>) -> Result<(), Error> {
        self.settle_all(true)
    }

    /// As `settle`, of flags alone.
    pub(super) fn sync_flags(self: &Arc<Self>) -> Result<(), Error> {
        self.settle_all(false)
    }

    /// `lags`: there is more than flags.
    fn settle_all(self: &Arc<Self>, lags: bool) -> Result<(), Error> {
        let account = self.account.upgrade();
        let mut state = lock(&self.state);
        if state.deleted {
            return Ok(());
        }
        // Names hold the UIDs of lines for which nobody is there any more.
        let mut settled = account.as_ref().map_or(Ok(()), |account| {
            let mut store = account.store()?;
            if lags {
                self.list(&mut state, &mut *store)?;
            }
            let settled = store.settle(&state.name);
            settled.map_err(mailbox_fault("settling", &*store, &state.name))?;
            self.note_rest(&mut state, &mut *store);
            Ok(())
        });
        if lags {
            settled = settled.and(self.write_summary(&state));
        }
        if let Err(error) = settled {
            let name = &state.name;
            let name = match &account {
                Some(account) => name.of(&account.location.root).to_string(),
                None => name.to_string(),
            };
            log::warn!("{name}: what lags behind could not be written: {error:?}");
        }
        settled
    }

    fn write_summary(&self, state: &State) -> Result<(), Error> {
        match &state.summary {
            Some(summary) => self.host.write(|w| w.set_summary(self.id, summary)),
            None => Ok(()),
        }
    }

    /// Puts messages into the side file that it does not have yet, durably. If that file is not what
    /// it was, the mailbox is scanned and the file written anew.
    pub(super) fn list(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
    ) -> Result<(), Error> {
        if state.list_lags {
            return super::resync::resync(self, state, store);
        }
        let Some(summary) = state.summary.as_mut() else {
            return Ok(());
        };
        if state.unlisted.is_empty() && state.listed >= summary.uid_next {
            return Ok(());
        }
        crate::mail::sort(&mut state.unlisted);
        let lines: Vec<(Uid, &str)> = state
            .unlisted
            .iter()
            .map(|(uid, base)| (*uid, &**base))
            .collect();
        match store.record(&state.name, &side_state(summary), &mut lines.iter()) {
            Err(crate::store::Error::Corrupt { .. }) => {
                return super::resync::resync(self, state, store);
            }
            other => other.map_err(mailbox_fault(
                "writing the uidlist of",
                &*store,
                &state.name,
            ))?,
        }
        state.listed = summary.uid_next;
        state.unlisted.clear();
        let stamp =
            store
                .stamp(&state.name)
                .map_err(mailbox_fault("looking at", &*store, &state.name))?;
        if let Some(list) = summary.stamp.get_mut(2) {
            *list = stamp.list;
        }
        Ok(())
    }
}
