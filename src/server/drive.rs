//! The loop around a machine before login and around LMTP: everything waits here.

use super::deadline::{self, Rounds};
use super::stop::Stop;
use super::transport::Transport;
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use smol::future::or;
use std::io;
use std::time::{Duration, Instant};

/// How a drive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driven {
    /// The machine can be taken apart.
    Done,
    /// TLS is to begin, then the drive goes on.
    StartTls,
    /// The peer is gone.
    Gone,
}

/// What a connection waited for.
enum Waited {
    Bytes,
    End,
    TimedOut,
    Stopping,
}

/// How long a peer may take nothing of what we write.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// Writes within bounded time.
pub(super) async fn write(transport: &mut Transport, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    deadline::within(WRITE_PATIENCE, transport.write(bytes)).await
}

/// Drives the machine until it ends or its peer does. `deadline` ends its patience in any case.
pub(super) async fn drive<M: Machine>(
    machine: &mut M,
    transport: &mut Transport,
    deadline: Option<Instant>,
    stop: &Stop,
    mut ask: impl AsyncFnMut(M::Question) -> M::Answer,
) -> io::Result<Driven> {
    let mut out = Output::new();
    // What the machine had no room for yet.
    let mut left: Vec<u8> = Vec::new();
    let (mut told_of_stop, mut late) = (false, false);
    let mut rounds = Rounds::default();
    loop {
        rounds.next().await;
        let progress = machine.advance(Turn::Quick, &mut out);
        write(transport, out.bytes()).await?;
        out.free();
        match progress {
            Progress::Flush | Progress::Disk => continue,
            Progress::Ask(question) => {
                let answer = ask(question).await;
                machine.answer(answer);
                continue;
            }
            Progress::StartTls => return Ok(Driven::StartTls),
            // Only sessions compress; they are driven elsewhere.
            Progress::Compress => return Err(io::ErrorKind::Unsupported.into()),
            Progress::Done => return Ok(Driven::Done),
            Progress::NeedInput | Progress::Wait => {}
        }
        let rest = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        // Also for a peer that never stops sending.
        if rest.is_some_and(|rest| rest.is_zero()) && !std::mem::replace(&mut late, true) {
            machine.event(Event::TimedOut);
            continue;
        }
        if !left.is_empty() {
            let taken = machine.input(&left);
            left.drain(..taken);
            if taken > 0 {
                continue;
            }
            return Ok(Driven::Gone);
        }
        let patience = machine.patience().min(rest.unwrap_or(Duration::MAX));
        let read = async {
            let read = transport.read(|bytes| {
                let taken = machine.input(bytes);
                left.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            });
            match read.await {
                Ok(0) => Ok(Waited::End),
                Ok(_) => Ok(Waited::Bytes),
                Err(error) => Err(error),
            }
        };
        let timer = async {
            deadline::after(patience).await;
            Ok(Waited::TimedOut)
        };
        let stopping = async {
            match told_of_stop {
                true => std::future::pending().await,
                false => stop.wait().await,
            }
            Ok(Waited::Stopping)
        };
        match or(stopping, or(read, timer)).await? {
            Waited::Bytes => {}
            Waited::End => return Ok(Driven::Gone),
            Waited::TimedOut => machine.event(Event::TimedOut),
            Waited::Stopping => {
                told_of_stop = true;
                machine.event(Event::Stopping);
            }
        }
    }
}
