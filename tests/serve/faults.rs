//! What once broke a running server from outside, and must not again.

use crate::figures::fill;
use crate::support::{Imap, Lmtp, Server, Start, free_port, line, message, run, wait_until};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Sends the line again and again, and reads what comes, until the server has enough; how long that took.
fn flood(port: u16, first: &str, line: &str, stop: Arc<AtomicBool>) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut into = [0; 65_536];
        while reader.read(&mut into).is_ok_and(|count| count > 0) {}
    });
    let lines = line.repeat(3000);
    while !stop.load(Ordering::Relaxed) && stream.write_all(lines.as_bytes()).is_ok() {}
    stream.shutdown(std::net::Shutdown::Both).ok();
    reading.join().unwrap();
    began.elapsed()
}

#[test]
fn a_client_that_never_stops_sending_stops_nobody() {
    // One client that sent NOOP without end was all that front heard, and its login never timed out.
    let server = Server::start("isolation = \"shared\"\n[limits]\nlogin_timeout = \"3s\"\n");
    let stop = Arc::new(AtomicBool::new(false));
    let login = "a LOGIN bob secret\r\n";
    let [of_front, of_engine, of_lmtp] = [
        (server.imap, "", "a NOOP\r\n"),
        (server.imap, login, "a NOOP\r\n"),
        (server.lmtp, "LHLO me\r\n", "NOOP\r\n"),
    ]
    .map(|(port, first, line)| {
        let stop = stop.clone();
        std::thread::spawn(move || flood(port, first, line, stop))
    });
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    for turn in 0..3 {
        let mut ann = server.imap("ann");
        ann.ok("SELECT INBOX");
        server.deliver("ann", &message(&format!("{turn}@test"), "x", "x"));
        ann.ok("NOOP");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(45), "{took:?}");
    let lasted = of_front.join().unwrap();
    assert!(lasted < Duration::from_secs(60), "{lasted:?}");
    stop.store(true, Ordering::Relaxed);
    of_engine.join().unwrap();
    of_lmtp.join().unwrap();
}

#[test]
fn a_message_reaches_more_users_than_a_message_between_processes_has_room_for() {
    // More than 32 engines in one transaction got nothing at all.
    let users: Vec<String> = (0..40).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let server = Server::with_users("isolation = \"user\"\n", &names);
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let replies = lmtp.transaction(&names, &message("m@test", "x", "x"), true);
    let replies = replies.unwrap();
    assert_eq!(replies.len(), 40, "{replies:?}");
    assert!(replies.iter().all(|r| r.starts_with("250")), "{replies:?}");
    for user in ["user0", "user39"] {
        let mut imap = server.imap(user);
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap()[0].id, "m@test");
    }
}

#[test]
fn users_whose_file_is_away_for_a_moment_stay() {
    // Mail for every one of them was sent back as unknown.
    let server = Server::start("");
    server.deliver("ann", &message("a@test", "x", "x"));
    fs::rename(server.path("users"), server.path("away")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("the users stay as they were", 1);
    server.deliver("ann", &message("b@test", "x", "x"));
    drop(server.imap("bob"));
    // An auth that is new has none to keep: it does not know, and says so.
    let auth = server.role("auth").remove(0);
    assert!(auth.signal(Signal::KILL));
    let unknown = wait_until("another auth", || {
        let mut lmtp = Lmtp::tcp(server.lmtp).ok()?;
        lmtp.command("MAIL FROM:<a@b>").ok()?;
        lmtp.command("RCPT TO:<ann>").ok()
    });
    assert!(unknown.starts_with("451 "), "{unknown}");
    fs::rename(server.path("away"), server.path("users")).unwrap();
    fs::write(server.path("users"), line("ann", None)).unwrap();
    server.signal(Signal::HUP);
    wait_until("ann", || {
        let mut imap = Imap::connect(server.imap).ok()?;
        let answer = imap.login("ann", "secret").ok()?;
        answer.status.starts_with("OK").then_some(())
    });
}

#[test]
fn a_pipe_in_place_of_a_file_holds_nobody_up() {
    // The parent waited for somebody to write to it, and heard nothing else any more.
    let server = Server::start("");
    fs::remove_file(server.path("users")).unwrap();
    mkfifoat(CWD, server.path("users"), Mode::RUSR | Mode::WUSR).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("no regular file; the users stay as they were", 1);
    server.deliver("ann", &message("a@test", "x", "x"));
    drop(server.imap("bob"));
}

#[test]
fn nobody_has_a_directory_of_the_server() {
    // The mail of a user named `tls` was put among the keys.
    let server = Server::with(Start {
        settings: "[storage]\npath = \"{data_dir}/{user}\"\n",
        users: ["ann", "tls"].map(|user| line(user, None)).concat(),
        ..Start::default()
    });
    server.deliver("ann", &message("a@test", "x", "x"));
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let replies = lmtp.transaction(&["tls", "ann"], &message("b@test", "x", "x"), true);
    let replies = replies.unwrap();
    assert!(replies[0].starts_with("451 "), "{replies:?}");
    assert!(replies[1].starts_with("250 "), "{replies:?}");
    let mut imap = Imap::connect(server.imap).unwrap();
    let answer = imap.login("tls", "secret");
    assert!(answer.is_err(), "{answer:?}");
    let there = fs::read_dir(server.data().join("tls")).unwrap();
    let mut there: Vec<_> = there.map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["cert.pem", "key.pem", "salt"]);
    let added = run(&mut server.command(&["user", "add", "Run", "--password-stdin"]));
    assert!(!added.status.success());
    assert!(
        added.stderr.contains("which is the server's own"),
        "{added:?}"
    );
}

