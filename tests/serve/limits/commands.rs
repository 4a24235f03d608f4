//! Limits of what a client may say, and of what a command may take.

use super::status;
use crate::support::{Imap, Lmtp, Pop3, Server, message};

limits! {

    login_line_octets(server, "login_line_octets = 512") {
        let mut imap = Imap::connect(server.imap).unwrap();
        assert!(status(imap.command(&"x".repeat(600))).starts_with("BAD The line is too long"));
        // Without an end: nothing is kept of it, and it ends with the time for a login.
        imap.send(&vec![b'x'; 100_000]).unwrap();
        imap.send(b"\r\n").unwrap();
        assert!(imap.response().unwrap().contains("BAD"));
        imap.ok("NOOP");
        // The start of the response came back as a tag, and the command was never answered.
        for response in [&*"A".repeat(600), "AAAA APPEND x {5+}", "A {99999+}"] {
            let mut imap = Imap::connect(server.imap).unwrap();
            imap.send(b"a AUTHENTICATE PLAIN\r\n").unwrap();
            assert!(imap.response().unwrap().starts_with('+'));
            imap.send(format!("{response}\r\n").as_bytes()).unwrap();
            let answer = imap.response().unwrap();
            assert!(answer.starts_with("a BAD ") && !answer.contains("AA"), "{answer}");
        }
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        pop3.send(b"AUTH PLAIN\r\n").unwrap();
        assert!(pop3.line().unwrap().starts_with('+'));
        pop3.send(format!("{}\r\n", "A".repeat(600)).as_bytes()).unwrap();
        let answer = pop3.line().unwrap();
        assert!(answer.starts_with("-ERR ") && !answer.contains("AA"), "{answer}");
        assert!(!server.log().contains("AAAA"));
    }

    login_literal_octets(server, "login_literal_octets = 64") {
        let mut imap = Imap::connect(server.imap).unwrap();
        assert!(status(imap.command("LOGIN {65}")).starts_with("BAD The literal is too large"));
        assert!(imap.response().unwrap().starts_with("* BYE "));
        assert!(imap.response().is_err(), "it ends");
        let mut imap = Imap::connect(server.imap).unwrap();
        imap.send(b"a LOGIN {64}\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with('+'));
    }

    command_line_octets(server, "command_line_octets = 1024") {
        let mut imap = server.imap("ann");
        let long = status(imap.command(&format!("LIST \"\" {}", "x".repeat(1100))));
        assert!(long.starts_with("BAD [LIMIT]"), "{long}");
        imap.ok(&format!("LIST \"\" {}", "x".repeat(900)));
    }

    literal_octets(server, "literal_octets = 1024") {
        let mut imap = server.imap("ann");
        assert!(status(imap.command("LIST \"\" {1025}")).starts_with("BAD [LIMIT]"));
        imap.ok("NOOP");
        imap.ok(&format!("LIST \"\" {{1024+}}\r\n{}", "x".repeat(1024)));
    }

    message_octets(server, "message_octets = 2048") {
        let of = |octets: usize| {
            let empty = message("a@test", "x", "").len();
            message("a@test", "x", &"y".repeat(octets - empty))
        };
        let mut imap = server.imap("ann");
        let large = status(imap.append("INBOX", "", &of(2049)));
        assert!(large.starts_with("NO [TOOBIG]"), "{large}");
        let announced = status(imap.command("APPEND INBOX {2049}"));
        assert!(announced.starts_with("NO [TOOBIG]"), "{announced}");
        assert!(status(imap.append("INBOX", "", &of(2048))).starts_with("OK"));
        // Put together of parts that are there already.
        let both = "APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\" URL \"/INBOX/;UID=1\")";
        let both = status(imap.command(both));
        assert!(both.starts_with("NO [TOOBIG]"), "{both}");
        let mut lmtp = Lmtp::tcp(server.lmtp).unwrap();
        assert!(lmtp.command("LHLO x").unwrap().contains("SIZE 2048"));
        assert!(lmtp.command("MAIL FROM:<a@b> SIZE=2049").unwrap().starts_with("552 5.3.4"));
        let replies = lmtp.transaction(&["ann", "bob"], &of(2049), true).unwrap();
        assert!(replies.iter().all(|r| r.starts_with("552 5.3.4")), "{replies:?}");
        let replies = lmtp.transaction(&["ann"], &of(2048), true).unwrap();
        assert!(replies[0].starts_with("250"), "{replies:?}");
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 2);
    }

    set_ranges(server, "set_ranges = 10") {
        server.deliver("ann", &message("a@test", "x", "x"));
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let ranges = |count: usize| vec!["1"; count].join(",");
        for command in ["FETCH {} FLAGS", "UID FETCH {} FLAGS", "SEARCH {}", "STORE {} FLAGS ()"] {
            let many = command.replace("{}", &ranges(11));
            let many = status(imap.command(&many));
            assert!(many.starts_with("BAD [LIMIT]"), "{many}");
            imap.ok(&command.replace("{}", &ranges(10)));
        }
    }

    search_keys(server, "search_keys = 10") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let keys = |count: usize| format!("SEARCH {}", vec!["ALL"; count].join(" "));
        let many = status(imap.command(&keys(11)));
        assert!(many.starts_with("BAD [LIMIT]"), "{many}");
        imap.ok(&keys(10));
    }

    search_depth(server, "search_depth = 4") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let deep = |depth: usize| format!("SEARCH {}ALL{}", "(".repeat(depth), ")".repeat(depth));
        let many = status(imap.command(&deep(5)));
        assert!(many.starts_with("BAD [LIMIT]"), "{many}");
        imap.ok(&deep(4));
        let nots = status(imap.command(&format!("SEARCH {}ALL", "NOT ".repeat(5))));
        assert!(nots.starts_with("BAD [LIMIT]"), "{nots}");
    }

    nonsync_literal_octets(server, "nonsync_literal_octets = 4096") {
        let mut imap = server.imap("ann");
        let told = imap.ok("CAPABILITY").untagged.concat();
        assert!(told.contains(" LITERAL- ") && !told.contains("LITERAL+"), "{told}");
        let (fits, long) = ("x".repeat(4096), "x".repeat(4097));
        let append = |text: &str| format!("APPEND INBOX {{{}+}}\r\n{text}", text.len());
        assert!(status(imap.command(&append(&long))).starts_with("BAD [TOOBIG]"));
        imap.ok(&append(&fits));
        // What waits may be longer.
        imap.send(b"w APPEND INBOX {4097}\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with("+ "));
        imap.send(format!("{long}\r\n").as_bytes()).unwrap();
        assert!(imap.response().unwrap().starts_with("w OK"));
        let told = Imap::connect(server.imap).unwrap().ok("CAPABILITY").untagged.concat();
        assert!(told.contains(" LITERAL- ") && !told.contains("LITERAL+"), "{told}");
    }

    append_messages(server, "append_messages = 2") {
        let mut imap = server.imap("ann");
        let one = " {2+}\r\nx\n";
        assert!(status(imap.command(&format!("APPEND INBOX{one}{one}{one}"))).starts_with("NO [LIMIT]"));
        assert!(imap.ok("STATUS INBOX (MESSAGES)").untagged.concat().contains("MESSAGES 0"));
        imap.ok(&format!("APPEND INBOX{one}{one}"));
    }

    notify_mailboxes(server, "notify_mailboxes = 6") {
        let mut imap = server.imap("ann");
        imap.ok("NOTIFY SET (personal (MessageNew MessageExpunge))");
        imap.ok("CREATE more");
        let refused = imap.command("NOTIFY SET (personal (MessageNew MessageExpunge))");
        assert!(status(refused).starts_with("NO [NOTIFICATIONOVERFLOW]"));
        imap.ok("NOTIFY SET (subtree more (MessageNew MessageExpunge)) (personal (MailboxName))");
        // What happens is told without a command.
        server.imap("ann").append("more", "", "x").unwrap();
        let told = imap.response().unwrap();
        assert_eq!(told, "* STATUS more (MESSAGES 1 UIDNEXT 2)");
    }

    search_mailboxes(server, "search_mailboxes = 6") {
        let mut imap = server.imap("ann");
        imap.ok("ESEARCH IN (personal) ALL");
        imap.ok("CREATE more");
        assert!(status(imap.command("ESEARCH IN (personal) ALL")).starts_with("NO [LIMIT]"));
        imap.ok("ESEARCH IN (subtree more) ALL");
    }

    search_contexts(server, "search_contexts = 2") {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let mut refused = || {
            let answer = imap.ok("SEARCH RETURN (UPDATE COUNT) ALL");
            answer.find("NO [NOUPDATE ").is_some()
        };
        assert_eq!([refused(), refused(), refused()], [false, false, true]);
    }

    sort_octets(server, "sort_octets = \"64KiB\"") {
        // Subjects and references of each are nearly as much as may be held.
        let long = "x".repeat(30_000);
        let references = |of: &str| -> String {
            (0..900).map(|n| format!(" <{n}@{of}>\r\n")).collect()
        };
        let mut imap = server.imap("ann");
        for first in ["c", "a", "d", "b"] {
            let text = format!("Subject: {first}{long}\r\nReferences:{}\r\nx\r\n", references(first));
            let answer = imap.append("INBOX", "", &text).unwrap();
            assert!(answer.status.starts_with("OK"), "{answer:?}");
        }
        imap.ok("SELECT INBOX");
        // SORT goes on in a file, THREAD cannot.
        assert_eq!(imap.ok("SORT (SUBJECT) UTF-8 ALL").find("SORT"), Some(" 2 4 1 3"));
        let threaded = imap.command("THREAD REFERENCES UTF-8 ALL").unwrap();
        assert!(threaded.status.starts_with("NO [LIMIT]"), "{threaded:?}");
        assert_eq!(imap.ok("THREAD REFERENCES UTF-8 1").find("THREAD"), Some(" (1)"));
    }

    step_messages(server, "step_messages = 2") {
        let mut imap = server.imap("ann").raw();
        for number in 1..=6 {
            imap.append("INBOX", "", &message(&format!("{number}@test"), "x", "x")).unwrap();
        }
        imap.ok("SELECT INBOX");
        let mut mod_seq = || -> u64 {
            let status = imap.ok("STATUS Archive (HIGHESTMODSEQ)");
            imap.ok("COPY 2:6 Archive");
            let told = status.find("STATUS Archive (HIGHESTMODSEQ ").unwrap();
            told.trim_end_matches(')').parse().unwrap()
        };
        // The first change of a process is above all that any before it gave.
        mod_seq();
        // Two, two and one.
        let before = mod_seq();
        assert_eq!(mod_seq() - before, 3);
    }
}
