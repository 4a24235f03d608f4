//! Messages that cannot be read as they should be.

use super::reading::{file, large};
use super::*;
use crate::config::FetchFailure;
use std::path::Path;

/// What a session says to these commands when it does that after a failure, and where its mail is.
fn session(follows: FetchFailure, commands: &str) -> (Session, tempfile::TempDir) {
    let (account, directory) = Account::temporary();
    for uid in 1..=3 {
        file(directory.path(), uid, b"Subject: x\n\ntext\n");
    }
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: commands.as_bytes().to_vec(),
    };
    let settings = SessionSettings {
        fetch_failure: follows,
        ..SESSION
    };
    (Session::new(account, handover, settings), directory)
}

/// Goes on until the session needs something, with a look at what was said so far before each step.
fn run(session: &mut Session, mut between: impl FnMut(&[u8])) -> Vec<u8> {
    let (mut out, mut said) = (Output::new(), Vec::new());
    loop {
        let progress = session.advance(Turn::Disk, &mut out);
        said.extend_from_slice(out.bytes());
        out.clear();
        between(&said);
        if !matches!(progress, Progress::Flush | Progress::Disk) {
            return said;
        }
    }
}

/// A directory stands where the file was: it is opened and cannot be read.
fn make_unreadable(root: &Path, uid: u32) {
    let path = root.join(format!("cur/m{uid},U={uid}:2,"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(path).unwrap();
}

#[test]
fn what_follows_an_unreadable_message_is_set() {
    let fetch = "a SELECT INBOX\r\nb FETCH 1:* (UID BODY.PEEK[TEXT])\r\nc NOOP\r\n";
    let row = |number| format!("* {number} FETCH (UID {number} BODY[TEXT] {{6}}\r\ntext\r\n)\r\n");
    for (follows, told, end) in [
        (
            FetchFailure::NoAfter,
            [1, 3].as_slice(),
            "b NO [CORRUPTION] Some messages are damaged; the server's log says which.\r\n\
             c OK NOOP completed.\r\n",
        ),
        (
            FetchFailure::DisconnectAfter,
            &[1, 3],
            "* BYE [CORRUPTION] A message is damaged; the server's log says which.\r\n",
        ),
        (
            FetchFailure::DisconnectImmediately,
            &[1],
            "* BYE [CORRUPTION] A message is damaged; the server's log says which.\r\n",
        ),
    ] {
        let (mut session, directory) = session(follows, fetch);
        make_unreadable(directory.path(), 2);
        let said = String::from_utf8(run(&mut session, |_| {})).unwrap();
        let rows: String = told.iter().map(|number| row(*number)).collect();
        let (_, answer) = said.split_once("Select completed.\r\n").unwrap();
        assert_eq!(answer, rows + end, "{follows:?}");
    }
}

#[test]
fn what_cannot_be_read_any_more_is_not_said_to_be_empty() {
    // NIL was told for the section whose file could not be opened a second time.
    let fetch = "a SELECT INBOX\r\nb FETCH 4 (BODY.PEEK[] BODY.PEEK[2])\r\n";
    let (mut session, directory) = session(FetchFailure::NoAfter, fetch);
    file(directory.path(), 4, &large(200 << 10));
    let mut gone = false;
    let said = run(&mut session, |said| {
        if !gone && memchr::memmem::find(said, b"BODY[] {").is_some() {
            make_unreadable(directory.path(), 4);
            gone = true;
        }
    });
    let said = String::from_utf8(said).unwrap();
    assert!(gone && !said.contains("NIL"));
    assert!(
        said.contains("\r\n)\r\nb NO [CORRUPTION] "),
        "{}",
        &said[said.len() - 200..]
    );
}

/// What a session of its own answers, from the tagged response to SELECT on.
fn asked(account: &Account, commands: &str) -> String {
    String::from_utf8(asked_bytes(account, commands)).unwrap()
}

fn asked_bytes(account: &Account, commands: &str) -> Vec<u8> {
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: format!("a SELECT INBOX\r\n{commands}").into_bytes(),
    };
    let mut said = run(
        &mut Session::new(account.clone(), handover, SESSION),
        |_| {},
    );
    let start = memchr::memmem::find(&said, b"Select completed.\r\n").unwrap();
    said.split_off(start + 19)
}

#[test]
fn a_message_that_is_not_what_it_was_is_told_once_and_then_served() {
    // Its size was told as it had been, and its text as it was.
    for octets in [0, 200 << 10] {
        let (account, directory) = Account::temporary();
        for uid in 1..=2 {
            file(directory.path(), uid, &large(octets));
        }
        let body = "b FETCH 1:2 (UID BODY.PEEK[])\r\n";
        assert!(asked(&account, "b FETCH 1:2 (RFC822.SIZE PREVIEW)\r\n").contains("b OK "));
        assert!(asked(&account, body).contains("b OK "));
        let before = "Subject: other\n\nshort\n";
        file(directory.path(), 1, before.as_bytes());
        let answer = asked(&account, body);
        assert!(!answer.contains("* 1 FETCH") && answer.contains("* 2 FETCH"));
        assert!(answer.contains("b NO [CORRUPTION] "), "{octets}");
        let all = "b FETCH 1 (RFC822.SIZE ENVELOPE PREVIEW BODY.PEEK[])\r\n";
        let answer = asked(&account, all);
        for part in [
            "RFC822.SIZE 25 ENVELOPE (NIL \"other\"",
            "PREVIEW \"short\" BODY[] {25}\r\n",
            "b OK ",
        ] {
            assert!(answer.contains(part), "{answer}");
        }
    }
}

#[test]
fn sizes_and_texts_agree_whatever_stands_in_a_file() {
    let (account, directory) = Account::temporary();
    let mut random = crate::fuzz::Random::new(7);
    for uid in 1..=200 {
        let octets = match uid % 10 {
            0 => 64 * 1024 + random.below(40_000),
            _ => random.below(200),
        };
        let message: Vec<u8> = (0..octets)
            .map(|_| b"\r\n\r\n\0a: -\xc3"[random.below(10) as usize])
            .collect();
        file(directory.path(), uid, &message);
    }
    for items in ["RFC822.SIZE BODY.PEEK[]", "BODY.PEEK[]", "RFC822.SIZE"] {
        let answer = asked_bytes(&account, &format!("b FETCH 1:* ({items})\r\n"));
        assert!(memchr::memmem::find(&answer, b"b OK Fetch completed.").is_some());
    }
}

#[test]
fn a_damaged_file_of_many_messages_serves_the_others() {
    let (account, directory) = Account::temporary_of(crate::config::Format::Mdbox);
    let append: String = (1..=3)
        .map(|number| format!("b APPEND INBOX {{15+}}\r\nSubject: {number}\r\n\r\n\r\n"))
        .collect();
    assert_eq!(asked(&account, &append).matches("b OK ").count(), 3);
    let path = directory.path().join("storage/m.1");
    let mut bytes = std::fs::read(&path).unwrap();
    // The size in the head of the second.
    let at = memchr::memmem::find(&bytes, b"Subject: 2").unwrap() - 4;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let answer = asked(&account, "b FETCH 1:* BODY.PEEK[]\r\n");
    assert!(answer.contains("Subject: 1") && answer.contains("Subject: 3"));
    assert!(
        !answer.contains("Subject: 2") && answer.contains("b NO [CORRUPTION] "),
        "{answer}"
    );
}

#[test]
fn what_is_no_damage_is_not_called_so() {
    let (account, directory) = Account::temporary();
    file(directory.path(), 1, b"Subject: x\n\n");
    let path = directory.path().join("cur/m1,U=1:2,");
    asked(&account, "b NOOP\r\n");
    std::fs::remove_file(&path).unwrap();
    // Leads to itself.
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let answer = asked(&account, "b FETCH 1 BODY.PEEK[]\r\n");
    assert!(answer.contains("b NO [UNAVAILABLE] "), "{answer}");
}

#[test]
fn searches_leave_out_what_cannot_be_read() {
    // They failed as a whole, as did STATUS (SIZE), as long as one message could not be read.
    for (uid, keep) in [(2, "1 3"), (3, "1 2")] {
        let (account, directory) = Account::temporary();
        for number in 1..=3 {
            file(directory.path(), number, b"Subject: x\n\ntext\n");
        }
        make_unreadable(directory.path(), uid);
        let warning = "* NO [CORRUPTION] Some messages are damaged and left out; \
                       the server's log says which.\r\n";
        let (first, second) = keep.split_once(' ').unwrap();
        for (command, answer) in [
            ("SEARCH BODY text", format!("* SEARCH {keep}\r\nb OK ")),
            (
                "SORT (SUBJECT) UTF-8 ALL",
                format!("* SORT {keep}\r\nb OK "),
            ),
            (
                "THREAD ORDEREDSUBJECT UTF-8 ALL",
                format!("* THREAD ({first} {second})\r\nb OK "),
            ),
            (
                "UID SEARCH INTHREAD ORDEREDSUBJECT BODY text",
                format!("* SEARCH {keep}\r\nb OK "),
            ),
        ] {
            let said = asked(&account, &format!("b {command}\r\n"));
            assert!(
                said.starts_with(&format!("{warning}{answer}")),
                "{command}: {said}"
            );
        }
        let said = asked(&account, "b STATUS INBOX (SIZE)\r\n");
        assert!(
            said.starts_with("* STATUS INBOX (SIZE 40)\r\nb OK "),
            "{said}"
        );
    }
}
