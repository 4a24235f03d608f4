//! What a process knows of one mailbox, and how it gets the right to read or change its file.

use super::field::Base;
use super::lease::{Lease, Opened, Writing};
use super::line::{Dirty, Given, Head, Line};
use super::log::{Identity, Log};
use super::rewrite;
use super::scratchpad::Scratchpad;
use super::spans::Spans;
use super::stat::{self, Stat};
use super::walk::Span;
use crate::mail::{Guid, Keyword, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::side::beyond::Beyond;
use crate::store::side::disk;
use crate::store::{BlobId, Error, Place};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
/// What is known of the file; what its log says besides is read where it is needed.
pub(super) struct State {
    pub(super) path: PathBuf,
    /// Where its side files are.
    pub(super) side: PathBuf,
    pub(super) log: Log,
    pub(super) pad: Scratchpad,
    pub(super) opened: Option<Arc<Opened>>,
    pub(super) uid_validity: UidValidity,
    pub(super) guid: Guid,
    pub(super) uid_next: Uid,
    pub(super) keywords: Vec<Option<Keyword>>,
    /// Those that have no letter, and the messages that have them.
    pub(super) beyond: Beyond,
    /// The file had others of them than were known.
    pub(super) beyond_news: bool,
    /// Messages whose flags the file does not have yet.
    pub(super) dirty: Dirty,
    /// Expunged messages that the file still has.
    pub(super) doomed: UidSet,
    pub(super) together: Vec<(Uid, Uid)>,
    /// Messages that are in the file and may not be durable: the log does not have them.
    pub(super) unlogged: BTreeMap<Uid, Given>,
    /// Messages whose lines in the log may not be durable.
    pub(super) unlisted: UidSet,
    /// The file as it was when all of this was so, and what that is called.
    pub(super) seen: Option<Stat>,
    pub(super) token: i64,
    /// What the log says of both.
    pub(super) noted: Option<(i64, Stat)>,
    pub(super) layout: Option<Layout>,
    /// A rewriting was begun.
    pub(super) broken: bool,
    /// Messages came that the first one may not know of.
    pub(super) appended: bool,
    /// UIDs of messages that are on their way to another mailbox, or gone.
    pub(super) left: UidSet,
    /// Where Dovecot has its index of INBOX, if it is that; of others it lies beside the file.
    pub(super) inbox_index: Option<PathBuf>,
    /// Dovecot is to have the mailbox.
    pub(super) handed: bool,
    /// Lines of the log were lost, and nobody looked yet what the file says of their messages.
    pub(super) doubted: bool,
}

/// What was found in the file.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) spans: Spans,
    /// Expunged messages.
    pub(super) doomed: UidSet,
    /// Something was written by half.
    pub(super) has_junk: bool,
    /// Where the first of both begins.
    pub(super) gone: Option<u64>,
    /// Messages whose fields do not have their UIDs, or are not in an order in which Dovecot reads them.
    pub(super) bare: UidSet,
    /// The first message, if it is none.
    pub(super) pseudo: Option<Span>,
    pub(super) base: Option<Base>,
}

impl Layout {
    /// What begins there is to go.
    pub(super) fn goes(&mut self, start: u64) {
        let first = self.gone.map_or(start, |first| first.min(start));
        self.gone = Some(first);
    }
}

/// What all copies of a message have in the index in place of a name.
pub(super) fn name(guid: &str, sizes: (u64, u64), received: i64, saved: i64, uid: Uid) -> Box<str> {
    let (stored, wire) = sizes;
    format!("{guid},S={stored},W={wire},R={received},D={saved},U={uid}").into()
}

/// A message as the index knows it.
pub(super) fn blob(name: Box<str>, flags: SystemFlags, letters: u32) -> BlobId {
    BlobId {
        name,
        place: Place::Cur,
        flags,
        letters,
    }
}

impl State {
    /// Takes out what is not a message, so that nothing is left of what the mailbox was. False if it has messages.
    fn empty(&mut self) -> Result<bool, Error> {
        if disk_octets(&self.path)? == 0 {
            return Ok(true);
        }
        self.settle()?;
        let (opened, _writing) = self.write()?;
        if self.layout.is_none() {
            self.reconcile(&opened.file)?;
        }
        let is_empty = self.layout.as_ref().is_some_and(|l| l.spans.is_empty());
        if is_empty {
            opened.file.set_len(0)?;
            disk::sync_data(&opened.file)?;
            (self.layout, self.seen) = (None, None);
        }
        Ok(is_empty)
    }

    /// Has a mailbox without messages be that one, of which no UID was given if `first` says so. Durable.
    pub(super) fn found(
        &mut self,
        (uid_validity, guid): Identity,
        first: bool,
    ) -> Result<(), Error> {
        let is_known = (self.uid_validity, self.guid) == (uid_validity, guid);
        let is_first = !first || self.uid_next == Uid::MIN;
        if (is_known && is_first) || !self.empty()? {
            return Ok(());
        }
        (self.uid_next, self.left) = (Uid::MIN, UidSet::new());
        self.begin_anew((uid_validity, guid))
    }

