//! What is really in `new/` and `cur/`.

use crate::store::Error;
use rustix::fs::{AtFlags, FileType, RawDir, statat};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

/// Room for directory entries read at a time.
const BUFFER_OCTETS: usize = 64 * 1024;

fn holds_uid(file: &[u8]) -> bool {
    let base = file.get(..super::name::base_octets(file));
    base.and_then(super::name::uid).is_some()
}

/// A name that can stand in a line of a side file: text without control characters.
pub(super) fn plain(file: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(file).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_control())).then_some(text)
}

/// Calls `each` with every entry that can be a message. Returns how many others there are: FIFOs, sockets,
/// devices, directories and links, which nothing follows. (Where a name holds a UID a message was there: what
/// cannot be read of it is damage, and told as such.)
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
            FileType::RegularFile => each(name),
            FileType::Directory | FileType::Symlink if holds_uid(name) => each(name),
            _ => others += 1,
        }
    }
    Ok(others)
}
