//! THREAD (RFC 5256 section 3) in bounded steps: a search, then what was found is looked at, then
//! put together.

use super::criteria::Subject;
use super::survey::Survey;
use super::threading::{Member, Members, Threads};
use super::{Error, View, Want};
use crate::mail::{Criteria, Threading};
use crate::mime;

/// A running THREAD.
pub(crate) struct Thread {
    by: Threading,
    members: Members,
    survey: Survey,
    room: Vec<u8>,
}

impl Thread {
    pub(super) fn new(view: &View, by: Threading, criteria: Criteria) -> Thread {
        let want = Want {
            internal_date: true,
            header_fields: by != Threading::OrderedSubject,
            ..Want::default()
        };
        Thread {
            by,
            members: Members::new(view.shared.host.limits.sort_octets),
            survey: Survey::new(view, criteria, want),
            room: Vec::new(),
        }
    }

    /// How far the search came that is the first part of it.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        self.survey.progress()
    }

    /// Why some messages could not be read and were left out; known at the end.
    pub(crate) fn unread(&self) -> Option<Error> {
        self.survey.unread()
    }

    /// Works for a bounded time; `Some` with the threads at the end.
    pub(crate) fn step(&mut self) -> Result<Option<Threads>, Error> {
        let (by, members, room) = (self.by, &mut self.members, &mut self.room);
        let more = self
            .survey
            .step(&mut |message| add(by, message, members, room))?;
        match more {
            true => Ok(None),
            false => self.members.threads(self.by).map(Some),
        }
    }
}

/// Notes what threading asks of a message; `false` if it has to be opened for that.
fn add(
    by: Threading,
    message: &mut Subject<'_, '_>,
    members: &mut Members,
    room: &mut Vec<u8>,
) -> Result<bool, Error> {
    let Some(sent) = message.sent_date()? else {
        return Ok(false);
    };
    let mut member = Member::new(message.uid(), sent.seconds);
    if by != Threading::Refs {
        room.clear();
        let Some(is_reply) = message.base_subject(room)? else {
            return Ok(false);
        };
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
