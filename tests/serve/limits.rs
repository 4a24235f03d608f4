//! Every limit of `[limits]`, hit.

use crate::login::{attempt, guessed_at_once, proxied};
use crate::lookups::{asked, listener};
use crate::support::{Imap, Lmtp, PASSWORD, Pop3, Process, Server, message, run, wait_until};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// One test a limit, of that name, and the list of all of them.
macro_rules! limits {
    ($($name:ident($server:ident, $settings:literal) $body:block)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                let $server = Server::start(concat!("[limits]\n", $settings, "\n"));
                $body
            }
        )*
    };
}

/// Limits whose test needs more than a server with one setting.
const ELSEWHERE: &[(&str, fn())] = &[
    ("max_connections_per_address", per_address),
    ("login_failure_delay_max", longest_delay),
    ("argon2_parallel", hashed_at_once),
    ("argon2_queue", hashed_at_once),
    ("trusted_networks", trusted_networks),
    ("auth_requests", auth_requests),
];

#[test]
fn none_is_missing() {
    let server = Server::start("");
    let reference = run(&mut server.command(&["config", "reference"])).ok();
    let (_, table) = reference.split_once("\n[limits]\n").unwrap();
    let table = table.split("\n[").next().unwrap();
    let names: BTreeSet<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    let tested = TESTED.iter().copied();
    let elsewhere = ELSEWHERE.iter().map(|(name, _)| *name);
    let tested: BTreeSet<&str> = tested.chain(elsewhere).collect();
    assert_eq!(names, tested);
}

#[test]
fn the_rest() {
    let mut done = BTreeSet::new();
    for (_, test) in ELSEWHERE {
        if done.insert(*test as usize) {
            test();
        }
    }
}

/// The status of a command, as far as a closed connection leaves one.
fn status(answer: io::Result<crate::support::Answer>) -> String {
    answer.map_or_else(|e| e.to_string(), |answer| answer.status)
}

/// Connects as soon as a place is free again.
fn place(server: &Server) -> Imap {
    wait_until("a place", || Imap::connect(server.imap).ok())
}

/// The server says BYE and hangs up.
fn said_goodbye(imap: &mut Imap) {
    let said = imap.response().unwrap();
    assert!(said.starts_with("* BYE"), "{said}");
    assert!(imap.response().is_err());
}

fn refused(server: &Server, why: &str) {
    let said = Imap::connect(server.imap)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("* BYE [LIMIT]") && said.contains(why),
        "{said}"
    );
}

/// The answer to an item of the only message in ann's INBOX.
fn fetched(server: &Server, text: &str, item: &str) -> String {
    server.deliver("ann", text);
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let answer = imap.ok(&format!("FETCH 1 ({item})")).untagged.concat();
    // Nothing of the message is lost, whatever was not understood of it.
    let whole = imap.ok("FETCH 1 BODY.PEEK[]").untagged.concat();
    assert!(whole.contains(text));
    answer
}

/// What `dovelet index cache` says of ann's INBOX: octets, and all of it.
fn cached(server: &Server) -> (u64, String) {
    let said = run(&mut server.command(&["index", "cache", "--user", "ann", "--mailbox", "INBOX"]));
    let said = said.ok();
    let octets = said.split_once("INBOX: ").unwrap().1;
    let octets = octets.split(' ').next().unwrap().parse().unwrap();
    (octets, said)
}

/// So many octets are kept at most, and clients are told the same of the others.
fn kept_of_the_newest(server: &Server, most: u64) {
    for n in 1..=30 {
        server.deliver(
            "ann",
            &message(&format!("{n}@cache"), &format!("no. {n}"), "x"),
        );
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let fetched = imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)").untagged;
    let fetched: Vec<_> = fetched
        .into_iter()
        .filter(|line| line.contains("FETCH"))
        .collect();
    assert!(
        fetched.len() == 30 && fetched[0].contains("no. 1\""),
        "{fetched:?}"
    );
    let (octets, said) = cached(server);
    assert!(octets > 0 && octets <= most, "{said}");
    run(&mut server.command(&["index", "cache", "--user", "ann", "--forget"])).ok();
    assert_eq!(cached(server).0, 0);
    let again = imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)").untagged;
    assert_eq!(again, fetched);
    let (octets, said) = cached(server);
    assert!(octets > 0 && octets <= most, "{said}");
}

/// A message with those lines in its header.
fn with_header(lines: &str, body: &str) -> String {
    format!("From: a@example.net\r\n{lines}\r\n\r\n{body}\r\n")
}

