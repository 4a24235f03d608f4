//! Lines of a mailbox's log: a CRC-32 of the rest in hexadecimal digits, a blank, a letter, what it tells.
//!
//! ```text
//! V <version> <UIDVALIDITY> <GUID>   the first line, and no other
//! F <flags> <record>                 a message is in the mailbox
//! M <UIDs> <flags>                   theirs are these now; UIDs: 1:3,7
//! P <UID> <file>:<offset>            its frame is there now
//! U <UID> <unique-id>                what POP3 calls it
//! X <UID>                            it is expunged
//! N <UID>                            UIDs below this one were given
//! K <number> <keyword>               what a letter means, from 0 for a
//! T <UID> <UID>                      messages from the first to the last come together or not at all
//! O <UID> <UID>                      so do these, and that all lines F are there does not tell that they did
//! E <UID> <UID>                      what came of those is what stays
//! ```
//!
//! Flags are written as in a Maildir: `:2,FSab`. Behind the last line the file may be filled up with NULs.

use super::record::{Place, Record};
use crate::mail::{Guid, Keyword, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::Error;
use crate::store::maildir::name;
use crate::store::side::checked;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// What the log is called in the directory of its mailbox.
pub(super) const FILE: &str = "dovelet.log";
const VERSION: &str = "1";
/// Letters there are for keywords.
pub(super) const MAX_LETTERS: usize = 26;
/// Lines that say nothing any more are no reason to write a log anew until there are so many.
const MIN_DEAD: usize = 200;

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line<'a> {
    Version(UidValidity, Guid),
    Filed(&'a str, SystemFlags, u32),
    Marked(&'a UidSet, SystemFlags, u32),
    Placed(Uid, Place),
    Uidl(Uid, &'a str),
    Expunged(Uid),
    Next(Uid),
    Named(usize, &'a Keyword),
    Together(Uid, Uid),
    Open(Uid, Uid),
    Ended(Uid, Uid),
}

fn info(flags: SystemFlags, letters: u32) -> String {
    name::with_flags("", flags, letters)
}

impl Line<'_> {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut put = |text: fmt::Arguments<'_>| checked::put(text, out);
        match *self {
            Line::Version(validity, guid) => put(format_args!("V {VERSION} {validity} {guid}")),
            Line::Filed(record, flags, letters) => {
                put(format_args!("F {} {record}", info(flags, letters)))
            }
            Line::Marked(uids, flags, letters) => {
                put(format_args!("M {uids} {}", info(flags, letters)))
            }
            Line::Placed(uid, place) => {
                put(format_args!("P {uid} {}:{}", place.file, place.offset))
            }
            Line::Uidl(uid, uidl) => put(format_args!("U {uid} {uidl}")),
            Line::Expunged(uid) => put(format_args!("X {uid}")),
            Line::Next(uid) => put(format_args!("N {uid}")),
            Line::Named(number, keyword) => put(format_args!("K {number} {}", keyword.as_str())),
            Line::Together(first, last) => put(format_args!("T {first} {last}")),
            Line::Open(first, last) => put(format_args!("O {first} {last}")),
            Line::Ended(first, last) => put(format_args!("E {first} {last}")),
        }
    }
}

/// Which messages a line tells something of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    None,
    One(Uid),
    Several(Vec<RangeInclusive<u32>>),
}

impl About {
    /// Calls `each` with every UID and the line, as it would be if it were about that one alone.
    pub(super) fn each(
        &self,
        line: &str,
        each: &mut dyn FnMut(Uid, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            About::None => Ok(()),
            About::One(uid) => each(*uid, line),
            About::Several(runs) => {
                let info = line.rsplit(' ').next().unwrap_or_default();
                let mut uids = runs.iter().cloned().flatten().filter_map(Uid::new);
                uids.try_for_each(|uid| each(uid, &format!("M {uid} {info}")))
            }
        }
    }
}

/// Runs of UIDs, all of one chunk of 256, as STORE changes them: `1:3,7`.
fn runs(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let uid = |text: &str| text.parse().ok().and_then(Uid::new).map(Uid::number);
    let run = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        Some((uid(first)?, uid(last)?)).filter(|(first, last)| first <= last)
    };
    let runs: Option<Vec<_>> = text.split(',').map(run).collect();
    let runs = runs?;
    let chunk = runs.first().map(|(first, _)| first >> 8);
    let within = |(first, last): &(u32, u32)| [first >> 8, last >> 8].map(Some) == [chunk; 2];
    let runs = runs.iter().all(within).then_some(runs)?;
    Some(runs.into_iter().map(|(first, last)| first..=last).collect())
}

