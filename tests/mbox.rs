//! Files of messages that other programs read and write: Dovecot, and mutt, in turns and while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::scope;
use std::time::Duration;
use support::{Dovecot, Imap, Random, Server, can, message, run, wait_until};

const SETTINGS: &str = "[storage]\nformat = \"mbox\"";
const MAILBOXES: [&str; 3] = ["INBOX", "work", "kept"];
/// How often each of two servers has its turn, unless `DOVELET_MBOX_ROUNDS` says it.
const ROUNDS: u64 = 10;

/// Message-ID, flags, RFC822.SIZE, INTERNALDATE and text of a message.
type Fact = (String, Vec<String>, String, String, String);

/// UIDVALIDITY and all messages of each mailbox.
fn facts(imap: &mut Imap) -> BTreeMap<&'static str, (String, BTreeMap<u32, Fact>)> {
    let mut all = BTreeMap::new();
    for mailbox in MAILBOXES {
        let selected = imap.ok(&format!("SELECT {mailbox}"));
        let validity = selected.find("OK [UIDVALIDITY ").unwrap();
        let validity = validity.split(']').next().unwrap().to_owned();
        let mut messages = BTreeMap::new();
        for message in imap.list("1:*").unwrap() {
            let uid = message.uid;
            let answer = imap.ok(&format!("UID FETCH {uid} (INTERNALDATE RFC822.SIZE)"));
            let line = answer.untagged.iter().find(|l| l.contains("RFC822.SIZE"));
            let line = line.unwrap();
            let after = |name: &str| line.split_once(name).unwrap().1;
            let date = after("INTERNALDATE \"").split('"').next().unwrap();
            let date = date.trim_start().trim_start_matches('0').to_owned();
            let size = after("RFC822.SIZE ").split([' ', ')']).next().unwrap();
            let answer = imap.ok(&format!("UID FETCH {uid} (BODY.PEEK[])"));
            let text = answer.untagged.iter().find(|l| l.contains("BODY[]"));
            let text = text.unwrap().split_once("\r\n").unwrap().1.to_owned();
            let fact = (message.id, message.flags, size.to_owned(), date, text);
            messages.insert(uid, fact);
        }
        all.insert(mailbox, (validity, messages));
    }
    all
}

fn differs(
    ours: &BTreeMap<&'static str, (String, BTreeMap<u32, Fact>)>,
    theirs: &BTreeMap<&'static str, (String, BTreeMap<u32, Fact>)>,
    what: &str,
) {
    for mailbox in MAILBOXES {
        let (own, other) = (&ours[mailbox], &theirs[mailbox]);
        assert_eq!(own.0, other.0, "{what}: UIDVALIDITY of {mailbox}");
        let keys = |all: &BTreeMap<u32, Fact>| {
            let keys = all.iter().map(|(uid, f)| (*uid, f.0.clone(), f.1.clone()));
            keys.collect::<Vec<_>>()
        };
        assert_eq!(keys(&own.1), keys(&other.1), "{what}: {mailbox}");
        for (uid, fact) in &own.1 {
            assert_eq!(fact, &other.1[uid], "{what}: {mailbox} {uid}");
        }
    }
}

