//! The commands of the transcripts, by the rule they come under.

use super::{Step, steps, transcripts};
use crate::protocol::imap::table::RULES;
use crate::wire::imap::{Frame, Framer};
use std::collections::BTreeMap;

/// Commands with their literals, without their tags.
pub(super) fn samples() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut all: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
    for command in conversations().iter().flat_map(|sent| commands(sent)) {
        let Some(at) = command.iter().position(|b| *b == b' ') else {
            continue;
        };
        let command = command.get(at + 1..).unwrap_or_default();
        if let Some(name) = name(command) {
            all.entry(name).or_default().push(command.to_vec());
        }
    }
    all
}

/// What each connection of the transcripts sends.
fn conversations() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (_, text) in transcripts() {
        let mut sent: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for step in steps(&text) {
            if let Step::Send(number, bytes) = step {
                sent.entry(number).or_default().extend(bytes);
            }
        }
        all.extend(sent.into_values());
    }
    all
}

/// The name of the rule that a command without its tag comes under.
fn name(command: &[u8]) -> Option<&'static str> {
    let names = RULES.iter().map(|rule| rule.name).filter(|name| {
        let head = command.get(..name.len());
        let ends = command.get(name.len()).is_none_or(|b| *b == b' ');
        ends && head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
    });
    names.max_by_key(|name| name.len())
}

/// What a client sent, cut into commands; a message of APPEND follows as a literal that does not wait.
fn commands(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(1 << 16, 1 << 16, u64::MAX);
    let (mut all, mut appended) = (Vec::new(), Vec::new());
    loop {
        let taken = framer.input(sent);
        sent = sent.get(taken..).unwrap_or_default();
        let frame = match appended.is_empty() {
            true => framer.next(),
            false => framer.next_of_append(),
        };
        match frame {
            Frame::NeedInput if sent.is_empty() => return all,
            Frame::NeedInput | Frame::Continue | Frame::Refused { .. } => {}
            Frame::Command(text) => all.push([std::mem::take(&mut appended), text].concat()),
            Frame::Append { head, octets, .. } => {
                let message = framer.take(octets);
                appended.extend(head);
                appended.extend(format!("{{{}+}}\r\n", message.len()).bytes());
                appended.extend(message);
            }
        }
    }
}
