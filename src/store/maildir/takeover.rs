//! Taking over a Maildir of Dovecot's, which is served as it is, or of Courier's, which keeps what is known of
//! messages, and subscriptions, in files of other names. What no file of a Maildir can hold is in Dovecot's index.

use super::courier::{self, Courier};
use super::keywords::{self, UNKNOWN};
use super::listing::Listing;
use super::store::Maildir;
use super::uidlist::{self, UidList};
use super::{mailboxes, name};
use crate::config::{Form, Format, Layout};
use crate::mail::{Guid, Keyword, MailboxName, Uid, UidSet, UidValidity};
use crate::store::adopt::{Adopted, Found};
use crate::store::side::beyond::{self, Beyond};
use crate::store::side::dotted::mailbox_name;
use crate::store::side::subscriptions::{self, Kind};
use crate::store::{Error, Store, dovecot};
use crate::sys::regular;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

pub(super) const INDEX: [&str; 2] = ["dovecot.index", "dovecot.index.log"];
/// A sign of keywords that nothing names.
const LETTERED: &str = "messages with letters of keywords";
const COURIER: &str = "courierimapuiddb";
pub(in super::super) const COURIER_SUBSCRIBED: &str = "courierimapsubscribed";

/// Looks at all mailboxes and tells `each`; takes over what Courier says of them, unless `dry` or something
/// is in the way.
pub(crate) fn adopt(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    let mut found = Found::new(Format::Maildir);
    let mut store = Maildir::open(root, form.layout)?.separating(form.info_separator);
    if let Some(other) = of_another_layout(root, form.layout)? {
        found.obstacles.push(other);
    }
    let names = store.all_mailboxes()?;
    for name in &names {
        let path = store.path(name)?;
        let adopted = look(&path, name)?;
        if let Some(sign) = control_elsewhere(&path, &adopted)? {
            found.obstacles.push(format!(
                "{name}: {} has {sign}, and no dovecot-uidlist, which says the UIDs: if Dovecot's mail_location has \
                 CONTROL=DIR, stop Dovecot, copy (cp -p) dovecot-uidlist and dovecot-keywords of each mailbox to its \
                 directory here, and DIR/subscriptions to {}, then try again; if they are lost, remove {} there: all \
                 messages get new UIDs then",
                path.display(),
                root.display(),
                match sign {
                    LETTERED => "the letters behind \"2,\", or make an empty dovecot-keywords,",
                    _ => "dovecot.index*",
                },
            ));
        }
        each(&adopted);
        found.mailboxes.push(adopted);
    }
    found.lost = nameless(root, form.layout)?;
    if dry || !found.obstacles.is_empty() {
        return Ok(found);
    }
    for name in &names {
        courier::convert(&store.path(name)?, store.separator)?;
    }
    for adopted in found.mailboxes.iter().filter(|m| m.tells_beyond) {
        keep_beyond(&store.path(&adopted.name)?, adopted)?;
    }
    subscribe(root, store.subscribed_in())?;
    Ok(found)
}

/// Has the side file say which messages have keywords without letters. Durable.
fn keep_beyond(path: &Path, adopted: &Adopted) -> Result<(), Error> {
    let Some(validity) = UidValidity::new(adopted.uid_validity) else {
        return Ok(());
    };
    beyond::write_of(path, validity, &adopted.beyond)?;
    match beyond_there(path, validity, &named_in(path)) {
        Ok(Some(theirs)) => beyond::agree(path, validity, &theirs),
        Ok(None) | Err(Error::Corrupt { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Mailboxes of Maildir++ that no mailbox here can be called like, a clause each.
fn nameless(root: &Path, layout: Layout) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    for entry in entries(root)? {
        let file = entry?.file_name();
        let path = root.join(&file);
        if layout == Layout::Dotted && mailboxes::is_nameless(root, &file) {
            let mut messages = 0;
            for part in ["new", "cur"] {
                messages += entries(&path.join(part))?.count();
            }
            told.push(format!(
                "{messages} messages in {}, which is no name of a mailbox: rename the directory to have them",
                file.display()
            ));
        }
    }
    told.sort_unstable();
    Ok(told)
}

/// What is said of the first directory that holds a mailbox as another layout has it.
fn of_another_layout(root: &Path, layout: Layout) -> io::Result<Option<String>> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let file = entry.file_name();
        let dotted = file.as_encoded_bytes().starts_with(b".");
        if Guid::parse(file.as_encoded_bytes()).is_some() && entry.path().join("cur").is_dir() {
            return Ok(Some(format!(
                "{} is the GUID of a mailbox (LAYOUT=index), by which dovelet does not find it in a Maildir: have \
                 Dovecot convert the mail to LAYOUT=fs first (doveadm sync)",
                file.to_string_lossy()
            )));
        }
        if dotted == (layout == Layout::Nested) && entry.path().join("cur").is_dir() {
            let file = file.to_string_lossy();
            return Ok(Some(match layout {
                Layout::Dotted => format!(
                    "{file} is a mailbox in a directory of its own: set layout = \"fs\" in [storage], or \
                     LAYOUT=fs for this user"
                ),
                Layout::Nested => format!(
                    "{file} is a mailbox of Maildir++: set layout = \"maildir++\" in [storage], or none for \
                     this user"
                ),
            }));
        }
    }
    Ok(None)
}

/// The sign by which it is seen that Dovecot had a mailbox with messages whose side files are elsewhere.
fn control_elsewhere(path: &Path, adopted: &Adopted) -> Result<Option<&'static str>, Error> {
    if adopted.messages == 0 || adopted.known || !listed(path)?.0.is_empty() {
        return Ok(None);
    }
    if INDEX.iter().any(|file| path.join(file).exists()) {
        return Ok(Some("an index of Dovecot's"));
    }
    let unnamed = !path.join(keywords::FILE).exists() && letters_in(path)? != 0;
    Ok(unnamed.then_some(LETTERED))
}

