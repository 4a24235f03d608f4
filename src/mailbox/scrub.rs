//! Reading messages for no other purpose than to see whether they are still what they were.
//!
//! A scrub goes in slices: each begins where the last one ended, also that of another process, and the index
//! remembers where that is. Whoever asks for them decides how fast it goes; no thread waits in between, and
//! nothing is read if nobody asks.

use super::report::Report;
use super::{Access, Account, Error, Rows, Want, fault, learn};
use crate::index::Cached;
use crate::mail::{MailboxId, MailboxName, Uid, UidSet};
use crate::store::{Blob, stored_octets};

/// A slice ends with the message that has it read so many octets,
const SLICE_OCTETS: u64 = 4 << 20;
/// or so many messages.
const SLICE_MESSAGES: u32 = 256;

/// What is known of a message that was read before.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    octets: Option<u64>,
    checksum: Option<u32>,
}

/// What is wrong with a message.
struct Finding {
    verdict: &'static str,
    why: String,
}

impl Finding {
    fn new(verdict: &'static str, why: impl Into<String>) -> Finding {
        Finding {
            verdict,
            why: why.into(),
        }
    }
}

#[derive(Default)]
struct Slice {
    messages: u32,
    octets: u64,
}

impl Slice {
    fn is_full(&self) -> bool {
        self.messages >= SLICE_MESSAGES || self.octets >= SLICE_OCTETS
    }
}

impl Account {
    /// Reads the next messages of the account, and tells `report` of each with which something is wrong, and then
    /// of how much it read. What nobody knew of a message is remembered.
    pub(super) fn scrub(&self, report: &mut dyn FnMut(Report)) -> Result<(), Error> {
        let (at, from) = self.scrubbed_to()?;
        let mut slice = Slice::default();
        for (id, name) in self.mailboxes_by_number(at)? {
            let first = Some(from).filter(|_| id.0 == at).unwrap_or(Uid::MIN);
            let next = match self.scrub_mailbox(&name, first, &mut slice, report) {
                Ok(next) => next,
                // It went, or got another name and is found by that the next time.
                Err(Error::NoSuchMailbox) => None,
                // The comparison that came before told.
                Err(error) if error.is_of_one() => None,
                Err(error) => return Err(error),
            };
            if let Some(next) = next {
                return self.end_slice(&slice, Some((id, next)), report);
            }
        }
        self.end_slice(&slice, None, report)
    }

    fn mark(&self) -> String {
        format!("scrub of {}", self.0.id.number())
    }

    /// The mailbox in which the next slice begins, by its number, and where in it.
    fn scrubbed_to(&self) -> Result<(u32, Uid), Error> {
        let reading = fault("reading the index");
        let reader = self.0.host.index.read().map_err(&reading)?;
        let at = reader.mark(&self.mark()).map_err(&reading)?.unwrap_or(0);
        let (mailbox, uid) = (at >> 32, at & u64::from(u32::MAX));
        let number = |half: u64| u32::try_from(half).unwrap_or(0);
        Ok((number(mailbox), Uid::new(number(uid)).unwrap_or(Uid::MIN)))
    }

    fn end_slice(
        &self,
        slice: &Slice,
        next: Option<(MailboxId, Uid)>,
        report: &mut dyn FnMut(Report),
    ) -> Result<(), Error> {
        let place = |(id, uid): (MailboxId, Uid)| u64::from(id.0) << 32 | u64::from(uid.number());
        let at = next.map_or(0, place);
        self.0.host.write(|w| w.set_meta(&self.mark(), at))?;
        report(Report::Scrubbed {
            messages: slice.messages,
            octets: slice.octets,
            ended: next.is_none(),
        });
        Ok(())
    }

    /// From that number on, ascending.
    fn mailboxes_by_number(&self, from: u32) -> Result<Vec<(MailboxId, MailboxName)>, Error> {
        // Of what is absent the comparison that came before told.
        let names = self.names_there(&mut Vec::new())?;
        let reading = fault("reading the index");
        let reader = self.0.host.index.read().map_err(&reading)?;
        let mut all = Vec::new();
        for name in names {
            let id = reader.mailbox(self.0.id, &name).map_err(&reading)?;
            all.extend(id.filter(|id| id.0 >= from).map(|id| (id, name)));
        }
        crate::mail::sort_by(&mut all, |(a, _), (b, _)| a.0.cmp(&b.0));
        Ok(all)
    }

    /// Returns where the slice ended, `None` behind the last message.
    fn scrub_mailbox(
        &self,
        name: &MailboxName,
        from: Uid,
        slice: &mut Slice,
        report: &mut dyn FnMut(Report),
    ) -> Result<Option<Uid>, Error> {
        let view = self.select(name, Access::ReadOnly)?;
        let rest = view.uids().intersection(&UidSet::range(from, Uid::MAX));
        // Of what is known the checksum is read, too.
        let want = Want {
            whole: true,
            ..Want::default()
        };
        let mut rows = view.fetch(rest, want);
        while !slice.is_full() {
            if !rows.advance()? {
                return Ok(None);
            }
            slice.messages += 1;
            for Finding { verdict, why } in rows.examine(&mut slice.octets)? {
                let (uid, file) = (rows.uid().number(), rows.place());
                if verdict == "repaired" {
                    log::info!("{name}: UID {uid}: {verdict}: {why} ({file})");
                } else {
                    log::error!("{name}: UID {uid}: {verdict}: {why} ({file})");
                }
                report(Report::Message {
                    mailbox: name.to_string(),
                    uid,
                    verdict: verdict.to_owned(),
                    why,
                    file,
                });
            }
        }
        Ok(rows.uid().next())
    }
}

