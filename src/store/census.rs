//! What is there of a mailbox, message by message: however many there are, not all of them in memory.

use super::sorter::{Records, Scratch, Sorted, Sorter};
use super::{BlobId, Error, Found, MailboxState, Place, Scanned, Stamp};
use crate::mail::{SystemFlags, Uid, UidSet};

/// What a look at a mailbox found.
pub(crate) struct Census {
    pub(crate) state: MailboxState,
    pub(crate) all: Box<dyn Sightings>,
    pub(crate) totals: Totals,
    /// See [`Scanned`], as the next two.
    pub(crate) stamp: Stamp,
    pub(crate) header_known: bool,
    pub(crate) rewrite: bool,
}

/// Messages that are really there, in the order in which new ones get their UIDs: those with a UID first,
/// ascending, no UID twice, then by file name.
pub(crate) trait Sightings: Send {
    /// Goes through them from the first one on.
    fn cursor(&self) -> Result<Box<dyn Cursor + '_>, Error>;
}

/// A place among messages.
pub(crate) trait Cursor {
    /// The next one; `None` after the last.
    fn next(&mut self) -> Result<Option<Sighting<'_>>, Error>;
}

/// One message that is really there; see [`Found`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting<'a> {
    pub(crate) name: &'a str,
    pub(crate) place: Place,
    pub(crate) flags: SystemFlags,
    pub(crate) letters: u32,
    pub(crate) uid: Option<Uid>,
    pub(crate) listed: bool,
    /// What the side file says of its names elsewhere: words of which `P` begins the unique-id in POP3 (`P`
    /// alone: the name of the file) and `G` the GUID.
    pub(crate) alias: Option<&'a str>,
}

impl Sighting<'_> {
    pub(crate) fn blob(&self) -> BlobId {
        BlobId {
            name: self.name.into(),
            place: self.place,
            flags: self.flags,
            letters: self.letters,
        }
    }
}

/// What is known of all of them together.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Those that have one.
    pub(crate) uids: UidSet,
    /// Messages without a UID.
    pub(crate) unnamed: u32,
    /// Messages that the side file has.
    pub(crate) listed: u32,
    /// Of those with a UID.
    pub(crate) first_unlisted: Option<Uid>,
    pub(crate) last_listed: Option<Uid>,
    /// Keyword letters that one of them has.
    pub(crate) letters: u32,
}

impl Totals {
    /// Of all these.
    pub(crate) fn of(all: &dyn Sightings) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        let mut cursor = all.cursor()?;
        while let Some(sighting) = cursor.next()? {
            totals.note(&sighting);
        }
        Ok(totals)
    }

    /// One more, which comes behind the others.
    pub(crate) fn note(&mut self, sighting: &Sighting<'_>) {
        self.letters |= sighting.letters;
        self.listed += u32::from(sighting.listed);
        let Some(uid) = sighting.uid else {
            self.unnamed += 1;
            return;
        };
        self.uids.insert(uid);
        match sighting.listed {
            true => self.last_listed = Some(uid),
            false => self.first_unlisted = self.first_unlisted.or(Some(uid)),
        }
    }
}

impl Census {
    /// All of it in memory.
    pub(crate) fn whole(self) -> Result<Scanned, Error> {
        let (mut found, mut aliases) = (Vec::new(), Vec::new());
        let mut cursor = self.all.cursor()?;
        while let Some(sighting) = cursor.next()? {
            let alias = sighting.uid.zip(sighting.alias);
            aliases.extend(alias.map(|(uid, words)| (uid, words.into())));
            found.push(Found {
                blob: sighting.blob(),
                uid: sighting.uid,
                listed: sighting.listed,
            });
        }
        drop(cursor);
        Ok(Scanned {
            state: self.state,
            found,
            stamp: self.stamp,
            header_known: self.header_known,
            rewrite: self.rewrite,
            aliases,
        })
    }

