//! The messages of a mailbox that is compared with its store, each with its UID.

use super::Error;
use crate::index::Summary;
use crate::mail::{Uid, UidSet};
use crate::store::{Census, Cursor, Lines, Sighting};

/// Those of a census; new messages have UIDs in the order in which they were found.
pub(super) struct Roster<'c> {
    census: &'c Census,
    /// The UID of the first that had none.
    first_new: Uid,
}

/// A place among them.
pub(super) struct RosterCursor<'r> {
    cursor: Box<dyn Cursor + 'r>,
    next: Uid,
}

/// Goes through those that the side file does not have.
pub(super) struct Unlisted<'a, 'r> {
    cursor: &'a mut RosterCursor<'r>,
    name: String,
}

impl<'c> Roster<'c> {
    /// Errors: `Limit` if there are no UIDs left.
    pub(super) fn new(census: &'c Census, summary: &mut Summary) -> Result<Roster<'c>, Error> {
        let first_new = summary.uid_next;
        let next = first_new.number().checked_add(census.totals.unnamed);
        let next = next.and_then(Uid::new);
        summary.uid_next = next.ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        Ok(Roster { census, first_new })
    }

    pub(super) fn cursor(&self) -> Result<RosterCursor<'_>, crate::store::Error> {
        Ok(RosterCursor {
            cursor: self.census.all.cursor()?,
            next: self.first_new,
        })
    }

    pub(super) fn uids(&self) -> UidSet {
        let mut uids = self.census.totals.uids.clone();
        if let Some(more) = self.census.totals.unnamed.checked_sub(1) {
            let last = Uid::new(self.first_new.number().saturating_add(more));
            uids.insert_range(self.first_new, last.unwrap_or(self.first_new));
        }
        uids
    }

    /// The lowest that the side file does not have.
    pub(super) fn first_unlisted(&self) -> Option<Uid> {
        let totals = &self.census.totals;
        let new = (totals.unnamed > 0).then_some(self.first_new);
        totals.first_unlisted.or(new)
    }

    pub(super) fn count_unlisted(&self) -> u64 {
        let totals = &self.census.totals;
        let all = totals.uids.count() + u64::from(totals.unnamed);
        all.saturating_sub(u64::from(totals.listed))
    }
}

impl<'r> RosterCursor<'r> {
    /// The next one, with its UID.
    pub(super) fn next(&mut self) -> Result<Option<(Uid, Sighting<'_>)>, crate::store::Error> {
        let Some(sighting) = self.cursor.next()? else {
            return Ok(None);
        };
        let uid = match sighting.uid {
            Some(uid) => uid,
            None => {
                let own = self.next;
                self.next = own.next().unwrap_or(own);
                own
            }
        };
        Ok(Some((uid, sighting)))
    }

    pub(super) fn unlisted(&mut self) -> Unlisted<'_, 'r> {
        Unlisted {
            cursor: self,
            name: String::new(),
        }
    }
}

impl Lines for RosterCursor<'_> {
    fn line(&mut self) -> Result<Option<(Uid, &str)>, crate::store::Error> {
        Ok(self.next()?.map(|(uid, sighting)| (uid, sighting.name)))
    }
}

impl Lines for Unlisted<'_, '_> {
    fn line(&mut self) -> Result<Option<(Uid, &str)>, crate::store::Error> {
        while let Some((uid, sighting)) = self.cursor.next()? {
            if !sighting.listed {
                self.name.clear();
                self.name.push_str(sighting.name);
                return Ok(Some((uid, &self.name)));
            }
        }
        Ok(None)
    }
}
