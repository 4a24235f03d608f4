//! Where a mailbox lies: `a/b` is `mailboxes/a/b/dbox-Mails`, each part in modified UTF-7.

use crate::codec::mutf7;
use crate::mail::MailboxName;
use crate::store::side::dotted::MAX_FILE_NAME;
use std::path::{Path, PathBuf};

/// The directory of all mailboxes.
pub(super) const MAILBOXES: &str = "mailboxes";
/// What makes a directory a mailbox; its own name for it is `dbox-Mails` with a hyphen that says so.
pub(super) const MAILS: &str = "dbox-Mails";

fn component(part: &str) -> Option<String> {
    let encoded = match mutf7::encode(part) {
        taken if taken == MAILS => mutf7::encode_also(part, '-'),
        encoded => encoded,
    };
    (encoded.len() <= MAX_FILE_NAME).then_some(encoded)
}

/// The name as a path below the directory of all mailboxes, as Dovecot notes it in a message's
/// metadata. `None` if a part is too long for a directory.
pub(super) fn storage_name(name: &MailboxName) -> Option<String> {
    let parts: Option<Vec<String>> = name.parts().map(component).collect();
    parts.map(|parts| parts.join("/"))
}

/// The name of such a path.
pub(super) fn mailbox_name(storage: &[u8]) -> Option<MailboxName> {
    let part = |part: &[u8]| {
        let text = mutf7::decode(part).or_else(|| String::from_utf8(part.to_vec()).ok())?;
        (!text.contains('/')).then_some(text)
    };
    let parts: Option<Vec<String>> = storage.split(|b| *b == b'/').map(part).collect();
    MailboxName::new(&parts?.join("/")).ok()
}

/// The directory above that with the messages of a mailbox.
pub(super) fn directory(root: &Path, name: &MailboxName) -> Option<PathBuf> {
    storage_name(name).map(|storage| root.join(MAILBOXES).join(storage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for (name, storage) in [
            ("INBOX", "INBOX"),
            ("a/b", "a/b"),
            ("Entw\u{fc}rfe/x.y", "Entw&APw-rfe/x.y"),
            ("INBOX/dbox-Mails", "INBOX/dbox&AC0-Mails"),
            ("a&b", "a&-b"),
        ] {
            let name = MailboxName::new(name).unwrap();
            assert_eq!(storage_name(&name).as_deref(), Some(storage));
            assert_eq!(mailbox_name(storage.as_bytes()), Some(name));
        }
        let long = MailboxName::new(&"&".repeat(200)).unwrap();
        assert_eq!(storage_name(&long), None);
        for bad in ["", "..", "a//b", "a/../b", "&AC8-x"] {
            assert_eq!(mailbox_name(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(
            directory(Path::new("/r"), &MailboxName::inbox()).unwrap(),
            Path::new("/r/mailboxes/INBOX")
        );
    }
}
