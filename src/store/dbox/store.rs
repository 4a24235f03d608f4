//! The store over the sdbox or mdbox of one user.

use super::attachments;
use super::draft::DboxDraft;
use super::files;
use super::framing::MESSAGE_HEADER;
use super::line::{self, Contents, Line};
use super::log::{Log, SORT_OCTETS};
use super::mdbox::Mdbox;
use super::messages::{Messages, Naming};
use super::record::Record;
use super::root::Root;
use super::sdbox::{self, Sdbox};
use super::walk::{message_at, octets_at};
use crate::codec::packed::Method;
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid, UidSet};
use crate::store::packed;
use crate::store::side::disk;
use crate::store::side::furnish::furnish;
use crate::store::side::uid_validity;
use crate::store::{
    Away, Blob, BlobId, Body, Census, Compacted, Compaction, Draft, Error, Filing, Lines,
    MailboxState, Memory, Replaced, Scanned, Stamp, Store, Totals, WatchedNames,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::UNIX_EPOCH;

/// A handle on the mailboxes of one user.
pub(crate) struct Dbox {
    root: Arc<Root>,
    messages: Box<dyn Messages>,
    /// Logs that this handle put lines into.
    unsynced: Vec<Arc<Log>>,
    /// Logs that it put lines of flags into, which may wait.
    flagged: Vec<Arc<Log>>,
    /// Those that have such lines, when somebody last looked.
    lagging: Vec<Weak<Log>>,
    /// Messages that go once all that came is durable.
    going: Vec<(Arc<Log>, Uid)>,
    /// How new messages are compressed.
    method: Option<Method>,
    /// Where attachments are.
    attachments: Option<PathBuf>,
}

const DAMAGED: Error = Error::Corrupt { what: "a message" };

fn own(draft: &mut dyn Draft) -> Result<&mut DboxDraft, Error> {
    let own = draft.as_any().downcast_mut();
    own.ok_or(Error::Corrupt { what: "a draft" })
}

impl Dbox {
    /// Opens the mdbox at `root` and makes it if it is not there. `rotate_octets`: a file that has so
    /// many gets no more messages. `alternate`: where those are that were put aside.
    pub(crate) fn mdbox(
        root: &Path,
        alternate: Option<&Path>,
        rotate_octets: u32,
    ) -> Result<Dbox, Error> {
        Dbox::mdbox_with(root, alternate, rotate_octets, None)
    }

    /// As `mdbox`; `memory` is asked where a log is lost.
    pub(crate) fn mdbox_with(
        root: &Path,
        alternate: Option<&Path>,
        rotate_octets: u32,
        memory: Option<Arc<dyn Memory>>,
    ) -> Result<Dbox, Error> {
        // It tells the format where there are no messages.
        disk::make_tree(&files::directory(root))?;
        let root = Root::open(root, alternate, Root::recover, memory)?;
        let messages = Box::new(Mdbox::new(&root, rotate_octets));
        Ok(Dbox::over(root, messages))
    }

    /// As `mdbox`, an sdbox.
    pub(crate) fn sdbox(root: &Path) -> Result<Dbox, Error> {
        Dbox::sdbox_with(root, None)
    }

    /// As `sdbox`; `memory` is asked where a log is lost.
    pub(crate) fn sdbox_with(root: &Path, memory: Option<Arc<dyn Memory>>) -> Result<Dbox, Error> {
        let root = Root::open(root, None, sdbox::recover, memory)?;
        let messages = Box::new(Sdbox::new(&root));
        Ok(Dbox::over(root, messages))
    }

    fn over(root: Arc<Root>, messages: Box<dyn Messages>) -> Dbox {
        Dbox {
            root,
            messages,
            unsynced: Vec::new(),
            flagged: Vec::new(),
            lagging: Vec::new(),
            going: Vec::new(),
            method: None,
            attachments: None,
        }
    }

    /// Attachments that Dovecot kept apart are there.
    pub(crate) fn attachments_in(mut self, directory: Option<PathBuf>) -> Dbox {
        self.attachments = directory;
        self
    }

    /// A message that is more than its body, of which the frame begins there.
    fn joined(
        &self,
        record: &Record,
        body: Body,
        (file, offset): (&File, u64),
    ) -> Result<Body, Error> {
        let framed = message_at(file, offset)?.ok_or(DAMAGED)?;
        let Some(directory) = &self.attachments else {
            log::error!(
                "a message has its attachments elsewhere: [storage] attachments says where"
            );
            return Err(DAMAGED);
        };
        let suffix = record.suffix.as_deref().unwrap_or_default();
        attachments::join(body, &framed.metadata, directory, suffix)
    }

    /// New messages are compressed like that.
    pub(crate) fn compressing(mut self, method: Option<Method>) -> Dbox {
        self.method = method;
        self
    }

    fn put(&mut self, log: Arc<Log>, line: Line<'_>) -> Result<(), Error> {
        log.put(line)?;
        self.soil(log);
        Ok(())
    }

    /// What was to go does not.
    fn all_stay(&mut self) {
        let going = std::mem::take(&mut self.going);
        going.iter().for_each(|(log, uid)| log.stay(*uid));
    }

    fn soil(&mut self, log: Arc<Log>) {
        if !self.unsynced.iter().any(|own| Arc::ptr_eq(own, &log)) {
            self.unsynced.push(log);
        }
    }

    /// Lines of flags are not synced by themselves: the next sync of their log, at the latest that of `settle`, has
    /// all that came until then.
    fn write_flags(&mut self) -> Result<(), Error> {
        let lags = |log: &Weak<Log>| log.upgrade().is_some_and(|log| log.lags());
        self.lagging.retain(lags);
        for log in std::mem::take(&mut self.flagged) {
            log.write_out()?;
            let log = Arc::downgrade(&log);
            if !self.lagging.iter().any(|own| own.ptr_eq(&log)) {
                self.lagging.push(log);
            }
        }
        Ok(())
    }

    /// Puts a message into a mailbox.
    fn file(log: &Log, record: &Record, new: &Filing) -> Result<BlobId, Error> {
        let filed = record.filed(new);
        log.put(Line::Filed(&filed.name, filed.flags, filed.letters))?;
        Ok(filed)
    }

    /// As `file`, of a message that is in a mailbox already.
    fn carry_on(
        &mut self,
        from: &Log,
        to: &MailboxName,
        record: Record,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let log = self.root.log(to)?;
        log.bound()?;
        log.reserve()?;
        self.messages.link(from, &record, &log, new.uid)?;
        let carried = Record {
            saved: crate::sys::clock::now_seconds(),
            uid: new.uid,
            ..record
        };
        let filed = Dbox::file(&log, &carried, new);
        self.messages.linked(&carried);
        self.soil(log);
        filed
    }

    /// Writes the log of a mailbox anew: these messages, of those it has, and that state.
    fn renew(&self, name: &MailboxName, state: &MailboxState, uids: &UidSet) -> Result<(), Error> {
        let change = |contents: &mut Contents| {
            let known = Some((state.uid_validity, state.guid));
            // UIDs of another mailbox say nothing of those that this one gave.
            if contents.known.is_some() && contents.known != known {
                contents.uid_next = None;
            }
            contents.known = known;
            contents.uid_next = contents.uid_next.max(Some(state.uid_next));
            let letters = state.keywords.iter().take(line::MAX_LETTERS);
            contents.keywords = letters.cloned().collect();
        };
        self.root.log(name)?.renew(&change, uids)
    }
}

impl Drop for Dbox {
    fn drop(&mut self) {
        self.all_stay();
    }
}

impl Store for Dbox {
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error> {
        Ok(Box::new(DboxDraft::new(&self.root, self.method)?))
    }

    fn scratch(&mut self) -> Result<File, Error> {
        self.root.nameless()
    }

    fn save(&mut self, draft: &mut dyn Draft, to: &MailboxName) -> Result<(), Error> {
        let draft = own(draft)?;
        draft.finish()?;
        let log = self.root.log(to)?;
        self.messages.save(draft, to, &log)
    }

    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        self.save(draft, to)?;
        let draft = own(draft)?;
        let log = self.root.log(to)?;
        log.bound()?;
        log.reserve()?;
        let mut record = Record {
            guid: draft.guid.to_string().into(),
            place: None,
            stored: draft.stored_octets(),
            wire: draft.octets(),
            packed: draft.packed_octets(),
            suffix: None,
            received: draft.received,
            saved: draft.since.unwrap_or_else(crate::sys::clock::now_seconds),
            uid: new.uid,
        };
        let naming = Naming {
            to,
            log: &log,
            new,
            saved: record.saved,
        };
        let mut filed = None;
        let told = self
            .messages
            .name(draft, &naming, &mut |place, fresh, loose| {
                record.place = place;
                let own = filed.insert(record.filed(new));
                let line = Line::Filed(&own.name, own.flags, own.letters);
                log.put_filed((new.uid, line), fresh, loose)
            })?;
        if !told {
            self.soil(log);
        }
        filed.ok_or(Error::NoSuchMessage)
    }

    fn copy(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let source = self.root.log(from)?;
        self.carry_on(&source, to, Record::of(blob)?, new)
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
        let came = self.carry_on(&source, to, record, new);
        match came {
            // It goes when it is durable where it came.
            Ok(_) => self.going.push((source, gone)),
            Err(_) => source.stay(gone),
        }
        came
    }

    fn leave(&mut self, from: &MailboxName, blob: &BlobId) -> Result<(), Error> {
        let uid = Record::of(blob)?.uid;
        let log = self.root.log(from)?;
        if !log.leave(uid) {
            return Err(Error::NoSuchMessage);
        }
        self.going.push((log, uid));
        Ok(())
    }

    fn stay(&mut self) {
        if let Some((log, uid)) = self.going.pop() {
            log.stay(uid);
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        let mut going = std::mem::take(&mut self.going);
        let unsynced = std::mem::take(&mut self.unsynced);
        let synced = self.messages.secure();
        let synced = synced.and_then(|()| self.write_flags());
        let synced = synced.and_then(|()| unsynced.iter().try_for_each(|log| log.sync()));
        let synced = synced.and_then(|()| self.messages.sync(&unsynced));
        if synced.is_err() {
            self.going = going;
            self.all_stay();
            return synced;
        }
        for (log, uid) in &going {
            log.put(Line::Expunged(*uid))?;
            self.messages.gone(log, *uid)?;
        }
        going.dedup_by(|(a, _), (b, _)| Arc::ptr_eq(a, b));
        going.iter().try_for_each(|(log, _)| log.sync())
    }

    fn sync_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let log = self.root.log(name)?;
        log.sync()?;
        self.messages.sync(&[log])
    }

    fn promise(&mut self, name: &MailboxName, (first, last): (Uid, Uid)) -> Result<(), Error> {
        let log = self.root.log(name)?;
        self.messages.promise(&log, first, last)
    }

    fn fulfil(&mut self, name: &MailboxName, (first, last): (Uid, Uid)) -> Result<(), Error> {
        self.root.log(name)?.end(first, last)
    }

    fn promised(&mut self, name: &MailboxName) -> Result<Vec<(Uid, Uid)>, Error> {
        let head = self.root.log(name)?.head()?;
        let together = head.together.iter();
        Ok(together.map(|together| together.ends()).collect())
    }

    fn away(&mut self, name: &MailboxName) -> Result<Option<Away>, Error> {
        let log = self.root.log(name)?;
        self.messages.away(&log)
    }

    fn lost(&mut self, name: &MailboxName, gone: &UidSet) -> Result<UidSet, Error> {
        let log = self.root.log(name)?;
        let (_, all) = self.messages.present(name, &log, SORT_OCTETS)?;
        Ok(match self.messages.is_there_before_its_line() {
            true => all.absent,
            false => all.absent.intersection(gone),
        })
    }

    fn forget_lost(&mut self, name: &MailboxName) -> Result<(), Error> {
        let census = self.census(name, SORT_OCTETS)?;
        self.renew(name, &census.state, &census.totals.uids)
    }

    fn untold(&mut self, name: &MailboxName) -> Result<Option<Uid>, Error> {
        let log = self.root.log(name)?;
        self.messages.untold(&log)
    }

    fn whereabouts(&self, name: &MailboxName, blob: &BlobId) -> PathBuf {
        let file = Record::of(blob).ok();
        let file = file.and_then(|record| self.messages.whereabouts(name, &record));
        file.unwrap_or_else(|| self.root().to_owned())
    }

    fn open(&mut self, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
        let record = Record::of(blob)?;
        let (file, offset) = self.messages.open(name, &record)?;
        let (stored, framed) = (record.stored, record.framed());
        if octets_at(&file, offset)? != Some(framed) {
            return Err(DAMAGED);
        }
        let start = offset + MESSAGE_HEADER as u64;
        let body = match record.packed {
            None => Body::part(file.clone(), start, stored),
            Some(_) => packed::body(file.clone(), start, framed)?,
        };
        let body = match body.length() < stored {
            true => self.joined(&record, body, (&file, offset))?,
            false => body,
        };
        if body.length() != stored {
            return Err(DAMAGED);
        }
        Ok(Blob {
            body,
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
        let uid = Record::uid(&blob.name).ok_or(Error::NoSuchMessage)?;
        self.mark_all(name, &UidSet::range(uid, uid), flags, letters)?;
        Ok((marked, false))
    }

    fn mark_all(
        &mut self,
        name: &MailboxName,
        uids: &UidSet,
        flags: SystemFlags,
        letters: u32,
    ) -> Result<bool, Error> {
        let log = self.root.log(name)?;
        log.bound()?;
        log.reserve_for_marks(flags.contains(SystemFlags::DELETED))?;
        log.put(Line::Marked(uids, flags, letters))?;
        if !self.flagged.iter().any(|own| Arc::ptr_eq(own, &log)) {
            self.flagged.push(log);
        }
        Ok(true)
    }

    fn remove(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        let uid = Record::uid(&blob.name).ok_or(Error::NoSuchMessage)?;
        let log = self.root.log(name)?;
        self.put(log.clone(), Line::Expunged(uid))?;
        self.messages.gone(&log, uid)?;
        Ok(true)
    }

    fn scan(&mut self, name: &MailboxName) -> Result<Scanned, Error> {
        self.census(name, usize::MAX)?.whole()
    }

    fn census(&mut self, name: &MailboxName, octets: usize) -> Result<Census, Error> {
        let stamp = self.stamp(name)?;
        let log = self.root.log(name)?;
        let (head, all) = self.messages.present(name, &log, octets)?;
        if head.damaged > 0 {
            let damaged = head.damaged;
            let name = name.of(&self.root.path);
            log::error!("{name}: {damaged} lines of its log cannot be read and are left out");
        }
        if head.mended > 0 {
            let mended = head.mended;
            let name = name.of(&self.root.path);
            log::warn!(
                "{name}: {mended} lines of its log had a bit that was another: the disk or the memory fails"
            );
        }
        let totals = Totals::of(&all)?;
        let count = usize::try_from(totals.uids.count()).unwrap_or(usize::MAX);
        let rewrite = head.is_worn(count);
        let (uid_validity, guid) = match head.known {
            Some(known) => known,
            None => (
                uid_validity::next(&self.root.path)?,
                uid_validity::random_guid()?,
            ),
        };
        Ok(Census {
            state: MailboxState {
                uid_validity,
                uid_next: head.uid_next.unwrap_or(Uid::MIN),
                guid,
                keywords: head.keywords,
            },
            all: Box::new(all),
            totals,
            stamp,
            header_known: head.known.is_some(),
            rewrite,
        })
    }

    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        _lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        // It had the lines when the messages got their UIDs.
        self.root.log(name)?.give(state.uid_next)
    }

    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        let mut uids = UidSet::new();
        while let Some((uid, _)) = lines.line()? {
            uids.insert(uid);
        }
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

    /// Nobody else makes mailboxes there.
    fn watched_names(&self) -> WatchedNames {
        WatchedNames {
            directories: Vec::new(),
            all: true,
        }
    }

    fn is_exclusive(&self, _of: &MailboxName) -> bool {
        true
    }

    fn knows_all_files(&self, _of: &MailboxName) -> bool {
        // What was put aside may be where nobody can look now.
        self.root.alternate.is_none()
    }

    fn is_remote(&self, _of: &MailboxName) -> bool {
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

    fn compact(&mut self, begins: Option<Compaction>) -> Result<Option<Compacted>, Error> {
        self.messages.compact(begins)
    }

    fn replace(&mut self, name: &MailboxName) -> Result<Replaced, Error> {
        self.messages.replace(name)
    }

    fn discard(&mut self) -> Result<bool, Error> {
        self.messages.discard()
    }

    fn lags(&self) -> bool {
        let mut lagging = self.lagging.iter().filter_map(Weak::upgrade);
        lagging.any(|log| log.lags())
    }

    fn settle(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.log(name)?.sync()
    }

    fn sweep(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.sweep()?;
        self.messages.sweep(name)
    }
}
