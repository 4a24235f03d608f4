//! A message on its way from `front` into the mailboxes of an engine.

use super::concurrency::{Deliveries, Place};
use super::control::Addressee;
use super::deadline;
use super::engine::Engine;
use super::lmtp::{COMMIT, COMMIT_AND_STAY};
use super::reactor::Source;
use super::transport::with_scratch;
use crate::config::DeliveryAddress;
use crate::deliver::{Delivery, Envelope, Outcome, Recipient, Stamp};
use crate::mailbox::{Account, Host, Prepare};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use smol::future::or;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Octets of one piece; `front` sends no larger ones.
const MAX_PIECE: u32 = 64 * 1024;
/// Octets of an envelope, which has something of every recipient.
const MAX_ENVELOPE: u32 = 1024 * 1024;
/// Octets of a message that are collected before they are written.
const COLLECT: usize = 32 * 1024;
/// How long `front` may send nothing.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long the next message to the same recipients is waited for.
const STAY: Duration = Duration::from_secs(10);

/// Serves one transaction: the message from the stream, then one octet an addressee. A
/// stream that ends early gives the message up.
pub(super) fn deliver(engine: &Rc<Engine>, addressees: Vec<Addressee>, stream: OwnedFd) {
    let mut incoming = Incoming::default();
    let writing = Writing {
        host: engine.host.clone(),
        hostname: engine.setup.hostname.clone(),
        named: engine.setup.lmtp.delivery_address,
        deliveries: engine.deliveries.clone(),
        beginning: addressees.clone(),
        addressees,
        envelope: None,
        places: Vec::new(),
        delivery: None,
    };
    let received = incoming.receive(&stream);
    let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    match received {
        Ok(()) if incoming.committed && !incoming.stays => {
            let stream = UnixStream::from(stream);
            engine.file(move || finish(writing, &mut incoming, &stream));
        }
        Err(error) if !waits(&error) => log::debug!("a delivery was given up: {error}"),
        _ => {
            let rest = rest(engine.clone(), writing, incoming, stream);
            engine.spawn(async {
                if let Err(error) = rest.await {
                    log::debug!("a delivery was given up: {error}");
                }
            });
        }
    }
}

/// What was not there at once, and the messages after it.
async fn rest(
    engine: Rc<Engine>,
    mut writing: Writing,
    mut incoming: Incoming,
    stream: OwnedFd,
) -> io::Result<()> {
    // Threads of the pool answer while the next message may be waited for.
    let answers = Arc::new(UnixStream::from(stream));
    let stream = Source::new(answers.clone())?;
    loop {
        if !incoming.committed {
            let receive = stream.read_with(|stream| incoming.receive(stream));
            deadline::within(PATIENCE, receive).await?;
        }
        if !incoming.committed {
            let turn = engine.pool.unblock(move || {
                writing.write(&mut incoming);
                (writing, incoming)
            });
            (writing, incoming) = turn.await;
            continue;
        }
        let (stays, next) = (incoming.stays, writing.again());
        let answers = answers.clone();
        engine.file(move || finish(writing, &mut incoming, &answers));
        if !stays {
            return Ok(());
        }
        (writing, incoming) = (next, Incoming::default());
        let more = stream.read_with(|stream| incoming.begin(stream));
        let more = deadline::within(STAY, more);
        let more = async { more.await.is_ok_and(|more| more) };
        let stop = async {
            engine.stop.wait().await;
            false
        };
        if !or(more, stop).await || !engine.has_room() {
            return Ok(());
        }
    }
}

/// Files the message and answers for it.
fn finish(mut writing: Writing, incoming: &mut Incoming, mut stream: &UnixStream) {
    writing.write(incoming);
    let Some(delivery) = writing.delivery else {
        return;
    };
    if !is_waited_for(stream) {
        log::debug!("a delivery was given up before it was filed");
        return;
    }
    let outcomes = delivery.finish();
    // Who hears of it may begin the next at once.
    writing.places.clear();
    let bytes: Vec<u8> = outcomes.iter().map(|outcome| outcome.byte()).collect();
    // So few octets always have room. Whoever does not wait any more need not know.
    stream.write_all(&bytes).ok();
    for (at, (addressee, outcome)) in writing.addressees.iter().zip(outcomes).enumerate() {
        let notes = writing.envelope.as_ref().map(|envelope| envelope.notes(at));
        let notes = notes.unwrap_or_default();
        log::info!("message for {}: {outcome:?}{notes}", addressee.user);
    }
}

