//! SEARCH (RFC 3501 section 6.4.4): runs in steps, answers as a stream.

use super::refusal::refusal;
use super::session::{Doing, Session};
use super::tag::Tag;
use crate::mail::{ModSeq, Uid, UidSet};
use crate::mailbox::{Error, Expunges, Search};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::number;

/// A running SEARCH.
pub(super) struct Searching {
    pub(super) tag: Tag,
    pub(super) uid: bool,
    /// The highest mod-sequence of what is found is told (RFC 7162 section 3.1.6).
    pub(super) mod_seq: bool,
    pub(super) expunges: Expunges,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Looking(Box<Search>),
    /// Found, still to be told, and the highest mod-sequence if that is told too.
    Found(UidSet, Option<ModSeq>),
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
                    Ok(Some(found)) => match self.highest_found(&found, searching.mod_seq) {
                        Ok(highest) => {
                            out.put(b"* SEARCH");
                            searching.stage = Stage::Found(found, highest);
                            self.doing = Doing::Search(searching);
                        }
                        Err(error) => self.give_up(*searching, error),
                    },
                    Err(error) => self.give_up(*searching, error),
                }
            }
            Stage::Found(found, highest) => {
                let left = self.tell_found(found, searching.uid, out);
                if left.is_empty() {
                    if let Some(highest) = highest {
                        out.put(b" (MODSEQ ");
                        number(highest.number(), out.buffer());
                        out.put(b")");
                    }
                    out.put(b"\r\n");
                    let text = "OK Search completed.".into();
                    self.finish(searching.tag, text, searching.expunges);
                } else {
                    *found = left;
                    self.doing = Doing::Search(searching);
                }
            }
        }
        None
    }

    fn give_up(&mut self, searching: Searching, error: Error) {
        let text = refusal(error).into();
        self.finish(searching.tag, text, searching.expunges);
    }

    /// `None` if it is not to be told or nothing was found.
    fn highest_found(&self, found: &UidSet, wanted: bool) -> Result<Option<ModSeq>, Error> {
        match &self.selected {
            Some(selected) if wanted => selected.view.highest_of(found),
            _ => Ok(None),
        }
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
