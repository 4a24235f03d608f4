//! Programs that keep a Maildir beside the server equal to it, with changes on both sides.

use crate::support::{Imap, PASSWORD, Server, can, message, run};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Maildir beside the server's, kept equal by a program.
struct Near<'a> {
    server: &'a Server,
    root: PathBuf,
    program: Program,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Mbsync,
    OfflineImap,
}

/// What both sides have to agree on.
type Mailbox = BTreeSet<(String, String)>;

impl<'a> Near<'a> {
    fn new(server: &'a Server, program: Program) -> Near<'a> {
        let root = server.path("near");
        fs::create_dir(&root).unwrap();
        let settings = match program {
            Program::Mbsync => mbsync_settings(server, &root),
            Program::OfflineImap => offlineimap_settings(server, &root),
        };
        fs::write(server.path("nearrc"), settings).unwrap();
        Near {
            server,
            root,
            program,
        }
    }

    fn sync(&self) -> String {
        let settings = self.server.path("nearrc");
        let mut command = match self.program {
            Program::Mbsync => {
                let mut command = Command::new("mbsync");
                command.arg("--config").arg(settings);
                command.args(["--verbose", "--all"]);
                command
            }
            Program::OfflineImap => {
                let mut command = Command::new("offlineimap");
                command.arg("-c").arg(settings).args(["-o", "-u", "basic"]);
                command
            }
        };
        let finished = run(command.env("HOME", self.server.path("")));
        // offlineimap says what went wrong, and little else, in words only.
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!said.contains("ERROR:"), "{said}");
        finished.ok()
    }

    /// As the user of that program deletes.
    fn delete(&self, mailbox: &str, id: &str) {
        match self.program {
            Program::Mbsync => self.mark(mailbox, id, "T"),
            Program::OfflineImap => fs::remove_file(self.file(mailbox, id)).unwrap(),
        }
    }