fn engine(server: &Server) -> Process {
    wait_until("an engine", || server.role("engine").pop())
}

limits! {
    max_connections(server, "max_connections = 3") {
        let mut open: Vec<Imap> = (0..3).map(|_| place(&server)).collect();
        refused(&server, "Too many connections.");
        let lmtp = Lmtp::tcp(server.lmtp).map(drop).unwrap_err().to_string();
        assert!(lmtp.starts_with("421 4.3.2"), "{lmtp}");
        // Those that went on to an engine count too.
        assert!(status(open[0].login("ann", PASSWORD)).starts_with("OK"));
        refused(&server, "Too many connections.");
        open.remove(0).ok("LOGOUT");
        drop(place(&server));
    }

    scrub_octets(server, "scrub_octets = 20000") {
        for n in 0..300 {
            server.deliver("ann", &message(&format!("{n}@scrub"), "scrub", &"x".repeat(100)));
        }
        let begin = Instant::now();
        let told = run(&mut server.command(&["doctor", "--scrub", "--user", "ann"])).ok();
        // The first 256 have so many octets that the others are not looked at before the third second.
        assert!(begin.elapsed() > Duration::from_secs(2), "{told}");
        assert!(told.contains("300"), "{told}");
    }

    max_login_connections(server, "max_login_connections = 2") {
        let mut open: Vec<Imap> = (0..2).map(|_| place(&server)).collect();
        refused(&server, "Too many connections.");
        assert!(status(open[0].login("ann", PASSWORD)).starts_with("OK"));
        let _third = place(&server);
        refused(&server, "Too many connections.");
    }

    max_connections_per_user(server, "max_connections_per_user = 2") {
        let open = [server.imap("ann"), server.imap("ann")];
        let mut third = Imap::connect(server.imap).unwrap();
        assert!(status(third.login("ann", PASSWORD)).starts_with("NO [LIMIT]"));
        said_goodbye(&mut third);
        drop(server.imap("bob"));
        drop(open);
        wait_until("a place for ann", || {
            let mut imap = Imap::connect(server.imap).ok()?;
            status(imap.login("ann", PASSWORD)).starts_with("OK").then_some(())
        });
    }

    login_timeout(server, "login_timeout = \"700ms\"") {
        let begin = Instant::now();
        let mut imap = Imap::connect(server.imap).unwrap();
        // Being busy does not help.
        while imap.command("NOOP").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(600) && took < Duration::from_secs(20), "{took:?}");
    }

    login_bad_commands(server, "login_bad_commands = 3") {
        let mut imap = Imap::connect(server.imap).unwrap();
        for _ in 0..3 {
            assert!(status(imap.command("NONSENSE")).starts_with("BAD"));
        }
        said_goodbye(&mut imap);
    }

    login_failures(server, "login_failures = 2\nlogin_failure_delay = \"0s\"") {
        let mut imap = Imap::connect(server.imap).unwrap();
        for _ in 0..2 {
            assert!(status(imap.login("ann", "wrong")).starts_with("NO"));
        }
        said_goodbye(&mut imap);
    }

    login_failure_delay(server, "login_failure_delay = \"600ms\"") {
        let mut imap = Imap::connect(server.imap).unwrap();
        let begin = Instant::now();
        assert!(status(imap.login("ann", "wrong")).starts_with("NO"));
        assert!(begin.elapsed() >= Duration::from_millis(600));
    }

    login_line_octets(server, "login_line_octets = 512") {
        let mut imap = Imap::connect(server.imap).unwrap();
        assert!(status(imap.command(&"x".repeat(600))).starts_with("BAD The line is too long"));
        // Without an end: nothing is kept of it, and it ends with the time for a login.
        imap.send(&vec![b'x'; 100_000]).unwrap();
        imap.send(b"\r\n").unwrap();
        assert!(imap.response().unwrap().contains("BAD"));
        imap.ok("NOOP");
        // The start of the response came back as a tag, and the command was never answered.
        for response in [&*"A".repeat(600), "AAAA APPEND x {5+}", "A {99999+}"] {
            let mut imap = Imap::connect(server.imap).unwrap();
            imap.send(b"a AUTHENTICATE PLAIN\r\n").unwrap();
            assert!(imap.response().unwrap().starts_with('+'));
            imap.send(format!("{response}\r\n").as_bytes()).unwrap();
            let answer = imap.response().unwrap();
            assert!(answer.starts_with("a BAD ") && !answer.contains("AA"), "{answer}");
        }
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        pop3.send(b"AUTH PLAIN\r\n").unwrap();
        assert!(pop3.line().unwrap().starts_with('+'));
        pop3.send(format!("{}\r\n", "A".repeat(600)).as_bytes()).unwrap();
        let answer = pop3.line().unwrap();
        assert!(answer.starts_with("-ERR ") && !answer.contains("AA"), "{answer}");
        assert!(!server.log().contains("AAAA"));
    }

    login_literal_octets(server, "login_literal_octets = 64") {
        let mut imap = Imap::connect(server.imap).unwrap();
        assert!(status(imap.command("LOGIN {65}")).starts_with("BAD The literal is too large"));
        assert!(imap.response().unwrap().starts_with("* BYE "));
        assert!(imap.response().is_err(), "it ends");
        let mut imap = Imap::connect(server.imap).unwrap();
        imap.send(b"a LOGIN {64}\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with('+'));
    }

    command_line_octets(server, "command_line_octets = 1024") {
        let mut imap = server.imap("ann");
        let long = status(imap.command(&format!("LIST \"\" {}", "x".repeat(1100))));
        assert!(long.starts_with("BAD [LIMIT]"), "{long}");
        imap.ok(&format!("LIST \"\" {}", "x".repeat(900)));
    }

    literal_octets(server, "literal_octets = 1024") {
        let mut imap = server.imap("ann");
        assert!(status(imap.command("LIST \"\" {1025}")).starts_with("BAD [LIMIT]"));
        imap.ok("NOOP");
        imap.ok(&format!("LIST \"\" {{1024+}}\r\n{}", "x".repeat(1024)));
    }

    message_octets(server, "message_octets = 2048") {
        let of = |octets: usize| {
            let empty = message("a@test", "x", "").len();
            message("a@test", "x", &"y".repeat(octets - empty))
        };
        let mut imap = server.imap("ann");
        let large = status(imap.append("INBOX", "", &of(2049)));
        assert!(large.starts_with("NO [TOOBIG]"), "{large}");
        let announced = status(imap.command("APPEND INBOX {2049}"));
        assert!(announced.starts_with("NO [TOOBIG]"), "{announced}");
        assert!(status(imap.append("INBOX", "", &of(2048))).starts_with("OK"));
        // Put together of parts that are there already.
        let both = "APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\" URL \"/INBOX/;UID=1\")";
        let both = status(imap.command(both));
        assert!(both.starts_with("NO [TOOBIG]"), "{both}");
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        assert!(lmtp.command("LHLO x").unwrap().contains("SIZE 2048"));
        assert!(lmtp.command("MAIL FROM:<a@b> SIZE=2049").unwrap().starts_with("552 5.3.4"));
        let replies = lmtp.transaction(&["ann", "bob"], &of(2049), true).unwrap();
        assert!(replies.iter().all(|r| r.starts_with("552 5.3.4")), "{replies:?}");
        let replies = lmtp.transaction(&["ann"], &of(2048), true).unwrap();
        assert!(replies[0].starts_with("250"), "{replies:?}");
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 2);
    }

    bad_commands(server, "bad_commands = 3") {
        let mut imap = server.imap("ann");
        for _ in 0..2 {
            assert!(status(imap.command("NONSENSE")).starts_with("BAD"));
        }
        // A good one between them wipes that out.
        imap.ok("NOOP");
        for _ in 0..3 {
            assert!(status(imap.command("NONSENSE")).starts_with("BAD"));
        }
        said_goodbye(&mut imap);
        let told = "session of ann ended: Too many bad commands. Last commands: NOOP, ?, ?, ?.";
        server.wait_for_log(told, 1);
    }

    lmtp_user_deliveries(server, "lmtp_user_deliveries = 1") {
        let mut first = Lmtp::tcp(server.lmtp).unwrap();
        for command in ["MAIL FROM:<a@b>", "RCPT TO:<ann>", "DATA"] {
            first.command(command).unwrap();
        }
        // More than is collected: the delivery begins.
        first.send(message("a@test", "x", &"0123456789\r\n".repeat(8000)).as_bytes()).unwrap();
        let _ = wait_until("a draft", || fs::read_dir(server.maildir("ann").join("tmp")).ok()?.next());
        let small = message("b@test", "x", "x");
        let mut second = Lmtp::tcp(server.lmtp).unwrap();
        let busy = second.transaction(&["ann", "bob"], &small, true).unwrap();
        assert!(busy[0].starts_with("451 4.3.2") && busy[1].starts_with("250"), "{busy:?}");
        first.send(b".\r\n").unwrap();
        assert!(first.reply().unwrap().starts_with("250"));
        let after = second.transaction(&["ann", "ann"], &small, true).unwrap();
        assert!(after.iter().all(|r| r.starts_with("250")), "{after:?}");
    }

    set_ranges(server, "set_ranges = 10") {
        server.deliver("ann", &message("a@test", "x", "x"));
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let ranges = |count: usize| vec!["1"; count].join(",");
        for command in ["FETCH {} FLAGS", "UID FETCH {} FLAGS", "SEARCH {}", "STORE {} FLAGS ()"] {
            let many = command.replace("{}", &ranges(11));
            let many = status(imap.command(&many));
            assert!(many.starts_with("BAD [LIMIT]"), "{many}");
            imap.ok(&command.replace("{}", &ranges(10)));
        }
    }

    search_keys(server, "search_keys = 10") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let keys = |count: usize| format!("SEARCH {}", vec!["ALL"; count].join(" "));
        let many = status(imap.command(&keys(11)));
        assert!(many.starts_with("BAD [LIMIT]"), "{many}");
        imap.ok(&keys(10));
    }

    search_depth(server, "search_depth = 4") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let deep = |depth: usize| format!("SEARCH {}ALL{}", "(".repeat(depth), ")".repeat(depth));
        let many = status(imap.command(&deep(5)));
        assert!(many.starts_with("BAD [LIMIT]"), "{many}");
        imap.ok(&deep(4));
        let nots = status(imap.command(&format!("SEARCH {}ALL", "NOT ".repeat(5))));
        assert!(nots.starts_with("BAD [LIMIT]"), "{nots}");
    }

    imap_idle_timeout(server, "imap_idle_timeout = \"500ms\"") {
        let mut imap = server.imap("ann");
        let begin = Instant::now();
        said_goodbye(&mut imap);
        assert!(begin.elapsed() >= Duration::from_millis(400));
    }

    imap_keep_alive(server, "imap_keep_alive = \"300ms\"") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.send(b"x IDLE\r\n").unwrap();
        let begin = Instant::now();
        let said = |imap: &mut Imap| imap.response().unwrap();
        assert!(said(&mut imap).starts_with("+ "));
        assert_eq!(said(&mut imap), "* OK Still here");
        assert_eq!(said(&mut imap), "* OK Still here");
        assert!(begin.elapsed() >= Duration::from_millis(500));
    }

    mdbox_rotate_octets(server, "mdbox_rotate_octets = \"64KiB\"\n[storage]\nformat = \"mdbox\"") {
        let text = message("a@test", "x", &"Twenty octets a line\r\n".repeat(1000));
        for _ in 0..5 {
            server.deliver("ann", &text);
        }
        let files = fs::read_dir(server.maildir("ann").join("storage")).unwrap().flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("m."));
        let octets: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
        assert!(octets.len() > 1 && octets.iter().all(|octets| *octets <= 65_536), "{octets:?}");
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 5);
    }

    pop3_idle_timeout(server, "pop3_idle_timeout = \"500ms\"") {
        let mut pop3 = server.pop3("ann");
        let begin = Instant::now();
        assert_eq!(pop3.line().unwrap(), "-ERR Disconnected for inactivity.");
        assert!(begin.elapsed() >= Duration::from_millis(400));
        assert!(pop3.line().is_err());
    }

    lmtp_idle_timeout(server, "lmtp_idle_timeout = \"500ms\"") {
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let begin = Instant::now();
        assert!(lmtp.reply().unwrap().starts_with("421 "));
        assert!(begin.elapsed() >= Duration::from_millis(400));
        assert!(lmtp.reply().is_err());
    }

    lmtp_filing_timeout(server, "lmtp_filing_timeout = \"1s\"") {
        // The answer of the last recipient waited for the first one's engine for longer than clients do.
        drop(server.imap("bob"));
        let engine = server.role("engine").remove(0);
        assert!(engine.signal(Signal::STOP));
        let begin = Instant::now();
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let text = message("both@test", "x", "x");
        let replies = lmtp.transaction(&["bob", "ann"], &text, true).unwrap();
        assert!(replies[0].starts_with("451 ") && replies[1].starts_with("250 "), "{replies:?}");
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
        // What was put off is not filed when it goes on: it comes again.
        assert!(engine.signal(Signal::CONT));
        server.deliver("bob", &message("later@test", "x", "x"));
        let mut bob = server.imap("bob");
        assert!(bob.ok("SELECT INBOX").find("1 EXISTS").is_some());
    }

    header_octets(server, "header_octets = 2048") {
        let fill = "X-Fill: 123456789012345678901234567890\r\n".repeat(80);
        let text = with_header(&format!("Subject: early\r\n{fill}To: late@example.org"), "Body.");
        let envelope = fetched(&server, &text, "ENVELOPE");
        assert!(envelope.contains("early") && !envelope.contains("late"), "{envelope}");
    }

    header_line_octets(server, "header_line_octets = 1024") {
        let words = "word ".repeat(1000);
        let text = with_header(&format!("Subject: {words}\r\nTo: b@example.org"), "Body.");
        let envelope = fetched(&server, &text, "ENVELOPE");
        assert!(envelope.len() > 1024 && envelope.len() < 1500, "{}", envelope.len());
        assert!(envelope.contains("example.org"), "{envelope}");
    }

    header_addresses(server, "header_addresses = 3") {
        let text = with_header("To: a1@x, a2@x, a3@x, a4@x, a5@x\r\nCc: b1@x", "Body.");
        let envelope = fetched(&server, &text, "ENVELOPE");
        assert!(envelope.contains("\"a3\"") && envelope.contains("\"b1\""), "{envelope}");
        assert!(!envelope.contains("\"a4\""), "{envelope}");
    }

    mime_parameters(server, "mime_parameters = 3") {
        let text = with_header("Content-Type: text/plain; p1=1; p2=2; p3=3; p4=4", "Body.");
        let structure = fetched(&server, &text, "BODYSTRUCTURE");
        assert!(structure.contains("\"p3\"") && !structure.contains("\"p4\""), "{structure}");
    }

    mime_parts(server, "mime_parts = 4") {
        let part = "--b\r\nContent-Type: text/x-part\r\n\r\nText.\r\n";
        let body = format!("{}--b--", part.repeat(10));
        let text = with_header("Content-Type: multipart/mixed; boundary=b", &body);
        let structure = fetched(&server, &text, "BODYSTRUCTURE");
        assert_eq!(structure.matches("x-part").count(), 3, "{structure}");
    }

    mime_depth(server, "mime_depth = 3") {
        let mut text = "Content-Type: text/x-inside\r\n\r\nText.".to_owned();
        for level in 0..6 {
            text = format!(
                "Content-Type: multipart/x-l{level}; boundary=b{level}\r\n\r\n--b{level}\r\n{text}\r\n--b{level}--"
            );
        }
        let text = format!("From: a@example.net\r\n{text}\r\n");
        let structure = fetched(&server, &text, "BODYSTRUCTURE");
        assert!(structure.contains("x-l4") && !structure.contains("x-inside"), "{structure}");
    }

    max_recipients(server, "max_recipients = 2") {
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let text = message("a@test", "x", "x");
        let replies = lmtp.transaction(&["ann", "bob", "ann"], &text, true).unwrap();
        let codes: Vec<&str> = replies.iter().map(|r| &r[..9]).collect();
        assert_eq!(codes, ["250 2.0.0", "250 2.0.0", "452 4.5.3"]);
    }

    max_transactions(server, "max_transactions = 2") {
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        for _ in 0..2 {
            let text = message("a@test", "x", "x");
            assert!(lmtp.transaction(&["ann"], &text, true).unwrap()[0].starts_with("250"));
        }
        assert!(lmtp.command("MAIL FROM:<a@b>").unwrap().starts_with("421 "));
        assert!(lmtp.reply().is_err());
    }

    max_mailboxes(server, "max_mailboxes = 10") {
        let mut imap = server.imap("ann");
        let there = imap.ok("LIST \"\" *").untagged.len();
        for number in there..10 {
            imap.ok(&format!("CREATE m{number}"));
        }
        assert!(status(imap.command("CREATE more")).starts_with("NO [LIMIT]"));
        imap.ok("DELETE m9");
        // Levels that have to be made count.
        assert!(status(imap.command("CREATE a/b")).starts_with("NO [LIMIT]"));
        imap.ok("CREATE more");
    }

    nonsync_literal_octets(server, "nonsync_literal_octets = 4096") {
        let mut imap = server.imap("ann");
        let told = imap.ok("CAPABILITY").untagged.concat();
        assert!(told.contains(" LITERAL- ") && !told.contains("LITERAL+"), "{told}");
        let (fits, long) = ("x".repeat(4096), "x".repeat(4097));
        let append = |text: &str| format!("APPEND INBOX {{{}+}}\r\n{text}", text.len());
        assert!(status(imap.command(&append(&long))).starts_with("BAD [TOOBIG]"));
        imap.ok(&append(&fits));
        // What waits may be longer.
        imap.send(b"w APPEND INBOX {4097}\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with("+ "));
        imap.send(format!("{long}\r\n").as_bytes()).unwrap();
        assert!(imap.response().unwrap().starts_with("w OK"));
        let told = Imap::connect(server.imap).unwrap().ok("CAPABILITY").untagged.concat();
        assert!(told.contains(" LITERAL- ") && !told.contains("LITERAL+"), "{told}");
    }

    append_messages(server, "append_messages = 2") {
        let mut imap = server.imap("ann");
        let one = " {2+}\r\nx\n";
        assert!(status(imap.command(&format!("APPEND INBOX{one}{one}{one}"))).starts_with("NO [LIMIT]"));
        assert!(imap.ok("STATUS INBOX (MESSAGES)").untagged.concat().contains("MESSAGES 0"));
        imap.ok(&format!("APPEND INBOX{one}{one}"));
    }

    mailbox_name_octets(server, "mailbox_name_octets = 64") {
        let mut imap = server.imap("ann");
        let (fits, long) = ("x".repeat(64), "x".repeat(65));
        assert!(status(imap.command(&format!("CREATE {long}"))).starts_with("NO [LIMIT]"));
        imap.ok(&format!("CREATE {fits}"));
        assert!(status(imap.command(&format!("RENAME {fits} {long}"))).starts_with("NO [LIMIT]"));
    }

    mailbox_depth(server, "mailbox_depth = 3") {
        let mut imap = server.imap("ann");
        assert!(status(imap.command("CREATE a/b/c/d")).starts_with("NO [LIMIT]"));
        imap.ok("CREATE a/b/c");
        // Also of what comes along.
        assert!(status(imap.command("RENAME a z/a")).starts_with("NO [LIMIT]"));
        imap.ok("RENAME a/b a/z");
    }

    max_keywords(server, "max_keywords = 3") {
        server.deliver("ann", &message("a@test", "x", "x"));
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        // None of them is made if not all can be.
        assert!(status(imap.command("STORE 1 +FLAGS (a b c d)")).starts_with("NO [LIMIT]"));
        imap.ok("STORE 1 +FLAGS (one two three)");
        assert!(status(imap.command("STORE 1 +FLAGS (four)")).starts_with("NO [LIMIT]"));
        let text = message("b@test", "x", "x");
        assert!(status(imap.append("INBOX", "four", &text)).starts_with("NO [LIMIT]"));
        imap.ok("STORE 1 FLAGS (three)");
        let flags = imap.ok("SELECT INBOX");
        let permanent = flags.find("OK [PERMANENTFLAGS ").unwrap();
        assert!(!permanent.contains("\\*"), "{permanent}");
    }

    metadata_entries(server, "metadata_entries = 10") {
        let mut imap = server.imap("ann");
        let set = |name: &str, value: &str| format!("SETMETADATA INBOX (/shared/{name} {value})");
        (0..10).for_each(|n| drop(imap.ok(&set(&n.to_string(), "\"x\""))));
        let refused = imap.command(&set("more", "\"x\""));
        assert!(status(refused).starts_with("NO [METADATA TOOMANY]"));
        imap.ok(&set("1", "NIL"));
        imap.ok(&set("more", "\"x\""));
    }

    metadata_octets(server, "metadata_octets = 1024") {
        let mut imap = server.imap("ann");
        let set = |n: usize| format!("SETMETADATA \"\" (/shared/comment \"{}\")", "x".repeat(n));
        imap.ok(&set(1024));
        assert!(status(imap.command(&set(1025))).starts_with("NO [METADATA MAXSIZE 1024]"));
    }

    notify_mailboxes(server, "notify_mailboxes = 6") {
        let mut imap = server.imap("ann");
        imap.ok("NOTIFY SET (personal (MessageNew MessageExpunge))");
        imap.ok("CREATE more");
        let refused = imap.command("NOTIFY SET (personal (MessageNew MessageExpunge))");
        assert!(status(refused).starts_with("NO [NOTIFICATIONOVERFLOW]"));
        imap.ok("NOTIFY SET (subtree more (MessageNew MessageExpunge)) (personal (MailboxName))");
        // What happens is told without a command.
        server.imap("ann").append("more", "", "x").unwrap();
        let told = imap.response().unwrap();
        assert_eq!(told, "* STATUS more (MESSAGES 1 UIDNEXT 2)");
    }

    search_mailboxes(server, "search_mailboxes = 6") {
        let mut imap = server.imap("ann");
        imap.ok("ESEARCH IN (personal) ALL");
        imap.ok("CREATE more");
        assert!(status(imap.command("ESEARCH IN (personal) ALL")).starts_with("NO [LIMIT]"));
        imap.ok("ESEARCH IN (subtree more) ALL");
    }

    search_contexts(server, "search_contexts = 2") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let mut refused = || {
            let answer = imap.ok("SEARCH RETURN (UPDATE COUNT) ALL");
            answer.find("NO [NOUPDATE ").is_some()
        };
        assert_eq!([refused(), refused(), refused()], [false, false, true]);
    }

    cache_mailbox_octets(server, "cache_mailbox_octets = 4096") {
        kept_of_the_newest(&server, 4096);
    }

    cache_user_octets(server, "cache_user_octets = 4096") {
        kept_of_the_newest(&server, 4096);
    }

    cache_unused_time(server, "cache_unused_time = \"2s\"") {
        server.deliver("ann", &message("1@cache", "x", "x"));
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let first = imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").untagged;
        assert!(cached(&server).0 > 0);
        let ends = Instant::now() + Duration::from_secs(20);
        // Who leaves a mailbox has it cared for.
        while cached(&server).0 > 0 && Instant::now() < ends {
            std::thread::sleep(Duration::from_secs(1));
            imap.ok("UNSELECT");
            imap.ok("SELECT INBOX");
        }
        let (octets, said) = cached(&server);
        assert!(octets == 0 && said.contains("not kept: header "), "{said}");
        assert_eq!(imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").untagged, first);
        let (octets, said) = cached(&server);
        assert!(octets > 0 && said.contains("; kept: envelope "), "{said}");
    }

    sort_octets(server, "sort_octets = \"64KiB\"") {
        // Subjects and references of each are nearly as much as may be held.
        let long = "x".repeat(30_000);
        let references = |of: &str| -> String {
            (0..900).map(|n| format!(" <{n}@{of}>\r\n")).collect()
        };
        let mut imap = server.imap("ann");
        for first in ["c", "a", "d", "b"] {
            let text = format!("Subject: {first}{long}\r\nReferences:{}\r\nx\r\n", references(first));
            let answer = imap.append("INBOX", "", &text).unwrap();
            assert!(answer.status.starts_with("OK"), "{answer:?}");
        }
        imap.ok("SELECT INBOX");
        // SORT goes on in a file, THREAD cannot.
        assert_eq!(imap.ok("SORT (SUBJECT) UTF-8 ALL").find("SORT"), Some(" 2 4 1 3"));
        let threaded = imap.command("THREAD REFERENCES UTF-8 ALL").unwrap();
        assert!(threaded.status.starts_with("NO [LIMIT]"), "{threaded:?}");
        assert_eq!(imap.ok("THREAD REFERENCES UTF-8 1").find("THREAD"), Some(" (1)"));
    }

    expunge_history(server, "expunge_history = 2") {
        for number in 1..=6 {
            server.deliver("ann", &message(&format!("{number}@test"), "x", "x"));
        }
        let mut imap = server.imap("ann");
        imap.ok("ENABLE QRESYNC");
        let selected = imap.ok("SELECT INBOX");
        let code = |name: &str| selected.find(name).unwrap().split(']').next().unwrap().to_owned();
        let validity = code("OK [UIDVALIDITY ");
        let mut known = Vec::new();
        for uid in 1..=4 {
            imap.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
            let answer = imap.ok(&format!("UID EXPUNGE {uid}"));
            known.push(answer.code("HIGHESTMODSEQ").unwrap().to_owned());
        }
        let mut vanished = |mod_seq: &str| {
            imap.ok("UNSELECT");
            let answer = imap.ok(&format!("SELECT INBOX (QRESYNC ({validity} {mod_seq}))"));
            answer.find("VANISHED (EARLIER) ").unwrap_or_default().to_owned()
        };
        // The last two are remembered one by one; who knows less is told all that is missing.
        assert_eq!(vanished(&known[2]), "4");
        assert_eq!(vanished(&known[1]), "3:4");
        assert_eq!(vanished(&known[0]), "1:4");
    }

    step_messages(server, "step_messages = 2") {
        let mut imap = server.imap("ann").raw();
        for number in 1..=6 {
            imap.append("INBOX", "", &message(&format!("{number}@test"), "x", "x")).unwrap();
        }
        imap.ok("SELECT INBOX");
        let mut mod_seq = || -> u64 {
            let status = imap.ok("STATUS Archive (HIGHESTMODSEQ)");
            imap.ok("COPY 2:6 Archive");
            let told = status.find("STATUS Archive (HIGHESTMODSEQ ").unwrap();
            told.trim_end_matches(')').parse().unwrap()
        };
        // The first change of a process is above all that any before it gave.
        mod_seq();
        // Two, two and one.
        let before = mod_seq();
        assert_eq!(mod_seq() - before, 3);
    }

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

    engine_idle_timeout(server, "engine_idle_timeout = \"300ms\"") {
        drop(server.imap("ann"));
        engine(&server);
        wait_until("its end", || server.role("engine").is_empty().then_some(()));
        assert!(!server.log().contains(" is gone"));
    }
}

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

