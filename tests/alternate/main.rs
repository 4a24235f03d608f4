//! Dovecot and this server have the same mail in turns, in each format: one changes it by chance, then both
//! have to tell the same of it: names, subscriptions, UIDVALIDITY, UIDNEXT, UIDs, flags, keywords,
//! INTERNALDATE, sizes, octets, and what a message is called for ever.
//!
//! `DOVELET_ALTERNATE_ROUNDS` says how many turns each has (8), `DOVELET_ALTERNATE_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod change;
mod facts;
#[path = "../support/mod.rs"]
mod support;

use change::Changer;
use facts::{Facts, Who};
use std::fs;
use std::os::unix::fs::MetadataExt;
use support::{Dovecot, Random, Server};

/// Turns of each, unless the environment says it.
const ROUNDS: u64 = 8;
/// What Dovecot calls it if mailboxes of a Maildir lie in each other.
const NESTED: &str = ":LAYOUT=fs";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

struct Turns {
    format: &'static str,
    /// Mailboxes of a Maildir lie in each other.
    nested: bool,
    server: Server,
    dovecot: Dovecot,
}

impl Turns {
    /// `methods`: how this server compresses messages, and how Dovecot does.
    fn start(kind: &'static str, methods: Option<(&str, &str)>) -> Turns {
        let (format, nested) = match kind.strip_suffix(NESTED) {
            Some(format) => (format, true),
            None => (kind, false),
        };
        let layout = if nested { "layout = \"fs\"\n" } else { "" };
        let (ours, theirs) = match methods {
            None => ("none", String::new()),
            Some((ours, theirs)) => (
                ours,
                format!("mail_plugins = zlib\nplugin {{\n  zlib_save = {theirs}\n}}\n"),
            ),
        };
        let settings = format!(
            "[limits]\nmdbox_rotate_octets = 65536\n[storage]\nformat = \"{format}\"\n\
             compression = \"{ours}\"\n{layout}"
        );
        let server = Server::start(&settings);
        // Makes the directories and their owners.
        drop(server.imap("ann"));
        let mail = server.data().join("mail");
        let owner = fs::metadata(mail.join("ann")).unwrap();
        let inbox = match format {
            "mbox" => format!(":INBOX={}/%u/inbox", mail.display()),
            _ if nested => NESTED.to_owned(),
            _ => String::new(),
        };
        let location = format!(
            "mail_location = {format}:{}/%u{inbox}\nmdbox_rotate_size = 64k\n{theirs}",
            mail.display()
        );
        let owner = (owner.uid(), owner.gid());
        let dovecot = Dovecot::with(&server.path("dovecot"), &mail, owner, &location);
        Turns {
            format,
            nested,
            server,
            dovecot,
        }
    }