#[test]
fn recipients_of_a_transaction_that_is_given_up_are_forgotten() {
    // They waited ten minutes for a message; and what forgets them may not forget those that follow.
    let server = Server::start("");
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    for turn in 0..20 {
        let begin = "MAIL FROM:<a@b>\r\nRCPT TO:<ann>\r\nRCPT TO:<bob>\r\n";
        let text = message(&format!("{turn}@test"), "x", "x");
        let pipelined = format!("{begin}RSET\r\n{begin}LHLO me\r\n{begin}DATA\r\n{text}.\r\n");
        lmtp.send(pipelined.as_bytes()).unwrap();
        let replies: Vec<String> = (0..14).map(|_| lmtp.reply().unwrap()).collect();
        assert!(replies[11].starts_with("354"), "{replies:?}");
        assert!(
            replies[12..].iter().all(|r| r.starts_with("250")),
            "{replies:?}"
        );
    }
}

#[test]
fn naming_a_recipient_is_no_login() {
    // Connections that named a recipient and nothing more held no place of those before login.
    let port = free_port();
    let server = Server::start(&format!(
        "[limits]\nmax_login_connections = 3\n[[listener]]\nprotocol = \"lmtp\"\n\
         address = \"127.0.0.1:{port}\"\ntls = \"none\"\nproxy_protocol = true\n"
    ));
    // Of a network that nobody trusts.
    let stranger = || Lmtp::behind(port, b"PROXY TCP4 192.0.2.7 127.0.0.1 9 24\r\n");
    let mut open: Vec<Lmtp> = Vec::new();
    for _ in 0..3 {
        let mut lmtp = wait_until("a place", || stranger().ok());
        assert!(lmtp.command("MAIL FROM:<a@b>").unwrap().starts_with("250"));
        assert!(lmtp.command("RCPT TO:<ann>").unwrap().starts_with("250"));
        open.push(lmtp);
    }
    assert!(stranger().is_err());
    assert!(Imap::connect(server.imap).is_err());
    // Whoever has delivered something keeps its connection and takes no place.
    open[0].command("RSET").unwrap();
    let replies = open[0].transaction(&["ann"], &message("a@test", "x", "x"), true);
    assert!(replies.unwrap()[0].starts_with("250"));
    drop(Imap::connect(server.imap).unwrap());
}

#[test]
fn a_mailbox_larger_than_the_memory_is_opened_and_nobody_else_notices() {
    // The engine of all users ran out of memory and was gone, whenever somebody opened it; then it was refused.
    let server = Server::start("board = \"openwrt-64\"\n");
    drop(server.imap("ann"));
    let large = server.maildir("ann").join(".large");
    let owner = fs::metadata(server.maildir("ann")).unwrap();
    let make = |part: &str| {
        fs::create_dir(large.join(part)).unwrap();
        chown(large.join(part), Some(owner.uid()), Some(owner.gid())).unwrap();
    };
    ["", "cur", "new", "tmp"].into_iter().for_each(make);
    let text = "Subject: x\n\nx\n";
    fill(&large.join("cur"), 20_000, text);
    let mut bob = server.imap("bob");
    let mut ann = server.imap("ann");
    let engine = server.role("engine").pop().unwrap();
    bob.ok("SELECT INBOX");
    let mut select = |count: u32| {
        let selected = ann.ok("SELECT large");
        assert!(
            selected.find(&format!("{count} EXISTS")).is_some(),
            "{selected:?}"
        );
        let status = ann.ok("STATUS INBOX (MESSAGES)");
        assert!(status.find("STATUS INBOX").is_some());
        ann.ok("UNSELECT");
    };
    select(20_000);
    fs::rename(large.join("cur"), large.join("some")).unwrap();
    make("cur");
    fill(&large.join("cur"), 150_000, text);
    // As others name them: they are known by their lines alone.
    let foreign = |at: u32| large.join(format!("cur/{}.foreign:2,S", at * 7919 % 1_000_003));
    fs::write(foreign(1), text).unwrap();
    (2..=30_000).for_each(|at| fs::hard_link(foreign(1), foreign(at)).unwrap());
    select(180_000);
    fs::remove_file(large.join("dovecot-uidlist")).unwrap();
    fs::remove_file(foreign(1)).unwrap();
    select(179_999);
    bob.ok("NOOP");
    server.deliver("ann", &message("a@test", "news", "x"));
    fs::remove_dir_all(large.join("cur")).unwrap();
    fs::rename(large.join("some"), large.join("cur")).unwrap();
    select(20_000);
    let same = server
        .role("engine")
        .iter()
        .any(|own| own.pid == engine.pid);
    assert!(same && !server.log().contains("raise `engine_memory_octets`"));
}

