//! The selected state: a view, and what may be told about it.

use super::fetch::Fetch;
use crate::mail::SystemFlags;
use crate::mailbox::{Access, Changes, Error, Expunges, View};
use crate::protocol::Output;
use crate::wire::imap::number;

/// What a session has only while a mailbox is selected.
pub(super) struct Selected {
    pub(super) view: View,
}

impl Selected {
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

    /// Tells what changed since the client was last told, but flags: for these the fetch that tells
    /// them is returned (RFC 3501 section 5.2).
    pub(super) fn tell(
        &mut self,
        expunges: Expunges,
        out: &mut Output,
    ) -> Result<Option<Fetch>, Error> {
        let changes: Changes = self.view.sync(expunges)?;
        for &(first, last) in changes.expunged.runs().iter().rev() {
            for seq in (first..=last).rev() {
                untagged(seq, "EXPUNGE", out);
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
        Ok(Some(Fetch::of_flags(&self.view, changes.flags, false)))
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
