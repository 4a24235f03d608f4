//! The command parser and whole sessions, fed with what no client would send.

use super::bad_input::{answer, login, session};
use super::samples::samples;
use super::*;
use crate::fuzz::{Random, Target, fuzz};
use crate::protocol::imap::table::{RULES, State, rule_of};
use crate::wire::imap::{Bounds, Ends, Frame, Framer, append_start, parse};
use imap_codec::CommandCodec;

/// Pieces of IMAP's grammar.
const WORDS: [&str; 49] = [
    " ",
    "\r\n",
    "(",
    ")",
    "((",
    "))",
    "\"\"",
    "\"a\"",
    "NIL",
    "{0+}\r\n",
    "{3+}\r\nabc",
    "{1}\r\n",
    "~{2+}\r\nab",
    "*",
    "1:*",
    "$",
    "1,3:5",
    "INBOX",
    "&AOQ-",
    "%",
    "\\Seen",
    "\\Deleted",
    "ALL",
    "NOT ",
    "OR ",
    "UID ",
    "CHARSET UTF-8 ",
    "RETURN (",
    "BODY[",
    "HEADER.FIELDS (",
    "]<0.10>",
    "MODSEQ 1",
    "(CHANGEDSINCE 1)",
    "(QRESYNC (1 2))",
    "DONE\r\n",
    "a NOOP\r\n",
    "b SELECT INBOX\r\n",
    "c UNSELECT\r\n",
    "d FETCH 1:* ALL\r\n",
    "e STORE 1 FLAGS (a)\r\n",
    "f SEARCH ALL\r\n",
    "g IDLE\r\n",
    "h EXPUNGE\r\n",
    "imap://",
    "i ENABLE IMAP4rev2 QRESYNC\r\n",
    "j ENABLE UIDONLY\r\n",
    "k NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange))\r\n",
    "l APPEND INBOX UTF8 (~{2+}\r\nab)\r\n",
    "UTF8 (~{1+}\r\na)",
];

/// All frames of some bytes that come in pieces.
fn frames(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Frame> {
    let mut framer = Framer::new(2000, 1000, 1000);
    let (mut all, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let length = piece().clamp(1, rest.len());
        let taken = framer.input(&rest[..length]);
        rest = &rest[taken..];
        let before = all.len();
        loop {
            match framer.next() {
                Frame::NeedInput => break,
                Frame::Continue => {}
                Frame::Append {
                    head,
                    octets,
                    synchronising,
                } => {
                    framer.skip_literal(octets);
                    all.push(Frame::Append {
                        head,
                        octets,
                        synchronising,
                    });
                }
                frame => all.push(frame),
            }
        }
        assert!(taken > 0 || all.len() > before, "input is stuck");
    }
    all
}

/// The names in a text that shows a value, without what it is about.
fn names(shown: &str) -> String {
    shown
        .chars()
        .filter(|c| c.is_ascii_alphabetic() || "({[".contains(*c))
        .collect()
}

/// Refusals of what another parser takes for a command: flags that no server knows, STATUS that asks
/// for nothing, and tags that are longer than is kept.
const STRICTER: [&str; 3] = [
    "no such system flag, or one that cannot be set",
    "a status item is missing",
    "a tag is missing",
];

/// What another parser understands is understood here.
fn is_understood(text: &[u8]) {
    let command = [text, b"\r\n"].concat();
    let theirs = CommandCodec::new().decode(&command);
    if theirs.is_ok_and(|(rest, _)| rest.is_empty())
        && let Err(syntax) = parse(text, Bounds::USUAL).command
    {
        let refused = STRICTER.contains(&syntax.0);
        assert!(refused, "{}: {}", syntax.0, text.escape_ascii());
    }
}

fn parsed(text: &[u8]) -> String {
    let bounds = Bounds {
        set_ranges: 20,
        search_keys: 20,
        search_depth: 5,
        ..Bounds::USUAL
    };
    let utf8 = Bounds {
        utf8: true,
        charset: false,
        ..bounds
    };
    for bounds in [bounds, utf8] {
        append_start(text, Ends::Command, bounds);
        append_start(text, Ends::Literal, bounds);
    }
    parse(text, utf8);
    match parse(text, bounds).command {
        Ok(command) => {
            let rule = rule_of(&command);
            assert!(
                RULES.iter().any(|own| own.name == rule.name),
                "{command:?} has no rule"
            );
            names(&format!("{command:?}"))
        }
        Err(syntax) => syntax.0.to_owned(),
    }
}

#[test]
fn fuzz_commands() {
    let tagged = |command: Vec<u8>| [&b"a "[..], &command, b"\r\n"].concat();
    let seeds = samples().into_values().flatten().map(tagged).collect();
    let target = Target {
        name: "command",
        octets: 2000,
        words: &WORDS,
        seeds,
    };
    fuzz(target, |input, random| {
        let whole = frames(input, || usize::MAX);
        let pieces = frames(input, || random.below(40) as usize);
        assert_eq!(whole, pieces, "split, it means something else");
        let each = whole.iter().map(|frame| match frame {
            Frame::Command(text) => {
                is_understood(text);
                parsed(text)
            }
            Frame::Append { head, .. } => parsed(head),
            Frame::Refused { why, .. } => format!("{why:?}"),
            _ => String::new(),
        });
        each.collect()
    });
}

/// Whether a literal may be announced that is too long to be sent here.
fn announces_much(input: &[u8]) -> bool {
    let long = |digits: &[u8]| digits.iter().take_while(|b| b.is_ascii_digit()).count() > 3;
    let after = |at: usize| input.get(at + 1..).unwrap_or_default();
    (0..input.len()).any(|at| input.get(at) == Some(&b'{') && long(after(at)))
}

/// The session of one input, on an account that others have used before.
fn converse(mut connection: Connection, input: &[u8], random: &mut Random) -> String {
    let mut rest = input;
    while !rest.is_empty() && !connection.ended {
        let length = (1 + random.below(60) as usize).min(rest.len());
        let (piece, after) = rest.split_at(length);
        connection.send(piece);
        rest = after;
    }
    let said = String::from_utf8_lossy(&connection.said).into_owned();
    if !connection.ended && !announces_much(input) {
        answer(&mut connection, "z", b"\r\nz NOOP\r\n");
    }
    let mut heads: Vec<String> = said
        .lines()
        .map(|line| line.split(' ').skip(1).take(3).map(names).collect())
        .collect();
    heads.dedup();
    heads.join(" ")
}

#[test]
fn fuzz_sessions() {
    // What others left may matter, but not for ever.
    const SESSIONS: u64 = 200;
    let select = |name: &str| match crate::protocol::imap::table::named(name).state {
        State::Selected => &b"s SELECT INBOX\r\na "[..],
        _ => b"a ",
    };
    let short = |name: &str, command: &[u8]| [select(name), command, b"\r\n"].concat();
    let samples = samples();
    let seeds = samples
        .iter()
        .flat_map(|(name, all)| all.iter().map(|one| short(name, one)));
    let target = Target {
        name: "session",
        octets: 800,
        words: &WORDS,
        seeds: seeds.collect(),
    };
    let (mut account, mut used) = (Account::volatile(), 0);
    fuzz(target, |input, random| {
        used += 1;
        if used % SESSIONS == 0 {
            account = Account::volatile();
        }
        account.0.prepare().unwrap();
        let connection = if random.below(8) == 0 {
            login()
        } else {
            session(&account.0)
        };
        converse(connection, input, random)
    });
}
