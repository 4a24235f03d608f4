//! Who may log in, from where, and what guessing costs.

use crate::support::{Imap, PASSWORD, Server, Start, free_port, line, secure, skip};
use futures_rustls::rustls::version::TLS13;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::process::Stdio;
use std::thread::scope;
use std::time::{Duration, Instant};

/// A server with a listener for proxies, and its port.
pub(crate) fn proxied(tls: &str, limits: &str) -> (Server, u16) {
    let port = free_port();
    let settings = format!(
        "[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:{port}\"\ntls = \"{tls}\"\n\
         proxy_protocol = true\n[limits]\n{limits}\n"
    );
    (Server::start(&settings), port)
}

fn connected(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

#[test]
fn without_tls_passwords_come_from_this_machine_only() {
    let (server, port) = proxied("starttls", "");
    let mut local = Imap::connect(server.imap).unwrap();
    let capability = local.ok("CAPABILITY").untagged.concat();
    assert!(capability.contains("AUTH=PLAIN"), "{capability}");
    for address in ["192.0.2.7", "2001:db8::7"] {
        let mut imap = Imap::from(address, port).unwrap();
        let capability = imap.ok("CAPABILITY").untagged.concat();
        assert!(capability.contains("LOGINDISABLED"), "{capability}");
        assert!(!capability.contains("AUTH="), "{capability}");
        let refused = imap.login("ann", PASSWORD).unwrap().status;
        assert!(refused.starts_with("NO [PRIVACYREQUIRED]"), "{refused}");
        let plain = "AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=";
        let refused = imap.command(plain).unwrap().status;
        assert!(refused.starts_with("NO [PRIVACYREQUIRED]"), "{refused}");
    }
    // The same client under TLS.
    let mut stream = connected(port);
    stream
        .write_all(b"PROXY TCP4 192.0.2.9 192.0.2.1 5 143\r\na STARTTLS\r\n")
        .unwrap();
    let mut said = String::new();
    while !said.contains("a OK") || !said.ends_with('\n') {
        let mut octet = [0];
        stream.read_exact(&mut octet).unwrap();
        said.push(octet[0].into());
    }
    let mut tls = secure(stream, "localhost", &TLS13).unwrap();
    tls.write_all(format!("b LOGIN ann {PASSWORD}\r\n").as_bytes())
        .unwrap();
    let mut answer = [0; 4];
    tls.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"b OK");
    server.wait_for_log("ann logged in from 192.0.2.9", 1);
}

#[test]
fn who_is_at_home_elsewhere_is_told_where() {
    let closed = |user: &str, extra: &str| format!("{user}:{{PLAIN}}{PASSWORD}::::::{extra}\n");
    let server = Server::with(Start {
        users: closed("ann", "nologin host=mail.example.org")
            + &closed("bob", "nologin reason=away"),
        ..Start::default()
    });
    let mut imap = Imap::connect(server.imap).unwrap();
    for (name, password, expected) in [
        ("ann", "wrong", "NO [AUTHENTICATIONFAILED] "),
        (
            "ann",
            PASSWORD,
            "NO [REFERRAL imap://ann;AUTH=*@mail.example.org/] ",
        ),
        ("bob", PASSWORD, "NO [CONTACTADMIN] away"),
    ] {
        let status = imap.login(name, password).unwrap().status;
        assert!(status.starts_with(expected), "{name}: {status}");
    }
    server.wait_for_log("bob may not log in here", 1);
}

