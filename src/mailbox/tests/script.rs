//! What a client does while the power is cut: everything that a mailbox can be told to do.

use super::told::{DATE, Mailbox, Message, Told};
use super::{flags, name, uids};
use crate::config::{Form, Format, Location, Namespace};
use crate::mail::{DateTime, Flags, SystemFlags};
use crate::mailbox::host::lock;
use crate::mailbox::status::Asked;
use crate::mailbox::{Access, Account, Care, Error, FlagChange, Host, Limits, NewMessage, View};
use crate::store::Selection;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The power is cut between the steps of a command, too; a file of an mdbox has few messages.
pub(super) fn limits() -> Limits {
    Limits {
        step_messages: 2,
        mdbox_rotate_octets: 700,
        ..Limits::default()
    }
}

/// As `limits`, but a file of an mdbox has more messages than are on their way at once.
pub(super) fn roomy() -> Limits {
    Limits {
        mdbox_rotate_octets: 6000,
        ..limits()
    }
}

/// Something that was done, and what was told then.
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) told: Told,
    /// What may be there when it is done, as others are at work, is told after the step of that number.
    pub(super) last: usize,
}

/// What a client was told while others were at work.
enum Done {
    /// Mailbox, UID, subject.
    Came(&'static str, u32, String),
    Went(&'static str, u32),
    /// Of INBOX, from and to.
    Moved(&'static str, u32, u32),
}

/// An account and what its client was told.
pub(super) struct Client {
    root: PathBuf,
    open: Box<dyn Fn() -> Host>,
    /// Hears the number of each step before it is taken.
    begins: Box<dyn FnMut(usize)>,
    host: Option<Host>,
    /// Makes the index durable all the time; between two steps everything is at rest for a moment.
    flusher: Option<Flusher>,
    resting: bool,
    /// A session that has INBOX open, so that it is watched rather than scanned.
    session: Option<View>,
    told: Told,
    /// What was told after each step.
    steps: Vec<Step>,
}

/// Flushes as long as it is there.
struct Flusher {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    fn new(host: Host) -> Flusher {
        let ends = Arc::new(AtomicBool::new(false));
        let end = ends.clone();
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                host.flush().unwrap();
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        Flusher {
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        self.thread.take().map(JoinHandle::join);
    }
}

impl Client {
    pub(super) fn new(
        root: &Path,
        open: impl Fn() -> Host + 'static,
        begins: impl FnMut(usize) + 'static,
    ) -> Client {
        let mut client = Client {
            root: root.to_owned(),
            open: Box::new(open),
            begins: Box::new(begins),
            host: None,
            flusher: None,
            resting: false,
            session: None,
            told: Told::default(),
            steps: Vec::new(),
        };
        client.note_step("nothing");
        client.open();
        client
    }

    fn note_step(&mut self, what: &'static str) {
        self.steps.push(Step {
            what,
            told: self.told.clone(),
            last: self.steps.len(),
        });
    }

    /// As whose server has time between one command and the next.
    pub(super) fn rest(&mut self) {
        self.resting = true;
        self.flusher = self.host.clone().map(Flusher::new);
    }

    fn open(&mut self) {
        self.host = Some((self.open)());
        if self.resting {
            self.rest();
        }
    }

    /// What was told after each step.
    pub(super) fn finish(self) -> Vec<Step> {
        self.steps
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
    fn step(&mut self, what: &'static str, action: impl FnOnce(&mut Client)) {
        (self.begins)(self.steps.len());
        action(self);
        if self.resting {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.note_numbers();
        self.note_step(what);
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

    /// True if flags may wait for the flush.
    fn puts_off_flags(&self) -> bool {
        let account = self.account();
        let form = &account.0.location.form;
        let others = form.namespaces.iter().map(|other| &other.location.form);
        let mut forms = std::iter::once(form).chain(others);
        forms.any(|form| matches!(form.format, Format::Mdbox | Format::Sdbox))
    }

    /// All that was told of the mailbox is durable.
    fn is_durable(&mut self, mailbox: &str) {
        self.mailbox(mailbox).earlier.clear();
    }

    fn all_is_durable(&mut self) {
        let mailboxes = self.told.mailboxes.values_mut();
        mailboxes.for_each(|mailbox| mailbox.earlier.clear());
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
        // What is filed bare in sdbox has its name, and its log has nothing to sync.
        // Of what has no keywords, the frame in mdbox tells all that its log would.
        if !keywords.is_empty() {
            self.is_durable(mailbox);
        }
    }

    /// Four clients file messages in INBOX and another mailbox, while one of them expunges messages of INBOX and one
    /// moves one. What each is told is told at once.
    fn side_by_side(&mut self, what: &'static str, other: &'static str, old: (&[u32], u32)) {
        let first = self.steps.len();
        (self.begins)(first);
        let account = self.account();
        let (tell, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (account, tell) = (account.clone(), tell.clone());
                scope.spawn(move || at_work(&account, (client, what, other), old, &tell));
            }
            drop(tell);
            for done in heard {
                self.hear(other, done);
                self.note_numbers();
                self.note_step(what);
                (self.begins)(self.steps.len());
            }
        });
        self.note_step(what);
        let last = self.steps.len() - 1;
        self.steps
            .iter_mut()
            .skip(first)
            .for_each(|s| s.last = last);
    }

    fn hear(&mut self, other: &str, done: Done) {
        match done {
            Done::Came(mailbox, uid, subject) => {
                let message = Message {
                    subject,
                    flags: 0,
                    keywords: BTreeSet::new(),
                };
                self.mailbox(mailbox).messages.insert(uid, message);
            }
            Done::Went(mailbox, uid) => {
                assert!(self.mailbox(mailbox).messages.remove(&uid).is_some());
            }
            Done::Moved(mailbox, from, to) => {
                let message = self.mailbox(mailbox).messages.remove(&from).unwrap();
                self.mailbox(other).messages.insert(to, message);
            }
        }
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
        let puts_off = self.puts_off_flags();
        for number in numbers {
            let own = self.mailbox(mailbox);
            let message = own.messages.get_mut(number).unwrap();
            if puts_off {
                let earlier = own.earlier.entry(*number).or_default();
                earlier.push(message.clone());
            }
            message.flags |= system.bits();
            message
                .keywords
                .extend(keywords.iter().map(|&k| k.to_owned()));
        }
    }

    /// All of them have letters.
    fn add_many_keywords(&mut self, mailbox: &str, number: u32) {
        let many: Vec<String> = (0..MANY).map(|n| format!("many{n}")).collect();
        let named: Vec<&str> = many.iter().map(String::as_str).collect();
        let account = self.account();
        let mut view = account.select(&name(mailbox), Access::ReadWrite).unwrap();
        let all = flags(SystemFlags::NONE, &named);
        view.mark(&uids(&[number]), FlagChange::Add, &all, None)
            .unwrap();
        let message = self.mailbox(mailbox).messages.get_mut(&number).unwrap();
        message.keywords.extend(many);
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
        self.is_durable(mailbox);
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
        self.is_durable(to);
        if moves {
            self.is_durable(mailbox);
        }
    }

    fn purge(&mut self) {
        // Where there is a place for that, some lie elsewhere from now on.
        let larger = Selection {
            larger: Some(300),
            ..Selection::default()
        };
        let account = self.account();
        let aside = account.care(Care::Aside(larger), &mut |_| {});
        assert!(matches!(aside, Ok(()) | Err(Error::Cannot(_))));
        account.care(Care::Purge, &mut |_| {}).unwrap();
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
}

/// One of several clients. `old`: UIDs of INBOX that one of them expunges, and one that another moves.
fn at_work(
    account: &Account,
    (client, what, other): (usize, &str, &'static str),
    (gone, moved): (&[u32], u32),
    tell: &std::sync::mpsc::Sender<Done>,
) {
    for number in 0..6 {
        let mailbox = ["INBOX", other][(client + number) % 2];
        let subject = format!("{what} {client} {number}");
        let uid = super::append(account, mailbox, &subject, &Flags::default());
        tell.send(Done::Came(mailbox, uid, subject)).unwrap();
        let open = || account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        if let (0, Some(uid)) = (client, gone.get(number)) {
            open().discard(&uids(&[*uid])).unwrap();
            tell.send(Done::Went("INBOX", *uid)).unwrap();
        }
        if (client, number) == (1, 2) {
            let copied = open().transfer(&uids(&[moved]), &name(other)).unwrap();
            let to = copied.to.iter().next().unwrap();
            tell.send(Done::Moved("INBOX", moved, to.number())).unwrap();
        }
    }
}

/// Mail of the one format, and `Archive/` in the other below that root.
pub(super) fn with_archive(own: Format, archive: Format, root: &Path) -> Form {
    Form {
        namespaces: vec![Namespace {
            prefix: name("Archive"),
            location: Location {
                root: root.to_owned(),
                form: archive.into(),
            },
        }],
        ..own.into()
    }
}

/// Before anything is there: UIDVALIDITYs below a root are others than those of namespaces, as mailboxes are
/// known by them in what is told.
pub(super) fn found(root: &Path, form: &Form) {
    if !form.namespaces.is_empty() {
        crate::store::replace(&root.join("dovecot-uidvalidity"), b"f0000000").unwrap();
    }
}

/// Keywords that a message gets at once.
const MANY: u32 = 20;

/// A message of INBOX has more keywords than there are letters.
fn many_keywords(client: &mut Client, number: u32) {
    client.step("many keywords", |client| {
        client.add_many_keywords("INBOX", number);
    });
    for more in MANY..MANY + 7 {
        client.step("one more keyword", |client| {
            client.add_flags(
                "INBOX",
                &[number],
                SystemFlags::NONE,
                &format!("many{more}"),
            );
        });
    }
}

/// All that the promises are about.
pub(super) fn everything(client: &mut Client) {
    let none = SystemFlags::NONE;
    client.step("first look", |client| {
        client
            .told
            .mailboxes
            .insert("INBOX".into(), Mailbox::default());
        client.watch();
    });
    client.step("create", |client| client.create("Archive"));
    client.step("deliver", |client| client.append("INBOX", "1", none, &[]));
    client.step("deliver", |client| client.append("INBOX", "2", none, &[]));
    client.step("append", |client| {
        client.append("INBOX", "3", SystemFlags::SEEN, &["$Forwarded", "x"]);
    });
    client.step("flags", |client| {
        client.add_flags("INBOX", &[1, 2], SystemFlags::FLAGGED, "x");
    });
    client.step("keyword", |client| {
        client.add_flags("INBOX", &[2, 3], none, "new")
    });
    client.step("copy", |client| {
        client.carry("INBOX", &[1, 2, 3], "Archive", false)
    });
    client.step("deleted", |client| {
        client.add_flags("INBOX", &[1, 3], SystemFlags::DELETED, "");
    });
    client.step("expunge", |client| client.expunge("INBOX", &[1, 3]));
    client.step("deliver", |client| client.append("INBOX", "4", none, &[]));
    many_keywords(client, 4);
    client.step("move", |client| {
        client.carry("INBOX", &[4], "Archive", true)
    });
    client.step("deliver", |client| client.append("INBOX", "5", none, &[]));
    client.step("subscribe", |client| {
        client.account().subscribe(&name("Archive"), true).unwrap();
        client.told.subscriptions.insert("Archive".into());
    });
    client.step("rename", |client| {
        let account = client.account();
        account.create(&name("Old")).unwrap();
        client
            .told
            .mailboxes
            .insert("Old".into(), Mailbox::default());
        account.status(&name("Old"), Asked::default()).unwrap();
        account
            .rename(&name("Archive"), &name("Old/Archive"))
            .unwrap();
        let mailbox = client.told.mailboxes.remove("Archive").unwrap();
        client.told.mailboxes.insert("Old/Archive".into(), mailbox);
    });
    client.step("append", |client| client.append("Old", "old", none, &[]));
    client.step("delete what has one below it", |client| {
        client.account().delete(&name("Old")).unwrap();
        client.told.mailboxes.remove("Old");
    });
    client.step("create again", |client| client.create("Old"));
    client.step("append", |client| {
        client.append("Old/Archive", "6", SystemFlags::DRAFT, &["new"]);
    });
    client.step("flags", |client| {
        client.add_flags("INBOX", &[2, 5], SystemFlags::ANSWERED, "");
    });
    client.step("flush", |client| {
        client.host().flush().unwrap();
        client.all_is_durable();
    });
    client.step("keyword", |client| {
        client.add_flags("INBOX", &[5], none, "x")
    });
    client.step("deliver", |client| client.append("INBOX", "7", none, &[]));
    client.step("close and open", |client| {
        client.session = None;
        client.flusher = None;
        client.host().close().unwrap();
        client.all_is_durable();
        client.host = None;
        client.open();
        client.watch();
    });
    client.step("deleted", |client| {
        client.add_flags("INBOX", &[6], SystemFlags::DELETED, "");
    });
    client.step("expunge the last", |client| client.expunge("INBOX", &[6]));
    client.step("deliver", |client| client.append("INBOX", "8", none, &[]));
    client.step("purge", Client::purge);
    client.step("delete", |client| {
        client.account().delete(&name("Old/Archive")).unwrap();
        client.told.mailboxes.remove("Old/Archive");
    });
    client.step("create again", |client| client.create("Old/Archive"));
    client.step("append", |client| {
        client.append("Old/Archive", "9", SystemFlags::SEEN, &["y"]);
    });
    client.step("move to itself", |client| {
        client.carry("INBOX", &[2], "INBOX", true)
    });
    client.step("rename INBOX", |client| {
        super::rename_inbox(&client.account(), "All");
        client.is_durable("INBOX");
        let messages = std::mem::take(&mut client.mailbox("INBOX").messages);
        let all = Mailbox {
            messages: (1..).zip(messages.into_values()).collect(),
            ..Mailbox::default()
        };
        client.told.mailboxes.insert("All".into(), all);
    });
    client.step("deliver", |client| client.append("INBOX", "10", none, &[]));
    client.step("purge", Client::purge);
    client.step("append", |client| client.append("All", "11", none, &["z"]));
    client.step("close", |client| {
        client.flusher = None;
        client.host().close().unwrap();
    });
}

/// Messages go to and fro between an account's own store and that of a namespace, `Archive/`.
pub(super) fn across(client: &mut Client) {
    let none = SystemFlags::NONE;
    client.step("first look", |client| {
        for mailbox in ["INBOX", "Archive"] {
            let mailboxes = &mut client.told.mailboxes;
            mailboxes.insert(mailbox.into(), Mailbox::default());
            client
                .account()
                .status(&name(mailbox), Asked::default())
                .unwrap();
        }
        client.watch();
    });
    client.step("create", |client| client.create("Archive/2019"));
    client.step("deliver", |client| client.append("INBOX", "1", none, &[]));
    client.step("deliver", |client| {
        client.append("INBOX", "2", none, &["x"])
    });
    client.step("append", |client| {
        client.append("INBOX", "3", SystemFlags::SEEN, &["$Forwarded", "x"]);
    });
    client.step("copy there", |client| {
        client.carry("INBOX", &[1, 2, 3], "Archive/2019", false);
    });
    many_keywords(client, 3);
    client.step("move there", |client| {
        client.carry("INBOX", &[1, 3], "Archive", true);
    });
    client.step("flags", |client| {
        client.add_flags("Archive/2019", &[2, 3], SystemFlags::FLAGGED, "new");
    });
    client.step("move back", |client| {
        client.carry("Archive/2019", &[2, 3], "INBOX", true);
    });
    client.step("append there", |client| {
        client.append("Archive/2019", "4", SystemFlags::DRAFT, &["new"]);
    });
    client.step("move on", |client| {
        client.carry("Archive/2019", &[4], "Archive", true);
    });
    client.step("deleted", |client| {
        client.add_flags("INBOX", &[2, 4], SystemFlags::DELETED, "");
    });
    client.step("move what is deleted", |client| {
        client.carry("INBOX", &[2], "Archive/2019", true);
    });
    client.step("expunge", |client| client.expunge("INBOX", &[4]));
    client.step("deliver", |client| client.append("INBOX", "5", none, &[]));
    client.step("purge", Client::purge);
    client.step("subscribe", |client| {
        let cold = name("Archive/2019");
        client.account().subscribe(&cold, true).unwrap();
        client.told.subscriptions.insert("Archive/2019".into());
    });
    client.step("rename", |client| {
        let (old, new) = (name("Archive/2019"), name("Archive/old"));
        client.account().rename(&old, &new).unwrap();
        let mailbox = client.told.mailboxes.remove("Archive/2019").unwrap();
        client.told.mailboxes.insert("Archive/old".into(), mailbox);
    });
    client.step("close and open", |client| {
        client.session = None;
        client.flusher = None;
        client.host().close().unwrap();
        client.all_is_durable();
        client.host = None;
        client.open();
        client.watch();
    });
    client.step("move all back", |client| {
        client.carry("Archive", &[1, 2, 3], "INBOX", true);
    });
    client.step("copy back", |client| {
        client.carry("Archive/old", &[1], "INBOX", false);
    });
    client.step("delete", |client| {
        client.account().delete(&name("Archive/old")).unwrap();
        client.told.mailboxes.remove("Archive/old");
    });
    client.step("rename INBOX", |client| {
        super::rename_inbox(&client.account(), "Archive/all");
        let messages = std::mem::take(&mut client.mailbox("INBOX").messages);
        let all = Mailbox {
            messages: (1..).zip(messages.into_values()).collect(),
            ..Mailbox::default()
        };
        client.told.mailboxes.insert("Archive/all".into(), all);
    });
    client.step("deliver", |client| client.append("INBOX", "6", none, &[]));
    client.step("close", |client| client.host().close().unwrap());
}

/// Many things at once.
pub(super) fn crowded(client: &mut Client) {
    client.step("first look", |client| {
        let inbox = Mailbox::default();
        client.told.mailboxes.insert("INBOX".into(), inbox);
        client.watch();
    });
    client.step("create", |client| client.create("a"));
    for subject in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        client.step("deliver", |client| {
            client.append("INBOX", subject, SystemFlags::NONE, &[])
        });
    }
    client.side_by_side("at once", "a", (&[1, 2], 3));
    client.step("rename", |client| {
        let account = client.account();
        account.rename(&name("a"), &name("b")).unwrap();
        let mailbox = client.told.mailboxes.remove("a").unwrap();
        client.told.mailboxes.insert("b".into(), mailbox);
    });
    client.side_by_side("once more", "b", (&[4], 5));
    client.step("purge", Client::purge);
    client.side_by_side("behind a purge", "b", (&[6], 7));
    client.step("close and open", |client| {
        client.session = None;
        client.host().close().unwrap();
        client.host = None;
        client.open();
        client.watch();
    });
    client.side_by_side("at last", "b", (&[8], 9));
    client.step("deliver", |client| {
        client.append("b", "10", SystemFlags::SEEN, &[])
    });
    client.step("close", |client| client.host().close().unwrap());
}

/// Several messages in one command.
pub(super) fn together(client: &mut Client) {
    client.step("first look", |client| {
        let inbox = Mailbox::default();
        client.told.mailboxes.insert("INBOX".into(), inbox);
        client.watch();
    });
    client.step("deliver", |client| {
        client.append("INBOX", "1", SystemFlags::NONE, &[])
    });
    client.step("append", |client| client.append_together(&["2", "3", "4"]));
    client.step("append", |client| client.append_together(&["5", "6"]));
    client.step("deliver", |client| {
        client.append("INBOX", "7", SystemFlags::SEEN, &[])
    });
}
