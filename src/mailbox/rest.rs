//! A large mailbox at rest, which is not compared with its directories again after a stop, also a hard one.
//!
//! What the index has on the disk after such a stop is all that was committed up to some moment. [`Rest`] in
//! the summary says that rows and directories were in line, and the directories durable, when they had that stamp.
//! If they have it now, and the rows have no higher mod-sequence than then, both are what they were:
//!
//! * Each change that this server tells of gives the rows a higher mod-sequence in the same transaction. A
//!   comparison, which may find other names alone, takes the rest back with its first change (`Merge`).
//! * Rest is noted under the mailbox's lock, with no message between its name and its row ([`State::flights`]) or
//!   its file and its row (`copy::Departed`), with no event of the watch that is not accounted for, and nothing
//!   that the side file lacks. The directories are synced then and have the same stamp before and after; it is
//!   older than a tick of the clock. So whatever is done later gives them another one, and a power cut
//!   can take back no change but such later ones. It takes them with their times, where the file system keeps
//!   both together ([`Store::keeps_stamps`]).
//! * The side file may have been written a moment before, by this server itself: another program that writes
//!   it after that, under its lock, for messages none of which came since, changes nothing that rows say.
//! * Where the clock is behind the moment of the rest, a change may meet the same time again: nothing is taken for
//!   granted.
//! * Messages that come together or not at all are looked for. Keywords that no name can hold change no
//!   directory: where there are any, nothing is noted.

use super::arrive::LETTERS;
use super::shared::{Shared, State, array};
use crate::index::{Rest, Summary};
use crate::mail::MailboxName;
use crate::store::{Stamp, Store};
use std::sync::Arc;

/// Smaller mailboxes are compared in less than a tenth of a second, also by slow machines.
const MESSAGES: u32 = if cfg!(test) { 2 } else { 5000 };

/// True if it is worth the while to note that the mailbox is at rest, which nobody did.
pub(super) fn pays(state: &State) -> bool {
    let summary = state.summary.as_ref();
    summary.is_some_and(|s| s.messages >= MESSAGES && !is_noted(s))
}

fn is_noted(summary: &Summary) -> bool {
    let noted = summary.rest.as_ref();
    noted.is_some_and(|rest| rest.mod_seq == summary.highest_mod_seq)
}

/// True if the mailbox, whose stamp is this one now, is as it was at rest. `time`: nanoseconds since 1970, read
/// before the stamp was.
pub(super) fn holds(summary: &Summary, stamp: Stamp, time: i64) -> bool {
    let noted = summary.rest.as_ref().filter(|_| is_noted(summary));
    noted.is_some_and(|rest| rest.stamp == array(stamp) && rest.time <= time)
}

/// True if what was noted holds beyond a hard stop: see the module.
pub(super) fn is_kept(store: &mut dyn Store, name: &MailboxName) -> bool {
    store.keeps_stamps(name) && store.promised(name).is_ok_and(|open| open.is_empty())
}

