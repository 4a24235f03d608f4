//! Lines of the log of a mailbox: a CRC-32 of the rest in hexadecimal digits, a blank, a letter, what it tells.
//!
//! ```text
//! V <version> <UIDVALIDITY> <GUID>     the first line, and no other
//! A <flags> <name>                     a message is appended to the file, and may not be durable
//! F <flags> <name>                     a message is in the file, with these flags
//! M <UID> <flags>                      its flags are these now; the file does not have them yet
//! D <name>                             it is expunged; the file still has it
//! C                                    the file is as the lines above say
//! X <UID>                              it is not in the file any more
//! U <UID> <unique-id>                  what POP3 calls it
//! N <UID>                              UIDs below this one were given
//! K <number> <keyword>                 what a letter means, from 0 for a
//! T <UID> <UID>                        messages from the first to the last come together or not at all
//! E <UID> <UID>                        what came of those is what stays
//! S <token> <inode> <octets> <time>    the file was this when it was as the lines above say
//! ```
//!
//! A name is `<guid>,S=<octets as stored>,W=<octets with CRLF>,R=<INTERNALDATE>,D=<save date>,U=<uid>`. Flags
//! are written as in a Maildir: `:2,FSab`. Behind the last line the file may be filled up with NULs.

use super::stat::Stat;
use crate::mail::{Guid, Keyword, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::maildir::name;
use crate::store::side::{base, checked};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

const VERSION: &str = "1";
/// Letters there are for keywords.
pub(super) const MAX_LETTERS: usize = 26;
/// Lines that say nothing any more are no reason to write a log anew until there are so many.
const MIN_DEAD: u64 = 200;

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line<'a> {
    Version(UidValidity, Guid),
    Given(&'a str, SystemFlags, u32),
    Filed(&'a str, SystemFlags, u32),
    Marked(Uid, SystemFlags, u32),
    Doomed(&'a str),
    Clean,
    Gone(Uid),
    Uidl(Uid, &'a str),
    Next(Uid),
    Named(usize, &'a Keyword),
    Together(Uid, Uid),
    Ended(Uid, Uid),
    Seen(i64, Stat),
}

fn info(flags: SystemFlags, letters: u32) -> String {
    name::with_flags("", flags, letters)
}

/// The UID in the name of a message.
pub(super) fn uid_of(name: &str) -> Option<Uid> {
    let uid = base::number(name.as_bytes(), b'U')?;
    u32::try_from(uid).ok().and_then(Uid::new)
}

impl Line<'_> {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut put = |text: fmt::Arguments<'_>| checked::put(text, out);
        match *self {
            Line::Version(validity, guid) => put(format_args!("V {VERSION} {validity} {guid}")),
            Line::Given(name, flags, letters) => {
                put(format_args!("A {} {name}", info(flags, letters)))
            }
            Line::Filed(name, flags, letters) => {
                put(format_args!("F {} {name}", info(flags, letters)))
            }
            Line::Marked(uid, flags, letters) => {
                put(format_args!("M {uid} {}", info(flags, letters)))
            }
            Line::Doomed(name) => put(format_args!("D {name}")),
            Line::Clean => put(format_args!("C .")),
            Line::Gone(uid) => put(format_args!("X {uid}")),
            Line::Uidl(uid, uidl) => put(format_args!("U {uid} {uidl}")),
            Line::Next(uid) => put(format_args!("N {uid}")),
            Line::Named(number, keyword) => put(format_args!("K {number} {}", keyword.as_str())),
            Line::Together(first, last) => put(format_args!("T {first} {last}")),
            Line::Ended(first, last) => put(format_args!("E {first} {last}")),
            Line::Seen(token, stat) => {
                let Stat {
                    inode,
                    octets,
                    time,
                } = stat;
                put(format_args!("S {token} {inode} {octets} {time}"));
            }
        }
    }
}

/// A message that is in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) name: Box<str>,
    pub(super) flags: SystemFlags,
    pub(super) letters: u32,
    /// What POP3 calls it, if that was said.
    pub(super) uidl: Option<Box<str>>,
    /// The file does not have these flags yet.
    pub(super) dirty: bool,
}

/// The name of a message that may not be durable, its flags and letters.
pub(super) type Given = (Box<str>, SystemFlags, u32);

/// What a log tells of the mailbox, and which messages it tells of. Theirs is in [`Told`].
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// `None`: the first line is not there or not readable.
    pub(super) known: Option<(UidValidity, Guid)>,
    /// Messages that are in the mailbox.
    pub(super) present: UidSet,
    /// Messages that may not be durable.
    pub(super) given: BTreeMap<Uid, Given>,
    /// Expunged messages that the file still has.
    pub(super) doomed: UidSet,
    /// Messages whose flags the file does not have yet.
    pub(super) dirty: Dirty,
    /// No UID from here on was given; `None`: none was.
    pub(super) uid_next: Option<Uid>,
    /// The same without those of `given`.
    pub(super) told_next: Option<Uid>,
    pub(super) keywords: Vec<Option<Keyword>>,
    /// Messages that were to come together.
    pub(super) together: Vec<(Uid, Uid)>,
    pub(super) seen: Option<(i64, Stat)>,
    /// Lines there are, and those among them that cannot be read.
    pub(super) lines: u64,
    pub(super) damaged: usize,
    /// Lines that could be read once a bit was set right.
    pub(super) mended: usize,
}

fn number(text: &str) -> Option<Uid> {
    text.parse().ok().and_then(Uid::new)
}

/// The name, flags and letters of a line that has them.
fn filed(rest: &str) -> Option<Given> {
    let (info, name) = rest.split_once(' ')?;
    let (_, flags, letters) = name::split(info);
    Some((name.into(), flags, letters))
}

impl Head {
    /// Takes a line, `None` for one that cannot be read, which says nothing. Returns the message that it tells of.
    pub(super) fn note(&mut self, line: Option<&Cow<'_, str>>) -> Option<Uid> {
        self.lines += 1;
        self.mended += usize::from(matches!(line, Some(Cow::Owned(_))));
        let about = line.and_then(|line| self.take(line));
        self.damaged += usize::from(about.is_none());
        about.flatten()
    }

    fn take(&mut self, line: &str) -> Option<Option<Uid>> {
        let (letter, rest) = line.split_once(' ')?;
        match letter {
            "A" | "F" | "M" | "D" | "X" | "U" => {
                return self.take_of_message(letter, rest).map(Some);
            }
            "V" => {
                let mut words = rest.strip_prefix(VERSION)?.trim_start().split(' ');
                let validity = UidValidity::new(words.next()?.parse().ok()?)?;
                self.known = Some((validity, Guid::parse(words.next()?.as_bytes())?));
            }
            "C" => {
                self.doomed = UidSet::new();
                self.dirty = Dirty::default();
            }
            "N" => self.tell(number(rest)?),
            "K" => {
                let (at, name) = rest.split_once(' ')?;
                let at: usize = at.parse().ok().filter(|at| *at < MAX_LETTERS)?;
                let length = self.keywords.len().max(at + 1);
                self.keywords.resize(length, None);
                *self.keywords.get_mut(at)? = Keyword::new(name);
            }
            "T" | "E" => {
                let (first, last) = rest.split_once(' ')?;
                let ends = (number(first)?, number(last)?);
                self.together.retain(|own| *own != ends);
                if letter == "T" {
                    self.together.push(ends);
                }
            }
            "S" => {
                let mut words = rest.split(' ');
                let token = words.next()?.parse().ok()?;
                let stat = Stat {
                    inode: words.next()?.parse().ok()?,
                    octets: words.next()?.parse().ok()?,
                    time: words.next()?.parse().ok()?,
                };
                self.seen = Some((token, stat));
            }
            _ => return None,
        }
        Some(None)
    }

    /// Which messages there are then.
    fn take_of_message(&mut self, letter: &str, rest: &str) -> Option<Uid> {
        let uid = match letter {
            "A" | "F" => uid_of(rest.split_once(' ')?.1)?,
            "D" => uid_of(rest)?,
            "X" => number(rest)?,
            _ => number(rest.split_once(' ')?.0)?,
        };
        match letter {
            "A" => drop(self.given.insert(uid, filed(rest)?)),
            "F" => {
                self.given.remove(&uid);
                self.dirty.remove(uid);
                self.present.insert(uid);
            }
            "M" if self.present.contains(uid) => {
                let (_, flags, letters) = name::split(rest.split_once(' ')?.1);
                self.dirty.insert(uid, flags, letters);
            }
            "D" | "X" => {
                self.given.remove(&uid);
                self.dirty.remove(uid);
                self.present.remove(uid);
                match letter {
                    "D" => self.doomed.insert(uid),
                    _ => self.doomed.remove(uid),
                }
            }
            _ => {}
        }
        match letter {
            "A" => self.uid_next = self.uid_next.max(uid.next()),
            "F" | "D" | "X" => self.tell(uid.next()?),
            _ => {}
        }
        Some(uid)
    }

    fn tell(&mut self, next: Uid) {
        self.uid_next = self.uid_next.max(Some(next));
        self.told_next = self.told_next.max(Some(next));
    }

    /// The first of the UIDs at the end that were given to messages of which nothing else is said.
    pub(super) fn untold(&self) -> Option<Uid> {
        let mut given = self.given.keys().copied();
        given.find(|uid| Some(*uid) >= self.told_next)
    }

    /// True if so much of it says nothing any more, or cannot be read, that it should be written anew.
    pub(super) fn is_worn(&self) -> bool {
        let messages = self.present.count();
        let dead = self.lines.saturating_sub(messages);
        self.known.is_none() || self.damaged + self.mended > 0 || dead > messages + MIN_DEAD
    }

    /// The shortest lines that tell the same, but of messages, and but for those of `encode_end`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some((validity, guid)) = self.known {
            Line::Version(validity, guid).put(&mut out);
        }
        // Lines of `given` say the rest.
        if let Some(next) = self.told_next {
            Line::Next(next).put(&mut out);
        }
        for (at, keyword) in self.keywords.iter().enumerate() {
            if let Some(keyword) = keyword {
                Line::Named(at, keyword).put(&mut out);
            }
        }
        for (first, last) in &self.together {
            Line::Together(*first, *last).put(&mut out);
        }
        out
    }

    /// Those that belong behind what is told of messages.
    pub(super) fn encode_end(&self, out: &mut Vec<u8>) {
        if let Some((token, stat)) = self.seen {
            Line::Seen(token, stat).put(out);
        }
    }
}

