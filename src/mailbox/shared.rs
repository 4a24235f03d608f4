//! One mailbox as all its sessions share it.

use super::account::Inner;
use super::arrive::Coming;
use super::events::Events;
use super::host::{HostInner, lock};
use super::keep::Asked;
use super::numbering::Numbering;
use super::touched::Touched;
use super::{Error, fault};
use crate::index::{AccountId, Summary};
use crate::mail::{Keyword, MailboxId, MailboxName, ModSeq, Uid, UidSet, UidValidity};
use crate::store::{MailboxState, Stamp};
use event_listener::Event;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

/// Flag changes remembered for sessions that ask; older ones are found in the index.
const MAX_CHANGES: usize = 64;
/// For so long after the directories were found to be those that are watched they count as such.
const REVISIT_AFTER: Duration = Duration::from_secs(1);
/// Of the memory that SORT may take, one part in so many is for each of the things that are sorted when a
/// mailbox is compared with its store.
const SORTS: usize = 8;
/// Runs of expunged UIDs remembered.
const MAX_GONE: usize = 4096;

pub(super) struct Shared {
    pub(super) host: Arc<HostInner>,
    pub(super) account: Weak<Inner>,
    pub(super) owner: AccountId,
    pub(super) id: MailboxId,
    pub(super) asked: Asked,
    pub(super) state: Mutex<State>,
    pub(super) events: Mutex<Events>,
    /// Changes with every change; a view that knows the same number is current.
    generation: AtomicU32,
    pub(super) woken: Event,
    /// A flight ended.
    pub(super) landed: Condvar,
    /// Who compared what comes with the mailbox is done.
    pub(super) compared: Condvar,
}

/// What is known of the mailbox; the index lags behind it only by what `pending` says.
pub(super) struct State {
    pub(super) name: MailboxName,
    /// `None` until the index or a scan told.
    pub(super) summary: Option<Summary>,
    /// All UIDs, once somebody needed them.
    pub(super) uids: Option<UidSet>,
    /// The numbering made last; sessions that know the same messages share one.
    numbering: Weak<Numbering>,
    /// The keywords that sessions were told last, who share them.
    keywords: Arc<Vec<Option<Keyword>>>,
    /// Newest last.
    pub(super) changes: VecDeque<Change>,
    /// The least mod-sequence of what changes from now on: above all that was told by an index of which this one may
    /// be an old copy, as one that is made anew begins.
    pub(super) floor: ModSeq,
    /// Changes up to here may be missing in `changes`.
    pub(super) changes_after: u64,
    pub(super) views: u32,
    /// Messages the side file does not have yet.
    pub(super) unlisted: Vec<(Uid, Box<str>)>,
    /// It lacks more than are kept here: the mailbox has to be scanned for them.
    pub(super) list_lags: bool,
    /// The side file says durably that UIDs below were given, or nobody looked yet.
    pub(super) listed: Uid,
    /// No UID from here on was given; `None`: see the summary.
    pub(super) given: Option<Uid>,
    /// UIDs that sessions of this process were told are gone, unless that is long ago.
    pub(super) gone: UidSet,
    /// The lowest UID of each batch that has names but is not published yet, with the keywords of those that only
    /// the side file tells.
    pub(super) flights: BTreeMap<Uid, Coming>,
    /// The store was scanned since the process began, or the last one ended well.
    pub(super) caught_up: bool,
    /// What the index knows is to be forgotten at the next scan.
    pub(super) forget: bool,
    pub(super) deleted: bool,
    /// Messages come back under the UIDs that they had; nothing else may come meanwhile.
    pub(super) refilling: bool,
    /// Somebody compares what comes with what is there ([`super::Comparing`]).
    pub(super) comparing: bool,
    /// The first message without `\Seen` as of this UIDVALIDITY and mod-sequence.
    pub(super) first_unseen: Option<(UidValidity, ModSeq, Option<Uid>)>,
    /// When the directories were last found to be those that are watched, since 1970.
    pub(super) revisited: Duration,
}

/// Messages whose flags changed, and which view did it.
pub(super) struct Change {
    pub(super) mod_seq: ModSeq,
    pub(super) by: u32,
    pub(super) uids: UidSet,
    /// The highest mod-sequence that one of them had before.
    pub(super) before: ModSeq,
    pub(super) touched: Touched,
}

