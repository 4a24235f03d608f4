//! Dovecot and this server on the same Maildir, one after the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use support::{Dovecot, Imap, Server, account, change, message, skip};

/// Dovecot over the Maildirs of a server that is not running.
fn dovecot(server: &Server) -> Dovecot {
    let owner = fs::metadata(server.maildir("ann")).unwrap();
    let mail = server.data().join("mail");
    Dovecot::start(&server.path("dovecot"), &mail, owner.uid(), owner.gid())
}

#[test]
fn dovecot_opens_what_this_server_wrote() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = Server::start("");
    for number in 0..3 {
        let id = format!("lmtp-{number}@test");
        server.deliver("ann", &message(&id, "delivered", "By LMTP."));
    }
    let mut imap = server.imap("ann");
    change(&mut imap, "work/&ANw-bung", "ours");
    // Delivered while nobody looks, at the end.
    server.deliver("ann", &message("late@test", "delivered", "By LMTP."));
    let ours = account(&mut imap);
    drop(imap);
    assert_eq!(ours.mailboxes["INBOX"].messages.len(), 7, "{ours:#?}");
    assert!(server.stop().success());
    let other = dovecot(&server);
    let theirs = account(&mut other.imap("ann"));
    assert_eq!(ours, theirs);
}

#[test]
fn what_dovecot_wrote_is_opened() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = Server::start("");
    // Makes the directories and their owners.
    server.deliver("ann", &message("first@test", "delivered", "By LMTP."));
    assert!(server.stop().success());
    let other = dovecot(&server);
    change(&mut other.imap("ann"), "work/&ANw-bung", "theirs");
    let theirs = account(&mut other.imap("ann"));
    drop(other);
    assert_eq!(theirs.mailboxes["INBOX"].messages.len(), 4, "{theirs:#?}");

    // With an index that knows less than the files, and with none at all.
    for without_index in [false, true] {
        if without_index {
            fs::remove_dir_all(server.data().join("index")).unwrap();
        }
        server.again();
        let ours = account(&mut server.imap("ann"));
        assert_eq!(theirs, ours, "without index: {without_index}");
        assert!(server.stop().success());
    }

    // And on it goes here, and back there.
    server.again();
    change(&mut server.imap("ann"), "again", "ours");
    let ours = account(&mut server.imap("ann"));
    assert!(server.stop().success());
    let other = dovecot(&server);
    assert_eq!(ours, account(&mut other.imap("ann")));
}

/// Reads until that is told, without asking.
fn told(imap: &mut Imap, what: &str) -> String {
    loop {
        let said = imap.response().unwrap();
        if said.contains(what) {
            return said;
        }
    }
}

#[test]
fn what_dovecot_does_beside_is_noticed() {
    const LDA: &str = "/usr/lib/dovecot/dovecot-lda";
    if !Dovecot::possible() {
        return;
    }
    let server = Server::start("");
    for number in 1..=3 {
        let id = format!("{number}@test");
        server.deliver("ann", &message(&id, "delivered", "By LMTP."));
    }
    let mut idle = server.imap("ann");
    idle.ok("SELECT INBOX");
    let mut asking = server.imap("ann");
    asking.ok("SELECT INBOX");
    idle.send(b"i IDLE\r\n").unwrap();
    told(&mut idle, "+ ");
    let dovecot = dovecot(&server);
    let mut theirs = dovecot.imap("ann");
    theirs.ok("SELECT INBOX");
    let mut both = |what: &str, fields: &[&str]| {
        let said = told(&mut idle, what);
        let answer = asking.ok("NOOP");
        let found = answer.untagged.iter().find(|said| said.contains(what));
        let found = found.unwrap_or_else(|| panic!("{what}: {answer:?}"));
        for field in fields {
            assert!(
                said.contains(field) && found.contains(field),
                "{said} {found}"
            );
        }
    };
    theirs.ok("UID STORE 2 +FLAGS (\\Flagged $Label1)");
    both("2 FETCH ", &["\\Flagged", "$Label1"]);
    theirs
        .append("INBOX", "\\Seen", &message("4@test", "theirs", "Text."))
        .unwrap();
    both("4 EXISTS", &[]);
    if fs::metadata(LDA).is_ok() {
        let mut lda = Command::new(LDA)
            .args(["-d", "ann", "-c"])
            .arg(server.path("dovecot/dovecot.conf"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = message("5@test", "by lda", "Text.");
        lda.stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(lda.wait().unwrap().success());
    } else {
        skip("no dovecot-lda");
        theirs
            .append("INBOX", "", &message("5@test", "theirs", "Text."))
            .unwrap();
    }
    both("5 EXISTS", &[]);
    server.deliver("ann", &message("6@test", "delivered", "By LMTP."));
    both("6 EXISTS", &[]);
    theirs.ok("UID STORE 1 +FLAGS (\\Deleted)");
    theirs.ok("EXPUNGE");
    both("1 EXPUNGE", &[]);
    // Both have given the same UIDs.
    theirs.ok("NOOP");
    let ours = asking.list("1:*").unwrap();
    assert_eq!(ours, theirs.list("1:*").unwrap());
    let ids: Vec<&str> = ours.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids, ["2@test", "3@test", "4@test", "5@test", "6@test"]);
}
