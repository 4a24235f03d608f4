//! Unique-ids (RFC 1939 section 7, UIDL).

use super::maildrop::Maildrop;
use crate::config::Pop3;
use crate::mail::{Named, Uid, UidSet};
use crate::mailbox::{Entry, Error, Wanted};
use crate::mime;
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Messages whose new unique-ids are kept in memory until they are saved.
const MAX_UNSAVED: usize = 16 * 1024;

/// The unique-ids of one session.
pub(super) struct Uidls {
    pop3: Arc<Pop3>,
    /// Messages that would be called as others, and what tells them apart; once somebody looked.
    repeated: Option<Vec<(Uid, u32)>>,
    /// Told, and to be remembered.
    unsaved: Vec<(Uid, Box<str>)>,
}

impl Uidls {
    pub(super) fn new(pop3: Arc<Pop3>) -> Uidls {
        Uidls {
            pop3,
            repeated: None,
            unsaved: Vec::new(),
        }
    }

    pub(super) fn pop3(&self) -> &Arc<Pop3> {
        &self.pop3
    }

    /// The unique-id of a message; `None` if it was removed meanwhile.
    pub(super) fn of(
        &mut self,
        maildrop: &Maildrop,
        entry: &Entry,
    ) -> Result<Option<String>, Error> {
        let Some(mut text) = uidl(maildrop, entry, &self.pop3)? else {
            return Ok(None);
        };
        if self.pop3.rename_duplicates && entry.uidl.is_none() {
            if self.repeated.is_none() {
                self.repeated = Some(repeated(maildrop, &self.pop3)?);
            }
            let repeated = self.repeated.as_deref().unwrap_or_default();
            if let Ok(at) = repeated.binary_search_by_key(&entry.uid, |(uid, _)| *uid)
                && let Some((_, count)) = repeated.get(at)
            {
                text.push_str(&format!("-{count}"));
            }
        }
        if self.pop3.save_uidl && entry.uidl.is_none() {
            self.unsaved.push((entry.uid, text.as_str().into()));
            if self.unsaved.len() >= MAX_UNSAVED {
                self.save(maildrop)?;
            }
        }
        Ok(Some(text))
    }

    /// Remembers what was told. Durable.
    pub(super) fn save(&mut self, maildrop: &Maildrop) -> Result<(), Error> {
        match std::mem::take(&mut self.unsaved) {
            unsaved if unsaved.is_empty() => Ok(()),
            unsaved => maildrop.view.keep_uidls(&unsaved),
        }
    }
}

/// Every message that would be called as another one is, and the number that tells it apart. A name that a
/// message has for ever is its own. Memory is 16 octets a message for as long as it takes.
fn repeated(maildrop: &Maildrop, pop3: &Pop3) -> Result<Vec<(Uid, u32)>, Error> {
    let mut names: Vec<(u64, bool, Uid)> = Vec::new();
    let all = maildrop.view.uids().clone();
    each_name(maildrop, pop3, all, &mut |entry, text| {
        names.push((hash(text), entry.uidl.is_none(), entry.uid));
    })?;
    crate::mail::sort(&mut names);
    let same = names.chunk_by(|(a, ..), (b, ..)| a == b);
    let later = same.flat_map(|same| same.iter().skip(1));
    let later: UidSet = later
        .filter(|(_, new, _)| *new)
        .map(|name| name.2)
        .collect();
    let taken = |text: &str| {
        names
            .binary_search_by_key(&hash(text), |name| name.0)
            .is_ok()
    };
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut repeated = Vec::new();
    each_name(maildrop, pop3, later, &mut |entry, text| {
        let count = counts.entry(text.to_owned()).or_insert(1);
        *count += 1;
        while taken(&format!("{text}-{count}")) {
            *count += 1;
        }
        repeated.push((entry.uid, *count));
    })?;
    Ok(repeated)
}

