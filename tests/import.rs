//! `dovelet import`: mail that lies elsewhere, into every format, online and alone, broken off and begun again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use support::{Finished, Imap, Server, Start, line, message, run, skip, wait_until};

const FORMATS: [&str; 4] = ["maildir", "mbox", "sdbox", "mdbox"];

fn import(server: &Server, words: &[&str]) -> Finished {
    let mut all = vec!["import", "-u", "ann"];
    all.extend(words);
    run(&mut server.command(&all))
}

fn server(format: &str) -> Server {
    // The engine runs as somebody else than the command, where that can be.
    Server::with(Start {
        settings: &format!(
            "isolation = \"user\"\n[storage]\nformat = \"{format}\"\n[limits]\nmessage_octets = 300000\n"
        ),
        users: line("ann", Some(4711)) + &line("bob", None),
        ..Start::default()
    })
}

/// Subjects of a mailbox in the order of UIDs, with flags and INTERNALDATE.
fn rows(imap: &mut Imap, mailbox: &str) -> Vec<String> {
    imap.ok(&format!("EXAMINE {mailbox}"));
    let mut rows = Vec::new();
    for message in imap.list("1:*").unwrap() {
        let uid = message.uid;
        let answer = imap.ok(&format!(
            "UID FETCH {uid} (INTERNALDATE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
        ));
        let all = answer.untagged.join("\n");
        let date = all.split_once("INTERNALDATE \"").unwrap().1;
        let date = date.split('"').next().unwrap().trim().to_owned();
        let subject = all.split_once("ubject: ").unwrap().1;
        let subject = subject.lines().next().unwrap().to_owned();
        let mut flags: Vec<String> = message.flags.clone();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        rows.push(format!("{subject} [{}] {date}", flags.join(" ")));
    }
    rows
}

fn bodies(imap: &mut Imap, mailbox: &str) -> String {
    imap.ok(&format!("EXAMINE {mailbox}"));
    imap.ok("FETCH 1:* BODY.PEEK[]").untagged.concat()
}

