//! The seam between message bytes and everything that knows about messages.

use super::side::beyond::Beyond;
use super::side::{base, beyond, metadata, special_use, subscriptions};
use super::{Annotations, Body, Census, Error};
use crate::mail::{Guid, Keyword, MailboxName, SpecialUse, SystemFlags, Uid, UidSet, UidValidity};
use crate::sys::regular;
use std::any::Any;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Message bytes on disk. One session or delivery owns one `Store`; several of them may work on
/// the same directories at once, the account keeps changes of one mailbox's side files apart.
pub(crate) trait Store: Send {
    /// A place to write a new message.
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error>;
    /// As `stage`, where it is known to which mailbox it will be committed first.
    fn stage_for(&mut self, _to: &MailboxName) -> Result<Box<dyn Draft>, Error> {
        self.stage()
    }
    /// A file without a name, on the same file system, for what does not fit in memory.
    fn scratch(&mut self) -> Result<File, Error>;
    /// Makes the bytes and the date of a draft durable where they are to stay, unless [`Store::commit`] writes them
    /// there, durably after [`Store::sync`]; cheap the second time.
    /// `to`: the mailbox that it will be committed to first.
    fn save(&mut self, draft: &mut dyn Draft, to: &MailboxName) -> Result<(), Error>;
    /// Puts a draft that was saved by this handle into the mailbox under a name that holds `uid`.
    /// Durable after [`Store::sync`]. The draft can be committed again to other mailboxes (by link).
    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error>;
    /// Makes a second name of a message in another (or the same) mailbox: a link where the file
    /// system has them, else a copy. Durable after [`Store::sync`].
    fn copy(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error>;
    /// Moves a message. Durable after [`Store::sync`].
    fn transfer(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error>;
    /// Has a message go with the next [`Store::sync`], because it is brought to another store; what came there is
    /// durable before that. Errors: `NoSuchMessage` if it is gone, or on its way already.
    fn leave(&mut self, from: &MailboxName, blob: &BlobId) -> Result<(), Error>;
    /// What `leave` was told of last does not go.
    fn stay(&mut self);
    /// Makes every change of names that was made through this handle durable, those by which something
    /// came before those by which something only went.
    fn sync(&mut self) -> Result<(), Error>;
    /// As `sync`, and also what other handles changed in this mailbox.
    fn sync_mailbox(&mut self, name: &MailboxName) -> Result<(), Error>;
    /// Notes that messages of these UIDs come all together or, if the power is cut, not at all. Durable.
    fn promise(&mut self, name: &MailboxName, uids: (Uid, Uid)) -> Result<(), Error>;
    /// All of them are durable, or none is there any more. Durable.
    fn fulfil(&mut self, name: &MailboxName, uids: (Uid, Uid)) -> Result<(), Error>;
    /// What was promised and not fulfilled.
    fn promised(&mut self, name: &MailboxName) -> Result<Vec<(Uid, Uid)>, Error>;
    /// Messages of a mailbox that are where nobody can look now.
    fn away(&mut self, _name: &MailboxName) -> Result<Option<Away>, Error> {
        Ok(None)
    }
    /// Where the last UIDs were given to messages that never came, because a process was ended before their files had
    /// names: the first of those, of which nobody was told.
    fn untold(&mut self, _name: &MailboxName) -> Result<Option<Uid>, Error> {
        Ok(None)
    }
    /// Messages that somebody took away: the mailbox has them, and their files are not there. Where that is so of some
    /// that nobody was told of, too, only those among `gone`, of which the index knew. None where other programs may
    /// expunge.
    fn lost(&mut self, _name: &MailboxName, _gone: &UidSet) -> Result<UidSet, Error> {
        Ok(UidSet::new())
    }
    /// The mailbox does not have those any more, not even when their files come back. Durable.
    fn forget_lost(&mut self, _name: &MailboxName) -> Result<(), Error> {
        Ok(())
    }
    /// Opens a message for reading.
    fn open(&mut self, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error>;
    /// False if a message is not as long as its name tells, or cannot be opened for being damaged; its octets are not
    /// looked at where its length can be told without. True where names tell no lengths.
    fn is_whole(&mut self, _name: &MailboxName, _blob: &BlobId) -> Result<bool, Error> {
        Ok(true)
    }
    /// Puts flags into the name. After [`Store::sync`] whoever looks finds them, also after this process was
    /// killed; durable then or, if the store [`lags`](Store::lags), after [`Store::settle`]. Where `blob` is not what the name
    /// says, only what differs from `blob` is changed. Returns the message as it is then, and
    /// whether its file was renamed.
    fn mark(
        &mut self,
        name: &MailboxName,
        blob: &BlobId,
        flags: SystemFlags,
        letters: u32,
    ) -> Result<(BlobId, bool), Error>;
    /// As `mark`, for messages that all get the same flags, whatever they had. False, and nothing is done, where
    /// names tell flags; where it is done, a [`BlobId`] need not have those of its message.
    fn mark_all(
        &mut self,
        _name: &MailboxName,
        _uids: &UidSet,
        _flags: SystemFlags,
        _letters: u32,
    ) -> Result<bool, Error> {
        Ok(false)
    }
    /// Removes a message. Durable after [`Store::sync`]. False if it was gone already.
    fn remove(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error>;
    /// Everything that is really there, in the order in which new messages get their UIDs
    /// (those with a UID first, ascending, then by file name). Reads the side files first.
    fn scan(&mut self, name: &MailboxName) -> Result<Scanned, Error>;
    /// As `scan`, without all of it in memory where there may be very many messages. `_octets`: what may be
    /// for each of the things that have to be sorted, a few at a time.
    fn census(&mut self, name: &MailboxName, _octets: usize) -> Result<Census, Error> {
        Census::of(self.scan(name)?)
    }
    /// UIDs that the side file gives to messages, whether they are there or not; none where it has no such lines.
    fn listed(&mut self, _name: &MailboxName) -> Result<UidSet, Error> {
        Ok(UidSet::new())
    }
    /// Puts lines, ascending, behind those that the side file has, which must be lower. Durable when
    /// it returns; the file then says of every UID below `state.uid_next` that it was given.
    /// Errors: `Corrupt` if the file is not there or not what it was; it then has to be written anew.
    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error>;
    /// Writes the side file anew; `lines` are all messages there are. Durable. Without any, and with the first UID as
    /// `state.uid_next`, no UID counts as given any more.
    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error>;
    /// Writes into the side file which unique-ids these messages, ascending, have in POP3; a text has no spaces.
    /// Durable. Messages without a line there are left out.
    fn record_uidls(&mut self, name: &MailboxName, uidls: &[(Uid, &str)]) -> Result<(), Error>;
    /// Writes the keywords file; a keyword's letter never changes. Durable. Errors: `Corrupt` if the
    /// file has a name for a letter that `keywords` has not; the mailbox then has to be scanned.
    fn record_keywords(
        &mut self,
        name: &MailboxName,
        keywords: &[Option<Keyword>],
    ) -> Result<(), Error>;
    /// Modification times now.
    fn stamp(&mut self, name: &MailboxName) -> Result<Stamp, Error>;
    /// That of the side file alone.
    fn listed_at(&mut self, name: &MailboxName) -> Result<i64, Error> {
        Ok(self.stamp(name)?.list)
    }
    /// Directories whose changes mean that messages came, went or changed (for inotify).
    fn watched(&self, name: &MailboxName) -> Vec<PathBuf>;
    /// A file that holds the messages themselves and whose changes mean that it is time to look (for inotify). What
    /// it tells may be somebody's who has not ended yet, or our own: it replaces no look.
    fn watched_file(&self, _name: &MailboxName) -> Option<PathBuf> {
        None
    }
    /// What tells that mailboxes came, went or were subscribed to (for inotify).
    fn watched_names(&self) -> WatchedNames {
        WatchedNames::default()
    }
    /// True if no other program may change messages of that mailbox while this server runs: nothing is watched then.
    fn is_exclusive(&self, of: &MailboxName) -> bool;
    /// True if a message of that mailbox whose file is not found is gone, which a look at the mailbox finds out, and
    /// its stamp does not tell.
    fn knows_all_files(&self, _of: &MailboxName) -> bool {
        false
    }
    /// True if each change of what there is gives another stamp, finer than the tick of a clock, that the disk has
    /// if and only if it has the change: what one stamp says holds beyond a power cut.
    fn keeps_stamps(&self, _name: &MailboxName) -> bool {
        false
    }
    /// True where other hosts may change files of that mailbox, which no watch of this one sees.
    fn is_remote(&self, of: &MailboxName) -> bool;
    /// Every mailbox that can be selected, INBOX included, in no order.
    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Error>;
    /// As `mailboxes`, without those of places that cannot be used now: what their names begin with is added to
    /// `absent`.
    fn mailboxes_there(
        &mut self,
        _absent: &mut Vec<MailboxName>,
    ) -> Result<Vec<MailboxName>, Error> {
        self.mailboxes()
    }
    /// Mailboxes that are there, but under names that stand for others.
    fn hidden(&mut self) -> Result<Vec<MailboxName>, Error> {
        Ok(Vec::new())
    }
    /// True of a mailbox that is always there: it cannot be deleted or renamed.
    fn is_fixed(&self, name: &MailboxName) -> bool {
        name.is_inbox()
    }
    /// True if mailboxes of these names are kept in one place: one can be renamed to the other.
    fn is_together(&self, _a: &MailboxName, _b: &MailboxName) -> bool {
        true
    }
    /// True if a message has the same octets wherever of the two it is.
    fn keeps_octets(&self, _a: &MailboxName, _b: &MailboxName) -> bool {
        true
    }
    /// Makes a mailbox with a new UIDVALIDITY, higher than any the store gave before. Durable.
    fn create(&mut self, name: &MailboxName) -> Result<(), Error>;
    /// Makes these mailboxes and subscribes to them if there is none but INBOX, or if that was begun and
    /// not ended. Durable.
    fn furnish(&mut self, names: &[MailboxName]) -> Result<(), Error>;
    /// Renames one mailbox (not those below it). Durable.
    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error>;
    /// Removes a mailbox with its messages. Durable.
    fn delete(&mut self, name: &MailboxName) -> Result<(), Error>;
    /// Where the side files of the account lie.
    fn root(&self) -> &Path;
    /// Where those of a mailbox lie, which go where it goes; it need not be there. Errors: `NoSuchMailbox`
    /// if it cannot be.
    fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error>;
    /// How the file with the subscriptions is written.
    fn subscribed_in(&self) -> subscriptions::Kind {
        subscriptions::Kind::Slashed
    }
    /// Names users subscribed to; they need not exist.
    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        subscriptions::read(self.root(), self.subscribed_in())
    }
    /// As `subscriptions`, without those of places that cannot be used now, as `mailboxes_there`.
    fn subscriptions_there(
        &mut self,
        _absent: &mut Vec<MailboxName>,
    ) -> Result<Vec<MailboxName>, Error> {
        self.subscriptions()
    }
    /// Durable.
    fn subscribe(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        subscriptions::subscribe(self.root(), self.subscribed_in(), name, subscribed)
    }
    /// Subscribes to all of these at once. Durable.
    fn subscribe_to(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        subscriptions::subscribe_to(self.root(), self.subscribed_in(), names)
    }
    /// What mailboxes are for, where that was said of them; they need not exist.
    fn special_uses(&mut self) -> Result<Vec<(SpecialUse, MailboxName)>, Error> {
        special_use::read(self.root())
    }
    /// All of it anew. Durable.
    fn set_special_uses(&mut self, uses: &[(SpecialUse, MailboxName)]) -> Result<(), Error> {
        special_use::write(self.root(), uses)
    }
    /// The file of the annotations of a mailbox, or (`None`) of the account; it need not be there.
    fn annotations_file(&self, of: Option<&MailboxName>) -> Result<PathBuf, Error> {
        let Some(name) = of else {
            return Ok(self.root().join(metadata::SERVER));
        };
        let directory = self.directory(name)?;
        match directory.is_dir() {
            true => Ok(directory.join(metadata::FILE)),
            false => Err(Error::NoSuchMailbox),
        }
    }
    /// The annotations of a mailbox, or (`None`) of the account.
    fn annotations(&mut self, of: Option<&MailboxName>) -> Result<Annotations, Error> {
        metadata::read(&self.annotations_file(of)?)
    }
    /// All of them anew. Durable. They go where the mailbox goes.
    fn annotate(&mut self, of: Option<&MailboxName>, all: &Annotations) -> Result<(), Error> {
        metadata::write(&self.annotations_file(of)?, all)
    }
    /// Keywords that the files of messages have no room for, and which have them; `None` if that was not kept with
    /// these UIDs.
    fn beyond(&mut self, of: &MailboxName, validity: UidValidity) -> Result<Option<Beyond>, Error> {
        beyond::read_of(&self.directory(of)?, validity)
    }
    /// True once if a look at the mailbox found that messages have others of these keywords than were kept.
    fn notes_beyond(&mut self, _of: &MailboxName) -> bool {
        false
    }
    /// All of it anew. Durable. It goes where the mailbox goes.
    fn keep_beyond(
        &mut self,
        of: &MailboxName,
        validity: UidValidity,
        all: &Beyond,
    ) -> Result<(), Error> {
        beyond::write_of(&self.directory(of)?, validity, all)
    }
    /// Where the octets of a message are, for a person: its file, or what holds that.
    fn whereabouts(&self, name: &MailboxName, _blob: &BlobId) -> PathBuf {
        let directory = self.directory(name);
        directory.unwrap_or_else(|_| self.root().to_owned())
    }
    /// Lets the owner of a message's file read and write it. Errors: this process may not do that.
    fn make_readable(&self, name: &MailboxName, blob: &BlobId) -> Result<(), Error> {
        regular::make_readable(&self.whereabouts(name, blob)).map_err(Error::from)
    }
    /// RFC822.SIZE if the name of the message tells it.
    fn wire_octets(&self, blob: &BlobId) -> Option<u64> {
        base::wire_octets(blob.name.as_bytes())
    }
    /// Where room is only given back by a purge: goes to the next file with messages that no mailbox has
    /// any more, or that are to lie elsewhere, and copies those out of it that stay. `None`: there is no other.
    /// `_begins`: what it is done for, and whatever was begun before is not gone on with.
    fn compact(&mut self, _begins: Option<Compaction>) -> Result<Option<Compacted>, Error> {
        Ok(None)
    }
    /// Has the messages of a mailbox where `compact` copied them; nobody else may change it meanwhile.
    /// Durable when it returns. Returns what the index is to have for them.
    fn replace(&mut self, _name: &MailboxName) -> Result<Replaced, Error> {
        Ok(Replaced::new())
    }
    /// Removes the file, once `replace` was called for all mailboxes which `compact` named. False if it
    /// has to stay because one of its messages was copied meanwhile.
    fn discard(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
    /// True if flags that were changed by this handle and synced are not durable, which `settle` makes them.
    fn lags(&self) -> bool {
        false
    }
    /// True if `settle` has something to do after changes.
    fn settles(&self) -> bool {
        false
    }
    /// Where side files have what the messages' own do not have yet: brings it there, which was durable before.
    /// Where the store lags: makes flags durable. Errors: `Locked` if somebody else is at them just now.
    fn settle(&mut self, _name: &MailboxName) -> Result<(), Error> {
        Ok(())
    }
    /// Removes drafts that nobody finished for 36 hours.
    fn sweep(&mut self, name: &MailboxName) -> Result<(), Error>;
}

/// Messages for lines of a side file, ascending.
pub(crate) trait Lines {
    /// The UID and [`BlobId::name`] of the next one.
    fn line(&mut self) -> Result<Option<(Uid, &str)>, Error>;
}

/// Those of a slice.
impl Lines for std::slice::Iter<'_, (Uid, &str)> {
    fn line(&mut self) -> Result<Option<(Uid, &str)>, Error> {
        Ok(self.next().copied())
    }
}

/// Messages in a directory that is not there, most likely because its disk is not mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) messages: u32,
    pub(crate) directory: PathBuf,
}

/// What a compaction is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compaction {
    /// Room of messages that nobody has is given back.
    #[default]
    Purge,
    /// These messages go to the alternate directory.
    Aside(Selection),
    /// These come back from there.
    Back(Selection),
}

/// Which messages: those of which all is true that is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// INTERNALDATE is before that, in seconds since 1970.
    pub(crate) before: Option<i64>,
    /// They came to their mailbox before that.
    pub(crate) saved_before: Option<i64>,
    /// RFC822.SIZE is more than that.
    pub(crate) larger: Option<u64>,
}