    /// Of a mailbox that was looked at as a whole.
    pub(crate) fn of(scanned: Scanned) -> Result<Census, Error> {
        let all = Whole {
            found: scanned.found,
            aliases: scanned.aliases,
        };
        Ok(Census {
            state: scanned.state,
            totals: Totals::of(&all)?,
            all: Box::new(all),
            stamp: scanned.stamp,
            header_known: scanned.header_known,
            rewrite: scanned.rewrite,
        })
    }
}

struct Whole {
    found: Vec<Found>,
    aliases: Vec<(Uid, Box<str>)>,
}

struct WholeCursor<'a> {
    found: std::slice::Iter<'a, Found>,
    aliases: std::iter::Peekable<std::slice::Iter<'a, (Uid, Box<str>)>>,
}

impl Sightings for Whole {
    fn cursor(&self) -> Result<Box<dyn Cursor + '_>, Error> {
        Ok(Box::new(WholeCursor {
            found: self.found.iter(),
            aliases: self.aliases.iter().peekable(),
        }))
    }
}

impl Cursor for WholeCursor<'_> {
    fn next(&mut self) -> Result<Option<Sighting<'_>>, Error> {
        let Some(found) = self.found.next() else {
            return Ok(None);
        };
        let behind = |(uid, _): &&(Uid, Box<str>)| Some(*uid) < found.uid;
        while self.aliases.next_if(behind).is_some() {}
        let own = |(uid, _): &&(Uid, Box<str>)| Some(*uid) == found.uid;
        let alias = self.aliases.next_if(own);
        Ok(Some(Sighting {
            name: &found.blob.name,
            place: found.blob.place,
            flags: found.blob.flags,
            letters: found.blob.letters,
            uid: found.uid,
            listed: found.listed,
            alias: alias.map(|(_, words)| &**words),
        }))
    }
}

/// A sighting as octets that compare as sightings are to be ordered: two that claim the same UID stand one
/// behind the other, that which the side file names first. (Names have no NUL.)
pub(super) fn pack(sighting: &Sighting<'_>, out: &mut Vec<u8>) {
    out.clear();
    let is_new = u8::from(sighting.place == Place::New);
    match sighting.uid {
        Some(uid) => {
            out.push(0);
            out.extend_from_slice(&uid.number().to_be_bytes());
            out.extend_from_slice(&[u8::from(!sighting.listed), is_new]);
        }
        None => out.push(1),
    }
    out.extend_from_slice(sighting.name.as_bytes());
    out.extend_from_slice(&[0, is_new, sighting.flags.bits()]);
    out.extend_from_slice(sighting.alias.unwrap_or_default().as_bytes());
}

/// Octets before the name.
const NAMED: usize = 7;
const UNNAMED: usize = 1;

/// What `pack` made, with the letters, which stand apart.
pub(super) fn unpack(bytes: &[u8], letters: u32) -> Option<Sighting<'_>> {
    let named = bytes.first() == Some(&0);
    let head = bytes.get(..if named { NAMED } else { UNNAMED })?;
    let uid = match head.get(1..5) {
        Some(uid) => Some(Uid::new(u32::from_be_bytes(uid.try_into().ok()?))?),
        None => None,
    };
    let rest = bytes.get(head.len()..)?;
    let end = memchr::memchr(0, rest)?;
    let [is_new, flags] = *rest.get(end + 1..)?.first_chunk::<2>()?;
    let alias = rest.get(end + 3..).filter(|alias| !alias.is_empty());
    Some(Sighting {
        name: std::str::from_utf8(rest.get(..end)?).ok()?,
        place: if is_new == 1 { Place::New } else { Place::Cur },
        flags: SystemFlags::from_bits(flags),
        letters,
        uid,
        listed: head.get(5) == Some(&0),
        alias: alias.map(std::str::from_utf8).transpose().ok()?,
    })
}

