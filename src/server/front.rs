//! The role that faces the network: TLS, everything before login, LMTP. It has no files and names no user.

use super::authorities::Authorities;
use super::channel::Channel;
use super::control::{Certificate, Message};
use super::deadline::{self, Rounds};
use super::drive::{Driven, drive, write};
use super::permit::{Permit, Permits, Refused};
use super::proxy;
use super::reactor::{self, Source};
use super::relay::relay;
use super::setup::{Served, Setup};
use super::stop::Stop;
use super::tasks::Tasks;
use super::tls::Tls;
use super::transport::{Socket, Transport, socket};
use crate::auth::{Answer, Binding, Found, Proof, Question, Shown, Verdict, Wanted};
use crate::config::{Mechanisms, Protocol};
use crate::protocol::dovecot_auth::Userdb;
use crate::protocol::socketmap::Socketmap;
use crate::protocol::{self, Machine, imap, pop3};
use crate::sys::{memory, message};
use event_listener::Event;
use rustix::net::{RecvFlags, SocketAddrAny, SocketFlags, acceptfrom_with};
use smol::channel::Sender;
use smol::future::{FutureExt, or};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection waits for from another role.
pub(super) enum Reply {
    Answer(Answer),
    Found(Found),
    Lookup(u8),
    Groups(Vec<Vec<u32>>, Vec<OwnedFd>),
}

/// Groups of tickets, and a stream for each.
type Gathered = (Vec<Vec<u32>>, Vec<OwnedFd>);

/// What all tasks of this process share.
pub(super) struct Front {
    pub(super) setup: Setup,
    pub(super) parent: Channel,
    auth: RefCell<Option<Rc<Channel>>>,
    tls: RefCell<Option<Tls>>,
    /// They take effect with the certificates that come behind them.
    authorities: RefCell<Option<Arc<Authorities>>>,
    pub(super) stop: Stop,
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, Sender<Reply>>>,
    /// Streams that came for those who wait, until all are there.
    gathered: RefCell<HashMap<u64, Gathered>>,
    /// Certificates that came, until all are there.
    certificates: RefCell<Vec<Certificate>>,
    permits: Rc<Permits>,
    /// Changes whenever the users may be others.
    pub(super) users: Cell<u32>,
    /// What can be used to log in, once `auth` has told.
    mechanisms: Cell<Option<Mechanisms>>,
    mechanisms_told: Event,
    /// There are users for whom APOP can be used.
    apop: Cell<bool>,
    /// Places of connections that are in an engine now.
    handed_over: RefCell<HashMap<u64, Permit>>,
    open: Cell<u32>,
}

/// How long another role may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// How long a new connection waits to know how users can log in.
const MECHANISMS_PATIENCE: Duration = Duration::from_secs(5);
/// How long a handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a proxy may take to say for whom it connects.
const PROXY_PATIENCE: Duration = Duration::from_secs(5);
/// How long goodbyes may take.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Runs until told to stop. `more`: the channel to `auth`, then the listeners in the order of the setup.
pub(super) fn run(setup: Setup, parent: OwnedFd, mut more: Vec<OwnedFd>) -> io::Result<()> {
    if more.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let auth = Channel::new(more.remove(0))?;
    let front = Rc::new(Front {
        permits: Permits::new(&setup.limits),
        parent: Channel::new(parent)?,
        auth: RefCell::default(),
        tls: RefCell::default(),
        authorities: RefCell::default(),
        stop: Stop::default(),
        next: Cell::new(u64::from(setup.generation) << 40),
        waiting: RefCell::default(),
        gathered: RefCell::default(),
        certificates: RefCell::default(),
        handed_over: RefCell::default(),
        users: Cell::new(0),
        mechanisms: Cell::default(),
        mechanisms_told: Event::new(),
        apop: Cell::new(false),
        open: Cell::new(0),
        setup,
    });
    let tasks = Rc::new(Tasks::default());
    front.set_auth(auth, &tasks);
    for (listener, served) in more.into_iter().zip(front.setup.listeners.clone()) {
        let listener = Source::new(listener)?;
        tasks.start(accept(front.clone(), tasks.clone(), listener, served));
    }
    reactor::block_on(tasks.run(async {
        front.listen_to_parent(&tasks).await;
        front.stop.ring();
        let gone = async {
            while front.open.get() > 0 {
                deadline::after(Duration::from_millis(10)).await;
            }
        };
        or(gone, deadline::after(STOP_PATIENCE)).await;
    }))
}

