//! Whose login it was: what proxies and webmail say of their clients, and what the log and fail2ban make of it.

use crate::login::proxied;
use crate::support::{Imap, PASSWORD, Pop3, Server, free_port, run, secure, unpacked};
use futures_rustls::rustls::version::TLS13;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

const QUICK: &str = "[limits]\nlogin_failure_delay = \"1ms\"\nlogin_failures = 100\n";

fn id(address: &str) -> String {
    format!(
        "ID (\"name\" \"webmail\" \"X-Originating-IP\" \"{address}\" \"x-originating-port\" \"7\")"
    )
}

#[test]
fn trusted_peers_say_for_whom_they_connect() {
    let server = Server::start(QUICK);
    let mut imap = Imap::connect(server.imap).unwrap();
    imap.ok(&id("192.0.2.7"));
    // What is no address leaves the one before.
    imap.ok(&id("nowhere"));
    imap.ok("ID NIL");
    assert!(imap.login("ann", "wrong").unwrap().status.starts_with("NO"));
    server.wait_for_log("auth: passwd-file(ann,192.0.2.7): Password mismatch", 1);
    // They are this machine all the same: passwords go without TLS.
    assert!(
        imap.login("ann", PASSWORD)
            .unwrap()
            .status
            .starts_with("OK")
    );
    server.wait_for_log("ann logged in from 192.0.2.7", 1);
    let mut pop3 = Pop3::connect(server.pop3).unwrap();
    pop3.ok("XCLIENT ADDR=IPV6:2001:db8::7 PORT=5 SESSION=x");
    assert!(pop3.command("XCLIENT ADDR=x").unwrap().starts_with("-ERR"));
    assert!(pop3.login("nobody", "wrong").unwrap().starts_with("-ERR"));
    server.wait_for_log("auth: passwd-file(nobody,2001:db8::7): unknown user", 1);
    assert!(pop3.login("ann", PASSWORD).unwrap().starts_with("+OK"));
    server.wait_for_log("ann logged in from 2001:db8::7", 1);
}

#[test]
fn nobody_else_does() {
    let pop3_port = free_port();
    let (server, port) = proxied(
        "implicit",
        &format!(
            "login_failure_delay = \"1ms\"\n[[listener]]\nprotocol = \"pop3\"\n\
             address = \"127.0.0.1:{pop3_port}\"\nproxy_protocol = true"
        ),
    );
    let header = b"PROXY TCP4 198.51.100.7 127.0.0.1 9 143\r\n";
    let mut pop3 = Pop3::behind(pop3_port, header).unwrap();
    let refused = pop3.command("XCLIENT ADDR=192.0.2.9").unwrap();
    assert_eq!(refused, "-ERR Only for trusted networks.");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(header).unwrap();
    let tls = secure(stream, "localhost", &TLS13).unwrap();
    let mut imap = Imap::over(Box::new(tls)).unwrap();
    imap.ok(&id("192.0.2.9"));
    let status = imap.login("ann", "wrong").unwrap().status;
    assert!(status.starts_with("NO"), "{status}");
    server.wait_for_log("auth: passwd-file(ann,198.51.100.7): Password mismatch", 1);
    assert!(!server.log().contains("192.0.2.9"));
}

#[test]
fn the_client_behind_a_trusted_peer_pays_for_its_guesses() {
    let server = Server::start(
        "[limits]\nlogin_failure_delay = \"1ms\"\nlogin_failure_delay_max = \"2ms\"\nlogin_failures = 100\n",
    );
    let mut imap = Imap::connect(server.imap).unwrap();
    imap.ok(&id("192.0.2.7"));
    let mut refused = false;
    for _ in 0..40 {
        let status = imap.login("ann", "wrong").unwrap().status;
        refused |= status.starts_with("NO [UNAVAILABLE]");
    }
    assert!(refused, "{}", server.log());
    // The same by POP3: it is one table.
    let mut pop3 = Pop3::connect(server.pop3).unwrap();
    pop3.ok("XCLIENT ADDR=192.0.2.7");
    let said = pop3.login("ann", PASSWORD).unwrap();
    assert!(said.starts_with("-ERR [SYS/TEMP]"), "{said}");
    pop3.ok("XCLIENT ADDR=192.0.2.8");
    assert!(pop3.login("ann", PASSWORD).unwrap().starts_with("+OK"));
}

/// The addresses that Debian's fail2ban finds in these lines with its filter for Dovecot as it comes.
fn found(lines: &str) -> Option<Vec<String>> {
    let root = unpacked(&["fail2ban"])?;
    let log = tempfile::NamedTempFile::new().unwrap();
    fs::write(log.path(), lines).unwrap();
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .arg(root.join("usr/bin/fail2ban-regex"))
        .arg("-c")
        .arg(root.join("etc/fail2ban"))
        .args(["-o", "ip"])
        .arg(log.path())
        .arg("dovecot");
    let told = run(&mut command).ok();
    Some(told.lines().map(str::to_owned).collect())
}

#[test]
fn fail2ban_finds_who_guesses() {
    let server = Server::start(QUICK);
    let names = [
        "ann",
        "nobody",
        "x,203.0.113.5): Password mismatch",
        "passwd-file(y,203.0.113.5)",
        "a b",
    ];
    for (number, name) in names.iter().enumerate() {
        let mut imap = Imap::connect(server.imap).unwrap();
        imap.ok(&id(&format!("192.0.2.{number}")));
        let status = imap
            .command(&format!("LOGIN \"{name}\" wrong"))
            .unwrap()
            .status;
        assert!(status.starts_with("NO"), "{status}");
        assert!(
            imap.login("ann", PASSWORD)
                .unwrap()
                .status
                .starts_with("OK")
        );
    }
    server.wait_for_log("ann logged in from", names.len());
    // As in a file, as syslog has it in front, and as journald with SyslogIdentifier=dovecot.
    for front in [
        "",
        "Nov 26 03:43:21 dovelet[12]: ",
        "2026-11-26T03:43:21.000000+00:00 host dovecot[12]: ",
    ] {
        let log: String = server
            .log()
            .lines()
            .map(|line| format!("{front}{line}\n"))
            .collect();
        let Some(found) = found(&log) else {
            return;
        };
        let expected: Vec<String> = (0..names.len()).map(|n| format!("192.0.2.{n}")).collect();
        assert_eq!(found, expected, "{log}");
    }
}
