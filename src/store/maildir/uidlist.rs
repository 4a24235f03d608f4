//! `dovecot-uidlist`: which file has which UID.

use crate::mail::{Guid, Uid, UidValidity};
use crate::store::side::disk;
use crate::store::{Error, Lines, MailboxState};
use crate::sys::regular;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const FILE: &str = "dovecot-uidlist";

/// The first line. Unknown keys are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub(crate) uid_validity: Option<UidValidity>,
    pub(crate) uid_next: Option<Uid>,
    pub(crate) guid: Option<Guid>,
    /// Keys other than V, N and G, as they stand.
    pub(crate) other_keys: Vec<String>,
    /// The file is Courier's, whose lines are others.
    pub(crate) courier: bool,
    /// Some of it could not be read.
    pub(crate) damaged: bool,
}

/// A whole side file. Lines keep their extension fields.
#[derive(Debug, Default)]
pub(crate) struct UidList<'t> {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry<'t>>,
    /// Some of it could not be read.
    pub(crate) damaged: bool,
}

/// A line; its text is that of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'t> {
    pub(crate) uid: Uid,
    /// `S123 W124 Pxyz`, as it stands; may be empty.
    pub(crate) extensions: &'t str,
    pub(crate) base: &'t str,
}

impl Header {
    /// Reads version 3 (Dovecot) and version 1 (Courier); what is broken is left out and noted.
    pub(crate) fn parse(line: &str) -> Header {
        let mut header = Header::default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("3") => words.for_each(|word| header.word(word)),
            Some("1") => {
                header.courier = true;
                let mut number = || words.next().and_then(|w| w.parse().ok());
                header.uid_validity = number().and_then(UidValidity::new);
                header.uid_next = number().and_then(Uid::new);
            }
            _ => header.damaged = true,
        }
        header.damaged |= header.uid_validity.is_none() || header.uid_next.is_none();
        header
    }

    fn word(&mut self, word: &str) {
        let mut chars = word.chars();
        let (key, value) = (chars.next(), chars.as_str());
        match key {
            Some('V') => self.uid_validity = value.parse().ok().and_then(UidValidity::new),
            Some('N') => self.uid_next = value.parse().ok().and_then(Uid::new),
            Some('G') => self.guid = Guid::parse(value.as_bytes()),
            _ => self.other_keys.push(word.to_owned()),
        }
    }

    /// A UID in use is not given again.
    pub(super) fn used(&mut self, last: Uid) {
        if self.uid_next.is_some_and(|next| last >= next) {
            self.uid_next = last.next();
        }
    }

    /// The line of version 3.
    pub(crate) fn encode(
        uid_validity: UidValidity,
        uid_next: Uid,
        guid: Guid,
        other: &[String],
    ) -> String {
        let mut line = format!("3 V{uid_validity} N{uid_next} G{guid}");
        other.iter().for_each(|key| {
            line.push(' ');
            line.push_str(key);
        });
        line.push('\n');
        line
    }
}

impl<'t> UidList<'t> {
    /// Reads a file; see [`Header::parse`].
    pub(crate) fn parse(text: &'t str) -> UidList<'t> {
        let mut lines = text.split_inclusive('\n');
        let mut list = UidList::default();
        let Some(header) = lines.next() else {
            return list;
        };
        list.header = Header::parse(header);
        list.damaged = list.header.damaged;
        for line in lines {
            // A torn last line has no end.
            let entry = line
                .strip_suffix('\n')
                .and_then(|l| entry(l, list.header.courier));
            match entry {
                Some(entry) if list.entries.last().is_none_or(|last| last.uid < entry.uid) => {
                    list.entries.push(entry)
                }
                _ => list.damaged = true,
            }
        }
        if let Some(last) = list.entries.last() {
            list.header.used(last.uid);
        }
        list
    }
}

impl Entry<'_> {
    /// Words that say what the message is called elsewhere, put there; `None` if there are none.
    pub(super) fn alias<'w>(&self, words: &'w mut String) -> Option<&'w str> {
        words.clear();
        for word in self
            .extensions
            .split(' ')
            .filter(|w| w.starts_with(['P', 'G']))
        {
            words.push_str(if words.is_empty() { "" } else { " " });
            words.push_str(word);
        }
        (!words.is_empty()).then_some(words)
    }
}

/// `<uid> [X<value> ...] :<base>`; version 1: `<uid> <base>`.
pub(super) fn entry(line: &str, courier: bool) -> Option<Entry<'_>> {
    let (uid, rest) = line.split_once(' ')?;
    let uid = Uid::new(uid.parse().ok()?)?;
    let (extensions, name) = if courier {
        ("", rest)
    } else if let Some(name) = rest.strip_prefix(':') {
        ("", name)
    } else {
        rest.split_once(" :")?
    };
    // Flags are no part of the name here; a reader must not trust the writer with that.
    let base = name
        .get(..super::name::base_octets(name.as_bytes()))
        .filter(|base| !base.is_empty() && !base.contains('/'))?;
    Some(Entry {
        uid,
        extensions,
        base,
    })
}

/// Octets of lines that are written or read at a time.
const PIECE: usize = 16 * 1024;

/// Octets at either end of the file within which its first and its last line end.
const LINE_OCTETS: u64 = 4096;