impl Front {
    fn set_auth(self: &Rc<Self>, channel: Channel, tasks: &Rc<Tasks>) {
        let channel = Rc::new(channel);
        *self.auth.borrow_mut() = Some(channel.clone());
        tasks.start(self.clone().listen_to_auth(channel));
    }

    async fn listen_to_parent(self: &Rc<Self>, tasks: &Rc<Tasks>) {
        while let Ok(Some((message, mut descriptors))) = self.parent.receive().await {
            match message {
                Message::Certificate {
                    number,
                    last,
                    certificate,
                } => self.certificate(number, last, certificate),
                Message::Authorities { pem, name } => match Authorities::new(&pem, name) {
                    Ok(all) => *self.authorities.borrow_mut() = Some(Arc::new(all)),
                    Err(why) => log::error!("client_ca stays as it was: {why}"),
                },
                Message::NewPeer => {
                    if let Some(Ok(channel)) = descriptors.pop().map(Channel::new) {
                        self.set_auth(channel, tasks);
                    }
                }
                Message::Groups {
                    connection,
                    last,
                    groups,
                } => self.groups(connection, last, groups, descriptors),
                Message::Released { connections } => {
                    let mut held = self.handed_over.borrow_mut();
                    connections.iter().for_each(|c| drop(held.remove(c)));
                }
                Message::Users { .. } => self.users.set(self.users.get().wrapping_add(1)),
                Message::Stop => return,
                _ => log::error!("the parent sent what it should not"),
            }
        }
    }

    /// One certificate of all; with the last one they take effect.
    fn certificate(&self, number: u32, last: bool, certificate: Certificate) {
        let mut all = self.certificates.borrow_mut();
        if number == 0 {
            all.clear();
        }
        all.push(certificate);
        if last {
            let authorities = self.authorities.borrow().clone();
            match super::tls::prepared(&std::mem::take(&mut *all), authorities) {
                Ok(tls) => *self.tls.borrow_mut() = Some(tls),
                Err(why) => log::error!("the certificates stay as they were: {why}"),
            }
        }
    }

    /// Some streams of all that a connection waits for.
    fn groups(&self, connection: u64, last: bool, groups: Vec<Vec<u32>>, streams: Vec<OwnedFd>) {
        if !self.waiting.borrow().contains_key(&connection) {
            return;
        }
        let mut all = self.gathered.borrow_mut();
        let gathered = all.entry(connection).or_default();
        // Those without a stream had no room here.
        for (group, stream) in groups.into_iter().zip(streams) {
            gathered.0.push(group);
            gathered.1.push(stream);
        }
        if last {
            let (groups, streams) = all.remove(&connection).unwrap_or_default();
            drop(all);
            self.reply(connection, Reply::Groups(groups, streams));
        }
    }

    async fn listen_to_auth(self: Rc<Self>, channel: Rc<Channel>) {
        while let Ok(Some((message, _))) = channel.receive().await {
            match message {
                Message::Verdict {
                    connection,
                    judgement,
                } => self.reply(connection, Reply::Answer(Answer::Verdict(judgement))),
                Message::Found { connection, found } => {
                    self.reply(connection, Reply::Found(found));
                }
                Message::Challenge {
                    connection,
                    challenge,
                } => self.reply(connection, Reply::Answer(Answer::Challenge(challenge))),
                Message::Lookup {
                    connection, lookup, ..
                } => self.reply(connection, Reply::Lookup(lookup)),
                Message::Mechanisms { mechanisms, apop } => {
                    self.mechanisms.set(Some(mechanisms));
                    self.mechanisms_told.notify(usize::MAX);
                    self.apop.set(apop);
                }
                _ => log::error!("auth sent what it should not"),
            }
        }
        // Whoever waits for it will not hear of it any more.
        self.waiting.borrow_mut().clear();
    }

