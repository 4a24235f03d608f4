//! Many messages by way of a real mail server.

use super::{Lmtp, Server, message};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Connections at once.
const CONNECTIONS: usize = 4;

/// How long nothing may arrive.
const STALLED: Duration = Duration::from_secs(120);

/// Gives a mail server, which speaks SMTP on that port and delivers for `example.org` to this server, so many
/// messages for ann and bob, and waits until all have come, each once.
pub(crate) fn flood(server: &Server, port: u16, count: usize) {
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            scope.spawn(move || send(port, (connection..count).step_by(CONNECTIONS)));
        }
    });
    let mut last = (0, Instant::now());
    loop {
        let arrived: usize = ["ann", "bob"]
            .map(|user| messages(server, user))
            .iter()
            .sum();
        if arrived >= count {
            break;
        }
        if arrived > last.0 {
            last = (arrived, Instant::now());
        }
        let log = server.log();
        assert!(last.1.elapsed() < STALLED, "{arrived} of {count}\n{log}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut ids = BTreeSet::new();
    for user in ["ann", "bob"] {
        let mut imap = server.imap(user);
        imap.ok("SELECT INBOX");
        for message in imap.list("1:*").unwrap() {
            assert!(ids.insert(message.id.clone()), "{} came twice", message.id);
        }
    }
    assert_eq!(ids.len(), count);
}

fn messages(server: &Server, user: &str) -> usize {
    let status = server
        .imap(user)
        .ok("STATUS INBOX (MESSAGES)")
        .untagged
        .concat();
    let (_, count) = status.split_once("MESSAGES ").unwrap();
    count
        .trim_end_matches(")\r\n")
        .trim_end()
        .trim_end_matches(')')
        .parse()
        .unwrap()
}

fn send(port: u16, numbers: impl Iterator<Item = usize>) {
    let mut client = None;
    for (sent, number) in numbers.enumerate() {
        // Mail servers let one connection send a hundred or so.
        if sent % 50 == 0 {
            client = Some(Lmtp::smtp(port).unwrap());
        }
        let client = client.as_mut().unwrap();
        let to = ["ann@example.org", "bob@example.org"][number % 2];
        let text = message(
            &format!("flood-{number}@test"),
            "flood",
            "A line.\r\n..\r\n.x",
        );
        let replies = client.transaction(&[to], &text, false).unwrap();
        assert!(replies[0].starts_with("250"), "{number}: {replies:?}");
    }
}
