//! NOTIFY (RFC 5465): what a client wants to hear of, at any time.

use super::fetch::Fetch;
use super::list::tell_name;
use super::mailboxes::put_status;
use super::metadata;
use super::refusal::refusal;
use super::session::{Ran, Session};
use crate::mail::{MailboxName, UidSet};
use crate::mailbox::{Error, Latest, Listening, News, Observed, Status};
use crate::protocol::Output;
use crate::wire::imap::{EVENTS, EventGroup, Events, FetchItem, Filter, Notify, StatusItem};
use std::time::Duration;

/// What was asked for by the last NOTIFY. Without any event it is NOTIFY NONE.
#[derive(Default)]
pub(super) struct Notifications {
    /// Of the selected mailbox, whichever that is; `None`: nothing.
    pub(super) selected: Option<OfSelected>,
    groups: Vec<EventGroup>,
    watched: Vec<Watched>,
    /// Other programs' doings to names are noticed.
    listening: Option<Listening>,
    /// Which mailboxes are to be watched could not be found out the last time.
    unsure: bool,
    /// What no watch sees is to be looked for.
    looking: bool,
    /// Since the client said something.
    quiet: Duration,
    /// What was there before is not told yet (RFC 5465 section 3.1: an implicit NOOP).
    pub(super) begins: bool,
}

/// SELECTED or SELECTED-DELAYED.
pub(super) struct OfSelected {
    /// Expunges wait for a command.
    pub(super) delayed: bool,
    pub(super) flags: bool,
    /// Told of new messages.
    pub(super) items: Vec<FetchItem>,
}

/// A mailbox of which messages are told, as STATUS.
struct Watched {
    observed: Observed,
    flags: bool,
}

/// Commands whose own doing is told by EXPUNGE.
const EXPUNGING: [&str; 6] = [
    "EXPUNGE",
    "UID EXPUNGE",
    "MOVE",
    "UID MOVE",
    "REPLACE",
    "UID REPLACE",
];
/// Commands that bring new messages of the client's own.
const APPENDING: [&str; 7] = [
    "APPEND",
    "COPY",
    "UID COPY",
    "MOVE",
    "UID MOVE",
    "REPLACE",
    "UID REPLACE",
];

/// True if what the command itself did is told by EXPUNGE.
pub(super) fn is_expunging(command: &str) -> bool {
    EXPUNGING.contains(&command)
}

impl Notifications {
    fn new(groups: Vec<EventGroup>) -> Notifications {
        let mut own = Notifications {
            begins: true,
            ..Notifications::default()
        };
        for group in groups {
            let delayed = match group.filter {
                Filter::Selected => false,
                Filter::SelectedDelayed => true,
                _ => {
                    own.groups.push(group);
                    continue;
                }
            };
            own.selected = group.events.messages.then_some(OfSelected {
                delayed,
                flags: group.events.flags,
                items: group.events.items,
            });
        }
        own
    }

    /// True if changes of the selected mailbox are told at the end of this command.
    pub(super) fn tells_after(&self, command: &str) -> bool {
        self.begins || self.selected.is_some() || is_expunging(command)
    }

    /// What is told of messages that came in the meantime.
    pub(super) fn items_after(&self, command: &str) -> &[FetchItem] {
        match &self.selected {
            Some(selected) if !APPENDING.contains(&command) && !self.begins => &selected.items,
            _ => &[],
        }
    }

    /// True if one of the events is wanted of that mailbox.
    fn wants(&self, names: &[MailboxName], name: &MailboxName, event: fn(&Events) -> bool) -> bool {
        let mut groups = self.groups.iter().filter(|group| event(&group.events));
        groups.any(|group| is_meant(&group.filter, names, name))
    }

