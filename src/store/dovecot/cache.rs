//! What `dovecot.index.cache` knows of messages; only what has a length that is always the same.

use super::load::read;
use super::octets::{length_at, offset_at, padded, u8_at, u32_at};
use crate::store::Error;
use std::path::Path;

/// Octets of a cache that are read, at most.
const MAX_CACHE: u64 = 512 << 20;
/// Records of one message that are looked at, at most.
const MAX_RECORDS: usize = 64;
/// Blocks of names that are looked at, at most.
const MAX_BLOCKS: usize = 1024;
const VARIABLE: u32 = u32::MAX;

/// A cache whose records an index names.
pub(in super::super) struct Cache {
    bytes: Vec<u8>,
    /// Name and length of each field.
    fields: Vec<(Box<[u8]>, u32)>,
}

impl Cache {
    /// The cache in that directory, if the index is of the same. `None`: there is none, or nothing in it
    /// can be read.
    pub(in super::super) fn load(directory: &Path, reset_id: u32) -> Result<Option<Cache>, Error> {
        let bytes = read(&directory.join("dovecot.index.cache"), MAX_CACHE)?;
        Ok(bytes.and_then(|bytes| Cache::parse(bytes, reset_id)))
    }

    pub(super) fn parse(bytes: Vec<u8>, reset_id: u32) -> Option<Cache> {
        if u8_at(&bytes, 0) != Some(1) || u32_at(&bytes, 8) != Some(reset_id) {
            return None;
        }
        let fields = fields(&bytes)?;
        Some(Cache { bytes, fields })
    }

    /// A number that is kept of a message whose newest record begins there.
    pub(in super::super) fn number(&self, record: u32, name: &str) -> Option<u32> {
        let mut names = self.fields.iter();
        let wanted = names.position(|(own, octets)| **own == *name.as_bytes() && *octets == 4)?;
        let mut at = usize::try_from(record).ok()?;
        for _ in 0..MAX_RECORDS {
            let (before, octets) = (length_at(&self.bytes, at)?, length_at(&self.bytes, at + 4)?);
            let record = self.bytes.get(at..at.checked_add(octets)?)?;
            if let Some(found) = self.field(record, wanted) {
                return Some(found);
            }
            // An earlier record of the message is before it.
            at = Some(before).filter(|before| *before > 0 && *before < at)?;
        }
        None
    }

    fn field(&self, record: &[u8], wanted: usize) -> Option<u32> {
        let mut at = 8;
        loop {
            let number = length_at(record, at)?;
            let (_, octets) = self.fields.get(number)?;
            at += 4;
            if number == wanted {
                return u32_at(record, at);
            }
            let octets = match *octets {
                VARIABLE => {
                    let octets = length_at(record, at)?;
                    at += 4;
                    octets
                }
                octets => usize::try_from(octets).ok()?,
            };
            at = at.checked_add(padded(octets)?)?;
        }
    }
}

/// The newest block of names and lengths.
fn fields(bytes: &[u8]) -> Option<Vec<(Box<[u8]>, u32)>> {
    let mut at = offset_at(bytes, 28).filter(|at| *at > 0)?;
    for _ in 0..MAX_BLOCKS {
        match offset_at(bytes, at) {
            Some(next) if next > at => at = next,
            _ => break,
        }
    }
    let block = bytes.get(at..at.checked_add(length_at(bytes, at + 4)?)?)?;
    let count = length_at(block, 8)?;
    // Last used, length, type, decision.
    let names = 12usize.checked_add(count.checked_mul(10)?)?;
    let mut names = block.get(names..)?.split(|octet| *octet == 0);
    let mut fields = Vec::new();
    for number in 0..count {
        let octets = u32_at(block, 12 + (count + number) * 4)?;
        fields.push((names.next()?.into(), octets));
    }
    Some(fields)
}
