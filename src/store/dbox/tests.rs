use super::Dbox;
use super::framing::MAX_METADATA;
use crate::mail::{Guid, MailboxName, SystemFlags, Uid};
use crate::store::{BlobId, Compaction, Error, Filing, Selection, Store};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

const ROTATE: u32 = 64 * 1024;

fn open(root: &Path) -> Dbox {
    Dbox::mdbox(root, None, ROTATE).unwrap()
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

fn save(store: &mut Dbox, mailbox: &str, text: &str, uid: u32) -> BlobId {
    let mut draft = store.stage().unwrap();
    draft.write(text.as_bytes()).unwrap();
    draft.date(1_000_000_000).unwrap();
    store.save(&mut *draft, &name(mailbox)).unwrap();
    let new = filing(uid, SystemFlags::NONE);
    let blob = store.commit(&mut *draft, &name(mailbox), &new).unwrap();
    store.sync().unwrap();
    blob
}

fn read_in(store: &mut Dbox, mailbox: &str, blob: &BlobId) -> Result<String, Error> {
    let mut blob = store.open(&name(mailbox), blob)?;
    assert_eq!(blob.internal_date, 1_000_000_000);
    let mut text = String::new();
    blob.body.read_to_string(&mut text)?;
    Ok(text)
}

/// UID, flags and text of all messages.
fn shown(store: &mut Dbox, mailbox: &str) -> Vec<(u32, u8, String)> {
    let found = store.scan(&name(mailbox)).unwrap().found.into_iter();
    let shown = found.map(|f| {
        let text = read_in(store, mailbox, &f.blob).unwrap();
        (f.uid.unwrap().number(), f.blob.flags.bits(), text)
    });
    shown.collect()
}

fn files(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("storage")).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .filter(|name| name != "dovelet-number")
        .collect();
    names.sort();
    names
}

/// Every UID that has a file of its own.
fn singles(root: &Path, mailbox: &str) -> Vec<String> {
    let directory = root.join("mailboxes").join(mailbox).join("dbox-Mails");
    let entries = fs::read_dir(directory).unwrap().flatten();
    let names = entries.map(|e| e.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "dovelet.log").collect();
    names.sort();
    names
}

#[test]
fn messages_are_filed_copied_moved_marked_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    filed_copied_moved_marked_and_removed(root, open);
    assert_eq!(files(root), ["m.1"]);
    assert_eq!(singles(root, "INBOX"), [""; 0]);
}

#[test]
fn files_of_single_messages_are_where_messages_are() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    filed_copied_moved_marked_and_removed(root, sdbox);
    assert_eq!(singles(root, "INBOX"), ["u.1"]);
    assert!(!root.join("storage").exists());
}

fn filed_copied_moved_marked_and_removed(root: &Path, open: fn(&Path) -> Dbox) {
    let mut store = open(root);
    store.create(&name("a/b")).unwrap();
    let one = save(&mut store, "INBOX", "one\r\n\r\nx\r\n", 1);
    let two = save(&mut store, "INBOX", "two\r\n\r\n", 2);
    assert_eq!(store.wire_octets(&one), Some(10));
    assert_eq!(store.wire_octets(&two), Some(7));
    let (inbox, other) = (MailboxName::inbox(), name("a/b"));
    let copy = store
        .copy(&inbox, &one, &other, &filing(7, SystemFlags::SEEN))
        .unwrap();
    let moved = store
        .transfer(&inbox, &two, &other, &filing(8, SystemFlags::NONE))
        .unwrap();
    // It is not carried twice.
    let again = store.transfer(&inbox, &two, &other, &filing(9, SystemFlags::NONE));
    assert!(matches!(again, Err(Error::NoSuchMessage)));
    store.sync().unwrap();
    let (marked, renamed) = store.mark(&other, &copy, SystemFlags::FLAGGED, 5).unwrap();
    assert!(!renamed && marked.letters == 5);
    store.sync().unwrap();
    drop(store);
    let mut store = open(root);
    let flagged = SystemFlags::FLAGGED.bits();
    let all = [
        (7, flagged, "one\n\nx\n".to_owned()),
        (8, 0, "two\n\n".to_owned()),
    ];
    assert_eq!(shown(&mut store, "a/b"), all);
    assert_eq!(
        shown(&mut store, "INBOX"),
        [(1, 0, "one\n\nx\n".to_owned())]
    );
    assert!(store.remove(&other, &moved).unwrap());
    store.sync().unwrap();
    let scanned = store.scan(&other).unwrap();
    assert_eq!(
        (scanned.found.len(), scanned.state.uid_next.number()),
        (1, 9)
    );
    store.rename(&other, &name("c")).unwrap();
    assert!(!root.join("mailboxes/a").exists());
    let mut in_c = store.scan(&name("c")).unwrap().found;
    let blob = in_c.pop().unwrap().blob;
    assert_eq!(read_in(&mut store, "c", &blob).unwrap(), all[0].2);
    store.delete(&name("c")).unwrap();
    assert_eq!(store.mailboxes().unwrap(), [inbox]);
}

