//! A real Postfix, with its own settings and queue on loopback, that delivers to the unix socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{
    Finished, Lmtp, PASSWORD, Server, Start, can, flood, free_port, is_root, line, message, run,
    skip, unpacked, wait_until,
};

/// The services that a delivery needs: Debian's `master.cf` without chroot and without the rest.
const SERVICES: &str = "\
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
verify    unix  - - n -    1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -    - proxymap
error     unix  - - n -    - error
retry     unix  - - n -    - error
discard   unix  - - n -    - discard
local     unix  - n n -    - local
virtual   unix  - n n -    - virtual
lmtp      unix  - - n -    - lmtp
anvil     unix  - - n -    1 anvil
scache    unix  - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
";

struct Postfix {
    settings: PathBuf,
    log: PathBuf,
    port: u16,
}

impl Postfix {
    /// With these lines of `main.cf` beside those that keep it within the directory.
    fn start(directory: &Path, lines: &str) -> Postfix {
        let port = free_port();
        let settings = directory.join("etc");
        for name in ["etc", "queue", "state"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        let mut chown = Command::new("chown");
        run(chown.arg("postfix").arg(directory.join("state"))).ok();
        let postfix = Postfix {
            log: directory.join("log"),
            settings,
            port,
        };
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {d}/queue\ndata_directory = {d}/state\n\
             maillog_file = {log}\nmaillog_file_prefixes = {d}\n\
             myhostname = mx.test\nmydestination =\n\
             inet_interfaces = loopback-only\ninet_protocols = ipv4\n\
             alias_maps =\nalias_database =\nlocal_recipient_maps =\nrecipient_delimiter = +\n\
             lmtp_destination_recipient_limit = 50\n{lines}\n\
             double_bounce_sender = nobody\nnotify_classes =\nbounce_queue_lifetime = 0\n",
            d = directory.display(),
            log = postfix.log.display(),
        );
        let services = format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}");
        fs::write(postfix.settings.join("main.cf"), main).unwrap();
        fs::write(postfix.settings.join("master.cf"), services).unwrap();
        postfix.ask("start").ok();
        wait_until("Postfix's greeting", || Lmtp::smtp(port).ok());
        postfix
    }

    fn ask(&self, what: &str) -> Finished {
        let mut command = Command::new("postfix");
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("-c")
            .arg(&self.settings)
            .arg(what);
        run(&mut command)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn send(&self, recipients: &[&str], text: &str) {
        let mut client = Lmtp::smtp(self.port).unwrap();
        let replies = client.transaction(recipients, text, false).unwrap();
        assert!(replies.iter().all(|r| r.starts_with("250")), "{replies:?}");
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.ask("stop");
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log());
        }
    }
}

/// The user's message with that subject in that mailbox, once it is there.
fn awaited(server: &Server, user: &str, mailbox: &str, subject: &str) -> String {
    let mut imap = server.imap(user);
    imap.ok(&format!("SELECT {mailbox}"));
    wait_until(&format!("{subject} for {user}"), || {
        let answer = imap.ok(&format!("SEARCH SUBJECT \"{subject}\""));
        let found = answer.find("SEARCH ")?.to_owned();
        let answer = imap.ok(&format!("FETCH {found} (BODY.PEEK[])"));
        Some(answer.untagged.concat())
    })
}

/// Lines for `main.cf`: whoever is at this machine may send to anybody at `example.org`.
fn to_the_socket(server: &Server) -> String {
    format!(
        "mynetworks = 127.0.0.0/8\nvirtual_mailbox_domains = example.org\n\
         virtual_mailbox_maps = static:anybody\nvirtual_transport = lmtp:unix:{}\n\
         smtpd_recipient_restrictions = permit_mynetworks, reject",
        server.socket().display()
    )
}

