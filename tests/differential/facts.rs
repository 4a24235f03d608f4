//! What an answer says, in a form in which the same is equal whoever says it.

use crate::support::Answer;
use std::collections::BTreeMap;

/// What one connection was told so far.
#[derive(Default)]
pub(crate) struct Told {
    /// UIDVALIDITY values in the order in which they were told.
    validities: Vec<String>,
    /// HIGHESTMODSEQ of the selected mailbox when it was selected.
    pub(crate) mod_seq: Option<String>,
    /// UIDVALIDITY of the selected mailbox.
    pub(crate) validity: Option<String>,
    /// Messages of the selected mailbox: numbers that never change.
    messages: Vec<usize>,
    made: usize,
}

/// A part of an answer: atoms in upper case, strings in quotes, lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Word(String),
    List(Vec<Value>),
}

/// Words that each server writes in its own case (RFC 2045 section 5.1).
fn folded(text: &str) -> String {
    const WORDS: [&str; 6] = ["text", "plain", "charset", "us-ascii", "7bit", "rfc822"];
    let known = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if known {
        text.to_lowercase()
    } else {
        text.to_owned()
    }
}

/// Reads values up to the end or a closing parenthesis.
fn values(rest: &mut &str) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(first) = rest.chars().next() {
        match first {
            ' ' => *rest = &rest[1..],
            ')' => {
                *rest = &rest[1..];
                return all;
            }
            '(' => {
                *rest = &rest[1..];
                all.push(Value::List(values(rest)));
            }
            '"' => all.push(Value::Word(format!("{:?}", folded(&quoted(rest))))),
            '{' => all.push(Value::Word(format!("{:?}", folded(&literal(rest))))),
            // What may hold NUL (RFC 3516 section 4.2.2): each server says it when it likes.
            '~' => *rest = &rest[1..],
            _ => all.push(Value::Word(atom(rest))),
        }
    }
    all
}

fn quoted(rest: &mut &str) -> String {
    let (mut text, mut escaped) = (String::new(), false);
    for (at, c) in rest.char_indices().skip(1) {
        if c == '"' && !escaped {
            *rest = &rest[at + 1..];
            return text;
        }
        escaped = c == '\\' && !escaped;
        if !escaped {
            text.push(c);
        }
    }
    panic!("a string does not end: {rest}");
}

/// Each octet is a character here.
fn literal(rest: &mut &str) -> String {
    let (octets, after) = rest[1..].split_once("}\r\n").unwrap();
    let octets: usize = octets.parse().unwrap();
    let text: String = after.chars().take(octets).collect();
    *rest = &after[text.len()..];
    text
}

/// An atom; brackets belong to it with all that is in them.
fn atom(rest: &mut &str) -> String {
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0 && " ()".contains(c)
    });
    let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    word.to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Word(word) => word.clone(),
        Value::List(values) => {
            let all: Vec<String> = values.iter().map(shown).collect();
            format!("({})", all.join(" "))
        }
    }
}

fn parsed(mut text: &str) -> Vec<Value> {
    values(&mut text)
}

/// The words of a list, in alphabetical order, without those that only one server has reason to tell.
fn sorted(list: &Value) -> String {
    let Value::List(list) = list else {
        return shown(list);
    };
    let mut words: Vec<String> = list.iter().map(shown).collect();
    words.retain(|word| !["\\Recent", "\\Marked", "\\UnMarked"].contains(&word.as_str()));
    words.sort();
    format!("({})", words.join(" "))
}

/// Flags of a mailbox: here a keyword is among them once a message gets it, there once any command names
/// it (RFC 3501 section 7.2.6 leaves that open). Those of each message are compared elsewhere.
fn applicable(list: &Value) -> String {
    let all = sorted(list);
    let system = all
        .trim_matches(['(', ')'])
        .split(' ')
        .filter(|flag| flag.starts_with('\\'));
    system.collect::<Vec<_>>().join(" ")
}

