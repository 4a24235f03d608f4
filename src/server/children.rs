//! The processes a parent has started, and those it will start again.

use super::control::Message;
use super::error::Error;
use crate::config::Limits;
use crate::sys::{message, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a role may have no room for what it must be told.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// A role that runs.
pub(super) struct Role {
    pub(super) child: Child,
    pub(super) channel: OwnedFd,
    pub(super) started: Instant,
}

impl Role {
    /// Starts a role and sends what it begins with.
    pub(super) fn start(
        name: &str,
        limits: &Limits,
        setup: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Role, Error> {
        let (child, channel) =
            spawn::spawn(name, limits.stack_octets).map_err(Error::system("starting a role"))?;
        rustix::io::ioctl_fionbio(&channel, true).ok();
        let role = Role {
            child,
            channel,
            started: Instant::now(),
        };
        role.try_send(setup, descriptors)
            .map_err(Error::system("setting a role up"))?;
        Ok(role)
    }

    /// Sends a message; a role that takes none is stuck or gone, and its end will be noticed.
    pub(super) fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> bool {
        let sent = self.try_send(message, descriptors);
        if let Err(error) = &sent {
            log::error!("process {} takes no message: {error}", self.child.id());
        }
        sent.is_ok()
    }

    /// Sends a message. Errors: `WouldBlock` if the role has too many to read, and see [`message::send`].
    pub(super) fn try_send(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        message::send(&self.channel, &message.encode(), descriptors)
    }

    /// Sends a message that must arrive, and waits a little for room. Errors: see [`message::send`].
    pub(super) fn send_surely(&self, message: &Message) -> io::Result<()> {
        let end = Instant::now() + SEND_PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.try_send(message, &[]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => {
                    let mut room = [PollFd::new(&self.channel, PollFlags::OUT)];
                    poll(&mut room, left.try_into().ok().as_ref()).ok();
                }
                sent => return sent,
            }
        }
    }

    /// What it has sent, at most so many messages; `true` if it is gone.
    pub(super) fn receive(
        &self,
        at_most: usize,
        each: &mut dyn FnMut(Message, Vec<OwnedFd>),
    ) -> bool {
        for _ in 0..at_most {
            match message::receive(self.channel.as_fd()) {
                Ok(Some((bytes, descriptors))) => match Message::decode(&bytes) {
                    Some(message) => each(message, descriptors),
                    None => log::error!("process {} sends nonsense", self.child.id()),
                },
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Ok(None) | Err(_) => return true,
            }
        }
        false
    }

    /// True once the process has ended and is buried.
    pub(super) fn ended(&mut self) -> bool {
        match self.child.try_wait() {
            Ok(None) => false,
            Ok(Some(status)) => {
                if !status.success() {
                    log::error!("process {} ended: {status}", self.child.id());
                }
                true
            }
            Err(_) => true,
        }
    }

    /// Kills and buries it; if it ended in another way before, the log says how.
    pub(super) fn kill(&mut self) {
        self.child.kill().ok();
        if let Ok(status) = self.child.wait()
            && status.signal() != Some(libc::SIGKILL)
            && !status.success()
        {
            log::error!("process {} ended: {status}", self.child.id());
        }
    }
}

/// When something that keeps failing is tried again.
#[derive(Debug)]
pub(super) struct BackOff {
    delay: Duration,
    until: Option<Instant>,
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// Whatever ran that long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);

impl Default for BackOff {
    fn default() -> BackOff {
        BackOff {
            delay: FIRST_DELAY,
            until: None,
        }
    }
}

impl BackOff {
    /// It failed after running since `started`.
    pub(super) fn failed(&mut self, started: Instant, now: Instant) {
        if now.saturating_duration_since(started) >= WELL_AFTER {
            self.delay = FIRST_DELAY;
        }
        self.until = Some(now + self.delay);
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }

    /// How long to wait still.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_are_forgotten() {
        let mut back_off = BackOff::default();
        let start = Instant::now();
        assert_eq!(back_off.wait(start), Duration::ZERO);
        for expected in [100, 200, 400] {
            back_off.failed(start, start);
            assert_eq!(back_off.wait(start), Duration::from_millis(expected));
        }
        for _ in 0..20 {
            back_off.failed(start, start);
        }
        assert_eq!(back_off.wait(start), LONGEST_DELAY);
        let later = start + WELL_AFTER;
        back_off.failed(start, later);
        assert_eq!(back_off.wait(later), FIRST_DELAY);
    }
}
