//! The redb file: transactions, and what happens when it is damaged.

use super::journal::{self, Change, Changes, Journal, Notes};
use super::schema::{Kind, OLDEST_VERSION, SCHEMA_VERSION};
use super::usage::Totals;
use super::{Error, Reader, Writer};
use crate::mail::MailboxId;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, Durability, ReadableDatabase};
use std::io::Read;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

/// What is known about messages of one or many accounts.
pub(crate) struct Index {
    database: Database,
    clean: bool,
    unclean_ends: u64,
    lost: AtomicBool,
    totals: Totals,
    /// `None`: in memory.
    journal: Option<Journal>,
    /// The file that this is in place of.
    held: Option<FileBackend>,
}

/// Of what a file of redb's begins with.
const MAGIC_OCTETS: u64 = 9;

/// Renames an index file that cannot be used, so that somebody can look at it: to `PATH.what-SECONDS`, with a number
/// behind it where that is taken. Returns the new name.
pub(crate) fn set_aside(path: &Path, what: &str) -> Result<PathBuf, Error> {
    let now = crate::sys::clock::now_seconds();
    let name = format!("{}.{what}-{now}", path.display());
    let mut aside = PathBuf::from(&name);
    let mut number = 1_u32;
    while aside.symlink_metadata().is_ok() {
        aside = PathBuf::from(format!("{name}-{number}"));
        number += 1;
    }
    let renamed = std::fs::rename(path, &aside);
    renamed.map_err(|error| Error::from(redb::Error::Io(error)))?;
    Ok(aside)
}

/// Removes an index file.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_file(path).map_err(|error| redb::Error::Io(error).into())
}

/// Opening something else could take for ever.
fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// True if redb was ended while it made the file: the octets that say what it is are written last, and
/// until then nothing is in it. Nobody else may have the file open.
pub(crate) fn is_unfinished(path: &Path) -> bool {
    if !is_file(path) {
        return false;
    }
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(MAGIC_OCTETS).read_to_end(&mut start));
    read.is_ok() && start.iter().all(|octet| *octet == 0)
}

/// Runs what may find the file damaged in a way that redb does not expect.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let what = "the index file";
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::Corrupt { what }))
}

/// Has `found` called when redb panics, which it does when its file is damaged: with what it says, in one line.
pub(crate) fn when_redb_panics(found: fn(&str)) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or("", |location| location.file());
        if !place.contains("/redb-") {
            return before(info);
        }
        let said = info.payload();
        let owned = said.downcast_ref::<String>().map(String::as_str);
        let said = owned.or_else(|| said.downcast_ref::<&str>().copied());
        found(
            &said
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        );
    }));
}

/// Whether a commit must survive a power cut by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    /// With the next durable commit; the store can rebuild it until then.
    Later,
}

impl Index {
    /// Opens or makes the file. `cache_octets` bounds redb's own memory.
    pub(crate) fn open(path: &Path, cache_octets: usize) -> Result<Index, Error> {
        if path.exists() && !is_file(path) {
            let what = "what is in place of the file";
            return Err(Error::Corrupt { what });
        }
        guarded(|| {
            let database = Builder::new().set_cache_size(cache_octets).create(path)?;
            let notes = path.with_extension("journal");
            if notes.symlink_metadata().is_ok() && !is_file(&notes) {
                let aside = set_aside(&notes, "damaged")?;
                let (notes, aside) = (notes.display(), aside.display());
                log::error!("{notes} is no file: it is kept as {aside}");
            }
            Index::start(database, Some(notes))
        })
    }

    /// In memory, in place of a file that there is no room for. While it is there nobody else opens that. Errors:
    /// `InUse` if somebody has.
    pub(crate) fn makeshift(path: &Path, cache_octets: usize) -> Result<Index, Error> {
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(redb::StorageError::Io)?;
        let held = FileBackend::new(file)?;
        let memory = InMemoryBackend::new();
        let builder = &mut Builder::new();
        let database = builder
            .set_cache_size(cache_octets)
            .create_with_backend(memory)?;
        let mut index = Index::start(database, None)?;
        index.held = Some(held);
        Ok(index)
    }