/// True for two that cannot both be there: both have that UID, or neither has one and they have one name.
pub(super) fn are_one(a: &[u8], b: &[u8]) -> bool {
    match (a.first(), b.first()) {
        (Some(0), Some(0)) => a.get(1..5) == b.get(1..5),
        (Some(1), Some(1)) => name(a) == name(b),
        _ => false,
    }
}

/// The name of what `pack` made.
pub(super) fn name(bytes: &[u8]) -> Option<&[u8]> {
    let start = if bytes.first() == Some(&0) {
        NAMED
    } else {
        UNNAMED
    };
    let rest = bytes.get(start..)?;
    rest.get(..memchr::memchr(0, rest)?)
}

/// Puts messages in order.
pub(crate) struct Roll {
    sorter: Sorter,
    packed: Vec<u8>,
}

/// Messages that were put in order.
pub(crate) struct Rolled(Sorted);

impl Roll {
    /// `at_most`: octets in memory.
    pub(crate) fn new(at_most: usize) -> Roll {
        Roll {
            sorter: Sorter::new(at_most),
            packed: Vec::new(),
        }
    }

    /// Errors: those of `scratch` and of writing its file.
    pub(crate) fn add(
        &mut self,
        sighting: &Sighting<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        pack(sighting, &mut self.packed);
        self.sorter.add(&self.packed, sighting.letters, scratch)
    }

    /// Errors: as of `add`.
    pub(crate) fn finish(self, scratch: &mut Scratch<'_>) -> Result<Rolled, Error> {
        Ok(Rolled(self.sorter.finish(scratch)?))
    }
}

impl Rolled {
    pub(super) fn is_empty(&self) -> bool {
        self.0.count() == 0
    }

    pub(super) fn records(&self) -> Result<Records<'_>, Error> {
        self.0.records()
    }
}

impl Sightings for Rolled {
    fn cursor(&self) -> Result<Box<dyn Cursor + '_>, Error> {
        Ok(Box::new(self.records()?))
    }
}

impl Cursor for Records<'_> {
    fn next(&mut self) -> Result<Option<Sighting<'_>>, Error> {
        let Some((packed, letters)) = Records::next(self)? else {
            return Ok(None);
        };
        let sighting = unpack(packed, letters);
        sighting.map(Some).ok_or(Error::Corrupt {
            what: "a sorted run",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sightings_survive_and_compare() {
        let plain = Sighting {
            name: "b",
            place: Place::Cur,
            flags: SystemFlags::SEEN,
            letters: 1 << 25 | 1,
            uid: Uid::new(256),
            listed: true,
            alias: Some("Px Gy"),
        };
        // In their order.
        let all = [
            Sighting {
                uid: Uid::new(255),
                ..plain
            },
            plain,
            Sighting {
                place: Place::New,
                ..plain
            },
            Sighting {
                listed: false,
                name: "a",
                alias: None,
                ..plain
            },
            Sighting {
                listed: false,
                name: "ab",
                ..plain
            },
            Sighting {
                uid: None,
                listed: false,
                name: "a",
                ..plain
            },
            Sighting {
                uid: None,
                listed: false,
                name: "a",
                place: Place::New,
                ..plain
            },
            Sighting {
                uid: None,
                listed: false,
                name: "aa",
                alias: None,
                ..plain
            },
        ];
        let packed: Vec<Vec<u8>> = all
            .iter()
            .map(|sighting| {
                let mut out = Vec::new();
                pack(sighting, &mut out);
                assert_eq!(unpack(&out, sighting.letters).as_ref(), Some(sighting));
                assert_eq!(name(&out), Some(sighting.name.as_bytes()));
                (0..4).for_each(|cut| assert_eq!(unpack(&out[..cut], 0), None));
                out
            })
            .collect();
        assert!(packed.is_sorted());
        let ones: Vec<bool> = packed.windows(2).map(|w| are_one(&w[0], &w[1])).collect();
        assert_eq!(ones, [false, true, true, true, false, true, false]);
    }
}
