//! What is in `new/` and `cur/`, brought together with the lines of the side file without all of it in memory:
//! what does not fit is sorted in files.
//!
//! A file whose name holds its UID mostly has the line of that UID: both are gone through in the order of UIDs.
//! What does not, files that others named and lines of those, is brought together by name.

use super::draft::MaildirDraft;
use super::listing::{Entries, Listing};
use super::name;
use super::scan;
use super::store::Maildir;
use crate::mail::{MailboxName, SystemFlags, Uid};
use crate::store::census::{Rolled, are_one, pack, unpack};
use crate::store::sorter::{Records, Sorted};
use crate::store::{Cursor, Error, Place, Roll, Scratch, Sighting, Sightings, Sorter, Totals};
use std::hash::{DefaultHasher, Hasher};
use std::os::fd::AsFd;

/// So many files get other names when a mailbox is looked at.
const MAX_ODD: usize = 1000;

/// What one look at the directories found.
pub(super) struct Looked {
    pub(super) all: Present,
    pub(super) totals: Totals,
    /// Lines of the side file.
    pub(super) lines: u32,
    /// Some of them could not be read.
    pub(super) damaged: bool,
}

/// Messages that are there.
pub(super) struct Present {
    /// Files by the UIDs that their names hold; of these, those whose lines say the same.
    claims: Sorted,
    pub(super) listing: Option<Listing>,
    /// All others.
    strays: Rolled,
    /// Those whose UIDs others have, without them.
    demoted: Rolled,
}

/// Files and lines that are looked up by name.
struct Apart {
    files: Sorter,
    lines: Sorter,
    key: Vec<u8>,
}

impl Apart {
    fn new(octets: usize) -> Apart {
        Apart {
            files: Sorter::new(octets),
            lines: Sorter::new(octets),
            key: Vec::new(),
        }
    }

    /// The name, behind a number that most others do not have: comparing is cheap then.
    fn begin(&mut self, name: &str) {
        let mut hasher = DefaultHasher::new();
        hasher.write(name.as_bytes());
        self.key.clear();
        self.key.extend_from_slice(&hasher.finish().to_be_bytes());
        self.key.extend_from_slice(name.as_bytes());
        self.key.push(0);
    }

    fn file(
        &mut self,
        (name, place, flags, letters): (&str, Place, SystemFlags, u32),
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        self.begin(name);
        let is_new = u8::from(place == Place::New);
        self.key.extend_from_slice(&[is_new, flags.bits()]);
        self.files.add(&self.key, letters, scratch)
    }

    fn line(
        &mut self,
        name: &str,
        uid: Uid,
        alias: Option<&str>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        self.begin(name);
        self.key.extend_from_slice(&uid.number().to_be_bytes());
        self.key
            .extend_from_slice(alias.unwrap_or_default().as_bytes());
        self.lines.add(&self.key, 0, scratch)
    }

    /// Gives files the UIDs of their lines, or those that their names hold, as far as these are not below
    /// `free`.
    fn join(
        self,
        free: Option<Uid>,
        roll: &mut Roll,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        let corrupt = || Error::Corrupt {
            what: "a sorted run",
        };
        let (files, lines) = (self.files.finish(scratch)?, self.lines.finish(scratch)?);
        let (mut files, mut lines) = (files.records()?, Ahead::new(lines.records()?)?);
        while let Some((key, letters)) = files.next()? {
            let end = memchr::memchr(0, key.get(8..).unwrap_or_default());
            let head = end
                .and_then(|end| key.get(..8 + end + 1))
                .ok_or_else(corrupt)?;
            let [is_new, flags] = *key
                .get(head.len()..)
                .and_then(|rest| rest.first_chunk::<2>())
                .ok_or_else(corrupt)?;
            let name = head.get(8..head.len() - 1).unwrap_or_default();
            // Of several lines with one name the last counts.
            let own = lines.reach(head)?;
            let listed = own.and_then(|own| Uid::new(u32::from_be_bytes(*own.first_chunk()?)));
            let alias = own.and_then(|own| std::str::from_utf8(own.get(4..)?).ok());
            let claimed = || name::uid(name).filter(|uid| free.is_none_or(|free| *uid >= free));
            let sighting = Sighting {
                name: std::str::from_utf8(name).map_err(|_| corrupt())?,
                place: if is_new == 1 { Place::New } else { Place::Cur },
                flags: SystemFlags::from_bits(flags),
                letters,
                uid: listed.or_else(claimed),
                listed: listed.is_some(),
                alias: alias.filter(|alias| !alias.is_empty()),
            };
            roll.add(&sighting, scratch)?;
        }
        Ok(())
    }
}

