//! Noticing what other programs do in a mailbox's directories.
//!
//! Own operations announce how many events they cause; events are only counted. Whatever is over or
//! under, once no operation is under way, was somebody else.

use super::account::Inner;
use super::host::lock;
use super::shared::Shared;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::HashMap;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

/// One inotify descriptor for all mailboxes of a process.
pub(super) struct Watch {
    fd: OwnedFd,
    boxes: Mutex<HashMap<i32, Weak<Shared>>>,
    /// Whose mailboxes lie below a directory.
    accounts: Mutex<HashMap<i32, Weak<Inner>>>,
    /// Held while events are taken and counted: whoever comes meanwhile waits until the counts
    /// are right, and so sees whatever happened before.
    draining: Mutex<()>,
}

const BUFFER_OCTETS: usize = 16 * 1024;

/// Files that come and go.
const IN_DIRECTORY: WatchFlags = WatchFlags::MOVED_FROM
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// What is written, and that the file has lost its name: an open one that another takes the place of is not deleted.
const OF_FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF);

impl Watch {
    pub(super) fn new() -> std::io::Result<Watch> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Watch {
            fd,
            boxes: Mutex::default(),
            accounts: Mutex::default(),
            draining: Mutex::default(),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Starts to count events of these directories for the mailbox; the watches' numbers, or `None`
    /// if the kernel gives no more of them.
    pub(super) fn add(&self, shared: &Arc<Shared>, directories: &[PathBuf]) -> Option<Vec<i32>> {
        self.add_for(&self.boxes, shared, directories, IN_DIRECTORY)
    }

    /// As `add`, for a file that holds the messages: each change of it is an event.
    pub(super) fn add_file(&self, shared: &Arc<Shared>, file: &Path) -> Option<Vec<i32>> {
        self.add_for(&self.boxes, shared, &[file.to_path_buf()], OF_FILE)
    }

    /// As `add`, for what says which mailboxes there are.
    pub(super) fn add_names(
        &self,
        account: &Arc<Inner>,
        directories: &[PathBuf],
    ) -> Option<Vec<i32>> {
        self.add_for(&self.accounts, account, directories, IN_DIRECTORY)
    }

    fn add_for<T>(
        &self,
        owners: &Mutex<HashMap<i32, Weak<T>>>,
        owner: &Arc<T>,
        paths: &[PathBuf],
        flags: WatchFlags,
    ) -> Option<Vec<i32>> {
        // One lock for all: somebody who forgets the same directories must not take the watch away.
        let mut owners = lock(owners);
        let mut numbers = Vec::with_capacity(paths.len());
        for path in paths {
            match inotify::add_watch(&self.fd, path, flags) {
                Ok(number) => numbers.push(number),
                Err(error) => {
                    log::info!("cannot watch {}: {error}", path.display());
                    numbers.retain(|number| !owners.contains_key(number));
                    numbers.iter().for_each(|number| {
                        let _ = inotify::remove_watch(&self.fd, *number);
                    });
                    return None;
                }
            }
        }
        numbers.iter().for_each(|number| {
            owners.insert(*number, Arc::downgrade(owner));
        });
        Some(numbers)
    }

    /// Ends these watches unless another mailbox has them by now.
    pub(super) fn remove(&self, numbers: &[i32], owner: *const Shared) {
        self.remove_for(&self.boxes, numbers, owner);
    }

    pub(super) fn remove_names(&self, numbers: &[i32], owner: *const Inner) {
        self.remove_for(&self.accounts, numbers, owner);
    }

    fn remove_for<T>(
        &self,
        owners: &Mutex<HashMap<i32, Weak<T>>>,
        numbers: &[i32],
        owner: *const T,
    ) {
        let mut owners = lock(owners);
        for number in numbers {
            if owners.get(number).is_some_and(|own| own.as_ptr() == owner) {
                owners.remove(number);
                let _ = inotify::remove_watch(&self.fd, *number);
            }
        }
    }

    /// Takes all events that wait and gives them to their mailboxes.
    pub(super) fn drain(&self) {
        let _draining = lock(&self.draining);
        let mut buffer = [MaybeUninit::uninit(); BUFFER_OCTETS];
        let mut counts: Vec<(i32, i64)> = Vec::new();
        let mut lost: Vec<i32> = Vec::new();
        // Where a name came or went that may be a mailbox's.
        let mut named: Vec<i32> = Vec::new();
        let mut overflow = false;
        {
            let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
            while let Ok(event) = reader.next() {
                if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                    overflow = true;
                } else if event.events().contains(ReadFlags::IGNORED) {
                    lost.push(event.wd());
                    continue;
                }
                if event.file_name().is_some_and(may_name) && !named.contains(&event.wd()) {
                    named.push(event.wd());
                }
                match counts.iter_mut().find(|(number, _)| *number == event.wd()) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((event.wd(), 1)),
                }
            }
        }
        let mut told: Vec<(Arc<Shared>, i64)> = Vec::new();
        let gone: Vec<Arc<Shared>>;
        {
            let mut boxes = lock(&self.boxes);
            // Those that we ended ourselves are not there any more.
            let ended = lost.iter().filter_map(|number| boxes.remove(number));
            gone = ended.filter_map(|shared| shared.upgrade()).collect();
            if overflow {
                told.extend(
                    boxes
                        .values()
                        .filter_map(Weak::upgrade)
                        .map(|shared| (shared, 0)),
                );
            }
            for (number, count) in counts {
                told.extend(
                    boxes
                        .get(&number)
                        .and_then(Weak::upgrade)
                        .map(|shared| (shared, count)),
                );
            }
        }
        for (shared, count) in told {
            shared.count_events(count, overflow);
        }
        gone.iter().for_each(|shared| shared.lose_watches());
        self.tell_accounts(&named, &lost, overflow);
    }

    /// Gives accounts the events of what says which mailboxes there are.
    fn tell_accounts(&self, named: &[i32], lost: &[i32], overflow: bool) {
        let mut accounts = lock(&self.accounts);
        let changed = accounts
            .iter()
            .filter(|(number, _)| overflow || named.contains(*number));
        let changed: Vec<Arc<Inner>> = changed.filter_map(|(_, own)| own.upgrade()).collect();
        let ended = lost.iter().filter_map(|number| accounts.remove(number));
        let ended: Vec<Arc<Inner>> = ended.filter_map(|own| own.upgrade()).collect();
        drop(accounts);
        ended
            .iter()
            .for_each(|account| account.names.lose_watches());
        for account in changed.iter().chain(&ended) {
            account.names.doubt();
            account.woken.notify(usize::MAX);
        }
    }
}

/// True for what a change of mailboxes or subscriptions touches, which is little of all that happens where
/// INBOX has its side files.
fn may_name(file: &CStr) -> bool {
    let file = file.to_bytes();
    file == b"subscriptions" || file.starts_with(b".") && !file.starts_with(b"..")
}
