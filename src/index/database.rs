//! The redb file: tables, transactions, and what happens when it is damaged.

use super::{Cached, Error, FlagChunk, Glance, NameChunk, Overview, Summary};
use crate::mail::{MailboxId, MailboxName, SystemFlags, Uid, UidSet};
use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition,
};
use std::path::Path;

/// Names an account inside one index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AccountId(u32);

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const ACCOUNTS: TableDefinition<&str, u32> = TableDefinition::new("accounts");
const MAILBOXES: TableDefinition<(u32, &str), u32> = TableDefinition::new("mailboxes");
const SUMMARIES: TableDefinition<u32, &[u8]> = TableDefinition::new("summaries");
/// Key: mailbox in the high half, UID divided by 256 in the low one.
const FLAGS: TableDefinition<u64, &[u8]> = TableDefinition::new("flags");
const NAMES: TableDefinition<u64, &[u8]> = TableDefinition::new("names");
/// Key: mailbox in the high half, UID divided by 4096 in the low one.
const OVERVIEWS: TableDefinition<u64, &[u8]> = TableDefinition::new("overviews");
/// Key: mailbox, mod-sequence of the expunge, UID divided by 256.
pub(super) const EXPUNGED: TableDefinition<(u32, u64, u32), &[u8]> =
    TableDefinition::new("expunged");
/// Key: mailbox in the high half, UID in the low one.
const CACHE: TableDefinition<u64, &[u8]> = TableDefinition::new("cache");

/// Raised whenever the tables change so that an older program cannot read them.
/// 1: the first; 2: overviews; 3: expunges, and their horizon in summaries.
const SCHEMA_VERSION: u64 = 3;

/// What is known about messages of one or many accounts.
pub(crate) struct Index {
    database: Database,
    clean: bool,
}

/// Renames a damaged index file, so that somebody can look at it.
pub(crate) fn set_aside(path: &Path, aside: &Path) -> Result<(), Error> {
    std::fs::rename(path, aside).map_err(|error| redb::Error::Io(error).into())
}

/// Whether a commit must survive a power cut by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    /// With the next durable commit; the store can rebuild it until then.
    Later,
}

fn key(mailbox: MailboxId, low: u32) -> u64 {
    u64::from(mailbox.0) << 32 | u64::from(low)
}

impl Index {
    /// Opens or makes the file. `cache_octets` bounds redb's own memory.
    pub(crate) fn open(path: &Path, cache_octets: usize) -> Result<Index, Error> {
        let database = Builder::new().set_cache_size(cache_octets).create(path)?;
        Index::start(database)
    }

    /// In memory, for tests.
    #[cfg(test)]
    pub(crate) fn memory() -> Result<Index, Error> {
        Index::with_backend(redb::backends::InMemoryBackend::new())
    }

    /// Over any backend, for tests that make it lie.
    #[cfg(test)]
    pub(crate) fn with_backend(backend: impl redb::StorageBackend) -> Result<Index, Error> {
        Index::start(
            Builder::new()
                .set_cache_size(1 << 20)
                .create_with_backend(backend)?,
        )
    }

    fn start(database: Database) -> Result<Index, Error> {
        let mut index = Index {
            database,
            clean: true,
        };
        let (version, clean) = index.write(Durable::Yes, |w| {
            let version = w.meta("version")?.unwrap_or(SCHEMA_VERSION);
            let clean = w.meta("clean")?.unwrap_or(1) == 1;
            if version <= SCHEMA_VERSION {
                if version < 2 {
                    w.make_overviews()?;
                }
                w.set_meta("version", SCHEMA_VERSION)?;
                w.set_meta("clean", 0)?;
            }
            Ok((version, clean))
        })?;
        index.clean = clean;
        if version > SCHEMA_VERSION {
            Err(Error::Newer)
        } else {
            Ok(index)
        }
    }

    /// False if the last process that had the file open ended without [`Index::close`].
    pub(crate) fn was_clean(&self) -> bool {
        self.clean
    }

