//! A server whose clients all wait does nothing: it reads and writes no disk and wakes no processor.

use crate::support::{Imap, Process, Server, message};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the server and the file system may need to put in order what came before.
const SETTLE: Duration = Duration::from_secs(36);

/// How long nothing may be done.
const QUIET: Duration = Duration::from_secs(12);

/// No keep-alive falls into a short look.
const SILENT: &str = "[limits]\nimap_keep_alive = \"10m\"\nmax_connections_per_address = 200\n\
                      max_connections_per_user = 200\n";

/// What a process did so far, as `/proc` counts it.
#[derive(Debug)]
struct Done {
    process: String,
    /// How often each of its threads woke.
    wakes: BTreeMap<String, u64>,
    /// Reads and writes of anything, and octets that went from and to disks.
    io: Vec<String>,
}

fn done(process: &Process) -> Done {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid)).unwrap();
    let wakes = tasks.flatten().map(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line = |l: &str| Some(l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse());
        let count = status.lines().find_map(line).map_or(0, Result::unwrap);
        (task.file_name().to_string_lossy().into_owned(), count)
    });
    let io = fs::read_to_string(format!("/proc/{}/io", process.pid)).unwrap_or_default();
    let counted = ["syscr", "syscw", "read_bytes", "write_bytes"];
    let is_counted = |line: &&str| counted.iter().any(|name| line.starts_with(name));
    Done {
        process: format!("{} {}", process.role, process.pid),
        wakes: wakes.collect(),
        io: io.lines().filter(is_counted).map(str::to_owned).collect(),
    }
}

fn all_done(server: &Server) -> Vec<Done> {
    let mut all: Vec<Done> = server.processes().iter().map(done).collect();
    all.sort_by(|a, b| a.process.cmp(&b.process));
    all
}

/// How often all threads woke so far.
fn wakes(server: &Server) -> u64 {
    let all = all_done(server);
    all.iter().flat_map(|done| done.wakes.values()).sum()
}

/// Whether nothing was done in between but that threads without work ended.
fn is_quiet(before: &[Done], now: &[Done]) -> bool {
    let quiet = |(before, now): (&Done, &Done)| {
        let slept = |(task, wakes)| before.wakes.get(task) == Some(wakes);
        before.process == now.process && before.io == now.io && now.wakes.iter().all(slept)
    };
    before.len() == now.len() && before.iter().zip(now).all(quiet)
}

/// What was done once nothing more is.
fn settled(server: &Server) -> Vec<Done> {
    let end = Instant::now() + SETTLE;
    let mut last = all_done(server);
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = all_done(server);
        if is_quiet(&last, &now) || Instant::now() > end {
            return now;
        }
        last = now;
    }
}

/// So many connections in IDLE, of both users in turns.
fn idle(server: &Server, count: usize) -> Vec<Imap> {
    let open = |at| {
        let mut imap = server.imap(["ann", "bob"][at % 2]);
        imap.ok("SELECT INBOX");
        imap.send(b"i IDLE\r\n").unwrap();
        assert!(imap.response().unwrap().starts_with("+ "));
        imap
    };
    (0..count).map(open).collect()
}

fn nothing_is_done_over(format: &str) {
    let settings = format!("{SILENT}[storage]\nformat = \"{format}\"\n");
    let server = Server::start(&settings);
    for user in ["ann", "bob"] {
        server.deliver(user, &message("a@test", "one", "x"));
    }
    let mut clients = idle(&server, 20);
    let before = settled(&server);
    std::thread::sleep(QUIET);
    let now = all_done(&server);
    assert!(is_quiet(&before, &now), "{before:#?}\n{now:#?}");
    // They are awake all the same.
    server.deliver("bob", &message("b@test", "two", "x"));
    while clients[1].response().unwrap() != "* 2 EXISTS" {}
}

#[test]
fn clients_that_wait_cost_nothing_over_a_maildir() {
    nothing_is_done_over("maildir");
}

#[test]
fn clients_that_wait_cost_nothing_over_mdbox() {
    nothing_is_done_over("mdbox");
}

#[test]
fn clients_that_wait_cost_nothing_over_mbox() {
    nothing_is_done_over("mbox");
}

/// A file system in a file, for which the kernel counts what is read and written.
struct Disk {
    at: PathBuf,
    device: String,
}

impl Disk {
    /// `None` where this process may not mount.
    fn mount(directory: &Path) -> Option<Disk> {
        let (image, at) = (directory.join("image"), directory.join("disk"));
        fs::File::create(&image)
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
        fs::create_dir(&at).unwrap();
        let done = |command: &mut Command| command.output().is_ok_and(|o| o.status.success());
        let made = done(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        let mounted = made
            && done(
                Command::new("mount")
                    .args(["-o", "loop"])
                    .args([&image, &at]),
            );
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let is_here = |line: &&str| line.split(' ').nth(1) == at.to_str();
        let line = mounts.lines().find(is_here).filter(|_| mounted)?;
        let device = line.split(' ').next()?.strip_prefix("/dev/")?.to_owned();
        // What mkfs puts off is written out later, by the kernel.
        Some(Disk { at, device })
    }

    /// Reads and writes so far.
    fn transfers(&self) -> (u64, u64) {
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.device)).unwrap();
        let fields: Vec<u64> = stat
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        (fields[0], fields[4])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[test]
#[ignore = "takes over five minutes"]
fn a_hundred_clients_that_wait_five_minutes_touch_no_disk() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let Some(disk) = Disk::mount(directory.path()) else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    // With the keep-alive of a server that nobody configured.
    let room = "[limits]\nmax_connections_per_address = 200\nmax_connections_per_user = 200\n";
    let mail = disk.at.join("mail");
    let server = Server::start(&format!(
        "{room}[storage]\npath = \"{}/{{user}}\"\n",
        mail.display()
    ));
    for user in ["ann", "bob"] {
        server.deliver(user, &message("a@test", "one", "x"));
    }
    let clients = idle(&server, 100);
    assert!(mail.join("ann").is_dir());
    std::thread::sleep(SETTLE);
    let (before, begin) = (disk.transfers(), Instant::now());
    let woken = wakes(&server);
    while begin.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_secs(60));
        println!(
            "{:?}: {} wakes, {:?} transfers",
            begin.elapsed(),
            wakes(&server).saturating_sub(woken),
            disk.transfers()
        );
    }
    assert_eq!(before, disk.transfers(), "(reads, writes)");
    drop(clients);
}
