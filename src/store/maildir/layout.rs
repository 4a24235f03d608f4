//! Where a mailbox lies: INBOX is the root, `a/b` is `.a.b` below it, or `a/b`.

use crate::codec::mutf7;
use crate::config::Layout;
use crate::mail::MailboxName;
use crate::store::side::dotted::{self, MAX_FILE_NAME, mailbox_name, storage_name};
use std::path::{Path, PathBuf};

/// Directories and files of a mailbox, by whose names no mailbox below it can be called.
const INTERNAL: [&str; 6] = [
    "cur",
    "new",
    "tmp",
    "subscriptions",
    "maildirfolder",
    "maildirsize",
];
/// What the names of others begin with.
const INTERNAL_PREFIXES: [&str; 4] = ["dovecot-", "dovecot.", "dovelet-", "courier"];

/// The directory of a mailbox in plain UTF-8; `None` if none can be meant by that.
pub(super) fn plain_directory(root: &Path, layout: Layout, name: &MailboxName) -> Option<PathBuf> {
    if layout == Layout::Nested {
        let parts = || name.parts();
        let safe = parts().all(|part| !is_internal(part) && part.len() <= MAX_FILE_NAME);
        let means = |part: &str| mutf7::decode(part.as_bytes()).is_none_or(|text| text == part);
        let meant = parts().all(means);
        return (safe && meant).then(|| root.join(name.as_str()));
    }
    let storage = name.as_str().replace('/', ".");
    let meant = mailbox_name(storage.as_bytes()).as_ref() == Some(name);
    (meant && storage.len() < MAX_FILE_NAME).then(|| root.join(format!(".{storage}")))
}

/// The directory of a mailbox; `None` if there can be none.
pub(super) fn directory(root: &Path, layout: Layout, name: &MailboxName) -> Option<PathBuf> {
    if name.is_inbox() {
        return Some(root.to_owned());
    }
    match layout {
        Layout::Dotted => storage_name(name).map(|storage| root.join(format!(".{storage}"))),
        Layout::Nested => {
            let part = |part| Some(mutf7::encode(part)).filter(|part| part.len() <= MAX_FILE_NAME);
            let parts: Option<Vec<String>> = name.parts().map(part).collect();
            let parts = parts.filter(|parts| !parts.iter().any(|part| is_internal(part)))?;
            Some(root.join(parts.join("/")))
        }
    }
}

/// True if no other directory means the same mailbox.
pub(super) fn has_one_spelling(layout: Layout, name: &MailboxName) -> bool {
    match layout {
        Layout::Dotted => dotted::has_one_spelling(name),
        Layout::Nested => name.as_str().is_ascii(),
    }
}

/// True of what is in the directory of a mailbox and is none itself.
pub(super) fn is_internal(file: &str) -> bool {
    INTERNAL.contains(&file) || INTERNAL_PREFIXES.iter().any(|own| file.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_names() {
        let root = Path::new("/r");
        let nested = |name: &str| {
            let name = MailboxName::new(name).unwrap();
            let path = directory(root, Layout::Nested, &name)?;
            Some(path.to_str().unwrap().to_owned())
        };
        for (name, path) in [
            ("INBOX", "/r"),
            ("INBOX/sub", "/r/INBOX/sub"),
            ("a/b.c", "/r/a/b.c"),
            ("Entw\u{fc}rfe/x", "/r/Entw&APw-rfe/x"),
        ] {
            assert_eq!(nested(name).as_deref(), Some(path));
        }
        for refused in [
            "cur",
            "a/new",
            "tmp/x",
            "dovecot-uidlist",
            "a/dovecot.index",
        ] {
            assert_eq!(nested(refused), None, "{refused}");
        }
        assert_eq!(nested(&"&".repeat(200)), None);
        let plain =
            |name: &str| plain_directory(root, Layout::Nested, &MailboxName::new(name).unwrap());
        assert_eq!(plain("\u{fc}/\u{e4}"), Some(root.join("\u{fc}/\u{e4}")));
        assert_eq!(plain("a/\u{fc}"), Some(root.join("a/\u{fc}")));
        assert_eq!((plain("&-/\u{fc}"), plain("cur/\u{fc}")), (None, None));
    }
}
