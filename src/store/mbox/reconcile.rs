//! Finding out what is in a file that somebody else may have changed. A message keeps its UID if its field
//! X-UID says so and its bytes are those that the log has under this UID (of a file without a log, the
//! field alone says it), or else if its bytes are those of a message of the log that is not found and the order stays. All others get new UIDs.

use super::compare::{BEYOND, CUT, Comparison, EARLY, Found, TOLD};
use super::folded::{Folding, Present};
use super::line::{Line, Message, Told};
use super::stat::Stat;
use super::state::{Layout, State, name};
use super::walk::{self, Walked};
use crate::mail::{Uid, UidSet};
use crate::store::side::disk;
use crate::store::sorter::Sorted;
use crate::store::{Census, Error, MailboxState, Stamp, Totals, unless_full};
use std::fs::File;

impl State {
    /// Has the layout of the file, which nobody changes meanwhile, and brings the log in line with it.
    pub(super) fn reconcile(&mut self, file: &File) -> Result<(), Error> {
        let stat = Stat::open(file)?;
        let mut layout = Layout::default();
        let comparison = self.look(file, &mut layout)?;
        let (placed, lacks) = comparison.place(self, &mut layout)?;
        if lacks {
            // What the log has is durable.
            disk::sync_data(file)?;
        }
        self.note_all(file, &comparison, &placed, &mut layout)?;
        self.learn_there(&layout);
        // Behind the lines of all messages that have such UIDs.
        let given = comparison.head.uid_next;
        if given.is_none_or(|next| next < self.uid_next) {
            self.log.put(Line::Next(self.uid_next))?;
        }
        self.layout = Some(layout);
        if self.seen != Some(stat) {
            self.token = match stat.time == self.token {
                true => stat.time - 1,
                false => stat.time,
            };
        }
        self.seen = Some(stat);
        // The lines wait on.
        unless_full(self.log.flush())
    }

    /// Goes through the file.
    fn look(&mut self, file: &File, layout: &mut Layout) -> Result<Comparison, Error> {
        let mut comparison = None;
        walk::walk(file, 0, &mut |mut walked| {
            if let Some(comparison) = &mut comparison {
                Comparison::see(comparison, self, walked)?;
                return Ok(true);
            }
            self.take_base(&mut walked, layout)?;
            let mut begun = Comparison::new(self)?;
            match walked.kept.pseudo {
                true => layout.pseudo = Some(walked.span),
                false => begun.see(self, walked)?,
            }
            comparison = Some(begun);
            Ok(true)
        })?;
        match comparison {
            Some(comparison) => Ok(comparison),
            None => Comparison::new(self),
        }
    }

    /// Takes what the first message says of all; the file wins over the log.
    fn take_base(&mut self, first: &mut Walked, layout: &mut Layout) -> Result<(), Error> {
        layout.base = first.kept.base.take();
        let Some(base) = &layout.base else {
            return Ok(());
        };
        if base.uid_validity != self.uid_validity {
            log::warn!(
                "{}: UIDVALIDITY is {} now",
                self.path.display(),
                base.uid_validity
            );
            self.uid_next = Uid::MIN;
            self.unlisted = UidSet::new();
            self.beyond.clear();
            self.begin_anew((base.uid_validity, self.guid))?;
        }
        self.letters(&base.keywords)?;
        let next = base.last_uid.checked_add(1).and_then(Uid::new);
        let next = next.unwrap_or(Uid::MIN);
        self.uid_next = self.uid_next.max(next);
        Ok(())
    }

    /// Brings the log in line with messages of the file.
    fn note_all(
        &mut self,
        file: &File,
        comparison: &Comparison,
        placed: &Sorted,
        layout: &mut Layout,
    ) -> Result<(), Error> {
        let mut noting = Noting {
            file,
            now: crate::sys::clock::now_seconds(),
            beyond: false,
        };
        let mut logged = Logged::new(comparison.all.messages()?)?;
        let mut records = placed.records()?;
        while let Some((key, number)) = records.next()? {
            let uid = key.try_into().ok().map(u32::from_be_bytes);
            let uid = uid.and_then(Uid::new).ok_or(Error::Corrupt {
                what: "a sorted run",
            })?;
            while let Some((gone, _)) = logged.next_if(|own| own < uid)? {
                self.note_gone(gone, layout)?;
            }
            let told = logged.next_if(|own| own == uid)?;
            let message = told.and_then(|(_, told)| told.message);
            let found = comparison.found(number)?;
            layout.spans.push(uid, found.span, &self.pad)?;
            if found.noted != Some(uid.number()) || found.has(EARLY) {
                layout.bare.insert(uid);
            }
            noting.note(self, uid, &found, message)?;
        }
        while let Some((gone, _)) = logged.next_if(|_| true)? {
            self.note_gone(gone, layout)?;
        }
        self.beyond_news |= noting.beyond;
        match noting.beyond {
            true => self.write_beyond(),
            false => Ok(()),
        }
    }

