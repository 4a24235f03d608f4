//! Waiting for descriptors, deadlines and other threads: one epoll for all tasks of a thread.
//!
//! Tasks, streams and channels are smol's; the waiting is not. smol's reactor serves many threads and
//! has a helper thread that takes turns at epoll with them: an event then costs a switch to the helper
//! and one back, and every wait a change of what epoll waits for. A role here has one thread of tasks.
//! Its descriptors stay in epoll as they are, edge-triggered (epoll(7)), and an event that nobody
//! waits for is only noted. A [`Signal`] is silent between two waits for it.

use super::deadline;
use super::quiet::Quiet;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use smol::io::{AsyncRead, AsyncWrite};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Events taken at once.
const EVENTS: usize = 64;
/// Turns of busy tasks between two looks at the descriptors.
const TURNS: u32 = 8;
/// The key of the bell; sources have lower ones.
const BELL: u64 = u64::MAX;
/// The longest wait in one turn: days, in milliseconds that fit into what any kernel takes.
const MAX_WAIT_MS: u64 = 1 << 30;

/// Wakes the thread from others.
struct Bell {
    event: OwnedFd,
    state: AtomicU8,
}

const AWAKE: u8 = 0;
const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            // Edge-triggered: nobody needs to read it. It cannot overflow in the age of the universe.
            rustix::io::write(&self.event, &1u64.to_ne_bytes()).ok();
        }
    }
}

/// What is known of a descriptor.
struct Readiness {
    key: usize,
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The peer ends: there may be an end to be read behind whatever comes.
    ending: Cell<bool>,
    /// The peer neither sends nor reads any more.
    gone: Cell<bool>,
    /// epoll tells when it can be written.
    watched_for_room: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

/// The epoll of a thread.
struct Reactor {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    sources: RefCell<Vec<Option<Rc<Readiness>>>>,
    free: RefCell<Vec<usize>>,
}

thread_local! {
    static REACTOR: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

impl Reactor {
    /// The one of this thread, made at the first time.
    fn current() -> io::Result<Rc<Reactor>> {
        REACTOR.with(|current| {
            let mut current = current.borrow_mut();
            if let Some(reactor) = &*current {
                return Ok(reactor.clone());
            }
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let flags = EventFlags::IN | EventFlags::ET;
            epoll::add(&epoll, &event, EventData::new_u64(BELL), flags)?;
            let reactor = Rc::new(Reactor {
                epoll,
                bell: Arc::new(Bell {
                    event,
                    state: AtomicU8::new(AWAKE),
                }),
                sources: RefCell::default(),
                free: RefCell::default(),
            });
            *current = Some(reactor.clone());
            Ok(reactor)
        })
    }

    fn add(&self, descriptor: BorrowedFd<'_>, flags: EventFlags) -> io::Result<Rc<Readiness>> {
        let mut sources = self.sources.borrow_mut();
        let key = self.free.borrow_mut().pop().unwrap_or(sources.len());
        let data = EventData::new_u64(key as u64);
        if let Err(error) = epoll::add(&self.epoll, descriptor, data, flags) {
            if key < sources.len() {
                self.free.borrow_mut().push(key);
            }
            return Err(error.into());
        }
        let readiness = Rc::new(Readiness {
            key,
            // Whether it is so is seen at the first try.
            readable: Cell::new(true),
            writable: Cell::new(true),
            ending: Cell::new(false),
            gone: Cell::new(false),
            watched_for_room: Cell::new(false),
            reader: Cell::new(None),
            writer: Cell::new(None),
        });
        if key == sources.len() {
            sources.push(None);
        }
        if let Some(place) = sources.get_mut(key) {
            *place = Some(readiness.clone());
        }
        Ok(readiness)
    }

    fn remove(&self, descriptor: BorrowedFd<'_>, key: usize) {
        // A descriptor that was passed on lives elsewhere: closing it would not take it out of epoll.
        epoll::delete(&self.epoll, descriptor).ok();
        if let Some(place) = self.sources.borrow_mut().get_mut(key) {
            *place = None;
            self.free.borrow_mut().push(key);
        }
    }

    /// Waits at most so long for events and wakes their tasks.
    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Option<Duration>) {
        // Rounded up, so that a deadline is over when its time has come.
        let millis = |time: Duration| (time + Duration::from_nanos(999_999)).as_millis();
        let timeout = timeout.map(|time| {
            let millis = u64::try_from(millis(time)).unwrap_or(u64::MAX);
            let time = Duration::from_millis(millis.min(MAX_WAIT_MS));
            Timespec::try_from(time).unwrap_or_default()
        });
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => log::error!("epoll_wait: {error}"),
        }
        // From here on nobody has to ring.
        self.bell.state.store(AWAKE, Ordering::Release);
        let sources = self.sources.borrow();
        for event in events.iter() {
            let key = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            if let Some(Some(readiness)) = sources.get(key) {
                readiness.note(event.flags);
            }
        }
    }
}

