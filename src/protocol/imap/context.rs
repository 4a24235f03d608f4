//! Searches of whose results the client is kept informed (RFC 5267 section 4.3).

use super::fetch::Fetch;
use super::found::{Named, correlate};
use super::selected::{Selected, VANISHED_RUNS};
use super::session::{Doing, Ending, Ran, Session};
use super::tag::Tag;
use crate::mail::{Criteria, SequenceSet, UidSet};
use crate::mailbox::{Changes, Error, Search};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{FetchItem, number};

/// One such search.
pub(super) struct Context {
    pub(super) tag: Tag,
    /// Named in what is told, if several mailboxes were searched.
    pub(super) mailbox: Option<Named>,
    pub(super) uid: bool,
    /// Without sequence numbers.
    pub(super) criteria: Criteria,
    /// What the client knows to be found.
    pub(super) found: UidSet,
    /// Told of new messages that are found (RFC 5465 section 7).
    pub(super) items: Vec<FetchItem>,
}

/// The contexts of a mailbox, and which messages may be found by now or no longer.
#[derive(Default)]
pub(super) struct Contexts {
    all: Vec<Context>,
    touched: UidSet,
    new: UidSet,
    /// New ones that were found, and what is to be told of them.
    wanted: UidSet,
    items: Vec<FetchItem>,
}

/// Looks at what changed, for one context after the other.
pub(super) struct Updating {
    touched: UidSet,
    new: UidSet,
    at: usize,
    search: Option<Box<Search>>,
}

impl Contexts {
    /// Why updates are refused (RFC 5267 section 4.3.1), if they are.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.all.len() < limit
    }

    pub(super) fn has(&self, tag: &[u8]) -> bool {
        self.all.iter().any(|context| context.tag == tag)
    }

    pub(super) fn add(&mut self, context: Context) {
        self.all.push(context);
    }

    /// From now on what is told of them is told by UID.
    pub(super) fn tell_uids(&mut self) {
        self.all.iter_mut().for_each(|context| context.uid = true);
    }

    /// Flags of these messages changed.
    pub(super) fn touch(&mut self, uids: &UidSet) {
        if !self.all.is_empty() {
            self.touched = self.touched.union(uids);
        }
    }

    pub(super) fn note(&mut self, changes: &Changes) {
        if !self.all.is_empty() {
            self.touch(&changes.flags);
            self.touch(&changes.new);
            self.new = self.new.union(&changes.new);
        }
    }

    /// Tells what is found no longer because it went; before that is told, as long as its numbers hold
    /// (RFC 5267 section 4.3.4).
    pub(super) fn tell_expunged(&mut self, changes: &Changes, out: &mut Output) {
        for context in &mut self.all {
            let gone = context.found.intersection(&changes.vanished);
            if gone.is_empty() {
                continue;
            }
            context.found = context.found.difference(&gone);
            if context.uid {
                context.put("REMOVEFROM", gone.runs(), out);
                continue;
            }
            let both = changes.vanished.iter().zip(changes.expunged.iter());
            let own = both.filter(|(uid, _)| gone.contains(*uid));
            let seqs: crate::mail::SeqSet = own.map(|(_, seq)| seq).collect();
            context.put("REMOVEFROM", seqs.runs(), out);
        }
    }

    /// What is to be told of new messages, once.
    pub(super) fn take_wanted(&mut self) -> (UidSet, Vec<FetchItem>) {
        (
            std::mem::take(&mut self.wanted),
            std::mem::take(&mut self.items),
        )
    }

    fn begin(&mut self) -> Option<Updating> {
        let touched = std::mem::take(&mut self.touched);
        let new = std::mem::take(&mut self.new);
        (!touched.is_empty() && !self.all.is_empty()).then_some(Updating {
            touched,
            new,
            at: 0,
            search: None,
        })
    }
}

impl Context {
    /// `* ESEARCH (TAG "B01") UID ADDTO (0 32768:32769)`; in mailbox order, so that no position is needed.
    fn put(&self, what: &str, runs: &[(u32, u32)], out: &mut Output) {
        for runs in runs.chunks(VANISHED_RUNS) {
            correlate(&self.tag, self.mailbox.as_ref(), out);
            out.put(if self.uid { b" UID " } else { b" " });
            out.put(what.as_bytes());
            for (at, &(first, last)) in runs.iter().enumerate() {
                out.put(if at == 0 { b" (0 " } else { b"," });
                number(u64::from(first), out.buffer());
                if last > first {
                    out.put(b":");
                    number(u64::from(last), out.buffer());
                }
            }
            out.put(b")\r\n");
        }
    }
}

