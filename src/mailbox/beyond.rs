//! Keywords beyond z: names and logs of messages have room for 26 letters, a side file says which messages
//! have the others, so that the index can be deleted.

use super::arrive::LETTERS;
use super::host::lock;
use super::shared::{Change, Shared, State};
use super::touched::Touched;
use super::{Account, Error, fault, store_fault};
use crate::index::{Bits, FlagChunk, Summary};
use crate::mail::{Keyword, MailboxName, ModSeq, Uid, UidSet};
use crate::store::Store;
use crate::store::beyond::{Beyond, is_whole};
use std::sync::Arc;

impl Account {
    /// Has messages have those keywords for which there is no letter that the side file of their mailbox says, and
    /// no others of them. Errors: `NoSuchMailbox`, and those of a look at the mailbox.
    pub(crate) fn relearn_keywords(&self, name: &MailboxName) -> Result<(), Error> {
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        shared.relearn_beyond(&mut *store)
    }
}

impl Shared {
    /// Has the side file say what the index says, and what messages will have that are under way. Durable.
    pub(super) fn keep_beyond(&self, state: &State, store: &mut dyn Store) -> Result<(), Error> {
        self.keep_beyond_with(state, store, &[])
    }

    /// As `keep_beyond`, and also of messages that are about to be: where they come from nothing says it any more once
    /// they are here.
    pub(super) fn keep_beyond_with(
        &self,
        state: &State,
        store: &mut dyn Store,
        coming: &[(Uid, Vec<u16>)],
    ) -> Result<(), Error> {
        let Some(summary) = state.summary.as_ref() else {
            return Ok(());
        };
        let mut named: Vec<(u16, Keyword, UidSet)> = (0u16..)
            .zip(&summary.keywords)
            .skip(usize::from(LETTERS))
            .filter_map(|(number, keyword)| Some((number, keyword.clone()?, UidSet::new())))
            .collect();
        let reading = |what| fault("reading the index")(what);
        let reader = self.host.index.read().map_err(reading)?;
        let each = &mut |at: u32, chunk: crate::index::FlagChunk| {
            for slot in chunk.present.slots() {
                let uid = Uid::new(at << 8 | u32::from(slot));
                let having = named.iter_mut().filter(|n| chunk.has_keyword(slot, n.0));
                having.for_each(|(_, _, uids)| uid.into_iter().for_each(|uid| uids.insert(uid)));
            }
        };
        reader.each_flags(self.id, each).map_err(reading)?;
        for (uid, keywords) in state.flights.values().flatten().chain(coming) {
            let having = named.iter_mut().filter(|n| keywords.contains(&n.0));
            having.for_each(|(_, _, uids)| uids.insert(*uid));
        }
        let beyond: Beyond = named.into_iter().map(|(_, k, uids)| (k, uids)).collect();
        let kept = store.keep_beyond(&state.name, summary.uid_validity, &beyond);
        kept.map_err(store_fault("writing keywords"))
    }

