//! What is known of one message.

use crate::flags::{Change, DELETED, FLAGGED, FLAGS, Flags};
use crate::register::{Outcome, Register};
use crate::text::{Texts, hash};
use crate::truth::{Checked, Tick};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Fact {
    pub(crate) id: Option<String>,
    /// It is there since then at the latest, for sure.
    pub(crate) born: Option<Tick>,
    /// Somebody was told then that it is gone.
    pub(crate) gone: Option<Tick>,
    /// A MOVE began.
    pub(crate) moving: bool,
    /// Beginning and end of each UID EXPUNGE.
    pub(crate) expunges: Vec<(Tick, Tick)>,
    /// Of each of [`FLAGS`].
    registers: [Register; FLAGS.len()],
    /// What flags it had at each mod-sequence.
    states: BTreeMap<u64, Flags>,
    /// Checksum and length of `BODY[]`.
    whole: Option<(u32, u64)>,
    size: Option<u64>,
}

/// What a connection was told of a message.
#[derive(Debug, Default)]
pub(crate) struct Sight<'a> {
    pub(crate) flags: Option<Flags>,
    pub(crate) mod_seq: Option<u64>,
    pub(crate) id: Option<&'a str>,
    pub(crate) date: Option<&'a str>,
    pub(crate) size: Option<u64>,
    /// `BODY[...]` and its octets.
    pub(crate) sections: &'a [(&'a str, &'a str)],
}

/// The first of two must be as the second, once it is known.
fn same<T: PartialEq + Copy + std::fmt::Debug>(known: &mut Option<T>, value: T) -> Checked {
    match *known.get_or_insert(value) {
        before if before == value => Ok(()),
        before => Err(format!("{value:?}, it was {before:?}")),
    }
}

impl Fact {
    /// One that was there before `now`.
    pub(crate) fn new(now: Tick) -> Fact {
        Fact {
            id: None,
            born: None,
            gone: None,
            moving: false,
            expunges: Vec::new(),
            registers: std::array::from_fn(|_| Register::new(now)),
            states: BTreeMap::new(),
            whole: None,
            size: None,
        }
    }

    pub(crate) fn begin_store(&mut self, now: Tick, change: Change, flags: Flags) {
        for (flag, register) in self.registers.iter_mut().enumerate() {
            if let Some(value) = change.value(flags, flag) {
                register.begin(now, value);
            }
        }
    }

    pub(crate) fn end_store(&mut self, begin: Tick, now: Tick, outcome: Outcome) {
        for register in &mut self.registers {
            register.end(begin, now, outcome);
        }
    }

    /// True if one of those, or a command about this message, may have taken it away.
    pub(crate) fn may_be_removed(&self, expunges: &[(Tick, Tick)]) -> bool {
        let deleted = &self.registers[DELETED];
        let mut all = self.expunges.iter().chain(expunges);
        self.moving || all.any(|(begin, end)| deleted.may_be(true, *begin, *end))
    }

    /// What each flag can be.
    pub(crate) fn values(&self, since: Tick) -> [[bool; 2]; FLAGS.len()] {
        std::array::from_fn(|flag| self.registers[flag].values(since))
    }

    /// As `values`, of one; other programs may have set a flag of those that they touched.
    pub(crate) fn register(
        &self,
        flag: usize,
        since: Tick,
        meddled: &BTreeSet<String>,
    ) -> [bool; 2] {
        let touched = self.id.as_ref().is_none_or(|id| meddled.contains(id));
        match touched && flag == FLAGGED {
            true => [true, true],
            false => self.registers[flag].values(since),
        }
    }

    pub(crate) fn may_have(
        &self,
        flags: Flags,
        since: Tick,
        meddled: &BTreeSet<String>,
    ) -> Checked {
        for (flag, name) in FLAGS.iter().enumerate() {
            let may = self.register(flag, since, meddled);
            if !may[usize::from(flags.has(flag))] {
                let set = if flags.has(flag) {
                    "is set"
                } else {
                    "is not set"
                };
                return Err(format!("{name} {set}, and nobody did that"));
            }
        }
        Ok(())
    }

    /// The answer to a STORE shows what it did, or what another one did meanwhile.
    pub(crate) fn follows(
        &self,
        begin: Tick,
        (change, others): (Change, Flags),
        flags: Flags,
        meddled: &BTreeSet<String>,
    ) -> Checked {
        let touched = self.id.as_ref().is_none_or(|id| meddled.contains(id));
        for (flag, register) in self.registers.iter().enumerate() {
            let told = flags.has(flag);
            let undone = change.value(others, flag) == Some(!told);
            if undone && !(touched && flag == FLAGGED) && !register.may_follow(begin, told) {
                return Err(format!("the answer to STORE has ({})", flags.words()));
            }
        }
        Ok(())
    }

    pub(crate) fn sees(
        &mut self,
        sight: &Sight<'_>,
        since: Tick,
        texts: &mut Texts,
        meddled: &BTreeSet<String>,
    ) -> Checked {
        if let Some(id) = sight.id {
            self.is(id, texts)?;
        }
        if let Some(flags) = sight.flags {
            self.may_have(flags, since, meddled)?;
        }
        if let (Some(flags), Some(mod_seq)) = (sight.flags, sight.mod_seq) {
            let before = *self.states.entry(mod_seq).or_insert(flags);
            if before != flags {
                let (one, other) = (before.words(), flags.words());
                return Err(format!("({one}) and ({other}), both at {mod_seq}"));
            }
        }
        self.has_content(sight, texts)
    }

    fn has_content(&mut self, sight: &Sight<'_>, texts: &mut Texts) -> Checked {
        let mut text = self.id.as_ref().and_then(|id| texts.get_mut(id));
        for (name, octets) in sight.sections {
            if *name == "BODY[]" {
                same(&mut self.whole, (hash(octets), octets.len() as u64))?;
                same(&mut self.size, octets.len() as u64)?;
            }
            if let Some(text) = &text {
                text.has(name, octets)?;
            }
        }
        if let Some(size) = sight.size {
            same(&mut self.size, size).map_err(|wrong| format!("RFC822.SIZE {wrong}"))?;
            if text.as_ref().is_some_and(|text| !text.has_size(size)) {
                return Err(format!("RFC822.SIZE {size}, not as it was sent"));
            }
        }
        match (sight.date, &mut text) {
            (Some(date), Some(text)) => text.has_date(date),
            _ => Ok(()),
        }
    }

    /// A UID never names anything else.
    fn is(&mut self, id: &str, texts: &Texts) -> Checked {
        if !texts.contains_key(id) {
            return Err(format!("nobody brought {id}"));
        }
        match self.id.get_or_insert_with(|| id.to_owned()) {
            before if before == id => Ok(()),
            before => Err(format!("{id}, it was {before}")),
        }
    }

    /// It was put there; `births`: whether each flag may have been false, true, at first.
    pub(crate) fn arrives(
        &mut self,
        id: &str,
        births: impl Fn(usize) -> [bool; 2],
        now: Tick,
        texts: &Texts,
    ) -> Checked {
        self.is(id, texts)?;
        if self.born.replace(now).is_some() {
            return Err("two messages came there".to_owned());
        }
        for (flag, register) in self.registers.iter_mut().enumerate() {
            register.narrow(births(flag));
        }
        Ok(())
    }
}