/// What came of a step of a purge.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// Mailboxes that have messages which were copied.
    pub(crate) mailboxes: Vec<MailboxName>,
    /// Octets that are free once the file is removed; or, where messages go elsewhere, theirs.
    pub(crate) freed: u64,
    /// Messages that go elsewhere.
    pub(crate) moved: u32,
}

/// UIDs and what [`BlobId::name`] of them is now.
pub(crate) type Replaced = Vec<(Uid, Box<str>)>;

/// What a message is filed under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filing {
    pub(crate) uid: Uid,
    pub(crate) flags: SystemFlags,
    /// Keyword letters, bit n for the n-th keyword of the mailbox.
    pub(crate) letters: u32,
}

/// A message while it is written: a file below `tmp/`, removed when dropped.
pub(crate) trait Draft: Send {
    /// Adds bytes of the message as they come from the wire; pieces may be split anywhere. The store
    /// turns CRLF into its own line ends.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// RFC822.SIZE of what was written so far: octets with every line end as CRLF.
    fn octets(&self) -> u64;
    /// Writes what is buffered; all that was written so far, raw as stored, if that is still in memory.
    fn whole(&mut self) -> Result<Option<&[u8]>, Error>;
    /// Writes what is buffered and opens what was written so far for reading, raw as stored.
    fn reader(&mut self) -> Result<Body, Error>;
    /// Sets INTERNALDATE, in seconds since 1970; before [`Store::save`]. All names of the draft share it.
    fn date(&mut self, seconds: i64) -> Result<(), Error>;
    /// Has it known by that GUID and, if it was in a mailbox like this before, as saved at that time; once all
    /// is written, before [`Store::save`]. Returns the GUID that it has then, which is another where the
    /// octets alone make it.
    fn identify(&mut self, guid: Guid, saved: Option<i64>) -> Result<Guid, Error>;
    fn as_any(&mut self) -> &mut dyn Any;
}

