//! What is found of Dovecot's and Courier's Maildirs, what is in the way, and what of it is kept.

use super::store::Maildir;
use super::takeover::{adopt, may_have_more};
use super::{courier, keywords, uidlist};
use crate::config::{Form, Layout};
use crate::mail::{Keyword, MailboxName, Uid, UidSet};
use crate::store::Store;
use crate::store::adopt::Adopted;
use crate::store::side::beyond;
use std::fs;
use std::path::Path;

fn make(root: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for mailbox in ["", ".Sent"] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(root.join(mailbox).join(part)).unwrap();
        }
    }
}

#[test]
fn what_courier_says_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make(
        root,
        &[
            ("cur/1.a:2,S", "one\n"),
            ("new/2.b", "two\n"),
            ("new/3.c", "three\n"),
            ("courierimapuiddb", "1 1234567890 9\n4 1.a\n7 2.b\n"),
            (".Sent/courierimapuiddb", "1 77 1\n"),
            ("courierimapsubscribed", "INBOX\nINBOX.Sent\nother\n"),
        ],
    );
    let mut told = Vec::new();
    let mut each = |a: &Adopted| told.push((a.name.to_string(), a.messages, a.uid_validity));
    let dry = adopt(root, &Form::default(), true, &mut each).unwrap();
    assert!(!root.join("dovecot-uidlist").exists() && dry.obstacles.is_empty());
    let expected = [
        ("INBOX".to_owned(), 3, 1_234_567_890),
        ("Sent".to_owned(), 0, 77),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        dry.mailboxes[0].lost,
        ["1 messages have no UID yet and get new ones"]
    );
    adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    assert!(scanned.header_known);
    let uids: Vec<_> = scanned
        .found
        .iter()
        .map(|f| f.uid.map(Uid::number))
        .collect();
    assert_eq!(uids, [Some(4), Some(7), None]);
    let state = scanned.state;
    assert_eq!(
        (state.uid_validity.number(), state.uid_next.number()),
        (1_234_567_890, 9)
    );
    let names: Vec<_> = store
        .subscriptions()
        .unwrap()
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(names, ["INBOX", "Sent"]);
    // The second time there is nothing to do.
    let before = fs::read(root.join("dovecot-uidlist")).unwrap();
    adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert_eq!(fs::read(root.join("dovecot-uidlist")).unwrap(), before);
}

/// A Maildir of Courier's, of which IMAP knows two messages, and POP3 three.
fn make_courier(root: &Path) {
    make(
        root,
        &[
            ("cur/1.a:2,S", "one\n"),
            ("new/2.b", "two\n"),
            ("cur/3.c:2,F", "three\n"),
            ("courierimapuiddb", "1 1234567890 9\n4 1.a\n7 2.b\n"),
            (
                "courierpop3dsizelist",
                "/2 55 77\n1.a 4 40:77\n2.b 5 0:0\n3.c 6 42:1234\n9.gone 8 43:77\n",
            ),
            (
                "courierimapkeywords/:list",
                "$Forwarded\nwork\n\n1.a:0 1\n2.b:1\n3.c:0\n",
            ),
            ("courierimapkeywords/.7.3.c", "earlier\n"),
            ("courierimapkeywords/.12.3.c", "later\nno atom\n"),
            ("courierimapkeywords/1.a", "work\n"),
            ("courierimapsubscribed", "INBOX.Sent\n"),
        ],
    );
}

/// UIDs, names, flags, keywords and other names of the messages in INBOX.
fn found_in(root: &Path) -> Vec<String> {
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    assert_eq!(scanned.state.uid_validity.number(), 1_234_567_890);
    assert_eq!(scanned.state.uid_next.number(), 10);
    let named = |letters: u32| -> Vec<&str> {
        let all = scanned.state.keywords.iter().enumerate();
        let own = all.filter(|(at, _)| letters >> at & 1 == 1);
        own.filter_map(|(_, k)| k.as_ref().map(Keyword::as_str))
            .collect()
    };
    let shown = scanned.found.iter().map(|found| {
        let blob = &found.blob;
        let (uid, alias) = (found.uid.unwrap(), scanned.aliases.iter());
        let alias = alias
            .clone()
            .find(|(own, _)| *own == uid)
            .map(|(_, words)| &**words);
        let keywords = named(blob.letters).join(",");
        format!(
            "{uid} {} {} {keywords} {alias:?}",
            blob.name,
            blob.flags.bits()
        )
    });
    shown.collect()
}

