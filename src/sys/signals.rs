//! Signals as something to be read.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What somebody wants of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGCHLD: a child ended.
    Child,
}

/// The signals above, blocked and waiting to be read.
#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

const ALL: [(i32, Signal); 4] = [
    (libc::SIGTERM, Signal::Stop),
    (libc::SIGINT, Signal::Stop),
    (libc::SIGHUP, Signal::Reload),
    (libc::SIGCHLD, Signal::Child),
];

fn set() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for (number, _) in ALL {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}

impl Signals {
    /// Takes the signals of this process; call before any thread is made.
    pub(crate) fn take() -> io::Result<Signals> {
        let set = set();
        // SAFETY: the set is initialised; the descriptor is new and owned by nobody else.
        let descriptor = unsafe {
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: see above.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// The next one that waits.
    pub(crate) fn next(&self) -> Option<Signal> {
        let mut one = std::mem::MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is as large as said; a signalfd gives whole records only.
        let read = unsafe { libc::read(self.0.as_raw_fd(), one.as_mut_ptr().cast(), size) };
        if usize::try_from(read) != Ok(size) {
            return None;
        }
        // SAFETY: zeroed before and filled now.
        let number = unsafe { one.assume_init() }.ssi_signo;
        ALL.iter()
            .find(|(own, _)| u32::try_from(*own) == Ok(number))
            .map(|(_, signal)| *signal)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives signals back their default: for a child of a process that took them.
pub(crate) fn release() {
    let set = set();
    // SAFETY: the set is initialised.
    unsafe {
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// A role leaves the terminal's Ctrl-C, and what systemd and `kill -- -GROUP` send to all processes at
/// once, to its parent, who tells it in order.
pub(crate) fn leave_to_parent() {
    // SAFETY: ignoring a signal touches no memory.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
}
