//! What can go wrong with an account, as far as a client may know it.

use crate::mail::{InvalidName, MailboxName, Uid};
use crate::store::Store;
use crate::sys::access::explanation;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why an account could not do what was asked. Faults were logged with their detail where they
/// happened; this says only what to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    NoSuchMailbox,
    MailboxExists,
    InvalidName(InvalidName),
    /// The mailbox cannot be deleted, renamed or made (INBOX, a name with children, ...).
    Cannot(&'static str),
    /// A named limit is reached.
    Limit(&'static str),
    /// The disk is full; nothing was kept.
    Full,
    /// The message is larger than allowed.
    TooLarge,
    /// The mailbox is opened read-only.
    ReadOnly,
    /// Who asks may only read.
    NotPermitted,
    /// Encoded in a way nobody knows, or binary without saying so.
    UnknownEncoding,
    /// Too many entries of one mailbox have values.
    TooManyEntries,
    /// A value of an entry has more octets than this.
    EntryTooLong(usize),
    /// The message was expunged meanwhile.
    Expunged,
    /// Something is held by another program for too long; try again.
    Busy,
    /// The account that this process runs as may not use the files; logged.
    Denied,
    /// Files, or what they hold, are damaged; logged.
    Corrupt,
    /// The disk does not do what it should, for now or for ever; logged.
    Unavailable,
    /// There is nothing at all where the mail should be, of which the index knows messages; logged.
    Gone,
    /// What always holds does not.
    Fault,
}

impl Error {
    /// True for what went wrong with a message or a mailbox and says nothing of the others, if it came from one.
    pub(super) fn is_of_one(self) -> bool {
        let own = matches!(self, Error::Corrupt | Error::Unavailable | Error::Denied);
        own && !is_damaged()
    }

    /// For whoever runs the server; the detail of a fault is in the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Error::Full => "the disk is full",
            Error::Busy => "another program holds a lock of the mail; try again",
            Error::NoSuchMailbox => "a mailbox vanished meanwhile; try again",
            Error::Limit(limit) => limit,
            Error::Cannot(what) => what,
            Error::Denied => "the account that it runs as may not use the files",
            Error::Corrupt => "something is damaged; see the log",
            Error::Gone => {
                "the directory of the mail is empty: is its disk mounted? If all is gone for good, use \"dovelet \
                 restore\", or \"dovelet doctor --rebuild --user NAME\" to begin without it"
            }
            _ => "trouble with the disk; see the log",
        }
    }

    /// As `reason`; of files at `path` that may not be used, whose they are and the way out.
    pub(crate) fn reason_at(self, path: &Path) -> String {
        let denied = Some(path).filter(|_| self == Error::Denied);
        match denied.map(explanation).unwrap_or_default() {
            why if why.is_empty() => self.reason().to_owned(),
            why => format!("{}; {why}", self.reason()),
        }
    }

    /// A line that tells where, too.
    pub(crate) fn told_at(self, path: &Path) -> String {
        format!("{}: {}", path.display(), self.reason_at(path))
    }
}

/// The index of this process was found damaged. A process has one.
static DAMAGED: AtomicBool = AtomicBool::new(false);

pub(super) fn note_damage() {
    DAMAGED.store(true, Ordering::Release);
}

/// As `note_damage`; `said`: by redb, which panicked.
pub(super) fn note_panic(said: &str) {
    note_damage();
    log::error!("the index is damaged: {said}");
}

/// The index that was found damaged is put aside, and nothing is told of another.
pub(super) fn forget_damage() {
    DAMAGED.store(false, Ordering::Release);
}

pub(super) fn is_damaged() -> bool {
    DAMAGED.load(Ordering::Acquire)
}

/// Logs a fault of the index and tells what a client may know of it.
pub(super) fn fault(doing: &'static str) -> impl Fn(crate::index::Error) -> Error {
    move |error| {
        log::error!("{doing}: {error}");
        if error.is_damage() {
            note_damage();
        }
        match error {
            crate::index::Error::Full => Error::Full,
            crate::index::Error::InUse => Error::Busy,
            error if error.is_denied() => Error::Denied,
            // Of no message anything is damaged: the index is made anew, and tells it then.
            _ if error.is_damage() || error.is_loss() => Error::Unavailable,
            _ => Error::Fault,
        }
    }
}

/// Logs a fault of the store and tells what a client may know of it.
pub(super) fn store_fault(doing: impl Display) -> impl Fn(crate::store::Error) -> Error {
    use crate::store::Error as Store;
    move |error| match error {
        Store::NoSuchMessage => Error::Expunged,
        Store::NoSuchMailbox => Error::NoSuchMailbox,
        Store::MailboxExists => Error::MailboxExists,
        Store::Unnamable => Error::Cannot("no mailbox can have this name here"),
        Store::Full => {
            log::error!("{doing}: {error}");
            Error::Full
        }
        Store::Locked | Store::Outrun => {
            log::warn!("{doing}: {error}");
            Error::Busy
        }
        Store::TooMany => {
            log::error!("{doing}: {error}: raise `engine_memory_octets`");
            Error::Limit("the mailbox has more messages than this server has memory to look at")
        }
        Store::Io(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            log::error!("{doing}: {cause}");
            Error::Denied
        }
        Store::Corrupt { .. } | Store::Io(_) => {
            log::error!("{doing}: {error}");
            match error.is_damage() {
                true => Error::Corrupt,
                false => Error::Unavailable,
            }
        }
    }
}

/// As `store_fault`, for what is wrong with a mailbox as a whole, which the line in the log names.
pub(super) fn mailbox_fault<'a>(
    doing: &'static str,
    store: &'a dyn Store,
    mailbox: &'a MailboxName,
) -> impl Fn(crate::store::Error) -> Error + 'a {
    move |error| {
        let root = store.root().display();
        store_fault(format_args!("{root}: {doing} {mailbox}"))(error)
    }
}

/// As `store_fault`, for a message that cannot be opened, of the mail in `root`.
pub(super) fn opening_fault<'a>(
    root: &'a Path,
    mailbox: &'a MailboxName,
    uid: Uid,
) -> impl Fn(crate::store::Error) -> Error + 'a {
    move |error| {
        let root = root.display();
        store_fault(format_args!("{root}: opening UID {uid} of {mailbox}"))(error)
    }
}

/// As `store_fault`, for what reading a file said.
pub(super) fn io_fault(doing: impl Display) -> impl Fn(io::Error) -> Error {
    let fault = store_fault(doing);
    move |error| fault(error.into())
}
