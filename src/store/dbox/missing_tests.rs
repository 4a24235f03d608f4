use super::Dbox;
use super::arrival::{BLOCK, MAX_BLANKS};
use super::framing::ARRIVAL;
use super::log::Log;
use super::walk::walk;
use crate::mail::{MailboxName, SystemFlags, Uid};
use crate::store::side::faults::{Failing, fail};
use crate::store::{BlobId, Compaction, Error, Filing, Store};
use rustix::io::Errno;
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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

fn try_save(store: &mut Dbox, mailbox: &str, text: &str, new: &Filing) -> Result<BlobId, Error> {
    let mut draft = store.stage()?;
    draft.write(text.as_bytes())?;
    draft.date(1_000_000_000)?;
    store.save(&mut *draft, &name(mailbox))?;
    let blob = store.commit(&mut *draft, &name(mailbox), new)?;
    store.sync()?;
    Ok(blob)
}

/// A message that was acknowledged.
fn save(store: &mut Dbox, mailbox: &str, uid: u32) -> BlobId {
    let text = format!("{mailbox} {uid}\r\n");
    try_save(store, mailbox, &text, &filing(uid, SystemFlags::NONE)).unwrap()
}

fn expunge(store: &mut Dbox, mailbox: &str, blob: &BlobId) {
    store.remove(&name(mailbox), blob).unwrap();
    store.sync().unwrap();
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// What a process leaves that is killed now, and all that is not durable is lost but for files of messages.
struct Left(tempfile::TempDir);

impl Left {
    fn of(root: &Path) -> Left {
        let left = tempfile::tempdir().unwrap();
        copy_tree(root, left.path());
        Left(left)
    }

    fn open(&self) -> Dbox {
        open(self.0.path())
    }

    fn log(&self, mailbox: &str) -> PathBuf {
        log_of(self.0.path(), mailbox)
    }
}

fn log_of(root: &Path, mailbox: &str) -> PathBuf {
    let path = format!("mailboxes/{mailbox}/dbox-Mails/dovelet.log");
    root.join(path)
}

/// Octets of a log without the NULs it ends with.
fn octets(log: &Path) -> usize {
    super::super::side::checked::end(&fs::read(log).unwrap())
}

/// What the index has for names, flags, text of all messages.
fn shown(store: &mut Dbox, mailbox: &str) -> Vec<(String, u8, String)> {
    let found = store.scan(&name(mailbox)).unwrap().found;
    let mut shown = Vec::new();
    for found in found {
        let mut text = String::new();
        let mut blob = store.open(&name(mailbox), &found.blob).unwrap();
        blob.body.read_to_string(&mut text).unwrap();
        shown.push((found.blob.name.into(), found.blob.flags.bits(), text));
    }
    shown
}

fn uids(store: &mut Dbox, mailbox: &str) -> Vec<u32> {
    let found = store.scan(&name(mailbox)).unwrap().found;
    found.iter().map(|f| f.uid.unwrap().number()).collect()
}

fn uid_next(store: &mut Dbox, mailbox: &str) -> u32 {
    let state = store.scan(&name(mailbox)).unwrap().state;
    state.uid_next.number()
}

#[test]
fn lines_that_a_log_lacks_are_found_in_frames() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    store.create(&name("a/b")).unwrap();
    let before = octets(&log_of(root, "INBOX"));
    save(&mut store, "INBOX", 1);
    save(&mut store, "a/b", 1);
    save(&mut store, "INBOX", 2);
    let marked = SystemFlags::SEEN.with(SystemFlags::DRAFT);
    try_save(&mut store, "a/b", "marked\r\n", &filing(7, marked)).unwrap();
    let mut since = store.stage().unwrap();
    since.write(b"since\r\n").unwrap();
    since
        .identify(crate::mail::Guid([3; 16]), Some(77))
        .unwrap();
    let new = filing(8, SystemFlags::NONE);
    store.commit(&mut *since, &name("a/b"), &new).unwrap();
    store.sync().unwrap();
    let left = Left::of(root);
    // One sync is enough: of what was acknowledged the log says nothing.
    assert_eq!(octets(&left.log("INBOX")), before);
    let again = Left::of(left.0.path());
    for mailbox in ["INBOX", "a/b"] {
        assert_eq!(shown(&mut left.open(), mailbox), shown(&mut store, mailbox));
    }
    assert_eq!(uids(&mut left.open(), "a/b"), [1, 7, 8]);
    assert!(octets(&left.log("a/b")) > before + 200);
    // What is found is durable, and found once.
    let end = octets(&left.log("a/b"));
    assert_eq!(uids(&mut left.open(), "a/b"), [1, 7, 8]);
    assert_eq!(octets(&left.log("a/b")), end);
    let mut other = again.open();
    assert_eq!(uid_next(&mut other, "INBOX"), 3);
    save(&mut other, "INBOX", 3);
    drop(other);
    assert_eq!(uids(&mut again.open(), "INBOX"), [1, 2, 3]);
}

