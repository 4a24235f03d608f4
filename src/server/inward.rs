//! Connections of other servers on this machine, which ask about users (see [`crate::protocol::dovecot_auth`] and
//! [`crate::protocol::socketmap`]).

use super::deadline::Rounds;
use super::drive::{drive, write};
use super::front::{Accepted, Front, Secured};
use super::transport::{Socket, Transport};
use crate::auth::{Answer, Found, Wanted};
use crate::protocol::Machine;
use crate::protocol::dovecot_auth::{Asked, Client, ClientSettings};
use smol::future::or;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// An answer to come: the id of its request, the number of its exchange, and what it is.
type Answering<'a> = Pin<Box<dyn Future<Output = (u32, u64, Answer)> + 'a>>;

/// What a connection waited for.
enum Waited {
    Bytes(usize),
    Answer(u32, u64, Answer),
    Stopping,
}

/// Who somebody is, for many at a time.
pub(super) async fn client(
    front: &Rc<Front>,
    socket: Socket,
    accepted: &Accepted,
) -> io::Result<()> {
    let mut transport = Transport::Plain(socket);
    let mut out = Vec::new();
    let mut cookie = [0; 16];
    getrandom::fill(&mut cookie).map_err(|error| io::Error::other(error.to_string()))?;
    let settings = ClientSettings {
        mechanisms: front.mechanisms().await,
        number: accepted.number,
        cookie: cookie.iter().map(|octet| format!("{octet:02x}")).collect(),
        requests: front.setup.limits.auth_requests,
    };
    let mut client = Client::new(settings, &mut out);
    let mut answering: Vec<Answering<'_>> = Vec::new();
    // What there was no room for yet.
    let mut left: Vec<u8> = Vec::new();
    let mut rounds = Rounds::default();
    loop {
        rounds.next().await;
        while let Some(asked) = client.advance(&mut || front.number(), &mut out) {
            answering.push(answer(front, accepted, asked));
        }
        write(&mut transport, &std::mem::take(&mut out)).await?;
        if client.is_closed() {
            log::warn!(
                "{}: another server does not keep to dovecot-auth",
                accepted.address
            );
            transport.close().await;
            return Ok(());
        }
        if !left.is_empty() {
            let taken = client.input(&left);
            left.drain(..taken);
            continue;
        }
        let read = async {
            let read = transport.read(|bytes| {
                let taken = client.input(bytes);
                left.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            });
            read.await.map(Waited::Bytes)
        };
        let stopping = async {
            front.stop.wait().await;
            Ok(Waited::Stopping)
        };
        match or(stopping, or(first(&mut answering), read)).await? {
            Waited::Bytes(0) | Waited::Stopping => return Ok(()),
            Waited::Bytes(_) => {}
            Waited::Answer(id, connection, told) => {
                if let Some(asked) = client.answer(id, connection, told, &mut out) {
                    answering.push(answer(front, accepted, asked));
                }
            }
        }
    }
}

fn answer<'a>(front: &'a Rc<Front>, accepted: &'a Accepted, asked: Asked) -> Answering<'a> {
    Box::pin(async move {
        let connection = asked.connection;
        // Another server's TLS is none of ours.
        let none = Secured::default();
        let judged = front.judge(connection, accepted, &none, asked.question);
        (asked.id, connection, judged.await)
    })
}

/// The first of all answers that is there.
async fn first(answering: &mut Vec<Answering<'_>>) -> io::Result<Waited> {
    let (id, connection, told) = poll_fn(|context| {
        for at in 0..answering.len() {
            let polled = answering.get_mut(at).map(|one| one.as_mut().poll(context));
            if let Some(Poll::Ready(answer)) = polled {
                drop(answering.swap_remove(at));
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    })
    .await;
    Ok(Waited::Answer(id, connection, told))
}

/// Where users are, or which addresses there are, one question after the other.
pub(super) async fn lookups<M: Machine<Question = Wanted, Answer = Found>>(
    front: &Rc<Front>,
    socket: Socket,
    accepted: &Accepted,
    mut machine: M,
) -> io::Result<()> {
    let mut transport = Transport::Plain(socket);
    let ask = async |wanted| front.look_up(accepted.number, wanted).await;
    Box::pin(drive(&mut machine, &mut transport, None, &front.stop, ask)).await?;
    transport.close().await;
    Ok(())
}
