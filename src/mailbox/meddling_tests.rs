//! Other programs work in the same directories, and spell names as they like.

use super::tests::{append, flags, name, shown, uids};
use super::*;
use crate::mail::{Flags, SystemFlags};
use crate::mime::Section;
use std::fs;
use std::path::Path;

/// As another program files a message.
fn deliver(mailbox: &Path, file: &str) {
    let text = format!("Subject: {file}\n\nx\n");
    fs::write(mailbox.join("tmp/x"), text).unwrap();
    fs::rename(mailbox.join("tmp/x"), mailbox.join(file)).unwrap();
}

fn empty() -> (Account, tempfile::TempDir) {
    let (account, directory) = Account::temporary();
    // Its directories are made.
    account.list().unwrap();
    (account, directory)
}

fn files(mailbox: &Path) -> Vec<String> {
    let list = |part: &str| fs::read_dir(mailbox.join(part)).unwrap().flatten();
    let named = |part: &'static str| {
        list(part).map(move |f| format!("{part}/{}", f.file_name().to_str().unwrap()))
    };
    let mut all: Vec<String> = named("new").chain(named("cur")).collect();
    all.sort();
    all
}

fn body(view: &View, uid: u32) -> Result<String, Error> {
    let want = Want {
        body: true,
        ..Want::default()
    };
    let mut rows = view.fetch(uids(&[uid]), want);
    assert!(rows.advance()?);
    let mut body = Vec::new();
    let mut content = rows.content(&Section::default())?.unwrap();
    while content.read(&mut body, 1000)? > 0 {}
    Ok(String::from_utf8(body).unwrap())
}

fn inbox(account: &Account) -> View {
    account.select(&name("INBOX"), Access::ReadWrite).unwrap()
}

fn add(view: &mut View, uid: u32, system: SystemFlags) -> Result<Marked, Error> {
    let flags = flags(system, &[]);
    view.mark(&uids(&[uid]), FlagChange::Add, &flags, None)
}

#[test]
fn names_that_others_spelled_are_read_marked_and_moved() {
    // A file whose name was not spelled as this server does could not be opened, STORE changed
    // nothing and MOVE took nothing.
    for (spelled, marked) in [
        ("cur/1.x:2,PS", "cur/1.x:2,FPS"),
        ("cur/1.x", "cur/1.x:2,F"),
        ("cur/1.x:2,SR", "cur/1.x:2,FRS"),
        ("cur/1.x:2,S,y", "cur/1.x:2,FS,y"),
        ("new/1.x:2,S", "cur/1.x:2,FS"),
        ("new/1.x:2,", "cur/1.x:2,F"),
    ] {
        let (account, directory) = empty();
        let root = directory.path();
        account.create(&name("other")).unwrap();
        deliver(root, spelled);
        let mut view = inbox(&account);
        let text = format!("Subject: {spelled}\r\n\r\nx\r\n");
        assert_eq!(body(&view, 1).as_ref(), Ok(&text), "{spelled}");
        add(&mut view, 1, SystemFlags::FLAGGED).unwrap();
        assert_eq!(files(root), [marked], "{spelled}");
        assert_eq!(body(&view, 1).as_ref(), Ok(&text), "{marked}");
        assert_eq!(view.shared.undisturbed_for_tests(), Some(true), "{spelled}");
        view.copy(&uids(&[1]), &name("other")).unwrap();
        let moved = view.transfer(&uids(&[1]), &name("other")).unwrap();
        assert_eq!(moved.to.to_string(), "2", "{spelled}");
        assert_eq!(
            (files(root).len(), files(&root.join(".other")).len()),
            (0, 2)
        );
    }
}

