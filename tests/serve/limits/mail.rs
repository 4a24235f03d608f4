//! Limits of messages, mailboxes and what is kept of them.

use super::status;
use crate::support::{Server, message, run};
use std::fs;
use std::time::{Duration, Instant};

/// The answer to an item of the only message in ann's INBOX.
fn fetched(server: &Server, text: &str, item: &str) -> String {
    server.deliver("ann", text);
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let answer = imap.ok(&format!("FETCH 1 ({item})")).untagged.concat();
    // Nothing of the message is lost, whatever was not understood of it.
    let whole = imap.ok("FETCH 1 BODY.PEEK[]").untagged.concat();
    assert!(whole.contains(text));
    answer
}

/// What `dovelet index cache` says of ann's INBOX: octets, and all of it.
fn cached(server: &Server) -> (u64, String) {
    let said = run(&mut server.command(&["index", "cache", "--user", "ann", "--mailbox", "INBOX"]));
    let said = said.ok();
    let octets = said.split_once("INBOX: ").unwrap().1;
    let octets = octets.split(' ').next().unwrap().parse().unwrap();
    (octets, said)
}

/// So many octets are kept at most, and clients are told the same of the others.
fn kept_of_the_newest(server: &Server, most: u64) {
    for n in 1..=30 {
        server.deliver(
            "ann",
            &message(&format!("{n}@cache"), &format!("no. {n}"), "x"),
        );
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let fetched = imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)").untagged;
    let fetched: Vec<_> = fetched
        .into_iter()
        .filter(|line| line.contains("FETCH"))
        .collect();
    assert!(
        fetched.len() == 30 && fetched[0].contains("no. 1\""),
        "{fetched:?}"
    );
    let (octets, said) = cached(server);
    assert!(octets > 0 && octets <= most, "{said}");
    run(&mut server.command(&["index", "cache", "--user", "ann", "--forget"])).ok();
    assert_eq!(cached(server).0, 0);
    let again = imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)").untagged;
    assert_eq!(again, fetched);
    let (octets, said) = cached(server);
    assert!(octets > 0 && octets <= most, "{said}");
}

/// A message with those lines in its header.
fn with_header(lines: &str, body: &str) -> String {
    format!("From: a@example.net\r\n{lines}\r\n\r\n{body}\r\n")
}

