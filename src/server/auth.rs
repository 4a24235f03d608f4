//! The role that knows the users: verdicts, lookups of recipients, penalties. It has neither files nor network.

use super::channel::Channel;
use super::checked::{Checked, Renewal, checked};
use super::control::Message;
use super::deadline;
use super::dialogues::Dialogues;
use super::failed::{self, Why};
use super::logging;
use super::pool::Pool;
use super::reactor;
use super::setup::Setup;
use super::tasks::Tasks;
use crate::auth::{
    Aliases, Binding, Complaint, Credentials, Current, Dialogue, Found, Judgement,
    MAX_ALIASES_OCTETS, MAX_USERS_OCTETS, Opening, Postal, Proof, Throttle, Users, Verdict, Wanted,
};
use crate::codec::base64;
use crate::config::{Mechanism, Mechanisms, Protocol};
use crate::sys::memory;
use event_listener::Event;
use smol::lock::{RwLock, Semaphore};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Octets that a line of the users file takes besides its text, while it is read.
const PER_USER: usize = 600;

/// Octets that are the memory of a hash, or of all users.
const HASH: i32 = 1 << 20;

/// What a client speaks, and where it comes from.
type Peer = (Protocol, IpAddr);

/// Names that are told at a time; all of them fit into a message.
const NAMES: usize = 200;

/// Random octets of a nonce.
const NONCE: usize = 18;

struct Auth {
    began: Instant,
    setup: Setup,
    parent: Channel,
    users: RefCell<Option<Arc<Users>>>,
    postal: RefCell<Postal>,
    /// What can be used to log in; all users have to be looked at to find it out.
    offered: Cell<Mechanisms>,
    /// Whose passwords were to be stored anew since users were read.
    renewed: RefCell<HashSet<String>>,
    /// The one that runs now.
    front: RefCell<Option<Rc<Channel>>>,
    throttle: RefCell<Throttle>,
    dialogues: RefCell<Dialogues>,
    pool: Pool,
    /// Slow hashes at once.
    hashing: Semaphore,
    /// Of one that no other may run beside.
    alone: RwLock<()>,
    /// Those that wait for one or are at it.
    queued: Cell<u32>,
    /// A login whose password was hashed has its verdict.
    judged: Event,
}

/// Runs until told to stop. `more`: the channel to `front`.
pub(super) fn run(setup: Setup, parent: OwnedFd, mut more: Vec<OwnedFd>) -> io::Result<()> {
    let front = more.pop().ok_or(io::ErrorKind::InvalidInput)?;
    memory::map_apart(HASH);
    let limits = &setup.limits;
    let throttle = Throttle::new(limits.login_failure_delay, limits.login_failure_delay_max);
    let parallel = usize::try_from(limits.argon2_parallel.max(1)).unwrap_or(1);
    let auth = Rc::new(Auth {
        began: Instant::now(),
        parent: Channel::new(parent)?,
        users: RefCell::default(),
        postal: RefCell::default(),
        offered: Cell::default(),
        renewed: RefCell::default(),
        front: RefCell::default(),
        throttle: RefCell::new(throttle),
        dialogues: RefCell::new(Dialogues::new(limits.max_connections)),
        hashing: Semaphore::new(parallel),
        alone: RwLock::new(()),
        pool: Pool::new(limits.blocking_threads),
        queued: Cell::new(0),
        judged: Event::new(),
        setup,
    });
    let tasks = Rc::new(Tasks::default());
    auth.serve(&tasks, Channel::new(front)?);
    reactor::block_on(tasks.run(async {
        while let Ok(Some((message, mut descriptors))) = auth.parent.receive().await {
            match message {
                Message::Users { files, aliases } => {
                    let aliases = descriptors.pop_if(|_| aliases);
                    auth.load(&files, descriptors);
                    auth.load_addresses(aliases);
                    auth.tell_mechanisms().await;
                }
                Message::NewPeer => {
                    if let Some(Ok(front)) = descriptors.pop().map(Channel::new) {
                        auth.dialogues.borrow_mut().clear();
                        auth.serve(&tasks, front);
                        auth.tell_mechanisms().await;
                    }
                }
                Message::Stop => break,
                _ => log::error!("the parent sent what it should not"),
            }
        }
    }))
}

