//! What a guest asks.

use crate::mail::{
    EntryName, Flags, Guid, Keyword, MailboxName, SpecialUse, SystemFlags, Uid, UidValidity,
};
use crate::server::pack::{Pack, Unpack};

/// A message that is to be filed, without its octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filed {
    pub(crate) uid: Option<Uid>,
    /// Made of its octets if `None`.
    pub(crate) guid: Option<Guid>,
    pub(crate) saved: Option<i64>,
    /// INTERNALDATE, in seconds since 1970.
    pub(crate) date: Option<i64>,
    pub(crate) flags: Flags,
}

/// One thing that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Account,
    /// Annotations of a mailbox, or of the account.
    Annotations(Option<MailboxName>),
    Look(MailboxName),
    Read(Uid),
    Forget(Vec<Uid>),
    /// `known`: messages that are there already are not filed.
    Into {
        name: MailboxName,
        known: bool,
    },
    Found {
        name: MailboxName,
        uid_validity: UidValidity,
        guid: Guid,
    },
    File(Filed),
    /// A piece of the message; no answer.
    Octets(Vec<u8>),
    /// That was all of it; no answer.
    End,
    /// Why there is nothing more of it: it is not filed; no answer.
    Drop(String),
    Commit,
    Uidls(Vec<(Uid, String)>),
    Finish(Uid),
    Subscribe(MailboxName),
    SpecialUses(Vec<(SpecialUse, MailboxName)>),
    Annotate {
        of: Option<MailboxName>,
        entries: Vec<(EntryName, Vec<u8>)>,
    },
}

pub(super) fn put_name(pack: &mut Pack, name: &MailboxName) {
    pack.text(name.as_str());
}

pub(super) fn name(unpack: &mut Unpack<'_>) -> Option<MailboxName> {
    MailboxName::new(&unpack.text()?).ok()
}

pub(super) fn put_uid(pack: &mut Pack, uid: &Uid) {
    pack.u32(uid.number());
}

pub(super) fn uid(unpack: &mut Unpack<'_>) -> Option<Uid> {
    Uid::new(unpack.u32()?)
}

pub(super) fn put_time(pack: &mut Pack, time: &i64) {
    pack.u64(time.cast_unsigned());
}

pub(super) fn time(unpack: &mut Unpack<'_>) -> Option<i64> {
    unpack.u64().map(u64::cast_signed)
}

pub(super) fn put_guid(pack: &mut Pack, guid: &Guid) {
    pack.bytes(&guid.0);
}

pub(super) fn guid(unpack: &mut Unpack<'_>) -> Option<Guid> {
    unpack.bytes()?.try_into().ok().map(Guid)
}

pub(super) fn put_uses(pack: &mut Pack, uses: &[(SpecialUse, MailboxName)]) {
    pack.list(uses, |pack, (special_use, name)| {
        put_name(pack.text(special_use.attribute()), name);
    });
}

pub(super) fn uses(unpack: &mut Unpack<'_>) -> Option<Vec<(SpecialUse, MailboxName)>> {
    unpack.list(|u| Some((SpecialUse::named(&u.text()?)?, name(u)?)))
}

pub(super) fn put_entries(pack: &mut Pack, entries: &[(EntryName, Vec<u8>)]) {
    pack.list(entries, |pack, (name, value)| {
        pack.text(name.as_str()).bytes(value);
    });
}

pub(super) fn entries(unpack: &mut Unpack<'_>) -> Option<Vec<(EntryName, Vec<u8>)>> {
    unpack.list(|u| Some((EntryName::new(u.bytes()?)?, u.bytes()?.to_vec())))
}

impl Filed {
    fn pack(&self, pack: &mut Pack) {
        pack.option(self.uid.as_ref(), put_uid);
        pack.option(self.guid.as_ref(), put_guid);
        pack.option(self.saved.as_ref(), put_time);
        pack.option(self.date.as_ref(), put_time);
        pack.u8(self.flags.system.bits());
        pack.list(&self.flags.keywords, |pack, keyword| {
            pack.text(keyword.as_str());
        });
    }

    fn unpack(unpack: &mut Unpack<'_>) -> Option<Filed> {
        Some(Filed {
            uid: unpack.option(uid)?,
            guid: unpack.option(guid)?,
            saved: unpack.option(time)?,
            date: unpack.option(time)?,
            flags: Flags {
                system: SystemFlags::from_bits(unpack.u8()?),
                keywords: unpack.list(|u| Keyword::new(&u.text()?))?,
            },
        })
    }
}

