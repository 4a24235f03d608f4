//! The role that starts the others: it binds, spawns, matches verdicts with connections, and parses
//! nothing from the network. One thread, no waiting but for all at once.

use super::children::{BackOff, Role};
use super::control::{Addressee, Certificate, Message, Owner};
use super::engines::{Engines, Request};
use super::error::Error;
use super::grants::{Grant, Grants};
use super::layout::{self, Identities};
use super::listeners::Listeners;
use super::owners::Owners;
use super::quiet::Quiet;
use super::request::{self, Asked};
use super::setup::{self, Setup};
use super::uses::{self, Uses};
use super::{alone, certificate, logging, refusal, role, users_file};
use crate::auth;
use crate::config::{Config, UserSource};
use crate::mailbox::Care;
use crate::sys::activation::Passed;
use crate::sys::notify::Notifier;
use crate::sys::signals::{Signal, Signals};
use crate::sys::{confine, limits, message, spawn, stderr};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
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
/// Verdicts that wait at once.
const MAX_LOGINS: usize = 20_000;
/// Messages of `front` that are heard before others are.
const MAX_MESSAGES: usize = 64;
/// Messages of `auth`, which have to be heard before those of `front` that rest on them.
const MAX_FROM_AUTH: usize = 10_000;
/// How long the parent does other things before it stores a password again.
const REHASH_PAUSE: Duration = Duration::from_secs(1);
/// Connections in one message.
const MAX_RELEASED: usize = 4096;
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
        authorities: authorities(&config)?,
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
    fn jail(&self) -> Option<PathBuf> {
        Some(self.config.data_dir.join("run/empty"))
    }

    /// Starts `auth` with a channel to `front`, if that runs.
    fn start_auth(&mut self) -> Result<(), Error> {
        let (to_auth, to_front) = message::channel().map_err(Error::system("making a channel"))?;
        let setup = Setup {
            identity: self.identities.auth,
            jail: self.jail(),
            data_dir: self.config.data_dir.clone(),
            storage: setup::templates(&self.config.storage),
            seed: self.seed.to_vec(),
            ..Setup::of(&self.config)
        };
        let setup = Message::Setup(Box::new(setup));
        let role = Role::start("auth", &self.config.limits, &setup, &[to_front.as_fd()])?;
        if let Some(authorities) = &self.authorities {
            role.send(authorities, &[]);
        }
        self.auth = Some(role);
        self.send_users();
        if let Some(front) = &self.front {
            front.send(&Message::NewPeer, &[to_auth.as_fd()]);
        }
        Ok(())
    }

    /// Starts `front` with the listeners and a new channel to `auth`.
    fn start_front(&mut self, certificates: &[Certificate]) -> Result<(), Error> {
        let (to_auth, to_front) = message::channel().map_err(Error::system("making a channel"))?;
        self.generation += 1;
        let setup = Setup {
            identity: self.identities.front,
            jail: self.jail(),
            generation: self.generation,
            listeners: self
                .listeners
                .all
                .iter()
                .map(|(_, served)| *served)
                .collect(),
            ..Setup::of(&self.config)
        };
        let setup = Message::Setup(Box::new(setup));
        let mut descriptors = vec![to_auth.as_fd()];
        descriptors.extend(self.listeners.all.iter().map(|(socket, _)| socket.as_fd()));
        let role = Role::start("front", &self.config.limits, &setup, &descriptors)?;
        if let Some(authorities) = &self.authorities {
            role.send(authorities, &[]);
        }
        send_certificates(&role, certificates)?;
        self.front = Some(role);
        // Its predecessor's places are gone with it.
        self.engines.released.clear();
        if let Some(auth) = &self.auth {
            auth.send(&Message::NewPeer, &[to_front.as_fd()]);
        }
        Ok(())
    }

    /// Opens the users files, which `auth` may not, and gives them to it. If one of them cannot be opened,
    /// `auth` keeps those it has: without them their mail would be sent back.
    fn send_users(&mut self) {
        let Some(auth) = &self.auth else {
            return;
        };
        // The one that nobody has configured is made by the first `dovelet user add`.
        let own = UserSource::default_in(&self.config.data_dir);
        let (mut files, mut names) = (Vec::new(), Vec::new());
        for UserSource::File(path) in &self.config.users {
            match layout::open(path) {
                Ok(file) => {
                    files.push(file);
                    names.push(path.clone());
                }
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound
                        && !self.users_seen
                        && UserSource::File(path.clone()) == own =>
                {
                    log::warn!(
                        "there is no users file {}: nobody can log in",
                        path.display()
                    );
                }
                Err(error) => {
                    log::error!(
                        "users file {}: {error}; the users stay as they were",
                        path.display()
                    );
                    return;
                }
            }
        }
        self.users_seen |= !files.is_empty();
        let aliases = self.aliases();
        let message = Message::Users {
            files: names,
            aliases: aliases.is_some(),
        };
        files.extend(aliases);
        let descriptors: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        auth.send(&message, &descriptors);
        self.send_app_passwords(auth);
        self.grants.revoke();
        if let Some(front) = &self.front {
            let message = Message::Users {
                files: Vec::new(),
                aliases: false,
            };
            front.send(&message, &[]);
        }
    }

    /// Unless they cannot be opened: then they stay as they were.
    fn send_app_passwords(&self, auth: &Role) {
        let path = uses::app_passwords(&self.config.data_dir);
        match layout::open(&path) {
            Ok(file) => {
                auth.send(&Message::AppPasswords, &[file.as_fd()]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                auth.send(&Message::AppPasswords, &[]);
            }
            Err(error) => log::error!("{}: {error}; they stay as they were", path.display()),
        }
    }

    /// The file of aliases, if there is one.
    fn aliases(&self) -> Option<File> {
        let path = self.config.postfix.aliases.as_ref()?;
        let opened = layout::open(path).inspect_err(|error| {
            log::error!(
                "aliases {}: {error}; they stay as they were",
                path.display()
            );
        });
        opened.ok()
    }

    fn reload(&mut self) {
        log::info!("reading users and certificates again; other settings need a restart");
        self.engines.owners.look_again();
        self.send_users();
        match authorities(&self.config) {
            Ok(authorities) => self.authorities = authorities,
            Err(error) => log::error!("{error}; it stays as it was"),
        }
        if let Some(authorities) = &self.authorities {
            for role in [&self.auth, &self.front].into_iter().flatten() {
                role.send(authorities, &[]);
            }
        }
        match certificate::load(&self.config) {
            Ok(certificates) => {
                if let Some(front) = &self.front {
                    send_certificates(front, &certificates)
                        .unwrap_or_else(|error| log::error!("{error}; TLS stays as it was"));
                }
            }
            Err(error) => log::error!("the certificates stay as they were: {error}"),
        }
    }

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

    fn note_uses(&mut self, now: Instant) {
        let path = uses::app_passwords(&self.config.data_dir);
        self.uses.write(&path, now);
    }

    fn hear_auth(&mut self) {
        let Some(auth) = self.auth.take() else {
            return;
        };
        let mut renewals = Vec::new();
        let gone = auth.receive(MAX_FROM_AUTH, &mut |message, _| match message {
            Message::Login {
                connection,
                owner,
                reads,
            } if self.logins.len() < MAX_LOGINS => {
                let until = Instant::now() + GRANT_PATIENCE;
                let login = Login {
                    owner,
                    reads,
                    until,
                };
                self.logins.insert(connection, login);
            }
            Message::AppPasswordUsed { user, id } => self.uses.add(user, id, Instant::now()),
            Message::Rehash { user, mark, hash } => renewals.push((user, mark, hash)),
            Message::Grant {
                connection,
                ticket,
                owner,
                address,
                detail,
            } => {
                let grant = Grant {
                    owner,
                    address,
                    detail,
                };
                if !self.grants.add(connection, ticket, grant, Instant::now()) {
                    log::error!("too many recipients wait for their messages");
                }
            }
            _ => log::error!("auth sent what it should not"),
        });
        self.auth = still(auth, gone, "auth", &mut self.auth_back_off);
        for (user, mark, hash) in renewals {
            self.rehash(&user, mark, &hash);
        }
    }

    /// Stores a password anew, unless it was changed, somebody else changes the file now, or that was done a
    /// moment ago: then it is done at the next login. `auth` can only have what is stored for a user replaced that
    /// it knows already.
    fn rehash(&mut self, user: &str, mark: u64, hash: &str) {
        let now = Instant::now();
        let early = self.rehashed.is_some_and(|last| now < last + REHASH_PAUSE);
        if early || !self.config.auth.rehash {
            return;
        }
        self.rehashed = Some(now);
        for UserSource::File(path) in &self.config.users {
            let renewed = users_file::edit_now(path, |text| auth::renew(text, user, mark, hash));
            match renewed {
                Ok(true) => {
                    log::info!("the password of {user} is stored as the settings have it now");
                    return self.send_users();
                }
                Ok(false) => {}
                Err(error) => {
                    let path = path.display();
                    log::warn!("the password of {user} stays stored as it was in {path}: {error}");
                }
            }
        }
    }

    fn hear_front(&mut self) {
        let Some(front) = self.front.take() else {
            return;
        };
        let gone = front.receive(MAX_MESSAGES, &mut |message, mut descriptors| {
            // Its verdict was sent before front was told.
            self.hear_auth();
            match message {
                Message::Handover { connection, bytes } => {
                    let given = descriptors
                        .pop()
                        .is_some_and(|descriptor| self.handover(connection, bytes, descriptor));
                    if !given {
                        self.engines.released.push(connection);
                    }
                }
                Message::Transaction {
                    connection,
                    tickets,
                } => match descriptors.pop() {
                    Some(stream) => self.single(connection, &tickets, stream),
                    None => self.transaction(&front, connection, &tickets),
                },
                Message::Closed { connection, last } => self.grants.close(connection, last),
                _ => log::error!("front sent what it should not"),
            }
        });
        self.front = still(front, gone, "front", &mut self.front_back_off);
    }

    fn handover(&mut self, connection: u64, bytes: Vec<u8>, descriptor: OwnedFd) -> bool {
        let Some(Login { owner, reads, .. }) = self.logins.remove(&connection) else {
            log::error!("front handed over connection {connection}, which is not logged in");
            return false;
        };
        let Some(location) = self.engines.ready(&owner) else {
            refusal::tell(&descriptor, refusal::without_engine(&bytes));
            return false;
        };
        let message = Message::Session {
            connection,
            user: owner.name.clone(),
            location,
            reads,
            bytes,
        };
        let request = Request {
            message,
            descriptor,
            connection: Some(connection),
        };
        self.engines.request(&owner, request)
    }

    /// Whom a ticket stands for.
    fn addressee(&mut self, connection: u64, ticket: u32) -> Option<(Owner, Addressee)> {
        let Some(grant) = self.grants.take(connection, ticket) else {
            log::error!("front delivers to a recipient that was not granted");
            return None;
        };
        let location = self.engines.ready(&grant.owner)?;
        let addressee = Addressee {
            user: grant.owner.name.clone(),
            location,
            address: grant.address,
            detail: grant.detail,
        };
        Some((grant.owner, addressee))
    }

    /// A message for one recipient: its engine gets the stream. Without one the stream ends, and so
    /// `front` knows.
    fn single(&mut self, connection: u64, tickets: &[u32], stream: OwnedFd) {
        let [ticket] = *tickets else {
            log::error!("front sent one stream for several recipients");
            return;
        };
        if let Some((owner, addressee)) = self.addressee(connection, ticket) {
            let request = Request {
                message: Message::Deliver {
                    addressees: vec![addressee],
                },
                descriptor: stream,
                connection: None,
            };
            self.engines.request(&owner, request);
        }
    }

    /// A stream to the engine of each recipient.
    fn transaction(&mut self, front: &Role, connection: u64, tickets: &[u32]) {
        let mut by_engine: Vec<(Owner, Vec<u32>, Vec<Addressee>)> = Vec::new();
        for ticket in tickets {
            let Some((owner, addressee)) = self.addressee(connection, *ticket) else {
                continue;
            };
            let key = self.engines.key(&owner);
            let found = by_engine.iter_mut().find(|(other, ..)| match key.as_str() {
                "" => true,
                name => other.name == name,
            });
            match found {
                Some((_, tickets, addressees)) => {
                    tickets.push(*ticket);
                    addressees.push(addressee);
                }
                None => by_engine.push((owner, vec![*ticket], vec![addressee])),
            }
        }
        let (mut groups, mut streams) = (Vec::new(), Vec::new());
        for (owner, tickets, addressees) in by_engine {
            let Ok((near, far)) = message::stream() else {
                continue;
            };
            let request = Request {
                message: Message::Deliver { addressees },
                descriptor: far,
                connection: None,
            };
            if self.engines.request(&owner, request) {
                groups.push(tickets);
                streams.push(near);
            }
        }
        let descriptors: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
        let count = groups.len().div_ceil(message::MAX_DESCRIPTORS).max(1);
        let mut groups = groups.chunks(message::MAX_DESCRIPTORS);
        let mut descriptors = descriptors.chunks(message::MAX_DESCRIPTORS);
        for piece in 1..=count {
            let message = Message::Groups {
                connection,
                last: piece == count,
                groups: groups.next().unwrap_or_default().to_vec(),
            };
            front.send(&message, descriptors.next().unwrap_or_default());
        }
    }

    /// Tells `front` whose places are free; what it has no room for now it is told later.
    fn release(&mut self) {
        while let Some(front) = self
            .front
            .as_ref()
            .filter(|_| !self.engines.released.is_empty())
        {
            let count = self.engines.released.len().min(MAX_RELEASED);
            let connections = self.engines.released.iter().take(count).copied().collect();
            match front.try_send(&Message::Released { connections }, &[]) {
                Ok(()) => drop(self.engines.released.drain(..count)),
                // Full; or gone, which is noticed elsewhere.
                Err(_) => return,
            }
        }
    }

    /// What the command line asks.
    fn hear_control(&mut self) {
        while let Ok((mut stream, _)) = self.control.accept() {
            match request::receive(&mut stream) {
                Some(Asked::Reload) => {
                    self.reload();
                    stream.write_all(b"ok\n").ok();
                }
                Some(Asked::Care { owner, care }) => self.care(&owner, care, stream),
                Some(Asked::Visit { owner }) => self.visit(&owner, stream),
                Some(Asked::Deliver {
                    owner,
                    address,
                    mailbox,
                }) => self.deliver(owner, address, mailbox, stream),
                None => drop(stream.write_all(b"failed what was asked is not understood\n")),
            }
        }
    }

    fn care(&mut self, owner: &Owner, care: Care, mut stream: UnixStream) {
        let Some(location) = self.engines.ready(owner) else {
            let answer = b"failed the server cannot use the directory of the mail; see its log\n";
            stream.write_all(answer).ok();
            return;
        };
        let message = Message::Care {
            user: owner.name.clone(),
            location,
            care,
        };
        let request = Request {
            message,
            descriptor: stream.into(),
            connection: None,
        };
        self.engines.request(owner, request);
    }

    /// Somebody at the command line reads and writes a user's mail: the engine gets the stream.
    fn visit(&mut self, owner: &Owner, mut stream: UnixStream) {
        let Some(location) = self.engines.ready(owner) else {
            return;
        };
        if stream.write_all(request::READY).is_err() {
            return;
        }
        let message = Message::Visit {
            user: owner.name.clone(),
            location,
        };
        let request = Request {
            message,
            descriptor: stream.into(),
            connection: None,
        };
        self.engines.request(owner, request);
    }

    /// A message of the command line: the engine gets the stream that it comes from. Without one the stream ends,
    /// and so whoever asked knows.
    fn deliver(
        &mut self,
        owner: Owner,
        address: String,
        mailbox: Option<String>,
        mut stream: UnixStream,
    ) {
        let Some(location) = self.engines.ready(&owner) else {
            return;
        };
        if stream.write_all(request::READY).is_err() {
            return;
        }
        stream.set_nonblocking(true).ok();
        let addressee = Addressee {
            user: owner.name.clone(),
            location,
            address: address.into_bytes(),
            detail: mailbox,
        };
        let request = Request {
            message: Message::Deliver {
                addressees: vec![addressee],
            },
            descriptor: stream.into(),
            connection: None,
        };
        self.engines.request(&owner, request);
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

/// What roles are told of those who vouch for clients' certificates.
fn authorities(config: &Config) -> Result<Option<Message>, Error> {
    let pem = certificate::authorities(config)?;
    let name = config.tls.client_name;
    Ok(pem.map(|pem| Message::Authorities { pem, name }))
}

/// One by one: all of them together may be more than a message holds.
fn send_certificates(front: &Role, all: &[Certificate]) -> Result<(), Error> {
    for (number, certificate) in all.iter().enumerate() {
        let message = Message::Certificate {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            last: number + 1 == all.len(),
            certificate: certificate.clone(),
        };
        front.send_surely(&message).map_err(|error| {
            let name = &certificate.name;
            Error::Tls(format!(
                "the certificate {name:?} cannot be given to front: {error}"
            ))
        })?;
    }
    Ok(())
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