    /// Forgets all messages: it is that mailbox from now on.
    pub(super) fn begin_anew(&mut self, identity: Identity) -> Result<(), Error> {
        self.log.start(identity)?;
        self.take(Head {
            known: Some(identity),
            ..Head::default()
        });
        Ok(())
    }

    /// Takes what a log says.
    pub(super) fn take(&mut self, head: Head) {
        if let Some((uid_validity, guid)) = head.known {
            (self.uid_validity, self.guid) = (uid_validity, guid);
        }
        let next = head.uid_next.unwrap_or(Uid::MIN);
        self.uid_next = self.uid_next.max(next);
        self.keywords = head.keywords;
        self.dirty = head.dirty;
        self.doomed = head.doomed;
        self.unlogged = head.given;
        self.together = head.together;
        if let Some((token, seen)) = head.seen {
            (self.token, self.seen) = (token, Some(seen));
            self.noted = head.seen;
        }
    }

    /// That UID is given.
    pub(super) fn give(&mut self, uid: Uid) {
        self.uid_next = self.uid_next.max(uid.next().unwrap_or(Uid::MAX));
    }

    pub(super) fn opened(&mut self) -> Result<Arc<Opened>, Error> {
        if let Some(opened) = &self.opened
            && opened.is_at(&self.path)?
        {
            return Ok(opened.clone());
        }
        self.layout = None;
        let opened = Opened::open(&self.path)?;
        Ok(self.opened.insert(opened).clone())
    }

    /// Has the layout of the file as it is, which nobody else changes as long as the value lives.
    pub(super) fn current(&mut self) -> Result<Lease, Error> {
        if self.broken {
            drop(self.write()?);
        }
        let lease = self.opened()?.read()?;
        if self.layout.is_none() || Some(Stat::open(lease.file())?) != self.seen {
            self.reconcile(lease.file())?;
        }
        if self.layout.as_ref().is_some_and(|l| l.has_junk) {
            drop(lease);
            drop(self.write()?);
            return self.opened()?.read();
        }
        Ok(lease)
    }

    /// The right to change the file, as it is known then.
    pub(super) fn write(&mut self) -> Result<(Arc<Opened>, Writing), Error> {
        let mut opened = self.opened()?;
        let mut writing = opened.write(&self.path)?;
        // Somebody may have put another in its place before the lock was there.
        while !opened.is_at(&self.path)? {
            drop(writing);
            opened = self.opened()?;
            writing = opened.write(&self.path)?;
        }
        if self.broken {
            rewrite::recover(&opened.file, &self.side)?;
            self.broken = false;
            self.layout = None;
            self.seen = None;
        }
        if Some(Stat::open(&opened.file)?) != self.seen {
            self.reconcile(&opened.file)?;
        }
        if self.layout.as_ref().is_some_and(|l| l.has_junk) {
            // Nothing may come behind what was written by half.
            match opened.is_read() {
                true => return Err(Error::Locked),
                false => self.write_back(&opened)?,
            }
        }
        Ok((opened, writing))
    }

    /// This process changed the file.
    pub(super) fn note_own(&mut self, file: &File) -> Result<(), Error> {
        self.seen = Some(stat::stamp(file, self.seen)?);
        Ok(())
    }

    /// A message is durable and gets its line.
    pub(super) fn log_one(&mut self, uid: Uid) -> Result<(), Error> {
        match self.unlogged.remove(&uid) {
            Some((name, flags, letters)) => self.log.put(Line::Filed(&name, flags, letters)),
            None => Ok(()),
        }
    }

    pub(super) fn mark(&mut self, uid: Uid, flags: SystemFlags, letters: u32) -> Result<(), Error> {
        self.log.put(Line::Marked(uid, flags, letters))?;
        self.dirty.insert(uid, flags, letters);
        Ok(())
    }

    pub(super) fn doom(&mut self, uid: Uid, name: &str) -> Result<(), Error> {
        self.log.put(Line::Doomed(name))?;
        self.unlogged.remove(&uid);
        self.unlisted.remove(uid);
        self.dirty.remove(uid);
        self.doomed.insert(uid);
        if let Some(layout) = &mut self.layout
            && let Some(span) = layout.spans.remove(uid)?
        {
            layout.bare.remove(uid);
            layout.doomed.insert(uid);
            layout.goes(span.start);
        }
        Ok(())
    }

    /// What the file is called, so that a change by somebody else gives another. Errors: `NoSuchMailbox`.
    pub(super) fn stamp(&self) -> Result<i64, Error> {
        let now = Stat::at(&self.path)?.ok_or(Error::NoSuchMailbox)?;
        Ok(match self.seen {
            Some(seen) if seen == now && !self.broken => self.token,
            _ if now.time == self.token => now.time - 1,
            _ => now.time,
        })
    }
}

/// Octets of a file, none if it is not there.
pub(super) fn disk_octets(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata?.len()),
    }
}
