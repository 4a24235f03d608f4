use super::Maildir;
use crate::config::{InfoSeparator, Layout};
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid};
use crate::store::{BlobId, Error, Filing, Place, Store};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;

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

fn put(store: &mut dyn Store, mailbox: &MailboxName, uid: u32, text: &[u8]) -> BlobId {
    let mut draft = store.stage().unwrap();
    draft.write(text).unwrap();
    draft.date(1_000_000_000).unwrap();
    store.save(&mut *draft, &MailboxName::inbox()).unwrap();
    let blob = store
        .commit(&mut *draft, mailbox, &filing(uid, SystemFlags::NONE))
        .unwrap();
    store.sync().unwrap();
    blob
}

fn text(store: &mut dyn Store, mailbox: &MailboxName, blob: &BlobId) -> String {
    let mut text = String::new();
    store
        .open(mailbox, blob)
        .unwrap()
        .body
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn files(root: &Path) -> usize {
    ["new", "cur", "tmp"]
        .iter()
        .map(|d| fs::read_dir(root.join(d)).unwrap().count())
        .sum()
}

#[test]
fn a_message_is_filed_marked_copied_moved_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Maildir::open(directory.path(), Layout::Dotted).unwrap();
    let (inbox, other) = (MailboxName::inbox(), name("a/b.c"));
    store.create(&other).unwrap();
    assert!(matches!(store.create(&other), Err(Error::MailboxExists)));
    let blob = put(&mut store, &inbox, 7, b"A: b\r\n\r\ntext\r\n");
    assert!(
        blob.name.ends_with(",S=11,W=14,U=7") && blob.place == Place::New,
        "{blob:?}"
    );
    assert_eq!(text(&mut store, &inbox, &blob), "A: b\n\ntext\n");
    assert_eq!(
        store.open(&inbox, &blob).unwrap().internal_date,
        1_000_000_000
    );
    let marked = store.mark(&inbox, &blob, SystemFlags::SEEN, 1);
    let (marked, renamed) = marked.unwrap();
    assert!(renamed);
    assert!(
        directory
            .path()
            .join("cur")
            .join(format!("{}:2,Sa", blob.name))
            .exists()
    );
    let unique = |blob: &BlobId| blob.name.split_once(',').unwrap().0.to_owned();
    // The old name still finds it.
    assert_eq!(text(&mut store, &inbox, &blob), "A: b\n\ntext\n");
    let copy = store
        .copy(&inbox, &marked, &other, &filing(1, SystemFlags::SEEN))
        .unwrap();
    store.sync().unwrap();
    let moved = store
        .transfer(&inbox, &marked, &other, &filing(2, SystemFlags::NONE))
        .unwrap();
    let first = |blob: &BlobId| blob.name.split_once(",S=11,W=14,D=").unwrap().0.to_owned();
    assert!(moved.name.ends_with(",U=2"), "{moved:?}");
    assert_eq!(
        (first(&moved), first(&copy)),
        (unique(&blob), unique(&blob))
    );
    assert!(matches!(
        store.open(&inbox, &marked),
        Err(Error::NoSuchMessage)
    ));
    assert_eq!(
        store.open(&other, &moved).unwrap().internal_date,
        1_000_000_000
    );
    let scanned = store.scan(&other).unwrap();
    let uids: Vec<u32> = scanned
        .found
        .iter()
        .map(|f| f.uid.unwrap().number())
        .collect();
    assert_eq!((uids, scanned.state.uid_next.number()), (vec![1, 2], 3));
    assert!(store.remove(&other, &copy).unwrap());
    assert!(!store.remove(&other, &copy).unwrap());
    assert_eq!(store.scan(&other).unwrap().found.len(), 1);
    let mut names = store.mailboxes().unwrap();
    names.sort();
    assert_eq!(names, [inbox.clone(), other.clone()]);
    store.rename(&other, &name("x")).unwrap();
    store.delete(&name("x")).unwrap();
    assert!(matches!(store.scan(&name("x")), Err(Error::NoSuchMailbox)));
    assert_eq!(files(directory.path()), 0);
}

