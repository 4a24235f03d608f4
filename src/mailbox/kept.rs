//! The mailboxes that an account has in memory.

use super::shared::Shared;
use crate::mail::MailboxName;
use std::sync::Arc;

/// Mailboxes kept, and watched, though nobody has them open.
const MAX_KEPT: usize = 4;

/// Those that are open, and those that were last. Used last: at the end.
#[derive(Default)]
pub(super) struct Kept(Vec<(MailboxName, Arc<Shared>)>);

impl Kept {
    pub(super) fn get(&mut self, name: &MailboxName) -> Option<Arc<Shared>> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        let found = self.0.remove(at);
        let shared = found.1.clone();
        self.0.push(found);
        Some(shared)
    }

    pub(super) fn remove(&mut self, shared: &Arc<Shared>) {
        self.0.retain(|(_, own)| !Arc::ptr_eq(own, shared));
    }

    /// Takes one in; the one used longest ago goes if nobody has it open and there are too many.
    pub(super) fn put(&mut self, name: MailboxName, shared: Arc<Shared>) {
        self.0.push((name, shared));
        let idle = |(_, shared): &(MailboxName, Arc<Shared>)| Arc::strong_count(shared) == 1;
        while self.0.iter().filter(|kept| idle(kept)).count() > MAX_KEPT {
            let oldest = self.0.iter().position(idle);
            oldest.map(|at| self.0.remove(at));
        }
    }
}
