//! Handing an sdbox or mdbox over to Dovecot: the index of each mailbox says what its log does, in place of
//! what Dovecot knew before, and the log is put aside, so that one of the two alone has the last word.

use super::attachments::suffix;
use super::line;
use super::record::{Place, Record};
use super::walk::message_at;
use super::{Dbox, files::Files};
use crate::config::{Form, Format};
use crate::mail::{Guid, MailboxName, UidSet};
use crate::store::adopt::{Adopted, Found};
use crate::store::dovecot::{STAGED, Written, place_log};
use crate::store::side::beyond::Beyond;
use crate::store::side::disk;
use crate::store::side::lock::replace;
use crate::store::{Error, Scanned, Store as _};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const INDEX: &str = "dovecot.index";
const MAP: &str = "dovecot.map.index";
/// What a log is called that does not hold any more.
const ASIDE: &str = "dovelet.log.old";
/// References that Dovecot counts, at most.
const MAX_REFERENCES: u16 = 32_768;
/// In the header of a mailbox: files of messages tell what POP3 calls them.
const HAVE_UIDLS: u8 = 1;

/// Looks at all mailboxes and tells `each`; hands them over unless `dry` or something is in the way.
pub(crate) fn hand_back(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    let (format, alternate) = (form.format, form.alternate.as_deref());
    let mut found = Found::new(format);
    let mut store = match format {
        Format::Mdbox => Dbox::mdbox(root, alternate, u32::MAX)?,
        _ => Dbox::sdbox(root)?,
    };
    let names = store.mailboxes()?;
    for name in &names {
        if !store.directory(name)?.join(line::FILE).exists() {
            let why = format!("{name} is not this server's: run \"dovelet adopt\" first");
            found.obstacles.push(why);
        }
    }
    if !found.obstacles.is_empty() {
        return Ok(found);
    }
    let mut map = Map::default();
    for name in &names {
        let scanned = store.scan(name)?;
        for message in &scanned.found {
            map.refer(&Record::of(&message.blob)?);
        }
        let beyond = store
            .beyond(name, scanned.state.uid_validity)?
            .unwrap_or_default();
        let adopted = told(name, &scanned, &beyond)?;
        each(&adopted);
        found.mailboxes.push(adopted);
    }
    if dry {
        return Ok(found);
    }
    let now = u32::try_from(crate::sys::clock::now_seconds()).unwrap_or(0);
    let mut staged = Vec::new();
    if format == Format::Mdbox {
        let files = Files::looked_at(root, alternate);
        let written = map.written(&files, now)?;
        let storage = files.directory;
        replace(&log_of(&storage, MAP, STAGED), &written)?;
        staged.push((storage, MAP));
    }
    for name in &names {
        let directory = store.directory(name)?;
        let scanned = store.scan(name)?;
        let beyond = store
            .beyond(name, scanned.state.uid_validity)?
            .unwrap_or_default();
        let written = mailbox(&scanned, &beyond, format, &map, now)?;
        replace(&log_of(&directory, INDEX, STAGED), &written)?;
        staged.push((directory, INDEX));
    }
    // Nobody writes logs any more.
    drop(store);
    for (directory, name) in staged {
        place(&directory, name)?;
    }
    // Where Dovecot keeps what it knows of all mailboxes at once.
    remove_all(root, "dovecot.list.index")?;
    Ok(found)
}

fn log_of(directory: &Path, name: &str, suffix: &str) -> PathBuf {
    directory.join(format!("{name}.log{suffix}"))
}

/// Puts an index in the place of the one that was there. Durable.
fn place(directory: &Path, name: &str) -> Result<(), Error> {
    let log = directory.join(line::FILE);
    if log.exists() {
        disk::rename_over(&log, &directory.join(ASIDE))?;
    }
    Ok(place_log(
        directory,
        name,
        &log_of(directory, name, STAGED),
    )?)
}

