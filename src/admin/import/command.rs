//! Messages are read where they are and handed over.

use super::dates;
use super::plan::{Plan, Source, Step, led_out, plan};
use crate::admin::console::{Console, Exit};
use crate::admin::options::{Options, load};
use crate::admin::visit::{End, patient, visiting};
use crate::mail::{Flags, MailboxName, SystemFlags};
use crate::server::{Filed, Outcome, Refused, Visit};
use crate::store::{Error, letters, maildir_files, unpacked_file};
use crate::sys::regular;
use miniserde::Serialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is to be imported, for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) user: String,
    /// The mailbox that the others come below.
    pub(crate) mailbox: Option<String>,
    /// All count as read.
    pub(crate) seen: bool,
    pub(crate) json: bool,
    pub(crate) paths: Vec<PathBuf>,
}

/// What came of one mailbox.
#[derive(Debug, Serialize)]
struct Row {
    mailbox: String,
    source: String,
    added: u64,
    known: u64,
    refused: u64,
}

/// Imports. Ends with `BadData` if some messages could not be taken.
pub(crate) fn run(wanted: &Import, options: &Options, console: &mut Console<'_>) -> Exit {
    let done = load(options).map_err(End::from).and_then(|config| {
        let patient = patient(&wanted.user, &config)?;
        let plan = planned(wanted, console)?;
        visiting(&patient, &config, |visit| {
            Importer {
                wanted,
                visit,
                console,
                labels: VecDeque::new(),
                refused: plan.unread,
            }
            .import(&plan)
        })
    });
    done.unwrap_or_else(|end| end.tell(console))
}

fn planned(wanted: &Import, console: &mut Console<'_>) -> Result<Plan, End> {
    let top = wanted.mailbox.as_deref().map(MailboxName::new).transpose();
    let top = top.map_err(|_| {
        let name = wanted.mailbox.as_deref().unwrap_or_default();
        End::new(Exit::BadUsage, format!("{name:?} is no name of a mailbox"))
    })?;
    let plan = plan(&wanted.paths, top.as_ref())
        .map_err(|(path, error)| End::new(Exit::NoInput, format!("{}: {error}", path.display())))?;
    for left in &plan.left {
        console.complain(format_args!("left out: {left}"));
    }
    match plan.steps.is_empty() {
        true => Err(End::new(Exit::BadData, "there is no mail")),
        false => Ok(plan),
    }
}

struct Importer<'a, 'c> {
    wanted: &'a Import,
    visit: &'a mut Visit,
    console: &'a mut Console<'c>,
    /// What the messages are called that were handed over and not filed yet.
    labels: VecDeque<String>,
    refused: u64,
}

/// Why a source ends early.
enum Stop {
    End(End),
    /// It cannot be read.
    Unreadable(String),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        Stop::End(refused.into())
    }
}

impl From<crate::store::Error> for Stop {
    fn from(error: crate::store::Error) -> Stop {
        Stop::Unreadable(error.to_string())
    }
}

impl Importer<'_, '_> {
    fn import(&mut self, plan: &Plan) -> Result<Exit, End> {
        let (mut mailboxes, mut added) = (Vec::new(), 0);
        for step in &plan.steps {
            let row = self.step(step, plan)?;
            added += row.added;
            self.refused += row.refused;
            if !mailboxes.contains(&&step.mailbox) {
                mailboxes.push(&step.mailbox);
            }
            match self.wanted.json {
                true => self.console.say(miniserde::json::to_string(&row)),
                false => self.console.say(line(&row)),
            }
        }
        for name in &plan.subscriptions {
            self.visit.subscribe(name)?;
        }
        if !self.wanted.json {
            let count = mailboxes.len();
            self.console.say(format_args!(
                "{added} messages were added to {count} mailboxes"
            ));
        }
        Ok(match self.refused {
            0 => Exit::Success,
            _ => Exit::BadData,
        })
    }

    fn step(&mut self, step: &Step, plan: &Plan) -> Result<Row, End> {
        let mut row = Row {
            mailbox: step.mailbox.to_string(),
            source: match &step.source {
                Source::Mbox(path) | Source::Maildir(path) => path.display().to_string(),
                Source::Files(files) => match files.as_slice() {
                    [one] => one.display().to_string(),
                    all => format!("{} files", all.len()),
                },
            },
            added: 0,
            known: 0,
            refused: 0,
        };
        self.visit.go_into(&step.mailbox, true)?;
        if step.subscribed {
            self.visit.subscribe(&step.mailbox)?;
        }
        let read = match &step.source {
            Source::Mbox(path) => self.mbox(path, &mut row),
            Source::Maildir(path) => self.maildir(path, plan, &mut row),
            Source::Files(files) => self.files(files, &mut row),
        };
        match read {
            Ok(()) => {}
            Err(Stop::End(end)) => return Err(end),
            Err(Stop::Unreadable(why)) => {
                self.console.complain(format_args!("{}: {why}", row.source));
                row.refused += 1;
            }
        }
        self.commit(&mut row)?;
        Ok(row)
    }