impl Auth {
    /// Reads the users anew from these files, whose names are told.
    fn load(&self, names: &[PathBuf], files: Vec<OwnedFd>) {
        let mut text = Vec::new();
        let mut places = Places::default();
        for (name, file) in names.iter().zip(files) {
            places.begin(name, &text);
            if let Err(error) = read(File::from(file), &mut text, MAX_USERS_OCTETS) {
                let name = name.display();
                log::error!("users file {name}: {error}; the users stay as they were");
                return;
            }
            text.push(b'\n');
        }
        let lines = text.iter().filter(|octet| **octet == b'\n').count();
        if !memory::can_allocate(lines.saturating_mul(PER_USER).saturating_add(text.len())) {
            log::error!(
                "the users file is too large for `auth_memory_octets`; the users stay as they were"
            );
            return;
        }
        let (users, complaints) = Users::parse(&text);
        for complaint in complaints {
            log::warn!("users file {}", places.name(complaint));
        }
        for costly in users.costly(self.setup.limits.auth_memory_octets) {
            log::warn!("{costly}");
        }
        log::debug!("{} users", users.iter().count());
        *self.users.borrow_mut() = Some(Arc::new(users));
        self.renewed.borrow_mut().clear();
    }

    /// Makes what others are told of addresses anew. Without a file the aliases stay as they were: whoever
    /// could not be found would have its mail sent back.
    fn load_addresses(&self, file: Option<OwnedFd>) {
        let users = self.users.borrow().clone();
        let (true, Some(users)) = (self.setup.socketmap, users) else {
            return;
        };
        let mut aliases = match self.setup.aliases {
            true => self.postal.take().into_aliases(),
            false => Some(Aliases::default()),
        };
        if let Some(file) = file {
            let mut text = Vec::new();
            match read(File::from(file), &mut text, MAX_ALIASES_OCTETS) {
                Ok(()) => {
                    let (parsed, faults) = Aliases::parse(&text);
                    for fault in faults {
                        log::warn!("aliases, {fault}");
                    }
                    aliases = Some(parsed);
                }
                Err(error) => log::error!("aliases: {error}; they stay as they were"),
            }
        }
        *self.postal.borrow_mut() = Postal::new(&users, &self.setup.domains, aliases);
    }

    /// The answer to whoever may ask that.
    fn look_up(&self, wanted: &Wanted) -> Found {
        let about_users = matches!(wanted, Wanted::User(_) | Wanted::Names { .. });
        let may = match about_users {
            true => self.setup.userdb,
            false => self.setup.socketmap,
        };
        let Some(users) = self.users.borrow().clone().filter(|_| may) else {
            return Found::Unavailable;
        };
        match about_users {
            true => users.look_up(wanted, NAMES),
            false => {
                let delimiters = &self.setup.lmtp.recipient_delimiter;
                self.postal.borrow().look_up(&users, wanted, delimiters)
            }
        }
    }

    /// What can be used to log in, as the settings and what is stored have it.
    fn mechanisms(&self) -> Mechanisms {
        let users = self.users.borrow();
        let offered = |mechanism: &Mechanism| {
            let serve = users.as_ref().map(|users| users.serve(*mechanism));
            let (some, all) = serve.unwrap_or_default();
            match (self.setup.mechanisms, mechanism) {
                // Before anybody is there, too: nobody is told from the unknown.
                (None, Mechanism::Plain | Mechanism::Login) => true,
                (None, Mechanism::ScramSha256 | Mechanism::ScramSha1) => all,
                (None, _) => false,
                (Some(set), Mechanism::Plain | Mechanism::Login) => set.contains(*mechanism),
                (Some(set), _) => some && set.contains(*mechanism),
            }
        };
        let all = Mechanism::ALL.into_iter().filter(offered);
        all.fold(Mechanisms::default(), |set, mechanism| {
            mechanism
                .plus()
                .into_iter()
                .fold(set.with(mechanism), Mechanisms::with)
        })
    }

    /// Tells `front` what it may offer; also whether the greeting of POP3 may have a timestamp.
    async fn tell_mechanisms(&self) {
        let mechanisms = self.mechanisms();
        self.offered.set(mechanisms);
        let users = self.users.borrow().clone();
        let apop = self.setup.pop3.apop && users.is_some_and(|users| users.has_plain());
        let front = self.front.borrow().clone();
        if let Some(front) = front {
            let message = Message::Mechanisms { mechanisms, apop };
            front.send(&message, &[]).await.ok();
        }
    }

