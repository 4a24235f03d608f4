//! The messages of an sdbox: each in a file `u.<UID>` of its mailbox's directory.
//!
//! The names are the truth about which messages there are, and the log about all else: where it has no
//! line of a file, that is a message without flags; where it says that the message is expunged, the
//! file was to be removed. So a message that comes without flags is durable with its name; the name of
//! another, and of a copy, is given once its line is durable.

use super::draft::{DboxDraft, Saved};
use super::files::copy;
use super::folded::Present;
use super::framing::{FileHeader, MAX_FILE_HEADER, file_header};
use super::line::{Contents, Line, Message, Together};
use super::log::Log;
use super::messages::{Gone, Messages, Naming, Put, unless_full};
use super::recall::Recall;
use super::record::Record;
use super::recover::refused;
use super::root::Root;
use super::staged::{PREFIX, Staged};
use super::walk::walk;
use crate::mail::{MailboxName, SystemFlags, Uid, UidSet};
use crate::store::side::{disk, room};
use crate::store::{Error, Filing};
use crate::sys::regular;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

pub(super) struct Sdbox {
    root: Arc<Root>,
    /// Directories with names that are not durable.
    unsynced: Vec<Arc<OwnedFd>>,
}

fn file_name(uid: Uid) -> String {
    format!("u.{uid}")
}

/// The UID in a file's name.
pub(super) fn uid_in(name: &[u8]) -> Option<Uid> {
    let digits = std::str::from_utf8(name.strip_prefix(b"u.")?).ok()?;
    let uid = digits.parse().ok().and_then(Uid::new)?;
    // In one way only.
    (uid.to_string() == digits).then_some(uid)
}

/// True if the file of a message tells all that its line would.
fn is_bare(new: &Filing) -> bool {
    new.flags.is_empty() && new.letters == 0
}

fn open_file(directory: &OwnedFd, uid: Uid) -> Result<File, Error> {
    match regular::open_in(directory, &file_name(uid)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchMessage),
        opened => Ok(opened?),
    }
}

impl Sdbox {
    pub(super) fn new(root: &Arc<Root>) -> Sdbox {
        Sdbox {
            root: root.clone(),
            unsynced: Vec::new(),
        }
    }

    fn soil(&mut self, directory: &Arc<OwnedFd>) {
        if !self.unsynced.iter().any(|own| Arc::ptr_eq(own, directory)) {
            self.unsynced.push(directory.clone());
        }
    }

    /// Has the log of a mailbox, some of which cannot be read, written anew with what the index knows; false if
    /// that is nothing. `there`: files that there are.
    fn mend(&mut self, name: &MailboxName, log: &Log, there: &UidSet) -> Result<bool, Error> {
        let mut contents = log.contents()?;
        match remember(&self.root, name, &mut contents)? {
            Recall::Nothing => return Ok(false),
            Recall::Foreign => contents.known = self.root.empty()?.known,
            Recall::Some { .. } => {}
        }
        let damaged = std::mem::take(&mut contents.damaged);
        log::error!(
            "{}: {damaged} lines of its log cannot be read",
            name.of(&self.root.path)
        );
        // The log will not say any more which files are to go.
        for uid in contents.expunged.intersection(there).iter() {
            self.gone(log, uid)?;
        }
        disk::sync_directory(&*log.directory()?).map_err(io::Error::from)?;
        log.rewrite(&contents)?;
        Ok(true)
    }

    /// Gives files their names that a sync which failed was to give them.
    fn name_again(&mut self, log: &Log) -> Result<(), Error> {
        log.sync()?;
        log.name_files(file_name)?;
        self.soil(&log.directory()?);
        Ok(())
    }

    /// A second file without a name, a copy where there can be no link: then its bytes are durable.
    fn stage_again(
        &self,
        from: (&OwnedFd, &str),
        file: &dyn Fn() -> Result<File, Error>,
        directory: &Arc<OwnedFd>,
    ) -> Result<Staged, Error> {
        match Staged::link(from, directory, &self.root.host) {
            Ok(staged) => Ok(staged),
            Err(Errno::NOENT) => Err(Error::NoSuchMessage),
            // There are file systems without links, and others limit them.
            Err(_) => {
                let file = file()?;
                let (staged, copied) = Staged::create(directory, &self.root.host)?;
                copy(&file, 0, file.metadata()?.len(), &copied, 0)?;
                disk::sync(&copied)?;
                Ok(staged)
            }
        }
    }
}

