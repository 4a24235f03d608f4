//! The answers of SEARCH to every group of the corpus beside what Dovecot answers.
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

fn compare(corpus: &Corpus, group: &str, differences: &mut Differences) -> usize {
    let (mut connection, _directory) = selected(corpus, group);
    let mut compared = 0;
    for (query, (status, theirs)) in corpus.queries(group) {
        if !query.starts_with("UID SEARCH ") {
            continue;
        }
        assert!(status.starts_with("OK "), "{group}: {query}: {status}");
        compared += 1;
        let ours = asked(&mut connection, &query);
        let what = difference(&numbers(&ours[0]), &numbers(&theirs[0]));
        if let Some(what) = what {
            let about = format!("{group}\t{query}\t{what}");
            differences.insert(about, String::new());
        }
    }
    compared
}

#[test]
fn searches_find_what_clients_know() {
    let Some(corpus) = Corpus::unpack() else {
        return;
    };
    let mut differences = Differences::new();
    let mut compared = 0;
    for group in corpus.searched() {
        compared += compare(&corpus, &group, &mut differences);
    }
    assert_eq!(compared, 270, "9 groups with 30 searches each");
    assert_justified(&differences, "tests/search/differences.tsv");
}

#[test]
fn a_difference_in_a_search_is_seen() {
    let of = |a: &str, b: &str| difference(&numbers(a), &numbers(b));
    assert_eq!(of("* SEARCH 1 2", "* SEARCH 1 2"), None);
    assert_eq!(of("* SEARCH 1 2", "* SEARCH 2 3").unwrap(), "+1 -3");
    assert_eq!(of("* SEARCH", "* SEARCH 2 3 4").unwrap(), "-2:4");
}
