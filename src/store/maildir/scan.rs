//! What is really in `new/` and `cur/`.

use super::name;
use super::uidlist::{Entry, UidList};
use crate::mail::Uid;
use crate::store::{BlobId, Error, Found, Place};
use rustix::fs::{AtFlags, FileType, RawDir, statat};
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

/// Room for directory entries read at a time.
const BUFFER_OCTETS: usize = 64 * 1024;

/// Calls `each` with every entry that can be a message. Returns how many others there are: FIFOs,
/// sockets, devices. (A directory or a link may be where a message was: that is damage, and told as such.)
pub(super) fn entries(
    directory: BorrowedFd<'_>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<usize, Error> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0)).map_err(std::io::Error::from)?;
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_OCTETS];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut others = 0;
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = entry.file_name().to_bytes();
        if name.first() == Some(&b'.') {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::RegularFile, |stat| {
                    FileType::from_raw_mode(stat.st_mode)
                }),
            kind => kind,
        };
        match kind {
            FileType::RegularFile | FileType::Directory | FileType::Symlink => each(name),
            _ => others += 1,
        }
    }
    Ok(others)
}

/// Octets that each message takes, besides its name, while a mailbox is compared with its directory: what is
/// sorted, what is to be written.
const OCTETS: usize = 80;
/// Messages between two looks at the memory that is left.
const STEP: usize = 1024;

/// Whether there is memory for more messages; makes it.
fn has_room(found: &mut Vec<Found>) -> bool {
    if !found.len().is_multiple_of(STEP) {
        return true;
    }
    // By steps, not by doubling, which would need memory for what never comes.
    if found.capacity() < found.len() + STEP {
        let more = STEP.max(found.len() / 4);
        if found.try_reserve_exact(more).is_err() {
            return false;
        }
    }
    crate::sys::memory::can_allocate((found.len() + STEP) * OCTETS)
}

/// Adds the messages of one directory; returns as `entries`. Errors: `TooMany`. `listed`: the side file by names.
pub(super) fn collect(
    directory: BorrowedFd<'_>,
    place: Place,
    list: &UidList<'_>,
    listed: &HashMap<&[u8], &Entry<'_>>,
    found: &mut Vec<Found>,
) -> Result<usize, Error> {
    // Names of this server that the side file lacks are above all that it has: a lower UID in a name
    // was given to something else, by this server or by the program that made the name.
    let free = list.uid_next.filter(|_| !list.damaged);
    let own = |uid: &Uid| free.is_none_or(|free| *uid >= free);
    let mut full = false;
    let others = entries(directory, &mut |file| {
        // A name that is no text cannot have been given by a mail program.
        let Ok(text) = std::str::from_utf8(file) else {
            return;
        };
        let (base, flags, letters) = name::split(text);
        let entry = listed.get(base.as_bytes());
        full = full || !has_room(found);
        if full {
            return;
        }
        found.push(Found {
            blob: BlobId {
                name: base.into(),
                place,
                flags,
                letters,
            },
            uid: entry
                .map(|e| e.uid)
                .or_else(|| name::uid(base.as_bytes()).filter(own)),
            listed: entry.is_some(),
        });
    })?;
    match full {
        true => Err(Error::TooMany),
        false => Ok(others),
    }
}

/// Puts messages in order: those with a UID first, ascending, then the rest by name. A UID that
/// two files claim stays with the one the side file names, else with the first name; a file seen
/// twice (renamed while the directories were read) counts once. Returns the second sights too.
pub(super) fn order(mut found: Vec<Found>) -> (Vec<Found>, Vec<BlobId>) {
    let rank = |f: &Found| {
        (
            f.uid.is_none(),
            f.uid,
            !f.listed,
            f.blob.place == Place::New,
        )
    };
    crate::mail::sort_by(&mut found, |a, b| {
        rank(a)
            .cmp(&rank(b))
            .then_with(|| a.blob.name.cmp(&b.blob.name))
    });
    let named = found.partition_point(|message| message.uid.is_some());
    // Of many that are all new nothing is to be copied: there may be no room for that.
    let mut rest = match named {
        0 => std::mem::take(&mut found),
        at => found.split_off(at),
    };
    let mut twins: Vec<BlobId> = Vec::new();
    found.dedup_by(|message, last| {
        let twin = message.uid == last.uid;
        if twin && message.blob.name == last.blob.name {
            twins.push(message.blob.clone());
        } else if twin {
            rest.push(Found {
                uid: None,
                ..message.clone()
            });
        }
        twin
    });
    crate::mail::sort_by(&mut rest, |a, b| {
        (&a.blob.name, a.blob.place == Place::New).cmp(&(&b.blob.name, b.blob.place == Place::New))
    });
    rest.dedup_by(|b, a| {
        let twin = a.blob.name == b.blob.name;
        twins.extend(twin.then(|| b.blob.clone()));
        twin
    });
    if found.is_empty() {
        found = rest;
    } else {
        found.append(&mut rest);
    }
    (found, twins)
}

/// The lowest UID that neither the side file nor a name has given away.
pub(super) fn uid_next(list: &UidList<'_>, found: &[Found]) -> Uid {
    let used = found.iter().rev().find_map(|f| f.uid).and_then(Uid::next);
    let listed = list.uid_next.unwrap_or(Uid::MIN);
    used.map_or(listed, |used| used.max(listed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::SystemFlags;

    fn found(base: &str, uid: u32, listed: bool, place: Place) -> Found {
        let blob = BlobId {
            name: base.into(),
            place,
            flags: SystemFlags::NONE,
            letters: 0,
        };
        Found {
            blob,
            uid: Uid::new(uid),
            listed,
        }
    }

    #[test]
    fn double_uids_and_double_sights() {
        let all = vec![
            found("z", 0, false, Place::New),
            found("b,U=2", 2, false, Place::Cur),
            found("a,U=2", 2, true, Place::New),
            found("c", 1, true, Place::New),
            found("c", 1, true, Place::Cur),
            found("y", 0, false, Place::Cur),
            found("y", 0, false, Place::New),
        ];
        let (ordered, twins) = order(all);
        let names: Vec<&str> = twins.iter().map(|t| &*t.name).collect();
        assert_eq!(names, ["c", "y"]);
        let shown: Vec<(u32, &str)> = ordered
            .iter()
            .map(|f| (f.uid.map_or(0, Uid::number), &*f.blob.name))
            .collect();
        assert_eq!(
            shown,
            [(1, "c"), (2, "a,U=2"), (0, "b,U=2"), (0, "y"), (0, "z")]
        );
        assert!(ordered[0].blob.place == Place::Cur && ordered[3].blob.place == Place::Cur);
    }
}
