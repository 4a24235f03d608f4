//! Whose directories are, and what follows when the settings name another owner than before.

use crate::support::{
    Imap, Lmtp, PASSWORD, Server, Start, is_root, line, message, run, skip, wait_until,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

/// Names that no machine has accounts of, so that reserved numbers stand for them.
const NOBODY: &str =
    "[process]\nuser = \"none-a\"\nnetwork_user = \"none-b\"\nauth_user = \"none-c\"\n";
/// That of engines.
const RESERVED: u32 = 61_143;

fn of(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.mode() & 0o7777)
}

/// Gives a tree away.
fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}

/// Everything below is that uid's.
fn all_of(path: &Path, uid: u32) {
    assert_eq!(of(path).0, uid, "{}", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            all_of(&entry.unwrap().path(), uid);
        }
    }
}

/// Delivers to a user, and returns the UIDs of the INBOX with its highest mod-sequence.
fn used(server: &Server, user: &str, id: &str) -> (Vec<u32>, u64) {
    server.deliver(user, &message(id, "Kept", "Text."));
    let mut imap = server.imap(user).raw();
    let opened = imap.ok("SELECT INBOX (CONDSTORE)");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    let answer = imap.ok("STATUS INBOX (HIGHESTMODSEQ)");
    let status = answer.find("STATUS INBOX (HIGHESTMODSEQ ").unwrap();
    let modseq = status.trim_end_matches(')').parse().unwrap();
    assert!(opened.untagged.iter().any(|r| r.contains("HIGHESTMODSEQ")));
    let uids = imap.list("1:*").unwrap();
    (uids.iter().map(|message| message.uid).collect(), modseq)
}

fn healthy(server: &Server) {
    let told = run(&mut server.command(&["doctor"]));
    assert!(told.status.success(), "{told:?}\n{}", server.log());
}

#[test]
fn isolation_can_be_changed_and_changed_back() {
    // The new engine could not open what the old ones had made, and nobody could log in; and the index
    // of before was taken for the truth when it came into use again.
    change_isolation(None);
}

#[test]
fn isolation_can_be_changed_without_root() {
    change_isolation(is_root().then_some(20_009));
}

fn change_isolation(uid: Option<u32>) {
    let root = is_root() && uid.is_none();
    let kinds = [
        format!("isolation = \"user\"\n{NOBODY}"),
        // For which one engine is the default.
        format!("board = \"openwrt-64\"\n{NOBODY}"),
    ];
    let mut server = Server::with(Start {
        settings: &kinds[0],
        users: line("ann", Some(20_001)) + &line("bob", None),
        uid,
        ..Start::default()
    });
    let (mail, index) = (server.data().join("mail"), server.data().join("index"));
    let mut last = [0; 2];
    for round in 0..4usize {
        let shared = round % 2 == 1;
        if round > 0 {
            server.restart_with(&kinds[round % 2]);
        }
        for (user, last) in ["ann", "bob"].into_iter().zip(&mut last) {
            let (uids, modseq) = used(&server, user, &format!("{round}@test"));
            let expected: Vec<u32> = (1..).take(round + 1).collect();
            assert_eq!(uids, expected, "{user} in round {round}");
            assert!(modseq > *last, "{modseq} after {last}");
            *last = modseq;
        }
        if uid.is_none() {
            healthy(&server);
        }
        if root {
            let ann = if shared { RESERVED } else { 20_001 };
            all_of(&mail.join("ann"), ann);
            all_of(&mail.join("bob"), RESERVED);
            let common = if shared {
                (RESERVED, 0o700)
            } else {
                (0, 0o711)
            };
            assert_eq!([of(&mail), of(&index)], [common; 2], "round {round}");
        }
        assert_eq!(index.join("shared.redb").exists(), shared);
        assert_eq!(index.join("ann/index.redb").exists(), !shared);
    }
    if root {
        let text = format!(
            "{} was of uid 20001 and is of uid {RESERVED} now",
            mail.join("ann").display()
        );
        assert_eq!(server.log().matches(&text).count(), 2, "{}", server.log());
    }
}

#[test]
fn doctor_works_after_a_change_before_the_server_does() {
    if !is_root() && !skip("not root") {
        return;
    }
    let user = format!("isolation = \"user\"\n{NOBODY}");
    let shared = format!("isolation = \"shared\"\n{NOBODY}");
    let mut server = Server::with(Start {
        settings: &user,
        users: line("ann", Some(20_001)) + &line("bob", None),
        ..Start::default()
    });
    used(&server, "ann", "1@test");
    used(&server, "bob", "1@test");
    for settings in [&shared, &user] {
        server.restart_with(settings);
        server.stop();
        healthy(&server);
        server.again();
        assert_eq!(used(&server, "ann", "2@test").0[0], 1);
        healthy(&server);
    }
}

