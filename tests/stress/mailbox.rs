//! One mailbox as everybody knows it together.

use crate::fact::Fact;
use crate::truth::{Checked, Tick};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of its messages, and what anybody was told of it.
#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) facts: BTreeMap<u32, Fact>,
    pub(crate) validity: Option<u32>,
    /// Beginning and end of each EXPUNGE of all that is deleted.
    pub(crate) expunges: Vec<(Tick, Tick)>,
    pub(crate) mod_seqs: Highest,
    pub(crate) uids: Highest,
    pub(crate) uid_nexts: Highest,
    /// Message-IDs of delivered messages that nobody saw yet.
    pub(crate) unseen: BTreeSet<String>,
}

/// The highest number that anybody was told, at each time.
#[derive(Default)]
pub(crate) struct Highest(Vec<(Tick, u64)>);

impl Highest {
    pub(crate) fn note(&mut self, now: Tick, value: u64) {
        if self.0.last().is_none_or(|(_, highest)| *highest < value) {
            self.0.push((now, value));
        }
    }

    pub(crate) fn before(&self, time: Tick) -> u64 {
        let count = self.0.partition_point(|(tick, _)| *tick < time);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

impl Mailbox {
    pub(crate) fn fact(&mut self, uid: u32, now: Tick) -> &mut Fact {
        self.facts.entry(uid).or_insert_with(|| Fact::new(now))
    }

    pub(crate) fn may_vanish(&self, fact: &Fact, meddled: &BTreeSet<String>) -> bool {
        let touched = fact.id.as_ref().is_none_or(|id| meddled.contains(id));
        touched || fact.gone.is_some() || fact.may_be_removed(&self.expunges)
    }

    /// All is in the view that must be there.
    pub(crate) fn is_whole(&self, view: &View, since: Tick, meddled: &BTreeSet<String>) -> Checked {
        for (uid, fact) in &self.facts {
            let there = fact.born.is_some_and(|born| born < since);
            if there && !view.has(*uid) && !self.may_vanish(fact, meddled) {
                return Err(format!("UID {uid} ({:?}) is missing", fact.id));
            }
        }
        Ok(())
    }

    /// A UID that is given after `begin` is above all that were known before.
    pub(crate) fn is_new(&self, uid: u32, begin: Tick) -> Checked {
        let (known, next) = (self.uids.before(begin), self.uid_nexts.before(begin));
        match u64::from(uid) > known && u64::from(uid) >= next {
            true => Ok(()),
            false => Err(format!(
                "UID {uid} is new after UID {known}, UIDNEXT {next}"
            )),
        }
    }
}
