//! STORE: changing flags.

use super::append::{blob, letters, name};
use super::arrive::LETTERS;
use super::host::lock;
use super::resync::set_named;
use super::shared::{Change, Shared, State};
use super::steps::{Steps, uids_of};
use super::touched::Touched;
use super::{Access, Error, View, rest, store_fault};
use crate::index::{Bits, FlagChunk, NameChunk};
use crate::mail::{Flags, Keyword, ModSeq, Since, SystemFlags, Uid, UidSet};
use crate::store::Store;
use std::sync::Arc;

/// What STORE does with flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagChange {
    Set,
    Add,
    Remove,
}

/// How STORE went.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// Messages that exist still and were not refused: all of them are told with their flags unless
    /// the client wants silence.
    pub(crate) told: UidSet,
    /// Messages that changed after the mod-sequence which the client knew; not touched.
    pub(crate) modified: UidSet,
    /// Some of `told` changed after that, but not in what this is about (RFC 7162 section 3.1.12): the client
    /// does not know their other flags.
    pub(crate) excused: bool,
}

/// Flags by number, to be changed.
struct Edit {
    change: FlagChange,
    /// Messages that changed later are not touched.
    unchanged: Option<Since>,
    system: SystemFlags,
    keywords: Vec<u16>,
}

/// What became of the messages of a chunk.
struct Done {
    changed: Bits,
    /// Their files are not there.
    gone: Bits,
    touched: Touched,
    /// The highest mod-sequence that one of those that changed had.
    before: ModSeq,
    /// What the index is to have for names, if they are others now.
    names: Option<NameChunk>,
    /// Why it stopped.
    result: Result<(), crate::store::Error>,
}

impl Default for Done {
    fn default() -> Done {
        Done {
            changed: Bits::default(),
            gone: Bits::default(),
            touched: Touched::default(),
            before: ModSeq::MIN,
            names: None,
            result: Ok(()),
        }
    }
}

/// A running STORE.
pub(crate) struct Mark {
    steps: Steps,
    change: FlagChange,
    flags: Flags,
    unchanged: Option<Since>,
    /// The view that does it.
    by: u32,
    /// It may have changed keywords beyond z.
    beyond: bool,
    marked: Marked,
}

impl View {
    /// As `marking`, to the end. Durable when it returns or, if the store lags, with the next flush.
    pub(crate) fn mark(
        &mut self,
        uids: &UidSet,
        change: FlagChange,
        flags: &Flags,
        unchanged: Option<Since>,
    ) -> Result<Marked, Error> {
        let mut mark = self.marking(uids, change, flags.clone(), unchanged)?;
        while mark.step()? {}
        Ok(mark.marked())
    }

    /// Begins to change flags, of messages unchanged since only if given (RFC 7162 section 3.1.3). This
    /// view's `sync` does not report the change.
    pub(crate) fn marking(
        &mut self,
        uids: &UidSet,
        change: FlagChange,
        flags: Flags,
        unchanged: Option<Since>,
    ) -> Result<Mark, Error> {
        if self.access() == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        self.shared.host.reserve.give_way();
        let mut store = self.account.0.own_store()?;
        self.refresh(&mut *store)?;
        let uids = self.uids().intersection(uids);
        Ok(Mark {
            steps: Steps::new(self, store, uids),
            change,
            flags,
            unchanged,
            by: self.id,
            beyond: false,
            marked: Marked::default(),
        })
    }
}

