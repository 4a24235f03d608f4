//! Threads that may block: on the disk, or on a slow hash.
//!
//! Unlike those of the `blocking` crate they do not look up twice a second while there is nothing
//! to do, and work whose end nobody waits for wakes nobody.

use crate::mailbox::Host;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

type Work = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const STAY: Duration = Duration::from_secs(20);

/// Threads that end by themselves when there is nothing to do. All of them end with the process.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    /// Threads at most.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// Threads that wait; the last one to do so works next, so that the others can end.
    idle: Vec<Thread>,
    threads: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of at most so many threads; none of them runs yet.
    pub(super) fn new(threads: u32) -> Pool {
        Pool(Arc::new(Shared {
            limit: usize::try_from(threads).unwrap_or(1).max(1),
            state: Mutex::default(),
        }))
    }

    /// Runs the work beside, once a thread is free. If it panics, only the log says so.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.0.state);
        state.queue.push_back(Box::new(work));
        if let Some(thread) = state.idle.pop() {
            drop(state);
            thread.unpark();
        } else if state.threads < self.0.limit {
            state.threads += 1;
            let shared = self.0.clone();
            drop(state);
            let started = thread::Builder::new().spawn(move || shared.work());
            if let Err(error) = started {
                let mut state = lock(&self.0.state);
                state.threads -= 1;
                log::error!("a thread cannot be started: {error}");
                // With no thread at all nobody would ever come for it.
                if state.threads == 0 {
                    let work = state.queue.pop_back();
                    drop(state);
                    work.into_iter().for_each(|work| work());
                }
            }
        }
    }

    /// Runs the work beside and waits for its result; panics if it did.
    pub(super) async fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let awaited = Arc::new(Mutex::new(Awaited {
            result: None,
            waker: None,
        }));
        let there = awaited.clone();
        self.run(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            let mut awaited = lock(&there);
            awaited.result = Some(result);
            let waker = awaited.waker.take();
            drop(awaited);
            waker.into_iter().for_each(Waker::wake);
        });
        let result = poll_fn(|context| {
            let mut awaited = lock(&awaited);
            match awaited.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    awaited.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        result.await.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

struct Awaited<T> {
    result: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

impl Shared {
    /// The life of one thread.
    fn work(&self) {
        let own = thread::current();
        let mut state = lock(&self.state);
        loop {
            while let Some(work) = state.queue.pop_front() {
                drop(state);
                let worked = catch_unwind(AssertUnwindSafe(work));
                if worked.is_err() && !Host::is_damaged() {
                    log::error!("work on the disk panicked; others go on");
                }
                state = lock(&self.state);
            }
            state.idle.push(own.clone());
            let until = Instant::now() + STAY;
            loop {
                drop(state);
                thread::park_timeout(until.saturating_duration_since(Instant::now()));
                state = lock(&self.state);
                let place = state.idle.iter().position(|idle| idle.id() == own.id());
                match place {
                    // Taken off by somebody who has work.
                    None => break,
                    Some(place) if Instant::now() >= until => {
                        state.idle.remove(place);
                        state.threads -= 1;
                        return;
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn work_is_done_by_no_more_threads_than_allowed() {
        let pool = Pool::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let one = |n: usize| {
            let (now, most) = (now.clone(), most.clone());
            pool.unblock(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
                n
            })
        };
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = (0..8).map(|n| executor.spawn(one(n))).collect();
        let sum = smol::block_on(executor.run(async {
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        }));
        assert_eq!(sum, 28);
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!(lock(&pool.0.state).threads, 2);
    }

    #[test]
    fn panics_reach_who_waits_and_end_no_thread() {
        let pool = Pool::new(1);
        pool.run(|| panic!("on purpose"));
        let waited = catch_unwind(AssertUnwindSafe(|| {
            smol::block_on(pool.unblock(|| panic!("on purpose")))
        }));
        assert!(waited.is_err());
        assert_eq!(smol::block_on(pool.unblock(|| 7)), 7);
    }
}
