//! Transcripts (`tests/imap/*.imap`) against the machines, however the client's bytes are split.
//!
//! A line `C: text` is sent by connection 1 (`C2:` by connection 2), `L: text` is a line of the
//! literal whose size `{=}` or `{=+}` in the line before stands for, `S: text` is the next line the
//! server sends, with `<>` for anything; `<name=>` in it keeps what stands there, and `<name>` further down
//! is replaced by that. `machine: login` at the top is for connections before login,
//! where the users are those of [`verdict`] with the password `secret`.
//! `literals: short` at the top is for a server that says LITERAL-, `progress: at once` for one that
//! tells after each step how far it came, `settings: all` for one with all that `[imap]` can set.

mod bad_input;
mod changing;
mod codes;
mod damage;
mod fuzz;
mod idling;
mod news;
mod reading;
mod recorded;
mod samples;

use super::{Handover, Login, LoginSettings, Session, SessionSettings};
use crate::auth::{Closed, Credentials, Proof, Verdict, Witness};
use crate::codec::deflate::{self, Inflate};
use crate::config::Mechanisms;
use crate::config::{Form, Format, Location, Namespace};
use crate::mail::MailboxName;
use crate::mailbox::Account;
use crate::pattern::matches;
use crate::protocol::{Event, Machine, Output, Progress, Resident, Turn};
use crate::transcript::{self, Pieces};
use imap_codec::decode::Decoder;
use std::collections::BTreeMap;
use std::time::Duration;

const SESSION: SessionSettings = SessionSettings {
    line_octets: 4000,
    literal_octets: 4000,
    nonsync_octets: u64::MAX,
    append_messages: 5,
    notify_mailboxes: 20,
    search_mailboxes: 20,
    search_contexts: 3,
    progress: Duration::from_secs(3600),
    message_octets: 100_000,
    bounds: crate::wire::imap::Bounds::USUAL,
    bad_commands: 5,
    patience: Duration::from_secs(1800),
    keep_alive: Duration::from_secs(120),
    fetch_failure: crate::config::FetchFailure::NoAfter,
    workarounds: crate::config::Workarounds::NONE,
    admin: None,
};

const LOGIN: LoginSettings = LoginSettings {
    secured: false,
    mechanisms: Mechanisms::PASSWORD,
    plaintext: true,
    starttls: true,
    trusted: false,
    line_octets: 1000,
    literal_octets: 500,
    nonsync_octets: u64::MAX,
    failures: 5,
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
    /// After COMPRESS: the server's side and the client's.
    packed: Option<(Inflate, Inflate)>,
}

