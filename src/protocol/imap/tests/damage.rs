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
fn run(session: &mut Session, mut between: impl FnMut(&[u8])) -> String {
    let (mut out, mut said) = (Output::new(), Vec::new());
    loop {
        let progress = session.advance(Turn::Disk, &mut out);
        said.extend_from_slice(out.bytes());
        out.clear();
        between(&said);
        if !matches!(progress, Progress::Flush | Progress::Disk) {
            return String::from_utf8(said).unwrap();
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
            "b NO [SERVERBUG] Some messages cannot be read; the server's log says why.\r\n\
             c OK NOOP completed.\r\n",
        ),
        (
            FetchFailure::DisconnectAfter,
            &[1, 3],
            "* BYE [SERVERBUG] A message cannot be read; the server's log says why.\r\n",
        ),
        (
            FetchFailure::DisconnectImmediately,
            &[1],
            "* BYE [SERVERBUG] A message cannot be read; the server's log says why.\r\n",
        ),
    ] {
        let (mut session, directory) = session(follows, fetch);
        make_unreadable(directory.path(), 2);
        let said = run(&mut session, |_| {});
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
    assert!(gone && !said.contains("NIL"));
    assert!(
        said.contains("\r\n)\r\nb NO [SERVERBUG] "),
        "{}",
        &said[said.len() - 200..]
    );
}
