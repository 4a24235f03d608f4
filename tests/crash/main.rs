//! SIGKILL at random moments under load: what was acknowledged is there, once, under its UID.
//!
//! `DOVELET_CRASH_ROUNDS` says how many rounds (200), `DOVELET_CRASH_SEED` repeats the choices of a
//! run, as far as time allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod damage;
#[path = "../support/mod.rs"]
mod support;

use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};
use support::{Answer, Imap, Lmtp, PASSWORD, Random, Server, message};

/// Longest time from a crash to the next login.
const RECOVERY: Duration = Duration::from_secs(20);

/// After so many rounds the mailboxes are emptied, to keep rounds short.
const EMPTIED_EVERY: u64 = 8;
/// After so many rounds the room of what was expunged is given back.
const PURGED_EVERY: u64 = 5;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What clients were told of one mailbox.
#[derive(Default)]
struct Book {
    uid_validity: Option<String>,
    /// Message-IDs whose acceptance was acknowledged.
    accepted: BTreeSet<String>,
    /// Every UID that a client ever saw, and for which message.
    seen: BTreeMap<u32, String>,
    flagged: BTreeSet<u32>,
    /// UIDs whose text was read after a crash.
    whole: BTreeSet<u32>,
    /// UIDs whose expunging was asked for: there or not.
    doomed: BTreeSet<u32>,
    /// UIDs whose expunging was acknowledged.
    gone: BTreeSet<u32>,
}

impl Book {
    /// A client saw this message under this UID.
    fn see(&mut self, uid: u32, id: &str) {
        let before = self.seen.insert(uid, id.to_owned());
        let same = before.as_deref().is_none_or(|before| before == id);
        assert!(same, "UID {uid} was {before:?} and is {id}");
    }

    /// Compares all of that with what is there after a crash.
    fn check(&mut self, imap: &mut Imap, mailbox: &str) {
        let selected = imap.ok(&format!("SELECT {mailbox}"));
        let number = |head| selected.find(head).and_then(|t| t.split(']').next());
        let validity = number("OK [UIDVALIDITY ").unwrap().to_owned();
        let known = self.uid_validity.get_or_insert_with(|| validity.clone());
        assert_eq!(*known, validity, "UIDVALIDITY of {mailbox}");
        let next: u32 = number("OK [UIDNEXT ").unwrap().parse().unwrap();
        let highest = self.seen.last_key_value().map_or(0, |(uid, _)| *uid);
        assert!(
            next > highest,
            "UIDNEXT {next} of {mailbox}, {highest} was seen"
        );

        let messages = imap.list("1:*").unwrap();
        let mut present = BTreeMap::new();
        for message in &messages {
            assert!(!self.gone.contains(&message.uid), "expunged {message:?}");
            let twin = present.insert(message.id.clone(), message.uid);
            assert_eq!(twin, None, "{} is twice in {mailbox}", message.id);
            let has = |flag: &str| message.flags.iter().any(|own| own == flag);
            let flags = has("\\Flagged") && has("$Label1");
            assert!(
                flags || !self.flagged.contains(&message.uid),
                "no flag: {message:?}"
            );
        }
        let by_id: BTreeMap<&String, u32> = self.seen.iter().map(|(u, id)| (id, *u)).collect();
        for (id, uid) in &present {
            let before = by_id.get(id);
            assert!(
                before.is_none_or(|b| b == uid),
                "{id}: UID {uid}, was {before:?}"
            );
        }
        for id in &self.accepted {
            let expunged = |uid: &u32| self.gone.contains(uid) || self.doomed.contains(uid);
            let lost = !present.contains_key(id) && !by_id.get(id).is_some_and(expunged);
            assert!(!lost, "{id} is lost from {mailbox}");
        }
        self.read(imap, &present);
        for (id, uid) in present {
            self.see(uid, &id);
        }
    }

    /// Every text ends as the client sent it: a message that was acknowledged, and one that nobody
    /// was told about, is never half.
    fn read(&mut self, imap: &mut Imap, present: &BTreeMap<String, u32>) {
        for (id, uid) in present {
            if self.whole.insert(*uid) {
                let answer = imap.ok(&format!("UID FETCH {uid} (BODY.PEEK[TEXT])"));
                let text = answer.untagged.concat();
                assert!(
                    text.contains(&format!("end of {id}\r\n")),
                    "{id} is cut: {text:?}"
                );
            }
        }
    }

    /// Expunges everything; what was is then known to be gone.
    fn empty(&mut self, imap: &mut Imap) {
        let all = imap.list("1:*").unwrap();
        if !all.is_empty() {
            imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
            imap.ok("EXPUNGE");
        }
        self.gone.extend(all.iter().map(|message| message.uid));
        self.accepted.clear();
        self.flagged.clear();
        self.doomed.clear();
    }
}

