//! What one engine process shares among its accounts: the index file and the watches.

use super::account::{Account, Inner};
use super::known::{Known, Prepare, Prepared, is_recent};
use super::shared::Shared;
use super::watch::Watch;
use super::{Error, fault};
use crate::config::Location;
#[cfg(test)]
use crate::config::{Form, Format};
use crate::index::{AccountId, Durable, Error as IndexError, Index, Reserve};
use crate::mail::{MailboxId, MailboxName};
use event_listener::{Event, EventListener};
use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Bounds on what an account may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Octets of one message.
    pub(crate) message_octets: u64,
    /// Mailboxes a user.
    pub(crate) mailboxes: usize,
    /// Octets and levels of a new mailbox's name.
    pub(crate) name_octets: usize,
    pub(crate) name_depth: usize,
    /// Keywords a mailbox.
    pub(crate) keywords: usize,
    /// Entries of one mailbox that have values, and octets of a value.
    pub(crate) metadata_entries: usize,
    pub(crate) metadata_octets: usize,
    /// Octets at which a file of mdbox gets no more messages.
    pub(crate) mdbox_rotate_octets: u32,
    /// Expunges a mailbox that are remembered.
    pub(crate) expunges: u32,
    /// Messages that one command changes at a time.
    pub(crate) step_messages: usize,
    /// Octets of redb's own cache.
    pub(crate) index_cache_octets: usize,
    /// Octets in memory of large messages that are being written (see [`crate::store::set_draft_octets`]).
    pub(crate) draft_octets: usize,
    /// Octets in memory for one SORT or THREAD.
    pub(crate) sort_octets: usize,
    /// Octets of the fields that are kept of one mailbox's messages, and of all of a user's.
    pub(crate) cache_mailbox_octets: u64,
    pub(crate) cache_user_octets: u64,
    /// How long fields are kept that nobody asks for.
    pub(crate) cache_unused_time: Duration,
    pub(crate) mime: crate::mime::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_octets: 50 << 20,
            mailboxes: 10_000,
            name_octets: MailboxName::MAX_OCTETS,
            name_depth: MailboxName::MAX_DEPTH,
            keywords: 200,
            metadata_entries: 100,
            metadata_octets: 16 << 10,
            mdbox_rotate_octets: 10 << 20,
            expunges: 1000,
            step_messages: 1024,
            index_cache_octets: 2 << 20,
            draft_octets: 1 << 20,
            sort_octets: 32 << 20,
            cache_mailbox_octets: 1 << 30,
            cache_user_octets: 4 << 30,
            cache_unused_time: Duration::from_secs(30 * 86_400),
            mime: crate::mime::Limits::default(),
        }
    }
}

/// Of an engine's memory, one part in so many is for large messages that are being written.
const DRAFTS: usize = 16;
/// Messages in memory at once, after which it is given back.
const BULK: usize = 500;
/// Accounts kept, with their mailboxes and watches, though nobody uses them.
const MAX_KEPT: usize = 8;

impl Limits {
    /// Whether a new mailbox may have that name.
    pub(super) fn admit(&self, name: &MailboxName) -> Result<(), Error> {
        if name.as_str().len() > self.name_octets {
            return Err(Error::Limit("the mailbox name is too long"));
        }
        if name.parts().count() > self.name_depth {
            return Err(Error::Limit("the mailbox name has too many levels"));
        }
        Ok(())
    }
}

impl From<&crate::config::Limits> for Limits {
    fn from(limits: &crate::config::Limits) -> Limits {
        Limits {
            message_octets: limits.message_octets,
            mailboxes: limits.max_mailboxes,
            name_octets: limits.mailbox_name_octets,
            name_depth: limits.mailbox_depth,
            keywords: limits.max_keywords,
            metadata_entries: limits.metadata_entries,
            metadata_octets: limits.metadata_octets,
            mdbox_rotate_octets: limits.mdbox_rotate_octets,
            expunges: limits.expunge_history,
            step_messages: limits.step_messages,
            index_cache_octets: limits.index_cache_octets,
            draft_octets: limits.engine_memory_octets / DRAFTS,
            sort_octets: limits.sort_octets,
            cache_mailbox_octets: limits.cache_mailbox_octets,
            cache_user_octets: limits.cache_user_octets,
            cache_unused_time: limits.cache_unused_time,
            mime: crate::mime::Limits {
                header_octets: limits.header_octets,
                line_octets: limits.header_line_octets,
                addresses: limits.header_addresses,
                parameters: limits.mime_parameters,
                parts: limits.mime_parts,
                depth: limits.mime_depth,
            },
        }
    }
}

