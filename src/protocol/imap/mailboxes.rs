//! Commands about whole mailboxes (RFC 3501 section 6.3).

use super::changing::Change;
use super::enable::Enabled;
use super::list::tell_name;
use super::session::{Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{InvalidName, MailboxName, SpecialUse};
use crate::mailbox::{Asked, Error, News, Status};
use crate::protocol::Output;
use crate::wire::imap::{Given, StatusItem, number};

type Name = Result<MailboxName, InvalidName>;
type Named = Result<Given, InvalidName>;

pub(super) fn valid<T>(name: Result<T, InvalidName>) -> Result<T, Error> {
    name.map_err(Error::InvalidName)
}

/// Tells a client of IMAP4rev2 what the mailbox is called that it named otherwise (RFC 9051 section
/// 6.3.9.7).
pub(super) fn tell_spelling(session: &Session, given: &Given, out: &mut Output) {
    if session.enabled.rev2 && given.written.is_some() {
        tell_name(session, &given.name, given.written.as_deref(), out);
    }
}

/// Tells the other sessions.
fn publish(session: &Session, news: News) {
    session.account.publish(news, session.heard.by());
}

/// Names that are made in UTF-8 are Net-Unicode (RFC 6855 section 3, RFC 9051 section 5.1), others modified UTF-7
/// (RFC 3501 section 5.1.3).
fn is_new_name(session: &Session, given: &Given) -> Result<(), Error> {
    match given.broken || session.enabled.utf8 && !given.name.is_net_unicode() {
        true => Err(Error::InvalidName(InvalidName::Character)),
        false => Ok(()),
    }
}

/// RFC 6154 section 3.
pub(super) const NO_SUCH_USE: &str = "NO [USEATTR] No mailbox here can have this use.";

pub(super) fn create(
    session: &mut Session,
    name: Named,
    uses: Option<Vec<SpecialUse>>,
    out: &mut Output,
) -> Ran {
    // RFC 6154 section 3.
    let Some(uses) = uses else {
        return Ran::ok(NO_SUCH_USE);
    };
    let created = valid(name).and_then(|given| {
        let name = &given.name;
        is_new_name(session, &given)?;
        let made = session.account.create_for(name, &uses)?;
        publish(session, News::Created(made));
        tell_spelling(session, &given, out);
        session.account.status(name, Asked::default())
    });
    match created {
        Ok(status) => {
            // RFC 8474 section 4.1.
            let id = status.mailbox_id;
            Ran::Finished(format!("OK [MAILBOXID ({id})] Create completed.").into())
        }
        Err(error) => Ran::no(error),
    }
}

pub(super) fn delete(session: &mut Session, name: Named, out: &mut Output) -> Ran {
    let deleted = valid(name).and_then(|given| {
        session.account.delete(&given.name)?;
        publish(session, News::Deleted(given.name.clone()));
        tell_spelling(session, &given, out);
        Ok(given.name)
    });
    let selected = session.selected.as_ref().map(|s| s.view.name());
    // Nothing more can be told of it, so the session leaves it (RFC 7162 section 3.2.11).
    if deleted.is_ok() && deleted.as_ref().ok() == selected.as_ref() {
        session.selected = None;
        out.put(b"* OK [CLOSED] The selected mailbox was deleted.\r\n");
    }
    Ran::of(deleted.map(|_| ()), "OK Delete completed.")
}

pub(super) fn rename(
    session: &mut Session,
    tag: &Tag,
    (from, to): (Named, Named),
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let renamed = valid(from).and_then(|from| {
        let to = valid(to)?;
        is_new_name(session, &to)?;
        let renamed = session.account.rename(&from.name, &to.name)?;
        if !renamed.made.is_empty() {
            publish(session, News::Created(renamed.made));
        }
        // RFC 5465 section 5.4: INBOX stays, so what has its messages is new.
        if from.name.is_inbox() {
            tell_spelling(session, &to, out);
            return Ok(renamed.rest);
        }
        // RFC 9051 section 6.3.6.
        if session.enabled.rev2 && (from.written.is_some() || to.written.is_some()) {
            let old = from.written.as_deref().unwrap_or(from.name.as_str());
            tell_name(session, &to.name, Some(old), out);
        }
        let (from, to) = (from.name, to.name);
        publish(session, News::Renamed { from, to });
        Ok(None)
    });
    match renamed {
        Ok(Some(carry)) => {
            session.begin_change(tag, Change::Rename(Box::new(carry)), rule.expunges)
        }
        renamed => Ran::of(renamed.map(|_| ()), "OK Rename completed."),
    }
}

pub(super) fn subscribe(session: &mut Session, name: Name, on: bool) -> Ran {
    let done = valid(name).and_then(|name| {
        // A name may be given up when the mailbox is long gone, but not taken up.
        if on && !session.account.exists(&name)? {
            return Err(Error::NoSuchMailbox);
        }
        session.account.subscribe(&name, on)?;
        publish(session, News::Subscribed(name));
        Ok(())
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
    let mut line = Vec::new();
    let told = valid(name).and_then(|name| status_line(session, &name, items, &mut line));
    out.put(&line);
    Ran::of(told, "OK Status completed.")
}

/// Appends `* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)`; nothing if it fails.
pub(super) fn status_line(
    session: &Session,
    name: &MailboxName,
    items: &[StatusItem],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let asked = Asked {
        recent: items.contains(&StatusItem::Recent),
        deleted: items.contains(&StatusItem::Deleted),
        size: items.contains(&StatusItem::Size),
    };
    let status = session.account.status(name, asked)?;
    let limit = session.settings.message_octets;
    put_status(name, items, &status, limit, session.enabled, out);
    Ok(())
}

/// As `status_line`, of what is known.
pub(super) fn put_status(
    name: &MailboxName,
    items: &[StatusItem],
    status: &Status,
    append_limit: u64,
    enabled: Enabled,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"* STATUS ");
    enabled.mailbox(name, out);
    for (at, item) in items.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b" (" } else { b" " });
        let label = StatusItem::ALL.iter().find(|(own, _)| own == item);
        out.extend_from_slice(label.map_or("", |(_, label)| label).as_bytes());
        let value = match item {
            StatusItem::Messages => u64::from(status.messages),
            StatusItem::Recent => u64::from(status.recent),
            StatusItem::UidNext => u64::from(status.uid_next.number()),
            StatusItem::UidValidity => u64::from(status.uid_validity.number()),
            StatusItem::Unseen => u64::from(status.unseen),
            StatusItem::HighestModSeq => status.highest_mod_seq.number(),
            StatusItem::Size => status.size,
            StatusItem::Deleted => u64::from(status.deleted),
            StatusItem::AppendLimit => append_limit,
            StatusItem::MailboxId => {
                out.extend_from_slice(format!(" ({})", status.mailbox_id).as_bytes());
                continue;
            }
        };
        out.push(b' ');
        number(value, out);
    }
    out.extend_from_slice(b")\r\n");
}
