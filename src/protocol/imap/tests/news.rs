//! Much that is to be told at once.

use super::*;
use std::fs;

/// Octets that one response may add to a full output.
const RESPONSE: usize = 4 * 1024;

/// Two sessions that have the same INBOX of `count` messages selected.
fn pair(count: u32) -> ([Connection; 2], tempfile::TempDir) {
    let (account, directory) = Account::temporary();
    let cur = directory.path().join("cur");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(directory.path().join(part)).unwrap();
    }
    for n in 1..=count {
        fs::write(cur.join(format!("{n},U={n}:2,S")), "Subject: x\n\nx\n").unwrap();
    }
    let connect = || {
        let handover = Handover {
            tag: crate::protocol::imap::tag::tag(b"login"),
            input: Vec::new(),
        };
        let session = Session::new(account.clone(), handover, SESSION);
        let mut connection = Connection::new(Peer::Session(Box::new(session)));
        lines(&mut connection, "ENABLE CONDSTORE");
        lines(&mut connection, "SELECT INBOX");
        connection
    };
    ([connect(), connect()], directory)
}

/// The answer to a command; never much of it may wait to be written.
fn lines(connection: &mut Connection, command: &str) -> Vec<String> {
    connection.said.clear();
    connection.waited = 0;
    connection.send(format!("a {command}\r\n").as_bytes());
    let lines: Vec<String> = std::iter::from_fn(|| connection.line()).collect();
    let status = lines.last().unwrap();
    assert!(status.starts_with("a OK "), "{command}: {status}");
    assert!(
        connection.waited <= Output::MARK + RESPONSE,
        "{command}: {} octets at once",
        connection.waited
    );
    lines
}

/// All responses of an EXPUNGE waited in memory: 1.7 MB for 100,000 messages.
#[test]
fn many_expunges_are_told_piece_by_piece() {
    let count = 4500;
    let ([mut own, mut other], _directory) = pair(count);
    // Every third stays, the last one too.
    let doomed = (1..=count).filter(|n| n % 3 != 0);
    for some in doomed.collect::<Vec<_>>().chunks(500) {
        let set: Vec<String> = some.iter().map(u32::to_string).collect();
        let set = set.join(",");
        lines(&mut own, &format!("STORE {set} +FLAGS.SILENT (\\Deleted)"));
    }
    lines(&mut other, "NOOP");
    other.send(b"a IDLE\r\n");
    other.said.clear();
    let mut told = lines(&mut own, "EXPUNGE");
    assert!(told.pop().unwrap().contains("[HIGHESTMODSEQ "));
    let gone = (1..=count).rev().filter(|n| n % 3 != 0);
    let expected: Vec<String> = gone.map(|n| format!("* {n} EXPUNGE")).collect();
    assert!(told == expected, "{} lines", told.len());
    // Nothing is left to tell, and numbers are those after it.
    assert_eq!(lines(&mut own, "NOOP").len(), 1);
    let last = lines(&mut own, "FETCH 1500 (UID)");
    assert!(last[0].contains("UID 4500"), "{last:?}");
    other.waited = 0;
    other.poke();
    assert!(other.waited <= Output::MARK + RESPONSE);
    let told: Vec<String> = std::iter::from_fn(|| other.line()).collect();
    assert!(told == expected, "{} lines in IDLE", told.len());
    other.send(b"DONE\r\n");
    assert_eq!(lines(&mut other, "NOOP").len(), 1);
}

