//! Starting a role: this executable again, with one end of a channel as its standard input.

use super::message;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// Argument that makes the executable a role.
pub(crate) const ROLE: &str = "--role=";

/// Starts `role`; returns the child and our end of its channel. `stack`: octets of a thread's stack.
pub(crate) fn spawn(role: &str, stack: usize) -> io::Result<(Child, OwnedFd)> {
    let (near, far) = message::channel()?;
    let mut command = executable()?;
    command
        .arg(format!("{ROLE}{role}"))
        .env_clear()
        .env("RUST_MIN_STACK", stack.to_string())
        .stdin(Stdio::from(far))
        .stdout(Stdio::null());
    #[cfg(debug_assertions)]
    command.envs(compromised());
    Ok((command.spawn()?, near))
}

/// Names an emulator and its options, where the machine cannot run this executable by itself.
const EMULATOR: &str = "DOVELET_EMULATOR";

/// What runs this executable again, also when there is another one in its place by now.
fn executable() -> io::Result<Command> {
    let words = std::env::var(EMULATOR).unwrap_or_default();
    let mut words = words.split_whitespace();
    let Some(emulator) = words.next() else {
        return Ok(Command::new("/proc/self/exe"));
    };
    let mut command = Command::new(emulator);
    command.args(words).arg(std::env::current_exe()?);
    Ok(command)
}

/// In builds for debugging: names a file of what a role shall try that was taken over, for tests.
/// In the environment of a role: what is in the file.
#[cfg(debug_assertions)]
pub(crate) const COMPROMISED: &str = "DOVELET_COMPROMISED";

#[cfg(debug_assertions)]
fn compromised() -> Option<(&'static str, String)> {
    let script = std::fs::read_to_string(std::env::var_os(COMPROMISED)?);
    Some((COMPROMISED, script.ok()?))
}

/// Descriptors that this process was started with, beside the standard ones, are for no role: whoever
/// started it left them open by mistake. Call before any thread is made.
pub(crate) fn keep_descriptors() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: sets a flag of a descriptor; one that is closed meanwhile gives an error.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// In a role: the channel to whoever started it. Only once.
pub(crate) fn inherited() -> OwnedFd {
    // SAFETY: descriptor 0 is the channel that `spawn` gave; the standard library never closes it
    // and nothing else in a role touches standard input.
    unsafe { OwnedFd::from_raw_fd(0) }
}
