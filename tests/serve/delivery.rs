//! What LMTP answers when a message cannot be taken, and that nothing of it stays.

use crate::support::{Lmtp, Server, Start, is_root, line, message, run, skip, wait_until};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A file system of so many KiB that goes away with the value.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, kib: u32) -> Small {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={kib}k,mode=755");
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &options, "small"])
            .arg(at);
        run(&mut command).ok();
        Small(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Also while somebody has files open there.
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn files(maildir: &Path) -> usize {
    let count = |part: &str| fs::read_dir(maildir.join(part)).map_or(0, Iterator::count);
    ["new", "cur", "tmp"].into_iter().map(count).sum()
}

fn large(id: &str) -> String {
    message(id, "large", &"0123456789\r\n".repeat(8000))
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost_or_left() {
    if !is_root() && !skip("not root: no small file system can be mounted") {
        return;
    }
    for isolation in ["user", "shared"] {
        // Names without accounts: a reserved number owns the mail.
        let settings = format!(
            "isolation = \"{isolation}\"\n[storage]\npath = \"{{directory}}/small/{{user}}\"\n\
             [process]\nuser = \"none-a\"\n"
        );
        let server = Server::with(Start {
            settings: &settings,
            users: line("ann", None) + &line("bob", None),
            files: Vec::new(),
            ..Start::default()
        });
        let small = server.path("small");
        let _mounted = Small::mount(&small.join("ann"), 512);
        let owner = Some(61_143);
        std::os::unix::fs::chown(small.join("ann"), owner, owner).unwrap();
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let mut delivered = 0;
        let full = loop {
            let text = large(&format!("{delivered}@test"));
            let reply = lmtp.transaction(&["ann"], &text, true).unwrap().remove(0);
            if !reply.starts_with("250") {
                break reply;
            }
            delivered += 1;
            assert!(delivered < 20, "it does not get full");
        };
        assert!(delivered > 0, "{full}\n{}", server.log());
        assert!(full.starts_with("452 4.3.1"), "{full}\n{}", server.log());
        assert_eq!(files(&small.join("ann")), delivered);
        // Who has room gets the same message.
        let replies = lmtp.transaction(&["ann", "bob"], &large("both@test"), true);
        let codes: Vec<String> = replies.unwrap().iter().map(|r| r[..3].to_owned()).collect();
        assert_eq!(codes, ["452", "250"]);
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let refused = imap
            .append("INBOX", "", &large("append@test"))
            .unwrap()
            .status;
        assert!(refused.starts_with("NO [OVERQUOTA]"), "{refused}");
        assert_eq!(imap.list("1:*").unwrap().len(), delivered);
        // Room is made, and it goes on.
        imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
        imap.ok("EXPUNGE");
        let replies = lmtp
            .transaction(&["ann"], &large("again@test"), true)
            .unwrap();
        assert!(
            replies[0].starts_with("250"),
            "{replies:?}\n{}",
            server.log()
        );
        imap.ok("NOOP");
        let last = imap.list("1:*").unwrap().pop().unwrap();
        assert_eq!(last.id, "again@test");
    }
}

#[test]
fn trouble_of_one_recipient_is_not_that_of_others() {
    let server = Server::start("isolation = \"user\"\n");
    server.deliver("bob", &message("0@test", "x", "x"));
    // A file where a directory should be.
    fs::create_dir_all(server.data().join("mail")).unwrap();
    fs::write(server.maildir("ann"), "not a directory").unwrap();
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let text = message("a@test", "x", "x");
    let replies = lmtp
        .transaction(&["bob", "nobody", "ann", "bob"], &text, true)
        .unwrap();
    let codes: Vec<&str> = replies.iter().map(|r| &r[..9]).collect();
    assert_eq!(codes, ["250 2.0.0", "550 5.1.1", "451 4.3.0", "250 2.0.0"]);
    fs::remove_file(server.maildir("ann")).unwrap();
    // The sender tries again, as 451 asks for.
    let mut tries = 0;
    while !lmtp.transaction(&["ann"], &text, true).unwrap()[0].starts_with("250") {
        tries += 1;
        assert!(tries < 40, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
}

#[test]
fn only_a_dot_between_two_crlf_ends_a_message() {
    let server = Server::start("");
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let smuggled = "MAIL FROM:<evil@x>\r\nRCPT TO:<bob>\r\nDATA\r\nSubject: evil\r\n";
    let ends = ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r", "\r.\r"];
    for end in ends {
        for line in ["MAIL FROM:<a@b>", "RCPT TO:<ann>", "DATA"] {
            assert!(lmtp.command(line).unwrap().starts_with(['2', '3']));
        }
        let body = format!("Subject: honest\r\n\r\nText{end}{smuggled}\r\n.\r\n");
        lmtp.send(body.as_bytes()).unwrap();
        let delivered = lmtp.reply().unwrap();
        let id = delivered.strip_prefix("250 2.0.0 Delivered, id ").unwrap();
        server.wait_for_log(&format!(", id=<{id}>"), 1);
        assert_eq!(lmtp.command("NOOP").unwrap(), "250 2.0.0 OK", "{end:?}");
    }
    let mut ann = server.imap("ann");
    ann.ok("SELECT INBOX");
    for (at, _) in ends.iter().enumerate() {
        let body = ann
            .ok(&format!("FETCH {} BODY.PEEK[]", at + 1))
            .untagged
            .concat();
        assert!(body.contains("evil@x"), "{body}");
    }
    let mut bob = server.imap("bob");
    assert!(
        bob.ok("SELECT INBOX")
            .untagged
            .contains(&"0 EXISTS".to_owned())
    );
}

/// A client that goes away in the middle leaves nothing, and nobody waits for it.
#[test]
fn an_unfinished_message_leaves_nothing() {
    let server = Server::start("");
    for cut in [0, 1, 3] {
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        for line in ["MAIL FROM:<a@b>", "RCPT TO:<ann>", "RCPT TO:<bob>", "DATA"] {
            assert!(lmtp.command(line).unwrap().starts_with(['2', '3']));
        }
        let text = large("a@test") + &".\r\n"[..cut.min(2)];
        lmtp.send(text.as_bytes()).unwrap();
    }
    server.deliver("ann", &message("whole@test", "x", "x"));
    let mut ann = server.imap("ann");
    ann.ok("SELECT INBOX");
    assert_eq!(ann.list("1:*").unwrap().len(), 1);
    if is_root() || server.maildir("ann").is_dir() {
        crate::support::wait_until("the drafts to be gone", || {
            (files(&server.maildir("ann")) == 1).then_some(())
        });
    }
}

/// How often a process waited so far.
fn waits(pid: i32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn the_next_message_goes_the_way_of_the_one_before() {
    let mut server = Server::start("");
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let mut number = 0;
    let mut told: Vec<String> = Vec::new();
    let mut deliver = |lmtp: &mut Lmtp| {
        number += 1;
        let text = message(&number.to_string(), "next", "Text.");
        let reply = lmtp.transaction(&["ann"], &text, true).unwrap().remove(0);
        if reply.starts_with("250 ") {
            told.push(number.to_string());
        }
        reply
    };
    assert!(deliver(&mut lmtp).starts_with("250 "));
    let (parent, auth) = (server.role("parent")[0].pid, server.role("auth")[0].pid);
    let before = [waits(parent), waits(auth)];
    for _ in 0..100 {
        assert!(deliver(&mut lmtp).starts_with("250 "));
    }
    for (pid, before) in [(parent, before[0]), (auth, before[1])] {
        let more = waits(pid) - before;
        assert!(more < 50, "{more} times for 100 messages");
    }
    // Who waited for the next message is gone: another engine gets it.
    let engine = server.role("engine").remove(0);
    engine.signal(Signal::KILL);
    wait_until("another engine", || {
        deliver(&mut lmtp).starts_with("250 ").then_some(())
    });
    // Nobody delivers to a user that was known a moment ago.
    assert!(deliver(&mut lmtp).starts_with("250 "));
    fs::write(server.path("users"), line("bob", None)).unwrap();
    let begin = Instant::now();
    server.signal(Signal::HUP);
    let reply = wait_until("a refusal", || {
        Some(deliver(&mut lmtp)).filter(|r| !r.starts_with("250 "))
    });
    assert!(
        reply.starts_with("550 5.1.1") || reply.starts_with("451 "),
        "{reply}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    fs::write(server.path("users"), line("ann", None)).unwrap();
    // Every message that was acknowledged is there, and once.
    server.restart();
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let found = imap.list("1:*").unwrap();
    assert_eq!(found.len(), told.len());
}

#[test]
fn the_special_use_mailboxes_are_made_for_who_looks() {
    let server = Server::start("[storage]\nformat = \"mdbox\"\n");
    server.deliver("ann", &message("1@test", "first", "x"));
    let mailboxes = server.maildir("ann").join("mailboxes");
    let made = || fs::read_dir(&mailboxes).unwrap().count();
    assert_eq!(made(), 1, "INBOX alone");
    // What a sender names may be one of them.
    server.deliver("bob+Junk", &message("2@test", "second", "x"));
    let listed = |user: &str| server.imap(user).ok("LIST \"\" *").untagged.concat();
    for (user, at) in [("ann", "INBOX"), ("bob", "Junk")] {
        let listed = listed(user);
        for name in ["Drafts", "Sent", "Junk", "Trash", "Archive"] {
            assert!(listed.contains(name), "{user}: {listed}");
        }
        let status = server.imap(user).ok(&format!("STATUS {at} (MESSAGES)"));
        assert!(status.untagged.concat().contains("MESSAGES 1"), "{user}");
    }
    assert_eq!(made(), 6);
}

/// What came before the disk was full is read, though there is no room for the first mailboxes.
#[test]
fn who_looks_first_at_a_full_disk_reads_what_is_there() {
    if !is_root() && !skip("not root: no small file system can be mounted") {
        return;
    }
    let server = Server::with(Start {
        settings: "[storage]\npath = \"{directory}/small/{user}\"\n[process]\nuser = \"none-a\"\n",
        users: line("ann", None),
        files: Vec::new(),
        ..Start::default()
    });
    let at = server.path("small").join("ann");
    let _mounted = Small::mount(&at, 256);
    let owner = Some(61_143);
    std::os::unix::fs::chown(&at, owner, owner).unwrap();
    server.deliver("ann", &message("1@test", "first", "x"));
    let mut filling = fs::File::create(at.join("filling")).unwrap();
    while std::io::Write::write(&mut filling, &[b'x'; 4096]).is_ok() {}
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    assert_eq!(imap.list("1:*").unwrap()[0].id, "1@test");
    server.wait_for_log("making the first mailboxes: the disk is full", 1);
}
