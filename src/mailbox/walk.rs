//! A walk over messages by what the index knows of them, which is not copied: for SEARCH, SORT and
//! THREAD, that look at many messages and tell few.

use super::numbering::Numbering;
use super::shared::Shared;
use super::{Account, Error, Rows, View, Want, fault};
use crate::index::{Checked, Facts, Fields, FlagChunk, Kept, Keys, Name, NameChunk, Reader};
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
    /// What is read besides flags.
    kept: Option<Kept>,
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
    pub(super) keys: Option<Keys<'a>>,
    pub(super) facts: Option<Facts<'a>>,
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
    /// Over these messages of the view; with what is kept of them or only by flags and numbers.
    pub(super) fn new(view: &View, uids: UidSet, kept: Option<Kept>) -> Walk {
        if kept == Some(Kept::Facts) {
            view.shared.note_asked(Fields::HEADER);
        }
        let next = uids.first().map_or(0, Uid::number);
        Walk {
            account: view.account.clone(),
            shared: view.shared.clone(),
            numbers: view.numbers.clone(),
            recent: view.recent_uids(),
            uids,
            run: 0,
            next,
            kept,
            chunk: None,
            flags: FlagChunk::default(),
            names: OnceCell::new(),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Begins anew, over other messages.
    pub(super) fn go_over(&mut self, uids: UidSet) {
        self.next = uids.first().map_or(0, Uid::number);
        self.run = 0;
        self.uids = uids;
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
        if let Some(kept) = self.kept {
            let id = self.shared.id;
            let mut row = |uid: Uid, row: &[u8]| {
                let before = self.without_fields(reader, &mut next, uid, each);
                failed = before.and_then(|()| {
                    next = uid.next();
                    // What cannot be read is as good as not there: it is computed anew.
                    let facts = (kept == Kept::Facts).then(|| Facts::front(row)).flatten();
                    let keys = facts.map_or_else(|| Keys::decode(row), |facts| Some(facts.keys));
                    self.tell(reader, uid, (keys, facts), each)
                });
                failed.is_ok()
            };
            reader
                .each_cached(id, (kept, Checked::No), from, end, &mut row)
                .map_err(fault("reading the index"))?;
        }
        failed?;
        self.without_fields(reader, &mut next, end, each)?;
        match next.filter(|next| *next <= end) {
            Some(last) => self.tell(reader, last, (None, None), each),
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
            self.tell(reader, uid, (None, None), each)?;
            *next = uid.next();
        }
        Ok(())
    }

    fn tell(
        &mut self,
        reader: &Reader,
        uid: Uid,
        (keys, facts): (Option<Keys<'_>>, Option<Facts<'_>>),
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
                keys,
                facts,
                reader,
                mailbox: self.shared.id,
                names: &self.names,
            });
        }
        Ok(())
    }
}
