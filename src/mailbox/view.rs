//! One session's view of one mailbox: its numbering and what it was told.

use super::host::lock;
use super::numbering::Numbering;
use super::reached::Reached;
use super::shared::{Shared, State};
use super::steps::chunks;
use super::{Account, Error, Rows, Search, Sort, Thread, Want, fault};
use crate::mail::{
    Criteria, Keyword, MailboxName, ModSeq, ObjectId, SeqNum, SeqSet, SequenceSet, Since,
    SortCriterion, SystemFlags, Threading, Uid, UidSet, UidValidity,
};
use crate::store::Store;
use event_listener::EventListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    /// As `ReadWrite`, but `\Recent` is left for others.
    Unnoticed,
    /// EXAMINE: nothing changes, `\Recent` is left for others.
    ReadOnly,
}

/// What a number in a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Seq,
    Uid,
}

/// Whether a session may be told of expunged messages now (RFC 3501 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expunges {
    Tell,
    Hold,
}

/// What happened since the session was last told, to be told in this order: expunged (in
/// descending order, as the numbers are those before), keywords, exists and recent, flags.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Numbers as they were before this change. The view has its new numbering already.
    pub(crate) expunged: SeqSet,
    /// The same by UID.
    pub(crate) vanished: UidSet,
    /// Messages that are new in the view.
    pub(crate) new: UidSet,
    /// The new number of messages if it changed otherwise than by `expunged`.
    pub(crate) exists: Option<u32>,
    pub(crate) recent: Option<u32>,
    /// Messages of the view whose flags others changed.
    pub(crate) flags: UidSet,
    /// There are new keywords: FLAGS and PERMANENTFLAGS are to be told again.
    pub(crate) keywords: bool,
}

/// One session's mailbox. Memory is by runs of UIDs, not by messages.
pub(crate) struct View {
    pub(super) account: Account,
    pub(super) shared: Arc<Shared>,
    /// Names this view among those of the process.
    pub(super) id: u32,
    access: Access,
    pub(super) numbers: Arc<Numbering>,
    recent: Arc<UidSet>,
    saved: UidSet,
    keywords: Arc<Vec<Option<Keyword>>>,
    uid_next: Uid,
    uid_validity: UidValidity,
    mailbox_id: ObjectId,
    /// Up to here flags are told.
    mod_seq: ModSeq,
    /// Up to here everything is told, expunges too; never above `mod_seq`.
    told: ModSeq,
    generation: u32,
    /// As `generation`, but expunges may be held back.
    seen: u32,
    /// The generation with which the last `sync` failed.
    failed: Option<u32>,
    /// Where the last partial of a large message ended.
    reached: Option<Box<Reached>>,
}

/// How many views of that mailbox this is.
fn views_of(view: Option<&View>, shared: &Arc<Shared>) -> u32 {
    view.map_or(0, |view| u32::from(Arc::ptr_eq(&view.shared, shared)))
}

fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed).max(1)
}

impl View {
    /// `before`: the view that the session had until now, which counts as closed.
    pub(super) fn open(
        account: Account,
        before: Option<&View>,
        shared: Arc<Shared>,
        access: Access,
    ) -> Result<View, Error> {
        let mut store = account.0.store()?;
        let mut state = lock(&shared.state);
        state.refuse_deleted()?;
        if state.views == views_of(before, &shared) {
            shared.revisit(&mut state, &mut *store);
        }
        let refreshed = shared.refresh(&mut state, &mut *store);
        drop(store);
        refreshed?;
        View::of(account, shared.clone(), &mut state, access).ok_or(Error::Fault)
    }

    /// See [`Account::select_at_once`].
    pub(super) fn open_at_once(
        account: Account,
        before: Option<&View>,
        shared: Arc<Shared>,
        access: Access,
    ) -> Option<(View, Option<SeqNum>)> {
        let own = views_of(before, &shared);
        if before.is_some() && own == 0 {
            // To close it asks the disk.
            return None;
        }
        // Who has the lock may be at the disk.
        let mut state = shared.state.try_lock().ok()?;
        let is_open = state.views > own || state.was_revisited();
        if !is_open || !shared.is_undisturbed(&state) {
            return None;
        }
        let unseen = state.unseen()?;
        let view = View::of(account, shared.clone(), &mut state, access)?;
        let unseen = unseen.and_then(|uid| view.seq(uid));
        Some((view, unseen))
    }