/// `ann` is at home here, `bob` elsewhere, `eve` nowhere.
fn verdict(credentials: &Credentials) -> Verdict {
    if matches!(credentials.proof, Proof::Anonymous(_)) {
        return Verdict::Accepted;
    }
    if credentials.password() != b"secret" || !credentials.is_own() {
        return Verdict::Rejected;
    }
    let closed = |server: Option<&str>, reason: Option<&str>| {
        Verdict::Closed(Box::new(Closed {
            server: server.map(str::to_owned),
            user: credentials.authcid.clone(),
            reason: reason.map(str::to_owned),
        }))
    };
    match credentials.authcid.as_str() {
        "ann" => Verdict::Accepted,
        "bob@example.org" => closed(Some("mail.example.org:1143"), None),
        "eve" => closed(None, Some("Gone.")),
        "fay" => closed(None, None),
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
            packed: None,
        };
        connection.run();
        connection
    }

    fn input(&mut self, bytes: &[u8]) -> usize {
        match &mut self.peer {
            Peer::Session(session) => session.input(bytes),
            Peer::Login(login) => login.input(bytes),
        }
    }

    /// As the driver does it: what a client compressed is undone before the machine has it.
    fn send(&mut self, bytes: &[u8]) {
        if self.packed.is_none() {
            return self.send_plain(bytes);
        }
        let mut small = Vec::new();
        deflate::compress(bytes, &mut small);
        for byte in small.chunks(1) {
            let mut plain = Vec::new();
            if let Some((server, _)) = &mut self.packed {
                server.input(byte);
                server.next(&mut plain).unwrap();
            }
            self.send_plain(&plain);
        }
    }

    fn send_plain(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.ended {
            let taken = self.input(bytes);
            bytes = &bytes[taken..];
            self.run();
            assert!(taken > 0 || self.ended, "input is stuck");
        }
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
            match &mut self.packed {
                None => self.said.extend_from_slice(self.out.bytes()),
                Some((_, client)) => {
                    let mut small = Vec::new();
                    deflate::compress(self.out.bytes(), &mut small);
                    client.input(&small);
                    while {
                        let before = self.said.len();
                        client.next(&mut self.said).unwrap();
                        self.said.len() > before
                    } {}
                }
            }
            self.out.free();
            turn = Turn::Quick;
            match progress {
                Progress::Disk => turn = Turn::Disk,
                Progress::Flush => {}
                Progress::Compress => self.packed = Some((Inflate::new(), Inflate::new())),
                Progress::Done => self.ended = true,
                _ => return,
            }
        }
    }

    /// Wakes it as the driver would.
    fn poke(&mut self) {
        if let Peer::Session(session) = &mut self.peer
            && session.is_stale()
        {
            session.event(Event::Woken);
            self.run();
        }
    }

    fn line(&mut self) -> Option<String> {
        let end = self.said.iter().position(|b| *b == b'\n')?;
        let line: Vec<u8> = self.said.drain(..=end).collect();
        let line = line.strip_suffix(b"\r\n").expect("lines end in CRLF");
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

/// As `matches`; keeps what stands where the pattern has `<name=>`.
fn matches_and_keeps(pattern: &str, line: &str, kept: &mut Vec<(String, String)>) -> bool {
    let Some((before, rest)) = pattern.split_once("=>") else {
        return matches(pattern, line);
    };
    let (before, name) = before.rsplit_once('<').expect("a name begins with <");
    let value = line
        .strip_prefix(before)
        .and_then(|line| line.strip_suffix(rest));
    kept.push((format!("<{name}>"), value.unwrap_or_default().to_owned()));
    value.is_some()
}

#[derive(Debug)]
enum Step {
    Send(u8, Vec<u8>),
    Expect(u8, String),
}

/// A transcript as steps; literals counted.
fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some((head, rest)) = line
            .split_once(": ")
            .or(line.strip_suffix(":").map(|h| (h, "")))
        else {
            continue;
        };
        let number = match head.get(1..) {
            Some("") => 1,
            number => match number.and_then(|n| n.parse().ok()) {
                Some(number) => number,
                // Prose.
                None => continue,
            },
        };
        match head.as_bytes().first() {
            Some(b'C') => {
                let literal = lines[at + 1..]
                    .iter()
                    .skip_while(|l| l.starts_with('S'))
                    .take_while(|l| l.starts_with('L'))
                    .map(|l| l.split_once(": ").map_or(0, |(_, text)| text.len()) + 2)
                    .sum::<usize>();
                let text = rest
                    .replace("{=}", &format!("{{{literal}}}"))
                    .replace("{=+}", &format!("{{{literal}+}}"));
                steps.push(Step::Send(number, format!("{text}\r\n").into_bytes()));
            }
            Some(b'L') => steps.push(Step::Send(number, format!("{rest}\r\n").into_bytes())),
            Some(b'S') => steps.push(Step::Expect(number, rest.to_owned())),
            _ => {}
        }
    }
    steps
}

fn run(name: &str, text: &str, pieces: Pieces) {
    run_over(Format::Maildir, name, text, pieces);
}

fn run_over(format: Format, name: &str, text: &str, pieces: Pieces) {
    let (account, _directory) = Account::temporary_of(format);
    run_with(account, name, text, pieces);
}

