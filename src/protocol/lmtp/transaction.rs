//! MAIL and RCPT, and the replies to a message.

use super::session::{
    BAD_SEQUENCE, Doing, FULL, Lookup, Next, Question, Session, TOO_LARGE, TROUBLE,
};
use crate::deliver::{Dsn, Envelope, Outcome};
use crate::protocol::{Output, Progress};
use crate::wire::lmtp::{Body, Mail, Rcpt, Reply, reply, unquoted};

/// What MAIL began.
#[derive(Default)]
pub(super) struct Transaction {
    mail: Mail,
    pub(super) tickets: Vec<u32>,
    /// Of each ticket.
    recipients: Vec<Dsn>,
    /// Of the recipient that is looked up.
    next: Dsn,
    /// Recipients that were named, also those who are none: nobody asks for all names there could be.
    asked: u32,
}

impl Transaction {
    /// Its message may have lines that end as they like, and NUL.
    pub(super) fn is_binary(&self) -> bool {
        self.mail.body == Body::Binary
    }
}

/// RFC 6531 section 3.5.
const NOT_ASCII: Reply = reply(553, "5.6.7", "This address needs SMTPUTF8");

impl Session {
    pub(super) fn mail(&mut self, mail: Mail, out: &mut Output) {
        if self.client.is_none() || self.transaction.is_some() {
            return self.bad(BAD_SEQUENCE, out);
        }
        self.excuse_transaction();
        if !mail.utf8 && !mail.reverse_path.is_ascii() {
            return NOT_ASCII.encode(out.buffer());
        }
        if mail
            .size
            .is_some_and(|size| size > self.settings.message_octets)
        {
            return TOO_LARGE.encode(out.buffer());
        }
        if self.transactions >= self.settings.transactions {
            self.doing = Doing::Goodbye(reply(421, "4.7.0", "Enough for one connection"));
            return;
        }
        self.excuses = 0;
        // Also those that are given up: each may have looked up many recipients.
        self.transactions += 1;
        self.transaction = Some(Transaction {
            mail,
            ..Transaction::default()
        });
        reply(250, "2.1.0", "OK").encode(out.buffer());
    }

    pub(super) fn rcpt(&mut self, rcpt: Rcpt, out: &mut Output) -> Next {
        let begun = self.chunking.is_some();
        let Some(transaction) = self.transaction.as_mut().filter(|_| !begun) else {
            // The last one is for the message.
            let excused = self.transaction.is_none() && self.excuses > 1;
            self.excuses -= u32::from(excused);
            self.wrong(BAD_SEQUENCE, excused, out);
            return None;
        };
        if rcpt.forwarded && !self.settings.trusted {
            self.bad(reply(550, "5.7.0", "Only for trusted networks"), out);
            return None;
        }
        if transaction.asked >= self.settings.recipients {
            reply(452, "4.5.3", "Too many recipients").encode(out.buffer());
            return None;
        }
        transaction.asked += 1;
        if !transaction.mail.utf8 && !rcpt.path.is_ascii() {
            self.excuses = 1;
            NOT_ASCII.encode(out.buffer());
            return None;
        }
        transaction.next = Dsn {
            original: rcpt.original.unwrap_or_default(),
            notify: rcpt.notify.unwrap_or_default(),
        };
        self.doing = Doing::LookingUp;
        Some(Progress::Ask(Question::Recipient(unquoted(&rcpt.path))))
    }

    /// MAIL is refused: what comes in the same packet cannot know.
    pub(super) fn excuse_transaction(&mut self) {
        if self.transaction.is_none() {
            self.excuses = self.settings.recipients.saturating_add(1);
        }
    }

    /// A recipient that is no address is one recipient of the transaction. False where none may come.
    pub(super) fn take_bad_recipient(&mut self) -> bool {
        let (most, begun) = (self.settings.recipients, self.chunking.is_some());
        let transaction = self.transaction.as_mut().filter(|_| !begun);
        let Some(transaction) = transaction.filter(|own| own.asked < most) else {
            return false;
        };
        transaction.asked += 1;
        self.excuses = 1;
        true
    }

    pub(super) fn looked_up(&mut self, lookup: Lookup, out: &mut Output) {
        let said = match (lookup, self.transaction.as_mut()) {
            (Lookup::Known(ticket), Some(transaction)) => {
                transaction.tickets.push(ticket);
                let next = std::mem::take(&mut transaction.next);
                transaction.recipients.push(next);
                reply(250, "2.1.5", "OK")
            }
            (Lookup::Unknown, _) => reply(550, "5.1.1", "There is no such user here"),
            _ => TROUBLE,
        };
        self.excuses = 1;
        said.encode(out.buffer());
    }

    /// The question that begins a message.
    pub(super) fn begin(&mut self) -> Next {
        let transaction = self.transaction.as_ref()?;
        let forwarded = &self.forwarded;
        let name = forwarded.name.as_ref().or(self.client.as_ref());
        let address = match forwarded.address {
            Some(address) => format!("[{address}]"),
            None => format!("[{}]", self.settings.address),
        };
        let mail = &transaction.mail;
        let envelope = Envelope {
            reverse_path: mail.reverse_path.clone(),
            client: name.cloned().unwrap_or_default(),
            address: address.into_bytes(),
            id: Vec::new(),
            complete: false,
            several: transaction.tickets.len() > 1,
            tls: self.settings.secured,
            utf8: mail.utf8,
            binary: transaction.is_binary(),
            envid: mail.envid.clone().unwrap_or_default(),
            ret: mail.ret.unwrap_or_default().into(),
            recipients: transaction.recipients.clone(),
        };
        self.doing = Doing::Beginning;
        Some(Progress::Ask(Question::Begin {
            envelope: Box::new(envelope),
            tickets: transaction.tickets.clone(),
        }))
    }

    /// Gives the transaction up if there is one, also where its recipients are known, and answers.
    pub(super) fn forget(&mut self, said: Vec<u8>, out: &mut Output) -> Next {
        self.chunking = None;
        self.excuses = 0;
        let transaction = self.transaction.take().unwrap_or_default();
        if transaction.tickets.is_empty() {
            out.put(&said);
            return None;
        }
        self.doing = Doing::Forgetting(said);
        Some(Progress::Ask(Question::Abandon))
    }

    /// One reply a recipient (RFC 2033 section 4.2). `id`: by which the message is found in the log.
    pub(super) fn outcomes(&mut self, outcomes: &[Outcome], id: &str, out: &mut Output) {
        let transaction = self.transaction.take().unwrap_or_default();
        for (at, _) in transaction.tickets.iter().enumerate() {
            let said = match outcomes.get(at) {
                Some(Outcome::Delivered) => {
                    out.put(format!("250 2.0.0 Delivered, id {id}\r\n").as_bytes());
                    continue;
                }
                Some(Outcome::Full) => FULL,
                Some(Outcome::TooLarge) => TOO_LARGE,
                Some(Outcome::Unconvertible) => {
                    reply(554, "5.6.1", "NUL in a part that is not binary")
                }
                Some(Outcome::Busy) => reply(451, "4.3.2", "Too many deliveries to this user"),
                Some(Outcome::Unavailable) | None => TROUBLE,
            };
            said.encode(out.buffer());
        }
    }

    pub(super) fn all_refused(&mut self, refused: Reply, out: &mut Output) {
        let transaction = self.transaction.take().unwrap_or_default();
        for _ in &transaction.tickets {
            refused.encode(out.buffer());
        }
    }
}
