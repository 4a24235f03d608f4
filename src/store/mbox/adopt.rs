//! Files of messages that other programs wrote, which are served as they are.

use super::layout::MESSAGES;
use super::lease::Opened;
use super::mailboxes::names;
use super::store::Mbox;
use super::walk::walk;
use super::{from, root};
use crate::config::Format;
use crate::mail::MailboxName;
use crate::store::adopt::{Adopted, Found};
use crate::store::side::room;
use crate::store::{Error, Store};
use crate::sys::regular;
use std::io::Read;
use std::path::Path;

/// Why a file is no mailbox.
const NO_MESSAGES: &str = "no file of messages: its first line does not begin with \"From \"";

/// True if there is an INBOX below `root` that other programs wrote.
pub(crate) fn is_there(root: &Path) -> bool {
    let mut line = [0; from::PREFIX.len()];
    let file = root::place(root, &MailboxName::inbox()).and_then(|path| Ok(regular::open(&path)?));
    let read = file.and_then(|mut file| Ok(file.read_exact(&mut line)?));
    read.is_ok() && line == *from::PREFIX
}

/// True if mailboxes below `root` were served as mbox.
pub(crate) fn is_known(root: &Path) -> bool {
    root.join(root::INDEXES).join(root::SIDE).is_dir()
}

/// Tells what there is (`inbox`: the file of INBOX, if it is not below `root`), and unless `dry` gives a UID to every message and has the files say all that is known.
/// Durable.
pub(crate) fn adopt(
    root: &Path,
    inbox: Option<&Path>,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    go_over(root, inbox, (dry, false), each)
}

/// As `adopt`, for Dovecot: files without messages say, too, what UIDs there were.
pub(crate) fn hand_back(
    root: &Path,
    inbox: Option<&Path>,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    go_over(root, inbox, (dry, true), each)
}

fn go_over(
    root: &Path,
    inbox: Option<&Path>,
    (dry, hands_over): (bool, bool),
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    let mut found = Found::new(Format::Mbox);
    for name in names(root)? {
        let path = match inbox.filter(|_| name.is_inbox()) {
            Some(inbox) => inbox.to_owned(),
            None => root::place(root, &name)?,
        };
        if !path.exists() {
            continue;
        }
        let mut adopted = match look(&path, &name) {
            // Notes, scripts and the like; Dovecot lists them, too, and opens none. The others are good.
            Err(Error::Corrupt { .. }) => {
                found
                    .lost
                    .push(format!("{}: {NO_MESSAGES}", path.display()));
                continue;
            }
            looked => looked?,
        };
        if adopted.messages == 0 && adopted.uid_validity == 0 {
            let theirs = match name.is_inbox() {
                true => root::inbox_index(root),
                false => root::index_of(&path),
            };
            if let Some(said) = super::empty::said_there(&theirs) {
                adopted.uid_validity = said.uid_validity.number();
                adopted.uid_next = said.last_uid.saturating_add(1);
            }
        }
        adopted.known = root::directory(root, &name)?.exists();
        if hands_over && path.ends_with(MESSAGES) {
            adopted.lost.push(format!(
                "its name: with mailboxes below it, Dovecot calls it {name}/{MESSAGES}"
            ));
        }
        if !dry {
            let mut store = Mbox::open(root, inbox)?;
            let state = store.census(&name, room::to_sort())?.state;
            if hands_over {
                store.hand_over(&name)?;
            }
            store.record(&name, &state, &mut [].iter())?;
            store.settle(&name)?;
            let beyond = store.beyond(&name, state.uid_validity)?;
            adopted.tells_beyond = beyond.is_some();
            adopted.beyond = beyond.unwrap_or_default();
            adopted.uid_validity = state.uid_validity.number();
            adopted.uid_next = state.uid_next.number();
        }
        each(&adopted);
        found.mailboxes.push(adopted);
    }
    Ok(found)
}

/// What a file says.
fn look(path: &Path, name: &MailboxName) -> Result<Adopted, Error> {
    let opened = Opened::open(path)?;
    let lease = opened.read()?;
    let mut adopted = Adopted::new(name);
    let mut first = true;
    walk(lease.file(), 0, &mut |walked| {
        if let Some(base) = walked.kept.base.filter(|_| first) {
            adopted.uid_validity = base.uid_validity.number();
            adopted.uid_next = base.last_uid.saturating_add(1);
            adopted.keywords = base.keywords.len();
        }
        let is_message = !(walked.torn || first && walked.kept.pseudo);
        adopted.messages += usize::from(is_message);
        if is_message && walked.kept.uid.is_none() {
            adopted.uid_next = adopted.uid_next.saturating_add(1);
        }
        first = false;
        Ok(true)
    })?;
    Ok(adopted)
}