    /// Gives messages the keywords that the side file says they have. `mod_seq`: `None` for an index that was made
    /// anew; else that of the changes, and what else messages have of those keywords is taken from them, unless there
    /// is no file, or a damaged one. Returns which messages changed.
    pub(super) fn recall_beyond(
        &self,
        state: &State,
        store: &mut dyn Store,
        summary: &mut Summary,
        mod_seq: Option<ModSeq>,
    ) -> Result<UidSet, Error> {
        let beyond = match store.beyond(&state.name, summary.uid_validity) {
            Ok(Some(beyond)) => beyond,
            Ok(None) => return Ok(UidSet::new()),
            Err(error) => {
                let name = state.name.of(store.root());
                log::warn!("{name}: keywords beyond z are lost: {error}");
                return Ok(UidSet::new());
            }
        };
        // Of what is damaged nobody knows what it said.
        let is_whole = store.directory(&state.name).is_ok_and(|at| is_whole(&at));
        let exactly = mod_seq.is_some() && is_whole;
        if !beyond.is_empty() && is_whole {
            self.forget_strangers(state, store, summary, &beyond);
        }
        let mut named = Vec::new();
        for (keyword, uids) in beyond {
            if let Some(number) = self.number_beyond(summary, keyword) {
                named.push((number, uids));
            }
        }
        if exactly {
            // Those that it does not name have no messages.
            let unnamed = (usize::from(LETTERS)..summary.keywords.len()).filter_map(|at| {
                let number = u16::try_from(at).ok()?;
                let is_named = named.iter().any(|(own, _)| *own == number);
                (!is_named).then_some((number, UidSet::new()))
            });
            let unnamed: Vec<_> = unnamed.collect();
            named.extend(unnamed);
        }
        if named.is_empty() {
            return Ok(UidSet::new());
        }
        let mut chunks = Vec::new();
        let reading = |what| fault("reading the index")(what);
        let reader = self.host.index.read().map_err(reading)?;
        let listed = reader.each_flags(self.id, &mut |number, _| chunks.push(number));
        listed.map_err(reading)?;
        drop(reader);
        self.host.write(|w| {
            let mut all = UidSet::new();
            for at in chunks {
                let mut flags = w.flags(self.id, at)?;
                let changed = put_beyond(at, &mut flags, &named, exactly);
                if changed.is_empty() {
                    continue;
                }
                if let Some(mod_seq) = mod_seq {
                    flags.set_mod_seq(&changed, mod_seq);
                }
                w.set_flags(self.id, at, &flags)?;
                all = all.union(&super::steps::uids_of(at, &changed));
            }
            Ok(all)
        })
    }

    /// Takes in what another program had the side file say while no server ran. Errors: as of a look at the mailbox.
    fn relearn_beyond(self: &Arc<Self>, store: &mut dyn Store) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        self.refresh(state, store)?;
        let mut summary = state.summary.clone().ok_or(Error::Fault)?;
        let (before, named) = (summary.highest_mod_seq, summary.keywords.len());
        let mod_seq = before.next().max(state.floor);
        let uids = self.recall_beyond(state, store, &mut summary, Some(mod_seq))?;
        if uids.is_empty() && summary.keywords.len() == named {
            return Ok(());
        }
        if !uids.is_empty() {
            summary.highest_mod_seq = mod_seq;
        }
        self.host.write(|w| w.set_summary(self.id, &summary))?;
        state.summary = Some(summary);
        let change = Change {
            mod_seq,
            by: 0,
            uids,
            before,
            touched: Touched::any(),
        };
        self.note_change(state, change);
        self.raise();
        Ok(())
    }

    /// Has the side file say nothing of messages that are not there: one that was on its way when the server was
    /// killed did not come, and another will have its UID.
    fn forget_strangers(
        &self,
        state: &State,
        store: &mut dyn Store,
        summary: &Summary,
        beyond: &Beyond,
    ) {
        let reader = self.host.index.read();
        let there = reader.and_then(|reader| reader.uids(self.id));
        // A failure is logged; it is tried again the next time.
        let Ok(mut there) = there.map_err(fault("reading the index")) else {
            return;
        };
        let coming = state.flights.values().flatten();
        coming.for_each(|(uid, _)| there.insert(*uid));
        let own = beyond.iter();
        let own = own.map(|(keyword, uids)| (keyword.clone(), uids.intersection(&there)));
        let own: Beyond = own.collect();
        if own != *beyond {
            let kept = store.keep_beyond(&state.name, summary.uid_validity, &own);
            let _ = kept.map_err(store_fault("writing keywords"));
        }
    }

    /// The number of a keyword without a letter; `None` if it has one, or there is no room for it.
    fn number_beyond(&self, summary: &mut Summary, keyword: Keyword) -> Option<u16> {
        let keywords = &mut summary.keywords;
        let known = keywords.iter().position(|k| k.as_ref() == Some(&keyword));
        let at = known.unwrap_or(keywords.len().max(usize::from(LETTERS)));
        if at < usize::from(LETTERS) || at >= self.host.limits.keywords {
            return None;
        }
        keywords.resize(keywords.len().max(at + 1), None);
        *keywords.get_mut(at)? = Some(keyword);
        u16::try_from(at).ok()
    }
}

