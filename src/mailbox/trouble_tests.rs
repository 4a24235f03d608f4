//! A disk that fails, and what is left waiting when an account is forgotten.

use super::tests::{append, flags, name, uids};
use super::*;
use crate::config::Format;
use crate::index::Index;
use crate::mail::{Flags, SystemFlags};
use event_listener::Listener;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The file of an index, on a disk that can be full.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn change(&self, work: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        if self.full.load(Ordering::Acquire) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        work(&mut self.bytes.lock().unwrap());
        Ok(())
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        out.copy_from_slice(&self.bytes.lock().unwrap()[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(|bytes| bytes.resize(length as usize, 0))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|_| {})
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        self.change(|bytes| bytes[at..at + data.len()].copy_from_slice(data))
    }
}

#[test]
fn an_index_that_cannot_be_written_is_told_and_opened_again() {
    // Nobody learned that after one failure of the disk every use of the index fails.
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let open = || {
        let index = Index::with_backend(disk.clone()).unwrap();
        let host = Host::with(index, Limits::default());
        let account = host.account("u", directory.path()).unwrap();
        (host, account)
    };
    let (host, account) = open();
    assert_eq!(append(&account, "INBOX", "1", &Flags::default()), 1);
    host.flush().unwrap();
    let told = host.listen();
    assert_eq!(append(&account, "INBOX", "2", &Flags::default()), 2);
    assert!(!host.is_lost());
    disk.full.store(true, Ordering::Release);
    assert_eq!(host.flush(), Err(Error::Full));
    assert!(host.is_lost() && told.wait_timeout(Duration::ZERO).is_some());
    disk.full.store(false, Ordering::Release);
    assert!(host.flush().is_err(), "redb goes on by itself: this may go");
    drop((host, account));
    let (host, account) = open();
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    assert_eq!((view.uids(), host.is_lost()), (&uids(&[1, 2]), false));
    assert_eq!(append(&account, "INBOX", "3", &Flags::default()), 3);
}

#[test]
fn what_waits_is_written_though_the_account_is_not_used_any_more() {
    // Lines for the uidlist and what was claimed as \Recent went with the last session.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let host = Host::with(Index::memory().unwrap(), Limits::default());
    let account = host.account("u", root).unwrap();
    account.create(&name("box")).unwrap();
    append(&account, "box", "1", &Flags::default());
    let view = account.select(&name("box"), Access::ReadWrite).unwrap();
    assert_eq!(view.recent(), 1);
    drop((view, account));
    (0..20).for_each(|n| drop(host.account(&n.to_string(), root)));
    host.flush().unwrap();
    let list = fs::read_to_string(root.join(".box/dovecot-uidlist")).unwrap();
    assert!(list.lines().any(|line| line.starts_with("1 :")), "{list}");
    let account = host.account("u", root).unwrap();
    let view = account.select(&name("box"), Access::ReadWrite).unwrap();
    assert_eq!(view.recent(), 0);
}

#[test]
fn a_rename_that_cannot_be_done_changes_nothing() {
    // RENAME moved some of the mailboxes before it met a name that was taken.
    let (account, _directory) = Account::temporary();
    for mailbox in ["a/x", "a/y", "b/x"] {
        account.create(&name(mailbox)).unwrap();
    }
    account.delete(&name("b")).unwrap();
    let names = || -> Vec<String> {
        let listed = account.list().unwrap().into_iter();
        listed
            .filter(|l| l.selectable)
            .map(|l| l.name.to_string())
            .collect()
    };
    let before = names();
    let mut open = account.select(&name("a/x"), Access::ReadWrite).unwrap();
    let renamed = account.rename(&name("a"), &name("b"));
    assert_eq!(renamed.err(), Some(Error::MailboxExists));
    assert_eq!(names(), before);
    // Nor does it go deaf whoever has one of them open.
    append(&account, "a/x", "1", &Flags::default());
    assert_eq!(open.sync(Expunges::Tell).unwrap().exists, Some(1));
    account.delete(&name("b/x")).unwrap();
    account.rename(&name("a"), &name("b")).unwrap();
    assert_eq!(names(), ["INBOX", "b", "b/x", "b/y"]);
    append(&account, "b/x", "2", &Flags::default());
    assert_eq!(open.sync(Expunges::Tell).unwrap().exists, Some(2));
    // Names that become free on the way can be taken.
    for mailbox in ["c/c", "c/c/c", "c/d"] {
        account.create(&name(mailbox)).unwrap();
    }
    account.delete(&name("c")).unwrap();
    account.rename(&name("c/c"), &name("c")).unwrap();
    assert_eq!(names(), ["INBOX", "b", "b/x", "b/y", "c", "c/c", "c/d"]);
}

