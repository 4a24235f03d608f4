//! SELECT and EXAMINE (RFC 3501 section 6.3.1 and section 6.3.2), and what a client that was here
//! before is told of the time between (RFC 7162 section 3.2.5).

use super::fetch::{Fetch, Told};
use super::list::tell_name;
use super::mailboxes::valid;
use super::refusal::refusal;
use super::selected::{Earlier, Selected, untagged};
use super::session::{After, Doing, Ending, Ran, Session};
use super::table::named;
use super::tag::Tag;
use crate::mail::{InvalidName, SeqNum, Uid, UidSet};
use crate::mailbox::{Access, Error, View};
use crate::protocol::Output;
use crate::wire::imap::{Command, Given, Resync, SelectParams, number};

/// The mailbox that was selected is closed, unless the command itself is wrong.
pub(super) fn select(
    session: &mut Session,
    tag: &Tag,
    name: Result<Given, InvalidName>,
    read_only: bool,
    params: SelectParams,
    out: &mut Output,
) -> Ran {
    if params.qresync.is_some() && !session.enabled.qresync {
        return Ran::ok("BAD QRESYNC is not enabled.");
    }
    let before = session.selected.take();
    closed(before.is_some(), out);
    // The mailbox that is opened now tells its HIGHESTMODSEQ in any case.
    session.enabled.condstore |= params.condstore;
    let opened = valid(name).and_then(|given| {
        let before = before.as_ref().map(|selected| &selected.view);
        let access = access(read_only);
        let view = session.account.select_after(before, &given.name, access)?;
        let unseen = view.first_unseen()?;
        Ok((view, unseen, given.written))
    });
    drop(before);
    match opened {
        Ok((view, unseen, written)) => {
            let written = written.as_deref();
            opened_now(session, tag, view, unseen, written, params.qresync, out)
        }
        Err(error) => Ran::no(error),
    }
}

/// As `select`, if that needs no disk. `None`: nothing happened.
pub(super) fn select_at_once(
    session: &mut Session,
    tag: &Tag,
    command: &Command,
    out: &mut Output,
) -> Option<Ran> {
    let Command::Select {
        mailbox: Ok(given),
        read_only,
        params,
    } = command
    else {
        return None;
    };
    // Names and what was expunged meanwhile are looked up.
    if session.enabled.rev2 || params.qresync.is_some() {
        return None;
    }
    let before = session.selected.as_ref().map(|selected| &selected.view);
    let access = access(*read_only);
    let opened = session.account.select_at_once(before, &given.name, access);
    let (view, unseen) = opened?;
    closed(session.selected.take().is_some(), out);
    session.enabled.condstore |= params.condstore;
    Some(opened_now(session, tag, view, unseen, None, None, out))
}

fn access(read_only: bool) -> Access {
    match read_only {
        true => Access::ReadOnly,
        false => Access::ReadWrite,
    }
}

fn closed(before: bool, out: &mut Output) {
    if before {
        out.put(b"* OK [CLOSED] The previous mailbox is closed.\r\n");
    }
}

/// Tells what the client is to know of the mailbox that is selected now.
fn opened_now(
    session: &mut Session,
    tag: &Tag,
    view: View,
    unseen: Option<SeqNum>,
    written: Option<&str>,
    qresync: Option<Box<Resync>>,
    out: &mut Output,
) -> Ran {
    let rev2 = session.enabled.rev2;
    let read_only = view.access() == Access::ReadOnly;
    let selected = Selected::new(view);
    selected.flags(out);
    let view = &selected.view;
    untagged(view.exists(), "EXISTS", out);
    match rev2 {
        // RFC 9051 section 6.3.2.
        true => tell_name(session, &view.name(), written, out),
        false => untagged(view.recent(), "RECENT", out),
    }
    if let Some(unseen) = unseen.filter(|_| !rev2 && !session.enabled.uid_only) {
        coded("UNSEEN", unseen.number(), "First unseen.", out);
    }
    let (uid_validity, uid_next) = (view.uid_validity(), view.uid_next());
    coded("UIDVALIDITY", uid_validity.number(), "UIDs valid.", out);
    coded("UIDNEXT", uid_next.number(), "Predicted next UID.", out);
    selected.highest_mod_seq(out);
    // RFC 8474 section 4.2.
    let id = selected.view.mailbox_id();
    out.put(format!("* OK [MAILBOXID ({id})] Mailbox identifier.\r\n").as_bytes());
    let text = if read_only {
        "OK [READ-ONLY] Examine completed."
    } else {
        "OK [READ-WRITE] Select completed."
    };
    let changed = qresync
        .filter(|known| known.uid_validity == uid_validity)
        .map(|known| resync(&selected, &known));
    let changed = match changed.transpose() {
        Ok(changed) => changed,
        Err(error) => return Ran::Finished(refusal(error).into()),
    };
    session.doing = match changed {
        None => Doing::Reading,
        Some((gone, changed)) => {
            let (view, enabled) = (&selected.view, session.enabled);
            let mut fetch = Fetch::untagged(view, changed, Told::Flags, true, enabled);
            fetch.earlier = Earlier::new(gone);
            let ending = Ending {
                tag: tag.clone(),
                text: text.into(),
                expunges: named("SELECT").expunges,
                after: After::Answer,
            };
            Doing::Telling(Box::new(fetch), ending)
        }
    };
    session.selected = Some(Box::new(selected));
    match session.doing {
        Doing::Telling(..) => Ran::GoesOn,
        _ => Ran::ok(text),
    }
}

/// `* OK [UIDNEXT 4392] ...`.
fn coded(name: &str, value: u32, text: &str, out: &mut Output) {
    out.put(b"* OK [");
    out.put(name.as_bytes());
    out.put(b" ");
    number(u64::from(value), out.buffer());
    out.put(b"] ");
    out.put(text.as_bytes());
    out.put(b"\r\n");
}

/// What was expunged since the client was here, and what changed.
fn resync(selected: &Selected, known: &Resync) -> Result<(UidSet, UidSet), Error> {
    let view = &selected.view;
    let all = || UidSet::range(Uid::MIN, Uid::MAX);
    let uids = known.known.clone().unwrap_or_else(all);
    let matched = known
        .matched
        .as_ref()
        .and_then(|(seqs, uids)| view.last_match(seqs, uids));
    // Up to a message that has its number still, the client missed no expunge.
    let unsure = match matched {
        None => uids.clone(),
        Some(last) => last.next().map_or(UidSet::new(), |next| {
            uids.intersection(&UidSet::range(next, Uid::MAX))
        }),
    };
    let gone = view.vanished_since(&unsure, known.since)?;
    let changed = view.changed_since(&view.uids().intersection(&uids), known.since)?;
    Ok((gone, changed))
}
