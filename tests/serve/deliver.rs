//! `dovelet deliver`: through the server, by LMTP, and alone.

use crate::support::{Finished, Imap, Server, Start, is_root, line, message, skip};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// Runs it with the message on its standard input, as root or as that account.
fn deliver(server: &Server, uid: Option<u32>, words: &[&str], text: &[u8]) -> Finished {
    let mut command = server.command(&["deliver"]);
    command.args(words);
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses does not read all of it.
    child.stdin.take().unwrap().write_all(text).ok();
    let output = child.wait_with_output().unwrap();
    Finished {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn lf(id: &str, body: &str) -> Vec<u8> {
    message(id, "from a program", body)
        .replace("\r\n", "\n")
        .into_bytes()
}

fn bodies(imap: &mut Imap, mailbox: &str) -> String {
    imap.ok(&format!("SELECT {mailbox}"));
    imap.ok("FETCH 1:* BODY.PEEK[]").untagged.concat()
}

fn server(settings: &str) -> Server {
    Server::with(Start {
        settings,
        users: line("ann", Some(4711)) + &line("bob", None),
        ..Start::default()
    })
}

#[test]
fn a_running_server_files_it() {
    for settings in [
        "isolation = \"user\"\n[limits]\nmessage_octets = 300000\n",
        "isolation = \"shared\"\n[storage]\nformat = \"mdbox\"\n[limits]\nmessage_octets = 300000\n",
    ] {
        let server = server(settings);
        let mut imap = server.imap("ann");
        imap.ok("CREATE lists");
        let words = ["-d", "ann", "-f", "s@x", "-a", "ann+x@y"];
        let done = deliver(&server, None, &words, &lf("1@test", "one\n.\n..\n"));
        assert_eq!((done.status.code(), done.stderr.as_str()), (Some(0), ""));
        let got = bodies(&mut imap, "INBOX");
        let begin = "Return-Path: <s@x>\r\nDelivered-To: ann+x@y\r\nFrom: Sender";
        assert!(got.contains(begin), "{got}");
        assert!(got.contains("\r\n\r\none\r\n.\r\n..\r\n\r\n"), "{got}");
        // A mailbox, as an option and as an address; a large message, from a file.
        let large = lf("2@test", &"0123456789\n".repeat(20_000));
        fs::write(server.path("large"), &large).unwrap();
        let file = server.path("large").display().to_string();
        let done = deliver(
            &server,
            None,
            &["-e", "-d", "ann", "-m", "lists", "-p", &file],
            b"",
        );
        assert_eq!((done.status.code(), done.stderr.as_str()), (Some(0), ""));
        let mbox = [
            b"From q@x Thu Nov 26 03:43:21 2026\n".to_vec(),
            lf("3@test", "three"),
        ]
        .concat();
        let done = deliver(&server, None, &["-d", "ann+lists@example.org"], &mbox);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let got = bodies(&mut imap, "lists");
        assert_eq!(got.matches("0123456789\r\n").count(), 20_000);
        assert!(got.contains("Return-Path: <q@x>\r\nFrom: Sender"));
        for (words, text, code, told) in [
            (&["-d", "nobody"][..], lf("4@test", "x"), 67, "no such user"),
            (
                &["-e", "-d", "ann"],
                [large.clone(), large].concat(),
                77,
                "too large",
            ),
            (&["-d", "ann"], Vec::new(), 65, "there is no message"),
            (&["-x"], Vec::new(), 64, "unknown option -x"),
            (
                &["-d", "ann", "-p", "/nonexistent"],
                Vec::new(),
                75,
                "/nonexistent",
            ),
            (
                &["-d", "ann", "--config", "/nonexistent"],
                Vec::new(),
                75,
                "/nonexistent",
            ),
        ] {
            let done = deliver(&server, None, words, &text);
            assert_eq!(done.status.code(), Some(code), "{words:?} {done:?}");
            assert!(done.stderr.contains(told), "{words:?} {done:?}");
        }
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 1);
    }
}

#[test]
fn who_may_not_ask_the_server_goes_by_lmtp() {
    if !is_root() && !skip("not root: nobody else can be tried") {
        return;
    }
    let server = server("[limits]\nmessage_octets = 300000\n");
    let mut imap = server.imap("ann");
    imap.ok("CREATE lists");
    let stranger = Some(4712);
    let done = deliver(
        &server,
        stranger,
        &["-d", "ann", "-m", "lists", "-f", ""],
        &lf("1@test", "one\n.\n..\n"),
    );
    assert_eq!((done.status.code(), done.stderr.as_str()), (Some(0), ""));
    let got = bodies(&mut imap, "lists");
    assert!(got.contains("Return-Path: <>\r\n"), "{got}");
    assert!(got.contains("\r\n\r\none\r\n.\r\n..\r\n\r\n"), "{got}");
    // Who cannot read who there is, too.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(server.path("users"), fs::Permissions::from_mode(0o600)).unwrap();
    let large = lf("2@test", &"0123456789\n".repeat(20_000));
    let done = deliver(&server, stranger, &["-d", "ann"], &large);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(
        bodies(&mut imap, "INBOX").matches("0123456789\r\n").count(),
        20_000
    );
    let done = deliver(&server, stranger, &["-d", "nobody"], &lf("3@test", "x"));
    assert_eq!(done.status.code(), Some(67), "{done:?}");
    let done = deliver(
        &server,
        stranger,
        &["-e", "-d", "ann"],
        &[large.clone(), large].concat(),
    );
    assert_eq!(done.status.code(), Some(77), "{done:?}");
    assert!(done.stderr.contains("too large"), "{done:?}");
}

#[test]
fn without_a_server_it_files_by_itself() {
    for settings in [
        "",
        "isolation = \"shared\"\n[storage]\nformat = \"mdbox\"\n",
    ] {
        let mut server = server(settings);
        server.stop();
        for user in ["ann", "bob"] {
            for number in 0..2 {
                let text = lf(&format!("{number}@test"), "alone");
                let done = deliver(&server, None, &["-d", user, "-f", "s@x"], &text);
                assert_eq!((done.status.code(), done.stderr.as_str()), (Some(0), ""));
            }
        }
        // Those that come at once wait for each other.
        std::thread::scope(|scope| {
            for number in 2..6 {
                for user in ["ann", "bob"] {
                    let server = &server;
                    scope.spawn(move || {
                        let text = lf(&format!("{number}@test"), "alone");
                        let done = deliver(server, None, &["-d", user, "-f", "s@x"], &text);
                        assert_eq!(done.status.code(), Some(0), "{done:?}");
                    });
                }
            }
        });
        // Without any users nothing is known of anybody.
        let users = fs::read(server.path("users")).unwrap();
        fs::write(server.path("users"), "").unwrap();
        let nobody = deliver(&server, None, &["-d", "ann"], b"a: b\n");
        assert_eq!(nobody.status.code(), Some(75), "{nobody:?}");
        let told = &nobody.stderr;
        assert!(told.contains("there are no users here; "), "{told}");
        fs::write(server.path("users"), users).unwrap();
        let nobody = deliver(&server, None, &["-d", "nobody"], b"a: b\n");
        assert_eq!(nobody.status.code(), Some(67), "{nobody:?}");
        server.again();
        for user in ["ann", "bob"] {
            let mut imap = server.imap(user);
            let got = bodies(&mut imap, "INBOX");
            assert_eq!(
                got.matches("Return-Path: <s@x>\r\nFrom: ").count(),
                6,
                "{got}"
            );
            assert!(got.contains("\r\n\r\nalone\r\n"), "{got}");
        }
        // Whom the files belong to is who can read them: the next delivery finds the same place.
        let text = lf("3@test", "again");
        let done = deliver(&server, None, &["-d", "ann"], &text);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert_eq!(
            bodies(&mut server.imap("ann"), "INBOX")
                .matches("Message-ID")
                .count(),
            7
        );
    }
}
