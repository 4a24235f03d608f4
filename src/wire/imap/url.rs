//! URLs of messages on this server (RFC 5092 section 11), as CATENATE names them (RFC 4469 section 3).

use super::fetch::section;
use crate::mail::{MailboxName, Uid, UidValidity};
use crate::mime::Section;
use crate::wire::reader::Reader;

/// A message or a section of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MessageUrl {
    /// `None`: the selected one.
    pub(crate) mailbox: Option<MailboxName>,
    pub(crate) uid_validity: Option<UidValidity>,
    pub(crate) uid: Uid,
    pub(crate) section: Section,
}

/// `["/" enc-mailbox] [uidvalidity] iuid [isection]` relative to the server, or to the selected
/// mailbox where no mailbox is named. `None` for anything else, other servers above all.
pub(crate) fn message_url(text: &[u8]) -> Option<MessageUrl> {
    let text = std::str::from_utf8(text).ok()?;
    let (place, parts) = match text.split_once("/;UID=") {
        Some((place, rest)) => (place, rest),
        None => ("", text.strip_prefix(";UID=")?),
    };
    let (mailbox, uid_validity) = match place.split_once(";UIDVALIDITY=") {
        Some((mailbox, number)) => (mailbox, Some(UidValidity::new(number.parse().ok()?)?)),
        None => (place, None),
    };
    let mailbox = match mailbox.strip_prefix('/') {
        None if mailbox.is_empty() => None,
        name => Some(MailboxName::new(&decoded(name?)?).ok()?),
    };
    let (uid, section) = match parts.split_once('/') {
        None => (parts, Section::default()),
        Some((uid, rest)) => (uid, url_section(rest)?),
    };
    Some(MessageUrl {
        mailbox,
        uid_validity,
        uid: Uid::new(uid.parse().ok()?)?,
        section,
    })
}

/// `isection = "/" ";SECTION=" enc-section`, without its slash.
fn url_section(text: &str) -> Option<Section> {
    let (word, value) = text.split_once('=')?;
    if !word.eq_ignore_ascii_case(";SECTION") {
        return None;
    }
    let value = decoded(value)?;
    let mut r = Reader::new(value.as_bytes());
    section(&mut r).ok().filter(|_| r.at_end())
}

/// Undoes `%2F`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        bytes.push(byte);
        if byte == b'%' {
            let (digits, more) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.pop();
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let shown = |text: &str| {
            message_url(text.as_bytes()).map(|url| {
                let mailbox = url.mailbox.map(|name| name.to_string());
                let validity = url.uid_validity.map(UidValidity::number);
                let section = format!("{:?}", (url.section.part, url.section.text));
                (mailbox, validity, url.uid.number(), section)
            })
        };
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME"),
            Some((name("Drafts"), Some(385_759_045), 20, "([1], Mime)".into()))
        );
        assert_eq!(
            shown("/a%20b/c%C3%BC/;UID=7/;SECTION=HEADER"),
            Some((name("a b/c\u{fc}"), None, 7, "([], Header)".into()))
        );
        assert_eq!(shown("/;UID=7"), Some((None, None, 7, "([], All)".into())));
        assert_eq!(
            shown(";UID=7/;SECTION=2.1"),
            Some((None, None, 7, "([2, 1], All)".into()))
        );
        for bad in [
            "",
            "/Drafts",
            "/Drafts;UID=0",
            "/Drafts/;UID=0",
            "/Drafts/;UID=1/;SECTION=1.",
            "/Drafts/;UID=1/;SECTION=1/x",
            "/Drafts/;UID=1/;PARTIAL=0.1",
            "/Drafts;UIDVALIDITY=x/;UID=1",
            "imap://host/Drafts/;UID=1",
            "/%zz/;UID=1",
            "/%f/;UID=1",
            "/a//b/;UID=1",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
