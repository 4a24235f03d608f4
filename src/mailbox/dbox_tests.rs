//! What sessions see of mailboxes that are kept as mdbox or sdbox.

use super::host::lock;
use super::tests::{append, flags, name, shown, uids};
use super::*;
use crate::config::Format;
use crate::index::Index;
use crate::mail::{DateTime, Flags, SystemFlags, Uid};
use crate::mime::Section;
use crate::store::journal;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// An account with an mdbox whose index is in memory.
fn account(root: &Path, rotate_octets: u32) -> Account {
    account_of(Format::Mdbox, root, rotate_octets)
}

fn account_of(format: Format, root: &Path, rotate_octets: u32) -> Account {
    let limits = Limits {
        mdbox_rotate_octets: rotate_octets,
        ..Limits::default()
    };
    let host = Host::over(Index::memory().unwrap(), format, limits);
    host.account("ann", root).unwrap()
}

/// UID, flags, keywords, EMAILID, save date and text of each message.
type Messages = BTreeMap<u32, (u8, usize, String, i64, String)>;

fn messages(account: &Account, mailbox: &str) -> Messages {
    let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
    let want = Want {
        body: true,
        ..Want::default()
    };
    let mut rows = view.fetch(view.uids().clone(), want);
    let mut all = Messages::new();
    while rows.advance().unwrap() {
        let mut text = Vec::new();
        let mut content = rows.content(&Section::default()).unwrap().unwrap();
        while content.read(&mut text, 1 << 16).unwrap() > 0 {}
        let text = String::from_utf8(text).unwrap();
        assert_eq!(rows.internal_date().unwrap(), DateTime::utc(1_000_000_000));
        let id = rows.email_id().unwrap().to_string();
        let saved = rows.save_date().unwrap().seconds;
        let message = (rows.flags().bits(), rows.keywords().len(), id, saved, text);
        all.insert(rows.uid().number(), message);
    }
    all
}

fn files(root: &Path) -> usize {
    let entries = fs::read_dir(root.join("storage")).unwrap();
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter(|name| name != "dovelet-number").count()
}

#[test]
fn the_loss_of_the_index_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    index_is_lost(Format::Mdbox, directory.path());
    assert_eq!(files(directory.path()), 1);
}

#[test]
fn the_loss_of_the_index_changes_nothing_in_sdbox() {
    let directory = tempfile::tempdir().unwrap();
    index_is_lost(Format::Sdbox, directory.path());
}

fn index_is_lost(format: Format, root: &Path) {
    let account = || account_of(format, root, 1 << 20);
    let first = account();
    first.create(&name("a/b")).unwrap();
    append(&first, "INBOX", "one", &flags(SystemFlags::SEEN, &["x"]));
    append(&first, "INBOX", "two", &Flags::default());
    append(&first, "INBOX", "three", &Flags::default());
    let mut view = first.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let changed = flags(SystemFlags::FLAGGED, &["y"]);
    view.mark(&uids(&[2]), FlagChange::Add, &changed, None)
        .unwrap();
    view.copy(&uids(&[1, 2]), &name("a/b")).unwrap();
    view.transfer(&uids(&[3]), &name("a/b")).unwrap();
    drop(view);
    let told = |account: &Account| {
        ["INBOX", "a/b"].map(|mailbox| {
            let status = account.status(&name(mailbox), Asked::default()).unwrap();
            let numbers = (status.uid_validity, status.uid_next);
            (
                numbers,
                status.mailbox_id.to_string(),
                messages(account, mailbox),
            )
        })
    };
    let before = told(&first);
    assert_eq!((before[0].2.len(), before[1].2.len()), (2, 3));
    assert_eq!(
        before[0].2[&1].2, before[1].2[&1].2,
        "a copy has the EMAILID"
    );
    drop(first);
    assert_eq!(told(&account()), before);
}

