//! Mailboxes whose names begin alike, in a place and a format of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use support::{
    Account, Dovecot, DovecotLog, Imap, Server, Start, account, change, line, message, run,
};

const ARCHIVE: &str = "[[namespace]]\nprefix = \"Archive/\"\nformat = \"mdbox\"\ncompression = \"zstd\"\n\
                       path = \"{directory}cold/{user}\"\n";

fn server(settings: &str) -> Server {
    Server::with(Start {
        settings,
        users: line("ann", Some(4711)) + &line("bob", Some(4711)),
        ..Start::default()
    })
}

fn dovelet(server: &Server, words: &[&str]) -> String {
    let done = run(&mut server.command(words));
    let said = done.stdout.clone() + &done.stderr;
    assert_eq!(
        done.status.code(),
        Some(0),
        "{words:?} {said}\n{}",
        server.log()
    );
    said
}

/// Files of messages below a directory.
fn files(directory: &Path, of: &str) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let count = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        match entry.path().is_dir() {
            true => files(&entry.path(), of),
            false => usize::from(name.contains(of)),
        }
    };
    entries.flatten().map(count).sum()
}

fn refused(imap: &mut Imap, command: &str) {
    let answer = imap.command(command).unwrap();
    assert!(
        answer.status.starts_with("NO [CANNOT]"),
        "{command}: {answer:?}"
    );
}

/// What only this server tells of messages, in the order of their subjects.
fn identities(imap: &mut Imap, mailbox: &str) -> Vec<String> {
    imap.ok(&format!("EXAMINE {mailbox}"));
    let items = "UID FETCH 1:* (MODSEQ INTERNALDATE EMAILID THREADID)";
    let rows = imap.ok(items).untagged;
    let rows = rows.iter().filter(|row| row.contains("EMAILID ("));
    let value = |row: &String, before: &str| {
        let (_, value) = row.split_once(before).unwrap();
        value.split([')', '"']).next().unwrap().to_owned()
    };
    let items = ["INTERNALDATE \"", "EMAILID (", "THREADID ("];
    rows.map(|row| items.map(|item| value(row, item)).join(" "))
        .collect()
}

#[test]
fn mail_goes_between_places() {
    for isolation in ["user", "shared"] {
        go_between(isolation);
    }
}

