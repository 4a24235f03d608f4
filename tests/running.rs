//! Commands beside a running server: it knows what they changed, and does what they ask.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::io::Write;
use std::process::{Output, Stdio};
use support::{Imap, Server, message, wait_until};

fn dovelet(server: &Server, words: &[&str], input: &str) -> Output {
    let mut child = server
        .command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn login(server: &Server, user: &str, password: &str) -> bool {
    let mut imap = Imap::connect(server.imap).unwrap();
    imap.login(user, password).unwrap().status.starts_with("OK")
}

#[test]
fn users_are_known_at_once() {
    let server = Server::start("");
    let change = |words: &[&str], input: &str| {
        let output = dovelet(&server, words, input);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && told.is_empty(),
            "{words:?}: {told}"
        );
    };
    change(&["user", "add", "eve", "--password-stdin"], "first-word\n");
    assert!(login(&server, "eve", "first-word"), "{}", server.log());
    server.deliver("eve", &message("a@test", "Hello", "To a new user."));
    change(&["user", "passwd", "eve", "--password-stdin"], "second\n");
    assert!(!login(&server, "eve", "first-word"));
    assert!(login(&server, "eve", "second"));
    change(&["user", "delete", "eve"], "");
    assert!(!login(&server, "eve", "second"));
}

/// The doctor's lines about a user, after success.
fn examined(server: &Server, words: &[&str]) -> Vec<String> {
    let output = dovelet(server, words, "");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{words:?}: {told}\n{}",
        server.log()
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

fn the_doctor_asks_the_server(isolation: &str) {
    let server = Server::start(&format!("isolation = \"{isolation}\""));
    server.deliver("ann", &message("a@test", "Apples", "One."));
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 +FLAGS (\\Flagged red)");
    let found = |words: &[&str], word: &str| {
        let lines = examined(&server, words);
        let start = format!("ann: INBOX: {word}, 1 messages, ");
        assert!(lines.iter().any(|l| l.starts_with(&start)), "{lines:?}");
    };
    found(&["doctor", "--user", "ann"], "ok");
    found(&["doctor", "--rebuild"], "rebuilt");
    // The session goes on, and so do flags and UIDs.
    let messages = imap.list("1:*").unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].uid, 1);
    assert_eq!(messages[0].flags, ["\\Flagged", "red"]);
    server.deliver("ann", &message("b@test", "Pears", "Two."));
    wait_until("the second message", || {
        imap.ok("NOOP");
        (imap.list("1:*").unwrap().len() == 2).then_some(())
    });
    // What was delivered has its fields cached, and so has what a client asked of.
    let lines = examined(&server, &["index", "stats", "--user", "ann"]);
    let inbox = lines
        .iter()
        .find(|line| line.starts_with("ann: INBOX: 2 messages, "));
    assert!(
        inbox.is_some_and(|line| line.ends_with(" of 2 messages")),
        "{lines:?}"
    );
}

#[test]
fn a_purge_goes_on_under_sessions() {
    let server = Server::start("[storage]\nformat = \"mdbox\"");
    let mut imap = server.imap("ann");
    for number in 1..=5 {
        let body = "x".repeat(10_000);
        server.deliver("ann", &message(&format!("{number}@test"), "Apples", &body));
    }
    imap.ok("SELECT INBOX");
    imap.ok("STORE 2:5 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    let storage = server.data().join("mail/ann/storage");
    let octets = || -> u64 {
        let files = std::fs::read_dir(&storage).unwrap().flatten();
        files.map(|file| file.metadata().unwrap().len()).sum()
    };
    let before = octets();
    assert!(before > 50_000);
    let lines = examined(&server, &["purge", "--user", "ann"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ann: purged 1 files, 4"), "{lines:?}");
    assert!(octets() < 11_000, "{} octets of {before}", octets());
    let text = imap.ok("UID FETCH 1 (BODY.PEEK[TEXT])").untagged.concat();
    assert!(text.contains(&"x".repeat(10_000)));
    let lines = examined(&server, &["doctor", "--user", "ann"]);
    let start = "ann: INBOX: ok, 1 messages, ";
    assert!(lines.iter().any(|l| l.starts_with(start)), "{lines:?}");
}

#[test]
fn the_doctor_asks_the_engine_of_all() {
    the_doctor_asks_the_server("shared");
}

#[test]
fn the_doctor_asks_the_engine_of_the_user() {
    the_doctor_asks_the_server("user");
}