/// Where a committed message lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobId {
    /// Maildir: the file name before `:2,`; the only thing that names the message.
    pub(crate) name: Box<str>,
    pub(crate) place: Place,
    /// Flags as the name on disk has them, so that the file can be opened without a scan (see
    /// [`Store::mark_all`]).
    pub(crate) flags: SystemFlags,
    /// Keyword letters as the name on disk has them.
    pub(crate) letters: u32,
}

/// Maildir: the directory that holds the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    New,
    Cur,
}

/// An open message.
pub(crate) struct Blob {
    pub(crate) body: Body,
    /// INTERNALDATE: seconds since 1970.
    pub(crate) internal_date: i64,
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) state: MailboxState,
    pub(crate) found: Vec<Found>,
    /// Taken before the directories were read.
    pub(crate) stamp: Stamp,
    /// The side file told UIDVALIDITY; else the one in `state` is new.
    pub(crate) header_known: bool,
    /// The side file was missing or damaged, or has too many dead lines: write it anew.
    pub(crate) rewrite: bool,
    /// What the side file says of names that messages have elsewhere, ascending: words of which `P` begins
    /// the unique-id in POP3 (`P` alone: the name of the file) and `G` the GUID.
    pub(crate) aliases: Vec<(Uid, Box<str>)>,
}