#[test]
fn a_draft_is_filed_twice_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Maildir::open(directory.path(), Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    let mut draft = store.stage().unwrap();
    draft.write(b"x\r").unwrap();
    draft.write(b"\n").unwrap();
    assert_eq!(draft.octets(), 3);
    drop(draft);
    assert_eq!(files(directory.path()), 0);
    let mut draft = store.stage().unwrap();
    draft.write(b"x\r\n").unwrap();
    store.save(&mut *draft, &MailboxName::inbox()).unwrap();
    store
        .commit(&mut *draft, &inbox, &filing(1, SystemFlags::NONE))
        .unwrap();
    store
        .commit(&mut *draft, &inbox, &filing(2, SystemFlags::FLAGGED))
        .unwrap();
    drop(draft);
    assert_eq!(files(directory.path()), 2);
    assert_eq!(
        store.scan(&inbox).unwrap().found[1].blob.flags,
        SystemFlags::FLAGGED
    );
}

#[test]
fn side_files_keep_uids_of_foreign_names() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    for file in ["cur/2.b.h:2,S", "cur/1.a.h:2,", "new/3.c.h"] {
        fs::write(root.join(file), "x").unwrap();
    }
    let scanned = store.scan(&inbox).unwrap();
    assert!(
        !scanned.header_known && scanned.rewrite && scanned.found.iter().all(|f| f.uid.is_none())
    );
    let names: Vec<&str> = scanned.found.iter().map(|f| &*f.blob.name).collect();
    assert_eq!(names, ["1.a.h", "2.b.h", "3.c.h"]);
    let mut state = scanned.state.clone();
    state.uid_next = Uid::new(4).unwrap();
    let lines: Vec<(Uid, &str)> = (1..).filter_map(Uid::new).zip(names).collect();
    store.record_all(&inbox, &state, &mut lines.iter()).unwrap();
    fs::write(root.join("new/4.d.h,U=9"), "x").unwrap();
    state.uid_next = Uid::new(10).unwrap();
    let line = [(Uid::new(9).unwrap(), "4.d.h,U=9")];
    store.record(&inbox, &state, &mut line.iter()).unwrap();
    let again = store.scan(&inbox).unwrap();
    assert_eq!(again.state.uid_validity, state.uid_validity);
    assert_eq!(again.state.guid, state.guid);
    let uids: Vec<u32> = again
        .found
        .iter()
        .map(|f| f.uid.unwrap().number())
        .collect();
    assert_eq!(
        (uids, again.state.uid_next.number(), again.rewrite),
        (vec![1, 2, 3, 9], 10, false)
    );
    store
        .record_keywords(&inbox, &[Keyword::new("$Junk")])
        .unwrap();
    assert_eq!(
        store.scan(&inbox).unwrap().state.keywords,
        [Keyword::new("$Junk")]
    );
}

/// Dovecot renames first and says a moment later what the new letter means.
#[test]
fn letters_are_named_a_moment_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Maildir::open(directory.path(), Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    let file = directory.path().join("cur/1.a.host:2,Sb");
    std::fs::write(file, "Subject: x\n\nx\n").unwrap();
    let names = directory.path().join("dovecot-keywords");
    let keywords = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            std::fs::write(&names, "0 a\n1 $Label1\n").unwrap();
        });
        store.scan(&inbox).unwrap().state.keywords
    });
    assert_eq!(keywords, [Keyword::new("a"), Keyword::new("$Label1")]);
    // Nobody waits for ever.
    std::fs::write(&names, "0 a\n").unwrap();
    let keywords = store.scan(&inbox).unwrap().state.keywords;
    assert_eq!(keywords, [Keyword::new("a")]);
    // Nor twice for the same.
    let named = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(150));
            named.store(true, Ordering::Release);
        });
        store.scan(&inbox).unwrap();
        assert!(!named.load(Ordering::Acquire));
    });
    std::fs::write(&names, "0 a\n1 $Label1\n").unwrap();
    store.scan(&inbox).unwrap();
    assert!(
        store.nameless.is_empty(),
        "it is new again when it is unnamed"
    );
}