impl Updating {
    /// Goes on with one context; `true` after the last.
    fn step(&mut self, selected: &mut Selected, out: &mut Output) -> Result<bool, Error> {
        let Selected { view, contexts, .. } = selected;
        let Some(context) = contexts.all.get_mut(self.at) else {
            return Ok(true);
        };
        let search = self.search.get_or_insert_with(|| {
            let touched = Criteria::Uid(SequenceSet::of(&self.touched));
            let both = Criteria::And(vec![touched, context.criteria.clone()]);
            Box::new(view.search(both))
        });
        let Some(found) = search.step()? else {
            return Ok(false);
        };
        self.search = None;
        self.at += 1;
        let added = found.difference(&context.found);
        let removed = context.found.intersection(&self.touched).difference(&found);
        context.found = context.found.difference(&removed).union(&added);
        for (what, uids) in [("REMOVEFROM", &removed), ("ADDTO", &added)] {
            if context.uid {
                context.put(what, uids.runs(), out);
            } else {
                context.put(what, view.seqs_of(uids).runs(), out);
            }
        }
        let wanted = added.intersection(&self.new);
        if !context.items.is_empty() && !wanted.is_empty() {
            contexts.wanted = contexts.wanted.union(&wanted);
            for item in &context.items {
                if !contexts.items.contains(item) {
                    contexts.items.push(item.clone());
                }
            }
        }
        Ok(false)
    }
}

impl Session {
    /// Something may be found by now, or no longer.
    pub(super) fn begin_update(&mut self) -> Option<Box<Updating>> {
        let selected = self.selected.as_mut()?;
        selected.contexts.begin().map(Box::new)
    }

    pub(super) fn updating(
        &mut self,
        mut updating: Box<Updating>,
        ending: Ending,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        if turn == Turn::Quick {
            self.doing = Doing::Updating(updating, ending);
            return Some(Progress::Disk);
        }
        let stepped = match self.selected.as_mut() {
            Some(selected) => updating.step(selected, out),
            None => Ok(true),
        };
        match stepped {
            Ok(false) => {
                self.doing = Doing::Updating(updating, ending);
                Some(Progress::Flush)
            }
            // A fault is logged; what is found then is told with the next change.
            Ok(true) | Err(_) => {
                self.doing = Doing::Finish(ending);
                None
            }
        }
    }

    /// What searches asked for of new messages that they found (RFC 5465 section 5.2: behind ADDTO).
    pub(super) fn found_messages(&mut self, with: &[FetchItem]) -> Option<Box<Fetch>> {
        let selected = self.selected.as_mut()?;
        let (uids, mut items) = selected.contexts.take_wanted();
        if uids.is_empty() {
            return None;
        }
        for item in with {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        selected.new_messages = selected.new_messages.difference(&uids);
        Some(Box::new(Fetch::of_new(
            &selected.view,
            uids,
            &items,
            self.enabled,
        )))
    }
}

/// What is needed to keep a search of the selected mailbox up to date; `None`, and that is told, if it is
/// not kept so (RFC 5267 section 4.3.1). `fit`: nothing else speaks against it.
pub(super) fn kept(
    session: &Session,
    tag: &Tag,
    (criteria, items): (&Criteria, Vec<FetchItem>),
    fit: bool,
    out: &mut Output,
) -> Option<Box<(Criteria, Vec<FetchItem>)>> {
    let limit = session.settings.search_contexts;
    let selected = session.selected.as_ref().filter(|_| fit);
    match selected.filter(|own| own.contexts.has_room(limit) && criteria.is_lasting()) {
        Some(selected) => Some(Box::new((selected.view.fixed(criteria.clone()), items))),
        None => {
            out.put(b"* NO [NOUPDATE \"");
            out.put(tag);
            out.put(b"\"] This search is not kept up to date.\r\n");
            None
        }
    }
}

/// CANCELUPDATE (RFC 5267 section 4.3.5).
pub(super) fn cancel_update(session: &mut Session, tags: &[Vec<u8>]) -> Ran {
    let Some(selected) = session.selected.as_mut() else {
        return Ran::ok("BAD Select a mailbox first.");
    };
    let contexts = &mut selected.contexts;
    if !tags.iter().all(|tag| contexts.has(tag)) {
        return Ran::ok("NO There is no such search.");
    }
    let cancelled = |context: &Context| {
        tags.iter()
            .any(|tag| context.tag.as_slice() == tag.as_slice())
    };
    contexts.all.retain(|context| !cancelled(context));
    Ran::ok("OK No further updates.")
}