impl Readiness {
    fn note(&self, flags: EventFlags) {
        let end = EventFlags::HUP | EventFlags::ERR;
        let ending = end | EventFlags::RDHUP;
        if flags.intersects(ending) {
            self.ending.set(true);
        }
        if flags.intersects(end) {
            self.gone.set(true);
        }
        if flags.intersects(ending | EventFlags::IN) {
            self.readable.set(true);
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        if flags.intersects(end | EventFlags::OUT) {
            self.writable.set(true);
            self.writer.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// Runs a future, with the tasks in it, on this thread until it is done. Errors: the kernel gives no epoll.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let reactor = Reactor::current()?;
    let bell = &reactor.bell;
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut events = Vec::with_capacity(EVENTS);
    let mut turns = 0;
    let mut quiet = Quiet::default();
    loop {
        bell.state.store(AWAKE, Ordering::Release);
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Ok(done);
        }
        let next = deadline::due();
        let slept = bell
            .state
            .compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        if slept.is_ok() {
            let timeout = next.map(|next| next.saturating_duration_since(Instant::now()));
            quiet.wait(timeout, |time| {
                // At the second time it may have been rung meanwhile.
                let slept =
                    bell.state
                        .compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
                if slept == Err(RUNG) {
                    return true;
                }
                reactor.wait(&mut events, time);
                !events.is_empty()
            });
            turns = 0;
        } else {
            turns += 1;
            if turns % TURNS == 0 {
                reactor.wait(&mut events, Some(Duration::ZERO));
            }
        }
    }
}

/// A descriptor whose reads and writes can be waited for, by tasks of the thread that made it.
pub(super) struct Source<T: AsFd> {
    io: T,
    reactor: Rc<Reactor>,
    readiness: Rc<Readiness>,
}

/// What is known of whoever is on the other side, without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    There,
    /// It sends nothing more. Whether it still reads is seen when something is written.
    Silent,
    Gone,
}

impl<T: AsFd> Source<T> {
    pub(super) fn io(&self) -> &T {
        &self.io
    }

    /// As the last events told.
    pub(super) fn peer(&self) -> Peer {
        match (self.readiness.gone.get(), self.readiness.ending.get()) {
            (true, _) => Peer::Gone,
            (false, true) => Peer::Silent,
            (false, false) => Peer::There,
        }
    }

    /// The descriptor does not block from now on.
    pub(super) fn new(io: T) -> io::Result<Source<T>> {
        rustix::io::ioctl_fionbio(&io, true)?;
        let reactor = Reactor::current()?;
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let readiness = reactor.add(io.as_fd(), flags)?;
        Ok(Source {
            io,
            reactor,
            readiness,
        })
    }

