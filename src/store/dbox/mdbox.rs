//! The store over the mdbox of one user.

use super::draft::DboxDraft;
use super::framing::{GUID, MAILBOX, MESSAGE_HEADER, Metadata, RECEIVED, WIRE_OCTETS};
use super::layout::storage_name;
use super::line::{self, Line};
use super::log::Log;
use super::purge::Purge;
use super::record::{Place, Record};
use super::root::Root;
use super::walk::octets_at;
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid};
use crate::store::side::furnish::furnish;
use crate::store::side::uid_validity;
use crate::store::{
    Blob, BlobId, Body, Compacted, Draft, Error, Filing, Found, MailboxState, Place as Directory,
    Replaced, Scanned, Stamp, Store,
};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::UNIX_EPOCH;

/// Files kept open for reading by one handle.
const MAX_READING: usize = 4;

/// A handle on the mailboxes of one user.
pub(crate) struct Mdbox {
    pub(super) root: Arc<Root>,
    /// Files read last; the last one at the end.
    pub(super) reading: Vec<(u32, Arc<File>)>,
    /// Logs that this handle put lines into.
    unsynced: Vec<Arc<Log>>,
    /// Messages that go once all that came is durable.
    going: Vec<(Arc<Log>, Uid)>,
    /// A purge that is not at its end.
    pub(super) purge: Option<Purge>,
}

fn own(draft: &mut dyn Draft) -> Result<&mut DboxDraft, Error> {
    let own = draft.as_any().downcast_mut();
    own.ok_or(Error::Corrupt { what: "a draft" })
}

impl Mdbox {
    /// Opens the mdbox at `root` and makes it if it is not there. `rotate_octets`: a file that has so
    /// many gets no more messages.
    pub(crate) fn open(root: &Path, rotate_octets: u32) -> Result<Mdbox, Error> {
        Ok(Mdbox {
            root: Root::open(root, rotate_octets)?,
            reading: Vec::new(),
            unsynced: Vec::new(),
            going: Vec::new(),
            purge: None,
        })
    }

    fn put(&mut self, name: &MailboxName, line: Line<'_>) -> Result<(), Error> {
        let log = self.root.log(name)?;
        log.put(line)?;
        self.soil(log);
        Ok(())
    }

    /// What was to go does not.
    fn stay(&mut self) {
        let going = std::mem::take(&mut self.going);
        going.iter().for_each(|(log, uid)| log.stay(*uid));
    }

    fn soil(&mut self, log: Arc<Log>) {
        if !self.unsynced.iter().any(|own| Arc::ptr_eq(own, &log)) {
            self.unsynced.push(log);
        }
    }

    /// Puts a message into a mailbox under another UID.
    fn file(&mut self, to: &MailboxName, record: Record, new: &Filing) -> Result<BlobId, Error> {
        let saved = crate::sys::clock::now_seconds();
        let uid = new.uid;
        let filed = Record {
            saved,
            uid,
            ..record
        }
        .filed(new);
        self.put(to, Line::Filed(&filed.name, filed.flags, filed.letters))?;
        Ok(filed)
    }

    /// As `file`, of a message that is in a mailbox already.
    fn carry_on(
        &mut self,
        to: &MailboxName,
        record: Record,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let number = record.place.file;
        let filed = self.file(to, record, new);
        // Whoever reads logs for a purge from now on finds the line.
        self.root.files.note_copy(number);
        filed
    }

    /// An open file of messages.
    fn reading(&mut self, number: u32) -> Result<Arc<File>, Error> {
        let known = self.reading.iter().position(|(own, _)| *own == number);
        let entry = match known {
            Some(at) => self.reading.remove(at),
            None => (number, Arc::new(self.root.files.open(number)?)),
        };
        if self.reading.len() >= MAX_READING {
            self.reading.remove(0);
        }
        let file = entry.1.clone();
        self.reading.push(entry);
        Ok(file)
    }

    /// Writes the log of a mailbox anew: these messages, of those it has, and that state.
    fn renew(&self, name: &MailboxName, state: &MailboxState, uids: &[Uid]) -> Result<(), Error> {
        self.root.log(name)?.renew(&|contents| {
            contents.known = Some((state.uid_validity, state.guid));
            contents.uid_next = contents.uid_next.max(Some(state.uid_next));
            let letters = state.keywords.iter().take(line::MAX_LETTERS);
            contents.keywords = letters.cloned().collect();
            let there = |uid: &Uid| uids.binary_search(uid).is_ok();
            contents.messages.retain(|uid, _| there(uid));
        })
    }
}