    /// What is subscribed to, if that matters.
    fn subscribed(&self, session: &Session) -> Vec<MailboxName> {
        let mut filters = self.groups.iter().map(|group| &group.filter);
        match filters.any(|filter| *filter == Filter::Subscribed) {
            // A failure is logged; nothing is told then.
            true => session.account.subscriptions().unwrap_or_default(),
            false => Vec::new(),
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        let mut watched = self.watched.iter();
        self.looking || watched.any(|watched| watched.observed.is_stale())
    }

    /// True where what happens outside of the selected mailbox is found only by looking.
    fn polls(&self) -> bool {
        let listens = |listening: &Listening| !listening.is_watched();
        let mut watched = self.watched.iter();
        self.listening.as_ref().is_some_and(listens)
            || watched.any(|watched| !watched.observed.is_watched())
    }

    /// Has looked for what no watch sees.
    pub(super) fn look(&mut self) {
        if let Some(listening) = self.listening.as_ref().filter(|own| !own.is_watched()) {
            listening.look();
        }
        self.looking = true;
    }
}

/// RFC 5465 section 6; `subscribed` are the names that `Subscribed` means.
pub(super) fn is_meant(filter: &Filter, subscribed: &[MailboxName], name: &MailboxName) -> bool {
    match filter {
        Filter::Selected | Filter::SelectedDelayed => false,
        Filter::Personal => true,
        Filter::Subscribed => subscribed.contains(name),
        Filter::Subtree(roots) => roots.iter().any(|root| name == root || name.is_below(root)),
        Filter::SubtreeOne(roots) => roots
            .iter()
            .any(|root| name == root || name.parent().as_ref() == Some(root)),
        Filter::Mailboxes(names) => names.contains(name),
    }
}

/// True if a mailbox came to that name.
fn is_made(news: &[News], name: &MailboxName) -> bool {
    news.iter().any(|one| match one {
        News::Created(names) => names.contains(name),
        News::Renamed { to, .. } => name == to || name.is_below(to),
        _ => false,
    })
}

/// RFC 5465 section 3.1.
pub(super) fn notify(session: &mut Session, wanted: Notify, out: &mut Output) -> Ran {
    let (status, groups) = match wanted {
        Notify::None => {
            session.notify = Some(Box::default());
            return Ran::ok("OK Notify completed.");
        }
        Notify::BadEvent => {
            let text = format!("NO [BADEVENT ({EVENTS})] An event is not served.");
            return Ran::Finished(text.into());
        }
        Notify::Set { status, groups } => (status, groups),
    };
    session.begin_to_hear();
    let mut own = Box::new(Notifications::new(groups));
    if let Err(error) = own.begin(session) {
        return match error {
            Error::Limit(_) => Ran::ok("NO [NOTIFICATIONOVERFLOW] These are too many mailboxes."),
            error => Ran::no(error),
        };
    }
    if status {
        own.tell_all(session, out);
    }
    session.notify = Some(own);
    Ran::ok("OK Notify completed.")
}

impl Notifications {
    fn begin(&mut self, session: &Session) -> Result<(), Error> {
        if !self.groups.is_empty() {
            self.listening = Some(session.account.listen_to_names()?);
        }
        self.watch(session, &[])
    }

    /// Finds the mailboxes whose messages are told; those that are watched already stay, all of them if it
    /// fails. `news`: what others did since it was done last.
    fn watch(&mut self, session: &Session, news: &[News]) -> Result<(), Error> {
        let (mut watched, mut before) = (Vec::new(), std::mem::take(&mut self.watched));
        let found = self.find(session, news, &mut watched, &mut before);
        self.watched = watched;
        if found.is_err() {
            self.watched.append(&mut before);
        }
        found
    }

    fn find(
        &self,
        session: &Session,
        news: &[News],
        watched: &mut Vec<Watched>,
        before: &mut Vec<Watched>,
    ) -> Result<(), Error> {
        if self.groups.iter().any(|group| group.events.messages) {
            let subscribed = self.subscribed(session);
            for listed in session.account.list()?.into_iter().filter(|l| l.selectable) {
                if !self.wants(&subscribed, &listed.name, |events| events.messages) {
                    continue;
                }
                if watched.len() >= session.settings.notify_mailboxes {
                    return Err(Error::Limit("too many mailboxes are watched"));
                }
                let flags = self.wants(&subscribed, &listed.name, |events| events.flags);
                let known = before.iter().position(|own| {
                    own.observed.name() == listed.name && !own.observed.is_deleted()
                });
                let observed = match known {
                    Some(at) => before.swap_remove(at).observed,
                    None => match session.account.observe(&listed.name) {
                        // It went meanwhile.
                        Err(Error::NoSuchMailbox) => continue,
                        // What came into it before this look is news, too (RFC 5465 section 5.2).
                        Ok(observed) if self.unsure || is_made(news, &listed.name) => {
                            observed.since_made()
                        }
                        observed => observed?,
                    },
                };
                watched.push(Watched { observed, flags });
            }
        }
        Ok(())
    }

