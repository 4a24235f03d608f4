use super::Mbox;
use crate::mail::{Guid, MailboxName, SystemFlags, Uid};
use crate::store::{BlobId, Error, Filing, Store, saved};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

fn open(root: &Path) -> Mbox {
    Mbox::open(root, None).unwrap()
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn filing(uid: u32, flags: SystemFlags) -> Filing {
    Filing {
        uid: Uid::new(uid).unwrap(),
        flags,
        letters: 0,
    }
}

fn save(store: &mut Mbox, mailbox: &str, text: &str, uid: u32) -> BlobId {
    let mut draft = store.stage().unwrap();
    draft.write(text.as_bytes()).unwrap();
    draft.date(1_000_000_000).unwrap();
    store.save(&mut *draft, &name(mailbox)).unwrap();
    let new = filing(uid, SystemFlags::NONE);
    let blob = store.commit(&mut *draft, &name(mailbox), &new).unwrap();
    store.sync().unwrap();
    blob
}

fn read(store: &mut Mbox, mailbox: &str, blob: &BlobId) -> Result<String, Error> {
    let mut blob = store.open(&name(mailbox), blob)?;
    let mut text = String::new();
    blob.body.read_to_string(&mut text)?;
    Ok(text)
}

/// UID, flags, letters and text of all messages.
fn shown(store: &mut Mbox, mailbox: &str) -> Vec<(u32, u8, u32, String)> {
    let found = store.scan(&name(mailbox)).unwrap().found.into_iter();
    let shown = found.map(|f| {
        let text = read(store, mailbox, &f.blob).unwrap();
        let uid = f.uid.unwrap().number();
        (uid, f.blob.flags.bits(), f.blob.letters, text)
    });
    shown.collect()
}

fn uids(store: &mut Mbox, mailbox: &str) -> Vec<u32> {
    shown(store, mailbox).into_iter().map(|m| m.0).collect()
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn message(number: u32) -> String {
    format!("Subject: {number}\r\n\r\ntext of {number}\r\n")
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (own, copy) = (entry.path(), to.join(entry.file_name()));
        match own.is_dir() {
            true => copy_tree(&own, &copy),
            false => drop(fs::copy(&own, &copy).unwrap()),
        }
    }
}

fn foreign(number: u32) -> String {
    let text = message(number).replace('\r', "");
    format!("From a@b Thu Jan  1 00:00:0{} 1970\n{text}\n", number % 10)
}

#[test]
fn messages_are_filed_copied_moved_marked_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    store.create(&name("a/b")).unwrap();
    let one = save(&mut store, "INBOX", &message(1), 1);
    let two = save(&mut store, "INBOX", &message(2), 2);
    assert_eq!(store.wire_octets(&one), Some(25));
    let (inbox, other) = (MailboxName::inbox(), name("a/b"));
    let new = filing(7, SystemFlags::SEEN);
    let copy = store.copy(&inbox, &one, &other, &new).unwrap();
    let new = filing(8, SystemFlags::NONE);
    let moved = store.transfer(&inbox, &two, &other, &new).unwrap();
    let again = store.transfer(&inbox, &two, &other, &filing(9, SystemFlags::NONE));
    assert!(matches!(again, Err(Error::NoSuchMessage)));
    store.sync().unwrap();
    store.mark(&other, &copy, SystemFlags::FLAGGED, 0).unwrap();
    store.sync().unwrap();
    let flagged = SystemFlags::FLAGGED.bits();
    let lf = |number| message(number).replace('\r', "");
    let all = [(7, flagged, 0, lf(1)), (8, 0, 0, lf(2))];
    // From the log, and from the file alone.
    for settled in [false, true, true] {
        drop(store);
        store = open(root);
        assert_eq!(shown(&mut store, "a/b"), all);
        assert_eq!(shown(&mut store, "INBOX"), [(1, 0, 0, lf(1))]);
        if settled {
            store.settle(&other).unwrap();
            store.settle(&inbox).unwrap();
            drop(store);
            fs::remove_dir_all(root.join(".imap/.dovelet")).unwrap();
            store = open(root);
        }
    }
    assert!(store.remove(&other, &moved).unwrap());
    store.sync().unwrap();
    let scanned = store.scan(&other).unwrap();
    assert_eq!(
        (scanned.found.len(), scanned.state.uid_next.number()),
        (1, 9)
    );
    store.settle(&other).unwrap();
    let text = fs::read_to_string(root.join("a/b")).unwrap();
    assert!(
        !text.contains("text of 2") && text.contains("X-Status:  F  "),
        "{text}"
    );
    store.rename(&other, &name("c")).unwrap();
    assert!(!root.join("a").exists());
    assert_eq!(shown(&mut store, "c"), all[..1]);
    store.delete(&name("c")).unwrap();
    assert_eq!(store.mailboxes().unwrap(), [inbox]);
}

