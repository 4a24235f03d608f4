//! A channel of messages to another role, for tasks.

use super::control::Message;
use crate::sys::message;
use smol::Async;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// One end of a channel. Messages that are no messages are dropped with a line in the log.
pub(super) struct Channel(Async<OwnedFd>);

impl Channel {
    pub(super) fn new(end: OwnedFd) -> io::Result<Channel> {
        Ok(Channel(Async::new(end)?))
    }

    /// Waits until there is room.
    pub(super) async fn send(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = message.encode();
        loop {
            match message::send(&self.0, &bytes, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.writable().await?
                }
                other => return other,
            }
        }
    }

    /// The next message; `None` when the other side is gone.
    pub(super) async fn receive(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        loop {
            match message::receive(&self.0) {
                Ok(None) => return Ok(None),
                Ok(Some((bytes, descriptors))) => match Message::decode(&bytes) {
                    Some(message) => return Ok(Some((message, descriptors))),
                    None => log::error!("a message from another role is broken"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.readable().await?
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
