//! What other programs do is noticed, and only then a directory is read as a whole.

use super::*;
use crate::config::{Form, Format, Location, Namespace};
use crate::index::Index;
use crate::mail::{Flags, MailboxName, SystemFlags, Uid};
use std::fs;
use std::path::Path;
use std::time::Duration;

const ASKED: Asked = Asked {
    recent: true,
    deleted: false,
    size: false,
};

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn watched(root: &Path) -> (Account, Host) {
    let host = Host::with(Index::memory().unwrap(), Limits::default());
    (host.account("u", root).unwrap(), host)
}

fn unwatched(root: &Path) -> (Account, Host) {
    let host = Host::unwatched(Index::memory().unwrap());
    (host.account("u", root).unwrap(), host)
}

/// As another program delivers.
fn deliver(mailbox: &Path, file: &str) {
    fs::write(mailbox.join("tmp/x"), "Subject: x\n\nx\n").unwrap();
    fs::rename(mailbox.join("tmp/x"), mailbox.join(file)).unwrap();
}

/// Opens and leaves the mailbox: how many messages it has.
fn exists(account: &Account, mailbox: &str) -> u32 {
    let view = account.select(&name(mailbox), Access::ReadWrite);
    view.unwrap().exists()
}

fn messages(account: &Account, mailbox: &str) -> (u32, u32) {
    let status = account.status(&name(mailbox), ASKED).unwrap();
    (status.messages, status.unseen)
}

/// Until the clock of the file system has moved on for sure.
fn settle() {
    std::thread::sleep(Duration::from_millis(60));
}

#[test]
fn a_mailbox_opened_again_is_not_read_again() {
    for watch in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (account, host) = if watch {
            watched(root)
        } else {
            unwatched(root)
        };
        account.prepare().unwrap();
        (0..5).for_each(|n| deliver(root, &format!("new/{n}.x")));
        assert_eq!(exists(&account, "INBOX"), 5);
        settle();
        // Without a watch once more: the first time the last change was too young.
        assert_eq!(exists(&account, "INBOX"), 5);
        let before = host.scans();
        for _ in 0..3 {
            assert_eq!(exists(&account, "INBOX"), 5);
            assert_eq!(messages(&account, "INBOX"), (5, 5));
        }
        assert_eq!(host.scans(), before, "watched: {watch}");
        assert!(!watch || before == 1);
        // Nor by an account that was forgotten meanwhile.
        drop(account);
        (0..9).for_each(|n| drop(host.account(&n.to_string(), root)));
        host.flush().unwrap();
        let account = host.account("u", root).unwrap();
        assert_eq!(messages(&account, "INBOX"), (5, 5));
        assert_eq!(exists(&account, "INBOX"), 5);
        assert_eq!(host.scans(), before, "watched: {watch}");
    }
}

#[test]
fn nothing_is_written_where_nothing_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (account, host) = watched(directory.path());
    account.prepare().unwrap();
    deliver(directory.path(), "new/1.x");
    assert_eq!(exists(&account, "INBOX"), 1);
    settle();
    assert_eq!(exists(&account, "INBOX"), 1);
    host.flush().unwrap();
    assert_eq!(exists(&account, "INBOX"), 1);
    assert_eq!(messages(&account, "INBOX"), (1, 1));
    assert!(!host.is_dirty());
}

/// A change within the same tick of the clock as the one before it leaves the times as they were.
#[test]
fn a_foreign_change_is_noticed_though_the_clock_stands_still() {
    for watch in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (account, _host) = if watch {
            watched(root)
        } else {
            unwatched(root)
        };
        account.prepare().unwrap();
        for round in 0..40 {
            deliver(root, &format!("new/{round}.x"));
            let new = fs::File::open(root.join("new")).unwrap();
            let times = new.metadata().unwrap().modified().unwrap();
            let found = exists(&account, "INBOX");
            assert_eq!(found, round * 2 + 1, "watched: {watch}");
            deliver(root, &format!("new/{round}.y"));
            new.set_modified(times).unwrap();
            let found = if round % 2 == 0 {
                messages(&account, "INBOX").0
            } else {
                exists(&account, "INBOX")
            };
            assert_eq!(found, round * 2 + 2, "watched: {watch}");
        }
    }
}

/// Where times are in seconds a change of the same second does not show in them.
#[test]
fn a_foreign_change_is_noticed_where_times_are_in_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, _host) = unwatched(root);
    exists(&account, "INBOX");
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let second = std::time::UNIX_EPOCH + Duration::from_secs(since.as_secs());
    let round = |part: &str| {
        let file = fs::File::open(root.join(part)).unwrap();
        file.set_modified(second).unwrap();
    };
    let all = ["new", "cur", "dovecot-uidlist"];
    deliver(root, "new/1.x");
    all.iter().for_each(|part| round(part));
    exists(&account, "INBOX");
    all.iter().for_each(|part| round(part));
    settle();
    assert_eq!(exists(&account, "INBOX"), 1);
    deliver(root, "new/2.x");
    round("new");
    assert_eq!(exists(&account, "INBOX"), 2);
}

