//! Much that is to be told at once.

use super::*;
use std::fs;

/// Octets that one response may add to a full output.
const RESPONSE: usize = 4 * 1024;

/// Two sessions that have the same INBOX of `count` messages selected.
fn pair(count: u32) -> ([Connection; 2], tempfile::TempDir) {
    let (account, directory) = Account::temporary();
    let cur = directory.path().join("cur");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(directory.path().join(part)).unwrap();
    }
    for n in 1..=count {
        fs::write(cur.join(format!("{n},U={n}:2,S")), "Subject: x\n\nx\n").unwrap();
    }
    let connect = || {
        let handover = Handover {
            tag: crate::protocol::imap::tag::tag(b"login"),
            input: Vec::new(),
        };
        let session = Session::new(account.clone(), handover, SESSION);
        let mut connection = Connection::new(Peer::Session(Box::new(session)));
        lines(&mut connection, "ENABLE CONDSTORE");
        lines(&mut connection, "SELECT INBOX");
        connection
    };
    ([connect(), connect()], directory)
}

/// The answer to a command; never much of it may wait to be written.
fn lines(connection: &mut Connection, command: &str) -> Vec<String> {
    connection.said.clear();
    connection.waited = 0;
    connection.send(format!("a {command}\r\n").as_bytes());
    let lines: Vec<String> = std::iter::from_fn(|| connection.line()).collect();
    let status = lines.last().unwrap();
    assert!(status.starts_with("a OK "), "{command}: {status}");
    assert!(
        connection.waited <= Output::MARK + RESPONSE,
        "{command}: {} octets at once",
        connection.waited
    );
    lines
}

/// All responses of an EXPUNGE waited in memory: 1.7 MB for 100,000 messages.
#[test]
fn many_expunges_are_told_piece_by_piece() {
    let count = 4500;
    let ([mut own, mut other], _directory) = pair(count);
    // Every third stays, the last one too.
    let doomed = (1..=count).filter(|n| n % 3 != 0);
    for some in doomed.collect::<Vec<_>>().chunks(500) {
        let set: Vec<String> = some.iter().map(u32::to_string).collect();
        let set = set.join(",");
        lines(&mut own, &format!("STORE {set} +FLAGS.SILENT (\\Deleted)"));
    }
    lines(&mut other, "NOOP");
    other.send(b"a IDLE\r\n");
    other.said.clear();
    let mut told = lines(&mut own, "EXPUNGE");
    assert!(told.pop().unwrap().contains("[HIGHESTMODSEQ "));
    let gone = (1..=count).rev().filter(|n| n % 3 != 0);
    let expected: Vec<String> = gone.map(|n| format!("* {n} EXPUNGE")).collect();
    assert!(told == expected, "{} lines", told.len());
    // Nothing is left to tell, and numbers are those after it.
    assert_eq!(lines(&mut own, "NOOP").len(), 1);
    let last = lines(&mut own, "FETCH 1500 (UID)");
    assert!(last[0].contains("UID 4500"), "{last:?}");
    other.waited = 0;
    other.poke();
    assert!(other.waited <= Output::MARK + RESPONSE);
    let told: Vec<String> = std::iter::from_fn(|| other.line()).collect();
    assert!(told == expected, "{} lines in IDLE", told.len());
    other.send(b"DONE\r\n");
    assert_eq!(lines(&mut other, "NOOP").len(), 1);
}

#[test]
fn many_vanished_are_told_piece_by_piece() {
    let count = 16_000;
    let ([mut own, mut other], _directory) = pair(count);
    lines(&mut other, "ENABLE QRESYNC");
    for first in (1..=count).step_by(1000) {
        let set: Vec<String> = (first..first + 1000)
            .filter(|n| n % 2 == 0)
            .map(|n| n.to_string())
            .collect();
        for some in set.chunks(500) {
            let set = some.join(",");
            lines(&mut own, &format!("STORE {set} +FLAGS.SILENT (\\Deleted)"));
        }
    }
    lines(&mut own, "EXPUNGE");
    let told = lines(&mut other, "NOOP");
    let mut vanished = Vec::new();
    for line in &told {
        if let Some(set) = line.strip_prefix("* VANISHED ") {
            vanished.extend(set.split(',').map(|n| n.parse::<u32>().unwrap()));
        }
    }
    assert!(
        vanished
            .iter()
            .copied()
            .eq((1..=count).filter(|n| n % 2 == 0))
    );
    assert_eq!(lines(&mut other, "NOOP").len(), 1);
}

/// RFC 5465 section 5.8: who lags behind too far is told so, and of nothing more.
#[test]
fn too_many_news_end_a_notify() {
    let (account, _directory) = Account::temporary();
    account.prepare().unwrap();
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account.clone(), handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    lines(&mut connection, "NOTIFY SET (personal (MailboxName))");
    let name = crate::mail::MailboxName::new("x").unwrap();
    let created = || crate::mailbox::News::Created(name.clone());
    account.publish(created(), 0);
    connection.poke();
    let told = connection.line();
    assert_eq!(
        told.unwrap(),
        "* LIST (\\NonExistent \\HasNoChildren) \"/\" x"
    );
    (0..300).for_each(|_| account.publish(created(), 0));
    connection.poke();
    let told = connection.line().unwrap();
    assert!(told.starts_with("* OK [NOTIFICATIONOVERFLOW] "), "{told}");
    account.publish(created(), 0);
    connection.poke();
    assert_eq!(connection.line(), None);
    lines(&mut connection, "NOTIFY SET (personal (MailboxName))");
    account.publish(created(), 0);
    connection.poke();
    assert!(connection.line().is_some());
}
