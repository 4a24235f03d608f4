//! Lines that a log lacks of messages which came alone to an mdbox: they are acknowledged when their frames are durable,
//! which tell all that the lines do (see `arrival`), and a power cut, or a process that is killed, may take the lines.
//!
//! No file of messages begins before all lines of the one before are durable, and lines stand in the order of UIDs. So
//! the frames of the last file with UIDs that a log says nothing of are those that it lacks; they are looked for when it
//! is opened for the first time.

use super::arrival::{Arrival, Identity, is_whole};
use super::files::{Files, Side};
use super::framing::MAILBOX;
use super::layout::mailbox_name;
use super::line::{self, Line};
use super::log::Log;
use super::record::{Place, Record};
use super::root::{Root, lock};
use super::walk::walk;
use crate::mail::{MailboxName, SystemFlags, Uid};
use crate::store::Error;
use crate::store::side::disk;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;

/// What a file of messages tells of each mailbox: the highest UID, and what it was called when that came.
pub(super) type Arrivals = HashMap<Identity, (Uid, Option<MailboxName>)>;

/// What frames say of messages that a log lacks.
#[derive(Default)]
struct Missing {
    found: BTreeMap<Uid, (Record, SystemFlags)>,
    /// The highest UID of a frame that is not whole, which nobody was told of.
    torn: Option<Uid>,
}

impl Root {
    /// Has a log that is opened say what it said before a power cut. Errors: as of [`Root::restore`]; whoever went on
    /// would give UIDs again.
    pub(super) fn compare(&self, name: &MailboxName, log: &Log) -> Result<(), Error> {
        let mut arrivals = lock(&self.arrivals);
        let arrivals = arrivals.get_or_insert_with(|| {
            self.arrived().unwrap_or_else(|error| {
                let path = self.path.display();
                log::error!("{path}: the last file of messages cannot be read: {error}");
                Arrivals::new()
            })
        });
        if arrivals.is_empty() {
            return Ok(());
        }
        let (Some(mailbox), given) = log.tail()? else {
            return Ok(());
        };
        let Some((highest, _)) = arrivals.get(&mailbox) else {
            return Ok(());
        };
        // Who wrote its last lines was killed before they were durable, perhaps.
        log.loosen();
        if given <= Some(*highest) {
            self.restore(name, log, mailbox)?;
        }
        arrivals.remove(&mailbox);
        Ok(())
    }

    /// The last file of messages that come.
    fn last_file(&self) -> Result<Option<(u32, File)>, Error> {
        let files = Files::looked_at(&self.path, self.alternate.as_deref());
        let mut numbers = files.numbers()?.into_iter().rev();
        let last = numbers.find(|number| files.side(*number) == Side::Primary);
        match last.map(|number| (number, files.open(number))) {
            None | Some((_, Err(Error::NoSuchMessage))) => Ok(None),
            Some((number, file)) => Ok(Some((number, file?))),
        }
    }

    fn arrived(&self) -> Result<Arrivals, Error> {
        let mut arrivals = Arrivals::new();
        let Some((_, file)) = self.last_file()? else {
            return Ok(arrivals);
        };
        walk(&file, &mut |framed| {
            if let Some((arrival, _)) = Arrival::of(&framed.metadata) {
                let name = || framed.metadata.get(MAILBOX).and_then(mailbox_name);
                let own = arrivals
                    .entry(arrival.mailbox)
                    .or_insert_with(|| (arrival.uid, name()));
                if own.0 < arrival.uid {
                    *own = (arrival.uid, name());
                }
            }
            Ok(true)
        })?;
        Ok(arrivals)
    }

    /// What frames say of messages that a log lacks, and the file that they are in.
    fn missing(&self, log: &Log, mailbox: Identity) -> Result<Option<(Missing, File)>, Error> {
        let Some((number, file)) = self.last_file()? else {
            return Ok(None);
        };
        let (given, told) = log.given()?;
        let mut missing = Missing::default();
        walk(&file, &mut |framed| {
            let Some((arrival, sum)) = Arrival::of(&framed.metadata) else {
                return Ok(true);
            };
            let uid = arrival.uid;
            if arrival.mailbox != mailbox || given > Some(uid) || told.contains(uid) {
                return Ok(true);
            }
            if !is_whole(&file, framed, sum)? {
                missing.torn = missing.torn.max(Some(uid));
                return Ok(true);
            }
            let place = Place {
                file: number,
                offset: framed.start,
            };
            let record = Record {
                saved: arrival.saved,
                ..Record::of_framed(framed, uid, Some(place))
            };
            // Where two have one UID the first was acknowledged to nobody.
            missing.found.insert(uid, (record, arrival.flags));
            Ok(true)
        })?;
        let any = !missing.found.is_empty() || missing.torn.is_some();
        Ok(any.then_some((missing, file)))
    }

    /// Puts lines that a log lacks. Durable, unless the log cannot be written now. Errors: the file of messages cannot be
    /// synced.
    fn restore(&self, name: &MailboxName, log: &Log, mailbox: Identity) -> Result<(), Error> {
        let (missing, file) = match self.missing(log, mailbox) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error) => {
                let name = name.of(&self.path);
                log::error!("{name}: what its log lacks, perhaps, cannot be read: {error}");
                return Ok(());
            }
        };
        // Who wrote them was perhaps killed before it did that.
        disk::sync_data(&file)?;
        for (uid, (record, flags)) in &missing.found {
            let record = record.to_string();
            log.put_filed((*uid, Line::Filed(&record, *flags, 0)), None, true)?;
        }
        if let Some(next) = missing.torn.and_then(Uid::next) {
            log.put(Line::Next(next))?;
        }
        let count = missing.found.len();
        let name = name.of(&self.path);
        log::warn!("{name}: its log lacked {count} messages, which have their UIDs in their file");
        if let Err(error) = log.sync() {
            log::error!("{name}: its log cannot be written: {error}");
        }
        Ok(())
    }

    /// Makes all durable that logs say of messages in the last file, before another one begins.
    pub(super) fn settle_arrivals(&self) -> Result<(), Error> {
        self.compare_all();
        self.sync_logs()
    }

    /// Compares the logs of mailboxes that nobody opened.
    fn compare_all(&self) {
        let left = |root: &Root| {
            let arrivals = lock(&root.arrivals);
            let names = arrivals.iter().flatten().map(|(_, own)| own.1.clone());
            names.collect::<Vec<_>>()
        };
        for name in left(self).into_iter().flatten() {
            self.compare_one(&name);
        }
        // Others have other names now, or are gone.
        if !left(self).is_empty() {
            for name in self.mailboxes().unwrap_or_default() {
                if self.is_left(&name).unwrap_or(true) {
                    self.compare_one(&name);
                }
            }
        }
        *lock(&self.arrivals) = Some(Arrivals::new());
    }

    /// True if a mailbox was not compared.
    fn is_left(&self, name: &MailboxName) -> Result<bool, Error> {
        let mailbox = Log::mailbox_at(&self.directory(name)?.join(line::FILE))?;
        let arrivals = lock(&self.arrivals);
        Ok(arrivals
            .iter()
            .flatten()
            .any(|(own, _)| Some(*own) == mailbox))
    }

    fn compare_one(&self, name: &MailboxName) {
        let log = self.directory(name).map(|own| own.join(line::FILE));
        if !log.is_ok_and(|path| path.exists()) {
            return;
        }
        if let Err(error) = self.log(name) {
            log::error!("{}: {error}", name.of(&self.path));
        }
    }
}
