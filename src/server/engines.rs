//! The engines: which there are, what waits for them, and which connections they have.

use super::children::{BackOff, Role};
use super::control::{Message, Owner};
use super::error::Error;
use super::layout;
use super::owners::Owners;
use super::refusal;
use super::setup::Setup;
use super::standing::Standing;
use crate::config::{Config, Isolation, Location};
use crate::sys::accounts::Identity;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Requests that wait for an engine to start.
const MAX_QUEUED: usize = 1000;
/// Messages of an engine that are heard before others are.
const MAX_MESSAGES: usize = 64;
/// How long an engine may take to end in order.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// A request for an engine, with its descriptor.
pub(super) struct Request {
    pub(super) message: Message,
    pub(super) descriptor: OwnedFd,
    /// The connection of a session.
    pub(super) connection: Option<u64>,
}

impl Request {
    /// Tells a client that there is no engine for it; whatever else was asked knows by the end of its stream.
    pub(super) fn refuse(self) -> Option<u64> {
        if let Message::Session { bytes, .. } = &self.message {
            refusal::tell(&self.descriptor, refusal::without_engine(bytes));
        }
        self.connection
    }
}

/// The engine of a user, or of all.
#[derive(Default)]
struct Engine {
    role: Option<Role>,
    /// It was told to end, or its channel is closed: nothing is sent any more, and then it is killed.
    ending: Option<Instant>,
    queue: Vec<Request>,
    connections: Vec<u64>,
    back_off: BackOff,
    owner: Option<Owner>,
    /// Whom it runs as.
    identity: Option<Identity>,
    /// Where the mail of the one is that it is for.
    location: Option<Location>,
    /// What it may touch.
    standing: Standing,
}

/// The engines of all users, or the one of all.
pub(super) struct Engines {
    config: Rc<Config>,
    pub(super) owners: Owners,
    all: HashMap<String, Engine>,
    /// Connections that are gone and of which `front` is still to be told.
    pub(super) released: Vec<u64>,
}

impl Engines {
    pub(super) fn new(config: &Rc<Config>, owners: Owners) -> Engines {
        Engines {
            config: config.clone(),
            owners,
            all: HashMap::new(),
            released: Vec::new(),
        }
    }

    /// Where the mail of a user is; `None`, with a line in the log, if what is said of that cannot be followed.
    fn location(&self, owner: &Owner) -> Option<Location> {
        let (home, own) = (owner.home.as_deref(), owner.mail.as_deref());
        let data_dir = &self.config.data_dir;
        let storage = &self.config.storage;
        let located = storage.location_of(data_dir, &owner.name, home, own);
        let told = |why| log::error!("the mail of {} cannot be found: {why}", owner.name);
        located.map_err(told).ok()
    }

    /// False, with a line in the log, for a place that is the server's own, or that its engine may not touch.
    fn is_free(&self, owner: &Owner, location: &Location) -> bool {
        for place in location.directories() {
            let why = if self.config.is_own(place) {
                "is the server's own"
            } else if !self.is_within(place) {
                "the engine of all users may not touch: [storage] names other places for all"
            } else {
                continue;
            };
            let (name, place) = (&owner.name, place.display());
            log::error!("the mail of {name} would be in {place}, which {why}");
            return false;
        }
        true
    }

    /// Whether an engine of all users, which knows the places of the settings, may touch this one.
    fn is_within(&self, place: &Path) -> bool {
        self.config.isolation == Isolation::User
            || self.common().iter().any(|common| place.starts_with(common))
    }

    /// The directories that an engine of all users may touch, beside the index.
    fn common(&self) -> Vec<PathBuf> {
        let (storage, data_dir) = (&self.config.storage, &self.config.data_dir);
        let root = std::iter::once(storage.common_root(data_dir));
        root.chain(storage.common_places(data_dir)).collect()
    }

    /// The engine that a user's mail belongs to.
    pub(super) fn key(&self, owner: &Owner) -> String {
        match self.config.isolation {
            Isolation::User => owner.name.clone(),
            Isolation::Shared => String::new(),
        }
    }

    /// Whom the engine of this user runs as.
    fn identity(&self, owner: Option<&Owner>) -> Option<Identity> {
        let numbers = owner.map_or((None, None), |owner| (owner.uid, owner.gid));
        self.owners.identity(numbers.0, numbers.1)
    }

