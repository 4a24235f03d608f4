//! Processes that end, are killed or hang, and what others notice of it: nothing.

use crate::compromised::{possible, taken_over};
use crate::support::{Imap, Lmtp, PASSWORD, Server, implicit, line, message, wait_until};
use rustix::process::Signal;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

const ISOLATED: &str = "isolation = \"user\"\n";

/// A session over TLS, which `front` relays.
fn relayed(server: &Server, user: &str) -> Imap {
    let tls = implicit(server.imaps, "localhost").unwrap();
    let mut imap = Imap::over(Box::new(tls)).unwrap();
    let answer = imap.login(user, PASSWORD).unwrap();
    assert!(answer.status.starts_with("OK"), "{answer:?}");
    imap
}

/// The engine that came with this user's first session.
fn engine_of(server: &Server, user: &str) -> (crate::support::Process, Imap) {
    let before: Vec<i32> = server.role("engine").iter().map(|p| p.pid).collect();
    let mut imap = server.imap(user);
    imap.ok("SELECT INBOX");
    let mut engines = server.role("engine");
    engines.retain(|engine| !before.contains(&engine.pid));
    assert_eq!(engines.len(), 1);
    (engines.remove(0), imap)
}

/// What must work for a user whatever happens to others: an open session, a new one, a delivery.
fn unharmed(server: &Server, user: &str, open: &mut Imap, id: &str) {
    let begin = Instant::now();
    server.deliver(user, &message(id, "still here", "Text."));
    open.ok("NOOP");
    assert!(open.list("1:*").unwrap().iter().any(|m| m.id == id));
    drop(server.imap(user));
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "that took {took:?}");
}

#[test]
fn an_engine_that_is_killed_takes_its_own_user_only() {
    let server = Server::start(ISOLATED);
    let (of_ann, mut ann) = engine_of(&server, "ann");
    let (_, mut bob) = engine_of(&server, "bob");
    let mut secure = relayed(&server, "ann");
    server.deliver("ann", &message("a@test", "before", "Text."));
    assert!(of_ann.signal(Signal::KILL));
    let broken = |answer: io::Result<crate::support::Answer>| assert!(answer.is_err());
    broken(ann.command("NOOP"));
    broken(secure.command("NOOP"));
    server.wait_for_log(" is gone", 1);
    unharmed(&server, "bob", &mut bob, "b@test");
    // Its user comes back after the back-off, and nothing is lost.
    let mut ann = server.imap("ann");
    ann.ok("SELECT INBOX");
    assert_eq!(ann.list("1:*").unwrap()[0].id, "a@test");
}

#[test]
fn an_engine_that_hangs_holds_up_its_own_user_only() {
    let mut server = Server::start(ISOLATED);
    let (of_ann, _ann) = engine_of(&server, "ann");
    let (_, mut bob) = engine_of(&server, "bob");
    let _secure = relayed(&server, "ann");
    assert!(of_ann.signal(Signal::STOP));
    // More than its channel holds: the parent must not wait for room.
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut imap = Imap::connect(server.imap).unwrap();
        imap.send(format!("a LOGIN ann {PASSWORD}\r\n").as_bytes())
            .unwrap();
        waiting.push(imap);
    }
    unharmed(&server, "bob", &mut bob, "b@test");
    // A message for both: bob's answer does not depend on ann's engine, which is given up in time
    // only; the stuck engine gets it when it goes on.
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    for line in ["MAIL FROM:<a@b>", "RCPT TO:<bob>", "RCPT TO:<ann>", "DATA"] {
        let reply = lmtp.command(line).unwrap();
        assert!(reply.starts_with(['2', '3']), "{reply}");
    }
    lmtp.send(message("both@test", "to both", "Text.").as_bytes())
        .unwrap();
    lmtp.send(b".\r\n").unwrap();
    wait_until("bob's copy", || {
        bob.ok("NOOP");
        let mut messages = bob.list("1:*").unwrap().into_iter();
        messages.any(|m| m.id == "both@test").then_some(())
    });
    assert!(of_ann.signal(Signal::CONT));
    for _ in 0..2 {
        assert!(
            lmtp.reply()
                .unwrap()
                .starts_with("250 2.0.0 Delivered, id ")
        );
    }
    for mut imap in waiting {
        assert!(imap.response().unwrap().starts_with("a OK"));
    }
    // A stuck engine does not keep the server from ending.
    assert!(of_ann.signal(Signal::STOP));
    let begin = Instant::now();
    let status = server.stop();
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn front_and_auth_are_started_again() {
    let server = Server::start(ISOLATED);
    let (_, mut ann) = engine_of(&server, "ann");
    for role in ["auth", "front", "auth", "front"] {
        let old = server.role(role).remove(0);
        assert!(old.signal(Signal::KILL));
        let begin = Instant::now();
        wait_until(&format!("a new {role}"), || {
            let new = server.role(role);
            (new.len() == 1 && new[0].pid != old.pid).then_some(())
        });
        wait_until("a login", || {
            let mut imap = Imap::connect(server.imap).ok()?;
            let answer = imap.login("bob", PASSWORD).ok()?;
            answer.status.starts_with("OK").then_some(())
        });
        assert!(begin.elapsed() < Duration::from_secs(15));
        unharmed(&server, "ann", &mut ann, &format!("{}@test", old.pid));
    }
    // Tried at once, then after longer and longer waits.
    let killed = Instant::now();
    for _ in 0..3 {
        let old = wait_until("front", || server.role("front").pop());
        old.signal(Signal::KILL);
        wait_until("front's end", || {
            server
                .role("front")
                .iter()
                .all(|p| p.pid != old.pid)
                .then_some(())
        });
    }
    wait_until("front", || server.role("front").pop());
    assert!(killed.elapsed() >= Duration::from_millis(400 + 800 + 1600));
    ann.ok("NOOP");
}

