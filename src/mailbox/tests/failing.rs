//! The disk fails at each change that the store of an account makes, in each way in which disks do: what was
//! acknowledged is there, once and under its UID, the rest is served, and who reads and deletes can do so
//! while the disk is full.

use super::power_cut::temporary;
use super::{flags, name, uids};
use crate::config::{Form, Format, Layout};
use crate::index::Index;
use crate::mail::{Flags, SystemFlags};
use crate::mailbox::{Access, Account, Error, FlagChange, Host, Limits, View, Want};
use crate::mime::Section;
use crate::store::faults::{self, Failing};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ERRORS: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS];

/// What is known of a message in a mailbox.
#[derive(Clone, Debug, Default)]
struct Known {
    /// It may be gone: its going was not acknowledged, or its coming.
    open: bool,
    uid: Option<u32>,
    /// `None`: a change of them was not acknowledged.
    flags: Option<(u8, BTreeSet<String>)>,
}

/// What a client was told.
#[derive(Debug, Default)]
struct Told {
    /// By mailbox and subject.
    messages: BTreeMap<(&'static str, &'static str), Known>,
    /// By UIDVALIDITY and UID.
    ever: BTreeMap<(u32, u32), String>,
    /// Mailboxes one of which has what the others lack.
    together: Vec<(&'static str, Vec<&'static str>)>,
}

fn subject_of(rows: &mut crate::mailbox::Rows) -> Result<String, Error> {
    let mut text = Vec::new();
    let mut content = rows.content(&Section::default())?.ok_or(Error::Expunged)?;
    while content.read(&mut text, 1000)? > 0 {}
    let text = String::from_utf8(text).unwrap();
    let (_, rest) = text.split_once("Subject: ").unwrap();
    let (subject, _) = rest.split_once("\r\n").unwrap();
    assert!(text.ends_with(&format!("body of {subject}\r\n")), "{text}");
    Ok(subject.to_owned())
}

/// Subject, UID and flags of all messages.
type Found = Vec<(String, u32, (u8, BTreeSet<String>))>;

