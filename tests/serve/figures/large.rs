//! Large mailboxes.

use super::{at_most, fill, median_cpu, resident_kib};
use crate::support::{Imap, Server, wait_until};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const HUNDRED_THOUSAND: u32 = 100_000;
const MILLION: u32 = 1_000_000;
/// The smallest board there is.
const BOARD: &str = "board = \"openwrt-64\"\n";

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn timed(imap: &mut Imap) -> Duration {
    let begin = Instant::now();
    imap.ok("NOOP");
    begin.elapsed()
}

#[test]
#[ignore = "fills a large mailbox; prints its figure"]
fn noop_beside_a_search_of_bodies() {
    // `blocking_threads` is that of the smallest boards.
    let server = Server::start("[limits]\nblocking_threads = 2\n");
    drop(server.imap("ann"));
    let line = "Nothing is in this line of text.\n";
    let text = format!("Subject: x\n\n{}", line.repeat(600));
    fill(&server.maildir("ann").join("cur"), HUNDRED_THOUSAND, &text);
    let (mut own, mut same, mut other) =
        (server.imap("ann"), server.imap("ann"), server.imap("bob"));
    for imap in [&mut own, &mut same, &mut other] {
        imap.ok("SELECT INBOX");
    }
    let mut alone: Vec<Duration> = (0..500).map(|_| timed(&mut same)).collect();
    println!("alone: p99 {:?}", p99(&mut alone));
    own.send(b"s SEARCH BODY \"is not there\"\r\n").unwrap();
    let mut beside = [Vec::new(), Vec::new()];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        for (times, imap) in beside.iter_mut().zip([&mut same, &mut other]) {
            std::thread::sleep(Duration::from_millis(2));
            times.push(timed(imap));
        }
    }
    let end = Instant::now();
    while !own.response().unwrap().starts_with("s OK") {}
    let after = end.elapsed();
    println!(
        "{} times; the search went on for {after:?} after that",
        beside[0].len()
    );
    assert!(
        after > Duration::from_millis(1),
        "the search had ended already"
    );
    let [same, other] = beside.each_mut().map(|times| p99(times));
    for (of, times) in ["the same", "another"].iter().zip(&beside) {
        let share = |percent: usize| times[times.len() * percent / 100];
        let [half, most] = [50, 95].map(share);
        println!("{of} user: median {half:?}, p95 {most:?}");
    }
    at_most("p99 of the same user", same, Duration::from_millis(20));
    at_most("p99 of another user", other, Duration::from_millis(5));
}

#[test]
#[ignore = "fills a large mailbox; prints its figure"]
fn resynchronisation_and_select() {
    let server = Server::start("");
    drop(server.imap("ann"));
    let cur = server.maildir("ann").join("cur");
    fill(&cur, HUNDRED_THOUSAND, "Subject: x\n\nx\n");
    let mut imap = server.imap("ann").raw();
    imap.ok("ENABLE QRESYNC");
    let selected = imap.ok("SELECT INBOX");
    let code = |name: &str| {
        selected
            .find(name)
            .unwrap()
            .split(']')
            .next()
            .unwrap()
            .to_owned()
    };
    let (validity, known) = (code("OK [UIDVALIDITY "), code("OK [HIGHESTMODSEQ "));
    // Here and there, so that each change has a chunk of its own.
    for change in 1..=50 {
        imap.ok(&format!(
            "UID STORE {} +FLAGS.SILENT (\\Flagged)",
            change * 1900
        ));
        imap.ok(&format!(
            "UID STORE {} +FLAGS.SILENT (\\Deleted)",
            change * 1900 + 7
        ));
    }
    imap.ok("EXPUNGE");
    let resync = format!("SELECT INBOX (QRESYNC ({validity} {known}))");
    let answer = imap.ok(&resync);
    let told = |name: &str| {
        answer
            .untagged
            .iter()
            .filter(|line| line.contains(name))
            .count()
    };
    assert_eq!((told(" FETCH ("), told("VANISHED (EARLIER) ")), (50, 1));
    let used = median_cpu(&server, 15, || {
        imap.ok("UNSELECT");
        imap.ok(&resync);
    });
    at_most("resynchronisation", used, Duration::from_millis(5));
    imap.ok("CREATE small");
    imap.append("small", "\\Seen", "Subject: x\r\n\r\nx\r\n")
        .unwrap();
    let mut select = |mailbox: &str| {
        let ten = || (0..10).for_each(|_| drop(imap.ok(&format!("SELECT {mailbox}"))));
        median_cpu(&server, 15, ten) / 10
    };
    let (small, large) = (select("small"), select("INBOX"));
    println!("SELECT: {small:?} of a small mailbox, {large:?} of the large one");
    at_most(
        "SELECT of the large one",
        large,
        small * 3 / 2 + Duration::from_micros(50),
    );
}