/// An address of this machine that is not loopback, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing; only asks for the way.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn only_trusted_networks_speak_for_others() {
    let Some(address) = own_address() else {
        skip("this machine has no address but loopback");
        return;
    };
    let port = free_port();
    let settings = format!(
        "[[listener]]\nprotocol = \"imap\"\naddress = \"0.0.0.0:{port}\"\nproxy_protocol = true\n"
    );
    let said_to = |server: &Server| {
        let mut stream = TcpStream::connect((address, port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
            .write_all(b"PROXY TCP4 192.0.2.9 192.0.2.1 5 143\r\n")
            .unwrap();
        let mut said = [0; 4];
        let came = stream.read_exact(&mut said).is_ok();
        assert_eq!(said.starts_with(b"* OK"), came, "{}", server.log());
        came
    };
    let server = Server::start(&settings);
    assert!(!said_to(&server));
    server.wait_for_log("is no trusted network", 1);
    drop(server);
    let trusting = format!("{settings}[limits]\ntrusted_networks = [\"{address}/32\"]\n");
    assert!(said_to(&Server::start(&trusting)));
}

#[test]
fn proxy_headers_of_both_versions() {
    let (server, port) = proxied("starttls", "");
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([198, 51, 100, 7, 127, 0, 0, 1, 0, 9, 0, 143]);
    for (header, disabled) in [
        (
            b"PROXY TCP4 198.51.100.7 127.0.0.1 9 143\r\n".to_vec(),
            true,
        ),
        (b"PROXY TCP6 2001:db8::7 ::1 9 143\r\n".to_vec(), true),
        (second.clone(), true),
        (b"PROXY UNKNOWN\r\n".to_vec(), false),
        // A health check of the proxy itself.
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), false),
    ] {
        // At once, with a command behind it, and octet by octet.
        for piece in [header.len(), 1] {
            let mut stream = connected(port);
            for octets in header.chunks(piece) {
                stream.write_all(octets).unwrap();
            }
            let mut imap = Imap::over(Box::new(stream)).unwrap();
            let capability = imap.ok("CAPABILITY").untagged.concat();
            let shown = capability.contains("LOGINDISABLED");
            assert_eq!(shown, disabled, "{header:?}: {capability}");
        }
    }
    for wrong in [
        &b"a LOGIN ann secret\r\n"[..],
        b"PROXY TCP4 nonsense 127.0.0.1 9 143\r\n",
        &b"x".repeat(600),
    ] {
        let mut stream = connected(port);
        stream.write_all(wrong).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.is_empty(), "{:?}", String::from_utf8_lossy(&said));
    }
    // Nobody but the proxies sends such a header.
    let mut stream = connected(server.imap);
    stream
        .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.1 1 2\r\n")
        .unwrap();
    let mut imap = Imap::over(Box::new(stream)).unwrap();
    assert!(imap.response().unwrap().starts_with("PROXY BAD"));
}

/// A failed (or not) login from that address: the answer and how long it took.
pub(crate) fn attempt(port: u16, address: &str, password: &str) -> (String, Duration) {
    attempt_as("ann", port, address, password)
}

fn attempt_as(user: &str, port: u16, address: &str, password: &str) -> (String, Duration) {
    let mut stream = connected(port);
    stream
        .write_all(format!("PROXY TCP4 {address} 127.0.0.1 1 2\r\n").as_bytes())
        .unwrap();
    let tls = secure(stream, "localhost", &TLS13).unwrap();
    let mut imap = Imap::over(Box::new(tls)).unwrap();
    let begin = Instant::now();
    let status = imap.login(user, password).unwrap().status;
    (status, begin.elapsed())
}

