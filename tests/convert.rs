//! `dovelet convert`: between all formats, with nothing that a client could notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use support::{
    Account, Dovecot, Finished, Imap, Server, Start, account, change, line, message, run,
    wait_until,
};

fn settings(format: &str, more: &str) -> String {
    format!("isolation = \"user\"\n[storage]\nformat = \"{format}\"\n{more}")
}

fn server(format: &str, more: &str) -> Server {
    Server::with(Start {
        settings: &settings(format, more),
        users: line("ann", Some(4711)) + &line("bob", Some(4712)) + &line("eve", None),
        ..Start::default()
    })
}

fn convert(server: &Server, from: &str, to: &str, more: &[&str]) -> Finished {
    let mut words = vec!["convert", from, to];
    words.extend(more);
    run(&mut server.command(&words))
}

/// All that this server tells of messages and mailboxes beside what [`account`] asks, mod-sequences included.
fn more(imap: &mut Imap, account: &Account) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for name in account.mailboxes.keys() {
        let status = imap.ok(&format!("STATUS {name} (MAILBOXID HIGHESTMODSEQ)"));
        imap.ok(&format!("EXAMINE {name}"));
        let rows = imap
            .ok("UID FETCH 1:* (UID INTERNALDATE SAVEDATE RFC822.SIZE EMAILID THREADID MODSEQ)");
        let mut rows: Vec<String> = rows
            .untagged
            .into_iter()
            .filter(|row| row.contains("SAVEDATE"))
            .collect();
        rows.extend(status.untagged);
        let annotations = imap.ok(&format!("GETMETADATA {name} (/private/comment)"));
        rows.extend(annotations.untagged);
        all.insert(name.clone(), rows);
    }
    let mut listed = imap.ok("LIST (SPECIAL-USE) \"\" *").untagged;
    listed.extend(imap.ok("LSUB \"\" *").untagged);
    all.insert(String::new(), listed);
    all
}

/// EMAILIDs are another's in an mbox.
fn without_ids(all: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let strip = |row: &String| {
        let mut row = row.clone();
        for item in ["EMAILID (", "THREADID ("] {
            if let Some((before, after)) = row.clone().split_once(item) {
                row = format!("{before}{}", after.split_once(')').unwrap().1);
            }
        }
        row
    };
    let rows = |rows: &Vec<String>| rows.iter().map(strip).collect();
    all.iter()
        .map(|(name, all)| (name.clone(), rows(all)))
        .collect()
}

fn fill(server: &Server) {
    let mut imap = server.imap("ann");
    change(&mut imap, "work/&ANw-bung", "ours");
    change(&mut imap, "also", "both");
    imap.ok("CREATE Out (USE (\\Sent))");
    imap.append("Out", "\\Seen", &message("sent@test", "sent", "x"))
        .unwrap();
    imap.ok("SETMETADATA Out (/private/comment \"my own\")");
    imap.ok("CREATE empty");
    imap.ok("DELETE Junk");
    imap.ok("SELECT INBOX");
    // Beyond the letters, with a gap where one was.
    for number in 0..30 {
        imap.ok(&format!("STORE {} +FLAGS (label-{number})", number % 3 + 1));
    }
    // One that is in several mailboxes.
    imap.ok("COPY 1:2 Out");
    imap.ok("COPY 2 INBOX");
    imap.ok("UNSELECT");
    let large = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(3000);
    imap.append("INBOX", "", &message("large@test", "large", &large))
        .unwrap();
    server.deliver("ann", &message("late@test", "delivered", "By LMTP."));
    server.deliver("bob", &message("bob@test", "delivered", "By LMTP."));
    server.pop3("ann").list("UIDL");
}

fn beside(server: &Server, name: &str) -> PathBuf {
    server.data().join("mail").join(name)
}