    /// Makes everything durable and notes that nothing is missing.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.write(Durable::Yes, |w| w.set_meta("clean", 1))
    }

    /// Makes everything committed so far durable.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.write(Durable::Yes, |_| Ok(()))
    }

    /// Runs `work` in one write transaction; nothing of it is kept if it fails.
    pub(crate) fn write<T>(
        &self,
        durable: Durable,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut transaction = self.database.begin_write()?;
        match durable {
            Durable::Yes => transaction.set_quick_repair(true),
            Durable::Later => transaction.set_durability(Durability::None)?,
        }
        let result = {
            let mut writer = Writer {
                meta: transaction.open_table(META)?,
                accounts: transaction.open_table(ACCOUNTS)?,
                mailboxes: transaction.open_table(MAILBOXES)?,
                summaries: transaction.open_table(SUMMARIES)?,
                flags: transaction.open_table(FLAGS)?,
                names: transaction.open_table(NAMES)?,
                overviews: transaction.open_table(OVERVIEWS)?,
                cache: transaction.open_table(CACHE)?,
                expunged: transaction.open_table(EXPUNGED)?,
            };
            work(&mut writer)?
        };
        transaction.commit()?;
        Ok(result)
    }

    /// A consistent view of everything committed so far. Short-lived: while it lives, no page is used again.
    pub(crate) fn read(&self) -> Result<Reader, Error> {
        Ok(Reader {
            transaction: self.database.begin_read()?,
        })
    }
}

/// Reads rows.
pub(crate) struct Reader {
    pub(super) transaction: ReadTransaction,
}

impl Reader {
    pub(crate) fn summary(&self, mailbox: MailboxId) -> Result<Option<Summary>, Error> {
        let table = self.transaction.open_table(SUMMARIES)?;
        let row = table.get(mailbox.0)?;
        row.map(|row| Summary::decode(row.value()).ok_or(Error::Corrupt { what: "a summary" }))
            .transpose()
    }

    /// The chunk of UIDs `number * 256` to `number * 256 + 255`; empty if there is none.
    pub(crate) fn flags(&self, mailbox: MailboxId, number: u32) -> Result<FlagChunk, Error> {
        let table = self.transaction.open_table(FLAGS)?;
        flags_of(
            table
                .get(key(mailbox, number))?
                .as_ref()
                .map(|row| row.value()),
        )
    }

    pub(crate) fn names(&self, mailbox: MailboxId, number: u32) -> Result<NameChunk, Error> {
        let table = self.transaction.open_table(NAMES)?;
        names_of(
            table
                .get(key(mailbox, number))?
                .as_ref()
                .map(|row| row.value()),
        )
    }

    /// Calls `each` for every chunk, ascending.
    pub(crate) fn each_flags(
        &self,
        mailbox: MailboxId,
        each: &mut dyn FnMut(u32, FlagChunk),
    ) -> Result<(), Error> {
        let table = self.transaction.open_table(FLAGS)?;
        for row in table.range(key(mailbox, 0)..=key(mailbox, u32::MAX))? {
            let (at, value) = row?;
            each(at.value() as u32, flags_of(Some(value.value()))?);
        }
        Ok(())
    }

    /// Calls `each` for every chunk, ascending.
    pub(crate) fn each_names(
        &self,
        mailbox: MailboxId,
        each: &mut dyn FnMut(u32, NameChunk),
    ) -> Result<(), Error> {
        let table = self.transaction.open_table(NAMES)?;
        for row in table.range(key(mailbox, 0)..=key(mailbox, u32::MAX))? {
            let (at, value) = row?;
            each(at.value() as u32, names_of(Some(value.value()))?);
        }
        Ok(())
    }