#[test]
fn an_end_written_by_half_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    save(&mut store, "INBOX", "one\r\n", 1);
    drop(store);
    let append = |file: &str, bytes: &[u8]| {
        let path = root.join(file);
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    };
    let whole = fs::read(root.join("storage/m.1")).unwrap();
    append("storage/m.1", &whole[16..whole.len() - 3]);
    let mut store = open(root);
    save(&mut store, "INBOX", "two\r\n", 2);
    assert_eq!(files(root), ["m.1", "m.2"]);
    drop(store);
    // A line that was written by half.
    let log = root.join("mailboxes/INBOX/dbox-Mails/dovelet.log");
    let mut text = fs::read(&log).unwrap();
    let end = text.iter().position(|b| *b == 0).unwrap();
    text.truncate(end);
    text.extend_from_slice(b"1234abcd F :2, torn");
    text.resize(4096, 0);
    fs::write(&log, text).unwrap();
    let mut store = open(root);
    save(&mut store, "INBOX", "three\r\n", 3);
    assert_eq!(files(root), ["m.1", "m.2"]);
    let all: Vec<u32> = shown(&mut store, "INBOX")
        .iter()
        .map(|(uid, ..)| *uid)
        .collect();
    assert_eq!(all, [1, 2, 3]);
}

#[test]
fn files_are_rotated_and_large_messages_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let line = format!("{}\r\n", "x".repeat(998));
    for (at, lines) in [10, 70, 200, 1].into_iter().enumerate() {
        save(&mut store, "INBOX", &line.repeat(lines), at as u32 + 1);
    }
    assert_eq!(files(directory.path()), ["m.1", "m.2", "m.3", "m.4"]);
    let lengths = shown(&mut store, "INBOX")
        .into_iter()
        .map(|(.., text)| text.len());
    assert_eq!(lengths.collect::<Vec<_>>(), [9990, 69_930, 199_800, 999]);
    const { assert!(MAX_METADATA >= ROTATE as usize) };
}

fn purge(store: &mut Dbox) -> u32 {
    compact(store, Compaction::Purge)
}

/// What `compact` and the two steps after it say, until nothing is left.
fn compact(store: &mut Dbox, aim: Compaction) -> u32 {
    let mut gone = 0;
    let mut begins = Some(aim);
    while let Some(compacted) = store.compact(begins).unwrap() {
        begins = None;
        assert!(compacted.freed > 0);
        for name in &compacted.mailboxes {
            store.replace(name).unwrap();
        }
        gone += u32::from(store.discard().unwrap());
    }
    gone
}