#[test]
fn no_client_notices_that_the_format_is_another() {
    let circle = [
        "maildir", "mdbox", "sdbox", "maildir", "mbox", "mdbox", "mbox", "sdbox",
    ];
    let mut server = server(circle[0], "");
    fill(&server);
    let mut theirs = account(&mut server.imap("ann"));
    let mut more_of_theirs = more(&mut server.imap("ann").raw(), &theirs);
    let uidls = server.pop3("ann").list("UIDL");
    for pair in circle.windows(2) {
        let [from, to] = [pair[0], pair[1]];
        let mails = ["ann", "bob"].map(|user| fs::metadata(beside(&server, user)).unwrap().uid());
        let done = convert(&server, from, to, &[]);
        assert_eq!(done.status.code(), Some(75), "{done:?}");
        assert!(done.stderr.contains("stop it first"), "{done:?}");
        assert!(server.stop().success());
        let done = convert(&server, from, to, &[]);
        assert_eq!(done.status.code(), Some(0), "{from} {to} {done:?}");
        assert!(done.stdout.contains(" messages are "), "{done:?}");
        assert!(done.stdout.contains(&format!(" {to} now")), "{done:?}");
        assert!(
            done.stdout.contains("eve: nothing to convert\n"),
            "{done:?}"
        );
        assert!(
            done.stdout
                .contains("bob: if all is well, remove what was there: rm -r ")
        );
        let hint = format!("[storage] format = \"{to}\"");
        assert!(done.stderr.contains(&hint), "{done:?}");
        // The second time there is nothing to do, and nothing is lost.
        let again = convert(&server, from, to, &["--json"]);
        assert_eq!(again.status.code(), Some(0), "{again:?}");
        assert!(
            again
                .stdout
                .starts_with("{\"user\":\"ann\",\"converted\":false,"),
            "{again:?}"
        );
        for user in ["ann", "bob"] {
            let old = beside(&server, &format!(".{user}.was-{from}"));
            assert!(old.is_dir() && !beside(&server, &format!(".{user}.to-{to}")).exists());
            fs::remove_dir_all(old).unwrap();
        }
        let owners = ["ann", "bob"].map(|user| fs::metadata(beside(&server, user)).unwrap().uid());
        assert_eq!(owners, mails);
        fs::write(server.config(), server.settings(&settings(to, ""))).unwrap();
        server.again();
        let ours = account(&mut server.imap("ann"));
        assert_eq!(ours, theirs, "{from} {to}");
        let more_of_ours = more(&mut server.imap("ann").raw(), &ours);
        match to == "mbox" || from == "mbox" {
            false => assert_eq!(more_of_ours, more_of_theirs, "{from} {to}"),
            true => {
                let both = [&more_of_ours, &more_of_theirs].map(without_ids);
                assert_eq!(both[0], both[1], "{from} {to}");
            }
        }
        assert_eq!(server.pop3("ann").list("UIDL"), uidls, "{from} {to}");
        let bob = account(&mut server.imap("bob"));
        assert_eq!(bob.mailboxes["INBOX"].messages.len(), 1);
        // It goes on from there.
        let mut imap = server.imap("ann");
        imap.append(
            "also",
            "\\Flagged",
            &message(&format!("{to}@test"), "new", "x"),
        )
        .unwrap();
        imap.ok("SELECT also");
        imap.ok("STORE 1 +FLAGS (\\Answered another)");
        imap.ok("UNSELECT");
        theirs = account(&mut imap);
        more_of_theirs = more(&mut server.imap("ann").raw(), &theirs);
        let next = theirs.mailboxes["also"].messages.last().unwrap().uid + 1;
        assert_eq!(theirs.mailboxes["also"].uid_next, next.to_string());
        let told = server.log();
        assert!(!told.contains("ERROR"), "{told}");
    }
}

