//! Search criteria made ready for one view, and whether a message meets them.

use super::inthread::{InThread, Threadmates};
use super::needle::{Headers, Needle};
use super::objects::first_message;
use super::walk::Known;
use super::{Error, Rows, View, Want, learn};
use crate::index::{Facts, Keys, Name};
use crate::mail::{
    Criteria, Date, DateField, DateTime, HeaderField, ModSeq, ObjectId, SeqNum, SeqSet, Since,
    SystemFlags, Uid, UidSet,
};
use crate::mime::{self, Names};
use crate::store::{origin, saved};
use crate::sys::clock::now_seconds;

/// Criteria with numbers resolved and strings prepared.
pub(super) enum Test {
    All,
    And(Vec<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Seq(SeqSet),
    Uid(UidSet),
    Flag(SystemFlags),
    Keyword(Option<u16>),
    Recent,
    ModSeq(Since),
    Date(DateField, Order, Date),
    /// Arrived at this second or later, or at this second or before.
    Arrived(Order, i64),
    EmailId(Option<ObjectId>),
    ThreadId(Option<ObjectId>),
    Larger(u64),
    Smaller(u64),
    Header(String, Needle),
    Address(String, Needle),
    Body(Needle),
    Text(Needle),
    InThread(Threadmates),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Before,
    On,
    Since,
}

/// The message that is tested.
pub(super) enum Subject<'a, 'k> {
    /// As far as the index knows it.
    Known(&'a Known<'k>),
    /// Whatever is asked is found out.
    Row(&'a mut Rows),
}

type Room = Vec<u8>;

impl Test {
    /// `later`: gets what has to be found out before a message is tested.
    pub(super) fn new(view: &View, criteria: Criteria, later: &mut Vec<InThread>) -> Test {
        let mut new = |c: Criteria| Test::new(view, c, later);
        let mut boxed = |c: Box<Criteria>| Box::new(new(*c));
        let ago = |seconds: u32| now_seconds().saturating_sub(i64::from(seconds));
        match criteria {
            Criteria::All => Test::All,
            Criteria::And(all) => Test::And(all.into_iter().map(new).collect()),
            Criteria::Or(a, b) => Test::Or(boxed(a), boxed(b)),
            Criteria::Not(c) => Test::Not(boxed(c)),
            Criteria::Seq(set) | Criteria::Uid(set) if set.is_saved() => Test::Uid(view.saved()),
            Criteria::Seq(set) => Test::Seq(set.resolve(SeqNum::new(view.exists()))),
            Criteria::Uid(set) => Test::Uid(set.resolve(view.uids().last())),
            Criteria::Flag(flag) => Test::Flag(flag),
            Criteria::Keyword(keyword) => {
                let own = |k: &Option<crate::mail::Keyword>| k.as_ref() == Some(&keyword);
                let at = view.keywords().iter().position(own);
                Test::Keyword(at.and_then(|at| u16::try_from(at).ok()))
            }
            Criteria::Recent => Test::Recent,
            Criteria::ModSeq(since) => Test::ModSeq(since),
            Criteria::Before(field, date) => Test::Date(field, Order::Before, date),
            Criteria::On(field, date) => Test::Date(field, Order::On, date),
            Criteria::Since(field, date) => Test::Date(field, Order::Since, date),
            Criteria::Older(seconds) => Test::Arrived(Order::Before, ago(seconds)),
            Criteria::Younger(seconds) => Test::Arrived(Order::Since, ago(seconds)),
            Criteria::EmailId(id) => Test::EmailId(id),
            Criteria::ThreadId(id) => Test::ThreadId(id),
            Criteria::Larger(octets) => Test::Larger(octets),
            Criteria::Smaller(octets) => Test::Smaller(octets),
            Criteria::Header(HeaderField(name), text) => Test::Header(name, Needle::new(&text)),
            Criteria::Address(HeaderField(name), text) => Test::Address(name, Needle::new(&text)),
            Criteria::Body(text) => Test::Body(Needle::new(&text)),
            Criteria::Text(text) => Test::Text(Needle::new(&text)),
            Criteria::InThread(by, inner) => {
                let own = InThread::new(view, by, *inner);
                let result = own.result();
                later.push(own);
                Test::InThread(result)
            }
        }
    }

    /// Messages outside this set cannot hold; `None`: any can.
    pub(super) fn candidates(&self) -> Option<UidSet> {
        match self {
            Test::Uid(set) => Some(set.clone()),
            Test::InThread(result) => result.get().cloned(),
            Test::And(all) => all
                .iter()
                .filter_map(Test::candidates)
                .reduce(|a, b| a.intersection(&b)),
            _ => None,
        }
    }

