//! What is in the directories of a mailbox, and what its side files say.

use super::census::Looked;
use super::directory::Unsynced;
use super::filing::file_name;
use super::store::Maildir;
use super::{courier, keywords, takeover};
use crate::mail::{Keyword, MailboxName, Uid};
use crate::store::side::uid_validity::random_guid;
use crate::store::side::{disk, subscriptions};
use crate::store::{BlobId, Census, Error, MailboxState, Place, Stamp, Store};
use crate::sys::clock::file_time;
use crate::sys::regular;
use rustix::fs::AtFlags;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What letters mean that nobody has named yet is asked so often, with so long a pause between.
const LETTER_WAITS: u32 = 10;
const LETTER_WAIT: Duration = Duration::from_millis(20);
/// Nanoseconds since the last change within which a letter's name may be on its way.
const FRESH: i64 = 1_000_000_000;

impl Maildir {
    /// Has a mailbox that nobody but Courier served keep what Courier's files say, before messages get other UIDs.
    pub(super) fn take_over(&self, path: &Path) -> Result<(), Error> {
        if courier::is_untouched(path) {
            courier::convert(path, self.separator)?;
            log::info!("{}: UIDs and keywords are Courier's", path.display());
        }
        Ok(())
    }

    /// As `take_over`, subscriptions.
    pub(super) fn take_subscriptions(&self) -> Result<(), Error> {
        let kind = self.subscribed_in();
        match subscriptions::is_there(&self.root, kind) {
            true => Ok(()),
            false => takeover::subscribe(&self.root, kind),
        }
    }

    /// What a look at the directories and the side files tells.
    pub(super) fn told(
        &mut self,
        name: &MailboxName,
        looked: Looked,
        stamp: Stamp,
    ) -> Result<Census, Error> {
        let (totals, listing) = (looked.totals, looked.all.listing.as_ref());
        let keywords = self.named_keywords(name, totals.letters, &stamp)?;
        let header = listing.map(|listing| listing.header.clone());
        let rewrite = header.as_ref().is_none_or(|header| header.guid.is_none())
            || looked.damaged
            || (looked.lines - totals.listed) * 4 > looked.lines + 100;
        let header = header.unwrap_or_default();
        let used = totals.uids.last().and_then(Uid::next);
        let state = MailboxState {
            uid_validity: header
                .uid_validity
                .map_or_else(|| self.validities.next(&self.root), Ok)?,
            uid_next: header.uid_next.max(used).unwrap_or(Uid::MIN),
            guid: header.guid.map_or_else(random_guid, Ok)?,
            keywords,
        };
        Ok(Census {
            state,
            all: Box::new(looked.all),
            totals,
            stamp,
            header_known: header.uid_validity.is_some(),
            rewrite,
        })
    }

    /// A move from `new` to `cur` that a power cut left half done: the file has both names.
    pub(super) fn remove_twin(
        &mut self,
        name: &MailboxName,
        twin: &BlobId,
        kept: &BlobId,
    ) -> Result<(), Error> {
        let separator = self.separator;
        let directory = self.directory(name)?;
        let inode = |blob: &BlobId| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::statat(directory.of(blob.place), file_name(blob, separator), flags)
                .map(|s| s.st_ino)
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
        letters: u32,
        stamp: &Stamp,
    ) -> Result<Vec<Option<Keyword>>, Error> {
        let file = self.path(name)?.join(keywords::FILE);
        let nameless = self.nameless.remove(name).unwrap_or(0);
        let mut waits = 0;
        loop {
            let named = keywords::parse(&regular::read(&file).unwrap_or_default());
            let unknown = named.iter().enumerate().fold(letters, |left, (at, name)| {
                left & !(u32::from(name.is_some()) << at)
            });
            let fresh = file_time().saturating_sub(stamp.cur.max(stamp.new)) < FRESH;
            if unknown & !nameless == 0 || !fresh || waits == LETTER_WAITS {
                if unknown != 0 {
                    self.nameless.insert(name.clone(), unknown);
                }
                return Ok(named);
            }
            waits += 1;
            std::thread::sleep(LETTER_WAIT);
        }
    }
}