#[test]
fn uid_validity_never_repeats() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Maildir::open(directory.path(), Layout::Dotted).unwrap();
    let mut last = 0;
    for _ in 0..3 {
        store.create(&name("a")).unwrap();
        let value = store.scan(&name("a")).unwrap().state.uid_validity.number();
        assert!(value > last);
        last = value;
        store.delete(&name("a")).unwrap();
    }
}

#[test]
fn subscriptions_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Maildir::open(directory.path(), Layout::Dotted).unwrap();
    store.subscribe(&name("a/b"), true).unwrap();
    store.subscribe(&name("INBOX"), true).unwrap();
    store.subscribe(&name("a/b"), false).unwrap();
    assert_eq!(store.subscriptions().unwrap(), [MailboxName::inbox()]);
}

#[test]
fn a_side_file_says_what_was_given_and_notices_damage() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    let uid = |n| Uid::new(n).unwrap();
    let list = root.join("dovecot-uidlist");
    let mut state = store.scan(&inbox).unwrap().state;
    let missing = store.record(&inbox, &state, &mut [].iter());
    assert!(matches!(missing, Err(Error::Corrupt { .. })));
    store
        .record_all(&inbox, &state, &mut [(uid(1), "a")].iter())
        .unwrap();
    // A UID whose message is gone before it had a line.
    state.uid_next = uid(8);
    store
        .record(&inbox, &state, &mut [(uid(5), "b")].iter())
        .unwrap();
    assert_eq!(store.scan(&inbox).unwrap().state.uid_next, uid(8));
    let text = fs::read_to_string(&list).unwrap();
    assert!(
        text.contains(" N8 ") && text.ends_with("\n1 :a\n5 :b\n"),
        "{text}"
    );
    assert!(
        store
            .record(&inbox, &state, &mut [(uid(5), "c")].iter())
            .is_err(),
        "not above"
    );
    for broken in [
        text.trim_end().to_owned(),
        text.replacen('3', "4", 1),
        text.replace("5 :b", "x :b"),
        text.replacen(&state.uid_validity.to_string(), "77", 1),
        String::new(),
    ] {
        fs::write(&list, &broken).unwrap();
        let recorded = store.record(&inbox, &state, &mut [(uid(9), "c")].iter());
        assert!(matches!(recorded, Err(Error::Corrupt { .. })), "{broken:?}");
        assert_eq!(fs::read_to_string(&list).unwrap(), broken);
    }
}

#[test]
fn a_uid_in_a_name_does_not_count_below_those_of_the_side_file() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    let uid = |n| Uid::new(n).unwrap();
    let mut state = store.scan(&inbox).unwrap().state;
    for file in ["new/1.a,U=3", "new/2.b,U=7", "new/3.c,U=20"] {
        fs::write(root.join(file), "x").unwrap();
    }
    let uids = |store: &mut Maildir| -> Vec<u32> {
        let found = store.scan(&inbox).unwrap().found;
        found.iter().map(|f| f.uid.map_or(0, Uid::number)).collect()
    };
    assert_eq!(uids(&mut store), [3, 7, 20], "no side file: names count");
    state.uid_next = uid(10);
    store
        .record_all(&inbox, &state, &mut [(uid(7), "2.b,U=7")].iter())
        .unwrap();
    assert_eq!(uids(&mut store), [7, 20, 0]);
    let list = root.join("dovecot-uidlist");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, format!("{text}torn")).unwrap();
    assert_eq!(uids(&mut store), [3, 7, 20], "a damaged one proves nothing");
}

#[test]
fn a_half_done_move_to_cur_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    let blob = put(&mut store, &inbox, 1, b"x\r\n");
    let (new, cur) = (root.join("new").join(&*blob.name), root.join("cur"));
    let seen = cur.join(format!("{}:2,S", blob.name));
    fs::hard_link(&new, &seen).unwrap();
    assert_eq!(store.scan(&inbox).unwrap().found.len(), 1);
    assert!(!new.exists() && seen.exists());
    // Two files of one name are no such thing.
    fs::write(&new, "other").unwrap();
    assert_eq!(store.scan(&inbox).unwrap().found.len(), 1);
    assert!(new.exists() && seen.exists());
}