    /// The STATUS option: what must be told of each mailbox but the selected one.
    fn tell_all(&self, session: &Session, out: &mut Output) {
        let selected = session.selected.as_ref().map(|s| s.view.name());
        for watched in &self.watched {
            let name = watched.observed.name();
            if Some(&name) != selected.as_ref() {
                use StatusItem::{HighestModSeq, Messages, UidNext, UidValidity};
                let items = [Messages, UidNext, UidValidity, HighestModSeq];
                let items = items.get(..if watched.flags { 4 } else { 3 });
                let status = watched.observed.status();
                let items = items.unwrap_or_default();
                put_status(&name, items, &status, 0, session.enabled, out.buffer());
            }
        }
    }
}

/// What of a change is told (RFC 5465 sections 5.1 to 5.3).
fn items(before: &Status, now: &Status, flags: bool, session: &Session) -> Vec<StatusItem> {
    let condstore = session.enabled.condstore;
    let mut items = Vec::new();
    let moved = (before.messages, before.uid_next) != (now.messages, now.uid_next);
    let renewed = before.uid_validity != now.uid_validity;
    let marked = flags && before.highest_mod_seq != now.highest_mod_seq;
    if moved || renewed {
        items.extend([StatusItem::Messages, StatusItem::UidNext]);
    }
    if renewed || marked && condstore {
        items.push(StatusItem::UidValidity);
    }
    if flags && before.unseen != now.unseen {
        items.push(StatusItem::Unseen);
    }
    if condstore && (moved || marked) {
        items.push(StatusItem::HighestModSeq);
    }
    items
}

impl Session {
    /// Tells what happened outside of the selected mailbox.
    pub(super) fn tell_others(&mut self, latest: &Latest, out: &mut Output) {
        let Some(mut own) = self.notify.take() else {
            return;
        };
        for one in &latest.news {
            own.tell_one(self, one, out);
        }
        let mut kept = Ok(());
        if latest.other_names || own.unsure {
            kept = own.watch(self, &latest.news);
        }
        let looking = std::mem::take(&mut own.looking);
        let selected = self.selected.as_ref().map(|s| s.view.name());
        own.watched.retain_mut(|watched| {
            let unseen = looking && !watched.observed.is_watched();
            if !unseen && !watched.observed.is_stale() {
                return true;
            }
            let before = watched.observed.status();
            match watched.observed.look() {
                // LIST tells that, who asked for it.
                Err(Error::NoSuchMailbox) => return false,
                // It is logged, and looked at again when it changes again.
                Err(_) => return true,
                Ok(()) => {}
            }
            let (name, now) = (watched.observed.name(), watched.observed.status());
            let items = items(&before, &now, watched.flags, self);
            if Some(&name) != selected.as_ref() && !items.is_empty() {
                put_status(&name, &items, &now, 0, self.enabled, out.buffer());
            }
            true
        });
        let was_unsure = std::mem::replace(&mut own.unsure, kept.is_err());
        self.notify = Some(own);
        match kept {
            Ok(()) => {}
            Err(Error::Limit(_)) => self.overflow(out),
            // What was watched before still is.
            Err(error) if !was_unsure => {
                out.put(format!("* {}\r\n", refusal(error)).as_bytes());
            }
            Err(_) => {}
        }
    }