#[test]
fn names_that_others_spelled_are_expunged() {
    // EXPUNGE said OK, the file stayed, and from then on the mailbox could not be opened.
    for spelled in ["cur/1.x:2,PT", "cur/1.x:2,TS", "new/1.x:2,T"] {
        let (account, directory) = empty();
        let root = directory.path();
        deliver(root, spelled);
        let mut view = inbox(&account);
        view.expunge(None).unwrap();
        assert!(files(root).is_empty(), "{spelled}");
        assert_eq!(view.sync(Expunges::Tell).unwrap().expunged.to_string(), "1");
        assert_eq!(view.shared.undisturbed_for_tests(), Some(true), "{spelled}");
        drop(view);
        // What comes back under such a name comes under another UID.
        deliver(root, "new/2.x,U=1:2,S");
        deliver(root, "cur/3.x,U=1:2,PS");
        let mut view = inbox(&account);
        view.sync(Expunges::Tell).unwrap();
        assert_eq!(view.uids().to_string(), "2:3", "{spelled}");
        assert!(body(&view, 2).is_ok() && body(&view, 3).is_ok());
    }
}

#[test]
fn flags_that_others_gave_meanwhile_stay() {
    // STORE wrote what the index knew over flags that another program had set since.
    let (account, directory) = empty();
    let root = directory.path();
    account.create(&name("other")).unwrap();
    deliver(root, "new/1.x");
    deliver(root, "new/2.x");
    let mut view = inbox(&account);
    let rename = |from: &str, to: &str| fs::rename(root.join(from), root.join(to)).unwrap();
    rename("new/1.x", "cur/1.x:2,F");
    add(&mut view, 1, SystemFlags::ANSWERED).unwrap();
    assert_eq!(files(root), ["cur/1.x:2,FR", "new/2.x"]);
    rename("cur/1.x:2,FR", "cur/1.x:2,R");
    rename("new/2.x", "cur/2.x:2,S");
    let to = name("other");
    view.copy(&uids(&[1, 2]), &to).unwrap();
    rename("cur/1.x:2,R", "cur/1.x:2,FR");
    view.transfer(&uids(&[1]), &to).unwrap();
    let other = account.select(&to, Access::ReadOnly).unwrap();
    assert_eq!(shown(&other), [(1, 1, 1), (2, 2, 8), (3, 3, 3)]);
    assert_eq!(shown(&inbox(&account)), [(1, 2, 8)]);
}

#[test]
fn what_is_undeleted_is_not_expunged() {
    // EXPUNGE took what the index, or it itself a moment before, had seen with \Deleted.
    let (account, directory) = empty();
    let root = directory.path();
    deliver(root, "new/1.x");
    deliver(root, "new/2.x");
    let mut view = inbox(&account);
    add(&mut view, 1, SystemFlags::DELETED).unwrap();
    fs::rename(root.join("cur/1.x:2,T"), root.join("cur/1.x:2,R")).unwrap();
    view.expunge(None).unwrap();
    assert_eq!(files(root), ["cur/1.x:2,R", "new/2.x"]);
    // Another session's word between the two steps of EXPUNGE.
    let slots = crate::index::Bits::range(0, 255);
    let mut store = account.0.store().unwrap();
    let shared = view.shared.clone();
    let mut state = shared.state.lock().unwrap();
    let doomed = expunge::Doomed::Deleted;
    let expunged = shared.expunge_chunk(&mut state, &mut *store, 0, &slots, doomed);
    assert_eq!(expunged, Ok(()));
    drop((state, store));
    assert_eq!(files(root).len(), 2);
    let changes = view.sync(Expunges::Tell).unwrap();
    assert!(changes.expunged.is_empty() && view.exists() == 2);
}

#[test]
fn a_store_between_looking_and_expunging_is_heard() {
    // The file of a message that was undeleted after the last look was removed.
    let (account, directory) = empty();
    let root = directory.path();
    deliver(root, "cur/1.x:2,RT");
    let view = inbox(&account);
    let mut store = account.0.store().unwrap();
    let found = store.scan(&name("INBOX")).unwrap().found;
    let blob = found[0].blob.clone();
    fs::rename(root.join("cur/1.x:2,RT"), root.join("cur/1.x:2,R")).unwrap();
    assert!(!store.remove(&name("INBOX"), &blob).unwrap());
    assert_eq!(files(root), ["cur/1.x:2,R"]);
    drop((view, store));
}