const COURIERS: [&str; 3] = [
    "4 1.a 8 work Some(\"PUID40-77\")",
    "7 2.b 0 work Some(\"P2.b\")",
    "9 3.c 2 later Some(\"PUID42-1234\")",
];

#[test]
fn unique_ids_and_keywords_are_couriers() {
    // Of the unique-ids nothing was said, keywords were told to be lost.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make_courier(root);
    let dry = adopt(root, &Form::default(), true, &mut |_| ()).unwrap();
    let inbox = &dry.mailboxes[0];
    assert_eq!((inbox.keywords, inbox.uidls, inbox.uid_next), (2, 3, 10));
    assert_eq!(inbox.lost, ["the keyword \"no atom\", which IMAP has not"]);
    assert!(root.join("new/2.b").exists() && !root.join("dovecot-uidlist").exists());
    adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert!(root.join("cur/1.a:2,Sb").exists());
    assert_eq!(found_in(root), COURIERS);
    assert!(courier::convert(root, Default::default()).is_ok());
    assert_eq!(found_in(root), COURIERS);
}

#[test]
fn couriers_uids_that_came_too_late_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make_courier(root);
    fs::write(
        root.join(uidlist::FILE),
        "3 V5 N9\n4 :1.a\n6 :2.b\n7 :3.c\n",
    )
    .unwrap();
    let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    let lost = &found.mailboxes[0].lost;
    assert!(lost[0].starts_with("Courier's UIDs"), "{lost:?}");
    fs::remove_file(root.join(uidlist::FILE)).unwrap();
    adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert_eq!(found_in(root), COURIERS);
}

#[test]
fn what_is_couriers_is_kept_where_nobody_adopted_it() {
    // All got another UIDVALIDITY and other UIDs, without a word.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make_courier(root);
    assert_eq!(found_in(root), COURIERS);
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let sent = MailboxName::new("Sent").unwrap();
    store.subscribe(&MailboxName::inbox(), true).unwrap();
    let expected = [sent, MailboxName::inbox()];
    assert_eq!(store.subscriptions().unwrap(), expected);
    // What is lost later is not Courier's any more, which gave fewer UIDs.
    fs::remove_file(root.join("dovecot-uidlist")).unwrap();
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    assert!(!scanned.header_known);
}

#[test]
fn more_keywords_than_letters_are_couriers() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let names: String = (10..40).map(|at| format!("k{at}\n")).collect();
    let numbers: Vec<String> = (0..30).map(|at| at.to_string()).collect();
    let list = format!("{names}\n1.a:{}\n", numbers.join(" "));
    make(
        root,
        &[
            ("new/1.a", "one\n"),
            ("courierimapkeywords/:list", &list),
            ("dovecot-keywords", "0 k39\n"),
        ],
    );
    let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert_eq!(found.mailboxes[0].keywords, 30);
    assert!(root.join("cur/1.a:2,abcdefghijklmnopqrstuvwxyz").exists());
    let beyond = beyond::read(root).unwrap();
    let names: Vec<&str> = beyond.iter().map(|(k, _)| k.as_str()).collect();
    assert_eq!(names, ["k35", "k36", "k37", "k38"]);
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    assert_eq!(scanned.found[0].uid, Some(Uid::MIN));
    let kept = store.beyond(&MailboxName::inbox(), scanned.state.uid_validity);
    assert_eq!(kept.unwrap().unwrap(), beyond);
}

#[test]
fn what_has_no_name_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make(
        root,
        &[(".a..b/cur/1.a:2,S", "one\n"), (".a..b/new/2.b", "two\n")],
    );
    fs::create_dir_all(root.join("..dovelet-new-1/cur")).unwrap();
    // The server says so in its log, too.
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    assert_eq!(store.mailboxes().unwrap().len(), 2);
    assert_eq!(store.hidden, 1);
    let found = adopt(root, &Form::default(), true, &mut |_| ()).unwrap();
    assert_eq!(
        found.lost,
        ["2 messages in .a..b, which is no name of a mailbox: rename the directory to have them"]
    );
}

