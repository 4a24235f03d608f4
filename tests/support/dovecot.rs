//! Dovecot with settings of its own.

use super::{Guard, Imap, PASSWORD, Pop3, Server, can, free_port, is_root, skip, wait_until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What speaks POP3 there.
const POP3: &str = "/usr/lib/dovecot/pop3";

/// Shows what Dovecot logged, should the test fail.
pub(crate) struct DovecotLog(PathBuf);

impl Drop for DovecotLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.0).unwrap_or_default();
            eprintln!("Dovecot's log:\n{log}");
        }
    }
}

impl DovecotLog {
    /// Of the Dovecot below that server's directory.
    pub(crate) fn of(server: &Server) -> DovecotLog {
        DovecotLog(server.path("dovecot/log"))
    }
}

/// A Dovecot that ends with the value.
pub(crate) struct Dovecot {
    port: u16,
    pop3: u16,
    settings: PathBuf,
    _process: Guard,
}

impl Dovecot {
    /// True if it can be started; else says why not.
    pub(crate) fn possible() -> bool {
        can(&["dovecot"]) && (is_root() || skip("not root, Dovecot needs its own users"))
    }

    /// Serves the Maildirs `mail/USER`, which belong to that user and group, and keeps its own files
    /// in `directory`.
    pub(crate) fn start(directory: &Path, mail: &Path, uid: u32, gid: u32) -> Dovecot {
        Dovecot::with(directory, mail, (uid, gid), "")
    }

    /// True if it has POP3; else says that it has not.
    pub(crate) fn has_pop3() -> bool {
        Path::new(POP3).exists() || skip("Dovecot has no POP3")
    }

    /// As `start`, with more settings.
    pub(crate) fn with(
        directory: &Path,
        mail: &Path,
        (uid, gid): (u32, u32),
        more: &str,
    ) -> Dovecot {
        let (port, pop3) = (free_port(), free_port());
        // What is not installed cannot be named.
        let (protocols, login) = match Path::new(POP3).exists() {
            false => ("imap", String::new()),
            true => (
                "imap pop3",
                format!(
                    "service pop3-login {{\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  \
                     inet_listener pop3s {{\n    port = 0\n  }}\n}}\n"
                ),
            ),
        };
        fs::create_dir_all(directory).unwrap();
        let settings = format!(
            "base_dir = {d}/run\nstate_dir = {d}/state\nlog_path = {d}/log\n\
             protocols = {protocols}\nlisten = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\ndefault_vsz_limit = 0\n\
             mail_location = maildir:{mail}/%u\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={mail}/%u\n}}\n\
             namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n\
             service imap-login {{\n  inet_listener imap {{\n    port = {port}\n  }}\n  \
             inet_listener imaps {{\n    port = 0\n  }}\n}}\n{login}{more}\n",
            d = directory.display(),
            mail = mail.display(),
        );
        let file = directory.join("dovecot.conf");
        fs::write(&file, settings).unwrap();
        let output = File::create(directory.join("output")).unwrap();
        let child = Command::new("dovecot")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .arg("-F")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let process = Guard(child);
        wait_until("Dovecot's greeting", || Imap::connect(port).ok());
        Dovecot {
            port,
            pop3,
            settings: file,
            _process: process,
        }
    }

    /// What `doveadm` with these words says.
    pub(crate) fn doveadm(&self, words: &[&str]) -> String {
        let output = Command::new("doveadm")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .arg("-c")
            .arg(&self.settings)
            .args(words)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A connection of that user, logged in.
    pub(crate) fn imap(&self, user: &str) -> Imap {
        let mut client = Imap::connect(self.port).unwrap();
        let answer = client.login(user, PASSWORD).unwrap();
        assert!(answer.status.starts_with("OK"), "{answer:?}");
        client
    }
    /// As `imap`, for POP3.
    pub(crate) fn pop3(&self, user: &str) -> Pop3 {
        let mut client = wait_until("Dovecot's POP3", || Pop3::connect(self.pop3).ok());
        let answer = client.login(user, PASSWORD).unwrap();
        assert!(answer.starts_with("+OK"), "{answer}");
        client
    }
}
