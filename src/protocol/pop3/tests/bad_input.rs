//! Every command with whatever can be wrong about it: it is refused, or does what it then says, and the
//! session goes on or says goodbye.

use super::*;

/// One command of each kind, as a client sends it.
const COMMANDS: [&str; 17] = [
    "CAPA",
    "STLS",
    "USER ann",
    "PASS secret",
    "AUTH PLAIN AGFubgBzZWNyZXQ=",
    "APOP ann c4c9334bac560ecc979e58001b3e22fb",
    "QUIT",
    "NOOP",
    "STAT",
    "LIST 1",
    "UIDL 2",
    "RETR 3",
    "TOP 1 2",
    "DELE 2",
    "RSET",
    "LAST",
    "AUTH LOGIN YW5u",
];

const WIDE: SessionSettings = SessionSettings {
    bad_commands: u32::MAX,
    ..SESSION
};

pub(super) fn account() -> (Account, tempfile::TempDir) {
    let (account, directory) = Account::volatile();
    for number in 1..4 {
        deliver(
            &account,
            format!("Subject: {number}\r\n\r\ntext {number}\r\n").as_bytes(),
        );
    }
    (account, directory)
}

pub(super) fn session(account: &Account) -> Connection {
    let pop3 = Pop3 {
        enable_last: true,
        ..Pop3::default()
    };
    let mut connection = Connection::session(account, &pop3, WIDE);
    connection.said.clear();
    connection
}

pub(super) fn before_login() -> Connection {
    let settings = LoginSettings {
        bad_commands: u32::MAX,
        failures: u32::MAX,
        ..LOGIN
    };
    let mut connection = Connection::new(Peer::Login(Box::new(Login::new(
        settings,
        Some("<1@test>".into()),
    ))));
    connection.said.clear();
    connection
}

/// Everything that can be wrong about a command.
fn spoiled(command: &str) -> Vec<Vec<u8>> {
    let bytes = command.as_bytes();
    let mut all = Vec::new();
    for at in 0..bytes.len() {
        all.push(bytes[..at].to_vec());
        for other in [b' ', 0, b'\r', 0xff, b'9', b'-', b'%'] {
            let mut changed = bytes.to_vec();
            changed[at] = other;
            all.push(changed);
        }
    }
    for more in [
        " ",
        " x",
        " 1",
        " 4294967296",
        " 99999999999999999999999",
        "\0",
        " \u{fc}",
    ] {
        all.push([bytes, more.as_bytes()].concat());
    }
    all.push([bytes, &[b'x'; 2000]].concat());
    all
}

/// Sends it and looks at what is said: complete lines, the first of them a status or a challenge.
fn tried(connection: &mut Connection, command: &[u8]) {
    connection.said.clear();
    connection.send(command);
    connection.send(b"\r\n");
    let shown = command.escape_ascii();
    let said = &connection.said;
    if !connection.ended || !said.is_empty() {
        let begins = ["+OK", "-ERR", "+ "]
            .iter()
            .any(|w| said.starts_with(w.as_bytes()));
        assert!(
            begins && said.ends_with(b"\r\n"),
            "{shown}: {}",
            said.escape_ascii()
        );
    }
    if !connection.ended && said.starts_with(b"+ ") {
        connection.send(b"*\r\n");
    }
}

#[test]
fn whatever_is_wrong_is_answered() {
    let (account, _directory) = account();
    for command in COMMANDS {
        for spoiled in spoiled(command) {
            let mut connection = before_login();
            tried(&mut connection, &spoiled);
            let mut connection = session(&account);
            tried(&mut connection, &spoiled);
            if !connection.ended {
                tried(&mut connection, b"NOOP");
                assert_eq!(connection.said, b"+OK\r\n", "{}", spoiled.escape_ascii());
            }
        }
    }
    assert_eq!(
        holds(&account).matches(',').count(),
        2,
        "nothing is deleted without QUIT"
    );
}

#[test]
fn long_lines_are_skipped() {
    for octets in [254, 255, 256, 257, 3000, 40_000] {
        let (account, _directory) = account();
        let mut connection = session(&account);
        let line = format!("PASS {}\r\nNOOP\r\n", "x".repeat(octets - 5));
        for cut in [1, 100, 255, 256, 257, 258, 2999] {
            connection.said.clear();
            for piece in line.as_bytes().chunks(cut) {
                connection.send(piece);
            }
            let said = String::from_utf8_lossy(&connection.said);
            let expected = match octets > 255 {
                true => "-ERR The line is too long.\r\n+OK\r\n",
                false => "-ERR You are logged in already.\r\n+OK\r\n",
            };
            assert_eq!(said, expected, "{octets} in pieces of {cut}");
        }
    }
}

#[test]
fn nothing_before_tls_counts_behind_it() {
    // As one write of whoever sits in between (RFC 2595 section 2.2).
    let mut connection = before_login();
    connection.send(b"STLS\r\nUSER ann\r\nPASS secret\r\nQUIT\r\n");
    assert_eq!(connection.said, b"+OK Begin TLS negotiation now.\r\n");
    assert!(!connection.ended);
    connection.said.clear();
    connection.send(b"NOOP\r\n");
    assert_eq!(connection.said, b"+OK\r\n");
}
