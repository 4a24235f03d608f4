//! Many connections do random things to the same mailboxes at once, mail comes in, another program
//! meddles with the directories, and a model of what a client may believe checks every response.
//!
//! `DOVELET_STRESS_SECONDS` says for how long (6), `DOVELET_STRESS_SEED` repeats the choices of a run, as
//! far as time allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod others;
#[path = "../support/mod.rs"]
mod support;
mod view;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::scope;
use std::time::{Duration, Instant};
use support::{Imap, PASSWORD, Random, Server, message};
use view::View;

const CONNECTIONS: u64 = 6;
const MAILBOXES: [&str; 2] = ["INBOX", "Archive"];
/// A connection stops filling a mailbox that has so many messages.
const FULL: usize = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What all connections know together: which message a UID of a mailbox is.
#[derive(Default)]
struct Known(Mutex<BTreeMap<(&'static str, u32), String>>);

impl Known {
    /// A UID never names anything else.
    fn is(&self, mailbox: &'static str, uid: u32, id: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.entry((mailbox, uid)).or_insert_with(|| id.to_owned());
        assert_eq!(before, id, "UID {uid} of {mailbox} names something else");
    }
}

/// One connection and what it was told.
struct Client<'a> {
    imap: Imap,
    random: Random,
    known: &'a Known,
    mailbox: &'static str,
    view: View,
    name: u64,
    made: u64,
}

/// When EXPUNGE may be told (RFC 3501 section 7.4.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expunges {
    May,
    MustNot,
}

use Expunges::{May, MustNot};

impl Client<'_> {
    /// Runs a command, learns from its responses, and returns them with the tagged one.
    fn run(&mut self, command: &str, expunges: Expunges) -> support::Answer {
        let answer = self.imap.command(command).unwrap();
        for response in &answer.untagged {
            let told = self.view.learn(response);
            let allowed = expunges == May || !told.expunged;
            assert!(allowed, "EXPUNGE in the answer to {command:?}");
            if let (Some(uid), Some(id)) = (told.uid, told.id) {
                self.known.is(self.mailbox, uid, &id);
            }
        }
        let status = &answer.status;
        assert!(!status.starts_with("BAD"), "{command:?}: {status}");
        answer
    }

    fn select(&mut self) {
        self.mailbox = MAILBOXES[self.random.below(2) as usize];
        self.view = View::default();
        let answer = self.run(&format!("SELECT {}", self.mailbox), May);
        assert!(answer.status.starts_with("OK"), "{answer:?}");
        self.look();
    }

    /// Asks for everything.
    fn look(&mut self) {
        let items = "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
        self.run(&format!("UID FETCH 1:* {items}"), May);
        self.view.check();
    }

    /// A range of messages that are there, by number; `None` if there is none.
    fn some(&mut self) -> Option<String> {
        let count = self.view.len() as u64;
        let first = 1 + self.random.below(count.checked_sub(0).filter(|c| *c > 0)?);
        let last = (first + self.random.below(4)).min(count);
        Some(format!("{first}:{last}"))
    }

    fn other(&mut self) -> &'static str {
        MAILBOXES[self.random.below(2) as usize]
    }

    fn flags(&mut self) -> &'static str {
        const ALL: [&str; 5] = [
            "\\Seen",
            "\\Flagged",
            "\\Answered \\Draft",
            "red",
            "\\Deleted",
        ];
        ALL[self.random.below(5) as usize]
    }

    /// One of the things a client does.
    fn step(&mut self) {
        let numbers = self.some();
        let set = numbers.as_deref();
        match (self.random.below(16), set) {
            (0 | 1, _) if self.view.len() < FULL => self.append(),
            (2 | 3, Some(set)) => self.store(set, ""),
            (4, Some(_)) => {
                let uids = self.view.uids(&mut self.random);
                self.store(&uids, "UID ");
            }
            (5, Some(set)) => {
                let to = self.other();
                self.run(&format!("COPY {set} {to}"), May);
            }
            (6, Some(set)) => {
                let to = self.other();
                self.run(&format!("MOVE {set} {to}"), May);
            }
            (7, _) => drop(self.run("EXPUNGE", May)),
            (8, Some(_)) => {
                let uids = self.view.uids(&mut self.random);
                self.run(&format!("UID EXPUNGE {uids}"), May);
            }
            (9, Some(set)) => drop(self.run(&format!("FETCH {set} (UID FLAGS)"), MustNot)),
            (10, Some(set)) => drop(self.run(&format!("FETCH {set} (UID BODY[TEXT])"), MustNot)),
            (11, _) => self.search(),
            (12, _) => self.idle(),
            (13, _) => {
                let other = self.other();
                if other != self.mailbox {
                    self.run(&format!("STATUS {other} (MESSAGES UIDNEXT UNSEEN)"), May);
                }
            }
            (14, _) => self.select(),
            _ => drop(self.run("NOOP", May)),
        }
    }

    fn append(&mut self) {
        self.made += 1;
        let id = format!("{}-{}@stress", self.name, self.made);
        let text = message(&id, "Stress", &"text ".repeat(self.made as usize % 50));
        let to = self.other();
        let flags = self.flags();
        let octets = text.len();
        let command = format!("APPEND {to} ({flags}) {{{octets}+}}\r\n{text}");
        let answer = self.run(&command, May);
        assert!(answer.status.starts_with("OK"), "{answer:?}");
        let uid = answer
            .code("APPENDUID")
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap();
        self.known.is(to, uid.parse().unwrap(), &id);
    }

    fn store(&mut self, set: &str, by: &str) {
        let (how, flags) = (
            ["+FLAGS", "-FLAGS", "FLAGS"][self.random.below(3) as usize],
            self.flags(),
        );
        let expunges = if by.is_empty() { MustNot } else { May };
        // Some messages may be gone: then NO, and the others are done.
        self.run(&format!("{by}STORE {set} {how} ({flags})"), expunges);
    }

    fn search(&mut self) {
        let answer = self.run("SEARCH OR SEEN UNSEEN", MustNot);
        let found = answer.find("SEARCH").unwrap().split_whitespace();
        let found: Vec<usize> = found.map(|n| n.parse().unwrap()).collect();
        let ascending = found.is_sorted_by(|a, b| a < b);
        let exists = found.last().is_none_or(|last| *last <= self.view.len());
        assert!(ascending && exists, "{found:?} of {}", self.view.len());
    }

    /// A moment of IDLE.
    fn idle(&mut self) {
        self.imap.send(b"idle IDLE\r\n").unwrap();
        let go_on = |client: &mut Self, end: &dyn Fn(&str) -> bool| loop {
            let response = client.imap.response().unwrap();
            if end(&response) {
                return response;
            }
            client.view.learn(response.strip_prefix("* ").unwrap());
        };
        go_on(self, &|r| r.starts_with("+ "));
        std::thread::sleep(self.random.milliseconds(0, 30));
        self.imap.send(b"DONE\r\n").unwrap();
        let status = go_on(self, &|r| r.starts_with("idle "));
        assert!(status.starts_with("idle OK"), "{status}");
    }
}

