//! Dovecot reads what this server wrote as mdbox or sdbox.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use support::{Dovecot, DovecotLog, Imap, Server, message};

/// A mailbox, and the text, INTERNALDATE and RFC822.SIZE of a message in it.
type Found = (String, String, String, String);

/// All messages by their Message-ID.
fn messages(imap: &mut Imap, mailboxes: &[&str]) -> BTreeMap<String, Found> {
    let mut all = BTreeMap::new();
    for mailbox in mailboxes {
        imap.ok(&format!("EXAMINE \"{mailbox}\""));
        for message in imap.list("1:*").unwrap() {
            let uid = message.uid;
            let answer = imap.ok(&format!("UID FETCH {uid} (INTERNALDATE RFC822.SIZE)"));
            let line = &answer.untagged[0];
            let after = |name: &str| {
                line.split_once(name)
                    .unwrap_or_else(|| panic!("{answer:?}"))
                    .1
            };
            let date = after("INTERNALDATE \"").split('"').next().unwrap();
            // The day has a blank or a zero before it.
            let date = date.trim_start().trim_start_matches('0');
            let size = after("RFC822.SIZE ").split([' ', ')']).next().unwrap();
            let answer = imap.ok(&format!("UID FETCH {uid} (BODY.PEEK[])"));
            let text = answer.untagged[0].split_once("\r\n").unwrap().1.to_owned();
            let found = (
                (*mailbox).to_owned(),
                text,
                date.to_owned(),
                size.to_owned(),
            );
            assert_eq!(
                all.insert(message.id.clone(), found),
                None,
                "{} is twice",
                message.id
            );
        }
    }
    all
}

/// GUIDs that the logs of this server name, and those that Dovecot finds, of each mailbox.
fn guids_in_log(root: &Path, directory: &str) -> Vec<String> {
    let log = root
        .join("mailboxes")
        .join(directory)
        .join("dbox-Mails/dovelet.log");
    let text = String::from_utf8(fs::read(log).unwrap()).unwrap();
    let mut present: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.get(1) {
            Some(&"F") => {
                let uid = words[3].rsplit_once(",U=").unwrap().1;
                let guid = words[3].split(',').next().unwrap();
                present.insert(uid.to_owned(), guid.to_owned());
            }
            Some(&"X") => drop(present.remove(words[2])),
            _ => {}
        }
    }
    let mut guids: Vec<String> = present.into_values().collect();
    guids.sort();
    guids
}

