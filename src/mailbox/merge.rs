//! Writing into the index what a mailbox that was looked at has, chunk by chunk.

use super::resync::{letters, set_named};
use super::roster::{Roster, RosterCursor};
use super::shared::{Shared, State};
use super::{Error, fault, store_fault};
use crate::index::{Bits, Durable, FlagChunk, Name, NameChunk, Summary, Writer};
use crate::mail::{ModSeq, SystemFlags, Uid, UidSet};
use crate::store::{Place, Sighting};
use std::iter::Peekable;

/// Chunks of one transaction: of what it changes the database keeps account in memory. Whoever is ended
/// between two finds the same messages under the same UIDs, which the store has by then, and goes on.
const BATCH: usize = if cfg!(test) { 2 } else { 128 };

/// Messages of 256 UIDs; none where all that the index knew are gone.
struct Chunk {
    number: u32,
    names: Vec<Name>,
    aliases: Vec<(u8, Box<str>)>,
}

/// The chunks that there are and those that the index had, ascending.
struct Chunks<'r, Old: Iterator<Item = u32>> {
    cursor: RosterCursor<'r>,
    /// The first message behind the last chunk, and the chunk it is in.
    ahead: Option<(u32, Name, Option<Box<str>>)>,
    old: Peekable<Old>,
}

impl<'r, Old: Iterator<Item = u32>> Chunks<'r, Old> {
    fn new(roster: &'r Roster<'_>, old: Old) -> Result<Chunks<'r, Old>, crate::store::Error> {
        let mut chunks = Chunks {
            cursor: roster.cursor()?,
            ahead: None,
            old: old.peekable(),
        };
        chunks.read()?;
        Ok(chunks)
    }

    fn read(&mut self) -> Result<(), crate::store::Error> {
        let next = self.cursor.next()?;
        self.ahead = next.map(|(uid, sighting)| {
            let slot = (uid.number() & 255) as u8;
            let alias = sighting.alias.map(Box::from);
            (uid.number() >> 8, name(slot, &sighting), alias)
        });
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Chunk>, crate::store::Error> {
        let present = self.ahead.as_ref().map(|(number, ..)| *number);
        let gone = self.old.peek().copied();
        let Some(number) = present.into_iter().chain(gone).min() else {
            return Ok(None);
        };
        self.old.next_if_eq(&number);
        let mut chunk = Chunk {
            number,
            names: Vec::new(),
            aliases: Vec::new(),
        };
        while let Some((_, name, alias)) = self.ahead.take_if(|(own, ..)| *own == number) {
            chunk.aliases.extend(alias.map(|alias| (name.slot, alias)));
            chunk.names.push(name);
            self.read()?;
        }
        Ok(Some(chunk))
    }
}

pub(super) struct Merge {
    pub(super) summary: Summary,
    /// Messages that were there and have other flags now.
    pub(super) changed: UidSet,
    pub(super) mod_seq: ModSeq,
    pub(super) dirty: bool,
    start_anew: bool,
    /// Messages that the index knew and that are not there.
    pub(super) gone: u32,
    pub(super) first_gone: Option<Uid>,
}

impl Merge {
    /// `start_anew`: what the index knows is forgotten.
    /// `floor`: the least mod-sequence of what changes.
    pub(super) fn new(summary: Summary, start_anew: bool, floor: ModSeq) -> Merge {
        Merge {
            changed: UidSet::new(),
            mod_seq: summary.highest_mod_seq.next().max(floor),
            gone: 0,
            first_gone: None,
            dirty: start_anew,
            start_anew,
            summary,
        }
    }

    /// Writes every chunk that is different.
    pub(super) fn write(
        &mut self,
        shared: &Shared,
        state: &State,
        roster: &Roster<'_>,
    ) -> Result<(), Error> {
        let mut old = Vec::new();
        if !self.start_anew {
            let reading = |error| fault("reading the index")(error);
            let reader = shared.host.index.read().map_err(reading)?;
            let each = &mut |number, _| old.push(number);
            reader.each_flags(shared.id, each).map_err(reading)?;
        }
        self.summary.messages = 0;
        self.summary.seen = 0;
        let scanning = store_fault("scanning a mailbox");
        let mut chunks = Chunks::new(roster, old.into_iter()).map_err(&scanning)?;
        let mut clear = self.start_anew;
        // Some names change without a mod-sequence.
        let mut restless = state.summary.clone().filter(|known| known.rest.is_some());
        loop {
            let mut left = Ok(true);
            shared.host.write(|w| {
                if std::mem::take(&mut clear) {
                    w.clear(shared.id)?;
                } else if let Some(mut known) = restless.take() {
                    known.rest = None;
                    w.set_summary(shared.id, &known)?;
                }
                left = self.batch(w, shared, &mut chunks)?;
                Ok(())
            })?;
            if !left.map_err(&scanning)? {
                break;
            }
            self.settle(shared, state)?;
        }
        if self.dirty {
            self.summary.highest_mod_seq = self.mod_seq;
        }
        Ok(())
    }

