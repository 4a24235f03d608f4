//! A connection before login: it has no account and can run where no mail is.

use super::capability::{Situation, capabilities, mechanism_list};
use super::handover::Handover;
use super::language::language;
use super::refusal::{ARGUMENTS, TOO_LONG, UNKNOWN};
use crate::auth::{Answer, Closed, Credentials, Exchange, Proof, Question, Secret, Step, Verdict};
use crate::codec::base64;
use crate::config::Mechanisms;
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::lines::{Line, Lines};
use crate::wire::lmtp::Forwarded;
use crate::wire::pop3::{Auth, Command, Fault, parse};
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
    /// From a login to the next one of the user, at least.
    pub(crate) delay_seconds: u32,
    /// The peer may say for whom it connects.
    pub(crate) trusted: bool,
    pub(crate) line_octets: usize,
    pub(crate) bad_commands: u32,
    /// Failed logins until the connection is closed.
    pub(crate) failures: u32,
    /// From connecting to being logged in, per wait.
    pub(crate) patience: Duration,
}

/// A connection before login.
pub(crate) struct Login {
    settings: LoginSettings,
    /// What the digest of APOP is made with; `None`: it is not served.
    stamp: Option<String>,
    lines: Lines,
    doing: Doing,
    /// What USER said.
    user: Option<String>,
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
    Exchange(Box<Exchange>),
    /// The answer to a question is next, or was given.
    Asked(Box<Exchange>, Option<Answer>),
    Accepted,
    Goodbye(&'static str),
    Ended,
}

type Next = Option<Progress<Question>>;

const TOO_MANY: &str = "-ERR Too many bad commands.\r\n";

impl Login {
    /// `stamp`: another one for every connection, in angle brackets; `None`: without APOP.
    pub(crate) fn new(settings: LoginSettings, stamp: Option<String>) -> Login {
        Login {
            stamp,
            lines: Lines::new(settings.line_octets),
            settings,
            doing: Doing::Greeting,
            user: None,
            client: None,
            bindable: false,
            certified: false,
            bad: 0,
            failed: 0,
        }
    }

    /// After `Progress::Done`: what the session goes on with, if the client logged in.
    pub(crate) fn into_handover(self) -> Option<Handover> {
        let situation = self.situation();
        match self.doing {
            Doing::Accepted => Some(Handover {
                situation,
                input: self.lines.into_rest(),
            }),
            _ => None,
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            starttls: self.settings.starttls && !self.settings.secured,
            password: self.settings.secured || self.settings.plaintext,
            mechanisms: self.offered(),
            delay_seconds: self.settings.delay_seconds,
        }
    }

    fn offered(&self) -> Mechanisms {
        let mechanisms = self.settings.mechanisms.bound(self.bindable);
        mechanisms.certified(self.certified)
    }

    /// Counts a bad command; too many end the connection.
    fn refuse(&mut self, text: &str, out: &mut Output) {
        out.put(text.as_bytes());
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            self.doing = Doing::Goodbye(TOO_MANY);
        }
    }

    fn line(&mut self, out: &mut Output) -> Next {
        match self.lines.next() {
            Line::NeedInput => return Some(Progress::NeedInput),
            Line::TooLong => {
                self.doing = Doing::Reading;
                self.refuse(TOO_LONG, out);
            }
            Line::Whole(line) if matches!(self.doing, Doing::Exchange(_)) => {
                return self.response(&line, out);
            }
            Line::Whole(line) => match parse(&line) {
                Ok(command) => return self.command(command, out),
                Err(Fault::Unknown) => self.refuse(UNKNOWN, out),
                Err(Fault::Arguments) => self.refuse(ARGUMENTS, out),
            },
        }
        None
    }

    fn command(&mut self, command: Command, out: &mut Output) -> Next {
        match command {
            Command::Capa => capabilities(self.situation(), out.buffer()),
            Command::Noop => out.put(b"+OK\r\n"),
            Command::Quit => self.doing = Doing::Goodbye("+OK Logging out.\r\n"),
            // Messages go out as they are, whatever was said before: see the manual of [pop3].
            Command::Utf8 => out.put(b"+OK UTF-8 from now on.\r\n"),
            Command::Lang(range) => language(range.as_deref(), out.buffer()),
            Command::Xclient(forwarded) => self.xclient(&forwarded, out),
            Command::Stls => return self.start_tls(out),
            Command::User(name) => self.name(name, out),
            Command::Pass(password) => return self.password(password, out),
            Command::Auth(None) => mechanism_list(self.offered(), out.buffer()),
            Command::Auth(Some(auth)) => return self.authenticate(auth, out),
            Command::Apop { user, digest } => return self.apop(&user, digest, out),
            _ => self.refuse("-ERR Log in first.\r\n", out),
        }
        None
    }

