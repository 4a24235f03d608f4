//! What others did to mailboxes, told to whom it concerns.

use super::metadata;
use super::session::Session;
use crate::mailbox::News;
use crate::protocol::Output;

impl Session {
    /// True if the client is told of more than the selected mailbox.
    pub(super) fn hears(&self) -> bool {
        self.enabled.metadata || self.enabled.server_metadata
    }

    /// What happened before the client asked is not told.
    pub(super) fn begin_to_hear(&mut self) {
        if !self.hears() {
            self.account.news(&mut self.heard);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.hears() && self.account.has_news(self.heard)
    }

    pub(super) fn tell_news(&mut self, out: &mut Output) {
        if !self.has_news() {
            return;
        }
        // What is lost, a client that was silent for long finds out when it asks.
        for news in self.account.news(&mut self.heard).unwrap_or_default() {
            let News::Annotated(of, names) = &news;
            let wanted = match of {
                Some(_) => self.enabled.metadata,
                None => self.enabled.server_metadata,
            };
            if wanted {
                metadata::changed(of.as_ref(), names, out);
            }
        }
    }
}