/// Some changes by chance. `who` and `round` name messages.
fn change(imap: &mut Imap, random: &mut Random, who: &str, round: u64) {
    for number in 0..6 {
        // Dovecot does not always find the end again of what it copied from the third.
        let mailbox = MAILBOXES[random.below(2) as usize];
        imap.ok(&format!("SELECT {mailbox}"));
        let uids: Vec<u32> = imap.list("1:*").unwrap().iter().map(|m| m.uid).collect();
        let lines = "From me to you\r\n>From x\r\n\r\nFrom time to time\r\nline\r\n";
        let lines = lines.repeat(random.below(40) as usize);
        let text = message(&format!("{who}-{round}-{number}@test"), "x", &lines);
        let some = match uids.is_empty() {
            true => None,
            false => Some(uids[random.below(uids.len() as u64) as usize]),
        };
        match (random.below(6), some) {
            (0, Some(uid)) => {
                let flags = [
                    "\\Seen",
                    "\\Flagged $Label1",
                    "\\Answered one two",
                    "\\Draft",
                ];
                let flags = flags[random.below(4) as usize];
                imap.ok(&format!("UID STORE {uid} +FLAGS ({flags})"));
            }
            (1, Some(uid)) => {
                imap.ok(&format!("UID STORE {uid} -FLAGS (\\Seen $Label1)"));
            }
            (2, Some(uid)) if uids.len() > 2 => {
                imap.ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
                imap.ok("EXPUNGE");
            }
            (3, Some(uid)) => {
                let other = MAILBOXES[usize::from(mailbox == "INBOX")];
                imap.ok(&format!("UID COPY {uid} {other}"));
            }
            (kind, _) => {
                let flags = if kind == 4 { "\\Seen three" } else { "" };
                let answer = imap.append(mailbox, flags, &text).unwrap();
                assert!(answer.status.starts_with("OK"), "{answer:?}");
            }
        }
    }
}

/// Shows what Dovecot logged, should the test fail.
struct Log(PathBuf);

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.0).unwrap_or_default();
            eprintln!("Dovecot's log:\n{log}");
        }
    }
}

impl Log {
    fn of(server: &Server) -> Log {
        Log(server.path("dovecot/log"))
    }
}

fn dovecot(server: &Server) -> Dovecot {
    let mail = server.data().join("mail");
    let owner = fs::metadata(mail.join("ann")).unwrap();
    let location = format!(
        "mail_location = mbox:{m}/%u:INBOX={m}/%u/inbox\n",
        m = mail.display()
    );
    Dovecot::with(
        &server.path("dovecot"),
        &mail,
        (owner.uid(), owner.gid()),
        &location,
    )
}

#[test]
fn dovecot_and_we_take_turns() {
    if !Dovecot::possible() {
        return;
    }
    let rounds = std::env::var("DOVELET_MBOX_ROUNDS").ok();
    let rounds = rounds.and_then(|r| r.parse().ok()).unwrap_or(ROUNDS);
    let mut random = Random::new(7);
    let mut server = Server::start(SETTINGS);
    let _log = Log::of(&server);
    let mut imap = server.imap("ann");
    imap.ok("CREATE work");
    imap.ok("CREATE kept");
    for mailbox in MAILBOXES {
        let text = match mailbox {
            "kept" => "Text.\r\n\r\nFrom a@b Thu Jan  1 00:00:00 1970\r\nmore",
            _ => "Text.",
        };
        let text = message("first@test", "first", text);
        imap.append(mailbox, "", &text).unwrap();
        imap.append(mailbox, "", &text).unwrap();
    }
    drop(imap);
    for round in 0..rounds {
        let mut imap = server.imap("ann");
        change(&mut imap, &mut random, "ours", round);
        let ours = facts(&mut imap);
        imap.ok("LOGOUT");
        assert!(server.stop().success());
        let other = dovecot(&server);
        let mut imap = other.imap("ann");
        differs(
            &ours,
            &facts(&mut imap),
            &format!("Dovecot in round {round}"),
        );
        change(&mut imap, &mut random, "theirs", round);
        imap.ok("SELECT work");
        imap.ok("CHECK");
        let theirs = facts(&mut imap);
        imap.ok("CLOSE");
        imap.ok("LOGOUT");
        drop(other);
        if round % 3 == 2 {
            fs::remove_dir_all(server.data().join("mail/ann/.dovelet")).unwrap();
        }
        server.again();
        let mut imap = server.imap("ann");
        differs(&theirs, &facts(&mut imap), &format!("we in round {round}"));
    }
}

