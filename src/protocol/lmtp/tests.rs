//! Transcripts (`tests/lmtp/*.lmtp`) against the machine, however the client's bytes are split.
//!
//! `C: text` is sent with CRLF, `R: text` as written (`\r`, `\n` for these), `S: text` is the next line
//! the server sends (`<>` for anything), `D: text` is what was delivered then, as one line with `\r\n`
//! written out, `E: text` what the engines were told of it, `T:` the TLS that begins now. `with: words` in
//! front: `trusted`, `starttls`. Users: `ann` and `bob` are known, `trouble` cannot be looked up, `full` has no room.

use super::{Answer, Lookup, Question, Session, Settings};
use crate::deliver::{Envelope, Outcome};
use crate::pattern::matches;
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::transcript::{self, Pieces, unescape};
use std::time::Duration;

/// `with`: words of `with: ` lines.
fn settings(with: &str) -> Settings {
    Settings {
        hostname: "mx.test".into(),
        address: "192.0.2.1".parse().unwrap(),
        secured: false,
        starttls: with.contains("starttls"),
        trusted: with.contains("trusted"),
        line_octets: 1000,
        message_octets: 200,
        recipients: 3,
        transactions: 4,
        bad_commands: 4,
        patience: Duration::from_secs(300),
    }
}

struct Run {
    session: Session,
    said: Vec<u8>,
    message: Vec<u8>,
    delivered: Vec<Vec<u8>>,
    outcomes: Vec<Outcome>,
    /// Recipients that were found and neither got a message nor were given up.
    known: usize,
    /// What the engines were told of each message.
    told: Vec<String>,
    /// TLS is to begin.
    tls: bool,
    ended: bool,
}

/// What engines are told of a message.
fn told(envelope: &Envelope, tickets: &[u32]) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let flags = [
        (envelope.tls, " tls"),
        (envelope.utf8, " utf8"),
        (envelope.binary, " binary"),
    ];
    let flags: String = flags
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| name)
        .collect();
    let each: String = (0..tickets.len()).map(|at| envelope.notes(at)).collect();
    let (path, client) = (text(&envelope.reverse_path), text(&envelope.client));
    let address = text(&envelope.address);
    format!("<{path}> {client} {address}{flags}{each}")
}

const NAMES: [&[u8]; 4] = [b"ann", b"bob", b"full", b"trouble"];

