//! What the messages between roles consist of, as octets and back.

use super::{Addressee, Owner};
use crate::auth::{Closed, Found, Proof, Secret, Shown, User, Verdict};
use crate::server::pack::{Pack, Unpack, path, unpath};
use crate::server::setup::{pack_location, unpack_location};

impl From<User> for Owner {
    fn from(user: User) -> Owner {
        Owner {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
            home: user.home,
            mail: user.mail,
        }
    }
}

impl Owner {
    pub(super) fn pack(&self, pack: &mut Pack) {
        pack.text(&self.name);
        for number in [self.uid, self.gid] {
            pack.option(number.as_ref(), |pack, number| {
                pack.u32(*number);
            });
        }
        pack.option(self.home.as_ref(), |pack, home| path(pack, home));
        pack.option(self.mail.as_ref(), |pack, mail| {
            pack.text(mail);
        });
    }

    pub(super) fn unpack(unpack: &mut Unpack<'_>) -> Option<Owner> {
        Some(Owner {
            name: unpack.text()?,
            uid: unpack.option(Unpack::u32)?,
            gid: unpack.option(Unpack::u32)?,
            home: unpack.option(unpath)?,
            mail: unpack.option(Unpack::text)?.map(Box::from),
        })
    }
}

impl Addressee {
    pub(super) fn pack(&self, pack: &mut Pack) {
        pack.text(&self.user);
        pack_location(pack, &self.location);
        pack.bytes(&self.address);
        pack.option(self.detail.as_ref(), |pack, detail| {
            pack.text(detail);
        });
    }

    pub(super) fn unpack(unpack: &mut Unpack<'_>) -> Option<Addressee> {
        Some(Addressee {
            user: unpack.text()?,
            location: unpack_location(unpack)?,
            address: unpack.bytes()?.to_vec(),
            detail: unpack.option(Unpack::text)?,
        })
    }
}

pub(super) fn octets(u: &mut Unpack<'_>) -> Option<Vec<u8>> {
    Some(u.bytes()?.to_vec())
}

/// What SCRAM proves is never sent: it stays where the secrets are.
pub(super) fn pack_proof(proof: &Proof, p: &mut Pack) {
    match proof {
        Proof::Password(password) => drop(p.u8(0).bytes(password.bytes())),
        Proof::Apop { stamp, digest } => drop(p.u8(1).text(stamp).bytes(digest)),
        Proof::Certificate(shown) => {
            p.u8(2).list(&shown.chain, |p, one| {
                p.bytes(one);
            });
            p.u32(shown.scheme.into());
            p.bytes(&shown.message).bytes(&shown.signature);
        }
        Proof::Anonymous(trace) => drop(p.u8(3).text(trace)),
        Proof::CramMd5 { .. } | Proof::Scram(_) | Proof::Certified => drop(p.u8(u8::MAX)),
    }
}

pub(super) fn unpack_proof(u: &mut Unpack<'_>) -> Option<Proof> {
    Some(match u.u8()? {
        0 => Proof::Password(Secret::from(u.bytes()?)),
        1 => Proof::Apop {
            stamp: u.text()?,
            digest: u.bytes()?.to_vec(),
        },
        2 => Proof::Certificate(Box::new(Shown {
            chain: u.list(octets)?,
            scheme: u16::try_from(u.u32()?).ok()?,
            message: octets(u)?,
            signature: octets(u)?,
        })),
        3 => Proof::Anonymous(u.text()?),
        _ => return None,
    })
}

pub(super) fn pack_found(found: &Found, p: &mut Pack) {
    match found {
        Found::Nothing => drop(p.u8(0)),
        Found::Unavailable => drop(p.u8(1)),
        Found::User(user, mail) => {
            Owner::from(user.clone()).pack(p.u8(2));
            p.option(mail.as_ref(), |p, mail| {
                p.text(mail);
            });
        }
        Found::Names(names) => drop(p.u8(3).list(names, |p, name| {
            p.text(name);
        })),
        Found::Text(text) => drop(p.u8(4).text(text)),
    }
}

pub(super) fn unpack_found(u: &mut Unpack<'_>) -> Option<Found> {
    Some(match u.u8()? {
        0 => Found::Nothing,
        1 => Found::Unavailable,
        2 => {
            let owner = Owner::unpack(u)?;
            let user = User {
                name: owner.name,
                uid: owner.uid,
                gid: owner.gid,
                home: owner.home,
                mail: owner.mail,
            };
            Found::User(user, u.option(Unpack::text)?)
        }
        3 => Found::Names(u.list(Unpack::text)?),
        4 => Found::Text(u.text()?),
        _ => return None,
    })
}

pub(super) fn pack_verdict(verdict: &Verdict, p: &mut Pack) {
    match verdict {
        Verdict::Accepted => drop(p.u8(0)),
        Verdict::Rejected => drop(p.u8(1)),
        Verdict::Unavailable => drop(p.u8(2)),
        Verdict::TooSoon => drop(p.u8(4)),
        Verdict::Closed(closed) => {
            let text = |p: &mut Pack, text: &String| {
                p.text(text);
            };
            p.u8(3).text(&closed.user);
            p.option(closed.server.as_ref(), text);
            p.option(closed.reason.as_ref(), text);
        }
    }
}

pub(super) fn unpack_verdict(u: &mut Unpack<'_>) -> Option<Verdict> {
    Some(match u.u8()? {
        0 => Verdict::Accepted,
        1 => Verdict::Rejected,
        2 => Verdict::Unavailable,
        4 => Verdict::TooSoon,
        3 => Verdict::Closed(Box::new(Closed {
            user: u.text()?,
            server: u.option(Unpack::text)?,
            reason: u.option(Unpack::text)?,
        })),
        _ => return None,
    })
}
