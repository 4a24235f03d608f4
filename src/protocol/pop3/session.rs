//! A connection after login: the TRANSACTION and UPDATE states (RFC 1939 sections 5 and 6).

use super::ahead::PATIENCE;
use super::capability::{Situation, capabilities};
use super::handover::Handover;
use super::language::language;
use super::listing::{Kind, Listing, one};
use super::maildrop::Maildrop;
use super::refusal::{ARGUMENTS, LOCKED, NOT_PERMITTED, TOO_LONG, UNKNOWN, refusal};
use super::sending::Sending;
use super::uidl::Uidls;
use crate::config::Pop3;
use crate::mail::{SeqNum, Uid};
use crate::mailbox::{Account, Error};
use crate::protocol::{Event, Machine, Output, Progress, Resident, Turn};
use crate::wire::lines::{Line, Lines};
use crate::wire::pop3::{Command, Fault, Message, parse};
use std::sync::Arc;
use std::time::Duration;

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionSettings {
    pub(crate) line_octets: usize,
    /// Bad commands in a row.
    pub(crate) bad_commands: u32,
    /// Without a command; RFC 1939 section 3 asks for at least 10 minutes.
    pub(crate) patience: Duration,
}

/// A connection after login.
pub(crate) struct Session {
    account: Account,
    settings: SessionSettings,
    situation: Situation,
    lines: Lines,
    /// From the first turn on.
    maildrop: Option<Box<Maildrop>>,
    uidls: Uidls,
    doing: Doing,
    /// What was said when the session ended without QUIT.
    last_words: &'static str,
    bad: u32,
}

/// What a session is in the middle of.
enum Doing {
    /// The login command is to be answered.
    Begin,
    Reading,
    /// Waits for a turn on which it may block.
    Command(Command),
    Listing(Box<Listing>),
    Sending(Box<Sending>),
    /// QUIT: the UPDATE state.
    Update,
    /// The session ends without QUIT: nothing is removed.
    Leave(&'static str),
    Ended,
}

type Next = Option<Progress<()>>;

/// How a command went that touches files.
type Ran = Result<(), &'static str>;

impl Session {
    /// The account is prepared (`Account::prepare`) already.
    pub(crate) fn new(
        account: Account,
        handover: Handover,
        pop3: Arc<Pop3>,
        settings: SessionSettings,
    ) -> Session {
        let mut lines = Lines::new(settings.line_octets);
        lines.input(&handover.input);
        Session {
            account,
            settings,
            situation: handover.situation,
            lines,
            maildrop: None,
            uidls: Uidls::new(pop3),
            doing: Doing::Begin,
            last_words: "",
            bad: 0,
        }
    }

    fn begin(&mut self, out: &mut Output) {
        let pop3 = self.uidls.pop3();
        let lock = match pop3.lock_session {
            false => None,
            // Who may only read is in nobody's way.
            true if self.account.may_change().is_err() => None,
            true => match self.account.lock_maildrop() {
                None => {
                    self.doing = Doing::Leave(LOCKED);
                    return;
                }
                lock => lock,
            },
        };
        match Maildrop::open(&self.account, lock, pop3) {
            Ok(maildrop) => {
                self.maildrop = Some(Box::new(maildrop));
                out.put(b"+OK Logged in.\r\n");
            }
            Err(error) => self.doing = Doing::Leave(refusal(error)),
        }
    }

    /// Counts a bad command; too many in a row end the session.
    fn refuse(&mut self, text: &str, out: &mut Output) {
        out.put(text.as_bytes());
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            self.doing = Doing::Leave("-ERR Too many bad commands.\r\n");
        }
    }

    fn line(&mut self, out: &mut Output) -> Next {
        match self.lines.next() {
            Line::NeedInput => return Some(Progress::NeedInput),
            Line::TooLong => self.refuse(TOO_LONG, out),
            Line::Whole(line) => match parse(&line) {
                Ok(command) => return self.command(command, out),
                Err(Fault::Unknown) => self.refuse(UNKNOWN, out),
                Err(Fault::Arguments) => self.refuse(ARGUMENTS, out),
            },
        }
        None
    }

