//! A message on its way from `front` into the mailboxes of an engine.

use super::control::Addressee;
use super::engine::Engine;
use super::lmtp::COMMIT;
use super::transport::{Socket, socket};
use crate::deliver::{Delivery, Envelope, Outcome, Recipient};
use smol::Timer;
use smol::future::or;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// Octets of one piece; `front` sends no larger ones.
const MAX_PIECE: u32 = 64 * 1024;
/// How long `front` may send nothing.
const PATIENCE: Duration = Duration::from_secs(600);

/// Serves one transaction: the message from the stream, then one octet an addressee. A
/// stream that ends early gives the message up.
pub(super) async fn deliver(engine: Rc<Engine>, addressees: Vec<Addressee>, stream: OwnedFd) {
    let Ok(stream) = socket(stream) else {
        return;
    };
    if let Err(error) = transaction(&engine, addressees, stream).await {
        log::debug!("a delivery was given up: {error}");
    }
}

async fn transaction(
    engine: &Rc<Engine>,
    addressees: Vec<Addressee>,
    mut stream: Socket,
) -> io::Result<()> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let first = piece(&mut stream).await?.ok_or_else(broken)?;
    let envelope = Envelope::decode(&first).ok_or_else(broken)?;
    let users: Vec<String> = addressees.iter().map(|a| a.user.clone()).collect();
    let mut beginning = Some((addressees, envelope));
    let mut delivery: Option<Delivery> = None;
    loop {
        let piece = piece(&mut stream).await?;
        // A small message takes one turn on a blocking thread for all that is to do.
        let more = piece.is_some() && buffered_commit(&stream).is_none();
        let (host, hostname) = (engine.host.clone(), engine.setup.hostname.clone());
        let (begin, kept) = (beginning.take(), delivery.take());
        let turn = smol::unblock(move || {
            let mut delivery = match (kept, begin) {
                (Some(kept), _) => kept,
                (None, Some((addressees, envelope))) => {
                    let recipients = addressees.into_iter().map(|a| recipient(&host, a));
                    let now = crate::sys::clock::now();
                    let id = format!("{:x}.{}", now.as_micros(), std::process::id());
                    let seconds = crate::sys::clock::now_seconds();
                    Delivery::new(recipients.collect(), &envelope, &hostname, &id, seconds)
                }
                (None, None) => return Err(Vec::new()),
            };
            if let Some(piece) = &piece {
                delivery.write(piece);
            }
            if more {
                Ok(delivery)
            } else {
                Err(delivery.finish())
            }
        });
        match turn.await {
            Ok(kept) => delivery = Some(kept),
            Err(outcomes) => return answer(engine, &users, &outcomes, &mut stream).await,
        }
    }
}

/// `Some` if the mark of the end waits in the socket already; it is taken then.
fn buffered_commit(stream: &Socket) -> Option<()> {
    use rustix::net::{RecvFlags, recv};
    let mut mark = [0u8; 4];
    let (count, _) = recv(stream, &mut mark[..], RecvFlags::PEEK | RecvFlags::DONTWAIT).ok()?;
    if count < 4 || u32::from_le_bytes(mark) != COMMIT {
        return None;
    }
    recv(stream, &mut mark[..], RecvFlags::DONTWAIT).ok()?;
    Some(())
}

async fn answer(
    engine: &Rc<Engine>,
    users: &[String],
    outcomes: &[Outcome],
    stream: &mut Socket,
) -> io::Result<()> {
    for (user, outcome) in users.iter().zip(outcomes) {
        log::info!("message for {user}: {outcome:?}");
    }
    let bytes: Vec<u8> = outcomes.iter().map(|outcome| outcome.byte()).collect();
    stream.write_all(&bytes).await?;
    engine.soiled();
    Ok(())
}

fn recipient(host: &crate::mailbox::Host, addressee: Addressee) -> Recipient {
    let account = Engine::account(host, &addressee.user, &addressee.root);
    if let Err(error) = &account {
        log::error!("the mail of {} cannot be opened: {error:?}", addressee.user);
    }
    Recipient {
        account: account.ok(),
        address: addressee.address,
        detail: addressee.detail,
    }
}

/// The next piece; `None` for the mark of the end.
async fn piece(stream: &mut Socket) -> io::Result<Option<Vec<u8>>> {
    let read = async {
        let mut length = [0u8; 4];
        stream.read_exact(&mut length).await?;
        let length = u32::from_le_bytes(length);
        if length == COMMIT {
            return Ok(None);
        }
        if length > MAX_PIECE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
        stream.read_exact(&mut piece).await?;
        Ok(Some(piece))
    };
    or(read, async {
        Timer::after(PATIENCE).await;
        Err(io::ErrorKind::TimedOut.into())
    })
    .await
}
