//! Taking over what Dovecot wrote as sdbox or mdbox: its files of messages stay where and as they are, and
//! the log of each mailbox is made of its index. All logs are written under another name first, so that all
//! mailboxes are taken over or none.

use super::files::{Files, directory};
use super::indexed;
use super::layout::{self, MAILS};
use super::line::{self, Contents, MAX_LETTERS, Message};
use super::log::Log;
use super::recover::{without_index, without_map};
use super::source::{Around, Source};
use crate::config::{Form, Format};
use crate::mail::{Guid, Keyword, MailboxName, Uid, UidSet, UidValidity};
use crate::store::Error;
use crate::store::adopt::{Adopted, Found};
use crate::store::dovecot::{self, Cache, Index};
use crate::store::side::beyond::{self, Beyond};
use crate::store::side::disk;
use crate::store::side::uid_validity::{next, random_guid};
use crate::sys::regular;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const INDEX: &str = "dovecot.index";
const LOG: &str = "dovecot.index.log";
/// Extensions of a mailbox's index that are looked at.
const WANTED: [&str; 2] = ["cache", "mdbox"];
/// What a log is called until all are written.
const STAGED: &str = "dovelet.log.adopted";
/// What the name of a file begins with that no index names.
const ASIDE: &str = "dovelet-left.";
/// What sets right what Dovecot wrote.
const RESYNC: &str = "let Dovecot mend it first: doveadm force-resync -u USER '*'";

/// Which of the two lies there.
pub(crate) fn format_of(root: &Path) -> Option<Format> {
    if !has_mailboxes(root) {
        return None;
    }
    // Whatever is in it: a purge removes `m.1`, too, and all messages may be put aside.
    let many = root.join("storage").is_dir();
    Some(if many { Format::Mdbox } else { Format::Sdbox })
}

/// True if mailboxes of either kind are there.
pub(crate) fn has_mailboxes(root: &Path) -> bool {
    root.join(layout::MAILBOXES).is_dir()
}

/// True if there are files of messages of that kind, or were.
pub(crate) fn has_files(root: &Path, format: Format) -> bool {
    match format {
        // A purge removes `m.1`, too, and all messages may be put aside.
        Format::Mdbox => {
            fs::read_dir(root.join("storage")).is_ok_and(|mut all| all.next().is_some())
        }
        _ => has_single(&root.join(layout::MAILBOXES)),
    }
}

/// True if a mailbox below has a file of its own for a message.
fn has_single(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    let mut below = Vec::new();
    for entry in entries.flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory {
            below.push(entry.path());
        } else if super::sdbox::uid_in(entry.file_name().as_encoded_bytes()).is_some() {
            return true;
        }
    }
    below.iter().any(|path| has_single(path))
}

/// Looks at all mailboxes and tells `each`; takes them over unless `dry` or something is in the way.
pub(crate) fn adopt(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    let mut found = Found::new(form.format);
    let mut source = match form.format {
        Format::Mdbox if is_without_map(root) => {
            found.obstacles.push(without_map(&directory(root)));
            return Ok(found);
        }
        Format::Mdbox => match Source::many(root, form.alternate.as_deref()) {
            Err(Error::Corrupt { what }) => {
                found.obstacles.push(format!("{what} is damaged: {RESYNC}"));
                return Ok(found);
            }
            source => source?,
        },
        _ => Source::Single,
    };
    let mut staged = Staged(Vec::new());
    let all = indexed::found(root, &mut found.obstacles)?;
    let directories: Vec<&Path> = all.iter().map(|one| one.directory.as_path()).collect();
    tell_strays(&root.join(layout::MAILBOXES), &directories, &mut found)?;
    for indexed::Found { storage, directory } in &all {
        let shown = String::from_utf8_lossy(storage).into_owned();
        let name = layout::mailbox_name(storage);
        let spelt = name.as_ref().and_then(layout::storage_name);
        let Some(name) = name.filter(|_| spelt.is_some_and(|own| own.as_bytes() == storage)) else {
            found.obstacles.push(format!(
                "{shown} is no name of a mailbox in modified UTF-7: rename the directory"
            ));
            continue;
        };
        let mut mailbox = Mailbox {
            name: &name,
            directory,
            obstacles: &mut found.obstacles,
            attachments: form.attachments.as_deref(),
        };
        let Some((adopted, contents)) = mailbox.look(root, &mut source, dry)? else {
            continue;
        };
        each(&adopted);
        if let Some(contents) = contents.filter(|_| !dry && found.obstacles.is_empty()) {
            Log::write(&directory.join(STAGED), &contents)?;
            let validity = contents.known.map(|(validity, _)| validity);
            let validity = validity.filter(|_| adopted.tells_beyond);
            staged.0.push(Ready {
                directory: directory.clone(),
                beyond: validity.map(|validity| (validity, adopted.beyond.clone())),
            });
        }
        found.mailboxes.push(adopted);
    }
    if found.obstacles.is_empty() {
        staged.place()?;
        if !dry {
            indexed::name(root, &all)?;
            make_inbox(root)?;
        }
    }
    Ok(found)
}