/// Over an account that nobody used before.
fn run_with(account: Account, name: &str, text: &str, pieces: Pieces) {
    account.prepare().unwrap();
    let mut settings = SESSION;
    if text.starts_with("literals: short") {
        settings.nonsync_octets = 4096;
    }
    if text.starts_with("progress: at once") {
        settings.progress = Duration::ZERO;
    }
    if text.starts_with("settings: all") {
        settings.workarounds = crate::config::Workarounds::ALL;
        settings.admin = Some("mailto:postmaster@example.org".into());
    }
    let connect = |number: u8| {
        if text.starts_with("machine: login") {
            let mut login = LOGIN;
            if text.lines().any(|line| line == "mechanisms: all") {
                login.mechanisms = Mechanisms::of_bits(u16::MAX);
            }
            return Connection::new(Peer::Login(Box::new(Login::new(login))));
        }
        let handover = Handover {
            tag: super::tag::tag(b"login"),
            input: Vec::new(),
        };
        let mut connection = Connection::new(Peer::Session(Box::new(Session::new(
            account.clone(),
            handover,
            settings.clone(),
        ))));
        let line = connection.line().unwrap();
        assert!(line.starts_with("login OK [CAPABILITY "), "{number} {line}");
        connection
    };
    let mut connections: BTreeMap<u8, Connection> = BTreeMap::new();
    let mut all_said: Vec<u8> = Vec::new();
    let mut kept: Vec<(String, String)> = Vec::new();
    for mut step in steps(text) {
        for (name, value) in &kept {
            match &mut step {
                Step::Send(_, bytes) => {
                    *bytes = String::from_utf8_lossy(bytes).replace(name, value).into();
                }
                Step::Expect(_, pattern) => *pattern = pattern.replace(name, value),
            }
        }
        let (Step::Send(number, _) | Step::Expect(number, _)) = &step;
        let connection = connections
            .entry(*number)
            .or_insert_with(|| connect(*number));
        match &step {
            Step::Send(_, bytes) => {
                let pieces = pieces.of(bytes);
                pieces.iter().for_each(|piece| connection.send(piece));
            }
            Step::Expect(_, pattern) => {
                if connection.said.is_empty() {
                    connection.poke();
                }
                let line = connection
                    .line()
                    .unwrap_or_else(|| panic!("{name} {pieces:?}: nothing for {pattern:?}"));
                all_said.extend_from_slice(line.as_bytes());
                all_said.extend_from_slice(b"\r\n");
                assert!(
                    matches_and_keeps(pattern, &line, &mut kept),
                    "{name} {pieces:?}:\n expected {pattern}\n got      {line}"
                );
            }
        }
    }
    for (number, connection) in &mut connections {
        let rest = String::from_utf8_lossy(&connection.said);
        assert!(
            rest.is_empty(),
            "{name} {pieces:?}: {number} also said {rest:?}"
        );
    }
    if connections.len() == 1 {
        decodes(name, &all_said);
    }
}

/// Responses of extensions which that parser does not know: RFC 2971, RFC 2342, RFC 7162, RFC 4731,
/// RFC 5256, RFC 5464 and RFC 10022.
const UNKNOWN: &[&[u8]] = &[
    b"* ID ",
    b"* NAMESPACE ",
    b"* VANISHED ",
    b"* XLIST ",
    b"* ESEARCH ",
    b"* SORT",
    b"* THREAD",
    b"* METADATA ",
    b"* UIDBATCHES ",
];

/// Items which that parser does not know (RFC 7162, RFC 8474, RFC 8514, RFC 8970, RFC 3516), with what is put in their place.
const UNKNOWN_ITEMS: [(&str, &str, &str); 20] = [
    ("MODSEQ (", ")", "RFC822.SIZE 1"),
    (" (MODSEQ ", ")", ""),
    ("(HIGHESTMODSEQ ", ")", "(MESSAGES 1)"),
    (" (\"CHILDINFO\" ", "))", ""),
    ("(SIZE ", ")", "(MESSAGES 1)"),
    ("(APPENDLIMIT ", " ", "("),
    (" SIZE 20", " ", " "),
    ("MAILBOXID (", ")", "UIDNEXT 1"),
    ("EMAILID (", ")", "RFC822.SIZE 1"),
    ("THREADID (", ")", "RFC822.SIZE 1"),
    ("SAVEDATE \"", "\"", "RFC822.SIZE 1"),
    ("PREVIEW \"", "\"", "RFC822.SIZE 1"),
    ("PREVIEW N", "IL", "RFC822.SIZE 1"),
    ("PREVIEW (", ")", "RFC822.SIZE 1"),
    ("PREVIEW {", "\r\n", "BODY[] {"),
    ("SNIPPET (", ")", "RFC822.SIZE 1"),
    ("BINARY.SIZE[", "]", "RFC822.SIZE"),
    ("BINARY[", "]", "BODY[]"),
    ("~{", "", "{"),
    ("\0", "", "?"),
];

