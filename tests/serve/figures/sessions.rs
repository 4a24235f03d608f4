//! Many sessions.

use super::{ROOM, at_most, cpu, resident_kib};
use crate::support::{Imap, Server, message};
use std::time::{Duration, Instant};

const SESSIONS: usize = 1000;

#[test]
#[ignore = "takes a thousand logins; prints its figure"]
fn a_thousand_idle_sessions_learn_of_a_delivery() {
    let server = Server::start(ROOM);
    let idle = |_| {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.send(b"i IDLE\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with("+ "));
        imap
    };
    let mut sessions: Vec<Imap> = (0..SESSIONS).map(idle).collect();
    let (mut waits, mut times) = (Vec::new(), Vec::new());
    for round in 1..=5 {
        // What was put off is done by then.
        std::thread::sleep(Duration::from_secs(3));
        let (before, begin) = (cpu(&server), Instant::now());
        server.deliver("ann", &message("a@test", "news", "x"));
        let delivered = begin.elapsed();
        for imap in &mut sessions {
            let told = format!("* {round} EXISTS");
            while imap.response().unwrap() != told {}
        }
        let all = begin.elapsed();
        let used = cpu(&server) - before;
        println!("delivered after {delivered:?}, all told after {all:?}, {used:?} of CPU");
        waits.push(all);
        times.push(used);
    }
    waits.sort_unstable();
    times.sort_unstable();
    at_most("all told", waits[2], Duration::from_millis(100));
    at_most("CPU of all", times[2], Duration::from_millis(50));
}

#[test]
#[ignore = "takes 200 logins; prints its figure"]
fn memory_of_idle_connections_that_compress() {
    let count = 200;
    let mut kib = [0, 0];
    for (at, compress) in [false, true].into_iter().enumerate() {
        let server = Server::start(ROOM);
        let _first = server.imap("ann");
        std::thread::sleep(Duration::from_secs(3));
        let roles = ["engine", "front"];
        let before: u64 = roles.iter().map(|role| resident_kib(&server, role)).sum();
        let open = |_| {
            let mut imap = server.imap("ann");
            imap.ok("SELECT INBOX");
            if compress {
                // Nothing more is said that would have to be understood.
                imap.ok("COMPRESS DEFLATE");
            }
            imap
        };
        let _sessions: Vec<Imap> = (0..count).map(open).collect();
        std::thread::sleep(Duration::from_secs(3));
        let after: u64 = roles.iter().map(|role| resident_kib(&server, role)).sum();
        kib[at] = after.saturating_sub(before) / count;
    }
    println!(
        "{} KiB a connection, {} KiB one that compresses",
        kib[0], kib[1]
    );
    at_most("KiB that compresses", kib[1], 64);
}
