//! What is done for an account though no client asks.

use super::host::lock;
use super::report::Report;
use super::{Account, Error, fault, mailbox_fault};
use crate::index::Summary;
use crate::mail::{DateTime, MailboxId, MailboxName, UidSet};
use crate::store::{Compaction, Selection};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// The index is compared with the store.
    Check,
    /// The index is made anew from the store.
    Rebuild,
    /// The store gives back the room of what is in no mailbox.
    Purge,
    /// Some messages are read and compared with what is known of them, behind those that were read last.
    Scrub,
    /// These messages go to the alternate directory.
    Aside(Selection),
    /// They come back from there.
    Back(Selection),
    /// The room that mailboxes take in the index is added up.
    Measure,
    /// Which fields of messages are kept in the index, and what they take: of this mailbox, or of all.
    Kept(Option<MailboxName>),
    /// These fields are forgotten; they are learned again when somebody asks for them.
    Forget(Option<MailboxName>),
}

/// Those that choose nothing, with their words.
static PLAIN: [(Care, &str); 5] = [
    (Care::Check, "check"),
    (Care::Rebuild, "rebuild"),
    (Care::Purge, "purge"),
    (Care::Scrub, "scrub"),
    (Care::Measure, "measure"),
];

impl Care {
    /// One word without tabs.
    pub(crate) fn word(&self) -> String {
        let mut all = PLAIN.iter();
        let name =
            |name: &Option<MailboxName>| name.as_ref().map_or(String::new(), |n| n.to_string());
        match self {
            Care::Kept(mailbox) => format!("kept:{}", name(mailbox)),
            Care::Forget(mailbox) => format!("forget:{}", name(mailbox)),
            Care::Aside(selection) => format!("aside:{}", numbers(selection)),
            Care::Back(selection) => format!("back:{}", numbers(selection)),
            _ => all
                .find(|(own, _)| own == self)
                .map_or("", |(_, word)| word)
                .to_owned(),
        }
    }

    pub(crate) fn named(word: &str) -> Option<Care> {
        match word.split_once(':') {
            Some(("kept", name)) => mailbox(name).map(Care::Kept),
            Some(("forget", name)) => mailbox(name).map(Care::Forget),
            Some(("aside", numbers)) => selection(numbers).map(Care::Aside),
            Some(("back", numbers)) => selection(numbers).map(Care::Back),
            _ => {
                let mut all = PLAIN.iter();
                let found = all.find(|(_, own)| *own == word);
                found.map(|(care, _)| care.clone())
            }
        }
    }
}

/// A mailbox, or all of them; `None` for what is neither.
fn mailbox(name: &str) -> Option<Option<MailboxName>> {
    match name {
        "" => Some(None),
        name => MailboxName::new(name).ok().map(Some),
    }
}

/// What is not said is empty.
fn numbers(selection: &Selection) -> String {
    let text = |number: Option<String>| number.unwrap_or_default();
    let before = text(selection.before.map(|time| time.to_string()));
    let saved = text(selection.saved_before.map(|time| time.to_string()));
    let larger = text(selection.larger.map(|octets| octets.to_string()));
    format!("{before},{saved},{larger}")
}

fn selection(numbers: &str) -> Option<Selection> {
    fn one<T: std::str::FromStr>(text: &str) -> Option<Option<T>> {
        match text {
            "" => Some(None),
            number => number.parse().ok().map(Some),
        }
    }
    let mut numbers = numbers.split(',');
    let selection = Selection {
        before: one(numbers.next()?)?,
        saved_before: one(numbers.next()?)?,
        larger: one(numbers.next()?)?,
    };
    numbers.next().is_none().then_some(selection)
}

/// Rows that are forgotten in one transaction.
const FORGOTTEN: usize = 4096;

/// As `2026-12-31`.
fn day(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    DateTime::utc(seconds).date().to_string()
}

