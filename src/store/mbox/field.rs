//! Header fields in which a file of messages keeps what it knows of them. Clients do not see them, and in a
//! message that is saved they are left out.
//!
//! ```text
//! X-IMAPbase: <UIDVALIDITY> <last UID> <keyword>...   of the first message
//! X-IMAP: the same          of a first message that is none: it only holds this, and is never shown
//! X-UID: <UID>
//! Status: R (seen) O (old)
//! X-Status: A (answered) F (flagged) T (draft) D (deleted)
//! X-Keywords: <keyword>...
//! Content-Length: <octets of the body>
//! Lines: <number>           only behind Content-Length, where mutt writes it
//! ```

use crate::mail::{SystemFlags, UidValidity};

/// Octets of a field that are looked at.
pub(super) const MAX_FIELD: usize = 4096;

/// Which of them a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ContentLength,
    Status,
    XImap,
    XImapBase,
    XKeywords,
    XStatus,
    XUid,
}

const NAMES: [(&str, Field); 7] = [
    ("content-length", Field::ContentLength),
    ("status", Field::Status),
    ("x-imap", Field::XImap),
    ("x-imapbase", Field::XImapBase),
    ("x-keywords", Field::XKeywords),
    ("x-status", Field::XStatus),
    ("x-uid", Field::XUid),
];
/// The kept field that this line begins.
pub(super) fn named(line: &[u8]) -> Option<Field> {
    let name = line.get(..memchr::memchr(b':', line)?)?;
    let is = |(own, _): &&(&str, Field)| name.eq_ignore_ascii_case(own.as_bytes());
    NAMES.iter().find(is).map(|(_, field)| *field)
}

fn is_lines(line: &[u8]) -> bool {
    line.get(..6)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"lines:"))
}

/// What X-IMAPbase says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) uid_validity: UidValidity,
    pub(super) last_uid: u32,
    pub(super) keywords: Vec<Box<str>>,
}

/// A UID as its field has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotedUid {
    pub(super) number: u32,
    /// With ten digits, as only this server writes it.
    pub(super) own: bool,
}

/// What the kept fields of a message say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) uid: Option<NotedUid>,
    pub(super) flags: SystemFlags,
    /// It has a field Status that says so; mutt shows others as new.
    pub(super) old: bool,
    pub(super) keywords: Vec<Box<str>>,
    /// There may be more of them: their field is too long.
    pub(super) cut: bool,
    pub(super) base: Option<Base>,
    /// Keywords stand before the field that names all: Dovecot writes it like that and then reads them as none.
    pub(super) early: bool,
    /// It is none, and holds `base`.
    pub(super) pseudo: bool,
    pub(super) body_octets: Option<u64>,
}

/// Reads the fields of a header line by line.
#[derive(Debug, Default)]
pub(super) struct HeaderReader {
    pub(super) kept: Kept,
    /// The last field is not shown.
    hides: bool,
    after_length: bool,
}

impl HeaderReader {
    /// Takes the next line, or its beginning. True if clients see it.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return !self.hides;
        }
        let after_length = std::mem::take(&mut self.after_length);
        let field = named(line);
        self.hides = field.is_some() || after_length && is_lines(line);
        if let Some(field) = field {
            self.after_length = field == Field::ContentLength;
            self.kept.cut |= field == Field::XKeywords && !line.ends_with(b"\n");
            let value = line.splitn(2, |b| *b == b':').nth(1).unwrap_or_default();
            self.kept
                .take(field, &String::from_utf8_lossy(value.trim_ascii()));
        }
        !self.hides
    }
}

impl Kept {
    fn take(&mut self, field: Field, value: &str) {
        match field {
            Field::ContentLength => self.body_octets = value.parse().ok(),
            Field::Status => {
                self.old |= value.contains('O');
                self.set(value, &[('R', SystemFlags::SEEN)]);
            }
            Field::XStatus => self.set(value, &X_STATUS),
            Field::XKeywords => self.keywords.extend(words(value)),
            Field::XUid => {
                let own = value.len() == 10;
                let plain = value.bytes().all(|b| b.is_ascii_digit());
                let number = value.parse().ok().filter(|n| *n != 0 && plain);
                self.uid = number.map(|number| NotedUid { number, own });
            }
            Field::XImap | Field::XImapBase => {
                self.early |= self.base.is_none() && !self.keywords.is_empty();
                self.base = self.base.take().or_else(|| base(value));
                self.pseudo |= field == Field::XImap;
            }
        }
    }

    fn set(&mut self, value: &str, letters: &[(char, SystemFlags)]) {
        for (letter, flag) in letters {
            if value.contains(*letter) {
                self.flags = self.flags.with(*flag);
            }
        }
    }
}

const X_STATUS: [(char, SystemFlags); 4] = [
    ('A', SystemFlags::ANSWERED),
    ('F', SystemFlags::FLAGGED),
    ('T', SystemFlags::DRAFT),
    ('D', SystemFlags::DELETED),
];

fn words(value: &str) -> impl Iterator<Item = Box<str>> {
    value.split_ascii_whitespace().map(Into::into)
}

fn base(value: &str) -> Option<Base> {
    let mut words = words(value);
    Some(Base {
        uid_validity: UidValidity::new(words.next()?.parse().ok()?)?,
        last_uid: words.next()?.parse().ok()?,
        keywords: words.collect(),
    })
}

/// Room for keywords that a message gets later.
const PADDING: usize = 50;

