//! The role that starts the others: it binds, spawns, matches verdicts with connections, and parses
//! nothing from the network. One thread, no waiting but for all at once.

mod from_auth;
mod from_control;
mod from_front;
mod roles;

use super::children::{BackOff, Role};
use super::control::{Message, Owner};
use super::engines::Engines;
use super::error::Error;
use super::grants::Grants;
use super::layout::{self, Identities};
use super::listeners::Listeners;
use super::owners::Owners;
use super::quiet::Quiet;
use super::uses::Uses;
use super::{alone, certificate, logging, request, role};
use crate::config::Config;
use crate::sys::activation::Passed;
use crate::sys::notify::Notifier;
use crate::sys::signals::{Signal, Signals};
use crate::sys::{confine, limits, spawn, stderr};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a person is told once the server runs.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// SHA-256 of the default certificate.
    pub(crate) fingerprint: String,
    /// The certificate was made now.
    pub(crate) new_certificate: bool,
}

/// How long a verdict waits for its connection.
const GRANT_PATIENCE: Duration = Duration::from_secs(60);
/// How long roles may take to end in order.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Who has something to say.
struct Ready {
    signals: bool,
    control: bool,
    front: bool,
    auth: bool,
    engines: Vec<String>,
}

/// Whom a connection may become.
struct Login {
    owner: Owner,
    /// It may change nothing.
    reads: bool,
    until: Instant,
}

struct Parent {
    config: Rc<Config>,
    identities: Identities,
    /// For `auth`.
    seed: [u8; layout::SEED],
    listeners: Listeners,
    notifier: Notifier,
    control: UnixListener,
    front: Option<Role>,
    auth: Option<Role>,
    front_back_off: BackOff,
    auth_back_off: BackOff,
    generation: u32,
    /// When a password was stored anew.
    rehashed: Option<Instant>,
    /// There was a users file.
    users_seen: bool,
    engines: Engines,
    logins: HashMap<u64, Login>,
    grants: Grants,
    uses: Uses,
    /// Who vouches for clients' certificates.
    authorities: Option<Message>,
}

/// Runs a server until it is told to stop. `started` is called once it accepts connections.
pub(crate) fn run(config: Config, started: impl FnOnce(&Started)) -> Result<(), Error> {
    // Before anything is opened that could have one of their numbers.
    let passed = Passed::take();
    limits::open_files(u64::from(config.limits.max_connections) * 2 + 200);
    spawn::keep_descriptors();
    confine::keep_few_rights().map_err(Error::system("giving up rights"))?;
    stderr::never_wait();
    logging::start(config.log.level);
    role::log_missing();
    let identities = Identities::find(&config)?;
    layout::prepare(&config, &identities)?;
    // Whoever waits for that can be stopped.
    let _lock = alone::lock(&config)?;
    let signals = Signals::take().map_err(Error::system("taking signals"))?;
    let config = Rc::new(config);
    let seed = layout::seed(&config)?;
    let owners = Owners::begin(&config, &identities)?;
    let new_certificate = !certificate::files(&config).0.exists();
    let certificates = certificate::load(&config)?;
    let listeners = Listeners::open(&config, passed)?;
    let control = layout::unix(&config.data_dir.join(request::SOCKET), 0o600)?;
    let mut parent = Parent {
        control: UnixListener::from(control),
        identities,
        seed,
        listeners,
        notifier: Notifier::from_environment(),
        front: None,
        auth: None,
        front_back_off: BackOff::default(),
        auth_back_off: BackOff::default(),
        generation: 0,
        rehashed: None,
        users_seen: false,
        engines: Engines::new(&config, owners),
        logins: HashMap::new(),
        grants: Grants::new(config.limits.max_recipients),
        uses: Uses::default(),
        authorities: roles::authorities(&config)?,
        config,
    };
    parent.control.set_nonblocking(true).ok();
    parent.start_auth()?;
    parent.start_front(&certificates)?;
    parent.engines.begin();
    started(&Started {
        fingerprint: certificate::fingerprint(&certificates),
        new_certificate,
    });
    parent.notifier.ready();
    parent.serve(&signals);
    parent.notifier.stopping();
    parent.note_uses(Instant::now());
    parent.stop();
    Ok(())
}

impl Parent {
    /// Until told to stop.
    fn serve(&mut self, signals: &Signals) {
        let mut quiet = Quiet::default();
        loop {
            let ready = self.wait(signals, &mut quiet);
            while ready.signals
                && let Some(signal) = signals.next()
            {
                match signal {
                    Signal::Stop => return,
                    Signal::Reload => {
                        self.notifier.reloading();
                        self.reload();
                        self.notifier.ready();
                    }
                    Signal::Child => {}
                }
            }
            // What auth said comes before what front asks for.
            if ready.auth {
                self.hear_auth();
            }
            if ready.front {
                self.hear_front();
            }
            self.engines.hear(&ready.engines);
            if ready.control {
                self.hear_control();
            }
            self.revive();
            self.release();
            self.notifier.alive(Instant::now());
        }
    }

