//! What changed since a mod-sequence: one query for NOOP, IDLE, CHANGEDSINCE and QRESYNC.

use super::shared::Shared;
use super::steps::uids_of;
use super::{Error, fault};
use crate::index::Bits;
use crate::mail::{Since, Uid, UidSet};

impl Shared {
    /// UIDs of messages that were expunged after `since`; `None` if that is further back than the
    /// index remembers, or is no mod-sequence this mailbox ever had.
    pub(super) fn expunged_since(&self, since: Since) -> Result<Option<UidSet>, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        let summary = reader
            .summary(self.id)
            .map_err(fault("reading the index"))?
            .ok_or(Error::Fault)?;
        let highest = summary.highest_mod_seq.number();
        if since.number() < summary.horizon || since.number() > highest {
            return Ok(None);
        }
        let mut expunged = UidSet::new();
        reader
            .each_expunged(self.id, since, &mut |number, slots| {
                for &(first, last) in uids_of(number, &slots).runs() {
                    if let (Some(first), Some(last)) = (Uid::new(first), Uid::new(last)) {
                        expunged.insert_range(first, last);
                    }
                }
            })
            .map_err(fault("reading the index"))?;
        Ok(Some(expunged))
    }

    /// Messages that are there and came or changed after `since`, from the index; all of them if that
    /// is no mod-sequence this mailbox ever had, or one of which not all may be known. Chunks in which nothing changed are only looked at.
    pub(super) fn changed_since(&self, since: Since) -> Result<UidSet, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        let summary = reader
            .summary(self.id)
            .map_err(fault("reading the index"))?
            .ok_or(Error::Fault)?;
        let is_unknown = since.number() > summary.highest_mod_seq.number();
        let since = if is_unknown || summary.is_doubtful(since) {
            Since::START
        } else {
            since
        };
        let mut changed = UidSet::new();
        reader
            .each_flags(self.id, &mut |number, chunk| {
                if chunk.highest_mod_seq() <= since.number() {
                    return;
                }
                let mut slots = Bits::default();
                for slot in chunk.present.slots() {
                    slots.set(slot, since.is_before(chunk.mod_seq(slot)));
                }
                changed = changed.union(&uids_of(number, &slots));
            })
            .map_err(fault("reading the index"))?;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, flags, name, uids};
    use super::super::{Access, Account, Expunges, FlagChange, Host, Limits, View};
    use crate::mail::{Flags, ModSeq, Since, SystemFlags, Uid, UidSet};

    fn host(expunges: u32) -> Host {
        let limits = Limits {
            expunges,
            ..Limits::default()
        };
        Host::with(crate::index::Index::memory().unwrap(), limits)
    }

    fn inbox(account: &Account) -> View {
        account.select(&name("INBOX"), Access::ReadWrite).unwrap()
    }

    fn expunge(view: &mut View, numbers: &[u32]) {
        let (doomed, deleted) = (uids(numbers), flags(SystemFlags::DELETED, &[]));
        let add = super::super::FlagChange::Add;
        view.mark(&doomed, add, &deleted, None).unwrap();
        view.expunge(Some(&doomed)).unwrap();
        view.sync(Expunges::Tell).unwrap();
    }

    fn vanished(view: &View, since: ModSeq) -> String {
        let all = UidSet::range(Uid::MIN, Uid::MAX);
        view.vanished_since(&all, since.into()).unwrap().to_string()
    }

    fn changed(view: &View, since: Since) -> String {
        view.changed_since(view.uids(), since).unwrap().to_string()
    }

    #[test]
    fn expunges_are_remembered_up_to_the_horizon() {
        let directory = tempfile::tempdir().unwrap();
        let account = host(3).account("u", directory.path()).unwrap();
        (1..=9).for_each(|n| {
            append(&account, "INBOX", &n.to_string(), &Flags::default());
        });
        let mut view = inbox(&account);
        let start = view.highest_mod_seq();
        assert_eq!(vanished(&view, start), "");
        expunge(&mut view, &[2]);
        let second = view.highest_mod_seq();
        expunge(&mut view, &[4, 5]);
        assert!(start < second && second < view.highest_mod_seq());
        assert_eq!(vanished(&view, start), "2,4:5");
        assert_eq!(vanished(&view, second), "4:5");
        assert_eq!(vanished(&view, view.highest_mod_seq()), "");
        let before = view.highest_mod_seq();
        expunge(&mut view, &[9]);
        // The fourth row pushes the first one out.
        expunge(&mut view, &[7]);
        assert_eq!(vanished(&view, before), "7,9");
        assert_eq!(vanished(&view, second), "4:5,7,9");
        assert_eq!(
            vanished(&view, start),
            "2,4:5,7,9",
            "every UID that is missing"
        );
        let view = inbox(&account);
        assert_eq!(view.uid_next().number(), 10);
        let known = uids(&[1, 5, 9, 10, 11]);
        let gone = view.vanished_since(&known, Since::START).unwrap();
        assert_eq!(
            gone.to_string(),
            "5,9",
            "what was never given did not vanish"
        );
    }

    #[test]
    fn a_mod_sequence_from_nowhere_is_told_everything() {
        let directory = tempfile::tempdir().unwrap();
        let account = host(9).account("u", directory.path()).unwrap();
        (1..=4).for_each(|n| {
            append(&account, "INBOX", &n.to_string(), &Flags::default());
        });
        let mut view = inbox(&account);
        expunge(&mut view, &[1, 3]);
        let beyond = Since::new(ModSeq::MAX_NUMBER).unwrap();
        let all = UidSet::range(Uid::MIN, Uid::MAX);
        let gone = view.vanished_since(&all, beyond).unwrap();
        assert_eq!(
            (gone.to_string(), changed(&view, beyond)),
            ("1,3".into(), "2,4".into())
        );
        assert_eq!(changed(&view, view.highest_mod_seq().into()), "");
    }

    /// An index as the disk has it, with the notes beside it.
    fn survive(from: &std::path::Path, to: &std::path::Path) {
        std::fs::copy(from, to).unwrap();
        let notes = from.with_extension("journal");
        if notes.exists() {
            std::fs::copy(notes, to.with_extension("journal")).unwrap();
        }
    }

    #[test]
    fn nothing_is_missed_over_an_unclean_stop() {
        let directory = tempfile::tempdir().unwrap();
        let (root, file) = (
            directory.path().join("mail"),
            directory.path().join("index"),
        );
        std::fs::create_dir(&root).unwrap();
        let before = {
            let host =
                Host::open_in(&file, crate::config::Format::Maildir, Limits::default()).unwrap();
            let account = host.account("u", &root).unwrap();
            append(&account, "INBOX", "kept", &Flags::default());
            let mut view = inbox(&account);
            host.flush().unwrap();
            survive(&file, &directory.path().join("survives"));
            // None of this is in the index that survives; a client was told of it.
            append(&account, "INBOX", "came and went", &Flags::default());
            view.sync(Expunges::Tell).unwrap();
            let told = view.highest_mod_seq();
            expunge(&mut view, &[2]);
            append(&account, "INBOX", "new", &Flags::default());
            view.sync(Expunges::Tell).unwrap();
            (told, view.highest_mod_seq())
        };
        let again = |index: &str| {
            let path = directory.path().join(index);
            let form = crate::config::Format::Maildir;
            Host::open_in(&path, form, Limits::default()).unwrap()
        };
        let host = again("survives");
        let view = inbox(&host.account("u", &root).unwrap());
        assert!(view.highest_mod_seq() > before.1, "mod-sequences went back");
        assert_eq!(vanished(&view, before.0), "2");
        assert_eq!(vanished(&view, before.1), "2");
        // Nor do flags go by that which may not be as they were told.
        assert_eq!(changed(&view, before.1.into()), "1,3");
        assert_eq!(vanished(&view, view.highest_mod_seq()), "");
        // So it goes on if that process is ended before its first flush, and the next one.
        let (mut last, mut host, mut view) = ("survives".to_owned(), host, view);
        for end in 1..=3 {
            let all = view.uids().clone();
            for change in [
                crate::mailbox::FlagChange::Add,
                crate::mailbox::FlagChange::Remove,
            ] {
                let seen = super::super::tests::flags(crate::mail::SystemFlags::SEEN, &[]);
                view.mark(&all, change, &seen, None).unwrap();
            }
            let told = view.highest_mod_seq();
            let next = format!("ended {end}");
            let at = |index: &str| directory.path().join(index);
            survive(&at(&last), &at(&next));
            drop((view, host));
            host = again(&next);
            if end == 2 {
                // A process that nobody asks for this mailbox, and that ends well.
                host.close().unwrap();
                drop(host);
                host = again(&next);
            }
            let account = host.account("u", &root).unwrap();
            {
                let reader = host.inner.index.read().unwrap();
                let id = reader.mailbox(account.0.id, &name("INBOX")).unwrap();
                let known = reader.summary(id.unwrap()).unwrap().unwrap();
                assert!(known.highest_mod_seq < before.1, "nothing was forgotten");
            }
            view = inbox(&account);
            assert!(view.highest_mod_seq() > told, "{end}");
            last = next;
        }
    }

    /// What was set and taken away again before a hard stop was told to somebody in between.
    #[test]
    fn what_an_index_forgot_is_told_to_who_knows_some_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let (index, root) = (
            directory.path().join("index"),
            directory.path().join("mail"),
        );
        let again = || {
            let host = Host::open(&index, Limits::default()).unwrap();
            let account = host.account("u", &root).unwrap();
            (host, account)
        };
        let (host, account) = again();
        for number in 1..=3 {
            append(&account, "INBOX", &number.to_string(), &Flags::default());
        }
        let mut view = inbox(&account);
        let known = view.highest_mod_seq();
        host.flush().unwrap();
        let files = ["index", "index.journal"].map(|file| directory.path().join(file));
        let old = files.each_ref().map(|file| std::fs::read(file).ok());
        let seen = flags(SystemFlags::SEEN, &[]);
        view.mark(&uids(&[2]), super::super::FlagChange::Add, &seen, None)
            .unwrap();
        view.sync(Expunges::Tell).unwrap();
        let told = view.highest_mod_seq();
        view.mark(&uids(&[2]), super::super::FlagChange::Remove, &seen, None)
            .unwrap();
        drop((view, account, host));
        for (file, old) in files.iter().zip(old) {
            match old {
                Some(old) => std::fs::write(file, old).unwrap(),
                None => drop(std::fs::remove_file(file)),
            }
        }
        let (_host, account) = again();
        let view = inbox(&account);
        assert_eq!(changed(&view, told.into()), "1:3");
        assert_eq!(
            changed(&view, known.into()),
            "",
            "who knows nothing of it is told nothing"
        );
        assert_eq!(changed(&view, view.highest_mod_seq().into()), "");
        // Nor does somebody who knows \Seen change what it does not know.
        let mut view = view;
        for change in [FlagChange::Set, FlagChange::Remove] {
            let flagged = flags(SystemFlags::FLAGGED, &[]);
            let marked = view.mark(&uids(&[2]), change, &flagged, Some(told.into()));
            assert_eq!(marked.unwrap().modified, uids(&[2]));
        }
        let flagged = flags(SystemFlags::FLAGGED, &[]);
        let marked = view.mark(&uids(&[2]), FlagChange::Set, &flagged, Some(known.into()));
        assert!(marked.unwrap().modified.is_empty());
    }

    /// An older copy of the index: what it gave since, in a process that is gone, is given to nothing else.
    #[test]
    fn an_index_of_another_day_gives_no_mod_sequence_again() {
        use crate::mail::SystemFlags;
        let directory = tempfile::tempdir().unwrap();
        let (index, root) = (
            directory.path().join("index"),
            directory.path().join("mail"),
        );
        let again = || {
            let host = Host::open(&index, Limits::default()).unwrap();
            let account = host.account("u", &root).unwrap();
            (host, account)
        };
        let add = crate::mailbox::FlagChange::Add;
        let (host, account) = again();
        for number in 1..=3 {
            append(&account, "INBOX", &number.to_string(), &Flags::default());
        }
        host.close().unwrap();
        drop((host, account));
        let old = std::fs::read(&index).unwrap();
        let (host, account) = again();
        let mut view = inbox(&account);
        let seen = flags(SystemFlags::SEEN, &[]);
        for _ in 0..20 {
            for change in [add, crate::mailbox::FlagChange::Remove] {
                view.mark(&uids(&[1]), change, &seen, None).unwrap();
            }
        }
        view.sync(Expunges::Tell).unwrap();
        let told = view.highest_mod_seq();
        drop((view, account));
        host.close().unwrap();
        drop(host);
        std::fs::write(&index, old).unwrap();
        // By a leap for each process the numbers are ahead of the clock.
        std::thread::sleep(std::time::Duration::from_millis(3300));
        let (_host, account) = again();
        let mut view = inbox(&account);
        let draft = flags(SystemFlags::DRAFT, &[]);
        view.mark(&uids(&[2]), add, &draft, None).unwrap();
        view.sync(Expunges::Tell).unwrap();
        assert!(view.highest_mod_seq() > told);
        assert!(changed(&view, told.into()).contains('2'));
    }

    #[test]
    fn a_rebuilt_index_goes_on_above() {
        let directory = tempfile::tempdir().unwrap();
        let account = host(9).account("u", directory.path()).unwrap();
        (1..=3).for_each(|n| {
            append(&account, "INBOX", &n.to_string(), &Flags::default());
        });
        let mut view = inbox(&account);
        let start = view.highest_mod_seq();
        expunge(&mut view, &[2]);
        let before = view.highest_mod_seq();
        account.check(true, &mut |_| {}).unwrap();
        let changes = view.sync(Expunges::Tell).unwrap();
        assert_eq!(changes.flags.to_string(), "1,3");
        assert!(view.highest_mod_seq() > before);
        assert_eq!(vanished(&view, start), "2");
        assert_eq!(changed(&view, before.into()), "1,3");
    }

    #[test]
    fn expunges_by_others_are_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let account = host(9).account("u", directory.path()).unwrap();
        (1..=3).for_each(|n| {
            append(&account, "INBOX", &n.to_string(), &Flags::default());
        });
        let mut view = inbox(&account);
        let before = view.highest_mod_seq();
        let new = directory.path().join("new");
        let file = std::fs::read_dir(&new)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains(",U=2"))
            .unwrap();
        std::fs::remove_file(file).unwrap();
        let changes = view.sync(Expunges::Tell).unwrap();
        assert_eq!(changes.vanished.to_string(), "2");
        assert_eq!(vanished(&view, before), "2");
    }

    /// RFC 7162 section 3.2.5: a client that was away for 100 changes of 100,000.
    #[test]
    #[ignore = "takes a minute to fill the mailbox; prints its figure"]
    fn resync_of_a_large_mailbox() {
        let directory = tempfile::tempdir().unwrap();
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir(directory.path().join(part)).unwrap();
        }
        let list: String = (1..=100_000).fold("3 V7 N100001\n".to_owned(), |list, n| {
            std::fs::write(directory.path().join(format!("cur/{n}.x:2,S")), "x\n").unwrap();
            list + &format!("{n} :{n}.x\n")
        });
        std::fs::write(directory.path().join("dovecot-uidlist"), list).unwrap();
        let account = host(1000).account("u", directory.path()).unwrap();
        let mut view = inbox(&account);
        let before = view.highest_mod_seq();
        let flagged: Vec<u32> = (1..=50).map(|n| n * 1999).collect();
        let (add, flagged_flag) = (
            super::super::FlagChange::Add,
            flags(SystemFlags::FLAGGED, &[]),
        );
        view.mark(&uids(&flagged), add, &flagged_flag, None)
            .unwrap();
        let gone: Vec<u32> = (1..=50).map(|n| n * 1888).collect();
        expunge(&mut view, &gone);
        let ran = || {
            let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let rounds = 50;
        let start = ran();
        for _ in 0..rounds {
            assert_eq!(vanished(&view, before), uids(&gone).to_string());
            assert_eq!(changed(&view, before.into()), uids(&flagged).to_string());
        }
        let each = (ran() - start) / 1000 / rounds;
        println!("{each} us each");
    }
}
