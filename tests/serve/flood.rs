//! Floods of connections that never log in, on the smallest board. `DOVELET_FLOOD` says how many there are (1,000);
//! what is demanded of time is demanded of a build as it is installed (see `figures`).

use super::figures::at_most;
use crate::support::{Imap, PASSWORD, Server, message};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Connections that send one octet a second.
const SLOW: usize = 200;
/// Who connects at once.
const STRANGERS: usize = 4;

/// A connection, if it can be made at once.
fn connected(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Octets of memory of its own that a role has.
fn own(server: &Server, role: &str) -> u64 {
    let anonymous = |pid: i32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    let all = server.role(role).into_iter();
    all.filter_map(|process| anonymous(process.pid))
        .sum::<u64>()
        * 1024
}

/// Sends one octet a second by each of many connections, and comes again where it is shown out.
fn trickle(server: &Server, over: &AtomicBool) {
    let mut all: Vec<Option<TcpStream>> = (0..SLOW).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        for (number, one) in all.iter_mut().enumerate() {
            let port = [server.imap, server.pop3][number % 2];
            let sent = one
                .as_mut()
                .is_some_and(|stream| stream.write(b"x").is_ok());
            if !sent {
                *one = connected(port);
            }
        }
        sleep(Duration::from_secs(1));
    }
}

/// Connects so often and keeps what is not shown out.
fn storm(server: &Server, count: usize) {
    let mut kept = Vec::new();
    for number in 0..count {
        let port = [server.imap, server.imaps, server.pop3][number % 3];
        kept.extend(connected(port));
        if kept.len() > 500 {
            kept.drain(..250);
        }
    }
}

#[test]
fn whoever_never_logs_in_is_in_nobodys_way() {
    let count = std::env::var("DOVELET_FLOOD").ok();
    let count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(1000);
    let server = Server::start("board = \"openwrt-64\"\n");
    let text = message("flood@test", "x", "x");
    server.deliver("ann", &text);
    let mut imap = Imap::connect(server.imap).unwrap();
    assert!(
        imap.login("ann", PASSWORD)
            .unwrap()
            .status
            .starts_with("OK")
    );
    imap.ok("SELECT INBOX");
    let over = AtomicBool::new(false);
    let (mut noops, mut delivered, mut most) = (Vec::new(), 0, [0; 3]);
    scope(|scope| {
        scope.spawn(|| trickle(&server, &over));
        let storms: Vec<_> = (0..STRANGERS)
            .map(|_| scope.spawn(|| storm(&server, count / STRANGERS)))
            .collect();
        while !storms.iter().all(|storm| storm.is_finished()) || delivered < 10 {
            let began = Instant::now();
            imap.ok("NOOP");
            noops.push(began.elapsed());
            server.deliver("bob", &text);
            delivered += 1;
            for (role, most) in ["front", "auth", "engine"].iter().zip(&mut most) {
                *most = own(&server, role).max(*most);
            }
            sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
    });
    println!("{count} connections, {delivered} deliveries meanwhile");
    // The limits of the board: front_memory_octets, auth_memory_octets, engine_memory_octets.
    for ((role, most), limit) in ["front", "auth", "engine"].iter().zip(most).zip([6, 8, 8]) {
        assert!(most <= limit << 20, "{role}: {most} octets");
        println!("{role}: {} KiB", most >> 10);
    }
    noops.sort_unstable();
    let p95 = noops[noops.len() * 95 / 100];
    at_most(
        "NOOP in a flood, of 95 in 100",
        p95,
        Duration::from_millis(50),
    );
    assert!(p95 < Duration::from_secs(2), "{p95:?}");
    // Once they are gone users come in again.
    crate::support::wait_until("a place", || {
        let mut imap = Imap::connect(server.imap).ok()?;
        imap.login("ann", PASSWORD)
            .ok()?
            .status
            .starts_with("OK")
            .then_some(())
    });
    let bob = server
        .imap("bob")
        .ok("STATUS INBOX (MESSAGES)")
        .untagged
        .concat();
    assert!(bob.contains(&format!("MESSAGES {delivered}")), "{bob}");
}
