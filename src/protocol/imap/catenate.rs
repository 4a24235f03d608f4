//! Parts of messages that CATENATE names by URL (RFC 4469 section 3).

use super::session::Session;
use crate::mail::UidSet;
use crate::mailbox::{Access, Content, Error, Partial, View, Want};
use crate::wire::imap::{MessageUrl, OctetRange, message_url};

/// The octets of what the URL names; else the NO that says which URL is bad.
pub(super) fn open_url(session: &Session, url: &[u8]) -> Result<Content, String> {
    let found = message_url(url)
        .ok_or(Error::NoSuchMailbox)
        .and_then(|named| {
            let Some(mailbox) = &named.mailbox else {
                let selected = session.selected.as_ref().ok_or(Error::NoSuchMailbox)?;
                return content(&selected.view, &named);
            };
            content(&session.account.select(mailbox, Access::ReadOnly)?, &named)
        });
    match found {
        Ok(Some(content)) => Ok(content),
        _ => Err(bad_url(url)),
    }
}

/// `None`: there is no such message or section.
fn content(view: &View, named: &MessageUrl) -> Result<Option<Content>, Error> {
    if named
        .uid_validity
        .is_some_and(|own| own != view.uid_validity())
    {
        return Ok(None);
    }
    let want = Want {
        body: true,
        ..Want::default()
    };
    let one = UidSet::range(named.uid, named.uid).intersection(view.uids());
    let mut rows = view.fetch(one, want);
    if !rows.advance()? {
        return Ok(None);
    }
    let OctetRange { start, count } = named.range;
    rows.part(&named.section, Partial { start, count })
}

/// `badurl-response-code = "BADURL" SP url-resp-text` (RFC 4469 section 5); what cannot stand in a
/// code is left out.
pub(super) fn bad_url(url: &[u8]) -> String {
    let text = |b: &&u8| b.is_ascii_graphic() && !b"]\"\\".contains(b);
    let shown: String = url.iter().filter(text).map(|b| char::from(*b)).collect();
    match shown.is_empty() {
        true => "NO [CANNOT] The URL is not usable here.".into(),
        false => format!("NO [BADURL {shown}] There is no such message or part."),
    }
}
