//! LMTP in `front`: messages go to the engines of their recipients as they come.

use super::control::Message;
use super::deadline;
use super::drive::{Driven, drive};
use super::front::{Accepted, Front, Reply};
use super::recipients::Recipients;
use super::setup::Served;
use super::transport::{Socket, Transport, socket};
use crate::deliver::{Dsn, Envelope, Outcome};
use crate::protocol::lmtp::{Answer, Lookup, Question, Session, Settings};
use crate::protocol::{Event, Machine};
use crate::sys::{clock, message};
use rustix::net::{SendFlags, send};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Length of a frame that says: this was all, file it.
pub(super) const COMMIT: u32 = u32::MAX;
/// The same, and that another message to the same recipient may follow.
pub(super) const COMMIT_AND_STAY: u32 = u32::MAX - 1;

/// How long an engine that stays is used for the next message; it stays for longer.
const STAYS: Duration = Duration::from_secs(5);

/// A message on its way to some engines.
#[derive(Default)]
struct Running {
    next_ticket: u32,
    tickets: Vec<u32>,
    /// Names the transaction.
    id: String,
    /// The envelope, until the first piece goes to the engines.
    beginning: Option<Box<Envelope>>,
    engines: Vec<Engine>,
    recipients: Recipients,
    /// A recipient of this transaction was known from one before: more messages to it may come.
    returns: bool,
    /// The engine that waits for them, and since when.
    staying: Option<(Engine, Instant)>,
}

/// One engine: its stream until it fails, and for whom it answers.
struct Engine {
    stream: Option<Socket>,
    tickets: Vec<u32>,
    /// How long it may take to go on. Less than the clients' patience, which is 10 minutes for the end of
    /// the data (RFC 5321 §4.5.3.2.6) but often less: answers come in the order of the recipients, so those
    /// of the others wait for it too, and a client that gave up sends them the message again.
    patience: Duration,
}

impl Engine {
    /// Writes; an engine that is stuck or gone is left out, the others go on.
    async fn write(&mut self, bytes: &[u8]) {
        let Some(stream) = self.stream.as_mut() else {
            return;
        };
        if let Err(error) = deadline::within(self.patience, stream.write_all(bytes)).await {
            log::error!("an engine does not take a message: {error}");
            self.stream = None;
        }
    }

    async fn outcomes(&mut self) -> Vec<Outcome> {
        let mut bytes = vec![Outcome::Unavailable.byte(); self.tickets.len()];
        if let Some(stream) = self.stream.as_mut() {
            let read = deadline::within(self.patience, stream.read_exact(&mut bytes));
            if let Err(error) = read.await {
                log::error!("an engine does not answer for a message: {error}");
                self.stream = None;
                return vec![Outcome::Unavailable; self.tickets.len()];
            }
        }
        bytes.into_iter().map(Outcome::from_byte).collect()
    }
}

/// Runs all at once; their results in the same order.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, result) in futures.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *result = Some(ready);
            }
        }
        match futures.iter().all(|(_, result)| result.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, result)| result)
        .collect()
}

/// Those of `values`, one each of `tickets`, that belong to `wanted`, in the order of these.
fn those_of(values: &[Dsn], tickets: &[u32], wanted: &[u32]) -> Vec<Dsn> {
    let place = |ticket: &u32| tickets.iter().position(|other| other == ticket);
    let value = |ticket| place(ticket).and_then(|at| values.get(at)).cloned();
    wanted
        .iter()
        .map(|ticket| value(ticket).unwrap_or_default())
        .collect()
}

/// A piece with its length in front.
pub(super) fn frame(piece: &[u8], out: &mut Vec<u8>) {
    if !piece.is_empty() {
        out.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(piece);
    }
}

