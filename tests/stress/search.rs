//! SEARCH, checked against what a connection knows.

use crate::doing::Search;
use crate::flags::FLAGS;
use crate::model::Model;
use crate::response::{Esearch, set_text};
use crate::truth::{Checked, Tick};
use crate::view::Message;

#[derive(Clone, Debug)]
pub(crate) enum Key {
    All,
    Flag(usize, bool),
    Uids(u32, u32),
    ModSeq(u64),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Box<Key>, Box<Key>),
}

/// Whether a message may be left out, may be found.
type May = [bool; 2];

impl Key {
    pub(crate) fn text(&self) -> String {
        match self {
            Key::All => "ALL".to_owned(),
            Key::Flag(flag, value) => {
                let un = if *value { "" } else { "UN" };
                match FLAGS[*flag].strip_prefix('\\') {
                    Some(system) => format!("{un}{}", system.to_uppercase()),
                    None => format!("{un}KEYWORD {}", FLAGS[*flag]),
                }
            }
            Key::Uids(first, last) => format!("UID {first}:{last}"),
            Key::ModSeq(least) => format!("MODSEQ {least}"),
            Key::Not(key) => format!("NOT ({})", key.text()),
            Key::Or(one, other) => format!("OR ({}) ({})", one.text(), other.text()),
            Key::And(one, other) => format!("{} {}", one.text(), other.text()),
        }
    }

    pub(crate) fn asks_mod_seq(&self) -> bool {
        match self {
            Key::ModSeq(_) => true,
            Key::Not(key) => key.asks_mod_seq(),
            Key::Or(one, other) | Key::And(one, other) => {
                one.asks_mod_seq() || other.asks_mod_seq()
            }
            _ => false,
        }
    }

    /// What the mod-sequence of all that is found must be at least.
    fn least(&self) -> u64 {
        match self {
            Key::ModSeq(least) => *least,
            Key::And(one, other) => one.least().max(other.least()),
            _ => 0,
        }
    }

    fn may(&self, message: &Message, flag: &dyn Fn(u32, usize) -> May) -> May {
        let Some(uid) = message.uid else {
            return [true, true];
        };
        match self {
            Key::All => [false, true],
            Key::Flag(at, true) => flag(uid, *at),
            Key::Flag(at, false) => {
                let [unset, set] = flag(uid, *at);
                [set, unset]
            }
            Key::Uids(first, last) => {
                let within = (*first..=*last).contains(&uid);
                [!within, within]
            }
            // It may have changed meanwhile.
            Key::ModSeq(least) => {
                let known = message.mod_seq.unwrap_or(0).max(message.least);
                [known < *least, true]
            }
            Key::Not(key) => {
                let [out, found] = key.may(message, flag);
                [found, out]
            }
            Key::Or(one, other) => {
                let (one, other) = (one.may(message, flag), other.may(message, flag));
                [one[0] && other[0], one[1] || other[1]]
            }
            Key::And(one, other) => {
                let (one, other) = (one.may(message, flag), other.may(message, flag));
                [one[0] || other[0], one[1] && other[1]]
            }
        }
    }
}

impl Model<'_> {
    /// What was found is what a SEARCH that looked after `since` can have found.
    pub(crate) fn found(
        &mut self,
        search: &Search,
        found: &[u32],
        mod_seq: Option<u64>,
        since: Tick,
    ) -> Checked {
        if !found.is_sorted_by(|a, b| a < b) {
            return Err(format!("not in order: {found:?}"));
        }
        let mut places = Vec::new();
        for number in found {
            let place = match search.by_uid {
                true => self.view.place(*number),
                false => (*number as usize).checked_sub(1),
            };
            match place.filter(|at| *at < self.view.len()) {
                Some(place) => places.push(place),
                None if search.by_uid && !self.view.is_known() => {}
                None => return Err(format!("{number} is found, and not there")),
            }
        }
        self.is_right(search, &places, since)?;
        let least = search.key.least();
        let (mut highest, mailbox) = (least, self.mailbox.unwrap_or_default());
        for place in places {
            let message = &mut self.view.messages[place];
            message.least = message.least.max(least);
            // What is gone by now may have none any more.
            if message
                .uid
                .is_some_and(|uid| !self.truth.may_vanish(mailbox, uid))
            {
                highest = highest.max(message.mod_seq.unwrap_or(0));
            }
        }
        let told = search.key.asks_mod_seq() && !found.is_empty();
        match mod_seq {
            None if told => Err("MODSEQ is not told".to_owned()),
            Some(_) if !told => Err("MODSEQ was not asked for".to_owned()),
            Some(told) if told < highest => Err(format!("MODSEQ {told}, {highest} is known")),
            _ => Ok(()),
        }
    }

    fn is_right(&self, search: &Search, places: &[usize], since: Tick) -> Checked {
        let mailbox = self.mailbox.unwrap_or_default();
        let flag = |uid, flag| self.truth.values(mailbox, uid, flag, since);
        for (place, message) in self.view.messages.iter().enumerate() {
            let [mut out, within] = search.key.may(message, &flag);
            let found = places.binary_search(&place).is_ok();
            // What is gone already is not found any more, told or not.
            out |= message
                .uid
                .is_none_or(|uid| self.truth.may_vanish(mailbox, uid));
            if found && !within || !found && !out {
                let word = if found { "found" } else { "not found" };
                return Err(format!("{} is {word}: {message:?}", place + 1));
            }
        }
        Ok(())
    }

    pub(crate) fn found_extended(
        &mut self,
        search: &Search,
        answer: &Esearch,
        since: Tick,
    ) -> Checked {
        let all = &answer.all;
        let right = answer.uid == search.by_uid
            && answer.count == Some(all.len() as u32)
            && answer.min == all.first().copied()
            && answer.max == all.last().copied();
        if !right {
            return Err(format!("{answer:?} of {}", set_text(all)));
        }
        self.found(search, all, answer.mod_seq, since)
    }
}
