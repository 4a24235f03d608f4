mod block_cut;
mod blocks;
mod damage;
mod failing;
mod lost_logs;
mod platter;
mod power_cut;
mod script;
mod scrub;
mod steps;
mod told;
mod wounds;

use super::*;
use crate::config::Format;
use crate::mail::{Criteria, DateTime, Flags, Keyword, MailboxName, SystemFlags, Uid, UidSet};
use crate::mime::Section;
use std::fs;
use std::path::Path;
use std::sync::Arc;

pub(super) fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

pub(super) fn flags(system: SystemFlags, keywords: &[&str]) -> Flags {
    Flags {
        system,
        keywords: keywords.iter().map(|k| Keyword::new(k).unwrap()).collect(),
    }
}

pub(super) fn append(account: &Account, mailbox: &str, subject: &str, flags: &Flags) -> u32 {
    let mut draft = account.draft();
    draft
        .write(format!("Subject: {subject}\r\nFrom: a@b\r\n\r\nbody of {subject}\r\n").as_bytes())
        .unwrap();
    account
        .append(
            &name(mailbox),
            &mut draft,
            flags,
            Some(DateTime::utc(1_000_000_000)),
        )
        .unwrap()
        .uids
        .last()
        .unwrap()
        .number()
}

pub(super) fn uids(numbers: &[u32]) -> UidSet {
    numbers.iter().filter_map(|&n| Uid::new(n)).collect()
}

/// Commands as a session runs them, to their end.
impl View {
    pub(crate) fn expunge(&mut self, only: Option<&UidSet>) -> Result<(), Error> {
        let mut expunge = self.expunging(only)?;
        while expunge.step()? {}
        Ok(())
    }

    pub(super) fn copy(&mut self, uids: &UidSet, to: &MailboxName) -> Result<Copied, Error> {
        self.copying(uids, to)?.run_to_end()
    }

    pub(super) fn transfer(&mut self, uids: &UidSet, to: &MailboxName) -> Result<Copied, Error> {
        self.moving(uids, to)?.run_to_end()
    }
}

impl Carry {
    pub(super) fn run_to_end(mut self) -> Result<Copied, Error> {
        while self.step()? {}
        Ok(self.copied().clone())
    }
}

pub(super) fn shown(view: &View) -> Vec<(u32, u32, u8)> {
    let mut rows = view.fetch(view.uids().clone(), Want::default());
    let mut all = Vec::new();
    while rows.advance().unwrap() {
        all.push((
            rows.seq().number(),
            rows.uid().number(),
            rows.flags().bits(),
        ));
    }
    all
}

pub(super) fn rename_inbox(account: &Account, to: &str) {
    let renamed = account.rename(&name("INBOX"), &name(to)).unwrap();
    renamed.rest.unwrap().run_to_end().unwrap();
}

fn found(view: &View, criteria: Criteria) -> String {
    let mut search = view.search(criteria);
    loop {
        if let Some(uids) = search.step().unwrap() {
            return uids.to_string();
        }
    }
}

fn everything(root: &Path) -> (Account, Host) {
    let host = Host::with(crate::index::Index::memory().unwrap(), Limits::default());
    (host.account("u", root).unwrap(), host)
}