    /// Whether a command on the mail of ann went well, and what it said.
    fn run(&self, command: &str, more: &[&str]) -> (bool, String) {
        let root = self.server.data().join("mail/ann");
        let mut words = vec![command, root.to_str().unwrap()];
        words.extend(more);
        let output = self.server.command(&words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// The logs of an sdbox or mdbox are this server's or Dovecot's.
    fn hand_over(&self) {
        let to = ["--to", "dovecot"];
        let log = "data/mail/ann/mailboxes/INBOX/dbox-Mails/dovelet.log";
        let log = self.server.path(log);
        let (done, said) = self.run("export", &["--to", "dovecot", "--dry-run"]);
        assert!(done && said.contains("could be handed over: "), "{said}");
        assert!(log.exists());
        let (done, said) = self.run("export", &to);
        assert!(done && said.contains("\nhanded over: "), "{said}");
        assert!(!log.exists());
        let (done, said) = self.run("export", &to);
        assert!(
            !done && said.contains("run \"dovelet adopt\" first"),
            "{said}"
        );
    }

    /// True where one of the two alone has the last word.
    fn has_logs(&self) -> bool {
        self.format.ends_with("dbox")
    }

    fn begin_theirs(&mut self) {
        assert!(self.server.stop().success());
        if self.has_logs() {
            self.hand_over();
        }
    }

    /// `forgets`: what this server can do without is gone.
    fn begin_ours(&mut self, forgets: bool) {
        if self.has_logs() {
            let (done, said) = self.run("adopt", &[]);
            assert!(done, "{said}");
        }
        if forgets {
            fs::remove_dir_all(self.server.data().join("index")).unwrap();
            let logs = self.server.data().join("mail/ann/.imap/.dovelet");
            if logs.exists() {
                fs::remove_dir_all(logs).unwrap();
            }
        }
        self.server.again();
    }

    fn dovecot_log(&self) -> String {
        fs::read_to_string(self.server.path("dovecot/log")).unwrap_or_default()
    }

    /// Dovecot believes its index of mailboxes although a directory went that others are below of, here or
    /// by its own command.
    fn forget_names(&self) {
        for entry in fs::read_dir(self.server.data().join("mail/ann")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with("dovecot.list.index") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn look(&self, who: Who) -> Facts {
        let mut facts = match who {
            Who::We => Facts::ours(&self.server),
            Who::Dovecot => {
                self.forget_names();
                Facts::theirs(&self.dovecot)
            }
        };
        match self.format {
            // There Dovecot takes another digest.
            "mbox" => facts.without_ids(),
            "maildir" => facts.without_copies(&self.server.maildir("ann"), self.nested),
            _ => {}
        }
        facts
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Dovecot's log:\n{}", self.dovecot_log());
        }
    }
}

fn take_turns(kind: &'static str, methods: Option<(&str, &str)>) {
    if !Dovecot::possible() {
        return;
    }
    let rounds = number("DOVELET_ALTERNATE_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("DOVELET_ALTERNATE_SEED").unwrap_or_else(Random::seed);
    println!("{kind}: DOVELET_ALTERNATE_SEED={seed}");
    let mut turns = Turns::start(kind, methods);
    let mut changer = Changer::new(turns.format, seed);
    for round in 0..rounds {
        let mut imap = turns.server.imap("ann");
        changer.change(&mut imap, Who::We, &format!("ours-{round}"));
        let ours = turns.look(Who::We);
        turns.begin_theirs();
        let theirs = turns.look(Who::Dovecot);
        ours.compare(&theirs, &format!("Dovecot in round {round}"));
        // Dovecot's texts are not in ASCII.
        let mut imap = turns.dovecot.imap("ann").raw();
        changer.change(&mut imap, Who::Dovecot, &format!("theirs-{round}"));
        let theirs = turns.look(Who::Dovecot);
        turns.begin_ours(round % 3 == 2);
        let ours = turns.look(Who::We);
        theirs.compare(&ours, &format!("we in round {round}"));
    }
    let counts = changer.counts();
    println!("{kind}: {rounds} rounds, {counts:?}");
    let log = turns.server.log();
    assert!(!log.contains("ERROR"), "{log}");
    if turns.has_logs() {
        let log = turns.dovecot_log();
        assert!(!log.contains("Error: "), "{log}");
    }
}

#[test]
fn a_maildir_is_changed_in_turns() {
    take_turns("maildir", None);
}

#[test]
fn a_maildir_of_nested_directories_is_changed_in_turns() {
    take_turns("maildir:LAYOUT=fs", None);
}

#[test]
fn an_sdbox_is_changed_in_turns() {
    take_turns("sdbox", None);
}

#[test]
fn an_mdbox_is_changed_in_turns() {
    take_turns("mdbox", None);
}

#[test]
fn an_mbox_is_changed_in_turns() {
    take_turns("mbox", None);
}

#[test]
fn a_maildir_is_changed_in_turns_and_compressed() {
    take_turns("maildir", Some(("gzip", "zstd")));
}

#[test]
fn an_sdbox_is_changed_in_turns_and_compressed() {
    take_turns("sdbox", Some(("lz4", "gz")));
}

#[test]
fn an_mdbox_is_changed_in_turns_and_compressed() {
    take_turns("mdbox", Some(("zstd", "lz4")));
}
