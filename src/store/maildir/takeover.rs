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
use crate::store::side::dotted::mailbox_name;
use crate::store::side::subscriptions::{self, Kind};
use crate::store::side::{beyond, regular};
use crate::store::{Error, Store, dovecot};
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
    for adopted in found.mailboxes.iter().filter(|m| !m.beyond.is_empty()) {
        // An index that is made anew reads them there.
        let path = store.path(&adopted.name)?;
        if let Some(validity) = UidValidity::new(adopted.uid_validity)
            && !beyond::is_kept(&path)
        {
            beyond::write_of(&path, validity, &adopted.beyond)?;
        }
    }
    subscribe(root, store.subscribed_in())?;
    Ok(found)
}

/// Mailboxes of Maildir++ that no mailbox here can be called like, a clause each.
fn nameless(root: &Path, layout: Layout) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    for entry in entries(root)? {
        let file = entry?.file_name();
        let dotted = file.as_encoded_bytes().strip_prefix(b".");
        let is_nameless = dotted.is_some_and(|name| mailbox_name(name).is_none());
        let path = root.join(&file);
        if layout == Layout::Dotted
            && is_nameless
            && !mailboxes::is_staged(&file)
            && path.join("cur").is_dir()
        {
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
    let named = keywords::parse(&regular::read(&path.join(keywords::FILE)).unwrap_or_default());
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
    if is_up_to_date(path) {
        adopted.keywords += beyond::read(path)?.len();
    } else {
        look_beyond(path, &named, &mut adopted)?;
    }
    Ok(adopted)
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
    let named = || keywords::parse(&regular::read(&path.join(keywords::FILE)).unwrap_or_default());
    has_index && !beyond::is_kept(path) && named().iter().flatten().count() == keywords::MAX_LETTERS
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

/// Keywords that have no letter, of which Dovecot's index knows.
pub(super) fn look_beyond(
    path: &Path,
    named: &[Option<Keyword>],
    adopted: &mut Adopted,
) -> Result<(), Error> {
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

    /// A Maildir of Courier's, of which IMAP knows two messages, and POP3 three.
    fn make_courier(root: &Path) {
        make(
            root,
            &[
                ("cur/1.a:2,S", "one\n"),
                ("new/2.b", "two\n"),
                ("cur/3.c:2,F", "three\n"),
                ("courierimapuiddb", "1 1234567890 9\n4 1.a\n7 2.b\n"),
                (
                    "courierpop3dsizelist",
                    "/2 55 77\n1.a 4 40:77\n2.b 5 0:0\n3.c 6 42:1234\n9.gone 8 43:77\n",
                ),
                (
                    "courierimapkeywords/:list",
                    "$Forwarded\nwork\n\n1.a:0 1\n2.b:1\n3.c:0\n",
                ),
                ("courierimapkeywords/.7.3.c", "earlier\n"),
                ("courierimapkeywords/.12.3.c", "later\nno atom\n"),
                ("courierimapkeywords/1.a", "work\n"),
                ("courierimapsubscribed", "INBOX.Sent\n"),
            ],
        );
    }

    /// UIDs, names, flags, keywords and other names of the messages in INBOX.
    fn found_in(root: &Path) -> Vec<String> {
        let mut store = Maildir::open(root, Layout::Dotted).unwrap();
        let scanned = store.scan(&MailboxName::inbox()).unwrap();
        assert_eq!(scanned.state.uid_validity.number(), 1_234_567_890);
        assert_eq!(scanned.state.uid_next.number(), 10);
        let named = |letters: u32| -> Vec<&str> {
            let all = scanned.state.keywords.iter().enumerate();
            let own = all.filter(|(at, _)| letters >> at & 1 == 1);
            own.filter_map(|(_, k)| k.as_ref().map(Keyword::as_str))
                .collect()
        };
        let shown = scanned.found.iter().map(|found| {
            let blob = &found.blob;
            let (uid, alias) = (found.uid.unwrap(), scanned.aliases.iter());
            let alias = alias
                .clone()
                .find(|(own, _)| *own == uid)
                .map(|(_, words)| &**words);
            let keywords = named(blob.letters).join(",");
            format!(
                "{uid} {} {} {keywords} {alias:?}",
                blob.name,
                blob.flags.bits()
            )
        });
        shown.collect()
    }

    const COURIERS: [&str; 3] = [
        "4 1.a 8 work Some(\"PUID40-77\")",
        "7 2.b 0 work Some(\"P2.b\")",
        "9 3.c 2 later Some(\"PUID42-1234\")",
    ];

    #[test]
    fn unique_ids_and_keywords_are_couriers() {
        // Of the unique-ids nothing was said, keywords were told to be lost.
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        make_courier(root);
        let dry = adopt(root, &Form::default(), true, &mut |_| ()).unwrap();
        let inbox = &dry.mailboxes[0];
        assert_eq!((inbox.keywords, inbox.uidls, inbox.uid_next), (2, 3, 10));
        assert_eq!(inbox.lost, ["the keyword \"no atom\", which IMAP has not"]);
        assert!(root.join("new/2.b").exists() && !root.join("dovecot-uidlist").exists());
        adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert!(root.join("cur/1.a:2,Sb").exists());
        assert_eq!(found_in(root), COURIERS);
        assert!(courier::convert(root, Default::default()).is_ok());
        assert_eq!(found_in(root), COURIERS);
    }

    #[test]
    fn what_is_couriers_is_kept_where_nobody_adopted_it() {
        // All got another UIDVALIDITY and other UIDs, without a word.
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        make_courier(root);
        assert_eq!(found_in(root), COURIERS);
        let mut store = Maildir::open(root, Layout::Dotted).unwrap();
        let sent = MailboxName::new("Sent").unwrap();
        store.subscribe(&MailboxName::inbox(), true).unwrap();
        let expected = [sent, MailboxName::inbox()];
        assert_eq!(store.subscriptions().unwrap(), expected);
        // What is lost later is not Courier's any more, which gave fewer UIDs.
        fs::remove_file(root.join("dovecot-uidlist")).unwrap();
        let scanned = store.scan(&MailboxName::inbox()).unwrap();
        assert!(!scanned.header_known);
    }

    #[test]
    fn more_keywords_than_letters_are_couriers() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let names: String = (10..40).map(|at| format!("k{at}\n")).collect();
        let numbers: Vec<String> = (0..30).map(|at| at.to_string()).collect();
        let list = format!("{names}\n1.a:{}\n", numbers.join(" "));
        make(
            root,
            &[
                ("new/1.a", "one\n"),
                ("courierimapkeywords/:list", &list),
                ("dovecot-keywords", "0 k39\n"),
            ],
        );
        let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert_eq!(found.mailboxes[0].keywords, 30);
        assert!(root.join("cur/1.a:2,abcdefghijklmnopqrstuvwxyz").exists());
        let beyond = beyond::read(root).unwrap();
        let names: Vec<&str> = beyond.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(names, ["k35", "k36", "k37", "k38"]);
        let mut store = Maildir::open(root, Layout::Dotted).unwrap();
        let scanned = store.scan(&MailboxName::inbox()).unwrap();
        assert_eq!(scanned.found[0].uid, Some(Uid::MIN));
        let kept = store.beyond(&MailboxName::inbox(), scanned.state.uid_validity);
        assert_eq!(kept.unwrap(), beyond);
    }

    #[test]
    fn what_has_no_name_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        make(
            root,
            &[(".a..b/cur/1.a:2,S", "one\n"), (".a..b/new/2.b", "two\n")],
        );
        fs::create_dir_all(root.join("..dovelet-new-1/cur")).unwrap();
        let found = adopt(root, &Form::default(), true, &mut |_| ()).unwrap();
        assert_eq!(
            found.lost,
            [
                "2 messages in .a..b, which is no name of a mailbox: rename the directory to have them"
            ]
        );
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
    fn side_files_that_are_elsewhere_are_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        make(root, &[("cur/1.a:2,Sab", "one\n"), ("new/2.b", "two\n")]);
        let told = |sign: &str| {
            let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
            assert!(found.obstacles[0].contains(sign), "{found:?}");
            assert!(found.obstacles[0].contains("CONTROL=DIR"), "{found:?}");
            assert_eq!(found.obstacles.len(), 1);
        };
        told("messages with letters of keywords");
        fs::write(root.join("dovecot.index.log"), "").unwrap();
        told("an index of Dovecot's");
        // What tells what is meant is one that is there.
        fs::write(root.join(keywords::FILE), "").unwrap();
        told("an index of Dovecot's");
        fs::remove_file(root.join("dovecot.index.log")).unwrap();
        let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert!(found.obstacles.is_empty(), "{found:?}");
        // And where they are, there is nothing to tell.
        fs::remove_file(root.join(keywords::FILE)).unwrap();
        fs::write(root.join(uidlist::FILE), "3 V1 N9\n4 :1.a\n").unwrap();
        let found = adopt(root, &Form::default(), false, &mut |_| ()).unwrap();
        assert!(found.obstacles.is_empty(), "{found:?}");
        let lost = found.mailboxes[0].lost.join("\n");
        assert!(lost.contains("2 letters of keywords that"), "{lost}");
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
