//! Whether messages of a backup are what was saved.

use crate::mail::MailboxName;
use crate::store::{BlobId, Error, Store, checksum};
use std::io::{self, Read};

/// Octets that are read at a time.
const PIECE: usize = 64 * 1024;

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether there is a file, and how long it is.
    #[default]
    Length,
    /// Its octets, too, if the name tells their checksum: those of old backups do not.
    Octets,
}

/// False if a message is not as its name tells, or cannot be read for being damaged. Errors: nobody knows, as the disk
/// fails otherwise.
pub(super) fn is_intact(
    store: &mut dyn Store,
    name: &MailboxName,
    blob: &BlobId,
    look: Look,
) -> Result<bool, Error> {
    if !store.is_whole(name, blob)? {
        return Ok(false);
    }
    let Some(told) = checksum(&blob.name).filter(|_| look == Look::Octets) else {
        return Ok(true);
    };
    let read = store.open(name, blob).and_then(|mut blob| {
        let sum = sum(&mut blob.body)?;
        Ok(sum == told)
    });
    match read {
        Err(error) if error.is_damage() => Ok(false),
        read => read,
    }
}

/// The checksum of what is read.
fn sum(from: &mut dyn Read) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(count) => hasher.update(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