#[test]
fn a_login_whose_auth_dies_is_told_so() {
    let server = Server::start("");
    // The greeting does not wait for it.
    let auth = wait_until("auth", || server.role("auth").pop());
    assert!(auth.signal(Signal::STOP));
    let mut imap = Imap::connect(server.imap).unwrap();
    imap.send(format!("a LOGIN ann {PASSWORD}\r\n").as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(auth.signal(Signal::KILL));
    let answer = imap.response().unwrap();
    assert!(answer.starts_with("a NO [UNAVAILABLE]"), "{answer}");
}

#[test]
fn sigterm_says_goodbye_to_all() {
    // systemd and a terminal signal every process of the server at once.
    for (settings, all) in [
        (ISOLATED, false),
        ("isolation = \"shared\"\n", false),
        (ISOLATED, true),
    ] {
        let mut server = Server::start(settings);
        let mut plain = server.imap("ann");
        plain.ok("SELECT INBOX");
        let mut idling = server.imap("bob");
        idling.ok("SELECT INBOX");
        idling.send(b"i IDLE\r\n").unwrap();
        assert!(idling.response().unwrap().starts_with('+'));
        let mut secure = relayed(&server, "ann");
        let mut before_login = Imap::connect(server.imap).unwrap();
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let begin = Instant::now();
        if all {
            for process in server.processes() {
                assert!(process.signal(Signal::TERM));
            }
        }
        let status = server.stop();
        assert!(status.success(), "{status}\n{}", server.log());
        assert!(!server.log().contains("ERROR"), "{}", server.log());
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        for imap in [&mut plain, &mut idling, &mut secure, &mut before_login] {
            assert!(imap.response().unwrap().starts_with("* BYE"));
            assert!(imap.response().is_err());
        }
        assert!(lmtp.reply().unwrap().starts_with("421 "));
        assert!(!server.socket().exists());
        server.again();
        drop(server.imap("ann"));
    }
}

#[test]
fn sigint_ends_it_too() {
    let server = Server::start("");
    let _ann = server.imap("ann");
    server.signal(Signal::INT);
    wait_until("its end", || server.processes().is_empty().then_some(()));
    assert!(!server.log().contains(" is gone"), "{}", server.log());
}

#[test]
fn sighup_brings_new_users_and_certificates() {
    let server = Server::start(ISOLATED);
    let mut plain = server.imap("ann");
    let mut secure = relayed(&server, "ann");
    let old = crate::support::fingerprint(&implicit(server.imaps, "localhost").unwrap());
    let users = line("ann", None) + &line("new", None);
    fs::write(server.path("users"), users).unwrap();
    // Its own certificate is made anew when it is gone.
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(server.data().join("tls").join(name)).unwrap();
    }
    server.signal(Signal::HUP);
    wait_until("the new certificate", || {
        let tls = implicit(server.imaps, "localhost").unwrap();
        (crate::support::fingerprint(&tls) != old).then_some(())
    });
    drop(server.imap("new"));
    let mut gone = Imap::connect(server.imap).unwrap();
    let answer = gone.login("bob", PASSWORD).unwrap();
    assert!(answer.status.starts_with("NO [AUTHENTICATIONFAILED]"));
    for imap in [&mut plain, &mut secure] {
        imap.ok("SELECT INBOX");
        imap.append("INBOX", "\\Seen", &message("x@test", "x", "x"))
            .unwrap();
    }
    // What cannot be read changes nothing.
    fs::write(server.data().join("tls/key.pem"), "nonsense").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("the certificates stay as they were", 1);
    drop(relayed(&server, "ann"));
    secure.ok("NOOP");
}

