//! What time it is.

use std::time::{Duration, SystemTime};

/// Time since 1970-01-01 00:00 UTC; zero where the clock is set before that.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// When this host was started, as its clock has it now, which may have been set since.
pub(crate) fn boot() -> SystemTime {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up = Duration::try_from(up).unwrap_or_default();
    SystemTime::now()
        .checked_sub(up)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Seconds since 1970-01-01 00:00 UTC.
pub(crate) fn now_seconds() -> i64 {
    i64::try_from(now().as_secs()).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970 on the clock from which local file systems take their times: it stands
/// still for a tick of the kernel. What changes later gets this time or a later one.
pub(crate) fn file_time() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    // What is before 1970 is as old as that.
    let now = Duration::try_from(now).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