#[test]
fn foreign_changes_are_noticed_while_nobody_has_it_open() {
    for watch in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (account, _host) = if watch {
            watched(root)
        } else {
            unwatched(root)
        };
        account.prepare().unwrap();
        account.create(&name("x")).unwrap();
        let mailbox = root.join(".x");
        assert_eq!(exists(&account, "x"), 0);
        settle();
        assert_eq!(exists(&account, "x"), 0);
        deliver(&mailbox, "new/1.a");
        assert_eq!(messages(&account, "x"), (1, 1));
        fs::rename(mailbox.join("new/1.a"), mailbox.join("cur/1.a:2,S")).unwrap();
        assert_eq!(messages(&account, "x"), (1, 0));
        settle();
        fs::remove_file(mailbox.join("cur/1.a:2,S")).unwrap();
        assert_eq!(exists(&account, "x"), 0);
        // Other directories of that name.
        fs::rename(&mailbox, root.join(".y")).unwrap();
        let gone = account.select(&name("x"), Access::ReadOnly).err();
        assert_eq!(gone, Some(Error::NoSuchMailbox), "watched: {watch}");
        assert!(account.status(&name("x"), ASKED).is_err());
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(mailbox.join(part)).unwrap();
        }
        deliver(&mailbox, "new/2.a");
        deliver(&mailbox, "new/2.b");
        assert_eq!(exists(&account, "x"), 2, "watched: {watch}");
        fs::remove_dir_all(&mailbox).unwrap();
        let gone = account.select(&name("x"), Access::ReadOnly).err();
        assert_eq!(gone, Some(Error::NoSuchMailbox), "watched: {watch}");
    }
}

#[test]
fn a_side_file_that_somebody_else_wrote_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, _host) = watched(root);
    account.prepare().unwrap();
    deliver(root, "new/1.a");
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let before = view.uid_validity();
    drop(view);
    settle();
    let list = fs::read_to_string(root.join("dovecot-uidlist")).unwrap();
    let other = list.replacen(&format!("V{before}"), "V77", 1);
    fs::write(root.join("dovecot-uidlist"), other).unwrap();
    assert_eq!(
        account
            .status(&name("INBOX"), ASKED)
            .unwrap()
            .uid_validity
            .number(),
        77
    );
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    assert_eq!(view.uid_validity().number(), 77);
}

#[test]
fn status_of_many_mailboxes_reads_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, host) = watched(root);
    let names: Vec<String> = (0..20).map(|n| format!("box{n}")).collect();
    for own in &names {
        account.create(&name(own)).unwrap();
        deliver(&root.join(format!(".{own}")), "cur/1.a:2,S");
        deliver(&root.join(format!(".{own}")), "new/1.b");
    }
    let ask = || {
        names
            .iter()
            .for_each(|own| assert_eq!(messages(&account, own), (2, 1)))
    };
    ask();
    settle();
    ask();
    let before = host.scans();
    ask();
    assert_eq!(host.scans(), before);
    let status = account.status(&name("box3"), ASKED).unwrap();
    assert_eq!((status.recent, status.uid_next.number()), (2, 3));
    drop(account.select(&name("box3"), Access::ReadWrite).unwrap());
    assert_eq!(account.status(&name("box3"), ASKED).unwrap().recent, 0);
}

#[test]
fn the_mailbox_used_last_stays_watched() {
    let directory = tempfile::tempdir().unwrap();
    let (account, host) = watched(directory.path());
    account.prepare().unwrap();
    exists(&account, "INBOX");
    host.flush().unwrap();
    let before = host.scans();
    for special in ["Drafts", "Sent", "Junk", "Trash", "Archive"] {
        exists(&account, special);
        exists(&account, "INBOX");
        host.flush().unwrap();
    }
    assert_eq!(host.scans(), before + 5);
}

#[test]
fn own_deliveries_to_a_watched_mailbox_cause_no_scan() {
    let directory = tempfile::tempdir().unwrap();
    let (account, host) = watched(directory.path());
    exists(&account, "INBOX");
    let before = host.scans();
    for n in 1..=5 {
        let mut draft = account.draft();
        draft.write(b"Subject: x\r\n\r\nx\r\n").unwrap();
        let flags = Flags {
            system: SystemFlags::FLAGGED,
            ..Flags::default()
        };
        let filed = account.append(&name("INBOX"), &mut draft, &flags, None);
        assert_eq!(filed.unwrap().uids.last(), Uid::new(n));
        assert_eq!(exists(&account, "INBOX"), n);
    }
    assert_eq!(host.scans(), before);
}

