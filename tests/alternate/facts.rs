//! All that has to be the same whoever tells it.

use crate::support::{Account, Dovecot, Imap, Server, account};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    We,
    Dovecot,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    names: BTreeSet<String>,
    account: Account,
    /// EMAILID of the messages of each mailbox, as far as both servers tell it alike.
    ids: BTreeMap<String, BTreeMap<u32, String>>,
}

impl Facts {
    pub(crate) fn ours(server: &Server) -> Facts {
        let mut imap = server.imap("ann");
        let mut facts = Facts::of(&mut imap);
        // Nobody knows the item but this server.
        let mut imap = server.imap("ann").raw();
        for name in facts.account.mailboxes.keys() {
            imap.ok(&format!("EXAMINE {name}"));
            let answer = imap.ok("UID FETCH 1:* (EMAILID)");
            let after = |line: &str, item: &str, ends: char| {
                let (_, rest) = line.split_once(item)?;
                rest.split([ends, ')']).next().map(str::to_owned)
            };
            let ids = answer.untagged.iter().filter_map(|line| {
                let uid = after(line, "UID ", ' ')?.parse().ok()?;
                Some((uid, after(line, "EMAILID (", ')')?))
            });
            facts.ids.insert(name.clone(), ids.collect());
        }
        facts
    }

    pub(crate) fn theirs(dovecot: &Dovecot) -> Facts {
        let mut facts = Facts::of(&mut dovecot.imap("ann"));
        for name in facts.account.mailboxes.keys() {
            let plain = name.replace("&ANw-", "\u{dc}");
            let words = [
                "-f", "tab", "fetch", "-u", "ann", "uid guid", "mailbox", &plain,
            ];
            let told = dovecot.doveadm(&words);
            let ids = told.lines().skip(1).map(|line| {
                let (uid, guid) = line.split_once('\t').unwrap();
                // Of the name of a file, what all copies have in common.
                let guid = guid.split(',').next().unwrap();
                (uid.parse().unwrap(), email_id(guid))
            });
            facts.ids.insert(name.clone(), ids.collect());
        }
        facts
    }

    fn of(imap: &mut Imap) -> Facts {
        let answer = imap.ok("LIST \"\" *");
        let lines = answer.untagged.iter();
        let selectable = lines.filter(|line| !line.contains("\\Noselect"));
        let names = selectable.map(|line| line.rsplit(' ').next().unwrap().to_owned());
        let facts = Facts {
            names: names
                .map(|name| name.trim_matches('"').to_owned())
                .collect(),
            account: account(imap),
            ids: BTreeMap::new(),
        };
        imap.ok("LOGOUT");
        facts
    }

    pub(crate) fn without_ids(&mut self) {
        self.ids.clear();
    }

    /// Leaves out messages that Dovecot copied in this Maildir: their files have other names than what
    /// its uidlist says they are called.
    pub(crate) fn without_copies(&mut self, root: &Path, nested: bool) {
        for (name, ids) in &mut self.ids {
            let directory = match name.as_str() {
                "INBOX" => root.to_owned(),
                other if nested => root.join(other),
                other => root.join(format!(".{}", other.replace('/', "."))),
            };
            let list = fs::read_to_string(directory.join("dovecot-uidlist")).unwrap();
            let copies = list.lines().skip(1).filter(|line| {
                let (words, _) = line.split_once(" :").unwrap_or_default();
                words.contains(" G")
            });
            for copy in copies {
                let uid = copy.split(' ').next().unwrap();
                ids.remove(&uid.parse().unwrap());
            }
        }
    }

    /// `who`: who told the other ones, and when.
    pub(crate) fn compare(&self, other: &Facts, who: &str) {
        assert_eq!(self.names, other.names, "{who}: names");
        let (own, others) = (&self.account, &other.account);
        assert_eq!(own.subscriptions, others.subscriptions, "{who}");
        for (name, mailbox) in &own.mailboxes {
            let theirs = others.mailboxes.get(name);
            let theirs = theirs.unwrap_or_else(|| panic!("{who}: {name} has no messages"));
            assert_eq!(mailbox.messages, theirs.messages, "{who}: {name}");
            assert_eq!(mailbox.dates, theirs.dates, "{who}: {name}");
            let bodies = mailbox.bodies.iter().zip(&theirs.bodies);
            for (message, (body, theirs)) in mailbox.messages.iter().zip(bodies) {
                assert_eq!(body, theirs, "{who}: {name} {message:?}");
            }
            assert_eq!(mailbox, theirs, "{who}: {name}");
            assert_eq!(self.ids.get(name), other.ids.get(name), "{who}: {name}");
        }
        assert_eq!(self, other, "{who}");
    }
}

/// What this server calls a message of that GUID.
fn email_id(guid: &str) -> String {
    let is_short = guid.len() == 32 && guid.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = match is_short {
        true => guid.to_ascii_lowercase(),
        false => {
            let digest = Sha256::digest(guid.as_bytes());
            digest[..16].iter().map(|b| format!("{b:02x}")).collect()
        }
    };
    format!("M{digits}")
}
