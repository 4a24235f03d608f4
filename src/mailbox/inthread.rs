//! The search key INTHREAD (draft-ietf-morg-inthread): messages of threads that hold a message which meets
//! other criteria. Found out in bounded steps before the search that asks it goes over its messages.

use super::{Error, Search, Thread, View};
use crate::mail::{Criteria, Threading, UidSet};
use std::sync::{Arc, OnceLock};

/// One such key, to be found out.
pub(super) struct InThread {
    search: Search,
    thread: Thread,
    /// What meets the criteria, once that is known.
    found: Option<UidSet>,
    result: Threadmates,
}

/// The messages that the key means, once they are known.
pub(super) type Threadmates = Arc<OnceLock<UidSet>>;

impl InThread {
    pub(super) fn new(view: &View, by: Threading, criteria: Criteria) -> InThread {
        InThread {
            search: Search::new(view, criteria),
            thread: Thread::new(view, by, Criteria::All),
            found: None,
            result: Arc::default(),
        }
    }

    pub(super) fn result(&self) -> Threadmates {
        self.result.clone()
    }

    /// Why some messages could not be read and were left out so far.
    pub(super) fn unread(&self) -> Option<Error> {
        self.search.unread().or(self.thread.unread())
    }

    /// Works for a bounded time; `true` once the result is known.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        let Some(found) = &self.found else {
            self.found = self.search.step()?;
            return Ok(false);
        };
        let result = match found.is_empty() {
            true => UidSet::new(),
            false => match self.thread.step()? {
                None => return Ok(false),
                Some(threads) => threads.with(found),
            },
        };
        self.result.set(result).map_err(|_| Error::Fault)?;
        Ok(true)
    }
}
