use super::super::Mbox;
use crate::mail::{MailboxName, SystemFlags, Uid};
use crate::store::{BlobId, Filing, Store};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a mailbox has to be: for each UID the number of the text, and flags.
type Model = BTreeMap<u32, (u32, SystemFlags)>;

struct Mailbox {
    root: PathBuf,
    store: Option<Mbox>,
    model: Model,
    next: u32,
    seed: u64,
}

fn inbox() -> MailboxName {
    MailboxName::inbox()
}

fn text(number: u32) -> String {
    format!("Subject: {number}\n\ntext of {number}\n")
}

impl Mailbox {
    fn new(root: &Path) -> Mailbox {
        Mailbox {
            root: root.to_owned(),
            store: None,
            model: Model::new(),
            next: 1,
            seed: 7,
        }
    }

    fn store(&mut self) -> &mut Mbox {
        let root = self.root.clone();
        self.store
            .get_or_insert_with(|| Mbox::open(&root, None).unwrap())
    }

    fn chance(&mut self, below: u32) -> u32 {
        self.seed = self
            .seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.seed >> 33) as u32 % below
    }

    /// UIDs of some messages, ascending.
    fn some(&mut self, one_of: u32) -> Vec<u32> {
        let all: Vec<u32> = self.model.keys().copied().collect();
        all.into_iter()
            .filter(|_| self.chance(one_of) == 0)
            .collect()
    }

    fn blobs(&mut self) -> BTreeMap<u32, BlobId> {
        let found = self.store().scan(&inbox()).unwrap().found.into_iter();
        let blobs = found.map(|found| (found.uid.unwrap().number(), found.blob));
        blobs.collect()
    }

    fn check(&mut self, what: &str) {
        let blobs = self.blobs();
        let mut shown = Model::new();
        for (uid, blob) in &blobs {
            let mut read = String::new();
            let mut opened = self.store().open(&inbox(), blob).unwrap();
            opened.body.read_to_string(&mut read).unwrap();
            let number = read.lines().next().unwrap();
            let number: u32 = number.strip_prefix("Subject: ").unwrap().parse().unwrap();
            assert_eq!(read, text(number), "{what}");
            shown.insert(*uid, (number, blob.flags));
        }
        assert_eq!(shown, self.model, "{what}");
    }

    fn deliver(&mut self, count: u32, texts: u32) {
        for _ in 0..count {
            let number = self.chance(texts);
            let store = self.store();
            let mut draft = store.stage().unwrap();
            draft.write(text(number).as_bytes()).unwrap();
            store.save(&mut *draft, &inbox()).unwrap();
            let new = Filing {
                uid: Uid::new(self.next).unwrap(),
                flags: SystemFlags::NONE,
                letters: 0,
            };
            let store = self.store();
            store.commit(&mut *draft, &inbox(), &new).unwrap();
            self.model.insert(self.next, (number, SystemFlags::NONE));
            self.next += 1;
        }
        self.store().sync().unwrap();
    }

    fn mark(&mut self) {
        let blobs = self.blobs();
        for uid in self.some(3) {
            let flags = [SystemFlags::FLAGGED, SystemFlags::ANSWERED][self.chance(2) as usize];
            let store = self.store();
            store.mark(&inbox(), &blobs[&uid], flags, 0).unwrap();
            self.model.get_mut(&uid).unwrap().1 = flags;
        }
        self.store().sync().unwrap();
    }

    fn expunge(&mut self) {
        let blobs = self.blobs();
        for uid in self.some(8) {
            self.store().remove(&inbox(), &blobs[&uid]).unwrap();
            self.model.remove(&uid);
        }
        self.store().sync().unwrap();
    }

    /// Has another program change all messages of the file, which says everything before that.
    fn rewrite(&mut self, change: impl FnOnce(&mut Vec<String>)) {
        self.store().settle(&inbox()).unwrap();
        let path = self.root.join("inbox");
        let file = fs::read_to_string(&path).unwrap();
        let mut messages: Vec<String> = Vec::new();
        for line in file.split_inclusive('\n') {
            if line.starts_with("From ") {
                messages.push(String::new());
            }
            messages.last_mut().unwrap().push_str(line);
        }
        assert_eq!(messages.len(), self.model.len());
        change(&mut messages);
        fs::write(&path, messages.concat()).unwrap();
    }

    /// Messages go, and all UIDs are left out: what is in the same order has its UIDs again.
    fn strip(&mut self) {
        let gone = self.some(8);
        let all: Vec<u32> = self.model.keys().copied().collect();
        self.rewrite(|messages| {
            let mut uids = all.iter();
            messages.retain(|_| !gone.contains(uids.next().unwrap()));
            for message in messages {
                let lines = message.split_inclusive('\n');
                *message = lines.filter(|line| !line.starts_with("X-UID")).collect();
            }
        });
        // Of those that are the same the first ones stay.
        let before = self.model.clone();
        let stays: Vec<_> = before
            .iter()
            .filter(|(uid, _)| !gone.contains(uid))
            .collect();
        self.model.clear();
        let mut last = 0;
        for (_, (number, flags)) in stays {
            let mut same = before.range(last + 1..);
            let uid = *same.find(|(_, (own, _))| own == number).unwrap().0;
            self.model.insert(uid, (*number, *flags));
            last = uid;
        }
    }

    /// The order changes; of messages whose bytes are those of the log UIDs do not.
    fn shuffle(&mut self) {
        let turns: Vec<usize> = (0..self.model.len() as u32)
            .map(|at| self.chance(at + 1) as usize)
            .collect();
        self.rewrite(|messages| {
            for (at, turn) in turns.into_iter().enumerate() {
                messages.swap(at, turn);
            }
        });
    }

    /// Some are seen, and others come.
    fn add(&mut self) {
        let seen = self.some(4);
        let all: Vec<u32> = self.model.keys().copied().collect();
        let added: Vec<u32> = (0..self.chance(9))
            .map(|_| 1000 + self.chance(50))
            .collect();
        let numbers = added.clone();
        self.rewrite(|messages| {
            for message in messages.iter_mut() {
                let uid = message.split_once("X-UID: ").unwrap().1;
                let uid: u32 = uid.get(..10).unwrap().parse().unwrap();
                assert!(all.contains(&uid));
                if seen.contains(&uid) {
                    *message = message.replacen("Status:  ", "Status: R", 1);
                }
            }
            for number in numbers {
                let text = text(number);
                messages.push(format!("From a@b Thu Jan  1 00:00:00 1970\n{text}\n"));
            }
        });
        for uid in seen {
            let flags = &mut self.model.get_mut(&uid).unwrap().1;
            *flags = flags.with(SystemFlags::SEEN);
        }
        for number in added {
            self.model.insert(self.next, (number, SystemFlags::NONE));
            self.next += 1;
        }
    }

    /// As after a restart, or one after which nothing but the file is there.
    fn open_again(&mut self, without_log: bool) {
        if without_log {
            self.store().settle(&inbox()).unwrap();
        }
        self.store = None;
        if without_log {
            fs::remove_dir_all(self.root.join(".imap")).unwrap();
        }
    }
}

