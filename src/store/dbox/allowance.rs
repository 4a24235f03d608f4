//! Memory for messages that are large, while they are written: bounded for each, and for all of this process together.
//! What has no room there goes on in a file, which is written for nothing but to be copied.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Octets for all together, where nobody says how many ([`set_draft_octets`]).
const USUAL: u32 = 1 << 20;
/// One message gets at most one part in so many.
const PARTS: u32 = 4;

pub(super) static DRAFTS: Pool = Pool::new(USUAL);

/// What all messages that are being written may have beyond what each has anyway.
pub(super) struct Pool {
    octets: AtomicU32,
    used: AtomicU32,
}

/// What one of them has of it; it goes back with the value.
pub(super) struct Allowance {
    pool: &'static Pool,
    octets: u32,
}

/// From now on messages that are being written have so many octets of memory in all, besides a buffer each; those
/// that have more keep it.
pub(crate) fn set_draft_octets(octets: usize) {
    let octets = u32::try_from(octets).unwrap_or(u32::MAX);
    DRAFTS.octets.store(octets, Relaxed);
}

impl Pool {
    pub(super) const fn new(octets: u32) -> Pool {
        Pool {
            octets: AtomicU32::new(octets),
            used: AtomicU32::new(0),
        }
    }
}

impl Allowance {
    pub(super) fn of(pool: &'static Pool) -> Allowance {
        Allowance { pool, octets: 0 }
    }

    pub(super) fn octets(&self) -> usize {
        usize::try_from(self.octets).unwrap_or(usize::MAX)
    }

    /// Takes so many octets more; false, and nothing is taken, if that is too much.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let most = self.pool.octets.load(Relaxed);
        let Some(more) = u32::try_from(octets).ok() else {
            return false;
        };
        let own = self.octets.checked_add(more);
        let Some(own) = own.filter(|own| *own <= most / PARTS) else {
            return false;
        };
        let fits = |used: u32| used.checked_add(more).filter(|used| *used <= most);
        let taken = self.pool.used.fetch_update(Relaxed, Relaxed, fits);
        if taken.is_ok() {
            self.octets = own;
        }
        taken.is_ok()
    }

    /// Gives all of it back.
    pub(super) fn release(&mut self) {
        let octets = std::mem::take(&mut self.octets);
        self.pool.used.fetch_sub(octets, Relaxed);
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gets_a_part_and_all_together_no_more_than_there_is() {
        static POOL: Pool = Pool::new(1000);
        let mut one = Allowance::of(&POOL);
        assert!(one.grow(200) && !one.grow(51) && one.grow(50) && !one.grow(1));
        assert!(!one.grow(usize::MAX));
        assert_eq!(one.octets(), 250);
        let mut others: Vec<Allowance> = (0..4).map(|_| Allowance::of(&POOL)).collect();
        let grown: Vec<bool> = others.iter_mut().map(|other| other.grow(250)).collect();
        assert_eq!(grown, [true, true, true, false]);
        one.release();
        assert_eq!(one.octets(), 0);
        assert!(others[3].grow(250) && !one.grow(1));
        drop(others);
        assert!(one.grow(250));
    }
}