#[test]
fn what_an_mbox_leaves_out_is_no_damage() {
    let mut server = server("maildir", "");
    let mut imap = server.imap("ann").raw();
    let texts = [
        "Status: RO\r\nSubject: a\r\n\r\nx\r\n",
        "Content-Length: 5\r\nX-Keywords: a\r\nX-UID: 9\r\nSubject: b\r\n\r\nlonger than that\r\n",
        "From a@b Mon Jan  2 10:00:00 2023\r\nSubject: c\r\n\r\nx\r\n",
        "Subject: d",
        "Subject: e\r\n\r\nas it is\r\n",
    ];
    for text in texts {
        imap.append("INBOX", "", text).unwrap();
    }
    // All is known of them.
    let items = "(UID RFC822.SIZE BODYSTRUCTURE ENVELOPE PREVIEW)";
    let sizes = "STATUS INBOX (MESSAGES SIZE)";
    imap.ok("SELECT INBOX");
    imap.ok(&format!("FETCH 1:* {items}"));
    imap.ok("FETCH 1:* BODY.PEEK[]");
    imap.ok("UNSELECT");
    imap.ok(sizes);
    server.pop3("ann").list("LIST");
    drop(imap);
    assert!(server.stop().success());
    let done = convert(&server, "maildir", "mbox", &["--user", "ann"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stdout.contains("4 lack fields"), "{done:?}");
    fs::write(server.config(), server.settings(&settings("mbox", ""))).unwrap();
    server.again();
    let mut imap = server.imap("ann").raw();
    let size = |row: &str| -> u64 {
        let rest = row.split("SIZE ").nth(1).unwrap();
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    };
    let status = size(&imap.ok(sizes).untagged.concat());
    imap.ok("SELECT INBOX");
    let told: Vec<u64> = (1..=5)
        .map(|uid| {
            size(
                &imap
                    .ok(&format!("UID FETCH {uid} {items}"))
                    .untagged
                    .concat(),
            )
        })
        .collect();
    let octets = |uid: usize| -> u64 {
        let row = imap
            .ok(&format!("UID FETCH {uid} BODY.PEEK[]"))
            .untagged
            .concat();
        let literal = row.split("BODY[] {").nth(1).unwrap();
        literal.split('}').next().unwrap().parse().unwrap()
    };
    let octets: Vec<u64> = (1..=5).map(octets).collect();
    assert_eq!(octets, told);
    assert_eq!(octets.iter().sum::<u64>(), status);
    assert_ne!(octets[0], texts[0].len() as u64);
    assert_eq!(octets[4], texts[4].len() as u64);
    let log = server.log();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn names_of_files_are_unique_ids_for_ever() {
    let pop3 = "[pop3]\nuidl_format = \"%f\"\n";
    let mut server = server("maildir", pop3);
    fill(&server);
    let uidls = server.pop3("ann").list("UIDL");
    assert!(uidls[0].contains(".M"), "{uidls:?}");
    assert!(server.stop().success());
    let done = convert(&server, "maildir", "mdbox", &["--user", "ann"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(!done.stdout.contains("bob"), "{done:?}");
    fs::write(server.config(), server.settings(&settings("mdbox", pop3))).unwrap();
    server.again();
    assert_eq!(server.pop3("ann").list("UIDL"), uidls);
}

#[test]
fn dovecot_finds_what_was_converted() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = server("mdbox", "");
    let mut imap = server.imap("ann");
    change(&mut imap, "work/&ANw-bung", "ours");
    let ours = account(&mut imap);
    drop(imap);
    assert!(server.stop().success());
    for (from, to) in [("mdbox", "maildir"), ("maildir", "sdbox")] {
        let done = convert(&server, from, to, &["--user", "ann"]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let root = beside(&server, "ann");
        if to == "sdbox" {
            let root = root.to_str().unwrap().to_owned();
            let done = run(&mut server.command(&["export", &root, "--to", "dovecot"]));
            assert_eq!(done.status.code(), Some(0), "{done:?}");
        }
        let owner = fs::metadata(&root).unwrap();
        let location = format!(
            "mail_location = {to}:{}/%u\n",
            server.data().join("mail").display()
        );
        let dovecot = Dovecot::with(
            &server.path(&format!("dovecot-{to}")),
            &server.data().join("mail"),
            (owner.uid(), owner.gid()),
            &location,
        );
        assert_eq!(account(&mut dovecot.imap("ann")), ours, "{to}");
    }
}

#[test]
fn broken_off_anywhere_it_goes_on() {
    for (from, to) in [
        ("maildir", "mdbox"),
        ("mdbox", "maildir"),
        ("mdbox", "sdbox"),
        ("sdbox", "mbox"),
    ] {
        let mut server = server(from, "");
        let source = server.path("many.mbox");
        let mut text = String::new();
        for n in 0..400 {
            text.push_str(&format!(
                "From a Sun Sep  9 01:46:40 2001\nSubject: many-{n}\nMessage-ID: <{n}@test>\nStatus: {}\n\n{}\n\n",
                if n % 3 == 0 { "RO" } else { "O" },
                "line of text\n".repeat(20)
            ));
        }
        fs::write(&source, text).unwrap();
        let done = run(&mut server.command(&["import", "-u", "ann", source.to_str().unwrap()]));
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let theirs = account(&mut server.imap("ann"));
        let dates = save_dates(&mut server.imap("ann"));
        assert!(server.stop().success());
        let old = beside(&server, &format!(".ann.was-{from}"));
        // Later each time, and perhaps once it is done.
        for round in 1..=6 {
            let mut command = server.command(&["convert", from, to]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let started = std::time::Instant::now();
            wait_until("the moment", || {
                let now = started.elapsed().as_millis() > round * 50;
                (now || child.try_wait().unwrap().is_some()).then_some(())
            });
            child.kill().ok();
            child.wait().unwrap();
            // Whatever happened, one of the two trees has all.
            let root = beside(&server, "ann");
            assert!(root.is_dir() || old.is_dir());
        }
        let done = convert(&server, from, to, &[]);
        assert_eq!(done.status.code(), Some(0), "{from} {to} {done:?}");
        assert!(old.is_dir());
        fs::write(server.config(), server.settings(&settings(to, ""))).unwrap();
        server.again();
        assert_eq!(account(&mut server.imap("ann")), theirs, "{from} {to}");
        // What an mbox had when it was broken off it takes for what another program brought.
        if to != "mbox" {
            let now = save_dates(&mut server.imap("ann"));
            assert_eq!(now, dates, "{from} {to}");
        }
    }
}

/// What is lost of a tree that was begun comes again, also where that is an mbox, whose UIDs ascend.
#[test]
fn what_was_begun_and_is_cut_is_made_anew() {
    for middle in [false, true] {
        let mut server = server("sdbox", "");
        let mut imap = server.imap("ann");
        imap.ok("CREATE many");
        for number in 0..5 {
            let message = message(&format!("{number}@test"), &format!("many-{number}"), "x");
            imap.append("many", "\\Seen keyword", &message).unwrap();
        }
        imap.ok("SELECT many");
        imap.ok("STORE 5 +FLAGS \\Deleted");
        imap.ok("EXPUNGE");
        let theirs = account(&mut imap);
        drop(imap);
        assert!(server.stop().success());
        let done = convert(&server, "sdbox", "mbox", &[]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        // As if it had been broken off at its end.
        fs::rename(beside(&server, "ann"), beside(&server, ".ann.to-mbox")).unwrap();
        fs::rename(beside(&server, ".ann.was-sdbox"), beside(&server, "ann")).unwrap();
        let file = beside(&server, ".ann.to-mbox").join("many");
        let text = fs::read_to_string(&file).unwrap();
        let starts: Vec<usize> = text.match_indices("\nFrom ").map(|at| at.0 + 1).collect();
        let (from, to) = match middle {
            true => (starts[0], starts[1]),
            false => (*starts.last().unwrap(), text.len()),
        };
        fs::write(&file, [&text[..from], &text[to..]].concat()).unwrap();
        let done = convert(&server, "sdbox", "mbox", &[]);
        assert_eq!(done.status.code(), Some(0), "{middle} {done:?}");
        fs::write(server.config(), server.settings(&settings("mbox", ""))).unwrap();
        server.again();
        assert_eq!(account(&mut server.imap("ann")), theirs, "{middle}");
    }
}

fn save_dates(imap: &mut Imap) -> Vec<String> {
    imap.ok("EXAMINE many");
    let rows = imap.ok("UID FETCH 1:* (UID SAVEDATE MODSEQ)").untagged;
    let rows = rows.iter().filter_map(|row| row.split_once(" MODSEQ"));
    let dates: Vec<String> = rows.map(|(before, _)| before.to_owned()).collect();
    assert_eq!(
        dates.iter().filter(|row| row.contains("SAVEDATE")).count(),
        400
    );
    dates
}

#[test]
fn what_is_wrong_is_told_and_nothing_changes() {
    let mut server = server("maildir", "");
    fill(&server);
    let theirs = account(&mut server.imap("ann"));
    assert!(server.stop().success());
    for (words, code, told) in [
        (vec!["convert", "maildir"], 64, "convert needs two formats"),
        (
            vec!["convert", "maildir", "maildri"],
            64,
            "did you mean \"maildir\"?",
        ),
        (
            vec!["convert", "maildir", "mdbox", "--user", "mia"],
            67,
            "no such user",
        ),
        (
            vec!["convert", "mdbox", "sdbox", "--user", "ann"],
            1,
            "is maildir, neither of the two",
        ),
    ] {
        let done = run(&mut server.command(&words));
        assert_eq!(done.status.code(), Some(code), "{words:?} {done:?}");
        assert!(done.stderr.contains(told), "{words:?} {done:?}");
    }
    // A message that cannot be read keeps its mailbox from being another.
    let inbox = beside(&server, "ann").join("cur");
    let file = fs::read_dir(&inbox)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let done = convert(&server, "maildir", "mdbox", &["--user", "ann"]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    assert!(done.stderr.contains("cannot be read"), "{done:?}");
    assert!(!beside(&server, ".ann.was-maildir").exists());
    fs::remove_dir(&file).unwrap();
    fs::write(&file, text).unwrap();
    let owner = fs::metadata(beside(&server, "ann")).unwrap();
    std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    server.again();
    assert_eq!(
        account(&mut server.imap("ann")).mailboxes.len(),
        theirs.mailboxes.len()
    );
}

/// What a user's own line says of the mail holds, also of how mailboxes lie there.
#[test]
fn the_mail_of_who_has_it_otherwise_is_converted_whole() {
    let own =
        |words: &str| line("ann", Some(4711)).replace(":\n", &format!(":userdb_mail={words}\n"));
    let mut server = Server::with(Start {
        settings: &settings("mbox", ""),
        users: own("maildir:~/box:LAYOUT=fs"),
        ..Start::default()
    });
    {
        let mut imap = server.imap("ann");
        change(&mut imap, "work/deep", "own");
    }
    let theirs = account(&mut server.imap("ann"));
    assert!(theirs.mailboxes.contains_key("work/deep"), "{theirs:?}");
    assert!(server.stop().success());
    let users = server.path("users");
    // By that line alone it is known how the mail lies.
    fs::write(&users, own("sdbox:~/box")).unwrap();
    let done = convert(&server, "maildir", "sdbox", &["--user", "ann"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let told = "has to say maildir until the mail is converted";
    assert!(done.stderr.contains(told), "{done:?}");
    fs::write(&users, own("maildir:~/box:LAYOUT=fs")).unwrap();
    let done = convert(&server, "maildir", "sdbox", &["--user", "ann"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let told = "the line of ann in the users file has to say sdbox, where it says maildir";
    assert!(done.stderr.contains(told), "{done:?}");
    assert!(!done.stderr.contains("[storage] format"), "{done:?}");
    fs::write(&users, own("sdbox:~/box")).unwrap();
    server.again();
    assert_eq!(account(&mut server.imap("ann")), theirs);
}