impl Drop for Mdbox {
    fn drop(&mut self) {
        self.stay();
    }
}

impl Store for Mdbox {
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error> {
        Ok(Box::new(DboxDraft::new(&self.root)?))
    }

    fn scratch(&mut self) -> Result<File, Error> {
        self.root.nameless()
    }

    fn save(&mut self, draft: &mut dyn Draft, to: &MailboxName) -> Result<(), Error> {
        let draft = own(draft)?;
        draft.finish()?;
        let here = Arc::downgrade(&self.root);
        let saved = draft.saved.as_ref();
        if saved.is_some_and(|(root, ..)| Weak::ptr_eq(root, &here)) {
            return Ok(());
        }
        let mut metadata = Metadata::default();
        metadata.put(RECEIVED, format!("{:x}", draft.received));
        metadata.put(WIRE_OCTETS, format!("{:x}", draft.octets()));
        metadata.put(GUID, draft.guid.to_string());
        metadata.put(MAILBOX, storage_name(to).ok_or(Error::NoSuchMailbox)?);
        let (place, hold) = self.root.files.append(draft, &metadata)?;
        draft.saved = Some((here, place, hold));
        Ok(())
    }

    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        self.save(draft, to)?;
        let draft = own(draft)?;
        let (_, place, _) = draft.saved.as_ref().ok_or(Error::NoSuchMessage)?;
        let record = Record {
            guid: draft.guid.to_string().into(),
            place: *place,
            stored: draft.stored_octets(),
            wire: draft.octets(),
            received: draft.received,
            saved: 0,
            uid: new.uid,
        };
        self.file(to, record, new)
    }

    fn copy(
        &mut self,
        _from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        self.carry_on(to, Record::of(blob)?, new)
    }

    fn transfer(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let record = Record::of(blob)?;
        let gone = record.uid;
        let source = self.root.log(from)?;
        if !source.leave(gone) {
            return Err(Error::NoSuchMessage);
        }
        // It goes when it is durable where it came.
        self.going.push((source, gone));
        self.carry_on(to, record, new)
    }

    fn sync(&mut self) -> Result<(), Error> {
        let mut going = std::mem::take(&mut self.going);
        let unsynced = std::mem::take(&mut self.unsynced);
        let synced = unsynced.iter().try_for_each(|log| log.sync());
        if synced.is_err() {
            self.going = going;
            self.stay();
            return synced;
        }
        let gone = going
            .iter()
            .try_for_each(|(log, uid)| log.put(Line::Expunged(*uid)));
        going.dedup_by(|(a, _), (b, _)| Arc::ptr_eq(a, b));
        gone.and_then(|()| going.iter().try_for_each(|(log, _)| log.sync()))
    }

    fn sync_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.log(name)?.sync()
    }

    fn promise(&mut self, name: &MailboxName, (first, last): (Uid, Uid)) -> Result<(), Error> {
        // Durable before anything that stands behind it.
        self.root.log(name)?.together(first, last)
    }

    fn fulfil(&mut self, name: &MailboxName, (first, last): (Uid, Uid)) -> Result<(), Error> {
        self.root.log(name)?.end(first, last)
    }

    fn promised(&mut self, name: &MailboxName) -> Result<Vec<(Uid, Uid)>, Error> {
        let contents = self.root.log(name)?.contents()?;
        let together = contents.together.iter();
        Ok(together.map(|(first, last, _)| (*first, *last)).collect())
    }

    fn open(&mut self, _name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
        let record = Record::of(blob)?;
        let Place { file, offset } = record.place;
        let file = self.reading(file)?;
        if octets_at(&file, offset)? != Some(record.stored) {
            return Err(Error::Corrupt { what: "a message" });
        }
        let start = offset + MESSAGE_HEADER as u64;
        Ok(Blob {
            body: Body::part(file, start, record.stored),
            internal_date: record.received,
        })
    }

    fn mark(
        &mut self,
        name: &MailboxName,
        blob: &BlobId,
        flags: SystemFlags,
        letters: u32,
    ) -> Result<(BlobId, bool), Error> {
        let marked = BlobId {
            flags,
            letters,
            ..blob.clone()
        };
        if marked != *blob {
            let uid = Record::uid(&blob.name).ok_or(Error::NoSuchMessage)?;
            self.put(name, Line::Marked(uid, flags, letters))?;
        }
        Ok((marked, false))
    }

    fn remove(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        let uid = Record::uid(&blob.name).ok_or(Error::NoSuchMessage)?;
        self.put(name, Line::Expunged(uid))?;
        Ok(true)
    }

    fn scan(&mut self, name: &MailboxName) -> Result<Scanned, Error> {
        let stamp = self.stamp(name)?;
        let contents = self.root.log(name)?.contents()?;
        if contents.damaged > 0 {
            let damaged = contents.damaged;
            log::error!("{name}: {damaged} lines of its log cannot be read and are left out");
        }
        let rewrite = contents.is_worn();
        let (uid_validity, guid) = match contents.known {
            Some(known) => known,
            None => (
                uid_validity::next(&self.root.path)?,
                uid_validity::random_guid()?,
            ),
        };
        let mut files: HashMap<u32, bool> = HashMap::new();
        let mut found = Vec::with_capacity(contents.messages.len());
        let mut aliases = Vec::new();
        for (uid, message) in contents.messages {
            let number = Record::parse(&message.record).map(|record| record.place.file);
            let exists = |number| {
                *files
                    .entry(number)
                    .or_insert_with(|| self.root.files.exists(number))
            };
            if !number.is_some_and(exists) {
                log::error!(
                    "{name}: the file of message {uid} is gone: {}",
                    message.record
                );
                continue;
            }
            if let Some(uidl) = message.uidl {
                aliases.push((uid, format!("P{uidl}").into()));
            }
            found.push(Found {
                blob: BlobId {
                    name: message.record,
                    place: Directory::Cur,
                    flags: message.flags,
                    letters: message.letters,
                },
                uid: Some(uid),
                listed: true,
            });
        }
        Ok(Scanned {
            state: MailboxState {
                uid_validity,
                uid_next: contents.uid_next.unwrap_or(Uid::MIN),
                guid,
                keywords: contents.keywords,
            },
            found,
            stamp,
            header_known: contents.known.is_some(),
            rewrite,
            aliases,
        })
    }

    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        _lines: &[(Uid, &str)],
    ) -> Result<(), Error> {
        // It had the lines when the messages got their UIDs.
        self.root.log(name)?.give(state.uid_next)
    }

    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &[(Uid, &str)],
    ) -> Result<(), Error> {
        let uids: Vec<Uid> = lines.iter().map(|(uid, _)| *uid).collect();
        self.renew(name, state, &uids)
    }

    fn record_uidls(&mut self, name: &MailboxName, uidls: &[(Uid, &str)]) -> Result<(), Error> {
        let log = self.root.log(name)?;
        for (uid, uidl) in uidls {
            log.put(Line::Uidl(*uid, uidl))?;
        }
        log.sync()
    }

    fn record_keywords(
        &mut self,
        name: &MailboxName,
        keywords: &[Option<Keyword>],
    ) -> Result<(), Error> {
        let log = self.root.log(name)?;
        log.name(keywords)?;
        self.soil(log);
        Ok(())
    }

    fn stamp(&mut self, name: &MailboxName) -> Result<Stamp, Error> {
        let directory = self.root.directory(name)?;
        // Nobody else writes there; a log of another time has come from a backup.
        let made = fs::metadata(directory.join(line::FILE)).and_then(|log| log.created());
        let made = made
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let list = made.and_then(|time| i64::try_from(time.as_nanos()).ok());
        match list {
            None if !directory.is_dir() => Err(Error::NoSuchMailbox),
            list => Ok(Stamp {
                list: list.unwrap_or(0),
                ..Stamp::default()
            }),
        }
    }

    fn watched(&self, _name: &MailboxName) -> Vec<PathBuf> {
        Vec::new()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.root.mailboxes()
    }

    fn create(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.make(name)
    }

    fn furnish(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        let root = self.root.clone();
        furnish(self, &root.path, names)
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        self.root.rename(from, to)
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.remove(name)
    }

    fn root(&self) -> &Path {
        &self.root.path
    }

    fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        self.root.directory(name)
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

    fn sweep(&mut self, _name: &MailboxName) -> Result<(), Error> {
        self.root.sweep()
    }
}
