//! `dovelet backup` and `dovelet restore`: everything comes back, into every format, also if broken off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use support::{
    Account, Dovecot, Finished, Imap, Server, Start, account, change, line, message, run,
    wait_until,
};

const FORMATS: [&str; 4] = ["maildir", "mbox", "sdbox", "mdbox"];

fn server(format: &str) -> Server {
    Server::with(Start {
        settings: &format!(
            "isolation = \"user\"\n[storage]\nformat = \"{format}\"\n[pop3]\nsave_uidl = true\n"
        ),
        users: line("ann", Some(4711)) + &line("bob", Some(4712)) + &line("eve", Some(4713)),
        ..Start::default()
    })
}

fn dovelet(server: &Server, words: &[&str]) -> Finished {
    run(&mut server.command(words))
}

fn ok(server: &Server, words: &[&str]) -> String {
    let done = dovelet(server, words);
    assert_eq!(
        done.status.code(),
        Some(0),
        "{words:?} {done:?}\n{}",
        server.log()
    );
    assert_eq!(done.stderr, "", "{words:?}");
    done.stdout
}

/// What only this server tells of messages and mailboxes; `ids`: what an mbox makes anew, too.
fn more(imap: &mut Imap, account: &Account, ids: bool) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for name in account.mailboxes.keys() {
        let status = imap.ok(&format!("STATUS {name} (MAILBOXID)"));
        imap.ok(&format!("EXAMINE {name}"));
        let items = if ids { " EMAILID" } else { "" };
        let rows = imap.ok(&format!(
            "UID FETCH 1:* (UID INTERNALDATE SAVEDATE RFC822.SIZE{items})"
        ));
        let rows = rows.untagged.into_iter();
        let mut rows: Vec<String> = rows.filter(|row| row.contains("SAVEDATE")).collect();
        rows.extend(status.untagged);
        rows.extend(
            imap.ok(&format!("GETMETADATA {name} (/private/comment)"))
                .untagged,
        );
        all.insert(name.clone(), rows);
    }
    let listed = imap.ok("LIST (SPECIAL-USE) \"\" *").untagged;
    all.insert(String::new(), listed);
    all
}

/// Something of all that there is, with more keywords than there are letters.
fn fill(server: &Server, user: &str) {
    let mut imap = server.imap(user);
    change(&mut imap, "work/&ANw-bung", "ours");
    imap.ok("CREATE Out (USE (\\Sent))");
    imap.append("Out", "\\Seen", &message("sent@test", "sent", "x"))
        .unwrap();
    imap.ok("SETMETADATA Out (/private/comment \"my own\")");
    imap.ok("SETMETADATA \"\" (/private/vendor/x/y \"mine\")");
    imap.ok("CREATE nowhere");
    imap.ok("SUBSCRIBE nowhere");
    imap.ok("DELETE nowhere");
    imap.ok("CREATE empty");
    imap.ok("SUBSCRIBE empty");
    imap.ok("SELECT INBOX");
    for number in 0..30 {
        imap.ok(&format!("STORE {} +FLAGS (label-{number})", number % 3 + 1));
    }
    imap.ok("UNSELECT");
    let large = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(3000);
    imap.append("INBOX", "", &message("large@test", "large", &large))
        .unwrap();
    server.deliver(user, &message("late@test", "delivered", "By LMTP."));
    // Unique-ids that are kept whatever is set later.
    server.pop3(user).list("UIDL");
}

