//! The numbers of a mailbox's keywords.

use super::shared::{Shared, State};
use super::{Error, store_fault};
use crate::mail::Keyword;
use crate::store::Store;
use std::sync::Arc;

/// How often a keyword is tried to be made while other programs make some.
const KEYWORD_TRIES: usize = 4;

impl Shared {
    /// Errors: `Limit` if so many more keywords are too many.
    pub(super) fn has_room_for_keywords(&self, state: &State, new: usize) -> Result<(), Error> {
        let summary = state.summary.as_ref().ok_or(Error::Fault)?;
        let all = summary.keywords.iter().flatten().count() + new;
        match new > 0 && all > self.host.limits.keywords {
            true => Err(Error::Limit("too many keywords in this mailbox")),
            false => Ok(()),
        }
    }

    /// The number of a keyword, which is made if there is none and it may be.
    pub(super) fn keyword(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        keyword: &Keyword,
    ) -> Result<u16, Error> {
        let limit = self.host.limits.keywords;
        for _ in 0..KEYWORD_TRIES {
            let summary = state.summary.as_mut().ok_or(Error::Fault)?;
            let mut named = summary.keywords.iter();
            if let Some(at) = named.position(|k| k.as_ref() == Some(keyword)) {
                return u16::try_from(at).map_err(|_| Error::Fault);
            }
            let free = summary.keywords.iter().position(Option::is_none);
            let free = free.unwrap_or(summary.keywords.len());
            if free >= limit {
                return Err(Error::Limit("too many keywords in this mailbox"));
            }
            let mut keywords = summary.keywords.clone();
            keywords.resize(keywords.len().max(free + 1), None);
            if let Some(slot) = keywords.get_mut(free) {
                *slot = Some(keyword.clone());
            }
            // A letter must not be in a file name before it has its meaning.
            match store.record_keywords(&state.name, &keywords) {
                Ok(()) => summary.keywords = keywords,
                // Another program gave letters a meaning that is not known here.
                Err(crate::store::Error::Corrupt { .. }) => {
                    super::resync::resync(self, state, store)?;
                }
                Err(error) => return Err(store_fault("writing keywords")(error)),
            }
        }
        Err(Error::Busy)
    }
}
