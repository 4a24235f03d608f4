//! How much of a message is read for what a client asks.

use super::*;
use std::path::Path;

/// Octets that this thread has read from files so far; `None` where the kernel does not count them.
fn octets_read() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let line = counts.lines().find_map(|l| l.strip_prefix("rchar: "))?;
    line.parse().ok()
}

/// A session with a mailbox of one message selected.
fn selected(message: &[u8]) -> (Connection, tempfile::TempDir) {
    let (account, directory) = Account::temporary();
    file(directory.path(), 1, message);
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account, handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    asked(&mut connection, "SELECT INBOX");
    // Whatever the index keeps of it is computed now.
    asked(&mut connection, "FETCH 1:* (RFC822.SIZE ENVELOPE)");
    (connection, directory)
}

pub(super) fn file(root: &Path, uid: u32, message: &[u8]) {
    for directory in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    let path = root.join("cur").join(format!("m{uid},U={uid}:2,"));
    std::fs::write(path, message).unwrap();
}

/// The answer to a command.
fn asked(connection: &mut Connection, command: &str) -> Vec<u8> {
    connection.said.clear();
    connection.send(format!("a {command}\r\n").as_bytes());
    let said = std::mem::take(&mut connection.said);
    assert!(memchr::memmem::find(&said, b"a OK ").is_some(), "{command}");
    said
}

/// The literal of an answer to FETCH.
fn literal(answer: &[u8]) -> &[u8] {
    let open = memchr::memchr(b'{', answer).unwrap();
    let close = open + memchr::memchr(b'}', &answer[open..]).unwrap();
    let octets: usize = std::str::from_utf8(&answer[open + 1..close])
        .unwrap()
        .parse()
        .unwrap();
    &answer[close + 3..close + 3 + octets]
}

pub(super) fn large(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: large\nMIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n\n"
        .to_vec();
    for number in 0.. {
        message.extend_from_slice(format!("line {number} of the large part\n").as_bytes());
        if message.len() >= octets {
            break;
        }
    }
    message.extend_from_slice(b"--b--\n");
    message
}

#[test]
fn a_large_message_in_partials_is_read_about_once() {
    // Each partial counted and skipped from the beginning of the message: 20 MB read 300 times.
    const PARTIAL: usize = 64 * 1024;
    let message = large(20 << 20);
    let wire = String::from_utf8(message.clone()).unwrap();
    let wire = wire.replace('\n', "\r\n").into_bytes();
    let part = memchr::memmem::rfind(&wire, b"--b\r\n\r\n").unwrap() + 7;
    let (mut connection, _directory) = selected(&message);
    for (section, whole) in [
        ("", &wire[..]),
        (
            "TEXT",
            &wire[memchr::memmem::find(&wire, b"--b").unwrap()..],
        ),
        ("2", &wire[part..wire.len() - 9]),
    ] {
        let before = octets_read();
        let mut all = Vec::new();
        while all.len() < whole.len() {
            let command = format!("FETCH 1 BODY.PEEK[{section}]<{}.{PARTIAL}>", all.len());
            let answer = asked(&mut connection, &command);
            let octets = literal(&answer);
            assert!(!octets.is_empty(), "{section} ended at {}", all.len());
            all.extend_from_slice(octets);
        }
        assert!(all == whole, "{section}");
        let command = format!("FETCH 1 BODY.PEEK[{section}]<{}.10>", all.len());
        assert!(literal(&asked(&mut connection, &command)).is_empty());
        let Some((before, after)) = before.zip(octets_read()) else {
            return println!("skipped: this kernel does not count what is read");
        };
        // Counted, then given, and once to find the section.
        let most = 5 * message.len() as u64;
        assert!(
            after - before < most,
            "{section}: {} octets",
            after - before
        );
    }
}

#[test]
fn partials_in_any_order_and_of_others_between_are_right() {
    let message = large(200 << 10);
    let wire = String::from_utf8(message.clone()).unwrap();
    let wire = wire.replace('\n', "\r\n").into_bytes();
    let (mut connection, directory) = selected(&message);
    file(directory.path(), 2, &large(200 << 10));
    asked(&mut connection, "NOOP");
    for (number, start, count) in [
        (1, 150_000, 1000),
        (1, 151_000, 50_000),
        (1, 10, 90_000),
        (2, 90_010, 5000),
        (1, 90_010, 5000),
        (1, 90_009, 5000),
        (1, 90_011, 1),
    ] {
        let command = format!("FETCH {number} (BODY.PEEK[]<{start}.{count}> BODY.PEEK[HEADER])");
        let answer = asked(&mut connection, &command);
        assert_eq!(literal(&answer), &wire[start..start + count], "{command}");
    }
}

#[test]
fn a_search_of_many_keys_opens_a_message_once() {
    // Each of them opened and parsed the message.
    for octets in [50 << 10, 500 << 10] {
        let message = large(octets);
        let (mut connection, _directory) = selected(&message);
        let before = octets_read();
        let mut keys = String::from("SEARCH");
        for number in 0..50 {
            keys.push_str(&format!(" NOT TEXT no{number} NOT HEADER X-{number} x"));
        }
        assert!(asked(&mut connection, &keys).starts_with(b"* SEARCH 1\r\n"));
        let Some((before, after)) = before.zip(octets_read()) else {
            return println!("skipped: this kernel does not count what is read");
        };
        let read = after - before;
        if octets < 64 << 10 {
            let most = 3 * message.len() as u64;
            assert!(read < most, "{read} of {}", message.len());
        } else {
            // Its text is too long to be kept, and looked through for each key.
            let most = 53 * message.len() as u64;
            assert!(read < most, "{read} of {}", message.len());
        }
    }
}

#[test]
fn a_message_cut_while_it_is_sent_ends_the_session() {
    // The rest was filled up with spaces, and the client kept that as the message.
    let (account, directory) = Account::temporary();
    file(directory.path(), 1, &large(5 << 20));
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: b"a SELECT INBOX\r\na FETCH 1 BODY.PEEK[]\r\n".to_vec(),
    };
    let mut session = Session::new(account, handover, SESSION);
    let mut out = Output::new();
    let mut said = Vec::new();
    let mut cut = false;
    loop {
        let progress = session.advance(Turn::Disk, &mut out);
        said.extend_from_slice(out.bytes());
        out.clear();
        match progress {
            Progress::Flush if !cut && memchr::memmem::find(&said, b"BODY[]").is_some() => {
                let path = directory.path().join("cur/m1,U=1:2,");
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_len(1 << 20).unwrap();
                cut = true;
            }
            Progress::Flush | Progress::Disk => {}
            progress => {
                assert!(matches!(progress, Progress::Done), "{progress:?}");
                break;
            }
        }
    }
    assert!(cut && said.len() < 2 << 20, "{}", said.len());
    assert!(!said.ends_with(b"\r\n)\r\n") && !said.ends_with(b" "));
    let farewell = session.farewell().unwrap();
    assert!(
        farewell.starts_with("A message cannot be read"),
        "{farewell}"
    );
}