impl Mark {
    /// Changes some messages; `false` once all are changed, durably or, if the store lags, to be durable with the
    /// next flush.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        for (number, slots) in self.steps.left.chunks(self.steps.room()) {
            self.chunk(number, slots)?;
            self.steps.note(slots.count());
        }
        if !self.steps.left.is_empty() {
            return Ok(true);
        }
        self.steps.sync()?;
        self.steps.shared.keep_flags()?;
        if self.beyond {
            let state = lock(&self.steps.shared.state);
            self.steps
                .shared
                .keep_beyond(&state, &mut *self.steps.store)?;
        }
        Ok(false)
    }

    /// What is not changed stays as it is; the next step is the last.
    pub(crate) fn stop(&mut self) {
        self.steps.left.clear();
    }

    /// How many messages are done, of how many.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.steps.progress()
    }

    /// How it went.
    pub(crate) fn marked(self) -> Marked {
        self.marked
    }

    fn chunk(&mut self, number: u32, slots: Bits) -> Result<(), Error> {
        let steps = &mut self.steps;
        let shared = steps.shared.clone();
        let mut state = lock(&shared.state);
        steps.catch_up(&mut state)?;
        let (state, store) = (&mut *state, &mut *steps.store);
        let named = &self.flags.keywords;
        let mut edit = Edit {
            change: self.change,
            unchanged: self.unchanged,
            system: self.flags.system,
            keywords: shared.numbers_of(state, store, FlagChange::Remove, named)?,
        };
        // None is made for a message that is gone or must not be touched.
        let lacks = self.change != FlagChange::Remove && edit.keywords.len() < named.len();
        if lacks && shared.takes(state, number, slots, &edit)? {
            edit.keywords = shared.numbers_of(state, store, self.change, named)?;
        }
        let all = state.summary.as_ref().map_or(0, |s| s.keywords.len());
        self.beyond |= match self.change {
            FlagChange::Set => all > usize::from(LETTERS),
            _ => edit.keywords.iter().any(|keyword| *keyword >= LETTERS),
        };
        let chunk = shared.mark_chunk(state, store, number, slots, &edit, self.by)?;
        let marked = &mut self.marked;
        marked.told = marked.told.union(&chunk.told);
        marked.modified = marked.modified.union(&chunk.modified);
        marked.excused |= chunk.excused;
        Ok(())
    }
}

impl Shared {
    /// Numbers of these keywords; those that are not there are made, all or none, unless they are to be
    /// removed.
    pub(super) fn numbers_of(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        change: FlagChange,
        named: &[Keyword],
    ) -> Result<Vec<u16>, Error> {
        let known = |state: &State, keyword: &Keyword| {
            let mut all = state
                .summary
                .iter()
                .flat_map(|s| s.keywords.iter().flatten());
            all.any(|own| own == keyword)
        };
        let new = named.iter().filter(|keyword| !known(state, keyword));
        if change != FlagChange::Remove {
            self.has_room_for_keywords(state, new.count())?;
        }
        let mut numbers = Vec::new();
        for keyword in named {
            if change != FlagChange::Remove || known(state, keyword) {
                numbers.push(self.keyword(state, store, keyword)?);
            }
        }
        Ok(numbers)
    }

    /// True if one of these messages would be changed.
    fn takes(&self, state: &State, number: u32, slots: Bits, edit: &Edit) -> Result<bool, Error> {
        let reading = super::fault("reading the index");
        let reader = self.host.index.read().map_err(&reading)?;
        let flags = reader.flags(self.id, number).map_err(&reading)?;
        let asked = flags.present.and(&slots);
        let late = edit.late(state, &flags, &asked);
        let modified = edit.modified(state, number, &flags, &late);
        Ok(!asked.without(&modified).is_empty())
    }

    fn mark_chunk(
        self: &Arc<Self>,
        state: &mut State,
        store: &mut dyn Store,
        number: u32,
        slots: Bits,
        edit: &Edit,
        by: u32,
    ) -> Result<Marked, Error> {
        let reading = super::fault("reading the index");
        let reader = self.host.index.read().map_err(&reading)?;
        let mut flags = reader.flags(self.id, number).map_err(&reading)?;
        drop(reader);
        let asked = flags.present.and(&slots);
        let late = edit.late(state, &flags, &asked);
        let modified = edit.modified(state, number, &flags, &late);
        let mut told = asked.without(&modified);
        let seen = flags
            .with_flag(SystemFlags::SEEN)
            .and(&flags.present)
            .count();
        let done = match mark_together(store, state, (number, told), &mut flags, edit) {
            Some(done) => done,
            None => self.mark_each(store, state, (number, told), &mut flags, edit)?,
        };
        let Done {
            changed,
            gone,
            touched,
            before,
            names,
            result,
        } = done;
        told = told.without(&gone);
        if !changed.is_empty() {
            let mut summary = state.summary.clone().ok_or(Error::Fault)?;
            summary.highest_mod_seq = summary.highest_mod_seq.next().max(state.floor);
            let now = flags
                .with_flag(SystemFlags::SEEN)
                .and(&flags.present)
                .count();
            summary.seen = (summary.seen + now).saturating_sub(seen);
            flags.set_mod_seq(&changed, summary.highest_mod_seq);
            self.host.write(|w| {
                w.set_flags(self.id, number, &flags)?;
                if let Some(names) = &names {
                    w.set_names(self.id, number, names)?;
                }
                w.set_summary(self.id, &summary)
            })?;
            let change = Change {
                mod_seq: summary.highest_mod_seq,
                by,
                uids: uids_of(number, &changed),
                before,
                touched,
            };
            state.summary = Some(summary);
            if rest::pays(state) {
                self.host.settle_later(self);
            }
            self.note_change(state, change);
            self.raise();
        }
        result.map_err(store_fault("changing flags"))?;
        Ok(Marked {
            told: uids_of(number, &told),
            modified: uids_of(number, &modified),
            excused: late != modified,
        })
    }

