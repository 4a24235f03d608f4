//! Giving back the room of messages that are in no mailbox any more.

use super::host::lock;
use super::report::Report;
use super::shared::{Shared, State};
use super::{Account, Error, store_fault};
use crate::mail::MailboxName;
use crate::store::{Compaction, Replaced, Store};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long messages on their way to a mailbox are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Account {
    /// Removes messages that no mailbox has from where the store keeps them, or has others lie elsewhere, while
    /// sessions go on. Tells `report` what was done.
    pub(super) fn compact(
        &self,
        aim: Compaction,
        report: &mut dyn FnMut(Report),
    ) -> Result<(), Error> {
        let _alone = lock(&self.0.purging);
        let mut store = self.0.store()?;
        let (mut files, mut octets, mut messages, mut begins) = (0u32, 0u64, 0u32, Some(aim));
        // Each namespace is begun with when the one before is done.
        let several = !self.0.location.form.namespaces.is_empty();
        loop {
            // A mailbox that got another name while the store finds out who has what would have nothing.
            let begin = several || begins.is_some();
            let names = begin.then(|| self.0.names.changing());
            let compacted = store.compact(begins).map_err(store_fault("purging"))?;
            drop(names);
            let Some(compacted) = compacted else {
                break;
            };
            begins = None;
            if self.relocate(&mut *store, &compacted.mailboxes)? {
                files += 1;
                octets = octets.saturating_add(compacted.freed);
                messages = messages.saturating_add(compacted.moved);
                if aim != Compaction::Purge {
                    report(Report::Moved {
                        messages,
                        octets,
                        ended: false,
                    });
                }
            }
        }
        report(match aim {
            Compaction::Purge => Report::Purged { files, octets },
            _ => Report::Moved {
                messages,
                octets,
                ended: true,
            },
        });
        Ok(())
    }

    /// Has all messages of a file where they were copied. False if the file stays, because a mailbox
    /// that has some of them went elsewhere meanwhile.
    fn relocate(&self, store: &mut dyn Store, names: &[MailboxName]) -> Result<bool, Error> {
        let mut all: Vec<(MailboxName, Arc<Shared>)> = Vec::with_capacity(names.len());
        for name in names {
            match self.shared(name) {
                Ok(shared) => all.push((name.clone(), shared)),
                Err(Error::NoSuchMailbox) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        // As whoever carries messages from one to the other locks them.
        crate::mail::sort_by(&mut all, |(_, a), (_, b)| {
            (a.id.0, Arc::as_ptr(a)).cmp(&(b.id.0, Arc::as_ptr(b)))
        });
        let mut states = Vec::with_capacity(all.len());
        for (name, shared) in &all {
            let state = lock(&shared.state);
            // Copies that have names but are not in the index yet would come there under their old ones.
            let in_flight = |state: &mut State| !state.flights.is_empty();
            let waited = shared.landed.wait_timeout_while(state, PATIENCE, in_flight);
            let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() || state.deleted || state.name != *name {
                return Ok(false);
            }
            states.push((shared, state));
        }
        for (shared, state) in &mut states {
            let replaced = store.replace(&state.name).map_err(store_fault("purging"))?;
            shared.rename_all(state, replaced)?;
        }
        store.discard().map_err(store_fault("purging"))
    }
}

impl Shared {
    /// Takes other names of messages into the index.
    fn rename_all(&self, state: &mut State, replaced: Replaced) -> Result<(), Error> {
        let number = |uid: crate::mail::Uid| uid.number() >> 8;
        let written = self.host.write(|w| {
            for chunk in replaced.chunk_by(|(a, _), (b, _)| number(*a) == number(*b)) {
                let at = chunk.first().map_or(0, |(uid, _)| number(*uid));
                let mut names = w.names(self.id, at)?;
                for (uid, base) in chunk {
                    let slot = (uid.number() & 255) as u8;
                    if let Some(known) = names.find(slot).cloned() {
                        let base = base.clone();
                        names.put(crate::index::Name { base, ..known });
                    }
                }
                w.set_names(self.id, at, &names)?;
            }
            Ok(())
        });
        if written.is_err() {
            state.caught_up = false;
            self.host.set_in_line(self.id, false);
        }
        written
    }
}