impl Ask {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut pack = Pack::default();
        let p = &mut pack;
        match self {
            Ask::Account => drop(p.u8(0)),
            Ask::Annotations(of) => drop(p.u8(1).option(of.as_ref(), put_name)),
            Ask::Look(name) => put_name(p.u8(2), name),
            Ask::Read(uid) => put_uid(p.u8(3), uid),
            Ask::Into { name, known } => put_name(p.u8(4).u8(u8::from(*known)), name),
            Ask::Found {
                name,
                uid_validity,
                guid,
            } => {
                put_name(p.u8(5), name);
                put_guid(p.u32(uid_validity.number()), guid);
            }
            Ask::File(filed) => filed.pack(p.u8(6)),
            Ask::Octets(octets) => drop(p.u8(7).bytes(octets)),
            Ask::End => drop(p.u8(8)),
            Ask::Commit => drop(p.u8(9)),
            Ask::Drop(why) => drop(p.u8(15).text(why)),
            Ask::Forget(uids) => drop(p.u8(16).list(uids, put_uid)),
            Ask::Uidls(uidls) => {
                p.u8(10).list(uidls, |p, (uid, uidl)| {
                    put_uid(p, uid);
                    p.text(uidl);
                });
            }
            Ask::Finish(uid_next) => put_uid(p.u8(11), uid_next),
            Ask::Subscribe(name) => put_name(p.u8(12), name),
            Ask::SpecialUses(uses) => put_uses(p.u8(13), uses),
            Ask::Annotate { of, entries } => {
                p.u8(14).option(of.as_ref(), put_name);
                put_entries(p, entries);
            }
        }
        pack.0
    }

    /// `None` for what nobody asks.
    pub(super) fn decode(bytes: &[u8]) -> Option<Ask> {
        let u = &mut Unpack(bytes);
        Some(match u.u8()? {
            0 => Ask::Account,
            1 => Ask::Annotations(u.option(name)?),
            2 => Ask::Look(name(u)?),
            3 => Ask::Read(uid(u)?),
            4 => {
                let known = u.u8()? != 0;
                let name = name(u)?;
                Ask::Into { name, known }
            }
            5 => Ask::Found {
                name: name(u)?,
                uid_validity: UidValidity::new(u.u32()?)?,
                guid: guid(u)?,
            },
            6 => Ask::File(Filed::unpack(u)?),
            7 => Ask::Octets(u.bytes()?.to_vec()),
            8 => Ask::End,
            9 => Ask::Commit,
            10 => Ask::Uidls(u.list(|u| Some((uid(u)?, u.text()?)))?),
            11 => Ask::Finish(uid(u)?),
            12 => Ask::Subscribe(name(u)?),
            13 => Ask::SpecialUses(uses(u)?),
            14 => Ask::Annotate {
                of: u.option(name)?,
                entries: entries(u)?,
            },
            15 => Ask::Drop(u.text()?),
            16 => Ask::Forget(u.list(uid)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_comes_back_and_nothing_broken_does() {
        let name = |text: &str| MailboxName::new(text).unwrap();
        let uid = |number| Uid::new(number).unwrap();
        let entry = EntryName::new(b"/private/comment").unwrap();
        for ask in [
            Ask::Account,
            Ask::Annotations(Some(name("a/b"))),
            Ask::Look(name("INBOX")),
            Ask::Read(uid(7)),
            Ask::Forget(vec![uid(7), uid(9)]),
            Ask::Into {
                name: name("x"),
                known: true,
            },
            Ask::Found {
                name: name("x"),
                uid_validity: UidValidity::new(9).unwrap(),
                guid: Guid([3; 16]),
            },
            Ask::File(Filed {
                uid: Some(uid(3)),
                guid: Some(Guid([1; 16])),
                saved: Some(-5),
                date: None,
                flags: Flags {
                    system: SystemFlags::SEEN,
                    keywords: vec![Keyword::new("$x").unwrap()],
                },
            }),
            Ask::Octets(vec![0, 255]),
            Ask::End,
            Ask::Commit,
            Ask::Drop("why".into()),
            Ask::Uidls(vec![(uid(1), "u".into())]),
            Ask::Finish(uid(5)),
            Ask::Subscribe(name("s")),
            Ask::SpecialUses(vec![(SpecialUse::Sent, name("s"))]),
            Ask::Annotate {
                of: None,
                entries: vec![(entry, b"v".to_vec())],
            },
        ] {
            let bytes = ask.encode();
            assert_eq!(Ask::decode(&bytes), Some(ask));
            for end in 0..bytes.len() {
                assert_eq!(Ask::decode(&bytes[..end]), None);
            }
        }
        assert_eq!(Ask::decode(&[99]), None);
    }
}