/// Flags of so many messages are in memory; those of others are read in the log.
const MAX_DIRTY: usize = if cfg!(test) { 1 } else { 4096 };

/// Messages that have other flags than their file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    uids: UidSet,
    /// Of some of them: their flags and letters.
    flags: BTreeMap<Uid, (SystemFlags, u32)>,
}

impl Dirty {
    pub(super) fn insert(&mut self, uid: Uid, flags: SystemFlags, letters: u32) {
        self.uids.insert(uid);
        if self.flags.len() < MAX_DIRTY || self.flags.contains_key(&uid) {
            self.flags.insert(uid, (flags, letters));
        }
    }

    pub(super) fn remove(&mut self, uid: Uid) {
        self.uids.remove(uid);
        self.flags.remove(&uid);
    }

    pub(super) fn contains(&self, uid: Uid) -> bool {
        self.uids.contains(uid)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    pub(super) fn uids(&self) -> &UidSet {
        &self.uids
    }

    /// Its flags and letters, if they are in memory.
    pub(super) fn get(&self, uid: Uid) -> Option<(SystemFlags, u32)> {
        self.flags.get(&uid).copied()
    }

    /// True if those of all of them are.
    pub(super) fn is_told(&self) -> bool {
        self.uids.count() == self.flags.len() as u64
    }
}

/// What a log tells of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) message: Option<Message>,
    pub(super) given: Option<Given>,
    /// The name of one that is expunged.
    pub(super) doomed: Option<Box<str>>,
}

