//! What a connection is told of messages and mailboxes.

use crate::doing::Doing;
use crate::fact::Sight;
use crate::model::Model;
use crate::response::Fetched;
use crate::text::id_in;
use crate::truth::Checked;

impl Model<'_> {
    pub(crate) fn fetched(&mut self, fetched: &Fetched<'_>) -> Checked {
        if fetched.by_uid != self.kind.uid_only {
            return Err("FETCH and UIDFETCH in one session".to_owned());
        }
        let since = self.since();
        let resyncs = self.resync_fetched(fetched)?;
        let is_new = fetched.uid.is_some_and(|uid| !self.view.has(uid));
        let message = match (fetched.by_uid || resyncs, fetched.uid) {
            (true, Some(uid)) => self.view.uid_fetched(uid)?,
            (true, None) => return Err("FETCH without UID".to_owned()),
            (false, uid) => self.view.fetched(fetched.number, uid)?,
        };
        let before = *message;
        if let Some(mod_seq) = fetched.mod_seq {
            message.note_mod_seq(mod_seq)?;
        }
        message.flags = fetched.flags.or(message.flags);
        let late = |mod_seq| is_new && !resyncs && mod_seq <= self.resynchronised;
        if fetched.mod_seq.is_some_and(late) {
            return Err(format!(
                "{fetched:?} was not told when the client came again"
            ));
        }
        let (highest, message) = (self.complete, *message);
        if let (Some(known), Some(flags), Some(mod_seq)) =
            (before.flags, fetched.flags, fetched.mod_seq)
            && mod_seq <= highest
            && known != flags
            && !resyncs
        {
            return Err(format!(
                "({}) became ({}) at {mod_seq}, and that was not told before {highest}",
                known.words(),
                flags.words()
            ));
        }
        self.note(fetched, message.uid)?;
        let Some(uid) = message.uid else {
            return Ok(());
        };
        let header = fetched.sections.iter().find_map(|(name, octets)| {
            let header = *name == "BODY[]" || name.contains("HEADER");
            header.then(|| id_in(octets))?
        });
        let sight = Sight {
            flags: fetched.flags,
            mod_seq: fetched.mod_seq,
            id: header,
            date: fetched.date,
            size: fetched.size,
            sections: &fetched.sections,
        };
        self.truth
            .sees(self.mailbox.unwrap_or_default(), uid, &sight, since)
    }

    /// What the running command was told.
    fn note(&mut self, fetched: &Fetched<'_>, uid: Option<u32>) -> Checked {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        // RFC 7162 section 3.2.4.
        let asked = matches!(running.doing, Doing::Fetch(_)) || !self.kind.notify.is_empty();
        if self.kind.condstore && !asked && (fetched.mod_seq.is_none() || fetched.uid.is_none()) {
            return Err("flags without UID and MODSEQ".to_owned());
        }
        running.mod_seq = running.mod_seq.max(fetched.mod_seq.unwrap_or(0));
        if let Some(uid) = uid {
            let told = running.told.entry(uid).or_default();
            // Without flags it answers a silent STORE: what was told before it is over.
            told.flags = match fetched.mod_seq {
                Some(_) if !matches!(running.doing, Doing::Fetch(_)) => fetched.flags,
                _ => fetched.flags.or(told.flags),
            };
            told.mod_seq = fetched.mod_seq.or(told.mod_seq);
            let sections = fetched.sections.iter().map(|(name, _)| (*name).to_owned());
            told.items.extend(sections);
            told.items
                .extend(fetched.date.map(|_| "INTERNALDATE".to_owned()));
            told.items
                .extend(fetched.size.map(|_| "RFC822.SIZE".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn code(&mut self, name: &str, value: &str) -> Checked {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|e| format!("{name} {value}: {e}"))
        };
        let (mailbox, since) = (self.mailbox.unwrap_or_default(), self.since());
        let selects = self.running.as_ref().filter(|running| running.opened);
        match (name, selects.is_some()) {
            ("CLOSED", false) => {
                self.keep();
                self.open();
            }
            ("COPYUID", _) => {
                let running = self.running.as_mut();
                running.ok_or("COPYUID")?.copy_uid = Some(value.to_owned());
            }
            ("UIDVALIDITY", true) => {
                let validity = number()? as u32;
                self.truth.validity(mailbox, validity)?;
                self.validity = validity;
            }
            ("UIDNEXT", true) => self.truth.uid_next(mailbox, number()?, since)?,
            ("HIGHESTMODSEQ", selects) => {
                let highest = number()?;
                if selects && self.told_highest == 0 {
                    self.truth.highest(mailbox, highest, since)?;
                    self.resynchronised(highest);
                }
                self.note_highest(highest)?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn note_highest(&mut self, highest: u64) -> Checked {
        if highest < self.told_highest {
            let before = self.told_highest;
            return Err(format!("HIGHESTMODSEQ {highest}, it was {before}"));
        }
        self.told_highest = highest;
        if let Some(running) = &mut self.running {
            running.highest = Some(highest);
        }
        Ok(())
    }

    pub(crate) fn status(&mut self, mailbox: &str, items: &[(&str, u64)]) -> Checked {
        let since = self.since();
        let mailbox = mailbox.trim_matches('"');
        for (name, value) in items {
            match *name {
                "UIDNEXT" => self.truth.uid_next(mailbox, *value, since),
                "UIDVALIDITY" => self.truth.validity(mailbox, *value as u32),
                "HIGHESTMODSEQ" => self.truth.highest(mailbox, *value, since),
                "MESSAGES" => self.truth.count(mailbox, *value, since),
                _ => Ok(()),
            }
            .map_err(|wrong| format!("STATUS {mailbox}: {wrong}"))?;
        }
        Ok(())
    }
}