#[test]
fn messages_are_appended_fetched_and_searched() {
    let (account, _directory) = Account::temporary();
    for (n, subject) in ["one", "two", "three"].iter().enumerate() {
        let system = if n == 1 {
            SystemFlags::SEEN
        } else {
            SystemFlags::NONE
        };
        assert_eq!(
            append(&account, "INBOX", subject, &flags(system, &["$Junk"])),
            n as u32 + 1
        );
    }
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    assert_eq!(
        (view.exists(), view.recent(), view.uid_next().number()),
        (3, 3, 4)
    );
    assert_eq!(view.first_unseen().unwrap().unwrap().number(), 1);
    assert_eq!(shown(&view), [(1, 1, 0), (2, 2, 8), (3, 3, 0)]);
    assert_eq!(view.keywords(), [Keyword::new("$Junk")]);
    let want = Want {
        envelope: true,
        ..Want::default()
    };
    let mut rows = view.fetch(uids(&[2]), want);
    assert!(rows.advance().unwrap());
    assert!(
        rows.envelope()
            .unwrap()
            .starts_with(b"(NIL \"two\" ((NIL NIL \"a\" \"b\"))")
    );
    assert_eq!(rows.octets().unwrap(), 40);
    assert_eq!(rows.internal_date().unwrap().seconds, 1_000_000_000);
    assert_eq!(
        rows.header_fields(&["subject".into()]).unwrap(),
        b"Subject: two\r\n\r\n"
    );
    let mut body = Vec::new();
    let mut content = rows.content(&Section::default()).unwrap().unwrap();
    while content.read(&mut body, 7).unwrap() > 0 {}
    assert_eq!(body, b"Subject: two\r\nFrom: a@b\r\n\r\nbody of two\r\n");
    assert!(!rows.advance().unwrap());
    let header = |t: &str| Criteria::Header(crate::mail::HeaderField("Subject".into()), t.into());
    assert_eq!(found(&view, header("T")), "2:3");
    assert_eq!(found(&view, Criteria::Body("OF THREE".into())), "3");
    assert_eq!(
        found(
            &view,
            Criteria::Not(Box::new(Criteria::Flag(SystemFlags::SEEN)))
        ),
        "1,3"
    );
    assert_eq!(
        found(&view, Criteria::Keyword(Keyword::new("$junk").unwrap())),
        "1:3"
    );
    assert_eq!(found(&view, Criteria::Larger(42)), "3");
    let second = account.select(&name("INBOX"), Access::ReadOnly).unwrap();
    assert_eq!(second.recent(), 0);
}

#[test]
fn sessions_see_each_other() {
    let (account, _directory) = Account::temporary();
    (0..4).for_each(|n| {
        append(&account, "INBOX", &n.to_string(), &Flags::default());
    });
    let mut a = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let mut b = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    assert!(a.is_current() && b.is_current());
    a.mark(
        &uids(&[2, 3]),
        FlagChange::Add,
        &flags(SystemFlags::DELETED, &["x"]),
        None,
    )
    .unwrap();
    assert!(!b.is_current());
    let changes = b.sync(Expunges::Tell).unwrap();
    assert_eq!(
        (changes.flags.to_string().as_str(), changes.keywords),
        ("2:3", true)
    );
    assert!(
        a.sync(Expunges::Tell).unwrap().flags.is_empty(),
        "own changes are not told twice"
    );
    a.expunge(Some(&uids(&[3, 4]))).unwrap();
    append(&account, "INBOX", "new", &Flags::default());
    let held = b.sync(Expunges::Hold).unwrap();
    assert_eq!(
        (held.expunged.to_string(), held.exists),
        (String::new(), Some(5))
    );
    let told = b.sync(Expunges::Tell).unwrap();
    assert_eq!(
        (told.expunged.to_string().as_str(), told.exists),
        ("3", None)
    );
    assert_eq!(shown(&b), [(1, 1, 0), (2, 2, 4), (3, 4, 0), (4, 5, 0)]);
    assert!(b.is_current());
    a.sync(Expunges::Tell).unwrap();
    a.expunge(None).unwrap();
    assert_eq!(a.sync(Expunges::Tell).unwrap().expunged.to_string(), "2");
    let status = account.status(&name("INBOX"), Asked::default()).unwrap();
    assert_eq!(
        (status.messages, status.unseen, status.uid_next.number()),
        (3, 3, 6)
    );
}

