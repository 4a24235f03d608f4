//! The messages of an mdbox: many in each file `storage/m.N`.

use super::arrival::Arrival;
use super::draft::{DboxDraft, Saved};
use super::files::{Files, PutLine};
use super::folded::Present;
use super::framing::Metadata;
use super::fresh::Fresh;
use super::line::{Contents, Together};
use super::log::{Log, SORT_OCTETS};
use super::messages::{Gone, Messages, Naming, Put, unless_full};
use super::purge::Purge;
use super::recall::{self, Recall};
use super::record::{Place, Record};
use super::root::Root;
use crate::mail::{MailboxName, Uid, UidSet};
use crate::store::{Away, Compacted, Compaction, Error, Replaced};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// Files kept open for reading by one handle.
const MAX_READING: usize = 4;

pub(super) struct Mdbox {
    pub(super) root: Arc<Root>,
    pub(super) files: Arc<Files>,
    /// Files read last; the last one at the end.
    pub(super) reading: Vec<(u32, Arc<File>)>,
    /// Frames of drafts that may not be durable.
    fresh: Vec<Fresh>,
    /// A purge that is not at its end.
    pub(super) purge: Option<Purge>,
}

impl Mdbox {
    pub(super) fn new(root: &Arc<Root>, rotate_octets: u32) -> Mdbox {
        Mdbox {
            root: root.clone(),
            files: Files::of(&root.path, root.alternate.as_deref(), rotate_octets),
            reading: Vec::new(),
            fresh: Vec::new(),
            purge: None,
        }
    }

    /// Has the log of a mailbox, some of which cannot be read, written anew with all messages that are found: one
    /// without its line would go with the next purge. Where its first line alone is damaged, it has none then: an
    /// index knows what it said, and UIDs are as they were.
    fn mend(&self, name: &MailboxName, log: &Log) -> Result<(), Error> {
        let mut contents = log.contents()?;
        let damaged = std::mem::take(&mut contents.damaged);
        log::error!(
            "{}: {damaged} lines of its log cannot be read",
            name.of(&self.root.path)
        );
        let confirm = &mut |own: &mut _| recall::confirm(&self.files, own);
        match self.root.recall(name, &mut contents, confirm)? {
            Recall::Some { complete } => {
                self.root.rejoin_unless(complete, name, &mut contents)?;
            }
            Recall::Nothing | Recall::Foreign => {
                // Without a line here, those which are not seen now would go with a purge when they are.
                self.files.all_there()?;
                let count = self.root.rejoin(name, &mut contents)?;
                if contents.known.is_none() && count > 0 {
                    // Messages had these UIDs, perhaps, that went.
                    contents.known = self.root.empty()?.known;
                }
                log::error!(
                    "{}: {count} messages have new UIDs",
                    name.of(&self.root.path)
                );
            }
        }
        log.rewrite(&contents)
    }

    /// As [`Files::open`]. Errors: also where it may be aside, and nobody can look there now.
    fn open_there(&self, number: u32) -> Result<File, Error> {
        match self.files.open(number) {
            Err(Error::NoSuchMessage) => {
                self.files.all_there()?;
                Err(Error::NoSuchMessage)
            }
            opened => opened,
        }
    }

    /// An open file of messages.
    fn reading(&mut self, number: u32) -> Result<Arc<File>, Error> {
        let known = self.reading.iter().position(|(own, _)| *own == number);
        let entry = match known {
            Some(at) => self.reading.remove(at),
            None => (number, Arc::new(self.open_there(number)?)),
        };
        if self.reading.len() >= MAX_READING {
            self.reading.remove(0);
        }
        let file = entry.1.clone();
        self.reading.push(entry);
        Ok(file)
    }

    /// Where a draft lies, if it has been written and that did not fail, and the frame.
    fn saved(&self, draft: &DboxDraft) -> Option<(Place, Fresh)> {
        match &draft.saved {
            Some(Saved::Mdbox {
                files,
                place,
                fresh,
                ..
            }) => {
                let here = Weak::ptr_eq(files, &Arc::downgrade(&self.files));
                let good = here && !fresh.group.has_failed();
                good.then(|| (*place, fresh.clone()))
            }
            _ => None,
        }
    }

    /// Writes a draft to the end of a file. `put`: as of [`Files::append`].
    fn append(
        &self,
        draft: &mut DboxDraft,
        metadata: &Metadata,
        put: &mut PutLine<'_>,
    ) -> Result<Fresh, Error> {
        let before = || self.root.settle_arrivals();
        let (place, hold, fresh) = self.files.append(draft, metadata, put, &before)?;
        draft.saved = Some(Saved::Mdbox {
            files: Arc::downgrade(&self.files),
            place,
            fresh: fresh.clone(),
            _hold: hold,
        });
        Ok(fresh)
    }

