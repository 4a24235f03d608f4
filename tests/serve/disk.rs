//! A disk without room, and with room again.

use crate::support::{Imap, Lmtp, PASSWORD, Server, message, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own in place of a directory, until dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None` where this process may not mount.
    fn over(path: &Path, octets: u32) -> Option<Mount> {
        let kept = path.with_extension("kept");
        fs::rename(path, &kept).unwrap();
        fs::create_dir(path).unwrap();
        let size = format!("size={octets},mode=755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(path);
        let mounted = mount.output().is_ok_and(|out| out.status.success());
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(kept.join(".")).arg(path);
        assert!(copy.status().unwrap().success());
        mounted.then(|| Mount(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn try_to_deliver(server: &Server, id: &str) -> String {
    let mut client = Lmtp::tcp(server.lmtp).unwrap();
    let text = message(id, "news", "Text.");
    let replies = client.transaction(&["ann"], &text, true);
    replies.map_or_else(|e| e.to_string(), |replies| replies.join(" "))
}

/// Logs in and tells the Message-IDs of INBOX, if that works.
fn listed(server: &Server) -> Option<Vec<String>> {
    let mut imap = Imap::connect(server.imap).ok()?;
    let answer = imap.login("ann", PASSWORD).ok()?;
    if !answer.status.starts_with("OK") {
        return None;
    }
    let selected = imap.command("SELECT INBOX").ok()?;
    let all = imap
        .list("1:*")
        .ok()
        .filter(|_| selected.status.starts_with("OK"))?;
    Some(all.into_iter().map(|message| message.id).collect())
}

#[test]
fn mail_is_served_again_when_a_full_disk_has_room_again() {
    // After one write to the index had failed, every session and delivery failed until a restart.
    let mut server = Server::start("");
    server.stop();
    let Some(_mount) = Mount::over(&server.data(), 8 << 20) else {
        eprintln!("skipped: may not mount");
        return;
    };
    server.again();
    let mut told: Vec<String> = Vec::new();
    for number in 0..20 {
        let id = format!("{number}@before");
        server.deliver("ann", &message(&id, "news", "Text."));
        told.push(id);
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let filler = server.data().join("filler");
    let mut pages = (0..8).cycle();
    wait_until("the index being lost", || {
        let room = vec![0; 16 << 20];
        let _ = fs::write(&filler, room);
        // Room for a message and not for the index, whatever that takes.
        let left = 4096 * pages.next().unwrap();
        let file = fs::File::options().write(true).open(&filler).unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(left))
            .unwrap();
        // Names change without room, the index does not.
        let _ = imap.command("STORE 1:* FLAGS (\\Seen kept)");
        let _ = imap.command("STORE 1:* FLAGS ()");
        std::thread::sleep(std::time::Duration::from_millis(100));
        if try_to_deliver(&server, "late@full").starts_with("250") {
            told.push("late@full".to_owned());
        }
        server.log().contains("the index is lost").then_some(())
    });
    fs::remove_file(&filler).unwrap();
    let found = wait_until("mail being served again", || listed(&server));
    assert_eq!(found, told);
    server.deliver("ann", &message("after@test", "news", "Text."));
    assert_eq!(listed(&server).unwrap().last().unwrap(), "after@test");
}

/// Takes all room that there is.
fn fill(server: &Server, name: &str) {
    let path = server.data().join(name);
    let mut file = fs::File::create(path).unwrap();
    for octets in [1 << 16, 4096, 512, 1] {
        while std::io::Write::write(&mut file, &vec![1; octets]).is_ok_and(|done| done == octets) {}
    }
}

/// A server with all that it has on a disk of its own, and so many messages; `None` where this process may not mount.
fn on_a_small_disk(format: &str, messages: u32) -> Option<(Server, Mount)> {
    let mut server = Server::start(&format!("[storage]\nformat = \"{format}\""));
    server.deliver("ann", &message("0@test", "news", "Text."));
    server.stop();
    let Some(mount) = Mount::over(&server.data(), 8 << 20) else {
        println!("skipped: may not mount");
        return None;
    };
    server.again();
    for number in 1..messages {
        server.deliver("ann", &message(&format!("{number}@test"), "news", "Text."));
    }
    Some((server, mount))
}

fn reads_and_deletes(format: &str) {
    let Some((server, _mount)) = on_a_small_disk(format, 30) else {
        return;
    };
    let before = server.imap("ann").ok("STATUS INBOX (UIDNEXT UIDVALIDITY)");
    fill(&server, "filler");
    // Mail is refused sooner or later, never taken by half.
    let late = wait_until("mail being refused", || {
        let reply = try_to_deliver(&server, "late@test");
        (!reply.starts_with("250")).then_some(reply)
    });
    assert!(late.starts_with("452"), "{format}: {late}");
    let all = wait_until("mail being read", || listed(&server));
    assert!(all.len() >= 30, "{format}: {all:?}");
    let mut left = all.len();
    for round in 0..4 {
        // Whoever finds the index lost begins anew.
        let gone = wait_until("messages being deleted", || {
            let mut imap = Imap::connect(server.imap).ok()?;
            let answer = imap.login("ann", PASSWORD).ok()?;
            let done = |answer: std::io::Result<crate::support::Answer>| {
                answer.ok().filter(|answer| answer.status.starts_with("OK"))
            };
            answer.status.starts_with("OK").then_some(())?;
            done(imap.command("SELECT INBOX"))?;
            done(imap.command("FETCH 1:* (BODY.PEEK[])"))?;
            done(imap.command("STORE 1:5 +FLAGS (\\Deleted)"))?;
            done(imap.command("EXPUNGE"))
        });
        let told = gone.untagged.iter();
        let told = told.filter(|line| line.ends_with(" EXPUNGE")).count();
        // A command whose end nobody heard may have removed more.
        let now = wait_until("mail being read", || listed(&server)).len();
        assert!(now <= left - told, "{format} {round}: {now} of {left}");
        left = now;
        fill(&server, &format!("filler-{round}"));
        // What waits is written meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }
    assert!(left <= all.len() - 20, "{format}: {left}");
    for name in ["filler", "filler-0", "filler-1", "filler-2", "filler-3"] {
        fs::remove_file(server.data().join(name)).unwrap();
    }
    wait_until("new mail being taken", || {
        let reply = try_to_deliver(&server, "after@test");
        reply.starts_with("250").then_some(())
    });
    let now = wait_until("mail being read", || listed(&server));
    assert_eq!(now.len(), left + 1, "{format}: {now:?}");
    assert_eq!(now[..left], all[all.len() - left..], "{format}");
    let after = server.imap("ann").ok("STATUS INBOX (UIDNEXT UIDVALIDITY)");
    let validity = |answer: &crate::support::Answer| {
        let status = answer.untagged[0].split("UIDVALIDITY ").nth(1).unwrap();
        status
            .trim_end_matches(')')
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(validity(&before), validity(&after), "{format}");
    let full = server.log().matches("is given up").count();
    assert!(
        (1..20).contains(&full),
        "{format}: {full}\n{}",
        server.log()
    );
}

#[test]
fn who_is_there_deletes_and_moves_as_soon_as_the_disk_is_full() {
    // Until the index was flushed the room that is kept for that was kept from it.
    for format in ["maildir", "sdbox", "mdbox", "mbox"] {
        let Some((server, _mount)) = on_a_small_disk(format, 20) else {
            return;
        };
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.ok("NOOP");
        // All that waits is written.
        std::thread::sleep(std::time::Duration::from_millis(2500));
        fill(&server, "filler");
        imap.ok("UID MOVE 1:5 Trash");
        imap.ok("STORE 1:5 +FLAGS (\\Deleted)");
        imap.ok("EXPUNGE");
        std::thread::sleep(std::time::Duration::from_millis(1500));
        imap.ok("STORE 1:5 +FLAGS (\\Deleted)");
        imap.ok("EXPUNGE");
        let left = imap.ok("STATUS Trash (MESSAGES)");
        assert_eq!(left.untagged, ["STATUS Trash (MESSAGES 5)"], "{format}");
        assert!(
            !server.log().contains("is lost"),
            "{format}: {}",
            server.log()
        );
    }
}

#[test]
fn a_full_disk_lets_users_read_and_delete_a_maildir() {
    reads_and_deletes("maildir");
}

#[test]
fn a_full_disk_lets_users_read_and_delete_an_sdbox() {
    reads_and_deletes("sdbox");
}

#[test]
fn a_full_disk_lets_users_read_and_delete_an_mdbox() {
    reads_and_deletes("mdbox");
}

#[test]
fn a_full_disk_lets_users_read_and_delete_an_mbox() {
    reads_and_deletes("mbox");
}
