//! One user's mailboxes.

use super::events::Events;
use super::handle::Handles;
use super::host::{HostInner, lock};
use super::kept::Kept;
use super::known::{Prepare, Prepared, is_recent};
use super::names::Names;
use super::news::Recent;
use super::shared::{Shared, array};
use super::special;
use super::{Access, Carry, Error, View, fault, mailbox_fault, rest, store_fault};
use crate::config::{Format, Location};
use crate::index::AccountId;
use crate::mail::{DELIMITER, MailboxName, SeqNum, SpecialUse, UidSet, UidValidity};
use crate::store::Store;
use event_listener::Event;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// One user's mail, and what may be done with it. Cheap to clone; all sessions and deliveries of a user share one.
#[derive(Clone)]
pub(crate) struct Account(pub(super) Arc<Inner>, Rights);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    All,
    Read,
}

pub(super) struct Inner {
    pub(super) host: Arc<HostInner>,
    pub(super) id: AccountId,
    pub(super) location: Arc<Location>,
    pub(super) boxes: Mutex<Kept>,
    pub(super) handles: Mutex<Handles>,
    pub(super) prepared: Prepared,
    /// Annotations are read and written.
    pub(super) annotating: Mutex<()>,
    pub(super) names: Names,
    /// A purge is under way.
    pub(super) purging: Mutex<()>,
    pub(super) recent: Mutex<Recent>,
    pub(super) woken: Event,
    /// A POP3 session has the maildrop for itself.
    pub(super) maildrop_locked: AtomicBool,
}

impl Inner {
    pub(super) fn new(
        host: Arc<HostInner>,
        id: AccountId,
        location: &Location,
        prepared: Prepared,
    ) -> Inner {
        Inner {
            host,
            id,
            location: Arc::new(location.clone()),
            boxes: Mutex::default(),
            handles: Mutex::default(),
            prepared,
            annotating: Mutex::default(),
            names: Names::default(),
            purging: Mutex::default(),
            recent: Mutex::default(),
            woken: Event::new(),
            maildrop_locked: AtomicBool::new(false),
        }
    }
}

/// What LIST can say of a name.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: MailboxName,
    /// False for a name that only has mailboxes below it.
    pub(crate) selectable: bool,
    pub(crate) children: bool,
    pub(crate) special_uses: Vec<SpecialUse>,
}

/// What COPYUID tells (RFC 4315 section 3): the n-th UID of `from` became the n-th of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) uid_validity: UidValidity,
    pub(crate) from: UidSet,
    pub(crate) to: UidSet,
}

/// How RENAME went.
pub(crate) struct Renamed {
    /// Mailboxes that were made for it, the lowest first.
    pub(crate) made: Vec<MailboxName>,
    /// What is still to be done: the messages of INBOX are to be moved.
    pub(crate) rest: Option<Carry>,
}

impl Listed {
    fn new(name: MailboxName, selectable: bool) -> Listed {
        Listed {
            name,
            selectable,
            children: false,
            special_uses: Vec::new(),
        }
    }

    /// The names above these, which are sorted, that are not among them, sorted.
    fn above(names: &[MailboxName]) -> Vec<MailboxName> {
        let mut above: Vec<MailboxName> = Vec::new();
        for name in names {
            let mut next = name.parent();
            while let Some(parent) = next.filter(|parent| names.binary_search(parent).is_err()) {
                // Names below one mostly stand one behind the other.
                if above.last() == Some(&parent) {
                    break;
                }
                next = parent.parent();
                above.push(parent);
            }
        }
        crate::mail::sort(&mut above);
        above.dedup();
        above
    }

    /// That of this name, among those that are sorted.
    fn find<'l>(all: &'l mut [Listed], name: &MailboxName) -> Option<&'l mut Listed> {
        let at = all.binary_search_by(|listed| listed.name.cmp(name)).ok()?;
        all.get_mut(at)
    }
}

impl Account {
    /// An account over a Maildir of its own with an index in memory, for tests of rooms above.
    #[cfg(test)]
    pub(crate) fn temporary() -> (Account, tempfile::TempDir) {
        Account::within(tempfile::tempdir().unwrap())
    }

