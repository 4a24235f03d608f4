//! Names of mailboxes with dots between their parts: of Maildir++, and in side files.

use crate::codec::mutf7;
use crate::mail::MailboxName;

/// Longest file name of every file system that matters.
pub(crate) const MAX_FILE_NAME: usize = 255;

/// The storage name of a mailbox: parts in modified UTF-7 with `.` between them. A dot inside a
/// part is written `&AC4-`. `None` if it is too long for a directory.
pub(crate) fn storage_name(name: &MailboxName) -> Option<String> {
    let parts: Vec<String> = name
        .parts()
        .map(|part| mutf7::encode_also(part, '.'))
        .collect();
    let joined = parts.join(".");
    (joined.len() < MAX_FILE_NAME).then_some(joined)
}

/// True if no other storage name means the same mailbox.
pub(crate) fn has_one_spelling(name: &MailboxName) -> bool {
    let plain = |byte: u8| byte.is_ascii() && byte != b'&' && byte != b'.';
    name.as_str().bytes().all(plain)
}

/// The name of a storage name; `None` if it is none, or another spelling of a name that has but one, by
/// which nothing would be found. Directory names in plain UTF-8 are understood.
pub(crate) fn mailbox_name(storage: &[u8]) -> Option<MailboxName> {
    let mut name = String::new();
    for (at, part) in storage.split(|&b| b == b'.').enumerate() {
        let decoded = match mutf7::decode(part) {
            Some(text) => text,
            None => std::str::from_utf8(part).ok()?.to_owned(),
        };
        if decoded.contains('/') {
            return None;
        }
        if at > 0 {
            name.push('/');
        }
        name.push_str(&decoded);
    }
    let name = MailboxName::new(&name).ok().filter(|n| !n.is_inbox())?;
    let alien = has_one_spelling(&name) && name.as_str().replace('/', ".").as_bytes() != storage;
    (!alien).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for (name, storage) in [
            ("a/b", "a.b"),
            ("Entw\u{fc}rfe", "Entw&APw-rfe"),
            ("v1.0/x", "v1&AC4-0.x"),
            ("INBOX/sub", "INBOX.sub"),
            ("a&b", "a&-b"),
        ] {
            let name = MailboxName::new(name).unwrap();
            assert_eq!(storage_name(&name).as_deref(), Some(storage));
            assert_eq!(mailbox_name(storage.as_bytes()), Some(name));
        }
        assert_eq!(
            mailbox_name("\u{fc}".as_bytes()).unwrap().as_str(),
            "\u{fc}"
        );
        for bad in [
            "",
            ".a",
            "a.",
            "a..b",
            "INBOX",
            "inbox",
            "inbox.a",
            "a.&AC8-b",
            "&AGE-",
            "&AGE-&AGE-",
        ] {
            assert_eq!(mailbox_name(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(
            storage_name(&MailboxName::new(&"\u{53f0}".repeat(66)).unwrap().clone())
                .map(|s| s.len()),
            Some(178)
        );
    }
}
