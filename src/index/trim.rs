//! Taking out of the index what nobody asked for since long, and what is too much.

use super::schema::{AccountId, Kind, key, low};
use super::usage::{Usage, row_octets};
use super::{Bounds, Cached, Error, Fields, Kept, Writer};
use crate::mail::MailboxId;

/// Of what is allowed, one part in so many is made free at once.
const SPARE: u64 = 8;

fn low_water(most: u64) -> u64 {
    most - most / SPARE
}

impl Writer<'_> {
    /// Does some of what is to be done for a mailbox, or for the account that it is of, with up to `rows` rows
    /// that are read; `full`: something found no room, so some is made. True if there is more to do.
    pub(crate) fn trim(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        (bounds, full): (&Bounds, bool),
        rows: usize,
    ) -> Result<bool, Error> {
        let most = |most: u64| if full { low_water(most) } else { most };
        let usage = self.usage(account, mailbox, bounds.now)?;
        let total = self.total(account)?;
        if usage.octets > most(bounds.mailbox_octets) {
            let goal = low_water(bounds.mailbox_octets);
            return self.evict(mailbox, usage.octets.saturating_sub(goal), rows);
        }
        if total > most(bounds.user_octets) {
            let Some(largest) = self.largest(account)? else {
                return Ok(false);
            };
            let goal = low_water(bounds.user_octets);
            return self.evict(largest, total.saturating_sub(goal), rows);
        }
        self.drop_unused(mailbox, usage, bounds, rows)
    }

    /// The mailbox that takes the most.
    fn largest(&self, account: AccountId) -> Result<Option<MailboxId>, Error> {
        let mut largest = None;
        for mailbox in self.mailboxes_of(account)? {
            let octets = self.stored_usage(mailbox)?.map_or(0, |usage| usage.octets);
            largest = largest.max(Some((octets, mailbox.0)));
        }
        Ok(largest.map(|(_, mailbox)| MailboxId(mailbox)))
    }

    /// Forgets the fields of the oldest messages until so many octets are free. True if there are more to
    /// go.
    pub(crate) fn evict(
        &mut self,
        mailbox: MailboxId,
        octets: u64,
        rows: usize,
    ) -> Result<bool, Error> {
        let mut oldest = Vec::new();
        for kind in [Kind::Cache, Kind::Previews] {
            for row in self
                .range(kind, key(mailbox, 0), key(mailbox, u32::MAX))?
                .take(rows)
            {
                let (at, value) = row?;
                oldest.push((low(at.value()), kind, row_octets(value.value().len())));
            }
        }
        crate::mail::sort_by(&mut oldest, |a, b| a.0.cmp(&b.0));
        let mut left = octets;
        let all = oldest.len();
        let mut gone = 0;
        for (uid, kind, own) in oldest.into_iter().take(rows) {
            if left == 0 {
                return Ok(false);
            }
            self.remove(kind, &key(mailbox, uid))?;
            left = left.saturating_sub(own);
            gone += 1;
        }
        Ok(left > 0 && (gone == rows || gone < all))
    }

    /// Takes fields that nobody asks for out of some rows.
    fn drop_unused(
        &mut self,
        mailbox: MailboxId,
        mut usage: Usage,
        bounds: &Bounds,
        rows: usize,
    ) -> Result<bool, Error> {
        let used = usage.used(bounds);
        let unused = usage.unused(bounds);
        if unused.is_empty() {
            return Ok(false);
        }
        let first = usage.begin_dropping(unused);
        let mut found = Vec::new();
        let (mut last, mut count) = (u32::MAX, 0);
        for row in self.range(Kind::Cache, key(mailbox, first), key(mailbox, u32::MAX))? {
            let (at, value) = row?;
            count += 1;
            let value = super::checksum::unseal(Kind::Cache as u8, at.value(), value.value())?;
            // What cannot be read is as good as not there.
            let cached = Cached::stored(value);
            let kept = cached.as_ref().and_then(|cached| cached.only(used));
            let row = kept.map(|kept| kept.encode(Kept::Facts).into_owned());
            if row.as_deref() != Some(value) {
                found.push((low(at.value()), row));
            }
            if count == rows {
                last = low(at.value());
                break;
            }
        }
        for (uid, row) in found {
            match row {
                Some(row) => self.put(Kind::Cache, &key(mailbox, uid), &row)?,
                None => self.remove(Kind::Cache, &key(mailbox, uid))?,
            }
        }
        if !unused.and(Fields::PREVIEW).is_empty() {
            self.remove_range(Kind::Previews, key(mailbox, first)..=key(mailbox, last))?;
        }
        usage.drop_up_to(last);
        self.set_usage(mailbox, &usage)?;
        Ok(last < u32::MAX)
    }
}
