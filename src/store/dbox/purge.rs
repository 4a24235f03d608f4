//! Giving back the room of messages that no mailbox has any more.
//!
//! A file is taken out of use in three steps: `compact` copies the messages that some mailbox has to the
//! file which is appended to; `replace`, while the mailboxes that have them are locked, says in their
//! logs where they are now; `discard` removes the file. A crash in between leaves copies that nobody
//! has, for the next purge.

use super::files::Side;
use super::line::Line;
use super::log::SORT_OCTETS;
use super::mdbox::Mdbox;
use super::record::{Place, Record};
use super::walk::walk;
use crate::mail::MailboxName;
use crate::store::{Compacted, Compaction, Error, Replaced};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;

/// Where the frames of a file are now.
type Moved = HashMap<u64, Place>;

/// A message that a mailbox has in some file.
struct Reference {
    /// Which of the mailboxes.
    at: usize,
    offset: u64,
    /// It is to lie elsewhere.
    chosen: bool,
}

/// What mailboxes have of one file.
type References = Vec<Reference>;

/// What a purge found at its beginning, and what it is at.
#[derive(Default)]
pub(super) struct Purge {
    pub(super) aim: Compaction,
    mailboxes: Vec<MailboxName>,
    /// Files that are still to be looked at, and what mailboxes have of them.
    files: BTreeMap<u32, References>,
    file: u32,
    moved: Moved,
}

impl Mdbox {
    /// Finds out which files there are to look at: none that is appended to, or has messages that are
    /// saved and not yet in any mailbox.
    fn survey(&mut self, aim: Compaction) -> Result<Purge, Error> {
        // In this order: what a file has by then is found in the logs, or the file is in use, or it was
        // not there yet.
        self.files.watch(true);
        self.files.rotate();
        let numbers = self.files.numbers()?.into_iter();
        let in_use = self.files.in_use();
        let files = numbers.filter(|number| !in_use.contains(number));
        let mut files: BTreeMap<u32, References> = files.map(|n| (n, Vec::new())).collect();
        // Each of them: what a mailbox has that is left out would be removed.
        let mailboxes = self.root.all_mailboxes()?;
        for (at, name) in mailboxes.iter().enumerate() {
            let (head, all) = self.root.log(name)?.folded(SORT_OCTETS)?;
            if head.damaged > 0 || head.known.is_none() {
                // What cannot be read, or is cut off, may name any message.
                return Err(Error::Corrupt {
                    what: "the log of a mailbox",
                });
            }
            let mut messages = all.messages()?;
            while let Some((_, message)) = messages.next()? {
                let record = Record::parse(&message.record);
                let record = record.ok_or(Error::Corrupt { what: "a record" })?;
                let place = record.placed()?;
                if let Some(references) = files.get_mut(&place.file) {
                    references.push(Reference {
                        at,
                        offset: place.offset,
                        chosen: chooses(aim, &record),
                    });
                }
            }
        }
        Ok(Purge {
            aim,
            mailboxes,
            files,
            ..Purge::default()
        })
    }

    /// Goes to the next file that has messages which nobody has. `None`: there is no other.
    pub(super) fn compact_next(&mut self, aim: Compaction) -> Result<Option<Compacted>, Error> {
        let mut purge = match self.purge.take() {
            Some(purge) => purge,
            None => self.survey(aim)?,
        };
        while let Some((number, references)) = purge.files.pop_first() {
            let file = match self.files.open(number) {
                Err(Error::NoSuchMessage) => continue,
                file => file?,
            };
            let side = self.files.side(number);
            if aim.target() == Some(side) {
                continue;
            }
            let frames = Frames::of(&references, aim.target());
            let Some((moved, freed)) = frames.room(&file)? else {
                continue;
            };
            purge.file = number;
            purge.moved = self.carry(&file, &frames, side)?;
            let mut mailboxes: Vec<MailboxName> = Vec::new();
            for reference in &references {
                mailboxes.extend(purge.mailboxes.get(reference.at).cloned());
            }
            mailboxes.dedup();
            self.purge = Some(purge);
            return Ok(Some(Compacted {
                mailboxes,
                freed,
                moved,
            }));
        }
        self.files.watch(false);
        Ok(None)
    }

