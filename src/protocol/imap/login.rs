//! A connection before login: it has no account and can run where no mail is.

use super::capability::{Situation, capability_line};
use super::handover::Handover;
use super::refusal::refused;
use super::table::{State, rule_of};
use super::tag::{Tag, tag};
use crate::auth::{Answer, Closed, Credentials, Exchange, Question, Secret, Step, Verdict};
use crate::codec::base64;
use crate::config::Mechanisms;
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::imap::{Bounds, Command, Frame, Framer, Refusal, parse, url_encoded};
use std::net::IpAddr;
use std::time::Duration;

/// How a connection stands when it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginSettings {
    /// TLS is up already.
    pub(crate) secured: bool,
    /// What can be used to log in, where there is channel binding.
    pub(crate) mechanisms: Mechanisms,
    /// Passwords are taken without TLS: the peer is this machine.
    pub(crate) plaintext: bool,
    pub(crate) starttls: bool,
    /// The peer may say for whom it connects.
    pub(crate) trusted: bool,
    pub(crate) line_octets: usize,
    pub(crate) literal_octets: usize,
    /// Of a literal that does not wait.
    pub(crate) nonsync_octets: u64,
    pub(crate) bad_commands: u32,
    /// Failed logins until the connection is closed.
    pub(crate) failures: u32,
    /// From connecting to being logged in, per wait.
    pub(crate) patience: Duration,
}

/// A connection before login.
pub(crate) struct Login {
    settings: LoginSettings,
    framer: Framer,
    doing: Doing,
    /// For whom a trusted peer connects.
    client: Option<IpAddr>,
    /// There is channel binding.
    bindable: bool,
    /// The client has shown a certificate that is good.
    certified: bool,
    bad: u32,
    /// Failed logins on this connection.
    failed: u32,
}

enum Doing {
    Greeting,
    Reading,
    /// SASL goes on with the next line.
    Exchange(Tag, Box<Exchange>),
    /// The answer to a question is next, or was given.
    Asked(Tag, Box<Exchange>, Option<Answer>),
    Accepted(Tag),
    Goodbye(&'static str),
    Ended,
}

impl Login {
    pub(crate) fn new(settings: LoginSettings) -> Login {
        Login {
            settings,
            framer: Framer::new(
                settings.line_octets,
                settings.literal_octets,
                settings.nonsync_octets,
            ),
            doing: Doing::Greeting,
            client: None,
            bindable: false,
            certified: false,
            bad: 0,
            failed: 0,
        }
    }

    /// After `Progress::Done`: what the session goes on with, if the client logged in.
    pub(crate) fn into_handover(self) -> Option<Handover> {
        match self.doing {
            Doing::Accepted(tag) => Some(Handover {
                tag,
                input: self.framer.into_rest(),
            }),
            _ => None,
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            logged_in: false,
            starttls: self.settings.starttls && !self.settings.secured,
            password: self.password_allowed(),
            mechanisms: self.offered(),
            nonsync_octets: self.settings.nonsync_octets,
            append_limit: 0,
        }
    }

    fn offered(&self) -> Mechanisms {
        let mechanisms = self.settings.mechanisms.bound(self.bindable);
        mechanisms.certified(self.certified)
    }

    fn password_allowed(&self) -> bool {
        self.settings.secured || self.settings.plaintext
    }

    fn greet(&mut self, out: &mut Output) {
        out.put(b"* OK [");
        capability_line(self.situation(), out.buffer());
        out.put(b"] dovelet ready.\r\n");
    }

    fn tagged(&self, tag: &Tag, text: &str, out: &mut Output) {
        out.put(tag);
        out.put(b" ");
        out.put(text.as_bytes());
        out.put(b"\r\n");
    }

    /// Counts a bad command; too many end the connection.
    fn refuse(&mut self, tag: &Tag, text: &str, out: &mut Output) {
        self.tagged(tag, text, out);
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            out.put(b"* BYE Too many bad commands.\r\n");
            self.doing = Doing::Ended;
        }
    }

