//! How many deliveries of one user may run at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that run, by user; threads of the pool share it.
#[derive(Clone)]
pub(super) struct Deliveries {
    running: Arc<Mutex<HashMap<Box<str>, u32>>>,
    most: u32,
}

/// One delivery's place; given back when dropped.
pub(super) struct Place {
    deliveries: Deliveries,
    user: Box<str>,
}

impl Deliveries {
    /// `most`: of one user.
    pub(super) fn new(most: u32) -> Deliveries {
        Deliveries {
            running: Arc::default(),
            most,
        }
    }

    /// A place for a delivery; `None` if there are too many.
    pub(super) fn begin(&self, user: &str) -> Option<Place> {
        let mut running = self.running();
        let count = running.entry(user.into()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            deliveries: self.clone(),
            user: user.into(),
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Box<str>, u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn is_of(&self, user: &str) -> bool {
        &*self.user == user
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.deliveries.running();
        if let Some(count) = running.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_user_and_given_back() {
        let deliveries = Deliveries::new(2);
        let first = deliveries.begin("ann").unwrap();
        let second = deliveries.begin("ann").unwrap();
        assert!(deliveries.begin("ann").is_none());
        let other = deliveries.begin("bob").unwrap();
        assert!(other.is_of("bob") && !other.is_of("ann"));
        drop(first);
        let third = deliveries.begin("ann").unwrap();
        drop((second, third, other));
        assert!(deliveries.running().is_empty());
    }
}
