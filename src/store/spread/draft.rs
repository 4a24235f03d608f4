//! A message while it is written, in each place that it is filed in.

use super::places::Places;
use crate::mail::{Guid, MailboxName};
use crate::store::{Body, Draft, Error, Store};
use std::any::Any;
use std::io::Read;

/// Octets that are read and written at a time.
const BUFFER: usize = 64 * 1024;

/// A draft in the place where it is written, and the same in others where it was filed.
pub(super) struct SpreadDraft {
    place: usize,
    written: Box<dyn Draft>,
    others: Vec<(usize, Box<dyn Draft>)>,
    /// Which of them was filed last, or is to be: an mbox may have other octets.
    last: usize,
    date: Option<i64>,
    identity: Option<(Guid, Option<i64>)>,
}

/// Writes all that is left of a body.
pub(super) fn fill(draft: &mut dyn Draft, body: &mut Body) -> Result<(), Error> {
    let mut piece = vec![0; BUFFER];
    loop {
        let count = body.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        draft.write(piece.get(..count).unwrap_or_default())?;
    }
}

impl SpreadDraft {
    pub(super) fn new(place: usize, written: Box<dyn Draft>) -> SpreadDraft {
        SpreadDraft {
            place,
            written,
            others: Vec::new(),
            last: place,
            date: None,
            identity: None,
        }
    }

    /// That of a place, written there first if it is not. `to`: the mailbox there.
    pub(super) fn part(
        &mut self,
        places: &mut Places,
        place: usize,
        to: &MailboxName,
    ) -> Result<&mut dyn Draft, Error> {
        self.last = place;
        if place != self.place && !self.others.iter().any(|(own, _)| *own == place) {
            let copy = self.copy(places.store_mut(place)?, to)?;
            self.others.push((place, copy));
        }
        Ok(self.last_mut())
    }

    fn last_mut(&mut self) -> &mut dyn Draft {
        let mut others = self.others.iter_mut();
        match others.find(|(own, _)| *own == self.last) {
            Some((_, draft)) => &mut **draft,
            None => &mut *self.written,
        }
    }

    fn copy(&mut self, store: &mut dyn Store, to: &MailboxName) -> Result<Box<dyn Draft>, Error> {
        let mut copy = store.stage_for(to)?;
        fill(&mut *copy, &mut self.written.reader()?)?;
        if let Some(date) = self.date {
            copy.date(date)?;
        }
        if let Some((guid, saved)) = self.identity {
            copy.identify(guid, saved)?;
        }
        Ok(copy)
    }
}

impl Draft for SpreadDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.others.clear();
        self.last = self.place;
        self.written.write(bytes)
    }

    fn octets(&self) -> u64 {
        let mut others = self.others.iter();
        let last = others.find(|(own, _)| *own == self.last);
        last.map_or_else(|| self.written.octets(), |(_, draft)| draft.octets())
    }

    fn whole(&mut self) -> Result<Option<&[u8]>, Error> {
        self.last_mut().whole()
    }

    fn reader(&mut self) -> Result<Body, Error> {
        self.last_mut().reader()
    }

    fn date(&mut self, seconds: i64) -> Result<(), Error> {
        self.date = Some(seconds);
        let mut others = self.others.iter_mut();
        others.try_for_each(|(_, draft)| draft.date(seconds))?;
        self.written.date(seconds)
    }

    fn identify(&mut self, guid: Guid, saved: Option<i64>) -> Result<Guid, Error> {
        self.identity = Some((guid, saved));
        let mut others = self.others.iter_mut();
        others.try_for_each(|(_, draft)| draft.identify(guid, saved).map(drop))?;
        self.written.identify(guid, saved)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