impl Messages for Sdbox {
    fn save(&mut self, draft: &mut DboxDraft, to: &MailboxName, log: &Log) -> Result<(), Error> {
        let here = Arc::downgrade(&self.root);
        if matches!(&draft.saved, Some(Saved::Sdbox { root, .. }) if Weak::ptr_eq(root, &here)) {
            return Ok(());
        }
        let metadata = draft.metadata(to)?.encode();
        let (staged, file) = Staged::create(&log.directory()?, &self.root.host)?;
        let header = file_header(crate::sys::clock::now_seconds());
        draft.write_frame(header.into_bytes(), &metadata, &file, 0)?;
        disk::sync(&file)?;
        draft.saved = Some(Saved::Sdbox {
            root: here,
            staged,
            file,
        });
        Ok(())
    }

    fn name(
        &mut self,
        draft: &mut DboxDraft,
        naming: &Naming<'_>,
        put: &mut Put<'_>,
    ) -> Result<bool, Error> {
        let Naming { log, new, .. } = *naming;
        // The file of a message that was saved before says nothing of that; and it gets no name before those with lower
        // UIDs have theirs.
        let told = is_bare(new) && draft.since.is_none();
        let Some(Saved::Sdbox { staged, file, .. }) = &mut draft.saved else {
            return Err(Error::NoSuchMessage);
        };
        let directory = log.directory()?;
        if told && staged.may_be_named(&directory) {
            staged.name(&directory, &file_name(new.uid))?;
            self.soil(&directory);
        } else {
            let file = || Ok(file.try_clone()?);
            let mut again = self.stage_again(staged.place(), &file, &directory)?;
            if told {
                again.name(&directory, &file_name(new.uid))?;
                self.soil(&directory);
            } else {
                log.name_later(new.uid, again);
            }
        }
        put(None, None, false)?;
        Ok(told)
    }

    fn link(&mut self, from: &Log, record: &Record, to: &Log, uid: Uid) -> Result<(), Error> {
        let source = from.directory()?;
        let file = || open_file(&source, record.uid);
        let name = file_name(record.uid);
        let staged = self.stage_again((&source, &name), &file, &to.directory()?)?;
        to.name_later(uid, staged);
        Ok(())
    }

    fn sync(&mut self, logs: &[Arc<Log>]) -> Result<(), Error> {
        for log in logs {
            log.name_files(file_name)?;
            self.soil(&log.directory()?);
        }
        for directory in std::mem::take(&mut self.unsynced) {
            disk::sync_directory(&directory).map_err(io::Error::from)?;
        }
        Ok(())
    }

    fn gone(&mut self, log: &Log, uid: Uid) -> Result<(), Error> {
        if log.forget_unnamed(uid) {
            return Ok(());
        }
        match disk::unlink(&*log.directory()?, &file_name(uid)) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed.map_err(io::Error::from)?),
        }
    }

    fn open(&mut self, name: &MailboxName, record: &Record) -> Result<(Arc<File>, u64), Error> {
        let directory = self.root.log(name)?.directory()?;
        let file = open_file(&directory, record.uid)?;
        let mut head = [0; MAX_FILE_HEADER];
        let count = file.read_at(&mut head, 0)?;
        let header = head.get(..count).and_then(FileHeader::parse);
        let header = header.ok_or(Error::Corrupt { what: "a message" })?;
        Ok((Arc::new(file), header.octets as u64))
    }

    fn whereabouts(&self, name: &MailboxName, record: &Record) -> Option<PathBuf> {
        let directory = self.root.directory(name).ok()?;
        Some(directory.join(file_name(record.uid)))
    }

    fn present(
        &mut self,
        name: &MailboxName,
        log: &Log,
        octets: usize,
    ) -> Result<(Contents, Present), Error> {
        let directory = log.directory()?;
        if !log.unnamed().is_empty()
            && let Err(error) = self.name_again(log)
        {
            log::warn!(
                "{}: messages whose files have no names yet: {error}",
                name.of(&self.root.path)
            );
        }
        let unnamed = log.unnamed();
        let there = listed(&directory)?;
        let (mut head, mut all) = log.folded(octets)?;
        let is_worn = head.known.is_none() || head.damaged > 0;
        if is_worn && unless_full(&head, self.mend(name, log, &there))? {
            let mended = head.mended;
            (head, all) = log.folded(octets)?;
            head.mended += mended;
        }
        let (mut gone, mut known, mut absent) = (Gone::default(), UidSet::new(), UidSet::new());
        let mut messages = all.messages()?;
        while let Some((uid, message)) = messages.next()? {
            if there.contains(uid) || unnamed.contains(uid) {
                known.insert(uid);
            } else {
                gone.note(uid, &message.record);
                absent.insert(uid);
            }
        }
        drop(messages);
        gone.log(&self.root, name);
        let mut new = Vec::new();
        for uid in there.difference(&known).iter() {
            if head.expunged.contains(uid) {
                log::warn!(
                    "{}: u.{uid} was expunged and is removed",
                    name.of(&self.root.path)
                );
                self.gone(log, uid)?;
                continue;
            }
            if let Some(next) = uid.next() {
                head.give(next);
            }
            match found(&directory, uid)? {
                Some(record) => {
                    let record: Box<str> = record.to_string().into();
                    log.put(Line::Filed(&record, SystemFlags::NONE, 0))?;
                    new.push((uid, Message::unmarked(record)));
                    room::for_messages(new.len(), room::OF_DBOX)?;
                }
                None => log::error!(
                    "{}: u.{uid} is no message, or only a part of one",
                    name.of(&self.root.path)
                ),
            }
        }
        Ok((head, Present::new(all, absent, new)))
    }

    fn is_there_before_its_line(&self) -> bool {
        // It may get its name later, or never.
        false
    }

    fn promise(&self, log: &Log, first: Uid, last: Uid) -> Result<(), Error> {
        // A line may be durable while its file has no name, and the other way round.
        log.together(Together::open(first, last))?;
        log.sync()
    }

    fn untold(&mut self, log: &Log) -> Result<Option<Uid>, Error> {
        let there = listed(&*log.directory()?)?;
        let unnamed = log.unnamed();
        log.untold(&there.union(&unnamed))
    }

    fn sweep(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.root.sweep_staged(name, PREFIX)
    }
}

