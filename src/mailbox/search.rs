//! SEARCH in bounded steps: first by what the index knows, then by opening what that does not decide.

use super::criteria::{Subject, Test};
use super::walk::Walk;
use super::{Error, Rows, View, Want};
use crate::mail::{Criteria, UidSet};

/// Messages looked at in one step if nothing has to be opened.
const MESSAGES_A_STEP: usize = 2048;
/// Messages opened in one step.
const OPENED_A_STEP: u32 = 32;
/// Octets of messages looked through in one step, however many keys do it; the last one counts whole.
const OCTETS_A_STEP: u64 = 4 << 20;

/// A running search.
pub(crate) struct Search {
    test: Test,
    found: UidSet,
    /// What the index does not decide.
    open: UidSet,
    stage: Stage,
    /// Room for texts that are compared, used again and again.
    room: Vec<u8>,
}

enum Stage {
    Walking(Box<Walk>),
    Opening(Box<Rows>),
}

impl Search {
    pub(super) fn new(view: &View, criteria: Criteria) -> Search {
        let test = Test::new(view, criteria);
        let uids = test.candidates().map_or_else(
            || view.uids().clone(),
            |only| view.uids().intersection(&only),
        );
        Search {
            stage: Stage::Walking(Box::new(Walk::new(view, uids, test.asks_fields()))),
            test,
            found: UidSet::new(),
            open: UidSet::new(),
            room: Vec::new(),
        }
    }

    /// Works for a bounded time; `Some` with the messages found at the end.
    pub(crate) fn step(&mut self) -> Result<Option<UidSet>, Error> {
        let done = match &mut self.stage {
            Stage::Walking(walk) => {
                let (test, found, open, room) =
                    (&self.test, &mut self.found, &mut self.open, &mut self.room);
                let mut failed = Ok(());
                let more = walk.step(MESSAGES_A_STEP, &mut |known| match test
                    .holds(&mut Subject::Known(known), room)
                {
                    Ok(Some(true)) => found.insert(known.uid),
                    Ok(Some(false)) => {}
                    Ok(None) => open.insert(known.uid),
                    Err(error) => failed = Err(error),
                })?;
                failed?;
                if more {
                    return Ok(None);
                }
                let open = std::mem::take(&mut self.open);
                let done = open.is_empty();
                let mut want = Want::default();
                self.test.want(&mut want);
                self.stage = Stage::Opening(Box::new(walk.rows(open, want)));
                done
            }
            Stage::Opening(rows) => {
                Self::open_some(rows, &self.test, &mut self.found, &mut self.room)?
            }
        };
        Ok(done.then(|| std::mem::take(&mut self.found)))
    }

    /// `true` at the end.
    fn open_some(
        rows: &mut Rows,
        test: &Test,
        found: &mut UidSet,
        room: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let (mut opened, mut octets) = (0, 0);
        while opened < OPENED_A_STEP && octets < OCTETS_A_STEP {
            if !rows.advance()? {
                return Ok(true);
            }
            match test.holds(&mut Subject::Row(rows), room) {
                Ok(Some(true)) => found.insert(rows.uid()),
                Ok(_) => {}
                // Expunged while we looked.
                Err(Error::Expunged) => {}
                Err(error) => return Err(error),
            }
            opened += 1;
            octets += rows.looked_through();
        }
        Ok(false)
    }
}
