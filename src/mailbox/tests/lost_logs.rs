//! A log of sdbox, mdbox or mbox that is gone, or damaged, while the index knows what it said.

use super::damage::{Seen, look, prepared};
use super::wounds::logged;
use super::{append, flags, name, uids};
use crate::config::Format;
use crate::mail::SystemFlags;
use crate::mailbox::{Access, Account, Care, FlagChange, Host, Limits, Want};
use crate::store::faults::{Failing, fail};
use rustix::io::Errno;
use std::fs;
use std::path::{Path, PathBuf};

const FORMATS: [Format; 2] = [Format::Sdbox, Format::Mdbox];
/// Those whose messages tell much themselves, too.
const ALL: [Format; 3] = [Format::Sdbox, Format::Mdbox, Format::Mbox];

/// The body, the keywords and INTERNALDATE of each message.
type Messages = Vec<(u32, String, Vec<u16>, String)>;

fn read(account: &Account, mailbox: &str) -> Messages {
    let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
    let want = Want {
        internal_date: true,
        body: true,
        ..Want::default()
    };
    let mut rows = view.fetch(view.uids().clone(), want);
    let mut all = Vec::new();
    while rows.advance().unwrap() {
        let date = format!("{:?}", rows.internal_date().unwrap());
        let content = rows.content(&Default::default()).unwrap();
        let (mut text, mut content) = (Vec::new(), content.unwrap());
        while content.read(&mut text, 1 << 20).unwrap() > 0 {}
        let text = String::from_utf8(text).unwrap();
        all.push((rows.uid().number(), text, rows.keywords().to_vec(), date));
    }
    all
}

fn log_of(root: &Path, mailbox: &str) -> PathBuf {
    let side = root.join("mail/.imap/.dovelet/mailboxes");
    if side.is_dir() {
        let file = mailbox.replace("INBOX", "inbox");
        return side.join(file).join("mBoX-MeSsAgEs/dovelet.log");
    }
    let directory = root.join("mail/mailboxes").join(mailbox);
    directory.join("dbox-Mails/dovelet.log")
}

fn open(root: &Path, format: Format) -> (Host, Account) {
    let host = Host::open_in(&root.join("index"), format, Limits::default()).unwrap();
    let account = host.account("u", &root.join("mail")).unwrap();
    (host, account)
}

/// What two mailboxes have, as `prepared` made them, with what `read` tells.
fn all(account: &Account) -> [(Seen, Messages); 2] {
    ["INBOX", "other"].map(|mailbox| (look(account, mailbox), read(account, mailbox)))
}

fn mod_seq(account: &Account) -> u64 {
    let view = account.select(&name("INBOX"), Access::ReadOnly).unwrap();
    view.highest_mod_seq().number()
}

/// Flags and keywords that messages did not come with.
fn change_flags(account: &Account) {
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    let flagged = flags(SystemFlags::FLAGGED, &["late"]);
    view.mark(&uids(&[1, 2, 16]), FlagChange::Add, &flagged, None)
        .unwrap();
    let seen = flags(SystemFlags::SEEN, &["k"]);
    view.mark(&uids(&[3, 4]), FlagChange::Remove, &seen, None)
        .unwrap();
}

/// What is done to a log.
type Harm<'a> = (&'a str, &'a dyn Fn(&Path));

const HARMS: [Harm<'static>; 6] = [
    ("gone", &|log| fs::remove_file(log).unwrap()),
    ("a directory", &|log| {
        fs::remove_file(log).unwrap();
        fs::create_dir(log).unwrap();
    }),
    ("empty", &|log| fs::write(log, "").unwrap()),
    ("other", &|log| {
        fs::write(log, "nothing of the kind\n").unwrap()
    }),
    ("head", &|log| spoil(log, |line| line.starts_with('V'))),
    ("lines", &|log| {
        spoil(log, |line| line.starts_with(['F', 'M']));
    }),
];

/// Turns a bit of each of these lines; what is told is behind the checksum.
fn spoil(log: &Path, which: fn(&str) -> bool) {
    let text = fs::read(log).unwrap();
    let lines = text.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let told = std::str::from_utf8(line).unwrap_or_default();
        let mut line = line.to_vec();
        if which(told.split_once(' ').map_or("", |(_, told)| told)) {
            // One bit alone is set right.
            line[12] ^= 6;
        }
        line
    });
    let spoilt = lines.collect::<Vec<_>>().concat();
    assert_ne!(spoilt, text);
    fs::write(log, spoilt).unwrap();
}