#[test]
fn all_comes_back_in_every_format_and_dovecot_reads_it() {
    for (format, other) in FORMATS.iter().zip(["mdbox", "maildir", "mbox", "sdbox"]) {
        let server = server(format);
        fill(&server, "ann");
        let backup = server.path("backup/ann").display().to_string();
        let told = ok(&server, &["backup", "-u", "ann", &backup]);
        assert!(
            told.contains("INBOX: 5 messages, 5 of them new\n"),
            "{told}"
        );
        let theirs = account(&mut server.imap("ann"));
        let mut imap = server.imap("ann").raw();
        let ids = *format != "mbox" && other != "mbox";
        let more_of_theirs = more(&mut imap, &theirs, ids);
        let uidls = server.pop3("ann").list("UIDL");
        if Dovecot::possible() {
            is_read_by_dovecot(&server, &theirs);
        }
        // Another user of the same server, and of one with another format.
        let there = self::server(other);
        for (server, user) in [(&server, "bob"), (&there, "ann")] {
            // Somebody was there before and has the first mailboxes.
            server.imap(user).ok("NOOP");
            let told = ok(server, &["restore", "-u", user, &backup]);
            assert!(told.contains("INBOX: 5 messages restored\n"), "{told}");
            let ours = account(&mut server.imap(user));
            assert_eq!(ours, theirs, "{format} {other}");
            let mut imap = server.imap(user).raw();
            assert_eq!(
                more(&mut imap, &ours, ids),
                more_of_theirs,
                "{format} {other}"
            );
            let comment = imap.ok("GETMETADATA \"\" (/private/vendor/x/y)").untagged;
            assert!(comment[0].contains("mine"), "{comment:?}");
            assert_eq!(server.pop3(user).list("UIDL"), uidls, "{format} {other}");
            // Again there is nothing to do.
            let told = ok(server, &["restore", "-u", user, &backup]);
            assert!(
                told.contains("INBOX: 0 messages restored, 5 were there\n"),
                "{told}"
            );
        }
    }
}

/// Dovecot serves the backup as it is.
fn is_read_by_dovecot(server: &Server, theirs: &Account) {
    let mail = server.path("dovecot-mail");
    fs::create_dir(&mail).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(server.path("backup/ann"))
        .arg(&mail)
        .status();
    assert!(copied.unwrap().success());
    let owned = Command::new("chown")
        .args(["-R", "4711:4711"])
        .arg(&mail)
        .status();
    assert!(owned.unwrap().success());
    let dovecot = Dovecot::start(&server.path("dovecot"), &mail, 4711, 4711);
    let mut read = account(&mut dovecot.imap("ann"));
    // Keywords beyond z are in a file that Dovecot does not know.
    let mut theirs = theirs.clone();
    for account in [&mut read, &mut theirs] {
        let mailboxes = account.mailboxes.values_mut();
        let messages = mailboxes.flat_map(|mailbox| &mut mailbox.messages);
        messages.for_each(|m| m.flags.retain(|flag| !flag.starts_with("label-")));
    }
    assert_eq!(read, theirs);
}

/// Names and inodes of the messages of a backup.
fn files(path: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(path.join(part)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let base = name.split(':').next().unwrap().to_owned();
            found.insert(base, entry.metadata().unwrap().ino());
        }
    }
    found
}

