//! A connection after login: reading commands, running them, answering.

use super::append::{Append, Literal};
use super::capability::{Situation, capability_line};
use super::context::{Updating, cancel_update};
use super::enable::{Enabled, UID_REQUIRED, enable};
use super::fetch::Fetch;
use super::handover::Handover;
use super::list::{Listing, list};
use super::multisearch::{MultiSearch, esearch};
use super::notify::{Notifications, notify};
use super::refusal::{refusal, refused};
use super::search::Searching;
use super::select::select;
use super::selected::{Selected, Told};
use super::table::{Rule, State, numbers_messages, rule_of};
use super::tag::{Tag, tag};
use super::{mailboxes, messages, metadata};
use crate::mailbox::{Account, Error, Expunges, Heard};
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::imap::{Bounds, Command, Ends, Frame, Framer, append_start, parse, tag_of};
use event_listener::EventListener;
use std::borrow::Cow;
use std::time::Duration;

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
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
}

/// A sign of life for whoever waits in IDLE, so that NAT keeps the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
const STILL_HERE: &[u8] = b"* OK Still here\r\n";

/// A connection after login.
pub(crate) struct Session {
    pub(super) account: Account,
    pub(super) selected: Option<Box<Selected>>,
    pub(super) settings: SessionSettings,
    pub(super) enabled: Enabled,
    compressed: bool,
    pub(super) framer: Framer,
    pub(super) doing: Doing,
    /// What others did to mailboxes is told up to here.
    pub(super) heard: Heard,
    /// `None` before the first NOTIFY.
    pub(super) notify: Option<Box<Notifications>>,
    /// The name of the last command.
    pub(super) command_name: &'static str,
    bad: u32,
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

type Next = Option<Progress<()>>;

impl Session {
    /// The account is prepared (`Account::prepare`) already.
    pub(crate) fn new(account: Account, handover: Handover, settings: SessionSettings) -> Session {
        let mut framer = Framer::new(
            settings.line_octets,
            settings.literal_octets,
            settings.nonsync_octets,
        );
        framer.input(&handover.input);
        Session {
            heard: account.heard(),
            notify: None,
            command_name: "",
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

    /// What to wait for besides input after `Progress::Wait`; make it, then ask `is_stale`.
    pub(crate) fn listener(&self) -> Option<EventListener> {
        if self.hears() {
            return Some(self.account.listen());
        }
        self.selected
            .as_ref()
            .map(|selected| selected.view.listen())
    }

    /// True if there is news for the client already.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_selected_stale() || self.has_news()
    }

    /// Says something that tells nothing, if a command runs that has not begun to answer: whoever has
    /// left refuses it, and that is noticed.
    pub(crate) fn sign_of_life(&self, out: &mut Output) {
        let looking = matches!(&self.doing, Doing::Search(searching) if searching.is_looking());
        if looking || matches!(self.doing, Doing::MultiSearch(_)) {
            out.put(STILL_HERE);
        }
    }

    fn reply(&self, tag: &Tag, text: &str, out: &mut Output) {
        out.put(tag);
        out.put(b" ");
        out.put(text.as_bytes());
        out.put(b"\r\n");
    }

    /// Counts a bad command; too many in a row end the connection.
    fn bad(&mut self, tag: &Tag, text: &str, out: &mut Output) {
        self.reply(tag, text, out);
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            self.doing = Doing::Goodbye("* BYE Too many bad commands.\r\n");
        }
    }

    pub(super) fn finish(&mut self, tag: Tag, text: Cow<'static, str>, expunges: Expunges) {
        self.doing = Doing::Finish(Ending {
            tag,
            text,
            expunges,
            after: After::Answer,
        });
    }

