//! ANONYMOUS: mail that anybody may read and nobody change.

use crate::support::{Imap, PASSWORD, Pop3, Server, Start, line, message};

const SETTINGS: &str = "[auth]\nanonymous_user = \"archive\"\n[pop3]\nsave_uidl = true\n\
    [limits]\nlogin_failure_delay = \"1ms\"\nlogin_failure_delay_max = \"1ms\"\n";

fn server(settings: &str, users: &str) -> Server {
    let server = Server::with(Start {
        settings,
        users: users.to_owned(),
        ..Start::default()
    });
    server.deliver("archive", &message("1", "first", "one"));
    server.deliver("archive", &message("2", "second", "two"));
    server
}

fn reader(server: &Server) -> Imap {
    let mut imap = Imap::connect(server.imap).unwrap();
    let trace = data_encoding::BASE64.encode(b"sirhc\r\n2026 error");
    imap.ok(&format!("AUTHENTICATE ANONYMOUS {trace}"));
    imap
}

/// All that the owner sees.
fn state(owner: &mut Imap) -> Vec<String> {
    let mut all = owner.ok("LIST \"\" * RETURN (SUBSCRIBED)").untagged;
    all.extend(owner.ok("GETMETADATA INBOX (/shared/comment)").untagged);
    all.extend(owner.ok("SELECT INBOX").untagged);
    all.extend(owner.ok("FETCH 1:* (UID FLAGS MODSEQ)").untagged);
    all
}

#[test]
fn anybody_may_read_and_nobody_change() {
    let server = server(SETTINGS, &line("archive", None));
    let mut owner = server.imap("archive").raw();
    owner.ok("CREATE Lists");
    owner.ok("SUBSCRIBE Lists");
    owner.ok("SETMETADATA INBOX (/shared/comment \"own\")");
    // From the second time on nothing is recent.
    state(&mut owner);
    let before = state(&mut owner);

    let mut imap = Imap::connect(server.imap).unwrap();
    let capabilities = imap.ok("CAPABILITY").untagged.concat();
    assert!(capabilities.contains("AUTH=ANONYMOUS"), "{capabilities}");
    let mut imap = reader(&server);
    server.wait_for_log(
        "archive logged in from 127.0.0.1 anonymously, as \"sirhc\\r\\n2026 error\"",
        1,
    );
    assert!(imap.ok("SELECT INBOX").status.contains("[READ-ONLY]"));
    let fetched = imap.ok("FETCH 1:* BODY[TEXT]").untagged.concat();
    assert!(fetched.contains("one") && fetched.contains("two"));
    assert_eq!(imap.ok("SEARCH SUBJECT second").untagged, ["SEARCH 2"]);
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "EXPUNGE",
        "UID EXPUNGE 1:*",
        "COPY 1 Lists",
        "MOVE 1 Lists",
        "CREATE Mine",
        "CREATE Mine (USE (\\Archive))",
        "DELETE Lists",
        "RENAME Lists Mine",
        "RENAME INBOX Mine",
        "SUBSCRIBE INBOX",
        "UNSUBSCRIBE Lists",
        "SETMETADATA INBOX (/shared/comment \"mine\")",
        "SETMETADATA \"\" (/shared/comment \"mine\")",
        "SETMETADATA Lists (/private/specialuse \"\\\\Archive\")",
        "APPEND INBOX {4+}\r\nmine",
        "APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\")",
        "REPLACE 1 INBOX {4+}\r\nmine",
    ] {
        let status = imap.command(command).unwrap().status;
        assert!(status.starts_with("NO [NOPERM]"), "{command}: {status}");
    }
    // CLOSE expunges nothing where nothing may be.
    imap.ok("CLOSE");
    assert_eq!(state(&mut owner), before);
    // Nor are side files written, or mailboxes made that the owner did not want.
    let pop3 = |user: &str| {
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        match user {
            "" => drop(pop3.ok("AUTH ANONYMOUS =")),
            user => assert!(pop3.login(user, PASSWORD).unwrap().starts_with("+OK")),
        }
        pop3.list("UIDL")
    };
    let list = || std::fs::read_to_string(server.maildir("archive").join("dovecot-uidlist"));
    let uidls = pop3("");
    assert!(!list().unwrap().contains(" P"), "{:?}", list());
    assert_eq!(pop3("archive"), uidls);
    assert!(list().unwrap().contains(" P"), "{:?}", list());
    // The owner is one user as ever.
    owner.ok("STORE 1 +FLAGS (\\Flagged)");
    owner.ok("DELETE Lists");
}

#[test]
fn maildrops_are_read_by_several_and_lose_nothing() {
    let server = server(SETTINGS, &line("archive", None));
    let enter = || {
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        let offered = pop3.list("CAPA").concat();
        assert!(offered.contains("ANONYMOUS"), "{offered}");
        pop3.ok("AUTH ANONYMOUS =");
        pop3
    };
    let (mut one, mut other, mut owner) = (enter(), enter(), server.pop3("archive"));
    for pop3 in [&mut one, &mut other] {
        assert_eq!(pop3.list("LIST").len(), 2);
        assert!(pop3.list("RETR 1").concat().contains("one"));
        assert!(
            pop3.command("DELE 1")
                .unwrap()
                .starts_with("-ERR You may read")
        );
        pop3.ok("QUIT");
    }
    assert_eq!(owner.list("LIST").len(), 2);
    let seen = server.imap("archive").ok("STATUS INBOX (UNSEEN)").untagged;
    assert_eq!(seen, ["STATUS INBOX (UNSEEN 2)"]);
    owner.ok("DELE 1");
    owner.ok("QUIT");
}

#[test]
fn readers_keep_the_owner_not_out_and_make_no_mailboxes() {
    let server = Server::with(Start {
        settings: &format!("{SETTINGS}max_connections_per_user = 2\n"),
        users: line("archive", None),
        ..Start::default()
    });
    let readers: Vec<Imap> = (0..2).map(|_| reader(&server)).collect();
    let mut other = Imap::connect(server.imap).unwrap();
    let refused = other.command("AUTHENTICATE ANONYMOUS =").unwrap();
    let told = format!("{refused:?}");
    assert!(told.contains("[LIMIT] Too many connections"), "{told}");
    let made = || server.maildir("archive").join(".Sent").exists();
    assert!(!made());
    server.imap("archive").ok("EXAMINE INBOX");
    assert!(made());
    drop(readers);
}

#[test]
fn it_is_offered_where_there_is_such_a_user() {
    let users = format!("{}archive:\n", line("ann", None));
    let server = server(SETTINGS, &users);
    // Who cannot log in with a password can be whose mail is public.
    let mut imap = reader(&server);
    imap.ok("EXAMINE INBOX");
    let mut ann = Imap::connect(server.imap).unwrap();
    assert!(ann.login("ann", PASSWORD).unwrap().status.starts_with("OK"));
    let users = server.path("users");
    std::fs::write(&users, line("ann", None)).unwrap();
    server.signal(rustix::process::Signal::HUP);
    server.wait_for_log(
        "archive is to be whose mail anybody may read, but is no user",
        1,
    );
    let mut imap = Imap::connect(server.imap).unwrap();
    let status = imap.command("AUTHENTICATE ANONYMOUS =").unwrap().status;
    assert!(status.starts_with("NO [CANNOT]"), "{status}");
}