#[test]
fn the_next_one_copies_what_is_new() {
    let mut server = server("mdbox");
    fill(&server, "ann");
    let path = server.path("backup");
    let backup = path.display().to_string();
    let words = ["backup", "-u", "ann", "--json", &backup];
    ok(&server, &words);
    let before = files(&path);
    let list = fs::metadata(path.join("dovecot-uidlist")).unwrap().ino();
    let told = ok(&server, &words);
    let row = "{\"mailbox\":\"INBOX\",\"messages\":5,\"added\":0,\"changed\":0,\"removed\":0,\"mended\":0,\"unreadable\":0}\n";
    assert!(told.contains(row), "{told}");
    // Nothing at all was written.
    assert_eq!(files(&path), before);
    assert_eq!(
        fs::metadata(path.join("dovecot-uidlist")).unwrap().ino(),
        list
    );
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.append("INBOX", "", &message("new@test", "new", "x"))
        .unwrap();
    imap.ok("DELETE empty");
    imap.ok("UNSUBSCRIBE nowhere");
    drop(imap);
    // Without a server, too.
    assert!(server.stop().success());
    let told = ok(&server, &words);
    let row =
        "\"messages\":5,\"added\":1,\"changed\":1,\"removed\":1,\"mended\":0,\"unreadable\":0}\n";
    assert!(told.contains(row), "{told}");
    let after = files(&path);
    let same = after
        .iter()
        .filter(|(name, inode)| before.get(*name) == Some(inode))
        .count();
    assert_eq!((same, after.len()), (4, 5));
    assert!(!path.join(".empty").exists());
    server.again();
    let theirs = account(&mut server.imap("ann"));
    ok(&server, &["restore", "-u", "bob", &backup]);
    assert_eq!(account(&mut server.imap("bob")), theirs);
    // A mailbox that was made anew is another one.
    let mut imap = server.imap("ann");
    imap.ok("DELETE Out");
    imap.ok("CREATE Out");
    imap.append("Out", "", &message("other@test", "other", "x"))
        .unwrap();
    let told = ok(&server, &["backup", "-u", "ann", "--json", &backup, "Out"]);
    assert!(told.contains("\"messages\":1,\"added\":1"), "{told}");
    assert_eq!(files(&path.join(".Out")).len(), 1);
}

/// The files of INBOX in a backup, in the order of their UIDs.
fn stored(path: &Path) -> Vec<PathBuf> {
    let parts = ["new", "cur"].into_iter();
    let entries = parts.flat_map(|part| fs::read_dir(path.join(part)).unwrap());
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let uid = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let uid = name.rsplit(",U=").next().unwrap();
        uid.split([':', ','])
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    all.sort_by_key(uid);
    all
}

