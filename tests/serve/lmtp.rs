//! What LMTP takes besides plain text for plain recipients, and how a delivery looks then.

use crate::support::{Imap, Lmtp, PASSWORD, Pop3, Server, free_port, message, wait_until};

fn all(server: &Server, user: &str, mailbox: &str) -> String {
    let mut imap = server.imap(user);
    imap.ok(&format!("SELECT {mailbox}"));
    imap.ok("FETCH 1:* BODY.PEEK[]").untagged.concat()
}

fn expect(lmtp: &mut Lmtp, dialogue: &[(&str, &str)]) {
    for (command, expected) in dialogue {
        let reply = lmtp.command(command).unwrap();
        assert!(reply.starts_with(expected), "{command}: {reply}");
    }
}

#[test]
fn chunks_and_binary_parts_are_delivered() {
    for isolation in ["user", "shared"] {
        let server = Server::start(&format!("isolation = \"{isolation}\"\n"));
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        let begin = [
            ("MAIL FROM:<a@b> BODY=BINARYMIME", "250"),
            ("RCPT TO:<ann>", "250 2.1.5"),
            ("RCPT TO:<bob>", "250 2.1.5"),
        ];
        expect(&mut lmtp, &begin);
        let head = "MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n";
        lmtp.send(format!("BDAT {}\r\n{head}", head.len()).as_bytes())
            .unwrap();
        assert!(lmtp.reply().unwrap().starts_with("250 2.0.0"));
        // More than is passed on at once.
        let binary = b"\r\n.\r\n\0\n\r\xff".repeat(20_000);
        lmtp.send(format!("BDAT {}\r\n", binary.len()).as_bytes())
            .unwrap();
        lmtp.send(&binary).unwrap();
        assert!(lmtp.reply().unwrap().starts_with("250 2.0.0"));
        expect(&mut lmtp, &[("BDAT 0 LAST", "250 2.0.0")]);
        assert!(lmtp.reply().unwrap().starts_with("250 2.0.0"));
        for user in ["ann", "bob"] {
            let got = all(&server, user, "INBOX");
            let (_, body) = got
                .split_once("Content-Transfer-Encoding: base64\r\n\r\n")
                .unwrap();
            // `DQouDQoACg3/` are those nine octets.
            let text: String = body.lines().take_while(|l| !l.starts_with(')')).collect();
            assert_eq!(text.trim_end(), "DQouDQoACg3/".repeat(20_000));
        }
        // What does not say that it is binary.
        expect(&mut lmtp, &begin[..2]);
        let strange = head.replace("binary", "8bit") + "a\0b\r\n";
        lmtp.send(format!("BDAT {} LAST\r\n{strange}", strange.len()).as_bytes())
            .unwrap();
        let reply = lmtp.reply().unwrap();
        assert!(reply.starts_with("554 5.6.1"), "{reply}");
    }
}

#[test]
fn what_is_said_of_recipients_reaches_their_engines() {
    let server = Server::start(
        "isolation = \"user\"\n[lmtp]\ndelivery_address_header = \"original\"\n\
         recipient_delimiter = \"-\"\nsave_to_detail_mailbox = false\n",
    );
    server.imap("ann").ok("CREATE lists");
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    expect(
        &mut lmtp,
        &[
            ("XCLIENT ADDR=192.0.2.77 HELO=out.example", "220"),
            ("LHLO proxy.test", "250-mail.test"),
            ("MAIL FROM:<zo\u{eb}@b> SMTPUTF8 ENVID=E1", "250"),
            ("RCPT TO:<bob> NOTIFY=NEVER", "250"),
            (
                "RCPT TO:<ann-lists> ORCPT=rfc822;first@x NOTIFY=DELAY",
                "250",
            ),
            ("RCPT TO:<ann+lists>", "550 5.1.1"),
            ("DATA", "354"),
        ],
    );
    let text = "Subject: \u{e4}\r\n\r\nx\r\n.\r\n";
    lmtp.send(text.as_bytes()).unwrap();
    for _ in 0..2 {
        assert!(lmtp.reply().unwrap().starts_with("250"));
    }
    // Who else got it is nobody's business, and one copy can serve all.
    let ann = all(&server, "ann", "INBOX");
    for field in [
        "Return-Path: <zo\u{eb}@b>\r\nReceived: from out.example ([192.0.2.77])",
        "with UTF8LMTP id ",
    ] {
        assert!(ann.contains(field), "{field}: {ann}");
    }
    assert!(!ann.contains("Delivered-To"), "{ann}");
    server.wait_for_log("message for bob: Delivered, envid=<E1>, notify=<NEVER>", 1);
    let told = "message for ann: Delivered, envid=<E1>, orcpt=<first@x>, notify=<DELAY>";
    server.wait_for_log(told, 1);
    expect(
        &mut lmtp,
        &[
            ("MAIL FROM:<a@b>", "250"),
            ("RCPT TO:<ann-lists> ORCPT=rfc822;first@x", "250"),
            ("DATA", "354"),
        ],
    );
    lmtp.send(text.as_bytes()).unwrap();
    assert!(lmtp.reply().unwrap().starts_with("250"));
    let ann = all(&server, "ann", "INBOX");
    for field in [
        "\r\nDelivered-To: first@x\r\n",
        "for <first@x>;",
        "with LMTP id ",
    ] {
        assert!(ann.contains(field), "{field}: {ann}");
    }
}

