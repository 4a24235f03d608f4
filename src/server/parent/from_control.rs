//! What the command line asks of a running server.

use super::Parent;
use crate::mailbox::Care;
use crate::server::control::{Addressee, Message, Owner};
use crate::server::engines::Request;
use crate::server::request::{self, Asked};
use std::io::Write;
use std::os::unix::net::UnixStream;

impl Parent {
    /// What the command line asks.
    pub(super) fn hear_control(&mut self) {
        while let Ok((mut stream, _)) = self.control.accept() {
            match request::receive(&mut stream) {
                Some(Asked::Reload) => {
                    self.reload();
                    stream.write_all(b"ok\n").ok();
                }
                Some(Asked::Care { owner, care }) => self.care(&owner, care, stream),
                Some(Asked::Visit { owner }) => self.visit(&owner, stream),
                Some(Asked::Deliver {
                    owner,
                    address,
                    mailbox,
                }) => self.deliver(owner, address, mailbox, stream),
                None => drop(stream.write_all(b"failed what was asked is not understood\n")),
            }
        }
    }

    fn care(&mut self, owner: &Owner, care: Care, mut stream: UnixStream) {
        let Some(location) = self.engines.ready(owner) else {
            let answer = b"failed the server cannot use the directory of the mail; see its log\n";
            stream.write_all(answer).ok();
            return;
        };
        let message = Message::Care {
            user: owner.name.clone(),
            location,
            care,
        };
        let request = Request {
            message,
            descriptor: stream.into(),
            connection: None,
        };
        self.engines.request(owner, request);
    }

    /// Somebody at the command line reads and writes a user's mail: the engine gets the stream.
    fn visit(&mut self, owner: &Owner, mut stream: UnixStream) {
        let Some(location) = self.engines.ready(owner) else {
            return;
        };
        if stream.write_all(request::READY).is_err() {
            return;
        }
        let message = Message::Visit {
            user: owner.name.clone(),
            location,
        };
        let request = Request {
            message,
            descriptor: stream.into(),
            connection: None,
        };
        self.engines.request(owner, request);
    }

    /// A message of the command line: the engine gets the stream that it comes from. Without one the stream ends,
    /// and so whoever asked knows.
    fn deliver(
        &mut self,
        owner: Owner,
        address: String,
        mailbox: Option<String>,
        mut stream: UnixStream,
    ) {
        let Some(location) = self.engines.ready(&owner) else {
            return;
        };
        if stream.write_all(request::READY).is_err() {
            return;
        }
        stream.set_nonblocking(true).ok();
        let addressee = Addressee {
            user: owner.name.clone(),
            location,
            address: address.into_bytes(),
            detail: mailbox,
        };
        let request = Request {
            message: Message::Deliver {
                addressees: vec![addressee],
            },
            descriptor: stream.into(),
            connection: None,
        };
        self.engines.request(&owner, request);
    }
}