#[test]
fn octets_that_changed_in_it_are_never_restored() {
    let server = server("maildir");
    let mut imap = server.imap("ann");
    for number in 0..3 {
        let text = message(&format!("{number}@test"), "old", "the text");
        imap.append("INBOX", "\\Flagged", &text).unwrap();
    }
    let path = server.path("backup");
    let backup = path.display().to_string();
    ok(&server, &["backup", "-u", "ann", &backup, "INBOX"]);
    let files = stored(&path);
    let mut bytes = fs::read(&files[1]).unwrap();
    let at = bytes.windows(8).position(|text| text == b"the text");
    bytes[at.unwrap()] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    // One of an old backup has no checksum in its name.
    let name = files[2].file_name().unwrap().to_str().unwrap();
    let at = name.find(",C=").unwrap();
    let old = format!("{}{}", &name[..at], &name[at + ",C=01234567".len()..]);
    fs::rename(&files[2], files[2].with_file_name(old)).unwrap();
    fs::remove_file(path.join("dovecot-uidlist")).unwrap();
    let done = dovelet(&server, &["restore", "-u", "bob", &backup, "INBOX"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    let told = "INBOX: UID 2: the message in the backup is damaged";
    assert!(done.stderr.contains(told), "{done:?}");
    let told = "INBOX: 2 messages restored, 1 could not be taken";
    assert!(done.stdout.starts_with(told), "{done:?}");
}

/// What is no file made the backup of the mailbox fail each time, and only a restore found other octets.
#[test]
fn what_is_no_message_in_it_is_replaced_and_all_is_read_when_asked_for() {
    let server = server("maildir");
    let mut imap = server.imap("ann");
    for number in 0..5 {
        let text = message(&format!("{number}@test"), "old", "the text");
        imap.append("INBOX", "\\Flagged", &text).unwrap();
    }
    let path = server.path("backup");
    let backup = path.display().to_string();
    let words = ["backup", "-u", "ann", &backup, "INBOX"];
    ok(&server, &words);
    let files = stored(&path);
    let mut bytes = fs::read(&files[0]).unwrap();
    let at = bytes.windows(8).position(|text| text == b"the text");
    bytes[at.unwrap()] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    files[1..4]
        .iter()
        .for_each(|file| fs::remove_file(file).unwrap());
    fs::create_dir(&files[1]).unwrap();
    fs::write(files[1].join("kept"), "x").unwrap();
    std::os::unix::fs::symlink(&files[4], &files[2]).unwrap();
    assert_eq!(
        fs::metadata(&files[2]).unwrap().len(),
        fs::metadata(&files[4]).unwrap().len()
    );
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, &files[3], FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let done = dovelet(&server, &["restore", "-u", "bob", &backup, "INBOX"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    for uid in [1, 2, 3] {
        let told = format!("INBOX: UID {uid}: the message in the backup is damaged");
        assert!(done.stderr.contains(&told), "{done:?}");
    }
    let told = "INBOX: UID 4: the backup lists it, and its file is not there";
    assert!(done.stderr.contains(told), "{done:?}");
    let row =
        "INBOX: 5 messages, 1 of them new, 2 were damaged in the backup and are copied again\n";
    assert_eq!(ok(&server, &words), row);
    assert_eq!(ok(&server, &words), "INBOX: 5 messages, 0 of them new\n");
    let verify = ["backup", "--verify", "-u", "ann", &backup, "INBOX"];
    let row =
        "INBOX: 5 messages, 0 of them new, 1 were damaged in the backup and are copied again\n";
    assert_eq!(ok(&server, &verify), row);
    assert_eq!(ok(&server, &verify), "INBOX: 5 messages, 0 of them new\n");
    ok(&server, &["restore", "-u", "eve", &backup, "INBOX"]);
    let theirs = account(&mut server.imap("ann"));
    assert_eq!(account(&mut server.imap("eve")), theirs);
}

#[test]
fn a_file_that_the_list_does_not_have_is_told_and_not_restored() {
    let server = server("maildir");
    let mut imap = server.imap("ann");
    for number in 0..2 {
        let text = message(&format!("{number}@test"), "old", "x");
        imap.append("INBOX", "", &text).unwrap();
    }
    let path = server.path("backup");
    let backup = path.display().to_string();
    ok(&server, &["backup", "-u", "ann", &backup, "INBOX"]);
    let first = &stored(&path)[0];
    let name = first.file_name().unwrap().to_str().unwrap();
    let other = name.replacen('M', "N", 1);
    assert_ne!(name, other);
    fs::rename(first, first.with_file_name(&other)).unwrap();
    let done = dovelet(&server, &["restore", "-u", "bob", &backup, "INBOX"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    let told = format!(
        "INBOX: the list of the backup does not have {}",
        other.split(':').next().unwrap()
    );
    assert!(done.stderr.contains(&told), "{done:?}");
    let told = "INBOX: UID 1: the backup lists it, and its file is not there";
    assert!(done.stderr.contains(told), "{done:?}");
    assert!(
        done.stdout
            .starts_with("INBOX: 1 messages restored, 2 could not be taken"),
        "{done:?}"
    );
}

/// As one whose messages vanish before they are read, each time that somebody looks.
#[test]
fn a_backup_goes_on_behind_a_mailbox_that_is_too_busy() {
    let server =
        Server::start("[storage]\nformat = \"mdbox\"\nalternate = \"{directory}slow/{user}\"\n");
    let mut imap = server.imap("ann");
    for mailbox in ["aa", "zz"] {
        imap.ok(&format!("CREATE {mailbox}"));
        let text = message(&format!("{mailbox}@test"), "x", "x");
        imap.append(mailbox, "", &text).unwrap();
        // Each in a file of its own.
        ok(&server, &["purge", "--user", "ann"]);
    }
    drop(imap);
    let storage = server.data().join("mail/ann/storage");
    let mut files: Vec<PathBuf> = fs::read_dir(&storage)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("m.")
    });
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    fs::remove_file(&files[0]).unwrap();
    let path = server.path("backup");
    let done = dovelet(&server, &["backup", "-u", "ann", path.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(75), "{done:?}");
    assert!(
        done.stderr
            .contains("aa: messages vanish faster than they are read"),
        "{done:?}"
    );
    assert!(
        done.stdout.contains("zz: 1 messages, 1 of them new"),
        "{done:?}"
    );
}

/// Compresses a file in its place.
fn compress(path: &Path) {
    let script = "gzip <\"$1\" >\"$2\" && touch -r \"$1\" \"$2\" && mv \"$2\" \"$1\"";
    let packed = path.parent().unwrap().with_file_name("packed");
    let done = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([path, &packed])
        .status();
    assert!(done.unwrap().success());
}

#[test]
fn what_is_damaged_in_it_is_mended_and_never_restored() {
    let server = server("mdbox");
    let mut imap = server.imap("ann");
    for number in 0..4 {
        let text = message(&format!("{number}@test"), "old", "x");
        imap.append("INBOX", "\\Flagged", &text).unwrap();
    }
    server.pop3("ann").list("UIDL");
    let path = server.path("backup");
    let backup = path.display().to_string();
    let words = ["backup", "-u", "ann", &backup, "INBOX"];
    ok(&server, &words);
    // A file that somebody compressed is none that is damaged: its name tells how long it is without.
    compress(&stored(&path)[3]);
    let files = stored(&path);
    let cut = fs::File::options().write(true).open(&files[0]).unwrap();
    cut.set_len(10).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let mut longer = fs::File::options().append(true).open(&files[2]).unwrap();
    longer.write_all(b"more").unwrap();
    let done = dovelet(&server, &["restore", "-u", "bob", &backup, "INBOX"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    for uid in [1, 3] {
        let told = format!("INBOX: UID {uid}: the message in the backup is damaged");
        assert!(done.stderr.contains(&told), "{done:?}");
    }
    let told = "INBOX: UID 2: the backup lists it, and its file is not there";
    assert!(done.stderr.contains(told), "{done:?}");
    let told = "INBOX: 1 messages restored, 3 could not be taken";
    assert!(done.stdout.starts_with(told), "{done:?}");
    let told = ok(&server, &words);
    let row =
        "INBOX: 4 messages, 1 of them new, 2 were damaged in the backup and are copied again\n";
    assert_eq!(told, row);
    assert_eq!(stored(&path).len(), 4);
    // Nothing is to be done any more, and all is what it was.
    assert_eq!(ok(&server, &words), "INBOX: 4 messages, 0 of them new\n");
    ok(&server, &["restore", "-u", "eve", &backup, "INBOX"]);
    let theirs = account(&mut server.imap("ann"));
    assert_eq!(account(&mut server.imap("eve")), theirs);
    let uidls = server.pop3("ann").list("UIDL");
    assert_eq!(server.pop3("eve").list("UIDL"), uidls);
}

#[test]
fn what_is_there_stays_unless_told_otherwise() {
    let server = server("maildir");
    let mut imap = server.imap("ann");
    for number in 0..4 {
        let text = message(&format!("{number}@test"), "old", "x");
        imap.append("INBOX", "\\Flagged", &text).unwrap();
    }
    let backup = server.path("backup").display().to_string();
    ok(&server, &["backup", "-u", "ann", &backup]);
    server.deliver("bob", &message("own@test", "own", "x"));
    let done = dovelet(&server, &["restore", "-u", "bob", &backup, "INBOX"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    assert!(
        done.stderr
            .contains("INBOX has other messages and is left as it is"),
        "{done:?}"
    );
    let ids = |user: &str, mailbox: &str| {
        let mut imap = server.imap(user);
        imap.ok(&format!("EXAMINE {mailbox}"));
        let all = imap.list("1:*").unwrap();
        all.iter()
            .map(|m| format!("{} {}", m.uid, m.id))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(ids("bob", "INBOX"), "1 own@test");
    for restored in ["4 messages restored", "0 messages restored, 4 were there"] {
        let told = ok(
            &server,
            &["restore", "-u", "bob", "--merge", &backup, "INBOX"],
        );
        assert_eq!(told, format!("INBOX: {restored}\n"));
        let told = ok(
            &server,
            &["restore", "-u", "bob", "--into", "Old/2026", &backup],
        );
        assert!(
            told.contains(&format!("Old/2026/INBOX: {restored}\n")),
            "{told}"
        );
    }
    let merged = "1 own@test 2 0@test 3 1@test 4 2@test 5 3@test";
    assert_eq!(ids("bob", "INBOX"), merged);
    assert_eq!(
        ids("bob", "Old/2026/INBOX"),
        "1 0@test 2 1@test 3 2@test 4 3@test"
    );
    // What was expunged since stays so, flags are those that are there.
    imap.ok("SELECT INBOX");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("STORE 1 -FLAGS (\\Flagged)");
    let done = dovelet(&server, &["restore", "-u", "ann", &backup, "INBOX"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    let told = "INBOX: 0 messages restored, 3 were there, 1 are not there any more (--merge ";
    assert!(done.stdout.starts_with(told), "{done:?}");
    ok(
        &server,
        &["restore", "-u", "ann", "--merge", &backup, "INBOX"],
    );
    assert_eq!(ids("ann", "INBOX"), "1 0@test 3 2@test 4 3@test 5 1@test");
    imap.ok("EXAMINE INBOX");
    let flags = imap.ok("FETCH 1 FLAGS").untagged.concat();
    assert!(!flags.contains("\\Flagged"), "{flags}");
    let text = |path: &Path| path.display().to_string();
    let full = server.path("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), "x").unwrap();
    for (words, code, told) in [
        (
            vec!["backup", "-u", "ann"],
            64,
            "backup needs the directory",
        ),
        (vec!["restore", &backup], 64, "restore needs -u USER"),
        (vec!["backup", "-u", "mia", &backup], 67, "no such user"),
        (
            vec!["backup", "-u", "bob", &backup],
            1,
            "is a backup of \"ann\"",
        ),
        (
            vec!["backup", "-u", "ann", &text(&full)],
            1,
            "is not empty and no backup",
        ),
        (
            vec!["backup", "-u", "ann", &backup, "None"],
            66,
            "there is no mailbox None",
        ),
        (
            vec!["restore", "-u", "ann", &backup, "None"],
            66,
            "the backup has no mailbox None",
        ),
        (vec!["restore", "-u", "ann", &text(&full)], 66, "no backup"),
    ] {
        let done = dovelet(&server, &words);
        assert_eq!(done.status.code(), Some(code), "{words:?} {done:?}");
        assert!(done.stderr.contains(told), "{words:?} {done:?}");
    }
}

#[test]
fn a_backup_is_of_one_moment_while_mail_comes_and_goes() {
    let server = server("mdbox");
    let mut imap = server.imap("ann");
    // Of messages with ascending numbers there are ten at any time, and each that comes has a flag that
    // the one before it loses.
    let append = |imap: &mut Imap, number: u32| {
        let text = message(&format!("{number}@test"), "moving", "x");
        imap.append("INBOX", "", &text).unwrap();
    };
    (0..10).for_each(|number| append(&mut imap, number));
    let over = AtomicBool::new(false);
    /// Whatever fails: who waits for the end of all threads waits for the writer, too.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            let mut number = 10;
            imap.ok("SELECT INBOX");
            while !over.load(Ordering::Acquire) {
                append(&mut imap, number);
                imap.ok("NOOP");
                imap.ok("STORE 1 +FLAGS (\\Deleted)");
                imap.ok("EXPUNGE");
                number += 1;
            }
        });
        for round in 0..8 {
            let path = server.path(&format!("backup-{round}"));
            let words = ["backup", "-u", "ann", path.to_str().unwrap(), "INBOX"];
            // On a machine that has much else to do it may be outrun.
            wait_until("a backup", || {
                let done = dovelet(&server, &words);
                assert!(matches!(done.status.code(), Some(0 | 75)), "{done:?}");
                done.status.success().then_some(())
            });
            let mut numbers = Vec::new();
            for part in ["new", "cur"] {
                for entry in fs::read_dir(path.join(part)).unwrap() {
                    let text = fs::read_to_string(entry.unwrap().path()).unwrap();
                    let id = text.split_once("Message-ID: <").unwrap().1;
                    numbers.push(id.split('@').next().unwrap().parse::<u32>().unwrap());
                }
            }
            numbers.sort_unstable();
            assert!((10..=11).contains(&numbers.len()), "{numbers:?}");
            let first = numbers[0];
            let expected: Vec<u32> = (first..first + numbers.len() as u32).collect();
            assert_eq!(numbers, expected);
        }
    });
}

#[test]
fn broken_off_anywhere_both_go_on() {
    for format in ["maildir", "mdbox", "mbox", "sdbox"] {
        let mut server = server(format);
        let source = server.path("many.mbox");
        let mut text = String::new();
        for n in 0..600 {
            text.push_str(&format!(
                "From a Sun Sep  9 01:46:40 2001\nSubject: many-{n}\nMessage-ID: <{n}@test>\nStatus: {}\n\n{}\n\n",
                if n % 3 == 0 { "RO" } else { "O" },
                "line of text\n".repeat(20)
            ));
        }
        fs::write(&source, text).unwrap();
        ok(&server, &["import", "-u", "ann", source.to_str().unwrap()]);
        let theirs = account(&mut server.imap("ann"));
        let dates = more(&mut server.imap("ann").raw(), &theirs, false);
        assert_eq!(theirs.mailboxes["many"].messages.len(), 600);
        let path = server.path("backup");
        let backup = path.display().to_string();
        let count = |path: &Path| {
            let entries = ["new", "cur"].map(|part| fs::read_dir(path.join(part)));
            entries
                .into_iter()
                .flatten()
                .map(Iterator::count)
                .sum::<usize>()
        };
        let spawn = |server: &Server, words: &[&str]| {
            let mut command = server.command(words);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut reached = 0;
        for round in 0..3 {
            let mut child = spawn(&server, &["backup", "-u", "ann", &backup]);
            wait_until("some messages", || {
                let now = count(&path.join(".many"));
                (now > reached + 20 || child.try_wait().unwrap().is_some()).then_some(())
            });
            reached = count(&path.join(".many"));
            if round % 2 == 0 {
                child.kill().unwrap();
                child.wait().unwrap();
            } else {
                server.kill();
                child.wait().unwrap();
                server.again();
            }
        }
        ok(&server, &["backup", "-u", "ann", &backup]);
        assert_eq!(count(&path.join(".many")), 600);
        let mut reached = 0;
        for round in 0..4 {
            let mut child = spawn(&server, &["restore", "-u", "bob", &backup]);
            let mut imap = server.imap("bob");
            let mut arrived = || {
                let status = imap.command("STATUS many (MESSAGES)").unwrap();
                let number = status.find("STATUS many (MESSAGES ").map(str::to_owned);
                number.map_or(0, |n| n.trim_end_matches(')').parse::<u32>().unwrap())
            };
            wait_until("some messages", || {
                let now = arrived();
                (now > reached || child.try_wait().unwrap().is_some()).then_some(())
            });
            reached = arrived();
            drop(imap);
            if round % 2 == 0 {
                child.kill().unwrap();
                child.wait().unwrap();
            } else {
                server.kill();
                child.wait().unwrap();
                server.again();
            }
        }
        // The engine may still be busy with whom was killed.
        wait_until("the restore", || {
            let done = dovelet(&server, &["restore", "-u", "bob", &backup]);
            assert!(matches!(done.status.code(), Some(0 | 75)), "{done:?}");
            done.status.success().then_some(())
        });
        assert_eq!(account(&mut server.imap("bob")), theirs, "{format}");
        let ours = more(&mut server.imap("bob").raw(), &theirs, false);
        assert_eq!(ours, dates, "{format}");
    }
}