/// Of INBOX with three messages, of which something happened to the log while nobody had it open: UIDVALIDITY, UIDNEXT
/// and MAILBOXID before and after, and UIDs and flags after.
fn damaged(format: Format, harm: fn(&Path)) -> ([String; 2], Vec<(u32, u8)>) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::over(Index::memory().unwrap(), format, Limits::default());
    let account = host.account("ann", directory.path()).unwrap();
    for text in ["one", "two", "three", "four"] {
        append(&account, "INBOX", text, &flags(SystemFlags::SEEN, &[]));
    }
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    view.discard(&uids(&[1, 4])).unwrap();
    drop(view);
    let told = |account: &Account| {
        let status = account.status(&name("INBOX"), Asked::default()).unwrap();
        let (validity, next) = (status.uid_validity, status.uid_next);
        format!("{validity} {next} {}", status.mailbox_id)
    };
    let before = told(&account);
    drop(account);
    host.close().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    harm(
        &directory
            .path()
            .join("mailboxes/INBOX/dbox-Mails/dovelet.log"),
    );
    let account = host.account("ann", directory.path()).unwrap();
    let all = messages(&account, "INBOX").into_iter();
    let all = all.map(|(uid, message)| (uid, message.0)).collect();
    let after = told(&account);
    drop(account);
    host.close().unwrap();
    // It stays, also where the index is gone.
    let host = Host::over(Index::memory().unwrap(), format, Limits::default());
    let account = host.account("ann", directory.path()).unwrap();
    assert_eq!(told(&account), after);
    ([before, after], all)
}

/// The file anew, as a program that repairs a disk leaves it, without octets of its first line.
fn harm_first_line(log: &Path) {
    let mut text = fs::read(log).unwrap();
    fs::remove_file(log).unwrap();
    text[10..14].fill(b'?');
    fs::write(log, text).unwrap();
}

#[test]
fn the_first_line_of_a_log_is_not_the_only_one_who_knows_the_uidvalidity() {
    for format in [Format::Mdbox, Format::Sdbox] {
        let ([before, after], all) = damaged(format, harm_first_line);
        assert_eq!(after, before, "{format:?}");
        let seen = SystemFlags::SEEN.bits();
        assert_eq!(all, [(2, seen), (3, seen)], "{format:?}");
    }
}

#[test]
fn a_log_of_an_sdbox_that_is_gone_takes_no_uidvalidity_along() {
    let ([before, after], all) = damaged(Format::Sdbox, |log| fs::remove_file(log).unwrap());
    assert_eq!(after, before);
    assert!(all.iter().map(|m| m.0).eq([2, 3]));
}