#[test]
fn messages_lie_in_two_places_and_none_is_forgotten_where_one_is_not_mounted() {
    let (directory, slow) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (root, slow) = (directory.path(), slow.path().join("ann"));
    let open = || Dbox::mdbox(root, Some(&slow), ROTATE).unwrap();
    let mut store = open();
    store.create(&name("a")).unwrap();
    let long = format!("long\n{}", "x".repeat(2000));
    save(&mut store, "a", "short\n", 1);
    let blob = save(&mut store, "a", &long, 2);
    let copy = filing(1, SystemFlags::NONE);
    let inbox = MailboxName::inbox();
    store.copy(&name("a"), &blob, &inbox, &copy).unwrap();
    store.sync().unwrap();
    let before = (shown(&mut store, "a"), shown(&mut store, "INBOX"));
    let now = |store: &mut Dbox| (shown(store, "a"), shown(store, "INBOX"));
    let larger = Selection {
        larger: Some(1000),
        ..Selection::default()
    };
    assert_eq!(compact(&mut store, Compaction::Aside(larger)), 1);
    assert_eq!(now(&mut store), before);
    assert_eq!(files(&slow), ["m.3"]);
    assert_eq!(files(root), ["dovelet-alternate", "m.2"]);
    // Nothing is left to do, and what is there is no waste.
    assert_eq!(compact(&mut store, Compaction::Aside(larger)), 0);
    assert_eq!(purge(&mut store), 0);
    drop(store);
    // Its numbers are not given again while nobody can see them.
    let storage = slow.join("storage");
    let away = slow.join("away");
    fs::rename(&storage, &away).unwrap();
    let mut store = open();
    let found = store.scan(&name("a")).unwrap().found;
    assert_eq!(found.len(), 2);
    let gone = store.open(&name("a"), &found[1].blob);
    assert!(matches!(gone, Err(Error::Io(_))), "it is told as gone");
    let mut draft = store.stage().unwrap();
    draft.write(b"new\n").unwrap();
    let new = filing(3, SystemFlags::NONE);
    assert!(store.commit(&mut *draft, &name("a"), &new).is_err());
    drop((draft, store));
    fs::rename(&away, &storage).unwrap();
    let mut store = open();
    assert_eq!(now(&mut store), before);
    let old = Selection {
        before: Some(1_000_000_001),
        ..Selection::default()
    };
    let none = Selection {
        before: Some(1_000_000_000),
        ..Selection::default()
    };
    assert_eq!(compact(&mut store, Compaction::Back(none)), 0);
    assert_eq!(compact(&mut store, Compaction::Back(old)), 1);
    assert_eq!(now(&mut store), before);
    assert!(files(&slow).is_empty());
    save(&mut store, "a", "new\n", 3);
}

/// It aborted the process.
#[test]
fn a_log_without_bounds_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    save(&mut store, "INBOX", "one\n", 1);
    drop(store);
    let log = root.join("mailboxes/INBOX/dbox-Mails/dovelet.log");
    let file = fs::File::options().append(true).open(log).unwrap();
    file.set_len(1 << 40).unwrap();
    let line = b"no line\n";
    std::os::unix::fs::FileExt::write_all_at(&file, line, (1 << 40) - 8).unwrap();
    let refused =
        Dbox::mdbox(root, None, ROTATE).and_then(|mut store| store.scan(&MailboxName::inbox()));
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
}

/// Their messages were taken for such that nobody has.
#[test]
fn mailboxes_without_a_name_keep_a_purge_from_all_files() {
    let deep = ["d"; MailboxName::MAX_DEPTH + 1].join("/");
    for stray in ["Entw\u{fc}rfe", "a&", "a.\u{7}", deep.as_str()] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut store = open(root);
        store.create(&name("a")).unwrap();
        save(&mut store, "a", "one\r\n", 1);
        store.sync().unwrap();
        let mailboxes = root.join("mailboxes");
        let to = mailboxes.join(stray);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(mailboxes.join("a"), &to).unwrap();
        let mut store = open(root);
        assert!(store.compact(Some(Compaction::Purge)).is_err(), "{stray}");
        std::fs::rename(&to, mailboxes.join("a")).unwrap();
        assert_eq!(purge(&mut store), 0);
        assert_eq!(shown(&mut store, "a").len(), 1);
    }
}

