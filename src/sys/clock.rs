//! What time it is.

use std::time::{Duration, SystemTime};

/// Time since 1970-01-01 00:00 UTC; zero where the clock is set before that.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Seconds since 1970-01-01 00:00 UTC.
pub(crate) fn now_seconds() -> i64 {
    i64::try_from(now().as_secs()).unwrap_or(i64::MAX)
}
