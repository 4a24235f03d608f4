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

#[test]
fn a_mailbox_that_cannot_be_read_is_not_looked_at_again_and_again() {
    // The session was woken by what it could not tell, without end.
    let (account, directory) = Account::volatile();
    let mut connection = idling(account);
    let (cur, aside) = (directory.path().join("cur"), directory.path().join("aside"));
    std::fs::rename(&cur, &aside).unwrap();
    std::fs::write(&cur, "in the way").unwrap();
    let new = directory.path().join("new");
    std::fs::write(new.join("by-hand"), "Subject: x\n\nx\n").unwrap();
    let is_stale = |connection: &Connection| match &connection.peer {
        Peer::Session(session) => session.is_stale(),
        Peer::Login(_) => false,
    };
    let mut looks = 0;
    while is_stale(&connection) {
        looks += 1;
        assert!(looks < 5, "again and again");
        connection.poke();
    }
    assert!(looks > 0);
    assert_eq!(still_here(&mut connection), "* OK Still here\r\n");
    assert!(!is_stale(&connection));
    // It is told as soon as it can be.
    std::fs::remove_file(&cur).unwrap();
    std::fs::rename(&aside, &cur).unwrap();
    let said = still_here(&mut connection);
    assert!(said.contains("* 1 EXISTS\r\n"), "{said}");
}
