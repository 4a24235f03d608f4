//! What is known of a message in one word, which the index has in place of a file name: `<guid>,m=<file>:<offset>,
//! S=<octets as stored>,W=<octets with CRLF>,R=<INTERNALDATE>,D=<save date>,U=<uid>`. Copies have the
//! same GUID.

use crate::mail::Uid;
use crate::store::side::base::{field, number};
use crate::store::{BlobId, Error, Filing, Place as Directory};

/// Where the frame of a message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// N of `m.N`.
    pub(super) file: u32,
    pub(super) offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// As Dovecot has it: no comma, no blank.
    pub(super) guid: Box<str>,
    pub(super) place: Place,
    pub(super) stored: u64,
    pub(super) wire: u64,
    /// INTERNALDATE and save date in seconds since 1970.
    pub(super) received: i64,
    pub(super) saved: i64,
    pub(super) uid: Uid,
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { file, offset } = self.place;
        let (guid, stored, wire) = (&self.guid, self.stored, self.wire);
        write!(f, "{guid},m={file}:{offset},S={stored},W={wire}")?;
        write!(f, ",R={},D={},U={}", self.received, self.saved, self.uid)
    }
}

impl Record {
    pub(super) fn parse(text: &str) -> Option<Record> {
        let place = field(text, "m")?;
        let (file, offset) = place.split_once(':')?;
        let place = Place {
            file: file.parse().ok()?,
            offset: offset.parse().ok()?,
        };
        Some(Record {
            guid: text.split(',').next()?.into(),
            place,
            stored: number(text.as_bytes(), b'S')?,
            wire: number(text.as_bytes(), b'W')?,
            received: field(text, "R")?.parse().ok()?,
            saved: field(text, "D")?.parse().ok()?,
            uid: Record::uid(text)?,
        })
    }

    /// The UID in such a word.
    pub(super) fn uid(text: &str) -> Option<Uid> {
        let uid = number(text.as_bytes(), b'U')?;
        u32::try_from(uid).ok().and_then(Uid::new)
    }

    /// That of a message which the index knows.
    pub(super) fn of(blob: &BlobId) -> Result<Record, Error> {
        Record::parse(&blob.name).ok_or(Error::NoSuchMessage)
    }

    /// As the index is to know it.
    pub(super) fn filed(&self, filing: &Filing) -> BlobId {
        BlobId {
            name: self.to_string().into(),
            place: Directory::Cur,
            flags: filing.flags,
            letters: filing.letters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{origin, saved};

    #[test]
    fn records_are_written_and_read() {
        let record = Record {
            guid: "ca8d4527157d076b9f41000083ecc375".into(),
            place: Place {
                file: 7,
                offset: u64::MAX,
            },
            stored: 36,
            wire: 41,
            received: -5,
            saved: 1_700_000_000,
            uid: Uid::MAX,
        };
        let text = record.to_string();
        assert_eq!(Record::parse(&text), Some(record.clone()));
        assert_eq!(
            (saved(&text), origin(&text)),
            (Some(record.saved), record.guid.to_string())
        );
        for bad in [
            "",
            "x",
            "g,m=1:2",
            "g,m=1,S=1,W=1,R=1,D=1,U=1",
            "g,m=1:2,S=1,W=1,R=1,D=1,U=0",
        ] {
            assert_eq!(Record::parse(bad), None, "{bad}");
        }
    }
}