/// The UIDs of a set.
fn numbers(set: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    set.split(',').flat_map(range).collect()
}

impl Told {
    /// A UIDVALIDITY by the order in which it was told.
    fn validity(&mut self, value: &str) -> String {
        let known = self.validities.iter().position(|v| v == value);
        let number = known.unwrap_or_else(|| {
            self.validities.push(value.to_owned());
            self.validities.len() - 1
        });
        format!("validity-{number}")
    }

    /// No mailbox is selected any more.
    pub(crate) fn forget(&mut self) {
        self.messages.clear();
        self.mod_seq = None;
        self.validity = None;
    }

    pub(crate) fn count(&self) -> usize {
        self.messages.len()
    }

    /// What the answers to a command and what follows it say.
    pub(crate) fn facts(&mut self, answers: &[Answer]) -> Vec<String> {
        let mut facts = Vec::new();
        let mut fetched: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
        for answer in answers {
            for line in &answer.untagged {
                self.untagged(line, &mut facts, &mut fetched);
            }
            if let Some((word, code)) = self.status(&answer.status) {
                facts.push(format!("{word} {code}").trim_end().to_owned());
            }
        }
        for (message, items) in fetched {
            facts.extend(
                items
                    .iter()
                    .map(|(item, value)| format!("message {message} {item} {value}")),
            );
        }
        facts.push(format!("{} messages", self.messages.len()));
        facts.sort();
        facts
    }

    /// `OK` and the code of a tagged response.
    fn status(&mut self, status: &str) -> Option<(String, String)> {
        let (word, rest) = status.split_once(' ')?;
        let code = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let code = code.map_or_else(String::new, |(code, _)| self.code(code));
        Some((word.to_owned(), code))
    }

    /// A response code without what only its server knows.
    fn code(&mut self, code: &str) -> String {
        let words: Vec<&str> = code.split(' ').collect();
        match words.as_slice() {
            ["UIDVALIDITY", value] => {
                self.validity = Some((*value).to_owned());
                format!("UIDVALIDITY {}", self.validity(value))
            }
            ["APPENDUID" | "COPYUID", value, ..] => {
                let rest = words[2..].join(" ");
                format!("{} {} {rest}", words[0], self.validity(value))
            }
            ["HIGHESTMODSEQ", value] => {
                self.mod_seq = Some((*value).to_owned());
                String::new()
            }
            ["PERMANENTFLAGS", ..] => format!("PERMANENTFLAGS {}", applicable(&parsed(code)[1])),
            ["BADURL", ..] => "BADURL".to_owned(),
            ["CLOSED" | "CAPABILITY" | "MAILBOXID", ..] => String::new(),
            _ => code.to_owned(),
        }
    }

