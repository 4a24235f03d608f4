//! The side file `dovelet-keywords` in the directory of a mailbox: keywords for which there is no letter, and
//! the messages that have them. An index has them too, and may be deleted; copies have this file alone. Lines of a
//! keyword, a blank, and UIDs, below one that says of which UIDVALIDITY these are, if that is known.

use super::lock::replace;
use crate::mail::{Keyword, Uid, UidSet, UidValidity};
use crate::store::Error;
use crate::sys::regular;
use std::io;
use std::path::Path;
use std::time::SystemTime;

pub(crate) const FILE: &str = "dovelet-keywords";
/// Beside it: what Dovecot's index said when the two last said the same, so that what changed there since is known.
const AGREED: &str = "dovelet-keywords.dovecot";
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

/// As `read`; `None` if the file is not there or says that it is about UIDs of another UIDVALIDITY.
pub(crate) fn read_of(directory: &Path, validity: UidValidity) -> Result<Option<Beyond>, Error> {
    read_file_of(&directory.join(FILE), validity)
}

fn read_file_of(path: &Path, validity: UidValidity) -> Result<Option<Beyond>, Error> {
    let text = match regular::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let text = String::from_utf8_lossy(&text);
    let of = text.lines().find_map(|line| line.strip_prefix(OF));
    let is_own = of.is_none_or(|of| of == validity.to_string());
    Ok(is_own.then(|| parse(&text)))
}

/// As `write`, of that UIDVALIDITY. What the file says of messages that are gone does no harm.
pub(crate) fn write_of(
    directory: &Path,
    validity: UidValidity,
    beyond: &Beyond,
) -> Result<(), Error> {
    write_file_of(&directory.join(FILE), validity, beyond)
}

fn write_file_of(path: &Path, validity: UidValidity, beyond: &Beyond) -> Result<(), Error> {
    let mut text = format!("{OF}{validity}\n");
    for (keyword, uids) in beyond.iter().filter(|(_, uids)| !uids.is_empty()) {
        text.push_str(&format!("{keyword} {uids}\n"));
    }
    match regular::read(path) {
        Ok(old) if old == text.as_bytes() => Ok(()),
        _ => replace(path, text.as_bytes()),
    }
}

/// Notes what Dovecot's index says now, which this file says or is about to. Durable.
pub(crate) fn agree(directory: &Path, validity: UidValidity, theirs: &Beyond) -> Result<(), Error> {
    write_file_of(&directory.join(AGREED), validity, theirs)
}

/// What was last noted so; `None` if nothing was.
pub(crate) fn agreed(directory: &Path, validity: UidValidity) -> Result<Option<Beyond>, Error> {
    read_file_of(&directory.join(AGREED), validity)
}

/// `own` with what `theirs` has added to what both had `before`, and without what it has taken from that; all of
/// `theirs` is added where nobody knows what they had.
pub(crate) fn merged(own: &Beyond, theirs: &Beyond, before: Option<&Beyond>) -> Beyond {
    let of = |beyond: &Beyond, keyword: &Keyword| {
        let known = beyond.iter().find(|(own, _)| own == keyword);
        known.map_or(UidSet::new(), |(_, uids)| uids.clone())
    };
    let news = theirs.iter().map(|(keyword, _)| keyword);
    let news = news.filter(|keyword| own.iter().all(|(own, _)| own != *keyword));
    let names = own.iter().map(|(keyword, _)| keyword).chain(news);
    let all = names.map(|keyword| {
        let theirs = of(theirs, keyword);
        let before = before.map_or(UidSet::new(), |before| of(before, keyword));
        let (added, removed) = (theirs.difference(&before), before.difference(&theirs));
        let uids = of(own, keyword).union(&added).difference(&removed);
        (keyword.clone(), uids)
    });
    all.filter(|(_, uids)| !uids.is_empty()).collect()
}

/// True if each line of the file can be read: what it does not say is not so.
pub(crate) fn is_whole(directory: &Path) -> bool {
    let text = regular::read_text(&directory.join(FILE));
    text.is_ok_and(|text| {
        let mut lines = text.lines().filter(|line| !line.starts_with(OF));
        lines.all(|line| parse_line(line).is_some())
    })
}

/// Lines that cannot be read are left out.
fn parse(text: &str) -> Beyond {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(Keyword, UidSet)> {
    let (keyword, uids) = line.split_once(' ')?;
    Some((Keyword::new(keyword)?, set(uids)?))
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
        assert_eq!(read_of(directory.path(), own).unwrap().unwrap(), all);
        write_of(directory.path(), own, &all).unwrap();
        assert_eq!(read(directory.path()).unwrap(), all);
        assert_eq!(read_of(directory.path(), own).unwrap().unwrap(), all);
        assert_eq!(read_of(directory.path(), other).unwrap(), None);
        write_of(directory.path(), own, &Vec::new()).unwrap();
        assert_eq!(read_of(directory.path(), own).unwrap().unwrap(), []);
        assert_eq!(agreed(directory.path(), own).unwrap(), None);
        agree(directory.path(), own, &all).unwrap();
        assert_eq!(agreed(directory.path(), own).unwrap().unwrap(), all);
        assert_eq!(read_of(directory.path(), own).unwrap().unwrap(), []);
        let text = "$a 1\nnonsense\nb x\nc 7:5\nd 0\n";
        assert_eq!(parse(text).len(), 1);
    }

    #[test]
    fn what_the_other_changed_is_taken_and_what_both_had_stays() {
        let all = |text: &str| parse(text);
        let before = all("a 1:3\nb 5\nc 7\n");
        let theirs = all("a 2:4\nb 5\nd 8\n");
        let own = all("a 1:3,9\nb 6\nc 7,10\ne 11\n");
        let both = merged(&own, &theirs, Some(&before));
        assert_eq!(both, all("a 2:4,9\nb 6\nc 10\ne 11\nd 8\n"));
        let added = merged(&own, &theirs, None);
        assert_eq!(added, all("a 1:4,9\nb 5:6\nc 7,10\ne 11\nd 8\n"));
    }
}