    /// Answers a `front` until it is gone.
    fn serve(self: &Rc<Self>, tasks: &Rc<Tasks>, front: Channel) {
        let (auth, others, front) = (self.clone(), tasks.clone(), Rc::new(front));
        *self.front.borrow_mut() = Some(front.clone());
        let answering = async move {
            while let Ok(Some((message, _))) = front.receive().await {
                match message {
                    Message::Verify {
                        connection,
                        protocol,
                        address,
                        authzid,
                        authcid,
                        proof,
                    } => {
                        let claim = Credentials {
                            authzid,
                            authcid,
                            proof,
                            client: None,
                        };
                        let peer = (protocol, address);
                        let verifying = auth.clone().verify(front.clone(), connection, peer, claim);
                        others.start(verifying);
                    }
                    Message::Begin {
                        connection,
                        protocol,
                        address,
                        mechanism,
                        binding,
                        message,
                    } => match auth.begun(mechanism, &binding, &message) {
                        Some((dialogue, challenge)) => {
                            auth.keep(connection, dialogue, (protocol, address));
                            let told = Message::Challenge {
                                connection,
                                challenge,
                            };
                            front.send(&told, &[]).await.ok();
                        }
                        None => others.start(auth.clone().reject(front.clone(), connection)),
                    },
                    Message::Respond {
                        connection,
                        message,
                    } => {
                        let taken = auth.dialogues.borrow_mut().take(connection);
                        let claim = taken
                            .and_then(|(dialogue, peer)| Some((dialogue.respond(&message)?, peer)));
                        match claim {
                            Some((claim, peer)) => others.start(auth.clone().verify(
                                front.clone(),
                                connection,
                                peer,
                                claim,
                            )),
                            None => others.start(auth.clone().reject(front.clone(), connection)),
                        }
                    }
                    Message::Recipient {
                        connection,
                        ticket,
                        address,
                    } => auth.recipient(&front, connection, ticket, address).await,
                    Message::LookUp { connection, wanted } => {
                        let found = auth.look_up(&wanted);
                        let message = Message::Found { connection, found };
                        front.send(&message, &[]).await.ok();
                    }
                    _ => log::error!("front sent what it should not"),
                }
            }
        };
        tasks.start(answering);
    }

    /// A dialogue that begins now, and what the client is to be told.
    fn begun(
        &self,
        mechanism: Mechanism,
        binding: &Binding,
        message: &[u8],
    ) -> Option<(Dialogue, Vec<u8>)> {
        let users = self.users.borrow().clone()?;
        let offered = self.offered.get();
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let opening = Opening {
            mechanism: Some(mechanism).filter(|m| offered.contains(*m))?,
            message,
            binding,
            bindable: !binding.is_empty() && offered.iter().any(Mechanism::binds),
            nonce: &base64::encode(&nonce),
            seed: &self.setup.seed,
            iterations: self.setup.limits.scram_iterations,
            hostname: &self.setup.hostname,
        };
        Dialogue::begin(&users, &opening)
    }

    fn keep(&self, connection: u64, dialogue: Dialogue, peer: Peer) {
        let mut dialogues = self.dialogues.borrow_mut();
        dialogues.keep(connection, dialogue, peer);
    }

    /// For what is malformed, or not bound to the connection it came by.
    async fn reject(self: Rc<Self>, front: Rc<Channel>, connection: u64) {
        deadline::after(self.setup.limits.login_failure_delay).await;
        let message = Message::Verdict {
            connection,
            judgement: Judgement::from(Verdict::Rejected),
        };
        front.send(&message, &[]).await.ok();
    }

    async fn verify(
        self: Rc<Self>,
        front: Rc<Channel>,
        connection: u64,
        (protocol, address): Peer,
        claim: Credentials,
    ) {
        let counted = !self.setup.limits.trusts(address);
        if counted {
            let delay = self.throttle.borrow().delay(address, self.now());
            if !delay.is_zero() {
                deadline::after(delay).await;
            }
        }
        let name = claim.authcid.clone();
        let refused = counted && self.throttle.borrow().refuses(address, self.now());
        let checked = match refused {
            true => Checked::UNAVAILABLE,
            false => self.check(claim, counted.then_some(address)).await,
        };
        let (user, verdict) = (checked.user, checked.verdict.clone());
        let mut judged = Judgement {
            verdict: checked.verdict,
            user: String::new(),
            told: checked.told,
        };
        if let Some(user) = user {
            let how = match protocol {
                Protocol::DovecotAuth => "was accepted for another server",
                _ => "logged in",
            };
            log::info!("{} {how} from {address}", user.name);
            judged.user.clone_from(&user.name);
            self.renew(&user.name, checked.renewed).await;
            // Whoever is accepted for another server is not logged in here.
            if matches!(protocol, Protocol::Imap | Protocol::Pop3) {
                let owner = user.into();
                let grant = Message::Login { connection, owner };
                if self.parent.send(&grant, &[]).await.is_err() {
                    return;
                }
            }
        } else if matches!(verdict, Verdict::Closed(_)) {
            log::info!(
                "{} may not log in here, from {address}",
                name.escape_debug()
            );
        } else {
            let why = match &verdict {
                Verdict::Rejected if self.knows(&name) => Why::Password,
                Verdict::Rejected => Why::User,
                _ => Why::NotChecked,
            };
            logging::print(&failed::line(&name, address, why));
            deadline::after(self.setup.limits.login_failure_delay).await;
        }
        let message = Message::Verdict {
            connection,
            judgement: judged,
        };
        front.send(&message, &[]).await.ok();
    }

