//! What a host tells.

use super::ask::{
    entries, guid, name, put_entries, put_guid, put_name, put_time, put_uid, put_uses, time, uid,
    uses,
};
use crate::mail::{EntryName, Keyword, MailboxName, SpecialUse, SystemFlags, UidValidity};
use crate::mailbox::{Error, Listing, Portrait};
use crate::server::pack::{Pack, Unpack};

/// What an account has beside messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// Every mailbox that can be selected, sorted.
    pub(crate) mailboxes: Vec<MailboxName>,
    /// What mailboxes begin with that are there and cannot be used now; they are not among the others.
    pub(crate) absent: Vec<MailboxName>,
    pub(crate) subscriptions: Vec<MailboxName>,
    /// What mailboxes are for, where that was said of them.
    pub(crate) special_uses: Vec<(SpecialUse, MailboxName)>,
}

impl Roster {
    /// The prefix of a name that cannot be used now.
    pub(crate) fn absent_of(&self, name: &MailboxName) -> Option<&MailboxName> {
        let mut absent = self.absent.iter();
        absent.find(|prefix| name == *prefix || name.is_below(prefix))
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It survives a power cut.
    Added,
    /// As `Added`, without its keywords, of which the mailbox has too many.
    Stripped,
    /// It was there already.
    Known,
    /// It cannot be; why.
    Refused(String),
}

/// What kind of thing was in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is another mailbox of that name, with messages.
    Exists,
    Missing,
    /// The message was expunged.
    Expunged,
    /// The disk is full, or somebody else is busy there.
    Later,
    Other,
}

const REASONS: [Reason; 5] = [
    Reason::Exists,
    Reason::Missing,
    Reason::Expunged,
    Reason::Later,
    Reason::Other,
];

impl From<Error> for Reason {
    fn from(error: Error) -> Reason {
        match error {
            Error::MailboxExists => Reason::Exists,
            Error::NoSuchMailbox => Reason::Missing,
            Error::Expunged => Reason::Expunged,
            Error::Full | Error::Busy => Reason::Later,
            _ => Reason::Other,
        }
    }
}

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Done,
    Failed(Reason, String),
    Account(Roster),
    Annotations(Vec<(EntryName, Vec<u8>)>),
    Mailbox(Portrait),
    /// The next messages; none: that were all.
    Messages(Vec<Listing>),
    /// INTERNALDATE; its octets follow.
    Message(i64),
    Octets(Vec<u8>),
    End,
    /// UIDs below were given.
    Founded(crate::mail::Uid),
    /// Of all messages since the last time.
    Filed(Vec<Outcome>),
}

fn put_portrait(portrait: &Portrait, pack: &mut Pack) {
    put_name(pack, &portrait.name);
    put_uid(pack.u32(portrait.uid_validity.number()), &portrait.uid_next);
    put_guid(pack, &portrait.guid);
    pack.list(&portrait.keywords, |pack, keyword| {
        pack.option(keyword.as_ref(), |pack, keyword| {
            pack.text(keyword.as_str());
        });
    });
    pack.u32(portrait.messages);
}

fn portrait(unpack: &mut Unpack<'_>) -> Option<Portrait> {
    Some(Portrait {
        name: name(unpack)?,
        uid_validity: UidValidity::new(unpack.u32()?)?,
        uid_next: uid(unpack)?,
        guid: guid(unpack)?,
        keywords: unpack.list(|u| u.option(|u| Keyword::new(&u.text()?)))?,
        messages: unpack.u32()?,
    })
}

fn put_listing(pack: &mut Pack, listing: &Listing) {
    put_uid(pack, &listing.uid);
    pack.u8(listing.flags.bits());
    pack.list(&listing.keywords, |pack, number| {
        pack.u32(u32::from(*number));
    });
    pack.text(&listing.base).text(&listing.aliases);
}

fn listing(unpack: &mut Unpack<'_>) -> Option<Listing> {
    Some(Listing {
        uid: uid(unpack)?,
        flags: SystemFlags::from_bits(unpack.u8()?),
        keywords: unpack.list(|u| u.u32()?.try_into().ok())?,
        base: unpack.text()?.into(),
        aliases: unpack.text()?.into(),
    })
}