    /// The view of a mailbox that is in line with its directories. `None` if nobody looked which messages
    /// it has.
    fn of(
        account: Account,
        shared: Arc<Shared>,
        state: &mut State,
        access: Access,
    ) -> Option<View> {
        let generation = shared.generation();
        let (summary, numbers) = state.summary.clone().zip(state.numbering())?;
        let recent = UidSet::range(summary.first_recent, Uid::MAX);
        let recent = numbers.uids().intersection(&recent);
        if access == Access::ReadWrite
            && let Some(own) = state
                .summary
                .as_mut()
                .filter(|s| s.first_recent != s.uid_next)
        {
            own.first_recent = own.uid_next;
            shared.host.settle_later(&shared);
        }
        let keywords = state.keywords();
        state.views += 1;
        Some(View {
            account,
            id: next_id(),
            access,
            numbers,
            recent: Arc::new(recent),
            saved: UidSet::new(),
            keywords,
            uid_next: summary.uid_next,
            uid_validity: summary.uid_validity,
            mailbox_id: ObjectId::mailbox(summary.guid),
            mod_seq: summary.highest_mod_seq,
            told: summary.highest_mod_seq,
            generation,
            seen: generation,
            failed: None,
            reached: None,
            shared,
        })
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Messages in this view's numbering.
    pub(crate) fn exists(&self) -> u32 {
        self.numbers.count()
    }

    pub(crate) fn recent(&self) -> u32 {
        u32::try_from(self.recent.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn uids(&self) -> &UidSet {
        self.numbers.uids()
    }

    /// As SELECT tells it; from the index without touching messages.
    pub(crate) fn first_unseen(&self) -> Result<Option<SeqNum>, Error> {
        if let Some(unseen) = lock(&self.shared.state).unseen() {
            return Ok(unseen.and_then(|uid| self.seq(uid)));
        }
        let reader = self
            .shared
            .host
            .index
            .read()
            .map_err(fault("reading the index"))?;
        let unseen = reader
            .first_unseen(self.shared.id, &|uid| self.uids().contains(uid))
            .map_err(fault("reading the index"))?;
        let known = (self.uid_validity, self.mod_seq, unseen);
        lock(&self.shared.state).first_unseen = Some(known);
        Ok(unseen.and_then(|uid| self.seq(uid)))
    }

    pub(crate) fn uid_next(&self) -> Uid {
        self.uid_next
    }

    /// RFC 8474 section 4.2.
    pub(crate) fn mailbox_id(&self) -> ObjectId {
        self.mailbox_id
    }

    pub(crate) fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// The keywords this session was told of; positions are the numbers of [`Rows::keywords`], some unused.
    pub(crate) fn keywords(&self) -> &[Option<Keyword>] {
        &self.keywords
    }

    /// Takes up the keywords that were made since; true if there are some to be told.
    pub(crate) fn learn_keywords(&mut self) -> bool {
        let known = lock(&self.shared.state).keywords();
        let changed = known != self.keywords;
        self.keywords = known;
        changed
    }

    /// False when no further keyword can be made (PERMANENTFLAGS without `\*`).
    pub(crate) fn more_keywords(&self) -> bool {
        self.keywords.iter().flatten().count() < self.shared.host.limits.keywords
    }

    /// The mailbox's name now: another session may have changed it.
    pub(crate) fn name(&self) -> MailboxName {
        lock(&self.shared.state).name.clone()
    }

    pub(crate) fn seq(&self, uid: Uid) -> Option<SeqNum> {
        self.numbers.seq(uid)
    }

    pub(crate) fn uid(&self, seq: SeqNum) -> Option<Uid> {
        self.numbers.uid(seq)
    }

    /// Remembers messages for `$` (RFC 5182 section 2.1).
    pub(crate) fn save(&mut self, found: UidSet) {
        self.saved = found;
    }

    /// What `$` means now: what was saved and is still in the view.
    pub(super) fn saved(&self) -> UidSet {
        self.saved.intersection(self.uids())
    }

    /// The UIDs of this view that the client means. By sequence number: `None` if a number is
    /// beyond the last message (the client's fault: BAD); by UID unknown ones are left out.
    pub(crate) fn resolve(&self, set: &SequenceSet, by: By) -> Option<UidSet> {
        if set.is_saved() {
            return Some(self.saved());
        }
        match by {
            By::Uid => Some(self.uids().intersection(&set.resolve(self.uids().last()))),
            By::Seq => {
                let largest = SeqNum::new(self.exists());
                let seqs = set.resolve(largest);
                let beyond = seqs
                    .last()
                    .is_some_and(|last| largest.is_none_or(|largest| last > largest));
                (!beyond && !seqs.is_empty()).then(|| self.numbers.uids_of(&seqs))
            }
        }
    }

    /// The same criteria with the UIDs of the messages that sequence numbers and `$` mean now.
    pub(crate) fn fixed(&self, criteria: Criteria) -> Criteria {
        let uids = |set: &SequenceSet| match set.is_saved() {
            true => self.saved(),
            false => self
                .numbers
                .uids_of(&set.resolve(SeqNum::new(self.exists()))),
        };
        match criteria {
            Criteria::And(all) => {
                Criteria::And(all.into_iter().map(|one| self.fixed(one)).collect())
            }
            Criteria::Or(a, b) => Criteria::Or(Box::new(self.fixed(*a)), Box::new(self.fixed(*b))),
            Criteria::Not(inner) => Criteria::Not(Box::new(self.fixed(*inner))),
            Criteria::InThread(by, inner) => Criteria::InThread(by, Box::new(self.fixed(*inner))),
            Criteria::Seq(set) => Criteria::Uid(SequenceSet::of(&uids(&set))),
            Criteria::Uid(set) if set.is_saved() => Criteria::Uid(SequenceSet::of(&uids(&set))),
            other => other,
        }
    }

    /// UIDs that a client names, whether they are there (still) or not; `*` is the last one given.
    pub(crate) fn resolve_given(&self, set: &SequenceSet) -> UidSet {
        set.resolve(Uid::new(self.uid_next.number() - 1))
    }

    /// Streams what FETCH asked of these messages. Sets no flag.
    pub(crate) fn fetch(&self, uids: UidSet, want: Want) -> Rows {
        let mut rows = Rows::new(
            self.account.clone(),
            self.shared.clone(),
            self.numbers.clone(),
            self.recent.clone(),
            uids,
            want,
        );
        if want.body {
            rows.reached.clone_from(&self.reached);
        }
        rows
    }

    /// Remembers how far the rows of a FETCH were read, for the next one.
    pub(crate) fn remember(&mut self, rows: &mut Rows) {
        if let Some(reached) = rows.reached.take() {
            self.reached = Some(reached);
        }
    }

    /// Looks for messages of this view.
    pub(crate) fn search(&self, criteria: Criteria) -> Search {
        Search::new(self, criteria)
    }

    /// Looks for messages of this view and puts them in order.
    pub(crate) fn sort(&self, order: Vec<SortCriterion>, criteria: Criteria) -> Sort {
        Sort::new(self, order, criteria)
    }

    /// Looks for messages of this view and puts them into threads.
    pub(crate) fn thread(&self, by: Threading, criteria: Criteria) -> Thread {
        Thread::new(self, by, criteria)
    }

    /// Sequence numbers of these messages of the view.
    pub(crate) fn seqs(&self, uids: &UidSet) -> SeqSet {
        self.numbers.seqs_of(uids)
    }

    /// Brings the mailbox in line with its directory before something is changed in it.
    pub(super) fn refresh(&self, store: &mut dyn Store) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        self.shared.refresh(&mut state, store)?;
        self.check(&state)
    }

    /// As `refresh`, between two steps of what began with it.
    pub(super) fn catch_up(&self, state: &mut State, store: &mut dyn Store) -> Result<(), Error> {
        self.shared.catch_up(state, store)?;
        self.check(state)
    }

    /// Fails if UIDs mean other messages by now.
    fn check(&self, state: &State) -> Result<(), Error> {
        let uid_validity = state.summary.as_ref().map(|s| s.uid_validity);
        if uid_validity == Some(self.uid_validity) {
            Ok(())
        } else {
            Err(Error::NoSuchMailbox)
        }
    }

    /// Brings the view up to date with the mailbox (and the mailbox with its directory).
    pub(crate) fn sync(&mut self, expunges: Expunges) -> Result<Changes, Error> {
        let synced = self.try_sync(expunges);
        self.failed = synced.is_err().then(|| self.shared.generation());
        synced
    }

    fn try_sync(&mut self, expunges: Expunges) -> Result<Changes, Error> {
        let shared = self.shared.clone();
        let mut store = self.account.0.store()?;
        let mut state = lock(&shared.state);
        shared.refresh(&mut state, &mut *store)?;
        drop(store);
        let generation = shared.generation();
        let numbers = state.numbering().ok_or(Error::Fault)?;
        let keywords = state.keywords();
        let mut changes = Changes::default();
        let (Some(summary), Some(current)) = (state.summary.as_ref(), state.uids.as_ref()) else {
            return Err(Error::Fault);
        };
        self.check(&state)?;
        let gone = self.uids().difference(current);
        let new = current.difference(self.uids());
        if expunges == Expunges::Tell {
            changes.expunged = self.numbers.seqs_of(&gone);
            changes.vanished.clone_from(&gone);
        }
        if !new.is_empty() {
            self.claim_recent(&new, summary.first_recent);
        }
        if !new.is_empty() || !changes.expunged.is_empty() {
            if expunges == Expunges::Tell {
                self.recent = Arc::new(self.recent.difference(&gone));
            }
            self.numbers = match expunges {
                Expunges::Hold if !gone.is_empty() => {
                    Arc::new(Numbering::new(self.uids().union(&new)))
                }
                _ => numbers,
            };
        }
        if !new.is_empty() {
            changes.exists = Some(self.exists());
            changes.recent = Some(self.recent());
        }
        changes.keywords = self.keywords != keywords;
        self.keywords = keywords;
        let known = self.mod_seq;
        (self.mod_seq, self.uid_next) = (summary.highest_mod_seq, summary.uid_next);
        changes.flags = if state.changes_after > known.number() {
            self.shared.changed_since(known.into())?
        } else {
            let news = state
                .changes
                .iter()
                .filter(|c| c.mod_seq > known && c.by != self.id);
            news.fold(UidSet::new(), |all, change| all.union(&change.uids))
        };
        changes.flags = changes
            .flags
            .intersection(current)
            .intersection(self.uids())
            .difference(&new);
        changes.new = new.clone();
        self.seen = generation;
        if gone.is_empty() || expunges == Expunges::Tell {
            self.generation = generation;
            self.told = self.mod_seq;
        }
        if self.access == Access::ReadWrite
            && let Some(own) = state
                .summary
                .as_mut()
                .filter(|s| s.first_recent < s.uid_next && !new.is_empty())
        {
            own.first_recent = own.uid_next;
            shared.host.settle_later(&shared);
        }
        Ok(changes)
    }

    pub(super) fn recent_uids(&self) -> Arc<UidSet> {
        self.recent.clone()
    }

    fn claim_recent(&mut self, new: &UidSet, first_recent: Uid) {
        let claimed = new.intersection(&UidSet::range(first_recent, Uid::MAX));
        self.recent = Arc::new(self.recent.union(&claimed));
    }

    /// The highest mod-sequence up to which the session was told everything; lower than that of a
    /// message that was told while expunges are held back (RFC 7162 section 3.2).
    pub(crate) fn highest_mod_seq(&self) -> ModSeq {
        self.told
    }

    /// True while expunges are held back that the session has to be told.
    pub(crate) fn is_behind(&self) -> bool {
        self.told < self.mod_seq
    }

    /// Those of these messages that changed since, also by this session. A mod-sequence that the
    /// mailbox never had tells nothing: all may have changed.
    pub(crate) fn changed_since(&self, uids: &UidSet, since: Since) -> Result<UidSet, Error> {
        Ok(self.shared.changed_since(since)?.intersection(uids))
    }

    /// Those of these UIDs that were expunged since and before this session could see them; more than
    /// that where the index does not remember (RFC 7162 section 3.2.6).
    pub(crate) fn vanished_since(&self, uids: &UidSet, since: Since) -> Result<UidSet, Error> {
        let Some(last) = Uid::new(self.uid_next.number() - 1) else {
            return Ok(UidSet::new());
        };
        let given = uids.intersection(&UidSet::range(Uid::MIN, last));
        let gone = match self.shared.expunged_since(since)? {
            Some(expunged) => expunged.intersection(&given),
            None => given,
        };
        Ok(gone.difference(self.uids()))
    }

    /// The last of the messages that a client numbers as this view does (RFC 7162 section 3.2.5.2):
    /// the n-th of `seqs` is the n-th of `uids`.
    pub(crate) fn last_match(&self, seqs: &SeqSet, uids: &UidSet) -> Option<Uid> {
        self.numbers.last_match(seqs, uids)
    }

    /// The highest mod-sequence among these messages; `None` if there are none.
    pub(crate) fn highest_of(&self, uids: &UidSet) -> Result<Option<ModSeq>, Error> {
        let reader = self
            .shared
            .host
            .index
            .read()
            .map_err(fault("reading the index"))?;
        let mut highest = None;
        for (number, slots) in chunks(uids) {
            let flags = reader
                .flags(self.shared.id, number)
                .map_err(fault("reading the index"))?;
            let own = flags.present.and(&slots);
            highest = highest.max(own.slots().map(|slot| flags.mod_seq(slot)).max());
        }
        Ok(highest)
    }

    /// Those of these messages without `\Seen`, which costs by the chunks they lie in.
    pub(crate) fn unseen(&self, uids: &UidSet) -> Result<UidSet, Error> {
        let reader = self
            .shared
            .host
            .index
            .read()
            .map_err(fault("reading the index"))?;
        let mut unseen = UidSet::new();
        for (number, slots) in chunks(uids) {
            let flags = reader
                .flags(self.shared.id, number)
                .map_err(fault("reading the index"))?;
            let seen = flags.with_flag(SystemFlags::SEEN);
            let own = flags.present.and(&slots).without(&seen);
            let uid = |slot: u8| Uid::new(number << 8 | u32::from(slot));
            own.slots()
                .filter_map(uid)
                .for_each(|uid| unseen.insert(uid));
        }
        Ok(unseen)
    }

    /// Numbers of these messages in this view.
    pub(crate) fn seqs_of(&self, uids: &UidSet) -> SeqSet {
        self.numbers.seqs_of(uids)
    }

    /// True if `sync` would find nothing; reads no file but what inotify has to tell. For NOOP on the
    /// quick turn.
    pub(crate) fn is_current(&self) -> bool {
        // What somebody put there before the client asked is told when it asks.
        self.shared.drain();
        self.generation == self.shared.generation() && self.shared.looks_clean()
    }

    /// False where changes by other programs are found only by looking.
    pub(crate) fn is_watched(&self) -> bool {
        self.shared.is_watched()
    }

    /// True if `sync` would find more than expunges that are held back.
    pub(crate) fn has_more(&self) -> bool {
        self.shared.drain();
        self.differs(self.seen)
    }

    /// True if there is more than was known in that generation. Whoever waits where `sync` failed waits
    /// until something else happens: it would fail again and again.
    fn differs(&self, known: u32) -> bool {
        let now = self.shared.generation();
        self.failed != Some(now) && (known != now || self.shared.looks_disturbed())
    }

    /// True if it is known that `sync` would find something. Unlike [`View::is_current`] it says no where
    /// only looking at the directories could tell: for whoever waits.
    pub(crate) fn has_news(&self) -> bool {
        self.shared.drain();
        self.differs(self.generation)
    }

    /// Wakes when the mailbox changes, also by foreign programs. Make it, then check
    /// `has_news`, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        self.shared.woken.listen()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.shared.leave();
    }
}