fn fill(server: &Server) {
    let mut imap = server.imap("ann");
    imap.ok("CREATE work/&ANw-bung");
    for number in 1..=6 {
        let id = format!("{number}@test");
        server.deliver(
            "ann",
            &message(&id, "delivered", &"line\r\n".repeat(number * 50)),
        );
    }
    let large = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(5000);
    server.deliver("ann", &message("large@test", "large", &large));
    for (number, date) in ["17-Jul-1996 02:44:25 -0700", " 1-Jan-1970 00:00:01 +0000"]
        .iter()
        .enumerate()
    {
        let text = message(&format!("dated{number}@test"), "dated", "Text.");
        let head = format!("a APPEND work/&ANw-bung \"{date}\" {{{}+}}\r\n", text.len());
        imap.send(format!("{head}{text}\r\n").as_bytes()).unwrap();
        imap.ok("NOOP");
    }
    imap.ok("SELECT INBOX");
    imap.ok("STORE 2,4 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
}

#[test]
fn dovecot_reads_our_mdbox() {
    dovecot_reads_what_we_wrote("mdbox");
}

#[test]
fn dovecot_reads_our_sdbox() {
    dovecot_reads_what_we_wrote("sdbox");
}

/// UIDs and Message-IDs of a mailbox.
fn uids(imap: &mut Imap, mailbox: &str) -> Vec<(u32, String)> {
    imap.ok(&format!("EXAMINE \"{mailbox}\""));
    let messages = imap.list("1:*").unwrap().into_iter();
    messages.map(|m| (m.uid, m.id)).collect()
}

fn dovecot_reads_what_we_wrote(format: &str) {
    if !Dovecot::possible() {
        return;
    }
    let settings = "[limits]\nmdbox_rotate_octets = 65536\n[storage]\nformat =";
    let mut server = Server::start(&format!("{settings} \"{format}\""));
    fill(&server);
    let mailboxes = ["INBOX", "work/&ANw-bung"];
    let purged = server.command(&["purge"]).output().unwrap();
    assert!(purged.status.success(), "{purged:?}");
    let ours = messages(&mut server.imap("ann"), &mailboxes);
    assert_eq!(ours.len(), 7, "{:?}", ours.keys());
    let our_uids = mailboxes.map(|mailbox| uids(&mut server.imap("ann"), mailbox));
    assert!(server.stop().success());
    let root = server.data().join("mail/ann");
    let owner = fs::metadata(&root).unwrap();
    let mail = server.data().join("mail");
    let owner = (owner.uid(), owner.gid());
    let location = format!("mail_location = {format}:{}/%u\n", mail.display());
    let dovecot = Dovecot::with(&server.path("dovecot"), &mail, owner, &location);
    dovecot.doveadm(&["force-resync", "-u", "ann", "*"]);
    let theirs = messages(&mut dovecot.imap("ann"), &mailboxes);
    let names = |all: &BTreeMap<String, Found>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (id, own) in &ours {
        let other = &theirs[id];
        assert_eq!(
            (&own.0, &own.2, &own.3),
            (&other.0, &other.2, &other.3),
            "{id}"
        );
        assert!(own.1 == other.1, "the text of {id} differs");
    }
    for (mailbox, directory) in [("INBOX", "INBOX"), ("work/\u{dc}bung", "work/&ANw-bung")] {
        let told = dovecot.doveadm(&["fetch", "-u", "ann", "guid", "mailbox", mailbox]);
        let mut guids: Vec<String> = told
            .lines()
            .filter_map(|line| line.strip_prefix("guid: "))
            .map(str::to_owned)
            .collect();
        guids.sort();
        assert_eq!(guids, guids_in_log(&root, directory), "{mailbox}");
    }
    if format == "sdbox" {
        // The names of files tell them.
        let theirs = mailboxes.map(|mailbox| uids(&mut dovecot.imap("ann"), mailbox));
        assert_eq!(our_uids, theirs);
    }
    // What Dovecot adds is no trouble afterwards.
    drop(dovecot);
    server.again();
    assert_eq!(messages(&mut server.imap("ann"), &mailboxes), ours);
}

/// Messages in the alternate directory, put there by either of the two, are found by both.
#[test]
fn what_one_put_aside_the_other_finds() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = Server::start(
        "[limits]\nmdbox_rotate_octets = 65536\n[storage]\nformat = \"mdbox\"\n\
         alternate = \"{directory}slow/{user}\"\n",
    );
    for number in 0..6 {
        let body = "Some text.\r\n".repeat(if number % 2 == 0 { 1 } else { 2000 });
        server.deliver("ann", &message(&format!("{number}@test"), "x", &body));
    }
    let slow = server.path("slow/ann/storage");
    let aside = |server: &Server| {
        let entries = fs::read_dir(server.path("slow/ann/storage"))
            .into_iter()
            .flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("m.")).count()
    };
    let altmove = |server: &Server, words: &[&str]| {
        let mut all = vec!["altmove", "--user", "ann", "--json"];
        all.extend(words);
        let output = server.command(&all).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let mut imap = server.imap("ann");
    let before = messages(&mut imap, &["INBOX"]);
    assert_eq!((before.len(), aside(&server)), (6, 0));
    // The server runs, and a session has the mailbox open.
    let said = altmove(&server, &["--larger", "10KB"]);
    assert!(
        said.contains("\"about\":\"move\"") && said.contains("\"messages\":3"),
        "{said}"
    );
    assert!(aside(&server) > 0);
    assert_eq!(messages(&mut imap, &["INBOX"]), before);
    let said = altmove(&server, &["--larger", "10KB"]);
    assert!(said.contains("\"messages\":0"), "{said}");
    drop(imap);
    assert!(server.stop().success());
    let root = server.data().join("mail/ann");
    let run = |server: &Server, words: &[&str]| {
        let output = server.command(words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    };
    let path = root.to_str().unwrap();
    run(&server, &["export", path, "--to", "dovecot"]);
    let mail = server.data().join("mail");
    let owner = fs::metadata(&root).unwrap();
    let location = format!(
        "mail_location = mdbox:{}/%u:ALT={}/%u\n",
        mail.display(),
        server.path("slow").display()
    );
    let directory = server.path("dovecot");
    let other = Dovecot::with(&directory, &mail, (owner.uid(), owner.gid()), &location);
    let log = DovecotLog::of(&server);
    assert_eq!(messages(&mut other.imap("ann"), &["INBOX"]), before);
    // All goes there, and then this server reads it.
    other.doveadm(&["altmove", "-u", "ann", "all"]);
    other.doveadm(&["purge", "-u", "ann"]);
    let primary = fs::read_dir(root.join("storage")).unwrap();
    let left = primary.filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with("m.")
    });
    assert_eq!(left.count(), 0, "doveadm altmove left files");
    drop((other, log));
    run(&server, &["adopt", path]);
    server.again();
    assert_eq!(messages(&mut server.imap("ann"), &["INBOX"]), before);
    server.deliver("ann", &message("new@test", "x", "Text.\r\n"));
    altmove(&server, &["--back"]);
    assert_eq!(aside(&server), 0, "{}", slow.display());
    let mut after = messages(&mut server.imap("ann"), &["INBOX"]);
    assert!(after.remove("new@test").is_some());
    assert_eq!(after, before);
    // Without a server it is done as well.
    assert!(server.stop().success());
    let said = altmove(&server, &["--before", "2100-01-01"]);
    assert!(said.contains("\"messages\":7"), "{said}");
    server.again();
    assert_eq!(messages(&mut server.imap("ann"), &["INBOX"]).len(), 7);
}

