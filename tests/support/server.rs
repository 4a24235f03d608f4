//! One server in a directory of its own.

use super::{Imap, Lmtp, PASSWORD, Pop3, Process, dovelet, of_group, wait_until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the server may take to greet or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start<'a> {
    /// Lines of TOML, first those that stand in no table.
    pub(crate) settings: &'a str,
    /// Lines of the users file.
    pub(crate) users: String,
    /// Files of the test's directory that exist before: name and text.
    pub(crate) files: Vec<(&'a str, String)>,
    /// Environment: names, and names of files of the test's directory.
    pub(crate) variables: Vec<(&'a str, &'a str)>,
    /// Whom the server runs as, if the test is root.
    pub(crate) uid: Option<u32>,
}

/// A server that ends with the value.
pub(crate) struct Server {
    directory: TempDir,
    child: Option<Child>,
    variables: Vec<(String, PathBuf)>,
    uid: Option<u32>,
    /// IMAP with STARTTLS.
    pub(crate) imap: u16,
    /// IMAP over TLS.
    pub(crate) imaps: u16,
    pub(crate) lmtp: u16,
    /// POP3 with STLS.
    pub(crate) pop3: u16,
    /// POP3 over TLS.
    pub(crate) pop3s: u16,
}

impl Server {
    /// Starts a server with the users `ann` and `bob` and waits for its greeting. `settings`: lines
    /// of TOML, first those that stand in no table.
    pub(crate) fn start(settings: &str) -> Server {
        Server::with_users(settings, &["ann", "bob"])
    }

    pub(crate) fn with_users(settings: &str, users: &[&str]) -> Server {
        Server::with(Start {
            settings,
            users: users.iter().map(|user| line(user, None)).collect(),
            ..Start::default()
        })
    }

    /// As `start`, with all that can be chosen.
    pub(crate) fn with(start: Start<'_>) -> Server {
        let mut server = Server {
            directory: tempfile::Builder::new()
                .prefix("dovelet-")
                .tempdir()
                .unwrap(),
            child: None,
            variables: Vec::new(),
            uid: start.uid,
            imap: free_port(),
            imaps: free_port(),
            lmtp: free_port(),
            pop3: free_port(),
            pop3s: free_port(),
        };
        // As root the roles run under other uids, which have to get in.
        fs::set_permissions(server.path(""), Permissions::from_mode(0o755)).unwrap();
        server.variables = start
            .variables
            .iter()
            .map(|(name, file)| ((*name).to_owned(), server.path(file)))
            .collect();
        for (name, text) in &start.files {
            fs::write(server.path(name), text).unwrap();
        }
        fs::write(server.path("users"), &start.users).unwrap();
        let settings = start
            .settings
            .replace("{directory}", &server.path("").display().to_string());
        fs::write(server.config(), server.settings(&settings)).unwrap();
        if let Some(uid) = start.uid {
            for name in ["", "users", "dovelet.toml"] {
                chown(server.path(name), Some(uid), Some(uid)).unwrap();
            }
        }
        server.spawn();
        server
    }

    /// What the settings file has with these lines.
    pub(crate) fn settings(&self, more: &str) -> String {
        let listener = |protocol: &str, address: String, tls: &str| {
            format!(
                "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\ntls = \"{tls}\"\n"
            )
        };
        let local = |port: u16| format!("127.0.0.1:{port}");
        [
            format!("data_dir = {:?}\n", self.data()),
            "hostname = \"mail.test\"\n".to_owned(),
            format!("{more}\n"),
            listener("imap", local(self.imap), "starttls"),
            listener("imap", local(self.imaps), "implicit"),
            listener("pop3", local(self.pop3), "starttls"),
            listener("pop3", local(self.pop3s), "implicit"),
            listener("lmtp", local(self.lmtp), "none"),
            listener("lmtp", format!("unix:{}", self.socket().display()), "none"),
            format!(
                "[[users]]\nsource = \"file\"\npath = {:?}\n",
                self.path("users")
            ),
        ]
        .concat()
    }

    fn spawn(&mut self) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.path("log"))
            .unwrap();
        self.spawn_with(log.try_clone().unwrap().into(), log.into());
    }

    fn spawn_with(&mut self, stdout: Stdio, stderr: Stdio) {
        let mut command = self.command(&["serve"]);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        let child = command
            .envs(self.variables.iter().map(|(name, path)| (name, path)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.wait_for_greeting();
    }

    fn wait_for_greeting(&mut self) {
        let end = Instant::now() + PATIENCE;
        while Imap::connect(self.imap).is_err() {
            let ended = self.child.as_mut().map(|child| child.try_wait().unwrap());
            let runs = matches!(ended, Some(None)) && Instant::now() < end;
            assert!(runs, "no greeting ({ended:?}):\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The `dovelet` executable with those words and this server's settings.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = dovelet();
        command.args(words).arg("--config").arg(self.config());
        command
    }

    /// The settings, changed.
    pub(crate) fn settings_with(&self, change: impl FnOnce(String) -> String) -> String {
        change(fs::read_to_string(self.config()).unwrap())
    }

    /// A file of the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("dovelet.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Where LMTP is served besides its port.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("lmtp")
    }

    /// The Maildir of a user.
    pub(crate) fn maildir(&self, user: &str) -> PathBuf {
        self.data().join("mail").join(user)
    }

    /// The certificate that the server made for itself.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.data().join("tls/cert.pem")
    }

    /// What the server printed and logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Sends a signal to the first process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits until the log has that text `count` times.
    pub(crate) fn wait_for_log(&self, text: &str, count: usize) {
        wait_until(&format!("{text:?} in the log"), || {
            (self.log().matches(text).count() >= count).then_some(())
        });
    }

    fn group(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.id() as i32)
    }

    /// The living processes of the server.
    pub(crate) fn processes(&self) -> Vec<Process> {
        match self.group() {
            0 => Vec::new(),
            group => of_group(group),
        }
    }

    /// Those of one role.
    pub(crate) fn role(&self, role: &str) -> Vec<Process> {
        let mut processes = self.processes();
        processes.retain(|process| process.role == role);
        processes
    }

    /// A connection of that user, logged in.
    pub(crate) fn imap(&self, user: &str) -> Imap {
        let mut client = Imap::connect(self.imap).unwrap();
        let answer = client.login(user, PASSWORD).unwrap();
        assert!(
            answer.status.starts_with("OK"),
            "{answer:?}\n{}",
            self.log()
        );
        client
    }

    /// As `imap`, for POP3.
    pub(crate) fn pop3(&self, user: &str) -> Pop3 {
        let mut client = Pop3::connect(self.pop3).unwrap();
        let answer = client.login(user, PASSWORD).unwrap();
        assert!(answer.starts_with("+OK"), "{answer}\n{}", self.log());
        client
    }

    /// Delivers a message (CRLF line ends), which must succeed.
    pub(crate) fn deliver(&self, recipient: &str, text: &str) {
        let mut client = Lmtp::tcp(self.lmtp).unwrap();
        let replies = client.transaction(&[recipient], text, true).unwrap();
        assert!(replies.iter().all(|r| r.starts_with("250")), "{replies:?}");
    }

    /// Kills every process of the server at once.
    pub(crate) fn kill(&mut self) {
        let group = self.group();
        if let Some(group) = Pid::from_raw(group) {
            kill_process_group(group, Signal::KILL).ok();
        }
        if let Some(mut child) = self.child.take() {
            child.wait().ok();
        }
        wait_until("the end of all killed processes", || {
            of_group(group).is_empty().then_some(())
        });
    }

    /// Ends the server by SIGTERM and waits for the end of every process.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let group = self.group();
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = wait_until("the server's end", || child.try_wait().unwrap());
        wait_until("the end of all roles", || {
            of_group(group).is_empty().then_some(())
        });
        status
    }

    /// Starts again after [`Server::kill`] or [`Server::stop`].
    pub(crate) fn again(&mut self) {
        self.spawn();
    }

    /// Ends in order and starts again with this as standard error.
    pub(crate) fn restart_logging_to(&mut self, stderr: impl Into<Stdio>) {
        self.stop();
        self.spawn_with(Stdio::null(), stderr.into());
    }

    /// Ends in order and starts again with other settings.
    pub(crate) fn restart_with(&mut self, settings: &str) {
        fs::write(self.config(), self.settings(settings)).unwrap();
        self.restart();
    }

    /// Ends in order and starts again.
    pub(crate) fn restart(&mut self) {
        let status = self.stop();
        assert!(status.success(), "{status}\n{}", self.log());
        self.again();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let at = log.char_indices().rev().nth(8000).map_or(0, |(at, _)| at);
            eprintln!("the server's log:\n{}", log.get(at..).unwrap_or(&log));
        }
        if let Some(group) = Pid::from_raw(self.group()) {
            kill_process_group(group, Signal::KILL).ok();
        }
        if let Some(mut child) = self.child.take() {
            child.wait().ok();
        }
    }
}

/// A line of the users file, with the password of all tests.
pub(crate) fn line(user: &str, uid: Option<u32>) -> String {
    let uid = uid.map(|uid| uid.to_string()).unwrap_or_default();
    format!("{user}:{{PLAIN}}{PASSWORD}:{uid}:{uid}::::\n")
}

/// A port of loopback that nobody listens on, outside the range that the kernel gives to clients, so
/// that it is still free when a server comes back to it.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    let start = std::process::id().wrapping_mul(211);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(count) % PORTS;
        let port = u16::try_from(port).unwrap_or_default();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
