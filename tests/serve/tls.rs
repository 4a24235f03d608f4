//! TLS: versions, certificates by name, STARTTLS and what must not come through it.

use crate::support::{
    Imap, PASSWORD, Server, Start, can, fingerprint, free_port, implicit, line, message, run,
    secure, wait_until,
};
use futures_rustls::rustls::version::{TLS12, TLS13};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// A plain connection to that port, and its greeting.
fn plain(port: u16) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let greeting = read_line(&mut stream);
    (stream, greeting)
}

/// A line, and not an octet more.
fn read_line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).unwrap();
        line.extend(octet);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn only_current_versions_are_spoken() {
    let server = Server::start("");
    for version in [&TLS12, &TLS13] {
        let stream = TcpStream::connect(("127.0.0.1", server.imaps)).unwrap();
        let mut tls = secure(stream, "localhost", version).unwrap();
        assert!(read_line(&mut tls).starts_with("* OK [CAPABILITY "));
        assert_eq!(tls.conn.protocol_version(), Some(version.version));
        assert!(server.log().contains(&fingerprint(&tls)));
    }
    if !can(&["openssl"]) {
        return;
    }
    let offer = |version: &str| {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect"])
            .arg(format!("127.0.0.1:{}", server.imaps))
            .args([version, "-cipher", "ALL:@SECLEVEL=0"]);
        run(&mut command)
    };
    for old in ["-tls1", "-tls1_1"] {
        let refused = offer(old);
        assert!(!refused.status.success(), "{refused:?}");
        let said = refused.stdout + &refused.stderr;
        // It is the server that does not want it.
        assert!(said.contains("SSL alert number"), "{said}");
    }
    assert!(offer("-tls1_2").status.success());
}

