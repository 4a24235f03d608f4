//! A role in the hands of an attacker, played for the tests of `tests/serve`: after everything was given
//! up it tries what a test asks for, says how that went, and goes on. In builds for debugging only;
//! a release binary has none of this.

use super::control::{Message, Owner};
use crate::sys::message;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// So many turns on the disk before one panics.
static STUMBLE: AtomicI32 = AtomicI32::new(0);

/// Panics if it is this turn's turn.
#[allow(clippy::panic)] // that is what it is for
pub(super) fn stumble() {
    if STUMBLE.load(Ordering::Relaxed) > 0 && STUMBLE.fetch_sub(1, Ordering::Relaxed) == 1 {
        panic!("on purpose");
    }
}

/// Sends the parent messages that mean nothing, without end.
fn flood(message: &Message, parent: &OwnedFd) -> io::Result<()> {
    let (bytes, parent) = (message.encode(), parent.try_clone()?);
    let flooding = move || {
        while message::send(&parent, &bytes, &[])
            .err()
            .is_none_or(|error| error.kind() == io::ErrorKind::WouldBlock)
        {
            std::thread::sleep(Duration::from_micros(10));
        }
    };
    std::thread::Builder::new().spawn(flooding).map(drop)
}

/// Attempts, one a line: the role, what to do, and to what.
pub(super) fn play(role: &str, parent: &OwnedFd) {
    let Ok(script) = std::env::var(crate::sys::spawn::COMPROMISED) else {
        return;
    };
    let own = script
        .lines()
        .filter_map(|line| line.strip_prefix(role)?.strip_prefix(' '));
    for attempt in own {
        let (what, with) = attempt.split_once(' ').unwrap_or((attempt, ""));
        say(&match attack(what, with, parent) {
            Ok(()) => format!("compromised {role}: {attempt}: done\n"),
            Err(error) => format!("compromised {role}: {attempt}: {error}\n"),
        });
    }
    let pid = std::process::id();
    say(&format!("compromised {role} {pid}: at its end\n"));
}

/// In one piece: others write to the same place.
fn say(line: &str) {
    io::stderr().write_all(line.as_bytes()).ok();
}

fn attack(what: &str, with: &str, parent: &OwnedFd) -> io::Result<()> {
    let number = || with.parse::<i32>().map_err(io::Error::other);
    match what {
        "read" => File::open(with).map(drop),
        "list" => fs::read_dir(with).map(drop),
        "write" => fs::write(with, "owned"),
        "remove" => fs::remove_file(with),
        "move" => fs::rename(with, format!("{with}.stolen")),
        "connect" => TcpStream::connect(with).map(drop),
        "connect-unix" => UnixStream::connect(with).map(drop),
        "listen" => TcpListener::bind(with).map(drop),
        // Does not come back if it works.
        "execute" => Err(Command::new(with).exec()),
        "become" => {
            let uid = u32::try_from(number()?).map_err(io::Error::other)?;
            Ok(rustix::thread::set_thread_uid(
                rustix::thread::Uid::from_raw(uid),
            )?)
        }
        "kill" => {
            let pid = rustix::process::Pid::from_raw(number()?);
            let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
            Ok(rustix::process::kill_process(
                pid,
                rustix::process::Signal::KILL,
            )?)
        }
        "hand-over" => {
            let (near, _far) = message::stream()?;
            let connection = u64::try_from(number()?).map_err(io::Error::other)?;
            let bytes = Vec::new();
            let message = Message::Handover { connection, bytes };
            message::send(parent, &message.encode(), &[near.as_fd()])
        }
        "deliver" => {
            let connection = u64::try_from(number()?).map_err(io::Error::other)?;
            let tickets = vec![1, 2, 3];
            let message = Message::Transaction {
                connection,
                tickets,
            };
            message::send(parent, &message.encode(), &[])
        }
        "flood" => {
            let (connection, last) = (u64::MAX, 0);
            let message = match with {
                "ended" => Message::Ended {
                    connections: vec![connection],
                },
                _ => Message::Closed { connection, last },
            };
            flood(&message, parent)
        }
        "stumble" => {
            STUMBLE.store(number()?, Ordering::Relaxed);
            Ok(())
        }
        "log-in" => {
            let owner = Owner {
                name: with.to_owned(),
                uid: None,
                gid: None,
                home: None,
                mail: None,
            };
            let connection = 1;
            let message = Message::Login {
                connection,
                owner,
                reads: false,
            };
            message::send(parent, &message.encode(), &[])
        }
        _ => Err(io::Error::other("the test asks for something unknown")),
    }
}
