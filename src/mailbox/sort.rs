//! SORT (RFC 5256 section 3) in bounded steps: a search, then keys of what was found.

use super::criteria::Subject;
use super::sorter::{MAX_KEY, Sorted, Sorter};
use super::walk::Walk;
use super::{Account, Error, Rows, Search, View, Want, store_fault};
use crate::mail::{Criteria, SortCriterion, SortKey, UidSet};
use crate::mime;
use std::fs::File;

/// Messages whose keys are made in one step if nothing has to be opened.
const MESSAGES_A_STEP: usize = 2048;
/// Messages opened in one step.
const OPENED_A_STEP: u32 = 32;

/// A running SORT.
pub(crate) struct Sort {
    account: Account,
    order: Vec<SortCriterion>,
    sorter: Sorter,
    stage: Stage,
    /// What the index does not know enough of.
    open: UidSet,
    key: Vec<u8>,
}

enum Stage {
    /// The walk will go over what is found.
    Searching(Box<Search>, Box<Walk>),
    Walking(Box<Walk>),
    Opening(Box<Rows>),
    Done,
}

impl Sort {
    pub(super) fn new(view: &View, order: Vec<SortCriterion>, criteria: Criteria) -> Sort {
        Sort {
            account: view.account.clone(),
            order,
            sorter: Sorter::new(view.shared.host.limits.sort_octets),
            stage: Stage::Searching(
                Box::new(Search::new(view, criteria)),
                Box::new(Walk::new(view, UidSet::new(), true)),
            ),
            open: UidSet::new(),
            key: Vec::new(),
        }
    }

    /// Works for a bounded time; `Some` with the sorted messages at the end.
    pub(crate) fn step(&mut self) -> Result<Option<Sorted>, Error> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Searching(mut search, walk) => {
                self.stage = match search.step()? {
                    Some(found) => Stage::Walking(Box::new(walk.over(found))),
                    None => Stage::Searching(search, walk),
                };
            }
            Stage::Walking(mut walk) => {
                self.stage = if self.walk(&mut walk)? {
                    Stage::Walking(walk)
                } else {
                    let want = Want {
                        header_fields: true,
                        ..Want::default()
                    };
                    Stage::Opening(Box::new(walk.rows(std::mem::take(&mut self.open), want)))
                };
            }
            Stage::Opening(mut rows) => {
                if self.open_some(&mut rows)? {
                    self.stage = Stage::Opening(rows);
                } else {
                    let sorter = std::mem::replace(&mut self.sorter, Sorter::new(0));
                    return sorter.finish(&mut || scratch(&self.account)).map(Some);
                }
            }
            Stage::Done => return Err(Error::Fault),
        }
        Ok(None)
    }

    /// `false` at the end.
    fn walk(&mut self, walk: &mut Walk) -> Result<bool, Error> {
        let mut failed = Ok(());
        let (order, key, sorter) = (&self.order, &mut self.key, &mut self.sorter);
        let (open, account) = (&mut self.open, &self.account);
        let more = walk.step(MESSAGES_A_STEP, &mut |known| {
            if failed.is_err() {
                return;
            }
            failed = match keys(order, &mut Subject::Known(known), key) {
                Ok(true) => sorter.add(key, known.uid, &mut || scratch(account)),
                Ok(false) => {
                    open.insert(known.uid);
                    Ok(())
                }
                Err(error) => Err(error),
            };
        })?;
        failed.map(|()| more)
    }

    /// `false` at the end.
    fn open_some(&mut self, rows: &mut Rows) -> Result<bool, Error> {
        for _ in 0..OPENED_A_STEP {
            if !rows.advance()? {
                return Ok(false);
            }
            let account = &self.account;
            match keys(&self.order, &mut Subject::Row(rows), &mut self.key) {
                Ok(_) => self
                    .sorter
                    .add(&self.key, rows.uid(), &mut || scratch(account))?,
                // Expunged while we looked.
                Err(Error::Expunged) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// A file for what does not fit in memory.
fn scratch(account: &Account) -> Result<File, Error> {
    let mut store = account.0.store()?;
    store
        .scratch()
        .map_err(store_fault("making a file to sort in"))
}

/// Writes the keys of a message one behind the other, so that they compare as octets do. `false` if
/// the message has to be opened for them.
fn keys(
    order: &[SortCriterion],
    message: &mut Subject<'_, '_>,
    out: &mut Vec<u8>,
) -> Result<bool, Error> {
    out.clear();
    for criterion in order {
        let start = out.len();
        if !key(criterion.key, message, out)? {
            return Ok(false);
        }
        if criterion.reverse {
            let own = out.get_mut(start..).unwrap_or_default();
            own.iter_mut().for_each(|octet| *octet = !*octet);
        }
    }
    Ok(true)
}

fn key(key: SortKey, message: &mut Subject<'_, '_>, out: &mut Vec<u8>) -> Result<bool, Error> {
    let known = match key {
        SortKey::Arrival => message.internal_date()?.map(|date| seconds(date, out)),
        SortKey::Date => message.sent_date()?.map(|date| seconds(date.seconds, out)),
        SortKey::Size => message
            .octets()?
            .map(|octets| out.extend_from_slice(&octets.to_be_bytes())),
        SortKey::Subject => field(message, "Subject", out, &mut |value| {
            mime::base_subject(value).text
        })?,
        SortKey::Cc => field(message, "Cc", out, &mut mailbox)?,
        SortKey::From => field(message, "From", out, &mut mailbox)?,
        SortKey::To => field(message, "To", out, &mut mailbox)?,
        SortKey::DisplayFrom => field(message, "From", out, &mut mime::display_name)?,
        SortKey::DisplayTo => field(message, "To", out, &mut mime::display_name)?,
    };
    Ok(known.is_some())
}

/// Signed numbers that compare as octets do.
fn seconds(seconds: i64, out: &mut Vec<u8>) {
    let shifted = seconds.cast_unsigned() ^ (1 << 63);
    out.extend_from_slice(&shifted.to_be_bytes());
}

/// The mailbox of the first address, as ENVELOPE has it.
fn mailbox(value: &[u8]) -> String {
    let first = mime::first_address(value).and_then(|address| address.mailbox);
    mime::decode_header(&first.unwrap_or_default())
}

/// The text of the first such field that has some, prepared for comparing; nothing without one.
fn field(
    message: &mut Subject<'_, '_>,
    name: &str,
    out: &mut Vec<u8>,
    text: &mut dyn FnMut(&[u8]) -> String,
) -> Result<Option<()>, Error> {
    let start = out.len();
    let known = message.any_field(name, &mut |value| {
        mime::casemap(&text(value), out);
        out.len() > start
    })?;
    out.truncate(start + MAX_KEY / 4);
    let own = out.get_mut(start..).unwrap_or_default();
    // An end below every octet, so that a text comes before what is longer.
    own.iter_mut().for_each(|octet| *octet = (*octet).max(1));
    out.push(0);
    Ok(known.map(|_| ()))
}