/// A message that is in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// A [`Record`] as text.
    pub(super) record: Box<str>,
    pub(super) flags: SystemFlags,
    pub(super) letters: u32,
    /// What POP3 calls it, if that was said.
    pub(super) uidl: Option<Box<str>>,
}

/// Messages that come together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Together {
    pub(super) first: Uid,
    pub(super) last: Uid,
    /// How many of them have no line; `None`: what lines there are does not matter.
    pub(super) missing: Option<u32>,
}

impl Together {
    /// Those of a line T.
    pub(super) fn counted(first: Uid, last: Uid) -> Together {
        let more = last.number().saturating_sub(first.number());
        Together {
            first,
            last,
            missing: Some(more.saturating_add(1)),
        }
    }

    /// Those of a line O.
    pub(super) fn open(first: Uid, last: Uid) -> Together {
        Together {
            first,
            last,
            missing: None,
        }
    }

    pub(super) fn ends(&self) -> (Uid, Uid) {
        (self.first, self.last)
    }
}

/// All that a log tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// `None`: the first line is not there or not readable.
    pub(super) known: Option<(UidValidity, Guid)>,
    pub(super) messages: BTreeMap<Uid, Message>,
    /// Those of which it says that they are gone.
    pub(super) expunged: UidSet,
    /// Where in mdbox messages are of which it says that they are gone.
    pub(super) left: Vec<Place>,
    /// No UID from here on was given; `None`: none was.
    pub(super) uid_next: Option<Uid>,
    pub(super) keywords: Vec<Option<Keyword>>,
    /// Messages that were to come together, as far as it is not said that they did.
    pub(super) together: Vec<Together>,
    /// Lines there are, and those among them that cannot be read.
    pub(super) lines: usize,
    pub(super) damaged: usize,
    /// Lines that could be read once a bit was set right.
    pub(super) mended: usize,
}

impl Contents {
    /// Reads a log. Lines that cannot be read are left out.
    pub(super) fn parse(text: &[u8]) -> Contents {
        let mut contents = Contents::default();
        for line in checked::lines(text) {
            contents.count(line.as_ref());
            if line.and_then(|line| contents.take(&line)).is_none() {
                contents.damaged += 1;
            }
        }
        contents
    }

    /// Counts a line.
    pub(super) fn count(&mut self, line: Option<&Cow<'_, str>>) {
        self.lines += 1;
        self.mended += usize::from(matches!(line, Some(Cow::Owned(_))));
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let about = self.skim(line)?;
        let mut taken = Some(());
        let each = about.each(line, &mut |uid, line| {
            taken = taken.and(self.take_of(uid, line));
            Ok(())
        });
        each.ok().and(taken)
    }

    /// Takes what a line says of its message.
    fn take_of(&mut self, uid: Uid, line: &str) -> Option<()> {
        let mut message = self.messages.remove(&uid);
        let place = match &message {
            Some(message) if line.starts_with('X') => Record::parse(&message.record)?.place,
            _ => None,
        };
        self.left.extend(place);
        let taken = take(&mut message, line);
        if let Some(message) = message {
            self.messages.insert(uid, message);
        }
        taken
    }