fn without_unknown_items(said: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(said).into_owned();
    for (start, end, instead) in UNKNOWN_ITEMS {
        while let Some(at) = text.find(start) {
            let length = start.len() + text[at + start.len()..].find(end).unwrap() + end.len();
            text.replace_range(at..at + length, instead);
        }
    }
    text.into_bytes()
}

/// What follows a response, whose lines may end in literals.
fn behind_response(mut said: &[u8]) -> &[u8] {
    loop {
        let end = said.iter().position(|b| *b == b'\n').unwrap();
        let line = String::from_utf8_lossy(&said[..end]).into_owned();
        said = &said[end + 1..];
        let octets = line.strip_suffix("}\r").and_then(|l| l.rsplit_once('{'));
        match octets.and_then(|(_, digits)| digits.parse::<usize>().ok()) {
            Some(octets) => said = &said[octets..],
            None => return said,
        }
    }
}

/// Every response parses with a parser that others wrote.
fn decodes(name: &str, said: &[u8]) {
    let said = without_unknown_items(said);
    let mut said = said.as_slice();
    let codec = imap_codec::ResponseCodec::new();
    while !said.is_empty() {
        if UNKNOWN.iter().any(|head| said.starts_with(head)) {
            said = behind_response(said);
            continue;
        }
        let text = String::from_utf8_lossy(said.get(..120).unwrap_or(said)).into_owned();
        match codec.decode(said) {
            Ok((rest, _)) => said = rest,
            Err(error) => panic!("{name}: {error:?} at {text:?}"),
        }
    }
}

fn transcripts() -> Vec<(String, String)> {
    transcript::transcripts("imap", 10)
}

#[test]
fn transcripts_whole() {
    for (name, text) in transcripts() {
        run(&name, &text, Pieces::Whole);
    }
}

#[test]
fn transcripts_over_mdbox() {
    for (name, text) in transcripts() {
        run_over(Format::Mdbox, &name, &text, Pieces::Whole);
    }
}

#[test]
fn transcripts_over_sdbox() {
    for (name, text) in transcripts() {
        run_over(Format::Sdbox, &name, &text, Pieces::Whole);
    }
}

#[test]
fn transcripts_over_mbox() {
    for (name, text) in transcripts() {
        run_over(Format::Mbox, &name, &text, Pieces::Whole);
    }
}

/// Mail in a Maildir, and some of the first mailboxes in other formats in places of their own.
fn scattered(own: Format) -> (Account, tempfile::TempDir) {
    let others = [
        ("Archive", Format::Mdbox),
        ("Trash", Format::Sdbox),
        ("Sent", Format::Mbox),
    ];
    Account::temporary_with(move |root| Form {
        namespaces: others
            .map(|(prefix, format)| Namespace {
                prefix: MailboxName::new(prefix).unwrap(),
                location: Location {
                    root: root.with_file_name(prefix),
                    form: format.into(),
                },
            })
            .into(),
        ..own.into()
    })
}

