//! Messages that are stored compressed: all that works with others works with them, and damage costs one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use support::{Imap, Random, Server, Start, account, change, line, message, run};

const MAGIC: [(&str, &[u8]); 3] = [
    ("gzip", b"\x1f\x8b\x08"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("lz4", b"Dovecot-LZ4\x0d\x2a\x9b\xc5"),
];

fn server(format: &str, compression: &str) -> Server {
    let settings = format!(
        "isolation = \"user\"\n[storage]\nformat = \"{format}\"\ncompression = \"{compression}\"\n"
    );
    Server::with(Start {
        settings: &settings,
        users: line("ann", Some(4711)) + &line("bob", Some(4712)),
        ..Start::default()
    })
}

/// All files below a directory.
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

/// Files and offsets of what is compressed.
fn packed(mail: &Path, magic: &[u8]) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    for path in files(mail) {
        let bytes = fs::read(&path).unwrap();
        let at = memchr::memmem::find_iter(&bytes, magic);
        found.extend(at.map(|at| (path.clone(), at)));
    }
    found
}

/// Lines that are not much alike, more than is unpacked into memory.
fn large() -> String {
    let mut random = Random::new(3);
    let lines = (0..20_000).map(|at| format!("line {at} {:x}\r\n", random.below(u64::MAX)));
    message("large@test", "large", &lines.collect::<String>())
}

fn octets(imap: &mut Imap, item: &str) -> String {
    let answer = imap.ok(&format!("FETCH 1 {item}"));
    let said = answer.untagged[0].split_once("}\r\n").unwrap().1;
    said.strip_suffix(")").unwrap_or(said).to_owned()
}

fn by_pieces(server: &Server) {
    let large = large();
    server.deliver("ann", &large);
    let mut imap = server.imap("ann");
    imap.ok("CREATE Large");
    imap.ok("SELECT INBOX");
    imap.ok("MOVE 1:* Large");
    imap.ok("SELECT Large");
    let whole = octets(&mut imap, "BODY.PEEK[]");
    assert!(whole.contains(&large.split_once("\r\n\r\n").unwrap().1[..100]));
    let mut pieces = String::new();
    while pieces.len() < whole.len() {
        let at = pieces.len();
        pieces += &octets(&mut imap, &format!("BODY.PEEK[]<{at}.77777>"));
    }
    assert!(pieces.trim_end() == whole.trim_end());
    // Backwards, too.
    for part in [7, 5, 0, 2] {
        let at = whole.len() * part / 8;
        let piece = octets(&mut imap, &format!("BODY.PEEK[]<{at}.1000>"));
        assert_eq!(piece.trim(), whole[at..at + 1000].trim());
    }
}

fn go_through(format: &str, compression: &str) {
    let server = server(format, compression);
    by_pieces(&server);
    let mut imap = server.imap("ann");
    change(&mut imap, "work/&ANw-bung", "ours");
    change(&mut imap, "also", "both");
    for number in 0..4 {
        let text = format!("word {number} ").repeat(300);
        server.deliver("ann", &message(&format!("{number}@late"), "late", &text));
    }
    let (_, magic) = MAGIC.iter().find(|(name, _)| *name == compression).unwrap();
    let mail = server.data().join("mail/ann");
    assert!(packed(&mail, magic).len() >= 5);
    assert!(packed(&mail, b"word 3 word 3 word 3").is_empty());
    let theirs = account(&mut server.imap("ann"));
    let ok = |words: &[&str]| {
        let done = run(&mut server.command(words));
        assert_eq!(done.status.code(), Some(0), "{words:?} {done:?}");
        done.stdout
    };
    let backup = server.path("backup").display().to_string();
    ok(&["backup", "-u", "ann", &backup]);
    ok(&["restore", "-u", "bob", &backup]);
    assert_eq!(account(&mut server.imap("bob")), theirs);
    let index = server.data().join("index");
    let mut server = server;
    assert!(server.stop().success());
    fs::remove_dir_all(index).unwrap();
    server.again();
    assert_eq!(account(&mut server.imap("ann")), theirs);
    damage(&mut server, &mail, magic);
    convert(&mut server, format);
}

/// A message that is damaged.
fn damage(server: &mut Server, mail: &Path, magic: &[u8]) {
    let before = packed(mail, magic);
    server.imap("ann").ok("CREATE Hurt");
    for number in 1..=3 {
        let text = message(
            &format!("{number}@hurt"),
            "hurt",
            &format!(
                "Text {number}, \
            and more and more and more and more and more and more and more and more.\r\n"
            )
            .repeat(40),
        );
        server.imap("ann").append("Hurt", "", &text).unwrap();
    }
    let new = packed(mail, magic)
        .into_iter()
        .filter(|place| !before.contains(place));
    let mut new: Vec<(PathBuf, usize)> = new.collect();
    new.sort_by_key(|(path, at)| (numbers(path), *at));
    assert_eq!(new.len(), 3, "{new:?}");
    assert!(server.stop().success());
    // In the order in which they came, which names have, too.
    let (path, at) = &new[1];
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xff; 12], (*at + magic.len() + 8) as u64)
        .unwrap();
    server.again();
    let mut imap = server.imap("ann");
    imap.ok("SELECT Hurt");
    for number in [1, 3] {
        let answer = imap.ok(&format!("FETCH {number} BODY.PEEK[]"));
        let text = format!("Text {number}, and more");
        assert!(answer.untagged[0].contains(&text), "{answer:?}");
    }
    let answer = imap.command("FETCH 2 BODY.PEEK[]").unwrap();
    assert!(answer.status.contains("[CORRUPTION]"), "{answer:?}");
    let answer = imap.ok("FETCH 1:3 (UID RFC822.SIZE)");
    assert_eq!(answer.untagged.len(), 3, "{answer:?}");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
}

/// Those in the name of a file, which are not padded, so that its text says nothing of an order.
fn numbers(path: &Path) -> Vec<u64> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let parts = name.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// Another format has what this one has.
fn convert(server: &mut Server, format: &str) {
    let theirs = account(&mut server.imap("ann"));
    let other = if format == "maildir" {
        "sdbox"
    } else {
        "maildir"
    };
    assert!(server.stop().success());
    let done = run(&mut server.command(&["convert", format, other]));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let settings = server.settings_with(|text| {
        text.replace(
            &format!("format = \"{format}\""),
            &format!("format = \"{other}\""),
        )
    });
    fs::write(server.config(), &settings).unwrap();
    server.again();
    assert_eq!(account(&mut server.imap("ann")), theirs);
    for (name, magic) in MAGIC {
        let any = !packed(&server.data().join("mail/ann"), magic).is_empty();
        assert_eq!(any, settings.contains(name), "{name}");
    }
}

#[test]
fn an_mdbox_of_zstd() {
    go_through("mdbox", "zstd");
}

#[test]
fn an_sdbox_of_lz4() {
    go_through("sdbox", "lz4");
}

#[test]
fn a_maildir_of_gzip() {
    go_through("maildir", "gzip");
}
