//! What changed since a mod-sequence: one query for NOOP, IDLE, CHANGEDSINCE and QRESYNC.

use super::mark::uids_of;
use super::shared::Shared;
use super::{Error, fault};
use crate::index::Bits;
use crate::mail::{Since, UidSet};

impl Shared {
    /// Messages that are there and came or changed after `since`, from the index. Chunks in which
    /// nothing did are only looked at.
    pub(super) fn changed_since(&self, since: Since) -> Result<UidSet, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        let mut changed = UidSet::new();
        reader
            .each_flags(self.id, &mut |number, chunk| {
                if chunk.highest_mod_seq() <= since.number() {
                    return;
                }
                let mut slots = Bits::default();
                for slot in chunk.present.slots() {
                    slots.set(slot, since.is_before(chunk.mod_seq(slot)));
                }
                changed = changed.union(&uids_of(number, &slots));
            })
            .map_err(fault("reading the index"))?;
        Ok(changed)
    }
}
