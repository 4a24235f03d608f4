//! Transactions that a log tells, applied to what an index says.

use super::extension::Extension;
use super::fields::LogHeader;
use super::index::{Index, KEYWORDS, MAX_EXTENSIONS, Row};
use super::octets::{length_at, offset_at, padded, u8_at, u16_at, u32_at, u64_at};

/// What a transaction is about.
const KIND: u32 = 0x0fff_ffff;
/// It is what happened, not what is to happen.
pub(super) const EXTERNAL: u32 = 0x1000_0000;
const EXPUNGE: u32 = 0x1 | EXPUNGES;
const EXPUNGE_GUID: u32 = 0x2000 | EXPUNGES;
/// Set in these, so that no damaged number looks like one.
const EXPUNGES: u32 = 0xcd90;
pub(super) const APPEND: u32 = 0x2;
const FLAGS: u32 = 0x4;
pub(super) const HEADER: u32 = 0x20;
pub(super) const EXTENSION: u32 = 0x40;
const EXTENSION_RESET: u32 = 0x80;
pub(super) const EXTENSION_HEADER: u32 = 0x100;
pub(super) const EXTENSION_RECORDS: u32 = 0x200;
pub(super) const KEYWORD: u32 = 0x400;
const KEYWORDS_RESET: u32 = 0x800;
const EXTENSION_ADD: u32 = 0x1000;
const MOD_SEQ: u32 = 0x8000;
const LONG_EXTENSION_HEADER: u32 = 0x1_0000;
const ATTRIBUTE: u32 = 0x10_0000;
/// An extension is known by its name.
const BY_NAME: u32 = u32::MAX;

/// The extension that transactions are about.
#[derive(Clone, Copy)]
struct Current {
    at: usize,
    record_octets: usize,
    /// It is not what it was when the transaction was written.
    stale: bool,
    reset_id: u32,
}

/// Applies all transactions of a log from an offset on, as far as they are whole.
pub(super) fn replay(index: &mut Index, log: &[u8], header: &LogHeader, from: usize) {
    index.mod_seq = index.mod_seq.max(header.first_mod_seq);
    let mut at = header.octets;
    let mut current = None;
    while let Some(octets) = offset_at(log, at).filter(|octets| *octets >= 8) {
        let Some(kind) = u32_at(log, at + 4) else {
            return;
        };
        let end = at.saturating_add(octets);
        let Some(data) = log.get(at + 8..end) else {
            return;
        };
        count(index, kind, data);
        if at >= from && apply(index, &mut current, kind, data).is_none() {
            log::warn!("a log of Dovecot's makes no sense at {at} and is read no further");
            return;
        }
        at = end;
    }
}

/// Which mod-sequence a transaction has.
fn count(index: &mut Index, kind: u32, data: &[u8]) {
    let more = match kind & KIND {
        EXTENSION if index.mod_seq == 0 => data.get(24..).is_some_and(|n| n.starts_with(b"modseq")),
        _ if index.mod_seq == 0 => false,
        EXPUNGE | EXPUNGE_GUID => kind & EXTERNAL != 0,
        APPEND | FLAGS | KEYWORD | KEYWORDS_RESET | ATTRIBUTE => true,
        MOD_SEQ => {
            for record in data.chunks_exact(12) {
                index.mod_seq = index.mod_seq.max(u64_at(record, 4).unwrap_or(0));
            }
            false
        }
        _ => false,
    };
    index.mod_seq = index.mod_seq.saturating_add(u64::from(more));
}

fn apply(index: &mut Index, current: &mut Option<Current>, kind: u32, data: &[u8]) -> Option<()> {
    match kind & KIND {
        // What is only asked for is said again once it is done.
        EXPUNGE | EXPUNGE_GUID if kind & EXTERNAL == 0 => {}
        EXPUNGE => ranges(data, 8, &mut |first, last| index.expunge(first, last)),
        EXPUNGE_GUID => {
            for record in data.chunks_exact(20) {
                let uid = u32_at(record, 0)?;
                index.expunge(uid, uid);
            }
        }
        APPEND => {
            for record in data.chunks_exact(8) {
                index.append(u32_at(record, 0)?, u8_at(record, 4)?)?;
            }
        }
        FLAGS => {
            for record in data.chunks_exact(12) {
                let (add, remove) = (u8_at(record, 8)?, u8_at(record, 9)?);
                let (first, last) = (u32_at(record, 0)?, u32_at(record, 4)?);
                index.each(first, last, &mut |row| {
                    row.flags = row.flags & !remove | add;
                });
            }
        }
        HEADER => {
            pieces(data, 2, &mut |at, bytes| {
                let field = index.header.0.get_mut(at..at.checked_add(bytes.len())?);
                // There may be fields that this version does not know.
                if let Some(field) = field {
                    field.copy_from_slice(bytes);
                }
                Some(())
            })?;
        }
        KEYWORD => index.change_keyword(data)?,
        KEYWORDS_RESET => ranges(data, 8, &mut |first, last| {
            index.each(first, last, &mut |row| row.keywords.clear());
        }),
        EXTENSION => *current = Some(index.introduced(data)?),
        EXTENSION_RESET
        | EXTENSION_HEADER
        | LONG_EXTENSION_HEADER
        | EXTENSION_RECORDS
        | EXTENSION_ADD => index.change_extension(current.as_mut()?, kind & KIND, data)?,
        // What else there is says nothing of messages.
        _ => {}
    }
    Some(())
}

