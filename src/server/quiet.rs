//! When a process gives back the code that it does not need while nothing happens.

use crate::sys::memory;
use std::time::{Duration, Instant};

/// After so long without an event a process needs little of its code.
const PATIENCE: Duration = Duration::from_millis(50);
/// After so long, if it was needed again soon the last time.
const LONG_PATIENCE: Duration = Duration::from_millis(80);
/// Code that is needed again earlier was given back too soon.
const SOON: Duration = Duration::from_millis(400);

/// Does the waiting of a process. What is given back comes from the page cache when it is needed: that
/// costs some hundred microseconds at most, so whoever works with short pauses keeps its code.
pub(super) struct Quiet {
    patience: Duration,
}

impl Default for Quiet {
    fn default() -> Quiet {
        Quiet { patience: PATIENCE }
    }
}

impl Quiet {
    /// Waits for an event until the deadline. `wait` does so for the time that it is given and returns
    /// whether something happened. It may be called twice, and nothing else runs in between: that
    /// would bring code back.
    pub(super) fn wait(
        &mut self,
        deadline: Option<Duration>,
        mut wait: impl FnMut(Option<Duration>) -> bool,
    ) {
        if deadline.is_some_and(|deadline| deadline <= self.patience) {
            wait(deadline);
        } else if !wait(Some(self.patience)) {
            memory::give_back_code();
            let since = Instant::now();
            if wait(deadline.map(|deadline| deadline.saturating_sub(self.patience))) {
                self.needed_after(since.elapsed());
            }
        }
    }

    fn needed_after(&mut self, pause: Duration) {
        self.patience = if pause < SOON {
            LONG_PATIENCE
        } else {
            PATIENCE
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long is waited until that wait ends with an event.
    fn waits(quiet: &mut Quiet, deadline: Option<Duration>, until: usize) -> Vec<Option<Duration>> {
        let mut waits = Vec::new();
        quiet.wait(deadline, |time| {
            waits.push(time);
            waits.len() == until
        });
        waits
    }

    #[test]
    fn code_is_given_back_in_pauses_and_later_to_the_busy() {
        let mut quiet = Quiet::default();
        let soon = Some(PATIENCE / 2);
        assert_eq!(waits(&mut quiet, soon, 9), [soon]);
        let hour = Duration::from_secs(3600);
        assert_eq!(waits(&mut quiet, Some(hour), 1), [Some(PATIENCE)]);
        let both = [Some(PATIENCE), Some(hour - PATIENCE)];
        assert_eq!(waits(&mut quiet, Some(hour), 9), both);
        assert_eq!(waits(&mut quiet, None, 2), [Some(PATIENCE), None]);
        // An event came at once after that.
        assert_eq!(waits(&mut quiet, None, 1), [Some(LONG_PATIENCE)]);
        quiet.needed_after(SOON);
        assert_eq!(waits(&mut quiet, None, 1), [Some(PATIENCE)]);
    }
}