/// Dovecot has none where nobody used it, as in a namespace of other mailboxes. Durable.
fn make_inbox(root: &Path) -> Result<(), Error> {
    let directory = [layout::MAILBOXES, "INBOX", MAILS];
    let directory = directory
        .iter()
        .fold(root.to_owned(), |path, part| path.join(part));
    let log = directory.join(line::FILE);
    if log.exists() {
        return Ok(());
    }
    disk::make_tree(&directory)?;
    let contents = Contents {
        known: Some((next(root)?, random_guid()?)),
        ..Contents::default()
    };
    Log::write(&log, &contents)
}

fn is_without_map(root: &Path) -> bool {
    Files::looked_at(root, None).map().is_none()
}

/// A directory with a log under another name.
struct Ready {
    directory: PathBuf,
    /// What the side file of keywords without letters is to say.
    beyond: Option<(UidValidity, Beyond)>,
}

/// The logs go with the value.
struct Staged(Vec<Ready>);

impl Staged {
    /// Gives them their name. Durable.
    fn place(mut self) -> Result<(), Error> {
        for Ready { directory, beyond } in std::mem::take(&mut self.0) {
            // Whoever finds the log finds that, too.
            if let Some((validity, beyond)) = beyond {
                beyond::write_of(&directory, validity, &beyond)?;
            }
            set_aside(&directory)?;
            disk::rename_over(&directory.join(STAGED), &directory.join(line::FILE))?;
            disk::sync_directory_at(&directory)?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for ready in &self.0 {
            let _ = disk::remove(&ready.directory.join(STAGED));
        }
    }
}

/// Other names for files of messages that the new log does not have, so that they are none.
fn set_aside(directory: &Path) -> Result<(), Error> {
    let log = regular::read(&directory.join(STAGED))?;
    let messages = Contents::parse(&log).messages;
    for uid in single_files(directory)? {
        if !messages.contains_key(&uid) {
            let file = format!("u.{uid}");
            let aside = directory.join(format!("{ASIDE}{file}"));
            disk::rename_over(&directory.join(file), &aside)?;
        }
    }
    Ok(())
}

/// Tells of directories at and below that one which have what a mailbox has, and are none of these.
fn tell_strays(directory: &Path, known: &[&Path], found: &mut Found) -> io::Result<()> {
    if known.contains(&directory) || directory.ends_with(MAILS) {
        return Ok(());
    }
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let (mut messages, mut indexed) = (0, false);
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name();
        if entry.file_type()?.is_dir() {
            // Whatever it is called: a mailbox may be called as files are.
            tell_strays(&entry.path(), known, found)?;
            continue;
        }
        messages += usize::from(super::sdbox::uid_in(file.as_encoded_bytes()).is_some());
        indexed |= file == INDEX || file == LOG;
    }
    if messages > 0 || indexed {
        let path = directory.display();
        found.obstacles.push(format!(
            "{path} has {messages} files of messages or an index of Dovecot's, and is not called {MAILS}: if \
             Dovecot's mail_location has DIRNAME= or FULLDIRNAME=, stop Dovecot and rename each such directory to \
             {MAILS}, then try again; if nothing of it is wanted, move it away"
        ));
    }
    Ok(())
}

