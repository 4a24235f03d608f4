//! SEARCH in bounded steps.

use super::rows::Raw;
use super::{Error, Rows, View, Want};
use crate::mail::{Criteria, Date, DateField, HeaderField, SeqSet, Since, UidSet};
use crate::mime::{self, Section, SectionText};
use memchr::memmem;

/// Messages looked at in one step if nothing has to be opened.
const MESSAGES_A_STEP: u32 = 1024;
/// Messages opened in one step.
const OPENED_A_STEP: u32 = 32;
/// Text of a part is compared in pieces of this size.
const PIECE: u64 = 32 * 1024;

/// A running search.
pub(crate) struct Search {
    rows: Rows,
    test: Test,
    found: UidSet,
}

/// Criteria made ready: numbers resolved, strings folded.
enum Test {
    All,
    And(Vec<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Seq(SeqSet),
    Uid(UidSet),
    Flag(crate::mail::SystemFlags),
    Keyword(Option<u16>),
    Recent,
    ModSeq(Since),
    Date(DateField, Order, Date),
    Larger(u64),
    Smaller(u64),
    Header(String, Needle),
    Address(String, Needle),
    Body(Needle),
    Text(Needle),
}

/// What is looked for in texts, prepared by i;unicode-casemap (RFC 5255 section 4).
struct Needle(memmem::Finder<'static>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Before,
    On,
    Since,
}

impl Search {
    pub(super) fn new(view: &View, criteria: Criteria) -> Search {
        let test = Test::new(view, criteria);
        let mut want = Want::default();
        test.want(&mut want);
        let uids = test.candidates().map_or_else(
            || view.uids().clone(),
            |only| view.uids().intersection(&only),
        );
        Search {
            rows: view.fetch(uids, want),
            test,
            found: UidSet::new(),
        }
    }

    /// Works for a bounded time; `Some` with the messages found at the end.
    pub(crate) fn step(&mut self) -> Result<Option<UidSet>, Error> {
        let mut opened = 0;
        for _ in 0..MESSAGES_A_STEP {
            if !self.rows.advance()? {
                return Ok(Some(std::mem::take(&mut self.found)));
            }
            match self.test.holds(&mut self.rows, &mut opened) {
                Ok(true) => self.found.insert(self.rows.uid()),
                Ok(false) => {}
                // Expunged while we looked.
                Err(Error::Expunged) => {}
                Err(error) => return Err(error),
            }
            if opened >= OPENED_A_STEP {
                break;
            }
        }
        Ok(None)
    }
}

impl Test {
    fn new(view: &View, criteria: Criteria) -> Test {
        let boxed = |c: Box<Criteria>| Box::new(Test::new(view, *c));
        match criteria {
            Criteria::All => Test::All,
            Criteria::And(all) => Test::And(all.into_iter().map(|c| Test::new(view, c)).collect()),
            Criteria::Or(a, b) => Test::Or(boxed(a), boxed(b)),
            Criteria::Not(c) => Test::Not(boxed(c)),
            Criteria::Seq(set) => Test::Seq(set.resolve(crate::mail::SeqNum::new(view.exists()))),
            Criteria::Uid(set) => Test::Uid(set.resolve(view.uids().last())),
            Criteria::Flag(flag) => Test::Flag(flag),
            Criteria::Keyword(keyword) => {
                let at = view
                    .keywords()
                    .iter()
                    .position(|k| k.as_ref() == Some(&keyword));
                Test::Keyword(at.and_then(|at| u16::try_from(at).ok()))
            }
            Criteria::Recent => Test::Recent,
            Criteria::ModSeq(since) => Test::ModSeq(since),
            Criteria::Before(field, date) => Test::Date(field, Order::Before, date),
            Criteria::On(field, date) => Test::Date(field, Order::On, date),
            Criteria::Since(field, date) => Test::Date(field, Order::Since, date),
            Criteria::Larger(octets) => Test::Larger(octets),
            Criteria::Smaller(octets) => Test::Smaller(octets),
            Criteria::Header(HeaderField(name), text) => Test::Header(name, Needle::new(&text)),
            Criteria::Address(HeaderField(name), text) => Test::Address(name, Needle::new(&text)),
            Criteria::Body(text) => Test::Body(Needle::new(&text)),
            Criteria::Text(text) => Test::Text(Needle::new(&text)),
        }
    }

    /// Messages outside this set cannot hold; `None`: any can.
    fn candidates(&self) -> Option<UidSet> {
        match self {
            Test::Uid(set) => Some(set.clone()),
            Test::And(all) => all
                .iter()
                .filter_map(Test::candidates)
                .reduce(|a, b| a.intersection(&b)),
            _ => None,
        }
    }

    fn want(&self, want: &mut Want) {
        match self {
            Test::And(all) => all.iter().for_each(|t| t.want(want)),
            Test::Or(a, b) => {
                a.want(want);
                b.want(want);
            }
            Test::Not(t) => t.want(want),
            Test::Date(DateField::Internal, ..) => want.internal_date = true,
            Test::Date(DateField::Sent, ..) | Test::Header(..) | Test::Address(..) => {
                want.header_fields = true
            }
            Test::Larger(_) | Test::Smaller(_) => want.octets = true,
            Test::Body(_) | Test::Text(_) => want.body = true,
            _ => {}
        }
    }

