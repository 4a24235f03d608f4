//! What a command ends with: what changed is told, then comes its tagged response.

use super::selected::Told;
use super::session::{After, Doing, Ending, Next, Session};
use crate::mailbox::Error;
use crate::protocol::{Output, Progress, Turn};
use std::borrow::Cow;

impl Session {
    /// Tells what changed and answers, or says what it needs to.
    pub(super) fn ending(&mut self, ending: Ending, turn: Turn, out: &mut Output) -> Next {
        let tells = self.tells_selected();
        let flags = self.flags_told();
        let Some(selected) = self.selected.as_mut() else {
            return self.tell_rest(ending, turn, out);
        };
        if !selected.has_news() {
            if !tells || selected.view.is_current() {
                return self.tell_rest(ending, turn, out);
            }
            if turn == Turn::Quick {
                self.doing = Doing::Finish(ending);
                return Some(Progress::Disk);
            }
            if let Err(error) = selected.look(ending.expunges) {
                self.untold(error, ending, out);
                return None;
            }
        }
        match selected.tell(self.enabled, flags, out) {
            Told::Some => {
                self.doing = Doing::Finish(ending);
                return Some(Progress::Flush);
            }
            Told::All => return self.tell_rest(ending, turn, out),
            Told::ButFlags(fetch) => self.doing = Doing::Telling(fetch, ending),
        }
        None
    }

    /// Tells what is not about the selected mailbox itself, and answers.
    fn tell_rest(&mut self, ending: Ending, turn: Turn, out: &mut Output) -> Next {
        if let Some(updating) = self.begin_update() {
            self.doing = Doing::Updating(updating, ending);
            return None;
        }
        if let Some(fetch) = self.new_messages() {
            self.doing = Doing::Telling(fetch, ending);
            return None;
        }
        if self.has_news() {
            if turn == Turn::Quick {
                self.doing = Doing::Finish(ending);
                return Some(Progress::Disk);
            }
            self.tell_news(out);
        }
        self.answer_command(ending, out);
        None
    }

    /// What changed cannot be told.
    fn untold(&mut self, error: Error, ending: Ending, out: &mut Output) {
        match error {
            Error::NoSuchMailbox => {
                self.selected = None;
                // NOTIFY may have asked for just that.
                if self.has_news() {
                    self.tell_news(out);
                }
                self.doing =
                    Doing::Goodbye("* BYE The selected mailbox was deleted or replaced.\r\n");
            }
            // Already logged; what is new will be told when it can be read.
            _ => self.answer_command(ending, out),
        }
    }

    fn answer_command(&mut self, ending: Ending, out: &mut Output) {
        if let Some(notify) = &mut self.notify {
            notify.begins = false;
        }
        match ending.after {
            After::Idle => self.doing = Doing::Idle(ending.tag),
            After::Read => self.doing = Doing::Reading,
            After::Answer => {
                self.doing = Doing::Reading;
                let text = self.with_mod_seq(ending.text, out);
                self.reply(&ending.tag, &text, out);
            }
        }
    }

    /// The tagged response with HIGHESTMODSEQ if that is owed; in a line of its own where the response
    /// has a code already.
    fn with_mod_seq(&mut self, text: Cow<'static, str>, out: &mut Output) -> Cow<'static, str> {
        let Some(selected) = self.selected.as_mut().filter(|_| self.enabled.condstore) else {
            return text;
        };
        match selected.owed_mod_seq().zip(text.split_once(' ')) {
            None => text,
            Some((_, (_, rest))) if rest.starts_with('[') => {
                selected.highest_mod_seq(out);
                text
            }
            Some((highest, (word, rest))) => {
                format!("{word} [HIGHESTMODSEQ {}] {rest}", highest.number()).into()
            }
        }
    }
}
