//! What others did to mailboxes, told to whom it concerns.

use super::metadata;
use super::notify::is_expunging;
use super::selected::Flags;
use super::session::{Doing, Session};
use crate::mailbox::{Expunges, News};
use crate::protocol::Output;

impl Session {
    /// True if the client is told of more than the selected mailbox.
    pub(super) fn hears(&self) -> bool {
        self.enabled.metadata || self.enabled.server_metadata || self.notify.is_some()
    }

    /// What happened before the client asked is not told.
    pub(super) fn begin_to_hear(&mut self) {
        if !self.hears() {
            self.account.news(&mut self.heard);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        // First, as it takes in what the watches saw.
        let heard = self.hears() && self.account.has_news(self.heard);
        heard || self.notify.as_ref().is_some_and(|own| own.is_stale())
    }

    pub(super) fn tell_news(&mut self, out: &mut Output) {
        let Some(latest) = self.account.news(&mut self.heard) else {
            // What is lost of annotations, a client that was silent for long finds out when it asks.
            return self.overflow(out);
        };
        if self.notify.is_some() {
            return self.tell_others(&latest, out);
        }
        for one in latest.news {
            if let News::Annotated(of, names) = &one {
                let wanted = match of {
                    Some(_) => self.enabled.metadata,
                    None => self.enabled.server_metadata,
                };
                if wanted {
                    metadata::changed(of.as_ref(), names, self.enabled, out);
                }
            }
        }
    }

    /// True if changes of the selected mailbox are told now.
    pub(super) fn tells_selected(&self) -> bool {
        let command = self.recent.last();
        let asks = ["NOOP", "CHECK", "IDLE"].contains(&command) || is_expunging(command);
        if self.settings.workarounds.delay_newmail && !asks {
            return false;
        }
        let own = self.notify.as_ref();
        own.is_none_or(|own| own.tells_after(command))
    }

    pub(super) fn flags_told(&self) -> Flags {
        match &self.notify {
            None => Flags::Plain,
            Some(own) if own.begins => Flags::WithUid,
            Some(own) => match &own.selected {
                Some(selected) if selected.flags => Flags::WithUid,
                _ => Flags::Untold,
            },
        }
    }

    /// RFC 5465 section 6.1.2: SELECTED-DELAYED has expunges wait for a command.
    pub(super) fn expunges_unasked(&self) -> Expunges {
        let own = self.notify.as_ref().and_then(|own| own.selected.as_ref());
        match own {
            Some(selected) if !selected.delayed => Expunges::Tell,
            _ => Expunges::Hold,
        }
    }

    /// True if there is something to be told of the selected mailbox while the client waits.
    pub(super) fn is_selected_stale(&self) -> bool {
        let Some(selected) = &self.selected else {
            return false;
        };
        let idles = !matches!(self.doing, Doing::Reading);
        match &self.notify {
            None => selected.view.has_news(),
            Some(own) if own.selected.is_none() => false,
            Some(_) if idles || self.expunges_unasked() == Expunges::Tell => {
                selected.view.has_news()
            }
            Some(_) => selected.view.has_more(),
        }
    }
}
