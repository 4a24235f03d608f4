//! Commands about messages of the selected mailbox (RFC 3501 section 6.4).

use super::changing::Change;
use super::context::kept;
use super::fetch::{Wanted, fetch};
use super::refusal::refusal_of_target;
use super::search::{Searching, Stage};
use super::session::{Doing, Ran, Session};
use super::store::{Store, store};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{
    Criteria, InvalidName, MailboxName, SequenceSet, SortCriterion, Threading, UidSet,
};
use crate::mailbox::{Access, By, Carry, Copied, Error, Expunges};
use crate::protocol::Output;
use crate::wire::imap::{Command, FetchItem, Returns, number};

/// Messages a client may not mean.
pub(super) const NO_SUCH: &str = "BAD There is no message of that number.";

pub(super) fn run(
    session: &mut Session,
    tag: &Tag,
    command: Command,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    match command {
        Command::Close => close(session, tag, rule),
        Command::Unselect => {
            session.selected = None;
            Ran::ok("OK Unselect completed.")
        }
        Command::Expunge { only } => expunge(session, tag, only, rule),
        Command::Search {
            uid,
            returns,
            items,
            criteria,
        } => {
            let asked = Asked {
                uid,
                returns,
                items,
                what: What::Search,
            };
            search(session, tag, asked, criteria, rule, out)
        }
        Command::Sort {
            uid,
            returns,
            order,
            criteria,
        } => {
            let asked = Asked {
                uid,
                returns,
                items: Vec::new(),
                what: What::Sort(order),
            };
            search(session, tag, asked, criteria, rule, out)
        }
        Command::Thread {
            uid,
            threading,
            criteria,
        } => {
            let asked = Asked {
                uid,
                returns: None,
                items: Vec::new(),
                what: What::Thread(threading),
            };
            search(session, tag, asked, criteria, rule, out)
        }
        Command::Fetch {
            uid,
            set,
            items,
            modifiers,
        } => {
            tell_keywords(session, out);
            let wanted = Wanted {
                uid,
                set,
                items,
                modifiers,
            };
            fetch(session, tag, wanted, rule, out)
        }
        Command::Store {
            uid,
            set,
            change,
            silent,
            flags,
            unchanged,
        } => {
            let wanted = Store {
                uid,
                set,
                change,
                silent,
                flags,
                unchanged,
            };
            store(session, tag, wanted, rule, out)
        }
        Command::Copy { uid, set, to } => {
            carry(session, tag, (uid, &set), to, Carrying::Copy, rule)
        }
        Command::Move { uid, set, to } => {
            carry(session, tag, (uid, &set), to, Carrying::Move, rule)
        }
        // All others are run elsewhere.
        _ => Ran::ok("BAD No such command."),
    }
}

/// FLAGS before a FETCH response that names a new keyword (RFC 3501 section 7.2.6).
pub(super) fn tell_keywords(session: &mut Session, out: &mut Output) {
    if let Some(selected) = session.selected.as_mut()
        && selected.view.learn_keywords()
    {
        selected.flags(out);
    }
}

pub(super) fn by(uid: bool) -> By {
    if uid { By::Uid } else { By::Seq }
}

/// The messages a set means now; refused if a number is beyond the last.
pub(super) fn resolve(session: &Session, set: &SequenceSet, uid: bool) -> Result<UidSet, Ran> {
    let selected = session.selected.as_ref();
    let uids = selected.and_then(|selected| selected.view.resolve(set, by(uid)));
    uids.ok_or(Ran::ok(NO_SUCH))
}

/// RFC 3501 section 6.4.2: expunges without telling.
fn close(session: &mut Session, tag: &Tag, rule: Rule) -> Ran {
    let Some(selected) = session.selected.as_mut() else {
        return Ran::ok(NO_SUCH);
    };
    if selected.view.access() == Access::ReadOnly {
        return closed(session, Ok(()));
    }
    match selected.view.expunging(None) {
        Ok(expunge) => session.begin_change(tag, Change::Close(Box::new(expunge)), rule.expunges),
        Err(error) => closed(session, Err(error)),
    }
}

/// Answers CLOSE.
pub(super) fn closed(session: &mut Session, went: Result<(), Error>) -> Ran {
    session.selected = None;
    Ran::of(went, "OK Close completed.")
}

fn expunge(session: &mut Session, tag: &Tag, only: Option<SequenceSet>, rule: Rule) -> Ran {
    let only = match only.map(|set| resolve(session, &set, true)).transpose() {
        Ok(only) => only,
        Err(refused) => return refused,
    };
    let Some(selected) = session.selected.as_mut() else {
        return Ran::ok(NO_SUCH);
    };
    match selected.view.expunging(only.as_ref()) {
        Ok(expunge) => session.begin_change(tag, Change::Expunge(Box::new(expunge)), rule.expunges),
        Err(error) => Ran::no(error),
    }
}

/// What SEARCH, SORT or THREAD is to do with what it finds.
struct Asked {
    uid: bool,
    returns: Option<Returns>,
    items: Vec<FetchItem>,
    what: What,
}

