//! Syncs of one file by many: who comes while it is synced waits for one sync more, together with all
//! others who come then. What a sync that failed was for has failed, whatever later ones do.

use crate::store::Error;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Failures remembered; whoever waits for an older one is told of a failure too.
const MAX_FAILED: usize = 8;

#[derive(Default)]
pub(super) struct Syncs {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// Writes there were, and how many of them were synced, well or not.
    written: u64,
    ended: u64,
    busy: bool,
    /// Writes behind the first number up to the second whose sync failed; newest last.
    failed: Vec<(u64, u64)>,
    /// Nobody knows of writes up to here.
    forgotten: u64,
}

/// The number of a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written(u64);

impl State {
    fn outcome(&self, own: u64) -> Option<Result<(), Error>> {
        let failed = |(after, last): &(u64, u64)| *after < own && own <= *last;
        if self.failed.iter().any(failed) || own <= self.forgotten {
            return Some(Err(Error::Io(io::ErrorKind::Other.into())));
        }
        (own <= self.ended).then_some(Ok(()))
    }
}

impl Syncs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was written.
    pub(super) fn wrote(&self) -> Written {
        let mut state = self.state();
        state.written += 1;
        Written(state.written)
    }

    /// Returns when that is durable. `sync` syncs the file.
    pub(super) fn sync(
        &self,
        Written(own): Written,
        sync: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut state = self.state();
        loop {
            if let Some(outcome) = state.outcome(own) {
                return outcome;
            }
            if !state.busy {
                break;
            }
            let waited = self.ended.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.busy = true;
        let all = state.written;
        drop(state);
        let synced = sync();
        let mut state = self.state();
        state.busy = false;
        if synced.is_err() {
            let range = (state.ended, all);
            state.failed.push(range);
            if state.failed.len() > MAX_FAILED {
                let (_, last) = state.failed.remove(0);
                state.forgotten = last;
            }
        }
        state.ended = all;
        self.ended.notify_all();
        Ok(synced?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_failed_stays_so() {
        let syncs = Syncs::default();
        let count = Cell::new(0);
        let good = || {
            count.set(count.get() + 1);
            Ok(())
        };
        let (one, two) = (syncs.wrote(), syncs.wrote());
        assert!(
            syncs
                .sync(one, &|| Err(io::ErrorKind::Other.into()))
                .is_err()
        );
        let three = syncs.wrote();
        assert!(syncs.sync(three, &good).is_ok());
        assert!(syncs.sync(two, &good).is_err() && syncs.sync(three, &good).is_ok());
        assert_eq!(count.get(), 1, "what is durable is not synced again");
        let (four, five) = (syncs.wrote(), syncs.wrote());
        assert!(syncs.sync(five, &good).is_ok() && syncs.sync(four, &good).is_ok());
        assert_eq!(count.get(), 2);
        for _ in 0..20 {
            let failing = syncs.wrote();
            assert!(
                syncs
                    .sync(failing, &|| Err(io::ErrorKind::Other.into()))
                    .is_err()
            );
        }
        assert!(syncs.sync(two, &good).is_err());
        assert_eq!(syncs.state().failed.len(), MAX_FAILED);
    }
}
