//! DATA and BDAT: a message while it comes in.

use super::session::{BAD_SEQUENCE, Doing, Next, OK, Question, Session, TOO_LARGE, TROUBLE};
use crate::codec::dot;
use crate::protocol::{Output, Progress};
use crate::wire::lmtp::{Reply, reply};

/// Octets of a message that go on at once.
pub(super) const PIECE: usize = 32 * 1024;

/// A message while it comes in.
pub(super) struct Message {
    framing: Framing,
    piece: Vec<u8>,
    octets: u64,
    /// Nothing is passed on any more, and why.
    refused: Option<Reply>,
    /// Nobody would be answered for: one reply, to BDAT itself.
    stray: bool,
}

/// Where it ends.
enum Framing {
    /// At a line with a dot (DATA).
    Dots(dot::Decoder),
    /// After so many octets; `last`: of the whole message (BDAT).
    Chunk { left: u64, last: bool },
}

impl Message {
    pub(super) fn dotted() -> Message {
        Message::new(Framing::Dots(dot::Decoder::default()))
    }

    fn new(framing: Framing) -> Message {
        Message {
            framing,
            piece: Vec::new(),
            octets: 0,
            refused: None,
            stray: false,
        }
    }

    /// Nothing of it is kept.
    pub(super) fn refuse(&mut self, why: Reply) {
        self.piece = Vec::new();
        self.refused.get_or_insert(why);
    }

    /// Takes its own from `bytes`; how much.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let before = self.piece.len();
        let taken = match &mut self.framing {
            Framing::Dots(decoder) => decoder.decode(bytes, &mut self.piece),
            Framing::Chunk { left, .. } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let own = bytes.get(..most.min(bytes.len())).unwrap_or(bytes);
                self.piece.extend_from_slice(own);
                *left -= own.len() as u64;
                own.len()
            }
        };
        self.octets += (self.piece.len() - before) as u64;
        if self.refused.is_some() {
            self.piece.clear();
        }
        taken
    }

    /// All of it, or of its chunk, was seen.
    fn ended(&self) -> bool {
        match &self.framing {
            Framing::Dots(decoder) => decoder.ended(),
            Framing::Chunk { left, .. } => *left == 0,
        }
    }

    /// Another chunk is to come before the message is whole.
    fn goes_on(&self) -> bool {
        matches!(self.framing, Framing::Chunk { last: false, .. })
    }
}

impl Session {
    pub(super) fn data(&mut self, out: &mut Output) -> Next {
        let refused = match &self.transaction {
            None => return self.stray(BAD_SEQUENCE, true, out),
            // RFC 3030 section 2: one way or the other.
            Some(_) if self.chunking.is_some() => BAD_SEQUENCE,
            Some(transaction) if transaction.is_binary() => {
                reply(503, "5.5.1", "BINARYMIME comes by BDAT")
            }
            Some(transaction) if transaction.tickets.is_empty() => {
                return self.stray(NO_RECIPIENTS, true, out);
            }
            Some(_) => return self.begin(),
        };
        self.bad(refused, out);
        None
    }

    /// A message for nobody, or (unless it is the `last`) a piece of one.
    fn stray(&mut self, why: Reply, last: bool, out: &mut Output) -> Next {
        let excused = self.excuses > 0;
        if last {
            self.excuses = 0;
        }
        self.wrong(why, excused, out);
        None
    }

    /// RFC 3030 section 2. Whatever is wrong, the octets are taken.
    pub(super) fn bdat(&mut self, octets: u64, last: bool) -> Next {
        let framing = Framing::Chunk { left: octets, last };
        if let Some(mut message) = self.chunking.take() {
            message.framing = framing;
            self.doing = Doing::Message(message);
            return None;
        }
        let mut message = Message::new(framing);
        let stray = match &self.transaction {
            None => Some(BAD_SEQUENCE),
            Some(transaction) if transaction.tickets.is_empty() => Some(NO_RECIPIENTS),
            Some(_) => None,
        };
        if let Some(why) = stray {
            message.refuse(why);
            message.stray = true;
            self.doing = Doing::Message(Box::new(message));
            return None;
        }
        self.chunking = Some(Box::new(message));
        self.begin()
    }

    /// Moves what came into the message.
    pub(super) fn message(&mut self, mut message: Box<Message>, out: &mut Output) -> Next {
        let taken = message.take(&self.buffer);
        self.buffer.drain(..taken);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        if message.octets > self.settings.message_octets && message.refused.is_none() {
            message.refuse(TOO_LARGE);
            self.doing = Doing::Passing(message);
            return Some(Progress::Ask(Question::Abandon));
        }
        if message.ended() {
            return self.ended(message, out);
        }
        if message.piece.len() >= PIECE {
            let piece = std::mem::take(&mut message.piece);
            self.doing = Doing::Passing(message);
            return Some(Progress::Ask(Question::Body(piece)));
        }
        self.doing = Doing::Message(message);
        Some(Progress::NeedInput)
    }

    fn ended(&mut self, message: Box<Message>, out: &mut Output) -> Next {
        match message.refused {
            Some(why) if message.stray => {
                let last = !message.goes_on();
                return self.stray(why, last, out);
            }
            refused if message.goes_on() => {
                refused.unwrap_or(OK).encode(out.buffer());
                self.chunking = Some(message);
            }
            None => {
                // A connection that serves a queue for hours may be wrong now and then.
                self.bad = 0;
                self.doing = Doing::Ending;
                return Some(Progress::Ask(Question::End(message.piece)));
            }
            Some(refused) => self.all_refused(refused, out),
        }
        None
    }

    /// The message was announced to those who take it, or could not be.
    pub(super) fn began(&mut self, well: bool, out: &mut Output) {
        if let Some(mut message) = self.chunking.take() {
            if !well {
                message.refuse(TROUBLE);
            }
            self.doing = Doing::Message(message);
        } else if well {
            reply(354, "", "Send the message, end with a dot").encode(out.buffer());
            self.doing = Doing::Message(Box::new(Message::dotted()));
        } else {
            self.transaction = None;
            TROUBLE.encode(out.buffer());
        }
    }

    /// A piece was passed on, or nobody takes it any more.
    pub(super) fn passed(&mut self, mut message: Box<Message>, well: bool) {
        if !well {
            message.refuse(TROUBLE);
        }
        self.doing = Doing::Message(message);
    }
}

const NO_RECIPIENTS: Reply = reply(503, "5.5.1", "No valid recipients");