/// A message of some lines, the last of which names it.
fn text(id: &str, random: &mut Random) -> String {
    let lines = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(random.below(300) as usize);
    message(id, "under load", &format!("{lines}end of {id}"))
}

/// One server, what clients know of it, and whether they should end.
struct Load<'a> {
    server: &'a Server,
    round: u64,
    stop: AtomicBool,
    inbox: Mutex<&'a mut Book>,
    archive: Mutex<&'a mut Book>,
    other: Mutex<&'a mut Book>,
}

fn lock<'a, T>(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection may break in a crash, but it may not be forgotten.
fn broken(error: &io::Error) {
    let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!silent, "no answer and no end of the connection");
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Delivers to one or to two users until something breaks.
    fn deliver(&self, name: &str, recipients: &[&str], random: &mut Random) -> io::Result<()> {
        let mut client = Lmtp::tcp(self.server.lmtp)?;
        for number in 0.. {
            if !self.goes_on() {
                break;
            }
            let id = format!("{}-{name}-{number}", self.round);
            let replies = client.transaction(recipients, &text(&id, random), true)?;
            for (recipient, reply) in recipients.iter().zip(replies) {
                let book = match *recipient {
                    "ann" => &self.inbox,
                    _ => &self.other,
                };
                if reply.starts_with("250") {
                    lock(book).accepted.insert(id.clone());
                } else {
                    assert!(reply.starts_with('4'), "{reply}");
                }
            }
        }
        Ok(())
    }

    /// Appends, flags and copies until something breaks.
    fn append(&self, random: &mut Random) -> io::Result<()> {
        let mut imap = login(self.server)?;
        good(imap.command("SELECT INBOX")?)?;
        for number in 0.. {
            if !self.goes_on() {
                break;
            }
            let id = format!("{}-append-{number}", self.round);
            let answer = good(imap.append("INBOX", "\\Seen", &text(&id, random))?)?;
            let uid = last_uid(&answer, "APPENDUID");
            let mut book = lock(&self.inbox);
            book.see(uid, &id);
            book.accepted.insert(id.clone());
            drop(book);
            match number % 3 {
                0 => {
                    good(imap.command(&format!(
                        "UID STORE {uid} +FLAGS.SILENT (\\Flagged $Label1)"
                    ))?)?;
                    lock(&self.inbox).flagged.insert(uid);
                }
                1 => {
                    let answer = good(imap.command(&format!("UID COPY {uid} Archive"))?)?;
                    // Somebody else may have expunged it: then nothing is copied.
                    if answer.code("COPYUID").is_some() {
                        let mut book = lock(&self.archive);
                        book.see(last_uid(&answer, "COPYUID"), &id);
                        book.accepted.insert(id);
                    } else {
                        assert!(lock(&self.inbox).doomed.contains(&uid), "{answer:?}");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks at new messages and expunges old ones until something breaks.
    fn look(&self) -> io::Result<()> {
        let mut imap = login(self.server)?;
        good(imap.command("SELECT INBOX")?)?;
        let mut last = 0;
        while self.goes_on() {
            let messages = imap.list(&format!("{}:*", last + 1))?;
            let mut book = lock(&self.inbox);
            for message in &messages {
                book.see(message.uid, &message.id);
                last = last.max(message.uid);
            }
            drop(book);
            let Some(oldest) = messages.iter().map(|m| m.uid).min() else {
                continue;
            };
            lock(&self.inbox).doomed.insert(oldest);
            good(imap.command(&format!("UID STORE {oldest} +FLAGS (\\Deleted)"))?)?;
            good(imap.command(&format!("UID EXPUNGE {oldest}"))?)?;
            lock(&self.inbox).gone.insert(oldest);
        }
        Ok(())
    }
}

fn good(answer: Answer) -> io::Result<Answer> {
    match answer.status.starts_with("OK") {
        true => Ok(answer),
        false => Err(io::Error::other(answer.status)),
    }
}

/// The last number of `APPENDUID` or `COPYUID`: the new UID.
fn last_uid(answer: &Answer, code: &str) -> u32 {
    let code = answer.code(code).unwrap_or_else(|| panic!("{answer:?}"));
    code.rsplit(' ').next().unwrap().parse().unwrap()
}

fn login(server: &Server) -> io::Result<Imap> {
    let mut imap = Imap::connect(server.imap)?;
    good(imap.login("ann", PASSWORD)?)?;
    Ok(imap)
}

/// A session of that user, as soon as there can be one.
fn recovered(server: &Server, user: &str) -> Imap {
    let end = Instant::now() + RECOVERY;
    loop {
        let last = Imap::connect(server.imap).and_then(|mut imap| {
            good(imap.login(user, PASSWORD)?)?;
            good(imap.command("SELECT INBOX")?)?;
            Ok(imap)
        });
        match last {
            Ok(imap) => return imap,
            Err(error) => assert!(Instant::now() < end, "no login for {user}: {error}"),
        }
        sleep(Duration::from_millis(20));
    }
}

/// What is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Engines,
    /// All processes; they are not started again.
    Everything,
}

/// Loads the server and kills at a moment that chance chooses.
fn round(
    server: &mut Server,
    number: u64,
    books: &mut [Book; 3],
    random: &mut Random,
    killed: Killed,
) {
    let everything = killed == Killed::Everything;
    let moment = random.milliseconds(5, 250);
    let seeds: [u64; 3] = std::array::from_fn(|_| random.below(1 << 30));
    let [inbox, archive, other] = books;
    let load = Load {
        server,
        round: number,
        stop: AtomicBool::new(false),
        inbox: Mutex::new(inbox),
        archive: Mutex::new(archive),
        other: Mutex::new(other),
    };
    let load = &load;
    scope(|scope| {
        let one = move || load.deliver("one", &["ann"], &mut Random::new(seeds[0]));
        let two = move || load.deliver("two", &["ann", "bob"], &mut Random::new(seeds[1]));
        let append = move || load.append(&mut Random::new(seeds[2]));
        let look = move || load.look();
        let threads = [
            scope.spawn(one),
            scope.spawn(two),
            scope.spawn(append),
            scope.spawn(look),
        ];
        sleep(moment);
        for process in load.server.processes() {
            if everything || process.role == "engine" {
                process.signal(Signal::KILL);
            }
        }
        load.stop.store(true, Ordering::Release);
        for thread in threads {
            if let Err(error) = thread.join().unwrap() {
                broken(&error);
            }
        }
    });
    if everything {
        server.kill();
    }
}

fn check(server: &Server, number: u64, books: &mut [Book; 3]) {
    let mailboxes = [("ann", "INBOX"), ("ann", "Archive"), ("bob", "INBOX")];
    for (book, (user, mailbox)) in books.iter_mut().zip(mailboxes) {
        let mut imap = recovered(server, user);
        book.check(&mut imap, mailbox);
        if number.is_multiple_of(EMPTIED_EVERY) {
            book.empty(&mut imap);
        }
    }
}

/// Half of all rounds, as there are two such tests of Maildir.
fn survives(isolation: &str, format: &str) {
    let rounds = setting("DOVELET_CRASH_ROUNDS").unwrap_or(200).div_ceil(2);
    let seed = setting("DOVELET_CRASH_SEED").unwrap_or_else(Random::seed);
    println!("DOVELET_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let settings = "mdbox_rotate_octets = 65536\n[storage]\nformat =";
    let settings = format!("isolation = \"{isolation}\"\n[limits]\n{settings} \"{format}\"");
    let mut server = Server::start(&settings);
    let mut books = <[Book; 3]>::default();
    let mut accepted = 0;
    check(&server, 0, &mut books);
    for number in 1..=rounds {
        let before = books.each_ref().map(|book| book.accepted.len());
        let killed = match random.below(2) {
            0 => Killed::Everything,
            _ => Killed::Engines,
        };
        round(&mut server, number, &mut books, &mut random, killed);
        if killed == Killed::Everything {
            server.again();
        }
        for (book, before) in books.iter().zip(before) {
            accepted += book.accepted.len() - before;
        }
        // Before that, a request may still go to an engine that is ending.
        check(&server, number, &mut books);
        if number.is_multiple_of(PURGED_EVERY) {
            let purged = server.command(&["purge"]).output().unwrap();
            assert!(purged.status.success(), "{purged:?}");
            check(&server, number, &mut books);
        }
    }
    println!("{accepted} messages acknowledged in {rounds} rounds, none lost");
    assert!(
        accepted as u64 > rounds,
        "hardly any load: {accepted} messages"
    );
}

#[test]
fn acknowledged_messages_survive_with_an_engine_for_all() {
    survives("shared", "maildir");
}

#[test]
fn acknowledged_messages_survive_with_an_engine_for_each_user() {
    survives("user", "maildir");
}

#[test]
fn acknowledged_messages_survive_in_mdbox() {
    survives("shared", "mdbox");
}

#[test]
fn acknowledged_messages_survive_in_mbox() {
    survives("shared", "mbox");
}

#[test]
fn acknowledged_messages_survive_in_sdbox() {
    survives("shared", "sdbox");
}