    pub(super) fn want(&self, want: &mut Want) {
        match self {
            Test::And(all) => all.iter().for_each(|t| t.want(want)),
            Test::Or(a, b) => {
                a.want(want);
                b.want(want);
            }
            Test::Not(t) => t.want(want),
            Test::Date(..) | Test::Arrived(..) => want.internal_date = true,
            Test::Header(..) | Test::Address(..) | Test::ThreadId(Some(_)) => {
                want.header_fields = true;
            }
            Test::Larger(_) | Test::Smaller(_) => want.octets = true,
            Test::Body(_) | Test::Text(_) => want.body = true,
            _ => {}
        }
    }

    /// `None` if the message has to be opened for it, which is only so for [`Subject::Known`].
    pub(super) fn holds(
        &self,
        message: &mut Subject<'_, '_>,
        room: &mut Room,
    ) -> Result<Option<bool>, Error> {
        Ok(match self {
            Test::All => Some(true),
            Test::And(all) => {
                let mut holds = Some(true);
                for test in all {
                    match test.holds(message, room)? {
                        Some(true) => {}
                        Some(false) => return Ok(Some(false)),
                        None => holds = None,
                    }
                }
                holds
            }
            Test::Or(a, b) => match a.holds(message, room)? {
                Some(true) => Some(true),
                first => match b.holds(message, room)? {
                    Some(false) => first,
                    second => second,
                },
            },
            Test::Not(test) => test.holds(message, room)?.map(|holds| !holds),
            Test::Seq(set) => Some(message.seq().is_some_and(|seq| set.contains(seq))),
            Test::Uid(set) => Some(set.contains(message.uid())),
            Test::InThread(result) => {
                let mates = result.get().ok_or(Error::Fault)?;
                Some(mates.contains(message.uid()))
            }
            Test::Flag(flag) => Some(message.has_flag(*flag)),
            Test::Keyword(at) => Some(at.is_some_and(|at| message.has_keyword(at))),
            Test::Recent => Some(message.is_recent()),
            Test::ModSeq(since) => Some(message.mod_seq().number() >= since.number()),
            Test::Date(DateField::Internal, order, date) => {
                let arrived = message.internal_date()?;
                arrived.map(|at| order.holds(DateTime::utc(at).date(), *date))
            }
            Test::Date(DateField::Sent, order, date) => {
                let sent = message.sent_date()?;
                sent.map(|sent| order.holds(sent.date(), *date))
            }
            Test::Date(DateField::Saved, order, date) => {
                let saved = message.saved()?;
                saved.map(|at| order.holds(DateTime::utc(at).date(), *date))
            }
            Test::EmailId(None) | Test::ThreadId(None) => Some(false),
            Test::EmailId(id) => message.email_id()?.map(|own| Some(own) == *id),
            Test::ThreadId(id) => message.thread_id()?.map(|own| Some(own) == *id),
            Test::Arrived(order, moment) => {
                let arrived = message.internal_date()?;
                // RFC 5032 section 2: the moment itself counts for both.
                arrived.map(|at| at == *moment || order.holds(at, *moment))
            }
            Test::Larger(octets) => message.octets()?.map(|own| own > *octets),
            Test::Smaller(octets) => message.octets()?.map(|own| own < *octets),
            // An empty string asks whether the field is there (RFC 3501 section 6.4.4).
            Test::Header(name, text) => message.any_field(name, &mut |value| {
                text.is_empty() || text.is_in_field(value, room)
            })?,
            Test::Address(name, text) => message.any_field(name, &mut |value| {
                let mut has = |names| text.is_in(&mime::address_text(value, names), room);
                let quotes = text.has_quotes();
                text.is_empty() || has(Names::Plain) || quotes && has(Names::Quoted)
            })?,
            Test::Body(text) => match message {
                Subject::Known(_) => None,
                Subject::Row(row) => Some(text.is_in_body(row, Headers::No, room)?),
            },
            Test::Text(text) => match message {
                Subject::Known(_) => None,
                Subject::Row(row) => Some(
                    text.is_in_own_header(row, room)?
                        || text.is_in_body(row, Headers::Too, room)?,
                ),
            },
        })
    }
}

impl Order {
    fn holds<T: Ord>(self, own: T, other: T) -> bool {
        match self {
            Order::Before => own < other,
            Order::On => own == other,
            Order::Since => own >= other,
        }
    }
}

impl Subject<'_, '_> {
    pub(super) fn uid(&self) -> Uid {
        match self {
            Subject::Known(known) => known.uid,
            Subject::Row(row) => row.uid(),
        }
    }

    fn seq(&self) -> Option<SeqNum> {
        match self {
            Subject::Known(known) => known.seq(),
            Subject::Row(row) => Some(row.seq()),
        }
    }

