//! What other programs do to the names of mailboxes and to subscriptions: noticed while a session listens
//! (RFC 5465 sections 5.4 and 5.5), by comparing what is there with what was there.

use super::account::Inner;
use super::host::lock;
use super::news::News;
use super::status::Asked;
use super::{Account, Error};
use crate::mail::{MailboxName, ObjectId};
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Who did what other programs did.
const NOBODY: u32 = 0;

/// The names of an account. Own changes hold the lock, so that they are told from others'.
#[derive(Default)]
pub(super) struct Names {
    known: Mutex<Option<Known>>,
    /// Somebody else may have changed something since.
    doubted: AtomicBool,
    /// The watches ended with the directories.
    lost: AtomicBool,
}

/// What sessions that listen know. Sorted.
pub(super) struct Known {
    mailboxes: Vec<MailboxName>,
    subscribed: Vec<MailboxName>,
    listeners: usize,
    watches: Vec<i32>,
    /// The watches see all changes; else some have to be looked for.
    all: bool,
}

/// As long as one of these lives, it is noticed what other programs do to names.
pub(crate) struct Listening(Account);

impl Known {
    fn read(account: &Account, store: &mut dyn Store) -> Result<Known, Error> {
        let mut mailboxes = account.names(store)?;
        let mut subscribed = account.subscribed(store)?;
        crate::mail::sort(&mut mailboxes);
        crate::mail::sort(&mut subscribed);
        Ok(Known {
            mailboxes,
            subscribed,
            listeners: 0,
            watches: Vec::new(),
            all: false,
        })
    }
}

/// What is in one of them alone.
fn without(these: &[MailboxName], others: &[MailboxName]) -> Vec<MailboxName> {
    let new = these.iter().filter(|n| others.binary_search(n).is_err());
    new.cloned().collect()
}

fn put(names: &mut Vec<MailboxName>, name: &MailboxName) {
    if let Err(at) = names.binary_search(name) {
        names.insert(at, name.clone());
    }
}

fn take(names: &mut Vec<MailboxName>, name: &MailboxName) {
    if let Ok(at) = names.binary_search(name) {
        names.remove(at);
    }
}

/// Held during an own change, which is then noted.
pub(super) struct Changing<'a>(MutexGuard<'a, Option<Known>>);

impl Changing<'_> {
    pub(super) fn made(&mut self, name: &MailboxName) {
        if let Some(known) = self.0.as_mut() {
            put(&mut known.mailboxes, name);
        }
    }

    pub(super) fn removed(&mut self, name: &MailboxName) {
        if let Some(known) = self.0.as_mut() {
            take(&mut known.mailboxes, name);
        }
    }

    pub(super) fn subscribed(&mut self, name: &MailboxName, on: bool) {
        if let Some(known) = self.0.as_mut() {
            match on {
                true => put(&mut known.subscribed, name),
                false => take(&mut known.subscribed, name),
            }
        }
    }
}

impl Names {
    pub(super) fn changing(&self) -> Changing<'_> {
        Changing(lock(&self.known))
    }

    /// Events came in for what says which mailboxes there are.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Acquire)
    }

    /// The directories are gone, and the watches with them.
    pub(super) fn lose_watches(&self) {
        self.lost.store(true, Ordering::Release);
        self.doubt();
    }
}

impl Account {
    /// Begins to notice what other programs do from now on.
    pub(crate) fn listen_to_names(&self) -> Result<Listening, Error> {
        let mut store = self.0.store()?;
        let mut names = lock(&self.0.names.known);
        if names.is_none() {
            let (watches, all) = self.watch_names(&*store);
            let mut known = Known::read(self, &mut *store)?;
            (known.watches, known.all) = (watches, all);
            *names = Some(known);
        }
        if let Some(known) = names.as_mut() {
            known.listeners += 1;
        }
        drop(names);
        Ok(Listening(self.clone()))
    }

    /// The watches, and whether they see all changes.
    fn watch_names(&self, store: &dyn Store) -> (Vec<i32>, bool) {
        let told = store.watched_names();
        let watch = self.0.host.watch.as_ref();
        match watch.and_then(|watch| watch.add_names(&self.0, &told.directories)) {
            Some(watches) => (watches, told.all),
            None => (Vec::new(), false),
        }
    }

