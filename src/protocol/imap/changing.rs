//! Commands that change many messages: STORE, COPY, MOVE, EXPUNGE, CLOSE, the `\Seen` of FETCH and RENAME of
//! INBOX. They run in steps, between which others have their turns; a client that leaves ends them.

use super::fetch::Fetch;
use super::messages::{Carrying, carried, closed};
use super::refusal::refusal;
use super::session::{Doing, Next, Ran, Session};
use super::store::Storing;
use super::tag::Tag;
use crate::mailbox::{Carry, Error, Expunge, Expunges, Mark};
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::imap::number;
use std::time::Duration;

/// A running command of that kind.
pub(super) struct Changing {
    tag: Tag,
    expunges: Expunges,
    change: Change,
    /// When the client last heard of it, or it began.
    noticed: Duration,
    /// It ends before its end, and the session with it, for that reason.
    stopped: Option<Event>,
}

/// What it does, and what follows.
pub(super) enum Change {
    Store(Box<Mark>, Storing),
    /// The FETCH then tells the messages.
    Seen(Box<Mark>, Box<Fetch>),
    Copy(Box<Carry>),
    Move(Box<Carry>),
    /// All of INBOX.
    Rename(Box<Carry>),
    Expunge(Box<Expunge>),
    Close(Box<Expunge>),
}

impl Change {
    fn step(&mut self) -> Result<bool, Error> {
        match self {
            Change::Store(mark, _) | Change::Seen(mark, _) => mark.step(),
            Change::Copy(carry) | Change::Move(carry) | Change::Rename(carry) => carry.step(),
            Change::Expunge(expunge) | Change::Close(expunge) => expunge.step(),
        }
    }

    fn stop(&mut self) {
        match self {
            Change::Store(mark, _) | Change::Seen(mark, _) => mark.stop(),
            Change::Copy(carry) | Change::Move(carry) | Change::Rename(carry) => carry.stop(),
            Change::Expunge(expunge) | Change::Close(expunge) => expunge.stop(),
        }
    }

    fn progress(&self) -> (u64, u64) {
        match self {
            Change::Store(mark, _) | Change::Seen(mark, _) => mark.progress(),
            Change::Copy(carry) | Change::Move(carry) | Change::Rename(carry) => carry.progress(),
            Change::Expunge(expunge) | Change::Close(expunge) => expunge.progress(),
        }
    }

    fn still(&self) -> &'static str {
        match self {
            Change::Store(..) | Change::Seen(..) => "Still changing flags.",
            Change::Copy(_) => "Still copying.",
            Change::Move(_) | Change::Rename(_) => "Still moving.",
            Change::Expunge(_) | Change::Close(_) => "Still expunging.",
        }
    }
}

impl Session {
    /// The command goes on as that change.
    pub(super) fn begin_change(&mut self, tag: &Tag, change: Change, expunges: Expunges) -> Ran {
        self.doing = Doing::Changing(Box::new(Changing {
            tag: tag.clone(),
            expunges,
            change,
            noticed: crate::sys::clock::now(),
            stopped: None,
        }));
        Ran::GoesOn
    }

    /// One step of it, then others may have the thread.
    pub(super) fn changing(
        &mut self,
        mut changing: Box<Changing>,
        turn: Turn,
        out: &mut Output,
    ) -> Next {
        if turn == Turn::Quick {
            self.doing = Doing::Changing(changing);
            return Some(Progress::Disk);
        }
        match changing.change.step() {
            Ok(true) => {
                if is_due(&mut changing.noticed, self.settings.progress) {
                    let (change, progress) = (&changing.change, changing.change.progress());
                    in_progress(&changing.tag, Some(progress), change.still(), out);
                }
                self.doing = Doing::Changing(changing);
                return Some(Progress::Flush);
            }
            went if let Some(why) = changing.stopped => {
                if let Err(error) = went {
                    log::warn!("what a session did not end: {}", refusal(error));
                }
                self.doing = Doing::Reading;
                self.event(why);
            }
            went => self.changed(*changing, went.map(|_| ()), out),
        }
        None
    }

    fn changed(&mut self, changing: Changing, went: Result<(), Error>, out: &mut Output) {
        let (tag, expunges) = (changing.tag, changing.expunges);
        if let Change::Copy(carry) | Change::Move(carry) = &changing.change {
            self.note_own(&carry.target(), &carry.copied().to);
        }
        let ran = match changing.change {
            Change::Store(mark, storing) => {
                self.stored(&tag, storing, mark.marked(), went, expunges, out)
            }
            Change::Seen(mark, fetch) => self.seen(mark.marked(), fetch),
            Change::Copy(carry) => carried(&carry, went, Carrying::Copy, out),
            Change::Move(carry) => carried(&carry, went, Carrying::Move, out),
            Change::Rename(_) => Ran::of(went, "OK Rename completed."),
            Change::Expunge(_) => Ran::of(went, "OK Expunge completed."),
            Change::Close(_) => closed(self, went),
        };
        if let Ran::Finished(text) = ran {
            self.finish(tag, text, expunges);
        }
    }

    /// The server ends, or the client is gone: what runs ends with what is done, and a COPY is taken
    /// back; then the session ends.
    pub(super) fn stop_change(&mut self, mut changing: Box<Changing>, why: Event) {
        changing.stopped = Some(why);
        changing.change.stop();
        self.doing = Doing::Changing(changing);
    }
}

/// True at most each `interval`.
pub(super) fn is_due(noticed: &mut Duration, interval: Duration) -> bool {
    let now = crate::sys::clock::now();
    let due = now.saturating_sub(*noticed) >= interval;
    if due {
        *noticed = now;
    }
    due
}

/// Tells how far a command came, and of how much (RFC 9585).
pub(super) fn in_progress(tag: &Tag, progress: Option<(u64, u64)>, text: &str, out: &mut Output) {
    out.put(b"* OK [INPROGRESS");
    // What could end the code, or the string, is not told.
    if !tag.iter().any(|byte| b"]\"\\".contains(byte)) {
        out.put(b" (\"");
        out.put(tag);
        match progress {
            Some((done, goal)) => {
                out.put(b"\" ");
                number(done, out.buffer());
                out.put(b" ");
                number(goal, out.buffer());
            }
            None => out.put(b"\" NIL NIL"),
        }
        out.put(b")");
    }
    out.put(b"] ");
    out.put(text.as_bytes());
    out.put(b"\r\n");
}