    /// Adds to the metadata of a draft under what it comes to its mailbox, if the frame can tell that: letters of
    /// keywords mean nothing without the log, and of messages that come together some may be without a frame.
    fn announce(
        draft: &DboxDraft,
        naming: &Naming<'_>,
        metadata: &mut Metadata,
    ) -> Result<bool, Error> {
        let Naming { log, new, .. } = *naming;
        if new.letters != 0 || log.is_promised(new.uid) {
            return Ok(false);
        }
        let (Some(sum), Some(mailbox)) = (draft.sum(metadata), log.mailbox()?) else {
            return Ok(false);
        };
        let arrival = Arrival {
            uid: new.uid,
            mailbox,
            saved: naming.saved,
            flags: new.flags,
        };
        arrival.put(sum, metadata);
        Ok(true)
    }
}

impl Messages for Mdbox {
    fn save(&mut self, draft: &mut DboxDraft, to: &MailboxName, _log: &Log) -> Result<(), Error> {
        // What is written in little time is written once its UID is known.
        if draft.is_small() || self.saved(draft).is_some() {
            return Ok(());
        }
        let metadata = draft.metadata(to)?;
        self.append(draft, &metadata, &mut |_, _| Ok(()))?.sync()
    }

    fn name(
        &mut self,
        draft: &mut DboxDraft,
        naming: &Naming<'_>,
        put: &mut Put<'_>,
    ) -> Result<bool, Error> {
        if let Some((place, fresh)) = self.saved(draft) {
            put(Some(place), Some(&fresh), false)?;
            self.fresh.push(fresh);
            return Ok(false);
        }
        let mut metadata = draft.metadata(naming.to)?;
        let told = Mdbox::announce(draft, naming, &mut metadata)?;
        let put = &mut |place, fresh: &Fresh| put(Some(place), Some(fresh), told);
        let fresh = self.append(draft, &metadata, put)?;
        self.fresh.push(fresh);
        Ok(told)
    }

    fn secure(&mut self) -> Result<(), Error> {
        let mut secured = Ok(());
        // The sync of the last is for all.
        for fresh in std::mem::take(&mut self.fresh).iter().rev() {
            secured = secured.and(fresh.sync());
        }
        secured
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

    fn whereabouts(&self, _name: &MailboxName, record: &Record) -> Option<PathBuf> {
        record.place.map(|place| self.files.path(place.file))
    }

    fn present(
        &mut self,
        name: &MailboxName,
        log: &Log,
        octets: usize,
    ) -> Result<(Contents, Present), Error> {
        let (mut head, mut all) = log.folded(octets)?;
        if head.known.is_none() || head.damaged > 0 {
            let mended = head.mended;
            unless_full(&head, self.mend(name, log))?;
            (head, all) = log.folded(octets)?;
            head.mended += mended;
        }
        let mut files: HashMap<u32, bool> = HashMap::new();
        let (mut gone, mut absent) = (Gone::default(), UidSet::new());
        let mut highest = 0;
        let mut messages = all.messages()?;
        while let Some((uid, message)) = messages.next()? {
            let place = Record::parse(&message.record).and_then(|record| record.place);
            let exists = |place: Place| {
                let known = files.entry(place.file);
                *known.or_insert_with(|| self.files.exists(place.file))
            };
            if let Some(place) = place {
                highest = highest.max(place.file);
            }
            if !place.is_some_and(exists) {
                gone.note(uid, &message.record);
                absent.insert(uid);
            }
        }
        drop(messages);
        self.files.found(highest, !absent.is_empty());
        gone.log(&self.root, name);
        if self.files.may_be_aside() {
            // Where it was put aside may not be mounted.
            absent = UidSet::new();
        }
        Ok((head, Present::new(all, absent, Vec::new())))
    }

    fn away(&mut self, log: &Log) -> Result<Option<Away>, Error> {
        let Some(directory) = self.files.away().map(Path::to_owned) else {
            return Ok(None);
        };
        let (mut count, mut files) = (0, HashMap::new());
        let (_, all) = log.folded(SORT_OCTETS)?;
        let mut messages = all.messages()?;
        while let Some((_, message)) = messages.next()? {
            let place = Record::parse(&message.record).and_then(|record| record.place);
            let is_away = place.is_some_and(|place| {
                let exists = || self.files.exists(place.file);
                !*files.entry(place.file).or_insert_with(exists)
            });
            count += u32::from(is_away);
        }
        Ok((count > 0).then_some(Away {
            messages: count,
            directory,
        }))
    }

    fn is_there_before_its_line(&self) -> bool {
        true
    }

    fn promise(&self, log: &Log, first: Uid, last: Uid) -> Result<(), Error> {
        // Lines are durable in the order in which they stand.
        log.together(Together::counted(first, last))
    }

    fn compact(&mut self, begins: Option<Compaction>) -> Result<Option<Compacted>, Error> {
        if let Some(aim) = begins {
            self.purge = None;
            return self.compact_next(aim);
        }
        let aim = self.purge.as_ref().map(|purge| purge.aim);
        aim.map_or(Ok(None), |aim| self.compact_next(aim))
    }

    fn replace(&mut self, name: &MailboxName) -> Result<Replaced, Error> {
        self.replace_in(name)
    }

    fn discard(&mut self) -> Result<bool, Error> {
        self.discard_file()
    }
}
