//! Syncs of one file by many.

use crate::store::Error;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Which writes to a file are durable. Who comes while it is synced waits for one sync more, together
/// with all others who come then.
#[derive(Default)]
pub(super) struct Group {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// Writes there were, and how many of them are durable.
    written: u64,
    durable: u64,
    /// Somebody is at it.
    busy: bool,
    /// A sync failed: nobody knows what became of the writes before it.
    failed: bool,
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was written. Returns the number of that write.
    pub(super) fn wrote(&self) -> u64 {
        let mut state = self.state();
        state.written += 1;
        state.written
    }

    /// All that was written is durable, in another file.
    pub(super) fn renew(&self) {
        let mut state = self.state();
        state.durable = state.written;
        state.failed = false;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// True if something that was written is not durable.
    pub(super) fn lags(&self) -> bool {
        let state = self.state();
        state.durable < state.written
    }

    /// Returns when all that was written before is durable. `sync` syncs the file.
    pub(super) fn sync(&self, sync: &dyn Fn() -> io::Result<()>) -> Result<(), Error> {
        let own = self.state().written;
        self.sync_to(own, sync)
    }

    /// As `sync`, of the writes up to that number.
    pub(super) fn sync_to(&self, own: u64, sync: &dyn Fn() -> io::Result<()>) -> Result<(), Error> {
        let mut state = self.state();
        loop {
            if state.durable >= own {
                return Ok(());
            }
            if state.failed {
                return Err(Error::Io(io::ErrorKind::Other.into()));
            }
            if !state.busy {
                break;
            }
            state = self
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.busy = true;
        let all = state.written;
        drop(state);
        let synced = sync();
        let mut state = self.state();
        state.busy = false;
        match &synced {
            Ok(()) => state.durable = state.durable.max(all),
            Err(_) => state.failed = true,
        }
        self.ended.notify_all();
        Ok(synced?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn many_share_a_sync() {
        let (group, count) = (Group::default(), AtomicU32::new(0));
        let first = Barrier::new(8);
        group.wrote();
        let slow = || {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                first.wait();
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| group.sync(&slow).unwrap());
            for _ in 0..7 {
                scope.spawn(|| {
                    first.wait();
                    group.wrote();
                    group.sync(&slow).unwrap();
                });
            }
        });
        assert!((2..8).contains(&count.load(Ordering::SeqCst)), "{count:?}");
        group.sync(&|| Err(io::ErrorKind::Other.into())).unwrap();
    }

    #[test]
    fn after_a_failure_nothing_is_durable() {
        let group = Group::default();
        group.wrote();
        assert!(group.sync(&|| Err(io::ErrorKind::Other.into())).is_err());
        // The kernel forgets such an error once it told it.
        assert!(group.sync(&|| Ok(())).is_err() && group.has_failed());
        group.wrote();
        assert!(group.sync(&|| Ok(())).is_err());
        group.renew();
        assert!(group.sync(&|| Ok(())).is_ok());
    }
}
