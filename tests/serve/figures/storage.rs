//! What mail in large amounts costs: a mailbox of a million, many mailboxes, changes of one message.

use super::{at_most, cpu, fill, resident_kib};
use crate::support::{Imap, Server, message};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const MILLION: u32 = 1_000_000;

/// How long a command takes by the clock, the middle of several times.
fn median(times: usize, mut work: impl FnMut()) -> Duration {
    let once = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    let mut all: Vec<Duration> = (0..times).map(once).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Octets on the disk of all files below a directory.
fn allocated(path: &Path) -> u64 {
    let all = fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = all.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Whether the kernel forgot all that it had read.
fn forget_pages() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// SELECT by the clock, in a session that has nothing selected.
fn select(imap: &mut Imap) -> Duration {
    let begin = Instant::now();
    imap.ok("SELECT INBOX");
    begin.elapsed()
}

#[test]
#[ignore = "makes a million files; prints its figure"]
fn a_mailbox_of_a_million() {
    let begin = Instant::now();
    let mut server = Server::start("");
    drop(server.imap("ann"));
    let cur = server.maildir("ann").join("cur");
    fill(&cur, MILLION, "Subject: x\n\nx\n");
    println!("made after {:?}", begin.elapsed());
    let mut imap = server.imap("ann");
    let used = cpu(&server);
    imap.ok("SELECT INBOX");
    let indexed = cpu(&server) - used;
    println!("indexed after {:?}, {indexed:?} of CPU", begin.elapsed());
    at_most("indexing from Maildir", indexed, Duration::from_secs(20));
    let warm = median(15, || {
        imap.ok("UNSELECT");
        select(&mut imap);
    });
    at_most("SELECT", warm, Duration::from_millis(5));
    drop(imap);
    server.stop();
    let index = allocated(&server.data().join("index"));
    let each = index / u64::from(MILLION);
    at_most("octets of index for each message", each, 250);
    if forget_pages() {
        server.again();
        // Whatever logging in needs is read by this.
        drop(server.imap("bob"));
        let mut imap = server.imap("ann");
        at_most(
            "SELECT from a cold disk",
            select(&mut imap),
            Duration::from_millis(200),
        );
        imap.ok("UNSELECT");
        at_most(
            "SELECT after that",
            select(&mut imap),
            Duration::from_millis(5),
        );
        drop(imap);
    }
    // The index was written when power goes.
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1:1000 +FLAGS.SILENT (\\Flagged)");
    server.kill();
    server.again();
    let mut imap = server.imap("ann");
    at_most(
        "SELECT after a hard stop",
        select(&mut imap),
        Duration::from_millis(500),
    );
}

#[test]
#[ignore = "makes 20,000 mailboxes; prints its figure"]
fn many_mailboxes() {
    let room = "board = \"openwrt-64\"\n[limits]\nmax_mailboxes = 30000\n";
    let mut server = Server::start(room);
    let list = "LIST \"\" \"m*\" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT HIGHESTMODSEQ))";
    for (count, limit) in [(500, 20), (20_000, 2_000)] {
        let maildir = server.maildir("ann");
        drop(server.imap("ann"));
        for at in 0..count {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(maildir.join(format!(".m{at}/{part}"))).unwrap();
            }
        }
        let owner = fs::metadata(&maildir).unwrap();
        let owner = format!("{}:{}", owner.uid(), owner.gid());
        let given = Command::new("chown")
            .arg("-R")
            .arg(owner)
            .arg(&maildir)
            .status();
        assert!(given.unwrap().success());
        let mut imap = server.imap("ann");
        let begin = Instant::now();
        let (_, status) = imap.count(list).unwrap();
        assert!(status.starts_with("OK"), "{status}");
        println!(
            "{count} mailboxes for the first time: {:?}",
            begin.elapsed()
        );
        let warm = median(5, || drop(imap.count(list).unwrap()));
        let what = format!("LIST with STATUS of {count} mailboxes");
        at_most(&what, warm, Duration::from_millis(limit));
        println!("engine: {} KiB resident", resident_kib(&server, "engine"));
        server.restart();
    }
}

/// Octets that the processes gave to the disk so far.
fn written(server: &Server) -> u64 {
    let of = |pid: i32| {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let line = io.lines().find_map(|l| l.strip_prefix("write_bytes: "));
        line.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    server.processes().iter().map(|p| of(p.pid)).sum()
}

fn flag_changes(format: &str) {
    let server = Server::start(&format!("[storage]\nformat = \"{format}\"\n"));
    for at in 0..200 {
        server.deliver("ann", &message(&format!("{at}@test"), "news", "x"));
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    // All that is put off is done by then.
    let pause = || std::thread::sleep(Duration::from_secs(4));
    pause();
    let before = written(&server);
    imap.ok("STORE 7 +FLAGS.SILENT (\\Flagged)");
    pause();
    let alone = written(&server) - before;
    at_most(
        &format!("octets of a flag change alone, {format}"),
        alone,
        30 << 10,
    );
    let before = written(&server);
    for at in 1..=100 {
        imap.ok(&format!("STORE {at} +FLAGS.SILENT (\\Seen)"));
    }
    pause();
    let each = (written(&server) - before) / 100;
    at_most(
        &format!("octets of one of a hundred, {format}"),
        each,
        1 << 10,
    );
}

#[test]
#[ignore = "prints its figure"]
fn octets_of_flag_changes_over_a_maildir() {
    flag_changes("maildir");
}

#[test]
#[ignore = "prints its figure"]
fn octets_of_flag_changes_over_mdbox() {
    flag_changes("mdbox");
}
