//! POP3 as a client meets it: ways in, what is refused, what lasts.

use crate::support::{
    Imap, Lmtp, PASSWORD, Pop3, Server, Start, free_port, implicit, message, secure, wait_until,
};
use data_encoding::HEXLOWER;
use futures_rustls::rustls::version::TLS13;
use md5::{Digest, Md5};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn connected(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream
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

fn three(server: &Server) {
    for number in 1..4 {
        let id = format!("m{number}@test");
        server.deliver("ann", &message(&id, "pop", ".a dot\r\n..two"));
    }
}

#[test]
fn messages_come_by_every_way_in() {
    let server = Server::start("");
    three(&server);
    let mut plain = server.pop3("ann");
    let whole = plain.many("RETR 1").concat();
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.ends_with("\r\n\r\n.a dot\r\n..two\r\n"), "{whole}");
    assert_eq!(plain.list("LIST")[0], format!("1 {}", whole.len()));
    plain.ok("QUIT");

    let tls = implicit(server.pop3s, "localhost").unwrap();
    let mut secured = Pop3::over(Box::new(tls)).unwrap();
    assert!(
        secured.list("CAPA").contains(
            &"SASL PLAIN LOGIN SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1"
                .to_owned()
        )
    );
    secured.ok("AUTH PLAIN AGFubgBzZWNyZXQ=");
    assert_eq!(
        String::from_utf8(secured.many("RETR 1").concat()).unwrap(),
        whole
    );
    secured.ok("QUIT");

    let mut stream = connected(server.pop3);
    assert_eq!(read_line(&mut stream), "+OK [XCLIENT] dovelet ready.\r\n");
    stream.write_all(b"STLS\r\n").unwrap();
    assert!(read_line(&mut stream).starts_with("+OK "));
    let mut tls = secure(stream, "localhost", &TLS13).unwrap();
    tls.write_all(b"CAPA\r\n").unwrap();
    let mut said = String::new();
    while !said.ends_with("\r\n.\r\n") {
        said.push_str(&read_line(&mut tls));
    }
    assert!(!said.contains("STLS") && said.contains("USER"), "{said}");
    // All in one write, as a client that pipelines may do it.
    tls.write_all(b"USER ann\r\nPASS secret\r\nSTAT\r\nQUIT\r\n")
        .unwrap();
    let said: Vec<String> = (0..4).map(|_| read_line(&mut tls)).collect();
    assert_eq!(said[0..2], ["+OK\r\n", "+OK Logged in.\r\n"]);
    assert!(said[2].starts_with("+OK 3 ") && said[3].starts_with("+OK "));
}

#[test]
fn what_is_injected_before_tls_is_forgotten() {
    let server = Server::start("");
    let mut stream = connected(server.pop3);
    read_line(&mut stream);
    stream
        .write_all(b"STLS\r\nUSER bob\r\nPASS secret\r\nSTAT\r\n")
        .unwrap();
    assert!(read_line(&mut stream).starts_with("+OK "));
    let mut tls = secure(stream, "localhost", &TLS13).unwrap();
    tls.write_all(b"PASS secret\r\n").unwrap();
    let answer = read_line(&mut tls);
    assert_eq!(answer, "-ERR Say who you are first, with USER.\r\n");
}

#[test]
fn guesses_are_refused_and_end_the_connection() {
    let server = Server::start("[limits]\nlogin_failure_delay = \"0s\"\nlogin_failures = 3\n");
    let mut pop3 = Pop3::connect(server.pop3).unwrap();
    let unknown = pop3.login("nobody", PASSWORD).unwrap();
    assert_eq!(unknown, "-ERR [AUTH] Authentication failed.");
    assert_eq!(pop3.login("ann", "wrong").unwrap(), unknown);
    assert_eq!(
        pop3.command("AUTH PLAIN AGFubgB3cm9uZw==").unwrap(),
        unknown
    );
    assert!(pop3.line().is_err());
    server.wait_for_log("auth: passwd-file(ann,127.0.0.1): Password mismatch", 2);
    let plain = Pop3::connect(server.pop3).unwrap().login("ann", PASSWORD);
    assert!(plain.unwrap().starts_with("+OK"));
}