#[test]
fn what_is_no_tls_ends_its_own_connection() {
    let server = Server::start("");
    let mut stream = TcpStream::connect(("127.0.0.1", server.imaps)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(b"a1 LOGIN ann secret\r\n").unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    assert!(!said.starts_with(b"*") && !said.starts_with(b"a1"));
    drop(server.imap("ann"));
}

#[test]
fn starttls_forgets_what_came_before_it() {
    let server = Server::start("");
    for injected in [
        "b LOGIN ann secret\r\n".to_owned(),
        "b LOGIN ann {6+}\r\nsecret\r\nc SELECT INBOX\r\n".to_owned(),
        // The beginning of a command that would swallow the client's first one.
        "b LOGIN ann {4+}\r\n".to_owned(),
        "b NOOP\r\n".repeat(100),
    ] {
        let (mut stream, greeting) = plain(server.imap);
        assert!(greeting.contains(" STARTTLS "), "{greeting}");
        stream
            .write_all(format!("a STARTTLS\r\n{injected}").as_bytes())
            .unwrap();
        assert!(read_line(&mut stream).starts_with("a OK "));
        let mut tls = secure(stream, "localhost", &TLS13).unwrap();
        tls.write_all(b"d SELECT INBOX\r\n").unwrap();
        let answer = read_line(&mut tls);
        assert!(
            answer.starts_with("d BAD ") || answer.starts_with("d NO "),
            "{answer}"
        );
        tls.write_all(b"e STARTTLS\r\n").unwrap();
        let answer = read_line(&mut tls);
        assert!(answer.starts_with("e BAD "), "{answer}");
        tls.write_all(b"f CAPABILITY\r\n").unwrap();
        let capability = read_line(&mut tls);
        assert!(capability.contains("AUTH=PLAIN"), "{capability}");
        assert!(!capability.contains("STARTTLS"), "{capability}");
        assert!(read_line(&mut tls).starts_with("f OK "));
        tls.write_all(format!("g LOGIN ann {PASSWORD}\r\nh SELECT INBOX\r\n").as_bytes())
            .unwrap();
        assert!(read_line(&mut tls).starts_with("g OK "));
    }
}

#[test]
fn starttls_of_pop3_and_lmtp_forgets_what_came_before_it() {
    let port = free_port();
    let server = Server::start(&format!(
        "[[listener]]\nprotocol = \"lmtp\"\naddress = \"127.0.0.1:{port}\"\ntls = \"starttls\"\n"
    ));
    for injected in [
        "USER ann\r\nPASS secret\r\n",
        // What the client says first would be the password.
        "USER ann\r\n",
        "AUTH PLAIN\r\n",
    ] {
        let (mut stream, _) = plain(server.pop3);
        stream
            .write_all(format!("STLS\r\n{injected}").as_bytes())
            .unwrap();
        assert!(read_line(&mut stream).starts_with("+OK"));
        let mut tls = secure(stream, "localhost", &TLS13).unwrap();
        tls.write_all(format!("PASS {PASSWORD}\r\nSTAT\r\n").as_bytes())
            .unwrap();
        for _ in 0..2 {
            let answer = read_line(&mut tls);
            assert!(answer.starts_with("-ERR"), "{answer}");
        }
    }
    for injected in [
        "LHLO evil\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<ann>\r\nDATA\r\n",
        "LHLO evil\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<ann>\r\nBDAT 100\r\n",
        "XCLIENT ADDR=192.0.2.9\r\nLHLO evil\r\n",
    ] {
        let (mut stream, _) = plain(port);
        stream
            .write_all(format!("STARTTLS\r\n{injected}").as_bytes())
            .unwrap();
        assert!(read_line(&mut stream).starts_with("220 2.0.0"));
        let mut tls = secure(stream, "localhost", &TLS13).unwrap();
        tls.write_all(b"MAIL FROM:<a@b>\r\nLHLO client\r\nMAIL FROM:<a@b>\r\nRCPT TO:<ann>\r\n")
            .unwrap();
        assert!(read_line(&mut tls).starts_with("503 5.5.1"));
        let mut keywords = String::new();
        while !keywords.contains("250 ") {
            keywords.push_str(&read_line(&mut tls));
        }
        assert!(!keywords.contains("STARTTLS"), "{keywords}");
        tls.write_all(b"BDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n")
            .unwrap();
        let replies = [
            read_line(&mut tls),
            read_line(&mut tls),
            read_line(&mut tls),
        ];
        assert!(replies.iter().all(|r| r.starts_with("250")), "{replies:?}");
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let all = imap.ok("FETCH 1:* BODY[]").untagged.concat();
    assert_eq!(all.matches("with LMTPS id").count(), 3, "{all}");
    assert!(!all.contains("evil") && !all.contains("192.0.2.9"), "{all}");
}

/// A certificate with its key, as PEM, and its fingerprint.
struct Made {
    certificate: String,
    key: String,
    fingerprint: String,
}

fn make(name: &str) -> Made {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let pairs = Sha256::digest(made.cert.der()).map(|octet| format!("{octet:02X}"));
    Made {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        fingerprint: pairs.into_iter().collect::<Vec<_>>().join(":"),
    }
}

#[test]
fn each_name_has_its_certificate_and_a_reload_brings_new_ones() {
    let names = ["main.test", "imap.test", "*.wild.test"];
    let [main, imap, wild] = names.map(make);
    let settings = "[tls]\ncertificate = \"main.pem\"\nkey = \"main.key\"\n\
         [[tls.name]]\nname = \"*.wild.test\"\ncertificate = \"wild.pem\"\nkey = \"wild.key\"\n\
         [[tls.name]]\nname = \"imap.test\"\ncertificate = \"imap.pem\"\nkey = \"imap.key\"\n";
    let server = Server::with(Start {
        settings,
        users: line("ann", None),
        files: vec![
            ("main.pem", main.certificate),
            ("main.key", main.key),
            ("imap.pem", imap.certificate),
            ("imap.key", imap.key),
            ("wild.pem", wild.certificate),
            ("wild.key", wild.key),
        ],
        ..Start::default()
    });
    assert!(
        server
            .log()
            .contains(&format!("certificate SHA-256 {}", main.fingerprint))
    );
    let shown = |name: &str| fingerprint(&implicit(server.imaps, name).unwrap());
    for (name, expected) in [
        ("main.test", &main.fingerprint),
        ("other.test", &main.fingerprint),
        ("127.0.0.1", &main.fingerprint),
        ("imap.test", &imap.fingerprint),
        ("IMAP.Test", &imap.fingerprint),
        ("a.wild.test", &wild.fingerprint),
        ("a.b.wild.test", &main.fingerprint),
    ] {
        assert_eq!(shown(name), *expected, "{name}");
    }
    let tls = implicit(server.imaps, "imap.test").unwrap();
    let mut open = Imap::over(Box::new(tls)).unwrap();
    let new = make("imap.test");
    fs::write(server.path("imap.pem"), new.certificate).unwrap();
    fs::write(server.path("imap.key"), new.key).unwrap();
    assert_eq!(shown("imap.test"), imap.fingerprint);
    server.signal(rustix::process::Signal::HUP);
    wait_until("the new certificate", || {
        (shown("imap.test") == new.fingerprint).then_some(())
    });
    assert_eq!(shown("a.wild.test"), wild.fingerprint);
    assert!(
        open.login("ann", PASSWORD)
            .unwrap()
            .status
            .starts_with("OK")
    );
}

/// Memory of `front` that nobody shares with it, in octets.
fn held_by_front(server: &Server) -> usize {
    let pid = server.role("front")[0].pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib: usize = line
        .and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .unwrap();
    kib << 10
}

#[test]
fn a_connection_that_has_moved_much_holds_no_buffers_while_it_waits() {
    const CLIENTS: usize = 64;
    /// Keys and state of TLS, the connection's own, and what lies between them in the heap.
    const EACH: usize = 20 << 10;
    let server = Server::start("");
    let body = "A line of a message that is long.\r\n".repeat(8000);
    server.deliver("ann", &message("a@test", "long", &body));
    let moved = || {
        let tls = implicit(server.imaps, "localhost").unwrap();
        let mut imap = Imap::over(Box::new(tls)).unwrap();
        assert!(
            imap.login("ann", PASSWORD)
                .unwrap()
                .status
                .starts_with("OK")
        );
        imap.ok("SELECT INBOX");
        let (octets, _) = imap.count("FETCH 1 BODY.PEEK[]").unwrap();
        assert!(octets > 250_000);
        // Refused at its end, so that nothing of it stays anywhere.
        imap.append("nowhere", "", &body).unwrap();
        imap.send(b"i IDLE\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with("+ "));
        imap
    };
    // What is there once for all.
    let few: Vec<Imap> = (0..4).map(|_| moved()).collect();
    let before = held_by_front(&server);
    let many: Vec<Imap> = (0..CLIENTS).map(|_| moved()).collect();
    let each = wait_until("memory that is given back", || {
        let each = held_by_front(&server).saturating_sub(before) / CLIENTS;
        (each <= EACH).then_some(each)
    });
    drop((few, many));
    println!("{each} octets a connection");
}
