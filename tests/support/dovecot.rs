//! Dovecot with settings of its own.

use super::{Guard, Imap, PASSWORD, can, free_port, is_root, skip, wait_until};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// A Dovecot that ends with the value.
pub(crate) struct Dovecot {
    port: u16,
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
        let port = free_port();
        fs::create_dir_all(directory).unwrap();
        let settings = format!(
            "base_dir = {d}/run\nstate_dir = {d}/state\nlog_path = {d}/log\n\
             protocols = imap\nlisten = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\ndefault_vsz_limit = 0\n\
             mail_location = maildir:{mail}/%u\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={mail}/%u\n}}\n\
             namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n\
             service imap-login {{\n  inet_listener imap {{\n    port = {port}\n  }}\n  \
             inet_listener imaps {{\n    port = 0\n  }}\n}}\n",
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
            _process: process,
        }
    }

    /// A connection of that user, logged in.
    pub(crate) fn imap(&self, user: &str) -> Imap {
        let mut client = Imap::connect(self.port).unwrap();
        let answer = client.login(user, PASSWORD).unwrap();
        assert!(answer.status.starts_with("OK"), "{answer:?}");
        client
    }
}