/// Lines by name, and the one that comes next.
struct Ahead<'r> {
    records: Records<'r>,
    next: Option<Vec<u8>>,
    own: Vec<u8>,
}

impl<'r> Ahead<'r> {
    fn new(mut records: Records<'r>) -> Result<Ahead<'r>, Error> {
        let next = records.next()?.map(|(key, _)| key.to_vec());
        Ok(Ahead {
            records,
            next,
            own: Vec::new(),
        })
    }

    /// What the last line that begins like this has behind that. To be called with ascending heads.
    fn reach(&mut self, head: &[u8]) -> Result<Option<&[u8]>, Error> {
        // A file may be in both directories.
        while let Some(next) = &mut self.next {
            let like = next.get(..head.len()).unwrap_or(next);
            if like > head {
                break;
            }
            std::mem::swap(&mut self.own, next);
            match self.records.next()? {
                Some((key, _)) => {
                    next.clear();
                    next.extend_from_slice(key);
                }
                None => self.next = None,
            }
        }
        Ok(self.own.strip_prefix(head))
    }
}

/// A file as it is kept in the order of the UIDs in names; see [`pack`], without what lines say.
fn put_claim(uid: Uid, name: &str, place: Place, flags: SystemFlags, key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(&uid.number().to_be_bytes());
    key.push(u8::from(place == Place::New));
    key.extend_from_slice(name.as_bytes());
    key.extend_from_slice(&[0, flags.bits()]);
}

fn claim(key: &[u8]) -> Option<(Uid, &str, Place, SystemFlags)> {
    let (uid, rest) = key.split_first_chunk::<4>()?;
    let (is_new, rest) = rest.split_first()?;
    let (flags, rest) = rest.split_last()?;
    let name = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    let place = if *is_new == 1 { Place::New } else { Place::Cur };
    let uid = Uid::new(u32::from_be_bytes(*uid))?;
    Some((uid, name, place, SystemFlags::from_bits(*flags)))
}

/// Files whose lines are those of the UIDs that their names hold.
struct Agreeing<'p> {
    claims: Records<'p>,
    entries: Entries<'p>,
    /// The line that was reached has a file.
    used: bool,
    words: String,
}

impl<'p> Agreeing<'p> {
    fn new(claims: &'p Sorted, listing: &'p Listing) -> Result<Agreeing<'p>, Error> {
        Ok(Agreeing {
            claims: claims.records()?,
            entries: listing.entries(),
            // There is none before the first.
            used: true,
            words: String::new(),
        })
    }

    /// Packs the next one there and returns its letters. `apart`, if it is there, gets what does not agree.
    fn next(
        &mut self,
        packed: &mut Vec<u8>,
        apart: Option<(&mut Apart, &mut Scratch<'_>)>,
    ) -> Result<Option<u32>, Error> {
        let mut apart = apart;
        while let Some((key, letters)) = self.claims.next()? {
            let corrupt = Error::Corrupt {
                what: "a sorted run",
            };
            let (uid, name, place, flags) = claim(key).ok_or(corrupt)?;
            while self.entries.last().is_none_or(|last| last < uid) {
                leave(&self.entries, self.used, &mut self.words, &mut apart)?;
                self.used = false;
                if self.entries.next()?.is_none() {
                    self.used = true;
                    break;
                }
            }
            let own = self.entries.current();
            match own.filter(|entry| entry.uid == uid && entry.base == name) {
                Some(entry) => {
                    self.used = true;
                    let sighting = Sighting {
                        name,
                        place,
                        flags,
                        letters,
                        uid: Some(uid),
                        listed: true,
                        alias: entry.alias(&mut self.words),
                    };
                    pack(&sighting, packed);
                    return Ok(Some(letters));
                }
                None => {
                    if let Some((apart, scratch)) = &mut apart {
                        apart.file((name, place, flags, letters), scratch)?;
                    }
                }
            }
        }
        if let Some((apart, scratch)) = apart {
            self.rest(apart, scratch)?;
        }
        Ok(None)
    }

    /// The lines behind all files.
    fn rest(&mut self, apart: &mut Apart, scratch: &mut Scratch<'_>) -> Result<(), Error> {
        let mut apart = Some((apart, scratch));
        loop {
            leave(&self.entries, self.used, &mut self.words, &mut apart)?;
            self.used = false;
            if self.entries.next()?.is_none() {
                self.used = true;
                return Ok(());
            }
        }
    }
}

