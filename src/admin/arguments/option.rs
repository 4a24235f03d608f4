//! The options there are, and which commands take them.

use super::words::hint;
use crate::config::{BOARDS, nearest};

/// An option, and the commands that take it.
pub(super) struct Opt {
    pub(super) name: &'static str,
    /// What its value is, if it has one.
    pub(super) value: bool,
    /// First words, or first and second words, of commands; empty for all.
    pub(super) of: &'static [&'static str],
}

pub(super) const OPTIONS: [Opt; 34] = [
    opt("config", true, &[]),
    opt("data", true, &[]),
    opt("board", true, &[]),
    opt("uci", false, &[]),
    opt("help", false, &[]),
    opt("version", false, &[]),
    opt("demo", false, &["serve"]),
    opt("password-stdin", false, &["user add", "user passwd"]),
    opt(
        "json",
        false,
        &[
            "user list",
            "user app-password list",
            "config show",
            "doctor",
            "purge",
            "altmove",
            "index stats",
            "index cache",
            "adopt",
            "export",
            "import",
            "backup",
            "restore",
            "convert",
            "capabilities",
            "healthcheck",
            "check-data",
        ],
    ),
    opt("for", true, &["user app-password add"]),
    opt("until", true, &["user app-password add"]),
    opt("label", true, &["user app-password add"]),
    opt("dry-run", false, &["adopt", "export"]),
    opt("to", true, &["export"]),
    opt(
        "user",
        true,
        &[
            "doctor",
            "purge",
            "altmove",
            "index stats",
            "index cache",
            "convert",
        ],
    ),
    opt("before", true, &["altmove"]),
    opt("saved-before", true, &["altmove"]),
    opt("larger", true, &["altmove"]),
    opt("back", false, &["altmove"]),
    opt("mailbox", true, &["index cache"]),
    opt("forget", false, &["index cache"]),
    opt("rebuild", false, &["doctor"]),
    opt("scrub", false, &["doctor"]),
    opt("seen", false, &["import"]),
    opt("verify", false, &["backup"]),
    opt("merge", false, &["restore"]),
    opt("into", true, &["restore"]),
    opt("-u", true, &["import", "backup", "restore"]),
    // As dovecot-lda has them, in one letter.
    opt("-d", true, &["deliver"]),
    opt("-m", true, &["deliver", "import"]),
    opt("-f", true, &["deliver"]),
    opt("-a", true, &["deliver"]),
    opt("-e", false, &["deliver"]),
    opt("-p", true, &["deliver"]),
];

const fn opt(name: &'static str, value: bool, of: &'static [&'static str]) -> Opt {
    Opt { name, value, of }
}

impl Opt {
    /// As it is typed.
    pub(super) fn form(&self) -> String {
        match self.name.starts_with('-') {
            true => self.name.to_owned(),
            false => format!("--{}", self.name),
        }
    }

    pub(super) fn belongs_to(&self, words: &[String]) -> bool {
        let belongs = |of: &&str| of.split(' ').eq(words.iter().take(of.split(' ').count()));
        self.of.is_empty() || self.of.iter().any(belongs)
    }
}

pub(super) fn find(name: &str) -> Result<&'static Opt, lexopt::Error> {
    let known = OPTIONS.iter().find(|option| option.name == name);
    known.ok_or_else(|| {
        let long = OPTIONS.iter().map(|option| option.name);
        let hint = nearest(name, long.filter(|name| !name.starts_with('-')))
            .map(|meant| format!("; did you mean \"--{meant}\"?"))
            .unwrap_or_default();
        format!("unknown option \"--{name}\"{hint}").into()
    })
}

pub(super) fn board(name: String) -> Result<String, lexopt::Error> {
    if BOARDS.contains(&name.as_str()) {
        return Ok(name);
    }
    let hint = hint(&name, BOARDS.iter().copied());
    let boards = BOARDS.join(", ");
    Err(format!("unknown board {name:?}{hint}; the boards are {boards}").into())
}
