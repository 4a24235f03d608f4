//! SEARCH in bounded steps: first by what the index knows, then by opening what that does not decide.

use super::criteria::Test;
use super::inthread::InThread;
use super::survey::Look;
use super::{Error, View, Want};
use crate::mail::{Criteria, UidSet};

/// A running search.
pub(crate) struct Search {
    test: Test,
    found: UidSet,
    look: Look,
    /// Messages that are decided, of so many.
    decided: u64,
    goal: u64,
    /// Room for texts that are compared, used again and again.
    room: Vec<u8>,
    /// To be found out first.
    first: Vec<InThread>,
    /// Why some messages could not be read for that.
    unread: Option<Error>,
}

impl Search {
    pub(super) fn new(view: &View, criteria: Criteria) -> Search {
        let mut first = Vec::new();
        let test = Test::new(view, criteria, &mut first);
        let uids = test.candidates().map_or_else(
            || view.uids().clone(),
            |only| view.uids().intersection(&only),
        );
        let mut want = Want::default();
        test.want(&mut want);
        Search {
            goal: uids.count(),
            decided: 0,
            look: Look::new(view, uids, want),
            test,
            found: UidSet::new(),
            room: Vec::new(),
            first,
            unread: None,
        }
    }

    /// Works for a bounded time; `Some` with the messages found at the end.
    pub(crate) fn step(&mut self) -> Result<Option<UidSet>, Error> {
        if let Some(own) = self.first.last_mut() {
            if own.step()? {
                self.unread = self.unread.or(own.unread());
                self.first.pop();
            }
            return Ok(None);
        }
        let (test, found, room) = (&self.test, &mut self.found, &mut self.room);
        let decided = &mut self.decided;
        let more = self.look.step(&mut |message| {
            let holds = test.holds(message, room)?;
            *decided += u64::from(holds.is_some());
            if holds == Some(true) {
                found.insert(message.uid());
            }
            Ok(holds.is_some())
        })?;
        Ok((!more).then(|| std::mem::take(&mut self.found)))
    }

    /// Why some messages could not be read and were left out so far.
    pub(crate) fn unread(&self) -> Option<Error> {
        self.look.unread().or(self.unread)
    }

    /// How many messages are decided, of how many; `None` of none.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        (self.goal > 0).then_some((self.decided, self.goal))
    }
}