#[test]
fn many_vanished_are_told_piece_by_piece() {
    let count = 16_000;
    let ([mut own, mut other], _directory) = pair(count);
    lines(&mut other, "ENABLE QRESYNC");
    for first in (1..=count).step_by(1000) {
        let set: Vec<String> = (first..first + 1000)
            .filter(|n| n % 2 == 0)
            .map(|n| n.to_string())
            .collect();
        for some in set.chunks(500) {
            let set = some.join(",");
            lines(&mut own, &format!("STORE {set} +FLAGS.SILENT (\\Deleted)"));
        }
    }
    lines(&mut own, "EXPUNGE");
    let told = lines(&mut other, "NOOP");
    let mut vanished = Vec::new();
    for line in &told {
        if let Some(set) = line.strip_prefix("* VANISHED ") {
            vanished.extend(set.split(',').map(|n| n.parse::<u32>().unwrap()));
        }
    }
    assert!(
        vanished
            .iter()
            .copied()
            .eq((1..=count).filter(|n| n % 2 == 0))
    );
    assert_eq!(lines(&mut other, "NOOP").len(), 1);
    // A client that comes back is told as much, and never all at once.
    let gone: Vec<u32> = (1..=count).filter(|n| n % 2 == 0).collect();
    for command in [
        "SELECT INBOX (QRESYNC (%v 1))",
        "UID FETCH 1:* (UID) (CHANGEDSINCE 1 VANISHED)",
    ] {
        let said = lines(&mut other, "STATUS INBOX (UIDVALIDITY)");
        let validity: String = said[0].chars().filter(char::is_ascii_digit).collect();
        let told = lines(&mut other, &command.replace("%v", &validity));
        let sets = told
            .iter()
            .filter_map(|line| line.strip_prefix("* VANISHED (EARLIER) "));
        let numbers = sets.flat_map(|set| set.split(',').map(|n| n.parse::<u32>().unwrap()));
        assert!(numbers.eq(gone.iter().copied()), "{command}");
        // Before anything that is still there.
        let fetched = told.iter().position(|line| line.contains("FETCH")).unwrap();
        let vanished = told
            .iter()
            .rposition(|line| line.contains("VANISHED"))
            .unwrap();
        assert!(vanished < fetched);
    }
}

/// RFC 5465 section 5.8: who lags behind too far is told so, and of nothing more.
#[test]
fn too_many_news_end_a_notify() {
    let (account, _directory) = Account::temporary();
    account.prepare().unwrap();
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account.clone(), handover, SESSION);
    let mut connection = Connection::new(Peer::Session(Box::new(session)));
    lines(&mut connection, "NOTIFY SET (personal (MailboxName))");
    let name = crate::mail::MailboxName::new("x").unwrap();
    let created = || crate::mailbox::News::Created(vec![name.clone()]);
    account.publish(created(), 0);
    connection.poke();
    let told = connection.line();
    assert_eq!(
        told.unwrap(),
        "* LIST (\\NonExistent \\HasNoChildren) \"/\" x"
    );
    (0..300).for_each(|_| account.publish(created(), 0));
    connection.poke();
    let told = connection.line().unwrap();
    assert!(told.starts_with("* OK [NOTIFICATIONOVERFLOW] "), "{told}");
    account.publish(created(), 0);
    connection.poke();
    assert_eq!(connection.line(), None);
    lines(&mut connection, "NOTIFY SET (personal (MailboxName))");
    account.publish(created(), 0);
    connection.poke();
    assert!(connection.line().is_some());
}

fn session(account: &Account) -> Connection {
    let handover = Handover {
        tag: crate::protocol::imap::tag::tag(b"login"),
        input: Vec::new(),
    };
    let session = Session::new(account.clone(), handover, SESSION);
    Connection::new(Peer::Session(Box::new(session)))
}

/// What is told without a command.
fn told(connection: &mut Connection) -> Vec<String> {
    connection.said.clear();
    connection.poke();
    std::iter::from_fn(|| connection.line()).collect()
}

