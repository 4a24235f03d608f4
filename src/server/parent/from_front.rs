//! What `front` says: connections and messages for the engines of their users.

use super::{Login, Parent, still};
use crate::server::children::Role;
use crate::server::control::{Addressee, Message, Owner};
use crate::server::engines::Request;
use crate::server::refusal;
use crate::sys::message;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Messages of `front` that are heard before others are.
const MAX_MESSAGES: usize = 64;
/// Connections in one message.
const MAX_RELEASED: usize = 4096;

impl Parent {
    pub(super) fn hear_front(&mut self) {
        let Some(front) = self.front.take() else {
            return;
        };
        let gone = front.receive(MAX_MESSAGES, &mut |message, mut descriptors| {
            // Its verdict was sent before front was told.
            self.hear_auth();
            match message {
                Message::Handover { connection, bytes } => {
                    let given = descriptors
                        .pop()
                        .is_some_and(|descriptor| self.handover(connection, bytes, descriptor));
                    if !given {
                        self.engines.released.push(connection);
                    }
                }
                Message::Transaction {
                    connection,
                    tickets,
                } => match descriptors.pop() {
                    Some(stream) => self.single(connection, &tickets, stream),
                    None => self.transaction(&front, connection, &tickets),
                },
                Message::Closed { connection, last } => self.grants.close(connection, last),
                _ => log::error!("front sent what it should not"),
            }
        });
        self.front = still(front, gone, "front", &mut self.front_back_off);
    }

    fn handover(&mut self, connection: u64, bytes: Vec<u8>, descriptor: OwnedFd) -> bool {
        let Some(Login { owner, reads, .. }) = self.logins.remove(&connection) else {
            log::error!("front handed over connection {connection}, which is not logged in");
            return false;
        };
        let Some(location) = self.engines.ready(&owner) else {
            refusal::tell(&descriptor, refusal::without_engine(&bytes));
            return false;
        };
        let message = Message::Session {
            connection,
            user: owner.name.clone(),
            location,
            reads,
            bytes,
        };
        let request = Request {
            message,
            descriptor,
            connection: Some(connection),
        };
        self.engines.request(&owner, request)
    }

    /// Whom a ticket stands for.
    fn addressee(&mut self, connection: u64, ticket: u32) -> Option<(Owner, Addressee)> {
        let Some(grant) = self.grants.take(connection, ticket) else {
            log::error!("front delivers to a recipient that was not granted");
            return None;
        };
        let location = self.engines.ready(&grant.owner)?;
        let addressee = Addressee {
            user: grant.owner.name.clone(),
            location,
            address: grant.address,
            detail: grant.detail,
        };
        Some((grant.owner, addressee))
    }

    /// A message for one recipient: its engine gets the stream. Without one the stream ends, and so
    /// `front` knows.
    fn single(&mut self, connection: u64, tickets: &[u32], stream: OwnedFd) {
        let [ticket] = *tickets else {
            log::error!("front sent one stream for several recipients");
            return;
        };
        if let Some((owner, addressee)) = self.addressee(connection, ticket) {
            let request = Request {
                message: Message::Deliver {
                    addressees: vec![addressee],
                },
                descriptor: stream,
                connection: None,
            };
            self.engines.request(&owner, request);
        }
    }

    /// A stream to the engine of each recipient.
    fn transaction(&mut self, front: &Role, connection: u64, tickets: &[u32]) {
        let mut by_engine: Vec<(Owner, Vec<u32>, Vec<Addressee>)> = Vec::new();
        for ticket in tickets {
            let Some((owner, addressee)) = self.addressee(connection, *ticket) else {
                continue;
            };
            let key = self.engines.key(&owner);
            let found = by_engine.iter_mut().find(|(other, ..)| match key.as_str() {
                "" => true,
                name => other.name == name,
            });
            match found {
                Some((_, tickets, addressees)) => {
                    tickets.push(*ticket);
                    addressees.push(addressee);
                }
                None => by_engine.push((owner, vec![*ticket], vec![addressee])),
            }
        }
        let (mut groups, mut streams) = (Vec::new(), Vec::new());
        for (owner, tickets, addressees) in by_engine {
            let Ok((near, far)) = message::stream() else {
                continue;
            };
            let request = Request {
                message: Message::Deliver { addressees },
                descriptor: far,
                connection: None,
            };
            if self.engines.request(&owner, request) {
                groups.push(tickets);
                streams.push(near);
            }
        }
        let descriptors: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
        let count = groups.len().div_ceil(message::MAX_DESCRIPTORS).max(1);
        let mut groups = groups.chunks(message::MAX_DESCRIPTORS);
        let mut descriptors = descriptors.chunks(message::MAX_DESCRIPTORS);
        for piece in 1..=count {
            let message = Message::Groups {
                connection,
                last: piece == count,
                groups: groups.next().unwrap_or_default().to_vec(),
            };
            front.send(&message, descriptors.next().unwrap_or_default());
        }
    }

    /// Tells `front` whose places are free; what it has no room for now it is told later.
    pub(super) fn release(&mut self) {
        while let Some(front) = self
            .front
            .as_ref()
            .filter(|_| !self.engines.released.is_empty())
        {
            let count = self.engines.released.len().min(MAX_RELEASED);
            let connections = self.engines.released.iter().take(count).copied().collect();
            match front.try_send(&Message::Released { connections }, &[]) {
                Ok(()) => drop(self.engines.released.drain(..count)),
                // Full; or gone, which is noticed elsewhere.
                Err(_) => return,
            }
        }
    }
}