#[test]
fn the_index_tells_what_a_lost_log_said() {
    for format in ALL {
        for (what, harm) in HARMS {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            prepared(root, format);
            let (host, account) = open(root, format);
            change_flags(&account);
            let (before, mod_seq_before) = (all(&account), mod_seq(&account));
            host.close().unwrap();
            drop((host, account));
            harm(&log_of(root, "INBOX"));
            harm(&log_of(root, "other"));
            let (host, account) = open(root, format);
            // What is done to a file in its place is found by the doctor, or once something is written.
            account.check(false, &mut |_| {}).unwrap();
            assert_eq!(all(&account), before, "{format:?}: {what}");
            assert!(mod_seq(&account) >= mod_seq_before);
            // The log says so again: the index is not needed.
            host.close().unwrap();
            drop((host, account));
            fs::remove_file(root.join("index")).unwrap();
            let (_host, account) = open(root, format);
            assert_eq!(all(&account), before, "{format:?}: {what}, without index");
            let next = append(&account, "INBOX", "more", &flags(SystemFlags::NONE, &[]));
            assert_eq!(next, before[0].0.1, "{format:?}: {what}");
        }
    }
}

/// What is delivered first opens the log, before anybody compares the mailbox with it.
#[test]
fn a_log_that_goes_under_a_running_process_is_made_anew() {
    for format in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        prepared(root, format);
        let (host, account) = open(root, format);
        let before = all(&account);
        for other in ["a", "b", "c", "d"] {
            // Logs are not kept open for ever.
            account.create(&name(other)).unwrap();
            append(&account, other, "x", &flags(SystemFlags::NONE, &[]));
        }
        fs::remove_file(log_of(root, "INBOX")).unwrap();
        let next = append(&account, "INBOX", "more", &flags(SystemFlags::NONE, &[]));
        assert_eq!(next, before[0].0.1, "{format:?}");
        drop((account, host));
        fs::remove_file(root.join("index")).unwrap();
        let (_host, account) = open(root, format);
        let mut after = all(&account);
        after[0].1.pop();
        assert_eq!(after[0].1, before[0].1, "{format:?}");
        assert_eq!(after[0].0.0, before[0].0.0);
    }
}

/// The index of a process that was killed lacks the messages that came at last.
#[test]
fn what_the_index_does_not_know_is_found_and_no_uid_is_given_again() {
    for format in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        prepared(root, format);
        let (host, account) = open(root, format);
        let before = all(&account);
        // What is expunged is else found again.
        account.care(Care::Purge, &mut |_| {}).unwrap();
        host.flush().unwrap();
        let index = fs::read(root.join("index")).unwrap();
        let last = append(&account, "INBOX", "last", &flags(SystemFlags::SEEN, &[]));
        drop((host, account));
        fs::write(root.join("index"), index).unwrap();
        fs::remove_file(log_of(root, "INBOX")).unwrap();
        let (_host, account) = open(root, format);
        let after = read(&account, "INBOX");
        let (new, old) = after.split_last().unwrap();
        assert_eq!(old, before[0].1, "{format:?}");
        assert_eq!(look(&account, "INBOX").0, before[0].0.0);
        assert!(new.1.ends_with("body of last\r\n"), "{new:?}");
        assert!(new.0 == last || new.0 > last + 1000, "{format:?}: {new:?}");
        let next = append(&account, "INBOX", "more", &flags(SystemFlags::NONE, &[]));
        assert!(next > new.0 && next > last + 1000, "{format:?}: {next}");
    }
}

/// A purge has messages in other files than an old index says.
#[test]
fn messages_are_found_where_a_purge_took_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepared(root, Format::Mdbox);
    let (host, account) = open(root, Format::Mdbox);
    let before = all(&account);
    host.flush().unwrap();
    let index = fs::read(root.join("index")).unwrap();
    account.care(Care::Purge, &mut |_| {}).unwrap();
    drop((host, account));
    fs::write(root.join("index"), index).unwrap();
    for mailbox in ["INBOX", "other"] {
        fs::remove_file(log_of(root, mailbox)).unwrap();
    }
    let (_host, account) = open(root, Format::Mdbox);
    let after = all(&account);
    for (after, before) in after.iter().zip(&before) {
        assert_eq!(after.1, before.1);
        assert_eq!(after.0.2, before.0.2);
    }
}

/// What it says of other messages, or of those of another format, is of no use.
#[test]
fn an_index_of_other_mail_is_not_believed() {
    for format in FORMATS {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        for root in [&one, &other] {
            fs::create_dir(root).unwrap();
        }
        prepared(&one, format);
        let (host, account) = open(&other, format);
        for number in 0..5 {
            let subject = format!("{number} of the other, which is longer");
            append(&account, "INBOX", &subject, &flags(SystemFlags::NONE, &[]));
        }
        let bodies: Vec<String> = read(&account, "INBOX").into_iter().map(|m| m.1).collect();
        host.close().unwrap();
        drop((host, account));
        fs::copy(one.join("index"), other.join("index")).unwrap();
        fs::remove_file(log_of(&other, "INBOX")).unwrap();
        let (_host, account) = open(&other, format);
        let after = read(&account, "INBOX");
        let found: Vec<String> = after.iter().map(|m| m.1.clone()).collect();
        assert_eq!(found, bodies, "{format:?}");
        assert!(
            look(&account, "INBOX").2.iter().all(|m| m.2 == 0),
            "{format:?}"
        );
    }
}

