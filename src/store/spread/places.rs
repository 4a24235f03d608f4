//! Where a mailbox is, and under which name.

use super::founded;
use crate::config::Namespace;
use crate::mail::{DELIMITER, MailboxName};
use crate::store::open::open_one;
use crate::store::{Error, Memory, Recalled, Remember, Store};
use std::cell::{Cell, OnceCell};
use std::sync::Arc;

/// The place of the account's own store among all.
pub(super) const OWN: usize = 0;

/// A mailbox: which place it is in, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) place: usize,
    pub(super) name: MailboxName,
}

/// All places of an account.
pub(super) struct Places {
    own: Box<dyn Store>,
    namespaces: Vec<Opening>,
    rotate_octets: u32,
    /// What knows mailboxes by their names among all.
    pub(super) memory: Option<Arc<dyn Memory>>,
}

/// A namespace, and its store once it is open.
struct Opening {
    namespace: Namespace,
    store: OnceCell<Box<dyn Store>>,
    /// The log says why there is none: once for each handle, however often it is tried.
    told: Cell<bool>,
}

impl Places {
    pub(super) fn new(
        own: Box<dyn Store>,
        namespaces: Vec<Namespace>,
        rotate_octets: u32,
    ) -> Places {
        let opening = |namespace| Opening {
            namespace,
            store: OnceCell::new(),
            told: Cell::new(false),
        };
        Places {
            own,
            namespaces: namespaces.into_iter().map(opening).collect(),
            rotate_octets,
            memory: None,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        1 + self.namespaces.len()
    }

    fn opening(&self, place: usize) -> Option<&Opening> {
        self.namespaces.get(place.checked_sub(1)?)
    }

    pub(super) fn namespace(&self, place: usize) -> Option<&Namespace> {
        self.opening(place).map(|opening| &opening.namespace)
    }

    /// The number of the namespace that a name belongs to, or `OWN`.
    pub(super) fn number(&self, name: &MailboxName) -> usize {
        let mut all = self.namespaces.iter();
        let has = |opening: &Opening| {
            let prefix = &opening.namespace.prefix;
            name == prefix || name.is_below(prefix)
        };
        all.position(has).map_or(OWN, |at| at + 1)
    }

    /// Where a mailbox is. Errors: `Unnamable` for what would be a second name of another.
    pub(super) fn find(&self, name: &MailboxName) -> Result<At, Error> {
        let place = self.number(name);
        let Some(Namespace { prefix, .. }) = self.namespace(place) else {
            let name = name.clone();
            return Ok(At { place, name });
        };
        let rest = name.as_str().strip_prefix(prefix.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix(DELIMITER));
        let inner = match rest {
            None => MailboxName::inbox(),
            Some(rest) => MailboxName::new(rest).map_err(|_| Error::Unnamable)?,
        };
        // INBOX in another case is one name there and several here.
        match rest.is_none() || self.outer(place, &inner).as_ref() == Some(name) {
            true => Ok(At { place, name: inner }),
            false => Err(Error::Unnamable),
        }
    }

    /// As `find`, for what has to be there.
    pub(super) fn look(&self, name: &MailboxName) -> Result<At, Error> {
        self.find(name).map_err(|_| Error::NoSuchMailbox)
    }

    /// What a mailbox of a place is called here; `None` if it has no name.
    pub(super) fn outer(&self, place: usize, name: &MailboxName) -> Option<MailboxName> {
        let Some(Namespace { prefix, .. }) = self.namespace(place) else {
            return (self.number(name) == OWN).then(|| name.clone());
        };
        outer(prefix, name)
    }

    /// Opens the store of a place, if that was not done.
    fn open(&self, place: usize) -> Result<(), Error> {
        let Some(opening) = self.opening(place).filter(|o| o.store.get().is_none()) else {
            return Ok(());
        };
        let Namespace { prefix, location } = &opening.namespace;
        let (root, namespace) = (self.own.root(), &opening.namespace);
        let others = self.namespaces.iter().enumerate();
        let others = others.filter(|(at, _)| at + 1 != place);
        let others = others.map(|(_, other)| other.namespace.location.root.as_path());
        let opened = founded::check(root, namespace).and_then(|()| {
            founded::check_apart(namespace, others.chain([root]))?;
            let memory = self.memory.clone().map(|all| Inside::of(all, prefix));
            let (form, octets) = (location.form.clone(), self.rotate_octets);
            let store = open_one(&location.root, form, octets, memory)?;
            founded::note(root, namespace)?;
            Ok(store)
        });
        let opened = opened.inspect_err(|error| {
            let root = location.root.display();
            if opening.told.replace(true) {
                return;
            }
            log::error!("the namespace {prefix}/ cannot be opened in {root}: {error}");
        })?;
        opening.store.set(opened).ok();
        Ok(())
    }

    pub(super) fn store(&self, place: usize) -> Result<&dyn Store, Error> {
        self.open(place)?;
        match self.opening(place) {
            None => Ok(&*self.own),
            Some(opening) => match opening.store.get() {
                Some(store) => Ok(&**store),
                None => Err(Error::NoSuchMailbox),
            },
        }
    }

    pub(super) fn store_mut(&mut self, place: usize) -> Result<&mut dyn Store, Error> {
        self.open(place)?;
        let opening = place
            .checked_sub(1)
            .and_then(|at| self.namespaces.get_mut(at));
        match opening {
            None => Ok(&mut *self.own),
            Some(opening) => match opening.store.get_mut() {
                Some(store) => Ok(&mut **store),
                None => Err(Error::NoSuchMailbox),
            },
        }
    }

    pub(super) fn own(&self) -> &dyn Store {
        &*self.own
    }

    pub(super) fn own_mut(&mut self) -> &mut dyn Store {
        &mut *self.own
    }

    /// Places whose stores are open.
    pub(super) fn open_ones(&self) -> Vec<usize> {
        let is_open = |place: &usize| self.opening(*place).is_none_or(|o| o.store.get().is_some());
        (0..self.count()).filter(is_open).collect()
    }
}

/// What a mailbox of a namespace is called among all; `None` if it has no name.
fn outer(prefix: &MailboxName, name: &MailboxName) -> Option<MailboxName> {
    match name.is_inbox() {
        true => Some(prefix.clone()),
        false => MailboxName::new(&format!("{prefix}{DELIMITER}{name}")).ok(),
    }
}

/// What is known of the mailboxes of one namespace, by their names there.
struct Inside {
    all: Arc<dyn Memory>,
    prefix: MailboxName,
}

impl Inside {
    fn of(all: Arc<dyn Memory>, prefix: &MailboxName) -> Arc<dyn Memory> {
        let prefix = prefix.clone();
        Arc::new(Inside { all, prefix })
    }
}

impl Memory for Inside {
    fn recall(
        &self,
        name: &MailboxName,
        each: &mut Remember<'_>,
    ) -> Result<Option<Recalled>, Error> {
        match outer(&self.prefix, name) {
            Some(name) => self.all.recall(&name, each),
            None => Ok(None),
        }
    }
}
