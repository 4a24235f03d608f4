//! ENABLE (RFC 5161 section 3.1) and the commands that enable CONDSTORE by themselves.

use super::session::{Ran, Session};
use crate::mail::MailboxName;
use crate::protocol::Output;
use crate::wire::imap::{Bounds, mailbox, mailbox_utf8, prefix};

/// What the client switched on; never off again in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Enabled {
    /// Untagged FETCH tells UID and MODSEQ (RFC 7162 section 3.2.4).
    pub(super) condstore: bool,
    /// VANISHED instead of EXPUNGE (RFC 7162 section 3.2.10).
    pub(super) qresync: bool,
    /// Annotations of mailboxes, and of the server, that others change are told (RFC 5464 section 4.1).
    pub(super) metadata: bool,
    pub(super) server_metadata: bool,
    /// Mailbox names and strings are UTF-8 (RFC 6855 section 3). Messages go out as they are, and 8-bit
    /// headers come in also from clients that did not ask for this: old mail has them, and who moves
    /// it here must not lose it.
    pub(super) utf8: bool,
    /// IMAP4rev2 (RFC 9051 section 6.3.1); implies `utf8`.
    pub(super) rev2: bool,
    /// No message numbers any more, only UIDs (RFC 9586).
    pub(super) uid_only: bool,
}

impl Enabled {
    /// Untagged FETCH tells UID (RFC 7162 section 3.2.4, RFC 9051 section 7.5.2).
    pub(super) fn tells_uid(self) -> bool {
        self.condstore || self.rev2
    }

    /// VANISHED is told instead of EXPUNGE.
    pub(super) fn tells_vanished(self) -> bool {
        self.qresync || self.uid_only
    }

    /// What a command may hold now.
    pub(super) fn bounds(self, bounds: Bounds) -> Bounds {
        Bounds {
            utf8: self.utf8,
            charset: !self.utf8 || self.rev2,
            ..bounds
        }
    }

    /// Appends a mailbox name as this client knows it.
    pub(super) fn mailbox(self, name: &MailboxName, out: &mut Vec<u8>) {
        self.mailbox_text(name.as_str(), out);
    }

    /// Appends the prefix of a namespace as this client knows it.
    pub(super) fn prefix(self, text: &str, out: &mut Vec<u8>) {
        prefix(text, self.utf8, out);
    }

    /// As `mailbox`, of what need not be one.
    pub(super) fn mailbox_text(self, name: &str, out: &mut Vec<u8>) {
        match self.utf8 {
            true => mailbox_utf8(name, out),
            false => mailbox(name, out),
        }
    }
}

/// What a client of UIDONLY must not say.
pub(super) const UID_REQUIRED: &str = "BAD [UIDREQUIRED] Message numbers are no longer used.";

/// A capability that can be enabled.
#[derive(Clone, Copy)]
enum Extension {
    Condstore,
    Qresync,
    Metadata,
    ServerMetadata,
    Utf8,
    Rev2,
    UidOnly,
}

const EXTENSIONS: &[(&str, Extension)] = &[
    ("CONDSTORE", Extension::Condstore),
    ("QRESYNC", Extension::Qresync),
    ("METADATA", Extension::Metadata),
    ("METADATA-SERVER", Extension::ServerMetadata),
    ("UTF8=ACCEPT", Extension::Utf8),
    ("IMAP4rev2", Extension::Rev2),
    ("UIDONLY", Extension::UidOnly),
];

/// Tells which of the names are enabled now; those that are not known or need no enabling are passed
/// over in silence (RFC 5161 section 3.1).
pub(super) fn enable(session: &mut Session, names: &[String], out: &mut Output) -> Ran {
    let mut told = b"* ENABLED".to_vec();
    for &(name, extension) in EXTENSIONS {
        if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            session.enable(extension, out);
            told.push(b' ');
            told.extend_from_slice(name.as_bytes());
        }
    }
    told.extend_from_slice(b"\r\n");
    out.put(&told);
    Ran::ok("OK Enabled.")
}

impl Session {
    fn enable(&mut self, extension: Extension, out: &mut Output) {
        match extension {
            Extension::Condstore => self.enable_condstore(out),
            Extension::Qresync => {
                self.enable_condstore(out);
                self.enabled.qresync = true;
            }
            Extension::Metadata => {
                self.begin_to_hear();
                self.enabled.metadata = true;
                self.enabled.server_metadata = true;
            }
            Extension::ServerMetadata => {
                self.begin_to_hear();
                self.enabled.server_metadata = true;
            }
            Extension::Utf8 => self.enabled.utf8 = true,
            Extension::Rev2 => {
                self.enabled.utf8 = true;
                self.enabled.rev2 = true;
            }
            Extension::UidOnly => {
                self.enabled.uid_only = true;
                if let Some(selected) = self.selected.as_mut() {
                    selected.contexts.tell_uids();
                }
            }
        }
    }

    /// What every CONDSTORE enabling command does; the first one tells HIGHESTMODSEQ of the selected
    /// mailbox (RFC 7162 section 3.1).
    pub(super) fn enable_condstore(&mut self, out: &mut Output) {
        if !std::mem::replace(&mut self.enabled.condstore, true)
            && let Some(selected) = self.selected.as_mut()
        {
            // Not once more with the tagged response.
            selected.owed_mod_seq();
            selected.highest_mod_seq(out);
        }
    }
}