    fn command(&mut self, text: &[u8], out: &mut Output) -> Option<Progress<Question>> {
        let parsed = parse(text, Bounds::USUAL);
        let tag = tag(&parsed.tag);
        let command = match parsed.command {
            Ok(command) => command,
            Err(syntax) => {
                self.refuse(&tag, &format!("BAD {}.", syntax.0), out);
                return None;
            }
        };
        if !matches!(
            rule_of(&command).state,
            State::Any | State::NotAuthenticated
        ) {
            self.refuse(&tag, "BAD Log in first.", out);
            return None;
        }
        match command {
            Command::Capability => {
                out.put(b"* ");
                capability_line(self.situation(), out.buffer());
                out.put(b"\r\n");
                self.tagged(&tag, "OK Capability completed.", out);
            }
            Command::Id { originating } => {
                self.client = originating
                    .filter(|_| self.settings.trusted)
                    .or(self.client);
                out.put(b"* ID (\"name\" \"dovelet\")\r\n");
                self.tagged(&tag, "OK ID completed.", out);
            }
            Command::Logout => {
                out.put(b"* BYE Logging out.\r\n");
                self.tagged(&tag, "OK Logout completed.", out);
                self.doing = Doing::Ended;
            }
            Command::StartTls => return self.start_tls(&tag, out),
            Command::Login { user, password } => {
                if self.passwords_refused(&tag, out) {
                    return None;
                }
                let authcid = String::from_utf8_lossy(&user).into_owned();
                let credentials = Credentials::new(authcid, Secret::new(password));
                let exchange = Box::new(Exchange::asked());
                return Some(self.ask(tag, exchange, Question::Verify(credentials)));
            }
            Command::Authenticate { mechanism, initial } => {
                return self.authenticate(tag, &mechanism, initial, out);
            }
            _ => self.tagged(&tag, "OK Completed.", out),
        }
        None
    }

    fn start_tls(&mut self, tag: &Tag, out: &mut Output) -> Option<Progress<Question>> {
        if self.settings.secured {
            self.tagged(tag, "BAD TLS is active already.", out);
        } else if !self.settings.starttls {
            self.tagged(tag, "BAD This listener has no TLS.", out);
        } else {
            self.tagged(tag, "OK Begin TLS negotiation now.", out);
            // What came before TLS could be anybody's.
            self.framer.clear();
            return Some(Progress::StartTls);
        }
        None
    }

    /// RFC 5530 section 3, PRIVACYREQUIRED.
    fn passwords_refused(&mut self, tag: &Tag, out: &mut Output) -> bool {
        let refused = !self.password_allowed();
        if refused {
            let text = "NO [PRIVACYREQUIRED] Passwords are taken over TLS only.";
            self.refuse(tag, text, out);
        }
        refused
    }

    fn ask(&mut self, tag: Tag, exchange: Box<Exchange>, question: Question) -> Progress<Question> {
        self.doing = Doing::Asked(tag, exchange, None);
        Progress::Ask(question.of(self.client))
    }

    fn authenticate(
        &mut self,
        tag: Tag,
        mechanism: &str,
        initial: Option<Vec<u8>>,
        out: &mut Output,
    ) -> Option<Progress<Question>> {
        let Some(exchange) = Exchange::new(mechanism, self.offered()) else {
            self.refuse(&tag, "NO [CANNOT] This mechanism is not served.", out);
            return None;
        };
        if self.passwords_refused(&tag, out) {
            return None;
        }
        self.doing = Doing::Exchange(tag, Box::new(exchange));
        match initial {
            None => self.step(None, out),
            Some(text) if text == b"=" => self.step(Some(&[]), out),
            Some(text) => self.response(&text, out),
        }
    }

    /// A line of the SASL exchange (RFC 3501 section 6.2.2).
    fn response(&mut self, line: &[u8], out: &mut Output) -> Option<Progress<Question>> {
        if line == b"*" {
            return self.end_exchange("BAD Authentication cancelled.", out);
        }
        match base64::decode(line) {
            Some(bytes) => self.step(Some(&bytes), out),
            None => self.end_exchange("BAD This is not base64.", out),
        }
    }

    fn step(&mut self, response: Option<&[u8]>, out: &mut Output) -> Option<Progress<Question>> {
        let Doing::Exchange(tag, mut exchange) = std::mem::replace(&mut self.doing, Doing::Reading)
        else {
            return None;
        };
        let step = exchange.step(response);
        self.stepped(tag, exchange, step, out)
    }

    fn stepped(
        &mut self,
        tag: Tag,
        exchange: Box<Exchange>,
        step: Step,
        out: &mut Output,
    ) -> Option<Progress<Question>> {
        match step {
            Step::Challenge(challenge) => {
                out.put(b"+ ");
                out.put(base64::encode(&challenge).as_bytes());
                out.put(b"\r\n");
                self.doing = Doing::Exchange(tag, exchange);
            }
            Step::Failed => self.refuse(&tag, "BAD The response is malformed.", out),
            Step::Ask(question) => return Some(self.ask(tag, exchange, question)),
            Step::Done(verdict) => self.judge(tag, verdict, out),
        }
        None
    }

    /// Ends the exchange, if there is one; the tag of its command.
    fn exchanging(&mut self) -> Option<Tag> {
        match std::mem::replace(&mut self.doing, Doing::Reading) {
            Doing::Exchange(tag, _) => Some(tag),
            _ => None,
        }
    }

    fn end_exchange(&mut self, text: &str, out: &mut Output) -> Option<Progress<Question>> {
        if let Some(tag) = self.exchanging() {
            self.refuse(&tag, text, out);
        }
        None
    }