/// The accounts of one process over one index file.
#[derive(Clone)]
pub(crate) struct Host {
    pub(super) inner: Arc<HostInner>,
    /// Those used last, the newest at the end.
    kept: Arc<Mutex<VecDeque<Account>>>,
    pending: Arc<Mutex<Vec<Pending>>>,
    /// Whoever flushes has what was pending in its hands.
    flushing: Arc<Mutex<()>>,
}

/// A mailbox that waits for the next flush; at the least the index has too much of it. Its account stays until then.
struct Pending {
    shared: Arc<Shared>,
    /// The summary or the side file is to be written.
    lags: bool,
    /// Flags are to be made durable.
    flags: bool,
    _account: Option<Arc<Inner>>,
}

pub(super) struct HostInner {
    pub(super) index: Index,
    pub(super) watch: Option<Watch>,
    pub(super) limits: Limits,
    accounts: Mutex<Known>,
    dirty: AtomicBool,
    pending: Weak<Mutex<Vec<Pending>>>,
    pub(super) reserve: Reserve,
    /// The index was lost.
    lost: Event,
    /// Mailboxes that were compared with their directories by this process.
    in_line: Mutex<HashMap<MailboxId, bool>>,
    /// Memory in proportion to a mailbox was used for a moment.
    bulky: AtomicBool,
    /// Of accounts that are named by a directory alone.
    #[cfg(test)]
    form: Form,
    /// Directories read as a whole.
    #[cfg(test)]
    pub(super) scans: std::sync::atomic::AtomicU32,
}