#[test]
fn transcripts_over_several_places() {
    let mut failed = Vec::new();
    for (name, text) in transcripts() {
        let all = "((\"\" \"/\")(\"Archive/\" \"/\")(\"Trash/\" \"/\")(\"Sent/\" \"/\")) NIL";
        let text = text.replace("((\"\" \"/\")) NIL", all);
        for own in [Format::Maildir, Format::Mdbox] {
            let (account, _directory) = scattered(own);
            let run = || run_with(account, &name, &text, Pieces::Whole);
            if let Err(why) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
                let why = why.downcast_ref::<String>().cloned();
                failed.push(format!("{own:?} {why:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn namespaces_are_told_with_their_prefixes() {
    let (account, _directory) = Account::temporary_with(|root| Form {
        namespaces: ["Archive", "old/\u{fc} \"x\""]
            .map(|prefix| Namespace {
                prefix: MailboxName::new(prefix).unwrap(),
                location: Location {
                    root: root.with_file_name(prefix.replace('/', "-")),
                    form: Format::Mdbox.into(),
                },
            })
            .into(),
        ..Form::default()
    });
    let text = "\
C: a NAMESPACE
S: * NAMESPACE ((\"\" \"/\")(\"Archive/\" \"/\")(\"old/&APw- \\\"x\\\"/\" \"/\")) NIL NIL
S: a OK Namespace completed.
C2: b ENABLE UTF8=ACCEPT
S2: * ENABLED UTF8=ACCEPT
S2: b OK Enabled.
C2: c NAMESPACE
S2: * NAMESPACE ((\"\" \"/\")(\"Archive/\" \"/\")(\"old/\u{fc} \\\"x\\\"/\" \"/\")) NIL NIL
S2: c OK Namespace completed.
C2: d LIST \"\" \"old/%\"
S2: * LIST (\\HasNoChildren) \"/\" \"old/\u{fc} \\\"x\\\"\"
S2: d OK List completed.
C2: e LIST \"\" old
S2: * LIST (\\Noselect \\HasChildren) \"/\" old
S2: e OK List completed.
C: f CREATE Archive/INBOX
S: f NO [CANNOT] Not possible: no mailbox can have this name here.
C: g DELETE Archive
S: g NO [CANNOT] Not possible: a namespace's own mailbox cannot be deleted.
C: h RENAME Archive Old
S: h NO [CANNOT] Not possible: a namespace's own mailbox cannot be renamed.
C: i CREATE Archive/a/b
S: i OK [MAILBOXID (<>)] Create completed.
C: j RENAME Archive/a c
S: j NO [CANNOT] Not possible: a mailbox cannot be renamed into another namespace: make one there and move its messages.
C: k CREATE c/d
S: k OK [MAILBOXID (<>)] Create completed.
C: l RENAME c Archive/c
S: l NO [CANNOT] Not possible: a mailbox cannot be renamed into another namespace: make one there and move its messages.
C: m CREATE Archive
S: m NO [ALREADYEXISTS] The mailbox exists already.
C: n RENAME Archive/a Archive/e
S: n OK Rename completed.
C: o LIST \"\" Archive/*
S: * LIST (\\HasChildren) \"/\" Archive/e
S: * LIST (\\HasNoChildren) \"/\" Archive/e/b
S: o OK List completed.
";
    run_with(account, "namespaces", text, Pieces::Whole);
}

#[test]
fn transcripts_byte_by_byte() {
    for (name, text) in transcripts() {
        run(&name, &text, Pieces::Bytes);
    }
}

#[test]
fn transcripts_cut_anywhere() {
    // Side by side, as each waits for the disk.
    const THREADS: usize = 4;
    let all = transcripts();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let own = all.iter().skip(thread).step_by(THREADS);
            scope.spawn(move || {
                for (name, text) in own {
                    for at in (1..60).step_by(3) {
                        run(name, text, Pieces::Cut(at));
                    }
                }
            });
        }
    });
}

#[test]
fn octets_that_no_line_can_hold_come_back() {
    let (account, _directory) = Account::temporary();
    let handover = Handover {
        tag: super::tag::tag(b"x"),
        input: Vec::new(),
    };
    let session = Session::new(account, handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    let octets: Vec<u8> = (0..=255u8).rev().chain(*b"\n\r\n\n\0\r").collect();
    // What is text comes back in lines (RFC 3516 section 4.2).
    let head =
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n";
    let message = [head.as_slice(), &octets].concat();
    connection.send(format!("a APPEND INBOX ~{{{}+}}\r\n", message.len()).as_bytes());
    connection.send(&message);
    connection.send(b"\r\nb SELECT INBOX\r\n");
    connection.said.clear();
    connection.send(b"c FETCH 1 BINARY[1]\r\n");
    let start = format!("* 1 FETCH (BINARY[1] ~{{{}}}\r\n", octets.len());
    let rest = connection.said.strip_prefix(start.as_bytes()).unwrap();
    assert_eq!(rest.get(..octets.len()), Some(octets.as_slice()));
    connection.said.clear();
    // NUL that no part says to be binary.
    connection.send(b"d APPEND INBOX ~{6+}\r\n\r\na\0b\n\r\n");
    assert!(
        connection
            .line()
            .unwrap()
            .starts_with("d NO [UNKNOWN-CTE] ")
    );
}

/// RFC 6855 section 4: what is no UTF-8 was taken for it.
#[test]
fn headers_that_are_said_to_be_utf8_are() {
    let (account, _directory) = Account::temporary();
    account.prepare().unwrap();
    let handover = Handover {
        tag: super::tag::tag(b"x"),
        input: Vec::new(),
    };
    let session = Session::new(account, handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    connection.send(b"a ENABLE UTF8=ACCEPT\r\n");
    let (good, bad) = (
        "OK [APPENDUID ",
        "NO [CANNOT] Not possible: the header is not UTF-8.",
    );
    let mut append = |before: &[u8], message: &[u8], behind: &[u8], expected: &str| {
        let octets = format!("{}+}}\r\n", message.len());
        let command = [
            b"b APPEND INBOX ",
            before,
            octets.as_bytes(),
            message,
            behind,
        ];
        connection.said.clear();
        connection.send(&command.concat());
        let said = connection.line().unwrap();
        assert!(
            said.starts_with(&format!("b {expected}")),
            "{}: {said}",
            message.escape_ascii()
        );
    };
    append(b"UTF8 (~{", b"A: \xfc\r\n\r\nx\r\n", b")\r\n", bad);
    append(b"UTF8 (~{", b"A: b\r\nC: \xe2\x82", b")\r\n", bad);
    append(
        b"UTF8 (~{",
        "A: \u{fc}\r\n\r\n\u{fc}".as_bytes(),
        b")\r\n",
        good,
    );
    // A body may be in any charset.
    append(b"UTF8 (~{", b"A: b\r\n\r\n\xfc\r\n", b")\r\n", good);
    append(b"CATENATE (UTF8 (~{", b"A: \xfc\r\n", b"))\r\n", bad);
    // What is not said to be UTF-8 comes in as it is.
    append(b"{", b"A: \xfc\r\n\r\nx\r\n", b"\r\n", good);
    append(b"CATENATE (TEXT {", b"A: \xfc\r\n", b")\r\n", good);
    let tail = b") TEXT {3+}\r\n\xfc\r\n UTF8 (~{2+}\r\n\r\n))\r\n";
    append(
        b"CATENATE (UTF8 (~{",
        "A: \u{fc}\r\n".as_bytes(),
        tail,
        good,
    );
}

#[test]
fn every_rule_is_named_once_and_used() {
    use super::table::RULES;
    for rule in RULES {
        let count = RULES.iter().filter(|other| other.name == rule.name).count();
        assert_eq!(count, 1, "{}", rule.name);
        assert_eq!(super::table::named(rule.name).name, rule.name);
    }
}

#[test]
fn every_capability_has_a_transcript() {
    let all: Vec<String> = transcripts().into_iter().map(|(name, _)| name).collect();
    let mut files = std::collections::BTreeSet::new();
    for capability in super::capability::CAPABILITIES {
        let name = capability.name.to_ascii_lowercase().replace('=', "-");
        let file = match name.split_at(name.len() - 1) {
            (name, "+") => format!("{name}-plus.imap"),
            (name, "-") => format!("{name}-minus.imap"),
            _ => format!("{name}.imap"),
        };
        assert!(all.contains(&file), "tests/imap/{file} is missing");
        assert!(capability.rfc > 2000 || capability.rfc == 0);
        // Each its own.
        assert!(files.insert(file), "{}", capability.name);
    }
}

#[test]
fn random_bytes_never_panic() {
    let seeds = [
        "a SELECT INBOX\r\nb FETCH 1:* (BODY[] FLAGS)\r\nc STORE 1 +FLAGS x\r\n",
        "a APPEND INBOX {3+}\r\nabc\r\nb IDLE\r\nDONE\r\nc LIST \"\" *\r\n",
        "a ENABLE IMAP4rev2 UIDONLY\r\nb SELECT \"\u{fc}\"\r\nc UID SEARCH EMAILID x SAVEDON 1-Feb-1994\r\n",
        "a APPEND INBOX UTF8 (~{3+}\r\nabc)\r\nb SELECT INBOX\r\nc FETCH 1 (BINARY[1]<1.2> PREVIEW)\r\n",
        "a SELECT INBOX\r\nb SEARCH OR SEEN TEXT x\r\nc UID COPY 1:* Sent\r\nd MOVE 1 Trash\r\n",
    ];
    let (account, _directory) = Account::temporary();
    account.prepare().unwrap();
    let mut state = 7u64;
    for round in 0..600 {
        let mut text = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..4 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % text.len();
            text[at] = (state >> 40) as u8;
        }
        let handover = Handover {
            tag: super::tag::tag(b"x"),
            input: text,
        };
        let session = Session::new(account.clone(), handover, SESSION);
        Connection::new(Peer::Session(Box::new(session)));
    }
}
