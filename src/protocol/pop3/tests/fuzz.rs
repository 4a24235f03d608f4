//! The command parser and whole sessions, fed with what no client would send.

use super::bad_input::{account, before_login, session};
use super::*;
use crate::fuzz::{Target, fuzz};
use crate::wire::pop3::parse;
use std::collections::BTreeSet;

const WORDS: [&str; 26] = [
    " ",
    "\r\n",
    "\n",
    "\r",
    "0",
    "1",
    "2",
    "99999999999",
    "=",
    "*",
    "CAPA\r\n",
    "STLS\r\n",
    "USER ann\r\n",
    "PASS secret\r\n",
    "AUTH PLAIN",
    "AGFubgBzZWNyZXQ=",
    "APOP a ",
    "STAT\r\n",
    "LIST",
    "UIDL",
    "RETR 1\r\n",
    "TOP 1 0\r\n",
    "DELE 1\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "QUIT\r\n",
];

/// What the transcripts send.
fn seeds() -> Vec<Vec<u8>> {
    let sent = |text: &str| {
        let mut bytes = Vec::new();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("C", rest)) => bytes.extend_from_slice(format!("{rest}\r\n").as_bytes()),
                Some(("R", rest)) => bytes.extend_from_slice(&unescape(rest)),
                _ => {}
            }
        }
        bytes
    };
    transcripts().iter().map(|(_, text)| sent(text)).collect()
}

/// What it says: the answers there are, without numbers and what messages hold.
fn words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let answers = text
        .lines()
        .filter(|l| l.starts_with('+') || l.starts_with('-'));
    let plain = answers.map(|l| l.replace(|c: char| c.is_ascii_digit(), ""));
    let all: BTreeSet<String> = plain.collect();
    all.into_iter().collect::<Vec<_>>().join(";")
}

#[test]
fn fuzz_sessions() {
    let (account, _directory) = account();
    let target = Target {
        name: "pop3",
        octets: 600,
        words: &WORDS,
        seeds: seeds(),
    };
    fuzz(target, |input, random| {
        input
            .split(|b| *b == b'\n')
            .for_each(|line| drop(parse(line)));
        let mut said = String::new();
        for (kind, mut connection) in [("a", session(&account)), ("b", before_login())] {
            let mut rest = input;
            while !rest.is_empty() && !connection.ended {
                let length = (random.below(40) as usize + 1).min(rest.len());
                connection.send(&rest[..length]);
                rest = &rest[length..];
            }
            let whole = connection.said.is_empty() || connection.said.ends_with(b"\r\n");
            assert!(whole, "half a line was said");
            said.push_str(kind);
            said.push_str(&words(&connection.said));
        }
        // What a session deleted comes back, so that the next one has something to read.
        if account
            .select(&MailboxName::inbox(), Access::ReadOnly)
            .unwrap()
            .exists()
            < 3
        {
            deliver(&account, b"Subject: again\r\n\r\n.\r\n");
        }
        said
    });
}
