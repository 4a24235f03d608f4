//! Programs that fetch mail by POP3.

use crate::support::{Finished, PASSWORD, Server, can, message, python, run, wait_until};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const BODIES: [&str; 3] = ["First.", ".\r\n..dots\r\n.", "Third, \u{fc}ber alles."];

/// A server with three messages for ann, as they were sent.
fn server() -> (Server, Vec<String>) {
    let server = Server::start("");
    let mut sent = Vec::new();
    for (number, body) in BODIES.iter().enumerate() {
        let text = message(&format!("pop-{number}@test"), "pop", body);
        server.deliver("ann", &text);
        sent.push(text);
    }
    (server, sent)
}

fn private(server: &Server, name: &str, text: &str) -> String {
    let path = server.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// UIDs and flags that INBOX is left with.
fn left(server: &Server) -> String {
    let mut imap = server.imap("ann");
    imap.ok("EXAMINE INBOX");
    let messages = imap.list("1:*").unwrap();
    let shown = messages
        .iter()
        .map(|m| format!("{} {}", m.uid, m.flags.join(" ")));
    shown.collect::<Vec<_>>().join(",")
}

/// Everything that a program put into a Maildir or an mbox, without the fields that it added.
fn assert_fetched(files: &[String], sent: &[String]) {
    assert_eq!(files.len(), sent.len(), "{files:#?}");
    for text in sent {
        let text = text.replace("\r\n", "\n");
        let found = files
            .iter()
            .any(|file| file.replace("\r\n", "\n").contains(&text));
        assert!(found, "{text}\n{files:#?}");
    }
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let read = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    read.collect()
}

#[test]
fn curl_reads_and_deletes() {
    if !can(&["curl"]) {
        return;
    }
    let (server, sent) = server();
    let certificate = server.certificate().display().to_string();
    let curl = |url: String, words: &[&str]| -> Finished {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "20",
                "--cacert",
                &certificate,
            ])
            .args(["--user", &format!("ann:{PASSWORD}")])
            .args(words)
            .arg(url);
        run(&mut command)
    };
    let (plain, secure) = (server.pop3, server.pop3s);
    for (base, words) in [
        (format!("pop3://127.0.0.1:{plain}"), &[][..]),
        (format!("pop3://localhost:{plain}"), &["--ssl-reqd"]),
        (
            format!("pop3s://localhost:{secure}"),
            &["--sasl-ir", "--login-options", "AUTH=PLAIN"],
        ),
        (
            format!("pop3s://localhost:{secure}"),
            &["--login-options", "AUTH=LOGIN"],
        ),
        (
            format!("pop3s://localhost:{secure}"),
            &["--login-options", "AUTH=*"],
        ),
    ] {
        let list = curl(format!("{base}/"), words).ok();
        assert_eq!(list.lines().count(), 3, "{list}");
        for (number, text) in (1..).zip(&sent) {
            let got = curl(format!("{base}/{number}"), words).ok();
            assert!(got.ends_with(text.as_str()), "{got}");
            let octets = list.lines().nth(number - 1).unwrap();
            assert_eq!(octets, format!("{number} {}", got.len()));
        }
        let uidl = curl(
            format!("{base}/"),
            &[words, &["--request", "UIDL"]].concat(),
        )
        .ok();
        assert_eq!(uidl.lines().count(), 3, "{uidl}");
        let top = curl(
            format!("{base}/"),
            &[words, &["--request", "TOP 2 1"]].concat(),
        )
        .ok();
        assert!(top.ends_with("\r\n\r\n.\r\n"), "{top}");
    }
    let base = format!("pop3s://localhost:{secure}");
    curl(format!("{base}/2"), &["--request", "DELE", "--list-only"]).ok();
    assert_eq!(left(&server), "1 \\Seen,3 \\Seen");
    let wrong = curl(format!("{base}/"), &["--user", "ann:wrong"]);
    assert_eq!(wrong.status.code(), Some(67), "{wrong:?}");
}

#[test]
fn poplib() {
    let Some(python) = python("poplib") else {
        return;
    };
    let (server, _) = server();
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/with_poplib.py"))
        .args([server.pop3, server.pop3s].map(|port| port.to_string()))
        .arg(server.certificate())
        .args(["ann", PASSWORD]);
    let said = run(&mut command).ok();
    assert!(said.ends_with("all is well\n"), "{said}");
    assert_eq!(left(&server), "1 \\Seen,3 ");
}

