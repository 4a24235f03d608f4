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
use crate::mail::{Guid, Keyword, SystemFlags, Uid, UidValidity};
use crate::store::maildir::name;
use crate::store::side::{base, checked};
use std::borrow::Cow;
use std::collections::BTreeMap;

const VERSION: &str = "1";
/// Letters there are for keywords.
pub(super) const MAX_LETTERS: usize = 26;
/// Lines that say nothing any more are no reason to write a log anew until there are so many.
const MIN_DEAD: usize = 200;

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
        let text = match *self {
            Line::Version(validity, guid) => format!("V {VERSION} {validity} {guid}"),
            Line::Given(name, flags, letters) => format!("A {} {name}", info(flags, letters)),
            Line::Filed(name, flags, letters) => format!("F {} {name}", info(flags, letters)),
            Line::Marked(uid, flags, letters) => format!("M {uid} {}", info(flags, letters)),
            Line::Doomed(name) => format!("D {name}"),
            Line::Clean => "C .".to_owned(),
            Line::Gone(uid) => format!("X {uid}"),
            Line::Uidl(uid, uidl) => format!("U {uid} {uidl}"),
            Line::Next(uid) => format!("N {uid}"),
            Line::Named(number, keyword) => format!("K {number} {}", keyword.as_str()),
            Line::Together(first, last) => format!("T {first} {last}"),
            Line::Ended(first, last) => format!("E {first} {last}"),
            Line::Seen(token, stat) => {
                let Stat {
                    inode,
                    octets,
                    time,
                } = stat;
                format!("S {token} {inode} {octets} {time}")
            }
        };
        checked::put(&text, out);
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

