//! Clients that leave while the server is busy for them.

use crate::support::{Imap, PASSWORD, Server, implicit, message};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A user has one session: the next one can log in when it has ended.
const ONE: &str = "[limits]\nmax_connections_per_user = 1\n";
/// How soon it has to end.
const SOON: Duration = Duration::from_secs(10);

/// Puts so many messages of two megabytes into the INBOX.
fn fill(server: &Server, user: &str, count: u32) {
    drop(server.imap(user));
    let cur = server.maildir(user).join("cur");
    let first = cur.join("m1,U=1:2,S");
    let line = "Nothing of what is looked for is in this line of text.\n";
    fs::write(&first, format!("Subject: large\n\n{}", line.repeat(40_000))).unwrap();
    for uid in 2..=count {
        fs::hard_link(&first, cur.join(format!("m{uid},U={uid}:2,S"))).unwrap();
    }
}

fn logged_in(server: &Server, user: &str, within: Duration) -> Imap {
    let end = Instant::now() + within;
    loop {
        let mut imap = Imap::connect(server.imap).unwrap();
        if let Ok(answer) = imap.login(user, PASSWORD)
            && answer.status.starts_with("OK")
        {
            return imap;
        }
        assert!(Instant::now() < end, "the session goes on after {within:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn who_leaves_during_a_long_search_ends_it() {
    // The search went on to its end, for minutes, with nobody to read the answer.
    let server = Server::start(ONE);
    fill(&server, "ann", 4000);
    let body = "BODY \"is not there\"";
    let commands = [
        format!("SEARCH {body}"),
        format!("SORT (SUBJECT) UTF-8 {body}"),
        format!("THREAD REFERENCES UTF-8 {body}"),
    ];
    for (number, command) in commands.iter().enumerate() {
        let mut imap = logged_in(&server, "ann", SOON);
        imap.ok("SELECT INBOX");
        imap.send(format!("s {command}\r\n").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        drop(imap);
        let begin = Instant::now();
        drop(logged_in(&server, "ann", SOON));
        println!("{command}: {:?}", begin.elapsed());
        if number > 0 {
            continue;
        }
        // The same over TLS, which another process relays.
        let tls = implicit(server.imaps, "localhost").unwrap();
        let mut imap = Imap::over(Box::new(tls)).unwrap();
        while !imap
            .login("ann", PASSWORD)
            .unwrap()
            .status
            .starts_with("OK")
        {
            let tls = implicit(server.imaps, "localhost").unwrap();
            imap = Imap::over(Box::new(tls)).unwrap();
        }
        imap.ok("SELECT INBOX");
        imap.send(format!("s {command}\r\n").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        drop(imap);
        drop(logged_in(&server, "ann", SOON));
    }
}

#[test]
fn who_only_stops_sending_gets_the_answer() {
    let server = Server::start("");
    fill(&server, "ann", 100);
    let mut stream = TcpStream::connect(("127.0.0.1", server.imap)).unwrap();
    let commands = [
        &format!("a LOGIN ann {PASSWORD}"),
        "b SELECT INBOX",
        "c SEARCH BODY \"is not there\"",
        "d SEARCH BODY \"line of TEXT\" 7",
        "e LOGOUT",
    ];
    stream
        .write_all((commands.join("\r\n") + "\r\n").as_bytes())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    said.retain(|line| line != "* OK Still here" && !line.contains("[INPROGRESS "));
    let at = said
        .iter()
        .position(|line| line.starts_with("b OK"))
        .unwrap();
    let expected = [
        "* SEARCH",
        "c OK ",
        "* SEARCH 7",
        "d OK ",
        "* BYE ",
        "e OK ",
    ];
    assert_eq!(said.len() - at - 1, expected.len(), "{said:?}");
    for (line, expected) in said[at + 1..].iter().zip(expected) {
        assert!(line.starts_with(expected), "{said:?}");
    }
    server.deliver("ann", &message("a@test", "still here", "Text."));
}

/// Message files of a mailbox: all of them, and those with a flag.
fn files(server: &Server, mailbox: &str, flag: char) -> (usize, usize) {
    let path = server.maildir("ann").join(mailbox);
    let names = |part: &str| {
        fs::read_dir(path.join(part))
            .into_iter()
            .flatten()
            .flatten()
    };
    let (mut all, mut with) = (0, 0);
    for entry in names("new").chain(names("cur")) {
        let name = entry.file_name().into_string().unwrap();
        all += 1;
        with += usize::from(
            name.rsplit_once(":2,")
                .is_some_and(|(_, flags)| flags.contains(flag)),
        );
    }
    (all, with)
}

/// A server whose sessions take few messages at a time, with so many in the INBOX of ann.
fn step_by_step(settings: &str, count: u32) -> Server {
    let server = Server::start(&format!("[limits]\n{settings}"));
    drop(server.imap("ann"));
    let cur = server.maildir("ann").join("cur");
    let owner = fs::metadata(&cur).unwrap();
    for uid in 1..=count {
        let file = cur.join(format!("m{uid},U={uid}:2,T"));
        fs::write(&file, "Subject: x\n\nx\n").unwrap();
        // Nobody else may make links to it.
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    server
}

/// Has it run until something was done.
fn begin(imap: &mut Imap, command: &str, done: impl Fn() -> bool) {
    imap.send(format!("b {command}\r\n").as_bytes()).unwrap();
    let end = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < end, "{command} does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_leaves_ends_what_changes_many_messages() {
    // It went on to its end with nobody to be answered; a COPY stayed half done.
    let count = 3000;
    let all = count as usize;
    let server = step_by_step("step_messages = 1\nmax_connections_per_user = 1\n", count);
    let archive = |flag| files(&server, ".Archive", flag);
    let inbox = |flag| files(&server, "", flag);
    let run = |command: &str, done: &dyn Fn() -> bool| {
        let mut imap = logged_in(&server, "ann", SOON);
        imap.ok("SELECT INBOX");
        begin(&mut imap, command, done);
        drop(imap);
        let begin = Instant::now();
        drop(logged_in(&server, "ann", SOON));
        println!("{command}: {:?}", begin.elapsed());
    };
    run("UID COPY 1:* Archive", &|| archive('T').0 > 20);
    assert_eq!((inbox('T').0, archive('T').0), (all, 0));
    run("STORE 1:* +FLAGS (\\Flagged)", &|| inbox('F').1 > 20);
    let flagged = inbox('F');
    assert!(flagged.0 == all && flagged.1 < all, "{flagged:?}");
    run("MOVE 1:* Archive", &|| archive('T').0 > 20);
    let (left, moved) = (inbox('T').0, archive('T').0);
    assert!(left > 0 && left + moved == all, "{left} and {moved}");
    run("EXPUNGE", &|| inbox('T').0 < left - 20);
    assert!(inbox('T').0 > 0);
    // What was told and what is there are the same.
    let mut imap = logged_in(&server, "ann", SOON);
    for (mailbox, there) in [("INBOX", inbox('T').0), ("Archive", moved)] {
        let answer = imap.ok(&format!("SELECT {mailbox}"));
        assert!(
            answer.untagged.contains(&format!("{there} EXISTS")),
            "{answer:?}"
        );
    }
}

#[test]
fn the_end_of_the_server_takes_back_a_copy() {
    let mut server = step_by_step("step_messages = 1\n", 3000);
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    begin(&mut imap, "COPY 1:* Archive", || {
        files(&server, ".Archive", 'T').0 > 20
    });
    assert!(server.stop().success());
    assert_eq!(files(&server, ".Archive", 'T').0, 0);
    let mut said = String::new();
    while let Ok(line) = imap.response() {
        said = line;
    }
    assert_eq!(said, "* BYE The server is shutting down.");
}

#[test]
fn others_are_served_while_many_messages_are_changed() {
    let server = step_by_step("step_messages = 4\n", 3000);
    let (mut own, mut same) = (server.imap("ann"), server.imap("ann"));
    same.ok("SELECT INBOX");
    let commands = [
        "COPY 1:* Archive",
        "STORE 1:* +FLAGS.SILENT (\\Flagged)",
        "MOVE 1:* Archive",
    ];
    for command in commands {
        own.ok("SELECT INBOX");
        own.send(format!("b {command}\r\n").as_bytes()).unwrap();
        let running = AtomicBool::new(true);
        let served = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !own.response().unwrap().starts_with("b OK") {}
                running.store(false, Ordering::SeqCst);
            });
            let mut served = 0;
            loop {
                same.ok("NOOP");
                same.ok("FETCH 1:5 (UID FLAGS)");
                if !command.starts_with("STORE") {
                    let text = message(&format!("{served}@test"), "x", "x");
                    let appended = same.append("INBOX", "", &text).unwrap();
                    assert!(appended.status.starts_with("OK"), "{appended:?}");
                }
                same.ok("STATUS Archive (MESSAGES UIDNEXT)");
                if !running.load(Ordering::SeqCst) {
                    return served;
                }
                served += 3;
            }
        });
        println!("{served} commands during {command}");
        assert!(served >= 6, "{served} during {command}");
    }
}
