//! One LMTP connection.

use crate::codec::dot;
use crate::deliver::Outcome;
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::lmtp::{Command, Reply, parse, reply, unquoted};
use std::time::Duration;

/// Bounds and names of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) hostname: String,
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
        reverse_path: Vec<u8>,
        client: Vec<u8>,
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
    /// One a ticket, in their order.
    Outcomes(Vec<Outcome>),
}

/// Whether there is such a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// With the number under which the process knows it.
    Known(u32),
    Unknown,
    Unavailable,
}

/// Octets of a message that go on at once.
const PIECE: usize = 32 * 1024;

/// One LMTP connection.
pub(crate) struct Session {
    settings: Settings,
    buffer: Vec<u8>,
    doing: Doing,
    client: Option<Vec<u8>>,
    transaction: Option<Transaction>,
    answer: Option<Answer>,
    /// A line is too long: forget until its end.
    skipping: bool,
    transactions: u32,
    bad: u32,
}

#[derive(Default)]
struct Transaction {
    reverse_path: Vec<u8>,
    tickets: Vec<u32>,
}

enum Doing {
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

/// A message while it comes in.
#[derive(Default)]
struct Message {
    decoder: dot::Decoder,
    piece: Vec<u8>,
    octets: u64,
    /// Nothing is passed on any more, and why.
    refused: Option<Reply>,
}

const OK: Reply = reply(250, "2.0.0", "OK");
const BAD_SEQUENCE: Reply = reply(503, "5.5.1", "Wrong order of commands");
const TROUBLE: Reply = reply(451, "4.3.0", "Temporary trouble; try again later");
const TOO_LARGE: Reply = reply(552, "5.3.4", "The message is too large");
const FULL: Reply = reply(452, "4.3.1", "No room for the message; try again later");

impl Session {
    pub(crate) fn new(settings: Settings) -> Session {
        Session {
            settings,
            buffer: Vec::new(),
            doing: Doing::Greeting,
            client: None,
            transaction: None,
            answer: None,
            skipping: false,
            transactions: 0,
            bad: 0,
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

    fn bad(&mut self, reply_: Reply, out: &mut Output) {
        reply_.encode(out.buffer());
        self.bad += 1;
        if self.bad >= self.settings.bad_commands {
            self.doing = Doing::Goodbye(reply(421, "4.7.0", "Too many bad commands"));
        }
    }

    fn command(&mut self, line: &[u8], out: &mut Output) -> Option<Progress<Question>> {
        let command = match parse(line) {
            Ok(command) => command,
            Err(reply) => {
                self.bad(reply, out);
                return None;
            }
        };
        match command {
            Command::Lhlo(client) => return self.lhlo(client, out),
            Command::Mail { reverse_path, size } => self.mail(reverse_path, size, out),
            Command::Rcpt(path) => return self.rcpt(&path, out),
            Command::Data => return self.data(out),
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

    fn lhlo(&mut self, client: Vec<u8>, out: &mut Output) -> Option<Progress<Question>> {
        self.client = Some(client);
        let text = format!(
            "250-{}\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SIZE {}\r\n",
            self.settings.hostname, self.settings.message_octets
        );
        self.forget(text.into_bytes(), out)
    }

    /// Gives the transaction up if there is one, also where its recipients are known, and answers.
    fn forget(&mut self, said: Vec<u8>, out: &mut Output) -> Option<Progress<Question>> {
        let transaction = self.transaction.take().unwrap_or_default();
        if transaction.tickets.is_empty() {
            out.put(&said);
            return None;
        }
        self.doing = Doing::Forgetting(said);
        Some(Progress::Ask(Question::Abandon))
    }

    fn mail(&mut self, reverse_path: Vec<u8>, size: Option<u64>, out: &mut Output) {
        if self.client.is_none() || self.transaction.is_some() {
            return self.bad(BAD_SEQUENCE, out);
        }
        if size.is_some_and(|size| size > self.settings.message_octets) {
            return TOO_LARGE.encode(out.buffer());
        }
        if self.transactions >= self.settings.transactions {
            self.doing = Doing::Goodbye(reply(421, "4.7.0", "Enough for one connection"));
            return;
        }
        // Also those that are given up: each may have looked up many recipients.
        self.transactions += 1;
        self.transaction = Some(Transaction {
            reverse_path,
            tickets: Vec::new(),
        });
        reply(250, "2.1.0", "OK").encode(out.buffer());
    }

    fn rcpt(&mut self, path: &[u8], out: &mut Output) -> Option<Progress<Question>> {
        let Some(transaction) = &self.transaction else {
            self.bad(BAD_SEQUENCE, out);
            return None;
        };
        let count = u32::try_from(transaction.tickets.len()).unwrap_or(u32::MAX);
        if count >= self.settings.recipients {
            reply(452, "4.5.3", "Too many recipients").encode(out.buffer());
            return None;
        }
        self.doing = Doing::LookingUp;
        Some(Progress::Ask(Question::Recipient(unquoted(path))))
    }

    fn looked_up(&mut self, lookup: Lookup, out: &mut Output) {
        let said = match (lookup, self.transaction.as_mut()) {
            (Lookup::Known(ticket), Some(transaction)) => {
                transaction.tickets.push(ticket);
                reply(250, "2.1.5", "OK")
            }
            (Lookup::Unknown, _) => reply(550, "5.1.1", "There is no such user here"),
            _ => TROUBLE,
        };
        said.encode(out.buffer());
    }

    fn data(&mut self, out: &mut Output) -> Option<Progress<Question>> {
        match &self.transaction {
            None => self.bad(BAD_SEQUENCE, out),
            Some(transaction) if transaction.tickets.is_empty() => {
                // RFC 2033 section 4.2: nobody would be there to answer for.
                self.bad(reply(503, "5.5.1", "No valid recipients"), out);
            }
            Some(transaction) => {
                self.doing = Doing::Beginning;
                return Some(Progress::Ask(Question::Begin {
                    reverse_path: transaction.reverse_path.clone(),
                    client: self.client.clone().unwrap_or_default(),
                    tickets: transaction.tickets.clone(),
                }));
            }
        }
        None
    }

    /// Moves what came into the message.
    fn message(
        &mut self,
        mut message: Box<Message>,
        out: &mut Output,
    ) -> Option<Progress<Question>> {
        let before = message.piece.len();
        let taken = message.decoder.decode(&self.buffer, &mut message.piece);
        self.buffer.drain(..taken);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        message.octets += (message.piece.len() - before) as u64;
        if message.octets > self.settings.message_octets && message.refused.is_none() {
            message.refused = Some(TOO_LARGE);
            message.piece = Vec::new();
            self.doing = Doing::Passing(message);
            return Some(Progress::Ask(Question::Abandon));
        }
        if message.refused.is_some() {
            message.piece.clear();
        }
        if message.decoder.ended() {
            return match message.refused {
                None => {
                    self.doing = Doing::Ending;
                    Some(Progress::Ask(Question::End(message.piece)))
                }
                Some(refused) => {
                    self.all_refused(refused, out);
                    None
                }
            };
        }
        if message.piece.len() >= PIECE {
            let piece = std::mem::take(&mut message.piece);
            self.doing = Doing::Passing(message);
            return Some(Progress::Ask(Question::Body(piece)));
        }
        self.doing = Doing::Message(message);
        Some(Progress::NeedInput)
    }

    /// One reply a recipient (RFC 2033 section 4.2).
    fn outcomes(&mut self, outcomes: &[Outcome], out: &mut Output) {
        let transaction = self.transaction.take().unwrap_or_default();
        for (at, _) in transaction.tickets.iter().enumerate() {
            let said = match outcomes.get(at) {
                Some(Outcome::Delivered) => reply(250, "2.0.0", "Delivered"),
                Some(Outcome::Full) => FULL,
                Some(Outcome::TooLarge) => TOO_LARGE,
                Some(Outcome::Unavailable) | None => TROUBLE,
            };
            said.encode(out.buffer());
        }
    }

    fn all_refused(&mut self, refused: Reply, out: &mut Output) {
        let transaction = self.transaction.take().unwrap_or_default();
        for _ in &transaction.tickets {
            refused.encode(out.buffer());
        }
    }

    fn began(&mut self, well: bool, out: &mut Output) {
        if well {
            reply(354, "", "Send the message, end with a dot").encode(out.buffer());
            self.doing = Doing::Message(Box::default());
        } else {
            self.transaction = None;
            TROUBLE.encode(out.buffer());
        }
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
                    let text = format!("220 {} dovelet LMTP ready\r\n", self.settings.hostname);
                    out.put(text.as_bytes());
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
            Event::Stopping => "The server is shutting down",
            Event::TimedOut => "Waited too long",
            Event::Woken | Event::Secured | Event::Gone => return,
        };
        self.doing = Doing::Goodbye(reply(421, "4.3.2", text));
    }

    fn patience(&self) -> Duration {
        self.settings.patience
    }
}

impl Session {
    /// Goes on with the answer to a question.
    fn answered(&mut self, asking: Doing, out: &mut Output) -> Option<Progress<Question>> {
        let Some(answer) = self.answer.take() else {
            self.doing = asking;
            return Some(Progress::NeedInput);
        };
        match (asking, answer) {
            (Doing::LookingUp, Answer::Recipient(lookup)) => self.looked_up(lookup, out),
            (Doing::Forgetting(said), Answer::Begun(_)) => out.put(&said),
            (Doing::Beginning, Answer::Begun(well)) => self.began(well, out),
            (Doing::Passing(mut message), Answer::Begun(well)) => {
                if !well && message.refused.is_none() {
                    message.refused = Some(TROUBLE);
                }
                self.doing = Doing::Message(message);
            }
            (Doing::Ending, Answer::Outcomes(outcomes)) => self.outcomes(&outcomes, out),
            // An answer to something else: nothing can be said for sure.
            _ => self.doing = Doing::Goodbye(TROUBLE),
        }
        None
    }
}
