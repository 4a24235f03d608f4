//! Noticing what other programs do in a mailbox's directories.
//!
//! Own operations announce how many events they cause; events are only counted. Whatever is over or
//! under, once no operation is under way, was somebody else.

use super::host::lock;
use super::shared::Shared;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

/// One inotify descriptor for all mailboxes of a process.
pub(super) struct Watch {
    fd: OwnedFd,
    boxes: Mutex<HashMap<i32, Weak<Shared>>>,
    /// Held while events are taken and counted: whoever comes meanwhile waits until the counts
    /// are right, and so sees whatever happened before.
    draining: Mutex<()>,
}

const BUFFER_OCTETS: usize = 16 * 1024;

impl Watch {
    pub(super) fn new() -> std::io::Result<Watch> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Watch {
            fd,
            boxes: Mutex::default(),
            draining: Mutex::default(),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Starts to count events of these directories for the mailbox; the watches' numbers, or `None`
    /// if the kernel gives no more of them.
    pub(super) fn add(&self, shared: &Arc<Shared>, directories: &[PathBuf]) -> Option<Vec<i32>> {
        let flags = WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        // One lock for all: somebody who forgets the same directories must not take the watch away.
        let mut boxes = lock(&self.boxes);
        let mut numbers = Vec::with_capacity(directories.len());
        for path in directories {
            match inotify::add_watch(&self.fd, path, flags) {
                Ok(number) => numbers.push(number),
                Err(error) => {
                    log::info!("cannot watch {}: {error}", path.display());
                    numbers.retain(|number| !boxes.contains_key(number));
                    numbers.iter().for_each(|number| {
                        let _ = inotify::remove_watch(&self.fd, *number);
                    });
                    return None;
                }
            }
        }
        numbers.iter().for_each(|number| {
            boxes.insert(*number, Arc::downgrade(shared));
        });
        Some(numbers)
    }

    /// Ends these watches unless another mailbox has them by now.
    pub(super) fn remove(&self, numbers: &[i32], owner: *const Shared) {
        let mut boxes = lock(&self.boxes);
        for number in numbers {
            if boxes.get(number).is_some_and(|own| own.as_ptr() == owner) {
                boxes.remove(number);
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
    }
}
