//! The messages that Dovecot's index of a mailbox names, as they lie in its files.

use super::attachments::{join, suffix};
use super::files::Files;
use super::framing::{ATTACHMENTS, FileHeader, MAX_FILE_HEADER, PLAIN_OCTETS, UIDL};
use super::record::{Place, Record};
use super::walk::{Framed, message_at};
use crate::mail::{Guid, Uid};
use crate::store::dovecot::{self, Cache, Index};
use crate::store::packed;
use crate::store::{Body, Error};
use crate::sys::regular;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// What the bodies of messages begin with that Dovecot's plugins changed, and what did it.
const CHANGED: [(&[u8], &str); 3] = [
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"CRYPTED\x03\x07", "encrypted"),
];
/// Octets of the longest of them.
const LONGEST: usize = 9;

/// Where messages are.
pub(super) enum Source {
    /// Of sdbox: in files of their own.
    Single,
    /// Of mdbox: where the map says.
    Many(Box<Many>),
}

/// The files of an mdbox.
pub(super) struct Many {
    files: Files,
    map: Index,
    /// The file that was read last.
    reading: Option<(u32, File)>,
}

/// A message as it is taken over.
pub(super) struct Taken {
    pub(super) record: Record,
    pub(super) uidl: Option<Box<str>>,
    /// What has to be undone before anybody else can read it.
    pub(super) changed: Option<&'static str>,
    /// An attachment is not there.
    pub(super) broken: bool,
}

/// What is known of the messages of a mailbox.
pub(super) struct Around<'a> {
    pub(super) directory: &'a Path,
    pub(super) index: &'a Index,
    pub(super) cache: Option<&'a Cache>,
    /// Where attachments are.
    pub(super) attachments: Option<&'a Path>,
}

impl Source {
    /// Errors: `Corrupt` if there is no map, or it cannot be read.
    pub(super) fn many(root: &Path, alternate: Option<&Path>) -> Result<Source, Error> {
        let files = Files::looked_at(root, alternate);
        let map = dovecot::load(&files.directory, "dovecot.map.index", &["map"])?;
        let many = Many {
            files,
            map: map.ok_or(Error::Corrupt {
                what: "dovecot.map.index",
            })?,
            reading: None,
        };
        Ok(Source::Many(Box::new(many)))
    }

    /// The name of the extension whose header tells what the mailbox is called for ever.
    pub(super) fn header(&self) -> &'static str {
        match self {
            Source::Single => "dbox-hdr",
            Source::Many(_) => "mdbox-hdr",
        }
    }

    /// True if the index of a mailbox is of this map.
    pub(super) fn has(&self, index: &Index) -> bool {
        let Source::Many(many) = self else {
            return true;
        };
        let known = index.extension_header(self.header()).first_chunk().copied();
        known.map(u32::from_le_bytes) == Some(many.map.uid_validity())
    }

    /// `None`: it is not where it should be.
    pub(super) fn take(&mut self, around: &Around<'_>, uid: Uid) -> Result<Option<Taken>, Error> {
        match self {
            Source::Single => single(around, uid),
            Source::Many(many) => many.take(around, uid),
        }
    }
}

impl Many {
    fn take(&mut self, around: &Around<'_>, uid: Uid) -> Result<Option<Taken>, Error> {
        let Some((place, saved)) = placed(&self.map, around.index, uid.number()) else {
            return Ok(None);
        };
        let file = match self.reading.take() {
            Some((open, file)) if open == place.file => file,
            _ => match self.files.open(place.file) {
                Err(Error::NoSuchMessage) => return Ok(None),
                opened => opened?,
            },
        };
        let known = Known {
            uid,
            place: Some(place),
            suffix: None,
            saved,
        };
        let taken = taken(&file, place.offset, known, around.attachments)?;
        self.reading = Some((place.file, file));
        Ok(taken)
    }
}