#[test]
fn mailboxes_have_mailboxes_below() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    for mailbox in ["a", "a/b", "a/b/c", "INBOX/x", "d/e", "d"] {
        store.create(&name(mailbox)).unwrap();
        save(&mut store, mailbox, &message(1), 1);
    }
    let names = |store: &mut Mbox| {
        let names = store.mailboxes().unwrap().into_iter();
        names.map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&mut store),
        ["INBOX", "INBOX/x", "a", "a/b", "a/b/c", "d", "d/e"]
    );
    for mailbox in ["a", "a/b", "a/b/c", "INBOX/x", "d/e", "d"] {
        save(&mut store, mailbox, &message(2), 2);
        assert_eq!(uids(&mut store, mailbox), [1, 2], "{mailbox}");
    }
    store.rename(&name("a/b"), &name("a/b/c/d")).unwrap();
    assert_eq!(uids(&mut store, "a/b/c/d"), [1, 2]);
    assert!(matches!(
        store.scan(&name("a/b")),
        Err(Error::NoSuchMailbox)
    ));
    for gone in ["a/b/c/d", "a/b/c", "d/e"] {
        store.delete(&name(gone)).unwrap();
    }
    assert_eq!(names(&mut store), ["INBOX", "INBOX/x", "a", "d"]);
    // What would be above is a file, or not there.
    for none in ["d/x", "d/x/y", "z/x"] {
        let deleted = store.delete(&name(none));
        assert!(matches!(deleted, Err(Error::NoSuchMailbox)), "{none}");
    }
    // What a process left that was killed while a file became a directory.
    drop(store);
    fs::rename(root.join("a"), root.join(".dovelet-grow-a")).unwrap();
    assert_eq!(uids(&mut open(root), "a"), [1, 2]);
}

#[test]
fn what_others_append_and_change_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let inbox = root.join("inbox");
    let mut store = open(root);
    save(&mut store, "INBOX", &message(1), 1);
    save(&mut store, "INBOX", &message(2), 2);
    let stamp = store.stamp(&MailboxName::inbox()).unwrap();
    store.settle(&MailboxName::inbox()).unwrap();
    assert_eq!(
        store.stamp(&MailboxName::inbox()).unwrap(),
        stamp,
        "own changes"
    );
    append(&inbox, &foreign(3));
    assert_ne!(store.stamp(&MailboxName::inbox()).unwrap(), stamp);
    assert_eq!(uids(&mut store, "INBOX"), [1, 2, 3]);
    let four = save(&mut store, "INBOX", &message(4), 4);
    store.settle(&MailboxName::inbox()).unwrap();
    // Another program changes flags, takes a message out and leaves no UIDs.
    let text = fs::read_to_string(&inbox).unwrap();
    let lines = text.split_inclusive('\n');
    let plain: String = lines.filter(|line| !line.starts_with("X-UID")).collect();
    let from = plain.find("From ").unwrap();
    let second = from + 5 + plain[from + 5..].find("From ").unwrap();
    let plain = plain[second..].replacen("Status:   \n", "Status: RO\n", 1);
    fs::write(&inbox, plain).unwrap();
    let seen = SystemFlags::SEEN.bits();
    let found = shown(&mut store, "INBOX").into_iter();
    let found: Vec<_> = found.map(|m| (m.0, m.1)).collect();
    assert_eq!(found, [(2, seen), (3, 0), (4, 0)]);
    assert_eq!(
        read(&mut store, "INBOX", &four).unwrap(),
        message(4).replace('\r', "")
    );
    store.settle(&MailboxName::inbox()).unwrap();
    drop(store);
    fs::remove_dir_all(root.join(".imap/.dovelet")).unwrap();
    let found = shown(&mut open(root), "INBOX").into_iter();
    let found: Vec<_> = found.map(|m| (m.0, m.1)).collect();
    assert_eq!(found, [(2, seen), (3, 0), (4, 0)]);
}