#[test]
fn each_failure_of_an_address_doubles_its_delay() {
    const BASE: Duration = Duration::from_millis(300);
    let limits = "login_failure_delay = \"300ms\"\nlogin_failure_delay_max = \"1200ms\"";
    let (server, port) = proxied("implicit", limits);
    // What is waited before the check, and after one that failed.
    for (waits, answer) in [
        (1, "NO [AUTHENTICATIONFAILED]"),
        (1 + 1, "NO [AUTHENTICATIONFAILED]"),
        (2 + 1, "NO [AUTHENTICATIONFAILED]"),
        (4 + 1, "NO [AUTHENTICATIONFAILED]"),
        (4 + 1, "NO [UNAVAILABLE]"),
    ] {
        let (status, took) = attempt(port, "192.0.2.1", "wrong");
        assert!(status.starts_with(answer), "{waits}: {status}");
        assert!(took >= BASE * waits, "{waits}: {took:?}");
        assert!(
            took < BASE * waits + Duration::from_secs(3),
            "{waits}: {took:?}"
        );
    }
    // Also with the password it has to wait now; another address does not.
    let (status, took) = attempt(port, "192.0.2.1", PASSWORD);
    assert!(status.starts_with("NO [UNAVAILABLE]"), "{status}");
    assert!(took >= BASE * 4);
    let (status, took) = attempt(port, "192.0.2.2", PASSWORD);
    assert!(status.starts_with("OK"), "{status}");
    assert!(took < BASE * 4, "{took:?}");
    // Loopback gathers no penalty, but an answer takes its time.
    for _ in 0..6 {
        let mut imap = Imap::connect(server.imap).unwrap();
        let begin = Instant::now();
        let status = imap.login("ann", "wrong").unwrap().status;
        assert!(status.starts_with("NO [AUTHENTICATIONFAILED]"), "{status}");
        assert!(begin.elapsed() >= BASE && begin.elapsed() < BASE * 4);
    }
    // The fifth failure is the last on one connection.
    let mut imap = Imap::connect(server.imap).unwrap();
    for _ in 0..5 {
        let status = imap.login("ann", "wrong").unwrap().status;
        assert!(status.starts_with("NO [AUTHENTICATIONFAILED]"), "{status}");
    }
    assert!(imap.response().unwrap().starts_with("* BYE "));
    assert!(imap.response().is_err());
}

/// Adds a user as a person would, with a slow hash.
pub(crate) fn add(server: &Server, user: &str) {
    let mut child = server
        .command(&["user", "add", user, "--password-stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{PASSWORD}").unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn guesses_at_once_are_no_more_than_may_fail() {
    // As many more as were hashed at the same time had a try.
    let limits = "login_failure_delay = \"200ms\"\nlogin_failure_delay_max = \"800ms\"\n\
                  argon2_memory_kib = 32768\nargon2_passes = 3\nargon2_parallel = 6\n\
                  blocking_threads = 8";
    let (server, port) = proxied("implicit", limits);
    add(&server, "eve");
    let answers: Vec<String> = scope(|scope| {
        let guess = || attempt_as("eve", port, "192.0.2.1", "wrong").0;
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(guess)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let of = |head: &str| answers.iter().filter(|a| a.starts_with(head)).count();
    // 200, 400, 800 ms, and the one that is too many.
    assert_eq!(of("NO [AUTHENTICATIONFAILED]"), 4, "{answers:?}");
    assert_eq!(of("NO [UNAVAILABLE]"), 8, "{answers:?}");
    // Nobody else pays for that, however many come at once.
    scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let (status, _) = attempt_as("eve", port, "192.0.2.2", PASSWORD);
                assert!(status.starts_with("OK"), "{status}");
            });
        }
    });
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    const ALIKE: std::ops::Range<f64> = 0.8..1.25;
    let server = Server::with(Start {
        settings: "[limits]\nlogin_failure_delay = \"0s\"\nargon2_memory_kib = 16384\n\
                   argon2_passes = 4\n",
        ..Start::default()
    });
    add(&server, "eve");
    let mut answers = Vec::new();
    let mut time = |user: &str| {
        let mut imap = Imap::connect(server.imap).unwrap();
        let begin = Instant::now();
        answers.push(imap.login(user, "wrong").unwrap().status);
        begin.elapsed()
    };
    // Whatever else the machine does makes a time longer: the shortest tells most, and the more tries the
    // better, in turns. A real difference does not go away with them.
    let (mut known, mut unknown, mut ratio) = (Duration::MAX, Duration::MAX, 0.0);
    for turn in 0..100 {
        known = known.min(time("eve"));
        unknown = unknown.min(time("nobody"));
        ratio = unknown.as_secs_f64() / known.as_secs_f64();
        if turn >= 15 && ALIKE.contains(&ratio) {
            break;
        }
    }
    assert!(
        known > Duration::from_millis(2),
        "no hash at all: {known:?}"
    );
    assert!(ALIKE.contains(&ratio), "{known:?} {unknown:?}");
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].starts_with("NO [AUTHENTICATIONFAILED]"));
}

