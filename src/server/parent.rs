//! The role that starts the others: it binds, spawns, matches verdicts with connections, and parses
//! nothing from the network. One thread, no waiting but for all at once.

use super::children::{BackOff, Role};
use super::control::{Addressee, Message, Owner, Served, Setup};
use super::error::Error;
use super::layout::{self, Identities};
use super::request::{self, Asked};
use super::{certificate, role};
use crate::config::{Address, Config, Isolation, ListenerTls, Protocol, UserSource};
use crate::sys::accounts::Identity;
use crate::sys::signals::{Signal, Signals};
use crate::sys::{confine, message, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
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
/// How long recipients wait for their message.
const RECIPIENT_PATIENCE: Duration = Duration::from_secs(600);
/// Grants that wait at once.
const MAX_GRANTS: usize = 20_000;
/// Requests that wait for an engine to start.
const MAX_QUEUED: usize = 1000;
/// How long roles may take to end in order.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// A request for an engine, with its descriptor.
struct Request {
    message: Message,
    descriptor: OwnedFd,
    /// The connection of a session.
    connection: Option<u64>,
}

/// The engine of a user, or of all.
#[derive(Default)]
struct Engine {
    role: Option<Role>,
    /// It was told to end, or its channel is closed: nothing is sent any more.
    ending: bool,
    queue: Vec<Request>,
    connections: Vec<u64>,
    back_off: BackOff,
    owner: Option<Owner>,
}

/// What `auth` granted to a connection.
struct Grant {
    owner: Owner,
    address: Vec<u8>,
    detail: Option<String>,
    until: Instant,
}

/// Who has something to say.
struct Ready {
    signals: bool,
    control: bool,
    front: bool,
    auth: bool,
    engines: Vec<String>,
}

struct Parent {
    config: Config,
    identities: Identities,
    listeners: Vec<(OwnedFd, Served)>,
    control: UnixListener,
    front: Option<Role>,
    auth: Option<Role>,
    front_back_off: BackOff,
    auth_back_off: BackOff,
    generation: u32,
    engines: HashMap<String, Engine>,
    logins: HashMap<u64, (Owner, Instant)>,
    grants: HashMap<(u64, u32), Grant>,
}

/// Runs a server until it is told to stop. `started` is called once it accepts connections.
pub(crate) fn run(config: Config, started: impl FnOnce(&Started)) -> Result<(), Error> {
    let signals = Signals::take().map_err(Error::system("taking signals"))?;
    spawn::keep_descriptors();
    confine::keep_few_rights().map_err(Error::system("giving up rights"))?;
    role::start_log(config.log.level as usize as u8);
    role::log_missing();
    let identities = Identities::find(&config);
    layout::prepare(&config, &identities)?;
    let _lock = layout::lock(&config)?;
    let new_certificate = !certificate::files(&config).0.exists();
    let certificates = certificate::load(&config)?;
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let socket = layout::listen(&listener.address)?;
        rustix::io::ioctl_fionbio(&socket, true).ok();
        let served = Served {
            lmtp: listener.protocol == Protocol::Lmtp,
            unix: matches!(listener.address, Address::Unix(_)),
            tls: match listener.tls {
                ListenerTls::None => 0,
                ListenerTls::Starttls => 1,
                ListenerTls::Implicit => 2,
            },
            proxy_protocol: listener.proxy_protocol,
        };
        listeners.push((socket, served));
    }
    let control = layout::unix(&config.data_dir.join(request::SOCKET), 0o600)?;
    let mut parent = Parent {
        control: UnixListener::from(control),
        identities,
        listeners,
        front: None,
        auth: None,
        front_back_off: BackOff::default(),
        auth_back_off: BackOff::default(),
        generation: 0,
        engines: HashMap::new(),
        logins: HashMap::new(),
        grants: HashMap::new(),
        config,
    };
    parent.control.set_nonblocking(true).ok();
    parent.start_auth()?;
    parent.start_front(&Message::Certificates(certificates.clone()))?;
    if parent.config.isolation == Isolation::Shared {
        parent.engine_for("");
    }
    started(&Started {
        fingerprint: certificate::fingerprint(&certificates),
        new_certificate,
    });
    crate::sys::memory::give_back_code();
    parent.serve(&signals);
    parent.stop();
    Ok(())
}

impl Parent {
    fn setup(&self) -> Setup {
        Setup {
            hostname: self.config.hostname.clone(),
            log_level: self.config.log.level as usize as u8,
            limits: self.config.limits.clone(),
            ..Setup::default()
        }
    }

    fn jail(&self) -> Option<PathBuf> {
        Some(self.config.data_dir.join("run/empty"))
    }

