//! SEARCH (RFC 3501 section 6.4.4): runs in steps, answers as a stream.

use super::refusal::refusal;
use super::session::{Doing, Session};
use super::tag::Tag;
use crate::mail::{Uid, UidSet};
use crate::mailbox::{Expunges, Search};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::number;

/// A running SEARCH.
pub(super) struct Searching {
    pub(super) tag: Tag,
    pub(super) uid: bool,
    pub(super) expunges: Expunges,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Looking(Box<Search>),
    /// Found, still to be told.
    Found(UidSet),
}

impl Session {
    /// One step of the search, then others may have the thread.
    pub(super) fn search(
        &mut self,
        mut searching: Box<Searching>,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        match &mut searching.stage {
            Stage::Looking(search) => {
                if turn == Turn::Quick {
                    self.doing = Doing::Search(searching);
                    return Some(Progress::Disk);
                }
                match search.step() {
                    Ok(None) => {
                        self.doing = Doing::Search(searching);
                        return Some(Progress::Flush);
                    }
                    Ok(Some(found)) => {
                        out.put(b"* SEARCH");
                        searching.stage = Stage::Found(found);
                        self.doing = Doing::Search(searching);
                    }
                    Err(error) => {
                        let text = refusal(error).into();
                        self.finish(searching.tag, text, searching.expunges);
                    }
                }
            }
            Stage::Found(found) => {
                let left = self.tell_found(found, searching.uid, out);
                if left.is_empty() {
                    out.put(b"\r\n");
                    let text = "OK Search completed.".into();
                    self.finish(searching.tag, text, searching.expunges);
                } else {
                    searching.stage = Stage::Found(left);
                    self.doing = Doing::Search(searching);
                }
            }
        }
        None
    }

    /// Tells as many as fit; returns the others.
    fn tell_found(&self, found: &UidSet, uid: bool, out: &mut Output) -> UidSet {
        let Some(selected) = &self.selected else {
            return UidSet::new();
        };
        for at in found.iter() {
            let told = if uid {
                Some(at.number())
            } else {
                selected.view.seq(at).map(|seq| seq.number())
            };
            if let Some(told) = told {
                out.put(b" ");
                number(u64::from(told), out.buffer());
            }
            if out.full() {
                return match at.next() {
                    Some(next) => found.intersection(&UidSet::range(next, Uid::MAX)),
                    None => UidSet::new(),
                };
            }
        }
        UidSet::new()
    }
}
