//! The tables, their keys and what stands in them.

use super::{Error, FlagChunk, NameChunk, Overview, checksum};
use crate::mail::MailboxId;
use redb::{AccessGuard, TableDefinition};
use std::ops::RangeInclusive;

/// Raised whenever the tables change so that an older program cannot read them.
/// 1: the first; 2: overviews; 3: expunges; 4: all keys and values are bytes; 5: a checksum behind each
/// value; 6: notes beside the file, which a program that does not know them would leave out. Those before
/// `OLDEST_VERSION` are made again from the store; those before 4 count as damaged.
pub(super) const SCHEMA_VERSION: u64 = 6;
/// What has the same rows.
pub(super) const OLDEST_VERSION: u64 = 5;

/// Names an account inside one index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AccountId(pub(super) u32);

impl AccountId {
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Keys and values of every table are bytes: one B-tree in the binary instead of one for each pair of
/// types. Numbers in keys are big-endian, so that their order is that of the bytes.
pub(super) type Bytes = &'static [u8];

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names of counters and marks; a number.
    Meta,
    /// Names; an account.
    Accounts,
    /// Account and name; a mailbox.
    Mailboxes,
    /// Mailbox; with one octet more, what is kept of its messages (see `usage`), or how many processes had ended
    /// uncleanly before it was compared with its store.
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
    /// Mailbox, UID; what the side file says of the message's names elsewhere.
    Aliases,
    /// Mailbox, UID divided by 256.
    Sizes,
}

impl Kind {
    pub(super) const ALL: [Kind; 13] = [
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
        Kind::Aliases,
        Kind::Sizes,
    ];

    pub(super) fn definition(self) -> TableDefinition<'static, Bytes, Bytes> {
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
            Kind::Aliases => "aliases",
            Kind::Sizes => "sizes",
        })
    }
}

pub(super) fn key(mailbox: MailboxId, low: u32) -> [u8; 8] {
    (u64::from(mailbox.0) << 32 | u64::from(low)).to_be_bytes()
}

/// The lower half of a key.
pub(super) fn low(key: &[u8]) -> u32 {
    let low = key.last_chunk::<4>().copied();
    u32::from_be_bytes(low.unwrap_or_default())
}

pub(super) fn mailbox_key(account: AccountId, name: &str) -> Vec<u8> {
    let mut key = account.0.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

/// A row whose checksum is right.
pub(super) struct Row<'a>(AccessGuard<'a, Bytes>);

impl<'a> Row<'a> {
    pub(super) fn new(
        kind: Kind,
        key: &[u8],
        row: AccessGuard<'a, Bytes>,
    ) -> Result<Row<'a>, Error> {
        checksum::unseal(kind as u8, key, row.value())?;
        Ok(Row(row))
    }

    pub(super) fn value(&self) -> &[u8] {
        checksum::unsealed(self.0.value())
    }
}

/// A number as a value.
pub(super) fn number(row: Option<Row<'_>>) -> Result<Option<u64>, Error> {
    let number = |row: Row<'_>| row.value().try_into().map(u64::from_le_bytes);
    row.map(number)
        .transpose()
        .map_err(|_| Error::Corrupt { what: "a number" })
}

/// As `number`, for those of accounts and mailboxes.
pub(super) fn short(row: Option<Row<'_>>) -> Result<Option<u32>, Error> {
    let number = number(row)?.map(u32::try_from).transpose();
    number.map_err(|_| Error::Corrupt { what: "a number" })
}

/// The key of a short row beside the summary of a mailbox.
pub(super) fn beside(mailbox: MailboxId, what: u8) -> [u8; 5] {
    let [a, b, c, d] = mailbox.0.to_be_bytes();
    [a, b, c, d, what]
}

/// How many processes had ended uncleanly before the mailbox was compared with its store.
pub(super) fn ends_key(mailbox: MailboxId) -> [u8; 5] {
    beside(mailbox, b'e')
}

/// All keys of a mailbox.
pub(super) fn whole(mailbox: MailboxId) -> RangeInclusive<[u8; 8]> {
    key(mailbox, 0)..=key(mailbox, u32::MAX)
}

pub(super) fn flags_of(row: Option<&[u8]>) -> Result<FlagChunk, Error> {
    row.map_or(Some(FlagChunk::default()), FlagChunk::decode)
        .ok_or(Error::Corrupt {
            what: "a chunk of flags",
        })
}

pub(super) fn overview_of(row: Option<&[u8]>) -> Result<Overview, Error> {
    row.map_or(Some(Overview::default()), Overview::decode)
        .ok_or(Error::Corrupt {
            what: "an overview",
        })
}

pub(super) fn names_of(row: Option<&[u8]>) -> Result<NameChunk, Error> {
    row.map_or(Some(NameChunk::default()), NameChunk::decode)
        .ok_or(Error::Corrupt {
            what: "a chunk of names",
        })
}
