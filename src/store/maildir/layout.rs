//! Where a mailbox lies: INBOX is the root, `a/b` is `.a.b` below it.

use crate::mail::MailboxName;
pub(crate) use crate::store::side::dotted::has_one_spelling;
use crate::store::side::dotted::{MAX_FILE_NAME, mailbox_name, storage_name};
use std::path::{Path, PathBuf};

/// The directory of a mailbox in plain UTF-8; `None` if none can be meant by that.
pub(crate) fn plain_directory(root: &Path, name: &MailboxName) -> Option<PathBuf> {
    let storage = name.as_str().replace('/', ".");
    let meant = mailbox_name(storage.as_bytes()).as_ref() == Some(name);
    (meant && storage.len() < MAX_FILE_NAME).then(|| root.join(format!(".{storage}")))
}

/// The directory of a mailbox.
pub(crate) fn directory(root: &Path, name: &MailboxName) -> Option<PathBuf> {
    if name.is_inbox() {
        return Some(root.to_owned());
    }
    storage_name(name).map(|storage| root.join(format!(".{storage}")))
}
