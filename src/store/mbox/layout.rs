//! Where a mailbox lies: `a/b` is the file `a/b` below the root, each part in modified UTF-7, and INBOX is
//! `inbox` there or a file elsewhere. A mailbox that has others below it is the file `mBoX-MeSsAgEs` in the
//! directory of its name.

use crate::codec::mutf7;
use crate::mail::MailboxName;
use crate::store::side::dotted::MAX_FILE_NAME;
use std::path::{Path, PathBuf};

/// The messages of a mailbox whose name is a directory; Dovecot's `DIRNAME` for that.
pub(super) const MESSAGES: &str = "mBoX-MeSsAgEs";
/// What no mailbox is called: side files, and files of other programs, begin like this.
const HIDDEN: u8 = b'.';
/// Locks end like this, and other files of who takes them have it within.
const LOCK: &str = ".lock";
/// INBOX, where nothing else is said.
const INBOX: &str = "inbox";

/// A part as the name of a file.
fn component(part: &str) -> Option<String> {
    let plain = mutf7::encode(part);
    let encoded = match plain.as_bytes() {
        own if own.first() == Some(&HIDDEN) || plain.contains(LOCK) => {
            mutf7::encode_also(part, '.')
        }
        _ if plain == MESSAGES => mutf7::encode_also(part, '-'),
        _ => plain,
    };
    // With room for the end of a lock's name.
    (encoded.len() + LOCK.len() <= MAX_FILE_NAME).then_some(encoded)
}

/// The name of a file or directory as a part of a mailbox's name; `None` if it is none.
pub(super) fn part(file: &[u8]) -> Option<String> {
    let hidden = file.first() == Some(&HIDDEN) || file == MESSAGES.as_bytes();
    if hidden || memchr::memmem::find(file, LOCK.as_bytes()).is_some() {
        return None;
    }
    let text = mutf7::decode(file).or_else(|| String::from_utf8(file.to_vec()).ok())?;
    (!text.contains('/')).then_some(text)
}

/// Below the root. `None` if a part is too long for a file.
pub(super) fn relative(name: &MailboxName) -> Option<PathBuf> {
    if name.is_inbox() {
        return Some(PathBuf::from(INBOX));
    }
    let parts: Option<Vec<String>> = name.parts().map(component).collect();
    parts.map(|parts| parts.iter().collect())
}

/// The name that a file of this place has; `None` if it has none.
pub(super) fn mailbox_name(parts: &[String]) -> Option<MailboxName> {
    let name = MailboxName::new(&parts.join("/")).ok();
    // Another file is INBOX.
    name.filter(|name| !name.is_inbox())
}

/// True of the file that is INBOX where nothing else is said.
pub(super) fn is_inbox(parts: &[String]) -> bool {
    parts.len() == 1 && parts.first().is_some_and(|part| part == INBOX)
}

/// The file in a directory of a mailbox's name.
pub(super) fn within(directory: &Path) -> PathBuf {
    directory.join(MESSAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for (name, path) in [
            ("INBOX", "inbox"),
            ("INBOX/x", "INBOX/x"),
            ("a/b.c", "a/b.c"),
            ("Entw\u{fc}rfe/x", "Entw&APw-rfe/x"),
            (".imap/x", "&AC4-imap/x"),
            ("x.lock", "x&AC4-lock"),
            ("x/mBoX-MeSsAgEs", "x/mBoX&AC0-MeSsAgEs"),
        ] {
            let name = MailboxName::new(name).unwrap();
            let found = relative(&name).unwrap();
            assert_eq!(found, Path::new(path));
            let parts: Option<Vec<String>> =
                path.split('/').map(|file| part(file.as_bytes())).collect();
            let parts = parts.unwrap();
            match name.is_inbox() {
                true => assert!(is_inbox(&parts)),
                false => assert_eq!(mailbox_name(&parts), Some(name)),
            }
        }
        for none in [
            ".subscriptions",
            "a.lock",
            "a.lock.1.M2.new",
            "mBoX-MeSsAgEs",
            "&AC8-",
        ] {
            assert_eq!(part(none.as_bytes()), None, "{none}");
        }
        assert_eq!(relative(&MailboxName::new(&"&".repeat(200)).unwrap()), None);
    }
}
