//! How far a large message was read in parts.

use super::content::{Partial, Place};
use crate::mail::Uid;
use crate::mime::Section;

/// Where the last partial of a section of a large message ended. Clients fetch such a message in many
/// partials, one behind the other: each goes on from here instead of counting from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(super) uid: Uid,
    pub(super) section: Section,
    /// Octets of the whole file.
    pub(super) length: u64,
    /// Raw offsets of the section.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) place: Place,
}

impl Reached {
    /// True if it was this section of this message.
    pub(super) fn is_in(&self, uid: Uid, length: u64, section: &Section) -> bool {
        self.uid == uid && self.length == length && self.section == *section
    }

    /// Where to begin for that partial.
    pub(super) fn before(&self, partial: Partial) -> Place {
        if self.place.octets() <= partial.start {
            self.place
        } else {
            Place::first(self.start)
        }
    }
}
