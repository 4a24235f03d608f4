//! METADATA (RFC 5464) and what LIST tells of it (RFC 9590).

use super::enable::Enabled;
use super::mailboxes::{NO_SUCH_USE, valid};
use super::refusal::refusal;
use super::session::{Ran, Session};
use crate::mail::{Depth, EntryName, MailboxName, SpecialUse};
use crate::mailbox::{ADMIN, Error, News};
use crate::protocol::Output;
use crate::wire::imap::{Annotated, GetMetadata, SetMetadata, binary, number, string};

type Annotations = Vec<(EntryName, Option<Vec<u8>>)>;

fn named(of: Annotated) -> Result<Option<MailboxName>, Error> {
    of.map(valid).transpose()
}

/// RFC 5464 section 4.2.
pub(super) fn get(session: &Session, wanted: GetMetadata, out: &mut Output) -> Ran {
    let of = match named(wanted.of) {
        Ok(of) => of,
        Err(error) => return Ran::no(error),
    };
    let found = find(session, of.as_ref(), &wanted.entries, wanted.depth);
    let mut told = match found {
        Ok(found) => found,
        Err(error) => return Ran::no(error),
    };
    let mut longest = None;
    if let Some(max_size) = wanted
        .max_size
        .and_then(|octets| usize::try_from(octets).ok())
    {
        told.retain(|(_, value)| {
            let octets = value.as_ref().map_or(0, Vec::len);
            let fits = octets <= max_size;
            longest = longest.max((!fits).then_some(octets));
            fits
        });
    }
    metadata(of.as_ref(), &told, session.enabled, out.buffer());
    match longest {
        None => Ran::ok("OK Getmetadata completed."),
        Some(octets) => Ran::Finished(
            format!("OK [METADATA LONGENTRIES {octets}] Longer values are not told.").into(),
        ),
    }
}

/// Entries that were asked for, and those below them as far as `depth` says; without it those that have
/// no value too.
fn find(
    session: &Session,
    of: Option<&MailboxName>,
    entries: &[EntryName],
    depth: Depth,
) -> Result<Annotations, Error> {
    let mut known = session.account.annotations(of)?;
    if let (Some(mailbox), Some(name)) = (of, special_use()) {
        known.retain(|(own, _)| *own != name);
        if entries.iter().any(|entry| name.is_within(entry, depth)) {
            let uses = session.account.special_uses(mailbox)?;
            let uses: Vec<&str> = uses.iter().map(|own| own.attribute()).collect();
            let value = uses.join(" ").into_bytes();
            known.extend((!value.is_empty()).then_some((name, value)));
        }
    }
    if let Some(admin) = session.settings.admin.as_ref().filter(|_| of.is_none()) {
        known
            .extend(EntryName::new(ADMIN.as_bytes()).map(|name| (name, admin.as_bytes().to_vec())));
    }
    let mut found = Annotations::new();
    for entry in entries {
        let before = found.len();
        for (name, value) in &known {
            if name.is_within(entry, depth) && !found.iter().any(|(own, _)| own == name) {
                found.push((name.clone(), Some(value.clone())));
            }
        }
        let listed = found.iter().any(|(own, _)| own == entry);
        if depth == Depth::Zero && found.len() == before && !listed {
            found.push((entry.clone(), None));
        }
    }
    Ok(found)
}

/// `* METADATA "INBOX" (/shared/comment "x" /private/comment NIL)`; nothing without entries.
fn metadata(of: Option<&MailboxName>, told: &Annotations, enabled: Enabled, out: &mut Vec<u8>) {
    if told.is_empty() {
        return;
    }
    head(of, enabled, out);
    for (at, (name, value)) in told.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b" (" } else { b" " });
        entry(name, out);
        out.push(b' ');
        match value {
            None => out.extend_from_slice(b"NIL"),
            Some(value) if value.contains(&0) => binary(value, out),
            Some(value) => string(value, out),
        }
    }
    out.extend_from_slice(b")\r\n");
}

fn head(of: Option<&MailboxName>, enabled: Enabled, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* METADATA ");
    match of {
        Some(name) => enabled.mailbox(name, out),
        None => out.extend_from_slice(b"\"\""),
    }
}

/// Names with blanks or other specials are quoted.
fn entry(name: &EntryName, out: &mut Vec<u8>) {
    let plain = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    match name.as_str().bytes().all(plain) {
        true => out.extend_from_slice(name.as_str().as_bytes()),
        false => string(name.as_str().as_bytes(), out),
    }
}

/// That these entries have other values now (RFC 5464 section 4.4.2).
pub(super) fn changed(
    of: Option<&MailboxName>,
    names: &[EntryName],
    enabled: Enabled,
    out: &mut Output,
) {
    let out = out.buffer();
    head(of, enabled, out);
    for name in names {
        out.push(b' ');
        entry(name, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// RFC 9590: of one mailbox that LIST tells; nothing if that fails, as the list goes on.
pub(super) fn listed(
    session: &Session,
    name: &MailboxName,
    entries: &[EntryName],
    out: &mut Vec<u8>,
) {
    if let Ok(found) = find(session, Some(name), entries, Depth::Zero) {
        metadata(Some(name), &found, session.enabled, out);
    }
}

/// What the mailbox is for (RFC 6154 section 4).
fn special_use() -> Option<EntryName> {
    EntryName::new(b"/private/specialuse")
}

/// RFC 5464 section 4.3.
pub(super) fn set(session: &Session, mut wanted: SetMetadata) -> Ran {
    let of = match named(wanted.of) {
        Ok(of) => of,
        Err(error) => return Ran::no(error),
    };
    let mut uses = None;
    if of.is_some() {
        let is_other = |(name, _): &(EntryName, _)| Some(name) != special_use().as_ref();
        let (others, own): (Vec<_>, Vec<_>) = wanted.values.into_iter().partition(is_other);
        wanted.values = others;
        uses = own.into_iter().next_back();
    }
    let uses = match uses.map(|(_, value)| parse_uses(value.as_deref())) {
        Some(None) => return Ran::ok(NO_SUCH_USE),
        uses => uses.flatten(),
    };
    match annotate(session, of.as_ref(), wanted.values, uses) {
        Ok(()) => Ran::ok("OK Setmetadata completed."),
        Err(Error::TooManyEntries) => {
            Ran::ok("NO [METADATA TOOMANY] Too many entries have values.")
        }
        Err(Error::EntryTooLong(octets)) => {
            let mut text = b"NO [METADATA MAXSIZE ".to_vec();
            number(octets as u64, &mut text);
            text.extend_from_slice(b"] A value is too long.");
            Ran::Finished(String::from_utf8_lossy(&text).into_owned().into())
        }
        Err(error) => Ran::Finished(refusal(error).into()),
    }
}

fn annotate(
    session: &Session,
    of: Option<&MailboxName>,
    values: Annotations,
    uses: Option<Vec<SpecialUse>>,
) -> Result<(), Error> {
    let (account, by) = (&session.account, session.heard.by());
    // What is more likely to be refused comes first.
    if !values.is_empty() {
        account.annotate(of, values, by)?;
    }
    if let (Some(name), Some(uses)) = (of, uses) {
        account.assign(name, &uses)?;
        let entries = special_use().into_iter().collect();
        account.publish(News::Annotated(Some(name.clone()), entries), by);
    }
    Ok(())
}

/// `\Sent \Archive`; `None`: not all of it are uses that a mailbox here can have.
fn parse_uses(value: Option<&[u8]>) -> Option<Vec<SpecialUse>> {
    let text = std::str::from_utf8(value.unwrap_or_default()).ok()?;
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(SpecialUse::named).collect()
}
