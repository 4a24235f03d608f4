//! Which fields of a mailbox's messages are kept, since when nobody asked for them, and what they take.
//!
//! A field that was not asked for since long is not kept of new messages, and is taken out of the rows of
//! old ones; asked for again, it is learned again. One short row a mailbox has all of that. It stands beside
//! the summary, which changes with every message that comes or goes.

use super::bits::{put_varint, take_varint};
use super::schema::{AccountId, Kind, beside, key};
use super::{Cached, Error, Kept, Keys, Reader, Writer, checksum};
use crate::mail::{MailboxId, Uid};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be kept of a message besides the keys by which it is found and sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(u8);

impl Fields {
    pub(crate) const NONE: Fields = Fields(0);
    /// The common fields of the header.
    pub(crate) const HEADER: Fields = Fields(1);
    pub(crate) const ENVELOPE: Fields = Fields(2);
    pub(crate) const BODYSTRUCTURE: Fields = Fields(4);
    /// What stands in a row of facts.
    pub(crate) const FACTS: Fields = Fields(7);
    pub(crate) const PREVIEW: Fields = Fields(8);
    /// Each alone, with its name.
    pub(crate) const ALL: [(Fields, &'static str); 4] = [
        (Fields::HEADER, "header"),
        (Fields::ENVELOPE, "envelope"),
        (Fields::BODYSTRUCTURE, "bodystructure"),
        (Fields::PREVIEW, "preview"),
    ];

    pub(crate) fn of_bits(bits: u8) -> Fields {
        Fields(bits & 15)
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn or(self, other: Fields) -> Fields {
        Fields(self.0 | other.0)
    }

    pub(crate) fn and(self, other: Fields) -> Fields {
        Fields(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Fields) -> Fields {
        Fields(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Octets of the fields of one mailbox, and of all of an account.
    pub(crate) mailbox_octets: u64,
    pub(crate) user_octets: u64,
    /// Seconds for which a field is kept that nobody asks for.
    pub(crate) unused_seconds: u64,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Bounds {
    /// For so long after it was noted that fields are asked for it is not noted again.
    pub(crate) fn note_seconds(&self) -> u64 {
        (self.unused_seconds / 8).min(86_400)
    }
}

/// The row of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(super) account: u32,
    /// Of rows of facts and of previews, with their keys.
    pub(crate) octets: u64,
    /// When each of [`Fields::ALL`] was last asked for, in seconds since 1970, and not to the second.
    asked: [u64; Fields::ALL.len()],
    /// Fields that no row has.
    dropped: Fields,
    /// Fields that are being taken out of the rows; below this UID they are.
    dropping: Fields,
    next: u32,
}

/// What is known of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldTime {
    pub(crate) field: &'static str,
    /// Seconds since 1970.
    pub(crate) asked: u64,
    /// It is kept.
    pub(crate) is_used: bool,
}

/// What one transaction may still keep of a mailbox's messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    fields: Fields,
    /// Octets.
    room: u64,
    /// Something was left out for which there was no room.
    pub(crate) is_full: bool,
}

impl Usage {
    /// Of a mailbox of which something is kept for the first time: everything counts as asked for.
    fn new(account: AccountId, now: u64) -> Usage {
        Usage {
            account: account.number(),
            octets: 0,
            asked: [now; Fields::ALL.len()],
            dropped: Fields::NONE,
            dropping: Fields::NONE,
            next: 0,
        }
    }

    /// Fields that somebody asked for in the time for which they are kept.
    pub(crate) fn used(&self, bounds: &Bounds) -> Fields {
        let is_used = |asked: u64| bounds.now.saturating_sub(asked) <= bounds.unused_seconds;
        let all = Fields::ALL.iter().zip(self.asked);
        all.filter(|(_, asked)| is_used(*asked))
            .fold(Fields::NONE, |used, ((field, _), _)| used.or(*field))
    }

    /// Fields that rows may have and are to have no more.
    pub(super) fn unused(&self, bounds: &Bounds) -> Fields {
        let all = Fields::FACTS.or(Fields::PREVIEW);
        all.without(self.used(bounds)).without(self.dropped)
    }

    /// True if rows have what they are to have no more.
    pub(crate) fn needs_care(&self, bounds: &Bounds) -> bool {
        self.octets > bounds.mailbox_octets || !self.unused(bounds).is_empty()
    }

    /// The UID from which on rows may have one of these fields.
    pub(super) fn begin_dropping(&mut self, unused: Fields) -> u32 {
        if self.dropping != unused {
            (self.dropping, self.next) = (unused, 0);
        }
        self.next
    }

    /// No row up to this UID has what is being dropped.
    pub(super) fn drop_up_to(&mut self, last: u32) {
        self.next = last.wrapping_add(1);
        if last == u32::MAX {
            self.dropped = self.dropped.or(self.dropping);
            self.dropping = Fields::NONE;
        }
    }

    /// When each field was last asked for.
    pub(crate) fn times(&self, bounds: &Bounds) -> [FieldTime; Fields::ALL.len()] {
        let used = self.used(bounds);
        let mut asked = self.asked.into_iter();
        Fields::ALL.map(|(field, name)| FieldTime {
            field: name,
            asked: asked.next().unwrap_or(0),
            is_used: !field.and(used).is_empty(),
        })
    }

    /// True if it is worth noting that these fields are asked for now.
    pub(crate) fn is_news(&self, fields: Fields, bounds: &Bounds) -> bool {
        let all = Fields::ALL.iter().zip(self.asked);
        let mut asked = all.filter(|((field, _), _)| !field.and(fields).is_empty());
        asked.any(|(_, asked)| asked.abs_diff(bounds.now) > bounds.note_seconds())
    }

    fn ask(&mut self, fields: Fields, now: u64) {
        for ((field, _), asked) in Fields::ALL.iter().zip(&mut self.asked) {
            if !field.and(fields).is_empty() {
                *asked = now;
            }
        }
        self.dropped = self.dropped.without(fields);
        self.dropping = self.dropping.without(fields);
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.dropped.bits(), self.dropping.bits()];
        put_varint(self.octets, &mut out);
        let numbers = [self.account, self.next].map(u64::from);
        let numbers = numbers.into_iter().chain(self.asked);
        numbers.for_each(|number| put_varint(number, &mut out));
        out
    }

    fn decode(bytes: &[u8]) -> Option<Usage> {
        let (&[VERSION, dropped, dropping], mut rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let octets = take_varint(&mut rest)?;
        let mut number = || take_varint(&mut rest);
        let account = u32::try_from(number()?).ok()?;
        let next = u32::try_from(number()?).ok()?;
        let asked = [number()?, number()?, number()?, number()?];
        rest.is_empty().then_some(Usage {
            account,
            octets,
            asked,
            dropped: Fields::of_bits(dropped),
            dropping: Fields::of_bits(dropping),
            next,
        })
    }
}

const VERSION: u8 = 1;

/// Behind the key of the mailbox's summary.
pub(super) fn usage_key(mailbox: MailboxId) -> [u8; 5] {
    beside(mailbox, b'u')
}

/// True of rows whose octets are counted.
pub(super) fn is_counted(kind: Kind) -> bool {
    matches!(kind, Kind::Cache | Kind::Previews)
}

/// Octets of a row, its key included, with its checksum left out.
pub(super) fn row_octets(sealed: usize) -> u64 {
    let value = sealed.saturating_sub(checksum::OCTETS);
    value.saturating_add(size_of::<u64>()) as u64
}

/// Octets of all counted rows of accounts, as soon as somebody asked.
#[derive(Default)]
pub(super) struct Totals(Mutex<BTreeMap<u32, u64>>);

impl Totals {
    fn known(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        // Each change is one assignment: there is no state by half.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a transaction that is committed changed.
    pub(super) fn apply(&self, changes: Vec<(u32, i64)>) {
        let mut known = self.known();
        for (account, change) in changes {
            if let Some(total) = known.get_mut(&account) {
                *total = total.saturating_add_signed(change);
            }
        }
    }
}

/// By how much one transaction changed what mailboxes take.
pub(super) struct Tally<'t> {
    totals: &'t Totals,
    mailboxes: Vec<(MailboxId, i64)>,
    accounts: Vec<(u32, i64)>,
}

fn signed(octets: u64) -> i64 {
    i64::try_from(octets).unwrap_or(i64::MAX)
}

impl<'t> Tally<'t> {
    pub(super) fn new(totals: &'t Totals) -> Tally<'t> {
        Tally {
            totals,
            mailboxes: Vec::new(),
            accounts: Vec::new(),
        }
    }

    /// A row changed from so many octets to so many.
    pub(super) fn note(&mut self, kind: Kind, key: &[u8], old: Option<usize>, new: Option<usize>) {
        if is_counted(kind) && old != new {
            let octets = |row: Option<usize>| signed(row.map_or(0, row_octets));
            self.add(key, octets(new) - octets(old));
        }
    }

    /// Rows of a mailbox went that took so many octets.
    pub(super) fn forget(&mut self, kind: Kind, key: &[u8], octets: u64) {
        if is_counted(kind) && octets > 0 {
            self.add(key, -signed(octets));
        }
    }

    fn add(&mut self, key: &[u8], change: i64) {
        let mailbox = MailboxId(u32::from_be_bytes(
            key.first_chunk().copied().unwrap_or_default(),
        ));
        match self.mailboxes.iter_mut().find(|(own, _)| *own == mailbox) {
            Some((_, sum)) => *sum = sum.saturating_add(change),
            None => self.mailboxes.push((mailbox, change)),
        }
    }

    fn take(&mut self, mailbox: MailboxId) -> i64 {
        let own = self.mailboxes.extract_if(.., |(own, _)| *own == mailbox);
        own.map(|(_, change)| change).sum()
    }
}

impl Reader {
    /// `None`: nobody asked for anything since it is counted.
    pub(crate) fn usage(&self, mailbox: MailboxId) -> Result<Option<Usage>, Error> {
        let row = self.get(Kind::Summaries, &usage_key(mailbox))?;
        Ok(row.and_then(|row| Usage::decode(row.value())))
    }
}

impl Writer<'_> {
    /// The row, without what this transaction changed.
    pub(super) fn stored_usage(&self, mailbox: MailboxId) -> Result<Option<Usage>, Error> {
        let row = self.get(Kind::Summaries, &usage_key(mailbox))?;
        Ok(row.and_then(|row| Usage::decode(row.value())))
    }

    pub(super) fn set_usage(&mut self, mailbox: MailboxId, usage: &Usage) -> Result<(), Error> {
        self.put(Kind::Summaries, &usage_key(mailbox), &usage.encode())
    }

    /// That of a mailbox without one is made, and its rows are counted, all at once: there are some only if the
    /// index is older than its counts.
    pub(crate) fn usage(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        now: u64,
    ) -> Result<Usage, Error> {
        if let Some(usage) = self.stored_usage(mailbox)? {
            return Ok(usage);
        }
        self.total(account)?;
        let mut usage = Usage::new(account, now);
        for kind in Kind::ALL.into_iter().filter(|kind| is_counted(*kind)) {
            for row in self.range(kind, key(mailbox, 0), key(mailbox, u32::MAX))? {
                usage.octets = usage
                    .octets
                    .saturating_add(row_octets(row?.1.value().len()));
            }
        }
        self.tally.take(mailbox);
        let counted = (account.number(), signed(usage.octets));
        self.tally.accounts.push(counted);
        self.set_usage(mailbox, &usage)?;
        Ok(usage)
    }

    /// Octets of the account before this transaction.
    pub(crate) fn total(&self, account: AccountId) -> Result<u64, Error> {
        if let Some(total) = self.tally.totals.known().get(&account.number()) {
            return Ok(*total);
        }
        let mut total = 0u64;
        for mailbox in self.mailboxes_of(account)? {
            let usage = self.stored_usage(mailbox)?;
            total = total.saturating_add(usage.map_or(0, |usage| usage.octets));
        }
        let mut known = self.tally.totals.known();
        known.insert(account.number(), total);
        Ok(total)
    }

    /// What may be kept of messages of this mailbox in this transaction.
    pub(crate) fn keeping(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        bounds: &Bounds,
    ) -> Result<Keeping, Error> {
        let mut usage = self.usage(account, mailbox, bounds.now)?;
        let used = usage.used(bounds);
        if !usage.dropped.and(used).is_empty() {
            // Fields are kept for longer than they were.
            usage.dropped = usage.dropped.without(used);
            self.set_usage(mailbox, &usage)?;
        }
        let own = bounds.mailbox_octets.saturating_sub(usage.octets);
        let all = bounds.user_octets.saturating_sub(self.total(account)?);
        Ok(Keeping {
            fields: used,
            room: own.min(all),
            is_full: false,
        })
    }

    /// Keeps of a message what may be kept, instead of what is. What it is found and sorted by always is.
    pub(crate) fn keep_cached(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        cached: &Cached,
        keeping: &mut Keeping,
    ) -> Result<(), Error> {
        let at = key(mailbox, uid.number());
        let kept = cached.only(keeping.fields);
        let row = kept.as_ref().map(|kept| kept.encode(Kept::Facts));
        match row.filter(|row| keeping.admits(row)) {
            Some(row) => self.put(Kind::Cache, &at, &row)?,
            None => self.remove(Kind::Cache, &at)?,
        }
        self.put(Kind::Keys, &at, &cached.encode(Kept::Keys))
    }

    /// As `keep_cached`, of a message that was read again: what it was stored with stays known.
    pub(crate) fn learn(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        cached: &Cached,
        keeping: &mut Keeping,
    ) -> Result<(), Error> {
        let row = self.get(Kind::Keys, &key(mailbox, uid.number()))?;
        let known = row.and_then(|row| Keys::decode(row.value())?.checksum);
        match known {
            Some(known) => {
                let cached = cached.clone().checked(Some(known));
                self.keep_cached(mailbox, uid, &cached, keeping)
            }
            None => self.keep_cached(mailbox, uid, cached, keeping),
        }
    }

    /// As `keep_cached`, of the preview.
    pub(crate) fn keep_preview(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        text: &str,
        keeping: &mut Keeping,
    ) -> Result<(), Error> {
        match keeping.admits(text.as_bytes()) {
            true => self.set_preview(mailbox, uid, text),
            false => Ok(()),
        }
    }

    /// Notes that these fields are asked for.
    pub(crate) fn note_asked(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        fields: Fields,
        now: u64,
    ) -> Result<(), Error> {
        let mut usage = self.usage(account, mailbox, now)?;
        usage.ask(fields, now);
        self.set_usage(mailbox, &usage)
    }

    /// Nothing is counted of the mailbox any more.
    pub(super) fn forget_usage(&mut self, mailbox: MailboxId) -> Result<(), Error> {
        let change = self.tally.take(mailbox);
        if let Some(usage) = self.stored_usage(mailbox)? {
            self.tally.accounts.push((usage.account, change));
        }
        self.remove(Kind::Summaries, &usage_key(mailbox))
    }

    /// Writes what the transaction changed; returns it by account.
    pub(super) fn end_tally(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        for (mailbox, change) in std::mem::take(&mut self.tally.mailboxes) {
            let Some(mut usage) = self.stored_usage(mailbox)?.filter(|_| change != 0) else {
                continue;
            };
            usage.octets = usage.octets.saturating_add_signed(change);
            self.set_usage(mailbox, &usage)?;
            self.tally.accounts.push((usage.account, change));
        }
        Ok(std::mem::take(&mut self.tally.accounts))
    }
}

impl Keeping {
    fn admits(&mut self, value: &[u8]) -> bool {
        let octets = row_octets(value.len().saturating_add(checksum::OCTETS));
        let fits = octets <= self.room;
        self.room -= if fits { octets } else { 0 };
        self.is_full |= !fits;
        fits
    }
}