/// A line that was reached is left behind; if no file was its own, one may be by name.
fn leave(
    entries: &Entries<'_>,
    used: bool,
    words: &mut String,
    apart: &mut Option<(&mut Apart, &mut Scratch<'_>)>,
) -> Result<(), Error> {
    if let Some((apart, scratch)) = apart
        && !used
        && let Some(entry) = entries.current()
    {
        apart.line(entry.base, entry.uid, entry.alias(words), scratch)?;
    }
    Ok(())
}

/// Goes through all that is there, those that cannot be there twice one behind the other.
struct Walk<'p> {
    agreeing: Option<Agreeing<'p>>,
    others: [Records<'p>; 2],
    /// The next of each.
    next: [Option<(Vec<u8>, u32)>; 3],
    current: (Vec<u8>, u32),
    before: (Vec<u8>, u32),
}

impl<'p> Walk<'p> {
    fn new(present: &'p Present) -> Result<Walk<'p>, Error> {
        let listing = present.listing.as_ref();
        let agreeing = listing.map(|listing| Agreeing::new(&present.claims, listing));
        let mut walk = Walk {
            agreeing: agreeing.transpose()?,
            others: [present.strays.records()?, present.demoted.records()?],
            next: Default::default(),
            current: Default::default(),
            before: Default::default(),
        };
        (0..3).try_for_each(|at| walk.fill(at, Vec::new()))?;
        Ok(walk)
    }

    /// Has the next one of a source at hand.
    fn fill(&mut self, at: usize, mut room: Vec<u8>) -> Result<(), Error> {
        let letters = match at.checked_sub(1).and_then(|at| self.others.get_mut(at)) {
            Some(records) => records.next()?.map(|(packed, letters)| {
                room.clear();
                room.extend_from_slice(packed);
                letters
            }),
            None => match &mut self.agreeing {
                Some(agreeing) => agreeing.next(&mut room, None)?,
                None => None,
            },
        };
        if let Some(next) = self.next.get_mut(at) {
            *next = letters.map(|letters| (room, letters));
        }
        Ok(())
    }

    /// Goes to the next one, which is `current` then; `before`: the last one that counts. False at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        let heads = self.next.iter().enumerate();
        let heads = heads.filter_map(|(at, next)| Some((&next.as_ref()?.0, at)));
        let Some(at) = heads.min().map(|(_, at)| at) else {
            return Ok(false);
        };
        let Some(next) = self.next.get_mut(at).and_then(Option::take) else {
            return Ok(false);
        };
        if !self.is_double() {
            std::mem::swap(&mut self.before, &mut self.current);
        }
        let (room, _) = std::mem::replace(&mut self.current, next);
        self.fill(at, room)?;
        Ok(true)
    }

    /// True if only one of `current` and `before` can be there.
    fn is_double(&self) -> bool {
        are_one(&self.before.0, &self.current.0)
    }
}

fn unpacked((packed, letters): &(Vec<u8>, u32)) -> Result<Sighting<'_>, Error> {
    unpack(packed, *letters).ok_or(Error::Corrupt {
        what: "a sorted run",
    })
}

impl Cursor for Walk<'_> {
    fn next(&mut self) -> Result<Option<Sighting<'_>>, Error> {
        while self.advance()? {
            if !self.is_double() {
                return unpacked(&self.current).map(Some);
            }
        }
        Ok(None)
    }
}

impl Sightings for Present {
    fn cursor(&self) -> Result<Box<dyn Cursor + '_>, Error> {
        Ok(Box::new(Walk::new(self)?))
    }
}

impl Maildir {
    /// Looks at the directories, then at the side file.
    pub(super) fn look(&mut self, name: &MailboxName, octets: usize) -> Result<Looked, Error> {
        let path = self.path(name)?;
        let (tmp, host) = (self.tmp()?, self.host.clone());
        let mut scratch = || MaildirDraft::create(&tmp, &host, None)?.nameless();
        self.take_over(&path)?;
        let mut listing = Listing::open(&path)?;
        let mut parts = Parts {
            claims: Sorter::new(octets),
            apart: Apart::new(octets),
            roll: Roll::new(octets),
            totals: Totals::default(),
        };
        self.collect(name, listing.is_some(), &mut parts, &mut scratch)?;
        let claims = parts.claims.finish(&mut scratch)?;
        let (mut lines, mut damaged, mut double) = (0, false, false);
        if let Some(listing) = &mut listing {
            let mut agreeing = Agreeing::new(&claims, listing)?;
            double = agreeing.count(&mut parts.totals, &mut parts.apart, &mut scratch)?;
            (lines, damaged) = (agreeing.entries.count, agreeing.entries.damaged);
            if let Some(last) = agreeing.entries.last() {
                listing.header.used(last);
            }
        }
        // Names of this server that the side file lacks are above all that it has: a lower UID in a name
        // was given to something else, by this server or by the program that made the name.
        let free = listing.as_ref().and_then(|l| l.header.uid_next);
        let free = free.filter(|_| !damaged);
        parts.apart.join(free, &mut parts.roll, &mut scratch)?;
        let mut all = Present {
            claims,
            listing,
            strays: parts.roll.finish(&mut scratch)?,
            demoted: Roll::new(0).finish(&mut scratch)?,
        };
        if double || !all.strays.is_empty() {
            let mut demoted = Roll::new(octets);
            parts.totals = self.count(name, &all, &mut |sighting| {
                demoted.add(sighting, &mut scratch)
            })?;
            all.demoted = demoted.finish(&mut scratch)?;
            if !all.demoted.is_empty() {
                parts.totals = self.count(name, &all, &mut |_| Ok(()))?;
            }
        }
        Ok(Looked {
            all,
            totals: parts.totals,
            lines,
            damaged,
        })
    }

