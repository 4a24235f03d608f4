//! Every command of the command table with whatever can be wrong about it: it is refused, or does what
//! it then says, and the session goes on or says goodbye. Commands come from the transcripts, so that
//! one that is new is tried too.

use super::samples::samples;
use super::*;
use crate::protocol::imap::table::{RULES, Rule, State};

/// More than a client of the tests would ever meet, but for the bounds.
const WIDE: SessionSettings = SessionSettings {
    line_octets: 20_000,
    literal_octets: 8_000,
    message_octets: 10_000,
    bounds: crate::wire::imap::Bounds {
        set_ranges: 100,
        search_keys: 50,
        search_depth: 10,
        ..crate::wire::imap::Bounds::USUAL
    },
    bad_commands: u32::MAX,
    ..SESSION
};

/// How often an empty line is sent to whoever waits for more.
const NUDGES: usize = 4 + 8_000 / 2;

pub(super) fn login() -> Connection {
    let settings = LoginSettings {
        bad_commands: u32::MAX,
        failures: u32::MAX,
        line_octets: WIDE.line_octets,
        literal_octets: WIDE.literal_octets,
        ..LOGIN
    };
    let mut connection = Connection::new(Peer::Login(Box::new(Login::new(settings))));
    connection.said.clear();
    connection
}

pub(super) fn session(account: &Account) -> Connection {
    let handover = Handover {
        tag: super::super::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account.clone(), handover, WIDE);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    connection.said.clear();
    connection
}

/// How a connection stands when something bad comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Login,
    Session,
    Selected,
}

impl Stand {
    /// Where a command of that state may come.
    fn of(state: State) -> Stand {
        match state {
            State::NotAuthenticated => Stand::Login,
            State::Any | State::Authenticated => Stand::Session,
            State::Selected => Stand::Selected,
        }
    }

    fn allows(self, state: State) -> bool {
        match state {
            State::Any => true,
            State::NotAuthenticated => self == Stand::Login,
            State::Authenticated => self != Stand::Login,
            State::Selected => self == Stand::Selected,
        }
    }
}

/// Connections to one account, made anew when a command has used one up.
struct Tried {
    stand: Stand,
    account: Account,
    _directory: tempfile::TempDir,
    connection: Option<Connection>,
    /// What the client enabled.
    enabled: Option<&'static str>,
}

impl Tried {
    fn new(stand: Stand) -> Tried {
        let (account, directory) = Account::volatile();
        account.prepare().unwrap();
        let mut tried = Tried {
            stand,
            account,
            _directory: directory,
            connection: None,
            enabled: None,
        };
        for number in 1..4 {
            let text = format!("Subject: {number}\r\n\r\ntext {number}\r\n");
            let append = format!("a APPEND INBOX {{{}+}}\r\n{text}\r\n", text.len());
            session(&tried.account).send(append.as_bytes());
        }
        tried.stands();
        tried
    }

    /// A connection that stands as it should.
    fn stands(&mut self) -> &mut Connection {
        let (stand, account, enabled) = (self.stand, &self.account, self.enabled);
        self.connection.get_or_insert_with(|| {
            if stand == Stand::Login {
                return login();
            }
            let mut connection = session(account);
            let enable = enabled.map(|names| format!("s ENABLE {names}\r\n"));
            let select = (stand == Stand::Selected).then(|| "s SELECT INBOX\r\n".to_owned());
            for command in enable.into_iter().chain(select) {
                let answer = answer(&mut connection, "s", command.as_bytes());
                assert!(answer.starts_with("OK"), "{answer}");
            }
            connection
        })
    }

    /// What is answered to a command behind a tag. Then the session has to go on, unless it ended.
    fn send(&mut self, command: &[u8]) -> String {
        self.send_raw("t", &[b"t ", command, b"\r\n"].concat())
    }

    fn send_raw(&mut self, tag: &str, bytes: &[u8]) -> String {
        let connection = self.stands();
        let answer = answer(connection, tag, bytes);
        if !connection.ended {
            let after = self::answer(connection, "z", b"z NOOP\r\n");
            assert!(
                after.starts_with("OK"),
                "{} - then {after}",
                bytes.escape_ascii()
            );
        }
        let refused = answer.starts_with("BAD") || answer.starts_with("* BAD");
        if connection.ended || !refused {
            self.connection = None;
        }
        answer
    }