/// Dovecot and this server append to the same file at once, and read it.
#[test]
fn nothing_is_lost_while_dovecot_writes_too() {
    if !Dovecot::possible() {
        return;
    }
    let server = Server::start(SETTINGS);
    drop(server.imap("ann"));
    let _log = Log::of(&server);
    let other = dovecot(&server);
    let each = 40;
    scope(|scope| {
        scope.spawn(|| {
            for number in 0..each {
                let id = format!("ours-{number}@test");
                server.deliver("ann", &message(&id, "x", "Text.\r\n"));
            }
        });
        scope.spawn(|| {
            let mut imap = other.imap("ann");
            imap.ok("SELECT INBOX");
            for number in 0..each {
                let text = message(&format!("theirs-{number}@test"), "x", "Text.");
                let answer = imap.append("INBOX", "\\Seen", &text).unwrap();
                assert!(answer.status.starts_with("OK"), "{answer:?}");
            }
        });
        scope.spawn(|| {
            let mut imap = server.imap("ann");
            imap.ok("SELECT INBOX");
            let mut known: BTreeMap<u32, String> = BTreeMap::new();
            for _ in 0..each {
                imap.ok("NOOP");
                for message in imap.list("1:*").unwrap() {
                    let before = known.insert(message.uid, message.id.clone());
                    assert!(before.is_none_or(|before| before == message.id));
                }
            }
        });
    });
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let mut ours: Vec<String> = imap
        .list("1:*")
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    let mut imap = other.imap("ann");
    imap.ok("SELECT INBOX");
    let mut theirs: Vec<String> = imap
        .list("1:*")
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    let number = |who: &str| ours.iter().filter(|id| id.starts_with(who)).count();
    assert_eq!((number("ours"), number("theirs")), (each, each));
}

/// mutt deletes, flags and writes the file anew while a session has it open.
#[test]
fn mutt_changes_the_file_that_is_open() {
    for program in ["mutt", "neomutt"] {
        if !can(&[program, "script"]) {
            continue;
        }
        let server = Server::start(SETTINGS);
        for number in 1..=4 {
            let body = "Text.\r\n\r\nFrom a@b Thu Jan  1 00:00:00 1970\r\nmore\r\n";
            let text = message(&format!("{number}@test"), &format!("n{number}"), body);
            server.deliver("ann", &text);
        }
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.ok("STORE 1 +FLAGS (\\Flagged)");
        let before = imap.list("1:*").unwrap();
        // Flags come into the file a moment later.
        let inbox = server.data().join("mail/ann/inbox");
        wait_until("the flag in the file", || {
            let text = fs::read_to_string(&inbox).unwrap();
            text.contains("X-Status:  F").then_some(())
        });
        fs::write(
            server.path("muttrc"),
            format!(
                "set folder={}\nset delete=yes\nset quit=yes\nset move=no\nset mark_old=no\n\
                 set wait_key=no\nset sort=mailbox-order\n",
                server.path("").display()
            ),
        )
        .unwrap();
        let keys = "<delete-pattern>~s n2<enter><tag-pattern>~s n3<enter><tag-prefix><flag-message><sync-mailbox><quit>";
        let command = format!(
            "{program} -n -F {} -f {} -e 'push \"{keys}\"'",
            server.path("muttrc").display(),
            inbox.display()
        );
        let mut mutt = Command::new("script");
        mutt.args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env("HOME", server.path(""))
            .stdin(Stdio::null());
        run(&mut mutt).ok();
        let text = fs::read_to_string(&inbox).unwrap();
        assert!(!text.contains("Subject: n2"), "{program}: {text}");
        imap.ok("NOOP");
        let after = imap.list("1:*").unwrap();
        let told: Vec<_> = after
            .iter()
            .map(|m| (m.uid, &*m.id, m.flags.iter().any(|f| f == "\\Flagged")))
            .collect();
        let uid = |at: usize| before[at].uid;
        assert_eq!(
            told,
            [
                (uid(0), "1@test", true),
                (uid(2), "3@test", true),
                (uid(3), "4@test", false)
            ],
            "{program}"
        );
        server.deliver("ann", &message("5@test", "n5", "Text."));
        imap.ok("NOOP");
        assert_eq!(imap.list("1:*").unwrap().len(), 4);
        std::thread::sleep(Duration::from_millis(10));
    }
}