    fn untagged(
        &mut self,
        line: &str,
        facts: &mut Vec<String>,
        fetched: &mut BTreeMap<usize, BTreeMap<String, String>>,
    ) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Ok(number) = first.parse::<usize>() {
            return self.numbered(number, rest, facts, fetched);
        }
        match first {
            "OK" => {
                let (_, code) = self.status(line).unwrap_or_default();
                if !code.is_empty() {
                    facts.push(code);
                }
            }
            "FLAGS" => facts.push(format!("FLAGS {}", applicable(&parsed(rest)[0]))),
            "LIST" | "LSUB" => {
                let values = parsed(rest);
                let name = shown(&values[2]).trim_matches('"').to_owned();
                facts.push(format!("{first} {} {name}", sorted(&values[0])));
            }
            "STATUS" => self.status_items(rest, facts),
            "SEARCH" | "SORT" | "THREAD" => facts.push(without_mod_seq(line.trim_end())),
            "ESEARCH" if line.contains("ADDTO (") || line.contains("REMOVEFROM (") => {
                self.updates(line, facts);
            }
            "ESEARCH" => facts.push(found(&without_tag(&without_mod_seq(line)))),
            "METADATA" => annotations(rest, facts),
            "VANISHED" => self.vanished(rest, facts),
            "CAPABILITY" => {}
            _ => facts.push(line.to_owned()),
        }
    }

    fn numbered(
        &mut self,
        number: usize,
        rest: &str,
        facts: &mut Vec<String>,
        fetched: &mut BTreeMap<usize, BTreeMap<String, String>>,
    ) {
        let (what, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "EXISTS" => {
                while self.messages.len() < number {
                    self.made += 1;
                    self.messages.push(self.made);
                }
            }
            "EXPUNGE" => facts.push(format!("gone: {}", self.messages.remove(number - 1))),
            "FETCH" => {
                let message = self.messages[number - 1];
                let Value::List(items) = &parsed(rest)[0] else {
                    panic!("{rest}");
                };
                let own = fetched.entry(message).or_default();
                for item in items.chunks(2) {
                    let name = shown(&item[0]);
                    let value = match name.as_str() {
                        "FLAGS" => sorted(&item[1]),
                        "MODSEQ" => "some".to_owned(),
                        // How a preview is made is the server's (RFC 8970 section 3.3).
                        "PREVIEW" | "SNIPPET" => previewed(&item[1]),
                        // Dovecot writes 01 (RFC 3501 section 9: date-day-fixed = (SP DIGIT) / 2DIGIT).
                        "INTERNALDATE" => shown(&item[1]).replace("\"0", "\" "),
                        _ => shown(&item[1]),
                    };
                    own.insert(name, value);
                }
            }
            "RECENT" => {}
            _ => facts.push(format!("{number} {what} {rest}")),
        }
    }

    fn status_items(&mut self, rest: &str, facts: &mut Vec<String>) {
        let values = parsed(rest);
        let name = shown(&values[0]).trim_matches('"').to_owned();
        let Value::List(items) = &values[1] else {
            panic!("{rest}");
        };
        for item in items.chunks(2) {
            let value = match shown(&item[0]).as_str() {
                "UIDVALIDITY" => self.validity(&shown(&item[1])),
                "HIGHESTMODSEQ" => "some".to_owned(),
                _ => shown(&item[1]),
            };
            facts.push(format!("STATUS {name} {} {value}", shown(&item[0])));
        }
    }

    /// What is found by now, or no longer (RFC 5267 section 4.3), message by message.
    fn updates(&self, line: &str, facts: &mut Vec<String>) {
        let words = parsed(line);
        let uid = words.contains(&Value::Word("UID".to_owned()));
        for pair in words.windows(2) {
            let [Value::Word(what), Value::List(places)] = pair else {
                continue;
            };
            for set in places.chunks(2).filter(|_| what != "ESEARCH") {
                for number in numbers(&shown(&set[1])) {
                    let whom = match uid {
                        true => format!("UID {number}"),
                        false => format!("message {}", self.messages[number as usize - 1]),
                    };
                    facts.push(format!("{} {what} {whom}", shown(&words[1])));
                }
            }
        }
    }

    fn vanished(&mut self, rest: &str, facts: &mut Vec<String>) {
        let (kind, set) = match rest.strip_prefix("(EARLIER) ") {
            Some(set) => ("earlier", set),
            None => ("vanished", rest),
        };
        let uids = numbers(set);
        if kind == "vanished" {
            // Which they are is not known here; how many are left is.
            self.messages.truncate(self.messages.len() - uids.len());
        }
        facts.extend(uids.iter().map(|uid| format!("{kind}: UID {uid}")));
    }
}

/// The form of a preview.
fn previewed(value: &Value) -> String {
    match value {
        Value::Word(text) if text == "NIL" => "NIL".to_owned(),
        Value::Word(_) => "text".to_owned(),
        Value::List(list) => format!("{} {}", shown(&list[0]), previewed(&list[1])),
    }
}

