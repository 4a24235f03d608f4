//! What is done for an account though no client asks.

use super::host::lock;
use super::report::Report;
use super::{Account, Error, fault, store_fault};
use crate::mail::UidSet;
use crate::store::{Compaction, Selection};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Care {
    /// Those that choose no messages, with their words.
    const ALL: [(Care, &'static str); 5] = [
        (Care::Check, "check"),
        (Care::Rebuild, "rebuild"),
        (Care::Purge, "purge"),
        (Care::Scrub, "scrub"),
        (Care::Measure, "measure"),
    ];

    /// One word without blanks.
    pub(crate) fn word(self) -> String {
        let mut all = Care::ALL.iter();
        match self {
            Care::Aside(selection) => format!("aside:{}", numbers(selection)),
            Care::Back(selection) => format!("back:{}", numbers(selection)),
            _ => all
                .find(|(own, _)| *own == self)
                .map_or("", |(_, word)| word)
                .to_owned(),
        }
    }

    pub(crate) fn named(word: &str) -> Option<Care> {
        match word.split_once(':') {
            Some(("aside", numbers)) => selection(numbers).map(Care::Aside),
            Some(("back", numbers)) => selection(numbers).map(Care::Back),
            _ => {
                let mut all = Care::ALL.iter();
                all.find(|(_, own)| *own == word).map(|(care, _)| *care)
            }
        }
    }
}

/// What is not said is empty.
fn numbers(selection: Selection) -> String {
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

impl Account {
    /// Does it, telling `report` of each thing that was done or looked at.
    pub(crate) fn care(&self, care: Care, report: &mut dyn FnMut(Report)) -> Result<(), Error> {
        match care {
            Care::Check => self.check(false, report).map(|_| ()),
            Care::Rebuild => self.check(true, report).map(|_| ()),
            Care::Purge => self.compact(Compaction::Purge, report),
            Care::Aside(_) | Care::Back(_) if self.0.location.form.alternate.is_none() => {
                let what = "the mail is no mdbox, or [storage] alternate is not set";
                Err(Error::Cannot(what))
            }
            Care::Aside(selection) => self.compact(Compaction::Aside(selection), report),
            Care::Back(selection) => self.compact(Compaction::Back(selection), report),
            Care::Scrub => self.scrub(report),
            Care::Measure => self.measure(report),
        }
    }

    /// Tells of each mailbox that the index knows how much room it takes there; compares nothing.
    fn measure(&self, report: &mut dyn FnMut(Report)) -> Result<(), Error> {
        let names = self.0.store()?.mailboxes();
        let mut names = names.map_err(store_fault("listing mailboxes"))?;
        crate::mail::sort(&mut names);
        let index = &self.0.host.index;
        for name in names {
            let known = index.read().and_then(|reader| {
                let id = reader.mailbox(self.0.id, &name)?;
                let summary = id.map_or(Ok(None), |id| reader.summary(id))?;
                Ok(id.zip(summary))
            });
            let Some((id, summary)) = known.map_err(fault("reading the index"))? else {
                continue;
            };
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

    /// Compares the index with the store, mailbox by mailbox, telling `report` of each.
    /// `rebuild`: what the index knows is forgotten first. Returns how many mailboxes differed.
    pub(crate) fn check(
        &self,
        rebuild: bool,
        report: &mut dyn FnMut(Report),
    ) -> Result<u32, Error> {
        let names = self
            .0
            .store()?
            .mailboxes()
            .map_err(store_fault("listing mailboxes"))?;
        let mut different = 0;
        for name in names {
            let shared = self.shared(&name)?;
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
                continue;
            };
            let now = (after.messages, after.seen, after.highest_mod_seq);
            let verdict = match before {
                _ if rebuild => "rebuilt",
                None => "indexed for the first time",
                Some(before) if before == now => "ok",
                Some(_) => "mended",
            };
            different += u32::from(before.is_some_and(|before| before != now));
            let there = shared.known_uids()?;
            let new = before.map_or(0, |_| there.difference(&known).count());
            report(Report::Mailbox {
                mailbox: name.to_string(),
                verdict: verdict.to_owned(),
                messages: after.messages,
                uid_validity: after.uid_validity.number(),
                uid_next: after.uid_next.number(),
                gone: known.difference(&there).to_string(),
                new: u32::try_from(new).unwrap_or(u32::MAX),
            });
        }
        Ok(different)
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