fn single(around: &Around<'_>, uid: Uid) -> Result<Option<Taken>, Error> {
    let Around {
        directory,
        index,
        cache,
        attachments,
    } = *around;
    let Some(file) = opened(regular::open(&directory.join(format!("u.{uid}"))))? else {
        return Ok(None);
    };
    let cached = || {
        let record = index.record("cache", uid.number())?.first_chunk().copied();
        cache?.number(u32::from_le_bytes(record?), "date.save")
    };
    // Dovecot says the same where it has not noted it.
    let changed = file.metadata()?.ctime();
    let saved = cached().map_or(changed, i64::from);
    let mut head = [0; MAX_FILE_HEADER];
    let count = file.read_at(&mut head, 0)?;
    let header = head.get(..count).and_then(FileHeader::parse);
    match header {
        Some(header) => {
            let guid = index.extension_header("dbox-hdr").get(4..20);
            let guid = guid.and_then(|guid| guid.try_into().ok()).map(Guid);
            let known = Known {
                uid,
                place: None,
                suffix: guid.map(|guid| suffix(guid, uid)),
                saved,
            };
            taken(&file, header.octets as u64, known, attachments)
        }
        None => Ok(None),
    }
}

fn opened(file: io::Result<File>) -> io::Result<Option<File>> {
    match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Where a message of mdbox is, and when it was saved.
fn placed(map: &Index, index: &Index, uid: u32) -> Option<(Place, i64)> {
    let number = |record: &[u8], at: usize| {
        let octets = record.get(at..)?.first_chunk().copied();
        octets.map(u32::from_le_bytes)
    };
    let own = index.record("mdbox", uid)?;
    let place = map.record("map", number(own, 0)?)?;
    let (file, offset) = (number(place, 0)?, u64::from(number(place, 4)?));
    Some((Place { file, offset }, i64::from(number(own, 4)?)))
}

/// What is known of a message beside what its file says.
struct Known {
    uid: Uid,
    place: Option<Place>,
    /// What the names of its attachments end with.
    suffix: Option<String>,
    saved: i64,
}

fn taken(
    file: &File,
    start: u64,
    known: Known,
    attachments: Option<&Path>,
) -> Result<Option<Taken>, Error> {
    let Some(framed) = message_at(file, start)? else {
        return Ok(None);
    };
    let mut record = Record {
        saved: known.saved,
        ..Record::of_framed(&framed, known.uid, known.place)
    };
    if framed.metadata.get(PLAIN_OCTETS).is_none() {
        // Dovecot does not say so if it got neither larger nor smaller.
        let part = packed::method(file, framed.body, framed.octets)?;
        record.packed = part.map(|_| framed.octets);
    }
    let mut broken = false;
    if let Some(directory) = attachments.filter(|_| framed.metadata.get(ATTACHMENTS).is_some()) {
        let end = known.suffix.as_deref().unwrap_or_default();
        let joined = join(Body::memory(Vec::new()), &framed.metadata, directory, end);
        broken = matches!(joined, Err(Error::Corrupt { .. }));
        record.suffix = known.suffix.map(String::into_boxed_str);
    }
    let uidl = framed.metadata.get(UIDL);
    let uidl = uidl.and_then(|uidl| std::str::from_utf8(uidl).ok());
    Ok(Some(Taken {
        record,
        uidl: uidl.map(Box::from),
        changed: changed(file, &framed, attachments)?,
        broken,
    }))
}

fn changed(
    file: &File,
    framed: &Framed,
    attachments: Option<&Path>,
) -> io::Result<Option<&'static str>> {
    if framed.metadata.get(ATTACHMENTS).is_some() && attachments.is_none() {
        let why = "without their attachments (say in [storage] attachments where those are)";
        return Ok(Some(why));
    }
    let mut head = [0; LONGEST];
    let count = file.read_at(&mut head, framed.body)?;
    let head = head.get(..count).unwrap_or_default();
    let found = CHANGED.iter().find(|(magic, _)| head.starts_with(magic));
    Ok(found.map(|(_, how)| *how))
}
