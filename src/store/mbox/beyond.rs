//! Keywords for which a mailbox has no letter. In the file they are words as all others; which messages have them is
//! in the side file of [`crate::store::side::beyond`], as for other formats.

use super::line::MAX_LETTERS;
use super::state::State;
use crate::mail::{Keyword, Uid, UidSet};
use crate::store::Error;
use crate::store::side::beyond::{self, Beyond};
use crate::store::side::room;

impl State {
    /// What the side file says; without it a message has what the file says when it is next looked at.
    pub(super) fn read_beyond(&mut self) {
        let read = beyond::read_of(&self.side, self.uid_validity);
        let read = read.map(Option::unwrap_or_default);
        self.beyond = read.unwrap_or_else(|error| {
            log::warn!(
                "{}: keywords beyond z are lost: {error}",
                self.path.display()
            );
            Beyond::new()
        });
    }

    /// The names of those that a message has.
    pub(super) fn named_beyond(&self, uid: Uid) -> impl Iterator<Item = &str> {
        let having = self
            .beyond
            .iter()
            .filter(move |(_, uids)| uids.contains(uid));
        having.map(|(keyword, _)| keyword.as_str())
    }

    /// Names of those that messages have.
    pub(super) fn all_beyond(&self) -> impl Iterator<Item = &str> {
        let used = self.beyond.iter().filter(|(_, uids)| !uids.is_empty());
        used.map(|(keyword, _)| keyword.as_str())
    }

    /// The side file says this now: messages for which it is news are to be written, as with other flags. Durable.
    pub(super) fn keep_beyond(&mut self, all: &Beyond) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.beyond, all.clone());
        let mut changed = UidSet::new();
        let mut note = |ours: &Beyond, theirs: &Beyond| {
            for (keyword, uids) in ours {
                let other = theirs.iter().find(|(own, _)| own == keyword);
                let other = other.map_or(UidSet::new(), |(_, uids)| uids.clone());
                changed = changed.union(&uids.difference(&other));
            }
        };
        note(&before, all);
        note(all, &before);
        if changed.is_empty() {
            return Ok(());
        }
        let is_changed = |uid| changed.contains(uid);
        let (_, all) = self.log.folded_of(room::to_sort(), &is_changed)?;
        let mut messages = all.messages()?;
        while let Some((uid, told)) = messages.next()? {
            if let Some(message) = told.message {
                self.mark(uid, message.flags, message.letters)?;
                changed.remove(uid);
            }
        }
        let own = self
            .unlogged
            .iter()
            .filter(|(uid, _)| changed.contains(**uid));
        let own = own.map(|(uid, (_, flags, letters))| (*uid, *flags, *letters));
        for (uid, flags, letters) in own.collect::<Vec<_>>() {
            self.mark(uid, flags, letters)?;
        }
        self.log.sync()
    }

    /// A message of the file has these words. True if that is news.
    pub(super) fn note_beyond(&mut self, uid: Uid, words: &[Box<str>]) -> bool {
        let has_letter = |keyword: &Keyword| {
            let mut lettered = self.keywords.iter().take(MAX_LETTERS);
            lettered.any(|own| own.as_ref() == Some(keyword))
        };
        let mut own: Vec<Keyword> = words.iter().filter_map(|word| Keyword::new(word)).collect();
        own.retain(|keyword| !has_letter(keyword));
        let mut news = false;
        for (keyword, uids) in &mut self.beyond {
            let at = own.iter().position(|word| word == keyword);
            news |= at.is_some() != uids.contains(uid);
            match at {
                Some(at) => {
                    own.swap_remove(at);
                    uids.insert(uid);
                }
                None => uids.remove(uid),
            }
        }
        news |= !own.is_empty();
        let new = own
            .into_iter()
            .map(|keyword| (keyword, UidSet::range(uid, uid)));
        self.beyond.extend(new);
        news
    }

    /// Has the side file say what `note_beyond` was told. Durable.
    pub(super) fn write_beyond(&self) -> Result<(), Error> {
        beyond::write_of(&self.side, self.uid_validity, &self.beyond)
    }
}
