//! Other programs work in the same directories, and spell names as they like.

use super::tests::{flags, name, uids};
use super::*;
use crate::mail::SystemFlags;
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
