//! Exim and OpenSMTPD, as Debian has them, unpacked instead of installed (they exclude each other and Postfix), each
//! in a mount namespace with accounts and a spool of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::{Guard, Lmtp, PASSWORD, Server, can, flood, free_port, is_root, run, skip, unpacked};

/// Accounts that the programs want, with numbers that nobody has.
const ACCOUNTS: [(&str, u32); 4] = [
    ("Debian-exim", 61_150),
    ("opensmtpd", 61_151),
    ("opensmtpq", 61_152),
    ("courier-test", 61_153),
];

/// What a mail server sees of this machine: its own accounts, and nothing of the machine's spools. The shell stays: one
/// that changes who it is, as Exim does, would not be told that the process above it ended.
const NAMESPACE: &str = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/group\" /etc/group && \
     mount -t tmpfs spool /var/spool && mount -t tmpfs run /run && mount -t tmpfs lib /var/lib && \
     mkdir -p /var/lib/opensmtpd/empty && if [ -d \"$2\" ]; then mount --bind \"$2\" /usr/libexec; fi && \
     shift 2 && \"$@\"; exit $?";

/// Prepares a directory of the test for a mail server; `None` if this machine cannot.
fn prepared(server: &Server, name: &str) -> Option<std::path::PathBuf> {
    if !can(&["unshare", "mount"])
        || !(is_root() || skip("not root, which mail servers have to be"))
    {
        return None;
    }
    let directory = server.path(name);
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let mut passwd = fs::read_to_string("/etc/passwd").unwrap();
    let mut group = fs::read_to_string("/etc/group").unwrap();
    for (account, number) in ACCOUNTS {
        passwd.push_str(&format!("{account}:x:{number}:{number}::/:/bin/sh\n"));
        group.push_str(&format!("{account}:x:{number}:\n"));
    }
    fs::write(directory.join("passwd"), passwd).unwrap();
    fs::write(directory.join("group"), group).unwrap();
    Some(directory)
}

/// Runs a program in its namespace; it ends with the value.
fn start(directory: &Path, libexec: &Path, program: &Path, words: &[&str]) -> Guard {
    let log = fs::File::create(directory.join("output")).unwrap();
    let mut command = Command::new("unshare");
    command
        // In a process namespace of its own nothing of it outlives the test.
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            NAMESPACE,
            "sh",
        ])
        .arg(directory)
        .arg(libexec)
        .arg(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Guard(command.spawn().unwrap())
}

fn greeted(directory: &Path, port: u16) {
    let end = Instant::now() + Duration::from_secs(30);
    while Lmtp::smtp(port).is_err() {
        let output = || fs::read_to_string(directory.join("output")).unwrap_or_default();
        assert!(Instant::now() < end, "no greeting:\n{}", output());
        sleep(Duration::from_millis(20));
    }
}

/// Exim starts itself again without any variable.
fn with_its_libraries(root: &Path, directory: &Path) -> std::path::PathBuf {
    let libraries = format!("{}-linux-gnu", std::env::consts::ARCH);
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH={root}/usr/lib:{root}/usr/lib/{libraries} exec {root}/usr/sbin/exim4 \"$@\"\n",
        root = root.display()
    );
    let file = directory.join("exim4");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    file
}

fn exim(server: &Server) -> Option<(Guard, u16)> {
    exim_with(server, &["exim4-daemon-light"], "all:\n  accept\n")
}

/// `settings`: how its ACLs and what follows them begin.
fn exim_with(server: &Server, packages: &[&str], settings: &str) -> Option<(Guard, u16)> {
    let root = unpacked(packages)?;
    let directory = prepared(server, "exim")?;
    let port = free_port();
    let program = with_its_libraries(&root, &directory);
    let spool = directory.join("spool");
    fs::create_dir_all(&spool).unwrap();
    let (_, number) = ACCOUNTS[0];
    chown(&spool, Some(number), Some(number)).unwrap();
    let settings = format!(
        "exim_user = Debian-exim\nexim_group = Debian-exim\nexim_path = {exim}\n\
         spool_directory = {spool}\nlog_file_path = {spool}/log-%s\npid_file_path = {spool}/pid\n\
         primary_hostname = mx.test\ndaemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\n\
         keep_environment =\nacl_smtp_rcpt = all\nacl_smtp_data = all\nsmtp_accept_queue_per_connection = 0\n\
         begin acl\n{settings}\
         begin routers\ndovelet:\n  driver = accept\n  transport = dovelet\n\
         begin transports\ndovelet:\n  driver = lmtp\n  socket = {socket}\n  batch_max = 50\n\
         \x20 rcpt_include_affixes\n  user = Debian-exim\n\
         begin retry\n* * F,1h,1s\n",
        exim = program.display(),
        spool = spool.display(),
        socket = server.socket().display(),
    );
    let file = directory.join("exim.conf");
    fs::write(&file, settings).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let file = file.display().to_string();
    let words = ["-C", &file, "-bdf", "-q2s"];
    let guard = start(&directory, Path::new("/nonexistent"), &program, &words);
    greeted(&directory, port);
    Some((guard, port))
}

