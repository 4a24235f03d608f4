//! Mail that Dovecot kept is taken over where it lies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use support::{Dovecot, Imap, Server, account, change, message};

/// A server with a mailbox of that format, not running, with no mail and no index.
fn server(format: &str) -> Server {
    let mut server = Server::start(&format!("[storage]\nformat = \"{format}\""));
    // Makes the directories and their owners.
    server.deliver("ann", &message("first@test", "delivered", "By LMTP."));
    assert!(server.stop().success());
    let root = server.data().join("mail/ann");
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    fs::remove_dir_all(server.data().join("index")).unwrap();
    server
}

fn dovecot(server: &Server, format: &str) -> Dovecot {
    dovecot_laid_out(server, format, "")
}

/// `layout`: what its `mail_location` ends with.
fn dovecot_laid_out(server: &Server, format: &str, layout: &str) -> Dovecot {
    let mail = server.data().join("mail");
    let owner = fs::metadata(mail.join("ann")).unwrap();
    let location = format!(
        "mail_location = {format}:{}/%u{layout}\nmdbox_rotate_size = 64k\n",
        mail.display()
    );
    let owner = (owner.uid(), owner.gid());
    Dovecot::with(&server.path("dovecot"), &mail, owner, &location)
}

/// Much of what a mailbox can have, with more keywords than letters, more changes than Dovecot keeps in a
/// log alone.
fn fill(imap: &mut Imap) {
    change(imap, "work/&ANw-bung", "theirs");
    let large = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(3000);
    for number in 0..6 {
        let text = message(&format!("large-{number}@test"), "large", &large);
        imap.append("INBOX", "", &text).unwrap();
    }
    imap.ok("SELECT INBOX");
    for number in 0..120 {
        let sign = if number % 3 == 2 { '-' } else { '+' };
        imap.ok(&format!("STORE {} {sign}FLAGS (\\Flagged)", number % 8 + 1));
    }
    imap.ok("UNSELECT");
    imap.ok("SELECT INBOX");
    for number in 0..32 {
        imap.ok(&format!("STORE {} +FLAGS (label-{number})", number % 7 + 1));
    }
    imap.ok("STORE 8 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("UNSELECT");
}

/// The settings of POP3 that have both servers name messages alike.
fn uidls(server: &Server, format: &str) -> Vec<String> {
    let dovecot = dovecot(server, format);
    let mut pop3 = dovecot.pop3("ann");
    pop3.list("UIDL")
}

fn adopt(server: &Server, more: &[&str]) -> (bool, String, String) {
    run(server, "adopt", more)
}

/// Whether a command on the mail of ann went well, and what it said.
fn run(server: &Server, command: &str, more: &[&str]) -> (bool, String, String) {
    let root = server.data().join("mail/ann");
    let mut words = vec![command, root.to_str().unwrap()];
    words.extend(more);
    let output = server.command(&words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// UID, save date and GUID of messages, as Dovecot tells them and as the log says.
fn saved_in_dovecot(dovecot: &Dovecot) -> Vec<[String; 3]> {
    let fields = ["uid", "date.saved.unixtime", "guid"];
    let mut words = vec!["-f", "tab", "fetch", "-u", "ann"];
    let all = fields.join(" ");
    words.extend([all.as_str(), "mailbox", "INBOX"]);
    let told = dovecot.doveadm(&words);
    let rows = told.lines().skip(1).map(|line| {
        let mut values = line.split('\t').map(str::to_owned);
        [0; 3].map(|_| values.next().unwrap())
    });
    rows.collect()
}

fn saved_in_log(root: &Path) -> Vec<[String; 3]> {
    let log = fs::read(root.join("mailboxes/INBOX/dbox-Mails/dovelet.log")).unwrap();
    let text = String::from_utf8(log).unwrap();
    let records = text
        .lines()
        .filter_map(|line| line.split_once(" F ")?.1.split_once(' '));
    let rows = records.map(|(_, record)| {
        let field = |name: &str| {
            record
                .split_once(name)
                .unwrap()
                .1
                .split(',')
                .next()
                .unwrap()
        };
        let guid = record.split(',').next().unwrap();
        [field(",U="), field(",D="), guid].map(str::to_owned)
    });
    rows.collect()
}

fn logs(root: &Path) -> usize {
    let all = ["INBOX", "work/&ANw-bung"];
    let log = |mailbox: &&str| {
        root.join("mailboxes")
            .join(mailbox)
            .join("dbox-Mails/dovelet.log")
    };
    all.iter().filter(|mailbox| log(mailbox).exists()).count()
}

fn is_taken_over(format: &str) {
    if !Dovecot::possible() {
        return;
    }
    let mut server = server(format);
    let root = server.data().join("mail/ann");
    let theirs = {
        let dovecot = dovecot(&server, format);
        fill(&mut dovecot.imap("ann"));
        let mut imap = dovecot.imap("ann");
        (account(&mut imap), saved_in_dovecot(&dovecot))
    };
    assert_eq!(theirs.0.mailboxes["INBOX"].messages.len(), 8, "{theirs:#?}");
    let uidls = Dovecot::has_pop3().then(|| uidls(&server, format));

    // Before that nothing is served, and nothing is changed.
    server.again();
    let refused = server.command(&["doctor"]).output().unwrap();
    let told = server.log() + &String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("dovelet adopt"), "{told}");
    let (done, _, told) = adopt(&server, &[]);
    assert!(!done && told.contains("stop it first"), "{told}");
    assert!(server.stop().success());
    assert_eq!(logs(&root), 0);

    let (done, told, _) = adopt(&server, &["--dry-run", "--json"]);
    assert!(done && told.contains("\"taken_over\":false"), "{told}");
    assert_eq!(logs(&root), 0);
    // As where no server ran yet.
    for part in ["index", "run", "tls"] {
        fs::remove_dir_all(server.data().join(part)).unwrap();
    }
    let (done, told, wrong) = adopt(&server, &[]);
    assert!(done && wrong.is_empty(), "{told}{wrong}");
    let validity = &theirs.0.mailboxes["INBOX"].uid_validity;
    let line = format!("INBOX: 8 messages, UIDVALIDITY {validity}, UIDNEXT ");
    assert!(told.contains(&line), "{told}");
    assert!(told.contains("taken over: "), "{told}");
    assert_eq!(logs(&root), 2);
    assert_eq!(saved_in_log(&root), theirs.1);

    for without_index in [false, true] {
        server.again();
        let mut imap = server.imap("ann");
        // Keywords beyond z are in a file, too.
        assert_eq!(
            account(&mut imap),
            theirs.0,
            "without index: {without_index}"
        );
        if let Some(uidls) = &uidls {
            assert_eq!(&server.pop3("ann").list("UIDL"), uidls);
        }
        assert!(server.stop().success());
        if !without_index {
            fs::remove_dir_all(server.data().join("index")).unwrap();
        }
    }
    // Dovecot finds all that was there, as it was, and says the same of it.
    {
        let dovecot = dovecot(&server, format);
        let mut imap = dovecot.imap("ann");
        assert_eq!(account(&mut imap), theirs.0);
        assert_eq!(saved_in_dovecot(&dovecot), theirs.1);
    }
    // What comes here gets UIDs that nothing had.
    server.again();
    server.deliver("ann", &message("late@test", "delivered", "By LMTP."));
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let all = imap.list("1:*").unwrap();
    let (last, before) = (&all[8], &theirs.0.mailboxes["INBOX"].uid_next);
    assert_eq!(
        (last.id.as_str(), last.uid.to_string()),
        ("late@test", before.clone())
    );
    assert!(server.stop().success());
    let (done, told, _) = adopt(&server, &[]);
    assert!(done && told.contains("INBOX: 9 messages"), "{told}");
    assert!(told.contains("taken over before"), "{told}");
}

#[test]
fn an_sdbox_of_dovecots_is_taken_over() {
    is_taken_over("sdbox");
}

#[test]
fn an_mdbox_of_dovecots_is_taken_over() {
    is_taken_over("mdbox");
}

/// Directories that are called by GUIDs get the names that Dovecot's index of mailboxes tells.
#[test]
fn mailboxes_in_directories_called_by_guids_are_taken_over() {
    if !Dovecot::possible() {
        return;
    }
    for format in ["sdbox", "mdbox"] {
        let mut server = server(format);
        let theirs = {
            let dovecot = dovecot_laid_out(&server, format, ":LAYOUT=index");
            let mut imap = dovecot.imap("ann");
            fill(&mut imap);
            imap.ok("CREATE old/deep");
            imap.ok("RENAME old/deep new");
            account(&mut dovecot.imap("ann"))
        };
        let place = |name: &str| {
            let below = format!("data/mail/ann/mailboxes/{name}/dbox-Mails");
            server.path(&below).is_dir()
        };
        let names = ["INBOX", "work/&ANw-bung", "new"];
        let (done, told, wrong) = adopt(&server, &["--dry-run"]);
        assert!(done && told.contains("work/\u{dc}bung: "), "{told}{wrong}");
        assert!(!names.iter().any(|name| place(name)));
        let (done, told, wrong) = adopt(&server, &[]);
        assert!(done && wrong.is_empty(), "{told}{wrong}");
        assert!(names.iter().all(|name| place(name)));
        let (done, told, _) = adopt(&server, &[]);
        assert!(done && told.contains("taken over before"), "{told}");
        server.again();
        assert_eq!(account(&mut server.imap("ann")), theirs, "{format}");
        assert!(server.stop().success());
        // What nobody has a name for is not dropped without a word.
        let nameless = "data/mail/ann/mailboxes/00ca422086b1076bad3a000083ecc375";
        fs::create_dir_all(server.path(nameless)).unwrap();
        let (done, _, wrong) = adopt(&server, &[]);
        assert!(
            !done && wrong.contains("whose name dovecot.list.index"),
            "{wrong}"
        );
    }
}

/// Copies files whose names begin with that, as `cp -p` does.
fn copy(from: &Path, to: &Path, prefix: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name();
        if file.to_str().unwrap().starts_with(prefix) && entry.path().is_file() {
            let owner = entry.metadata().unwrap();
            let copied = to.join(file);
            fs::copy(entry.path(), &copied).unwrap();
            std::os::unix::fs::chown(copied, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }
}

/// What Dovecot kept elsewhere, or in directories of other names, is told with the way out, and nothing is changed
/// before that was gone.
#[test]
fn what_dovecot_kept_elsewhere_is_in_the_way() {
    if !Dovecot::possible() {
        return;
    }
    for (format, option, told) in [
        ("sdbox", "INDEX", "INDEX=DIR"),
        ("sdbox", "DIRNAME", "DIRNAME="),
        ("sdbox", "FULLDIRNAME", "DIRNAME="),
        ("maildir", "CONTROL", "CONTROL=DIR"),
    ] {
        let server = server(format);
        let root = server.data().join("mail/ann");
        let elsewhere = server.path("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let owner = fs::metadata(&root).unwrap();
        std::os::unix::fs::chown(&elsewhere, Some(owner.uid()), Some(owner.gid())).unwrap();
        let value = match option.ends_with("DIRNAME") {
            true => "other".to_owned(),
            false => elsewhere.display().to_string(),
        };
        let theirs = {
            let dovecot = dovecot_laid_out(&server, format, &format!(":{option}={value}"));
            let mut imap = dovecot.imap("ann");
            for number in 0..3 {
                let text = message(&format!("{number}@test"), "kept", "Text.");
                imap.append("INBOX", "", &text).unwrap();
            }
            imap.ok("SELECT INBOX");
            imap.ok("STORE 1:2 +FLAGS (label)");
            imap.ok("STORE 1 +FLAGS (\\Deleted)");
            imap.ok("EXPUNGE");
            account(&mut dovecot.imap("ann"))
        };
        let files = || {
            let find = std::process::Command::new("find")
                .arg(&root)
                .output()
                .unwrap();
            let mut lines: Vec<String> = String::from_utf8(find.stdout)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect();
            lines.sort_unstable();
            lines
        };
        let before = files();
        let (done, _, wrong) = adopt(&server, &[]);
        assert!(!done && wrong.contains(told), "{option}: {wrong}");
        assert_eq!(files(), before, "{option}");
        let inbox = root.join("mailboxes/INBOX/dbox-Mails");
        match option {
            "INDEX" => copy(&elsewhere.join("mailboxes/INBOX"), &inbox, "dovecot.index"),
            "CONTROL" => copy(&elsewhere.join(".INBOX"), &root, "dovecot-"),
            _ => fs::rename(root.join("mailboxes/INBOX/other"), inbox).unwrap(),
        }
        let (done, told, wrong) = adopt(&server, &[]);
        assert!(done && wrong.is_empty(), "{option}: {told}{wrong}");
        let mut server = server;
        server.again();
        let ours = account(&mut server.imap("ann"));
        assert_eq!(ours.mailboxes, theirs.mailboxes, "{option}");
        assert!(server.stop().success());
    }
}

/// Keywords for which a Maildir has no letter come and go with the mail.
#[test]
fn keywords_beyond_the_letters_of_a_maildir_go_back() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = server("maildir");
    let theirs = {
        let dovecot = dovecot(&server, "maildir");
        fill(&mut dovecot.imap("ann"));
        account(&mut dovecot.imap("ann"))
    };
    let (done, told, wrong) = adopt(&server, &[]);
    assert!(done && wrong.is_empty(), "{told}{wrong}");
    server.again();
    let mut imap = server.imap("ann");
    assert_eq!(account(&mut imap), theirs);
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1:8 -FLAGS (label-31)");
    imap.ok("STORE 1,4,6 +FLAGS (label-30 another)");
    imap.ok("UNSELECT");
    let ours = account(&mut imap);
    drop(imap);
    assert!(server.stop().success());
    let (done, told, wrong) = run(&server, "export", &["--to", "dovecot"]);
    assert!(done && wrong.is_empty(), "{told}{wrong}");
    let dovecot = dovecot(&server, "maildir");
    for _ in 0..2 {
        assert_eq!(account(&mut dovecot.imap("ann")), ours);
        dovecot.doveadm(&["force-resync", "-u", "ann", "*"]);
    }
}

/// Dovecot adds and takes away keywords for which there is no letter while the index stays.
#[test]
fn keywords_beyond_the_letters_that_dovecot_changes_come_with_the_next_adopt() {
    if !Dovecot::possible() {
        return;
    }
    for format in ["maildir", "mbox", "sdbox", "mdbox"] {
        let mut server = server(format);
        let layout = match format {
            "mbox" => format!(":INBOX={}/mail/%u/inbox", server.data().display()),
            _ => String::new(),
        };
        {
            let dovecot = dovecot_laid_out(&server, format, &layout);
            fill(&mut dovecot.imap("ann"));
        }
        for round in 0..2 {
            let (done, told, wrong) = adopt(&server, &[]);
            assert!(done && wrong.is_empty(), "{format}: {told}{wrong}");
            server.again();
            let mut imap = server.imap("ann");
            imap.ok("SELECT INBOX");
            imap.ok(&format!("STORE 2,3 +FLAGS (ours-{round} label-29)"));
            imap.ok("STORE 4 -FLAGS (label-31)");
            drop(imap);
            assert!(server.stop().success());
            let (done, told, wrong) = run(&server, "export", &["--to", "dovecot"]);
            assert!(done && wrong.is_empty(), "{format}: {told}{wrong}");
            let theirs = {
                let dovecot = dovecot_laid_out(&server, format, &layout);
                let mut imap = dovecot.imap("ann");
                imap.ok("SELECT INBOX");
                // The first is a letter of whoever counts those that are used alone.
                imap.ok("STORE 1:* -FLAGS (label-4 label-29)");
                imap.ok(&format!("STORE 2 -FLAGS (ours-{round} label-30)"));
                imap.ok(&format!(
                    "STORE 5 +FLAGS (ours-{round} theirs-{round} label-31)"
                ));
                imap.ok("UNSELECT");
                account(&mut imap)
            };
            let (done, told, wrong) = adopt(&server, &[]);
            assert!(done && wrong.is_empty(), "{format}: {told}{wrong}");
            server.again();
            let mut imap = server.imap("ann");
            assert_eq!(account(&mut imap), theirs, "{format} {round}");
            // This says anew which messages have them.
            imap.ok("SELECT INBOX");
            imap.ok("STORE 8 +FLAGS (label-31)");
            imap.ok("STORE 8 -FLAGS (label-31)");
            imap.ok("UNSELECT");
            assert_eq!(account(&mut imap), theirs, "{format} {round}");
            drop(imap);
            assert!(server.stop().success());
        }
    }
}
