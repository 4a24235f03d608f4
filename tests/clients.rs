//! Mail programs that others wrote, against the whole server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Finished, Imap, PASSWORD, Server, can, message, python, run, wait_until};

/// What curl prints for a URL behind `imap://localhost:PORT/` or `imaps://`.
struct Curl<'a> {
    server: &'a Server,
    /// Words that choose the way: TLS or not.
    words: Vec<String>,
    base: String,
}

impl<'a> Curl<'a> {
    fn plain(server: &'a Server) -> Curl<'a> {
        Curl::new(server, &[], format!("imap://127.0.0.1:{}", server.imap))
    }

    fn starttls(server: &'a Server) -> Curl<'a> {
        Curl::secured(server, format!("imap://localhost:{}", server.imap))
    }

    fn implicit(server: &'a Server) -> Curl<'a> {
        Curl::secured(server, format!("imaps://localhost:{}", server.imaps))
    }

    /// Trusts just the certificate that the server made.
    fn secured(server: &'a Server, base: String) -> Curl<'a> {
        let certificate = server.certificate().display().to_string();
        Curl::new(server, &["--ssl-reqd", "--cacert", &certificate], base)
    }

    fn new(server: &'a Server, words: &[&str], base: String) -> Curl<'a> {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        Curl {
            server,
            words,
            base,
        }
    }

    fn run(&self, path: &str, words: &[&str]) -> Finished {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args(["--user", &format!("ann:{PASSWORD}")])
            .args(&self.words)
            .args(words)
            .arg(format!("{}/{path}", self.base))
            .current_dir(self.server.path(""));
        run(&mut command)
    }

    fn ok(&self, path: &str, words: &[&str]) -> String {
        self.run(path, words).ok()
    }
}

#[test]
fn curl_reads_and_appends() {
    if !can(&["curl"]) {
        return;
    }
    let server = Server::start("");
    let first = message("one@test", "first of all", "Hello from LMTP.");
    server.deliver("ann", &first);
    for (number, curl) in [
        Curl::plain(&server),
        Curl::starttls(&server),
        Curl::implicit(&server),
    ]
    .iter()
    .enumerate()
    {
        assert!(curl.ok("", &[]).contains("INBOX"));
        let got = curl.ok("INBOX;UID=1", &[]);
        assert!(got.ends_with(&first), "{got}");
        assert!(
            got.starts_with("Return-Path: <sender@example.net>\r\n"),
            "{got}"
        );
        assert_eq!(
            curl.ok("INBOX;UID=1;SECTION=TEXT", &[]),
            "Hello from LMTP.\r\n"
        );
        let found = curl.ok("INBOX?SUBJECT%20%22first%20of%22", &[]);
        assert_eq!(found.trim_end(), "* SEARCH 1");
        let id = format!("curl-{number}@test");
        fs::write(server.path("up"), message(&id, "appended", "From curl.")).unwrap();
        curl.ok("Sent", &["--upload-file", "up"]);
        let sent = curl.ok("Sent?ALL", &[]);
        let expected = ["1", "1 2", "1 2 3"][number];
        assert_eq!(sent.trim_end(), format!("* SEARCH {expected}"));
    }
    let curl = Curl::plain(&server);
    let stored = curl.ok("Sent", &["--request", "STORE 2 +FLAGS (\\Deleted)"]);
    assert!(stored.contains("\\Deleted"), "{stored}");
    assert_eq!(
        curl.ok("Sent", &["--request", "EXPUNGE"]).trim_end(),
        "* 2 EXPUNGE"
    );
    let mut imap = server.imap("ann");
    imap.ok("SELECT Sent");
    let ids: Vec<String> = imap
        .list("1:*")
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    assert_eq!(ids, ["curl-0@test", "curl-2@test"]);
    let wrong = curl.run("", &["--user", "ann:wrong"]);
    assert_eq!(wrong.status.code(), Some(67), "{wrong:?}");
}

/// Runs `tests/clients/NAME` with the server's ports, the certificate, the user and the password.
fn script(server: &Server, python: &Path, name: &str) {
    let mut command = Command::new(python);
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/clients")
                .join(name),
        )
        .args([server.imap, server.imaps].map(|port| port.to_string()))
        .arg(server.certificate())
        .args(["ann", PASSWORD]);
    let said = run(&mut command).ok();
    assert!(said.ends_with("all is well\n"), "{said}");
}

#[test]
fn imaplib() {
    let Some(python) = python("imaplib") else {
        return;
    };
    script(&Server::start(""), &python, "with_imaplib.py");
}

#[test]
fn imapclient() {
    let Some(python) = python("imapclient") else {
        return;
    };
    script(&Server::start(""), &python, "with_imapclient.py");
}

#[test]
fn swaks_delivers_to_the_unix_socket() {
    if !can(&["swaks"]) {
        return;
    }
    let server = Server::start("");
    let swaks = |to: &str| {
        let mut command = Command::new("swaks");
        command
            .args(["--protocol", "LMTP", "--socket"])
            .arg(server.socket())
            .args(["--from", "sender@example.net", "--to", to])
            .args([
                "--header",
                "Subject: by swaks",
                "--body",
                "A line.\\n.\\nAnother.",
            ]);
        run(&mut command)
    };
    swaks("ann,bob@example.org").ok();
    for user in ["ann", "bob"] {
        let mut imap = server.imap(user);
        imap.ok("SELECT INBOX");
        let body = imap.ok("FETCH 1 BODY.PEEK[TEXT]").untagged.concat();
        assert!(body.contains("A line.\r\n.\r\nAnother."), "{body}");
        let found = imap.ok("SEARCH SUBJECT swaks");
        assert_eq!(found.untagged, ["SEARCH 1"]);
    }
    let refused = swaks("nobody@example.org");
    assert!(!refused.status.success());
    assert!(refused.stdout.contains("550 5.1.1"), "{}", refused.stdout);
}

/// A Maildir beside the server's, kept equal by mbsync.
struct Near<'a> {
    server: &'a Server,
    root: PathBuf,
}

/// What both sides have to agree on.
type Mailbox = BTreeSet<(String, String)>;

impl<'a> Near<'a> {
    fn new(server: &'a Server) -> Near<'a> {
        let root = server.path("near");
        fs::create_dir(&root).unwrap();
        let settings = format!(
            "IMAPAccount ours\nHost localhost\nPort {}\nUser ann\nPass {PASSWORD}\nSSLType IMAPS\n\
             CertificateFile {}\n\n\
             IMAPStore far\nAccount ours\n\n\
             MaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\n\
             SyncState *\n",
            server.imaps,
            server.certificate().display(),
            near = root.display(),
        );
        fs::write(server.path("mbsyncrc"), settings).unwrap();
        Near { server, root }
    }

    fn sync(&self) -> String {
        let mut command = Command::new("mbsync");
        command
            .arg("--config")
            .arg(self.server.path("mbsyncrc"))
            .args(["--verbose", "--all"])
            .env("HOME", self.server.path(""));
        run(&mut command).ok()
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
    if !can(&["mbsync"]) {
        return;
    }
    let server = Server::start("");
    for id in ["one", "two", "three", "four", "five"] {
        server.deliver("ann", &message(&format!("{id}@test"), id, "Far."));
    }
    let near = Near::new(&server);
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
    near.mark("INBOX", "two@test", "T");
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

/// mutt in a terminal of its own.
struct Mutt {
    socket: String,
}

impl Mutt {
    /// With `check`, the lines that say how it learns of new mail.
    fn start(server: &Server, check: &str) -> Mutt {
        let settings = format!(
            "{check}\nset folder=\"imaps://ann@localhost:{}/\"\nset spoolfile=\"+INBOX\"\n\
             set imap_pass=\"{PASSWORD}\"\nset certificate_file=\"{}\"\n\
             set delete=yes\nset quit=yes\nset sort=date\nset move=no\nset mark_old=no\n\
             set header_cache=\"\"\nset message_cachedir=\"\"\nset wait_key=no\n\
             set index_format=\"%Z %s\"\n",
            server.imaps,
            server.certificate().display(),
        );
        fs::write(server.path("muttrc"), settings).unwrap();
        let socket = server.path("tmux").display().to_string();
        let mutt = Mutt { socket };
        let command = format!("mutt -n -F {}", server.path("muttrc").display());
        let home = format!("HOME={}", server.path("").display());
        let words = ["new-session", "-d", "-x", "100", "-y", "30", "-e", &home];
        let words = words
            .iter()
            .copied()
            .chain(["-e", "LANG=C.UTF-8", &command]);
        mutt.tmux(&words.collect::<Vec<_>>()).ok();
        mutt
    }

    fn tmux(&self, words: &[&str]) -> Finished {
        let mut command = Command::new("tmux");
        command
            .args(["-f", "/dev/null", "-S", &self.socket])
            .args(words)
            .env_remove("TMUX");
        run(&mut command)
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).stdout
    }

    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]).ok();
    }

    /// Waits until the screen shows all of that.
    fn shows(&self, texts: &[&str]) {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("mutt's screen", || {
                last = self.screen();
                texts.iter().all(|text| last.contains(text)).then_some(())
            });
        }));
        assert!(seen.is_ok(), "{texts:?} not on\n{last}");
    }
}

