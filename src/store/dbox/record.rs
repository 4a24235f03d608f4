//! What is known of a message in one word, which the index has in place of a file name: `<guid>,m=<file>:<offset>,
//! S=<octets as stored>,W=<octets with CRLF>,Z=<octets in the file>,A=<suffix>,R=<INTERNALDATE>,D=<save date>,U=<uid>`. Copies have
//! the same GUID. In sdbox, where the file is `u.<uid>`, there is no `m`, and no `Z` where all of it is
//! in the file as it is. `A` is what the names of its attachments end with in sdbox.

use super::framing::{GUID, PLAIN_OCTETS, RECEIVED, WIRE_OCTETS};
use super::walk::Framed;
use crate::mail::{Guid, Uid};
use crate::store::side::base::number;
use crate::store::{BlobId, Error, Filing, Place as Directory};

/// Where the frame of a message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// N of `m.N`.
    pub(super) file: u32,
    pub(super) offset: u64,
}

impl Place {
    /// Reads `<file>:<offset>`.
    pub(super) fn parse(text: &str) -> Option<Place> {
        let (file, offset) = text.split_once(':')?;
        Some(Place {
            file: file.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

/// What stands in front of the values, in the order of [`Record`]'s fields.
const FIELDS: [&str; 8] = ["m", "S", "W", "Z", "A", "R", "D", "U"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// As Dovecot has it: no comma, no blank.
    pub(super) guid: Box<str>,
    /// `None` in sdbox.
    pub(super) place: Option<Place>,
    /// Octets with LF, before they are compressed.
    pub(super) stored: u64,
    pub(super) wire: u64,
    /// Octets in the file, if they are compressed or not all.
    pub(super) packed: Option<u64>,
    /// What the names of its attachments end with.
    pub(super) suffix: Option<Box<str>>,
    /// INTERNALDATE and save date in seconds since 1970.
    pub(super) received: i64,
    pub(super) saved: i64,
    pub(super) uid: Uid,
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.guid)?;
        if let Some(Place { file, offset }) = self.place {
            write!(f, ",m={file}:{offset}")?;
        }
        write!(f, ",S={},W={}", self.stored, self.wire)?;
        if let Some(packed) = self.packed {
            write!(f, ",Z={packed}")?;
        }
        if let Some(suffix) = &self.suffix {
            write!(f, ",A={suffix}")?;
        }
        write!(f, ",R={},D={},U={}", self.received, self.saved, self.uid)
    }
}

impl Record {
    pub(super) fn parse(text: &str) -> Option<Record> {
        let (guid, rest) = text.split_once(',')?;
        let mut values = [None; FIELDS.len()];
        for (name, value) in rest.split(',').filter_map(|field| field.split_once('=')) {
            let at = FIELDS.iter().position(|own| *own == name);
            if let Some(known) = at.and_then(|at| values.get_mut(at)) {
                known.get_or_insert(value);
            }
        }
        let [place, stored, wire, packed, suffix, received, saved, uid] = values;
        let place = match place {
            Some(place) => Some(Place::parse(place)?),
            None => None,
        };
        Some(Record {
            guid: guid.into(),
            place,
            stored: stored?.parse().ok()?,
            wire: wire?.parse().ok()?,
            packed: packed.and_then(|packed| packed.parse().ok()),
            suffix: suffix.map(Into::into),
            received: received?.parse().ok()?,
            saved: saved?.parse().ok()?,
            uid: Uid::new(uid?.parse().ok()?)?,
        })
    }

    /// What stands around a message tells; it was saved when it was received, as far as that goes.
    pub(super) fn of_framed(framed: &Framed, uid: Uid, place: Option<Place>) -> Record {
        let metadata = &framed.metadata;
        let guid = metadata.get(GUID).and_then(|g| std::str::from_utf8(g).ok());
        let plain = |guid: &&str| !guid.is_empty() && !guid.contains([',', ' ']);
        let number = |letter, other| metadata.number(letter).unwrap_or(other);
        let received = number(RECEIVED, 0).cast_signed();
        let stored = number(PLAIN_OCTETS, framed.octets);
        Record {
            guid: match guid.filter(plain) {
                Some(guid) => guid.into(),
                None => Guid::of(format!("{place:?} {uid} {received}").as_bytes())
                    .to_string()
                    .into(),
            },
            place,
            stored,
            wire: number(WIRE_OCTETS, stored),
            packed: (stored != framed.octets).then_some(framed.octets),
            suffix: None,
            received,
            saved: received,
            uid,
        }
    }

    /// Octets of the body in the file.
    pub(super) fn framed(&self) -> u64 {
        self.packed.unwrap_or(self.stored)
    }

    /// Where it is in mdbox. Errors: `Corrupt` if that is not said.
    pub(super) fn placed(&self) -> Result<Place, Error> {
        self.place.ok_or(Error::Corrupt { what: "a record" })
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
            place: Some(Place {
                file: 7,
                offset: u64::MAX,
            }),
            stored: 36,
            wire: 41,
            packed: Some(29),
            suffix: Some("-0a-7".into()),
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
        let single = Record {
            place: None,
            packed: None,
            suffix: None,
            ..record
        };
        assert_eq!(Record::parse(&single.to_string()), Some(single));
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