#[test]
fn copies_and_moves_keep_flags_and_dates() {
    let (account, _directory) = Account::temporary();
    account.create(&name("a/b")).unwrap();
    (0..3).for_each(|n| {
        append(
            &account,
            "INBOX",
            &n.to_string(),
            &flags(SystemFlags::FLAGGED, &["k"]),
        );
    });
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let copied = view.copy(&uids(&[1, 3, 9]), &name("a/b")).unwrap();
    assert_eq!(
        (
            copied.from.to_string().as_str(),
            copied.to.to_string().as_str()
        ),
        ("1,3", "1:2")
    );
    let moved = view.transfer(&uids(&[2]), &name("a/b")).unwrap();
    assert_eq!(moved.to.to_string(), "3");
    assert_eq!(view.sync(Expunges::Tell).unwrap().expunged.to_string(), "2");
    let target = account.select(&name("a/b"), Access::ReadOnly).unwrap();
    assert_eq!(shown(&target), [(1, 1, 2), (2, 2, 2), (3, 3, 2)]);
    assert_eq!(target.keywords(), [Keyword::new("k")]);
    let mut rows = target.fetch(
        uids(&[3]),
        Want {
            internal_date: true,
            ..Want::default()
        },
    );
    assert!(rows.advance().unwrap() && rows.internal_date().unwrap().seconds == 1_000_000_000);
    assert_eq!(
        view.copy(&uids(&[1]), &name("none")),
        Err(Error::NoSuchMailbox)
    );
    account.rename(&name("a"), &name("z")).unwrap();
    let names: Vec<String> = account
        .list()
        .unwrap()
        .iter()
        .map(|l| l.name.to_string())
        .collect();
    assert_eq!(names, ["INBOX", "z", "z/b"]);
    assert_eq!(
        account
            .status(&name("z/b"), Asked::default())
            .unwrap()
            .messages,
        3
    );
    account.delete(&name("z/b")).unwrap();
    assert_eq!(
        account.status(&name("z/b"), Asked::default()).err(),
        Some(Error::NoSuchMailbox)
    );
}

#[test]
fn foreign_changes_are_noticed_while_open() {
    let (account, directory) = Account::temporary();
    let root = directory.path();
    append(&account, "INBOX", "own", &Flags::default());
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    view.mark(
        &uids(&[1]),
        FlagChange::Add,
        &flags(SystemFlags::SEEN, &[]),
        None,
    )
    .unwrap();
    append(&account, "INBOX", "second", &Flags::default());
    view.sync(Expunges::Tell).unwrap();
    fs::write(root.join("tmp/x"), "Subject: foreign\n\nx\n").unwrap();
    fs::rename(root.join("tmp/x"), root.join("new/1.foreign.host")).unwrap();
    let changes = view.sync(Expunges::Tell).unwrap();
    assert_eq!(changes.exists, Some(3));
    fs::rename(
        root.join("new/1.foreign.host"),
        root.join("cur/1.foreign.host:2,F"),
    )
    .unwrap();
    assert_eq!(view.sync(Expunges::Tell).unwrap().flags.to_string(), "3");
    assert_eq!(shown(&view), [(1, 1, 8), (2, 2, 0), (3, 3, 2)]);
    fs::remove_file(root.join("cur/1.foreign.host:2,F")).unwrap();
    assert_eq!(view.sync(Expunges::Tell).unwrap().expunged.to_string(), "3");
}

#[test]
fn own_changes_cause_no_scan() {
    let (account, _directory) = Account::temporary();
    account.create(&name("other")).unwrap();
    (0..300).for_each(|n| {
        append(&account, "INBOX", &n.to_string(), &Flags::default());
    });
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let mut other = account.select(&name("other"), Access::ReadWrite).unwrap();
    let all = view.uids().clone();
    view.mark(
        &all,
        FlagChange::Add,
        &flags(SystemFlags::SEEN, &["k"]),
        None,
    )
    .unwrap();
    view.mark(&all, FlagChange::Add, &flags(SystemFlags::SEEN, &[]), None)
        .unwrap();
    append(&account, "INBOX", "more", &flags(SystemFlags::DELETED, &[]));
    view.copy(&uids(&[1, 2, 3]), &name("other")).unwrap();
    view.transfer(&uids(&[4, 5]), &name("other")).unwrap();
    view.sync(Expunges::Tell).unwrap();
    view.expunge(None).unwrap();
    assert!(view.sync(Expunges::Tell).is_ok() && other.sync(Expunges::Tell).is_ok());
    view.account.0.host.watch.as_ref().unwrap().drain();
    assert!(
        view.is_current() && other.is_current(),
        "own changes were taken for foreign ones"
    );
    assert_eq!(view.shared.undisturbed_for_tests(), Some(true));
    assert_eq!(other.shared.undisturbed_for_tests(), Some(true));
}