impl Drop for Mutt {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn mutt_opens_reads_and_deletes() {
    mutt_reads("set imap_idle=yes");
}

/// Left alone, mutt asks only after ten minutes of silence.
#[test]
fn mutt_without_idle_asks_for_new_messages() {
    mutt_reads("set imap_idle=no\nset timeout=1\nset mail_check=1");
}

fn mutt_reads(check: &str) {
    if !can(&["mutt", "tmux"]) {
        return;
    }
    let server = Server::start("");
    for (id, subject) in [("a", "Apples"), ("b", "Bananas"), ("c", "Cherries")] {
        let text = message(&format!("{id}@test"), subject, &format!("About {subject}."));
        server.deliver("ann", &text);
    }
    let mutt = Mutt::start(&server, check);
    mutt.shows(&["Apples", "Bananas", "Cherries"]);
    mutt.keys("1");
    mutt.keys("Enter");
    mutt.keys("Enter");
    mutt.shows(&["About Apples."]);
    mutt.keys("i");
    mutt.shows(&["Apples", "Bananas", "Cherries"]);
    mutt.keys("2");
    mutt.keys("Enter");
    mutt.keys("d");
    mutt.keys("$");
    wait_until("Bananas to be gone", || {
        (!mutt.screen().contains("Bananas")).then_some(())
    });
    mutt.shows(&["Apples", "Cherries"]);
    // Mail that comes in while mutt looks.
    server.deliver("ann", &message("d@test", "Dates", "About Dates."));
    wait_until("Dates to be seen", || {
        // mutt looks for mail after a key; this one moves nothing.
        mutt.keys("=");
        mutt.screen().contains("Dates").then_some(())
    });
    mutt.keys("q");
    wait_until("mutt's end", || {
        (!mutt.tmux(&["has-session"]).status.success()).then_some(())
    });
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let messages = imap.list("1:*").unwrap();
    let seen: Vec<(&str, bool)> = messages
        .iter()
        .map(|m| (m.id.as_str(), m.flags.contains(&"\\Seen".to_owned())))
        .collect();
    assert_eq!(
        seen,
        [("a@test", true), ("c@test", false), ("d@test", false)]
    );
}
