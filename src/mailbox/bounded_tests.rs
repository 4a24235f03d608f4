//! A mailbox is compared with its directory in little memory and in many transactions.

use super::tests::{name, shown};
use super::{Access, Host, Limits};
use crate::config::Format;
use crate::index::Index;
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

const MESSAGES: u32 = 2000;
/// Of SORT; for each of the things that are sorted only a few messages.
const LITTLE: usize = 8 * 400;

/// The disk of an index that fails from one sync on.
#[derive(Debug)]
struct Failing {
    file: FileBackend,
    syncs: AtomicU32,
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        match self.syncs.fetch_sub(1, Ordering::AcqRel) {
            0 => {
                self.syncs.store(0, Ordering::Release);
                Err(io::ErrorKind::Other.into())
            }
            _ => self.file.sync_data(),
        }
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

fn memory() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// Messages as this server and as others name them.
fn fill(root: &Path) {
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    for at in 1..=MESSAGES {
        let file = match at % 3 {
            0 => format!("new/{}.foreign", at * 7919 % 10_007),
            1 => format!("cur/{at}.M1.h,U={at}:2,S"),
            _ => format!("cur/{at}.M1.h,U={at}:2,Fa"),
        };
        std::fs::write(root.join(file), "Subject: x\n\nx\n").unwrap();
    }
}

fn limits(sort_octets: usize) -> Limits {
    Limits {
        sort_octets,
        ..Limits::default()
    }
}

/// UIDs by the names of files, as the side file has them.
fn listed(root: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root.join("dovecot-uidlist")).unwrap_or_default();
    let line = |line: &str| {
        let (uid, base) = line.split_once(" :")?;
        Some((base.to_owned(), uid.to_owned()))
    };
    text.lines().skip(1).filter_map(line).collect()
}

#[test]
fn little_memory_and_many_transactions_give_the_same() {
    let [one, other] = [memory(), memory()];
    let mut all = Vec::new();
    for (directory, octets) in [(&one, limits(LITTLE)), (&other, Limits::default())] {
        let root = directory.path();
        fill(root);
        let host = Host::with(Index::memory().unwrap(), octets);
        let account = host.account("u", root).unwrap();
        let mut seen = Vec::new();
        for round in 0..3 {
            let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            let rows: Vec<(u32, u8)> = shown(&view).iter().map(|row| (row.1, row.2)).collect();
            seen.push((rows, listed(root), view.uid_next()));
            drop(view);
            // What other programs do: messages come, go and change.
            for at in 0..300 {
                let at = at * 5 + round;
                std::fs::write(root.join(format!("new/{at}.more{round}")), "x\n").unwrap();
                let _ = std::fs::remove_file(root.join(format!("cur/{at}.M1.h,U={at}:2,S")));
                let (old, new) = (
                    format!("cur/{at}.M1.h,U={at}:2,Fa"),
                    format!("cur/{at}.M1.h,U={at}:2,"),
                );
                let _ = std::fs::rename(root.join(old), root.join(new));
            }
            if round == 1 {
                // The index still knows what the messages without UIDs in their names are.
                std::fs::remove_file(root.join("dovecot-uidlist")).unwrap();
            }
        }
        all.push(seen);
    }
    assert_eq!(all[0].len(), 3);
    assert!(all[0] == all[1]);
    assert!(all[0][0].0.len() > 1900 && all[0][0].1.len() == all[0][0].0.len());
}

