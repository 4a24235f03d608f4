//! APPEND (RFC 3501 section 6.3.11): the message goes into a draft as it comes.

use super::refusal::{refusal, refusal_of_target};
use super::session::{Doing, Session};
use super::table::named;
use super::tag::{Tag, tag};
use crate::mail::{DateTime, Flags, MailboxName};
use crate::mailbox::{Draft, Error, Expunges};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{Frame, append_head, tag_of};
use std::borrow::Cow;

/// Octets that are written at once.
const PIECE: u64 = 32 * 1024;

/// A running APPEND.
pub(super) struct Append {
    tag: Tag,
    mailbox: Result<MailboxName, Error>,
    flags: Flags,
    date: Option<DateTime>,
    octets: u64,
    synchronising: bool,
    stage: Stage,
}

enum Stage {
    /// Nothing is checked yet.
    Announced,
    /// So many octets are to come.
    Receiving(Draft, u64),
    /// Something went wrong: so many octets are still to be swallowed.
    Swallowing(Cow<'static, str>, u64),
}

impl Append {
    pub(super) fn new(head: &[u8], octets: u64, synchronising: bool) -> Append {
        let parsed = append_head(head);
        let tag = tag(&tag_of(head));
        let (mailbox, flags, date) = match parsed {
            Some(head) => (
                head.mailbox.map_err(Error::InvalidName),
                head.flags,
                head.date,
            ),
            None => (Err(Error::NoSuchMailbox), Flags::default(), None),
        };
        Append {
            tag,
            mailbox,
            flags,
            date,
            octets,
            synchronising,
            stage: Stage::Announced,
        }
    }
}

impl Session {
    pub(super) fn append(
        &mut self,
        mut append: Box<Append>,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        match append.stage {
            Stage::Announced if turn == Turn::Quick => {
                self.doing = Doing::Append(append);
                return Some(Progress::Disk);
            }
            Stage::Announced => match self.begin_append(&append) {
                Ok(draft) => {
                    if append.synchronising {
                        out.put(b"+ OK\r\n");
                    }
                    append.stage = Stage::Receiving(draft, append.octets);
                    self.doing = Doing::Append(append);
                }
                Err(text) => self.refuse_append(*append, text),
            },
            Stage::Receiving(ref mut draft, ref mut left) => {
                let piece = PIECE.min(self.framer.capacity()).min(*left);
                if self.framer.waiting() < piece {
                    self.doing = Doing::Append(append);
                    return Some(Progress::NeedInput);
                }
                if turn == Turn::Quick {
                    self.doing = Doing::Append(append);
                    return Some(Progress::Disk);
                }
                if *left == 0 {
                    return self.end_append(append, out);
                }
                let bytes = self.framer.take(piece);
                *left -= bytes.len() as u64;
                if let Err(error) = draft.write(&bytes) {
                    append.stage = Stage::Swallowing(refusal(error).into(), *left);
                }
                self.doing = Doing::Append(append);
            }
            Stage::Swallowing(ref mut text, ref mut left) => {
                *left -= self.framer.take(*left).len() as u64;
                if *left > 0 {
                    self.doing = Doing::Append(append);
                    return Some(Progress::NeedInput);
                }
                return match self.framer.next() {
                    Frame::NeedInput => {
                        self.doing = Doing::Append(append);
                        Some(Progress::NeedInput)
                    }
                    _ => {
                        let text = std::mem::take(text);
                        self.finish(append.tag, text, Expunges::Tell);
                        None
                    }
                };
            }
        }
        None
    }

    fn begin_append(&self, append: &Append) -> Result<Draft, Cow<'static, str>> {
        if append.octets == 0 {
            return Err(Cow::Borrowed(
                "NO [CANNOT] An empty message cannot be appended.",
            ));
        }
        if append.octets > self.settings.message_octets {
            return Err(refusal(Error::TooLarge).into());
        }
        let begun = append.mailbox.clone().and_then(|name| {
            if !self.account.exists(&name)? {
                return Err(Error::NoSuchMailbox);
            }
            self.account.draft()
        });
        begun.map_err(|error| refusal_of_target(error).into())
    }

    /// A client that waits for `+` will not send the message; another one has sent it already.
    fn refuse_append(&mut self, mut append: Append, text: Cow<'static, str>) {
        if append.synchronising {
            self.finish(append.tag, text, Expunges::Tell);
        } else {
            append.stage = Stage::Swallowing(text, append.octets);
            self.doing = Doing::Append(Box::new(append));
        }
    }

    /// After the literal only the line end may come.
    fn end_append(&mut self, append: Box<Append>, out: &mut Output) -> Option<Progress<()>> {
        match self.framer.next() {
            Frame::NeedInput => {
                self.doing = Doing::Append(append);
                return Some(Progress::NeedInput);
            }
            Frame::Command(rest) if rest.is_empty() => {}
            _ => {
                let text = "BAD Only one message can be appended at a time.";
                self.finish(append.tag, text.into(), Expunges::Tell);
                return None;
            }
        }
        let _ = out;
        let Append {
            tag,
            mailbox,
            flags,
            date,
            stage,
            ..
        } = *append;
        let Stage::Receiving(mut draft, _) = stage else {
            return None;
        };
        let appended =
            mailbox.and_then(|name| self.account.append(&name, &mut draft, &flags, date));
        let text = match appended {
            Ok(appended) => format!(
                "OK [APPENDUID {} {}] Append completed.",
                appended.uid_validity, appended.uid
            ),
            Err(error) => refusal_of_target(error),
        };
        self.finish(tag, text.into(), named("APPEND").expunges);
        None
    }
}