/// One LMTP connection.
pub(super) async fn serve(
    front: &Rc<Front>,
    client: Socket,
    served: Served,
    accepted: &Accepted,
) -> io::Result<()> {
    let limits = &front.setup.limits;
    let mut session = Box::new(Session::new(Settings {
        hostname: front.setup.hostname.clone(),
        address: accepted.address,
        secured: served.tls == 2,
        starttls: served.tls == 1,
        trusted: limits.trusts(accepted.address),
        line_octets: limits.login_line_octets,
        message_octets: limits.message_octets,
        recipients: limits.max_recipients,
        transactions: limits.max_transactions,
        bad_commands: limits.login_bad_commands,
        patience: limits.lmtp_idle_timeout,
    }));
    let mut transport = match served.tls {
        2 => secure(front, client).await?,
        _ => Transport::Plain(client),
    };
    let running = RefCell::new(Running::default());
    // Nobody has a transaction when TLS begins.
    let (driven, mut transport) = loop {
        let ask = async |question| answer(front, accepted, &running, question).await;
        let driving = drive(&mut *session, &mut transport, None, &front.stop, ask);
        let driven = Box::pin(driving).await;
        transport = match (driven, transport) {
            (Ok(Driven::StartTls), Transport::Plain(client)) => secure(front, client).await?,
            (driven, transport) => break (driven, transport),
        };
        session.event(Event::Secured {
            bindable: false,
            certified: false,
        });
    };
    if running.borrow().next_ticket > 0 {
        forget(front, accepted.number, u32::MAX).await?;
    }
    if driven? == Driven::Done {
        transport.close().await;
    }
    Ok(())
}

async fn secure(front: &Front, client: Socket) -> io::Result<Transport> {
    let until = Instant::now() + front.setup.limits.login_timeout;
    let (transport, _) = Box::pin(front.secure(client, until, false)).await?;
    Ok(transport)
}

/// Nobody comes any more for what this connection was granted, up to that ticket.
async fn forget(front: &Front, connection: u64, last: u32) -> io::Result<()> {
    let message = Message::Closed { connection, last };
    front.parent.send(&message, &[]).await
}

// One task owns the connection, so nobody else borrows while it waits.
#[allow(clippy::await_holding_refcell_ref)]
async fn answer(
    front: &Front,
    accepted: &Accepted,
    running: &RefCell<Running>,
    question: Question,
) -> Answer {
    let mut running = running.borrow_mut();
    match question {
        Question::Recipient(address) => {
            let users = front.users.get();
            if let Some(ticket) = running.recipients.ticket(&address, users, Instant::now()) {
                running.returns = true;
                return Answer::Recipient(Lookup::Known(ticket));
            }
            running.next_ticket += 1;
            let ticket = running.next_ticket;
            let named = address.clone();
            let message = Message::Recipient {
                connection: accepted.number,
                ticket,
                address,
            };
            Answer::Recipient(match front.ask(accepted.number, &message, true).await {
                Some(Reply::Lookup(0)) => {
                    let now = Instant::now();
                    running.recipients.note(&named, ticket, users, now);
                    Lookup::Known(ticket)
                }
                Some(Reply::Lookup(1)) => Lookup::Unknown,
                _ => Lookup::Unavailable,
            })
        }
        Question::Begin {
            mut envelope,
            tickets,
        } => {
            let now = clock::now().as_micros();
            running.id = format!("{now:x}.{:x}", accepted.number);
            envelope.id = running.id.clone().into_bytes();
            // The engines are asked for together with the first piece: mostly that is all of it.
            running.engines.clear();
            running.tickets = tickets;
            running.beginning = Some(envelope);
            Answer::Begun(true)
        }
        Question::Body(piece) => {
            let mut bytes = Vec::new();
            frame(&piece, &mut bytes);
            running.pass(front, accepted.number, &bytes).await;
            Answer::Begun(running.engines.iter().any(|engine| engine.stream.is_some()))
        }
        Question::End(piece) => {
            let mut bytes = Vec::new();
            frame(&piece, &mut bytes);
            // A bit of work for the engine, which spares more when there is a next message.
            let stays = std::mem::take(&mut running.returns) && running.tickets.len() == 1;
            let commit = if stays { COMMIT_AND_STAY } else { COMMIT };
            bytes.extend_from_slice(&commit.to_le_bytes());
            running.pass(front, accepted.number, &bytes).await;
            let outcomes = running.outcomes(stays).await;
            if outcomes.contains(&Outcome::Delivered) {
                // Mail servers keep their connections: they hold no place of those who log in. Whoever
                // only names a recipient does.
                accepted.permit.logged_in();
            }
            Answer::Outcomes(outcomes, std::mem::take(&mut running.id))
        }
        Question::Abandon => {
            running.engines.clear();
            running.beginning = None;
            // What the parent forgets is not known any more.
            (running.recipients, running.returns) = (Recipients::default(), false);
            if let Err(error) = forget(front, accepted.number, running.next_ticket).await {
                log::error!("the parent is not told of a transaction's end: {error}");
            }
            Answer::Begun(true)
        }
    }
}