#[test]
fn everything_is_found_again_without_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("cur")).unwrap();
    fs::create_dir_all(root.join("new")).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::write(root.join("cur/9.foreign:2,S"), "x\n").unwrap();
    let mut before = None;
    for round in 0..3 {
        let (account, host) = everything(root);
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let now = (
            view.uid_validity(),
            view.uid_next(),
            shown(&view),
            view.keywords().to_vec(),
        );
        if let Some(before) = before.replace(now.clone()) {
            assert_eq!(now, before, "round {round}");
        }
        append(&account, "INBOX", "x", &flags(SystemFlags::SEEN, &["kept"]));
        append(&account, "INBOX", "gone", &flags(SystemFlags::DELETED, &[]));
        view.sync(Expunges::Tell).unwrap();
        view.expunge(None).unwrap();
        view.sync(Expunges::Tell).unwrap();
        before = Some((
            view.uid_validity(),
            view.uid_next(),
            shown(&view),
            view.keywords().to_vec(),
        ));
        if round == 1 {
            host.close().unwrap();
        }
    }
}

#[test]
fn a_lost_uidlist_is_mended_from_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, _host) = everything(root);
    account.prepare().unwrap();
    ["3.c", "1.a", "2.b"]
        .iter()
        .for_each(|f| fs::write(root.join("new").join(f), "x\n").unwrap());
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let before = (view.uid_validity(), shown(&view));
    drop(view);
    fs::remove_file(root.join("dovecot-uidlist")).unwrap();
    fs::write(root.join("new/0.before"), "x\n").unwrap();
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    assert_eq!(view.uid_validity(), before.0);
    assert_eq!(shown(&view), [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0)]);
    assert!(
        fs::read_to_string(root.join("dovecot-uidlist"))
            .unwrap()
            .contains("4 :0.before")
    );
}

