//! STORE (RFC 3501 section 6.4.6), also on condition (RFC 7162 section 3.1.3).

use super::changing::Change;
use super::fetch::{Fetch, Told};
use super::messages::{NO_SUCH, resolve, tell_keywords};
use super::refusal::refusal;
use super::session::{After, Doing, Ending, Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{Flags, SequenceSet, Since, UidSet};
use crate::mailbox::{Error, Expunges, FlagChange, Marked};
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

/// What is to be told when the flags are changed.
pub(super) struct Storing {
    uid: bool,
    silent: bool,
    asked: UidSet,
}

pub(super) fn store(
    session: &mut Session,
    tag: &Tag,
    wanted: Store,
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
    let view = &mut selected.view;
    let storing = Storing {
        uid: wanted.uid,
        silent: wanted.silent,
        asked: uids,
    };
    match view.marking(&storing.asked, change, wanted.flags, wanted.unchanged) {
        Ok(mark) => {
            let change = Change::Store(Box::new(mark), storing);
            session.begin_change(tag, change, rule.expunges)
        }
        Err(error) => Ran::no(error),
    }
}

impl Session {
    /// Tells the flags, also of what was changed before a failure; to those who want silence only the
    /// mod-sequences, if they know them.
    pub(super) fn stored(
        &mut self,
        tag: &Tag,
        storing: Storing,
        marked: Marked,
        went: Result<(), Error>,
        expunges: Expunges,
        out: &mut Output,
    ) -> Ran {
        if let Some(selected) = self.selected.as_mut() {
            selected.contexts.touch(&marked.told);
        }
        let text = match went {
            Ok(()) => outcome(self, &storing, &marked),
            Err(error) => refusal(error).into(),
        };
        let told = match (storing.silent, self.enabled.condstore) {
            (true, false) => return Ran::Finished(text),
            (true, true) if !marked.excused => Told::ModSeqs,
            // RFC 7162 section 3.1.12: with the flags that others changed.
            _ => Told::Flags,
        };
        if told == Told::Flags {
            tell_keywords(self, out);
        }
        let Some(selected) = self.selected.as_ref() else {
            return Ran::ok(NO_SUCH);
        };
        let fetch = Fetch::untagged(&selected.view, marked.told, told, storing.uid, self.enabled);
        let ending = Ending {
            tag: tag.clone(),
            text,
            expunges,
            after: After::Answer,
        };
        self.doing = Doing::Telling(Box::new(fetch), ending);
        Ran::GoesOn
    }
}

/// The tagged response: MODIFIED names the messages that failed the condition, by UID or number as
/// the command did.
fn outcome(session: &Session, storing: &Storing, marked: &Marked) -> Cow<'static, str> {
    let expunged = marked.told.count() + marked.modified.count() < storing.asked.count();
    let modified = match (&session.selected, storing.uid) {
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