#[test]
fn postfix_delivers_by_lmtp_to_the_unix_socket() {
    if !can(&["postfix"]) || !(is_root() || skip("not root, which Postfix has to be")) {
        return;
    }
    let server = Server::start("");
    server.imap("ann").ok("CREATE lists");
    let lines = to_the_socket(&server);
    let postfix = Postfix::start(&server.path("postfix"), &lines);

    let text = message("p1@test", "one for ann", "A line.\r\n..\r\n.x\r\nThe end.");
    postfix.send(&["ann@example.org"], &text);
    let got = awaited(&server, "ann", "INBOX", "one for ann");
    assert!(
        got.contains("\r\n\r\nA line.\r\n..\r\n.x\r\nThe end.\r\n"),
        "{got}"
    );
    let order = [
        "Return-Path: <sender@example.net>",
        "Delivered-To: ",
        "Received: from mx.test",
        "with LMTP",
        "Received: from client.test",
    ];
    let places: Vec<_> = order.iter().map(|head| got.find(head)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?} {got}"
    );

    // Several recipients in one transaction, one of them with a mailbox in the address, one unknown.
    let everybody = [
        "ann+lists@example.org",
        "bob@example.org",
        "nobody@example.org",
    ];
    postfix.send(&everybody, &message("p2@test", "one for all", "Hello."));
    awaited(&server, "ann", "lists", "one for all");
    awaited(&server, "bob", "INBOX", "one for all");
    wait_until("the refusal of nobody", || {
        let log = postfix.log();
        let refused = |l: &&str| l.contains("to=<nobody@example.org>") && l.contains("550 5.1.1");
        log.lines()
            .find(refused)
            .map(|line| assert!(line.contains("status=bounced"), "{line}"))
    });

    // Many at once, all of them arrive.
    for number in 0..30 {
        let id = format!("many-{number}@test");
        postfix.send(&["bob@example.org"], &message(&id, "many", "Hello."));
    }
    let mut imap = server.imap("bob");
    wait_until("thirty messages", || {
        imap.ok("SELECT INBOX");
        let mut ids: Vec<String> = imap
            .list("1:*")
            .unwrap()
            .into_iter()
            .map(|m| m.id)
            .collect();
        ids.retain(|id| id.starts_with("many-"));
        ids.sort();
        let before = ids.len();
        ids.dedup();
        assert_eq!(before, ids.len(), "something came twice");
        (before == 30).then_some(())
    });
}

/// The lines that README.md has for `main.cf`, from that setting to the empty line.
fn of_the_readme(first: &str) -> String {
    let readme = include_str!("../README.md");
    let from = &readme[readme.find(&format!("    {first} = ")).unwrap()..];
    let lines = from.lines().take_while(|line| line.starts_with("    "));
    lines
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

#[test]
fn with_the_lines_of_the_readme_mail_for_nobody_is_refused_at_the_door() {
    if !can(&["postfix"]) || !(is_root() || skip("not root, which Postfix has to be")) {
        return;
    }
    let server = Server::with(Start {
        settings: "[[listener]]\nprotocol = \"socketmap\"\naddress = \"unix:{directory}/map\"\n\
                   group = \"postfix\"\n[postfix]\ndomains = [\"example.org\"]\n\
                   aliases = \"{directory}/aliases\"\n",
        users: ["ann", "bob", "eve@example.com"]
            .map(|user| line(user, None))
            .concat(),
        files: vec![(
            "aliases",
            "postmaster: root\nroot: ann,\n  bob\n".to_owned(),
        )],
        ..Start::default()
    });
    let [socket, map] =
        [server.socket(), server.path("map")].map(|path| path.display().to_string());
    let lines = of_the_readme("virtual_mailbox_domains").replace("private/dovelet-map", &map);
    let lines = lines.replace("private/dovelet", &socket);
    assert!(
        lines.contains(&format!("lmtp:unix:{socket}")) && lines.lines().count() == 5,
        "{lines}"
    );
    // The client is a stranger.
    let lines = format!("mynetworks = 192.0.2.0/24\n{lines}");
    let postfix = Postfix::start(&server.path("postfix"), &lines);
    let mut client = Lmtp::smtp(postfix.port).unwrap();
    let mut ask = |recipient: &str| {
        client.command("MAIL FROM:<sender@example.net>").unwrap();
        let verdict = client.command(&format!("RCPT TO:<{recipient}>")).unwrap();
        client.command("RSET").unwrap();
        verdict
    };
    for (recipient, expected) in [
        ("ann@example.org", "250"),
        ("Ann+lists@example.org", "250"),
        ("eve@example.com", "250"),
        ("postmaster@example.org", "250"),
        ("nobody@example.org", "550 5.1.1"),
        ("nobody@example.com", "550 5.1.1"),
        ("ann@example.net", "454 4.7.1"),
    ] {
        let reply = ask(recipient);
        assert!(reply.starts_with(expected), "{recipient} {reply}");
    }
    let text = message("readme@test", "as it says", "Hello.");
    postfix.send(&["ann@example.org"], &text);
    awaited(&server, "ann", "INBOX", "as it says");
    let text = message("alias@test", "for whoever is root", "Hello.");
    postfix.send(&["postmaster@example.org"], &text);
    for user in ["ann", "bob"] {
        awaited(&server, user, "INBOX", "for whoever is root");
    }

    // Somebody new is known at once.
    let mut add = server.command(&["user", "add", "zoe", "--password-stdin"]);
    fs::write(server.path("password"), PASSWORD).unwrap();
    let input = fs::File::open(server.path("password")).unwrap();
    assert!(add.stdin(input).status().unwrap().success());
    wait_until("zoe", || {
        ask("zoe@example.org").starts_with("250").then_some(())
    });

    // While nobody can tell, nobody is refused for good.
    for role in ["auth", "front"] {
        for process in server.role(role) {
            process.signal(rustix::process::Signal::STOP);
        }
    }
    let unanswered = std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask("nobody@example.org"));
        std::thread::sleep(std::time::Duration::from_secs(1));
        for process in server.role("front") {
            process.signal(rustix::process::Signal::CONT);
        }
        for process in server.role("auth") {
            process.signal(rustix::process::Signal::KILL);
        }
        asked.join().unwrap()
    });
    assert!(unanswered.starts_with("451 4.3.0"), "{unanswered}");
}