    /// True if the file is not written: see [`Index::makeshift`].
    pub(crate) fn is_makeshift(&self) -> bool {
        self.held.is_some()
    }

    /// In memory, for tests.
    #[cfg(test)]
    pub(crate) fn memory() -> Result<Index, Error> {
        Index::with_backend(InMemoryBackend::new())
    }

    /// Over any backend, for tests that make it lie.
    #[cfg(test)]
    pub(crate) fn with_backend(backend: impl redb::StorageBackend) -> Result<Index, Error> {
        Index::start(
            Builder::new()
                .set_cache_size(1 << 20)
                .create_with_backend(backend)?,
            None,
        )
    }

    fn start(database: Database, beside: Option<PathBuf>) -> Result<Index, Error> {
        let noted = beside.as_deref().map(journal::read).unwrap_or_default();
        let mut index = Index {
            database,
            clean: true,
            unclean_ends: 0,
            lost: AtomicBool::new(false),
            totals: Totals::default(),
            journal: None,
            held: None,
        };
        let (version, number, clean, ends) = index.write(Durable::Yes, |w| {
            let version = w.version()?.unwrap_or(SCHEMA_VERSION);
            if !(OLDEST_VERSION..=SCHEMA_VERSION).contains(&version) {
                return Ok((version, 0, true, 0));
            }
            let number = take_in(w, &noted)?;
            // Durable with the mark itself: nobody is told anything before.
            let clean = w.meta("clean")?.unwrap_or(1) == 1;
            let ends = w.meta("unclean ends")?.unwrap_or(0);
            let ends = ends.saturating_add(u64::from(!clean));
            w.set_meta("unclean ends", ends)?;
            // Readers find every table.
            Kind::ALL
                .iter()
                .try_for_each(|kind| w.table(*kind).map(|_| ()))?;
            w.set_meta("version", SCHEMA_VERSION)?;
            w.set_meta("clean", 0)?;
            Ok((version, number, clean, ends))
        })?;
        if version < OLDEST_VERSION {
            return Err(Error::Older);
        }
        if version > SCHEMA_VERSION {
            return Err(Error::Newer);
        }
        (index.clean, index.unclean_ends) = (clean, ends);
        index.journal = beside.map(|path| Journal::new(path, number));
        Ok(index)
    }

    /// False if the last process that had the file open ended without [`Index::close`].
    pub(crate) fn was_clean(&self) -> bool {
        self.clean
    }

    /// How many processes had the file open and ended without [`Index::close`]. What each wrote at last
    /// the file may not have, of any mailbox.
    pub(crate) fn unclean_ends(&self) -> u64 {
        self.unclean_ends
    }

    /// How many of them ended since the mailbox was compared with its store.
    pub(crate) fn ends_since(&self, mailbox: MailboxId) -> Result<u64, Error> {
        match self.unclean_ends {
            0 => Ok(0),
            ends => Ok(ends.saturating_sub(self.read()?.ends_before(mailbox)?)),
        }
    }