fn go_between(isolation: &str) {
    let mut server = server(&format!("isolation = \"{isolation}\"\n{ARCHIVE}"));
    let (own, cold) = (server.data().join("mail/ann"), server.path("cold/ann"));
    let mut imap = server.imap("ann");
    let told = imap.ok("NAMESPACE").untagged.concat();
    assert!(
        told.contains("((\"\" \"/\")(\"Archive/\" \"/\")) NIL NIL"),
        "{told}"
    );
    let listed = imap.ok("LIST (SUBSCRIBED) \"\" Archive RETURN (SPECIAL-USE)");
    let listed = listed.untagged.concat();
    assert!(
        listed.contains("\\Archive") && listed.contains("\\Subscribed"),
        "{listed}"
    );
    assert!(!own.join(".Archive").exists());
    imap.ok("CREATE Archive/2019");
    imap.ok("SUBSCRIBE Archive/2019");
    for number in 0..6 {
        let text = message(&format!("{number}@test"), "own", "Text.\r\n.\r\nMore.");
        imap.append("INBOX", "\\Seen $Forwarded custom", &text)
            .unwrap();
    }
    let large = message("large@test", "there", &"A line of text.\r\n".repeat(20_000));
    imap.append("Archive/2019", "\\Flagged", &large).unwrap();
    let before = identities(&mut imap, "INBOX");
    imap.ok("SELECT INBOX");
    let answer = imap.ok("UID COPY 1:2 Archive/2019");
    assert!(format!("{answer:?}").contains("COPYUID"), "{answer:?}");
    imap.ok("UID MOVE 3:4 Archive/2019");
    imap.ok("UID MOVE 5 Archive");
    assert_eq!((files(&own, "S="), files(&cold, "m.")), (3, 1));
    imap.ok("SELECT Archive/2019");
    let there = imap.list("1:*").unwrap();
    assert_eq!(there.len(), 5);
    let after = identities(&mut imap, "Archive/2019");
    assert_eq!(after[1..], before[..4]);
    imap.ok("SELECT Archive/2019");
    imap.ok("UID STORE 4 +FLAGS (\\Answered other)");
    imap.ok("UID MOVE 4 INBOX");
    // As the others, a message that went there and back.
    assert_eq!(identities(&mut imap, "INBOX")[3], before[2]);
    server.deliver(
        "ann+Archive/2019",
        &message("lmtp@test", "by LMTP", "Text."),
    );
    server.deliver(
        "ann+Archive/none",
        &message("lmtp2@test", "by LMTP", "Text."),
    );
    for command in [
        "RENAME Archive/2019 2019",
        "RENAME Archive Old",
        "DELETE Archive",
        "CREATE Archive/INBOX",
        "RENAME Sent Archive/Sent",
    ] {
        refused(&mut imap, command);
    }
    imap.ok("CREATE Archive/gone");
    imap.ok("DELETE Archive/gone");
    imap.ok("RENAME Archive/2019 Archive/old/2019");
    imap.ok("SETMETADATA Archive/old/2019 (/private/comment \"cold\")");
    let ours = account(&mut imap);
    let counts =
        ["INBOX", "Archive", "Archive/old/2019"].map(|name| ours.mailboxes[name].messages.len());
    assert_eq!(counts, [5, 1, 5], "{ours:#?}");
    assert!(ours.subscriptions.contains("Archive/2019"));
    drop(imap);
    // What is there is there again, without the index, and after a hard stop.
    server.restart();
    assert_eq!(account(&mut server.imap("ann")), ours);
    server.kill();
    server.again();
    assert_eq!(account(&mut server.imap("ann")), ours);
    assert!(server.stop().success());
    fs::remove_dir_all(server.data().join("index")).unwrap();
    server.again();
    let mut imap = server.imap("ann");
    assert_eq!(account(&mut imap), ours);
    let mut raw = server.imap("ann").raw();
    let comment = raw.ok("GETMETADATA Archive/old/2019 (/private/comment)");
    assert!(
        comment.untagged.concat().contains("\"cold\""),
        "{comment:?}"
    );
    let (mail, archive) = (fs::metadata(&own).unwrap(), fs::metadata(&cold).unwrap());
    assert_eq!(mail.uid(), archive.uid());
    cared_for(&server, &ours);
}

/// What an administrator does goes over all of it.
fn cared_for(server: &Server, ours: &Account) {
    for words in [&["doctor"][..], &["doctor", "--rebuild"], &["purge"]] {
        let said = dovelet(server, &[words, &["--user", "ann"]].concat());
        let purged = said.contains("purged");
        assert!(
            said.contains("Archive/old/2019") || purged,
            "{words:?}: {said}"
        );
    }
    assert_eq!(account(&mut server.imap("ann")), *ours);
    let copy = server.path("copy").display().to_string();
    dovelet(server, &["backup", "-u", "ann", &copy]);
    dovelet(server, &["restore", "-u", "bob", &copy]);
    let theirs = account(&mut server.imap("bob"));
    assert_eq!(theirs, *ours);
    assert_eq!(files(&server.path("cold/bob"), "m."), 1);
}

#[test]
fn what_a_namespace_hides_is_told_and_kept() {
    let mut server = server("");
    let mut imap = server.imap("ann");
    imap.ok("CREATE Archive/old");
    let text = message("old@test", "old", "Text.");
    imap.append("Archive/old", "", &text).unwrap();
    drop(imap);
    let archive = ARCHIVE.replace("{directory}", &server.path("").display().to_string());
    server.restart_with(&archive);
    let mut imap = server.imap("ann");
    assert_eq!(imap.ok("LIST \"\" Archive*").untagged.len(), 1);
    let selected = imap.command("SELECT Archive/old").unwrap();
    assert!(selected.status.starts_with("NO"), "{selected:?}");
    server.wait_for_log(
        "the mailbox Archive/old is hidden by the namespace Archive/",
        1,
    );
    let said = dovelet(&server, &["doctor", "--user", "ann"]);
    assert!(
        said.contains("Archive/old: hidden by the namespace Archive/"),
        "{said}"
    );
    // Another mailbox may have that name, and does not take its place.
    imap.ok("CREATE Archive/old");
    imap.append("Archive/old", "", &message("new@test", "new", "Text."))
        .unwrap();
    drop(imap);
    let other = archive.replace("Archive/", "Cold/");
    server.restart_with(&other);
    let mut imap = server.imap("ann");
    for (mailbox, id) in [("Archive/old", "old@test"), ("Cold/old", "new@test")] {
        imap.ok(&format!("SELECT {mailbox}"));
        let messages = imap.list("1:*").unwrap();
        assert_eq!(messages.len(), 1, "{mailbox}");
        assert!(
            format!("{messages:?}").contains(id),
            "{mailbox} {messages:?}"
        );
    }
    imap.ok("SELECT Archive/old");
    imap.ok("UID MOVE 1 Cold/old");
}

