//! Who somebody is: `AUTH`, `CONT` and what becomes of them, many at a time.

use super::VERSION;
use crate::auth::{Answer, Exchange, Question, Step, Verdict};
use crate::codec::base64;
use crate::config::{Mechanism, Mechanisms};
use crate::wire::dovecot_auth::{Command, MAX_LINE, Parameters, line, parse};
use crate::wire::lines::{Line, Lines};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How a connection stands when it comes in.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) mechanisms: Mechanisms,
    /// Tells this connection from all others.
    pub(crate) number: u64,
    /// 32 hexadecimal digits.
    pub(crate) cookie: String,
    /// Exchanges at a time.
    pub(crate) requests: usize,
}

/// A connection by which another server asks.
pub(crate) struct Client {
    settings: ClientSettings,
    lines: Lines,
    /// The client has said which version it speaks.
    agreed: bool,
    closed: bool,
    running: BTreeMap<u32, Running>,
}

/// An exchange of one of the other server's clients.
struct Running {
    exchange: Exchange,
    connection: u64,
    remote: Option<IpAddr>,
    final_resp_ok: bool,
}

/// A question whose answer is to come to [`Client::answer`].
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u32,
    /// The number of the exchange.
    pub(crate) connection: u64,
    pub(crate) question: Question,
}

impl Client {
    /// Begins, with what is said first: not all clients speak before.
    pub(crate) fn new(settings: ClientSettings, out: &mut Vec<u8>) -> Client {
        line(VERSION, out);
        for mechanism in offered(settings.mechanisms).iter() {
            let mut fields = vec!["MECH", mechanism.name()];
            fields.extend_from_slice(flags(mechanism));
            line(fields, out);
        }
        let number = settings.number.to_string();
        line(["SPID", &std::process::id().to_string()], out);
        line(["CUID", &number], out);
        line(["COOKIE", &settings.cookie], out);
        line(["DONE"], out);
        Client {
            settings,
            lines: Lines::new(MAX_LINE),
            agreed: false,
            closed: false,
            running: BTreeMap::new(),
        }
    }

