//! curl reads, searches and appends.

use crate::support::{Finished, PASSWORD, Server, can, message, run};
use std::fs;
use std::process::Command;

/// What curl prints for a URL behind `imap://localhost:PORT/` or `imaps://`.
struct Curl<'a> {
    server: &'a Server,
    /// Words that choose the way: TLS or not.
    words: Vec<String>,
    base: String,
}

impl<'a> Curl<'a> {
    fn plain(server: &'a Server) -> Curl<'a> {
        Curl::new(server, &[], format!("imap://127.0.0.1:{}", server.imap))
    }

    fn starttls(server: &'a Server) -> Curl<'a> {
        Curl::secured(server, format!("imap://localhost:{}", server.imap))
    }

    fn implicit(server: &'a Server) -> Curl<'a> {
        Curl::secured(server, format!("imaps://localhost:{}", server.imaps))
    }

    /// Trusts just the certificate that the server made.
    fn secured(server: &'a Server, base: String) -> Curl<'a> {
        let certificate = server.certificate().display().to_string();
        Curl::new(server, &["--ssl-reqd", "--cacert", &certificate], base)
    }

    fn new(server: &'a Server, words: &[&str], base: String) -> Curl<'a> {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        Curl {
            server,
            words,
            base,
        }
    }

    fn run(&self, path: &str, words: &[&str]) -> Finished {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args(["--user", &format!("ann:{PASSWORD}")])
            .args(&self.words)
            .args(words)
            .arg(format!("{}/{path}", self.base))
            .current_dir(self.server.path(""));
        run(&mut command)
    }

    fn ok(&self, path: &str, words: &[&str]) -> String {
        self.run(path, words).ok()
    }
}

#[test]
fn curl_reads_and_appends() {
    if !can(&["curl"]) {
        return;
    }
    let server = Server::start("");
    let first = message("one@test", "first of all", "Hello from LMTP.");
    server.deliver("ann", &first);
    for (number, curl) in [
        Curl::plain(&server),
        Curl::starttls(&server),
        Curl::implicit(&server),
    ]
    .iter()
    .enumerate()
    {
        assert!(curl.ok("", &[]).contains("INBOX"));
        let got = curl.ok("INBOX;UID=1", &[]);
        assert!(got.ends_with(&first), "{got}");
        assert!(
            got.starts_with("Return-Path: <sender@example.net>\r\n"),
            "{got}"
        );
        assert_eq!(
            curl.ok("INBOX;UID=1;SECTION=TEXT", &[]),
            "Hello from LMTP.\r\n"
        );
        let found = curl.ok("INBOX?SUBJECT%20%22first%20of%22", &[]);
        assert_eq!(found.trim_end(), "* SEARCH 1");
        let id = format!("curl-{number}@test");
        fs::write(server.path("up"), message(&id, "appended", "From curl.")).unwrap();
        curl.ok("Sent", &["--upload-file", "up"]);
        let sent = curl.ok("Sent?ALL", &[]);
        let expected = ["1", "1 2", "1 2 3"][number];
        assert_eq!(sent.trim_end(), format!("* SEARCH {expected}"));
    }
    let curl = Curl::plain(&server);
    let stored = curl.ok("Sent", &["--request", "STORE 2 +FLAGS (\\Deleted)"]);
    assert!(stored.contains("\\Deleted"), "{stored}");
    assert_eq!(
        curl.ok("Sent", &["--request", "EXPUNGE"]).trim_end(),
        "* 2 EXPUNGE"
    );
    let mut imap = server.imap("ann");
    imap.ok("SELECT Sent");
    let ids: Vec<String> = imap
        .list("1:*")
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    assert_eq!(ids, ["curl-0@test", "curl-2@test"]);
    let wrong = curl.run("", &["--user", "ann:wrong"]);
    assert_eq!(wrong.status.code(), Some(67), "{wrong:?}");
}
