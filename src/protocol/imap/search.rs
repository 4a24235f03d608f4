//! SEARCH (RFC 3501 section 6.4.4), SORT and THREAD (RFC 5256 section 3): run in steps, answer as a
//! stream.

use super::changing::{in_progress, is_due};
use super::context::Context;
use super::found::{InOrder, Named, Numbers, SetText, correlate};
use super::refusal::{refusal, warn};
use super::session::{Doing, Session};
use super::tag::Tag;
use crate::mail::{Criteria, ModSeq, Uid, UidSet};
use crate::mailbox::{Error, Expunges, Search, Sort, Thread, Threads, View};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{FetchItem, Returns, number};
use std::time::Duration;

/// A running SEARCH, SORT or THREAD.
pub(super) struct Searching {
    pub(super) tag: Tag,
    pub(super) uid: bool,
    /// The highest mod-sequence of what is found is told (RFC 7162 section 3.1.6).
    pub(super) mod_seq: bool,
    /// The answer is an ESEARCH response (RFC 4731 section 3.1).
    pub(super) returns: Option<Returns>,
    pub(super) expunges: Expunges,
    pub(super) stage: Stage,
    /// It is one of several (RFC 7377 section 2.1): named in the answer, as it is told, if
    /// something is found.
    pub(super) mailbox: Option<Named>,
    /// To be kept up to date: the criteria, and what is told of new messages.
    pub(super) update: Option<Box<(Criteria, Vec<FetchItem>)>>,
    /// What was found, if that is kept up to date.
    pub(super) result: UidSet,
    /// When the client last heard of it, or it began.
    pub(super) noticed: Duration,
}

pub(super) enum Stage {
    Looking(Box<Search>),
    Sorting(Box<Sort>),
    Threading(Box<Thread>),
    /// Found, still to be told, and the highest mod-sequence if that is told too.
    Found(UidSet, Option<ModSeq>),
    /// Numbers of an ESEARCH response, still to be told.
    Set(SetText),
    Sorted(Box<InOrder>),
    Threaded(Box<Threads>),
}

/// How a step went.
pub(super) enum Went {
    /// There is more to do of the same.
    On,
    Now(Stage),
    Done(&'static str),
}

impl Session {
    /// One step of the search, then others may have the thread.
    pub(super) fn search(
        &mut self,
        mut searching: Box<Searching>,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        if turn == Turn::Quick {
            self.doing = Doing::Search(searching);
            return Some(Progress::Disk);
        }
        let went = match self.selected.as_mut() {
            Some(selected) => searching.step(&mut selected.view, out),
            None => Err(Error::NoSuchMailbox),
        };
        match went {
            Ok(Went::On) => {
                searching.notice(self.settings.progress, out);
                self.doing = Doing::Search(searching);
                return Some(Progress::Flush);
            }
            Ok(Went::Now(stage)) => {
                searching.stage = stage;
                self.doing = Doing::Search(searching);
            }
            Ok(Went::Done(text)) => {
                self.keep(&mut searching);
                self.finish(searching.tag, text.into(), searching.expunges);
            }
            Err(error) => {
                self.save_nothing(searching.returns);
                let text = match searching.begun() {
                    // An answer in the middle cannot be taken back.
                    true => {
                        out.put(b"\r\n");
                        refusal(error)
                    }
                    false => refusal(error),
                };
                self.finish(searching.tag, text.into(), searching.expunges);
            }
        }
        None
    }

    /// Keeps up to date what was found, if it is to be.
    pub(super) fn keep(&mut self, searching: &mut Searching) {
        if let Some(update) = searching.update.take()
            && let Some(selected) = self.selected.as_mut()
        {
            let (criteria, items) = *update;
            selected.contexts.add(Context {
                tag: searching.tag.clone(),
                mailbox: searching.mailbox.take(),
                uid: searching.uid,
                criteria,
                found: std::mem::take(&mut searching.result),
                items,
            });
        }
    }

    /// RFC 5182 section 2.1: what was refused leaves nothing saved.
    pub(super) fn save_nothing(&mut self, returns: Option<Returns>) {
        if returns.is_some_and(|returns| returns.save)
            && let Some(selected) = self.selected.as_mut()
        {
            selected.view.save(UidSet::new());
        }
    }
}

impl Searching {
    /// True as long as nothing of the answer is known.
    pub(super) fn is_looking(&self) -> bool {
        matches!(
            self.stage,
            Stage::Looking(_) | Stage::Sorting(_) | Stage::Threading(_)
        )
    }

    /// True if a line of the answer is begun.
    fn begun(&self) -> bool {
        matches!(self.stage, Stage::Sorted(_))
    }

    /// Tells how far it came, at most each `interval`.
    pub(super) fn notice(&mut self, interval: Duration, out: &mut Output) {
        if self.is_looking() && is_due(&mut self.noticed, interval) {
            in_progress(&self.tag, self.progress(), "Still searching.", out);
        }
    }

    fn progress(&self) -> Option<(u64, u64)> {
        match &self.stage {
            Stage::Looking(search) => search.progress(),
            Stage::Sorting(sort) => sort.progress(),
            Stage::Threading(thread) => thread.progress(),
            _ => None,
        }
    }

