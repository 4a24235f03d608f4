//! What Courier keeps beside the messages of a Maildir: which UIDs they have (`courierimapuiddb`), which unique-ids
//! its POP3 server gave them (`courierpop3dsizelist`), and their keywords (`courierimapkeywords/`). It is read, and
//! said again in files of the names that Dovecot has for that, and in names of messages.

use super::keywords::{self, MAX_LETTERS};
use super::name;
use super::takeover::{INDEX, entries, letters_in, text};
use super::uidlist::{self, UidList, put_line};
use crate::config::InfoSeparator;
use crate::mail::{Keyword, Uid, UidSet, UidValidity};
use crate::store::Error;
use crate::store::side::lock::{DotLock, replace, replace_with};
use crate::store::side::uid_validity::random_guid;
use crate::store::side::{beyond, disk};
use crate::sys::regular;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::Path;

const UIDS: &str = "courierimapuiddb";
const POP3: &str = "courierpop3dsizelist";
const KEYWORDS: &str = "courierimapkeywords";
/// The file of keywords that are in no file of one message.
const LIST: &str = ":list";

/// What is to be said of a mailbox.
pub(super) struct Courier {
    pub(super) uid_validity: UidValidity,
    pub(super) uid_next: Uid,
    /// Names of files, without flags, and what POP3 calls their messages.
    pub(super) messages: BTreeMap<Uid, (String, Option<String>)>,
    /// Lines cannot be read.
    pub(super) damaged: bool,
    /// Names of keywords that IMAP has not.
    pub(super) misnamed: BTreeSet<String>,
    /// By names of files.
    keywords: HashMap<String, BTreeSet<Keyword>>,
}

/// True if Courier's files say something of a mailbox of which no other program said it.
pub(super) fn is_alone(path: &Path) -> bool {
    let own = std::fs::metadata(path.join(uidlist::FILE)).map_or(0, |file| file.len());
    let list = Path::new(KEYWORDS).join(LIST);
    let all = [Path::new(UIDS), Path::new(POP3), &list];
    own == 0 && all.iter().any(|file| path.join(file).exists())
}

/// As [`is_alone`], and without a trace of a server whose list of UIDs was lost.
pub(super) fn is_untouched(path: &Path) -> bool {
    let indexed = INDEX.iter().any(|file| path.join(file).exists());
    is_alone(path) && !indexed && !beyond::is_kept(path)
}

/// The name of a file without its flags.
fn base(file: &str) -> &str {
    name::split(file).0
}

impl Courier {
    /// What the files of a mailbox say. `None` if they do not, or another server's files do.
    pub(super) fn read(path: &Path) -> Result<Option<Courier>, Error> {
        if !is_alone(path) {
            return Ok(None);
        }
        let imap = text(&path.join(UIDS))?;
        let list = UidList::parse(&imap);
        let (uidls, made) = pop3(&text(&path.join(POP3))?);
        let known = list.header.uid_validity.zip(list.header.uid_next);
        // Where IMAP was never used no client knows a UIDVALIDITY.
        let now = || u32::try_from(crate::sys::clock::now_seconds()).ok();
        let anew = || UidValidity::new(made.filter(|made| *made > 0).or_else(now).unwrap_or(1));
        let Some((uid_validity, uid_next)) = known.or_else(|| Some((anew()?, Uid::MIN))) else {
            return Ok(None);
        };
        let entries = list.entries.iter().filter(|_| known.is_some());
        let mut courier = Courier {
            uid_validity,
            uid_next,
            messages: entries
                .map(|entry| (entry.uid, (entry.base.to_owned(), None)))
                .collect(),
            damaged: !imap.is_empty() && list.damaged,
            misnamed: BTreeSet::new(),
            keywords: HashMap::new(),
        };
        courier.read_keywords(&path.join(KEYWORDS))?;
        courier.name(path, uidls)?;
        Ok(Some(courier))
    }

    /// Gives messages what POP3 calls them; those that IMAP did not know, and those that have keywords, get UIDs.
    fn name(&mut self, path: &Path, mut uidls: HashMap<String, String>) -> Result<(), Error> {
        for (base, uidl) in self.messages.values_mut() {
            *uidl = uidls.remove(base);
        }
        let known: BTreeSet<&String> = self.messages.values().map(|(base, _)| base).collect();
        // In the order in which they came, which the number at the beginning tells.
        let mut others = BTreeSet::new();
        for part in ["new", "cur"] {
            for entry in entries(&path.join(part))? {
                let file = entry?.file_name();
                let base = base(&file.to_string_lossy()).to_owned();
                let told = uidls.contains_key(&base) || self.keywords.contains_key(&base);
                if told && !known.contains(&base) {
                    let digits = base.bytes().take_while(u8::is_ascii_digit).count();
                    let time: u64 = base.get(..digits).unwrap_or_default().parse().unwrap_or(0);
                    others.insert((time, base));
                }
            }
        }
        for (_, base) in others {
            let uid = self.uid_next;
            let Some(next) = uid.next() else {
                break;
            };
            let uidl = uidls.remove(&base);
            self.messages.insert(uid, (base, uidl));
            self.uid_next = next;
        }
        Ok(())
    }