impl State {
    /// Errors: `NoSuchMailbox` if it was deleted meanwhile.
    pub(super) fn refuse_deleted(&self) -> Result<(), Error> {
        match self.deleted {
            true => Err(Error::NoSuchMailbox),
            false => Ok(()),
        }
    }

    /// The side file has all messages.
    pub(super) fn forget_unlisted(&mut self) {
        self.unlisted.clear();
        self.list_lags = false;
    }

    /// Errors: `Busy` if no new message may come now.
    pub(super) fn admit(&self) -> Result<(), Error> {
        match self.refilling {
            true => Err(Error::Busy),
            false => Ok(()),
        }
    }

    /// The first message without `\Seen`; `None` if the index has to be asked.
    pub(super) fn unseen(&self) -> Option<Option<Uid>> {
        let summary = self.summary.as_ref()?;
        if summary.seen == summary.messages {
            return Some(None);
        }
        let (uid_validity, mod_seq, unseen) = self.first_unseen?;
        let now = (summary.uid_validity, summary.highest_mod_seq);
        (now == (uid_validity, mod_seq)).then_some(unseen)
    }

    /// True if the directories were looked at a moment ago.
    pub(super) fn was_revisited(&self) -> bool {
        let until = self.revisited.saturating_add(REVISIT_AFTER);
        (self.revisited..until).contains(&crate::sys::clock::now())
    }

    /// The numbering of all messages. `None` if nobody looked which there are.
    pub(super) fn numbering(&mut self) -> Option<Arc<Numbering>> {
        let uids = self.uids.as_ref()?;
        let last = self.numbering.upgrade();
        if let Some(last) = last.filter(|last| last.uids() == uids) {
            return Some(last);
        }
        let new = Arc::new(Numbering::new(uids.clone()));
        self.numbering = Arc::downgrade(&new);
        Some(new)
    }

    /// The keywords; none if nobody looked which there are.
    pub(super) fn keywords(&mut self) -> Arc<Vec<Option<Keyword>>> {
        let known = self.summary.as_ref().map(|summary| &summary.keywords);
        if known.is_some_and(|known| *known != *self.keywords) {
            self.keywords = Arc::new(known.cloned().unwrap_or_default());
        }
        self.keywords.clone()
    }
}

