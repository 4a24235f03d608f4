//! What it takes to look at a large mailbox in each format.

use crate::support::Server;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// Messages of the mailbox.
const COUNT: u32 = 200_000;
const TEXT: &str = "Subject: x\n\nText.\n";

/// A message as dbox has it.
fn framed(number: u32) -> String {
    let octets = TEXT.len();
    format!(
        "\x01\x02N          {octets:016X}\n{TEXT}\n\x01\x03\nG{number:032x}\nR690810C6\nV{:X}\nBINBOX\n\n",
        octets + 3
    )
}

/// Puts messages there as that format has them.
fn fill(format: &str, root: &Path) {
    let head = "2 M1e C690810c6\n";
    match format {
        "maildir" => super::fill(&root.join("cur"), COUNT, TEXT),
        "sdbox" => {
            let directory = root.join("mailboxes/INBOX/dbox-Mails");
            for uid in 1..=COUNT {
                fs::write(
                    directory.join(format!("u.{uid}")),
                    head.to_owned() + &framed(uid),
                )
                .unwrap();
            }
        }
        "mdbox" => {
            let file = root.join("storage/m.1");
            let mut out = BufWriter::new(File::create(file).unwrap());
            out.write_all(head.as_bytes()).unwrap();
            (1..=COUNT).for_each(|number| out.write_all(framed(number).as_bytes()).unwrap());
            // What was there is all new to the server.
            fs::remove_file(root.join("mailboxes/INBOX/dbox-Mails/dovelet.log")).unwrap();
        }
        _ => {
            let mut out = BufWriter::new(File::create(root.join("inbox")).unwrap());
            for number in 1..=COUNT {
                write!(
                    out,
                    "From a@b Mon Nov  3 10:00:00 2025\nMessage-ID: <{number}@x>\n{TEXT}\n"
                )
                .unwrap();
            }
        }
    }
}

fn give(path: &Path, (uid, gid): (u32, u32)) {
    chown(path, Some(uid), Some(gid)).unwrap();
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        entries.for_each(|entry| give(&entry.unwrap().path(), (uid, gid)));
    }
}

/// The most memory that the engine had, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let engine = server.role("engine").pop().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

#[test]
#[ignore = "makes 200,000 messages in each format; prints its figure"]
fn memory_of_the_first_look_at_a_large_mailbox() {
    for format in ["maildir", "mdbox", "sdbox", "mbox"] {
        let mut server = Server::start(&format!("[storage]\nformat = \"{format}\"\n"));
        drop(server.imap("ann"));
        let before = peak_kib(&server);
        assert!(server.stop().success());
        let root = server.data().join("mail/ann");
        fill(format, &root);
        let owner = fs::metadata(&root).unwrap();
        give(&root, (owner.uid(), owner.gid()));
        for what in ["all of it new", "known to the store alone"] {
            fs::remove_dir_all(server.data().join("index")).unwrap();
            server.again();
            let mut imap = server.imap("ann");
            let answer = imap.command("SELECT INBOX").unwrap();
            println!(
                "{format}, {what}: {} KiB at most, {before} KiB without; {}",
                peak_kib(&server),
                answer.status,
            );
            // What does not fit is refused, and ends nobody else.
            let there = answer.untagged.contains(&format!("{COUNT} EXISTS"));
            let refused = answer.status.starts_with("NO [LIMIT]");
            assert!(there != refused, "{answer:?}");
            server.imap("bob").ok("SELECT INBOX");
            drop(imap);
            assert!(
                !server.log().contains("memory allocation"),
                "{}",
                server.log()
            );
            assert!(server.stop().success());
        }
    }
}
