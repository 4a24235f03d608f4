//! `dovecot-uidlist` line by line, however long it is.

use super::uidlist::{self, Entry, FILE, Header, put_line};
use crate::mail::Uid;
use crate::store::{Error, Lines, MailboxState};
use crate::sys::regular;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Octets of a line; a longer one is damaged.
const MAX_LINE: usize = 4096;
/// Octets that are read at a time.
const PIECE: usize = 16 * 1024;

/// The file as it is when it is opened: what is put behind its lines later is not seen.
pub(super) struct Listing {
    file: File,
    length: u64,
    /// The first line as it stands.
    first: Vec<u8>,
    pub(super) header: Header,
}

/// Goes through the lines. What is broken is left out and noted.
pub(super) struct Entries<'l> {
    listing: &'l Listing,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    next: usize,
    /// Where in the file reading goes on.
    at: u64,
    last: Option<Uid>,
    pub(super) damaged: bool,
    pub(super) count: u32,
    /// Of the entry that was handed out.
    line: Range<usize>,
}

impl Listing {
    /// Opens that of the mailbox in this directory; `None` if it is not there.
    pub(super) fn open(directory: &Path) -> Result<Option<Listing>, Error> {
        let file = match regular::open(&directory.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = file.metadata()?.len();
        let octets = usize::try_from(length).unwrap_or(MAX_LINE).min(MAX_LINE);
        let mut first = vec![0; octets];
        file.read_exact_at(&mut first, 0)?;
        let end = memchr::memchr(b'\n', &first).map_or(0, |at| at + 1);
        // Without its end what is there of it may be read.
        let header = match end {
            0 => first.as_slice(),
            end => first.get(..end).unwrap_or_default(),
        };
        let header = match header.is_empty() {
            true => Header::default(),
            false => Header::parse(&String::from_utf8_lossy(header)),
        };
        let whole = end > 0 || length == octets as u64;
        first.truncate(if end > 0 { end } else { octets });
        Ok(Some(Listing {
            file,
            length,
            first,
            header: Header {
                damaged: header.damaged || !whole,
                ..header
            },
        }))
    }

    /// From the first one on.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries {
            listing: self,
            buffer: Vec::new(),
            next: 0,
            at: self.first.len() as u64,
            last: None,
            damaged: self.header.damaged,
            count: 0,
            line: 0..0,
        }
    }

    /// Writes the whole file, of version 3, with these unique-ids of POP3, ascending.
    pub(super) fn write_uidls(&self, uidls: &[(Uid, &str)], out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.first)?;
        let mut entries = self.entries();
        while let Some(entry) = entries.next()? {
            let at = uidls.binary_search_by_key(&entry.uid, |(uid, _)| *uid);
            let Some((_, uidl)) = at.ok().and_then(|at| uidls.get(at)) else {
                put_line(entry.uid, entry.extensions, entry.base, out)?;
                continue;
            };
            let words = entry.extensions.split(' ');
            let others = words.filter(|word| !word.is_empty() && !word.starts_with('P'));
            let mut words: Vec<&str> = others.collect();
            let named = format!("P{uidl}");
            words.push(&named);
            put_line(entry.uid, &words.join(" "), entry.base, out)?;
        }
        Ok(())
    }
}

/// Writes a whole file with these lines; those that `old` has keep their extension fields.
pub(super) fn write(
    old: Option<&Listing>,
    state: &MailboxState,
    lines: &mut dyn Lines,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let other_keys = old.map_or(&[][..], |old| &old.header.other_keys);
    let header = Header::encode(state.uid_validity, state.uid_next, state.guid, other_keys);
    out.write_all(header.as_bytes())?;
    let mut entries = old.map(Listing::entries);
    while let Some((uid, base)) = lines.line()? {
        let known = match &mut entries {
            Some(entries) => entries.reach(uid)?,
            None => None,
        };
        let own = known.filter(|entry| entry.uid == uid && entry.base == base);
        put_line(uid, own.map_or("", |entry| entry.extensions), base, out)?;
    }
    Ok(())
}

