//! Postfix's lookups: which domains are served (`domain`), which addresses have a mailbox (`mailbox`), and
//! which stand for others (`alias`).

use crate::auth::{Found, Wanted};
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::socketmap::{MAX_REQUEST, Netstring, netstring, reply};
use std::time::Duration;

/// A connection by which Postfix asks.
pub(crate) struct Socketmap {
    buffer: Vec<u8>,
    patience: Duration,
    doing: Doing,
}

enum Doing {
    Reading,
    Asked,
    Answered(Found),
    Ended,
}

impl Socketmap {
    /// `patience`: how long Postfix may be silent.
    pub(crate) fn new(patience: Duration) -> Socketmap {
        Socketmap {
            buffer: Vec::new(),
            patience,
            doing: Doing::Reading,
        }
    }

    /// The next question; `None`: see `doing`, or more has to come.
    fn request(&mut self, out: &mut Output) -> Option<Progress<Wanted>> {
        let (wanted, octets) = match netstring(&self.buffer) {
            Netstring::Incomplete => return Some(Progress::NeedInput),
            Netstring::Malformed => {
                self.doing = Doing::Ended;
                return None;
            }
            Netstring::Whole(text, octets) => (wanted(text), octets),
        };
        self.buffer.drain(..octets);
        if self.buffer.is_empty() {
            // Who waits owns no buffer.
            self.buffer = Vec::new();
        }
        match wanted {
            Some(wanted) => {
                self.doing = Doing::Asked;
                Some(Progress::Ask(wanted))
            }
            None => {
                let what = "PERM the maps are domain, mailbox and alias";
                reply(what, out.buffer());
                None
            }
        }
    }
}

/// `name SP key`.
fn wanted(request: &[u8]) -> Option<Wanted> {
    let (map, key) = std::str::from_utf8(request).ok()?.split_once(' ')?;
    let key = key.to_owned();
    Some(match map {
        "domain" => Wanted::Domain(key),
        "mailbox" => Wanted::Mailbox(key),
        "alias" => Wanted::Alias(key),
        _ => return None,
    })
}

impl Machine for Socketmap {
    type Question = Wanted;
    type Answer = Found;

    fn input(&mut self, bytes: &[u8]) -> usize {
        let room = (2 * MAX_REQUEST).saturating_sub(self.buffer.len());
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        taken.len()
    }

    fn advance(&mut self, _turn: Turn, out: &mut Output) -> Progress<Wanted> {
        loop {
            match std::mem::replace(&mut self.doing, Doing::Reading) {
                Doing::Reading => {
                    if let Some(progress) = self.request(out) {
                        return progress;
                    }
                }
                Doing::Answered(found) => {
                    let text = match found {
                        Found::Text(text) => format!("OK {text}"),
                        Found::Nothing => "NOTFOUND ".to_owned(),
                        // Neither yes nor no: Postfix tries again.
                        _ => "TEMP dovelet cannot tell now".to_owned(),
                    };
                    reply(&text, out.buffer());
                }
                Doing::Asked => {
                    self.doing = Doing::Asked;
                    return Progress::NeedInput;
                }
                Doing::Ended => {
                    self.doing = Doing::Ended;
                    return Progress::Done;
                }
            }
        }
    }

    fn answer(&mut self, found: Found) {
        if matches!(self.doing, Doing::Asked) {
            self.doing = Doing::Answered(found);
        }
    }

    fn event(&mut self, event: Event) {
        if matches!(event, Event::TimedOut | Event::Stopping | Event::Gone) {
            self.doing = Doing::Ended;
        }
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said, and whether the connection ends.
    fn said(text: &str, by: usize) -> (String, bool) {
        let mut map = Socketmap::new(Duration::from_secs(60));
        let mut out = Output::new();
        let mut ended = false;
        for mut piece in text.as_bytes().chunks(by) {
            while !piece.is_empty() && !ended {
                let taken = map.input(piece);
                assert!(taken > 0, "input is stuck");
                piece = &piece[taken..];
                ended = loop {
                    match map.advance(Turn::Quick, &mut out) {
                        Progress::Ask(Wanted::Mailbox(key)) if key == "busy" => {
                            map.answer(Found::Unavailable);
                        }
                        Progress::Ask(Wanted::Alias(_)) => map.answer(Found::Nothing),
                        Progress::Ask(wanted) => map.answer(Found::Text(format!("{wanted:?}"))),
                        Progress::Done => break true,
                        _ => break false,
                    }
                };
            }
        }
        (String::from_utf8(out.bytes().to_vec()).unwrap(), ended)
    }

    #[test]
    fn requests_and_replies() {
        for by in [1, 7, 100_000] {
            let perm = "PERM the maps are domain, mailbox and alias";
            let cases: [(&str, &[&str], bool); 7] = [
                ("12:domain a.org,", &["OK Domain(\"a.org\")"], false),
                ("11:mailbox a@b,", &["OK Mailbox(\"a@b\")"], false),
                ("12:mailbox busy,", &["TEMP dovelet cannot tell now"], false),
                ("9:alias a@b,0:,", &["NOTFOUND ", perm], false),
                ("5:other,", &[perm], false),
                ("mailbox x", &[], true),
                ("99999:", &[], true),
            ];
            for (text, expected, ends) in cases {
                let expected = expected
                    .iter()
                    .map(|text| format!("{}:{text},", text.len()));
                assert_eq!(said(text, by), (expected.collect(), ends), "{text} {by}");
            }
            let many = "9:alias a@b,".repeat(2000);
            assert_eq!(said(&many, by).0, "9:NOTFOUND ,".repeat(2000));
        }
    }
}
