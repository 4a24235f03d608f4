//! The redb file: tables, transactions, and what happens when it is damaged.

use super::checksum;
use super::{Cached, Error, FlagChunk, Glance, Kept, Name, NameChunk, Overview, Summary};
use crate::mail::{MailboxId, MailboxName, SystemFlags, Uid, UidSet};
use redb::{
    AccessGuard, Builder, Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::io::Read;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

/// Names an account inside one index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AccountId(u32);

/// Keys and values of every table are bytes: one B-tree in the binary instead of one for each pair of
/// types. Numbers in keys are big-endian, so that their order is that of the bytes.
type Bytes = &'static [u8];

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names of counters and marks; a number.
    Meta,
    /// Names; an account.
    Accounts,
    /// Account and name; a mailbox.
    Mailboxes,
    /// Mailbox.
    Summaries,
    /// Mailbox, UID divided by 256.
    Flags,
    Names,
    /// Mailbox, UID divided by 4096.
    Overviews,
    /// Mailbox, UID.
    Cache,
    /// Mailbox, mod-sequence of the expunge, UID divided by 256.
    Expunged,
    /// Mailbox, UID; what somebody asked for.
    Previews,
    /// Mailbox, UID.
    Keys,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Meta,
        Kind::Accounts,
        Kind::Mailboxes,
        Kind::Summaries,
        Kind::Flags,
        Kind::Names,
        Kind::Overviews,
        Kind::Cache,
        Kind::Expunged,
        Kind::Previews,
        Kind::Keys,
    ];

    fn definition(self) -> TableDefinition<'static, Bytes, Bytes> {
        TableDefinition::new(match self {
            Kind::Meta => "meta",
            Kind::Accounts => "accounts",
            Kind::Mailboxes => "mailboxes",
            Kind::Summaries => "summaries",
            Kind::Flags => "flags",
            Kind::Names => "names",
            Kind::Overviews => "overviews",
            Kind::Cache => "cache",
            Kind::Keys => "keys",
            Kind::Expunged => "expunged",
            Kind::Previews => "previews",
        })
    }
}

/// Raised whenever the tables change so that an older program cannot read them.
/// 1: the first; 2: overviews; 3: expunges; 4: all keys and values are bytes; 5: a checksum behind each
/// value. Older ones are made again from the store; those before 4 count as damaged.
const SCHEMA_VERSION: u64 = 5;

/// What is known about messages of one or many accounts.
pub(crate) struct Index {
    database: Database,
    clean: bool,
    lost: AtomicBool,
}

/// Of what a file of redb's begins with.
const MAGIC_OCTETS: u64 = 9;

/// Renames a damaged index file, so that somebody can look at it.
pub(crate) fn set_aside(path: &Path, aside: &Path) -> Result<(), Error> {
    std::fs::rename(path, aside).map_err(|error| redb::Error::Io(error).into())
}

/// Removes an index file.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_file(path).map_err(|error| redb::Error::Io(error).into())
}

/// True if redb was ended while it made the file: the octets that say what it is are written last, and
/// until then nothing is in it. Nobody else may have the file open.
pub(crate) fn is_unfinished(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(MAGIC_OCTETS).read_to_end(&mut start));
    read.is_ok() && start.iter().all(|octet| *octet == 0)
}

/// Runs what may find the file damaged in a way that redb does not expect.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let what = "the index file";
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::Corrupt { what }))
}

/// Has `found` called when redb panics, which it does when its file is damaged.
pub(crate) fn when_redb_panics(found: fn()) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or("", |location| location.file());
        if place.contains("/redb-") {
            found();
        }
        before(info);
    }));
}

/// Whether a commit must survive a power cut by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    /// With the next durable commit; the store can rebuild it until then.
    Later,
}

fn key(mailbox: MailboxId, low: u32) -> [u8; 8] {
    (u64::from(mailbox.0) << 32 | u64::from(low)).to_be_bytes()
}