    /// Sends what has to be refused as bad.
    fn refuses(&mut self, command: &[u8]) {
        let answer = self.send(command);
        // A message is refused before what is behind it is read.
        let early = has_literal(command) && answer.starts_with("NO");
        let refused = early || answer.starts_with("BAD") || answer.starts_with("* BAD");
        assert!(
            refused,
            "{:?}: {} - {answer}",
            self.stand,
            command.escape_ascii()
        );
    }
}

/// The tagged response without its tag; else an untagged BAD or BYE. Whoever waits for more gets
/// `DONE` and empty lines.
pub(super) fn answer(connection: &mut Connection, tag: &str, bytes: &[u8]) -> String {
    connection.said.clear();
    connection.send(bytes);
    for nudge in 0..NUDGES {
        while let Some(line) = connection.line() {
            if let Some(status) = line.strip_prefix(&format!("{tag} ")) {
                assert!(
                    ["OK", "NO", "BAD"].iter().any(|s| status.starts_with(s)),
                    "{line}"
                );
                return status.to_owned();
            }
            if line.starts_with("* BAD") || (line.starts_with("* BYE") && connection.ended) {
                return line;
            }
        }
        if connection.ended {
            return "handed over".to_owned();
        }
        // The first ends IDLE.
        connection.send(if nudge == 0 { b"DONE\r\n" } else { b"\r\n" });
    }
    panic!("no answer to {}", bytes.escape_ascii());
}

/// Every rule with commands that are right where it may come.
fn each_rule(try_it: impl Fn(&Rule, &[Vec<u8>], &mut Tried) + Sync) {
    const THREADS: usize = 2;
    let samples = samples();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (samples, try_it) = (&samples, &try_it);
            scope.spawn(move || {
                for rule in RULES.iter().skip(thread).step_by(THREADS) {
                    let mut tried = Tried::new(Stand::of(rule.state));
                    let all = samples.get(rule.name).map_or(&[][..], Vec::as_slice);
                    let good = good(all, &mut tried);
                    assert!(
                        !good.is_empty(),
                        "tests/imap has no {} that is right",
                        rule.name
                    );
                    try_it(rule, &good, &mut tried);
                }
            });
        }
    });
}

/// Some commands that are right, short ones and long ones; such that are done, if there are.
fn good(all: &[Vec<u8>], tried: &mut Tried) -> Vec<Vec<u8>> {
    const MOST: usize = 4;
    let (mut done, mut right) = (Vec::new(), Vec::new());
    for command in all {
        let answer = tried.send(command);
        // What cannot be done at all may be said before all of it is read.
        if answer.starts_with("NO") && !answer.contains("[CANNOT]") {
            right.push(command.clone());
        } else if !answer.contains("BAD") && !answer.contains("[CANNOT]") {
            done.push(command.clone());
        }
    }
    let mut good = if done.is_empty() { right } else { done };
    good.sort_by_key(Vec::len);
    good.dedup();
    let step = good.len().div_ceil(MOST).max(1);
    good.into_iter().step_by(step).collect()
}

/// Of the name only.
fn bare(rule: &Rule) -> &'static [u8] {
    rule.name.as_bytes()
}

fn has_literal(command: &[u8]) -> bool {
    command.contains(&b'\n')
}

#[test]
fn in_the_wrong_state() {
    each_rule(|rule, good, _| {
        for stand in [Stand::Login, Stand::Session, Stand::Selected] {
            if !stand.allows(rule.state) {
                let mut tried = Tried::new(stand);
                good.iter().for_each(|command| tried.refuses(command));
            }
        }
    });
}

#[test]
fn in_any_case() {
    each_rule(|rule, good, _| {
        let lower = rule.name.to_ascii_lowercase().into_bytes();
        for command in good {
            let command = [&lower, command.get(lower.len()..).unwrap()].concat();
            let answer = Tried::new(Stand::of(rule.state)).send(&command);
            let bad = answer.starts_with("BAD");
            assert!(!bad, "{} - {answer}", command.escape_ascii());
        }
    });
}

#[test]
fn with_too_much_or_too_little() {
    each_rule(|rule, good, tried| {
        if good.iter().all(|command| command.len() > rule.name.len()) {
            tried.refuses(bare(rule));
            tried.refuses(&[bare(rule), b" "].concat());
        }
        tried.refuses(&[bare(rule), b"X"].concat());
        for command in good {
            for more in [&b" )"[..], b")", b" (", b" \"", b" x \"y"] {
                tried.refuses(&[command, more].concat());
            }
            let long = [command, &b" x"[..], &b"x".repeat(WIDE.line_octets)].concat();
            tried.refuses(&long);
        }
    });
}