#[test]
fn the_first_mailboxes_are_made_whole_or_again() {
    // A crash between two of them left the others unmade for ever.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let all = [name("Drafts"), name("Sent"), name("Trash")];
    store.create(&all[0]).unwrap();
    fs::write(root.join("dovelet-unfinished"), "").unwrap();
    store.furnish(&all).unwrap();
    assert_eq!(store.mailboxes().unwrap().len(), 4);
    assert_eq!(store.subscriptions().unwrap(), all);
    // What the user does not want stays away.
    store.delete(&all[2]).unwrap();
    store.furnish(&all).unwrap();
    assert_eq!(store.mailboxes().unwrap().len(), 3);
}

#[test]
fn of_two_who_make_a_mailbox_one_does() {
    // The other was told of an I/O error.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    drop(Maildir::open(root, Layout::Dotted).unwrap());
    for round in 0..20 {
        let mailbox = name(&round.to_string());
        let make = || {
            Maildir::open(root, Layout::Dotted)
                .unwrap()
                .create(&mailbox)
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3).map(|_| scope.spawn(make)).collect();
            let made = workers.into_iter().map(|worker| worker.join().unwrap());
            let (made, failed): (Vec<_>, Vec<_>) = made.partition(Result::is_ok);
            let exists = |failed: &Result<(), Error>| matches!(failed, Err(Error::MailboxExists));
            assert!(made.len() == 1 && failed.iter().all(exists), "{failed:?}");
        });
    }
}

#[test]
fn directories_that_others_spelled_are_those_of_their_mailboxes() {
    // LIST told them, SELECT did not find them, CREATE found them.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    for (spelled, mailbox) in [
        (".Entw\u{fc}rfe", "Entw\u{fc}rfe"),
        (".R&D.x", "R&D/x"),
        (".a&AC4-b.\u{fc}", "a.b/\u{fc}"),
    ] {
        let mailbox = name(mailbox);
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(root.join(spelled).join(part)).unwrap();
        }
        fs::write(root.join(spelled).join("new/1.x"), "x\n").unwrap();
        assert!(store.mailboxes().unwrap().contains(&mailbox));
        assert_eq!(store.scan(&mailbox).unwrap().found.len(), 1, "{spelled}");
        let blob = put(&mut store, &mailbox, 7, b"x\r\n");
        assert_eq!(text(&mut store, &mailbox, &blob), "x\n");
        assert!(matches!(store.create(&mailbox), Err(Error::MailboxExists)));
        store.rename(&mailbox, &name("plain")).unwrap();
        assert!(!root.join(spelled).exists() && root.join(".plain/new/1.x").exists());
        let taken = store.rename(&name("plain"), &mailbox);
        taken.unwrap();
        assert!(matches!(store.create(&mailbox), Err(Error::MailboxExists)));
        fs::create_dir_all(root.join(spelled)).unwrap();
        let all = store.mailboxes().unwrap();
        assert_eq!(all.iter().filter(|own| **own == mailbox).count(), 1);
        fs::remove_dir(root.join(spelled)).unwrap();
        store.delete(&mailbox).unwrap();
        assert!(matches!(store.scan(&mailbox), Err(Error::NoSuchMailbox)));
    }
}

