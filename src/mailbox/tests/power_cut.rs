//! The power is cut before every change of names and before every sync of the store and of the
//! index; what was acknowledged by then is there, once, under its UID.

use super::platter::{Disk, Fate, Pages, Platter};
use super::{flags, name, uids};
use crate::config::Format;
use crate::index::Index;
use crate::mail::{DateTime, Flags, SystemFlags};
use crate::mailbox::host::lock;
use crate::mailbox::status::Asked;
use crate::mailbox::{Access, Account, FlagChange, Host, Limits, NewMessage, View, Want};
use crate::mime::Section;
use crate::store::journal;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const DATE: i64 = 1_000_000_000;
/// How many fates by chance every cut has, unless `DOVELET_POWER_CUT_CHANCES` says it.
const CHANCES: u64 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    subject: String,
    flags: u8,
    keywords: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mailbox {
    uid_validity: u32,
    uid_next: u32,
    mod_seq: u64,
    messages: BTreeMap<u32, Message>,
}

/// All that clients were told.
#[derive(Clone, Debug, Default)]
struct Told {
    mailboxes: BTreeMap<String, Mailbox>,
    subscriptions: BTreeSet<String>,
    /// Subjects of messages that were appended by one command; none of them goes again.
    together: Vec<Vec<String>>,
    /// UIDVALIDITY and UID of every message there ever was.
    ever: BTreeMap<(u32, u32), String>,
}

impl Told {
    fn named(&self, uid_validity: u32) -> Option<(&String, &Mailbox)> {
        self.mailboxes
            .iter()
            .find(|(_, m)| m.uid_validity == uid_validity)
    }

    fn subjects(&self) -> BTreeSet<&String> {
        let messages = self.mailboxes.values().flat_map(|m| m.messages.values());
        messages.map(|message| &message.subject).collect()
    }
}

/// A moment at which the power may go.
struct Cut {
    disk: Disk,
    pages: Pages,
    /// The step that is under way.
    step: usize,
    before: String,
}

struct Recorder {
    root: PathBuf,
    disk: Disk,
    pages: Arc<Mutex<Pages>>,
    step: usize,
    cuts: Vec<Cut>,
}

impl Recorder {
    fn cut(&mut self, before: String) {
        self.disk.look(&self.root);
        self.cuts.push(Cut {
            disk: self.disk.clone(),
            pages: self.pages.lock().unwrap().clone(),
            step: self.step,
            before,
        });
    }
}