/// They were counted, and could not be read, until something else was reason to look.
#[test]
fn messages_whose_file_is_gone_are_told_to_be() {
    for (format, file) in [
        (Format::Mdbox, "storage/m.1"),
        (Format::Sdbox, "mailboxes/INBOX/dbox-Mails/u.1"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let account = account_of(format, directory.path(), 1 << 20);
        append(&account, "INBOX", "one", &Flags::default());
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        view.sync(Expunges::Tell).unwrap();
        fs::remove_file(directory.path().join(file)).unwrap();
        let want = Want {
            body: true,
            ..Want::default()
        };
        let mut rows = view.fetch(view.uids().clone(), want);
        assert!(rows.advance().unwrap());
        let read = rows.content(&Section::default()).map(|_| ());
        assert_eq!(read, Err(Error::Expunged), "{format:?}");
        drop(rows);
        view.sync(Expunges::Tell).unwrap();
        assert_eq!(view.exists(), 0, "{format:?}");
        let status = account.status(&name("INBOX"), Asked::default()).unwrap();
        assert_eq!(status.messages, 0, "{format:?}");
    }
}

#[test]
fn own_changes_cause_no_scan_and_a_restored_log_does() {
    own_changes_cause_no_scan(Format::Mdbox);
    own_changes_cause_no_scan(Format::Sdbox);
}

fn own_changes_cause_no_scan(format: Format) {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::over(Index::memory().unwrap(), format, Limits::default());
    let account = host.account("ann", directory.path()).unwrap();
    append(&account, "INBOX", "one", &Flags::default());
    let log = directory
        .path()
        .join("mailboxes/INBOX/dbox-Mails/dovelet.log");
    let backup = fs::read(&log).unwrap();
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    view.sync(Expunges::Tell).unwrap();
    let scans = host.scans();
    for number in 2..20 {
        append(&account, "INBOX", &number.to_string(), &Flags::default());
        view.sync(Expunges::Tell).unwrap();
        let seen = flags(SystemFlags::SEEN, &[]);
        view.mark(&uids(&[number]), FlagChange::Add, &seen, None)
            .unwrap();
        view.sync(Expunges::Tell).unwrap();
        assert!(view.is_current());
    }
    host.flush().unwrap();
    assert_eq!(host.scans(), scans);
    drop(view);
    drop(account);
    host.close().unwrap();
    fs::remove_file(&log).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::write(&log, backup).unwrap();
    let account = host.account("ann", directory.path()).unwrap();
    // What the log lacks files of their own tell, and frames.
    assert_eq!(messages(&account, "INBOX").len(), 19);
    // What was given before is not given again.
    assert_eq!(append(&account, "INBOX", "new", &Flags::default()), 20);
}

/// Messages that sessions carry to and fro and mark while files are purged.
#[test]
fn sessions_go_on_while_files_are_purged() {
    let directory = tempfile::tempdir().unwrap();
    let account = account(directory.path(), 8 << 10);
    account.create(&name("a")).unwrap();
    account.create(&name("b")).unwrap();
    for number in 0..60 {
        append(&account, "INBOX", &number.to_string(), &Flags::default());
    }
    let over = AtomicBool::new(false);
    let carry = |from: &str, to: &str| {
        let mut view = account.select(&name(from), Access::ReadWrite).unwrap();
        for round in 0..40u32 {
            view.sync(Expunges::Tell).unwrap();
            let some: Vec<u32> = view.uids().iter().map(Uid::number).collect();
            let some: Vec<u32> = some
                .into_iter()
                .skip(round as usize % 7)
                .step_by(3)
                .collect();
            let moved = match round % 4 {
                0 => view.copy(&uids(&some), &name(to)).map(|_| ()),
                1 => {
                    let seen = flags(SystemFlags::SEEN, &[]);
                    view.mark(&uids(&some), FlagChange::Add, &seen, None)
                        .map(|_| ())
                }
                2 => view.discard(&uids(&some)),
                _ => view.transfer(&uids(&some), &name(to)).map(|_| ()),
            };
            assert!(
                matches!(moved, Ok(()) | Err(Error::Expunged | Error::Busy)),
                "{moved:?}"
            );
            append(
                &account,
                from,
                &format!("{from} {round}"),
                &Flags::default(),
            );
        }
    };
    let purges = std::thread::scope(|scope| {
        let workers = [("INBOX", "a"), ("a", "b"), ("b", "INBOX")];
        let workers = workers.map(|(from, to)| scope.spawn(move || carry(from, to)));
        let purger = scope.spawn(|| {
            let mut purges = 0;
            while !over.load(Ordering::Acquire) {
                account
                    .care(Care::Purge, &mut |line| {
                        purges += u32::from(!matches!(line, Report::Purged { files: 0, .. }));
                    })
                    .unwrap();
            }
            purges
        });
        let ended = workers.map(|worker| worker.join());
        over.store(true, Ordering::Release);
        ended.into_iter().for_each(|worker| worker.unwrap());
        purger.join().unwrap()
    });
    assert!(purges > 0);
    account.care(Care::Purge, &mut |_| ()).unwrap();
    let all = ["INBOX", "a", "b"].map(|mailbox| messages(&account, mailbox));
    for message in all.iter().flat_map(|all| all.values()) {
        let subject = message
            .4
            .lines()
            .next()
            .unwrap()
            .strip_prefix("Subject: ")
            .unwrap();
        assert!(message.4.ends_with(&format!("body of {subject}\r\n")));
    }
    // The index has what the logs have.
    for mailbox in ["INBOX", "a", "b"] {
        let shared = account.shared(&name(mailbox)).unwrap();
        let mut state = lock(&shared.state);
        let before = state
            .summary
            .clone()
            .map(|s| (s.messages, s.seen, s.highest_mod_seq));
        let mut store = account.0.store().unwrap();
        resync::resync(&shared, &mut state, &mut *store).unwrap();
        let after = state
            .summary
            .clone()
            .map(|s| (s.messages, s.seen, s.highest_mod_seq));
        assert_eq!(before, after, "{mailbox}");
    }
    assert_eq!(
        ["INBOX", "a", "b"].map(|mailbox| messages(&account, mailbox)),
        all
    );
}

#[test]
fn messages_are_carried_once_though_many_carry_them() {
    messages_are_carried_once(Format::Mdbox);
    messages_are_carried_once(Format::Sdbox);
}

fn messages_are_carried_once(format: Format) {
    let directory = tempfile::tempdir().unwrap();
    let account = account_of(format, directory.path(), 1 << 20);
    account.create(&name("other")).unwrap();
    for number in 0..20 {
        append(&account, "INBOX", &number.to_string(), &Flags::default());
    }
    let carry = |from: &str, to: &str| {
        let mut view = account.select(&name(from), Access::ReadWrite).unwrap();
        for _ in 0..20 {
            view.sync(Expunges::Tell).unwrap();
            let some = view.uids().clone();
            match view.transfer(&some, &name(to)) {
                Ok(_) | Err(Error::Expunged) => {}
                Err(error) => assert_eq!(error, Error::Busy),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| carry("INBOX", "other"));
        scope.spawn(|| carry("other", "INBOX"));
        scope.spawn(|| carry("INBOX", "INBOX"));
    });
    let count = |account: &Account, mailbox: &str| messages(account, mailbox).len();
    assert_eq!(count(&account, "INBOX") + count(&account, "other"), 20);
    drop(account);
    let again = account_of(format, directory.path(), 1 << 20);
    assert_eq!(count(&again, "INBOX") + count(&again, "other"), 20);
}

#[test]
fn deliveries_side_by_side_appear_in_the_order_of_their_uids() {
    deliveries_appear_in_order(Format::Mdbox);
    deliveries_appear_in_order(Format::Sdbox);
}

fn deliveries_appear_in_order(format: Format) {
    let directory = tempfile::tempdir().unwrap();
    let account = account_of(format, directory.path(), 16 << 10);
    let mut told: Vec<u32> = Vec::new();
    std::thread::scope(|scope| {
        let one = |worker: u32| {
            let subject = worker.to_string();
            let one = |_| append(&account, "INBOX", &subject, &Flags::default());
            assert!((0..30).map(one).collect::<Vec<u32>>().is_sorted());
        };
        let workers: Vec<_> = (0..4)
            .map(|worker| scope.spawn(move || one(worker)))
            .collect();
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        while !workers.iter().all(|w| w.is_finished()) {
            // As the doctor does while messages are on their way.
            account.check(false, &mut |_| ()).unwrap();
            view.sync(Expunges::Hold).unwrap();
            let all: Vec<u32> = view.uids().iter().map(Uid::number).collect();
            assert!(all.starts_with(&told), "{all:?} after {told:?}");
            told = all;
        }
    });
    let view = account.select(&name("INBOX"), Access::ReadOnly).unwrap();
    assert_eq!(shown(&view).len(), 120);
    assert_eq!(view.uid_next().number(), 121);
}

/// Contents of files that were synced since somebody asked last.
#[derive(Default)]
struct Synced(std::rc::Rc<std::cell::RefCell<Vec<String>>>);

impl Synced {
    fn listen() -> Synced {
        let synced = Synced::default();
        let heard = synced.0.clone();
        journal::listen(Some(Box::new(move |event| {
            if let journal::Event::Synced { bytes, .. } = event {
                heard.borrow_mut().push(String::from_utf8(bytes).unwrap());
            }
        })));
        synced
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.borrow_mut())
    }
}

