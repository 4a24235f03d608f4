//! Starting a role: this executable again, with one end of a channel as its standard input.

use super::message;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// Argument that makes the executable a role.
pub(crate) const ROLE: &str = "--role=";

/// Starts `role`; returns the child and our end of its channel. `threads`: how many may block at once.
pub(crate) fn spawn(role: &str, threads: u32, stack: usize) -> io::Result<(Child, OwnedFd)> {
    let (near, far) = message::channel()?;
    let child = Command::new("/proc/self/exe")
        .arg(format!("{ROLE}{role}"))
        .env_clear()
        .env("BLOCKING_MAX_THREADS", threads.max(1).to_string())
        .env("RUST_MIN_STACK", stack.to_string())
        .stdin(Stdio::from(far))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((child, near))
}

/// In a role: the channel to whoever started it. Only once.
pub(crate) fn inherited() -> OwnedFd {
    // SAFETY: descriptor 0 is the channel that `spawn` gave; the standard library never closes it
    // and nothing else in a role touches standard input.
    unsafe { OwnedFd::from_raw_fd(0) }
}