fn per_address() {
    let (server, port) = proxied("starttls", "max_connections_per_address = 2");
    let mut open: Vec<Imap> = (0..2)
        .map(|_| Imap::from("192.0.2.1", port).unwrap())
        .collect();
    let said = Imap::from("192.0.2.1", port).map(drop).unwrap_err();
    let said = said.to_string();
    assert!(
        said.contains("Too many connections from your address"),
        "{said}"
    );
    drop(Imap::from("192.0.2.2", port).unwrap());
    let local: Vec<Imap> = (0..4).map(|_| server.imap("ann")).collect();
    open.remove(0).ok("LOGOUT");
    wait_until("a place", || Imap::from("192.0.2.1", port).ok());
    drop(local);
}

fn longest_delay() {
    let limits = "login_failure_delay = \"200ms\"\nlogin_failure_delay_max = \"300ms\"";
    let (_server, port) = proxied("implicit", limits);
    for waits in [200, 400, 500, 500] {
        let (status, took) = attempt(port, "192.0.2.1", "wrong");
        assert!(status.starts_with("NO"), "{status}");
        assert!(took >= Duration::from_millis(waits), "{took:?}");
    }
    let (status, _) = attempt(port, "192.0.2.1", PASSWORD);
    assert!(status.starts_with("NO [UNAVAILABLE]"), "{status}");
}

