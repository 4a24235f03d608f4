//! The fields of an index's header, and names of keywords.

use super::octets::{length_at, u16_at, u32_at, u64_at};

/// Octets of the header that every version has.
pub(super) const HEADER: usize = 120;

/// The header of an index, as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct Header(pub(super) [u8; HEADER]);

impl Header {
    fn number(&self, at: usize) -> u32 {
        u32_at(&self.0, at).unwrap_or(0)
    }

    pub(super) fn index_id(&self) -> u32 {
        self.number(16)
    }

    pub(super) fn uid_validity(&self) -> u32 {
        self.number(24)
    }

    pub(super) fn next_uid(&self) -> u32 {
        self.number(28)
    }

    pub(super) fn messages(&self) -> u32 {
        self.number(32)
    }

    /// The log that goes on from here, and where in it.
    pub(super) fn log(&self) -> (u32, u32) {
        (self.number(60), self.number(68))
    }

    pub(super) fn set_next_uid(&mut self, next: u32) {
        if let Some(field) = self.0.get_mut(28..32) {
            field.copy_from_slice(&next.to_le_bytes());
        }
    }
}

/// The names in the header of the extension `keywords`; `None` if it is none.
pub(super) fn keywords(header: &[u8]) -> Option<Vec<Box<str>>> {
    let count = length_at(header, 0)?;
    let names = header.get(4usize.checked_add(count.checked_mul(8)?)?..)?;
    let mut all = Vec::new();
    for number in 0..count {
        let name = names.get(length_at(header, 8 + number * 8)?..)?;
        let end = memchr::memchr(0, name)?;
        all.push(std::str::from_utf8(name.get(..end)?).ok()?.into());
    }
    Some(all)
}

/// The header of an extension in the file of an index.
pub(super) struct ExtensionHeader<'a> {
    pub(super) name: &'a str,
    pub(super) reset_id: u32,
    pub(super) data: &'a [u8],
    /// Where its records begin in those of messages.
    pub(super) record_offset: usize,
    pub(super) record_octets: usize,
    /// Octets of all of it.
    pub(super) octets: usize,
}

impl ExtensionHeader<'_> {
    /// The one that begins there.
    pub(super) fn at(headers: &[u8], at: usize) -> Option<ExtensionHeader<'_>> {
        let own = headers.get(at..)?;
        let name_end = 16 + usize::from(u16_at(own, 14)?);
        let data = name_end.next_multiple_of(8);
        let end = data.checked_add(length_at(own, 0)?)?;
        Some(ExtensionHeader {
            name: std::str::from_utf8(own.get(16..name_end)?).ok()?,
            reset_id: u32_at(own, 4)?,
            data: own.get(data..end)?,
            record_offset: usize::from(u16_at(own, 8)?),
            record_octets: usize::from(u16_at(own, 10)?),
            octets: end.checked_next_multiple_of(8)?,
        })
    }
}

/// The header of a log of transactions.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogHeader {
    pub(super) octets: usize,
    pub(super) index_id: u32,
    pub(super) number: u32,
    pub(super) first_mod_seq: u64,
}

impl LogHeader {
    /// `None` if that is no log of version 1.
    pub(super) fn parse(bytes: &[u8]) -> Option<LogHeader> {
        let octets = usize::from(u16_at(bytes, 2)?);
        if bytes.first() != Some(&1) || octets < 24 {
            return None;
        }
        Some(LogHeader {
            octets,
            index_id: u32_at(bytes, 4)?,
            number: u32_at(bytes, 8)?,
            first_mod_seq: match octets {
                32.. => u64_at(bytes, 24)?,
                _ => 0,
            },
        })
    }
}
