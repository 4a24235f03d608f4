//! Writes the log of a mailbox anew.

use super::super::folded::Folded;
use super::super::fresh::Unsure;
use super::super::line::Contents;
use super::told::Known;
use super::{BLOCK, Log, SORT_OCTETS, SPARE, State, scratch};
use crate::mail::UidSet;
use crate::store::Error;
use crate::store::side::checked::end_of;
use crate::store::side::gathering::Gathering;
use crate::store::side::{disk, lock};
use crate::sys::regular;
use std::path::Path;
use std::sync::Arc;

/// A log is looked at again, whether it should be written anew, when it grew to so many times what it was.
const GROWTH: u64 = 4;
const MIN_GROWTH: u64 = 256 * 1024;

/// Changes what a log says, but of messages.
type Change<'c> = dyn Fn(&mut Contents) + 'c;

impl Log {
    /// Writes a log that says this, in place of what is there. Durable.
    pub(in crate::store::dbox) fn write(path: &Path, contents: &Contents) -> Result<(), Error> {
        let mut bytes = contents.encode();
        let filling = filling(bytes.len() as u64, !contents.messages.is_empty());
        bytes.resize(bytes.len() + filling, 0);
        lock::replace(path, &bytes)
    }

    /// As `write`, without all messages in memory: of those of `all` only `keep`, if given.
    pub(super) fn write_folded(
        path: &Path,
        head: &Contents,
        all: &Folded,
        keep: Option<&UidSet>,
    ) -> Result<(), Error> {
        lock::replace_with(path, &mut |out| {
            let mut lines = head.encode();
            let (mut octets, mut any) = (0, false);
            let mut messages = all.messages()?;
            loop {
                out.write_all(&lines)?;
                octets += lines.len() as u64;
                lines.clear();
                let Some((uid, message)) = messages.next()? else {
                    break;
                };
                if keep.is_none_or(|keep| keep.contains(uid)) {
                    message.put(uid, &mut lines);
                    any = true;
                }
            }
            Ok(out.write_all(&vec![0; filling(octets, any)])?)
        })
    }

    /// Writes the log anew, so that it says this in place of what it says. Durable.
    pub(in crate::store::dbox) fn rewrite(&self, contents: &Contents) -> Result<(), Error> {
        let mut state = self.state();
        Log::write(&state.path, contents)?;
        self.written(&mut state, contents)
    }

    /// Writes the log anew. `change`: of what it says, but of messages. `keep`: the messages that it has then.
    /// Durable.
    pub(in crate::store::dbox) fn renew(
        &self,
        change: &Change<'_>,
        keep: &UidSet,
    ) -> Result<(), Error> {
        let mut state = self.state();
        self.renew_with(&mut state, change, Some(keep))
    }

    pub(super) fn renew_with(
        &self,
        state: &mut State,
        change: &Change<'_>,
        keep: Option<&UidSet>,
    ) -> Result<(), Error> {
        state.settle();
        let mut scratch = || scratch(&state.path);
        let (mut head, mut all) = (Contents::default(), Gathering::new(SORT_OCTETS));
        let mut each = |uid, line: &str| all.add(uid, line, &mut scratch);
        state.each_line(&mut |line| head.skim_one(line, &mut each))?;
        let all = Folded(all.finish(&mut scratch)?);
        let before = head.known;
        change(&mut head);
        if head.known != before {
            state.left = UidSet::new();
        }
        if let Some(above) = state.path.parent().filter(|_| !head.expunged.is_empty()) {
            // It will not say any more which files are to go: they have to be gone.
            disk::sync_directory_at(above)?;
        }
        Log::write_folded(&state.path, &head, &all, keep)?;
        self.written(state, &head)
    }

    /// There is a new file, which says this.
    pub(super) fn written(&self, state: &mut State, contents: &Contents) -> Result<(), Error> {
        let file = regular::open_both(&state.path)?;
        state.length = file.metadata()?.len();
        state.end = end_of(&file, state.length)?.at;
        state.file = Arc::new(file);
        state.waiting.clear();
        state.unsure = Unsure::default();
        (state.durable, state.loose) = (state.end, false);
        state.looked = state.end;
        state.known = Some(Known::of(contents));
        self.group.wrote();
        self.group.renew();
        Ok(())
    }

    /// Writes it anew if it grew and has become worn.
    pub(super) fn look(&self, state: &mut State) -> Result<(), Error> {
        if state.end < state.looked.saturating_mul(GROWTH).max(MIN_GROWTH) {
            return Ok(());
        }
        // Of those that come and go again and again too few are counted.
        let (mut came, mut went) = (0_usize, 0);
        let head = self.skim(state, &mut |_, line| {
            came += usize::from(line.starts_with('F'));
            went += usize::from(line.starts_with('X'));
            Ok(())
        })?;
        if head.is_worn(came.saturating_sub(went)) {
            return self.renew_with(state, &|_| (), None);
        }
        state.looked = state.end;
        Ok(())
    }
}

/// NULs behind so many octets of lines. `any`: some of them tell of messages.
fn filling(octets: u64, any: bool) -> usize {
    let spare = if any { SPARE } else { 0 };
    let filled = (octets + spare).next_multiple_of(BLOCK);
    usize::try_from(filled - octets).unwrap_or(0)
}