    /// Runs what touches no file.
    fn command(&mut self, command: Command, out: &mut Output) -> Next {
        let Some(maildrop) = self.maildrop.as_deref_mut() else {
            self.doing = Doing::Ended;
            return None;
        };
        let bad = std::mem::take(&mut self.bad);
        match command {
            Command::Capa => capabilities(self.situation, out.buffer()),
            Command::Noop => out.put(b"+OK\r\n"),
            Command::Lang(range) => language(range.as_deref(), out.buffer()),
            Command::Quit => self.doing = Doing::Update,
            Command::Stat => match maildrop.known_octets() {
                Some(octets) => stat(maildrop.count(), octets, out),
                None => return self.later(command),
            },
            Command::Dele(_) if !maildrop.may_change() => out.put(NOT_PERMITTED.as_bytes()),
            Command::Dele(message) => match maildrop.find(message) {
                Ok(found) => {
                    maildrop.delete(found);
                    out.put(b"+OK Marked as deleted.\r\n");
                }
                Err(text) => out.put(text.as_bytes()),
            },
            Command::Rset => {
                maildrop.reset();
                out.put(b"+OK\r\n");
            }
            Command::Last if self.uidls.pop3().enable_last => {
                out.put(format!("+OK {}\r\n", maildrop.last).as_bytes());
            }
            Command::Retr(message) => match maildrop.ready(message) {
                Some((found, content)) => {
                    maildrop.read(found);
                    let sending = Sending::begin(content, None, self.uidls.pop3(), out);
                    self.doing = Doing::Sending(Box::new(sending));
                }
                None => return self.later(command),
            },
            Command::List(_) | Command::Uidl(_) | Command::Top { .. } => {
                return self.later(command);
            }
            _ => {
                self.bad = bad;
                let text = match command {
                    Command::Last => UNKNOWN,
                    _ => "-ERR You are logged in already.\r\n",
                };
                self.refuse(text, out);
            }
        }
        None
    }

    fn later(&mut self, command: Command) -> Next {
        self.doing = Doing::Command(command);
        Some(Progress::Disk)
    }

    /// Runs what touches files, or begins to.
    fn run(&mut self, command: Command, out: &mut Output) {
        let ran = match command {
            Command::Stat => self.stat(out),
            Command::List(None) => self.list(Kind::Octets, out),
            Command::Uidl(None) => self.list(Kind::Uidl, out),
            Command::List(Some(message)) => self.list_one(Kind::Octets, message, out),
            Command::Uidl(Some(message)) => self.list_one(Kind::Uidl, message, out),
            Command::Retr(message) => self.send(message, None, out),
            Command::Top { message, lines } => self.send(message, Some(lines), out),
            _ => Err(UNKNOWN),
        };
        if let Err(text) = ran {
            out.put(text.as_bytes());
        }
    }

    fn stat(&mut self, out: &mut Output) -> Ran {
        if let Some(maildrop) = self.maildrop.as_deref_mut() {
            let octets = maildrop.octets().map_err(refusal)?;
            stat(maildrop.count(), octets, out);
        }
        Ok(())
    }

    fn list(&mut self, kind: Kind, out: &mut Output) -> Ran {
        if let Some(maildrop) = self.maildrop.as_deref() {
            let count = maildrop.count();
            let text = match kind {
                Kind::Octets => format!("+OK {count} messages:\r\n"),
                Kind::Uidl => "+OK\r\n".to_owned(),
            };
            out.put(text.as_bytes());
            let listing = Listing::new(kind, maildrop, self.uidls.pop3());
            self.doing = Doing::Listing(Box::new(listing));
        }
        Ok(())
    }

    fn list_one(&mut self, kind: Kind, message: Message, out: &mut Output) -> Ran {
        let (maildrop, (_, uid)) = found(&mut self.maildrop, message)?;
        let told = one(kind, uid, maildrop, &mut self.uidls, out);
        told.and_then(|()| self.uidls.save(maildrop))
            .map_err(refusal)
    }

    fn send(&mut self, message: Message, lines: Option<u64>, out: &mut Output) -> Ran {
        let (maildrop, found) = found(&mut self.maildrop, message)?;
        let content = maildrop.view.message(found.1, u64::MAX);
        let content = content.and_then(|content| content.ok_or(Error::Expunged));
        let content = content.map_err(refusal)?;
        let sending = Sending::begin(content, lines, self.uidls.pop3(), out);
        if lines.is_none() {
            maildrop.read_ahead(found.0);
            maildrop.read(found);
        }
        self.doing = Doing::Sending(Box::new(sending));
        Ok(())
    }

    fn listing(&mut self, mut listing: Box<Listing>, out: &mut Output) {
        let Some(maildrop) = self.maildrop.as_deref() else {
            return;
        };
        let more = listing.step(maildrop, &mut self.uidls, out);
        let more = more.and_then(|more| match more {
            true => Ok(true),
            false => self.uidls.save(maildrop).map(|()| false),
        });
        match more {
            Ok(true) => self.doing = Doing::Listing(listing),
            Ok(false) => {}
            // Half a listing cannot be taken back.
            Err(_) => self.doing = Doing::Leave(""),
        }
    }

