//! Messages made to cost much: a server with the limits of a small router answers everything that is
//! asked about them, in bounded memory, and goes on.
//!
//! What is made here is enough for that; where the corpus lies beside the source, its hostile
//! messages join them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[allow(dead_code)] // no test uses all of it
#[path = "support/corpus.rs"]
mod corpus;
mod support;

use corpus::Corpus;
use std::fs;
use support::{Imap, Server, message};

/// KiB that the engine may take more for them than it took for an ordinary message.
const MORE_KIB: u64 = 8 * 1024;

/// What is asked about every message.
const ITEMS: &str = "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] \
    BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (SUBJECT TO REFERENCES)] BODY.PEEK[1] \
    BODY.PEEK[1.1.1.1.1.MIME] BODY.PEEK[TEXT]<100.2000>)";

fn repeated(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect()
}

fn nested(count: usize) -> String {
    let open = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    repeated(count, open) + "\r\nthe innermost\r\n"
}

fn many_parts(count: usize) -> String {
    let part = |n| format!("--b\r\nContent-Type: text/x-{n}\r\n\r\n{n}\r\n");
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    format!("{head}{}--b--\r\n", repeated(count, part))
}

/// Names, and messages with CRLF line ends.
fn made() -> Vec<(&'static str, String)> {
    let field = |name: &str, value: String| format!("{name}: {value}\r\n\r\ntext\r\n");
    let digits = |n: usize| format!("{n}@x");
    vec![
        ("multiparts in each other", nested(5_000)),
        (
            "messages in each other",
            "Content-Type: message/rfc822\r\n\r\n".repeat(20_000),
        ),
        ("parts beside each other", many_parts(20_000)),
        ("a long line", field("Subject", "x".repeat(1 << 20))),
        (
            "many fields",
            repeated(50_000, |n| format!("X-{n}: {n}\r\n")) + "\r\ntext\r\n",
        ),
        (
            "many addresses",
            field(
                "To",
                repeated(20_000, |n| format!("\"a {n}\" <{n}@x>,\r\n ")),
            ),
        ),
        ("open groups", field("To", "a:".repeat(50_000))),
        ("open comments", field("To", "(".repeat(100_000))),
        ("open quotes", field("From", "\"\\".repeat(50_000))),
        (
            "many references",
            field(
                "References",
                repeated(20_000, |n| format!("<{}>\r\n ", digits(n))),
            ),
        ),
        (
            "parameters in pieces",
            field(
                "Content-Type",
                format!(
                    "text/plain{}",
                    repeated(20_000, |n| format!(";\r\n name*{n}*=%41%42"))
                ),
            ),
        ),
        (
            "encoded words",
            field("Subject", "=?utf-8?q?=41?=\r\n ".repeat(20_000)),
        ),
        (
            "half encoded words",
            field("Subject", "=?utf-8?q?".repeat(20_000)),
        ),
        ("boundaries almost", {
            let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n";
            head.to_owned() + &"--\r\n--b\t x\r\n-".repeat(20_000)
        }),
        ("no line ends", "x".repeat(2 << 20)),
        (
            "NULs and bare CRs",
            "Subject: a\0b\r\n\r\n\0\r\r\r\0\n\n".repeat(5_000),
        ),
    ]
}

/// `VmHWM`, the most memory a process ever had resident.
fn peak_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn engine_peak_kib(server: &Server) -> u64 {
    let engines = server.role("engine");
    assert_eq!(engines.len(), 1, "the engine ended:\n{}", server.log());
    peak_kib(engines[0].pid)
}

/// Puts a file where a delivery agent would.
fn drop_in(server: &Server, number: usize, bytes: &[u8]) {
    let maildir = server.maildir("ann");
    let name = format!("1700000000.M{number}P1.test");
    fs::write(maildir.join("tmp").join(&name), bytes).unwrap();
    let to = maildir.join("new").join(&name);
    fs::rename(maildir.join("tmp").join(&name), &to).unwrap();
    // Where the server runs under another account, as a delivery agent of that account would.
    use std::os::unix::fs::{MetadataExt, chown};
    let owner = fs::metadata(&maildir).unwrap();
    chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// Asks everything about the newest message.
fn ask(imap: &mut Imap, name: &str, octets: usize) {
    let mut good = |command: &str| {
        let (count, status) = imap
            .count(command)
            .unwrap_or_else(|e| panic!("{name}: {command}: {e}"));
        assert!(status.starts_with("OK"), "{name}: {command}: {status}");
        count
    };
    good("NOOP");
    let answered = good(&format!("UID FETCH * {ITEMS}"));
    let least = u64::try_from(octets).unwrap();
    assert!(answered > least, "{name}: {answered} of {octets} octets");
    good("UID SEARCH UID * OR TEXT notthere SUBJECT notthere");
}

#[test]
fn what_costs_much_stays_within_bounds() {
    let server = Server::start("board = \"openwrt-64\"");
    server.deliver(
        "ann",
        &message("a@test", "Ordinary", "An ordinary message."),
    );
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    ask(&mut imap, "an ordinary message", 100);
    let ordinary = engine_peak_kib(&server);
    let mut seen = ordinary;
    let mut check = |server: &Server, name: &str| {
        let peak = engine_peak_kib(server);
        println!("{name}: {peak} KiB, {} more", peak.saturating_sub(seen));
        seen = seen.max(peak);
        assert!(
            peak <= ordinary + MORE_KIB,
            "{name}: {peak} KiB, {ordinary} KiB before"
        );
    };
    for (name, text) in made() {
        server.deliver("ann", &(text.clone() + "\r\n"));
        ask(&mut imap, name, text.len());
        check(&server, name);
    }
    let Some(corpus) = Corpus::unpack() else {
        return;
    };
    for (number, recorded) in corpus.recorded("synthetic-hostile").iter().enumerate() {
        let bytes = corpus.message(&recorded.path);
        drop_in(&server, number, &bytes);
        ask(&mut imap, &recorded.path, bytes.len());
        check(&server, &recorded.path);
    }
}