#[test]
#[ignore = "makes a million files; prints its figure"]
fn a_million_messages() {
    let begin = Instant::now();
    let mut server = Server::start(BOARD);
    drop(server.imap("ann"));
    fill(
        &server.maildir("ann").join("cur"),
        MILLION,
        "Subject: x\n\nx\n",
    );
    println!("made after {:?}", begin.elapsed());
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    // What SORT asks for is in the index then.
    imap.ok("SORT (SUBJECT) UTF-8 ALL");
    println!("indexed after {:?}", begin.elapsed());
    drop(imap);
    server.restart();
    let resident = |server: &Server| resident_kib(server, "engine");
    let mut imap = server.imap("ann");
    std::thread::sleep(Duration::from_secs(2));
    let before = resident(&server);
    imap.ok("SELECT INBOX");
    std::thread::sleep(Duration::from_secs(2));
    let added = resident(&server).saturating_sub(before);
    at_most("KiB of a session with a million messages", added, 1024);
    let begin = Instant::now();
    let (octets, status) = imap.count("SORT (SUBJECT) UTF-8 ALL").unwrap();
    assert!(
        status.starts_with("OK") && octets > 6_000_000,
        "{octets}: {status}"
    );
    println!(
        "SORT took {:?}; resident {} KiB",
        begin.elapsed(),
        resident(&server)
    );
    imap.ok("NOOP");
}

/// The message that an mdbox has, a million times: lines of its log that differ in their UIDs.
fn repeat(log: &Path) {
    let old = fs::read(log).unwrap();
    let old = String::from_utf8_lossy(&old);
    let mut lines = old.lines().map(|line| line.get(9..).unwrap_or_default());
    let (head, rest): (Vec<&str>, Vec<&str>) =
        lines.by_ref().partition(|line| !line.starts_with("F "));
    let (own, _) = rest[0].rsplit_once(",U=").unwrap();
    let head = head.into_iter().filter(|line| line.starts_with("V "));
    let all = (1..=MILLION).map(|uid| format!("{own},U={uid}"));
    let mut out = BufWriter::new(File::create(log).unwrap());
    for line in head.map(str::to_owned).chain(all) {
        writeln!(out, "{:08x} {line}", crc32fast::hash(line.as_bytes())).unwrap();
    }
}

#[test]
#[ignore = "writes a log of a million lines; prints its figure"]
fn a_million_messages_of_mdbox() {
    let mut server = Server::start(&format!("{BOARD}[storage]\nformat = \"mdbox\"\n"));
    server.deliver("ann", "Subject: one\r\n\r\none\r\n");
    server.stop();
    let inbox = server.maildir("ann").join("mailboxes/INBOX/dbox-Mails");
    repeat(&inbox.join("dovelet.log"));
    fs::remove_dir_all(server.data().join("index")).unwrap();
    server.again();
    let mut imap = server.imap("ann");
    let begin = Instant::now();
    let told = imap.ok("SELECT INBOX").untagged.concat();
    println!("looked at after {:?}", begin.elapsed());
    assert!(told.contains(&format!("{MILLION} EXISTS")), "{told}");
    let told = imap
        .ok(&format!("FETCH {MILLION} (UID BODY.PEEK[TEXT])"))
        .untagged
        .concat();
    assert!(told.contains("one"), "{told}");
    imap.ok("STORE 1:1000 +FLAGS.SILENT (\\Flagged)");
    server.deliver("ann", "Subject: two\r\n\r\ntwo\r\n");
    let told = imap.ok("NOOP").untagged.concat();
    assert!(told.contains(&format!("{} EXISTS", MILLION + 1)), "{told}");
    std::thread::sleep(Duration::from_secs(2));
    at_most(
        "KiB of an engine with a million messages",
        resident_kib(&server, "engine"),
        8192,
    );
}

