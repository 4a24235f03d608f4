//! A connection after login: what it is in the middle of, and what is next.

use super::append::Append;
use super::capability::capability_line;
use super::changing::Changing;
use super::context::Updating;
use super::enable::Enabled;
use super::fetch::Fetch;
use super::handover::Handover;
use super::list::Listing;
use super::multisearch::MultiSearch;
use super::notify::Notifications;
use super::recent::Recent;
use super::refusal::refusal;
use super::search::Searching;
use super::selected::Selected;
use super::table::rule_of;
use super::tag::Tag;
use crate::config::{FetchFailure, Workarounds};
use crate::mailbox::{Account, Error, Expunges, Heard};
use crate::protocol::{Event, Machine, Output, Progress, Resident, Turn};
use crate::wire::imap::{Bounds, Command, Framer};
use event_listener::EventListener;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Bounds of a session.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    pub(crate) line_octets: usize,
    pub(crate) literal_octets: usize,
    /// Of a literal that does not wait.
    pub(crate) nonsync_octets: u64,
    /// Messages of one APPEND.
    pub(crate) append_messages: usize,
    pub(crate) message_octets: u64,
    pub(crate) bounds: Bounds,
    /// Mailboxes of which messages are told by NOTIFY.
    pub(crate) notify_mailboxes: usize,
    /// Mailboxes of one ESEARCH.
    pub(crate) search_mailboxes: usize,
    /// Searches that are kept up to date.
    pub(crate) search_contexts: usize,
    /// How often a client that waits is told how far its search came.
    pub(crate) progress: Duration,
    /// Bad commands in a row.
    pub(crate) bad_commands: u32,
    /// Without a command.
    pub(crate) patience: Duration,
    /// Until a client that waits gets a sign of life, so that NAT keeps the connection, and what nothing
    /// tells of is looked for.
    pub(crate) keep_alive: Duration,
    pub(crate) fetch_failure: FetchFailure,
    pub(crate) workarounds: Workarounds,
    /// `/shared/admin` (RFC 5464 section 3.2.1.1).
    pub(crate) admin: Option<Arc<str>>,
}

const SHUTTING_DOWN: &str = "* BYE The server is shutting down.\r\n";
/// A sign of life.
const STILL_HERE: &[u8] = b"* OK Still here\r\n";

/// A connection after login.
pub(crate) struct Session {
    pub(super) account: Account,
    pub(super) selected: Option<Box<Selected>>,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) enabled: Enabled,
    pub(super) compressed: bool,
    pub(super) framer: Framer,
    pub(super) doing: Doing,
    /// What others did to mailboxes is told up to here.
    pub(super) heard: Heard,
    /// `None` before the first NOTIFY.
    pub(super) notify: Option<Box<Notifications>>,
    pub(super) recent: Recent,
    /// Said before the server ended the session by itself.
    last_words: Option<&'static str>,
    /// Bad commands since the last good one.
    pub(super) bad: u32,
}

/// What a session is in the middle of.
pub(super) enum Doing {
    /// The login command is to be answered.
    Begin(Tag),
    Reading,
    /// Waits for a turn on which it may block.
    Command(Tag, Box<Command>),
    Fetch(Box<Fetch>),
    Search(Box<Searching>),
    MultiSearch(Box<MultiSearch>),
    List(Box<Listing>),
    Changing(Box<Changing>),
    Append(Box<Append>),
    Idle(Tag),
    /// The mailbox changed while the client idles.
    IdleNews(Tag),
    /// The client idles for long.
    StillHere(Tag),
    /// What changed is to be told, then the command is answered.
    Finish(Ending),
    /// Flags of messages are told, then the command is answered.
    Telling(Box<Fetch>, Ending),
    /// Searches are brought up to date, then the rest is told.
    Updating(Box<Updating>, Ending),
    /// The answer to COMPRESS was the last that is not compressed.
    Compress,
    Goodbye(&'static str),
    Ended,
}

/// The tagged response of a command.
pub(super) struct Ending {
    pub(super) tag: Tag,
    /// From `OK` on.
    pub(super) text: Cow<'static, str>,
    pub(super) expunges: Expunges,
    pub(super) after: After,
}

/// What follows when all is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Answer,
    /// The client idles on.
    Idle,
    /// There was no command.
    Read,
}