#[test]
fn who_reads_a_mailbox_follows_its_new_name() {
    // A FETCH that met a RENAME of its mailbox failed for every message that it had to open.
    let (account, _directory) = Account::temporary();
    account.create(&name("a")).unwrap();
    append(&account, "a", "1", &Flags::default());
    append(&account, "a", "2", &Flags::default());
    let view = account.select(&name("a"), Access::ReadWrite).unwrap();
    let want = Want {
        body: true,
        ..Want::default()
    };
    let mut rows = view.fetch(view.uids().clone(), want);
    for _ in 0..2 {
        assert!(rows.advance().unwrap());
        assert!(rows.content(&Default::default()).unwrap().is_some());
        account.rename(&name("a"), &name("b")).ok();
        account.create(&name("a")).ok();
    }
}

#[test]
fn index_and_file_have_the_same_date() {
    // INTERNALDATE changed when the index was built anew.
    let directory = tempfile::tempdir().unwrap();
    let host = Host::with(Index::memory().unwrap(), Limits::default());
    let account = host.account("u", directory.path()).unwrap();
    account.create(&name("other")).unwrap();
    let mut draft = account.draft();
    draft.write(b"Subject: x\r\n\r\nx\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let inbox = name("INBOX");
    account
        .append(&inbox, &mut draft, &Flags::default(), None)
        .unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    account
        .append(&name("other"), &mut draft, &Flags::default(), None)
        .unwrap();
    let dates = |account: &Account| {
        ["INBOX", "other"].map(|mailbox| {
            let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
            let want = Want {
                internal_date: true,
                ..Want::default()
            };
            let mut rows = view.fetch(view.uids().clone(), want);
            assert!(rows.advance().unwrap());
            rows.internal_date().unwrap().seconds
        })
    };
    let told = dates(&account);
    assert_eq!(told[0], told[1]);
    let host = Host::with(Index::memory().unwrap(), Limits::default());
    let anew = host.account("u", directory.path()).unwrap();
    assert_eq!(dates(&anew), told);
}

#[test]
fn a_host_is_closed_once_what_another_flush_began_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let host = Host::over(Index::memory().unwrap(), Format::Mbox, Limits::default());
    let account = host.account("ann", root).unwrap();
    for text in ["one", "two"] {
        append(
            &account,
            "INBOX",
            text,
            &flags(SystemFlags::SEEN, &["NonJunk"]),
        );
    }
    let told = || fs::read_to_string(root.join("inbox")).unwrap();
    assert!(!told().contains(" 0000000002 NonJunk"), "{}", told());
    let shared = account.shared(&name("INBOX")).unwrap();
    std::thread::scope(|scope| {
        let busy = shared.state.lock().unwrap();
        let flush = scope.spawn(|| host.flush().unwrap());
        std::thread::sleep(Duration::from_millis(100));
        let close = scope.spawn(|| host.close().unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!flush.is_finished() && !close.is_finished());
        drop(busy);
    });
    assert!(told().contains(" 0000000002 NonJunk"), "{}", told());
}