    /// Starts `auth` with a channel to `front`, if that runs.
    fn start_auth(&mut self) -> Result<(), Error> {
        let (to_auth, to_front) = message::channel().map_err(Error::system("making a channel"))?;
        let setup = Setup {
            identity: self.identities.auth,
            jail: self.jail(),
            ..self.setup()
        };
        let setup = Message::Setup(Box::new(setup));
        let role = Role::start("auth", &self.config.limits, &setup, &[to_front.as_fd()])?;
        self.auth = Some(role);
        self.send_users();
        if let Some(front) = &self.front {
            front.send(&Message::NewPeer, &[to_auth.as_fd()]);
        }
        Ok(())
    }

    /// Starts `front` with the listeners and a new channel to `auth`.
    fn start_front(&mut self, certificates: &Message) -> Result<(), Error> {
        let (to_auth, to_front) = message::channel().map_err(Error::system("making a channel"))?;
        self.generation += 1;
        let setup = Setup {
            identity: self.identities.front,
            jail: self.jail(),
            generation: self.generation,
            listeners: self.listeners.iter().map(|(_, served)| *served).collect(),
            ..self.setup()
        };
        let setup = Message::Setup(Box::new(setup));
        let mut descriptors = vec![to_auth.as_fd()];
        descriptors.extend(self.listeners.iter().map(|(socket, _)| socket.as_fd()));
        let role = Role::start("front", &self.config.limits, &setup, &descriptors)?;
        role.send(certificates, &[]);
        self.front = Some(role);
        if let Some(auth) = &self.auth {
            auth.send(&Message::NewPeer, &[to_front.as_fd()]);
        }
        Ok(())
    }

    /// Opens the users files, which `auth` may not, and gives them to it.
    fn send_users(&self) {
        let Some(auth) = &self.auth else {
            return;
        };
        let mut files = Vec::new();
        for UserSource::File(path) in &self.config.users {
            match File::open(path) {
                Ok(file) => files.push(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    log::warn!(
                        "there is no users file {}: nobody can log in",
                        path.display()
                    );
                }
                Err(error) => log::error!("users file {}: {error}", path.display()),
            }
        }
        let descriptors: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        auth.send(&Message::Users, &descriptors);
    }

    fn reload(&self) {
        log::info!("reading users and certificates again; other settings need a restart");
        self.send_users();
        match certificate::load(&self.config) {
            Ok(certificates) => {
                if let Some(front) = &self.front {
                    front.send(&Message::Certificates(certificates), &[]);
                }
            }
            Err(error) => log::error!("the certificates stay as they were: {error}"),
        }
    }

