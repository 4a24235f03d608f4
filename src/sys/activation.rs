//! Sockets that somebody bound before this process was started (`sd_listen_fds(3)` of systemd).

use rustix::net::{SocketAddrAny, getsockname, sockopt::socket_acceptconn};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first of them.
const FIRST: RawFd = 3;
/// More are not taken.
const MAX_SOCKETS: RawFd = 100;

/// Listening sockets with their names, until somebody takes them.
#[derive(Debug, Default)]
pub(crate) struct Passed(Vec<(String, OwnedFd)>);

impl Passed {
    /// Those of this process. Only once, before anything else is opened.
    pub(crate) fn take() -> Passed {
        let variable = |name: &str| std::env::var(name).ok();
        let number = |name: &str| variable(name)?.parse::<i64>().ok();
        if number("LISTEN_PID") != Some(i64::from(std::process::id())) {
            return Passed::default();
        }
        let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok());
        let count = count.unwrap_or(0).clamp(0, MAX_SOCKETS);
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = Passed::default();
        for number in FIRST..FIRST + count {
            let name = names.next().unwrap_or_default();
            // SAFETY: a question about a number, whatever it is.
            if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
                continue;
            }
            // SAFETY: whoever started this process says that the descriptor is for it, and nobody else here
            // has it: nothing was opened before.
            let socket = unsafe { OwnedFd::from_raw_fd(number) };
            if socket_acceptconn(&socket).unwrap_or(false) {
                passed.0.push((name, socket));
            } else {
                log::warn!("the socket {name:?} of systemd does not listen: Accept=no is needed");
            }
        }
        passed
    }

    /// All of that name.
    pub(crate) fn named(&mut self, wanted: &str) -> Vec<OwnedFd> {
        self.those(|name, _| name == wanted)
    }

    /// All with such an address.
    pub(crate) fn bound_to(&mut self, wanted: impl Fn(SocketAddrAny) -> bool) -> Vec<OwnedFd> {
        self.those(|_, socket| getsockname(socket).is_ok_and(&wanted))
    }

    fn those(&mut self, wanted: impl Fn(&str, &OwnedFd) -> bool) -> Vec<OwnedFd> {
        let taken = self.0.extract_if(.., |(name, socket)| wanted(name, socket));
        taken.map(|(_, socket)| socket).collect()
    }

    /// Names of those that nobody took.
    pub(crate) fn left(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}