    fn start_tls(&mut self, out: &mut Output) -> Next {
        if self.settings.secured {
            self.refuse("-ERR TLS is active already.\r\n", out);
        } else if !self.settings.starttls {
            self.refuse("-ERR This listener has no TLS.\r\n", out);
        } else {
            out.put(b"+OK Begin TLS negotiation now.\r\n");
            // What came before TLS could be anybody's (RFC 2595 section 2.2).
            self.lines.clear();
            self.user = None;
            return Some(Progress::StartTls);
        }
        None
    }

    /// A proxy says for whom it connects, as Dovecot's do.
    fn xclient(&mut self, forwarded: &Forwarded, out: &mut Output) {
        if !self.settings.trusted {
            return self.refuse("-ERR Only for trusted networks.\r\n", out);
        }
        self.client = forwarded.address.or(self.client);
        out.put(b"+OK Updated.\r\n");
    }

    fn passwords_refused(&mut self, out: &mut Output) -> bool {
        let refused = !self.situation().password;
        if refused {
            let text = "-ERR [AUTH] Passwords are taken over TLS only.\r\n";
            self.refuse(text, out);
        }
        refused
    }

    fn name(&mut self, name: Vec<u8>, out: &mut Output) {
        if self.passwords_refused(out) {
            return;
        }
        // Whether there is such a user is nobody's business.
        self.user = Some(String::from_utf8_lossy(&name).into_owned());
        out.put(b"+OK\r\n");
    }

    fn password(&mut self, password: Vec<u8>, out: &mut Output) -> Next {
        if self.passwords_refused(out) {
            return None;
        }
        let Some(user) = self.user.take() else {
            self.refuse("-ERR Say who you are first, with USER.\r\n", out);
            return None;
        };
        Some(self.verify(Credentials::new(user, Secret::new(password))))
    }

    /// RFC 1939 section 7; only where the greeting has a timestamp.
    fn apop(&mut self, user: &[u8], digest: Vec<u8>, out: &mut Output) -> Next {
        let Some(stamp) = self.stamp.clone() else {
            self.refuse("-ERR APOP is not served.\r\n", out);
            return None;
        };
        let user = String::from_utf8_lossy(user).into_owned();
        Some(self.verify(Credentials {
            proof: Proof::Apop { stamp, digest },
            ..Credentials::new(user, Secret::default())
        }))
    }

    fn greet(&self, out: &mut Output) {
        out.put(match self.settings.trusted {
            true => b"+OK [XCLIENT] dovelet ready.",
            false => b"+OK dovelet ready.",
        });
        if let Some(stamp) = &self.stamp {
            out.put(b" ");
            out.put(stamp.as_bytes());
        }
        out.put(b"\r\n");
    }

    fn verify(&mut self, credentials: Credentials) -> Progress<Question> {
        let exchange = Box::new(Exchange::asked());
        self.ask(exchange, Question::Verify(credentials))
    }

    fn ask(&mut self, exchange: Box<Exchange>, question: Question) -> Progress<Question> {
        self.doing = Doing::Asked(exchange, None);
        Progress::Ask(question.of(self.client))
    }

    fn authenticate(&mut self, auth: Auth, out: &mut Output) -> Next {
        let Some(exchange) = Exchange::new(&auth.mechanism, self.offered()) else {
            self.refuse("-ERR This mechanism is not served.\r\n", out);
            return None;
        };
        if self.passwords_refused(out) {
            return None;
        }
        self.doing = Doing::Exchange(Box::new(exchange));
        match auth.initial {
            None => self.step(None, out),
            // RFC 5034 section 4.
            Some(text) if text == b"=" => self.step(Some(&[]), out),
            Some(text) => self.response(&text, out),
        }
    }

