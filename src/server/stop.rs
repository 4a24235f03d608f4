//! The end of a process, announced to all its tasks.

use event_listener::{Event, EventListener};
use std::cell::Cell;

/// Rings once.
#[derive(Default)]
pub(super) struct Stop {
    event: Event,
    rung: Cell<bool>,
}

impl Stop {
    pub(super) fn ring(&self) {
        self.rung.set(true);
        self.event.notify(usize::MAX);
    }

    pub(super) fn rung(&self) -> bool {
        self.rung.get()
    }

    /// Make it, ask `rung`, then wait.
    pub(super) fn listen(&self) -> EventListener {
        self.event.listen()
    }

    /// Ends when it has rung.
    pub(super) async fn wait(&self) {
        let listener = self.listen();
        if !self.rung() {
            listener.await;
        }
    }
}