    /// Waits for a message, a signal, or the time to start something again.
    fn wait(&self, signals: &Signals, quiet: &mut Quiet) -> Ready {
        let now = Instant::now();
        let mut timeout: Option<Duration> = None;
        let mut until = |wait: Duration| {
            timeout = Some(timeout.map_or(wait, |t: Duration| t.min(wait)));
        };
        if self.front.is_none() {
            until(self.front_back_off.wait(now));
        }
        if self.auth.is_none() {
            until(self.auth_back_off.wait(now));
        }
        self.engines.deadlines(now).for_each(&mut until);
        self.uses.wait(now).into_iter().for_each(&mut until);
        self.notifier.due(now).into_iter().for_each(&mut until);
        if !self.logins.is_empty() || !self.grants.is_empty() {
            until(GRANT_PATIENCE);
        }
        let front = self.front.as_ref().map(|role| role.channel.as_fd());
        let auth = self.auth.as_ref().map(|role| role.channel.as_fd());
        // What does not run stands as the signals, so that places stay the same.
        let first = [
            signals.as_fd(),
            self.control.as_fd(),
            front.unwrap_or(signals.as_fd()),
            auth.unwrap_or(signals.as_fd()),
        ];
        // Whoever is owed something is asked for room.
        let flags = |owed: bool| match owed {
            true => PollFlags::IN | PollFlags::OUT,
            false => PollFlags::IN,
        };
        let mut names = Vec::new();
        let mut polled: Vec<PollFd<'_>> = first
            .into_iter()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if let (Some(front), Some(polled)) = (front, polled.get_mut(2)) {
            *polled = PollFd::from_borrowed_fd(front, flags(!self.engines.released.is_empty()));
        }
        for (name, channel, owed) in self.engines.heard() {
            names.push(name);
            polled.push(PollFd::new(channel, flags(owed)));
        }
        // What auth says is needed when front asks for it: until there is a pause it wakes nobody.
        let mut from_auth = PollFlags::empty();
        quiet.wait(timeout, |time| {
            if let (Some(auth), Some(polled)) = (auth, polled.get_mut(3)) {
                *polled = PollFd::from_borrowed_fd(auth, from_auth);
            }
            from_auth = PollFlags::IN;
            let rounded = time.and_then(|t| (t + Duration::from_millis(1)).try_into().ok());
            poll(&mut polled, rounded.as_ref()).unwrap_or(1) > 0
        });
        let silent = polled.iter().all(|fd| fd.revents().is_empty());
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let mut next = || ready.next().unwrap_or(false);
        Ready {
            signals: next(),
            control: next(),
            front: next() && front.is_some(),
            auth: (next() || silent) && auth.is_some(),
            engines: names.into_iter().filter(|_| next()).cloned().collect(),
        }
    }

    /// Starts what has ended, once its back-off is over, and forgets what nobody came for.
    fn revive(&mut self) {
        let now = Instant::now();
        if self.auth.is_none()
            && self.auth_back_off.wait(now).is_zero()
            && let Err(error) = self.start_auth()
        {
            log::error!("{error}");
            self.auth_back_off.failed(now, now);
        }
        if self.front.is_none() && self.front_back_off.wait(now).is_zero() {
            let started = certificate::load(&self.config).and_then(|all| self.start_front(&all));
            if let Err(error) = started {
                log::error!("{error}");
                self.front_back_off.failed(now, now);
            }
        }
        self.engines.revive(now);
        self.logins.retain(|_, login| login.until > now);
        self.grants.expire(now);
        if self.uses.wait(now).is_some_and(|wait| wait.is_zero()) {
            self.note_uses(now);
        }
    }

    /// Tells every role to end, waits, and kills what does not.
    fn stop(&mut self) {
        log::info!("stopping");
        let mut roles: Vec<Role> = Vec::new();
        roles.extend(self.front.take());
        roles.extend(self.engines.take_all());
        for role in &roles {
            role.send(&Message::Stop, &[]);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while !roles.is_empty() && Instant::now() < deadline {
            roles.retain_mut(|role| !role.ended());
            if !roles.is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some(auth) = self.auth.take() {
            roles.push(auth);
        }
        roles.iter_mut().for_each(Role::kill);
        for path in &self.listeners.files {
            std::fs::remove_file(path).ok();
        }
        std::fs::remove_file(self.config.data_dir.join(request::SOCKET)).ok();
    }
}

/// The role if it is not gone; else its end is waited for and noted.
fn still(mut role: Role, gone: bool, name: &str, back_off: &mut BackOff) -> Option<Role> {
    if !gone {
        return Some(role);
    }
    log::error!("{name} is gone and will be started again");
    back_off.failed(role.started, Instant::now());
    role.kill();
    None
}