#[test]
fn cut_off_anywhere() {
    each_rule(|_, good, tried| {
        for command in good {
            for end in 0..command.len() {
                let part = command.get(..end).unwrap();
                if !has_literal(command) {
                    tried.send(part);
                }
                // Or the connection ends there, or nothing more comes.
                let connection = tried.stands();
                connection.send(&[b"t ", part].concat());
                if let Peer::Session(session) = &mut connection.peer {
                    session.event(Event::TimedOut);
                    connection.run();
                    let said = String::from_utf8_lossy(&connection.said).into_owned();
                    assert!(said.contains("* BYE "), "{}: {said}", part.escape_ascii());
                }
                tried.connection = None;
            }
        }
    });
}

#[test]
fn with_nul_anywhere() {
    each_rule(|_, good, tried| {
        for command in good.iter().filter(|command| !has_literal(command)) {
            for at in 0..=command.len() {
                let mut command = command.clone();
                command.insert(at, 0);
                tried.refuses(&command);
            }
        }
    });
}

#[test]
fn with_eight_bits_anywhere() {
    each_rule(|rule, good, tried| {
        let mut other = Tried::new(Stand::of(rule.state));
        other.enabled = Some("IMAP4rev2 QRESYNC");
        for command in good.iter().filter(|command| !has_literal(command)) {
            for at in 0..=command.len() {
                for bytes in [&b"\xff"[..], "\u{e9}".as_bytes(), b"\r", b"\x7f"] {
                    let mut command = command.clone();
                    command.splice(at..at, bytes.iter().copied());
                    tried.send(&command);
                    other.send(&command);
                }
            }
        }
    });
}

/// Octets of a message ran as commands where the name of its mailbox was no UTF-8.
#[test]
fn the_literal_of_a_broken_append_is_no_command() {
    for enabled in ["NOTHING", "UTF8=ACCEPT", "IMAP4rev2", "UIDONLY"] {
        for name in ["APPEND", "REPLACE 1", "UID REPLACE 1"] {
            for head in [
                "",
                "(\\Seen) ",
                "UTF8 (~",
                "~",
                "CATENATE (TEXT ",
                "CATENATE (UTF8 (~",
            ] {
                let mut tried = Tried::new(Stand::Selected);
                let connection = tried.stands();
                connection.send(format!("e ENABLE {enabled}\r\n").as_bytes());
                connection.said.clear();
                let inner = "z CREATE smuggled\r\n";
                let literal = format!("{{{}+}}\r\n{inner}", inner.len());
                let head = [b"x ", name.as_bytes(), b" \"f\xfcr\" ", head.as_bytes()].concat();
                connection.send(&[&head, literal.as_bytes(), b" ", literal.as_bytes()].concat());
                connection.send(b"))\r\ny NOOP\r\n");
                let said: Vec<String> = std::iter::from_fn(|| connection.line()).collect();
                let said = said.join(" ");
                assert!(
                    said.starts_with("x NO ") || said.starts_with("x BAD "),
                    "{said}"
                );
                assert!(said.ends_with("y OK NOOP completed."), "{said}");
                assert!(
                    !said.contains("z "),
                    "{enabled} {}: {said}",
                    head.escape_ascii()
                );
            }
        }
    }
}

/// What is no set of numbers (RFC 3501 section 9, sequence-set).
const NO_SETS: [&str; 14] = [
    "0",
    "0:1",
    "1:0",
    "-1",
    "1,",
    ",1",
    "1,,2",
    "1:",
    ":1",
    "1:2:3",
    "4294967296",
    "1:99999999999999999999",
    "**",
    "$,1",
];

/// Commands with a set as the first argument.
fn set(command: &[u8], rule: &Rule) -> Option<usize> {
    if rule.state != State::Selected {
        return None;
    }
    let rest = command.get(rule.name.len() + 1..)?;
    let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
    let word = rest.get(..end)?;
    let right = word
        .iter()
        .all(|b| b.is_ascii_digit() || b":,*$".contains(b));
    (right && !word.is_empty()).then_some(end)
}

