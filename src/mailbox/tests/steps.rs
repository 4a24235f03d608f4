//! Commands that go in steps: what is there when they end early, and what others do meanwhile.

use super::*;

/// An account with that many messages in INBOX, the mailbox `a`, and a view of INBOX.
fn filled(step_messages: usize, count: u32) -> (Account, tempfile::TempDir, View) {
    let (account, directory) = Account::stepping(step_messages);
    account.create(&name("a")).unwrap();
    for number in 1..=count {
        append(&account, "INBOX", &number.to_string(), &Flags::default());
    }
    let view = inbox(&account, "INBOX");
    (account, directory, view)
}

fn inbox(account: &Account, mailbox: &str) -> View {
    account.select(&name(mailbox), Access::ReadWrite).unwrap()
}

/// UIDs and flags in a mailbox as somebody sees them who looks anew, and how many files there are.
fn there(account: &Account, directory: &Path, mailbox: &str) -> Vec<(u32, u8)> {
    let mut view = inbox(account, mailbox);
    view.sync(Expunges::Tell).unwrap();
    let path = match mailbox {
        "INBOX" => directory.to_owned(),
        other => directory.join(format!(".{other}")),
    };
    let files = |part: &str| fs::read_dir(path.join(part)).unwrap().count();
    let shown = shown(&view);
    assert_eq!(files("new") + files("cur"), shown.len(), "{mailbox}");
    shown
        .into_iter()
        .map(|(_, uid, flags)| (uid, flags))
        .collect()
}

fn count(account: &Account, directory: &Path, mailbox: &str) -> usize {
    there(account, directory, mailbox).len()
}

#[test]
fn a_copy_that_ends_early_is_taken_back() {
    // It ran to its end though nobody waited for it any more.
    for (done, step_messages) in [(0, 2), (1, 2), (2, 2), (3, 2), (1, 3), (4, 1)] {
        let (account, directory, mut view) = filled(step_messages, 7);
        append(&account, "a", "old", &Flags::default());
        let mut other = inbox(&account, "a");
        let mut copy = view
            .copying(&uids(&[1, 2, 3, 4, 5, 6, 7]), &name("a"))
            .unwrap();
        for step in 1..=done {
            assert!(copy.step().unwrap());
            let copied = (step * step_messages) as u64;
            assert_eq!(copy.progress(), (copied, 7));
            let came = other.sync(Expunges::Tell).unwrap().exists;
            assert_eq!(came, Some(1 + step as u32 * step_messages as u32));
        }
        // Somebody takes one away, and another comes.
        if done > 0 {
            other.discard(&uids(&[2])).unwrap();
        }
        append(&account, "a", "new", &Flags::default());
        other.sync(Expunges::Tell).unwrap();
        let uid_next = other.uid_next();
        copy.stop();
        while copy.step().unwrap() {}
        assert!(copy.copied().is_empty());
        assert_eq!(
            other.sync(Expunges::Tell).unwrap().vanished.count() as usize,
            (done * step_messages).saturating_sub(1)
        );
        assert_eq!(count(&account, directory.path(), "a"), 2, "{done}");
        assert_eq!(count(&account, directory.path(), "INBOX"), 7);
        let next = append(&account, "a", "next", &Flags::default());
        assert_eq!(next, uid_next.number(), "no UID is given again");
    }
}

#[test]
fn a_copy_that_fails_in_the_middle_is_taken_back() {
    let (account, directory, mut view) = filled(2, 7);
    let all = view.uids().clone();
    let mut copy = view.copying(&all, &name("a")).unwrap();
    assert!(copy.step().unwrap());
    // A directory where the third message is to get its name, and no right to make another.
    let gone = directory.path().join(".a/cur");
    let aside = directory.path().join("aside");
    fs::rename(&gone, &aside).unwrap();
    fs::write(&gone, "in the way").unwrap();
    account.0.rename_handles();
    let failed = loop {
        match copy.step() {
            Ok(more) => assert!(more),
            Err(error) => break error,
        }
    };
    assert_eq!(failed, Error::Unavailable);
    fs::remove_file(&gone).unwrap();
    fs::rename(&aside, &gone).unwrap();
    assert_eq!(count(&account, directory.path(), "INBOX"), 7);
}

#[test]
fn a_mailbox_that_goes_meanwhile_ends_a_copy() {
    let (account, directory, mut view) = filled(2, 5);
    let all = view.uids().clone();
    let mut copy = view.copying(&all, &name("a")).unwrap();
    assert!(copy.step().unwrap());
    account.delete(&name("a")).unwrap();
    account.create(&name("a")).unwrap();
    append(&account, "a", "of another mailbox", &Flags::default());
    assert!(copy.step().unwrap());
    assert_eq!(copy.step(), Err(Error::NoSuchMailbox));
    assert_eq!(count(&account, directory.path(), "a"), 1);
}

