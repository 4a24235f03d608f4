//! Connections of users until they are logged in: TLS, the dialogue, and the way to the engine.

use super::{Accepted, Front, Secured};
use crate::auth::{Answer, Binding, Question};
use crate::protocol::{self, Machine};
use crate::server::control::Message;
use crate::server::deadline;
use crate::server::drive::{Driven, drive};
use crate::server::relay::relay;
use crate::server::setup::Served;
use crate::server::transport::{Socket, Transport};
use crate::sys::message;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);

impl Front {
    /// What APOP's digest is made with, another one for every connection, if APOP is served.
    fn stamp(&self, number: u64) -> Option<String> {
        let now = crate::sys::clock::now().as_micros();
        let served = self.setup.pop3.apop && self.apop.get();
        served.then(|| format!("<{number}.{now}@{}>", self.setup.hostname))
    }

    /// TLS on this connection from now on, agreed upon by then or not at all, and what comes of it. `login`: for
    /// users who log in.
    pub(in crate::server) async fn secure(
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

pub(super) async fn imap(
    front: &Rc<Front>,
    socket: Socket,
    served: Served,
    accepted: Accepted,
) -> io::Result<()> {
    let limits = &front.setup.limits;
    let mut login = Box::new(protocol::imap::Login::new(protocol::imap::LoginSettings {
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

pub(super) async fn pop3(
    front: &Rc<Front>,
    socket: Socket,
    served: Served,
    accepted: Accepted,
) -> io::Result<()> {
    let limits = &front.setup.limits;
    let delay = front.setup.pop3.login_delay.as_secs();
    let settings = protocol::pop3::LoginSettings {
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
    let mut login = Box::new(protocol::pop3::Login::new(
        settings,
        front.stamp(accepted.number),
    ));
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
            let near = crate::server::transport::socket(near)?;
            Box::pin(relay(stream, near)).await;
            drop(accepted.permit);
            Ok(())
        }
    }
}