/// The kept fields as this server writes them, with LF, behind the first line of a message: so that flags, a
/// few keywords and UIDs can change in their places, and of a message that is written by half the UID shows
/// whose it is, and the length that it is not whole.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) base: Option<&'a Base>,
    pub(super) uid: u32,
    pub(super) flags: SystemFlags,
    pub(super) old: bool,
    pub(super) keywords: &'a [&'a str],
    /// `None`: it has none.
    pub(super) body_octets: Option<u64>,
}

/// The value of X-IMAPbase, with room for more keywords.
pub(super) fn base_value(base: &Base) -> String {
    let mut value = format!("{:010} {:010}", base.uid_validity.number(), base.last_uid);
    let mut keywords = base.keywords.iter();
    keywords.by_ref().for_each(|keyword| {
        value.push(' ');
        value.push_str(keyword);
    });
    padded(value)
}

/// Filled up with blanks to a multiple of the padding.
fn padded(mut value: String) -> String {
    let width = (value.len() + 1).next_multiple_of(PADDING);
    value.extend(std::iter::repeat_n(' ', width - value.len()));
    value
}

impl Block<'_> {
    pub(super) fn encode(&self) -> String {
        let letter = |(letter, flag): &(char, SystemFlags)| match self.flags.contains(*flag) {
            true => *letter,
            false => ' ',
        };
        let seen = letter(&('R', SystemFlags::SEEN));
        let old = if self.old { 'O' } else { ' ' };
        let x_status: String = X_STATUS.iter().map(letter).collect();
        let keywords = padded(self.keywords.join(" "));
        // In this order, or Dovecot takes no UID of the message.
        let base = self
            .base
            .map(|base| format!("X-IMAPbase: {}\n", base_value(base)));
        let mut out = base.unwrap_or_default();
        out.push_str(&format!("X-UID: {:010}\n", self.uid));
        if let Some(octets) = self.body_octets {
            out.push_str(&format!("Content-Length: {octets}\n"));
        }
        out.push_str(&format!(
            "Status: {seen}{old}\nX-Status: {x_status}\nX-Keywords: {keywords}\n"
        ));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> (Kept, String) {
        let mut reader = HeaderReader::default();
        let shown = |line: &&str| reader.line(line.as_bytes());
        let shown: Vec<&str> = header.split_inclusive('\n').filter(shown).collect();
        (reader.kept, shown.concat())
    }

    #[test]
    fn fields_of_other_programs_are_read() {
        let (kept, shown) = read(
            "Subject: x\nX-IMAPbase: 1795665205 0000000006 $Foo bar\nX-UID: 2      \nstatus: RO\n\
             X-Status: FA\nX-Keywords: $Foo   \n  folded\nLines: 9\nContent-Length: 12\nLines: 3\nTo: y\n",
        );
        assert_eq!(shown, "Subject: x\nLines: 9\nTo: y\n");
        let base = kept.base.as_ref().unwrap();
        assert_eq!(
            (base.uid_validity.number(), base.last_uid),
            (1_795_665_205, 6)
        );
        assert_eq!(base.keywords, ["$Foo".into(), "bar".into()]);
        let uid = NotedUid {
            number: 2,
            own: false,
        };
        assert_eq!((kept.uid, kept.body_octets), (Some(uid), Some(12)));
        let flags = SystemFlags::SEEN.with(SystemFlags::FLAGGED);
        assert_eq!(kept.flags, flags.with(SystemFlags::ANSWERED));
        assert!(kept.old && !kept.pseudo && kept.keywords == ["$Foo".into()]);
        assert!(!kept.early);
        assert!(read("X-Keywords: a\nX-IMAPbase: 1 2 a\n").0.early);
        let (kept, _) = read("X-IMAP: 1 2\nX-UID: 0\nStatus:\n");
        assert!(kept.pseudo && kept.uid.is_none() && !kept.old);
        for bad in [
            "X-UID: -1",
            "X-UID: +1",
            "X-UID: 1 2",
            "X-IMAPbase: 0 1",
            "X-IMAPbase: x",
        ] {
            assert_eq!(read(bad).0, Kept::default(), "{bad}");
        }
        assert_eq!(
            read("Statusx: R\nX-UID : 1\nx").1,
            "Statusx: R\nX-UID : 1\nx"
        );
    }

    #[test]
    fn what_is_written_is_read_and_changes_in_place() {
        let base = Base {
            uid_validity: UidValidity::new(7).unwrap(),
            last_uid: 9,
            keywords: vec!["a".into()],
        };
        let all = SystemFlags::SEEN.with(SystemFlags::DELETED);
        let mut lengths = Vec::new();
        for (uid, flags, keywords) in [(1, SystemFlags::NONE, vec![]), (99, all, vec!["a", "b"])] {
            let block = Block {
                base: Some(&base),
                uid,
                flags,
                old: true,
                keywords: &keywords,
                body_octets: Some(5),
            };
            let text = block.encode();
            let (kept, shown) = read(&text);
            assert_eq!(shown, "");
            let noted = NotedUid {
                number: uid,
                own: true,
            };
            assert_eq!((kept.uid, kept.flags, kept.old), (Some(noted), flags, true));
            assert_eq!(kept.keywords.len(), keywords.len());
            assert_eq!(
                (kept.base.as_ref(), kept.body_octets),
                (Some(&base), Some(5))
            );
            lengths.push(text.len());
        }
        assert_eq!(lengths[0], lengths[1]);
    }
}