#[test]
fn purged_files_keep_what_some_mailbox_has() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    store.create(&name("a")).unwrap();
    let (inbox, other) = (MailboxName::inbox(), name("a"));
    let line = format!("{}\r\n", "x".repeat(998));
    let blobs: Vec<BlobId> = (1..=9)
        .map(|uid| {
            save(
                &mut store,
                "INBOX",
                &format!("{uid}\r\n{}", line.repeat(20)),
                uid,
            )
        })
        .collect();
    assert_eq!(files(root), ["m.1", "m.2", "m.3"]);
    store
        .copy(&inbox, &blobs[1], &other, &filing(1, SystemFlags::SEEN))
        .unwrap();
    for gone in [1, 2, 3, 4, 5] {
        store.remove(&inbox, &blobs[gone]).unwrap();
    }
    store.sync().unwrap();
    // Saved, but not filed yet.
    let mut draft = store.stage().unwrap();
    let late = line.repeat(70);
    draft.write(late.as_bytes()).unwrap();
    draft.date(1_000_000_000).unwrap();
    store.save(&mut *draft, &inbox).unwrap();
    let before = (shown(&mut store, "INBOX"), shown(&mut store, "a"));
    assert_eq!(purge(&mut store), 2);
    assert_eq!((shown(&mut store, "INBOX"), shown(&mut store, "a")), before);
    assert_eq!(purge(&mut store), 0);
    store
        .commit(&mut *draft, &inbox, &filing(10, SystemFlags::NONE))
        .unwrap();
    store.sync().unwrap();
    drop((draft, store));
    let mut store = open(root);
    let mut all = before.0;
    all.push((10, 0, late.replace("\r\n", "\n")));
    assert_eq!(shown(&mut store, "INBOX"), all);
    assert_eq!(shown(&mut store, "a"), before.1);
    assert_eq!(files(root), ["m.3", "m.4", "m.5"]);
    // A copy made while the purge is at the file keeps it.
    let found = store.scan(&inbox).unwrap().found;
    store.remove(&inbox, &found[1].blob).unwrap();
    store.sync().unwrap();
    let compacted = store.compact(Some(Compaction::Purge)).unwrap().unwrap();
    store
        .copy(
            &inbox,
            &found[2].blob,
            &other,
            &filing(2, SystemFlags::NONE),
        )
        .unwrap();
    compacted
        .mailboxes
        .iter()
        .for_each(|name| drop(store.replace(name).unwrap()));
    assert!(!store.discard().unwrap());
    assert_eq!(shown(&mut store, "a").len(), 2);
}

#[test]
fn the_number_of_a_file_that_is_gone_is_given_to_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    let one = save(&mut store, "INBOX", "one\r\n", 1);
    drop(store);
    let (first, aside) = (root.join("storage/m.1"), root.join("aside"));
    fs::rename(&first, &aside).unwrap();
    let mut store = open(root);
    save(&mut store, "INBOX", "two\r\n", 2);
    assert_eq!(files(root), ["m.2"]);
    drop(store);
    fs::rename(&aside, &first).unwrap();
    let mut store = open(root);
    assert_eq!(read_in(&mut store, "INBOX", &one).unwrap(), "one\n");
    drop(store);
    // A tree of a release that did not note numbers, and what was noted is of an older backup.
    for noted in [None, Some("1\n"), Some("nonsense")] {
        let last = files(root).pop().unwrap();
        let number: u32 = last.strip_prefix("m.").unwrap().parse().unwrap();
        fs::remove_file(root.join("storage").join(&last)).unwrap();
        match noted {
            None => fs::remove_file(root.join("storage/dovelet-number")).unwrap(),
            Some(text) => fs::write(root.join("storage/dovelet-number"), text).unwrap(),
        }
        let mut store = open(root);
        store.scan(&MailboxName::inbox()).unwrap();
        let line = format!("{}\r\n", "x".repeat(998));
        save(&mut store, "INBOX", &line.repeat(70), number + 1);
        assert_eq!(files(root).pop(), Some(format!("m.{}", number + 1)));
    }
}

#[test]
fn a_last_file_that_cannot_be_read_keeps_no_mail_from_coming() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    save(&mut store, "INBOX", "one\r\n", 1);
    drop(store);
    let last = root.join("storage/m.1");
    fs::remove_file(&last).unwrap();
    fs::create_dir(&last).unwrap();
    let mut store = open(root);
    let two = save(&mut store, "INBOX", "two\r\n", 2);
    assert_eq!(files(root), ["m.1", "m.2"]);
    assert_eq!(read_in(&mut store, "INBOX", &two).unwrap(), "two\n");
}

