//! `dovelet healthcheck` and what `serve` does where mail must not be.

use crate::support::{Server, dovelet, run};
use std::fs;

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
