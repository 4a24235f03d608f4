//! STORE (RFC 3501 section 6.4.6), also on condition (RFC 7162 section 3.1.3).

use super::fetch::{Fetch, Told};
use super::messages::{NO_SUCH, resolve, tell_keywords};
use super::refusal::refusal;
use super::session::{After, Doing, Ending, Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{Flags, SequenceSet, Since, UidSet};
use crate::mailbox::{FlagChange, Marked};
use crate::protocol::Output;
use std::borrow::Cow;

/// What a STORE asks for.
pub(super) struct Store {
    pub(super) uid: bool,
    pub(super) set: SequenceSet,
    /// `+`, `-` or a blank for replacing.
    pub(super) change: u8,
    pub(super) silent: bool,
    pub(super) flags: Flags,
    pub(super) unchanged: Option<Since>,
}

pub(super) fn store(
    session: &mut Session,
    tag: &Tag,
    wanted: &Store,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let uids = match resolve(session, &wanted.set, wanted.uid) {
        Ok(uids) => uids,
        Err(refused) => return refused,
    };
    if wanted.unchanged.is_some() {
        session.enable_condstore(out);
    }
    let change = match wanted.change {
        b'+' => FlagChange::Add,
        b'-' => FlagChange::Remove,
        _ => FlagChange::Set,
    };
    let Some(selected) = session.selected.as_mut() else {
        return Ran::ok(NO_SUCH);
    };
    let marked = selected
        .view
        .mark(&uids, change, &wanted.flags, wanted.unchanged);
    let marked = match marked {
        Ok(marked) => marked,
        Err(error) => return Ran::Finished(refusal(error).into()),
    };
    if let Some(selected) = session.selected.as_mut() {
        selected.contexts.touch(&marked.told);
    }
    let text = outcome(session, wanted.uid, &uids, &marked);
    tell(session, tag, wanted, marked.told, text, rule, out)
}

/// Tells the flags; to those who want silence only the mod-sequences, if they know them.
fn tell(
    session: &mut Session,
    tag: &Tag,
    wanted: &Store,
    uids: UidSet,
    text: Cow<'static, str>,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let told = match (wanted.silent, session.enabled.condstore) {
        (true, false) => return Ran::Finished(text),
        (true, true) => Told::ModSeqs,
        (false, _) => Told::Flags,
    };
    if told == Told::Flags {
        tell_keywords(session, out);
    }
    let Some(selected) = session.selected.as_ref() else {
        return Ran::ok(NO_SUCH);
    };
    let told = Fetch::untagged(&selected.view, uids, told, wanted.uid, session.enabled);
    let ending = Ending {
        tag: tag.clone(),
        text,
        expunges: rule.expunges,
        after: After::Answer,
    };
    session.doing = Doing::Telling(Box::new(told), ending);
    Ran::GoesOn
}

/// The tagged response: MODIFIED names the messages that failed the condition, by UID or number as
/// the command did.
fn outcome(session: &Session, uid: bool, asked: &UidSet, marked: &Marked) -> Cow<'static, str> {
    let expunged = marked.told.count() + marked.modified.count() < asked.count();
    let modified = match (&session.selected, uid) {
        _ if marked.modified.is_empty() => None,
        (_, true) => Some(marked.modified.to_string()),
        (Some(selected), false) => Some(selected.view.seqs_of(&marked.modified).to_string()),
        (None, false) => None,
    };
    match (modified, expunged) {
        (None, false) => "OK Store completed.".into(),
        (None, true) => "NO [EXPUNGEISSUED] Some messages were expunged meanwhile.".into(),
        (Some(set), false) => format!("OK [MODIFIED {set}] Conditional STORE failed.").into(),
        (Some(set), true) => {
            format!("NO [MODIFIED {set}] Some messages were expunged meanwhile.").into()
        }
    }
}
