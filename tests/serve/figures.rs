//! Figures of many sessions and of long commands. They take their time and print what they measure:
//! `cargo nextest run --test serve --run-ignored only --no-capture figures`.

use crate::support::{Imap, Server, message};
use std::fs;
use std::time::{Duration, Instant};

const SESSIONS: usize = 1000;
/// Enough for all of them at once.
const ROOM: &str = "[limits]\nmax_connections = 1100\nmax_connections_per_user = 1100\n\
                    max_login_connections = 1100\nmax_connections_per_address = 1100\n";

/// CPU time of all processes of the server so far, as the scheduler counts it.
fn cpu(server: &Server) -> Duration {
    let mut sum = 0;
    for process in server.processes() {
        let tasks = fs::read_dir(format!("/proc/{}/task", process.pid));
        for task in tasks.into_iter().flatten().flatten() {
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += stat
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
        }
    }
    Duration::from_nanos(sum)
}

fn resident_kib(server: &Server, role: &str) -> u64 {
    let rss = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .unwrap()
    };
    server
        .role(role)
        .iter()
        .map(|process| rss(process.pid))
        .sum()
}

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
    for round in 1..=3 {
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
    }
}

#[test]
#[ignore = "fills a large mailbox; prints its figure"]
fn noop_beside_a_search_of_bodies() {
    let server = Server::start("");
    drop(server.imap("ann"));
    let cur = server.maildir("ann").join("cur");
    let text = format!(
        "Subject: x\n\n{}",
        "Nothing is in this line of text.\n".repeat(100)
    );
    for uid in 1..=20_000 {
        fs::write(cur.join(format!("m{uid},U={uid}:2,S")), &text).unwrap();
    }
    let (mut own, mut same, mut other) =
        (server.imap("ann"), server.imap("ann"), server.imap("bob"));
    for imap in [&mut own, &mut same, &mut other] {
        imap.ok("SELECT INBOX");
    }
    let mut alone = Vec::new();
    let mut beside = [Vec::new(), Vec::new()];
    let timed = |imap: &mut Imap| {
        let begin = Instant::now();
        imap.ok("NOOP");
        begin.elapsed()
    };
    for _ in 0..300 {
        alone.push(timed(&mut same));
    }
    own.send(b"s SEARCH BODY \"is not there\"\r\n").unwrap();
    for _ in 0..300 {
        beside[0].push(timed(&mut same));
        beside[1].push(timed(&mut other));
        std::thread::sleep(Duration::from_millis(5));
    }
    let begin = Instant::now();
    while !own.response().unwrap().starts_with("s OK") {}
    println!("the search went on for {:?} after that", begin.elapsed());
    for (name, times) in [("alone", &mut alone), ("same user", &mut beside[0])] {
        times.sort_unstable();
        println!("{name}: median {:?}, p99 {:?}", times[150], times[297]);
    }
    beside[1].sort_unstable();
    println!(
        "another user: median {:?}, p99 {:?}",
        beside[1][150], beside[1][297]
    );
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
}
