//! The flags that connections set, and sets of them.

use crate::truth::Checked;

/// All that anybody sets.
pub(crate) const FLAGS: [&str; 7] = [
    "\\Seen",
    "\\Flagged",
    "\\Answered",
    "\\Draft",
    "\\Deleted",
    "red",
    "blue",
];
pub(crate) const SEEN: usize = 0;
pub(crate) const FLAGGED: usize = 1;
pub(crate) const DELETED: usize = 4;

/// Some of [`FLAGS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

/// What STORE does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
    Set,
}

impl Flags {
    /// Of the words of a list, without `\Recent`.
    pub(crate) fn parse(list: &str) -> Checked<Flags> {
        let mut flags = Flags::default();
        for word in list.split_whitespace().filter(|w| *w != "\\Recent") {
            let at = FLAGS.iter().position(|f| *f == word);
            let at = at.ok_or_else(|| format!("nobody ever set {word}"))?;
            flags = flags.with(at, true);
        }
        Ok(flags)
    }

    pub(crate) fn seen() -> Flags {
        Flags::default().with(SEEN, true)
    }

    pub(crate) fn deleted() -> Flags {
        Flags::default().with(DELETED, true)
    }

    pub(crate) fn has(self, flag: usize) -> bool {
        self.0 & 1 << flag != 0
    }

    pub(crate) fn with(self, flag: usize, value: bool) -> Flags {
        match value {
            true => Flags(self.0 | 1 << flag),
            false => Flags(self.0 & !(1 << flag)),
        }
    }

    /// What these are after a STORE of `others`.
    pub(crate) fn changed(self, change: Change, others: Flags) -> Flags {
        match change {
            Change::Add => Flags(self.0 | others.0),
            Change::Remove => Flags(self.0 & !others.0),
            Change::Set => others,
        }
    }

    /// As in a list.
    pub(crate) fn words(self) -> String {
        let some = (0..FLAGS.len()).filter(|flag| self.has(*flag));
        some.map(|flag| FLAGS[flag]).collect::<Vec<_>>().join(" ")
    }
}

impl Change {
    /// What it makes of a flag; `None`: it leaves it alone.
    pub(crate) fn value(self, of: Flags, flag: usize) -> Option<bool> {
        match (self, of.has(flag)) {
            (Change::Add, true) => Some(true),
            (Change::Remove, true) => Some(false),
            (Change::Set, value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Change::Add => "+",
            Change::Remove => "-",
            Change::Set => "",
        }
    }
}