#[test]
fn a_mailbox_on_another_file_system_is_filled() {
    // Whatever came by rename was refused there.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: no /dev/shm");
        return;
    };
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    if device(root) == device(elsewhere.path()) {
        eprintln!("skipped: /dev/shm is no other file system");
        return;
    }
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let (inbox, far) = (MailboxName::inbox(), name("far"));
    for part in ["cur", "new", "tmp"] {
        fs::create_dir(elsewhere.path().join(part)).unwrap();
    }
    std::os::unix::fs::symlink(elsewhere.path(), root.join(".far")).unwrap();
    let mut draft = store.stage().unwrap();
    draft.write(b"A: b\r\n\r\ntext\r\n").unwrap();
    draft.date(1_000_000_000).unwrap();
    store.save(&mut *draft, &MailboxName::inbox()).unwrap();
    let new = |uid| filing(uid, SystemFlags::NONE);
    let first = store.commit(&mut *draft, &far, &new(1)).unwrap();
    let second = store.commit(&mut *draft, &inbox, &new(1)).unwrap();
    let third = store.commit(&mut *draft, &far, &new(2)).unwrap();
    drop(draft);
    let copied = store.copy(&inbox, &second, &far, &new(3)).unwrap();
    let there = store.transfer(&inbox, &second, &far, &new(4)).unwrap();
    let back = store.transfer(&far, &first, &inbox, &new(2)).unwrap();
    store.sync().unwrap();
    assert_eq!((files(root), files(elsewhere.path())), (1, 3));
    for (mailbox, blob) in [(&far, third), (&far, copied), (&far, there), (&inbox, back)] {
        assert_eq!(text(&mut store, mailbox, &blob), "A: b\n\ntext\n");
        let date = store.open(mailbox, &blob).unwrap().internal_date;
        assert_eq!(date, 1_000_000_000);
    }
}

fn nested(root: &Path) -> Maildir {
    Maildir::open(root, Layout::Nested).unwrap()
}

fn mailboxes(store: &mut Maildir) -> Vec<String> {
    let names = store.mailboxes().unwrap();
    names.iter().map(MailboxName::to_string).collect()
}

fn validity(store: &mut Maildir, mailbox: &str) -> u32 {
    let scanned = store.scan(&name(mailbox)).unwrap();
    scanned.state.uid_validity.number()
}

#[test]
fn links_lead_to_mailboxes_and_not_in_circles() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = directory.path();
    let mut store = nested(root);
    for mailbox in ["a", "a/b"] {
        store.create(&name(mailbox)).unwrap();
    }
    drop(nested(&elsewhere.path().join("c")));
    let link = |to: &Path, from: &Path| std::os::unix::fs::symlink(to, from).unwrap();
    link(elsewhere.path(), &root.join("far"));
    link(root, &root.join("a/up"));
    link(&root.join("a"), &root.join("a/b/self"));
    link(&root.join("a"), &elsewhere.path().join("back"));
    assert_eq!(mailboxes(&mut store), ["INBOX", "a", "a/b", "far/c"]);
}

#[test]
fn nested_mailboxes_move_without_those_below_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = nested(root);
    for mailbox in ["a/b/c", "a/b", "a", "v1.0/\u{fc}"] {
        store.create(&name(mailbox)).unwrap();
        put(&mut store, &name(mailbox), 1, mailbox.as_bytes());
    }
    let all = ["INBOX", "a", "a/b", "a/b/c", "v1.0/\u{fc}"];
    assert_eq!(mailboxes(&mut store), all);
    assert!(root.join("v1.0/&APw-/new").is_dir() && root.join("a/b/maildirfolder").exists());
    let taken = store.create(&name("a/b"));
    assert!(matches!(taken, Err(Error::MailboxExists)));
    for refused in ["a/cur", "tmp", "x/dovecot-uidlist"] {
        assert!(matches!(
            store.create(&name(refused)),
            Err(Error::Unnamable)
        ));
        assert!(matches!(
            store.stamp(&name(refused)),
            Err(Error::NoSuchMailbox)
        ));
    }
    // That with another below it, to where one was that has others below it.
    let before = validity(&mut store, "a/b");
    store.rename(&name("a/b"), &name("v1.0")).unwrap();
    assert_eq!(
        mailboxes(&mut store),
        ["INBOX", "a", "a/b/c", "v1.0", "v1.0/\u{fc}"]
    );
    assert_eq!(validity(&mut store, "v1.0"), before);
    assert_eq!(store.scan(&name("v1.0")).unwrap().found.len(), 1);
    assert!(matches!(
        store.stamp(&name("a/b")),
        Err(Error::NoSuchMailbox)
    ));
    // As a whole; what is empty then is gone.
    store.rename(&name("a/b/c"), &name("d/e")).unwrap();
    assert_eq!(
        mailboxes(&mut store),
        ["INBOX", "a", "d/e", "v1.0", "v1.0/\u{fc}"]
    );
    assert!(!root.join("a/b").exists());
    // A mailbox that is made again is another one.
    store.delete(&name("v1.0")).unwrap();
    assert!(root.join("v1.0").is_dir() && !root.join("v1.0/new").exists());
    store.create(&name("v1.0")).unwrap();
    assert_ne!(validity(&mut store, "v1.0"), before);
    assert_eq!(store.scan(&name("v1.0")).unwrap().found.len(), 0);
    store.delete(&name("d/e")).unwrap();
    assert!(!root.join("d").exists());
    store.subscribe(&name("a/x.y"), true).unwrap();
    assert_eq!(store.subscriptions().unwrap(), [name("a/x.y")]);
    let left = fs::read_dir(root.join("tmp")).unwrap().count();
    assert_eq!((left, root.join("dovelet-moving").exists()), (0, false));
}