impl Shared {
    /// Puts into the summary that the mailbox is at rest, if it pays and it is; the index is to be made durable
    /// next. If it was changed a moment ago, it is looked at again with the next flush.
    pub(super) fn note_rest(self: &Arc<Self>, state: &mut State, store: &mut dyn Store) {
        let whole = state.caught_up && state.flights.is_empty() && state.unlisted.is_empty();
        if !pays(state) || !whole || state.list_lags || !self.is_at_rest() {
            return;
        }
        let time = crate::sys::clock::file_time();
        let Some(stamp) = store.stamp(&state.name).ok().filter(|stamp| {
            let known = state.summary.as_ref().and_then(|s| s.stamp.get(2).copied());
            known == Some(stamp.list)
        }) else {
            return;
        };
        if !is_kept(store, &state.name) {
            return;
        }
        if !stamp.is_sharp(time) {
            if stamp.is_sharp(time.saturating_add(Stamp::TICKS)) {
                self.host.settle_later(self);
            }
            return;
        }
        let synced = store.sync_mailbox(&state.name);
        let again = synced.and_then(|()| store.stamp(&state.name));
        if !again.is_ok_and(|again| again == stamp) || !self.is_at_rest() {
            return;
        }
        let named = |s: &&mut Summary| s.keywords.len() <= usize::from(LETTERS);
        if let Some(summary) = state.summary.as_mut().filter(named) {
            (summary.stamp, summary.stamp_time) = (array(stamp), time);
            summary.rest = Some(Rest {
                mod_seq: summary.highest_mod_seq,
                stamp: array(stamp),
                time,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::lock;
    use super::super::tests::{append, flags, name, shown, uids};
    use super::super::{Access, Account, FlagChange, Host, Limits};
    use crate::index::{Index, Rest};
    use crate::mail::SystemFlags;
    use std::path::Path;
    use std::time::Duration;

    /// A server that is stopped hard: copies of its index are what the disk has then.
    struct Stopped {
        directory: tempfile::TempDir,
        beside: tempfile::TempDir,
    }

    /// Of one that opens such a copy: scans, messages, HIGHESTMODSEQ and UIDNEXT of INBOX.
    type Found = (u32, Vec<(u32, u32, u8)>, u64, u32);

    impl Stopped {
        fn new() -> Stopped {
            Stopped {
                directory: tempfile::tempdir_in("/dev/shm").unwrap(),
                beside: tempfile::tempdir().unwrap(),
            }
        }

        fn root(&self) -> &Path {
            self.directory.path()
        }

        fn open(&self, index: &str) -> (Host, Account) {
            let path = self.beside.path().join(index);
            let host = Host::open(&path, Limits::default()).unwrap();
            let account = host.account("u", self.root()).unwrap();
            (host, account)
        }

        fn copy(&self, index: &str) {
            let at = |name: &str| self.beside.path().join(name);
            for end in ["", "journal"] {
                let (from, to) = (at("index"), at(index));
                std::fs::copy(from.with_extension(end), to.with_extension(end)).unwrap();
            }
        }

        fn look(&self, index: &str) -> Found {
            let (host, account) = self.open(index);
            let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            let numbers = (view.highest_mod_seq().number(), view.uid_next().number());
            (host.scans(), shown(&view), numbers.0, numbers.1)
        }

        /// What that copy of the index has of it, and the highest mod-sequence.
        fn noted(&self, index: &str) -> (Option<Rest>, u64) {
            self.copy(index);
            let index = Index::open(&self.beside.path().join(index), 1 << 20).unwrap();
            let reader = index.read().unwrap();
            let inbox = reader.account("u").unwrap().unwrap();
            let inbox = reader.mailbox(inbox, &name("INBOX")).unwrap().unwrap();
            let summary = reader.summary(inbox).unwrap().unwrap();
            (summary.rest, summary.highest_mod_seq.number())
        }

        fn is_noted(&self, index: &str) -> bool {
            let (rest, mod_seq) = self.noted(index);
            rest.is_some_and(|rest| rest.mod_seq.number() == mod_seq)
        }
    }

    /// Longer than times in a stamp may be behind; and makes the index durable.
    fn rest(host: &Host) {
        std::thread::sleep(Duration::from_millis(60));
        host.flush().unwrap();
    }

    fn bring(account: &Account, count: usize) {
        for at in 0..count {
            append(account, "INBOX", &format!("{at}"), &Default::default());
        }
    }

    fn file(stopped: &Stopped) -> std::path::PathBuf {
        let parts = ["new", "cur"].map(|part| stopped.root().join(part));
        let all = parts
            .iter()
            .flat_map(|part| std::fs::read_dir(part).unwrap());
        all.map(|entry| entry.unwrap().path()).min().unwrap()
    }

    #[test]
    fn after_a_hard_stop_what_is_as_it_was_at_rest_is_not_compared() {
        let stopped = Stopped::new();
        let (host, account) = stopped.open("index");
        bring(&account, 3);
        let known = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        rest(&host);
        let copies = ["as it was", "promised", "emptied", "renamed", "changed"];
        copies.iter().for_each(|copy| stopped.copy(copy));
        let before = (shown(&known), known.highest_mod_seq().number());
        let (scans, rows, mod_seq, next) = stopped.look("as it was");
        assert_eq!((scans, next), (0, 4));
        assert_eq!((rows, mod_seq), before);
        // Messages that were to come together, of which none came: others get their UIDs.
        let promise = stopped.root().join("tmp/dovelet-together.4-5");
        std::fs::write(&promise, "").unwrap();
        let (scans, rows, mod_seq, _) = stopped.look("promised");
        assert!(scans == 1 && rows == before.0 && mod_seq > before.1 && !promise.exists());
        // Another program gives a message a flag while nothing runs, or takes it away.
        let one = file(&stopped);
        let base = one.file_name().unwrap().to_str().unwrap();
        let base = base.split(":2,").next().unwrap();
        let read = stopped.root().join(format!("cur/{base}:2,S"));
        std::fs::rename(&one, &read).unwrap();
        let (scans, rows, ..) = stopped.look("renamed");
        assert!(scans == 1 && rows.len() == 3 && rows != before.0);
        std::fs::remove_file(&read).unwrap();
        let (scans, rows, ..) = stopped.look("emptied");
        assert!(scans == 1 && rows.len() == 2);
        // The server itself, which nobody stopped yet, went on.
        bring(&account, 1);
        let (scans, rows, mod_seq, _) = stopped.look("changed");
        assert!(scans == 1 && rows.len() == 3 && mod_seq > before.1);
    }

    #[test]
    fn a_clock_that_is_behind_tells_nothing() {
        let stopped = Stopped::new();
        let (host, account) = stopped.open("index");
        bring(&account, 2);
        let _view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        rest(&host);
        let shared = account.shared(&name("INBOX")).unwrap();
        let mut summary = lock(&shared.state).summary.clone().unwrap();
        assert!(summary.rest.is_some());
        if let Some(rest) = &mut summary.rest {
            rest.time += 3_600_000_000_000;
        }
        let written = host.inner.write(|w| w.set_summary(shared.id, &summary));
        written.unwrap();
        host.inner.index.flush().unwrap();
        stopped.copy("ahead");
        assert_eq!(stopped.look("ahead").0, 1);
    }

    #[test]
    fn each_change_ends_the_rest_until_it_is_noted_again() {
        let stopped = Stopped::new();
        let (host, account) = stopped.open("index");
        bring(&account, 1);
        drop(account.select(&name("INBOX"), Access::ReadWrite).unwrap());
        rest(&host);
        assert!(!stopped.is_noted("small"), "it would not pay");
        bring(&account, 2);
        rest(&host);
        assert!(stopped.is_noted("at rest"));
        bring(&account, 1);
        // Another mailbox has something made durable.
        host.inner.index.flush().unwrap();
        assert!(!stopped.is_noted("brought"));
        rest(&host);
        assert!(stopped.is_noted("at rest again"));
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let flagged = flags(SystemFlags::FLAGGED, &[]);
        let marked = view.mark(&uids(&[1]), FlagChange::Add, &flagged, None);
        marked.unwrap();
        host.inner.index.flush().unwrap();
        assert!(!stopped.is_noted("marked"));
        rest(&host);
        assert!(stopped.is_noted("marked, at rest"));
        view.discard(&uids(&[1])).unwrap();
        host.inner.index.flush().unwrap();
        assert!(!stopped.is_noted("expunged"));
        drop(view);
        rest(&host);
        assert!(stopped.is_noted("expunged, at rest"));
        // A name alone, which has no mod-sequence.
        let one = file(&stopped);
        let base = one.file_name().unwrap().to_str().unwrap();
        std::fs::rename(&one, stopped.root().join(format!("cur/{base}:2,"))).unwrap();
        drop(account.select(&name("INBOX"), Access::ReadOnly).unwrap());
        assert!(host.scans() > 0);
        host.inner.index.flush().unwrap();
        assert_eq!(stopped.noted("renamed").0, None);
    }

    #[test]
    fn what_is_under_way_or_not_taken_in_is_no_rest() {
        let stopped = Stopped::new();
        let (host, account) = stopped.open("index");
        bring(&account, 3);
        let shared = account.shared(&name("INBOX")).unwrap();
        let _view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        shared.begin();
        rest(&host);
        assert!(!stopped.is_noted("under way"));
        shared.end(0);
        std::fs::write(stopped.root().join("new/1.foreign"), "Subject: x\n\n").unwrap();
        host.inner.settle_later(&shared);
        rest(&host);
        assert!(!stopped.is_noted("not taken in"));
        drop(account.select(&name("INBOX"), Access::ReadOnly).unwrap());
        rest(&host);
        assert!(stopped.is_noted("at rest"));
    }

    #[test]
    fn what_left_and_has_its_row_is_no_rest() {
        // Files of MOVE are gone before their rows are.
        let stopped = Stopped::new();
        let (host, account) = stopped.open("index");
        account.create(&name("other")).unwrap();
        bring(&account, 5);
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        rest(&host);
        let shared = account.shared(&name("INBOX")).unwrap();
        assert!(shared.is_at_rest());
        let mut carry = view.moving(&uids(&[1, 2]), &name("other")).unwrap();
        let carried = carry.name_batch_for_tests();
        assert!(!shared.is_at_rest());
        drop(carried);
        assert!(shared.is_at_rest());
    }

    #[test]
    fn keywords_without_letters_have_a_mailbox_compared_after_a_hard_stop() {
        let stopped = Stopped::new();
        let (host, account) = stopped.open("index");
        let named: Vec<String> = (0..27).map(|at| format!("k{at}")).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        bring(&account, 2);
        let _view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        rest(&host);
        stopped.copy("none");
        assert_eq!(stopped.look("none").0, 0);
        append(&account, "INBOX", "a", &flags(SystemFlags::NONE, &named));
        rest(&host);
        stopped.copy("many");
        assert_eq!(stopped.look("many").0, 1);
    }
}