#[test]
fn fetchmail_keeps_and_then_fetches_all() {
    if !can(&["fetchmail"]) {
        return;
    }
    let (server, sent) = server();
    let into = server.path("fetched");
    fs::create_dir(&into).unwrap();
    let certificate = server.certificate().display().to_string();
    let rc = |name: &str, how: &str| {
        let text = format!(
            "poll localhost protocol pop3 uidl {how}\n  \
             mda \"cat > $(mktemp {}/XXXXXXXX)\"\n",
            into.display()
        );
        private(&server, name, &text)
    };
    let ids = server.path("ids").display().to_string();
    let fetch = |rc: &str, words: &[&str]| {
        let mut command = Command::new("fetchmail");
        command
            .env("FETCHMAILHOME", server.path(""))
            .env("HOME", server.path(""))
            .env("SSL_CERT_FILE", &certificate)
            .args(["--fetchmailrc", rc, "--idfile", &ids, "--pidfile"])
            .arg(server.path("fetchmail.pid"))
            .args(["--nosyslog", "--nodetach"])
            .args(words);
        run(&mut command)
    };
    // First with TLS that begins later, and everything stays.
    let user = format!("user ann password {PASSWORD}");
    let starttls = format!("service {} {user} sslproto \"TLS1.2+\"", server.pop3);
    let keep = rc("keep", &starttls);
    let kept = fetch(&keep, &["--keep", "--verbose"]);
    assert_eq!(kept.status.code(), Some(0), "{kept:#?}");
    assert_fetched(&files(&into), &sent);
    // Nothing is new: it knows them by their unique-ids.
    let again = fetch(&keep, &["--keep"]);
    assert_eq!(again.status.code(), Some(1), "{again:#?}");
    assert_eq!(files(&into).len(), 3);
    // A message more, over TLS from the start; then all go.
    server.deliver("ann", &message("late@test", "late", "Late."));
    let tls = rc("tls", &format!("service {} {user}", server.pop3s));
    let rest = fetch(&tls, &["--ssl", "--all", "--nokeep"]);
    assert_eq!(rest.status.code(), Some(0), "{rest:#?}");
    assert_eq!(files(&into).len(), 7);
    assert_eq!(left(&server), "");
}

#[test]
fn getmail_knows_what_it_has() {
    if !can(&["getmail"]) {
        return;
    }
    let (server, mut sent) = server();
    let into = server.path("fetched");
    fs::create_dir(&into).unwrap();
    fs::create_dir_all(server.path("getmail")).unwrap();
    let rc = private(
        &server,
        "getmail/getmailrc",
        &format!(
            "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {}\nusername = ann\n\
             password = {PASSWORD}\nca_certs = {}\n[destination]\ntype = MDA_external\npath = /bin/sh\n\
             arguments = (\"-c\", \"cat > $(mktemp {}/XXXXXXXX)\")\nallow_root_commands = true\n\
             [options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n",
            server.pop3s,
            server.certificate().display(),
            into.display()
        ),
    );
    let fetch = |words: &[&str]| {
        let mut command = Command::new("getmail");
        command
            .env("HOME", server.path(""))
            .arg("--getmaildir")
            .arg(server.path("getmail"))
            .args(["--rcfile", &rc])
            .args(words);
        run(&mut command)
    };
    let first = fetch(&[]).ok();
    assert_fetched(&files(&into), &sent);
    assert!(first.contains("3 messages"), "{first}");
    let late = message("late@test", "late", "Late.");
    server.deliver("ann", &late);
    fetch(&["--delete"]).ok();
    sent.push(late);
    assert_fetched(&files(&into), &sent);
    wait_until("the end", || left(&server).is_empty().then_some(()));
}

#[test]
fn mpop_pipelines() {
    if !can(&["mpop"]) {
        return;
    }
    let (server, mut sent) = server();
    let into = server.path("fetched");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(into.join(part)).unwrap();
    }
    let rc = |name: &str, port: u16, how: &str| {
        let text = format!(
            "defaults\ntls on\ntls_trust_file {}\nuidls_file {}\ndelivery maildir {}\n\
             received_header off\naccount a\nhost localhost\nport {port}\nuser ann\npassword {PASSWORD}\n{how}\n\
             account default : a\n",
            server.certificate().display(),
            server.path("uidls").display(),
            into.display()
        );
        private(&server, name, &text)
    };
    let fetch = |rc: &str| {
        let mut command = Command::new("mpop");
        command.args(["--file", rc]).env("HOME", server.path(""));
        run(&mut command).ok()
    };
    let keep = rc(
        "keep",
        server.pop3,
        "tls_starttls on\nkeep on\nauth plain\npipelining on",
    );
    fetch(&keep);
    assert_fetched(&files(&into.join("new")), &sent);
    fetch(&keep);
    assert_eq!(files(&into.join("new")).len(), 3);
    let late = message("late@test", "late", "Late.");
    server.deliver("ann", &late);
    sent.push(late);
    fetch(&rc(
        "all",
        server.pop3s,
        "tls_starttls off\nkeep off\nauth user",
    ));
    assert_fetched(&files(&into.join("new")), &sent);
    assert_eq!(left(&server), "");
}
