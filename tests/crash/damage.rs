//! The index of a server is damaged after SIGKILL, or deleted under it: nothing that was acknowledged is
//! lost, and every UID, flag and keyword stays.

use super::support::{Random, Server, run};
use super::{Book, Killed, RECOVERY, check, recovered, round, setting};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

const ROUNDS: u64 = 10;

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Deleted,
    Cut,
    /// Some of its pages.
    Zeroed,
    /// Some of its bits.
    Turned,
    /// Something else stands there.
    Replaced,
}

const ALL: [Damage; 5] = [
    Damage::Turned,
    Damage::Deleted,
    Damage::Cut,
    Damage::Zeroed,
    Damage::Replaced,
];

/// Every index file of a server, and every file of notes beside one.
fn indexes(server: &Server) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![server.data().join("index")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "redb" || end == "journal")
            {
                found.push(path);
            }
        }
    }
    found
}

fn spoil(path: &Path, damage: Damage, random: &mut Random) {
    if let Damage::Deleted = damage {
        return fs::remove_file(path).unwrap();
    }
    let mut bytes = fs::read(path).unwrap();
    if bytes.iter().all(|octet| *octet == 0) {
        // Room for notes that were not written yet: there is nothing to damage.
        return;
    }
    let pages = bytes.len().div_ceil(4096);
    match damage {
        Damage::Deleted => {}
        Damage::Cut => bytes.truncate(random.below(bytes.len() as u64) as usize),
        Damage::Zeroed => {
            for _ in 0..=random.below(20) {
                let page = random.below(pages as u64) as usize * 4096;
                let end = bytes.len().min(page + 4096);
                bytes[page..end].fill(0);
            }
        }
        Damage::Turned => {
            // Where something stands.
            let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
            for _ in 0..=random.below(40) {
                let at = used[random.below(used.len() as u64) as usize];
                bytes[at] ^= 1 << random.below(8);
            }
        }
        Damage::Replaced => bytes = b"not an index\n".repeat(100),
    }
    fs::write(path, bytes).unwrap();
}

/// Has everything read that an index knows. Errors: the connection broke, or what was asked is not available for the
/// moment, as the engine found damage. No message is called damaged for that.
fn look(server: &Server, user: &str) -> io::Result<()> {
    let mut imap = recovered(server, user);
    for mailbox in ["INBOX", "Archive"] {
        let status = imap.command(&format!("SELECT {mailbox}"))?.status;
        assert!(!status.contains("CORRUPTION"), "{status}");
        if !status.starts_with("OK") {
            return Err(io::Error::other(status));
        }
        let all = "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE INTERNALDATE)";
        let (_, status) = imap.count(all)?;
        assert!(!status.contains("CORRUPTION"), "{status}");
        // There is no message 1 in an empty one.
        if !status.starts_with("OK") && !status.starts_with("BAD") {
            return Err(io::Error::other(status));
        }
    }
    Ok(())
}

/// As `check`, once the damage is found.
fn check_damaged(server: &Server, number: u64, books: &mut [Book; 3]) {
    let end = Instant::now() + 2 * RECOVERY;
    for user in ["ann", "bob"] {
        while let Err(error) = look(server, user) {
            assert!(Instant::now() < end, "{user}: {error}");
        }
    }
    check(server, number, books);
}

fn survives(isolation: &str) {
    let seed = setting("DOVELET_CRASH_SEED").unwrap_or_else(Random::seed);
    println!("DOVELET_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let mut server = Server::start(&format!("isolation = \"{isolation}\""));
    let mut books = <[Book; 3]>::default();
    check(&server, 0, &mut books);
    for (number, damage) in (1..=ROUNDS).zip(ALL.iter().cycle()) {
        if number > 5 {
            // Under the running server, which goes on with a file that has no name any more.
            for index in indexes(&server) {
                fs::remove_file(index).unwrap();
            }
        }
        round(
            &mut server,
            number,
            &mut books,
            &mut random,
            Killed::Everything,
        );
        for index in indexes(&server) {
            spoil(&index, *damage, &mut random);
        }
        server.again();
        println!("{number}: {damage:?}");
        check_damaged(&server, number, &mut books);
        for user in ["ann", "bob"] {
            let words = ["doctor", "--user", user, "--rebuild"];
            run(&mut server.command(&words)).ok();
        }
        check(&server, number, &mut books);
    }
    // What redb says when it gives up is one line as any other.
    let log = server.log();
    for word in ["RUST_BACKTRACE", "panicked at", "stack backtrace"] {
        assert!(!log.contains(word), "{log}");
    }
}

#[test]
fn a_damaged_index_costs_nothing_with_an_engine_for_all() {
    survives("shared");
}

#[test]
fn a_damaged_index_costs_nothing_with_an_engine_for_each_user() {
    survives("user");
}