#[test]
fn a_scan_finds_what_another_handle_is_about_to_sync() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, mut other) = (open(directory.path()), open(directory.path()));
    save(&mut store, "INBOX", &message(1), 1);
    assert_eq!(uids(&mut other, "INBOX"), [1]);
    let mut draft = store.stage().unwrap();
    draft.write(message(2).as_bytes()).unwrap();
    let new = filing(2, SystemFlags::FLAGGED);
    let inbox = MailboxName::inbox();
    let blob = store.commit(&mut *draft, &inbox, &new).unwrap();
    let scanned = other.scan(&inbox).unwrap();
    assert_eq!(scanned.state.uid_next.number(), 3);
    let found: Vec<_> = scanned.found.iter().map(|f| (f.uid, f.listed)).collect();
    assert_eq!(found, [(Uid::new(1), true), (Uid::new(2), false)]);
    assert_eq!(scanned.found[1].blob, blob);
    store.sync().unwrap();
    assert_eq!(uids(&mut other, "INBOX"), [1, 2]);
    other.remove(&inbox, &blob).unwrap();
    other.sync().unwrap();
    assert_eq!(uids(&mut store, "INBOX"), [1]);
}

#[test]
fn a_file_that_was_closed_meanwhile_is_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let inbox = MailboxName::inbox();
    save(&mut store, "INBOX", &message(1), 1);
    let stamp = store.stamp(&inbox).unwrap();
    for mailbox in ["a", "b", "c", "d"] {
        store.create(&name(mailbox)).unwrap();
        store.stamp(&name(mailbox)).unwrap();
    }
    assert_eq!(store.stamp(&inbox).unwrap(), stamp, "many were looked at");
    drop(store);
    store = open(directory.path());
    assert_eq!(store.stamp(&inbox).unwrap(), stamp, "opened again");
    store.settle(&inbox).unwrap();
    let text = fs::read_to_string(directory.path().join("inbox")).unwrap();
    assert!(text.contains(" 0000000001"), "the last UID: {text}");
    append(&directory.path().join("inbox"), &foreign(2));
    drop(store);
    store = open(directory.path());
    assert_ne!(store.stamp(&inbox).unwrap(), stamp);
    assert_eq!(uids(&mut store, "INBOX"), [1, 2]);
}

#[test]
fn nothing_is_lost_where_handles_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let (root, inbox) = (directory.path(), MailboxName::inbox());
    let mut store = open(root);
    for number in 1..=3 {
        save(&mut store, "INBOX", &message(number), number);
    }
    drop(store);
    let own = |store: &mut Mbox, uid| {
        let found = store.scan(&inbox).unwrap().found;
        let own = found.into_iter().find(|f| f.uid == Uid::new(uid));
        own.unwrap().blob
    };
    let change = &|uid| {
        let mut flags = SystemFlags::NONE;
        for round in 0..150 {
            let mut store = open(root);
            let blob = own(&mut store, uid);
            assert_eq!(blob.flags, flags, "UID {uid}, round {round}");
            flags = [SystemFlags::FLAGGED, SystemFlags::NONE][round % 2];
            store.mark(&inbox, &blob, flags, 0).unwrap();
            store.sync().unwrap();
            if round % 5 == 0 {
                let _ = store.settle(&inbox);
            }
        }
    };
    std::thread::scope(|scope| (1..=2).for_each(|uid| drop(scope.spawn(move || change(uid)))));
}

#[test]
fn a_pseudo_message_stays_and_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let pseudo = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nDate: 01 Jan 1970 00:00:00 +0000\n\
        From: Mail System Internal Data <MAILER-DAEMON@h>\n\
        Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1234567890 0000000041 $Foo\n\
        Status: RO\n\nThis text is part of the internal format of your mail folder.\n\n";
    fs::write(root.join("inbox"), format!("{pseudo}{}", foreign(1))).unwrap();
    let mut store = open(root);
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    assert_eq!(scanned.state.uid_validity.number(), 1_234_567_890);
    assert_eq!(scanned.state.keywords.len(), 1);
    assert_eq!(uids(&mut store, "INBOX"), [42]);
    let blob = save(&mut store, "INBOX", &message(2), 43);
    store.settle(&MailboxName::inbox()).unwrap();
    let text = fs::read_to_string(root.join("inbox")).unwrap();
    assert!(text.contains("X-IMAP: 1234567890 0000000043 $Foo") && !text.contains("X-IMAPbase"));
    store.remove(&MailboxName::inbox(), &blob).unwrap();
    let first = scanned.found[0].blob.clone();
    store.remove(&MailboxName::inbox(), &first).unwrap();
    store.sync().unwrap();
    store.settle(&MailboxName::inbox()).unwrap();
    let text = fs::read_to_string(root.join("inbox")).unwrap();
    assert!(
        text.ends_with("mail folder.\n\n") && text.contains("DON'T DELETE"),
        "{text}"
    );
    drop(store);
    fs::remove_dir_all(root.join(".imap/.dovelet")).unwrap();
    let scanned = open(root).scan(&MailboxName::inbox()).unwrap();
    assert_eq!(
        (scanned.found.len(), scanned.state.uid_next.number()),
        (0, 44)
    );
}

