//! What is in the directories of a mailbox, and what its side files say.

use super::directory::Unsynced;
use super::filing::file_name;
use super::store::Maildir;
use super::uidlist::{self, Entry, UidList};
use super::{keywords, scan};
use crate::mail::{Keyword, MailboxName};
use crate::store::side::uid_validity::{self, random_guid};
use crate::store::side::{disk, regular};
use crate::store::{BlobId, Error, Found, MailboxState, Place, Scanned, Stamp};
use crate::sys::clock::file_time;
use rustix::fs::AtFlags;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// What letters mean that nobody has named yet is asked so often, with so long a pause between.
const LETTER_WAITS: u32 = 10;
const LETTER_WAIT: Duration = Duration::from_millis(20);
/// Nanoseconds since the last change within which a letter's name may be on its way.
const FRESH: i64 = 1_000_000_000;

impl Maildir {
    pub(super) fn read_uidlist(path: &Path) -> Result<Option<String>, Error> {
        match regular::read(&path.join(uidlist::FILE)) {
            Ok(text) => Ok(Some(String::from_utf8(text).unwrap_or_else(|error| {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn scan_once(
        &mut self,
        name: &MailboxName,
        list: &UidList<'_>,
    ) -> Result<Vec<Found>, Error> {
        let directory = self.directory(name)?;
        let mut found = Vec::new();
        let listed = list.by_base();
        let mut others = 0;
        for place in [Place::New, Place::Cur] {
            let part = directory.of(place).as_fd();
            others += scan::collect(part, place, list, &listed, &mut found)?;
        }
        drop(listed);
        let known = match others {
            0 => self.others.remove(name),
            some => self.others.insert(name.clone(), some),
        };
        if known.unwrap_or(0) != others {
            log::warn!(
                "{}: {others} FIFOs, sockets or devices where messages should be: they are none",
                self.path(name)?.display()
            );
        }
        let (ordered, twins) = scan::order(found);
        for twin in twins {
            let file = ordered.iter().find(|f| f.blob.name == twin.name);
            if let Some(file) = file {
                self.remove_twin(name, &twin, &file.blob)?;
            }
        }
        Ok(ordered)
    }

    pub(super) fn scanned(
        &mut self,
        name: &MailboxName,
        path: &Path,
        list: Option<UidList<'_>>,
        found: Vec<Found>,
        stamp: Stamp,
    ) -> Result<Scanned, Error> {
        let missing = list.is_none();
        let list = list.unwrap_or_default();
        let keywords = self.named_keywords(name, path, &found, &stamp);
        let live = found.iter().filter(|f| f.listed).count();
        let state = MailboxState {
            uid_validity: list
                .uid_validity
                .map_or_else(|| uid_validity::next(&self.root), Ok)?,
            uid_next: scan::uid_next(&list, &found),
            guid: list.guid.map_or_else(random_guid, Ok)?,
            keywords,
        };
        let rewrite = missing
            || list.damaged
            || list.guid.is_none()
            || (list.entries.len() - live) * 4 > list.entries.len() + 100;
        let aliases = list.entries.iter().filter_map(Entry::alias).collect();
        Ok(Scanned {
            state,
            found,
            stamp,
            header_known: list.uid_validity.is_some(),
            rewrite,
            aliases,
        })
    }

    /// A move from `new` to `cur` that a power cut left half done: the file has both names.
    fn remove_twin(
        &mut self,
        name: &MailboxName,
        twin: &BlobId,
        kept: &BlobId,
    ) -> Result<(), Error> {
        let directory = self.directory(name)?;
        let inode = |blob: &BlobId| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::statat(directory.of(blob.place), file_name(blob), flags).map(|s| s.st_ino)
        };
        let (Ok(a), Ok(b)) = (inode(twin), inode(kept)) else {
            // Seen twice because it was moved while the directories were read.
            return Ok(());
        };
        if a == b && twin.place == Place::New && kept.place == Place::Cur {
            disk::unlink(&directory.new, &twin.name).map_err(io::Error::from)?;
            directory.change(Place::New, Unsynced::Went);
        }
        Ok(())
    }

    /// What the letters of keywords mean. Dovecot renames a file first and says a moment later what a
    /// new letter in its name means: letters of names that changed just now are waited for, but not
    /// again while they are in use and nobody names them.
    fn named_keywords(
        &mut self,
        name: &MailboxName,
        path: &Path,
        found: &[Found],
        stamp: &Stamp,
    ) -> Vec<Option<Keyword>> {
        let letters = found.iter().fold(0, |all, f| all | f.blob.letters);
        let nameless = self.nameless.remove(name).unwrap_or(0);
        let mut waits = 0;
        loop {
            let named =
                keywords::parse(&regular::read(&path.join(keywords::FILE)).unwrap_or_default());
            let unknown = named.iter().enumerate().fold(letters, |left, (at, name)| {
                left & !(u32::from(name.is_some()) << at)
            });
            let fresh = file_time().saturating_sub(stamp.cur.max(stamp.new)) < FRESH;
            if unknown & !nameless == 0 || !fresh || waits == LETTER_WAITS {
                if unknown != 0 {
                    self.nameless.insert(name.clone(), unknown);
                }
                return named;
            }
            waits += 1;
            std::thread::sleep(LETTER_WAIT);
        }
    }
}