impl Run {
    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Recipient(address) => {
                let name = address.split(|b| *b == b'@').next().unwrap();
                Answer::Recipient(match NAMES.iter().position(|known| *known == name) {
                    Some(3) => Lookup::Unavailable,
                    Some(at) => {
                        self.known += 1;
                        Lookup::Known(at as u32)
                    }
                    None => Lookup::Unknown,
                })
            }
            Question::Begin { envelope, tickets } => {
                self.told.push(told(&envelope, &tickets));
                self.message.clear();
                let outcome = |ticket: &u32| match ticket {
                    2 => Outcome::Full,
                    _ => Outcome::Delivered,
                };
                self.outcomes = tickets.iter().map(outcome).collect();
                Answer::Begun(true)
            }
            Question::Body(piece) => {
                self.message.extend(piece);
                Answer::Begun(true)
            }
            Question::End(piece) => {
                self.message.extend(piece);
                self.delivered.push(std::mem::take(&mut self.message));
                self.known -= self.outcomes.len();
                let outcomes = std::mem::take(&mut self.outcomes);
                Answer::Outcomes(outcomes, "1f.2".to_owned())
            }
            Question::Abandon => {
                self.known = 0;
                Answer::Begun(true)
            }
        }
    }

    fn advance(&mut self) {
        let mut out = Output::new();
        while !self.ended {
            match self.session.advance(Turn::Quick, &mut out) {
                Progress::Ask(question) => {
                    let answer = self.answer(question);
                    self.session.answer(answer);
                }
                Progress::Done => self.ended = true,
                Progress::NeedInput => break,
                Progress::StartTls => {
                    self.tls = true;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        self.said.extend_from_slice(out.bytes());
    }

    fn send(&mut self, bytes: &[u8], cut: usize) {
        for mut piece in Pieces::Cut(cut).of(bytes) {
            // What comes before TLS is up is not looked at any more.
            while !piece.is_empty() && !self.ended && !self.tls {
                let taken = self.session.input(piece);
                piece = &piece[taken..];
                self.advance();
            }
        }
    }
}

fn run(name: &str, text: &str, cut: usize) {
    let with: String = text
        .lines()
        .filter_map(|l| l.strip_prefix("with: "))
        .collect();
    let mut run = Run {
        session: Session::new(settings(&with)),
        told: Vec::new(),
        tls: false,
        said: Vec::new(),
        message: Vec::new(),
        delivered: Vec::new(),
        outcomes: Vec::new(),
        known: 0,
        ended: false,
    };
    run.advance();
    for line in text.lines() {
        let (head, rest) = line
            .split_once(": ")
            .unwrap_or((line.trim_end_matches(':'), ""));
        match head {
            "C" => run.send(format!("{rest}\r\n").as_bytes(), cut),
            "R" => run.send(&unescape(rest), cut),
            "S" => {
                let end = run.said.iter().position(|b| *b == b'\n');
                let end = end.unwrap_or_else(|| panic!("{name} at {cut}: nothing for {rest:?}"));
                let said: Vec<u8> = run.said.drain(..=end).collect();
                let said = String::from_utf8(said).unwrap();
                let said = said.strip_suffix("\r\n").unwrap();
                assert!(
                    matches(rest, said),
                    "{name} at {cut}: expected {rest:?}, got {said:?}"
                );
            }
            "D" => {
                assert!(
                    !run.delivered.is_empty(),
                    "{name} at {cut}: nothing delivered"
                );
                let message = run.delivered.remove(0);
                assert_eq!(
                    String::from_utf8_lossy(&message),
                    String::from_utf8_lossy(&unescape(rest)),
                    "{name} at {cut}"
                );
            }
            "E" => {
                assert!(!run.told.is_empty(), "{name} at {cut}: nothing was told");
                assert_eq!(run.told.remove(0), rest, "{name} at {cut}");
            }
            "T" => {
                assert!(run.tls, "{name} at {cut}: no TLS begins");
                run.tls = false;
                run.session.event(Event::Secured {
                    bindable: false,
                    certified: false,
                });
                run.advance();
            }
            _ => {}
        }
    }
    // Nobody would come for them; what the end of a connection leaves is its driver's matter.
    assert!(
        run.known == 0 || run.ended,
        "{name} at {cut}: {}",
        run.known
    );
    let rest = String::from_utf8_lossy(&run.said);
    assert!(rest.is_empty(), "{name} at {cut}: also said {rest:?}");
    assert!(
        run.delivered.is_empty(),
        "{name} at {cut}: also delivered {:?}",
        run.delivered
    );
}

#[test]
fn transcripts() {
    for (name, text) in transcript::transcripts("lmtp", 26) {
        for cut in 0..80 {
            run(&name, &text, cut);
        }
    }
}

#[test]
fn what_is_told_fits_into_exim() {
    // Exim's transport for LMTP takes no reply of more than 255 octets, line ends as one; it delivered nothing.
    let mut settings = settings("trusted starttls");
    settings.hostname = "mail-relay-with-a-long-name.some-department.example.org".into();
    settings.message_octets = 1 << 40;
    let mut session = Session::new(settings);
    let mut out = Output::new();
    session.advance(Turn::Quick, &mut out);
    let mut out = Output::new();
    session.input(b"LHLO x\r\n");
    session.advance(Turn::Quick, &mut out);
    let told = String::from_utf8_lossy(out.bytes()).replace("\r\n", "\n");
    assert!(
        told.len() < 256 && told.ends_with("250 SIZE 1099511627776\n"),
        "{told}"
    );
}

#[test]
fn long_lines_are_skipped() {
    let long = "x".repeat(3000);
    let text = format!("S: 220 <>\nC: NOOP {long}\nS: 500 5.5.6 <>\nC: NOOP\nS: 250 2.0.0 OK\n");
    for cut in [0, 1, 999, 1000, 1001, 3004, 3005, 3006, 3007] {
        run("long line", &text, cut);
    }
}