/// All that a log tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// `None`: the first line is not there or not readable.
    pub(super) known: Option<(UidValidity, Guid)>,
    pub(super) messages: BTreeMap<Uid, Message>,
    /// Messages that may not be durable: their names, flags and letters.
    pub(super) given: BTreeMap<Uid, (Box<str>, SystemFlags, u32)>,
    /// Names of expunged messages that the file still has.
    pub(super) doomed: BTreeMap<Uid, Box<str>>,
    /// No UID from here on was given; `None`: none was.
    pub(super) uid_next: Option<Uid>,
    pub(super) keywords: Vec<Option<Keyword>>,
    /// Messages that were to come together.
    pub(super) together: Vec<(Uid, Uid)>,
    pub(super) seen: Option<(i64, Stat)>,
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
            contents.lines += 1;
            contents.mended += usize::from(matches!(line, Some(Cow::Owned(_))));
            if line.and_then(|line| contents.take(&line)).is_none() {
                contents.damaged += 1;
            }
        }
        contents
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (letter, rest) = line.split_once(' ')?;
        let uid = |text: &str| text.parse().ok().and_then(Uid::new);
        match letter {
            "V" => {
                let mut words = rest.strip_prefix(VERSION)?.trim_start().split(' ');
                let validity = UidValidity::new(words.next()?.parse().ok()?)?;
                self.known = Some((validity, Guid::parse(words.next()?.as_bytes())?));
            }
            "A" => {
                let (info, name) = rest.split_once(' ')?;
                let uid = uid_of(name)?;
                let (_, flags, letters) = name::split(info);
                self.given.insert(uid, (name.into(), flags, letters));
                self.give(uid.next()?);
            }
            "F" => {
                let (info, name) = rest.split_once(' ')?;
                let uid = uid_of(name)?;
                let (_, flags, letters) = name::split(info);
                self.given.remove(&uid);
                let before = self.messages.remove(&uid);
                let message = Message {
                    name: name.into(),
                    flags,
                    letters,
                    uidl: before.and_then(|before| before.uidl),
                    dirty: false,
                };
                self.messages.insert(uid, message);
                self.give(uid.next()?);
            }
            "M" => {
                let (number, info) = rest.split_once(' ')?;
                if let Some(message) = self.messages.get_mut(&uid(number)?) {
                    (_, message.flags, message.letters) = name::split(info);
                    message.dirty = true;
                }
            }
            "D" => {
                let uid = uid_of(rest)?;
                self.given.remove(&uid);
                self.messages.remove(&uid);
                self.doomed.insert(uid, rest.into());
                self.give(uid.next()?);
            }
            "C" => {
                self.doomed.clear();
                self.messages.values_mut().for_each(|m| m.dirty = false);
            }
            "X" => {
                let uid = uid(rest)?;
                self.given.remove(&uid);
                self.messages.remove(&uid);
                self.doomed.remove(&uid);
            }
            "U" => {
                let (number, uidl) = rest.split_once(' ')?;
                if let Some(message) = self.messages.get_mut(&uid(number)?) {
                    message.uidl = Some(uidl.into());
                }
            }
            "N" => self.give(uid(rest)?),
            "K" => {
                let (number, name) = rest.split_once(' ')?;
                let number: usize = number.parse().ok().filter(|n| *n < MAX_LETTERS)?;
                let length = self.keywords.len().max(number + 1);
                self.keywords.resize(length, None);
                *self.keywords.get_mut(number)? = Keyword::new(name);
            }
            "T" | "E" => {
                let (first, last) = rest.split_once(' ')?;
                let ends = (uid(first)?, uid(last)?);
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
        Some(())
    }

    fn give(&mut self, next: Uid) {
        self.uid_next = self.uid_next.max(Some(next));
    }

    /// True if so much of it says nothing any more, or cannot be read, that it should be written anew.
    pub(super) fn is_worn(&self) -> bool {
        let dead = self.lines.saturating_sub(self.messages.len());
        self.known.is_none()
            || self.damaged + self.mended > 0
            || dead > self.messages.len() + MIN_DEAD
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
        for (first, last) in &self.together {
            Line::Together(*first, *last).put(&mut out);
        }
        for (uid, message) in &self.messages {
            let (flags, letters) = (message.flags, message.letters);
            Line::Filed(&message.name, flags, letters).put(&mut out);
            if message.dirty {
                Line::Marked(*uid, flags, letters).put(&mut out);
            }
            if let Some(uidl) = &message.uidl {
                Line::Uidl(*uid, uidl).put(&mut out);
            }
        }
        for (name, flags, letters) in self.given.values() {
            Line::Given(name, *flags, *letters).put(&mut out);
        }
        let doomed = self.doomed.values();
        doomed.for_each(|name| Line::Doomed(name).put(&mut out));
        if let Some((token, stat)) = self.seen {
            Line::Seen(token, stat).put(&mut out);
        }
        out
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
        for text in [&text, &padded, &Contents::parse(&text).encode()] {
            let contents = Contents::parse(text);
            assert_eq!(contents.known, Some((validity, guid)));
            let shown = contents.messages.values();
            let shown = shown.map(|m| (&*m.name, m.flags, m.letters, m.dirty));
            let expected = [
                (one, seen, 2, true),
                (two, none, 0, false),
                (four, none, 0, false),
            ];
            assert_eq!(shown.collect::<Vec<_>>(), expected);
            assert_eq!(contents.messages[&uid(4)].uidl.as_deref(), Some("one two"));
            assert_eq!(contents.uid_next, Some(uid(20)));
            assert_eq!(contents.doomed, BTreeMap::from([(uid(3), three.into())]));
            assert_eq!(contents.keywords, [None, Some(keyword.clone())]);
            assert_eq!(contents.given[&uid(5)], (five.into(), seen, 2));
            assert_eq!((contents.given.len(), contents.together.len()), (1, 1));
            assert_eq!(contents.together, [(uid(8), uid(9))]);
            assert_eq!(contents.seen, Some((7, stat)));
            assert!(!contents.is_worn());
        }
        let more = [&text[..], &log(&[Line::Clean, Line::Gone(uid(1))])].concat();
        let contents = Contents::parse(&more);
        assert!(contents.doomed.is_empty() && contents.messages.len() == 2);
        let mut bad = text.clone();
        bad[12] ^= 1;
        assert!(Contents::parse(&bad).is_worn());
    }
}