/// A lock whose holder panicked is as good as any: what it guards is knowledge that resync mends.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// Opens the index file, or makes it. A damaged one is put aside and built anew from the store,
    /// mailbox by mailbox as they are opened. Errors: `Busy` if another process has it.
    pub(crate) fn open(path: &Path, limits: Limits) -> Result<Host, Error> {
        crate::store::set_draft_octets(limits.draft_octets);
        let reserve = Reserve::beside(path);
        let index = match Host::open_index(path, limits) {
            Err(Error::Full) if reserve.use_up() => Host::open_index(path, limits),
            opened => opened,
        };
        let index = match index {
            Err(Error::Full) => Host::makeshift(path, limits),
            opened => opened,
        };
        let mut host = Host::begin(index?, limits);
        if let Some(inner) = Arc::get_mut(&mut host.inner) {
            inner.reserve = reserve;
        }
        Ok(host)
    }

    /// Whoever finds a full disk has to be able to delete mail.
    fn makeshift(path: &Path, limits: Limits) -> Result<Index, Error> {
        log::warn!(
            "index {}: there is no room to open it: until there is, what mailboxes have is found out anew",
            path.display()
        );
        let index = Index::makeshift(path, limits.index_cache_octets);
        index.map_err(fault("making an index in memory"))
    }

    fn open_index(path: &Path, limits: Limits) -> Result<Index, Error> {
        let index = match Index::open(path, limits.index_cache_octets) {
            Err(error) if error.is_damage() && crate::index::is_unfinished(path) => {
                log::info!("index {}: unfinished, made again", path.display());
                crate::index::remove(path).map_err(fault("removing an unfinished index"))?;
                Index::open(path, limits.index_cache_octets)
            }
            Err(IndexError::Older) => {
                log::info!("index {}: of an older version, made again", path.display());
                crate::index::remove(path).map_err(fault("removing an old index"))?;
                Index::open(path, limits.index_cache_octets)
            }
            Err(IndexError::Newer) => {
                let aside = Host::rename_aside(path, "newer")?;
                log::warn!(
                    "index {}: of a newer version, kept as {} and made again from the mail: nothing \
                     is lost; the newer version can have it back under its old name, or make its own",
                    path.display(),
                    aside.display()
                );
                Index::open(path, limits.index_cache_octets)
            }
            Err(error) if error.is_damage() => {
                log::error!("index {}: {error}", path.display());
                Host::begin_anew(path)?;
                Index::open(path, limits.index_cache_octets)
            }
            other => other,
        };
        index.map_err(fault("opening the index"))
    }

    /// Over Maildirs.
    #[cfg(test)]
    pub(super) fn with(index: Index, limits: Limits) -> Host {
        Host::over(index, Format::Maildir, limits)
    }

    /// Over mail of that form.
    #[cfg(test)]
    pub(super) fn over(index: Index, form: impl Into<Form>, limits: Limits) -> Host {
        Host::begin(index, limits).of(form)
    }

    #[cfg(test)]
    pub(super) fn open_in(
        path: &Path,
        form: impl Into<Form>,
        limits: Limits,
    ) -> Result<Host, Error> {
        Ok(Host::open(path, limits)?.of(form))
    }

    #[cfg(test)]
    fn of(mut self, form: impl Into<Form>) -> Host {
        Arc::get_mut(&mut self.inner).unwrap().form = form.into();
        self
    }

    fn begin(index: Index, limits: Limits) -> Host {
        let watch = Watch::new()
            .inspect_err(|e| log::info!("no inotify ({e}): directories are looked at instead"))
            .ok();
        Host::start(index, limits, watch)
    }

    /// As where the kernel has no inotify.
    #[cfg(test)]
    pub(super) fn unwatched(index: Index) -> Host {
        Host::start(index, Limits::default(), None)
    }

    /// Directories that were read as a whole so far.
    #[cfg(test)]
    pub(super) fn scans(&self) -> u32 {
        self.inner.scans.load(Ordering::Acquire)
    }

    fn start(index: Index, limits: Limits, watch: Option<Watch>) -> Host {
        if !index.was_clean() {
            log::info!(
                "the index was not closed: mailboxes are compared with their directories when they are opened"
            );
        }
        let pending = Arc::default();
        let inner = HostInner {
            index,
            watch,
            limits,
            accounts: Mutex::default(),
            dirty: AtomicBool::new(false),
            pending: Arc::downgrade(&pending),
            reserve: Reserve::default(),
            lost: Event::new(),
            in_line: Mutex::default(),
            bulky: AtomicBool::new(false),
            #[cfg(test)]
            form: Form::default(),
            #[cfg(test)]
            scans: Default::default(),
        };
        Host {
            inner: Arc::new(inner),
            kept: Arc::default(),
            pending,
            flushing: Arc::default(),
        }
    }

    /// The account of that user, whose mail lies below `root` in the host's own form.
    #[cfg(test)]
    pub(crate) fn account(&self, name: &str, root: &Path) -> Result<Account, Error> {
        let location = Location {
            root: root.to_owned(),
            form: self.inner.form.clone(),
        };
        self.account_at(name, &location)
    }

    /// The account of that user. While somebody uses it, it is where it was.
    pub(crate) fn account_at(&self, name: &str, location: &Location) -> Result<Account, Error> {
        let moved = |account: &Account| *account.0.location != *location;
        let account = {
            let mut accounts = lock(&self.inner.accounts);
            let used = accounts.used(name).map(Account::over);
            if used.as_ref().is_some_and(moved) {
                let used = used.as_ref().map(|used| Arc::as_ptr(&used.0));
                lock(&self.kept).retain(|kept| Some(Arc::as_ptr(&kept.0)) != used);
            }
            drop(used);
            match accounts.used(name) {
                Some(inner) => Account::over(inner),
                None => {
                    let id = self.inner.account_id(name)?;
                    self.add(&mut accounts, name, location, id, Prepared::default())
                }
            }
        };
        self.keep(account.clone());
        Ok(account)
    }

    /// The account of that user, prepared, if it was used a while ago; asks no disk.
    pub(crate) fn known_account(&self, name: &str, location: &Location) -> Option<Account> {
        // Who has the lock may be at the disk.
        let mut accounts = self.inner.accounts.try_lock().ok()?;
        let seen = accounts.seen(name, location)?;
        let (id, prepared) = (seen.id, seen.prepared.clone());
        if !prepared
            .try_lock()
            .is_ok_and(|at| is_recent(*at, Prepare::All))
        {
            return None;
        }
        let account = match accounts.used(name) {
            Some(inner) => Account::over(inner),
            None => self.add(&mut accounts, name, location, id, prepared),
        };
        drop(accounts);
        self.keep(account.clone());
        Some(account)
    }

    fn add(
        &self,
        accounts: &mut Known,
        name: &str,
        location: &Location,
        id: AccountId,
        prepared: Prepared,
    ) -> Account {
        let inner = Inner::new(self.inner.clone(), id, location, prepared);
        let inner = Arc::new(inner);
        accounts.put(name, &inner);
        Account::over(inner)
    }

    fn keep(&self, account: Account) {
        let mut kept = lock(&self.kept);
        kept.retain(|other| !Arc::ptr_eq(&other.0, &account.0));
        kept.push_back(account);
        let gone = (kept.len() > MAX_KEPT).then(|| kept.pop_front());
        drop(kept);
        drop(gone);
    }

    /// Readable when a watched directory changed; then `drain`.
    pub(crate) fn watch_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.watch.as_ref().map(Watch::fd)
    }

    /// Looks which mailboxes other programs changed, and wakes their sessions.
    pub(crate) fn drain(&self) {
        if let Some(watch) = &self.inner.watch {
            watch.drain();
        }
    }

    /// Has redb's own way of finding damage, a panic, noted and logged in one line.
    pub(crate) fn look_for_damage() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| crate::index::when_redb_panics(super::error::note_panic));
    }

    /// As `put_aside`, in a process that goes on: what was found of the damaged one is not said of the next.
    pub(crate) fn begin_anew(path: &Path) -> Result<(), Error> {
        Host::put_aside(path)?;
        super::error::forget_damage();
        Ok(())
    }

    /// Renames a damaged index file, so that the next `open` builds it anew and somebody can look at it.
    pub(crate) fn put_aside(path: &Path) -> Result<(), Error> {
        let aside = Host::rename_aside(path, "damaged")?;
        log::error!("the damaged index is kept as {}", aside.display());
        Ok(())
    }

    /// Returns the new name.
    fn rename_aside(path: &Path, what: &str) -> Result<PathBuf, Error> {
        let renamed = crate::index::set_aside(path, what);
        renamed.map_err(fault("putting the index aside"))
    }

    /// True once the index was found damaged. The process should put it aside then and end: the next
    /// one builds it anew.
    pub(crate) fn is_damaged() -> bool {
        super::error::is_damaged()
    }

    /// True if something waits for [`Host::flush`].
    pub(crate) fn is_dirty(&self) -> bool {
        self.inner.dirty.load(Ordering::Acquire)
    }

    /// True once the index cannot be used any more because the disk failed or was full: all that
    /// follows fails, too. Whoever opens the index again compares every mailbox with its directory.
    pub(crate) fn is_lost(&self) -> bool {
        self.inner.is_lost()
    }

    /// Has whoever listens ask whether the index is lost, or damaged.
    pub(crate) fn alarm(&self) {
        self.inner.lost.notify(usize::MAX);
    }

    /// Wakes when the index is lost, and by `alarm`. Make it, then ask, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        self.inner.lost.listen()
    }

    /// Writes side files that lag behind, then makes the index durable: it has no flags that the store has not.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.flush_with(|index| index.flush().map(|()| true))
    }

    /// As `flush`, to be called every second or so: of the index, which can be made anew, much that changed may wait a few
    /// times while more changes. It is dirty as long as it does.
    pub(crate) fn flush_unless_busy(&self) -> Result<(), Error> {
        self.flush_with(Index::flush_unless_busy)
    }

    fn flush_with(
        &self,
        flush: impl FnOnce(&Index) -> Result<bool, IndexError>,
    ) -> Result<(), Error> {
        // The process must not end before what another flush began is written.
        let _flushing = lock(&self.flushing);
        // An index that cannot be written is lost, and with it all sessions.
        self.inner.reserve.give_way();
        let mut pending = std::mem::take(&mut *lock(&self.pending));
        let mut first = Ok(());
        pending.retain(|waiting| {
            let settled = match waiting.lags {
                true => waiting.shared.settle(),
                false if waiting.flags => waiting.shared.sync_flags(),
                false => Ok(()),
            };
            waiting.shared.trim();
            first = first.and(settled);
            settled.is_err()
        });
        // What is committed from here on asks for the next flush.
        self.inner.dirty.store(false, Ordering::Release);
        let mut waiting = lock(&self.pending);
        if !waiting.is_empty() {
            self.inner.soil();
        }
        // What failed is tried again with the next flush, which the next change brings.
        waiting.extend(pending);
        drop(waiting);
        let flushed = flush(&self.inner.index);
        if matches!(flushed, Ok(false)) {
            self.inner.soil();
        }
        let mut flushed = flushed.map(drop);
        if self.inner.bulky.swap(false, Ordering::AcqRel) {
            flushed = flushed.and_then(|()| self.inner.index.settle());
            // redb frees what a commit left over in another one, which is not durable; until the next durable one
            // every page that is read looks for room in all parts of the buffer of that. Much was learned,
            // so much is read next.
            flushed = flushed.and_then(|()| self.inner.index.settle());
            crate::sys::memory::give_back_memory();
        }
        self.inner.notice_loss();
        self.inner.reserve.look();
        let flushed = flushed.map_err(fault("flushing the index"));
        // What failed first says why the rest did.
        flushed.map_err(|error| first.err().unwrap_or(error))
    }

    /// As `flush`, and notes that nothing is missing. The last call.
    pub(crate) fn close(&self) -> Result<(), Error> {
        lock(&self.kept).clear();
        self.flush()?;
        let lags = |waiting: &Pending| waiting.lags || waiting.flags;
        if lock(&self.pending).iter().any(lags) {
            // The next process has to compare mailboxes with their directories.
            return Ok(());
        }
        self.inner.index.close().map_err(fault("closing the index"))
    }
}