    /// Makes durable what is written so far. The summary is that of before, but for what the rows have that
    /// are there by now.
    fn settle(&self, shared: &Shared, state: &State) -> Result<(), Error> {
        let known = state.summary.as_ref().filter(|_| !self.start_anew);
        let between = known.map(|known| Summary {
            highest_mod_seq: self.mod_seq.max(known.highest_mod_seq),
            horizon: self.summary.horizon,
            doubtful: self.summary.doubtful,
            expunges: self.summary.expunges,
            rest: None,
            ..known.clone()
        });
        shared.host.write_with(Durable::Yes, |w| match &between {
            Some(summary) => w.set_summary(shared.id, summary),
            None => Ok(()),
        })
    }

    /// Writes some chunks; false once there are no more.
    fn batch<Old: Iterator<Item = u32>>(
        &mut self,
        w: &mut Writer<'_>,
        shared: &Shared,
        chunks: &mut Chunks<'_, Old>,
    ) -> Result<Result<bool, crate::store::Error>, crate::index::Error> {
        for _ in 0..BATCH {
            match chunks.next() {
                Ok(Some(chunk)) => self.chunk(w, shared, chunk)?,
                Ok(None) => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(true))
    }

    fn chunk(
        &mut self,
        w: &mut Writer<'_>,
        shared: &Shared,
        chunk: Chunk,
    ) -> Result<(), crate::index::Error> {
        let (id, number) = (shared.id, chunk.number);
        let old_flags = w.flags(id, number)?;
        let mut flags = old_flags.clone();
        let mut present = Bits::default();
        let mut changed = Bits::default();
        for name in &chunk.names {
            let slot = name.slot;
            present.set(slot, true);
            if flags.system(slot) != name.flags || letters(&flags, slot) != name.letters {
                set_named(&mut flags, slot, name.flags, name.letters);
                changed.set(slot, true);
            }
        }
        let gone = old_flags.present.without(&present);
        let limit = shared.host.limits.expunges;
        w.note_expunged(id, &mut self.summary, self.mod_seq, number, &gone, limit)?;
        gone.slots().for_each(|slot| flags.remove(slot));
        self.gone += gone.count();
        let first_gone = gone.slots().next();
        let first_gone = first_gone.and_then(|slot| Uid::new(number << 8 | u32::from(slot)));
        self.first_gone = self.first_gone.or(first_gone);
        flags.present = present;
        let new = present.without(&old_flags.present);
        flags.set_mod_seq(&changed.or(&new), self.mod_seq);
        self.note(number, &flags, &changed.without(&new));
        if flags != old_flags || !gone.is_empty() {
            self.dirty = true;
            w.set_flags(id, number, &flags)?;
        }
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        for (first, last) in gone.runs() {
            if let (Some(first), Some(last)) = (uid(first), uid(last)) {
                w.uncache(id, first, last)?;
            }
        }
        w.set_aliases(id, number, &chunk.aliases)?;
        let names = NameChunk { names: chunk.names };
        if names != w.names(id, number)? {
            w.set_names(id, number, &names)?;
        }
        Ok(())
    }

    /// Counts what there is in a chunk.
    fn note(&mut self, number: u32, flags: &FlagChunk, changed: &Bits) {
        let seen = flags.with_flag(SystemFlags::SEEN).and(&flags.present);
        self.summary.messages += flags.present.count();
        self.summary.seen += seen.count();
        let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
        for (first, last) in changed.runs() {
            if let (Some(first), Some(last)) = (uid(first), uid(last)) {
                self.changed.insert_range(first, last);
            }
        }
    }
}

fn name(slot: u8, sighting: &Sighting<'_>) -> Name {
    Name {
        slot,
        base: sighting.name.into(),
        is_new: sighting.place == Place::New,
        flags: sighting.flags,
        letters: sighting.letters,
    }
}