impl Entries<'_> {
    /// Where the next line is in the buffer, without its end; `None` if there is no whole one any more.
    fn advance(&mut self) -> io::Result<Option<Range<usize>>> {
        let mut looked = 0;
        loop {
            let rest = self.buffer.get(self.next + looked..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let line = self.next..self.next + looked + at;
                self.next = line.end + 1;
                return Ok(Some(line));
            }
            looked += rest.len();
            if self.at == self.listing.length {
                self.damaged |= looked > 0;
                return Ok(None);
            }
            self.buffer.drain(..self.next);
            self.next = 0;
            if self.buffer.len() > MAX_LINE {
                // What stands before the next end of a line is no line.
                self.damaged = true;
                (self.buffer, looked) = (vec![b'?'; 1], 1);
            }
            let left = usize::try_from(self.listing.length - self.at).unwrap_or(usize::MAX);
            let had = self.buffer.len();
            self.buffer.resize(had + left.min(PIECE), 0);
            let room = self.buffer.get_mut(had..).unwrap_or_default();
            self.listing.file.read_exact_at(room, self.at)?;
            self.at += room.len() as u64;
        }
    }

    /// The next line that makes sense.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        while let Some(line) = self.advance()? {
            let text = self.buffer.get(line.clone()).unwrap_or_default();
            let uid = self.parse(text).map(|entry| entry.uid);
            match uid.filter(|uid| self.last.is_none_or(|last| last < *uid)) {
                Some(uid) => {
                    (self.last, self.line) = (Some(uid), line);
                    self.count += 1;
                    return Ok(self.current());
                }
                None => self.damaged = true,
            }
        }
        self.line = 0..0;
        Ok(None)
    }

    fn parse<'t>(&self, line: &'t [u8]) -> Option<Entry<'t>> {
        let short = line.len() <= MAX_LINE;
        let text = std::str::from_utf8(line).ok().filter(|_| short)?;
        uidlist::entry(text, self.listing.header.courier)
    }

    /// The one that was handed out last; `None` before the first and after the last.
    pub(super) fn current(&self) -> Option<Entry<'_>> {
        self.parse(self.buffer.get(self.line.clone())?)
    }

    /// The UID of the last line that made sense.
    pub(super) fn last(&self) -> Option<Uid> {
        self.last
    }

    /// The first from here on that is not below this UID; those before it are gone through.
    fn reach(&mut self, uid: Uid) -> io::Result<Option<Entry<'_>>> {
        while self.last.is_none_or(|last| last < uid) {
            if self.next()?.is_none() {
                return Ok(None);
            }
        }
        Ok(self.current())
    }
}

impl Lines for Entries<'_> {
    fn line(&mut self) -> Result<Option<(Uid, &str)>, Error> {
        Ok(self.next()?.map(|entry| (entry.uid, entry.base)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::uidlist::UidList;
    use super::*;

    fn listing(text: &[u8]) -> (tempfile::TempDir, Listing) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), text).unwrap();
        let listing = Listing::open(directory.path()).unwrap().unwrap();
        (directory, listing)
    }

    #[test]
    fn lines_are_those_of_the_whole_text() {
        let long = format!("3 V1 N900\n1 :a\n2 P{} :b\n3 :c\n", "x".repeat(5000));
        let huge = format!("3 V1 N900\n1 :a\n2 P{} :b\n3 :c\n", "x".repeat(40_000));
        let many: String = (1..3000).map(|n| format!("{n} W{n} :m{n}\n")).collect();
        let many = format!("3 V7 N9 G3085f01b7f11094c501100008c4a11c1 Pv\n{many}");
        for text in [
            "",
            "nonsense\n1 :a\n",
            "3 V0 N5\n1 :a\n",
            "3 V1 N5\n2 :a\n1 :b\n3 :c\n",
            "3 V1 N5\n1 :a\n2 :torn",
            "3 V1 N5",
            "3 V1 N5\n1 :../../etc\n2 :x\n",
            "1 9 12\n3 a\n11 b:2,S\n",
            "3 V1 N2\n7 :a\n",
            &many,
            &many[..many.len() - 3],
        ] {
            let (_directory, listing) = listing(text.as_bytes());
            let whole = UidList::parse(text);
            let mut entries = listing.entries();
            for expected in &whole.entries {
                assert_eq!(
                    entries.next().unwrap().as_ref(),
                    Some(expected),
                    "{text:.40}"
                );
            }
            assert_eq!(entries.next().unwrap(), None);
            assert_eq!(entries.damaged, whole.damaged, "{text:.40}");
            assert_eq!(entries.count as usize, whole.entries.len());
            let (a, b) = (&listing.header, &whole.header);
            assert_eq!(
                (a.uid_validity, a.guid, &a.other_keys),
                (b.uid_validity, b.guid, &b.other_keys)
            );
        }
        for text in [
            long.as_bytes(),
            huge.as_bytes(),
            b"3 V1 N900\n1 :a\n2 :b\xff\n3 :c\n",
        ] {
            let (_directory, listing) = listing(text);
            let mut entries = listing.entries();
            let mut found = Vec::new();
            while let Some(entry) = entries.next().unwrap() {
                found.push(entry.uid.number());
            }
            assert_eq!((found, entries.damaged), (vec![1, 3], true));
        }
        let (_directory, endless) = listing(&vec![b'x'; 100_000]);
        let mut entries = endless.entries();
        assert!(entries.next().unwrap().is_none() && entries.damaged);
    }
}
