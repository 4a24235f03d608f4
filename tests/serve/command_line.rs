//! What a person types: without settings, the demonstration, users, exit codes.

use crate::support::{Finished, can, dovelet, dovelet_words, is_root, run, skip, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// Somebody who is not root.
const ANYONE: u32 = 20_009;

/// Whether the ports that are taken without settings can be had: as root in a network of one's own.
fn possible() -> bool {
    if is_root() {
        return can(&["unshare", "nsenter", "setpriv", "ip", "mount"]);
    }
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    [1143, 1993, 1024].into_iter().all(free) || skip("ports 1143, 1993 and 1024 are not free")
}

/// One at a time where they share the ports of the machine.
fn alone() -> File {
    let path = std::env::temp_dir().join("dovelet-usual-ports.lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap();
    lock.lock().unwrap();
    lock
}

/// A server without settings.
struct Usual {
    directory: TempDir,
    child: Option<Child>,
    /// Whom it runs as, if the test is root.
    uid: u32,
    _lock: File,
}

impl Usual {
    /// Runs `dovelet serve` with more words, in an empty directory, as `uid`.
    fn start(words: &str, uid: u32) -> Usual {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let temporary = directory.path().join("temporary");
        fs::create_dir(&temporary).unwrap();
        if is_root() {
            for path in [directory.path(), &temporary] {
                chown(path, Some(uid), Some(uid)).unwrap();
            }
        }
        let out = File::create(directory.path().join("out")).unwrap();
        let err = File::create(directory.path().join("err")).unwrap();
        let become_other = match uid {
            0 => String::new(),
            uid => format!("setpriv --reuid={uid} --regid={uid} --clear-groups "),
        };
        let mut command = if is_root() {
            let dovelet = dovelet_words();
            let inside = format!(
                "ip link set lo up && mount -t tmpfs -o mode=755 none /var/lib && \
                 exec {become_other}{dovelet} serve {words}"
            );
            let mut command = Command::new("unshare");
            command.args(["--mount", "--net", "sh", "-c", &inside]);
            command
        } else {
            let mut command = dovelet();
            command.arg("serve").args(words.split_whitespace());
            command
        };
        let child = command
            .current_dir(directory.path())
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap();
        Usual {
            directory,
            child: Some(child),
            uid,
            _lock: alone(),
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// Waits for that on the standard output; returns all of it.
    fn says(&mut self, text: &str) -> String {
        wait_until(&format!("{text:?}"), || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.read("err"));
            let out = self.read("out");
            out.contains(text).then_some(out)
        })
    }

    /// Runs a line of a shell where the server is: its network, its files, its account.
    fn shell(&self, line: &str) -> Finished {
        let mut command = if is_root() {
            let pid = self.child.as_ref().unwrap().id().to_string();
            let mut command = Command::new("nsenter");
            command.args(["--target", &pid, "--net", "--mount", "--wd"]);
            if self.uid != 0 {
                let uid = self.uid;
                command.arg("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
                command.arg("--clear-groups");
            }
            command.arg("sh");
            command
        } else {
            Command::new("sh")
        };
        command
            .args(["-c", line])
            .current_dir(self.directory.path());
        run(&mut command)
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        wait_until("the server's end", || child.try_wait().unwrap())
    }
}

impl Drop for Usual {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Without a line of settings: a person adds a user as told, mail comes in and is read.
fn from_nothing(uid: u32, data: &str) {
    if !possible() || !can(&["curl", "openssl", "swaks"]) {
        return;
    }
    let mut server = Usual::start("", uid);
    let out = server.says("add one with: ");
    for line in [
        "IMAP on 127.0.0.1:1143 (STARTTLS)",
        "IMAP on 127.0.0.1:1993 (TLS)",
        "LMTP on 127.0.0.1:1024",
        "self-signed certificate made, SHA-256 ",
    ] {
        assert!(out.contains(line), "{out}");
    }
    let said = out
        .split("SHA-256 ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let shown = server.shell(
        "openssl s_client -connect 127.0.0.1:1993 </dev/null 2>/dev/null | \
         openssl x509 -noout -fingerprint -sha256",
    );
    assert_eq!(shown.ok().trim().split('=').nth(1), Some(said));
    let dovelet = dovelet_words();
    // The line that says how to add a user, as it stands there.
    let line = out
        .split("add one with: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let line = line
        .replace("NAME", "ann")
        .replace("dovelet user", &format!("{dovelet} user"));
    server
        .shell(&format!("printf 'secret\\n' | {line} --password-stdin"))
        .ok();
    server
        .shell(
            "swaks --protocol LMTP --server 127.0.0.1:1024 --to ann --from me@example.org \
             --header 'Subject: hello'",
        )
        .ok();
    for url in [
        "--ssl-reqd imap://127.0.0.1:1143/INBOX\\;UID=1",
        "imaps://127.0.0.1:1993/INBOX\\;UID=1",
    ] {
        let read = server
            .shell(&format!("curl -sSk --user ann:secret {url}"))
            .ok();
        assert!(read.contains("Subject: hello"), "{read}");
    }
    let listed = server.shell(&format!("ls {data}")).ok();
    for name in ["index", "mail", "run", "tls", "users"] {
        assert!(listed.lines().any(|line| line == name), "{listed}");
    }
    let key = server
        .shell(&format!("stat -c %a {data}/tls/key.pem {data}/users"))
        .ok();
    assert!(key.starts_with("600\n6"), "{key}");
    let checked = server.shell(&format!("{dovelet} doctor")).ok();
    assert!(checked.contains("INBOX"), "{checked}");
    assert_eq!(
        server.end(Signal::TERM).code(),
        Some(0),
        "{}",
        server.read("err")
    );
}

#[test]
fn anyone_starts_it_without_settings() {
    from_nothing(ANYONE, "dovelet-data");
}

#[test]
fn root_starts_it_without_settings() {
    if is_root() || skip("not root") {
        from_nothing(0, "/var/lib/dovelet");
    }
}

#[test]
fn the_demonstration_is_as_it_says() {
    if !possible() || !can(&["curl"]) {
        return;
    }
    for uid in [ANYONE, 0] {
        if uid == 0 && !is_root() {
            continue;
        }
        let mut server = Usual::start("--demo", uid);
        let out = server.says("read a message:");
        let line = out.split("read a message:").nth(1).unwrap().trim();
        assert!(line.starts_with("curl "), "{line}");
        for (number, subject) in [(1, "Subject: "), (4, "Subject: ")] {
            let line = line.replace("MAILINDEX=1", &format!("MAILINDEX={number}"));
            let read = server.shell(&line).ok();
            assert!(
                read.contains(subject) && read.contains("Delivered-To: "),
                "{read}"
            );
        }
        assert_eq!(
            server.end(Signal::INT).code(),
            Some(0),
            "{}",
            server.read("err")
        );
        let left = fs::read_dir(server.directory.path().join("temporary")).unwrap();
        assert_eq!(left.count(), 0);
        let nothing = server.directory.path().join("dovelet-data");
        assert!(!nothing.exists());
    }
}

/// One command in a directory of its own.
struct Desk(TempDir);

impl Desk {
    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn run(&self, line: &str, input: &str) -> Finished {
        let file = self.0.path().join("input");
        fs::write(&file, input).unwrap();
        let dovelet = dovelet_words();
        let quoted = format!("{dovelet} {line} < {}", file.display());
        run(Command::new("sh")
            .args(["-c", &quoted])
            .current_dir(self.0.path()))
    }

    /// The exit code, and what stands on the standard error.
    fn fails(&self, line: &str, input: &str) -> (i32, String) {
        let done = self.run(line, input);
        assert!(done.stdout.is_empty(), "{line}: {done:?}");
        (done.status.code().unwrap(), done.stderr)
    }
}

#[test]
fn users_from_the_command_line() {
    let desk = Desk(tempfile::tempdir().unwrap());
    let data = desk.data().display().to_string();
    let with = |words: &str| format!("{words} --data {data}");
    desk.run(&with("user add ann --password-stdin"), "secret\n")
        .ok();
    desk.run(&with("user add Bob@Example.org --password-stdin"), "x y\n")
        .ok();
    let users = fs::read_to_string(desk.data().join("users")).unwrap();
    assert!(
        users.starts_with("ann:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"),
        "{users}"
    );
    let mode = fs::metadata(desk.data().join("users"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "others may read it");
    let listed = desk.run(&with("user list"), "").ok();
    assert!(
        listed.contains("ann") && listed.contains("bob@example.org"),
        "{listed}"
    );
    let json = desk.run(&with("user list ann --json"), "").ok();
    assert_eq!(
        json.trim(),
        "[{\"name\":\"ann\",\"scheme\":\"ARGON2ID\",\"login\":true,\"uid\":null,\"gid\":null,\"home\":null}]"
    );
    desk.run(&with("user passwd ann --password-stdin"), "other\n")
        .ok();
    let changed = fs::read_to_string(desk.data().join("users")).unwrap();
    assert_ne!(users, changed);
    for (line, input, code, text) in [
        ("user add ann --password-stdin", "x\n", 1, "ann"),
        ("user add x:y --password-stdin", "x\n", 1, "':'"),
        ("user add eve --password-stdin", "", 1, "password"),
        ("user passwd nobody --password-stdin", "x\n", 1, "nobody"),
        ("user delete nobody", "", 1, "nobody"),
        ("user list nobody", "", 1, "nobody"),
        ("doctor --user nobody", "", 1, "nobody"),
        ("user ad ann", "", 2, "add"),
        ("user add", "", 2, "name"),
        ("serve --nonsense", "", 2, "--nonsense"),
        ("servve", "", 2, "serve"),
    ] {
        let (status, said) = desk.fails(&with(line), input);
        assert_eq!(status, code, "{line}: {said}");
        assert!(
            said.starts_with("dovelet: ") && said.contains(text),
            "{line}: {said}"
        );
    }
    desk.run(&with("user delete ann"), "").ok();
    let listed = desk.run(&with("user list"), "").ok();
    assert!(!listed.contains("ann"), "{listed}");
}

#[test]
fn settings_from_the_command_line() {
    let desk = Desk(tempfile::tempdir().unwrap());
    let version = desk.run("--version", "").ok();
    assert_eq!(version, format!("dovelet {}\n", env!("CARGO_PKG_VERSION")));
    assert!(desk.run("help serve", "").ok().contains("SIGHUP"));
    let reference = desk.run("config reference", "").ok();
    // What the manual prints is a file of settings itself.
    fs::write(desk.0.path().join("whole.toml"), &reference).unwrap();
    desk.run("config check --config whole.toml", "").ok();
    let faults = "hostnam = \"x\"\n[limits]\nmax_connections = \"many\"\n[[listener]]\nprotocol = \"imap\"\n";
    fs::write(desk.0.path().join("wrong.toml"), faults).unwrap();
    let (status, said) = desk.fails("config check --config wrong.toml", "");
    assert_eq!(status, 1, "{said}");
    for place in ["wrong.toml:1:1: ", "wrong.toml:3:19: ", "wrong.toml:4:"] {
        assert!(said.contains(place), "{said}");
    }
    assert!(said.contains("hostname"), "{said}");
    let (status, _) = desk.fails("serve --config wrong.toml", "");
    assert_eq!(status, 1);
    let (status, said) = desk.fails("serve --config absent.toml", "");
    assert!(status == 1 && said.contains("absent.toml"), "{said}");
    fs::write(desk.0.path().join("right.toml"), "board = \"openwrt-64\"\n").unwrap();
    let shown = desk.run("config show --config right.toml", "").ok();
    assert!(shown.contains("max_connections = 50\n"), "{shown}");
    fs::write(desk.0.path().join("shown.toml"), &shown).unwrap();
    assert_eq!(desk.run("config show --config shown.toml", "").ok(), shown);
    let json = desk.run("config show --json --config right.toml", "").ok();
    assert!(json.contains("\"max_connections\":50"), "{json}");
    // Whoever reads the output may go away.
    let dovelet = dovelet_words();
    let line = format!("({dovelet} config reference; echo $? >&2) | head -c 1");
    let cut = run(Command::new("sh").args(["-c", &line]));
    assert_eq!((cut.stdout.len(), cut.stderr.trim()), (1, "0"));
}

#[test]
fn every_address_that_cannot_be_had_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, other] = taken
        .each_ref()
        .map(|l| l.local_addr().unwrap().to_string());
    let listener = |address: &str| {
        format!("[[listener]]\nprotocol = \"lmtp\"\naddress = \"{address}\"\ntls = \"none\"\n")
    };
    let settings = directory.path().join("dovelet.toml");
    fs::write(&settings, [&one, &other].map(|a| listener(a)).concat()).unwrap();
    let finished = run(dovelet().args(["serve", "--data"]).arg(directory.path()));
    for address in [one, other] {
        let told = format!("dovelet: cannot listen on {address}: ");
        assert!(finished.stderr.contains(&told), "{}", finished.stderr);
    }
    assert_eq!(finished.status.code(), Some(1));
}