limits! {

    scrub_octets(server, "scrub_octets = 20000") {
        for n in 0..300 {
            server.deliver("ann", &message(&format!("{n}@scrub"), "scrub", &"x".repeat(100)));
        }
        let begin = Instant::now();
        let told = run(&mut server.command(&["doctor", "--scrub", "--user", "ann"])).ok();
        // The first 256 have so many octets that the others are not looked at before the third second.
        assert!(begin.elapsed() > Duration::from_secs(2), "{told}");
        assert!(told.contains("300"), "{told}");
    }

    mdbox_rotate_octets(server, "mdbox_rotate_octets = \"64KiB\"\n[storage]\nformat = \"mdbox\"") {
        let text = message("a@test", "x", &"Twenty octets a line\r\n".repeat(1000));
        for _ in 0..5 {
            server.deliver("ann", &text);
        }
        let files = fs::read_dir(server.maildir("ann").join("storage")).unwrap().flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("m."));
        let octets: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
        assert!(octets.len() > 1 && octets.iter().all(|octets| *octets <= 65_536), "{octets:?}");
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        assert_eq!(imap.list("1:*").unwrap().len(), 5);
    }

    header_octets(server, "header_octets = 2048") {
        let fill = "X-Fill: 123456789012345678901234567890\r\n".repeat(80);
        let text = with_header(&format!("Subject: early\r\n{fill}To: late@example.org"), "Body.");
        let envelope = fetched(&server, &text, "ENVELOPE");
        assert!(envelope.contains("early") && !envelope.contains("late"), "{envelope}");
    }

    header_line_octets(server, "header_line_octets = 1024") {
        let words = "word ".repeat(1000);
        let text = with_header(&format!("Subject: {words}\r\nTo: b@example.org"), "Body.");
        let envelope = fetched(&server, &text, "ENVELOPE");
        assert!(envelope.len() > 1024 && envelope.len() < 1500, "{}", envelope.len());
        assert!(envelope.contains("example.org"), "{envelope}");
    }

    header_addresses(server, "header_addresses = 3") {
        let text = with_header("To: a1@x, a2@x, a3@x, a4@x, a5@x\r\nCc: b1@x", "Body.");
        let envelope = fetched(&server, &text, "ENVELOPE");
        assert!(envelope.contains("\"a3\"") && envelope.contains("\"b1\""), "{envelope}");
        assert!(!envelope.contains("\"a4\""), "{envelope}");
    }

    mime_parameters(server, "mime_parameters = 3") {
        let text = with_header("Content-Type: text/plain; p1=1; p2=2; p3=3; p4=4", "Body.");
        let structure = fetched(&server, &text, "BODYSTRUCTURE");
        assert!(structure.contains("\"p3\"") && !structure.contains("\"p4\""), "{structure}");
    }

    mime_parts(server, "mime_parts = 4") {
        let part = "--b\r\nContent-Type: text/x-part\r\n\r\nText.\r\n";
        let body = format!("{}--b--", part.repeat(10));
        let text = with_header("Content-Type: multipart/mixed; boundary=b", &body);
        let structure = fetched(&server, &text, "BODYSTRUCTURE");
        assert_eq!(structure.matches("x-part").count(), 3, "{structure}");
    }

    mime_depth(server, "mime_depth = 3") {
        let mut text = "Content-Type: text/x-inside\r\n\r\nText.".to_owned();
        for level in 0..6 {
            text = format!(
                "Content-Type: multipart/x-l{level}; boundary=b{level}\r\n\r\n--b{level}\r\n{text}\r\n--b{level}--"
            );
        }
        let text = format!("From: a@example.net\r\n{text}\r\n");
        let structure = fetched(&server, &text, "BODYSTRUCTURE");
        assert!(structure.contains("x-l4") && !structure.contains("x-inside"), "{structure}");
    }

    max_mailboxes(server, "max_mailboxes = 10") {
        let mut imap = server.imap("ann");
        let there = imap.ok("LIST \"\" *").untagged.len();
        for number in there..10 {
            imap.ok(&format!("CREATE m{number}"));
        }
        assert!(status(imap.command("CREATE more")).starts_with("NO [LIMIT]"));
        imap.ok("DELETE m9");
        // Levels that have to be made count.
        assert!(status(imap.command("CREATE a/b")).starts_with("NO [LIMIT]"));
        imap.ok("CREATE more");
    }

    mailbox_name_octets(server, "mailbox_name_octets = 64") {
        let mut imap = server.imap("ann");
        let (fits, long) = ("x".repeat(64), "x".repeat(65));
        assert!(status(imap.command(&format!("CREATE {long}"))).starts_with("NO [LIMIT]"));
        imap.ok(&format!("CREATE {fits}"));
        assert!(status(imap.command(&format!("RENAME {fits} {long}"))).starts_with("NO [LIMIT]"));
    }

    mailbox_depth(server, "mailbox_depth = 3") {
        let mut imap = server.imap("ann");
        assert!(status(imap.command("CREATE a/b/c/d")).starts_with("NO [LIMIT]"));
        imap.ok("CREATE a/b/c");
        // Also of what comes along.
        assert!(status(imap.command("RENAME a z/a")).starts_with("NO [LIMIT]"));
        imap.ok("RENAME a/b a/z");
    }

    max_keywords(server, "max_keywords = 3") {
        server.deliver("ann", &message("a@test", "x", "x"));
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        // None of them is made if not all can be.
        assert!(status(imap.command("STORE 1 +FLAGS (a b c d)")).starts_with("NO [LIMIT]"));
        imap.ok("STORE 1 +FLAGS (one two three)");
        assert!(status(imap.command("STORE 1 +FLAGS (four)")).starts_with("NO [LIMIT]"));
        let text = message("b@test", "x", "x");
        assert!(status(imap.append("INBOX", "four", &text)).starts_with("NO [LIMIT]"));
        imap.ok("STORE 1 FLAGS (three)");
        let flags = imap.ok("SELECT INBOX");
        let permanent = flags.find("OK [PERMANENTFLAGS ").unwrap();
        assert!(!permanent.contains("\\*"), "{permanent}");
    }

    metadata_entries(server, "metadata_entries = 10") {
        let mut imap = server.imap("ann");
        let set = |name: &str, value: &str| format!("SETMETADATA INBOX (/shared/{name} {value})");
        (0..10).for_each(|n| drop(imap.ok(&set(&n.to_string(), "\"x\""))));
        let refused = imap.command(&set("more", "\"x\""));
        assert!(status(refused).starts_with("NO [METADATA TOOMANY]"));
        imap.ok(&set("1", "NIL"));
        imap.ok(&set("more", "\"x\""));
    }

    metadata_octets(server, "metadata_octets = 1024") {
        let mut imap = server.imap("ann");
        let set = |n: usize| format!("SETMETADATA \"\" (/shared/comment \"{}\")", "x".repeat(n));
        imap.ok(&set(1024));
        assert!(status(imap.command(&set(1025))).starts_with("NO [METADATA MAXSIZE 1024]"));
    }

    cache_mailbox_octets(server, "cache_mailbox_octets = 4096") {
        kept_of_the_newest(&server, 4096);
    }

    cache_user_octets(server, "cache_user_octets = 4096") {
        kept_of_the_newest(&server, 4096);
    }

    cache_unused_time(server, "cache_unused_time = \"2s\"") {
        server.deliver("ann", &message("1@cache", "x", "x"));
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let first = imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").untagged;
        assert!(cached(&server).0 > 0);
        let ends = Instant::now() + Duration::from_secs(20);
        // Who leaves a mailbox has it cared for.
        while cached(&server).0 > 0 && Instant::now() < ends {
            std::thread::sleep(Duration::from_secs(1));
            imap.ok("UNSELECT");
            imap.ok("SELECT INBOX");
        }
        let (octets, said) = cached(&server);
        assert!(octets == 0 && said.contains("not kept: header "), "{said}");
        assert_eq!(imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").untagged, first);
        let (octets, said) = cached(&server);
        assert!(octets > 0 && said.contains("; kept: envelope "), "{said}");
    }

    expunge_history(server, "expunge_history = 2") {
        for number in 1..=6 {
            server.deliver("ann", &message(&format!("{number}@test"), "x", "x"));
        }
        let mut imap = server.imap("ann");
        imap.ok("ENABLE QRESYNC");
        let selected = imap.ok("SELECT INBOX");
        let code = |name: &str| selected.find(name).unwrap().split(']').next().unwrap().to_owned();
        let validity = code("OK [UIDVALIDITY ");
        let mut known = Vec::new();
        for uid in 1..=4 {
            imap.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
            let answer = imap.ok(&format!("UID EXPUNGE {uid}"));
            known.push(answer.code("HIGHESTMODSEQ").unwrap().to_owned());
        }
        let mut vanished = |mod_seq: &str| {
            imap.ok("UNSELECT");
            let answer = imap.ok(&format!("SELECT INBOX (QRESYNC ({validity} {mod_seq}))"));
            answer.find("VANISHED (EARLIER) ").unwrap_or_default().to_owned()
        };
        // The last two are remembered one by one; who knows less is told all that is missing.
        assert_eq!(vanished(&known[2]), "4");
        assert_eq!(vanished(&known[1]), "3:4");
        assert_eq!(vanished(&known[0]), "1:4");
    }
}
