//! What of messages is kept in the index, and for how long.
//!
//! Of messages that come one by one to a mailbox nothing is kept as long as nobody asked for a field of those there are:
//! somebody who lists no messages (POP3), or never looks there, has nothing of it, and it is half of what a delivery
//! writes into the index. From then on, or as soon as many are brought at once, all fields are.
//! A field of a mailbox's messages that nobody asks for in the time for which fields are kept is kept no
//! more (`index::Fields`); where there is no room for another message, the oldest lose theirs. Both is done
//! when the mailbox is next cared for: after a delivery, after something was learned, when its last
//! session leaves. What is not there is learned again when somebody asks.

use super::host::Limits;
use super::shared::Shared;
use crate::index::{Bounds, Fields, Keeping, Usage, Writer};
use crate::sys::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Rows that are looked at in one turn.
const ROWS: usize = if cfg!(test) { 4 } else { 2048 };

/// What is noted of a mailbox while it is open.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Somebody asked for something at some time.
    ever: AtomicBool,
    /// When it was last noted that somebody asked, in seconds, and below that for which fields.
    noted: AtomicU32,
    /// There was no room for something.
    full: AtomicBool,
}

/// Seconds that go into what is noted: eight years.
const SECONDS: u32 = u32::MAX >> Fields::ALL.len();

impl Limits {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            mailbox_octets: self.cache_mailbox_octets,
            user_octets: self.cache_user_octets,
            unused_seconds: self.cache_unused_time.as_secs(),
            now: clock::now().as_secs(),
        }
    }
}

impl Shared {
    /// True if somebody asked for fields of the mailbox at some time: only then they are kept of messages that come.
    pub(super) fn was_asked(&self) -> bool {
        if self.asked.ever.load(Ordering::Relaxed) {
            return true;
        }
        let usage = self.host.index.read().and_then(|r| r.usage(self.id));
        let ever = usage.is_ok_and(|usage| usage.is_some());
        self.asked.ever.store(ever, Ordering::Relaxed);
        ever
    }

    /// Somebody asks for these fields, which is noted once a day.
    pub(super) fn note_asked(&self, fields: Fields) {
        let bounds = self.host.limits.bounds();
        let now = (bounds.now & u64::from(SECONDS)) as u32;
        let noted = self.asked.noted.load(Ordering::Relaxed);
        let since = now.wrapping_sub(noted >> Fields::ALL.len()) & SECONDS;
        let known = match u64::from(since) <= bounds.note_seconds() {
            true => Fields::of_bits(noted as u8),
            false => Fields::NONE,
        };
        // Where the disk is full there are more important things to write.
        if fields.without(known).is_empty() || self.host.reserve.is_used() {
            return;
        }
        let usage = self.host.index.read().and_then(|r| r.usage(self.id));
        let is_news = |usage: Option<Usage>| usage.is_none_or(|u| u.is_news(fields, &bounds));
        if usage.is_ok_and(is_news) {
            let noting = |w: &mut Writer<'_>| w.note_asked(self.owner, self.id, fields, bounds.now);
            if self.host.write(noting).is_err() {
                // It is noted when somebody asks the next time.
                return;
            }
        }
        let known = u32::from(known.or(fields).bits());
        let noted = now << Fields::ALL.len() | known;
        self.asked.noted.store(noted, Ordering::Relaxed);
    }

    /// Something was to be kept.
    pub(super) fn note_keeping(&self, keeping: &Keeping) {
        self.asked.full.fetch_or(keeping.is_full, Ordering::AcqRel);
    }

