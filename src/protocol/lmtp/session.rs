//! One LMTP connection.

use super::message::{Message, PIECE};
use super::transaction::Transaction;
use crate::deliver::{Envelope, Outcome};
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::lmtp::{ATTRIBUTES, Command, Forwarded, Reply, parse, reply};
use std::net::IpAddr;
use std::time::Duration;

/// Bounds and names of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) hostname: String,
    /// Where the client connects from.
    pub(crate) address: IpAddr,
    /// TLS is up already.
    pub(crate) secured: bool,
    pub(crate) starttls: bool,
    /// The client may say for whom it connects.
    pub(crate) trusted: bool,
    /// Octets of a command line.
    pub(crate) line_octets: usize,
    /// Octets of a message.
    pub(crate) message_octets: u64,
    /// Recipients a transaction.
    pub(crate) recipients: u32,
    /// Transactions a connection.
    pub(crate) transactions: u32,
    pub(crate) bad_commands: u32,
    pub(crate) patience: Duration,
}

/// What the session asks its process for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Is there a user of this address? (`Answer::Recipient`)
    Recipient(Vec<u8>),
    /// A message for the recipients accepted so far, in this order (`Answer::Begun`).
    Begin {
        envelope: Box<Envelope>,
        tickets: Vec<u32>,
    },
    /// A piece of the message (`Answer::Begun`).
    Body(Vec<u8>),
    /// The last piece (`Answer::Outcomes`).
    End(Vec<u8>),
    /// The message, or what was to become one, is given up (`Answer::Begun`).
    Abandon,
}

/// What its process answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Recipient(Lookup),
    /// True if it went well.
    Begun(bool),
    /// One a ticket, in their order, and by which the message is found in the log.
    Outcomes(Vec<Outcome>, String),
}

/// Whether there is such a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// With the number under which the process knows it.
    Known(u32),
    Unknown,
    Unavailable,
}

/// One LMTP connection.
pub(crate) struct Session {
    pub(super) settings: Settings,
    pub(super) buffer: Vec<u8>,
    pub(super) doing: Doing,
    /// What the client called itself.
    pub(super) client: Option<Vec<u8>>,
    /// What a proxy said of the client.
    pub(super) forwarded: Forwarded,
    pub(super) transaction: Option<Transaction>,
    /// Its message between two chunks.
    pub(super) chunking: Option<Box<Message>>,
    answer: Option<Answer>,
    /// A line is too long: forget until its end.
    skipping: bool,
    pub(super) transactions: u32,
    pub(super) bad: u32,
    /// Wrong commands that may follow, as a client that pipelines cannot know of what was refused before
    /// them (RFC 2920). They do not count.
    pub(super) excuses: u32,
}

pub(super) enum Doing {
    Greeting,
    Reading,
    LookingUp,
    /// The transaction is given up; then this is said.
    Forgetting(Vec<u8>),
    Beginning,
    Message(Box<Message>),
    /// A piece is on its way.
    Passing(Box<Message>),
    /// Outcomes are awaited.
    Ending,
    Goodbye(Reply),
    Ended,
}

/// What has to happen next, if not simply more of the dialogue.
pub(super) type Next = Option<Progress<Question>>;

pub(super) const OK: Reply = reply(250, "2.0.0", "OK");
pub(super) const BAD_SEQUENCE: Reply = reply(503, "5.5.1", "Wrong order of commands");
pub(super) const TROUBLE: Reply = reply(451, "4.3.0", "Temporary trouble; try again later");
pub(super) const TOO_LARGE: Reply = reply(552, "5.3.4", "The message is too large");
pub(super) const FULL: Reply = reply(452, "4.3.1", "No room for the message; try again later");

impl Session {
    pub(crate) fn new(settings: Settings) -> Session {
        Session {
            settings,
            buffer: Vec::new(),
            doing: Doing::Greeting,
            client: None,
            forwarded: Forwarded::default(),
            transaction: None,
            chunking: None,
            answer: None,
            skipping: false,
            transactions: 0,
            bad: 0,
            excuses: 0,
        }
    }

