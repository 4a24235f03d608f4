//! Taking over a Maildir of Dovecot's, which is served as it is, or of Courier's, whose UIDs and subscriptions
//! are in files of other names. What no file of a Maildir can hold is in Dovecot's index.

use super::store::Maildir;
use super::uidlist::{self, UidList};
use super::{keywords, listing, name};
use crate::config::{Form, Format, Layout};
use crate::mail::{Guid, Keyword, MailboxName, Uid, UidSet};
use crate::store::adopt::{Adopted, Found};
use crate::store::side::dotted::mailbox_name;
use crate::store::side::lock::{DotLock, replace_with};
use crate::store::side::subscriptions::{self, Kind};
use crate::store::side::uid_validity::random_guid;
use crate::store::side::{beyond, regular};
use crate::store::{Error, MailboxState, Store, dovecot};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

const INDEX: [&str; 2] = ["dovecot.index", "dovecot.index.log"];
const COURIER: &str = "courierimapuiddb";
const COURIER_SUBSCRIBED: &str = "courierimapsubscribed";

/// Looks at all mailboxes and tells `each`; takes over what Courier says of them, unless `dry` or something
/// is in the way.
pub(crate) fn adopt(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    let mut found = Found::new(Format::Maildir);
    let mut store = Maildir::open(root, form.layout)?;
    if let Some(other) = of_another_layout(root, form.layout)? {
        found.obstacles.push(other);
    }
    let names = store.all_mailboxes()?;
    for name in &names {
        let adopted = look(&store.path(name)?, name)?;
        each(&adopted);
        found.mailboxes.push(adopted);
    }
    if dry || !found.obstacles.is_empty() {
        return Ok(found);
    }
    for name in &names {
        convert(&store.path(name)?)?;
    }
    subscribe(root, store.subscribed_in())?;
    Ok(found)
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

/// A side file, as text; empty if it is not there.
fn text(path: &Path) -> Result<String, Error> {
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
    let (text, _) = listed(path)?;
    let list = UidList::parse(&text);
    adopted.uid_validity = list
        .header
        .uid_validity
        .map_or(0, |validity| validity.number());
    adopted.uid_next = list.header.uid_next.map_or(1, Uid::number);
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
    let mut unlisted = 0;
    for part in ["new", "cur"] {
        let entries = match fs::read_dir(path.join(part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let file = entry?.file_name();
            let file = file.to_string_lossy();
            if file.starts_with('.') {
                continue;
            }
            adopted.messages += 1;
            unlisted += usize::from(!bases.contains(name::split(&file).0));
        }
    }
    if unlisted > 0 {
        adopted.lost.push(format!(
            "{unlisted} messages have no UID yet and get new ones"
        ));
    }
    let named = keywords::parse(&regular::read(&path.join(keywords::FILE)).unwrap_or_default());
    adopted.keywords = named.iter().flatten().count();
    if path.join("courierimapkeywords").is_dir() {
        adopted
            .lost
            .push("keywords of Courier's (courierimapkeywords)".to_owned());
    }
    look_beyond(path, &named, &mut adopted)?;
    Ok(adopted)
}

/// True if Dovecot may have keywords that are in its index alone, and nobody looked there: every letter has its
/// keyword.
pub(super) fn may_have_more(path: &Path) -> bool {
    let has_index = INDEX.iter().any(|file| path.join(file).exists());
    let named = || keywords::parse(&regular::read(&path.join(keywords::FILE)).unwrap_or_default());
    has_index && !beyond::is_kept(path) && named().iter().flatten().count() == keywords::MAX_LETTERS
}

/// Keywords that have no letter, of which Dovecot's index knows.
fn look_beyond(path: &Path, named: &[Option<Keyword>], adopted: &mut Adopted) -> Result<(), Error> {
    let index = match dovecot::load(path, "dovecot.index", &[]) {
        Err(Error::Corrupt { what }) => {
            adopted
                .lost
                .push(format!("keywords beyond z, as {what} is damaged"));
            return Ok(());
        }
        index => index?,
    };
    // One of another UIDVALIDITY is of messages that were there before.
    let Some(index) = index.filter(|index| index.uid_validity() == adopted.uid_validity) else {
        return Ok(());
    };
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
            adopted.keywords += 1;
            adopted.beyond.push((keyword, uids));
        }
    }
    Ok(())
}

/// Says in this server's side file what Courier's says. Durable.
fn convert(path: &Path) -> Result<(), Error> {
    let file = path.join(uidlist::FILE);
    let _lock = DotLock::take(&file)?;
    let (text, true) = listed(path)? else {
        return Ok(());
    };
    let list = UidList::parse(&text);
    let (Some(uid_validity), Some(uid_next)) = (list.header.uid_validity, list.header.uid_next)
    else {
        return Ok(());
    };
    let state = MailboxState {
        uid_validity,
        uid_next,
        guid: random_guid()?,
        keywords: Vec::new(),
    };
    let lines = list.entries.iter();
    let lines: Vec<(Uid, &str)> = lines.map(|entry| (entry.uid, entry.base)).collect();
    replace_with(&file, &mut |out| {
        listing::write(None, &state, &mut lines.iter(), out)
    })
}

