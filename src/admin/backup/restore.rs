//! `dovelet restore`.

use super::place::Place;
use super::save::names;
use crate::admin::console::{Console, Exit};
use crate::admin::intact::{Look, is_intact};
use crate::admin::options::{Options, load};
use crate::admin::replica::fault;
use crate::admin::visit::{End, forget_gone, patient, visiting};
use crate::mail::{Flags, Guid, Keyword, MailboxName, Uid, UidSet};
use crate::server::{Filed, Outcome, Reason, Visit};
use crate::store::{Blob, BlobId, Error, Scanned, Store, beyond, origin};
use miniserde::Serialize;
use std::collections::VecDeque;
use std::path::PathBuf;

/// Whose mail is to come back, where from, and what is done where some is already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restore {
    pub(crate) user: String,
    /// Mailboxes with messages get those that they lack.
    pub(crate) merge: bool,
    /// All mailboxes come below that one.
    pub(crate) into: Option<String>,
    pub(crate) json: bool,
    pub(crate) path: PathBuf,
    /// These mailboxes; all if none is named.
    pub(crate) mailboxes: Vec<String>,
}

/// What came of a mailbox.
#[derive(Debug, Default, Serialize)]
struct Row {
    mailbox: String,
    restored: u64,
    /// Messages that were there already.
    known: u64,
    /// Messages of the backup that were there and are not any more.
    missing: u64,
    refused: u64,
    /// It is left as it is.
    occupied: bool,
}

/// Restores. Ends with `BadData` if not all is there now.
pub(crate) fn run(wanted: &Restore, options: &Options, console: &mut Console<'_>) -> Exit {
    let done = load(options).map_err(End::from).and_then(|config| {
        let patient = patient(&wanted.user, &config)?;
        let named = names(&wanted.mailboxes)?;
        let into = wanted
            .into
            .as_ref()
            .map(|into| names(std::slice::from_ref(into)));
        let into = into.transpose()?.and_then(|mut into| into.pop());
        let mut place = Place::open(&wanted.path)?;
        let mut there = place.store.mailboxes().map_err(fault)?;
        crate::mail::sort(&mut there);
        if let Some(missing) = named.iter().find(|name| !there.contains(name)) {
            let what = format!("the backup has no mailbox {missing}");
            return Err(End::new(Exit::NoInput, what));
        }
        let all = if named.is_empty() {
            there
        } else {
            named.clone()
        };
        forget_gone(&patient, &config)?;
        visiting(&patient, &config, |visit| {
            let mut restorer = Restorer {
                wanted,
                into: into.as_ref(),
                visit,
                store: &mut *place.store,
                console,
                labels: VecDeque::new(),
            };
            let mut whole = true;
            for name in &all {
                whole &= match restorer.mailbox(name) {
                    // The others come back, unless the disk or the server failed.
                    Err(end) if end.exit == Exit::Failure => {
                        let why = format_args!("{name}: {}", end.text);
                        restorer.console.complain(why);
                        false
                    }
                    restored => restored?,
                };
            }
            if into.is_none() {
                restorer.rest(&all, named.is_empty())?;
            }
            Ok(match whole {
                true => Exit::Success,
                false => Exit::BadData,
            })
        })
    });
    done.unwrap_or_else(|end| end.tell(console))
}

struct Restorer<'a, 'c> {
    wanted: &'a Restore,
    into: Option<&'a MailboxName>,
    visit: &'a mut Visit,
    store: &'a mut dyn Store,
    console: &'a mut Console<'c>,
    /// UIDs of messages that were handed over and not filed yet.
    labels: VecDeque<Uid>,
}

/// A mailbox of the backup.
struct Saved {
    name: MailboxName,
    to: MailboxName,
    scanned: Scanned,
    beyond: beyond::Beyond,
}

impl Saved {
    /// Flags of a message, by name.
    fn flags(&self, uid: Uid, blob: &BlobId) -> Flags {
        let lettered = self.scanned.state.keywords.iter().enumerate();
        let lettered = lettered.filter(|(at, _)| *at < 26 && blob.letters >> at & 1 == 1);
        let mut keywords: Vec<Keyword> = lettered.filter_map(|(_, k)| k.clone()).collect();
        let more = self.beyond.iter().filter(|(_, uids)| uids.contains(uid));
        keywords.extend(more.map(|(keyword, _)| keyword.clone()));
        Flags {
            system: blob.flags,
            keywords,
        }
    }
}

fn guid(blob: &BlobId) -> Guid {
    Guid::of(origin(&blob.name).as_bytes())
}

