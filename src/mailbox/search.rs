//! SEARCH in bounded steps.

use super::Error;
use crate::mail::UidSet;

/// A running search.
pub(crate) struct Search {}

impl Search {
    /// Works for a bounded time; `Some` with the messages found at the end.
    pub(crate) fn step(&mut self) -> Result<Option<UidSet>, Error> {
        todo!()
    }
}