    /// Changes flags name by name.
    fn mark_each(
        &self,
        store: &mut dyn Store,
        state: &State,
        (number, slots): (u32, Bits),
        flags: &mut FlagChunk,
        edit: &Edit,
    ) -> Result<Done, Error> {
        let reading = super::fault("reading the index");
        let reader = self.host.index.read().map_err(&reading)?;
        let mut names = reader.names(self.id, number).map_err(&reading)?;
        drop(reader);
        let (mut done, mut events) = (Done::default(), 0);
        self.begin();
        for slot in slots.slots() {
            let before = flags.clone_slot(slot);
            let mut one = Bits::default();
            one.set(slot, true);
            edit.apply(flags, &one);
            if flags.clone_slot(slot) == before {
                continue;
            }
            match rename(store, state, &mut names, flags, slot) {
                Ok(count) => {
                    events += count;
                    done.changed.set(slot, true);
                    done.touched.note(&before, &flags.clone_slot(slot));
                    done.before = done.before.max(flags.mod_seq(slot));
                }
                // Another program took it away, which the next look at the directory finds.
                Err(crate::store::Error::NoSuchMessage) => {
                    flags.restore_slot(slot, &before);
                    done.gone.set(slot, true);
                }
                Err(error) => {
                    flags.restore_slot(slot, &before);
                    done.result = Err(error);
                    break;
                }
            }
        }
        self.end(events);
        self.drain();
        done.names = Some(names);
        Ok(done)
    }
}

/// Changes flags of all these messages at once; `None`, and nothing is done, if the store has them in names.
fn mark_together(
    store: &mut dyn Store,
    state: &State,
    (number, slots): (u32, Bits),
    flags: &mut FlagChunk,
    edit: &Edit,
) -> Option<Done> {
    let before = flags.clone();
    let mut after = flags.clone();
    edit.apply(&mut after, &slots);
    let differences = after.differences(&before);
    let changed = differences.slots();
    let mut done = Done {
        touched: Touched::differing(&differences),
        ..Done::default()
    };
    for alike in after.alike(&changed) {
        let uids = uids_of(number, &alike.slots);
        let marked = store.mark_all(&state.name, &uids, alike.system, letters(&alike.keywords));
        match marked {
            Ok(true) => done.changed = done.changed.or(&alike.slots),
            Ok(false) => return None,
            Err(error) => {
                done.result = Err(error);
                break;
            }
        }
    }
    for slot in changed.without(&done.changed).slots() {
        after.restore_slot(slot, &before.clone_slot(slot));
    }
    done.before = before.highest_mod_seq_of(&done.changed);
    *flags = after;
    Some(done)
}

impl Edit {
    /// True if the index may lack changes after the mod-sequence that the client knew.
    fn is_doubtful(&self, state: &State) -> bool {
        let known = self.unchanged.zip(state.summary.as_ref());
        known.is_some_and(|(unchanged, summary)| summary.is_doubtful(unchanged))
    }

    /// Which of these messages changed after the mod-sequence that the client knew, or may have.
    fn late(&self, state: &State, flags: &FlagChunk, asked: &Bits) -> Bits {
        if self.is_doubtful(state) {
            return *asked;
        }
        let mut late = Bits::default();
        if let Some(unchanged) = self.unchanged {
            for slot in asked.slots() {
                late.set(slot, unchanged.is_before(flags.mod_seq(slot)));
            }
        }
        late
    }