    /// Calls `each` with the number of every chunk that is not empty and what there is in it,
    /// ascending, until it says `false`.
    fn each_glance(
        &self,
        mailbox: MailboxId,
        each: &mut dyn FnMut(u32, &Glance) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let table = self.transaction.open_table(OVERVIEWS)?;
        for row in table.range(key(mailbox, 0)..=key(mailbox, u32::MAX))? {
            let (at, value) = row?;
            let first = (at.value() as u32).saturating_mul(Overview::CHUNKS as u32);
            let overview = overview_of(Some(value.value()))?;
            for (number, glance) in (first..).zip(&overview.chunks) {
                if !glance.present.is_empty() && !each(number, glance)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Every UID of the mailbox; reads a small row for each 4,096.
    pub(crate) fn uids(&self, mailbox: MailboxId) -> Result<UidSet, Error> {
        let mut uids = UidSet::new();
        self.each_glance(mailbox, &mut |number, glance| {
            for (first, last) in glance.present.runs() {
                let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
                if let (Some(first), Some(last)) = (uid(first), uid(last)) {
                    uids.insert_range(first, last);
                }
            }
            Ok(true)
        })?;
        Ok(uids)
    }

    /// The first message without `\Seen` among those for which `counts` is true.
    pub(crate) fn first_unseen(
        &self,
        mailbox: MailboxId,
        counts: &dyn Fn(Uid) -> bool,
    ) -> Result<Option<Uid>, Error> {
        let mut found = None;
        self.each_glance(mailbox, &mut |number, glance| {
            if glance.unseen > 0 {
                let flags = self.flags(mailbox, number)?;
                let unseen = flags.present.without(&flags.with_flag(SystemFlags::SEEN));
                found = unseen
                    .slots()
                    .filter_map(|slot| Uid::new(number << 8 | u32::from(slot)))
                    .find(|uid| counts(*uid));
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Cached fields of the messages from `first` to `last` that have some, ascending, at most `count`.
    pub(crate) fn cached(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        count: usize,
    ) -> Result<Vec<(Uid, Cached)>, Error> {
        let table = self.transaction.open_table(CACHE)?;
        let mut found = Vec::new();
        for row in table
            .range(key(mailbox, first.number())..=key(mailbox, last.number()))?
            .take(count)
        {
            let (at, value) = row?;
            // What cannot be read is as good as not there: it is computed anew.
            if let (Some(uid), Some(cached)) =
                (Uid::new(at.value() as u32), Cached::decode(value.value()))
            {
                found.push((uid, cached));
            }
        }
        Ok(found)
    }

    pub(crate) fn account(&self, name: &str) -> Result<Option<AccountId>, Error> {
        Ok(self
            .transaction
            .open_table(ACCOUNTS)?
            .get(name)?
            .map(|row| AccountId(row.value())))
    }

    pub(crate) fn mailbox(
        &self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<Option<MailboxId>, Error> {
        let table = self.transaction.open_table(MAILBOXES)?;
        Ok(table
            .get((account.0, name.as_str()))?
            .map(|row| MailboxId(row.value())))
    }
}

fn flags_of(row: Option<&[u8]>) -> Result<FlagChunk, Error> {
    row.map_or(Some(FlagChunk::default()), FlagChunk::decode)
        .ok_or(Error::Corrupt {
            what: "a chunk of flags",
        })
}

fn overview_of(row: Option<&[u8]>) -> Result<Overview, Error> {
    row.map_or(Some(Overview::default()), Overview::decode)
        .ok_or(Error::Corrupt {
            what: "an overview",
        })
}

fn names_of(row: Option<&[u8]>) -> Result<NameChunk, Error> {
    row.map_or(Some(NameChunk::default()), NameChunk::decode)
        .ok_or(Error::Corrupt {
            what: "a chunk of names",
        })
}

/// Reads and writes rows inside one transaction.
pub(crate) struct Writer<'t> {
    meta: Table<'t, &'static str, u64>,
    accounts: Table<'t, &'static str, u32>,
    mailboxes: Table<'t, (u32, &'static str), u32>,
    summaries: Table<'t, u32, &'static [u8]>,
    flags: Table<'t, u64, &'static [u8]>,
    names: Table<'t, u64, &'static [u8]>,
    overviews: Table<'t, u64, &'static [u8]>,
    cache: Table<'t, u64, &'static [u8]>,
    pub(super) expunged: Table<'t, (u32, u64, u32), &'static [u8]>,
}

impl Writer<'_> {
    fn meta(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.meta.get(name)?.map(|row| row.value()))
    }

    fn set_meta(&mut self, name: &str, value: u64) -> Result<(), Error> {
        self.meta.insert(name, value)?;
        Ok(())
    }

    /// The next number of a counter that never goes back.
    fn next(&mut self, counter: &str) -> Result<u32, Error> {
        let number = self.meta(counter)?.unwrap_or(0) + 1;
        self.set_meta(counter, number)?;
        u32::try_from(number).map_err(|_| Error::Corrupt { what: "a counter" })
    }

    /// The account of that name, made if there is none.
    pub(crate) fn account(&mut self, name: &str) -> Result<AccountId, Error> {
        if let Some(row) = self.accounts.get(name)? {
            return Ok(AccountId(row.value()));
        }
        let id = self.next("accounts")?;
        self.accounts.insert(name, id)?;
        Ok(AccountId(id))
    }

    /// The mailbox of that name, made if there is none.
    pub(crate) fn mailbox(
        &mut self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<MailboxId, Error> {
        if let Some(row) = self.mailboxes.get((account.0, name.as_str()))? {
            return Ok(MailboxId(row.value()));
        }
        let id = self.next("mailboxes")?;
        self.mailboxes.insert((account.0, name.as_str()), id)?;
        Ok(MailboxId(id))
    }

    pub(crate) fn rename(
        &mut self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), Error> {
        let id = self
            .mailboxes
            .remove((account.0, from.as_str()))?
            .map(|row| row.value());
        if let Some(id) = id {
            self.mailboxes.insert((account.0, to.as_str()), id)?;
        }
        Ok(())
    }

    /// Forgets a mailbox and everything about it.
    pub(crate) fn forget(&mut self, account: AccountId, name: &MailboxName) -> Result<(), Error> {
        let id = self
            .mailboxes
            .remove((account.0, name.as_str()))?
            .map(|row| MailboxId(row.value()));
        id.map_or(Ok(()), |id| self.clear(id))
    }

    /// Forgets everything about a mailbox but that it exists.
    pub(crate) fn clear(&mut self, mailbox: MailboxId) -> Result<(), Error> {
        let all = key(mailbox, 0)..=key(mailbox, u32::MAX);
        self.summaries.remove(mailbox.0)?;
        self.flags.retain_in(all.clone(), |_, _| false)?;
        self.names.retain_in(all.clone(), |_, _| false)?;
        self.overviews.retain_in(all.clone(), |_, _| false)?;
        self.cache.retain_in(all, |_, _| false)?;
        let all = (mailbox.0, 0, 0)..=(mailbox.0, u64::MAX, u32::MAX);
        self.expunged.retain_in(all, |_, _| false)?;
        Ok(())
    }

    pub(crate) fn set_summary(
        &mut self,
        mailbox: MailboxId,
        summary: &Summary,
    ) -> Result<(), Error> {
        self.summaries
            .insert(mailbox.0, summary.encode().as_slice())?;
        Ok(())
    }

    pub(crate) fn flags(&self, mailbox: MailboxId, number: u32) -> Result<FlagChunk, Error> {
        flags_of(
            self.flags
                .get(key(mailbox, number))?
                .as_ref()
                .map(|row| row.value()),
        )
    }

    /// An empty chunk is taken out.
    pub(crate) fn set_flags(
        &mut self,
        mailbox: MailboxId,
        number: u32,
        chunk: &FlagChunk,
    ) -> Result<(), Error> {
        let at = key(mailbox, number);
        if chunk.present.is_empty() {
            self.flags.remove(at)?;
        } else {
            self.flags.insert(at, chunk.encode().as_slice())?;
        }
        self.set_glance(mailbox, number, &chunk.into())
    }

    /// For an index of schema version 1.
    fn make_overviews(&mut self) -> Result<(), Error> {
        let mut all: Vec<(u64, Glance)> = Vec::new();
        for row in self.flags.iter()? {
            let (at, value) = row?;
            all.push((at.value(), (&flags_of(Some(value.value()))?).into()));
        }
        all.into_iter().try_for_each(|(at, glance)| {
            let mailbox = MailboxId((at >> 32) as u32);
            self.set_glance(mailbox, at as u32, &glance)
        })
    }

    /// Keeps the overview in line with a chunk of flags.
    fn set_glance(&mut self, mailbox: MailboxId, number: u32, new: &Glance) -> Result<(), Error> {
        let at = key(mailbox, number / Overview::CHUNKS as u32);
        let mut overview = overview_of(self.overviews.get(at)?.as_ref().map(|row| row.value()))?;
        let slot = (number % Overview::CHUNKS as u32) as usize;
        match overview.chunks.get_mut(slot) {
            Some(old) if old != new => *old = *new,
            _ => return Ok(()),
        }
        if overview.is_empty() {
            self.overviews.remove(at)?;
        } else {
            self.overviews.insert(at, overview.encode().as_slice())?;
        }
        Ok(())
    }

    pub(crate) fn names(&self, mailbox: MailboxId, number: u32) -> Result<NameChunk, Error> {
        names_of(
            self.names
                .get(key(mailbox, number))?
                .as_ref()
                .map(|row| row.value()),
        )
    }

    /// An empty chunk is taken out.
    pub(crate) fn set_names(
        &mut self,
        mailbox: MailboxId,
        number: u32,
        chunk: &NameChunk,
    ) -> Result<(), Error> {
        let at = key(mailbox, number);
        if chunk.names.is_empty() {
            self.names.remove(at)?;
        } else {
            self.names.insert(at, chunk.encode().as_slice())?;
        }
        Ok(())
    }

    pub(crate) fn set_cached(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        cached: &Cached,
    ) -> Result<(), Error> {
        self.cache
            .insert(key(mailbox, uid.number()), cached.encode())?;
        Ok(())
    }

    /// Forgets cached fields of the messages from `first` to `last`.
    pub(crate) fn uncache(
        &mut self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
    ) -> Result<(), Error> {
        if first == last {
            self.cache.remove(key(mailbox, first.number()))?;
        } else {
            self.cache.retain_in(
                key(mailbox, first.number())..=key(mailbox, last.number()),
                |_, _| false,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Guid, UidValidity};

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
                w.set_cached(id, Uid::MIN, &Cached::new(1, 2, b"", b"", b""))?;
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
        assert!(
            reader
                .cached(id, Uid::MIN, Uid::MAX, 10)
                .unwrap()
                .is_empty()
        );
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
    fn an_index_without_overviews_gets_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        let index = Index::open(&path, 1 << 20).unwrap();
        let chunks = [
            (MailboxId(1), 3, chunk(&[1, 200], 1)),
            (MailboxId(7), 90, chunk(&[0], 1)),
        ];
        let old = index.write(Durable::Yes, |w| {
            for (mailbox, number, chunk) in &chunks {
                w.set_flags(*mailbox, *number, chunk)?;
            }
            w.overviews.retain(|_, _| false)?;
            w.set_meta("version", 1)
        });
        old.unwrap();
        drop(index);
        for _ in 0..2 {
            let index = Index::open(&path, 1 << 20).unwrap();
            assert_eq!(
                overview_shown(&index, MailboxId(1)),
                ("769,968".into(), Some(968))
            );
            assert_eq!(overview_shown(&index, MailboxId(7)).0, "23040");
            let version = index.write(Durable::Later, |w| w.meta("version"));
            assert_eq!(version.unwrap(), Some(SCHEMA_VERSION));
        }
    }

    #[test]
    fn unclean_end_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        drop(Index::open(&path, 1 << 20).unwrap());
        let index = Index::open(&path, 1 << 20).unwrap();
        assert!(!index.was_clean());
        assert!(matches!(Index::open(&path, 1 << 20), Err(Error::InUse)));
        index.close().unwrap();
        drop(index);
        assert!(Index::open(&path, 1 << 20).unwrap().was_clean());
    }
}
