//! Figures of many sessions, of long commands and of large mailboxes, with what each is to be. They take
//! their time and print what they measure, in a build as it is installed:
//!
//! ```text
//! cargo build --release
//! DOVELET_BIN=target/release/dovelet cargo nextest run --test serve --run-ignored only --no-capture figures
//! ```
//!
//! Without `DOVELET_BIN` it is the build for debugging, and nothing is demanded of it.

mod compressed;
mod formats;
mod large;
mod logins;
mod sessions;
mod storage;

use crate::support::Server;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Enough connections for all at once.
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

/// The CPU time of some work, of the middle of several times. (A thread that ends takes its time along.)
fn median_cpu(server: &Server, times: usize, mut work: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..times)
        .filter_map(|_| {
            let before = cpu(server);
            work();
            // What follows the last answer counts.
            std::thread::sleep(Duration::from_millis(100));
            cpu(server).checked_sub(before)
        })
        .collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Prints a figure beside what it may be at most.
pub(crate) fn at_most<T: PartialOrd + std::fmt::Debug>(what: &str, figure: T, limit: T) {
    let holds = figure <= limit;
    let word = if holds { "" } else { ", which it is not" };
    println!("{what}: {figure:?}, to be at most {limit:?}{word}");
    if std::env::var_os("DOVELET_BIN").is_some() {
        assert!(holds, "{what}: {figure:?}");
    }
}

/// Puts so many messages into a `cur/`, which share files: a file system may allow few links.
pub(crate) fn fill(cur: &Path, count: u32, text: &str) {
    const LINKS: u32 = 50_000;
    let mut first = cur.join("first");
    for uid in 1..=count {
        let path = cur.join(format!("m{uid},U={uid}:2,S"));
        if uid % LINKS == 1 {
            fs::write(&path, text).unwrap();
            first = path;
        } else {
            fs::hard_link(&first, path).unwrap();
        }
    }
}