    /// Makes everything durable and notes that nothing is missing.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.settle_with(|w| w.set_meta("clean", 1))
    }

    /// Makes everything committed so far durable.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let Some(journal) = &self.journal else {
            return self.settle();
        };
        if self.is_lost() {
            return Err(Error::Lost);
        }
        let mut notes = journal.notes();
        let changes = journal.take();
        if changes.is_empty() || notes.note(&changes) {
            return Ok(());
        }
        self.settle_in(Some((journal, &mut notes)), |_| Ok(()))
    }

    /// As `flush`, but what is too much for a note waits while more comes, for a bounded number of calls; false if it
    /// does.
    pub(crate) fn flush_unless_busy(&self) -> Result<bool, Error> {
        if let Some(journal) = self.journal.as_ref().filter(|_| !self.is_lost()) {
            let mut notes = journal.notes();
            let changes = journal.changes();
            if !changes.is_empty() && !notes.have_room(&changes) && notes.waits(&changes) {
                return Ok(false);
            }
        }
        self.flush().map(|()| true)
    }

    /// As `flush`, and the file needs no notes beside it.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        self.settle_with(|_| Ok(()))
    }

    fn settle_with<T>(
        &self,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &self.journal {
            Some(journal) => self.settle_in(Some((journal, &mut journal.notes())), work),
            None => self.settle_in(None, work),
        }
    }

    /// A durable commit of redb's, that has all before it.
    fn settle_in<T>(
        &self,
        journal: Option<(&Journal, &mut Notes)>,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some((journal, notes)) = journal else {
            return self.note_loss(self.transact(Durable::Yes, Changes::off(), work));
        };
        let mut changes = journal.changes();
        let number = notes.number.wrapping_add(1);
        let settled = self.transact(Durable::Yes, Changes::off(), |w| {
            w.set_meta(NUMBER, number)?;
            work(w)
        });
        match &settled {
            Ok(_) => {
                *changes = Changes::default();
                notes.begin(number);
            }
            // What was taken to be noted is lost to that.
            Err(_) => *changes = Changes::off(),
        }
        self.note_loss(settled.map(|(result, _)| (result, Changes::off())))
    }

    /// True once the disk failed: nothing can be read or written until the file is opened again.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Acquire)
    }

    /// Runs `work` in one write transaction; nothing of it is kept if it fails.
    pub(crate) fn write<T>(
        &self,
        durable: Durable,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(journal) = &self.journal else {
            return self.note_loss(self.transact(durable, Changes::off(), work));
        };
        if durable == Durable::Yes && journal.changes().are_too_many() {
            return self.settle_with(work);
        }
        let mut changes = journal.changes();
        let taking = match changes.are_too_many() {
            true => Changes::off(),
            false => Changes::default(),
        };
        let written = self.transact(Durable::Later, taking, work);
        if let Ok((_, own)) = &written {
            changes.add(own);
        }
        drop(changes);
        let result = self.note_loss(written)?;
        match durable {
            Durable::Yes => self.flush().map(|()| result),
            Durable::Later => Ok(result),
        }
    }

    fn note_loss<T>(&self, written: Result<(T, Changes), Error>) -> Result<T, Error> {
        if written.as_ref().is_err_and(Error::is_loss) {
            self.lost.store(true, Release);
        }
        written.map(|(result, _)| result)
    }

    /// Returns what was changed, too, if `changes` takes it.
    fn transact<T>(
        &self,
        durable: Durable,
        changes: Changes,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, Error>,
    ) -> Result<(T, Changes), Error> {
        let mut transaction = self.database.begin_write()?;
        match durable {
            Durable::Yes => transaction.set_quick_repair(true),
            Durable::Later => transaction.set_durability(Durability::None)?,
        }
        let mut writer = Writer::new(&transaction, &self.totals, changes);
        let result = work(&mut writer)?;
        let tally = writer.end_tally()?;
        let changes = std::mem::replace(&mut writer.changes, Changes::off());
        drop(writer);
        transaction.commit()?;
        self.totals.apply(tally);
        Ok((result, changes))
    }

    /// A consistent view of everything committed so far. Short-lived: while it lives, no page is used again.
    pub(crate) fn read(&self) -> Result<Reader, Error> {
        Ok(Reader {
            transaction: self.database.begin_read()?,
        })
    }
}

/// redb makes durable what it has when its file is closed: that must not be noted beside it, too.
impl Drop for Index {
    fn drop(&mut self) {
        // In a panic redb leaves its file as it is, and one that is damaged may panic here.
        if std::thread::panicking() {
            return;
        }
        let settled = match &self.journal {
            Some(_) => guarded(|| self.settle()),
            None => Ok(()),
        };
        // A file that failed is not written to any more.
        if settled.is_err_and(|error| !error.is_loss())
            && let Some(journal) = &self.journal
        {
            journal.notes().remove();
        }
    }
}

/// The name of the number of notes.
const NUMBER: &str = "notes";

