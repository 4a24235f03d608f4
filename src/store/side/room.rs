//! Whether a mailbox fits into the memory of this process, for formats that have all of it there while they look
//! at it. An allocation that fails ends the process, and whoever comes next would end the next one: so it is
//! refused before, and all other mailboxes are served.

use crate::store::Error;
use crate::sys::memory;
use std::io;

/// Octets that are still to come for each message that was found, as measured with 200,000 of them.
pub(in crate::store) const OF_DBOX: usize = 128;
/// What stands in memory for one octet of a log.
const LOG_FACTOR: u64 = 4;
/// Messages from one look to the next.
const MESSAGES: usize = 4096;

/// What is sorted, or kept in rows, goes into a file beyond so many octets; beyond fewer, where memory is scarce.
const SORTED: usize = 4 << 20;
const SORTED_AT_LEAST: usize = 256 << 10;
/// Where it cannot go into a file, it stays in memory up to so many.
const MOST_STAYING: usize = 256 << 20;
/// There is enough of it for so many things of that size.
const SORTS: usize = 16;

/// Octets in memory of one thing that goes on in a file when it gets larger. In tests it does so at once.
pub(in crate::store) fn to_sort() -> usize {
    match memory::can_allocate(SORTED * SORTS) {
        _ if cfg!(test) => 1024,
        true => SORTED,
        false => SORTED_AT_LEAST,
    }
}

/// What has so many octets in memory was to go on in a file, and `spilled` tells whether it does: where the disk is full,
/// and there is memory for as much again, it stays there. Returns what may be in memory then, if that is more.
pub(in crate::store) fn or_in_memory(
    spilled: Result<(), Error>,
    octets: usize,
) -> Result<Option<usize>, Error> {
    match spilled {
        Ok(()) => Ok(None),
        // A vector that grows is there twice.
        Err(Error::Full) if octets < MOST_STAYING && memory::can_allocate(octets * 4) => {
            Ok(Some(octets * 2))
        }
        Err(error) => Err(error),
    }
}

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
