//! The messages that a log tells of, in the order of their UIDs, without all of them in memory: its lines are sorted
//! by UIDs, and those of one make one message.

use super::line::{self, Message};
use crate::mail::{Uid, UidSet};
use crate::store::side::gathering::{Gathered, Groups};
use crate::store::{Cursor, Error, Place, Sighting, Sightings};

/// All lines of messages.
pub(super) struct Folded(pub(super) Gathered);

impl Folded {
    /// Goes through the messages that are there.
    pub(super) fn messages(&self) -> Result<Folding<'_>, Error> {
        Ok(Folding(self.0.groups()?))
    }
}

/// A place among messages.
pub(super) struct Folding<'f>(Groups<'f>);

impl Folding<'_> {
    /// The next one; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(Uid, Message)>, Error> {
        loop {
            let mut message = None;
            // One of which only the message makes nonsense says nothing.
            let uid = self.0.next(&mut |line| {
                let _ = line::take(&mut message, line);
            })?;
            match (uid, message) {
                (None, _) => return Ok(None),
                (Some(uid), Some(message)) => return Ok(Some((uid, message))),
                (Some(_), None) => {}
            }
        }
    }
}

/// Messages that a mailbox has.
pub(super) struct Present {
    /// What the log tells.
    all: Folded,
    /// Those among them that are not there.
    pub(super) absent: UidSet,
    /// Those that it did not tell of, ascending.
    new: Vec<(Uid, Message)>,
}

impl Present {
    pub(super) fn new(all: Folded, absent: UidSet, new: Vec<(Uid, Message)>) -> Present {
        Present { all, absent, new }
    }
}

impl Sightings for Present {
    fn cursor(&self) -> Result<Box<dyn Cursor + '_>, Error> {
        Ok(Box::new(PresentCursor {
            all: self.all.messages()?,
            ahead: None,
            absent: &self.absent,
            new: self.new.iter(),
            last: None,
            alias: String::new(),
        }))
    }
}

struct PresentCursor<'p> {
    all: Folding<'p>,
    /// The next one of the log, if it was read.
    ahead: Option<(Uid, Message)>,
    absent: &'p UidSet,
    new: std::slice::Iter<'p, (Uid, Message)>,
    /// The one that was handed out.
    last: Option<(Uid, Message)>,
    alias: String,
}

