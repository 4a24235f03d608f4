//! What other programs do to a Maildir while this server serves it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Guard, Imap, Server, Start, is_root, line, message, python, run, skip};

/// A session in IDLE.
fn idle(server: &Server, user: &str) -> Imap {
    let mut imap = server.imap(user);
    imap.ok("SELECT INBOX");
    imap.send(b"i IDLE\r\n").unwrap();
    while !imap.response().unwrap().starts_with("+ ") {}
    imap
}

/// Reads until that is told, without asking.
fn told(imap: &mut Imap, what: &str) {
    loop {
        let said = imap.response().unwrap();
        if said.contains(what) {
            return;
        }
    }
}

/// Files of a Maildir whose names hold a UID.
fn file(maildir: &Path, uid: u32) -> PathBuf {
    let has = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (_, rest) = name.split_once(",U=").unwrap_or_default();
        rest.split([',', ':']).next() == Some(&uid.to_string())
    };
    let all = ["cur", "new"].map(|d| fs::read_dir(maildir.join(d)).unwrap());
    let mut all = all.into_iter().flatten().map(|entry| entry.unwrap().path());
    all.find(has)
        .unwrap_or_else(|| panic!("no file of UID {uid}"))
}

fn mv(from: &Path, to: &Path) {
    run(Command::new("mv").arg(from).arg(to)).ok();
}

/// A delivery by hand, as many programs do it.
fn put(maildir: &Path, name: &str) {
    let staged = maildir.join("tmp").join(name);
    fs::write(&staged, message(name, "by hand", "Text.")).unwrap();
    mv(&staged, &maildir.join("new").join(name));
}

/// The same message with that flag, in `cur`.
fn mark(maildir: &Path, uid: u32, flags: &str) {
    let from = file(maildir, uid);
    let name = from.file_name().unwrap().to_string_lossy().into_owned();
    let base = name.split(':').next().unwrap();
    mv(
        &from,
        &maildir.join("cur").join(format!("{base}:2,{flags}")),
    );
}

/// Others deliver, flag and remove; `idle` is told, if there is one, and whoever asks is.
fn meddle(server: &Server, mut idle: Option<Imap>) {
    let maildir = server.maildir("ann");
    let mut asking = server.imap("ann");
    asking.ok("SELECT INBOX");
    let mut both = |what: &str, fields: &str| {
        idle.iter_mut().for_each(|idle| told(idle, what));
        let answer = asking.ok("NOOP");
        let found = answer.untagged.iter().find(|said| said.contains(what));
        let found = found.unwrap_or_else(|| panic!("{what}: {answer:?}"));
        assert!(found.contains(fields), "{found}");
    };
    put(&maildir, "1.by-hand.test");
    both("4 EXISTS", "");
    mark(&maildir, 2, "F");
    both("2 FETCH ", "\\Flagged");
    mark(&maildir, 2, "FRS");
    both("2 FETCH ", "\\Seen");
    // What has no UID in its name keeps that it was given.
    let by_hand = maildir.join("new/1.by-hand.test");
    mv(&by_hand, &maildir.join("cur/1.by-hand.test:2,T"));
    both("4 FETCH ", "\\Deleted");
    fs::remove_file(file(&maildir, 1)).unwrap();
    both("1 EXPUNGE", "");
    put(&maildir, "2.by-hand.test");
    both("4 EXISTS", "");
    let all = asking.list("1:*").unwrap();
    let uids: Vec<u32> = all.iter().map(|m| m.uid).collect();
    assert_eq!(uids, [2, 3, 4, 5]);
    assert_eq!(all[0].flags, ["\\Answered", "\\Flagged", "\\Seen"]);
    assert_eq!(
        (&*all[2].id, &*all[3].id),
        ("1.by-hand.test", "2.by-hand.test")
    );
}

fn filled(server: &Server) {
    for number in 1..=3 {
        server.deliver("ann", &message(&format!("{number}@test"), "x", "Text."));
    }
}

#[test]
fn who_idles_is_told_what_others_do() {
    let server = Server::start("");
    filled(&server);
    meddle(&server, Some(idle(&server, "ann")));
}

#[test]
fn with_an_engine_for_all_too() {
    let server = Server::start("isolation = \"shared\"");
    filled(&server);
    meddle(&server, Some(idle(&server, "ann")));
}

/// Takes every inotify descriptor that the kernel gives to a user.
const TAKE_ALL: &str = "
import ctypes, os, resource, sys, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
libc = ctypes.CDLL(None)
os.setuid(int(sys.argv[1]))
while libc.inotify_init1(0) >= 0: pass
print('taken', flush=True)
time.sleep(600)
";

#[test]
fn without_inotify_whoever_asks_is_told() {
    const UID: u32 = 61_999;
    if !is_root() {
        skip("not root, another user's descriptors cannot be taken");
        return;
    }
    let Some(python) = python("ctypes") else {
        return;
    };
    let taker = Command::new(python)
        .args(["-c", TAKE_ALL, &UID.to_string()])
        .stdout(Stdio::piped())
        .spawn();
    let mut taker = Guard(taker.unwrap());
    let mut said = String::new();
    let stdout = taker.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut said).unwrap();
    assert_eq!(said, "taken\n");
    let server = Server::with(Start {
        users: ["ann", "bob"].map(|user| line(user, None)).concat(),
        uid: Some(UID),
        ..Start::default()
    });
    filled(&server);
    server.wait_for_log("no inotify", 1);
    meddle(&server, None);
    // Whoever idles does not make the engine look at the directories all the time.
    let _idle = idle(&server, "ann");
    let engine = server.role("engine").remove(0);
    let before = ticks(engine.pid);
    std::thread::sleep(Duration::from_secs(2));
    let used = ticks(engine.pid) - before;
    assert!(used < 20, "{used} hundredths of a second in two seconds");
}

/// Hundredths of seconds on a processor.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<u64> = rest
        .split(' ')
        .skip(1)
        .map(|f| f.parse().unwrap_or(0))
        .collect();
    fields[10] + fields[11]
}
