//! SIZE, ENVELOPE, BODY and BODYSTRUCTURE of every message of the corpus beside what Dovecot
//! answers. tests/mime/differences.tsv lists where ours differs, and why.

use super::*;

use crate::corpus::{Corpus, Differences, assert_justified};

/// A token of an answer, in the form in which equal means the same to a client.
#[derive(Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    /// A number, NIL or a name, in upper case.
    Atom(Vec<u8>),
    /// A quoted string or a literal, without blanks around it, which mean nothing in the fields
    /// that an envelope gives as they stand (RFC 5322 section 3.2.2).
    Text(Vec<u8>),
}

/// Words without regard to case (RFC 2045 section 5.1) that Dovecot writes in its own way.
const FOLDED: [&str; 7] = [
    "text", "plain", "charset", "us-ascii", "7bit", "message", "rfc822",
];

fn text(bytes: &[u8]) -> Token {
    let bytes = bytes.trim_ascii();
    let folded = FOLDED
        .iter()
        .find(|f| bytes.eq_ignore_ascii_case(f.as_bytes()));
    Token::Text(folded.map_or(bytes, |f| f.as_bytes()).to_vec())
}

/// Splits IMAP text into tokens.
fn tokens(mut rest: &[u8]) -> Vec<Token> {
    let mut all = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b' ' => {}
            b'(' => all.push(Token::Open),
            b')' => all.push(Token::Close),
            b'"' => {
                let (mut quoted, mut at) = (Vec::new(), 0);
                while rest[at] != b'"' {
                    at += usize::from(rest[at] == b'\\');
                    quoted.push(rest[at]);
                    at += 1;
                }
                rest = &rest[at + 1..];
                all.push(text(&quoted));
            }
            b'{' => {
                let end = rest.iter().position(|&b| b == b'}').unwrap();
                let length = str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
                let (literal, after) = rest[end + 3..].split_at(length);
                all.push(text(literal));
                rest = after;
            }
            _ => {
                let end = rest.iter().position(|b| b" ()".contains(b));
                let (more, after) = rest.split_at(end.unwrap_or(rest.len()));
                let atom = [&[byte], more].concat().to_ascii_uppercase();
                all.push(Token::Atom(atom));
                rest = after;
            }
        }
    }
    all
}

/// The items of a FETCH answer: name and value.
fn items(mut tokens: &[Token]) -> Vec<(String, &[Token])> {
    let mut all = Vec::new();
    while let Some((Token::Atom(name), rest)) = tokens.split_first() {
        let mut depth = 0;
        let ends = |token: &Token| {
            depth += i32::from(*token == Token::Open) - i32::from(*token == Token::Close);
            depth == 0
        };
        let (value, rest) = rest.split_at(rest.iter().position(ends).unwrap() + 1);
        all.push((String::from_utf8(name.clone()).unwrap(), value));
        tokens = rest;
    }
    all
}

/// Tokens from a little before the first difference on, for people.
fn shown(tokens: &[Token], from: usize) -> String {
    let one = |token: &Token| match token {
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::Atom(text) => String::from_utf8_lossy(text).into_owned(),
        Token::Text(text) => {
            let start = &text[..text.len().min(200)];
            format!("\"{}\"", start.escape_ascii())
        }
    };
    let window = tokens.iter().skip(from.saturating_sub(3)).take(14);
    window.map(one).collect::<Vec<_>>().join(" ")
}

fn difference(ours: &[Token], theirs: &[Token]) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    Some(format!(
        "  ours:   {}\n  theirs: {}",
        shown(ours, same),
        shown(theirs, same)
    ))
}

/// What we answer to FETCH for this message.
fn answer(bytes: &[u8], item: &str) -> Vec<u8> {
    let message = parse_bytes(bytes, &Limits::default());
    let header = message.root().map_or(0, |root| root.header.end as usize);
    match item {
        "RFC822.SIZE" => message.octets().to_string().into_bytes(),
        "ENVELOPE" => envelope(&bytes[..header], &Limits::default()),
        "BODYSTRUCTURE" => bodystructure(&message),
        "BODY" => body(&bodystructure(&message)),
        _ => panic!("{item}"),
    }
}

fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[test]
fn answers_are_those_that_clients_know() {
    let Some(corpus) = Corpus::unpack() else {
        return;
    };
    let mut differences = Differences::new();
    let mut messages = 0;
    for group in corpus.groups() {
        for recorded in corpus.recorded(&group) {
            messages += 1;
            let bytes = corpus.message(&recorded.path);
            let theirs = tokens(&latin_1(&recorded.fetch));
            for (item, value) in items(&theirs).into_iter().filter(|i| i.0 != "UID") {
                let ours = tokens(&answer(&bytes, &item));
                if let Some(difference) = difference(&ours, value) {
                    let about = format!("{group}\t{}\t{item}", recorded.path);
                    differences.insert(about, difference);
                }
            }
        }
    }
    assert_eq!(messages, 5504);
    assert_justified(&differences, "tests/mime/differences.tsv");
}

#[test]
fn a_difference_is_seen() {
    let same =
        |a: &str, b: &str| difference(&tokens(a.as_bytes()), &tokens(b.as_bytes())).is_none();
    assert!(same("(\"a\\\"b\" nil 12)", "({3}\r\na\"b NIL 12)"));
    for (a, b) in [
        ("\"NIL\"", "NIL"),
        ("\"a\"", "\"A\""),
        ("12", "13"),
        ("(1)", "((1))"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
}
