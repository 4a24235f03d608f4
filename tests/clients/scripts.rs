//! Scripts that use libraries for IMAP.

use crate::left::assert_left;
use crate::support::{PASSWORD, Server, can, python, run, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs `tests/clients/NAME` with the server's ports, the certificate, the user and the password.
fn script(server: &Server, program: &Path, name: &str) {
    let mut command = Command::new(program);
    command
        .arg(beside("tests/clients").join(name))
        .args([server.imap, server.imaps].map(|port| port.to_string()))
        .arg(server.certificate())
        .args(["ann", PASSWORD])
        .env("NODE_PATH", beside("target/node/node_modules"));
    let said = run(&mut command).ok();
    assert!(said.ends_with("all is well\n"), "{said}");
}

#[test]
fn imaplib() {
    let Some(python) = python("imaplib") else {
        return;
    };
    script(&Server::start(""), &python, "with_imaplib.py");
}

#[test]
fn imapclient() {
    let Some(python) = python("imapclient") else {
        return;
    };
    script(&Server::start(""), &python, "with_imapclient.py");
}

#[test]
fn imapclient_with_extensions() {
    let Some(python) = python("imapclient") else {
        return;
    };
    let server = Server::start("");
    script(&server, &python, "with_imapclient_extensions.py");
    let inbox = [
        ("m5", "\\Flagged"),
        ("m7", "\\Deleted"),
        ("m1", "\\Flagged"),
    ];
    assert_left(&server, "INBOX", &inbox);
    assert_left(&server, "Old", &[("m3", "\\Seen"), ("m9", "$Later")]);
    let subscribed = server.imap("ann").ok("LSUB \"\" *").untagged.concat();
    assert!(subscribed.contains("Old"), "{subscribed}");
}

#[test]
fn imapflow() {
    let module = beside("target/node/node_modules/imapflow");
    if !can(&["node"]) || !(module.is_dir() || skip("no imapflow below target/node")) {
        return;
    }
    let server = Server::start("");
    script(&server, Path::new("node"), "with_imapflow.js");
    let inbox = [
        ("two", "\\Flagged"),
        ("four", "\\Answered \\Seen mine"),
        ("large", ""),
        ("six", ""),
    ];
    assert_left(&server, "INBOX", &inbox);
    let kept = [("one", "$Forwarded \\Seen"), ("two", "\\Flagged")];
    assert_left(&server, "Kept", &kept);
}
