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