    fn frame(&mut self, turn: Turn, out: &mut Output) -> Next {
        match self.framer.next() {
            // RFC 5465 section 3.1: news are told without a command too.
            Frame::NeedInput if self.notify.is_some() && self.framer.waiting() == 0 => {
                return Some(Progress::Wait);
            }
            Frame::NeedInput => return Some(Progress::NeedInput),
            Frame::Continue => out.put(b"+ OK\r\n"),
            Frame::Command(text) => match append_start(&text, Ends::Command, self.bounds()) {
                Some(start) => {
                    self.bad = 0;
                    self.begin_append(start, None);
                }
                None => return self.parsed(&text, turn, out),
            },
            Frame::Append {
                head,
                octets,
                synchronising,
            } => match append_start(&head, Ends::Literal, self.bounds()) {
                Some(start) => {
                    let literal = Literal {
                        octets,
                        synchronising,
                    };
                    self.bad = 0;
                    self.begin_append(start, Some(literal));
                }
                // The framer announces nothing else.
                None => self.bad(&tag(&tag_of(&head)), "BAD The command is broken.", out),
            },
            Frame::Refused { tag: of, why } => {
                self.bad(&tag(&of), refused(why), out);
            }
        }
        None
    }

    fn bounds(&self) -> Bounds {
        self.enabled.bounds(self.settings.bounds)
    }

    /// After login all is said and done.
    fn situation(&self) -> Situation {
        Situation {
            logged_in: true,
            starttls: false,
            password: false,
            nonsync_octets: self.settings.nonsync_octets,
            append_limit: self.settings.message_octets,
        }
    }

    fn parsed(&mut self, text: &[u8], turn: Turn, out: &mut Output) -> Next {
        let parsed = parse(text, self.bounds());
        let tag = tag(&parsed.tag);
        let command = match parsed.command {
            Ok(command) => command,
            Err(syntax) => {
                self.bad(&tag, &format!("BAD {}.", syntax.0), out);
                return None;
            }
        };
        let rule = rule_of(&command);
        if rule.state == State::NotAuthenticated {
            self.bad(&tag, "BAD You are logged in already.", out);
        } else if rule.state == State::Selected && self.selected.is_none() {
            self.bad(&tag, "BAD Select a mailbox first.", out);
        } else if self.enabled.uid_only && numbers_messages(&command) {
            self.bad(&tag, UID_REQUIRED, out);
        } else {
            self.bad = 0;
            return self.command(tag, Box::new(command), rule, turn, out);
        }
        None
    }

    fn command(
        &mut self,
        tag: Tag,
        command: Box<Command>,
        rule: Rule,
        turn: Turn,
        out: &mut Output,
    ) -> Next {
        self.command_name = rule.name;
        if rule.disk && turn == Turn::Quick {
            self.doing = Doing::Command(tag, command);
            return Some(Progress::Disk);
        }
        if let Ran::Finished(text) = self.run(&tag, *command, rule, out) {
            self.finish(tag, text, rule.expunges);
        }
        None
    }

