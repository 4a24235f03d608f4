//! ENABLE (RFC 5161 section 3.1) and the commands that enable CONDSTORE by themselves.

use super::session::{Ran, Session};
use crate::protocol::Output;

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
}

/// A capability that can be enabled.
#[derive(Clone, Copy)]
enum Extension {
    Condstore,
    Qresync,
    Metadata,
    ServerMetadata,
}

const EXTENSIONS: &[(&str, Extension)] = &[
    ("CONDSTORE", Extension::Condstore),
    ("QRESYNC", Extension::Qresync),
    ("METADATA", Extension::Metadata),
    ("METADATA-SERVER", Extension::ServerMetadata),
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