/// Another program's doings with mailboxes, one after the other, and what is told of each.
fn meddle(root: &std::path::Path, mut told: impl FnMut() -> Vec<String>) {
    let path = |name: &str| root.join(name);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(path(".a").join(part)).unwrap();
    }
    assert_eq!(told(), ["* LIST (\\HasNoChildren) \"/\" a"]);
    fs::rename(path(".own"), path(".moved")).unwrap();
    fs::rename(path(".own.below"), path(".moved.below")).unwrap();
    let renamed = "* LIST (\\HasChildren) \"/\" moved (\"OLDNAME\" (own))";
    assert_eq!(told(), [renamed]);
    fs::write(path("subscriptions.lock"), "V\t2\n\na\n").unwrap();
    fs::rename(path("subscriptions.lock"), path("subscriptions")).unwrap();
    assert_eq!(told(), ["* LIST (\\Subscribed \\HasNoChildren) \"/\" a"]);
    fs::remove_dir_all(path(".a")).unwrap();
    let gone = "* LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" a";
    assert_eq!(told(), [gone]);
    fs::write(path(".moved/new/1.foreign"), "A: b\n\nx\n").unwrap();
    let status = "* STATUS moved (MESSAGES 1 UIDNEXT 2 UNSEEN 1)";
    assert_eq!(told(), [status]);
    assert_eq!(told(), Vec::<String>::new());
}

/// Nothing was told of mailboxes that other programs made, renamed or removed.
#[test]
fn what_other_programs_do_to_names_is_told() {
    let (account, directory) = Account::temporary();
    let mut own = session(&account);
    lines(&mut own, "CREATE own/below");
    let mut other = session(&account);
    lines(&mut other, "SELECT INBOX");
    let wanted = "NOTIFY SET (personal (MessageNew MessageExpunge FlagChange MailboxName \
                  SubscriptionChange))";
    lines(&mut other, wanted);
    // What sessions do is told once.
    lines(&mut own, "CREATE x");
    lines(&mut own, "SUBSCRIBE x");
    lines(&mut own, "UNSUBSCRIBE x");
    lines(&mut own, "DELETE x");
    assert_eq!(told(&mut other).len(), 4);
    assert_eq!(told(&mut other), Vec::<String>::new());
    meddle(directory.path(), || told(&mut other));
    // Nobody listens: nothing is watched, and nothing is told later.
    lines(&mut other, "NOTIFY NONE");
    fs::create_dir(directory.path().join(".late")).unwrap();
    assert_eq!(told(&mut other), Vec::<String>::new());
    lines(&mut other, wanted);
    assert_eq!(told(&mut other), Vec::<String>::new());
}

/// Without inotify nothing of other mailboxes was told outside of IDLE.
#[test]
fn without_inotify_a_client_that_waits_hears_of_others() {
    let (account, directory) = Account::unwatched();
    let mut own = session(&account);
    lines(&mut own, "CREATE own/below");
    let wanted = "NOTIFY SET (personal (MessageNew MessageExpunge FlagChange MailboxName \
                  SubscriptionChange))";
    lines(&mut own, wanted);
    let mut waited = Duration::ZERO;
    let mut wait = |connection: &mut Connection| {
        std::thread::sleep(Duration::from_millis(60));
        // What it found itself may have it look once more.
        assert_eq!(told(connection), Vec::<String>::new());
        let Peer::Session(session) = &mut connection.peer else {
            panic!("not a session");
        };
        assert!(!session.is_stale());
        let patience = session.patience();
        assert!(patience <= Duration::from_secs(120));
        waited += patience;
        session.event(Event::TimedOut);
        connection.run();
        (std::iter::from_fn(|| connection.line()).collect(), waited)
    };
    meddle(directory.path(), || wait(&mut own).0);
    // It is not for ever that a client may say nothing.
    loop {
        let (told, waited): (Vec<String>, _) = wait(&mut own);
        assert!(waited <= SESSION.patience);
        if own.ended {
            assert_eq!(told, ["* BYE Disconnected for inactivity."]);
            assert_eq!(waited, SESSION.patience);
            break;
        }
        assert_eq!(told, Vec::<String>::new());
    }
}

