//! The store over the files of one user.

use super::draft::MboxDraft;
use super::file::MboxFile;
use super::line::{Line, uid_of};
use super::root::Root;
use super::stat::Stat;
use super::syncs::Written;
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::side::beyond::{self, Beyond};
use crate::store::side::furnish::furnish;
use crate::store::side::subscriptions;
use crate::store::{
    Blob, BlobId, Census, Draft, Error, Filing, Lines, MailboxState, Memory, Scanned, Stamp, Store,
};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BUFFER: usize = 64 * 1024;

/// A handle on the mailboxes of one user.
pub(crate) struct Mbox {
    /// Files that this handle appended to.
    appended: Vec<Appended>,
    /// Files in whose logs this handle put lines.
    logged: Vec<Arc<MboxFile>>,
    /// Messages that go once all that came is durable.
    going: Vec<(Arc<MboxFile>, Uid, Box<str>)>,
    /// Dropped last: it is opened again once all files of it are closed.
    root: Arc<Root>,
}

/// What was appended to a file.
struct Appended {
    file: Arc<MboxFile>,
    last: Written,
    uids: Vec<Uid>,
    /// Some of the messages were saved elsewhere before.
    dated: bool,
}

fn own(draft: &mut dyn Draft) -> Result<&mut MboxDraft, Error> {
    let own = draft.as_any().downcast_mut();
    own.ok_or(Error::Corrupt { what: "a draft" })
}

fn uid(blob: &BlobId) -> Result<Uid, Error> {
    uid_of(&blob.name).ok_or(Error::NoSuchMessage)
}

impl Mbox {
    /// Opens the mail at `root` and makes it if it is not there. `inbox`: the file of INBOX, if it is not
    /// `inbox` there.
    pub(crate) fn open(root: &Path, inbox: Option<&Path>) -> Result<Mbox, Error> {
        Mbox::open_with(root, inbox, None)
    }

    /// As `open`; `memory` is asked where a log is lost.
    pub(crate) fn open_with(
        root: &Path,
        inbox: Option<&Path>,
        memory: Option<Arc<dyn Memory>>,
    ) -> Result<Mbox, Error> {
        Ok(Mbox {
            root: Root::open(root, inbox, memory)?,
            appended: Vec::new(),
            logged: Vec::new(),
            going: Vec::new(),
        })
    }

    fn put(
        &mut self,
        to: &MailboxName,
        draft: &mut MboxDraft,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let file = self.root.get(to)?;
        let saved = draft.since.unwrap_or_else(crate::sys::clock::now_seconds);
        let (blob, written) = file.append(draft, new, saved)?;
        let dated = draft.since.is_some();
        let mut appended = self.appended.iter_mut();
        match appended.find(|own| Arc::ptr_eq(&own.file, &file)) {
            Some(own) => {
                own.last = written;
                own.uids.push(new.uid);
                own.dated |= dated;
            }
            None => self.appended.push(Appended {
                file,
                last: written,
                uids: vec![new.uid],
                dated,
            }),
        }
        Ok(blob)
    }

    /// Dovecot is to have the mailbox: its file says all then, once it is settled.
    pub(super) fn hand_over(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.get(name)?.state().handed = true;
        Ok(())
    }

    fn soil(&mut self, file: Arc<MboxFile>) {
        if !self.logged.iter().any(|own| Arc::ptr_eq(own, &file)) {
            self.logged.push(file);
        }
    }

    /// What was to go does not.
    fn all_stay(&mut self) {
        let going = std::mem::take(&mut self.going);
        going.iter().for_each(|(file, uid, _)| file.stay(*uid));
    }

    fn sync_logs(&mut self) -> Result<(), Error> {
        let logged = std::mem::take(&mut self.logged);
        logged.iter().try_for_each(|file| file.state().log.sync())
    }

    fn sync_appended(&mut self) -> Result<(), Error> {
        for own in std::mem::take(&mut self.appended) {
            if own.dated {
                own.file.sync_dates()?;
            }
            own.file.sync(own.last)?;
            own.file.log(&own.uids)?;
        }
        Ok(())
    }
}

