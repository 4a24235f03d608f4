//! mutt and neomutt in a terminal.

use crate::left::assert_left;
use crate::support::{Finished, PASSWORD, Server, can, message, run, wait_until};
use std::fs;
use std::path::Path;
use std::process::Command;

/// mutt or neomutt in a terminal of its own.
struct Mutt {
    socket: String,
}

/// Settings that both understand, in no file but the test's.
fn settings(server: &Server, more: &str) -> String {
    format!(
        "{more}\nset folder=\"imaps://ann@localhost:{}/\"\nset spoolfile=\"+INBOX\"\n\
         set imap_pass=\"{PASSWORD}\"\nset certificate_file=\"{}\"\n\
         set delete=yes\nset quit=yes\nset sort=date\nset move=no\nset mark_old=no\n\
         set wait_key=no\nset index_format=\"%Z %s\"\n",
        server.imaps,
        server.certificate().display(),
    )
}

impl Mutt {
    /// `command` is a program with its words, to which the settings file is added.
    fn start(server: &Server, command: &str, settings: &str) -> Mutt {
        fs::write(server.path("muttrc"), settings).unwrap();
        let socket = server.path("tmux").display().to_string();
        let mutt = Mutt { socket };
        let command = format!("{command} -n -F {}", server.path("muttrc").display());
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

    /// Waits until mail that comes in meanwhile is on the screen.
    fn waits_for(&self, subject: &str) {
        wait_until(&format!("{subject} to be seen"), || {
            // It looks for mail after a key; this one moves nothing.
            self.keys("=");
            self.screen().contains(subject).then_some(())
        });
    }

    fn quit(&self) {
        self.keys("q");
        wait_until("mutt's end", || {
            (!self.tmux(&["has-session"]).status.success()).then_some(())
        });
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
    let check = format!("{check}\nset header_cache=\"\"\nset message_cachedir=\"\"");
    let mutt = Mutt::start(&server, "mutt", &settings(&server, &check));
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
    mutt.waits_for("Dates");
    mutt.quit();
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

#[test]
fn neomutt_learns_by_qresync_what_changed_while_it_was_away() {
    if !can(&["neomutt", "tmux"]) {
        return;
    }
    let server = Server::start("");
    for (id, subject) in [
        ("a", "Apples"),
        ("b", "Bananas"),
        ("c", "Cherries"),
        ("d", "Dates"),
    ] {
        server.deliver("ann", &message(&format!("{id}@test"), subject, "Fruit."));
    }
    let cached = format!(
        "set header_cache=\"{}\"\nset imap_idle=yes\n\
         set imap_condstore=yes\nset imap_qresync=yes",
        server.path("headers").display()
    );
    let settings = settings(&server, &cached);
    let log = server.path("neomutt.log");
    let command = format!("neomutt -d 3 -l {}", log.display());
    let neomutt = Mutt::start(&server, &command, &settings);
    neomutt.shows(&["Apples", "Bananas", "Cherries", "Dates"]);
    neomutt.quit();

    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 2 +FLAGS (\\Flagged)");
    imap.ok("STORE 3 +FLAGS (\\Seen)");
    let neomutt = Mutt::start(&server, &command, &settings);
    neomutt.shows(&["N   Apples", "N ! Bananas", "    Cherries", "N   Dates"]);
    neomutt.quit();
    let said = last_log(&log);
    assert!(said.contains("ENABLE QRESYNC"), "{said}");
    assert!(said.contains("(FLAGS) (CHANGEDSINCE"), "{said}");
    assert!(!said.contains("QRESYNC failed"), "{said}");

    // neomutt 20220429 counts wrong after VANISHED, sees that, and asks for all flags anew, of Dovecot
    // too.
    imap.ok("STORE 4 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    let neomutt = Mutt::start(&server, &command, &settings);
    neomutt.shows(&["N   Apples", "N ! Bananas", "    Cherries"]);
    assert!(!neomutt.screen().contains("Dates"), "{}", neomutt.screen());
    let said = last_log(&log);
    assert!(said.contains("Handling VANISHED"), "{said}");

    server.deliver("ann", &message("e@test", "Elderberries", "Fruit."));
    neomutt.waits_for("Elderberries");
    for key in ["1", "Enter", "d", "4", "Enter", "F", "$"] {
        neomutt.keys(key);
    }
    wait_until("Apples to be gone", || {
        (!neomutt.screen().contains("Apples")).then_some(())
    });
    neomutt.shows(&["Bananas", "Cherries", "N ! Elderberries"]);
    neomutt.quit();
    let expected = [("b", "\\Flagged"), ("c", "\\Seen"), ("e", "\\Flagged")];
    assert_left(&server, "INBOX", &expected);
}

/// neomutt begins a new log, number 0, at each start.
fn last_log(log: &Path) -> String {
    let newest = format!("{}0", log.display());
    let text = fs::read(newest).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}
