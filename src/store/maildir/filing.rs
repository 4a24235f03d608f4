//! Names of messages that are filed, and messages under other names than those that are known.

use super::directory::{Unsynced, make_durable_directory, open_directory};
use super::draft::set_date;
use super::store::Maildir;
use super::{name, scan};
use crate::config::InfoSeparator;
use crate::mail::{MailboxName, SystemFlags};
use crate::store::side::disk;
use crate::store::side::unique::unique;
use crate::store::{BlobId, Error, Filing, Place};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

pub(super) fn file_name(blob: &BlobId, separator: InfoSeparator) -> String {
    match blob.place {
        Place::New => blob.name.to_string(),
        Place::Cur => name::separated(&blob.name, separator, blob.flags, blob.letters),
    }
}

pub(super) fn place_for(flags: SystemFlags, letters: u32) -> Place {
    if flags.is_empty() && letters == 0 {
        Place::New
    } else {
        Place::Cur
    }
}

/// The name and place of a message that is to be filed.
pub(super) fn placed(base: String, flags: SystemFlags, letters: u32) -> BlobId {
    BlobId {
        name: base.into(),
        place: place_for(flags, letters),
        flags,
        letters,
    }
}

/// As `placed`, for what was filed before: flags that another program changed since `known` stay so.
/// (Letters need not mean the same in another mailbox.)
pub(super) fn filed(base: String, new: &Filing, known: &BlobId, found: &BlobId) -> BlobId {
    let flags = change(known.flags, found.flags, new.flags);
    placed(base, flags, new.letters)
}

/// What is different between the first two is made different in `flags`, too.
pub(super) fn change(before: SystemFlags, after: SystemFlags, flags: SystemFlags) -> SystemFlags {
    flags
        .without(before.without(after))
        .with(after.without(before))
}

impl Maildir {
    /// Where the file of a message is now, if not under the name we know, and that name: other
    /// programs need not spell it as this server does.
    fn locate(&mut self, name: &MailboxName, base: &str) -> Result<(BlobId, String), Error> {
        let directory = self.directory(name)?;
        for place in [Place::Cur, Place::New] {
            let mut hit = None;
            let fd = directory.of(place).clone();
            scan::entries(fd.as_fd(), &mut |file| {
                let Ok(file) = std::str::from_utf8(file) else {
                    return;
                };
                let (found, flags, letters) = name::split(file);
                if found == base {
                    let blob = BlobId {
                        name: base.into(),
                        place,
                        flags,
                        letters,
                    };
                    hit = Some((blob, file.to_owned()));
                }
            })?;
            if let Some(hit) = hit {
                return Ok(hit);
            }
        }
        Err(Error::NoSuchMessage)
    }

    /// Runs `action` with the message's directory and file name; again where it really is if it is
    /// not there. Returns where it was.
    pub(super) fn with_file<T>(
        &mut self,
        name: &MailboxName,
        blob: &BlobId,
        action: impl Fn(&OwnedFd, &BlobId, &str) -> rustix::io::Result<T>,
    ) -> Result<(T, BlobId), Error> {
        let directory = self.directory(name)?;
        let fd = directory.of(blob.place).clone();
        let others = InfoSeparator::ALL.into_iter();
        let others = others.filter(|other| *other != self.separator && blob.place == Place::Cur);
        for separator in std::iter::once(self.separator).chain(others) {
            match action(&fd, blob, &file_name(blob, separator)) {
                Ok(done) => return Ok((done, blob.clone())),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(self.name_fault(error)),
            }
        }
        let (blob, file) = self.locate(name, &blob.name)?;
        let directory = self.directory(name)?;
        match action(directory.of(blob.place), &blob, &file) {
            Ok(done) => Ok((done, blob)),
            Err(Errno::NOENT) => Err(Error::NoSuchMessage),
            Err(error) => Err(self.name_fault(error)),
        }
    }

    /// Gives a file whose name is no [`scan::plain`] one a name that is, with its flags if these are; `None` if it
    /// cannot have one.
    pub(super) fn rename_odd(
        &mut self,
        name: &MailboxName,
        place: Place,
        file: &[u8],
    ) -> Option<String> {
        let info = name::flags_behind(file).and_then(scan::plain);
        let new = unique(&self.host) + info.unwrap_or_default();
        let directory = self.directory(name).ok()?;
        let renamed = disk::rename_odd(directory.of(place), file, &new);
        directory.change(place, Unsynced::Came);
        // Where it cannot be, how many there are is told.
        renamed.ok()?;
        let name = name.of(&self.root);
        log::warn!(
            "{name}: the file {} is called {new} now",
            file.escape_ascii()
        );
        Some(new)
    }

    /// Of giving a file its name.
    pub(super) fn name_fault(&self, error: Errno) -> Error {
        if error == Errno::INVAL && self.separator == InfoSeparator::Colon {
            log::error!(
                "{}: the file system refuses a name; if it takes no \":\" in names (FAT, exFAT, some network \
                 drives), set info_separator = \";\" in [storage]",
                self.root.display()
            );
        }
        io::Error::from(error).into()
    }

    /// A copy for file systems without links, and from one to another. Its bytes are durable before
    /// it gets its name, which is durable after [`Store::sync`].
    pub(super) fn copy_into(
        &mut self,
        source: &mut File,
        to: &MailboxName,
        blob: &BlobId,
    ) -> Result<(), Error> {
        let path = self.path(to)?.join("tmp");
        let tmp = open_directory(&path)
            .or_else(|_| make_durable_directory(&path).and_then(|()| open_directory(&path)))?;
        let staged = unique(&self.host);
        let target = self.directory(to)?.of(blob.place).clone();
        let mut file = disk::create_in(&tmp, &staged).map_err(io::Error::from)?;
        let copied = copy_bytes(source, &mut file).and_then(|()| {
            let named = disk::rename(&tmp, &staged, &target, &file_name(blob, self.separator));
            named.map_err(|error| self.name_fault(error))
        });
        if copied.is_err() {
            let _ = disk::unlink(&tmp, &staged);
        }
        copied
    }
}

/// Copies bytes and date, durably.
fn copy_bytes(source: &mut File, target: &mut File) -> Result<(), Error> {
    use std::io::Seek;
    source.rewind()?;
    io::copy(source, target)?;
    set_date(&*target, source.metadata()?.mtime())?;
    Ok(disk::sync(target)?)
}