#[test]
fn a_mailbox_selected_at_once_is_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, _host) = watched(root);
    account.prepare().unwrap();
    let inbox = name("INBOX");
    let select = || account.select(&inbox, Access::ReadWrite).unwrap();
    let at_once = |before: Option<&View>| {
        let opened = account.select_at_once(before, &inbox, Access::ReadWrite);
        opened.map(|(view, unseen)| (view.exists(), unseen.map(|seq| seq.number())))
    };
    deliver(root, "new/1.x");
    assert_eq!(at_once(None), None, "nobody looked");
    let mut view = select();
    assert_eq!(at_once(None), None, "nobody asked which message is unseen");
    assert_eq!(
        view.first_unseen().unwrap().map(|seq| seq.number()),
        Some(1)
    );
    assert_eq!(at_once(None), Some((1, Some(1))));
    assert_eq!(at_once(Some(&view)), Some((1, Some(1))));
    deliver(root, "new/2.x");
    assert_eq!(at_once(Some(&view)), None, "another program delivered");
    view = select();
    view.first_unseen().unwrap();
    assert_eq!(at_once(Some(&view)), Some((2, Some(1))));
    fs::rename(root.join("new/1.x"), root.join("cur/1.x:2,S")).unwrap();
    assert_eq!(at_once(Some(&view)), None, "another program read");
    view = select();
    view.first_unseen().unwrap();
    assert_eq!(at_once(Some(&view)), Some((2, Some(2))));
    let seen = Flags {
        system: SystemFlags::SEEN,
        ..Flags::default()
    };
    let all = view.uids().clone();
    view.mark(&all, FlagChange::Add, &seen, None).unwrap();
    assert_eq!(at_once(Some(&view)), Some((2, None)));
    account.create(&name("a")).unwrap();
    let other = account.select(&name("a"), Access::ReadWrite).unwrap();
    assert_eq!(
        at_once(Some(&other)),
        None,
        "to leave a mailbox takes a look"
    );
    // Nobody has it any more: directories in the place of those that are watched are noticed a little later.
    drop(view);
    assert_eq!(at_once(None), Some((2, None)));
    let shared = account.shared(&inbox).unwrap();
    shared.state.lock().unwrap().revisited = Duration::ZERO;
    assert_eq!(at_once(None), None);
}

#[test]
fn who_waits_for_an_mbox_hears_at_once_what_others_do_with_its_file() {
    let form = |_: &Path| Format::Mbox.into();
    let (account, directory) = Account::temporary_with(form);
    let file = directory.path().join("mail/inbox");
    let message = |n: u32| format!("From a@b Sat Jan  3 01:05:34 1970\nSubject: {n}\n\nx\n\n");
    let mut view = account
        .select(&MailboxName::inbox(), Access::ReadWrite)
        .unwrap();
    let mut hears = |exists: u32| {
        assert!(view.has_news(), "{exists}");
        view.sync(Expunges::Tell).unwrap();
        assert_eq!(view.exists(), exists);
        // What it did itself to take that in may have to be looked at once, and not again and again.
        if view.has_news() {
            view.sync(Expunges::Tell).unwrap();
        }
        assert!(!view.has_news(), "{exists}");
    };
    let append = |n| {
        let mut open = fs::OpenOptions::new().append(true).open(&file).unwrap();
        std::io::Write::write_all(&mut open, message(n).as_bytes()).unwrap();
    };
    append(1);
    hears(1);
    append(2);
    hears(2);
    // Another file takes its place, and is watched from then on.
    let other = directory.path().join("other");
    let three: String = (1..4).map(message).collect();
    fs::write(&other, three).unwrap();
    fs::rename(&other, &file).unwrap();
    hears(3);
    append(4);
    hears(4);
}

#[test]
fn names_of_one_place_are_heard_of_beside_another_that_nothing_can_tell_of() {
    let beside = |root: &Path| {
        let archive = root.with_file_name("archive");
        Form {
            namespaces: vec![Namespace {
                prefix: name("Archive"),
                location: Location {
                    root: archive,
                    form: Format::Mbox.into(),
                },
            }],
            ..Format::Maildir.into()
        }
    };
    let (account, directory) = Account::temporary_with(beside);
    let listening = account.listen_to_names().unwrap();
    // Not all is watched: whoever listens looks now and then.
    assert!(!listening.is_watched());
    let made = directory.path().join("mail/.made");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(made.join(part)).unwrap();
    }
    let heard = account.heard();
    assert!(account.has_news(heard));
}