impl Account {
    /// Does it, telling `report` of each thing that was done or looked at.
    pub(crate) fn care(&self, care: Care, report: &mut dyn FnMut(Report)) -> Result<(), Error> {
        match care {
            Care::Check | Care::Rebuild => {
                if care == Care::Rebuild {
                    self.forget_gone()?;
                }
                self.check(care == Care::Rebuild, report)?;
                self.tell_hidden(report)
            }
            Care::Purge => {
                self.names_or_tell(report)?;
                self.compact(Compaction::Purge, report)
            }
            Care::Aside(_) | Care::Back(_) if !self.has_alternate() => {
                let what = "the mail is no mdbox, or [storage] alternate is not set";
                Err(Error::Cannot(what))
            }
            Care::Aside(selection) => self.compact(Compaction::Aside(selection), report),
            Care::Back(selection) => self.compact(Compaction::Back(selection), report),
            Care::Scrub => self.scrub(report),
            Care::Measure => self.measure(report),
            Care::Kept(mailbox) => self.kept(mailbox.as_ref(), false, report),
            Care::Forget(mailbox) => self.kept(mailbox.as_ref(), true, report),
        }
    }

    /// Tells of mailboxes that are there under names of a namespace.
    fn tell_hidden(&self, report: &mut dyn FnMut(Report)) -> Result<(), Error> {
        for name in self.hidden()? {
            report(Report::Hidden {
                prefix: self.prefix_of(&name),
                mailbox: name.to_string(),
            });
        }
        Ok(())
    }

    fn has_alternate(&self) -> bool {
        let mut parts = self.0.location.parts();
        parts.any(|part| part.form.alternate.is_some())
    }

    /// Tells of each mailbox that the index knows how much room it takes there; compares nothing.
    fn measure(&self, report: &mut dyn FnMut(Report)) -> Result<(), Error> {
        let index = &self.0.host.index;
        for (name, id, summary) in self.known_mailboxes()? {
            let room = index.room(id).map_err(fault("reading the index"))?;
            report(Report::Room {
                mailbox: name.to_string(),
                messages: summary.messages,
                cached: room.cached,
                cached_octets: room.cached_octets,
                octets: room.octets,
            });
        }
        Ok(())
    }

    /// The mailboxes that the index knows, by name.
    fn known_mailboxes(&self) -> Result<Vec<(MailboxName, MailboxId, Summary)>, Error> {
        let mut names = self.names(&mut *self.0.store()?)?;
        crate::mail::sort(&mut names);
        let reading = fault("reading the index");
        let reader = self.0.host.index.read().map_err(&reading)?;
        let mut known = Vec::new();
        for name in names {
            let Some(id) = reader.mailbox(self.0.id, &name).map_err(&reading)? else {
                continue;
            };
            let summary = reader.summary(id).map_err(&reading)?;
            known.extend(summary.map(|summary| (name, id, summary)));
        }
        Ok(known)
    }

    /// Tells which fields of messages are kept, of this mailbox or of all; `forget`: they are none then.
    fn kept(
        &self,
        mailbox: Option<&MailboxName>,
        forget: bool,
        report: &mut dyn FnMut(Report),
    ) -> Result<(), Error> {
        let (host, bounds) = (&self.0.host, self.0.host.limits.bounds());
        let mut known = self.known_mailboxes()?;
        known.retain(|(name, ..)| mailbox.is_none_or(|only| only == name));
        if mailbox.is_some() && known.is_empty() {
            return Err(Error::Cannot("the index knows no mailbox of that name"));
        }
        for (name, id, _) in known {
            // Sessions have their turns in between.
            while forget && host.write(|w| w.evict(id, u64::MAX, FORGOTTEN))? {}
            let usage = host.write(|w| w.usage(self.0.id, id, bounds.now))?;
            let times = usage.times(&bounds);
            let text = |used| {
                let own = times.iter().filter(|time| time.is_used == used);
                let own = own.map(|time| format!("{} {}", time.field, day(time.asked)));
                own.collect::<Vec<_>>().join(", ")
            };
            report(Report::Kept {
                mailbox: name.to_string(),
                octets: usage.octets,
                most: bounds.mailbox_octets,
                kept: text(true),
                unused: text(false),
            });
        }
        Ok(())
    }

