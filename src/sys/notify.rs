//! Telling systemd how it goes (`sd_notify(3)`).

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Whoever wants to know, if anybody does.
#[derive(Debug)]
pub(crate) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often a sign of life is due, and when the next one.
    watchdog: Option<(Duration, Instant)>,
}

impl Notifier {
    /// As the environment says. Signs of life are due in half of the time after which the watchdog bites.
    pub(crate) fn from_environment() -> Notifier {
        let to = std::env::var_os("NOTIFY_SOCKET").and_then(open);
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let own = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|time| own && *time > 0 && to.is_some());
        let watchdog = watchdog.map(|time| (Duration::from_micros(time / 2), Instant::now()));
        Notifier { to, watchdog }
    }

    /// Connections are accepted; also after `reloading`.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Serving");
    }

    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::try_from(now).unwrap_or_default().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// How long until a sign of life is due; `None`: never.
    pub(crate) fn due(&self, now: Instant) -> Option<Duration> {
        let (_, next) = self.watchdog?;
        Some(next.saturating_duration_since(now))
    }

    /// Gives one if it is due.
    pub(crate) fn alive(&mut self, now: Instant) {
        if let Some((every, next)) = self.watchdog.as_mut()
            && *next <= now
        {
            *next = now + *every;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.to {
            // Nobody waits for it here.
            socket.send_to_addr(state.as_bytes(), address).ok();
        }
    }
}

/// A path, or `@` and a name that is in no file system.
fn open(name: OsString) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name).ok()?,
        _ => SocketAddr::from_pathname(&name).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address))
}
