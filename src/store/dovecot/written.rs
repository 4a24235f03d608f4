//! A log of transactions as Dovecot reads it, which tells all there is of an index that begins with it.

use super::change::{
    APPEND, EXTENSION, EXTENSION_HEADER, EXTENSION_RECORDS, EXTERNAL, HEADER, KEYWORD,
};
use super::octets::padded;
use crate::store::Error;
use crate::store::side::disk;
use crate::store::side::lock::replace;
use std::io;
use std::path::Path;

/// Octets of the header of a log.
const LOG_HEADER: u16 = 40;
/// The number of a log that is the first of its index.
const FIRST: u32 = 2;
/// Records in one transaction, at most.
const CHUNK: usize = 4096;
/// An extension is known by its name.
const BY_NAME: u32 = u32::MAX;
/// Where the fields are in the header of an index.
const UID_VALIDITY: u16 = 24;
const NEXT_UID: u16 = 28;
const FIRST_RECENT: u16 = 48;
const LOG_TAIL: u16 = 64;
/// Octets of a transaction that sets one.
const FIELD_OCTETS: usize = 16;

/// What the name of a log ends with until it is in its place.
pub(in super::super) const STAGED: &str = ".dovelet";

/// A log that is written.
pub(in super::super) struct Written {
    bytes: Vec<u8>,
}

