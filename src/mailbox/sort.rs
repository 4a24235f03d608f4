//! SORT (RFC 5256 section 3) in bounded steps: a search, then keys of what was found.

use super::criteria::Subject;
use super::sorter::{MAX_KEY, Sorted, Sorter};
use super::survey::Survey;
use super::{Account, Error, View, Want, store_fault};
use crate::mail::{Criteria, SortCriterion, SortKey};
use crate::mime;
use std::fs::File;

/// A running SORT.
pub(crate) struct Sort {
    account: Account,
    order: Vec<SortCriterion>,
    sorter: Sorter,
    survey: Survey,
    key: Vec<u8>,
}

impl Sort {
    pub(super) fn new(view: &View, order: Vec<SortCriterion>, criteria: Criteria) -> Sort {
        let want = want(&order);
        Sort {
            account: view.account.clone(),
            order,
            sorter: Sorter::new(view.shared.host.limits.sort_octets),
            survey: Survey::new(view, criteria, want),
            key: Vec::new(),
        }
    }

    /// How far the search came that is the first part of it.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        self.survey.progress()
    }

    /// Why some messages could not be read and were left out; known at the end.
    pub(crate) fn unread(&self) -> Option<Error> {
        self.survey.unread()
    }

    /// Works for a bounded time; `Some` with the sorted messages at the end.
    pub(crate) fn step(&mut self) -> Result<Option<Sorted>, Error> {
        let (order, key, sorter) = (&self.order, &mut self.key, &mut self.sorter);
        let account = &self.account;
        let mut added = Ok(());
        let more = self.survey.step(&mut |message| {
            let known = keys(order, message, key)?;
            if known && added.is_ok() {
                added = sorter.add(key, message.uid(), &mut || scratch(account));
            }
            Ok(known)
        })?;
        added?;
        if more {
            return Ok(None);
        }
        let sorter = std::mem::replace(&mut self.sorter, Sorter::new(0));
        sorter.finish(&mut || scratch(&self.account)).map(Some)
    }
}

/// What has to be known of messages for this order: mostly what is kept in few octets.
fn want(order: &[SortCriterion]) -> Want {
    let has_key = |criterion: &SortCriterion| match criterion.key {
        SortKey::Arrival | SortKey::Date | SortKey::Size | SortKey::Subject => true,
        SortKey::Cc | SortKey::From | SortKey::To | SortKey::DisplayFrom | SortKey::DisplayTo => {
            false
        }
    };
    Want {
        internal_date: true,
        header_fields: !order.iter().all(has_key),
        ..Want::default()
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
        SortKey::Subject => {
            let start = out.len();
            let known = message.base_subject(out)?;
            end_text(start, out);
            known.map(|_| ())
        }
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
    end_text(start, out);
    Ok(known.map(|_| ()))
}

/// Ends the text that began at `start` below every octet, so that it comes before what is longer.
fn end_text(start: usize, out: &mut Vec<u8>) {
    out.truncate(start + MAX_KEY / 4);
    let own = out.get_mut(start..).unwrap_or_default();
    own.iter_mut().for_each(|octet| *octet = (*octet).max(1));
    out.push(0);
}