    /// What the client itself brought into a mailbox is no news to it (RFC 5465 section 5).
    pub(super) fn note_own(&mut self, name: &MailboxName, uids: &UidSet) {
        let Some(own) = &mut self.notify else {
            return;
        };
        let mut watched = own.watched.iter_mut();
        if let Some(watched) = watched.find(|watched| watched.observed.name() == *name) {
            // A failure is logged; it is told then.
            watched.observed.absorb(uids).ok();
        }
    }

    /// True while the client waits for what is found only by looking.
    pub(super) fn polls(&self) -> bool {
        let Some(own) = &self.notify else {
            return false;
        };
        let selected = self.selected.as_ref().filter(|_| own.selected.is_some());
        own.polls() || selected.is_some_and(|selected| !selected.view.is_watched())
    }

    /// The client said something.
    pub(super) fn end_quiet(&mut self) {
        if let Some(own) = &mut self.notify {
            own.quiet = Duration::ZERO;
        }
    }

    /// The client waited so long. False once that is too long.
    pub(super) fn wait_on(&mut self, waited: Duration) -> bool {
        let patience = self.settings.patience;
        self.notify.as_mut().is_some_and(|own| {
            own.quiet = own.quiet.saturating_add(waited);
            own.look();
            own.quiet < patience
        })
    }

    /// How long a client that says nothing may go on so.
    pub(super) fn patience_left(&self) -> Duration {
        let quiet = self.notify.as_ref().map_or(Duration::ZERO, |own| own.quiet);
        self.settings.patience.saturating_sub(quiet)
    }

    /// RFC 5465 section 5.8.
    pub(super) fn overflow(&mut self, out: &mut Output) {
        if self.notify.is_some() {
            out.put(b"* OK [NOTIFICATIONOVERFLOW] Too much happened; nothing more is told.\r\n");
            self.notify = Some(Box::default());
        }
    }

    /// Tells of new messages of the selected mailbox what NOTIFY and searches asked for.
    pub(super) fn new_messages(&mut self) -> Option<Box<Fetch>> {
        let items: Vec<FetchItem> = match &self.notify {
            Some(own) => own.items_after(self.recent.last()).to_vec(),
            None => Vec::new(),
        };
        if let Some(fetch) = self.found_messages(&items) {
            return Some(fetch);
        }
        let selected = self.selected.as_mut()?;
        let new = std::mem::take(&mut selected.new_messages);
        if new.is_empty() || items.is_empty() {
            return None;
        }
        let fetch = Fetch::of_new(&selected.view, new, &items, self.enabled);
        Some(Box::new(fetch))
    }
}

impl Notifications {
    fn tell_one(&self, session: &Session, news: &News, out: &mut Output) {
        let named: fn(&Events) -> bool = |events| events.mailbox_name;
        let subscribed = self.subscribed(session);
        // RFC 5465 section 5.4: what is above the last one is affected, too.
        let mut tell = |names: &[MailboxName]| {
            let above = names.last().and_then(MailboxName::parent);
            for name in names.iter().chain(&above) {
                if self.wants(&subscribed, name, named) {
                    tell_name(session, name, None, out);
                }
            }
        };
        match news {
            News::Created(names) => tell(names),
            News::Deleted(name) => tell(std::slice::from_ref(name)),
            News::Renamed { from, to } => {
                if self.wants(&subscribed, from, named) || self.wants(&subscribed, to, named) {
                    tell_name(session, to, Some(from.as_str()), out);
                }
            }
            News::Subscribed(name) => {
                // It is subscribed to now or was before.
                let affected = [subscribed.as_slice(), std::slice::from_ref(name)].concat();
                if self.wants(&affected, name, |events| events.subscription) {
                    tell_name(session, name, None, out);
                }
            }
            News::Annotated(Some(name), entries) => {
                let enabled = session.enabled.metadata;
                if enabled || self.wants(&subscribed, name, |events| events.metadata) {
                    metadata::changed(Some(name), entries, session.enabled, out);
                }
            }
            News::Annotated(None, entries) => {
                let mut groups = self.groups.iter();
                let wanted = groups.any(|group| group.events.server_metadata);
                if wanted || session.enabled.server_metadata {
                    metadata::changed(None, entries, session.enabled, out);
                }
            }
        }
    }
}
