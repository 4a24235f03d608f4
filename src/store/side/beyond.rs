//! The side file `dovelet-keywords` in the directory of a mailbox: keywords for which there is no letter, and
//! the messages that have them. An index has them too, and may be deleted; copies have this file alone. Lines of a
//! keyword, a blank, and UIDs, below one that says of which UIDVALIDITY these are, if that is known.

use super::lock::replace;
use super::regular;
use crate::mail::{Keyword, Uid, UidSet, UidValidity};
use crate::store::Error;
use std::io;
use std::path::Path;
use std::time::SystemTime;

const FILE: &str = "dovelet-keywords";
/// What the line of the UIDVALIDITY begins with, and no keyword can.
const OF: &str = "(UIDVALIDITY ";

/// Keywords and the messages that have them.
pub(crate) type Beyond = Vec<(Keyword, UidSet)>;

/// Of the mailbox in that directory; nothing if the file is not there.
pub(crate) fn read(directory: &Path) -> Result<Beyond, Error> {
    match regular::read(&directory.join(FILE)) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// True if the file is there.
pub(crate) fn is_kept(directory: &Path) -> bool {
    directory.join(FILE).exists()
}

/// When the file was written; `None` if it is not there.
pub(crate) fn changed(directory: &Path) -> Option<SystemTime> {
    let file = std::fs::metadata(directory.join(FILE)).ok()?;
    file.modified().ok()
}

/// The file anew, unless it says that already. Durable.
pub(crate) fn write(directory: &Path, beyond: &Beyond) -> Result<(), Error> {
    if read(directory)? == *beyond {
        return Ok(());
    }
    let lines = beyond
        .iter()
        .map(|(keyword, uids)| format!("{keyword} {uids}\n"));
    replace(&directory.join(FILE), lines.collect::<String>().as_bytes())
}

/// As `read`, but nothing if the file says that it is about UIDs of another UIDVALIDITY.
pub(crate) fn read_of(directory: &Path, validity: UidValidity) -> Result<Beyond, Error> {
    let text = match regular::read(&directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let text = String::from_utf8_lossy(&text);
    let of = text.lines().find_map(|line| line.strip_prefix(OF));
    Ok(match of.is_none_or(|of| of == validity.to_string()) {
        true => parse(&text),
        false => Vec::new(),
    })
}

/// As `write`, of that UIDVALIDITY. What the file says of messages that are gone does no harm.
pub(crate) fn write_of(
    directory: &Path,
    validity: UidValidity,
    beyond: &Beyond,
) -> Result<(), Error> {
    let mut text = format!("{OF}{validity}\n");
    for (keyword, uids) in beyond.iter().filter(|(_, uids)| !uids.is_empty()) {
        text.push_str(&format!("{keyword} {uids}\n"));
    }
    let path = directory.join(FILE);
    match regular::read(&path) {
        Ok(old) if old == text.as_bytes() => Ok(()),
        _ => replace(&path, text.as_bytes()),
    }
}

/// Lines that cannot be read are left out.
fn parse(text: &str) -> Beyond {
    let line = |line: &str| {
        let (keyword, uids) = line.split_once(' ')?;
        Some((Keyword::new(keyword)?, set(uids)?))
    };
    text.lines().filter_map(line).collect()
}

fn set(text: &str) -> Option<UidSet> {
    let number = |text: &str| text.parse().ok().and_then(Uid::new);
    let mut uids = UidSet::new();
    for run in text.split(',') {
        let (first, last) = run.split_once(':').unwrap_or((run, run));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return None;
        }
        uids.insert_range(first, last);
    }
    Some(uids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_come_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), []);
        let all = vec![
            (Keyword::new("$a").unwrap(), set("1,5:7").unwrap()),
            (Keyword::new("b").unwrap(), set("4294967295").unwrap()),
        ];
        write(directory.path(), &all).unwrap();
        assert_eq!(read(directory.path()).unwrap(), all);
        let [own, other] = [7, 8].map(|n| UidValidity::new(n).unwrap());
        assert_eq!(read_of(directory.path(), own).unwrap(), all);
        write_of(directory.path(), own, &all).unwrap();
        assert_eq!(read(directory.path()).unwrap(), all);
        assert_eq!(read_of(directory.path(), own).unwrap(), all);
        assert_eq!(read_of(directory.path(), other).unwrap(), []);
        let text = "$a 1\nnonsense\nb x\nc 7:5\nd 0\n";
        assert_eq!(parse(text).len(), 1);
    }
}
