//! The messages of an mdbox: many in each file `storage/m.N`.

use super::draft::{DboxDraft, Saved};
use super::files::Files;
use super::line::{Contents, Together};
use super::log::Log;
use super::messages::Messages;
use super::purge::Purge;
use super::record::{Place, Record};
use super::root::Root;
use crate::mail::{MailboxName, Uid};
use crate::store::{Compacted, Error, Filing, Replaced};
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

/// Files kept open for reading by one handle.
const MAX_READING: usize = 4;

pub(super) struct Mdbox {
    pub(super) root: Arc<Root>,
    pub(super) files: Arc<Files>,
    /// Files read last; the last one at the end.
    pub(super) reading: Vec<(u32, Arc<File>)>,
    /// A purge that is not at its end.
    pub(super) purge: Option<Purge>,
}

impl Mdbox {
    pub(super) fn new(root: &Arc<Root>, rotate_octets: u32) -> Mdbox {
        Mdbox {
            root: root.clone(),
            files: Files::of(&root.path, rotate_octets),
            reading: Vec::new(),
            purge: None,
        }
    }

    /// An open file of messages.
    fn reading(&mut self, number: u32) -> Result<Arc<File>, Error> {
        let known = self.reading.iter().position(|(own, _)| *own == number);
        let entry = match known {
            Some(at) => self.reading.remove(at),
            None => (number, Arc::new(self.files.open(number)?)),
        };
        if self.reading.len() >= MAX_READING {
            self.reading.remove(0);
        }
        let file = entry.1.clone();
        self.reading.push(entry);
        Ok(file)
    }

    fn saved(&self, draft: &DboxDraft) -> Option<Place> {
        match &draft.saved {
            Some(Saved::Mdbox { files, place, .. }) => {
                let here = Weak::ptr_eq(files, &Arc::downgrade(&self.files));
                here.then_some(*place)
            }
            _ => None,
        }
    }
}

impl Messages for Mdbox {
    fn save(&mut self, draft: &mut DboxDraft, to: &MailboxName, _log: &Log) -> Result<(), Error> {
        if self.saved(draft).is_none() {
            let (place, hold) = self.files.append(draft, &draft.metadata(to)?)?;
            draft.saved = Some(Saved::Mdbox {
                files: Arc::downgrade(&self.files),
                place,
                _hold: hold,
            });
        }
        Ok(())
    }

    fn name(
        &mut self,
        draft: &mut DboxDraft,
        _to: &Log,
        _new: &Filing,
    ) -> Result<Option<Place>, Error> {
        let place = self.saved(draft).ok_or(Error::NoSuchMessage)?;
        Ok(Some(place))
    }

    fn link(&mut self, _from: &Log, record: &Record, _to: &Log, _uid: Uid) -> Result<(), Error> {
        record.placed().map(|_| ())
    }

    fn linked(&mut self, record: &Record) {
        // Whoever reads logs for a purge from now on finds the line.
        if let Some(place) = record.place {
            self.files.note_copy(place.file);
        }
    }

    fn open(&mut self, _name: &MailboxName, record: &Record) -> Result<(Arc<File>, u64), Error> {
        let Place { file, offset } = record.placed()?;
        Ok((self.reading(file)?, offset))
    }

    fn contents(&mut self, name: &MailboxName, log: &Log) -> Result<Contents, Error> {
        let mut contents = log.contents()?;
        let mut files: HashMap<u32, bool> = HashMap::new();
        contents.messages.retain(|uid, message| {
            let place = Record::parse(&message.record).and_then(|record| record.place);
            let exists = |place: Place| {
                let known = files.entry(place.file);
                *known.or_insert_with(|| self.files.exists(place.file))
            };
            let exists = place.is_some_and(exists);
            if !exists {
                let record = &message.record;
                log::error!("{name}: the file of message {uid} is gone: {record}");
            }
            exists
        });
        Ok(contents)
    }

    fn promise(&self, log: &Log, first: Uid, last: Uid) -> Result<(), Error> {
        // Lines are durable in the order in which they stand.
        log.together(Together::counted(first, last))
    }

    fn compact(&mut self, begins: bool) -> Result<Option<Compacted>, Error> {
        if begins {
            self.purge = None;
        }
        self.compact_next()
    }

    fn replace(&mut self, name: &MailboxName) -> Result<Replaced, Error> {
        self.replace_in(name)
    }

    fn discard(&mut self) -> Result<bool, Error> {
        self.discard_file()
    }
}