/// The uidlist's own word on the next UID, without that of any file name.
fn listed_next(root: &Path) -> u32 {
    let text = fs::read_to_string(root.join("dovecot-uidlist")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let next = header.split(' ').find_map(|w| w.strip_prefix('N')).unwrap();
    let last = lines.last().and_then(|l| l.split(' ').next());
    let above = last.map_or(0, |uid| uid.parse::<u32>().unwrap() + 1);
    above.max(next.parse().unwrap())
}

/// A process that was killed: nothing of its index is left.
fn killed(root: &Path) -> (Account, Host) {
    everything(root)
}

#[test]
fn a_uid_is_never_given_again_when_its_message_goes() {
    type Way = fn(&Account, &mut View, &Path);
    let expunge: Way = |_, view, _| {
        view.mark(
            &uids(&[2]),
            FlagChange::Add,
            &flags(SystemFlags::DELETED, &[]),
            None,
        )
        .unwrap();
        view.expunge(None).unwrap();
    };
    let transfer: Way = |_, view, _| {
        view.transfer(&uids(&[2]), &name("other")).unwrap();
    };
    let renumber: Way = |_, view, _| {
        view.transfer(&uids(&[2]), &name("INBOX")).unwrap();
    };
    let rename: Way = |account, _, _| rename_inbox(account, "new");
    let foreign: Way = |account, view, root| {
        let mut files = fs::read_dir(root.join("new")).unwrap().flatten();
        let last = files.find(|f| f.path().to_string_lossy().ends_with(",U=2"));
        fs::remove_file(last.unwrap().path()).unwrap();
        // Noticed by a session, and by nobody but the process itself.
        view.sync(Expunges::Tell).unwrap();
        assert_eq!(
            account
                .status(&name("INBOX"), Asked::default())
                .unwrap()
                .messages,
            1
        );
    };
    for (at, way) in [expunge, transfer, renumber, rename, foreign]
        .iter()
        .enumerate()
    {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (account, host) = everything(root);
        account.create(&name("other")).unwrap();
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        append(&account, "INBOX", "1", &Flags::default());
        append(&account, "INBOX", "2", &Flags::default());
        view.sync(Expunges::Tell).unwrap();
        way(&account, &mut view, root);
        let next = account
            .status(&name("INBOX"), Asked::default())
            .unwrap()
            .uid_next
            .number();
        assert!(listed_next(root) > 2, "{at}");
        drop((view, account, host));
        let (account, _host) = killed(root);
        let again = account
            .status(&name("INBOX"), Asked::default())
            .unwrap()
            .uid_next
            .number();
        assert_eq!(again, next, "{at}");
        assert_eq!(
            append(&account, "INBOX", "3", &Flags::default()),
            next,
            "{at}"
        );
    }
}

#[test]
fn nothing_goes_while_the_uidlist_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, _host) = everything(root);
    account.create(&name("other")).unwrap();
    append(&account, "INBOX", "1", &flags(SystemFlags::DELETED, &[]));
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    append(&account, "INBOX", "2", &flags(SystemFlags::DELETED, &[]));
    view.sync(Expunges::Tell).unwrap();
    // Another program's, which lives.
    let lock = root.join("dovecot-uidlist.lock");
    let host = rustix::system::uname()
        .nodename()
        .to_str()
        .unwrap()
        .to_owned();
    fs::write(&lock, format!("{}:{host}", std::process::id())).unwrap();
    assert_eq!(view.expunge(None), Err(Error::Busy));
    assert_eq!(shown(&view).len(), 2);
    fs::remove_file(&lock).unwrap();
    view.expunge(None).unwrap();
    assert_eq!(
        view.sync(Expunges::Tell).unwrap().expunged.to_string(),
        "1:2"
    );
    assert_eq!(listed_next(root), 3);
}

#[test]
fn deliveries_side_by_side_appear_in_the_order_of_their_uids() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (account, _host) = everything(root);
    let mut told: Vec<u32> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let account = account.clone();
                scope.spawn(move || {
                    let subject = worker.to_string();
                    let one = |_| append(&account, "INBOX", &subject, &Flags::default());
                    (0..30).map(one).collect::<Vec<u32>>()
                })
            })
            .collect();
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let mut number = 0;
        while !workers.iter().all(|w| w.is_finished()) {
            number += 1;
            if number % 5 == 0 {
                // Has the directory scanned while messages are on their way.
                fs::write(root.join(format!("tmp/{number}")), "x\n").unwrap();
                let new = root.join(format!("new/{number}.foreign"));
                fs::rename(root.join(format!("tmp/{number}")), new).unwrap();
            }
            view.sync(Expunges::Hold).unwrap();
            let next = view.uid_next().number();
            let all: Vec<u32> = view.uids().iter().map(Uid::number).collect();
            assert!(all.starts_with(&told), "{all:?} after {told:?}");
            assert!(all.last().is_none_or(|last| *last < next));
            told = all;
        }
        for worker in workers {
            let given = worker.join().unwrap();
            assert!(given.is_sorted(), "{given:?}");
        }
    });
    let view = account.select(&name("INBOX"), Access::ReadOnly).unwrap();
    let foreign = fs::read_dir(root.join("new")).unwrap().flatten();
    let foreign = foreign.filter(|f| f.path().extension().is_some_and(|e| e == "foreign"));
    let foreign = u32::try_from(foreign.count()).unwrap();
    assert!(foreign > 0);
    assert_eq!(view.exists(), 120 + foreign);
    assert_eq!(view.uid_next().number(), 121 + foreign);
    let status = account.status(&name("INBOX"), Asked::default()).unwrap();
    assert_eq!(
        (status.messages, status.unseen),
        (120 + foreign, 120 + foreign)
    );
}