/// Letters of keywords in names of files.
pub(super) fn letters_in(path: &Path) -> Result<u32, Error> {
    let mut letters = 0;
    for entry in entries(&path.join("cur"))? {
        let file = entry?.file_name();
        letters |= name::split(&file.to_string_lossy()).2;
    }
    Ok(letters)
}

/// None where there is no directory.
pub(super) fn entries(path: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten())
}

/// A side file, as text; empty if it is not there.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    match regular::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(String::from_utf8_lossy(&read?).into_owned()),
    }
}

/// The text that says which file has which UID, and whether it is Courier's.
pub(super) fn listed(path: &Path) -> Result<(String, bool), Error> {
    let own = text(&path.join(uidlist::FILE))?;
    if !own.is_empty() {
        return Ok((own, false));
    }
    let other = text(&path.join(COURIER))?;
    let courier = !other.is_empty();
    Ok((other, courier))
}

fn look(path: &Path, name: &MailboxName) -> Result<Adopted, Error> {
    let mut adopted = Adopted::new(name);
    if let Some(courier) = Courier::read(path)? {
        look_at_courier(path, &courier, &mut adopted)?;
        return Ok(adopted);
    }
    let text = text(&path.join(uidlist::FILE))?;
    let list = UidList::parse(&text);
    adopted.uid_validity = list
        .header
        .uid_validity
        .map_or(0, |validity| validity.number());
    adopted.uid_next = list.header.uid_next.map_or(1, Uid::number);
    let theirs = UidList::parse(&self::text(&path.join(COURIER))?)
        .header
        .uid_validity;
    if theirs.is_some() && theirs != list.header.uid_validity {
        adopted.lost.push(format!(
            "Courier's UIDs ({COURIER}): {} has others; take it away, and adopt takes Courier's",
            uidlist::FILE
        ));
    }
    let words = list
        .entries
        .iter()
        .flat_map(|entry| entry.extensions.split(' '));
    adopted.uidls = words.filter(|word| word.starts_with('P')).count();
    if !text.is_empty() && list.damaged {
        adopted
            .lost
            .push("lines of its list of UIDs that cannot be read".to_owned());
    }
    let bases: HashSet<&str> = list.entries.iter().map(|entry| entry.base).collect();
    let letters = count(path, &bases, &mut adopted)?;
    let named = named_in(path);
    adopted.keywords = named.iter().flatten().count();
    let named_letters = named.iter().enumerate();
    let named_letters = named_letters.filter(|(_, named)| named.is_some());
    let nameless = letters & !named_letters.fold(0, |all, (at, _)| all | 1u32 << at);
    if nameless != 0 {
        adopted.lost.push(format!(
            "the names of {} letters of keywords that messages have and dovecot-keywords does not tell: they are \
             called {UNKNOWN}N",
            nameless.count_ones()
        ));
    }
    look_beyond(path, &named, &mut adopted)?;
    Ok(adopted)
}

/// Which messages have keywords that have no letter: as the side file says, with what Dovecot changed since.
fn look_beyond(path: &Path, named: &[Option<Keyword>], adopted: &mut Adopted) -> Result<(), Error> {
    let Some(validity) = UidValidity::new(adopted.uid_validity) else {
        return Ok(());
    };
    let (own, before) = (
        beyond::read_of(path, validity)?,
        beyond::agreed(path, validity)?,
    );
    let theirs = match beyond_there(path, validity, named) {
        Err(Error::Corrupt { what }) => {
            adopted
                .lost
                .push(format!("keywords beyond z, as {what} is damaged"));
            None
        }
        theirs => theirs?.filter(|_| before.is_some() || !is_up_to_date(path)),
    };
    adopted.tells_beyond = own.is_some();
    adopted.beyond = own.unwrap_or_default();
    if let Some(theirs) = theirs {
        adopted.beyond = beyond::merged(&adopted.beyond, &theirs, before.as_ref());
    }
    adopted.tells_beyond |= !adopted.beyond.is_empty();
    adopted.keywords += adopted.beyond.len();
    Ok(())
}