    /// Sees to it that a user's mail has directories which its engine owns, and tells where they are. `None`,
    /// with a line in the log, if that cannot be.
    pub(super) fn ready(&mut self, owner: &Owner) -> Option<Location> {
        let location = self.location(owner)?;
        if !self.is_free(owner, &location) {
            return None;
        }
        // From under an engine nothing is given away: the next one gets it.
        if self.is_outlived(owner, &location) {
            return Some(location);
        }
        let ready = self.owners.mail(&location, owner.uid, owner.gid);
        ready.inspect_err(|error| log::error!("{error}")).ok()?;
        Some(location)
    }

    /// True if the engine of this user runs as whom it would not be started any more, or may touch other
    /// places, because the users file says something else now, or a disk came; it ends.
    fn is_outlived(&mut self, owner: &Owner, location: &Location) -> bool {
        let identity = self.identity(Some(owner));
        let single = self.config.isolation == Isolation::User;
        let Some(engine) = self.all.get_mut(&self.key(owner)) else {
            return false;
        };
        let moved = single && engine.location.as_ref() != Some(location);
        let Some(role) = engine.role.as_ref() else {
            return false;
        };
        let displaced = engine.standing.displaced();
        if !moved && engine.identity == identity && displaced.is_none() {
            return false;
        }
        if engine.ending.is_none() {
            if let Some(path) = displaced {
                let path = path.display();
                log::info!("{path} is another directory now: its engine begins anew");
            }
            role.send(&Message::Stop, &[]);
            engine.ending = Some(Instant::now() + STOP_PATIENCE);
            self.released.append(&mut engine.connections);
        }
        true
    }

    /// Gives a request to the engine of this user, who is ready; it is started if need be. False if it was
    /// refused.
    pub(super) fn request(&mut self, owner: &Owner, request: Request) -> bool {
        let key = self.key(owner);
        let engine = self.all.entry(key.clone()).or_default();
        engine.owner = Some(owner.clone());
        if engine.queue.len() >= MAX_QUEUED {
            log::error!("too many wait for the engine of {}", owner.name);
            request.refuse();
            return false;
        }
        engine.queue.push(request);
        self.send_to(&key);
        true
    }