    fn poll_read_with<R>(
        &self,
        context: &mut Context<'_>,
        mut read: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        while self.readiness.readable.get() {
            match read(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.readable.set(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
        self.readiness.reader.set(Some(context.waker().clone()));
        Poll::Pending
    }

    fn poll_write_with<R>(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        while self.readiness.writable.get() {
            match write(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.await_room()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
        self.readiness.writer.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// From the first time that there is no room, epoll tells when there is.
    fn await_room(&self) -> io::Result<()> {
        self.readiness.writable.set(false);
        if !self.readiness.watched_for_room.replace(true) {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let data = EventData::new_u64(self.readiness.key as u64);
            // Tells at once if there is room by now.
            epoll::modify(&self.reactor.epoll, &self.io, data, flags)?;
        }
        Ok(())
    }

    /// Calls `read` until it does something else than to say `WouldBlock`: now, and after every event.
    pub(super) async fn read_with<R>(
        &self,
        mut read: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|context| self.poll_read_with(context, &mut read)).await
    }

    /// As [`Source::read_with`], for room to write.
    pub(super) async fn write_with<R>(
        &self,
        mut write: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|context| self.poll_write_with(context, &mut write)).await
    }
}

/// A descriptor that others read. While nobody waits for it, what comes wakes nobody.
pub(super) struct Signal {
    descriptor: OwnedFd,
    reactor: Rc<Reactor>,
    readiness: Rc<Readiness>,
}

impl Signal {
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Signal> {
        let reactor = Reactor::current()?;
        let readiness = reactor.add(descriptor.as_fd(), EventFlags::ONESHOT)?;
        Ok(Signal {
            descriptor,
            reactor,
            readiness,
        })
    }

    /// Waits until something can be read, which may have come before.
    pub(super) async fn wait(&self) -> io::Result<()> {
        self.readiness.readable.set(false);
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        let data = EventData::new_u64(self.readiness.key as u64);
        epoll::modify(&self.reactor.epoll, &self.descriptor, data, flags)?;
        poll_fn(|context| {
            if self.readiness.readable.take() {
                return Poll::Ready(Ok(()));
            }
            self.readiness.reader.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.reactor
            .remove(self.descriptor.as_fd(), self.readiness.key);
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.reactor.remove(self.io.as_fd(), self.readiness.key);
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsyncRead for Source<Arc<UnixStream>> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.poll_read_with(context, |stream| (&**stream).read(into));
        if let Poll::Ready(Ok(count)) = polled
            && count < into.len()
            && !self.readiness.ending.get()
        {
            // A stream that gives less than it could has nothing more; what comes is an event.
            self.readiness.readable.set(false);
        }
        polled
    }
}

impl AsyncWrite for Source<Arc<UnixStream>> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| (&**stream).write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.io.shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{or, zip};
    use smol::io::{AsyncReadExt, AsyncWriteExt};

    fn source(stream: UnixStream) -> Source<Arc<UnixStream>> {
        Source::new(Arc::new(stream)).unwrap()
    }

    fn pair() -> (Source<Arc<UnixStream>>, Source<Arc<UnixStream>>) {
        let (a, b) = UnixStream::pair().unwrap();
        (source(a), source(b))
    }

    #[test]
    fn much_goes_through_a_stream_and_its_end_too() {
        let (mut near, mut far) = pair();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let received = block_on(async {
            let send = async move {
                near.write_all(&sent).await.unwrap();
                near.close().await.unwrap();
                near
            };
            let receive = async {
                let mut all = Vec::new();
                far.read_to_end(&mut all).await.unwrap();
                all
            };
            zip(send, receive).await.1
        });
        assert!(received.unwrap() == bytes);
    }

    /// Octets and the end may come with one event: the end must not be waited for then.
    #[test]
    fn an_end_behind_octets_is_seen() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut far = source(far);
        let seen = block_on(async {
            let mut bytes = [0; 100];
            let send = async {
                (&near).write_all(b"x").unwrap();
                near.shutdown(std::net::Shutdown::Write).unwrap();
            };
            let receive = async {
                let first = far.read(&mut bytes).await.unwrap();
                (first, far.read(&mut bytes).await.unwrap())
            };
            let ((), seen) = zip(
                send,
                or(receive, async {
                    deadline::after(Duration::from_secs(5)).await;
                    (9, 9)
                }),
            )
            .await;
            seen
        });
        assert_eq!(seen.unwrap(), (1, 0));
    }

    #[test]
    fn another_thread_wakes_a_sleeping_one() {
        let (sender, receiver) = smol::channel::bounded(1);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            sender.send_blocking(7).unwrap();
        });
        let received = block_on(or(async { receiver.recv().await.ok() }, async {
            deadline::after(Duration::from_secs(5)).await;
            None
        }));
        assert_eq!(received.unwrap(), Some(7));
        thread.join().unwrap();
    }

    #[test]
    fn descriptors_that_live_elsewhere_are_forgotten() {
        let (near, far) = UnixStream::pair().unwrap();
        let elsewhere = far.try_clone().unwrap();
        drop(Source::new(far).unwrap());
        let mut other = pair();
        (&near).write_all(b"x").unwrap();
        let nothing = block_on(or(
            async {
                let _ = other.0.read(&mut [0]).await;
                false
            },
            async {
                deadline::after(Duration::from_millis(20)).await;
                true
            },
        ));
        assert!(nothing.unwrap());
        assert!(
            !other.0.readiness.readable.get(),
            "it has the place of the other"
        );
        drop(elsewhere);
    }

    /// A session that renamed 10,000 files woke the thread of all sessions 6,000 times.
    #[test]
    fn what_comes_while_nobody_waits_wakes_nobody() {
        let (near, far) = UnixStream::pair().unwrap();
        let signal = Signal::new(far.into()).unwrap();
        let reactor = Reactor::current().unwrap();
        let mut events = Vec::with_capacity(EVENTS);
        let mut come = || {
            (&near).write_all(b"x").unwrap();
            reactor.wait(&mut events, Some(Duration::from_millis(20)));
            events.len()
        };
        assert_eq!((come(), come()), (0, 0));
        // What came before is an event, once for each wait.
        for _ in 0..2 {
            block_on(signal.wait()).unwrap().unwrap();
            assert_eq!((come(), come()), (0, 0));
        }
    }
}