    /// Until told to stop.
    fn serve(&mut self, signals: &Signals) {
        loop {
            let ready = self.wait(signals);
            while ready.signals
                && let Some(signal) = signals.next()
            {
                match signal {
                    Signal::Stop => return,
                    Signal::Reload => self.reload(),
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
            self.hear_engines(&ready.engines);
            if ready.control {
                self.hear_control();
            }
            self.revive();
        }
    }

    /// Waits for a message, a signal, or the time to start something again.
    fn wait(&self, signals: &Signals) -> Ready {
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
        for engine in self.engines.values() {
            if engine.role.is_none() && !engine.queue.is_empty() {
                until(engine.back_off.wait(now));
            }
        }
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
        let engines = self.engines.iter().filter(|(_, engine)| !engine.ending);
        let engines = engines.filter_map(|(name, engine)| Some((name, engine.role.as_ref()?)));
        let mut names = Vec::new();
        let mut polled: Vec<PollFd<'_>> = first
            .into_iter()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        for (name, role) in engines {
            names.push(name);
            polled.push(PollFd::new(&role.channel, PollFlags::IN));
        }
        let timeout = timeout.and_then(|t| (t + Duration::from_millis(1)).try_into().ok());
        poll(&mut polled, timeout.as_ref()).ok();
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let mut next = || ready.next().unwrap_or(false);
        Ready {
            signals: next(),
            control: next(),
            front: next() && front.is_some(),
            auth: next() && auth.is_some(),
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
            let started = certificate::load(&self.config)
                .and_then(|all| self.start_front(&Message::Certificates(all)));
            if let Err(error) = started {
                log::error!("{error}");
                self.front_back_off.failed(now, now);
            }
        }
        let names: Vec<String> = self.engines.keys().cloned().collect();
        for name in names {
            self.tend(&name, now);
        }
        self.logins.retain(|_, (_, until)| *until > now);
        self.grants.retain(|_, grant| grant.until > now);
    }

    /// Buries an engine that has ended; starts it if somebody waits.
    fn tend(&mut self, name: &str, now: Instant) {
        let Some(engine) = self.engines.get_mut(name) else {
            return;
        };
        if engine.ending && engine.role.as_mut().is_none_or(Role::ended) {
            engine.role = None;
            engine.ending = false;
        }
        if engine.role.is_some() {
            return;
        }
        if engine.queue.is_empty() {
            if self.config.isolation == Isolation::User && engine.back_off.wait(now).is_zero() {
                self.engines.remove(name);
            }
        } else if engine.back_off.wait(now).is_zero() {
            self.start_engine(name);
        }
    }

    fn hear_auth(&mut self) {
        let Some(auth) = self.auth.take() else {
            return;
        };
        let gone = auth.receive(&mut |message, _| match message {
            Message::Login { connection, owner } if self.logins.len() < MAX_GRANTS => {
                let until = Instant::now() + GRANT_PATIENCE;
                self.logins.insert(connection, (owner, until));
            }
            Message::Grant {
                connection,
                ticket,
                owner,
                address,
                detail,
            } if self.grants.len() < MAX_GRANTS => {
                let grant = Grant {
                    owner,
                    address,
                    detail,
                    until: Instant::now() + RECIPIENT_PATIENCE,
                };
                self.grants.insert((connection, ticket), grant);
            }
            _ => log::error!("auth sent what it should not"),
        });
        self.auth = still(auth, gone, "auth", &mut self.auth_back_off);
    }

    fn hear_front(&mut self) {
        let Some(front) = self.front.take() else {
            return;
        };
        let gone = front.receive(&mut |message, mut descriptors| {
            // Its verdict was sent before front was told.
            self.hear_auth();
            match message {
                Message::Handover { connection, bytes } => {
                    let given = descriptors
                        .pop()
                        .is_some_and(|descriptor| self.handover(connection, bytes, descriptor));
                    if !given {
                        front.send(&Message::Released { connection }, &[]);
                    }
                }
                Message::Transaction {
                    connection,
                    tickets,
                } => match descriptors.pop() {
                    Some(stream) => self.single(connection, &tickets, stream),
                    None => self.transaction(&front, connection, &tickets),
                },
                _ => log::error!("front sent what it should not"),
            }
        });
        self.front = still(front, gone, "front", &mut self.front_back_off);
    }

    /// Where the mail of a user is.
    fn root(&self, owner: &Owner) -> PathBuf {
        let home = owner.home.as_deref();
        self.config
            .storage
            .root(&self.config.data_dir, &owner.name, home)
    }

    /// The engine that a user's mail belongs to.
    fn key(&self, owner: &Owner) -> String {
        match self.config.isolation {
            Isolation::User => owner.name.clone(),
            Isolation::Shared => String::new(),
        }
    }

    /// Whom the engine of this user runs as.
    fn identity(&self, owner: Option<&Owner>) -> Option<Identity> {
        let default = self.identities.engine?;
        let own = owner.filter(|_| self.config.isolation == Isolation::User);
        let uid = own.and_then(|owner| owner.uid).filter(|uid| *uid != 0);
        Some(match uid {
            Some(uid) => Identity {
                uid,
                gid: own.and_then(|owner| owner.gid).unwrap_or(default.gid),
            },
            None => default,
        })
    }

    fn handover(&mut self, connection: u64, bytes: Vec<u8>, descriptor: OwnedFd) -> bool {
        let Some((owner, _)) = self.logins.remove(&connection) else {
            log::error!("front handed over connection {connection}, which is not logged in");
            return false;
        };
        let message = Message::Session {
            connection,
            user: owner.name.clone(),
            root: self.root(&owner),
            bytes,
        };
        let request = Request {
            message,
            descriptor,
            connection: Some(connection),
        };
        self.request(&owner, request)
    }

    /// Gives a request to the engine of this user, which is started if need be.
    fn request(&mut self, owner: &Owner, request: Request) -> bool {
        let root = self.root(owner);
        if let Err(error) =
            layout::directory(&self.config, &root, 0o700, self.identity(Some(owner)))
        {
            log::error!("{error}");
            return false;
        }
        let key = self.key(owner);
        let engine = self.engines.entry(key.clone()).or_default();
        engine.owner = Some(owner.clone());
        if engine.queue.len() >= MAX_QUEUED {
            log::error!("too many wait for the engine of {}", owner.name);
            return false;
        }
        engine.queue.push(request);
        self.engine_for(&key);
        true
    }

    /// Sends an engine what waits for it; starts it if it does not run.
    fn engine_for(&mut self, key: &str) {
        let engine = self.engines.entry(key.to_owned()).or_default();
        match &engine.role {
            Some(role) if !engine.ending => {
                for request in engine.queue.drain(..) {
                    if role.send(&request.message, &[request.descriptor.as_fd()]) {
                        engine.connections.extend(request.connection);
                    }
                }
            }
            Some(_) => {}
            None if engine.back_off.wait(Instant::now()).is_zero() => self.start_engine(key),
            None => {}
        }
    }

    fn start_engine(&mut self, key: &str) {
        let owner = self
            .engines
            .get(key)
            .and_then(|engine| engine.owner.clone());
        let name = owner.as_ref().map_or(key, |owner| &owner.name);
        let identity = self.identity(owner.as_ref());
        let index = self.config.index_directory(name);
        let single = self.config.isolation == Isolation::User;
        let tree = match owner.as_ref().filter(|_| single) {
            Some(owner) => self.root(owner),
            None => self.config.storage.common_root(&self.config.data_dir),
        };
        let setup = Setup {
            identity,
            trees: vec![index.clone(), tree.clone()],
            index: self.config.index_file(name),
            single,
            ..self.setup()
        };
        let mode = if single { 0o711 } else { 0o700 };
        let started = layout::directory(&self.config, &index, 0o700, identity)
            .and_then(|()| match single {
                true => Ok(()),
                false => layout::directory(&self.config, &tree, mode, identity),
            })
            .and_then(|()| {
                let setup = Message::Setup(Box::new(setup));
                Role::start("engine", &self.config.limits, &setup, &[])
            });
        let Some(engine) = self.engines.get_mut(key) else {
            return;
        };
        match started {
            Ok(role) => {
                engine.role = Some(role);
                self.engine_for(key);
            }
            Err(error) => {
                log::error!("{error}");
                let now = Instant::now();
                engine.back_off.failed(now, now);
                engine.queue.clear();
            }
        }
    }

    /// Whom a ticket stands for; only once.
    fn addressee(&mut self, connection: u64, ticket: u32) -> Option<(Owner, Addressee)> {
        let Some(grant) = self.grants.remove(&(connection, ticket)) else {
            log::error!("front delivers to a recipient that was not granted");
            return None;
        };
        let addressee = Addressee {
            user: grant.owner.name.clone(),
            root: self.root(&grant.owner),
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
            self.request(&owner, request);
        }
    }

    /// A stream to the engine of each recipient.
    fn transaction(&mut self, front: &Role, connection: u64, tickets: &[u32]) {
        let mut by_engine: Vec<(Owner, Vec<u32>, Vec<Addressee>)> = Vec::new();
        for ticket in tickets {
            let Some((owner, addressee)) = self.addressee(connection, *ticket) else {
                continue;
            };
            let key = self.key(&owner);
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
            // Each of them may be new.
            for addressee in &addressees {
                let identity = self.identity(Some(&owner));
                if let Err(error) =
                    layout::directory(&self.config, &addressee.root, 0o700, identity)
                {
                    log::error!("{error}");
                }
            }
            let request = Request {
                message: Message::Deliver { addressees },
                descriptor: far,
                connection: None,
            };
            if self.request(&owner, request) {
                groups.push(tickets);
                streams.push(near);
            }
        }
        let descriptors: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
        front.send(&Message::Groups { connection, groups }, &descriptors);
    }

    fn hear_engines(&mut self, names: &[String]) {
        let now = Instant::now();
        for name in names {
            let Some(engine) = self.engines.get_mut(name) else {
                continue;
            };
            let Some(role) = engine.role.as_ref().filter(|_| !engine.ending) else {
                continue;
            };
            let (mut ended, mut idle) = (Vec::new(), false);
            let gone = role.receive(&mut |message, _| match message {
                Message::Ended { connection } => ended.push(connection),
                Message::Idle => idle = true,
                _ => log::error!("an engine sent what it should not"),
            });
            if gone {
                log::error!("the engine {name:?} is gone; its connections are closed");
                engine.back_off.failed(role.started, now);
                engine.ending = true;
                ended = engine.connections.clone();
            } else if idle && engine.connections.len() == ended.len() && engine.queue.is_empty() {
                role.send(&Message::Stop, &[]);
                engine.ending = true;
            }
            engine.connections.retain(|c| !ended.contains(c));
            if let Some(front) = &self.front {
                for connection in ended {
                    front.send(&Message::Released { connection }, &[]);
                }
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
                Some(Asked::Check { owner, rebuild }) => {
                    let message = Message::Check {
                        user: owner.name.clone(),
                        root: self.root(&owner),
                        rebuild,
                    };
                    let request = Request {
                        message,
                        descriptor: stream.into(),
                        connection: None,
                    };
                    self.request(&owner, request);
                }
                None => drop(stream.write_all(b"failed what was asked is not understood\n")),
            }
        }
    }

    /// Tells every role to end, waits, and kills what does not.
    fn stop(&mut self) {
        log::info!("stopping");
        let mut roles: Vec<Role> = Vec::new();
        roles.extend(self.front.take());
        roles.extend(self.engines.drain().filter_map(|(_, engine)| engine.role));
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
        for listener in &self.config.listeners {
            if let Address::Unix(path) = &listener.address {
                std::fs::remove_file(path).ok();
            }
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
