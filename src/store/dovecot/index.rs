//! The messages of a mailbox as an index has them.

use super::extension::Extension;
use super::fields::{self, ExtensionHeader, HEADER, Header};
use super::octets::{length_at, u8_at, u32_at};
use crate::mail::SystemFlags;
use crate::store::Error;
use std::collections::BTreeMap;

/// Keywords of a mailbox, at most.
const MAX_KEYWORDS: usize = 4096;
/// Extensions of an index, at most.
pub(super) const MAX_EXTENSIONS: usize = 256;
pub(super) const KEYWORDS: &str = "keywords";
/// In mdbox and sdbox: the message is in alternate storage.
pub(in super::super) const BACKEND: u8 = 0x40;

/// A message.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Row {
    /// Dovecot's flags of a message: see [`flags`].
    pub(in super::super) flags: u8,
    /// Places of its keywords among those of the index.
    pub(in super::super) keywords: Vec<u16>,
}

/// All that an index and its logs say.
#[derive(Debug)]
pub(in super::super) struct Index {
    pub(super) header: Header,
    pub(super) extensions: Vec<Extension>,
    pub(in super::super) rows: BTreeMap<u32, Row>,
    pub(in super::super) keywords: Vec<Box<str>>,
    /// The highest mod-sequence that was given; 0 if none was.
    pub(in super::super) mod_seq: u64,
    /// Names of extensions whose records are kept.
    pub(super) wanted: Vec<&'static str>,
}

/// What flags of Dovecot's mean here.
pub(in super::super) fn flags(bits: u8) -> SystemFlags {
    // The five have the same numbers.
    SystemFlags::from_bits(bits)
}

const DAMAGED: Error = Error::Corrupt {
    what: "an index of Dovecot's",
};

impl Index {
    /// One that says nothing yet. `wanted`: extensions whose records are kept.
    pub(super) fn empty(wanted: &[&'static str]) -> Index {
        Index {
            header: Header([0; HEADER]),
            extensions: Vec::new(),
            rows: BTreeMap::new(),
            keywords: Vec::new(),
            mod_seq: 0,
            wanted: wanted.to_vec(),
        }
    }

    /// Reads `dovecot.index`. Errors: `Corrupt`.
    pub(super) fn parse(bytes: &[u8], wanted: &[&'static str]) -> Result<Index, Error> {
        Index::parsed(bytes, wanted).ok_or(DAMAGED)
    }

    fn parsed(bytes: &[u8], wanted: &[&'static str]) -> Option<Index> {
        let mut index = Index::empty(wanted);
        if u8_at(bytes, 0) != Some(7) {
            return None;
        }
        index.header = Header(super::octets::octets(bytes, 0)?);
        let base = usize::from(super::octets::u16_at(bytes, 2)?);
        let header = length_at(bytes, 4)?;
        let record = length_at(bytes, 8).filter(|octets| *octets >= 5)?;
        let headers = bytes.get(..header).filter(|_| base >= HEADER)?;
        let mut columns = Vec::new();
        let mut at = base.checked_next_multiple_of(8)?;
        while at < headers.len() {
            let extension = ExtensionHeader::at(headers, at)?;
            at = at.checked_add(extension.octets)?;
            index.introduce(&extension)?;
            let end = extension.record_offset + extension.record_octets;
            if extension.record_octets > 0 && (extension.record_offset < 5 || end > record) {
                return None;
            }
            columns.push(extension.record_offset..end);
        }
        let count = usize::try_from(index.header.messages()).ok()?;
        let records = bytes.get(header..header.checked_add(count.checked_mul(record)?)?)?;
        let mut last = 0;
        for row in records.chunks_exact(record) {
            let uid = u32_at(row, 0).filter(|uid| *uid > last)?;
            last = uid;
            index.rows.insert(uid, index.row(row, &columns));
            for (extension, column) in index.extensions.iter_mut().zip(&columns) {
                let data = row.get(column.clone()).unwrap_or_default();
                if data.iter().any(|octet| *octet != 0) {
                    extension.put(uid, data);
                }
            }
        }
        (last < index.header.next_uid() || last == 0).then_some(index)
    }

    fn introduce(&mut self, header: &ExtensionHeader<'_>) -> Option<()> {
        if self.extensions.len() >= MAX_EXTENSIONS {
            return None;
        }
        if header.name == KEYWORDS {
            self.keywords = fields::keywords(header.data)?;
            if self.keywords.len() > MAX_KEYWORDS {
                return None;
            }
        }
        let mut extension = Extension::new(header.name, &self.wanted);
        extension.reset_id = header.reset_id;
        extension.record_octets = header.record_octets;
        if !extension.put_header(0, header.data) {
            return None;
        }
        self.extensions.push(extension);
        Some(())
    }

    fn row(&self, record: &[u8], columns: &[std::ops::Range<usize>]) -> Row {
        let own = self.extensions.iter().position(|e| *e.name == *KEYWORDS);
        let column = own.and_then(|own| columns.get(own).cloned());
        let bits = column.and_then(|column| record.get(column));
        let mut keywords = Vec::new();
        for (number, octet) in (0u16..).zip(bits.unwrap_or_default()) {
            let set = (0..8).filter(|bit| octet & 1 << bit != 0);
            let set = set.map(|bit| number * 8 + bit);
            keywords.extend(set.filter(|k| usize::from(*k) < self.keywords.len()));
        }
        Row {
            flags: u8_at(record, 4).unwrap_or(0),
            keywords,
        }
    }

    /// The place of a keyword, which gets one if it has none. `None`: there are too many.
    pub(super) fn keyword(&mut self, name: &str) -> Option<u16> {
        let known = self.keywords.iter().position(|own| **own == *name);
        let at = known.unwrap_or(self.keywords.len());
        if at >= MAX_KEYWORDS {
            return None;
        }
        if known.is_none() {
            self.keywords.push(name.into());
        }
        u16::try_from(at).ok()
    }

    fn extension(&self, name: &str) -> Option<&Extension> {
        self.extensions.iter().find(|e| *e.name == *name)
    }

    pub(in super::super) fn index_id(&self) -> u32 {
        self.header.index_id()
    }

    /// 0 if it does not say.
    pub(in super::super) fn uid_validity(&self) -> u32 {
        self.header.uid_validity()
    }

    /// No UID from here on was given.
    pub(in super::super) fn next_uid(&self) -> u32 {
        let last = self.rows.last_key_value().map_or(0, |(uid, _)| *uid);
        self.header.next_uid().max(last.saturating_add(1))
    }

    /// What an extension says of the mailbox; empty if there is none.
    pub(in super::super) fn extension_header(&self, name: &str) -> &[u8] {
        self.extension(name).map_or(&[], |e| &e.header)
    }

    /// The number by which an extension is told from what it was before.
    pub(in super::super) fn reset_id(&self, name: &str) -> Option<u32> {
        Some(self.extension(name)?.reset_id)
    }

    /// What a wanted extension says of a message.
    pub(in super::super) fn record(&self, name: &str, uid: u32) -> Option<&[u8]> {
        let records = self.extension(name)?.records.as_ref()?;
        records.get(&uid).map(|record| &**record)
    }
}