impl HostInner {
    /// The number of that user's account, which is made if there is none.
    fn account_id(&self, name: &str) -> Result<AccountId, Error> {
        let reader = self.index.read();
        let known = reader.and_then(|reader| reader.account(name));
        match known.map_err(fault("reading the index"))? {
            Some(id) => Ok(id),
            None => self.write(|w| w.account(name)),
        }
    }

    /// Something is committed but not durable yet.
    pub(super) fn soil(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// As [`Host::is_lost`]; one that was only for the time being is, once there is room for the real one.
    fn is_lost(&self) -> bool {
        self.index.is_lost() || self.index.is_makeshift() && self.reserve.has_room()
    }

    /// Wakes whoever waits for it if the index is lost.
    fn notice_loss(&self) {
        if self.is_lost() {
            self.lost.notify(usize::MAX);
        }
    }

    /// So many messages were in memory or learned at once.
    pub(super) fn note_bulk(&self, messages: usize) {
        if messages > BULK {
            self.bulky.store(true, Ordering::Release);
        }
    }

    /// The mailbox has something to write at the next flush.
    pub(super) fn settle_later(&self, shared: &Arc<Shared>) {
        self.wait(shared, |waiting| waiting.lags = true);
    }

    /// Flags of the mailbox are durable with the next flush.
    pub(super) fn sync_later(&self, shared: &Arc<Shared>) {
        self.wait(shared, |waiting| waiting.flags = true);
    }

    /// The index has too much of the mailbox, some of which goes at the next flush.
    pub(super) fn trim_later(&self, shared: &Arc<Shared>) {
        self.wait(shared, |_| ());
    }

    fn wait(&self, shared: &Arc<Shared>, note: impl FnOnce(&mut Pending)) {
        // Without a host nobody flushes.
        let Some(pending) = self.pending.upgrade() else {
            return;
        };
        let mut pending = lock(&pending);
        let mut waiting = pending.iter_mut();
        match waiting.find(|own| Arc::ptr_eq(&own.shared, shared)) {
            Some(own) => note(own),
            None => {
                let mut own = Pending {
                    shared: shared.clone(),
                    lags: false,
                    flags: false,
                    _account: shared.account.upgrade(),
                };
                note(&mut own);
                pending.push(own);
            }
        }
        self.soil();
    }

    /// True if the index knew of the mailbox all that its directories have when somebody last looked.
    pub(super) fn is_in_line(&self, mailbox: MailboxId) -> bool {
        let known = lock(&self.in_line).get(&mailbox).copied();
        known.unwrap_or_else(|| self.index.ends_since(mailbox).is_ok_and(|ends| ends == 0))
    }

    /// True if this process compared the mailbox with its directories, or failed to.
    pub(super) fn was_looked_at(&self, mailbox: MailboxId) -> bool {
        lock(&self.in_line).contains_key(&mailbox)
    }

    /// As `set_in_line`, unless this process looked before.
    pub(super) fn set_in_line_at_first(&self, mailbox: MailboxId) {
        lock(&self.in_line).entry(mailbox).or_insert(true);
    }

    pub(super) fn set_in_line(&self, mailbox: MailboxId, in_line: bool) {
        lock(&self.in_line).insert(mailbox, in_line);
    }

    /// One write transaction that the store could rebuild.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut crate::index::Writer<'_>) -> Result<T, crate::index::Error>,
    ) -> Result<T, Error> {
        self.write_with(Durable::Later, work)
    }

    pub(super) fn write_with<T>(
        &self,
        durable: Durable,
        work: impl FnOnce(&mut crate::index::Writer<'_>) -> Result<T, crate::index::Error>,
    ) -> Result<T, Error> {
        let result = self
            .index
            .write(durable, work)
            .map_err(fault("writing the index"));
        self.soil();
        if result.is_err() {
            self.notice_loss();
        }
        result
    }
}