#[test]
fn letters_that_others_gave_a_meaning_keep_it() {
    // A new keyword took the letter that another program had just used for one of its own.
    let (account, directory) = empty();
    let root = directory.path();
    deliver(root, "new/1.x");
    let mut view = inbox(&account);
    fs::write(root.join("dovecot-keywords"), "0 Theirs\n").unwrap();
    let own = flags(SystemFlags::NONE, &["Own"]);
    view.mark(&uids(&[1]), FlagChange::Add, &own, None).unwrap();
    assert_eq!(files(root), ["cur/1.x:2,b"]);
    let text = fs::read_to_string(root.join("dovecot-keywords")).unwrap();
    assert_eq!(text, "0 Theirs\n1 Own\n");
}

#[test]
fn letters_that_nobody_has_keep_their_names() {
    // A keyword that no message had went from the side file and not from the index; then messages got its
    // letter, and nobody else knew what that meant.
    let (account, directory) = empty();
    let root = directory.path();
    deliver(root, "new/1.x");
    let mut view = inbox(&account);
    for keyword in ["One", "Two"] {
        let own = flags(SystemFlags::NONE, &[keyword]);
        view.mark(&uids(&[1]), FlagChange::Add, &own, None).unwrap();
        view.mark(&uids(&[1]), FlagChange::Remove, &own, None)
            .unwrap();
    }
    drop(view);
    fs::write(root.join("dovecot-keywords"), "0 Two\n3 Theirs\n").unwrap();
    deliver(root, "new/2.x");
    let mut view = inbox(&account);
    for keyword in ["One", "Two", "Theirs"] {
        let own = flags(SystemFlags::NONE, &[keyword]);
        view.mark(&uids(&[2]), FlagChange::Add, &own, None).unwrap();
    }
    let text = fs::read_to_string(root.join("dovecot-keywords")).unwrap();
    let names: Vec<&str> = text.lines().collect();
    assert_eq!(names, ["0 Two", "1 One", "3 Theirs"]);
    assert!(
        files(root).contains(&"cur/2.x:2,abd".to_owned()),
        "{:?}",
        files(root)
    );
}

#[test]
fn letters_that_nothing_names_are_no_new_keyword() {
    // The next new keyword got the first letter without a name, and with it all messages that had that letter.
    let (account, directory) = empty();
    let root = directory.path();
    deliver(root, "cur/1.x:2,acd");
    deliver(root, "new/2.x");
    fs::write(root.join("dovecot-keywords"), "1 Theirs\n2 unknown-0\n").unwrap();
    let mut view = inbox(&account);
    let own = flags(SystemFlags::NONE, &["Own"]);
    view.mark(&uids(&[2]), FlagChange::Add, &own, None).unwrap();
    let text = fs::read_to_string(root.join("dovecot-keywords")).unwrap();
    assert_eq!(
        text,
        "0 unknown-1\n1 Theirs\n2 unknown-0\n3 unknown-2\n4 Own\n"
    );
    assert_eq!(files(root), ["cur/1.x:2,acd", "cur/2.x:2,e"]);
}

#[test]
fn messages_are_moved_to_and_fro_at_once() {
    // Whoever locks two mailboxes does it in one order.
    let (account, _directory) = empty();
    account.create(&name("other")).unwrap();
    (0..20).for_each(|n| {
        append(&account, "INBOX", &n.to_string(), &Flags::default());
    });
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
    let count = |mailbox: &str| {
        let view = account.select(&name(mailbox), Access::ReadOnly);
        view.unwrap().exists()
    };
    assert_eq!(count("INBOX") + count("other"), 20);
}
