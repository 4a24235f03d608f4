//! What once broke a running server from outside, and must not again.

use crate::support::{Imap, Lmtp, Server, line, message, wait_until};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Sends the line again and again, and reads what comes, until the server has enough; how long that took.
fn flood(port: u16, first: &str, line: &str, stop: Arc<AtomicBool>) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut into = [0; 65_536];
        while reader.read(&mut into).is_ok_and(|count| count > 0) {}
    });
    let lines = line.repeat(3000);
    while !stop.load(Ordering::Relaxed) && stream.write_all(lines.as_bytes()).is_ok() {}
    stream.shutdown(std::net::Shutdown::Both).ok();
    reading.join().unwrap();
    began.elapsed()
}

#[test]
fn a_client_that_never_stops_sending_stops_nobody() {
    // One client that sent NOOP without end was all that front heard, and its login never timed out.
    let server = Server::start("isolation = \"shared\"\n[limits]\nlogin_timeout = \"3s\"\n");
    let stop = Arc::new(AtomicBool::new(false));
    let login = "a LOGIN bob secret\r\n";
    let [of_front, of_engine, of_lmtp] = [
        (server.imap, "", "a NOOP\r\n"),
        (server.imap, login, "a NOOP\r\n"),
        (server.lmtp, "LHLO me\r\n", "NOOP\r\n"),
    ]
    .map(|(port, first, line)| {
        let stop = stop.clone();
        std::thread::spawn(move || flood(port, first, line, stop))
    });
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    for turn in 0..3 {
        let mut ann = server.imap("ann");
        ann.ok("SELECT INBOX");
        server.deliver("ann", &message(&format!("{turn}@test"), "x", "x"));
        ann.ok("NOOP");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(45), "{took:?}");
    let lasted = of_front.join().unwrap();
    assert!(lasted < Duration::from_secs(60), "{lasted:?}");
    stop.store(true, Ordering::Relaxed);
    of_engine.join().unwrap();
    of_lmtp.join().unwrap();
}

#[test]
fn a_message_reaches_more_users_than_a_message_between_processes_has_room_for() {
    // More than 32 engines in one transaction got nothing at all.
    let users: Vec<String> = (0..40).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let server = Server::with_users("isolation = \"user\"\n", &names);
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let replies = lmtp.transaction(&names, &message("m@test", "x", "x"), true);
    let replies = replies.unwrap();
    assert_eq!(replies.len(), 40, "{replies:?}");
    assert!(replies.iter().all(|r| r.starts_with("250")), "{replies:?}");
    for user in ["user0", "user39"] {
        let mut imap = server.imap(user);
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap()[0].id, "m@test");
    }
}

#[test]
fn users_whose_file_is_away_for_a_moment_stay() {
    // Mail for every one of them was sent back as unknown.
    let server = Server::start("");
    server.deliver("ann", &message("a@test", "x", "x"));
    fs::rename(server.path("users"), server.path("away")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("the users stay as they were", 1);
    server.deliver("ann", &message("b@test", "x", "x"));
    drop(server.imap("bob"));
    // An auth that is new has none to keep: it does not know, and says so.
    let auth = server.role("auth").remove(0);
    assert!(auth.signal(Signal::KILL));
    let unknown = wait_until("another auth", || {
        let mut lmtp = Lmtp::tcp(server.lmtp).ok()?;
        lmtp.command("MAIL FROM:<a@b>").ok()?;
        lmtp.command("RCPT TO:<ann>").ok()
    });
    assert!(unknown.starts_with("451 "), "{unknown}");
    fs::rename(server.path("away"), server.path("users")).unwrap();
    fs::write(server.path("users"), line("ann", None)).unwrap();
    server.signal(Signal::HUP);
    wait_until("ann", || {
        let mut imap = Imap::connect(server.imap).ok()?;
        let answer = imap.login("ann", "secret").ok()?;
        answer.status.starts_with("OK").then_some(())
    });
}
