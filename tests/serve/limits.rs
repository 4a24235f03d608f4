//! Every limit of `[limits]`, hit.

use crate::login::{attempt, guessed_at_once, proxied};
use crate::lookups::{asked, listener};
use crate::support::{Imap, PASSWORD, Process, Server, run, wait_until};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// One test a limit, of that name, and the list of all of them.
macro_rules! limits {
    ($($name:ident($server:ident, $settings:literal) $body:block)*) => {
        pub(super) const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                let $server = Server::start(concat!("[limits]\n", $settings, "\n"));
                $body
            }
        )*
    };
}

mod commands;
mod mail;
mod resources;
mod sessions;

/// Limits whose test needs more than a server with one setting.
const ELSEWHERE: &[(&str, fn())] = &[
    ("max_connections_per_address", per_address),
    ("login_failure_delay_max", longest_delay),
    ("argon2_parallel", hashed_at_once),
    ("argon2_queue", hashed_at_once),
    ("trusted_networks", trusted_networks),
    ("auth_requests", auth_requests),
];

#[test]
fn none_is_missing() {
    let server = Server::start("");
    let reference = run(&mut server.command(&["config", "reference"])).ok();
    let (_, table) = reference.split_once("\n[limits]\n").unwrap();
    let table = table.split("\n[").next().unwrap();
    let names: BTreeSet<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    let tested = [
        commands::TESTED,
        mail::TESTED,
        resources::TESTED,
        sessions::TESTED,
    ];
    let tested = tested.into_iter().flatten().copied();
    let elsewhere = ELSEWHERE.iter().map(|(name, _)| *name);
    let tested: BTreeSet<&str> = tested.chain(elsewhere).collect();
    assert_eq!(names, tested);
}

#[test]
fn the_rest() {
    let mut done = BTreeSet::new();
    for (_, test) in ELSEWHERE {
        if done.insert(*test as usize) {
            test();
        }
    }
}

/// The status of a command, as far as a closed connection leaves one.
fn status(answer: io::Result<crate::support::Answer>) -> String {
    answer.map_or_else(|e| e.to_string(), |answer| answer.status)
}

/// Connects as soon as a place is free again.
fn place(server: &Server) -> Imap {
    wait_until("a place", || Imap::connect(server.imap).ok())
}

fn refused(server: &Server, why: &str) {
    let said = Imap::connect(server.imap)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("* BYE [LIMIT]") && said.contains(why),
        "{said}"
    );
}

fn engine(server: &Server) -> Process {
    wait_until("an engine", || server.role("engine").pop())
}

fn per_address() {
    let (server, port) = proxied("starttls", "max_connections_per_address = 2");
    let mut open: Vec<Imap> = (0..2)
        .map(|_| Imap::from("192.0.2.1", port).unwrap())
        .collect();
    let said = Imap::from("192.0.2.1", port).map(drop).unwrap_err();
    let said = said.to_string();
    assert!(
        said.contains("Too many connections from your address"),
        "{said}"
    );
    drop(Imap::from("192.0.2.2", port).unwrap());
    let local: Vec<Imap> = (0..4).map(|_| server.imap("ann")).collect();
    open.remove(0).ok("LOGOUT");
    wait_until("a place", || Imap::from("192.0.2.1", port).ok());
    drop(local);
}

fn longest_delay() {
    let limits = "login_failure_delay = \"200ms\"\nlogin_failure_delay_max = \"300ms\"";
    let (_server, port) = proxied("implicit", limits);
    for waits in [200, 400, 500, 500] {
        let (status, took) = attempt(port, "192.0.2.1", "wrong");
        assert!(status.starts_with("NO"), "{status}");
        assert!(took >= Duration::from_millis(waits), "{took:?}");
    }
    let (status, _) = attempt(port, "192.0.2.1", PASSWORD);
    assert!(status.starts_with("NO [UNAVAILABLE]"), "{status}");
}

fn hashed_at_once() {
    // One at a time and nobody waits: of many at once some are put off.
    let (accepted, put_off) = guessed_at_once(1, 0, 6);
    assert!(accepted >= 1 && put_off >= 1, "{accepted} {put_off}");
    // Room for all.
    assert_eq!(guessed_at_once(2, 4, 6), (6, 0));
}

fn trusted_networks() {
    let limits = "login_failure_delay = \"200ms\"\nlogin_failure_delay_max = \"5s\"\n\
                  max_connections_per_address = 1\ntrusted_networks = [\"192.0.2.0/24\"]";
    let (_server, port) = proxied("implicit", limits);
    for _ in 0..4 {
        let (_, took) = attempt(port, "192.0.2.1", "wrong");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    let (status, _) = attempt(port, "192.0.2.1", PASSWORD);
    assert!(status.starts_with("OK"), "{status}");
}

fn auth_requests() {
    let settings = listener("dovecot-auth", "[limits]\nauth_requests = 2");
    let server = Server::start(&settings);
    let stream = UnixStream::connect(server.path("dovecot-auth")).unwrap();
    asked(&stream, "VERSION\t1\t1\nCPID\t1\n", "DONE");
    let begin = |id: u32| {
        let auth = format!("AUTH\t{id}\tLOGIN\tservice=smtp\n");
        asked(&stream, &auth, "").pop().unwrap()
    };
    // They wait for a name.
    for id in 1..3 {
        let answer = begin(id);
        assert!(answer.starts_with(&format!("CONT\t{id}\t")), "{answer}");
    }
    // The one that waited longest makes room.
    let answers = asked(&stream, "AUTH\t3\tLOGIN\tservice=smtp\n", "CONT\t3\t");
    let [given_up, _] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(given_up, "FAIL\t1\ttemp\tcode=temp_fail");
    // With one less there is a place.
    let answer = asked(&stream, "CONT\t2\t*\n", "").pop().unwrap();
    assert!(answer.starts_with("FAIL\t2"), "{answer}");
    let answer = begin(4);
    assert!(answer.starts_with("CONT\t4\t"), "{answer}");
}
