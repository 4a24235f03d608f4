//! The role that knows the users: verdicts, lookups of recipients, penalties. It has neither files nor network.

mod load;
mod verdicts;

use super::authorities::Authorities;
use super::channel::Channel;
use super::control::Message;
use super::dialogues::Dialogues;
use super::pool::Pool;
use super::reactor;
use super::recent::Recent;
use super::setup::Setup;
use super::tasks::Tasks;
use crate::auth::{AppPasswords, Credentials, Found, Postal, Throttle, User, Users, Wanted};
use crate::config::{Layout, Mechanism, Mechanisms, Protocol};
use crate::sys::memory;
use event_listener::Event;
use smol::lock::{RwLock, Semaphore};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Octets that are the memory of a hash, or of all users.
const HASH: i32 = 1 << 20;

/// What a client speaks, and where it comes from.
type Peer = (Protocol, IpAddr);

/// Names that are told at a time; all of them fit into a message.
const NAMES: usize = 200;

struct Auth {
    began: Instant,
    setup: Setup,
    parent: Channel,
    users: RefCell<Option<Arc<Users>>>,
    postal: RefCell<Postal>,
    app_passwords: RefCell<AppPasswords>,
    authorities: RefCell<Option<Authorities>>,
    /// What can be used to log in; all users have to be looked at to find it out.
    offered: Cell<Mechanisms>,
    /// Whose passwords were to be stored anew since users were read, and when.
    renewed: RefCell<HashMap<String, Instant>>,
    /// The one that runs now.
    front: RefCell<Option<Rc<Channel>>>,
    throttle: RefCell<Throttle>,
    dialogues: RefCell<Dialogues>,
    recent: RefCell<Recent>,
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
        app_passwords: RefCell::default(),
        authorities: RefCell::default(),
        offered: Cell::default(),
        renewed: RefCell::default(),
        front: RefCell::default(),
        throttle: RefCell::new(throttle),
        dialogues: RefCell::new(Dialogues::new(limits.max_connections)),
        recent: RefCell::new(Recent::new(setup.pop3.login_delay)),
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
                Message::Authorities { pem, name } => match Authorities::new(&pem, name) {
                    Ok(all) => *auth.authorities.borrow_mut() = Some(all),
                    Err(why) => log::error!("client_ca stays as it was: {why}"),
                },
                Message::AppPasswords => auth.load_app_passwords(descriptors.pop()),
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
    /// Where the mail of a user is, as others are told.
    fn mail(&self, user: &User) -> Option<String> {
        let (storage, data_dir) = (self.setup.storage()?, &self.setup.data_dir);
        let (home, own) = (user.home.as_deref(), user.mail.as_deref());
        let location = storage.location_of(data_dir, &user.name, home, own).ok()?;
        let format = location.form.format.as_str();
        let mut mail = format!("{format}:{}", location.root.to_str()?);
        if location.form.layout == Layout::Nested {
            mail.push_str(":LAYOUT=fs");
        }
        for (word, place) in [
            ("INBOX", &location.form.inbox),
            ("ALT", &location.form.alternate),
        ] {
            if let Some(place) = place {
                mail.push_str(&format!(":{word}={}", place.to_str()?));
            }
        }
        Some(mail)
    }

    /// The answer to whoever may ask that.
    fn look_up(&self, wanted: &Wanted) -> Found {
        let about_users = matches!(wanted, Wanted::User(_) | Wanted::Names { .. });
        let may = match about_users {
            true => self.setup.userdb,
            false => self.setup.socketmap,
        };
        let users = self.users.borrow().clone().filter(|_| may);
        // Where nobody is set up yet, nothing is known of anybody.
        let Some(users) = users.filter(|users| users.iter().next().is_some()) else {
            return Found::Unavailable;
        };
        match about_users {
            true => match users.look_up(wanted, NAMES) {
                Found::User(user, _) => {
                    let mail = self.mail(&user);
                    Found::User(user, mail)
                }
                other => other,
            },
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
                (None, Mechanism::Anonymous) => some,
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
