//! Whether the new tree has what the old one has.

use crate::admin::console::Exit;
use crate::admin::replica::fault;
use crate::admin::visit::End;
use crate::codec::crlf::ToCrlf;
use crate::mail::{MailboxName, Uid};
use crate::mailbox::{Listing, Portrait};
use crate::server::Visit;
use crate::store::{Body, Error, Found, Store};
use sha2::{Digest, Sha256};
use std::io::Read;

const PIECE: usize = 64 * 1024;

/// A digest of all that is known of a mailbox but its octets, as clients see it.
pub(super) fn known(portrait: &Portrait, listings: &[Listing]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(format!(
        "{} {} {} {}\n",
        portrait.name, portrait.uid_validity, portrait.uid_next, portrait.guid
    ));
    for listing in listings {
        let named = listing.keywords.iter();
        let named = named.filter_map(|n| portrait.keywords.get(usize::from(*n))?.as_ref());
        let mut keywords: Vec<&str> = named.map(|keyword| keyword.as_str()).collect();
        crate::mail::sort(&mut keywords);
        let (uid, flags) = (listing.uid, listing.flags.bits());
        digest.update(format!("{uid} {flags} {}\n", keywords.join(" ")));
    }
    digest.finalize().into()
}

fn differs(name: &MailboxName, what: &str) -> End {
    let what = format!("{name}: {what} not what was there; the mail stays as it is");
    End::new(Exit::Failure, what)
}

/// Reads all messages of a mailbox in both trees. Returns how many are known by other GUIDs, and of which the octets
/// are others, as fields are missing that the new format keeps for itself. Errors: anything else is different.
pub(super) fn compare(
    visit: &mut Visit,
    store: &mut dyn Store,
    (portrait, listings): (&Portrait, &[Listing]),
    pass: &mut dyn FnMut(usize),
) -> Result<(u64, Vec<Uid>), End> {
    let name = &portrait.name;
    let scanned = store.scan(name).map_err(fault)?;
    let state = &scanned.state;
    let numbers = (state.uid_validity, state.uid_next);
    if numbers != (portrait.uid_validity, portrait.uid_next) || state.guid != portrait.guid {
        return Err(differs(name, "UIDVALIDITY, UIDNEXT or GUID are"));
    }
    let uids = scanned.found.iter().map(|found| found.uid);
    if !uids.eq(listings.iter().map(|listing| Some(listing.uid))) {
        return Err(differs(name, "messages are"));
    }
    let (mut renamed, mut shorter) = (0, Vec::new());
    for (at, (found, listing)) in scanned.found.iter().zip(listings).enumerate() {
        pass(at);
        let new = Listing {
            base: found.blob.name.clone(),
            ..listing.clone()
        };
        renamed += u64::from(new.guid() != listing.guid());
        if found.blob.flags != listing.flags {
            return Err(differs(name, "flags are"));
        }
        if !message(visit, store, name, found, listing.uid)? {
            match shortened(visit, store, name, found, listing.uid)? {
                true => shorter.push(listing.uid),
                false => return Err(differs(name, &format!("UID {} is", listing.uid))),
            }
        }
    }
    Ok((renamed, shorter))
}

/// True if a message has the same octets and the same date.
fn message(
    visit: &mut Visit,
    store: &mut dyn Store,
    name: &MailboxName,
    found: &Found,
    uid: Uid,
) -> Result<bool, End> {
    let mut digest = Sha256::new();
    let date = visit.read(uid, &mut |octets| {
        digest.update(octets);
        Ok(())
    })?;
    let blob = store.open(name, &found.blob).map_err(fault)?;
    let same = read(blob.body).map_err(fault)? == <[u8; 32]>::from(digest.finalize());
    Ok(same && blob.internal_date == date)
}

/// True if a message is what the format makes of it that was there: it keeps some fields for itself.
fn shortened(
    visit: &mut Visit,
    store: &mut dyn Store,
    name: &MailboxName,
    found: &Found,
    uid: Uid,
) -> Result<bool, End> {
    let mut draft = store.stage().map_err(fault)?;
    let mut written = Ok(());
    visit.read(uid, &mut |octets| {
        let before = std::mem::replace(&mut written, Ok(()));
        written = before.and_then(|()| draft.write(octets));
        Ok(())
    })?;
    let digests = || {
        written?;
        let wanted = read(draft.reader()?)?;
        Ok::<bool, Error>(wanted == read(store.open(name, &found.blob)?.body)?)
    };
    digests().map_err(fault)
}

/// A digest of a message with CRLF line ends.
fn read(mut body: Body) -> Result<[u8; 32], Error> {
    let (mut digest, mut crlf) = (Sha256::new(), ToCrlf::default());
    let mut piece = vec![0; PIECE];
    loop {
        let count = body.read(&mut piece)?;
        if count == 0 {
            return Ok(digest.finalize().into());
        }
        let mut lines = Vec::with_capacity(count + count / 16);
        crlf.decode(piece.get(..count).unwrap_or_default(), &mut lines);
        digest.update(&lines);
    }
}
