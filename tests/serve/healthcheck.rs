//! `dovelet healthcheck` and what `serve` does where mail must not be.

use crate::support::{Server, dovelet, run, secure, wait_until};
use futures_rustls::rustls::version::{TLS12, TLS13};
use std::fs;
use std::net::TcpStream;

#[test]
fn a_server_is_healthy_while_it_runs() {
    let mut server = Server::start("");
    let done = run(&mut server.command(&["healthcheck"]));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let said: Vec<&str> = done.stdout.lines().collect();
    let ends = said.iter().map(|line| line.rsplit(": ").next().unwrap());
    let mut counts = [0, 0];
    for end in ends {
        let at = ["greeted", "answers a TLS handshake"];
        counts[at.iter().position(|known| *known == end).unwrap()] += 1;
    }
    assert_eq!(counts, [4, 2], "{}", done.stdout);
    server.stop();
    let done = run(&mut server.command(&["healthcheck", "--json"]));
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let (all, healthy) = ("\"state\":\"unhealthy\"", "\"state\":\"healthy\"");
    assert_eq!(done.stdout.matches(all).count(), 6, "{}", done.stdout);
    assert!(!done.stdout.contains(healthy));
}

/// A watchdog that takes a full server for a dead one ends the sessions of all who are there.
#[test]
fn a_server_that_is_full_answers() {
    let server = Server::start("[limits]\nmax_connections = 2\n");
    let (ann, bob) = (server.imap("ann"), server.imap("bob"));
    let done = run(&mut server.command(&["healthcheck"]));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let full: Vec<&str> = done.stdout.lines().collect();
    let ends = [
        "full: takes nobody more now: * BYE [LIMIT] Too many connections.",
        "full: takes nobody more now",
        "full: takes nobody more now: -ERR [SYS/TEMP] Too many connections.",
        "full: takes nobody more now",
        "full: takes nobody more now: 421 4.3.2 Too many connections.",
        "full: takes nobody more now: 421 4.3.2 Too many connections.",
    ];
    assert_eq!(full.len(), ends.len(), "{}", done.stdout);
    for (line, end) in full.iter().zip(ends) {
        assert!(line.ends_with(&format!(": {end}")), "{line}");
    }
    let done = run(&mut server.command(&["healthcheck", "--json"]));
    assert_eq!(done.stdout.matches("\"state\":\"full\"").count(), 6);
    // Those who are there have lost nothing.
    for mut imap in [ann, bob] {
        imap.ok("NOOP");
    }
    wait_until("a place", || {
        let done = run(&mut server.command(&["healthcheck"]));
        (!done.stdout.contains("full")).then_some(())
    });
}

/// Who is refused before TLS gets an answer of TLS, not a connection that breaks.
#[test]
fn a_client_of_tls_is_told_by_an_alert_that_there_is_no_place() {
    let server = Server::start("[limits]\nmax_connections = 1\n");
    let _ann = server.imap("ann");
    for version in [&TLS12, &TLS13] {
        let stream = TcpStream::connect(("127.0.0.1", server.imaps)).unwrap();
        let refused = secure(stream, "localhost", version).map(drop).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("alert: InternalError"), "{told}");
    }
}

#[test]
fn nothing_is_served_from_memory_on_a_router() {
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("dovelet");
    fs::write(
        &settings,
        "config dovelet 'main'\n\toption data_dir '/dev/shm/dovelet-test'\n",
    )
    .unwrap();
    let done = run(dovelet()
        .args(["serve", "--uci", "--config"])
        .arg(&settings));
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let told = "dovelet: /dev/shm/dovelet-test is on tmpfs: it is memory";
    assert!(done.stderr.starts_with(told), "{}", done.stderr);
    assert!(!std::path::Path::new("/dev/shm/dovelet-test").exists());
}