impl Cursor for PresentCursor<'_> {
    fn next(&mut self) -> Result<Option<Sighting<'_>>, Error> {
        while self.ahead.is_none() {
            match self.all.next()? {
                Some((uid, _)) if self.absent.contains(uid) => {}
                Some(next) => self.ahead = Some(next),
                None => break,
            }
        }
        let known = self.ahead.as_ref().map(|(uid, _)| *uid);
        let new = self.new.as_slice().first().map(|(uid, _)| *uid);
        self.last = match new {
            Some(new) if known.is_none_or(|known| new < known) => self.new.next().cloned(),
            _ => self.ahead.take(),
        };
        let Some((uid, message)) = &self.last else {
            return Ok(None);
        };
        if let Some(uidl) = &message.uidl {
            self.alias.clear();
            self.alias.push('P');
            self.alias.push_str(uidl);
        }
        Ok(Some(Sighting {
            name: &message.record,
            place: Place::Cur,
            flags: message.flags,
            letters: message.letters,
            uid: Some(*uid),
            listed: true,
            alias: message.uidl.as_ref().map(|_| self.alias.as_str()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Contents, FILE, Line};
    use super::super::log::Log;
    use super::super::record::Place as Frame;
    use super::*;
    use crate::mail::{Guid, Keyword, SystemFlags, UidValidity};

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn record(number: u32) -> String {
        format!("guid{number},m=1:{number},S=1,W=2,R=3,D=4,U={number}")
    }

    /// Lines by chance, about few messages.
    fn lines(count: u32, seed: &mut u32) -> Vec<u8> {
        let mut out = Vec::new();
        Line::Version(UidValidity::new(9).unwrap(), Guid([7; 16])).put(&mut out);
        let keyword = Keyword::new("$Junk").unwrap();
        for _ in 0..count {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = 1 + (*seed >> 8) % 40;
            let flags = SystemFlags::from_bits((*seed >> 16) as u8 & 15);
            let record = record(number);
            let mut several = UidSet::range(uid(number), uid(number + *seed % 7));
            several.insert(uid(number + 9));
            match (*seed >> 24) % 9 {
                0..3 => Line::Filed(&record, flags, 1),
                3 => Line::Marked(&several, flags, *seed & 7),
                4 => Line::Expunged(uid(number)),
                5 => Line::Placed(uid(number), Frame { file: 8, offset: 9 }),
                6 => Line::Uidl(uid(number), "x y"),
                7 => Line::Named(3, &keyword),
                _ => Line::Together(uid(number), uid(number + 3)),
            }
            .put(&mut out);
        }
        out
    }

    #[test]
    fn what_is_told_in_little_memory_is_what_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let mut seed = 7;
        for count in [0, 1, 5, 60, 400, 2000] {
            let text = lines(count, &mut seed);
            let torn = [&text, &b"00000000 F :2, damaged\n00000000 X 1"[..]].concat();
            for text in [&text, &torn] {
                std::fs::write(&path, text).unwrap();
                let log = Log::open(&path).unwrap().unwrap();
                let whole = log.contents().unwrap();
                for octets in [0, 2000, usize::MAX] {
                    let (head, all) = log.folded(octets).unwrap();
                    let mut messages = all.messages().unwrap();
                    let mut told = Vec::new();
                    while let Some(next) = messages.next().unwrap() {
                        told.push(next);
                    }
                    let expected: Vec<_> = whole.messages.clone().into_iter().collect();
                    assert_eq!(told, expected, "{count}");
                    let shown = |c: &Contents| {
                        let ended = (c.known, c.uid_next, c.keywords.clone(), c.lines, c.damaged);
                        (ended, c.together.clone(), c.expunged.to_string())
                    };
                    assert_eq!(shown(&head), shown(&whole), "{count}");
                }
            }
        }
    }

    #[test]
    fn a_log_that_is_written_anew_tells_the_same_of_those_that_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let mut seed = 11;
        for count in [5, 400] {
            std::fs::write(&path, lines(count, &mut seed)).unwrap();
            let log = Log::open(&path).unwrap().unwrap();
            log.put(Line::Filed(&record(41), SystemFlags::NONE, 0))
                .unwrap();
            let before = log.contents().unwrap();
            let last = UidSet::range(uid(41), uid(41));
            log.put(Line::Marked(&last, SystemFlags::SEEN, 0)).unwrap();
            let keep = UidSet::range(uid(5), uid(41));
            log.renew(&|head| head.keywords.clear(), &keep).unwrap();
            log.put(Line::Expunged(uid(7))).unwrap();
            let own = log.contents().unwrap();
            let after = Log::open(&path).unwrap().unwrap().contents().unwrap();
            assert_eq!(after.messages, own.messages);
            assert_eq!((after.known, after.keywords.len()), (before.known, 0));
            assert_eq!(after.uid_next, before.uid_next);
            let own = |uid: &Uid| keep.contains(*uid) && uid.number() != 7;
            let kept: Vec<Uid> = before.messages.keys().copied().filter(own).collect();
            assert!(after.messages.keys().copied().eq(kept.iter().copied()));
            assert_eq!(after.messages[&uid(41)].flags, SystemFlags::SEEN);
            for uid in kept.iter().filter(|uid| uid.number() != 41) {
                assert_eq!(after.messages[uid], before.messages[uid]);
            }
        }
    }

    #[test]
    fn a_line_without_an_end_is_damage_and_not_kept_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let mut seed = 3;
        let (first, last) = (lines(9, &mut seed), lines(9, &mut seed));
        let long = "x".repeat(300_000);
        std::fs::write(&path, [&first, long.as_bytes(), b"\n", &last].concat()).unwrap();
        let log = Log::open(&path).unwrap().unwrap();
        let (head, whole) = (log.head().unwrap(), log.contents().unwrap());
        assert_eq!((head.damaged, head.lines), (1, 21));
        assert_eq!((whole.damaged, whole.lines), (1, 21));
    }
}
