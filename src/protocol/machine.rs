//! The seam between a session and whoever moves its bytes.

use event_listener::EventListener;
use std::time::Duration;

/// A session as a state machine: it never reads, writes, waits or blocks by itself.
///
/// The driver calls `input` with what came, then `advance` until it says `NeedInput` or `Wait`,
/// then waits for the next input or event.
pub(crate) trait Machine: Send + 'static {
    /// What the machine asks its process for (credentials to verify, a recipient to look up).
    type Question: Send;
    /// What its process answers.
    type Answer: Send;

    /// Takes bytes from the peer and returns how many it took (all of them unless its bounded
    /// buffer is full). Only copies.
    fn input(&mut self, bytes: &[u8]) -> usize;

    /// Goes on until something outside has to happen.
    fn advance(&mut self, turn: Turn, out: &mut Output) -> Progress<Self::Question>;

    /// Tells the answer to the last question.
    fn answer(&mut self, answer: Self::Answer);

    /// Tells that something happened while the driver waited. `advance` follows.
    fn event(&mut self, event: Event);

    /// How long the peer may stay silent now before `Event::TimedOut`.
    fn patience(&self) -> Duration;
}

/// A session after login. What it waits for besides its client: nothing, if it does not say so.
pub(crate) trait Resident: Machine<Question = (), Answer = ()> {
    /// What to wait for besides input after `Progress::Wait`; make it, then ask `is_stale`.
    fn listener(&self) -> Option<EventListener> {
        None
    }

    /// True if there is news for the client already.
    fn is_stale(&self) -> bool {
        false
    }

    /// True while a command runs that has not begun to answer.
    fn is_silent(&self) -> bool {
        false
    }

    /// Says something that tells nothing, while a command is silent: whoever has left refuses it, and
    /// that is noticed.
    fn sign_of_life(&self, _out: &mut Output) {}

    /// After `Progress::Compress`: what came behind the command already, which is compressed.
    fn take_compressed(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Why the server ended the session, and what the client did last; `None` if the client ended it.
    fn farewell(&self) -> Option<String>;
}

/// Where `advance` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// On the thread of all sessions: must not touch files.
    Quick,
    /// On a thread that may block: the machine said `Disk` before.
    Disk,
}

/// What has to happen before `advance` is called again.
#[derive(Debug)]
pub(crate) enum Progress<Q> {
    /// More bytes from the peer. All output is to be written first; buffers may be freed.
    NeedInput,
    /// Output is to be written, then `advance` (`Quick`).
    Flush,
    /// `advance` with `Turn::Disk`.
    Disk,
    /// As `NeedInput`, but a wake of the mailbox counts too (IDLE).
    Wait,
    /// The question is to be answered with `answer`.
    Ask(Q),
    /// Output is to be written, unread input forgotten, then TLS begun; then `advance`.
    StartTls,
    /// Output is to be written, then both directions are compressed (RFC 4978 section 3); then `advance`.
    Compress,
    /// Output is to be written, then the machine has ended and can be taken apart.
    Done,
}

/// What can happen while nobody sends anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The mailbox changed.
    Woken,
    /// `patience` is over.
    TimedOut,
    /// The server ends: say goodbye.
    Stopping,
    /// TLS is up (after `StartTls`, or from the beginning). `bindable`: there is channel binding; `certified`: the
    /// client has shown a certificate that is good.
    Secured { bindable: bool, certified: bool },
    /// The peer is gone: what is still to be kept is kept now, nothing is said.
    Gone,
}

/// Bytes for the peer. Grows beyond its mark only by what one response needs.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
}

impl Output {
    /// A machine says `Flush` once this many octets wait.
    pub(crate) const MARK: usize = 32 * 1024;

    pub(crate) fn new() -> Output {
        Output::default()
    }

    /// True once it is time to say `Flush`.
    pub(crate) fn full(&self) -> bool {
        self.bytes.len() >= Self::MARK
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// For encoders that append.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// So many octets went.
    pub(crate) fn forget(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Gives the memory back; for a session that waits.
    pub(crate) fn free(&mut self) {
        self.bytes = Vec::new();
    }
}