/// Pairs of UIDs.
fn ranges(data: &[u8], octets: usize, each: &mut dyn FnMut(u32, u32)) {
    for record in data.chunks_exact(octets) {
        if let (Some(first), Some(last)) = (u32_at(record, 0), u32_at(record, 4)) {
            each(first, last);
        }
    }
}

/// Octets with the offsets where they belong. `octets`: of an offset, and of a length.
fn pieces(
    data: &[u8],
    octets: usize,
    each: &mut dyn FnMut(usize, &[u8]) -> Option<()>,
) -> Option<()> {
    let number = |at| match octets {
        2 => u16_at(data, at).map(usize::from),
        _ => length_at(data, at),
    };
    let mut at = 0;
    while at < data.len() {
        let (offset, length) = (number(at)?, number(at + octets)?);
        let start = at + 2 * octets;
        let end = start.checked_add(length)?;
        each(offset, data.get(start..end)?)?;
        at = padded(end)?;
    }
    Some(())
}

impl Index {
    fn each(&mut self, first: u32, last: u32, change: &mut dyn FnMut(&mut Row)) {
        if first <= last {
            let rows = self.rows.range_mut(first..=last);
            rows.for_each(|(_, row)| change(row));
        }
    }

    fn expunge(&mut self, first: u32, last: u32) {
        if first > last {
            return;
        }
        let gone: Vec<u32> = self.rows.range(first..=last).map(|(uid, _)| *uid).collect();
        for uid in gone {
            self.rows.remove(&uid);
            for records in self
                .extensions
                .iter_mut()
                .filter_map(|e| e.records.as_mut())
            {
                records.remove(&uid);
            }
        }
    }

    fn append(&mut self, uid: u32, flags: u8) -> Option<()> {
        // What comes is higher than all that came.
        if uid == 0 || uid < self.header.next_uid() {
            return Some(());
        }
        self.header.set_next_uid(uid.checked_add(1)?);
        let keywords = Vec::new();
        self.rows.insert(uid, Row { flags, keywords });
        Some(())
    }

    fn change_keyword(&mut self, data: &[u8]) -> Option<()> {
        let adds = u8_at(data, 0)? == 0;
        let end = 4 + usize::from(u16_at(data, 2)?);
        let name = std::str::from_utf8(data.get(4..end)?).ok()?;
        let keyword = self.keyword(name)?;
        if !self.extensions.iter().any(|e| *e.name == *KEYWORDS) {
            self.add_extension(KEYWORDS)?;
        }
        let uids = data.get(padded(end)?..)?;
        ranges(uids, 8, &mut |first, last| {
            self.each(first, last, &mut |row| {
                row.keywords.retain(|own| *own != keyword);
                if adds {
                    row.keywords.push(keyword);
                }
            });
        });
        Some(())
    }

    fn add_extension(&mut self, name: &str) -> Option<usize> {
        if self.extensions.len() >= MAX_EXTENSIONS {
            return None;
        }
        self.extensions.push(Extension::new(name, &self.wanted));
        Some(self.extensions.len() - 1)
    }

    /// The extension that what follows is about.
    fn introduced(&mut self, data: &[u8]) -> Option<Current> {
        let (number, reset_id) = (u32_at(data, 0)?, u32_at(data, 4)?);
        let record_octets = usize::from(u16_at(data, 12)?);
        let at = match number {
            BY_NAME => {
                let end = 20usize.checked_add(usize::from(u16_at(data, 18)?))?;
                let name = std::str::from_utf8(data.get(20..end)?).ok()?;
                let known = self.extensions.iter().position(|e| *e.name == *name);
                match known {
                    Some(at) => at,
                    None => {
                        let at = self.add_extension(name)?;
                        self.extensions.get_mut(at)?.reset_id = reset_id;
                        at
                    }
                }
            }
            number => usize::try_from(number).ok()?,
        };
        let extension = self.extensions.get_mut(at)?;
        extension.record_octets = extension.record_octets.max(record_octets);
        Some(Current {
            at,
            record_octets,
            stale: extension.reset_id != reset_id,
            reset_id,
        })
    }

    fn change_extension(&mut self, current: &mut Current, kind: u32, data: &[u8]) -> Option<()> {
        let extension = self.extensions.get_mut(current.at)?;
        if kind == EXTENSION_RESET {
            extension.reset_id = u32_at(data, 0)?;
            let keeps = u8_at(data, 4)? != 0;
            if let Some(records) = extension.records.as_mut().filter(|_| !keeps) {
                records.clear();
            }
            current.stale = extension.reset_id != current.reset_id;
            return Some(());
        }
        if current.stale {
            return Some(());
        }
        let mut put = |at: usize, bytes: &[u8]| extension.put_header(at, bytes).then_some(());
        match kind {
            EXTENSION_HEADER => pieces(data, 2, &mut put)?,
            LONG_EXTENSION_HEADER => pieces(data, 4, &mut put)?,
            EXTENSION_RECORDS => {
                let octets = 4 + padded(current.record_octets)?;
                for record in data.chunks_exact(octets) {
                    let uid = u32_at(record, 0)?;
                    let own = record.get(4..4 + current.record_octets)?;
                    if self.rows.contains_key(&uid) {
                        extension.put(uid, own);
                    }
                }
            }
            _ => {
                for record in data.chunks_exact(8) {
                    let (uid, by) = (u32_at(record, 0)?, u32_at(record, 4)?.cast_signed());
                    if self.rows.contains_key(&uid) {
                        extension.add(uid, by);
                    }
                }
            }
        }
        Some(())
    }
}