    fn knows(&self, name: &str) -> bool {
        let users = self.users.borrow();
        users
            .as_ref()
            .is_some_and(|users| users.find(name).is_some())
    }

    /// Time as penalties have it: no clock that is set moves it.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What becomes of a claim. Slow hashes run beside, a bounded number at once and in wait.
    /// `counted`: the address that pays for a failure.
    async fn check(&self, claim: Credentials, counted: Option<IpAddr>) -> Checked {
        let Some(users) = self.users.borrow().clone() else {
            return Checked::UNAVAILABLE;
        };
        let renewal = self.renewal(&users, &claim);
        if renewal.is_none() && !users.is_slow(&claim) {
            let checked = checked(&users, claim, None);
            self.count(&checked.verdict, counted);
            return checked;
        }
        let limits = &self.setup.limits;
        if self.queued.get() >= limits.argon2_parallel.saturating_add(limits.argon2_queue) {
            log::warn!("too many logins at once: one was turned away");
            return Checked::UNAVAILABLE;
        }
        self.queued.set(self.queued.get() + 1);
        let checked = match self.begin(counted).await {
            false => Checked::UNAVAILABLE,
            true => {
                let name = claim.authcid.clone();
                let checked = self.hash(users, claim, renewal).await;
                self.count(&checked.verdict, counted);
                self.end(counted);
                if checked.verdict == Verdict::Unavailable {
                    let name = name.escape_debug();
                    log::error!(
                        "the password of {name} was not checked: that takes more memory than \
                         `auth_memory_octets` leaves; raise that limit, or have a password hashed \
                         that this machine can afford: dovelet user passwd {name}"
                    );
                }
                checked
            }
        };
        self.queued.set(self.queued.get().saturating_sub(1));
        checked
    }

    /// The verdict of a slow hash; one for which there is no memory beside others is tried again alone.
    async fn hash(
        &self,
        users: Arc<Users>,
        claim: Credentials,
        renewal: Option<Renewal>,
    ) -> Checked {
        let begin = || {
            let (users, claim) = (users.clone(), claim.clone());
            self.pool.unblock(move || checked(&users, claim, renewal))
        };
        let beside = async {
            let _permit = self.hashing.acquire().await;
            let _others = self.alone.read().await;
            begin().await
        };
        let first = beside.await;
        if first.verdict != Verdict::Unavailable || self.setup.limits.argon2_parallel <= 1 {
            return first;
        }
        let _nobody = self.alone.write().await;
        begin().await
    }

    /// How the password of this user is to be stored anew, if it is and if it is sent.
    fn renewal(&self, users: &Users, claim: &Credentials) -> Option<Renewal> {
        let current = Current::new(self.setup.rehash?, &self.setup.limits);
        let sent = matches!(claim.proof, Proof::Password(_));
        let name = claim.authcid.to_ascii_lowercase();
        if !sent || self.renewed.borrow().contains(&name) {
            return None;
        }
        let mark = users.outdated(&name, &current)?;
        Some(Renewal { current, mark })
    }

    /// Has the parent, which can write, store a password anew.
    async fn renew(&self, user: &str, renewed: Option<(u64, String)>) {
        let Some((mark, hash)) = renewed else {
            return;
        };
        let user = user.to_owned();
        if self.renewed.borrow_mut().insert(user.clone()) {
            let message = Message::Rehash { user, mark, hash };
            self.parent.send(&message, &[]).await.ok();
        }
    }

    /// Waits until no more logins of this address are looked at than may fail; `false` if it is refused then.
    async fn begin(&self, counted: Option<IpAddr>) -> bool {
        let Some(address) = counted else {
            return true;
        };
        loop {
            let judged = self.judged.listen();
            let now = self.now();
            if self.throttle.borrow().refuses(address, now) {
                return false;
            }
            if self.throttle.borrow_mut().begin(address, now) {
                return true;
            }
            judged.await;
        }
    }