/// How a command went: what its tagged response says, or that it goes on.
pub(super) enum Ran {
    Finished(Cow<'static, str>),
    /// `Session::doing` says how.
    GoesOn,
}

impl Ran {
    pub(super) fn ok(text: &'static str) -> Ran {
        Ran::Finished(Cow::Borrowed(text))
    }

    pub(super) fn no(error: Error) -> Ran {
        Ran::Finished(refusal(error).into())
    }

    /// `text` if it went well.
    pub(super) fn of(result: Result<(), Error>, text: &'static str) -> Ran {
        match result {
            Ok(()) => Ran::ok(text),
            Err(error) => Ran::no(error),
        }
    }
}

/// What has to happen before the session goes on; `None` if it can at once.
pub(super) type Next = Option<Progress<()>>;

impl Session {
    /// The account is prepared (`Account::prepare`) already.
    pub(crate) fn new(
        account: Account,
        handover: Handover,
        settings: impl Into<Arc<SessionSettings>>,
    ) -> Session {
        let settings = settings.into();
        let mut framer = Framer::new(
            settings.line_octets,
            settings.literal_octets,
            settings.nonsync_octets,
        );
        framer.input(&handover.input);
        Session {
            heard: account.heard(),
            notify: None,
            recent: Recent::default(),
            last_words: None,
            account,
            selected: None,
            settings,
            enabled: Enabled::default(),
            compressed: false,
            framer,
            doing: Doing::Begin(handover.tag),
            bad: 0,
        }
    }

    pub(super) fn reply(&self, tag: &Tag, text: &str, out: &mut Output) {
        out.put(tag);
        out.put(b" ");
        out.put(text.as_bytes());
        out.put(b"\r\n");
    }

    /// Ends the session where it is, without a word.
    pub(super) fn tear(&mut self) -> Option<Progress<()>> {
        self.last_words = Some("A message cannot be read to its end.");
        self.doing = Doing::Ended;
        None
    }

    /// Counts a bad command; too many in a row end the connection.
    pub(super) fn bad(&mut self, tag: &Tag, text: &str, out: &mut Output) {
        self.reply(tag, text, out);
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            self.doing = Doing::Goodbye("* BYE Too many bad commands.\r\n");
        }
    }

    /// What changed is to be told without a command (RFC 5465 section 3.1).
    fn unasked(&self) -> Doing {
        Doing::Finish(Ending {
            tag: Tag::new(),
            text: Cow::Borrowed(""),
            expunges: self.expunges_unasked(),
            after: After::Read,
        })
    }

    /// True if the client waits without a command, and has to be told what no watch sees.
    fn waits_and_polls(&self) -> bool {
        self.framer.waiting() == 0 && self.polls()
    }

    pub(super) fn finish(&mut self, tag: Tag, text: Cow<'static, str>, expunges: Expunges) {
        self.doing = Doing::Finish(Ending {
            tag,
            text,
            expunges,
            after: After::Answer,
        });
    }
}

impl Machine for Session {
    type Question = ();
    type Answer = ();

    fn input(&mut self, bytes: &[u8]) -> usize {
        self.end_quiet();
        self.framer.input(bytes)
    }