/// Opens a message for reading. Errors: `Corrupt` if it is not as long as it was when it was saved, or its octets have
/// another checksum than its name tells; old backups have none.
fn open(store: &mut dyn Store, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
    match is_intact(store, name, blob, Look::Octets)? {
        true => store.open(name, blob),
        false => Err(Error::Corrupt {
            what: "the message in the backup",
        }),
    }
}

impl Restorer<'_, '_> {
    /// False if not all of it is there now.
    fn mailbox(&mut self, name: &MailboxName) -> Result<bool, End> {
        let to = match self.into {
            None => name.clone(),
            Some(into) => MailboxName::new(&format!("{into}/{name}")).map_err(|_| {
                let what = format!("{into}/{name} is no name of a mailbox");
                End::new(Exit::Failure, what)
            })?,
        };
        let scanned = self.store.scan(name).map_err(fault)?;
        let lost = self.lost(name, &scanned)?;
        let directory = self.store.directory(name).map_err(fault)?;
        let saved = Saved {
            name: name.clone(),
            to,
            scanned,
            beyond: beyond::read(&directory).map_err(fault)?,
        };
        let mut row = Row {
            mailbox: saved.to.to_string(),
            refused: lost,
            ..Row::default()
        };
        if self.into.is_some() || !self.as_it_was(&saved, &mut row)? {
            match self.into.is_some() || self.wanted.merge {
                true => self.merge(&saved, &mut row)?,
                false => row.occupied = true,
            }
        }
        if !row.occupied {
            self.annotate(Some(name), Some(&saved.to))?;
        }
        self.tell(&row);
        Ok(row.missing == 0 && row.refused == 0 && !row.occupied)
    }

    /// Tells of messages that the list of the backup has and whose files are not there. Returns how many.
    fn lost(&mut self, name: &MailboxName, scanned: &Scanned) -> Result<u64, End> {
        let there: UidSet = scanned.found.iter().filter_map(|found| found.uid).collect();
        let lost = self.store.listed(name).map_err(fault)?.difference(&there);
        for uid in lost.iter() {
            self.console.complain(format_args!(
                "{name}: UID {uid}: the backup lists it, and its file is not there"
            ));
        }
        Ok(lost.count())
    }

    /// Has the mailbox be the one of the backup. False if it is another, or messages that it lacks are to come
    /// under new UIDs.
    fn as_it_was(&mut self, saved: &Saved, row: &mut Row) -> Result<bool, End> {
        let state = &saved.scanned.state;
        let founded = self.visit.found(&saved.to, state.uid_validity, state.guid);
        let first = match founded {
            Ok(first) => first,
            Err(refused) if refused.reason == Reason::Exists => return Ok(false),
            Err(refused) => return Err(refused.into()),
        };
        if first > Uid::MIN {
            self.compare(saved, first, row)?;
            if row.missing > 0 && self.wanted.merge {
                (row.known, row.missing) = (0, 0);
                return Ok(false);
            }
        }
        let left = |uid: &Uid| *uid >= first;
        self.file(saved, &left, true, row)?;
        let aliases = saved.scanned.aliases.iter().filter(|(uid, _)| left(uid));
        let uidls = aliases.filter_map(|(uid, words)| {
            let word = words.split(' ').find_map(|word| word.strip_prefix('P'))?;
            Some((*uid, word.to_owned()))
        });
        let uidls: Vec<(Uid, String)> = uidls.collect();
        self.visit.keep_uidls(&uidls)?;
        self.visit.finish(state.uid_next)?;
        Ok(true)
    }

    /// Counts the messages of the backup with lower UIDs, which are there or were.
    fn compare(&mut self, saved: &Saved, first: Uid, row: &mut Row) -> Result<(), End> {
        let (_, there) = self.visit.look(&saved.to)?;
        let (mut lower, mut present, mut same) = (0, 0, 0);
        for found in &saved.scanned.found {
            let Some(uid) = found.uid.filter(|uid| *uid < first) else {
                continue;
            };
            lower += 1;
            let at = there.binary_search_by_key(&uid, |listing| listing.uid).ok();
            if let Some(listing) = at.and_then(|at| there.get(at)) {
                present += 1;
                same += u64::from(listing.guid() == guid(&found.blob));
            }
        }
        // A format that makes GUIDs of the octets has none of those in the backup.
        row.known = if same == 0 { present } else { same };
        row.missing = lower - row.known;
        Ok(())
    }

    /// Adds what the mailbox lacks.
    fn merge(&mut self, saved: &Saved, row: &mut Row) -> Result<(), End> {
        self.visit.go_into(&saved.to, true)?;
        self.file(saved, &|_| true, false, row)
    }