fn client<'a>(server: &Server, known: &'a Known, name: u64, seed: u64) -> Client<'a> {
    let mut imap = Imap::connect(server.imap).unwrap();
    let answer = imap.login("ann", PASSWORD).unwrap();
    assert!(answer.status.starts_with("OK"), "{answer:?}");
    Client {
        imap,
        random: Random::new(seed),
        known,
        mailbox: "INBOX",
        view: View::default(),
        name,
        made: 0,
    }
}

#[test]
fn every_connection_believes_what_is_true() {
    let seconds = setting("DOVELET_STRESS_SECONDS").unwrap_or(6);
    let seed = setting("DOVELET_STRESS_SEED").unwrap_or_else(Random::seed);
    println!("DOVELET_STRESS_SEED={seed}");
    // Often a command about several messages goes in several steps.
    let step = if seed.is_multiple_of(3) { 1024 } else { 2 };
    let server = Server::start(&format!("[limits]\nstep_messages = {step}\n"));
    let known = Known::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients: Vec<Client<'_>> = (0..CONNECTIONS)
        .map(|name| client(&server, &known, name, seed.wrapping_add(name)))
        .collect();
    let steps: u64 = scope(|scope| {
        let others = [
            scope.spawn(|| others::deliver(&server, seed, end)),
            scope.spawn(|| others::meddle(&server, seed, end)),
        ];
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    client.select();
                    let mut steps = 0;
                    while Instant::now() < end {
                        client.step();
                        steps += 1;
                    }
                    steps
                })
            })
            .collect();
        others.into_iter().for_each(|t| t.join().unwrap());
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    println!("{steps} commands");
    assert!(steps > 50 * seconds, "hardly any load: {steps} commands");
    // Now that nobody changes anything, what each was told is what is there.
    let mut fresh = client(&server, &known, CONNECTIONS, seed);
    for mailbox in MAILBOXES {
        fresh.mailbox = mailbox;
        fresh.view = View::default();
        fresh.run(&format!("SELECT {mailbox}"), May);
        fresh.look();
        for client in clients.iter_mut().filter(|c| c.mailbox == mailbox) {
            client.run("NOOP", May);
            client.view.check();
            client.view.agrees(&fresh.view);
        }
    }
}
