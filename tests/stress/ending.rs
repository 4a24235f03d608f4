//! What must hold when a command ends.

use crate::doing::{Append, Carry, Doing, Fetch, Store};
use crate::flags::DELETED;
use crate::model::{Model, Running, copy_uid};
use crate::register::Outcome;
use crate::response::set;
use crate::truth::Checked;

impl Model<'_> {
    pub(crate) fn finished(&mut self, running: &mut Running, status: &str) -> Checked {
        if !status.starts_with("OK") && !status.starts_with("NO") {
            return Err(format!("refused: {status}"));
        }
        let ok = status.starts_with("OK");
        let (doing, begin) = (running.doing.clone(), running.begin);
        let mailbox = self.mailbox.unwrap_or_default();
        match &doing {
            Doing::Select { .. } if !ok || !running.answered => {
                return Err(format!("not selected: {status}"));
            }
            Doing::Close => {
                self.truth.end_removal(mailbox, begin);
                self.keep();
                return Ok(());
            }
            Doing::Fetch(fetch) => self.has_fetched(fetch, running, ok)?,
            Doing::Store(store) => self.has_stored(store, running, status)?,
            Doing::Expunge { only } => {
                self.truth.end_removal(mailbox, begin);
                self.has_expunged(only.as_deref(), running, ok)?;
            }
            Doing::Carry(carry) => self.has_carried(carry, running, ok)?,
            Doing::Append(append) => self.has_appended(append, running, status)?,
            Doing::Search(_) if !ok || !running.answered => {
                return Err(format!("nothing found: {status}"));
            }
            Doing::Status { .. } | Doing::Noop | Doing::Idle if !ok => {
                return Err(format!("failed: {status}"));
            }
            _ => {}
        }
        let (since, expunges) = (running.begin, running.doing.may_expunge());
        let mailbox = self.mailbox.unwrap_or_default();
        let truth = self.truth;
        let doubted = truth.is_current(mailbox, &self.view, since, expunges)?;
        for message in &mut self.view.messages {
            let doubts = message.uid.is_some_and(|uid| doubted.contains(&uid));
            // If it was gone the last time already, that is told by now.
            let late = doubts && expunges && message.doubted;
            if late && !truth.is_meddled(mailbox, message.uid) {
                return Err(format!("not told what changed: {message:?}"));
            }
            message.doubted = doubts;
        }
        Ok(())
    }

    /// All that was asked for was told.
    fn has_fetched(&mut self, fetch: &Fetch, running: &Running, ok: bool) -> Checked {
        let mailbox = self.mailbox.unwrap_or_default();
        let uids = match &fetch.uids {
            Some(uids) => uids.clone(),
            None => running.before.uids(),
        };
        if fetch.is_reading() {
            let read = |uid| {
                let told = running.told.get(&uid);
                let mut items = told.iter().flat_map(|told| &told.items);
                match ok && items.any(|item| item.starts_with("BODY[")) {
                    true => Outcome::Done,
                    false => Outcome::Unknown,
                }
            };
            self.truth.end_store(mailbox, &uids, running.begin, read);
        }
        if !ok {
            return Ok(());
        }
        for uid in uids.into_iter().filter(|uid| self.view.has(*uid)) {
            let known = running.before.get(uid).and_then(|m| m.mod_seq).unwrap_or(0);
            if fetch.since.is_some_and(|since| known <= since) {
                continue;
            }
            let told = running.told.get(&uid);
            let has = |item: &str| match (told, item) {
                (None, _) => false,
                (Some(told), "FLAGS") => told.flags.is_some(),
                (Some(told), "MODSEQ") => told.mod_seq.is_some(),
                (Some(_), "UID") => true,
                (Some(told), item) => {
                    let item = item.replace(".PEEK", "").replace("<3.20>", "<3>");
                    told.items.contains(&item)
                }
            };
            let missing = fetch.items.iter().find(|item| !has(item));
            if let Some(item) = missing.filter(|_| !self.truth.may_vanish(mailbox, uid)) {
                return Err(format!("{item} of UID {uid} is not told"));
            }
        }
        let since = fetch.since.unwrap_or(0);
        let old = running.told.iter().find(|(_, told)| {
            let mod_seq = told.mod_seq;
            mod_seq.is_some_and(|mod_seq| mod_seq <= since)
        });
        match old {
            Some((uid, told)) => Err(format!("UID {uid}: {told:?}, CHANGEDSINCE {since}")),
            None => Ok(()),
        }
    }

    fn has_stored(&mut self, store: &Store, running: &Running, status: &str) -> Checked {
        let (mailbox, ok) = (self.mailbox.unwrap_or_default(), status.starts_with("OK"));
        let modified = self.modified(store, status)?;
        self.truth
            .end_store(mailbox, &store.uids, running.begin, |uid| {
                match (modified.contains(&uid), ok) {
                    (true, _) => Outcome::NotDone,
                    (false, true) => Outcome::Done,
                    (false, false) => Outcome::Unknown,
                }
            });
        for uid in &store.uids {
            if modified.contains(uid) {
                let least = store.unchanged.unwrap_or(0) + 1;
                if let Some(message) = self.view.get_mut(*uid) {
                    message.least = message.least.max(least);
                }
            } else if ok {
                self.is_stored(store, running, *uid)?;
            } else if let Some(message) = self.view.get_mut(*uid)
                && running
                    .told
                    .get(uid)
                    .is_none_or(|told| told.flags.is_none())
            {
                message.flags = None;
            }
        }
        Ok(())
    }

    /// Nobody knows whether a STORE was done.
    fn forget_flags(&mut self, uid: u32) {
        if let Some(message) = self.view.get_mut(uid) {
            message.flags = None;
        }
    }

    /// UIDs of MODIFIED (RFC 7162 section 3.1.3), which were asked for.
    fn modified(&self, store: &Store, status: &str) -> Checked<Vec<u32>> {
        let Some((_, code)) = status.split_once("[MODIFIED ") else {
            return Ok(Vec::new());
        };
        let numbers = set(code.split(']').next().unwrap_or_default())?;
        let uids = numbers.into_iter().map(|number| match store.by_uid {
            true => Some(number),
            false => self.view.uid_of(number),
        });
        let uids: Option<Vec<u32>> = uids.collect();
        let asked = |uids: &Vec<u32>| uids.iter().all(|uid| store.uids.contains(uid));
        let uids = uids.filter(|uids| store.unchanged.is_some() && asked(uids));
        uids.ok_or_else(|| format!("not asked for: {status}"))
    }

    /// The change of one message was done, and told as it had to be.
    fn is_stored(&mut self, store: &Store, running: &Running, uid: u32) -> Checked {
        let told = running.told.get(&uid);
        let before = running.before.get(uid).copied().unwrap_or_default();
        let flags = told.and_then(|told| told.flags);
        let mod_seq = told.and_then(|told| told.mod_seq);
        let mailbox = self.mailbox.unwrap_or_default();
        if !self.view.has(uid) {
            return Ok(());
        }
        let missing = !store.silent && flags.is_none() || self.kind.condstore && mod_seq.is_none();
        // It may have been expunged in between.
        let gone = self.truth.may_vanish(mailbox, uid);
        if missing && !gone {
            return Err(format!("STORE of UID {uid} is not told"));
        }
        // What is told of itself may be older than the STORE, and no answer to it.
        let unasked = !self.kind.notify.is_empty() && (store.silent || gone);
        if let Some(flags) = flags {
            if unasked {
                self.forget_flags(uid);
                return Ok(());
            }
            let (change, others) = (store.change, store.flags);
            self.truth
                .follows(mailbox, uid, running.begin, (change, others), flags)?;
        } else if let Some(message) = self.view.get_mut(uid) {
            let flags = message.flags;
            message.flags = flags.map(|flags| flags.changed(store.change, store.flags));
        }
        let Some(unchanged) = store.unchanged else {
            return Ok(());
        };
        let idle = |flags: crate::flags::Flags| flags.changed(store.change, store.flags) == flags;
        let idle = before.flags.is_some_and(idle);
        match mod_seq {
            Some(mod_seq) if mod_seq <= unchanged && !idle => Err(format!(
                "UID {uid} is changed, and MODSEQ {mod_seq} not above {unchanged}"
            )),
            // RFC 7162 section 3.1.12: it may be done if the others changed other flags, which are told. Of
            // what is gone nothing is told.
            _ if before.mod_seq.is_some_and(|known| known > unchanged)
                && flags.is_none()
                && !gone =>
            {
                Err(format!("UID {uid} is not MODIFIED: {before:?}"))
            }
            _ => Ok(()),
        }
    }

    /// None of the messages that were deleted is left.
    fn has_expunged(&self, only: Option<&[u32]>, running: &Running, ok: bool) -> Checked {
        let mailbox = self.mailbox.unwrap_or_default();
        let meant = |uid: &u32| only.is_none_or(|only| only.contains(uid));
        let before = running.before.uids();
        for uid in before.into_iter().filter(meant).filter(|_| ok) {
            let [kept, _] = self.truth.values(mailbox, uid, DELETED, running.begin);
            if self.view.has(uid) && !kept {
                return Err(format!("UID {uid} is deleted and not expunged"));
            }
        }
        Ok(())
    }

    fn has_carried(&mut self, carry: &Carry, running: &Running, ok: bool) -> Checked {
        let mailbox = self.mailbox.unwrap_or_default();
        let pairs = match &running.copy_uid {
            None => Vec::new(),
            Some(value) => {
                let (validity, pairs) = copy_uid(value)?;
                self.truth.validity(carry.to, validity)?;
                pairs
            }
        };
        for (from, to) in &pairs {
            if !carry.uids.contains(from) {
                return Err(format!("COPYUID of {from}"));
            }
            self.truth
                .copied((mailbox, *from), (carry.to, *to), running.begin)?;
        }
        for uid in carry.uids.iter().filter(|_| ok) {
            let done = pairs.iter().any(|(from, _)| from == uid);
            if !done && !self.truth.may_vanish(mailbox, *uid) {
                return Err(format!("UID {uid} is not copied"));
            }
            if done && carry.moves && self.view.has(*uid) {
                return Err(format!("UID {uid} is moved and still there"));
            }
        }
        Ok(())
    }

    fn has_appended(&mut self, append: &Append, running: &Running, status: &str) -> Checked {
        let code = status.split_once("OK [APPENDUID ");
        let code = code.and_then(|(_, rest)| rest.split_once(']')?.0.split_once(' '));
        let numbers = code.and_then(|(validity, uid)| {
            let validity = validity.parse().ok()?;
            Some((validity, uid.parse::<u32>().ok()?))
        });
        let (validity, uid) = numbers.ok_or_else(|| format!("not appended: {status}"))?;
        self.truth.validity(append.to, validity)?;
        self.truth
            .appended(append.to, uid, &append.id, append.flags, running.begin)
    }
}