/// False once `front` has given the message up: its client will send it again.
fn is_waited_for(stream: &UnixStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match recv(stream, &mut [0u8; 1][..], flags) {
        Ok((count, _)) => count > 0,
        Err(error) => error == Errno::AGAIN,
    }
}

/// A message as far as it is written.
struct Writing {
    host: Host,
    hostname: String,
    named: DeliveryAddress,
    deliveries: Deliveries,
    addressees: Vec<Addressee>,
    /// Recipients, until their copies are begun.
    beginning: Vec<Addressee>,
    envelope: Option<Envelope>,
    /// Of the users' bounded numbers of deliveries, until all is done.
    places: Vec<Place>,
    delivery: Option<Delivery>,
}

impl Writing {
    /// For the next message to the same.
    fn again(&self) -> Writing {
        Writing {
            host: self.host.clone(),
            hostname: self.hostname.clone(),
            named: self.named,
            deliveries: self.deliveries.clone(),
            addressees: self.addressees.clone(),
            beginning: self.addressees.clone(),
            envelope: None,
            places: Vec::new(),
            delivery: None,
        }
    }

    /// Begins with the envelope, and writes what came so far.
    fn write(&mut self, incoming: &mut Incoming) {
        if let Some(envelope) = incoming.envelope.take() {
            let addressees = std::mem::take(&mut self.beginning);
            let recipients = addressees.into_iter().map(|a| self.recipient(a)).collect();
            let stamp = Stamp {
                hostname: &self.hostname,
                now: crate::sys::clock::now_seconds(),
            };
            let delivery = Delivery::new(recipients, &envelope, self.named, stamp);
            (self.delivery, self.envelope) = (Some(delivery), Some(envelope));
        }
        if let Some(delivery) = self.delivery.as_mut() {
            delivery.write(&incoming.body);
        }
        incoming.body.clear();
    }

    fn recipient(&mut self, addressee: Addressee) -> Recipient {
        Recipient {
            account: self.account(&addressee),
            address: addressee.address,
            detail: addressee.detail,
        }
    }

    fn account(&mut self, addressee: &Addressee) -> Result<Account, Outcome> {
        let user = &addressee.user;
        // One that is named twice has one place.
        if !self.places.iter().any(|place| place.is_of(user)) {
            let place = self.deliveries.begin(user).ok_or_else(|| {
                log::warn!("too many deliveries to {user} at once (`lmtp_user_deliveries`)");
                Outcome::Busy
            })?;
            self.places.push(place);
        }
        let wanted = Prepare::of_delivery(addressee.detail.as_deref());
        let account = Engine::account(&self.host, wanted, user, &addressee.location);
        account.map_err(|error| {
            log::error!("the mail of {user} cannot be opened: {error:?}");
            Outcome::Unavailable
        })
    }
}

/// What came from `front` and is not written yet.
#[derive(Default)]
struct Incoming {
    /// A frame that is not complete.
    raw: Vec<u8>,
    /// The first frame was seen.
    begun: bool,
    envelope: Option<Envelope>,
    body: Vec<u8>,
    /// All has come and is to be filed.
    committed: bool,
    /// Another message may follow.
    stays: bool,
}