#[test]
fn mailboxes_that_change_their_names_meanwhile_are_still_meant() {
    let (account, directory, _view) = filled(2, 6);
    account.create(&name("b")).unwrap();
    let mut inbox_view = inbox(&account, "INBOX");
    inbox_view
        .copy(&uids(&[1, 2, 3, 4, 5, 6]), &name("a"))
        .unwrap();
    let mut view = inbox(&account, "a");
    let all = view.uids().clone();
    let mut carry = view.moving(&all, &name("b")).unwrap();
    assert!(carry.step().unwrap());
    // What was `a` becomes `b`, and the other way round.
    for (from, to) in [("a", "c"), ("b", "a"), ("c", "b")] {
        account.rename(&name(from), &name(to)).unwrap();
    }
    while carry.step().unwrap() {}
    assert_eq!(carry.copied().from, all);
    assert_eq!(count(&account, directory.path(), "a"), 6);
    assert_eq!(count(&account, directory.path(), "b"), 0);
}

#[test]
fn a_move_that_ends_early_has_each_message_once() {
    let (account, directory, mut view) = filled(2, 7);
    let all = view.uids().clone();
    let mut carry = view.moving(&all, &name("a")).unwrap();
    assert!(carry.step().unwrap() && carry.step().unwrap());
    // Another session is served, and told of what went.
    let mut other = inbox(&account, "INBOX");
    assert_eq!(other.exists(), 3);
    other.discard(&uids(&[7])).unwrap();
    assert_eq!(carry.step(), Ok(true));
    carry.stop();
    assert_eq!(carry.step(), Ok(false));
    assert_eq!(carry.copied().from.count(), 6);
    assert_eq!(count(&account, directory.path(), "a"), 6);
    assert_eq!(count(&account, directory.path(), "INBOX"), 0);
    assert_eq!(view.sync(Expunges::Tell).unwrap().vanished, all);
}

#[test]
fn an_expunge_that_ends_early_leaves_the_rest() {
    let (account, directory, mut view) = filled(2, 9);
    let deleted = flags(SystemFlags::DELETED, &[]);
    view.mark(&uids(&[1, 2, 3, 5, 8]), FlagChange::Add, &deleted, None)
        .unwrap();
    let mut expunge = view.expunging(None).unwrap();
    assert!(expunge.step().unwrap());
    // One is to stay after all, and one that gets the flag now is not meant.
    let mut other = inbox(&account, "INBOX");
    other
        .mark(&uids(&[3]), FlagChange::Remove, &deleted, None)
        .unwrap();
    other
        .mark(&uids(&[9]), FlagChange::Add, &deleted, None)
        .unwrap();
    let mut again = inbox(&account, "INBOX").expunging(None).unwrap();
    assert!(again.step().unwrap());
    again.stop();
    assert_eq!(again.step(), Ok(false));
    let left = there(&account, directory.path(), "INBOX");
    let numbers = |left: &[(u32, u8)]| -> Vec<u32> { left.iter().map(|(uid, _)| *uid).collect() };
    assert_eq!(numbers(&left), [3, 4, 6, 7, 9]);
    while expunge.step().unwrap() {}
    let left = there(&account, directory.path(), "INBOX");
    assert_eq!(numbers(&left), [3, 4, 6, 7, 9]);
}

#[test]
fn a_store_that_ends_early_has_whole_messages_done() {
    let (account, directory, mut view) = filled(3, 8);
    let seen = flags(SystemFlags::SEEN, &["red"]);
    let all = view.uids().clone();
    let mut mark = view.marking(&all, FlagChange::Set, seen, None).unwrap();
    assert!(mark.step().unwrap());
    assert_eq!(mark.progress(), (3, 8));
    let mut other = inbox(&account, "INBOX");
    other.discard(&uids(&[2, 5])).unwrap();
    assert!(mark.step().unwrap());
    mark.stop();
    assert_eq!(mark.step(), Ok(false));
    assert_eq!(mark.marked().told, uids(&[1, 2, 3, 4, 6]));
    let bits = SystemFlags::SEEN.bits();
    let now = there(&account, directory.path(), "INBOX");
    assert_eq!(
        now,
        [(1, bits), (3, bits), (4, bits), (6, bits), (7, 0), (8, 0)]
    );
}