#[test]
fn lines_that_end_with_crlf_do_so_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let inbox = root.join("inbox");
    fs::write(&inbox, foreign(1).replace('\n', "\r\n")).unwrap();
    let mut store = open(root);
    let found = store.scan(&MailboxName::inbox()).unwrap().found;
    save(&mut store, "INBOX", &message(2), 2);
    store
        .mark(&MailboxName::inbox(), &found[0].blob, SystemFlags::SEEN, 0)
        .unwrap();
    store.sync().unwrap();
    store.settle(&MailboxName::inbox()).unwrap();
    let text = fs::read_to_string(&inbox).unwrap();
    assert_eq!(
        text.matches('\n').count(),
        text.matches("\r\n").count(),
        "{text}"
    );
    drop(store);
    fs::remove_dir_all(root.join(".imap/.dovelet")).unwrap();
    let found = shown(&mut open(root), "INBOX");
    let seen = SystemFlags::SEEN.bits();
    assert_eq!(found, [(1, seen, 0, message(1)), (2, 0, 0, message(2))]);
}

#[test]
fn what_is_written_by_half_is_taken_out() {
    for cut in 1..400 {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut store = open(root);
        save(&mut store, "INBOX", &message(1), 1);
        let before = fs::read(root.join("inbox")).unwrap().len();
        let mut draft = store.stage().unwrap();
        draft.write(message(2).as_bytes()).unwrap();
        let new = filing(2, SystemFlags::NONE);
        store
            .commit(&mut *draft, &MailboxName::inbox(), &new)
            .unwrap();
        drop((store, draft));
        let whole = fs::read(root.join("inbox")).unwrap();
        for zeros in [false, true] {
            let mut torn = whole.clone();
            let place = before + cut;
            if place >= whole.len() - 1 {
                return;
            }
            match zeros {
                true => torn[place..].fill(0),
                false => torn.truncate(place),
            }
            fs::write(root.join("inbox"), &torn).unwrap();
            let mut store = open(root);
            assert_eq!(uids(&mut store, "INBOX"), [1], "{cut} {zeros}");
            let next = 3 + u32::from(zeros);
            save(&mut store, "INBOX", &message(next), next);
            assert_eq!(uids(&mut store, "INBOX"), [1, next], "{cut} {zeros}");
            let blob = store
                .scan(&MailboxName::inbox())
                .unwrap()
                .found
                .remove(1)
                .blob;
            store.remove(&MailboxName::inbox(), &blob).unwrap();
            store.sync().unwrap();
            store.settle(&MailboxName::inbox()).unwrap();
        }
    }
}

#[test]
fn files_of_others_are_taken_over_with_their_uids() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let base = "Subject: 1\nX-IMAPbase: 1234567890 0000000009 $Foo\nX-UID: 7\nStatus: RO\n";
    let known = foreign(1).replace("Subject: 1\n", base);
    fs::write(root.join("inbox"), format!("{known}{}", foreign(2))).unwrap();
    fs::create_dir(root.join("a")).unwrap();
    fs::write(root.join("a/b"), foreign(3)).unwrap();
    assert!(super::is_there(root));
    for dry in [true, false] {
        let mut told = Vec::new();
        let found = super::adopt(root, None, dry, &mut |one| {
            told.push((one.name.to_string(), one.messages, one.uid_next));
        });
        assert_eq!(found.unwrap().mailboxes.len(), 2);
        assert_eq!(told, [("INBOX".into(), 2, 11), ("a/b".into(), 1, 2)]);
        assert_eq!(root.join(".imap/.dovelet").exists(), !dry);
    }
    let mut store = open(root);
    let state = store.scan(&MailboxName::inbox()).unwrap().state;
    assert_eq!(state.uid_validity.number(), 1_234_567_890);
    assert_eq!(uids(&mut store, "INBOX"), [7, 10]);
    fs::write(root.join("a/b"), "no messages\n").unwrap();
    assert!(matches!(
        store.scan(&name("a/b")),
        Err(Error::Corrupt { .. })
    ));
}

