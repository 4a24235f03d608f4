//! What all connections know together: what anybody did to the mailboxes, and what anybody was told.
//!
//! Nobody knows the order in which a server did what ran at the same time. So each doing has a beginning
//! and an end, and what is told must be possible in one of the orders that these leave open.

use crate::fact::{Fact, Sight};
use crate::flags::{Change, Flags};
use crate::mailbox::Mailbox;
use crate::register::Outcome;
use crate::text::Text;
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A time; no two events have the same.
pub(crate) type Tick = u64;
/// What is wrong is said in words.
pub(crate) type Checked<T = ()> = Result<T, String>;

#[derive(Default)]
pub(crate) struct Truth(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    clock: Tick,
    mailboxes: BTreeMap<String, Mailbox>,
    /// By Message-ID.
    texts: HashMap<String, Text>,
    /// Messages whose files another program touched.
    meddled: BTreeSet<String>,
}

/// Which of the messages an EXPUNGE or MOVE is about.
pub(crate) enum Removal<'a> {
    /// All that are deleted.
    Deleted,
    /// Of these, those that are deleted.
    DeletedOf(&'a [u32]),
    Moved(&'a [u32]),
}

impl State {
    fn tick(&mut self) -> Tick {
        self.clock += 1;
        self.clock
    }

    fn mailbox(&mut self, name: &str) -> &mut Mailbox {
        self.mailboxes.entry(name.to_owned()).or_default()
    }
}

impl Truth {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Tick {
        self.lock().tick()
    }

    /// Somebody is going to bring that message.
    pub(crate) fn brings(&self, id: &str, text: Text) {
        self.lock().texts.insert(id.to_owned(), text);
    }

    /// Another program is going to touch a file of that message.
    pub(crate) fn meddles(&self, id: &str) {
        self.lock().meddled.insert(id.to_owned());
    }

    /// Whether another program may have touched it.
    pub(crate) fn is_meddled(&self, mailbox: &str, uid: Option<u32>) -> bool {
        let state = self.lock();
        let facts = state.mailboxes.get(mailbox).map(|m| &m.facts);
        let fact = facts.and_then(|facts| facts.get(&uid?));
        let id = fact.and_then(|fact| fact.id.as_ref());
        id.is_none_or(|id| state.meddled.contains(id))
    }

    /// The message was delivered.
    pub(crate) fn delivered(&self, mailbox: &str, id: &str) {
        let mut state = self.lock();
        let mailbox = state.mailbox(mailbox);
        let mut facts = mailbox.facts.values();
        if !facts.any(|fact| fact.id.as_deref() == Some(id)) {
            mailbox.unseen.insert(id.to_owned());
        }
    }

    /// A STORE is going to be sent; returns what it is called when it ends.
    pub(crate) fn begin_store(
        &self,
        mailbox: &str,
        uids: &[u32],
        change: Change,
        flags: Flags,
    ) -> Tick {
        let mut state = self.lock();
        let now = state.tick();
        let mailbox = state.mailbox(mailbox);
        for uid in uids {
            mailbox.fact(*uid, now).begin_store(now, change, flags);
        }
        now
    }

    pub(crate) fn end_store(
        &self,
        mailbox: &str,
        uids: &[u32],
        begin: Tick,
        outcome: impl Fn(u32) -> Outcome,
    ) {
        let mut state = self.lock();
        let now = state.tick();
        let mailbox = state.mailbox(mailbox);
        for uid in uids {
            mailbox.fact(*uid, now).end_store(begin, now, outcome(*uid));
        }
    }

    /// As `begin_store`, of what takes messages away.
    pub(crate) fn begin_removal(&self, mailbox: &str, removal: Removal<'_>) -> Tick {
        let mut state = self.lock();
        let now = state.tick();
        let mailbox = state.mailbox(mailbox);
        match removal {
            Removal::Deleted => mailbox.expunges.push((now, Tick::MAX)),
            Removal::DeletedOf(uids) => {
                for uid in uids {
                    mailbox.fact(*uid, now).expunges.push((now, Tick::MAX));
                }
            }
            Removal::Moved(uids) => {
                for uid in uids {
                    mailbox.fact(*uid, now).moving = true;
                }
            }
        }
        now
    }

    pub(crate) fn end_removal(&self, mailbox: &str, begin: Tick) {
        let mut state = self.lock();
        let now = state.tick();
        let mailbox = state.mailbox(mailbox);
        let of_facts = mailbox.facts.values_mut().map(|fact| &mut fact.expunges);
        for expunges in of_facts.chain([&mut mailbox.expunges]) {
            let mut own = expunges.iter_mut().filter(|e| e.0 == begin);
            own.by_ref().for_each(|expunge| expunge.1 = now);
        }
    }

    /// A connection that looked after `since` was told of a message.
    pub(crate) fn sees(&self, mailbox: &str, uid: u32, sight: &Sight<'_>, since: Tick) -> Checked {
        let mut state = self.lock();
        let now = state.tick();
        let State {
            mailboxes,
            texts,
            meddled,
            ..
        } = &mut *state;
        let mailbox = mailboxes.entry(mailbox.to_owned()).or_default();
        let fact = mailbox.facts.entry(uid).or_insert_with(|| Fact::new(now));
        fact.sees(sight, since, texts, meddled)
            .map_err(|wrong| format!("UID {uid}: {wrong}"))?;
        if let Some(id) = &fact.id {
            mailbox.unseen.remove(id);
        }
        mailbox.uids.note(now, uid.into());
        if let Some(mod_seq) = sight.mod_seq {
            mailbox.mod_seqs.note(now, mod_seq);
        }
        Ok(())
    }

    /// A connection was told that the message is gone.
    pub(crate) fn gone(&self, mailbox: &str, uid: u32) -> Checked {
        let mut state = self.lock();
        let now = state.tick();
        let State {
            mailboxes, meddled, ..
        } = &mut *state;
        let mailbox = mailboxes.entry(mailbox.to_owned()).or_default();
        mailbox.fact(uid, now);
        let fact = &mailbox.facts[&uid];
        if !mailbox.may_vanish(fact, meddled) {
            return Err(format!("nobody expunged UID {uid}"));
        }
        mailbox.fact(uid, now).gone.get_or_insert(now);
        Ok(())
    }

    /// As `gone`, of what VANISHED (EARLIER) tells, which may be more than ever was there.
    pub(crate) fn gone_earlier(&self, mailbox: &str, uid: u32) -> Checked {
        let known = self.lock().mailbox(mailbox).facts.contains_key(&uid);
        match known {
            true => self.gone(mailbox, uid),
            false => Ok(()),
        }
    }

    /// The answer to a STORE that began then has these flags, unless another one undid it.
    pub(crate) fn follows(
        &self,
        mailbox: &str,
        uid: u32,
        begin: Tick,
        (change, others): (Change, Flags),
        flags: Flags,
    ) -> Checked {
        let state = self.lock();
        let facts = state.mailboxes.get(mailbox).map(|m| &m.facts);
        match facts.and_then(|facts| facts.get(&uid)) {
            Some(fact) => fact.follows(begin, (change, others), flags, &state.meddled),
            None => Ok(()),
        }
    }

    pub(crate) fn may_vanish(&self, mailbox: &str, uid: u32) -> bool {
        let state = self.lock();
        let Some(mailbox) = state.mailboxes.get(mailbox) else {
            return true;
        };
        let fact = mailbox.facts.get(&uid);
        fact.is_none_or(|fact| mailbox.may_vanish(fact, &state.meddled))
    }

    /// APPENDUID: the message is there, with those flags at first.
    pub(crate) fn appended(
        &self,
        mailbox: &str,
        uid: u32,
        id: &str,
        flags: Flags,
        begin: Tick,
    ) -> Checked {
        let mut state = self.lock();
        let now = state.tick();
        let State {
            mailboxes, texts, ..
        } = &mut *state;
        let mailbox = mailboxes.entry(mailbox.to_owned()).or_default();
        mailbox.is_new(uid, begin)?;
        let births = |flag| [!flags.has(flag), flags.has(flag)];
        let fact = mailbox.facts.entry(uid).or_insert_with(|| Fact::new(now));
        fact.arrives(id, births, now, texts)
            .map_err(|wrong| format!("UID {uid}: {wrong}"))?;
        mailbox.uids.note(now, uid.into());
        Ok(())
    }

    /// COPYUID: the message is there, with the flags that the other one had then.
    pub(crate) fn copied(
        &self,
        (from, source): (&str, u32),
        (to, uid): (&str, u32),
        begin: Tick,
    ) -> Checked {
        let mut state = self.lock();
        let now = state.tick();
        let (id, births) = {
            let source = state.mailbox(from).fact(source, now);
            (source.id.clone(), source.values(begin))
        };
        let State {
            mailboxes, texts, ..
        } = &mut *state;
        let mailbox = mailboxes.entry(to.to_owned()).or_default();
        mailbox.is_new(uid, begin)?;
        let fact = mailbox.facts.entry(uid).or_insert_with(|| Fact::new(now));
        if let Some(id) = id {
            fact.arrives(&id, |flag| births[flag], now, texts)
                .map_err(|wrong| format!("UID {uid}, copy of {source}: {wrong}"))?;
        }
        mailbox.uids.note(now, uid.into());
        Ok(())
    }

    /// UIDVALIDITY, the same for ever.
    pub(crate) fn validity(&self, mailbox: &str, validity: u32) -> Checked {
        let mut state = self.lock();
        let before = *state.mailbox(mailbox).validity.get_or_insert(validity);
        match before == validity {
            true => Ok(()),
            false => Err(format!("UIDVALIDITY {validity}, it was {before}")),
        }
    }

    /// UIDNEXT, asked for after `since`.
    pub(crate) fn uid_next(&self, mailbox: &str, next: u64, since: Tick) -> Checked {
        let mut state = self.lock();
        let now = state.tick();
        let mailbox = state.mailbox(mailbox);
        let (uid, before) = (mailbox.uids.before(since), mailbox.uid_nexts.before(since));
        if next <= uid || next < before {
            return Err(format!("UIDNEXT {next} after UID {uid}, UIDNEXT {before}"));
        }
        mailbox.uid_nexts.note(now, next);
        Ok(())
    }

    /// HIGHESTMODSEQ of a mailbox as it was after `since`.
    pub(crate) fn highest(&self, mailbox: &str, highest: u64, since: Tick) -> Checked {
        let mut state = self.lock();
        let now = state.tick();
        let mailbox = state.mailbox(mailbox);
        let before = mailbox.mod_seqs.before(since);
        if highest < before {
            return Err(format!("HIGHESTMODSEQ {highest}, but {before} was told"));
        }
        mailbox.mod_seqs.note(now, highest);
        Ok(())
    }

    /// MESSAGES of STATUS, which began after `since`.
    pub(crate) fn count(&self, mailbox: &str, count: u64, since: Tick) -> Checked {
        let state = self.lock();
        let Some(mailbox) = state.mailboxes.get(mailbox) else {
            return Ok(());
        };
        let sure = mailbox.facts.values().filter(|fact| {
            fact.born.is_some_and(|born| born < since) && !mailbox.may_vanish(fact, &state.meddled)
        });
        let sure = sure.count() as u64;
        match sure > count {
            true => Err(format!("MESSAGES {count}, but {sure} must be there")),
            false => Ok(()),
        }
    }

    /// What any flag of a message can be for somebody who looks after `since`.
    pub(crate) fn values(&self, mailbox: &str, uid: u32, flag: usize, since: Tick) -> [bool; 2] {
        let state = self.lock();
        let facts = state.mailboxes.get(mailbox).map(|m| &m.facts);
        let fact = facts.and_then(|facts| facts.get(&uid));
        fact.map_or([true, true], |fact| {
            fact.register(flag, since, &state.meddled)
        })
    }

    /// A connection that was told all that happened before `since` believes that. Returns those messages
    /// that it believes something else of, because they may be gone and that is not told yet.
    pub(crate) fn is_current(
        &self,
        mailbox: &str,
        view: &View,
        since: Tick,
        expunges: bool,
    ) -> Checked<Vec<u32>> {
        let state = self.lock();
        let mut doubted = Vec::new();
        let Some(mailbox) = state.mailboxes.get(mailbox) else {
            return Ok(doubted);
        };
        for (uid, flags) in view.believed() {
            let Some(fact) = mailbox.facts.get(&uid) else {
                continue;
            };
            if expunges && fact.gone.is_some_and(|gone| gone < since) {
                return Err(format!("UID {uid} is gone, and that was not told"));
            }
            let Err(wrong) = flags.map_or(Ok(()), |f| fact.may_have(f, since, &state.meddled))
            else {
                continue;
            };
            if !mailbox.may_vanish(fact, &state.meddled) {
                return Err(format!("UID {uid}, not told what changed: {wrong}"));
            }
            doubted.push(uid);
        }
        if view.is_known() {
            mailbox.is_whole(view, since, &state.meddled)?;
        }
        Ok(doubted)
    }

    /// After a connection looked at all of a mailbox: those delivered messages that it should have seen.
    pub(crate) fn unseen(&self, mailbox: &str) -> Vec<String> {
        let mut state = self.lock();
        let unseen = state.mailbox(mailbox).unseen.iter();
        unseen.cloned().collect()
    }
}