    /// Reads the directories.
    fn collect(
        &mut self,
        name: &MailboxName,
        has_lines: bool,
        parts: &mut Parts,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        let directory = self.directory(name)?;
        let mut key = Vec::new();
        let (mut others, mut added, mut odd, mut more) = (0, Ok(()), Vec::new(), 0);
        for place in [Place::New, Place::Cur] {
            others += scan::entries(directory.of(place).as_fd(), &mut |file| {
                if added.is_err() {
                    return;
                }
                match scan::plain(file) {
                    Some(text) => added = parts.sight(text, place, has_lines, &mut key, scratch),
                    None if odd.len() < MAX_ODD => odd.push((place, file.to_vec())),
                    None => more += 1,
                }
            })?;
        }
        added?;
        for (place, file) in odd {
            match self.rename_odd(name, place, &file) {
                Some(text) => parts.sight(&text, place, has_lines, &mut key, scratch)?,
                None => others += 1,
            }
        }
        self.note_others(name, others + more)
    }

    /// Says once how many entries are no messages.
    fn note_others(&mut self, name: &MailboxName, others: usize) -> Result<(), Error> {
        let known = match others {
            0 => self.others.remove(name),
            some => self.others.insert(name.clone(), some),
        };
        if known.unwrap_or(0) != others {
            log::warn!(
                "{}: {others} directories, links, FIFOs, sockets, devices or files of odd names where messages should be: they are none",
                self.path(name)?.display()
            );
        }
        Ok(())
    }

    /// Counts messages. A UID that two files claim stays with the one that the side file names, else with the
    /// first name; `demoted` gets the other, without it. A file seen twice (renamed while the directories were
    /// read) counts once.
    fn count(
        &mut self,
        name: &MailboxName,
        all: &Present,
        demoted: &mut dyn FnMut(&Sighting<'_>) -> Result<(), Error>,
    ) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        let mut walk = Walk::new(all)?;
        while walk.advance()? {
            let current = unpacked(&walk.current)?;
            if !walk.is_double() {
                totals.note(&current);
                continue;
            }
            let kept = unpacked(&walk.before)?;
            match kept.name == current.name {
                true => self.remove_twin(name, &current.blob(), &kept.blob())?,
                false => demoted(&Sighting {
                    uid: None,
                    ..current
                })?,
            }
        }
        Ok(totals)
    }
}

/// What is collected.
struct Parts {
    claims: Sorter,
    apart: Apart,
    roll: Roll,
    totals: Totals,
}

impl Parts {
    /// Takes in a file.
    fn sight(
        &mut self,
        file: &str,
        place: Place,
        has_lines: bool,
        key: &mut Vec<u8>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        let (base, flags, letters) = name::split(file);
        let uid = name::uid(base.as_bytes());
        match uid.filter(|_| has_lines) {
            Some(uid) => {
                put_claim(uid, base, place, flags, key);
                self.claims.add(key, letters, scratch)
            }
            None if has_lines => self.apart.file((base, place, flags, letters), scratch),
            None => {
                let sighting = Sighting {
                    name: base,
                    place,
                    flags,
                    letters,
                    uid,
                    listed: false,
                    alias: None,
                };
                self.roll.add(&sighting, scratch)
            }
        }
    }
}

impl Agreeing<'_> {
    /// Counts all; the others are put apart. True if some are there twice.
    fn count(
        &mut self,
        totals: &mut Totals,
        apart: &mut Apart,
        scratch: &mut Scratch<'_>,
    ) -> Result<bool, Error> {
        let (mut packed, mut double) = (Vec::new(), false);
        while let Some(letters) = self.next(&mut packed, Some((apart, scratch)))? {
            let sighting = unpack(&packed, letters);
            let sighting = sighting.ok_or(Error::Corrupt {
                what: "a sorted run",
            })?;
            double |= totals.uids.last() == sighting.uid;
            totals.note(&sighting);
        }
        Ok(double)
    }
}