pub(super) fn temporary() -> tempfile::TempDir {
    // Every sync costs; where there is a file system in memory, it is as good.
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Every moment at which the power may go, and what was told after each step.
struct Recorded {
    format: Format,
    cuts: Vec<Cut>,
    steps: Vec<(&'static str, Told)>,
}

/// An account whose disk and index are recorded, and what its client was told.
struct Run {
    root: PathBuf,
    format: Format,
    recorder: Arc<Mutex<Recorder>>,
    platter: Platter,
    host: Option<Host>,
    /// A session that has INBOX open, so that it is watched rather than scanned.
    session: Option<View>,
    told: Told,
    /// What was told after each step.
    steps: Vec<(&'static str, Told)>,
}

impl Run {
    fn new(root: &Path, format: Format) -> Run {
        let pages = Arc::new(Mutex::new(Pages::default()));
        let recorder = Arc::new(Mutex::new(Recorder {
            root: root.to_owned(),
            disk: match format {
                Format::Mbox => Disk::in_place(root),
                _ => Disk::new(root),
            },
            pages: pages.clone(),
            step: 0,
            cuts: Vec::new(),
        }));
        let synced = recorder.clone();
        let platter = Platter {
            pages,
            synced: Arc::new(move || synced.lock().unwrap().cut("index synced".into())),
        };
        let heard = recorder.clone();
        journal::listen(Some(Box::new(move |event| {
            let mut recorder = heard.lock().unwrap();
            let mut before = format!("{event:?}");
            before.truncate(200);
            recorder.cut(before);
            recorder.disk.apply(event);
        })));
        let mut run = Run {
            root: root.to_owned(),
            format,
            recorder,
            platter,
            host: None,
            session: None,
            told: Told::default(),
            steps: vec![("nothing", Told::default())],
        };
        run.open();
        run
    }

    fn open(&mut self) {
        let index = Index::with_backend(self.platter.clone()).unwrap();
        // The power is cut between the steps of a command, too.
        let limits = Limits {
            step_messages: 2,
            ..Limits::default()
        };
        self.host = Some(Host::over(index, self.format, limits));
    }

    fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    fn account(&self) -> Account {
        self.host().account("u", &self.root).unwrap()
    }

    fn watch(&mut self) {
        let view = self.account().select(&name("INBOX"), Access::ReadWrite);
        self.session = Some(view.unwrap());
    }

    /// Does something that a client is told the end of.
    fn step(&mut self, what: &'static str, action: impl FnOnce(&mut Run)) {
        self.recorder.lock().unwrap().step = self.steps.len();
        action(self);
        self.note_numbers();
        self.steps.push((what, self.told.clone()));
    }

    /// Takes what the process knows of its mailboxes into what was told.
    fn note_numbers(&mut self) {
        let account = self.account();
        for (name, mailbox) in &mut self.told.mailboxes {
            let shared = account.shared(&super::name(name)).unwrap();
            let state = lock(&shared.state);
            if let Some(summary) = &state.summary {
                mailbox.uid_validity = summary.uid_validity.number();
                mailbox.uid_next = summary.uid_next.number();
                mailbox.mod_seq = summary.highest_mod_seq.number();
            }
        }
        for mailbox in self.told.mailboxes.values() {
            for (uid, message) in &mailbox.messages {
                let at = (mailbox.uid_validity, *uid);
                let before = self.told.ever.insert(at, message.subject.clone());
                assert!(before.is_none_or(|before| before == message.subject));
            }
        }
    }

    fn mailbox(&mut self, name: &str) -> &mut Mailbox {
        self.told.mailboxes.get_mut(name).unwrap()
    }

    fn append(&mut self, mailbox: &str, subject: &str, system: SystemFlags, keywords: &[&str]) {
        let all = flags(system, keywords);
        let uid = super::append(&self.account(), mailbox, subject, &all);
        let message = Message {
            subject: subject.to_owned(),
            flags: system.bits(),
            keywords: keywords.iter().map(|&k| k.to_owned()).collect(),
        };
        self.mailbox(mailbox).messages.insert(uid, message);
    }

    /// One command with several messages.
    fn append_together(&mut self, subjects: &[&str]) {
        let account = self.account();
        let draft = |subject: &&str| {
            let mut draft = account.draft();
            let text = format!("Subject: {subject}\r\nFrom: a@b\r\n\r\nbody of {subject}\r\n");
            draft.write(text.as_bytes()).unwrap();
            draft
        };
        let mut drafts: Vec<_> = subjects.iter().map(draft).collect();
        let seen = flags(SystemFlags::SEEN, &[]);
        let none = Flags::default();
        let mut messages: Vec<_> = drafts
            .iter_mut()
            .enumerate()
            .map(|(at, draft)| NewMessage {
                draft,
                flags: [&none, &seen][at % 2],
                date: Some(DateTime::utc(DATE)),
            })
            .collect();
        let appended = account.append_all(&name("INBOX"), &mut messages).unwrap();
        for (at, (uid, subject)) in appended.uids.iter().zip(subjects).enumerate() {
            let message = Message {
                subject: (*subject).to_owned(),
                flags: [&none, &seen][at % 2].system.bits(),
                keywords: BTreeSet::new(),
            };
            self.mailbox("INBOX").messages.insert(uid.number(), message);
        }
        let together = subjects.iter().map(|&subject| subject.to_owned());
        self.told.together.push(together.collect());
    }

    fn add_flags(&mut self, mailbox: &str, numbers: &[u32], system: SystemFlags, keyword: &str) {
        let mut view = self
            .account()
            .select(&name(mailbox), Access::ReadWrite)
            .unwrap();
        let keywords: Vec<&str> = Some(keyword)
            .filter(|k| !k.is_empty())
            .into_iter()
            .collect();
        view.mark(
            &uids(numbers),
            FlagChange::Add,
            &flags(system, &keywords),
            None,
        )
        .unwrap();
        for number in numbers {
            let message = self.mailbox(mailbox).messages.get_mut(number).unwrap();
            message.flags |= system.bits();
            message
                .keywords
                .extend(keywords.iter().map(|&k| k.to_owned()));
        }
    }

    fn expunge(&mut self, mailbox: &str, numbers: &[u32]) {
        let mut view = self
            .account()
            .select(&name(mailbox), Access::ReadWrite)
            .unwrap();
        view.expunge(Some(&uids(numbers))).unwrap();
        let messages = &mut self.mailbox(mailbox).messages;
        numbers
            .iter()
            .for_each(|n| assert!(messages.remove(n).is_some()));
    }

    fn carry(&mut self, mailbox: &str, numbers: &[u32], to: &str, moves: bool) {
        let account = self.account();
        let mut view = account.select(&name(mailbox), Access::ReadWrite).unwrap();
        let copied = match moves {
            true => view.transfer(&uids(numbers), &name(to)),
            false => view.copy(&uids(numbers), &name(to)),
        }
        .unwrap();
        assert_eq!(copied.from, uids(numbers));
        for (from, uid) in copied.from.iter().zip(copied.to.iter()) {
            let messages = &mut self.mailbox(mailbox).messages;
            let message = match moves {
                true => messages.remove(&from.number()).unwrap(),
                false => messages[&from.number()].clone(),
            };
            self.mailbox(to).messages.insert(uid.number(), message);
        }
    }

    fn create(&mut self, mailbox: &str) {
        self.account().create(&name(mailbox)).unwrap();
        let mailboxes = &mut self.told.mailboxes;
        mailboxes.insert(mailbox.to_owned(), Mailbox::default());
        // A client asks for UIDVALIDITY.
        self.account()
            .status(&name(mailbox), Asked::default())
            .unwrap();
    }

    fn finish(self) -> Recorded {
        self.recorder.lock().unwrap().cut("the end".into());
        journal::listen(None);
        let mut recorder = self.recorder.lock().unwrap();
        Recorded {
            format: self.format,
            cuts: std::mem::take(&mut recorder.cuts),
            steps: self.steps,
        }
    }
}

/// What there is.
fn look(account: &Account) -> Told {
    let mut told = Told::default();
    for listed in account.list().unwrap() {
        let view = account.select(&listed.name, Access::ReadOnly).unwrap();
        let want = Want {
            internal_date: true,
            body: true,
            ..Want::default()
        };
        let mut mailbox = Mailbox {
            uid_validity: view.uid_validity().number(),
            uid_next: view.uid_next().number(),
            mod_seq: lock(&view.shared.state)
                .summary
                .as_ref()
                .map_or(0, |s| s.highest_mod_seq.number()),
            messages: BTreeMap::new(),
        };
        let mut rows = view.fetch(view.uids().clone(), want);
        while rows.advance().unwrap() {
            let mut text = Vec::new();
            let mut content = rows.content(&Section::default()).unwrap().unwrap();
            while content.read(&mut text, 1 << 20).unwrap() > 0 {}
            let text = String::from_utf8(text).unwrap();
            let subject = text
                .lines()
                .next()
                .unwrap()
                .strip_prefix("Subject: ")
                .unwrap();
            assert!(text.ends_with(&format!("body of {subject}\r\n")), "{text}");
            assert_eq!(
                rows.internal_date().unwrap(),
                DateTime::utc(DATE),
                "{subject}"
            );
            let keywords = rows.keywords().iter();
            let keywords = keywords.map(|k| view.keywords()[usize::from(*k)].as_ref().unwrap());
            let message = Message {
                subject: subject.to_owned(),
                flags: rows.flags().bits(),
                keywords: keywords.map(|k| k.as_str().to_owned()).collect(),
            };
            mailbox.messages.insert(rows.uid().number(), message);
        }
        assert_eq!(mailbox.messages.len(), view.exists() as usize);
        told.mailboxes.insert(listed.name.to_string(), mailbox);
    }
    let subscriptions = account.subscriptions().unwrap();
    told.subscriptions = subscriptions.iter().map(|name| name.to_string()).collect();
    told
}

/// Compares what is left with what was told before and what would have been told next.
fn compare(before: &Told, after: &Told, left: &Told) {
    let subscribed = &left.subscriptions;
    assert!([&before.subscriptions, &after.subscriptions].contains(&subscribed));
    for (name, mailbox) in &before.mailboxes {
        let Some((new_name, _)) = after.named(mailbox.uid_validity) else {
            continue;
        };
        let found = left.named(mailbox.uid_validity);
        let (found, _) = found.unwrap_or_else(|| panic!("{name} is lost"));
        assert!(found == name || found == new_name, "{name} is {found}");
    }
    for (name, mailbox) in &left.mailboxes {
        let validity = mailbox.uid_validity;
        let none = Mailbox::default();
        let old = before.named(validity).map_or(&none, |(_, m)| m);
        let new = after.named(validity).map_or(&none, |(_, m)| m);
        let known = before.mailboxes.contains_key(name) || after.mailboxes.contains_key(name);
        assert!(
            known || name == "INBOX" || mailbox.messages.is_empty(),
            "{name}"
        );
        assert!(mailbox.uid_next >= old.uid_next, "UIDNEXT of {name}");
        assert!(mailbox.mod_seq >= old.mod_seq, "{name}");
        for (uid, message) in &mailbox.messages {
            let may = [old.messages.get(uid), new.messages.get(uid)];
            assert!(
                may.contains(&Some(message)),
                "{name} {uid}: {message:?}, not {may:?}"
            );
        }
        for (uid, message) in &old.messages {
            let stays = new
                .messages
                .get(uid)
                .is_some_and(|n| n.subject == message.subject);
            let is_left = mailbox.messages.contains_key(uid);
            assert!(is_left || !stays, "{name} {uid}: {message:?} is lost");
        }
    }
    for subjects in &after.together {
        let came = left.subjects();
        let count = subjects.iter().filter(|s| came.contains(s)).count();
        assert!(
            [0, subjects.len()].contains(&count),
            "{count} of {subjects:?}"
        );
    }
    let (left, after) = (left.subjects(), after.subjects());
    for subject in before.subjects().intersection(&after) {
        assert!(left.contains(*subject), "{subject:?} is nowhere");
    }
}

/// Opens what a power cut left, without an index if there is no platter.
fn reopen(root: &Path, format: Format, platter: Option<Platter>) -> (Host, Account) {
    let platter = platter.unwrap_or_else(|| Platter::new(Pages::default()));
    let index = Index::with_backend(platter).unwrap();
    let host = Host::over(index, format, Limits::default());
    let account = host.account("u", root).unwrap();
    (host, account)
}

/// What an index that is gone need not know.
fn without_mod_seqs(mut told: Told) -> BTreeMap<String, Mailbox> {
    told.mailboxes.values_mut().for_each(|m| m.mod_seq = 0);
    told.mailboxes
}

fn check(recorded: &Recorded, cut: &Cut, fate: Fate, with_index: bool) {
    let (format, steps) = (recorded.format, &recorded.steps);
    let directory = temporary();
    let root = directory.path();
    cut.disk.leave(root, fate);
    let platter = Platter::new(cut.pages.left(fate));
    let (before, after) = (&steps[cut.step - 1].1, &steps[cut.step].1);
    let (host, account) = reopen(root, format, with_index.then(|| platter.clone()));
    let left = look(&account);
    compare(before, after, &left);
    // New messages get UIDs that nobody saw.
    for (name, mailbox) in &left.mailboxes {
        let uid = super::append(
            &account,
            name,
            "probe",
            &flags(SystemFlags::SEEN, &["probe"]),
        );
        let seen = before.ever.range(..=(mailbox.uid_validity, u32::MAX));
        let seen = seen.rev().find(|((v, _), _)| *v == mailbox.uid_validity);
        let highest = seen.map_or(0, |((_, uid), _)| *uid);
        assert!(uid > highest && uid >= mailbox.uid_next, "{name}: {uid}");
    }
    let now = without_mod_seqs(look(&account));
    host.close().unwrap();
    drop((account, host));
    for platter in [with_index.then_some(platter), None] {
        let (_host, account) = reopen(root, format, platter);
        assert_eq!(without_mod_seqs(look(&account)), now);
    }
}

/// Every cut with every fate.
fn check_all(recorded: &Recorded) {
    let Recorded { cuts, steps, .. } = recorded;
    let chances = std::env::var("DOVELET_POWER_CUT_CHANCES").ok();
    let chances = chances.map_or(CHANCES, |text| text.parse().unwrap());
    let (mut count, mut failures) = (0, Vec::new());
    for (at, cut) in cuts.iter().enumerate().filter(|(_, cut)| cut.step > 0) {
        let seed = at as u64 * chances;
        let chances = (seed..seed + chances).map(Fate::Chance);
        let fates = [Fate::Lost, Fate::Kept, Fate::CameKept, Fate::WentKept];
        for fate in fates.into_iter().chain(chances) {
            let with_index = count % 3 > 0;
            let what = format!(
                "cut {at}, {fate:?}, index {with_index}, in {:?} before {}",
                steps[cut.step].0, cut.before
            );
            let checked = std::panic::catch_unwind(|| check(recorded, cut, fate, with_index));
            count += 1;
            if checked.is_err() {
                failures.push(what);
            }
            assert!(failures.len() < 8, "{failures:#?}");
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    println!("{count} power cuts at {} moments", cuts.len());
}

#[test]
fn acknowledged_survives_a_power_cut_at_any_moment() {
    survives_a_power_cut(Format::Maildir);
}

#[test]
fn acknowledged_survives_a_power_cut_in_mdbox() {
    survives_a_power_cut(Format::Mdbox);
}

#[test]
fn acknowledged_survives_a_power_cut_in_sdbox() {
    survives_a_power_cut(Format::Sdbox);
}

#[test]
fn acknowledged_survives_a_power_cut_in_mbox() {
    survives_a_power_cut(Format::Mbox);
}

fn survives_a_power_cut(format: Format) {
    let directory = temporary();
    let mut run = Run::new(directory.path(), format);
    let none = SystemFlags::NONE;
    run.step("first look", |run| {
        run.told
            .mailboxes
            .insert("INBOX".into(), Mailbox::default());
        run.watch();
    });
    run.step("create", |run| run.create("Archive"));
    run.step("deliver", |run| run.append("INBOX", "1", none, &[]));
    run.step("deliver", |run| run.append("INBOX", "2", none, &[]));
    run.step("append", |run| {
        run.append("INBOX", "3", SystemFlags::SEEN, &["$Forwarded", "x"]);
    });
    run.step("flags", |run| {
        run.add_flags("INBOX", &[1, 2], SystemFlags::FLAGGED, "x");
    });
    run.step("keyword", |run| {
        run.add_flags("INBOX", &[2, 3], none, "new")
    });
    run.step("copy", |run| {
        run.carry("INBOX", &[1, 2, 3], "Archive", false)
    });
    run.step("deleted", |run| {
        run.add_flags("INBOX", &[1, 3], SystemFlags::DELETED, "");
    });
    run.step("expunge", |run| run.expunge("INBOX", &[1, 3]));
    run.step("deliver", |run| run.append("INBOX", "4", none, &[]));
    run.step("move", |run| run.carry("INBOX", &[4], "Archive", true));
    run.step("deliver", |run| run.append("INBOX", "5", none, &[]));
    run.step("subscribe", |run| {
        run.account().subscribe(&name("Archive"), true).unwrap();
        run.told.subscriptions.insert("Archive".into());
    });
    run.step("rename", |run| {
        let account = run.account();
        account.create(&name("Old")).unwrap();
        run.told.mailboxes.insert("Old".into(), Mailbox::default());
        account.status(&name("Old"), Asked::default()).unwrap();
        account
            .rename(&name("Archive"), &name("Old/Archive"))
            .unwrap();
        let mailbox = run.told.mailboxes.remove("Archive").unwrap();
        run.told.mailboxes.insert("Old/Archive".into(), mailbox);
    });
    run.step("append", |run| {
        run.append("Old/Archive", "6", SystemFlags::DRAFT, &["new"]);
    });
    run.step("flush", |run| run.host().flush().unwrap());
    run.step("deliver", |run| run.append("INBOX", "7", none, &[]));
    run.step("close and open", |run| {
        run.session = None;
        run.host().close().unwrap();
        run.host = None;
        run.open();
        run.watch();
    });
    run.step("deleted", |run| {
        run.add_flags("INBOX", &[6], SystemFlags::DELETED, "");
    });
    run.step("expunge the last", |run| run.expunge("INBOX", &[6]));
    run.step("deliver", |run| run.append("INBOX", "8", none, &[]));
    run.step("delete", |run| {
        run.account().delete(&name("Old/Archive")).unwrap();
        run.told.mailboxes.remove("Old/Archive");
    });
    run.step("create again", |run| run.create("Old/Archive"));
    run.step("append", |run| {
        run.append("Old/Archive", "9", SystemFlags::SEEN, &["y"]);
    });
    run.step("move to itself", |run| {
        run.carry("INBOX", &[2], "INBOX", true)
    });
    run.step("rename INBOX", |run| {
        super::rename_inbox(&run.account(), "All");
        let messages = std::mem::take(&mut run.mailbox("INBOX").messages);
        let all = Mailbox {
            messages: (1..).zip(messages.into_values()).collect(),
            ..Mailbox::default()
        };
        run.told.mailboxes.insert("All".into(), all);
    });
    run.step("deliver", |run| run.append("INBOX", "10", none, &[]));
    run.step("close", |run| run.host().close().unwrap());
    check_all(&run.finish());
}

/// RFC 3502 section 6.3.11: all messages of one APPEND or none of them, whenever the power is cut.
#[test]
fn messages_of_one_append_come_all_or_none() {
    come_all_or_none(Format::Maildir);
}

#[test]
fn messages_of_one_append_come_all_or_none_in_mdbox() {
    come_all_or_none(Format::Mdbox);
}

#[test]
fn messages_of_one_append_come_all_or_none_in_sdbox() {
    come_all_or_none(Format::Sdbox);
}

#[test]
fn messages_of_one_append_come_all_or_none_in_mbox() {
    come_all_or_none(Format::Mbox);
}

fn come_all_or_none(format: Format) {
    let directory = temporary();
    let mut run = Run::new(directory.path(), format);
    run.step("first look", |run| {
        let inbox = Mailbox::default();
        run.told.mailboxes.insert("INBOX".into(), inbox);
        run.watch();
    });
    run.step("deliver", |run| {
        run.append("INBOX", "1", SystemFlags::NONE, &[])
    });
    run.step("append", |run| run.append_together(&["2", "3", "4"]));
    run.step("append", |run| run.append_together(&["5", "6"]));
    run.step("deliver", |run| {
        run.append("INBOX", "7", SystemFlags::SEEN, &[])
    });
    check_all(&run.finish());
}