#[test]
fn who_is_ended_between_two_transactions_goes_on_with_the_same_uids() {
    let mut partly = 0;
    for syncs in 0..20 {
        let [directory, beside] = [memory(), memory()];
        let (root, path) = (directory.path(), beside.path().join("index"));
        fill(root);
        drop(Index::open(&path, 1 << 20).unwrap());
        let file = File::options().read(true).write(true).open(&path).unwrap();
        // What opening it takes comes first.
        let failing = Failing {
            file: FileBackend::new(file).unwrap(),
            syncs: AtomicU32::new(2 + syncs),
        };
        let Ok(index) = Index::with_backend(failing) else {
            continue;
        };
        let host = Host::over(index, Format::Maildir, limits(LITTLE));
        let selected = host
            .account("u", root)
            .and_then(|account| account.select(&name("INBOX"), Access::ReadWrite).map(drop));
        drop(host);
        let before = listed(root);
        partly += u32::from(selected.is_err() && before.len() > 1900);
        // Those that come before others by name get UIDs behind them.
        std::fs::write(root.join("new/0.first"), "x\n").unwrap();
        std::fs::remove_file(root.join("cur/4.M1.h,U=4:2,S")).unwrap();
        let host = Host::open_in(&path, Format::Maildir, limits(LITTLE)).unwrap();
        let account = host.account("u", root).unwrap();
        let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let after = listed(root);
        let stay = before.iter().filter(|(base, _)| *base != "4.M1.h,U=4");
        stay.for_each(|(base, uid)| assert_eq!(after.get(base), Some(uid), "{base}"));
        let uids: Vec<u32> = shown(&view).iter().map(|row| row.1).collect();
        assert!(!uids.contains(&4) && uids.is_sorted());
        assert_eq!(
            uids.len(),
            if before.is_empty() {
                after.len()
            } else {
                before.len()
            }
        );
        if selected.is_ok() {
            break;
        }
    }
    assert!(partly >= 3, "{partly}");
}

/// A server that is stopped hard: copies of its index are what the disk has.
struct Stopped {
    directory: tempfile::TempDir,
    beside: tempfile::TempDir,
}