#[test]
fn a_second_server_keeps_off() {
    let server = Server::start("");
    let refused = crate::support::run(&mut server.command(&["serve"]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("`dovelet serve` (process ")
            && refused.stderr.contains(") works there; stop it"),
        "{refused:?}"
    );
    drop(server.imap("ann"));
}

/// A machine that boots delivers what came meanwhile, and starts its server.
#[test]
fn a_server_waits_for_a_command_that_has_the_mail() {
    let mut server = Server::start("");
    drop(server.imap("ann"));
    assert!(server.stop().success());
    let lock = fs::File::options()
        .write(true)
        .open(server.data().join("run/lock"))
        .unwrap();
    lock.lock().unwrap();
    fs::write(server.data().join("run/lock"), "12 import\n").unwrap();
    let busy = crate::support::run(&mut server.command(&["backup", "-u", "ann", "x"]));
    assert_eq!(busy.status.code(), Some(75));
    assert!(
        busy.stderr.contains("`dovelet import` (process 12) works"),
        "{busy:?}"
    );
    let log = server.path("log");
    let waits = move || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let waits = text.contains("waiting for `dovelet import` (process 12) to end");
        waits.then_some(())
    };
    let command = std::thread::spawn(move || {
        wait_until("the server to wait", waits);
        lock.unlock().unwrap();
    });
    server.again();
    command.join().unwrap();
    drop(server.imap("ann"));
}

#[test]
fn a_session_that_panics_ends_alone() {
    // Everybody's sessions ended with it, or its place was never given back.
    if !possible() {
        return;
    }
    let settings = "isolation = \"shared\"\n[limits]\nmax_connections_per_user = 2\n";
    let server = taken_over(settings, "engine stumble 6\n".to_owned(), None);
    let mut bob = server.imap("bob");
    bob.ok("SELECT INBOX");
    let engine = server.role("engine").remove(0);
    let (mut ann, _other) = (server.imap("ann"), server.imap("ann"));
    let turns = (0..6).take_while(|_| ann.command("STATUS INBOX (MESSAGES)").is_ok());
    let turns = turns.count();
    assert!(turns < 6, "no panic");
    server.wait_for_log("a session of ann panicked; it ends, others go on", 1);
    unharmed(&server, "bob", &mut bob, "a@test");
    wait_until("ann's place", || {
        let mut ann = Imap::connect(server.imap).ok()?;
        let answer = ann.login("ann", PASSWORD).ok()?;
        answer.status.starts_with("OK").then_some(())
    });
    assert_eq!(server.role("engine")[0].pid, engine.pid);
}

#[test]
fn places_come_back_though_front_had_no_time_to_hear_of_it() {
    // Those of which there was no room to tell it were lost for ever.
    const ALL: usize = 420;
    let settings = format!(
        "isolation = \"shared\"\n[limits]\nmax_connections = {ALL}\n\
         max_login_connections = {ALL}\nmax_connections_per_user = {ALL}\n"
    );
    let server = Server::start(&settings);
    let open: Vec<Imap> = (0..400).map(|_| server.imap("ann")).collect();
    let front = server.role("front").remove(0);
    front.signal(Signal::STOP);
    // One by one, so that each is a message.
    for imap in open {
        drop(imap);
        std::thread::sleep(Duration::from_millis(3));
    }
    front.signal(Signal::CONT);
    let mut open: Vec<Imap> = Vec::new();
    while open.len() < ALL {
        open.push(wait_until("a place", || Imap::connect(server.imap).ok()));
    }
    assert!(Imap::connect(server.imap).is_err());
}