impl Drop for Mbox {
    fn drop(&mut self) {
        self.all_stay();
    }
}

impl Store for Mbox {
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error> {
        Ok(Box::new(MboxDraft::new(&self.root)))
    }

    fn scratch(&mut self) -> Result<File, Error> {
        self.root.scratchpad().file()
    }

    /// The file has it with the commit: its UID stands in front of its text.
    fn save(&mut self, draft: &mut dyn Draft, _to: &MailboxName) -> Result<(), Error> {
        own(draft)?.finish().map(|_| ())
    }

    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        self.put(to, own(draft)?, new)
    }

    fn copy(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let mut source = self.root.get(from)?.read(blob)?;
        let mut draft = MboxDraft::new(&self.root);
        draft.date(source.internal_date)?;
        let mut piece = vec![0; BUFFER];
        loop {
            let count = source.body.read(&mut piece)?;
            if count == 0 {
                break;
            }
            draft.write(piece.get(..count).unwrap_or_default())?;
        }
        drop(source);
        self.put(to, &mut draft, new)
    }

    fn transfer(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let gone = uid(blob)?;
        let source = self.root.get(from)?;
        if !source.leave(gone) {
            return Err(Error::NoSuchMessage);
        }
        let copied = self.copy(from, blob, to, new);
        match copied {
            // It goes when it is durable where it came.
            Ok(_) => self.going.push((source, gone, blob.name.clone())),
            Err(_) => source.stay(gone),
        }
        copied
    }

    fn leave(&mut self, from: &MailboxName, blob: &BlobId) -> Result<(), Error> {
        let gone = uid(blob)?;
        let file = self.root.get(from)?;
        if !file.leave(gone) {
            return Err(Error::NoSuchMessage);
        }
        self.going.push((file, gone, blob.name.clone()));
        Ok(())
    }

    fn stay(&mut self) {
        if let Some((file, uid, _)) = self.going.pop() {
            file.stay(uid);
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        let synced = self.sync_appended();
        if synced.is_err() {
            self.all_stay();
            return synced;
        }
        for (file, uid, name) in std::mem::take(&mut self.going) {
            file.state().doom(uid, &name)?;
            self.soil(file);
        }
        self.sync_logs()
    }

    fn sync_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let file = self.root.get(name)?;
        file.sync_all()?;
        file.state().log.sync()
    }

    fn promise(&mut self, name: &MailboxName, uids: (Uid, Uid)) -> Result<(), Error> {
        let file = self.root.get(name)?;
        let mut state = file.state();
        state.log.put(Line::Together(uids.0, uids.1))?;
        state.together.push(uids);
        state.log.sync()
    }

    fn fulfil(&mut self, name: &MailboxName, uids: (Uid, Uid)) -> Result<(), Error> {
        let file = self.root.get(name)?;
        let mut state = file.state();
        state.log.put(Line::Ended(uids.0, uids.1))?;
        state.together.retain(|own| *own != uids);
        state.log.sync()
    }

    fn promised(&mut self, name: &MailboxName) -> Result<Vec<(Uid, Uid)>, Error> {
        Ok(self.root.get(name)?.state().together.clone())
    }

    fn untold(&mut self, name: &MailboxName) -> Result<Option<Uid>, Error> {
        self.root.get(name)?.untold()
    }

    fn whereabouts(&self, name: &MailboxName, _blob: &BlobId) -> PathBuf {
        self.root
            .file(name)
            .unwrap_or_else(|_| self.root().to_owned())
    }

    fn open(&mut self, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
        self.root.get(name)?.read(blob)
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
            let file = self.root.get(name)?;
            file.state().mark(uid(blob)?, flags, letters)?;
            self.soil(file);
        }
        Ok((marked, false))
    }

    fn remove(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        let file = self.root.get(name)?;
        file.state().doom(uid(blob)?, &blob.name)?;
        self.soil(file);
        Ok(true)
    }

    fn scan(&mut self, name: &MailboxName) -> Result<Scanned, Error> {
        self.census(name, usize::MAX)?.whole()
    }

    fn census(&mut self, name: &MailboxName, octets: usize) -> Result<Census, Error> {
        self.root.get(name)?.state().census(octets)
    }

    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        _lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        // Messages have their UIDs in the file, or their lines were put when they were found.
        let file = self.root.get(name)?;
        let mut own = file.state();
        let raised = own.uid_next < state.uid_next;
        if raised {
            own.uid_next = state.uid_next;
        }
        // UIDs of messages that the file has and the log does not, because it could not be written, would count
        // as given to others.
        if Stat::at(&own.path)? != own.seen {
            drop(own.current()?);
        }
        // Those that are not higher other lines say, as do those of messages that nobody was told of.
        if raised {
            let next = own.uid_next;
            own.log.put(Line::Next(next))?;
        }
        own.log.sync()?;
        own.unlisted = UidSet::new();
        Ok(())
    }

    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        if lines.line()?.is_none() {
            let file = self.root.get(name)?;
            let identity = (state.uid_validity, state.guid);
            let first = state.uid_next == Uid::MIN;
            file.state().found(identity, first)?;
        }
        self.record(name, state, lines)
    }

    fn record_uidls(&mut self, name: &MailboxName, uidls: &[(Uid, &str)]) -> Result<(), Error> {
        let file = self.root.get(name)?;
        let mut state = file.state();
        for (uid, uidl) in uidls {
            state.log_one(*uid)?;
            state.log.put(Line::Uidl(*uid, uidl))?;
        }
        state.log.sync()
    }

    fn record_keywords(
        &mut self,
        name: &MailboxName,
        keywords: &[Option<Keyword>],
    ) -> Result<(), Error> {
        let file = self.root.get(name)?;
        file.state().name_letters(keywords)?;
        self.soil(file);
        Ok(())
    }

    fn notes_beyond(&mut self, of: &MailboxName) -> bool {
        let file = self.root.get(of);
        file.is_ok_and(|file| std::mem::take(&mut file.state().beyond_news))
    }

    fn keep_beyond(
        &mut self,
        of: &MailboxName,
        validity: UidValidity,
        all: &Beyond,
    ) -> Result<(), Error> {
        beyond::write_of(&self.directory(of)?, validity, all)?;
        let file = self.root.get(of)?;
        let mut state = file.state();
        if state.uid_validity == validity {
            state.keep_beyond(all)?;
        }
        drop(state);
        self.soil(file);
        Ok(())
    }

    fn stamp(&mut self, name: &MailboxName) -> Result<Stamp, Error> {
        self.root.get(name)?.state().store_stamp()
    }

    fn watched(&self, _name: &MailboxName) -> Vec<PathBuf> {
        Vec::new()
    }

    fn watched_file(&self, name: &MailboxName) -> Option<PathBuf> {
        self.root.file(name).ok()
    }

    fn is_exclusive(&self, _of: &MailboxName) -> bool {
        false
    }

    /// A look at the file tells whether somebody changed it, and costs less than to count what a watch tells.
    fn is_remote(&self, _of: &MailboxName) -> bool {
        true
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.root.mailboxes()
    }

    fn create(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.make(name)
    }

    fn furnish(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        let side = self.root.side.clone();
        furnish(self, &side, names)
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        self.root.rename(from, to)
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.remove(name)
    }

    fn root(&self) -> &Path {
        &self.root.side
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        subscriptions::read(&self.root.path, subscriptions::Kind::Hidden)
    }

    fn subscribe(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        subscriptions::subscribe(
            &self.root.path,
            subscriptions::Kind::Hidden,
            name,
            subscribed,
        )
    }

    fn subscribe_to(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        subscriptions::subscribe_to(&self.root.path, subscriptions::Kind::Hidden, names)
    }

    fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        self.root.directory(name)
    }

    fn settles(&self) -> bool {
        true
    }

    fn settle(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.get(name)?.state().settle()
    }

    fn sweep(&mut self, _name: &MailboxName) -> Result<(), Error> {
        self.root.sweep()
    }
}