impl Rows {
    /// Where the octets of the row's message are, for a person.
    fn place(&mut self) -> String {
        let blob = self.name().map(super::append::blob);
        let store = self.account.0.store();
        match (blob, store) {
            (Ok(blob), Ok(store)) => store.whereabouts(&self.name, &blob).display().to_string(),
            _ => self.name.to_string(),
        }
    }

    /// Reads the row's message. Returns what is wrong with it, and what was. Errors: those that are not the
    /// message's own.
    fn examine(&mut self, octets: &mut u64) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let mut opened = self.open();
        if opened.as_ref().err() == Some(&Error::Denied) && self.make_readable() {
            opened = self.open();
            if opened.is_ok() {
                findings.push(Finding::new("repaired", "nobody was allowed to read it"));
            }
        }
        let read = opened.and_then(|blob| self.read_through(blob, octets));
        match read {
            Ok((cached, stored)) => findings.extend(self.judge(&cached, stored)?),
            Err(Error::Expunged) => findings.extend(self.missed()?),
            Err(error) if error.is_of_one() => {
                let why = match error {
                    Error::Corrupt => "it is not what was stored, or not there",
                    other => other.reason(),
                };
                findings.push(Finding::new("unreadable", why));
            }
            Err(error) => return Err(error),
        }
        Ok(findings)
    }

    /// Of a message that was not found: it went meanwhile, or without anybody knowing, which is looked for; or, where
    /// what is not found does not count as gone, that is what is wrong with it.
    fn missed(&mut self) -> Result<Option<Finding>, Error> {
        self.shared.doubt();
        let store = self.account.0.store()?;
        // Elsewhere a look at the mailbox finds that it is gone.
        let stays = store.is_exclusive(&self.name) && !store.knows_all_files(&self.name);
        drop(store);
        if !stays {
            return Ok(None);
        }
        let reading = fault("reading the index");
        let reader = self.shared.host.index.read().map_err(&reading)?;
        let there = reader.name(self.shared.id, self.uid()).map_err(&reading)?;
        Ok(there.map(|_| Finding::new("unreadable", "its file is not there")))
    }

    fn make_readable(&mut self) -> bool {
        let blob = self.name().map(super::append::blob);
        let store = self.account.0.store();
        match (blob, store) {
            (Ok(blob), Ok(store)) => store.make_readable(&self.name, &blob).is_ok(),
            _ => false,
        }
    }

    /// Returns what is to be remembered of a message, and its octets as stored.
    fn read_through(&self, mut blob: Blob, octets: &mut u64) -> Result<(Cached, u64), Error> {
        let stored = blob.body.length();
        *octets = octets.saturating_add(stored);
        let limits = self.shared.host.limits.mime;
        let read = learn::from_body(&mut blob.body, blob.internal_date, &limits);
        let cached = read.map_err(|error| self.unreadable(error))?;
        Ok((cached, stored))
    }

    /// Compares what was read with what is known, and remembers it.
    fn judge(&mut self, read: &Cached, stored: u64) -> Result<Option<Finding>, Error> {
        let uid = self.uid();
        let keys = self.ahead.keys(uid);
        let known = Known {
            octets: keys.map(|keys| keys.octets),
            checksum: keys.and_then(|keys| keys.checksum),
        };
        let (octets, checksum) = {
            let keys = read.facts().keys;
            (keys.octets, keys.checksum)
        };
        let finding = match known {
            Known {
                octets: Some(had), ..
            } if had != octets => Some(Finding::new(
                "damaged",
                format!("it had {had} octets and has {octets}"),
            )),
            Known {
                checksum: Some(had),
                ..
            } if Some(had) != checksum => Some(Finding::new(
                "damaged",
                "its octets are others than they were",
            )),
            _ => self.misnamed(octets, stored)?,
        };
        if finding.as_ref().is_some_and(|f| f.verdict == "damaged") {
            // Clients get what is there; what it was stays known, until it is expunged.
            let found = read.clone().checked(known.checksum);
            self.remember(|w, id| w.set_cached(id, uid, &found))?;
        } else if known.checksum.is_none() {
            let learned = read.facts().keys;
            let mut keys = self.ahead.keys(uid).unwrap_or(learned);
            keys.checksum = checksum;
            let row = keys.row();
            self.remember(|w, id| w.set_keys(id, uid, &row))?;
        }
        Ok(finding)
    }

    /// Octets that the name of the file tells and the file does not have.
    fn misnamed(&mut self, octets: u64, stored: u64) -> Result<Option<Finding>, Error> {
        let name = super::append::blob(self.name()?);
        let wire = self.account.0.store()?.wire_octets(&name);
        let told = [(stored_octets(&name.name), stored), (wire, octets)];
        let wrong = told
            .into_iter()
            .find(|(told, has)| told.is_some_and(|told| told != *has));
        Ok(wrong.map(|(told, has)| {
            let told = told.unwrap_or_default();
            let why = format!(
                "its name tells of {told} octets, and it has {has}: POP3 and STATUS tell the former until its name is \
                 put right (see \"dovelet help doctor\")"
            );
            Finding::new("misnamed", why)
        }))
    }

    fn remember(
        &self,
        write: impl FnOnce(&mut crate::index::Writer<'_>, MailboxId) -> Result<(), crate::index::Error>,
    ) -> Result<(), Error> {
        let (id, uid) = (self.shared.id, self.uid());
        self.shared.host.write(|w| {
            let flags = w.flags(id, uid.number() >> 8)?;
            match flags.present.has((uid.number() & 255) as u8) {
                true => write(w, id),
                // Expunged meanwhile.
                false => Ok(()),
            }
        })
    }
}