enum What {
    Search,
    Sort(Vec<SortCriterion>),
    Thread(Threading),
}

fn search(
    session: &mut Session,
    tag: &Tag,
    asked: Asked,
    criteria: Option<Criteria>,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let mut asked = asked;
    // RFC 9051 section 6.4.4: there is no SEARCH response any more.
    if session.enabled.rev2 && matches!(asked.what, What::Search) {
        asked.returns.get_or_insert(Returns::ALL);
    }
    let Some(criteria) = criteria else {
        session.save_nothing(asked.returns);
        return Ran::ok("NO [BADCHARSET (US-ASCII UTF-8)] This charset is not known.");
    };
    // The answer of THREAD has no place for it (RFC 7162 section 3.1.6).
    let mod_seq = criteria.asks_mod_seq();
    if mod_seq {
        session.enable_condstore(out);
    }
    let Some(selected) = session.selected.as_ref() else {
        return Ran::ok(NO_SUCH);
    };
    // RFC 7162 section 3.2.10.2: not even UID SEARCH may renumber what its own keys number.
    let expunges = if criteria.numbers_messages() {
        Expunges::Hold
    } else {
        rule.expunges
    };
    let view = &selected.view;
    let mut update = None;
    if asked.returns.is_some_and(|returns| returns.update) {
        if selected.contexts.has(tag) {
            return Ran::ok("BAD This tag has a search that is kept up to date.");
        }
        let fit = matches!(asked.what, What::Search);
        update = kept(session, tag, (&criteria, asked.items), fit, out);
    }
    session.doing = Doing::Search(Box::new(Searching {
        mailbox: None,
        update,
        result: UidSet::new(),
        noticed: crate::sys::clock::now(),
        tag: tag.clone(),
        uid: asked.uid,
        mod_seq,
        returns: asked.returns,
        expunges,
        stage: match asked.what {
            What::Search => Stage::Looking(Box::new(view.search(criteria))),
            What::Sort(order) => Stage::Sorting(Box::new(view.sort(order, criteria))),
            What::Thread(by) => Stage::Threading(Box::new(view.thread(by, criteria))),
        },
    }));
    Ran::GoesOn
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrying {
    Copy,
    Move,
}

/// RFC 3501 section 6.4.7, RFC 6851 section 3.
fn carry(
    session: &mut Session,
    tag: &Tag,
    (uid, set): (bool, &SequenceSet),
    to: Result<MailboxName, InvalidName>,
    carrying: Carrying,
    rule: Rule,
) -> Ran {
    let uids = match resolve(session, set, uid) {
        Ok(uids) => uids,
        Err(refused) => return refused,
    };
    let Some(selected) = session.selected.as_mut() else {
        return Ran::ok(NO_SUCH);
    };
    let view = &mut selected.view;
    let change = to.map_err(Error::InvalidName).and_then(|to| {
        Ok(match carrying {
            Carrying::Copy => Change::Copy(Box::new(view.copying(&uids, &to)?)),
            Carrying::Move => Change::Move(Box::new(view.moving(&uids, &to)?)),
        })
    });
    match change {
        Ok(change) => session.begin_change(tag, change, rule.expunges),
        Err(error) => Ran::Finished(refusal_of_target(error).into()),
    }
}

/// Answers COPY or MOVE, which also tells what was moved before it failed (RFC 6851 section 4.3). What
/// others expunged is left out and that is said (RFC 2180 section 4.4.2, RFC 5530 section 3).
pub(super) fn carried(
    carry: &Carry,
    went: Result<(), Error>,
    carrying: Carrying,
    out: &mut Output,
) -> Ran {
    let (copied, (_, asked)) = (carry.copied(), carry.progress());
    let mut code = b"OK [COPYUID ".to_vec();
    copy_uid(copied, &mut code);
    if carrying == Carrying::Move && !copied.is_empty() {
        out.put(b"* ");
        out.put(&code);
        out.put(b"] Moved.\r\n");
    }
    match went {
        Err(error) => return Ran::Finished(refusal_of_target(error).into()),
        // No UID that was named is there.
        Ok(()) if asked == 0 => return Ran::ok("OK No messages were there to take."),
        Ok(()) if copied.is_empty() => return Ran::no(Error::Expunged),
        Ok(()) => {}
    }
    if copied.from.count() < asked {
        out.put(b"* OK [EXPUNGEISSUED] Some messages were expunged meanwhile.\r\n");
    }
    match carrying {
        Carrying::Move => Ran::ok("OK Move completed."),
        Carrying::Copy => {
            code.extend_from_slice(b"] Copy completed.");
            Ran::Finished(String::from_utf8_lossy(&code).into_owned().into())
        }
    }
}

/// RFC 4315 section 3.
fn copy_uid(copied: &Copied, out: &mut Vec<u8>) {
    number(u64::from(copied.uid_validity().number()), out);
    for set in [&copied.from, &copied.to] {
        out.push(b' ');
        for (at, &(first, last)) in set.runs().iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            number(u64::from(first), out);
            if last > first {
                out.push(b':');
                number(u64::from(last), out);
            }
        }
    }
}
