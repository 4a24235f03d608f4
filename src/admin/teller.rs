//! What is found in the mail of a user, for a person or for a program.

use super::console::Outputs;
use crate::mailbox::{Report, TAKEN};
use miniserde::Serialize;

/// A line of `--json`; what does not belong to what it is about is null.
#[derive(Debug, Default, Serialize)]
struct Row {
    user: String,
    /// `mailbox`, `namespace`, `message`, `scrub`, `purge`, `move`, `index` or `cache`.
    about: String,
    mailbox: Option<String>,
    uid: Option<u32>,
    verdict: Option<String>,
    why: Option<String>,
    file: Option<String>,
    messages: Option<u32>,
    uidvalidity: Option<u32>,
    uidnext: Option<u32>,
    gone: Option<String>,
    new: Option<u32>,
    files: Option<u32>,
    kept: Option<String>,
    unused: Option<String>,
    most_octets: Option<u64>,
    cached: Option<u32>,
    cached_octets: Option<u64>,
    octets: Option<u64>,
}

/// Tells of the mail of one user.
pub(super) struct Teller<'o, 'c> {
    outputs: &'o mut Outputs<'c>,
    user: &'o str,
    json: bool,
    /// Messages of the mailboxes that were told of.
    known: u64,
    /// What was read so far.
    messages: u32,
    octets: u64,
    /// There are messages that somebody needs to look at.
    pub(super) damaged: bool,
}

impl<'o, 'c> Teller<'o, 'c> {
    pub(super) fn new(outputs: &'o mut Outputs<'c>, user: &'o str, json: bool) -> Teller<'o, 'c> {
        Teller {
            outputs,
            user,
            json,
            known: 0,
            messages: 0,
            octets: 0,
            damaged: false,
        }
    }

    pub(super) fn tell(&mut self, report: Report) {
        self.damaged |= report.is_damage();
        match report {
            Report::Mailbox { messages, .. } => self.known += u64::from(messages),
            Report::Scrubbed {
                messages,
                octets,
                ended,
            } => {
                self.messages = self.messages.saturating_add(messages);
                self.octets = self.octets.saturating_add(octets);
                if ended {
                    let (messages, octets) = (self.messages, self.octets);
                    self.say(Report::Scrubbed {
                        messages,
                        octets,
                        ended,
                    });
                } else {
                    let (user, messages, known) = (self.user, self.messages, self.known);
                    let line = format_args!("{user}: read {messages} of {known} messages");
                    self.outputs.pass(line);
                }
                return;
            }
            Report::Moved {
                messages,
                octets,
                ended: false,
            } => {
                let user = self.user;
                let line = format_args!("{user}: {messages} messages, {octets} octets so far");
                return self.outputs.pass(line);
            }
            _ => {}
        }
        self.say(report);
    }

    fn say(&mut self, report: Report) {
        let user = self.user;
        match self.json {
            true => {
                let row = row(user, report);
                self.outputs.say(miniserde::json::to_string(&row));
            }
            false => self.outputs.say(format_args!("{user}: {report}")),
        }
    }
}

fn row(user: &str, report: Report) -> Row {
    let about = |about: &str| Row {
        user: user.to_owned(),
        about: about.to_owned(),
        ..Row::default()
    };
    match report {
        Report::Mailbox {
            mailbox,
            verdict,
            messages,
            uid_validity,
            uid_next,
            gone,
            new,
        } => Row {
            mailbox: Some(mailbox),
            verdict: Some(verdict),
            messages: Some(messages),
            uidvalidity: Some(uid_validity),
            uidnext: Some(uid_next),
            gone: Some(gone),
            new: Some(new),
            ..about("mailbox")
        },
        Report::Hidden { mailbox, prefix } => Row {
            mailbox: Some(mailbox),
            verdict: Some("hidden".to_owned()),
            why: Some(format!("the namespace {prefix} has this name")),
            ..about("mailbox")
        },
        Report::Absent { prefix } => Row {
            mailbox: Some(prefix),
            verdict: Some("unusable".to_owned()),
            why: Some("the namespace cannot be used now; the log says why".to_owned()),
            ..about("namespace")
        },
        Report::Unusable { mailbox, why } => Row {
            mailbox: Some(mailbox),
            verdict: Some("unusable".to_owned()),
            why: Some(why),
            ..about("mailbox")
        },
        Report::Lost { mailbox, uids } => Row {
            mailbox: Some(mailbox),
            verdict: Some("lost".to_owned()),
            why: Some(TAKEN.to_owned()),
            gone: Some(uids),
            ..about("mailbox")
        },
        Report::Away {
            mailbox,
            messages,
            directory,
        } => Row {
            mailbox: Some(mailbox),
            verdict: Some("away".to_owned()),
            messages: Some(messages),
            why: Some("a directory is not there: is its disk mounted?".to_owned()),
            file: Some(directory),
            ..about("mailbox")
        },
        Report::Message {
            mailbox,
            uid,
            verdict,
            why,
            file,
        } => Row {
            mailbox: Some(mailbox),
            uid: Some(uid),
            verdict: Some(verdict),
            why: Some(why),
            file: Some(file),
            ..about("message")
        },
        Report::Scrubbed {
            messages, octets, ..
        } => Row {
            messages: Some(messages),
            octets: Some(octets),
            ..about("scrub")
        },
        Report::Purged { files, octets } => Row {
            files: Some(files),
            octets: Some(octets),
            ..about("purge")
        },
        Report::Moved {
            messages, octets, ..
        } => Row {
            messages: Some(messages),
            octets: Some(octets),
            ..about("move")
        },
        Report::Room {
            mailbox,
            messages,
            cached,
            cached_octets,
            octets,
        } => Row {
            mailbox: Some(mailbox),
            messages: Some(messages),
            octets: Some(octets),
            cached: Some(cached),
            cached_octets: Some(cached_octets),
            ..about("index")
        },
        Report::Kept {
            mailbox,
            octets,
            most,
            kept,
            unused,
        } => Row {
            mailbox: Some(mailbox),
            octets: Some(octets),
            most_octets: Some(most),
            kept: Some(kept),
            unused: Some(unused),
            ..about("cache")
        },
    }
}