/// One message that is really there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) blob: BlobId,
    /// From the side file, else from the name (`,U=`); `None` for a message new to the store, which
    /// is also one whose name claims a UID that the side file says was given to another.
    pub(crate) uid: Option<Uid>,
    /// The side file has it.
    pub(crate) listed: bool,
}

/// What the store's own side files say of a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct MailboxState {
    pub(crate) uid_validity: UidValidity,
    /// No UID from here on was given away, as far as the side file and the names tell.
    pub(crate) uid_next: Uid,
    pub(crate) guid: Guid,
    /// In the order of their letters; unused letters in between are `None`.
    pub(crate) keywords: Vec<Option<Keyword>>,
}

/// What tells that mailboxes came, went or were subscribed to. The default: it is only found by looking, as on what
/// other hosts may change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchedNames {
    /// Their changes mean that one did.
    pub(crate) directories: Vec<PathBuf>,
    /// Nothing else has to be looked at.
    pub(crate) all: bool,
}

/// Modification times, nanoseconds since 1970; 0 for what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) new: i64,
    pub(crate) cur: i64,
    pub(crate) list: i64,
    /// Times come from another clock, or in steps of seconds.
    pub(crate) coarse: bool,
}

impl Stamp {
    /// A tick of the slowest kernels, twice.
    pub(crate) const TICKS: i64 = 20_000_000;
    /// FAT counts in steps of two seconds; clocks of hosts differ.
    const STEPS: i64 = 2 * 1_000_000_000 + Stamp::TICKS;

    /// True if whatever changes after `time` must give another stamp: the clock had moved on since
    /// the last change by more than the times' granularity. `time`: nanoseconds since 1970, read
    /// before the stamp was.
    pub(crate) fn is_settled(&self, time: i64) -> bool {
        let newest = self.new.max(self.cur).max(self.list);
        // No file system that has finer times gives such a round one but by rare chance.
        let round = newest % 10_000_000 == 0;
        let margin = if self.coarse || round {
            Stamp::STEPS
        } else {
            Stamp::TICKS
        };
        time.saturating_sub(newest) > margin
    }

    /// As `is_settled`, of the directories alone, whose times do not come in steps that a clock could meet twice.
    pub(crate) fn is_sharp(&self, time: i64) -> bool {
        let fine = self.new % 10_000_000 != 0 && self.cur % 10_000_000 != 0;
        let newest = self.new.max(self.cur);
        fine && !self.coarse && time.saturating_sub(newest) > Stamp::TICKS
    }
}