#[test]
fn an_account_that_appears_takes_over() {
    if !is_root() && !skip("not root") {
        return;
    }
    for isolation in ["user", "shared"] {
        let settings = |user: &str| {
            format!(
                "isolation = \"{isolation}\"\n{}",
                NOBODY.replace("none-a", user)
            )
        };
        let mut server = Server::with(Start {
            settings: &settings("none-a"),
            users: line("ann", None),
            ..Start::default()
        });
        used(&server, "ann", "1@test");
        let mut last = 1;
        // Accounts that every machine has.
        for account in ["mail", "daemon", "mail"] {
            server.restart_with(&settings(account));
            last += 1;
            let (uids, _) = used(&server, "ann", &format!("{last}@test"));
            assert_eq!(uids.len(), last);
            let uid = of(&server.maildir("ann")).0;
            assert_ne!(uid, RESERVED);
            all_of(&server.maildir("ann"), uid);
            healthy(&server);
        }
    }
}

#[test]
fn a_user_can_get_another_uid() {
    if !is_root() && !skip("not root") {
        return;
    }
    let settings = format!("isolation = \"user\"\n{NOBODY}");
    let mut server = Server::with(Start {
        settings: &settings,
        users: line("ann", None),
        ..Start::default()
    });
    used(&server, "ann", "1@test");
    let mut open = server.imap("ann");
    let index = server.data().join("index/ann");
    assert_eq!(of(&index).0, RESERVED);
    fs::write(server.path("users"), line("ann", Some(20_001))).unwrap();
    server.signal(rustix::process::Signal::HUP);
    // While its engine runs still.
    wait_until("the new uid", || {
        drop(server.imap("ann"));
        (of(&index).0 == 20_001).then_some(())
    });
    assert!(open.command("NOOP").is_err() || open.command("NOOP").is_err());
    assert_eq!(used(&server, "ann", "2@test").0, [1, 2]);
    all_of(&server.maildir("ann"), 20_001);
    all_of(&index, 20_001);
    // Mail of a number that the server has never given it to is not the server's to give away.
    fs::write(server.path("users"), line("ann", Some(20_002))).unwrap();
    server.restart();
    let mut imap = Imap::connect(server.imap).unwrap();
    assert!(
        imap.login("ann", PASSWORD)
            .unwrap()
            .status
            .starts_with("NO [UNAVAILABLE]")
    );
    let maildir = server.maildir("ann");
    assert_eq!(of(&maildir).0, 20_001);
    let told = format!(
        "{} is of uid 20001, mode 0700, and this process runs as uid 20002",
        maildir.display()
    );
    server.wait_for_log(&told, 1);
    let doctor = run(&mut server.command(&["doctor"]));
    assert!(
        !doctor.status.success() && doctor.stderr.contains(&told),
        "{doctor:?}"
    );
    give(&maildir, 20_002);
    assert_eq!(used(&server, "ann", "3@test").0, [1, 2, 3]);
    healthy(&server);
}