    fn sending(&mut self, mut sending: Box<Sending>, out: &mut Output) {
        match sending.step(out) {
            Ok(true) => self.doing = Doing::Sending(sending),
            Ok(false) => {}
            // Half a message cannot be taken back.
            Err(_) => self.doing = Doing::Leave(""),
        }
    }

    fn update(&mut self, out: &mut Output) {
        self.doing = Doing::Ended;
        let Some(mut maildrop) = self.maildrop.take() else {
            return;
        };
        let text = match maildrop.update(self.uidls.pop3()) {
            Ok(()) => "+OK Logging out.\r\n",
            Err(error) => refusal(error),
        };
        out.put(text.as_bytes());
    }

    /// True if the session's end has to write something.
    fn was_read(&self) -> bool {
        let maildrop = self.maildrop.as_deref();
        maildrop.is_some_and(|maildrop| maildrop.was_read(self.uidls.pop3()))
    }

    fn leave(&mut self, text: &'static str, out: &mut Output) {
        out.put(text.as_bytes());
        self.last_words = text;
        self.doing = Doing::Ended;
        if let Some(mut maildrop) = self.maildrop.take() {
            // Already logged; nobody was promised anything.
            let _: Result<(), Error> = maildrop.keep_seen(self.uidls.pop3());
        }
    }
}

/// The maildrop, and a message that it has.
fn found(
    maildrop: &mut Option<Box<Maildrop>>,
    message: Message,
) -> Result<(&mut Maildrop, (SeqNum, Uid)), &'static str> {
    let maildrop = maildrop.as_deref_mut().ok_or(UNKNOWN)?;
    let found = maildrop.find(message)?;
    Ok((maildrop, found))
}

fn stat(count: u64, octets: u64, out: &mut Output) {
    out.put(format!("+OK {count} {octets}\r\n").as_bytes());
}

impl Machine for Session {
    type Question = ();
    type Answer = ();

    fn input(&mut self, bytes: &[u8]) -> usize {
        self.lines.input(bytes)
    }

    fn advance(&mut self, turn: Turn, out: &mut Output) -> Progress<()> {
        loop {
            if out.full() {
                return Progress::Flush;
            }
            let doing = std::mem::replace(&mut self.doing, Doing::Reading);
            let blocks = match &doing {
                Doing::Reading | Doing::Ended => false,
                Doing::Leave(_) => self.was_read(),
                Doing::Sending(sending) => !sending.is_in_memory(),
                _ => true,
            };
            if blocks && turn == Turn::Quick {
                self.doing = doing;
                return Progress::Disk;
            }
            match doing {
                Doing::Begin => self.begin(out),
                Doing::Reading => {
                    if let Some(progress) = self.line(out) {
                        return progress;
                    }
                }
                Doing::Command(command) => self.run(command, out),
                Doing::Listing(listing) => self.listing(listing, out),
                Doing::Sending(sending) => self.sending(sending, out),
                Doing::Update => self.update(out),
                Doing::Leave(text) => self.leave(text, out),
                Doing::Ended => {
                    self.doing = Doing::Ended;
                    return Progress::Done;
                }
            }
        }
    }

    fn answer(&mut self, (): ()) {}

    fn event(&mut self, event: Event) {
        if event == Event::TimedOut
            && let Some(maildrop) = self.maildrop.as_deref_mut()
            && !maildrop.ahead.is_empty()
        {
            maildrop.ahead.free();
            return;
        }
        let text = match event {
            Event::Stopping => "-ERR [SYS/TEMP] The server is shutting down.\r\n",
            Event::TimedOut => "-ERR Disconnected for inactivity.\r\n",
            Event::Gone => "",
            Event::Woken | Event::Secured { .. } => return,
        };
        if !matches!(self.doing, Doing::Ended) {
            self.doing = Doing::Leave(text);
        }
    }

    fn patience(&self) -> Duration {
        let maildrop = self.maildrop.as_deref();
        match maildrop.is_some_and(|maildrop| !maildrop.ahead.is_empty()) {
            true => PATIENCE.min(self.settings.patience),
            false => self.settings.patience,
        }
    }
}

impl Resident for Session {
    fn farewell(&self) -> Option<String> {
        let words = self.last_words.strip_prefix("-ERR ")?;
        Some(words.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 256, "{}", size_of::<Session>());
    }
}