/// Counts the messages, and those that have no UID. Returns the letters of keywords that they have.
fn count(path: &Path, listed: &HashSet<&str>, adopted: &mut Adopted) -> Result<u32, Error> {
    let (mut unlisted, mut letters) = (0, 0);
    for part in ["new", "cur"] {
        for entry in entries(&path.join(part))? {
            let file = entry?.file_name();
            let file = file.to_string_lossy();
            if file.starts_with('.') {
                continue;
            }
            adopted.messages += 1;
            let (base, _, own) = name::split(&file);
            unlisted += usize::from(!listed.contains(base));
            letters |= own;
        }
    }
    if unlisted > 0 {
        adopted.lost.push(format!(
            "{unlisted} messages have no UID yet and get new ones"
        ));
    }
    Ok(letters)
}

/// What Courier's files say of a mailbox.
fn look_at_courier(path: &Path, courier: &Courier, adopted: &mut Adopted) -> Result<(), Error> {
    adopted.uid_validity = courier.uid_validity.number();
    adopted.uid_next = courier.uid_next.number();
    adopted.uidls = courier.uidls();
    adopted.keywords = courier.named().len();
    if courier.damaged {
        adopted
            .lost
            .push("lines of its list of UIDs that cannot be read".to_owned());
    }
    for name in &courier.misnamed {
        adopted
            .lost
            .push(format!("the keyword {name:?}, which IMAP has not"));
    }
    let messages = courier.messages.values();
    let bases = messages.map(|(base, _)| base.as_str()).collect();
    count(path, &bases, adopted)?;
    Ok(())
}

/// True if Dovecot may have keywords that are in its index alone, and nobody looked there: every letter has its
/// keyword.
pub(super) fn may_have_more(path: &Path) -> bool {
    let has_index = INDEX.iter().any(|file| path.join(file).exists());
    let named = || named_in(path).into_iter().flatten().count();
    has_index && !beyond::is_kept(path) && named() == keywords::MAX_LETTERS
}

/// What letters are called; none are where that cannot be read.
fn named_in(path: &Path) -> Vec<Option<Keyword>> {
    keywords::parse(&regular::read(&path.join(keywords::FILE)).unwrap_or_default())
}

/// The UIDVALIDITY that the list of UIDs tells.
pub(super) fn validity_in(path: &Path) -> Result<Option<UidValidity>, Error> {
    let list = Listing::open(path)?;
    Ok(list.and_then(|list| list.header.uid_validity))
}

/// True if keywords that have no letter were changed here since Dovecot changed its index.
fn is_up_to_date(path: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let theirs = INDEX
        .iter()
        .filter_map(|file| changed(&path.join(file)))
        .max();
    beyond::changed(path).is_some_and(|own| Some(own) > theirs)
}

/// Keywords that have no letter, of which Dovecot's index knows; `None` if there is none of that UIDVALIDITY. Errors:
/// `Corrupt`, if it is damaged.
pub(super) fn beyond_there(
    path: &Path,
    validity: UidValidity,
    named: &[Option<Keyword>],
) -> Result<Option<Beyond>, Error> {
    let index = dovecot::load(path, "dovecot.index", &[])?;
    // One of another UIDVALIDITY is of messages that were there before.
    let Some(index) = index.filter(|index| index.uid_validity() == validity.number()) else {
        return Ok(None);
    };
    let mut beyond = Beyond::new();
    for (number, name) in (0u16..).zip(&index.keywords) {
        let Some(keyword) = Keyword::new(name) else {
            continue;
        };
        if named.iter().flatten().any(|own| *own == keyword) {
            continue;
        }
        let with = index
            .rows
            .iter()
            .filter(|(_, row)| row.keywords.contains(&number));
        let uids: UidSet = with.filter_map(|(uid, _)| Uid::new(*uid)).collect();
        if !uids.is_empty() {
            beyond.push((keyword, uids));
        }
    }
    Ok(Some(beyond))
}

/// Subscribes to what Courier's file names. Durable.
pub(super) fn subscribe(root: &Path, kind: Kind) -> Result<(), Error> {
    let names = subscribed_by_courier(root)?;
    let mut names = names.iter();
    names.try_for_each(|name| subscriptions::subscribe(root, kind, name, true))
}

/// What Courier's file names.
pub(super) fn subscribed_by_courier(root: &Path) -> Result<Vec<MailboxName>, Error> {
    let text = text(&root.join(COURIER_SUBSCRIBED))?;
    let names = text
        .lines()
        .filter_map(|line| match line.strip_prefix("INBOX.") {
            Some(rest) => mailbox_name(rest.as_bytes()),
            None => (line == "INBOX").then(MailboxName::inbox),
        });
    Ok(names.collect())
}