    /// As `temporary`, in memory if there is a file system for that: nothing waits for a disk.
    #[cfg(test)]
    pub(crate) fn volatile() -> (Account, tempfile::TempDir) {
        let memory = tempfile::tempdir_in("/dev/shm");
        Account::within(memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    /// As `temporary`, in that format.
    #[cfg(test)]
    pub(crate) fn temporary_of(format: crate::config::Format) -> (Account, tempfile::TempDir) {
        let index = crate::index::Index::memory().unwrap();
        let host = super::Host::over(index, format, super::Limits::default());
        Account::of(&host, tempfile::tempdir().unwrap())
    }

    /// As `temporary`, below `mail` in the directory, in the form for that root.
    #[cfg(test)]
    pub(crate) fn temporary_with(
        form: impl Fn(&std::path::Path) -> crate::config::Form,
    ) -> (Account, tempfile::TempDir) {
        let memory = tempfile::tempdir_in("/dev/shm");
        let directory = memory.or_else(|_| tempfile::tempdir()).unwrap();
        let root = directory.path().join("mail");
        let index = crate::index::Index::memory().unwrap();
        let host = super::Host::over(index, form(&root), super::Limits::default());
        (host.account("test", &root).unwrap(), directory)
    }

    /// As `temporary`, where the kernel has no inotify.
    #[cfg(test)]
    pub(crate) fn unwatched() -> (Account, tempfile::TempDir) {
        let host = super::Host::unwatched(crate::index::Index::memory().unwrap());
        Account::of(&host, tempfile::tempdir().unwrap())
    }

    /// As `volatile`; commands take so many messages at a time.
    #[cfg(test)]
    pub(crate) fn stepping(step_messages: usize) -> (Account, tempfile::TempDir) {
        let limits = super::Limits {
            step_messages,
            ..super::Limits::default()
        };
        let host = super::Host::with(crate::index::Index::memory().unwrap(), limits);
        let memory = tempfile::tempdir_in("/dev/shm");
        Account::of(&host, memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    #[cfg(test)]
    fn within(directory: tempfile::TempDir) -> (Account, tempfile::TempDir) {
        let host = super::Host::with(
            crate::index::Index::memory().unwrap(),
            super::Limits::default(),
        );
        Account::of(&host, directory)
    }

    #[cfg(test)]
    fn of(host: &super::Host, directory: tempfile::TempDir) -> (Account, tempfile::TempDir) {
        let account = host.account("test", directory.path()).unwrap();
        (account, directory)
    }

    pub(super) fn over(inner: Arc<Inner>) -> Account {
        Account(inner, Rights::All)
    }

    /// The same mail, in which nothing can be changed: mailboxes are opened as by EXAMINE, and what would
    /// change something is `NotPermitted`.
    pub(crate) fn for_reading(self) -> Account {
        Account(self.0, Rights::Read)
    }

    /// Errors: `NotPermitted` where it may only be read.
    pub(crate) fn may_change(&self) -> Result<(), Error> {
        match self.1 {
            Rights::All => Ok(()),
            Rights::Read => Err(Error::NotPermitted),
        }
    }

    /// How a mailbox is opened for who asks for that.
    fn access(&self, asked: Access) -> Access {
        match self.1 {
            Rights::All => asked,
            Rights::Read => Access::ReadOnly,
        }
    }

    /// Makes the special-use mailboxes if the account has no mailbox but INBOX yet (unless it may only be read),
    /// and sweeps what a crash left. Call before anything else; costs nothing if that was done a while ago.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        self.prepare_for(Prepare::All)
    }

    /// As `prepare`; for INBOX alone the others are left for who looks: a message to each of many users who do not look
    /// costs no more than it needs.
    pub(crate) fn prepare_for(&self, wanted: Prepare) -> Result<(), Error> {
        let mut prepared = lock(&self.0.prepared);
        if !is_recent(*prepared, wanted) {
            let mut store = self.0.store()?;
            let swept = store.sweep(&MailboxName::inbox());
            swept.map_err(store_fault("sweeping"))?;
            if self.may_change().is_err() {
                return Ok(());
            }
            if wanted == Prepare::All {
                match self.make_special_use(&mut *store) {
                    // Logged, and no reason to keep anybody from what is there; another time they are made.
                    Ok(()) | Err(Error::Full | Error::Corrupt) => {}
                    failed => return failed,
                }
            }
            drop(store);
            for name in self.hidden()? {
                let (root, prefix) = (&self.0.location.root, self.prefix_of(&name));
                log::warn!(
                    "{}: the mailbox {name} is hidden by the namespace {prefix}; see \"dovelet doctor\"",
                    root.display()
                );
            }
            *prepared = Some((crate::sys::clock::now_seconds(), wanted));
        }
        Ok(())
    }

    fn make_special_use(&self, store: &mut dyn Store) -> Result<(), Error> {
        let usual = SpecialUse::ALL.iter().filter_map(|(_, _, name)| *name);
        let names: Result<Vec<MailboxName>, _> = usual.map(MailboxName::new).collect();
        let names = names.map_err(Error::InvalidName)?;
        store
            .furnish(&names)
            .map_err(store_fault("making the first mailboxes"))
    }

    /// Every mailbox and every name above one, sorted.
    pub(crate) fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut store = self.0.store()?;
        let mut names = self.names(&mut *store)?;
        let holders = special::holders(&special::read(&mut *store)?, &names);
        drop(store);
        crate::mail::sort(&mut names);
        names.dedup();
        // There may be very many: none is in memory more than once.
        let above = Listed::above(&names);
        let names = names.into_iter().map(|name| Listed::new(name, true));
        let mut all: Vec<Listed> = names.collect();
        all.extend(above.into_iter().map(|name| Listed::new(name, false)));
        crate::mail::sort_by(&mut all, |a, b| a.name.cmp(&b.name));
        for at in 0..all.len() {
            let parent = all.get(at).and_then(|listed| listed.name.parent());
            if let Some(parent) = parent.and_then(|parent| Listed::find(&mut all, &parent)) {
                parent.children = true;
            }
        }
        for (special_use, holder) in holders {
            if let Some(listed) = Listed::find(&mut all, &holder) {
                listed.special_uses.push(special_use);
            }
        }
        Ok(all)
    }

    /// Every subscribed name, sorted, whether it exists or not.
    pub(crate) fn subscriptions(&self) -> Result<Vec<MailboxName>, Error> {
        let mut names = self.subscribed(&mut *self.0.store()?)?;
        crate::mail::sort(&mut names);
        Ok(names)
    }

    /// Durable when it returns.
    pub(crate) fn subscribe(&self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        self.may_change()?;
        let mut changing = self.0.names.changing();
        self.0
            .store()?
            .subscribe(name, subscribed)
            .map_err(store_fault("subscribing"))?;
        changing.subscribed(name, subscribed);
        Ok(())
    }

    /// Makes a mailbox and what is missing above it (RFC 3501 section 6.3.3); all that was made, the
    /// lowest first.
    pub(crate) fn create(&self, name: &MailboxName) -> Result<Vec<MailboxName>, Error> {
        self.may_change()?;
        let mut changing = self.0.names.changing();
        let mut store = self.0.store()?;
        let names = self.names(&mut *store)?;
        if names.contains(name) {
            return Err(Error::MailboxExists);
        }
        self.0.host.limits.admit(name)?;
        let mut missing = vec![name.clone()];
        let mut above = name.parent();
        while let Some(parent) = above {
            above = parent.parent();
            if !names.contains(&parent) {
                missing.push(parent);
            }
        }
        if names.len() + missing.len() > self.0.host.limits.mailboxes {
            return Err(Error::Limit("too many mailboxes"));
        }
        for one in missing.iter().rev() {
            match store.create(one) {
                // What is above it may have been made by another program meanwhile.
                Err(crate::store::Error::MailboxExists) if one != name => {}
                made => made.map_err(store_fault("making a mailbox"))?,
            }
            changing.made(one);
        }
        Ok(missing)
    }

    /// RFC 3501 section 6.3.4. A mailbox with others below it is removed; its name stays as theirs.
    pub(crate) fn delete(&self, name: &MailboxName) -> Result<(), Error> {
        self.may_change()?;
        if name.is_inbox() {
            return Err(Error::Cannot("INBOX cannot be deleted"));
        }
        let mut changing = self.0.names.changing();
        let open = lock(&self.0.boxes).get(name);
        let mut store = self.0.store()?;
        if store.is_fixed(name) {
            return Err(Error::Cannot("a namespace's own mailbox cannot be deleted"));
        }
        let mut state = open.as_ref().map(|shared| lock(&shared.state));
        let deleted = store.delete(name);
        self.0.rename_handles();
        deleted.map_err(store_fault("deleting a mailbox"))?;
        changing.removed(name);
        if let Some(state) = state.as_mut() {
            state.deleted = true;
        }
        let forgotten = self.0.host.write(|w| w.forget(self.0.id, name));
        drop(state);
        if let Some(shared) = open {
            lock(&self.0.boxes).remove(&shared);
            shared.raise();
        }
        forgotten?;
        special::follow(&mut *store, name, None)
    }

    /// With all below it; INBOX: its messages are still to be moved to a new mailbox (RFC 3501 section
    /// 6.3.5).
    pub(crate) fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<Renamed, Error> {
        self.may_change()?;
        if to.is_below(from) {
            return Err(Error::Cannot("a mailbox cannot be moved below itself"));
        }
        let names = self.names(&mut *self.0.store()?)?;
        let has_source = names.iter().any(|n| n == from || n.is_below(from));
        if !has_source && !from.is_inbox() {
            return Err(Error::NoSuchMailbox);
        }
        if names.contains(to) {
            return Err(Error::MailboxExists);
        }
        if from.is_inbox() {
            let made = self.create(to)?;
            self.copy_annotations(from, to)?;
            let view = self.select(from, Access::ReadWrite)?;
            let rest = Some(view.emptying(to)?);
            return Ok(Renamed { made, rest });
        }
        let mut moving: Vec<(MailboxName, MailboxName)> = names
            .iter()
            .filter_map(|name| name.moved(from, to).map(|new| (name.clone(), new)))
            .collect();
        if moving.len()
            < names
                .iter()
                .filter(|n| *n == from || n.is_below(from))
                .count()
        {
            return Err(Error::Cannot("a name would become too long"));
        }
        for (_, new) in &moving {
            self.0.host.limits.admit(new)?;
        }
        self.may_move(&moving)?;
        let is_taken = |(_, new): &(MailboxName, MailboxName)| {
            names.contains(new) && !moving.iter().any(|(old, _)| old == new)
        };
        if moving.iter().any(is_taken) {
            return Err(Error::MailboxExists);
        }
        // A name that is to be taken is made free first.
        crate::mail::sort(&mut moving);
        let made = match to.parent().filter(|parent| !names.contains(parent)) {
            Some(parent) => self.create(&parent)?,
            None => Vec::new(),
        };
        moving
            .iter()
            .try_for_each(|(old, new)| self.rename_one(old, new))?;
        Ok(Renamed { made, rest: None })
    }

    /// A mailbox keeps its messages where they are, under their UIDs.
    fn may_move(&self, moving: &[(MailboxName, MailboxName)]) -> Result<(), Error> {
        let store = self.0.store()?;
        let fixed = |name: &MailboxName| !name.is_inbox() && store.is_fixed(name);
        if moving.iter().any(|(old, _)| fixed(old)) {
            return Err(Error::Cannot("a namespace's own mailbox cannot be renamed"));
        }
        match moving.iter().all(|(old, new)| store.is_together(old, new)) {
            true => Ok(()),
            false => Err(Error::Cannot(
                "a mailbox cannot be renamed into another namespace: make one there and move its messages",
            )),
        }
    }

    fn rename_one(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let mut changing = self.0.names.changing();
        let mut boxes = lock(&self.0.boxes);
        let open = boxes.get(from);
        let mut state = open.as_ref().map(|shared| lock(&shared.state));
        let renamed = self.0.store()?.rename(from, to);
        self.0.rename_handles();
        renamed.map_err(store_fault("renaming a mailbox"))?;
        changing.removed(from);
        changing.made(to);
        if let Some(state) = state.as_mut() {
            state.name = to.clone();
        }
        drop(state);
        if let Some(shared) = open {
            boxes.remove(&shared);
            boxes.put(to.clone(), shared);
        }
        self.0.host.write(|w| w.rename(self.0.id, from, to))?;
        special::follow(&mut *self.0.store()?, from, Some(to))
    }

    /// Opens a mailbox for a session (SELECT, EXAMINE).
    pub(crate) fn select(&self, name: &MailboxName, access: Access) -> Result<View, Error> {
        self.select_after(None, name, access)
    }

    /// As `select`, for a session whose view until now was `before`.
    pub(crate) fn select_after(
        &self,
        before: Option<&View>,
        name: &MailboxName,
        access: Access,
    ) -> Result<View, Error> {
        View::open(
            self.clone(),
            before,
            self.shared(name)?,
            self.access(access),
        )
    }

    /// As `select_after`, with the first message without `\Seen`, if that asks no disk: everything is in
    /// memory, and the watch of the directories tells that it is as it was. `None`: it may be otherwise.
    pub(crate) fn select_at_once(
        &self,
        before: Option<&View>,
        name: &MailboxName,
        access: Access,
    ) -> Option<(View, Option<SeqNum>)> {
        let shared = self.0.boxes.try_lock().ok()?.get(name)?;
        View::open_at_once(self.clone(), before, shared, self.access(access))
    }

    /// Prefixes of the names of mailboxes that are kept apart from the others, with `/` at their ends.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = String> {
        let namespaces = self.0.location.form.namespaces.iter();
        namespaces.map(|namespace| format!("{}{DELIMITER}", namespace.prefix))
    }

    /// Mailboxes that nobody sees, because their names are those of namespaces. Sorted.
    pub(super) fn hidden(&self) -> Result<Vec<MailboxName>, Error> {
        let hidden = self.0.store()?.hidden();
        let mut names = hidden.map_err(store_fault("listing mailboxes"))?;
        crate::mail::sort(&mut names);
        Ok(names)
    }

    /// The prefix of the namespace that a name belongs to; empty if none.
    pub(super) fn prefix_of(&self, name: &MailboxName) -> String {
        let within = format!("{name}{DELIMITER}");
        let mut all = self.prefixes();
        all.find(|prefix| within.starts_with(prefix))
            .unwrap_or_default()
    }

    /// True if the mailbox was there a moment ago; asks no disk.
    pub(crate) fn is_open(&self, name: &MailboxName) -> bool {
        let boxes = || self.0.boxes.try_lock().ok();
        name.is_inbox() || boxes().is_some_and(|mut boxes| boxes.get(name).is_some())
    }

    /// True if a message of one can be a link to one of the other: both are on the same file system, in the same
    /// formats.
    pub(crate) fn is_beside(&self, other: &Account) -> bool {
        let formats = |account: &Account| -> Vec<Format> {
            let parts = account.0.location.parts();
            parts.map(|part| part.form.format).collect()
        };
        if formats(self) != formats(other) {
            return false;
        }
        let device = |account: &Account| {
            let store = account.0.store().ok()?;
            rustix::fs::stat(store.root()).ok().map(|stat| stat.st_dev)
        };
        device(self).is_some_and(|own| device(other) == Some(own))
    }

    /// True if messages can be appended to it: for APPEND before its literal, for subaddresses.
    pub(crate) fn exists(&self, name: &MailboxName) -> Result<bool, Error> {
        if name.is_inbox() {
            return Ok(true);
        }
        let mut store = self.0.store()?;
        match store.stamp(name) {
            Ok(_) => Ok(true),
            Err(crate::store::Error::NoSuchMailbox) => Ok(false),
            Err(error) => Err(mailbox_fault("looking at", &*store, name)(error)),
        }
    }

    /// The mailbox as all share it.
    pub(super) fn shared(&self, name: &MailboxName) -> Result<Arc<Shared>, Error> {
        let mut boxes = lock(&self.0.boxes);
        if let Some(shared) = boxes.get(name) {
            return Ok(shared);
        }
        let mut store = self.0.store()?;
        let time = crate::sys::clock::file_time();
        let stamp = store
            .stamp(name)
            .map_err(mailbox_fault("looking at", &*store, name))?;
        let events = match store.is_exclusive(name) {
            true => Events::alone(),
            false => Events::default(),
        };
        let reader = self
            .0
            .host
            .index
            .read()
            .map_err(fault("reading the index"))?;
        let known = reader
            .mailbox(self.0.id, name)
            .map_err(fault("reading the index"))?;
        let id = match known {
            Some(id) => id,
            None => self.0.host.write(|w| w.mailbox(self.0.id, name))?,
        };
        let summary = reader.summary(id).or_else(|error| {
            if error.is_damage() {
                Ok(None)
            } else {
                Err(error)
            }
        });
        let mut summary = summary.map_err(fault("reading the index"))?;
        if let Some(summary) = &mut summary
            && !self.0.host.is_in_line(id)
            && rest::holds(summary, stamp, time)
            && rest::is_kept(&mut *store, name)
        {
            (summary.stamp, summary.stamp_time) = (array(stamp), time);
            self.0.host.set_in_line_at_first(id);
        }
        drop(store);
        let shared = Arc::new(Shared::new(
            &self.0.host,
            Arc::downgrade(&self.0),
            (self.0.id, id),
            name,
            summary,
            events,
        ));
        boxes.put(name.clone(), shared.clone());
        Ok(shared)
    }
}