#[test]
fn what_was_expunged_stays_so() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    store.create(&name("a")).unwrap();
    let one = save(&mut store, "INBOX", 1);
    let two = save(&mut store, "INBOX", 2);
    expunge(&mut store, "INBOX", &two);
    assert_eq!(uids(&mut Left::of(root).open(), "INBOX"), [1]);
    save(&mut store, "INBOX", 3);
    store
        .transfer(
            &name("INBOX"),
            &one,
            &name("a"),
            &filing(5, SystemFlags::NONE),
        )
        .unwrap();
    store.sync().unwrap();
    let kept = Left::of(root);
    let mut left = kept.open();
    assert_eq!(uids(&mut left, "INBOX"), [3]);
    assert_eq!(uids(&mut left, "a"), [5]);
    // A log that was written anew does not say any more what is gone.
    let scanned = store.scan(&name("INBOX")).unwrap();
    let lines = [(Uid::new(3).unwrap(), "")];
    store
        .record_all(&name("INBOX"), &scanned.state, &mut lines.iter())
        .unwrap();
    save(&mut store, "INBOX", 4);
    let kept = Left::of(root);
    let mut left = kept.open();
    assert_eq!(uids(&mut left, "INBOX"), [3, 4]);
}

#[test]
fn a_frame_that_is_not_whole_is_none_and_its_uid_is_not_given() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    save(&mut store, "INBOX", 1);
    save(&mut store, "INBOX", 2);
    for part in ["INBOX 2", "\nR3b9aca00"] {
        let left = Left::of(root);
        let path = left.0.path().join("storage/m.1");
        let text = fs::read(&path).unwrap();
        let at = memchr::memmem::rfind(&text, part.as_bytes()).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"?", at as u64 + 3).unwrap();
        assert_eq!(uids(&mut left.open(), "INBOX"), [1], "{part:?}");
        assert_eq!(uid_next(&mut left.open(), "INBOX"), 3, "{part:?}");
        // It is looked for no more.
        file.write_all_at(&text[at + 3..=at + 3], at as u64 + 3)
            .unwrap();
        assert_eq!(uids(&mut left.open(), "INBOX"), [1], "{part:?}");
    }
}

/// One that is longer than a buffer and stays in memory: its frame is written in pieces.
#[test]
fn a_large_message_needs_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Dbox::mdbox(root, None, 1 << 20).unwrap();
    let before = octets(&log_of(root, "INBOX"));
    let large = "large ".repeat(20_000) + "\r\n";
    save(&mut store, "INBOX", 1);
    try_save(&mut store, "INBOX", &large, &filing(2, SystemFlags::SEEN)).unwrap();
    save(&mut store, "INBOX", 3);
    let (left, torn) = (Left::of(root), Left::of(root));
    assert_eq!(octets(&left.log("INBOX")), before);
    let all = shown(&mut store, "INBOX");
    assert_eq!(all[1].2.len(), large.len() - 1);
    assert_eq!(shown(&mut left.open(), "INBOX"), all);
    let file = torn.0.path().join("storage/m.1");
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(b"?", 100_000).unwrap();
    assert_eq!(uids(&mut torn.open(), "INBOX"), [1, 3]);
}

