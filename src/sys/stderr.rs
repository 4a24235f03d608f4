//! Standard error of a process that must not wait for whoever reads it.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::stdio::{dup2_stderr, stderr};
use rustix::time::Timespec;

/// From now on a write to standard error fails where it would wait: for a pipe that nobody reads, or a
/// terminal that was stopped. Roles that are started later inherit it.
///
/// A pipe or terminal is opened anew for that, since the shell and others write to the same one and
/// expect to wait. What cannot be opened (a socket, a pipe of somebody else) was most likely made for
/// this server alone and is changed itself, but for a terminal: [`ready`] has to do there.
pub(crate) fn never_wait() {
    let Ok(kind) = fstat(stderr()).map(|stat| FileType::from_raw_mode(stat.st_mode)) else {
        return;
    };
    if !matches!(
        kind,
        FileType::Fifo | FileType::CharacterDevice | FileType::Socket
    ) {
        return;
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = open("/proc/self/fd/2", flags, Mode::empty());
    match opened.and_then(dup2_stderr) {
        Ok(()) => {}
        Err(_) if kind == FileType::CharacterDevice => {}
        Err(_) => {
            let flags = fcntl_getfl(stderr()).unwrap_or(OFlags::empty());
            fcntl_setfl(stderr(), flags | OFlags::NONBLOCK).ok();
        }
    }
}

/// Whether a line can be written now without waiting.
pub(crate) fn ready() -> bool {
    let mut room = [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)];
    poll(&mut room, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