#[test]
fn what_engines_leave_behind_leads_nowhere() {
    // A link of an engine that was taken over, where root gives directories away.
    if !is_root() && !skip("not root") {
        return;
    }
    let user = format!("isolation = \"user\"\n{NOBODY}");
    let shared = format!("isolation = \"shared\"\n{NOBODY}");
    let mut server = Server::with(Start {
        settings: &shared,
        users: line("ann", Some(20_001)) + &line("bob", Some(20_002)) + &line("eve", None),
        ..Start::default()
    });
    used(&server, "bob", "1@test");
    let (mail, index) = (server.data().join("mail"), server.data().join("index"));
    let secret = server.path("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("index.redb"), "of root").unwrap();
    let plant = |link: &Path, to: &Path| {
        symlink(to, link).unwrap();
        std::os::unix::fs::lchown(link, Some(RESERVED), Some(RESERVED)).unwrap();
    };
    plant(&mail.join("ann"), &mail.join("bob"));
    plant(&mail.join("eve"), &secret);
    plant(&index.join("bob"), &secret);
    plant(&mail.join("bob/tmp/link"), &secret.join("index.redb"));
    fs::hard_link(secret.join("index.redb"), mail.join("bob/tmp/hard")).unwrap();
    server.restart_with(&user);
    for user in ["ann", "bob", "eve"] {
        let mut imap = Imap::connect(server.imap).unwrap();
        imap.login(user, PASSWORD).ok();
    }
    server.wait_for_log("a link that is not root's", 3);
    assert_eq!(of(&secret).0, 0);
    assert_eq!(of(&secret.join("index.redb")).0, 0);
    assert!(secret.join("index.redb").exists());
    fs::remove_file(index.join("bob")).unwrap();
    assert_eq!(used(&server, "bob", "2@test").0[0], 1);
    assert_eq!(of(&mail.join("bob")), (20_002, 0o700));
    assert_eq!(of(&mail.join("bob/tmp/link")).0, RESERVED);
    assert_eq!(of(&mail.join("bob/tmp/hard")).0, 0);
}

#[test]
fn mail_of_another_account_is_told_with_the_way_out() {
    // As of Dovecot's vmail: the log named no path, no uid, and nothing to do.
    if !is_root() && !skip("not root") {
        return;
    }
    let settings = |user: &str| {
        let process = NOBODY.replace("none-a", user);
        format!("isolation = \"user\"\n{process}[storage]\npath = \"vmail/{{user}}\"\n")
    };
    let mut server = Server::with(Start {
        settings: &settings("none-a"),
        users: line("ann", None),
        ..Start::default()
    });
    let maildir = server.path("vmail/ann");
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(directory)).unwrap();
    }
    let text = message("0@test", "Old", "Text.");
    fs::write(maildir.join("cur/1700000000.M1P1.host:2,S"), text).unwrap();
    fs::set_permissions(&maildir, fs::Permissions::from_mode(0o700)).unwrap();
    give(&maildir, 5000);
    let told = format!(
        "{} is of uid 5000, mode 0700, and this process runs as uid {RESERVED}: let engines run as \
         uid 5000, whose account `user` in [process] can name (or, of this user alone, the uid field",
        maildir.display()
    );
    let mut imap = Imap::connect(server.imap).unwrap();
    let answer = imap.login("ann", PASSWORD).unwrap();
    assert!(answer.status.starts_with("NO [UNAVAILABLE]"), "{answer:?}");
    assert!(imap.response().unwrap().starts_with("* BYE [UNAVAILABLE]"));
    server.wait_for_log(&told, 1);
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let replies = lmtp
        .transaction(&["ann"], &message("1@test", "x", "y"), true)
        .unwrap();
    assert!(
        replies.iter().any(|reply| reply.starts_with("451")),
        "{replies:?}"
    );
    let doctor = || run(&mut server.command(&["doctor"]));
    let found = doctor();
    assert!(
        !found.status.success() && found.stderr.contains(&told),
        "{found:?}"
    );
    // Each of the ways out leads out.
    fs::write(server.path("users"), line("ann", Some(5000))).unwrap();
    server.signal(rustix::process::Signal::HUP);
    wait_until("ann's login", || {
        let mut imap = Imap::connect(server.imap).ok()?;
        let answer = imap.login("ann", PASSWORD).ok()?;
        answer.status.starts_with("OK").then_some(())
    });
    assert_eq!(used(&server, "ann", "1@test").0, [1, 2]);
    all_of(&maildir, 5000);
    server.stop();
    let mail = account("mail");
    give(&maildir, mail);
    fs::write(server.path("users"), line("ann", None)).unwrap();
    server.again();
    server.restart_with(&settings("mail"));
    assert_eq!(used(&server, "ann", "2@test").0, [1, 2, 3]);
    all_of(&maildir, mail);
    healthy(&server);
}

/// The uid of an account of this machine.
fn account(name: &str) -> u32 {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let head = format!("{name}:");
    let line = passwd.lines().find(|line| line.starts_with(&head)).unwrap();
    line.split(':').nth(2).unwrap().parse().unwrap()
}

#[test]
fn who_has_mail_is_not_for_everybody() {
    // Below a path of its own for mail, everybody could list the users.
    let server = Server::start("isolation = \"user\"\n[storage]\npath = \"{home}/Maildir\"\n");
    used(&server, "ann", "1@test");
    for way in ["mail", "mail/ann"] {
        assert_eq!(of(&server.data().join(way)).1, 0o711, "{way}");
    }
    assert_eq!(of(&server.data().join("mail/ann/Maildir")).1, 0o700);
}

#[test]
fn without_an_engine_sessions_are_told_so() {
    // The connection ended without a word, after the login was accepted.
    let settings = "isolation = \"user\"\n[limits]\nengine_idle_timeout = \"200ms\"\n";
    let mut server = Server::start(settings);
    let index = server.data().join("index/ann");
    let refused = |server: &Server, head: &str| {
        let mut imap = Imap::connect(server.imap).unwrap();
        imap.send(format!("x LOGIN ann {PASSWORD}\r\n").as_bytes())
            .unwrap();
        let mut said = Vec::new();
        while let Ok(response) = imap.response() {
            said.push(response);
        }
        assert!(said[0].starts_with(head), "{said:?}");
        assert!(
            said[said.len() - 1].starts_with("* BYE [UNAVAILABLE] "),
            "{said:?}"
        );
        let mut pop3 = crate::support::Pop3::connect(server.pop3).unwrap();
        let answer = pop3.login("ann", PASSWORD).unwrap();
        assert!(answer.starts_with("-ERR [SYS/TEMP] "), "{answer}");
    };
    // Nothing can be started for it.
    fs::write(&index, "in the way").unwrap();
    refused(&server, "* BYE [UNAVAILABLE] ");
    // It starts, and cannot open its index.
    fs::remove_file(&index).unwrap();
    server.deliver("ann", &message("1@test", "x", "y"));
    server.stop();
    fs::set_permissions(&index, Permissions::from_mode(0o0)).unwrap();
    server.again();
    refused(&server, "x NO [UNAVAILABLE] ");
    fs::set_permissions(&index, Permissions::from_mode(0o700)).unwrap();
    wait_until("a login", || {
        let mut imap = Imap::connect(server.imap).ok()?;
        let answer = imap.login("ann", PASSWORD).ok()?;
        answer.status.starts_with("OK").then_some(())
    });
}