fn put_outcome(pack: &mut Pack, outcome: &Outcome) {
    match outcome {
        Outcome::Added => drop(pack.u8(0)),
        Outcome::Stripped => drop(pack.u8(1)),
        Outcome::Known => drop(pack.u8(2)),
        Outcome::Refused(why) => drop(pack.u8(3).text(why)),
    }
}

fn outcome(unpack: &mut Unpack<'_>) -> Option<Outcome> {
    Some(match unpack.u8()? {
        0 => Outcome::Added,
        1 => Outcome::Stripped,
        2 => Outcome::Known,
        3 => Outcome::Refused(unpack.text()?),
        _ => return None,
    })
}

impl Tell {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut pack = Pack::default();
        let p = &mut pack;
        match self {
            Tell::Done => drop(p.u8(0)),
            Tell::Failed(reason, text) => {
                let at = REASONS.iter().position(|own| own == reason);
                let at = at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
                p.u8(1).u8(at).text(text);
            }
            Tell::Account(roster) => {
                p.u8(2).list(&roster.mailboxes, put_name);
                p.list(&roster.absent, put_name);
                p.list(&roster.subscriptions, put_name);
                put_uses(p, &roster.special_uses);
            }
            Tell::Annotations(entries) => put_entries(p.u8(3), entries),
            Tell::Mailbox(portrait) => put_portrait(portrait, p.u8(4)),
            Tell::Messages(all) => drop(p.u8(5).list(all, put_listing)),
            Tell::Message(date) => put_time(p.u8(6), date),
            Tell::Octets(octets) => drop(p.u8(7).bytes(octets)),
            Tell::End => drop(p.u8(8)),
            Tell::Founded(first) => put_uid(p.u8(9), first),
            Tell::Filed(outcomes) => drop(p.u8(10).list(outcomes, put_outcome)),
        }
        pack.0
    }

    /// `None` for what nobody tells.
    pub(super) fn decode(bytes: &[u8]) -> Option<Tell> {
        let u = &mut Unpack(bytes);
        Some(match u.u8()? {
            0 => Tell::Done,
            1 => {
                let reason = REASONS.get(usize::from(u.u8()?)).copied()?;
                Tell::Failed(reason, u.text()?)
            }
            2 => Tell::Account(Roster {
                mailboxes: u.list(name)?,
                absent: u.list(name)?,
                subscriptions: u.list(name)?,
                special_uses: uses(u)?,
            }),
            3 => Tell::Annotations(entries(u)?),
            4 => Tell::Mailbox(portrait(u)?),
            5 => Tell::Messages(u.list(listing)?),
            6 => Tell::Message(time(u)?),
            7 => Tell::Octets(u.bytes()?.to_vec()),
            8 => Tell::End,
            9 => Tell::Founded(uid(u)?),
            10 => Tell::Filed(u.list(outcome)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Guid, Uid};

    #[test]
    fn all_comes_back_and_nothing_broken_does() {
        let name = |text: &str| MailboxName::new(text).unwrap();
        let uid = |number| Uid::new(number).unwrap();
        for tell in [
            Tell::Done,
            Tell::Failed(Reason::Later, "full".into()),
            Tell::Account(Roster {
                mailboxes: vec![name("INBOX"), name("a/b")],
                absent: vec![name("old")],
                subscriptions: vec![name("c")],
                special_uses: vec![(SpecialUse::Junk, name("j"))],
            }),
            Tell::Annotations(Vec::new()),
            Tell::Mailbox(Portrait {
                name: name("x"),
                uid_validity: UidValidity::new(9).unwrap(),
                uid_next: uid(5),
                guid: Guid([7; 16]),
                keywords: vec![None, Keyword::new("k")],
                messages: 3,
            }),
            Tell::Messages(vec![Listing {
                uid: uid(1),
                flags: SystemFlags::SEEN,
                keywords: vec![0, 40],
                base: "1.a,U=1".into(),
                aliases: "Px".into(),
            }]),
            Tell::Message(-1),
            Tell::Octets(vec![1]),
            Tell::End,
            Tell::Founded(uid(1)),
            Tell::Filed(vec![
                Outcome::Added,
                Outcome::Known,
                Outcome::Stripped,
                Outcome::Refused("x".into()),
            ]),
        ] {
            let bytes = tell.encode();
            assert_eq!(Tell::decode(&bytes), Some(tell));
            for end in 0..bytes.len() {
                assert_eq!(Tell::decode(&bytes[..end]), None);
            }
        }
    }
}