fn file(path: &Path, text: &str, seconds: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

/// An mbox, a Maildir with mailboxes below it, and messages in files of their own.
fn sources(root: &Path) {
    let mbox = "From a@b Sun Sep  9 01:46:40 2001\nSubject: one\nStatus: RO\nX-Status: AF\n\
        X-Keywords: $x label\n\n>From here on\n\n\
        From c@d Sun Sep  9 01:46:41 2001\r\nSubject: two\r\nX-UID: 7\r\n\r\nCRLF\r\n\r\n";
    file(&root.join("old.mbox"), mbox, 1_000_000_500);
    let maildir = root.join("m");
    for part in [
        "cur",
        "new",
        "tmp",
        ".Sent.2001/cur",
        ".Sent.2001/new",
        ".Sent.2001/tmp",
    ] {
        fs::create_dir_all(maildir.join(part)).unwrap();
    }
    file(
        &maildir.join("cur/2.a:2,FSb"),
        "Subject: flagged\n\nx\n",
        1_000_000_002,
    );
    file(
        &maildir.join("cur/1.a:2,DRT"),
        "Subject: draft\n\nx\n",
        1_000_000_001,
    );
    file(
        &maildir.join("new/3.a"),
        "Subject: new\n\nx\n",
        1_000_000_003,
    );
    file(
        &maildir.join(".Sent.2001/cur/9:2,PS"),
        "Subject: sent\n\nx\n",
        1_000_000_004,
    );
    file(&maildir.join("dovecot-keywords"), "0 zero\n1 label\n", 5);
    file(
        &maildir.join("subscriptions"),
        "V\t2\n\nINBOX\nelsewhere\n",
        5,
    );
    let eml = "Received: from a by b; Sun, 9 Sep 2001 01:46:45 +0000\r\nSubject: file\r\n\r\nx\r\n";
    file(&root.join("letters/1.eml"), eml, 1_000_000_900);
    file(
        &root.join("letters/2.eml"),
        "Subject: undated\n\nx\n",
        1_000_000_006,
    );
    file(&root.join("letters/picture.png"), "\u{7f}PNG\0", 5);
}

#[test]
fn mail_comes_into_every_format_online_and_alone() {
    for format in FORMATS {
        let mut server = server(format);
        let root = server.path("there");
        sources(&root);
        let path = |name: &str| root.join(name).display().to_string();
        let paths = [path("old.mbox"), path("m"), path("letters")];
        let words: Vec<&str> = paths.iter().map(String::as_str).collect();
        // Somebody looks on.
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let done = import(&server, &words[..2]);
        assert_eq!(done.status.code(), Some(0), "{format} {done:?}");
        let noop = imap.ok("NOOP").untagged;
        assert!(noop.iter().any(|line| line == "3 EXISTS"), "{noop:?}");
        let mut all = vec!["--json"];
        all.extend(&words);
        assert!(server.stop().success());
        let again = import(&server, &all);
        assert_eq!(again.status.code(), Some(0), "{format} {again:?}");
        let row = |mailbox: &str, source: &str, added, known| {
            format!(
                "{{\"mailbox\":\"{mailbox}\",\"source\":\"{source}\",\"added\":{added},\
                 \"known\":{known},\"refused\":0}}\n"
            )
        };
        let expected = [
            row("old", &paths[0], 0, 2),
            row("INBOX", &paths[1], 0, 3),
            row("Sent/2001", &format!("{}/.Sent.2001", paths[1]), 0, 1),
            row("letters", "2 files", 2, 0),
        ];
        assert_eq!(again.stdout, expected.concat(), "{format}");
        assert!(again.stderr.contains("picture.png is no mail"), "{again:?}");
        server.again();
        let mut imap = server.imap("ann");
        let at = |second| format!("9-Sep-2001 01:46:4{second} +0000");
        for (mailbox, expected) in [
            (
                "old",
                vec![
                    format!("one [$x \\Answered \\Flagged \\Seen label] {}", at(0)),
                    format!("two [] {}", at(1)),
                ],
            ),
            (
                "INBOX",
                vec![
                    format!("draft [\\Answered \\Deleted \\Draft] {}", at(1)),
                    format!("flagged [\\Flagged \\Seen label] {}", at(2)),
                    format!("new [] {}", at(3)),
                ],
            ),
            (
                "Sent/2001",
                vec![format!("sent [$Forwarded \\Seen] {}", at(4))],
            ),
            (
                "letters",
                vec![
                    format!("file [] {}", at(5)),
                    format!("undated [] {}", at(6)),
                ],
            ),
        ] {
            assert_eq!(rows(&mut imap, mailbox), expected, "{format}");
        }
        let got = bodies(&mut imap, "old");
        assert!(got.contains("\r\n\r\nFrom here on\r\n"), "{got}");
        assert!(!got.contains("X-UID") && !got.contains("Status"), "{got}");
        let subscribed = imap.ok("LSUB \"\" *").untagged.join("\n");
        for (name, expected) in [
            ("elsewhere", true),
            ("old", true),
            ("letters", true),
            ("Sent/2001", false),
        ] {
            assert_eq!(subscribed.contains(name), expected, "{subscribed}");
        }
    }
}

#[test]
fn what_a_file_got_since_is_added_and_nothing_twice() {
    let server = server("mdbox");
    let path = server.path("grows");
    let one = |n: u32| format!("From a Sun Sep  9 01:46:40 2001\nSubject: {n}\n\nbody {n}\n\n");
    // Two that are the same, as a person may have them.
    fs::write(&path, one(1) + &one(1) + &one(2)).unwrap();
    let words = ["-m", "Old/Mail", "--seen", path.to_str().unwrap()];
    let done = import(&server, &words);
    assert!(
        done.stdout.contains("Old/Mail/grows: 3 messages of "),
        "{done:?}"
    );
    assert!(
        done.stdout
            .ends_with("\n3 messages were added to 1 mailboxes\n"),
        "{done:?}"
    );
    fs::write(&path, one(1) + &one(1) + &one(1) + &one(2) + &one(3)).unwrap();
    let done = import(&server, &words);
    assert!(done.stdout.contains(", 3 were there already"), "{done:?}");
    let mut imap = server.imap("ann");
    let subjects: Vec<String> = rows(&mut imap, "Old/Mail/grows")
        .iter()
        .map(|row| row.split(" 9-Sep").next().unwrap().to_owned())
        .collect();
    let expected = ["1", "1", "2", "1", "3"].map(|n| format!("{n} [\\Seen]"));
    assert_eq!(subjects, expected);
    // The same message in two mailboxes is one to clients.
    let single = server.path("1.eml");
    fs::write(&single, "Subject: 1\r\n\r\nbody 1\r\n").unwrap();
    assert!(
        import(&server, &[single.to_str().unwrap()])
            .status
            .success()
    );
    let email_id = |imap: &mut Imap, mailbox: &str| {
        imap.ok(&format!("EXAMINE {mailbox}"));
        let answer = imap.ok("FETCH 1 (EMAILID)").untagged.concat();
        answer.split_once("EMAILID (").unwrap().1.to_owned()
    };
    let mut imap = server.imap("ann").raw();
    let ids = ["INBOX", "Old/Mail/grows"].map(|mailbox| email_id(&mut imap, mailbox));
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn ends_as_programs_expect_it() {
    let server = server("maildir");
    let letter = server.path("1.eml");
    fs::write(&letter, "Subject: x\n\nx\n").unwrap();
    let large = server.path("large.mbox");
    let begin = "From a Sun Sep  9 01:46:40 2001\nSubject: x\n\n";
    let body = "0123456789\n".repeat(40_000);
    fs::write(
        &large,
        format!("{begin}small\n\n{begin}{body}\n{begin}last\n"),
    )
    .unwrap();
    let nothing = server.path("nothing");
    fs::write(&nothing, "\u{1}\u{2}").unwrap();
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    for (words, code, told) in [
        (vec![], 64, "import needs the path"),
        (
            vec!["-m", "a//b", &text(&letter)],
            64,
            "is no name of a mailbox",
        ),
        (vec!["-x", "y"], 64, "unknown option -x"),
        (vec!["/nonexistent"], 66, "/nonexistent: No such file"),
        (vec![&text(&nothing)], 65, "there is no mail"),
        (
            vec![&text(&large)],
            65,
            "large.mbox: message 2: it is larger than `message_octets` allows",
        ),
        (vec![&text(&letter)], 0, ""),
    ] {
        let done = import(&server, &words);
        assert_eq!(done.status.code(), Some(code), "{words:?} {done:?}");
        assert!(done.stderr.contains(told), "{words:?} {done:?}");
    }
    let mut imap = server.imap("ann");
    assert_eq!(bodies(&mut imap, "large").matches("ubject: x").count(), 2);
    let nobody = run(&mut server.command(&["import", "-u", "eve", &text(&letter)]));
    assert_eq!(nobody.status.code(), Some(67), "{nobody:?}");
    // Not a terminal: no line that passes.
    let done = import(&server, &[&text(&large)]);
    assert!(!done.stderr.contains('\r'), "{done:?}");
}

/// Subjects and how often they are there.
fn counts(imap: &mut Imap, mailbox: &str) -> BTreeMap<String, u32> {
    imap.ok(&format!("EXAMINE {mailbox}"));
    let answer = imap.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let mut counts = BTreeMap::new();
    for line in answer
        .untagged
        .iter()
        .filter(|line| line.contains("Subject: "))
    {
        let subject = line.split_once("Subject: ").unwrap().1;
        let subject = subject.lines().next().unwrap().to_owned();
        *counts.entry(subject).or_insert(0) += 1;
    }
    counts
}

#[test]
fn broken_off_anywhere_it_goes_on() {
    for format in ["maildir", "mdbox", "mbox"] {
        let mut server = server(format);
        let path = server.path("many.mbox");
        let mut text = String::new();
        for n in 0..700 {
            text.push_str(&format!(
                "From a Sun Sep  9 01:46:40 2001\nSubject: many-{n}\n\n{}\n\n",
                "line of text\n".repeat(20)
            ));
        }
        fs::write(&path, text).unwrap();
        let start = |server: &Server| {
            let mut command = server.command(&["import", "-u", "ann", path.to_str().unwrap()]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let arrived = |imap: &mut Imap| {
            let status = imap.command("STATUS many (MESSAGES)").unwrap();
            let number = status.find("STATUS many (MESSAGES ").map(str::to_owned);
            number.map_or(0, |n| n.trim_end_matches(')').parse::<u32>().unwrap())
        };
        let mut reached = 0;
        for round in 0..4 {
            let mut child = start(&server);
            let mut imap = server.imap("ann");
            wait_until("some messages", || {
                let now = arrived(&mut imap);
                (now > reached || child.try_wait().unwrap().is_some()).then_some(())
            });
            reached = arrived(&mut imap);
            // The command, the server with everything, in turns.
            if round % 2 == 0 {
                child.kill().unwrap();
                child.wait().unwrap();
            } else {
                server.kill();
                let status = child.wait().unwrap();
                assert!(matches!(status.code(), Some(75 | 0)), "{status}");
                server.again();
            }
            server.deliver("ann", &message(&format!("{round}@test"), "meanwhile", "x"));
        }
        let done = import(&server, &[path.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(0), "{format} {done:?}");
        let mut imap = server.imap("ann");
        let counts = counts(&mut imap, "many");
        assert_eq!(counts.len(), 700, "{format}");
        assert!(
            counts.values().all(|count| *count == 1),
            "{format} {counts:?}"
        );
        assert_eq!(bodies(&mut imap, "INBOX").matches("meanwhile").count(), 4);
    }
}

#[test]
fn so_many_commands_are_at_the_mail_and_no_more() {
    use std::io::{Read, Write};
    let server = server("maildir");
    // A visit that asks nothing.
    let visit = || {
        let mut stream =
            std::os::unix::net::UnixStream::connect(server.data().join("run/control")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(b"visit\tann\t4711\t\t\t\n").unwrap();
        let mut ready = [0; 8];
        stream.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"- ready\n");
        // All that the account has.
        stream.write_all(&[1, 0, 0, 0, 0]).ok();
        let answered = stream.read(&mut ready).is_ok_and(|count| count > 0);
        (stream, answered)
    };
    let mut all: Vec<_> = (0..4).map(|_| visit()).collect();
    assert!(all.iter().all(|(_, answered)| *answered));
    assert!(!visit().1);
    server.wait_for_log("too many commands are at the mail of users at once", 1);
    all.pop();
    wait_until("a place", || visit().1.then_some(()));
}

#[test]
fn real_mail_comes_as_it_is() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("DOVELET_CORPUS").map_or_else(beside, PathBuf::from);
    let archive = corpus.join("linux-mips.tar.gz");
    if !archive.exists() {
        skip("no corpus");
        return;
    }
    let server = server("mdbox");
    let root = server.path("corpus");
    fs::create_dir(&root).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(&root);
    assert!(tar.status().unwrap().success());
    let mails = root.join("linux-mips");
    // As many as a debug build takes in a moment.
    let mut files: Vec<PathBuf> = fs::read_dir(&mails)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.drain(..400.min(files.len())).for_each(drop);
    files.iter().for_each(|path| fs::remove_file(path).unwrap());
    let mut expected: Vec<Vec<u8>> = fs::read_dir(&mails)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .map(|text| {
            String::from_utf8_lossy(&text)
                .replace("\r\n", "\n")
                .into_bytes()
        })
        .collect();
    let done = import(&server, &[root.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let mut imap = server.imap("ann");
    imap.ok("EXAMINE linux-mips");
    let answer = imap.ok("FETCH 1:* (BODY.PEEK[])");
    let mut got: Vec<Vec<u8>> = answer
        .untagged
        .iter()
        .filter(|line| line.contains("BODY[] {"))
        .map(|line| {
            let body = line.split_once("\r\n").unwrap().1;
            let body = body.strip_suffix(')').unwrap();
            body.replace("\r\n", "\n").into_bytes()
        })
        .collect();
    expected.sort();
    got.sort();
    assert_eq!(got.len(), expected.len());
    assert!(expected.len() > 100);
    let different = got.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert_eq!(different, 0);
}