    fn holds(&self, row: &mut Rows, opened: &mut u32) -> Result<bool, Error> {
        Ok(match self {
            Test::All => true,
            Test::And(all) => {
                for test in all {
                    if !test.holds(row, opened)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Or(a, b) => a.holds(row, opened)? || b.holds(row, opened)?,
            Test::Not(test) => !test.holds(row, opened)?,
            Test::Seq(set) => set.contains(row.seq()),
            Test::Uid(set) => set.contains(row.uid()),
            Test::Flag(flag) => row.flags().contains(*flag),
            Test::Keyword(at) => at.is_some_and(|at| row.keywords().contains(&at)),
            Test::Recent => row.recent(),
            Test::ModSeq(since) => row.mod_seq().number() >= since.number(),
            Test::Date(DateField::Internal, order, date) => {
                order.holds(row.internal_date()?.date(), *date)
            }
            Test::Date(DateField::Sent, order, date) => {
                let value = header_values(row, "Date", opened)?.into_iter().next();
                let sent = value.and_then(|v| mime::sent_date(&v));
                // Without a readable Date: a message is as old as its arrival.
                let sent = match sent {
                    Some(sent) => sent.date(),
                    None => row.internal_date()?.date(),
                };
                order.holds(sent, *date)
            }
            Test::Larger(octets) => row.octets()? > *octets,
            Test::Smaller(octets) => row.octets()? < *octets,
            Test::Header(name, text) => {
                let values = header_values(row, name, opened)?;
                // An empty string asks whether the field is there (RFC 3501 section 6.4.4).
                values
                    .iter()
                    .any(|value| text.is_empty() || text.is_in(&mime::decode_header(value)))
            }
            Test::Address(name, text) => {
                let values = header_values(row, name, opened)?;
                values
                    .iter()
                    .any(|value| text.is_empty() || text.is_in(&mime::address_text(value)))
            }
            Test::Body(text) => {
                *opened += 1;
                body_contains(row, text, Headers::No)?
            }
            Test::Text(text) => {
                *opened += 1;
                header_contains(row, text)? || body_contains(row, text, Headers::Too)?
            }
        })
    }
}

impl Order {
    fn holds(self, own: Date, other: Date) -> bool {
        match self {
            Order::Before => own < other,
            Order::On => own == other,
            Order::Since => own >= other,
        }
    }
}

impl Needle {
    fn new(text: &str) -> Needle {
        let mut prepared = Vec::new();
        mime::casemap(text, &mut prepared);
        Needle(memmem::Finder::new(&prepared).into_owned())
    }

    fn is_empty(&self) -> bool {
        self.0.needle().is_empty()
    }

    fn is_in(&self, text: &str) -> bool {
        let mut prepared = Vec::new();
        mime::casemap(text, &mut prepared);
        self.0.find(&prepared).is_some()
    }
}

/// Raw values of every field of that name.
fn header_values(row: &mut Rows, name: &str, opened: &mut u32) -> Result<Vec<Vec<u8>>, Error> {
    if !super::learn::knows(&[name]) {
        *opened += 1;
    }
    let text = row.header_fields(&[name.to_owned()])?;
    Ok(mime::fields(text)
        .map(|field| field.value.to_vec())
        .collect())
}

fn header_contains(row: &mut Rows, text: &Needle) -> Result<bool, Error> {
    let section = Section {
        part: Vec::new(),
        text: SectionText::Header,
    };
    let Some(mut content) = row.content(&section)? else {
        return Ok(false);
    };
    let mut header = Vec::new();
    while content.read(&mut header, usize::MAX)? > 0 {}
    Ok(fields_contain(&header, text))
}

/// Lines that are no field are text, too.
fn fields_contain(header: &[u8], text: &Needle) -> bool {
    mime::header_lines(header).any(|line| text.is_in(&mime::decode_header(line)))
}

/// Whether headers inside the body count (RFC 9051 section 6.4.4: for TEXT, not for BODY).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    Too,
    No,
}

/// Looks through every text part, decoded, in constant memory.
fn body_contains(row: &mut Rows, text: &Needle, headers: Headers) -> Result<bool, Error> {
    let (structure, mut raw) = row.raw()?;
    for (at, part) in structure.parts.iter().enumerate() {
        if at > 0 && headers == Headers::Too {
            let header = raw.read(part.header.start, part.header.end)?;
            if fields_contain(header, text) {
                return Ok(true);
            }
        }
        if part.kind == mime::Kind::Leaf && part_contains(part, &mut raw, text)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn part_contains(part: &mime::Part, raw: &mut Raw, text: &Needle) -> Result<bool, Error> {
    let Some(mut decoder) = mime::Text::new(&part.content) else {
        return Ok(false);
    };
    let mut at = part.body.start;
    let (mut decoded, mut prepared) = (String::new(), Vec::new());
    loop {
        let to = part.body.end.min(at + PIECE);
        let piece = raw.read(at, to)?;
        at = to;
        let last = at >= part.body.end || piece.is_empty();
        decoded.clear();
        decoder.decode(piece, last, &mut decoded);
        mime::casemap(&decoded, &mut prepared);
        if text.0.find(&prepared).is_some() {
            return Ok(true);
        }
        if last {
            return Ok(false);
        }
        // The end of a piece can be the start of a match.
        let kept = text.0.needle().len().saturating_sub(1);
        prepared.drain(..prepared.len().saturating_sub(kept));
    }
}
