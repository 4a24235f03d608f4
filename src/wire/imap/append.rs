//! The head of APPEND (RFC 3501 section 6.3.11): everything before the message.

use super::token::{Parsed, atom, date_time, flag_list, mailbox, space};
use crate::mail::{DateTime, Flags, InvalidName, MailboxName};
use crate::wire::reader::Reader;

/// `"APPEND" SP mailbox [SP flag-list] [SP date-time] SP`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AppendHead {
    pub(crate) tag: Vec<u8>,
    pub(crate) mailbox: Result<MailboxName, InvalidName>,
    pub(crate) flags: Flags,
    pub(crate) date: Option<DateTime>,
}

/// `None` unless `text` is the whole head of an APPEND, up to where its message is announced.
pub(crate) fn append_head(text: &[u8]) -> Option<AppendHead> {
    let tag = super::framer::tag_of(text);
    let mut r = Reader::new(text.get(tag.len()..)?);
    if tag.is_empty() || !r.eat_word(" APPEND ") {
        return None;
    }
    head(&mut r, tag).ok().filter(|_| r.at_end())
}

fn head(r: &mut Reader<'_>, tag: Vec<u8>) -> Parsed<AppendHead> {
    let mailbox = mailbox(r)?;
    space(r)?;
    let mut flags = Flags::default();
    let mut date = None;
    if r.peek() == Some(b'(') {
        flags = append_flags(r)?;
        space(r)?;
    }
    if r.peek() == Some(b'"') {
        date = Some(date_time(r)?);
        space(r)?;
    }
    Ok(AppendHead {
        tag,
        mailbox,
        flags,
        date,
    })
}

/// As a flag list, but `\Recent` and unknown system flags are left out, as clients copy what they fetched.
fn append_flags(r: &mut Reader<'_>) -> Parsed<Flags> {
    let mut ahead = r.clone();
    if let Ok(flags) = flag_list(&mut ahead) {
        *r = ahead;
        return Ok(flags);
    }
    let mut flags = Flags::default();
    r.eat(b'(');
    while !r.eat(b')') {
        let mut ahead = r.clone();
        if super::token::flag(&mut ahead, &mut flags).is_ok() {
            *r = ahead;
        } else {
            r.eat(b'\\');
            atom(r)?;
        }
        r.eat(b' ');
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        for (text, good) in [
            ("a APPEND INBOX ", true),
            (
                "a append \"x y\" (\\Seen $k) \" 7-Feb-1994 21:52:25 -0800\" ",
                true,
            ),
            ("a APPEND INBOX (\\Recent \\Seen) ", true),
            ("a APPEND INBOX", false),
            ("a APPEND ", false),
            ("a APPEND INBOX (\\Seen ", false),
            ("a LOGIN x ", false),
            ("a APPEND {5}\r\nINBOX ", true),
        ] {
            assert_eq!(append_head(text.as_bytes()).is_some(), good, "{text:?}");
        }
    }
}