    /// Hands messages over, under their UIDs or under new ones.
    fn file(
        &mut self,
        saved: &Saved,
        wanted: &dyn Fn(&Uid) -> bool,
        under_uids: bool,
        row: &mut Row,
    ) -> Result<(), End> {
        let of = saved.scanned.found.len();
        for (at, found) in saved.scanned.found.iter().enumerate() {
            let Some(uid) = found.uid else {
                let (name, file) = (&saved.name, &found.blob.name);
                self.console.complain(format_args!(
                    "{name}: the list of the backup does not have {file}, so nobody knows whether it is whole"
                ));
                row.refused += 1;
                continue;
            };
            if !wanted(&uid) {
                continue;
            }
            let mut blob = match open(self.store, &saved.name, &found.blob) {
                Ok(blob) => blob,
                Err(error) => {
                    let name = &saved.name;
                    self.console
                        .complain(format_args!("{name}: UID {uid}: {error}"));
                    row.refused += 1;
                    continue;
                }
            };
            let date = blob.internal_date;
            let filed = Filed {
                uid: Some(uid).filter(|_| under_uids),
                guid: Some(guid(&found.blob)),
                saved: Some(crate::store::saved(&found.blob.name).unwrap_or(date)),
                date: Some(date),
                flags: saved.flags(uid, &found.blob),
            };
            self.visit.file(filed, &mut blob.body)?;
            self.labels.push_back(uid);
            if self.visit.is_full() {
                self.commit(row)?;
            }
            let shown = format_args!("{}: {at} of {of} messages", row.mailbox);
            self.console.pass(shown);
        }
        self.commit(row)
    }

    fn commit(&mut self, row: &mut Row) -> Result<(), End> {
        for outcome in self.visit.commit()? {
            let uid = self.labels.pop_front().map_or(0, Uid::number);
            let mailbox = &row.mailbox;
            match outcome {
                Outcome::Added => row.restored += 1,
                Outcome::Stripped => {
                    row.restored += 1;
                    self.console.complain(format_args!(
                        "{mailbox}: UID {uid} without its keywords, as the mailbox has too many"
                    ));
                }
                Outcome::Known => row.known += 1,
                Outcome::Refused(why) => {
                    self.console
                        .complain(format_args!("{mailbox}: UID {uid}: {why}"));
                    row.refused += 1;
                }
            }
        }
        Ok(())
    }

    /// Annotations that a mailbox, or (`None`) the account, does not have come back.
    fn annotate(
        &mut self,
        from: Option<&MailboxName>,
        to: Option<&MailboxName>,
    ) -> Result<(), End> {
        let mut entries = self.store.annotations(from).map_err(fault)?;
        if entries.is_empty() {
            return Ok(());
        }
        let known = self.visit.annotations(to)?;
        entries.retain(|(name, _)| !known.iter().any(|(own, _)| own == name));
        match entries.is_empty() {
            true => Ok(()),
            false => Ok(self.visit.annotate(to, entries)?),
        }
    }

    /// Subscriptions and uses that nobody gave to another mailbox since; those of all, or of these mailboxes.
    fn rest(&mut self, names: &[MailboxName], all: bool) -> Result<(), End> {
        let known = self.visit.account()?;
        let is_meant = |name: &MailboxName| all || names.contains(name);
        for name in self.store.subscriptions().map_err(fault)? {
            if is_meant(&name) && !known.subscriptions.contains(&name) {
                self.visit.subscribe(&name)?;
            }
        }
        let mut uses = self.store.special_uses().map_err(fault)?;
        uses.retain(|(special_use, name)| {
            let said = known.special_uses.iter().any(|(own, _)| own == special_use);
            is_meant(name) && !said
        });
        if !uses.is_empty() {
            self.visit.set_special_uses(&uses)?;
        }
        match all {
            true => self.annotate(None, None),
            false => Ok(()),
        }
    }

    fn tell(&mut self, row: &Row) {
        if self.wanted.json {
            self.console.say(miniserde::json::to_string(row));
            return;
        }
        let mailbox = &row.mailbox;
        if row.occupied {
            self.console.complain(format_args!(
                "{mailbox} has other messages and is left as it is: --merge adds what it lacks, \
                 --into BOX restores below another mailbox"
            ));
            return;
        }
        let mut line = format!("{mailbox}: {} messages restored", row.restored);
        for (count, what) in [
            (row.known, "were there"),
            (row.refused, "could not be taken"),
            (
                row.missing,
                "are not there any more (--merge brings them back under new UIDs)",
            ),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        self.console.say(line);
    }
}
