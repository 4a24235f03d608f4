//! Dovecot's POP3 and this server's on the same Maildir: the same numbers, names, sizes and octets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use support::{Dovecot, Pop3, Server, message, run};

/// Messages as they lie in files, whatever is odd about them.
fn messages() -> Vec<Vec<u8>> {
    let long = format!(
        "Subject: long\n\n{}",
        ".dots and lines of a long body\n".repeat(9000)
    );
    let texts: Vec<&[u8]> = vec![
        b"Subject: plain\nX-UIDL: first\n\nOne.\nTwo.\nThree.\n",
        b"Subject: crlf\r\nX-UIDL:  second \r\n\r\nOne.\r\n.\r\n..\r\nTwo.\r\n",
        b"Subject: mixed\n\nOne.\r\nTwo.\n\r\nThree.\n",
        b"Subject: no end\n\nOne.\nTwo.",
        b"Subject: no body\n",
        b"Subject: no line end",
        b"\nNo header.\n.\n",
        b"Subject: stray\n\na\rb\r\r\nc\r",
        b"Subject: eight bit \xe9\xff\n\n\xe9\xff\n",
        b"Subject: folded\n and more\n\tof it\n\n\n\nbody\n",
        b"X: 1\nY: 2\n \n\nbody\n",
        long.as_bytes(),
    ];
    texts.into_iter().map(<[u8]>::to_vec).collect()
}

/// A maildrop as a client sees it.
#[derive(Debug, PartialEq, Eq)]
struct Drop {
    stat: String,
    list: Vec<String>,
    uidl: Vec<String>,
    /// RETR of each, and TOP with 0, 1 and 3 lines.
    octets: Vec<[Vec<u8>; 4]>,
    /// What RETR says of the size.
    said: Vec<String>,
}

fn drop_of(pop3: &mut Pop3) -> Drop {
    let list = pop3.list("LIST");
    let number = |line: &String| line.split(' ').next().unwrap().to_owned();
    let numbers: Vec<String> = list.iter().map(number).collect();
    let mut said = Vec::new();
    let octets = numbers.iter().map(|number| {
        let mut many = |command: String| pop3.many(&command).concat();
        [
            many(format!("RETR {number}")),
            many(format!("TOP {number} 0")),
            many(format!("TOP {number} 1")),
            many(format!("TOP {number} 3")),
        ]
    });
    let octets = octets.collect();
    for number in &numbers {
        said.push(pop3.ok(&format!("LIST {number}")));
        said.push(pop3.ok(&format!("UIDL {number}")));
    }
    Drop {
        stat: pop3.ok("STAT"),
        uidl: pop3.list("UIDL"),
        list,
        octets,
        said,
    }
}

struct Both {
    server: Server,
    inbox: PathBuf,
    owner: (u32, u32),
}

impl Both {
    /// A Maildir with the messages; nobody serves it.
    fn new() -> Both {
        let mut server = Server::start("");
        // Makes the directories and their owners.
        drop(server.imap("ann"));
        assert!(server.stop().success());
        let inbox = server.maildir("ann");
        let owner = fs::metadata(&inbox).unwrap();
        let both = Both {
            owner: (owner.uid(), owner.gid()),
            inbox,
            server,
        };
        for (number, text) in messages().iter().enumerate() {
            let crlf = text.len() + lone_line_ends(text);
            let sizes = match number % 3 {
                0 => String::new(),
                1 => format!(",S={}", text.len()),
                _ => format!(",S={},W={crlf}", text.len()),
            };
            both.put(
                &format!("16000000{:02}.M{number}P1.test{sizes}:2,", number + 10),
                text,
            );
        }
        both
    }

    fn put(&self, name: &str, text: &[u8]) {
        let path = self.inbox.join("cur").join(name);
        fs::write(&path, text).unwrap();
        chown(&path, Some(self.owner.0), Some(self.owner.1)).unwrap();
    }

    fn theirs(&self, settings: &str) -> Drop {
        let mail = self.server.data().join("mail");
        let other = Dovecot::with(&self.server.path("dovecot"), &mail, self.owner, settings);
        let mut pop3 = other.pop3("ann");
        let seen = drop_of(&mut pop3);
        pop3.ok("QUIT");
        seen
    }