#[test]
fn no_file_begins_before_the_lines_of_the_last_are_durable() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Dbox::mdbox(root, None, 900).unwrap();
    store.create(&name("a")).unwrap();
    for uid in 1..12 {
        save(&mut store, "INBOX", uid);
        save(&mut store, "a", uid);
        let kept = Left::of(root);
        let mut left = kept.open();
        let all: Vec<u32> = (1..=uid).collect();
        assert_eq!(uids(&mut left, "INBOX"), all, "{uid}");
        assert_eq!(uids(&mut left, "a"), all, "{uid}");
    }
    assert!(root.join("storage/m.4").exists());
}

/// Nobody opened the mailbox, which has another name by now, before the next file begins.
#[test]
fn lines_of_mailboxes_that_nobody_opened_are_found_before_another_file_begins() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    for mailbox in ["a", "b", "c", "d"] {
        store.create(&name(mailbox)).unwrap();
        save(&mut store, mailbox, 1);
    }
    save(&mut store, "INBOX", 1);
    let left = Left::of(root);
    let mut other = Dbox::mdbox(left.0.path(), None, 900).unwrap();
    other.rename(&name("a"), &name("e")).unwrap();
    other.delete(&name("b")).unwrap();
    other.rename(&name("c"), &name("b")).unwrap();
    for uid in 2..12 {
        save(&mut other, "INBOX", uid);
    }
    assert!(left.0.path().join("storage/m.3").exists());
    let kept = Left::of(left.0.path());
    let mut last = kept.open();
    for (mailbox, text) in [("e", "a 1\n"), ("b", "c 1\n"), ("d", "d 1\n")] {
        let shown = shown(&mut last, mailbox);
        assert_eq!(shown.len(), 1, "{mailbox}");
        assert_eq!(shown[0].2, text);
    }
    assert_eq!(uids(&mut last, "INBOX").len(), 11);
}

#[test]
fn messages_go_with_their_mailbox() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    for mailbox in ["a", "b"] {
        store.create(&name(mailbox)).unwrap();
        save(&mut store, mailbox, 1);
    }
    store.rename(&name("a"), &name("c")).unwrap();
    store.delete(&name("b")).unwrap();
    store.create(&name("b")).unwrap();
    save(&mut store, "c", 2);
    let kept = Left::of(root);
    let mut left = kept.open();
    assert_eq!(uids(&mut left, "c"), [1, 2]);
    assert_eq!(uids(&mut left, "b"), [0; 0]);
}

/// A power cut may leave less of a line than all, and then the next.
#[test]
fn a_line_behind_one_that_is_damaged_does_not_hide_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    for uid in 1..4 {
        save(&mut store, "INBOX", uid);
    }
    let before = shown(&mut store, "INBOX");
    let left = Left::of(root);
    let path = left.log("INBOX");
    let text = fs::read(&path).unwrap();
    let at = memchr::memmem::find(&text, b"U=2\n").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 20], at as u64 - 16).unwrap();
    assert_eq!(shown(&mut left.open(), "INBOX"), before);
}

#[test]
fn letters_and_large_messages_and_those_of_a_promise_have_lines() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    let inbox = name("INBOX");
    let lettered = Filing {
        letters: 1,
        ..filing(1, SystemFlags::NONE)
    };
    try_save(&mut store, "INBOX", "a\r\n", &lettered).unwrap();
    // More than one message may have in memory.
    let large = "x".repeat(300_000) + "\r\n";
    try_save(&mut store, "INBOX", &large, &filing(2, SystemFlags::NONE)).unwrap();
    let both = (Uid::new(3).unwrap(), Uid::new(4).unwrap());
    store.promise(&inbox, both).unwrap();
    save(&mut store, "INBOX", 3);
    let kept = Left::of(root);
    let mut left = kept.open();
    assert_eq!(uids(&mut left, "INBOX"), [1, 2, 3]);
    assert_eq!(left.promised(&inbox).unwrap(), [both]);
    let mut text = fs::read(root.join("storage/m.1")).unwrap();
    text.extend(fs::read(root.join("storage/m.2")).unwrap_or_default());
    let letter = [b'\n', ARRIVAL];
    assert_eq!(memchr::memmem::find_iter(&text, &letter).count(), 0);
}

