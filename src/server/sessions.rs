//! The sessions of an engine: begun, driven, ended.

use super::control::Message;
use super::deadline::{self, Rounds};
use super::drive::write;
use super::engine::Engine;
use super::reactor::Peer;
use super::refusal::{self, Handover};
use super::transport::{Transport, socket};
use super::turn;
use crate::codec::deflate::{self, Inflate};
use crate::config::Location;
use crate::mailbox::{Account, Host, Prepare};
use crate::protocol::{Event, Output, Progress, Resident, Turn, imap, pop3};
use smol::future::{FutureExt, or};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a client that sends nothing more is asked whether it still reads.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// How long ends of sessions are gathered before the parent is told.
const ENDED_PAUSE: Duration = Duration::from_millis(10);
/// Of so many at once.
const MAX_ENDED: usize = 4096;

/// Where bytes from a client go that its session has no room for, or that are compressed.
struct Inward<'a> {
    left: &'a mut Vec<u8>,
    packed: Option<&'a mut Inflate>,
}

impl Engine {
    pub(super) async fn session(
        self: Rc<Self>,
        connection: u64,
        (user, location, reads): (String, Location, bool),
        bytes: Vec<u8>,
        stream: OwnedFd,
    ) {
        let handover = Handover::decode(&bytes);
        let (name, counted) = self.count(&user, reads);
        // A session that waits owns no heap for what it came with.
        drop((user, bytes));
        let user = name;
        if let (Ok(socket), Some(handover)) = (socket(stream), handover) {
            let mut transport = Transport::Plain(socket);
            let served = Box::pin(async {
                let opened = self.open(&user, (location, reads), handover, &mut transport, counted);
                // What only the beginning needs is not kept while the session waits.
                let Some(session) = Box::pin(opened).await? else {
                    return Ok(None);
                };
                let mut session = Some(session);
                let driven = self.drive(&mut session, &mut transport).await;
                if let Some(session) = session {
                    Box::pin(self.part(session)).await;
                }
                let farewell = driven?;
                transport.close().await;
                io::Result::Ok(farewell)
            });
            // Here, so that its place is given back whatever happens.
            match AssertUnwindSafe(served).catch_unwind().await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(farewell))) => log::info!("session of {user} ended: {farewell}"),
                Ok(Err(error)) => log::debug!("session of {user}: {error}"),
                Err(_) if Host::is_damaged() => {
                    log::warn!("a session of {user} ends: it met the damage of the index");
                }
                Err(_) => log::error!("a session of {user} panicked; it ends, others go on"),
            }
        }
        self.uncount(&user, reads);
        self.ended(connection);
    }

    /// The parent is told a little later, of all that end meanwhile.
    fn ended(self: &Rc<Self>, connection: u64) {
        self.ended.borrow_mut().push(connection);
        if self.ended.borrow().len() > 1 {
            return;
        }
        let engine = self.clone();
        self.tasks.start(async move {
            deadline::after(ENDED_PAUSE).await;
            let ended = engine.ended.take();
            for some in ended.chunks(MAX_ENDED) {
                let connections = some.to_vec();
                let message = Message::Ended { connections };
                engine.parent.send(&message, &[]).await.ok();
            }
        });
    }

    /// The user's name, and true while there are not too many sessions of it.
    fn count(&self, user: &str, reads: bool) -> (Rc<str>, bool) {
        let [changing, reading] = &mut *self.sessions.borrow_mut();
        let sessions = if reads { reading } else { changing };
        let known = sessions.get_key_value(user).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| user.into());
        let count = sessions.entry(name.clone()).or_default();
        *count += 1;
        (name, *count <= self.setup.limits.max_connections_per_user)
    }

    fn uncount(&self, user: &str, reads: bool) {
        let [changing, reading] = &mut *self.sessions.borrow_mut();
        let sessions = if reads { reading } else { changing };
        if let Some(count) = sessions.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(user);
            }
        }
    }

    /// The session of a connection that has logged in; `None` if it was refused.
    async fn open(
        self: &Rc<Self>,
        user: &str,
        (location, reads): (Location, bool),
        handover: Handover,
        transport: &mut Transport,
        counted: bool,
    ) -> io::Result<Option<Box<dyn Resident>>> {
        let refused = if !counted {
            log::warn!("{user} has too many connections");
            let imap = "[LIMIT] Too many connections of this user.";
            Some(handover.refusal(imap, pop3::BUSY))
        } else if !self.has_room() {
            let imap = "[LIMIT] Too little memory for another session.";
            Some(handover.refusal(imap, pop3::NO_MEMORY))
        } else {
            None
        };
        if let Some(text) = refused {
            write(transport, text.as_bytes()).await?;
            return Ok(None);
        }
        let rights = move |account: Account| match reads {
            true => account.for_reading(),
            false => account,
        };
        let opened = match self.host.known_account(user, &location) {
            Some(account) => Ok(rights(account)),
            None => {
                let (host, name) = (self.host.clone(), user.to_owned());
                let open = move || {
                    let account = rights(host.account_at(&name, &location)?);
                    Engine::prepared(account, Prepare::All, &name, &location)
                };
                self.pool.unblock(open).await
            }
        };
        let account = match opened {
            Ok(account) => account,
            Err(error) => {
                log::error!("the mail of {user} cannot be opened: {error:?}");
                let text = handover.refusal(refusal::UNAVAILABLE, pop3::UNAVAILABLE);
                write(transport, text.as_bytes()).await?;
                return Ok(None);
            }
        };
        Ok(Some(match handover {
            Handover::Imap(handover) => {
                Box::new(imap::Session::new(account, handover, self.imap.clone()))
            }
            Handover::Pop3(handover) => {
                let (pop3, settings) = (self.pop3.clone(), self.pop3_settings());
                Box::new(pop3::Session::new(account, handover, pop3, settings))
            }
        }))
    }

    fn pop3_settings(&self) -> pop3::SessionSettings {
        let limits = &self.setup.limits;
        pop3::SessionSettings {
            line_octets: limits.command_line_octets,
            bad_commands: limits.bad_commands,
            patience: limits.pop3_idle_timeout,
        }
    }

    /// Advances the session, on a thread that may block where it has to, which writes to `stream` what
    /// there is room for. `None` if the session is gone; else also whether anything was written.
    async fn turn(
        self: &Rc<Self>,
        held: &mut Option<Box<dyn Resident>>,
        out: &mut Output,
        stream: Option<Arc<UnixStream>>,
    ) -> Option<(Progress<()>, bool)> {
        let mut progress = held.as_deref_mut()?.advance(Turn::Quick, out);
        let mut wrote = false;
        while matches!(progress, Progress::Disk) {
            let (mut session, mut own) = (held.take()?, std::mem::take(out));
            let stream = stream.clone();
            let turn = self.pool.unblock(move || {
                #[cfg(debug_assertions)]
                super::compromised::stumble();
                let (progress, wrote) = turn::take(&mut *session, &mut own, stream.as_deref());
                (session, own, progress, wrote)
            });
            let (session, written);
            (session, *out, progress, written) = turn.await;
            *held = Some(session);
            wrote |= written;
            self.soiled();
        }
        Some((progress, wrote))
    }

    /// Lets a session without a client do what is still to be done.
    async fn part(self: &Rc<Self>, mut session: Box<dyn Resident>) {
        session.event(Event::Gone);
        let (mut held, mut out) = (Some(session), Output::new());
        while let Some((Progress::Flush, _)) = self.turn(&mut held, &mut out, None).await {
            out.clear();
        }
    }

    /// As `drive::drive`, for a machine that blocks on the disk and waits for its mailbox. Returns why the
    /// server ended the session, if it did.
    async fn drive(
        self: &Rc<Self>,
        held: &mut Option<Box<dyn Resident>>,
        transport: &mut Transport,
    ) -> io::Result<Option<String>> {
        let mut out = Output::new();
        let mut left: Vec<u8> = Vec::new();
        let mut packed: Option<Inflate> = None;
        let mut told_of_stop = false;
        let mut rounds = Rounds::default();
        let mut asked: Option<Instant> = None;
        loop {
            // In an engine of all users the others have their turns too.
            rounds.next().await;
            let stream = transport.plain().filter(|_| packed.is_none());
            let Some((progress, wrote)) = self.turn(held, &mut out, stream).await else {
                return Ok(None);
            };
            let Some(session) = held.as_deref_mut() else {
                return Ok(None);
            };
            match packed {
                None => write(transport, out.bytes()).await?,
                Some(_) => {
                    let mut small = Vec::new();
                    deflate::compress(out.bytes(), &mut small);
                    write(transport, &small).await?;
                }
            }
            let silent = out.bytes().is_empty() && !wrote;
            out.clear();
            let waits = match progress {
                Progress::Compress => {
                    let inflate = packed.insert(Inflate::new());
                    inflate.input(&session.take_compressed());
                    continue;
                }
                Progress::Done => return Ok(session.farewell()),
                Progress::NeedInput => false,
                Progress::Wait => true,
                _ if silent && session.is_silent() && self.stop.rung() && !told_of_stop => {
                    told_of_stop = true;
                    session.event(Event::Stopping);
                    continue;
                }
                // A long command: its client may have left meanwhile.
                _ if silent => match transport.peer() {
                    Peer::There => continue,
                    Peer::Gone => return Ok(None),
                    Peer::Silent => {
                        if asked.is_none_or(|at| at.elapsed() >= SIGN_OF_LIFE) {
                            asked = Some(Instant::now());
                            session.sign_of_life(&mut out);
                        }
                        continue;
                    }
                },
                _ => continue,
            };
            if let Some(inflate) = packed.as_mut().filter(|_| left.is_empty()) {
                let undone = inflate.next(&mut left);
                undone.map_err(|_| io::ErrorKind::InvalidData)?;
            }
            if !left.is_empty() {
                let taken = session.input(&left);
                left.drain(..taken);
                if taken > 0 {
                    continue;
                }
                return Err(io::ErrorKind::InvalidData.into());
            }
            out.free();
            left = Vec::new();
            let mut inward = Inward {
                left: &mut left,
                packed: packed.as_mut(),
            };
            match self
                .wait(session, transport, &mut inward, waits, told_of_stop)
                .await?
            {
                None => return Ok(None),
                Some(event) => {
                    told_of_stop |= event == Some(Event::Stopping);
                    if let Some(event) = event {
                        session.event(event);
                    }
                }
            }
        }
    }

    /// Waits for the client or an event; `None` when the client is gone.
    async fn wait(
        &self,
        session: &mut dyn Resident,
        transport: &mut Transport,
        inward: &mut Inward<'_>,
        waits: bool,
        told_of_stop: bool,
    ) -> io::Result<Option<Option<Event>>> {
        let listener = if waits { session.listener() } else { None };
        if waits && session.is_stale() {
            return Ok(Some(Some(Event::Woken)));
        }
        let patience = session.patience();
        let read = async {
            let read = transport.read(|bytes| {
                if let Some(inflate) = inward.packed.as_mut() {
                    return inflate.input(bytes);
                }
                let taken = session.input(bytes);
                let rest = bytes.get(taken..).unwrap_or_default();
                inward.left.extend_from_slice(rest);
            });
            Ok((read.await? > 0).then_some(None))
        };
        let other = async {
            let woken = async {
                match listener {
                    Some(listener) => listener.await,
                    None => std::future::pending().await,
                }
                Event::Woken
            };
            let stopping = async {
                match told_of_stop {
                    true => std::future::pending().await,
                    false => self.stop.wait().await,
                }
                Event::Stopping
            };
            let timer = async {
                deadline::after(patience).await;
                Event::TimedOut
            };
            Ok(Some(Some(or(woken, or(stopping, timer)).await)))
        };
        or(other, read).await
    }
}
