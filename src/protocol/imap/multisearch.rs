//! ESEARCH (RFC 7377): a search of several mailboxes, one after the other.

use super::context::kept;
use super::notify::is_meant;
use super::refusal::refusal;
use super::search::{Searching, Stage, Went};
use super::selected::Selected;
use super::session::{Doing, Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{Criteria, MailboxName, UidSet};
use crate::mailbox::{Access, Error, Expunges, View};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{Esearch, FetchItem, Filter, Returns};
use std::collections::VecDeque;

/// A running ESEARCH.
pub(super) struct MultiSearch {
    tag: Tag,
    places: VecDeque<Place>,
    criteria: Criteria,
    returns: Returns,
    mod_seq: bool,
    expunges: Expunges,
    /// As [`Searching::update`], of the selected mailbox.
    update: Option<Box<(Criteria, Vec<FetchItem>)>>,
    now: Option<Box<Current>>,
}

/// Where is searched.
#[derive(PartialEq, Eq)]
enum Place {
    Selected,
    Named(MailboxName),
}

/// The mailbox that is searched now; without a view of its own it is the selected one.
struct Current {
    view: Option<View>,
    searching: Searching,
}

pub(super) fn esearch(
    session: &mut Session,
    tag: &Tag,
    wanted: Esearch,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let selected = wanted.sources.contains(&Filter::Selected);
    if selected && session.selected.is_none() {
        return Ran::ok("BAD Select a mailbox first.");
    }
    // RFC 7377 section 2.2.
    if wanted.returns.save && wanted.sources != [Filter::Selected] {
        return Ran::ok("BAD Only what is found in the selected mailbox can be saved.");
    }
    if wanted.returns.update && session.selected.is_none() {
        return Ran::ok("BAD Only searches of the selected mailbox are kept up to date.");
    }
    let Some(criteria) = wanted.criteria else {
        session.save_nothing(Some(wanted.returns));
        return Ran::ok("NO [BADCHARSET (US-ASCII UTF-8)] This charset is not known.");
    };
    let mut update = None;
    if wanted.returns.update {
        let has = |own: &Selected| own.contexts.has(tag);
        if session.selected.as_deref().is_some_and(has) {
            return Ran::ok("BAD This tag has a search that is kept up to date.");
        }
        update = kept(session, tag, (&criteria, wanted.items), selected, out);
    }
    let mod_seq = criteria.asks_mod_seq();
    if mod_seq {
        session.enable_condstore(out);
    }
    let places = match places(session, &wanted.sources) {
        Ok(places) => places,
        Err(error) => {
            session.save_nothing(Some(wanted.returns));
            return Ran::no(error);
        }
    };
    session.doing = Doing::MultiSearch(Box::new(MultiSearch {
        tag: tag.clone(),
        places,
        expunges: match selected && criteria.numbers_messages() {
            true => Expunges::Hold,
            false => rule.expunges,
        },
        criteria,
        returns: wanted.returns,
        mod_seq,
        update,
        now: None,
    }));
    Ran::GoesOn
}

/// Each mailbox once, the selected one first (RFC 7377 section 2.2).
fn places(session: &Session, sources: &[Filter]) -> Result<VecDeque<Place>, Error> {
    let mut places = VecDeque::new();
    let mut taken = None;
    if sources.contains(&Filter::Selected) {
        places.push_back(Place::Selected);
        taken = session.selected.as_ref().map(|s| s.view.name());
        if sources.len() == 1 {
            return Ok(places);
        }
    }
    let subscribed = session.account.subscriptions()?;
    for listed in session.account.list()?.into_iter().filter(|l| l.selectable) {
        let mut sources = sources.iter();
        let meant = sources.any(|source| is_meant(source, &subscribed, &listed.name));
        if !meant || taken.as_ref() == Some(&listed.name) {
            continue;
        }
        if places.len() >= session.settings.search_mailboxes {
            return Err(Error::Limit("too many mailboxes to search"));
        }
        places.push_back(Place::Named(listed.name));
    }
    Ok(places)
}

impl MultiSearch {
    fn current(&mut self, session: &Session, place: Place) -> Result<Option<Current>, Error> {
        let mut update = None;
        let view = match place {
            Place::Selected => {
                update = self.update.take();
                None
            }
            Place::Named(name) => match session.account.select(&name, Access::ReadOnly) {
                // It went meanwhile.
                Err(Error::NoSuchMailbox) => return Ok(None),
                view => Some(view?),
            },
        };
        let selected = session.selected.as_ref().map(|s| &s.view);
        let Some(searched) = view.as_ref().or(selected) else {
            return Ok(None);
        };
        let mut name = Vec::new();
        session.enabled.mailbox(&searched.name(), &mut name);
        let searching = Searching {
            mailbox: Some((name, searched.uid_validity())),
            stage: Stage::Looking(Box::new(searched.search(self.criteria.clone()))),
            tag: self.tag.clone(),
            uid: true,
            mod_seq: self.mod_seq,
            returns: Some(self.returns),
            expunges: self.expunges,
            update,
            result: UidSet::new(),
            noticed: crate::sys::clock::now(),
        };
        Ok(Some(Current { view, searching }))
    }
}

impl Session {
    /// One step, then others may have the thread.
    pub(super) fn multi_search(
        &mut self,
        mut multi: Box<MultiSearch>,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        if turn == Turn::Quick {
            self.doing = Doing::MultiSearch(multi);
            return Some(Progress::Disk);
        }
        match self.multi_step(&mut multi, out) {
            Ok(Some(next)) => {
                self.doing = Doing::MultiSearch(multi);
                next
            }
            Ok(None) => {
                self.finish(multi.tag, "OK Esearch completed.".into(), multi.expunges);
                None
            }
            Err(error) => {
                self.save_nothing(Some(multi.returns));
                self.finish(multi.tag, refusal(error).into(), multi.expunges);
                None
            }
        }
    }

    /// `None` at the end.
    fn multi_step(
        &mut self,
        multi: &mut MultiSearch,
        out: &mut Output,
    ) -> Result<Option<Option<Progress<()>>>, Error> {
        let Some(mut current) = multi.now.take() else {
            let Some(place) = multi.places.pop_front() else {
                return Ok(None);
            };
            multi.now = multi.current(self, place)?.map(Box::new);
            return Ok(Some(Some(Progress::Flush)));
        };
        let selected = self.selected.as_mut().map(|s| &mut s.view);
        let Some(view) = current.view.as_mut().or(selected) else {
            return Err(Error::NoSuchMailbox);
        };
        let next = match current.searching.step(view, out)? {
            Went::On => {
                current.searching.notice(self.settings.progress, out);
                Some(Progress::Flush)
            }
            Went::Now(stage) => {
                current.searching.stage = stage;
                None
            }
            // Its view goes.
            Went::Done(_) => {
                self.keep(&mut current.searching);
                return Ok(Some(None));
            }
        };
        multi.now = Some(current);
        Ok(Some(next))
    }
}