/// Writes so many messages into a file: as this server has them there, or as another program that knows no UIDs.
fn fill_file(file: &Path, count: u32, own: bool) {
    let mut out = BufWriter::new(File::create(file).unwrap());
    let body = "Nothing but this line is in it.\n";
    for uid in 1..=count {
        writeln!(out, "From ann@example.org Mon Nov  2 10:00:00 2026 +0000").unwrap();
        if own && uid == 1 {
            writeln!(out, "X-IMAPbase: 1234567890 {count:010}{:29}", "").unwrap();
        }
        if own {
            writeln!(out, "X-UID: {uid:010}\nContent-Length: {}", body.len()).unwrap();
            writeln!(out, "Status:   \nX-Status:     \nX-Keywords: {:50}", "").unwrap();
        }
        writeln!(out, "Subject: {uid}\n\n{body}").unwrap();
    }
    out.flush().unwrap();
}

/// All that changes an mbox of so many messages, in the memory of the smallest board.
fn messages_of_mbox(count: u32, own: bool) {
    let mut server = Server::start(&format!("{BOARD}[storage]\nformat = \"mbox\"\n"));
    drop(server.imap("ann"));
    server.stop();
    let root = server.maildir("ann");
    let inbox = root.join("inbox");
    fs::remove_dir_all(root.join(".imap")).unwrap();
    fs::remove_dir_all(server.data().join("index")).unwrap();
    fill_file(&inbox, count, own);
    let begin = Instant::now();
    let told = |what: &str| println!("{what} after {:?}", begin.elapsed());
    server.again();
    let mut imap = server.imap("ann");
    let answer = imap.ok("SELECT INBOX").untagged.concat();
    told("looked at");
    assert!(answer.contains(&format!("{count} EXISTS")), "{answer}");
    let answer = imap.ok(&format!("FETCH {count} (UID BODY.PEEK[HEADER])"));
    let answer = answer.untagged.concat();
    assert!(
        answer.contains(&format!("Subject: {count}\r\n")),
        "{answer}"
    );
    server.deliver("ann", "Subject: two\r\n\r\ntwo\r\n");
    let answer = imap.ok("NOOP").untagged.concat();
    assert!(
        answer.contains(&format!("{} EXISTS", count + 1)),
        "{answer}"
    );
    told("delivered");
    imap.ok("STORE 1:* +FLAGS.SILENT (\\Flagged)");
    told("marked");
    imap.ok("STORE 1:1000 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    told("expunged");
    // The first message that is left is the first of the file then, and says of all.
    wait_until("the file to be written anew", || {
        let mut first = [0; 300];
        File::open(&inbox).unwrap().read_exact(&mut first).unwrap();
        let first = String::from_utf8_lossy(&first);
        first.contains("X-UID: 0000001001\n").then_some(())
    });
    // Whoever looks now waits until all of it is.
    let answer = imap.ok("NOOP").untagged.concat();
    assert_eq!(answer, "");
    told("written anew");
    std::thread::sleep(Duration::from_secs(2));
    at_most(
        "KiB of an engine with as many messages",
        resident_kib(&server, "engine"),
        8192,
    );
    drop(imap);
    server.restart();
    let mut imap = server.imap("ann");
    let answer = imap.ok("SELECT INBOX").untagged.concat();
    let rest = count - 999;
    assert!(answer.contains(&format!("{rest} EXISTS")), "{answer}");
    let answer = imap.ok(&format!("FETCH {rest} (UID FLAGS BODY.PEEK[TEXT])"));
    let answer = answer.untagged.concat();
    let flagged = format!("UID {} FLAGS (\\Flagged)", count + 1);
    assert!(
        answer.contains(&flagged) && answer.contains("two"),
        "{answer}"
    );
}

#[test]
#[ignore = "fills a file with a million messages; prints its figure"]
fn a_million_messages_of_mbox() {
    messages_of_mbox(MILLION, true);
}

#[test]
fn many_messages_of_mbox() {
    messages_of_mbox(HUNDRED_THOUSAND, false);
}
