//! What a client does next.

use crate::client::Client;
use crate::doing::{Append, Carry, Doing, Fetch, Resync, Search, Store};
use crate::flags::{Change, FLAGS, Flags};
use crate::search::Key;
use crate::support::message;
use crate::text::Text;
use crate::view::Message;

pub(crate) const MAILBOXES: [&str; 2] = ["INBOX", "Archive"];
/// A connection makes room in a mailbox that has so many messages.
const FULL: usize = 60;

/// What is asked of messages.
const ITEMS: [&[&str]; 8] = [
    &["FLAGS"],
    &["UID", "FLAGS"],
    &["UID", "BODY.PEEK[]", "RFC822.SIZE", "INTERNALDATE"],
    &["RFC822.SIZE", "INTERNALDATE", "FLAGS"],
    &["BODY[TEXT]", "UID"],
    &["BODY[]"],
    &["UID", "BODY.PEEK[TEXT]<3.20>"],
    &["FLAGS", "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"],
];

impl Client<'_> {
    fn chance(&mut self, of: u64) -> bool {
        self.random.below(of) == 0
    }

    fn other(&mut self) -> &'static str {
        MAILBOXES[self.random.below(2) as usize]
    }

    pub(crate) fn select(&mut self) {
        let mailbox = self.other();
        let resync = self.remembered(mailbox);
        self.run(Doing::Select { mailbox, resync });
        self.look();
    }

    /// What it says that it knows of a mailbox.
    fn remembered(&mut self, mailbox: &'static str) -> Option<Resync> {
        // What is selected is remembered once it is closed.
        if self.model.mailbox == Some(mailbox) {
            return None;
        }
        let kept = self.model.remembers(mailbox)?.clone();
        let uids: Vec<u32> = kept.messages.iter().filter_map(|m| m.uid).collect();
        let place = self.random.below(uids.len().max(1) as u64) as usize;
        let matched = uids.get(place).map(|uid| (place as u32 + 1, *uid));
        let matches = !self.model.kind.uid_only && self.chance(3);
        // New messages are to be told too, and those that it never got to know.
        let named = self.chance(3) || matches;
        let named = named.then(|| (1..uids.last().unwrap_or(&1) + 2000).collect());
        Some(Resync {
            validity: kept.validity,
            mod_seq: kept.mod_seq,
            uids: named,
            matched: matched.filter(|_| matches),
        })
    }

    /// Some messages whose UIDs are known.
    fn some(&mut self) -> Option<Vec<u32>> {
        let uids = self.model.view.uids();
        let count = uids.len() as u64;
        if count == 0 {
            return None;
        }
        let first = self.random.below(count) as usize;
        let last = (first + self.random.below(4) as usize + 1).min(uids.len());
        let mut some = uids[first..last].to_vec();
        if self.chance(3) {
            some.push(uids[self.random.below(count) as usize]);
            some.sort_unstable();
            some.dedup();
        }
        Some(some)
    }

    fn by_uid(&mut self) -> bool {
        !self.model.kind.numbers() || self.chance(2)
    }

    fn flags(&mut self) -> Flags {
        let one = self.random.below(FLAGS.len() as u64) as usize;
        let other = self.random.below(3 * FLAGS.len() as u64) as usize;
        let flags = Flags::default().with(one, true);
        if other < FLAGS.len() {
            flags.with(other, true)
        } else {
            flags
        }
    }

    /// The mod-sequence of some message.
    fn mod_seq(&mut self) -> Option<u64> {
        let mod_seqs = self.model.view.messages.iter();
        let mod_seqs: Vec<u64> = mod_seqs.filter_map(|m: &Message| m.mod_seq).collect();
        let place = self.random.below(mod_seqs.len().max(1) as u64) as usize;
        let mod_seq = mod_seqs.get(place).copied();
        mod_seq.filter(|_| self.model.kind.condstore)
    }

    /// One of the things a client does.
    pub(crate) fn step(&mut self) {
        if self.model.view.len() > FULL {
            return self.make_room();
        }
        if !self.model.view.is_known() && self.chance(2) {
            return self.look();
        }
        let some = self.some();
        match (self.random.below(20), some) {
            (0 | 1, _) => self.append(),
            (2..=4, Some(uids)) => self.store(uids),
            (5, Some(uids)) => self.carry(uids, false),
            (6, Some(uids)) => self.carry(uids, true),
            (7, _) => self.run(Doing::Expunge { only: None }),
            (8, Some(uids)) => self.run(Doing::Expunge { only: Some(uids) }),
            (9..=11, Some(uids)) => self.fetch(uids),
            (12 | 13, _) => self.search(),
            (14, _) => self.run(Doing::Idle),
            (15, _) => self.status(),
            (16, _) => self.select(),
            (17, _) => self.leave(),
            (18, _) => self.look(),
            _ if self.model.kind.idles => self.run(Doing::Idle),
            _ => self.run(Doing::Noop),
        }
    }

    fn make_room(&mut self) {
        let uids = self.model.view.uids();
        let uids: Vec<u32> = uids.into_iter().take(FULL / 3).collect();
        if !uids.is_empty() {
            self.run(Doing::Store(Store {
                by_uid: true,
                uids,
                change: Change::Add,
                flags: Flags::deleted(),
                silent: true,
                unchanged: None,
            }));
        }
        self.run(Doing::Expunge { only: None });
        self.look();
    }

    fn append(&mut self) {
        self.made += 1;
        let id = format!("{}-{}@stress", self.name, self.made);
        let words: Vec<String> = (0..self.random.below(60))
            .map(|_| format!("{:x}\r\n", self.random.below(u64::MAX)))
            .collect();
        let text = message(&id, "Stress", &words.concat());
        let (day, second) = (10 + self.random.below(18), 10 + self.random.below(50));
        let date = format!("{day}-Nov-2026 10:00:{second} +0000");
        let made = Text::new(&text, Some(&date));
        self.model.truth.brings(&id, made);
        let (to, flags) = (self.other(), self.flags());
        self.run(Doing::Append(Append {
            to,
            id,
            flags,
            date,
            text,
        }));
    }

    fn store(&mut self, uids: Vec<u32>) {
        let change = [Change::Add, Change::Remove, Change::Set];
        let change = change[self.random.below(3) as usize];
        let unchanged = self.mod_seq().filter(|_| self.chance(2));
        let (by_uid, flags, silent) = (self.by_uid(), self.flags(), self.chance(3));
        self.run(Doing::Store(Store {
            by_uid,
            uids,
            change,
            flags,
            silent,
            unchanged,
        }));
    }

    fn carry(&mut self, uids: Vec<u32>, moves: bool) {
        let (by_uid, to) = (self.by_uid(), self.other());
        self.run(Doing::Carry(Carry {
            moves,
            by_uid,
            uids,
            to,
        }));
    }

    fn fetch(&mut self, uids: Vec<u32>) {
        let mut items = ITEMS[self.random.below(ITEMS.len() as u64) as usize].to_vec();
        if self.model.kind.condstore && self.chance(2) {
            items.push("MODSEQ");
        }
        let by_uid = self.by_uid();
        let since = self.mod_seq().filter(|_| self.chance(3));
        let vanished = since.is_some() && by_uid && self.model.kind.qresync && self.chance(2);
        self.run(Doing::Fetch(Fetch {
            by_uid,
            uids: Some(uids),
            items,
            since,
            vanished,
        }));
    }

    fn key(&mut self, depth: u32) -> Key {
        let kinds = if depth == 0 { 4 } else { 7 };
        let deeper = |client: &mut Self| Box::new(client.key(depth - 1));
        match self.random.below(kinds) {
            0 => Key::All,
            1 => Key::Flag(
                self.random.below(FLAGS.len() as u64) as usize,
                self.chance(2),
            ),
            2 => {
                let uids = self.some().unwrap_or(vec![1]);
                Key::Uids(uids[0], uids[uids.len() - 1])
            }
            3 => match self.mod_seq() {
                Some(mod_seq) => Key::ModSeq(mod_seq),
                None => Key::All,
            },
            4 => Key::Not(deeper(self)),
            5 => Key::Or(deeper(self), deeper(self)),
            _ => Key::And(deeper(self), deeper(self)),
        }
    }

    fn search(&mut self) {
        let (by_uid, key, extended) = (self.by_uid(), self.key(2), self.chance(2));
        let sorted = self.chance(3);
        self.run(Doing::Search(Search {
            by_uid,
            key,
            sorted,
            extended,
        }));
    }

    fn status(&mut self) {
        let (mailbox, mod_seq) = (self.other(), self.model.kind.condstore);
        if self.model.mailbox != Some(mailbox) {
            self.run(Doing::Status { mailbox, mod_seq });
        }
    }

    /// Closes the mailbox or loses the connection, and comes again.
    fn leave(&mut self) {
        if self.chance(2) {
            self.run(Doing::Close);
        } else {
            let abruptly = self.chance(3);
            self.again(abruptly);
        }
        self.select();
    }
}