#[test]
fn many_changes_of_flags_share_the_sync_of_a_flush() {
    // Each STORE wrote and synced a page.
    for format in [Format::Mdbox, Format::Sdbox] {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::over(Index::memory().unwrap(), format, Limits::default());
        let account = host.account("ann", directory.path()).unwrap();
        for number in 1..=3 {
            append(&account, "INBOX", &number.to_string(), &Flags::default());
        }
        host.flush().unwrap();
        let inbox = "mailboxes/INBOX/dbox-Mails/dovelet.log";
        let log = || fs::read_to_string(directory.path().join(inbox)).unwrap();
        let marks = |text: &str, flags: &str| text.contains(&format!(" M 2 :2,{flags}\n"));
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let synced = Synced::listen();
        let mut mark = |change| {
            let seen = flags(SystemFlags::SEEN, &[]);
            view.mark(&uids(&[2]), change, &seen, None).unwrap();
        };
        for _ in 0..100 {
            mark(FlagChange::Add);
            // Whoever reads the file after this process was killed finds it.
            assert!(log().trim_end_matches('\0').ends_with(" M 2 :2,S\n"));
            mark(FlagChange::Remove);
        }
        assert_eq!(synced.take(), [""; 0]);
        assert!(host.is_dirty());
        host.flush().unwrap();
        let all = synced.take();
        assert!(all.len() == 1 && marks(&all[0], "S"), "{}", all.len());
        host.flush().unwrap();
        assert_eq!(synced.take(), [""; 0], "nothing waits any more");
        // What must be durable brings with it what came before.
        mark(FlagChange::Add);
        append(&account, "INBOX", "4", &flags(SystemFlags::DRAFT, &["k"]));
        let all = synced.take();
        assert!(all.iter().any(|text| {
            let mark = text.rfind(" M 2 :2,S\n");
            mark.is_some() && text.rfind(" F :2,Da ") > mark
        }));
        journal::listen(None);
    }
}

