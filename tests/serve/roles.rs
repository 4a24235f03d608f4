//! What each process holds, as `/proc` tells it.

use crate::support::{Process, Server, Start, is_root, line, message, skip, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that no machine has accounts of, so that reserved numbers stand for them.
const NOBODY: &str =
    "[process]\nuser = \"none-a\"\nnetwork_user = \"none-b\"\nauth_user = \"none-c\"\n";
/// Those numbers: of engine, front and auth.
const RESERVED: [u32; 3] = [61_143, 61_144, 61_145];

/// The words behind `name:` in `/proc/PID/status` of every thread, which have to be the same.
fn status(process: &Process, name: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid)).unwrap();
    let values: BTreeSet<String> = tasks
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok())
        .map(|text| {
            let mut lines = text.lines();
            let found = lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            let words: Vec<&str> = found.unwrap_or_default().split_whitespace().collect();
            words.join(" ")
        })
        .collect();
    assert_eq!(values.len(), 1, "{name} of {process:?}: {values:?}");
    values.into_iter().next().unwrap()
}

fn numbers(process: &Process, name: &str) -> Vec<u32> {
    let words = status(process, name);
    words.split(' ').map(|word| word.parse().unwrap()).collect()
}

/// What the open descriptors are, but those that every process of the server has: 1 and 2.
fn descriptors(process: &Process, log: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap() {
        let path = entry.unwrap().path();
        let number = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        match number.as_str() {
            "1" if process.role != "parent" => assert_eq!(target, Path::new("/dev/null")),
            "1" | "2" => assert_eq!(target, log),
            _ => all.push(target.display().to_string()),
        }
    }
    all
}

/// Neither a file nor a directory: what a process without files may have open.
fn is_no_file(descriptor: &str) -> bool {
    let kinds = ["eventpoll", "eventfd", "timerfd"];
    descriptor.starts_with("socket:[")
        || kinds
            .iter()
            .any(|kind| descriptor == format!("anon_inode:[{kind}]"))
}