    /// A command line that is complete; `Err(())` if more input is needed.
    fn line(&mut self, out: &mut Output) -> Result<Vec<u8>, ()> {
        loop {
            let found = memchr::memmem::find(&self.buffer, b"\r\n");
            let Some(end) = found else {
                if self.buffer.len() > self.settings.line_octets {
                    // The last octet could be half of a line end.
                    let keep = self.buffer.len() - 1;
                    self.buffer.drain(..keep);
                    self.skipping = true;
                }
                return Err(());
            };
            let mut line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            if self.buffer.is_empty() {
                self.buffer = Vec::new();
            }
            line.truncate(end);
            if !std::mem::take(&mut self.skipping) && line.len() <= self.settings.line_octets {
                return Ok(line);
            }
            self.bad(reply(500, "5.5.6", "The line is too long"), out);
        }
    }

    pub(super) fn bad(&mut self, reply_: Reply, out: &mut Output) {
        reply_.encode(out.buffer());
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            self.doing = Doing::Goodbye(reply(421, "4.7.0", "Too many bad commands"));
        }
    }

    /// What `excused` says does not count.
    pub(super) fn wrong(&mut self, reply: Reply, excused: bool, out: &mut Output) {
        match excused {
            true => reply.encode(out.buffer()),
            false => self.bad(reply, out),
        }
    }

    /// A line that is no command. One bad address is not the fault of all the others.
    fn nonsense(&mut self, line: &[u8], reply: Reply, out: &mut Output) {
        let verb = line.get(..4).unwrap_or_default();
        let mut excused = false;
        if verb.eq_ignore_ascii_case(b"RCPT") {
            excused = self.take_bad_recipient();
        } else if verb.eq_ignore_ascii_case(b"MAIL") {
            self.excuse_transaction();
        }
        self.wrong(reply, excused, out);
    }

    fn command(&mut self, line: &[u8], out: &mut Output) -> Next {
        let command = match parse(line) {
            Ok(command) => command,
            Err(reply) => {
                self.nonsense(line, reply, out);
                return None;
            }
        };
        match command {
            Command::Lhlo(client) => return self.lhlo(client, out),
            Command::StartTls => return self.start_tls(out),
            Command::Xclient(forwarded) => self.xclient(forwarded, out),
            Command::Mail(mail) => self.mail(mail, out),
            Command::Rcpt(rcpt) => return self.rcpt(rcpt, out),
            Command::Data => return self.data(out),
            Command::Bdat { octets, last } => return self.bdat(octets, last),
            Command::Rset => {
                let mut said = Vec::new();
                OK.encode(&mut said);
                return self.forget(said, out);
            }
            Command::Noop => OK.encode(out.buffer()),
            Command::Vrfy => {
                reply(252, "2.5.0", "Send some mail, I will try").encode(out.buffer());
            }
            Command::Quit => {
                self.doing = Doing::Goodbye(reply(221, "2.0.0", "Bye"));
            }
        }
        None
    }

    /// DSN is not among them: nobody here could send a notification of success (RFC 3461 section 5.2.3), so its
    /// parameters are taken, and whoever sent the message stays responsible.
    fn lhlo(&mut self, client: Vec<u8>, out: &mut Output) -> Next {
        self.client = Some(client);
        let settings = &self.settings;
        let mut text = format!(
            "250-{}\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-CHUNKING\r\n\
             250-BINARYMIME\r\n250-SMTPUTF8\r\n",
            settings.hostname
        );
        if settings.starttls && !settings.secured {
            text.push_str("250-STARTTLS\r\n");
        }
        if settings.trusted {
            text.push_str(&format!("250-XCLIENT {ATTRIBUTES}\r\n250-XRCPTFORWARD\r\n"));
        }
        text.push_str(&format!("250 SIZE {}\r\n", settings.message_octets));
        self.forget(text.into_bytes(), out)
    }

    /// RFC 3207 section 4.
    fn start_tls(&mut self, out: &mut Output) -> Next {
        let refused = if self.settings.secured || self.transaction.is_some() {
            BAD_SEQUENCE
        } else if !self.settings.starttls {
            reply(502, "5.5.1", "This listener has no STARTTLS")
        } else {
            reply(220, "2.0.0", "Begin TLS negotiation now").encode(out.buffer());
            // What came before TLS could be anybody's (RFC 3207 section 4.2).
            self.buffer = Vec::new();
            (self.client, self.forwarded) = (None, Forwarded::default());
            return Some(Progress::StartTls);
        };
        self.bad(refused, out);
        None
    }

    /// The connection begins again, for another client.
    fn xclient(&mut self, forwarded: Forwarded, out: &mut Output) {
        if !self.settings.trusted {
            return self.bad(reply(550, "5.7.0", "Only for trusted networks"), out);
        }
        if self.transaction.is_some() {
            return self.bad(BAD_SEQUENCE, out);
        }
        self.client = None;
        let before = std::mem::take(&mut self.forwarded);
        self.forwarded = Forwarded {
            address: forwarded.address.or(before.address),
            name: forwarded.name.or(before.name),
        };
        self.greet(out);
    }

    fn greet(&self, out: &mut Output) {
        let text = format!("220 {} dovelet LMTP ready\r\n", self.settings.hostname);
        out.put(text.as_bytes());
    }

    /// Goes on with the answer to a question.
    fn answered(&mut self, asking: Doing, out: &mut Output) -> Next {
        let Some(answer) = self.answer.take() else {
            self.doing = asking;
            return Some(Progress::NeedInput);
        };
        match (asking, answer) {
            (Doing::LookingUp, Answer::Recipient(lookup)) => self.looked_up(lookup, out),
            (Doing::Forgetting(said), Answer::Begun(_)) => out.put(&said),
            (Doing::Beginning, Answer::Begun(well)) => self.began(well, out),
            (Doing::Passing(message), Answer::Begun(well)) => self.passed(message, well),
            (Doing::Ending, Answer::Outcomes(outcomes, id)) => self.outcomes(&outcomes, &id, out),
            // An answer to something else: nothing can be said for sure.
            _ => self.doing = Doing::Goodbye(TROUBLE),
        }
        None
    }
}

