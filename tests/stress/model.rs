//! What one connection may be told: each response is checked when it comes.

use crate::doing::{Doing, Fetch};
use crate::flags::Change;
use crate::flags::Flags;
use crate::kind::Kind;
use crate::response::{Response, parse, set};
use crate::resync::Resyncing;
use crate::truth::{Checked, Removal, Tick, Truth};
use crate::view::{Message, View};
use std::collections::BTreeMap;

pub(crate) struct Model<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) truth: &'a Truth,
    pub(crate) mailbox: Option<&'static str>,
    pub(crate) view: View,
    /// What is remembered of mailboxes that are not selected now.
    pub(crate) kept: BTreeMap<&'static str, Kept>,
    pub(crate) running: Option<Running>,
    pub(crate) validity: u32,
    /// The client's copy of HIGHESTMODSEQ, as RFC 7162 section 3.2.5 has it.
    pub(crate) highest: u64,
    /// The same when all that was told of was known.
    pub(crate) complete: u64,
    /// The last HIGHESTMODSEQ that was told in so many words.
    pub(crate) told_highest: u64,
    /// Up to there it was told of all messages when it came again.
    pub(crate) resynchronised: u64,
    /// When the last command began: what is read after its end may have been sent at once.
    began: Tick,
}

/// What a client remembers of a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) validity: u32,
    pub(crate) mod_seq: u64,
    pub(crate) messages: Vec<Message>,
}

/// A command that runs.
pub(crate) struct Running {
    pub(crate) doing: Doing,
    /// What it is called in the truth, too.
    pub(crate) begin: Tick,
    /// What was known before it.
    pub(crate) before: View,
    pub(crate) told: BTreeMap<u32, Told>,
    /// SELECT: what was selected before is closed.
    pub(crate) opened: bool,
    pub(crate) resyncing: Option<Resyncing>,
    pub(crate) copy_uid: Option<String>,
    pub(crate) answered: bool,
    /// The highest MODSEQ of messages, and the last HIGHESTMODSEQ, that it brought.
    pub(crate) mod_seq: u64,
    pub(crate) highest: Option<u64>,
}