    /// Copies the frames that mailboxes have; where they are then, durably.
    fn carry(&self, file: &File, frames: &Frames, side: Side) -> Result<Moved, Error> {
        let mut moved = Moved::new();
        let files = &self.files;
        let mut failure = None;
        walk(file, &mut |framed| {
            let side = match frames.chosen(framed.start) {
                Some(true) => frames.target.unwrap_or(side),
                Some(false) => side,
                None => return Ok(true),
            };
            let before = || self.root.settle_arrivals();
            match files.append_frame(file, (framed.start, framed.end), side, &before) {
                Ok(place) => drop(moved.insert(framed.start, place)),
                Err(error) => failure = Some(error),
            }
            Ok(failure.is_none())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        files.sync()?;
        Ok(moved)
    }

    /// Says in the log of a mailbox where its messages of that file are now. Durable.
    pub(super) fn replace_in(&mut self, name: &MailboxName) -> Result<Replaced, Error> {
        let Some(purge) = &self.purge else {
            return Ok(Vec::new());
        };
        let log = self.root.log(name)?;
        let mut replaced = Vec::new();
        let (_, all) = log.folded(SORT_OCTETS)?;
        let mut messages = all.messages()?;
        while let Some((uid, mut message)) = messages.next()? {
            let record = Record::parse(&message.record);
            let Some(old) = record.and_then(|record| record.place) else {
                continue;
            };
            if old.file != purge.file {
                continue;
            }
            // It went from a mailbox that was looked at late to one that was looked at early: that is
            // noted as a copy, and the file stays.
            let Some(&place) = purge.moved.get(&old.offset) else {
                continue;
            };
            log.put(Line::Placed(uid, place))?;
            message
                .place(place)
                .ok_or(Error::Corrupt { what: "a record" })?;
            replaced.push((uid, message.record));
        }
        log.sync()?;
        Ok(replaced)
    }

    /// Removes the file, unless a copy of one of its messages was made meanwhile.
    pub(super) fn discard_file(&mut self) -> Result<bool, Error> {
        let Some(purge) = &self.purge else {
            return Ok(false);
        };
        self.reading.retain(|(number, _)| *number != purge.file);
        match self.files.was_copied_from(purge.file) {
            true => Ok(false),
            false => self.files.remove(purge.file).map(|()| true),
        }
    }
}

impl Compaction {
    /// Where what was chosen is to lie.
    fn target(self) -> Option<Side> {
        match self {
            Compaction::Purge => None,
            Compaction::Aside(_) => Some(Side::Alternate),
            Compaction::Back(_) => Some(Side::Primary),
        }
    }
}

fn chooses(aim: Compaction, record: &Record) -> bool {
    let (Compaction::Aside(selection) | Compaction::Back(selection)) = aim else {
        return false;
    };
    selection.before.is_none_or(|time| record.received < time)
        && selection
            .saved_before
            .is_none_or(|time| record.saved < time)
        && selection.larger.is_none_or(|octets| record.wire > octets)
}

/// The frames of one file that some mailbox has.
struct Frames {
    /// Where those begin, ascending, and whether they are to lie elsewhere: all that have one say so.
    wanted: Vec<(u64, bool)>,
    /// Where else.
    target: Option<Side>,
}

impl Frames {
    fn of(references: &References, target: Option<Side>) -> Frames {
        let own = |own: &Reference| (own.offset, own.chosen && target.is_some());
        let mut wanted: Vec<(u64, bool)> = references.iter().map(own).collect();
        wanted.sort_unstable();
        // Of one that is chosen and one that is not, the latter comes first.
        wanted.dedup_by_key(|(offset, _)| *offset);
        Frames { wanted, target }
    }

    /// Whether the frame that begins there is chosen; `None` if nobody has it.
    fn chosen(&self, start: u64) -> Option<bool> {
        let at = self.wanted.binary_search_by_key(&start, |(own, _)| *own);
        at.ok().and_then(|at| self.wanted.get(at)).map(|own| own.1)
    }

    /// How many messages go elsewhere, and their octets; or, of a purge, the octets that nobody has. `None`: there
    /// are none, or not all that somebody has are found where they should be.
    fn room(&self, file: &File) -> Result<Option<(u32, u64)>, Error> {
        let (mut kept, mut found, mut moved, mut octets) = (0, 0, 0, 0);
        walk(file, &mut |framed| {
            if let Some(chosen) = self.chosen(framed.start) {
                kept += framed.end - framed.start;
                found += 1;
                if chosen {
                    moved += 1;
                    octets += framed.end - framed.start;
                }
            }
            Ok(true)
        })?;
        if found != self.wanted.len() {
            return Ok(None);
        }
        if self.target.is_some() {
            return Ok((moved > 0).then_some((moved, octets)));
        }
        let freed = file.metadata()?.len().saturating_sub(kept);
        // The line at its start is no waste.
        let waste = freed > super::framing::MAX_FILE_HEADER as u64 || self.wanted.is_empty();
        Ok(waste.then_some((0, freed)))
    }
}
