//! Reading and writing rows inside one transaction.

use super::journal::{Change, Changes, What, patched};
use super::schema::{
    AccountId, Bytes, Kind, OLDEST_VERSION, Row, ends_key, flags_of, key, mailbox_key, names_of,
    number, overview_of, short, whole,
};
use super::usage::{Tally, Totals, row_octets};
use super::{
    Cached, Error, FlagChunk, Glance, Kept, Name, NameChunk, Overview, SizeChunk, Summary, checksum,
};
use crate::mail::{MailboxId, MailboxName, Uid};
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use std::cell::OnceCell;
use std::ops::RangeInclusive;

/// Reads and writes rows inside one transaction.
pub(crate) struct Writer<'t> {
    transaction: &'t WriteTransaction,
    /// Those that were needed, in the order of [`Kind::ALL`].
    tables: [OnceCell<Table<'t, Bytes, Bytes>>; Kind::ALL.len()],
    pub(super) tally: Tally<'t>,
    pub(super) changes: Changes,
}

impl<'t> Writer<'t> {
    /// `changes` takes those of this transaction.
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        totals: &'t Totals,
        changes: Changes,
    ) -> Writer<'t> {
        Writer {
            transaction,
            tables: Default::default(),
            tally: Tally::new(totals),
            changes,
        }
    }

    pub(super) fn table(&self, kind: Kind) -> Result<&Table<'t, Bytes, Bytes>, Error> {
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
        let mut changes = std::mem::replace(&mut self.changes, Changes::off());
        let old = self.table_mut(kind)?.insert(key, row.as_slice())?;
        changes.put(kind as u8, key, old.as_ref().map(|old| old.value()), &row);
        let old = old.map(|old| old.value().len());
        self.changes = changes;
        self.tally.note(kind, key, old, Some(row.len()));
        Ok(())
    }

    pub(super) fn remove(&mut self, kind: Kind, key: &[u8]) -> Result<(), Error> {
        let old = self.table_mut(kind)?.remove(key)?;
        let old = old.map(|old| old.value().len());
        if old.is_some() {
            self.changes.remove(kind as u8, key);
        }
        self.tally.note(kind, key, old, None);
        Ok(())
    }

    /// Makes a change again that was noted. What was counted then was noted, too.
    pub(super) fn apply(&mut self, change: Change<'_>) -> Result<(), Error> {
        let what = "a note beside the index";
        let (number, key) = (change.table, change.key);
        let kind = Kind::ALL.get(usize::from(number)).copied();
        let table = self.table_mut(kind.ok_or(Error::Corrupt { what })?)?;
        match change.what {
            What::Put {
                patches,
                end,
                checksum,
            } => {
                let row = table.get(key)?;
                let old = row.as_ref().map_or(&[][..], |row| row.value());
                let value = patched(checksum::unsealed(old), patches, end);
                drop(row);
                let value = value.ok_or(Error::Corrupt { what })?;
                let row = checksum::seal(number, key, &value);
                if !row.ends_with(&checksum) {
                    return Err(Error::Corrupt { what });
                }
                table.insert(key, row.as_slice())?;
            }
            What::Remove => drop(table.remove(key)?),
            What::RemoveRange { last } => {
                table.retain_in::<&[u8], _>(key..=last, |_, _| false)?;
            }
        }
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

    /// The rows from one key to another, ascending.
    pub(super) fn range(
        &self,
        kind: Kind,
        first: [u8; 8],
        last: [u8; 8],
    ) -> Result<redb::Range<'_, Bytes, Bytes>, Error> {
        let (first, last) = (first.as_slice(), last.as_slice());
        Ok(self.table(kind)?.range::<&[u8]>(first..=last)?)
    }

    /// The numbers of all mailboxes of an account.
    pub(super) fn mailboxes_of(&self, account: AccountId) -> Result<Vec<MailboxId>, Error> {
        let first = account.0.to_be_bytes();
        let mut ids = Vec::new();
        for row in self
            .table(Kind::Mailboxes)?
            .range::<&[u8]>(first.as_slice()..)?
        {
            let (name, id) = row?;
            if !name.value().starts_with(&first) {
                break;
            }
            let id = Row::new(Kind::Mailboxes, name.value(), id)?;
            ids.extend(short(Some(id))?.map(MailboxId));
        }
        Ok(ids)
    }

    pub(super) fn remove_range<const OCTETS: usize>(
        &mut self,
        kind: Kind,
        range: RangeInclusive<[u8; OCTETS]>,
    ) -> Result<(), Error> {
        let (first, last) = (range.start().as_slice(), range.end().as_slice());
        let mut gone = 0;
        let table = self.table_mut(kind)?;
        table.retain_in::<&[u8], _>(first..=last, |_, row| {
            gone += row_octets(row.len());
            false
        })?;
        if gone > 0 {
            self.changes.remove_range(kind as u8, first, last);
        }
        self.tally.forget(kind, first, gone);
        Ok(())
    }

    /// The version of the tables; `None` if they are new.
    pub(super) fn version(&self) -> Result<Option<u64>, Error> {
        let name = "version";
        match self.table(Kind::Meta)?.get(name.as_bytes())? {
            // Without a checksum: as it was before 5.
            Some(row) if row.value().len() == size_of::<u64>() => Ok(Some(OLDEST_VERSION - 1)),
            _ => self.meta(name),
        }
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<u64>, Error> {
        number(self.get(Kind::Meta, name.as_bytes())?)
    }

    pub(crate) fn set_meta(&mut self, name: &str, value: u64) -> Result<(), Error> {
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
        let row = self.get(Kind::Mailboxes, &mailbox_key(account, name.as_str()))?;
        Ok(short(row)?.map(MailboxId))
    }

    fn set_mailbox_id(
        &mut self,
        account: AccountId,
        name: &MailboxName,
        id: MailboxId,
    ) -> Result<(), Error> {
        let id = u64::from(id.0).to_le_bytes();
        self.put(Kind::Mailboxes, &mailbox_key(account, name.as_str()), &id)
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
            self.remove(Kind::Mailboxes, &mailbox_key(account, from.as_str()))?;
            self.set_mailbox_id(account, to, id)?;
        }
        Ok(())
    }

    /// Forgets a mailbox and everything about it.
    pub(crate) fn forget(&mut self, account: AccountId, name: &MailboxName) -> Result<(), Error> {
        if let Some(id) = self.mailbox_id(account, name)? {
            self.remove(Kind::Mailboxes, &mailbox_key(account, name.as_str()))?;
            self.clear(id)?;
            self.forget_usage(id)?;
            self.remove(Kind::Summaries, &ends_key(id))?;
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
            Kind::Aliases,
            Kind::Sizes,
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

    /// Notes how many processes had ended uncleanly before the mailbox was compared with its store.
    pub(crate) fn set_ends_before(&mut self, mailbox: MailboxId, ends: u64) -> Result<(), Error> {
        self.put(Kind::Summaries, &ends_key(mailbox), &ends.to_le_bytes())
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
        self.put(Kind::Cache, &at, &cached.encode(Kept::Facts))?;
        self.put(Kind::Keys, &at, &cached.encode(Kept::Keys))
    }

    /// As `set_keys`, of what is known of a message; what else is kept stays.
    pub(crate) fn set_keys_of(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        cached: &Cached,
    ) -> Result<(), Error> {
        self.set_keys(mailbox, uid, &cached.encode(Kept::Keys))
    }

    /// The row of a message's keys alone, instead of the one it has.
    pub(crate) fn set_keys(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        row: &[u8],
    ) -> Result<(), Error> {
        self.put(Kind::Keys, &key(mailbox, uid.number()), row)
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

    /// All aliases of the messages of a chunk, ascending, instead of those it has.
    pub(crate) fn set_aliases(
        &mut self,
        mailbox: MailboxId,
        number: u32,
        aliases: &[(u8, Box<str>)],
    ) -> Result<(), Error> {
        // Few messages have some.
        if aliases.is_empty() && self.table(Kind::Aliases)?.is_empty()? {
            return Ok(());
        }
        let at = |slot: u8| key(mailbox, number << 8 | u32::from(slot));
        let mut own = aliases.iter();
        let mut same = true;
        let (first, last) = (at(0), at(255));
        let rows = self
            .table(Kind::Aliases)?
            .range::<&[u8]>(first.as_slice()..=last.as_slice())?;
        for row in rows {
            let (known, value) = row?;
            let value = checksum::unseal(Kind::Aliases as u8, known.value(), value.value());
            let is = |(slot, alias): &(u8, Box<str>)| {
                at(*slot) == known.value() && value.as_ref().is_ok_and(|v| *v == alias.as_bytes())
            };
            same &= own.next().is_some_and(is);
        }
        if same && own.next().is_none() {
            return Ok(());
        }
        self.remove_range(Kind::Aliases, first..=last)?;
        aliases
            .iter()
            .try_for_each(|(slot, alias)| self.put(Kind::Aliases, &at(*slot), alias.as_bytes()))
    }

    /// Instead of what the chunk had.
    pub(crate) fn set_sizes(
        &mut self,
        mailbox: MailboxId,
        number: u32,
        sizes: &SizeChunk,
    ) -> Result<(), Error> {
        self.put(Kind::Sizes, &key(mailbox, number), &sizes.encode())
    }

    /// The unique-id that a message has in POP3, besides its other aliases.
    pub(crate) fn add_uidl(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        text: &str,
    ) -> Result<(), Error> {
        let at = key(mailbox, uid.number());
        let row = self.get(Kind::Aliases, &at)?;
        let known = row.map(|row| String::from_utf8_lossy(row.value()).into_owned());
        let mut words = format!("P{text}");
        let known = known.as_deref().unwrap_or_default().split(' ');
        for word in known.filter(|word| !word.is_empty() && !word.starts_with('P')) {
            words.push(' ');
            words.push_str(word);
        }
        self.put(Kind::Aliases, &at, words.as_bytes())
    }

    /// Forgets cached fields, previews and aliases of the messages from `first` to `last`.
    pub(crate) fn uncache(
        &mut self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
    ) -> Result<(), Error> {
        let kinds = [Kind::Cache, Kind::Keys, Kind::Previews, Kind::Aliases];
        self.forget_rows(&kinds, mailbox, first, last)
    }

    /// Forgets what is computed from a message: it is computed anew when it is asked for.
    pub(crate) fn unlearn(&mut self, mailbox: MailboxId, uid: Uid) -> Result<(), Error> {
        let kinds = [Kind::Cache, Kind::Keys, Kind::Previews];
        self.forget_rows(&kinds, mailbox, uid, uid)
    }

    fn forget_rows(
        &mut self,
        kinds: &[Kind],
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
    ) -> Result<(), Error> {
        let at = |uid: Uid| key(mailbox, uid.number());
        for kind in kinds.iter().copied() {
            // Many never ask for previews, few messages have aliases.
            let rare = matches!(kind, Kind::Previews | Kind::Aliases);
            if rare && self.table(kind)?.is_empty()? {
                continue;
            }
            match first == last {
                true => self.remove(kind, &at(first))?,
                false => self.remove_range(kind, at(first)..=at(last))?,
            }
        }
        Ok(())
    }
}