    fn advance(&mut self, turn: Turn, out: &mut Output) -> Progress<()> {
        loop {
            if out.full() {
                return Progress::Flush;
            }
            let next = match std::mem::replace(&mut self.doing, Doing::Reading) {
                Doing::Begin(tag) => {
                    out.put(&tag);
                    out.put(b" OK [");
                    capability_line(self.situation(), out.buffer());
                    out.put(b"] Logged in\r\n");
                    None
                }
                Doing::Reading => self.frame(turn, out),
                Doing::Command(tag, command) => {
                    let rule = rule_of(&command);
                    self.command(tag, command, rule, turn, out)
                }
                Doing::Fetch(fetch) => self.fetch(fetch, turn, out),
                Doing::Search(search) => self.search(search, turn, out),
                Doing::MultiSearch(multi) => self.multi_search(multi, turn, out),
                Doing::List(listing) => self.list(listing, turn, out),
                Doing::Changing(changing) => self.changing(changing, turn, out),
                Doing::Append(append) => self.append(append, turn, out),
                Doing::Idle(tag) => self.idle(tag, out),
                Doing::IdleNews(tag) => {
                    let ending = Ending {
                        tag,
                        text: Cow::Borrowed(""),
                        expunges: Expunges::Tell,
                        after: After::Idle,
                    };
                    self.ending(ending, turn, out)
                }
                Doing::StillHere(tag) => {
                    out.put(STILL_HERE);
                    if let Some(own) = &mut self.notify {
                        own.look();
                    }
                    // Where nothing tells of what others do to the directories, somebody has to look.
                    self.doing = Doing::IdleNews(tag);
                    None
                }
                Doing::Finish(ending) => self.ending(ending, turn, out),
                Doing::Telling(fetch, ending) => self.telling(fetch, ending, turn, out),
                Doing::Updating(updating, ending) => self.updating(updating, ending, turn, out),
                Doing::Compress => return Progress::Compress,
                Doing::Goodbye(text) => {
                    out.put(text.as_bytes());
                    self.last_words = Some(text);
                    self.doing = Doing::Ended;
                    None
                }
                Doing::Ended => {
                    self.doing = Doing::Ended;
                    return Progress::Done;
                }
            };
            if let Some(progress) = next {
                return progress;
            }
        }
    }

    fn answer(&mut self, (): ()) {}

    fn event(&mut self, event: Event) {
        let doing = std::mem::replace(&mut self.doing, Doing::Reading);
        self.doing = match (event, doing) {
            (Event::Stopping, Doing::Ended) => Doing::Ended,
            (Event::Stopping | Event::Gone, Doing::Changing(changing)) => {
                return self.stop_change(changing, event);
            }
            (Event::Gone, _) => Doing::Ended,
            (Event::Stopping, _) => Doing::Goodbye(SHUTTING_DOWN),
            (Event::Woken, Doing::Idle(tag)) => Doing::IdleNews(tag),
            (Event::Woken, Doing::Reading) => self.unasked(),
            (Event::TimedOut, Doing::Idle(tag)) => Doing::StillHere(tag),
            (Event::TimedOut, Doing::Reading)
                if self.waits_and_polls() && self.wait_on(self.patience()) =>
            {
                self.unasked()
            }
            (Event::TimedOut, _) => Doing::Goodbye("* BYE Disconnected for inactivity.\r\n"),
            (_, doing) => doing,
        };
    }

    fn patience(&self) -> Duration {
        match self.doing {
            Doing::Idle(_) => self.settings.keep_alive,
            Doing::Reading if self.waits_and_polls() => {
                let keep_alive = self.settings.keep_alive;
                keep_alive.min(self.patience_left())
            }
            _ => self.settings.patience,
        }
    }
}

impl Resident for Session {
    fn listener(&self) -> Option<EventListener> {
        if self.hears() {
            return Some(self.account.listen());
        }
        self.selected
            .as_ref()
            .map(|selected| selected.view.listen())
    }

    fn is_stale(&self) -> bool {
        self.is_selected_stale() || self.has_news()
    }

    fn is_silent(&self) -> bool {
        match &self.doing {
            Doing::Search(searching) => searching.is_looking(),
            Doing::MultiSearch(_) | Doing::Changing(_) => true,
            _ => false,
        }
    }

    fn sign_of_life(&self, out: &mut Output) {
        if self.is_silent() {
            out.put(STILL_HERE);
        }
    }

    fn take_compressed(&mut self) -> Vec<u8> {
        self.framer.take(u64::MAX)
    }

    fn farewell(&self) -> Option<String> {
        let words = self.last_words?.trim_start_matches("* BYE ").trim_end();
        Some(format!("{words} Last commands: {}.", self.recent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 512, "{}", size_of::<Session>());
    }
}