    fn ours(&mut self, settings: &str) -> Drop {
        let file = self.server.config();
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{before}[pop3]\n{settings}\n")).unwrap();
        self.server.again();
        let mut pop3 = self.server.pop3("ann");
        let seen = drop_of(&mut pop3);
        pop3.ok("QUIT");
        assert!(self.server.stop().success());
        fs::write(&file, before).unwrap();
        seen
    }
}

/// Line ends without CR.
fn lone_line_ends(text: &[u8]) -> usize {
    let lone = |at: &usize| text[*at] == b'\n' && (*at == 0 || text[at - 1] != b'\r');
    (0..text.len()).filter(lone).count()
}

fn assert_same(ours: &Drop, theirs: &Drop, what: &str) {
    assert_eq!(ours.stat, theirs.stat, "{what}");
    assert_eq!(ours.list, theirs.list, "{what}");
    assert_eq!(ours.uidl, theirs.uidl, "{what}");
    assert_eq!(ours.said, theirs.said, "{what}");
    for (number, (ours, theirs)) in (1..).zip(ours.octets.iter().zip(&theirs.octets)) {
        for (ours, theirs) in ours.iter().zip(theirs) {
            let same = ours == theirs;
            assert!(
                same,
                "{what}, {number}:\n{}\n{}",
                ours.escape_ascii(),
                theirs.escape_ascii()
            );
        }
    }
}

fn possible() -> bool {
    Dovecot::possible() && Dovecot::has_pop3()
}

#[test]
fn a_maildrop_that_is_taken_over_stays_the_same() {
    if !possible() {
        return;
    }
    let mut both = Both::new();
    for (theirs, ours) in [
        ("", ""),
        (
            "pop3_uidl_format = %08Xu%08Xv\n",
            "uidl_format = \"%08Xu%08Xv\"",
        ),
        (
            "pop3_uidl_format = UID%u-%v\n",
            "uidl_format = \"UID%{uid}-%{uidvalidity}\"",
        ),
        ("pop3_uidl_format = %v.%u\n", "uidl_format = \"%v.%u\""),
        ("pop3_uidl_format = %f\n", "uidl_format = \"%{filename}\""),
        ("pop3_uidl_format = %g\n", "uidl_format = \"%g\""),
        ("pop3_reuse_xuidl = yes\n", "reuse_xuidl = true"),
    ] {
        let (theirs, ours) = (both.theirs(theirs), both.ours(ours));
        assert_eq!(theirs.list.len(), messages().len());
        assert_same(&ours, &theirs, &theirs.uidl[0].clone());
    }
}

#[test]
fn unique_ids_in_side_files_are_kept() {
    if !possible() {
        return;
    }
    let mut both = Both::new();
    let before = both.theirs("");
    // As a migration from another server leaves them; `P` alone stands for the name of the file.
    let file = both.inbox.join("dovecot-uidlist");
    let list = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
    for (at, words) in [
        (1, "Pold-1 "),
        (3, "P "),
        (5, "Gguid-5 "),
        (6, "Pold-6 Gguid-6 "),
    ] {
        let colon = lines[at].find(':').unwrap();
        lines[at].insert_str(colon, words);
    }
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    for (theirs, ours) in [
        ("", ""),
        ("pop3_uidl_format = %g\n", "uidl_format = \"%{guid}\""),
    ] {
        let (theirs, ours) = (both.theirs(theirs), both.ours(ours));
        assert_ne!(theirs.uidl, before.uidl);
        assert!(theirs.uidl[0].ends_with(" old-1"), "{:?}", theirs.uidl);
        assert_same(&ours, &theirs, ours.uidl[2].as_str());
    }
    // What is saved here is kept there, whatever the format; duplicates are told apart.
    both.put("1600000090.M1P1.test:2,", b"X-UIDL: first\n\nsame\n");
    let saved = both.ours("reuse_xuidl = true\nsave_uidl = true\nuidl_duplicates = \"rename\"");
    assert!(
        saved.uidl.last().unwrap().ends_with(" first-2")
            || saved.uidl.iter().any(|u| u.ends_with(" first"))
    );
    let theirs = both.theirs("pop3_uidl_format = %v.%u\n");
    assert_same(&saved, &theirs, "saved");
    assert_same(&both.ours(""), &theirs, "saved before");
    // Without the index, too.
    fs::remove_dir_all(both.server.data().join("index")).unwrap();
    assert_same(&both.ours(""), &theirs, "without index");
}

