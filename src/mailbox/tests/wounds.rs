//! Files of the store that are gone, cut off, turned, doubled or unreadable, in each format, with the index that
//! was there and without: the rest of the mail is served as it was, and the log says so in few lines.

use super::platter::Dice;
use super::power_cut::temporary;
use super::{append, flags, name, uids};
use crate::config::Format;
use crate::mail::{Flags, SystemFlags};
use crate::mailbox::{Access, Account, Error, FlagChange, Host, Limits, Want};
use crate::mime::Section;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MAILBOXES: [&str; 2] = ["INBOX", "other"];
const MESSAGES: u32 = 12;
/// Lines of the log: two for each message that is read twice, and a few more.
const MAX_LINES: usize = 2 * MESSAGES as usize + 8;

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Wound {
    Gone,
    Cut,
    Emptied,
    Turned,
    Garbage,
    Longer,
    Doubled,
    Renamed,
    Directory,
}

const WOUNDS: [Wound; 9] = [
    Wound::Gone,
    Wound::Cut,
    Wound::Emptied,
    Wound::Turned,
    Wound::Garbage,
    Wound::Longer,
    Wound::Doubled,
    Wound::Renamed,
    Wound::Directory,
];

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Collector;

impl log::Log for Collector {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.with(|lines| lines.borrow_mut().push(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Lines that this thread logged since it was last asked.
pub(super) fn logged() -> Vec<String> {
    static COLLECTOR: Collector = Collector;
    if log::set_logger(&COLLECTOR).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    LINES.take()
}

/// UID, flags and text of a message; `None`: it cannot be read.
pub(super) type Seen = (u32, u8, Option<String>);

pub(super) fn look(account: &Account, mailbox: &str) -> Result<Vec<Seen>, Error> {
    let view = account.select(&name(mailbox), Access::ReadWrite)?;
    let want = Want {
        body: true,
        ..Want::default()
    };
    let mut rows = view.fetch(view.uids().clone(), want);
    let mut all = Vec::new();
    while rows.advance()? {
        let (uid, bits) = (rows.uid().number(), rows.flags().bits());
        let mut text = Vec::new();
        let read = rows.content(&Section::default()).and_then(|content| {
            let Some(mut content) = content else {
                return Ok(false);
            };
            while content.read(&mut text, 4096)? > 0 {}
            Ok(true)
        });
        let text = String::from_utf8_lossy(&text).into_owned();
        all.push((uid, bits, (read == Ok(true)).then_some(text)));
    }
    Ok(all)
}

pub(super) fn opened(root: &Path, format: Format) -> (Host, Account) {
    let host = Host::open_in(&root.join("index"), format, Limits::default()).unwrap();
    let account = host.account("u", &root.join("mail")).unwrap();
    (host, account)
}

pub(super) fn prepared(root: &Path, format: Format) -> BTreeMap<&'static str, Vec<Seen>> {
    let (host, account) = opened(root, format);
    account.create(&name("other")).unwrap();
    account.subscribe(&name("other"), true).unwrap();
    for number in 0..MESSAGES {
        let with = flags(SystemFlags::from_bits(number as u8 & 3), &["k"]);
        append(&account, "INBOX", &format!("number {number}"), &with);
    }
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    view.copy(&uids(&[2, 3]), &name("other")).unwrap();
    view.transfer(&uids(&[4]), &name("other")).unwrap();
    let deleted = flags(SystemFlags::DELETED, &[]);
    view.mark(&uids(&[5]), FlagChange::Add, &deleted, None)
        .unwrap();
    view.expunge(None).unwrap();
    drop(view);
    host.flush().unwrap();
    let seen = MAILBOXES.map(|mailbox| (mailbox, look(&account, mailbox).unwrap()));
    drop(account);
    host.close().unwrap();
    seen.into()
}

pub(super) fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
    found.sort();
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn strike(path: &Path, wound: Wound, dice: &mut Dice) {
    let mut bytes = fs::read(path).unwrap();
    let file = path.file_name().unwrap().to_str().unwrap();
    let length = bytes.len() as u64;
    match wound {
        Wound::Gone => return fs::remove_file(path).unwrap(),
        Wound::Cut => bytes.truncate(dice.below(length.max(1)) as usize),
        Wound::Emptied => bytes.clear(),
        Wound::Turned => {
            for _ in 0..=dice.below(8) {
                let at = dice.below(length.max(1)) as usize;
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << dice.below(8);
                }
            }
        }
        Wound::Garbage => bytes = b"\xff\0 nothing that anybody wrote\r\n".repeat(20),
        Wound::Longer => bytes.extend_from_slice(b"more of it, without an end"),
        Wound::Doubled => {
            let other = path.with_file_name(format!("copy-of-{file}"));
            fs::copy(path, other).unwrap();
            return;
        }
        Wound::Renamed => {
            let other = path.with_file_name(format!("renamed-{file}"));
            return fs::rename(path, other).unwrap();
        }
        Wound::Directory => {
            fs::remove_file(path).unwrap();
            return fs::create_dir(path).unwrap();
        }
    }
    fs::write(path, bytes).unwrap();
}

/// Texts of the messages that a file holds, none for a side file.
pub(super) fn texts_in(path: &Path) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let subjects = text.split("Subject: ").skip(1);
    subjects
        .map(|rest| rest.split(['\r', '\n']).next().unwrap().to_owned())
        .collect()
}