/// A file that Dovecot knows, or is to have, says UIDVALIDITY and which UIDs were given when the last message went.
#[test]
fn a_mailbox_that_is_emptied_keeps_its_uids_for_dovecot() {
    for (known, hands_over) in [(true, false), (false, true), (false, false)] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut store = open(root);
        store.create(&name("a/b")).unwrap();
        let blob = save(&mut store, "a/b", &message(1), 4);
        let before = store.scan(&name("a/b")).unwrap().state;
        if known {
            fs::create_dir_all(root.join("a/.imap/b")).unwrap();
            fs::write(root.join("a/.imap/b/dovecot.index.log"), "").unwrap();
        }
        store.remove(&name("a/b"), &blob).unwrap();
        store.sync().unwrap();
        store.settle(&name("a/b")).unwrap();
        if hands_over {
            drop(store);
            let found = super::hand_back(root, None, false, &mut |_| ()).unwrap();
            assert!(found.obstacles.is_empty(), "{found:?}");
            store = open(root);
        }
        let text = fs::read_to_string(root.join("a/b")).unwrap();
        let speaks = known || hands_over;
        let value = format!("X-IMAP: {:010} 0000000004 ", before.uid_validity);
        assert_eq!(text.contains(&value), speaks, "{text}");
        assert!(speaks || text.is_empty(), "{text}");
        if !speaks {
            continue;
        }
        drop(store);
        // By the file alone.
        fs::remove_dir_all(root.join(".imap/.dovelet")).unwrap();
        store = open(root);
        let after = store.scan(&name("a/b")).unwrap();
        assert!(after.found.is_empty(), "{after:?}");
        let state = (after.state.uid_validity, after.state.uid_next);
        assert_eq!(state, (before.uid_validity, before.uid_next));
        save(&mut store, "a/b", &message(2), 9);
        store.settle(&name("a/b")).unwrap();
        let text = fs::read_to_string(root.join("a/b")).unwrap();
        let value = format!("X-IMAP: {:010} 0000000009 ", before.uid_validity);
        assert!(
            text.contains(&value) && text.contains("Subject: 2"),
            "{text}"
        );
        assert_eq!(uids(&mut store, "a/b"), [9]);
    }
}

#[test]
fn mailboxes_that_dovecot_calls_otherwise_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    for mailbox in ["a/b", "a", "c"] {
        store.create(&name(mailbox)).unwrap();
    }
    drop(store);
    let lost = |found: crate::store::Adoption| -> Vec<String> {
        let some = found.mailboxes.into_iter().filter(|m| !m.lost.is_empty());
        some.map(|m| format!("{}: {}", m.name, m.lost.join(", ")))
            .collect()
    };
    let found = super::hand_back(root, None, true, &mut |_| ()).unwrap();
    let told = "a: its name: with mailboxes below it, Dovecot calls it a/mBoX-MeSsAgEs";
    assert_eq!(lost(found), [told]);
    let found = super::adopt(root, None, true, &mut |_| ()).unwrap();
    assert_eq!(lost(found), [""; 0]);
}

#[test]
fn a_file_of_something_else_keeps_nobody_from_being_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("inbox"), foreign(1)).unwrap();
    fs::write(root.join("a"), "notes of mine\n").unwrap();
    fs::write(root.join("b"), foreign(2)).unwrap();
    let told = format!("{}: no file of messages", root.join("a").display());
    for dry in [true, false] {
        let found = super::adopt(root, None, dry, &mut |_| ()).unwrap();
        let names: Vec<String> = found.mailboxes.iter().map(|m| m.name.to_string()).collect();
        assert_eq!(names, ["INBOX", "b"]);
        assert!(matches!(found.lost.as_slice(), [one] if one.starts_with(&told)));
        assert!(found.obstacles.is_empty());
    }
    let there = fs::read_to_string(root.join("a")).unwrap();
    assert_eq!(there, "notes of mine\n");
    let found = super::hand_back(root, None, false, &mut |_| ()).unwrap();
    assert_eq!(found.mailboxes.len(), 2);
}

/// Nothing but the log says that date.
#[test]
fn a_save_date_of_elsewhere_outlives_who_is_killed_once_the_file_has_the_message() {
    let directory = tempfile::tempdir().unwrap();
    let (root, left) = (directory.path().join("mail"), directory.path().join("left"));
    let mut store = open(&root);
    let mut draft = store.stage().unwrap();
    draft.write(message(1).as_bytes()).unwrap();
    draft.date(1_000_000_000).unwrap();
    draft.identify(Guid([1; 16]), Some(1_234_567_890)).unwrap();
    let inbox = MailboxName::inbox();
    store.save(&mut *draft, &inbox).unwrap();
    let new = filing(5, SystemFlags::SEEN);
    store.commit(&mut *draft, &inbox, &new).unwrap();
    // As the system has it, whatever becomes of the process.
    copy_tree(&root, &left);
    let found = open(&left).scan(&inbox).unwrap().found;
    let [one] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(one.uid, Uid::new(5));
    assert_eq!(saved(&one.blob.name), Some(1_234_567_890));
}