impl Told {
    /// Takes the next line that tells of it. What lines of all messages say comes with `settle`.
    pub(super) fn take(&mut self, line: &str) -> Option<()> {
        let (letter, rest) = line.split_once(' ')?;
        match (letter, &mut self.message) {
            ("A", _) => self.given = Some(filed(rest)?),
            ("F", message) => {
                let (name, flags, letters) = filed(rest)?;
                self.given = None;
                *message = Some(Message {
                    name,
                    flags,
                    letters,
                    uidl: message.take().and_then(|before| before.uidl),
                    dirty: false,
                });
            }
            ("D", _) => {
                *self = Told {
                    doomed: Some(rest.into()),
                    ..Told::default()
                };
            }
            ("X", _) => *self = Told::default(),
            ("M", Some(message)) => {
                (_, message.flags, message.letters) = name::split(rest.split_once(' ')?.1);
            }
            ("U", Some(message)) => message.uidl = Some(rest.split_once(' ')?.1.into()),
            _ => {}
        }
        Some(())
    }

    /// What the log says at its end of what its lines once said.
    pub(super) fn settle(&mut self, is_dirty: bool, is_doomed: bool) {
        if let Some(message) = &mut self.message {
            message.dirty = is_dirty;
        }
        self.doomed = self.doomed.take().filter(|_| is_doomed);
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Told::default()
    }

