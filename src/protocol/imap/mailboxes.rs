//! Commands about whole mailboxes (RFC 3501 section 6.3).

use super::refusal::refusal;
use super::session::{Ran, Session};
use crate::mail::{InvalidName, MailboxName};
use crate::mailbox::Error;
use crate::protocol::Output;
use crate::wire::imap::{StatusItem, mailbox, number};

type Name = Result<MailboxName, InvalidName>;

pub(super) fn valid(name: Name) -> Result<MailboxName, Error> {
    name.map_err(Error::InvalidName)
}

pub(super) fn create(session: &mut Session, name: Name) -> Ran {
    let created = valid(name).and_then(|name| session.account.create(&name));
    Ran::of(created, "OK Create completed.")
}

pub(super) fn delete(session: &mut Session, name: Name) -> Ran {
    let deleted = valid(name).and_then(|name| session.account.delete(&name));
    Ran::of(deleted, "OK Delete completed.")
}

pub(super) fn rename(session: &mut Session, from: Name, to: Name) -> Ran {
    let renamed =
        valid(from).and_then(|from| valid(to).and_then(|to| session.account.rename(&from, &to)));
    Ran::of(renamed, "OK Rename completed.")
}

pub(super) fn subscribe(session: &mut Session, name: Name, on: bool) -> Ran {
    let done = valid(name).and_then(|name| {
        // A name may be given up when the mailbox is long gone, but not taken up.
        if on && !session.account.exists(&name)? {
            return Err(Error::NoSuchMailbox);
        }
        session.account.subscribe(&name, on)
    });
    let text = if on {
        "OK Subscribe completed."
    } else {
        "OK Unsubscribe completed."
    };
    Ran::of(done, text)
}

/// RFC 3501 section 6.3.10.
pub(super) fn status(
    session: &mut Session,
    name: Name,
    items: &[StatusItem],
    out: &mut Output,
) -> Ran {
    if items.contains(&StatusItem::HighestModSeq) {
        session.enable_condstore(out);
    }
    let status = valid(name).and_then(|name| session.account.status(&name).map(|s| (name, s)));
    let (name, status) = match status {
        Ok(found) => found,
        Err(error) => return Ran::Finished(refusal(error).into()),
    };
    out.put(b"* STATUS ");
    mailbox(&name, out.buffer());
    for (at, item) in items.iter().enumerate() {
        out.put(if at == 0 { b" (" } else { b" " });
        let label = StatusItem::ALL.iter().find(|(own, _)| own == item);
        out.put(label.map_or("", |(_, label)| label).as_bytes());
        let value = match item {
            StatusItem::Messages => u64::from(status.messages),
            StatusItem::Recent => u64::from(status.recent),
            StatusItem::UidNext => u64::from(status.uid_next.number()),
            StatusItem::UidValidity => u64::from(status.uid_validity.number()),
            StatusItem::Unseen => u64::from(status.unseen),
            StatusItem::HighestModSeq => status.highest_mod_seq.number(),
        };
        out.put(b" ");
        number(value, out.buffer());
    }
    out.put(b")\r\n");
    Ran::ok("OK Status completed.")
}