/// METADATA with values, each by itself, or the names of entries that changed.
fn annotations(rest: &str, facts: &mut Vec<String>) {
    let values = parsed(rest);
    let name = shown(&values[0]).trim_matches('"').to_owned();
    match &values[1] {
        Value::List(entries) => facts.extend(entries.chunks(2).map(|entry| {
            let (entry, value) = (shown(&entry[0]), shown(&entry[1]));
            format!("METADATA {name} {entry} {value}")
        })),
        Value::Word(_) => facts.push(format!("METADATA {rest}")),
    }
}

/// Without the value of `(MODSEQ n)` or ` MODSEQ n`.
fn without_mod_seq(line: &str) -> String {
    match line.split_once("MODSEQ ") {
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}MODSEQ{rest}")
        }
        None => line.to_owned(),
    }
}

/// An ESEARCH response with its items in order.
fn found(line: &str) -> String {
    let mut items: Vec<String> = Vec::new();
    for word in line.split_whitespace().skip(1) {
        match items
            .last_mut()
            .filter(|_| word.starts_with(|c: char| c.is_ascii_digit()))
        {
            Some(item) => *item = format!("{item} {word}"),
            None => items.push(word.to_owned()),
        }
    }
    items.sort();
    format!("ESEARCH {}", items.join(" "))
}

/// The threads of a THREAD response, each by itself.
pub(crate) fn threads(line: &str) -> Vec<String> {
    let (mut depth, mut all, mut thread) = (0, Vec::new(), String::new());
    for c in line.chars().skip_while(|c| *c != '(') {
        depth += i32::from(c == '(') - i32::from(c == ')');
        thread.push(c);
        if depth == 0 {
            all.push(format!("thread {}", std::mem::take(&mut thread)));
        }
    }
    all
}

fn without_tag(line: &str) -> String {
    match line
        .split_once("(TAG \"")
        .and_then(|(before, rest)| Some((before, rest.split_once("\")")?.1)))
    {
        Some((before, rest)) => format!("{before}{rest}"),
        None => line.to_owned(),
    }
}

#[test]
fn the_same_is_equal_and_the_rest_is_not() {
    let facts = |lines: &[&str]| {
        let untagged = lines.iter().map(|l| (*l).to_owned()).collect();
        let status = "OK [HIGHESTMODSEQ 5] Done.".to_owned();
        Told::default().facts(&[Answer { untagged, status }])
    };
    let same = [
        (
            vec!["2 EXISTS", "1 FETCH (FLAGS (\\Seen a) UID 3)"],
            vec![
                "2 EXISTS",
                "0 RECENT",
                "1 FETCH (UID 3 FLAGS (a \\Recent \\Seen))",
            ],
        ),
        (
            vec!["3 EXISTS", "1 EXPUNGE", "1 EXPUNGE"],
            vec!["3 EXISTS", "2 EXPUNGE", "1 EXPUNGE"],
        ),
        (
            vec!["1 EXISTS", "1 FETCH (BODY[] {3}\r\na\"b)"],
            vec!["1 EXISTS", "1 FETCH (BODY[] \"a\\\"b\")"],
        ),
        (vec!["SEARCH 1 2 (MODSEQ 9)"], vec!["SEARCH 1 2 (MODSEQ 7)"]),
    ];
    for (a, b) in same {
        assert_eq!(facts(&a), facts(&b));
    }
    let different = [
        (vec!["3 EXISTS", "1 EXPUNGE"], vec!["3 EXISTS", "2 EXPUNGE"]),
        (vec!["SEARCH 1 2"], vec!["SEARCH 2 1"]),
        (
            vec!["1 EXISTS", "1 FETCH (UID 3)"],
            vec!["1 EXISTS", "1 FETCH (UID 4)"],
        ),
        (vec!["LIST (\\Noselect) \"/\" a"], vec!["LIST () \"/\" a"]),
    ];
    for (a, b) in different {
        assert_ne!(facts(&a), facts(&b));
    }
}