    /// How many messages have a unique-id of POP3.
    pub(super) fn uidls(&self) -> usize {
        let messages = self.messages.values();
        messages.filter(|(_, uidl)| uidl.is_some()).count()
    }

    /// The keywords that messages have.
    pub(super) fn named(&self) -> BTreeSet<&Keyword> {
        self.keywords.values().flatten().collect()
    }

    /// `:list` has names of keywords, an empty line, and lines of a file's name, a colon and numbers of names. Later
    /// changes are in a file for each message, which has names of keywords: `.NUMBER.NAME`, of which the highest
    /// counts, or `NAME`, which counts before those.
    fn read_keywords(&mut self, directory: &Path) -> Result<(), Error> {
        let list = text(&directory.join(LIST))?;
        let mut lines = list.lines();
        let names: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        for (file, numbers) in lines.filter_map(|line| line.rsplit_once(':')) {
            let numbers = numbers.split_whitespace().filter_map(|n| n.parse().ok());
            let own: Vec<&str> = numbers
                .filter_map(|n: usize| names.get(n).copied())
                .collect();
            self.put(base(file), own.into_iter());
        }
        let mut newest: HashMap<String, (u64, String)> = HashMap::new();
        for entry in entries(directory)? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let numbered = file.strip_prefix('.').map(|rest| rest.split_once('.'));
            let (of, number) = match numbered {
                Some(Some((number, of))) => match number.parse() {
                    Ok(number) => (of, number),
                    Err(_) => continue,
                },
                Some(None) => continue,
                None => (file.as_str(), u64::MAX),
            };
            let known = newest.get(of).map(|(number, _)| *number);
            if file != LIST && known.is_none_or(|known| known < number) {
                newest.insert(of.to_owned(), (number, file));
            }
        }
        for (of, (_, file)) in newest {
            let own = text(&directory.join(file))?;
            self.put(base(&of), own.lines().filter(|line| !line.is_empty()));
        }
        Ok(())
    }

    /// Has a message have these keywords and no others.
    fn put<'n>(&mut self, base: &str, names: impl Iterator<Item = &'n str>) {
        let mut own = BTreeSet::new();
        for name in names {
            match Keyword::new(name) {
                Some(keyword) => drop(own.insert(keyword)),
                None => drop(self.misnamed.insert(name.to_owned())),
            }
        }
        match own.is_empty() {
            true => self.keywords.remove(base),
            false => self.keywords.insert(base.to_owned(), own),
        };
    }

    /// Says it all in this server's files and in names of messages. The list of UIDs comes last, so that what was
    /// broken off is begun again. Durable.
    fn write(&self, path: &Path, separator: InfoSeparator) -> Result<(), Error> {
        let mut beyond = Vec::new();
        if !self.keywords.is_empty() {
            let file = path.join(keywords::FILE);
            let mut named = keywords::parse(&regular::read(&file).unwrap_or_default());
            self.letter(&mut named, letters_in(path)?);
            replace(&file, keywords::encode(&named).as_bytes())?;
            self.mark(path, separator, &named)?;
            beyond = self.beyond(&named);
        }
        let header = uidlist::Header::encode(self.uid_validity, self.uid_next, random_guid()?, &[]);
        replace_with(&path.join(uidlist::FILE), &mut |out: &mut dyn Write| {
            out.write_all(header.as_bytes())?;
            for (uid, (base, uidl)) in &self.messages {
                let uidl = uidl.as_ref().map(|uidl| format!("P{uidl}"));
                put_line(*uid, &uidl.unwrap_or_default(), base, out)?;
            }
            Ok(())
        })?;
        // Also by this it is known that the list of UIDs was there.
        beyond::write_of(path, self.uid_validity, &beyond)
    }

    /// Finds letters that no message has for keywords that have none, as long as there are some.
    fn letter(&self, named: &mut Vec<Option<Keyword>>, used: u32) {
        named.resize(MAX_LETTERS, None);
        for keyword in self.named() {
            if named.iter().flatten().any(|own| own == keyword) {
                continue;
            }
            let mut free = named.iter_mut().enumerate();
            let free = free.find(|(at, own)| own.is_none() && used >> at & 1 == 0);
            if let Some((_, slot)) = free {
                *slot = Some(keyword.clone());
            }
        }
    }

    /// Puts letters into the names of messages.
    fn mark(
        &self,
        path: &Path,
        separator: InfoSeparator,
        named: &[Option<Keyword>],
    ) -> Result<(), Error> {
        let cur = path.join("cur");
        for part in ["new", "cur"] {
            let mut files = Vec::new();
            for entry in entries(&path.join(part))? {
                files.extend(entry?.file_name().into_string());
            }
            for file in files {
                let (base, flags, letters) = name::split(&file);
                let Some(own) = self.keywords.get(base) else {
                    continue;
                };
                let is_own =
                    |name: &Option<Keyword>| name.as_ref().is_some_and(|n| own.contains(n));
                let lettered = named.iter().enumerate().filter(|(_, name)| is_own(name));
                let all = lettered.fold(letters, |all, (at, _)| all | 1 << at);
                if all != letters {
                    let marked = name::reflagged(&file, separator, flags, all);
                    let (old, new) = (path.join(part).join(&file), cur.join(marked));
                    match disk::place(&old, &new) {
                        // Another message of that name, which may have the keywords: both are served as they are.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        placed => placed?,
                    }
                }
            }
        }
        disk::sync_directory_at(&cur)?;
        Ok(disk::sync_directory_at(&path.join("new"))?)
    }

    /// Keywords without letters, and the messages that have them.
    fn beyond(&self, named: &[Option<Keyword>]) -> beyond::Beyond {
        let all = self.named().into_iter();
        let without = all.filter(|keyword| !named.iter().flatten().any(|own| own == *keyword));
        let having = |keyword: &Keyword| -> UidSet {
            let has = |base: &String| self.keywords.get(base).is_some_and(|k| k.contains(keyword));
            let messages = self.messages.iter().filter(|(_, (base, _))| has(base));
            messages.map(|(uid, _)| *uid).collect()
        };
        let with = without.map(|keyword| (keyword.clone(), having(keyword)));
        with.filter(|(_, uids)| !uids.is_empty()).collect()
    }
}