#[test]
fn what_comes_back_after_an_expunge_is_a_new_message() {
    let (account, directory) = Account::temporary();
    let root = directory.path();
    append(&account, "INBOX", "1", &flags(SystemFlags::DELETED, &[]));
    append(&account, "INBOX", "2", &Flags::default());
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let file = fs::read_dir(root.join("cur"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::copy(&file, root.join("tmp/copy")).unwrap();
    view.expunge(None).unwrap();
    view.sync(Expunges::Tell).unwrap();
    fs::rename(root.join("tmp/copy"), &file).unwrap();
    let changes = view.sync(Expunges::Tell).unwrap();
    assert_eq!(changes.exists, Some(2));
    assert_eq!(shown(&view), [(1, 2, 0), (2, 3, 4)]);
    // Nor does a foreign name bring a UID back.
    fs::write(root.join("new/9.foreign,U=1"), "x\n").unwrap();
    view.sync(Expunges::Tell).unwrap();
    assert_eq!(shown(&view), [(1, 2, 0), (2, 3, 4), (3, 4, 0)]);
    let before = shown(&view);
    drop((view, account));
    let (account, _host) = killed(root);
    let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    assert_eq!(shown(&view), before);
}

#[test]
fn a_lost_uidlist_does_not_stop_expunges() {
    let (account, directory) = Account::temporary();
    let root = directory.path();
    append(&account, "INBOX", "1", &flags(SystemFlags::DELETED, &[]));
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    append(&account, "INBOX", "2", &Flags::default());
    view.sync(Expunges::Tell).unwrap();
    for text in [None, Some("garbage"), Some("3 V0 N1\n")] {
        match text {
            None => fs::remove_file(root.join("dovecot-uidlist")).unwrap(),
            Some(text) => fs::write(root.join("dovecot-uidlist"), text).unwrap(),
        }
        let last = append(&account, "INBOX", "last", &flags(SystemFlags::DELETED, &[]));
        view.sync(Expunges::Tell).unwrap();
        view.expunge(None).unwrap();
        assert_eq!(
            view.sync(Expunges::Tell).unwrap().expunged.count(),
            1 + u64::from(last == 3)
        );
        assert_eq!(listed_next(root), last + 1);
    }
}

#[test]
fn a_new_account_is_prepared_by_many_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // Two processes, and several threads of each.
    let hosts = ["one", "other"].map(|index| {
        let path = directory.path().join(index);
        Host::open_in(&path, Format::Maildir, Limits::default()).unwrap()
    });
    let root = directory.path().join("mail");
    std::thread::scope(|scope| {
        for host in hosts.iter().flat_map(|host| [host; 4]) {
            scope.spawn(|| {
                let account = host.account("ann", &root).unwrap();
                account.prepare().unwrap();
            });
        }
    });
    let account = hosts[0].account("ann", &root).unwrap();
    assert_eq!(account.list().unwrap().len(), 6);
}

#[test]
fn sessions_that_know_the_same_share_a_numbering() {
    let (account, _directory) = Account::temporary();
    (0..6).for_each(|n| {
        append(&account, "INBOX", &n.to_string(), &Flags::default());
    });
    let open = || account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let (mut a, mut b) = (open(), open());
    let shared = |a: &View, b: &View| Arc::ptr_eq(&a.numbers, &b.numbers);
    assert!(shared(&a, &b));
    let deleted = flags(SystemFlags::DELETED, &[]);
    a.mark(&uids(&[2, 5]), FlagChange::Add, &deleted, None)
        .unwrap();
    a.expunge(None).unwrap();
    append(&account, "INBOX", "new", &Flags::default());
    a.sync(Expunges::Tell).unwrap();
    // Who is not told yet that messages went numbers them still.
    b.sync(Expunges::Hold).unwrap();
    assert_eq!((a.exists(), b.exists(), shared(&a, &b)), (5, 7, false));
    b.sync(Expunges::Tell).unwrap();
    assert!(shared(&a, &b) && shared(&a, &open()));
}