impl Machine for Session {
    type Question = Question;
    type Answer = Answer;

    fn input(&mut self, bytes: &[u8]) -> usize {
        let room = (self.settings.line_octets + PIECE).saturating_sub(self.buffer.len());
        let taken = bytes.len().min(room);
        self.buffer
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    fn advance(&mut self, _turn: Turn, out: &mut Output) -> Progress<Question> {
        loop {
            let next = match std::mem::replace(&mut self.doing, Doing::Reading) {
                Doing::Greeting => {
                    self.greet(out);
                    None
                }
                Doing::Reading => match self.line(out) {
                    Ok(line) => self.command(&line, out),
                    Err(()) if matches!(self.doing, Doing::Reading) => Some(Progress::NeedInput),
                    Err(()) => None,
                },
                Doing::Message(message) => self.message(message, out),
                Doing::Goodbye(reply) => {
                    reply.encode(out.buffer());
                    self.doing = Doing::Ended;
                    None
                }
                Doing::Ended => {
                    self.doing = Doing::Ended;
                    Some(Progress::Done)
                }
                asking => self.answered(asking, out),
            };
            if let Some(progress) = next {
                return progress;
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    fn event(&mut self, event: Event) {
        let text = match event {
            Event::Secured { .. } => {
                self.settings.secured = true;
                self.buffer = Vec::new();
                return;
            }
            Event::Stopping => "The server is shutting down",
            Event::TimedOut => "Waited too long",
            Event::Woken | Event::Gone => return,
        };
        self.doing = Doing::Goodbye(reply(421, "4.3.2", text));
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }
}