/// Says in this server's files what Courier's say, unless there is nothing, or it was done. Durable.
pub(super) fn convert(path: &Path, separator: InfoSeparator) -> Result<(), Error> {
    if !is_alone(path) {
        return Ok(());
    }
    let _lock = DotLock::take(&path.join(uidlist::FILE))?;
    match Courier::read(path)? {
        Some(courier) => courier.write(path, separator),
        None => Ok(()),
    }
}

/// What POP3 calls messages, by names of files, and when the list was begun. The first line is `/2 NEXT TIME`, or of
/// version 3; then come lines `NAME SIZE UID:TIME` or, with what else is known behind it, `NAME SIZE UID:TIME:UTF8`.
/// Older ones have no time, or no first line.
fn pop3(list: &str) -> (HashMap<String, String>, Option<u32>) {
    let mut uidls = HashMap::new();
    let header = list.lines().next().and_then(|line| line.strip_prefix('/'));
    let made = header.and_then(|header| header.split(' ').nth(2)?.parse().ok());
    let lines = list.lines().skip(usize::from(header.is_some()));
    for line in lines {
        let (number, rest) = match header {
            Some(_) => line
                .rsplit_once(' ')
                .map_or(("", line), |(rest, n)| (n, rest)),
            None => ("0", line),
        };
        let Some((file, _)) = rest.rsplit_once(' ') else {
            continue;
        };
        let mut numbers = number.split(':').map_while(|n| n.parse::<u64>().ok());
        let uidl = match (numbers.next(), numbers.next()) {
            (None, _) => continue,
            (Some(0), _) => escaped(base(file)),
            (Some(uid), None | Some(0)) => format!("UID{uid}"),
            (Some(uid), Some(time)) => format!("UID{uid}-{time}"),
        };
        uidls.insert(base(file).to_owned(), uidl);
    }
    (uidls, made)
}

/// A name as it is one in POP3.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_graphic() && !b"'\"+".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("+{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_ids_of_all_versions() {
        for (list, expected) in [
            (
                "/2 55 77\n1.a:2,S 90 4:77\n2.b 9 0:0\n",
                vec![("1.a", "UID4-77"), ("2.b", "2.b")],
            ),
            (
                "/3 55 77\n1.a:2,S 90 4:77:0\n3 c 9 5:0:1\n4.d 9\n5.e 9 x:1\n",
                vec![("1.a", "UID4-77"), ("3 c", "UID5")],
            ),
            ("/1 55\n1.a 90 4\n", vec![("1.a", "UID4")]),
            ("1.a+b 90\n", vec![("1.a+b", "1.a+2Bb")]),
        ] {
            let (uidls, made) = pop3(list);
            let mut all: Vec<_> = uidls
                .iter()
                .map(|(f, u)| (f.as_str(), u.as_str()))
                .collect();
            all.sort_unstable();
            assert_eq!(all, expected, "{list}");
            assert_eq!(made, list.contains(" 77").then_some(77), "{list}");
        }
    }
}
