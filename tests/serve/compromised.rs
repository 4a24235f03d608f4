//! Roles in the hands of an attacker: what they try fails. Builds for debugging can play that.

use crate::support::{
    Lmtp, Server, Start, executable, fingerprint, implicit, is_root, line, message, skip,
    wait_until,
};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// A server whose roles try what the file `attempts` says.
pub(crate) fn taken_over(settings: &str, attempts: String, uid: Option<u32>) -> Server {
    let of = |own: Option<u32>| own.filter(|_| uid.is_none());
    Server::with(Start {
        settings,
        users: line("ann", of(Some(20_001))) + &line("bob", of(Some(20_002))),
        files: vec![("attempts", attempts)],
        variables: vec![("DOVELET_COMPROMISED", "attempts")],
        uid,
    })
}

pub(crate) fn possible() -> bool {
    let binary = fs::read(executable()).unwrap();
    let name = b"DOVELET_COMPROMISED";
    let plays = binary.windows(name.len()).any(|window| window == name);
    let own = executable() == Path::new(env!("CARGO_BIN_EXE_dovelet"));
    let expected = cfg!(debug_assertions);
    assert!(
        !own || plays == expected,
        "only builds for debugging can play that"
    );
    plays || skip("a release build cannot play a role that was taken over")
}

/// What is tried of role `role`, and how it went.
fn tried(server: &Server, role: &str) -> Vec<(String, String)> {
    let head = format!("compromised {role}: ");
    let log = server.log();
    let lines = log.lines().filter_map(|line| line.strip_prefix(&head));
    let pairs = lines.map(|line| line.rsplit_once(": ").unwrap());
    pairs
        .map(|(what, how)| (what.to_owned(), how.to_owned()))
        .collect()
}

/// Every attempt was made and was refused by the kernel.
fn all_refused(server: &Server, role: &str, attempts: &[String]) {
    let tried = tried(server, role);
    for attempt in attempts {
        let made: Vec<&str> = tried
            .iter()
            .filter(|(what, _)| what == attempt)
            .map(|(_, how)| how.as_str())
            .collect();
        assert!(!made.is_empty(), "{role} did not try {attempt}");
        for how in made {
            let refused = [
                "Operation not permitted (os error 1)",
                "Permission denied (os error 13)",
                "Function not implemented (os error 38)",
            ];
            assert!(refused.contains(&how), "{role} {attempt}: {how}");
        }
    }
}

fn script(role: &str, attempts: &[String]) -> String {
    attempts.iter().map(|a| format!("{role} {a}\n")).collect()
}

/// What nobody may: secrets, programs, connections, the rights of others.
fn forbidden(server: &Server, listener: &TcpListener) -> Vec<String> {
    let path = |name: &str| server.path(name).display().to_string();
    let mut all = Vec::new();
    for file in [
        "users",
        "data/tls/key.pem",
        "data/tls/cert.pem",
        "dovelet.toml",
    ] {
        all.push(format!("read {}", path(file)));
    }
    all.push("read /etc/passwd".to_owned());
    all.push("list /".to_owned());
    all.push(format!("write {}", path("data/tls/cert.pem")));
    all.push("write /tmp/owned".to_owned());
    all.push(format!("remove {}", path("users")));
    all.push(format!("move {}", path("users")));
    all.push(format!("connect {}", listener.local_addr().unwrap()));
    all.push(format!("connect-unix {}", path("data/run/control")));
    all.push(format!("connect-unix {}", path("lmtp")));
    all.push("listen 127.0.0.1:0".to_owned());
    all.push("execute /bin/true".to_owned());
    all.push("become 0".to_owned());
    all.push(format!("kill {}", server.role("parent")[0].pid));
    all.push(format!("kill {}", server.role("front")[0].pid));
    all
}

/// The mail, the index and the engine of another.
fn of_another(server: &Server, user: &str, engine: i32) -> Vec<String> {
    let mail = server.maildir(user);
    let index = server.data().join("index").join(user);
    let message = fs::read_dir(mail.join("new")).unwrap().next().unwrap();
    let message = message.unwrap().path();
    vec![
        format!("read {}", message.display()),
        format!("remove {}", message.display()),
        format!("move {}", message.display()),
        format!("list {}", mail.display()),
        format!("write {}", mail.join("new/planted").display()),
        format!("read {}", index.join("index.redb").display()),
        format!("remove {}", index.join("index.redb").display()),
        format!("kill {engine}"),
    ]
}