    fn mbox(&mut self, path: &Path, row: &mut Row) -> Result<(), Stop> {
        let unreadable = |error: std::io::Error| Stop::Unreadable(error.to_string());
        let file = regular::open(path).map_err(unreadable)?;
        let before = file.metadata().map_err(unreadable)?;
        let mut number = 0u64;
        letters(&file, &mut |letter| {
            number += 1;
            let filed = Filed {
                date: Some(letter.received),
                flags: self.flags(letter.flags, letter.keywords),
                ..Filed::default()
            };
            let label = format!("{}: message {number}", path.display());
            self.hand_over(filed, letter.body, label, row)?;
            let (at, of) = (letter.until >> 20, before.len() >> 20);
            let added = row.added;
            let shown = format_args!("{}: {added} messages, {at} of {of} MB", row.mailbox);
            self.console.pass(shown);
            Ok::<(), Stop>(())
        })?;
        let after = file.metadata().map_err(unreadable)?;
        if (before.len(), before.mtime()) != (after.len(), after.mtime()) {
            return Err(Stop::Unreadable(
                "somebody wrote to it meanwhile; import it again".to_owned(),
            ));
        }
        Ok(())
    }

    fn maildir(&mut self, path: &Path, plan: &Plan, row: &mut Row) -> Result<(), Stop> {
        let all = maildir_files(path)?;
        for (at, message) in all.iter().enumerate() {
            if let Some(to) = plan.leads_out(&message.path) {
                let why = led_out(&message.path, &to);
                self.console.complain(format_args!("left out: {why}"));
                continue;
            }
            let flags = self.flags(message.flags, message.keywords.clone());
            self.file(&message.path, &|file, _| modified(file), flags, row)?;
            self.show(at + 1, all.len(), row);
        }
        Ok(())
    }

    fn files(&mut self, files: &[PathBuf], row: &mut Row) -> Result<(), Stop> {
        for (at, path) in files.iter().enumerate() {
            let date = |file: &File, head: &[u8]| dates::received(head).or_else(|| modified(file));
            let flags = self.flags(SystemFlags::NONE, Vec::new());
            self.file(path, &date, flags, row)?;
            self.show(at + 1, files.len(), row);
        }
        Ok(())
    }

    fn show(&mut self, at: usize, of: usize, row: &Row) {
        let shown = format_args!("{}: {at} of {of} messages", row.mailbox);
        self.console.pass(shown);
    }

    fn flags(&self, system: SystemFlags, keywords: Vec<crate::mail::Keyword>) -> Flags {
        let seen = if self.wanted.seen {
            SystemFlags::SEEN
        } else {
            SystemFlags::NONE
        };
        Flags {
            system: system.with(seen),
            keywords,
        }
    }

    /// A file that is a message; one that cannot be opened is told and left out.
    fn file(
        &mut self,
        path: &Path,
        date: &dyn Fn(&File, &[u8]) -> Option<i64>,
        flags: Flags,
        row: &mut Row,
    ) -> Result<(), Stop> {
        let opened = regular::open(path).map_err(Error::from).and_then(|file| {
            let mut body = unpacked_file(file.try_clone()?)?;
            let head = dates::head(&mut body)?;
            let date = date(&file, &head);
            body.rewind()?;
            Ok((body, date))
        });
        let (mut body, date) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.console
                    .complain(format_args!("{}: {error}", path.display()));
                row.refused += 1;
                return Ok(());
            }
        };
        let filed = Filed {
            date,
            flags,
            ..Filed::default()
        };
        self.hand_over(filed, &mut body, path.display().to_string(), row)
    }

    fn hand_over(
        &mut self,
        filed: Filed,
        from: &mut dyn Read,
        label: String,
        row: &mut Row,
    ) -> Result<(), Stop> {
        self.visit.file(filed, from)?;
        self.labels.push_back(label);
        if self.visit.is_full() {
            self.commit(row)?;
        }
        Ok(())
    }

    fn commit(&mut self, row: &mut Row) -> Result<(), Refused> {
        for outcome in self.visit.commit()? {
            let label = self.labels.pop_front().unwrap_or_default();
            match outcome {
                Outcome::Added => row.added += 1,
                Outcome::Stripped => {
                    row.added += 1;
                    self.console.complain(format_args!(
                        "{label}: without its keywords, as the mailbox has too many"
                    ));
                }
                Outcome::Known => row.known += 1,
                Outcome::Refused(why) => {
                    row.refused += 1;
                    self.console.complain(format_args!("{label}: {why}"));
                }
            }
        }
        Ok(())
    }
}

fn modified(file: &File) -> Option<i64> {
    file.metadata().ok().map(|metadata| metadata.mtime())
}

fn line(row: &Row) -> String {
    let mut line = format!("{}: {} messages of {}", row.mailbox, row.added, row.source);
    if row.known > 0 {
        line.push_str(&format!(", {} were there already", row.known));
    }
    if row.refused > 0 {
        line.push_str(&format!(", {} could not be taken", row.refused));
    }
    line
}