#[test]
fn a_lost_log_is_made_of_what_the_files_tell() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    store.create(&name("a")).unwrap();
    save(&mut store, "INBOX", "one\r\n", 1);
    let two = save(&mut store, "a", "two\r\n", 4);
    save(&mut store, "a", "three\r\n", 5);
    let (inbox, other) = (MailboxName::inbox(), name("a"));
    store
        .transfer(&other, &two, &inbox, &filing(2, SystemFlags::SEEN))
        .unwrap();
    store.sync().unwrap();
    let validity = store.scan(&other).unwrap().state.uid_validity;
    drop(store);
    let log = root.join("mailboxes/a/dbox-Mails/dovelet.log");
    fs::remove_file(&log).unwrap();
    // Where Dovecot knows UIDs and flags, none are invented.
    let map = root.join("storage/dovecot.map.index");
    fs::write(&map, "").unwrap();
    let refused = open(root).scan(&other).unwrap_err().to_string();
    assert!(refused.contains("a is Dovecot's"), "{refused}");
    assert!(!log.exists());
    assert_eq!(shown(&mut open(root), "INBOX").len(), 2);
    fs::remove_file(&map).unwrap();
    let mut store = open(root);
    assert_eq!(shown(&mut store, "a"), [(1, 0, "three\n".to_owned())]);
    assert!(store.scan(&other).unwrap().state.uid_validity > validity);
    drop(store);
    fs::remove_dir_all(root.join("mailboxes")).unwrap();
    let mut store = open(root);
    let texts = shown(&mut store, "INBOX")
        .into_iter()
        .map(|(.., text)| text);
    assert_eq!(texts.collect::<Vec<_>>(), ["one\n", "two\n", "three\n"]);
}

fn sdbox(root: &Path) -> Dbox {
    Dbox::sdbox(root).unwrap()
}

fn log_of(root: &Path) -> std::path::PathBuf {
    root.join("mailboxes/INBOX/dbox-Mails/dovelet.log")
}

/// What was acknowledged later stood behind the gap, where nobody read it.
#[test]
fn a_gap_in_a_log_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    save(&mut store, "INBOX", "one\r\n", 1);
    let log = log_of(root);
    drop(store);
    let lines = fs::read(&log).unwrap();
    let end = lines.iter().position(|b| *b == 0).unwrap();
    for (last, gap) in [(2, 1), (3, 512), (4, 70_000)] {
        // A power cut left a later sector and lost an earlier one.
        let mut cut = lines.clone();
        cut.truncate(end);
        cut.resize(end + gap, 0);
        cut.extend_from_slice(lines.get(..end).unwrap());
        fs::write(&log, &cut).unwrap();
        let mut store = open(root);
        let known = shown(&mut store, "INBOX").len() as u32;
        save(&mut store, "INBOX", "two\r\n", known + 1);
        drop(store);
        let mut store = open(root);
        let uids: Vec<u32> = shown(&mut store, "INBOX").iter().map(|m| m.0).collect();
        // What else this log said before it was put back is in frames.
        assert!(uids.iter().copied().eq(1..=last), "{gap}: {uids:?}");
        assert_eq!(purge(&mut store), 0, "nothing is damaged");
    }
}