    /// What it is called, unless it may not be durable.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.message.as_ref().map(|message| &message.name);
        name.or(self.doomed.as_ref()).map(|name| &**name)
    }

    /// The shortest lines that tell the same.
    pub(super) fn encode(&self, uid: Uid, out: &mut Vec<u8>) {
        if let Some(name) = &self.doomed {
            Line::Doomed(name).put(out);
        }
        if let Some(message) = &self.message {
            let (flags, letters) = (message.flags, message.letters);
            Line::Filed(&message.name, flags, letters).put(out);
            if message.dirty {
                Line::Marked(uid, flags, letters).put(out);
            }
            if let Some(uidl) = &message.uidl {
                Line::Uidl(uid, uidl).put(out);
            }
        }
        if let Some((name, flags, letters)) = &self.given {
            Line::Given(name, *flags, *letters).put(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn log(lines: &[Line<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        lines.iter().for_each(|line| line.put(&mut out));
        out
    }

    /// All that a log says.
    fn read(text: &[u8]) -> (Head, BTreeMap<Uid, Told>) {
        let (mut head, mut all) = (Head::default(), BTreeMap::<Uid, Told>::new());
        for line in checked::lines(text) {
            if let Some(uid) = head.note(line.as_ref()) {
                let _ = all.entry(uid).or_default().take(&line.unwrap());
            }
        }
        for (uid, told) in &mut all {
            told.settle(head.dirty.contains(*uid), head.doomed.contains(*uid));
            assert_eq!(told.message.is_some(), head.present.contains(*uid));
            assert_eq!(told.given, head.given.get(uid).cloned());
            assert_eq!(told.doomed.is_some(), head.doomed.contains(*uid));
        }
        all.retain(|_, told| !told.is_nothing());
        (head, all)
    }

    fn encode((head, all): &(Head, BTreeMap<Uid, Told>)) -> Vec<u8> {
        let mut out = head.encode();
        all.iter()
            .for_each(|(uid, told)| told.encode(*uid, &mut out));
        head.encode_end(&mut out);
        out
    }

    #[test]
    fn what_nobody_was_told_of_is_at_the_end() {
        let names = [5, 8, 9].map(|n| format!("g,S=1,W=2,R=3,D=4,U={n}"));
        let none = SystemFlags::NONE;
        let given = names.each_ref().map(|name| Line::Given(name, none, 0));
        let filed = names.each_ref().map(|name| Line::Filed(name, none, 0));
        for (lines, untold, next) in [
            (vec![filed[0]], None, 6),
            (vec![filed[0], given[1], given[2]], Some(8), 10),
            (vec![given[0], filed[1], given[2]], Some(9), 10),
            (vec![given[1], given[2], filed[2]], None, 10),
            (vec![given[1], Line::Next(uid(9))], None, 9),
            (vec![given[1], Line::Gone(uid(8)), given[2]], Some(9), 10),
            (vec![given[0], given[0], filed[0], given[2]], Some(9), 10),
        ] {
            let text = log(&lines);
            for text in [&text, &encode(&read(&text))] {
                let (head, _) = read(text);
                let found = (head.untold(), head.uid_next);
                assert_eq!(found, (untold.map(uid), Some(uid(next))), "{lines:?}");
            }
        }
    }

    #[test]
    fn lines_are_written_and_read() {
        let keyword = Keyword::new("$Junk").unwrap();
        let (validity, guid) = (UidValidity::new(9).unwrap(), Guid([7; 16]));
        let names = [1, 2, 3, 4, 5].map(|n| format!("guid{n},S=1,W=2,R=3,D=4,U={n}"));
        let [one, two, three, four, five] = names.each_ref().map(|name| name.as_str());
        let (seen, none) = (SystemFlags::SEEN, SystemFlags::NONE);
        let stat = Stat {
            inode: 1,
            octets: 2,
            time: -3,
        };
        let text = log(&[
            Line::Version(validity, guid),
            Line::Given(one, seen, 1),
            Line::Filed(one, none, 0),
            Line::Named(1, &keyword),
            Line::Filed(two, seen, 2),
            Line::Filed(three, seen, 0),
            Line::Marked(uid(2), none, 0),
            Line::Clean,
            Line::Marked(uid(1), seen, 2),
            Line::Filed(four, none, 0),
            Line::Uidl(uid(4), "one two"),
            Line::Doomed(three),
            Line::Given(five, seen, 2),
            Line::Together(uid(8), uid(9)),
            Line::Next(uid(20)),
            Line::Seen(7, stat),
        ]);
        let padded = [&text[..], &[0; 50], b"junk\n"].concat();
        for text in [&text, &padded, &encode(&read(&text))] {
            let (head, all) = read(text);
            assert_eq!(head.known, Some((validity, guid)));
            let shown = all.values().filter_map(|told| told.message.as_ref());
            let shown = shown.map(|m| (&*m.name, m.flags, m.letters, m.dirty));
            let expected = [
                (one, seen, 2, true),
                (two, none, 0, false),
                (four, none, 0, false),
            ];
            assert_eq!(shown.collect::<Vec<_>>(), expected);
            let of = |number| &all[&uid(number)];
            let uidl = of(4).message.as_ref().unwrap().uidl.as_deref();
            assert_eq!(uidl, Some("one two"));
            assert_eq!(head.uid_next, Some(uid(20)));
            assert_eq!(of(3).doomed.as_deref(), Some(three));
            assert_eq!(head.keywords, [None, Some(keyword.clone())]);
            assert_eq!(of(5).given, Some((five.into(), seen, 2)));
            assert_eq!((head.given.len(), head.together.len()), (1, 1));
            assert_eq!(head.together, [(uid(8), uid(9))]);
            assert_eq!(head.seen, Some((7, stat)));
            assert!(!head.is_worn());
        }
        let more = [&text[..], &log(&[Line::Clean, Line::Gone(uid(1))])].concat();
        let (head, all) = read(&more);
        assert!(head.doomed.is_empty() && head.present.count() == 2);
        assert!(all.values().all(|told| told.doomed.is_none()));
        let mut bad = text.clone();
        bad[12] ^= 1;
        assert!(read(&bad).0.is_worn());
    }
}