impl Shared {
    pub(super) fn new(
        host: &Arc<HostInner>,
        account: Weak<Inner>,
        (owner, id): (AccountId, MailboxId),
        name: &MailboxName,
        summary: Option<Summary>,
        events: Events,
    ) -> Shared {
        let changes_after = summary.as_ref().map_or(0, |s| s.highest_mod_seq.number());
        let caught_up = host.is_in_line(id);
        Shared {
            host: host.clone(),
            account,
            owner,
            id,
            asked: Asked::default(),
            state: Mutex::new(State {
                name: name.clone(),
                summary,
                uids: None,
                numbering: Weak::new(),
                keywords: Arc::default(),
                changes: VecDeque::new(),
                floor: super::resync::floor(),
                changes_after,
                views: 0,
                unlisted: Vec::new(),
                list_lags: false,
                listed: Uid::MIN,
                given: None,
                gone: UidSet::new(),
                flights: BTreeMap::new(),
                caught_up,
                forget: false,
                deleted: false,
                refilling: false,
                comparing: false,
                first_unseen: None,
                revisited: Duration::ZERO,
            }),
            events: Mutex::new(events),
            generation: AtomicU32::new(0),
            woken: Event::new(),
            landed: Condvar::new(),
            compared: Condvar::new(),
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Octets for each of the things that are sorted when the mailbox is compared with its store.
    pub(super) fn sort_octets(&self) -> usize {
        self.host.limits.sort_octets / SORTS
    }

    /// The index is about to change: from now on no session takes its view for current. One that looks
    /// waits for who changes it, which holds the state.
    pub(super) fn outdate(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells every session that something changed.
    pub(super) fn raise(&self) {
        self.outdate();
        self.woken.notify(usize::MAX);
        if let Some(account) = self.account.upgrade() {
            account.woken.notify(usize::MAX);
        }
    }

    /// True if watched and nobody else changed anything as far as is known now.
    pub(super) fn looks_clean(&self) -> bool {
        lock(&self.events).look_clean()
    }

    /// True if watched and somebody else may have changed something.
    pub(super) fn looks_disturbed(&self) -> bool {
        lock(&self.events).look_disturbed()
    }

    /// True if a watch sees every change.
    pub(super) fn is_watched(&self) -> bool {
        lock(&self.events).sees_all()
    }

    /// How many mod-sequences these messages have among them.
    pub(super) fn mod_seqs_of(&self, uids: &UidSet) -> Result<u64, Error> {
        let reader = self.host.index.read().map_err(fault("reading the index"))?;
        let mut found = BTreeSet::new();
        for (number, slots) in super::steps::chunks(uids) {
            let flags = reader
                .flags(self.id, number)
                .map_err(fault("reading the index"))?;
            let own = flags.present.and(&slots);
            found.extend(own.slots().map(|slot| flags.mod_seq(slot)));
        }
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    /// Events came in. Wakes sessions if they were not our own.
    pub(super) fn count_events(&self, count: i64, overflow: bool) {
        if lock(&self.events).count(count, overflow) {
            self.raise();
        }
    }

    /// The directories went, and the watches with them.
    pub(super) fn lose_watches(&self) {
        if lock(&self.events).lose() {
            self.raise();
        }
    }

    /// An own operation on the directories begins.
    pub(super) fn begin(&self) {
        lock(&self.events).begin();
    }

    /// It ended and caused so many events.
    pub(super) fn end(&self, count: i64) {
        lock(&self.events).end(count);
    }

    #[cfg(test)]
    pub(super) fn undisturbed_for_tests(&self) -> Option<bool> {
        lock(&self.events).undisturbed()
    }

    /// A scan begins that sees all that happened before.
    pub(super) fn forget_events(&self) {
        self.drain();
        lock(&self.events).restart();
    }

    /// The index is in line with the directories as they were when the scan began.
    pub(super) fn verify(&self) {
        lock(&self.events).verify();
    }

    /// The index may be out of line with the directories.
    pub(super) fn doubt(&self) {
        lock(&self.events).doubt();
    }

    /// As `doubt`, also where the directories are as old as the index has them.
    pub(super) fn mistrust(&self) {
        if let Some(summary) = lock(&self.state).summary.as_mut() {
            // It means nothing then.
            summary.stamp_time = 0;
        }
        self.doubt();
    }

    /// A message was to be opened: if its file was not found, and no stamp tells that it went, the mailbox is looked at.
    pub(super) fn note_missed<T>(&self, opened: &Result<T, crate::store::Error>, knows_all: bool) {
        if knows_all && matches!(opened, Err(crate::store::Error::NoSuchMessage)) {
            self.mistrust();
        }
    }

    /// True if nobody changes anything, nor did without having it taken in, as far as a watch tells.
    pub(super) fn is_at_rest(&self) -> bool {
        self.drain();
        let events = lock(&self.events);
        events.sees_all() && events.at_rest()
    }

    pub(super) fn drain(&self) {
        if let Some(watch) = &self.host.watch {
            watch.drain();
        }
    }

    /// Notes that these messages are expunged.
    pub(super) fn note_gone(&self, state: &mut State, gone: &UidSet) {
        state.gone = state.gone.union(gone);
        if state.gone.runs().len() > MAX_GONE {
            state.gone = gone.clone();
        }
    }

    /// Notes that flags of these messages changed.
    pub(super) fn note_change(&self, state: &mut State, change: Change) {
        if state.changes.len() >= MAX_CHANGES
            && let Some(old) = state.changes.pop_front()
        {
            match state.changes.front_mut().filter(|next| next.by == old.by) {
                // Of a long STORE all is remembered: whoever did it is not told of it.
                Some(next) => {
                    next.uids = next.uids.union(&old.uids);
                    next.before = next.before.max(old.before);
                    next.touched.add(&old.touched);
                }
                None => state.changes_after = old.mod_seq.number(),
            }
        }
        state.changes.push_back(change);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(watch) = &self.host.watch {
            watch.remove(lock(&self.events).watches(), self);
        }
    }
}

pub(super) fn array(stamp: Stamp) -> [i64; 3] {
    [stamp.new, stamp.cur, stamp.list]
}

/// What the side file is to say.
pub(super) fn side_state(summary: &Summary) -> MailboxState {
    MailboxState {
        uid_validity: summary.uid_validity,
        uid_next: summary.uid_next,
        guid: summary.guid,
        keywords: summary.keywords.clone(),
    }
}
