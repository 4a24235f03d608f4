//! What the roles say to each other. Every process takes from each other one only the messages that
//! one may send, and believes `front` and `engine` nothing else.

mod packed;

use self::packed::{
    octets, pack_found, pack_proof, pack_verdict, unpack_found, unpack_proof, unpack_verdict,
};
use super::pack::{Pack, Unpack, path, unpath};
use super::setup::{Setup, pack_location, protocol, unpack_location, unpack_mechanisms};
use crate::auth::{Binding, Found, Judgement, Proof, Wanted};
use crate::config::{ClientName, Location, Mechanism, Mechanisms, Protocol};
use crate::mailbox::Care;
use std::net::IpAddr;
use std::path::PathBuf;

/// A user as the parent and the engines have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) home: Option<PathBuf>,
    /// As [`User::mail`].
    pub(super) mail: Option<Box<str>>,
}

/// A recipient as an engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addressee {
    pub(super) user: String,
    pub(super) location: Location,
    pub(super) address: Vec<u8>,
    pub(super) detail: Option<String>,
}

/// Certificate and key of a server name (of all others, if empty), as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) name: String,
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// One message between two roles.
pub(super) enum Message {
    /// Parent to role, first of all. To `front` with its listeners and its channel to `auth` in front of them,
    /// to `auth` with its channel to `front`.
    Setup(Box<Setup>),
    /// Parent to `front`: one of all certificates, the first of them with number 0.
    Certificate {
        number: u32,
        last: bool,
        certificate: Certificate,
    },
    /// Parent to `front`, before the certificates, and to `auth`: who vouches for clients' certificates, as PEM.
    Authorities { pem: Vec<u8>, name: ClientName },
    /// Parent to `auth`, with a descriptor for each passwd-file, whose names these are; to `front`: the users
    /// may be others now.
    Users {
        files: Vec<PathBuf>,
        /// The last descriptor is that of the aliases, which has no name here.
        aliases: bool,
    },
    /// Parent to `auth`, behind `Users`: the app passwords are in the file that comes with it; without one there are
    /// none.
    AppPasswords,
    /// Parent to `front` or `auth`: the channel to the other one, which was started again.
    NewPeer,
    /// Parent to all: end in order.
    Stop,
    /// `front` to parent, with the connection: the user logged in.
    Handover { connection: u64, bytes: Vec<u8> },
    /// Parent to `front`: these connections are gone.
    Released { connections: Vec<u64> },
    /// `front` to parent: a message for recipients that `auth` granted to this connection. For one
    /// recipient with the stream it comes from; for several the answer is `Groups`.
    Transaction { connection: u64, tickets: Vec<u32> },
    /// Parent to `front`, with a stream for each group of tickets; no groups: it cannot be. As many messages
    /// as the streams take.
    Groups {
        connection: u64,
        last: bool,
        groups: Vec<Vec<u32>>,
    },
    /// `front` to `auth`.
    Verify {
        connection: u64,
        /// Where the client is.
        protocol: Protocol,
        address: IpAddr,
        authzid: String,
        authcid: String,
        proof: Proof,
    },
    /// `front` to `auth`: a dialogue begins.
    Begin {
        connection: u64,
        protocol: Protocol,
        address: IpAddr,
        mechanism: Mechanism,
        binding: Binding,
        message: Vec<u8>,
    },
    /// `front` to `auth`: what the client says in its dialogue.
    Respond { connection: u64, message: Vec<u8> },
    /// `auth` to `front`: what the client is to be told in its dialogue.
    Challenge { connection: u64, challenge: Vec<u8> },
    /// `auth` to `front`: what can be used to log in; `apop`: APOP, too.
    Mechanisms { mechanisms: Mechanisms, apop: bool },
    /// `auth` to `front`.
    Verdict {
        connection: u64,
        judgement: Judgement,
    },
    /// `front` to `auth`.
    LookUp { connection: u64, wanted: Wanted },
    /// `auth` to `front`.
    Found { connection: u64, found: Found },
    /// `front` to `auth`.
    Recipient {
        connection: u64,
        ticket: u32,
        address: Vec<u8>,
    },
    /// `auth` to `front`: 0 known, 1 unknown, 2 unavailable.
    Lookup {
        connection: u64,
        ticket: u32,
        lookup: u8,
    },
    /// `auth` to parent: whom the connection may become, and whether only to read.
    Login {
        connection: u64,
        owner: Owner,
        reads: bool,
    },
    /// `auth` to parent: what is to be stored for the password of a user, if what is stored still has that mark.
    Rehash {
        user: String,
        mark: u64,
        hash: String,
    },
    /// `auth` to parent: an app password was used, for the first time today.
    AppPasswordUsed { user: String, id: String },
    /// `auth` to parent: to whom the connection may deliver.
    Grant {
        connection: u64,
        ticket: u32,
        owner: Owner,
        address: Vec<u8>,
        detail: Option<String>,
    },
    /// Parent to engine, with the connection.
    Session {
        connection: u64,
        user: String,
        location: Location,
        /// It may change nothing.
        reads: bool,
        bytes: Vec<u8>,
    },
    /// Parent to engine, with the stream the message comes from.
    Deliver { addressees: Vec<Addressee> },
    /// Parent to engine, with the stream the report goes to.
    Care {
        user: String,
        location: Location,
        care: Care,
    },
    /// Parent to engine, with the stream that the guest is at.
    Visit { user: String, location: Location },
    /// Engine to parent: these sessions are over.
    Ended { connections: Vec<u64> },
    /// Engine to parent: nobody needs it.
    Idle,
    /// `front` to parent: the connection has no more use for what was granted to it up to that ticket.
    Closed { connection: u64, last: u32 },
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut pack = Pack::default();
        let p = &mut pack;
        match self {
            Message::Setup(setup) => setup.pack(p.u8(0)),
            Message::Certificate {
                number,
                last,
                certificate,
            } => {
                p.u8(1).u32(*number).u8(u8::from(*last));
                p.text(&certificate.name);
                p.bytes(&certificate.chain).bytes(&certificate.key);
            }
            Message::Users { files, aliases } => {
                p.u8(2).list(files, |p, file| path(p, file));
                p.u8(u8::from(*aliases));
            }
            Message::NewPeer => drop(p.u8(3)),
            Message::Stop => drop(p.u8(4)),
            Message::Handover { connection, bytes } => drop(p.u8(5).u64(*connection).bytes(bytes)),
            Message::Released { connections } => {
                p.u8(6).list(connections, |p, connection| {
                    p.u64(*connection);
                });
            }
            Message::Transaction {
                connection,
                tickets,
            } => {
                p.u8(7).u64(*connection).list(tickets, |p, t| {
                    p.u32(*t);
                });
            }
            Message::Groups {
                connection,
                last,
                groups,
            } => {
                p.u8(8)
                    .u64(*connection)
                    .u8(u8::from(*last))
                    .list(groups, |p, group| {
                        p.list(group, |p, ticket| {
                            p.u32(*ticket);
                        });
                    });
            }
            Message::Verify {
                connection,
                protocol,
                address,
                authzid,
                authcid,
                proof,
            } => {
                p.u8(9).u64(*connection).u8(*protocol as u8);
                p.text(&address.to_string());
                p.text(authzid).text(authcid);
                pack_proof(proof, p);
            }
            Message::Begin {
                connection,
                protocol,
                address,
                mechanism,
                binding,
                message,
            } => {
                p.u8(22).u64(*connection).u8(*protocol as u8);
                p.text(&address.to_string());
                p.text(mechanism.name());
                for bound in [&binding.exporter, &binding.end_point] {
                    p.option(bound.as_ref(), |p, bound| {
                        p.bytes(bound);
                    });
                }
                p.bytes(message);
            }
            Message::Respond {
                connection,
                message,
            } => drop(p.u8(23).u64(*connection).bytes(message)),
            Message::Challenge {
                connection,
                challenge,
            } => drop(p.u8(24).u64(*connection).bytes(challenge)),
            Message::Mechanisms { mechanisms, apop } => {
                p.u8(21).u32(mechanisms.bits().into()).u8(u8::from(*apop));
            }
            Message::Verdict {
                connection,
                judgement,
            } => {
                p.u8(10).u64(*connection);
                pack_verdict(&judgement.verdict, p);
                p.text(&judgement.user).bytes(&judgement.told);
            }
            Message::LookUp { connection, wanted } => {
                p.u8(25).u64(*connection);
                match wanted {
                    Wanted::User(name) => p.u8(0).text(name),
                    Wanted::Names { after } => p.u8(1).text(after),
                    Wanted::Domain(name) => p.u8(2).text(name),
                    Wanted::Mailbox(address) => p.u8(3).text(address),
                    Wanted::Alias(address) => p.u8(4).text(address),
                };
            }
            Message::Authorities { pem, name } => drop(p.u8(30).bytes(pem).u8(*name as u8)),
            Message::AppPasswords => drop(p.u8(28)),
            Message::AppPasswordUsed { user, id } => drop(p.u8(29).text(user).text(id)),
            Message::Rehash { user, mark, hash } => drop(p.u8(27).text(user).u64(*mark).text(hash)),
            Message::Found { connection, found } => {
                p.u8(26).u64(*connection);
                pack_found(found, p);
            }
            Message::Recipient {
                connection,
                ticket,
                address,
            } => drop(p.u8(11).u64(*connection).u32(*ticket).bytes(address)),
            Message::Lookup {
                connection,
                ticket,
                lookup,
            } => drop(p.u8(12).u64(*connection).u32(*ticket).u8(*lookup)),
            Message::Login {
                connection,
                owner,
                reads,
            } => owner.pack(p.u8(13).u64(*connection).u8(u8::from(*reads))),
            Message::Grant {
                connection,
                ticket,
                owner,
                address,
                detail,
            } => {
                owner.pack(p.u8(14).u64(*connection).u32(*ticket));
                p.bytes(address);
                p.option(detail.as_ref(), |p, detail| {
                    p.text(detail);
                });
            }
            Message::Session {
                connection,
                user,
                location,
                reads,
                bytes,
            } => {
                pack_location(p.u8(15).u64(*connection).text(user), location);
                p.u8(u8::from(*reads)).bytes(bytes);
            }
            Message::Deliver { addressees } => {
                p.u8(16).list(addressees, |p, addressee| addressee.pack(p));
            }
            Message::Care {
                user,
                location,
                care,
            } => {
                pack_location(p.u8(17).text(user), location);
                p.text(&care.word());
            }
            Message::Visit { user, location } => {
                pack_location(p.u8(40).text(user), location);
            }
            Message::Ended { connections } => {
                p.u8(18).list(connections, |p, connection| {
                    p.u64(*connection);
                });
            }
            Message::Idle => drop(p.u8(19)),
            Message::Closed { connection, last } => drop(p.u8(20).u64(*connection).u32(*last)),
        }
        pack.0
    }

    /// `None` for what is no message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Message> {
        let u = &mut Unpack(bytes);
        Some(match u.u8()? {
            0 => Message::Setup(Box::new(Setup::unpack(u)?)),
            1 => Message::Certificate {
                number: u.u32()?,
                last: u.u8()? != 0,
                certificate: Certificate {
                    name: u.text()?,
                    chain: u.bytes()?.to_vec(),
                    key: u.bytes()?.to_vec(),
                },
            },
            2 => Message::Users {
                files: u.list(unpath)?,
                aliases: u.u8()? != 0,
            },
            30 => Message::Authorities {
                pem: u.bytes()?.to_vec(),
                name: match u.u8()? {
                    0 => ClientName::CommonName,
                    1 => ClientName::Email,
                    _ => return None,
                },
            },
            28 => Message::AppPasswords,
            29 => Message::AppPasswordUsed {
                user: u.text()?,
                id: u.text()?,
            },
            3 => Message::NewPeer,
            4 => Message::Stop,
            5 => Message::Handover {
                connection: u.u64()?,
                bytes: u.bytes()?.to_vec(),
            },
            6 => Message::Released {
                connections: u.list(Unpack::u64)?,
            },
            7 => Message::Transaction {
                connection: u.u64()?,
                tickets: u.list(Unpack::u32)?,
            },
            8 => Message::Groups {
                connection: u.u64()?,
                last: u.u8()? != 0,
                groups: u.list(|u| u.list(Unpack::u32))?,
            },
            9 => Message::Verify {
                connection: u.u64()?,
                protocol: protocol(u.u8()?)?,
                address: u.text()?.parse().ok()?,
                authzid: u.text()?,
                authcid: u.text()?,
                proof: unpack_proof(u)?,
            },
            10 => Message::Verdict {
                connection: u.u64()?,
                judgement: Judgement {
                    verdict: unpack_verdict(u)?,
                    user: u.text()?,
                    told: u.bytes()?.to_vec(),
                },
            },
            11 => Message::Recipient {
                connection: u.u64()?,
                ticket: u.u32()?,
                address: u.bytes()?.to_vec(),
            },
            12 => Message::Lookup {
                connection: u.u64()?,
                ticket: u.u32()?,
                lookup: u.u8()?,
            },
            13 => Message::Login {
                connection: u.u64()?,
                reads: u.u8()? != 0,
                owner: Owner::unpack(u)?,
            },
            14 => Message::Grant {
                connection: u.u64()?,
                ticket: u.u32()?,
                owner: Owner::unpack(u)?,
                address: u.bytes()?.to_vec(),
                detail: u.option(Unpack::text)?,
            },
            15 => Message::Session {
                connection: u.u64()?,
                user: u.text()?,
                location: unpack_location(u)?,
                reads: u.u8()? != 0,
                bytes: u.bytes()?.to_vec(),
            },
            16 => Message::Deliver {
                addressees: u.list(Addressee::unpack)?,
            },
            17 => Message::Care {
                user: u.text()?,
                location: unpack_location(u)?,
                care: Care::named(&u.text()?)?,
            },
            18 => Message::Ended {
                connections: u.list(Unpack::u64)?,
            },
            19 => Message::Idle,
            20 => Message::Closed {
                connection: u.u64()?,
                last: u.u32()?,
            },
            21 => Message::Mechanisms {
                mechanisms: unpack_mechanisms(u)?,
                apop: u.u8()? != 0,
            },
            22 => Message::Begin {
                connection: u.u64()?,
                protocol: protocol(u.u8()?)?,
                address: u.text()?.parse().ok()?,
                mechanism: Mechanism::named(&u.text()?)?,
                binding: Binding {
                    exporter: u.option(octets)?,
                    end_point: u.option(octets)?,
                },
                message: u.bytes()?.to_vec(),
            },
            23 => Message::Respond {
                connection: u.u64()?,
                message: u.bytes()?.to_vec(),
            },
            24 => Message::Challenge {
                connection: u.u64()?,
                challenge: u.bytes()?.to_vec(),
            },
            25 => Message::LookUp {
                connection: u.u64()?,
                wanted: match u.u8()? {
                    0 => Wanted::User(u.text()?),
                    1 => Wanted::Names { after: u.text()? },
                    2 => Wanted::Domain(u.text()?),
                    3 => Wanted::Mailbox(u.text()?),
                    4 => Wanted::Alias(u.text()?),
                    _ => return None,
                },
            },
            27 => Message::Rehash {
                user: u.text()?,
                mark: u.u64()?,
                hash: u.text()?,
            },
            26 => Message::Found {
                connection: u.u64()?,
                found: unpack_found(u)?,
            },
            40 => Message::Visit {
                user: u.text()?,
                location: unpack_location(u)?,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
