//! LIST and UIDL of the whole maildrop (RFC 1939 sections 5 and 7), as the output drains.

use super::maildrop::Maildrop;
use super::uidl::{Uidls, wanted};
use crate::config::Pop3;
use crate::mailbox::{Entries, Entry, Error, Wanted};
use crate::protocol::Output;

/// What is told of each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Octets,
    Uidl,
}

/// A listing that is under way.
pub(super) struct Listing {
    kind: Kind,
    entries: Entries,
}

impl Kind {
    fn wanted(self, pop3: &Pop3) -> Wanted {
        match self {
            Kind::Uidl => wanted(pop3),
            Kind::Octets => Wanted {
                octets: true,
                ..Wanted::default()
            },
        }
    }
}

impl Listing {
    /// Of all messages that are not marked as deleted; the first line is told already.
    pub(super) fn new(kind: Kind, maildrop: &Maildrop, pop3: &Pop3) -> Listing {
        Listing {
            kind,
            entries: maildrop.view.entries(maildrop.uids(), kind.wanted(pop3)),
        }
    }

    /// Tells some messages; `false` after the last one, when the end is told too.
    pub(super) fn step(
        &mut self,
        maildrop: &Maildrop,
        uidls: &mut Uidls,
        out: &mut Output,
    ) -> Result<bool, Error> {
        while !out.full() {
            let Some(entries) = self.entries.step()? else {
                out.put(b".\r\n");
                return Ok(false);
            };
            for entry in &entries {
                put(self.kind, entry, maildrop, uidls, out)?;
            }
        }
        Ok(true)
    }
}

/// One message: `3 1200` and the end of the line; nothing if it was removed meanwhile.
fn put(
    kind: Kind,
    entry: &Entry,
    maildrop: &Maildrop,
    uidls: &mut Uidls,
    out: &mut Output,
) -> Result<bool, Error> {
    let text = match kind {
        Kind::Octets => Some(entry.octets.to_string()),
        Kind::Uidl => uidls.of(maildrop, entry)?,
    };
    let Some(text) = text else {
        return Ok(false);
    };
    let buffer = out.buffer();
    crate::mime::number(u64::from(entry.seq.number()), buffer);
    buffer.push(b' ');
    buffer.extend_from_slice(text.as_bytes());
    buffer.extend_from_slice(b"\r\n");
    Ok(true)
}

/// LIST and UIDL of one message, which the maildrop has.
pub(super) fn one(
    kind: Kind,
    uid: crate::mail::Uid,
    maildrop: &Maildrop,
    uidls: &mut Uidls,
    out: &mut Output,
) -> Result<(), Error> {
    let uids = crate::mail::UidSet::from_iter([uid]);
    let mut entries = maildrop.view.entries(uids, kind.wanted(uidls.pop3()));
    let mut line = Output::new();
    line.put(b"+OK ");
    while let Some(entries) = entries.step()? {
        for entry in &entries {
            if put(kind, entry, maildrop, uidls, &mut line)? {
                out.put(line.bytes());
                return Ok(());
            }
        }
    }
    Err(Error::Expunged)
}
