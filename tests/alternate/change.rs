//! Changes by chance.

use crate::facts::Who;
use crate::support::{Imap, Random, message};
use std::collections::BTreeMap;

/// Changes in a turn.
const CHANGES: u64 = 14;
/// A mailbox with more messages gets no more.
const MANY: usize = 25;
const FLAGS: [&str; 8] = [
    "\\Seen",
    "\\Flagged $Label1",
    "\\Answered one two",
    "\\Draft",
    "$Forwarded",
    "\\Seen \\Answered three",
    "NonJunk",
    "\\Flagged",
];
const DATES: [&str; 4] = [
    "17-Jul-1996 02:44:25 -0700",
    "29-Feb-2024 23:59:60 +0000",
    " 1-Jan-2001 00:00:01 +0530",
    "26-Nov-2026 10:00:00 +0000",
];
const LINES: [&str; 8] = [
    "From me to you\r\n",
    ">From x\r\n",
    "\r\nFrom time to time\r\n",
    "a line\r\n",
    "\r\n",
    ".\r\n",
    "\u{fc}ml\u{e4}ute in UTF-8\r\n",
    "0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n",
];

/// What both servers do alike.
const KINDS: [&str; 11] = [
    "append",
    "append dated",
    "set flags",
    "take flags",
    "copy",
    "move",
    "expunge",
    "create",
    "rename",
    "delete",
    "subscribe",
];

pub(crate) struct Changer {
    random: Random,
    is_mbox: bool,
    who: Who,
    /// Mailboxes beside INBOX, as they are written in commands.
    names: &'static [&'static str],
    /// How often each kind of change was made.
    counts: BTreeMap<&'static str, u32>,
}

impl Changer {
    pub(crate) fn new(format: &str, seed: u64) -> Changer {
        Changer {
            random: Random::new(seed),
            is_mbox: format == "mbox",
            who: Who::We,
            names: match format {
                // Dovecot has mailboxes there that hold messages or others, not both.
                "mbox" => &["work", "&ANw-bung", "other", "x", "a.name"],
                _ => &["work", "work/&ANw-bung", "work/deep/er", "other", "x"],
            },
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u32> {
        &self.counts
    }

    fn any<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len() as u64) as usize]
    }

    fn name(&mut self) -> &'static str {
        let names = self.names;
        self.any(names)
    }

    /// A turn of `who`. `word` is part of all Message-IDs.
    pub(crate) fn change(&mut self, imap: &mut Imap, who: Who, word: &str) {
        self.who = who;
        for number in 0..CHANGES {
            let at = self.random.below(2 * KINDS.len() as u64) as usize;
            // Half of all changes bring messages.
            let kind = KINDS.get(at).copied().unwrap_or(KINDS[at % 3]);
            let done = match kind {
                "create" | "rename" | "delete" | "subscribe" => self.rename(imap, kind),
                _ => self.touch(imap, kind, &format!("{word}-{number}@test")),
            };
            *self.counts.entry(kind).or_default() += u32::from(done);
        }
        imap.ok("LOGOUT");
    }

    /// Changes of mailboxes; those that are refused are no changes.
    fn rename(&mut self, imap: &mut Imap, kind: &str) -> bool {
        let name = self.name();
        let command = match kind {
            "create" => format!("CREATE {name}"),
            "rename" => format!("RENAME {name} {}", self.name()),
            "delete" => format!("DELETE {name}"),
            _ if self.random.below(3) == 0 => format!("UNSUBSCRIBE {name}"),
            _ => format!("SUBSCRIBE {name}"),
        };
        let answer = imap.command(&command).unwrap();
        assert!(!answer.status.starts_with("BAD"), "{command}: {answer:?}");
        answer.status.starts_with("OK")
    }

    /// Selects a mailbox, some other than INBOX if it is there. Returns its name and UIDs.
    fn select(&mut self, imap: &mut Imap) -> (&'static str, Vec<u32>) {
        let wanted = self.name();
        let there = |imap: &mut Imap, name| {
            let answer = imap.command(&format!("SELECT {name}")).unwrap();
            answer.status.starts_with("OK")
        };
        let name = match self.random.below(2) == 0 && there(imap, wanted) {
            true => wanted,
            false => "INBOX",
        };
        assert!(there(imap, name), "{name}");
        let uids = imap.list("1:*").unwrap().iter().map(|m| m.uid).collect();
        (name, uids)
    }

    /// Changes of messages.
    fn touch(&mut self, imap: &mut Imap, kind: &str, id: &str) -> bool {
        let (name, uids) = self.select(imap);
        let done = self.touch_in(imap, (name, &uids), kind, id);
        // Whoever has a mailbox open that is deleted is sent away by Dovecot.
        imap.ok("UNSELECT");
        done
    }

    fn touch_in(
        &mut self,
        imap: &mut Imap,
        (name, uids): (&'static str, &[u32]),
        kind: &str,
        id: &str,
    ) -> bool {
        let set: Vec<String> = uids
            .iter()
            .filter(|_| self.random.below(3) == 0)
            .map(u32::to_string)
            .collect();
        let set = set.join(",");
        let flags = self.any(&FLAGS);
        match kind {
            "append" | "append dated" if uids.len() < MANY => {
                self.append(imap, name, (kind, flags), id)
            }
            _ if set.is_empty() => return false,
            "set flags" => drop(imap.ok(&format!("UID STORE {set} +FLAGS ({flags})"))),
            "take flags" => drop(imap.ok(&format!("UID STORE {set} -FLAGS ({flags})"))),
            "copy" | "move" => {
                let word = kind.to_uppercase();
                let to = self.name();
                if self.is_mbox && self.who == Who::Dovecot && to == name {
                    // There Dovecot 2.3 gives a UID twice at times and ends the session.
                    return false;
                }
                let answer = imap.command(&format!("UID {word} {set} {to}")).unwrap();
                return answer.status.starts_with("OK");
            }
            _ => {
                imap.ok(&format!("UID STORE {set} +FLAGS (\\Deleted)"));
                imap.ok("EXPUNGE");
            }
        }
        true
    }

    fn append(&mut self, imap: &mut Imap, name: &str, (kind, flags): (&str, &str), id: &str) {
        let lines = self.random.below(60);
        let mut body = String::new();
        for _ in 0..lines {
            body.push_str(self.any(&LINES));
        }
        if self.random.below(8) == 0 {
            // More than is in memory at once.
            let number = |random: &mut Random| format!("{:016x}\r\n", random.below(u64::MAX));
            body.extend((0..6000).map(|_| number(&mut self.random)));
        }
        let mut text = message(id, "by chance", &body);
        if self.random.below(4) == 0 {
            // No end of the last line.
            text.truncate(text.len() - 2);
        }
        let date = match kind {
            "append" => String::new(),
            _ => format!("\"{}\" ", self.any(&DATES)),
        };
        let octets = text.len();
        let command = format!("APPEND {name} ({flags}) {date}{{{octets}+}}\r\n{text}");
        imap.ok(&command);
    }
}