/// How many of `count` logins at once are accepted and how many put off, with a slow password.
pub(crate) fn guessed_at_once(parallel: u32, queue: u32, count: usize) -> (usize, usize) {
    let settings = format!(
        "[limits]\nargon2_memory_kib = 65536\nargon2_passes = 3\nargon2_parallel = {parallel}\n\
         argon2_queue = {queue}\n"
    );
    let server = Server::with(Start {
        settings: &settings,
        users: line("ann", None),
        ..Start::default()
    });
    add(&server, "eve");
    let connections: Vec<Imap> = (0..count)
        .map(|_| Imap::connect(server.imap).unwrap())
        .collect();
    let answers: Vec<String> = scope(|scope| {
        let login = |mut imap: Imap| imap.login("eve", PASSWORD).unwrap().status;
        let threads: Vec<_> = connections
            .into_iter()
            .map(|imap| scope.spawn(move || login(imap)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let of = |head: &str| answers.iter().filter(|a| a.starts_with(head)).count();
    let (accepted, put_off) = (of("OK"), of("NO [UNAVAILABLE]"));
    assert_eq!(accepted + put_off, count, "{answers:?}");
    // That is no guess, and nobody is to be locked out for it.
    assert!(
        !server.log().contains("Invalid credentials"),
        "{}",
        server.log()
    );
    // Passwords that cost nothing never wait.
    drop(server.imap("ann"));
    (accepted, put_off)
}

#[test]
fn few_passwords_are_hashed_at_once_and_few_wait() {
    let (accepted, put_off) = guessed_at_once(1, 2, 10);
    // One at it and two in wait at least; more where one was done before another came.
    assert!(accepted >= 3 && put_off >= 1, "{accepted} {put_off}");
}

/// Sets the password of all tests for a user, hashed as the settings want it.
fn hash_anew(server: &Server, user: &str) {
    let mut command = server.command(&["user", "passwd", user, "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(PASSWORD.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_password_that_the_board_cannot_check_is_told_with_the_way_out() {
    // Whoever changed to a smaller board was told nothing of whom that kept out.
    let mut server = Server::start("");
    hash_anew(&server, "ann");
    drop(server.imap("ann"));
    server.restart_with("board = \"openwrt-64\"");
    server.wait_for_log(
        "user ann cannot log in: to check the password takes 19456 KiB",
        1,
    );
    let mut imap = Imap::connect(server.imap).unwrap();
    let answer = imap.login("ann", PASSWORD).unwrap().status;
    assert!(answer.starts_with("NO [UNAVAILABLE] "), "{answer}");
    server.wait_for_log("the password of ann was not checked", 1);
    server.wait_for_log("dovelet user passwd ann", 2);
    drop(server.imap("bob"));
    hash_anew(&server, "ann");
    drop(server.imap("ann"));
}

#[test]
fn passwords_that_do_not_fit_beside_each_other_are_checked_one_by_one() {
    // The second of them was turned away.
    let limits = "[limits]\nauth_memory_octets = \"28MiB\"\nargon2_parallel = 4\n";
    let server = Server::start(limits);
    for user in ["ann", "bob"] {
        hash_anew(&server, user);
    }
    scope(|scope| {
        for user in ["ann", "bob", "ann", "bob", "ann", "bob"] {
            let server = &server;
            scope.spawn(move || drop(server.imap(user)));
        }
    });
    assert!(
        !server.log().contains("was not checked"),
        "{}",
        server.log()
    );
}
