//! swaks delivers.

use crate::support::{Server, can, run};
use std::process::Command;

#[test]
fn swaks_delivers_to_the_unix_socket() {
    if !can(&["swaks"]) {
        return;
    }
    let server = Server::start("");
    let swaks = |to: &str| {
        let mut command = Command::new("swaks");
        command
            .args(["--protocol", "LMTP", "--socket"])
            .arg(server.socket())
            .args(["--from", "sender@example.net", "--to", to])
            .args([
                "--header",
                "Subject: by swaks",
                "--body",
                "A line.\\n.\\nAnother.",
            ]);
        run(&mut command)
    };
    swaks("ann,bob@example.org").ok();
    for user in ["ann", "bob"] {
        let mut imap = server.imap(user);
        imap.ok("SELECT INBOX");
        let body = imap.ok("FETCH 1 BODY.PEEK[TEXT]").untagged.concat();
        assert!(body.contains("A line.\r\n.\r\nAnother."), "{body}");
        let found = imap.ok("SEARCH SUBJECT swaks");
        assert_eq!(found.untagged, ["SEARCH 1"]);
    }
    let refused = swaks("nobody@example.org");
    assert!(!refused.status.success());
    assert!(refused.stdout.contains("550 5.1.1"), "{}", refused.stdout);
}
