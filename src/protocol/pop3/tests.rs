//! Transcripts (`tests/pop3/*.pop3`) against the machines, however the client's bytes are split.
//!
//! `C: text` is sent by connection 1 (`C2:` by connection 2) with CRLF, `R: text` as written (`\r`, `\n` and
//! `\0` for these), `S: text` is the next line the server sends, with `<>` for anything. `M: text` is delivered
//! at that moment, `X: n` is expunged by IMAP (n is a UID), `B: text` is what the mailbox holds then, UIDs
//! and flags. `E: gone` and `E: late` happen to connection 1. Above all of that: `machine: login` for
//! connections before login, where the user is `ann` with the password `secret` (`apop: yes`: APOP too); `listener: secured`,
//! `remote` or `plain` for how they stand; and `pop3: name` or `pop3: name value` for settings.

mod bad_input;
mod fuzz;

use super::capability::Situation;
use super::{Handover, Login, LoginSettings, Session, SessionSettings};
use crate::auth::{Closed, Credentials, Proof, Verdict, Witness};
use crate::config::Mechanisms;
use crate::config::{Delete, Pop3};
use crate::mail::{Flags, Keyword, MailboxName, SystemFlags, Uid, UidSet, UidlFormat};
use crate::mailbox::{Access, Account, FlagChange, Want};
use crate::pattern::matches;
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::transcript::{self, Pieces, unescape};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SESSION: SessionSettings = SessionSettings {
    line_octets: 255,
    bad_commands: 4,
    patience: Duration::from_secs(600),
};

const LOGIN: LoginSettings = LoginSettings {
    secured: false,
    mechanisms: Mechanisms::PASSWORD,
    plaintext: true,
    starttls: true,
    delay_seconds: 0,
    trusted: false,
    line_octets: 500,
    failures: 3,
    bad_commands: 4,
    patience: Duration::from_secs(60),
};

/// One machine and what it said that nobody looked at yet.
enum Peer {
    Session(Box<Session>),
    Login(Box<Login>),
}

struct Connection {
    peer: Peer,
    witness: Witness,
    out: Output,
    said: Vec<u8>,
    ended: bool,
    /// The most octets that waited to be written at once.
    waited: usize,
}

fn verdict(credentials: &Credentials) -> Verdict {
    let right = match &credentials.proof {
        Proof::Password(password) => password.bytes() == b"secret",
        Proof::Apop { stamp, digest } => {
            // Of `<1@test>` and the password.
            stamp == "<1@test>" && digest == b"b35a75dd52fcd9f4a131e4eb36bd37e7"
        }
        other => panic!("{other:?}"),
    };
    let good = credentials.authcid == "ann" && right;
    match (credentials.authcid.as_str(), good) {
        ("busy", _) => Verdict::Unavailable,
        ("early", _) => Verdict::TooSoon,
        ("gone", _) => Verdict::Closed(Box::new(Closed {
            server: Some("mail2.test".into()),
            ..Closed::default()
        })),
        ("shut", _) => Verdict::Closed(Box::new(Closed {
            reason: Some("Pay first.".into()),
            ..Closed::default()
        })),
        (_, true) if credentials.is_own() => Verdict::Accepted,
        _ => Verdict::Rejected,
    }
}

impl Connection {
    fn new(peer: Peer) -> Connection {
        let mut connection = Connection {
            peer,
            witness: Witness::default(),
            out: Output::new(),
            said: Vec::new(),
            ended: false,
            waited: 0,
        };
        connection.run();
        connection
    }

    fn session(account: &Account, pop3: &Pop3, settings: SessionSettings) -> Connection {
        let handover = Handover {
            situation: Situation {
                starttls: false,
                password: true,
                mechanisms: Mechanisms::PASSWORD,
                delay_seconds: 0,
            },
            input: Vec::new(),
        };
        let pop3 = Arc::new(pop3.clone());
        let session = Session::new(account.clone(), handover, pop3, settings);
        Connection::new(Peer::Session(Box::new(session)))
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.ended {
            let taken = match &mut self.peer {
                Peer::Session(session) => session.input(bytes),
                Peer::Login(login) => login.input(bytes),
            };
            bytes = &bytes[taken..];
            self.run();
            assert!(taken > 0 || self.ended, "input is stuck");
        }
    }

    fn event(&mut self, event: Event) {
        match &mut self.peer {
            Peer::Session(session) => session.event(event),
            Peer::Login(login) => login.event(event),
        }
        self.run();
    }

