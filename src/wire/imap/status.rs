//! What STATUS asks for (RFC 3501 section 6.3.10 and extensions).

use super::token::{Parsed, Syntax, atom, space};
use crate::wire::reader::Reader;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    /// RFC 7162 section 3.1.7.
    HighestModSeq,
    /// RFC 8438 section 2.
    Size,
    /// RFC 9051 section 6.3.11.
    Deleted,
    /// RFC 7889 section 5.
    AppendLimit,
    /// RFC 8474 section 4.3.
    MailboxId,
}

impl StatusItem {
    pub(crate) const ALL: [(StatusItem, &'static str); 10] = [
        (StatusItem::Messages, "MESSAGES"),
        (StatusItem::Recent, "RECENT"),
        (StatusItem::UidNext, "UIDNEXT"),
        (StatusItem::UidValidity, "UIDVALIDITY"),
        (StatusItem::Unseen, "UNSEEN"),
        (StatusItem::HighestModSeq, "HIGHESTMODSEQ"),
        (StatusItem::Size, "SIZE"),
        (StatusItem::Deleted, "DELETED"),
        (StatusItem::AppendLimit, "APPENDLIMIT"),
        (StatusItem::MailboxId, "MAILBOXID"),
    ];
}

/// `"(" status-att *(SP status-att) ")"`.
pub(super) fn status_items(r: &mut Reader<'_>) -> Parsed<Vec<StatusItem>> {
    if !r.eat(b'(') {
        return Err(Syntax("a list of status items is missing"));
    }
    if r.eat(b')') {
        return Err(Syntax("a status item is missing"));
    }
    let mut items = Vec::new();
    loop {
        let name = atom(r)?;
        let item = StatusItem::ALL
            .iter()
            .find(|(_, own)| own.eq_ignore_ascii_case(name));
        let (item, _) = item.ok_or(Syntax("no such status item"))?;
        if !items.contains(item) {
            items.push(*item);
        }
        if r.eat(b')') {
            return Ok(items);
        }
        space(r)?;
    }
}
