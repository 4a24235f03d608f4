//! The same random commands to this server and to Dovecot over the same Maildir: both say the same, but
//! for what `tests/differential/differences.tsv` explains.
//!
//! `DOVELET_DIFFERENTIAL_SEED` chooses the script (1), `DOVELET_DIFFERENTIAL_SECONDS` for how long it goes
//! on, which is else for so many commands that all machines say the same, `DOVELET_DIFFERENTIAL_LOG` a
//! directory for both conversations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod explained;
mod extensions;
mod facts;
mod mails;
#[path = "../support/pattern.rs"]
mod pattern;
mod script;
#[path = "../support/mod.rs"]
mod support;

use explained::Explained;
use facts::Told;
use script::{Script, Step};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Answer, Dovecot, Imap, Random, Server, run};

fn setting(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// One of the two, and what it told.
struct Side {
    name: &'static str,
    imap: Imap,
    told: Told,
    /// UIDVALIDITY and HIGHESTMODSEQ of mailboxes when they were left.
    left: BTreeMap<&'static str, (String, String)>,
    /// Tag of the last search that is kept up to date.
    updated: String,
}

impl Side {
    fn new(name: &'static str, imap: Imap) -> Side {
        Side {
            name,
            imap: imap.raw(),
            told: Told::default(),
            left: BTreeMap::new(),
            updated: "none".to_owned(),
        }
    }

    /// Whether the mailbox was left with a mod-sequence.
    fn knows(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn command(&self, step: &Step) -> String {
        match step {
            Step::Send(command) | Step::Update(command) => command.clone(),
            Step::Cancel => format!("CANCELUPDATE \"{}\"", self.updated),
            Step::Resume(name) => match self.left.get(name) {
                Some((validity, mod_seq)) => {
                    format!("SELECT {name} (QRESYNC ({validity} {mod_seq}))")
                }
                None => format!("SELECT {name} (CONDSTORE)"),
            },
            Step::Changed(vanished) => {
                let since = self.told.mod_seq.clone().unwrap_or("1".to_owned());
                format!("UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE {since}{vanished})")
            }
        }
    }

    /// Keeps the conversation where somebody wants to read it.
    fn keep(&self, command: &str, answer: &Answer) {
        let directory = std::env::var_os("DOVELET_DIFFERENTIAL_LOG");
        if let Some(directory) = directory.filter(|name| !name.is_empty()) {
            let file = Path::new(&directory).join(self.name);
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(file)
                .unwrap();
            let said = answer.untagged.join("\n");
            writeln!(file, "> {command}\n{said}\n{}", answer.status).unwrap();
        }
    }

    /// Keeps what could be the cause of a difference.
    fn look(&mut self) {
        let command = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)";
        let answer = self.imap.command(command).unwrap();
        self.keep(command, &answer);
        self.told.facts(&[answer]);
    }

    /// Runs a step, and NOOP behind it so that all news are told.
    fn run(&mut self, step: &Step, selected: Option<&'static str>) -> (bool, Vec<String>) {
        let command = self.command(step);
        if leaves(&command) {
            if let Some((name, known)) =
                selected.zip(self.told.validity.clone().zip(self.told.mod_seq.clone()))
            {
                self.left.insert(name, known);
            }
            self.told.forget();
        }
        let answer = self.imap.command(&command).unwrap();
        self.keep(&command, &answer);
        if let Step::Update(_) = step {
            self.updated = self.imap.last_tag();
        }
        let good = answer.status.starts_with("OK");
        let noop = self.imap.command("NOOP").unwrap();
        let noop = Answer {
            status: String::new(),
            ..noop
        };
        let before = self.told.mod_seq.clone();
        let mut facts = self.told.facts(&[answer, noop]);
        if !leaves(&command) {
            // Later each server tells it when it likes.
            self.told.mod_seq = before;
        }
        if command.contains("THREAD REFS ") {
            // Threads whose latest dates are the same have no order that the draft of REFS tells.
            facts = facts
                .iter()
                .flat_map(|fact| match fact.starts_with("THREAD") {
                    true => facts::threads(fact),
                    false => vec![fact.clone()],
                })
                .collect();
        }
        (good, facts)
    }
}

impl Side {
    /// What others did meanwhile.
    fn news(&mut self) -> Vec<String> {
        let noop = self.imap.command("NOOP").unwrap();
        self.keep("NOOP of what others did", &noop);
        let before = self.told.mod_seq.clone();
        let facts = self.told.facts(&[noop]);
        self.told.mod_seq = before;
        facts
    }
}

/// One connection to each server, and what they do.
struct Pair {
    ours: Side,
    theirs: Side,
    script: Script,
}

impl Pair {
    fn new(server: &Server, dovecot: &Dovecot, seed: u64) -> Pair {
        Pair {
            ours: Side::new("ours", server.imap("ann")),
            theirs: Side::new("theirs", dovecot.imap("ann")),
            script: Script::new(seed),
        }
    }

    /// Does the same at both; returns the command.
    fn step(&mut self, number: u64, explained: &mut Explained) -> String {
        let Pair {
            ours,
            theirs,
            script,
        } = self;
        let selected = script.selected();
        let step = script.step(ours.told.count());
        let step = match step {
            // Dovecot tells no mod-sequence before somebody asked for one.
            Step::Resume(name) if !(ours.knows(name) && theirs.knows(name)) => {
                Step::Send(format!("SELECT {name} (CONDSTORE)"))
            }
            Step::Changed(_) if ours.told.mod_seq.is_none() || theirs.told.mod_seq.is_none() => {
                Step::Send("NOOP".to_owned())
            }
            step => step,
        };
        let shown = ours.command(&step);
        let (good, our_facts) = ours.run(&step, selected);
        // For some seconds Dovecot takes what a URL names from what this connection knew of it last.
        for name in extensions::mailboxes(&shown).filter(|name| selected != Some(*name)) {
            let status = format!("STATUS {name} (MESSAGES)");
            theirs.imap.command(&status).unwrap();
            // The tags of both stay the same.
            ours.imap.command("NOOP").unwrap();
        }
        let (also, their_facts) = theirs.run(&step, selected);
        if leaves(&shown) && !(good && also) {
            script.failed_to_select();
        }
        self.compare(number, &shown, &our_facts, &their_facts, explained);
        shown
    }

    /// What both are told of a command of another connection is the same, too.
    fn hear(&mut self, number: u64, shown: &str, explained: &mut Explained) {
        let (ours, theirs) = (self.ours.news(), self.theirs.news());
        self.compare(number, shown, &ours, &theirs, explained);
    }

    fn compare(
        &mut self,
        number: u64,
        shown: &str,
        ours: &[String],
        theirs: &[String],
        explained: &mut Explained,
    ) {
        let (only_ours, only_theirs) = (only(ours, theirs), only(theirs, ours));
        if !explained.compare(number, shown, only_ours, only_theirs) {
            self.ours.look();
            self.theirs.look();
        }
    }
}

/// Whether the command leaves the selected mailbox.
fn leaves(command: &str) -> bool {
    ["SELECT ", "EXAMINE ", "CLOSE", "UNSELECT"]
        .iter()
        .any(|word| command.starts_with(word))
}

/// What only one of the two said.
fn only(a: &[String], b: &[String]) -> Vec<String> {
    let mut rest = b.to_vec();
    let mut only = Vec::new();
    for fact in a {
        match rest.iter().position(|other| other == fact) {
            Some(at) => drop(rest.swap_remove(at)),
            None => only.push(fact.clone()),
        }
    }
    only
}

/// A Maildir that Dovecot made, in a directory of its own, for both to go on with.
fn begin(server: &Server, seed: u64) -> (Dovecot, u32) {
    let ours = server.maildir("ann");
    let owner = fs::metadata(&ours).unwrap();
    let theirs = server.path("theirs");
    fs::create_dir_all(theirs.join("ann")).unwrap();
    for path in [theirs.clone(), theirs.join("ann")] {
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let ids = (owner.uid(), owner.gid());
    let dovecot = Dovecot::with(&server.path("dovecot"), &theirs, ids, METADATA);
    let mut imap = dovecot.imap("ann");
    let mut script = Script::new(seed);
    for name in ["work", "work/plans", "a", "a/b", "old"] {
        imap.ok(&format!("CREATE {name}"));
        imap.ok(&format!("SUBSCRIBE {name}"));
    }
    for number in 1..=12 {
        let text = mails::mail(&mut script.random, number);
        let name = ["INBOX", "work"][number as usize % 2];
        imap.append(name, ["", "\\Seen", "red"][number as usize % 3], &text)
            .unwrap();
    }
    imap.ok("LOGOUT");
    (dovecot, owner.uid())
}

/// Copies what the other wrote, with owners and times.
fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run(&mut command).ok();
}

/// What Dovecot needs for it.
const METADATA: &str = "mail_attribute_dict = file:%h/dovecot-attributes\n\
                        protocol imap {\n  imap_metadata = yes\n}\n";

/// How many commands are tried if nobody says for how long.
const COMMANDS: u64 = 3000;

#[test]
fn both_say_the_same() {
    if !Dovecot::possible() {
        return;
    }
    let seed = setting("DOVELET_DIFFERENTIAL_SEED", 1);
    let seconds = setting("DOVELET_DIFFERENTIAL_SECONDS", 0);
    println!("DOVELET_DIFFERENTIAL_SEED={seed}");
    let mut server = Server::start("");
    // Makes the directories and their owners.
    server.deliver("ann", &support::message("first@test", "first", "First."));
    assert!(server.stop().success());
    let (dovecot, _) = begin(&server, seed);
    copy(&server.path("theirs").join("ann"), &server.maildir("ann"));
    fs::remove_dir_all(server.data().join("index")).unwrap();
    server.again();

    let mut explained = Explained::read();
    // The second connection has eyes for what the first does, and the other way round.
    let mut pairs = [
        Pair::new(&server, &dovecot, seed),
        Pair::new(&server, &dovecot, seed.wrapping_add(1 << 32)),
    ];
    let mut turns = Random::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut steps: u64 = 0;
    while match seconds {
        0 => steps < COMMANDS,
        _ => Instant::now() < end,
    } {
        steps += 1;
        pairs.rotate_left(turns.below(2) as usize);
        let [one, other] = &mut pairs;
        one.script.others = other.script.selected();
        let shown = one.step(steps, &mut explained);
        other.hear(steps, &shown, &mut explained);
    }
    println!("{steps} commands");
    explained.finish();
    assert!(steps > 5 * seconds, "hardly any commands: {steps}");
}