    /// Takes one more line, but not what it says of messages. Returns which messages it says something of;
    /// `None` if it cannot be read.
    pub(super) fn skim(&mut self, line: &str) -> Option<About> {
        let (letter, rest) = line.split_once(' ')?;
        let uid = |text: &str| text.parse().ok().and_then(Uid::new);
        match letter {
            "V" => {
                let mut words = rest.strip_prefix(VERSION)?.trim_start().split(' ');
                let validity = UidValidity::new(words.next()?.parse().ok()?)?;
                self.known = Some((validity, Guid::parse(words.next()?.as_bytes())?));
            }
            "F" => {
                let uid = Record::uid(rest.split_once(' ')?.1)?;
                self.give(uid.next()?);
                came(&mut self.together, uid);
                return Some(About::One(uid));
            }
            "M" => return Some(About::Several(runs(rest.split_once(' ')?.0)?)),
            "U" => return Some(About::One(uid(rest.split_once(' ')?.0)?)),
            "P" => {
                let (number, place) = rest.split_once(' ')?;
                Place::parse(place)?;
                return Some(About::One(uid(number)?));
            }
            "X" => {
                let gone = uid(rest)?;
                self.expunged.insert(gone);
                self.give(gone.next()?);
                return Some(About::One(gone));
            }
            "N" => self.give(uid(rest)?),
            "K" => {
                let (number, name) = rest.split_once(' ')?;
                let number: usize = number.parse().ok().filter(|n| *n < MAX_LETTERS)?;
                let length = self.keywords.len().max(number + 1);
                self.keywords.resize(length, None);
                *self.keywords.get_mut(number)? = Keyword::new(name);
            }
            "T" | "O" | "E" => {
                let (first, last) = rest.split_once(' ')?;
                let (first, last) = (uid(first)?, uid(last)?);
                match letter {
                    _ if last < first => return None,
                    "T" => self.together.push(Together::counted(first, last)),
                    "O" => self.together.push(Together::open(first, last)),
                    _ => self.together.retain(|t| t.ends() != (first, last)),
                }
            }
            _ => return None,
        }
        Some(About::None)
    }

    /// UIDs below that one were given.
    pub(super) fn give(&mut self, next: Uid) {
        self.uid_next = self.uid_next.max(Some(next));
    }

    /// True if so much of it says nothing any more, or cannot be read as it stands, that it should be written anew. `messages`: how
    /// many there are.
    pub(super) fn is_worn(&self, messages: usize) -> bool {
        let dead = self.lines.saturating_sub(messages);
        self.known.is_none() || self.damaged + self.mended > 0 || dead > messages + MIN_DEAD
    }

    /// The shortest log that tells the same.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(150 * (self.messages.len() + 1));
        if let Some((validity, guid)) = self.known {
            Line::Version(validity, guid).put(&mut out);
        }
        if let Some(next) = self.uid_next {
            Line::Next(next).put(&mut out);
        }
        for (at, keyword) in self.keywords.iter().enumerate() {
            if let Some(keyword) = keyword {
                Line::Named(at, keyword).put(&mut out);
            }
        }
        for together in &self.together {
            let (first, last) = together.ends();
            match together.missing {
                Some(_) => Line::Together(first, last),
                None => Line::Open(first, last),
            }
            .put(&mut out);
        }
        for (uid, message) in &self.messages {
            message.put(*uid, &mut out);
        }
        out
    }
}

/// Takes what a line that was skimmed says of its message, which is there or not; changes nothing and is `None` if
/// it cannot be read.
pub(super) fn take(message: &mut Option<Message>, line: &str) -> Option<()> {
    let (letter, rest) = line.split_once(' ')?;
    let text = || Some(rest.split_once(' ')?.1);
    match (letter, message) {
        ("F", message) => {
            let (info, record) = rest.split_once(' ')?;
            let (_, flags, letters) = name::split(info);
            *message = Some(Message {
                record: record.into(),
                flags,
                letters,
                uidl: None,
            });
        }
        ("X", message) => *message = None,
        (_, None) => {}
        ("M", Some(message)) => (_, message.flags, message.letters) = name::split(text()?),
        ("P", Some(message)) => message.place(Place::parse(text()?)?)?,
        ("U", Some(message)) => message.uidl = Some(text()?.into()),
        _ => return None,
    }
    Some(())
}