fn subject(seen: &Seen) -> Option<&str> {
    let (_, rest) = seen.2.as_ref()?.split_once("Subject: ")?;
    rest.split_once("\r\n").map(|(subject, _)| subject)
}

/// What is wrong with what is served.
fn compare(
    before: &BTreeMap<&'static str, Vec<Seen>>,
    account: &Account,
    hit: &BTreeSet<String>,
    format: Format,
) -> Result<(), String> {
    let is_message = !hit.is_empty();
    let mut anywhere = BTreeSet::new();
    for mailbox in MAILBOXES {
        let now = look(account, mailbox).map_err(|error| format!("{mailbox}: {error:?}"))?;
        anywhere.extend(now.into_iter().filter_map(|message| message.2));
    }
    for mailbox in MAILBOXES {
        let now = look(account, mailbox).map_err(|error| format!("{mailbox}: {error:?}"))?;
        let mut uids_now = BTreeSet::new();
        for message in &now {
            if !uids_now.insert(message.0) {
                return Err(format!("{mailbox}: UID {} is twice", message.0));
            }
        }
        for old in &before[mailbox] {
            let own = subject(old).unwrap();
            // What was moved is known to have come from elsewhere only by its log.
            let moved = format == Format::Mdbox && mailbox == "other" && own == "number 3";
            if hit.contains(own) || moved && !is_message {
                continue;
            }
            let found = now.iter().filter(|new| subject(new) == Some(own));
            let found: Vec<&Seen> = found.collect();
            let same = match is_message {
                // Nothing of it is anywhere else.
                true => found == [old],
                // UIDs and flags are what side files are for, and copies in an mdbox.
                false => old.2.as_ref().is_some_and(|text| anywhere.contains(text)),
            };
            if !same {
                return Err(format!("{mailbox}: {old:?} is {found:?}"));
            }
        }
    }
    Ok(())
}

fn survives(format: Format) {
    let directory = temporary();
    let root = directory.path();
    let before = prepared(root, format);
    let mut all = Vec::new();
    files(&root.join("mail"), &mut all);
    let mut dice = Dice::new(7);
    let mut wrong = Vec::new();
    for path in &all {
        let relative = path.strip_prefix(root).unwrap();
        let hit = texts_in(path);
        for wound in WOUNDS {
            // Nothing makes a directory of a file in which there is more.
            let removed = matches!(wound, Wound::Gone | Wound::Renamed);
            let is_mailbox = format == Format::Mbox && !hit.is_empty();
            if matches!(wound, Wound::Directory) && hit.len() != 1 || removed && is_mailbox {
                continue;
            }
            for with_index in [true, false] {
                let other = temporary();
                copy(&root.join("mail"), &other.path().join("mail"));
                if with_index {
                    fs::copy(root.join("index"), other.path().join("index")).unwrap();
                }
                strike(&other.path().join(relative), wound, &mut dice);
                logged();
                let what = format!("{format:?} {} {wound:?} {with_index}", relative.display());
                let (host, account) = opened(other.path(), format);
                if let Err(error) = compare(&before, &account, &hit, format) {
                    wrong.push(format!("{what}: {error}"));
                }
                let mut draft = account.draft();
                let filed = draft
                    .write(b"Subject: after\r\n\r\nText\r\n")
                    .and_then(|()| {
                        account.append(&name("other"), &mut draft, &Flags::default(), None)
                    });
                if let Err(error) = filed {
                    wrong.push(format!("{what}: append: {error:?}"));
                }
                let lines = logged();
                if lines.len() > MAX_LINES {
                    wrong.push(format!("{what}: {} lines: {lines:#?}", lines.len()));
                }
                drop(account);
                host.close().ok();
            }
        }
    }
    println!("{format:?}: {} files, {} ways", all.len(), WOUNDS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_maildir_is_served_whatever_happens_to_a_file() {
    survives(Format::Maildir);
}

#[test]
fn an_sdbox_is_served_whatever_happens_to_a_file() {
    survives(Format::Sdbox);
}

#[test]
fn an_mdbox_is_served_whatever_happens_to_a_file() {
    survives(Format::Mdbox);
}

#[test]
fn an_mbox_is_served_whatever_happens_to_a_file() {
    survives(Format::Mbox);
}