    /// Takes bytes of the peer; how many.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> usize {
        self.lines.input(bytes)
    }

    /// True once the peer does not keep to the protocol.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Goes on with what came until there is a question; `None`: more has to come. `number`: another one each time.
    pub(crate) fn advance(
        &mut self,
        number: &mut dyn FnMut() -> u64,
        out: &mut Vec<u8>,
    ) -> Option<Asked> {
        while !self.closed {
            let command = match self.lines.next() {
                Line::NeedInput => return None,
                Line::TooLong => None,
                Line::Whole(line) => parse(&line),
            };
            let Some(command) = command else {
                self.closed = true;
                break;
            };
            let asked = self.command(command, number, out);
            if asked.is_some() {
                return asked;
            }
        }
        None
    }

    fn command(
        &mut self,
        command: Command,
        number: &mut dyn FnMut() -> u64,
        out: &mut Vec<u8>,
    ) -> Option<Asked> {
        match command {
            Command::Version { major } => {
                self.agreed = major == 1;
                self.closed = !self.agreed;
            }
            Command::Cpid | Command::Unknown => {}
            _ if !self.agreed => self.closed = true,
            Command::Auth {
                id,
                mechanism,
                parameters,
            } => return self.auth(id, &mechanism, parameters, number(), out),
            Command::Cont { id, response } => {
                // Unknown: it was ended by what it said before.
                let mut running = self.running.remove(&id)?;
                let response = base64::decode(&response);
                let step = match &response {
                    Some(response) => running.exchange.step(Some(response)),
                    None => Step::Failed,
                };
                return self.stepped(id, running, step, out);
            }
            Command::Cancel { id } => drop(self.running.remove(&id)),
            // They are asked elsewhere.
            Command::User { .. } | Command::Pass { .. } | Command::List { .. } => {
                self.closed = true;
            }
        }
        None
    }

    fn auth(
        &mut self,
        id: u32,
        mechanism: &str,
        parameters: Parameters,
        connection: u64,
        out: &mut Vec<u8>,
    ) -> Option<Asked> {
        let number = id.to_string();
        if self.running.contains_key(&id) {
            self.closed = true;
            return None;
        }
        if self.running.len() >= self.settings.requests && !self.give_up_oldest(out) {
            line(["FAIL", &number, "temp", "code=temp_fail"], out);
            return None;
        }
        let offered = offered(self.settings.mechanisms);
        let Some(mut exchange) = Exchange::new(mechanism, offered) else {
            let reason = "reason=Unsupported authentication mechanism";
            line(["FAIL", &number, reason], out);
            return None;
        };
        let initial = parameters.initial.as_deref().map(base64::decode);
        let step = match initial {
            None => exchange.step(None),
            Some(Some(response)) => exchange.step(Some(&response)),
            Some(None) => Step::Failed,
        };
        let running = Running {
            exchange,
            connection,
            remote: parameters.remote,
            final_resp_ok: parameters.final_resp_ok,
        };
        self.stepped(id, running, step, out)
    }

    /// Ends the exchange that has waited longest for its client: not every server tells which of its clients are
    /// gone. `false`: all wait for this server.
    fn give_up_oldest(&mut self, out: &mut Vec<u8>) -> bool {
        let waiting = self.running.iter().filter(|(_, r)| !r.exchange.is_asked());
        let oldest = waiting.min_by_key(|(_, r)| r.connection).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.running.remove(&id);
            line(["FAIL", &id.to_string(), "temp", "code=temp_fail"], out);
        }
        oldest.is_some()
    }

    /// Takes the answer to a question; `None` unless there is another one.
    pub(crate) fn answer(
        &mut self,
        id: u32,
        connection: u64,
        answer: Answer,
        out: &mut Vec<u8>,
    ) -> Option<Asked> {
        // It may have been given up, and another one have its id.
        let mut running = self.running.remove(&id)?;
        if running.connection != connection {
            self.running.insert(id, running);
            return None;
        }
        let step = running.exchange.answer(answer);
        self.stepped(id, running, step, out)
    }

    fn stepped(
        &mut self,
        id: u32,
        running: Running,
        step: Step,
        out: &mut Vec<u8>,
    ) -> Option<Asked> {
        let number = id.to_string();
        match step {
            Step::Challenge(told) if running.final_resp_ok && running.exchange.is_last() => {
                let user = format!("user={}", running.exchange.user());
                let told = format!("resp={}", base64::encode(&told));
                line(["OK", &number, &user, &told], out);
            }
            Step::Challenge(challenge) => {
                line(["CONT", &number, &base64::encode(&challenge)], out);
                self.running.insert(id, running);
            }
            Step::Failed => line(["FAIL", &number, "reason=Malformed response"], out),
            Step::Done(verdict) => ended(&number, &verdict, running.exchange.user(), out),
            Step::Ask(question) => {
                let asked = Asked {
                    id,
                    connection: running.connection,
                    question: question.of(running.remote),
                };
                self.running.insert(id, running);
                return Some(asked);
            }
        }
        None
    }
}

/// Without what rests on TLS, which is another server's, and without what would make that an open relay.
fn offered(mechanisms: Mechanisms) -> Mechanisms {
    mechanisms.bound(false).certified(false).named()
}

/// The last line of an exchange.
fn ended(number: &str, verdict: &Verdict, user: &str, out: &mut Vec<u8>) {
    let user = format!("user={user}");
    match verdict {
        Verdict::Accepted => line(["OK", number, &user], out),
        Verdict::Rejected => line(["FAIL", number], out),
        Verdict::Unavailable | Verdict::TooSoon => {
            line(["FAIL", number, "temp", "code=temp_fail"], out)
        }
        Verdict::Closed(closed) => {
            let reason = closed.reason.as_deref().unwrap_or("Not allowed here");
            let reason = format!("reason={reason}");
            line(["FAIL", number, &reason, "code=user_disabled"], out);
        }
    }
}

/// What other servers decide by which mechanisms they offer.
fn flags(mechanism: Mechanism) -> &'static [&'static str] {
    match mechanism {
        Mechanism::Plain | Mechanism::Login => &["plaintext"],
        Mechanism::CramMd5 => &["dictionary", "active"],
        Mechanism::External => &[],
        Mechanism::Anonymous => &["anonymous"],
        Mechanism::ScramSha1
        | Mechanism::ScramSha256
        | Mechanism::ScramSha1Plus
        | Mechanism::ScramSha256Plus => &["mutual-auth"],
    }
}

#[cfg(test)]
mod tests;
