//! The store over all places.

use super::draft::{SpreadDraft, fill};
use super::places::{At, OWN, Places};
use crate::config::{Format, Namespace};
use crate::mail::{Guid, Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::side::base::origin;
use crate::store::side::beyond::Beyond;
use crate::store::{
    Away, Blob, BlobId, Census, Compacted, Compaction, Draft, Error, Filing, Lines, MailboxState,
    Memory, Replaced, Scanned, Stamp, Store, WatchedNames,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A handle on the mail of one user.
pub(crate) struct Spread {
    places: Places,
    /// The format of each place.
    formats: Vec<Format>,
    /// Messages that were brought elsewhere and go with the next sync: from where, to where, and how many.
    brought: Vec<Brought>,
    /// Which place is compacted, and what for.
    compacting: Option<(usize, Compaction)>,
}

struct Brought {
    from: usize,
    to: usize,
    messages: usize,
}

fn own(draft: &mut dyn Draft) -> Result<&mut SpreadDraft, Error> {
    let own = draft.as_any().downcast_mut();
    own.ok_or(Error::Corrupt { what: "a draft" })
}

impl Spread {
    /// `own`: the account's own store, and its format.
    pub(crate) fn new(
        own: (Box<dyn Store>, Format),
        namespaces: Vec<Namespace>,
        rotate_octets: u32,
    ) -> Spread {
        let (own, format) = own;
        let others = namespaces.iter().map(|one| one.location.form.format);
        Spread {
            formats: std::iter::once(format).chain(others).collect(),
            places: Places::new(own, namespaces, rotate_octets),
            brought: Vec::new(),
            compacting: None,
        }
    }

    /// `memory` is asked where files are lost that say what is not known otherwise.
    pub(crate) fn asking(mut self, memory: Option<Arc<dyn Memory>>) -> Spread {
        self.places.memory = memory;
        self
    }

    /// The store of a mailbox, and its name there.
    fn at(&self, name: &MailboxName) -> Result<(&dyn Store, MailboxName), Error> {
        let At { place, name } = self.places.look(name)?;
        Ok((self.places.store(place)?, name))
    }

    fn at_mut(&mut self, name: &MailboxName) -> Result<(&mut dyn Store, MailboxName), Error> {
        let At { place, name } = self.places.look(name)?;
        Ok((self.places.store_mut(place)?, name))
    }

    /// Whether that is so of a store that is open: nothing was changed of a place that is not.
    fn any_open(&self, asked: fn(&dyn Store) -> bool) -> bool {
        let open = self.places.open_ones();
        let mut stores = open
            .iter()
            .filter_map(|place| self.places.store(*place).ok());
        stores.any(asked)
    }

    /// Writes a message of another place into a mailbox.
    fn bring(&mut self, from: &At, blob: &BlobId, to: &At, new: &Filing) -> Result<BlobId, Error> {
        let mut source = self.places.store_mut(from.place)?.open(&from.name, blob)?;
        let target = self.places.store_mut(to.place)?;
        let mut draft = target.stage_for(&to.name)?;
        fill(&mut *draft, &mut source.body)?;
        let date = source.internal_date;
        // An mbox is locked as long as it is read.
        drop(source);
        draft.date(date)?;
        draft.identify(Guid::of(origin(&blob.name).as_bytes()), None)?;
        target.save(&mut *draft, &to.name)?;
        target.commit(&mut *draft, &to.name, new)
    }

    /// Notes that a message goes from one place to another, where it is not yet.
    fn begin_bringing(&mut self, from: &At, blob: &BlobId, to: usize) -> Result<(), Error> {
        // What comes is synced before what goes: no place may be both.
        let place = from.place;
        let crosses = |brought: &Brought| brought.to == place || brought.from == to;
        if self.brought.iter().any(crosses) {
            self.sync()?;
        }
        let source = self.places.store_mut(place)?;
        source.leave(&from.name, blob)?;
        let known = |brought: &&mut Brought| (brought.from, brought.to) == (place, to);
        match self.brought.iter_mut().find(known) {
            Some(brought) => brought.messages += 1,
            None => self.brought.push(Brought {
                from: place,
                to,
                messages: 1,
            }),
        }
        Ok(())
    }

    /// The message that `begin_bringing` was told of last does not go.
    fn end_bringing(&mut self, from: usize, to: usize) {
        let known = |brought: &&mut Brought| (brought.from, brought.to) == (from, to);
        if let Some(brought) = self.brought.iter_mut().find(known) {
            brought.messages = brought.messages.saturating_sub(1);
        }
        if let Ok(source) = self.places.store_mut(from) {
            source.stay();
        }
    }

    /// Nothing goes to another place.
    fn all_stay(&mut self) {
        for brought in std::mem::take(&mut self.brought) {
            if let Ok(source) = self.places.store_mut(brought.from) {
                (0..brought.messages).for_each(|_| source.stay());
            }
        }
    }

    /// Names of all mailboxes of a place that have names here.
    fn names_of(&mut self, place: usize) -> Result<Vec<MailboxName>, Error> {
        let names = self.places.store_mut(place)?.mailboxes()?;
        let places = &self.places;
        let outer = |name: &MailboxName| {
            let outer = places.outer(place, name)?;
            // One that is below INBOX in a namespace may have no name that leads there.
            let found = places.find(&outer).ok()?;
            (found.place == place && found.name == *name).then_some(outer)
        };
        Ok(names.iter().filter_map(outer).collect())
    }

    /// Names that a place has as subscribed to; the own one may have those of others, too.
    fn subscribed_of(&mut self, place: usize) -> Result<Vec<MailboxName>, Error> {
        let names = self.places.store_mut(place)?.subscriptions()?;
        if place == OWN {
            return Ok(names);
        }
        // Dovecot calls it Archive/INBOX and has no such mailbox.
        let names = names.iter().filter(|name| !name.is_inbox());
        let outer = |name| self.places.outer(place, name);
        Ok(names.filter_map(outer).collect())
    }

    /// Names that all places tell, sorted, none twice. Places that cannot be used are left out if their prefixes are wanted.
    fn of_all(
        &mut self,
        of: fn(&mut Spread, usize) -> Result<Vec<MailboxName>, Error>,
        mut absent: Option<&mut Vec<MailboxName>>,
    ) -> Result<Vec<MailboxName>, Error> {
        let mut all = Vec::new();
        for place in 0..self.places.count() {
            let named = self.places.namespace(place);
            let prefix = named.map(|namespace| namespace.prefix.clone());
            match (of(self, place), prefix, &mut absent) {
                (Ok(names), ..) => all.extend(names),
                (Err(_), Some(prefix), Some(absent)) => absent.push(prefix),
                (Err(error), ..) => return Err(error),
            }
        }
        crate::mail::sort(&mut all);
        all.dedup();
        Ok(all)
    }

    /// Whether a purge of this kind has anything to do in a place.
    fn compacts(&self, place: usize, aim: Compaction) -> bool {
        let namespace = self.places.namespace(place);
        let aside = |namespace: &Namespace| namespace.location.form.alternate.is_some();
        // The own store does nothing where it has no alternate.
        aim == Compaction::Purge || namespace.is_none_or(aside)
    }
}

impl Store for Spread {
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error> {
        let draft = self.places.own_mut().stage()?;
        Ok(Box::new(SpreadDraft::new(OWN, draft)))
    }

    fn stage_for(&mut self, to: &MailboxName) -> Result<Box<dyn Draft>, Error> {
        // Whether there is such a mailbox turns out later.
        let Ok(At { place, name }) = self.places.find(to) else {
            return self.stage();
        };
        let draft = self.places.store_mut(place)?.stage_for(&name)?;
        Ok(Box::new(SpreadDraft::new(place, draft)))
    }

    fn scratch(&mut self) -> Result<File, Error> {
        self.places.own_mut().scratch()
    }

    fn save(&mut self, draft: &mut dyn Draft, to: &MailboxName) -> Result<(), Error> {
        let At { place, name } = self.places.look(to)?;
        let part = own(draft)?.part(&mut self.places, place, &name)?;
        self.places.store_mut(place)?.save(part, &name)
    }

    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let At { place, name } = self.places.look(to)?;
        let part = own(draft)?.part(&mut self.places, place, &name)?;
        self.places.store_mut(place)?.commit(part, &name, new)
    }

    fn copy(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let (from, to) = (self.places.look(from)?, self.places.look(to)?);
        match from.place == to.place {
            true => {
                let store = self.places.store_mut(from.place)?;
                store.copy(&from.name, blob, &to.name, new)
            }
            false => self.bring(&from, blob, &to, new),
        }
    }

    fn transfer(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let (from, to) = (self.places.look(from)?, self.places.look(to)?);
        if from.place == to.place {
            let store = self.places.store_mut(from.place)?;
            return store.transfer(&from.name, blob, &to.name, new);
        }
        self.begin_bringing(&from, blob, to.place)?;
        let came = self.bring(&from, blob, &to, new);
        if came.is_err() {
            self.end_bringing(from.place, to.place);
        }
        came
    }

    fn leave(&mut self, from: &MailboxName, blob: &BlobId) -> Result<(), Error> {
        let from = self.places.look(from)?;
        // To a place that is none of these.
        let elsewhere = self.places.count();
        self.begin_bringing(&from, blob, elsewhere)
    }

    fn stay(&mut self) {
        if let Some(last) = self.brought.iter().rposition(|b| b.messages > 0)
            && let Some(Brought { from, to, .. }) = self.brought.get(last)
        {
            self.end_bringing(*from, *to);
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        let places = self.places.open_ones();
        let is_left = |place: &usize| self.brought.iter().any(|brought| brought.from == *place);
        let (left, others): (Vec<usize>, Vec<usize>) = places.into_iter().partition(is_left);
        for place in others {
            let synced = self.places.store_mut(place)?.sync();
            if synced.is_err() {
                self.all_stay();
                return synced;
            }
        }
        self.brought.clear();
        for place in left {
            self.places.store_mut(place)?.sync()?;
        }
        Ok(())
    }

    fn sync_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.sync()?;
        let (store, name) = self.at_mut(name)?;
        store.sync_mailbox(&name)
    }

    fn promise(&mut self, name: &MailboxName, uids: (Uid, Uid)) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.promise(&name, uids)
    }

    fn fulfil(&mut self, name: &MailboxName, uids: (Uid, Uid)) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.fulfil(&name, uids)
    }

    fn promised(&mut self, name: &MailboxName) -> Result<Vec<(Uid, Uid)>, Error> {
        let (store, name) = self.at_mut(name)?;
        store.promised(&name)
    }

    fn away(&mut self, name: &MailboxName) -> Result<Option<Away>, Error> {
        let (store, name) = self.at_mut(name)?;
        store.away(&name)
    }

    fn lost(&mut self, name: &MailboxName, gone: &UidSet) -> Result<UidSet, Error> {
        let (store, name) = self.at_mut(name)?;
        store.lost(&name, gone)
    }

    fn forget_lost(&mut self, name: &MailboxName) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.forget_lost(&name)
    }

    fn listed(&mut self, name: &MailboxName) -> Result<UidSet, Error> {
        let (store, name) = self.at_mut(name)?;
        store.listed(&name)
    }

    fn untold(&mut self, name: &MailboxName) -> Result<Option<Uid>, Error> {
        let (store, name) = self.at_mut(name)?;
        store.untold(&name)
    }

    fn open(&mut self, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
        let (store, name) = self.at_mut(name)?;
        store.open(&name, blob)
    }

    fn is_whole(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        let (store, name) = self.at_mut(name)?;
        store.is_whole(&name, blob)
    }

    fn mark(
        &mut self,
        name: &MailboxName,
        blob: &BlobId,
        flags: SystemFlags,
        letters: u32,
    ) -> Result<(BlobId, bool), Error> {
        let (store, name) = self.at_mut(name)?;
        store.mark(&name, blob, flags, letters)
    }

    fn mark_all(
        &mut self,
        name: &MailboxName,
        uids: &UidSet,
        flags: SystemFlags,
        letters: u32,
    ) -> Result<bool, Error> {
        let (store, name) = self.at_mut(name)?;
        store.mark_all(&name, uids, flags, letters)
    }

    fn remove(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        let (store, name) = self.at_mut(name)?;
        store.remove(&name, blob)
    }

    fn scan(&mut self, name: &MailboxName) -> Result<Scanned, Error> {
        let (store, name) = self.at_mut(name)?;
        store.scan(&name)
    }

    fn census(&mut self, name: &MailboxName, octets: usize) -> Result<Census, Error> {
        let (store, name) = self.at_mut(name)?;
        store.census(&name, octets)
    }

    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.record(&name, state, lines)
    }

    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.record_all(&name, state, lines)
    }

    fn record_uidls(&mut self, name: &MailboxName, uidls: &[(Uid, &str)]) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.record_uidls(&name, uidls)
    }

    fn record_keywords(
        &mut self,
        name: &MailboxName,
        keywords: &[Option<Keyword>],
    ) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.record_keywords(&name, keywords)
    }

    fn stamp(&mut self, name: &MailboxName) -> Result<Stamp, Error> {
        let (store, name) = self.at_mut(name)?;
        store.stamp(&name)
    }

    fn listed_at(&mut self, name: &MailboxName) -> Result<i64, Error> {
        let (store, name) = self.at_mut(name)?;
        store.listed_at(&name)
    }

    fn watched(&self, name: &MailboxName) -> Vec<PathBuf> {
        let found = self.at(name);
        found.map_or(Vec::new(), |(store, name)| store.watched(&name))
    }

    fn watched_file(&self, name: &MailboxName) -> Option<PathBuf> {
        let (store, name) = self.at(name).ok()?;
        store.watched_file(&name)
    }

    fn watched_names(&self) -> WatchedNames {
        let mut told = WatchedNames {
            directories: Vec::new(),
            all: true,
        };
        for place in 0..self.places.count() {
            let Ok(store) = self.places.store(place) else {
                told.all = false;
                continue;
            };
            let watched = store.watched_names();
            told.all &= watched.all;
            told.directories.extend(watched.directories);
        }
        told
    }

    fn is_exclusive(&self, of: &MailboxName) -> bool {
        let found = self.at(of);
        found.is_ok_and(|(store, name)| store.is_exclusive(&name))
    }

    fn knows_all_files(&self, of: &MailboxName) -> bool {
        let found = self.at(of);
        found.is_ok_and(|(store, name)| store.knows_all_files(&name))
    }

    fn keeps_stamps(&self, name: &MailboxName) -> bool {
        let found = self.at(name);
        found.is_ok_and(|(store, name)| store.keeps_stamps(&name))
    }

    fn is_remote(&self, of: &MailboxName) -> bool {
        let found = self.at(of);
        found.map_or(true, |(store, name)| store.is_remote(&name))
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.of_all(Spread::names_of, None)
    }

    fn mailboxes_there(
        &mut self,
        absent: &mut Vec<MailboxName>,
    ) -> Result<Vec<MailboxName>, Error> {
        self.of_all(Spread::names_of, Some(absent))
    }

    fn hidden(&mut self) -> Result<Vec<MailboxName>, Error> {
        let mut names = self.places.own_mut().mailboxes()?;
        names.retain(|name| self.places.number(name) != OWN);
        Ok(names)
    }

    fn is_fixed(&self, name: &MailboxName) -> bool {
        self.places.find(name).is_ok_and(|at| at.name.is_inbox())
    }

    fn is_together(&self, a: &MailboxName, b: &MailboxName) -> bool {
        self.places.number(a) == self.places.number(b)
    }

    fn keeps_octets(&self, a: &MailboxName, b: &MailboxName) -> bool {
        let (a, b) = (self.places.number(a), self.places.number(b));
        let is_mbox = |place: usize| self.formats.get(place) == Some(&Format::Mbox);
        a == b || !is_mbox(a) && !is_mbox(b)
    }

    fn create(&mut self, name: &MailboxName) -> Result<(), Error> {
        let At { place, name } = self.places.find(name)?;
        match place != OWN && name.is_inbox() {
            true => Err(Error::MailboxExists),
            false => self.places.store_mut(place)?.create(&name),
        }
    }

    fn furnish(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        let (own, others): (Vec<MailboxName>, Vec<MailboxName>) = names
            .iter()
            .cloned()
            .partition(|name| self.places.number(name) == OWN);
        let first = self.places.own_mut().mailboxes()?.len() <= 1;
        self.places.own_mut().furnish(&own)?;
        for name in others.iter().filter(|_| first) {
            // Those of a namespace that cannot be used now are made by whoever wants them.
            let made = match self.create(name) {
                Ok(()) | Err(Error::MailboxExists) => self.subscribe(name, true),
                failed => failed,
            };
            if let Err(error) = made {
                log::warn!("{name} cannot be made: {error}");
            }
        }
        Ok(())
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let (from, to) = (self.places.look(from)?, self.places.find(to)?);
        match from.place == to.place {
            true => {
                let store = self.places.store_mut(from.place)?;
                store.rename(&from.name, &to.name)
            }
            false => Err(Error::Unnamable),
        }
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.delete(&name)
    }

    fn root(&self) -> &Path {
        self.places.own().root()
    }

    fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        let (store, name) = self.at(name)?;
        store.directory(&name)
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.of_all(Spread::subscribed_of, None)
    }

    fn subscriptions_there(
        &mut self,
        absent: &mut Vec<MailboxName>,
    ) -> Result<Vec<MailboxName>, Error> {
        self.of_all(Spread::subscribed_of, Some(absent))
    }

    fn subscribe(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        let At { place, name: inner } = self.places.find(name)?;
        // As in Dovecot, the prefix itself is among those of the account.
        let own = place == OWN || inner.is_inbox();
        if own || !subscribed {
            self.places.own_mut().subscribe(name, subscribed)?;
        }
        match own {
            true => Ok(()),
            false => self.places.store_mut(place)?.subscribe(&inner, subscribed),
        }
    }

    fn subscribe_to(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        names.iter().try_for_each(|name| self.subscribe(name, true))
    }

    fn beyond(&mut self, of: &MailboxName, validity: UidValidity) -> Result<Option<Beyond>, Error> {
        let (store, of) = self.at_mut(of)?;
        store.beyond(&of, validity)
    }

    fn notes_beyond(&mut self, of: &MailboxName) -> bool {
        let found = self.at_mut(of);
        found.is_ok_and(|(store, of)| store.notes_beyond(&of))
    }

    fn keep_beyond(
        &mut self,
        of: &MailboxName,
        validity: UidValidity,
        all: &Beyond,
    ) -> Result<(), Error> {
        let (store, of) = self.at_mut(of)?;
        store.keep_beyond(&of, validity, all)
    }

    fn whereabouts(&self, name: &MailboxName, blob: &BlobId) -> PathBuf {
        match self.at(name) {
            Ok((store, name)) => store.whereabouts(&name, blob),
            Err(_) => self.root().to_owned(),
        }
    }

    fn compact(&mut self, begins: Option<Compaction>) -> Result<Option<Compacted>, Error> {
        let mut begins = begins;
        if let Some(aim) = begins {
            self.compacting = Some((OWN, aim));
        }
        while let Some((place, aim)) = self.compacting.filter(|(at, _)| *at < self.places.count()) {
            // One that cannot be used is left out.
            let is_there = place == OWN || self.places.store(place).is_ok();
            if is_there && self.compacts(place, aim) {
                let mut compacted = self.places.store_mut(place)?.compact(begins)?;
                while let Some(found) = compacted {
                    let outer = |name: &MailboxName| self.places.outer(place, name);
                    let names: Option<Vec<_>> = found.mailboxes.iter().map(outer).collect();
                    if let Some(mailboxes) = names {
                        return Ok(Some(Compacted { mailboxes, ..found }));
                    }
                    // A file with messages of hidden mailboxes stays: nobody can tell the index where they went.
                    compacted = self.places.store_mut(place)?.compact(None)?;
                }
            }
            self.compacting = Some((place + 1, aim));
            begins = Some(aim);
        }
        self.compacting = None;
        Ok(None)
    }

    fn replace(&mut self, name: &MailboxName) -> Result<Replaced, Error> {
        let (store, name) = self.at_mut(name)?;
        store.replace(&name)
    }

    fn discard(&mut self) -> Result<bool, Error> {
        match self.compacting {
            Some((place, _)) => self.places.store_mut(place)?.discard(),
            None => Ok(false),
        }
    }

    fn lags(&self) -> bool {
        self.any_open(|store| store.lags())
    }

    fn settles(&self) -> bool {
        self.any_open(|store| store.settles())
    }

    fn settle(&mut self, name: &MailboxName) -> Result<(), Error> {
        let (store, name) = self.at_mut(name)?;
        store.settle(&name)
    }

    fn sweep(&mut self, name: &MailboxName) -> Result<(), Error> {
        if !name.is_inbox() {
            let (store, name) = self.at_mut(name)?;
            return store.sweep(&name);
        }
        for place in 1..self.places.count() {
            // Of one that cannot be used the log says that.
            let Ok(store) = self.places.store_mut(place) else {
                continue;
            };
            if let Err(error) = store.sweep(name) {
                log::warn!("what a crash left in a namespace cannot be removed: {error}");
            }
        }
        self.places.own_mut().sweep(name)
    }
}
