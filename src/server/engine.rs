//! The role that has the mail: sessions after login and deliveries, of one user or of all.

use super::channel::Channel;
use super::concurrency::Deliveries;
use super::control::Message;
use super::deadline;
use super::pool::Pool;
use super::reactor::{self, Signal};
use super::refusal;
use super::setup::Setup;
use super::stop::Stop;
use super::tasks::{Task, Tasks};
use super::visit::{attend, refuse};
use crate::config::{Location, Pop3};
use crate::mailbox::{Account, Care, Error, Host, Limits, Prepare};
use crate::protocol::imap;
use crate::protocol::imap::Bounds;
use crate::sys::{access, memory};
use smol::future::{FutureExt, or};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long after a change the index is made durable, and flags where a store lags (`Store::lags`).
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How long events of watched directories are left to gather after some were read.
const WATCH_PAUSE: Duration = Duration::from_millis(50);
/// How long whoever asked for a check may take none of what is told.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a client that waits for a search is told how far it came.
const PROGRESS_AFTER: Duration = Duration::from_secs(10);
/// How long goodbyes may take.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Commands that are at the mail of users at once.
const MAX_VISITS: u32 = 4;

/// One of something that goes on, until it is dropped, even by a panic.
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn one_more(count: &Arc<AtomicU32>) -> Counted {
        count.fetch_add(1, Ordering::AcqRel);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What all tasks of an engine share.
pub(super) struct Engine {
    pub(super) setup: Setup,
    pub(super) parent: Channel,
    pub(super) tasks: Rc<Tasks>,
    pub(super) host: Host,
    /// Sessions share it, as the next.
    pub(super) imap: Arc<imap::SessionSettings>,
    pub(super) pop3: Arc<Pop3>,
    pub(super) pool: Pool,
    pub(super) stop: Stop,
    pub(super) deliveries: Deliveries,
    /// How many there are of each user; sessions of one user share the name. Those that may only read are apart:
    /// they keep no user out.
    pub(super) sessions: RefCell<[HashMap<Rc<str>, u32>; 2]>,
    /// Tasks that run: sessions, checks, deliveries while they come in.
    busy: Cell<u32>,
    /// Deliveries that a thread of the pool brings to their end.
    filing: Arc<AtomicU32>,
    /// Commands of the administrator's, which count among those, too.
    visits: Arc<AtomicU32>,
    /// Changes whenever something begins or ends.
    turns: Cell<u64>,
    flushing: Cell<bool>,
    /// Connections whose sessions ended, of which the parent was not told yet.
    pub(super) ended: RefCell<Vec<u64>>,
}

fn imap_settings(setup: &Setup) -> imap::SessionSettings {
    let limits = &setup.limits;
    imap::SessionSettings {
        line_octets: limits.command_line_octets,
        literal_octets: limits.literal_octets,
        nonsync_octets: limits.nonsync_literal_octets.into(),
        append_messages: limits.append_messages,
        message_octets: limits.message_octets,
        bounds: Bounds {
            set_ranges: limits.set_ranges,
            search_keys: limits.search_keys,
            search_depth: limits.search_depth,
            ..Bounds::USUAL
        },
        notify_mailboxes: limits.notify_mailboxes,
        search_mailboxes: limits.search_mailboxes,
        search_contexts: limits.search_contexts,
        progress: PROGRESS_AFTER,
        bad_commands: limits.bad_commands,
        patience: limits.imap_idle_timeout,
        keep_alive: limits.imap_keep_alive,
        fetch_failure: setup.imap.fetch_failure,
        workarounds: setup.imap.workarounds,
        admin: setup.imap.admin.as_deref().map(Arc::from),
    }
}

/// Runs until told to stop.
pub(super) fn run(setup: Setup, parent: OwnedFd) -> Result<(), String> {
    Host::look_for_damage();
    let host = match open(&setup) {
        Ok(host) => host,
        Err(why) => {
            refusal::turn_away(&parent, &why);
            return Err(why);
        }
    };
    let engine = Rc::new(Engine {
        parent: Channel::new(parent).map_err(|e| e.to_string())?,
        tasks: Rc::default(),
        host,
        imap: Arc::new(imap_settings(&setup)),
        pop3: Arc::new(setup.pop3.clone()),
        pool: Pool::new(setup.limits.blocking_threads),
        stop: Stop::default(),
        deliveries: Deliveries::new(setup.limits.lmtp_user_deliveries),
        sessions: RefCell::default(),
        busy: Cell::new(0),
        filing: Arc::default(),
        visits: Arc::default(),
        turns: Cell::new(0),
        flushing: Cell::new(false),
        ended: RefCell::default(),
        setup,
    });
    let tasks = engine.tasks.clone();
    tasks.start(engine.clone().watch());
    engine.clone().idle_watch();
    let ran = reactor::block_on(tasks.run(async {
        or(engine.listen(), engine.loss()).await;
        engine.stop.ring();
        let gone = async {
            while engine.is_busy() {
                deadline::after(Duration::from_millis(10)).await;
            }
        };
        or(gone, deadline::after(STOP_PATIENCE)).await;
    }));
    ran.map_err(|error| format!("waiting for events: {error}"))?;
    if Host::is_damaged() {
        return Err(match Host::put_aside(&engine.setup.index) {
            Ok(()) => {
                "the index was damaged: the next engine makes it anew from the mail".to_owned()
            }
            Err(error) => format!("the damaged index cannot be put aside: {error:?}"),
        });
    }
    if engine.host.is_lost() {
        return Err("the index cannot be written: beginning anew".to_owned());
    }
    engine
        .host
        .close()
        .map_err(|error| format!("closing the index: {error:?}"))
}

/// Opens the index, waiting a little for a predecessor that is on its way out.
fn open(setup: &Setup) -> Result<Host, String> {
    let (index, limits) = (&setup.index, Limits::from(&setup.limits));
    let mut tries = 0;
    loop {
        match Host::open(index, limits) {
            Ok(host) => return Ok(host),
            Err(Error::Busy) if tries < 50 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(Error::Denied) => return Err(denied(index)),
            Err(error) => return Err(format!("opening {}: {error:?}", index.display())),
        }
    }
}

/// Why a file or directory cannot be used, as far as that can be seen.
fn denied(path: &Path) -> String {
    match access::explanation(path) {
        why if why.is_empty() => format!("{}: {}", path.display(), Error::Denied.reason()),
        why => why,
    }
}

impl Engine {
    async fn listen(self: &Rc<Self>) {
        while let Ok(Some((message, mut descriptors))) = self.parent.receive().await {
            let stream = descriptors.pop();
            match (message, stream) {
                (
                    Message::Session {
                        connection,
                        user,
                        location,
                        reads,
                        bytes,
                    },
                    Some(stream),
                ) => {
                    let session =
                        self.clone()
                            .session(connection, (user, location, reads), bytes, stream);
                    self.spawn(session);
                }
                // Without its stream whoever waits for an answer knows.
                (Message::Deliver { .. }, Some(_)) if !self.has_room() => {}
                (Message::Deliver { addressees }, Some(stream)) => {
                    super::delivery::deliver(self, addressees, stream);
                }
                (
                    Message::Care {
                        user,
                        location,
                        care,
                    },
                    Some(stream),
                ) => self.spawn(self.clone().care(user, location, care, stream)),
                (Message::Visit { .. }, Some(_)) if !self.has_room() => {}
                (Message::Visit { user, location }, Some(stream)) => {
                    self.visit(user, location, stream);
                }
                (Message::Stop, _) => return,
                _ => log::error!("the parent sent what it should not"),
            }
        }
    }

    /// Until the index is lost, which only a new process can open again, or damaged, so that one has to make it anew.
    async fn loss(&self) {
        loop {
            let lost = self.host.listen();
            if Host::is_damaged() {
                // What was acknowledged is in the store.
                log::error!("the index is damaged: sessions end, and the engine begins anew");
                return;
            }
            if self.host.is_lost() {
                log::error!("the index is lost: sessions end, and the engine begins anew");
                return;
            }
            lost.await;
        }
    }

    /// Runs beside the others; whatever panics in it ends it alone.
    pub(super) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let engine = self.clone();
        self.busy.set(self.busy.get() + 1);
        self.turns.set(self.turns.get() + 1);
        // A future that is moved into another takes its place there twice, unless it has a box.
        let task: Task = Box::pin(task);
        let guarded = async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            if ended.is_err() && !Host::is_damaged() {
                log::error!("a task panicked; its connection ends, others go on");
            }
            engine.busy.set(engine.busy.get().saturating_sub(1));
            engine.turns.set(engine.turns.get() + 1);
            engine.soiled();
        };
        self.tasks.start(guarded);
    }

    /// Notices what other programs do to the directories.
    async fn watch(self: Rc<Self>) {
        let Some(descriptor) = self
            .host
            .watch_fd()
            .and_then(|fd| fd.try_clone_to_owned().ok())
        else {
            return;
        };
        let Ok(events) = Signal::new(descriptor) else {
            return;
        };
        while events.wait().await.is_ok() {
            let host = self.host.clone();
            self.pool.unblock(move || host.drain()).await;
            // A session that renames thousands of files causes as many events, and counts them itself.
            deadline::after(WATCH_PAUSE).await;
        }
    }

    /// Tells the parent when nobody needs this engine any more.
    fn idle_watch(self: Rc<Self>) {
        if !self.setup.single {
            return;
        }
        let tasks = self.tasks.clone();
        let watching = async move {
            loop {
                let before = self.turns.get();
                deadline::after(self.setup.limits.engine_idle_timeout).await;
                if !self.is_busy() && self.turns.get() == before {
                    self.parent.send(&Message::Idle, &[]).await.ok();
                }
            }
        };
        tasks.start(watching);
    }

    /// Whether a session or a delivery may begin; if not, the log says why.
    pub(super) fn has_room(&self) -> bool {
        let limit = self.setup.limits.engine_memory_octets;
        let room = memory::has_room(limit);
        if !room {
            log::warn!("refused for want of memory: most of `engine_memory_octets` is in use");
        }
        room
    }

    fn is_busy(&self) -> bool {
        self.busy.get() > 0 || self.filing.load(Ordering::Acquire) > 0
    }

    /// Has a thread of the pool bring a delivery to its end; nobody waits for it.
    pub(super) fn file(self: &Rc<Self>, delivery: impl FnOnce() + Send + 'static) {
        self.turns.set(self.turns.get() + 1);
        let filing = Counted::one_more(&self.filing);
        self.pool.run(move || {
            let _filing = filing;
            delivery();
        });
        self.flush_later();
    }

    /// Has a thread of its own do what a guest asks: that takes longer than the pool can spare one.
    fn visit(self: &Rc<Self>, user: String, location: Location, stream: OwnedFd) {
        if self.visits.load(Ordering::Acquire) >= MAX_VISITS {
            log::warn!("too many commands are at the mail of users at once");
            return;
        }
        self.turns.set(self.turns.get() + 1);
        let counted = (
            Counted::one_more(&self.visits),
            Counted::one_more(&self.filing),
        );
        let host = self.host.clone();
        let visit = move || {
            let _counted = counted;
            let account = match Engine::account(&host, Prepare::All, &user, &location) {
                Ok(account) => account,
                Err(error) => {
                    log::error!("the mail of {user} cannot be opened: {error:?}");
                    refuse(error, &location.root, stream.into()).ok();
                    return;
                }
            };
            if let Err(error) = attend(&account, stream.into()) {
                log::info!("a command at the mail of {user} broke off: {error}");
            }
        };
        if let Err(error) = std::thread::Builder::new().spawn(visit) {
            log::error!("a thread cannot be started: {error}");
        }
        self.flush_later();
    }

    /// Makes the index durable a little later, if there is something in it that is not.
    pub(super) fn soiled(self: &Rc<Self>) {
        if Host::is_damaged() {
            return self.host.alarm();
        }
        if self.host.is_dirty() {
            self.flush_later();
        }
    }

    /// Makes the index durable again and again, until nothing is left and nothing comes.
    fn flush_later(self: &Rc<Self>) {
        if self.flushing.replace(true) {
            return;
        }
        let engine = self.clone();
        let flushing = async move {
            loop {
                deadline::after(FLUSH_AFTER).await;
                let comes = engine.filing.load(Ordering::Acquire) > 0;
                if engine.host.is_dirty() {
                    let host = engine.host.clone();
                    let flushed = engine.pool.unblock(move || host.flush_unless_busy()).await;
                    if let Err(error) = flushed {
                        log::error!("the index is not durable yet: {error:?}");
                    }
                } else if !comes {
                    break;
                }
            }
            engine.flushing.set(false);
        };
        self.tasks.start(flushing);
    }

    /// The account of a user, made ready.
    pub(super) fn account(
        host: &Host,
        wanted: Prepare,
        user: &str,
        at: &Location,
    ) -> Result<Account, Error> {
        Engine::prepared(host.account_at(user, at)?, wanted, user, at)
    }

    /// The account made ready for a session, or for what is delivered.
    pub(super) fn prepared(
        account: Account,
        wanted: Prepare,
        user: &str,
        at: &Location,
    ) -> Result<Account, Error> {
        account.prepare_for(wanted).inspect_err(|error| {
            if *error == Error::Denied {
                let refused = at.directories().map(denied);
                let refused: Vec<String> = refused.collect();
                log::error!("the mail of {user}: {}", refused.join("; "));
            }
        })?;
        Ok(account)
    }

    async fn care(self: Rc<Self>, user: String, location: Location, care: Care, stream: OwnedFd) {
        let host = self.host.clone();
        let checking = self.pool.unblock(move || {
            use std::io::Write;
            let mut stream = std::os::unix::net::UnixStream::from(stream);
            stream.set_nonblocking(false).ok();
            // Whoever asked may not hold a thread up.
            stream.set_write_timeout(Some(CHECK_PATIENCE)).ok();
            let mut told = stream.try_clone().ok();
            let account = host.account_at(&user, &location);
            let found = account.and_then(|account| match care {
                // Mail that is gone may be just why.
                Care::Rebuild => Ok(account),
                _ => Engine::prepared(account, Prepare::All, &user, &location),
            });
            let checked = found.and_then(|account| {
                account.care(care, &mut |report| {
                    if let Some(told) = told.as_mut() {
                        writeln!(told, "- {}", report.encode()).ok();
                    }
                })
            });
            match checked {
                Ok(_) => writeln!(stream, "ok").ok(),
                Err(Error::Denied) => writeln!(stream, "failed {}", denied(&location.root)).ok(),
                Err(error) => writeln!(stream, "failed {}", error.reason()).ok(),
            }
        });
        checking.await;
    }
}