    /// The file has no such message. Of one that may never have been there the log goes on to say that its UID was
    /// given.
    fn note_gone(&mut self, uid: Uid, layout: &Layout) -> Result<(), Error> {
        if !layout.doomed.contains(uid) && !self.unlogged.contains_key(&uid) {
            self.log.put(Line::Gone(uid))?;
            self.doomed.remove(uid);
            self.dirty.remove(uid);
        }
        Ok(())
    }

    /// Messages on their way are in the log, too, once somebody looks: whoever scans takes what he does not
    /// find for gone, and the UIDs up to the last one that was given for known.
    fn log_appended(&mut self, file: &File) -> Result<(), Error> {
        let spans = self.layout.as_ref().map(|layout| &layout.spans);
        let there = |uid: &&Uid| spans.is_some_and(|spans| spans.contains(**uid));
        let appended: Vec<Uid> = self.unlogged.keys().filter(there).copied().collect();
        if appended.is_empty() {
            return Ok(());
        }
        // What the log has is durable.
        disk::sync_data(file)?;
        for uid in appended {
            self.log_one(uid)?;
            self.unlisted.insert(uid);
        }
        Ok(())
    }

    /// What there is. `octets`: what may be in memory of it.
    pub(super) fn census(&mut self, octets: usize) -> Result<Census, Error> {
        let lease = self.current()?;
        self.log_appended(lease.file())?;
        drop(lease);
        let stamp = self.store_stamp()?;
        let (_, all) = self.log.folded(octets)?;
        let there = self.layout.as_ref().map(|layout| layout.spans.uids());
        let there = there.cloned().unwrap_or_default();
        let all = Present::new(all, there, self.unlisted.clone());
        Ok(Census {
            state: MailboxState {
                uid_validity: self.uid_validity,
                uid_next: self.uid_next,
                guid: self.guid,
                keywords: self.keywords.clone(),
            },
            totals: Totals::of(&all)?,
            all: Box::new(all),
            stamp,
            header_known: true,
            rewrite: false,
        })
    }

    pub(super) fn store_stamp(&self) -> Result<Stamp, Error> {
        let token = self.stamp()?;
        Ok(Stamp {
            new: 0,
            cur: token,
            list: token,
            coarse: false,
        })
    }
}

/// Messages of a log, ascending.
struct Logged<'l> {
    messages: Folding<'l>,
    next: Option<(Uid, Told)>,
}

impl<'l> Logged<'l> {
    fn new(mut messages: Folding<'l>) -> Result<Logged<'l>, Error> {
        let next = messages.next()?;
        Ok(Logged { messages, next })
    }

    fn next_if(&mut self, is: impl Fn(Uid) -> bool) -> Result<Option<(Uid, Told)>, Error> {
        let own = self.next.take_if(|(uid, _)| is(*uid));
        if own.is_some() {
            self.next = self.messages.next()?;
        }
        Ok(own)
    }
}

/// Messages of a file are brought into its log.
struct Noting<'n> {
    file: &'n File,
    /// In seconds since 1970.
    now: i64,
    /// Some have other keywords without a letter than was known.
    beyond: bool,
}

impl Noting<'_> {
    /// `known`: what the log says of it.
    fn note(
        &mut self,
        state: &mut State,
        uid: Uid,
        found: &Found,
        known: Option<Message>,
    ) -> Result<(), Error> {
        if state.unlogged.contains_key(&uid) {
            state.log_one(uid)?;
            state.unlisted.insert(uid);
            return Ok(());
        }
        // What the log says is not in the file yet.
        if known.as_ref().is_none_or(|message| !message.dirty) && !found.has(CUT) {
            let kept = match found.has(BEYOND) {
                true => walk::kept(self.file, &found.span)?.keywords,
                false => Vec::new(),
            };
            self.beyond |= state.note_beyond(uid, &kept);
        }
        let (flags, letters) = (found.flags, found.letters);
        let Some(message) = known else {
            let received = found.received;
            let saved = if found.has(TOLD) { received } else { self.now };
            let guid = found.guid.to_string();
            let name = name(&guid, found.sizes, received, saved, uid);
            state.log.put(Line::Filed(&name, flags, letters))?;
            state.unlisted.insert(uid);
            return Ok(());
        };
        if !message.dirty && (message.flags, message.letters) != (flags, letters) {
            let name = &message.name;
            state.log.put(Line::Filed(name, flags, letters))?;
        }
        Ok(())
    }
}
