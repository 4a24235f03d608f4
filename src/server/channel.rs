//! A channel of messages to another role, for tasks.

use super::control::Message;
use super::reactor::Source;
use crate::sys::message;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// One end of a channel. Messages that are no messages are dropped with a line in the log.
pub(super) struct Channel(Source<OwnedFd>);

impl Channel {
    pub(super) fn new(end: OwnedFd) -> io::Result<Channel> {
        Ok(Channel(Source::new(end)?))
    }

    /// Waits until there is room.
    pub(super) async fn send(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = message.encode();
        let send = |end: &OwnedFd| message::send(end, &bytes, descriptors);
        self.0.write_with(send).await
    }

    /// The next message; `None` when the other side is gone.
    pub(super) async fn receive(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        loop {
            match self.0.read_with(|end| message::receive(end)).await {
                Ok(None) => return Ok(None),
                Ok(Some((bytes, descriptors))) => match Message::decode(&bytes) {
                    Some(message) => return Ok(Some((message, descriptors))),
                    None => log::error!("a message from another role is broken"),
                },
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