/// The lower half of a key.
fn low(key: &[u8]) -> u32 {
    let low = key.last_chunk::<4>().copied();
    u32::from_be_bytes(low.unwrap_or_default())
}

fn mailbox_key(account: AccountId, name: &MailboxName) -> Vec<u8> {
    let mut key = account.0.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_str().as_bytes());
    key
}

/// A row whose checksum is right.
pub(super) struct Row<'a>(AccessGuard<'a, Bytes>);

impl<'a> Row<'a> {
    fn new(kind: Kind, key: &[u8], row: AccessGuard<'a, Bytes>) -> Result<Row<'a>, Error> {
        checksum::unseal(kind as u8, key, row.value())?;
        Ok(Row(row))
    }

    pub(super) fn value(&self) -> &[u8] {
        checksum::unsealed(self.0.value())
    }
}

/// A number as a value.
fn number(row: Option<Row<'_>>) -> Result<Option<u64>, Error> {
    let number = |row: Row<'_>| row.value().try_into().map(u64::from_le_bytes);
    row.map(number)
        .transpose()
        .map_err(|_| Error::Corrupt { what: "a number" })
}

/// As `number`, for those of accounts and mailboxes.
fn short(row: Option<Row<'_>>) -> Result<Option<u32>, Error> {
    let number = number(row)?.map(u32::try_from).transpose();
    number.map_err(|_| Error::Corrupt { what: "a number" })
}

impl Index {
    /// Opens or makes the file. `cache_octets` bounds redb's own memory.
    pub(crate) fn open(path: &Path, cache_octets: usize) -> Result<Index, Error> {
        guarded(|| {
            let database = Builder::new().set_cache_size(cache_octets).create(path)?;
            Index::start(database)
        })
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
            lost: AtomicBool::new(false),
        };
        let (version, clean) = index.write(Durable::Yes, |w| {
            let version = w.version()?.unwrap_or(SCHEMA_VERSION);
            if version != SCHEMA_VERSION {
                return Ok((version, true));
            }
            let clean = w.meta("clean")?.unwrap_or(1) == 1;
            // Readers find every table.
            Kind::ALL
                .iter()
                .try_for_each(|kind| w.table(*kind).map(|_| ()))?;
            w.set_meta("version", SCHEMA_VERSION)?;
            w.set_meta("clean", 0)?;
            Ok((version, clean))
        })?;
        index.clean = clean;
        match version.cmp(&SCHEMA_VERSION) {
            Ordering::Less => Err(Error::Older),
            Ordering::Equal => Ok(index),
            Ordering::Greater => Err(Error::Newer),
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
        let written = self.transact(durable, work);
        if written.as_ref().is_err_and(Error::is_loss) {
            self.lost.store(true, Release);
        }
        written
    }

    fn transact<T>(
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
                transaction: &transaction,
                tables: Default::default(),
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

/// What is done with a row: the lower part of its key, its value; `false` if that was enough.
type Each<'a> = dyn FnMut(u32, &[u8]) -> Result<bool, Error> + 'a;

/// Whether the checksums of rows are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Checked {
    Yes,
    /// By a walk over all messages, that compares and tells nobody what is in the rows.
    No,
}

impl Reader {
    fn table(&self, kind: Kind) -> Result<ReadOnlyTable<Bytes, Bytes>, Error> {
        Ok(self.transaction.open_table(kind.definition())?)
    }

    fn get(&self, kind: Kind, key: &[u8]) -> Result<Option<Row<'static>>, Error> {
        let row = self.table(kind)?.get(key)?;
        row.map(|row| Row::new(kind, key, row)).transpose()
    }

    /// Calls `each` with the lower half of the key of every row, ascending, until it says `false`.
    pub(super) fn each<const OCTETS: usize>(
        &self,
        kind: Kind,
        range: RangeInclusive<[u8; OCTETS]>,
        each: &mut Each<'_>,
    ) -> Result<(), Error> {
        self.rows(kind, range, Checked::Yes, each)
    }

