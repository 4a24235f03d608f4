//! What the index tells of a mailbox whose log is gone, or cannot be read as a whole: flags that the file does not have
//! yet, save dates, what POP3 calls messages, and what a file without messages does not say.

use super::field::Base;
use super::line::{Contents, MAX_LETTERS, Message, uid_of};
use super::root::Root;
use crate::mail::{MailboxName, Uid};
use crate::store::side::room;
use crate::store::{Error, Recalled};

/// Of an index that was not closed nobody knows which UIDs were given after those that it has; they are fewer
/// than so many.
const UID_LEAP: u32 = 1 << 20;

impl Root {
    /// Adds to what a log says all that the index knows of the mailbox beside that. `base`: what the file says; `newer`:
    /// flags that the file has count for more than those of the index. False if the index knows nothing, or of another
    /// mailbox.
    pub(super) fn recall(
        &self,
        name: &MailboxName,
        contents: &mut Contents,
        base: Option<&Base>,
        newer: bool,
    ) -> Result<bool, Error> {
        let Some(memory) = self.memory() else {
            return Ok(false);
        };
        let mut messages = Vec::new();
        let recalled = memory.recall(name, &mut |uid, blob, uidl| {
            // What another format said is of no use.
            if uid_of(&blob.name) == Some(uid) {
                let message = Message {
                    name: blob.name,
                    flags: blob.flags,
                    letters: blob.letters,
                    uidl: uidl.map(Box::from),
                    dirty: !newer,
                };
                messages.push((uid, message));
                room::for_messages(messages.len(), room::OF_MBOX)?;
            }
            Ok(())
        })?;
        let Some(Recalled { state, complete }) = recalled else {
            return Ok(false);
        };
        let is_other = base.is_some_and(|base| base.uid_validity != state.uid_validity);
        let known = (state.uid_validity, state.guid);
        if is_other || contents.known.is_some_and(|own| own != known) {
            return Ok(false);
        }
        contents.known = Some(known);
        let leapt = state.uid_next.number().checked_add(UID_LEAP);
        let leapt = leapt.filter(|_| !complete).and_then(Uid::new);
        contents.uid_next = contents.uid_next.max(Some(leapt.unwrap_or(state.uid_next)));
        for (at, keyword) in state.keywords.into_iter().take(MAX_LETTERS).enumerate() {
            let length = contents.keywords.len().max(at + 1);
            contents.keywords.resize(length, None);
            if let Some(own) = contents.keywords.get_mut(at).filter(|own| own.is_none()) {
                *own = keyword;
            }
        }
        for (uid, message) in messages {
            contents.learn(uid, message, complete && !newer);
        }
        log::warn!("{name}: what its log lacks is in the index, and is taken from there");
        Ok(true)
    }
}

impl Contents {
    /// What the index says of a message; the lines that changed it last may be among those that cannot be read.
    fn learn(&mut self, uid: Uid, message: Message, counts: bool) {
        if self.doomed.contains_key(&uid) {
            return;
        }
        // Whoever was told of it knows that it is durable.
        self.given.remove(&uid);
        let said = |own: &Message| (own.flags, own.letters);
        match self.messages.get_mut(&uid) {
            Some(own) if counts && said(own) != said(&message) => {
                let uidl = own.uidl.take().or(message.uidl);
                (own.flags, own.letters, own.uidl) = (message.flags, message.letters, uidl);
                own.dirty = true;
            }
            Some(own) => own.uidl = own.uidl.take().or(message.uidl),
            None => drop(self.messages.insert(uid, message)),
        }
    }
}