fn remove(path: &Path) -> io::Result<()> {
    match disk::remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes all files whose names begin with that.
fn remove_all(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes())
        {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn told(name: &MailboxName, scanned: &Scanned, beyond: &Beyond) -> Result<Adopted, Error> {
    let state = &scanned.state;
    let mut adopted = Adopted::new(name);
    adopted.messages = scanned.found.len();
    adopted.uid_validity = state.uid_validity.number();
    adopted.uid_next = state.uid_next.number();
    adopted.keywords = state.keywords.iter().flatten().count() + beyond.len();
    adopted.uidls = scanned.aliases.len();
    let mut elsewhere = 0;
    for message in &scanned.found {
        let record = Record::of(&message.blob)?;
        let own = suffix(state.guid, record.uid);
        elsewhere += usize::from(record.suffix.is_some_and(|known| *known != *own));
    }
    if elsewhere > 0 {
        adopted.lost.push(format!(
            "the attachments of {elsewhere} messages that came from other mailboxes, which Dovecot looks for \
             under other names"
        ));
    }
    Ok(adopted)
}

/// Frames of an mdbox that mailboxes have.
#[derive(Default)]
struct Map {
    /// How many have it, and its number.
    frames: BTreeMap<Place, (u16, u32)>,
}

impl Map {
    fn refer(&mut self, record: &Record) {
        if let Some(place) = record.place {
            let (count, _) = self.frames.entry(place).or_default();
            *count = count.saturating_add(1).min(MAX_REFERENCES);
        }
    }

    /// The log of an index of all frames, which get their numbers.
    fn written(&mut self, files: &Files, now: u32) -> Result<Vec<u8>, Error> {
        const DAMAGED: Error = Error::Corrupt { what: "a message" };
        let (mut rows, mut places, mut references) = (Vec::new(), Vec::new(), Vec::new());
        let mut reading = None;
        for (number, (place, (count, own))) in (1u32..).zip(&mut self.frames) {
            *own = number;
            let file = match reading.take() {
                Some((open, file)) if open == place.file => file,
                _ => files.open(place.file)?,
            };
            let framed = message_at(&file, place.offset)?.ok_or(DAMAGED)?;
            reading = Some((place.file, file));
            let fields = [place.offset, framed.end - framed.start];
            let mut record = [0; 12];
            for (to, field) in record
                .chunks_exact_mut(4)
                .zip([u64::from(place.file)].into_iter().chain(fields))
            {
                let field = u32::try_from(field).map_err(|_| DAMAGED)?;
                to.copy_from_slice(&field.to_le_bytes());
            }
            rows.push((number, 0));
            places.push((number, record));
            references.push((number, count.to_le_bytes()));
        }
        let highest = files.given()?;
        let mut header = [0; 8];
        if let Some(field) = header.first_chunk_mut() {
            *field = highest.to_le_bytes();
        }
        let next = u32::try_from(rows.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let mut log = Written::new(now, now);
        log.put_header("map", (12, 4), &header);
        log.append(&rows);
        log.put_records("map", 4, &places);
        log.put_records("ref", 2, &references);
        Ok(log.finish(next))
    }

    /// The number of a frame, and when the message was saved, as a record has both.
    fn record(&self, record: &Record) -> Result<[u8; 8], Error> {
        let (_, number) = self
            .frames
            .get(&record.placed()?)
            .ok_or(Error::NoSuchMessage)?;
        let saved = u32::try_from(record.saved).unwrap_or(0);
        let mut octets = [0; 8];
        for (to, field) in octets.chunks_exact_mut(4).zip([*number, saved]) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        Ok(octets)
    }
}

/// The log of an index that says what a mailbox has. `now`: also what the map is known by.
fn mailbox(
    scanned: &Scanned,
    beyond: &Beyond,
    format: Format,
    map: &Map,
    now: u32,
) -> Result<Vec<u8>, Error> {
    let state = &scanned.state;
    let many = format == Format::Mdbox;
    let mut log = Written::new(now, state.uid_validity.number());
    let mut header = [0; 24];
    let uidls = if scanned.aliases.is_empty() {
        0
    } else {
        HAVE_UIDLS
    };
    let known = if many { now } else { 0 };
    let fields = known
        .to_le_bytes()
        .into_iter()
        .chain(state.guid.0)
        .chain([uidls]);
    header
        .iter_mut()
        .zip(fields)
        .for_each(|(to, field)| *to = field);
    log.put_header(if many { "mdbox-hdr" } else { "dbox-hdr" }, (0, 0), &header);
    let (mut rows, mut frames, mut guids) = (Vec::new(), Vec::new(), Vec::new());
    let mut keywords = vec![UidSet::new(); state.keywords.len()];
    let mut all = UidSet::new();
    for message in &scanned.found {
        let record = Record::of(&message.blob)?;
        let uid = record.uid.number();
        all.insert(record.uid);
        rows.push((uid, message.blob.flags.bits()));
        if many {
            frames.push((uid, map.record(&record)?));
            guids.push((uid, Guid::of(record.guid.as_bytes()).0));
        }
        for (number, uids) in keywords.iter_mut().enumerate() {
            if message.blob.letters & 1 << number != 0 {
                uids.insert(record.uid);
            }
        }
    }
    log.append(&rows);
    log.put_records("mdbox", 4, &frames);
    log.put_records("guid", 1, &guids);
    for (keyword, uids) in state.keywords.iter().zip(keywords) {
        if let Some(keyword) = keyword {
            log.put_keyword(keyword.as_str(), uids.runs());
        }
    }
    for (keyword, uids) in beyond {
        // The file has messages that are gone, too.
        let uids = uids.intersection(&all);
        if !uids.is_empty() {
            log.put_keyword(keyword.as_str(), uids.runs());
        }
    }
    Ok(log.finish(state.uid_next.number()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Keyword, SystemFlags, Uid};
    use crate::store::dovecot;
    use crate::store::{Filing, Store};
    use std::collections::BTreeSet;

    #[test]
    fn keywords_beyond_the_letters_are_handed_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let inbox = MailboxName::inbox();
        let mut store = Dbox::sdbox(root).unwrap();
        let uid = |number| Uid::new(number).unwrap();
        for number in 1..=3 {
            let mut draft = store.stage().unwrap();
            draft.write(b"text\r\n").unwrap();
            draft.date(1_000_000_000).unwrap();
            store.save(&mut *draft, &inbox).unwrap();
            let new = Filing {
                uid: uid(number),
                flags: SystemFlags::NONE,
                letters: 1 << 25,
            };
            store.commit(&mut *draft, &inbox, &new).unwrap();
        }
        let named = |number: usize| Keyword::new(&format!("k{number}")).unwrap();
        let letters: Vec<_> = (0..26).map(|number| Some(named(number))).collect();
        store.record_keywords(&inbox, &letters).unwrap();
        store.sync().unwrap();
        let validity = store.scan(&inbox).unwrap().state.uid_validity;
        let beyond = vec![
            (named(26), [1, 3, 9].map(uid).into_iter().collect()),
            (named(27), [7].map(uid).into_iter().collect()),
        ];
        store.keep_beyond(&inbox, validity, &beyond).unwrap();
        let above = store.directory(&inbox).unwrap();
        drop(store);
        let form = Format::Sdbox.into();
        let done = hand_back(root, &form, false, &mut |_| ()).unwrap();
        assert_eq!(done.mailboxes[0].lost, [""; 0]);
        let index = dovecot::load(&above, INDEX, &[]).unwrap().unwrap();
        let of = |row: u32| -> BTreeSet<&str> {
            let keywords = index.rows[&row].keywords.iter();
            keywords
                .map(|at| &*index.keywords[usize::from(*at)])
                .collect()
        };
        assert_eq!(of(1), BTreeSet::from(["k25", "k26"]));
        assert_eq!(of(2), BTreeSet::from(["k25"]));
        assert_eq!(of(3), BTreeSet::from(["k25", "k26"]));
    }
}