    /// A line of the SASL exchange (RFC 5034 section 4).
    fn response(&mut self, line: &[u8], out: &mut Output) -> Next {
        if line == b"*" {
            return self.end_exchange("-ERR Authentication cancelled.\r\n", out);
        }
        match base64::decode(line) {
            Some(bytes) => self.step(Some(&bytes), out),
            None => self.end_exchange("-ERR This is not base64.\r\n", out),
        }
    }

    fn step(&mut self, response: Option<&[u8]>, out: &mut Output) -> Next {
        let Doing::Exchange(mut exchange) = std::mem::replace(&mut self.doing, Doing::Reading)
        else {
            return None;
        };
        let step = exchange.step(response);
        self.stepped(exchange, step, out)
    }

    fn stepped(&mut self, exchange: Box<Exchange>, step: Step, out: &mut Output) -> Next {
        match step {
            Step::Challenge(challenge) => {
                out.put(b"+ ");
                out.put(base64::encode(&challenge).as_bytes());
                out.put(b"\r\n");
                self.doing = Doing::Exchange(exchange);
            }
            Step::Failed => self.refuse("-ERR The response is malformed.\r\n", out),
            Step::Ask(question) => return Some(self.ask(exchange, question)),
            Step::Done(verdict) => self.judge(verdict, out),
        }
        None
    }

    fn end_exchange(&mut self, text: &str, out: &mut Output) -> Next {
        self.doing = Doing::Reading;
        self.refuse(text, out);
        None
    }

    /// RFC 3206 section 4.
    fn judge(&mut self, verdict: Verdict, out: &mut Output) {
        match verdict {
            Verdict::Accepted => self.doing = Doing::Accepted,
            Verdict::Closed(closed) => out.put(elsewhere(&closed).as_bytes()),
            Verdict::TooSoon => {
                out.put(b"-ERR [LOGIN-DELAY] Your last login is too recent.\r\n");
            }
            Verdict::Unavailable => {
                out.put(b"-ERR [SYS/TEMP] Logins cannot be checked now; try again later.\r\n");
            }
            Verdict::Rejected => {
                out.put(b"-ERR [AUTH] Authentication failed.\r\n");
                self.failed += 1;
                if self.failed >= self.settings.failures {
                    self.doing = Doing::Goodbye("");
                }
            }
        }
    }
}

/// A user who may not log in here is told why (RFC 3206 section 4: nothing that trying again would change).
fn elsewhere(closed: &Closed) -> String {
    let reason = closed.reason.as_deref();
    match &closed.server {
        Some(server) => {
            let text = reason.unwrap_or("Your mail is on another server:");
            format!("-ERR [SYS/PERM] {text} {server}\r\n")
        }
        None => {
            let text = reason.unwrap_or("You may not log in.");
            format!("-ERR [SYS/PERM] {text}\r\n")
        }
    }
}

impl Machine for Login {
    type Question = Question;
    type Answer = Answer;

    fn input(&mut self, bytes: &[u8]) -> usize {
        self.lines.input(bytes)
    }

    fn advance(&mut self, _turn: Turn, out: &mut Output) -> Progress<Question> {
        loop {
            match std::mem::replace(&mut self.doing, Doing::Reading) {
                Doing::Greeting => self.greet(out),
                Doing::Asked(mut exchange, Some(answer)) => {
                    let step = exchange.answer(answer);
                    if let Some(progress) = self.stepped(exchange, step, out) {
                        return progress;
                    }
                }
                asked @ Doing::Asked(_, None) => {
                    // Only an answer goes on from here.
                    self.doing = asked;
                    return Progress::NeedInput;
                }
                Doing::Goodbye(text) => {
                    out.put(text.as_bytes());
                    self.doing = Doing::Ended;
                }
                ended @ (Doing::Accepted | Doing::Ended) => {
                    self.doing = ended;
                    return Progress::Done;
                }
                doing @ (Doing::Reading | Doing::Exchange(_)) => {
                    self.doing = doing;
                    if let Some(progress) = self.line(out) {
                        return progress;
                    }
                }
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        if let Doing::Asked(_, given) = &mut self.doing {
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
                self.lines.clear();
            }
            Event::TimedOut => self.doing = Doing::Goodbye("-ERR Login takes too long.\r\n"),
            Event::Stopping => {
                self.doing = Doing::Goodbye("-ERR [SYS/TEMP] The server is shutting down.\r\n");
            }
            Event::Woken | Event::Gone => {}
        }
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }
}