/// Nothing was told of those of a Maildir, and each scan told of those of an sdbox or mdbox anew.
#[test]
fn files_of_messages_that_are_gone_are_told_once() {
    for format in [Format::Maildir, Format::Sdbox, Format::Mdbox] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (host, account) = open(root, format);
        for number in 0..4 {
            let k = flags(SystemFlags::SEEN, &["k"]);
            append(&account, "INBOX", &number.to_string(), &k);
            // Each in a file of its own.
            account.care(Care::Purge, &mut |_| {}).unwrap();
        }
        let whole = look(&account, "INBOX");
        host.close().unwrap();
        drop((host, account));
        let mut files = Vec::new();
        super::wounds::files(&root.join("mail"), &mut files);
        let gone = |path: &PathBuf| {
            let text = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.contains("body of 1") || text.contains("body of 2")
        };
        files.retain(gone);
        assert_eq!(files.len(), 2, "{format:?}");
        logged();
        log::set_max_level(log::LevelFilter::Info);
        let (host, account) = open(root, format);
        // After a hard stop an index may know messages that were expunged.
        account.check(false, &mut |_| {}).unwrap();
        for file in &files {
            fs::rename(file, root.join(file.file_name().unwrap())).unwrap();
        }
        for _ in 0..3 {
            account.check(false, &mut |_| {}).unwrap();
        }
        let lines = logged();
        let told = lines.iter().filter(|line| line.contains("are gone"));
        let told: Vec<&String> = told.collect();
        assert_eq!(told.len(), 1, "{format:?}: {lines:?}");
        let start = "mail: INBOX: the files of 2 messages are gone, the first UID 2";
        let start = format!("{}/{start}", root.display());
        assert!(told[0].starts_with(&start), "{told:?}");
        let left = [(1, 1, 8), (2, 4, 8)];
        assert_eq!(look(&account, "INBOX").2, left, "{format:?}");
        host.close().unwrap();
        drop((host, account));
        if format == Format::Maildir {
            continue;
        }
        // Who finds them in a backup has them with all that was known of them.
        for file in &files {
            fs::rename(root.join(file.file_name().unwrap()), file).unwrap();
        }
        let (_host, account) = open(root, format);
        account.check(false, &mut |_| {}).unwrap();
        assert_eq!(look(&account, "INBOX"), whole, "{format:?}");
    }
}

/// Here something else than a mailbox among files of mbox, as people have it there.
#[test]
fn a_mailbox_that_cannot_be_looked_at_is_named_and_the_others_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepared(root, Format::Mbox);
    fs::write(root.join("mail/notes"), "no line of an mbox\n").unwrap();
    let (_host, account) = open(root, Format::Mbox);
    logged();
    let mut told = Vec::new();
    account
        .check(false, &mut |report| told.push(report.to_string()))
        .unwrap();
    let names: Vec<&str> = told
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["INBOX", "notes", "other"], "{told:?}");
    assert!(told[1].contains("cannot be used"), "{told:?}");
    assert!(account.select(&name("notes"), Access::ReadOnly).is_err());
    let lines = logged();
    let line = "looking at notes: a file of messages is damaged";
    let mail = root.join("mail").display().to_string();
    let named = |logged: &String| logged.starts_with(&mail) && logged.ends_with(line);
    assert!(lines.len() > 1 && lines.iter().all(named), "{lines:?}");
}

#[test]
fn what_cannot_be_written_says_whose_mailbox_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (host, account) = open(root, Format::Maildir);
    append(&account, "INBOX", "one", &flags(SystemFlags::NONE, &[]));
    logged();
    fail(Failing::From(0, Errno::IO));
    let _ = host.flush();
    fail(Failing::Nothing);
    let lines = logged();
    let mail = root.join("mail").display().to_string();
    let ends = [
        ": writing the uidlist of INBOX: ",
        ": INBOX: what lags behind could not be written: ",
    ];
    for end in ends {
        let start = format!("{mail}{end}");
        assert!(
            lines.iter().any(|line| line.starts_with(&start)),
            "{lines:?}"
        );
    }
    host.flush().unwrap();
}

/// Where whoever removed a log removed all that is beside it, the file says what is so.
#[test]
fn flags_that_an_mbox_has_are_newer_where_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepared(root, Format::Mbox);
    let (host, account) = open(root, Format::Mbox);
    let before = all(&account);
    host.close().unwrap();
    drop((host, account));
    fs::remove_dir_all(root.join("mail/.imap")).unwrap();
    let inbox = root.join("mail/inbox");
    let text = fs::read_to_string(&inbox).unwrap();
    let changed = text.replace("X-Status:     ", "X-Status:  F  ");
    assert_ne!(changed, text);
    fs::write(&inbox, changed).unwrap();
    let (_host, account) = open(root, Format::Mbox);
    let after = all(&account);
    assert_ne!(after[0].0, before[0].0);
    let texts =
        |all: &Messages| -> Vec<(u32, String)> { all.iter().map(|m| (m.0, m.1.clone())).collect() };
    assert_eq!(texts(&after[0].1), texts(&before[0].1));
}
