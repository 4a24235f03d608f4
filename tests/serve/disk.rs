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