fn hashed_at_once() {
    // One at a time and nobody waits: of many at once some are put off.
    let (accepted, put_off) = guessed_at_once(1, 0, 6);
    assert!(accepted >= 1 && put_off >= 1, "{accepted} {put_off}");
    // Room for all.
    assert_eq!(guessed_at_once(2, 4, 6), (6, 0));
}

fn trusted_networks() {
    let limits = "login_failure_delay = \"200ms\"\nlogin_failure_delay_max = \"5s\"\n\
                  max_connections_per_address = 1\ntrusted_networks = [\"192.0.2.0/24\"]";
    let (_server, port) = proxied("implicit", limits);
    for _ in 0..4 {
        let (_, took) = attempt(port, "192.0.2.1", "wrong");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    let (status, _) = attempt(port, "192.0.2.1", PASSWORD);
    assert!(status.starts_with("OK"), "{status}");
}

fn auth_requests() {
    let settings = listener("dovecot-auth", "[limits]\nauth_requests = 2");
    let server = Server::start(&settings);
    let stream = UnixStream::connect(server.path("dovecot-auth")).unwrap();
    asked(&stream, "VERSION\t1\t1\nCPID\t1\n", "DONE");
    let begin = |id: u32| {
        let auth = format!("AUTH\t{id}\tLOGIN\tservice=smtp\n");
        asked(&stream, &auth, "").pop().unwrap()
    };
    // They wait for a name.
    for id in 1..3 {
        let answer = begin(id);
        assert!(answer.starts_with(&format!("CONT\t{id}\t")), "{answer}");
    }
    // The one that waited longest makes room.
    let answers = asked(&stream, "AUTH\t3\tLOGIN\tservice=smtp\n", "CONT\t3\t");
    let [given_up, _] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(given_up, "FAIL\t1\ttemp\tcode=temp_fail");
    // With one less there is a place.
    let answer = asked(&stream, "CONT\t2\t*\n", "").pop().unwrap();
    assert!(answer.starts_with("FAIL\t2"), "{answer}");
    let answer = begin(4);
    assert!(answer.starts_with("CONT\t4\t"), "{answer}");
}