fn each_name(
    maildrop: &Maildrop,
    pop3: &Pop3,
    uids: UidSet,
    each: &mut dyn FnMut(&Entry, &str),
) -> Result<(), Error> {
    let mut entries = maildrop.view.entries(uids, wanted(pop3));
    while let Some(some) = entries.step()? {
        for entry in &some {
            if let Some(text) = uidl(maildrop, entry, pop3)? {
                each(entry, &text);
            }
        }
    }
    Ok(())
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What has to be known of messages to name them.
pub(super) fn wanted(pop3: &Pop3) -> Wanted {
    Wanted {
        octets: false,
        name: pop3.uidl_format.needs_name(),
        aliases: true,
    }
}

/// The unique-id of a message: the one it has for ever, else that of its header if that counts, else one
/// that is made for it. `None` if the message was removed meanwhile.
fn uidl(maildrop: &Maildrop, entry: &Entry, pop3: &Pop3) -> Result<Option<String>, Error> {
    if let Some(uidl) = &entry.uidl {
        return Ok(Some(visible(uidl)));
    }
    let mut md5 = String::new();
    if pop3.reuse_xuidl || pop3.uidl_format.needs_md5() {
        let Some(fields) = fields(maildrop, entry)? else {
            return Ok(None);
        };
        let xuidl = mime::values(&fields, X_UIDL).next();
        let xuidl = xuidl.map(|value| visible(&String::from_utf8_lossy(value.trim_ascii())));
        let fits = |text: &String| (1..=MAX_UNIQUE_ID).contains(&text.len());
        if let Some(xuidl) = xuidl.filter(|x| pop3.reuse_xuidl && fits(x)) {
            return Ok(Some(xuidl));
        }
        md5 = digest(&fields);
    }
    let mut text = String::with_capacity(24);
    let named = Named {
        uid: entry.uid,
        uid_validity: maildrop.view.uid_validity(),
        file_name: &entry.name,
        guid: entry.guid.as_ref().unwrap_or(&entry.name),
        md5: &md5,
    };
    pop3.uidl_format.put(&named, &mut text);
    Ok(Some(visible(&text)))
}

/// Octets of a unique-id (RFC 1939 section 7).
const MAX_UNIQUE_ID: usize = 70;
const X_UIDL: &str = "X-UIDL";
/// Fields by which servers over mbox tell messages apart.
const DIGESTED: [&str; 5] = [
    "Date",
    "Delivered-To",
    "Message-ID",
    "Received",
    "X-Delivery-ID",
];

/// The header fields by which a message is named.
fn fields(maildrop: &Maildrop, entry: &Entry) -> Result<Option<Vec<u8>>, Error> {
    let want = crate::mailbox::Want {
        header_fields: true,
        ..Default::default()
    };
    let mut rows = maildrop.view.fetch(UidSet::from_iter([entry.uid]), want);
    if !rows.advance()? {
        return Ok(None);
    }
    let names: Vec<String> = DIGESTED
        .iter()
        .chain([&X_UIDL])
        .map(|n| (*n).to_owned())
        .collect();
    Ok(Some(rows.header_fields(&names)?.to_vec()))
}

/// MD5 of values of the header, as popa3d and Dovecot have it for mbox: the first Received field is trusted
/// more than what the sender wrote, once it was seen.
fn digest(fields: &[u8]) -> String {
    let mut md5 = Md5::new();
    let mut received = false;
    for field in mime::fields(fields).filter(|field| !field.is(X_UIDL)) {
        let always = field.is("Delivered-To") || field.is("X-Delivery-ID");
        if always || !received {
            // Without line ends, but with the blanks behind them.
            let lines = field.value.trim_ascii_start().split(|b| *b == b'\n');
            lines.for_each(|line| md5.update(line.strip_suffix(b"\r").unwrap_or(line)));
        }
        received |= field.is("Received");
    }
    HEXLOWER.encode(&md5.finalize())
}

/// The same of octets that a unique-id may have (RFC 1939 section 7: 0x21 to 0x7E).
fn visible(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut out = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_graphic() {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("={byte:02X}")),
        }
    }
    out
}