#[test]
fn very_many_mailboxes_are_listed_on_the_smallest_board() {
    // LIST of 20,000 took more memory than the engine has there, which was gone.
    const COUNT: usize = 20_000;
    let server = Server::start("board = \"openwrt-64\"\n");
    drop(server.imap("ann"));
    let maildir = server.maildir("ann");
    let mut subscribed = String::new();
    for at in 0..COUNT {
        fs::create_dir(maildir.join(format!(".Project {}.part {at}", at % 100))).unwrap();
        subscribed.push_str(&format!("Project {}.part {at}\n", at % 100));
    }
    fs::write(maildir.join("subscriptions"), subscribed).unwrap();
    let mut ann = server.imap("ann").raw();
    let engine = server.role("engine").pop().unwrap();
    // Those above them are told too.
    for (command, count) in [
        ("LIST \"\" \"Project*\"", COUNT + 100),
        (
            "LIST \"\" \"Project*\" RETURN (SUBSCRIBED CHILDREN)",
            COUNT + 100,
        ),
        ("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"Project %\"", 100),
        ("LSUB \"\" \"Project*\"", COUNT),
        ("LSUB \"\" \"Project %\"", 100),
    ] {
        let told = ann.ok(command).untagged;
        assert_eq!(told.len(), count, "{command}");
        assert!(told.is_sorted_by_key(|line| line.split("\"/\"").nth(1).unwrap().to_owned()));
    }
    let one = "LIST \"\" \"Project 7/part 19907\" RETURN (SUBSCRIBED)";
    let told = ann.ok(one).untagged.join("\n");
    assert!(told.contains("\\Subscribed"), "{told}");
    assert!(
        server
            .role("engine")
            .iter()
            .any(|own| own.pid == engine.pid)
    );
}

#[test]
fn a_fifo_in_one_maildir_stops_nobody() {
    // Threads of the engine waited for its other end, and everybody waited for them.
    let server = Server::start("isolation = \"shared\"\n");
    server.deliver("ann", &message("a@test", "x", "x"));
    let maildir = server.maildir("ann");
    let fifo = |name: &str| {
        let mode = Mode::RWXU | Mode::RWXO;
        let path = maildir.join(name);
        let _ = fs::remove_file(&path);
        mkfifoat(CWD, &path, mode).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    };
    for name in ["new/1700.X.h", "cur/1701.X.h:2,S", "subscriptions"] {
        fifo(name);
    }
    // Links and directories were messages that nobody could read.
    fs::create_dir(maildir.join("new/1702.X.h")).unwrap();
    for (name, to) in [
        ("cur/1703.X.h:2,", "../dovecot-uidlist"),
        ("cur/1704.X.h:2,S", "nowhere"),
        ("new/1705.X.h", "/etc/passwd"),
    ] {
        std::os::unix::fs::symlink(to, maildir.join(name)).unwrap();
    }
    let mut ann = server.imap("ann");
    let selected = ann.ok("SELECT INBOX");
    assert!(selected.find("1 EXISTS").is_some(), "{selected:?}");
    server.wait_for_log(
        "6 directories, links, FIFOs, sockets, devices or files of odd names where messages",
        1,
    );
    for _ in 0..5 {
        let answer = ann.command("LSUB \"\" *").unwrap();
        assert!(answer.status.starts_with("NO"), "{answer:?}");
        let answer = ann.command("FETCH 1:* BODY.PEEK[]").unwrap();
        assert!(answer.status.starts_with("OK"), "{answer:?}");
    }
    server.wait_for_log("where a file should be", 1);
    // The files that say which UIDs there are, and what is written beside them.
    for name in [
        "dovecot-keywords",
        "dovecot-uidlist.tmp",
        "dovecot-uidlist.lock",
        "dovecot-uidlist",
    ] {
        fifo(name);
        fs::write(
            maildir.join("new").join(format!("{name}.new")),
            "A: b\r\n\r\n",
        )
        .unwrap();
        let answer = server.imap("ann").command("SELECT INBOX").unwrap();
        assert!(answer.status.starts_with(['O', 'N']), "{name}: {answer:?}");
    }
    let mut bob = server.imap("bob");
    server.deliver("bob", &message("b@test", "x", "x"));
    bob.ok("SELECT INBOX");
    bob.ok("FETCH 1 BODY[]");
}
