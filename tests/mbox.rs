//! Files of messages that other programs read and write: Dovecot, and mutt, in turns and while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::thread::scope;
use std::time::Duration;
use support::{
    Dovecot, DovecotLog, PASSWORD, Server, Start, account, can, change, message, run, wait_until,
};

const SETTINGS: &str = "[storage]\nformat = \"mbox\"";

fn dovecot(server: &Server) -> Dovecot {
    let mail = server.data().join("mail");
    let owner = fs::metadata(mail.join("ann")).unwrap();
    let location = format!(
        "mail_location = mbox:{m}/%u:INBOX={m}/%u/inbox\n",
        m = mail.display()
    );
    Dovecot::with(
        &server.path("dovecot"),
        &mail,
        (owner.uid(), owner.gid()),
        &location,
    )
}

/// Dovecot and this server append to the same file at once, and read it.
#[test]
fn nothing_is_lost_while_dovecot_writes_too() {
    if !Dovecot::possible() {
        return;
    }
    let server = Server::start(SETTINGS);
    drop(server.imap("ann"));
    // A file without messages has no UIDVALIDITY: that of whoever writes first would be the one.
    server.deliver("ann", &message("first@test", "x", "Text.\r\n"));
    let _log = DovecotLog::of(&server);
    let other = dovecot(&server);
    let each = 40;
    scope(|scope| {
        scope.spawn(|| {
            for number in 0..each {
                let id = format!("ours-{number}@test");
                server.deliver("ann", &message(&id, "x", "Text.\r\n"));
            }
        });
        scope.spawn(|| {
            let mut imap = other.imap("ann");
            imap.ok("SELECT INBOX");
            for number in 0..each {
                let text = message(&format!("theirs-{number}@test"), "x", "Text.");
                let answer = imap.append("INBOX", "\\Seen", &text).unwrap();
                assert!(answer.status.starts_with("OK"), "{answer:?}");
            }
        });
        scope.spawn(|| {
            let mut imap = server.imap("ann");
            imap.ok("SELECT INBOX");
            let mut known: BTreeMap<u32, String> = BTreeMap::new();
            for _ in 0..each {
                imap.ok("NOOP");
                for message in imap.list("1:*").unwrap() {
                    let before = known.insert(message.uid, message.id.clone());
                    assert!(before.is_none_or(|before| before == message.id));
                }
            }
        });
    });
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let mut ours: Vec<String> = imap
        .list("1:*")
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    let mut imap = other.imap("ann");
    imap.ok("SELECT INBOX");
    let mut theirs: Vec<String> = imap
        .list("1:*")
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    let number = |who: &str| ours.iter().filter(|id| id.starts_with(who)).count();
    assert_eq!((number("ours"), number("theirs")), (each, each));
}