#[test]
fn only_quit_deletes_and_that_lasts() {
    let mut server = Server::start("");
    three(&server);
    let mut lost = server.pop3("ann");
    lost.many("RETR 3");
    lost.ok("DELE 1");
    drop(lost);
    // What was read is seen all the same.
    let flags = |imap: &mut Imap| {
        imap.list("1:*")
            .unwrap()
            .into_iter()
            .map(|m| m.flags.join(" "))
    };
    wait_until("the flag of what was read", || {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let flags: Vec<String> = flags(&mut imap).collect();
        (flags == ["", "", "\\Seen"]).then_some(())
    });
    let mut pop3 = server.pop3("ann");
    assert_eq!(pop3.ok("STAT").split(' ').next(), Some("3"));
    let before = pop3.list("UIDL");
    pop3.ok("DELE 2");
    pop3.ok("QUIT");
    server.kill();
    server.again();
    let mut pop3 = server.pop3("ann");
    let name = |line: &String| line.split_once(' ').unwrap().1.to_owned();
    let after: Vec<String> = pop3.list("UIDL").iter().map(name).collect();
    assert_eq!(after, [name(&before[0]), name(&before[2])]);
    // The server that ends says so; it deletes nothing either.
    pop3.ok("DELE 1");
    server.signal(Signal::TERM);
    assert_eq!(
        pop3.line().unwrap(),
        "-ERR [SYS/TEMP] The server is shutting down."
    );
    server.stop();
    server.again();
    assert_eq!(server.pop3("ann").list("UIDL").len(), 2);
}

#[test]
fn imap_and_deliveries_go_on_meanwhile() {
    let server = Server::start("[pop3]\nlock_session = true\n");
    three(&server);
    let mut pop3 = server.pop3("ann");
    let refused = Pop3::connect(server.pop3).unwrap().login("ann", PASSWORD);
    assert!(refused.unwrap().starts_with("-ERR [IN-USE] "));
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    server.deliver("ann", &message("late@test", "late", "x"));
    assert!(pop3.command("RETR 2").unwrap().starts_with("-ERR "));
    assert_eq!(pop3.list("LIST").len(), 2);
    assert!(pop3.command("RETR 4").unwrap().starts_with("-ERR "));
    pop3.many("RETR 3");
    pop3.ok("DELE 1");
    pop3.ok("QUIT");
    // The client may be told before the session is gone.
    let mut again = wait_until("the lock's end", || {
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        pop3.login("ann", PASSWORD)
            .unwrap()
            .starts_with("+OK")
            .then_some(pop3)
    });
    assert_eq!(again.list("LIST").len(), 2);
}

#[test]
fn a_user_has_so_many_sessions() {
    let server = Server::start("[limits]\nmax_connections_per_user = 2\n");
    let first = server.pop3("ann");
    let second = server.imap("ann");
    let refused = Pop3::connect(server.pop3).unwrap().login("ann", PASSWORD);
    let text = "-ERR [SYS/TEMP] Too many connections of this user.";
    assert_eq!(refused.unwrap(), text);
    drop(first);
    wait_until("a free place", || {
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        pop3.login("ann", PASSWORD)
            .unwrap()
            .starts_with("+OK")
            .then_some(())
    });
    drop(second);
}

#[test]
fn who_comes_too_much_hears_why() {
    let server = Server::start("[limits]\nmax_connections = 1\n");
    let _first = server.imap("ann");
    let mut stream = connected(server.pop3);
    let said = read_line(&mut stream);
    assert_eq!(said, "-ERR [SYS/TEMP] Too many connections.\r\n");
    let mut lmtp = connected(server.lmtp);
    assert!(read_line(&mut lmtp).starts_with("421 "));
    assert!(Lmtp::tcp(server.lmtp).is_err());
}

#[test]
fn bad_commands_and_long_lines_have_an_end() {
    let server = Server::start("[limits]\nbad_commands = 3\ncommand_line_octets = 1024\n");
    let mut pop3 = server.pop3("ann");
    let long = pop3.command(&format!("NOOP {}", "x".repeat(5000))).unwrap();
    assert_eq!(long, "-ERR The line is too long.");
    pop3.ok("NOOP");
    for _ in 0..3 {
        assert!(pop3.command("XYZZY").unwrap().starts_with("-ERR Unknown"));
    }
    assert_eq!(pop3.line().unwrap(), "-ERR Too many bad commands.");
    assert!(pop3.line().is_err());
}