    /// Compares the index with the store, mailbox by mailbox, telling `report` of each.
    /// `rebuild`: what the index knows is forgotten first. Returns how many mailboxes differed.
    pub(crate) fn check(
        &self,
        rebuild: bool,
        report: &mut dyn FnMut(Report),
    ) -> Result<u32, Error> {
        let names = self.names_or_tell(report)?;
        let (mut different, mut denied) = (0, Vec::new());
        for name in &names {
            match self.check_one(name, rebuild, report) {
                // The others are looked at all the same.
                Err(Error::Denied) => denied.push(name),
                Err(error) if error.is_of_one() => report(Report::Unusable {
                    mailbox: name.to_string(),
                    why: error.reason().to_owned(),
                }),
                looked => different += u32::from(looked?),
            }
        }
        // Where none may be used, it is no mailbox that has to be put right.
        if !denied.is_empty() && denied.len() == names.len() {
            return Err(Error::Denied);
        }
        for name in denied {
            let store = self.0.store()?;
            let directory = store.directory(name);
            report(Report::Unusable {
                mailbox: name.to_string(),
                why: Error::Denied.reason_at(directory.as_deref().unwrap_or(store.root())),
            });
        }
        Ok(different)
    }

    /// As `check`, of one mailbox. Returns whether the index was different.
    fn check_one(
        &self,
        name: &MailboxName,
        rebuild: bool,
        report: &mut dyn FnMut(Report),
    ) -> Result<bool, Error> {
        let shared = self.shared(name)?;
        let mut store = self.0.store()?;
        let mut state = lock(&shared.state);
        let before = state
            .summary
            .as_ref()
            .map(|s| (s.messages, s.seen, s.highest_mod_seq));
        let known = match before {
            Some(_) => shared.known_uids()?,
            None => UidSet::new(),
        };
        if rebuild {
            shared.list(&mut state, &mut *store).ok();
            state.forget = true;
        }
        super::resync::resync(&shared, &mut state, &mut *store)?;
        let Some(after) = state.summary.as_ref() else {
            return Ok(false);
        };
        let now = (after.messages, after.seen, after.highest_mod_seq);
        let verdict = match before {
            _ if rebuild => "rebuilt",
            None => "indexed for the first time",
            Some(before) if before == now => "ok",
            Some(_) => "mended",
        };
        let there = shared.known_uids()?;
        let gone = known.difference(&there);
        let new = before.map_or(0, |_| there.difference(&known).count());
        report(Report::Mailbox {
            mailbox: name.to_string(),
            verdict: verdict.to_owned(),
            messages: after.messages,
            uid_validity: after.uid_validity.number(),
            uid_next: after.uid_next.number(),
            gone: gone.to_string(),
            new: u32::try_from(new).unwrap_or(u32::MAX),
        });
        let messages = after.messages;
        drop(state);
        let lost = store.lost(name, &gone);
        let lost = lost.map_err(mailbox_fault("looking at", &*store, name))?;
        if !lost.is_empty() {
            report(Report::Lost {
                mailbox: name.to_string(),
                uids: lost.to_string(),
            });
            // Where none is there the disk may be away.
            if rebuild && messages > 0 {
                let forgotten = store.forget_lost(name);
                forgotten.map_err(mailbox_fault("writing the log of", &*store, name))?;
            }
        }
        let away = store.away(name);
        let away = away.map_err(mailbox_fault("looking at", &*store, name))?;
        if let Some(away) = away {
            report(Report::Away {
                mailbox: name.to_string(),
                messages: away.messages,
                directory: away.directory.display().to_string(),
            });
        }
        Ok(before.is_some_and(|before| before != now))
    }
}

impl super::shared::Shared {
    /// What the index has.
    fn known_uids(&self) -> Result<UidSet, Error> {
        let reading = fault("reading the index");
        let reader = self.host.index.read().map_err(&reading)?;
        reader.uids(self.id).map_err(&reading)
    }
}