#[test]
fn a_move_that_was_broken_off_is_ended() {
    for moved in [&["cur"][..], &["new", "dovecot-uidlist"], &[]] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut store = nested(root);
        for mailbox in ["a", "a/b", "c"] {
            store.create(&name(mailbox)).unwrap();
        }
        put(&mut store, &name("a"), 1, b"x");
        let before = validity(&mut store, "a");
        fs::write(root.join("dovelet-moving"), "a\nc/d").unwrap();
        fs::create_dir(root.join("c/d")).unwrap();
        for piece in moved {
            fs::rename(root.join("a").join(piece), root.join("c/d").join(piece)).unwrap();
        }
        if moved.is_empty() {
            fs::create_dir(root.join("c/d/new")).unwrap();
            fs::write(root.join("c/d/new/other"), "y").unwrap();
        }
        let mut store = nested(root);
        assert_eq!(mailboxes(&mut store), ["INBOX", "a/b", "c", "c/d"]);
        assert_eq!(validity(&mut store, "c/d"), before);
        let count = if moved.is_empty() { 2 } else { 1 };
        assert_eq!(store.scan(&name("c/d")).unwrap().found.len(), count);
        assert!(!root.join("dovelet-moving").exists());
    }
    let directory = tempfile::tempdir().unwrap();
    drop(nested(directory.path()));
    for damaged in ["", "a", "a\n../b", "/etc\nb"] {
        fs::write(directory.path().join("dovelet-moving"), damaged).unwrap();
        let opened = Maildir::open(directory.path(), Layout::Nested);
        assert!(matches!(opened, Err(Error::Corrupt { .. })), "{damaged}");
    }
}

#[test]
fn flags_are_behind_what_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let inbox = MailboxName::inbox();
    let open = |separator| {
        Maildir::open(root, Layout::Dotted)
            .unwrap()
            .separating(separator)
    };
    let mut store = open(InfoSeparator::Semicolon);
    let blob = put(&mut store, &inbox, 1, b"x");
    let (blob, _) = store.mark(&inbox, &blob, SystemFlags::SEEN, 1).unwrap();
    store.record_keywords(&inbox, &[Keyword::new("k")]).unwrap();
    let file = |separator: &str| root.join(format!("cur/{}{separator}2,Sa", blob.name));
    assert!(file(";").exists());
    // Whatever is asked for, what is there is found, and gets the other one when it is changed.
    let mut store = open(InfoSeparator::Colon);
    let found = store.scan(&inbox).unwrap().found;
    assert_eq!(
        (found[0].blob.clone(), found[0].uid),
        (blob.clone(), Uid::new(1))
    );
    store.open(&inbox, &blob).unwrap();
    let (both, _) = store.mark(&inbox, &blob, SystemFlags::SEEN, 0).unwrap();
    let (same, renamed) = store.mark(&inbox, &both, SystemFlags::SEEN, 1).unwrap();
    assert!(renamed && same == blob && file(":").exists() && !file(";").exists());
    let mut store = open(InfoSeparator::Exclamation);
    assert!(store.remove(&inbox, &blob).unwrap());
    assert_eq!(store.scan(&inbox).unwrap().found.len(), 0);
}

