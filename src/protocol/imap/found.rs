//! Numbers of messages found, as they go into an answer.

use super::tag::Tag;
use crate::mail::{ModSeq, Uid, UidSet, UidValidity};
use crate::mailbox::{Error, Sorted, View};
use crate::protocol::Output;
use crate::wire::imap::{Returns, number};
use std::ops::Range;

/// A mailbox as it is named in an answer.
pub(super) type Named = (Vec<u8>, UidValidity);

/// Begins an ESEARCH response with what it answers (RFC 4466 section 2.6.2, RFC 7377 section 2.1).
pub(super) fn correlate(tag: &Tag, mailbox: Option<&Named>, out: &mut Output) {
    out.put(b"* ESEARCH (TAG \"");
    out.put(tag);
    out.put(b"\"");
    if let Some((name, uid_validity)) = mailbox {
        out.put(b" MAILBOX ");
        out.put(name);
        out.put(b" UIDVALIDITY ");
        number(u64::from(uid_validity.number()), out.buffer());
    }
    out.put(b")");
}

/// What a message is called in an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    Seq,
    Uid,
}

impl Numbers {
    pub(super) fn of(uid: bool) -> Numbers {
        match uid {
            true => Numbers::Uid,
            false => Numbers::Seq,
        }
    }

    /// `None` if the message is not in the view.
    pub(super) fn number(self, view: &View, uid: Uid) -> Option<u32> {
        match self {
            Numbers::Seq => view.seq(uid).map(|seq| seq.number()),
            Numbers::Uid => Some(uid.number()),
        }
    }

    /// As runs, ascending.
    pub(super) fn runs(self, view: &View, uids: &UidSet) -> Vec<(u32, u32)> {
        match self {
            Numbers::Seq => view.seqs(uids).runs().to_vec(),
            Numbers::Uid => uids.runs().to_vec(),
        }
    }
}

/// A set, told run by run.
pub(super) struct SetText {
    runs: std::vec::IntoIter<(u32, u32)>,
    begun: bool,
    /// What follows.
    end: &'static str,
}

impl SetText {
    pub(super) fn new(runs: Vec<(u32, u32)>, end: &'static str) -> SetText {
        SetText {
            runs: runs.into_iter(),
            begun: false,
            end,
        }
    }

    /// Tells as much as fits; `true` at the end.
    pub(super) fn tell(&mut self, out: &mut Output) -> bool {
        while !out.full() {
            let Some(run) = self.runs.next() else {
                out.put(self.end.as_bytes());
                return true;
            };
            put_run(run, std::mem::replace(&mut self.begun, true), out);
        }
        false
    }
}

fn put_run((first, last): (u32, u32), behind_another: bool, out: &mut Output) {
    if behind_another {
        out.put(b",");
    }
    number(u64::from(first), out.buffer());
    if last > first {
        out.put(b":");
        number(u64::from(last), out.buffer());
    }
}

/// Sorted messages, told one by one, as SORT or as ESEARCH (RFC 5267 section 3.1).
pub(super) struct InOrder {
    sorted: Sorted,
    returns: Option<Returns>,
    numbers: Numbers,
    /// False: nothing is told.
    told: bool,
    /// The highest mod-sequence is told too (RFC 7162 section 3.1.10).
    mod_seq: bool,
    /// Places of those that are listed.
    listed: Range<u32>,
    at: u32,
    /// A run that can become longer, and whether another one was told.
    run: Option<(u32, u32)>,
    begun: bool,
    ends: Option<(Uid, Uid)>,
    /// The messages that are returned, if they are saved or their highest mod-sequence is told.
    chosen: Vec<Uid>,
}