impl Stopped {
    fn new() -> Stopped {
        Stopped {
            directory: memory(),
            beside: memory(),
        }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn open(&self, index: &str) -> (Host, super::Account) {
        let path = self.beside.path().join(index);
        let host = Host::open(&path, Limits::default()).unwrap();
        let account = host.account("u", self.root()).unwrap();
        (host, account)
    }

    fn copy(&self, index: &str) {
        let at = |name: &str| self.beside.path().join(name);
        std::fs::copy(at("index"), at(index)).unwrap();
    }

    /// Scans, messages, HIGHESTMODSEQ and UIDNEXT of who selects INBOX with that index.
    fn look(&self, index: &str) -> (u32, Vec<(u32, u32, u8)>, u64, u32) {
        let (host, account) = self.open(index);
        let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let numbers = (view.highest_mod_seq().number(), view.uid_next().number());
        (host.scans(), shown(&view), numbers.0, numbers.1)
    }
}

/// Longer than times in a stamp may be behind.
fn rest() {
    std::thread::sleep(std::time::Duration::from_millis(60));
}

fn bring(account: &super::Account, subject: &str) {
    super::tests::append(account, "INBOX", subject, &Default::default());
}

#[test]
fn after_a_hard_stop_what_is_as_it_was_at_rest_is_not_looked_at_again() {
    let stopped = Stopped::new();
    let (host, account) = stopped.open("index");
    for subject in ["a", "b", "c"] {
        bring(&account, subject);
    }
    let known = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    rest();
    host.flush().unwrap();
    rest();
    for copy in ["as it was", "promised", "emptied", "renamed", "changed"] {
        stopped.copy(copy);
    }
    let before = (
        0,
        shown(&known),
        known.highest_mod_seq().number(),
        known.uid_next().number(),
    );
    assert_eq!(stopped.look("as it was"), before);
    // Messages that were to come together, of which none came: others get their UIDs.
    let promise = stopped.root().join("tmp/dovelet-together.4-5");
    std::fs::write(&promise, "").unwrap();
    let (scans, rows, mod_seq, _) = stopped.look("promised");
    assert!(scans == 1 && rows == before.1 && mod_seq > before.2 && !promise.exists());
    // Another program moves a message while nothing runs, or takes one away.
    let file = |part: &str| {
        let all = std::fs::read_dir(stopped.root().join(part)).unwrap();
        all.flatten().map(|entry| entry.path()).min()
    };
    let one = file("new").or_else(|| file("cur")).unwrap();
    let base = one.file_name().unwrap().to_str().unwrap();
    let base = base.split(":2,").next().unwrap();
    let read = stopped.root().join(format!("cur/{base}:2,S"));
    std::fs::rename(&one, &read).unwrap();
    let (scans, rows, ..) = stopped.look("renamed");
    assert!(scans == 1 && rows.len() == 3 && rows != before.1);
    std::fs::remove_file(&read).unwrap();
    let (scans, rows, ..) = stopped.look("emptied");
    assert!(scans == 1 && rows.len() == 2);
    // The server itself, which nobody stopped yet, went on.
    bring(&account, "d");
    let (scans, rows, mod_seq, _) = stopped.look("changed");
    assert!(scans == 1 && rows.len() == 3 && mod_seq > before.2);
}

#[test]
fn a_foreign_change_just_before_a_hard_stop_is_found_after_it() {
    let stopped = Stopped::new();
    let (host, account) = stopped.open("index");
    bring(&account, "a");
    let _view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    rest();
    host.flush().unwrap();
    rest();
    assert_eq!(
        {
            stopped.copy("before");
            stopped.look("before").0
        },
        0
    );
    // What the watch told nobody took in, and the flush finds no rest.
    let message = "Subject: x\n\nbody\n";
    std::fs::write(stopped.root().join("new/1.foreign"), message).unwrap();
    host.flush().unwrap();
    bring(&account, "b");
    host.flush().unwrap();
    stopped.copy("amid");
    let (scans, rows, ..) = stopped.look("amid");
    assert!(scans == 1 && rows.len() == 3);
}

#[test]
fn rows_ahead_of_the_side_file_or_of_the_directories_are_not_at_rest() {
    // The stamp of before would tell of rows and a directory, neither of which it was taken of.
    let stopped = Stopped::new();
    let (host, account) = stopped.open("index");
    bring(&account, "a");
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    rest();
    host.flush().unwrap();
    bring(&account, "b");
    rest();
    drop(account.select(&name("INBOX"), Access::ReadOnly).unwrap());
    // Another mailbox has something made durable.
    host.inner.index.flush().unwrap();
    stopped.copy("not listed");
    let (scans, rows, ..) = stopped.look("not listed");
    assert!(scans == 1 && rows.len() == 2);
    host.flush().unwrap();
    let stamp = |what: &str| {
        stopped.copy(what);
        let index = Index::open(&stopped.beside.path().join(what), 1 << 20).unwrap();
        let reader = index.read().unwrap();
        let inbox = reader.account("u").unwrap().unwrap();
        let inbox = reader.mailbox(inbox, &name("INBOX")).unwrap().unwrap();
        reader.summary(inbox).unwrap().unwrap().stamp_time
    };
    assert!(stamp("at rest") > 0);
    let all = view.uids().clone();
    let flagged = super::tests::flags(crate::mail::SystemFlags::FLAGGED, &[]);
    let added = view.mark(&all, super::FlagChange::Add, &flagged, None);
    added.unwrap();
    host.inner.index.flush().unwrap();
    assert_eq!(stamp("flags"), 0);
    rest();
    drop(view);
    host.flush().unwrap();
    assert!(stamp("at rest again") > 0);
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    view.discard(&super::tests::uids(&[1])).unwrap();
    host.inner.index.flush().unwrap();
    assert_eq!(stamp("expunged"), 0);
}

#[test]
fn keywords_without_letters_have_a_mailbox_looked_at_after_a_hard_stop() {
    let stopped = Stopped::new();
    let (host, account) = stopped.open("index");
    let named: Vec<String> = (0..27).map(|at| format!("k{at}")).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let flags = super::tests::flags(crate::mail::SystemFlags::NONE, &named);
    super::tests::append(&account, "INBOX", "a", &flags);
    let _view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    rest();
    host.flush().unwrap();
    stopped.copy("many");
    assert_eq!(stopped.look("many").0, 1);
}
