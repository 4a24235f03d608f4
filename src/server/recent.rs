//! Who has logged in a short while ago (RFC 2449 section 6.5, LOGIN-DELAY). Time is monotonic and an argument.

use std::collections::HashMap;
use std::time::Duration;

/// Most users remembered; beyond, whoever else comes may come at any time.
const MAX_USERS: usize = 10_000;

/// When users logged in last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    delay: Duration,
    last: HashMap<String, Duration>,
}

impl Recent {
    /// `delay`: from a login to the next; zero: any time.
    pub(super) fn new(delay: Duration) -> Recent {
        Recent {
            delay,
            last: HashMap::new(),
        }
    }

    /// Whether this user may log in now; if so, that is the last time from now on.
    pub(super) fn admits(&mut self, user: &str, now: Duration) -> bool {
        if self.delay.is_zero() {
            return true;
        }
        let over = |last: &Duration| now.saturating_sub(*last) >= self.delay;
        if !self.last.get(user).is_none_or(over) {
            return false;
        }
        if self.last.len() >= MAX_USERS {
            self.last.retain(|_, last| !over(last));
        }
        if self.last.len() < MAX_USERS {
            self.last.insert(user.to_owned(), now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_apart() {
        let second = Duration::from_secs;
        let mut recent = Recent::new(second(10));
        assert!(recent.admits("ann", second(5)) && !recent.admits("ann", second(14)));
        // What was refused does not count.
        assert!(recent.admits("bob", second(14)) && recent.admits("ann", second(15)));
        assert!(!recent.admits("ann", second(16)));
        let mut any = Recent::new(Duration::ZERO);
        assert!(any.admits("ann", second(5)) && any.admits("ann", second(5)));
    }

    #[test]
    fn users_are_bounded() {
        let mut recent = Recent::new(Duration::from_secs(10));
        for n in 0..MAX_USERS + 5 {
            assert!(recent.admits(&n.to_string(), Duration::from_secs(5)));
        }
        assert_eq!(recent.last.len(), MAX_USERS);
        assert!(recent.admits("ann", Duration::from_secs(15)));
        assert_eq!(recent.last.len(), 1);
    }
}
