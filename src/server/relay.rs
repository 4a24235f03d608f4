//! Decrypted bytes between a client under TLS and its session in an engine.

use super::deadline::{self, Deadline};
use super::transport::{READ, Socket, with_scratch};
use futures_rustls::server::TlsStream;
use smol::io::{AsyncRead, AsyncWrite};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Reads of one direction before others have their turn.
const READS: u32 = 4;

/// One direction: what was read and not yet written. Empty, without memory, while nothing moves.
#[derive(Default)]
struct Way {
    pending: Vec<u8>,
    written: usize,
    /// The source has ended.
    ended: bool,
    /// The end was passed on.
    closed: bool,
    /// Bytes may sit in the layer below.
    unflushed: bool,
    /// Reads since others had their turn; at [`READS`] it waits for the next one.
    reads: u32,
}

impl Way {
    /// Moves what can be moved now; `Ready` when this direction is over.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.pending.get(self.written..).filter(|r| !r.is_empty()) {
                match Pin::new(&mut *to).poll_write(context, rest)? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(count) => self.written += count,
                    Poll::Pending => return Poll::Pending,
                }
                self.unflushed = true;
            }
            (self.pending, self.written) = (Vec::new(), 0);
            if self.unflushed {
                match Pin::new(&mut *to).poll_flush(context)? {
                    Poll::Ready(()) => self.unflushed = false,
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.ended {
                if !self.closed {
                    match Pin::new(&mut *to).poll_close(context) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(_) => self.closed = true,
                    }
                }
                return Poll::Ready(Ok(()));
            }
            if self.reads >= READS {
                return Poll::Pending;
            }
            self.reads += 1;
            let read = with_scratch(|scratch| {
                let scratch = scratch.get_mut(..READ).unwrap_or_default();
                let count = match Pin::new(&mut *from).poll_read(context, scratch) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                };
                // Mostly all of it goes on at once and nothing is kept.
                let bytes = scratch.get(..count).unwrap_or_default();
                let sent = match Pin::new(&mut *to).poll_write(context, bytes) {
                    Poll::Ready(Ok(sent)) => sent,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => 0,
                };
                self.unflushed |= sent > 0;
                self.pending = bytes.get(sent..).unwrap_or_default().to_vec();
                Poll::Ready(Ok(count))
            });
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => self.ended = true,
                // A client that hangs up without saying so under TLS.
                Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended = true
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Relays until the session ends, or the client does and the session has said its last.
pub(super) async fn relay(mut client: Box<TlsStream<Socket>>, mut session: Socket) {
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut pause: Option<Deadline> = None;
    let done = poll_fn(|context| {
        (up.reads, down.reads, pause) = (0, 0, None);
        let up_ended = up.poll(context, &mut *client, &mut session);
        if let Poll::Ready(Err(error)) = up_ended {
            return Poll::Ready(Err(error));
        }
        // The session's end is the end; a client's end alone leaves time for the answer.
        let down_ended = down.poll(context, &mut session, &mut *client);
        if down_ended.is_pending() && up.reads.max(down.reads) >= READS {
            let mut turn = deadline::turn();
            if Pin::new(&mut turn).poll(context).is_pending() {
                pause = Some(turn);
            }
        }
        down_ended
    });
    if let Err(error) = done.await {
        log::debug!("a relayed connection broke: {error}");
    }
}