    fn judge(&mut self, tag: Tag, verdict: Verdict, out: &mut Output) {
        self.doing = Doing::Reading;
        match verdict {
            Verdict::Accepted => self.doing = Doing::Accepted(tag),
            Verdict::Closed(closed) => self.tagged(&tag, &elsewhere(&closed), out),
            Verdict::Unavailable | Verdict::TooSoon => {
                let text = "NO [UNAVAILABLE] Logins cannot be checked now; try again later.";
                self.tagged(&tag, text, out);
            }
            Verdict::Rejected => {
                let text = "NO [AUTHENTICATIONFAILED] Authentication failed.";
                self.tagged(&tag, text, out);
                self.failed += 1;
                if self.failed >= self.settings.failures {
                    out.put(b"* BYE Too many failed logins.\r\n");
                    self.doing = Doing::Ended;
                }
            }
        }
    }

    fn frame(&mut self, out: &mut Output) -> Option<Progress<Question>> {
        match self.framer.next() {
            Frame::NeedInput => return Some(Progress::NeedInput),
            Frame::Continue => out.put(b"+ OK\r\n"),
            Frame::Command(text) if matches!(self.doing, Doing::Exchange(..)) => {
                return self.response(&text, out);
            }
            Frame::Command(text) => return self.command(&text, out),
            Frame::Append {
                head,
                octets,
                synchronising,
            } => {
                if !synchronising {
                    self.framer.skip_literal(octets);
                }
                match self.exchanging() {
                    Some(tag) => self.refuse(&tag, "BAD This is not base64.", out),
                    None => {
                        let tag = tag(&crate::wire::imap::tag_of(&head));
                        self.refuse(&tag, "BAD Log in first.", out);
                    }
                }
            }
            Frame::Refused { tag: of, why } => {
                // A response has no tag, and what it has instead is nobody's business.
                let tag = self.exchanging().unwrap_or_else(|| tag(&of));
                let text = match why {
                    Refusal::LineTooLong => "BAD The line is too long.".into(),
                    Refusal::LiteralTooLarge => "BAD The literal is too large.".into(),
                    Refusal::NotSynchronising | Refusal::Malformed(_) => refused(why),
                };
                self.refuse(&tag, &text, out);
                // No name or password is that long.
                if why == Refusal::LiteralTooLarge {
                    out.put(b"* BYE Too large a literal.\r\n");
                    self.doing = Doing::Ended;
                }
            }
        }
        None
    }
}

/// Where the user is to log in instead (RFC 2221 section 4.1), or that it may not at all.
fn elsewhere(closed: &Closed) -> String {
    let reason = closed.reason.as_deref();
    match &closed.server {
        Some(server) => {
            let user = url_encoded(&closed.user);
            let text = reason.unwrap_or("Your mail is on another server.");
            format!("NO [REFERRAL imap://{user};AUTH=*@{server}/] {text}")
        }
        None => {
            let text = reason.unwrap_or("You may not log in.");
            format!("NO [CONTACTADMIN] {text}")
        }
    }
}

impl Machine for Login {
    type Question = Question;
    type Answer = Answer;

    fn input(&mut self, bytes: &[u8]) -> usize {
        self.framer.input(bytes)
    }

    fn advance(&mut self, _turn: Turn, out: &mut Output) -> Progress<Question> {
        loop {
            match std::mem::replace(&mut self.doing, Doing::Reading) {
                Doing::Greeting => self.greet(out),
                Doing::Asked(tag, mut exchange, Some(answer)) => {
                    let step = exchange.answer(answer);
                    if let Some(progress) = self.stepped(tag, exchange, step, out) {
                        return progress;
                    }
                }
                asked @ Doing::Asked(_, _, None) => {
                    // Only an answer goes on from here.
                    self.doing = asked;
                    return Progress::NeedInput;
                }
                Doing::Goodbye(text) => {
                    out.put(text.as_bytes());
                    self.doing = Doing::Ended;
                }
                ended @ (Doing::Accepted(_) | Doing::Ended) => {
                    self.doing = ended;
                    return Progress::Done;
                }
                doing @ (Doing::Reading | Doing::Exchange(..)) => {
                    self.doing = doing;
                    if let Some(progress) = self.frame(out) {
                        return progress;
                    }
                }
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        if let Doing::Asked(_, _, given) = &mut self.doing {
            *given = Some(answer);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Secured {
                bindable,
                certified,
            } => {
                self.settings.secured = true;
                self.bindable = bindable;
                self.certified = certified;
                self.framer.clear();
            }
            Event::TimedOut => self.doing = Doing::Goodbye("* BYE Login takes too long.\r\n"),
            Event::Stopping => {
                self.doing = Doing::Goodbye("* BYE [UNAVAILABLE] The server is shutting down.\r\n");
            }
            Event::Woken | Event::Gone => {}
        }
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }
}