/// UIDs of all files in a directory.
fn listed(directory: &OwnedFd) -> Result<UidSet, Error> {
    let mut uids = Vec::new();
    let entries = rustix::fs::Dir::read_from(directory).map_err(io::Error::from)?;
    for entry in entries {
        let entry = entry.map_err(io::Error::from)?;
        uids.extend(uid_in(entry.file_name().to_bytes()));
    }
    crate::mail::sort(&mut uids);
    Ok(uids.into_iter().collect())
}

/// What a file tells of its message. `None` if it has none, or not a whole one.
fn found(directory: &OwnedFd, uid: Uid) -> Result<Option<Record>, Error> {
    let file = match open_file(directory, uid) {
        Err(Error::NoSuchMessage) => return Ok(None),
        opened => opened?,
    };
    let saved = file.metadata()?.mtime();
    let mut record = None;
    walk(&file, &mut |framed| {
        record = Some(Record::of_framed(framed, uid, None));
        Ok(false)
    })?;
    Ok(record.map(|record| Record { saved, ..record }))
}

/// Adds to what a log says what the index knows of messages whose files are there.
fn remember(root: &Root, name: &MailboxName, contents: &mut Contents) -> Result<Recall, Error> {
    let directory = match File::open(root.directory(name)?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(OwnedFd::from(opened?)),
    };
    let is_there = |uid: Uid, message: &Message| {
        let own = Record::parse(&message.record);
        let found = match &directory {
            Some(directory) => found(directory, uid)?,
            None => None,
        };
        Ok(own
            .zip(found)
            .is_some_and(|(own, found)| own.is_that(&found)))
    };
    root.recall(name, contents, &mut |messages| {
        let mut failure = Ok(());
        messages.retain(|uid, message| {
            is_there(*uid, message).unwrap_or_else(|error: Error| {
                failure = Err(error);
                true
            })
        });
        failure
    })
}

/// As [`super::root::Recover`]: the index knows what the log said; where it does not, files tell which messages
/// there are.
pub(super) fn recover(root: &Root, name: &MailboxName) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    match remember(root, name, &mut contents)? {
        Recall::Nothing => {}
        Recall::Foreign => return root.empty(),
        Recall::Some { .. } => return Ok(contents),
    }
    let directory = root.directory(name)?;
    let known = ["dovecot.index", "dovecot.index.log"].map(|file| directory.join(file));
    if let Some(index) = known.iter().find(|path| path.exists()) {
        return Err(refused(name, index));
    }
    match directory.is_dir() {
        true => Ok(Contents::default()),
        false => root.empty(),
    }
}