/// What holds for every role.
fn gave_up(process: &Process, uid: u32, gid: u32) {
    let of = |name| status(process, name);
    assert_eq!(numbers(process, "Uid"), [uid; 4], "{process:?}");
    assert_eq!(numbers(process, "Gid"), [gid; 4], "{process:?}");
    assert_eq!(of("NoNewPrivs"), "1", "{process:?}");
    assert_eq!(of("Seccomp"), "2", "{process:?}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(of(set), "0000000000000000", "{set} of {process:?}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let core = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().take(2).collect();
    assert_eq!(core, ["0", "0"], "{process:?}");
}

/// Locked up in an empty directory, without files.
fn locked_up(server: &Server, process: &Process) {
    let root = PathBuf::from(format!("/proc/{}/root", process.pid));
    assert_eq!(
        fs::read_link(&root).unwrap(),
        server.data().join("run/empty")
    );
    assert_eq!(
        fs::read_dir(root.join(".")).unwrap().count(),
        0,
        "{process:?}"
    );
    for descriptor in descriptors(process, &server.path("log")) {
        assert!(is_no_file(&descriptor), "{process:?} has {descriptor}");
    }
}

/// Has files of these directories only.
fn keeps_to(server: &Server, process: &Process, directories: &[PathBuf]) {
    let mut files = 0;
    for descriptor in descriptors(process, &server.path("log")) {
        let inside = directories
            .iter()
            .any(|d| Path::new(&descriptor).starts_with(d));
        files += usize::from(inside);
        assert!(
            inside || is_no_file(&descriptor) || descriptor == "anon_inode:inotify",
            "{process:?} has {descriptor}"
        );
    }
    assert!(files > 0, "an engine without its index");
}

fn only(server: &Server, role: &str) -> Process {
    let mut all = server.role(role);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// The engine that runs as `uid`.
fn engine_of(server: &Server, uid: u32) -> Process {
    let engines = server.role("engine").into_iter();
    let mut own = engines.filter(|engine| numbers(engine, "Uid")[0] == uid);
    own.next().unwrap_or_else(|| panic!("no engine of {uid}"))
}

/// A file that whoever starts the server forgot to close.
fn leaked() -> fs::File {
    let file = fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    file
}

/// Sessions that are in the middle of their work.
fn busy(server: &Server, user: &str) -> crate::support::Imap {
    server.deliver(user, &message("a@test", "one", "Text."));
    let mut imap = server.imap(user);
    imap.ok("SELECT INBOX");
    imap.ok("FETCH 1 (ENVELOPE BODY[])");
    imap
}

/// The parent, front and auth of a server that root started.
fn without_engines(server: &Server, front: [u32; 2], auth: [u32; 2]) {
    let parent = only(server, "parent");
    // What is needed to make files, to end and become others, to bind low ports; and, for what it starts,
    // to lock itself up.
    let own = [0, 1, 3, 5, 6, 7, 10]
        .iter()
        .fold(0u64, |mask, bit| mask | 1 << bit);
    for (set, mask) in [("CapPrm", own | 1 << 18), ("CapEff", own)] {
        assert_eq!(status(&parent, set), format!("{mask:016x}"), "{set}");
    }
    assert_eq!(status(&parent, "NoNewPrivs"), "1");
    assert_eq!(numbers(&parent, "Threads"), [1]);
    for (role, [uid, gid]) in [("front", front), ("auth", auth)] {
        let process = only(server, role);
        gave_up(&process, uid, gid);
        locked_up(server, &process);
    }
}

#[test]
fn each_user_has_an_engine_of_its_own() {
    if !is_root() && !skip("not root") {
        return;
    }
    let settings = format!("isolation = \"user\"\n{NOBODY}");
    let _leaked = leaked();
    let server = Server::with(Start {
        settings: &settings,
        users: line("ann", Some(20_001)) + &line("bob", Some(20_002)) + &line("eve", None),
        ..Start::default()
    });
    let sessions = ["ann", "bob", "eve"].map(|user| busy(&server, user));
    without_engines(&server, [RESERVED[1]; 2], [RESERVED[2]; 2]);
    assert_eq!(server.role("engine").len(), 3);
    for (user, uid) in [("ann", 20_001), ("bob", 20_002), ("eve", RESERVED[0])] {
        let engine = engine_of(&server, uid);
        gave_up(&engine, uid, uid);
        let index = server.data().join("index").join(user);
        keeps_to(&server, &engine, &[index.clone(), server.maildir(user)]);
        for directory in [index, server.maildir(user)] {
            use std::os::unix::fs::MetadataExt;
            let kept = fs::metadata(&directory).unwrap();
            assert_eq!((kept.uid(), kept.mode() & 0o777), (uid, 0o700));
        }
    }
    drop(sessions);
}

#[test]
fn all_users_share_an_engine() {
    if !is_root() && !skip("not root") {
        return;
    }
    // Accounts that every machine has.
    let accounts =
        "[process]\nuser = \"mail\"\nnetwork_user = \"nobody\"\nauth_user = \"daemon\"\n";
    let settings = format!("isolation = \"shared\"\n{accounts}");
    let server = Server::with(Start {
        settings: &settings,
        users: line("ann", Some(20_001)) + &line("bob", None),
        ..Start::default()
    });
    let sessions = ["ann", "bob"].map(|user| busy(&server, user));
    let [mail, nobody, daemon] = ["mail", "nobody", "daemon"].map(account);
    without_engines(&server, nobody, daemon);
    let engine = only(&server, "engine");
    gave_up(&engine, mail[0], mail[1]);
    keeps_to(
        &server,
        &engine,
        &[server.data().join("index"), server.data().join("mail")],
    );
    drop(sessions);
}

/// Numbers of user and group of an account of this machine.
fn account(name: &str) -> [u32; 2] {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name);
    let fields = fields.unwrap_or_else(|| panic!("no account {name}"));
    [fields[2].parse().unwrap(), fields[3].parse().unwrap()]
}

#[test]
fn without_root_all_is_given_up_that_can_be() {
    let uid = if is_root() {
        20_009
    } else {
        rustix::process::geteuid().as_raw()
    };
    let server = Server::with(Start {
        users: line("ann", None) + &line("bob", Some(20_002)),
        uid: is_root().then_some(uid),
        ..Start::default()
    });
    let sessions = ["ann", "bob"].map(|user| busy(&server, user));
    let own = |process: &Process| numbers(process, "Gid")[0];
    for role in ["front", "auth"] {
        let process = only(&server, role);
        gave_up(&process, uid, own(&process));
        if is_root() {
            for descriptor in descriptors(&process, &server.path("log")) {
                assert!(is_no_file(&descriptor), "{process:?} has {descriptor}");
            }
        }
    }
    let engines = server.role("engine");
    assert_eq!(engines.len(), 2);
    engines
        .iter()
        .for_each(|engine| gave_up(engine, uid, own(engine)));
    drop(sessions);
}

#[test]
fn an_idle_engine_ends_and_comes_back() {
    let settings = "isolation = \"user\"\n[limits]\nengine_idle_timeout = \"200ms\"\n";
    let server = Server::start(settings);
    let session = busy(&server, "ann");
    assert_eq!(server.role("engine").len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(server.role("engine").len(), 1, "it has a session");
    drop(session);
    wait_until("the engine's end", || {
        server.role("engine").is_empty().then_some(())
    });
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    assert_eq!(imap.list("1:*").unwrap().len(), 1);
}

#[test]
fn a_link_in_a_home_gives_nothing_away() {
    // Root gave whatever `~/Maildir` led to to the user who had logged in.
    use std::os::unix::fs::{MetadataExt, chown, symlink};
    if !is_root() && !skip("not root") {
        return;
    }
    let settings =
        format!("isolation = \"user\"\n{NOBODY}[storage]\npath = \"{{home}}/Maildir\"\n");
    let server = Server::with(Start {
        settings: &settings,
        users: String::new(),
        ..Start::default()
    });
    let mut users = String::new();
    for (user, uid) in [("ann", 20_001), ("bob", 20_002)] {
        let home = server.path(user);
        fs::create_dir(&home).unwrap();
        chown(&home, Some(uid), Some(uid)).unwrap();
        users += &format!("{user}:{{PLAIN}}secret:{uid}:{uid}::{}::\n", home.display());
    }
    fs::write(server.path("users"), users).unwrap();
    server.signal(rustix::process::Signal::HUP);
    let secret = server.path("secret");
    fs::write(&secret, "of root").unwrap();
    symlink(&secret, server.path("ann/Maildir")).unwrap();
    let before = fs::metadata(&secret).unwrap();
    // Whose home holds no link is served.
    wait_until("bob's login", || {
        let mut imap = crate::support::Imap::connect(server.imap).ok()?;
        let answer = imap.login("bob", "secret").ok()?;
        answer.status.starts_with("OK").then_some(())
    });
    let made = fs::symlink_metadata(server.path("bob/Maildir")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (20_002, 0o700));
    let mut ann = crate::support::Imap::connect(server.imap).unwrap();
    ann.login("ann", "secret").ok();
    server.wait_for_log("a link that is not root's", 1);
    let after = fs::metadata(&secret).unwrap();
    assert_eq!(
        (after.uid(), after.gid(), after.mode()),
        (before.uid(), before.gid(), before.mode())
    );
}