#[test]
fn another_layout_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make(
        root,
        &[
            ("work/cur/1.a:2,S", "one\n"),
            ("courierimapuiddb", "1 5 9\n"),
        ],
    );
    let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert!(
        found.obstacles[0].starts_with("work is a mailbox"),
        "{found:?}"
    );
    assert!(!root.join("dovecot-uidlist").exists());
    // And the other way; without it both are taken as they are.
    let form = Form {
        layout: Layout::Nested,
        ..Form::default()
    };
    let found = adopt(root, &form, true, &mut |_| ()).unwrap();
    assert!(found.obstacles[0].starts_with(".Sent is"), "{found:?}");
    fs::remove_dir_all(root.join(".Sent")).unwrap();
    let mut names = Vec::new();
    let mut each = |a: &Adopted| names.push(a.name.to_string());
    let found = adopt(root, &form, false, &mut each).unwrap();
    assert_eq!(
        (names, found.obstacles.len()),
        (vec!["INBOX".to_owned(), "work".to_owned()], 0)
    );
    fs::create_dir_all(root.join("4fb6c116d078086ba608000083ecc375/cur")).unwrap();
    let found = adopt(root, &form, true, &mut |_| ()).unwrap();
    assert!(found.obstacles[0].contains("(LAYOUT=index)"), "{found:?}");
}

#[test]
fn side_files_that_are_elsewhere_are_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make(root, &[("cur/1.a:2,Sab", "one\n"), ("new/2.b", "two\n")]);
    let told = |sign: &str| {
        let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert!(found.obstacles[0].contains(sign), "{found:?}");
        assert!(found.obstacles[0].contains("CONTROL=DIR"), "{found:?}");
        assert_eq!(found.obstacles.len(), 1);
    };
    told("messages with letters of keywords");
    fs::write(root.join("dovecot.index.log"), "").unwrap();
    told("an index of Dovecot's");
    // What tells what is meant is one that is there.
    fs::write(root.join(keywords::FILE), "").unwrap();
    told("an index of Dovecot's");
    fs::remove_file(root.join("dovecot.index.log")).unwrap();
    let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert!(found.obstacles.is_empty(), "{found:?}");
    // And where they are, there is nothing to tell.
    fs::remove_file(root.join(keywords::FILE)).unwrap();
    fs::write(root.join(uidlist::FILE), "3 V1 N9\n4 :1.a\n").unwrap();
    let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    assert!(found.obstacles.is_empty(), "{found:?}");
    let lost = found.mailboxes[0].lost.join("\n");
    assert!(lost.contains("2 letters of keywords that"), "{lost}");
}

#[test]
fn more_keywords_than_letters_are_suspected() {
    // Those that only Dovecot's index has were dropped without a word where nobody had run `adopt`.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let name = |count: usize| -> String { (0..count).map(|at| format!("{at} k{at}\n")).collect() };
    fs::write(path.join(keywords::FILE), name(26)).unwrap();
    assert!(!may_have_more(path));
    fs::write(path.join("dovecot.index.log"), "").unwrap();
    assert!(may_have_more(path));
    fs::write(path.join(keywords::FILE), name(25)).unwrap();
    assert!(!may_have_more(path));
    fs::write(path.join(keywords::FILE), name(26)).unwrap();
    let mut uids = UidSet::new();
    uids.insert(Uid::MIN);
    let all = vec![(Keyword::new("k26").unwrap(), uids)];
    beyond::write(path, &all).unwrap();
    assert!(!may_have_more(path));
}

/// One was renamed over the other.
#[test]
fn two_messages_of_one_name_both_stay_with_courier() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    make(
        root,
        &[
            ("cur/1.a:2,", "first\n"),
            ("new/1.a", "second\n"),
            ("courierimapuiddb", "1 1234567890 9\n4 1.a\n"),
            ("courierimapkeywords/:list", "work\n\n1.a:0\n"),
        ],
    );
    adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
    let mut store = Maildir::open(root, Layout::Dotted).unwrap();
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    assert!(scanned.found.iter().any(|found| found.uid == Uid::new(4)));
    let parts = ["new", "cur"].map(|part| fs::read_dir(root.join(part)).unwrap());
    let files = parts.into_iter().flatten();
    let mut texts: Vec<String> = files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["first\n", "second\n"]);
}