#[test]
fn a_place_that_fails_leaves_the_rest() {
    let mut server = server(ARCHIVE);
    let mut imap = server.imap("ann");
    let text = message("1@test", "x", "Text.");
    imap.append("INBOX", "", &text).unwrap();
    for (made, subscribed) in [
        ("Archive/2019/May", true),
        ("Archived", true),
        ("own", false),
    ] {
        imap.ok(&format!("CREATE {made}"));
        if subscribed {
            imap.ok(&format!("SUBSCRIBE {made}"));
        }
    }
    // The index knows what somebody looked at.
    imap.ok("STATUS Archive/2019/May (MESSAGES)");
    imap.ok("STATUS Archive/2019 (MESSAGES)");
    imap.ok("STATUS Archive (MESSAGES)");
    let listed = |imap: &mut Imap| {
        let own = imap.ok("LIST \"\" *").untagged;
        let subscribed = imap.ok("LSUB \"\" *").untagged;
        let names = |rows: Vec<String>| -> Vec<String> {
            let name = |row: &String| row.rsplit(' ').next().unwrap().trim().to_owned();
            rows.iter().map(name).collect()
        };
        (names(own), names(subscribed))
    };
    let before = listed(&mut imap);
    drop(imap);
    let cold = server.path("cold/ann");
    assert!(server.stop().success());
    fs::remove_dir_all(&cold).unwrap();
    // As a disk that is full of somebody else's.
    fs::create_dir(&cold).unwrap();
    fs::write(cold.join("theirs"), "no mail").unwrap();
    fs::set_permissions(&cold, fs::Permissions::from_mode(0o700)).unwrap();
    server.again();
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    imap.append("INBOX", "", &text).unwrap();
    server.deliver("ann", &text);
    for refused in [
        "SELECT Archive",
        "CREATE Archive/2020",
        "DELETE Archive/2019",
    ] {
        let answer = imap.command(refused).unwrap();
        assert!(answer.status.starts_with("NO"), "{refused} {answer:?}");
    }
    // Whoever is not told of them throws away what he has of them.
    let (names, subscribed) = listed(&mut imap);
    assert_eq!(names, before.0);
    let more = subscribed.iter().filter(|name| !before.1.contains(name));
    assert_eq!(more.collect::<Vec<_>>(), ["Archive/2019"]);
    assert!(before.1.iter().all(|name| subscribed.contains(name)));
    imap.ok("CREATE new");
    imap.ok("RENAME own other");
    imap.ok("SELECT INBOX");
    let answer = imap.command("UID MOVE 1 Archive").unwrap();
    assert!(answer.status.starts_with("NO"), "{answer:?}");
    imap.ok("NOOP");
    assert_eq!(imap.list("1:*").unwrap().len(), 3);
    server.wait_for_log("the namespace Archive/ cannot be opened in", 1);
    // So do those that care for the mail, and say what is left out.
    let backup = server.path("backup");
    let backup = backup.to_str().unwrap();
    let absent = "Archive/: the namespace cannot be used now";
    for (words, rest) in [
        (&["doctor"][..], "ann: INBOX: ok, 3 messages"),
        (&["doctor", "--scrub"], "ann: read 3 messages"),
        (&["purge", "--user", "ann"], "ann: purged 0 files"),
        (
            &["backup", "-u", "ann", backup],
            "INBOX: 3 messages, 3 of them new",
        ),
        (
            &["backup", "-u", "ann", backup],
            "INBOX: 3 messages, 0 of them new",
        ),
    ] {
        let done = run(&mut server.command(words));
        let said = done.stdout.clone() + &done.stderr;
        assert!(
            said.contains(rest) && said.contains(absent),
            "{words:?} {said}"
        );
        assert_eq!(done.status.code(), Some(1), "{words:?} {said}");
    }
    let said = dovelet(&server, &["index", "stats", "--user", "ann"]);
    assert!(
        said.contains("INBOX") && said.contains("Archive/2019/May"),
        "{said}"
    );
}

