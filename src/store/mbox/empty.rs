//! A file without messages says nothing: neither UIDVALIDITY nor which UIDs were given. Dovecot then goes by its index,
//! and so by what it knew when it last looked. Where it has one, or is to have the mailbox, a first message that is
//! none says both (`X-IMAP`, which both servers read); and of a file without it, Dovecot's index is asked.

use super::field::{Base, base_value};
use super::from;
use super::state::{Layout, State};
use crate::mail::{Uid, UidValidity};
use crate::store::dovecot;
use std::path::Path;

/// What the files of Dovecot's index of a mailbox are called.
const INDEX: &str = "dovecot.index";
const LOG: &str = "dovecot.index.log";

/// What Dovecot's index in a directory says; `None` if there is none, or none that can be read.
pub(super) fn said_there(directory: &Path) -> Option<Base> {
    let index = match dovecot::load(directory, INDEX, &[]) {
        Ok(index) => index?,
        Err(error) => {
            log::warn!("{}: {error}", directory.display());
            return None;
        }
    };
    Some(Base {
        uid_validity: UidValidity::new(index.uid_validity())?,
        last_uid: index.next_uid().saturating_sub(1),
        keywords: Vec::new(),
    })
}

/// A message that is none.
pub(super) fn pseudo(base: &Base) -> String {
    let line = from::line(None, crate::sys::clock::now_seconds());
    let value = base_value(base);
    format!(
        "{line}From: dovelet <MAILER-DAEMON>\nSubject: no message\nX-IMAP: {value}\nStatus: RO\n\n\
         The mailbox is empty. This says which numbers its messages had; mail servers do not show it.\n\n"
    )
}

impl State {
    /// True if the file is to say what it is without messages, too.
    pub(super) fn speaks_empty(&self) -> bool {
        let is_known = || {
            [INDEX, LOG]
                .iter()
                .any(|file| self.theirs().join(file).exists())
        };
        self.uid_next > Uid::MIN && (self.handed || is_known())
    }

    /// Where Dovecot has its index of the mailbox.
    fn theirs(&self) -> std::path::PathBuf {
        match &self.inbox_index {
            Some(directory) => directory.clone(),
            None => super::root::index_of(&self.path),
        }
    }

    /// Dovecot may have given UIDs whose messages are gone.
    pub(super) fn learn_there(&mut self, layout: &Layout) {
        if layout.base.is_some() || !layout.spans.is_empty() {
            return;
        }
        let said = said_there(&self.theirs());
        if let Some(base) = said.filter(|base| base.uid_validity == self.uid_validity) {
            let next = base.last_uid.checked_add(1).and_then(Uid::new);
            self.uid_next = self.uid_next.max(next.unwrap_or(Uid::MIN));
        }
    }
}