#[test]
fn names_of_files_tell_what_a_lost_log_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let inbox = MailboxName::inbox();
    let mut store = sdbox(root);
    let blobs: Vec<BlobId> = (1..=4)
        .map(|uid| save(&mut store, "INBOX", &format!("{uid}\r\n"), uid))
        .collect();
    store.remove(&inbox, &blobs[1]).unwrap();
    store.mark(&inbox, &blobs[2], SystemFlags::SEEN, 0).unwrap();
    store.sync().unwrap();
    drop(store);
    let text = fs::read(log_of(root)).unwrap();
    let line = memchr::memmem::find(&text, b",U=4").unwrap();
    let start = text[..line].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let end = line + text[line..].iter().position(|b| *b == b'\n').unwrap() + 1;
    let without = [&text[..start], &text[end..]].concat();
    fs::write(log_of(root), without).unwrap();
    // Somebody put a part of one there, and what was expunged is there still.
    let directory = root.join("mailboxes/INBOX/dbox-Mails");
    let whole = fs::read(directory.join("u.4")).unwrap();
    fs::write(directory.join("u.9"), &whole[..whole.len() - 1]).unwrap();
    fs::write(directory.join("u.2"), &whole).unwrap();
    let seen = SystemFlags::SEEN.bits();
    let all = [
        (1, 0, "1\n".to_owned()),
        (3, seen, "3\n".to_owned()),
        (4, 0, "4\n".to_owned()),
    ];
    let mut store = sdbox(root);
    assert_eq!(shown(&mut store, "INBOX"), all);
    let state = store.scan(&inbox).unwrap().state;
    assert_eq!(state.uid_next.number(), 10);
    assert_eq!(singles(root, "INBOX"), ["u.1", "u.3", "u.4", "u.9"]);
    drop(store);
    fs::remove_file(log_of(root)).unwrap();
    let mut store = sdbox(root);
    let uids: Vec<u32> = shown(&mut store, "INBOX").iter().map(|m| m.0).collect();
    assert_eq!(uids, [1, 3, 4]);
    let again = store.scan(&inbox).unwrap().state;
    assert!(again.uid_validity > state.uid_validity && again.uid_next == state.uid_next);
    drop(store);
    fs::remove_file(log_of(root)).unwrap();
    fs::write(directory.join("dovecot.index"), "").unwrap();
    let refused = sdbox(root).scan(&inbox).unwrap_err().to_string();
    assert!(refused.contains("INBOX is Dovecot's"), "{refused}");
    assert!(!log_of(root).exists());
}

#[test]
fn a_draft_is_in_many_mailboxes_and_none_is_left_over() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = sdbox(root);
    store.create(&name("a")).unwrap();
    let text = format!("{}\r\n", "x".repeat(998)).repeat(100);
    let mut draft = store.stage().unwrap();
    draft.write(text.as_bytes()).unwrap();
    draft.date(1_000_000_000).unwrap();
    for (mailbox, uid) in [("INBOX", 1), ("a", 5), ("a", 6)] {
        store.save(&mut *draft, &name("INBOX")).unwrap();
        let new = filing(uid, SystemFlags::NONE);
        store.commit(&mut *draft, &name(mailbox), &new).unwrap();
    }
    let mut other = store.stage().unwrap();
    other.write(b"left\r\n").unwrap();
    store.save(&mut *other, &name("INBOX")).unwrap();
    assert_eq!(singles(root, "INBOX").len(), 2);
    store.sync().unwrap();
    drop((draft, other, store));
    assert_eq!(singles(root, "INBOX"), ["u.1"]);
    let mut store = sdbox(root);
    let own = text.replace("\r\n", "\n");
    assert_eq!(shown(&mut store, "INBOX"), [(1, 0, own.clone())]);
    assert_eq!(shown(&mut store, "a"), [(5, 0, own.clone()), (6, 0, own)]);
}

/// A restore that is broken off goes on with the first message that has no file: none behind that may have one.
#[test]
fn files_of_what_was_saved_elsewhere_get_names_in_the_order_of_uids() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = sdbox(root);
    let inbox = MailboxName::inbox();
    for (uid, flags) in [
        (1, SystemFlags::SEEN),
        (2, SystemFlags::NONE),
        (3, SystemFlags::SEEN),
        (4, SystemFlags::NONE),
    ] {
        let mut draft = store.stage().unwrap();
        draft.write(b"a: b\r\n\r\n").unwrap();
        draft.date(1_000_000_000).unwrap();
        draft
            .identify(Guid([uid as u8; 16]), Some(1_000_000_000))
            .unwrap();
        store
            .commit(&mut *draft, &inbox, &filing(uid, flags))
            .unwrap();
    }
    let named = || {
        let mut names = singles(root, "INBOX");
        names.retain(|name| name.starts_with("u."));
        names
    };
    assert_eq!(named(), [""; 0]);
    // The third cannot have its name.
    let third = log_of(root).with_file_name("u.3");
    fs::create_dir(&third).unwrap();
    assert!(store.sync().is_err());
    assert_eq!(named(), ["u.1", "u.2", "u.3"]);
    fs::remove_dir(&third).unwrap();
    assert_eq!(store.untold(&inbox).unwrap(), None);
    store.sync_mailbox(&inbox).unwrap();
    assert_eq!(named(), ["u.1", "u.2", "u.3", "u.4"]);
}