    fn reply(&self, connection: u64, reply: Reply) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&connection) {
            waiting.try_send(reply).ok();
        }
    }

    /// Asks another role; `None` if it does not answer.
    pub(super) async fn ask(
        &self,
        connection: u64,
        question: &Message,
        of_auth: bool,
    ) -> Option<Reply> {
        let (sender, receiver) = smol::channel::bounded(1);
        self.waiting.borrow_mut().insert(connection, sender);
        let auth = self.auth.borrow().clone();
        let sent = match (of_auth, auth) {
            (true, Some(auth)) => auth.send(question, &[]).await,
            (true, None) => return None,
            (false, _) => self.parent.send(question, &[]).await,
        };
        if let Err(error) = sent {
            log::error!("another role cannot be asked: {error}");
            self.waiting.borrow_mut().remove(&connection);
            return None;
        }
        let reply = or(async { receiver.recv().await.ok() }, async {
            deadline::after(ANSWER_PATIENCE).await;
            None
        });
        let reply = reply.await;
        self.waiting.borrow_mut().remove(&connection);
        self.gathered.borrow_mut().remove(&connection);
        reply
    }

    /// The answer of `auth` to a question about who somebody is; `connection`: of one exchange.
    pub(super) async fn judge(
        &self,
        connection: u64,
        accepted: &Accepted,
        secured: &Secured,
        question: Question,
    ) -> Answer {
        let protocol = accepted.protocol;
        let address = |client: Option<IpAddr>| client.unwrap_or(accepted.address).to_canonical();
        let question = match question {
            Question::Verify(claim) => Message::Verify {
                connection,
                protocol,
                address: address(claim.client),
                authzid: claim.authzid,
                authcid: claim.authcid,
                proof: match (claim.proof, &secured.shown) {
                    (Proof::Certificate(_), Some(shown)) => Proof::Certificate(shown.clone()),
                    (proof, _) => proof,
                },
            },
            Question::Begin {
                mechanism,
                message,
                client,
            } => Message::Begin {
                connection,
                protocol,
                address: address(client),
                mechanism,
                binding: secured.binding.clone(),
                message,
            },
            Question::Respond(message) => Message::Respond {
                connection,
                message,
            },
        };
        match self.ask(connection, &question, true).await {
            Some(Reply::Answer(answer)) => answer,
            _ => Answer::from(Verdict::Unavailable),
        }
    }

    /// The answer of `auth` to a question about users.
    pub(super) async fn look_up(&self, connection: u64, wanted: Wanted) -> Found {
        let question = Message::LookUp { connection, wanted };
        match self.ask(connection, &question, true).await {
            Some(Reply::Found(found)) => found,
            _ => Found::Unavailable,
        }
    }

    /// Another one each time.
    pub(super) fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// What can be used to log in; whoever comes before that is known waits for it.
    pub(super) async fn mechanisms(&self) -> Mechanisms {
        loop {
            let told = self.mechanisms_told.listen();
            if let Some(mechanisms) = self.mechanisms.get() {
                return mechanisms;
            }
            let waited = async {
                told.await;
                true
            };
            let late = async {
                deadline::after(MECHANISMS_PATIENCE).await;
                false
            };
            if !or(waited, late).await {
                // There are no users yet, as their file cannot be read.
                self.mechanisms.set(Some(Mechanisms::PASSWORD));
            }
        }
    }
}

/// What TLS gives to logins.
#[derive(Default)]
pub(super) struct Secured {
    binding: Binding,
    /// A certificate of the client that is good.
    shown: Option<Box<Shown>>,
}