/// UIDs of the files of single messages.
fn single_files(directory: &Path) -> io::Result<Vec<Uid>> {
    let mut uids = Vec::new();
    for entry in fs::read_dir(directory)? {
        uids.extend(super::sdbox::uid_in(entry?.file_name().as_encoded_bytes()));
    }
    Ok(uids)
}

struct Mailbox<'a> {
    name: &'a MailboxName,
    directory: &'a Path,
    obstacles: &'a mut Vec<String>,
    attachments: Option<&'a Path>,
}

impl Mailbox<'_> {
    /// What it has, and what its log is to say; no log if it has one.
    fn look(
        &mut self,
        root: &Path,
        source: &mut Source,
        dry: bool,
    ) -> Result<Option<(Adopted, Option<Contents>)>, Error> {
        let mut adopted = Adopted::new(self.name);
        let log = self.directory.join(line::FILE);
        if log.exists() {
            adopted.known = true;
            adopted.tell(&Contents::parse(&regular::read(&log)?));
            // It may have been broken off before the index was told.
            adopted.tells_beyond = beyond::is_kept(self.directory);
            return Ok(Some((adopted, None)));
        }
        let index = match dovecot::load(self.directory, INDEX, &WANTED) {
            Err(Error::Corrupt { what }) => {
                self.obstruct(&format!("{what} is damaged: {RESYNC}"));
                return Ok(None);
            }
            index => index?,
        };
        let mut contents = Contents::default();
        let files = single_files(self.directory)?;
        match &index {
            None if !files.is_empty() => {
                self.obstruct(&without_index(self.directory, files.len()));
                return Ok(None);
            }
            // One that was made anew where the one that counts is elsewhere, or was lost.
            Some(index) if !files.is_empty() && index.rows.is_empty() => {
                let count = files.len();
                self.obstruct(&format!(
                    "its index names no message, and {count} files have some: {RESYNC}"
                ));
                return Ok(None);
            }
            _ => {}
        }
        if let Some(index) = &index {
            if !source.has(index) {
                self.obstruct(&format!(
                    "its index is of another dovecot.map.index: {RESYNC}"
                ));
                return Ok(None);
            }
            self.take(source, index, &mut contents, &mut adopted)?;
        }
        if contents.known.is_none() {
            adopted
                .lost
                .push("no index says its UIDVALIDITY: it has a new one".to_owned());
            let validity = if dry { None } else { Some(next(root)?) };
            contents.known = validity.zip(Some(random_guid()?));
        }
        let is_left = |uid: &&Uid| !contents.messages.contains_key(uid);
        let left = files.iter().filter(is_left).count();
        if left > 0 {
            adopted.lost.push(format!(
                "{left} files have messages that no index names; they are called {ASIDE}u.N then"
            ));
        }
        adopted.tell(&contents);
        adopted.tells_beyond = !adopted.beyond.is_empty() || beyond::is_kept(self.directory);
        Ok(Some((adopted, Some(contents))))
    }

    fn obstruct(&mut self, why: &str) {
        self.obstacles.push(format!("{}: {why}", self.name));
    }

    fn take(
        &mut self,
        source: &mut Source,
        index: &Index,
        contents: &mut Contents,
        adopted: &mut Adopted,
    ) -> Result<(), Error> {
        let guid = index.extension_header(source.header()).get(4..20);
        let guid = guid.and_then(|guid| guid.try_into().ok()).map(Guid);
        let guid = match guid.filter(|guid| guid.0 != [0; 16]) {
            Some(guid) => guid,
            None => random_guid()?,
        };
        contents.known = UidValidity::new(index.uid_validity()).zip(Some(guid));
        contents.uid_next = Uid::new(index.next_uid());
        let cache = match index.reset_id("cache") {
            Some(reset_id) => Cache::load(self.directory, reset_id)?,
            None => None,
        };
        let keywords = Keywords::of(index, adopted);
        contents.keywords = keywords.lettered();
        let (mut gone, mut elsewhere, mut changed, mut broken) = (0, 0, Vec::new(), 0);
        for (number, row) in &index.rows {
            let Some(uid) = Uid::new(*number) else {
                continue;
            };
            let around = Around {
                directory: self.directory,
                index,
                cache: cache.as_ref(),
                attachments: self.attachments,
            };
            let Some(taken) = source.take(&around, uid)? else {
                match row.flags & dovecot::BACKEND {
                    0 => gone += 1,
                    _ => elsewhere += 1,
                }
                continue;
            };
            changed.extend(taken.changed);
            broken += usize::from(taken.broken);
            let mut letters = 0;
            for keyword in &row.keywords {
                letters |= keywords.put(*keyword, uid, adopted);
            }
            let uidl = taken
                .uidl
                .filter(|uidl| uidl.bytes().all(|b| b.is_ascii_graphic()));
            let message = Message {
                flags: dovecot::flags(row.flags),
                letters,
                uidl,
                ..Message::unmarked(taken.record.to_string().into())
            };
            contents.messages.insert(uid, message);
        }
        if gone > 0 {
            adopted
                .lost
                .push(format!("{gone} messages are not where its index says"));
        }
        if broken > 0 {
            adopted.lost.push(format!(
                "{broken} messages lack attachments that Dovecot kept apart: they cannot be read"
            ));
        }
        if elsewhere > 0 {
            self.obstruct(&format!(
                "{elsewhere} messages are in alternate storage: have Dovecot move them back first: \
                 doveadm altmove -r -u USER all"
            ));
        }
        if let Some(how) = changed.first() {
            let count = changed.len();
            self.obstruct(&format!(
                "{count} messages are {how}, which dovelet does not read: have Dovecot convert the mail \
                 without that first (doveadm sync)"
            ));
        }
        Ok(())
    }
}

