//! Limits of connections, of logging in and of how long somebody is waited for.

use super::{engine, place, refused, status};
use crate::support::{Imap, Lmtp, PASSWORD, Server, message, wait_until};
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};

/// The server says BYE and hangs up.
fn said_goodbye(imap: &mut Imap) {
    let said = imap.response().unwrap();
    assert!(said.starts_with("* BYE"), "{said}");
    assert!(imap.response().is_err());
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

    engine_idle_timeout(server, "engine_idle_timeout = \"300ms\"") {
        drop(server.imap("ann"));
        engine(&server);
        wait_until("its end", || server.role("engine").is_empty().then_some(()));
        assert!(!server.log().contains(" is gone"));
    }
}