fn look(view: &View) -> Result<Found, Error> {
    let want = Want {
        body: true,
        ..Want::default()
    };
    let keywords = view.keywords().to_vec();
    let mut rows = view.fetch(view.uids().clone(), want);
    let mut found = Vec::new();
    while rows.advance()? {
        let own = rows.keywords().iter();
        let named = own.filter_map(|at| keywords.get(usize::from(*at))?.clone());
        let named = named.map(|keyword| keyword.as_str().to_owned()).collect();
        let (uid, bits) = (rows.uid().number(), rows.flags().bits());
        match subject_of(&mut rows) {
            Ok(subject) => found.push((subject, uid, (bits, named))),
            // Of a copy that failed there may be a row, until the mailbox is compared with the files.
            Err(Error::Expunged) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

struct Client<'a> {
    host: &'a Host,
    account: &'a Account,
    told: &'a mut Told,
}

impl Client<'_> {
    fn view(&self, mailbox: &str) -> Result<View, Error> {
        self.account.select(&name(mailbox), Access::ReadWrite)
    }

    fn append(&mut self, mailbox: &'static str, subject: &'static str, with: &Flags) {
        let mut draft = self.account.draft();
        let text = format!("Subject: {subject}\r\nFrom: a@b\r\n\r\nbody of {subject}\r\n");
        let written = draft.write(text.as_bytes());
        let appended =
            written.and_then(|()| self.account.append(&name(mailbox), &mut draft, with, None));
        let uid = appended.ok().and_then(|done| done.uids.last());
        let keywords = with.keywords.iter().map(|k| k.as_str().to_owned());
        let known = Known {
            open: uid.is_none(),
            uid: uid.map(|uid| uid.number()),
            flags: Some((with.system.bits(), keywords.collect())),
        };
        self.told.messages.insert((mailbox, subject), known);
    }

    fn uid(&self, mailbox: &'static str, subject: &'static str) -> Option<u32> {
        self.told.messages.get(&(mailbox, subject))?.uid
    }

    fn mark(&mut self, mailbox: &'static str, subject: &'static str, with: &Flags) -> bool {
        let Some(uid) = self.uid(mailbox, subject) else {
            return false;
        };
        let marked = self
            .view(mailbox)
            .and_then(|mut view| view.mark(&uids(&[uid]), FlagChange::Add, with, None));
        let known = self.told.messages.get_mut(&(mailbox, subject)).unwrap();
        match (marked, &mut known.flags) {
            (Ok(_), Some((bits, keywords))) => {
                *bits |= with.system.bits();
                keywords.extend(with.keywords.iter().map(|k| k.as_str().to_owned()));
                true
            }
            _ => {
                known.flags = None;
                false
            }
        }
    }

    fn carry(&mut self, from: &'static str, subject: &'static str, to: &'static str, moved: bool) {
        let Some(uid) = self.uid(from, subject) else {
            return;
        };
        let carried = self.view(from).and_then(|mut view| match moved {
            true => view.transfer(&uids(&[uid]), &name(to)),
            false => view.copy(&uids(&[uid]), &name(to)),
        });
        let new = carried.ok().and_then(|done| done.to.last());
        let source = self.told.messages.get_mut(&(from, subject)).unwrap();
        let known = Known {
            open: new.is_none(),
            uid: new.map(|uid| uid.number()),
            flags: source.flags.clone(),
        };
        match (moved, new) {
            (true, Some(_)) => drop(self.told.messages.remove(&(from, subject))),
            (true, None) => {
                // What may have been told gone comes back under another UID.
                source.open = true;
                source.uid = None;
                self.told.together.push((subject, vec![from, to]));
            }
            _ => {}
        }
        self.told.messages.insert((to, subject), known);
    }

    fn expunge(&mut self, mailbox: &'static str, subject: &'static str) -> bool {
        let deleted = flags(SystemFlags::DELETED, &[]);
        if !self.mark(mailbox, subject, &deleted) {
            return false;
        }
        let gone = self
            .view(mailbox)
            .and_then(|mut view| view.expunge(None))
            .is_ok();
        match gone {
            true => drop(self.told.messages.remove(&(mailbox, subject))),
            false => {
                let known = self.told.messages.get_mut(&(mailbox, subject)).unwrap();
                (known.open, known.uid) = (true, None);
            }
        }
        gone
    }

    fn rename(&mut self, from: &'static str, to: &'static str) {
        let renamed = self.account.rename(&name(from), &name(to)).is_ok();
        let own: Vec<_> = self.told.messages.keys().copied().collect();
        for (mailbox, subject) in own.into_iter().filter(|(mailbox, _)| *mailbox == from) {
            let mut known = self.told.messages.remove(&(mailbox, subject)).unwrap();
            let waiting = self.told.together.iter_mut();
            let mut waiting = waiting.filter(|(own, all)| *own == subject && all.contains(&from));
            if renamed {
                waiting.for_each(|(_, all)| all.push(to));
            } else {
                let must = !known.open;
                known.open = true;
                self.told.messages.insert((from, subject), known.clone());
                match waiting.next() {
                    Some((_, all)) => all.push(to),
                    None if must => self.told.together.push((subject, vec![from, to])),
                    None => {}
                }
            }
            self.told.messages.insert((to, subject), known);
        }
    }

    /// All of what a client does.
    fn run(&mut self) {
        self.account.create(&name("box")).ok();
        self.append("INBOX", "a", &Flags::default());
        self.append("INBOX", "b", &flags(SystemFlags::SEEN, &["k"]));
        self.append("INBOX", "c", &flags(SystemFlags::NONE, &[]));
        self.append("INBOX", "d", &flags(SystemFlags::NONE, &[]));
        self.mark("INBOX", "a", &flags(SystemFlags::FLAGGED, &["other"]));
        self.carry("INBOX", "b", "box", false);
        self.carry("INBOX", "c", "box", true);
        self.expunge("INBOX", "b");
        self.rename("box", "new");
        self.host.flush().ok();
        self.append("new", "e", &Flags::default());
        self.account.create(&name("gone")).ok();
        self.append("gone", "f", &Flags::default());
        if self.account.delete(&name("gone")).is_ok() {
            self.told
                .messages
                .retain(|(mailbox, _), _| *mailbox != "gone");
        } else if let Some(known) = self.told.messages.get_mut(&("gone", "f")) {
            known.open = true;
        }
        self.host.flush().ok();
    }
}

impl Told {
    /// Whether the account has all of it, and nothing twice.
    fn check(&mut self, account: &Account, when: &str) {
        let mut left = BTreeMap::new();
        for listed in account.list().unwrap() {
            let mailbox = listed.name.to_string();
            let view = account
                .select(&listed.name, Access::ReadWrite)
                .unwrap_or_else(|error| panic!("{when}: {mailbox}: {error:?}"));
            let validity = view.uid_validity().number();
            let found = look(&view);
            let found = found.unwrap_or_else(|error| panic!("{when}: {mailbox}: {error:?}"));
            for (subject, uid, own) in found {
                let before = self.ever.insert((validity, uid), subject.clone());
                let same = before.as_ref().is_none_or(|before| *before == subject);
                assert!(same, "{when}: UID {uid} of {mailbox}: {before:?} {subject}");
                let twice = left.insert((mailbox.clone(), subject.clone()), (uid, own));
                assert_eq!(twice, None, "{when}: {subject} is twice in {mailbox}");
            }
        }
        for ((mailbox, subject), known) in &self.messages {
            let key = ((*mailbox).to_owned(), (*subject).to_owned());
            let Some((uid, own)) = left.remove(&key) else {
                assert!(known.open, "{when}: {subject} is not in {mailbox}");
                continue;
            };
            if let Some(told) = known.uid {
                assert_eq!(uid, told, "{when}: {subject} in {mailbox}");
            }
            // Of a message of which nothing was told the flags are anybody's.
            if let Some(flags) = known.flags.as_ref().filter(|_| known.uid.is_some()) {
                assert_eq!(own, *flags, "{when}: flags of {subject} in {mailbox}");
            }
            for (_, mailboxes) in self.together.iter_mut().filter(|(own, _)| own == subject) {
                if mailboxes.contains(mailbox) {
                    mailboxes.clear();
                }
            }
        }
        assert!(left.is_empty(), "{when}: {left:?} came back");
        let lost = self.together.iter().find(|(_, all)| !all.is_empty());
        assert_eq!(lost, None, "{when}: in none of these");
    }
}

fn host(form: &Form) -> Host {
    Host::over(Index::memory().unwrap(), form.clone(), Limits::default())
}

/// Returns how many changes there were.
fn fails(form: &Form, failing: Failing) -> u32 {
    let directory = temporary();
    let root = directory.path();
    let mut told = Told::default();
    let count;
    {
        let host = host(form);
        let account = host.account("u", root).unwrap();
        account.list().unwrap();
        faults::fail(failing);
        let mut client = Client {
            host: &host,
            account: &account,
            told: &mut told,
        };
        client.run();
        count = faults::count();
        faults::fail(Failing::Nothing);
        told.check(&account, &format!("{form:?} {failing:?}, then"));
        host.flush().unwrap();
    }
    reopened(form, root, &mut told, &format!("{form:?} {failing:?}"));
    count
}

/// Without any index.
fn reopened(form: &Form, root: &Path, told: &mut Told, when: &str) {
    let host = host(form);
    let account = host.account("u", root).unwrap();
    told.check(&account, &format!("{when}, anew"));
    let mut client = Client {
        host: &host,
        account: &account,
        told,
    };
    client.append("INBOX", "after", &Flags::default());
    assert!(client.uid("INBOX", "after").is_some(), "{when}");
    told.check(&account, &format!("{when}, at last"));
}

fn nested() -> Form {
    Form {
        layout: Layout::Nested,
        ..Form::default()
    }
}

fn at_each_change(form: &Form) {
    let all = fails(form, Failing::Nothing);
    assert!(all > 20, "{form:?}: {all}");
    let mut wrong = Vec::new();
    for number in 0..all {
        let error = ERRORS[number as usize % ERRORS.len()];
        for failing in [
            Failing::One(number, error),
            Failing::From(number, error),
            Failing::Full(number, error),
        ] {
            let failed = std::panic::catch_unwind(|| fails(form, failing)).err();
            faults::fail(Failing::Nothing);
            let said = failed.map(|said| said.downcast::<String>());
            wrong.extend(said.map(|said| format!("{failing:?}: {said:?}")));
        }
    }
    println!("{form:?}: {all} changes");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_maildir_outlives_a_disk_that_fails() {
    at_each_change(&Format::Maildir.into());
}

#[test]
fn a_maildir_of_nested_directories_outlives_a_disk_that_fails() {
    at_each_change(&nested());
}

#[test]
fn an_sdbox_outlives_a_disk_that_fails() {
    at_each_change(&Format::Sdbox.into());
}

#[test]
fn an_mdbox_outlives_a_disk_that_fails() {
    at_each_change(&Format::Mdbox.into());
}

#[test]
fn an_mbox_outlives_a_disk_that_fails() {
    at_each_change(&Format::Mbox.into());
}

#[test]
fn a_full_disk_lets_users_read_and_delete() {
    let formats = [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox].map(Form::from);
    // A quota of the file system is a full disk to whoever has used it up.
    for error in [Errno::NOSPC, Errno::DQUOT] {
        full_lets_read_and_delete(&formats, error);
        full_lets_read_and_delete(&[nested()], error);
    }
}

fn full_lets_read_and_delete(forms: &[Form], error: Errno) {
    for form in forms {
        let directory = temporary();
        let mut told = Told::default();
        let host = host(form);
        let account = host.account("u", directory.path()).unwrap();
        let mut client = Client {
            host: &host,
            account: &account,
            told: &mut told,
        };
        // Until lines in side files have filled whatever was there already.
        for _ in 0..60 {
            client.append("INBOX", "filler", &Flags::default());
            assert!(client.expunge("INBOX", "filler"));
        }
        for subject in ["a", "b", "c", "d"] {
            client.append("INBOX", subject, &Flags::default());
        }
        host.flush().unwrap();
        faults::fail(Failing::Full(0, error));
        client.append("INBOX", "late", &Flags::default());
        assert_eq!(client.uid("INBOX", "late"), None, "{form:?}");
        assert!(
            client.mark("INBOX", "a", &flags(SystemFlags::SEEN, &[])),
            "{form:?}"
        );
        assert!(client.expunge("INBOX", "b"), "{form:?}");
        assert!(client.expunge("INBOX", "d"), "{form:?}");
        client.told.check(&account, &format!("{form:?}, full"));
        faults::fail(Failing::Nothing);
        drop(account);
        host.flush().unwrap();
        drop(host);
        reopened(form, directory.path(), &mut told, &format!("{form:?}"));
    }
}

#[test]
fn flags_on_a_full_disk_leave_room_to_delete_for_who_comes_later() {
    for format in [Format::Sdbox, Format::Mdbox, Format::Mbox] {
        let form = Form::from(format);
        let directory = temporary();
        let mut told = Told::default();
        {
            let host = host(&form);
            let account = host.account("u", directory.path()).unwrap();
            let mut client = Client {
                host: &host,
                account: &account,
                told: &mut told,
            };
            for subject in ["a", "b", "c"] {
                client.append("INBOX", subject, &Flags::default());
            }
            host.flush().unwrap();
            faults::fail(Failing::Full(0, Errno::NOSPC));
            let mut view = client.view("INBOX").unwrap();
            let seen = flags(SystemFlags::SEEN, &[]);
            let turns = [FlagChange::Add, FlagChange::Remove].into_iter().cycle();
            let marks = turns.take(2000);
            let mut marks =
                marks.take_while(|way| view.mark(&uids(&[1]), *way, &seen, None).is_ok());
            let marks = marks.by_ref().count();
            assert!((1..2000).contains(&marks), "{format:?}: {marks}");
            drop(view);
            let known = client.told.messages.get_mut(&("INBOX", "a"));
            known.unwrap().flags = None;
        }
        // Another process, while there is no room still.
        let host = host(&form);
        let account = host.account("u", directory.path()).unwrap();
        let mut client = Client {
            host: &host,
            account: &account,
            told: &mut told,
        };
        assert!(client.uid("INBOX", "b").is_some(), "{format:?}");
        assert!(client.expunge("INBOX", "b"), "{format:?}");
        client.told.check(&account, &format!("{format:?}, full"));
        faults::fail(Failing::Nothing);
        drop(account);
        host.flush().unwrap();
        drop(host);
        reopened(&form, directory.path(), &mut told, &format!("{format:?}"));
    }
}