impl Running {
    /// Gives the bytes to every engine; the first time with the envelope in front of them.
    async fn pass(&mut self, front: &Front, connection: u64, bytes: &[u8]) {
        let Some(envelope) = self.beginning.take() else {
            self.write(bytes).await;
            return;
        };
        let begun = match self.tickets.as_slice() {
            [_] => {
                let mut first = Vec::new();
                frame(&envelope.encode(), &mut first);
                first.extend_from_slice(bytes);
                if self.begin_again(&first).await {
                    return;
                }
                self.begin_one(front, connection, &first).await
            }
            _ => self.begin(front, connection, *envelope, bytes).await,
        };
        if let Err(error) = begun {
            log::error!("no engine takes a message: {error}");
        }
    }

    /// Goes on with the engine that stayed, if it is that of the only recipient. False if there is none:
    /// then it has got nothing.
    async fn begin_again(&mut self, bytes: &[u8]) -> bool {
        let Some((mut engine, since)) = self.staying.take() else {
            return false;
        };
        if engine.tickets != self.tickets || since.elapsed() > STAYS {
            return false;
        }
        let sent = match engine.stream.as_ref().map(|stream| {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            send(stream, bytes, flags)
        }) {
            Some(Ok(sent)) => sent,
            // It ended meanwhile.
            _ => return false,
        };
        engine.write(bytes.get(sent..).unwrap_or_default()).await;
        self.engines.push(engine);
        true
    }

    /// One recipient has one engine: it gets the stream with the message in it already.
    async fn begin_one(&mut self, front: &Front, connection: u64, bytes: &[u8]) -> io::Result<()> {
        let (near, far) = message::stream()?;
        // Nobody reads yet: only what has room goes now.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = send(&near, bytes, flags).unwrap_or(0);
        let message = Message::Transaction {
            connection,
            tickets: self.tickets.clone(),
        };
        front.parent.send(&message, &[far.as_fd()]).await?;
        drop(far);
        let mut engine = Engine {
            stream: Some(socket(near)?),
            tickets: self.tickets.clone(),
            patience: front.setup.limits.lmtp_filing_timeout,
        };
        engine.write(bytes.get(sent..).unwrap_or_default()).await;
        self.engines.push(engine);
        Ok(())
    }

    /// The parent knows which recipients have the same engine.
    async fn begin(
        &mut self,
        front: &Front,
        connection: u64,
        mut envelope: Envelope,
        bytes: &[u8],
    ) -> io::Result<()> {
        let message = Message::Transaction {
            connection,
            tickets: self.tickets.clone(),
        };
        let Some(Reply::Groups(groups, streams)) = front.ask(connection, &message, false).await
        else {
            return Err(io::ErrorKind::TimedOut.into());
        };
        for (tickets, stream) in groups.into_iter().zip(streams) {
            self.engines.push(Engine {
                stream: socket(stream).ok(),
                tickets,
                patience: front.setup.limits.lmtp_filing_timeout,
            });
        }
        // Each is told what was said of its own recipients.
        let said = std::mem::take(&mut envelope.recipients);
        let mut firsts = Vec::new();
        for engine in &self.engines {
            envelope.recipients = those_of(&said, &self.tickets, &engine.tickets);
            let mut first = Vec::new();
            frame(&envelope.encode(), &mut first);
            firsts.push(first);
        }
        let engines = self.engines.iter_mut().zip(&firsts);
        all(engines.map(async |(engine, first)| {
            engine.write(first).await;
            engine.write(bytes).await;
        }))
        .await;
        Ok(())
    }

    /// Writes to all engines at once, so that stuck ones cost the time of one.
    async fn write(&mut self, bytes: &[u8]) {
        all(self.engines.iter_mut().map(|engine| engine.write(bytes))).await;
    }

    /// Every engine files its copies at the same time; then each answers.
    async fn outcomes(&mut self, stays: bool) -> Vec<Outcome> {
        let answers = all(self.engines.iter_mut().map(Engine::outcomes)).await;
        let tickets = self.engines.iter().map(|engine| engine.tickets.clone());
        let answers = tickets.zip(answers);
        let answers: Vec<(u32, Outcome)> = answers
            .flat_map(|(tickets, outcomes)| tickets.into_iter().zip(outcomes))
            .collect();
        let last = self
            .engines
            .pop()
            .filter(|engine| stays && engine.stream.is_some());
        self.staying = last.map(|engine| (engine, Instant::now()));
        self.engines.clear();
        let of = |ticket: &u32| answers.iter().find(|(own, _)| own == ticket);
        let outcome = |ticket| of(ticket).map_or(Outcome::Unavailable, |(_, outcome)| *outcome);
        self.tickets.iter().map(outcome).collect()
    }
}