/// The next frame would have that block written again.
#[test]
fn frames_that_come_alone_do_not_end_shortly_before_a_block_does() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    let before = octets(&log_of(root, "INBOX"));
    for uid in 1..=80 {
        let text = "x".repeat(7 * uid as usize) + "\r\n";
        try_save(&mut store, "INBOX", &text, &filing(uid, SystemFlags::NONE)).unwrap();
    }
    let file = fs::File::open(root.join("storage/m.1")).unwrap();
    let (mut count, mut filled) = (0, 0);
    let end = walk(&file, &mut |framed| {
        let missing = framed.end.next_multiple_of(BLOCK) - framed.end;
        assert!(missing == 0 || missing > MAX_BLANKS, "{missing}");
        count += 1;
        filled += u32::from(missing == 0);
        Ok(true)
    });
    assert_eq!(end.unwrap(), file.metadata().unwrap().len());
    assert!(count == 80 && filled > 3, "{count} and {filled}");
    // Each is found by its frame, filled or not.
    let left = Left::of(root);
    assert_eq!(octets(&left.log("INBOX")), before);
    assert_eq!(shown(&mut left.open(), "INBOX"), shown(&mut store, "INBOX"));
}

/// Where a frame could not be made durable, nobody was told, and others come all the same.
#[test]
fn a_line_does_not_outlive_a_frame_that_failed() {
    let mut failed = 0;
    for number in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut store = open(root);
        save(&mut store, "INBOX", 1);
        let two = filing(2, SystemFlags::NONE);
        fail(Failing::One(number, Errno::IO));
        let saved = try_save(&mut store, "INBOX", "two\r\n", &two);
        fail(Failing::Nothing);
        failed += u32::from(saved.is_err());
        save(&mut store, "INBOX", 3);
        let expected = match saved {
            Ok(_) => vec![1, 2, 3],
            Err(_) => vec![1, 3],
        };
        assert_eq!(uids(&mut Left::of(root).open(), "INBOX"), expected);
        assert_eq!(uids(&mut store, "INBOX"), expected, "{number}");
        assert_eq!(uids(&mut Left::of(root).open(), "INBOX"), expected);
    }
    assert!(failed > 1, "{failed}");
}

#[test]
fn a_log_is_durable_before_its_end_grows_long() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    for uid in 1..400 {
        save(&mut store, "INBOX", uid);
    }
    let told = octets(&log_of(root, "INBOX"));
    let left = Left::of(root);
    let (mailbox, next) = Log::open(&left.log("INBOX"))
        .unwrap()
        .unwrap()
        .tail()
        .unwrap();
    assert!(mailbox.is_some() && next > Uid::new(100), "{next:?} {told}");
    let all: Vec<u32> = (1..400).collect();
    assert_eq!(uids(&mut left.open(), "INBOX"), all);
}

#[test]
fn a_purge_brings_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = open(root);
    let long = |store: &mut Dbox, uid| {
        let text = "long ".repeat(100) + "\r\n";
        try_save(store, "INBOX", &text, &filing(uid, SystemFlags::NONE)).unwrap()
    };
    let one = long(&mut store, 1);
    long(&mut store, 2);
    let three = long(&mut store, 3);
    expunge(&mut store, "INBOX", &one);
    long(&mut store, 4);
    let mut begins = Some(Compaction::Purge);
    while let Some(compacted) = store.compact(begins.take()).unwrap() {
        assert_eq!(uids(&mut Left::of(root).open(), "INBOX"), [2, 3, 4]);
        for mailbox in &compacted.mailboxes {
            store.replace(mailbox).unwrap();
        }
        assert_eq!(uids(&mut Left::of(root).open(), "INBOX"), [2, 3, 4]);
        store.discard().unwrap();
    }
    assert!(!root.join("storage/m.1").exists());
    expunge(&mut store, "INBOX", &three);
    long(&mut store, 5);
    let kept = Left::of(root);
    let mut left = kept.open();
    assert_eq!(uids(&mut left, "INBOX"), [2, 4, 5]);
    assert_eq!(shown(&mut left, "INBOX").len(), 3);
}