/// Starts a server, writes down what is to be tried, and makes every role begin anew.
fn play(uid: Option<u32>) {
    let server = taken_over("isolation = \"user\"\n", String::new(), uid);
    // A connection that came through would be noticed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    server.deliver("bob", &message("b@test", "for bob", "Secret."));
    let mut bob = server.imap("bob");
    let of_bob = server.role("engine")[0].pid;

    let outside = forbidden(&server, &listener);
    let mut inside = outside.clone();
    inside.extend(of_another(&server, "bob", of_bob));
    let text = script("front", &outside) + &script("auth", &outside) + &script("engine", &inside);
    // What the owner of the engine may do shows that the refusals mean something.
    let own = format!("write {}", server.maildir("ann").join("own").display());
    fs::write(
        server.path("attempts"),
        text + &script("engine", std::slice::from_ref(&own)),
    )
    .unwrap();
    let mut ann = server.imap("ann");
    ann.ok("SELECT INBOX");
    all_refused(&server, "engine", &inside);
    assert!(tried(&server, "engine").contains(&(own, "done".to_owned())));

    for role in ["auth", "front"] {
        server.role(role)[0].signal(rustix::process::Signal::KILL);
        server.wait_for_log(&format!("compromised {role} "), 2);
        all_refused(&server, role, &outside);
    }
    assert!(listener.accept().is_err(), "somebody connected");
    // Nobody was harmed by all that.
    bob.ok("SELECT INBOX");
    assert!(
        bob.ok("FETCH 1 BODY[TEXT]")
            .untagged
            .concat()
            .contains("Secret.")
    );
    drop(server.imap("bob"));
}

#[test]
fn of_a_server_that_root_started() {
    if possible() && (is_root() || skip("not root")) {
        play(None);
    }
}

#[test]
fn of_a_server_that_anyone_started() {
    if possible() {
        play(is_root().then_some(20_009));
    }
}

#[test]
fn a_shared_engine_has_mail_and_nothing_else() {
    if !possible() || !(is_root() || skip("not root")) {
        return;
    }
    let server = taken_over("isolation = \"shared\"\n", String::new(), None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let attempts = forbidden(&server, &listener);
    fs::write(server.path("attempts"), script("engine", &attempts)).unwrap();
    // Doors are open before it has begun.
    let engine = wait_until("the engine", || server.role("engine").pop());
    engine.signal(rustix::process::Signal::KILL);
    server.wait_for_log(" is gone", 1);
    drop(server.imap("ann"));
    all_refused(&server, "engine", &attempts);
}

#[test]
fn nobody_but_auth_names_a_user() {
    if !possible() {
        return;
    }
    let attempts = ["log-in ann", "hand-over 1", "deliver 1"].map(str::to_owned);
    let text = script("front", &attempts) + &script("engine", &attempts[..1]);
    let server = taken_over(
        "isolation = \"shared\"\n",
        text,
        is_root().then_some(20_009),
    );
    for complaint in [
        "front sent what it should not",
        "front handed over connection 1, which is not logged in",
        "front delivers to a recipient that was not granted",
        "an engine sent what it should not",
    ] {
        server.wait_for_log(complaint, 1);
    }
    for role in ["front", "engine"] {
        assert!(tried(&server, role).iter().all(|(_, how)| how == "done"));
    }
    // A connection of that number is not logged in for that, and all go on.
    drop(server.imap("ann"));
    let tls = implicit(server.imaps, "localhost").unwrap();
    assert!(server.log().contains(&fingerprint(&tls)));
}

#[test]
fn a_role_that_sends_without_end_holds_nobody_up() {
    // The parent heard nothing but the one that never stopped.
    if !possible() {
        return;
    }
    let server = taken_over("isolation = \"user\"\n", String::new(), None);
    let mut bob = server.imap("bob");
    bob.ok("SELECT INBOX");
    let attempts = "engine flood ended\nfront flood closed\n";
    fs::write(server.path("attempts"), attempts).unwrap();
    let mut ann = server.imap("ann");
    ann.ok("SELECT INBOX");
    server.wait_for_log("compromised engine: flood ended: done", 1);
    let front = server.role("front").remove(0);
    for of_front in [false, true] {
        if of_front {
            front.signal(rustix::process::Signal::KILL);
            server.wait_for_log("compromised front: flood closed: done", 1);
        }
        let begin = Instant::now();
        for turn in 0..3 {
            let id = format!("{of_front}-{turn}@test");
            let text = message(&id, "still here", "Text.");
            let replies = wait_until("an answer", || {
                let mut lmtp = Lmtp::tcp(server.lmtp).ok()?;
                lmtp.transaction(&["ann", "bob"], &text, true).ok()
            });
            assert!(replies.iter().all(|r| r.starts_with("250")), "{replies:?}");
            drop(server.imap("bob"));
        }
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{of_front}: {took:?}");
    }
    bob.ok("NOOP");
    assert_eq!(bob.list("1:*").unwrap().len(), 6);
}
