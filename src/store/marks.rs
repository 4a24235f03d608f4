//! Which format the files of an account show, whatever the settings say. Served as another, mail would be missed or
//! taken for gone, and clients would throw away what they have of it.

use super::dbox::{has_files, has_mailboxes};
use super::{Error, mbox};
use crate::config::Format;
use std::io;
use std::path::Path;

/// Errors: what is below `root` shows that it is of another format than `format`. What shows nothing is either.
pub(super) fn check(root: &Path, format: Format) -> Result<(), Error> {
    let Some(other) = other_than(root, format) else {
        return Ok(());
    };
    let (root, format, other) = (root.display(), format.as_str(), other.as_str());
    let why = format!(
        "{root} is of format {other:?}, and the settings say {format:?}: let them say {other:?}, or convert the mail \
         (dovelet convert {other} {format})"
    );
    Err(Error::Io(io::Error::other(why)))
}

/// The format of the mail below `root`, if it shows one and it is not this. Where an account of the format is, others
/// beside it count for nothing.
fn other_than(root: &Path, format: Format) -> Option<Format> {
    let has = |name: &str| root.join(name).is_dir();
    let maildir = || (has("cur") && has("new")).then_some(Format::Maildir);
    let mbox = || (mbox::is_known(root) || mbox::is_there(root)).then_some(Format::Mbox);
    match format {
        Format::Maildir if has("cur") => None,
        Format::Maildir => dbox(root).or_else(mbox),
        // A walk through all mailboxes is not for each time that mail is opened.
        Format::Sdbox if has_files(root, Format::Mdbox) => {
            (!has_files(root, format)).then_some(Format::Mdbox)
        }
        Format::Mdbox if has_files(root, format) => None,
        Format::Mdbox if has_files(root, Format::Sdbox) => Some(Format::Sdbox),
        Format::Sdbox | Format::Mdbox if has_mailboxes(root) => None,
        Format::Sdbox | Format::Mdbox => maildir().or_else(mbox),
        Format::Mbox if mbox::is_known(root) => None,
        Format::Mbox => maildir().or_else(|| dbox(root)),
    }
}

/// Which of the two is there, if one has messages.
fn dbox(root: &Path) -> Option<Format> {
    let both = [Format::Mdbox, Format::Sdbox];
    both.into_iter().find(|format| has_files(root, *format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{MailboxName, SystemFlags, Uid};
    use crate::store::{Filing, open};

    const FORMATS: [Format; 4] = [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox];

    fn put(root: &Path, format: Format, uid: u32) -> Result<(), Error> {
        let mut store = open(root, format, 1 << 20)?;
        // INBOX of an sdbox may be empty.
        let name = MailboxName::new("a/b").unwrap();
        if uid == 1 {
            store.create(&name)?;
        }
        let mut draft = store.stage()?;
        draft.write(b"Subject: x\r\n\r\nText.\r\n")?;
        draft.date(1_000_000_000)?;
        store.save(&mut *draft, &name)?;
        let new = Filing {
            uid: Uid::new(uid).unwrap(),
            flags: SystemFlags::SEEN,
            letters: 0,
        };
        store.commit(&mut *draft, &name, &new)?;
        store.sync()
    }

    #[test]
    fn mail_of_another_format_is_not_served() {
        for format in FORMATS {
            for other in FORMATS.into_iter().filter(|other| *other != format) {
                let directory = tempfile::tempdir().unwrap();
                let root = directory.path().join("mail");
                put(&root, format, 1).unwrap();
                let entries = || {
                    let all = std::fs::read_dir(&root).unwrap();
                    let mut names: Vec<_> = all.map(|entry| entry.unwrap().file_name()).collect();
                    names.sort();
                    names
                };
                let before = entries();
                let told = put(&root, other, 2).unwrap_err().to_string();
                let expected = format!("is of format {:?}, and", format.as_str());
                assert!(told.contains(&expected), "{format:?} as {other:?}: {told}");
                assert_eq!(entries(), before);
                put(&root, format, 2).unwrap();
            }
        }
    }

    #[test]
    fn where_there_is_no_mail_any_format_may_begin() {
        for format in FORMATS {
            let directory = tempfile::tempdir().unwrap();
            drop(open(directory.path(), format, 1 << 20).unwrap());
            put(directory.path(), format, 1).unwrap();
            // One that was begun beside it, by whatever mistake, is not in its way.
            for name in ["cur", "new", "storage"] {
                let _ = std::fs::create_dir(directory.path().join(name));
            }
            put(directory.path(), format, 2).unwrap();
        }
    }
}
