//! A client's connection, plain or under TLS.

use super::reactor::{Peer, Source};
use futures_rustls::server::TlsStream;
use smol::io::{AsyncRead, AsyncWriteExt};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A socket: TCP sockets too, which read and write the same.
pub(super) type Socket = Source<Arc<UnixStream>>;

/// Octets of one read.
pub(super) const READ: usize = 16 * 1024;

thread_local! {
    /// What was just read, until the machine has it: no connection owns a buffer while it waits.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs with the buffer of this thread.
pub(super) fn with_scratch<T>(use_: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|scratch| {
        let mut scratch = scratch.borrow_mut();
        scratch.resize(READ, 0);
        use_(&mut scratch)
    })
}

/// A client's connection.
pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A socket of a descriptor.
pub(super) fn socket(descriptor: OwnedFd) -> io::Result<Socket> {
    Source::new(Arc::new(UnixStream::from(descriptor)))
}

impl Transport {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(socket) => Pin::new(socket).poll_read(context, into),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_read(context, into),
        }
    }

    /// Waits for bytes and gives them to `take`, which keeps what it wants; how many came, 0 at the end.
    pub(super) async fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|context| {
            with_scratch(|scratch| {
                let count = ready!(self.poll_read(context, scratch))?;
                take(scratch.get(..count).unwrap_or_default());
                Poll::Ready(Ok(count))
            })
        })
        .await
    }

    /// The socket, for who writes to it on another thread; `None` if bytes do not go there as they are.
    pub(super) fn plain(&self) -> Option<Arc<UnixStream>> {
        match self {
            Transport::Plain(socket) => Some(socket.io().clone()),
            Transport::Tls(_) => None,
        }
    }

    /// What is known of the client while nothing is read or written.
    pub(super) fn peer(&self) -> Peer {
        match self {
            Transport::Plain(socket) => socket.peer(),
            Transport::Tls(stream) => stream.get_ref().0.peer(),
        }
    }

    /// Writes everything.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.write_all(bytes).await,
            Transport::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) async fn close(&mut self) {
        match self {
            Transport::Plain(socket) => socket.close().await.ok(),
            Transport::Tls(stream) => stream.close().await.ok(),
        };
    }
}