impl Written {
    /// One without transactions. `now`: seconds since 1970. Mod-sequences begin where those of this server
    /// would if it began now, above all that were.
    pub(in super::super) fn new(now: u32, uid_validity: u32) -> Written {
        let mod_seq = u64::try_from(crate::sys::clock::now().as_micros()).unwrap_or(1);
        let mut bytes = vec![1, 3];
        bytes.extend_from_slice(&LOG_HEADER.to_le_bytes());
        for field in [now, FIRST, 0, 0, now] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        // And that numbers have their lowest octet first.
        bytes.extend_from_slice(&mod_seq.to_le_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        let mut written = Written { bytes };
        written.put_field(UID_VALIDITY, uid_validity);
        written
    }

    fn put(&mut self, kind: u32, data: &[u8]) {
        let filled = padded(data.len()).unwrap_or(data.len());
        let quarter = u32::try_from((filled + 8) / 4).unwrap_or(u32::MAX);
        let length = [21, 14, 7, 0].map(|shift| (quarter >> shift & 0x7f) as u8 | 0x80);
        self.bytes.extend_from_slice(&length);
        self.bytes
            .extend_from_slice(&(kind | EXTERNAL).to_le_bytes());
        self.bytes.extend_from_slice(data);
        let end = self.bytes.len() + filled - data.len();
        self.bytes.resize(end, 0);
    }

    fn put_field(&mut self, at: u16, value: u32) {
        let mut data = at.to_le_bytes().to_vec();
        data.extend_from_slice(&4u16.to_le_bytes());
        data.extend_from_slice(&value.to_le_bytes());
        self.put(HEADER, &data);
    }

    /// The whole log. `next_uid`: at least above all that were appended.
    pub(in super::super) fn finish(mut self, next_uid: u32) -> Vec<u8> {
        self.put_field(NEXT_UID, next_uid);
        // What comes then is new to clients, and nothing else.
        self.put_field(FIRST_RECENT, next_uid);
        // All that was to be done is done, this included.
        let end = self.bytes.len().saturating_add(FIELD_OCTETS);
        self.put_field(LOG_TAIL, u32::try_from(end).unwrap_or(0));
        self.bytes
    }

    /// What follows is about an extension of that name.
    fn introduce(&mut self, name: &str, header: usize, (record, align): (u16, u16)) {
        let header = u32::try_from(header).unwrap_or(0);
        let mut data = Vec::new();
        for field in [BY_NAME, 0, header] {
            data.extend_from_slice(&field.to_le_bytes());
        }
        let name_octets = u16::try_from(name.len()).unwrap_or(0);
        // 1: records that are there keep their length.
        for field in [record, align, 1, name_octets] {
            data.extend_from_slice(&field.to_le_bytes());
        }
        data.extend_from_slice(name.as_bytes());
        self.put(EXTENSION, &data);
    }

    /// An extension that says something of the mailbox. `record`: octets of its records, and what they are
    /// aligned to.
    pub(in super::super) fn put_header(&mut self, name: &str, record: (u16, u16), header: &[u8]) {
        self.introduce(name, header.len(), record);
        let mut data = 0u16.to_le_bytes().to_vec();
        let octets = u16::try_from(header.len()).unwrap_or(0);
        data.extend_from_slice(&octets.to_le_bytes());
        data.extend_from_slice(header);
        self.put(EXTENSION_HEADER, &data);
    }

    /// UIDs, ascending, and their flags.
    pub(in super::super) fn append(&mut self, rows: &[(u32, u8)]) {
        for chunk in rows.chunks(CHUNK) {
            let mut data = Vec::with_capacity(chunk.len() * 8);
            for (uid, flags) in chunk {
                data.extend_from_slice(&uid.to_le_bytes());
                data.extend_from_slice(&[*flags, 0, 0, 0]);
            }
            self.put(APPEND, &data);
        }
    }

    /// What an extension says of messages. `align`: what its records are aligned to.
    pub(in super::super) fn put_records<const N: usize>(
        &mut self,
        name: &str,
        align: u16,
        records: &[(u32, [u8; N])],
    ) {
        let octets = u16::try_from(N).unwrap_or(0);
        for chunk in records.chunks(CHUNK) {
            self.introduce(name, 0, (octets, align));
            let mut data = Vec::new();
            for (uid, record) in chunk {
                data.extend_from_slice(&uid.to_le_bytes());
                data.extend_from_slice(record);
                data.resize(padded(data.len()).unwrap_or(data.len()), 0);
            }
            self.put(EXTENSION_RECORDS, &data);
        }
    }

    /// A keyword, and runs of the UIDs that have it.
    pub(in super::super) fn put_keyword(&mut self, name: &str, runs: &[(u32, u32)]) {
        for chunk in runs.chunks(CHUNK) {
            let mut data = vec![0, 0];
            let octets = u16::try_from(name.len()).unwrap_or(0);
            data.extend_from_slice(&octets.to_le_bytes());
            data.extend_from_slice(name.as_bytes());
            data.resize(padded(data.len()).unwrap_or(data.len()), 0);
            for (first, last) in chunk {
                data.extend_from_slice(&first.to_le_bytes());
                data.extend_from_slice(&last.to_le_bytes());
            }
            self.put(KEYWORD, &data);
        }
    }
}

/// Puts a whole log in the place of an index and the logs that were there. Durable.
pub(in super::super) fn put_log(directory: &Path, name: &str, log: &[u8]) -> Result<(), Error> {
    let staged = directory.join(format!("{name}.log{STAGED}"));
    replace(&staged, log)?;
    Ok(place_log(directory, name, &staged)?)
}

/// As [`put_log`], of one that was written under another name there.
pub(in super::super) fn place_log(directory: &Path, name: &str, staged: &Path) -> io::Result<()> {
    for suffix in ["", ".backup", ".cache", ".log.2"] {
        match disk::remove(&directory.join(format!("{name}{suffix}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    disk::rename_over(staged, &directory.join(format!("{name}.log")))?;
    disk::sync_directory_at(directory)
}

#[cfg(test)]
mod tests {
    use super::super::load::combine;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut log = Written::new(1_700_000_000, 77);
        log.put_header("mdbox-hdr", (0, 0), &[7; 24]);
        let rows: Vec<(u32, u8)> = (1..=9000).map(|uid| (uid * 2, (uid % 32) as u8)).collect();
        log.append(&rows);
        let records: Vec<(u32, [u8; 2])> = rows.iter().map(|r| (r.0, [1, r.1])).collect();
        log.put_records("ref", 2, &records);
        log.put_keyword("$Junk", &[(2, 2), (10, 20)]);
        let bytes = log.finish(99_999);
        let index = combine(None, &[bytes], &["ref"]).unwrap();
        assert_eq!((index.uid_validity(), index.next_uid()), (77, 99_999));
        assert_eq!(index.extension_header("mdbox-hdr"), [7; 24]);
        assert_eq!(index.rows.len(), 9000);
        for (uid, flags) in rows {
            let row = &index.rows[&uid];
            let keyword = uid == 2 || (10..=20).contains(&uid);
            assert_eq!((row.flags, row.keywords.is_empty()), (flags, !keyword));
            assert_eq!(index.record("ref", uid), Some(&[1, flags][..]));
        }
        assert_eq!(index.keywords, ["$Junk".into()]);
    }
}
