//! What is kept in an index beside UIDs and flags, each kind under a name.

use std::collections::BTreeMap;

/// Octets of the header of an extension, at most.
const MAX_HEADER: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Extension {
    pub(super) name: Box<str>,
    /// Records of another number are not of this one.
    pub(super) reset_id: u32,
    pub(super) header: Vec<u8>,
    pub(super) record_octets: usize,
    /// Of messages that have one, if anybody wants them.
    pub(super) records: Option<BTreeMap<u32, Box<[u8]>>>,
}

impl Extension {
    /// `wanted`: names of those whose records are kept.
    pub(super) fn new(name: &str, wanted: &[&str]) -> Extension {
        Extension {
            name: name.into(),
            reset_id: 0,
            header: Vec::new(),
            record_octets: 0,
            records: wanted.contains(&name).then(BTreeMap::new),
        }
    }

    pub(super) fn put(&mut self, uid: u32, record: &[u8]) {
        if let Some(records) = &mut self.records {
            records.insert(uid, record.into());
        }
    }

    /// Writes into the header; false if it would be too long.
    pub(super) fn put_header(&mut self, at: usize, bytes: &[u8]) -> bool {
        let end = at.checked_add(bytes.len()).filter(|end| *end <= MAX_HEADER);
        let Some(end) = end else { return false };
        if self.header.len() < end {
            self.header.resize(end, 0);
        }
        if let Some(own) = self.header.get_mut(at..end) {
            own.copy_from_slice(bytes);
        }
        true
    }

    /// Adds to the number that the record of a message is.
    pub(super) fn add(&mut self, uid: u32, by: i32) {
        let octets = self.record_octets.min(8);
        let Some(records) = &mut self.records else {
            return;
        };
        let record = records
            .entry(uid)
            .or_insert_with(|| vec![0; octets].into_boxed_slice());
        let mut number = [0; 8];
        for (to, from) in number.iter_mut().zip(record.iter()) {
            *to = *from;
        }
        let sum = u64::from_le_bytes(number).wrapping_add_signed(i64::from(by));
        for (to, from) in record.iter_mut().zip(sum.to_le_bytes()) {
            *to = from;
        }
    }
}
