//! Reading rows.

use super::schema::{
    AccountId, Bytes, Kind, Row, ends_key, flags_of, key, low, mailbox_key, names_of, number,
    overview_of, short, whole,
};
use super::{
    Cached, Error, FlagChunk, Glance, Kept, Keys, Name, NameChunk, Overview, SizeChunk, Summary,
    checksum,
};
use crate::mail::{MailboxId, MailboxName, SystemFlags, Uid, UidSet};
use redb::{ReadOnlyTable, ReadTransaction};
use std::ops::RangeInclusive;

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

    pub(super) fn get(&self, kind: Kind, key: &[u8]) -> Result<Option<Row<'static>>, Error> {
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

    pub(super) fn rows<const OCTETS: usize>(
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

    /// What [`super::Writer::set_ends_before`] noted.
    pub(super) fn ends_before(&self, mailbox: MailboxId) -> Result<u64, Error> {
        Ok(number(self.get(Kind::Summaries, &ends_key(mailbox))?)?.unwrap_or(0))
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

    /// The name of one message, found without taking its chunk apart.
    pub(crate) fn name(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Name>, Error> {
        let row = self.get(Kind::Names, &key(mailbox, uid.number() >> 8))?;
        let slot = (uid.number() & 255) as u8;
        let name = row.map(|row| NameChunk::find_in(row.value(), slot));
        name.map_or(Some(None), |name| name).ok_or(Error::Corrupt {
            what: "a chunk of names",
        })
    }

    /// RFC822.SIZE if it is among what is cached of the message.
    pub(crate) fn cached_octets(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<u64>, Error> {
        let row = self.get(Kind::Keys, &key(mailbox, uid.number()))?;
        Ok(row.and_then(|row| Some(Keys::decode(row.value())?.octets)))
    }

    /// What was counted of a chunk; what cannot be read is counted anew.
    pub(crate) fn sizes(&self, mailbox: MailboxId, number: u32) -> Result<SizeChunk, Error> {
        let row = self.get(Kind::Sizes, &key(mailbox, number))?;
        let sizes = row.and_then(|row| SizeChunk::decode(row.value()));
        Ok(sizes.unwrap_or_default())
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

    /// What is kept of the messages from `first` to `last`, ascending: cached fields as they are stored, or what a message
    /// is known by alone.
    pub(crate) fn stored(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
    ) -> Result<Vec<(Uid, Cached)>, Error> {
        let mut found: Vec<(Uid, Cached)> = Vec::new();
        let rows = |kept| (kept, Checked::Yes);
        self.each_cached(mailbox, rows(Kept::Facts), first, last, &mut |uid, row| {
            // What cannot be read is as good as not there: it is computed anew.
            found.extend(Cached::stored(row).map(|cached| (uid, cached)));
            true
        })?;
        let mut bare = Vec::new();
        self.each_cached(mailbox, rows(Kept::Keys), first, last, &mut |uid, row| {
            let Some(keys) = Keys::decode(row) else {
                return true;
            };
            let at = found.binary_search_by_key(&uid, |(own, _)| *own);
            match at.ok().and_then(|at| found.get_mut(at)) {
                Some((_, cached)) => cached.check(keys.checksum),
                None => bare.push((uid, Cached::of_keys(&keys))),
            }
            true
        })?;
        found.append(&mut bare);
        found.sort_unstable_by_key(|(uid, _)| *uid);
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

    /// Calls `each` with the aliases of every message from `first` to `last` that has some, ascending.
    pub(crate) fn each_alias(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        each: &mut dyn FnMut(Uid, &str),
    ) -> Result<(), Error> {
        let range = key(mailbox, first.number())..=key(mailbox, last.number());
        self.each(Kind::Aliases, range, &mut |at, row| {
            if let (Some(uid), Ok(text)) = (Uid::new(at), std::str::from_utf8(row)) {
                each(uid, text);
            }
            Ok(true)
        })
    }

    /// What [`super::Writer::set_meta`] noted.
    pub(crate) fn mark(&self, name: &str) -> Result<Option<u64>, Error> {
        number(self.get(Kind::Meta, name.as_bytes())?)
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
        let row = self.get(Kind::Mailboxes, &mailbox_key(account, name.as_str()))?;
        Ok(short(row)?.map(MailboxId))
    }

    /// Names that mailboxes of an account had when they were last looked at, ascending.
    pub(crate) fn mailboxes(&self, account: AccountId) -> Result<Vec<MailboxName>, Error> {
        self.mailboxes_like(account, "")
    }

    /// As `mailboxes`, `prefix` and those below it.
    pub(crate) fn mailboxes_below(
        &self,
        account: AccountId,
        prefix: &MailboxName,
    ) -> Result<Vec<MailboxName>, Error> {
        let mut names = self.mailboxes_like(account, prefix.as_str())?;
        // One with another letter there is none of these.
        names.retain(|name| name == prefix || name.is_below(prefix));
        Ok(names)
    }

    /// As `mailboxes`, those whose names begin so.
    fn mailboxes_like(
        &self,
        account: AccountId,
        beginning: &str,
    ) -> Result<Vec<MailboxName>, Error> {
        let mut names = Vec::new();
        let first = mailbox_key(account, beginning);
        for row in self
            .table(Kind::Mailboxes)?
            .range::<&[u8]>(first.as_slice()..)?
        {
            let (key, _) = row?;
            let Some(rest) = key.value().strip_prefix(first.as_slice()) else {
                break;
            };
            let name = [beginning.as_bytes(), rest].concat();
            let name = String::from_utf8(name).ok();
            names.extend(name.and_then(|name| MailboxName::new(&name).ok()));
        }
        Ok(names)
    }
}