/// Gives messages of a chunk their keywords, and, if `exactly`, takes them from all others. Returns those that
/// changed.
fn put_beyond(at: u32, flags: &mut FlagChunk, named: &[(u16, UidSet)], exactly: bool) -> Bits {
    let uid = |slot: u32| Uid::new(at << 8 | slot).unwrap_or(Uid::MIN);
    let whole = UidSet::range(uid(0), uid(255));
    let (mut changed, present) = (Bits::default(), flags.present);
    for (number, uids) in named {
        let own = uids.intersection(&whole);
        for slot in present.slots() {
            let has = own.contains(uid(u32::from(slot)));
            if has != flags.has_keyword(slot, *number) && (has || exactly) {
                flags.set_keyword(slot, *number, has);
                changed.set(slot, true);
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, flags, name, uids};
    use super::super::{Access, Account, FlagChange, Host, Limits, Want};
    use crate::config::Format;
    use crate::index::Index;
    use crate::mail::{Flags, SystemFlags, Uid};
    use std::path::Path;

    fn keyword(name: &str) -> Flags {
        flags(SystemFlags::NONE, &[name])
    }

    /// UIDs and keywords of all messages of a mailbox.
    fn seen(account: &Account, mailbox: &str) -> String {
        let view = account.select(&name(mailbox), Access::ReadWrite).unwrap();
        let names = view.keywords();
        let mut rows = view.fetch(view.uids().clone(), Want::default());
        let mut all = String::new();
        while rows.advance().unwrap() {
            let own = rows.keywords().iter();
            let mut own: Vec<&str> = own
                .map(|number| names[usize::from(*number)].as_ref().unwrap().as_str())
                .collect();
            own.sort_unstable();
            all.push_str(&format!("{} {}\n", rows.uid().number(), own.join(" ")));
        }
        all
    }

    #[test]
    fn an_index_that_forgot_them_is_told_anew() {
        for format in [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox] {
            let (root, index) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let path = index.path().join("index");
            let open = || {
                let host = Host::open_in(&path, format, Limits::default()).unwrap();
                let account = host.account("ann", root.path()).unwrap();
                (host, account)
            };
            let (host, account) = open();
            for subject in ["a", "b", "c"] {
                append(&account, "INBOX", subject, &Flags::default());
            }
            let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            for number in 0..29 {
                let own = keyword(&format!("k{number}"));
                view.mark(&uids(&[1]), FlagChange::Add, &own, None).unwrap();
            }
            drop((view, account));
            host.close().unwrap();
            drop(host);
            let (host, account) = open();
            host.flush().unwrap();
            let files = ["index", "index.journal"].map(|file| index.path().join(file));
            let old = files.each_ref().map(|file| std::fs::read(file).ok());
            let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            let told = view.highest_mod_seq();
            for (number, change) in [("k27", FlagChange::Add), ("k28", FlagChange::Add)] {
                view.mark(&uids(&[2, 3]), change, &keyword(number), None)
                    .unwrap();
            }
            view.mark(&uids(&[1]), FlagChange::Remove, &keyword("k26"), None)
                .unwrap();
            let before = seen(&account, "INBOX");
            // The process is killed, and what it wrote last is lost.
            drop((view, account, host));
            for (file, old) in files.iter().zip(old) {
                match old {
                    Some(old) => std::fs::write(file, old).unwrap(),
                    None => drop(std::fs::remove_file(file)),
                }
            }
            let (_host, account) = open();
            assert_eq!(seen(&account, "INBOX"), before, "{format:?}");
            let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            let changed = view.changed_since(view.uids(), told.into()).unwrap();
            assert_eq!(changed, uids(&[1, 2, 3]), "{format:?}");
            // The next change writes the side file from what the index says.
            view.mark(&uids(&[3]), FlagChange::Remove, &keyword("k28"), None)
                .unwrap();
            let now = seen(&account, "INBOX");
            assert!(
                now.contains("2 k27 k28\n") && now.contains("3 k27\n"),
                "{now}"
            );
        }
    }

    #[test]
    fn what_a_damaged_side_file_does_not_say_the_index_has() {
        let (root, index) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = index.path().join("index");
        let open = || {
            let host = Host::open_in(&path, Format::Maildir, Limits::default()).unwrap();
            let account = host.account("ann", root.path()).unwrap();
            (host, account)
        };
        let (host, account) = open();
        append(&account, "INBOX", "a", &Flags::default());
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        for number in 0..28 {
            let own = keyword(&format!("k{number}"));
            view.mark(&uids(&[1]), FlagChange::Add, &own, None).unwrap();
        }
        let before = seen(&account, "INBOX");
        host.flush().unwrap();
        // The process is killed, and the disk damages a line.
        drop((view, account, host));
        let file = root.path().join("dovelet-keywords");
        let told = std::fs::read_to_string(&file).unwrap();
        assert!(told.contains("k27 1\n"), "{told}");
        std::fs::write(&file, told.replace("k27 1", "k27 \0")).unwrap();
        let (_host, account) = open();
        assert_eq!(seen(&account, "INBOX"), before);
    }

    #[test]
    fn keywords_beyond_z_of_a_move_stay_when_another_session_writes_some() {
        for format in [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox] {
            let root = tempfile::tempdir().unwrap();
            let host = Host::over(Index::memory().unwrap(), format, Limits::default());
            let account = host.account("ann", root.path()).unwrap();
            account.create(&name("other")).unwrap();
            append(&account, "other", "there", &Flags::default());
            append(&account, "INBOX", "goes", &Flags::default());
            let select = |mailbox| account.select(&name(mailbox), Access::ReadWrite).unwrap();
            let (mut from, mut to) = (select("INBOX"), select("other"));
            for number in 0..28 {
                let own = keyword(&format!("k{number}"));
                from.mark(&uids(&[1]), FlagChange::Add, &own, None).unwrap();
                to.mark(&uids(&[1]), FlagChange::Add, &own, None).unwrap();
            }
            let mut carry = from.moving(&uids(&[1]), &name("other")).unwrap();
            let carried = carry.name_batch_for_tests();
            to.mark(&uids(&[1]), FlagChange::Remove, &keyword("k26"), None)
                .unwrap();
            let mut store = account.0.store().unwrap();
            let mut told = store
                .beyond(&name("other"), to.uid_validity())
                .unwrap()
                .unwrap();
            told.retain(|(_, uids)| uids.contains(Uid::new(2).unwrap()));
            let told: Vec<_> = told.iter().map(|(keyword, _)| keyword.as_str()).collect();
            assert_eq!(told, ["k26", "k27"], "{format:?}");
            drop(carried);
        }
    }

    #[test]
    fn the_index_can_go_with_keywords_beyond_z() {
        for format in [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox] {
            let root = tempfile::tempdir().unwrap();
            let open = |index: &Path| {
                let host = Host::open_in(index, format, Limits::default()).unwrap();
                host.account("ann", root.path()).unwrap()
            };
            let indexes = tempfile::tempdir().unwrap();
            let account = open(&indexes.path().join("one"));
            for subject in ["a", "b", "c"] {
                append(&account, "INBOX", subject, &Flags::default());
            }
            let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            for number in 0..28 {
                let own = keyword(&format!("k{number}"));
                view.mark(&uids(&[1, 3]), FlagChange::Add, &own, None)
                    .unwrap();
            }
            view.mark(&uids(&[1]), FlagChange::Remove, &keyword("k27"), None)
                .unwrap();
            // Those of messages that are filed, and copied.
            append(&account, "INBOX", "d", &keyword("k26"));
            let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            account.create(&name("other")).unwrap();
            view.copy(&uids(&[3, 4]), &name("other")).unwrap();
            let before = ["INBOX", "other"].map(|mailbox| seen(&account, mailbox));
            assert!(before[0].contains(" k26") && before[0].contains(" k27"));
            drop((view, account));
            let account = open(&indexes.path().join("two"));
            let after = ["INBOX", "other"].map(|mailbox| seen(&account, mailbox));
            assert_eq!(after, before, "{format:?}");
        }
    }
}