#[test]
fn apop_needs_a_setting_and_a_password_that_is_stored_as_it_is() {
    let greeting = |server: &Server| read_line(&mut connected(server.pop3));
    assert_eq!(
        greeting(&Server::start("")),
        "+OK [XCLIENT] dovelet ready.\r\n"
    );
    let server = Server::start("[pop3]\napop = true\n");
    // The users are told of before the first greeting, but not before the listeners are open.
    let mut stream = wait_until("a timestamp", || {
        let mut stream = connected(server.pop3);
        read_line(&mut stream)
            .contains('<')
            .then(|| connected(server.pop3))
    });
    let said = read_line(&mut stream);
    let stamp = said
        .trim_end()
        .strip_prefix("+OK [XCLIENT] dovelet ready. ")
        .unwrap();
    assert!(stamp.ends_with("@mail.test>"), "{stamp}");
    let digest = HEXLOWER.encode(&Md5::digest(format!("{stamp}{PASSWORD}")));
    stream
        .write_all(format!("APOP ann {digest}\r\nSTAT\r\n").as_bytes())
        .unwrap();
    assert_eq!(read_line(&mut stream), "+OK Logged in.\r\n");
    assert_eq!(read_line(&mut stream), "+OK 0 0\r\n");
    // The digest is of no use on another connection.
    let mut stream = connected(server.pop3);
    read_line(&mut stream);
    stream
        .write_all(format!("APOP ann {digest}\r\n").as_bytes())
        .unwrap();
    assert!(read_line(&mut stream).starts_with("-ERR [AUTH] "));
    // With a hashed password there is nothing to offer.
    let hashed = Server::with(Start {
        settings: "[pop3]\napop = true\n",
        users: "ann:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n".to_owned(),
        ..Start::default()
    });
    let mut pop3 = Pop3::connect(hashed.pop3).unwrap();
    assert_eq!(pop3.login("ann", "test").unwrap(), "+OK Logged in.");
    assert_eq!(greeting(&hashed), "+OK [XCLIENT] dovelet ready.\r\n");
}

#[test]
fn guesses_by_pop3_count_for_imap() {
    let ports = [free_port(), free_port()];
    let listener = |protocol: &str, port: u16| {
        format!(
            "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:{port}\"\n\
             tls = \"implicit\"\nproxy_protocol = true\n"
        )
    };
    let settings = listener("pop3", ports[0])
        + &listener("imap", ports[1])
        + "[limits]\nlogin_failure_delay = \"50ms\"\nlogin_failure_delay_max = \"200ms\"\n\
           login_failures = 1\n";
    let _server = Server::start(&settings);
    let secured = |port: u16, address: &str| {
        let mut stream = connected(port);
        let header = format!("PROXY TCP4 {address} {address} 1 2\r\n");
        stream.write_all(header.as_bytes()).unwrap();
        Box::new(secure(stream, "localhost", &TLS13).unwrap())
    };
    let guess = |address: &str| {
        let mut pop3 = Pop3::over(secured(ports[0], address)).unwrap();
        pop3.login("ann", "wrong").unwrap()
    };
    let log_in = |address: &str| {
        let mut imap = Imap::over(secured(ports[1], address)).unwrap();
        imap.login("ann", PASSWORD).unwrap().status
    };
    // After some failures the address is not heard any more, by whatever way it comes.
    wait_until("a refusal", || {
        guess("192.0.2.7")
            .starts_with("-ERR [SYS/TEMP] ")
            .then_some(())
    });
    let refused = log_in("192.0.2.7");
    assert!(refused.starts_with("NO [UNAVAILABLE] "), "{refused}");
    assert!(log_in("198.51.100.7").starts_with("OK "));
}

#[test]
fn logins_have_to_be_apart_where_the_settings_say_so() {
    let server = Server::start("[pop3]\nlogin_delay = \"1h\"\n");
    let login = |user: &str| {
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        pop3.login(user, PASSWORD).unwrap()
    };
    assert!(login("ann").starts_with("+OK") && login("bob").starts_with("+OK"));
    assert!(login("ann").starts_with("-ERR [LOGIN-DELAY]"));
    assert!(!login("ann").starts_with("+OK") && server.imap("ann").command("NOOP").is_ok());
    let mut pop3 = Pop3::connect(server.pop3).unwrap();
    assert!(pop3.list("CAPA").contains(&"LOGIN-DELAY 3600".to_owned()));
}
