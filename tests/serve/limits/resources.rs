//! Limits of memory, threads and of what a password may cost.

use super::{engine, place, status};
use crate::support::{Imap, Lmtp, PASSWORD, Process, Server, message, wait_until};
use rustix::process::Signal;
use std::fs;

/// What `/proc` says of the memory that the process may have: soft and hard limit.
fn data_size(process: &Process) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let line = limits.lines().find_map(|l| l.strip_prefix("Max data size"));
    let mut words = line.unwrap().split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

/// A command with a literal of 1,000,001 octets, of which so many have come.
fn half_a_literal(command: &str, octets: usize) -> Vec<u8> {
    let mut bytes = format!("x {command} {{1000001+}}\r\n").into_bytes();
    bytes.resize(bytes.len() + octets, b'x');
    bytes
}

fn only(server: &Server, role: &str) -> Process {
    wait_until(role, || server.role(role).pop())
}

/// The line of a user that was added by command.
fn stored(server: &Server) -> String {
    crate::login::add(server, "eve");
    let users = fs::read_to_string(server.path("users")).unwrap();
    users.lines().last().unwrap().to_owned()
}

/// How many threads there are beside the first.
fn threads(process: &Process) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid)).unwrap();
    tasks.count() - 1
}

limits! {

    argon2_memory_kib(server, "argon2_memory_kib = 77\nargon2_passes = 1") {
        assert!(stored(&server).starts_with("eve:{ARGON2ID}$argon2id$v=19$m=77,t=1,"));
    }

    argon2_passes(server, "argon2_passes = 7\nargon2_memory_kib = 64") {
        assert!(stored(&server).starts_with("eve:{ARGON2ID}$argon2id$v=19$m=64,t=7,"));
    }

    scram_iterations(server, "scram_iterations = 5000\n[auth]\nscheme = \"scram-sha-256\"") {
        assert!(stored(&server).starts_with("eve:{SCRAM-SHA-256}5000,"));
    }

    index_cache_octets(server, "index_cache_octets = \"64KiB\"") {
        // redb keeps to it; here: one so small serves, though all does not fit in.
        for number in 0..20 {
            server.deliver("ann", &message(&format!("{number}@test"), "x", "x"));
        }
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 20);
    }

    blocking_threads(server, "blocking_threads = 2") {
        let text = message("a@test", "x", "x");
        let mut open: Vec<Imap> = (0..6).map(|_| server.imap("ann")).collect();
        for imap in &mut open {
            let octets = text.len();
            let append = format!("a APPEND INBOX {{{octets}+}}\r\n{text}\r\n");
            imap.send(append.repeat(10).as_bytes()).unwrap();
        }
        let engine = engine(&server);
        let mut most = 0;
        for imap in &mut open {
            for _ in 0..10 {
                assert!(imap.response().unwrap().starts_with("a OK"));
                most = most.max(threads(&engine));
            }
        }
        assert_eq!(most, 2);
    }

    stack_octets(server, "stack_octets = \"352KiB\"") {
        drop(server.imap("ann"));
        let engine = engine(&server);
        let maps = fs::read_to_string(format!("/proc/{}/maps", engine.pid)).unwrap();
        // A stack lies behind a page that nobody may touch; a libc puts some pages of its own into it.
        let mut guarded = false;
        let mut stacks = Vec::new();
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            if guarded && rest.starts_with("rw-p") {
                stacks.push((address(to) - address(from)) >> 10);
            }
            guarded = rest.starts_with("---p");
        }
        assert!(stacks.iter().any(|kib| (352..400).contains(kib)), "{stacks:?}");
    }

    engine_memory_octets(server, "engine_memory_octets = \"8MiB\"\nstack_octets = \"128KiB\"") {
        let mut quiet: Vec<Imap> = (0..12).map(|_| server.imap("ann")).collect();
        let anns = engine(&server);
        assert_eq!(data_size(&anns), ["8388608", "8388608"]);
        let mut bob = server.imap("bob");
        // Of sessions with half a command in memory not every next one finds room.
        let mut full = Vec::new();
        let said = wait_until("a refusal", || {
            let mut imap = Imap::connect(server.imap).unwrap();
            let said = status(imap.login("ann", PASSWORD));
            if said.starts_with("NO") {
                return Some(said);
            }
            imap.send(&half_a_literal("SEARCH BODY", 200_000)).unwrap();
            full.push(imap);
            None
        });
        assert!(said.starts_with("NO [LIMIT]"), "{said}");
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let text = message("1", "one", "body");
        let replies = lmtp.transaction(&["ann", "bob"], &text, true).unwrap();
        assert!(replies[0].starts_with("451") && replies[1].starts_with("250"), "{replies:?}");
        // Those that are there go on, and what is free again can be used.
        quiet[0].ok("SELECT INBOX");
        full.clear();
        wait_until("room for a message", || {
            let replies = lmtp.transaction(&["ann"], &text, true).unwrap();
            replies[0].starts_with("250").then_some(())
        });
        // At the limit ann's engine ends, and nobody else's.
        for imap in &mut quiet {
            imap.send(&half_a_literal("SEARCH BODY", 1_000_000)).ok();
        }
        server.wait_for_log("memory allocation of", 1);
        bob.ok("NOOP");
        wait_until("another engine", || {
            let mut imap = Imap::connect(server.imap).unwrap();
            status(imap.login("ann", PASSWORD)).starts_with("OK").then_some(())
        });
        assert!(!server.role("engine").iter().any(|other| other.pid == anns.pid));
    }

    front_memory_octets(server, "front_memory_octets = \"6MiB\"\nlogin_literal_octets = \"1MiB\"") {
        let mut quiet: Vec<Imap> = (0..12).map(|_| place(&server)).collect();
        let mut ann = server.imap("ann");
        let front = only(&server, "front");
        assert_eq!(data_size(&front), ["6291456", "6291456"]);
        let mut full = Vec::new();
        let said = wait_until("a refusal", || match Imap::connect(server.imap) {
            Ok(mut imap) => {
                imap.send(&half_a_literal("LOGIN", 200_000)).unwrap();
                full.push(imap);
                None
            }
            Err(error) => Some(error.to_string()),
        });
        assert_eq!(said.trim_end(), "* BYE [LIMIT] Too little memory.");
        let lmtp = Lmtp::tcp(server.lmtp).map(drop).unwrap_err().to_string();
        assert!(lmtp.starts_with("421 4.3.2"), "{lmtp}");
        quiet[0].ok("NOOP");
        full.clear();
        drop(place(&server));
        for imap in &mut quiet {
            imap.send(&half_a_literal("LOGIN", 1_000_000)).ok();
        }
        server.wait_for_log("memory allocation of", 1);
        server.wait_for_log("ended: signal: 6", 1);
        drop(place(&server));
        assert_ne!(only(&server, "front").pid, front.pid);
        ann.ok("NOOP");
    }

    auth_memory_octets(server, "auth_memory_octets = \"16MiB\"") {
        assert_eq!(data_size(&only(&server, "auth")), ["16777216", "16777216"]);
        let costly = "eve:{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$l7iQmAFW2lJxWDnOfqQ2MQ$tjQntaXo3ZPAW5Tg0b4XAdGbSg5McirApuSxd/9AM7U\n";
        let users = fs::read_to_string(server.path("users")).unwrap();
        fs::write(server.path("users"), format!("{users}{costly}")).unwrap();
        server.signal(Signal::HUP);
        let said = wait_until("an unchecked password", || {
            let said = status(Imap::connect(server.imap).unwrap().login("eve", "x"));
            said.starts_with("NO [UNAVAILABLE]").then_some(said)
        });
        assert!(server.log().contains("takes more memory"), "{said}");
        // As many users as fit nowhere leave those that are known.
        let many: String = (0..50_000).map(|n| format!("u{n}\n")).collect();
        fs::write(server.path("users"), many).unwrap();
        server.signal(Signal::HUP);
        server.wait_for_log("too large for `auth_memory_octets`", 1);
        drop(server.imap("ann"));
    }
}
