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
    /// RFC 5550 section 5.7.1: the octets of it that are meant.
    pub(crate) range: OctetRange,
}

/// Octets of a message or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OctetRange {
    pub(crate) start: u64,
    /// At most.
    pub(crate) count: u64,
}

impl OctetRange {
    const ALL: OctetRange = OctetRange {
        start: 0,
        count: u64::MAX,
    };
}

/// `["/" enc-mailbox] [uidvalidity] iuid [isection] [ipartial]` relative to the server, or to the selected
/// mailbox where no mailbox is named. `None` for anything else, other servers above all.
pub(crate) fn message_url(text: &[u8]) -> Option<MessageUrl> {
    let text = std::str::from_utf8(text).ok()?;
    let (place, parts) = match split_at(text, "/;UID=") {
        Some((place, rest)) => (Some(place), rest),
        None if is_named(text, ";UID=") => (None, text.get(5..)?),
        None => return None,
    };
    let (mailbox, uid_validity) = match place.and_then(|place| split_at(place, ";UIDVALIDITY=")) {
        Some((mailbox, number)) => (Some(mailbox), Some(UidValidity::new(number.parse().ok()?)?)),
        None => (place, None),
    };
    // RFC 5092 section 7.2: no path is relative to that of a mailbox.
    let mailbox = match mailbox {
        Some(path) => Some(MailboxName::new(&decoded(path.strip_prefix('/')?)?).ok()?),
        None => None,
    };
    let (parts, range) = match parts.rsplit_once('/') {
        Some((parts, last)) if is_named(last, ";PARTIAL=") => (parts, partial_range(last)?),
        _ => (parts, OctetRange::ALL),
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
        range,
    })
}

/// What stands before a word in any case, and behind it.
fn split_at<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let mut windows = text.as_bytes().windows(word.len());
    let at = windows.position(|own| own.eq_ignore_ascii_case(word.as_bytes()))?;
    Some((text.get(..at)?, text.get(at + word.len()..)?))
}

fn is_named(text: &str, name: &str) -> bool {
    let start = text.get(..name.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// `ipartial-only = ";PARTIAL=" number ["." nz-number]`.
fn partial_range(text: &str) -> Option<OctetRange> {
    let (_, value) = text.split_once('=')?;
    let mut r = Reader::new(value.as_bytes());
    let start = r.number(u64::MAX)?;
    let count = match r.eat(b'.') {
        true => r.number(u64::MAX).filter(|count| *count > 0)?,
        false => u64::MAX,
    };
    r.at_end().then_some(OctetRange { start, count })
}

/// `isection = "/" ";SECTION=" enc-section`, without its slash.
fn url_section(text: &str) -> Option<Section> {
    let (_, value) = text
        .split_once('=')
        .filter(|_| is_named(text, ";SECTION="))?;
    let value = decoded(value)?;
    let mut r = Reader::new(value.as_bytes());
    section(&mut r).ok().filter(|_| r.at_end())
}

/// `enc-user` and the like: all but unreserved characters as `%2F` (RFC 3986 section 2.3).
pub(crate) fn url_encoded(text: &str) -> String {
    let mut coded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => coded.push(char::from(byte)),
            false => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    coded
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
        assert_eq!(
            shown("/Drafts;uidvalidity=3/;uid=20"),
            Some((name("Drafts"), Some(3), 20, "([], All)".into()))
        );
        assert_eq!(shown(";Uid=7"), Some((None, None, 7, "([], All)".into())));
        assert_eq!(
            shown(";UID=7/;SECTION=2.1"),
            Some((None, None, 7, "([2, 1], All)".into()))
        );
        let range = |text: &str| {
            let range = message_url(text.as_bytes()).unwrap().range;
            (range.start, range.count)
        };
        assert_eq!(range("/a/;UID=7/;PARTIAL=3"), (3, u64::MAX));
        assert_eq!(range("/a/;UID=7/;SECTION=1/;partial=0.1024"), (0, 1024));
        assert_eq!(range(";UID=7/;SECTION=1"), (0, u64::MAX));
        let coded = url_encoded("zo\u{eb}@a b");
        assert_eq!(coded, "zo%C3%AB%40a%20b");
        assert_eq!(decoded(&coded).as_deref(), Some("zo\u{eb}@a b"));
        for bad in [
            "",
            "/Drafts",
            "/;UID=7",
            "Drafts/;UID=7",
            "../Drafts/;UID=7",
            ";UIDVALIDITY=3/;UID=7",
            "/Drafts;UID=0",
            "/Drafts/;UID=0",
            "/Drafts/;UID=1/;SECTION=1.",
            "/Drafts/;UID=1/;SECTION=1/x",
            "/Drafts/;UID=1/;PARTIAL=0.0",
            "/Drafts/;UID=1/;PARTIAL=",
            "/Drafts/;UID=1/;PARTIAL=1.",
            "/Drafts/;UID=1/;PARTIAL=1-2",
            "/Drafts/;UID=1/;PARTIAL=0/;SECTION=1",
            "/Drafts/;UID=1/;PARTIAL=0/;PARTIAL=1",
            "/Drafts/;PARTIAL=0",
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