    /// Publishes what other programs did since.
    pub(super) fn look_for_names(&self) -> Result<(), Error> {
        if !self.0.names.doubted.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let news = self.compare_names()?;
        news.into_iter().for_each(|news| self.publish(news, NOBODY));
        Ok(())
    }

    fn compare_names(&self) -> Result<Vec<News>, Error> {
        let mut names = lock(&self.0.names.known);
        let Some(known) = names.as_mut() else {
            return Ok(Vec::new());
        };
        let mut store = self.0.store()?;
        if self.0.names.lost.swap(false, Ordering::AcqRel) {
            known.watches.clear();
        }
        if known.watches.is_empty() {
            (known.watches, known.all) = self.watch_names(&*store);
        }
        let now = Known::read(self, &mut *store)?;
        drop(store);
        let made = without(&now.mailboxes, &known.mailboxes);
        let gone = without(&known.mailboxes, &now.mailboxes);
        let mut news = without(&now.subscribed, &known.subscribed);
        news.extend(without(&known.subscribed, &now.subscribed));
        (known.mailboxes, known.subscribed) = (now.mailboxes, now.subscribed);
        drop(names);
        let mut told = self.renamed_and_others(made, gone);
        told.extend(news.into_iter().map(News::Subscribed));
        Ok(told)
    }

    /// A mailbox that went and has the same identity as one that came was renamed.
    fn renamed_and_others(&self, made: Vec<MailboxName>, gone: Vec<MailboxName>) -> Vec<News> {
        let mut went: Vec<(Option<ObjectId>, MailboxName)> = gone
            .into_iter()
            .map(|name| (self.known_id(&name), name))
            .collect();
        let (mut news, mut renamed) = (Vec::new(), Vec::<(MailboxName, MailboxName)>::new());
        for to in made {
            let id = match went.is_empty() {
                true => None,
                // A fault is logged; it is new then.
                false => self
                    .status(&to, Asked::default())
                    .ok()
                    .map(|s| s.mailbox_id),
            };
            let from = went.iter().position(|(own, _)| id.is_some() && *own == id);
            match from {
                None => news.push(News::Created(vec![to])),
                Some(at) => renamed.push((went.swap_remove(at).1, to)),
            }
        }
        // RFC 5465 section 5.4: those below a mailbox go with it.
        let below = |from: &MailboxName, to: &MailboxName| {
            let mut above = renamed.iter();
            above.any(|(a, b)| from != a && from.moved(a, b).as_ref() == Some(to))
        };
        for (from, to) in &renamed {
            if !below(from, to) {
                let (from, to) = (from.clone(), to.clone());
                news.push(News::Renamed { from, to });
            }
        }
        news.extend(went.into_iter().map(|(_, name)| News::Deleted(name)));
        news
    }

    /// What the index knows of a mailbox that may be gone.
    fn known_id(&self, name: &MailboxName) -> Option<ObjectId> {
        let reader = self.0.host.index.read().ok()?;
        let id = reader.mailbox(self.0.id, name).ok()??;
        let summary = reader.summary(id).ok()??;
        Some(ObjectId::mailbox(summary.guid))
    }
}

impl Listening {
    /// False where changes are found only by `look`.
    pub(crate) fn is_watched(&self) -> bool {
        let names = &self.0.0.names;
        let known = lock(&names.known);
        let sees_all = known.as_ref().is_some_and(|known| known.all);
        sees_all && !names.lost.load(Ordering::Acquire)
    }

    /// Has names compared when news are asked for next.
    pub(crate) fn look(&self) {
        self.0.0.names.doubt();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let inner: &Arc<Inner> = &self.0.0;
        let mut names = lock(&inner.names.known);
        let Some(known) = names.as_mut() else {
            return;
        };
        known.listeners = known.listeners.saturating_sub(1);
        if known.listeners == 0 {
            if let Some(watch) = &inner.host.watch {
                watch.remove_names(&known.watches, Arc::as_ptr(inner));
            }
            *names = None;
        }
    }
}
