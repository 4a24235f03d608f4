//! A walk over messages by what the index knows of them, which is not copied: for SEARCH, SORT and
//! THREAD, that look at many messages and tell few.

use super::numbering::Numbering;
use super::shared::Shared;
use super::{Account, Error, Rows, View, Want, fault};
use crate::index::{CachedRow, FlagChunk, Name, NameChunk, Reader};
use crate::mail::{MailboxId, ModSeq, SeqNum, SystemFlags, Uid, UidSet};
use std::cell::OnceCell;
use std::sync::Arc;

/// Messages in the order of their UIDs, a bounded number of them in one step.
pub(super) struct Walk {
    account: Account,
    shared: Arc<Shared>,
    numbers: Arc<Numbering>,
    recent: Arc<UidSet>,
    uids: UidSet,
    /// The place in `uids`: the run, and the next UID of it.
    run: usize,
    next: u32,
    /// Cached fields are read, too.
    cached: bool,
    chunk: Option<u32>,
    flags: FlagChunk,
    /// Of the same chunk, once somebody asked.
    names: OnceCell<NameChunk>,
}

/// One message of the walk.
pub(super) struct Known<'a> {
    pub(super) uid: Uid,
    flags: &'a FlagChunk,
    numbers: &'a Numbering,
    recent: &'a UidSet,
    /// `None` where nothing is cached, or the walk does not read it.
    pub(super) cached: Option<CachedRow<'a>>,
    reader: &'a Reader,
    mailbox: MailboxId,
    names: &'a OnceCell<NameChunk>,
}

impl Known<'_> {
    fn slot(&self) -> u8 {
        (self.uid.number() & 255) as u8
    }

    pub(super) fn seq(&self) -> Option<SeqNum> {
        self.numbers.seq(self.uid)
    }

    pub(super) fn has_flag(&self, flag: SystemFlags) -> bool {
        self.flags.with_flag(flag).has(self.slot())
    }

    pub(super) fn has_keyword(&self, keyword: u16) -> bool {
        self.flags.has_keyword(self.slot(), keyword)
    }

    pub(super) fn mod_seq(&self) -> ModSeq {
        self.flags.mod_seq(self.slot())
    }

    pub(super) fn is_recent(&self) -> bool {
        self.recent.contains(self.uid)
    }

    /// The name that its file has.
    pub(super) fn name(&self) -> Result<Option<&Name>, Error> {
        let names = match self.names.get() {
            Some(names) => names,
            None => {
                let read = self.reader.names(self.mailbox, self.uid.number() >> 8);
                let read = read.map_err(fault("reading the index"))?;
                self.names.get_or_init(|| read)
            }
        };
        Ok(names.find(self.slot()))
    }
}

impl Walk {
    /// Over these messages of the view; with their cached fields or only by flags and numbers.
    pub(super) fn new(view: &View, uids: UidSet, cached: bool) -> Walk {
        let next = uids.first().map_or(0, Uid::number);
        Walk {
            account: view.account.clone(),
            shared: view.shared.clone(),
            numbers: view.numbers.clone(),
            recent: view.recent_uids(),
            uids,
            run: 0,
            next,
            cached,
            chunk: None,
            flags: FlagChunk::default(),
            names: OnceCell::new(),
        }
    }

    /// The same walk over other messages.
    pub(super) fn over(mut self, uids: UidSet) -> Walk {
        self.next = uids.first().map_or(0, Uid::number);
        self.run = 0;
        self.uids = uids;
        self
    }

    /// These messages of the same view, as FETCH sees them.
    pub(super) fn rows(&self, uids: UidSet, want: Want) -> Rows {
        Rows::new(
            self.account.clone(),
            self.shared.clone(),
            self.numbers.clone(),
            self.recent.clone(),
            uids,
            want,
        )
    }

    /// Calls `each` for up to `at_most` messages that still exist; `false` at the end of the walk.
    pub(super) fn step(
        &mut self,
        at_most: usize,
        each: &mut dyn FnMut(&Known<'_>),
    ) -> Result<bool, Error> {
        let host = self.shared.host.clone();
        let reader = host.index.read().map_err(fault("reading the index"))?;
        let mut left = at_most;
        while left > 0 {
            let Some(&(_, last)) = self.uids.runs().get(self.run) else {
                return Ok(false);
            };
            let to = last.min(
                self.next
                    .saturating_add(u32::try_from(left).unwrap_or(u32::MAX) - 1),
            );
            let (Some(from), Some(end)) = (Uid::new(self.next), Uid::new(to)) else {
                return Ok(false);
            };
            self.stretch(&reader, from, end, each)?;
            left = left.saturating_sub((to - from.number()) as usize + 1);
            if to == last {
                self.run += 1;
                self.next = self.uids.runs().get(self.run).map_or(0, |run| run.0);
            } else {
                self.next = to + 1;
            }
        }
        Ok(self.uids.runs().get(self.run).is_some())
    }

    /// All messages from `from` to `end`.
    fn stretch(
        &mut self,
        reader: &Reader,
        from: Uid,
        end: Uid,
        each: &mut dyn FnMut(&Known<'_>),
    ) -> Result<(), Error> {
        let mut next = Some(from);
        let mut failed = Ok(());
        if self.cached {
            let id = self.shared.id;
            let mut row = |uid: Uid, cached: CachedRow<'_>| {
                let before = self.without_fields(reader, &mut next, uid, each);
                failed = before.and_then(|()| {
                    next = uid.next();
                    self.tell(reader, uid, Some(cached), each)
                });
                failed.is_ok()
            };
            reader
                .each_cached(id, from, end, &mut row)
                .map_err(fault("reading the index"))?;
        }
        failed?;
        self.without_fields(reader, &mut next, end, each)?;
        match next.filter(|next| *next <= end) {
            Some(last) => self.tell(reader, last, None, each),
            None => Ok(()),
        }
    }

    /// Messages before `end` of which nothing is cached.
    fn without_fields(
        &mut self,
        reader: &Reader,
        next: &mut Option<Uid>,
        end: Uid,
        each: &mut dyn FnMut(&Known<'_>),
    ) -> Result<(), Error> {
        while let Some(uid) = next.filter(|next| *next < end) {
            self.tell(reader, uid, None, each)?;
            *next = uid.next();
        }
        Ok(())
    }

    fn tell(
        &mut self,
        reader: &Reader,
        uid: Uid,
        cached: Option<CachedRow<'_>>,
        each: &mut dyn FnMut(&Known<'_>),
    ) -> Result<(), Error> {
        let (number, slot) = (uid.number() >> 8, (uid.number() & 255) as u8);
        if self.chunk != Some(number) {
            self.flags = reader
                .flags(self.shared.id, number)
                .map_err(fault("reading the index"))?;
            self.chunk = Some(number);
            self.names.take();
        }
        // Expunged ones have no flags any more; the view may still count them.
        if self.flags.present.has(slot) {
            each(&Known {
                uid,
                flags: &self.flags,
                numbers: &self.numbers,
                recent: &self.recent,
                cached,
                reader,
                mailbox: self.shared.id,
                names: &self.names,
            });
        }
        Ok(())
    }
}