#[test]
fn with_the_lines_of_the_readme_users_may_send_anywhere() {
    if !can(&["postfix"]) || !(is_root() || skip("not root, which Postfix has to be")) {
        return;
    }
    let server = Server::start(
        "[[listener]]\nprotocol = \"dovecot-auth\"\naddress = \"unix:{directory}/auth\"\n\
         group = \"postfix\"\n",
    );
    let socket = server.path("auth").display().to_string();
    let lines = of_the_readme("smtpd_sasl_type").replace("private/dovelet-auth", &socket);
    assert!(
        lines.contains(&socket) && lines.lines().count() == 4,
        "{lines}"
    );
    // The client is a stranger.
    let lines = format!("mynetworks = 192.0.2.0/24\n{lines}");
    let postfix = Postfix::start(&server.path("postfix"), &lines);
    let mut client = Lmtp::smtp(postfix.port).unwrap();
    let hello = client.command("EHLO client.test").unwrap();
    let offered = "250-AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-1";
    assert!(hello.lines().any(|line| line == offered), "{hello}");
    let may_send = |client: &mut Lmtp| {
        client.command("MAIL FROM:<ann@example.org>").unwrap();
        let reply = client.command("RCPT TO:<eve@example.net>").unwrap();
        client.command("RSET").unwrap();
        reply.starts_with("250")
    };
    assert!(!may_send(&mut client));
    // `\0ann\0wrong`, then `\0ann\0secret`.
    let refused = client.command("AUTH PLAIN AGFubgB3cm9uZw==").unwrap();
    assert!(refused.starts_with("535 5.7.8"), "{refused}");
    assert!(!may_send(&mut client));
    let accepted = client.command("AUTH PLAIN AGFubgBzZWNyZXQ=").unwrap();
    assert!(accepted.starts_with("235"), "{accepted}");
    assert!(may_send(&mut client));
    let log = server.log();
    assert!(
        log.contains("ann was accepted for another server from 127.0.0.1"),
        "{log}"
    );
    assert!(
        log.contains("auth: passwd-file(ann,127.0.0.1): Password mismatch"),
        "{log}"
    );

    let mut client = Lmtp::smtp(postfix.port).unwrap();
    for (said, expected) in [
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        ("YW5u", "334 UGFzc3dvcmQ6"),
        ("c2VjcmV0", "235"),
    ] {
        let reply = client.command(said).unwrap();
        assert!(reply.starts_with(expected), "{said} {reply}");
    }
    assert!(may_send(&mut client));

    // GNU SASL shows that it was the server that was asked, too.
    if let Some(root) = unpacked(&["gsasl", "libgsasl18", "libgssglue1", "libntlm0"]) {
        for (mechanism, password, right) in [
            ("SCRAM-SHA-256", PASSWORD, true),
            ("SCRAM-SHA-1", PASSWORD, true),
            ("SCRAM-SHA-256", "wrong", false),
        ] {
            let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
            let mut gsasl = Command::new(root.join("usr/bin/gsasl"));
            gsasl
                .env("LD_LIBRARY_PATH", root.join(libraries))
                .args(["--smtp", "--no-starttls", "--mechanism", mechanism])
                .args(["--authentication-id", "ann", "--password", password])
                .args(["--connect", &format!("localhost:{}", postfix.port)]);
            let finished = run(&mut gsasl);
            assert_eq!(finished.status.success(), right, "{finished:?}");
        }
    }

    // A server that is started again is asked again.
    let auth = server.role("auth").pop().unwrap();
    assert!(auth.signal(rustix::process::Signal::KILL));
    wait_until("another auth", || {
        let mut client = Lmtp::smtp(postfix.port).ok()?;
        let reply = client.command("AUTH PLAIN AGFubgBzZWNyZXQ=").ok()?;
        reply.starts_with("235").then_some(())
    });
}

#[test]
#[ignore = "takes minutes: 10,000 messages"]
fn postfix_delivers_ten_thousand() {
    if !can(&["postfix"]) || !(is_root() || skip("not root, which Postfix has to be")) {
        return;
    }
    let server = Server::start("");
    let postfix = Postfix::start(&server.path("postfix"), &to_the_socket(&server));
    flood(&server, postfix.port, 10_000);
}