impl Message {
    /// One without flags.
    pub(super) fn unmarked(record: Box<str>) -> Message {
        Message {
            record,
            flags: SystemFlags::NONE,
            letters: 0,
            uidl: None,
        }
    }

    /// The lines that tell of it.
    pub(super) fn put(&self, uid: Uid, out: &mut Vec<u8>) {
        Line::Filed(&self.record, self.flags, self.letters).put(out);
        if let Some(uidl) = &self.uidl {
            Line::Uidl(uid, uidl).put(out);
        }
    }

    pub(super) fn place(&mut self, place: Place) -> Option<()> {
        let record = Record::parse(&self.record)?;
        let place = Some(place);
        self.record = Record { place, ..record }.to_string().into();
        Some(())
    }
}

/// One message more of those that come together.
pub(super) fn came(together: &mut Vec<Together>, uid: Uid) {
    for one in together
        .iter_mut()
        .filter(|t| t.first <= uid && uid <= t.last)
    {
        one.missing = one.missing.map(|missing| missing.saturating_sub(1));
    }
    together.retain(|t| t.missing != Some(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn uids(numbers: &[u32]) -> UidSet {
        numbers.iter().map(|number| uid(*number)).collect()
    }

    fn record(number: u32) -> String {
        format!("guid{number},m=1:{number},S=1,W=2,R=3,D=4,U={number}")
    }

    fn log(lines: &[Line<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        lines.iter().for_each(|line| line.put(&mut out));
        out
    }

    fn shown(contents: &Contents) -> Vec<String> {
        let shown =
            |m: &Message| format!("{} {}", name::with_flags("", m.flags, m.letters), m.record);
        contents.messages.values().map(shown).collect()
    }

    #[test]
    fn lines_are_written_and_read() {
        let keyword = Keyword::new("$Junk").unwrap();
        let (validity, guid) = (UidValidity::new(9).unwrap(), Guid([7; 16]));
        let seen = SystemFlags::SEEN;
        let records = [1, 2, 3, 4].map(record);
        let [one, two, three, four] = records.each_ref().map(|r| r.as_str());
        let text = log(&[
            Line::Version(validity, guid),
            Line::Filed(one, SystemFlags::NONE, 0),
            Line::Named(1, &keyword),
            Line::Filed(two, seen, 2),
            Line::Filed(three, seen, 0),
            Line::Marked(&uids(&[1]), seen, 2),
            Line::Marked(&uids(&[9]), seen, 2),
            Line::Together(uid(4), uid(5)),
            Line::Open(uid(1), uid(2)),
            Line::Filed(four, SystemFlags::NONE, 0),
            Line::Expunged(uid(3)),
            Line::Placed(
                uid(2),
                Place {
                    file: 8,
                    offset: 99,
                },
            ),
            Line::Next(uid(20)),
            Line::Uidl(uid(2), "one two"),
            Line::Uidl(uid(9), "x"),
        ]);
        let moved = two.replace("m=1:2", "m=8:99");
        let expected = [
            format!(":2,Sb {one}"),
            format!(":2,Sb {moved}"),
            format!(":2, {four}"),
        ];
        let padded = [&text[..], &[0; 50], b"junk\n"].concat();
        for text in [&text, &padded, &Contents::parse(&text).encode()] {
            let contents = Contents::parse(text);
            assert_eq!(contents.known, Some((validity, guid)));
            assert_eq!(shown(&contents), expected);
            assert_eq!(contents.uid_next, Some(uid(20)));
            let uidls: Vec<_> = contents
                .messages
                .values()
                .map(|m| m.uidl.as_deref())
                .collect();
            assert_eq!(uidls, [None, Some("one two"), None]);
            assert_eq!(contents.keywords, [None, Some(keyword.clone())]);
            let counted = |missing| Together {
                missing,
                ..Together::open(uid(4), uid(5))
            };
            assert_eq!(
                contents.together,
                [counted(Some(1)), Together::open(uid(1), uid(2))]
            );
            assert!(!contents.expunged.contains(uid(1)));
            assert!(!contents.is_worn(contents.messages.len()));
        }
        let ended = [&text[..], &log(&[Line::Ended(uid(4), uid(5))])].concat();
        let open = [Together::open(uid(1), uid(2))];
        assert_eq!(Contents::parse(&ended).together, open);
        let whole = [&text[..], &log(&[Line::Filed(&record(5), seen, 0)])].concat();
        assert_eq!(Contents::parse(&whole).together, open);
        let both = [
            &whole[..],
            &log(&[Line::Ended(uid(1), uid(2)), Line::Expunged(uid(30))]),
        ]
        .concat();
        let contents = Contents::parse(&both);
        assert_eq!(contents.together, []);
        assert_eq!(contents.uid_next, Some(uid(31)));
        assert_eq!(contents.expunged.to_string(), "3,30");
    }

    #[test]
    fn flags_of_many_are_one_line() {
        let mut text = log(&[Line::Version(UidValidity::new(9).unwrap(), Guid([7; 16]))]);
        let records = [1, 2, 3, 4, 5, 9].map(record);
        for record in &records {
            Line::Filed(record, SystemFlags::DRAFT, 1).put(&mut text);
        }
        let seen = SystemFlags::SEEN;
        Line::Marked(&uids(&[1, 2, 3, 5, 6, 7, 8]), seen, 4).put(&mut text);
        assert!(text.ends_with(b" M 1:3,5:8 :2,Sc\n"));
        let contents = Contents::parse(&text);
        let marked = contents.messages.iter();
        let marked = marked.filter(|(_, m)| (m.flags, m.letters) == (seen, 4));
        let marked: Vec<u32> = marked.map(|(uid, _)| uid.number()).collect();
        assert_eq!((marked, contents.damaged), (vec![1, 2, 3, 5], 0));
        let unmarked = contents.messages.values();
        assert_eq!(
            unmarked.filter(|m| m.flags == SystemFlags::DRAFT).count(),
            2
        );
        for bad in [
            "0", "3:1", "1:", ":1", "1,,2", "1:2:3", "*", "", "255:256", "1,256",
        ] {
            let mut text = text.clone();
            checked::put(format!("M {bad} :2,F"), &mut text);
            let contents = Contents::parse(&text);
            assert_eq!(contents.damaged, 1, "{bad}");
            assert!(
                contents
                    .messages
                    .values()
                    .all(|m| m.flags != SystemFlags::FLAGGED)
            );
        }
    }

    #[test]
    fn a_damaged_line_is_lost_alone() {
        let records = [1, 2, 3].map(record);
        let mut text = log(&[Line::Version(UidValidity::new(9).unwrap(), Guid([7; 16]))]);
        for record in &records {
            Line::Filed(record, SystemFlags::NONE, 0).put(&mut text);
        }
        let second = memchr::memmem::find(&text, b"guid2").unwrap();
        for bit in 0..8 {
            let mut bad = text.clone();
            bad[second] ^= 1 << bit;
            let contents = Contents::parse(&bad);
            assert_eq!((contents.messages.len(), contents.mended), (3, 1), "{bit}");
            assert!(contents.is_worn(contents.messages.len()) && contents.damaged == 0);
            bad[second + 1] ^= 1 << bit;
            let contents = Contents::parse(&bad);
            assert_eq!((contents.messages.len(), contents.damaged), (2, 1), "{bit}");
            assert!(contents.is_worn(contents.messages.len()));
        }
        for cut in 0..text.len() {
            let contents = Contents::parse(&text[..cut]);
            let whole = text[..cut].iter().filter(|b| **b == b'\n').count();
            assert_eq!(contents.messages.len(), whole.saturating_sub(1), "{cut}");
        }
    }
}
