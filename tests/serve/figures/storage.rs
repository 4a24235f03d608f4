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
    // The index was written when power goes, or was just going to be.
    for at_rest in [true, false] {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.ok("STORE 1:1000 +FLAGS.SILENT (\\Flagged)");
        imap.ok("STORE 1:1000 -FLAGS.SILENT (\\Flagged)");
        if at_rest {
            std::thread::sleep(Duration::from_secs(4));
        }
        server.kill();
        server.again();
        let took = select(&mut server.imap("ann"));
        match at_rest {
            true => at_most("SELECT after a hard stop", took, Duration::from_millis(500)),
            false => println!("SELECT after a hard stop amid changes: {took:?}"),
        }
    }
}

#[test]
#[ignore = "makes 10,000 messages; prints its figure"]
fn octets_of_an_index_with_cached_fields() {
    const COUNT: u32 = 10_000;
    let mut server = Server::start("");
    drop(server.imap("ann"));
    let cur = server.maildir("ann").join("cur");
    for at in 1..=COUNT {
        let text = format!(
            "Return-Path: <list-bounces@lists.example.org>\nReceived: from mx.example.org (mx.example.org \
             [192.0.2.7])\n\tby mail.example.net with ESMTPS id {at:08x}\n\tfor <ann@example.net>; Mon, 3 Nov \
             2025 10:00:00 +0100\nDate: Mon, 3 Nov 2025 09:59:{:02} +0000\nFrom: Somebody Example \
             <somebody{at}@example.org>\nTo: Ann Other <ann@example.net>, a list <list@lists.example.org>\n\
             Subject: Re: [list] What is said in message {at} of this thread\nMessage-ID: \
             <{at:08x}.7f3a@mail.example.org>\nIn-Reply-To: <{:08x}.7f3a@mail.example.org>\nMIME-Version: 1.0\n\
             Content-Type: multipart/alternative; boundary=\"b{at}\"\n\n--b{at}\nContent-Type: text/plain; \
             charset=utf-8\n\nText.\n--b{at}\nContent-Type: text/html; charset=utf-8\n\n<p>Text.</p>\n--b{at}--\n",
            at % 60,
            at - 1
        );
        let file = format!("1762164000.M{at:06}P77.host,S={},U={at}:2,S", text.len());
        fs::write(cur.join(file), text).unwrap();
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    server.stop();
    let plain = allocated(&server.data().join("index")) / u64::from(COUNT);
    at_most("octets of index for each message", plain, 250);
    server.again();
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let fetch = "FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE \
                 BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID IN-REPLY-TO REFERENCES)])";
    let (octets, status) = imap.count(fetch).unwrap();
    assert!(
        status.starts_with("OK") && octets > 5_000_000,
        "{octets}: {status}"
    );
    server.stop();
    let cached = allocated(&server.data().join("index")) / u64::from(COUNT);
    at_most(
        "octets with ENVELOPE, BODYSTRUCTURE and header fields",
        cached,
        1200,
    );
}

#[test]
#[ignore = "moves 200 MB around; prints its figure"]
fn a_message_of_200_mb() {
    const OCTETS: usize = 200_000_000;
    let room = "board = \"openwrt-64\"\n[limits]\nmessage_octets = \"250MB\"\n";
    let mut server = Server::start(room);
    let line = "Twenty octets a line and more of them: seventy eight of them with its end.\r\n";
    let head = message("large@test", "large", "");
    let text = head + &line.repeat(OCTETS / line.len());
    for format in ["maildir", "mdbox"] {
        server.restart_with(&format!("{room}[storage]\nformat = \"{format}\"\n"));
        if format == "mdbox" {
            fs::remove_dir_all(server.maildir("bob")).ok();
        }
        let user = if format == "maildir" { "ann" } else { "bob" };
        let mut lmtp = crate::support::Lmtp::tcp(server.lmtp).unwrap();
        let begin = Instant::now();
        let replies = lmtp.transaction(&[user], &text, true).unwrap();
        assert!(replies[0].starts_with("250"), "{replies:?}");
        println!("{format}: delivered after {:?}", begin.elapsed());
        let mut imap = server.imap(user);
        imap.ok("SELECT INBOX");
        let engine = server.role("engine").pop().unwrap().pid;
        for command in [
            "FETCH 1 BODY.PEEK[]",
            "FETCH 1 (ENVELOPE BODYSTRUCTURE)",
            "SEARCH BODY nowhere",
        ] {
            let (octets, status) = imap.count(command).unwrap();
            assert!(status.starts_with("OK"), "{command}: {status}");
            let whole = command.ends_with("[]");
            assert!(!whole || octets > text.len() as u64, "{octets}");
        }
        // A literal this long waits for its continuation.
        imap.send(format!("w APPEND INBOX {{{}}}\r\n", text.len()).as_bytes())
            .unwrap();
        assert!(imap.response().unwrap().starts_with("+ "));
        imap.send(text.as_bytes()).unwrap();
        imap.send(b"\r\n").unwrap();
        let mut appended = imap.response().unwrap();
        while appended.starts_with("* ") {
            appended = imap.response().unwrap();
        }
        assert!(appended.starts_with("w OK"), "{appended}");
        imap.ok("COPY 2 Archive");
        let (octets, status) = imap.count("FETCH 2 BODY.PEEK[]").unwrap();
        assert!(
            status.starts_with("OK") && octets > text.len() as u64,
            "{octets}: {status}"
        );
        println!("{format}: all after {:?}", begin.elapsed());
        assert!(server.role("engine").iter().any(|own| own.pid == engine));
        let status = fs::read_to_string(format!("/proc/{engine}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        println!("{format}: the engine had {} at most", peak.unwrap().trim());
    }
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