impl Incoming {
    /// Takes as much as is wanted at once. Errors: `WouldBlock` if that is not there yet,
    /// `UnexpectedEof`, and `InvalidData` for what `front` does not send.
    fn receive(&mut self, stream: impl AsFd) -> io::Result<()> {
        while !self.committed && self.body.len() < COLLECT {
            let count = with_scratch(|scratch| {
                let (count, _) = recv(&stream, &mut *scratch, RecvFlags::DONTWAIT)?;
                let bytes = scratch.get(..count).unwrap_or_default();
                self.raw.extend_from_slice(bytes);
                Ok::<usize, io::Error>(count)
            });
            match count? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => self.frames()?,
            }
        }
        Ok(())
    }

    /// Takes what comes first; false if that is the end. Errors: as of `receive`.
    fn begin(&mut self, stream: impl AsFd) -> io::Result<bool> {
        match self.receive(stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && (self.begun || !self.raw.is_empty()) =>
            {
                Ok(true)
            }
            received => received.map(|()| true),
        }
    }

    /// Takes complete frames apart.
    fn frames(&mut self) -> io::Result<()> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let mut taken = 0;
        while let Some((length, rest)) = self
            .raw
            .get(taken..)
            .and_then(|left| left.split_first_chunk::<4>())
        {
            let length = u32::from_le_bytes(*length);
            if length == COMMIT || length == COMMIT_AND_STAY {
                (self.committed, self.stays) = (true, length == COMMIT_AND_STAY);
                if !self.begun {
                    return Err(broken());
                }
                break;
            }
            let most = if self.begun { MAX_PIECE } else { MAX_ENVELOPE };
            if length > most {
                return Err(broken());
            }
            let length = usize::try_from(length).map_err(|_| broken())?;
            let Some(frame) = rest.get(..length) else {
                break;
            };
            if self.begun {
                self.body.extend_from_slice(frame);
            } else {
                self.envelope = Some(Envelope::decode(frame).ok_or_else(broken)?);
                self.begun = true;
            }
            taken += 4 + length;
        }
        self.raw.drain(..taken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::lmtp::frame;

    fn envelope() -> Envelope {
        Envelope {
            reverse_path: b"a@b".to_vec(),
            client: b"mx".to_vec(),
            address: b"[::1]".to_vec(),
            ..Envelope::default()
        }
    }

    #[test]
    fn frames_may_be_split_anywhere() {
        let mut bytes = Vec::new();
        frame(&envelope().encode(), &mut bytes);
        frame(b"Subject: x\r\n", &mut bytes);
        frame(b"\r\nbody\r\n", &mut bytes);
        bytes.extend_from_slice(&COMMIT.to_le_bytes());
        for split in 0..bytes.len() {
            let (near, far) = UnixStream::pair().unwrap();
            let mut incoming = Incoming::default();
            (&near).write_all(&bytes[..split]).unwrap();
            let error = incoming.receive(&far).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            (&near).write_all(&bytes[split..]).unwrap();
            incoming.receive(&far).unwrap();
            assert!(incoming.committed, "{split}");
            assert_eq!(incoming.envelope, Some(envelope()));
            assert_eq!(incoming.body, b"Subject: x\r\n\r\nbody\r\n");
        }
    }

    #[test]
    fn a_message_that_was_given_up_is_not_filed() {
        // It was delivered all the same, and once more when it was sent again.
        let (near, far) = UnixStream::pair().unwrap();
        (&near).write_all(&COMMIT.to_le_bytes()).unwrap();
        let mut mark = [0; 4];
        recv(&far, &mut mark[..], RecvFlags::empty()).unwrap();
        assert!(is_waited_for(&far));
        drop(near);
        assert!(!is_waited_for(&far));
    }

    #[test]
    fn what_front_does_not_send_is_refused() {
        let commit = COMMIT.to_le_bytes();
        let long = (MAX_ENVELOPE + 1).to_le_bytes();
        let mut piece = Vec::new();
        frame(&envelope().encode(), &mut piece);
        piece.extend_from_slice(&(MAX_PIECE + 1).to_le_bytes());
        for bytes in [&commit[..], &long, &piece, &[1, 0, 0, 0, 9]] {
            let (near, far) = UnixStream::pair().unwrap();
            (&near).write_all(bytes).unwrap();
            let error = Incoming::default().receive(&far).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn no_more_is_taken_than_can_be_written() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut bytes = Vec::new();
        frame(&envelope().encode(), &mut bytes);
        (0..9).for_each(|_| frame(&[b'x'; 16_000], &mut bytes));
        let sender = std::thread::spawn(move || {
            (&near).write_all(&bytes).unwrap();
            near
        });
        let mut incoming = Incoming::default();
        let mut octets = 0;
        let error = loop {
            match incoming.receive(&far) {
                Ok(()) => {
                    assert!(incoming.body.len() + incoming.raw.len() < COLLECT + 32_000);
                    octets += incoming.body.len();
                    incoming.body.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if sender.is_finished() && octets + incoming.body.len() == 9 * 16_000 {
                        break error;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(sender.join());
        let ended = incoming.receive(&far).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }
}
