//! A person types a password on a terminal.

use crate::support::{dovelet, run, skip};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with `dovelet user` on it.
struct Terminal {
    directory: TempDir,
    /// The person's side.
    keys: File,
    /// The program's side.
    line: File,
    shown: Arc<Mutex<String>>,
    child: Child,
}

impl Terminal {
    /// `None` where there are no terminals.
    fn begin(words: &[&str]) -> Option<Terminal> {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
        grantpt(&keys).ok()?;
        unlockpt(&keys).ok()?;
        let name = ptsname(&keys, Vec::new()).ok()?.into_string().ok()?;
        let line = File::options().read(true).write(true).open(name).ok()?;
        let directory = tempfile::tempdir().unwrap();
        let side = || Stdio::from(line.try_clone().unwrap());
        let child = dovelet()
            .args(words)
            .arg("--data")
            .arg(directory.path())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let keys = File::from(keys);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, text) = (keys.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count) = screen.read(&mut bytes) {
                let new = String::from_utf8_lossy(&bytes[..count]);
                text.lock().unwrap().push_str(&new);
            }
        });
        Some(Terminal {
            directory,
            keys,
            line,
            shown,
            child,
        })
    }

    fn users(&self) -> PathBuf {
        self.directory.path().join("users")
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until the screen shows that text so many times.
    fn wait_for(&mut self, text: &str, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.shown().matches(text).count() < count {
            assert!(Instant::now() < end, "no {text:?} in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        let usual = LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON;
        assert!(
            modes.contains(usual) || !modes.intersects(usual),
            "{modes:?}"
        );
        modes.contains(LocalModes::ECHO)
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// The exit code; the terminal is as it was before.
    fn end(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it goes on: {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(self.echoes(), "the terminal stays mute");
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const ADD: [&str; 3] = ["user", "add", "ann"];
const ASKED: &str = "New password of ann (not shown): ";

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let Some(mut terminal) = Terminal::begin(&ADD) else {
        skip("no terminals");
        return;
    };
    terminal.wait_for(ASKED, 1);
    assert!(!terminal.echoes());
    assert!(fs::metadata(terminal.users()).is_err());
    // With a mistake that is rubbed out.
    terminal.type_in("swordfisch\x7f\x7fh\r");
    terminal.wait_for("Once more: ", 1);
    assert!(!terminal.echoes());
    terminal.type_in("swordfish\r");
    terminal.wait_for("user ann added to ", 1);
    assert_eq!(terminal.end(), Some(0));
    let shown = terminal.shown();
    assert!(!shown.contains("swordf"), "{shown}");
    let users = fs::read_to_string(terminal.users()).unwrap();
    assert!(users.starts_with("ann:{ARGON2ID}$argon2id$"), "{users}");
}

#[test]
fn two_that_differ_are_an_error() {
    let Some(mut terminal) = Terminal::begin(&ADD) else {
        skip("no terminals");
        return;
    };
    terminal.wait_for(ASKED, 1);
    terminal.type_in("swordfish\r");
    terminal.wait_for("Once more: ", 1);
    terminal.type_in("Swordfish\r");
    terminal.wait_for("dovelet: the two passwords differ", 1);
    assert_eq!(terminal.end(), Some(1));
    assert_eq!(
        fs::metadata(terminal.users()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn control_c_leaves_a_terminal_that_shows_what_is_typed() {
    for (first, keys) in [
        (None, "sword\x03"),
        (Some("sword\r"), "\x03"),
        (None, "\x04"),
    ] {
        let Some(mut terminal) = Terminal::begin(&ADD) else {
            skip("no terminals");
            return;
        };
        terminal.wait_for(ASKED, 1);
        if let Some(first) = first {
            terminal.type_in(first);
            terminal.wait_for("Once more: ", 1);
        }
        terminal.type_in(keys);
        terminal.wait_for("dovelet: cancelled", 1);
        assert_eq!(terminal.end(), Some(1));
        assert!(fs::metadata(terminal.users()).is_err());
        // Typed by the person, shown by the terminal.
        terminal.type_in("now it is");
        terminal.wait_for("now it is", 1);
    }
}

#[test]
fn without_a_terminal_a_password_is_not_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = dovelet();
    let done = run(command.args(ADD).arg("--data").arg(directory.path()));
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("--password-stdin"), "{done:?}");
}
