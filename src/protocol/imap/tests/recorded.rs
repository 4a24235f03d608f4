//! The answers of SEARCH, SORT and THREAD to every group of the corpus beside what Dovecot answers.
//! tests/search/differences.tsv lists where ours differs, and why.

use super::*;
use crate::corpus::{Corpus, Differences, assert_justified};
use crate::mail::UidSet;
use std::fs::{File, create_dir_all};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

/// INTERNALDATE of message n is this and n seconds.
const ARRIVED: u64 = 1_000_000_000;

/// Makes an INBOX of the group's messages with the UIDs that were recorded.
fn fill(root: &Path, corpus: &Corpus, group: &str) {
    let cur = root.join("cur");
    for directory in ["cur", "new", "tmp"] {
        create_dir_all(root.join(directory)).unwrap();
    }
    for message in corpus.recorded(group) {
        let (uid, path) = (message.uid, cur.join(format!("m,U={}:2,", message.uid)));
        let mut file = File::create(path).unwrap();
        file.write_all(&corpus.message(&message.path)).unwrap();
        let arrived = Duration::from_secs(ARRIVED + u64::from(uid));
        file.set_modified(SystemTime::UNIX_EPOCH + arrived).unwrap();
    }
}

/// A session that has the group selected.
fn selected(corpus: &Corpus, group: &str) -> (Connection, tempfile::TempDir) {
    let (account, directory) = Account::temporary();
    fill(directory.path(), corpus, group);
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account, handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    asked(&mut connection, "SELECT INBOX");
    (connection, directory)
}

/// All lines of the answer to a command.
fn asked(connection: &mut Connection, command: &str) -> Vec<String> {
    connection.said.clear();
    connection.send(format!("a {command}\r\n").as_bytes());
    let lines: Vec<String> = std::iter::from_fn(|| connection.line()).collect();
    let status = lines.last().unwrap();
    assert!(status.starts_with("a OK "), "{command}: {status}");
    lines
}

fn numbers(answer: &str) -> UidSet {
    let words = answer.split_ascii_whitespace().skip(2);
    words
        .map(|word| crate::mail::Uid::new(word.parse().unwrap()).unwrap())
        .collect()
}