/// What cannot even be made.
#[test]
fn a_place_that_is_no_directory_leaves_the_rest() {
    for isolation in ["user", "shared"] {
        let server = Server::with(Start {
            settings: &format!("isolation = \"{isolation}\"\n{ARCHIVE}"),
            users: line("ann", Some(4711)),
            files: vec![("cold", "no directory".to_owned())],
            ..Start::default()
        });
        let text = message("1@test", "x", "Text.");
        server.deliver("ann", &text);
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 1);
        let answer = imap.command("SELECT Archive").unwrap();
        assert!(answer.status.starts_with("NO"), "{answer:?}");
        server.wait_for_log("the namespace Archive/ cannot be used", 1);
    }
}

#[test]
fn a_backup_keeps_what_it_has_of_a_place_that_is_away() {
    let mut server = server(ARCHIVE);
    let mut imap = server.imap("ann");
    imap.append("Archive", "", &message("1@test", "x", "Text."))
        .unwrap();
    imap.ok("CREATE Archive/2019");
    imap.ok("SUBSCRIBE Archive/2019");
    drop(imap);
    let path = server.path("backup");
    let backup = path.to_str().unwrap().to_owned();
    dovelet(&server, &["backup", "-u", "ann", &backup]);
    assert!(server.stop().success());
    let cold = server.path("cold/ann");
    fs::rename(&cold, server.path("away")).unwrap();
    server.again();
    let words = ["backup", "-u", "ann", &backup];
    let done = run(&mut server.command(&words));
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("what the backup has of it stays"),
        "{}",
        done.stderr
    );
    assert_eq!(files(&path.join(".Archive"), "S="), 1);
    assert!(path.join(".Archive.2019").is_dir());
    let subscribed = fs::read_to_string(path.join("subscriptions")).unwrap();
    assert!(subscribed.contains("Archive\t2019"), "{subscribed}");
    // One that would be a mailbox, or the mail of somebody, is none.
    for inside in ["data/mail/bob", "cold/ann/backup", "data/none/here"] {
        let inside = server.path(inside);
        let words = ["backup", "-u", "ann", inside.to_str().unwrap()];
        let done = run(&mut server.command(&words));
        assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
        assert!(
            done.stderr.contains("name a directory elsewhere"),
            "{}",
            done.stderr
        );
        assert!(!inside.exists());
    }
    let words = ["backup", "-u", "ann", &backup, "Archive"];
    let done = run(&mut server.command(&words));
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("cannot be used now"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_conversion_leaves_namespaces_alone() {
    let mut server = server(ARCHIVE);
    let mut imap = server.imap("ann");
    change(&mut imap, "Archive/old", "ours");
    imap.append("Archive", "", &message("1@test", "x", "Text."))
        .unwrap();
    let ours = account(&mut imap);
    drop(imap);
    assert!(server.stop().success());
    let words = ["convert", "maildir", "mdbox", "--user", "ann"];
    let said = dovelet(&server, &words);
    assert!(said.contains("ann: 5 mailboxes with 3 messages"), "{said}");
    assert!(said.contains("mailboxes of namespaces stay"), "{said}");
    let text = fs::read_to_string(server.config()).unwrap();
    let text = format!("{text}[storage]\nformat = \"mdbox\"\n");
    fs::write(server.config(), text).unwrap();
    server.again();
    assert_eq!(account(&mut server.imap("ann")), ours);
}

/// Dovecot over the same two places, `cold/USER` in this format.
fn dovecot(server: &Server, format: &str) -> Dovecot {
    let mail = server.data().join("mail");
    let owner = fs::metadata(mail.join("ann")).unwrap();
    let namespace = format!(
        "namespace archive {{\n  prefix = Archive/\n  separator = /\n  location = {format}:{}/%u\n}}\n",
        server.path("cold").display()
    );
    let owner = (owner.uid(), owner.gid());
    Dovecot::with(&server.path("dovecot"), &mail, owner, &namespace)
}

#[test]
fn dovecot_finds_the_same_in_both_places() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = server(&ARCHIVE.replace("mdbox", "maildir").replace("zstd", "none"));
    let _log = DovecotLog::of(&server);
    server.deliver("ann", &message("lmtp@test", "delivered", "By LMTP."));
    let mut imap = server.imap("ann");
    change(&mut imap, "Archive/&ANw-bung", "ours");
    imap.ok("SELECT INBOX");
    imap.ok("UID COPY 1 Archive/&ANw-bung");
    imap.ok("UID MOVE 2 Archive/&ANw-bung");
    let ours = account(&mut imap);
    drop(imap);
    assert!(server.stop().success());
    let other = dovecot(&server, "maildir");
    let mut imap = other.imap("ann");
    let theirs = account(&mut imap);
    assert_eq!(ours, theirs);
    change(&mut imap, "Archive/theirs", "theirs");
    let theirs = account(&mut imap);
    drop((imap, other));
    for without_index in [false, true] {
        if without_index {
            fs::remove_dir_all(server.data().join("index")).unwrap();
        }
        server.again();
        let ours = account(&mut server.imap("ann"));
        assert_eq!(theirs, ours, "without index: {without_index}");
        assert!(server.stop().success());
    }
}