    /// True if the index has of the mailbox's messages what it is to have no more.
    pub(super) fn needs_trim(&self) -> bool {
        let usage = || self.host.index.read().and_then(|r| r.usage(self.id));
        let bounds = self.host.limits.bounds();
        self.asked.full.load(Ordering::Acquire)
            || usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.needs_care(&bounds)))
    }

    /// Takes some of that out of it; the rest waits for the next turn.
    pub(super) fn trim(self: &Arc<Self>) {
        if !self.needs_trim() {
            return;
        }
        let bounds = self.host.limits.bounds();
        let full = self.asked.full.load(Ordering::Acquire);
        let trimmed = self
            .host
            .write(|w| w.trim(self.owner, self.id, (&bounds, full), ROWS));
        match trimmed {
            Ok(true) => self.host.trim_later(self),
            Ok(false) => self.asked.full.store(false, Ordering::Release),
            // The next to care for the mailbox tries again.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, name};
    use super::super::{Access, Account, Care, Host, Report, Want};
    use super::*;
    use crate::index::Index;
    use crate::mail::{Criteria, Flags, HeaderField, SortCriterion, SortKey, Threading};
    use std::path::Path;
    use std::time::Duration;

    const MONTH: u64 = 31 * 86_400;
    const ALL: Fields = Fields::FACTS.or(Fields::PREVIEW);

    fn opened(root: &Path, limits: Limits) -> (Host, Account) {
        let host = Host::with(Index::memory().unwrap(), limits);
        let account = host.account("u", root).unwrap();
        (host, account)
    }

    /// What clients are told of a mailbox by fields that are kept.
    fn told(account: &Account, mailbox: &str) -> Vec<Vec<u8>> {
        let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
        let want = Want {
            envelope: true,
            bodystructure: true,
            header_fields: true,
            ..Want::default()
        };
        let mut all = Vec::new();
        let mut rows = view.fetch(view.uids().clone(), want);
        while rows.advance().unwrap() {
            all.push(rows.envelope().unwrap().to_vec());
            all.push(rows.bodystructure().unwrap().to_vec());
            let names = ["Subject".to_owned()];
            all.push(rows.header_fields(&names).unwrap().to_vec());
            all.push(rows.preview(false).unwrap().unwrap().into_bytes());
            all.push(rows.octets().unwrap().to_string().into_bytes());
        }
        all
    }

    /// What is found, sorted and put into threads.
    fn found(account: &Account, mailbox: &str) -> Vec<String> {
        let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
        let header = Criteria::Header(HeaderField("Subject".into()), "1".into());
        let mut search = view.search(header.clone());
        let uids = loop {
            if let Some(uids) = search.step().unwrap() {
                break uids.to_string();
            }
        };
        let mut all = vec![uids];
        for key in [SortKey::Subject, SortKey::From, SortKey::Size] {
            let order = vec![SortCriterion { key, reverse: true }];
            let mut sort = view.sort(order, Criteria::All);
            let mut sorted = loop {
                if let Some(sorted) = sort.step().unwrap() {
                    break sorted;
                }
            };
            while let Some(uid) = sorted.next().unwrap() {
                all.push(uid.to_string());
            }
        }
        let mut thread = view.thread(Threading::References, header);
        let mut threads = loop {
            if let Some(threads) = thread.step().unwrap() {
                break threads;
            }
        };
        let mut out = Vec::new();
        while threads.tell(&|uid| Some(uid.number()), &mut out) {}
        all.push(String::from_utf8(out).unwrap());
        all
    }

    fn usage(host: &Host, account: &Account, mailbox: &str) -> Usage {
        let shared = account.shared(&name(mailbox)).unwrap();
        let bounds = host.inner.limits.bounds();
        let usage = host
            .inner
            .write(|w| w.usage(shared.owner, shared.id, bounds.now));
        // What is counted with each change is what there is.
        let room = host.inner.index.room(shared.id).unwrap();
        assert_eq!(usage.unwrap().octets, room.cached_octets);
        usage.unwrap()
    }

    fn octets(host: &Host, account: &Account, mailbox: &str) -> u64 {
        usage(host, account, mailbox).octets
    }

    /// As if nobody had asked for these for so long.
    fn age(host: &Host, account: &Account, fields: Fields, seconds: u64) {
        let shared = account.shared(&name("INBOX")).unwrap();
        let then = clock::now().as_secs() - seconds;
        let noted = host
            .inner
            .write(|w| w.note_asked(shared.owner, shared.id, fields, then));
        noted.unwrap();
        shared.asked.noted.store(0, Ordering::Relaxed);
    }

    /// Nobody has the mailbox open any more, and the index is flushed until nothing waits.
    fn care(host: &Host, account: &Account) -> usize {
        drop(account.select(&name("INBOX"), Access::ReadOnly).unwrap());
        let mut turns = 0;
        while host.is_dirty() {
            host.flush().unwrap();
            turns += 1;
        }
        turns
    }

    #[test]
    fn what_nobody_asks_for_goes_and_is_learned_again() {
        let directory = tempfile::tempdir().unwrap();
        let (host, account) = opened(directory.path(), Limits::default());
        for n in 1..=11 {
            append(&account, "INBOX", &format!("no. {n}"), &Flags::default());
        }
        let (lists, hits) = (told(&account, "INBOX"), found(&account, "INBOX"));
        care(&host, &account);
        let all = octets(&host, &account, "INBOX");
        assert!(all > 0);
        // What is asked for stays: of that alone there is something for new messages, too.
        age(&host, &account, ALL, MONTH);
        age(&host, &account, Fields::HEADER, 0);
        // A few rows at a time.
        assert!(care(&host, &account) >= 3);
        let less = octets(&host, &account, "INBOX");
        assert!(less > 0 && less < all * 2 / 3, "{less} of {all}");
        append(&account, "INBOX", "new", &Flags::default());
        let one = octets(&host, &account, "INBOX") - less;
        assert!(one > 0 && one < less / 8, "{one} of {less}");
        assert_eq!(found(&account, "INBOX")[0], hits[0]);
        assert_eq!(octets(&host, &account, "INBOX"), less + one);
        let again = told(&account, "INBOX");
        assert_eq!(again[..lists.len()], lists);
        assert!(octets(&host, &account, "INBOX") > all);
        // Nothing is asked for.
        age(&host, &account, ALL, MONTH);
        care(&host, &account);
        assert_eq!(octets(&host, &account, "INBOX"), 0);
        assert!(!usage(&host, &account, "INBOX").needs_care(&host.inner.limits.bounds()));
        assert_eq!(told(&account, "INBOX"), again);
        assert!(octets(&host, &account, "INBOX") > all);
        age(&host, &account, ALL, MONTH);
        care(&host, &account);
        let hits = found(&account, "INBOX");
        assert_eq!(found(&account, "INBOX"), hits);
        let known = octets(&host, &account, "INBOX");
        assert!(known > 0 && known < all, "headers alone are asked for");
    }

    #[test]
    fn nothing_is_kept_before_somebody_asks() {
        let directory = tempfile::tempdir().unwrap();
        let (host, account) = opened(directory.path(), Limits::default());
        account.create(&name("a")).unwrap();
        let shared = account.shared(&name("INBOX")).unwrap();
        let kept = || {
            let reader = host.inner.index.read().unwrap();
            let (first, last) = (crate::mail::Uid::MIN, crate::mail::Uid::MAX);
            let stored = reader.stored(shared.id, first, last).unwrap();
            let facts = stored.iter().filter(|(_, cached)| !cached.is_of_keys());
            (facts.count(), stored.len())
        };
        for n in 1..=3 {
            append(&account, "INBOX", &format!("no. {n}"), &Flags::default());
        }
        let mut view = account.select(&name("INBOX"), Access::ReadOnly).unwrap();
        assert!(kept() == (0, 3) && !shared.was_asked());
        let sizes = Want {
            octets: true,
            ..Want::default()
        };
        let mut rows = view.fetch(view.uids().clone(), sizes);
        while rows.advance().unwrap() {
            assert!(rows.octets().unwrap() > 0);
        }
        drop(rows);
        assert!(kept() == (0, 3) && !shared.was_asked());
        let lists = told(&account, "INBOX");
        assert!(kept() == (3, 3) && shared.was_asked());
        append(&account, "INBOX", "no. 4", &Flags::default());
        assert_eq!(kept(), (4, 4));
        assert_eq!(told(&account, "INBOX")[..lists.len()], lists);
        // A copy has what its message has.
        let (shared, all) = (account.shared(&name("a")).unwrap(), view.uids().clone());
        view.copy(&all, &name("a")).unwrap();
        let reader = host.inner.index.read().unwrap();
        let (first, last) = (crate::mail::Uid::MIN, crate::mail::Uid::MAX);
        let stored = reader.stored(shared.id, first, last).unwrap();
        assert_eq!(stored.len(), 3);
        assert!(stored.iter().all(|(_, cached)| !cached.is_of_keys()));
    }

    #[test]
    fn the_oldest_lose_theirs_where_there_is_too_much() {
        for (mailbox_octets, user_octets) in [(1500, u64::MAX), (u64::MAX, 1500)] {
            let directory = tempfile::tempdir().unwrap();
            let limits = Limits {
                cache_mailbox_octets: mailbox_octets,
                cache_user_octets: user_octets,
                ..Limits::default()
            };
            let (host, account) = opened(directory.path(), limits);
            account.create(&name("other")).unwrap();
            for n in 1..=20 {
                append(&account, "INBOX", &format!("no. {n}"), &Flags::default());
                append(&account, "other", &format!("no. {n}"), &Flags::default());
                let both = [
                    octets(&host, &account, "INBOX"),
                    octets(&host, &account, "other"),
                ];
                assert!(both.iter().all(|own| *own <= mailbox_octets), "{both:?}");
                assert!(both.iter().sum::<u64>() <= user_octets, "{both:?}");
                host.flush().unwrap();
            }
            let own = octets(&host, &account, "INBOX");
            assert!(own > 0);
            // The newest has its own, the oldest has not.
            let shared = account.shared(&name("INBOX")).unwrap();
            let (first, last) = (crate::mail::Uid::MIN, crate::mail::Uid::MAX);
            let reader = host.inner.index.read().unwrap();
            let mut kept = reader.stored(shared.id, first, last).unwrap();
            drop(reader);
            kept.retain(|(_, cached)| !cached.is_of_keys());
            assert!(kept.len() < 20 && kept.last().unwrap().0.number() >= 19);
            let (lists, hits) = (told(&account, "INBOX"), found(&account, "INBOX"));
            assert_eq!((lists.len(), hits.len()), (100, 62));
            assert!(octets(&host, &account, "INBOX") <= mailbox_octets.min(user_octets));
            let forgotten = |mailbox| {
                let mut said = Vec::new();
                let care = Care::Forget(mailbox);
                account.care(care, &mut |report| said.push(report)).unwrap();
                said.iter()
                    .all(|r| matches!(r, Report::Kept { octets: 0, .. }))
            };
            assert!(forgotten(Some(name("INBOX"))));
            assert_eq!(octets(&host, &account, "INBOX"), 0);
            assert!(octets(&host, &account, "other") > 0);
            assert_eq!(
                (told(&account, "INBOX"), found(&account, "INBOX")),
                (lists, hits)
            );
            assert!(forgotten(None));
            assert_eq!(octets(&host, &account, "other"), 0);
        }
    }

    #[test]
    fn what_is_kept_is_counted_whatever_happens() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits {
            cache_user_octets: 100_000,
            cache_unused_time: Duration::from_secs(86_400),
            ..Limits::default()
        };
        let (host, account) = opened(directory.path(), limits);
        account.create(&name("a")).unwrap();
        for n in 1..=9 {
            append(&account, "INBOX", &format!("no. {n}"), &Flags::default());
        }
        let lists = told(&account, "INBOX");
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let all = view.uids().clone();
        view.copy(&all, &name("a")).unwrap();
        assert!(octets(&host, &account, "a") > 0);
        assert_eq!(told(&account, "a"), lists);
        view.transfer(&all.window(0..3), &name("a")).unwrap();
        let (inbox, a) = (
            octets(&host, &account, "INBOX"),
            octets(&host, &account, "a"),
        );
        assert!(inbox > 0 && a > inbox);
        account.rename(&name("a"), &name("b")).unwrap();
        assert_eq!(octets(&host, &account, "b"), a);
        drop(view);
        account.check(true, &mut |_| {}).unwrap();
        assert_eq!(octets(&host, &account, "b"), 0);
        told(&account, "b");
        assert!(octets(&host, &account, "b") > 0);
        account.delete(&name("b")).unwrap();
        account.create(&name("b")).unwrap();
        assert_eq!(octets(&host, &account, "b"), 0);
        told(&account, "INBOX");
        // All of that is what the account has, as whoever opens the index anew adds it up.
        let shared = account.shared(&name("INBOX")).unwrap();
        let total = host.inner.write(|w| w.total(shared.owner)).unwrap();
        assert_eq!(total, octets(&host, &account, "INBOX"));
    }
}