/// `+` messages that only we find, `-` those that only they find.
fn difference(ours: &UidSet, theirs: &UidSet) -> Option<String> {
    let (more, less) = (ours.difference(theirs), theirs.difference(ours));
    let told = |sign: &str, set: &UidSet| match set.is_empty() {
        true => String::new(),
        false => format!("{sign}{set}"),
    };
    let text = format!("{} {}", told("+", &more), told("-", &less));
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Messages that stand elsewhere in the other order: all but a longest row that both have.
fn moved(ours: &[u32], theirs: &[u32]) -> Option<String> {
    let place: BTreeMap<u32, usize> = theirs.iter().copied().zip(0..).collect();
    // The lowest last place of an ascending row of each length, and who is before whom in it.
    let mut ends: Vec<(usize, u32)> = Vec::new();
    let mut before: BTreeMap<u32, u32> = BTreeMap::new();
    for &own in ours {
        let at = place[&own];
        let length = ends.partition_point(|end| end.0 < at);
        if let Some(end) = length.checked_sub(1) {
            before.insert(own, ends[end].1);
        }
        ends.truncate(ends.len().max(length));
        match ends.get_mut(length) {
            Some(end) => *end = (at, own),
            None => ends.push((at, own)),
        }
    }
    let row = std::iter::successors(ends.last().map(|end| end.1), |own| before.get(own).copied());
    let kept: UidSet = {
        let mut kept: Vec<u32> = row.collect();
        kept.sort_unstable();
        kept.into_iter().filter_map(crate::mail::Uid::new).collect()
    };
    let all: UidSet = {
        let mut all = ours.to_vec();
        all.sort_unstable();
        all.into_iter().filter_map(crate::mail::Uid::new).collect()
    };
    let moved = all.difference(&kept);
    (!moved.is_empty()).then(|| format!("order of {moved}"))
}

fn order(answer: &str) -> Vec<u32> {
    let words = answer.split_ascii_whitespace().skip(2);
    words.map(|word| word.parse().unwrap()).collect()
}

/// The threads of an answer as texts.
fn threads(answer: &str) -> Vec<String> {
    let (mut depth, mut all) = (0, vec![String::new()]);
    for c in answer.chars().skip("* THREAD".len()).filter(|c| *c != '\r') {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth > 0 || c == ')' {
            all.last_mut().unwrap().push(c);
        }
        if depth == 0 && c == ')' {
            all.push(String::new());
        }
    }
    all.pop();
    all
}

fn thread_difference(ours: &str, theirs: &str) -> Option<String> {
    let (ours, theirs) = (threads(ours), threads(theirs));
    let only = |a: &[String], b: &[String], sign: &str| -> String {
        let other: std::collections::BTreeSet<&String> = b.iter().collect();
        let own = a.iter().filter(|thread| !other.contains(thread));
        own.map(|thread| format!("{sign}{thread} ")).collect()
    };
    let text = only(&ours, &theirs, "+") + &only(&theirs, &ours, "-");
    if !text.is_empty() {
        return Some(text.trim().to_owned());
    }
    let number = |thread: &String| {
        let digits = thread.trim_start_matches('(');
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap();
        digits[..end].parse::<u32>().unwrap()
    };
    let first = |all: &[String]| all.iter().map(number).collect::<Vec<_>>();
    moved(&first(&ours), &first(&theirs))
}

fn compare(corpus: &Corpus, group: &str, differences: &mut Differences) -> usize {
    let (mut connection, _directory) = selected(corpus, group);
    let mut compared = 0;
    for (query, (status, theirs)) in corpus.queries(group) {
        assert!(status.starts_with("OK "), "{group}: {query}: {status}");
        compared += 1;
        let (ours, theirs) = (&asked(&mut connection, &query)[0], &theirs[0]);
        let what = if query.starts_with("UID SEARCH ") {
            difference(&numbers(ours), &numbers(theirs))
        } else if query.starts_with("UID SORT ") {
            moved(&order(ours), &order(theirs))
        } else {
            thread_difference(ours, theirs)
        };
        if let Some(what) = what {
            let about = format!("{group}\t{query}\t{what}");
            differences.insert(about, String::new());
        }
    }
    compared
}

#[test]
fn answers_are_those_that_clients_know() {
    let Some(corpus) = Corpus::unpack() else {
        return;
    };
    let mut differences = Differences::new();
    let mut compared = 0;
    for group in corpus.searched() {
        compared += compare(&corpus, &group, &mut differences);
    }
    assert_eq!(
        compared,
        9 * 46,
        "30 searches, 13 sorts and 3 threads a group"
    );
    assert_justified(&differences, "tests/search/differences.tsv");
}

#[test]
fn a_difference_is_seen() {
    let of = |a: &str, b: &str| difference(&numbers(a), &numbers(b));
    assert_eq!(of("* SEARCH 1 2", "* SEARCH 1 2"), None);
    assert_eq!(of("* SEARCH 1 2", "* SEARCH 2 3").unwrap(), "+1 -3");
    assert_eq!(of("* SEARCH", "* SEARCH 2 3 4").unwrap(), "-2:4");
    assert_eq!(moved(&[1, 2, 3], &[1, 2, 3]), None);
    assert_eq!(moved(&[1, 2, 3, 4], &[1, 3, 4, 2]).unwrap(), "order of 2");
    let of =
        |a: &str, b: &str| thread_difference(&format!("* THREAD {a}"), &format!("* THREAD {b}"));
    assert_eq!(of("(1 2)(3 (4)(5))", "(1 2)(3 (4)(5))"), None);
    assert_eq!(of("(1 2)(3)", "(1 2 3)").unwrap(), "+(1 2) +(3) -(1 2 3)");
    assert_eq!(of("(1)((3)(4))", "((3)(4))(1)").unwrap(), "order of 1");
}