/// mutt deletes, flags and writes the file anew while a session has it open.
#[test]
fn mutt_changes_the_file_that_is_open() {
    for program in ["mutt", "neomutt"] {
        if !can(&[program, "script"]) {
            continue;
        }
        let server = Server::start(SETTINGS);
        for number in 1..=4 {
            let body = "Text.\r\n\r\nFrom a@b Thu Jan  1 00:00:00 1970\r\nmore\r\n";
            let text = message(&format!("{number}@test"), &format!("n{number}"), body);
            server.deliver("ann", &text);
        }
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.ok("STORE 1 +FLAGS (\\Flagged)");
        let before = imap.list("1:*").unwrap();
        // Flags come into the file a moment later.
        let inbox = server.data().join("mail/ann/inbox");
        wait_until("the flag in the file", || {
            let text = fs::read_to_string(&inbox).unwrap();
            text.contains("X-Status:  F").then_some(())
        });
        fs::write(
            server.path("muttrc"),
            format!(
                "set folder={}\nset delete=yes\nset quit=yes\nset move=no\nset mark_old=no\n\
                 set wait_key=no\nset sort=mailbox-order\n",
                server.path("").display()
            ),
        )
        .unwrap();
        let keys = "<delete-pattern>~s n2<enter><tag-pattern>~s n3<enter><tag-prefix><flag-message><sync-mailbox><quit>";
        let command = format!(
            "{program} -n -F {} -f {} -e 'push \"{keys}\"'",
            server.path("muttrc").display(),
            inbox.display()
        );
        let mut mutt = Command::new("script");
        mutt.args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env("HOME", server.path(""))
            .stdin(Stdio::null());
        run(&mut mutt).ok();
        let text = fs::read_to_string(&inbox).unwrap();
        assert!(!text.contains("Subject: n2"), "{program}: {text}");
        imap.ok("NOOP");
        let after = imap.list("1:*").unwrap();
        let told: Vec<_> = after
            .iter()
            .map(|m| (m.uid, &*m.id, m.flags.iter().any(|f| f == "\\Flagged")))
            .collect();
        let uid = |at: usize| before[at].uid;
        assert_eq!(
            told,
            [
                (uid(0), "1@test", true),
                (uid(2), "3@test", true),
                (uid(3), "4@test", false)
            ],
            "{program}"
        );
        server.deliver("ann", &message("5@test", "n5", "Text."));
        imap.ok("NOOP");
        assert_eq!(imap.list("1:*").unwrap().len(), 4);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// INBOX is in a directory of root's, as `/var/mail` is, where users may make files or may not.
#[test]
fn an_inbox_outside_the_tree_is_shared_with_dovecot() {
    if !Dovecot::possible() {
        return;
    }
    const MAIL: u32 = 20_008;
    let settings =
        "isolation = \"user\"\n[storage]\nformat = \"mbox\"\ninbox = \"{directory}spool/{user}\"";
    for (uid, group, mode, locks) in [
        (20_031, 20_031, 0o755, "fcntl"),
        (20_032, MAIL, 0o3775, "dotlock fcntl"),
    ] {
        let server = Server::with(Start {
            settings,
            users: format!("ann:{{PLAIN}}{PASSWORD}:{uid}:{group}\n"),
            ..Start::default()
        });
        let spool = server.path("spool");
        fs::create_dir(&spool).unwrap();
        chown(&spool, None, Some(MAIL)).unwrap();
        fs::set_permissions(&spool, Permissions::from_mode(mode)).unwrap();
        server.deliver("ann", &message("first@test", "x", "Text.\r\n"));
        let file = spool.join("ann");
        let found = fs::metadata(&file).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (uid, 0o600));
        let _log = DovecotLog::of(&server);
        let mail = server.data().join("mail");
        let more = format!(
            "mail_location = mbox:{}/%u:INBOX={}/%u\nmbox_write_locks = {locks}\n",
            mail.display(),
            spool.display()
        );
        let other = Dovecot::with(&server.path("dovecot"), &mail, (uid, group), &more);
        let mut theirs = other.imap("ann");
        theirs.ok("SELECT INBOX");
        let mut ours = server.imap("ann");
        ours.ok("SELECT INBOX");
        let text = message("second@test", "x", "Text.");
        assert!(
            theirs
                .append("INBOX", "\\Seen", &text)
                .unwrap()
                .status
                .starts_with("OK")
        );
        server.deliver("ann", &message("third@test", "x", "Text.\r\n"));
        ours.ok("NOOP");
        ours.ok("UID STORE 1 +FLAGS.SILENT (\\Flagged)");
        ours.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)");
        ours.ok("EXPUNGE");
        ours.ok("CREATE Elsewhere");
        ours.ok("UID COPY 1 Elsewhere");
        // What the file does not have yet comes into it a little later.
        wait_until("what Dovecot sees", || {
            theirs.ok("NOOP");
            let list = theirs.list("1:*").unwrap();
            let ids: Vec<&str> = list.iter().map(|m| m.id.as_str()).collect();
            let flagged = list
                .first()
                .is_some_and(|m| m.flags.iter().any(|f| f == "\\Flagged"));
            (ids == ["first@test", "third@test"] && flagged).then_some(())
        });
        assert!(mail.join("ann/Elsewhere").is_file() && !mail.join("ann/inbox").exists());
        let left = fs::read_dir(&spool).unwrap().count();
        assert_eq!(left, 1, "a lock is left");
    }
}

