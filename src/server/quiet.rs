//! When a process gives back the code that it does not need while nothing happens.

use crate::sys::memory;
use std::time::{Duration, Instant};

/// After so long without an event a process needs little of its code.
const PATIENCE: Duration = Duration::from_millis(50);
/// As long as this, if it was needed again at once before.
const MAX_PATIENCE: Duration = Duration::from_secs(2);
/// Code that is needed again before so many times the patience was given back too soon.
const TOO_SOON: u32 = 8;

/// Watches the waits of a process. What is given back comes from the page cache when it is needed: that
/// costs some ten microseconds, so whoever works with short pauses keeps its code.
pub(super) struct Quiet {
    patience: Duration,
    /// When code was given back, if nothing happened since.
    given_back: Option<Instant>,
}

impl Default for Quiet {
    fn default() -> Quiet {
        Quiet {
            patience: PATIENCE,
            given_back: None,
        }
    }
}

impl Quiet {
    /// How long to wait at most, if there is a deadline then: a wait that ends without event and before
    /// the deadline is told to `waited`.
    pub(super) fn limit(&self, deadline: Option<Duration>) -> Option<Duration> {
        match self.given_back {
            None if deadline.is_none_or(|deadline| deadline > self.patience) => Some(self.patience),
            _ => deadline,
        }
    }

    /// After a wait with that limit.
    pub(super) fn waited(&mut self, limit: Option<Duration>, happened: bool) {
        if !happened && self.given_back.is_none() && limit == Some(self.patience) {
            memory::give_back_code();
            self.given_back = Some(Instant::now());
        } else if happened && let Some(since) = self.given_back.take() {
            self.needed_after(since.elapsed());
        }
    }

    fn needed_after(&mut self, pause: Duration) {
        self.patience = match pause < self.patience * TOO_SOON {
            true => (self.patience * 2).min(MAX_PATIENCE),
            false => PATIENCE,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_given_back_once_a_pause_and_later_to_the_busy() {
        let mut quiet = Quiet::default();
        let hour = Some(Duration::from_secs(3600));
        // A deadline that comes before is no pause.
        let soon = Some(PATIENCE / 2);
        assert_eq!(quiet.limit(soon), soon);
        quiet.waited(soon, false);
        let limit = quiet.limit(hour);
        assert_eq!(limit, Some(PATIENCE));
        quiet.waited(limit, false);
        assert_eq!(quiet.limit(hour), hour);
        assert_eq!(quiet.limit(None), None);
        for pauses in 1..10 {
            quiet.waited(hour, true);
            let patience = (PATIENCE * (1 << pauses)).min(MAX_PATIENCE);
            assert_eq!(quiet.limit(None), Some(patience));
            quiet.waited(quiet.limit(None), false);
        }
        quiet.needed_after(MAX_PATIENCE * TOO_SOON);
        assert_eq!(quiet.patience, PATIENCE);
    }
}