/// What the two ends of the file tell.
struct Ends {
    length: u64,
    /// No UID from here on was given away, as far as the file says.
    next: Uid,
    /// That of the last line.
    last: Option<Uid>,
}

/// `None` if the file is not what this server or Dovecot wrote for that mailbox.
fn ends(file: &File, uid_validity: UidValidity) -> std::io::Result<Option<Ends>> {
    let length = file.metadata()?.len();
    let part = |start: u64| {
        let octets = usize::try_from((length - start).min(LINE_OCTETS)).unwrap_or(0);
        let mut bytes = vec![0; octets];
        file.read_exact_at(&mut bytes, start).map(|()| bytes)
    };
    let (head, tail) = (part(0)?, part(length.saturating_sub(LINE_OCTETS))?);
    Ok(told(&head, &tail, length, uid_validity))
}

fn told(head: &[u8], tail: &[u8], length: u64, uid_validity: UidValidity) -> Option<Ends> {
    let end = memchr::memchr(b'\n', head)? + 1;
    let header = Header::parse(std::str::from_utf8(head.get(..end)?).ok()?);
    let own = head.starts_with(b"3 ") && header.uid_validity == Some(uid_validity);
    let next = header.uid_next.filter(|_| own && !header.damaged)?;
    let mut last = None;
    if length > u64::try_from(end).ok()? {
        let line = tail.strip_suffix(b"\n")?;
        let start = memchr::memrchr(b'\n', line).map_or(0, |at| at + 1);
        last = Some(entry(std::str::from_utf8(line.get(start..)?).ok()?, false)?.uid);
    }
    let above = last.map_or(Some(next), Uid::next)?;
    Some(Ends {
        length,
        next: next.max(above),
        last,
    })
}

/// Appends lines, durably. True if the file then says of every UID below `state.uid_next` that it
/// was given. The caller holds the lock.
pub(super) fn append(
    file: &Path,
    state: &MailboxState,
    lines: &mut dyn Lines,
) -> Result<bool, Error> {
    let corrupt = Error::Corrupt { what: FILE };
    let file = match regular::open_with(file, OpenOptions::new().read(true).append(true)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(corrupt),
        other => other?,
    };
    let Some(ends) = ends(&file, state.uid_validity)? else {
        return Err(corrupt);
    };
    let mut last = ends.last;
    if let Err(error) = put_lines(&file, &mut last, lines) {
        if file.metadata()?.len() != ends.length {
            // Half a line would spoil the one that comes behind it.
            disk::set_length(&file, ends.length)?;
        }
        return Err(error);
    }
    disk::sync_data(&file)?;
    let above = last.and_then(Uid::next);
    Ok(above.map_or(ends.next, |above| above.max(ends.next)) >= state.uid_next)
}

/// Writes lines behind that of `last`. Errors: `Corrupt` if they are not above it.
fn put_lines(file: &File, last: &mut Option<Uid>, lines: &mut dyn Lines) -> Result<(), Error> {
    let mut out = Vec::new();
    while let Some((uid, base)) = lines.line()? {
        if Some(uid) <= *last {
            return Err(Error::Corrupt { what: FILE });
        }
        *last = Some(uid);
        put_line(uid, "", base, &mut out)?;
        if out.len() >= PIECE {
            disk::Writer(file).write_all(&out)?;
            out.clear();
        }
    }
    Ok(disk::Writer(file).write_all(&out)?)
}

/// Writes the line of one message.
pub(crate) fn put_line(
    uid: Uid,
    extensions: &str,
    base: &str,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let space = if extensions.is_empty() { "" } else { " " };
    writeln!(out, "{uid} {extensions}{space}:{base}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_files_are_read() {
        let list = UidList::parse(
            "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1 Pv\n25006 :127.M1.h,W=28\n25017 W2481 S2400 :128.M2.h:2,S\n",
        );
        assert!(!list.damaged);
        assert_eq!(
            list.header.uid_validity.map(|v| v.number()),
            Some(1275660208)
        );
        assert_eq!(list.header.uid_next.map(|v| v.number()), Some(25022));
        assert_eq!(
            list.header.guid.unwrap().to_string(),
            "3085f01b7f11094c501100008c4a11c1"
        );
        assert_eq!(list.header.other_keys, ["Pv"]);
        assert_eq!(list.entries[1].extensions, "W2481 S2400");
        let courier = UidList::parse("1 9 12\n3 a\n11 b:2,S\n");
        assert_eq!((courier.damaged, courier.entries.len()), (false, 2));
    }

    #[test]
    fn damage_is_noticed_and_the_rest_kept() {
        for (text, entries) in [
            ("", 0),
            ("nonsense\n1 :a\n", 1),
            ("3 V0 N5\n1 :a\n", 1),
            ("3 V1 N5\n2 :a\n1 :b\n3 :c\n", 2),
            ("3 V1 N5\n1 :a\n2 :torn", 1),
            ("3 V1 N5\n1 :../../etc\n2 :x\n", 1),
        ] {
            let list = UidList::parse(text);
            assert_eq!(list.entries.len(), entries, "{text:?}");
            assert!(list.damaged || text.is_empty());
        }
        let list = UidList::parse("3 V1 N2\n7 :a\n");
        assert_eq!(
            list.header.uid_next.map(|v| v.number()),
            Some(8),
            "a UID in use is not given again"
        );
    }
}