#[test]
fn with_sets_that_are_none_or_too_many() {
    let with_set = std::sync::Mutex::new(Vec::new());
    each_rule(|rule, good, tried| {
        let sorting = ["SEARCH", "SORT", "THREAD"]
            .iter()
            .any(|n| rule.name.ends_with(n));
        let ranges: Vec<String> = (0..=WIDE.bounds.set_ranges)
            .map(|n| (2 * n + 1).to_string())
            .collect();
        let huge = ranges.join(",");
        for command in good {
            for bad in NO_SETS.iter().copied().chain([huge.as_str()]) {
                if sorting {
                    tried.refuses(&[command, &b" UID "[..], bad.as_bytes()].concat());
                } else if let Some(length) = set(command, rule) {
                    let (head, tail) = command.split_at(rule.name.len() + 1);
                    tried.refuses(&[head, bad.as_bytes(), tail.get(length..).unwrap()].concat());
                    with_set.lock().unwrap().push(rule.name);
                }
            }
        }
    });
    let with_set = with_set.into_inner().unwrap();
    for name in [
        "FETCH",
        "UID FETCH",
        "STORE",
        "COPY",
        "MOVE",
        "UID EXPUNGE",
        "REPLACE",
    ] {
        assert!(with_set.contains(&name), "{name} has no set");
    }
}

#[test]
fn with_sets_of_all_there_could_be() {
    each_rule(|rule, good, tried| {
        for command in good {
            for large in [
                "1:4294967295",
                "4294967295:1",
                "4294967295",
                "1:*,*:1,2:3,1",
            ] {
                if let Some(length) = set(command, rule) {
                    let (head, tail) = command.split_at(rule.name.len() + 1);
                    let tail = tail.get(length..).unwrap();
                    tried.send(&[head, large.as_bytes(), tail].concat());
                }
            }
        }
    });
}

/// A command with each of its words replaced by something.
fn replaced(command: &[u8], by: &[u8]) -> Vec<Vec<u8>> {
    let words: Vec<&[u8]> = command.split(|b| *b == b' ').collect();
    let one = |at: usize| {
        let mut words = words.clone();
        *words.get_mut(at).unwrap() = by;
        words.join(&b' ')
    };
    (0..words.len()).map(one).collect()
}

#[test]
fn with_deep_nesting() {
    const DEPTH: usize = 3000;
    let open = b"(".repeat(DEPTH);
    let closed = [open.clone(), b")".repeat(DEPTH)].concat();
    each_rule(|rule, good, tried| {
        for command in good
            .iter()
            .filter(|command| !has_literal(command) && !command.contains(&b'"'))
        {
            for nested in [&open, &closed] {
                for command in replaced(command, nested) {
                    tried.refuses(&command);
                }
            }
            if rule.name.ends_with("SEARCH")
                || rule.name.ends_with("SORT")
                || rule.name.ends_with("THREAD")
            {
                for deep in [&b" NOT"[..], b" OR ALL", b" OR"] {
                    tried.refuses(&[command, &deep.repeat(DEPTH / 2), &b" ALL"[..]].concat());
                }
            }
        }
    });
}

#[test]
fn with_literals_in_odd_places() {
    each_rule(|_, good, tried| {
        for command in good.iter().filter(|command| !has_literal(command)) {
            for literal in [
                &b"{1+}\r\nx"[..],
                b"{0+}\r\n",
                b"{5+}\r\nINBOX",
                b"{3}\r\n1:2",
                b"{2+}\r\n\r\n",
                b"~{1+}\r\nx",
            ] {
                for command in replaced(command, literal) {
                    tried.send(&command);
                }
            }
            for announced in [
                "{",
                "{}",
                "{-1}",
                "{1",
                "{+}",
                "{1+",
                "{99999999999999999999}",
                "{1++}",
                "{ 1}",
                "{0x1}",
            ] {
                tried.refuses(&[command, &b" "[..], announced.as_bytes()].concat());
            }
            // Too large to wait for; the client of the first sends none of it.
            let answer = tried.send(&[command, &b" {4000000000}"[..]].concat());
            assert!(
                answer.starts_with("BAD") || answer.starts_with("NO"),
                "{answer}"
            );
            let all = [command, &b" {9000+}\r\n"[..], &b"x".repeat(9000)].concat();
            let answer = tried.send(&all);
            assert!(
                answer.starts_with("BAD") || answer.starts_with("NO"),
                "{answer}"
            );
        }
    });
}

#[test]
fn behind_tags_that_are_none() {
    each_rule(|_, good, tried| {
        for command in good.iter().filter(|command| !has_literal(command)) {
            for tag in ["", "+", "*", "(", "\"t\"", "\u{e9}", "{1}", "%"] {
                let bytes = [tag.as_bytes(), b" ", command, b"\r\n"].concat();
                let answer = tried.send_raw("*", &bytes);
                assert!(answer.starts_with("BAD"), "{tag}: {answer}");
            }
        }
    });
}