/// Which of an index's keywords have letters.
struct Keywords(Vec<Option<(usize, Keyword)>>);

impl Keywords {
    fn of(index: &Index, adopted: &mut Adopted) -> Keywords {
        let mut used = vec![false; index.keywords.len()];
        for keyword in index.rows.values().flat_map(|row| &row.keywords) {
            if let Some(used) = used.get_mut(usize::from(*keyword)) {
                *used = true;
            }
        }
        let mut all = Vec::new();
        let mut count = 0;
        for (name, used) in index.keywords.iter().zip(used) {
            let keyword = Keyword::new(name).filter(|_| used);
            if used && keyword.is_none() {
                adopted
                    .lost
                    .push(format!("the keyword {name:?}, which IMAP has not"));
            }
            all.push(keyword.map(|keyword| (count, keyword)));
            count += usize::from(all.last().is_some_and(Option::is_some));
        }
        adopted.keywords = count;
        let beyond = all.iter().flatten().skip(MAX_LETTERS);
        adopted.beyond = beyond.map(|(_, k)| (k.clone(), UidSet::new())).collect();
        Keywords(all)
    }

    fn lettered(&self) -> Vec<Option<Keyword>> {
        let named = self.0.iter().flatten().take(MAX_LETTERS);
        named.map(|(_, keyword)| Some(keyword.clone())).collect()
    }

    /// The letter of a keyword that a message has, or none.
    fn put(&self, keyword: u16, uid: Uid, adopted: &mut Adopted) -> u32 {
        match self.0.get(usize::from(keyword)) {
            Some(Some((number, _))) if *number < MAX_LETTERS => 1 << number,
            Some(Some((number, _))) => {
                if let Some((_, uids)) = adopted.beyond.get_mut(number - MAX_LETTERS) {
                    uids.insert(uid);
                }
                0
            }
            _ => 0,
        }
    }
}

impl Adopted {
    fn tell(&mut self, contents: &Contents) {
        self.messages = contents.messages.len();
        self.uid_validity = contents.known.map_or(0, |(validity, _)| validity.number());
        self.uid_next = contents.uid_next.map_or(1, Uid::number);
        let named = contents.keywords.iter().flatten().count();
        self.keywords = self.keywords.max(named);
        let messages = contents.messages.values();
        self.uidls = messages.filter(|message| message.uidl.is_some()).count();
    }
}