/// What does not fit in memory, as in all tests, is found as what does.
#[test]
fn many_messages_keep_their_uids_whatever_others_do_to_the_file() {
    for texts in [1_000_000, 3] {
        let directory = tempfile::tempdir().unwrap();
        let mut mailbox = Mailbox::new(directory.path());
        mailbox.deliver(80, texts);
        mailbox.check("the first");
        let mut ordered = true;
        for round in 0..60 {
            let done = match mailbox.chance(9) {
                0 => {
                    mailbox.deliver(3, texts);
                    "delivered"
                }
                1 | 2 => {
                    mailbox.mark();
                    "marked"
                }
                3 => {
                    mailbox.expunge();
                    "expunged"
                }
                4 if ordered => {
                    mailbox.strip();
                    "without UIDs"
                }
                5 => {
                    mailbox.shuffle();
                    ordered = false;
                    "in another order"
                }
                6 | 7 => {
                    mailbox.add();
                    "added"
                }
                _ => {
                    let without_log = ordered && mailbox.chance(2) == 0;
                    mailbox.open_again(without_log);
                    "opened again"
                }
            };
            if mailbox.chance(3) > 0 {
                mailbox.check(&format!("{texts}, round {round}: {done}"));
            }
            if !ordered && mailbox.chance(4) == 0 {
                // In the order of UIDs again.
                mailbox.rewrite(|messages| {
                    messages.sort_by_key(|message| {
                        message.split_once("X-UID: ").unwrap().1[..10].to_owned()
                    });
                });
                ordered = true;
            }
        }
        mailbox.check("the last");
    }
}
