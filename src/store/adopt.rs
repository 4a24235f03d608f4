//! Mail of another server's that is taken over where it lies.

use super::{Error, dbox, maildir, mbox};
use crate::config::{Form, Format};
use crate::mail::{Keyword, MailboxName, UidSet};
use std::path::Path;

/// What was found of a mailbox.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) name: MailboxName,
    pub(crate) messages: usize,
    /// 0 if it is to have a new one.
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) keywords: usize,
    /// Messages that have a unique-id of their own in POP3.
    pub(crate) uidls: usize,
    /// It was taken over before.
    pub(crate) known: bool,
    /// What is not kept, a clause each.
    pub(crate) lost: Vec<String>,
    /// Keywords beyond those that files of the format can hold, and the messages that have them.
    pub(crate) beyond: Vec<(Keyword, UidSet)>,
    /// An index is to be told that these messages alone have them, as a file beside the messages says.
    pub(crate) tells_beyond: bool,
}

impl Adopted {
    pub(super) fn new(name: &MailboxName) -> Adopted {
        Adopted {
            name: name.clone(),
            messages: 0,
            uid_validity: 0,
            uid_next: 1,
            keywords: 0,
            uidls: 0,
            known: false,
            lost: Vec::new(),
            beyond: Vec::new(),
            tells_beyond: false,
        }
    }
}

/// What was found of an account.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) format: Format,
    pub(crate) mailboxes: Vec<Adopted>,
    /// What is kept of no mailbox, a clause each.
    pub(crate) lost: Vec<String>,
    /// Why nothing is taken over, with the way out, a clause each.
    pub(crate) obstacles: Vec<String>,
}

impl Found {
    pub(super) fn new(format: Format) -> Found {
        Found {
            format,
            mailboxes: Vec::new(),
            lost: Vec::new(),
            obstacles: Vec::new(),
        }
    }
}

/// The format of the mail below `root`; `None` if there is none, or none that can be told.
pub(crate) fn format_of(root: &Path) -> Option<Format> {
    match root.join("cur").is_dir() {
        true => Some(Format::Maildir),
        false if mbox::is_there(root) => Some(Format::Mbox),
        false => dbox::format_of(root),
    }
}

/// True if messages of an sdbox are below `root`.
pub(crate) fn has_single_files(root: &Path) -> bool {
    dbox::has_files(root, Format::Sdbox)
}

/// Takes over the mail below `root`, which no server has open, unless `dry` or something is in the way. Each
/// mailbox is told to `each`, once it was looked at. `form`: also where Dovecot kept what is not there. Durable.
pub(crate) fn adopt(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    match form.format {
        Format::Maildir => maildir::adopt(root, form, dry, each),
        Format::Mbox => mbox::adopt(root, form.inbox.as_deref(), dry, each),
        Format::Sdbox | Format::Mdbox => dbox::adopt(root, form, dry, each),
    }
}

/// As `adopt`, the other way: hands the mail below `root` over to Dovecot, which then finds it as it is.
pub(crate) fn hand_back(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    match form.format {
        Format::Maildir => maildir::hand_back(root, form, dry, each),
        // Files have all that Dovecot knows, once what lags behind is in them.
        Format::Mbox => mbox::hand_back(root, form.inbox.as_deref(), dry, each),
        Format::Sdbox | Format::Mdbox => dbox::hand_back(root, form, dry, each),
    }
}

/// That no file says what the user of these mailboxes subscribed to, if it is so.
fn unsubscribed(root: &Path, found: &Found) -> Option<String> {
    let file = match found.format {
        Format::Mbox => ".subscriptions",
        _ => "subscriptions",
    };
    let files = [file, maildir::COURIER_SUBSCRIBED].map(|file| root.join(file));
    let told = found.mailboxes.len() < 2 || files.iter().any(|file| file.exists());
    (!told).then(|| {
        format!(
            "no subscriptions are there: if Dovecot's mail_location has CONTROL=DIR or SUBSCRIPTIONS=FILE, copy them \
             to {}",
            root.join(file).display()
        )
    })
}

/// What else lies there that this server does not use or keep, a clause each.
pub(crate) fn unused(root: &Path, found: &Found) -> Vec<String> {
    let mut counts = UNUSED.map(|(file, what)| (file, what, 0));
    count(root, 0, &mut counts);
    let some = counts.into_iter().filter(|(.., count)| *count > 0);
    let told = some.map(|(file, what, count)| match count {
        1 => format!("{file}: {what}"),
        _ => format!("{file} ({count} of them): {what}"),
    });
    let all = found.lost.iter().cloned().chain(told);
    all.chain(unsubscribed(root, found)).collect()
}

/// Files beside mail, and what becomes of what is in them.
const UNUSED: [(&str, &str); 8] = [
    (
        "dovecot-acl",
        "rights of other users, which dovelet does not give",
    ),
    (
        "courierimapacl",
        "rights of other users, which dovelet does not give",
    ),
    ("dovecot-attributes", "annotations, which stay there unread"),
    (
        ".dovecot.sieve",
        "a Sieve script, which dovelet does not run",
    ),
    ("sieve", "Sieve scripts, which dovelet does not run"),
    (
        "shared-maildirs",
        "mail of other users, which dovelet does not give",
    ),
    (
        "shared-folders",
        "mail of other users, which dovelet does not give",
    ),
    ("maildirsize", "a quota, which dovelet does not keep"),
];
/// Directories with messages, which have nothing else.
const MESSAGES: [&str; 5] = ["cur", "new", "tmp", "storage", "dbox-Mails"];

fn count(directory: &Path, depth: usize, counts: &mut [(&str, &str, usize)]) {
    for (file, _, count) in &mut *counts {
        for above in [directory.to_owned(), directory.join("dbox-Mails")] {
            *count += usize::from(above.join(*file).exists());
        }
    }
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let messages = MESSAGES.iter().any(|name| entry.file_name() == **name);
        if is_directory && !messages && depth < MailboxName::MAX_DEPTH {
            count(&entry.path(), depth + 1, counts);
        }
    }
}
