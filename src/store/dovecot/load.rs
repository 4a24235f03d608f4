//! An index with its logs, from the files of a directory.

use super::change::replay;
use super::fields::LogHeader;
use super::index::Index;
use crate::store::Error;
use crate::sys::regular;
use std::io::{self, Read};
use std::path::Path;

/// Octets of an index or a log that are read, at most; Dovecot begins a new log after one mebibyte.
const MAX_INDEX: u64 = 512 << 20;
const MAX_LOG: u64 = 64 << 20;

/// The whole of a file; `None` if it is not there. Errors: `Corrupt` if it is longer than that.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match regular::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.metadata()?.len() > limit {
        let what = "a file of Dovecot's, which is too long,";
        return Err(Error::Corrupt { what });
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Reads `name` and its logs. `wanted`: extensions whose records are kept. `None`: there are no such files.
/// Errors: `Corrupt`, if what they say of messages cannot be known.
pub(in super::super) fn load(
    directory: &Path,
    name: &str,
    wanted: &[&'static str],
) -> Result<Option<Index>, Error> {
    let base = read(&directory.join(name), MAX_INDEX)?;
    let mut logs = Vec::new();
    for suffix in [".log.2", ".log"] {
        logs.extend(read(&directory.join(format!("{name}{suffix}")), MAX_LOG)?);
    }
    if base.is_none() && logs.is_empty() {
        return Ok(None);
    }
    combine(base.as_deref(), &logs, wanted).map(Some)
}

/// `logs`: in the order in which they were written.
pub(super) fn combine(
    base: Option<&[u8]>,
    logs: &[Vec<u8>],
    wanted: &[&'static str],
) -> Result<Index, Error> {
    let gap = Error::Corrupt {
        what: "a log of Dovecot's, which does not go on where the index ends,",
    };
    let mut index = match base {
        // What is not finished is an index that says nothing.
        Some(base) if !base.is_empty() => Index::parse(base, wanted)?,
        _ => Index::empty(wanted),
    };
    let (mut next, mut from) = match base {
        Some(_) => {
            let (number, offset) = index.header.log();
            (Some(number), usize::try_from(offset).unwrap_or(usize::MAX))
        }
        None => (None, 0),
    };
    for log in logs {
        let Some(header) = LogHeader::parse(log) else {
            continue;
        };
        // An older one is in the index already.
        if next.is_some_and(|next| header.number < next) {
            continue;
        }
        let same = base.is_none() || header.index_id == index.index_id();
        if !same || next.is_some_and(|next| header.number > next) {
            return Err(gap);
        }
        replay(&mut index, log, &header, from);
        next = header.number.checked_add(1);
        from = 0;
    }
    Ok(index)
}
