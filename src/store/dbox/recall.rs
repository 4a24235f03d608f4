//! What the index tells of a mailbox whose log is gone, or cannot be read as a whole.

use super::files::Files;
use super::framing::GUID;
use super::line::{Contents, MAX_LETTERS, Message};
use super::record::{Place, Record};
use super::root::Root;
use super::walk::{message_at, walk};
use crate::mail::{Keyword, MailboxName, Uid};
use crate::store::side::room;
use crate::store::{Error, Recalled};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;

/// Of an index that was not closed nobody knows which UIDs were given after those that it has; they are fewer
/// than so many.
const UID_LEAP: u32 = 1 << 20;

/// Takes out of these messages those that are not there, and has the others say where they are.
pub(super) type Confirm<'a> = dyn FnMut(&mut BTreeMap<Uid, Message>) -> Result<(), Error> + 'a;

/// Messages of a mailbox as the index knows them, and the mailbox itself.
type Remembered = (BTreeMap<Uid, Message>, Recalled);

/// What came of asking the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// It knows nothing of the mailbox, or of another that had its name.
    Nothing,
    /// What it knows is of other messages than there are: its UIDVALIDITY is that of those.
    Foreign,
    /// It told something.
    Some {
        /// Nothing can have been in the log that is not known now.
        complete: bool,
    },
}

impl Root {
    /// Adds to what a log says all that the index knows of the mailbox beside that.
    pub(super) fn recall(
        &self,
        name: &MailboxName,
        contents: &mut Contents,
        confirm: &mut Confirm<'_>,
    ) -> Result<Recall, Error> {
        let Some((mut messages, recalled)) = self.remembered(name)? else {
            return Ok(Recall::Nothing);
        };
        let Recalled { state, complete } = recalled;
        let known = (state.uid_validity, state.guid);
        if contents.known.is_some_and(|own| own != known) {
            return Ok(Recall::Nothing);
        }
        let mut both = Vec::new();
        messages.retain(|uid, message| {
            let only = !contents.messages.contains_key(uid);
            if !only {
                both.push((*uid, message.flags, message.letters, message.uidl.take()));
            }
            only && !contents.expunged.contains(*uid)
        });
        let only = messages.len();
        confirm(&mut messages)?;
        if only > 0 && messages.is_empty() && contents.messages.is_empty() {
            let name = name.of(&self.path);
            log::warn!("{name}: the index is of other messages than there are");
            return Ok(Recall::Foreign);
        }
        contents.known = Some(known);
        let leapt = state.uid_next.number().checked_add(UID_LEAP);
        let leapt = leapt.filter(|_| !complete).and_then(Uid::new);
        contents.give(leapt.unwrap_or(state.uid_next));
        contents.learn_keywords(state.keywords);
        // The lines that changed these last may be among those that cannot be read.
        for (uid, flags, letters, uidl) in both.into_iter().filter(|_| complete) {
            if let Some(own) = contents.messages.get_mut(&uid) {
                (own.flags, own.letters) = (flags, letters);
                own.uidl = own.uidl.take().or(uidl);
            }
        }
        let (count, gone) = (messages.len(), only - messages.len());
        contents.messages.append(&mut messages);
        let name = name.of(&self.path);
        log::warn!(
            "{name}: what its log lacks is in the index: {count} messages have their UIDs, flags and keywords from \
             there"
        );
        if gone > 0 {
            log::error!("{name}: {gone} messages that the index knows are in no file");
        }
        Ok(Recall::Some {
            complete: complete && gone == 0,
        })
    }

    /// What the index knows.
    pub(super) fn remembered(&self, name: &MailboxName) -> Result<Option<Remembered>, Error> {
        let Some(memory) = self.memory() else {
            return Ok(None);
        };
        let mut messages = BTreeMap::new();
        let recalled = memory.recall(name, &mut |uid, blob, uidl| {
            // What another format said is of no use.
            if Record::uid(&blob.name) == Some(uid) {
                let message = Message {
                    flags: blob.flags,
                    letters: blob.letters,
                    uidl: uidl.map(Box::from),
                    ..Message::unmarked(blob.name)
                };
                messages.insert(uid, message);
                room::for_messages(messages.len(), room::OF_DBOX)?;
            }
            Ok(())
        })?;
        Ok(recalled.map(|recalled| (messages, recalled)))
    }
}

impl Contents {
    /// What letters mean of which nothing is said.
    fn learn_keywords(&mut self, keywords: Vec<Option<Keyword>>) {
        for (at, keyword) in keywords.into_iter().take(MAX_LETTERS).enumerate() {
            let length = self.keywords.len().max(at + 1);
            self.keywords.resize(length, None);
            if let Some(own) = self.keywords.get_mut(at).filter(|own| own.is_none()) {
                *own = keyword;
            }
        }
    }
}

impl Record {
    /// True if a file has that message where it should be, as far as what stands around it tells.
    pub(super) fn is_that(&self, found: &Record) -> bool {
        let sizes = |record: &Record| (record.stored, record.wire, record.received);
        self.guid == found.guid || sizes(self) == sizes(found)
    }
}

/// As [`Confirm`], of messages in the files of an mdbox. What a purge has elsewhere is found there.
pub(super) fn confirm(files: &Files, messages: &mut BTreeMap<Uid, Message>) -> Result<(), Error> {
    let mut reading: Option<(u32, File)> = None;
    let mut lost: HashMap<Box<str>, Vec<(Uid, Message)>> = HashMap::new();
    let mut failure = Ok(());
    messages.retain(|uid, message| {
        let Some(record) = Record::parse(&message.record) else {
            return false;
        };
        let stays = is_there(files, &mut reading, *uid, &record).unwrap_or_else(|error| {
            failure = Err(error);
            true
        });
        if !stays {
            let own = lost.entry(record.guid).or_default();
            own.push((*uid, message.clone()));
        }
        stays
    });
    failure?;
    if lost.is_empty() {
        return Ok(());
    }
    for file in files.numbers()? {
        walk(&files.open(file)?, &mut |framed| {
            let guid = framed.metadata.get(GUID);
            let guid = guid.and_then(|guid| std::str::from_utf8(guid).ok());
            let offset = framed.start;
            for (uid, mut message) in guid.and_then(|guid| lost.remove(guid)).unwrap_or_default() {
                if message.place(Place { file, offset }).is_some() {
                    messages.insert(uid, message);
                }
            }
            Ok(!lost.is_empty())
        })?;
    }
    Ok(())
}

fn is_there(
    files: &Files,
    reading: &mut Option<(u32, File)>,
    uid: Uid,
    record: &Record,
) -> Result<bool, Error> {
    let Some(place) = record.place else {
        return Ok(false);
    };
    if reading.as_ref().is_none_or(|(own, _)| *own != place.file) {
        match files.open(place.file) {
            // Where it was put aside may not be mounted.
            Err(Error::NoSuchMessage) => return Ok(files.may_be_aside()),
            opened => *reading = Some((place.file, opened?)),
        }
    }
    let Some((_, file)) = reading else {
        return Ok(false);
    };
    let framed = message_at(file, place.offset)?;
    let found = framed.map(|framed| Record::of_framed(&framed, uid, Some(place)));
    Ok(found.is_some_and(|found| record.is_that(&found)))
}