    fn files(&self, mailbox: &str) -> Vec<PathBuf> {
        let directory = self.root.join(mailbox);
        let list = |part: &str| fs::read_dir(directory.join(part)).unwrap();
        let entries = list("cur").chain(list("new"));
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The file of a message.
    fn file(&self, mailbox: &str, id: &str) -> PathBuf {
        let mut files = self.files(mailbox).into_iter();
        files.find(|file| message_id(file) == id).unwrap()
    }

    /// Sets the letters behind `:2,`, in `cur`.
    fn mark(&self, mailbox: &str, id: &str, letters: &str) {
        let file = self.file(mailbox, id);
        let name = file.file_name().unwrap().to_str().unwrap();
        let base = name.split(':').next().unwrap();
        let marked = self
            .root
            .join(mailbox)
            .join("cur")
            .join(format!("{base}:2,{letters}"));
        fs::rename(&file, marked).unwrap();
    }

    fn add(&self, mailbox: &str, id: &str) {
        let text = message(id, "from the near side", "Near.").replace("\r\n", "\n");
        let file = self
            .root
            .join(mailbox)
            .join("new")
            .join(format!("1.{id}.near"));
        fs::write(file, text).unwrap();
    }

    /// Message-IDs with flag letters.
    fn mailbox(&self, mailbox: &str) -> Mailbox {
        let files = self.files(mailbox).into_iter();
        files
            .map(|file| (message_id(&file), letters(&file)))
            .collect()
    }
}

fn mbsync_settings(server: &Server, near: &Path) -> String {
    format!(
        "IMAPAccount ours\nHost localhost\nPort {}\nUser ann\nPass {PASSWORD}\nSSLType IMAPS\n\
         CertificateFile {}\n\n\
         IMAPStore far\nAccount ours\n\n\
         MaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\n\
         SyncState *\n",
        server.imaps,
        server.certificate().display(),
        near = near.display(),
    )
}

fn offlineimap_settings(server: &Server, near: &Path) -> String {
    format!(
        "[general]\naccounts = ours\nmetadata = {}\nfsync = false\n\n\
         [Account ours]\nlocalrepository = near\nremoterepository = far\n\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {}\nsep = /\n\n\
         [Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {}\n\
         remoteuser = ann\nremotepass = {PASSWORD}\nssl = yes\nsslcacertfile = {}\n",
        server.path("offlineimap").display(),
        near.display(),
        server.imaps,
        server.certificate().display(),
    )
}

fn message_id(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once("Message-ID: <").unwrap();
    rest.split('>').next().unwrap().to_owned()
}

fn letters(file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    name.split_once(":2,")
        .map_or("", |(_, letters)| letters)
        .to_owned()
}

/// The same of the server.
fn far(imap: &mut Imap, mailbox: &str) -> Mailbox {
    imap.ok(&format!("EXAMINE {mailbox}"));
    let messages = imap.list("1:*").unwrap().into_iter();
    let letter = |flag: &String| match flag.as_str() {
        "\\Seen" => "S",
        "\\Flagged" => "F",
        "\\Answered" => "R",
        "\\Draft" => "D",
        other => panic!("{other}"),
    };
    messages
        .map(|m| {
            let mut letters: Vec<&str> = m.flags.iter().map(letter).collect();
            letters.sort_unstable();
            (m.id, letters.concat())
        })
        .collect()
}

fn mailbox(messages: &[(&str, &str)]) -> Mailbox {
    let own = |(id, letters): &(&str, &str)| (format!("{id}@test"), (*letters).to_owned());
    messages.iter().map(own).collect()
}

#[test]
fn mbsync_carries_changes_of_both_sides() {
    if can(&["mbsync"]) {
        changes_of_both_sides_are_carried(Program::Mbsync);
    }
}

#[test]
fn offlineimap_carries_changes_of_both_sides() {
    if can(&["offlineimap"]) {
        changes_of_both_sides_are_carried(Program::OfflineImap);
    }
}

fn changes_of_both_sides_are_carried(program: Program) {
    let server = Server::start("");
    for id in ["one", "two", "three", "four", "five"] {
        server.deliver("ann", &message(&format!("{id}@test"), id, "Far."));
    }
    let near = Near::new(&server, program);
    let mut imap = server.imap("ann");
    imap.ok("CREATE work/plans");
    let agree = |imap: &mut Imap, mailbox_name: &str, expected: &[(&str, &str)]| {
        assert_eq!(near.mailbox(mailbox_name), mailbox(expected), "near");
        assert_eq!(far(imap, mailbox_name), mailbox(expected), "far");
    };

    near.sync();
    let first = ["one", "two", "three", "four", "five"].map(|id| (id, ""));
    agree(&mut imap, "INBOX", &first);

    near.mark("INBOX", "one@test", "S");
    near.delete("INBOX", "two@test");
    near.add("INBOX", "six@test");
    near.add("work/plans", "near@test");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 3 +FLAGS (\\Flagged \\Answered)");
    imap.ok("STORE 4 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    let seven = message("seven@test", "appended", "Far.");
    imap.append("INBOX", "\\Seen", &seven).unwrap();
    let far_one = message("far@test", "appended", "Far.");
    imap.append("work/plans", "\\Draft", &far_one).unwrap();
    near.sync();
    let second = [
        ("one", "S"),
        ("three", "FR"),
        ("five", ""),
        ("six", ""),
        ("seven", "S"),
    ];
    agree(&mut imap, "INBOX", &second);
    agree(&mut imap, "work/plans", &[("near", ""), ("far", "D")]);

    // Nothing is left to do, and a restart changes nothing of that.
    drop(imap);
    let before: BTreeSet<PathBuf> = near.files("INBOX").into_iter().collect();
    near.sync();
    assert_eq!(before, near.files("INBOX").into_iter().collect());
    agree(&mut server.imap("ann"), "INBOX", &second);
}
