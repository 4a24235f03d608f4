//! The role that faces the network: TLS, everything before login, LMTP. It has no files and names no user.

mod accept;
mod logins;

use super::authorities::Authorities;
use super::channel::Channel;
use super::control::{Certificate, Message};
use super::deadline;
use super::permit::{Permit, Permits};
use super::reactor::{self, Source};
use super::setup::Setup;
use super::stop::Stop;
use super::tasks::Tasks;
use super::tls::Tls;
use crate::auth::{Answer, Binding, Found, Proof, Question, Shown, Verdict, Wanted};
use crate::config::{Mechanisms, Protocol};
use event_listener::Event;
use smol::channel::Sender;
use smol::future::or;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

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
        tasks.start(accept::accept(
            front.clone(),
            tasks.clone(),
            listener,
            served,
        ));
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
