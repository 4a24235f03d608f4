//! What sdbox and mdbox do each in a way of its own: where the bytes of messages are.

use super::draft::DboxDraft;
use super::folded::Present;
use super::fresh::Fresh;
use super::line::Contents;
use super::log::Log;
use super::record::{Place, Record};
use super::root::Root;
use crate::mail::{MailboxName, Uid};
use crate::store::{self, Away, Compacted, Compaction, Error, Filing, Replaced};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What a draft is named.
pub(super) struct Naming<'a> {
    pub(super) to: &'a MailboxName,
    pub(super) log: &'a Log,
    pub(super) new: &'a Filing,
    /// Its save date, in seconds since 1970.
    pub(super) saved: i64,
}

/// Puts the line of a message into the log: where it lies, its frame, if that is not durable, and whether the line need
/// not be.
pub(super) type Put<'p> = dyn FnMut(Option<Place>, Option<&Fresh>, bool) -> Result<(), Error> + 'p;

/// The message files of an account. A mailbox is mostly known by its log, which stays the same when
/// the mailbox gets another name.
pub(super) trait Messages: Send {
    /// Makes the bytes of a draft durable and notes in it where they are, unless that is done better when it is named;
    /// cheap the second time.
    fn save(&mut self, draft: &mut DboxDraft, to: &MailboxName, log: &Log) -> Result<(), Error>;
    /// Has a draft that was saved where this message of a mailbox is, durably after `secure` and `sync`, and has `put`
    /// put its line. True if the message is found without that, which then need not be durable.
    fn name(
        &mut self,
        draft: &mut DboxDraft,
        naming: &Naming<'_>,
        put: &mut Put<'_>,
    ) -> Result<bool, Error>;
    /// Has a message of another mailbox there, too, durably after `sync`.
    fn link(&mut self, from: &Log, record: &Record, to: &Log, uid: Uid) -> Result<(), Error>;
    /// The log has a line of what was linked.
    fn linked(&mut self, _record: &Record) {}
    /// Makes durable the bytes of drafts that were named.
    fn secure(&mut self) -> Result<(), Error> {
        Ok(())
    }
    /// Makes durable where messages are, also what others did in these mailboxes; their logs are synced.
    fn sync(&mut self, _logs: &[Arc<Log>]) -> Result<(), Error> {
        Ok(())
    }
    /// The log says that this message is gone.
    fn gone(&mut self, _log: &Log, _uid: Uid) -> Result<(), Error> {
        Ok(())
    }
    /// A file of messages, and where in it the frame of this one begins. Errors: `NoSuchMessage`.
    fn open(&mut self, name: &MailboxName, record: &Record) -> Result<(Arc<File>, u64), Error>;
    /// The path of that file, if it can be told.
    fn whereabouts(&self, name: &MailboxName, record: &Record) -> Option<PathBuf>;
    /// What the log says, of messages apart: of those whose files are there, and of those that it does not know
    /// yet. `octets`: what may be in memory of those.
    fn present(
        &mut self,
        name: &MailboxName,
        log: &Log,
        octets: usize,
    ) -> Result<(Contents, Present), Error>;
    /// True if a line in the log tells that the file of its message was there.
    fn is_there_before_its_line(&self) -> bool;
    /// Says in a log that messages come together or not at all, durably before anything that comes then.
    fn promise(&self, log: &Log, first: Uid, last: Uid) -> Result<(), Error>;
    /// See [`crate::store::Store::away`].
    fn away(&mut self, _log: &Log) -> Result<Option<Away>, Error> {
        Ok(None)
    }
    /// See [`crate::store::Store::untold`].
    fn untold(&mut self, _log: &Log) -> Result<Option<Uid>, Error> {
        Ok(None)
    }
    /// See [`crate::store::Store::compact`].
    fn compact(&mut self, _begins: Option<Compaction>) -> Result<Option<Compacted>, Error> {
        Ok(None)
    }
    /// See [`crate::store::Store::replace`].
    fn replace(&mut self, _name: &MailboxName) -> Result<Replaced, Error> {
        Ok(Replaced::new())
    }
    /// See [`crate::store::Store::discard`].
    fn discard(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
    /// Removes what nobody finished.
    fn sweep(&mut self, _name: &MailboxName) -> Result<(), Error> {
        Ok(())
    }
}

/// Messages of a mailbox whose files are gone: one line of the log for all, however many.
#[derive(Debug, Default)]
pub(super) struct Gone {
    count: usize,
    first: Option<(Uid, Box<str>)>,
}

impl Gone {
    pub(super) fn note(&mut self, uid: Uid, record: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (uid, record.into()));
    }

    /// Says so once, as long as those are the same. They keep their lines: a file that comes back has its UID and flags.
    pub(super) fn log(self, root: &Root, name: &MailboxName) {
        let found = self.first.as_ref().map(|(uid, _)| (self.count, *uid));
        let is_news = root.note_gone(name, found);
        if let Some((uid, record)) = self.first.filter(|_| is_news) {
            let count = self.count;
            let name = name.of(&root.path);
            log::error!(
                "{name}: the files of {count} messages are gone, the first UID {uid}: {record}"
            );
        }
    }
}

/// What came of mending a log that says `head`. A full disk has no room for another one: what the old one says is read
/// as it is.
pub(super) fn unless_full<T: Default>(
    head: &Contents,
    mended: Result<T, Error>,
) -> Result<T, Error> {
    match head.known.is_some() {
        true => store::unless_full(mended),
        false => mended,
    }
}