/// What a command was told of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) flags: Option<Flags>,
    pub(crate) mod_seq: Option<u64>,
    pub(crate) items: Vec<String>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(kind: &'static Kind, truth: &'a Truth) -> Model<'a> {
        Model {
            kind,
            truth,
            mailbox: None,
            view: View::new(!kind.uid_only),
            kept: BTreeMap::new(),
            running: None,
            validity: 0,
            highest: 0,
            complete: 0,
            told_highest: 0,
            resynchronised: 0,
            began: truth.now(),
        }
    }

    /// The command is going to be sent.
    pub(crate) fn begin(&mut self, doing: Doing) {
        let mailbox = self.mailbox.unwrap_or_default();
        let truth = self.truth;
        let begin = match &doing {
            Doing::Store(store) => {
                truth.begin_store(mailbox, &store.uids, store.change, store.flags)
            }
            Doing::Fetch(fetch) if fetch.is_reading() => {
                let uids = self.asked(fetch);
                truth.begin_store(mailbox, &uids, Change::Add, Flags::seen())
            }
            Doing::Close | Doing::Expunge { only: None } => {
                truth.begin_removal(mailbox, Removal::Deleted)
            }
            Doing::Expunge { only: Some(uids) } => {
                truth.begin_removal(mailbox, Removal::DeletedOf(uids))
            }
            Doing::Carry(carry) if carry.moves => {
                truth.begin_removal(mailbox, Removal::Moved(&carry.uids))
            }
            _ => truth.now(),
        };
        let opens = matches!(doing, Doing::Select { .. }) && self.mailbox.is_none();
        self.running = Some(Running {
            doing,
            begin,
            before: self.view.clone(),
            told: BTreeMap::new(),
            opened: false,
            resyncing: None,
            copy_uid: None,
            answered: false,
            mod_seq: 0,
            highest: None,
        });
        if opens {
            self.open();
        }
    }

    /// The UIDs that it is about.
    pub(crate) fn asked(&self, fetch: &Fetch) -> Vec<u32> {
        fetch.uids.clone().unwrap_or_else(|| self.view.uids())
    }

    /// Since when what is told now can have been so.
    pub(crate) fn since(&self) -> Tick {
        match &self.running {
            // Else it is told when it happens, and read later.
            Some(running) if self.kind.notify.is_empty() => running.begin,
            _ => self.began,
        }
    }

    /// An untagged response without `* `, or a continuation request.
    pub(crate) fn hear(&mut self, response: &str) -> Checked {
        match parse(response)? {
            Response::Exists(count) => self.exists(count),
            Response::Expunge(number) => {
                self.may_tell(false)?;
                match self.view.expunge(number)? {
                    Some(uid) => self.truth.gone(self.mailbox.unwrap_or_default(), uid),
                    None => Ok(()),
                }
            }
            Response::Vanished { earlier, uids } => uids
                .into_iter()
                .try_for_each(|uid| self.vanished(uid, earlier)),
            Response::Fetch(fetched) => self.fetched(&fetched),
            Response::Code(name, value) => self.code(name, value),
            Response::Status { mailbox, items } => self.status(mailbox, &items),
            Response::Search {
                sorted,
                found,
                mod_seq,
            } => self.searched(|model, search, since| {
                if search.extended || search.sorted != sorted {
                    return Err("SEARCH, SORT or ESEARCH instead of another".to_owned());
                }
                model.found(search, &found, mod_seq, since)
            }),
            Response::Esearch(answer) => {
                self.searched(|model, search, since| match search.extended {
                    true => model.found_extended(search, &answer, since),
                    false => Err("ESEARCH instead of SEARCH".to_owned()),
                })
            }
            Response::Other => Ok(()),
        }
    }

    fn searched(
        &mut self,
        check: impl FnOnce(&mut Self, &crate::doing::Search, Tick) -> Checked,
    ) -> Checked {
        let since = self.since();
        let running = self
            .running
            .as_mut()
            .ok_or("a search that nobody asked for")?;
        let Doing::Search(search) = &running.doing else {
            return Err("a search that nobody asked for".to_owned());
        };
        if std::mem::replace(&mut running.answered, true) {
            return Err("a second answer".to_owned());
        }
        let search = search.clone();
        check(self, &search, since)
    }

    /// Whether messages may be told as gone now, in that way.
    fn may_tell(&self, vanished: bool) -> Checked {
        if vanished != self.kind.vanished() {
            return Err("EXPUNGE and VANISHED in one session".to_owned());
        }
        let doing = self.running.as_ref().map(|running| &running.doing);
        match doing.is_some_and(Doing::may_expunge) || self.kind.expunges_unasked {
            true => Ok(()),
            false => Err(format!("an expunge is told in {doing:?}")),
        }
    }

    fn exists(&mut self, count: usize) -> Checked {
        if self.opens_with(count)? {
            return Ok(());
        }
        self.view.exists(count)
    }

    fn vanished(&mut self, uid: u32, earlier: bool) -> Checked {
        let mailbox = self.mailbox.unwrap_or_default();
        if earlier {
            self.vanished_earlier(uid)?;
            return self.truth.gone_earlier(mailbox, uid);
        }
        self.settle()?;
        self.may_tell(true)?;
        self.view.vanish(uid)?;
        self.truth.gone(mailbox, uid)
    }

    /// A mailbox is selected now.
    pub(crate) fn open(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if let Doing::Select { mailbox, .. } = &running.doing {
            self.mailbox = Some(mailbox);
        }
        running.opened = true;
        self.view = View::new(!self.kind.uid_only);
        (self.highest, self.complete, self.told_highest) = (0, 0, 0);
        self.resynchronised = 0;
    }

    /// The tagged response without its tag; what must hold then.
    pub(crate) fn end(&mut self, status: &str) -> Checked {
        if let Some((_, code)) = status.split_once(" [") {
            let code = code.split(']').next().unwrap_or_default();
            let (name, value) = code.split_once(' ').unwrap_or((code, ""));
            if name == "HIGHESTMODSEQ" || name == "COPYUID" {
                self.code(name, value)?;
            }
        }
        self.settle()?;
        let mut running = self.running.take().ok_or("nothing ran")?;
        self.finished(&mut running, status)?;
        let seen = running.mod_seq;
        self.highest = match running.highest {
            Some(highest) => highest,
            None => self.highest.max(seen),
        };
        if self.view.is_known() {
            self.complete = self.highest;
        }
        self.began = running.begin;
        Ok(())
    }

    /// The connection is lost.
    pub(crate) fn lose(&mut self) {
        self.keep();
        self.began = self.truth.now();
    }

    /// The connection is lost, or the mailbox closed.
    pub(crate) fn keep(&mut self) {
        let Some(mailbox) = self.mailbox.take() else {
            return;
        };
        let known = self.view.messages.iter();
        let kept = Kept {
            validity: self.validity,
            mod_seq: self.complete,
            messages: known.filter(|m| m.uid.is_some()).copied().collect(),
        };
        if self.complete > 0 {
            self.kept.insert(mailbox, kept);
        }
    }
}

/// The sets of `COPYUID validity from to`, of the same length.
pub(crate) fn copy_uid(value: &str) -> Checked<(u32, Vec<(u32, u32)>)> {
    let words: Vec<&str> = value.split(' ').collect();
    let [validity, from, to] = words[..] else {
        return Err(format!("COPYUID {value}"));
    };
    let (from, to) = (set(from)?, set(to)?);
    if from.len() != to.len() || !to.is_sorted_by(|a, b| a < b) {
        return Err(format!("COPYUID {value}"));
    }
    let validity = validity.parse().map_err(|_| format!("COPYUID {value}"))?;
    Ok((validity, from.into_iter().zip(to).collect()))
}