    /// Sends an engine what waits for it; starts it if it does not run.
    fn send_to(&mut self, key: &str) {
        let engine = self.all.entry(key.to_owned()).or_default();
        match &engine.role {
            Some(role) if engine.ending.is_none() => {
                let mut queue = std::mem::take(&mut engine.queue).into_iter();
                for request in queue.by_ref() {
                    match role.try_send(&request.message, &[request.descriptor.as_fd()]) {
                        Ok(()) => engine.connections.extend(request.connection),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            engine.queue.push(request);
                            break;
                        }
                        Err(error) => {
                            log::error!("an engine takes no request: {error}");
                            self.released.extend(request.refuse());
                        }
                    }
                }
                engine.queue.extend(queue);
            }
            Some(_) => {}
            None if engine.back_off.wait(Instant::now()).is_zero() => self.start(key),
            None => {}
        }
    }

    fn start(&mut self, key: &str) {
        let owner = self.all.get(key).and_then(|engine| engine.owner.clone());
        let name = owner.as_ref().map_or(key, |owner| &owner.name);
        let identity = self.identity(owner.as_ref());
        let index = self.config.index_directory(name);
        let single = self.config.isolation == Isolation::User;
        let location = owner.as_ref().filter(|_| single);
        let location = location.and_then(|owner| self.location(owner));
        let ready = match (&owner, &location) {
            (Some(owner), Some(location)) => self.owners.mail(location, owner.uid, owner.gid),
            _ => self.make_common(identity),
        };
        let ready = ready.and_then(|()| self.owners.index(&index, identity));
        let standing = Standing::of(self.places(index, location.as_ref()));
        let started = ready.and_then(|()| {
            let setup = Setup {
                identity,
                // Without those that are not there, or it could not begin.
                trees: standing.there(),
                index: self.config.index_file(name),
                single,
                ..Setup::of(&self.config)
            };
            let setup = Message::Setup(Box::new(setup));
            Role::start("engine", &self.config.limits, &setup, &[])
        });
        let Some(engine) = self.all.get_mut(key) else {
            return;
        };
        match started {
            Ok(role) => {
                engine.role = Some(role);
                engine.identity = identity;
                engine.location = location;
                engine.standing = standing;
                self.send_to(key);
            }
            Err(error) => {
                log::error!("{error}");
                let now = Instant::now();
                engine.back_off.failed(now, now);
                let thrown_away = engine.queue.drain(..);
                self.released
                    .extend(thrown_away.filter_map(Request::refuse));
            }
        }
    }

    /// Makes the directories of an engine of all users. Errors: there is none for their mail; without the others it
    /// serves the rest.
    fn make_common(&self, identity: Option<Identity>) -> Result<(), Error> {
        for (at, place) in self.common().iter().enumerate() {
            let made = layout::directory(&self.config, place, 0o700, identity);
            match made {
                Err(error) if at > 0 => log::error!("what is kept there cannot be used: {error}"),
                made => made?,
            }
        }
        Ok(())
    }

    /// The directories that an engine may touch.
    fn places(&self, index: PathBuf, location: Option<&Location>) -> Vec<PathBuf> {
        let mut places = match location {
            Some(location) => location.directories().map(Path::to_owned).collect(),
            None => self.common(),
        };
        places.push(index);
        places.extend(self.config.storage.attachments.clone());
        places
    }

    /// Starts the engine of all users, if there is one.
    pub(super) fn begin(&mut self) {
        if self.config.isolation == Isolation::Shared {
            self.send_to("");
        }
    }

    /// Those that can be heard, and whether they are owed something.
    pub(super) fn heard(&self) -> impl Iterator<Item = (&String, &OwnedFd, bool)> {
        let engines = self.all.iter();
        let engines = engines.filter(|(_, engine)| engine.ending.is_none());
        engines.filter_map(|(name, engine)| {
            let role = engine.role.as_ref()?;
            Some((name, &role.channel, !engine.queue.is_empty()))
        })
    }

    /// How long until each one that waits for its time.
    pub(super) fn deadlines(&self, now: Instant) -> impl Iterator<Item = Duration> {
        self.all.values().flat_map(move |engine| {
            let waits = engine.role.is_none() && !engine.queue.is_empty();
            let kill = engine
                .ending
                .map(|kill| kill.saturating_duration_since(now));
            let starts = waits.then(|| engine.back_off.wait(now));
            starts.into_iter().chain(kill)
        })
    }

    /// Buries those that have ended; starts those that somebody waits for.
    pub(super) fn revive(&mut self, now: Instant) {
        let names: Vec<String> = self.all.keys().cloned().collect();
        for name in names {
            self.tend(&name, now);
        }
    }

    fn tend(&mut self, name: &str, now: Instant) {
        let Some(engine) = self.all.get_mut(name) else {
            return;
        };
        if let Some(until) = engine.ending {
            if until <= now
                && let Some(role) = engine.role.as_mut()
            {
                log::error!("the engine {name:?} does not end and is killed");
                role.kill();
                engine.role = None;
            }
            if engine.role.as_mut().is_none_or(Role::ended) {
                engine.role = None;
                engine.ending = None;
            }
        }
        if engine.role.is_some() {
            return;
        }
        if engine.queue.is_empty() {
            if self.config.isolation == Isolation::User && engine.back_off.wait(now).is_zero() {
                self.all.remove(name);
            }
        } else if engine.back_off.wait(now).is_zero() {
            self.start(name);
        }
    }

    /// Hears what these engines have to say.
    pub(super) fn hear(&mut self, names: &[String]) {
        let now = Instant::now();
        for name in names {
            let Some(engine) = self.all.get_mut(name) else {
                continue;
            };
            let ending = engine.ending.is_some();
            let Some(role) = engine.role.as_ref().filter(|_| !ending) else {
                continue;
            };
            let (mut ended, mut idle) = (Vec::new(), false);
            let gone = role.receive(MAX_MESSAGES, &mut |message, _| match message {
                Message::Ended { mut connections } => ended.append(&mut connections),
                Message::Idle => idle = true,
                _ => log::error!("an engine sent what it should not"),
            });
            if gone {
                log::error!("the engine {name:?} is gone; its connections are closed");
                engine.back_off.failed(role.started, now);
                engine.ending = Some(now + STOP_PATIENCE);
                ended = engine.connections.clone();
            }
            // One that was taken over may not give away the places of others.
            ended.sort_unstable();
            let has_ended = |connection: &mut u64| ended.binary_search(connection).is_ok();
            let released = engine.connections.extract_if(.., has_ended);
            self.released.extend(released);
            if gone || !engine.queue.is_empty() {
                // What waited for room, or waits for the next engine.
                self.send_to(name);
            } else if idle && engine.connections.is_empty() {
                role.send(&Message::Stop, &[]);
                engine.ending = Some(now + STOP_PATIENCE);
            }
        }
    }

    /// All that run, which are nobody's any more.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Role> {
        let all = std::mem::take(&mut self.all);
        all.into_values().filter_map(|engine| engine.role)
    }
}
