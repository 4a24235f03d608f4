//! The selected state: a view, and what may be told about it.

use super::context::Contexts;
use super::enable::Enabled;
use super::fetch::{self, Fetch};
use crate::mail::{ModSeq, SystemFlags, UidSet};
use crate::mailbox::{Access, Changes, Error, Expunges, View};
use crate::protocol::Output;
use crate::wire::imap::number;

/// What a session has only while a mailbox is selected.
pub(super) struct Selected {
    pub(super) view: View,
    /// Expunges were told or are held back since HIGHESTMODSEQ was last told
    /// (RFC 7162 section 3.2): the next tagged response says it.
    owes_mod_seq: bool,
    /// Came since they were last told by what NOTIFY asked for.
    pub(super) new_messages: UidSet,
    pub(super) contexts: Contexts,
    news: Option<Box<News>>,
}

/// How far telling came.
pub(super) enum Told {
    /// The output is full.
    Some,
    All,
    /// All but flags, which this fetch tells (RFC 3501 section 5.2).
    ButFlags(Box<Fetch>),
}

/// How flags that others changed are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flags {
    Plain,
    /// RFC 5465 section 5.1.
    WithUid,
    Untold,
}

/// What the view has taken in and the client is still to be told.
struct News {
    changes: Changes,
    begun: bool,
    /// Expunged messages that are not told yet end below this number.
    below: u32,
    /// Runs of `vanished` that are told.
    vanished: usize,
}

impl Selected {
    pub(super) fn new(view: View) -> Selected {
        Selected {
            view,
            owes_mod_seq: false,
            new_messages: UidSet::new(),
            contexts: Contexts::default(),
            news: None,
        }
    }

    /// `HIGHESTMODSEQ` (RFC 7162 section 3.1.2.1).
    pub(super) fn highest_mod_seq(&self, out: &mut Output) {
        out.put(b"* OK [HIGHESTMODSEQ ");
        number(self.view.highest_mod_seq().number(), out.buffer());
        out.put(b"] Highest mod-sequence.\r\n");
    }

    /// The code that the tagged response has to bear, if it has to.
    pub(super) fn owed_mod_seq(&mut self) -> Option<ModSeq> {
        let owed = std::mem::take(&mut self.owes_mod_seq) || self.view.is_behind();
        owed.then(|| self.view.highest_mod_seq())
    }

    /// `FLAGS` and `PERMANENTFLAGS` (RFC 3501 section 7.1).
    pub(super) fn flags(&self, out: &mut Output) {
        let system = SystemFlags::from_bits(u8::MAX);
        let all: Vec<u16> = (0..=u16::MAX).take(self.view.keywords().len()).collect();
        out.put(b"* FLAGS ");
        let keywords = self.view.keywords();
        crate::wire::imap::flag_list(system, false, &all, keywords, out.buffer());
        out.put(b"\r\n* OK [PERMANENTFLAGS ");
        if self.view.access() == Access::ReadOnly {
            out.put(b"()] Read-only mailbox.\r\n");
            return;
        }
        crate::wire::imap::flag_list(system, false, &all, keywords, out.buffer());
        if self.view.more_keywords() {
            out.buffer().pop();
            out.put(b" \\*)");
        }
        out.put(b"] Flags permitted.\r\n");
    }

    /// True while something that was looked up is not told yet.
    pub(super) fn has_news(&self) -> bool {
        self.news.is_some()
    }

    /// Looks what changed since the client was last told; `tell` then tells it.
    pub(super) fn look(&mut self, expunges: Expunges) -> Result<(), Error> {
        let changes = self.view.sync(expunges)?;
        self.contexts.note(&changes);
        self.owes_mod_seq |= !changes.expunged.is_empty();
        self.news = Some(Box::new(News {
            changes,
            begun: false,
            below: u32::MAX,
            vanished: 0,
        }));
        Ok(())
    }

