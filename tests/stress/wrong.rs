//! Transcripts with something wrong in them, which the model has to see; and the same made right.

mod answers;
mod changes;
mod numbers;

use crate::doing::{Append, Carry, Doing, Fetch, Resync, Search, Store};
use crate::flags::{Change, Flags};
use crate::kind::Kind;
use crate::model::Model;
use crate::search::Key;
use crate::support::message;
use crate::text::Text;
use crate::truth::{Checked, Truth};

const DATE: &str = "12-Nov-2026 10:00:00 +0000";

/// What is said of the messages `1` to `3`: flags, and 10 more than the UID is the mod-sequence.
const FLAGS: [&str; 3] = ["", "\\Seen", "\\Deleted"];

fn text(id: &str) -> String {
    message(id, "Stress", &format!("text of {id}"))
}

/// What a test adds: who does what, what the server says, and how it ends.
struct Step {
    who: usize,
    doing: Doing,
    told: Vec<String>,
    status: String,
}

fn step(who: usize, doing: Doing, told: &[&str], status: &str) -> Step {
    Step {
        who,
        doing,
        told: told.iter().map(|told| (*told).to_owned()).collect(),
        status: status.to_owned(),
    }
}

/// Two connections with INBOX open.
fn opened<'a>(kinds: [&str; 2], truth: &'a Truth) -> [Model<'a>; 2] {
    for id in ["1", "2", "3", "4"] {
        truth.brings(id, Text::new(&text(id), Some(DATE)));
    }
    kinds.map(|kind| {
        let mut model = Model::new(Kind::named(kind), truth);
        let select = Doing::Select {
            mailbox: "INBOX",
            resync: None,
        };
        let opens = ["3 EXISTS", "OK [UIDVALIDITY 7] ok", "OK [UIDNEXT 4] ok"];
        run(&mut model, select, &opens, "OK done").unwrap();
        look(&mut model);
        model
    })
}

/// The responses to a FETCH of everything.
fn look(model: &mut Model<'_>) {
    let told: Vec<String> = (1..=3)
        .zip(FLAGS)
        .map(|(uid, flags)| {
            let word = if model.kind.uid_only {
                "UIDFETCH"
            } else {
                "FETCH"
            };
            let header = format!("Message-ID: <{uid}>\r\n\r\n");
            let octets = header.len();
            let mod_seq = match model.kind.condstore {
                true => format!(" MODSEQ ({})", 10 + uid),
                false => String::new(),
            };
            format!(
                "{uid} {word} (UID {uid} FLAGS ({flags}){mod_seq} \
                 BODY[HEADER.FIELDS (MESSAGE-ID)] {{{octets}}}\r\n{header})"
            )
        })
        .collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let fetch = Doing::Fetch(Fetch::everything(model.kind.condstore));
    let code = if model.kind.condstore {
        "OK [HIGHESTMODSEQ 13] done"
    } else {
        "OK done"
    };
    run(model, fetch, &told, code).unwrap();
}

fn run(model: &mut Model<'_>, doing: Doing, told: &[&str], status: &str) -> Checked {
    model.begin(doing);
    told.iter().try_for_each(|response| model.hear(response))?;
    model.end(status)
}

/// The last step is wrong in that way, and all others are right.
fn wrong(kinds: [&str; 2], steps: Vec<Step>, what: &str) {
    let truth = Truth::default();
    let mut models = opened(kinds, &truth);
    let count = steps.len();
    for (at, step) in steps.into_iter().enumerate() {
        let shown = format!("{kinds:?} {:?} {:?} {}", step.doing, step.told, step.status);
        let told: Vec<&str> = step.told.iter().map(String::as_str).collect();
        let checked = run(&mut models[step.who], step.doing, &told, &step.status);
        match checked {
            Ok(()) => assert!(at + 1 < count || what.is_empty(), "{what}: {shown}"),
            Err(seen) => assert!(
                at + 1 == count && !what.is_empty() && seen.contains(what),
                "{what}: {shown}: {seen}"
            ),
        }
    }
}

fn right(kinds: [&str; 2], steps: Vec<Step>) {
    wrong(kinds, steps, "");
}

fn fetch(uids: &[u32], items: &[&'static str]) -> Doing {
    Doing::Fetch(Fetch {
        by_uid: false,
        uids: Some(uids.to_vec()),
        items: items.to_vec(),
        since: None,
        vanished: false,
    })
}

fn store(uids: &[u32], flags: &str, unchanged: Option<u64>) -> Doing {
    Doing::Store(Store {
        by_uid: true,
        uids: uids.to_vec(),
        change: Change::Add,
        flags: Flags::parse(flags).unwrap(),
        silent: false,
        unchanged,
    })
}

fn search(key: Key, extended: bool) -> Doing {
    Doing::Search(Search {
        by_uid: false,
        key,
        sorted: false,
        extended,
    })
}

fn copy(uids: &[u32]) -> Doing {
    Doing::Carry(Carry {
        moves: false,
        by_uid: true,
        uids: uids.to_vec(),
        to: "INBOX",
    })
}

const PLAIN: [&str; 2] = ["plain", "plain"];
const CONDSTORE: [&str; 2] = ["condstore", "condstore"];
const QRESYNC: [&str; 2] = ["qresync", "qresync"];
