//! Commands that change many messages, turn by turn.

use super::*;
use crate::mail::MailboxName;
use crate::mailbox::{Access, Expunges};
use std::fs;

const COUNT: u32 = 7;

struct Scene {
    account: Account,
    _directory: tempfile::TempDir,
    own: Connection,
    other: Connection,
}

/// INBOX with messages, all of them `\Deleted`, selected by two sessions; three are taken at a time.
fn scene() -> Scene {
    let (account, directory) = Account::stepping(3);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(directory.path().join(part)).unwrap();
    }
    let cur = directory.path().join("cur");
    for n in 1..=COUNT {
        fs::write(cur.join(format!("{n},U={n}:2,T")), "Subject: x\n\nx\n").unwrap();
    }
    account.create(&MailboxName::new("to").unwrap()).unwrap();
    let connect = |mailbox: &str| {
        let handover = Handover {
            tag: crate::protocol::imap::tag::tag(b"login"),
            input: Vec::new(),
        };
        let settings = SessionSettings {
            progress: Duration::ZERO,
            ..SESSION
        };
        let session = Session::new(account.clone(), handover, settings);
        let mut connection = Connection::new(Peer::Session(Box::new(session)));
        connection.send(format!("a SELECT {mailbox}\r\n").as_bytes());
        connection.said.clear();
        connection
    };
    let (own, other) = (connect("INBOX"), connect("INBOX"));
    Scene {
        account,
        _directory: directory,
        own,
        other,
    }
}

impl Scene {
    fn session(&mut self) -> &mut Session {
        match &mut self.own.peer {
            Peer::Session(session) => session,
            Peer::Login(_) => panic!("not a session"),
        }
    }

    /// Has the command begin, and take so many turns on the disk.
    fn begin(&mut self, command: &str, turns: usize) {
        let line = format!("b {command}\r\n");
        assert_eq!(self.session().input(line.as_bytes()), line.len());
        for _ in 0..turns {
            self.turn();
        }
    }

    /// One turn on the disk and what comes before it.
    fn turn(&mut self) -> Progress<()> {
        let mut out = Output::new();
        let session = self.session();
        let progress = match session.advance(Turn::Quick, &mut out) {
            Progress::Disk => session.advance(Turn::Disk, &mut out),
            other => other,
        };
        self.own.said.extend_from_slice(out.bytes());
        progress
    }

    /// The client is gone.
    fn leave(&mut self) {
        self.said();
        self.session().event(Event::Gone);
        self.own.run();
        assert!(self.own.ended);
        assert!(!self.said().iter().any(|line| line.starts_with("b ")));
    }

    fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.own.line()).collect()
    }

    /// How many messages there are.
    fn exists(&self, mailbox: &str) -> u32 {
        let name = MailboxName::new(mailbox).unwrap();
        let mut view = self.account.select(&name, Access::ReadOnly).unwrap();
        view.sync(Expunges::Tell).unwrap();
        view.exists()
    }

    fn other(&mut self, command: &str) -> Vec<String> {
        self.other.send(format!("c {command}\r\n").as_bytes());
        std::iter::from_fn(|| self.other.line()).collect()
    }
}

#[test]
fn others_have_their_turns_and_the_client_hears_how_far_it_is() {
    let mut scene = scene();
    scene.begin("STORE 1:7 -FLAGS (\\Deleted)", 1);
    assert_eq!(
        scene.said(),
        ["* OK [INPROGRESS (\"b\" 3 7)] Still changing flags."]
    );
    let told = scene.other("NOOP");
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[2].starts_with("* 3 FETCH (FLAGS ("), "{told:?}");
    // What goes meanwhile is told at the end, and not in the middle of STORE.
    scene.other("STORE 7 +FLAGS.SILENT (\\Deleted)");
    scene.other("EXPUNGE");
    assert_eq!(scene.exists("INBOX"), 3, "4:7 had the flag still");
    scene.own.run();
    let said = scene.said();
    assert_eq!(
        said[0],
        "* OK [INPROGRESS (\"b\" 6 7)] Still changing flags."
    );
    assert!(
        (1..=3).all(|n| said[n].starts_with(&format!("* {n} FETCH (FLAGS ("))),
        "{said:?}"
    );
    assert!(said[4].starts_with("b NO [EXPUNGEISSUED]"), "{said:?}");
    scene.own.send(b"d NOOP\r\n");
    let gone = scene.said();
    assert_eq!(
        gone[..4],
        ["* 7 EXPUNGE", "* 6 EXPUNGE", "* 5 EXPUNGE", "* 4 EXPUNGE"]
    );
}