    fn rows<const OCTETS: usize>(
        &self,
        kind: Kind,
        range: RangeInclusive<[u8; OCTETS]>,
        checked: Checked,
        each: &mut Each<'_>,
    ) -> Result<(), Error> {
        let (first, last) = (range.start().as_slice(), range.end().as_slice());
        for row in self.table(kind)?.range::<&[u8]>(first..=last)? {
            let (at, value) = row?;
            let value = match checked {
                Checked::Yes => checksum::unseal(kind as u8, at.value(), value.value())?,
                Checked::No => checksum::unsealed(value.value()),
            };
            if !each(low(at.value()), value)? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn summary(&self, mailbox: MailboxId) -> Result<Option<Summary>, Error> {
        let row = self.get(Kind::Summaries, &mailbox.0.to_be_bytes())?;
        row.map(|row| Summary::decode(row.value()).ok_or(Error::Corrupt { what: "a summary" }))
            .transpose()
    }

    /// The chunk of UIDs `number * 256` to `number * 256 + 255`; empty if there is none.
    pub(crate) fn flags(&self, mailbox: MailboxId, number: u32) -> Result<FlagChunk, Error> {
        let row = self.get(Kind::Flags, &key(mailbox, number))?;
        flags_of(row.as_ref().map(|row| row.value()))
    }

    pub(crate) fn names(&self, mailbox: MailboxId, number: u32) -> Result<NameChunk, Error> {
        let row = self.get(Kind::Names, &key(mailbox, number))?;
        names_of(row.as_ref().map(|row| row.value()))
    }

    /// Calls `each` for every chunk, ascending.
    pub(crate) fn each_flags(
        &self,
        mailbox: MailboxId,
        each: &mut dyn FnMut(u32, FlagChunk),
    ) -> Result<(), Error> {
        self.each(Kind::Flags, whole(mailbox), &mut |at, value| {
            each(at, flags_of(Some(value))?);
            Ok(true)
        })
    }

    /// Calls `each` for every chunk, ascending.
    pub(crate) fn each_names(
        &self,
        mailbox: MailboxId,
        each: &mut dyn FnMut(u32, NameChunk),
    ) -> Result<(), Error> {
        self.each(Kind::Names, whole(mailbox), &mut |at, value| {
            each(at, names_of(Some(value))?);
            Ok(true)
        })
    }

    /// Calls `each` with the number of every chunk that is not empty and what there is in it,
    /// ascending, until it says `false`.
    fn each_glance(
        &self,
        mailbox: MailboxId,
        each: &mut dyn FnMut(u32, &Glance) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.each(Kind::Overviews, whole(mailbox), &mut |at, value| {
            let first = at.saturating_mul(Overview::CHUNKS as u32);
            let overview = overview_of(Some(value))?;
            for (number, glance) in (first..).zip(&overview.chunks) {
                if !glance.present.is_empty() && !each(number, glance)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
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
        let mut found = Vec::new();
        let mut rows = 0;
        let range = key(mailbox, first.number())..=key(mailbox, last.number());
        self.each(Kind::Cache, range, &mut |at, value| {
            // What cannot be read is as good as not there: it is computed anew.
            if let (Some(uid), Some(cached)) = (Uid::new(at), Cached::decode(value)) {
                found.push((uid, cached));
            }
            rows += 1;
            Ok(rows < count)
        })?;
        Ok(found)
    }

    /// Calls `each` with the row of every message from `first` to `last` of which something is
    /// remembered, ascending, until it returns `false`. Copies nothing.
    pub(crate) fn each_cached(
        &self,
        mailbox: MailboxId,
        (kept, checked): (Kept, Checked),
        first: Uid,
        last: Uid,
        each: &mut dyn FnMut(Uid, &[u8]) -> bool,
    ) -> Result<(), Error> {
        let range = key(mailbox, first.number())..=key(mailbox, last.number());
        let kind = match kept {
            Kept::Keys => Kind::Keys,
            Kept::Facts => Kind::Cache,
        };
        self.rows(kind, range, checked, &mut |at, row| {
            Ok(Uid::new(at).is_none_or(|uid| each(uid, row)))
        })
    }

    /// The preview of a message, if it was made.
    pub(crate) fn preview(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<String>, Error> {
        let row = self.get(Kind::Previews, &key(mailbox, uid.number()))?;
        let text = row.and_then(|row| std::str::from_utf8(row.value()).ok().map(str::to_owned));
        Ok(text)
    }

    pub(crate) fn account(&self, name: &str) -> Result<Option<AccountId>, Error> {
        let row = self.get(Kind::Accounts, name.as_bytes())?;
        Ok(short(row)?.map(AccountId))
    }

    pub(crate) fn mailbox(
        &self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<Option<MailboxId>, Error> {
        let row = self.get(Kind::Mailboxes, &mailbox_key(account, name))?;
        Ok(short(row)?.map(MailboxId))
    }
}

/// All keys of a mailbox.
fn whole(mailbox: MailboxId) -> RangeInclusive<[u8; 8]> {
    key(mailbox, 0)..=key(mailbox, u32::MAX)
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
    transaction: &'t WriteTransaction,
    /// Those that were needed, in the order of [`Kind::ALL`].
    tables: [OnceCell<Table<'t, Bytes, Bytes>>; Kind::ALL.len()],
}

impl<'t> Writer<'t> {
    fn table(&self, kind: Kind) -> Result<&Table<'t, Bytes, Bytes>, Error> {
        let missing = Error::Corrupt { what: "a table" };
        let cell = self.tables.get(kind as usize).ok_or(missing)?;
        match cell.get() {
            Some(table) => Ok(table),
            None => {
                let table = self.transaction.open_table(kind.definition())?;
                Ok(cell.get_or_init(|| table))
            }
        }
    }

    fn table_mut(&mut self, kind: Kind) -> Result<&mut Table<'t, Bytes, Bytes>, Error> {
        self.table(kind)?;
        let cell = self.tables.get_mut(kind as usize);
        cell.and_then(OnceCell::get_mut)
            .ok_or(Error::Corrupt { what: "a table" })
    }

    pub(super) fn get(&self, kind: Kind, key: &[u8]) -> Result<Option<Row<'_>>, Error> {
        let row = self.table(kind)?.get(key)?;
        row.map(|row| Row::new(kind, key, row)).transpose()
    }

    pub(super) fn put(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let row = checksum::seal(kind as u8, key, value);
        self.table_mut(kind)?.insert(key, row.as_slice())?;
        Ok(())
    }

    pub(super) fn remove(&mut self, kind: Kind, key: &[u8]) -> Result<(), Error> {
        self.table_mut(kind)?.remove(key)?;
        Ok(())
    }

    /// The key of the first row of a range.
    pub(super) fn first<const OCTETS: usize>(
        &self,
        kind: Kind,
        range: RangeInclusive<[u8; OCTETS]>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let (first, last) = (range.start().as_slice(), range.end().as_slice());
        let row = self.table(kind)?.range::<&[u8]>(first..=last)?.next();
        Ok(row.transpose()?.map(|(key, _)| key.value().to_vec()))
    }

    fn remove_range<const OCTETS: usize>(
        &mut self,
        kind: Kind,
        range: RangeInclusive<[u8; OCTETS]>,
    ) -> Result<(), Error> {
        let (first, last) = (range.start().as_slice(), range.end().as_slice());
        let table = self.table_mut(kind)?;
        table.retain_in::<&[u8], _>(first..=last, |_, _| false)?;
        Ok(())
    }

    /// The version of the tables; `None` if they are new.
    fn version(&self) -> Result<Option<u64>, Error> {
        let name = "version";
        match self.table(Kind::Meta)?.get(name.as_bytes())? {
            // Without a checksum: as it was before 5.
            Some(row) if row.value().len() == size_of::<u64>() => Ok(Some(SCHEMA_VERSION - 1)),
            _ => self.meta(name),
        }
    }

    fn meta(&self, name: &str) -> Result<Option<u64>, Error> {
        number(self.get(Kind::Meta, name.as_bytes())?)
    }

    fn set_meta(&mut self, name: &str, value: u64) -> Result<(), Error> {
        self.put(Kind::Meta, name.as_bytes(), &value.to_le_bytes())
    }

    /// The next number of a counter that never goes back.
    fn next(&mut self, counter: &str) -> Result<u32, Error> {
        let number = self.meta(counter)?.unwrap_or(0) + 1;
        self.set_meta(counter, number)?;
        u32::try_from(number).map_err(|_| Error::Corrupt { what: "a counter" })
    }

    /// The account of that name, made if there is none.
    pub(crate) fn account(&mut self, name: &str) -> Result<AccountId, Error> {
        if let Some(id) = short(self.get(Kind::Accounts, name.as_bytes())?)? {
            return Ok(AccountId(id));
        }
        let id = self.next("accounts")?;
        self.put(
            Kind::Accounts,
            name.as_bytes(),
            &u64::from(id).to_le_bytes(),
        )?;
        Ok(AccountId(id))
    }

    /// The number of a mailbox, if it has one.
    fn mailbox_id(
        &self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<Option<MailboxId>, Error> {
        let row = self.get(Kind::Mailboxes, &mailbox_key(account, name))?;
        Ok(short(row)?.map(MailboxId))
    }

    fn set_mailbox_id(
        &mut self,
        account: AccountId,
        name: &MailboxName,
        id: MailboxId,
    ) -> Result<(), Error> {
        let id = u64::from(id.0).to_le_bytes();
        self.put(Kind::Mailboxes, &mailbox_key(account, name), &id)
    }

    /// The mailbox of that name, made if there is none.
    pub(crate) fn mailbox(
        &mut self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<MailboxId, Error> {
        if let Some(id) = self.mailbox_id(account, name)? {
            return Ok(id);
        }
        let id = MailboxId(self.next("mailboxes")?);
        self.set_mailbox_id(account, name, id)?;
        Ok(id)
    }

    pub(crate) fn rename(
        &mut self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), Error> {
        if let Some(id) = self.mailbox_id(account, from)? {
            self.remove(Kind::Mailboxes, &mailbox_key(account, from))?;
            self.set_mailbox_id(account, to, id)?;
        }
        Ok(())
    }

    /// Forgets a mailbox and everything about it.
    pub(crate) fn forget(&mut self, account: AccountId, name: &MailboxName) -> Result<(), Error> {
        if let Some(id) = self.mailbox_id(account, name)? {
            self.remove(Kind::Mailboxes, &mailbox_key(account, name))?;
            self.clear(id)?;
        }
        Ok(())
    }

    /// Forgets everything about a mailbox but that it exists.
    pub(crate) fn clear(&mut self, mailbox: MailboxId) -> Result<(), Error> {
        self.remove(Kind::Summaries, &mailbox.0.to_be_bytes())?;
        let kinds = [
            Kind::Flags,
            Kind::Names,
            Kind::Overviews,
            Kind::Cache,
            Kind::Keys,
            Kind::Previews,
        ];
        kinds
            .into_iter()
            .try_for_each(|kind| self.remove_range(kind, whole(mailbox)))?;
        self.remove_range(Kind::Expunged, super::expunged::from(mailbox, 0))
    }

    pub(crate) fn set_summary(
        &mut self,
        mailbox: MailboxId,
        summary: &Summary,
    ) -> Result<(), Error> {
        let key = mailbox.0.to_be_bytes();
        self.put(Kind::Summaries, &key, summary.encode().as_slice())
    }

    pub(crate) fn flags(&self, mailbox: MailboxId, number: u32) -> Result<FlagChunk, Error> {
        let row = self.get(Kind::Flags, &key(mailbox, number))?;
        flags_of(row.as_ref().map(|row| row.value()))
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
            self.remove(Kind::Flags, &at)?;
        } else {
            self.put(Kind::Flags, &at, chunk.encode().as_slice())?;
        }
        self.set_glance(mailbox, number, &chunk.into())
    }

    /// Keeps the overview in line with a chunk of flags.
    fn set_glance(&mut self, mailbox: MailboxId, number: u32, new: &Glance) -> Result<(), Error> {
        let at = key(mailbox, number / Overview::CHUNKS as u32);
        let row = self.get(Kind::Overviews, &at)?;
        let mut overview = overview_of(row.as_ref().map(|row| row.value()))?;
        drop(row);
        let slot = (number % Overview::CHUNKS as u32) as usize;
        match overview.chunks.get_mut(slot) {
            Some(old) if old != new => *old = *new,
            _ => return Ok(()),
        }
        if overview.is_empty() {
            self.remove(Kind::Overviews, &at)
        } else {
            self.put(Kind::Overviews, &at, overview.encode().as_slice())
        }
    }

    pub(crate) fn names(&self, mailbox: MailboxId, number: u32) -> Result<NameChunk, Error> {
        let row = self.get(Kind::Names, &key(mailbox, number))?;
        names_of(row.as_ref().map(|row| row.value()))
    }

    /// Puts names, ascending, into a chunk; mostly they are higher than those it has.
    pub(crate) fn add_names(
        &mut self,
        mailbox: MailboxId,
        chunk: u32,
        names: Vec<Name>,
    ) -> Result<(), Error> {
        let at = key(mailbox, chunk);
        let row = self.get(Kind::Names, &at)?;
        let mut bytes = row.map(|row| row.value().to_vec()).unwrap_or_default();
        if NameChunk::extend(&mut bytes, &names).is_some() {
            return self.put(Kind::Names, &at, &bytes);
        }
        let mut all = self.names(mailbox, chunk)?;
        names.into_iter().for_each(|name| all.put(name));
        self.set_names(mailbox, chunk, &all)
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
            self.remove(Kind::Names, &at)
        } else {
            self.put(Kind::Names, &at, chunk.encode().as_slice())
        }
    }

    pub(crate) fn set_cached(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        cached: &Cached,
    ) -> Result<(), Error> {
        let at = key(mailbox, uid.number());
        self.put(Kind::Cache, &at, cached.encode(Kept::Facts))?;
        self.put(Kind::Keys, &at, cached.encode(Kept::Keys))
    }

    pub(crate) fn set_preview(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        text: &str,
    ) -> Result<(), Error> {
        let at = key(mailbox, uid.number());
        self.put(Kind::Previews, &at, text.as_bytes())
    }

    /// Forgets cached fields and previews of the messages from `first` to `last`.
    pub(crate) fn uncache(
        &mut self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
    ) -> Result<(), Error> {
        // Many never ask for previews.
        let kinds = match self.table(Kind::Previews)?.is_empty()? {
            true => [Kind::Cache, Kind::Keys].as_slice(),
            false => &[Kind::Cache, Kind::Keys, Kind::Previews],
        };
        let at = |uid: Uid| key(mailbox, uid.number());
        kinds.iter().try_for_each(|kind| match first == last {
            true => self.remove(*kind, &at(first)),
            false => self.remove_range(*kind, at(first)..=at(last)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Facts;
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
        let read = reader.cached(MailboxId(1), Uid::MIN, Uid::MAX, 1);
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
        let uids = |mailbox, count| -> Vec<u32> {
            let found = reader.cached(MailboxId(mailbox), Uid::MIN, Uid::MAX, count);
            found.unwrap().iter().map(|(uid, _)| uid.number()).collect()
        };
        assert_eq!(uids(1, 10), [7, 300]);
        assert_eq!(uids(1, 1), [7]);
        assert_eq!(uids(2, 10), [5]);
        assert_eq!(uids(256, 10), [6]);
        assert_eq!(uids(0, 10), [u32::MAX]);
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