    fn has_flag(&self, flag: SystemFlags) -> bool {
        match self {
            Subject::Known(known) => known.has_flag(flag),
            Subject::Row(row) => row.flags().contains(flag),
        }
    }

    fn has_keyword(&self, keyword: u16) -> bool {
        match self {
            Subject::Known(known) => known.has_keyword(keyword),
            Subject::Row(row) => row.keywords().contains(&keyword),
        }
    }

    fn is_recent(&self) -> bool {
        match self {
            Subject::Known(known) => known.is_recent(),
            Subject::Row(row) => row.recent(),
        }
    }

    fn mod_seq(&self) -> ModSeq {
        match self {
            Subject::Known(known) => known.mod_seq(),
            Subject::Row(row) => row.mod_seq(),
        }
    }

    fn facts(&mut self) -> Result<Option<Facts<'_>>, Error> {
        match self {
            Subject::Known(known) => Ok(known.facts),
            Subject::Row(row) => row.facts().map(Some),
        }
    }

    fn keys(&mut self) -> Result<Option<Keys<'_>>, Error> {
        match self {
            Subject::Known(known) => Ok(known.keys),
            Subject::Row(row) => row.keys().map(Some),
        }
    }

    /// RFC822.SIZE.
    pub(super) fn octets(&mut self) -> Result<Option<u64>, Error> {
        Ok(self.keys()?.map(|keys| keys.octets))
    }

    /// Seconds since 1970.
    pub(super) fn internal_date(&mut self) -> Result<Option<i64>, Error> {
        Ok(self.keys()?.map(|keys| keys.internal_date))
    }

    fn name(&mut self) -> Result<Option<&Name>, Error> {
        match self {
            Subject::Known(known) => known.name(),
            Subject::Row(row) => row.name().map(Some),
        }
    }

    /// As [`Rows::save_date`], in seconds since 1970.
    fn saved(&mut self) -> Result<Option<i64>, Error> {
        match self.name()?.and_then(|name| saved(&name.base)) {
            Some(seconds) => Ok(Some(seconds)),
            None => self.internal_date(),
        }
    }

    fn email_id(&mut self) -> Result<Option<ObjectId>, Error> {
        let name = self.name()?;
        Ok(name.map(|name| ObjectId::email(&origin(&name.base))))
    }

    fn thread_id(&mut self) -> Result<Option<ObjectId>, Error> {
        let known = match self {
            Subject::Row(row) => return row.thread_id().map(Some),
            Subject::Known(known) => known,
        };
        let header = known.facts.map(|facts| facts.header);
        match header.filter(|header| !header.is_empty()) {
            None => Ok(None),
            Some(header) => match first_message(header) {
                Some(id) => Ok(Some(ObjectId::thread(&id))),
                None => {
                    let name = known.name()?;
                    Ok(name.map(|name| ObjectId::thread(origin(&name.base).as_bytes())))
                }
            },
        }
    }

    /// That of the Date field, else when the message arrived (RFC 5256 section 2.2).
    pub(super) fn sent_date(&mut self) -> Result<Option<DateTime>, Error> {
        let sent = |keys: Keys<'_>| keys.sent.unwrap_or(DateTime::utc(keys.internal_date));
        Ok(self.keys()?.map(sent))
    }

    /// Appends the base subject, prepared for comparing, to `out` (RFC 5256 section 2.1). Whether it is
    /// that of a reply or a forward; `None` if the index does not know.
    pub(super) fn base_subject(&mut self, out: &mut Vec<u8>) -> Result<Option<bool>, Error> {
        if let Some(subject) = self.keys()?.and_then(|keys| keys.subject) {
            out.extend_from_slice(subject.base);
            return Ok(Some(subject.is_reply));
        }
        let mut is_reply = false;
        let known = self.any_field("Subject", &mut |value| {
            is_reply = learn::base_subject(value, out);
            true
        })?;
        Ok(known.map(|_| is_reply))
    }

    /// Whether one of the raw values of the field of that name is accepted. `None` if the index
    /// does not know these fields.
    pub(super) fn any_field(
        &mut self,
        name: &str,
        accept: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Option<bool>, Error> {
        let mut accepted = |header: &[u8]| mime::values(header, name).any(&mut *accept);
        let kept = learn::knows(&[name]);
        if let Some(facts) = self.facts()?
            && kept
            && !facts.header.is_empty()
        {
            return Ok(Some(accepted(facts.header)));
        }
        match self {
            Subject::Known(_) => Ok(None),
            Subject::Row(row) => Ok(Some(accepted(row.header_fields(&[name.to_owned()])?))),
        }
    }
}