    /// Tells what `look` found, as much as fits.
    pub(super) fn tell(&mut self, enabled: Enabled, flags: Flags, out: &mut Output) -> Told {
        let Some(mut news) = self.news.take() else {
            return Told::All;
        };
        if !std::mem::replace(&mut news.begun, true) {
            self.contexts.tell_expunged(&news.changes, out);
        }
        let told = match enabled.tells_vanished() {
            true => news.tell_vanished(out),
            false => news.tell_expunged(out),
        };
        if !told {
            self.news = Some(news);
            return Told::Some;
        }
        let changes = news.changes;
        if changes.keywords {
            self.flags(out);
        }
        if let Some(exists) = changes.exists {
            untagged(exists, "EXISTS", out);
        }
        if let Some(recent) = changes.recent.filter(|_| !enabled.rev2) {
            untagged(recent, "RECENT", out);
        }
        self.new_messages = self.new_messages.union(&changes.new);
        if changes.flags.is_empty() || flags == Flags::Untold {
            return Told::All;
        }
        let (told, uid) = (fetch::Told::Flags, flags == Flags::WithUid);
        let fetch = Fetch::untagged(&self.view, changes.flags, told, uid, enabled);
        Told::ButFlags(Box::new(fetch))
    }
}

impl News {
    /// The last message first, so that the numbers of those that follow stay; `false` if the output
    /// is full before all are told.
    fn tell_expunged(&mut self, out: &mut Output) -> bool {
        let runs = self.changes.expunged.runs();
        let left = runs.partition_point(|&(first, _)| first < self.below);
        for &(first, last) in runs.iter().take(left).rev() {
            for seq in (first..=last.min(self.below - 1)).rev() {
                if out.full() {
                    return false;
                }
                untagged(seq, "EXPUNGE", out);
                self.below = seq;
            }
        }
        true
    }

    /// As `tell_expunged`, for clients that know UIDs (RFC 7162 section 3.2.10).
    fn tell_vanished(&mut self, out: &mut Output) -> bool {
        vanished_lines(&self.changes.vanished, &mut self.vanished, "", out)
    }
}

/// `VANISHED (EARLIER)`: UIDs that were expunged before the client asked (RFC 7162 section 3.2.10.1), told
/// piece by piece.
#[derive(Default)]
pub(super) struct Earlier {
    uids: UidSet,
    /// Runs that are told.
    told: usize,
}

impl Earlier {
    pub(super) fn new(uids: UidSet) -> Earlier {
        Earlier { uids, told: 0 }
    }

    /// `false` if the output is full before all are told.
    pub(super) fn tell(&mut self, out: &mut Output) -> bool {
        vanished_lines(&self.uids, &mut self.told, " (EARLIER)", out)
    }
}

/// Runs of UIDs told in one VANISHED, so that no line becomes too long for a client.
pub(super) const VANISHED_RUNS: usize = 400;

/// Tells the runs of UIDs that are not told yet; `false` if the output is full before.
fn vanished_lines(uids: &UidSet, told: &mut usize, earlier: &str, out: &mut Output) -> bool {
    let runs = uids.runs();
    while let Some(left) = runs.get(*told..).filter(|left| !left.is_empty()) {
        if out.full() {
            return false;
        }
        let line = left.get(..VANISHED_RUNS).unwrap_or(left);
        vanished_line(line, earlier, out);
        *told += line.len();
    }
    true
}

/// `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 section 7).
fn vanished_line(runs: &[(u32, u32)], earlier: &str, out: &mut Output) {
    out.put(b"* VANISHED");
    out.put(earlier.as_bytes());
    for (at, &(first, last)) in runs.iter().enumerate() {
        out.put(if at == 0 { b" " } else { b"," });
        number(u64::from(first), out.buffer());
        if last > first {
            out.put(b":");
            number(u64::from(last), out.buffer());
        }
    }
    out.put(b"\r\n");
}

/// `* 5 EXISTS`.
pub(super) fn untagged(count: u32, what: &str, out: &mut Output) {
    out.put(b"* ");
    number(u64::from(count), out.buffer());
    out.put(b" ");
    out.put(what.as_bytes());
    out.put(b"\r\n");
}
