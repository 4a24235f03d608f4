//! What a client that idles is told when nothing wakes its session.

use super::*;

fn idling(account: Account) -> Connection {
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account, handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    connection.send(b"a SELECT INBOX\r\nb IDLE\r\n");
    assert!(connection.said.ends_with(b"+ idling\r\n"));
    connection.said.clear();
    connection
}

/// What is said when the client was silent for long.
fn still_here(connection: &mut Connection) -> String {
    let Peer::Session(session) = &mut connection.peer else {
        panic!("not a session");
    };
    session.event(Event::TimedOut);
    connection.run();
    String::from_utf8(std::mem::take(&mut connection.said)).unwrap()
}

#[test]
fn without_inotify_news_come_with_the_sign_of_life() {
    // Whoever idled was never told what other programs delivered.
    let (account, directory) = Account::unwatched();
    let mut connection = idling(account);
    assert_eq!(still_here(&mut connection), "* OK Still here\r\n");
    let new = directory.path().join("new");
    std::thread::sleep(Duration::from_millis(60));
    std::fs::write(new.join("by-hand"), "Subject: x\n\nx\n").unwrap();
    // It waits, and does not look again and again.
    if let Peer::Session(session) = &connection.peer {
        assert!(!session.is_stale());
    }
    let said = still_here(&mut connection);
    assert!(said.starts_with("* OK Still here\r\n"), "{said}");
    assert!(said.contains("* 1 EXISTS\r\n"), "{said}");
    assert_eq!(still_here(&mut connection), "* OK Still here\r\n");
    connection.send(b"DONE\r\n");
    assert!(connection.said.starts_with(b"b OK "));
}
