//! SASL exchanges without I/O, as the process has them that talks with the client: responses in, challenges
//! out, and questions for whoever has the secrets.
//!
//! PLAIN is RFC 4616, EXTERNAL RFC 4422, ANONYMOUS RFC 4505; LOGIN has no standard, its two prompts are what clients expect. Mechanisms whose
//! server has to know what is stored (SCRAM, CRAM-MD5) are a [`super::Dialogue`] elsewhere, to which this
//! one passes on what the client says.

use super::credentials::{Credentials, MAX_NAME, MAX_PASSWORD, MAX_TRACE, Proof, Verdict};
use super::scram::MAX_MESSAGE;
use super::secret::Secret;
use crate::config::{Mechanism, Mechanisms};
use std::net::IpAddr;

/// One authentication exchange of one client.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: State,
    user: String,
}

#[derive(Debug)]
enum State {
    /// PLAIN: everything comes in one response.
    Plain,
    /// LOGIN: the name is next.
    Name,
    /// LOGIN: the password of this name is next.
    Password(String),
    /// The client's first message is next; the server was or was not to speak before.
    First(Mechanism),
    /// A question was asked.
    Asked,
    /// The client's proof is next.
    Proof,
    /// The client was told what the server proves itself with, and says nothing more.
    Last,
    Over,
}

/// What the server does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this (to be base64-encoded) and give the client's response to the next step.
    Challenge(Vec<u8>),
    /// The answer is to go to [`Exchange::answer`].
    Ask(Question),
    Done(Verdict),
    /// The response is malformed; the exchange is over.
    Failed,
}

/// What only the process can answer that has the secrets.
#[derive(Debug)]
pub(crate) enum Question {
    Verify(Credentials),
    /// A [`super::Dialogue`] begins with the client's first message, or none where the server speaks first.
    Begin {
        mechanism: Mechanism,
        message: Vec<u8>,
        /// As in [`Credentials`].
        client: Option<IpAddr>,
    },
    /// What the client says in the dialogue.
    Respond(Vec<u8>),
}

/// The answer to a [`Question`].
#[derive(Debug)]
pub(crate) enum Answer {
    Challenge(Vec<u8>),
    Verdict(Judgement),
}

/// A verdict, and what goes with it.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    /// Who was accepted.
    pub(crate) user: String,
    /// What the server proves itself with, if it does.
    pub(crate) told: Vec<u8>,
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Judgement {
        Judgement {
            verdict,
            user: String::new(),
            told: Vec::new(),
        }
    }
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Answer {
        Answer::Verdict(verdict.into())
    }
}

