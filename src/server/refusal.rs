//! What is told to whom no engine serves.

use super::control::Message;
use super::setup::protocol;
use crate::config::Protocol;
use crate::protocol::{imap, pop3};
use crate::sys::message;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use std::os::fd::{AsFd, OwnedFd};

/// Of a session that cannot begin.
pub(super) const UNAVAILABLE: &str = "[UNAVAILABLE] The mailbox cannot be opened now.";

/// A connection that has logged in, as it comes from `front`.
pub(super) enum Handover {
    Imap(imap::Handover),
    Pop3(pop3::Handover),
}

impl Handover {
    /// `None` if the bytes are no handover.
    pub(super) fn decode(bytes: &[u8]) -> Option<Handover> {
        let (number, rest) = bytes.split_first()?;
        match protocol(*number)? {
            Protocol::Imap => imap::Handover::decode(rest).map(Handover::Imap),
            Protocol::Pop3 => pop3::Handover::decode(rest).map(Handover::Pop3),
            Protocol::Lmtp
            | Protocol::DovecotAuth
            | Protocol::DovecotUserdb
            | Protocol::Socketmap => None,
        }
    }

    /// What a client is told whose session cannot begin: of the two texts that of its protocol.
    pub(super) fn refusal(&self, imap: &str, pop3: &str) -> String {
        match self {
            Handover::Imap(handover) => {
                let tag = String::from_utf8_lossy(&handover.tag);
                format!("{tag} NO {imap}\r\n* BYE {imap}\r\n")
            }
            Handover::Pop3(_) => pop3.to_owned(),
        }
    }
}

/// As the refusal of a handover, from a process that does not look into it.
pub(super) fn without_engine(handover: &[u8]) -> String {
    match handover.first().and_then(|number| protocol(*number)) {
        Some(Protocol::Imap) => format!("* BYE {UNAVAILABLE}\r\n"),
        Some(Protocol::Pop3) => pop3::UNAVAILABLE.to_owned(),
        Some(_) | None => String::new(),
    }
}

/// Says something so short to a client that there is room for it, and waits for nobody.
pub(super) fn tell(stream: impl AsFd, text: impl AsRef<[u8]>) {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    if !text.as_ref().is_empty() {
        send(&stream, text.as_ref(), flags).ok();
        shutdown(&stream, Shutdown::Write).ok();
    }
}

/// In an engine that cannot begin: answers all that was sent to it, and takes nothing more.
pub(super) fn turn_away(parent: &OwnedFd, why: &str) {
    // What is sent from here on fails at the sender's, who then answers for it.
    shutdown(parent, Shutdown::Read).ok();
    rustix::io::ioctl_fionbio(parent, true).ok();
    while let Ok(Some((bytes, mut descriptors))) = message::receive(parent) {
        let (Some(message), Some(stream)) = (Message::decode(&bytes), descriptors.pop()) else {
            continue;
        };
        match message {
            Message::Session { bytes, .. } => {
                let refusal = Handover::decode(&bytes)
                    .map(|handover| handover.refusal(UNAVAILABLE, pop3::UNAVAILABLE));
                tell(&stream, refusal.unwrap_or_default());
            }
            Message::Care { .. } => tell(&stream, format!("failed {why}\n")),
            // A delivery's stream that ends says that it was not taken.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn whoever_was_sent_to_an_engine_that_cannot_begin_is_answered() {
        // The connection ended without a word.
        let (parent, engine) = message::channel().unwrap();
        let session = |protocol: Protocol, bytes: Vec<u8>| {
            let (near, far) = message::stream().unwrap();
            let bytes = [vec![protocol as u8], bytes].concat();
            let message = Message::Session {
                reads: false,
                connection: 1,
                user: "ann".to_owned(),
                location: crate::config::Location::default(),
                bytes,
            };
            message::send(&parent, &message.encode(), &[far.as_fd()]).unwrap();
            near
        };
        let handover = imap::Handover {
            tag: (*b"a1").into(),
            input: Vec::new(),
        };
        let mut streams = [
            session(Protocol::Imap, handover.encode()),
            session(Protocol::Imap, Vec::new()),
        ];
        turn_away(&engine, "why");
        let late = Message::Stop.encode();
        assert!(message::send(&parent, &late, &[]).is_err());
        let said = streams.each_mut().map(|stream| {
            let mut text = String::new();
            let mut stream = UnixStream::from(stream.try_clone().unwrap());
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let whole = format!("a1 NO {UNAVAILABLE}\r\n* BYE {UNAVAILABLE}\r\n");
        assert_eq!(said, [whole, String::new()]);
        let imap = without_engine(&[Protocol::Imap as u8]);
        assert_eq!(imap, format!("* BYE {UNAVAILABLE}\r\n"));
        assert!(without_engine(&[Protocol::Pop3 as u8]).starts_with("-ERR [SYS/TEMP] "));
        assert_eq!(without_engine(&[]), "");
    }
}