#[test]
fn where_nobody_is_known_yet_mail_is_put_off() {
    let server = Server::with_users("", &[]);
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let text = message("a@test", "x", "x");
    let replies = lmtp.transaction(&["ann"], &text, true).unwrap();
    assert!(replies[0].starts_with("451 4.3.0"), "{replies:?}");
    // A lookup that nobody answers is no answer either.
    let server = Server::start("");
    let auth = server.role("auth").pop().unwrap();
    auth.signal(rustix::process::Signal::STOP);
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    lmtp.command("MAIL FROM:<a@b>").unwrap();
    lmtp.send(b"RCPT TO:<ann>\r\n").unwrap();
    auth.signal(rustix::process::Signal::KILL);
    let reply = lmtp.reply().unwrap();
    assert!(reply.starts_with("451 4.3.0"), "{reply}");
    wait_until("a new auth", || {
        let replies = lmtp
            .transaction(&["nobody"], &text, true)
            .unwrap_or_default();
        replies
            .first()
            .is_some_and(|r| r.starts_with("550 5.1.1"))
            .then_some(())
    });
}

#[test]
fn strangers_who_never_log_in_do_not_keep_mail_out() {
    let server = Server::start("[limits]\nmax_login_connections = 2\n");
    // Once whoever was here before has given its place back.
    let strangers = (
        wait_until("a place", || Imap::connect(server.imap).ok()),
        wait_until("a place", || Pop3::connect(server.pop3).ok()),
    );
    assert!(Imap::connect(server.imap).is_err());
    server.deliver("ann", &message("a@test", "x", "x"));
    drop(strangers);
}

#[test]
fn any_listener_may_stand_behind_a_proxy() {
    let (lmtp, pop3) = (free_port(), free_port());
    let listener = |protocol: &str, port: u16| {
        format!(
            "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:{port}\"\n\
             proxy_protocol = true\n"
        )
    };
    let server = Server::start(&(listener("lmtp", lmtp) + &listener("pop3", pop3)));
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([192, 0, 2, 7, 127, 0, 0, 1, 0, 9, 0, 24]);
    for header in [b"PROXY TCP4 192.0.2.7 127.0.0.1 9 24\r\n".to_vec(), second] {
        let mut client = Lmtp::behind(lmtp, &header).unwrap();
        // Whoever comes through a proxy is not trusted for that.
        let keywords = client.command("LHLO x").unwrap();
        assert!(!keywords.contains("XCLIENT"), "{keywords}");
        let text = message("a@test", "x", "x");
        let replies = client.transaction(&["ann"], &text, true).unwrap();
        assert!(replies[0].starts_with("250"), "{replies:?}");
        let mut client = Pop3::behind(pop3, &header).unwrap();
        let refused = client.login("ann", PASSWORD).unwrap();
        assert!(refused.contains("over TLS only"), "{refused}");
    }
    let got = all(&server, "ann", "INBOX");
    assert_eq!(got.matches("([192.0.2.7])").count(), 2, "{got}");
}

/// KiB of a process that are in memory.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

#[test]
fn giant_lines_and_floods_are_bounded_while_mail_goes_on() {
    let server = Server::start("[limits]\nmax_recipients = 10\nlogin_bad_commands = 3\n");
    let text = message("a@test", "x", "x");
    server.deliver("ann", &text);
    let front = server.role("front").pop().unwrap().pid;
    let before = resident(front);
    let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        lmtp.send(&piece).unwrap();
        server.deliver("bob", &text);
    }
    lmtp.send(b"\r\n").unwrap();
    let reply = lmtp.reply().unwrap();
    assert!(reply.starts_with("500 5.5.6"), "{reply}");
    // Names that are tried, all at once: so many are looked up and no more.
    let names: String = (0..1000).map(|n| format!("RCPT TO:<x{n}>\r\n")).collect();
    lmtp.send(format!("MAIL FROM:<a@b>\r\n{names}RSET\r\n").as_bytes())
        .unwrap();
    let replies: Vec<String> = (0..1002).map(|_| lmtp.reply().unwrap()).collect();
    let count = |code: &str| {
        replies
            .iter()
            .filter(|reply| reply.starts_with(code))
            .count()
    };
    assert_eq!(
        (count("550 5.1.1"), count("452 4.5.3"), count("250")),
        (10, 990, 2)
    );
    let grown = resident(front).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    lmtp.send(&b"NONSENSE\r\n".repeat(1000)).ok();
    let mut last = String::new();
    while let Ok(reply) = lmtp.reply() {
        last = reply;
    }
    assert!(last.starts_with("421 4.7.0"), "{last}");
    server.deliver("ann", &text);
}
