//! Messages that come together or not at all: an empty file in `tmp/` of the mailbox that names their
//! UIDs, durable before the first of them has its name and gone, durably, once all of them are durable.
//! A scan that finds it removes what came of them.

use crate::mail::Uid;
use crate::store::Error;
use crate::store::side::disk;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MARK: &str = "dovelet-together.";

fn file(first: Uid, last: Uid) -> String {
    format!("{MARK}{first}-{last}")
}

/// True for the name of such a file.
pub(super) fn is_one(name: &[u8]) -> bool {
    name.starts_with(MARK.as_bytes())
}

/// Durable when it returns. `tmp`: a directory that is there.
pub(super) fn make(tmp: &Path, first: Uid, last: Uid) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    disk::create(&tmp.join(file(first, last)), &options)?;
    Ok(disk::sync_directory_at(tmp)?)
}

/// Durable when it returns; one that is gone is as good.
pub(super) fn end(tmp: &Path, first: Uid, last: Uid) -> Result<(), Error> {
    match disk::remove(&tmp.join(file(first, last))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(disk::sync_directory_at(tmp)?),
    }
}

/// Those that were not ended.
pub(super) fn all(tmp: &Path) -> Result<Vec<(Uid, Uid)>, Error> {
    let entries = match fs::read_dir(tmp) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        all.extend(name.to_str().and_then(parse));
    }
    Ok(all)
}

fn parse(name: &str) -> Option<(Uid, Uid)> {
    let (first, last) = name.strip_prefix(MARK)?.split_once('-')?;
    let uid = |text: &str| text.parse().ok().and_then(Uid::new);
    Some((uid(first)?, uid(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_found_until_they_end() {
        let directory = tempfile::tempdir().unwrap();
        let tmp = directory.path();
        let uid = |n| Uid::new(n).unwrap();
        assert_eq!(all(&tmp.join("none")).unwrap(), []);
        make(tmp, uid(4), uid(6)).unwrap();
        fs::write(tmp.join("1.M2P3Q4.host"), "").unwrap();
        fs::write(tmp.join("dovelet-together.x-0"), "").unwrap();
        assert_eq!(all(tmp).unwrap(), [(uid(4), uid(6))]);
        end(tmp, uid(4), uid(6)).unwrap();
        end(tmp, uid(4), uid(6)).unwrap();
        assert_eq!(all(tmp).unwrap(), []);
        assert!(is_one(b"dovelet-together.1-2") && !is_one(b"1.M2P3Q4.host"));
    }
}