    /// Which of those that changed later did so in the flags that this is about; a STORE without plus or
    /// minus is about all of them.
    fn modified(&self, state: &State, number: u32, flags: &FlagChunk, late: &Bits) -> Bits {
        let mut modified = *late;
        let known = self.unchanged.filter(|_| self.change != FlagChange::Set);
        let Some(since) = known.filter(|_| !self.is_doubtful(state)) else {
            return modified;
        };
        let own = Touched::of(self.system, &self.keywords);
        for slot in late.slots() {
            let alone = Uid::new(number << 8 | u32::from(slot))
                .is_some_and(|uid| state.left_alone(uid, flags.mod_seq(slot), since, &own));
            modified.set(slot, !alone);
        }
        modified
    }

    fn apply(&self, flags: &mut FlagChunk, slots: &Bits) {
        if self.change == FlagChange::Set {
            flags.set_system_of(slots, SystemFlags::from_bits(u8::MAX), false);
            flags.clear_keywords_of(slots);
        }
        let on = self.change != FlagChange::Remove;
        flags.set_system_of(slots, self.system, on);
        for keyword in &self.keywords {
            flags.set_keyword_of(slots, *keyword, on);
        }
    }
}

/// Puts the flags of a message into its name; returns how many events that causes.
fn rename(
    store: &mut dyn Store,
    state: &State,
    names: &mut NameChunk,
    flags: &mut FlagChunk,
    slot: u8,
) -> Result<i64, crate::store::Error> {
    let Some(old) = names.find(slot).map(blob) else {
        return Err(crate::store::Error::NoSuchMessage);
    };
    let mut keywords = Vec::new();
    flags.keywords(slot, &mut keywords);
    let (system, named) = (flags.system(slot), letters(&keywords));
    let (new, renamed) = store.mark(&state.name, &old, system, named)?;
    // It may have flags by now that another program gave it.
    if (new.flags, new.letters) != (system, named) {
        set_named(flags, slot, new.flags, new.letters);
    }
    names.put(name(slot, &new));
    // A rename is one event where the name goes and one where it comes.
    Ok(if renamed { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::super::Account;
    use super::super::tests::{append, flags, name, uids};
    use super::*;

    #[test]
    fn a_message_that_is_gone_makes_no_keyword() {
        // A keyword that no message has was told and took one of the places there are.
        let (account, _directory) = Account::temporary();
        for subject in ["one", "two"] {
            append(&account, "INBOX", subject, &Flags::default());
        }
        let open = || account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let (mut own, mut other) = (open(), open());
        let (add, one) = (FlagChange::Add, uids(&[1]));
        let deleted = flags(SystemFlags::DELETED, &[]);
        other.mark(&one, add, &deleted, None).unwrap();
        other.expunge(Some(&one)).unwrap();
        let new = flags(SystemFlags::NONE, &["new"]);
        assert!(own.mark(&one, add, &new, None).unwrap().told.is_empty());
        assert!(!own.learn_keywords());
        let since = Since::START;
        let marked = own.mark(&uids(&[2]), add, &new, Some(since)).unwrap();
        assert_eq!(marked.modified, uids(&[2]));
        assert!(!own.learn_keywords());
        let marked = own.mark(&uids(&[1, 2]), add, &new, None).unwrap();
        assert_eq!(marked.told, uids(&[2]));
        assert!(own.learn_keywords());
    }

    #[test]
    fn what_another_program_took_away_is_not_told_as_marked() {
        // STORE said OK of a message whose file was gone since the last look, and told its old flags.
        let (account, directory) = Account::temporary();
        for subject in ["one", "two"] {
            append(&account, "INBOX", subject, &Flags::default());
        }
        let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let mut files: Vec<_> = ["cur", "new"]
            .map(|part| std::fs::read_dir(directory.path().join(part)).unwrap())
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let first = files.iter().find(|f| f.to_string_lossy().contains("U=1"));
        std::fs::remove_file(first.unwrap()).unwrap();
        let edit = Edit {
            change: FlagChange::Add,
            unchanged: None,
            system: SystemFlags::SEEN,
            keywords: Vec::new(),
        };
        let mut store = account.0.store().unwrap();
        let shared = view.shared.clone();
        let mut state = lock(&shared.state);
        let all = Bits::range(0, 255);
        let marked = shared.mark_chunk(&mut state, &mut *store, 0, all, &edit, view.id);
        assert_eq!(marked.unwrap().told, uids(&[2]));
    }
}