/// A fault of the store was told as NOTIFICATIONOVERFLOW, and ended the NOTIFY.
#[test]
fn a_fault_is_no_overflow() {
    let (account, directory) = Account::temporary();
    let mut own = session(&account);
    lines(&mut own, "CREATE a");
    lines(
        &mut own,
        "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))",
    );
    let (root, away) = (
        directory.path().to_owned(),
        directory.path().with_extension("away"),
    );
    fs::rename(&root, &away).unwrap();
    fs::write(&root, "no directory").unwrap();
    let name = crate::mail::MailboxName::new("b").unwrap();
    account.publish(crate::mailbox::News::Created(vec![name.clone()]), 0);
    let told_then = told(&mut own);
    assert!(
        told_then.iter().any(|line| line.starts_with("* NO [")),
        "{told_then:?}"
    );
    fs::remove_file(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    account.publish(crate::mailbox::News::Created(vec![name]), 0);
    told(&mut own);
    let mut other = session(&account);
    other.said.clear();
    other.send(b"a APPEND a {2+}\r\nx\r\n\r\n");
    let told = told(&mut own);
    assert_eq!(told, ["* STATUS a (MESSAGES 1 UIDNEXT 2)"]);
}

/// Of a mailbox that was made meanwhile, what it held when it was found was never told.
#[test]
fn the_first_message_of_a_new_mailbox_is_told() {
    let (account, _directory) = Account::temporary();
    let (mut own, mut other) = (session(&account), session(&account));
    let wanted = "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))";
    lines(&mut other, wanted);
    own.send(b"a APPEND INBOX {2+}\r\nx\r\n\r\n");
    assert_eq!(
        told(&mut other),
        ["* STATUS INBOX (MESSAGES 1 UIDNEXT 2)"],
        "the first one"
    );
    lines(&mut own, "SELECT INBOX");
    lines(&mut own, "CREATE empty");
    assert_eq!(told(&mut other), ["* LIST (\\HasNoChildren) \"/\" empty"]);
    own.send(b"a CREATE n\r\nb APPEND n {2+}\r\nx\r\n\r\n");
    assert_eq!(
        told(&mut other),
        [
            "* LIST (\\HasNoChildren) \"/\" n",
            "* STATUS n (MESSAGES 1 UIDNEXT 2)"
        ]
    );
    own.send(b"a CREATE c/d\r\nb COPY 1 c/d\r\nc COPY 1 c\r\n");
    assert_eq!(
        told(&mut other),
        [
            "* LIST (\\HasNoChildren) \"/\" c/d",
            "* LIST (\\HasChildren) \"/\" c",
            "* STATUS c (MESSAGES 1 UIDNEXT 2)",
            "* STATUS c/d (MESSAGES 1 UIDNEXT 2)",
        ]
    );
    // Another mailbox of the same name is another mailbox, now and later.
    own.send(b"a DELETE n\r\nb CREATE n\r\nc COPY 1 n\r\n");
    let again = told(&mut other);
    let status = "* STATUS n (MESSAGES 1 UIDNEXT 2)";
    assert!(again.ends_with(&[status.to_owned()]), "{again:?}");
    lines(&mut own, "COPY 1 n");
    assert_eq!(told(&mut other), ["* STATUS n (MESSAGES 2 UIDNEXT 3)"]);
    own.send(b"a RENAME INBOX i\r\n");
    let renamed = told(&mut other);
    for expected in [
        "* LIST (\\HasNoChildren) \"/\" i",
        "* STATUS i (MESSAGES 1 UIDNEXT 2)",
        "* STATUS INBOX (MESSAGES 0 UIDNEXT 2)",
    ] {
        assert!(renamed.iter().any(|line| line == expected), "{renamed:?}");
    }
    // Once.
    assert_eq!(told(&mut other), Vec::<String>::new());
    // What the client itself did is no news.
    lines(&mut other, "CREATE mine");
    other.send(b"a APPEND mine {2+}\r\nx\r\n\r\n");
    assert_eq!(told(&mut other), Vec::<String>::new());
}
