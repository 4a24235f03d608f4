//! The selected state: a view, and what may be told about it.

use super::enable::Enabled;
use super::fetch::{Fetch, Told};
use crate::mail::{ModSeq, Since, SystemFlags, UidSet};
use crate::mailbox::{Access, Changes, Error, Expunges, View};
use crate::protocol::Output;
use crate::wire::imap::number;

/// What a session has only while a mailbox is selected.
pub(super) struct Selected {
    pub(super) view: View,
    /// Expunges were told or are held back since HIGHESTMODSEQ was last told
    /// (RFC 7162 section 3.2): the next tagged response says it.
    owes_mod_seq: bool,
}

impl Selected {
    pub(super) fn new(view: View) -> Selected {
        Selected {
            view,
            owes_mod_seq: false,
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

    /// `VANISHED (EARLIER)`: those of the UIDs that were expunged since (RFC 7162 section 3.2.10.1).
    pub(super) fn vanished_earlier(
        &self,
        known: &UidSet,
        since: Since,
        out: &mut Output,
    ) -> Result<(), Error> {
        vanished(&self.view.vanished_since(known, since)?, " (EARLIER)", out);
        Ok(())
    }

    /// Tells what changed since the client was last told, but flags: for these the fetch that tells
    /// them is returned (RFC 3501 section 5.2).
    pub(super) fn tell(
        &mut self,
        expunges: Expunges,
        enabled: Enabled,
        out: &mut Output,
    ) -> Result<Option<Fetch>, Error> {
        let changes: Changes = self.view.sync(expunges)?;
        self.owes_mod_seq |= !changes.expunged.is_empty();
        if enabled.qresync {
            vanished(&changes.vanished, "", out);
        } else {
            for &(first, last) in changes.expunged.runs().iter().rev() {
                for seq in (first..=last).rev() {
                    untagged(seq, "EXPUNGE", out);
                }
            }
        }
        if changes.keywords {
            self.flags(out);
        }
        if let Some(exists) = changes.exists {
            untagged(exists, "EXISTS", out);
        }
        if let Some(recent) = changes.recent {
            untagged(recent, "RECENT", out);
        }
        if changes.flags.is_empty() {
            return Ok(None);
        }
        let told = Told::Flags;
        let fetch = Fetch::untagged(&self.view, changes.flags, told, false, enabled);
        Ok(Some(fetch))
    }
}

/// Runs of UIDs told in one VANISHED, so that no line becomes too long for a client.
const VANISHED_RUNS: usize = 400;

/// `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 section 7); nothing if there
/// are no UIDs.
pub(super) fn vanished(uids: &UidSet, earlier: &str, out: &mut Output) {
    for runs in uids.runs().chunks(VANISHED_RUNS) {
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
}

/// `* 5 EXISTS`.
pub(super) fn untagged(count: u32, what: &str, out: &mut Output) {
    out.put(b"* ");
    number(u64::from(count), out.buffer());
    out.put(b" ");
    out.put(what.as_bytes());
    out.put(b"\r\n");
}