/// Takes in what is noted beside the file; returns the number of the notes that follow.
fn take_in(w: &mut Writer<'_>, noted: &[u8]) -> Result<u64, Error> {
    let next = match w.meta(NUMBER)? {
        Some(number) => {
            let rest = &mut &*noted;
            while let Some(changes) = journal::take_note(rest, number) {
                let changes = &mut &*changes;
                while !changes.is_empty() {
                    let what = "a note beside the index";
                    w.apply(Change::take(changes).ok_or(Error::Corrupt { what })?)?;
                }
            }
            number.wrapping_add(1)
        }
        // Not one that is left from another file of that name.
        None => {
            let mut number = [0; 8];
            let what = "the random number source";
            getrandom::fill(&mut number).map_err(|_| Error::Corrupt { what })?;
            u64::from_le_bytes(number)
        }
    };
    w.set_meta(NUMBER, next)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Cached, Facts, FlagChunk, Summary};
    use crate::mail::{Guid, MailboxName, SystemFlags, Uid, UidValidity};
    use redb::TableDefinition;

    #[test]
    fn mailboxes_are_found_renamed_and_forgotten() {
        let index = Index::memory().unwrap();
        let name = |n: &str| MailboxName::new(n).unwrap();
        let summary = Summary::new(UidValidity::new(1).unwrap(), Uid::MIN, Guid([1; 16]));
        let (account, id) = index
            .write(Durable::Later, |w| {
                let account = w.account("u")?;
                let id = w.mailbox(account, &name("a"))?;
                w.set_summary(id, &summary)?;
                w.set_cached(id, Uid::MIN, &Cached::new(&Default::default()))?;
                Ok((account, id))
            })
            .unwrap();
        let again = index
            .write(Durable::Later, |w| w.mailbox(account, &name("a")))
            .unwrap();
        assert_eq!(again, id);
        index
            .write(Durable::Later, |w| {
                w.rename(account, &name("a"), &name("b"))
            })
            .unwrap();
        let reader = index.read().unwrap();
        assert_eq!(reader.mailbox(account, &name("a")).unwrap(), None);
        assert_eq!(reader.mailbox(account, &name("b")).unwrap(), Some(id));
        assert_eq!(reader.summary(id).unwrap(), Some(summary));
        index
            .write(Durable::Yes, |w| w.forget(account, &name("b")))
            .unwrap();
        let reader = index.read().unwrap();
        assert_eq!(reader.summary(id).unwrap(), None);
        let stored = reader.stored(id, Uid::MIN, Uid::MAX);
        assert!(stored.unwrap().is_empty());
        let new = index
            .write(Durable::Later, |w| w.mailbox(account, &name("b")))
            .unwrap();
        assert_ne!(new, id, "a mailbox number must not be used again");
    }

    /// A chunk with these UIDs (low octets), the first `seen` of them seen.
    fn chunk(slots: &[u8], seen: usize) -> FlagChunk {
        let mut chunk = FlagChunk::default();
        slots.iter().for_each(|&slot| chunk.present.set(slot, true));
        let seen = slots.iter().take(seen);
        seen.for_each(|&slot| chunk.set_system(slot, SystemFlags::SEEN));
        chunk
    }

    fn overview_shown(index: &Index, mailbox: MailboxId) -> (String, Option<u32>) {
        let reader = index.read().unwrap();
        let unseen = reader.first_unseen(mailbox, &|_| true).unwrap();
        let uids = reader.uids(mailbox).unwrap();
        (uids.to_string(), unseen.map(Uid::number))
    }

    #[test]
    fn overviews_follow_the_flags() {
        let index = Index::memory().unwrap();
        let (one, other) = (MailboxId(1), MailboxId(2));
        let set = |mailbox, number, chunk: &FlagChunk| {
            let written = index.write(Durable::Later, |w| w.set_flags(mailbox, number, chunk));
            written.unwrap();
        };
        set(one, 0, &chunk(&[1, 2, 3], 3));
        set(one, 1, &chunk(&[0, 1], 2));
        set(one, 40, &chunk(&[7], 0));
        set(other, 0, &chunk(&[9], 0));
        let last = 40 * 256 + 7;
        assert_eq!(
            overview_shown(&index, one),
            (format!("1:3,256:257,{last}"), Some(last))
        );
        set(one, 1, &chunk(&[0, 1, 5], 2));
        assert_eq!(overview_shown(&index, one).1, Some(261));
        set(one, 40, &FlagChunk::default());
        assert_eq!(overview_shown(&index, one).0, "1:3,256:257,261");
        index.write(Durable::Later, |w| w.clear(one)).unwrap();
        assert_eq!(overview_shown(&index, one), (String::new(), None));
        assert_eq!(overview_shown(&index, other), ("9".into(), Some(9)));
    }

    #[test]
    fn tables_of_other_types_count_as_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        let old: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
        let database = Builder::new().create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(old).unwrap();
        table.insert("version", 2).unwrap();
        drop(table);
        transaction.commit().unwrap();
        drop(database);
        let opened = Index::open(&path, 1 << 20);
        assert!(opened.err().is_some_and(|error| error.is_damage()));
    }

    #[test]
    fn a_bit_that_turns_in_a_closed_index_is_noticed() {
        // A client was told what the row said by then.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        let text = b"(an envelope that stands nowhere else)";
        let index = Index::open(&path, 1 << 20).unwrap();
        let cached = Cached::new(&Facts {
            envelope: text,
            ..Facts::default()
        });
        let written = index.write(Durable::Later, |w| {
            w.set_cached(MailboxId(1), Uid::MIN, &cached)
        });
        written.unwrap();
        index.close().unwrap();
        drop(index);
        let mut bytes = std::fs::read(&path).unwrap();
        let places: Vec<usize> = memchr::memmem::find_iter(&bytes, text).collect();
        places.iter().for_each(|at| bytes[at + 5] ^= 0x20);
        std::fs::write(&path, &bytes).unwrap();
        let index = Index::open(&path, 1 << 20).unwrap();
        assert!(index.was_clean());
        let reader = index.read().unwrap();
        let read = reader.stored(MailboxId(1), Uid::MIN, Uid::MAX);
        assert!(read.is_err_and(|error| error.is_damage()));
    }

    #[test]
    fn an_older_index_is_told_from_a_damaged_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        for (version, older) in [
            (&4u64.to_le_bytes()[..], true),
            (b"nonsense, and longer", false),
        ] {
            let database = Builder::new().create(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            let mut table = transaction.open_table(Kind::Meta.definition()).unwrap();
            table.insert("version".as_bytes(), version).unwrap();
            drop(table);
            transaction.commit().unwrap();
            drop(database);
            let error = Index::open(&path, 1 << 20).err().unwrap();
            assert_eq!(matches!(error, Error::Older), older, "{error}");
            assert_eq!(error.is_damage(), !older);
            remove(&path).unwrap();
        }
    }

    #[test]
    fn mailboxes_keep_apart_what_is_theirs() {
        let index = Index::memory().unwrap();
        let cached = Cached::new(&Default::default());
        let uid = |number| Uid::new(number).unwrap();
        let written = index.write(Durable::Later, |w| {
            for (mailbox, number) in [(1, 300), (1, 7), (2, 5), (256, 6), (0, u32::MAX)] {
                w.set_cached(MailboxId(mailbox), uid(number), &cached)?;
            }
            w.uncache(MailboxId(2), uid(1), uid(4))
        });
        written.unwrap();
        let reader = index.read().unwrap();
        let uids = |mailbox| -> Vec<u32> {
            let found = reader.stored(MailboxId(mailbox), Uid::MIN, Uid::MAX);
            found.unwrap().iter().map(|(uid, _)| uid.number()).collect()
        };
        assert_eq!(uids(1), [7, 300]);
        assert_eq!(uids(2), [5]);
        assert_eq!(uids(256), [6]);
        assert_eq!(uids(0), [u32::MAX]);
    }

    #[test]
    fn unclean_end_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        drop(Index::open(&path, 1 << 20).unwrap());
        drop(Index::open(&path, 1 << 20).unwrap());
        let index = Index::open(&path, 1 << 20).unwrap();
        assert_eq!((index.was_clean(), index.unclean_ends()), (false, 2));
        assert!(matches!(Index::open(&path, 1 << 20), Err(Error::InUse)));
        index.close().unwrap();
        drop(index);
        assert!(Index::open(&path, 1 << 20).unwrap().was_clean());
    }
}