impl InOrder {
    /// Begins to tell, behind the head of the answer if there is one.
    pub(super) fn new(
        sorted: Sorted,
        returns: Option<Returns>,
        numbers: Numbers,
        told: bool,
        mod_seq: bool,
        out: &mut Output,
    ) -> InOrder {
        let count = sorted.count();
        let mut listed = 0..count;
        if let Some(returns) = returns.filter(|_| told) {
            if returns.count {
                out.put(b" COUNT ");
                number(u64::from(count), out.buffer());
            }
            listed = match returns.partial {
                Some(range) => {
                    out.put(b" PARTIAL (");
                    range.encode(out.buffer());
                    out.put(b" ");
                    range.places(count)
                }
                None if returns.all => 0..count,
                None => 0..0,
            };
            if returns.all && count > 0 {
                out.put(b" ALL ");
            }
        }
        InOrder {
            sorted,
            returns,
            numbers,
            told,
            mod_seq: mod_seq && told,
            listed,
            at: 0,
            run: None,
            begun: false,
            ends: None,
            chosen: Vec::new(),
        }
    }

    fn saves(&self) -> bool {
        self.returns.is_some_and(|returns| returns.save)
    }

    fn means_all(&self) -> bool {
        self.returns.is_none_or(|returns| returns.means_all())
    }

    /// Tells as much as fits; `true` at the end.
    pub(super) fn tell(&mut self, view: &View, out: &mut Output) -> Result<bool, Error> {
        while !out.full() {
            let Some(uid) = self.sorted.next()? else {
                self.end(view, out)?;
                return Ok(true);
            };
            let listed = self.listed.contains(&self.at);
            self.at += 1;
            self.ends = Some((self.ends.map_or(uid, |ends| ends.0), uid));
            if (self.saves() || self.mod_seq) && (self.means_all() || listed) {
                self.chosen.push(uid);
            }
            if listed
                && self.told
                && let Some(own) = self.numbers.number(view, uid)
            {
                self.list(own, out);
            }
        }
        Ok(false)
    }

    fn list(&mut self, own: u32, out: &mut Output) {
        if self.returns.is_none() {
            out.put(b" ");
            return number(u64::from(own), out.buffer());
        }
        // RFC 5267 section 3.2: a range is in increasing order.
        match &mut self.run {
            Some(run) if run.1.checked_add(1) == Some(own) => run.1 = own,
            run => {
                if let Some(before) = run.replace((own, own)) {
                    put_run(before, std::mem::replace(&mut self.begun, true), out);
                }
            }
        }
    }

    fn end(&mut self, view: &View, out: &mut Output) -> Result<(), Error> {
        let Some(returns) = self.returns else {
            if let Some(highest) = self.highest(view)? {
                out.put(b" (MODSEQ ");
                number(highest.number(), out.buffer());
                out.put(b")");
            }
            out.put(b"\r\n");
            return Ok(());
        };
        let ends = self
            .ends
            .map(|(first, last)| [(returns.min, " MIN ", first), (returns.max, " MAX ", last)]);
        let ends = ends.into_iter().flatten().filter(|end| end.0);
        if !returns.means_all() {
            self.chosen.extend(ends.clone().map(|end| end.2));
        }
        if !self.told {
            return Ok(());
        }
        match self.run.take() {
            Some(run) => put_run(run, self.begun, out),
            None if returns.partial.is_some() => out.put(b"NIL"),
            None => {}
        }
        if returns.partial.is_some() {
            out.put(b")");
        }
        for (_, name, uid) in ends {
            if let Some(own) = self.numbers.number(view, uid) {
                out.put(name.as_bytes());
                number(u64::from(own), out.buffer());
            }
        }
        if let Some(highest) = self.highest(view)? {
            out.put(b" MODSEQ ");
            number(highest.number(), out.buffer());
        }
        out.put(b"\r\n");
        Ok(())
    }

    fn chosen(&mut self) -> UidSet {
        self.chosen.sort_unstable();
        self.chosen.iter().copied().collect()
    }

    /// `None` if it is not to be told or nothing was found.
    fn highest(&mut self, view: &View) -> Result<Option<ModSeq>, Error> {
        match self.mod_seq {
            true => view.highest_of(&self.chosen()),
            false => Ok(None),
        }
    }

    /// What `$` is to mean, if that was asked.
    pub(super) fn saved(&mut self) -> Option<UidSet> {
        self.saves().then(|| self.chosen())
    }
}
