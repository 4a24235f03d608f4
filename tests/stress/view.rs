//! What a client believes of the selected mailbox, from the responses it got and nothing else.

use crate::flags::Flags;
use crate::truth::Checked;

/// One message: what was told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) uid: Option<u32>,
    pub(crate) flags: Option<Flags>,
    pub(crate) mod_seq: Option<u64>,
    /// Its mod-sequence is this at least.
    pub(crate) least: u64,
    /// Its flags were wrong when the client was last told what changed: it must be gone.
    pub(crate) doubted: bool,
}

/// In the order of their numbers. Where there are no numbers (RFC 9586), those of which nothing is known
/// are the last ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) messages: Vec<Message>,
    pub(crate) numbered: bool,
}

impl View {
    pub(crate) fn new(numbered: bool) -> View {
        View {
            messages: Vec::new(),
            numbered,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// UIDs that are known.
    pub(crate) fn uids(&self) -> Vec<u32> {
        self.messages.iter().filter_map(|m| m.uid).collect()
    }

    pub(crate) fn is_known(&self) -> bool {
        self.messages.iter().all(|message| message.uid.is_some())
    }

    pub(crate) fn place(&self, uid: u32) -> Option<usize> {
        self.messages.iter().position(|m| m.uid == Some(uid))
    }

    pub(crate) fn has(&self, uid: u32) -> bool {
        self.place(uid).is_some()
    }

    pub(crate) fn get(&self, uid: u32) -> Option<&Message> {
        self.messages.iter().find(|m| m.uid == Some(uid))
    }

    pub(crate) fn get_mut(&mut self, uid: u32) -> Option<&mut Message> {
        self.messages.iter_mut().find(|m| m.uid == Some(uid))
    }

    /// The UID of that number, if the number is there and its UID known.
    pub(crate) fn uid_of(&self, number: u32) -> Option<u32> {
        let place = (number as usize).checked_sub(1)?;
        self.messages.get(place)?.uid
    }

    /// What is believed of flags.
    pub(crate) fn believed(&self) -> impl Iterator<Item = (u32, Option<Flags>)> {
        let known = self.messages.iter();
        known.filter_map(|message| Some((message.uid?, message.flags)))
    }

    pub(crate) fn exists(&mut self, count: usize) -> Checked {
        if count < self.len() {
            return Err(format!(
                "{count} EXISTS after {}, without EXPUNGE",
                self.len()
            ));
        }
        self.messages.resize(count, Message::default());
        Ok(())
    }

    /// Returns the UID, if it is known.
    pub(crate) fn expunge(&mut self, number: usize) -> Checked<Option<u32>> {
        if number == 0 || number > self.len() {
            return Err(format!("EXPUNGE {number} of {}", self.len()));
        }
        Ok(self.messages.remove(number - 1).uid)
    }

    /// Only messages that are there vanish: each makes one less (RFC 7162 section 3.2.10.2).
    pub(crate) fn vanish(&mut self, uid: u32) -> Checked {
        let place = self.place(uid).or_else(|| self.unknown(uid));
        match place {
            Some(place) => {
                self.messages.remove(place);
                Ok(())
            }
            None => Err(format!("VANISHED {uid}, which is not there")),
        }
    }

    /// Where a message that is not known may be, whose UID is that.
    fn unknown(&self, uid: u32) -> Option<usize> {
        if !self.numbered {
            return self.messages.iter().position(|m| m.uid.is_none());
        }
        let below = |m: &Message| m.uid.is_some_and(|known| known < uid);
        let first = self.messages.iter().rposition(below).map_or(0, |at| at + 1);
        let place = self.messages.get(first).filter(|m| m.uid.is_none());
        place.map(|_| first)
    }

    /// The message of a FETCH response, after its UID is taken in.
    pub(crate) fn fetched(&mut self, number: u32, uid: Option<u32>) -> Checked<&mut Message> {
        let len = self.len();
        let place = (number as usize).checked_sub(1).filter(|at| *at < len);
        let place = place.ok_or_else(|| format!("FETCH {number} of {len}"))?;
        let known = self.messages[place].uid;
        match (known, uid) {
            (Some(known), Some(uid)) if known != uid => {
                return Err(format!("{number} is UID {uid}, it was {known}"));
            }
            (None, Some(uid)) => {
                let (before, after) = self.messages.split_at(place);
                let ascends = before.iter().all(|m| m.uid.is_none_or(|o| o < uid))
                    && after.iter().all(|m| m.uid.is_none_or(|o| o > uid));
                if !ascends {
                    return Err(format!("UID {uid} of {number} does not ascend"));
                }
                self.messages[place].uid = Some(uid);
            }
            _ => {}
        }
        Ok(&mut self.messages[place])
    }

    /// As `fetched`, of UIDFETCH.
    pub(crate) fn uid_fetched(&mut self, uid: u32) -> Checked<&mut Message> {
        if !self.has(uid) {
            let place = self.unknown(uid);
            let place = place.ok_or_else(|| format!("UIDFETCH {uid}, which is not there"))?;
            let mut message = self.messages.remove(place);
            message.uid = Some(uid);
            self.insert(message);
        }
        let place = self.place(uid).ok_or("lost")?;
        Ok(&mut self.messages[place])
    }

    /// Among those whose UIDs are known.
    pub(crate) fn insert(&mut self, message: Message) {
        let before = |m: &Message| m.uid.is_some() && m.uid < message.uid;
        let place = self.messages.partition_point(before);
        self.messages.insert(place, message);
    }
}

impl Message {
    /// Mod-sequences of a message only grow.
    pub(crate) fn note_mod_seq(&mut self, mod_seq: u64) -> Checked {
        let before = self.mod_seq.unwrap_or(0).max(self.least);
        if mod_seq < before {
            let uid = self.uid;
            return Err(format!("MODSEQ {mod_seq} of UID {uid:?}, it was {before}"));
        }
        self.mod_seq = Some(mod_seq);
        Ok(())
    }
}