    pub(super) fn step(&mut self, view: &mut View, out: &mut Output) -> Result<Went, Error> {
        let uid = self.uid;
        match &mut self.stage {
            Stage::Looking(search) => match search.step()? {
                None => Ok(Went::On),
                Some(found) => {
                    warn(search.unread(), out);
                    self.found(found, view, out)
                }
            },
            Stage::Sorting(sort) => match sort.step()? {
                None => Ok(Went::On),
                Some(sorted) => {
                    warn(sort.unread(), out);
                    let head = self.head("SORT", out);
                    let numbers = Numbers::of(uid);
                    let order =
                        InOrder::new(sorted, self.returns, numbers, head, self.mod_seq, out);
                    Ok(Went::Now(Stage::Sorted(Box::new(order))))
                }
            },
            Stage::Threading(thread) => match thread.step()? {
                None => Ok(Went::On),
                Some(threads) => {
                    warn(thread.unread(), out);
                    out.put(b"* THREAD");
                    if !threads.is_empty() {
                        out.put(b" ");
                    }
                    Ok(Went::Now(Stage::Threaded(Box::new(threads))))
                }
            },
            Stage::Found(found, highest) => {
                *found = tell_found(found, view, uid, out);
                if !found.is_empty() {
                    return Ok(Went::On);
                }
                if let Some(highest) = highest {
                    out.put(b" (MODSEQ ");
                    number(highest.number(), out.buffer());
                    out.put(b")");
                }
                out.put(b"\r\n");
                Ok(Went::Done("OK Search completed."))
            }
            Stage::Set(text) => Ok(match text.tell(out) {
                false => Went::On,
                true => Went::Done("OK Search completed."),
            }),
            Stage::Sorted(order) => {
                if !order.tell(view, out)? {
                    return Ok(Went::On);
                }
                if let Some(saved) = order.saved() {
                    view.save(saved);
                }
                Ok(Went::Done("OK Sort completed."))
            }
            Stage::Threaded(threads) => {
                let numbers = Numbers::of(uid);
                while !out.full() {
                    if !threads.tell(&|uid| numbers.number(view, uid), out.buffer()) {
                        out.put(b"\r\n");
                        return Ok(Went::Done("OK Thread completed."));
                    }
                }
                Ok(Went::On)
            }
        }
    }

    /// Begins the answer; `false` if there is to be none but the tagged one.
    fn head(&self, plain: &str, out: &mut Output) -> bool {
        match self.returns {
            None => {
                out.put(b"* ");
                out.put(plain.as_bytes());
            }
            // RFC 5182 section 2.2: what is only saved is not told.
            Some(returns) if returns.is_silent() => return false,
            Some(_) => {
                correlate(&self.tag, self.mailbox.as_ref(), out);
                if self.uid {
                    out.put(b" UID");
                }
            }
        }
        true
    }

    fn found(&mut self, found: UidSet, view: &mut View, out: &mut Output) -> Result<Went, Error> {
        let Some(returns) = self.returns else {
            let highest = self.highest(&found, view)?;
            self.head("SEARCH", out);
            return Ok(Went::Now(Stage::Found(found, highest)));
        };
        if self.update.is_some() {
            self.result.clone_from(&found);
        }
        let chosen = chosen(&returns, &found);
        let highest = self.highest(&chosen, view)?;
        if returns.save {
            view.save(chosen);
        }
        if self.mailbox.is_some() && found.is_empty() {
            return Ok(Went::Done("OK Search completed."));
        }
        if !self.head("SEARCH", out) {
            return Ok(Went::Done("OK Search completed."));
        }
        let numbers = Numbers::of(self.uid);
        let ends = [
            (returns.min, " MIN ", found.first()),
            (returns.max, " MAX ", found.last()),
        ];
        for (wanted, name, uid) in ends {
            if let Some(told) = uid.filter(|_| wanted).map(|uid| numbers.number(view, uid)) {
                out.put(name.as_bytes());
                number(u64::from(told.unwrap_or(0)), out.buffer());
            }
        }
        if returns.count {
            out.put(b" COUNT ");
            number(found.count(), out.buffer());
        }
        if let Some(highest) = highest {
            out.put(b" MODSEQ ");
            number(highest.number(), out.buffer());
        }
        let listed = match returns.partial {
            Some(range) => {
                out.put(b" PARTIAL (");
                range.encode(out.buffer());
                out.put(b" ");
                found.window(range.places(count(&found)))
            }
            None if returns.all && !found.is_empty() => {
                out.put(b" ALL ");
                found
            }
            None => {
                out.put(b"\r\n");
                return Ok(Went::Done("OK Search completed."));
            }
        };
        if listed.is_empty() {
            out.put(b"NIL");
        }
        let end = if returns.partial.is_some() {
            ")\r\n"
        } else {
            "\r\n"
        };
        Ok(Went::Now(Stage::Set(SetText::new(
            numbers.runs(view, &listed),
            end,
        ))))
    }

    /// `None` if it is not to be told or nothing was found.
    fn highest(&self, found: &UidSet, view: &View) -> Result<Option<ModSeq>, Error> {
        match self.mod_seq {
            true => view.highest_of(found),
            false => Ok(None),
        }
    }
}

fn count(found: &UidSet) -> u32 {
    u32::try_from(found.count()).unwrap_or(u32::MAX)
}

/// The messages that are returned, which is what is saved (RFC 5182 section 2.4, RFC 9394 section
/// 3.2) and whose highest mod-sequence is told (RFC 4731 section 3.2).
fn chosen(returns: &Returns, found: &UidSet) -> UidSet {
    if returns.means_all() {
        return found.clone();
    }
    let mut chosen = match returns.partial {
        Some(range) => found.window(range.places(count(found))),
        None => UidSet::new(),
    };
    let ends = [
        found.first().filter(|_| returns.min),
        found.last().filter(|_| returns.max),
    ];
    ends.into_iter()
        .flatten()
        .for_each(|uid| chosen.insert(uid));
    chosen
}

/// Tells as many as fit; returns the others.
fn tell_found(found: &UidSet, view: &View, uid: bool, out: &mut Output) -> UidSet {
    let numbers = Numbers::of(uid);
    for at in found.iter() {
        if let Some(told) = numbers.number(view, at) {
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
