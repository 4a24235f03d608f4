//! What the index tells of a mailbox whose log is gone, or cannot be read as a whole: flags that the file does not have
//! yet, save dates, what POP3 calls messages, and what a file without messages does not say. It becomes lines of the log.

use super::field::Base;
use super::folded::Folding;
use super::line::{Head, Line, MAX_LETTERS, Told, uid_of};
use super::log::{Identity, Log};
use super::root::Root;
use crate::mail::{MailboxName, Uid};
use crate::store::side::room;
use crate::store::{BlobId, Error, Recalled, unless_full};

/// Of an index that was not closed nobody knows which UIDs were given after those that it has; they are fewer
/// than so many.
const UID_LEAP: u32 = 1 << 20;

impl Root {
    /// Adds to a log, which says `head`, all that the index knows of the mailbox beside that. `base`: what the file says; `newer`:
    /// flags that the file has count for more than those of the index. Returns which mailbox it is; `None` if the index
    /// knows nothing, or of another mailbox.
    pub(super) fn recall(
        &self,
        name: &MailboxName,
        log: &mut Log,
        head: &Head,
        base: Option<&Base>,
        newer: bool,
    ) -> Result<Option<Identity>, Error> {
        let Some(memory) = self.memory() else {
            return Ok(None);
        };
        // Which mailbox it knows, before any of it is taken.
        let recalled = memory.recall(name, &mut |_, _, _| Ok(()))?;
        let Some(Recalled { state, complete }) = recalled else {
            return Ok(None);
        };
        let is_other = base.is_some_and(|base| base.uid_validity != state.uid_validity);
        let known = (state.uid_validity, state.guid);
        if is_other || head.known.is_some_and(|own| own != known) {
            return Ok(None);
        }
        let (_, all) = log.folded(room::to_sort())?;
        let mut learning = Learning {
            log: &mut *log,
            told: all.messages()?,
            ahead: None,
            newer,
            counts: complete && !newer,
        };
        memory.recall(name, &mut |uid, blob, uidl| {
            // What another format said is of no use.
            match uid_of(&blob.name) == Some(uid) {
                true => learning.learn(uid, &blob, uidl),
                false => Ok(()),
            }
        })?;
        let leapt = state.uid_next.number().checked_add(UID_LEAP);
        let leapt = leapt.filter(|_| !complete).and_then(Uid::new);
        let next = leapt.unwrap_or(state.uid_next);
        if head.uid_next < Some(next) {
            unless_full(log.put(Line::Next(next)))?;
        }
        let named = state.keywords.iter().take(MAX_LETTERS).enumerate();
        for (at, keyword) in named.filter_map(|(at, keyword)| Some((at, keyword.as_ref()?))) {
            if head.keywords.get(at).is_none_or(Option::is_none) {
                unless_full(log.put(Line::Named(at, keyword)))?;
            }
        }
        let name = name.of(&self.path);
        log::warn!("{name}: what its log lacks is in the index, and is taken from there");
        Ok(Some(known))
    }
}

/// Messages of an index beside those of a log.
struct Learning<'l> {
    log: &'l mut Log,
    told: Folding<'l>,
    /// The message of the log that comes next.
    ahead: Option<(Uid, Told)>,
    newer: bool,
    /// What the index says counts: the lines that changed a message last may be among those that cannot be read.
    counts: bool,
}

impl Learning<'_> {
    /// What the log says of a message; they are asked for in ascending order.
    fn told(&mut self, uid: Uid) -> Result<Told, Error> {
        while self.ahead.as_ref().is_none_or(|(own, _)| *own < uid) {
            match self.told.next()? {
                Some(next) => self.ahead = Some(next),
                None => return Ok(Told::default()),
            }
        }
        let own = self.ahead.take_if(|(own, _)| *own == uid);
        Ok(own.map(|(_, told)| told).unwrap_or_default())
    }

    /// What the index says of a message.
    fn learn(&mut self, uid: Uid, theirs: &BlobId, uidl: Option<&str>) -> Result<(), Error> {
        let told = self.told(uid)?;
        if told.doomed.is_some() {
            return Ok(());
        }
        let (flags, letters) = (theirs.flags, theirs.letters);
        let differs = match &told.message {
            Some(own) => self.counts && (own.flags, own.letters) != (flags, letters),
            None => !self.newer,
        };
        if told.message.is_none() {
            // Whoever was told of it knows that it is durable.
            self.put(Line::Filed(&theirs.name, flags, letters))?;
        }
        if differs {
            self.put(Line::Marked(uid, flags, letters))?;
        }
        let own = told.message.and_then(|own| own.uidl);
        match uidl.filter(|_| own.is_none()) {
            Some(uidl) => self.put(Line::Uidl(uid, uidl)),
            None => Ok(()),
        }
    }

    /// What a full disk has no room for is in the index only.
    fn put(&mut self, line: Line<'_>) -> Result<(), Error> {
        unless_full(self.log.put(line))
    }
}
