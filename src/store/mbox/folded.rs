//! The messages that a log tells of, in the order of their UIDs, without all of them in memory.

use super::line::{Head, Told};
use crate::mail::{Uid, UidSet};
use crate::store::side::gathering::{Gathered, Groups};
use crate::store::{Cursor, Error, Place, Sighting, Sightings};

/// What a log tells of messages.
pub(super) struct Folded {
    lines: Gathered,
    dirty: UidSet,
    doomed: UidSet,
}

impl Folded {
    pub(super) fn new(lines: Gathered, head: &Head) -> Folded {
        Folded {
            lines,
            dirty: head.dirty.uids().clone(),
            doomed: head.doomed.clone(),
        }
    }

    /// Goes through the messages.
    pub(super) fn messages(&self) -> Result<Folding<'_>, Error> {
        Ok(Folding {
            groups: self.lines.groups()?,
            all: self,
        })
    }
}

/// A place among messages.
pub(super) struct Folding<'f> {
    groups: Groups<'f>,
    all: &'f Folded,
}

impl Folding<'_> {
    /// The next one; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(Uid, Told)>, Error> {
        loop {
            let mut told = Told::default();
            let uid = self.groups.next(&mut |line| {
                // The head counted those that cannot be read.
                let _ = told.take(line);
            })?;
            let Some(uid) = uid else {
                return Ok(None);
            };
            told.settle(self.all.dirty.contains(uid), self.all.doomed.contains(uid));
            if !told.is_nothing() {
                return Ok(Some((uid, told)));
            }
        }
    }
}

/// Messages of a mailbox.
pub(super) struct Present {
    all: Folded,
    /// Those that the file has.
    there: UidSet,
    /// Those whose lines may not be durable.
    unlisted: UidSet,
}

impl Present {
    pub(super) fn new(all: Folded, there: UidSet, unlisted: UidSet) -> Present {
        Present {
            all,
            there,
            unlisted,
        }
    }
}

impl Sightings for Present {
    fn cursor(&self) -> Result<Box<dyn Cursor + '_>, Error> {
        Ok(Box::new(PresentCursor {
            messages: self.all.messages()?,
            of: self,
            told: Told::default(),
            alias: None,
        }))
    }
}

struct PresentCursor<'p> {
    messages: Folding<'p>,
    of: &'p Present,
    /// What was handed out.
    told: Told,
    alias: Option<String>,
}

impl Cursor for PresentCursor<'_> {
    fn next(&mut self) -> Result<Option<Sighting<'_>>, Error> {
        let uid = loop {
            match self.messages.next()? {
                None => return Ok(None),
                Some((uid, told)) if told.message.is_some() && self.of.there.contains(uid) => {
                    self.told = told;
                    break uid;
                }
                Some(_) => {}
            }
        };
        let Some(message) = &self.told.message else {
            return Ok(None);
        };
        self.alias = message.uidl.as_ref().map(|uidl| format!("P{uidl}"));
        Ok(Some(Sighting {
            name: &message.name,
            place: Place::Cur,
            flags: message.flags,
            letters: message.letters,
            uid: Some(uid),
            listed: !self.of.unlisted.contains(uid),
            alias: self.alias.as_deref(),
        }))
    }
}