    fn run(&mut self, tag: &Tag, command: Command, rule: Rule, out: &mut Output) -> Ran {
        match command {
            Command::Capability => {
                out.put(b"* ");
                capability_line(self.situation(), out.buffer());
                out.put(b"\r\n");
                Ran::ok("OK Capability completed.")
            }
            Command::Noop => Ran::ok("OK NOOP completed."),
            Command::Check => Ran::ok("OK Check completed."),
            Command::Logout => {
                out.put(b"* BYE Logging out.\r\n");
                self.reply(tag, "OK Logout completed.", out);
                self.doing = Doing::Ended;
                Ran::GoesOn
            }
            Command::Id => {
                let version = env!("CARGO_PKG_VERSION");
                out.put(b"* ID (\"name\" \"dovelet\" \"version\" \"");
                out.put(version.as_bytes());
                out.put(b"\")\r\n");
                Ran::ok("OK ID completed.")
            }
            Command::Compress(mechanism) => self.compress(tag, &mechanism, out),
            Command::Enable(names) => enable(self, &names, out),
            Command::Namespace => {
                out.put(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
                Ran::ok("OK Namespace completed.")
            }
            Command::Idle => {
                out.put(b"+ idling\r\n");
                self.doing = Doing::IdleNews(tag.clone());
                Ran::GoesOn
            }
            Command::Select {
                mailbox,
                read_only,
                params,
            } => select(self, tag, mailbox, read_only, params, out),
            Command::Create { mailbox, uses } => mailboxes::create(self, mailbox, uses),
            Command::Delete(name) => mailboxes::delete(self, name, out),
            Command::Rename { from, to } => mailboxes::rename(self, from, to),
            Command::Subscribe { mailbox, on } => mailboxes::subscribe(self, mailbox, on),
            Command::List(wanted) => list(self, tag, *wanted, rule, out),
            Command::GetMetadata(wanted) => metadata::get(self, *wanted, out),
            Command::SetMetadata(wanted) => metadata::set(self, *wanted),
            Command::Notify(wanted) => notify(self, *wanted, out),
            Command::Esearch(wanted) => esearch(self, tag, *wanted, rule, out),
            Command::CancelUpdate(tags) => cancel_update(self, &tags),
            Command::Status { mailbox, items } => mailboxes::status(self, mailbox, &items, out),
            // Refused by the table before login and after.
            Command::StartTls | Command::Login { .. } | Command::Authenticate { .. } => {
                Ran::ok("BAD You are logged in already.")
            }
            command => messages::run(self, tag, command, rule, out),
        }
    }

    /// RFC 4978 section 3. The tagged response has to be the last thing before.
    fn compress(&mut self, tag: &Tag, mechanism: &str, out: &mut Output) -> Ran {
        if mechanism != "DEFLATE" {
            return Ran::ok("BAD Only DEFLATE is served.");
        }
        if std::mem::replace(&mut self.compressed, true) {
            return Ran::ok("BAD [COMPRESSIONACTIVE] DEFLATE is active already.");
        }
        self.reply(tag, "OK DEFLATE active.", out);
        self.doing = Doing::Compress;
        Ran::GoesOn
    }

    /// After `Progress::Compress`: what came behind the command already, which is compressed.
    pub(crate) fn take_compressed(&mut self) -> Vec<u8> {
        self.framer.take(u64::MAX)
    }

    /// Tells what changed and answers, or says what it needs to.
    fn ending(&mut self, ending: Ending, turn: Turn, out: &mut Output) -> Next {
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

    /// A line while the client idles (RFC 2177 section 3).
    fn idle(&mut self, idling: Tag, out: &mut Output) -> Next {
        match self.framer.next() {
            Frame::NeedInput => {
                self.doing = Doing::Idle(idling);
                return Some(Progress::Wait);
            }
            Frame::Command(text) if text.eq_ignore_ascii_case(b"DONE") => {
                self.finish(idling, "OK Idle completed.".into(), Expunges::Tell);
            }
            Frame::Continue => self.doing = Doing::Idle(idling),
            Frame::Append {
                octets,
                synchronising,
                ..
            } => {
                if !synchronising {
                    self.framer.skip_literal(octets);
                }
                self.bad(&idling, "BAD Expected DONE.", out);
            }
            Frame::Command(_) | Frame::Refused { .. } => {
                self.bad(&idling, "BAD Expected DONE.", out);
            }
        }
        None
    }
}

impl Machine for Session {
    type Question = ();
    type Answer = ();

    fn input(&mut self, bytes: &[u8]) -> usize {
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
            (Event::Stopping, _) => Doing::Goodbye("* BYE The server is shutting down.\r\n"),
            (Event::Woken, Doing::Idle(tag)) => Doing::IdleNews(tag),
            (Event::Woken, Doing::Reading) => Doing::Finish(Ending {
                tag: Tag::new(),
                text: Cow::Borrowed(""),
                expunges: self.expunges_unasked(),
                after: After::Read,
            }),
            (Event::TimedOut, Doing::Idle(tag)) => Doing::StillHere(tag),
            (Event::TimedOut, _) => Doing::Goodbye("* BYE Disconnected for inactivity.\r\n"),
            (_, doing) => doing,
        };
    }

    fn patience(&self) -> Duration {
        match self.doing {
            Doing::Idle(_) => KEEP_ALIVE,
            _ => self.settings.patience,
        }
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