fn opensmtpd(server: &Server) -> Option<(Guard, u16)> {
    let root = unpacked(&["opensmtpd"])?;
    let directory = prepared(server, "opensmtpd")?;
    let port = free_port();
    let settings = format!(
        "table people {{ \"@example.org\" = \"courier-test\" }}\n\
         listen on 127.0.0.1 port {port}\n\
         action \"dovelet\" lmtp \"{}\" rcpt-to virtual <people>\n\
         match from any for domain \"example.org\" action \"dovelet\"\n",
        server.socket().display()
    );
    let file = directory.join("smtpd.conf");
    fs::write(&file, settings).unwrap();
    let file = file.display().to_string();
    let guard = start(
        &directory,
        &root.join("usr/libexec"),
        &root.join("usr/sbin/smtpd"),
        &["-d", "-f", &file],
    );
    greeted(&directory, port);
    Some((guard, port))
}

#[test]
fn exim_delivers() {
    let server = Server::start("");
    if let Some((_exim, port)) = exim(&server) {
        flood(&server, port, 60);
    }
}

#[test]
fn exim_lets_dovelet_say_who_somebody_is() {
    // The account of Exim's namespace is none of this machine's, so everybody may ask.
    let server = Server::start(
        "[[listener]]\nprotocol = \"dovecot-auth\"\naddress = \"unix:{directory}/auth\"\n\
         mode = \"0666\"\n",
    );
    let socket = server.path("auth");
    let authenticator = |name: &str| {
        format!(
            "{}:\n  driver = dovecot\n  public_name = {name}\n  server_socket = {}\n\
             \x20 server_set_id = $auth1\n",
            name.replace('-', "_"),
            socket.display()
        )
    };
    let names = ["PLAIN", "LOGIN", "SCRAM-SHA-256"];
    let settings = format!(
        "all:\n  accept\n    authenticated = *\n  deny\nbegin authenticators\n{}",
        names.map(authenticator).concat()
    );
    let packages = ["exim4-daemon-heavy", "libmariadb3", "libspf2-2"];
    let Some((_exim, port)) = exim_with(&server, &packages, &settings) else {
        return;
    };
    let may_send = |client: &mut Lmtp| {
        client.command("MAIL FROM:<ann@example.org>").unwrap();
        let reply = client.command("RCPT TO:<ann@example.org>").unwrap();
        client.command("RSET").unwrap();
        reply.starts_with("250")
    };
    let mut client = Lmtp::smtp(port).unwrap();
    let hello = client.command("EHLO client.test").unwrap();
    assert!(hello.contains("AUTH PLAIN LOGIN SCRAM-SHA-256"), "{hello}");
    assert!(!may_send(&mut client));
    let refused = client.command("AUTH PLAIN AGFubgB3cm9uZw==").unwrap();
    assert!(refused.starts_with("535"), "{refused}");
    let accepted = client.command("AUTH PLAIN AGFubgBzZWNyZXQ=").unwrap();
    assert!(accepted.starts_with("235"), "{accepted}");
    assert!(may_send(&mut client));
    let mut client = Lmtp::smtp(port).unwrap();
    for (said, expected) in [
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        ("YW5u", "334 UGFzc3dvcmQ6"),
        ("c2VjcmV0", "235"),
    ] {
        let reply = client.command(said).unwrap();
        assert!(reply.starts_with(expected), "{said} {reply}");
    }
    assert!(may_send(&mut client));
    let gsasl = ["gsasl", "libgsasl18", "libgssglue1", "libntlm0"];
    if let Some(root) = unpacked(&gsasl) {
        for (password, right) in [(PASSWORD, true), ("wrong", false)] {
            let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
            let mut gsasl = Command::new(root.join("usr/bin/gsasl"));
            gsasl
                .env("LD_LIBRARY_PATH", root.join(libraries))
                .args(["--smtp", "--no-starttls", "--mechanism", "SCRAM-SHA-256"])
                .args(["--authentication-id", "ann", "--password", password])
                .args(["--connect", &format!("localhost:{port}")]);
            let finished = run(&mut gsasl);
            assert_eq!(finished.status.success(), right, "{finished:?}");
        }
    }
}

#[test]
fn opensmtpd_delivers() {
    let server = Server::start("");
    if let Some((_opensmtpd, port)) = opensmtpd(&server) {
        flood(&server, port, 60);
    }
}

#[test]
#[ignore = "takes minutes: 10,000 messages"]
fn exim_delivers_ten_thousand() {
    let server = Server::start("");
    if let Some((_exim, port)) = exim(&server) {
        flood(&server, port, 10_000);
    }
}

#[test]
#[ignore = "takes minutes: 10,000 messages"]
fn opensmtpd_delivers_ten_thousand() {
    let server = Server::start("");
    if let Some((_opensmtpd, port)) = opensmtpd(&server) {
        flood(&server, port, 10_000);
    }
}