/// Subscribes to what Courier's file names. Durable.
fn subscribe(root: &Path, kind: Kind) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for mailbox in ["", ".Sent"] {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(root.join(mailbox).join(part)).unwrap();
            }
        }
    }

    #[test]
    fn what_courier_says_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        make(
            root,
            &[
                ("cur/1.a:2,S", "one\n"),
                ("new/2.b", "two\n"),
                ("new/3.c", "three\n"),
                ("courierimapuiddb", "1 1234567890 9\n4 1.a\n7 2.b\n"),
                (".Sent/courierimapuiddb", "1 77 1\n"),
                ("courierimapsubscribed", "INBOX\nINBOX.Sent\nother\n"),
            ],
        );
        let mut told = Vec::new();
        let mut each = |a: &Adopted| told.push((a.name.to_string(), a.messages, a.uid_validity));
        let dry = adopt(root, &Form::default(), true, &mut each).unwrap();
        assert!(!root.join("dovecot-uidlist").exists() && dry.obstacles.is_empty());
        let expected = [
            ("INBOX".to_owned(), 3, 1_234_567_890),
            ("Sent".to_owned(), 0, 77),
        ];
        assert_eq!(told, expected);
        assert_eq!(
            dry.mailboxes[0].lost,
            ["1 messages have no UID yet and get new ones"]
        );
        adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        let mut store = Maildir::open(root, Layout::Dotted).unwrap();
        let scanned = store.scan(&MailboxName::inbox()).unwrap();
        assert!(scanned.header_known);
        let uids: Vec<_> = scanned
            .found
            .iter()
            .map(|f| f.uid.map(Uid::number))
            .collect();
        assert_eq!(uids, [Some(4), Some(7), None]);
        let state = scanned.state;
        assert_eq!(
            (state.uid_validity.number(), state.uid_next.number()),
            (1_234_567_890, 9)
        );
        let names: Vec<_> = store
            .subscriptions()
            .unwrap()
            .iter()
            .map(|n| n.to_string())
            .collect();
        assert_eq!(names, ["INBOX", "Sent"]);
        // The second time there is nothing to do.
        let before = fs::read(root.join("dovecot-uidlist")).unwrap();
        adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert_eq!(fs::read(root.join("dovecot-uidlist")).unwrap(), before);
    }

    #[test]
    fn another_layout_is_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        make(
            root,
            &[
                ("work/cur/1.a:2,S", "one\n"),
                ("courierimapuiddb", "1 5 9\n"),
            ],
        );
        let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert!(
            found.obstacles[0].starts_with("work is a mailbox"),
            "{found:?}"
        );
        assert!(!root.join("dovecot-uidlist").exists());
        // And the other way; without it both are taken as they are.
        let form = Form {
            layout: Layout::Nested,
            ..Form::default()
        };
        let found = adopt(root, &form, true, &mut |_| ()).unwrap();
        assert!(found.obstacles[0].starts_with(".Sent is"), "{found:?}");
        fs::remove_dir_all(root.join(".Sent")).unwrap();
        let mut names = Vec::new();
        let mut each = |a: &Adopted| names.push(a.name.to_string());
        let found = adopt(root, &form, false, &mut each).unwrap();
        assert_eq!(
            (names, found.obstacles.len()),
            (vec!["INBOX".to_owned(), "work".to_owned()], 0)
        );
        fs::create_dir_all(root.join("4fb6c116d078086ba608000083ecc375/cur")).unwrap();
        let found = adopt(root, &form, true, &mut |_| ()).unwrap();
        assert!(found.obstacles[0].contains("(LAYOUT=index)"), "{found:?}");
    }

    #[test]
    fn more_keywords_than_letters_are_suspected() {
        // Those that only Dovecot's index has were dropped without a word where nobody had run `adopt`.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let name =
            |count: usize| -> String { (0..count).map(|at| format!("{at} k{at}\n")).collect() };
        fs::write(path.join(keywords::FILE), name(26)).unwrap();
        assert!(!may_have_more(path));
        fs::write(path.join("dovecot.index.log"), "").unwrap();
        assert!(may_have_more(path));
        fs::write(path.join(keywords::FILE), name(25)).unwrap();
        assert!(!may_have_more(path));
        fs::write(path.join(keywords::FILE), name(26)).unwrap();
        let mut uids = UidSet::new();
        uids.insert(Uid::MIN);
        let all = vec![(Keyword::new("k26").unwrap(), uids)];
        beyond::write(path, &all).unwrap();
        assert!(!may_have_more(path));
    }
}