/// Nobody was told, and what a mailbox had there went with a purge if its log was lost meanwhile.
#[test]
fn messages_whose_disk_is_away_are_told_of_and_kept() {
    let mut server =
        Server::start("[storage]\nformat = \"mdbox\"\nalternate = \"{directory}slow/{user}\"\n");
    let mut imap = server.imap("ann");
    imap.ok("CREATE box");
    for (mailbox, count) in [("INBOX", 3), ("box", 2)] {
        for number in 0..count {
            let text = message(&format!("{number}-{mailbox}@test"), "x", "Text.\r\n");
            imap.append(mailbox, "", &text).unwrap();
        }
    }
    let run = |server: &Server, words: &[&str]| {
        let output = server.command(words).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    let aside = ["altmove", "--user", "ann", "--before", "2100-01-01"];
    assert_eq!(run(&server, &aside).0, Some(0));
    for mailbox in ["INBOX", "box"] {
        let text = message(&format!("late-{mailbox}@test"), "x", "Text.\r\n");
        imap.append(mailbox, "", &text).unwrap();
    }
    drop(imap);
    assert!(server.stop().success());
    let [slow, away] = ["slow", "away"].map(|name| server.path(name));
    fs::rename(&slow, &away).unwrap();
    server.again();
    let (code, said) = run(&server, &["doctor", "--user", "ann"]);
    assert_eq!(code, Some(1), "{said}");
    for told in ["INBOX: 3 messages are in ", "box: 2 messages are in "] {
        assert!(said.contains(told), "{said}");
    }
    let (code, said) = run(&server, &["doctor", "--user", "ann", "--scrub"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("INBOX: UID 3: unreadable: "), "{said}");
    assert!(!said.contains("UID 4: unreadable"), "{said}");
    let backup = server.path("backup").display().to_string();
    let (code, said) = run(&server, &["backup", "-u", "ann", &backup]);
    assert_eq!(code, Some(65), "{said}");
    for told in [
        "INBOX: 4 messages, 1 of them new, 3 could not be read",
        "box: 3 messages, 1 of them new, 2 could not be read",
    ] {
        assert!(said.contains(told), "{said}");
    }
    assert!(server.stop().success());
    let mail = server.data().join("mail/ann");
    fs::remove_file(mail.join("mailboxes/box/dbox-Mails/dovelet.log")).unwrap();
    fs::remove_dir_all(server.data().join("index")).unwrap();
    server.again();
    let mut imap = server.imap("ann");
    let answer = imap.command("STATUS box (MESSAGES)").unwrap();
    assert!(answer.status.starts_with("NO "), "{answer:?}");
    let told = imap.ok("STATUS INBOX (MESSAGES)").untagged.concat();
    assert!(told.contains("(MESSAGES 4)"), "{told}");
    drop(imap);
    let (code, said) = run(&server, &["doctor", "--user", "ann"]);
    assert_eq!(code, Some(1), "{said}");
    // All are looked at.
    for told in ["box: cannot be used: ", "INBOX: 3 messages are in "] {
        assert!(said.contains(told), "{said}");
    }
    assert_eq!(run(&server, &["purge", "--user", "ann"]).0, Some(1));
    assert!(server.stop().success());
    let _ = fs::remove_dir_all(&slow);
    fs::rename(&away, &slow).unwrap();
    server.again();
    assert_eq!(run(&server, &["purge", "--user", "ann"]).0, Some(0));
    let there = messages(&mut server.imap("ann"), &["INBOX", "box"]);
    assert_eq!(there.len(), 7);
    let (code, said) = run(&server, &["doctor", "--user", "ann", "--scrub"]);
    assert_eq!(code, Some(0), "{said}");
}