/// A connection as it was accepted.
pub(super) struct Accepted {
    pub(super) number: u64,
    pub(super) protocol: Protocol,
    /// Where it comes from; the loopback address for a unix socket.
    pub(super) address: IpAddr,
    pub(super) local: bool,
    pub(super) permit: Permit,
}

/// Takes connections of one listener.
async fn accept(front: Rc<Front>, tasks: Rc<Tasks>, listener: Source<OwnedFd>, served: Served) {
    let mut rounds = Rounds::default();
    loop {
        rounds.next().await;
        let next = listener.read_with(|listener| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            Ok(acceptfrom_with(listener, flags)?)
        });
        let next = or(async { Some(next.await) }, async {
            front.stop.wait().await;
            None
        });
        match next.await {
            None => return,
            Some(Ok((descriptor, address))) => {
                let address = peer(address, served);
                tasks.start(serve(front.clone(), descriptor, address, served));
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Some(Err(error)) => {
                // No descriptors or no memory: others have to end first.
                log::error!("a connection cannot be accepted: {error}");
                deadline::after(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Where a connection comes from.
fn peer(address: Option<SocketAddrAny>, served: Served) -> IpAddr {
    let address = address.and_then(|a| SocketAddr::try_from(a).ok());
    match address {
        Some(address) if !served.unix => address.ip().to_canonical(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

async fn serve(front: Rc<Front>, descriptor: OwnedFd, address: IpAddr, served: Served) {
    front.open.set(front.open.get() + 1);
    if let Ok(socket) = socket(descriptor) {
        // Boxed, so that what waits for long is not as large as what is busy for a moment.
        let greeted = Box::pin(greet(front.clone(), socket, served, address));
        if AssertUnwindSafe(greeted).catch_unwind().await.is_err() {
            log::error!("a connection from {address} panicked; it ends, others go on");
        }
    }
    front.open.set(front.open.get().saturating_sub(1));
}

async fn greet(front: Rc<Front>, socket: Socket, served: Served, mut address: IpAddr) {
    let mut local = address.is_loopback();
    if served.proxy_protocol {
        if !front.setup.limits.trusts(address) {
            log::warn!("{address} is no trusted network: its PROXY header is not taken");
            return;
        }
        match proxied(&socket).await {
            Ok(Some(client)) => {
                address = client.to_canonical();
                local = false;
            }
            Ok(None) => {}
            Err(error) => {
                log::warn!("{address} sends no PROXY header: {error}");
                return;
            }
        }
    }
    let number = front.number();
    let exempt = address.is_loopback() || front.setup.limits.trusts(address);
    let protocol = served.protocol;
    if protocol.is_inward() && !exempt {
        log::warn!(
            "{address} is no trusted network: {} is not for it",
            protocol.as_str()
        );
        return;
    }
    let counted = (!exempt).then_some(address);
    let permit = match memory::has_room(front.setup.limits.front_memory_octets) {
        true if exempt && !matches!(protocol, Protocol::Imap | Protocol::Pop3) => {
            front.permits.take_trusted()
        }
        true => front.permits.take(counted),
        false => Err(Refused::NoMemory),
    };
    let permit = match permit {
        Ok(permit) => permit,
        Err(refused) => return refuse(socket, served, address, refused).await,
    };
    let accepted = Accepted {
        number,
        protocol,
        address,
        local,
        permit,
    };
    let result = match served.protocol {
        Protocol::Lmtp => super::lmtp::serve(&front, socket, served, &accepted).await,
        Protocol::Imap => imap(&front, socket, served, accepted).await,
        Protocol::Pop3 => pop3(&front, socket, served, accepted).await,
        Protocol::DovecotAuth => super::inward::client(&front, socket, &accepted).await,
        Protocol::DovecotUserdb => {
            let machine = Userdb::new(front.setup.limits.lmtp_idle_timeout);
            super::inward::lookups(&front, socket, &accepted, machine).await
        }
        Protocol::Socketmap => {
            let machine = Socketmap::new(front.setup.limits.lmtp_idle_timeout);
            super::inward::lookups(&front, socket, &accepted, machine).await
        }
    };
    if let Err(error) = result {
        log::debug!("connection from {address}: {error}");
    }
}

/// Says why not, where it can be said without TLS.
async fn refuse(socket: Socket, served: Served, address: IpAddr, refused: Refused) {
    let (why, code) = match refused {
        Refused::TooMany => ("Too many connections.", "421 4.3.2"),
        Refused::TooManyFromAddress => ("Too many connections from your address.", "421 4.7.0"),
        Refused::NoMemory => ("Too little memory.", "421 4.3.2"),
    };
    log::warn!("connection from {address} refused: {why}");
    let mut transport = Transport::Plain(socket);
    if served.tls != 2 {
        let text = match served.protocol {
            Protocol::Lmtp => format!("{code} {why}\r\n"),
            Protocol::Imap => format!("* BYE [LIMIT] {why}\r\n"),
            Protocol::Pop3 => format!("-ERR [SYS/TEMP] {why}\r\n"),
            // They try again.
            Protocol::DovecotAuth | Protocol::DovecotUserdb | Protocol::Socketmap => String::new(),
        };
        write(&mut transport, text.as_bytes()).await.ok();
    }
    transport.close().await;
}

/// Reads the header of a proxy, not one byte more.
async fn proxied(socket: &Socket) -> io::Result<Option<IpAddr>> {
    let read = socket.read_with(|socket| {
        let mut bytes = [0u8; proxy::MAX_OCTETS];
        let (count, _) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::PEEK)?;
        match proxy::header(bytes.get(..count).unwrap_or_default()) {
            proxy::Header::Client(client, octets) => {
                let header = bytes.get_mut(..octets).unwrap_or_default();
                rustix::net::recv(socket, header, RecvFlags::empty())?;
                Ok(client)
            }
            // Looked at again when more has come.
            proxy::Header::Incomplete if count > 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    });
    deadline::within(PROXY_PATIENCE, read).await
}

impl Front {
    /// What APOP's digest is made with, another one for every connection, if APOP is served.
    fn stamp(&self, number: u64) -> Option<String> {
        let now = crate::sys::clock::now().as_micros();
        let served = self.setup.pop3.apop && self.apop.get();
        served.then(|| format!("<{number}.{now}@{}>", self.setup.hostname))
    }

    /// TLS on this connection from now on, agreed upon by then or not at all, and what comes of it. `login`: for
    /// users who log in.
    pub(super) async fn secure(
        &self,
        socket: Socket,
        until: Instant,
        login: bool,
    ) -> io::Result<(Transport, Secured)> {
        let tls = self.tls.borrow().clone();
        let tls = tls.ok_or(io::ErrorKind::Unsupported)?;
        let patience = until
            .saturating_duration_since(Instant::now())
            .min(HANDSHAKE_PATIENCE);
        let (acceptor, asking) = tls.acceptor(login);
        let handshake = deadline::within(patience, acceptor.accept(socket));
        let stream = handshake.await?;
        let binding = match self.mechanisms().await.iter().any(|m| m.binds()) {
            true => tls.binding(stream.get_ref().1),
            false => Binding::default(),
        };
        let secured = Secured {
            binding,
            shown: asking.and_then(|asking| asking.shown().map(Box::new)),
        };
        Ok((Transport::Tls(Box::new(stream)), secured))
    }
}

async fn imap(
    front: &Rc<Front>,
    socket: Socket,
    served: Served,
    accepted: Accepted,
) -> io::Result<()> {
    let limits = &front.setup.limits;
    let mut login = Box::new(imap::Login::new(imap::LoginSettings {
        secured: served.tls == 2,
        mechanisms: front.mechanisms().await,
        plaintext: accepted.local,
        starttls: served.tls == 1,
        trusted: limits.trusts(accepted.address),
        line_octets: limits.login_line_octets,
        literal_octets: limits.login_literal_octets,
        nonsync_octets: limits.nonsync_literal_octets.into(),
        bad_commands: limits.login_bad_commands,
        failures: limits.login_failures,
        patience: limits.login_timeout,
    }));
    let conversed = converse(front, &mut *login, socket, served, &accepted);
    let Some(transport) = Box::pin(conversed).await? else {
        return Ok(());
    };
    let handover = login.into_handover().map(|handover| handover.encode());
    hand_over(front, transport, served, accepted, handover).await
}

async fn pop3(
    front: &Rc<Front>,
    socket: Socket,
    served: Served,
    accepted: Accepted,
) -> io::Result<()> {
    let limits = &front.setup.limits;
    let delay = front.setup.pop3.login_delay.as_secs();
    let settings = pop3::LoginSettings {
        delay_seconds: u32::try_from(delay).unwrap_or(u32::MAX),
        secured: served.tls == 2,
        mechanisms: front.mechanisms().await,
        plaintext: accepted.local,
        starttls: served.tls == 1,
        trusted: limits.trusts(accepted.address),
        line_octets: limits.login_line_octets,
        bad_commands: limits.login_bad_commands,
        failures: limits.login_failures,
        patience: limits.login_timeout,
    };
    let mut login = Box::new(pop3::Login::new(settings, front.stamp(accepted.number)));
    let conversed = converse(front, &mut *login, socket, served, &accepted);
    let Some(transport) = Box::pin(conversed).await? else {
        return Ok(());
    };
    let handover = login.into_handover().map(|handover| handover.encode());
    hand_over(front, transport, served, accepted, handover).await
}

/// Drives a connection until its machine has ended; `None` if the client is gone before.
async fn converse<M: Machine<Question = Question, Answer = Answer>>(
    front: &Rc<Front>,
    login: &mut M,
    socket: Socket,
    served: Served,
    accepted: &Accepted,
) -> io::Result<Option<Transport>> {
    let deadline = Instant::now() + front.setup.limits.login_timeout;
    let mut secured = Secured::default();
    let mut transport = Transport::Plain(socket);
    let mut secure = served.tls == 2;
    loop {
        if std::mem::take(&mut secure) {
            let Transport::Plain(socket) = transport else {
                return Ok(None);
            };
            (transport, secured) = Box::pin(front.secure(socket, deadline, true)).await?;
            login.event(protocol::Event::Secured {
                bindable: !secured.binding.is_empty(),
                certified: secured.shown.is_some(),
            });
        }
        let ask = async |question| {
            let connection = accepted.number;
            front.judge(connection, accepted, &secured, question).await
        };
        let driven = drive(login, &mut transport, Some(deadline), &front.stop, ask);
        match Box::pin(driven).await? {
            Driven::StartTls => secure = true,
            Driven::Done => return Ok(Some(transport)),
            Driven::Gone => return Ok(None),
        }
    }
}

/// Gives a connection to the engine of its user, if that logged in.
async fn hand_over(
    front: &Rc<Front>,
    mut transport: Transport,
    served: Served,
    accepted: Accepted,
    handover: Option<Vec<u8>>,
) -> io::Result<()> {
    let Some(mut bytes) = handover else {
        transport.close().await;
        return Ok(());
    };
    bytes.insert(0, served.protocol as u8);
    accepted.permit.logged_in();
    let number = accepted.number;
    let message = Message::Handover {
        connection: number,
        bytes,
    };
    match transport {
        Transport::Plain(socket) => {
            let held = &front.handed_over;
            held.borrow_mut().insert(number, accepted.permit);
            front.parent.send(&message, &[socket.as_fd()]).await
        }
        Transport::Tls(stream) => {
            let (near, far) = message::stream()?;
            front.parent.send(&message, &[far.as_fd()]).await?;
            drop((far, message));
            let near = super::transport::socket(near)?;
            Box::pin(relay(stream, near)).await;
            drop(accepted.permit);
            Ok(())
        }
    }
}
