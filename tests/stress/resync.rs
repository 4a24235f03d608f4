//! SELECT, also by one who was here before (RFC 7162 section 3.2.5): what it knew, less what vanished,
//! and what came must be all that is there.

use crate::doing::Doing;
use crate::model::{Kept, Model};
use crate::response::Fetched;
use crate::truth::Checked;
use crate::view::{Message, View};

/// A client that was here before comes up to date.
pub(crate) struct Resyncing {
    /// EXISTS.
    exists: usize,
    /// Numbers and UIDs that were told.
    numbers: Vec<(u32, u32)>,
    /// What happened before the SELECT is told.
    settled: bool,
}

impl Model<'_> {
    /// True if this is the EXISTS of SELECT.
    pub(crate) fn opens_with(&mut self, count: usize) -> Checked<bool> {
        let Some(running) = self.running.as_mut().filter(|r| r.opened && !r.answered) else {
            self.settle()?;
            return Ok(false);
        };
        running.answered = true;
        let Doing::Select { mailbox, resync } = &running.doing else {
            return Ok(false);
        };
        let kept = self.kept.remove(mailbox);
        match kept.filter(|_| resync.is_some()) {
            None => self.view.exists(count)?,
            Some(kept) => {
                running.resyncing = Some(Resyncing {
                    exists: count,
                    numbers: Vec::new(),
                    settled: false,
                });
                self.view.messages = kept.messages;
                // Until all is told, nobody knows the numbers.
                self.view.numbered = false;
            }
        }
        Ok(true)
    }

    fn resyncing(&mut self) -> Option<&mut Resyncing> {
        let resyncing = self.running.as_mut()?.resyncing.as_mut();
        resyncing.filter(|resyncing| !resyncing.settled)
    }

    /// True if it is of a client that comes up to date.
    pub(crate) fn resync_fetched(&mut self, fetched: &Fetched<'_>) -> Checked<bool> {
        let Some(resyncing) = self.resyncing() else {
            return Ok(false);
        };
        let uid = fetched.uid.ok_or("FETCH without UID in SELECT")?;
        if !fetched.by_uid {
            resyncing.numbers.push((fetched.number, uid));
        }
        if !self.view.has(uid) {
            self.view.insert(Message {
                uid: Some(uid),
                ..Message::default()
            });
        }
        Ok(true)
    }

    pub(crate) fn vanished_earlier(&mut self, uid: u32) -> Checked {
        let place = self.view.place(uid);
        if self.resyncing().is_some() {
            if let Some(place) = place {
                self.view.messages.remove(place);
            }
            return Ok(());
        }
        let running = self.running.as_ref().map(|running| &running.doing);
        let asked = matches!(running, Some(Doing::Fetch(fetch)) if fetch.vanished);
        match place {
            _ if !asked => Err("VANISHED (EARLIER) that nobody asked for".to_owned()),
            Some(_) => Err(format!("VANISHED (EARLIER) {uid}, which is there")),
            None => Ok(()),
        }
    }

    /// Now the client knows all that happened before the SELECT.
    pub(crate) fn settle(&mut self) -> Checked {
        let numbered = !self.kind.uid_only;
        let Some(resyncing) = self.resyncing() else {
            return Ok(());
        };
        resyncing.settled = true;
        let exists = resyncing.exists;
        let mut numbers = std::mem::take(&mut resyncing.numbers);
        numbers.sort_unstable();
        let known = std::mem::take(&mut self.view.messages);
        if known.len() > exists {
            let (len, uids) = (known.len(), self.view.uids());
            return Err(format!(
                "{exists} EXISTS, but {len} did not vanish: {uids:?}"
            ));
        }
        self.view = match numbered {
            true => numbered_view(known, &numbers, exists)?,
            false => {
                let mut view = View::new(false);
                view.messages = known;
                view.messages.resize(exists, Message::default());
                view
            }
        };
        Ok(())
    }

    /// HIGHESTMODSEQ of SELECT. A message up to there that it does not hear of was about to be expunged.
    pub(crate) fn resynchronised(&mut self, highest: u64) {
        if self.resyncing().is_some() {
            self.resynchronised = highest;
        }
    }

    /// What it knows of a mailbox from before.
    pub(crate) fn remembers(&self, mailbox: &str) -> Option<&Kept> {
        self.kept.get(mailbox).filter(|_| self.kind.qresync)
    }
}

/// Those whose numbers were told have them, the others stand in their order in what is left.
fn numbered_view(known: Vec<Message>, numbers: &[(u32, u32)], exists: usize) -> Checked<View> {
    let mut view = View::new(true);
    view.messages.resize(exists, Message::default());
    for (number, uid) in numbers {
        let message = known.iter().find(|m| m.uid == Some(*uid));
        let place = (*number as usize).checked_sub(1);
        let place = place.and_then(|place| view.messages.get_mut(place));
        // What vanished after it was told is not known any more.
        if let Some(message) = message {
            *place.ok_or_else(|| format!("FETCH {number} of {exists}"))? = *message;
        }
    }
    let told = |message: &Message| numbers.iter().any(|(_, uid)| message.uid == Some(*uid));
    let mut others = known.iter().filter(|message| !told(message));
    for place in view.messages.iter_mut().filter(|m| m.uid.is_none()) {
        *place = others.next().copied().unwrap_or_default();
    }
    match view.uids().is_sorted_by(|a, b| a < b) {
        true => Ok(view),
        false => Err(format!(
            "numbers do not fit: {numbers:?} of {:?}",
            view.uids()
        )),
    }
}