#[test]
fn a_keyword_that_is_made_meanwhile_is_told_before_the_message_that_has_it() {
    // FETCH left the keyword out, and told the mod-sequence that the message has with it.
    let mut scene = scene();
    scene.begin("FETCH 1:7 (BODY[TEXT] FLAGS MODSEQ)", 1);
    scene.other("STORE 2 +FLAGS (made)");
    scene.own.run();
    let said = scene.said();
    let place = |text: &str| said.iter().position(|line| line.contains(text));
    let (told, message) = (place("* FLAGS ("), place("* 2 FETCH ("));
    assert!(told.is_some() && told < message, "{said:?}");
    assert!(place("Seen made \\Recent) MODSEQ").is_some(), "{said:?}");
}

#[test]
fn progress_of_each_command_is_told() {
    let texts = [
        ("COPY 1:7 to", "Still copying."),
        ("UID MOVE 1:7 to", "Still moving."),
        ("EXPUNGE", "Still expunging."),
        ("CLOSE", "Still expunging."),
        ("RENAME INBOX new", "Still moving."),
        ("FETCH 1:7 BODY[]", "Still changing flags."),
    ];
    for (command, text) in texts {
        let mut scene = scene();
        scene.begin(command, 2);
        let told = |done| format!("* OK [INPROGRESS (\"b\" {done} 7)] {text}");
        assert_eq!(scene.said(), [told(3), told(6)], "{command}");
        scene.own.run();
        let said = scene.said();
        assert!(
            said.last().unwrap().starts_with("b OK "),
            "{command}: {said:?}"
        );
    }
}

#[test]
fn who_leaves_ends_the_command() {
    // (command, messages in INBOX and in `to` after it was given up)
    let left = [
        ("COPY 1:7 to", 7, 0),
        ("UID COPY 1:* to", 7, 0),
        ("MOVE 1:7 to", 1, 6),
        ("UID MOVE 1:* to", 1, 6),
        ("EXPUNGE", 1, 0),
        ("UID EXPUNGE 1:*", 1, 0),
        ("CLOSE", 1, 0),
        ("RENAME INBOX new", 1, 0),
    ];
    for (command, inbox, to) in left {
        let mut scene = scene();
        scene.begin(command, 2);
        assert!(scene.session().is_silent(), "{command}");
        scene.leave();
        assert_eq!(
            (scene.exists("INBOX"), scene.exists("to")),
            (inbox, to),
            "{command}"
        );
    }
    for command in ["STORE 1:7 FLAGS (\\Seen)", "UID FETCH 1:* (BODY[TEXT])"] {
        let mut scene = scene();
        scene.begin(command, 2);
        scene.leave();
        assert_eq!(
            scene.other("SEARCH UNSEEN")[..].last().unwrap(),
            "c OK Search completed."
        );
        let unseen = scene.other("STATUS INBOX (UNSEEN)");
        assert_eq!(unseen[0], "* STATUS INBOX (UNSEEN 1)", "{command}");
    }
}

#[test]
fn the_end_of_the_server_ends_the_command() {
    for (command, inbox, to) in [("COPY 1:7 to", 7, 0), ("MOVE 1:7 to", 1, 6)] {
        let mut scene = scene();
        scene.begin(command, 2);
        scene.said();
        scene.session().event(Event::Stopping);
        scene.own.run();
        assert!(scene.own.ended);
        let said = scene.said();
        assert_eq!(said.last().unwrap(), "* BYE The server is shutting down.");
        assert!(said.iter().all(|line| !line.starts_with("b ")), "{said:?}");
        assert_eq!((scene.exists("INBOX"), scene.exists("to")), (inbox, to));
    }
}

#[test]
fn a_move_that_fails_tells_what_was_moved() {
    let mut scene = scene();
    scene.begin("MOVE 1:7 to", 1);
    scene
        .account
        .delete(&MailboxName::new("to").unwrap())
        .unwrap();
    scene.own.run();
    let said = scene.said();
    assert!(
        said[1].starts_with("* OK [COPYUID ") && said[1].contains(" 1:3 1:3]"),
        "{said:?}"
    );
    assert_eq!(said[2..5], ["* 3 EXPUNGE", "* 2 EXPUNGE", "* 1 EXPUNGE"]);
    assert!(said[5].starts_with("b NO [TRYCREATE]"), "{said:?}");
}
