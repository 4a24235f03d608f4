//! Whether a mailbox fits into the memory of this process, for formats that have all of it there while they look
//! at it. An allocation that fails ends the process, and whoever comes next would end the next one: so it is
//! refused before, and all other mailboxes are served.

use crate::sys::memory;
use std::io;

/// Octets that are still to come for each message that was found, as measured with 200,000 of them.
pub(in crate::store) const OF_DBOX: usize = 128;
pub(in crate::store) const OF_MBOX: usize = 512;
/// What stands in memory for one octet of a log.
const LOG_FACTOR: u64 = 4;
/// Messages from one look to the next.
const MESSAGES: usize = 4096;

/// Looks now and then as `count` grows by one, with so many octets for each still to come. Errors: `OutOfMemory`
/// if that does not fit, which is `TooMany` to a store.
pub(in crate::store) fn for_messages(count: usize, each: usize) -> io::Result<()> {
    match count > 0 && count.is_multiple_of(MESSAGES) {
        true => admit(count.saturating_mul(each)),
        false => Ok(()),
    }
}

/// Errors: `OutOfMemory` if what a log of so many octets says does not fit.
pub(in crate::store) fn for_log(octets: u64) -> io::Result<()> {
    admit(usize::try_from(octets.saturating_mul(LOG_FACTOR)).unwrap_or(usize::MAX))
}

fn admit(octets: usize) -> io::Result<()> {
    match memory::can_allocate(octets) {
        true => Ok(()),
        false => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(for_log(1 << 20).is_ok() && for_messages(200_000, OF_DBOX).is_ok());
        let far_too_many = usize::MAX / MESSAGES * MESSAGES;
        for refused in [for_log(u64::MAX), for_messages(far_too_many, 1)] {
            let error = crate::store::Error::from(refused.unwrap_err());
            assert!(matches!(error, crate::store::Error::TooMany));
        }
        // In between nobody asks.
        assert!(for_messages(far_too_many + 1, 1).is_ok());
    }
}