impl Exchange {
    /// `None` for a mechanism that is not offered; letter case does not matter.
    pub(crate) fn new(mechanism: &str, offered: Mechanisms) -> Option<Exchange> {
        let mechanism = Mechanism::named(mechanism).filter(|m| offered.contains(*m))?;
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::Name,
            other => State::First(other),
        };
        let user = String::new();
        Some(Exchange { state, user })
    }

    /// One that consists of nothing but a question that was asked already.
    pub(crate) fn asked() -> Exchange {
        Exchange {
            state: State::Asked,
            user: String::new(),
        }
    }

    /// Takes the initial response, or `None` where the client sent none, then one response after
    /// each challenge. After `Done` or `Failed` every further step is `Failed`.
    pub(crate) fn step(&mut self, response: Option<&[u8]>) -> Step {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, response) {
            (state @ State::Plain, None) => self.challenge(state, b""),
            (state @ State::Name, None) => self.challenge(state, b"Username:"),
            (State::Plain, Some(response)) => self.verify(plain(response)),
            (State::Name, Some(response)) => match name(response) {
                Some(name) => self.challenge(State::Password(name), b"Password:"),
                None => Step::Failed,
            },
            (State::Password(authcid), Some(response)) => {
                self.verify(password(response).map(|p| Credentials::new(authcid, p)))
            }
            (State::First(Mechanism::External), Some(authzid)) => self.verify(external(authzid)),
            (State::First(Mechanism::Anonymous), Some(trace)) => self.verify(anonymous(trace)),
            (State::First(Mechanism::CramMd5), None) => self.begin(Mechanism::CramMd5, b""),
            (State::First(Mechanism::CramMd5), Some(_)) => Step::Failed,
            (state @ State::First(_), None) => self.challenge(state, b""),
            (State::First(mechanism), Some(message)) => self.begin(mechanism, message),
            (State::Proof, Some(message)) if message.len() <= MAX_MESSAGE => {
                self.ask(Question::Respond(message.to_vec()))
            }
            (State::Last, Some(b"")) => Step::Done(Verdict::Accepted),
            _ => Step::Failed,
        }
    }

    /// Takes the answer to the last question.
    pub(crate) fn answer(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), answer) {
            (State::Asked, Answer::Challenge(challenge)) => {
                self.challenge(State::Proof, &challenge)
            }
            (
                State::Asked,
                Answer::Verdict(Judgement {
                    verdict,
                    user,
                    told,
                }),
            ) => {
                self.user = user;
                match verdict {
                    Verdict::Accepted if !told.is_empty() => self.challenge(State::Last, &told),
                    verdict => Step::Done(verdict),
                }
            }
            _ => Step::Failed,
        }
    }

    /// Who was accepted, if that was told.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// True if an answer is to come.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked)
    }

    /// True if the client was accepted, and nothing but its consent is missing.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.state, State::Last)
    }

    fn challenge(&mut self, state: State, text: &[u8]) -> Step {
        self.state = state;
        Step::Challenge(text.to_vec())
    }

    fn verify(&mut self, credentials: Option<Credentials>) -> Step {
        let question = credentials.map(Question::Verify);
        question.map_or(Step::Failed, |question| self.ask(question))
    }

    fn begin(&mut self, mechanism: Mechanism, message: &[u8]) -> Step {
        if message.len() > MAX_MESSAGE {
            return Step::Failed;
        }
        self.ask(Question::Begin {
            mechanism,
            message: message.to_vec(),
            client: None,
        })
    }

    fn ask(&mut self, question: Question) -> Step {
        self.state = State::Asked;
        Step::Ask(question)
    }
}

