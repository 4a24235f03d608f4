//! Commands about whole mailboxes (RFC 3501 section 6.3).

use super::refusal::refusal;
use super::selected::{Selected, untagged};
use super::session::{Ran, Session};
use crate::mail::{InvalidName, MailboxName};
use crate::mailbox::{Access, Error};
use crate::protocol::Output;
use crate::wire::imap::{StatusItem, mailbox, number};

type Name = Result<MailboxName, InvalidName>;

fn valid(name: Name) -> Result<MailboxName, Error> {
    name.map_err(Error::InvalidName)
}

/// RFC 3501 section 6.3.1 and section 6.3.2. The mailbox that was selected is closed in any case.
pub(super) fn select(
    session: &mut Session,
    name: Name,
    read_only: bool,
    condstore: bool,
    out: &mut Output,
) -> Ran {
    if session.selected.take().is_some() {
        out.put(b"* OK [CLOSED] The previous mailbox is closed.\r\n");
    }
    // The mailbox that is opened now tells its HIGHESTMODSEQ in any case.
    session.enabled.condstore |= condstore;
    let access = if read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let opened = valid(name).and_then(|name| {
        let view = session.account.select(&name, access)?;
        let unseen = view.first_unseen()?;
        Ok((Selected::new(view), unseen))
    });
    let (selected, unseen) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ran::no(error),
    };
    selected.flags(out);
    let view = &selected.view;
    untagged(view.exists(), "EXISTS", out);
    untagged(view.recent(), "RECENT", out);
    let coded = |name: &str, value: u32, text: &str, out: &mut Output| {
        out.put(b"* OK [");
        out.put(name.as_bytes());
        out.put(b" ");
        number(u64::from(value), out.buffer());
        out.put(b"] ");
        out.put(text.as_bytes());
        out.put(b"\r\n");
    };
    if let Some(unseen) = unseen {
        coded("UNSEEN", unseen.number(), "First unseen.", out);
    }
    let validity = view.uid_validity().number();
    coded("UIDVALIDITY", validity, "UIDs valid.", out);
    coded(
        "UIDNEXT",
        view.uid_next().number(),
        "Predicted next UID.",
        out,
    );
    selected.highest_mod_seq(out);
    session.selected = Some(Box::new(selected));
    if read_only {
        Ran::ok("OK [READ-ONLY] Examine completed.")
    } else {
        Ran::ok("OK [READ-WRITE] Select completed.")
    }
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