#[test]
fn whoever_was_told_of_flags_that_a_power_cut_took_is_told_all_flags() {
    // CHANGEDSINCE with a mod-sequence of which neither index nor log knew did not tell them.
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    let open = |index: &str| Host::open_in(&at(index), Format::Mdbox, Limits::default()).unwrap();
    let inbox = |account: &Account| account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let host = open("index");
    let account = host.account("ann", &at("mail")).unwrap();
    append(&account, "INBOX", "one", &Flags::default());
    append(&account, "INBOX", "two", &Flags::default());
    host.flush().unwrap();
    let mut view = inbox(&account);
    let known = view.highest_mod_seq();
    let log = at("mail/mailboxes/INBOX/dbox-Mails/dovelet.log");
    let before = fs::read(&log).unwrap();
    // And what was flushed last, which the file itself may not have yet.
    for (own, left) in [("index", "left"), ("index.journal", "left.journal")] {
        fs::copy(at(own), at(left)).unwrap();
    }
    let seen = flags(SystemFlags::SEEN, &[]);
    view.mark(&uids(&[1]), FlagChange::Add, &seen, None)
        .unwrap();
    view.sync(Expunges::Tell).unwrap();
    let told = view.highest_mod_seq();
    drop((view, account, host));
    fs::write(&log, before).unwrap();
    let host = open("left");
    let account = host.account("ann", &at("mail")).unwrap();
    assert_eq!(messages(&account, "INBOX")[&1].0, 0, "it was taken");
    let view = inbox(&account);
    let changed = |since: crate::mail::ModSeq| {
        let changed = view.changed_since(view.uids(), since.into()).unwrap();
        changed.to_string()
    };
    assert!(view.highest_mod_seq() > told);
    assert_eq!(changed(told), "1:2");
    // Who knew no more than what is left was told nothing else.
    assert_eq!(changed(known), "");
    assert_eq!(changed(view.highest_mod_seq()), "");
}

#[test]
fn flags_of_many_messages_are_a_line_for_each_kind_of_them() {
    // Each message had a line.
    let directory = tempfile::tempdir().unwrap();
    let open = || account(directory.path(), 1 << 20);
    let own = open();
    for number in 1..=12u32 {
        let seen = [SystemFlags::NONE, SystemFlags::SEEN][number as usize % 2];
        append(&own, "INBOX", &number.to_string(), &flags(seen, &[]));
    }
    let log = "mailboxes/INBOX/dbox-Mails/dovelet.log";
    let log = || fs::read_to_string(directory.path().join(log)).unwrap();
    let lines = || {
        let log = log();
        let marks = log.lines().filter_map(|line| line.split_once(" M "));
        let marks: Vec<String> = marks.map(|(_, mark)| mark.to_owned()).collect();
        marks
    };
    let mut view = own.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let mut mark = |numbers: &[u32], change, changed: &Flags| {
        let marked = view.mark(&uids(numbers), change, changed, None).unwrap();
        assert_eq!(marked.told, uids(numbers));
    };
    let all: Vec<u32> = (1..=12).collect();
    mark(&all, FlagChange::Add, &flags(SystemFlags::FLAGGED, &["x"]));
    let mut expected = vec!["2,4,6,8,10,12 :2,Fa", "1,3,5,7,9,11 :2,FSa"];
    assert_eq!(lines(), expected);
    mark(&all, FlagChange::Add, &flags(SystemFlags::FLAGGED, &[]));
    assert_eq!(lines(), expected, "nothing changed");
    mark(&all, FlagChange::Set, &flags(SystemFlags::SEEN, &[]));
    expected.push("1:12 :2,S");
    mark(
        &[3, 4, 5, 9],
        FlagChange::Remove,
        &flags(SystemFlags::SEEN, &[]),
    );
    expected.push("3:5,9 :2,");
    assert_eq!(lines(), expected);
    let told = messages(&own, "INBOX");
    let unseen = told.iter().filter(|(_, message)| message.0 == 0);
    let unseen: Vec<u32> = unseen.map(|(uid, _)| *uid).collect();
    assert_eq!(unseen, [3, 4, 5, 9]);
    assert!(told.values().all(|message| message.1 == 0));
    drop(view);
    drop(own);
    assert_eq!(messages(&open(), "INBOX"), told, "the index is gone");
}