impl Question {
    /// The question, from somebody who connects for this address.
    #[must_use]
    pub(crate) fn of(mut self, address: Option<IpAddr>) -> Question {
        match &mut self {
            Question::Verify(Credentials { client, .. }) | Question::Begin { client, .. } => {
                *client = address;
            }
            Question::Respond(_) => {}
        }
        self
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).
fn plain(response: &[u8]) -> Option<Credentials> {
    let mut parts = response.splitn(3, |&b| b == 0);
    let authzid = parts.next()?;
    let authcid = parts.next()?;
    let password = password(parts.next()?)?;
    let authzid = if authzid.is_empty() {
        String::new()
    } else {
        name(authzid)?
    };
    Some(Credentials {
        authzid,
        authcid: name(authcid)?,
        proof: Proof::Password(password),
        client: None,
    })
}

/// Who somebody is comes with the connection; whom to act as may be said (RFC 4422 appendix A).
fn external(authzid: &[u8]) -> Option<Credentials> {
    let authzid = match authzid {
        b"" => String::new(),
        authzid => name(authzid)?,
    };
    Some(Credentials {
        authzid,
        authcid: String::new(),
        proof: Proof::Certificate(Box::default()),
        client: None,
    })
}

/// Who somebody says to be is told to whoever reads the log, and believed by nobody (RFC 4505 section 2).
fn anonymous(trace: &[u8]) -> Option<Credentials> {
    let trace = std::str::from_utf8(trace).ok()?;
    let fits = trace.chars().count() <= MAX_TRACE;
    fits.then(|| Credentials {
        authzid: String::new(),
        authcid: String::new(),
        proof: Proof::Anonymous(trace.to_owned()),
        client: None,
    })
}

/// UTF-8 without NUL, neither empty nor longer than [`MAX_NAME`].
fn name(bytes: &[u8]) -> Option<String> {
    let fits = (1..=MAX_NAME).contains(&bytes.len()) && !bytes.contains(&0);
    if !fits {
        return None;
    }
    String::from_utf8(bytes.to_vec()).ok()
}

/// Octets without NUL, neither none nor more than [`MAX_PASSWORD`]. Not held to UTF-8: old
/// clients send what the password was made with.
fn password(bytes: &[u8]) -> Option<Secret> {
    let fits = (1..=MAX_PASSWORD).contains(&bytes.len()) && !bytes.contains(&0);
    fits.then(|| Secret::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the responses through one exchange and writes down what came of them.
    fn talk(mechanism: &str, responses: &[Option<&[u8]>]) -> String {
        let mut exchange = Exchange::new(mechanism, Mechanisms::of_bits(u16::MAX)).unwrap();
        let steps = responses.iter().map(|&r| match exchange.step(r) {
            Step::Challenge(text) => format!("+{}", String::from_utf8(text).unwrap()),
            Step::Ask(Question::Verify(Credentials {
                proof: Proof::Anonymous(trace),
                ..
            })) => format!("trace {trace}"),
            Step::Ask(Question::Verify(c)) => format!(
                "{}/{}/{}",
                c.authzid,
                c.authcid,
                String::from_utf8_lossy(c.password())
            ),
            Step::Ask(Question::Begin {
                mechanism, message, ..
            }) => format!("begin {} {}", mechanism.name(), message.len()),
            Step::Ask(Question::Respond(message)) => format!("respond {}", message.len()),
            Step::Done(verdict) => format!("{verdict:?}"),
            Step::Failed => "failed".to_owned(),
        });
        steps.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn exchanges() {
        for (mechanism, responses, expected) in [
            (
                "PLAIN",
                &[Some(&b"\0tim\0tanstaaf"[..])][..],
                "/tim/tanstaaf",
            ),
            (
                "plain",
                &[None, Some(b"\0tim\0tanstaaf")],
                "+ /tim/tanstaaf",
            ),
            // RFC 4616 section 4: a proxy login is well formed; refusing it is not the exchange's.
            (
                "PLAIN",
                &[Some(b"Ursel\0Kurt\0xipj3plmq")],
                "Ursel/Kurt/xipj3plmq",
            ),
            (
                "PLAIN",
                &[Some(b"\0tim\0\xe9t\xe9")],
                "/tim/\u{fffd}t\u{fffd}",
            ),
            ("PLAIN", &[Some(b"")], "failed"),
            ("PLAIN", &[Some(b"tim\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\0\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\0tim\0")], "failed"),
            ("PLAIN", &[Some(b"\0tim\0tan\0staaf")], "failed"),
            ("PLAIN", &[Some(b"\0t\xffm\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\xff\0tim\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\0a\0b"), Some(b"\0a\0b")], "/a/b failed"),
            ("PLAIN", &[Some(b"x"), None], "failed failed"),
            (
                "LOGIN",
                &[None, Some(b"tim"), Some(b"tanstaaf")],
                "+Username: +Password: /tim/tanstaaf",
            ),
            (
                "Login",
                &[Some(b"tim"), Some(b"tanstaaf")],
                "+Password: /tim/tanstaaf",
            ),
            ("LOGIN", &[None, Some(b"")], "+Username: failed"),
            ("LOGIN", &[Some(b"t\0m")], "failed"),
            ("LOGIN", &[Some(b"tim"), Some(b"")], "+Password: failed"),
            ("LOGIN", &[Some(b"tim"), Some(b"a\0b")], "+Password: failed"),
            ("LOGIN", &[Some(b"tim"), None], "+Password: failed"),
            // RFC 4505 section 4.
            ("ANONYMOUS", &[Some(b"sirhc")], "trace sirhc"),
            ("Anonymous", &[None, Some(b"a@b")], "+ trace a@b"),
            ("ANONYMOUS", &[Some(b"")], "trace "),
            ("ANONYMOUS", &[Some(b"\xff")], "failed"),
        ] {
            assert_eq!(talk(mechanism, responses), expected, "{responses:?}");
        }
    }

    #[test]
    fn lengths_have_limits() {
        let response = |name: usize, password: usize| {
            let mut r = vec![0];
            r.extend(std::iter::repeat_n(b'n', name));
            r.push(0);
            r.extend(std::iter::repeat_n(b'p', password));
            matches!(
                Exchange::new("PLAIN", Mechanisms::PASSWORD)
                    .unwrap()
                    .step(Some(&r)),
                Step::Ask(_)
            )
        };
        assert!(response(MAX_NAME, MAX_PASSWORD));
        assert!(!response(MAX_NAME + 1, 1));
        assert!(!response(1, MAX_PASSWORD + 1));
        let trace = |count| talk("ANONYMOUS", &[Some("é".repeat(count).as_bytes())]) != "failed";
        assert!(trace(MAX_TRACE) && !trace(MAX_TRACE + 1));
    }

    #[test]
    fn only_what_is_offered_is_served() {
        let offered = Mechanisms::PASSWORD;
        assert!(
            ["PLAIN", "login"]
                .iter()
                .all(|m| Exchange::new(m, offered).is_some())
        );
        for mechanism in ["CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", ""] {
            assert!(Exchange::new(mechanism, offered).is_none(), "{mechanism}");
        }
    }

    #[test]
    fn what_the_client_says_is_passed_on() {
        assert_eq!(
            talk("SCRAM-SHA-256", &[None, Some(b"n,,n=tim,r=x")]),
            "+ begin SCRAM-SHA-256 12"
        );
        assert_eq!(talk("CRAM-MD5", &[None]), "begin CRAM-MD5 0");
        assert_eq!(talk("CRAM-MD5", &[Some(b"tim x")]), "failed");
        let long = vec![b'x'; MAX_MESSAGE + 1];
        assert_eq!(talk("SCRAM-SHA-1", &[Some(&long)]), "failed");
        assert_eq!(
            talk("SCRAM-SHA-1", &[Some(&long[1..])]),
            "begin SCRAM-SHA-1 2048"
        );
        let begun = || {
            let mut exchange = Exchange::new("scram-sha-1", Mechanisms::of_bits(u16::MAX)).unwrap();
            assert!(matches!(exchange.step(Some(b"x")), Step::Ask(_)));
            exchange
        };
        let accepted = || {
            Answer::Verdict(Judgement {
                verdict: Verdict::Accepted,
                user: "tim".to_owned(),
                told: b"v=x".to_vec(),
            })
        };
        let mut exchange = begun();
        let step = exchange.answer(Answer::Challenge(b"r=".to_vec()));
        assert!(matches!(step, Step::Challenge(told) if told == b"r="));
        assert!(
            matches!(exchange.step(Some(b"c=")), Step::Ask(Question::Respond(m)) if m == b"c=")
        );
        let step = exchange.answer(accepted());
        assert!(matches!(step, Step::Challenge(told) if told == b"v=x"));
        assert!(exchange.is_last() && exchange.user() == "tim");
        assert!(matches!(
            exchange.step(Some(b"")),
            Step::Done(Verdict::Accepted)
        ));
        assert!(matches!(exchange.step(Some(b"")), Step::Failed));
        // Whoever is not content with the server's proof says something else.
        let mut exchange = begun();
        exchange.answer(accepted());
        assert!(matches!(exchange.step(Some(b"x")), Step::Failed));
        for verdict in [Verdict::Rejected, Verdict::Unavailable] {
            let step = begun().answer(Answer::from(verdict.clone()));
            assert!(matches!(step, Step::Done(told) if told == verdict));
        }
        // The client has to wait for its turn.
        assert!(matches!(begun().step(Some(b"c=")), Step::Failed));
        let mut exchange = begun();
        exchange.answer(Answer::Challenge(Vec::new()));
        assert!(matches!(exchange.step(Some(&long)), Step::Failed));
    }
}
