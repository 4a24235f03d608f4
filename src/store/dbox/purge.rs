//! Giving back the room of messages that no mailbox has any more.
//!
//! A file is taken out of use in three steps: `compact` copies the messages that some mailbox has to the
//! file which is appended to; `replace`, while the mailboxes that have them are locked, says in their
//! logs where they are now; `discard` removes the file. A crash in between leaves copies that nobody
//! has, for the next purge.

use super::line::Line;
use super::mdbox::Mdbox;
use super::record::{Place, Record};
use super::walk::walk;
use crate::mail::{MailboxName, Uid};
use crate::store::{Compacted, Error, Replaced};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;

/// Where the frames of a file are now.
type Moved = HashMap<u64, Place>;

/// What mailboxes have of one file.
type References = Vec<(usize, Uid, u64)>;

/// What a purge found at its beginning, and what it is at.
#[derive(Default)]
pub(super) struct Purge {
    mailboxes: Vec<MailboxName>,
    /// Files that are still to be looked at, and what mailboxes have of them.
    files: BTreeMap<u32, References>,
    file: u32,
    moved: Moved,
}

impl Mdbox {
    /// Finds out which files there are to look at: none that is appended to, or has messages that are
    /// saved and not yet in any mailbox.
    fn survey(&mut self) -> Result<Purge, Error> {
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
            let contents = self.root.log(name)?.contents()?;
            if contents.damaged > 0 {
                // What cannot be read may name any message.
                return Err(Error::Corrupt {
                    what: "the log of a mailbox",
                });
            }
            for (uid, message) in contents.messages {
                let record = Record::parse(&message.record);
                let place = record
                    .ok_or(Error::Corrupt { what: "a record" })?
                    .placed()?;
                if let Some(references) = files.get_mut(&place.file) {
                    references.push((at, uid, place.offset));
                }
            }
        }
        Ok(Purge {
            mailboxes,
            files,
            ..Purge::default()
        })
    }

    /// Goes to the next file that has messages which nobody has. `None`: there is no other.
    pub(super) fn compact_next(&mut self) -> Result<Option<Compacted>, Error> {
        let mut purge = match self.purge.take() {
            Some(purge) => purge,
            None => self.survey()?,
        };
        while let Some((number, references)) = purge.files.pop_first() {
            let file = match self.files.open(number) {
                Err(Error::NoSuchMessage) => continue,
                file => file?,
            };
            let Some(freed) = wasted(&file, &references)? else {
                continue;
            };
            purge.file = number;
            purge.moved = self.carry(&file, &references)?;
            let mut mailboxes: Vec<MailboxName> = Vec::new();
            for (at, ..) in &references {
                mailboxes.extend(purge.mailboxes.get(*at).cloned());
            }
            mailboxes.dedup();
            self.purge = Some(purge);
            return Ok(Some(Compacted { mailboxes, freed }));
        }
        self.files.watch(false);
        Ok(None)
    }

    /// Copies the frames that mailboxes have; where they are then, durably.
    fn carry(&self, file: &File, references: &References) -> Result<Moved, Error> {
        let mut moved = Moved::new();
        let mut wanted: Vec<u64> = references.iter().map(|(.., offset)| *offset).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let files = &self.files;
        let mut failure = None;
        walk(file, &mut |framed| {
            if wanted.binary_search(&framed.start).is_ok() {
                match files.append_frame(file, framed.start, framed.end) {
                    Ok(place) => drop(moved.insert(framed.start, place)),
                    Err(error) => failure = Some(error),
                }
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
        for (uid, mut message) in log.contents()?.messages {
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

/// Octets of the messages in a file that nobody has. `None`: there are none, or not all that somebody
/// has are found where they should be.
fn wasted(file: &File, references: &References) -> Result<Option<u64>, Error> {
    let mut wanted: Vec<u64> = references.iter().map(|(.., offset)| *offset).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (mut kept, mut found) = (0, 0);
    walk(file, &mut |framed| {
        if wanted.binary_search(&framed.start).is_ok() {
            kept += framed.end - framed.start;
            found += 1;
        }
        Ok(true)
    })?;
    let length = file.metadata()?.len();
    let freed = length.saturating_sub(kept);
    // The line at its start is no waste.
    let waste = freed > super::framing::MAX_FILE_HEADER as u64 || wanted.is_empty();
    Ok((waste && found == wanted.len()).then_some(freed))
}