/// Of a memory stick, or a drive of other systems.
#[test]
fn a_file_system_without_colons_and_second_names() {
    use crate::store::faults::{Failing, fail};
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let open = |separator| {
        Maildir::open(root, Layout::Dotted)
            .unwrap()
            .separating(separator)
    };
    let (inbox, other) = (MailboxName::inbox(), name("other"));
    fail(Failing::Fat);
    let mut store = open(InfoSeparator::Colon);
    store.create(&other).unwrap();
    let blob = put(&mut store, &inbox, 1, b"x");
    // Mail comes, but has no flags until the settings say how.
    assert!(matches!(
        store.mark(&inbox, &blob, SystemFlags::SEEN, 0),
        Err(Error::Io(_))
    ));
    let mut store = open(InfoSeparator::Semicolon);
    let (blob, _) = store.mark(&inbox, &blob, SystemFlags::SEEN, 0).unwrap();
    let copy = store
        .copy(&inbox, &blob, &other, &filing(1, SystemFlags::FLAGGED))
        .unwrap();
    let moved = store
        .transfer(&inbox, &blob, &other, &filing(2, SystemFlags::SEEN))
        .unwrap();
    // To two mailboxes at once.
    let mut draft = store.stage().unwrap();
    draft.write(b"y").unwrap();
    store.save(&mut *draft, &inbox).unwrap();
    let twice = [&inbox, &other].map(|mailbox| {
        let seen = filing(3, SystemFlags::SEEN);
        store.commit(&mut *draft, mailbox, &seen).unwrap()
    });
    store.sync().unwrap();
    drop(draft);
    for (mailbox, blob, text) in [
        (&other, &copy, "x"),
        (&other, &moved, "x"),
        (&inbox, &twice[0], "y"),
        (&other, &twice[1], "y"),
    ] {
        let mut read = String::new();
        store
            .open(mailbox, blob)
            .unwrap()
            .body
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, text);
    }
    let counts = [&inbox, &other].map(|mailbox| store.scan(mailbox).unwrap().found.len());
    assert_eq!(counts, [1, 3]);
    fail(Failing::Nothing);
}

#[test]
fn names_that_no_line_can_have_are_changed() {
    // One with a line feed became two lines of the side file, one that is no UTF-8 was not there for anybody.
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let inbox = MailboxName::inbox();
    for name in [
        &b"cur/16\n9 :evil:2,S"[..],
        b"cur/17\xff.h:2,F",
        b"new/18\x7f",
        b"cur/19.h:2,S",
        b"cur/20.h:2,S\x01",
    ] {
        std::fs::write(root.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let scanned = store.scan(&inbox).unwrap();
    let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
    for message in &scanned.found {
        let mut body = Vec::new();
        let mut blob = store.open(&inbox, &message.blob).unwrap().body;
        blob.read_to_end(&mut body).unwrap();
        assert!(message.blob.name.bytes().all(|b| b.is_ascii_graphic()));
        found.push((message.blob.flags.bits(), body[4..6].to_vec()));
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    let [seen, flagged] = [SystemFlags::SEEN, SystemFlags::FLAGGED].map(|flag| flag.bits());
    let texts = [b"16", b"17", b"18", b"19", b"20"].map(|text| text.to_vec());
    let flags = [seen, flagged, 0, seen, 0];
    let expected: Vec<(u8, Vec<u8>)> = flags.into_iter().zip(texts).collect();
    assert_eq!(found, expected);
    // They have these names from now on.
    let names = |scanned: &crate::store::Scanned| -> Vec<String> {
        scanned
            .found
            .iter()
            .map(|f| f.blob.name.to_string())
            .collect()
    };
    assert_eq!(names(&store.scan(&inbox).unwrap()), names(&scanned));
}
