//! Looking at many messages in bounded steps: by what the index knows, then by opening those of which
//! that is not enough.

use super::criteria::Subject;
use super::walk::Walk;
use super::{Error, Rows, Search, View, Want};
use crate::index::Kept;
use crate::mail::{Criteria, UidSet};

/// Messages looked at in one step if nothing has to be opened.
const MESSAGES_A_STEP: usize = 2048;
/// Messages opened in one step.
const OPENED_A_STEP: u32 = 32;
/// Octets of messages looked through in one step, however many keys do it; the last one counts whole.
const OCTETS_A_STEP: u64 = 4 << 20;

/// Looks at a message; `false` if the index does not know enough of it, which is only so for
/// [`Subject::Known`].
type Each<'a> = dyn FnMut(&mut Subject<'_, '_>) -> Result<bool, Error> + 'a;

/// A look at some messages.
pub(super) struct Look {
    stage: Stage,
    /// What the index does not know enough of.
    open: UidSet,
    /// What is asked of messages that are opened.
    want: Want,
    /// Why some could not be read.
    unread: Option<Error>,
}

enum Stage {
    Walking(Box<Walk>),
    Opening(Box<Rows>),
}

impl Look {
    /// At these messages of the view.
    pub(super) fn new(view: &View, uids: UidSet, want: Want) -> Look {
        let kept = if want.header_fields {
            Some(Kept::Facts)
        } else if want.internal_date || want.octets {
            Some(Kept::Keys)
        } else {
            None
        };
        Look {
            stage: Stage::Walking(Box::new(Walk::new(view, uids, kept))),
            open: UidSet::new(),
            want,
            unread: None,
        }
    }

    /// A look that has not begun, at messages that were found although some `unread` were not.
    fn at(mut self, uids: UidSet, unread: Option<Error>) -> Look {
        self.unread = unread;
        if let Stage::Walking(walk) = &mut self.stage {
            walk.go_over(uids);
        }
        self
    }

    /// Why some messages could not be read and were left out so far.
    pub(super) fn unread(&self) -> Option<Error> {
        self.unread
    }

    /// Calls `each` with some messages, ascending but for those that have to be opened, which come
    /// last; `false` at the end. What was expunged meanwhile, or cannot be read, is left out.
    pub(super) fn step(&mut self, each: &mut Each<'_>) -> Result<bool, Error> {
        match &mut self.stage {
            Stage::Walking(walk) => {
                let (mut failed, open) = (Ok(()), &mut self.open);
                let more = walk.step(MESSAGES_A_STEP, &mut |known| {
                    if failed.is_err() {
                        return;
                    }
                    match each(&mut Subject::Known(known)) {
                        Ok(true) => {}
                        Ok(false) => open.insert(known.uid),
                        Err(error) => failed = Err(error),
                    }
                })?;
                failed?;
                if more {
                    return Ok(true);
                }
                let open = std::mem::take(&mut self.open);
                let more = !open.is_empty();
                self.stage = Stage::Opening(Box::new(walk.rows(open, self.want)));
                Ok(more)
            }
            Stage::Opening(rows) => {
                let (mut opened, mut octets) = (0, 0);
                while opened < OPENED_A_STEP && octets < OCTETS_A_STEP {
                    if !rows.advance()? {
                        return Ok(false);
                    }
                    match each(&mut Subject::Row(rows)) {
                        Ok(_) | Err(Error::Expunged) => {}
                        Err(error) if error.is_of_one() => self.unread = Some(error),
                        Err(error) => return Err(error),
                    }
                    opened += 1;
                    octets += rows.looked_through();
                }
                Ok(true)
            }
        }
    }
}

/// A search, then a look at what it found: what SORT and THREAD have in common.
pub(super) enum Survey {
    /// The look will be at what is found.
    Searching(Box<Search>, Box<Look>),
    Looking(Box<Look>),
    /// Why some messages could not be read.
    Over(Option<Error>),
}

impl Survey {
    /// `want`: what is asked of every message that is found.
    pub(super) fn new(view: &View, criteria: Criteria, want: Want) -> Survey {
        let look = Look::new(view, UidSet::new(), want);
        Survey::Searching(Box::new(Search::new(view, criteria)), Box::new(look))
    }

    /// How far the search came that is the first part of it.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match self {
            Survey::Searching(search, _) => search.progress(),
            _ => None,
        }
    }

    /// Why some messages could not be read and were left out; known at the end.
    pub(super) fn unread(&self) -> Option<Error> {
        match self {
            Survey::Over(unread) => *unread,
            _ => None,
        }
    }

    /// Works for a bounded time, calling `each` as [`Look::step`] does; `false` at the end.
    pub(super) fn step(&mut self, each: &mut Each<'_>) -> Result<bool, Error> {
        match std::mem::replace(self, Survey::Over(None)) {
            Survey::Searching(mut search, look) => {
                *self = match search.step()? {
                    Some(found) => Survey::Looking(Box::new(look.at(found, search.unread()))),
                    None => Survey::Searching(search, look),
                };
                Ok(true)
            }
            Survey::Looking(mut look) => {
                let more = look.step(each)?;
                *self = match more {
                    true => Survey::Looking(look),
                    false => Survey::Over(look.unread()),
                };
                Ok(more)
            }
            Survey::Over(_) => Err(Error::Fault),
        }
    }
}