    fn run(&mut self) {
        let mut turn = Turn::Quick;
        while !self.ended {
            let progress = match &mut self.peer {
                Peer::Session(session) => session.advance(turn, &mut self.out),
                Peer::Login(login) => match login.advance(turn, &mut self.out) {
                    Progress::Ask(question) => {
                        login.answer(self.witness.answer(question, verdict));
                        Progress::Flush
                    }
                    Progress::StartTls => {
                        login.event(Event::Secured {
                            bindable: true,
                            certified: true,
                        });
                        Progress::Flush
                    }
                    Progress::NeedInput => Progress::NeedInput,
                    Progress::Done => Progress::Done,
                    other => panic!("{other:?}"),
                },
            };
            self.waited = self.waited.max(self.out.bytes().len());
            self.said.extend_from_slice(self.out.bytes());
            self.out.free();
            turn = Turn::Quick;
            match progress {
                Progress::Disk => turn = Turn::Disk,
                Progress::Flush => {}
                Progress::Done => self.ended = true,
                _ => return,
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let end = self.said.iter().position(|b| *b == b'\n')?;
        let line: Vec<u8> = self.said.drain(..=end).collect();
        let line = line.strip_suffix(b"\r\n").expect("lines end in CRLF");
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

pub(super) fn deliver(account: &Account, message: &[u8]) {
    let mut draft = account.draft();
    draft.write(message).unwrap();
    let (inbox, flags) = (MailboxName::inbox(), Flags::default());
    account.append(&inbox, &mut draft, &flags, None).unwrap();
}

/// As an IMAP session does it.
fn expunge(account: &Account, uid: u32) {
    let mut view = account
        .select(&MailboxName::inbox(), Access::ReadWrite)
        .unwrap();
    let uids = UidSet::from_iter([Uid::new(uid).unwrap()]);
    let deleted = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    view.mark(&uids, FlagChange::Add, &deleted, None).unwrap();
    view.expunge(Some(&uids)).unwrap();
}

/// UIDs with their flags, and how many an IMAP session would call recent.
fn holds(account: &Account) -> String {
    let view = account
        .select(&MailboxName::inbox(), Access::ReadOnly)
        .unwrap();
    let mut rows = view.fetch(view.uids().clone(), Want::default());
    let mut all = Vec::new();
    while rows.advance().unwrap() {
        let mut one = rows.uid().to_string();
        let flags = SystemFlags::ALL.iter();
        for (_, name) in flags.filter(|(flag, _)| rows.flags().contains(*flag)) {
            one.push(' ');
            one.push_str(name);
        }
        for number in rows.keywords() {
            let keyword = view.keywords()[usize::from(*number)].as_ref().unwrap();
            one.push_str(&format!(" {keyword}"));
        }
        all.push(one);
    }
    format!("{}; {} recent", all.join(", "), view.recent())
}

fn settings(text: &str) -> Pop3 {
    let mut pop3 = Pop3 {
        uidl_format: UidlFormat::parse("u%u").unwrap(),
        ..Pop3::default()
    };
    for line in text.lines().filter_map(|line| line.strip_prefix("pop3: ")) {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "uidl_format" => pop3.uidl_format = UidlFormat::parse(value).unwrap(),
            "rename_duplicates" => pop3.rename_duplicates = true,
            "reuse_xuidl" => pop3.reuse_xuidl = true,
            "save_uidl" => pop3.save_uidl = true,
            "lock_session" => pop3.lock_session = true,
            "no_flag_updates" => pop3.no_flag_updates = true,
            "deleted_flag" => {
                (pop3.deleted_flag, pop3.delete) = (Keyword::new(value), Delete::Flag);
            }
            "expunge" => pop3.delete = Delete::Expunge,
            "enable_last" => pop3.enable_last = true,
            "no_nuls" => pop3.no_nuls = true,
            "end_of_header" => pop3.end_of_header = true,
            other => panic!("no setting {other}"),
        }
    }
    pop3
}

fn login(text: &str) -> Login {
    let mut settings = LOGIN;
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("listener: "))
    {
        match line {
            "secured" => settings.secured = true,
            "remote" => settings.plaintext = false,
            "plain" => settings.starttls = false,
            "delayed" => settings.delay_seconds = 900,
            other => panic!("no listener {other}"),
        }
    }
    if text.lines().any(|line| line == "mechanisms: all") {
        settings.mechanisms = Mechanisms::of_bits(u16::MAX);
    }
    let apop = text.lines().any(|line| line == "apop: yes");
    Login::new(settings, apop.then(|| "<1@test>".to_owned()))
}

fn send(connection: &mut Connection, bytes: &[u8], pieces: Pieces) {
    let pieces = pieces.of(bytes);
    pieces.iter().for_each(|piece| connection.send(piece));
}

fn run(name: &str, text: &str, pieces: Pieces) {
    let (account, _directory) = Account::volatile();
    account.prepare().unwrap();
    let pop3 = settings(text);
    let connect = || match text.contains("machine: login") {
        true => Connection::new(Peer::Login(Box::new(login(text)))),
        false => {
            let mut connection = Connection::session(&account, &pop3, SESSION);
            if connection.said.starts_with(b"+OK") {
                assert_eq!(connection.line().unwrap(), "+OK Logged in.");
            }
            connection
        }
    };
    let mut connections: BTreeMap<u8, Connection> = BTreeMap::new();
    for line in text.lines() {
        let Some((head, rest)) = line
            .split_once(": ")
            .or(line.strip_suffix(":").map(|head| (head, "")))
        else {
            continue;
        };
        let number = match head.get(1..) {
            Some("") => 1,
            number => match number.and_then(|n| n.parse().ok()) {
                Some(number) => number,
                None => continue,
            },
        };
        let kind = head.as_bytes()[0];
        match kind {
            b'M' => deliver(&account, &unescape(rest)),
            b'X' => expunge(&account, rest.parse().unwrap()),
            b'B' => assert_eq!(holds(&account), rest, "{name} {pieces:?}"),
            _ => {}
        }
        if !b"CRES".contains(&kind) {
            continue;
        }
        let connection = connections.entry(number).or_insert_with(connect);
        match kind {
            b'C' => send(connection, format!("{rest}\r\n").as_bytes(), pieces),
            b'R' => send(connection, &unescape(rest), pieces),
            b'E' => connection.event(match rest {
                "gone" => Event::Gone,
                _ => Event::TimedOut,
            }),
            b'S' => {
                let line = connection.line();
                let line =
                    line.unwrap_or_else(|| panic!("{name} {pieces:?}: nothing for {rest:?}"));
                assert!(
                    matches(rest, &line),
                    "{name} {pieces:?}:\n expected {rest}\n got      {line}"
                );
            }
            _ => {}
        }
    }
    for (number, connection) in &mut connections {
        let rest = String::from_utf8_lossy(&connection.said);
        assert!(
            rest.is_empty(),
            "{name} {pieces:?}: {number} also said {rest:?}"
        );
    }
}

fn transcripts() -> Vec<(String, String)> {
    transcript::transcripts("pop3", 10)
}

#[test]
fn transcripts_whole() {
    for (name, text) in transcripts() {
        run(&name, &text, Pieces::Whole);
    }
}

#[test]
fn transcripts_byte_by_byte() {
    for (name, text) in transcripts() {
        run(&name, &text, Pieces::Bytes);
    }
}

#[test]
fn transcripts_cut_anywhere() {
    for (name, text) in transcripts() {
        for at in (1..50).step_by(3) {
            run(&name, &text, Pieces::Cut(at));
        }
    }
}

#[test]
fn every_capability_has_a_transcript() {
    let all: Vec<String> = transcripts().into_iter().map(|(name, _)| name).collect();
    for capability in super::CAPABILITIES {
        let word = capability.name.split(' ').next().unwrap();
        let file = format!("{}.pop3", word.to_ascii_lowercase());
        assert!(all.contains(&file), "tests/pop3/{file} is missing");
        assert!(capability.rfc > 1000 && !capability.offered().is_empty());
    }
}

#[test]
fn what_is_long_comes_in_pieces() {
    let (account, _directory) = Account::volatile();
    let line = ".".repeat(77) + "\r\n";
    let long = format!("Subject: long\r\n\r\n{}", line.repeat(20_000));
    deliver(&account, long.as_bytes());
    for number in 0..3000 {
        deliver(
            &account,
            format!("Subject: {number}\r\n\r\n.\r\n").as_bytes(),
        );
    }
    let mut connection = Connection::session(&account, &Pop3::default(), SESSION);
    connection.said.clear();
    connection.send(b"RETR 1\r\n");
    let wire = long.replace("\r\n.", "\r\n..");
    let expected = format!("+OK {} octets\r\n{wire}.\r\n", long.len());
    assert!(connection.said == expected.as_bytes());
    for command in ["LIST", "UIDL"] {
        connection.said.clear();
        connection.send(format!("{command}\r\n").as_bytes());
        let said = String::from_utf8_lossy(&connection.said);
        assert_eq!(said.lines().count(), 3003, "{command}");
        assert!(said.contains("\r\n3001 ") && said.ends_with("\r\n.\r\n"));
    }
    let most = Output::MARK + 40_000;
    assert!(
        connection.waited < most,
        "{} octets waited",
        connection.waited
    );
}

#[test]
fn lists_open_no_message() {
    let (account, directory) = Account::volatile();
    for number in 0..300 {
        deliver(&account, format!("Subject: {number}\r\n\r\n").as_bytes());
    }
    let mut connection = Connection::session(&account, &Pop3::default(), SESSION);
    for part in ["new", "cur"] {
        for entry in std::fs::read_dir(directory.path().join(part)).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    for command in ["LIST", "UIDL"] {
        connection.said.clear();
        connection.send(format!("{command}\r\n").as_bytes());
        let said = String::from_utf8_lossy(&connection.said);
        assert_eq!(said.lines().count(), 302, "{command}");
    }
    connection.said.clear();
    connection.send(b"RETR 1\r\nSTAT\r\n");
    assert_eq!(
        connection.line().unwrap(),
        "-ERR The message was removed meanwhile."
    );
    assert!(connection.line().unwrap().starts_with("+OK 300 "));
}
