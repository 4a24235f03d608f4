//! Passwords for single programs, and users who log in as others.

use super::login::add;
use super::lookups::{asked, listener};
use crate::support::{Imap, PASSWORD, Pop3, Server, run};
use std::os::unix::net::UnixStream;

/// Runs a command for that server; what it printed.
fn told(server: &Server, words: &[&str]) -> String {
    run(&mut server.command(words)).ok()
}

/// A new app password, and its id.
fn made(server: &Server, words: &[&str]) -> (String, String) {
    let told = told(server, &[&["user", "app-password", "add"], words].concat());
    let id = told.split(' ').nth(2).unwrap().to_owned();
    (told.lines().nth(1).unwrap().to_owned(), id)
}

fn imap(server: &Server, user: &str, password: &str) -> bool {
    let mut imap = Imap::connect(server.imap).unwrap();
    let status = imap.command(&format!("LOGIN \"{user}\" \"{password}\""));
    status.unwrap().status.starts_with("OK")
}

fn pop3(server: &Server, user: &str, password: &str) -> bool {
    let mut pop3 = Pop3::connect(server.pop3).unwrap();
    pop3.login(user, password).unwrap().starts_with("+OK")
}

const QUICK: &str = "[limits]\nlogin_failure_delay = \"1ms\"\nlogin_failure_delay_max = \"1ms\"\n";

fn smtp(stream: &UnixStream, id: u32, response: &[u8]) -> String {
    let response = data_encoding::BASE64.encode(response);
    let auth = format!("AUTH\t{id}\tPLAIN\tservice=smtp\tresp={response}\n");
    asked(stream, &auth, "").pop().unwrap()
}

#[test]
fn app_passwords_serve_in_their_scope_until_they_are_deleted() {
    let mut server = Server::start(&format!("{}{QUICK}", listener("dovecot-auth", "")));
    let stream = UnixStream::connect(server.path("dovecot-auth")).unwrap();
    asked(&stream, "VERSION\t1\t1\nCPID\t1\n", "DONE");
    let (phone, id) = made(&server, &["Ann", "--for", "imap", "--label", "phone"]);
    let (sender, _) = made(&server, &["ann", "--for", "smtp,pop3"]);
    assert!(imap(&server, "ann", &phone) && imap(&server, "ANN", &phone.to_uppercase()));
    assert!(!pop3(&server, "ann", &phone) && !imap(&server, "bob", &phone));
    assert!(pop3(&server, "ann", &sender) && !imap(&server, "ann", &sender));
    let plain = |authzid: &str, password: &str| format!("{authzid}\0ann\0{password}").into_bytes();
    assert_eq!(smtp(&stream, 1, &plain("", &sender)), "OK\t1\tuser=ann");
    assert!(smtp(&stream, 2, &plain("", &phone)).starts_with("FAIL\t2"));
    assert!(smtp(&stream, 3, &plain("bob", &sender)).starts_with("FAIL\t3"));
    assert!(imap(&server, "ann", PASSWORD));
    server.wait_for_log(
        &format!("ann logged in from 127.0.0.1 with the app password {id}"),
        2,
    );
    told(&server, &["user", "app-password", "delete", "ann", &id]);
    assert!(!imap(&server, "ann", &phone) && pop3(&server, "ann", &sender));
    // Only a digest lies there, and when each was used.
    let (other, _) = made(&server, &["ann"]);
    assert!(imap(&server, "ann", &other));
    server.stop();
    let stored = std::fs::read_to_string(server.data().join("app-passwords")).unwrap();
    for secret in [&sender, &other] {
        assert!(!stored.contains(&secret.replace('-', "")));
    }
    assert_eq!(stored.lines().count(), 2);
    for line in stored.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        // Made and used on one day, unless it was midnight.
        assert!(fields[6].len() == 10 && fields[6] >= fields[4], "{line}");
    }
}

#[test]
fn master_users_log_in_as_others_with_their_own_passwords() {
    let settings = format!(
        "{}[auth]\nmaster_users = [\"root\"]\n{QUICK}",
        listener("dovecot-auth", "")
    );
    let server = Server::start(&settings);
    add(&server, "root");
    server.deliver("ann", "Subject: for ann\r\n\r\n");
    let mut session = Imap::connect(server.imap).unwrap();
    session.ok(&format!("LOGIN \"Ann*root\" \"{PASSWORD}\""));
    assert!(session.ok("SELECT INBOX").find("1 EXISTS").is_some());
    assert!(pop3(&server, "ann*root", PASSWORD));
    server.wait_for_log("ann logged in from 127.0.0.1 by the master user root", 2);
    for (name, password) in [
        ("ann*root", "wrong"),
        ("ann*bob", PASSWORD),
        ("nobody*root", PASSWORD),
        ("*root", PASSWORD),
    ] {
        assert!(!imap(&server, name, password), "{name}");
    }
    server.wait_for_log("auth: passwd-file(nobody,127.0.0.1): unknown user", 1);
    let stream = UnixStream::connect(server.path("dovecot-auth")).unwrap();
    asked(&stream, "VERSION\t1\t1\nCPID\t1\n", "DONE");
    let plain = |authzid: &str, user: &str| format!("{authzid}\0{user}\0{PASSWORD}").into_bytes();
    assert_eq!(smtp(&stream, 1, &plain("ann", "root")), "OK\t1\tuser=ann");
    assert_eq!(smtp(&stream, 2, &plain("", "root")), "OK\t2\tuser=root");
    assert!(smtp(&stream, 3, &plain("ann", "bob")).starts_with("FAIL\t3"));
    assert!(smtp(&stream, 4, &plain("nobody", "root")).starts_with("FAIL\t4"));
}
