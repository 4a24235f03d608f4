//! Messages that were read before the client asked for them: most ask for one after the other, and each
//! turn on a thread that may block costs as much as reading a few of them.

use crate::mail::Uid;
use crate::mailbox::{Content, View};
use std::collections::VecDeque;
use std::time::Duration;

/// Octets that are read ahead, and of one message.
const OCTETS: u64 = 48 * 1024;
const MESSAGE_OCTETS: u64 = 16 * 1024;
/// How long they are kept for a client that asks for nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Small messages in the order in which they will be asked for.
#[derive(Default)]
pub(super) struct Ahead {
    messages: VecDeque<(Uid, Content)>,
    /// The mailbox as it was then: of what changed since nothing is told.
    generation: u32,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Gives the memory back.
    pub(super) fn free(&mut self) {
        self.messages = VecDeque::new();
    }

    /// The message, if it was read and nothing changed in the mailbox since.
    pub(super) fn take(&mut self, uid: Uid, view: &View) -> Option<Content> {
        if self.generation != view.generation() {
            self.free();
        }
        while let Some((own, content)) = self.messages.pop_front() {
            if own == uid {
                return Some(content);
            }
        }
        None
    }

    /// Reads some of these messages, up to one that cannot be read or is large.
    pub(super) fn read(&mut self, uids: impl Iterator<Item = Uid>, view: &View) {
        self.generation = view.generation();
        self.messages.clear();
        let mut left = OCTETS;
        for uid in uids {
            let Ok(Some(content)) = view.message(uid, left.min(MESSAGE_OCTETS)) else {
                return;
            };
            left = left.saturating_sub(content.remaining());
            self.messages.push_back((uid, content));
        }
    }
}
