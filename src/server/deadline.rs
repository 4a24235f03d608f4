//! Deadlines of tasks. Almost everything that waits here waits with one, and hardly any is ever
//! reached: to set and to drop one only touches memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// When, and a number that tells deadlines of the same moment apart.
type Key = (Instant, u64);

/// The deadlines of the tasks of one thread.
#[derive(Default)]
struct Deadlines {
    waiting: BTreeMap<Key, Waker>,
    next: u64,
}

thread_local! {
    static DEADLINES: RefCell<Deadlines> = RefCell::default();
}

/// Wakes every task of this thread whose time has come; returns when the next one's does.
pub(super) fn due() -> Option<Instant> {
    loop {
        let waker = DEADLINES.with(|all| {
            let mut all = all.borrow_mut();
            let first = all.waiting.first_entry()?;
            let at = first.key().0;
            Some(if at <= Instant::now() {
                Ok(first.remove())
            } else {
                Err(at)
            })
        });
        match waker? {
            Ok(waker) => waker.wake(),
            Err(at) => return Some(at),
        }
    }
}

/// Ends after a time. Only inside of `reactor::block_on`.
pub(super) fn after(patience: Duration) -> Deadline {
    Deadline {
        at: Instant::now().checked_add(patience),
        number: None,
    }
}

/// Ends once other tasks of this thread, and the descriptors, had their turn.
pub(super) fn turn() -> Deadline {
    let at = Instant::now();
    let number = DEADLINES.with(|all| {
        let mut all = all.borrow_mut();
        let number = all.next;
        all.next += 1;
        // The task's own waker comes when it waits.
        all.waiting.insert((at, number), Waker::noop().clone());
        number
    });
    Deadline {
        at: Some(at),
        number: Some(number),
    }
}

/// Rounds of a task between two turns of the others.
const ROUNDS: u32 = 4;

/// For a loop whose peer may always have something to say: others have their turns too.
#[derive(Default)]
pub(super) struct Rounds(u32);

impl Rounds {
    /// Once in each round.
    pub(super) async fn next(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(ROUNDS) {
            turn().await;
        }
    }
}

/// Runs the future, at most so long. Errors: `TimedOut`, and its own.
pub(super) async fn within<T>(
    patience: Duration,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut future = pin!(future);
    let mut deadline = None;
    poll_fn(|context| {
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        let deadline = deadline.get_or_insert_with(|| after(patience));
        Pin::new(deadline)
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// See [`after`].
pub(super) struct Deadline {
    /// `None`: beyond all times.
    at: Option<Instant>,
    /// Once it waits.
    number: Option<u64>,
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        DEADLINES.with(|all| {
            let mut all = all.borrow_mut();
            match self.number {
                None if at <= Instant::now() => return Poll::Ready(()),
                None => {
                    let number = all.next;
                    all.next += 1;
                    self.number = Some(number);
                    all.waiting.insert((at, number), context.waker().clone());
                }
                Some(number) => match all.waiting.get_mut(&(at, number)) {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => return Poll::Ready(()),
                },
            }
            Poll::Pending
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let (Some(at), Some(number)) = (self.at, self.number) {
            // Not there any more in a thread that ends.
            let waker = DEADLINES.try_with(|all| all.borrow_mut().waiting.remove(&(at, number)));
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::reactor::block_on;
    use smol::future::{or, pending};

    #[test]
    fn deadlines_end_in_their_order() {
        let order = RefCell::new(Vec::new());
        let began = Instant::now();
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = [40, 1, 20]
            .map(|ms| {
                let deadline = Deadline {
                    at: began.checked_add(Duration::from_millis(ms)),
                    number: None,
                };
                let order = &order;
                executor.spawn(async move {
                    deadline.await;
                    order.borrow_mut().push(ms);
                })
            })
            .into();
        let all = executor.run(async {
            for task in tasks {
                task.await;
            }
        });
        block_on(or(after(Duration::from_secs(60)), all)).unwrap();
        assert_eq!(*order.borrow(), [1, 20, 40]);
        assert!(began.elapsed() >= Duration::from_millis(40));
        assert_eq!(DEADLINES.with(|all| all.borrow().waiting.len()), 0);
    }

    #[test]
    fn a_task_that_never_waits_lets_others_go_on() {
        // A client that never stopped sending stopped every other one.
        let executor = smol::LocalExecutor::new();
        let busy = executor.spawn(async {
            let mut rounds = Rounds::default();
            loop {
                rounds.next().await;
            }
        });
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let waiting = crate::server::transport::socket(far.into()).unwrap();
        io::Write::write_all(&mut &near, b"x").unwrap();
        let other = async {
            let mut octet = [0];
            smol::io::AsyncReadExt::read_exact(&mut { waiting }, &mut octet)
                .await
                .unwrap();
            after(Duration::from_millis(5)).await;
            true
        };
        let late = async {
            after(Duration::from_secs(60)).await;
            false
        };
        assert!(block_on(executor.run(or(other, late))).unwrap());
        drop(busy);
    }

    #[test]
    fn what_is_ready_needs_no_deadline() {
        let kind = |result: io::Result<u8>| result.map_err(|error| error.kind());
        let ready = block_on(within(Duration::ZERO, async { Ok(7) })).unwrap();
        assert_eq!(kind(ready), Ok(7));
        let never = pending::<io::Result<u8>>();
        let late = block_on(within(Duration::from_millis(5), never)).unwrap();
        assert_eq!(kind(late), Err(io::ErrorKind::TimedOut));
        block_on(or(after(Duration::MAX), after(Duration::from_millis(1)))).unwrap();
    }
}