    fn end(&self, counted: Option<IpAddr>) {
        if let Some(address) = counted {
            self.throttle.borrow_mut().ended(address);
            self.judged.notify(usize::MAX);
        }
    }

    /// What a verdict means for the address.
    fn count(&self, verdict: &Verdict, counted: Option<IpAddr>) {
        let mut throttle = self.throttle.borrow_mut();
        match (counted, verdict) {
            (Some(address), Verdict::Accepted | Verdict::Closed(_)) => {
                throttle.succeeded(address, self.now());
            }
            (Some(address), Verdict::Rejected) => throttle.failed(address, self.now()),
            _ => {}
        }
    }

    async fn recipient(&self, front: &Channel, connection: u64, ticket: u32, address: Vec<u8>) {
        let (users, lmtp) = (self.users.borrow().clone(), &self.setup.lmtp);
        let lookup = match users {
            None => 2,
            Some(users) => match users.recipient(&address, &lmtp.recipient_delimiter) {
                // Where nobody is set up yet, nothing is known of anybody.
                None if users.iter().next().is_none() => 2,
                None => 1,
                Some((user, detail)) => {
                    let detail = detail.filter(|_| lmtp.save_to_detail_mailbox);
                    let grant = Message::Grant {
                        connection,
                        ticket,
                        owner: user.clone().into(),
                        address,
                        detail,
                    };
                    if self.parent.send(&grant, &[]).await.is_ok() {
                        0
                    } else {
                        2
                    }
                }
            },
        };
        let message = Message::Lookup {
            connection,
            ticket,
            lookup,
        };
        front.send(&message, &[]).await.ok();
    }
}

/// Where in one text the lines of each file begin.
#[derive(Default)]
struct Places<'a> {
    /// Lines before the file, and its name.
    files: Vec<(usize, &'a Path)>,
}

impl<'a> Places<'a> {
    /// What comes behind `text` is of that file.
    fn begin(&mut self, name: &'a Path, text: &[u8]) {
        let before = text.iter().filter(|octet| **octet == b'\n').count();
        self.files.push((before, name));
    }

    /// The complaint with its file, whose line it names.
    fn name(&self, complaint: Complaint) -> String {
        let at = self
            .files
            .partition_point(|(before, _)| *before < complaint.line);
        let file = at.checked_sub(1).and_then(|at| self.files.get(at));
        let (before, name) = file.copied().unwrap_or((0, Path::new("")));
        let own = Complaint {
            line: complaint.line - before,
            ..complaint
        };
        format!("{}, {own}", name.display())
    }
}

/// Appends the file. Errors: also `FileTooLarge` if the text would have more octets; a part of the users would be
/// as if the others had never been.
fn read(file: File, text: &mut Vec<u8>, at_most: u64) -> io::Result<()> {
    let before = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let room = at_most.saturating_sub(before);
    let count = file.take(room + 1).read_to_end(text)?;
    match u64::try_from(count) {
        Ok(count) if count <= room => Ok(()),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_the_line_of_their_file() {
        // A line of the second file was counted on from the first one.
        let mut text = Vec::new();
        let mut places = Places::default();
        for (name, lines) in [("/a", "x\n\ny"), ("/b", ""), ("/c", "z\n")] {
            places.begin(Path::new(name), &text);
            text.extend_from_slice(lines.as_bytes());
            text.push(b'\n');
        }
        let (_, complaints) = Users::parse(&b"a b\n".repeat(6));
        let named: Vec<String> = complaints.into_iter().map(|c| places.name(c)).collect();
        let expected = [
            "/a, line 1",
            "/a, line 2",
            "/a, line 3",
            "/b, line 1",
            "/c, line 1",
            "/c, line 2",
        ];
        for (named, expected) in named.iter().zip(expected) {
            assert!(
                named.starts_with(&format!("{expected}: ")),
                "{named} {expected}"
            );
        }
        assert_eq!(named.len(), expected.len());
    }

    #[test]
    fn too_many_users_are_not_cut_short() {
        // Who stood behind the limit was unknown, and mail for them went back.
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        file.as_file().set_len(MAX_USERS_OCTETS).unwrap();
        let mut text = Vec::new();
        read(open(), &mut text, MAX_USERS_OCTETS).unwrap();
        let error = read(open(), &mut vec![0; 1], MAX_USERS_OCTETS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        text.push(b'\n');
        let error = read(open(), &mut text, MAX_USERS_OCTETS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        file.as_file().set_len(MAX_USERS_OCTETS + 1).unwrap();
        let error = read(open(), &mut Vec::new(), MAX_USERS_OCTETS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