/// As Debian has it: folders in the home directory, INBOX elsewhere. The tree alone does not tell what it is.
#[test]
fn mail_of_dovecots_with_an_inbox_elsewhere_is_taken_over() {
    if !Dovecot::possible() {
        return;
    }
    const UID: u32 = 20_033;
    let mut server = Server::with(Start {
        settings: "isolation = \"user\"\n[storage]\nformat = \"mbox\"\ninbox = \"{directory}spool/{user}\"",
        users: format!("ann:{{PLAIN}}{PASSWORD}:{UID}:{UID}\n"),
        ..Start::default()
    });
    assert!(server.stop().success());
    let (mail, spool) = (server.data().join("mail"), server.path("spool"));
    let root = mail.join("ann");
    for directory in [&root, &spool] {
        fs::create_dir_all(directory).unwrap();
        chown(directory, Some(UID), Some(UID)).unwrap();
    }
    let more = format!(
        "mail_location = mbox:{}/%u:INBOX={}/%u\n",
        mail.display(),
        spool.display()
    );
    let other = Dovecot::with(&server.path("dovecot"), &mail, (UID, UID), &more);
    let mut imap = other.imap("ann");
    change(&mut imap, "a/b", "theirs");
    // Of one without messages the file does not say which UIDs there were.
    imap.ok("CREATE c");
    imap.append("c", "\\Seen", &message("c@test", "x", "Text."))
        .unwrap();
    imap.ok("RENAME c d");
    let theirs = account(&mut imap);
    drop((imap, other));
    assert!(root.join(".imap/dovecot-uidvalidity").is_file());
    for more in [&["--dry-run"][..], &[]] {
        let mut words = vec!["adopt", root.to_str().unwrap()];
        words.extend(more);
        let done = run(&mut server.command(&words));
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert!(done.stdout.contains("INBOX: "), "{done:?}");
    }
    let elsewhere = run(&mut server.command(&["adopt", spool.to_str().unwrap()]));
    assert_eq!(elsewhere.status.code(), Some(1), "{elsewhere:?}");
    server.again();
    let mut ours = account(&mut server.imap("ann"));
    // Mailboxes that every new account has.
    ours.mailboxes
        .retain(|name, _| theirs.mailboxes.contains_key(name));
    assert_eq!(ours, theirs);
}

fn flags_of(imap: &mut support::Imap) -> Vec<Vec<String>> {
    imap.ok("SELECT INBOX");
    let mut all = Vec::new();
    for message in imap.list("1:*").unwrap() {
        let mut flags: Vec<String> = message.flags.iter().map(ToString::to_string).collect();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        all.push(flags);
    }
    all
}