#[test]
fn digests_are_those_of_servers_over_mbox() {
    if !possible() {
        return;
    }
    let mut both = Both::new();
    for entry in fs::read_dir(both.inbox.join("cur")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let headers = [
        "Received: from a.test (a.test [192.0.2.1])\n\tby b.test; Mon, 2 Nov 2026 10:00:00 +0000\n\
         Received: from c.test\nDate: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <1@test>\nSubject: 1\n",
        "Date: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <2@test>\nDelivered-To: ann@test\nSubject: 2\n",
        "Delivered-To: ann@test\nX-Delivery-ID: 77\nReceived: from d.test\nMessage-ID:\n <3@test>\n",
        "Subject: nothing\n",
    ];
    let mut mbox = String::new();
    for (number, header) in headers.iter().enumerate() {
        both.put(
            &format!("160000001{number}.M1P1.test:2,"),
            format!("{header}\nbody\n").as_bytes(),
        );
        mbox.push_str("From ann@test Mon Nov  2 10:00:00 2026\n");
        mbox.push_str(&format!("{header}\nbody\n\n"));
    }
    let directory = both.server.path("mbox");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("inbox"), mbox).unwrap();
    for path in [directory.clone(), directory.join("inbox")] {
        chown(path, Some(both.owner.0), Some(both.owner.1)).unwrap();
    }
    let d = directory.display();
    let theirs = both.theirs(&format!(
        "mail_location = mbox:{d}/mail:INBOX={d}/inbox\npop3_uidl_format = %m\n\
         mbox_write_locks = fcntl\n"
    ));
    let ours = both.ours("uidl_format = \"%{md5}\"");
    assert_eq!(ours.uidl, theirs.uidl);
}

/// A purge has messages lie elsewhere, and Dovecot calls them by their GUIDs alone.
#[test]
fn a_guid_is_a_unique_id_that_stays() {
    if !possible() {
        return;
    }
    for format in ["sdbox", "mdbox"] {
        let settings = format!(
            "[storage]\nformat = \"{format}\"\n[limits]\nmdbox_rotate_octets = \"64KiB\"\n[pop3]\n\
             uidl_format = \"%{{guid}}\"\n"
        );
        let mut server = Server::start(&settings);
        for number in 0..5 {
            let id = format!("{number}@test");
            server.deliver("ann", &message(&id, "x", &"Text.\r\n".repeat(4000)));
        }
        let uidl = |server: &Server| {
            let mut pop3 = server.pop3("ann");
            let uidl = drop_of(&mut pop3).uidl;
            pop3.ok("QUIT");
            let id = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
            uidl.iter().map(id).collect::<Vec<_>>()
        };
        let mut before = uidl(&server);
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.ok("STORE 1,3 +FLAGS (\\Deleted)");
        imap.ok("EXPUNGE");
        drop(imap);
        before.remove(2);
        before.remove(0);
        let purged = run(&mut server.command(&["purge", "--user", "ann"]));
        assert!(purged.status.success(), "{purged:?}");
        assert_eq!(uidl(&server), before, "{format}");
        assert!(server.stop().success());
        let mail = server.data().join("mail");
        let owner = fs::metadata(mail.join("ann")).unwrap();
        let path = mail.join("ann");
        let words = ["export", path.to_str().unwrap(), "--to", "dovecot"];
        let exported = run(&mut server.command(&words));
        assert!(exported.status.success(), "{exported:?}");
        let location = format!(
            "mail_location = {format}:{}/%u\npop3_uidl_format = %g\n",
            mail.display()
        );
        let owner = (owner.uid(), owner.gid());
        let other = Dovecot::with(&server.path("dovecot"), &mail, owner, &location);
        let mut pop3 = other.pop3("ann");
        let theirs = drop_of(&mut pop3).uidl;
        pop3.ok("QUIT");
        let same = before.iter().zip(&theirs);
        assert_eq!(theirs.len(), before.len());
        assert!(
            same.clone().all(|(a, b)| b.ends_with(a)),
            "{format}: {before:?} {theirs:?}"
        );
    }
}
