//! Messages whose attachments Dovecot keeps in files of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use data_encoding::BASE64;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use support::{Dovecot, Imap, Random, Server, account, message, run};

/// A message with attachments: one in lines of that length, one not encoded, one with a longer last line.
fn with_attachments(id: &str, length: usize, octets: usize) -> String {
    let mut random = Random::new(octets as u64);
    let octets: Vec<u8> = (0..octets).map(|_| random.below(256) as u8).collect();
    let text = BASE64.encode(&octets);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(length)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let odd = text.chars().take(3001).collect::<String>();
    let part = |kind: &str, encoding: &str, body: &str| {
        format!(
            "--limit\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
        )
    };
    let body = [
        part("text/plain", "7bit", "See what is attached."),
        part("image/png", "base64", &lines.join("\r\n")),
        part("application/x-raw", "7bit", &"some line\r\n".repeat(400)),
        part("application/octet-stream", "base64", &odd),
        part(
            "image/jpeg",
            "base64",
            &format!("{}\r\n", lines.join("\r\n")),
        ),
    ];
    let head = message(id, "attached", "");
    let head = head.replace(
        "Content-Type: text/plain",
        "Content-Type: multipart/mixed; boundary=limit",
    );
    let head = head.trim_end();
    format!("{head}\r\n\r\n{}--limit--\r\n", body.concat())
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

fn texts(imap: &mut Imap, mailbox: &str) -> Vec<String> {
    imap.ok(&format!("SELECT {mailbox}"));
    let answer = imap.ok("FETCH 1:* (RFC822.SIZE BODY.PEEK[])");
    let texts = answer.untagged.into_iter();
    texts
        .map(|text| text.split_once(' ').unwrap().1.to_owned())
        .collect()
}

fn are_read(format: &str, more: &str) {
    if !Dovecot::possible() {
        return;
    }
    let settings = format!("[storage]\nformat = \"{format}\"\n");
    let mut server = Server::start(&settings);
    drop(server.imap("ann"));
    assert!(server.stop().success());
    let mail = server.data().join("mail");
    let owner = fs::metadata(mail.join("ann")).unwrap();
    let owner = (owner.uid(), owner.gid());
    let root = mail.join("ann");
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    let kept = server.data().join("attachments");
    fs::create_dir(&kept).unwrap();
    for path in [&root, &kept] {
        chown(path, Some(owner.0), Some(owner.1)).unwrap();
    }
    let location = format!(
        "mail_location = {format}:{}/%u\nmail_attachment_dir = {}\nmail_attachment_min_size = 1k\n{more}\n",
        mail.display(),
        kept.display()
    );
    let dovecot = Dovecot::with(&server.path("dovecot"), &mail, owner, &location);
    let mut imap = dovecot.imap("ann");
    imap.ok("CREATE work");
    for (number, length) in [76, 72, 4, 64].into_iter().enumerate() {
        let text = with_attachments(&format!("{number}@test"), length, 20_000 + number);
        imap.append("INBOX", "\\Seen", &text).unwrap();
    }
    let large = with_attachments("large@test", 76, 900_000);
    imap.append("work", "", &large).unwrap();
    imap.append("work", "", &message("plain@test", "plain", "Text."))
        .unwrap();
    imap.ok("LOGOUT");
    assert!(files(&kept).len() >= 15, "{:?}", files(&kept));
    let theirs = account(&mut dovecot.imap("ann"));
    let whole = texts(&mut dovecot.imap("ann"), "work");
    drop(dovecot);
    let path = root.to_str().unwrap();
    let done = run(&mut server.command(&["adopt", path]));
    assert!(!done.status.success(), "{done:?}");
    assert!(
        done.stdout.contains("[storage] attachments")
            || done.stderr.contains("[storage] attachments"),
        "{done:?}"
    );
    let text = server.settings_with(|text| {
        let with = format!("[storage]\nattachments = \"{}\"\n", kept.display());
        text.replace("[storage]\n", &with)
    });
    fs::write(server.config(), text).unwrap();
    let done = run(&mut server.command(&["adopt", path]));
    assert!(done.status.success(), "{done:?}");
    assert!(!done.stdout.contains("lack attachments"), "{done:?}");
    server.again();
    assert_eq!(account(&mut server.imap("ann")), theirs);
    assert!(texts(&mut server.imap("ann"), "work") == whole);
    // Wherever they go.
    let mut imap = server.imap("ann");
    imap.ok("CREATE other");
    imap.ok("SELECT work");
    imap.ok("COPY 1:2 other");
    assert!(texts(&mut server.imap("ann"), "other") == whole);
    imap.ok("CREATE third");
    imap.ok("MOVE 1:2 third");
    assert!(texts(&mut server.imap("ann"), "third") == whole);
    for file in files(&kept) {
        fs::write(file, "another").unwrap();
    }
    imap.ok("SELECT third");
    let answer = imap.command("FETCH 1 BODY.PEEK[]").unwrap();
    assert!(answer.status.contains("[CORRUPTION]"), "{answer:?}");
    let answer = imap.ok("FETCH 2 BODY.PEEK[]");
    assert!(answer.untagged[0].contains("Text."), "{answer:?}");
}

#[test]
fn of_an_sdbox() {
    are_read("sdbox", "");
}

#[test]
fn of_an_mdbox() {
    are_read("mdbox", "");
}

#[test]
fn of_what_is_compressed_too() {
    are_read(
        "mdbox",
        "mail_plugins = zlib\nplugin {\n  zlib_save = zstd\n}",
    );
}
