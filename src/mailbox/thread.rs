//! THREAD (RFC 5256 section 3) in bounded steps: a search, then what was found is looked at, then
//! put together.

use super::criteria::Subject;
use super::threading::{Member, Members, Threads};
use super::walk::Walk;
use super::{Error, Rows, Search, View, Want};
use crate::mail::{Criteria, Threading, Uid, UidSet};
use crate::mime;

/// Messages looked at in one step if nothing has to be opened.
const MESSAGES_A_STEP: usize = 2048;
/// Messages opened in one step.
const OPENED_A_STEP: u32 = 32;

/// A running THREAD.
pub(crate) struct Thread {
    by: Threading,
    members: Members,
    stage: Stage,
    /// What the index does not know enough of.
    open: UidSet,
    room: Vec<u8>,
}

enum Stage {
    /// The walk will go over what is found.
    Searching(Box<Search>, Box<Walk>),
    Walking(Box<Walk>),
    Opening(Box<Rows>),
    Done,
}

impl Thread {
    pub(super) fn new(view: &View, by: Threading, criteria: Criteria) -> Thread {
        Thread {
            by,
            members: Members::new(view.shared.host.limits.sort_octets),
            stage: Stage::Searching(
                Box::new(Search::new(view, criteria)),
                Box::new(Walk::new(view, UidSet::new(), true)),
            ),
            open: UidSet::new(),
            room: Vec::new(),
        }
    }

    /// Works for a bounded time; `Some` with the threads at the end.
    pub(crate) fn step(&mut self) -> Result<Option<Threads>, Error> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Searching(mut search, walk) => {
                self.stage = match search.step()? {
                    Some(found) => Stage::Walking(Box::new(walk.over(found))),
                    None => Stage::Searching(search, walk),
                };
            }
            Stage::Walking(mut walk) => {
                self.stage = if self.walk(&mut walk)? {
                    Stage::Walking(walk)
                } else {
                    let want = Want {
                        header_fields: true,
                        ..Want::default()
                    };
                    Stage::Opening(Box::new(walk.rows(std::mem::take(&mut self.open), want)))
                };
            }
            Stage::Opening(mut rows) => {
                if !self.open_some(&mut rows)? {
                    return self.members.threads(self.by).map(Some);
                }
                self.stage = Stage::Opening(rows);
            }
            Stage::Done => return Err(Error::Fault),
        }
        Ok(None)
    }

    /// `false` at the end.
    fn walk(&mut self, walk: &mut Walk) -> Result<bool, Error> {
        let mut failed = Ok(());
        let (by, members, room) = (self.by, &mut self.members, &mut self.room);
        let open = &mut self.open;
        let more = walk.step(MESSAGES_A_STEP, &mut |known| {
            if failed.is_err() {
                return;
            }
            match add(by, &mut Subject::Known(known), known.uid, members, room) {
                Ok(true) => {}
                Ok(false) => open.insert(known.uid),
                Err(error) => failed = Err(error),
            }
        })?;
        failed.map(|()| more)
    }

    /// `false` at the end.
    fn open_some(&mut self, rows: &mut Rows) -> Result<bool, Error> {
        for _ in 0..OPENED_A_STEP {
            if !rows.advance()? {
                return Ok(false);
            }
            let uid = rows.uid();
            let (members, room) = (&mut self.members, &mut self.room);
            match add(self.by, &mut Subject::Row(rows), uid, members, room) {
                // Expunged while we looked.
                Ok(_) | Err(Error::Expunged) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Notes what threading asks of a message; `false` if it has to be opened for that.
fn add(
    by: Threading,
    message: &mut Subject<'_, '_>,
    uid: Uid,
    members: &mut Members,
    room: &mut Vec<u8>,
) -> Result<bool, Error> {
    let Some(sent) = message.sent_date()? else {
        return Ok(false);
    };
    let mut member = Member::new(uid, sent.seconds);
    if by != Threading::Refs {
        room.clear();
        let mut is_reply = false;
        message.any_field("Subject", &mut |value| {
            let base = mime::base_subject(value);
            is_reply = base.is_reply;
            mime::casemap(&base.text, room);
            true
        })?;
        member.set_subject(members.hash(room), room.is_empty(), is_reply);
    }
    if by != Threading::OrderedSubject {
        ids(message, "Message-ID", 1, &mut |id| {
            member.set_id(members.hash(id));
        })?;
        let mut references = Vec::new();
        let mut note = |id: &[u8]| references.push(members.hash(id));
        // RFC 5256 section 3: In-Reply-To only where References has none, and only its first.
        if !ids(message, "References", usize::MAX, &mut note)? {
            ids(message, "In-Reply-To", 1, &mut note)?;
        }
        members.add(member, &references)?;
    } else {
        members.add(member, &[])?;
    }
    Ok(true)
}

/// Calls `each` with up to `at_most` message IDs of the first such field; `false` if it has none.
fn ids(
    message: &mut Subject<'_, '_>,
    name: &str,
    at_most: usize,
    each: &mut dyn FnMut(&[u8]),
) -> Result<bool, Error> {
    let mut count = 0;
    message.any_field(name, &mut |value| {
        mime::message_ids(value, &mut |id| {
            count += 1;
            each(id);
            count < at_most
        });
        true
    })?;
    Ok(count > 0)
}
