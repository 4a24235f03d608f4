//! What clients were told, and what of it a power cut left.

use super::flags;
use crate::mail::{DateTime, SystemFlags};
use crate::mailbox::host::lock;
use crate::mailbox::{Access, Account, Host, Want};
use crate::mime::Section;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const DATE: i64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) flags: u8,
    pub(super) keywords: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mailbox {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) mod_seq: u64,
    pub(super) messages: BTreeMap<u32, Message>,
    /// As messages were before their flags changed, where that may be lost: in mdbox and sdbox until something
    /// else is durable in the mailbox or the flush, a second later.
    pub(super) earlier: BTreeMap<u32, Vec<Message>>,
}

/// All that clients were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) mailboxes: BTreeMap<String, Mailbox>,
    pub(super) subscriptions: BTreeSet<String>,
    /// Subjects of messages that were appended by one command; none of them goes again.
    pub(super) together: Vec<Vec<String>>,
    /// UIDVALIDITY and UID of every message there ever was.
    pub(super) ever: BTreeMap<(u32, u32), String>,
}

impl Told {
    pub(super) fn named(&self, uid_validity: u32) -> Option<(&String, &Mailbox)> {
        self.mailboxes
            .iter()
            .find(|(_, m)| m.uid_validity == uid_validity)
    }

    /// Messages of that subject.
    fn count(&self, subject: &str) -> usize {
        let messages = self.mailboxes.values().flat_map(|m| m.messages.values());
        messages
            .filter(|message| message.subject == subject)
            .count()
    }

    pub(super) fn subjects(&self) -> BTreeSet<&String> {
        let messages = self.mailboxes.values().flat_map(|m| m.messages.values());
        messages.map(|message| &message.subject).collect()
    }
}

/// What there is.
fn look(account: &Account) -> Told {
    let mut told = Told::default();
    for listed in account.list().unwrap().into_iter().filter(|l| l.selectable) {
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
            ..Mailbox::default()
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
            // Nobody was told of it: where it is found without what was noted of it, it has no flags, or
            // another UID, which nobody was told of either.
            let is_new = after.subjects().contains(&message.subject)
                && !before.subjects().contains(&message.subject);
            let found = is_new && *uid >= old.uid_next;
            let earlier = old
                .earlier
                .get(uid)
                .is_some_and(|all| all.contains(message));
            assert!(
                may.contains(&Some(message)) || found || earlier,
                "{name} {uid}: {message:?}, not {may:?}"
            );
            assert!(
                !is_new || left.count(&message.subject) == 1,
                "{message:?} is there twice"
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

/// What an index that is gone need not know.
fn without_mod_seqs(mut told: Told) -> BTreeMap<String, Mailbox> {
    told.mailboxes.values_mut().for_each(|m| m.mod_seq = 0);
    told.mailboxes
}

/// Who opens what is left: with the index or without.
pub(super) type Opener<'a> = dyn Fn(bool) -> (Host, Account) + 'a;

/// What is left is what was told `before`, or with the next step `after`; it takes new messages, and is the
/// same when it is opened anew. Returns how many mailboxes were not compared with their directories when they
/// were opened for the first time.
pub(super) fn verify(before: &Told, after: &Told, with_index: bool, open: &Opener<'_>) -> usize {
    let (host, account) = open(with_index);
    let left = look(&account);
    compare(before, after, &left);
    let scans = usize::try_from(host.scans()).unwrap();
    let trusted = match host.inner.index.was_clean() {
        true => 0,
        false => left.mailboxes.len().saturating_sub(scans),
    };
    // New messages get UIDs that nobody saw.
    for (name, mailbox) in &left.mailboxes {
        let probe = flags(SystemFlags::SEEN, &["probe"]);
        let uid = super::append(&account, name, "probe", &probe);
        let seen = before.ever.range(..=(mailbox.uid_validity, u32::MAX));
        let seen = seen.rev().find(|((v, _), _)| *v == mailbox.uid_validity);
        let highest = seen.map_or(0, |((_, uid), _)| *uid);
        assert!(uid > highest && uid >= mailbox.uid_next, "{name}: {uid}");
    }
    let now = without_mod_seqs(look(&account));
    host.close().unwrap();
    drop((account, host));
    for with_index in [with_index, false] {
        let (_host, account) = open(with_index);
        assert_eq!(without_mod_seqs(look(&account)), now);
    }
    trusted
}