/// The file has no letters, and so no number of keywords is too many for it.
#[test]
fn more_keywords_than_letters_stay_in_the_file() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = Server::start(SETTINGS);
    for number in 0..3 {
        let text = message(&format!("{number}@test"), "x", "Text.\r\n");
        server.deliver("ann", &text);
    }
    let _log = DovecotLog::of(&server);
    let other = dovecot(&server);
    let mut imap = other.imap("ann");
    imap.ok("SELECT INBOX");
    for number in 0..30 {
        imap.ok(&format!("STORE 1 +FLAGS (many{number})"));
    }
    imap.ok("STORE 2 +FLAGS (many0 many29)");
    drop(imap);
    let mut expected: Vec<Vec<String>> = vec![
        (0..30).map(|number| format!("many{number}")).collect(),
        vec!["many0".into(), "many29".into()],
        vec![],
    ];
    expected[0].sort();
    let mut imap = server.imap("ann");
    assert_eq!(flags_of(&mut imap), expected);
    imap.ok("STORE 1 -FLAGS (many0 many28)");
    imap.ok("STORE 2 +FLAGS (\\Flagged)");
    imap.ok("STORE 3 +FLAGS (many27 another)");
    expected[0].retain(|flag| flag != "many0" && flag != "many28");
    expected[1].insert(0, "\\Flagged".into());
    expected[2] = vec!["another".into(), "many27".into()];
    assert_eq!(flags_of(&mut imap), expected);
    drop(imap);
    assert!(server.stop().success());
    // By the file alone.
    let mail = server.data().join("mail/ann");
    let indexes = mail.join(".imap/INBOX");
    for entry in fs::read_dir(indexes).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("dovecot") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(flags_of(&mut other.imap("ann")), expected);
    fs::remove_dir_all(server.data().join("index")).unwrap();
    fs::remove_dir_all(mail.join(".imap")).unwrap();
    server.again();
    assert_eq!(flags_of(&mut server.imap("ann")), expected);
}

/// UIDVALIDITY and UIDNEXT.
fn uids_of(imap: &mut support::Imap, mailbox: &str) -> (String, String) {
    let answer = imap.ok(&format!("SELECT {mailbox}"));
    let told = |code| {
        let found = answer.find(&format!("OK [{code} ")).unwrap();
        found.split(']').next().unwrap().to_owned()
    };
    (told("UIDVALIDITY"), told("UIDNEXT"))
}

/// A file without messages is the same mailbox for both servers, and no UID is given twice.
#[test]
fn an_emptied_mailbox_keeps_its_uids() {
    if !Dovecot::possible() {
        return;
    }
    let mut server = Server::start(SETTINGS);
    drop(server.imap("ann"));
    assert!(server.stop().success());
    let text = message("one@test", "x", "Text.");
    let theirs = {
        let other = dovecot(&server);
        let mut imap = other.imap("ann");
        for mailbox in ["d/here", "there", "never"] {
            imap.ok(&format!("CREATE {mailbox}"));
            for _ in 0..if mailbox == "never" { 0 } else { 3 } {
                imap.append(mailbox, "", &text).unwrap();
            }
        }
        imap.ok("SELECT there");
        imap.ok("STORE 1:* +FLAGS (\\Deleted)");
        imap.ok("EXPUNGE");
        ["d/here", "there", "never"].map(|mailbox| uids_of(&mut imap, mailbox))
    };
    let root = server.data().join("mail/ann");
    assert_eq!(fs::metadata(root.join("never")).unwrap().len(), 0);
    let words = ["adopt", root.to_str().unwrap()];
    let done = run(&mut server.command(&words));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(
        done.stdout.contains(&format!(
            "never: 0 messages, UIDVALIDITY {}, UIDNEXT 1",
            theirs[2].0
        )),
        "{done:?}"
    );
    server.again();
    let mut imap = server.imap("ann");
    let ours = ["d/here", "there", "never"].map(|mailbox| uids_of(&mut imap, mailbox));
    assert_eq!(ours, theirs);
    for mailbox in ["d/here", "there"] {
        imap.append(mailbox, "", &text).unwrap();
        imap.ok(&format!("SELECT {mailbox}"));
        imap.ok("STORE 1:* +FLAGS (\\Deleted)");
        imap.ok("EXPUNGE");
    }
    let ours = ["d/here", "there", "never"].map(|mailbox| uids_of(&mut imap, mailbox));
    assert_eq!(ours[0], (theirs[0].0.clone(), "5".to_owned()));
    drop(imap);
    assert!(server.stop().success());
    let other = dovecot(&server);
    let mut imap = other.imap("ann");
    let again = ["d/here", "there", "never"].map(|mailbox| uids_of(&mut imap, mailbox));
    assert_eq!(again, ours);
}
