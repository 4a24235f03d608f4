//! Clients that leave while the server is busy for them.

use crate::support::{Imap, PASSWORD, Server, implicit, message};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A user has one session: the next one can log in when it has ended.
const ONE: &str = "[limits]\nmax_connections_per_user = 1\n";
/// How soon it has to end.
const SOON: Duration = Duration::from_secs(10);

/// Puts so many messages of two megabytes into the INBOX.
fn fill(server: &Server, user: &str, count: u32) {
    drop(server.imap(user));
    let cur = server.maildir(user).join("cur");
    let first = cur.join("m1,U=1:2,S");
    let line = "Nothing of what is looked for is in this line of text.\n";
    fs::write(&first, format!("Subject: large\n\n{}", line.repeat(40_000))).unwrap();
    for uid in 2..=count {
        fs::hard_link(&first, cur.join(format!("m{uid},U={uid}:2,S"))).unwrap();
    }
}

fn logged_in(server: &Server, user: &str, within: Duration) -> Imap {
    let end = Instant::now() + within;
    loop {
        let mut imap = Imap::connect(server.imap).unwrap();
        if let Ok(answer) = imap.login(user, PASSWORD)
            && answer.status.starts_with("OK")
        {
            return imap;
        }
        assert!(Instant::now() < end, "the session goes on after {within:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn who_leaves_during_a_long_search_ends_it() {
    // The search went on to its end, for minutes, with nobody to read the answer.
    let server = Server::start(ONE);
    fill(&server, "ann", 4000);
    let body = "BODY \"is not there\"";
    let commands = [
        format!("SEARCH {body}"),
        format!("SORT (SUBJECT) UTF-8 {body}"),
        format!("THREAD REFERENCES UTF-8 {body}"),
    ];
    for (number, command) in commands.iter().enumerate() {
        let mut imap = logged_in(&server, "ann", SOON);
        imap.ok("SELECT INBOX");
        imap.send(format!("s {command}\r\n").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        drop(imap);
        let begin = Instant::now();
        drop(logged_in(&server, "ann", SOON));
        println!("{command}: {:?}", begin.elapsed());
        if number > 0 {
            continue;
        }
        // The same over TLS, which another process relays.
        let tls = implicit(server.imaps, "localhost").unwrap();
        let mut imap = Imap::over(Box::new(tls)).unwrap();
        while !imap
            .login("ann", PASSWORD)
            .unwrap()
            .status
            .starts_with("OK")
        {
            let tls = implicit(server.imaps, "localhost").unwrap();
            imap = Imap::over(Box::new(tls)).unwrap();
        }
        imap.ok("SELECT INBOX");
        imap.send(format!("s {command}\r\n").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        drop(imap);
        drop(logged_in(&server, "ann", SOON));
    }
}

#[test]
fn who_only_stops_sending_gets_the_answer() {
    let server = Server::start("");
    fill(&server, "ann", 100);
    let mut stream = TcpStream::connect(("127.0.0.1", server.imap)).unwrap();
    let commands = [
        &format!("a LOGIN ann {PASSWORD}"),
        "b SELECT INBOX",
        "c SEARCH BODY \"is not there\"",
        "d SEARCH BODY \"line of TEXT\" 7",
        "e LOGOUT",
    ];
    stream
        .write_all((commands.join("\r\n") + "\r\n").as_bytes())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    said.retain(|line| line != "* OK Still here");
    let at = said
        .iter()
        .position(|line| line.starts_with("b OK"))
        .unwrap();
    let expected = [
        "* SEARCH",
        "c OK ",
        "* SEARCH 7",
        "d OK ",
        "* BYE ",
        "e OK ",
    ];
    assert_eq!(said.len() - at - 1, expected.len(), "{said:?}");
    for (line, expected) in said[at + 1..].iter().zip(expected) {
        assert!(line.starts_with(expected), "{said:?}");
    }
    server.deliver("ann", &message("a@test", "still here", "Text."));
}