#[test]
fn dovecot_s_namespace_is_taken_over_and_given_back() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = server(ARCHIVE);
    let _log = DovecotLog::of(&server);
    server.deliver("ann", &message("lmtp@test", "delivered", "By LMTP."));
    // Makes the first mailboxes.
    drop(server.imap("ann"));
    assert!(server.stop().success());
    let cold = server.path("cold/ann");
    for entry in fs::read_dir(&cold).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    let other = dovecot(&server, "mdbox");
    let mut imap = other.imap("ann");
    change(&mut imap, "Archive/theirs", "theirs");
    imap.ok("SELECT INBOX");
    imap.ok("UID MOVE 2 Archive/theirs");
    let theirs = account(&mut imap);
    drop((imap, other));
    let path = cold.display().to_string();
    let said = dovelet(&server, &["adopt", &path]);
    assert!(said.contains("theirs: 5 messages"), "{said}");
    server.again();
    let mut imap = server.imap("ann");
    assert_eq!(account(&mut imap), theirs);
    imap.ok("SELECT INBOX");
    imap.ok("UID MOVE 3 Archive/theirs");
    imap.ok("SELECT Archive/theirs");
    imap.ok("UID STORE 1 +FLAGS (ours)");
    let ours = account(&mut imap);
    drop(imap);
    assert!(server.stop().success());
    dovelet(&server, &["export", &path, "--to", "dovecot"]);
    let other = dovecot(&server, "mdbox");
    assert_eq!(account(&mut other.imap("ann")), ours);
}

/// A mailbox that can have no name there is told, and the others come back.
#[test]
fn a_restore_into_a_namespace_goes_on() {
    let server = server(ARCHIVE);
    let mut imap = server.imap("ann");
    imap.ok("CREATE zz");
    for mailbox in ["INBOX", "zz"] {
        let text = message("1@test", "x", "Text.");
        imap.append(mailbox, "\\Seen", &text).unwrap();
    }
    let backup = server.path("backup").display().to_string();
    dovelet(&server, &["backup", "-u", "ann", &backup]);
    let words = ["restore", "-u", "ann", "--into", "Archive", &backup];
    let done = run(&mut server.command(&words));
    assert_eq!(done.status.code(), Some(65), "{}", done.stderr);
    assert!(done.stderr.contains("INBOX: "), "{}", done.stderr);
    imap.ok("SELECT Archive/zz");
    assert_eq!(imap.list("1:*").unwrap().len(), 1);
}

/// Its engine may only touch the directory that was there when it began.
#[test]
fn a_disk_that_comes_later_is_there_for_who_comes_next() {
    for isolation in ["user", "shared"] {
        let mut server = server(&format!("isolation = \"{isolation}\"\n{ARCHIVE}"));
        let mut imap = server.imap("ann");
        imap.append("Archive", "", &message("1@test", "x", "Text."))
            .unwrap();
        drop(imap);
        assert!(server.stop().success());
        let [cold, away] = ["cold", "away"].map(|name| server.path(name));
        fs::rename(&cold, &away).unwrap();
        server.again();
        let mut imap = server.imap("ann");
        let status = "STATUS Archive (MESSAGES)";
        let answer = imap.command(status).unwrap();
        assert!(answer.status.starts_with("NO "), "{isolation}: {answer:?}");
        let _ = fs::remove_dir_all(&cold);
        fs::rename(&away, &cold).unwrap();
        let told = server.imap("ann").ok(status).untagged.concat();
        assert!(told.contains("(MESSAGES 1)"), "{isolation}: {told}");
    }
}
